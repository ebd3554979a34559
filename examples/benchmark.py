"""Measure training, inference, memory, convolution, gates and data, and compare with PyTorch, if installed, and a
floor.

    python examples/benchmark.py --json numbers.json --plot numbers.png    about ten minutes on two CPU cores
    python examples/benchmark.py --quick                                   less than a minute
    python examples/benchmark.py --only gates "training step 4x64"         the cases with one of these in their names
    python examples/benchmark.py --only growth --curves growth.png         how cost grows with frames, batch and width

`ratio` is peer / ours: above 1, ours is better. `floor` is the time that this machine needs for the multiplications of
a direct convolution at the rate of its matrix product, or for moving the necessary bytes at the rate of a plain copy.

Reliable timing has to avoid several traps:

- The speed of a machine changes from minute to minute: all sides, and the floor, take turns (A B C A B C ...), and the
  median turn counts.
- First calls compile, load and allocate: one call of each kind is not timed.
- Threads of OpenMP and BLAS stay awake for a while after their work, and in one process those of one library would take
  the cores from those of the other: each side has its own process, and all pause before a turn. This also separates
  their memory.
- OpenMP, OpenBLAS, MKL and numba read their number of threads once, when loaded: the environment has it before.
- A GPU works asynchronously: the clock stops only when it has finished.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

# before tinypredrnn tells OpenMP's threads not to spin: PyTorch should run as it does by itself
ENVIRONMENT = dict(os.environ)

from tinypredrnn.backend import find_device, memory_in_use  # noqa: E402
from tinypredrnn.errors import ConfigError, command, whole_number_from  # noqa: E402
from tinypredrnn.files import replacing  # noqa: E402
from tinypredrnn.viz import COLOURS  # noqa: E402

PAUSE, TURN = 0.1, 0.2  # seconds: until threads sleep, and for which short calls are repeated in one turn


# what is measured: {name: (task, its options)}

def network(width, layers, kernel, size, patch, **more):
    return dict(hidden=[width] * layers, kernel=kernel, size=[size, size], patch=patch, batch=8, given=10,
                horizon=10) | more


NETWORKS = {
    "2x32, 3x3, 8x8x64": network(32, 2, 3, 64, 8),  # the preset quick
    "4x64, 5x5, 16x16x16": network(64, 4, 5, 64, 4),  # small
    "4x128, 5x5, 16x16x16": network(128, 4, 5, 64, 4),  # paper
    "2x128, 3x3, 25x25x16, batch 4": network(128, 2, 3, 100, 4, batch=4),  # the paper's network for radar maps
    "4x32, 5x5, 64x64x1, batch 2": network(32, 4, 5, 64, 1, batch=2),  # without patches
}
KERNELS = {"matrix product": ("matmul", dict(n=3072)), "copy": ("copy", dict(size=1 << 28))}
for c, k, side, n in (64, 128, 3, 8), (128, 256, 5, 16), (256, 512, 5, 16), (256, 512, 3, 25), (64, 128, 5, 64):
    for backward in False, True:
        KERNELS[f"convolution {c}->{k}, {side}x{side}, {n}x{n}{', and back' * backward}"] = "convolution", dict(
            channels=c, features=k, kernel=side, size=n, batch=8, backward=backward)
for shape in (8, 16, 16, 64), (8, 16, 16, 128), (8, 64, 64, 32):
    KERNELS[f"gates {'x'.join(map(str, shape))}, and back"] = "gates", dict(shape=shape)
    KERNELS[f"gates of an ST-LSTM {'x'.join(map(str, shape))}, and back"] = "st_lstm_gates", dict(shape=shape)
KERNELS["generator, 2 digits, 20 frames"] = "generator", dict(count=256)

GROUPS = [KERNELS] + [{f"training step {name}": ("training", options), f"inference {name}": ("inference", options)}
                      for name, options in NETWORKS.items()]  # the cases of a group share their processes
QUICK = "matrix", "copy", "64->128, 3x3, 8x8", "gates 8x16x16x64", "generator", "2x32"
GROWTH = {name: {f"growth, {name} {n}": ("training", network(32, 2, 5, 64, 4) | change(n)) for n in values}
          for name, values, change in (
    ("frames", (10, 20, 40), lambda n: dict(given=n // 2, horizon=n // 2)),
    ("batch", (1, 4, 16, 64), lambda n: dict(batch=n)),
    ("width", (16, 32, 64, 128), lambda n: dict(hidden=[n, n])))}
PEERS = {  # variants of ours, besides PyTorch
    "gates": {"ours unfused": "unfused"}, "st_lstm_gates": {"ours unfused": "unfused_st_lstm"},
    "generator": {"a plain NumPy loop": "plain_numpy"}}
TASKS = {"PyTorch": ("training", "inference", "convolution", "gates", "st_lstm_gates", "matmul", "copy"),
         "torch.compile": ("training",)}  # on a GPU only; compiling takes minutes


# a side of the comparison: a process that computes on request

def resident(reset):
    """The peak memory of this process; if `reset`, the peak is counted from now on."""
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # makes Linux reset the peak
    return memory_in_use("cpu")


LOADING = {"gates": dict(shape=(1, 4, 4, 8)), "matmul": dict(n=1024),
           "convolution": dict(channels=8, features=8, kernel=5, size=16, batch=2, backward=True)}


def serve(tasks, wait, memory):
    """Answer orders, one line of JSON each: with options, prepare a task and answer with its floor; without, take a
    turn.

    A little of each comes first: what a library loads and reserves for its first calls is not the memory of a task.
    """
    calls, before = {}, {}
    for task in tasks:
        if task.__name__ in LOADING:
            task(**LOADING[task.__name__])[1]()
    for line in sys.stdin:
        order = json.loads(line)
        name = order["task"]
        if "options" in order:
            start = memory(reset=True)
            warm_up, calls[name], floor = next(task for task in tasks if task.__name__ == name)(**order["options"])
            warm_up()
            wait()
            grown = memory(reset=True) - start  # of this task alone, with its weights and moments
            before = {other: size + grown for other, size in before.items()} | {name: start}
            answer = {"floor": floor}
        else:
            times = []
            memory(reset=order["first"])
            while not times or sum(times) < order["seconds"]:
                start = time.perf_counter()
                calls[name]()
                wait()
                times.append(time.perf_counter() - start)
            answer = {"seconds": statistics.median(times), "memory": memory(reset=False) - before[name]}
        print(json.dumps(answer), flush=True)


class Side:
    """The other end of `serve`."""

    def __init__(self, script, device, threads, kind=""):
        words = sys.executable, Path(__file__).with_name(script), device, str(threads), kind
        numbers = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
        # TF32, as in PyTorch's convolutions
        self.process = subprocess.Popen(words, env=ENVIRONMENT | numbers | {"CUPY_TF32": "1"},
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **order):
        """The answer; {} if the process has died, for example because memory or a compiler is missing."""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(order), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            print(f"no answer to {order}: the process ended with status {self.process.wait()}", file=sys.stderr)
        return json.loads(answer or "{}")

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def start_sides(device, threads, with_torch):
    sides = {"ours": Side("our_tasks.py", device, threads),
             "floor": Side("our_tasks.py", device, threads)}  # separate, since its arrays would count as our memory
    if with_torch:
        sides["PyTorch"] = Side("torch_peer.py", device, threads)
        if device != "cpu":
            sides["torch.compile"] = Side("torch_peer.py", device, threads, "torch.compile")
    return sides


# cases: rounds of turns, and the resulting rows

def measure(groups, device, threads, with_torch, rounds, seconds, path=None):
    """The rows of all cases; each is printed, and written to `path` (JSON), as soon as it is known."""
    rows = []
    for cases in filter(None, groups):
        sides = start_sides(device, threads, with_torch)
        for name, (task, options) in cases.items():
            for row in compare(name, task, options, sides, rounds, seconds):
                print(line(row), flush=True)
                rows.append(row)
        for side in sides.values():
            side.close()
        if path:
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def compare(name, task, options, sides, rounds, seconds):
    """All sides that know the task take turns, for `rounds` (at least, at most) that fit into `seconds`."""
    who = {label: (side, task) for label, side in sides.items() if label == "ours" or task in TASKS.get(label, ())}
    who |= {label: (sides["ours"], its) for label, its in PEERS.get(task, {}).items()}
    peers = [label for label in who if label != "ours"] or [None]
    floor = [side.ask(task=its, options=options) for side, its in who.values()][0]["floor"]
    if floor:
        who["floor"] = sides["floor"], floor[0]
        sides["floor"].ask(task=floor[0], options=floor[1])
    times, memory, start = {label: [] for label in who}, {}, time.monotonic()
    for done in range(1, rounds[1] + 1):
        for label, (side, its) in who.items():
            time.sleep(PAUSE)
            if answer := side.ask(task=its, seconds=TURN, first=done == 1):
                times[label].append(answer["seconds"])
                memory.setdefault(label, answer["memory"] / 2 ** 20)  # of the first turn: later turns may reuse memory
        if done >= rounds[0] and (time.monotonic() - start) * (done + 1) / done > seconds:
            break
    unit, factor = ("us/sequence", 1e6 / options["count"]) if task == "generator" else ("ms", 1e3)
    median = {label: statistics.median(taken) * factor for label, taken in times.items() if taken}
    rows = []
    for peer in peers:
        title = name if peer in (None, "PyTorch") else f"{name}, against {peer}"
        rows.append(row(title, median, peer, unit, floor and median["floor"] * floor[2], done))
        if task == "training":
            rows.append(row("memory, " + title, memory, peer, "MiB", None, 1))
    return rows


def row(name, values, peer, unit, floor, rounds):
    ours, theirs = values["ours"], values.get(peer)
    return dict(name=name, ours=ours, peer=theirs, ratio=theirs / ours if theirs and ours else None, unit=unit,
                floor=floor, times_the_floor=floor and ours / floor, rounds=rounds)


# what is shown

def line(row):
    numbers = ["-" if row[name] is None else f"{row[name]:.{digits}f}" for name, digits in
               (("ours", 2), ("peer", 2), ("ratio", 2), ("floor", 2), ("times_the_floor", 1))]
    return "{:56}{:>11}{:>11}{:>7} {:12}{:>10}{:>7}{:>4}".format(row["name"], *numbers[:3], row["unit"], *numbers[3:],
                                                                 row["rounds"])


def save_picture(path, rows):
    """The peer's time or memory, and the floor, relative to ours."""
    from matplotlib.ticker import LogLocator

    figure, [axes] = panels(1, (9, 1.2 + 0.22 * len(rows)))
    for y, row in enumerate(rows):
        if row["ratio"]:
            axes.plot(row["ratio"], y, "o", color=COLOURS["truth"], label="peer")
        if row["floor"]:
            axes.plot(1 / row["times_the_floor"], y, "|", color=COLOURS["input"], markersize=10, markeredgewidth=2,
                      label="floor")
    axes.axvline(1, color=COLOURS["prediction"], label="ours")
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="time or memory; ours = 1")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    labels = dict(zip(*reversed(axes.get_legend_handles_labels())))
    figure.legend(labels.values(), labels, loc="outside upper right", ncols=3, frameon=False)
    save(figure, path)


def save_curves(path, rows):
    """Draw the time of a training step per sequence over frames, batch and width."""
    from matplotlib.ticker import LogLocator

    figure, three = panels(3, (13, 3.8))
    found = {row["name"]: row for row in rows}
    for axes, (what, cases) in zip(three, GROWTH.items()):
        values = [int(name.split()[-1]) for name in cases]
        for side, colour in ("peer", COLOURS["truth"]), ("ours", COLOURS["prediction"]), ("floor", COLOURS["input"]):
            times = [(found[name][side] or math.nan) / options["batch"] for name, (_, options) in cases.items()]
            axes.plot(values, times, "o-", color=colour, label=side)
        axes.set(xscale="log", yscale="log", xlabel=what)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xticks(values, values)
        axes.minorticks_off()
    three[0].set_ylabel("training step, ms for each sequence")
    axes.legend(frameon=False)
    save(figure, path)


def panels(count, size, sharey=True):
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False, sharey=sharey)[0]


def save(figure, path):
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, gpu or gpu:N (default: %(default)s)")
    parser.add_argument("--threads", type=whole_number_from(1), default=2,
                        help="threads of each side on the CPU (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME",
                        help="the cases with one of these in their names")
    parser.add_argument("--quick", action="store_true", help="the small cases, few rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the rows here")
    parser.add_argument("--curves", type=Path, metavar="FILE.png",
                        help="measure how cost grows, too, and draw that here")
    arguments = parser.parse_args()
    device, words = find_device(arguments.device), QUICK if arguments.quick else [""]
    groups = [{name: group[name] for name in group if any(w in name for w in arguments.only)
               and any(w in name for w in words)}
              for group in GROUPS]
    groups += [{name: case} for group in GROWTH.values() for name, case in group.items() if arguments.curves]
    if not any(groups):
        raise ConfigError("--only: expected parts of names such as "
                          f"{', '.join(name for group in GROUPS for name in group)}; none of them has "
                          f"{' or '.join(arguments.only)}")
    if os.getloadavg()[0] > 0.5:
        print(f"this machine is busy (load {os.getloadavg()[0]:.1f}): the numbers are unreliable", file=sys.stderr)
    with_torch = find_spec("torch") is not None
    print(f"{device}, {arguments.threads} threads on each side; the peer is PyTorch unless said otherwise"
          + ("" if with_torch else "; it is not installed"))
    print("{:56}{:>11}{:>11}{:>7} {:12}{:>10}{:>7}{:>4}".format("", "ours", "peer", "ratio", "unit", "floor", "times",
                                                                "n"))
    rows = measure(groups, device, arguments.threads, with_torch, *(((1, 2), 3) if arguments.quick else ((2, 5), 30)),
                   arguments.json)
    if arguments.plot:
        save_picture(arguments.plot, rows)
    if arguments.curves:
        save_curves(arguments.curves, rows)
    return 0


if __name__ == "__main__":
    sys.exit(command(main))
