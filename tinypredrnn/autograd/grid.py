"""The positions of a kernel's windows on a frame, and two maps between frames and windows, each other's transposes."""

import functools
from typing import NamedTuple

from tinypredrnn.autograd.kinds import SIDES
from tinypredrnn.backend import array_module
from tinypredrnn.errors import ShapeError


class Grid(NamedTuple):
    """The windows of a kernel on a frame of `size` + padding: one every `stride` pixels, `out` of them in each
    direction."""

    size: tuple  # (H, W) of the frame
    kernel: tuple  # (kh, kw)
    stride: int
    dilation: int  # distance of neighbouring kernel elements
    before: tuple  # zeros above and to the left
    after: tuple  # zeros below and to the right
    out: tuple  # (H', W')

    def corner(self, i, j):
        """The slices of the padded frame that kernel element (i, j) meets, one pixel for each window."""
        return (slice(None), *(slice(k * self.dilation, k * self.dilation + (n - 1) * self.stride + 1, self.stride)
                               for k, n in zip((i, j), self.out)))


@functools.lru_cache(1000)
def grid(size, kernel, stride=1, dilation=1, padding="same"):
    """The Grid of a kernel on frames of `size`, both tuples. padding: "valid" (none), "same" (out = ceil(size /
    stride)), or pixels on each side. The ops have checked their options before; the kernel may come from the shape of
    weights."""
    kernel = SIDES(kernel, "convolution", "kernel")
    reach = [(k - 1) * dilation + 1 for k in kernel]
    if padding == "same":
        total = [max((-(-n // stride) - 1) * stride + r - n, 0) for n, r in zip(size, reach)]
        before = [t // 2 for t in total]  # of an odd number, the extra zero goes after
        after = [t - b for t, b in zip(total, before)]
    else:
        before = after = [0 if padding == "valid" else padding] * 2
    out = tuple((n + b + a - r) // stride + 1 for n, b, a, r in zip(size, before, after, reach))
    if min(out) < 1:
        raise ShapeError(f"convolution: a kernel that reaches over {tuple(reach)} pixels does not fit into frames of "
                         f"{tuple(size)}")
    return Grid(tuple(size), tuple(kernel), stride, dilation, tuple(before), tuple(after), out)


def unfold(x, g):
    """Every window side by side: (B,H,W,C) -> (B,H',W',kh,kw,C), a view of the padded frames."""
    xp = array_module(x)
    if any(g.before + g.after):
        x = xp.pad(x, ((0, 0), *zip(g.before, g.after), (0, 0)))
    b, h, w, c = x.strides
    return xp.lib.stride_tricks.as_strided(
        x, (len(x), *g.out, *g.kernel, x.shape[-1]), (b, h * g.stride, w * g.stride, h * g.dilation, w * g.dilation, c))


def fold(windows, g):
    """The transpose of unfold: every pixel gets the sum of its copies. (B,H',W',kh,kw,C) -> (B,H,W,C)"""
    xp = array_module(windows)
    padded = [b + n + a for b, n, a in zip(g.before, g.size, g.after)]
    x = xp.zeros((len(windows), *padded, windows.shape[-1]), windows.dtype)
    for i in range(g.kernel[0]):
        for j in range(g.kernel[1]):
            x[g.corner(i, j)] += windows[:, :, :, i, j]
    (top, left), (height, width) = g.before, g.size
    return x[:, top:top + height, left:left + width]
