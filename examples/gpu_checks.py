"""Check that our kernels are right on this GPU, and measure how fast they are. verify_gpu.py runs this; by itself:

    python examples/gpu_checks.py kernels    values and gradients of convolutions against float64 on the CPU; time, rate
    python examples/gpu_checks.py steps      a training step as a CUDA graph against the same step launched op by op

The exit status is 1 if something is wrong.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import tinypredrnn as tp
from tinypredrnn.backend import find_device, to_device, to_numpy
from tinypredrnn.data.digits import Digits
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_digits import MovingDigits
from tinypredrnn.errors import command
from tinypredrnn.files import write_json
from tinypredrnn.gpu import PRECISIONS, has_tensor_cores
from tinypredrnn.gpu.convolution import BOUNDS
from tinypredrnn.gpu.ladder import own_kernel
from tinypredrnn.train import Trainer, new_plan

# (batch, height and width, channels of each input, kernel, features): the convolutions of PredRNN 4x128 and 4x64, of
# radar maps, without patches; and numbers that no tile divides
SHAPES = [(8, 16, (128, 128), 5, 512), (8, 16, (128, 128), 5, 384), (8, 16, (128, 128), 5, 128),
          (8, 16, (16, 128), 5, 512),
          (8, 16, (128, 128), 1, 128), (8, 16, (128,), 1, 16), (8, 16, (64, 64), 5, 256), (4, 25, (128, 128), 3, 512),
          (2, 64, (1, 32), 5, 128), (3, 9, (5, 2), 3, 7)]
FORMS = {"own kernel": "implicit", "cuBLAS": "direct"}  # arguments of convolution_by
REPEATS = 20  # of a call that is timed; the median counts
NETWORK = dict(hidden=(64,) * 4)
STEPS, MAX_DIFFERENCE = 20, 1e-3  # how many steps are compared, and the largest relative difference of their losses


def convolution(device, dtype, batch, side, channels, kernel, features):
    """A call that computes a convolution and its gradients: [y, dw, db, dx, ...] as arrays of the device."""
    rng = np.random.default_rng(0)
    shapes = [(kernel, kernel, sum(channels), features), (features,), *((batch, side, side, c) for c in channels)]
    w, b, *x = (tp.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True, device=device)
                for shape in shapes)
    dy = to_device(rng.standard_normal((batch, side, side, features)).astype(dtype), device)

    def run():
        for t in (w, b, *x):
            t.grad = None
        y = tp.conv2d(tuple(x), w, b)
        y.backward(dy)
        return [y.data, w.grad, b.grad, *(t.grad for t in x)]

    return run


def milliseconds(run):
    """The median time of a call, measured by the GPU's clock."""
    import cupy

    times = []
    for _ in range(REPEATS):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, end))
    return float(np.median(times))


def error(found, expected):
    """The largest relative error among the arrays, as norms."""
    return max(float(np.linalg.norm(to_numpy(a) - b) / np.linalg.norm(b)) for a, b in zip(found, expected))


def kernels(device):
    """Print the table, add its rows to the answer, and return whether all errors are within their bounds."""
    forms = FORMS if has_tensor_cores(device) else {"cuBLAS": "direct"}
    rows, passed = [], True
    columns = [f"{form + ', error':>20}{'ms':>9}{'TFLOP/s':>9}" for form in forms]
    print(f"{'convolution, forward and backward':46}{''.join(columns)}  faster")
    for shape in SHAPES:
        batch, side, channels, kernel, features = shape
        name = f"{'+'.join(map(str, channels))}->{features}, {kernel}x{kernel}, {batch}x{side}x{side}"
        operations = 6 * batch * side * side * kernel * kernel * sum(channels) * features
        with tp.convolution_by("direct"):
            exact = convolution("cpu", np.float64, *shape)()
            double = error(convolution(device, np.float64, *shape)(), exact)
        passed = passed and double < 1e-10
        for rounding in PRECISIONS if has_tensor_cores(device) else ["fp32"]:
            row = {"name": name, "precision": rounding, "float64": double}
            for form, algorithm in forms.items():
                with tp.precision(rounding), tp.convolution_by(algorithm):
                    run = convolution(device, np.float32, *shape)
                    row[form] = {"error": error(run(), exact), "ms": milliseconds(run)}
                passed = passed and row[form]["error"] < BOUNDS[rounding]
            row["faster"] = min(forms, key=lambda form: row[form]["ms"])
            numbers = [f"{row[form]['error']:20.1e}{row[form]['ms']:9.3f}{operations / row[form]['ms'] / 1e9:9.1f}"
                       for form in forms]
            print(f"{name:40}{rounding:6}{''.join(numbers)}  {row['faster']}", flush=True)
            rows.append(row)
    if fault := own_kernel(device).fault:
        passed = False
        print(f"FAILED: our own kernel was given up, it {fault}; its columns are those of cuBLAS")
    worst = max(row["float64"] for row in rows)
    print(f"float64 against the CPU: at most {worst:.1e}; "
          f"{'all errors are within' if passed else 'FAILED: an error is beyond'} their bounds (float64 1e-10, "
          f"{', '.join(f'{name} {bound:g}' for name, bound in BOUNDS.items())})")
    return passed, rows


class DrawnDigits(MovingDigits):
    """Digits drawn by the program itself, so that no files are needed."""

    def digits(self, split):
        return Digits(draw_digits(np.random.default_rng(0), 100)[0], "drawn digits")


# name -> (as a graph, in what backward's arrays are kept)
WAYS = {"graph": (True, "fp32"), "op by op": (False, "fp32"), "graph, bf16": (True, "bf16")}


def trainer(device, graph, activations, folder):
    plan = new_plan("predrnn", "mnist", "paper", **NETWORK, steps=STEPS, sampling_until=STEPS, activations=activations)
    source = DrawnDigits(plan.data, plan.recipe.seed)
    return Trainer(plan.on(source), source, folder, device, graph)


def steps(device):
    """The same steps as a graph, launched one by one, and as a graph from activations in bf16: losses, times, memory;
    whether the losses agree. Those of bf16 may differ more, since each step begins with other weights."""
    import cupy

    losses, rows, right = {}, [], True
    for name, (graph, activations) in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            run = trainer(device, graph, activations, folder)
            if graph and run.update.captured is None:
                print("no tensor cores: steps are launched op by op on this GPU")
                return True, []
            batches = [run.frames(k) for k in range(STEPS)]
            losses[name] = [run.step(frames) for frames in batches]
            clock = milliseconds(lambda run=run, frames=batches[-1]: run.step(frames))
            pool = run.update.captured.recording.pool if graph else cupy.get_default_memory_pool()
            if graph and (fault := run.update.captured.recording.rung.fault):
                print(f"FAILED: the graph was given up, it {fault}; its row is that of steps launched op by op")
                right = False
            rows.append({"name": name, "ms": clock, "MiB": pool.total_bytes() / 2**20, "losses": losses[name]})
            print(f"{name:12}{clock:9.2f} ms a step, {rows[-1]['MiB']:7.0f} MiB, "
                  f"loss {losses[name][0]:.6f} -> {losses[name][-1]:.6f}")
        del run
        cupy.get_default_memory_pool().free_all_blocks()
    exact = losses.pop("op by op")
    for name, bound in ("graph", MAX_DIFFERENCE), ("graph, bf16", 10 * MAX_DIFFERENCE):
        apart = max(abs(a - b) / abs(b) for a, b in zip(losses[name], exact))
        right &= apart < bound
        print(f"{name}: over {STEPS} steps losses are at most {apart:.1e} from those op by op, relatively: "
              f"{'fine' if apart < bound else 'FAILED'}, the bound is {bound:g}")
    return right, rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kernels", "steps"])
    parser.add_argument("--device", default="gpu", help="gpu or gpu:N (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    if device == "cpu":
        parser.error("there is nothing to check on the CPU: the tests do that")
    tp.tensor(np.zeros(1), device=device)  # this GPU is used from now on
    passed, rows = {"kernels": kernels, "steps": steps}[arguments.what](device)
    if arguments.json:
        write_json(arguments.json, rows)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(command(main))
