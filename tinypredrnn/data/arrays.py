"""The headers of NumPy's files, .npy and .npz: they give the size of each array before it is read."""

import math
from typing import NamedTuple

import numpy as np

from tinypredrnn.errors import DataError

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
PLAIN = "biufcSUMm"  # numbers, text and times: the kinds of dtype that hold no Python objects


class Header(NamedTuple):
    """What a .npy file says about its array, before the numbers."""

    shape: tuple
    dtype: np.dtype
    fortran: bool = False  # whether the first index changes fastest
    bytes = property(lambda self: math.prod(self.shape) * self.dtype.itemsize)


def headers(archive, objects=False):
    """{name: Header} of an open .npz (the result of np.load); no array is read.

    DataError if one is not an array of plain numbers or text, or if its length is not what its header says. With
    `objects`, arrays of Python objects, which are never read, are listed as well.
    """
    found = {}
    for member in archive.zip.infolist():
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            raise DataError(f"expected arrays, got {name}, which is not one")
        with archive.zip.open(member) as file:
            found[name] = header = read_header(file, name, objects)
            size = member.file_size - file.tell()
            if header.dtype.kind != "O" and size != header.bytes:
                raise DataError(f"expected {header.bytes:,} bytes of numbers in {name}, got {size:,}")
    return found


def read_header(file, name, objects=False):
    """The Header at the beginning of a .npy that is open for binary reading."""
    read = HEADERS.get(np.lib.format.read_magic(file))
    if read is None:
        raise DataError(f"expected an array of plain numbers, got {name} in a format version that such arrays never "
                        "need")
    shape, fortran, dtype = read(file)
    if dtype.kind == "O" and not objects:
        refuse_objects(name)
    if dtype.kind not in PLAIN + "O":
        raise DataError(f"expected an array of plain numbers, got {name} of dtype {dtype}")
    return Header(shape, dtype, fortran)


def refuse_objects(name):
    raise DataError(f"expected an array of plain numbers, got {name}, an array of Python objects, which are never "
                    "loaded: save arrays of several lengths side by side in one .npz, np.savez(path, *arrays), or in a "
                    "folder of one .npy each")
