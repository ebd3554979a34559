"""Launch convolution.cu: a convolution with stride 1 and its two gradients, on float32 CuPy arrays.

    convolve         (x, w, b)  -> y          frames (B,H,W,C), one or two side by side; w (kh,kw,C,K); b (K,) or None
    input_gradients  (dy, w)    -> dx, ...
    weight_gradient  (x, dy)    -> dw, db     added to given arrays, if any

`g` is the Grid of the windows on x (autograd/grid.py). A variant of the kernel is trusted only after it has computed a
small problem as cuBLAS does (`check`).
"""

import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tinypredrnn.backend import device_of, to_numpy
from tinypredrnn.gpu import PRECISIONS, cublas, rounding
from tinypredrnn.gpu.ladder import require_agreement

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = range(3)
THREADS, STAGES, ROWS, DEPTH = 256, 4, 128, 16  # as in convolution.cu
LEAST_STEPS = 8  # of a slice: with fewer steps, another slice costs more than it saves
BOUNDS = {"fp32": 1e-4, "tf32": 1e-3, "bf16": 8e-3}  # of the error of a result, as norms: rounding of factors

PROBLEM = np.dtype([(name, np.int32) for name in (
    "rows columns depth batch height width channels first out_height out_width kernel_height kernel_width top left "
    "split add").split()])


def source():
    """The CUDA source, as it is compiled."""
    here = Path(__file__).parent
    return "".join((here / name).read_text(encoding="utf-8") for name in ("instructions.cuh", "convolution.cu"))


def options(role, columns, vector, precision):
    """The compiler's options for one kernel: its macros."""
    macros = dict(ROLE=role, COLUMNS=columns, VECTOR=vector, PRECISION=PRECISIONS.index(precision))
    return "-std=c++17", *(f"-D{name}={value}" for name, value in macros.items())


def shared_bytes(role, columns):
    """How much shared memory a block takes for its tiles."""
    left = DEPTH * (ROWS + 8) if role == WEIGHT_GRADIENT else ROWS * (DEPTH + 4)
    right = columns * (DEPTH + 4) if role == INPUT_GRADIENT else DEPTH * (columns + 8)
    return 4 * STAGES * (left + right)


@functools.cache
def kernels(role, columns, vector, precision, device):
    """(convolve, gather) for one set of macros; `device` because each GPU loads its own."""
    import cupy

    module = cupy.RawModule(code=source(), options=options(role, columns, vector, precision))
    convolve = module.get_function("convolve")
    convolve.max_dynamic_shared_size_bytes = shared_bytes(role, columns)  # more than 48 KiB must be requested
    return convolve, module.get_function("gather")


def small_problem(role, wide, dtype):
    """Arguments of the role's function: two frames side by side, more than one tile of 128 rows, two slices, ragged
    edges, and as many columns as `wide` says."""
    import cupy

    rng = np.random.default_rng(0)
    channels, features = ((wide - 8, 8), 20) if role == INPUT_GRADIENT else ((12, 8), wide)
    g = SimpleNamespace(size=(12, 11), out=(12, 11), kernel=(3, 5), before=(1, 2))
    shapes = [*((2, *g.size, c) for c in channels), (2, *g.out, features), (3, 5, sum(channels), features), (features,)]
    x, h, dy, w, b = [cupy.asarray(rng.standard_normal(shape).astype(np.float32).astype(dtype)) for shape in shapes]
    return {FORWARD: ([x, h], w, b, g), INPUT_GRADIENT: (dy, w, channels, g),
            WEIGHT_GRADIENT: ([x, h], dy, g, w, b)}[role]


checked = set()  # variants that were found right, and the one that is being checked


def check(role, columns, vector, precision, device):
    """Let this variant compute a small problem, once in a process. WrongResult if cuBLAS gets other numbers."""
    variant = role, columns, vector, precision, device
    if variant in checked:
        return
    checked.add(variant)  # now, because the small problem is launched with it
    own, wide = (convolve, input_gradients, weight_gradient)[role], (72 if columns == 128 else 24) - (vector == 1)
    try:
        found = own(*small_problem(role, wide, np.float32))
        expected = getattr(cublas, own.__name__)(*small_problem(role, wide, np.float64))
        if role == FORWARD:
            found, expected = [found], [expected]
        # gradients of weights are added to what is there
        start = small_problem(role, wide, np.float32)[3:] if role == WEIGHT_GRADIENT else [np.zeros(())] * len(found)
        require_agreement(*([to_numpy(a) for a in arrays] for arrays in (found, expected, start)), BOUNDS[precision],
                          f"{own.__name__} in {precision}")
    except BaseException:
        checked.remove(variant)
        raise


@functools.cache
def multiprocessors(device):
    import cupy

    return cupy.cuda.Device(int(device[4:])).attributes["MultiProcessorCount"]


def launch(role, g, frames, matrix, bias, outputs, **sizes):
    """Run one product: `frames` are cut into windows, `matrix` is the other factor, `outputs` one or two arrays to
    write to."""
    import cupy

    frames, matrix = [cupy.ascontiguousarray(a) for a in frames], cupy.ascontiguousarray(matrix)
    channels = [a.shape[3] for a in frames]
    problem = np.zeros((), PROBLEM)
    for name, value in (g | sizes | dict(batch=len(frames[0]), channels=sum(channels), first=channels[0])).items():
        problem[name] = value
    rows, columns, depth = (int(problem[name]) for name in ("rows", "columns", "depth"))
    if 0 in (rows, columns, depth):  # no samples: nothing to compute, and nothing to add
        return
    fours = all(n % 4 == 0 for n in (*channels, columns)) and all(a.data.ptr % 16 == 0 for a in (*frames, matrix))
    width, device = 64 if columns <= 64 else 128, device_of(matrix)
    variant = role, width, 4 if fours else 1, rounding.get(), device
    check(*variant)
    convolve, gather = kernels(*variant)

    tiles, steps = (-(-columns // width), -(-rows // ROWS)), -(-depth // DEPTH)
    slices = max(1, min(2 * multiprocessors(device) // (tiles[0] * tiles[1]), steps // LEAST_STEPS))
    each = -(-steps // slices)
    slices = -(-steps // each)
    parts = cupy.empty((slices, rows, columns), np.float32) if slices > 1 else None
    x, h = (*frames, None)[:2]
    y, z = (*outputs, None)[:2]
    convolve((*tiles, slices), (THREADS,), (problem, x, h, matrix, bias, y, z, parts, np.int32(each)),
             shared_mem=shared_bytes(role, width))
    if slices > 1:
        gather((min(-(-rows * columns // THREADS), 4096),), (THREADS,), (problem, parts, np.int32(slices), bias, y, z))


def windows_of(g):
    """The windows on x as convolution.cu's Problem has them."""
    return dict(height=g.size[0], width=g.size[1], out_height=g.out[0], out_width=g.out[1], top=g.before[0],
                left=g.before[1],
                kernel_height=g.kernel[0], kernel_width=g.kernel[1])


def convolve(frames, w, b, g):
    """y (B,H',W',K)"""
    import cupy

    y = cupy.empty((len(frames[0]), *g.out, w.shape[3]), np.float32)
    launch(FORWARD, windows_of(g), frames, w, b, [y], rows=y.size // w.shape[3], columns=w.shape[3],
           depth=w.size // w.shape[3])
    return y


def input_gradients(dy, w, channels, g):
    """A gradient (B,H,W,C) for each of the frames, one or two, that had so many `channels`."""
    import cupy

    dframes = [cupy.empty((len(dy), *g.size, c), np.float32) for c in channels]
    turned = dict(height=g.out[0], width=g.out[1], out_height=g.size[0], out_width=g.size[1],
                  top=g.kernel[0] - 1 - g.before[0],
                  left=g.kernel[1] - 1 - g.before[1], kernel_height=g.kernel[0], kernel_width=g.kernel[1])
    launch(INPUT_GRADIENT, turned, [dy], w, None, dframes, rows=len(dy) * g.size[0] * g.size[1], columns=w.shape[2],
           depth=w.size // w.shape[2], split=channels[0])
    return dframes


def weight_gradient(frames, dy, g, dw=None, db=None, with_bias=True):
    """(dw, db), added in place to what is given; db is None if there is no bias."""
    import cupy

    elements, features = g.kernel[0] * g.kernel[1] * sum(a.shape[3] for a in frames), dy.shape[3]
    add = (dw is not None) + 2 * (db is not None)
    dw = cupy.empty((*g.kernel, elements // (g.kernel[0] * g.kernel[1]), features), np.float32) if dw is None else dw
    db = cupy.empty(features, np.float32) if db is None and with_bias else db
    launch(WEIGHT_GRADIENT, windows_of(g), frames, dy, None, [dw, db], rows=elements + with_bias, columns=features,
           depth=dy.size // features, split=elements, add=add)
    return dw, db
