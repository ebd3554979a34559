"""Predictions that need no model. A model that does not beat them has learnt nothing about motion.

A forecaster asks for more than that: to move the last frame with its own motion (flow.py), or to blur it as much as
pays, is what a model of rain has to beat. The blur shows what a squared error rewards without any idea of motion.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinypredrnn.metrics.flow import extrapolate


class Baseline(NamedTuple):
    """A prediction that needs no model.

    title     its row in a table: "copy last frame"
    phrase    its name within a sentence: "copying the last frame"
    perfect   what is true of sequences that it predicts perfectly: "nothing moves"
    predict   (input frames (N,J,H,W,C), shape of the truth (N,T,H,W,C)) -> (N,T,H,W,C), in [0,1] and without NaN
    fit       for a baseline that training sequences adjust: batches (inputs, truth) of them -> {name: numbers}, which
              `predict` then gets as well, and which is stored with its scores
    """

    title: str
    phrase: str
    perfect: str
    predict: Callable
    fit: Callable | None = None


def copy_last(inputs, shape):
    """Repeat the last input frame; its places without data become black. Forecasters call it persistence."""
    return np.broadcast_to(np.nan_to_num(inputs[:, -1:]), shape)


def black(inputs, shape):
    """The lowest value of the scale everywhere: black, or no rain."""
    return np.broadcast_to(np.float32(0), shape)


def move_last(inputs, shape):
    """Move the last input frame on with the mean optical flow of the input frames; see flow.py."""
    return np.stack([extrapolate(np.nan_to_num(frames), shape[1]) for frames in inputs])


WIDTHS = 0, *(2 ** (k / 2) for k in range(-2, 9))  # the blurs to choose from: standard deviations in pixels, 0 to 16


def blur(frames, width):
    """Frames (N,H,W,C) blurred by a Gaussian with this standard deviation in pixels.

    Only known places are averaged; if none is near, the result is 0.
    """
    from scipy.ndimage import gaussian_filter  # takes a while to import

    known = ~np.isnan(frames)
    total, weight = (gaussian_filter(values, (0, width, width, 0), mode="nearest")
                     for values in (np.where(known, frames, 0), known.astype(frames.dtype)))
    return total / np.maximum(weight, 1e-6)


def blur_last(inputs, shape, widths):
    """Repeat the last input frame, blurred by widths[t] for predicted frame t; after the last width, by that one."""
    widths = [widths[min(t, len(widths) - 1)] for t in range(shape[1])]
    blurred = {width: blur(inputs[:, -1], width) for width in set(widths)}
    return np.stack([blurred[width] for width in widths], axis=1)


def fit_blur(batches):
    """The width out of WIDTHS with the smallest squared error over all training sequences, for each predicted frame.

    batches   of (inputs (N,J,H,W,C), truth (N,T,H,W,C)) of training sequences
    """
    def squared_errors(inputs, truth):  # (widths, T)
        return np.stack([np.nansum(np.square(blur(inputs[:, -1], width)[:, None] - truth), (0, 2, 3, 4), np.float64)
                         for width in WIDTHS])

    best = sum(squared_errors(*batch) for batch in batches).argmin(axis=0)
    return {"widths": [WIDTHS[k] for k in best]}


BASELINES = {
    "copy_last": Baseline("copy last frame", "copying the last frame", "nothing moves", copy_last),
    "black": Baseline("all black", "black", "nothing is there", black),
    "flow": Baseline("optical flow", "optical flow", "nothing changes but by a steady flow", move_last),
    "blur_last": Baseline("blur last frame", "blurring the last frame", "nothing moves, and a blur changes nothing",
                          blur_last, fit_blur),
}
