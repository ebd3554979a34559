"""How a model learns and how far it sees: curves over iterations, and over predicted frames."""

import numpy as np

from tinypredrnn.errors import DataError
from tinypredrnn.files import replacing
from tinypredrnn.metrics import ROW_TITLES
from tinypredrnn.viz.colours import COLOURS

AXIS_LABELS = {
    "mse": "MSE per frame (sum over pixels)",
    "mae": "MAE per frame (sum over pixels)",
    "ce": "cross-entropy per frame (nats)",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
}


def save_training_curves(path, log):
    """Draw the training loss, and each measure of the validation set in a panel of its own, over the iterations.

    log     the columns of log.csv, as numbers or as the strings of the file: `iteration`, `loss`, and any whose name begins with
            `validation_`, with an empty string (or NaN) in each row where it was not measured; other columns are not drawn

    The loss is drawn faintly as it was logged, and boldly as a running mean over a fiftieth of the log (at least five rows).
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
            f"A log must have the columns iteration and loss with a finite value, and has {list(log)}: give those of log.csv."
        )
    drawn = [name for name in numbers if name != "iteration" and np.isfinite(numbers[name]).any()]

    figure = Figure(figsize=(6 * len(drawn), 3.8), layout="constrained")
    panels = np.ravel(figure.subplots(1, len(drawn), sharex=True))
    for axes, name in zip(panels, drawn, strict=True):
        measured = np.isfinite(numbers[name])
        iteration, values = numbers["iteration"][measured], numbers[name][measured]
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
            axes.set_ylabel(f"validation {AXIS_LABELS.get(metric, metric)}")
        axes.set_xlabel("iteration")
        _tidy(axes)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def save_frame_curves(path, metrics):
    """Draw MSE, PSNR and SSIM over the predicted frames, as in the paper's Figures 3 and 5, beside the two baselines.

    metrics     one test set's entry of metrics.json, as `metrics.Scores.result` gives it

    All black is left out where it is hopeless (more than four times the error of the last frame), as it would flatten the rest.
    """
    from matplotlib.figure import Figure

    missing = {"mse_per_frame", "psnr_per_frame", "ssim_per_frame", "copy_last", "black"} - metrics.keys()
    if missing:
        raise DataError(
            f"An entry of metrics.json must have {', '.join(sorted(missing))} and has not: give what Scores.result gives."
        )
    rows = {"model": metrics, "copy_last": metrics["copy_last"]}
    if metrics["black"]["mse"] <= 4 * metrics["copy_last"]["mse"]:
        rows["black"] = metrics["black"]
    styles = {
        "model": {"color": COLOURS["prediction"], "marker": "o"},
        "copy_last": {"color": COLOURS["input"], "marker": "s", "linestyle": "--"},
        "black": {"color": "black", "marker": "^", "linestyle": ":"},
    }
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 3), ("mse", "psnr", "ssim"), strict=True):
        for row, scores in rows.items():
            curve = scores[f"{metric}_per_frame"]
            axes.plot(np.arange(len(curve)) + 1, curve, label=ROW_TITLES[row], linewidth=1.8, markersize=5, **styles[row])
        axes.set_xlabel("predicted frame")
        axes.set_ylabel(AXIS_LABELS[metric])
        axes.xaxis.get_major_locator().set_params(integer=True)
        if metric == "mse":
            axes.set_ylim(bottom=0)
        _tidy(axes)
    axes.legend(frameon=False)  # in the last panel, for all
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _tidy(axes):
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)


def _running_mean(values, window):
    """The mean over a window centred on each value; at the ends, over the part of it that there is."""
    ones = np.ones(window)
    return np.convolve(values, ones, "same") / np.convolve(np.ones_like(values), ones, "same")
