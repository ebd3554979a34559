"""Write files so that none is ever seen half written, and lock folders so that only one program writes into each."""

import argparse
import contextlib
import functools
import json
import os
import secrets
import tempfile
import time
from pathlib import Path

from tinypredrnn.errors import BusyError, ConfigError, say_once

PAUSES = 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0  # seconds between attempts of `retry`


@contextlib.contextmanager
def replacing(path, previous=None, within=None, before=lambda temporary: None):
    """Yield a temporary path to write to, with the ending of `path`; then flush it to the disk and rename it to `path`.

    path       a rename is atomic: whatever happens in between, `path` holds all of the old file or all of the new one
    previous   where the old file is kept, if this is given: there is then a moment without `path`, but never one
               without both
    within     the folder of the temporary file, on the same disk as `path`; None: beside it
    before     called with the temporary file when it is whole, just before the first rename; if it raises, all stays as
               it was

    Folders are made as needed.
    """
    path = Path(path)
    temporary = (within or path.parent) / f".unfinished-{secrets.token_hex(4)}-{path.name}"  # no name comes twice
    for folder in (path.parent, temporary.parent):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        retry(flush, temporary)
        before(temporary)
        if previous and os.path.lexists(path):
            retry(path.replace, previous)
        retry(temporary.replace, path)
    except OSError as error:
        if error.errno and not error.filename:  # "No space left on device" alone does not say where
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def flush(path):
    with open(path, "r+b") as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())


def retry(act, *inputs):
    """Call act(*inputs), again and again for up to about five seconds as long as it is not permitted.

    On Windows a file cannot be replaced or deleted while a viewer or a virus scanner has it open, usually only for a
    moment.
    """
    for pause in PAUSES:
        try:
            return act(*inputs)
        except PermissionError:
            time.sleep(pause)
    return act(*inputs)


def user_cache():
    """The folder for compiled kernels and downloads, which can be made again: $TINYPREDRNN_CACHE, or the user's cache.

    If the user has no home, it is a temporary folder for this process.
    """
    import pooch

    try:
        return Path(os.environ.get("TINYPREDRNN_CACHE") or pooch.os_cache("tinypredrnn")).expanduser()
    except RuntimeError:  # from pooch; or from expanduser, if an older pooch leaves the "~" as it is
        return Path(temporary_cache().name)


@functools.cache
def temporary_cache():
    return tempfile.TemporaryDirectory(prefix="tinypredrnn-")  # removed when the process ends


# locking a folder

@contextlib.contextmanager
def locked(folder, name=".lock", wait=False):
    """Within `with locked(folder) as check:` no other program has the folder, which is made as needed.

    name   the file that is locked; a program that locks another file is not kept out
    wait   if there is another program, wait until it has left, with a line on stderr; otherwise raise BusyError at once

    `check()` raises BusyError if the folder has been deleted or replaced since: another program may have locked the
    new one. The operating system holds the lock as long as the process lives, so a crash, kill -9 or a power failure
    leaves no lock behind. The file itself stays, which means nothing.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        if os.path.lexists(folder / name) and not (folder / name).is_file():  # to open a pipe would wait forever
            raise ConfigError(f"{folder / name} is no file that could be locked: move it elsewhere, or name another "
                              "folder")
        with open(folder / name, "a") as file:
            try:
                lock(file)
            except (BlockingIOError, PermissionError) as error:
                if not wait:
                    raise BusyError(f"another program is writing into {folder}: wait until it has ended, or use "
                                    "another folder") from error
                say_once(f"another program is at work in {folder}: waiting until it has ended")
                time.sleep(0.1)
                continue
            if not is_at(file, folder / name):
                continue  # deleted between the opening and the locking: it is the file at the path that counts

            def check():
                if not is_at(file, folder / name):
                    raise BusyError(f"{folder} is not the folder any more that was written into (it was deleted or "
                                    "replaced): nothing more is written there; start again, or use another folder")

            yield check
            return


def lock(file):
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_at(file, path):
    """Whether an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def lies_within(path, folder):
    """Whether `path`, which need not exist, is `folder` or lies in it, links followed."""
    path = Path(os.path.realpath(path))
    return os.path.exists(folder) and any(place.exists() and place.samefile(folder) for place in (path, *path.parents))


def allow_open_files(count):
    """Raise the number of files that this process may have open to `count`, as far as the system permits: macOS begins
    with 256, and each file that is mapped into memory is one of them."""
    try:
        import resource  # Windows has none, and no such limit
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def path_argument(text):
    """A type for argparse: a Path. An empty text, as from a shell variable that is not set, would mean the current
    folder: it is refused."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty text: is a variable not set?")
    return Path(text)


class BestEffortStream:
    """A stream for progress bars: what cannot be written, for example because the disk that keeps a log is full, is
    left out."""

    def __init__(self, stream):
        self.stream = stream

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        with contextlib.suppress(OSError):
            self.stream.write(text)

    def flush(self):
        with contextlib.suppress(OSError):
            self.stream.flush()


# JSON

def write_json(path, value):
    """Write plain values as JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(as_json(value), encoding="utf-8")


def as_json(value):
    return json.dumps(value, indent=1) + "\n"


def read_json(path):
    """The {name: value} of a JSON file, or None if it is damaged or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):  # the second if it is nested without end
        return None
    return value if isinstance(value, dict) else None
