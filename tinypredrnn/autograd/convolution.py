"""Convolution as linear algebra: a matrix of windows times the weights. Its gradients are transposes.

One bilinear form gives three maps:

    correlate     (x, w)  -> y        the convolution
    transposed    (y, w)  -> x        its transpose with respect to x
    pair          (x, y)  -> w        its transpose with respect to w

So the rules of conv2d are `transposed` and `pair`, and those of conv2d_transpose are `correlate` and `pair`. Frames are
(B,H,W,C), weights (kh,kw,C,K). The matrix of windows is kh * kw times as large as x, so it is never kept for backward.
"""

import contextlib
import functools
import math
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np

from tinypredrnn.autograd.arrays import broadcast_to, concat, flat, pad, reshape
from tinypredrnn.autograd.engine import recording, recording_as
from tinypredrnn.autograd.grid import fold, grid, unfold
from tinypredrnn.autograd.implicit import implicit_conv
from tinypredrnn.autograd.kinds import COUNT, PADDING, SIDES, SIZE, brief
from tinypredrnn.autograd.op import op
from tinypredrnn.autograd.products import counter, product
from tinypredrnn.autograd.tensor import Tensor
from tinypredrnn.autograd.toom_cook import longest_sum
from tinypredrnn.autograd.winograd import cost, winograd_conv, winograd_weights
from tinypredrnn.backend import device_of
from tinypredrnn.errors import ConfigError, ShapeError
from tinypredrnn.gpu import has_tensor_cores

# the linear maps, on arrays

def window_rows(x, g):
    """(B,H,W,C) -> (B H' W', kh kw C), a copy"""
    return unfold(x, g).reshape(len(x) * math.prod(g.out), math.prod(g.kernel) * x.shape[3])


def correlate(x, w, g):
    """(B,H,W,C), (kh,kw,C,K) -> (B,H',W',K)"""
    rows = window_rows(x, g)
    return product(rows, w.reshape(-1, w.shape[-1])).reshape(len(x), *g.out, w.shape[-1])


def transposed(y, w, g):
    """(B,H',W',K), (kh,kw,C,K) -> (B,H,W,C)"""
    windows = product(flat(y), w.reshape(-1, w.shape[-1]).T)  # (B H' W', kh kw C)
    return fold(windows.reshape(len(y), *g.out, *w.shape[:3]), g)


def pair(x, y, g):
    """(B,H,W,C), (B,H',W',K) -> (kh,kw,C,K)"""
    rows = window_rows(x, g)
    return product(rows.T, flat(y)).reshape(*g.kernel, x.shape[-1], y.shape[-1])


# the ops

def sum_to_bias(dy):
    """(B,H,W,K) -> (K,)"""
    return flat(dy).sum(axis=0)


def frame_grid(x_shape, w_shape, stride, padding, dilation):
    return grid(x_shape[1:3], w_shape[:2], stride, dilation, padding)


@op(x=lambda dy, w, x_shape, w_shape, stride, padding, dilation:
        transposed(dy, w, frame_grid(x_shape, w_shape, stride, padding, dilation)),
    w=lambda dy, x, x_shape, w_shape, stride, padding, dilation:
        pair(x, dy, frame_grid(x_shape, w_shape, stride, padding, dilation)),
    b=sum_to_bias)
def direct_conv(x, w, b=None, *, stride: COUNT = 1, padding: PADDING = "same", dilation: COUNT = 1):
    """conv2d by windows and one matrix product, for any stride and dilation."""
    y = correlate(x, w, frame_grid(x.shape, w.shape, stride, padding, dilation))
    if b is not None:
        y += b
    return y


def conv2d(x, w, b=None, *, stride=1, padding="same", dilation=1):
    """Slide a kernel over frames: y[n,p,q,k] = sum over i,j,c of w[i,j,c,k] x[n, p stride + i dilation, q stride + j
    dilation, c] + b[k].

    x (B,H,W,C), or several in a tuple whose channels lie side by side; w (kh,kw,C,K), b (K,) or None -> (B,H',W',K).
    padding "same" keeps H' = ceil(H / stride), "valid" adds no zeros, a number adds that many on each side. The
    algorithm is chosen by its estimated cost, see `convolution_by`; in float32 the norm of the error stays below 1e-5
    of that of the result. Raises ShapeError if the shapes do not fit, ConfigError for an impossible option.
    """
    parts = x if isinstance(x, tuple) else (x,)
    shapes, w_shape = tuple([getattr(part, "shape", ()) for part in parts]), getattr(w, "shape", ())
    stride, dilation = COUNT(stride, "conv2d", "stride"), COUNT(dilation, "conv2d", "dilation")
    padding = PADDING(padding, "conv2d", "padding")
    b_shape = None if b is None else b.shape if hasattr(b, "shape") else brief(b)  # the latter for the error
    g = fitting_grid(shapes, w_shape, b_shape, stride, padding, dilation)
    return choose(g, parts, w, b)(parts, w, b, stride=stride, padding=padding, dilation=dilation)


@functools.lru_cache(1000)
def fitting_grid(shapes, w_shape, b_shape, stride, padding, dilation):
    """The grid of a convolution of parts of these shapes; ShapeError if the shapes do not fit."""
    if (any(len(shape) != 4 or shape[:3] != shapes[0][:3] for shape in shapes) or len(w_shape) != 4
            or sum(shape[3] for shape in shapes) != w_shape[2] or 0 in w_shape[2:]
            or b_shape not in (None, w_shape[3:])):
        raise ShapeError("conv2d: expected x (B,H,W,C), w (kh,kw,C,K) with C and K from 1, and b (K,) or None, got "
                         f"x {' beside '.join(map(str, shapes))}, w {w_shape} and b {b_shape}")
    return frame_grid(shapes[0], w_shape, stride, padding, dilation)


# which algorithm

@dataclass(frozen=True)
class Direct:
    """Windows and one matrix product. On a GPU cuBLAS multiplies."""

    def __call__(self, parts, w, b, stride, padding, dilation):
        return direct_conv(parts[0] if len(parts) == 1 else concat(*parts), w, b, stride=stride, padding=padding,
                           dilation=dilation)


@dataclass(frozen=True)
class Winograd:
    """Winograd's transforms, for stride and dilation 1, with output tiles of `tile` x `tile` pixels."""

    tile: int

    def __call__(self, parts, w, b, stride, padding, dilation):
        return winograd_conv(frequencies_of(w, self.tile), b, *parts, kernel=w.shape[:2], tile=self.tile,
                             padding=padding)


@dataclass(frozen=True)
class Implicit:
    """Our own kernel on the tensor cores of a GPU, for stride and dilation 1 and float32."""

    def __call__(self, parts, w, b, stride, padding, dilation):
        return implicit_conv(w, b, *(parts if len(parts) <= 2 else [concat(*parts)]), padding=padding)


@dataclass(frozen=True)
class Interleaved:
    """For a dilation d, "same" padding and an odd kernel: its elements are d pixels apart, so they meet only every d-th
    row and column. Those pixels are a smaller frame, one of d x d, on which the kernel is not dilated.
    """

    def __call__(self, parts, w, b, stride, padding, dilation):
        y = conv2d(tuple([part_by_phase(part, dilation) for part in parts]), w, b)
        return join_phases(y, dilation, parts[0].shape[1:3])


SIDE_BY_SIDE = Winograd(1)  # for a 1x1 kernel: a plain product, which puts parts side by side only while it is computed
asked_for = ContextVar("asked_for", default=None)  # an algorithm, or None for the cheapest one


@contextlib.contextmanager
def convolution_by(algorithm="cheapest", tile=None):
    """Within `with convolution_by("direct"):` convolutions are computed in that way, if they can be.

    cheapest   what is estimated to cost least; float64 takes the direct form, so that references are exact. The default
    direct     windows and one matrix product
    winograd   Winograd's transforms with output tiles of `tile` x `tile` pixels, if the stride is 1
    implicit   our own kernel on a GPU with tensor cores, if the stride is 1

    Raises ConfigError for any other name, and for a tile that is missing or that the algorithm does not have.
    """
    if algorithm not in ("cheapest", "direct", "winograd", "implicit"):
        raise ConfigError(f"convolution_by: expected cheapest, direct, winograd or implicit, got {algorithm!r}")
    if (tile is not None) != (algorithm == "winograd") or tile is not None and (type(tile) is not int or tile < 1):
        raise ConfigError('convolution_by: "winograd" takes the side of its tiles, such as tile=4, and no other '
                          f"algorithm does, got {algorithm!r} with tile={tile!r}")
    token = asked_for.set({"cheapest": None, "direct": Direct(), "winograd": Winograd(tile),
                           "implicit": Implicit()}[algorithm])
    try:
        yield
    finally:
        asked_for.reset(token)


def choose(g, parts, w, b):
    """The algorithm for a convolution on the grid `g` of the frames `parts`, which lie side by side."""
    first, *others = [a.data if isinstance(a, Tensor) else a for a in (*parts, w, b) if a is not None]
    one_dtype = first.dtype.char in "fd" and all(a.dtype == first.dtype for a in others)
    if g.stride > 1 or not one_dtype:  # the others exist for float32 and float64 alone
        return Direct()
    if counter.get():  # the direct form is the common measure of cost
        return Direct()
    if g.dilation > 1:
        same = g.out == g.size and g.before == g.after and all(k % 2 for k in g.kernel)
        fits = same and g.dilation <= min(g.size) and first.dtype == np.float32
        return Interleaved() if fits and asked_for.get() != Direct() else Direct()
    if asked := asked_for.get():
        return asked
    if (device := device_of(first)) != "cpu":
        return Implicit() if first.dtype == np.float32 and has_tensor_cores(device) else Direct()
    if g.kernel == (1, 1):
        return Direct() if len(parts) == 1 else SIDE_BY_SIDE
    if first.dtype != np.float32:
        return Direct()
    return cheapest(g, len(first), sum(part.shape[3] for part in parts), w.shape[3])


def part_by_phase(x, d):
    """Every d-th row and column as a frame of its own: (B,H,W,C) -> (d d B,H/d,W/d,C), padded with zeros at the bottom
    and on the right if d does not divide the sides."""
    down, right = (-n % d for n in x.shape[1:3])
    if down or right:
        x = pad(x, widths=((0, 0), (0, down), (0, right), (0, 0)))
    b, h, w, c = x.shape
    x = x.reshape(b, h // d, d, w // d, d, c).transpose(2, 4, 0, 1, 3, 5)
    return x.reshape(d * d * b, h // d, w // d, c)


def join_phases(y, d, size):
    """The inverse of part_by_phase, for frames of `size` (H, W)."""
    b, h, w, c = y.shape
    y = y.reshape(d, d, b // (d * d), h, w, c).transpose(2, 3, 0, 4, 1, 5).reshape(b // (d * d), h * d, w * d, c)
    return y if y.shape[1:3] == tuple(size) else y[:, :size[0], :size[1]]


@functools.lru_cache(1000)
def cheapest(g, batch, channels, features):
    """The cheapest of the direct form and the tiles whose error in float32 stays within its bound."""
    tiles = [m for m in range(2, 10 - max(g.kernel)) if max(channels, features) <= longest_sum(g.kernel, m)]
    costs = {m: cost(g, m, batch, channels, features) for m in (None, *tiles)}
    m = min(costs, key=costs.get)
    return Winograd(m) if m else Direct()


sharing = ContextVar("sharing", default=None)


@contextlib.contextmanager
def shared_weights():
    """Within `with shared_weights():` the same weights are transformed only once, also if some of the steps are within
    `checkpoint`. For the steps of a sequence: nothing may change the weights meanwhile."""
    token = sharing.set((recording.get(), {}))
    try:
        yield
    finally:
        sharing.reset(token)


def frequencies_of(w, tile):
    """winograd_weights(w), or within shared_weights its result from the last time."""
    if sharing.get() is None:
        return winograd_weights(w, tile=tile)
    mode, known = sharing.get()
    mode = recording.get() and mode  # recorded as the beginning of the block was, since all of it shares them
    key = id(w), tile, bool(mode)
    if key not in known:
        with recording_as(mode):
            known[key] = winograd_weights(w, tile=tile), w  # w is kept, so that no other object can get its id
    return known[key][0]


def image_grid(y_shape, w_shape, stride, padding, dilation, size):
    """The grid of the convolution whose transpose this is."""
    if size is None and padding == "same":
        size = [n * stride for n in y_shape[1:3]]
    elif size is None:
        margin = 0 if padding == "valid" else padding
        size = [(n - 1) * stride + (k - 1) * dilation + 1 - 2 * margin for n, k in zip(y_shape[1:3], w_shape[:2])]
    g = grid(tuple(size), w_shape[:2], stride, dilation, padding)
    if g.out != tuple(y_shape[1:3]):
        raise ShapeError(f"conv2d_transpose: frames of {tuple(size)} would come from {g.out}, not from "
                         f"{tuple(y_shape[1:3])}")
    return g


@op(y=lambda dx, w, y_shape, w_shape, stride, padding, dilation, size:
        correlate(dx, w, image_grid(y_shape, w_shape, stride, padding, dilation, size)),
    w=lambda dx, y, y_shape, w_shape, stride, padding, dilation, size:
        pair(dx, y, image_grid(y_shape, w_shape, stride, padding, dilation, size)),
    b=sum_to_bias)
def conv2d_transpose(y, w, b=None, *, stride: COUNT = 1, padding: PADDING = "same", dilation: COUNT = 1,
                     size: SIZE = None):
    """The transpose of conv2d with respect to x: every pixel of y adds its kernel to the frame. (B,H',W',K),
    (kh,kw,C,K) -> (B,H,W,C)

    Same weights and options as the conv2d that it transposes; b is (C,). `size` (H, W) chooses among the frame sizes
    that a stride maps to the same (H', W'); if it is left out, it is stride times (H', W') for "same", else the
    smallest of them.
    """
    y_shape, w_shape, b_shape = getattr(y, "shape", ()), getattr(w, "shape", ()), getattr(b, "shape", b)
    fits = len(y_shape) == len(w_shape) == 4 and y_shape[3] == w_shape[3] and 0 not in w_shape[2:]
    if not fits or b_shape not in (None, w_shape[2:3]):
        raise ShapeError("conv2d_transpose: expected y (B,H,W,K), w (kh,kw,C,K) with C and K from 1, and b (C,) or "
                         f"None, got y {y_shape}, w {w_shape} and b {brief(b_shape)}")
    x = transposed(y, w, image_grid(y.shape, w.shape, stride, padding, dilation, size))
    return x if b is None else x + b


@op(x=lambda dy, x_shape, kernel, stride, padding, dilation:
    fold(dy, grid(x_shape[1:3], kernel, stride, dilation, padding)))
def windows(x, *, kernel: SIDES, stride: COUNT = 1, padding: PADDING = "same", dilation: COUNT = 1):
    """The neighbourhood of every pixel: (B,H,W,C) -> (B,H',W',kh,kw,C). A weighted sum over (kh,kw) with weights of
    their own for each pixel or each sequence is the dynamic filtering of DFN and CDNA."""
    return unfold(x, grid(frame_shape("windows", x)[1:3], kernel, stride, dilation, padding)).copy()


# changes of resolution, composed of the ops above

def frame_shape(op, x, lead=1):
    """The shape of frames (B,H,W,C), or of (..., H, W, C) if `lead` is None; ShapeError for anything else."""
    shape = getattr(x, "shape", ())
    if len(shape) < 3 or lead is not None and len(shape) != 3 + lead:
        raise ShapeError(f"{op}: expected {'(..., H, W, C)' if lead is None else 'frames (B,H,W,C)'}, got "
                         f"{shape or type(x).__name__}")
    return shape


def max_pool(x, size=2):
    """The largest of each size x size block: (B,H,W,C) -> (B,H/size,W/size,C)"""
    (b, h, w, c), size = frame_shape("max_pool", x), COUNT(size, "max_pool", "size")
    if h % size or w % size:
        raise ShapeError(f"max_pool: frames of {h}x{w} do not divide into blocks of {size}x{size}")
    return x.reshape(b, h // size, size, w // size, size, c).max(axis=(2, 4))


def upsample(x, scale=2):
    """Nearest neighbour: every pixel becomes a scale x scale block. (B,H,W,C) -> (B,H scale,W scale,C)"""
    (b, h, w, c), scale = frame_shape("upsample", x), COUNT(scale, "upsample", "scale")
    x = broadcast_to(reshape(x, shape=(b, h, 1, w, 1, c)), shape=(b, h, scale, w, scale, c))
    return x.reshape(b, h * scale, w * scale, c)


def insert_zeros(x, scale=2):
    """Every pixel at the upper left of a scale x scale block of zeros: MCnet's unpooling. (B,H,W,C) -> (B,H scale,W
    scale,C)"""
    (b, h, w, c), scale = frame_shape("insert_zeros", x), COUNT(scale, "insert_zeros", "scale")
    more = (0, scale - 1)
    x = pad(reshape(x, shape=(b, h, 1, w, 1, c)), widths=((0, 0), (0, 0), more, (0, 0), more, (0, 0)))
    return x.reshape(b, h * scale, w * scale, c)


def space_to_depth(x, patch):
    """Patches as channels: (..., H, W, C) -> (..., H/patch, W/patch, patch patch C), ordered row, column, channel as in
    the authors' code. Works on arrays and on tensors."""
    (*lead, h, w, c), patch = frame_shape("space_to_depth", x, lead=None), COUNT(patch, "space_to_depth", "patch")
    if h % patch or w % patch:
        raise ShapeError(f"space_to_depth: patches of {patch}x{patch} do not tile frames of {h}x{w}: choose a patch "
                         "that divides both")
    n = len(lead)
    x = x.reshape(*lead, h // patch, patch, w // patch, patch, c)
    patches = x.transpose(*range(n), n, n + 2, n + 1, n + 3, n + 4)
    return patches.reshape(*lead, h // patch, w // patch, patch * patch * c)


def depth_to_space(x, patch):
    """The inverse of space_to_depth: (..., H, W, patch patch C) -> (..., H patch, W patch, C)"""
    (*lead, h, w, c), patch = frame_shape("depth_to_space", x, lead=None), COUNT(patch, "depth_to_space", "patch")
    if c % (patch * patch):
        raise ShapeError(f"depth_to_space: {c} channels are not those of patches of {patch}x{patch}: choose a patch "
                         "whose square divides them")
    n, c = len(lead), c // (patch * patch)
    x = x.reshape(*lead, h, w, patch, patch, c)
    return x.transpose(*range(n), n, n + 2, n + 1, n + 3, n + 4).reshape(*lead, h * patch, w * patch, c)
