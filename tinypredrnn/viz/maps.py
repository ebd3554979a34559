"""Maps of radar echoes in colour with a legend, as the paper's Figure 7: what was seen, what came, and forecasts of it.

The colours change at round numbers of the physical unit, so that one colour means the same in every picture.
"""

import numpy as np

from tinypredrnn.errors import ShapeError
from tinypredrnn.files import replacing
from tinypredrnn.viz.colours import COLOURS, ECHOES, NO_DATA, NO_ECHO, SMALL_TEXT

COLUMNS = 6  # maps in a row, at most
# from which value on each of the ECHOES is used; anything less is no echo
LEVELS = {"dBZ": (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60),
          "mm/h": (0.1, 0.25, 0.5, 1, 2, 4, 7, 10, 20, 40, 70, 100)}
PERCENT = 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99  # of probabilities


def levels_of(scale):
    """The values in the units of a Scale at which the colours begin; for units other than these, in equal steps."""
    first, last = scale.units
    return (LEVELS | {"%": PERCENT}).get(scale.unit) or tuple(np.linspace(first, last, len(ECHOES) + 2)[1:-1])


def save_maps(path, inputs, forecasts, scale, minutes=None, title=""):
    """Draw maps of one sequence: a row of inputs, and a row for each forecast below it.

    inputs      (J,H,W,C) in [0,1] as a model sees it, NaN in places without data; the first channel is drawn; or None
    forecasts   {name of a row: (T,H,W,C)}, all of the same T frames: {"truth": ..., "model": ..., "optical flow": ...}
    scale       the Scale that turns these numbers into physical units
    minutes     between two frames; None: the columns are numbered by frame instead
    title       above it all, such as the time of the last input frame

    At most six frames of a row are drawn, evenly spread; always the last input, and the first and last forecast.
    ShapeError if the frames differ in shape.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.figure import Figure

    given = {} if inputs is None else {"input": inputs}
    shapes = {name: np.shape(frames) for name, frames in (given | forecasts).items()}
    if len({shape[1:] for shape in shapes.values()}) > 1 or len({shapes[name] for name in forecasts}) > 1:
        raise ShapeError(f"Forecasts must have the same shape (T,H,W,C), with the (H,W,C) of the inputs, and have "
                         f"{shapes}: cut them alike.")
    rows, watched = given | forecasts, 0 if inputs is None else len(inputs)
    levels = levels_of(scale)
    colours = ListedColormap(ECHOES[:-1]).with_extremes(under=NO_ECHO, over=ECHOES[-1], bad=NO_DATA)
    norm = BoundaryNorm(levels, len(ECHOES) - 1)

    picked = {name: pick(len(frames)) for name, frames in rows.items()}
    columns = max(map(len, picked.values()))
    _, height, width, _ = np.shape(next(iter(rows.values())))
    figure = Figure(figsize=(1.5 * columns + 1.9, 1.5 * height / width * len(rows) + 1.1), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for line, (name, frames) in zip(grid, rows.items()):
        line[0].set_ylabel(name.replace(" ", "\n"), rotation=0, ha="right", va="center", labelpad=8,
                           color=COLOURS.get("prediction" if name == "model" else name, SMALL_TEXT))
        for axes, t in zip(line, picked[name]):
            values = scale.to_units(np.asarray(frames[t, ..., 0], np.float64))
            axes.imshow(values, colours, norm, interpolation="nearest")
            axes.spines[:].set(visible=True, color=SMALL_TEXT, linewidth=0.5)
            if name in ("input", next(iter(forecasts), None)):  # the other rows are of the same times as the first
                frame = t - watched + 1 if name == "input" else t + 1  # 0 is the last input
                lead = f"{frame * minutes:+g} min" if minutes and frame else "0 min"
                axes.set_title(lead if minutes else f"frame {watched + frame}", fontsize=9, color=SMALL_TEXT)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=grid, extend="both", ticks=levels, aspect=30, pad=0.02,
                          label=scale.unit or None)
    bar.ax.tick_params(labelsize=8)
    if any(np.isnan(frames).any() for frames in rows.values()):
        grid[-1, -1].set_xlabel("gray: no data", fontsize=8, color=SMALL_TEXT)
    figure.suptitle(title or None, fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def pick(count):
    """At most COLUMNS of `count` frames, evenly spread from the first to the last."""
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, COLUMNS))).astype(int))
