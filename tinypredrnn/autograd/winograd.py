"""Convolution with fewer multiplications: Toom and Cook's way to multiply polynomials, which Winograd turned into a convolution.

The product of two polynomials of r and m coefficients has n = m + r - 1, so its values at n points determine it: evaluate both factors
there, multiply value by value, interpolate. That takes n multiplications instead of m r. For a fixed polynomial g it is a linear map
from m numbers h to n; the transposed map takes n numbers d to m, and is the convolution of d with the kernel g:

    product of g and h           B [(G g) . (A h)]            G and A evaluate, B interpolates
    convolution of d with g      A^T [(G g) . (B^T d)]        the same, transposed and so from the last step to the first

In two dimensions both axes are treated so. A tile of n x n pixels then gives m x m pixels of output by n^2 multiplications, for m = 4 and
a 5x5 kernel 64 instead of 400. Over channels they are sums of products: one matrix product over all tiles for each of n^2 "frequencies".

    V = B^T x B       (F,tiles,C)       gathered from tiles that overlap
    U = G w G^T       (F,C,K)           once for all steps of a sequence, see shared_weights
    M = V U           (F,tiles,K)
    y = A^T M A                         scattered to tiles side by side

All of it is linear in x and in w. So the gradients are these steps transposed: dM = A dy A^T, dV = dM U^T, dU = V^T dM, dx = B dV B^T.

The price is accuracy: sums cancel that a direct convolution never makes. In float32 the error is below 1e-5 of the result (as norms; 3e-7
for the direct form) with up to eight points an axis, and no more are used.

S. Winograd, Arithmetic Complexity of Computations (1980); A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks (2016).
"""

import contextlib
import functools
from contextvars import ContextVar
from fractions import Fraction

import numpy as np

from tinypredrnn.autograd.convolution import Grid, fold, grid, unfold
from tinypredrnn.autograd.emit import compile_source
from tinypredrnn.autograd.engine import recording
from tinypredrnn.autograd.op import op
from tinypredrnn.autograd.winograd_cpu import tile_source
from tinypredrnn.backend import NUMPY_CAME_FIRST, array_module, device_of, product, share
from tinypredrnn.errors import ConfigError, ShapeError

# exact matrices


def points(count):
    """`count` small fractions to evaluate polynomials at: those of a search that magnify rounding errors least. The usual choice of
    five, 0, 1, -1, 2, -2, magnifies them three times as much."""
    best = {4: "0 2/3 -2/3 2", 5: "0 2/3 -2/3 3/2 -3/2", 6: "0 1/2 -1/2 1 -1 3"}
    found = [Fraction(a) for a in best.get(count, "0 1 -1 2 -2 1/2 -1/2 4 -4 1/4 -1/4 8 -8 1/8 -1/8").split()]
    if count > len(found):
        raise ConfigError(f"winograd: a tile and a kernel need tile + kernel - 1 <= {len(found) + 1}, got {count + 1}: choose a smaller tile")
    return found[:count]


@functools.cache
def toom_cook(m, r):
    """(A, G, B^T), each n = m + r - 1 rows of Fractions, such that for m outputs of a kernel g of r elements on n inputs d

        sum_j g[j] d[k+j] = sum_i A[i][k] (G g)[i] (B^T d)[i]

    A row of A or G evaluates a polynomial at a point; the last one, "at infinity", is its highest coefficient. A row of B^T is the
    polynomial that is zero at all other points, which interpolates once divided by its value at its own; G does that division.
    """
    if min(m, r) < 1:
        raise ConfigError(f"winograd: tiles and kernels start at 1, got {m} and {r}")
    finite, n = points(m + r - 2), m + r - 1
    interpolate = [from_roots([b for b in finite if b != a], n) for a in finite] + [from_roots(finite, n)]
    values = [sum(c * a ** k for k, c in enumerate(row)) for a, row in zip(finite, interpolate)] + [1]
    divided = tuple(tuple(c / value for c in row) for row, value in zip(powers(finite, r), values))
    return powers(finite, m), divided, tuple(interpolate)


def powers(finite, size):
    """The rows that evaluate a polynomial of `size` coefficients at the finite points and at infinity."""
    return *(tuple(a ** k for k in range(size)) for a in finite), tuple(Fraction(k == size - 1) for k in range(size))


def from_roots(roots, size):
    """The `size` coefficients, lowest first, of the polynomial with these roots."""
    polynomial = [Fraction(1)] + [Fraction(0)] * (size - 1)
    for root in roots:
        polynomial = [below - root * c for below, c in zip([Fraction(0)] + polynomial, polynomial)]
    return tuple(polynomial)


# frames to frequencies and back

class Tiles:
    """Tiles of frames, one every `step` pixels, to frequencies: down the columns by one matrix, along the rows by another.

    Two generated loops on the CPU. Elsewhere windows and one product with the Kronecker product of the matrices, which is the same.
    """

    def __init__(self, down, along, step):
        self.down, self.along, self.frequencies = down, along, len(down) * len(along)
        self.kernels = functools.cache(lambda dtype: compile_source("tiles", tile_source(down, along, step, dtype)))

    def gather(self, x, v, channel, g):
        """Write the frequencies of the frames x (B,H,W,C) to the channels from `channel` on of v (F, B rows columns, D)."""
        if array_module(x) is not np:
            return self.gather_by_product(x, v, channel, g)
        x, kernel = np.ascontiguousarray(x), self.kernels(x.dtype.name).gather
        share(lambda first, last: kernel(first, last, x, v, channel, *g.out, *g.before), len(x))

    def scatter(self, v, x, channel, g, begin):
        """The transpose of gather: from v to x, which is zero before where tiles overlap. `begin` (C,) is added to every pixel."""
        if array_module(x) is not np:
            return self.scatter_by_product(v, x, channel, g, begin)
        kernel = self.kernels(x.dtype.name).scatter
        share(lambda first, last: kernel(first, last, v, x, channel, *g.out, *g.before, begin), len(x))

    def gather_by_product(self, x, v, channel, g):
        matrix = kronecker(self.down, self.along, x)
        pixels = unfold(x, g).transpose(3, 4, 0, 1, 2, 5).reshape(matrix.shape[1], -1)  # (p0 p1, B rows columns C)
        v[:, :, channel:channel + x.shape[3]] = product(matrix, pixels).reshape(*v.shape[:2], x.shape[3])

    def scatter_by_product(self, v, x, channel, g, begin):
        matrix = kronecker(self.down, self.along, x)
        pixels = product(matrix.T, v[:, :, channel:channel + x.shape[3]].reshape(len(matrix), -1))
        x[...] = fold(pixels.reshape(*g.kernel, len(x), *g.out, x.shape[3]).transpose(2, 3, 4, 0, 1, 5), g) + begin


@functools.cache
def tiles(kernel, m):
    """(Tiles of the input, Tiles of the output) for a kernel (kh, kw) and output tiles of m x m."""
    (a0, _, b0), (a1, _, b1) = [toom_cook(m, k) for k in kernel]
    return Tiles(b0, b1, m), Tiles(a0, a1, m)


def tile_grids(g, m):
    """Where the input tiles and the output tiles of the stride-1 convolution on `g` lie; those at the edge reach over it."""
    count = tuple(-(-n // m) for n in g.out)
    after = tuple(c * m + k - 1 - b - n for c, k, b, n in zip(count, g.kernel, g.before, g.size))
    return (Grid(g.size, tuple(m + k - 1 for k in g.kernel), m, 1, g.before, after, count),
            Grid(g.out, (m, m), m, 1, (0, 0), tuple(c * m - n for c, n in zip(count, g.out)), count))


def kronecker(down, along, like):
    """(n0 n1, p0 p1): both matrices in one, for pixels in one row, with the dtype and on the device of the array `like`."""
    return constant(down, along, like.dtype, device_of(like), array_module(like))


@functools.cache
def constant(down, along, dtype, device, xp):
    return xp.asarray(np.kron(np.array(down, np.float64), np.array(along, np.float64)).astype(dtype))


# convolution and its gradients, on arrays

AT_ONCE = 256  # tiles: enough for matrix products at full speed, few enough to stay in the cache between the steps


def convolve(parts, u, b, g, m):
    """y (B,H',W',K) of frames (B,H,W,C), one or several side by side, weights as frequencies u (F,C,K), and b (K,) or None."""
    xp, (of_x, of_y), (x_grid, y_grid) = array_module(u), tiles(g.kernel, m), tile_grids(g, m)
    y = xp.empty((len(parts[0]), *g.out, u.shape[2]), u.dtype)
    b = xp.zeros(u.shape[2], u.dtype) if b is None else b
    for some in slices(len(y), x_grid):
        v = gather_all(of_x, [part[some] for part in parts], x_grid)
        of_y.scatter(products(v, u, xp.empty((*v.shape[:2], u.shape[2]), u.dtype)), y[some], 0, y_grid, b)
    return y


def pull_back(dy, parts, u, g, m):
    """(du, dx of each part) from dy: the steps of `convolve` transposed, from the last to the first. V costs little to make again."""
    xp, (of_x, of_y), (x_grid, y_grid) = array_module(u), tiles(g.kernel, m), tile_grids(g, m)
    dparts, du = [xp.zeros(part.shape, u.dtype) for part in parts], None
    for some in slices(len(dy), x_grid):
        v, dm = gather_all(of_x, [part[some] for part in parts], x_grid), gather_all(of_y, [dy[some]], y_grid)
        more = products(v.swapaxes(1, 2), dm, xp.empty(u.shape, u.dtype))
        du = more if du is None else du + more
        dv = products(dm, u.swapaxes(1, 2), v)  # V has done its work
        for dpart, channel in zip(dparts, first_channels(parts)):
            of_x.scatter(dv, dpart[some], channel, x_grid, xp.zeros(dpart.shape[3], u.dtype))
    return du, dparts


def slices(batch, g):
    """The batch in slices of about AT_ONCE tiles."""
    step = max(1, AT_ONCE // (g.out[0] * g.out[1]))
    return [slice(first, first + step) for first in range(0, batch, step)]


def gather_all(of, parts, g):
    """The frequencies (F,tiles,C) of frames side by side."""
    x = parts[0]
    v = array_module(x).empty((of.frequencies, len(x) * g.out[0] * g.out[1], sum(part.shape[3] for part in parts)), x.dtype)
    for part, channel in zip(parts, first_channels(parts)):
        of.gather(part, v, channel, g)
    return v


def first_channels(parts):
    """Where the channels of each part begin when the parts lie side by side."""
    return [sum(part.shape[3] for part in parts[:i]) for i in range(len(parts))]


def products(a, b, out):
    """A matrix product for each frequency: (F,T,C), (F,C,K) -> out (F,T,K)"""
    xp = array_module(a)
    if xp is not np or NUMPY_CAME_FIRST:
        return xp.matmul(a, b, out=out)
    share(lambda first, last: np.matmul(a[first:last], b[first:last], out=out[first:last]), len(a))
    return out


# the ops

def weight_matrix(kernel, tile, like):
    """G (x) G: (F, kh kw)"""
    return kronecker(*(toom_cook(tile, k)[1] for k in kernel), like)


@op(w=lambda du, w_shape, tile: product(weight_matrix(w_shape[:2], tile, du).T, du.reshape(len(du), -1)).reshape(w_shape))
def winograd_weights(w, *, tile):
    """Weights (kh,kw,C,K) as the frequencies (F,C,K) that winograd_conv takes. An op of its own: where many convolutions share
    weights, their gradients are summed as frequencies and transformed back once. tile: m, the same as there."""
    return product(weight_matrix(w.shape[:2], tile, w), w.reshape(w.shape[0] * w.shape[1], -1)).reshape(-1, *w.shape[2:])


def conv_rule(dy, inputs, kernel, tile, padding):
    u, b, *parts = inputs
    du, dparts = pull_back(dy, parts, u, grid(parts[0].shape[1:3], kernel, padding=padding), tile)
    return [du, None if b is None else dy.sum(axis=(0, 1, 2)), *dparts]


@op(inputs=conv_rule)
def winograd_conv(*inputs, kernel, tile, padding="same"):
    """winograd_conv(u, b, x, h, ...): conv2d with stride 1 of the frames x, h, ... side by side, which are never copied together.

    u (F,C,K) from winograd_weights with the same `tile`, kernel (kh,kw), b (K,) or None; the channels of x, h, ... add up to C.
    -> (B,H',W',K). Raises ShapeError where the shapes do not fit.
    """
    u, b, *parts = inputs
    if (u.ndim != 3 or not parts or any(part.ndim != 4 or part.shape[:3] != parts[0].shape[:3] for part in parts)
            or u.shape[:2] != ((tile + kernel[0] - 1) * (tile + kernel[1] - 1), sum(part.shape[3] for part in parts))
            or (b is not None and b.shape != u.shape[2:])):
        raise ShapeError(f"winograd_conv: expected u (F,C,K), b (K,) or None and frames of C channels together, got u {u.shape}, "
                         f"b {None if b is None else b.shape}, frames {[part.shape for part in parts]}, kernel {kernel}, tile {tile}")
    return convolve(parts, u, b, grid(parts[0].shape[1:3], kernel, padding=padding), tile)


sharing = ContextVar("sharing", default=None)


@contextlib.contextmanager
def shared_weights():
    """Within `with shared_weights():` the same weights are transformed once: for the steps of a sequence, while nothing changes them."""
    token = sharing.set({})
    try:
        yield
    finally:
        sharing.reset(token)


def frequencies_of(w, tile):
    """winograd_weights(w), or what it was the last time within shared_weights."""
    known, key = sharing.get(), (id(w), tile, recording.get())
    if known is None:
        return winograd_weights(w, tile=tile)
    if key not in known:
        known[key] = winograd_weights(w, tile=tile), w  # w is kept, so that its id stays its own
    return known[key][0]


# which form

MEASURED = "measured"
forced = ContextVar("forced", default=MEASURED)


@contextlib.contextmanager
def force_tile(m):
    """Within `with force_tile(m):` convolutions of stride 1 take output tiles of m x m, or for None the direct form."""
    token = forced.set(m)
    try:
        yield
    finally:
        forced.reset(token)


def choose_tile(g, batch, channels, features, dtype):
    """The tile m for a convolution on the grid `g`, or None where the direct form costs less or is asked for; float64 takes the direct
    form, so that references are exact.

    Cost is counted in multiplications of the matrix product. As measured, an element that is transformed costs as much as 20 of them
    (with some 30 channels' worth of overhead for each tile), one that is copied to a matrix of windows 15, and calls 8 million.
    """
    if g.stride > 1 or g.dilation > 1 or (forced.get() == MEASURED and dtype != np.float32):
        return None
    if forced.get() != MEASURED:
        return forced.get()
    costs = {None: batch * np.prod(g.out + g.kernel) * channels * (features + 15)}
    for m in range(2, 10 - max(g.kernel)):
        of_x, count = tiles(g.kernel, m)[0], batch * np.prod(tile_grids(g, m)[0].out)
        costs[m] = of_x.frequencies * count * (channels * features + 20 * (channels + features + 30)) + 8e6
    return min(costs, key=costs.get)
