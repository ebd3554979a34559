"""Toom and Cook's product of polynomials, its matrices as exact fractions, and how accurate it is in float32.

The product of two polynomials with r and m coefficients has n = m + r - 1, so its values at n points determine it:
evaluate both factors there, multiply the values, interpolate. This takes n multiplications instead of m r. For a fixed
polynomial g it is a linear map from m numbers h to n numbers; the transposed map takes n numbers d to m, and is the
convolution of d with the kernel g:

    product of g and h           B [(G g) . (A h)]         G and A evaluate, B interpolates
    convolution of d with g      A^T [(G g) . (B^T d)]     the same, transposed, so from the last step to the first

S. Winograd, Arithmetic Complexity of Computations (1980).
"""

import functools
import math
from fractions import Fraction

from tinypredrnn.errors import ConfigError

# exact matrices

def points(count):
    """`count` small fractions to evaluate polynomials at. Those for 4, 5 and 6 were found by a search among pairs a, -a
    for small rounding errors, which grow like the sum of |A_i|^2 |G_i|^2 |B_i|^2 over rows i. With the usual five, 0,
    1, -1, 2, -2, they are twice as large."""
    best = {4: "0 2/3 -2/3 2", 5: "0 2/3 -2/3 3/2 -3/2", 6: "0 1/2 -1/2 1 -1 3"}
    found = [Fraction(a) for a in best.get(count, "0 1 -1 2 -2 1/2 -1/2 4 -4 1/4 -1/4 8 -8 1/8 -1/8").split()]
    if count > len(found):
        raise ConfigError(f"winograd: tile + kernel - 1 must be at most {len(found) + 1}, got {count + 1}: choose a "
                          "smaller tile")
    return found[:count]


@functools.cache
def toom_cook(m, r):
    """(A, G, B^T), each n = m + r - 1 rows of Fractions, such that for m outputs of a kernel g of r elements on n
    inputs d

        sum_j g[j] d[k+j] = sum_i A[i][k] (G g)[i] (B^T d)[i]

    A row of A or G evaluates a polynomial at a point; the last row, "at infinity", picks its highest coefficient. A row
    of B^T is the polynomial that is zero at all other points. It interpolates once it is divided by its value at its
    own point; G does that division.
    """
    if min(m, r) < 1:
        raise ConfigError(f"winograd: tiles and kernels start at 1, got {m} and {r}")
    finite, n = points(m + r - 2), m + r - 1
    interpolate = [from_roots([b for b in finite if b != a], n) for a in finite] + [from_roots(finite, n)]
    values = [sum(c * a ** k for k, c in enumerate(row)) for a, row in zip(finite, interpolate)] + [1]
    divided = tuple(tuple(c / value for c in row) for row, value in zip(powers(finite, r), values))
    return powers(finite, m), divided, tuple(interpolate)


def powers(finite, size):
    """The rows that evaluate a polynomial of `size` coefficients at the finite points and at infinity."""
    return *(tuple(a ** k for k in range(size)) for a in finite), tuple(Fraction(k == size - 1) for k in range(size))


def from_roots(roots, size):
    """The `size` coefficients, lowest first, of the polynomial with these roots."""
    polynomial = [Fraction(1)] + [Fraction(0)] * (size - 1)
    for root in roots:
        polynomial = [below - root * c for below, c in zip([Fraction(0)] + polynomial, polynomial)]
    return tuple(polynomial)


# accuracy

ERROR = 1e-5  # the relative error, as norms, that a convolution in float32 may have if its tiles are chosen here
SUMMED = 2.2e-8  # rounding error of a float32 sum of n products that are added one by one, divided by sqrt(n)
TRANSFORMED_TO = 1.5e-7  # relative rounding error of the transformed numbers


@functools.cache
def longest_sum(kernel, m):
    """Over how many channels, features or tiles a convolution with a kernel (kh, kw) and tiles of m x m may sum without
    exceeding ERROR.

    Rounding errors are independent of each other, so their squares add up. The squared error of a frequency arrives in
    an output multiplied by the squared norms of that frequency's rows of A, G and B.
    """
    def square(row):
        return float(sum(c * c for c in row))

    squares = math.prod(sum(square(a) * square(g) * square(b) for a, g, b in zip(*toom_cook(m, r))) / (m * r)
                        for r in kernel)
    return int((ERROR ** 2 / squares - TRANSFORMED_TO ** 2) / SUMMED ** 2)
