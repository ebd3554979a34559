"""Combine pictures into films: frame after frame, with one size and one dtype, in memory."""

import itertools

import numpy as np

from tinypredrnn.data.reading.frames import check_bytes, check_size, fit, reading
from tinypredrnn.data.reading.images import GRAY_TOLERANCE, colourfulness, frames_of
from tinypredrnn.data.reading.words import listed
from tinypredrnn.errors import DataError


class Pictures:
    """Reads pictures into memory as films of one size. It keeps track of the first size and of the memory used."""

    def __init__(self, size, channels, every, missing):
        self.size, self.channels, self.every, self.missing = size, channels, every, missing
        self.first, self.values, self.most, self.allowed = None, 0, 1, 0

    def read(self, files, messages):
        """The frames of picture files, in order, as a clip (T,H,W,C)."""
        frames, colour = [], 0
        several = len(files) == 1  # one file with the frames; else one frame per file
        chosen = files if several else files[::self.every]
        found = ((each, frame) for each in chosen for frame in frames_of(each, messages))
        for file, frame in itertools.islice(found, 0, None, self.every if several else 1):
            with reading(file):
                if colour <= GRAY_TOLERANCE and frame.shape[2] == 3 and frame.dtype == np.uint8:
                    difference = colourfulness(frame)
                    colour, frame = max(colour, difference), frame if difference else frame[..., :1].copy()
                frame = fit(frame, self.size, self.channels, self.missing)
                self.count(file, frame)
            frames.append(frame)
        if 0 < colour <= GRAY_TOLERANCE and self.channels is None:
            messages.append(f"red, green and blue differ by at most {colour} of 255: read as gray; --channels 3 keeps "
                            "the colours")
            frames = [fit(frame, None, 1) for frame in frames]
        with reading(files[0]):
            return stack(frames, messages)

    def count(self, file, frame):
        """DataError if a frame has another size than those before, or if there is too little memory for them."""
        self.first = self.first or (file, frame.shape[:2])
        check_size(frame.shape[:2], *self.first)
        self.values, self.most = self.values + frame[..., 0].nbytes, max(self.most, frame.shape[2])
        if (count := self.values * self.most) > self.allowed:  # a single colour frame makes all frames colour
            check_bytes(count)
            self.allowed = count + count // 16  # asking how much memory is free takes a while


def stack(frames, messages):
    """A list of frames as one clip (T,H,W,C). The list is emptied meanwhile, since there may not be enough memory for
    both. Gray of more than 8 bits becomes bytes if there are bytes as well.
    """
    dtypes, channels = {frame.dtype for frame in frames}, {frame.shape[2] for frame in frames}
    if not channels <= {1, 3} and len(channels) > 1:
        raise DataError(f"expected pictures with as many channels as each other, got some with {listed(channels)}")
    dtype, divisor = np.result_type(*dtypes).newbyteorder("="), 1
    if len(dtypes) > 1:
        if any(d.kind == "f" for d in dtypes):
            raise DataError(f"expected pictures of one kind, got {listed(dtypes)}: convert them")
        if np.dtype(np.uint8) in dtypes:
            most = max(int(frame.max()) for frame in frames if frame.dtype != np.uint8)
            if most > 65535 or min(int(frame.min()) for frame in frames) < 0:
                raise DataError(f"expected gray values of 8 or 16 bits, got up to {most} beside bytes: convert them")
            dtype, divisor = np.dtype(np.uint8), 257 if most > 255 else 1
            messages.append("pictures of more than 8 bits among others of 8 are read as bytes"
                        f"{', divided by 257' if divisor > 1 else ''}")
    elif dtype == np.int32 and all(frame.min() >= 0 and frame.max() <= 65535 for frame in frames):
        dtype = np.dtype(np.uint16)  # PIL holds 16 bits in 32
    clip = np.empty((len(frames), *frames[0].shape[:2], max(channels)), dtype)
    for t in reversed(range(len(clip))):
        frame = frames.pop()
        clip[t] = np.rint(frame / divisor) if divisor > 1 and frame.dtype != np.uint8 else frame
    return clip
