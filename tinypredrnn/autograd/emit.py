"""Templates for the source of fused kernels, in Python and in CUDA. tinypredrnn/compiled.py compiles the Python."""

from string import Template

# a fused kernel; fuse.py fills in its lines

CPU = Template("""# Emitted by tinypredrnn: $title. Row n of an array begins n strides after its start.
import math

import numpy as np
from numba import njit

T = np.$dtype
FAST = dict(fastmath={"contract"}, error_model="numpy")  # NaN, infinity and the sign of 0 stay what they are
exp, log, log1p, sqrt, fabs = math.exp, math.log, math.log1p, math.sqrt, math.fabs
infinity, not_a_number = math.inf, T(math.nan)

$functions

@njit(nogil=True, **FAST)
def loop(first, last, width, $arguments):
    for row in range(first, last):
$slices
        for column in range(width):
$body
""")

# The functions that kernels call besides those of the maths library, each the same as its entry in the elementwise
# table: (name, parameters, value in Python, value in C)
HELPERS = (
    ("where", "condition, a, b", "a if condition != T(0) else b", "condition != T(0) ? a : b"),
    ("maximum", "a, b", "a if a >= b or a != a else b",
     "a >= b || a != a ? a : b"),  # NaN is the only number that is not itself
    ("minimum", "a, b", "a if a <= b or a != a else b", "a <= b || a != a ? a : b"),
    ("sign", "x", "T(x > T(0)) - T(x < T(0)) if x == x else x", "x == x ? T(x > T(0)) - T(x < T(0)) : x"),
    ("power", "a, b", "a ** b", "pow(a, b)"),
    ("sigmoid", "x", "T(0.5) * tanh(T(0.5) * x) + T(0.5)", "T(0.5) * tanh(T(0.5) * x) + T(0.5)"),
)
CPU_HELPERS = "".join(f"@njit(inline=\"always\", **FAST)\ndef {name}({parameters}): return {python}\n\n\n"
                      for name, parameters, python, _ in HELPERS)
CUDA = "#define infinity INFINITY\n#define not_a_number T(NAN)\n" + "".join(
    f"template <typename T> __device__ T {name}({', '.join(f'T {p}' for p in parameters.split(', '))}) "
    f"{{ return {c}; }}\n"
    for name, parameters, _, c in HELPERS)

# tanh as a ratio of polynomials (the coefficients are Eigen's, the error at most 3e-7): unlike a call into the maths
# library, it can be vectorised.
TANH = {"float64": "tanh = math.tanh", "float32": """
@njit(inline="always", **FAST)
def tanh(x):
    x = max(min(x, T(9.3)), T(-9.3))
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
    return max(min(x * p / q, T(1)), T(-1))  # for large x the ratio exceeds 1, to which float32's tanh rounds
"""}

