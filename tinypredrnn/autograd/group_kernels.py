"""The numba kernels of softmax and normalise, which normalisation.py calls.

All of them add in float64, and in an order that does not depend on the number of threads. They name each element by all
of its indices, since a view of a row would cost more than computing a short row.
"""

import math

import numpy as np

from tinypredrnn.compiled import kernel

# softmax: each row of (N, n) is a group

PIECE = 256  # of a row: sums of pieces are added, so that rounding errors do not grow with the length


@kernel(nogil=True, fastmath={"nnan", "nsz"})
def largest(x, r):
    """The largest element of row r; among NaN it may be any, since their softmax is NaN, whatever is subtracted."""
    top = x[r, 0]
    for k in range(x.shape[1]):
        top = max(top, x[r, k])
    return top


@kernel(nogil=True, fastmath={"reassoc"})
def sum_of(x, r):
    """The sum of row r"""
    total, n = 0.0, x.shape[1]
    for start in range(0, n, PIECE):
        part = 0.0
        for k in range(start, min(start + PIECE, n)):
            part += x[r, k]
        total += part
    return total


@kernel(nogil=True, fastmath={"reassoc"})
def sum_of_products(x, y, r):
    """The sum of row r of x times that of y"""
    total, n = 0.0, x.shape[1]
    for start in range(0, n, PIECE):
        part = 0.0
        for k in range(start, min(start + PIECE, n)):
            part += np.float64(x[r, k]) * y[r, k]
        total += part
    return total


@kernel(nogil=True)
def max_to_0(x, y):
    """y = x minus the largest of its row"""
    for r in range(x.shape[0]):
        top = largest(x, r)
        for k in range(x.shape[1]):
            y[r, k] = x[r, k] - top


LEAST = np.float32(-88)  # exp of less is 0 here; it would be less than the smallest number of full precision
ROUND = np.float32(3 << 22)  # a float32 of this size has no digits after the point: adding it rounds
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
EXP = tuple(map(np.float32, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
                             5.0000001201e-1)))


@kernel(nogil=True, fastmath={"contract"})
def exp_of(x, y):
    """y = exp(x) for float32 up to 0, to within 2e-7 of it. Unlike a call into the maths library, it is vectorised.

    exp(x) = 2^n exp(f) with a whole n and |f| < 0.35. The polynomial for exp(f) is that of Cephes' expf, and 2^n is put
    together from its bits.
    """
    for r in range(x.shape[0]):
        for k in range(x.shape[1]):
            v = x[r, k]
            v = LEAST if v < LEAST else v  # NaN stays NaN
            rounded = v * LOG2_E + ROUND
            n = rounded - ROUND
            f = v - n * LN2_HIGH - n * LN2_LOW
            p = EXP[0]
            p = p * f + EXP[1]
            p = p * f + EXP[2]
            p = p * f + EXP[3]
            p = p * f + EXP[4]
            p = p * f + EXP[5]
            p = p * f * f + f + np.float32(1)
            bits = (np.float32(rounded).view(np.int32) << np.int32(23)) + np.int32(127 << 23)
            y[r, k] = p * np.int32(bits).view(np.float32)


@kernel(nogil=True, error_model="numpy")
def divide_by_sum(y):
    """y /= the sum of its row"""
    for r in range(y.shape[0]):
        factor = y.dtype.type(1 / sum_of(y, r))
        for k in range(y.shape[1]):
            y[r, k] *= factor


@kernel(nogil=True)
def softmax_rule(dy, y, dx):
    """dx = y (dy - the sum of dy y)"""
    for r in range(y.shape[0]):
        shift = y.dtype.type(sum_of_products(dy, y, r))
        for k in range(y.shape[1]):
            dx[r, k] = y[r, k] * (dy[r, k] - shift)


# normalise: a block of (blocks, rows, columns) is a group if `whole`, otherwise each of its columns is one. In sums of
# rows, each row is itself a sum of ROWS rows of the block, and row 0 gets the result

ROWS = 16  # so many are added one after the other; their sums are then added pairwise, as NumPy does


@kernel(nogil=True)
def fold(sums):
    """Add the rows pairwise into row 0."""
    count, columns = sums.shape
    while count > 1:
        half = (count + 1) // 2
        for k in range(count - half):
            for c in range(columns):
                sums[k, c] += sums[half + k, c]
        count = half


@kernel(nogil=True)
def average(sums, rows, whole):
    """For each column, the mean of its group, in row 0."""
    fold(sums)
    columns = sums.shape[1]
    if whole:
        mean = sum_of(sums, 0) / (rows * columns)
        for c in range(columns):
            sums[0, c] = mean
    else:
        for c in range(columns):
            sums[0, c] /= rows


@kernel(nogil=True, error_model="numpy")
def moments(x, b, mean, scale, eps, whole):
    """Of block b of x, for each column, the mean and 1 / the standard deviation of its group"""
    _, rows, columns = x.shape
    for k in range(mean.shape[0]):
        for c in range(columns):
            mean[k, c] = 0
        for r in range(k * ROWS, min((k + 1) * ROWS, rows)):
            for c in range(columns):
                mean[k, c] += x[b, r, c]
    average(mean, rows, whole)
    for k in range(scale.shape[0]):
        for c in range(columns):
            scale[k, c] = 0
        for r in range(k * ROWS, min((k + 1) * ROWS, rows)):
            for c in range(columns):
                scale[k, c] += (x[b, r, c] - mean[0, c]) ** 2
    average(scale, rows, whole)
    for c in range(columns):  # the square root is taken only once for a whole block
        scale[0, c] = scale[0, 0] if whole and c else 1 / math.sqrt(scale[0, c] + eps)


@kernel(nogil=True, error_model="numpy")
def normalise(first, last, x, gain, bias, y, eps, whole):
    """Blocks first ... last of y; gain and bias have a number for each column."""
    _, rows, columns = x.shape
    count = -(-rows // ROWS)
    mean, scale = np.empty((count, columns)), np.empty((count, columns))
    for b in range(first, last):
        moments(x, b, mean, scale, eps, whole)
        for r in range(rows):
            for c in range(columns):
                y[b, r, c] = (x[b, r, c] - mean[0, c]) * scale[0, c] * gain[c] + bias[c]


@kernel(nogil=True, error_model="numpy")
def normalise_rule(first, last, dy, x, gain, dx, dgain, dbias, eps, whole):
    """Blocks first ... last of dx, and what they add to dgain and dbias, unless these have no columns."""
    _, rows, columns = x.shape
    count = -(-rows // ROWS)
    mean, scale = np.empty((count, columns)), np.empty((count, columns))
    along_1, along_y = np.empty((count, columns)), np.empty((count, columns))  # sums of dy, and of dy y
    for b in range(first, last):
        moments(x, b, mean, scale, eps, whole)
        for k in range(count):
            for c in range(columns):
                along_1[k, c] = along_y[k, c] = 0
            for r in range(k * ROWS, min((k + 1) * ROWS, rows)):
                for c in range(columns):
                    along_1[k, c] += dy[b, r, c]
                    along_y[k, c] += dy[b, r, c] * ((x[b, r, c] - mean[0, c]) * scale[0, c])
        fold(along_1)
        fold(along_y)
        for c in range(dgain.shape[1]):
            dbias[b, c], dgain[b, c] = along_1[0, c], along_y[0, c]
        for c in range(columns):
            along_1[0, c] *= gain[c]
            along_y[0, c] *= gain[c]
        average(along_1[:1], rows, whole)
        average(along_y[:1], rows, whole)
        for r in range(rows):
            for c in range(columns):
                y = (x[b, r, c] - mean[0, c]) * scale[0, c]
                dx[b, r, c] = scale[0, c] * (dy[b, r, c] * gain[c] - along_1[0, c] - y * along_y[0, c])
