"""Sharpness: whether predicted frames have the contrasts of true ones, wherever they are.

The forecast with the smallest squared error is the mean of all that may come, and that is a blur. An error alone
therefore praises blur; a measure of sharpness beside it shows what the small error was bought with.
"""

import numpy as np

from tinypredrnn.metrics.metric import Metric

ROWS, COLUMNS = 2, 3  # the axes H and W of (N,T,H,W,C)


def _gradient_energy(frames):
    """The squared differences of known neighbours, down and across, summed over each frame: (N,T,H,W,C) -> (N,T)."""
    return sum(np.nansum(np.square(np.diff(frames, axis=axis)), (2, 3, 4)) for axis in (ROWS, COLUMNS))


def _parts(prediction, truth):
    return np.stack([_gradient_energy(prediction), _gradient_energy(truth)], axis=-1)


# The gradient energy of the forecasts divided by that of the truth, each summed over the test set: 1 for copying a
# frame, near 0 for a blur, above 1 for noise. By Parseval's theorem it is a ratio of power that weighs each spatial
# frequency by about its square; unlike a Fourier transform, it needs no frame without gaps.
SHARPNESS = Metric("sharpness", "sharpness", "", None, _parts, lambda sums: sums[:, 0] / sums[:, 1])
