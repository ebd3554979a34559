"""Reverse-mode automatic differentiation on NumPy and CuPy arrays.

Read in this order: tensor.py (what a tensor is), op.py (what an op is), elementwise.py (the table of maths), engine.py
(backward), arrays.py, normalisation.py and convolution.py (the other ops), gradcheck.py (why to trust it), recompute.py
and kept.py (less memory for more time, or for less exact gradients). Here the ops become operators and methods.
"""

from tinypredrnn.autograd import arrays
from tinypredrnn.autograd import elementwise as maths
from tinypredrnn.autograd.arrays import concat, matmul, pad, split, stack
from tinypredrnn.autograd.convolution import (
    conv2d,
    conv2d_transpose,
    convolution_by,
    depth_to_space,
    insert_zeros,
    max_pool,
    shared_weights,
    space_to_depth,
    upsample,
    windows,
)
from tinypredrnn.autograd.debug import debug
from tinypredrnn.autograd.elementwise import *  # noqa: F403 (every entry of the table)
from tinypredrnn.autograd.engine import Node, no_grad
from tinypredrnn.autograd.filtering import local_filter
from tinypredrnn.autograd.fuse import fuse, unfused
from tinypredrnn.autograd.gradcheck import gradcheck
from tinypredrnn.autograd.kept import activations
from tinypredrnn.autograd.normalisation import log_softmax, normalise, softmax
from tinypredrnn.autograd.op import Op, op
from tinypredrnn.autograd.recompute import checkpoint
from tinypredrnn.autograd.tensor import Tensor, from_dlpack, tensor

__all__ = [
    *maths.__all__, "Node", "Op", "Tensor", "activations", "checkpoint", "concat", "conv2d", "conv2d_transpose",
    "convolution_by", "debug", "depth_to_space", "from_dlpack", "fuse", "gradcheck", "insert_zeros", "local_filter",
    "log_softmax", "matmul", "max_pool", "no_grad", "normalise", "op", "pad", "shared_weights", "softmax",
    "space_to_depth", "split", "stack", "tensor", "unfused", "upsample", "windows",
]


def lengths(shape):
    """The lengths, given as x.reshape(2, 3) or as x.reshape((2, 3))."""
    return shape[0] if len(shape) == 1 else shape


def reshape(x, *shape):
    """The same elements in the same order in another shape; one length may be -1."""
    return arrays.reshape(x, shape=lengths(shape))


def transpose(x, *axes):
    """Axis k of the result is axis axes[k] of x; without axes, their order is reversed."""
    return arrays.transpose(x, axes=lengths(axes) if axes else tuple(range(x.ndim))[::-1])


def broadcast_to(x, *shape):
    """x repeated along new axes and axes of length 1."""
    return arrays.broadcast_to(x, shape=lengths(shape))


METHODS = {
    "__matmul__": matmul,
    "__rmatmul__": lambda a, b: matmul(b, a),
    "__getitem__": lambda x, index: arrays.take(x, index=index.data if isinstance(index, Tensor) else index),
    "__iter__": lambda x: (x[i] for i in range(len(x))),
    "sum": arrays.sum,
    "mean": arrays.mean,
    "max": arrays.max,
    "reshape": reshape,
    "transpose": transpose,
    "broadcast_to": broadcast_to,
}
for name, method in METHODS.items():
    setattr(Tensor, name, method)
