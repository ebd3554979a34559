"""The networks, by name. To add one, write `tp.models.MODELS["mine"] = Mine`, where Mine is a Predictor subclass."""

import operator

from tinypredrnn.errors import ConfigError, TooLargeError
from tinypredrnn.memory import format_bytes, memory_limit
from tinypredrnn.models.cdna import CDNA
from tinypredrnn.models.convlstm import ConvLSTMForecaster, ConvLSTMNetwork
from tinypredrnn.models.dfn import DFN
from tinypredrnn.models.fc_lstm import FCLSTM
from tinypredrnn.models.mcnet import MCnet
from tinypredrnn.models.predictor import Predictor
from tinypredrnn.models.prednet import PredNet
from tinypredrnn.models.predrnn import PredRNN, PredRNNM
from tinypredrnn.models.predrnn_pp import PredRNNPlusPlus
from tinypredrnn.models.predrnn_v2 import PredRNNV2
from tinypredrnn.models.vpn import VPN
from tinypredrnn.nn.layout import generator, layout_only

MODELS = {"convlstm": ConvLSTMNetwork, "predrnn_m": PredRNNM, "predrnn": PredRNN, "predrnn_pp": PredRNNPlusPlus,
          "predrnn_v2": PredRNNV2, "convlstm_shi": ConvLSTMForecaster, "fc_lstm": FCLSTM, "cdna": CDNA, "dfn": DFN,
          "vpn": VPN, "prednet": PredNet, "mcnet": MCnet}


def build_model(name, size=(64, 64), channels=1, seed=0, **options):
    """A network with freshly drawn weights, float32 on the CPU; `.to(device, dtype)` changes that.

    name       "convlstm" (Equation 2), "predrnn_m" (Equation 3), "predrnn" (Equation 4), or another name in MODELS
    size       (height, width) of the frames; of these three, "predrnn" runs at any size afterwards, the others only at
               this one, because of their peepholes
    channels   of a frame: 1 for gray, 3 for colour, or another number
    seed       of the weights: the same seed gives the same network
    options    those of the model (its class's Options). For these three networks: hidden=(128,) * 4, the width of each
               layer from the bottom up; kernel=5, the odd side of all gate kernels; patch=4, the side of the patches
               whose pixels become channels; forget_bias=1.0; layer_norm=False

    Raises ConfigError if the name or an option is unknown or the size impossible, TooLargeError if the weights do not
    fit into memory.
    """
    frame = *whole_numbers("size", size, 2), *whole_numbers("channels", [channels], 1)
    if not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"build_model: seed is a whole number from 0 up, got {seed!r}")
    return construct(name, frame, find_model(name).Options().replace(**options), seed)


def construct(name, frame, options, seed):
    """The network `name` for frames (height, width, channels), with a record of options. Errors as in build_model."""
    try:
        lay_out(memory_limit(), name, frame, options, seed)
    except TooLargeError as error:
        smaller = ", ".join(option for option in options.names() if option in ("hidden", "width", "kernel"))
        raise TooLargeError("build_model: the weights of this network do not fit into the "
                            f"{format_bytes(memory_limit())} of memory that there is: choose a smaller {smaller} or "
                            "size") from error
    return find_model(name)(frame, options, generator(seed))


def lay_out(most, name, frame, options, seed=0):
    """The network that `construct` would return, but without memory: its parameters have shapes and no values.

    TooLargeError if they would take more than `most` bytes.
    """
    with layout_only(most):
        return find_model(name)(frame, options, generator(seed))


def find_model(name):
    """The network class of that name. ConfigError if there is none."""
    if name not in MODELS:
        raise ConfigError(f"model {name!r} is unknown: expected one of {', '.join(MODELS)}")
    return MODELS[name]


def whole_numbers(what, values, count):
    """`values` as a tuple of ints. ConfigError unless they are `count` whole numbers, each at least 1."""
    try:
        numbers = tuple(operator.index(v) for v in values)
    except TypeError:
        numbers = ()
    if len(numbers) != count or min(numbers) < 1:
        raise ConfigError(f"build_model: {what} is made of {count} whole number(s) from 1 up, got {values!r}")
    return numbers


__all__ = ["MODELS", "Predictor", "build_model", "construct", "find_model", "lay_out"]
