"""One table of cases: every op of the package, with inputs, options and what NumPy says its value is.

test_ops.py checks values, gradients and dtypes of each; test_backend.py runs them on a strict stand-in for CuPy. A new op needs a case
here, and at least one in which each of its rules runs: test_ops.py fails until it has one.
"""

from typing import Any, NamedTuple

import numpy as np

import tinypredrnn as tp
from tinypredrnn.autograd import Tensor, arrays, maths
from tinypredrnn.autograd.convolution import direct_conv
from tinypredrnn.autograd.toom_cook import toom_cook
from tinypredrnn.autograd.winograd import winograd_conv, winograd_weights
from tinypredrnn.backend import device_of, to_device, to_numpy


class Case(NamedTuple):
    """`function(*inputs, **options)` is checked against `reference(*inputs, **options)`."""

    function: Any
    reference: Any
    inputs: tuple  # arrays of floats are differentiated; other arrays, numbers and None are constants
    options: dict
    ties: bool  # whether equal elements of one input are a kink, so that it must not be a broadcast array

    @property
    def name(self):
        return getattr(self.function, "name", None) or self.function.__name__

    @property
    def floats(self):
        return [x for x in self.inputs if is_float(x)]

    def of_floats(self, *floats):
        """The function of the differentiated inputs alone."""
        floats = iter(floats)
        return self.function(*(next(floats) if is_float(x) else x for x in self.inputs), **self.options)

    def with_arrays(self, change):
        """The same case with `change` made to each of its arrays."""
        return self._replace(inputs=tuple(change(x) if isinstance(x, np.ndarray) else x for x in self.inputs))

    def __str__(self):
        inputs = [str(x.shape).replace(" ", "") if isinstance(x, np.ndarray) else str(x) for x in self.inputs]
        return "-".join([self.name, *inputs, *(f"{name}={str(value).replace(' ', '')}" for name, value in self.options.items())])


def is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def case(function, reference, *inputs, ties=False, **options):
    return Case(function, reference, inputs, options, ties)


# inputs: float64, the same in every run

def normal(*shape):
    return np.random.default_rng([1, *shape]).standard_normal(shape)


def positive(*shape):
    return np.random.default_rng([2, *shape]).uniform(0.5, 2, shape)


def spaced(*shape, offset=0.25, step=0.1):
    """Numbers around zero, at least step / 4 from each other, from all multiples of `step` and from those of the other offset: so
    far is every kink of relu, max, clip and their like."""
    count = int(np.prod(shape))
    return np.random.default_rng([3, *shape]).permutation((np.arange(count) - count // 2 + offset) * step).reshape(shape)


def spaced_too(*shape):
    return spaced(*shape, offset=0.75)


def coins(*shape):
    return np.random.default_rng([4, *shape]).random(shape) < 0.5


# what ops are, in plain NumPy or plain loops

def padding_of(n, reach, stride, padding):
    """Zeros before and after an axis of n pixels, and the number of windows on it."""
    if padding == "same":
        out = (n + stride - 1) // stride
        total = max((out - 1) * stride + reach - n, 0)
        return total // 2, total - total // 2, out
    pixels = 0 if padding == "valid" else padding
    return pixels, pixels, (n + 2 * pixels - reach) // stride + 1


def window(x, p, q, kernel, stride, padding, dilation):
    """The pixels under the kernel at output (p, q), zeros outside of the frame: (B,kh,kw,C)"""
    found = np.zeros((len(x), *kernel, x.shape[-1]), x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            row, column = (k * stride + d * dilation - padding_of(n, (r - 1) * dilation + 1, stride, padding)[0]
                           for k, d, r, n in zip((p, q), (i, j), kernel, x.shape[1:3]))
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                found[:, i, j] = x[:, row, column]
    return found


def naive_windows(x, kernel, stride=1, padding="same", dilation=1):
    height, width = (padding_of(n, (r - 1) * dilation + 1, stride, padding)[2] for n, r in zip(x.shape[1:3], kernel))
    return np.stack([np.stack([window(x, p, q, kernel, stride, padding, dilation) for q in range(width)], 1) for p in range(height)], 1)


def naive_conv2d(x, w, b=None, stride=1, padding="same", dilation=1):
    y = np.einsum("npqijc,ijck->npqk", naive_windows(x, w.shape[:2], stride, padding, dilation), w)
    return y if b is None else y + b


def naive_local_filter(x, filters):
    height, width, kernel = *x.shape[1:3], filters.shape[3:]
    return np.stack([np.stack([np.einsum("nij,nijc->nc", filters[:, p, q], window(x, p, q, kernel, 1, "same", 1))
                               for q in range(width)], 1) for p in range(height)], 1)


def naive_winograd_weights(w, tile):
    g0, g1 = (np.array(toom_cook(tile, k)[1], w.dtype) for k in w.shape[:2])
    return np.einsum("ia,jb,abck->ijck", g0, g1, w).reshape(-1, *w.shape[2:])


def naive_winograd_conv(u, b, *parts, kernel, tile):
    """Tile by tile, in the words of winograd.py."""
    x, n = np.concatenate(parts, axis=3), [tile + k - 1 for k in kernel]
    (a0, _, b0), (a1, _, b1) = [[np.array(matrix, x.dtype) for matrix in toom_cook(tile, k)] for k in kernel]
    padded = np.pad(x, ((0, 0), *((k // 2, k + tile) for k in kernel), (0, 0)))
    y = np.zeros((*x.shape[:3], u.shape[2]), x.dtype) + b
    for p in range(0, x.shape[1], tile):
        for q in range(0, x.shape[2], tile):
            d = padded[:, p:p + n[0], q:q + n[1]]
            m = np.einsum("ia,jb,zabc,ijck->zijk", b0, b1, d, u.reshape(*n, *u.shape[1:]))
            place = y[:, p:p + tile, q:q + tile]
            place += np.einsum("ik,jl,zijf->zklf", a0, a1, m)[:, :place.shape[1], :place.shape[2]]
    return y


def naive_conv2d_transpose(y, w, b=None, stride=1, padding="same", dilation=1, size=None):
    """Every pixel of y adds its kernel to a canvas with a wide margin, which is then cut off."""
    reach = [(k - 1) * dilation + 1 for k in w.shape[:2]]
    margin = 0 if padding in ("same", "valid") else padding
    if size is None:
        size = [n * stride if padding == "same" else (n - 1) * stride + r - 2 * margin for n, r in zip(y.shape[1:3], reach)]
    top, left = (padding_of(n, r, stride, padding)[0] for n, r in zip(size, reach))
    canvas = np.zeros((len(y), size[0] + 2 * reach[0] + stride + margin, size[1] + 2 * reach[1] + stride + margin, w.shape[2]), y.dtype)
    for p in range(y.shape[1]):
        for q in range(y.shape[2]):
            for i in range(w.shape[0]):
                for j in range(w.shape[1]):
                    canvas[:, p * stride + i * dilation, q * stride + j * dilation] += y[:, p, q] @ w[i, j].T
    x = canvas[:, top:top + size[0], left:left + size[1]]
    return x if b is None else x + b


def sigmoid(x):
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def normalise(x, gain=1, bias=0, axis=None, eps=1e-5):
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + eps) * gain + bias


def cross_entropy(p, target):
    return -target * np.log(p) - (1 - target) * np.log(1 - p)


def pooled(x, size=2):
    b, h, w, c = x.shape
    return np.stack([np.stack([x[:, i:i + size, j:j + size].max((1, 2)) for j in range(0, w, size)], 1) for i in range(0, h, size)], 1)


def enlarged(x, scale=2):
    return x.repeat(scale, 1).repeat(scale, 2)


def spread_out(x, scale=2):
    b, h, w, c = x.shape
    y = np.zeros((b, h * scale, w * scale, c), x.dtype)
    y[:, ::scale, ::scale] = x
    return y


def patches(x, patch):
    """Channel (i patch + j) C + c of a patch is channel c of its pixel (i, j)."""
    return np.concatenate([x[..., i::patch, j::patch, :] for i in range(patch) for j in range(patch)], -1)


def from_patches(x, patch):
    *lead, h, w, c = x.shape
    y = np.zeros((*lead, h * patch, w * patch, c // patch**2), x.dtype)
    for k, part in enumerate(np.split(x, patch**2, -1)):
        y[..., k // patch::patch, k % patch::patch, :] = part
    return y


# the table

PAIRS = [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (3, 1)), ((3, 4), ()), ((1,), (3, 1, 2))]  # shapes that broadcast

BINARY = [
    (maths.add, np.add, normal, spaced),
    (maths.sub, np.subtract, normal, spaced),
    (maths.mul, np.multiply, normal, spaced),
    (maths.div, np.divide, normal, positive),
    (maths.power, np.power, positive, normal),
    (maths.maximum, np.fmax, spaced, spaced_too),
    (maths.minimum, np.fmin, spaced, spaced_too),
    (maths.less, np.less, spaced, spaced_too),
    (maths.greater, np.greater, spaced, spaced_too),
    (maths.less_equal, np.less_equal, spaced, spaced_too),
    (maths.greater_equal, np.greater_equal, spaced, spaced_too),
    (maths.equal, np.equal, spaced, spaced_too),
    (maths.not_equal, np.not_equal, spaced, spaced_too),
    (tp.bce_with_logits, lambda logit, target: cross_entropy(sigmoid(logit), target), normal, lambda *shape: sigmoid(normal(*shape))),
    (tp.bce, cross_entropy, lambda *shape: sigmoid(spaced(*shape)), lambda *shape: sigmoid(normal(*shape))),
]

UNARY = [
    (maths.neg, np.negative, normal),
    (maths.sign, np.sign, spaced),
    (maths.absolute, np.fabs, spaced),
    (tp.exp, np.exp, normal),
    (tp.log, np.log, positive),
    (tp.log1p, np.log1p, positive),
    (tp.sqrt, np.sqrt, positive),
    (tp.square, lambda x: x**2, normal),
    (tp.tanh, np.tanh, normal),
    (tp.sigmoid, sigmoid, normal),
    (tp.hard_sigmoid, lambda x: np.interp(x, [-2.5, 2.5], [0, 1]), lambda *shape: spaced(*shape, step=0.5)),
    (tp.relu, lambda x: x * (x > 0), spaced),
    (tp.softplus, lambda x: np.log(1 + np.exp(x)), normal),
    (tp.logsigmoid, lambda x: np.log(sigmoid(x)), normal),
]

ELEMENTWISE = [
    *(case(op, reference, a(*shape), b(*other)) for op, reference, a, b in BINARY for shape, other in PAIRS),
    *(case(op, reference, x(2, 3, 4)) for op, reference, x in UNARY),
    *(case(maths.power, np.power, spaced(3, 4), exponent) for exponent in (-1, 1, 2, 3)),
    *(case(maths.power, np.power, positive(3, 4), exponent) for exponent in (-0.5, 0.5, 1.5)),
    case(maths.power, np.power, 3, normal(3, 4)),
    case(maths.power, np.power, 0.5, normal(3, 4)),
    case(tp.leaky_relu, lambda x, slope=0.01: np.maximum(x, slope * x), spaced(3, 4)),
    case(tp.leaky_relu, lambda x, slope=0.01: np.maximum(x, slope * x), spaced(3, 4), slope=0.3),
    case(tp.clip, np.clip, spaced(3, 4), -0.4, 0.3),
    case(tp.where, np.where, coins(3, 4), normal(3, 4), spaced(3, 4)),
    case(tp.where, np.where, coins(3, 1), normal(4), spaced(2, 1, 4)),
    case(tp.where, np.where, coins(3, 4), normal(3, 4), 0),
    case(tp.where, np.where, coins(3, 4) * np.uint8(255), normal(3, 4), spaced(3, 4)),
    case(tp.where, np.where, coins(3, 4) * np.int64(-2), normal(3, 4), spaced(3, 4)),
    case(tp.where, np.where, ~coins(3, 4), 1.5, normal(3, 4)),
]

REDUCTIONS = [
    case(op, reference, x, ties=op is arrays.max, **options)
    for op, reference, make in ((arrays.sum, np.sum, normal), (arrays.mean, np.mean, normal), (arrays.max, np.max, spaced))
    for x, options in (
        (make(2, 3, 4), {}), (make(2, 3, 4), {"keepdims": True}), (make(2, 3, 4), {"axis": 1}), (make(2, 3, 4), {"axis": -1}),
        (make(2, 3, 4), {"axis": (0, 2)}), (make(2, 3, 4), {"axis": (-1, 1), "keepdims": True}), (make(2, 1, 3), {"axis": 1}),
        (make(1, 1), {}), (make(), {}),
    )
]

ALONG_AXES = [
    *(case(tp.softmax, softmax, normal(2, 3, 4), **options) for options in ({}, {"axis": 0}, {"axis": 1})),
    *(case(tp.log_softmax, lambda x, axis=-1: np.log(softmax(x, axis)), normal(2, 3, 4), **options) for options in ({}, {"axis": 1})),
    case(tp.softmax, softmax, normal(5)),
    case(tp.normalise, normalise, normal(2, 3, 4, 5), axis=(1, 2, 3)),
    case(tp.normalise, normalise, normal(3, 2, 4, 5), axis=(0, 1, 2)),
    case(tp.normalise, normalise, normal(2, 1, 1, 4), axis=(1, 2, 3), eps=0.1),
    case(tp.normalise, normalise, normal(2, 6), axis=-1),
    case(tp.normalise, normalise, normal(2, 3, 4, 5), positive(5), normal(5), axis=(1, 2, 3)),
    case(tp.normalise, normalise, normal(3, 2, 4, 9), positive(9), normal(9), axis=(0, 1, 2)),
    case(tp.normalise, normalise, normal(2, 3, 8), positive(8), axis=1),
    case(tp.normalise, normalise, normal(2, 3, 4), positive(3, 4), normal(3, 1), axis=(1, 2)),
    case(tp.normalise, normalise, normal(3, 4), normal(), normal(1), axis=None),
]

MATMUL = [
    case(tp.matmul, np.matmul, normal(*a), normal(*b))
    for a, b in (((2, 3), (3, 4)), ((1, 1), (1, 1)), ((3, 1), (1, 4)), ((2, 5, 3), (3, 4)), ((2, 2, 5, 3), (3, 4)), ((2, 5, 3), (2, 3, 4)),
                 ((5, 3), (2, 3, 4)), ((2, 1, 5, 3), (6, 3, 4)), ((1, 5, 3), (2, 3, 4)), ((2, 5, 3), (1, 3, 4)))
]

SHAPES = [
    *(case(arrays.reshape, np.reshape, normal(2, 3, 4), shape=shape) for shape in ((6, 4), (4, 3, 2), (-1,), (1, 24, 1))),
    case(arrays.reshape, np.reshape, normal(1), shape=()),
    *(case(arrays.transpose, np.transpose, normal(2, 3, 4), axes=axes) for axes in ((2, 0, 1), (1, 2, 0), (0, -1, 1), (2, 1, 0))),
    case(arrays.broadcast_to, np.broadcast_to, normal(3, 1), shape=(2, 3, 4)),
    case(arrays.broadcast_to, np.broadcast_to, normal(), shape=(3,)),
    case(arrays.broadcast_to, np.broadcast_to, normal(3, 4), shape=(3, 4)),
    case(tp.pad, lambda x, widths: np.pad(x, widths), normal(2, 3), widths=((1, 0), (0, 2))),
    case(tp.pad, lambda x, widths: np.pad(x, widths), normal(1, 1), widths=((0, 0), (2, 1))),
    *(case(arrays.take, lambda x, index: x[index], normal(4, 5, 3), index=index) for index in (
        1, -1, slice(1, 3), slice(None, None, -2), (slice(None), 2), (Ellipsis, slice(0, 2)), (None, 0, slice(None), None),
        (slice(3, 0, -1), slice(None, None, 2), -1), [2, 0, 2, 2], ([0, 1, 0], [2, 2, 2]), (slice(None), [1, 1]), (2, 3, 1))),
    case(arrays.take, lambda x, index: x[index], normal(3, 4), index=coins(3, 4)),
    *(case(tp.concat, lambda *parts, axis=-1: np.concatenate(parts, axis), normal(2, 3, 1), normal(2, 3, 4), spaced(2, 3, 2), **options)
      for options in ({}, {"axis": 2})),
    case(tp.concat, lambda *parts, axis=-1: np.concatenate(parts, axis), normal(2, 3), normal(1, 3), axis=0),
    case(tp.concat, lambda *parts, axis=-1: np.concatenate(parts, axis), normal(2, 3)),
    *(case(tp.stack, lambda *parts, axis=0: np.stack(parts, axis), normal(2, 3), spaced(2, 3), positive(2, 3), **options)
      for options in ({}, {"axis": 1}, {"axis": -1})),
    case(tp.stack, lambda *parts, axis=0: np.stack(parts, axis), normal(), positive()),
    *(case(tp.split, lambda x, parts, axis=-1: np.split(x, parts, axis), normal(4, 3, 6), **options)
      for options in ({"parts": 3}, {"parts": 6}, {"parts": 2, "axis": 0}, {"parts": 3, "axis": 1}, {"parts": 1})),
]

CONVOLUTIONS = [
    case(tp.conv2d, naive_conv2d, normal(2, 4, 5, 2), normal(3, 3, 2, 3), normal(3)),
    case(winograd_weights, naive_winograd_weights, normal(5, 3, 2, 3), tile=2),
    case(winograd_conv, naive_winograd_conv, normal(24, 3, 2), normal(2), normal(2, 3, 4, 1), normal(2, 3, 4, 2), kernel=(5, 3), tile=2),
    *(case(direct_conv, naive_conv2d, normal(2, *size, 2), normal(*kernel, 2, 3), normal(3), **options) for size, kernel, options in (
        ((4, 5), (3, 3), {}), ((4, 5), (2, 3), {"padding": "valid"}), ((5, 4), (3, 2), {"stride": 2}), ((1, 1), (3, 3), {}),
        ((4, 4), (1, 1), {}), ((5, 6), (3, 2), {"dilation": 2, "padding": 1}), ((7, 5), (3, 3), {"stride": 3, "padding": 2}))),
    case(direct_conv, naive_conv2d, normal(2, 3, 4, 2), normal(3, 3, 2, 3)),
    case(direct_conv, naive_conv2d, normal(1, 1, 1, 1), normal(1, 1, 1, 1), normal(1)),
    *(case(tp.conv2d_transpose, naive_conv2d_transpose, normal(2, *size, 3), normal(*kernel, 2, 3), normal(2), **options)
      for size, kernel, options in (
        ((3, 4), (3, 3), {}), ((2, 3), (3, 3), {"stride": 2}), ((2, 3), (2, 4), {"stride": 2, "padding": "valid"}), ((1, 1), (3, 3), {}),
        ((3, 3), (3, 3), {"stride": 2, "padding": 1, "size": (6, 5)}), ((3, 2), (2, 2), {"dilation": 2, "padding": 1}))),
    case(tp.conv2d_transpose, naive_conv2d_transpose, normal(2, 3, 4, 3), normal(3, 3, 2, 3)),
    case(tp.windows, naive_windows, normal(2, 3, 4, 2), kernel=(3, 3)),
    case(tp.windows, naive_windows, normal(2, 5, 4, 1), kernel=(2, 3), stride=2, padding="valid"),
    case(tp.windows, naive_windows, normal(1, 5, 5, 2), kernel=(3, 3), dilation=2, padding=1),
    *(case(tp.local_filter, naive_local_filter, normal(2, *size, channels), normal(2, *size, *kernel))
      for size, channels, kernel in (((4, 5), 1, (3, 3)), ((3, 4), 2, (2, 3)), ((2, 3), 3, (5, 7)), ((1, 1), 1, (1, 1)))),
]

RESOLUTIONS = [
    case(tp.max_pool, pooled, spaced(2, 4, 6, 3), ties=True),
    case(tp.max_pool, pooled, spaced(1, 3, 6, 2), ties=True, size=3),
    case(tp.upsample, enlarged, normal(2, 3, 4, 2)),
    case(tp.upsample, enlarged, normal(1, 1, 1, 1), scale=3),
    case(tp.insert_zeros, spread_out, normal(2, 3, 4, 2)),
    case(tp.insert_zeros, spread_out, normal(1, 1, 1, 1), scale=3),
    case(tp.space_to_depth, patches, normal(2, 4, 6, 3), patch=2),
    case(tp.space_to_depth, patches, normal(2, 1, 3, 6, 1), patch=3),
    case(tp.depth_to_space, from_patches, normal(2, 2, 3, 8), patch=2),
    case(tp.depth_to_space, from_patches, normal(1, 2, 1, 2, 9), patch=3),
]

CASES = [*ELEMENTWISE, *REDUCTIONS, *ALONG_AXES, *MATMUL, *SHAPES, *CONVOLUTIONS, *RESOLUTIONS]


# running a case

def as_tuple(y):
    return tuple(y) if isinstance(y, (tuple, list)) else (y,)


def run(case, device="cpu"):
    """Forward and backward on `device`: the outputs and, for each float input, its gradient, as NumPy arrays."""
    inputs = [x if not isinstance(x, np.ndarray) else Tensor(to_device(x, device), requires_grad=is_float(x)) for x in case.inputs]
    outputs = as_tuple(case.function(*inputs, **case.options))
    if outputs[0].requires_grad:
        rng = np.random.default_rng(0)
        total = 0
        for y in outputs:
            total = total + (y * to_device(rng.standard_normal(y.shape).astype(y.dtype), device)).sum()
        total.backward()
    gradients = [x.grad for x in inputs if isinstance(x, Tensor) and x.grad is not None]
    assert {device_of(a) for a in (*(y.data for y in outputs), *gradients)} == {device}
    return [to_numpy(y.data) for y in outputs], [to_numpy(g) for g in gradients]


def assert_same_on(device, case, dtype, tolerance):
    """The case on `device` agrees with the CPU, relative to the largest number."""
    case = case.with_arrays(lambda x: x.astype(dtype) if is_float(x) else x)
    for here, there in zip(run(case), run(case, device), strict=True):
        for expected, found in zip(here, there, strict=True):
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=0))
