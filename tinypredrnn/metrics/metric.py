"""What a metric is: parts that add up, and a formula that turns their sums into a score.

A mean over sequences is a sum of values divided by how many there are. The critical success index is the number of hits
divided by that of hits, misses and false alarms, each counted over the whole test set; the mean of such ratios,
sequence by sequence, would be another number, and undefined as soon as one sequence is dry. Both are sums first and one
formula at the end, so a test set may be cut into batches at will, or among processes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Metric(NamedTuple):
    """A metric of predicted frames.

    name              its key in metrics.json, where NAME_per_frame is the list of scores by frame: "mse", "csi_10"
    title             what people call it, in tables and on axes: "MSE", "CSI 10 dBZ"
    unit              "dB", "nats", ...; "" for a plain number, which is then written with three decimals instead of two
    higher_is_better  True or False
    parts             (prediction, truth) -> (N,T,P), numbers that are to be summed over the N sequences
    finish            the sums (T,P) -> (T,), the scores by frame; 0/0 is fine, and means that there is no score
    panel             whether the figure of scores by frame has a panel for it

    `parts` gets float64 arrays (N,T,H,W,C) with values in [0,1]; both are NaN at a pixel whose truth is not known. Such
    a pixel must not be counted, which needs no care where values are compared (`prediction >= 0.5` is False there) and
    does where they are summed.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    parts: Callable
    finish: Callable
    panel: bool = True


def mean_of(per_frame, name, title, unit, higher_is_better, panel=True):
    """The Metric that is the mean over the sequences of a number for each frame.

    per_frame   (prediction, truth), (N,T,H,W,C) each -> (N,T), NaN for a frame that is to be left out
    """

    def parts(prediction, truth):
        values = per_frame(prediction, truth)
        missing = np.isnan(values)
        return np.array([np.where(missing, 0, values), ~missing]).transpose(1, 2, 0)

    return Metric(name, title, unit, higher_is_better, parts, lambda sums: sums[:, 0] / sums[:, 1], panel)


def on_levels(metric):
    """The same Metric of frames that are floored to 256 levels of gray, as uint8(255 x) leaves them."""

    def floored(frames):
        levels = 255 * frames
        np.floor(levels, out=levels)
        levels /= 255
        return levels

    return metric._replace(parts=lambda prediction, truth: metric.parts(floored(prediction), floored(truth)))
