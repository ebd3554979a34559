"""The tile transforms on the CPU: straight-line source for one matrix, compiled by numba, shared between threads.

A loop over the entries of an 8 x 8 matrix spends its time on the zeros, the ones and the looping. So the matrix is written out: every
row a sum of a few products, the same for all channels, and channels are what a vector instruction works on.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from string import Template

import numpy as np

from tinypredrnn.autograd.emit import compile_source

THREADS = int(os.environ.get("TINYPREDRNN_THREADS") or len(os.sched_getaffinity(0)))


@functools.cache
def pool():
    return ThreadPoolExecutor(THREADS - 1)


def share(work, count):
    """Run work(first, last) on ranges that together are 0 ... count, one for each thread. `work` must let go of Python's lock."""
    parts = min(THREADS, count)
    cuts = [count * i // parts for i in range(parts + 1)]
    others = [pool().submit(work, first, last) for first, last in zip(cuts[1:], cuts[2:])]
    work(cuts[0], cuts[1])
    for other in others:
        other.result()


def half_sums(matrix):
    """(pairs, sparser matrix): rows i, k of a pair are the sum and the difference of rows i, k of the sparser matrix.

    The rows of points a and -a differ in the sign of the odd powers only, so their half sum and half difference have half the entries.
    """
    matrix, pairs = [list(row) for row in matrix], []
    for i, k in zip(range(1, len(matrix) - 1, 2), range(2, len(matrix) - 1, 2)):
        rows = [[(a + b) / 2 for a, b in zip(matrix[i], matrix[k])], [(a - b) / 2 for a, b in zip(matrix[i], matrix[k])]]
        if sum(map(bool, rows[0] + rows[1])) < sum(map(bool, matrix[i] + matrix[k])):
            matrix[i], matrix[k] = rows
            pairs.append((i, k))
    return pairs, matrix


def weighted_sum(coefficients, names):
    """The source of a sum of products: zeros left out, ones not multiplied."""
    terms = [(c, name if abs(c) == 1 else f"T({float(abs(c))!r}) * {name}") for c, name in zip(coefficients, names) if c]
    terms.sort(key=lambda term: term[0] < 0)  # a positive one first
    return "".join((" - " if c < 0 else " + ") + text for c, text in terms).removeprefix(" + ").strip() or "T(0)"


def product_lines(matrix):
    """y = matrix x, line by line, of x0, x1, ... to y0, y1, ..."""
    pairs, sparse = half_sums(matrix)
    paired = sum(pairs, ())
    lines = [f"{'z' if i in paired else 'y'}{i} = {weighted_sum(row, [f'x{j}' for j in range(len(row))])}" for i, row in enumerate(sparse)]
    return lines + [line for i, k in pairs for line in (f"y{i} = z{i} + z{k}", f"y{k} = z{i} - z{k}")]


def transposed_lines(matrix):
    """y = transposed matrix x, line by line: the lines of the product from the end to the start."""
    pairs, sparse = half_sums(matrix)
    paired = sum(pairs, ())
    names = [f"{'z' if i in paired else 'x'}{i}" for i in range(len(matrix))]
    lines = [line for i, k in pairs for line in (f"z{i} = x{i} + x{k}", f"z{k} = x{i} - x{k}")]
    return lines + [f"y{j} = {weighted_sum(column, names)}" for j, column in enumerate(zip(*sparse))]


SOURCE = Template('''# Emitted by tinypredrnn: tiles of $p0 x $p1 pixels, one every $step, to $n0 x $n1 frequencies and back.
import numpy as np
from numba import njit

T = np.$dtype
FAST = dict(fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy")  # NaN and infinity stay what they are


@njit(inline="always")
def pixel(x, b, i, j, outside):
    return x[b, i, j] if 0 <= i < x.shape[1] and 0 <= j < x.shape[2] else outside


@njit(cache=True, nogil=True, **FAST)
def gather(first, last, x, v, channel, rows, columns, top, left):
    """Frames (B,H,W,C) to the channels from `channel` on of v (F, B rows columns, D)."""
    width = (columns - 1) * $step + $p1
    blocks = -(-x.shape[3] // $block)
    outside = np.zeros(x.shape[3], T)
    half = np.empty(($n0, width, $block), T)
    for part in range(first, last):
        b, start = part // blocks, part % blocks * $block
        stop = min(start + $block, x.shape[3])
        for p in range(rows):
            for j in range(width):
$gather_column
                for k in range(stop - start):
$gather_down
            for q in range(columns):
                for i in range($n0):
$gather_row
                    for k in range(stop - start):
$gather_across


@njit(cache=True, nogil=True, **FAST)
def scatter(first, last, v, x, channel, rows, columns, top, left, begin):
    """The transpose of gather, plus `begin` (C,) at every pixel. x must be zero where tiles overlap."""
    width = (columns - 1) * $step + $p1
    blocks = -(-x.shape[3] // $block)
    outside = np.zeros(($p0, x.shape[3]), T)
    half = np.empty(($n0, width, $block), T)
    for part in range(first, last):
        b, start = part // blocks, part % blocks * $block
        stop = min(start + $block, x.shape[3])
        base = begin[start:stop]
        for p in range(rows):
            half[:, :$p1 - $step] = T(0)
            for q in range(columns):
                for i in range($n0):
$scatter_row
                    for k in range(stop - start):
$scatter_across
            for j in range(width):
$scatter_column
                for k in range(stop - start):
$scatter_down
''')


def tile_source(down, across, step, dtype, block=64):
    """The source of gather and scatter for tiles that are transformed by the matrices `down` (n0,p0) and `across` (n1,p1)."""
    (n0, p0), (n1, p1) = [(len(matrix), len(matrix[0])) for matrix in (down, across)]

    def indent(width, *lines):
        return "\n".join(" " * width + line for line in lines)

    def pick(name, count, where):
        return [f"{name}{a} = {where.replace('#', str(a))}" for a in range(count)]

    frame = "pixel(x, b, p * {0} - top + #, j - left, {1})[start:stop]"
    spectrum = f"v[i * {n1} + #, (b * rows + p) * columns + q][channel + start:channel + stop]"
    load = lambda count: pick("x", count, "s#[k]")
    store = lambda count: [f"d{a}[k] = y{a}" for a in range(count)]
    return SOURCE.substitute(
        n0=n0, p0=p0, n1=n1, p1=p1, step=step, dtype=dtype, block=block,
        gather_column=indent(16, *pick("s", p0, frame.format(step, "outside")), *pick("d", n0, "half[#, j]")),
        gather_down=indent(20, *load(p0), *product_lines(down), *store(n0)),
        gather_row=indent(20, *pick("s", p1, f"half[i, q * {step} + #]"), *pick("d", n1, spectrum)),
        gather_across=indent(24, *load(p1), *product_lines(across), *store(n1)),
        scatter_row=indent(20, *pick("s", n1, spectrum), *pick("d", p1, f"half[i, q * {step} + #]")),
        scatter_across=indent(24, *load(n1), *transposed_lines(across),
                              *[f"d{a}[k] {'+=' if a < p1 - step else '='} y{a}" for a in range(p1)]),
        scatter_column=indent(16, *pick("s", n0, "half[#, j]"), *pick("d", p0, frame.format(step, "outside[#]"))),
        scatter_down=indent(20, *load(n0), *transposed_lines(down),
                            *[f"d{a}[k] += y{a}" if a < p0 - step else f"d{a}[k] = base[k] + y{a}" for a in range(p0)]))
