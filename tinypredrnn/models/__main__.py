"""List the networks, or show one with its options: `tinypredrnn models`, or `python -m tinypredrnn.models`.

    tinypredrnn models              all of them: the paper, parameters, multiply-adds for one frame of 64x64 pixels
    tinypredrnn models predrnn      one, with its options
    tinypredrnn models --json       for programs

Sizes are those of a network with its default options. They are computed from the layers: the multiply-adds are those of
all convolutions and matrix products in their direct form, kh kw C K H' W' for a kernel (kh,kw,C,K) and a result
(H',W',K).
"""

import dataclasses
import json
import math
import sys
import textwrap

from tinypredrnn.errors import Error, command
from tinypredrnn.models import MODELS, find_model, lay_out
from tinypredrnn.options import Parser, command_line, flag_of, help_of

FRAME = 64, 64, 1  # height, width, channels


@command_line
def main(words):
    parser = Parser(__doc__, prog="tinypredrnn models")
    parser.add_argument("name", nargs="?", help="show only this network, with its options")
    parser.add_argument("--json", action="store_true", help="print a list of JSON objects")
    arguments = parser.parse_args(words)
    rows = [describe(name) for name in ([arguments.name] if arguments.name else MODELS)]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        size = (f"{row['parameters']:>12,} parameters{row['multiply_adds']:>18,} multiply-adds a frame"
                if row["parameters"] else "")
        print(f"{row['name']:12}{size}".rstrip())
        for text in filter(None, (row["paper"], row["about"], row["impossible"])):
            print(textwrap.fill(text, 120, initial_indent=" " * 12, subsequent_indent=" " * 12))
    if arguments.name:
        print_options(find_model(arguments.name).Options())
    return 0


def describe(name):
    """A network's paper, size and default options; or, in place of the size, why it cannot have such frames."""
    network = find_model(name)
    options, sizes, impossible = network.Options(), (None, None), None
    try:
        model = lay_out(math.inf, name, FRAME, options)
        sizes = model.count_parameters(), model.count_multiply_adds()
    except Error as error:
        impossible = f"not for frames of {FRAME[0]}x{FRAME[1]} with {FRAME[2]} channel: {error}"
    return {"name": name, "paper": network.paper, "about": (network.__doc__ or "").strip().split("\n")[0],
            "parameters": sizes[0], "multiply_adds": sizes[1], "impossible": impossible, "options": options.as_dict()}


def print_options(options):
    """The flags of a record of options, with their help texts and values."""
    flags = {flag_of(field): help_of(options, field) for field in dataclasses.fields(options)}
    for flag, text in flags.items():
        print(f"  {flag:{max(map(len, flags))}}  {text}")


if __name__ == "__main__":
    sys.argv[0] = "python -m tinypredrnn.models"  # in error messages
    sys.exit(command(lambda: main(sys.argv[1:])))
