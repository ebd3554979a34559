"""Every error that tinypredrnn raises on purpose: one sentence that says what was expected, what came, and what to do.

Commands print that sentence and end with exit status 2; any other exception is a bug and keeps its traceback.
"""

import argparse
import contextlib
import functools
import os
import signal
import sys

from tinypredrnn.malloc import keep_freed_memory

MAX_ARGUMENT = 10**9  # the largest number that a script accepts for anything


class Error(Exception):
    """The base class of all of these errors."""


class ShapeError(Error, ValueError):
    """Arrays whose shapes do not fit the op that they were given to."""


class DTypeError(Error, TypeError):
    """Arrays of the wrong dtype, or of two float dtypes at once."""


class RangeError(Error, ValueError):
    """Values on the wrong scale, or NaN."""


class DeviceError(Error, RuntimeError):
    """A device that is missing, or arrays of two devices at once."""


class GraphError(Error, RuntimeError):
    """A graph that cannot be used in this way: backward a second time or from nothing, a gradient that would be lost,
    NaN found by `debug`."""


class GradientError(Error, AssertionError):
    """A gradient check that failed, or one that could not have failed."""


class ConfigError(Error, ValueError):
    """An option that is unknown, impossible, or contradicts another."""


class DataError(Error, ValueError):
    """A data file or folder that is missing, damaged, or not what it should be."""


class CheckpointError(Error, ValueError):
    """A checkpoint that is missing, damaged, or belongs to another model."""


class TooLargeError(Error, MemoryError):
    """Something that would take more memory than there is."""


class BusyError(Error, RuntimeError):
    """A folder that another program is writing into."""


class TrainingError(Error, ArithmeticError):
    """Training that cannot go on, for example because the loss is not a finite number."""


def say(sentence):
    """Print a line on stderr. If it cannot be written, for example because the disk is full, it is left out."""
    with contextlib.suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)


@functools.cache
def say_once(sentence):
    """`say`, but the same line only once."""
    say(sentence)


def command(main):
    """Run a script's `main` and return its exit status: what main returns, or one of

        2     an error that the user can correct, in one sentence; also an OSError (no space, not permitted, no such
              folder) and a lack of memory
        129   SIGHUP: the terminal was closed
        130   SIGINT: Ctrl-C
        141   SIGPIPE: whoever read stdout has closed it, as `head` does
        143   SIGTERM, as `kill` and batch systems send it

    Any other exception is a bug of ours and keeps its traceback (status 1). Files are complete in all cases.
    """
    keep_freed_memory()
    prepare_streams()
    os.environ.pop("MPLBACKEND", None)  # scripts draw into files; an unknown name here would end Matplotlib's import
    for name in "SIGTERM", "SIGHUP":
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # as SIGHUP is under nohup
            # an exception, so that everything is closed properly
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    sentence = ""
    try:
        status = main()
    except SystemExit as leaving:
        status = leaving.code
    except BrokenPipeError:
        status = 141
    except KeyboardInterrupt:
        status, sentence = 130, "stopped"
    except (Error, OSError) as error:
        status, sentence = 2, str(error)
    except MemoryError as error:  # those of NumPy and CuPy say how much was asked for, Python's own says nothing
        status = 2
        sentence = (f"there is not enough memory ({str(error) or 'none is left'}): ask for less at a time, such "
                    "as a smaller batch")
    try:
        sys.stdout.flush()  # so that an error in writing is noticed now, not when Python ends
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            status = status or 141
        else:
            status, sentence = status or 2, sentence or f"stdout: {error}"
    try:
        if sentence:
            print(f"{sys.argv[0]}: {sentence}", file=sys.stderr)
        sys.stderr.flush()
    except OSError:  # what cannot be written would be tried again when Python ends, which would then exit with 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return status


def whole_number_from(least):
    """A type for argparse: whole numbers from `least` to MAX_ARGUMENT."""
    def whole_number(text):
        if not least <= int(text) <= MAX_ARGUMENT:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {MAX_ARGUMENT:,}, got "
                                             f"{text[:40]}")
        return int(text)

    return whole_number


def prepare_streams():
    """Open the streams that the program was started without (`2>&-`); characters that a terminal cannot show become
    \\xe9."""
    for name, mode in ("stdin", "r"), ("stdout", "w"), ("stderr", "w"):
        if getattr(sys, name) is None:  # the new file takes the stream's number, so no data file can get it
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    for file in sys.stdout, sys.stderr:
        if hasattr(file, "reconfigure"):
            file.reconfigure(errors="backslashreplace")
