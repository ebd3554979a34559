"""Train on your own sequences, score the run on those set apart for the test, and show what it predicts.

    python examples/train_sequences.py --data my_clips                  a folder of folders of images, one for each clip
    python examples/train_sequences.py --data clips.npy --size 64 64    clips (N,T,H,W), resized to 64x64
    python examples/train_sequences.py --resume                         go on after Ctrl-C, without repeating any flag

The same as `tinypredrnn train sequences`; tinypredrnn/data/reading/sequences.py says what can be read. To see what
comes after the end of a clip: predict.py.
"""

import sys

from tinypredrnn.commands.train import train
from tinypredrnn.errors import command

if __name__ == "__main__":
    sys.exit(command(lambda: train("sequences", *sys.argv[1:])))
