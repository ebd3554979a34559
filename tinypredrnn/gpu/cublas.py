"""What convolution.py computes, by cuBLAS: one matrix product for each tap of the kernel. Same functions, same arrays.

It needs little memory, works on every GPU and in every float dtype, and is what our own kernel is checked against.
"""

import itertools

from tinypredrnn import gpu
from tinypredrnn.backend import array_module


def taps(g):
    """For each tap (i, j) of the kernel: (i, j, the slices of a padded frame that it meets)."""
    for i, j in itertools.product(*map(range, g.kernel)):
        yield i, j, (slice(None), slice(i, i + g.out[0]), slice(j, j + g.out[1]))


def padded(batch, channels, like, g):
    """Zeros (B,H+..,W+..,C), as large as the windows reach, and the frame within."""
    size = [n + k - 1 for n, k in zip(g.out, g.kernel)]
    whole = array_module(like).zeros((batch, *size, channels), like.dtype)
    return whole, whole[:, g.before[0]:g.before[0] + g.size[0], g.before[1]:g.before[1] + g.size[1]]


def join_padded(frames, g):
    """The frames, one or two side by side, with zeros around."""
    whole, inner = padded(len(frames[0]), sum(a.shape[3] for a in frames), frames[0], g)
    first = 0
    for a in frames:
        inner[..., first:first + a.shape[3]] = a
        first += a.shape[3]
    return whole


def flat(a):
    return a.reshape(-1, a.shape[-1])


def convolve(frames, w, b, g):
    """y (B,H',W',K)"""
    x = join_padded(frames, g)
    y = sum(gpu.product(flat(x[place]), w[i, j]) for i, j, place in taps(g))
    return (y if b is None else y + b).reshape(len(x), *g.out, w.shape[3])


def input_gradients(dy, w, channels, g):
    """A gradient (B,H,W,C) for each of the frames, one or two, that had so many `channels`."""
    dx, inner = padded(len(dy), sum(channels), dy, g)
    for i, j, place in taps(g):
        dx[place] += gpu.product(flat(dy), w[i, j].T).reshape(*dy.shape[:3], sum(channels))
    ends = list(itertools.accumulate(channels))
    return [inner[..., end - count:end].copy() for count, end in zip(channels, ends)]


def weight_gradient(frames, dy, g, dw=None, db=None, with_bias=True):
    """(dw, db), added in place to what is given; db is None if there is no bias."""
    x, xp = join_padded(frames, g), array_module(dy)
    dw = xp.zeros((*g.kernel, x.shape[3], dy.shape[3]), dy.dtype) if dw is None else dw
    for i, j, place in taps(g):
        dw[i, j] += gpu.product(flat(x[place]).T, flat(dy))
    if db is not None:
        db += flat(dy).sum(axis=0)
    elif with_bias:
        db = flat(dy).sum(axis=0)
    return dw, db
