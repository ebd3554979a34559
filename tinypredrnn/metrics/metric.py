"""A metric consists of parts that are summed over sequences, and a formula that turns the sums into a score.

A mean over sequences is a sum of values divided by their number. The critical success index is the number of hits
divided by the number of hits, misses and false alarms, each counted over the whole test set; the mean of the ratios of
single sequences would be another number, and undefined if one sequence is dry. Both are sums with one formula at the
end, so a test set may be divided into batches, or among processes, in any way.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Metric(NamedTuple):
    """A metric of predicted frames.

    name              its key in metrics.json, where NAME_per_frame is the list of scores by frame: "mse", "csi_10"
    title             its name in tables and on axes: "MSE", "CSI 10 dBZ"
    unit              "dB", "nats", ...; "" for a plain number, which is then written with three decimals instead of two
    higher_is_better  True or False; None if neither is, and 1 is best, as of a bias
    parts             (prediction, truth) -> (N,T,P), numbers that are summed over the N sequences
    finish            the sums (T,P) -> (T,), the scores by frame; 0/0 is allowed, and means that there is no score
    panel             whether the figure of scores by frame has a panel for it

    `parts` gets float64 arrays (N,T,H,W,C) with values in [0,1]; both are NaN at pixels whose truth is unknown. These
    pixels must not count: comparisons ignore them without further care (`prediction >= 0.5` is False), sums do not.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool | None
    parts: Callable
    finish: Callable
    panel: bool = True


def mean_of(per_frame, name, title, unit, higher_is_better, panel=True):
    """The Metric whose score is the mean over the sequences of a number for each frame.

    per_frame   (prediction, truth), (N,T,H,W,C) each -> (N,T), with NaN for frames to be left out
    """

    def parts(prediction, truth):
        values = per_frame(prediction, truth)
        missing = np.isnan(values)
        return np.array([np.where(missing, 0, values), ~missing]).transpose(1, 2, 0)

    return Metric(name, title, unit, higher_is_better, parts, lambda sums: sums[:, 0] / sums[:, 1], panel)


def on_levels(metric):
    """The same Metric on frames that are rounded down to 256 levels of gray, as by uint8(255 x)."""

    def floored(frames):
        levels = 255 * frames
        np.floor(levels, out=levels)
        levels /= 255
        return levels

    return metric._replace(parts=lambda prediction, truth: metric.parts(floored(prediction), floored(truth)))
