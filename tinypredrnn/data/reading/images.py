"""Read picture files as frames (H,W,C); a GIF or a TIFF may hold several.

Files may come from anywhere and decoders are not ours, so nothing is trusted: every exception of a decoder becomes a
DataError that names the file, only formats that are plain data are opened, and no frame may have more than MAX_PIXELS.
A picture is rotated as its camera noted, and transparent parts are shown on black.
"""

import warnings

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from tinypredrnn.data.arrays import read_header
from tinypredrnn.data.reading.frames import check_frame, reading
from tinypredrnn.data.reading.tiffs import NO_PAGE, PAGE, bands, channels_in_pages, has_bands, open_tiff
from tinypredrnn.data.reading.times import uneven
from tinypredrnn.errors import DataError

SEVERAL = {".apng", ".gif", ".npy", ".png", ".tif", ".tiff", ".webp"}  # formats that may hold several frames
IMAGES = {".bmp", ".jpeg", ".jpg", ".pgm", ".ppm"} | SEVERAL - {".npy"}
# for other formats, such as EPS, PIL starts other programs
FORMATS = "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"
ORIENTATION = 274  # the tag by which cameras note how they were held
GRAY_TOLERANCE = 4  # of 255: colours that differ by no more are gray with slight errors of a camera or codec


def open_image(path):
    """PIL's image of a file, not decoded yet. PIL's warning about a suspiciously large image becomes an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def holds_several(path):
    """Whether a picture file holds more than one frame."""
    if path.suffix.lower() not in SEVERAL:
        return False
    with reading(path):
        if path.suffix.lower() == ".npy":
            with open(path, "rb") as file:
                shape = read_header(file, path.stem).shape
            return not (len(shape) == 2 or len(shape) == 3 and shape[2] <= 4 < min(shape[:2]))
        with open(path, "rb") as file:
            head = file.read(4096)
        if head.startswith(b"\x89PNG") and b"IDAT" in head:  # a quick answer, which matters for thousands of files
            return b"acTL" in head.partition(b"IDAT")[0]
        try:
            with open_image(path) as image:
                return getattr(image, "n_frames", 1) > 1
        except Image.UnidentifiedImageError:
            if not path.suffix.lower().startswith(".tif"):
                raise
            with open_tiff(path) as file:
                return len(file.pages) > 1


def frames_of(path, messages):
    """The frames of a picture file in turn, (H,W,C): gray, colour, or as many channels as a TIFF has."""
    with reading(path):
        if path.suffix.lower() == ".npy":
            yield array_of(path)
            return
        try:
            opened = open_image(path)
        except Image.UnidentifiedImageError:
            if not path.suffix.lower().startswith(".tif"):
                raise
            yield from bands(path, messages)
            return
        with opened:
            if opened.format == "TIFF" and has_bands(opened):
                yield from bands(path, messages)
                return
            opened.filename = ""  # else PIL maps a TIFF into memory, and fails on one that has to be rotated
            times, left = [0.0], 0
            layers = channels_in_pages(opened) if opened.format == "TIFF" else 1
            if layers > 1:
                yield from bands(path, messages, layers)
                return
            for number, frame in enumerate(ImageSequence.Iterator(opened)):
                still = number == 0 and opened.info.get("default_image")  # for programs that show no animations
                if still or opened.format == "TIFF" and frame.tag_v2.get(PAGE, 0) & NO_PAGE:
                    left += 1
                    continue
                times.append(times[-1] + (frame.info.get("duration") or 0))
                yield pixels(frame, messages)
            if left:
                messages.append(f"{path.name}: {left} of its pages are previews or masks and are left out")
            if times[-1] and uneven(times[:-1]):
                messages.append(f"{path.name}: its frames are not shown for equal times; they are taken as if they "
                                "were")


def array_of(path):
    """A frame stored as an array (H,W) or (H,W,C)."""
    frame = np.load(path, allow_pickle=False)
    if frame.dtype.kind not in "biuf":
        raise DataError(f"expected numbers, got {frame.dtype}")
    check_frame(*frame.shape[:2])
    frame = frame.view(np.uint8) if frame.dtype == bool else frame
    return frame[..., None] if frame.ndim == 2 else frame


def pixels(image, messages):
    """A PIL image as an array (H,W,C): gray keeps its 16 bits or floats, everything else becomes bytes."""
    check_frame(image.height, image.width)
    if "exif" in image.info and image.getexif().get(ORIENTATION, 1) != 1:  # PIL rotates TIFFs by itself
        messages.append("pictures are turned upright, as the cameras noted in them")
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":  # deep gray: 16 bits, 32 bits, floats
        return np.asarray(image)[..., None]
    if image.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        if coloured.getextrema()[3][0] < 255:
            messages.append("transparent parts of pictures are shown on black")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), coloured)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


def colourfulness(frame):
    """The largest difference between red, green and blue of a frame (H,W,C); 0 if it has no such three."""
    if frame.shape[2] != 3 or frame.dtype != np.uint8:
        return 0
    red, green, blue = (frame[..., c] for c in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return 0
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return int((most - least).max())
