"""A model's shapes without its memory, so that a model can be refused, or compared with a file, before it is built."""

import contextlib
import math
from contextvars import ContextVar

import numpy as np

from tinypredrnn.errors import TooLargeError

LARGEST = np.iinfo(np.intp).max // 8  # the largest number of elements of an array
current_layout = ContextVar("layout", default=None)


@contextlib.contextmanager
def layout_only(most=math.inf):
    """A context in which new modules have all parts and shapes but almost no memory: each parameter is one number.

    This shows how much memory a model would take before it takes any. Its Generator must come from `generator`. Yields
    the Layout, whose `bytes` count the parameters so far; TooLargeError as soon as they exceed `most`.
    """
    token = current_layout.set(layout := Layout(most))
    try:
        yield layout
    finally:
        current_layout.reset(token)


class Layout:
    """Counts the parameters made within `layout_only`."""

    def __init__(self, most):
        self.most, self.bytes = most, 0

    def add(self, shape):
        self.bytes += np.dtype(np.float32).itemsize * math.prod(shape)
        if self.bytes > self.most:
            raise TooLargeError(f"layout: the parameters take more than {self.most:,} bytes: make the model smaller")
        return hollow(shape)


def hollow(shape):
    """A float32 array with strides 0, so that it takes almost no memory. Writing to it is allowed but has no use."""
    if math.prod(shape) > LARGEST:
        raise TooLargeError(f"layout: no array can have the shape {shape}: make the model smaller")
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, (0,) * len(shape))


def generator(seed):
    """The Generator of a model's initial weights. Within `layout_only`, its arrays of floats take no memory."""
    rng = np.random.default_rng(seed)
    return rng if current_layout.get() is None else HollowGenerator(rng.bit_generator)


class HollowGenerator(np.random.Generator):
    """A Generator whose arrays of floats take no memory: see `layout_only`."""

    def uniform(self, low=0.0, high=1.0, size=None):
        return hollow(as_shape(size))

    def normal(self, loc=0.0, scale=1.0, size=None):
        return hollow(as_shape(size))

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        return hollow(as_shape(size)) if out is None else out

    def random(self, size=None, dtype=np.float64, out=None):
        return hollow(as_shape(size)) if out is None else out


def as_shape(size):
    return () if size is None else tuple(size) if hasattr(size, "__len__") else (size,)
