"""Writing files so that nobody ever finds half of one, and folders so that two programs never write into one at once."""

import contextlib
import functools
import json
import os
import tempfile
from pathlib import Path

from tinypredrnn.errors import BusyError

UNFINISHED = ".unfinished-"  # how the names begin of what is being written, or was when the program was killed


@contextlib.contextmanager
def replacing(path, previous=None):
    """Yield a temporary name beside `path` to write to, with the same ending; then flush it to the disk and rename it to `path`.

    A rename is atomic: whatever happens in between, `path` holds all of the old file or all of the new one. Folders are made as needed.
    The old file becomes `previous`, if that is named: there is then a moment without `path`, but never one without both.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")
    try:
        yield temporary
        with open(temporary, "r+b") as file:  # Windows flushes only what is open for writing
            os.fsync(file.fileno())
        if previous and path.exists():
            path.replace(previous)
        temporary.replace(path)
    except OSError as error:
        if error.errno and not error.filename:  # "No space left on device" alone does not say where
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def user_cache():
    """The folder for what can be had again, compiled kernels and downloads: $TINYPREDRNN_CACHE, or the user's cache.

    For a user without a home it is a temporary folder of this process.
    """
    import pooch

    try:
        return Path(os.environ.get("TINYPREDRNN_CACHE") or pooch.os_cache("tinypredrnn")).expanduser()
    except RuntimeError:  # of pooch, or of expanduser for an older pooch, which leaves the "~" as it is
        return Path(temporary_cache().name)


@functools.cache
def temporary_cache():
    return tempfile.TemporaryDirectory(prefix="tinypredrnn-")  # removed when the process ends


@contextlib.contextmanager
def alone(folder):
    """Within `with alone(folder):` no other program is within it too; BusyError at once where one is. The folder is made as needed.

    The operating system holds the lock as long as the process lives: a crash, kill -9 or a power failure leaves none behind. The file
    .lock stays, and says nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as file:
        try:
            lock(file)
        except (BlockingIOError, PermissionError) as error:
            raise BusyError(f"another program is writing into {folder}: wait until it has ended, or name another folder") from error
        yield


def lock(file):
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_json(path, value):
    """Write plain values as JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path):
    """The {name: value} of a JSON file, or None where it is damaged or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):  # the second where it is nested without end
        return None
    return value if isinstance(value, dict) else None
