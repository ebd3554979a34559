"""Your own sequences: arrays, folders of images, GIFs and videos, all read as clips with their stored numbers.

    x.npy, x.npz            clips (N,T,H,W) or (N,T,H,W,C), or one clip (T,H,W) or (T,H,W,C), of any numbers;
                            archives.py says which arrays of a .npz are read, order.py which other orders are possible
    mnist_test_seq.npy      Srivastava's Moving MNIST test set, which has time first: (20,10000,64,64), or under this
                            name (20,N,H,W)
    moving-mnist-test.npz   the format of PredRNN's authors: arrays `clips`, `dims` and `input_raw_data`
    a folder                of images: one clip, in the order of the numbers in the names; of folders, videos or arrays:
                            see folders.py
    x.nc, x.h5, x.zarr      one clip (time,y,x), in its own units; such files need the extra `radar`: see grids.py
    x.gif, x.tif, x.png     one clip, if it has several frames
    x.avi, x.mp4            one clip; videos need the extra `video`, and are kept decoded in the user's cache

Nothing is guessed silently: `Clips.messages` says what was read, left out and assumed. Images are gray if red, green
and blue differ only by the small errors of cameras and codecs, else colour. All data may be larger than the memory: the
frames of a .npy stay in it until they are used, and what others hold is read piece by piece into files of the user's
cache if it is more than room.py keeps in memory.
"""

import dataclasses
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinypredrnn.data.reading.archives import read_arrays
from tinypredrnn.data.reading.clips import Clips, Piece
from tinypredrnn.data.reading.folders import find_clips
from tinypredrnn.data.reading.frames import (
    ASPECTS,
    MAX_PIXELS,
    check_channels,
    check_size,
    fit,
    reading,
)
from tinypredrnn.data.reading.grids import read_grids
from tinypredrnn.data.reading.parts import PARTS
from tinypredrnn.data.reading.pictures import Pictures
from tinypredrnn.data.reading.room import Room, file_of
from tinypredrnn.data.reading.times import runs
from tinypredrnn.data.reading.values import find_scale, hints, is_boolean
from tinypredrnn.data.reading.videos import decode_video
from tinypredrnn.data.reading.words import in_short, listed
from tinypredrnn.data.scale import Scale
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.files import allow_open_files, user_cache
from tinypredrnn.options import called

KINDS = {1: "gray", 3: "colour"}


def read_sequences(path, size=None, channels=None, range=None, unit="", order="", array="", every=1, missing=None,
                   values=None, aspect="stretch"):
    """The Clips at `path`, a file or folder of one of the kinds above.

    size       (height, width) in pixels to which all frames are resized; None: all must have the same size
    channels   1: all become gray; 3: all become colour; None: as they are, but all colour if some are
    range      (low, high): the stored numbers that become 0 and 1 for the model; None: 0 and 255 for bytes, 0 and 1 for
               floats within [0, 1], for other numbers the range of the data
    values     (low, high): what these two numbers are in physical units; None: the same numbers
    unit       the name of the physical units, such as "dBZ"
    order      what the axes of arrays mean, such as "TNHW"; "": inferred
    array      the name of the array to read from a .npz; "": all that are films
    every      keep one frame out of so many
    missing    the stored number that marks places without data; NaN always does
    aspect     what is done with frames of another aspect than `size`: "stretch" them, "pad" them with places without
               data, or "crop" them

    If a file says what its numbers are, it is believed, and `values` and `unit` are for files that do not.

    Raises DataError, which names the file, if there is nothing of these kinds, if a file is damaged, too large, or of
    another frame size than the others, or if its meaning is not clear; ConfigError if an option is impossible.
    """
    films = read_films(path, size, channels, order, array, every, missing, aspect)
    with reading(films.path):
        scale = find_scale(films.clips, range, unit, missing, films.messages, films.meaning, values)
    return films.on(scale, every)


class Films(NamedTuple):
    """Films as read from files, before it is decided which of their numbers are 0 and 1 for the model.

    meaning   the Scale from stored numbers to physical units, if the files say it, else None
    sizes     those of the frames as stored
    dtypes    those of the frames as stored
    The other fields are like those of Clips.
    """

    path: Path
    clips: dict
    messages: list
    parts: dict
    groups: dict
    times: dict
    grids: dict
    meaning: Scale | None
    sizes: set
    dtypes: set

    def on(self, scale, every=1):
        """The Clips with this Scale."""
        with reading(self.path):
            hints(self.clips, scale, every, self.messages)
        messages = [about(self.path, self.clips, self.sizes), *dict.fromkeys(self.messages)]
        return Clips(self.clips, scale, messages, self.parts, self.groups, self.times, self.grids)


def read_films(path, size=None, channels=None, order="", array="", every=1, missing=None, aspect="stretch"):
    """The Films at `path`, with the options and errors of `read_sequences`."""
    path, size = Path(os.path.expanduser(path)), None if size is None else tuple(size)
    check_options(size, order, every, aspect)
    messages, films, groups, sizes = [], {}, {}, set()
    found = find_clips(path, messages)
    allow_open_files(len(found) + 100)  # an array or video that is mapped is an open file
    kinds = {item.kind for item in found}
    if order and kinds != {"array"} or array and not kinds <= {"array", "grid"}:
        raise ConfigError(f"{called('order')} and {called('array')} are options for arrays, but {path} holds other "
                          "files: leave them out")
    room = Room()
    pictures = Pictures(size, channels, every, missing, aspect, room)
    for item in found:
        file = item.files[0]
        content, stored = read_item(item, pictures, order, array, every, messages, room)
        sizes |= stored
        for piece in content:
            groups |= {len(films): item.group} if item.group else {}
            name = name_in_folder(item, piece.name, len(content) == 1) if len(found) > 1 else piece.name
            films[f"{name} ({file.name})" if name in films else name] = piece
    clips = {name: piece.frames for name, piece in films.items()}
    with reading(path):
        meaning = one_meaning(films, clips, missing, messages, room)
        clips = convert(clips, size, channels, missing, aspect, room)
    grids = {name: piece.grid.fitted(size, aspect) for name, piece in films.items() if piece.grid}
    parts = by_part({n: piece.part for n, piece in enumerate(films.values()) if piece.part}, len(clips), messages)
    times = {name: piece.times for name, piece in films.items() if piece.times is not None}
    dtypes = {piece.stored or piece.frames.dtype for piece in films.values()}
    return Films(path, clips, messages, parts, groups, times, grids, meaning, sizes, dtypes)


def one_meaning(films, clips, missing, messages, room):
    """The Scale that says what all stored numbers are, or None. If files store the same units in several ways, also as
    bytes and as floats, the `clips` are converted to floats in these units.
    """
    said = {name: piece.meaning for name, piece in films.items()}
    scales, kinds = list(dict.fromkeys(said.values())), {clip.dtype.kind for clip in clips.values()}
    if len(scales) == 1 and (len(kinds) == 1 or scales[0] is None):
        return scales[0]
    if None in scales or len({scale.unit for scale in scales}) > 1:
        one, other = (next(name for name in said if said[name] == scale) for scale in scales[:2])
        raise DataError(f"expected numbers of one kind, got {scales[0].unit if scales[0] else 'unknown ones'} in {one} "
                        f"and {scales[1].unit if scales[1] else 'unknown ones'} in {other}: read them separately")
    for name, clip in clips.items():
        scale = dataclasses.replace(said[name], missing=missing)
        clips[name] = room.each(clip, lambda frames, scale=scale: scale.physical(frames).astype(np.float32))
    messages.append(f"the files store {scales[0].unit} in several ways, which are brought to one")
    return Scale(stored=(0.0, 1.0), units=(0.0, 1.0), unit=scales[0].unit)


def check_options(size, order, every, aspect):
    if size is not None and (len(size) != 2 or min(size) < 1 or math.prod(size) > MAX_PIXELS):
        raise ConfigError(f"{called('size')} is a height and a width in pixels, at least 1 and at most {MAX_PIXELS:,} "
                          f"in all, got {size}")
    if order and (set(order) - set("NTHWC") or len(set(order)) < len(order) or not set("THW") <= set(order)):
        raise ConfigError(f"{called('order')} names axes, T, H, W and perhaps N and C, each once, such as TNHW, got "
                          f"{order}")
    if aspect not in ASPECTS:
        raise ConfigError(f"{called('aspect')} is one of {', '.join(ASPECTS)}, got {aspect!r}")
    if every < 1:
        raise ConfigError(f"{called('every')}: one frame of every N is taken, N at least 1, got {every}")


def read_item(item, pictures, order, array, every, messages, room):
    """The Pieces of a Found item, and the set of their frames' sizes as stored."""
    file = item.files[0]
    if item.kind in ("array", "grid"):
        if item.kind == "array":
            with reading(file):
                pieces = read_arrays(file, order, array, messages, room)
        else:
            pieces = read_grids(item.files, array, messages, room)
        return [piece._replace(frames=piece.frames[::every], part=piece.part or item.part,
                               times=None if piece.times is None else piece.times[::every])
                for piece in pieces], {piece.frames.shape[1:3] for piece in pieces}
    if item.kind == "video":
        size = pictures.size if pictures.aspect == "stretch" else None  # else `convert` does it
        frames, starts, more, stored = decode_video(file, size, pictures.channels)
        messages += more
        if file_of(frames) is not None:
            messages.append(f"decoded videos are kept in {user_cache() / 'frames'}, which may be deleted at any time")
        return [Piece(item.name + (f"[{run.start}:{run.stop}]" if starts else ""), frames[run][::every], item.part)
                for run in runs(len(frames), starts)], {tuple(stored)}
    clip, sizes = pictures.read(item.files, messages)
    times = item.times if item.times is None else item.times[::every]
    return [Piece(item.name, clip, item.part, times, stored=pictures.stored)], sizes


def name_in_folder(item, name, alone):
    """The name of a clip that comes from one of several files; `alone`: the file has no other clip."""
    if item.kind != "array":
        return name
    file, label = item.files[0], item.name.removesuffix(item.files[0].suffix)
    if file.suffix.lower() == ".npy":
        return label + name.removeprefix(file.stem)
    return label if alone else f"{label}/{name}"


def by_part(parts, count, messages):
    """{part: [clip numbers]} from {clip number: part}; {} unless there are both training clips and others."""
    numbers = {part: [n for n in parts if parts[n] == part] for part in PARTS if part in parts.values()}
    if not numbers.keys() - {"training"} or len(parts) == count and "training" not in numbers:
        return {}
    counts = [f"{len(clips)} clip(s) for {part}" for part, clips in numbers.items()]
    messages.append(f"the names tell the parts of the data: {', '.join(counts)}")
    return numbers


def about(path, clips, sizes):
    """What was read, in a sentence; `sizes` are those of the frames as stored."""
    *size, channels = next(iter(clips.values())).shape[1:]
    size, stored = "x".join(map(str, size)), in_short("x".join(map(str, size)) for size in sorted(sizes))
    lengths = [len(clip) for clip in clips.values()]
    frames = " to ".join(map(str, sorted({min(lengths), max(lengths)})))
    kinds = listed({clip.dtype for clip in clips.values()})
    resized = "" if stored == size else f", resized to {size}"
    return (f"read {len(clips):,} clip(s) of {frames} frames of {stored}{resized}, "
            f"{KINDS.get(channels, f'{channels} channels')}, {kinds}, from {path}")


def convert(clips, size, channels, missing, aspect, room):
    """Convert clips (T,H,W,C) to one size and number of channels; clips that have them already are not copied."""
    has, first = {clip.shape[3] for clip in clips.values()}, next(iter(clips))
    for number in has:
        check_channels(channels, number)
    if channels is None and len(has) > 1 and not has <= {1, 3}:
        raise DataError(f"expected clips with as many channels as each other, got some with {listed(has)}")
    if len(kinds := {clip.dtype if clip.dtype.kind != "f" else "floats" for clip in clips.values()}) > 1:
        raise DataError(f"expected clips of one kind of numbers, got {listed(kinds)}: choose some with "
                        f"{called('array')}, or convert them")
    shapes = {name: (len(clip), *(size or clip.shape[1:3]), channels or max(has)) for name, clip in clips.items()}
    for name, clip in clips.items():
        check_size(shapes[name][1:3], first, shapes[first][1:3])
        if clip.shape == (*shapes[name][:3], 1):  # gray among colours: a view
            clips[name] = np.broadcast_to(clip, shapes[name])
    changed = [name for name, clip in clips.items() if clip.shape != shapes[name]]
    true = [name for name, clip in clips.items() if is_boolean(clip)]
    if true and (changed or len(true) < len(clips)):  # averages need values between 0 and 1
        clips |= {name: room.each(clips[name], lambda frames: frames * np.uint8(255)) for name in true}
    fitted = lambda frame: fit(frame, size, channels or max(has), missing, aspect)
    room.require(sum(math.prod(shapes[name]) * clips[name].itemsize for name in changed))
    for name in changed:
        clips[name] = room.each(clips[name], lambda frames: np.stack([fitted(frame) for frame in frames]))
    return clips
