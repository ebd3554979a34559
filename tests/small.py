"""Modules small enough to check to the last digit: float64, and every parameter random, so that nothing hides behind a zero."""

import numpy as np

from tinypredrnn import build_model
from tinypredrnn.models import MODELS

NETWORKS = {"convlstm": (3, 2, 4), "predrnn_m": (3, 3, 3), "predrnn": (3, 2, 4)}  # three layers, of unequal widths where that can be


def shake(module, seed=0, scale=0.3):
    """Convert to float64 and add to every parameter noise of its own: also to peepholes and biases, which start at round numbers."""
    rng = np.random.default_rng([seed, 1])
    module.to(dtype=np.float64)
    for parameter in module.parameters():
        parameter.data = parameter.data + scale * rng.standard_normal(parameter.shape)
    return module


def small_network(name, size=(6, 8), channels=2, hidden=None, kernel=3, patch=2, seed=0, **options):
    return shake(build_model(name, size, channels, seed, hidden=hidden or NETWORKS[name], kernel=kernel, patch=patch, **options), seed)


def small_options(name, **changes):
    """The options of a small network of any kind: those of these that it has."""
    options = dict(hidden=(3, 3), kernel=3, patch=1, width=2) | changes
    return {option: value for option, value in options.items() if option in MODELS[name].Options.names()}


def random_frames(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng([seed, 2]).random(shape).astype(dtype)
