"""What is different on a GPU: the rounding of products, and convolution on tensor cores.

Read `precision` here, then convolution.cu (the kernel), instructions.cuh (instructions that C++ does not have),
convolution.py (which launches the kernel) and ladder.py (what happens if something fails on a GPU).
"""

import contextlib
import functools
from contextvars import ContextVar

import numpy as np

from tinypredrnn.backend import device_of
from tinypredrnn.errors import ConfigError, say_once
from tinypredrnn.options import called

PRECISIONS = "fp32", "tf32", "bf16"
rounding = ContextVar("rounding", default="tf32")  # as in PyTorch's convolutions


@contextlib.contextmanager
def precision(name):
    """Within `with precision("fp32"):` float32 convolutions on a GPU round their factors in this way. The CPU and
    float64 never round.

    fp32   as accurate as float32; tensor cores do it by three TF32 products
    tf32   10 bits of mantissa: relative errors of about 5e-4 in each factor, which average out in a sum; the default,
           as in PyTorch's convolutions
    bf16   7 bits of mantissa: about 4e-3. If cuBLAS computes (a stride, a dilation, convolution_by("direct")), TF32 is
           used instead

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
    """The precision to use on `device`; `name` may also be "auto". ConfigError if the device does not have it."""
    if device == "cpu":
        if name not in ("auto", "fp32"):
            raise ConfigError(f"{called('precision')} {name} is the tensor cores' of a GPU, and the CPU computes in "
                              f"fp32 only: leave out {called('precision')}, or use {called('device')} gpu")
        return "fp32"
    if name in ("tf32", "bf16") and not has_tensor_cores(device):
        raise ConfigError(f"{called('precision')} {name} needs a GPU of compute capability 8.0 or more (Ampere), which "
                          f"{device} is not: leave out {called('precision')}")
    return rounding.get() if name == "auto" else name


@functools.cache
def has_tensor_cores(device):
    """Whether `device` is a GPU that multiplies in TF32 and bfloat16; one sentence says what an older GPU does."""
    if device == "cpu":
        return False
    import cupy

    capability = int(cupy.cuda.Device(int(device[4:])).compute_capability)
    if capability < 80:
        say_once(f"{device} has compute capability {capability / 10}, and our own kernel needs 8.0 or more: cuBLAS "
                 "computes convolutions, and training steps are launched op by op")
    return capability >= 80


def product(a, b):
    """a @ b of two matrices on a GPU, by cuBLAS, with float32 rounded as `precision` says."""
    import cupy

    linalg = cupy._core._routines_linalg  # CuPy reads CUPY_TF32 only at its first product; this sets it for each
    rounds = rounding.get() != "fp32" and has_tensor_cores(device_of(a))
    if a.dtype == np.float32:
        linalg.set_compute_type(np.float32, linalg.COMPUTE_TYPE_TF32 if rounds else linalg.COMPUTE_TYPE_DEFAULT)
    return a @ b
