"""Do fused gates and Winograd's convolution learn the same as plain code? Train with both and compare the loss curves.

    python examples/fast_and_reference.py --plot curves.png              a few minutes on two CPU cores
    python examples/fast_and_reference.py --steps 20 --hidden 16 16      a quick try

fast        fused kernels, and convolution by tiles if that is cheaper: what every other program here runs
reference   op by op, with direct convolution
control     fast again, with one weight changed by 1 part in a million: the effect of rounding alone

All three start from the same weights and see the same batches.
"""

import argparse
import contextlib
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np

import tinypredrnn as tp
from tinypredrnn.data import drawn_digits
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.data.scale import BYTES
from tinypredrnn.errors import ConfigError, command, whole_number_from
from tinypredrnn.files import replacing
from tinypredrnn.models import construct
from tinypredrnn.train import Descent, new_plan

COLOURS = {"fast": "#D55E00", "reference": "#0072B2", "control": "#666666"}


def losses(plan, batch, kind):
    """The loss of each step (steps,), for one kind of training: "fast", "reference" or "control"."""
    model = construct(*plan.network())
    if kind == "control":
        model.parameters()[0].data.reshape(-1)[0] *= 1 + 1e-6
    update = Descent(model, plan)
    with contextlib.ExitStack() as stack:
        if kind == "reference":
            stack.enter_context(tp.unfused())
            stack.enter_context(tp.convolution_by("direct"))
        # batches (B,T,H,W,1)
        return np.array([update(batch(k) / np.float32(255), k)["loss"] for k in range(plan.recipe.steps)])


def compare(plan, batch):
    """{kind: curve} of all three, and the largest relative differences of reference and control from the fast curve."""
    curves, seconds = {}, {}
    for kind in COLOURS:
        start = time.perf_counter()
        curves[kind] = losses(plan, batch, kind)
        seconds[kind] = time.perf_counter() - start
    apart = {kind: float(np.max(np.abs(curves[kind] / curves["fast"] - 1))) for kind in ("reference", "control")}
    return curves, apart, seconds


def draw(path, curves):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind, style in ("reference", dict(linewidth=4, alpha=0.5)), ("fast", {}):
        left.plot(curves[kind], color=COLOURS[kind], label=kind, **style)
    for kind in "reference", "control":
        right.plot(np.abs(curves[kind] / curves["fast"] - 1) + 1e-9, color=COLOURS[kind], label=f"{kind} and fast")
    left.set(xlabel="step", ylabel="loss", yscale="log")
    right.set(xlabel="step", ylabel="relative difference of the losses", yscale="log")
    for axes in left, right:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=whole_number_from(1), default=200,
                        help="training steps of each (default: %(default)s)")
    parser.add_argument("--hidden", type=whole_number_from(1), nargs="+",
                        help="the layers' widths (default: those of the preset quick)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the curves here")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        raise ConfigError(f"--steps: expected at least 1, got {arguments.steps}")
    changes = dict(steps=arguments.steps) | (dict(hidden=tuple(arguments.hidden)) if arguments.hidden else {})
    plan = new_plan("predrnn", "mnist", optimiser="adam", rate_schedule="constant", **changes)
    plan = dataclasses.replace(plan, frame=(*plan.data.size, 1), scale=BYTES)
    digits = MovingMNIST(drawn_digits.draw_digits(np.random.default_rng(plan.recipe.seed), 1000)[0])
    curves, apart, seconds = compare(plan, lambda k: digits.batch(plan.recipe.seed, k, plan.recipe.batch))
    for kind, curve in curves.items():
        print(f"{kind:10} loss of the first step {curve[0]:.5f}, of the last {curve[-1]:.5f}, "
              f"{seconds[kind] / len(curve):.2f} s a step")
    for kind, difference in apart.items():
        print(f"largest relative difference of a loss, {kind} and fast: {difference:.1e}")
    if arguments.plot:
        draw(arguments.plot, curves)
    return 0


if __name__ == "__main__":
    sys.exit(command(main))
