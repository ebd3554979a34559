"""One frame (H,W,C) at a time: how large it may be, another size, other channels."""

import contextlib

import numpy as np
from PIL import Image

from tinypredrnn.errors import ConfigError, DataError, TooLargeError
from tinypredrnn.memory import require_memory

MAX_PIXELS = 1 << 25  # of a frame: 8192 x 4096
MAX_BYTES = 4 << 30  # of all frames that are kept in memory
LUMA = np.array([0.299, 0.587, 0.114])  # the weights of red, green and blue in gray, ITU-R BT.601


@contextlib.contextmanager
def reading(path):
    """Within it, whatever is raised becomes a DataError that names `path`, except what is wrong with an option."""
    try:
        yield
    except ConfigError:
        raise
    except (DataError, TooLargeError) as error:
        raise DataError(f"{path}: {error}") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into the memory that there is ({str(error) or 'none is left'}): give "
                        "fewer or smaller frames") from error
    except Exception as error:  # NumPy, PIL and ffmpeg raise whatever a damaged file makes their parsers stumble over
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(f"{path} is damaged, or something else than its name says ({reason}): replace it") from error


def check_frame(height, width):
    """DataError if a frame would have more than MAX_PIXELS."""
    if height * width > MAX_PIXELS:
        raise DataError(f"expected at most {MAX_PIXELS:,} pixels in a frame, got {height}x{width}: make it smaller")


def check_bytes(count):
    """DataError if frames of so many bytes are too much to be kept in memory."""
    if count > MAX_BYTES:
        raise DataError(f"its frames take more than {MAX_BYTES >> 30} GiB of memory: give fewer or smaller ones, or a "
                        ".npy, which is read as needed")
    require_memory(count, "its frames", "give fewer or smaller ones")


def check_size(size, first, expected):
    """DataError if a frame has another size than the `expected` one of `first`."""
    if tuple(size) != tuple(expected):
        raise DataError(f"expected frames of one size, got {size[0]}x{size[1]} pixels here and {expected[0]}x"
                        f"{expected[1]} in {first}: make them alike, or name a size that all are resized to")


def check_channels(asked, has):
    """ConfigError if frames that have so many channels cannot be given so many as are asked for."""
    if asked not in (None, has) and not (asked in (1, 3) and has in (1, 3)):
        raise ConfigError(f"sequences: channels is 1 for gray or 3 for colour, got {asked} for frames that have {has}")


def fit(frame, size=None, channels=None, missing=None):
    """A frame (H,W,C) at another size and with other channels, None for as it is: gray is luma, and shrinking averages.

    Bytes are rounded as Pillow rounds them, other whole numbers to the nearest. A place without data, NaN or `missing`,
    is one that gets most of its light from such places.
    """
    if size in (None, frame.shape[:2]) and channels in (None, frame.shape[2]):
        return frame
    check_channels(channels, frame.shape[2])
    if frame.dtype == np.uint8 and frame.shape[2] in (1, 3) and missing is None:
        image = Image.fromarray(np.ascontiguousarray(frame[..., 0] if frame.shape[2] == 1 else frame))
        if channels is not None:
            image = image.convert("L" if channels == 1 else "RGB")
        if size is not None:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(image.height, image.width, -1)
    dtype, values = frame.dtype, frame.astype(np.float64)
    unknown = np.isnan(values) if missing is None else np.isnan(values) | (frame == missing)
    values[unknown] = 0
    if channels == 1 and frame.shape[2] == 3:
        values, unknown = (values @ LUMA)[..., None], unknown.any(2, keepdims=True)
    if size not in (None, frame.shape[:2]):
        values, weights = resize(values, size), resize(1.0 - unknown, size)
        unknown = weights < 0.5
        values /= np.where(unknown, 1, weights)
    if dtype.kind in "iu":
        values = np.rint(values)
    values = values.astype(dtype)
    if unknown.any():
        values[unknown] = np.nan if missing is None else missing
    return np.repeat(values, 3, axis=2) if channels == 3 and frame.shape[2] == 1 else values


def resize(values, size):
    """(H,W,C) floats at another size; the arithmetic is Pillow's, in float32."""
    planes = [Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in np.moveaxis(values, 2, 0)]
    return np.stack([plane.resize(size[::-1], Image.Resampling.BILINEAR) for plane in planes], -1).astype(np.float64)
