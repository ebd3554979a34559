"""The command line: `tinypredrnn COMMAND ...`, or `python -m tinypredrnn COMMAND ...`. Each command has its own --help.

    train WORLD             train a network: on mnist, moving digits; radar, echoes of rain; sequences of your own
    evaluate RUN            score a trained run, on the test set of its own world or on other data
    predict [RUN]           continue a clip
    probability RUN         how probable is it that thresholds are reached, such as 30 dBZ?
    compare                 train several networks with the same budget: the paper's Tables 1 and 2
    models                  list the networks
    course                  write lessons, check exercises, show solutions, or show which comes next
    info                    show what is installed, and how to get what is missing (the default)

Exit status: 0 if all is done; 129, 130 or 143 if stopped by SIGHUP, Ctrl-C or SIGTERM, with everything saved; 2 after
an error, which one sentence explains.
"""

import importlib
import sys

from tinypredrnn.errors import ConfigError, command

COMMANDS = {"train": "commands.train", "evaluate": "commands.evaluate", "predict": "commands.predict",
            "probability": "commands.probability", "compare": "commands.compare", "models": "models.__main__",
            "course": "course.__main__", "info": "commands.info"}


def main(words=None):
    """Run a command and return its exit status. `words` default to those of the command line."""
    name, *words = (sys.argv[1:] if words is None else words) or ["info"]
    if name in ("-h", "--help"):
        print(__doc__)
        return 0
    if name not in COMMANDS:
        raise ConfigError(f"command {name!r} is unknown: expected one of {', '.join(COMMANDS)}; --help says what they "
                          "do")
    return importlib.import_module(f"tinypredrnn.{COMMANDS[name]}").main(words)


def console():
    """The entry point of the console script."""
    name, *words = sys.argv[1:] or ["info"]
    # the program's name in usage and error messages
    sys.argv[0] = f"tinypredrnn {name}" if name in COMMANDS else "tinypredrnn"
    return command(lambda: main([name, *words]))


if __name__ == "__main__":
    sys.exit(console())
