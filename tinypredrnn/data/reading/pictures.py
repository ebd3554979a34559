"""Read pictures as films: frame after frame, with one size and one dtype, in memory. One file may hold several frames.

Files may come from anywhere and decoders are not ours, so nothing is trusted: every exception of a decoder becomes a
DataError that names the file, only formats that are plain data are opened, and no frame may have more than MAX_PIXELS.
A picture is rotated as its camera noted, and transparent parts are shown on black. Pillow decodes; scientific TIFFs
(any number and depth of channels, also as planes or as separate pages) are left to tifffile.
"""

import contextlib
import itertools
import logging
import math
import re
import warnings

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from tinypredrnn.data.arrays import read_header
from tinypredrnn.data.reading.frames import GRAY_TOLERANCE, check_bytes, check_frame, check_size, fit, reading, tint
from tinypredrnn.data.reading.room import release_pages
from tinypredrnn.data.reading.times import uneven
from tinypredrnn.data.reading.words import listed
from tinypredrnn.errors import DataError
from tinypredrnn.options import called

SEVERAL = {".apng", ".gif", ".npy", ".png", ".tif", ".tiff", ".webp"}  # formats that may hold several frames
IMAGES = {".bmp", ".jpeg", ".jpg", ".pgm", ".ppm"} | SEVERAL - {".npy"}
FORMATS = "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"  # for others, such as EPS, PIL starts other programs
PAGE, BITS, DESCRIPTION, ORIENTATION, SAMPLES, PLANES, EXTRA = 254, 258, 270, 274, 277, 284, 338  # tags of TIFFs
NO_PAGE = 1 | 4  # the bits of PAGE that mark a smaller copy of another page, and a mask


class Pictures:
    """Reads pictures as films of one size, in a Room. It keeps track of the first size; `stored` is the dtype of the
    pictures that were read last.
    """

    def __init__(self, size, channels, every, missing, aspect, room):
        self.size, self.channels, self.every, self.missing, self.aspect = size, channels, every, missing, aspect
        self.first, self.stored, self.room = None, None, room

    def read(self, files, messages):
        """The frames of picture files, in order, as a clip (T,H,W,C): of one file, or one of each of several. The other
        result is the set of their sizes as stored.
        """
        files, every = (files, self.every) if len(files) == 1 else (files[::self.every], 1)
        found = ((file, frame) for file in files for frame in frames_of(file, messages))
        frames, sizes, colour, self.stored = [], set(), 0, None
        for file, frame in itertools.islice(found, 0, None, every):
            with reading(file):
                if colour <= GRAY_TOLERANCE and frame.shape[2] == 3 and frame.dtype == np.uint8:
                    difference = tint(frame)
                    colour, frame = max(colour, difference), frame if difference else frame[..., :1].copy()
                sizes.add(frame.shape[:2])
                self.stored = self.stored or frame.dtype
                frame = fit(frame, self.size, self.channels, self.missing, self.aspect)
                self.first = self.first or (file, frame.shape[:2])
                check_size(frame.shape[:2], *self.first)
                frames.append(self.room.hold(frame))
        if 0 < colour <= GRAY_TOLERANCE and self.channels is None:
            messages.append(f"red, green and blue differ by at most {colour} of 255: read as gray; "
                            f"{called('channels')} 3 keeps the colours")
            frames = [fit(frame, None, 1) for frame in frames]
        with reading(files[0]):
            return stack(frames, messages, self.room), sizes


def stack(frames, messages, room):
    """A list of frames as one clip (T,H,W,C). The list is emptied meanwhile, since there may not be enough memory for
    both. Gray of more than 8 bits becomes bytes if there are bytes as well.
    """
    dtypes, channels, divisor = {frame.dtype for frame in frames}, {frame.shape[2] for frame in frames}, 1
    dtype = np.result_type(*dtypes).newbyteorder("=")
    if len(channels) > 1 and not channels <= {1, 3}:
        raise DataError(f"expected pictures with as many channels as each other, got some with {listed(channels)}")
    if len(dtypes) > 1 and dtype.kind == "f":
        raise DataError(f"expected pictures of one kind, got {listed(dtypes)}: convert them")
    if len(dtypes) > 1 or dtype == np.int32:
        most, mixed = max(int(frame.max()) for frame in frames), np.dtype(np.uint8) in dtypes
        if most <= 65535 and min(int(frame.min()) for frame in frames) >= 0:
            dtype = np.dtype(np.uint8 if mixed else np.uint16)  # PIL holds 16 bits in 32
        elif mixed:
            raise DataError(f"expected gray values of 8 or 16 bits, got up to {most} beside bytes: convert them")
        if mixed:
            divisor = 257 if most > 255 else 1
            messages.append("pictures of more than 8 bits among others of 8 are read as bytes"
                            f"{', divided by 257' if divisor > 1 else ''}")
    clip = room((len(frames), *frames[0].shape[:2], max(channels)), dtype)
    for t in reversed(range(len(clip))):
        frame = frames.pop()
        clip[t] = np.rint(frame / divisor) if divisor > 1 and frame.dtype != np.uint8 else frame
        release_pages(frame, clip)
    return clip


# one file

def open_image(path):
    """PIL's image of a file, not decoded yet; None for a TIFF that only tifffile knows. PIL's warning about a
    suspiciously large image becomes an error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return Image.open(path, formats=FORMATS)
        except Image.UnidentifiedImageError:
            if path.suffix.lower() in (".tif", ".tiff"):
                return None
            raise


def open_tiff(path):
    import tifffile  # installed with scikit-image

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # our own errors report damage
    return tifffile.TiffFile(path)


def holds_several(path):
    """Whether a picture file holds more than one frame."""
    if path.suffix.lower() not in SEVERAL:
        return False
    with reading(path), open(path, "rb") as file:
        if path.suffix.lower() == ".npy":
            shape = read_header(file, path.stem).shape
            return not (len(shape) == 2 or len(shape) == 3 and shape[2] <= 4 < min(shape[:2]))
        head = file.read(4096)
        if head.startswith(b"\x89PNG") and b"IDAT" in head:  # a quick answer, which matters for thousands of files
            return b"acTL" in head.partition(b"IDAT")[0]
        if (image := open_image(path)) is None:
            with open_tiff(path) as tiff:
                return len(tiff.pages) > 1
        with image:
            return getattr(image, "n_frames", 1) > 1


def frames_of(path, messages):
    """The frames of a picture file in turn, (H,W,C): gray, colour, or as many channels as a TIFF has."""
    with reading(path):
        if path.suffix.lower() == ".npy":
            yield array_of(path)
            return
        with open_image(path) or contextlib.nullcontext() as image:
            if layers := pages_per_frame(image):
                yield from bands(path, layers, messages)
                return
            image.filename = ""  # else PIL maps a TIFF into memory, and fails on one that has to be rotated
            times, left = [0.0], 0
            for number, frame in enumerate(ImageSequence.Iterator(image)):
                still = number == 0 and image.info.get("default_image")  # for programs that show no animations
                if still or image.format == "TIFF" and frame.tag_v2.get(PAGE, 0) & NO_PAGE:
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
    frame = np.load(path, mmap_mode="r", allow_pickle=False)
    if frame.dtype.kind not in "biuf":
        raise DataError(f"expected numbers, got {frame.dtype}")
    check_frame(*frame.shape[:2])
    frame = np.array(frame.view(np.uint8) if frame.dtype == bool else frame)
    return frame[..., None] if frame.ndim == 2 else frame


def pixels(image, messages):
    """A PIL image as an array (H,W,C): gray keeps its 16 bits or floats, all else becomes bytes."""
    check_frame(image.height, image.width)
    codec, _, _, stored = image.tile[0] if image.tile else ("", (), 0, "")  # what PIL is about to decode
    if image.mode in ("RGB", "RGBA") and (";16" in str(stored) or codec.startswith("ppm") and stored[1] > 255):
        messages.append("pictures with colour or transparency of more than 8 bits are read as 8 bits: save them as "
                        "TIFFs to keep all bits")
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


# scientific TIFFs

def pages_per_frame(image):
    """How many pages of a TIFF are the channels of one frame if tifffile has to read it; 0 if PIL can read `image`.

    PIL knows 8-bit gray, colour and transparency, but no other channels and no planes. ImageJ's description says that
    pages are channels. DataError if a TIFF holds volumes, or is an OME-TIFF with several channels.
    """
    if image is None or image.format != "TIFF":
        return 1 if image is None else 0
    samples, bits, extra = (image.tag_v2.get(tag, least) for tag, least in ((SAMPLES, 1), (BITS, (1,)), (EXTRA, ())))
    if samples > 1 and (image.tag_v2.get(PLANES, 1) == 2 or max(bits) > 8 or 0 in extra
                        or samples > 3 and not extra and image.mode != "CMYK"):
        return 1
    found = re.findall(r'\b(channels|slices|frames|SizeC|SizeZ|SizeT)="?(\d+)', str(image.tag_v2.get(DESCRIPTION, "")))
    count = {name: int(number) for name, number in found} if image.n_frames > 1 else {}
    channels, *volume = (count.get(name, 1) for name in ("channels", "slices", "frames", "SizeZ", "SizeT"))
    if min(volume[:2]) > 1 or min(volume[2:]) > 1 or count.get("SizeC", 1) > 1 or image.n_frames % max(1, channels):
        raise DataError(f"expected a page for each frame, got {', '.join(f'{k} {n}' for n, k in found)}: save one "
                        "slice and channel, or an array (T,H,W,C) as .npy")
    return channels if channels > 1 else 0


def bands(path, layers, messages):
    """The frames of a TIFF: `layers` pages for each, with all of their channels."""
    with open_tiff(path) as file:
        pages = [page for page in file.pages if not page.subfiletype & NO_PAGE]
        for first in range(0, len(pages) - layers + 1, layers):
            frame = np.concatenate([band(page) for page in pages[first:first + layers]], axis=2)
            if frame.shape[2] > 1:
                messages.append(f"TIFFs of {frame.shape[2]} channels of {frame.dtype} are read with all of them")
            yield frame


def band(page):
    """A page of a TIFF as an array (H,W,C)."""
    size = page.imagelength, page.imagewidth
    check_frame(*size)
    check_bytes(math.prod(page.shape) * page.dtype.itemsize)  # there may be a huge number of channels
    array = page.asarray(squeeze=False)  # (planes, depth, rows, columns, samples): channels are planes or samples
    if array.shape[1:4] != (1, *size) or array.dtype.kind not in "iuf":
        raise DataError(f"expected pages of rows, columns and channels, got {page.shape} of {page.dtype}: convert it")
    return array[:, 0].transpose(1, 2, 0, 3).reshape(*size, -1)
