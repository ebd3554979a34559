"""Your own sequences: arrays, folders of images, GIFs and videos, all read as clips of bytes.

    x.npy, x.npz            clips (N,T,H,W) or (N,T,H,W,C), or one clip (T,H,W) or (T,H,W,C); uint8, or floats in [0, 1]; of a .npz
                            the array `frames` or, if there is none, every array of such a shape
    mnist_test_seq.npy      Srivastava's Moving MNIST test set, which has time first: (20,10000,64,64), or under this name (20,N,H,W)
    moving-mnist-test.npz   as PredRNN's authors keep theirs: arrays `clips`, `dims` and `input_raw_data`
    a folder of images      one clip, in the natural order of the names: frame2 comes before frame10
    a folder of folders     of images, or of GIFs or videos: one clip each
    x.gif, x.avi, x.mp4     one clip; videos need the extra `video`

Images are gray if red, green and blue are equal in all of them, else colour. A .npy of bytes may be larger than the
memory: its frames stay on the disk until they are used. Everything else is kept in memory, and is refused if it would
take more than MAX_BYTES.
"""

import math
import os
from pathlib import Path

import numpy as np

from tinypredrnn.data.arrays import headers
from tinypredrnn.data.images import MAX_PIXELS, check_frame, decode, fit, reading
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.memory import require_memory

MAX_BYTES = 4 << 30
MAX_CLIPS = 1_000_000  # of one array
SHAPES = "clips (N,T,H,W) or (N,T,H,W,C), or one clip (T,H,W) or (T,H,W,C), with C = 1 (gray) or 3 (colour)"


class Clips:
    """Clips of frames of one size: clips[n] is (T_n,H,W,C) uint8, and each may have its own length T_n.

    clips      {name: (T_n,H,W,C) uint8}, at least one
    mapping    the mmap of the file that frames stay in until they are used, or None
    """

    def __init__(self, clips, mapping=None):
        self.names, self.clips = list(clips), list(clips.values())
        self.size, self.channels = self.clips[0].shape[1:3], self.clips[0].shape[3]
        self.mapping = mapping

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, n):
        if isinstance(self.clips[n], np.memmap) and self.mapping.size() < len(self.mapping):  # reading on would kill Python
            raise DataError(f"the file that holds {self.names[n]} has become shorter since it was opened: put it back and start again")
        return self.clips[n]

    def named(self):
        """{name: clip (T,H,W,C)}"""
        return {name: self[n] for n, name in enumerate(self.names)}

    def windows(self, length, stride=1):
        """Where `length` frames in a row can be taken, `stride` apart: rows of (clip, first frame), int (N,2)"""
        starts = [np.arange(0, len(clip) - length + 1, stride) for clip in self.clips]
        return np.stack([np.repeat(np.arange(len(self)), [len(s) for s in starts]), np.concatenate(starts)], axis=1)

    def cut(self, windows, length):
        """The frames of some windows: (N,length,H,W,C) uint8"""
        return np.stack([self[n][start:start + length] for n, start in windows])


def read_sequences(path, size=None, channels=None):
    """The Clips at `path`, a file or folder of one of the kinds above.

    size       (height, width) in pixels to resize all frames to; None: they must all have the same size, and keep it
    channels   1: colours become gray; 3: gray becomes colour; None: as they are, but all colour if some are

    Raises DataError, which names the file, if there is nothing of these kinds or if a file is damaged, too large, or of
    another size than the others; ConfigError for an impossible size or number of channels.
    """
    path, size = Path(os.path.expanduser(path)), None if size is None else tuple(size)
    if size is not None and (len(size) != 2 or min(size) < 1 or math.prod(size) > MAX_PIXELS):
        raise ConfigError(f"sequences: size is a height and a width in pixels, at least 1 and at most {MAX_PIXELS:,} in all, got "
                          f"{size}")
    if channels not in (None, 1, 3):
        raise ConfigError(f"sequences: channels is 1 for gray or 3 for colour, got {channels}")
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        with reading(path):
            clips, mapping = read_arrays(path)
            return Clips(convert(clips, size, channels), mapping)
    return Clips(collect(decode(path), size, channels))


def collect(frames, size, channels):
    """Decoded frames put together: {name: clip (T,H,W,C)}"""
    clips, pixels, colour, first = {}, 0, 1, None
    for name, file, frame in frames:
        with reading(file):
            frame = fit(frame, size, channels)
            first = first or (file, frame.shape[:2])
            check_size(frame.shape[:2], *first)
            pixels, colour = pixels + frame.shape[0] * frame.shape[1], max(colour, frame.shape[2])
            check_bytes(pixels * colour)  # one colour frame makes all frames colour
        clips.setdefault(name, []).append(frame)
    return {name: stack(clip, colour) for name, clip in clips.items()}


def stack(frames, channels):
    """A list of frames as one clip (T,H,W,C); the list is emptied meanwhile, since there may not be enough memory for
    both."""
    clip = np.empty((len(frames), *frames[0].shape[:2], channels), np.uint8)
    for t in reversed(range(len(clip))):
        clip[t] = fit(frames.pop(), None, channels)
    return clip


def convert(clips, size, channels):
    """Clips of arrays (T,H,W,C) as uint8 of one size and kind of colour; those that are so already are not copied."""
    channels, first = channels or max(clip.shape[3] for clip in clips.values()), None
    shapes = {name: (len(clip), *(size or clip.shape[1:3]), channels) for name, clip in clips.items()}
    for name, shape in shapes.items():
        check_frame(*clips[name].shape[1:3])
        first = first or (name, shape[1:3])
        check_size(shape[1:3], *first)
    changed = [name for name, clip in clips.items() if clip.dtype != np.uint8 or clip.shape != shapes[name]]
    check_bytes(sum(math.prod(shapes[name]) for name in changed))
    for name in changed:
        clip, clips[name] = clips[name], np.empty(shapes[name], np.uint8)
        for frame, out in zip(clip, clips[name]):  # one at a time: all at once would take several times the room
            out[...] = fit(to_bytes(name, frame), size, channels)
    return clips


def check_size(size, first, expected):
    if size != expected:
        raise DataError(f"expected frames of one size, got {size[0]}x{size[1]} pixels here and {expected[0]}x{expected[1]} in {first}: "
                        "make them alike, or name a size that all are resized to")


def check_bytes(count):
    """DataError if frames of so many bytes are too much to be kept in memory."""
    if count > MAX_BYTES:
        raise DataError(f"its frames take more than {MAX_BYTES >> 30} GiB of memory: give fewer or smaller ones, or a .npy of uint8, which "
                        "is read as needed")
    require_memory(count, "its frames", "give fewer or smaller ones")


# arrays

def read_arrays(path):
    """({name: clip (T,H,W,C)}, mmap or None) of a .npy or .npz file."""
    file = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(file, np.ndarray):
        named = path.name.startswith("mnist_test_seq") and file.ndim == 4 and len(file) == 20
        time_first = named or file.shape == (20, 10_000, 64, 64)
        return cut_apart(path.stem, file.swapaxes(0, 1) if time_first else file), file.base
    with file:
        if sum(header.bytes for header in headers(file).values()) > MAX_BYTES:
            raise DataError(f"its arrays take more than {MAX_BYTES >> 30} GiB of memory: store them as .npy, which is read as needed")
        if {"clips", "dims", "input_raw_data"} <= set(file.files):
            return authors_clips(file["clips"], file["dims"], file["input_raw_data"]), None
        if "frames" in file.files:
            return cut_apart("frames", file["frames"]), None
        clips = {}
        for name in file.files:
            array = file[name]
            clips |= cut_apart(name, array) if array.ndim >= 3 else {}
        if not clips:
            raise DataError(f"expected {SHAPES}, got no array of so many axes")
        return clips, None


def cut_apart(name, array):
    """{name: clip (T,H,W,C)} of an array of one of the SHAPES, without a copy."""
    shape = array.shape
    if not 3 <= array.ndim <= 5 or 0 in shape or (array.ndim == 5 and shape[-1] not in (1, 3)):
        raise DataError(f"expected {SHAPES}, got {shape} in {name}")
    if array.ndim == 3:
        return {name: array[..., None]}
    if array.ndim == 4 and shape[-1] in (1, 3):
        return {name: array}
    if len(array) > MAX_CLIPS:
        raise DataError(f"expected at most {MAX_CLIPS:,} clips, got {len(array):,} in {name}: cut it into several files")
    return {f"{name}[{n}]": clip if array.ndim == 5 else clip[..., None] for n, clip in enumerate(array)}


def to_bytes(name, frames):
    """Floats in [0, 1] as uint8, rounded; uint8 as it is."""
    if frames.dtype == np.uint8:
        return frames
    if frames.dtype.kind != "f":
        raise DataError(f"expected uint8, or floats in [0, 1], got {frames.dtype} in {name}: convert it")
    if not (frames.min() >= 0 and frames.max() <= 1):  # NaN does not pass
        raise DataError(f"expected floats in [0, 1], got {frames.min():g} to {frames.max():g} in {name}: scale it")
    return np.rint(frames * 255).astype(np.uint8)


def authors_clips(clips, dims, raw):
    """{name: clip} of the arrays of PredRNN's authors. For the input of clip n and for its output, clips (2,N,2) says at which frame of
    raw (frames,C,H,W) it starts and how many it has; dims (1,3) says C, H and W once more."""
    if clips.ndim != 3 or clips.shape[::2] != (2, 2) or clips.dtype.kind not in "iu" or raw.ndim != 4 or 0 in raw.shape:
        raise DataError(f"expected clips (2,N,2) of whole numbers and input_raw_data (frames,C,H,W), got {clips.shape} and {raw.shape}")
    if raw.shape[1] not in (1, 3) or not np.array_equal(dims, [raw.shape[1:]]):
        raise DataError(f"expected dims (1,3) that say C, H and W of input_raw_data {raw.shape}, got {dims.tolist()}")
    frames, total, cut = convert({"input_raw_data": raw.transpose(0, 2, 3, 1)}, None, None)["input_raw_data"], 0, {}
    for n, parts in enumerate(clips.swapaxes(0, 1).tolist()):
        if any(start < 0 or length < 1 or start + length > len(frames) for start, length in parts):
            raise DataError(f"expected starts and lengths within the {len(frames)} frames of input_raw_data, got {parts} for clip {n}")
        (start, length), (start_out, length_out) = parts
        if start_out == start + length:  # as it always is in their files
            cut[f"clip {n}"] = frames[start:start_out + length_out]
        else:
            total += (length + length_out) * frames[0].nbytes
            check_bytes(total)
            cut[f"clip {n}"] = np.concatenate([frames[start:start + length], frames[start_out:start_out + length_out]])
    return cut


# what is for what

def split(clips, length, seed=0):
    """Three Clips, for training, validation and test, and how they were set apart, in words.

    By clip if at least ten have `length` frames: a tenth of those is drawn by `seed` for validation, and a tenth for
    the test. By time if there are fewer: the last tenth of each clip, but at least `length` frames, is for the test, as
    much before that for validation, and the rest for training; clips that are too short for all three go to training.
    By clip again, with at least three of them, if all clips are too short for that.

    Raises DataError if one of the three would be left without `length` frames in a row.
    """
    long = [n for n in range(len(clips)) if len(clips[n]) >= length]
    longest = max(len(clips[n]) for n in range(len(clips)))
    if len(long) >= 10 or (longest < 3 * length and len(long) >= 3):
        drawn, held = np.random.default_rng(seed).permutation(long), max(1, len(long) // 10)
        parts = [[(n, slice(None)) for n in sorted(chosen)] for chosen in (drawn[2 * held:], drawn[:held], drawn[held:2 * held])]
        how = "by clip"
    elif longest >= 3 * length:
        parts, how = ([], [], []), "by time"
        for n in long:
            end = len(clips[n])
            held = max(length, end // 10) if end >= 3 * length else 0
            for part, first, last in zip(parts, (0, end - 2 * held, end - held), (end - 2 * held, end - held, end)):
                if last > first:
                    part.append((n, slice(first, last)))
    else:
        raise DataError(f"expected {length} frames in a row for each of training, validation and test, so a clip of {3 * length} or three "
                        f"of {length}, got {len(clips)} of at most {longest}: give more or longer clips, or ask for fewer frames")
    parts = [Clips({clips.names[n]: clips[n][frames] for n, frames in part}, clips.mapping) for part in parts]
    counts = [f"{sum(len(clip) for clip in part.clips):,} frames of {len(part)} clip(s) for {name}"
              for part, name in zip(parts, ("training", "validation", "test"))]
    short = len(clips) - len(long)
    return *parts, f"set apart {how}: {', '.join(counts)}; {short} clip(s) have fewer than {length} frames"
