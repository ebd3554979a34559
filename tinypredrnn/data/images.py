"""Pictures: one file at a time, as the frames (H,W,C) that are in it, of which a GIF or a TIFF may hold several.

Their decoders are written by others and read files from anywhere, so nothing is taken on trust: what a decoder raises
becomes a DataError that names the file, only formats that are plain data are opened, and no frame may have more than
MAX_PIXELS. A picture is turned upright as its camera noted, and what is transparent shows a black background.
"""

import math
import warnings

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from tinypredrnn.data.frames import check_bytes, check_frame, reading
from tinypredrnn.data.times import uneven
from tinypredrnn.errors import DataError

SEVERAL = {".apng", ".gif", ".png", ".tif", ".tiff", ".webp"}  # what may hold several frames
IMAGES = {".bmp", ".jpeg", ".jpg", ".pgm", ".ppm"} | SEVERAL
FORMATS = "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"  # for others, such as EPS, PIL starts other programs
BITS, SAMPLES, PLANES, EXTRA, PAGE, ORIENTATION = 258, 277, 284, 338, 254, 274  # tags of TIFF, the last of all formats
NO_PAGE = 1 | 4  # the bits of PAGE that say: a smaller copy of another page; a mask
NEARLY = 4  # of 255: red, green and blue that differ by no more are gray that a camera or a codec has coloured


def open_image(path):
    """PIL's image of a file, not decoded yet; a size too large to be true, of which PIL only warns, is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def holds_several(path):
    """Whether a picture file holds more than one frame."""
    if path.suffix.lower() not in SEVERAL:
        return False
    with reading(path):
        with open(path, "rb") as file:
            head = file.read(4096)
        if head.startswith(b"\x89PNG") and b"IDAT" in head:  # known at once, which is worth it for thousands
            return b"acTL" in head.partition(b"IDAT")[0]
        try:
            with open_image(path) as image:
                return getattr(image, "n_frames", 1) > 1
        except Image.UnidentifiedImageError:
            if not path.suffix.lower().startswith(".tif"):
                raise
            with open_tiff(path) as file:
                return len(file.pages) > 1


def frames_of(path, said):
    """The frames of a picture file in turn, (H,W,C): gray, colour, or as many channels as a TIFF has."""
    with reading(path):
        try:
            opened = open_image(path)
        except Image.UnidentifiedImageError:
            if not path.suffix.lower().startswith(".tif"):
                raise
            yield from bands(path, said)
            return
        with opened:
            if opened.format == "TIFF" and has_bands(opened):
                yield from bands(path, said)
                return
            opened.filename = ""  # else PIL maps a TIFF into memory, and takes one that is to be turned for a lying one
            times, left = [0.0], 0
            for number, frame in enumerate(ImageSequence.Iterator(opened)):
                still = number == 0 and opened.info.get("default_image")  # for whoever shows no animation
                if still or opened.format == "TIFF" and frame.tag_v2.get(PAGE, 0) & NO_PAGE:
                    left += 1
                    continue
                times.append(times[-1] + (frame.info.get("duration") or 0))
                yield pixels(frame, said)
            if left:
                said.append(f"{path.name}: {left} of its pages are previews or masks and left out")
            if times[-1] and uneven(times[:-1]):
                said.append(f"{path.name}: its frames are not shown for equal times; they are taken as if they were")


def pixels(image, said):
    """What PIL has opened as (H,W,C): its own 16 bits or floats if it is gray, else bytes."""
    check_frame(image.height, image.width)
    if "exif" in image.info and image.getexif().get(ORIENTATION, 1) != 1:  # PIL turns TIFFs by itself
        said.append("pictures are turned upright, as the cameras noted in them")
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":  # deep gray: 16 bits, 32 bits, floats
        return np.asarray(image)[..., None]
    if image.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        if coloured.getextrema()[3][0] < 255:
            said.append("what is transparent in pictures is laid over black")
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


# TIFFs that PIL cannot read, or only in part

def has_bands(image):
    """Whether a TIFF has other channels than gray, colour and transparency of 8 bits, or keeps them in planes."""
    samples, bits, extra = (image.tag_v2.get(tag, least) for tag, least in ((SAMPLES, 1), (BITS, (1,)), (EXTRA, ())))
    return samples > 1 and (image.tag_v2.get(PLANES, 1) == 2 or max(bits) > 8 or 0 in extra
                            or samples > 3 and not extra and image.mode != "CMYK")


def open_tiff(path):
    import tifffile  # scikit-image brings it

    return tifffile.TiffFile(path)


def bands(path, said):
    """The pages of a TIFF with all of their channels."""
    with open_tiff(path) as file:
        for page in file.pages:
            if page.subfiletype & NO_PAGE:
                continue
            check_frame(page.imagelength, page.imagewidth)
            check_bytes(math.prod(page.shape) * page.dtype.itemsize)  # there may be very many channels
            frame = page.asarray()
            if frame.ndim == 3 and page.planarconfig == 2:
                frame = frame.transpose(1, 2, 0)
            frame = frame if frame.ndim == 3 else frame[..., None]
            size = page.imagelength, page.imagewidth
            if frame.ndim != 3 or frame.shape[:2] != size or frame.dtype.kind not in "iuf":
                raise DataError(f"expected pages of rows, columns and channels, got {page.shape} of {page.dtype}: "
                                "convert it")
            if frame.shape[2] > 1:
                said.append(f"TIFFs of {frame.shape[2]} channels of {frame.dtype} are read with all of them")
            yield np.ascontiguousarray(frame)
