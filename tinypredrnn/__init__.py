"""tinypredrnn: spatiotemporal prediction, from `a + b` to PredRNN, in code to be read.

    import tinypredrnn as tp

    x = tp.tensor(array, requires_grad=True)
    y = tp.conv2d(x, w, b)
    y.backward(cotangent)
    model = tp.build_model("predrnn", size=(64, 64), channels=1, hidden=(64, 64), kernel=5, patch=4)
    frames = model(sequence, horizon=10)

Arrays are channels-last: frames (batch, height, width, channels), sequences (batch, time, height, width, channels).
"""

import importlib

from tinypredrnn import cells, errors, nn
from tinypredrnn.autograd import *  # noqa: F403 (the ops, Tensor and gradcheck)
from tinypredrnn.gpu import precision
from tinypredrnn.malloc import keep_freed_memory
from tinypredrnn.models import build_model
from tinypredrnn.models.official import export_official, import_official

__version__ = "0.1.0"


def __getattr__(name):
    """Rooms that need numba, matplotlib or scikit-image open when they are first entered, so that the import stays
    quick."""
    if name in ("course", "data", "metrics", "optim", "train", "viz"):
        return importlib.import_module(f"tinypredrnn.{name}")
    if name == "load":
        return importlib.import_module("tinypredrnn.train").load
    raise AttributeError(f"module 'tinypredrnn' has no attribute {name!r}")
