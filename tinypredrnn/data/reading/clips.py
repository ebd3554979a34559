"""Clips: films with one frame size, and the windows of them on which a model is trained."""

import dataclasses
import mmap

import numpy as np

from tinypredrnn.data.scale import BYTES
from tinypredrnn.errors import DataError


class Clips:
    """Clips with frames of one size: clips[n] is (T_n,H,W,C) in its stored dtype; each may have its own length T_n.

    clips      {name: (T_n,H,W,C)}, at least one
    scale      the Scale that brings the stored numbers to [0, 1] and to physical units
    messages   sentences for the user: what was read, left out and assumed
    parts      {"training": [clip numbers], "validation": [...], "test": [...]} as far as the data themselves define
               them; all other clips are for training
    groups     {clip number: label}: clips with the same label (a person, a station) stay in the same part
    """

    def __init__(self, clips, scale=BYTES, messages=(), parts=None, groups=None):
        self.names, self.clips = list(clips), list(clips.values())
        self.size, self.channels = self.clips[0].shape[1:3], self.clips[0].shape[3]
        self.scale, self.messages, self.parts, self.groups = scale, tuple(messages), parts or {}, groups or {}
        self.files = [file_of(clip) for clip in self.clips]

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, n):
        file = self.files[n]
        if file is not None and file.size() < len(file):  # reading beyond its end would crash Python
            raise DataError(f"the file that holds {self.names[n]} has become shorter since it was opened: put it back "
                            "and start again")
        return self.clips[n]

    def named(self):
        """{name: clip (T,H,W,C)}"""
        return {name: self[n] for n, name in enumerate(self.names)}

    def with_part(self, part, others):
        """These Clips together with `others`, as their "validation" or "test" part. DataError if they do not match."""
        if (others.size, others.channels) != (self.size, self.channels):
            raise DataError(f"expected frames of the same kind, got {self.size[0]}x{self.size[1]} with {self.channels} "
                            f"channel(s) and, for {part}, {others.size[0]}x{others.size[1]} with {others.channels}: "
                            "name a --size and --channels for both")
        if others.scale.stored != self.scale.stored:
            raise DataError(f"expected numbers on one scale, got a scale from {self.scale.stored} and, for {part}, "
                            f"from {others.scale.stored}: store both in the same way")
        clips = self.named() | {f"{part} {name}": clip for name, clip in others.named().items()}
        parts = self.parts | {part: list(range(len(self), len(clips)))}
        scale = dataclasses.replace(self.scale, gaps=self.scale.gaps or others.scale.gaps)
        return Clips(clips, scale, (*self.messages, *others.messages), parts, self.groups)

    def windows(self, length, stride=1):
        """All windows of `length` frames in a row, `stride` frames apart: (clip, first frame) for each, int (N,2)."""
        starts = [np.arange(0, len(clip) - length + 1, stride) for clip in self.clips]
        return np.stack([np.repeat(np.arange(len(self)), [len(s) for s in starts]), np.concatenate(starts)], axis=1)

    def cut(self, windows, length):
        """The frames of these windows: (N,length,H,W,C) in the stored dtype."""
        return np.stack([self[n][start:start + length] for n, start in windows])


def file_of(array):
    """The mmap of the file in which an array's numbers stay until they are used, or None."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array if isinstance(array, mmap.mmap) else None
