"""Room for frames: memory for the first of them, then files that are mapped into memory and read as they are needed.

So data may be larger than the memory, and any frame of them is at hand: a training batch is drawn from all of them, as
from data in memory. The files have no names, are in the user's cache, and end with the program.
"""

import contextlib
import math
import mmap
import os
import shutil
import tempfile

import numpy as np

from tinypredrnn.errors import DataError
from tinypredrnn.files import user_cache
from tinypredrnn.memory import format_bytes, memory_limit

IN_MEMORY = 1 << 30  # bytes of frames that are kept in memory, but at most a quarter of what there is
BLOCK = 1 << 28  # bytes of a file: arrays share one, since a program cannot have many files open
PIECE = 1 << 19  # bytes that are computed at a time
ALIGNED = 64  # bytes, of which the address of each array is a multiple


class Room:
    """room(shape, dtype) -> an uninitialised array in memory or, when `IN_MEMORY` is used up, in a file. DataError if
    there is no room for it on the disk.
    """

    def __init__(self):
        self.left, self.block = min(IN_MEMORY, memory_limit() // 4), np.empty(0, np.uint8)

    def __call__(self, shape, dtype):
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if self.take(size):
            return np.empty(shape, dtype)
        if size > len(self.block):
            self.block = on_disk(max(size, BLOCK))
        array, self.block = np.ndarray(shape, dtype, self.block[:size]), self.block[-(-size // ALIGNED) * ALIGNED:]
        return array

    def require(self, size):
        """DataError if there is no room for so many bytes: said before the work, not in the midst of it."""
        if size > self.left:
            require_disk(size - self.left)

    def take(self, size):
        """Whether so many bytes more may be kept in memory; if so, they count."""
        fits = size <= self.left
        self.left -= size * fits
        return fits

    def hold(self, frame):
        """The frame itself if there is memory left, else a copy on the disk."""
        if self.take(frame.nbytes):
            return frame
        copy = self(frame.shape, frame.dtype)
        copy[...] = frame
        release_pages(copy)
        return copy

    def each(self, clip, compute):
        """compute(frames) -> frames of a whole clip (T,...), some frames at a time."""
        first, done = compute(clip[:1]), 0
        made = self((len(clip), *first.shape[1:]), first.dtype)
        for frames in in_pieces(clip, max(first.nbytes, clip[:1].nbytes)):
            made[done:done + len(frames)] = compute(frames)
            done += len(frames)
            release_pages(made)
        return made


def in_pieces(clip, size=None):
    """A clip (T,...) in pieces of about PIECE bytes, if a frame has `size`; what has been used is given back."""
    step = max(1, PIECE // max(1, size or clip[:1].nbytes))
    for t in range(0, len(clip), step):
        yield clip[t:t + step]
        release_pages(clip)


@contextlib.contextmanager
def explain_disk_error(folder, size):
    """A context in which an OSError becomes a DataError that says that the folder cannot hold so many bytes."""
    try:
        yield
    except OSError as error:
        raise DataError(f"its frames take {format_bytes(size)} more than may be kept in memory, and {folder} cannot be "
                        f"used ({error.strerror or error}): name another folder with TINYPREDRNN_CACHE") from error


def require_disk(size):
    """The folder for files of frames. DataError if its disk has no room for so many bytes; a tenth is left to others.
    """
    folder = user_cache() / "frames"
    with explain_disk_error(folder, size):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    if size > 0.9 * free:
        raise DataError(f"its frames take {format_bytes(size)} more than may be kept in memory, and {folder} has "
                        f"{format_bytes(free)} free: free some, name another folder with TINYPREDRNN_CACHE, or give "
                        "fewer or smaller frames")
    return folder


def on_disk(size):
    """Bytes (size,) in a file without a name. DataError if there is no room for them."""
    folder = require_disk(size)
    with explain_disk_error(folder, size), tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # a disk that became full later would end the program
        else:
            file.truncate(size)
        return np.memmap(file, np.uint8, "r+", shape=(size,))


def file_of(array):
    """The mmap of the file in which an array's numbers stay until they are used, or None."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array if isinstance(array, mmap.mmap) else None


def release_pages(*arrays):
    """Give back the memory that pages of mapped files take once they have been used; they can be read again.

    The system would do so only when memory becomes scarce: until then a pass over a large file would look as if all of
    it were needed, also to those who set limits. Windows, which has no such call, does it by itself.
    """
    for file in map(file_of, arrays):
        if file is not None and hasattr(file, "madvise"):
            file.madvise(mmap.MADV_DONTNEED)
