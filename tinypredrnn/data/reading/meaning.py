"""What the numbers of an .npz mean, from what is stored beside its frames.

    valid   (H,W), true where there are data: other pixels become places without data, in all frames
    meta    a JSON text; its entry `mapping`, such as "dBZ ~= pixel*52.5/255", says what the bytes are in physical
            units, and `pixel_km` how large a pixel is
"""

import json
import re

import numpy as np

from tinypredrnn.data.reading.clips import Grid
from tinypredrnn.data.scale import Scale

VALID, META = "valid", "meta"
MAPPING = re.compile(r"([\w/]+) *~?= *pixel *\* *(\d+\.?\d*) */ *(\d+\.?\d*)(?! *[-+*/.\d])")  # and no other summand


def explained(file, piece, notes, messages, room):
    """(a Piece with what the arrays `notes` beside it, {name: array}, say of it; the names of those that say something)
    """
    frames, valid, used = piece.frames, notes.get(VALID), []
    if valid is not None and valid.shape == frames.shape[1:3] and valid.dtype.kind in "biu":
        valid, used = valid.astype(bool), [VALID]
        if not valid.all():
            nothing = np.float32(np.nan)
            frames = room.each(frames, lambda some: np.where(valid[..., None], some, nothing).astype(np.float32))
            messages.append(f"{file}: {(~valid).sum():,} of {valid.size:,} pixels are not valid: places without data")
    elif valid is not None:
        messages.append(f"{file}: valid {valid.shape} does not fit frames of {frames.shape[1]}x{frames.shape[2]}, and "
                        "is not used")
    meta = read_meta(notes[META]) if META in notes else {}
    meaning = mapping(str(meta.get("mapping", "")))
    if meaning:
        messages.append(f"{file}: its meta says that {meaning.stored[0]:g} to {meaning.stored[1]:g} are "
                        f"{meaning.units[0]:g} to {meaning.units[1]:g} {meaning.unit}")
    grid = plain_grid(meta.get("pixel_km"), frames.shape[1:3])
    piece = piece._replace(frames=frames, meaning=meaning, grid=grid, stored=piece.frames.dtype)
    return piece, used + [META] * bool(meaning or grid)


def read_meta(array):
    """The entries of a JSON text, {} if it is something else."""
    try:
        found = json.loads(str(array)) if array.ndim == 0 else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def mapping(text):
    """The Scale that a text such as "dBZ ~= pixel*60/255" says, or None."""
    match = MAPPING.search(text)
    unit, high, full = match.groups() if match else ("", 0, 0)
    if not match or not (float(high) > 0 and float(full) > 0):
        return None
    return Scale(stored=(0.0, float(full)), units=(0.0, float(high)), unit=unit.strip())


def plain_grid(kilometres, size):
    """The Grid of square pixels of so many kilometres, from the lower left corner; None if they are not known."""
    if type(kilometres) not in (int, float) or not 0 < kilometres < 1e5:
        return None
    y, x = ((np.arange(n) + 0.5) * kilometres * 1000 for n in size)
    about = {axis: {"standard_name": f"projection_{axis}_coordinate", "units": "m"} for axis in "yx"}
    return Grid(y[::-1], x, about)
