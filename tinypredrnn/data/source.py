"""Source: a world to predict, which provides training batches, a validation set and test sets."""

import abc
import dataclasses
import re

import numpy as np

from tinypredrnn import metrics
from tinypredrnn.data.scale import BYTES, Scale
from tinypredrnn.errors import ConfigError
from tinypredrnn.options import Options, option

STREAMS = ("training", "validation", "test")


def stream(name, seed, k):
    """The random generator of item `k` of one of the STREAMS: it depends only on (name, seed, k).

    The name is part of the key, so that training, validation and test differ for all seeds. ConfigError if the name is
    unknown or the seed negative.
    """
    if name not in STREAMS:
        raise ConfigError(f"expected a stream out of {', '.join(STREAMS)}, got {name!r}; take one of these.")
    if seed < 0:
        raise ConfigError(f"expected a seed of 0 or more, got {seed}; take another.")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS.index(name), k)))


@dataclasses.dataclass(frozen=True)
class SourceOptions(Options):
    """The options of every world: how many frames are shown, how many are predicted, and the sizes of the sets."""

    given: int = option(10, "frames that the network is shown", least=1)
    horizon: int = option(10, "frames that it then predicts", least=1)
    test_sequences: int = option(5_000, "sequences of each test set that are scored at the end", least=1,
                                 may_change=True)
    validation_sequences: int = option(50, "sequences of the validation set", least=1, may_change=True)


class Source(abc.ABC):
    """A world: its subclasses define the sequences, (N,T,H,W,C) as stored; `scale` maps them to [0, 1].

    Class attributes:
        Options     its record of options, a subclass of SourceOptions
        metrics     the metrics of its scores (metrics.Metric); the first one also judges the validation set
        baselines   the predictions to compare with (metrics.BASELINES)
        presets     {name: {option: value}} for `--preset`, with options of model, source and recipe; the first is the
                    default

    Attributes of each source:
        options     its options, completed from the data (for example with the size of the frames)
        frame       (height, width, channels) of its frames
        scale       a Scale
        messages    sentences for the user: what was read, left out and assumed
        notes       {name: value} to be added to the scores in metrics.json
        out_of      what follows "steps of 8 sequences" when training begins, such as " out of 100"
    """

    Options = SourceOptions
    metrics = metrics.DEFAULT
    baselines = ("copy_last",)
    presets = {"quick": {}, "paper": {}}
    frame, scale, messages, notes, out_of = None, BYTES, (), {}, ""

    def __init__(self, options, seed):
        self.options, self.seed = options, seed
        self.length = options.given + options.horizon  # frames of a training sequence

    @abc.abstractmethod
    def batch(self, k, count, rows=slice(None)):
        """The `rows` of training batch `k` of `count` sequences; it depends only on the seed and `k`."""

    @abc.abstractmethod
    def validation(self):
        """Sequences to predict from time to time during training; training and test share no frame with them."""

    @abc.abstractmethod
    def tests(self):
        """{name of a test set: a function that returns its sequences}. They may be longer than training sequences."""

    def samples(self, count):
        """At most `count` example sequences for predictions: {name: (T,H,W,C)}, as stored."""
        return {f"test sequence {n + 1}": frames
                for n, frames in enumerate(next(iter(self.tests().values()))()[:count])}

    @classmethod
    def places(cls, options):
        """The files and folders that it reads, {option: path}: no run may be written into them."""
        return {}

    def fingerprint(self):
        """The arrays that identify the data when a run is resumed, {part: {name: array}}."""
        return {"training": {"first_batch": self.batch(0, 1)}}


def check_source(source):
    """ConfigError if something is wrong with a Source that would be noticed only in training, or after it."""
    kind, frame = type(source).__name__, source.frame
    if (not isinstance(frame, tuple) or len(frame) != 3
            or not all(isinstance(n, (int, np.integer)) and n > 0 for n in frame)):
        raise ConfigError(f"{kind}.frame is (height, width, channels), got {frame!r}")
    if not isinstance(source.scale, Scale):
        raise ConfigError(f"{kind}.scale is a Scale, got {source.scale!r}")
    measures = source.metrics
    if type(measures) not in (tuple, list) or not measures or not all(isinstance(m, metrics.Metric) for m in measures):
        raise ConfigError(f"{kind}.metrics is a tuple of at least one Metric, got {measures!r:.200}")
    if measures[0].higher_is_better is None:
        raise ConfigError(f"{kind}.metrics begins with a metric of which more or less is better, since it judges the "
                          f"validation set, got {measures[0].name}")
    tests = source.tests()
    if not isinstance(tests, dict) or not tests or not all(map(callable, tests.values())):
        raise ConfigError(f"{kind}.tests() gives at least one test set, {{name: function}}, got {tests!r:.200}")
    for name in (*(metric.name for metric in measures), *tests):
        if not re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII):
            raise ConfigError(f"{kind}: metrics and test sets have names of letters, digits, _, - and ., got "
                              f"{name!r:.200}")
    unknown = [name for name in source.baselines if name not in metrics.BASELINES]
    if unknown:
        raise ConfigError(f"{kind}: baseline {unknown[0]!r} is unknown: expected some of "
                          f"{', '.join(metrics.BASELINES)}")
    batch = source.batch(0, 2)
    if not isinstance(batch, np.ndarray) or batch.shape != (2, source.length, *frame):
        raise ConfigError(f"{kind}.batch(0, 2) gives an array (2, {source.length}, {', '.join(map(str, frame))}), got "
                          f"{getattr(batch, 'shape', type(batch).__name__)}")
