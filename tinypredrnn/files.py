"""Writing files so that nobody ever finds half of one."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary name beside `path` to write to, with the same ending; then flush it to the disk and rename it to `path`.

    A rename is atomic: whatever happens in between, `path` holds all of the old file or all of the new one. Folders are made as needed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        yield temporary
        with open(temporary, "r+b") as file:  # Windows flushes only what is open for writing
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
