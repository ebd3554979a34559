"""Predictions that need no model. A model that does not beat them has learnt nothing about motion."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Baseline(NamedTuple):
    """A prediction that needs no model.

    title     its row in a table: "copy last frame"
    phrase    its name within a sentence: "copying the last frame"
    perfect   what is true of sequences that it predicts perfectly: "nothing moves"
    predict   (last input frame (N,H,W,C), shape of the truth (N,T,H,W,C)) -> (N,T,H,W,C), in [0,1] and without NaN
    """

    title: str
    phrase: str
    perfect: str
    predict: Callable


def copy_last(last_input, shape):
    """Repeat the last input frame; its places without data become black."""
    return np.broadcast_to(np.where(np.isnan(last_input), 0, last_input)[:, None], shape)


def black(last_input, shape):
    """The lowest value of the scale everywhere: black, or no rain."""
    return np.broadcast_to(np.float32(0), shape)


BASELINES = {
    "copy_last": Baseline("copy last frame", "copying the last frame", "nothing moves", copy_last),
    "black": Baseline("all black", "black", "nothing is there", black),
}
