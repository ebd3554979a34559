"""What a GPU does otherwise: rounding of products, and convolution on its tensor cores.

Read precision here, then convolution.cu (the kernel), instructions.cuh (the words that C++ has not) and convolution.py (its launches).
"""

import contextlib
import functools
from contextvars import ContextVar

import numpy as np

from tinypredrnn.backend import device_of
from tinypredrnn.errors import ConfigError

PRECISIONS = "fp32", "tf32", "bf16"
rounding = ContextVar("rounding", default="tf32")  # as PyTorch's convolutions do


@contextlib.contextmanager
def precision(name):
    """Within `with precision("fp32"):` convolutions of float32 on a GPU round their factors so; the CPU and float64 never round.

    fp32   as exact as float32, by three TF32 products where tensor cores do them
    tf32   10 bits of mantissa: relative errors of some 5e-4 in each factor, averaged in a sum; the default, as in PyTorch's convolutions
    bf16   7 bits: some 4e-3. Where cuBLAS computes (a stride, a dilation, convolution_by("direct")), TF32 stands for it

    Sums are float32 in all three. ConfigError for another name.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"precision is one of {', '.join(PRECISIONS)}, got {name!r}")
    token = rounding.set(name)
    try:
        yield
    finally:
        rounding.reset(token)


def check_precision(name, device):
    """The precision to compute with on `device` where `name` may also be "auto"; ConfigError for what the device cannot do."""
    if device == "cpu":
        if name not in ("auto", "fp32"):
            raise ConfigError(f"precision {name} is the tensor cores' of a GPU, and the CPU computes in fp32 only: "
                              "leave out --precision, or use --device gpu")
        return "fp32"
    if name in ("tf32", "bf16") and not has_tensor_cores(device):
        raise ConfigError(f"precision {name} needs a GPU of compute capability 8.0 or more (Ampere), which {device} is not: "
                          "leave out --precision")
    return rounding.get() if name == "auto" else name


@functools.cache
def has_tensor_cores(device):
    """Whether `device` is a GPU that multiplies in TF32 and bfloat16."""
    if device == "cpu":
        return False
    import cupy

    return int(cupy.cuda.Device(int(device[4:])).compute_capability) >= 80


def product(a, b):
    """a @ b of two matrices on a GPU, by cuBLAS, with float32 rounded as `precision` says."""
    import cupy

    linalg = cupy._core._routines_linalg  # CuPy reads CUPY_TF32 once, at its first product; this says it for each
    rounds = rounding.get() != "fp32" and has_tensor_cores(device_of(a))
    if a.dtype == np.float32:
        linalg.set_compute_type(np.float32, linalg.COMPUTE_TYPE_TF32 if rounds else linalg.COMPUTE_TYPE_DEFAULT)
    return a @ b
