"""List the networks: `tinypredrnn models`."""

import argparse
import json
import math

from tinypredrnn.models import MODELS, lay_out


def main(words):
    parser = argparse.ArgumentParser(prog="tinypredrnn models", description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    arguments = parser.parse_args(words)
    rows = [describe(name) for name in MODELS]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(f"{row['name']:12}{row['parameters']:>12,} parameters   {row['about']}")
        print(" " * 12 + ", ".join(f"{name}={value!r}" for name, value in row["options"].items()))
    return 0


def describe(name, frame=(64, 64, 1)):
    """A network's description, size and default options, for frames (height, width, channels)."""
    network = MODELS[name]
    options = network.Options()
    about = (network.__doc__ or "").strip().split("\n")[0]
    return {"name": name, "about": about, "parameters": lay_out(math.inf, name, frame, options).count_parameters(),
            "options": options.as_dict()}
