"""Count the sequences that the lists of KTH's frame ranges have, without any video, beside those of the paper.

    python examples/count_kth.py 00sequences.txt            the list that is published with the videos
    python examples/count_kth.py 00sequences.txt lists      a folder of MCnet's two lists, which replace its ranges

A row for each way to cut the ranges, `--windows` of train_kth.py.
"""

import sys

from tinypredrnn.data.reading import kth
from tinypredrnn.errors import command
from tinypredrnn.files import path_argument
from tinypredrnn.options import Parser


def main(words):
    parser = Parser(__doc__)
    parser.add_argument("list", type=path_argument, help="00sequences.txt")
    parser.add_argument("trimmed", nargs="?", default="",
                        help="a list that replaces the ranges of its persons, or a folder of MCnet's two lists")
    arguments = parser.parse_args(words)
    ranges = kth.read_lists(arguments.list, arguments.trimmed)
    rows = {"the paper": kth.PAPER}
    rows |= {f"--windows {rule}": kth.count_paper_windows(ranges, (20, 30), rule) for rule in kth.RULES}
    print(f"{'':20}{'training: 20 frames, persons 1-16':>35}{'test: 30 frames, persons 17-25':>35}")
    for name, counts in rows.items():
        print(f"{name:20}" + "".join(f"{count:>35,}" for count in counts))
    return 0


if __name__ == "__main__":
    sys.exit(command(lambda: main(sys.argv[1:])))
