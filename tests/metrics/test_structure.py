"""SSIM against scikit-image's, frame by frame and channel by channel, and against its equation."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from own_frames import frames, random_frames, scores
from skimage.metrics import structural_similarity

from tinypredrnn import metrics


def test_ssim_of_flat_frames():
    a, b, c1 = (
        0.25,
        0.75,
        0.01**2,
    )  # without contrast only the luminance term of Wang et al. (2004), Equation 6, is left
    assert scores(frames(a), frames(b))["ssim"] == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-9)


def test_ssim_of_one_window():
    p, y = random_frames((2, 1, 1, 7, 7, 1)).astype(np.float64)
    (var_p, cov), (_, var_y) = np.cov(p.ravel(), y.ravel())
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * p.mean() * y.mean() + c1) / (p.mean() ** 2 + y.mean() ** 2 + c1)
    assert scores(p, y)["ssim"] == pytest.approx(luminance * (2 * cov + c2) / (var_p + var_y + c2), rel=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_images(channels):
    prediction, truth = random_frames((2, 2, 3, 9, 12, channels)).astype(np.float64)
    expected = np.zeros(3)
    for n in range(2):
        for t in range(3):
            for c in range(channels):
                expected[t] += (
                    structural_similarity(prediction[n, t, ..., c], truth[n, t, ..., c], data_range=1) / 2 / channels
                )
    np.testing.assert_allclose(metrics.score(prediction, truth)["ssim"], expected, rtol=1e-12)


def test_import_does_not_import_scikit_image():
    code = "import sys, tinypredrnn.metrics; sys.exit('skimage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_ssim_leaves_out_windows_with_unknown_pixels():
    prediction, truth = random_frames((2, 3, 12, 13, 2)).astype(np.float64)
    truth[0, 5, 9, 0], truth[0, :, :3, 1] = np.nan, np.nan
    truth[1, 3, 6, 0], truth[1, ..., 1] = np.nan, np.nan
    truth[2, 6, :, :] = np.nan
    truth[2, :6] = np.nan  # 5 rows are left, and no window
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = metrics.ssim(prediction, truth)
    for frame in range(2):
        windows = [
            metrics.ssim(p[..., None], y[..., None])
            for c in range(2)
            for top in range(6)
            for left in range(7)
            for p, y in [(a[frame, top : top + 7, left : left + 7, c] for a in (prediction, truth))]
            if not np.isnan(y).any()
        ]
        assert 0 < len(windows) < 6 * 7 * 2 and got[frame] == pytest.approx(np.mean(windows), rel=1e-9)
    assert np.isnan(got[2])
