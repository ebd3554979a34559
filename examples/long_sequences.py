"""Peak memory and time of a training step over the length of a sequence, with and without recomputation, and in bf16.

    python examples/long_sequences.py --plot long_sequences.png                  a small network, a few minutes
    python examples/long_sequences.py --hidden 128 128 128 128 --frames 20 80    the paper's
    python examples/long_sequences.py --hidden 128 128 128 128 --batch 8 --frames 20 --kept     what takes its memory

With recomputation (`--recompute` of the training commands), the state is kept once for every so many steps, the square
root of their number, and backward computes the steps between again: the same gradients, to the last bit. In bf16
(`--activations bf16`), everything is kept, rounded to half its size: the gradient is less exact, by as much as is
printed for the first step. Each number is measured in a process of its own, which first loads and compiles everything
with a tiny network. Memory is what the step adds to that at its peak, with weights, gradients and Adam's moments; time
is the fastest of several steps. With `--kept`, nothing is measured: the arrays that backward needs are counted after
the forward pass, each once, by the ops that keep them.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from benchmark import panels, resident, save

import tinypredrnn as tp
from tinypredrnn.autograd.debug import saved_values
from tinypredrnn.errors import command, whole_number_from
from tinypredrnn.nn.losses import l1_l2
from tinypredrnn.optim import Adam
from tinypredrnn.options import Parser
from tinypredrnn.train.recipe import Recipe
from tinypredrnn.viz import COLOURS
from tinypredrnn.viz.graph import history

TINY = dict(hidden=[4], size=32, batch=4, frames=3, steps=1)
WAYS = {"all kept": {}, "in bf16": dict(activations="bf16"), "recomputed": dict(recompute=True)}
COLOUR = dict(zip(WAYS, (COLOURS["truth"], COLOURS["input"], COLOURS["prediction"])))
HEADER = (f"{'':>6}{'peak memory of a step, MiB':^36}{'of all kept':^16}{'seconds':^36}{'of all kept':^16}\n"
          f"{'frames':>6}" + 2 * ("".join(f"{way:>12}" for way in WAYS) + f"{'bf16':>8}{'rec.':>8}"))


def model_and_loss(hidden, size, batch, frames, recompute=False):
    """A PredRNN, and a function that computes its training loss on random frames."""
    model = tp.build_model("predrnn", (size, size), 1, hidden=hidden, kernel=5, patch=4)
    clips = np.random.default_rng(0).random((batch, frames, size, size, 1), np.float32)
    truth = np.repeat([[1.0] * (frames // 2) + [0.0] * (frames - 1 - frames // 2)], batch, axis=0)
    segment = Recipe(recompute=recompute).segment(frames - 1)

    def loss_of():
        return l1_l2(model.unroll(clips, truth, segment=segment), clips[:, 1:])

    return model, loss_of


def measure(steps, gradients=None, **options):
    """Train `steps` steps on random frames, and write the gradients of the first and of the last to two files
    whose names begin with `gradients`. Returns the peak of the memory, and the seconds of the fastest step."""
    start = resident(reset=True)
    activations = options.pop("activations", "fp32")
    model, loss_of = model_and_loss(**options)
    optimiser, times = Adam(model.parameters()), []
    for k in range(steps):
        before = time.perf_counter()
        model.zero_grad()
        with tp.activations(activations):
            loss_of().backward()
        optimiser.step()
        times.append(time.perf_counter() - before)
        if k == 0 and gradients:
            np.save(gradients + ".first.npy", np.concatenate([p.grad.ravel() for p in model.parameters()]))
    peak = resident(reset=False) - start
    if gradients:
        np.save(gradients + ".last.npy", np.concatenate([p.grad.ravel() for p in model.parameters()]))
    return {"memory": peak / 2**20, "seconds": min(times)}


def print_what_is_kept(**options):
    """What backward needs, by shape and by the ops that keep it. An array that several ops keep counts once."""
    model, loss_of = model_and_loss(**options)
    users, arrays, parameters, loss = defaultdict(set), {}, {id(p.data) for p in model.parameters()}, loss_of()
    for node in history([loss]):
        for name, value in saved_values(node).items():
            while isinstance(getattr(value, "base", None), np.ndarray):
                value = value.base  # the whole array of which this is a piece
            if isinstance(value, np.ndarray) and id(value) not in parameters:
                arrays[id(value)] = value
                users[id(value)].add(f"{node.op.name} {name.partition('[')[0]}")
    rows, weights = Counter(), sum(p.data.nbytes for p in model.parameters())
    for key, array in arrays.items():
        rows[array.shape, ", ".join(sorted(users[key]))] += array.nbytes
    for (shape, names), size in rows.most_common(15):
        print(f"{size / 2**20:9.0f} MiB  {str(shape):24} {names}")
    print(f"{sum(rows.values()) / 2**20:9.0f} MiB  in all; beside it {3 * weights / 2**20:.0f} MiB of weights and "
          f"Adam's moments, and as backward ends {weights / 2**20:.0f} MiB of gradients")


def in_a_process_of_its_own(options, threads):
    numbers = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    words = sys.executable, __file__, json.dumps(options)
    done = subprocess.run(words, env=os.environ | numbers, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def row_of(options, threads):
    """What each of the WAYS needs: {way: {"memory", "seconds", "same", "error"}}; "same": whether all its gradients are
    those of the first way, "error": by how much that of the first step differs, where the weights are the same."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for way, changes in WAYS.items():
            path = str(Path(folder) / way)
            found[way] = in_a_process_of_its_own(options | changes | {"gradients": path}, threads)
            first, last = (np.load(f"{path}.{which}.npy") for which in ("first", "last"))
            if way == "all kept":
                exact = first, last
            found[way] |= {"same": np.array_equal(first, exact[0]) and np.array_equal(last, exact[1]),
                           "error": float(np.linalg.norm(first - exact[0]) / np.linalg.norm(exact[0]))}
    return found


def print_row(frames, row):
    print(f"{frames:>6}", end="")
    for name, digits in ("memory", 0), ("seconds", 2):
        all_kept, *less = (row[way][name] for way in WAYS)
        print("".join(f"{value:12.{digits}f}" for value in (all_kept, *less)), end="")
        # a tiny step needs no new page
        print("".join(f"{value / all_kept if all_kept else math.nan:8.2f}" for value in less), end="")
    print(flush=True)


def save_picture(path, rows):
    figure, panels_of = panels(2, (9, 3.6), sharey=False)
    for axes, name, title in zip(panels_of, ("memory", "seconds"),
                                 ("peak memory of a step, MiB", "time of a step, seconds")):
        for way in WAYS:
            axes.plot(list(rows), [row[way][name] for row in rows.values()], "o-", color=COLOUR[way], label=way)
        axes.set(xscale="log", yscale="log", xlabel="frames of a sequence", title=title)
        axes.set_xticks(list(rows), list(rows))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    panels_of[0].legend(frameon=False)
    save(figure, path)


def main(words):
    parser = Parser(__doc__)
    parser.add_argument("--frames", type=whole_number_from(2), nargs="+", default=[20, 80, 320], metavar="N",
                        help="lengths of sequences (default: 20 80 320)")
    parser.add_argument("--hidden", type=whole_number_from(1), nargs="+", default=[32, 32], metavar="N",
                        help="widths of the layers (default: 32 32)")
    parser.add_argument("--size", type=whole_number_from(4), default=64, metavar="N",
                        help="height and width of the frames (default: 64)")
    parser.add_argument("--batch", type=whole_number_from(1), default=4, metavar="N",
                        help="sequences in a batch (default: 4)")
    parser.add_argument("--steps", type=whole_number_from(1), default=3, metavar="N",
                        help="training steps, of which the fastest counts (default: 3)")
    parser.add_argument("--threads", type=whole_number_from(1), default=2, metavar="N", help="(default: 2)")
    parser.add_argument("--kept", action="store_true", help="count the arrays that backward needs instead")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the table here")
    chosen = parser.parse_args(words)
    network, rows = dict(hidden=chosen.hidden, size=chosen.size, batch=chosen.batch), {}
    if chosen.kept:
        for frames in chosen.frames:
            print_what_is_kept(**network, frames=frames)
        return 0
    print(HEADER)
    for frames in chosen.frames:
        rows[frames] = row_of(network | dict(frames=frames, steps=chosen.steps), chosen.threads)
        print_row(frames, rows[frames])
    if not all(row["recomputed"]["same"] for row in rows.values()):
        print("gradients with recomputation are others")
        return 1
    print("gradients with recomputation are the same to the last bit; those from what was kept in bf16 differ by "
          f"{max(row['in bf16']['error'] for row in rows.values()):.1e} of their norm")
    if chosen.plot:
        save_picture(chosen.plot, rows)
    return 0


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):  # a process that measures one row
        measure(**TINY, recompute=True)
        measure(**TINY, activations="bf16")
        print(json.dumps(measure(**json.loads(sys.argv[1]))))
    else:
        sys.exit(command(lambda: main(sys.argv[1:])))
