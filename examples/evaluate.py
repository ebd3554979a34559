"""Score a trained run on its test set, or on other data, and compare it with copying the last frame and predicting
black.

    python examples/evaluate.py runs/mnist --digits 3

The same as `tinypredrnn evaluate`.
"""

import sys

from tinypredrnn.commands.evaluate import main
from tinypredrnn.errors import command

if __name__ == "__main__":
    sys.exit(command(lambda: main(sys.argv[1:])))
