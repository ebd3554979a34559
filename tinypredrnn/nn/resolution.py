"""Half the resolution and back, for frames of any size: half of an odd side is rounded up."""

from tinypredrnn.autograd import max_pool, pad


def halve(x):
    """The largest of each 2x2 block: (B,H,W,C), no number below 0 -> (B,ceil(H/2),ceil(W/2),C)"""
    down, right = x.shape[1] % 2, x.shape[2] % 2
    if down or right:
        x = pad(x, widths=[(0, 0), (0, down), (0, right), (0, 0)])  # with zeros, which are never larger
    return max_pool(x)


def crop(x, size):
    """The upper left part of frames, of `size` (H, W): a side that was rounded up and is doubled again is too long."""
    return x if x.shape[1:3] == tuple(size) else x[:, :size[0], :size[1]]
