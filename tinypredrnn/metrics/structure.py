"""SSIM: the structural similarity of two frames."""

import numpy as np

from tinypredrnn.errors import ShapeError
from tinypredrnn.metrics.metric import mean_of

SSIM_WINDOW = 7
OPTIONS = {"win_size": SSIM_WINDOW, "data_range": 1}


def ssim(prediction, truth):
    """The structural similarity (Wang et al., 2004) by scikit-image, two (...,H,W,C) -> (...): the paper's Figure 5.

    It uses a uniform 7x7 window and range 1, and is the mean over windows and channels. A window that contains a NaN of
    either frame is left out; the result is NaN if no window remains. Raises ShapeError if frames are smaller than a
    window.
    """
    from skimage.metrics import structural_similarity  # takes a second to import

    *frames, height, width, channels = truth.shape
    if min(height, width) < SSIM_WINDOW:
        raise ShapeError(
            f"SSIM expects frames of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, the size of its window, "
            f"and got {height}x{width}: score larger frames."
        )
    prediction, truth = (np.moveaxis(a, -1, -3).reshape(-1, channels, height, width) for a in (prediction, truth))
    pairs = zip(prediction.reshape(-1, height, width), truth.reshape(-1, height, width), strict=True)
    values = np.reshape([structural_similarity(p, y, **OPTIONS) for p, y in pairs], (-1, channels)).mean(axis=-1)
    for frame in np.flatnonzero(np.isnan(values)):
        values[frame] = _of_whole_windows(prediction[frame], truth[frame])
    return values.reshape(frames)


def _of_whole_windows(prediction, truth):
    """The mean over the windows of (C,H,W) without a NaN; NaN if there are none."""
    from skimage.metrics import structural_similarity

    unknown = np.isnan(prediction) | np.isnan(truth)
    # only windows that are left out contain these 0
    filled = (np.where(unknown, 0, frame) for frame in (prediction, truth))
    around = np.stack(
        [structural_similarity(p, y, full=True, **OPTIONS)[1] for p, y in zip(*filled)]
    )  # for each pixel, (C,H,W)
    inside = slice(SSIM_WINDOW // 2, -(SSIM_WINDOW // 2))  # the pixels around which there is a whole window
    broken = np.lib.stride_tricks.sliding_window_view(unknown, (SSIM_WINDOW, SSIM_WINDOW), axis=(1, 2)).any((-2, -1))
    whole = around[:, inside, inside][~broken]
    return whole.mean() if whole.size else np.nan


SSIM = mean_of(ssim, "ssim", "SSIM", "", higher_is_better=True)
