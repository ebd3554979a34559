"""Curves of the training over iterations, and of scores over predicted frames."""

import numpy as np

from tinypredrnn import metrics
from tinypredrnn.errors import DataError
from tinypredrnn.files import replacing
from tinypredrnn.viz.colours import COLOURS, SERIES

PANELS = 12  # at most, in the figure of scores by frame: six in rows of three, or more in rows of four
MODEL = {"color": COLOURS["prediction"], "marker": "o", "linestyle": "-"}
BASELINES = [  # in the order of metrics.BASELINES, and again from the start if there are more
    {"color": COLOURS["input"], "marker": "s", "linestyle": "--"},
    {"color": "black", "marker": "^", "linestyle": ":"},
    {"color": COLOURS["flow"], "marker": "v", "linestyle": "-."},
    {"color": COLOURS["blur"], "marker": "D", "linestyle": "--"},
]


def save_training_curves(path, log, measured=metrics.DIGITS):
    """Draw the training loss and the scores of the validation set over the iterations, each in its own panel.

    log       the columns of log.csv, as numbers or as the strings of the file: `iteration`, `loss`, and any whose name
              begins with `validation_`, with an empty string (or NaN) in each row where it was not measured; other
              columns are not drawn
    measured  the Metrics that give the titles and units of the panels; other columns are labelled by their names

    The logged loss is drawn as a thin line, and its running mean over a fiftieth of the log (at least five rows) as a
    thick line.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    numbers = {
        name: np.array([float("nan" if value == "" else value) for value in column])
        for name, column in log.items()
        if name in ("iteration", "loss") or name.startswith("validation_")
    }
    if not {"iteration", "loss"} <= numbers.keys() or not np.isfinite(numbers["loss"]).any():
        raise DataError(
            f"A log must have the columns iteration and loss with a finite value, and has {list(log)}: "
            "give those of log.csv."
        )
    labels = {metric.name: _label(metric.title, metric.unit) for metric in measured}
    drawn = [name for name in numbers if name != "iteration" and np.isfinite(numbers[name]).any()]

    figure = Figure(figsize=(6 * len(drawn), 3.8), layout="constrained")
    panels = np.ravel(figure.subplots(1, len(drawn), sharex=True))
    for axes, name in zip(panels, drawn, strict=True):
        there = np.isfinite(numbers[name])
        iteration, values = numbers["iteration"][there], numbers[name][there]
        if name == "loss":
            window = min(len(values), max(5, len(values) // 50))
            smooth = _running_mean(values, window)
            axes.plot(iteration, values, color=COLOURS["prediction"], alpha=0.3, linewidth=0.8, label="as logged")
            axes.plot(iteration, smooth, color=COLOURS["prediction"], linewidth=1.8, label=f"mean over {window} rows")
            if values.min() > 0 and smooth.max() > 5 * smooth.min():
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter("")
            axes.set_ylabel("training loss")
            axes.legend(frameon=False)
        else:
            axes.plot(iteration, values, color=COLOURS["prediction"], marker="o", markersize=5, linewidth=1.8)
            metric = name.removeprefix("validation_")
            axes.set_ylabel(f"validation {labels.get(metric, metric)}")
        axes.set_xlabel("iteration")
        _tidy(axes)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def save_frame_curves(path, entry):
    """Draw the scores of model and baselines over the predicted frames, as in the paper's Figures 3 and 5.

    entry   one test set's entry of metrics.json, as returned by `metrics.Scores.result`: the first twelve metrics with
            `panel` are drawn (the first twelve of all if none has it); a frame without a score leaves a gap. It may be
            those of several networks on one test set, {name: entry}; each then has a curve, and the baselines as well

    A baseline whose error is more than four times that of copying the last frame is left out, since it would flatten
    the other curves. DataError if the entry has no scores by frame.
    """
    from matplotlib.figure import Figure

    several = entry and all(isinstance(one, dict) and "sequences" in one for one in entry.values())
    networks, entry = (entry, next(iter(entry.values()))) if several else ({"model": entry}, entry)
    found = metrics.metrics_of(entry)
    drawn = ([metric for metric in found if metric["panel"]] or found)[:PANELS]
    if not drawn:
        raise DataError(
            f"An entry of metrics.json must have scores by frame, and has {list(entry)}: give what Scores.result gives."
        )
    rows = networks | {
        baseline.title: entry[name] for name, baseline in metrics.baselines_of(entry).items()
        if not _far_worse(name, entry, drawn[0])
    }
    columns = min(len(drawn), 3 if len(drawn) <= 6 else 4)
    lines = -(-len(drawn) // columns)
    figure = Figure(figsize=(13 / 3 * columns, 3.8 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    style = {name: _series(n) for n, name in enumerate(networks)} if several else {}
    for axes, metric in zip(panels, drawn):
        for title, scores in rows.items():
            curve = np.array(scores[f"{metric['name']}_per_frame"], float)  # None becomes NaN
            axes.plot(np.arange(len(curve)) + 1, curve, label=title, linewidth=1.8, markersize=5,
                      **style.get(title) or style_of(title))
        axes.set_xlabel("predicted frame")
        axes.set_ylabel(_label(metric["title"], metric["unit"]))
        axes.xaxis.get_major_locator().set_params(integer=True)
        if not metric["higher_is_better"] and axes.dataLim.y0 >= 0:
            axes.set_ylim(bottom=0)
        if metric["higher_is_better"] is None:
            axes.axhline(1, color=COLOURS["input"], linewidth=0.8)  # the best value
        _tidy(axes)
    axes.legend(frameon=False)  # in the last panel, for all
    for axes in panels[len(drawn):]:
        axes.set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def save_comparison_curves(path, panels, label, dashed=()):
    """Draw curves over the predicted frames, as in the paper's Figure 3: a panel for each test set.

    panels   {title: {name: one number for each predicted frame}}; a name has the same line in all panels
    label    what the numbers are
    dashed   the names that are no networks, in gray; one that is more than twice as bad as the worst network on the
             average is left out, since it would flatten the others
    """
    from matplotlib.figure import Figure

    networks = list(dict.fromkeys(name for curves in panels.values() for name in curves if name not in dashed))
    figure = Figure(figsize=(5.6 * len(panels) + 1.8, 4.2), layout="constrained")
    columns = np.ravel(figure.subplots(1, len(panels)))
    for axes, (title, curves) in zip(columns, panels.items()):
        worst = max(np.mean(curves[name]) for name in networks if name in curves)
        for name, curve in curves.items():
            if name in dashed:
                if np.mean(curve) > 2 * worst:
                    continue
                style = dict(color=COLOURS["input"], linestyle=("--", ":", "-.")[list(dashed).index(name) % 3])
            else:
                style = _series(networks.index(name))
            axes.plot(np.arange(len(curve)) + 1, curve, label=name, linewidth=1.8, markersize=5, **style)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("predicted frame")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(bottom=0)
        _tidy(axes)
    lines = {line.get_label(): line for axes in columns for line in axes.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside right center", frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def style_of(title):
    """How every figure draws the curve of the baseline with this title, or otherwise of the model."""
    titles = [baseline.title for baseline in metrics.BASELINES.values()]
    return BASELINES[titles.index(title) % len(BASELINES)] if title in titles else MODEL


def _far_worse(name, entry, metric):
    """Whether a baseline has more than four times the error of copying the last frame."""
    error, last = (entry.get(row, {}).get(metric["name"]) for row in (name, "copy_last"))
    return metric["higher_is_better"] is False and error is not None and last is not None and error > 4 * last


def _series(number):
    """The line of network `number`: colours first, then other markers."""
    again = number // len(SERIES)
    return {"color": SERIES[number % len(SERIES)], "marker": "os^Dv"[again % 5], "linestyle": ("-", "--")[again % 2]}


def _label(title, unit):
    return f"{title} ({unit})" if unit else title


def _tidy(axes):
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)


def _running_mean(values, window):
    """The mean over a window centred on each value; at the ends, over the part of the window that has values."""
    ones = np.ones(window)
    return np.convolve(values, ones, "same") / np.convolve(np.ones_like(values), ones, "same")
