"""Metrics that treat each pixel separately: MSE, MAE, cross-entropy, PSNR.

The functions take a prediction and a truth (...,H,W,C) with values in [0,1] and return one number per frame (...). A
pixel that is NaN in either is left out; the result is NaN if no pixel remains.
"""

import numpy as np

from tinypredrnn.metrics.metric import mean_of

PIXELS = (-3, -2, -1)  # the axes H, W and C of (...,H,W,C)


def _sum(values):
    """The sum over the known pixels of each frame, NaN if there are none: (...,H,W,C) -> (...)."""
    total = values.sum(PIXELS)
    if not np.isnan(total).any():
        return total
    unknown = np.isnan(values)
    return np.where(unknown.all(PIXELS), np.nan, np.where(unknown, 0, values).sum(PIXELS))


def _mean(values):
    """The mean over the known pixels of each frame, NaN if there are none: (...,H,W,C) -> (...)."""
    mean = values.mean(PIXELS)
    if not np.isnan(mean).any():
        return mean
    return _sum(values) / (~np.isnan(values)).sum(PIXELS)


def mse(prediction, truth):
    """The squared error, summed over the pixels of a frame: the paper's Tables 1 and 2, Figure 3."""
    return _sum(np.square(prediction - truth))


def mae(prediction, truth):
    """The absolute error, summed over the pixels of a frame."""
    return _sum(np.abs(prediction - truth))


def cross_entropy(prediction, truth):
    """The binary cross-entropy in nats per frame: `truth` and `prediction` are probabilities that a pixel is white.

    The paper's Table 1. Gray pixels have an entropy of their own, so even a perfect prediction of them is above zero.
    """
    p = np.clip(prediction, 1e-6, 1 - 1e-6)
    return -_sum(truth * np.log(p) + (1 - truth) * np.log(1 - p))


def psnr(prediction, truth):
    """The peak signal-to-noise ratio of a frame in dB, where the peak is 1: the paper's Figure 5.

    The PSNR of a perfect frame would be infinite. The mean error is set to at least 1e-10, which limits the PSNR to 100
    dB, so that means stay finite.
    """
    return -10 * np.log10(np.maximum(_mean(np.square(prediction - truth)), 1e-10))


MSE = mean_of(mse, "mse", "MSE", "sum over pixels", higher_is_better=False)
MAE = mean_of(mae, "mae", "MAE", "sum over pixels", higher_is_better=False, panel=False)  # their curves look much
CE = mean_of(cross_entropy, "ce", "CE", "nats", higher_is_better=False, panel=False)  # like that of MSE
PSNR = mean_of(psnr, "psnr", "PSNR", "dB", higher_is_better=True)
