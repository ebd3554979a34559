"""A filter of its own for every pixel, as in DFN: a convolution whose weights are not shared, and are computed.

The maps work colour by colour: with the few colours as the last axis, NumPy's inner loop would be too short.
"""

import functools
import operator

from tinypredrnn.autograd.grid import grid, unfold
from tinypredrnn.autograd.op import NEW, op
from tinypredrnn.backend import array_module
from tinypredrnn.errors import ShapeError


def filter_grid(filters_shape):
    """The Grid of filters (B,H,W,kh,kw)."""
    return grid(filters_shape[1:3], filters_shape[3:])


def weigh(filters, windows):
    """(B,H,W,kh,kw), (B,H,W,kh,kw,C) -> (B,H,W,C)"""
    xp, colours = array_module(windows), range(windows.shape[-1])
    return xp.stack([xp.einsum("npqij,npqij->npq", filters, windows[..., c]) for c in colours], axis=-1)


def gather(dy, filters):
    """The transpose of local_filter with respect to x: pixel (p, q) of x gets from each output around it its cotangent,
    weighted as the filter there weighs (p, q). So this is a local filter as well, of weights that are read diagonally:
    element (i, j) comes from i rows below, j columns to the right, and is element (-i, -j) of the filter there."""
    g, xp = filter_grid(filters.shape), array_module(dy)
    g = g._replace(before=g.after, after=g.before)  # as in a mirror
    padded = xp.pad(filters, ((0, 0), *zip(g.before, g.after), (0, 0), (0, 0)))[..., ::-1, ::-1]
    n, p, q, i, j = padded.strides
    return weigh(xp.lib.stride_tricks.as_strided(padded, filters.shape, (n, p, q, p + i, q + j)), unfold(dy, g))


def pair(dy, x, filters_shape):
    """The transpose of local_filter with respect to its filters: (B,H,W,C), (B,H,W,C) -> (B,H,W,kh,kw)"""
    windows = unfold(x, filter_grid(filters_shape))
    return functools.reduce(operator.iadd, (dy[..., c, None, None] * windows[..., c] for c in range(x.shape[-1])))


@op(NEW, x=gather, filters=pair)
def local_filter(x, filters):
    """Weigh the neighbourhood of each pixel with a filter of its own: y[n,p,q,c] = sum over i,j of filters[n,p,q,i,j]
    x[n, p + i - (kh - 1) // 2, q + j - (kw - 1) // 2, c], with zeros around x.

    x (B,H,W,C), filters (B,H,W,kh,kw) -> (B,H,W,C). Raises ShapeError if the shapes do not fit.
    """
    shapes = [getattr(part, "shape", ()) for part in (x, filters)]
    if [len(shape) for shape in shapes] != [4, 5] or shapes[0][:3] != shapes[1][:3] or shapes[0][3] == 0:
        raise ShapeError("local_filter: expected x (B,H,W,C) with C from 1 and filters (B,H,W,kh,kw), got "
                         f"x {shapes[0]} and filters {shapes[1]}")
    return weigh(filters, unfold(x, filter_grid(filters.shape)))
