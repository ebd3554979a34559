"""Single frames (H,W,C): limits on their size, resizing, and conversion of channels."""

import contextlib

import numpy as np
from PIL import Image

from tinypredrnn.errors import ConfigError, DataError, TooLargeError
from tinypredrnn.memory import require_memory
from tinypredrnn.options import called

MAX_PIXELS = 1 << 25  # of a frame: 8192 x 4096
MAX_BYTES = 4 << 30  # of all frames that are kept in memory
LUMA = np.array([0.299, 0.587, 0.114])  # the weights of red, green and blue in gray, ITU-R BT.601
GRAY_TOLERANCE = 4  # of 255: colours that differ by no more are gray with slight errors of a camera or codec


@contextlib.contextmanager
def reading(path):
    """A context in which every exception except ConfigError becomes a DataError that names `path`."""
    try:
        yield
    except ConfigError:
        raise
    except (DataError, TooLargeError) as error:
        raise DataError(f"{path}: {error}") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into the memory that there is ({str(error) or 'none is left'}): give "
                        "fewer or smaller frames") from error
    except Exception as error:  # NumPy, PIL and ffmpeg raise all kinds of exceptions on damaged files
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(f"{path} is damaged, or is not what its name says ({reason}): replace it") from error


def check_frame(height, width):
    """DataError if a frame would have more than MAX_PIXELS."""
    if height * width > MAX_PIXELS:
        raise DataError(f"expected at most {MAX_PIXELS:,} pixels in a frame, got {height}x{width}: make it smaller")


def check_bytes(count):
    """DataError if frames of `count` bytes in all are too large to be kept in memory."""
    if count > MAX_BYTES:
        raise DataError(f"its frames take more than {MAX_BYTES >> 30} GiB of memory: give fewer or smaller ones, or a "
                        ".npy, which is read as needed")
    require_memory(count, "its frames", "give fewer or smaller ones")


def check_size(size, first, expected):
    """DataError if `size` is not `expected`, the size of the frame `first`."""
    if tuple(size) != tuple(expected):
        raise DataError(f"expected frames of one size, got {size[0]}x{size[1]} pixels here and {expected[0]}x"
                        f"{expected[1]} in {first}: make them equal, or give a size to which all are resized")


def check_channels(asked, has):
    """ConfigError if frames with `has` channels cannot be converted to `asked` channels."""
    if asked not in (None, has) and not {asked, has} <= {1, 3}:
        raise ConfigError(f"{called('channels')} is 1 for gray or 3 for colour, got {asked} for frames that have {has}")


def tint(frame):
    """The largest difference between red, green and blue of a frame (H,W,3)."""
    red, green, blue = (frame[..., c] for c in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return 0
    return int((np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)).max())


ASPECTS = "stretch", "pad", "crop"


def placement(has, size, aspect):
    """Where a frame of `has` (rows, columns) goes in one of `size`: (the rows and the columns that are used, two
    slices; the size to which they are resized; the row and the column of their upper left corner in the result).
    """
    if aspect == "stretch" or size is None:
        return slice(None), slice(None), size or has, (0, 0)
    ratios = [to / of for to, of in zip(size, has)]
    if aspect == "pad":  # all of the frame is seen, and what it does not fill has no data
        inner = tuple(min(to, max(1, round(min(ratios) * of))) for to, of in zip(size, has))
        return slice(None), slice(None), inner, tuple((to - of) // 2 for to, of in zip(size, inner))
    used = [min(of, max(1, round(to / max(ratios)))) for to, of in zip(size, has)]  # the middle of the frame
    return *(slice((of - n) // 2, (of - n) // 2 + n) for of, n in zip(has, used)), tuple(size), (0, 0)


def fit(frame, size=None, channels=None, missing=None, aspect="stretch"):
    """Resize a frame (H,W,C) and convert its channels, as `stretch` does; a frame of another aspect is stretched,
    padded with places without data, or cropped. Bytes that are padded become floats, unless `missing` is given.
    """
    if size in (None, frame.shape[:2]):
        return stretch(frame, None, channels, missing)
    rows, columns, inner, (top, left) = placement(frame.shape[:2], size, aspect)
    frame = stretch(frame[rows, columns], inner, channels, missing)
    if inner == tuple(size):
        return frame
    whole = missing is not None or frame.dtype.kind == "f"
    padded = np.full((*size, frame.shape[2]), np.nan if missing is None else missing,
                     frame.dtype if whole else np.float32)
    padded[top:top + inner[0], left:left + inner[1]] = frame
    return padded


def stretch(frame, size=None, channels=None, missing=None):
    """Resize a frame (H,W,C) and convert its channels; None leaves them as they are. Gray is luma, and shrinking
    averages.

    Bytes are rounded as in Pillow, other whole numbers to the nearest. A pixel of the result has no data (NaN or
    `missing`) if most of its weight comes from pixels without data.
    """
    if size in (None, frame.shape[:2]) and channels in (None, frame.shape[2]):
        return frame
    check_channels(channels, frame.shape[2])
    if frame.dtype == np.uint8 and frame.shape[2] in (1, 3) and missing is None:
        image = Image.fromarray(np.ascontiguousarray(frame[..., 0] if frame.shape[2] == 1 else frame))
        if channels is not None:
            image = image.convert("L" if channels == 1 else "RGB")
        if size is not None:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(image.height, image.width, -1)
    values = frame.astype(np.float64)
    unknown = np.isnan(values) | (frame == missing)
    values[unknown] = 0
    if channels == 1 and frame.shape[2] == 3:
        values, unknown = (values @ LUMA)[..., None], unknown.any(2, keepdims=True)
    if size not in (None, frame.shape[:2]):
        values, weights = resize(values, size), resize(1.0 - unknown, size)
        unknown = weights < 0.5
        values /= np.where(unknown, 1, weights)
    values = (np.rint(values) if frame.dtype.kind in "iu" else values).astype(frame.dtype)
    if unknown.any():
        values[unknown] = np.nan if missing is None else missing
    return np.repeat(values, 3, axis=2) if channels == 3 and frame.shape[2] == 1 else values


def resize(values, size):
    """Resize (H,W,C) floats; Pillow computes in float32."""
    planes = [Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in np.moveaxis(values, 2, 0)]
    return np.stack([plane.resize(size[::-1], Image.Resampling.BILINEAR) for plane in planes], -1).astype(np.float64)


def bilinear(frames, size):
    """Resize bytes (...,H,W,C) to `size` (rows, columns): each pixel lies between two rows and two columns, which are
    weighted by their distance. Unlike `stretch`, it averages no more of them if frames shrink: it is what
    OpenCV's resize does, and so what published codes see.
    """
    if size in (None, frames.shape[-3:-1]):
        return frames
    values = frames.astype(np.float32)
    for axis, to in zip((-3, -2), size):
        of = values.shape[axis]
        place = ((np.arange(to) + 0.5) * of / to - 0.5).clip(0, of - 1)  # of the centres of the pixels
        before = np.minimum(place.astype(int), max(0, of - 2))
        after = np.minimum(before + 1, of - 1)
        share = (place - before).astype(np.float32).reshape([-1 if k == 3 + axis else 1 for k in range(3)])
        near, far = values.take(before, axis), values.take(after, axis)
        values = near + share * (far - near)
    return np.rint(values).astype(np.uint8)
