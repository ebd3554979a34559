"""Ops on whole arrays: reductions, products, changes of shape. The rule of a linear op is its transpose."""

import math

import numpy as np

from tinypredrnn.autograd.kinds import AXES, FLAG, INDEX, SHAPE, WHOLE, WIDTHS
from tinypredrnn.autograd.op import NEW, PIECES, op
from tinypredrnn.autograd.products import counter
from tinypredrnn.backend import array_module
from tinypredrnn.errors import ShapeError


def kept_axes(shape, axis):
    """`shape` with the reduced axes set to 1: the shape in which the reduced array broadcasts back."""
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(1 if k in axes or k - len(shape) in axes else n for k, n in enumerate(shape))


def spread(dy, shape, axis):
    """Repeat the cotangent of a reduction along the axes that were reduced."""
    return array_module(dy).broadcast_to(dy.reshape(kept_axes(shape, axis)), shape)


# reductions

@op(x=lambda dy, x_shape, axis: spread(dy, x_shape, axis))
def sum(x, *, axis: AXES = None, keepdims: FLAG = False):
    """Sum over `axis` (an int, a tuple, or None for all)."""
    return x.sum(axis=axis, keepdims=keepdims)


@op(x=lambda dy, x_shape, axis: spread(dy * (dy.size / (math.prod(x_shape) or 1)), x_shape, axis))
def mean(x, *, axis: AXES = None, keepdims: FLAG = False):
    """Mean over `axis` (an int, a tuple, or None for all). Raises ShapeError for a mean of nothing."""
    if x.size == 0 and math.prod(kept_axes(x.shape, axis)):
        raise ShapeError(f"mean: expected at least one element, got {x.shape}")
    return x.mean(axis=axis, keepdims=keepdims)


def share_among_largest(dy, x, y, axis):
    """The cotangent goes to the largest element, in equal shares if several are largest."""
    largest = x == y.reshape(kept_axes(x.shape, axis))
    return spread(dy, x.shape, axis) * largest / largest.sum(axis=axis, keepdims=True).astype(dy.dtype)


@op(x=share_among_largest)
def max(x, *, axis: AXES = None, keepdims: FLAG = False):
    """The largest element over `axis`."""
    return x.max(axis=axis, keepdims=keepdims)


# products

def flat(x):
    """(..., C) -> (N, C)"""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # NumPy cannot infer a -1 if there are no elements


def matrix_transpose(x):
    """(..., n, m) -> (..., m, n)"""
    return x.swapaxes(-1, -2)


def stacked_product(a, b):
    """a @ b; with a shared (2-D) b it is one large product, not a small one for each leading index."""
    if count := counter.get():
        return count(a, b)
    return (flat(a) @ b).reshape(*a.shape[:-1], b.shape[-1]) if b.ndim == 2 else a @ b


@op(NEW,
    a=lambda dy, b: stacked_product(dy, matrix_transpose(b)),
    b=lambda dy, a, b_shape: flat(a).T @ flat(dy) if len(b_shape) == 2 else matrix_transpose(a) @ dy)
def matmul(a, b):
    """Matrix product: (..., n, k) @ (..., k, m) -> (..., n, m); leading axes broadcast. Raises ShapeError for
    vectors."""
    shapes = [getattr(factor, "shape", ()) for factor in (a, b)]
    if min(map(len, shapes)) < 2 or a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"matmul: expected (..., n, k) @ (..., k, m), got {shapes[0]} @ {shapes[1]}")
    return stacked_product(a, b)


# shapes

@op(x=lambda dy, x_shape: dy.reshape(x_shape))
def reshape(x, *, shape: SHAPE):
    """The same elements in the same order in another shape; one length may be -1."""
    return x.reshape(shape)


@op(x=lambda dy, axes: dy.transpose(sorted(range(dy.ndim), key=lambda k: axes[k] % dy.ndim)))
def transpose(x, *, axes: SHAPE):
    """Axis k of the result is axis axes[k] of x."""
    return x.transpose(axes)


@op(x=lambda dy: dy)
def broadcast_to(x, *, shape: SHAPE):
    """x repeated along new axes and axes of length 1 (its rule is the engine's un-broadcasting)."""
    return array_module(x).broadcast_to(x, shape)


@op(x=lambda dy, x_shape, widths: dy[tuple(slice(before, before + n) for (before, _), n in zip(widths, x_shape))])
def pad(x, *, widths: WIDTHS):
    """Zeros around x: `widths` is a pair (before, after) for each axis."""
    if len(widths) != x.ndim:  # NumPy pads every axis by a single pair
        raise ShapeError(f"pad: expected a pair (before, after) for each axis of {x.shape}, got widths={widths!r}")
    return array_module(x).pad(x, widths)


def put_back(dy, x_shape, index):
    """Zeros of x's shape with dy at the index; an element that was taken several times gets the sum."""
    xp = array_module(dy)
    dx = xp.zeros(x_shape, dy.dtype)
    if all(isinstance(i, (int, slice, type(None), type(Ellipsis)))
           for i in (index if isinstance(index, tuple) else (index,))):
        dx[index] = dy
    else:
        xp.add.at(dx, index, dy)
    return dx


@op(x=put_back)
def take(x, *, index: INDEX):
    """x[index], with whatever NumPy allows as an index."""
    return x[index]


def cut(dy, parts_shape, axis):
    """Cut dy along `axis` into pieces as long as the parts were."""
    ends = [0]
    for shape in parts_shape:
        ends.append(ends[-1] + shape[axis])
    whole = (slice(None),) * (axis % dy.ndim)
    return [dy[(*whole, slice(start, end))] for start, end in zip(ends, ends[1:])]


def concatenate(parts, axis):
    """np.concatenate; on a GPU of at most eight arrays at a time. For more, CuPy first copies their addresses to the
    GPU, which is not possible while a CUDA graph is recorded."""
    xp = array_module(*parts)
    while xp is not np and len(parts) > 8:
        parts = [xp.concatenate(parts[i:i + 8], axis=axis) for i in range(0, len(parts), 8)]
    return xp.concatenate(parts, axis=axis)


@op(parts=cut)
def concat(*parts, axis: WHOLE = -1):
    """Join parts along an axis that they have; their other axes must have equal lengths."""
    return concatenate(parts, axis)


@op(parts=lambda dy, axis: list(array_module(dy).moveaxis(dy, axis, 0)))
def stack(*parts, axis: WHOLE = 0):
    """Join parts of equal shape along a new axis."""
    return concatenate([array_module(*parts).expand_dims(part, axis) for part in parts], axis)


def pieces(x, parts, axis):
    """Views of x, `parts` of equal length along `axis`."""
    width, before = x.shape[axis] // parts, (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, slice(k * width, (k + 1) * width))] for k in range(parts))


@op(NEW, PIECES, x=lambda dy: dy)
def split(x, *, parts: WHOLE, axis: WHOLE = -1):
    """Cut x into `parts` equal pieces along `axis`: split(gates, parts=4) gives i, f, g, o."""
    length = getattr(x, "shape", ())[axis]
    if parts < 1 or length % parts:
        raise ShapeError(f"split: axis {axis} of {x.shape} has length {length}, which is not divisible into {parts} "
                         "parts")
    return pieces(x, parts, axis)
