"""Convolution with fewer multiplications: Toom and Cook's product of polynomials (toom_cook.py), turned into a
convolution by Winograd.

    convolution of d with g      A^T [(G g) . (B^T d)]     n numbers to m, for a kernel g of r elements: n = m + r - 1

In two dimensions this is done along both axes. A tile of n x n pixels then gives m x m pixels of output by n^2
multiplications: for m = 4 and a 5x5 kernel, 64 instead of 400. With channels, each multiplication becomes a sum of
products over them: one matrix product over all tiles for each of n^2 "frequencies".

    V = B^T x B       (F,tiles,C)       gathered from tiles that overlap
    U = G w G^T       (F,C,K)           once for all steps of a sequence, see shared_weights
    M = V U           (F,tiles,K)
    y = A^T M A                         scattered to tiles side by side

All of it is linear in x and in w. So the gradients are these steps transposed: dM = A dy A^T, dV = dM U^T, dU = V^T dM,
dx = B dV B^T and dw = G^T dU G. The dU of many steps of a sequence are one sum of products: see weight_gradient.

The price is accuracy. Terms cancel that a direct convolution never adds, so rounding errors are amplified, by a factor
that follows from the matrices. In float32 the norm of the error of values and gradients stays below 1e-5 of that of the
result: tiles that would exceed this for the given number of channels are not chosen (`longest_sum`), and gradients of
weights are summed in pieces. The error is spread evenly over a tile: next to a pixel of 1e6, even an output that the
kernel does not connect with that pixel is off by a millionth of it. Infinity and NaN spread over the tile, too.

S. Winograd, Arithmetic Complexity of Computations (1980); A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural
Networks (2016).
"""

import functools
import itertools
import math

import numpy as np

from tinypredrnn import threads
from tinypredrnn.autograd.arrays import flat
from tinypredrnn.autograd.grid import Grid, fold, grid, unfold
from tinypredrnn.autograd.kept import keep, keep_as_is, whole
from tinypredrnn.autograd.kinds import COUNT, PADDING, SIDES
from tinypredrnn.autograd.op import NEW, op
from tinypredrnn.autograd.products import product
from tinypredrnn.autograd.tile_source import tile_source
from tinypredrnn.autograd.toom_cook import longest_sum, toom_cook
from tinypredrnn.backend import array_module, device_of
from tinypredrnn.compiled import compile_source
from tinypredrnn.errors import ShapeError
from tinypredrnn.threads import scratch, share

# frames to frequencies and back

class Transform:
    """Tiles of frames, one every `step` pixels, to frequencies: down the columns by one matrix, along the rows by
    another.

    On the CPU by two generated loops; elsewhere by windows and one product with the Kronecker product of the matrices,
    which is the same.
    """

    def __init__(self, down, along, step):
        self.down, self.along, self.frequencies = down, along, len(down) * len(along)
        self.kernels = functools.cache(lambda char: compile_source("tiles",
                                                                   tile_source(down, along, step, np.dtype(char).name)))
        self.matrix = functools.cache(lambda char, device, xp: kronecker(down, along, char, xp))

    def gather(self, parts, name, g):
        """The frequencies (F, B rows columns, D) of frames (B,H,W,C), one or several with their channels side by
        side."""
        x, (*channels, width) = parts[0], first_channels(parts)
        v = buffer(array_module(x), name, (self.frequencies, len(x) * g.out[0] * g.out[1], width), x.dtype)
        if array_module(x) is np:
            parts, kernel = [np.ascontiguousarray(part) for part in parts], self.kernels(x.dtype.char).gather
            share(lambda first, last: [kernel(first, last, part, v, channel, *g.out, *g.before)
                                       for part, channel in zip(parts, channels)],
                  len(x) * g.out[0], TRANSFORMED * v.size)
        else:
            matrix = self.matrix(x.dtype.char, device_of(x), array_module(x))
            for part, channel in zip(parts, channels):
                # (p0 p1, B rows columns C)
                pixels = unfold(part, g).transpose(3, 4, 0, 1, 2, 5).reshape(matrix.shape[1], -1)
                v[:, :, channel:channel + part.shape[3]] = (matrix @ pixels).reshape(*v.shape[:2], part.shape[3])
        return v

    def scatter(self, v, parts, g, begin=None):
        """The transpose of gather: from v to the frames in `parts`, which must be zero before if tiles overlap. If they
        do not, `begin` (C,) is added to every pixel."""
        channels = first_channels(parts)[:-1]
        if array_module(v) is np:
            kernel = self.kernels(v.dtype.char).scatter  # rows of tiles overlap, so each thread takes whole samples
            begin = np.zeros(v.shape[2], v.dtype) if begin is None else begin

            def work(first, last):
                for part, channel in zip(parts, channels):
                    kernel(first * g.out[0], last * g.out[0], v, part, channel, *g.out, *g.before, begin)

            share(work, len(parts[0]), TRANSFORMED * v.size)
        else:
            matrix = self.matrix(v.dtype.char, device_of(v), array_module(v))
            for part, channel in zip(parts, channels):
                pixels = matrix.T @ v[:, :, channel:channel + part.shape[3]].reshape(len(matrix), -1)
                windows = pixels.reshape(*g.kernel, len(part), *g.out, part.shape[3]).transpose(2, 3, 4, 0, 1, 5)
                part[...] = fold(windows, g) + (0 if begin is None else begin)


@functools.cache
def transforms(kernel, m):
    """(Transform of the input, Transform of the output) for a kernel (kh, kw) and output tiles of m x m."""
    (a0, _, b0), (a1, _, b1) = [toom_cook(m, k) for k in kernel]
    return Transform(b0, b1, m), Transform(a0, a1, m)


@functools.lru_cache(1000)
def tile_grids(g, m):
    """Where the input tiles and the output tiles of the stride-1 convolution on `g` lie; those at the edge reach beyond
    it."""
    count = tuple(-(-n // m) for n in g.out)
    after = tuple(c * m + k - 1 - b - n for c, k, b, n in zip(count, g.kernel, g.before, g.size))
    return (Grid(g.size, tuple(m + k - 1 for k in g.kernel), m, 1, g.before, after, count),
            Grid(g.out, (m, m), m, 1, (0, 0), tuple(c * m - n for c, n in zip(count, g.out)), count))


def kronecker(down, along, dtype, xp):
    """(n0 n1, p0 p1): both matrices in one, for the pixels of a tile in one row."""
    return xp.asarray(np.kron(np.array(down, np.float64), np.array(along, np.float64)).astype(dtype))


# convolution and its gradients, on arrays

def convolve(frames, u, b, g, m):
    """y (B,H',W',K) of frames (B,H,W,C), one or several side by side, weights as frequencies u (F,C,K), and b (K,) or
    None."""
    xp, (of_x, of_y), (x_grid, y_grid) = array_module(u), transforms(g.kernel, m), tile_grids(g, m)
    y = xp.empty((len(frames[0]), *g.out, u.shape[2]), u.dtype)

    def steps(some):
        v = of_x.gather([x[some] for x in frames], "v", x_grid)  # (F,tiles,C)
        products = buffer(xp, "m", (*v.shape[:2], u.shape[2]), u.dtype)  # (F,tiles,K)
        # a lambda, since CuPy takes `out` by name only
        each_frequency(lambda v, u, out: xp.matmul(v, u, out=out), v.size * u.shape[2], v, u, products)
        of_y.scatter(products, [y[some]], y_grid, b)

    by_samples(steps, len(y), x_grid, u)
    return y


def frame_gradients(dy, frames, u, g, m, wanted):
    """dx (B,H,W,C) of each of the frames, from dy (B,H',W',K): the steps of `convolve` transposed, from the last to the
    first. None for frames before the first and after the last that are `wanted`."""
    if not any(wanted):
        return [None] * len(frames)
    xp, (of_x, of_y), (x_grid, y_grid) = array_module(u), transforms(g.kernel, m), tile_grids(g, m)
    first, last = wanted.index(True), len(wanted) - wanted[::-1].index(True)
    channels = first_channels(frames)
    u = u[:, channels[first]:channels[last]]
    dframes = [xp.zeros(x.shape, u.dtype) for x in frames[first:last]]

    def steps(some):
        dm = of_y.gather([dy[some]], "m", y_grid)  # (F,tiles,K)
        dv = buffer(xp, "v", (*dm.shape[:2], u.shape[1]), u.dtype)  # (F,tiles,C)
        each_frequency(lambda dm, u, out: xp.matmul(dm, u.swapaxes(1, 2), out=out), dm.size * u.shape[1], dm, u, dv)
        of_x.scatter(dv, [dx[some] for dx in dframes], x_grid)

    by_samples(steps, len(dy), x_grid, u)
    return [None] * first + dframes + [None] * (len(frames) - last)


def weight_gradient(uses, du=None, last=True):
    """du (F,C,K): the sum over `uses` (dy, frames, grid, m) of these weights, added to du if it is given; dy and frames
    as kept.py keeps them. V is computed again, which costs little. What has been summed is taken out of the list: if
    the uses are not the `last`, those stay that others may join, so that the sum is the same in the end."""
    dy, frames, g, m = uses[0]
    shape = transforms(g.kernel, m)[0].frequencies, sum(x.shape[3] for x in frames), dy.shape[3]
    if du is None:
        dy = whole(dy)
        du = array_module(dy).zeros(shape, dy.dtype)
    while uses and (last or len(uses) > joined(uses, shape)):
        count = joined(uses, shape)
        dys, frames, (g, *_), (m, *_) = zip(*uses[:count])
        dy, frames = join(dys), [join(x) for x in zip(*frames)]
        del uses[:count], dys
        (of_x, of_y), (x_grid, y_grid) = transforms(g.kernel, m), tile_grids(g, m)
        step = samples_in_a_sum(x_grid, shape, g, m)
        for some in [slice(first, first + step) for first in range(0, len(dy), step)]:
            v = of_x.gather([x[some] for x in frames], "v", x_grid)  # (F,tiles,C)
            dm = of_y.gather([dy[some]], "m", y_grid)  # (F,tiles,K)
            each_frequency(add_product, v.size * shape[2], v, dm, du)
    return du


def joined(uses, shape):
    """How many uses of one grid are joined along the batch, as one product of many tiles is faster than many of a few:
    a quarter of what fits into one sum, since joining copies."""
    dy, _, g, m = uses[0]
    most = max(1, samples_in_a_sum(tile_grids(g, m)[0], shape, g, m) // max(1, 4 * dy.shape[0]))
    return len(list(itertools.takewhile(lambda use: use[2:] == (g, m), uses[:most])))


def join(arrays):
    """n x (B,...) -> (n B,...), of what was kept of each; the array itself if it is one."""
    arrays = [whole(a) for a in arrays]
    return arrays[0] if len(arrays) == 1 else array_module(*arrays).concatenate(arrays)


def add_product(v, dm, du):
    """du += V^T dM, one frequency after the other, so that each product is added while it is still in the cache."""
    xp = array_module(v)
    one = buffer(xp, "du", du.shape[1:], du.dtype)
    for f in range(len(v)):
        du[f] += xp.matmul(v[f].T, dm[f], out=one)


def by_samples(steps, batch, g, u):
    """steps(slice) on slices of the batch that together are all of it.

    Each thread takes its own samples through all steps: it is woken only once, and each step reads what the step before
    left in the cache. If the samples cannot be divided evenly among the threads, all threads share each step.
    """
    def some(first, last, step):
        for begin in range(first, last, step):
            steps(slice(begin, min(begin + step, last)))

    step = at_once(g, u.shape)
    if array_module(u) is np and batch and batch % threads.THREADS == 0:
        share(lambda first, last: some(first, last, max(1, step // threads.THREADS)), batch,
              batch * g.out[0] * g.out[1] * u.size, with_blas=True)
    else:
        some(0, batch, step)


def each_frequency(work, multiplications, *arrays):
    """work(...) on the arrays, with their frequencies shared among the CPU's threads: each of them reads only its part
    of the weights."""
    if array_module(*arrays) is np:
        share(lambda first, last: work(*(a[first:last] for a in arrays)), len(arrays[0]), multiplications,
              with_blas=True)
    else:
        work(*arrays)


AT_ONCE = 8 << 20  # numbers in V and M: enough tiles for products at full speed, few enough to stay in the cache


def at_once(g, shape):
    """How many samples make about AT_ONCE numbers in V and M, for weights (F,C,K) = `shape` and tiles on the grid
    `g`."""
    return max(1, AT_ONCE // (g.out[0] * g.out[1] * shape[0] * sum(shape[1:])))


def samples_in_a_sum(x_grid, shape, g, m):
    """How many samples' tiles are summed in one product for a gradient of weights: as many as are fast and accurate
    enough."""
    return max(1, min(at_once(x_grid, shape), longest_sum(g.kernel, m) // (x_grid.out[0] * x_grid.out[1])))


def buffer(xp, name, shape, dtype):
    """Memory for intermediate results; a GPU's pool gives it at no cost."""
    return scratch(name, shape, dtype) if xp is np else xp.empty(shape, dtype)


def first_channels(parts):
    """Where the channels of each part begin if the parts lie side by side, and how many channels there are in all."""
    return [0, *itertools.accumulate(part.shape[3] for part in parts)]


# The costs of a convolution besides its products, in multiplications of a matrix product that take as long, as measured
# once on two cores. Only the choice between algorithms depends on these numbers.
TRANSFORMED = 20  # for each number that is transformed to frequencies or back
TILE = 30  # for each tile that is transformed: as much as for this many more channels
COPIED = 15  # for each number that is copied to the matrix of windows
CALLED = 8e6  # for calling all of it


def cost(g, m, batch, channels, features):
    """The cost of a convolution on the grid `g` with tiles of m x m (None: direct), in multiplications of a matrix
    product."""
    if m is None:
        return batch * math.prod(g.out + g.kernel) * channels * (features + COPIED)
    of_x, count = transforms(g.kernel, m)[0], batch * math.prod(tile_grids(g, m)[0].out)
    return of_x.frequencies * count * (channels * features + TRANSFORMED * (channels + features + TILE)) + CALLED


# the ops

def weight_matrix(kernel, tile, like):
    """G (x) G: (F, kh kw), of the dtype and on the device of the array `like`"""
    return weight_matrix_for(kernel, tile, like.dtype.char, device_of(like), array_module(like))


@functools.cache
def weight_matrix_for(kernel, tile, dtype, device, xp):
    return kronecker(*(toom_cook(tile, k)[1] for k in kernel), dtype, xp)


@op(NEW, w=lambda du, w_shape, tile:
    product(weight_matrix(w_shape[:2], tile, du).T, du.reshape(len(du), -1)).reshape(w_shape))
def winograd_weights(w, *, tile: COUNT):
    """Weights (kh,kw,C,K) as the frequencies (F,C,K) that winograd_conv takes. It is an op of its own so that, if many
    convolutions share weights, their gradients are summed as frequencies and transformed back once. tile: m, the same
    as there."""
    u = product(weight_matrix(w.shape[:2], tile, w), w.reshape(w.shape[0] * w.shape[1], -1)).reshape(-1, *w.shape[2:])
    keep_as_is(u)
    return u


def conv_rule(dy, inputs, inputs_into, kernel, tile, padding):
    u, b, *frames = inputs
    g = grid(frames[0].shape[1:3], kernel, padding=padding)
    if inputs_into[0]:
        inputs_into[0].defer(weight_gradient, (keep(dy), [keep(x) for x in frames], g, tile))
    wanted = [into is not None for into in inputs_into[2:]]  # the frames of a data set are constants
    return [None, None if b is None else flat(dy).sum(axis=0), *frame_gradients(dy, frames, u, g, tile, wanted)]


@op(NEW, inputs=conv_rule)
def winograd_conv(*inputs, kernel: SIDES, tile: COUNT, padding: PADDING = "same"):
    """winograd_conv(u, b, x, h, ...): conv2d with stride 1 of the frames x, h, ... side by side, which are never copied
    together.

    u (F,C,K) from winograd_weights with the same `tile`, kernel (kh,kw), b (K,) or None; the channels of x, h, ... add
    up to C. -> (B,H',W',K). Raises ShapeError if the shapes do not fit.
    """
    u, b, *frames = *inputs, *[None] * (2 - len(inputs))
    u_shape, b_shape, *shapes = [getattr(x, "shape", ()) for x in (u, b, *frames)]
    if (len(u_shape) != 3 or not frames or any(len(shape) != 4 or shape[:3] != shapes[0][:3] for shape in shapes)
            or u_shape[:2] != ((tile + kernel[0] - 1) * (tile + kernel[1] - 1), sum(shape[3] for shape in shapes))
            or (b is not None and b_shape != u_shape[2:])):
        raise ShapeError("winograd_conv: expected u (F,C,K) of winograd_weights with the same kernel and tile, b (K,) "
                         f"or None and frames (B,H,W,...) of C channels together, got u {u_shape}, b "
                         f"{None if b is None else b_shape}, frames {shapes}, kernel {kernel}, tile {tile}")
    return convolve(frames, u, b, grid(frames[0].shape[1:3], kernel, padding=padding), tile)
