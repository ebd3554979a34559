"""Peak memory and time of a training step over the length of a sequence, with and without recomputation.

    python examples/long_sequences.py --plot long_sequences.png                  a small network, a few minutes
    python examples/long_sequences.py --hidden 128 128 128 128 --frames 20 80    the paper's
    python examples/long_sequences.py --hidden 128 128 128 128 --batch 8 --frames 20 --kept     what takes its memory

With recomputation (`--recompute` of the training commands), the state is kept once for every so many steps, the square
root of their number, and backward computes the steps between again: the same gradients, to the last bit. Each row is
measured in a process of its own, which first loads and compiles everything with a tiny network. Memory is what the step
adds to that at its peak, with weights, gradients and Adam's moments; time is the fastest of several steps. That both
ways have the same gradients is checked. With `--kept`, nothing is measured: the arrays that backward needs are counted
after the forward pass, each once, by the ops that keep them.
"""

import json
import math
import os
import subprocess
import sys
import time
import zlib
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

TINY = dict(hidden=[4], size=16, batch=1, frames=3, steps=1)
ROW = "{frames:>6}{whole:>14.0f}{again:>14.0f}{less:>8.2f}{seconds:>12.2f}{seconds_again:>12.2f}{longer:>8.2f}"
HEADER = (f"{'':>6}{'peak memory of a step, MiB':^36}{'seconds':^32}\n"
          f"{'frames':>6}{'all kept':>14}{'recomputed':>14}{'':>8}{'all kept':>12}{'recomputed':>12}")


def model_and_loss(hidden, size, batch, frames, recompute):
    """A PredRNN, and a function that computes its training loss on random frames."""
    model = tp.build_model("predrnn", (size, size), 1, hidden=hidden, kernel=5, patch=4)
    clips = np.random.default_rng(0).random((batch, frames, size, size, 1), np.float32)
    truth = np.repeat([[1.0] * (frames // 2) + [0.0] * (frames - 1 - frames // 2)], batch, axis=0)
    segment = Recipe(recompute=recompute).segment(frames - 1)
    return model, lambda: l1_l2(model.unroll(clips, truth, segment=segment), clips[:, 1:])


def measure(hidden, size, batch, frames, steps, recompute):
    """Train `steps` steps on random frames: {"memory": bytes, "seconds": of the fastest, "gradients": a checksum}."""
    start = resident(reset=True)
    model, loss_of = model_and_loss(hidden, size, batch, frames, recompute)
    optimiser, times, checksum = Adam(model.parameters()), [], 0
    for _ in range(steps):
        before = time.perf_counter()
        model.zero_grad()
        loss_of().backward()
        optimiser.step()
        times.append(time.perf_counter() - before)
        for p in model.parameters():
            checksum = zlib.crc32(np.ascontiguousarray(p.grad), checksum)
    return {"memory": resident(reset=False) - start, "seconds": min(times), "gradients": checksum}


def print_what_is_kept(**options):
    """What backward needs, by shape and by the ops that keep it. An array that several ops keep counts once."""
    model, loss_of = model_and_loss(**options, recompute=False)
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


def save_picture(path, rows):
    figure, (memory, seconds) = panels(2, (9, 3.6), sharey=False)
    frames = [row["frames"] for row in rows]
    for axes, names, title in ((memory, ("whole", "again"), "peak memory of a step, MiB"),
                               (seconds, ("seconds", "seconds_again"), "time of a step, seconds")):
        for name, label, colour in zip(names, ("all kept", "recomputed"), (COLOURS["truth"], COLOURS["prediction"])):
            axes.plot(frames, [row[name] for row in rows], "o-", color=colour, label=label)
        axes.set(xscale="log", yscale="log", xlabel="frames of a sequence", title=title)
        axes.set_xticks(frames, frames)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    memory.legend(frameon=False)
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
    network, rows = dict(hidden=chosen.hidden, size=chosen.size, batch=chosen.batch), []
    if chosen.kept:
        for frames in chosen.frames:
            print_what_is_kept(**network, frames=frames)
        return 0
    print(HEADER)
    for frames in chosen.frames:
        options = network | dict(frames=frames, steps=chosen.steps)
        whole, again = (in_a_process_of_its_own(options | {"recompute": way}, chosen.threads) for way in (False, True))
        less = again["memory"] / whole["memory"] if whole["memory"] else math.nan  # a tiny step needs no new page
        rows.append(dict(frames=frames, whole=whole["memory"] / 2**20, again=again["memory"] / 2**20, less=less,
                         seconds=whole["seconds"], seconds_again=again["seconds"],
                         longer=again["seconds"] / whole["seconds"]))
        same = whole["gradients"] == again["gradients"]
        print(ROW.format(**rows[-1]) + ("" if same else "  other gradients"), flush=True)
        if not same:
            return 1
    print("all gradients are the same to the last bit")
    if chosen.plot:
        save_picture(chosen.plot, rows)
    return 0


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):  # a process that measures one row
        measure(**TINY, recompute=True)
        print(json.dumps(measure(**json.loads(sys.argv[1]))))
    else:
        sys.exit(command(lambda: main(sys.argv[1:])))
