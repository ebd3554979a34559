"""From lines of source to a compiled kernel: the text around the fuser's lines. tinypredrnn/compiled.py makes functions of it."""

from string import Template

from tinypredrnn.compiled import compile_source  # noqa: F401 (for fuse.py and winograd.py)

# what is around the lines of a fused kernel

CPU = Template("""# Emitted by tinypredrnn: $title. Row n of an array begins n strides after its start.
import math

import numpy as np
from numba import njit

T = np.$dtype
FAST = dict(fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy")  # NaN and infinity stay what they are
exp, log, log1p, sqrt, fabs = math.exp, math.log, math.log1p, math.sqrt, math.fabs

$functions

@njit(nogil=True, **FAST)
def loop(first, last, width, $arguments):
    for row in range(first, last):
$slices
        for column in range(width):
$body
""")

HELPERS = """
def where(condition, a, b): return a if condition != T(0) else b
def negate(condition): return T(1) - condition
def maximum(a, b): return a if a >= b else b
def minimum(a, b): return a if a <= b else b
def power(a, b): return a ** b
def sigmoid(x): return T(0.5) * tanh(T(0.5) * x) + T(0.5)
"""

# tanh as a ratio of polynomials (the coefficients are Eigen's, 3e-7 off at most): unlike a call into the maths library it vectorises.
TANH = {"float64": "tanh = math.tanh", "float32": """
@njit(inline="always", **FAST)
def tanh(x):
    x = max(min(x, T(7.90531110763549805)), T(-7.90531110763549805))
    s = x * x
    p = s * T(-2.76076847742355e-16) + T(2.00018790482477e-13)
    p = s * p + T(-8.60467152213735e-11)
    p = s * p + T(5.12229709037114e-08)
    p = s * p + T(1.48572235717979e-05)
    p = s * p + T(6.37261928875436e-04)
    p = s * p + T(4.89352455891786e-03)
    q = s * T(1.19825839466702e-06) + T(1.18534705686654e-04)
    q = s * q + T(2.26843463243900e-03)
    q = s * q + T(4.89352518554385e-03)
    return x * p / q
"""}

CUDA = """
template <typename T> __device__ T where(T condition, T a, T b) { return condition != T(0) ? a : b; }
template <typename T> __device__ T negate(T condition) { return T(1) - condition; }
template <typename T> __device__ T maximum(T a, T b) { return a >= b ? a : b; }
template <typename T> __device__ T minimum(T a, T b) { return a <= b ? a : b; }
template <typename T> __device__ T power(T a, T b) { return pow(a, b); }
template <typename T> __device__ T sigmoid(T x) { return T(0.5) * tanh(T(0.5) * x) + T(0.5); }
"""
