"""From files that people have to frames: images, GIFs and videos, one frame at a time.

Their decoders are written by others and read files from anywhere, so nothing is taken on trust: what a decoder raises becomes a DataError
that names the file, only formats that are plain data are opened, and no frame may have more than MAX_PIXELS.
"""

import contextlib
import re
import warnings

import numpy as np
from PIL import Image, ImageSequence

from tinypredrnn.errors import DataError, TooLargeError, say_once
from tinypredrnn.folder import is_output

IMAGES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
FORMATS = "BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP"  # what may be inside; for others, such as EPS, PIL starts other programs
MAX_PIXELS = 1 << 25  # 8192 x 4096, known before a frame is decoded
VIDEOS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"}
EXPECTED = "a folder of images, a folder with a folder of images, a GIF or a video for each clip, or a .npy, .npz, GIF or video file"


@contextlib.contextmanager
def reading(path):
    """Within it, whatever is raised becomes a DataError that names `path`."""
    try:
        yield
    except (DataError, TooLargeError) as error:
        raise DataError(f"{path}: {error}") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into the memory that there is ({str(error) or 'none is left'}): give fewer or "
                        "smaller frames") from error
    except Exception as error:  # NumPy, PIL and ffmpeg raise whatever a damaged file makes their parsers stumble over
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(f"{path} is damaged, or something else than its name says ({reason}): replace it") from error


def decode(path):
    """Each frame at `path` in turn, as (name of its clip, its file, pixels (H,W,C) uint8), C = 1 if it is gray, else
    3."""
    if not path.is_dir():
        yield from decode_clip(path)
        return
    entries = listing(path)
    clips = [entry for entry in entries if entry.suffix.lower() not in IMAGES or entry.is_dir()]
    if clips and len(clips) < len(entries):
        image = next(entry for entry in entries if entry not in clips)
        raise DataError(f"{path} holds the image {image.name} beside the clip {clips[0].name}: expected {EXPECTED}")
    for clip in clips or [path]:
        yield from decode_clip(clip)


def decode_clip(path):
    """The frames of a folder of images, a GIF or a video, as `decode` gives them."""
    suffix = path.suffix.lower()
    if path.is_dir():
        images = [entry for entry in listing(path) if entry.suffix.lower() in IMAGES and entry.is_file()]
        if not images:
            raise DataError(f"{path} holds no images ({', '.join(sorted(IMAGES))}): expected {EXPECTED}")
        for image in images:
            with reading(image), open_image(image, FORMATS) as opened:
                yield path.name, image, pixels(opened)
    elif suffix == ".gif" and path.is_file():
        with reading(path), open_image(path, ["GIF"]) as opened:
            for frame in ImageSequence.Iterator(opened):
                yield path.name, path, pixels(frame)
    elif suffix in VIDEOS and path.is_file():
        for frame in decode_video(path):
            yield path.name, path, gray_or_colour(frame)
    else:
        raise DataError(f"{path} is {'no clip' if path.exists() else 'not there'}: expected {EXPECTED}")


def decode_video(path):
    """The frames of a video, (H,W,3) uint8."""
    try:
        import imageio_ffmpeg  # noqa: F401 (what imageio decodes videos with)
    except ImportError as error:
        raise DataError(f"{path} is a video, and what decodes videos is not installed: `pip install imageio-ffmpeg`, "
                        "or turn the video into a folder of images") from error
    from imageio import v3 as imageio

    with reading(path):
        width, height = imageio.immeta(path, plugin="FFMPEG")["size"]
        check_frame(height, width)
        yield from imageio.imiter(path, plugin="FFMPEG")


def listing(folder):
    """What a folder holds for us: subfolders, images, GIFs and videos, not hidden, in the natural order of their names.

    Folders that hold what we wrote, runs and predictions, are skipped, and a line on stderr says so.
    """
    def natural(path):
        return [int(part) if k % 2 else part.lower() for k, part in enumerate(re.split("([0-9]+)", path.name))], path.name

    with reading(folder):
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        for output in filter(is_output, list(entries)):
            entries.remove(output)
            say_once(f"{output} holds what tinypredrnn wrote: it is not read as data")
    return sorted((e for e in entries if e.is_dir() or e.suffix.lower() in IMAGES | VIDEOS | {".gif"}), key=natural)


def open_image(path, formats):
    """PIL's image of a file, not decoded yet; what PIL would only warn about, a size too large to be true, is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=formats)


def pixels(image):
    """What PIL has opened as (H,W,C) uint8. Transparency is left out, 16 bits are rounded to 8."""
    check_frame(image.height, image.width)
    if image.mode.startswith("I"):  # deep gray
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise DataError(f"expected gray values of 8 or 16 bits, got {levels.min()} to {levels.max()}: convert the image")
        return np.rint(levels / 257).astype(np.uint8)[..., None]
    if image.mode == "F":
        raise DataError("expected pixels of 8 or 16 bits, got floats, whose range nobody knows: convert the image")
    return gray_or_colour(np.asarray(image.convert("RGB")))


def check_frame(height, width):
    """DataError if a frame would have more than MAX_PIXELS."""
    if height * width > MAX_PIXELS:
        raise DataError(f"expected at most {MAX_PIXELS:,} pixels in a frame, got {height}x{width}: make it smaller")


def gray_or_colour(frame):
    """(H,W,3) -> (H,W,1) if red, green and blue are equal everywhere, else itself"""
    return frame[..., :1].copy() if np.array_equal(frame[..., :2], frame[..., 1:]) else frame


def fit(frame, size, channels):
    """A frame (H,W,C) at another size and with other channels, None for as it is: gray is luma, and shrinking averages."""
    if size in (None, frame.shape[:2]) and channels in (None, frame.shape[2]):
        return frame
    image = Image.fromarray(np.ascontiguousarray(frame[..., 0] if frame.shape[2] == 1 else frame))
    if channels is not None:
        image = image.convert("L" if channels == 1 else "RGB")
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(image.height, image.width, -1)
