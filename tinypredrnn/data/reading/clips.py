"""Clips: films with one frame size, and the windows of them on which a model is trained; Piece: what a file says;
Sequences: those of a test set."""

import dataclasses
from typing import NamedTuple

import numpy as np

from tinypredrnn.data.reading.frames import fit, placement
from tinypredrnn.data.reading.room import Room, file_of, in_pieces, release_pages
from tinypredrnn.data.scale import BYTES, Scale
from tinypredrnn.errors import DataError
from tinypredrnn.options import called


class Grid(NamedTuple):
    """Where the pixels of a frame lie, as a file says it.

    y, x         coordinates of the centres of the rows (H,) and of the columns (W,)
    attributes   {"y": {...}, "x": {...}, "crs": {...}}: names and units of both, and the projection, with the
                 attributes of the CF conventions (`grid_mapping_name`, ...) or ODIM's `projdef`
    places       {"latitude": (H,W), "longitude": (H,W)} of grids whose rows do not run from east to west
    """

    y: np.ndarray
    x: np.ndarray
    attributes: dict
    places: dict = {}

    def fitted(self, size, aspect):
        """The Grid of frames that were resized to `size` (rows, columns), as `frames.fit` does."""
        if size in (None, (len(self.y), len(self.x))):
            return self
        *used, inner, corner = placement((len(self.y), len(self.x)), size, aspect)
        y, x = (spread(centres[part], n, first, whole)
                for centres, part, n, first, whole in zip((self.y, self.x), used, inner, corner, size))
        places = {name: fit(array[..., None], size, aspect=aspect)[..., 0] for name, array in self.places.items()}
        return self._replace(y=y, x=x, places=places)

    def __eq__(self, other):
        if not isinstance(other, Grid) or [*self.places] != [*other.places] or self.attributes != other.attributes:
            return False
        return all(map(np.array_equal, (self.y, self.x, *self.places.values()),
                       (other.y, other.x, *other.places.values())))

    __hash__ = None


def spread(centres, count, first, whole):
    """The centres of `whole` pixels, of which `count` from number `first` on lie between the outer edges of pixels with
    these centres.
    """
    places = (np.arange(whole) - first + 0.5) * len(centres) / count - 0.5
    step = (centres[-1] - centres[0]) / max(1, len(centres) - 1)
    return centres[0] + places * step


class Piece(NamedTuple):
    """A clip as it comes from a file.

    frames    (T,H,W,C), as stored
    part      "training", "validation" or "test", if a name says so
    times     datetime64[s] (T,), if they are written
    meaning   the Scale from the stored numbers to physical units, if the file says what its numbers are
    grid      the Grid of the frames, if the file says where they lie
    stored    the dtype in the file, if the frames have another
    """

    name: str
    frames: np.ndarray
    part: str = ""
    times: np.ndarray | None = None
    meaning: Scale | None = None
    grid: Grid | None = None
    stored: np.dtype | None = None


class Clips:
    """Clips with frames of one size: clips[n] is (T_n,H,W,C) in its stored dtype; each may have its own length T_n.

    clips      {name: (T_n,H,W,C)}, at least one
    scale      the Scale that brings the stored numbers to [0, 1] and to physical units
    messages   sentences for the user: what was read, left out and assumed
    parts      {"training": [clip numbers], "validation": [...], "test": [...]} as far as the data themselves define
               them; all other clips are for training
    groups     {clip number: label}: clips with the same label (a person, a station) stay in the same part
    times      {name: datetime64[s] (T_n,)} of the clips whose times are known
    grids      {name: Grid} of the clips of which it is known where their pixels lie
    """

    def __init__(self, clips, scale=BYTES, messages=(), parts=None, groups=None, times=None, grids=None):
        self.names, self.clips = list(clips), list(clips.values())
        self.size, self.channels = self.clips[0].shape[1:3], self.clips[0].shape[3]
        self.scale, self.messages, self.parts, self.groups = scale, tuple(messages), parts or {}, groups or {}
        self.times, self.grids = times or {}, grids or {}
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
                            f"name a {called('size')} and {called('channels')} for both")
        if others.scale.stored != self.scale.stored and others.scale.units == self.scale.units != (0, 1):
            others = others.stored_as(self.scale)
        if others.scale.stored != self.scale.stored:
            raise DataError(f"expected numbers on one scale, got a scale from {self.scale.stored} and, for {part}, "
                            f"from {others.scale.stored}: store both in the same way")
        clips = self.named() | {f"{part} {name}": clip for name, clip in others.named().items()}
        parts = self.parts | {part: list(range(len(self), len(clips)))}
        scale = dataclasses.replace(self.scale, gaps=self.scale.gaps or others.scale.gaps)
        times, grids = ({**ours, **{f"{part} {name}": value for name, value in theirs.items()}}
                        for ours, theirs in ((self.times, others.times), (self.grids, others.grids)))
        return Clips(clips, scale, (*self.messages, *others.messages), parts, self.groups, times, grids)

    def stored_as(self, scale):
        """The same clips with the stored numbers of another Scale in the same units, as floats."""
        room, convert = Room(), lambda frames: scale.stored_at(self.scale.physical(frames)).astype(np.float32)
        return Clips({name: room.each(clip, convert) for name, clip in self.named().items()},
                     dataclasses.replace(scale, gaps=self.scale.gaps, missing=scale.missing), self.messages, self.parts,
                     self.groups, self.times, self.grids)

    def shares_above(self, stored):
        """For each clip, which share of each frame's pixels is above a stored number: [(T_n,), ...]"""
        return [np.concatenate([[], *((frames > stored).mean(axis=(1, 2, 3)) for frames in in_pieces(self[n]))])
                for n in range(len(self))]

    def windows(self, length, stride=1):
        """All windows of `length` frames in a row, `stride` frames apart: (clip, first frame) for each, int (N,2)."""
        starts = [np.arange(0, len(clip) - length + 1, stride) for clip in self.clips]
        return np.stack([np.repeat(np.arange(len(self)), [len(s) for s in starts]), np.concatenate(starts)], axis=1)

    def cut(self, windows, length):
        """The frames of these windows: (N,length,H,W,C) in the stored dtype."""
        frames = np.stack([self[n][start:start + length] for n, start in windows])
        release_pages(*(self.clips[n] for n in {n for n, _ in windows}))
        return frames


class Sequences:
    """Sequences (N,T,H,W,C) that are cut when they are asked for, so that a test set of any length takes little memory.

    cut       some of the numbers -> the sequences of these numbers, (n,T,H,W,C)
    numbers   an array whose rows say which sequences they are, (N,) or (N,2)

    x[n], x[first:last], x[[n, m, ...]] and np.asarray(x) are arrays, as those of an array would be.
    """

    def __init__(self, cut, numbers):
        self.cut, self.numbers = cut, numbers

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, which):
        chosen = self.numbers[which]
        return self.cut(chosen) if np.ndim(chosen) == self.numbers.ndim else self.cut([chosen])[0]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype)
