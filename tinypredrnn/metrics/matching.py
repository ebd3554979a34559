"""Probability matching: forecasts with the places of a network and the values of an observation (Ebert 2001).

A network that is trained on a squared error forecasts the mean of what may come. Where it has most rain tends to be
right, but the mean has too little of heavy rain and too much of light rain. So each pixel gets, by its rank, another
value: the largest forecast becomes the largest value of the last frame that was seen, and so on. Every forecast then
has as many pixels above any threshold as that frame. Weather services do the same (in pySTEPS it is
`nonparam_match_empirical_cdf`), supposing that rain moves and turns, and on the whole neither grows nor decays.
"""

import numpy as np

from tinypredrnn.metrics.baselines import blur

TIES = 2.0  # pixels: where forecasts are equal, such as 0, those come first that have larger ones around


def match(prediction, inputs):
    """Forecasts (N,T,H,W,C) whose values are those of the last of their input frames (N,J,H,W,C), in the order of the
    forecasts' own. Places where that frame has no data keep their forecast.
    """
    matched = prediction.copy()
    for n, (forecasts, last) in enumerate(zip(prediction, inputs[:, -1])):  # (T,H,W,C), (H,W,C)
        around = blur(forecasts, TIES)
        for c in range(last.shape[-1]):
            known = ~np.isnan(last[..., c])
            values = np.sort(last[known, c])
            for t, forecast in enumerate(forecasts):
                ranked = np.empty_like(values)
                ranked[np.lexsort((around[t, known, c], forecast[known, c]))] = values
                matched[n, t, known, c] = ranked
    return matched
