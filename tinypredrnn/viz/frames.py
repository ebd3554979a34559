"""Pictures of predictions: strips of frames, and animations.

Frames are one sequence (T,H,W,C) or several (N,T,H,W,C), with values in [0,1] (clipped) or uint8. Three channels are
shown as red, green and blue; for any other number, the first channel is shown in gray. Places without data (NaN) are
black. `truth` may be None, since the future is not always known. `prediction` may be those of several networks, as
{name: frames}; each then has a row under its name.
"""

import numpy as np

from tinypredrnn.errors import ShapeError
from tinypredrnn.files import replacing
from tinypredrnn.metrics import as_sequences
from tinypredrnn.viz.colours import COLOURS

GAP = 3  # white pixels between two frames


def _pixels(frames, name):
    """Frames as (N,T,H,W,3) uint8."""
    frames = np.asarray(frames)
    if name in ("input", "truth") and frames.dtype.kind == "f":
        frames = np.nan_to_num(frames)
    frames = as_sequences(frames[None] if frames.ndim == 4 else frames, f"The {name}")
    frames = np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)
    return frames if frames.shape[-1] == 3 else frames[..., :1].repeat(3, axis=-1)


def _rows(inputs, truth, prediction):
    """The rows to show, uint8: {"input": (N,T,H,W,3), "truth": (N,J,H,W,3), "prediction": (N,J,H,W,3)}, with the names
    of several networks in place of "prediction"."""
    given = {"input": inputs} | ({} if truth is None else {"truth": truth})
    given |= prediction if isinstance(prediction, dict) else {"prediction": prediction}
    rows = {name: _pixels(frames, name) for name, frames in given.items()}
    shapes = {name: row.shape for name, row in rows.items()}
    without_time = {(n, height, width) for n, _, height, width, _ in shapes.values()}
    if len(without_time) > 1 or len({shape for name, shape in shapes.items() if name != "input"}) > 1:
        raise ShapeError(
            "Input, truth and prediction must be of the same sequences, and the last two of the same frames, "
            f"and have the shapes {shapes}: cut them alike."
        )
    return rows


def _colour(row):
    """The colour of a row's name; all networks have that of a prediction."""
    return COLOURS[row if row in ("input", "truth") else "prediction"]


def _enlarge(frames, scale):
    """Enlarge (...,H,W,3) by a whole factor, each pixel to a square. Smoothing would look like a blurred prediction."""
    return frames.repeat(scale, axis=-3).repeat(scale, axis=-2)


def _scale_to(size, frames):
    """The smallest whole factor that brings the shorter side of (...,H,W,3) to `size` pixels."""
    return -(-size // min(frames.shape[-3:-1]))


def _row_tops(sequences, rows, height):
    """The upper edges of a strip's rows, (sequences, rows), with wider gaps below inputs and between sequences."""
    within = np.array([row * (height + GAP) + (row > 0) * 2 * GAP for row in range(rows)])
    return within + np.arange(sequences)[:, None] * (within[-1] + height + 5 * GAP)


def frame_strip(inputs, truth, prediction, scale=1):
    """The frames of sequences side by side, like the paper's Figure 4, as one image (rows, columns, 3) uint8.

    Each sequence is a block of rows: input, truth, prediction or those of several networks. The prediction of a frame
    is directly below its truth. `scale` enlarges the frames by a whole factor.
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
    """Write `frame_strip` as an image, with names of rows and numbers of frames; frame 1 is the first input."""
    from PIL import Image, ImageDraw, ImageFont

    rows = _rows(inputs, truth, prediction)
    sequences, past, height, width, _ = rows["input"].shape
    scale = _scale_to(96, rows["input"])
    height, width = height * scale, width * scale
    strip = frame_strip(inputs, truth, prediction, scale)

    size = max(height // 6, strip.shape[1] // 70)  # a wide strip is usually shown shrunk, and has to stay readable
    font = ImageFont.load_default(size)
    left = int(max(map(font.getlength, (*rows, "prediction")))) + 5 * GAP  # space for the names
    top = size * 3 // 2  # and for the numbers
    page = Image.new("RGB", (left + strip.shape[1] + 3 * GAP, top + strip.shape[0] + top), "white")
    page.paste(Image.fromarray(strip), (left, top))
    draw = ImageDraw.Draw(page)
    for tops in _row_tops(sequences, len(rows), height):
        for name, row_top in zip(rows, tops, strict=True):
            draw.text((left - 2 * GAP, top + row_top + height / 2), name, _colour(name), font, anchor="rm")
    for t in range(past):
        draw.text((left + t * (width + GAP) + width / 2, top / 2), str(t + 1), COLOURS["input"], font, anchor="mm")
    for t in range(list(rows.values())[-1].shape[1]):
        centre = left + t * (width + GAP) + width / 2, page.height - top / 2
        draw.text(centre, str(past + t + 1), COLOURS["prediction"], font, anchor="mm")
    with replacing(path) as temporary:
        page.save(temporary)


def save_gif(path, inputs, truth, prediction, frames_per_second=5):
    """Write a looping animation: the truth on the left, the prediction on the right, one row for each sequence.

    All begin with the input in a gray border. The border takes the colour of its column when the prediction begins.
    """
    from PIL import Image, ImageDraw, ImageFont

    rows = _rows(inputs, truth, prediction)
    scale = _scale_to(192, rows["input"])
    past = rows["input"].shape[1]
    movies = {
        name: _enlarge(np.concatenate([rows["input"], row], axis=1), scale) for name, row in rows.items()
        if name != "input"
    }
    sequences, length, height, width, _ = next(iter(movies.values())).shape

    border, size = 2 * GAP, height // 9
    line = 2 * size  # the height of a line of text
    across, down = width + 4 * border, height + 4 * border  # one frame with its border and margin
    font = ImageFont.load_default(size)
    pages = []
    for t in range(length):
        page = Image.new("RGB", (across * len(movies), line + down * sequences + line), "white")
        draw = ImageDraw.Draw(page)
        for column, (name, movie) in enumerate(movies.items()):
            shown = "input" if t < past else name
            draw.text((across * column + across / 2, line / 2), shown, _colour(shown), font, anchor="mm")
            for n in range(sequences):
                x, y = across * column + 2 * border, line + down * n + 2 * border
                draw.rectangle((x - border, y - border, x + width + border - 1, y + height + border - 1),
                               _colour(shown))
                page.paste(Image.fromarray(movie[n, t]), (x, y))
        draw.text((page.width / 2, page.height - line / 2), f"frame {t + 1} of {length}", COLOURS["input"], font,
                  anchor="mm")
        pages.append(page.quantize(256, dither=Image.Dither.NONE))
    save_movie(path, pages, round(1000 / frames_per_second))


def save_movie(path, pages, milliseconds, last=1500):
    """Write images as a looping GIF, each shown for so many milliseconds; `last` is for the last one."""
    durations = [milliseconds] * (len(pages) - 1) + [last]
    with replacing(path) as temporary:
        pages[0].save(temporary, format="GIF", save_all=True, append_images=pages[1:], duration=durations, loop=0)
