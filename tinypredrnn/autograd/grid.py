"""Where the windows of a kernel lie on a frame, and the two maps between frames and windows, which are transposes of each other."""

from typing import NamedTuple

import numpy as np

from tinypredrnn.backend import array_module
from tinypredrnn.errors import ConfigError, ShapeError


class Grid(NamedTuple):
    """Where the windows of a kernel lie: over a frame of `size` + padding, one every `stride` pixels, `out` of them each way."""

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


def grid(size, kernel, stride=1, dilation=1, padding="same"):
    """The Grid of a kernel on frames of `size`. padding: "valid" (none), "same" (out = ceil(size / stride)), or pixels on each side."""
    if not all(isinstance(n, (int, np.integer)) for n in (stride, dilation, *kernel)):
        raise ConfigError("convolution: stride, dilation and the sides of the kernel must be whole numbers, got stride "
                          f"{stride}, dilation {dilation} and kernel {kernel}")
    if min(stride, dilation, *kernel) < 1:
        raise ConfigError(f"convolution: stride, dilation and kernel start at 1, got {stride}, {dilation}, {tuple(kernel)}")
    reach = [(k - 1) * dilation + 1 for k in kernel]
    check_padding(padding)
    if padding == "same":
        total = [max((-(-n // stride) - 1) * stride + r - n, 0) for n, r in zip(size, reach)]
        before = [t // 2 for t in total]  # of an odd number, the extra zero goes after
        after = [t - b for t, b in zip(total, before)]
    else:
        before = after = [0 if padding == "valid" else padding] * 2
    out = tuple((n + b + a - r) // stride + 1 for n, b, a, r in zip(size, before, after, reach))
    if min(out) < 1:
        raise ShapeError(f"convolution: a kernel that reaches over {tuple(reach)} pixels does not fit into frames of {tuple(size)}")
    return Grid(tuple(size), tuple(kernel), stride, dilation, tuple(before), tuple(after), out)


def check_padding(padding):
    if padding not in ("same", "valid") and not (isinstance(padding, (int, np.integer)) and padding >= 0):
        raise ConfigError(f'convolution: padding is "same", "valid" or a number of pixels, got {padding!r}')


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
