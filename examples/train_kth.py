"""Train on KTH's videos of people who walk, jog, run, box, clap and wave, score the run on other people, and show what
it predicts.

    python examples/train_kth.py                                stick figures, minutes on two CPU cores
    python examples/train_kth.py --data KTH                     the folder of the .avi files, with 00sequences.txt
    python examples/train_kth.py --data KTH --trimmed lists     with MCnet's lists, in which somebody is always in view
    python examples/train_kth.py --data KTH --preset paper --device gpu --out runs/kth_paper
    python examples/train_kth.py --resume                       go on after Ctrl-C, without repeating any flag

Trained to predict 10 frames from 10, and scored on 20. The same as `tinypredrnn train kth`.
"""

import sys

from tinypredrnn.commands.train import train
from tinypredrnn.errors import command

if __name__ == "__main__":
    sys.exit(command(lambda: train("kth", *sys.argv[1:])))
