"""The tile transforms of winograd.py on the CPU, as source without loops over the matrices, which numba compiles.

A loop over the entries of an 8 x 8 matrix spends its time on zeros, ones and the loop itself. So the matrix is written
out, each row as a sum of a few products; the loop is over channels, so that it can be vectorised. Before such a loop
its many arrays must be found, and checked not to overlap, which for a few channels takes as long as the loop itself:
so one loop runs along a whole line of pixels where that is possible. A loop that also reads what it writes needs still
more of that: so if tiles overlap, they are computed apart first, then added.
"""

from string import Template


def half_sums(matrix):
    """(pairs, sparser matrix): rows i, k of a pair are the sum and the difference of rows i, k of the sparser matrix.

    The rows of points a and -a differ only in the signs of odd powers, so their half sum and half difference have half
    as many entries.
    """
    matrix, pairs = [list(row) for row in matrix], []
    for i, k in zip(range(1, len(matrix) - 1, 2), range(2, len(matrix) - 1, 2)):
        rows = [[(a + b) / 2 for a, b in zip(matrix[i], matrix[k])],
                [(a - b) / 2 for a, b in zip(matrix[i], matrix[k])]]
        if sum(map(bool, rows[0] + rows[1])) < sum(map(bool, matrix[i] + matrix[k])):
            matrix[i], matrix[k] = rows
            pairs.append((i, k))
    return pairs, matrix


def weighted_sum(coefficients, names):
    """The source of a sum of products: zeros left out, ones not multiplied."""
    terms = [(c, name if abs(c) == 1 else f"T({float(abs(c))!r}) * {name}") for c, name in zip(coefficients, names)
             if c]
    terms.sort(key=lambda term: term[0] < 0)  # a positive one first
    return "".join((" - " if c < 0 else " + ") + text for c, text in terms).removeprefix(" + ").strip() or "T(0)"


def product_lines(matrix):
    """y = matrix x, line by line, of x0, x1, ... to y0, y1, ..."""
    pairs, sparse = half_sums(matrix)
    paired = sum(pairs, ())
    lines = [f"{'z' if i in paired else 'y'}{i} = {weighted_sum(row, [f'x{j}' for j in range(len(row))])}"
             for i, row in enumerate(sparse)]
    return lines + [line for i, k in pairs for line in (f"y{i} = z{i} + z{k}", f"y{k} = z{i} - z{k}")]


def transposed_lines(matrix):
    """y = transposed matrix x, line by line: the lines of the product from the end to the start."""
    pairs, sparse = half_sums(matrix)
    paired = sum(pairs, ())
    names = [f"{'z' if i in paired else 'x'}{i}" for i in range(len(matrix))]
    lines = [line for i, k in pairs for line in (f"z{i} = x{i} + x{k}", f"z{k} = x{i} - x{k}")]
    return lines + [f"y{j} = {weighted_sum(column, names)}" for j, column in enumerate(zip(*sparse))]


SOURCE = Template('''# Emitted by tinypredrnn: $p0 x $p1 tiles, one every $step, to $n0 x $n1 frequencies and back.
import numpy as np
from numba import njit

T = np.$dtype
FAST = dict(fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy")  # NaN and infinity stay what they are


@njit(inline="always")
def line(x, b, i, outside):
    return x[b, i] if 0 <= i < x.shape[1] else outside


@njit(nogil=True, **FAST)
def gather(first, last, x, v, channel, rows, columns, top, left):
    B, H, W, C = x.shape
    x, outside = x.reshape(B, H, W * C), np.zeros(W * C, T)
    half = np.zeros(($n0, ((columns - 1) * $step + $p1) * C), T)
    inside = half[:, left * C:(left + W) * C]
    for row in range(first, last):
        b, p, start = row // rows, row % rows, row * columns
$gather_lines
        for k in range(W * C):
$gather_down
        for q in range(columns):
            for i in range($n0):
$gather_row
                for k in range(C):
$gather_across


@njit(inline="always")
def add(y, x):
    for k in range(x.size):
        x[k] += y[k]


@njit(nogil=True, **FAST)
def scatter(first, last, v, x, channel, rows, columns, top, left, begin):
    B, H, W, C = x.shape
    x, outside = x.reshape(B, H, W * C), np.zeros(($p0, W * C), T)
    half = np.empty(($n0, ((columns - 1) * $step + $p1) * C), T)
    inside = half[:, left * C:(left + W) * C]
    tile, lines = np.empty($p1 * C, T), np.empty(($p0, W * C), T)
    begins = np.empty((W, C), T)
    begins[:] = begin[channel:channel + C]
    begins = begins.reshape(W * C)
    for row in range(first, last):
        b, p, start = row // rows, row % rows, row * columns
$scatter_start
        for q in range(columns):
            for i in range($n0):
$scatter_row
                for k in range(C):
$scatter_across
$scatter_tile
$scatter_lines
        for k in range(W * C):
$scatter_down
$scatter_end
''')


def tile_source(down, across, step, dtype):
    """The source of two functions for tiles of p0 x p1 pixels, one every `step`, with matrices `down` (n0,p0) and
    `across` (n1,p1).

    gather    rows first ... last of tiles (row b * rows + p is row p of sample b), from x (B,H,W,C) to the channels
              from `channel` on of v (n0 n1, B rows columns, D)
    scatter   its transpose; if tiles overlap, x must be zero before; if they do not, `begin` (C,) is added to every
              pixel

    top, left: how far the first tile reaches over the frame.
    """
    (n0, p0), (n1, p1) = [(len(matrix), len(matrix[0])) for matrix in (down, across)]

    def indent(width, *lines):
        return "\n".join(" " * width + line for line in lines)

    def pick(name, count, where):
        return [f"{name}{a} = {where.replace('#', str(a))}" for a in range(count)]

    def load(count):
        return [f"x{a} = s{a}[k]" for a in range(count)]

    def store(count, text="d# = y#"):
        return [text.replace("d#", f"d{a}[k]").replace("#", str(a)) for a in range(count)]

    frame = f"line(x, b, p * {step} - top + #, outside"
    place = f"half[i][(q * {step} + #) * C:][:C]"
    spectrum = f"v[i * {n1} + #, start + q][channel:][:C]"
    overlap = max(p0, p1) > step  # tiles that overlap are added up; others are simply written
    return SOURCE.substitute(
        n0=n0, p0=p0, n1=n1, p1=p1, step=step, dtype=dtype,
        gather_lines=indent(8, *pick("s", p0, frame + ")"), *pick("d", n0, "inside[#]")),
        gather_down=indent(12, *load(p0), *product_lines(down), *store(n0)),
        gather_row=indent(16, *pick("s", p1, place), *pick("d", n1, spectrum)),
        gather_across=indent(20, *load(p1), *product_lines(across), *store(n1)),
        scatter_start=indent(8, *["half[:] = T(0)"] * overlap),
        scatter_row=indent(16, *pick("s", n1, spectrum), *pick("d", p1, "tile[# * C:][:C]" if overlap else place)),
        scatter_across=indent(20, *load(n1), *transposed_lines(across), *store(p1)),
        scatter_tile=indent(16, *[f"add(tile, half[i][q * {step} * C:][:{p1} * C])"] * overlap),
        scatter_lines=indent(8, *pick("s", n0, "inside[#]"), *pick("d", p0, "lines[#]" if overlap else frame + "[#])")),
        scatter_down=indent(12, *load(n0), *transposed_lines(down),
                            *store(p0, "d# = y#" if overlap else "d# = begins[k] + y#")),
        scatter_end=indent(8, *(f"add(lines[{a}], {frame.replace('#', str(a))}[{a}]))" for a in range(p0 * overlap))))
