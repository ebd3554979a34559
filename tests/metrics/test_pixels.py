"""Each metric against a case small enough to compute by hand."""

import warnings

import numpy as np
import pytest
from own_frames import SHAPE, frames, random_frames, scores

from tinypredrnn import metrics


def test_errors_are_summed_over_pixels_after_clipping():
    prediction = frames(0)
    prediction[0, 0, 0, :4, 0] = 0.5, 1.7, -0.3, -1.0  # clipped: 0.5, 1, 0, 0
    got = scores(prediction, frames(0))
    assert got["mse"] == 1.25
    assert got["mae"] == 1.5
    assert got["psnr"] == pytest.approx(-10 * np.log10(1.25 / 64), rel=1e-12)
    assert scores(frames(9), frames(1))["mse"] == 0


def test_channels_count_as_pixels():
    got = scores(frames(0.5, (1, 1, 8, 8, 3)), frames(0, (1, 1, 8, 8, 3)))
    assert got["mse"] == 0.25 * 8 * 8 * 3
    assert got["psnr"] == pytest.approx(10 * np.log10(4), rel=1e-12)


def test_cross_entropy():
    assert scores(frames(0.5), frames(1))["ce"] == pytest.approx(64 * np.log(2), rel=1e-12)
    assert scores(frames(0), frames(1))["ce"] == pytest.approx(64 * -np.log(1e-6), rel=1e-12)
    assert scores(frames(1), frames(1))["ce"] == pytest.approx(64 * 1e-6, rel=1e-5)  # certain and right is almost free
    gray = scores(frames(0.25), frames(0.75))["ce"]
    assert gray == pytest.approx(-64 * (0.75 * np.log(0.25) + 0.25 * np.log(0.75)), rel=1e-12)


def test_cross_entropy_is_at_least_the_entropy_of_the_truth():
    truth = random_frames(SHAPE)
    y = truth.astype(np.float64)
    entropy = -(y * np.log(y) + (1 - y) * np.log(1 - y)).sum()
    assert scores(truth, truth)["ce"] == pytest.approx(entropy, rel=1e-9)
    for seed in range(1, 6):
        assert scores(truth + 0.01 * random_frames(SHAPE, seed), truth)["ce"] > entropy


def test_perfect_frames():
    truth = random_frames(SHAPE)
    for protocol in metrics.PROTOCOLS:
        got = scores(truth, truth, protocol)
        assert (got["mse"], got["mae"], got["ssim"]) == (0, 0, pytest.approx(1, abs=1e-12))
        assert got["psnr"] == pytest.approx(100)  # the error is floored at 1e-10


def test_sums_are_float64():
    tenth = float(np.float32(0.1))
    assert scores(frames(0.1, (1, 1, 300, 300, 1)), frames(0, (1, 1, 300, 300, 1)))["mse"] == pytest.approx(
        9e4 * tenth**2, rel=1e-12
    )


@pytest.mark.parametrize("of_pixels", [metrics.mse, metrics.mae, metrics.cross_entropy, metrics.psnr])
def test_unknown_pixels_count_for_nothing(of_pixels):
    """As if the frame had no such pixels; and a frame without any known pixel has no score."""
    prediction, truth = random_frames((2, 3, 8, 8, 2)).astype(np.float64)
    truth[0, :4], truth[2] = np.nan, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = of_pixels(prediction, truth)
    assert got[0] == pytest.approx(of_pixels(prediction[0, 4:], truth[0, 4:]), rel=1e-12)
    assert got[1] == of_pixels(prediction[1], truth[1]) and np.isnan(got[2])
    assert of_pixels(prediction[0], truth[0]) == pytest.approx(got[0])  # a single frame as well
