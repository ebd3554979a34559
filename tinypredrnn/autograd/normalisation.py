"""Ops that make numbers comparable: `softmax` gives a group of them the sum 1, `normalise` mean 0 and variance 1.

Each number of the result depends on its whole group. So array by array, these ops move memory again and again: a mean,
a difference, its square, another mean. On the CPU, the kernels of group_kernels.py take one group after the other, all
of whose passes then find it in the cache. The array form serves GPUs, axes that the kernels do not read, and
`unfused`, as the reference that the kernels are tested against.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from tinypredrnn.autograd.fuse import fusing
from tinypredrnn.autograd.kinds import AXES, NUMBER_FROM_0
from tinypredrnn.autograd.op import NEW, Op, op
from tinypredrnn.backend import array_module
from tinypredrnn.errors import ShapeError
from tinypredrnn.threads import scratch, share

COST = 64  # of one element, in multiplications of a matrix product; it decides how many threads to use


def has_kernels(*arrays):
    """Whether there are kernels for these: arrays in memory, with one dtype, float32 or float64."""
    dtype = arrays[0].dtype
    return (fusing.get() and dtype in (np.float32, np.float64)
            and all(type(a) is np.ndarray and a.dtype == dtype for a in arrays))


def kernels():
    """The module of the kernels, imported when it is needed, since it waits for numba."""
    from tinypredrnn.autograd import group_kernels

    return group_kernels


# softmax: each row of (N, n) is a group

CHUNK = 1 << 14  # elements that stay in the cache from one pass to the next


def in_rows(x, axis):
    """Whether the kernels read x: its groups must lie along the last axis."""
    return has_kernels(x) and x.size > 0 < x.ndim and axis in (-1, (-1,), x.ndim - 1, (x.ndim - 1,))


def by_chunks(work, *arrays):
    """A new array y, made by work(*arrays, y), which gets a few rows at a time; they are shared among the threads."""
    y = np.empty(arrays[0].shape, arrays[0].dtype)
    rows = [np.ascontiguousarray(a).reshape(-1, y.shape[-1]) for a in (*arrays, y)]
    step = max(1, CHUNK // y.shape[-1])

    def some(first, last):
        for start in range(first, last, step):
            work(*[a[start:min(start + step, last)] for a in rows])

    share(some, len(rows[0]), COST * y.size)
    return y


def max_to_0(x, axis):
    """x minus the largest of its group, so that exp does not overflow"""
    return x - x.max(axis=axis, keepdims=True)


def exp_of(x, y):
    """y = exp(x) for numbers up to 0. Not in place: a loop that reads where it has just written is not vectorised."""
    if x.dtype == np.float32:
        kernels().exp_of(x, y)
    else:
        np.exp(x, out=y)
    return y


def softmax_rows(x, y):
    shifted = scratch("softmax", y.shape, y.dtype)
    kernels().max_to_0(x, shifted)
    kernels().divide_by_sum(exp_of(shifted, y))


def softmax_rule(dy, y, axis):
    if in_rows(y, axis) and has_kernels(y, dy):
        return by_chunks(kernels().softmax_rule, dy, y)
    return y * (dy - (dy * y).sum(axis=axis, keepdims=True))


@op(NEW, x=softmax_rule)
def softmax(x, *, axis: AXES = -1):
    """exp(x) / sum(exp(x)) along `axis`."""
    xp, x = array_module(x), array_module(x).asarray(x)
    if x.size == 0:
        return x.copy()  # an empty array has no largest element
    if in_rows(x, axis):
        return by_chunks(softmax_rows, x)
    y = xp.exp(max_to_0(x, axis))
    return y / y.sum(axis=axis, keepdims=True)


@op(x=lambda dy, y, axis: dy - array_module(y).exp(y) * dy.sum(axis=axis, keepdims=True))
def log_softmax(x, *, axis: AXES = -1):
    """log(softmax(x)), finite even if softmax underflows. It has no kernel, since no network here computes it."""
    xp, x = array_module(x), array_module(x).asarray(x)
    if x.size == 0:
        return x.copy()
    x = max_to_0(x, axis)
    return x - xp.log(xp.exp(x).sum(axis=axis, keepdims=True))


# normalise: the kernels read arrays as (blocks, rows, columns)

SMALL, SHORT = 128, 8  # groups and rows of fewer elements are left to the array form, which is quicker then


class Layout(NamedTuple):
    """How an array is read as (blocks, rows, columns): a group is a whole block, or else each column of a block."""

    blocks: int
    rows: int
    columns: int
    whole: bool


@functools.lru_cache(1000)
def layout_of(shape, axis):
    """The Layout of an array whose groups lie along `axis`, or None if the kernels do not read it: its axes must lie
    side by side, and groups and rows be long enough that the kernels are quick. The length of a row is a multiple of
    the last axis's."""
    n = len(shape)
    axes = range(n) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = sorted(k % n if -n <= k < n else n for k in axes)
    if 0 in shape or not axes or axes[-1] == n or axes != list(range(axes[0], axes[-1] + 1)):
        return None
    blocks, inside, columns = (math.prod(part) for part in (shape[:axes[0]], shape[axes[0]:axes[-1] + 1],
                                                            shape[axes[-1] + 1:]))
    if axes[-1] < n - 1:
        return Layout(blocks, inside, columns, False) if columns >= SHORT else None
    if inside < SMALL:
        return None
    channels = shape[-1]
    columns = channels * math.gcd(inside // channels, max(1, 64 // channels))
    return Layout(blocks, inside // columns, columns, True)


def layout(x, axis, gain, bias):
    """The Layout of x, or None. The kernels read a gain and a bias that are numbers, or have one for each channel."""
    for a in gain, bias:
        if not (a is None or isinstance(a, (int, float)) or has_kernels(x, a) and a.shape in ((), x.shape[-1:])):
            return None
    return layout_of(x.shape, axis) if has_kernels(x) else None


def blocks_of(a, form):
    return np.ascontiguousarray(a).reshape(form.blocks, form.rows, form.columns)


def for_columns(number_or_channels, form):
    """One number for each column, in float64."""
    return np.resize(np.asarray(number_or_channels, float), form.columns)


def moments(x, axis, eps):
    """x minus its mean, and 1 / its standard deviation, over `axis`."""
    centred = x - x.mean(axis=axis, keepdims=True)
    return centred, 1 / array_module(x).sqrt((centred * centred).mean(axis=axis, keepdims=True) + eps)


def normalise_rule(dy, x, gain, bias, axis, eps):
    """The cotangents of x, gain and bias. That of x is dy times gain, without its components along 1 and along the
    normalised x, since a change of x's mean or scale does not change that, divided by the standard deviation."""
    if (form := layout(x, axis, gain, bias)) and has_kernels(x, dy):
        return normalise_blocks_rule(dy, x, gain, bias, form, eps)
    centred, scale = moments(x, axis, eps)
    y, d = centred * scale, dy if gain is None else dy * gain
    dx = scale * (d - d.mean(axis=axis, keepdims=True) - y * (d * y).mean(axis=axis, keepdims=True))
    return dx, None if gain is None else dy * y, None if bias is None else dy.copy()


def normalise_blocks_rule(dy, x, gain, bias, form, eps):
    dx = np.empty(x.shape, x.dtype)
    # a part from each block, so that their sum does not depend on the number of threads
    dgain, dbias = np.empty((2, form.blocks, 0 if gain is None and bias is None else form.columns))
    dy_blocks, x_blocks, dx_blocks = (blocks_of(a, form) for a in (dy, x, dx))
    gain = for_columns(1 if gain is None else gain, form)

    def work(first, last):
        kernels().normalise_rule(first, last, dy_blocks, x_blocks, gain, dx_blocks, dgain, dbias, eps, form.whole)

    share(work, form.blocks, COST * x.size)
    return dx, *(parts.reshape(-1, x.shape[-1]).sum(axis=0).astype(x.dtype) for parts in (dgain, dbias))


class Normalise(Op):
    """The op with that rule, which gives the cotangents of all inputs at once, because they share most of the work."""

    def __init__(self, forward):
        super().__init__(forward, dict.fromkeys(("x", "gain", "bias"), normalise_rule), (NEW,))

    def pull_back(self, dy, node, into):
        return normalise_rule(dy, **{name: node.value(name) for name in node.saved})[:len(node.parents)]


@Normalise
def normalise(x, gain=None, bias=None, *, axis: AXES, eps: NUMBER_FROM_0 = 1e-5):
    """gain (x - mean) / sqrt(variance + eps) + bias, with mean and variance over `axis`: layer and batch normalisation.

    gain and bias broadcast to x's shape, and may be left out. Raises ShapeError if they do not.
    """
    shapes = [getattr(a, "shape", ()) for a in (x, gain, bias)]
    if np.broadcast_shapes(*shapes) != shapes[0]:
        raise ShapeError(f"normalise: expected a gain and a bias that broadcast to {shapes[0]}, got {shapes[1]} and "
                         f"{shapes[2]}")
    if form := layout(x, axis, gain, bias):
        return normalise_blocks(x, gain, bias, form, eps)
    centred, scale = moments(x, axis, eps)
    y = centred * scale
    if gain is not None:
        y = y * gain
    return y if bias is None else y + bias


def normalise_blocks(x, gain, bias, form, eps):
    y = np.empty(x.shape, x.dtype)
    x_blocks, y_blocks = blocks_of(x, form), blocks_of(y, form)
    gain, bias = for_columns(1 if gain is None else gain, form), for_columns(0 if bias is None else bias, form)

    def work(first, last):
        kernels().normalise(first, last, x_blocks, gain, bias, y_blocks, eps, form.whole)

    share(work, form.blocks, COST * x.size)
    return y
