"""The world of the user's own frames: clips from files, some of which are set apart for validation and test."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from tinypredrnn import metrics
from tinypredrnn.data.reading import ASPECTS, IN_MEMORY, Sequences, read_sequences, split
from tinypredrnn.data.source import Source, SourceOptions, stream
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.options import called, option

PLACES = "data", "validation", "test"  # the options that name files and folders
# options of how any file is to be read, as it was for training
READING = "order", "array", "every", "missing", "aspect"
PICTURES = {(0.0, 255.0), (0.0, 1.0)}  # what becomes 0 and 1 of bytes, and of floats in [0, 1]


@dataclasses.dataclass(frozen=True)
class OwnOptions(SourceOptions):
    """What the user can say about files. What is left out is inferred from the data, and the result is reported."""

    data: str = option("", "the sequences: a folder, or a .npy, .npz, NetCDF, HDF5, Zarr, GIF or video file",
                       may_change=True)
    validation: str = option("", "sequences for validation; empty: a part of --data", may_change=True)
    test: str = option("", "sequences for the test; empty: a part of --data", may_change=True)
    size: tuple = option((), "height and width in pixels to which all frames are resized", least=1, count=2, of=int)
    aspect: str = option("stretch", "frames of another aspect than --size: stretch them, pad them with places without "
                                    "data, or crop them", ASPECTS)
    channels: int = option(0, "1: convert all frames to gray, 3: to colour (0: leave them as they are)", least=0)
    range: tuple = option((), "the stored numbers that become 0 and 1", count=2)
    values: tuple = option((), "what these two numbers are in --unit; empty: the same numbers", count=2)
    unit: str = option("", "name of the physical unit, such as dBZ, if the files do not say it")
    missing: str = option("", "the stored number that marks places without data; NaN always does")
    order: str = option("", "the axes of an array, such as NTHW, TNHW or NTCHW: N clips, T time, H height, W width, C "
                            "channels")
    array: str = option("", "the array or variable to read from a file that has several")
    groups: bool = option(True, "keep the clips of one folder (a person, a station) in the same part of the data")
    thresholds: tuple = option((), "values in this unit, such as 10 20 30 40 for dBZ: how well is predicted where they "
                                   "are reached is scored as well", of=float, may_change=True)
    every: int = option(1, "keep one frame out of so many", least=1)
    validation_from: str = option("", "time at which validation begins, such as 2016-07-05T00:00; the parts are then "
                                      "divided in the order of time")
    test_from: str = option("", "time at which the test begins")
    stride: int = option(1, "frames from the beginning of one training sequence to that of the next", least=1)
    test_stride: int = option(0, "the same for validation and test (0: --horizon, so that no frame is predicted twice)",
                              least=0)
    active: float = option(0.0, "leave out sequences in which less than this share of the pixels is above "
                                "--active-above", least=0)
    active_above: float = option(0.0, "what a pixel has to exceed to count as active, in physical units")

    def __post_init__(self):
        super().__post_init__()
        self.dates()
        if self.size and min(self.size) < metrics.SSIM_WINDOW:
            raise ConfigError(f"{called('size')}: frames of {self.size[0]}x{self.size[1]} are too small to score, "
                              f"{metrics.SSIM_WINDOW}x{metrics.SSIM_WINDOW} is the least")


    def dates(self):
        """{part: datetime64[s]} of the parts that begin at a time. ConfigError if a time is not understood."""
        texts = {"validation": self.validation_from, "test": self.test_from}
        try:
            found = {part: np.datetime64(text.removesuffix("Z"), "s") for part, text in texts.items() if text}
        except ValueError as error:
            raise ConfigError(f"{called('validation_from')} and {called('test_from')} are times such as "
                              f"2016-07-05T12:00, got {' and '.join(filter(None, texts.values())):.80}") from error
        if len(found) == 2 and not found["validation"] < found["test"]:
            raise ConfigError(f"validation comes before the test, got {called('validation_from')} "
                              f"{self.validation_from} and {called('test_from')} {self.test_from}")
        return found


def number_for_missing(options):
    """The stored number that marks places without data, or None. ConfigError if it is no number."""
    try:
        return float(options.missing) if options.missing else None
    except ValueError as error:
        raise ConfigError(f"{called('missing')} is a number, got {options.missing!r:.60}") from error


def read_clips(path, options, scale=None):
    """The Clips at `path`, read with a record of OwnOptions; on a run's Scale if one is given.

    Numbers in the run's unit are brought to its range, in whatever way they are stored. Without a unit, bytes and
    floats in [0, 1] are both pictures, and mean the same on their own scales; other numbers are read on the run's
    scale. Raises ConfigError, and DataError as read_sequences does, or if all numbers are off the run's scale.
    """
    o = options
    missing = number_for_missing(o)

    def read(ends):
        return read_sequences(path, o.size or None, o.channels or None, ends, o.unit, o.order, o.array, o.every,
                              missing, o.values or None, o.aspect)

    clips = read(o.range or None)
    if scale and scale.unit and clips.scale.unit == scale.unit:
        stored = tuple(clips.scale.stored_at(scale.units).tolist())
        clips.scale = dataclasses.replace(clips.scale, stored=stored, units=scale.units)
    elif scale and not {clips.scale.stored, scale.stored} <= PICTURES:
        clips = read(scale.stored)
        clips.scale = dataclasses.replace(scale, missing=clips.scale.missing, gaps=clips.scale.gaps)
    return clips


def metrics_of(world, options, scale):
    """The metrics of a world for frames on a Scale: also those of events, and sharpness, if there are thresholds."""
    if not options.thresholds:
        return world.metrics
    return *world.metrics, metrics.SHARPNESS, *metrics.event_metrics(scale, options.thresholds)


class OwnSequences(Source):
    """Clips read from files, as stored. Training batches are windows of them, each drawn from all, with equal chances:
    files are mapped into memory, so that this costs no more than reading in order, whatever their size.

    A world of files of its own kind is a subclass, with its own Options and these attributes:

    read       (path, options, scale of the run or None) -> Clips
    reading    the options that say how any file is to be read, also one that a run is to continue
    in_time    whether the parts are divided in the order of time, also if no option says when they begin
    """

    Options, reading, read, in_time, own_test = OwnOptions, READING, staticmethod(read_clips), False, "sequences"
    # bright, textured frames need finer patches and smaller steps than digits
    presets = {"quick": dict(hidden=(32, 32), kernel=3, patch=4, steps=1_000, rate=1e-3, rate_schedule="cosine",
                             loss="l2",
                             sampling_until=600, validate_every=200, test_sequences=300),
               "small": dict(hidden=(64,) * 4, steps=20_000, sampling_until=12_500, validate_every=1_000,
                             test_sequences=1_000),
               "paper": {}}

    def __init__(self, options, seed):
        super().__init__(options, seed)
        if not options.data:
            raise ConfigError(f"nothing to train on: name a folder of sequences with {called('data')}")
        clips = self.read(options.data, options)
        for part, path in (("validation", options.validation), ("test", options.test)):
            if path:
                clips = clips.with_part(part, self.read(path, options, clips.scale))
        height, width = clips.size
        if min(height, width) < metrics.SSIM_WINDOW:
            raise ConfigError(f"frames of {height}x{width} are too small to score, "
                              f"{metrics.SSIM_WINDOW}x{metrics.SSIM_WINDOW} is the least: resize them with "
                              f"{called('size')} 64 64")
        self.scale, self.frame = clips.scale, (height, width, clips.channels)
        self.metrics = metrics_of(type(self), options, clips.scale)
        dates = options.dates()
        self.training, self.held_out, self.test, words = split(clips, self.length, seed, options.groups,
                                                               dates if dates or self.in_time else None)
        kind = {1: "gray", 3: "colour"}.get(clips.channels, f"of {clips.channels} channels")
        self.messages = (*clips.messages, f"{options.data}: frames of {height}x{width}, {kind}, {words}")
        self.windows = self.active_windows(self.training, options.stride, "training")
        for part, held in ("validation", self.held_out), ("test", self.test):
            self.active_windows(held, self.test_stride(), part)  # a part without any is noticed now, not after training
        self.out_of = f" out of {len(self.windows):,}"
        if left := len(self.training.windows(self.length, options.stride)) - len(self.windows):
            self.messages += (f"{left:,} of {left + len(self.windows):,} training sequences are left out: less than "
                              f"{options.active:.2g} of their pixels are above {options.active_above:g} "
                              f"{clips.scale.unit}",)
        places = {name: str(Path(getattr(options, name)).expanduser().absolute())
                  for name in PLACES if getattr(options, name)}
        self.options = options.replace(**places, size=clips.size, channels=clips.channels)

    @classmethod
    def places(cls, options):
        return {name: getattr(options, name) for name in PLACES if getattr(options, name)}

    def batch(self, k, count, rows=slice(None)):
        drawn = stream("training", self.seed, k).integers(len(self.windows), size=count)[rows]
        return self.training.cut(self.windows[drawn], self.length)

    def validation(self):
        return self.take(self.held_out, self.options.validation_sequences)

    def tests(self):
        return {self.own_test: lambda: self.take(self.test, self.options.test_sequences)}

    def test_stride(self):
        return self.options.test_stride or self.options.horizon

    def active_windows(self, clips, stride, part):
        """The windows of clips, (N,2) as Clips.windows gives them, that are active enough. DataError if none is."""
        o, windows = self.options, clips.windows(self.length, stride)
        if not o.active:
            return windows
        above = clips.shares_above(clips.scale.stored_at(o.active_above))
        shares = np.array([above[n][first:first + self.length].mean() for n, first in windows])
        if not (shares >= o.active).any():
            raise DataError(f"in none of the {len(windows):,} sequences for {part}, {o.active:.2g} of the pixels or "
                            f"more are above {o.active_above:g} {clips.scale.unit}: the most is "
                            f"{max(shares, default=0):.2g}; give others, or a smaller {called('active')}")
        return windows[shares >= o.active]

    def take(self, clips, count):
        """At most `count` sequences (N,T,H,W,C), spread evenly over the clips; no frame is predicted in two of them. If
        they are too large for the memory, they are read when they are used."""
        windows = self.active_windows(clips, self.test_stride(), "the test")
        chosen = windows[np.linspace(0, len(windows) - 1, min(count, len(windows))).astype(int)]
        sequences = Sequences(lambda windows: clips.cut(windows, self.length), chosen)
        size = math.prod((len(chosen), self.length, *clips.size, clips.channels)) * clips.clips[0].dtype.itemsize
        return sequences if size > IN_MEMORY else sequences[:]

    def fingerprint(self):
        parts = {"training": self.training, "validation": self.held_out, "test": self.test}
        return {part: clips.named() for part, clips in parts.items()}


def range_of(scale):
    """For metrics.json, the physical values that are 0 and 1 for the model: without them, errors have no meaning."""
    return {"range": list(scale.units), "unit": scale.unit} if scale.unit else {}


class OneTest(OwnSequences):
    """Only a test set: all sequences of a file or folder, on a run's scale and with the metrics of its world.

    options   those of the run's world; what they say about files applies here too
    scale     the run's Scale
    world     the class of the run's world
    """

    def __init__(self, path, options, scale, world, seed):
        files = world if issubclass(world, OwnSequences) else OwnSequences
        known = {name: value for name, value in options.as_dict().items() if name in files.Options.names()}
        known["horizon"] = getattr(options, "test_horizon", options.horizon)
        Source.__init__(self, files.Options().replace(**known), seed)
        self.name = Path(path).resolve().stem
        # there are no training sequences on which a baseline could be fitted
        self.baselines = tuple(name for name in world.baselines if not metrics.BASELINES[name].fit)
        self.test = files.read(path, self.options, scale)
        self.scale, self.messages = self.test.scale, self.test.messages
        self.notes = {"data": str(Path(path).resolve())} | range_of(self.scale)
        self.metrics = metrics_of(world, self.options, self.scale)
        self.frame = *self.test.size, self.test.channels
        if not len(self.test.windows(self.length)):
            raise ConfigError(f"{path} has no {self.length} frames in a row, of which {self.options.given} would be "
                              "shown and the others predicted")

    def tests(self):
        return {self.name: lambda: self.take(self.test, self.options.test_sequences)}
