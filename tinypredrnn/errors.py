"""Every error that tinypredrnn raises on purpose: one sentence that says what was expected, what came, and what to do.

The example scripts turn each of them into that sentence and exit status 2; anything else is a bug and keeps its traceback.
"""

import signal
import sys

from tinypredrnn.memory import keep_freed_memory


class Error(Exception):
    """The base of all of them."""


class ShapeError(Error, ValueError):
    """Arrays whose shapes do not fit the op that they were given to."""


class DTypeError(Error, TypeError):
    """Arrays of the wrong dtype, or of two float dtypes at once."""


class DeviceError(Error, RuntimeError):
    """A device that is missing, or arrays of two devices at once."""


class GraphError(Error, RuntimeError):
    """Backward where it cannot run: a second time, or from something without a graph."""


class GradientError(Error, AssertionError):
    """A gradient check that failed, or one that could not have failed."""


class ConfigError(Error, ValueError):
    """An option that is unknown, impossible, or contradicts another."""


class DataError(Error, ValueError):
    """A data file or folder that is missing, damaged, or something else than it should be."""


class CheckpointError(Error, ValueError):
    """A checkpoint that is missing, damaged, or belongs to another model."""


class BusyError(Error, RuntimeError):
    """A folder that another program is writing into."""


class TrainingError(Error, ArithmeticError):
    """Training that cannot go on, such as a loss that is no number any more."""


def command(main):
    """Run a script's `main` and return its exit status: what main returns, or one of

        2     an error of the user's, in one sentence; also an OSError (no space, not permitted, no such folder)
        130   Ctrl-C (SIGINT)
        143   SIGTERM, as `kill` and batch systems send it

    Everything else is ours and keeps its traceback (status 1). Files are whole in all cases.
    """
    keep_freed_memory()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # leave in good order
    try:
        return main()
    except (Error, OSError) as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{sys.argv[0]}: stopped", file=sys.stderr)
        return 130
