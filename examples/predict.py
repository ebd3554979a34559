"""Continue a clip: predict the frames after its last one with the model of a run.

    python examples/predict.py                              the trained model that comes with the package
    python examples/predict.py runs/sequences --input my_clips/take1 --frames 20

The same as `tinypredrnn predict`.
"""

import sys

from tinypredrnn.commands.predict import main
from tinypredrnn.errors import command

if __name__ == "__main__":
    sys.exit(command(lambda: main(sys.argv[1:])))
