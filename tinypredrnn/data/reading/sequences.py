"""Your own sequences: arrays, folders of images, GIFs and videos, all read as clips with their stored numbers.

    x.npy, x.npz            clips (N,T,H,W) or (N,T,H,W,C), or one clip (T,H,W) or (T,H,W,C), of any numbers;
                            archives.py says which arrays of a .npz are read, order.py which other orders are possible
    mnist_test_seq.npy      Srivastava's Moving MNIST test set, which has time first: (20,10000,64,64), or under this
                            name (20,N,H,W)
    moving-mnist-test.npz   the format of PredRNN's authors: arrays `clips`, `dims` and `input_raw_data`
    a folder                of images: one clip, in the order of the numbers in the names; of folders, videos or arrays:
                            see folders.py
    x.gif, x.tif, x.png     one clip, if it has several frames
    x.avi, x.mp4            one clip; videos need the extra `video`, and are kept decoded in the user's cache

Nothing is guessed silently: `Clips.messages` says what was read, left out and assumed. Images are gray if red, green
and blue differ only by the small errors of cameras and codecs, else colour. A .npy may be larger than the memory: its
frames stay on disk until they are used. Images are kept in memory, and refused if they would take more than MAX_BYTES.
"""

import math
import os
from pathlib import Path

import numpy as np

from tinypredrnn.data.reading.archives import read_arrays
from tinypredrnn.data.reading.clips import Clips, file_of
from tinypredrnn.data.reading.folders import find_clips
from tinypredrnn.data.reading.frames import MAX_PIXELS, check_bytes, check_channels, check_size, fit, reading
from tinypredrnn.data.reading.parts import PARTS
from tinypredrnn.data.reading.pictures import Pictures
from tinypredrnn.data.reading.times import runs
from tinypredrnn.data.reading.values import find_scale, flags, hints
from tinypredrnn.data.reading.videos import decode_video
from tinypredrnn.data.reading.words import in_short, listed
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.files import user_cache
from tinypredrnn.options import called

KINDS = {1: "gray", 3: "colour"}


def read_sequences(path, size=None, channels=None, range=None, unit="", order="", array="", every=1, missing=None):
    """The Clips at `path`, a file or folder of one of the kinds above.

    size       (height, width) in pixels to which all frames are resized; None: all must have the same size
    channels   1: all become gray; 3: all become colour; None: as they are, but all colour if some are
    range      (low, high): the stored numbers that become 0 and 1 for the model; None: 0 and 255 for bytes, 0 and 1 for
               floats within [0, 1], for other numbers the range of the data
    unit       the name of the physical units of the stored numbers, such as "dBZ"
    order      what the axes of arrays mean, such as "TNHW"; "": inferred
    array      the name of the array to read from a .npz; "": all that are films
    every      keep one frame out of so many
    missing    the stored number that marks places without data; NaN always does

    Raises DataError, which names the file, if there is nothing of these kinds, if a file is damaged, too large, or of
    another frame size than the others, or if its meaning is not clear; ConfigError if an option is impossible.
    """
    path, size = Path(os.path.expanduser(path)), None if size is None else tuple(size)
    check_options(size, order, every)
    messages, clips, parts, groups, sizes = [], {}, {}, {}, set()
    found = find_clips(path, messages)
    if (order or array) and not all(item.kind == "array" for item in found):
        raise ConfigError(f"{called('order')} and {called('array')} are options for arrays, but {path} holds other "
                          "files: leave them out")
    pictures, held = Pictures(size, channels, every, missing), 0
    for item in found:
        file = item.files[0]
        content, stored = read_item(item, pictures, order, array, every, messages)
        sizes |= stored
        for name, clip, part in content:
            held += clip.nbytes if file_of(clip) is None else 0
            groups |= {len(clips): item.group} if item.group else {}
            parts |= {len(clips): part} if part else {}
            name = name_in_folder(item, name, len(content) == 1) if len(found) > 1 else name
            clips[f"{name} ({file.name})" if name in clips else name] = clip
        with reading(file):
            check_bytes(held)
    with reading(path):
        clips = convert(clips, size, channels, missing)
        scale = find_scale(clips, range, unit, missing, messages)
        hints(clips, scale, every, messages)
    parts = by_part(parts, len(clips), messages)
    return Clips(clips, scale, [about(path, clips, sizes), *dict.fromkeys(messages)], parts, groups)


def check_options(size, order, every):
    if size is not None and (len(size) != 2 or min(size) < 1 or math.prod(size) > MAX_PIXELS):
        raise ConfigError(f"{called('size')} is a height and a width in pixels, at least 1 and at most {MAX_PIXELS:,} "
                          f"in all, got {size}")
    if order and (set(order) - set("NTHWC") or len(set(order)) < len(order) or not set("THW") <= set(order)):
        raise ConfigError(f"{called('order')} names axes, T, H, W and perhaps N and C, each once, such as TNHW, got "
                          f"{order}")
    if every < 1:
        raise ConfigError(f"{called('every')}: one frame of every N is taken, N at least 1, got {every}")


def read_item(item, pictures, order, array, every, messages):
    """The clips of a Found item, [(name, clip (T,H,W,C), part)], and the set of their frames' sizes as stored."""
    file = item.files[0]
    if item.kind == "array":
        with reading(file):
            clips, named = read_arrays(file, order, array, messages)
        sizes = {clip.shape[1:3] for clip in clips.values()}
        return [(name, clip[::every], named.get(name, item.part)) for name, clip in clips.items()], sizes
    if item.kind == "video":
        frames, starts, more, stored = decode_video(file, pictures.size, pictures.channels)
        messages += more
        if file_of(frames) is not None:
            messages.append(f"decoded videos are kept in {user_cache() / 'frames'}, which may be deleted at any time")
        return [(item.name + (f"[{run.start}:{run.stop}]" if starts else ""), frames[run][::every], item.part)
                for run in runs(len(frames), starts)], {tuple(stored)}
    clip, sizes = pictures.read(item.files, messages)
    return [(item.name, clip, item.part)], sizes


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


def convert(clips, size, channels, missing):
    """Convert clips (T,H,W,C) to one size and number of channels; clips that have them already are not copied."""
    has, first = {clip.shape[3] for clip in clips.values()}, next(iter(clips))
    for number in has:
        check_channels(channels, number)
    if channels is None and len(has) > 1 and not has <= {1, 3}:
        raise DataError(f"expected clips with as many channels as each other, got some with {listed(has)}")
    if len(kinds := {clip.dtype if clip.dtype.kind != "f" else "floats" for clip in clips.values()}) > 1:
        raise DataError(f"expected clips of one kind of numbers, got {listed(kinds)}: choose some with --array, or "
                        "convert them")
    shapes = {name: (len(clip), *(size or clip.shape[1:3]), channels or max(has)) for name, clip in clips.items()}
    for name, clip in clips.items():
        check_size(shapes[name][1:3], first, shapes[first][1:3])
        if clip.shape == (*shapes[name][:3], 1):  # gray among colours: a view
            clips[name] = np.broadcast_to(clip, shapes[name])
    changed = [name for name, clip in clips.items() if clip.shape != shapes[name]]
    true = [name for name, clip in clips.items() if flags(clip)]
    if true and (changed or len(true) < len(clips)):  # averages need values between 0 and 1
        check_bytes(sum(clips[name].nbytes for name in true))
        clips |= {name: clips[name] * np.uint8(255) for name in true}
    check_bytes(sum(math.prod(shapes[name]) * clips[name].itemsize for name in changed))
    for name in changed:
        clip, clips[name] = clips[name], np.empty(shapes[name], clips[name].dtype)
        for frame, out in zip(clip, clips[name]):  # one at a time: all at once would take several times the memory
            out[...] = fit(frame, size, channels or max(has), missing)
    return clips
