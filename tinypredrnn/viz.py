"""Pictures of what a model predicts and of how it learns: strips of frames, animations, curves.

Frames come as one sequence (T,H,W,C) or several (N,T,H,W,C), with values in [0,1] (clipped) or uint8. Three channels are shown as
red, green and blue; of any other number the first is shown in gray. `truth` may be None: the future is not always known.

Colours are from the palette of Okabe and Ito, which colour-blind readers can tell apart: what a model makes is always orange-red,
what it is compared with is blue. Files are written under a temporary name and then renamed, so that nobody sees half a picture.
"""

import numpy as np

from tinypredrnn.errors import DataError, ShapeError
from tinypredrnn.files import replacing
from tinypredrnn.metrics import ROW_TITLES, as_sequences

COLOURS = {"input": "#666666", "truth": "#0072B2", "prediction": "#D55E00"}
GAP = 3  # white pixels between two frames
AXIS_LABELS = {
    "mse": "MSE per frame (sum over pixels)",
    "mae": "MAE per frame (sum over pixels)",
    "ce": "cross-entropy per frame (nats)",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
}


def _pixels(frames, name):
    """Frames as (N,T,H,W,3) uint8."""
    frames = np.asarray(frames)
    frames = as_sequences(frames[None] if frames.ndim == 4 else frames, f"The {name}")
    frames = np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)
    return frames if frames.shape[-1] == 3 else frames[..., :1].repeat(3, axis=-1)


def _rows(inputs, truth, prediction):
    """What there is to show, from the top: {"input": (N,T,H,W,3), "truth": (N,J,H,W,3), "prediction": (N,J,H,W,3)}, uint8."""
    given = {"input": inputs, "truth": truth, "prediction": prediction}
    if truth is None:
        del given["truth"]
    rows = {name: _pixels(frames, name) for name, frames in given.items()}
    shapes = {name: row.shape for name, row in rows.items()}
    without_time = {(n, height, width) for n, _, height, width, _ in shapes.values()}
    if len(without_time) > 1 or shapes.get("truth", shapes["prediction"]) != shapes["prediction"]:
        raise ShapeError(
            "Input, truth and prediction must be of the same sequences, and the last two of the same frames, "
            f"and have the shapes {shapes}: cut them alike."
        )
    return rows


def _enlarge(frames, scale):
    """Each pixel of (...,H,W,3) becomes a square of `scale` pixels: no smoothing that the model did not make."""
    return frames.repeat(scale, axis=-3).repeat(scale, axis=-2)


def _scale_to(size, frames):
    """The smallest whole factor that brings the shorter side of (...,H,W,3) to `size` pixels."""
    return -(-size // min(frames.shape[-3:-1]))


def _row_tops(sequences, rows, height):
    """The upper edges of the rows of a strip, (sequences, rows): the future stands apart from the input, sequences even more."""
    within = np.array([row * (height + GAP) + (row > 0) * 2 * GAP for row in range(rows)])
    return within + np.arange(sequences)[:, None] * (within[-1] + height + 5 * GAP)


def frame_strip(inputs, truth, prediction, scale=1):
    """The frames of sequences side by side, in the manner of the paper's Figure 4, as one image (rows, columns, 3) uint8.

    Each sequence is a block of three rows: input, truth, prediction. The truth and the prediction of one time stand under each
    other. `scale` enlarges the frames by a whole factor.
    """
    rows = {name: _enlarge(row, scale) for name, row in _rows(inputs, truth, prediction).items()}
    sequences, _, height, width, _ = rows["input"].shape
    columns = max(row.shape[1] for row in rows.values())
    tops = _row_tops(sequences, len(rows), height)
    strip = np.full((tops[-1, -1] + height, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for n in range(sequences):
        for top, row in zip(tops[n], rows.values(), strict=True):
            for t, frame in enumerate(row[n]):
                left = t * (width + GAP)
                strip[top : top + height, left : left + width] = frame
    return strip


def save_strip(path, inputs, truth, prediction):
    """Write `frame_strip` as an image with the names of its rows and the numbers of its frames; frame 1 is the first input."""
    from PIL import Image, ImageDraw, ImageFont

    rows = _rows(inputs, truth, prediction)
    sequences, past, height, width, _ = rows["input"].shape
    scale = _scale_to(96, rows["input"])
    height, width = height * scale, width * scale
    strip = frame_strip(inputs, truth, prediction, scale)

    size = max(height // 6, strip.shape[1] // 70)  # a wide strip is seen shrunk, and is still to be read
    font = ImageFont.load_default(size)
    left, top = int(font.getlength("prediction")) + 5 * GAP, size * 3 // 2  # room for the names, and for the numbers
    page = Image.new("RGB", (left + strip.shape[1] + 3 * GAP, top + strip.shape[0] + top), "white")
    page.paste(Image.fromarray(strip), (left, top))
    draw = ImageDraw.Draw(page)
    for tops in _row_tops(sequences, len(rows), height):
        for name, row_top in zip(rows, tops, strict=True):
            draw.text((left - 2 * GAP, top + row_top + height / 2), name, COLOURS[name], font, anchor="rm")
    for t in range(past):
        draw.text((left + t * (width + GAP) + width / 2, top / 2), str(t + 1), COLOURS["input"], font, anchor="mm")
    for t in range(rows["prediction"].shape[1]):
        centre = left + t * (width + GAP) + width / 2, page.height - top / 2
        draw.text(centre, str(past + t + 1), COLOURS["prediction"], font, anchor="mm")
    with replacing(path) as temporary:
        page.save(temporary)


def save_gif(path, inputs, truth, prediction, frames_per_second=5):
    """Write an animation that loops: the truth on the left and the prediction on the right, sequences one below the other.

    Both begin with the input, in a gray border; the border takes the colour of its column when the prediction begins.
    """
    from PIL import Image, ImageDraw, ImageFont

    rows = _rows(inputs, truth, prediction)
    scale = _scale_to(192, rows["input"])
    past = rows["input"].shape[1]
    movies = {
        name: _enlarge(np.concatenate([rows["input"], row], axis=1), scale) for name, row in rows.items() if name != "input"
    }
    sequences, length, height, width, _ = movies["prediction"].shape

    border, size = 2 * GAP, height // 9
    line = 2 * size  # the height of a line of text
    across, down = width + 4 * border, height + 4 * border  # the place of one frame with its border and the white around it
    font = ImageFont.load_default(size)
    pages = []
    for t in range(length):
        page = Image.new("RGB", (across * len(movies), line + down * sequences + line), "white")
        draw = ImageDraw.Draw(page)
        for column, (name, movie) in enumerate(movies.items()):
            shown = "input" if t < past else name
            draw.text((across * column + across / 2, line / 2), shown, COLOURS[shown], font, anchor="mm")
            for n in range(sequences):
                x, y = across * column + 2 * border, line + down * n + 2 * border
                draw.rectangle((x - border, y - border, x + width + border - 1, y + height + border - 1), COLOURS[shown])
                page.paste(Image.fromarray(movie[n, t]), (x, y))
        draw.text((page.width / 2, page.height - line / 2), f"frame {t + 1} of {length}", COLOURS["input"], font, anchor="mm")
        pages.append(page.quantize(256, dither=Image.Dither.NONE))
    durations = [round(1000 / frames_per_second)] * (length - 1) + [1500]  # ms; the last frame stays a while
    with replacing(path) as temporary:
        pages[0].save(temporary, format="GIF", save_all=True, append_images=pages[1:], duration=durations, loop=0)


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
        "copy_last": {"color": COLOURS["truth"], "marker": "s", "linestyle": "--"},
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
