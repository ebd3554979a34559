"""The networks, by name."""

import operator

from tinypredrnn.errors import ConfigError, TooLargeError
from tinypredrnn.memory import in_words, memory_limit
from tinypredrnn.models.convlstm import ConvLSTMNetwork
from tinypredrnn.models.predictor import Predictor
from tinypredrnn.models.predrnn import PredRNN, PredRNNM
from tinypredrnn.nn.layout import generator, layout_only

MODELS = {"convlstm": ConvLSTMNetwork, "predrnn_m": PredRNNM, "predrnn": PredRNN}


def build_model(name, size=(64, 64), channels=1, hidden=(128,) * 4, kernel=5, patch=4, seed=0, **options):
    """A network with freshly drawn weights, float32 on the CPU; `.to(device, dtype)` changes that.

    name       "convlstm" (Equation 2), "predrnn_m" (Equation 3) or "predrnn" (Equation 4)
    size       frames' (height, width), divisible by `patch`; "predrnn" runs at any size afterwards, the peepholes of the others fix it
    channels   of a frame: 1 gray, 3 colour
    hidden     one width for each layer, from the bottom up
    kernel     of all gate convolutions, odd
    patch      frames are cut into patch x patch pixels that become channels
    seed       of the weights: the same seed gives the same network
    options    forget_bias=1.0 and layer_norm=False

    Raises ConfigError for an unknown name, an unknown option or an impossible size, TooLargeError if the weights do not
    fit into the memory that there is.
    """
    options |= dict(name=name, size=size, channels=channels, hidden=hidden, kernel=kernel, patch=patch, seed=seed)
    try:
        lay_out(**options, most=memory_limit())
    except TooLargeError as error:
        raise TooLargeError(f"build_model: the weights of this network do not fit into the {in_words(memory_limit())} of memory "
                            "that there is: take a smaller hidden, kernel or size") from error
    return construct(**options)


def lay_out(most, **options):
    """The network that `build_model(**options)` would give, without memory: its parameters have shapes, but no numbers.

    TooLargeError if they would take more than `most` bytes.
    """
    with layout_only(most):
        return construct(**options)


def construct(name, size, channels, hidden, kernel, patch, seed, **options):
    """The network. Its options are those of build_model, and are checked here."""
    if name not in MODELS:
        raise ConfigError(f"model {name!r} is unknown: expected one of {', '.join(MODELS)}")
    unknown = options.keys() - {"forget_bias", "layer_norm"}
    if unknown:
        raise ConfigError(f"build_model: unknown option {', '.join(sorted(unknown))}: a model has forget_bias and layer_norm")
    size, hidden = whole_numbers("size", size), whole_numbers("hidden", hidden)
    channels, kernel, patch = (whole_numbers(option, [value])[0] for option, value in
                               (("channels", channels), ("kernel", kernel), ("patch", patch)))
    if not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"build_model: seed is a whole number from 0 up, got {seed!r}")
    if len(size) != 2:
        raise ConfigError(f"build_model: size is (height, width), got {size}")
    return MODELS[name](size, channels, hidden, kernel, patch, generator(seed), **options)


def whole_numbers(option, values):
    """`values` as a tuple of ints; ConfigError if they are not whole numbers from 1 up."""
    try:
        numbers = tuple(operator.index(v) for v in values)
    except TypeError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise ConfigError(f"build_model: {option} is made of whole numbers from 1 up, got {values!r}")
    return numbers


__all__ = ["MODELS", "Predictor", "build_model", "lay_out"]
