"""The numba kernels of kept.py: float32 to bfloat16 and back. A float32 is seen as an unsigned integer, so that adding
to its lower half carries into the upper one."""

import numpy as np

from tinypredrnn.compiled import kernel


@kernel(nogil=True)
def halve(x, bits):
    """bits = the upper half of u, after half of its last place has been added; of two neighbours equally near, the even
    one. NaN stays NaN."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            u = x[row, column]
            if u & 0x7fffffff > 0x7f800000:
                bits[row, column] = u >> 16 | 0x40
            else:
                bits[row, column] = u + 0x7fff + (u >> 16 & 1) >> 16


@kernel(nogil=True)
def widen(bits, x):
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            x[row, column] = np.uint32(bits[row, column]) << 16
