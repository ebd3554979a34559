"""Activations: what ops keep for backward, in half the memory.

    with activations("bf16"):
        loss = loss_of(model, frames)  # computed in float32 as always
        loss.backward()                # from what was kept, rounded to bfloat16

Most of a training step's memory is what backward needs. bfloat16 is the upper half of a float32: the same range, and 8
bits of precision instead of 24. So the values of forward and the weights stay as exact as before, and only the gradient
is computed from rounded numbers. Rounding is to the nearest, so its errors are as often up as down, and mostly cancel
in the sums that a gradient consists of.

P. Micikevicius et al., Mixed Precision Training (2018), whose weights are float32 as well; D. Kalamkar et al., A Study
of BFLOAT16 for Deep Learning Training (2019). Unlike theirs, the values of forward are not rounded here.
"""

import contextlib
import functools
import math
import weakref
from contextvars import ContextVar

import numpy as np

from tinypredrnn.backend import array_module
from tinypredrnn.errors import ConfigError
from tinypredrnn.threads import share

KEPT_IN = "fp32", "bf16"
SMALL = 4096  # elements: rounding fewer saves no memory worth the call
halves = ContextVar("halves", default=None)  # {id(array): (weak reference to it, its Half)}, or None for float32


@contextlib.contextmanager
def activations(name):
    """Within `with activations("bf16"):` float32 arrays that ops keep for backward are rounded to bfloat16; with
    "fp32", they are kept as they are. Parameters, data and float64 are never rounded. ConfigError for another name.

    It should surround forward and backward, since backward keeps arrays as well. Small arrays are not rounded.
    """
    if name not in KEPT_IN:
        raise ConfigError(f"activations are kept in one of {', '.join(KEPT_IN)}, got {name!r}")
    token = halves.set({} if name == "bf16" else None)
    try:
        yield
    finally:
        halves.reset(token)


class Half:
    """The upper 16 bits of each element of a float32 array, rounded to the nearest."""

    __slots__ = ("bits",)
    shape = property(lambda self: self.bits.shape)

    def __init__(self, array):
        self.bits = array_module(array).empty(array.shape, np.uint16)
        if isinstance(array, np.ndarray):
            by_rows(kernels().halve, array, self.bits)
        else:
            gpu_halve(array_module(array))(array.view(np.uint32), self.bits)

    def whole(self):
        """A float32 array, of which other callers of `keep` get this Half again."""
        array = array_module(self.bits).empty(self.shape, np.float32)
        if isinstance(array, np.ndarray):
            by_rows(kernels().widen, self.bits, array)
        else:
            u = array.view(np.uint32)
            u[...] = self.bits
            u *= 1 << 16
        remember(array, self)
        return array


def keep(array):
    """What to keep of an array that an op made: its Half within activations("bf16"), otherwise the array itself.
    Whoever keeps the same array keeps the same Half."""
    if halves.get() is None or getattr(array, "dtype", None) != np.float32 or array.size < SMALL:
        return array
    reference, half = halves.get().get(id(array), (lambda: None, None))
    if reference() is not array:
        half = Half(array)
        remember(array, half)
    return half


def remember(array, kept):
    """From now on `keep(array)` returns `kept`, as long as the array exists."""
    if (known := halves.get()) is not None:
        key = id(array)
        known[key] = weakref.ref(array, lambda _: known.pop(key, None)), kept


def keep_as_is(array):
    """Never round this array, since it is made of parameters, and all steps in time share it."""
    remember(array, array)


def whole(value):
    """What was kept as the op needs it: an array, a list of arrays, or an option."""
    if type(value) is Half:
        return value.whole()
    if type(value) is list and any(type(part) is Half for part in value):
        return [whole(part) for part in value]
    return value


# on the CPU and on a GPU

@functools.cache
def kernels():
    """half_kernels.py, imported when it is first needed, since numba takes long to import."""
    from tinypredrnn.autograd import half_kernels

    return half_kernels


def by_rows(work, source, made):
    """work(source, made) on their rows, shared among the threads; float32 is seen as uint32. `source` may be a piece of
    a larger array, `made` is contiguous."""
    columns = math.gcd(source.size, 1024) if source.flags.c_contiguous else source.shape[-1]
    source, made = [a.view(np.uint32 if a.dtype == np.float32 else a.dtype).reshape(-1, columns)
                    for a in (source, made)]
    share(lambda first, last: work(source[first:last], made[first:last]), len(made), COST * made.size)


COST = 2  # of an element, in multiplications of a matrix product


@functools.cache
def gpu_halve(xp):
    """`halve` of half_kernels.py as CuPy's kernel, in which a comparison is 0 or 1."""
    nan = "((u & 0x7fffffff) > 0x7f800000)"
    body = f"bits = (u + (0x7fff + (u >> 16 & 1)) * (1 - {nan})) >> 16 | 0x40 * {nan}"
    return xp.ElementwiseKernel("uint32 u", "uint16 bits", body, "tinypredrnn_halve")
