"""What turns a number per frame into a metric, and a metric into one of frames with 256 levels."""

import numpy as np
import pytest
from own_frames import frames, random_frames, scores
from skimage.metrics import structural_similarity

from tinypredrnn import metrics


def test_official_protocol_is_computed_on_floored_bytes():
    prediction, truth = random_frames((2, 2, 3, 8, 9, 1))
    p, y = np.uint8(prediction * 255), np.uint8(truth * 255)
    error = np.square(np.int32(p) - np.int32(y)).mean(axis=(2, 3, 4))
    psnr = 20 * np.log10(255) - 10 * np.log10(error)
    ssim = [
        [structural_similarity(a[..., 0], b[..., 0], data_range=255) for a, b in zip(*s, strict=True)]
        for s in zip(p, y, strict=True)
    ]
    got, plain = metrics.score(prediction, truth, protocol="official"), metrics.score(prediction, truth)
    np.testing.assert_allclose(got["psnr"], psnr.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(got["ssim"], np.mean(ssim, axis=0), rtol=1e-10)
    assert np.all(got["psnr"] != plain["psnr"]) and np.all(got["ssim"] != plain["ssim"])
    for name in ("mse", "mae", "ce"):
        np.testing.assert_array_equal(got[name], plain[name])


def test_official_protocol_floors_and_does_not_wrap_around():
    just_below = frames(10.9 / 255)
    assert scores(just_below, frames(10 / 255), "official")["psnr"] == pytest.approx(100)  # the same byte
    one_level = scores(frames(9 / 255), frames(10 / 255), "official")["psnr"]  # 9 - 10 is 255 in uint8
    assert one_level == pytest.approx(20 * np.log10(255), rel=1e-9)
    assert scores(frames(1.5), frames(1), "official")["psnr"] == pytest.approx(
        100
    )  # clipped first: 382 would be byte 126


def test_scores_are_means_over_sequences_for_each_frame():
    truth = frames(0, (2, 3, 8, 8, 1))
    prediction = truth.copy()
    prediction[0, 1] = 1.0  # one of two sequences is wrong, at the second frame
    prediction[1, 2] = 0.1  # and the other at the third
    got = metrics.score(prediction, truth)
    np.testing.assert_allclose(got["mse"], [0, 64 / 2, 0.64 / 2], rtol=1e-6)
    np.testing.assert_allclose(got["mae"], [0, 64 / 2, 6.4 / 2], rtol=1e-6)
    np.testing.assert_allclose(
        got["psnr"], [100, (0 + 100) / 2, (20 + 100) / 2], rtol=1e-6
    )  # a mean of dB, not dB of a mean
    assert all(values.shape == (3,) and values.dtype == np.float64 for values in got.values())


def test_a_mean_leaves_out_frames_without_a_number():
    metric = metrics.mean_of(lambda p, y: (p - y)[..., 0, 0, 0], "bias", "bias", "dBZ", True)
    truth = np.zeros((3, 2, 1, 1, 1))
    prediction = truth + np.array([1.0, 2.0, np.nan])[:, None, None, None, None]
    prediction[2, 1] = 6
    np.testing.assert_array_equal(
        metric.finish(metric.parts(prediction, truth).sum(axis=0)), [(1 + 2) / 2, (1 + 2 + 6) / 3]
    )


def test_floored_frames_have_the_levels_of_float32_frames():
    """In float64 as in float32: the float32 nearest to k/255 becomes k, the next one below it k - 1."""
    seen = []
    metric = metrics.on_levels(metrics.Metric("seen", "", "", True, lambda p, y: seen.append((p, y)), None))
    levels = np.arange(1, 256, dtype=np.float32)
    nearest = levels / np.float32(255)
    below = np.nextafter(nearest, np.float32(0))
    metric.parts(nearest.astype(np.float64), below.astype(np.float64))
    np.testing.assert_array_equal(seen[0], [levels / np.float64(255), np.uint8(below * 255) / 255])
    metric.parts(np.array([np.nan, 0.5]), np.array([np.nan, 1]))
    np.testing.assert_array_equal(seen[1], [[np.nan, 127 / 255], [np.nan, 1]])
