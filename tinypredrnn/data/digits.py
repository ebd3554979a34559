"""Where digits come from: MNIST files on this computer, else a download, else digits drawn by the program itself.

There are three disjoint sets: "train" and "validation" are the first eleven twelfths and the last twelfth of the MNIST
training file (55,000 and 5,000 digits), "test" is the MNIST test file (10,000 digits, written by other people).
"""

import functools
import gzip
import os
import struct
import sys
import textwrap
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch

from tinypredrnn.data.drawn_digits import SIDE, draw_digits
from tinypredrnn.errors import ConfigError, DataError, say_once
from tinypredrnn.files import user_cache
from tinypredrnn.options import called

STEMS = {"train": "train-images", "validation": "train-images", "test": "t10k-images"}
ENDINGS = ("-idx3-ubyte.gz", "-idx3-ubyte", ".idx3-ubyte.gz", ".idx3-ubyte")  # under which MNIST is distributed
MAX_IMAGES = 1_000_000  # more than any known set of digits has; limits what a wrong header can make us read

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
}

DRAWN = {"train": (20_000, 19981), "validation": (2_000, 19982), "test": (5_000, 19983)}  # how many, and the seed


class Digits(NamedTuple):
    """images (N, 28, 28) uint8, ink 255 on paper 0, and the source from which they come, in words."""

    images: np.ndarray
    source: str


def load_digits(split, data_dir=None):
    """The digits of "train", "validation" or "test", from the first place that has them.

    If data_dir is given, only that folder is searched. Otherwise the places are, in this order: the folder that the
    environment variable TINYPREDRNN_DATA names; the cache (TINYPREDRNN_CACHE moves it); a download into the cache;
    drawn digits. A place counts only if it has both MNIST files, so that training and test digits never come from
    different places. The files may be in the folder itself or in its subfolder mnist.

    Raises DataError if data_dir lacks the file or the file is damaged, ConfigError if the split is unknown.
    """
    if split not in STEMS:
        raise ConfigError(f"the split of the digits should be one of {', '.join(STEMS)}, but is {split!r}: choose one "
                          "of these")
    if data_dir is not None:
        path = _find(data_dir, split)
        if path is None:
            names = ", ".join(STEMS[split] + ending for ending in ENDINGS)
            raise DataError(
                f"the {split} digits should be in {os.path.abspath(os.path.expanduser(data_dir))} or its subfolder "
                f"mnist as one of {names}, but neither has any of these: copy it there, or leave the folder out to "
                "download MNIST"
            )
        return _read_split(path, split)

    cache = user_cache() / "mnist"
    named = os.environ.get("TINYPREDRNN_DATA")
    if named and not os.path.isdir(os.path.expanduser(named)):
        say_once(f"TINYPREDRNN_DATA names {named}, which is not a folder: digits are looked for elsewhere")
    for folder in (named, cache):
        if folder and _find(folder, "train") and _find(folder, "test"):
            return _read_split(_find(folder, split), split)
    if _download(cache):
        return _read_split(_find(cache, split), split)
    count, seed = DRAWN[split]
    return Digits(draw_digits(np.random.default_rng(seed), count)[0], "drawn digits")


def _find(folder, split):
    """The path of a split's MNIST file in folder or folder/mnist, or None."""
    folder = os.path.expanduser(folder)  # the shell does not expand --data-dir=~/data
    for subfolder in ("", "mnist"):
        for ending in ENDINGS:
            path = os.path.join(folder, subfolder, STEMS[split] + ending)
            if os.path.isfile(path):
                return Path(path)
    return None


def _read_split(path, split):
    images = read_images(path)
    held_out = len(images) // 12  # 5,000 of the 60,000
    part = {"train": slice(0, len(images) - held_out), "validation": slice(len(images) - held_out, None),
            "test": slice(None)}
    images = images[part[split]].copy()  # writable, and a part does not keep the whole file in memory
    if len(images) == 0:
        raise DataError(f"{path} should hold digits for {split}, but is too short to spare any: use the original MNIST "
                        "file")
    return Digits(images, f"MNIST from {path.absolute().parent}")


def read_images(path):
    """Read an idx file of 28x28 images, gzipped or not: (N, 28, 28) uint8, read-only. DataError if it is not one."""

    def damaged(expected, got):
        return DataError(f"{path} should {expected}, but {got}: replace it by the original MNIST file, or delete it")

    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if zipped else file
            header = stream.read(16)
            magic, count, rows, columns = struct.unpack(">4I", header.ljust(16, b"\0"))
            if magic != 0x803:
                raise damaged("begin with 00 00 08 03 as idx images do",
                              f"begins with {header[:4].hex(' ') or 'nothing'}")
            if (rows, columns) != (SIDE, SIDE) or not 1 <= count <= MAX_IMAGES:
                got = f"its header says {count:,} of {rows}x{columns}"
                raise damaged(f"hold 1 to {MAX_IMAGES:,} images of {SIDE}x{SIDE}", got)
            size = count * SIDE * SIDE
            pixels = _read_at_most(stream, size + 1)  # one more than expected, to notice a file that is too long
    except (OSError, EOFError, zlib.error) as error:
        raise damaged("be a whole idx file, gzipped or not", f"cannot be read ({error})") from error
    if len(pixels) != size:
        got = "has more" if len(pixels) > size else f"ends after {len(pixels):,}"
        raise damaged(f"hold {size:,} bytes of pixels after its header", got)
    images = np.frombuffer(pixels, np.uint8).reshape(count, SIDE, SIDE)
    images.flags.writeable = False
    return images


def _read_at_most(stream, size):
    """Up to size bytes, piece by piece: asked for at once, the whole size would be allocated before a byte is seen."""
    content = bytearray()
    while len(content) < size and (piece := stream.read(min(size - len(content), 1 << 20))):
        content += piece
    return content


@functools.cache
def _download(folder):
    """Download both MNIST files into folder; True if they are there. Tried only once, so that no run mixes sources."""
    pooch.get_logger().setLevel("WARNING")  # its progress bar says enough
    # seconds to connect, and to wait for data
    fetch = pooch.HTTPDownloader(timeout=(3, 10), progressbar=sys.stderr.isatty())
    for name, sha256 in SHA256.items():
        for mirror in MIRRORS:
            try:
                pooch.retrieve(mirror + name, f"sha256:{sha256}", fname=name, path=folder, downloader=fetch)
                break
            except Exception as error:  # no network, a proxy, a full disk, another checksum: there is always the pen
                reason = textwrap.shorten(f"{type(error).__name__}: {error}", 120)
        else:
            print(
                f"MNIST could not be downloaded ({reason}), so digits are drawn instead; for real ones put "
                f"{' and '.join(SHA256)} into {folder} or a folder that {called('data_dir')} or TINYPREDRNN_DATA "
                "names.",
                file=sys.stderr,
            )
            return False
    return True
