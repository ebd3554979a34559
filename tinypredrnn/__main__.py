"""One command line for all: `tinypredrnn COMMAND ...`, or `python -m tinypredrnn COMMAND ...`. Each has its own --help.

    train mnist|sequences   train a network on moving digits, or on sequences of your own
    evaluate RUN            score it, on the test set of its own world or on other data
    predict [RUN]           continue a clip
    models                  the networks that there are
    course                  the lessons: write, run, what comes next
    info                    what is here, and how to get what is missing (the default)

Exit status: 0 all done; 129, 130 or 143 stopped by SIGHUP, Ctrl-C or SIGTERM, all saved; 2 something is wrong, in one sentence.
"""

import importlib
import sys

from tinypredrnn.errors import ConfigError, command

COMMANDS = {"train": "commands.train", "evaluate": "commands.evaluate", "predict": "commands.predict", "models": "commands.models",
            "course": "course", "info": "commands.info"}


def main(words=None):
    """Run a command; `words` are those of the command line if None. Returns the exit status."""
    name, *words = (sys.argv[1:] if words is None else words) or ["info"]
    if name in ("-h", "--help"):
        print(__doc__)
        return 0
    if name not in COMMANDS:
        raise ConfigError(f"command {name!r} is unknown: expected one of {', '.join(COMMANDS)}; --help says what they do")
    return importlib.import_module(f"tinypredrnn.{COMMANDS[name]}").main(words)


def console():
    """The console script's entry."""
    name, *words = sys.argv[1:] or ["info"]
    sys.argv[0] = f"tinypredrnn {name}" if name in COMMANDS else "tinypredrnn"  # as usages and errors name the program
    return command(lambda: main([name, *words]))


if __name__ == "__main__":
    sys.exit(console())
