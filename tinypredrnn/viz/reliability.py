"""The reliability diagram of probabilities: how often an event came, against how probable it was said to be."""

import numpy as np

from tinypredrnn.errors import DataError
from tinypredrnn.files import replacing
from tinypredrnn.viz.colours import SMALL_TEXT
from tinypredrnn.viz.curves import style_of


def save_reliability(path, counts, title=""):
    """Draw a reliability diagram, with the numbers of forecasts below it.

    counts   (bins,3), sums of `metrics.count_reliability`; or {"model": (bins,3), title of a baseline: ...}
    title    such as the event

    On the diagonal, probabilities mean what they say; below it an event is forecast with too large a probability. The
    thin line is the climate, how often the event came at all: a forecast that always says that is reliable, and
    useless. DataError if there are no forecasts.
    """
    from matplotlib.figure import Figure

    several = counts if isinstance(counts, dict) else {"model": counts}
    if not several or not all(np.asarray(c)[:, 0].sum() > 0 for c in several.values()):
        raise DataError("A reliability diagram needs at least one forecast whose event is known: give its counts.")
    figure = Figure(figsize=(5, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    above.plot([0, 1], [0, 1], color=SMALL_TEXT, linewidth=0.8)
    for name, numbers in several.items():
        forecasts, probabilities, events = np.asarray(numbers, float).T
        used, style = forecasts > 0, style_of(name)
        above.plot(probabilities[used] / forecasts[used], events[used] / forecasts[used], label=name, **style)
        above.axhline(events.sum() / forecasts.sum(), color=style["color"], linewidth=0.8, alpha=0.5)
        below.plot((np.arange(len(forecasts))[used] + 0.5) / len(forecasts), forecasts[used], **style)
    above.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", ylabel="observed frequency", title=title)
    above.legend(frameon=False)
    below.set(xlabel="forecast probability", ylabel="forecasts", yscale="log")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
