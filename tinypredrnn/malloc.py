"""What a program may ask of the C library: to keep memory that was freed."""

import contextlib
import ctypes


def keep_freed_memory():
    """Ask the C library to make large arrays from memory that was freed before: for the whole process, from now on.

    The system has to find and clear every page of fresh memory, which for arrays of megabytes costs as much as
    computing with them. So the commands of tinypredrnn call this once, through `tinypredrnn.errors.command`. It is not
    called on import: a program that only uses tinypredrnn decides for itself, and calls `tp.keep_freed_memory()` at its
    start to train as fast as the commands do. The price is that the process does not shrink: it keeps as much memory as
    its arrays have ever needed at once. Only glibc can be asked; with other C libraries this does nothing.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, its largest value: smaller arrays get no pages of their own
        mallopt(-1, 2 ** 31 - 1)  # M_TRIM_THRESHOLD: free pages stay with the process
