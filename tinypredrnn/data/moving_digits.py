"""The world of Moving MNIST: training sequences that are made from digits as needed, and fixed test sets."""

import dataclasses
from pathlib import Path

import numpy as np

from tinypredrnn import metrics
from tinypredrnn.data.digits import load_digits
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import SPEEDS, MovingMNIST
from tinypredrnn.data.source import Source, SourceOptions
from tinypredrnn.errors import ConfigError
from tinypredrnn.options import called, option

TEST_SEQUENCES = 5_000  # in each fixed test set


@dataclasses.dataclass(frozen=True)
class DigitOptions(SourceOptions):
    """The options of Moving MNIST. The defaults are the paper's, Section 4.1."""

    size: tuple = option((64, 64), "height and width of the frames in pixels", least=1, count=2)
    digits: int = option(2, "digits in each sequence", least=1)
    rule: str = option("paper", "how digits move: by the paper's text, or as in Srivastava's mnist_test_seq",
                       tuple(SPEEDS))
    data_dir: str = option("", "folder with MNIST's idx files; else $TINYPREDRNN_DATA, the cache, a download, drawn "
                               "digits", may_change=True)

    def __post_init__(self):
        super().__post_init__()
        if self.test_sequences > TEST_SEQUENCES:
            raise ConfigError(f"{called('test_sequences')} is at most {TEST_SEQUENCES}, the length of a test set, got "
                              f"{self.test_sequences}")


class MovingDigits(Source):
    """Sequences of handwritten digits that move and bounce, (N,T,H,W,1) uint8. A test set is named "mnist-2" if it
    shows two digits.
    """

    Options = DigitOptions
    metrics, baselines = metrics.DIGITS, ("copy_last", "black")
    presets = {
        # minutes on two CPU cores: predictions follow the digits but are not sharp yet
        "quick": dict(hidden=(32, 32), kernel=3, patch=8, steps=1_500, optimiser="muon", rate=4e-3,
                      rate_schedule="cosine", loss="l2", sampling_until=900, validate_every=300, test_sequences=300),
        # half the paper's width and a quarter of its iterations
        "small": dict(hidden=(64,) * 4, steps=20_000, sampling_until=12_500, validate_every=1_000,
                      test_sequences=1_000),
        "paper": {},
    }

    def __init__(self, options, seed):
        super().__init__(options, seed)
        self.frame, self.generators = (*options.size, 1), {}
        if options.data_dir:
            self.options = options.replace(data_dir=str(Path(options.data_dir).expanduser().absolute()))

    @property
    def notes(self):
        return {"digits_from": self.moving("test").source}

    @property
    def messages(self):
        return f"digits: {self.notes['digits_from']}",

    def digits(self, split):
        """The Digits of "train", "validation" or "test"."""
        return load_digits(split, self.options.data_dir or None)

    def moving(self, split):
        """The generator of sequences from the digits of a split, made when it is first needed."""
        if split not in self.generators:
            o, digits = self.options, self.digits(split)
            self.generators[split] = MovingMNIST(digits.images, o.digits, o.size, self.length, o.rule, digits.source)
        return self.generators[split]

    def batch(self, k, count, rows=slice(None)):
        return self.moving("train").batch(self.seed, k, count)[rows]

    def validation(self):
        return self.moving("validation").fixed_set("validation", self.options.validation_sequences)

    def tests(self):
        count = self.options.test_sequences
        return {f"mnist-{self.options.digits}": lambda: self.moving("test").fixed_set("test", count)}

    def samples(self, count):
        """Digits drawn by our own pen: there is always something to see, without MNIST and without a network."""
        o, images = self.options, draw_digits(np.random.default_rng(0), 100)[0]
        drawn = MovingMNIST(images, o.digits, o.size, self.length, o.rule).fixed_set("test", count)
        return {f"drawn digits {n + 1}": frames for n, frames in enumerate(drawn)}

    def fingerprint(self):
        return {part: {"digits": self.moving(split).images}
                for part, split in (("training", "train"), ("validation", "validation"), ("test", "test"))}
