"""How long a training step takes if several processes share its batch: measured here, then estimated for 64 GPUs.

    python examples/scaling.py                           1, 2 and 4 processes that share this machine, and the figure
    python examples/scaling.py --processes 1 2 --rounds 5   is one process with all threads faster, or several?
    python examples/scaling.py --tflops 100 --network 50    estimate other GPUs and another network

Measured are the parts of a step: to make the input, to compute (forward, backward and optimiser), and to average the
gradients; and, with all of them, an iteration of the training. The processes divide the cores of the machine.

The estimate is for the network of the preset `paper`. It rests on a model, not on any GPU:

    a step      = the longer of input and (compute + average), since a GPU computes while the CPU makes the next batch
    compute     = launch + 2 multiply-adds / tflops                    for the sequences of one GPU
    average     = 2 log2(N) latency + 2 (N - 1) / N bytes / bandwidth  a ring of N GPUs, all gradients in one array
    bandwidth   = that of `link` within a machine of 8 GPUs, beyond it that of `network`, the slowest place of the ring

and on the numbers assumed for them, which are flags. Two questions are asked: how much more is learned in the same time
if each GPU has 8 sequences, and how much earlier a step ends if 64 sequences are divided among more and more GPUs. If
gradients were averaged while others are still computed, at most the shorter of the two would be saved: the last column
and the dashed lines show this limit, which no code of ours reaches.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from tinypredrnn import threads
from tinypredrnn.data import find_source
from tinypredrnn.data.batches import Prefetch
from tinypredrnn.errors import ConfigError, command, whole_number_from
from tinypredrnn.files import path_argument
from tinypredrnn.folder import Folder
from tinypredrnn.options import Parser
from tinypredrnn.train import Trainer, new_plan
from tinypredrnn.train.budget import count, count_iteration
from tinypredrnn.train.parallel import processes
from tinypredrnn.viz.colours import COLOURS

WORLD, MODEL = "mnist", "predrnn"
WARM_UP = 3  # iterations, the first of which compile kernels
GPUS = [1, 2, 4, 8, 16, 32, 64]
EACH, IN_ALL = 8, 64  # sequences of each GPU; sequences that all GPUs share
PER_MACHINE = 8
ASSUMED = {  # flag -> (default, unit, what it is)
    "tflops": (50.0, "TFLOP/s", "what a GPU sustains in our convolutions"),
    "launch": (10.0, "ms", "what a step takes however small its batch: launching kernels, the optimiser"),
    "link": (150.0, "GB/s", "bandwidth of a ring within a machine of 8 GPUs"),
    "network": (20.0, "GB/s", "bandwidth of a ring through several machines"),
    "latency": (20.0, "microseconds", "from one GPU to the next"),
}
TIMES = "input", "compute", "average", "iteration", "cores"
PARTS = {"input": COLOURS["input"], "compute": COLOURS["truth"], "average": COLOURS["prediction"]}


def main(words):
    arguments = make_parser().parse_args(words)
    if arguments.worker:
        return measure(arguments.steps, arguments.worker)
    folder = Folder(arguments.out, "measurement")
    with folder:
        folder.refuse_foreign_files(["scaling.*"])
        rounds = [{n: launch(n, arguments.steps) for n in arguments.processes} for _ in range(arguments.rounds)]
        weights = [{n: row.pop("weights") for n, row in one.items()} for one in rounds][-1]
        measured = {n: {name: median(one[n][name] for one in rounds) for name in rounds[0][n]} for n in rounds[0]}
        print_measured(measured)
        print_difference(weights, trained(arguments.steps))
        assumed = {name: getattr(arguments, name) for name in ASSUMED}
        row = measured[min(measured)]
        estimated = estimate(assumed, row["input"] / row["rows"])
        print_estimated(estimated, assumed)
        folder.write_json("scaling.json", {"measured": measured, "assumed": assumed, "estimated": estimated})
        folder.draw("scaling.png", draw, measured, estimated)
        print(f"see {folder.path / 'scaling.png'}")
    return 0


# measured

def launch(count, steps):
    """What `measure` finds with so many processes: {name: number}, and the "weights" that they have in the end."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npy"
        return run(count, ["--worker", str(weights), "--steps", str(steps)]) | {"weights": np.load(weights)}


def run(count, words):
    """Run this file with `words` in so many processes; what the first prints last."""
    words = [sys.executable, __file__, *words]
    if count > 1:
        mpiexec = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
        if not mpiexec:
            raise ConfigError("to start several processes needs mpiexec: pip install mpi4py mpich, or measure one with "
                              "--processes 1")
        words = [mpiexec, "-n", str(count), *words]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        raise ConfigError(f"{count} process(es) did not measure: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def trained(steps):
    """How many iterations `measure` trains for."""
    return WARM_UP + 2 * steps + 1


def measure(steps, weights):
    """Print the seconds of the parts of a step, as the first of the processes finds them. It writes the weights that
    the processes have in the end to the file `weights`."""
    with processes() as ranks:
        plan = new_plan(MODEL, WORLD).replace(steps=trained(steps))
        source = find_source(WORLD)(plan.data, plan.recipe.seed)
        trainer = Trainer(plan.on(source), source, "nowhere", ranks=ranks)  # writes only if it is run
        for k in range(WARM_UP):
            trainer.step(trainer.frames(k))
        gradients = [p.data.copy() for p in trainer.model.parameters()]
        parts = []
        for k in range(steps):
            begun = [now(ranks)]
            frames = trainer.frames(k)
            begun.append(now(ranks))
            trainer.step(frames)
            begun.append(now(ranks))
            ranks.average(gradients)
            begun.append(now(ranks))
            parts.append([after - before for before, after in zip(begun, begun[1:])])
        with Prefetch(trainer.frames, start=trainer.iteration) as batches:
            trainer.step(next(batches))
            spent = time.process_time()
            started = [now(ranks), *(now(ranks) for _ in range(steps) if trainer.step(next(batches)))]
            spent = sum(ranks.gather(time.process_time() - spent)) / steps
        if ranks.first:
            np.save(weights, np.concatenate([p.numpy().ravel() for p in trainer.model.parameters()]))
        input, step, average = map(median, zip(*parts))
        iteration = median(after - before for before, after in zip(started, started[1:]))
        print(json.dumps({"threads": threads.THREADS, "rows": len(frames), "input": input, "compute": step - average,
                          "average": average, "iteration": iteration, "cores": spent}))
    return 0


def now(ranks):
    """The time at which the last of the processes comes here."""
    ranks.largest(0)
    return time.perf_counter()


def print_measured(measured):
    plan = new_plan(MODEL, WORLD)
    layers = ", ".join(map(str, plan.options.hidden))
    print(f"measured on {len(threads.bound_cores())} cores, in milliseconds: {MODEL} with layers of {layers}, batches "
          f"of {plan.recipe.batch}\n")
    columns = {"processes": 9, "threads each": 13, "sequences each": 15, **dict.fromkeys(TIMES, 10)}
    print(" ".join(f"{name:>{width}}" for name, width in columns.items()))
    for n, row in measured.items():
        times = " ".join(f"{1e3 * row[name]:10.1f}" for name in TIMES)
        print(f"{n:9} {row['threads']:13.0f} {row['rows']:15.0f} {times}")
    print("\nOn CPUs the input is made by the cores that compute, so an iteration is about the sum of the first three. "
          "Cores: what\nall of them spend on an iteration: it says more than its time if other programs run as well.")
    if 1 in measured and len(measured) > 1:
        best = min((n for n in measured if n > 1), key=lambda n: measured[n]["iteration"])
        ratio = measured[1]["iteration"] / measured[best]["iteration"]
        print(f"{best} processes do an iteration in {1 / ratio:.2f} of the time of one process: "
              f"{'the processes are' if ratio > 1 else 'one process is'} faster here.")


def print_difference(weights, iterations):
    """By how much several processes, who add in another order, end with other weights than one."""
    alone, others = weights[min(weights)], {n: w for n, w in weights.items() if n > min(weights)}
    if others:
        print(f"After {iterations} iterations in float32, the weights differ from those of {min(weights)} process(es): "
              + ", ".join(f"{n} processes by {np.linalg.norm(w - alone) / np.linalg.norm(alone):.1e}"
                          for n, w in others.items()) + " of their norm.")


# estimated

def estimate(assumed, input_of_one):
    """{"weak": [{"gpus": N, "input": ..., "compute": ..., "average": ...} in seconds, ...], "strong": [...], and what
    they were computed from}"""
    source = find_source(WORLD)
    plan = new_plan(MODEL, WORLD, "paper")
    plan = plan.on(source(plan.data, plan.recipe.seed))
    parameters, work = count(plan)[0], count_iteration(plan) / plan.recipe.batch
    size = 4 * parameters

    def step(gpus, rows):
        bandwidth = 1e9 * assumed["link" if gpus <= PER_MACHINE else "network"]
        return {"gpus": gpus, "rows": rows, "input": rows * input_of_one,
                "compute": 1e-3 * assumed["launch"] + rows * 2 * work / (1e12 * assumed["tflops"]),
                "average": 2e-6 * math.log2(gpus) * assumed["latency"] + 2 * (gpus - 1) / gpus * size / bandwidth}

    return {"parameters": parameters, "multiply_adds": work, "input_of_one": input_of_one,
            "weak": [step(n, EACH) for n in GPUS], "strong": [step(n, IN_ALL // n) for n in GPUS]}


def seconds_of(step, overlap=False):
    together = max(step["compute"], step["average"]) if overlap else step["compute"] + step["average"]
    return max(step["input"], together)


def efficiencies(steps, overlap=False):
    """Sequences that each GPU learns from in a second, as a share of those of one GPU alone."""
    rates = [step["rows"] / seconds_of(step, overlap) for step in steps]
    return [rate / rates[0] for rate in rates]


def print_estimated(estimated, assumed):
    print(f"\nestimated, not measured: {MODEL} of the preset paper, {estimated['parameters']:,} parameters, "
          f"{estimated['multiply_adds']:.3g} multiply-adds for a sequence in a step\nassumed:")
    for name, (_, unit, what) in ASSUMED.items():
        print(f"  {assumed[name]:g} {unit}: {what}")
    print(f"  {1e3 * estimated['input_of_one']:.2f} ms: one sequence of input, as measured here; each GPU has a core "
          "of its own for it")
    for name, title in ("weak", f"{EACH} sequences on each GPU"), ("strong", f"{IN_ALL} sequences on all GPUs"):
        steps = estimated[name]
        print(f"\n{title}\n{'GPUs':>5} {'input':>8} {'compute':>8} {'average':>8} {'step ms':>8} {'efficiency':>11} "
              f"{'if averaged meanwhile':>22}")
        for step, own, best in zip(steps, efficiencies(steps), efficiencies(steps, overlap=True)):
            print(f"{step['gpus']:5} " + " ".join(f"{1e3 * step[part]:8.1f}" for part in PARTS)
                  + f" {1e3 * seconds_of(step):8.1f} {own:11.2f} {best:22.2f}")


def draw(path, measured, estimated):
    """The measured parts of an iteration, and how efficient more and more GPUs are estimated to be."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    places, below = range(len(measured)), [0.0] * len(measured)
    for part, colour in PARTS.items():
        heights = [1e3 * row[part] for row in measured.values()]
        left.bar(places, heights, 0.5, below, color=colour, label=part)
        below = [a + b for a, b in zip(below, heights)]
    left.plot(places, [1e3 * row["iteration"] for row in measured.values()], "D", color="black", label="an iteration")
    left.set_xticks(places, [f"{n} x {row['threads']:.0f}" for n, row in measured.items()])
    left.set(xlabel="processes x threads, on this machine", ylabel="milliseconds", title="measured")
    for name, colour, title in (("weak", COLOURS["truth"], f"{EACH} sequences on each GPU"),
                                ("strong", COLOURS["prediction"], f"{IN_ALL} sequences on all GPUs")):
        right.plot(GPUS, efficiencies(estimated[name]), "o-", color=colour, label=title)
        right.plot(GPUS, efficiencies(estimated[name], overlap=True), "--", color=colour, label="if averaged meanwhile")
    right.set_xscale("log", base=2)
    right.set_xticks(GPUS, GPUS)
    right.set(xlabel="GPUs", ylabel="efficiency", ylim=(0, 1.05), title="estimated from assumptions, not measured")
    for axes in left, right:
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)


def make_parser():
    parser = Parser(__doc__)
    parser.add_argument("--processes", type=whole_number_from(1), nargs="+", default=[1, 2, 4], metavar="N",
                        help="how many processes to measure (default: 1 2 4)")
    parser.add_argument("--steps", type=whole_number_from(1), default=20, metavar="N",
                        help="iterations of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=whole_number_from(1), default=3, metavar="N",
                        help="how often each is measured, in turns; medians are shown (default: %(default)s)")
    parser.add_argument("--out", type=path_argument, default=Path("runs/scaling"),
                        help="folder of scaling.png and scaling.json (default: %(default)s)")
    parser.add_argument("--worker", metavar="FILE", help=argparse.SUPPRESS)
    for name, (default, unit, what) in ASSUMED.items():
        parser.add_argument(f"--{name}", type=positive, default=default, metavar="X",
                            help=f"{unit}: {what} (default: %(default)s)")
    return parser


def positive(text):
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text[:40]}")
    return float(text)


if __name__ == "__main__":
    sys.exit(command(lambda: main(sys.argv[1:])))
