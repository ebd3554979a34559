"""Train PredRNN on Moving MNIST, score it, and show what it predicts.

    python examples/train_mnist.py                                      minutes on two CPU cores
    python examples/train_mnist.py --preset paper --device gpu --out runs/paper
    python examples/train_mnist.py --resume --out runs/paper            go on after Ctrl-C, without repeating any flag

The same as `tinypredrnn train mnist`.
"""

import sys

from tinypredrnn.commands.train import train
from tinypredrnn.errors import command

if __name__ == "__main__":
    sys.exit(command(lambda: train("mnist", *sys.argv[1:])))
