"""Train on frames of a weather radar, score the run on those set apart for the test, and show what it predicts.

    python examples/train_radar.py                                  synthetic echoes, minutes on two CPU cores
    python examples/train_radar.py --data season.npz                frames with times: the last run is the test
    python examples/train_radar.py --data rain/ --zr "300 1.4"      a folder of NetCDF files with rain rates
    python examples/train_radar.py --data scans/ --unit dBZ --values 0 60      images; 0 and 255 are 0 and 60 dBZ
    python examples/train_radar.py --preset paper --size 100 100 --device gpu  2 x 128, 3x3, as in Section 4.3
    python examples/train_radar.py --resume                         go on after Ctrl-C, without repeating any flag

The same as `tinypredrnn train radar`. For a forecast from the newest frames of a file: predict.py.
"""

import sys

from tinypredrnn.commands.train import train
from tinypredrnn.errors import command

if __name__ == "__main__":
    sys.exit(command(lambda: train("radar", *sys.argv[1:])))
