"""Small frames, and the scores of one of them."""

import numpy as np

from tinypredrnn import metrics

SHAPE = (1, 1, 8, 8, 1)


def frames(value, shape=SHAPE):
    return np.full(shape, value, np.float32)


def random_frames(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def scores(prediction, truth, protocol="float"):
    """The scores of one frame, as numbers."""
    return {name: values.item() for name, values in metrics.score(prediction, truth, protocol=protocol).items()}
