"""Array files, .npy and .npz: which of their arrays are films, and what the arrays' names mean.

    frames                      is read, and the others are left out; times and run_start beside it separate its runs,
                                valid (H,W) says which pixels have data, and meta, a JSON text, what the numbers mean
    train, validation, test     also as a part of a name: the parts of the data
    x and y, input and target   the beginning and the end of the same sequences: they are joined
    mask, labels                are not films: left out if there is something else
    clips, dims, input_raw_data the format of PredRNN's authors
    any others                  one or several clips each
"""

import math
import re

import numpy as np

from tinypredrnn.data.arrays import headers, read_header, refuse_objects
from tinypredrnn.data.reading.clips import Piece
from tinypredrnn.data.reading.frames import check_frame
from tinypredrnn.data.reading.meaning import META, VALID, explained
from tinypredrnn.data.reading.order import SHAPES, array_to_clips
from tinypredrnn.data.reading.room import PIECE, release_pages
from tinypredrnn.data.reading.times import STARTS, TIMES, times_apart
from tinypredrnn.data.reading.words import in_short
from tinypredrnn.errors import DataError
from tinypredrnn.options import called

PARTS = {**dict.fromkeys(["train", "training"], "training"), **dict.fromkeys(["test", "testing"], "test"),
         **dict.fromkeys(["val", "valid", "validation", "dev"], "validation")}
BEGINNINGS, ENDS = {"x", "input", "inputs"}, {"y", "target", "targets", "output", "outputs"}
NO_FILMS = {"mask", "masks", "label", "labels", "seg", "segmentation", "annotation", "annotations", "weights"}
AUTHORS = {"clips", "dims", "input_raw_data"}


def read_arrays(path, order, array, messages, room):
    """The Pieces of a .npy or .npz file.

    order   the order of the axes; "" to infer it
    array   the name of the array to read; "" for all films
    """
    if path.suffix.lower() == ".npy":
        return [Piece(name, clip) for name, clip in read_npy(path, order, array, messages).items()]
    with np.load(path, allow_pickle=False) as file:
        shapes = headers(file, objects=True)
        if array and array not in shapes:
            raise DataError(f"expected an array {array}, got {in_short(shapes, 20)}: name one of these with "
                            f"{called('array')}")
        if AUTHORS <= set(shapes) and not array:
            clips = authors_clips(file["clips"], file["dims"],
                                  member(file, "input_raw_data", shapes["input_raw_data"], room), room)
            return [Piece(name, clip) for name, clip in clips.items()]
        names = [array] if array else choose(shapes)
        if shapes[names[0]].dtype.kind == "O":
            refuse_objects(names[0])
        clocks = [name for name in shapes if name in TIMES + STARTS and shapes[name].dtype.kind != "O"]
        notes = [name for name in shapes if name in (VALID, META) and shapes[name].dtype.kind != "O"]
        films = {name: member(file, name, shapes[name], room) for name in names}
        pieces = [Piece(name, clip, part_of(content_of))
                  for content_of, content in joined(films, order, messages, room)
                  for name, clip in content.items()]
        if len(pieces) == len(names) == 1:
            piece, used = explained(path.name, pieces[0], {name: file[name] for name in notes}, messages,
                                    room)
            pieces = [piece._replace(name=cut.name, frames=cut.frames, times=cut.times) for cut in times_apart(
                piece.name, piece.frames, {clock: file[clock] for clock in clocks}, messages)]
            names += clocks + used
    if left := [f"{name} {header.shape}" for name, header in shapes.items() if name not in names]:
        messages.append(f"{path.name}: read {in_short(names, 9)}, left out {in_short(left, 9)}"
                        + ("" if array else f"; {called('array')} NAME reads another"))
    return pieces


def read_npy(path, order, array, messages):
    """{name: clip} of a .npy, whose numbers stay on disk until they are used."""
    if array:
        raise DataError(f"a .npy holds one array without a name, got {called('array')} {array}: leave it out")
    with open(path, "rb") as file:
        shape = read_header(file, path.stem).shape  # gives a clear error for arrays of objects
    named = len(shape) == 4 and shape[0] == 20 and path.name.startswith("mnist_test_seq")
    if not order and (named or shape == (20, 10_000, 64, 64)):
        order = "TNHW"
        messages.append(f"{path.name} {shape} is read as the Moving MNIST test set, which has time first; use "
                        f"{called('order')} NTHW if it does not")
    return array_to_clips(path.stem, np.load(path, mmap_mode="r", allow_pickle=False), order, messages)


def member(file, name, header, room):
    """An array of an open .npz, read piece by piece into a file if it is too large for the memory."""
    if room.take(header.bytes):
        return file[name]
    array = room((math.prod(header.shape),), header.dtype)
    with file.zip.open(f"{name}.npy") as stream:
        read_header(stream, name)
        numbers = memoryview(array.view(np.uint8))
        for start in range(0, len(numbers), PIECE):
            stream.readinto(numbers[start:start + PIECE])  # the whole piece, since `headers` has compared the sizes
            release_pages(array)
    return array.reshape(header.shape, order="F" if header.fortran else "C")


# names

def words(name):
    """The words in a name, without what separates them: "X_train2" -> ["x", "train", "2"]"""
    found = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
    return [piece for word in found for piece in ([word[0], word[1:]] if word[1:] in PARTS else [word])]  # xtrain


def part_of(name):
    """"training", "validation" or "test" if a name says so, else "" """
    return next((PARTS[word] for word in words(name) if word in PARTS), "")


def choose(shapes):
    """The names of the arrays of an .npz that are films."""
    films = [name for name, header in shapes.items() if len(header.shape) >= 3 and header.dtype.kind in "biuf"]
    films = films or [name for name, header in shapes.items() if header.dtype.kind == "O"]
    if not films:
        raise DataError(f"expected {SHAPES}, got no array of so many axes")
    return ["frames"] if "frames" in films and not any(map(part_of, films)) else without_masks(films)


def without_masks(names):
    """Names without those of masks and labels, unless there are no others."""
    return [name for name in names if not NO_FILMS & set(words(name))] or names


def pairs(names):
    """{name of inputs: name of their targets} among names."""
    partners = {}
    for name in names:
        for side, known in enumerate((BEGINNINGS, ENDS)):
            if known & set(words(name)):
                rest = tuple(word for word in words(name) if word not in BEGINNINGS | ENDS)
                partners.setdefault(rest, {})[side] = name
    return {pair[0]: pair[1] for pair in partners.values() if len(pair) == 2}


def joined(films, order, messages, room):
    """Pairs of (name, {name: clip}) of arrays {name: array}, with x and y of the same sequences joined."""
    targets = pairs(films)
    for name in films:
        if name in targets:
            beginnings, ends = (array_to_clips(part, films[part], order, messages) for part in (name, targets[name]))
            yield name, join(name, targets[name], beginnings, ends, messages, room)
        elif name not in targets.values():
            yield name, array_to_clips(name, films[name], order, messages)


def join(x, y, beginnings, ends, messages, room):
    """{name: clip} of sequences whose beginnings and ends are in two arrays. Frames that are in both, because y is x
    shifted by some frames, are taken once.
    """
    one, other = next(iter(beginnings.values())), next(iter(ends.values()))
    alike = one.shape[1:] == other.shape[1:] and one.dtype == other.dtype
    if len(beginnings) != len(ends) or len(beginnings) == 1 or not alike:
        raise DataError(f"{x} and {y} seem to be inputs and targets, but they are not beginnings and ends of the same "
                        f"sequences: choose one of them with {called('array')} {x} or {called('array')} {y}")
    halves = list(zip(beginnings.values(), ends.values()))
    both = next(count for count in range(min(len(one), len(other)), -1, -1)  # frames that x ends with and y begins with
                if all(np.array_equal(a[len(a) - count:], b[:count]) for a, b in halves))
    messages.append(f"{x} and {y} are read as the beginnings ({len(one)} frames) and ends ({len(other)}) of the same "
                    f"sequences{f', which have {both} frames in common' if both else ''}; {called('array')} {x} "
                    "reads the one alone")
    return {f"{x}+{y}[{n}]": one_after_the_other(a, b[both:], room) for n, (a, b) in enumerate(halves)}


def one_after_the_other(a, b, room):
    whole = room((len(a) + len(b), *a.shape[1:]), a.dtype)
    np.concatenate([a, b], out=whole)
    release_pages(a, b, whole)
    return whole


# PredRNN's authors

def authors_clips(clips, dims, raw, room):
    """{name: clip} of the arrays of PredRNN's authors. clips (2,N,2) has, for the input and the output of clip n, its
    first frame in raw (frames,C,H,W) and its number of frames; dims (1,3) repeats C, H and W.
    """
    if clips.ndim != 3 or clips.shape[::2] != (2, 2) or clips.dtype.kind not in "iu" or raw.ndim != 4 or 0 in raw.shape:
        raise DataError("expected clips (2,N,2) of whole numbers and input_raw_data (frames,C,H,W), got "
                        f"{clips.shape} and {raw.shape}")
    if raw.dtype.kind not in "iuf" or not np.array_equal(dims, [raw.shape[1:]]):
        raise DataError(f"expected dims (1,3) that say C, H and W of input_raw_data {raw.shape}, got {dims.tolist()}")
    check_frame(*raw.shape[2:])
    frames, cut = raw.transpose(0, 2, 3, 1), {}
    for n, parts in enumerate(clips.swapaxes(0, 1).tolist()):
        if any(start < 0 or length < 1 or start + length > len(frames) for start, length in parts):
            raise DataError(f"expected starts and lengths within the {len(frames)} frames of input_raw_data, got "
                            f"{parts} for clip {n}")
        (start, length), (start_out, length_out) = parts
        if start_out == start + length:  # as it always is in their files
            cut[f"clip {n}"] = frames[start:start_out + length_out]
        else:
            cut[f"clip {n}"] = one_after_the_other(frames[start:start + length],
                                                   frames[start_out:start_out + length_out], room)
    return cut
