"""Search for errors of the engine with random programs: ops against PyTorch, fused functions against unfused ones.

    python examples/verify_search.py --cases 10000 --jobs 2
    python examples/verify_search.py --only fused --number 4711       repeat one case

programs      random ops on random shapes: values and gradients in float64, against PyTorch
fused         random elementwise functions, fused and op by op: at NaN, infinities, zeros of both signs and ties
convolutions  conv2d, its transpose and windows of random sizes, kernels, strides and paddings, by each algorithm

A case depends only on its kind, the seed and its number. The script prints a table and every wrong case, which is a
program up to its first wrong step. It needs PyTorch. Exit status 0 if no case is wrong, else 1.
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from random_programs import (
    CHOOSING,
    FUNCTIONS,
    JOINED,
    LAYOUTS,
    MASKED,
    OF_EXACT,
    PYTORCH,
    SMOOTH,
    TINYPREDRNN,
    WHOLE,
    describe,
    draw_axis,
    draw_mask,
    inputs_of,
    run_steps,
    torch,
)

import tinypredrnn as tp
from tinypredrnn.errors import ConfigError, command

DTYPES = [np.float64, np.float32]
KINK_DISTANCE = 1e-6  # PyTorch rounds differently and may be on the other side of a kink that is closer than this


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="how many in all (default: %(default)s)")
    parser.add_argument("--only", choices=KINDS, help="this kind alone")
    parser.add_argument("--number", type=int, help="the case of this number alone")
    parser.add_argument("--seed", type=int, default=0, help="other cases (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once (default: %(default)s)")
    args = parser.parse_args()
    if torch is None:
        raise ConfigError("verify_search: this search compares with PyTorch, which is not installed: pip install torch")
    kinds, wrong = [args.only] if args.only else list(KINDS), 0
    print(f"{'kind':<12} {'cases':>7} {'wrong':>7}")
    with tempfile.TemporaryDirectory(prefix="tinypredrnn-search-") as folder:
        os.environ["TINYPREDRNN_CACHE"] = folder  # for kernels that nobody needs again
        for i, kind in enumerate(kinds):
            count = args.cases // len(kinds) + (i < args.cases % len(kinds))
            numbers = range(count) if args.number is None else [args.number]
            found = search(KINDS[kind], args.seed, numbers, args.jobs)
            print(f"{kind:<12} {len(numbers):>7} {len(found):>7}", flush=True)
            for number, what in found:
                print(f"  --only {kind} --seed {args.seed} --number {number}: {what}")
            wrong += len(found)
    return int(wrong > 0)


def search(check, seed, numbers, jobs=1):
    """[(number, what is wrong)]. Each job has its own process, so that a crash is a wrong case and does not end the
    search.
    """
    context, wrong = multiprocessing.get_context("spawn"), []
    chunks = iter([numbers[i:i + TOGETHER] for i in range(0, len(numbers), TOGETHER)])

    def work():
        answer = None
        for chunk in chunks:
            for number in chunk:
                if answer is None:
                    answer, question = context.Pipe()
                    process = context.Process(target=answer_questions, args=(check, seed, question), daemon=True)
                    process.start()
                    question.close()
                try:
                    answer.send(number)
                    what = answer.recv()
                except (EOFError, ConnectionError):
                    process.join()
                    what, answer = f"the process died, exit status {process.exitcode}", None
                if what:
                    wrong.append((number, what))
        if answer is not None:
            answer.send(None)
            process.join()

    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(work) for _ in range(jobs)]:
            future.result()
    return sorted(wrong)


def answer_questions(check, seed, question):
    torch.set_num_threads(1)
    while (number := question.recv()) is not None:
        question.send(check(seed, number))


def values_and_gradients(outputs, leaves, cotangents):
    """As arrays; our tensors and PyTorch's are used alike. A cotangent of None: nothing depends on that output."""
    total = sum((y * u).sum() for y, u in zip(outputs, cotangents) if y.requires_grad and u is not None)
    if not isinstance(total, int):
        total.backward()
    gradients = [np.zeros(tuple(x.shape)) if x.grad is None else np.asarray(x.grad) for x in leaves]
    return [y.detach().numpy() for y in outputs], gradients


def difference(what, found, expected, tolerance):
    """Where two lists of arrays differ, or None. NaN and infinities must be in the same places."""
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a.shape != b.shape:
            return f"{what} {i}: shape {a.shape}, not {b.shape}"
        largest = abs(b[np.isfinite(b)]).max(initial=1)
        wrong = np.argwhere(~np.isclose(a, b, rtol=tolerance, atol=tolerance * largest, equal_nan=True))
        if len(wrong):
            index = tuple(int(k) for k in wrong[0])
            return f"{what} {i} at {index}: {a[index]:.9g}, not {b[index]:.9g},"
    return None


# programs

def draw_step(rng, values):
    """A step that fits these values of PyTorch and masks of NumPy, and its value; None if the attempt does not fit."""
    floats = [i for i, v in enumerate(values) if torch.is_tensor(v)]
    masks = [i for i in range(len(values)) if i not in floats]
    table = [SMOOTH, OF_EXACT, CHOOSING, MASKED, WHOLE, WHOLE, JOINED][rng.integers(7)]
    name = str(rng.choice(list(table)))
    count = 1 if table is WHOLE else 2 if table is JOINED else inputs_of(name)
    places = [int(rng.choice(masks if table is MASKED and i == 0 else floats)) for i in range(count)]
    used, shape = [values[i] for i in places], tuple(values[places[0]].shape)
    draw = WHOLE[name][1] if table is WHOLE else draw_axis if name in ("concat", "stack") else lambda rng, shape: {}
    options = draw(rng, shape)
    if (options is None or name == "matmul" and min(v.ndim for v in used) < 2
            or name in ("max", "softmax", "log_softmax", "normalise") and 0 in shape):  # there is no largest of nothing
        return None
    try:
        value = FUNCTIONS[name](PYTORCH, *used, **options)
    except (RuntimeError, IndexError, ValueError):
        return None
    kinks = [CHOOSING[name][1](*used)] if table is CHOOSING else [v / 1000 for v in used] if table is OF_EXACT else []
    if name == "max" and used[0].numel() > 1:
        kinks = [used[0].flatten().sort().values.diff()]
    tame = value.numel() <= 300 and (value.abs() < 1000).all() and all((k.abs() > KINK_DISTANCE).all() for k in kinks)
    return ((name, places, options), value) if tame else None


def draw_part(rng, shape):
    """A shape that broadcasts to this one."""
    left_out = int(rng.integers(len(shape) + 1)) if rng.random() < 0.3 else 0
    return [1 if rng.random() < 0.2 else n for n in shape[left_out:]]


def draw_program(rng):
    """(inputs, the last of which is a mask; up to 8 steps): values and gradients are finite, and not near a kink."""
    while True:
        shape = rng.choice([0, 1, 2, 3, 4], rng.integers(5), p=[0.02, 0.2, 0.3, 0.3, 0.18]).tolist()
        parts = [draw_part(rng, shape) for _ in range(rng.integers(1, 4))]
        inputs = [rng.standard_normal(part) * rng.choice([0.3, 1, 3, 20]) for part in parts]
        inputs.append(draw_mask(rng, draw_part(rng, shape), np.float64))
        leaves = [torch.tensor(x, requires_grad=True) for x in inputs[:-1]]
        values, steps, count = [*leaves, inputs[-1]], [], rng.integers(1, 9)
        for _ in range(60):
            if len(steps) < count and (drawn := draw_step(rng, values)):
                steps.append(drawn[0])
                values.append(drawn[1])
        if steps and all(np.isfinite(g).all() for g in values_and_gradients(values[-1:], leaves, [1.0])[1]):
            return inputs, steps


def compare_program(inputs, steps, outputs):
    """What is wrong with the values at these places, or with their gradients; None if nothing is."""
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs[:-1]]
    values = run_steps(PYTORCH, [*leaves, inputs[-1]], steps)
    cotangents = [np.random.default_rng(i).standard_normal(tuple(values[i].shape)) for i in outputs]
    expected, truth = values_and_gradients([values[i] for i in outputs], leaves, map(torch.tensor, cotangents))
    leaves = [tp.tensor(x, requires_grad=True) for x in inputs[:-1]]
    try:
        values = run_steps(TINYPREDRNN, [*leaves, inputs[-1]], steps)
        found, gradients = values_and_gradients([values[i] for i in outputs], leaves, cotangents)
    except Exception as error:  # any exception is wrong here, since PyTorch could compute it
        return f"{type(error).__name__}: {error}"
    return difference("value", found, expected, 1e-9) or difference("gradient", gradients, truth, 1e-7)


def check_program(seed, number):
    rng = np.random.default_rng([seed, 0, number])
    inputs, steps = draw_program(rng)
    inputs = [LAYOUTS[rng.integers(len(LAYOUTS))](x) for x in inputs]
    first, count = len(inputs), len(steps)
    what = compare_program(inputs, steps, sorted({first + count - 1, first + int(rng.integers(count))}))
    for k in range(count) if what else ():
        if shorter := compare_program(inputs, steps[:k + 1], [first + k]):
            return f"{shorter} in {describe(inputs, steps[:k + 1])}"
    return what and f"{what} in {describe(inputs, steps)}"


# fused functions

TOGETHER = 20  # cases of one function, in one dtype: to compile it takes longer than all of them
NAMES = "x x_start x_stride x_row x_array y0_start y0_row a b math np njit FAST i n".split()
SPECIAL = [0.0, -0.0, 1, -1, 0.5, -0.5, 2.5, np.inf, -np.inf, np.nan]


@functools.lru_cache(maxsize=2)
def draw_fused(seed, number):
    """(a fused function, its parameters, how many of them are tensors, its steps, the places of its outputs).

    The last parameter may be a mask. Functions of CHOOSING take exact values only, since kernels round differently.
    """
    rng = np.random.default_rng([seed, 1, number])
    floats, masks = int(rng.integers(1, 4)), int(rng.random() < 0.3)
    steps, values, exact, names = [], list(range(floats)), list(range(floats)), rng.permutation(NAMES)[:floats + masks]
    for place in range(len(names), len(names) + rng.integers(1, 7)):
        table = [SMOOTH, OF_EXACT, CHOOSING, CHOOSING, MASKED if masks else SMOOTH][rng.integers(5)]
        name = str(rng.choice(list(table)))
        places = rng.choice(values if table is SMOOTH else exact, inputs_of(name)).tolist()
        steps.append((name, [floats, *places[1:]] if table is MASKED else places, {}))
        values.append(place)
        exact += [place] * (table in (CHOOSING, MASKED))
    outputs = [values[-1], *rng.choice(values, rng.integers(3)).tolist()]

    def run(*inputs):
        found = run_steps(TINYPREDRNN, inputs, steps)
        return tuple(found[i] for i in outputs) if len(outputs) > 1 else found[outputs[0]]

    function = eval(f"lambda {', '.join(names)}: run({', '.join(names)})", {"run": run})
    function.__name__ = f"searched_{number}"
    return tp.fuse(function), names, floats, steps, outputs


def check_fused(seed, number):
    rng = np.random.default_rng([seed, 2, number])
    function, names, floats, steps, outputs = draw_fused(seed, number // TOGETHER)
    dtype, special = DTYPES[number // TOGETHER % 2], rng.random() < 0.6
    shape = rng.choice([0, 1, 2, 3, 7], rng.integers(4), p=[0.04, 0.16, 0.3, 0.3, 0.2]).tolist()
    parts = [shape if special else draw_part(rng, shape) for _ in names]  # no sums, since their order would matter
    inputs = [(rng.standard_normal(part) * 2).astype(dtype) for part in parts[:floats]]
    if special:
        inputs = [np.where(rng.random(shape) < 0.5, rng.choice(SPECIAL, shape), x).astype(dtype) for x in inputs]
    inputs += [draw_mask(rng, part, dtype) for part in parts[floats:]]
    inputs = [LAYOUTS[rng.integers(len(LAYOUTS))](x) for x in inputs]
    where = f"in fuse(lambda {', '.join(names)}), {describe(inputs, steps)}; outputs {outputs}"
    theirs = run_steps(PYTORCH, [*map(torch.tensor, inputs[:floats]), *inputs[floats:]], steps)
    together = np.broadcast_shapes(*(x.shape for x in inputs))  # the shape of everything that a kernel makes
    results = []
    for how in tp.unfused, contextlib.nullcontext:
        leaves = [tp.tensor(x, requires_grad=True) for x in inputs[:floats]]
        cotangents = [np.random.default_rng(i).standard_normal(together).astype(dtype) for i in outputs]
        cotangents[1:] = [u if number // TOGETHER % 3 else None for u in cotangents[1:]]
        try:
            with how(), np.errstate(all="ignore"):
                made = function(*leaves, *inputs[floats:])
                results.append(values_and_gradients(made if isinstance(made, tuple) else (made,), leaves, cotangents))
        except Exception as error:
            return f"{'fused' if results else 'op by op'}: {type(error).__name__}: {error} {where}"
    (expected, truth), (values, gradients) = results
    tolerance = 1e-11 if dtype == np.float64 else 1e-4
    what = (difference("op by op against PyTorch: value", expected, [theirs[i].numpy() for i in outputs], tolerance)
            or difference("fused: value", values, [np.broadcast_to(y, together) for y in expected], tolerance)
            or difference("fused: gradient", gradients, truth, tolerance))
    return what and f"{what} {where}"


# convolutions

def zeros_around(n, reach, stride, padding):
    """Zeros before and after an axis of n pixels, and the number of windows on it."""
    if padding == "same":
        out = -(-n // stride)
        total = max((out - 1) * stride + reach - n, 0)
        return total // 2, total - total // 2, out
    pixels = 0 if padding == "valid" else padding
    return pixels, pixels, (n + 2 * pixels - reach) // stride + 1


def places_of_windows(size, kernel, stride, padding, dilation):
    return [zeros_around(n, (k - 1) * dilation + 1, stride, padding) for n, k in zip(size, kernel)]


def their_windows(x, kernel, stride, padding, dilation):
    (top, bottom, height), (left, right, width) = places_of_windows(x.shape[1:3], kernel, stride, padding, dilation)
    x = torch.nn.functional.pad(x, (0, 0, left, right, top, bottom))
    rows, columns = ([slice(k * dilation, k * dilation + (n - 1) * stride + 1, stride) for k in range(length)]
                     for n, length in zip((height, width), kernel))
    return torch.stack([torch.stack([x[:, row, column] for column in columns], 3) for row in rows], 3)


def their_conv2d(x, w, b=0.0, **options):
    return torch.einsum("npqijc,ijck->npqk", their_windows(x, w.shape[:2], **options), w) + b


def their_transposed(y, w, b, size, **options):
    """conv2d_transpose, computed as the gradient of conv2d."""
    x = torch.zeros(len(y), *size, w.shape[2], dtype=y.dtype, requires_grad=True)
    return torch.autograd.grad(their_conv2d(x, w, **options), x, y, create_graph=True)[0] + b


# (arguments of convolution_by, the kernels to try it with, or None for any: compiling the loops of one takes seconds)
ALGORITHMS = [((), None), (("direct",), None), (("winograd", 4), [(3, 3), (5, 5)]), (("winograd", 3), [(2, 4)])]


def check_convolution(seed, number):
    rng = np.random.default_rng([seed, 3, number])
    what, dtype = ["conv2d", "conv2d", "conv2d_transpose", "windows"][rng.integers(4)], DTYPES[rng.integers(2)]
    algorithm, kernels = ALGORITHMS[rng.integers(len(ALGORITHMS))]
    while True:
        size, kernel = rng.integers(1, 10, 2).tolist(), tuple(rng.integers(1, 6, 2).tolist())
        kernel = kernels[rng.integers(len(kernels))] if kernels else kernel
        options = {"stride": int(rng.choice([1, 1, 2, 3])), "dilation": int(rng.choice([1, 1, 2, 3])),
                   "padding": ["same", "valid", 0, 1, 2, 3][rng.integers(6)]}
        out = [n for *_, n in places_of_windows(size, kernel, **options)]
        if min(out) > 0:
            break
    channels = rng.integers(1, 40 if rng.random() < 0.1 else 5, rng.integers(1, 4)).tolist()
    batch, features, total = int(rng.integers(1, 4)), int(rng.integers(1, 6)), sum(channels)
    shapes, ours, peer = {
        "conv2d": ([*((batch, *size, c) for c in channels), (*kernel, total, features), (features,)],
                   lambda *parts: tp.conv2d(parts[:-2], *parts[-2:], **options),
                   lambda *parts: their_conv2d(torch.cat(parts[:-2], 3), *parts[-2:], **options)),
        "conv2d_transpose": ([(batch, *out, features), (*kernel, total, features), (total,)],
                             lambda *given: tp.conv2d_transpose(*given, size=tuple(size), **options),
                             lambda *given: their_transposed(*given, size=size, **options)),
        "windows": ([(batch, *size, total)], lambda x: tp.windows(x, kernel=kernel, **options),
                    lambda x: their_windows(x, kernel, **options))}[what]
    arrays = [LAYOUTS[rng.integers(len(LAYOUTS))](rng.standard_normal(shape).astype(dtype)) for shape in shapes]
    where = f"in {what} of {shapes} {np.dtype(dtype)}, size {size}, kernel {kernel}, {options}, algorithm {algorithm}"
    leaves = [torch.tensor(a.astype(np.float64), requires_grad=True) for a in arrays]
    y = peer(*leaves)
    cotangent = rng.standard_normal(tuple(y.shape)).astype(dtype)
    expected, truth = values_and_gradients([y], leaves, [torch.tensor(cotangent.astype(np.float64))])
    leaves = [tp.tensor(a, requires_grad=True) for a in arrays]
    try:
        with tp.convolution_by(*algorithm):
            found, gradients = values_and_gradients([ours(*leaves)], leaves, [cotangent])
    except Exception as error:
        return f"{type(error).__name__}: {error} {where}"
    for i, (a, b) in enumerate(zip([*found, *gradients], [*expected, *truth], strict=True)):
        name = f"gradient {i - 1}" if i else "value"
        if a.shape != b.shape or a.dtype != dtype:
            return f"{name} is {a.dtype} {a.shape} {where}"
        if not np.linalg.norm(a - b) <= (1e-10 if dtype == np.float64 else 1e-5) * np.linalg.norm(b):
            return f"{name} is off by {np.linalg.norm(a - b) / np.linalg.norm(b):.2g} of its norm {where}"
    return None


KINDS = {"programs": check_program, "fused": check_fused, "convolutions": check_convolution}

if __name__ == "__main__":
    sys.exit(command(main))
