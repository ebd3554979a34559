"""Convolution on a GPU's tensor cores, as an op. What it launches is in tinypredrnn/gpu; cuBLAS computes instead if
that fails."""

import numpy as np

from tinypredrnn.autograd.grid import grid
from tinypredrnn.autograd.kinds import PADDING
from tinypredrnn.autograd.op import NEW, op
from tinypredrnn.backend import device_of
from tinypredrnn.errors import DeviceError
from tinypredrnn.gpu import convolution, cublas, has_tensor_cores
from tinypredrnn.gpu.ladder import own_kernel


def through_implicit_conv(dy, inputs, inputs_into, padding):
    """The gradients of w, of b and of each frame; those of w and b are added in place to what other steps of a sequence
    have sent."""
    w, b, *parts = inputs
    g = grid(parts[0].shape[1:3], w.shape[:2], padding=padding)
    so_far = [accumulator.total if accumulator and accumulator.owned else None for accumulator in inputs_into[:2]]
    compute, channels = own_kernel(device_of(w)), [part.shape[3] for part in parts]
    dw, db = compute(convolution.weight_gradient, cublas.weight_gradient, parts, dy, g, *so_far,
                     with_bias=b is not None)
    return [dw, db, *compute(convolution.input_gradients, cublas.input_gradients, dy, w, channels, g)]


@op(NEW, inputs=through_implicit_conv)
def implicit_conv(*inputs, padding: PADDING = "same"):
    """implicit_conv(w, b, x, h): conv2d with stride 1 of one frame or two side by side, in float32 on a GPU with tensor
    cores."""
    w, b, *parts = inputs
    if w.dtype != np.float32 or not has_tensor_cores(device_of(w)):
        raise DeviceError(f"implicit_conv: expected float32 on a GPU of compute capability 8.0 or more, got {w.dtype} "
                          f"on {device_of(w)}: leave out convolution_by")
    g = grid(parts[0].shape[1:3], w.shape[:2], padding=padding)
    return own_kernel(device_of(w))(convolution.convolve, cublas.convolve, parts, w, b, g)
