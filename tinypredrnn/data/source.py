"""Source: a world to predict, which gives training batches, a validation set and test sets."""

import dataclasses

import numpy as np

from tinypredrnn import metrics
from tinypredrnn.data.scale import BYTES
from tinypredrnn.errors import ConfigError
from tinypredrnn.options import Options, option

STREAMS = ("training", "validation", "test")


def stream(name, seed, k):
    """The random generator of item `k` of one of the STREAMS: a function of (name, seed, k) alone.

    The name is part of the key, so that training, validation and test never meet, whatever their seeds. ConfigError for an
    unknown name or a negative seed.
    """
    if name not in STREAMS:
        raise ConfigError(f"expected a stream out of {', '.join(STREAMS)}, got {name!r}; take one of these.")
    if seed < 0:
        raise ConfigError(f"expected a seed of 0 or more, got {seed}; take another.")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS.index(name), k)))


@dataclasses.dataclass(frozen=True)
class SourceOptions(Options):
    """What every world has to be told: how much of it is shown, and how much of it is then to be predicted."""

    given: int = option(10, "frames that the network is shown", least=1)
    horizon: int = option(10, "frames that it predicts after them", least=1)
    test_sequences: int = option(5_000, "sequences of each test set to score at the end", least=1, watches=True)
    validation_sequences: int = option(50, "sequences of the validation set", least=1, watches=True)


class Source:
    """A world: subclasses say what its sequences are. All sequences are (N,T,H,W,C), as stored; `scale` brings them to [0, 1].

    Class attributes:
        Options     its record of options, a subclass of SourceOptions
        metrics     the metrics of its scores (metrics.Metric), the first of which also judges the validation set
        baselines   what predictions are compared with (metrics.BASELINES)
        presets     {name: {option: value}} for `--preset`, options of the model, the source and the recipe alike; the first is the default

    Attributes of each source:
        options     its options; where the data decide (their size, say), as they decided
        frame       (height, width, channels) of its frames
        scale       a Scale
        said        sentences to tell the user: what was read, left out, assumed
        notes       {name: value} that the scores in metrics.json say beside themselves
        out_of      what follows "steps of 8 sequences" when a training begins, such as " out of 100"
    """

    Options = SourceOptions
    metrics = metrics.DEFAULT
    baselines = ("copy_last",)
    presets = {"quick": {}, "paper": {}}
    frame, scale, said, notes, out_of = None, BYTES, (), {}, ""

    def __init__(self, options, seed):
        self.options, self.seed = options, seed
        self.length = options.given + options.horizon  # frames of a training sequence

    def batch(self, k, count, rows=slice(None)):
        """The `rows` of training batch `k` of `count` sequences: a function of the seed and of `k` alone."""
        raise NotImplementedError

    def validation(self):
        """Sequences to predict now and then during the training; no frame of them is in a training or test sequence."""
        raise NotImplementedError

    def tests(self):
        """{name of a test set: a function that gives its sequences}. They may be longer than those of training."""
        raise NotImplementedError

    def samples(self, count):
        """At most `count` sequences to show a model at work: {name: (T,H,W,C)}, as stored."""
        return {f"test sequence {n + 1}": frames for n, frames in enumerate(next(iter(self.tests().values()))()[:count])}

    @classmethod
    def places(cls, options):
        """The files and folders that it reads, {flag: path}: a run is not written into these."""
        return {}

    def fingerprint(self):
        """The arrays by which the data are recognised when a run is resumed, {part: {name: array}}."""
        return {"training": {"first_batch": self.batch(0, 1)}}
