"""The product of two matrices, on the CPU or on a GPU; or only its cost, counted in multiply-adds."""

import contextlib
import math
from contextvars import ContextVar

import numpy as np

from tinypredrnn import gpu
from tinypredrnn.backend import array_module
from tinypredrnn.threads import shared_matmul

counter = ContextVar("counter", default=None)  # a Counter, or None if products are computed


def product(a, b):
    """The matrix product of a (n, k) and b (k, m): on the CPU its rows are shared among the threads, on a GPU
    tinypredrnn.gpu.precision decides how it is rounded."""
    if count := counter.get():
        return count(a, b)
    return shared_matmul(a, b) if array_module(a, b) is np else gpu.product(a, b)


@contextlib.contextmanager
def counting():
    """Within `with counting() as counter:` the products of convolutions and of matmul are counted and not computed:
    their values are 0. All convolutions take their direct form. Yields the Counter, whose `multiply_adds` is the
    number so far."""
    token = counter.set(count := Counter())
    try:
        yield count
    finally:
        counter.reset(token)


class Counter:
    """Takes the place of a product: (..., n, k) and (..., k, m) -> zeros (..., n, m), for n k m multiply-adds each."""

    def __init__(self):
        self.multiply_adds = 0

    def __call__(self, a, b):
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        self.multiply_adds += math.prod(shape) * a.shape[-1]
        return array_module(a, b).zeros(shape, a.dtype)
