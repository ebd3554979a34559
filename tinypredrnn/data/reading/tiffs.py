"""Scientific TIFFs, read by tifffile: any number and depth of channels, also as planes or as separate pages."""

import logging
import math
import re

import numpy as np

from tinypredrnn.data.reading.frames import check_bytes, check_frame
from tinypredrnn.errors import DataError

BITS, SAMPLES, PLANES, EXTRA, PAGE, DESCRIPTION = 258, 277, 284, 338, 254, 270  # tags
NO_PAGE = 1 | 4  # the bits of PAGE that mark a smaller copy of another page, and a mask


def has_bands(image):
    """Whether a TIFF has channels other than 8-bit gray, colour and transparency, or stores them in planes."""
    samples, bits, extra = (image.tag_v2.get(tag, least) for tag, least in ((SAMPLES, 1), (BITS, (1,)), (EXTRA, ())))
    return samples > 1 and (image.tag_v2.get(PLANES, 1) == 2 or max(bits) > 8 or 0 in extra
                            or samples > 3 and not extra and image.mode != "CMYK")


def open_tiff(path):
    import tifffile  # installed with scikit-image

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # our own errors report damage
    return tifffile.TiffFile(path)


def channels_in_pages(image):
    """How many pages of a TIFF are the channels of one frame, from ImageJ's description. DataError if it holds volumes,
    or is an OME-TIFF with several channels.
    """
    told = str(image.tag_v2.get(DESCRIPTION, ""))
    found = re.findall(r'\b(channels|slices|frames|SizeC|SizeZ|SizeT)="?(\d+)', told)
    counts = dict.fromkeys(["channels", "slices", "frames", "SizeC", "SizeZ", "SizeT"], 1)
    counts |= {name: int(count) for name, count in found}
    if image.n_frames == 1:
        return 1
    volumes = min(counts["slices"], counts["frames"]) > 1 or min(counts["SizeZ"], counts["SizeT"]) > 1
    if volumes or counts["SizeC"] > 1 or image.n_frames % max(1, counts["channels"]):
        raise DataError(f"expected a page for each frame, got {', '.join(f'{k} {n}' for n, k in found)}: save one "
                        "slice and channel, or an array (T,H,W,C) as .npy")
    return counts["channels"]


def bands(path, messages, layers=1):
    """The frames of a TIFF: pages with all of their channels, or `layers` pages for the channels of one frame."""
    planes = []
    for frame in pages(path):
        planes.append(frame)
        if len(planes) == layers:
            frame, planes = np.concatenate(planes, axis=2), []
            if frame.shape[2] > 1:
                messages.append(f"TIFFs of {frame.shape[2]} channels of {frame.dtype} are read with all of them")
            yield frame


def pages(path):
    """The pages of a TIFF, (H,W,C)."""
    with open_tiff(path) as file:
        for page in file.pages:
            if page.subfiletype & NO_PAGE:
                continue
            check_frame(page.imagelength, page.imagewidth)
            check_bytes(math.prod(page.shape) * page.dtype.itemsize)  # there may be a huge number of channels
            frame = page.asarray()
            if frame.ndim == 3 and page.planarconfig == 2:
                frame = frame.transpose(1, 2, 0)
            frame = frame if frame.ndim == 3 else frame[..., None]
            size = page.imagelength, page.imagewidth
            if frame.ndim != 3 or frame.shape[:2] != size or frame.dtype.kind not in "iuf":
                raise DataError(f"expected pages of rows, columns and channels, got {page.shape} of {page.dtype}: "
                                "convert it")
            yield np.ascontiguousarray(frame)
