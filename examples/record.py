"""Time one whole training on Moving MNIST, score it once, and print its row of RECORDS.md.

    python examples/record.py                                the preset quick, as it is
    python examples/record.py --steps 600 --out runs/short   any option of train_mnist.py

The run's length is fixed before it starts, and the first 300 test sequences are scored once, after it. Everything
counts: reading data, training, validation, scoring and drawing the pictures. Only the first steps of a network of the
same sizes, which compile and load, are run once before the clock starts. The log with which the row is committed is
log.csv of the run.

    wall    seconds on the clock until everything is written
    CPU     seconds of all threads together
"""

import math
import platform
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from tinypredrnn.commands.train import train
from tinypredrnn.errors import ConfigError, command
from tinypredrnn.options import Parser
from tinypredrnn.train import read_scores, read_trained

ROW = "| {date} | {steps:,} | {wall:.0f} | {cpu:.0f} | {mse:.2f} | {black:.3f} | {frames} | {machine} |"
HEADER = ("| date | steps | wall (s) | CPU (s) | MSE | of black | MSE by frame | machine |\n"
          "|---|---|---|---|---|---|---|---|")


def main(words):
    if "-h" in words or "--help" in words:
        print(__doc__)
        return 0
    for flag in "--resume", "--test-sequences":
        if any(word.split("=")[0] == flag for word in words):
            raise ConfigError(f"a record is a whole run, scored on the first 300 test sequences: leave out {flag}")
    parser = Parser(None, add_help=False)
    parser.add_argument("--out", default="runs/record")
    choice, words = parser.parse_known_args(words)
    with tempfile.TemporaryDirectory() as folder:
        short = "--steps", "2", "--test-sequences", "2", "--out", str(Path(folder) / "run")
        if status := train("mnist", *words, *short):
            return status
    wall, cpu = time.perf_counter(), time.process_time()
    if status := train("mnist", *words, "--test-sequences", "300", "--out", choice.out):
        return status
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    plan, _, _ = read_trained(choice.out)
    scores = read_scores(Path(choice.out) / "metrics.json")[f"mnist-{plan.data.digits}"]
    print(f"{HEADER}\n" + ROW.format(
        date=date.today(), steps=plan.recipe.steps, wall=wall, cpu=cpu, mse=scores["mse"],
        black=scores["mse"] / scores["black_mse"], machine=f"{platform.system()} {platform.machine()}",
        frames=" ".join(f"{value:.0f}" for value in scores["mse_per_frame"])))
    return 0 if math.isfinite(scores["mse"]) else 1


if __name__ == "__main__":
    sys.exit(command(lambda: main(sys.argv[1:])))
