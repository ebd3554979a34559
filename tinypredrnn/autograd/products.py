"""The product of two matrices, on the CPU or on a GPU."""

import numpy as np

from tinypredrnn import gpu
from tinypredrnn.backend import array_module
from tinypredrnn.threads import shared_matmul


def product(a, b):
    """The matrix product of a (n, k) and b (k, m): on the CPU its rows are shared among the threads, on a GPU
    tinypredrnn.gpu.precision decides how it is rounded."""
    return shared_matmul(a, b) if array_module(a, b) is np else gpu.product(a, b)
