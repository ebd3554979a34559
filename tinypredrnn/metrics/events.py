"""Metrics of events: whether a pixel reaches a threshold, such as 20 dBZ, in the forecast and in the truth.

A squared error hides what a user of rain forecasts asks for: did it say that it would rain hard, and where? Every known
pixel is a hit, a miss, a false alarm or a correct "no", and these are counted over the whole test set:

    CSI    hits / (hits + misses + false alarms)           critical success index, at most 1
    POD    hits / (hits + misses)                          probability of detection, at most 1
    FAR    false alarms / (hits + false alarms)            false alarm ratio, at least 0
    bias   (hits + false alarms) / (hits + misses)         frequency bias: 1 if as many are forecast as come
    FSS    1 - sum (P - Y)^2 / (sum P^2 + sum Y^2)         fractions skill score (Roberts and Lean, 2008), at most 1,
                                                           with the fractions P, Y of a window's pixels that are events

The FSS forgives a place that is wrong by less than the window. Places without data hold no events, neither in the
forecast nor in the truth; in the windows of the FSS, nor do places beyond the frame.
"""

import numpy as np

from tinypredrnn.errors import ConfigError
from tinypredrnn.metrics.metric import Metric

WINDOWS = 3, 9  # sides in pixels of the windows of the FSS
PIXELS = (2, 3, 4)  # the axes H, W and C of (N,T,H,W,C)


def event_metrics(scale, thresholds, windows=WINDOWS):
    """The metrics of events that reach each of the thresholds: CSI, POD, FAR and bias, then FSS for each window.

    scale        the Scale of the frames, for its units
    thresholds   in these units: (10, 20, 30, 40) for dBZ
    windows      sides in pixels of the windows of the FSS

    Their names are csi_10, pod_10, far_10, bias_10, fss_10_3 and so on. ConfigError if a threshold lies outside the
    scale, so that all pixels reach it, or none does.
    """
    first, last = scale.units
    if outside := [threshold for threshold in thresholds if not first < threshold <= last]:
        raise ConfigError(f"expected thresholds within the scale of the frames, above {first:g} and up to {last:g} "
                          f"{scale.unit or '(they have no unit)'}, got {outside[0]:g}: all pixels reach it, or none")
    places = [(f"{threshold:g}", f"{threshold:g} {scale.unit}".rstrip(), scale.reached_from(threshold))
              for threshold in thresholds]
    ratios = [Metric(f"{name}_{number}", f"{title} {words}", "", better, _counts(least), finish, panel)
              for name, title, better, finish, panel in RATIOS for number, words, least in places]
    return (*ratios, *(Metric(f"fss_{number}_{side}", f"FSS {words} {side}x{side}", "", True,
                              _squared_fractions(least, side), lambda sums: 1 - sums[:, 0] / sums[:, 1], panel=False)
                       for side in windows for number, words, least in places))


RATIOS = [  # name, title, which direction is better (None: neither, 1 is best), formula of the counts, its own panel
    ("csi", "CSI", True, lambda counts: counts[:, 0] / counts.sum(axis=1), True),
    ("pod", "POD", True, lambda counts: counts[:, 0] / (counts[:, 0] + counts[:, 1]), False),
    ("far", "FAR", False, lambda counts: counts[:, 2] / (counts[:, 0] + counts[:, 2]), False),
    ("bias", "bias", None, lambda counts: (counts[:, 0] + counts[:, 2]) / (counts[:, 0] + counts[:, 1]), True),
]


def _counts(least):
    """The parts of all ratios: hits, misses and false alarms of each frame, (N,T,3)."""
    def parts(prediction, truth):
        p, y = prediction >= least, truth >= least  # False at NaN
        return np.stack([kind.sum(PIXELS) for kind in (p & y, ~p & y, p & ~y)], axis=-1)

    return parts


def _squared_fractions(least, side):
    """The parts of the FSS: sum (P - Y)^2 and sum P^2 + sum Y^2 of each frame, (N,T,2)."""
    def parts(prediction, truth):
        from scipy.ndimage import uniform_filter  # takes a while to import

        p, y = (uniform_filter((frames >= least).astype(np.float64), (1, 1, side, side, 1), mode="constant")
                for frames in (prediction, truth))
        return np.stack([np.square(p - y).sum(PIXELS), (np.square(p) + np.square(y)).sum(PIXELS)], axis=-1)

    return parts
