"""Config: everything that decides a run, in one place. It travels inside the checkpoint, so that no flag has to be repeated."""

import dataclasses
import math

from tinypredrnn.errors import ConfigError
from tinypredrnn.gpu import PRECISIONS
from tinypredrnn.models import MODELS
from tinypredrnn.nn.losses import LOSSES

TEST_SEQUENCES = 5_000  # in each fixed test set
LARGEST_WHOLE, LARGEST = 10**12, 1e30  # limits for whole and for other numbers, except the seed: more cannot be meant


def option(default, help, choices=None):
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


def same_kind(value, default):
    """Whether a value can stand where `default` does: a tuple of ints for a tuple, a finite number for a float, else the same type."""
    if type(default) is tuple:
        return type(value) is tuple and all(type(n) is int for n in value)
    if type(default) is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is type(default)


@dataclasses.dataclass(frozen=True)
class Config:
    """The options of a run. The defaults are the preset `paper`.

    From the paper, Section 4: 4 layers of 128, L1 + L2 loss, Adam with a starting rate of 1e-3, batches of 8, 80,000 iterations,
    10 frames in and 10 out. From the authors' code, where the paper is silent: 5x5 kernels, patches of 4x4 pixels, forget bias 1 on both
    forget gates, no layer normalisation, scheduled sampling over the first 50,000 iterations, the loss over all 19 outputs.
    """

    model: str = option("predrnn", "network: Equation 2, 3 or 4 of the paper", MODELS)  # those registered later as well
    size: tuple = option((64, 64), "height and width of the frames in pixels")
    channels: int = option(1, "channels of a frame: 1 gray, 3 colour")
    hidden: tuple = option((128, 128, 128, 128), "width of each layer, from the bottom up")
    kernel: int = option(5, "side of all gate kernels, odd")
    patch: int = option(4, "patch x patch pixels become channels of one position (authors' code; 1: none)")
    forget_bias: float = option(1.0, "what the biases of all forget gates start at (authors' code)")
    layer_norm: bool = option(False, "normalise the gates of each convolution (authors' code, off in their scripts)", (True, False))
    given: int = option(10, "frames that the network is shown")
    horizon: int = option(10, "frames that it predicts after them")
    digits: int = option(2, "digits in each training sequence")
    rule: str = option("paper", "how digits move: by the paper's text, or as in Srivastava's mnist_test_seq", ("paper", "srivastava"))
    batch: int = option(8, "sequences in a batch")
    steps: int = option(80_000, "training iterations; a run that is resumed may be given more, and a cosine is then stretched to these")
    rate: float = option(1e-3, "Adam's learning rate at the start")
    rate_schedule: str = option("constant", "how the rate goes on: constant, or up over the first 2 %% and down a cosine to 0",
                                ("constant", "cosine"))
    clip: float = option(0.0, "largest length of the whole gradient (0: any)")
    loss: str = option("l1+l2", "what is made small", tuple(LOSSES))
    loss_over: str = option("all", "outputs that the loss looks at: all of them, or only those after the given frames", ("all", "future"))
    sampling: str = option("linear", "scheduled sampling: true frames instead of predictions less and less; reverse: also while watching",
                           ("off", "linear", "reverse"))
    sampling_until: int = option(50_000, "iteration at which no true future frame is fed any more")
    validate_every: int = option(5_000, "iterations between two looks at the validation set, with pictures")
    test_sequences: int = option(TEST_SEQUENCES, "sequences of each test set to score at the end")
    precision: str = option("auto", "rounding of factors in a GPU's convolutions; auto: tf32, as in PyTorch's; a CPU computes in fp32",
                            ("auto", *PRECISIONS))
    seed: int = option(0, "of weights, data and sampling: the same seed gives the same run")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), field.metadata["choices"]
            if not same_kind(value, field.default):
                raise ConfigError(f"{field.name} is given like {field.default!r}, got {value!r}")
            if choices and value not in choices:
                raise ConfigError(f"{field.name} is one of {', '.join(map(str, choices))}, got {value!r}")
            numbers = value if type(value) is tuple else (value,)
            limits = {int: LARGEST_WHOLE, float: LARGEST} if field.name != "seed" else {}
            if any(abs(n) > limits[type(n)] for n in numbers if type(n) in limits):
                raise ConfigError(f"{field.name} is too large: {value!r:.60}; the limits are {LARGEST_WHOLE:,} and {LARGEST:g}")
        least = dict(given=1, horizon=1, digits=1, batch=1, steps=1, validate_every=1, test_sequences=1, sampling_until=0, seed=0, clip=0)
        for name, least_value in least.items():
            if getattr(self, name) < least_value:
                raise ConfigError(f"{name} is at least {least_value}, got {getattr(self, name)}")
        if self.rate <= 0:
            raise ConfigError(f"rate is positive, got {self.rate}")
        if len(self.size) != 2:
            raise ConfigError(f"size is a height and a width, got {self.size}")
        if self.test_sequences > TEST_SEQUENCES:
            raise ConfigError(f"test_sequences is at most {TEST_SEQUENCES}, the length of a test set, got {self.test_sequences}")

    def replace(self, **changes):
        """A Config with some options changed; ConfigError for an unknown name or an impossible value."""
        unknown = changes.keys() - {field.name for field in dataclasses.fields(self)}
        if unknown:
            raise ConfigError(f"unknown option {', '.join(sorted(unknown))}")
        return dataclasses.replace(self, **{name: tuple(v) if isinstance(v, list) else v for name, v in changes.items()})

    def as_dict(self):
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    def model_options(self):
        """What build_model takes."""
        names = ("size", "channels", "hidden", "kernel", "patch", "forget_bias", "layer_norm", "seed")
        return {"name": self.model} | {name: getattr(self, name) for name in names}


PRESETS = {
    # minutes on two CPU cores: the digits are followed, not yet sharp
    "quick": dict(hidden=(32, 32), kernel=3, patch=8, steps=1_000, rate=4e-3, rate_schedule="cosine", loss="l2",
                  sampling_until=600, validate_every=200, test_sequences=300),
    # half the paper's width and a quarter of its iterations
    "small": dict(hidden=(64,) * 4, steps=20_000, sampling_until=12_500, validate_every=1_000, test_sequences=1_000),
    "paper": {},
}


def preset(name):
    """The Config of that name: "quick", "small" or "paper"."""
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} is unknown: expected one of {', '.join(PRESETS)}")
    return Config(**PRESETS[name])


def add_arguments(parser, without=()):
    """A flag for every option of Config but those in `without`, with its help; left out, a flag changes nothing."""
    for field in dataclasses.fields(Config):
        if field.name in without:
            continue
        flag, kind = "--" + field.name.replace("_", "-"), type(field.default)
        shown = " ".join(map(str, field.default)) if kind is tuple else field.default
        details = dict(help=f"{field.metadata['help']} (paper: {shown})", default=None)
        if kind is bool:
            parser.add_argument(flag, action="store_true", **details)
        elif kind is tuple:
            parser.add_argument(flag, type=int, nargs="+", metavar="N", **details)
        else:
            choices = field.metadata["choices"]
            parser.add_argument(flag, type=kind, choices=choices, metavar=None if choices else {int: "N", float: "X"}[kind], **details)


def given_options(arguments):
    """The Config options that were given on the command line, as {name: value}."""
    named = {field.name: getattr(arguments, field.name, None) for field in dataclasses.fields(Config)}
    return {name: value for name, value in named.items() if value is not None}
