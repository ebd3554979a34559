"""Train all networks on Moving MNIST with the same budget, and write the paper's Table 1, Figure 3 and Figure 4 with
them; or some on radar echoes, and write Table 2.

    python examples/compare_models.py                       small ones, at most 330 seconds of training each
    python examples/compare_models.py radar                 on synthetic echoes; --data season.npz on your own
    python examples/compare_models.py --preset paper --device gpu --out runs/table1
    python examples/compare_models.py --out runs/table1   go on after Ctrl-C, without repeating any flag

The same as `tinypredrnn compare`.
"""

import sys

from tinypredrnn.commands.compare import main
from tinypredrnn.errors import command

if __name__ == "__main__":
    sys.exit(command(lambda: main(sys.argv[1:])))
