"""Our side of benchmark.py, which starts this file as a process of its own: the tasks that it asks for.

A task takes its options and gives a call to warm up, the call to time, and its floor as (task, options, how many
times): what no implementation of its kind can do without.
"""

import contextlib
import math
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from benchmark import resident, serve

import tinypredrnn as tp
from tinypredrnn.autograd import sigmoid, tanh
from tinypredrnn.backend import array_module, synchronise, to_device
from tinypredrnn.cells import expose, remember
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.gpu import has_tensor_cores
from tinypredrnn.nn.losses import l1_l2
from tinypredrnn.optim import Adam
from tinypredrnn.train.captured import CapturedStep

DEVICE, THREADS = "cpu", 2
POOLS = []  # memory pools of the last recorded training step


def random(*shape):
    return to_device(np.random.default_rng(0).random(shape, np.float32), DEVICE)


def model_and_frames(batch, given, horizon, **options):
    """(model, frames, truth, operations of a pass): inputs are true frames while given, then predictions."""
    model = tp.build_model("predrnn", **options).to(DEVICE)
    frames = tp.tensor(random(batch, given + horizon, *options["size"], 1))
    truth = np.repeat([[1.0] * given + [0.0] * (horizon - 1)], batch, axis=0)  # (B,outputs)
    positions = truth.size * np.prod(options["size"]) // options["patch"] ** 2
    return model, frames, truth, 2 * int(positions) * sum(w.size for w in model.parameters() if w.ndim == 4)


def training(**options):
    model, frames, truth, operations = model_and_frames(**options)
    optimiser = Adam(model.parameters())

    def differentiate(frames, truth):
        model.zero_grad()
        loss = l1_l2(model.unroll(frames, truth), frames[:, 1:truth.shape[1] + 1])
        loss.backward()
        return loss

    def step(outputs=truth.shape[1]):
        differentiate(frames, truth[:, :outputs])
        optimiser.step()

    def warm_up():
        for _ in range(1 if DEVICE == "cpu" else 3):
            step(*[1] * (DEVICE == "cpu"))  # on a GPU the whole step, which is compiled, recorded and replayed

    if has_tensor_cores(DEVICE):
        captured = CapturedStep(differentiate, optimiser, math.inf, DEVICE)
        POOLS[:] = [captured.recording.pool]
        step = lambda: captured(frames.data, truth.astype(np.float32), optimiser.rate)
    return warm_up, step, multiplying(3 * operations)  # backward computes gradients of inputs and of weights


def inference(**options):
    model, frames, _, operations = model_and_frames(**options)
    given = frames[:, :options["given"]]

    def predict(horizon=options["horizon"]):
        with tp.no_grad():
            model(given, horizon)

    return lambda: predict(1), predict, multiplying(operations)


def convolution(channels, features, kernel, size, batch, backward):
    x, w, b = (tp.tensor(random(*shape), requires_grad=backward)
               for shape in ((batch, size, size, channels), (kernel, kernel, channels, features), (features,)))
    dy = random(batch, size, size, features)

    def run():
        x.grad = w.grad = b.grad = None
        y = tp.conv2d(x, w, b)
        if backward:
            y.backward(dy)

    return run, run, multiplying(2 * (3 if backward else 1) * batch * size * size * w.size)


@tp.fuse
def lstm(i, f, g, o, c):
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def from_gates(shape, sizes, output, arrays, fused):
    """The task of computing `output` and its gradients, from inputs whose channels are `sizes` times shape[3]; it has
    to move at least `arrays` arrays.
    """
    inputs, dh = [tp.tensor(random(*shape[:3], n * shape[3]) * 2 - 1, requires_grad=True)
                  for n in sizes], random(*shape)

    def run():
        for x in inputs:
            x.grad = None
        with contextlib.nullcontext() if fused else tp.unfused():
            output(*inputs).backward(dh)

    return run, run, ("copy", dict(size=arrays * dh.nbytes), 1)


def gates(shape, fused=True):
    """An LSTM after its matrix product: four concatenated pre-activations and a memory."""
    # reads, writes; and back
    return from_gates(shape, (4, 1), lambda pre, c: lstm(*tp.split(pre, parts=4), c)[0], 5 + 2 + 6 + 5, fused)


def st_lstm_gates(shape, fused=True):
    """An ST-LSTM without convolutions: four and three pre-activations of the first two are given, others left out."""
    def output(from_xh, from_xm, c, m):
        (i, f, g, o), (i_, f_, g_) = tp.split(from_xh, parts=4), tp.split(from_xm, parts=3)  # each (B,H,W,K)
        return expose(o, remember(i, f, g, c), remember(i_, f_, g_, m))

    return from_gates(shape, (4, 3, 1, 1), output, 2 * (4 + 1 + 5 + 4) + 3 + 1 + 4 + 3, fused)


def unfused(shape):
    return gates(shape, fused=False)


def unfused_st_lstm(shape):
    return st_lstm_gates(shape, fused=False)


def generator(count):
    maker = MovingMNIST(np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8))
    run = lambda: maker.draw(np.random.default_rng(0), count)
    return run, run, ("copy", dict(size=run().nbytes, threads=1), 1)


def plain_numpy(count):
    """The same sequences, byte for byte, in the plainest code."""
    images, room = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8), 64 - 28

    def run():
        rng = np.random.default_rng(0)
        starts, angles = rng.random((count, 2, 2)) * room, rng.uniform(0, 2 * np.pi, (count, 2))
        speeds = rng.uniform(3, 5, (count, 2))
        chosen, canvas = rng.integers(len(images), size=(count, 2)), np.zeros((count, 20, 64, 64, 1), np.uint8)
        for b, d in np.ndindex(count, 2):
            position, velocity = starts[b, d], speeds[b, d] * np.array([np.sin(angles[b, d]), np.cos(angles[b, d])])
            for frame in canvas[b, ..., 0]:
                y, x = position.astype(int)
                place = frame[y:y + 28, x:x + 28]
                np.maximum(place, images[chosen[b, d]], out=place)
                there = position + velocity
                wall = np.clip(there, 0, room)
                position, velocity = 2 * wall - there, np.where(wall == there, velocity, -velocity)
        return canvas

    return run, run, None


def matmul(n):
    a, b = random(n, n), random(n, n)
    run = lambda: a @ b
    return run, run, None


def multiplying(operations, n=3072):
    return "matmul", dict(n=n), operations / (2 * n ** 3)


def copy(size, threads=None):
    """Read and write `size` bytes in all."""
    threads = threads or (THREADS if DEVICE == "cpu" else 1)
    a, b = random(size // 8), random(size // 8)
    parts = [slice(n * len(a) // threads, (n + 1) * len(a) // threads) for n in range(threads)]
    each = ThreadPoolExecutor(threads).map if threads > 1 else map
    run = lambda: list(each(lambda part: array_module(a).copyto(b[part], a[part]), parts))
    return run, run, None


def pool(reset):
    """The GPU memory that CuPy holds: it keeps what it once needed until it is told to free it."""
    import cupy

    pools = cupy.get_default_memory_pool(), *POOLS
    if reset:
        pools[0].free_all_blocks()
    return sum(memory.total_bytes() for memory in pools)


if __name__ == "__main__":
    tp.keep_freed_memory()  # like all commands
    DEVICE, THREADS = sys.argv[1], int(sys.argv[2])
    serve([training, inference, convolution, gates, st_lstm_gates, unfused, unfused_st_lstm, generator, plain_numpy,
           matmul, copy],
          lambda: synchronise(DEVICE), resident if DEVICE == "cpu" else pool)
