"""Reliability of probabilities: of all places where an event was forecast with 70 %, did it come in 70 %?

    counts = sum(count_reliability(p, events) for p, events in batches)       (bins,3), for viz.save_reliability
"""

import numpy as np

from tinypredrnn.errors import DataError, ShapeError


def count_reliability(probability, event, bins=10):
    """Count probabilities and events by bins of the probability, each 1/bins wide: (bins,3), to be summed over batches.

    probability   any shape, from 0 to 1
    event         the same shape: 1 or True if it came, 0 or False if not, NaN if that is not known

    The columns are how many probabilities there are, their sum, and how many of them were followed by the event. The
    second divided by the first is the forecast probability of a bin, the third by the first its observed frequency.
    Places where the event is not known are left out. ShapeError or DataError.
    """
    probability, event = np.asarray(probability, np.float64), np.asarray(event, np.float64)
    if probability.shape != event.shape:
        raise ShapeError(f"Probabilities and events must have the same shape, and have {probability.shape} and "
                         f"{event.shape}: give both the same places.")
    known = ~np.isnan(event)
    p, came = probability[known], event[known]
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("Probabilities must lie between 0 and 1, and some do not: has their model diverged?")
    if not np.isin(came, (0, 1)).all():
        raise DataError("Events must be 0, 1 or NaN, and some are not: compare the truth with the threshold first.")
    number = np.minimum((p * bins).astype(int), bins - 1)
    return np.stack([np.bincount(number, weights, bins) for weights in (np.ones_like(p), p, came)], axis=-1)
