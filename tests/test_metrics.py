"""Each metric against a case small enough to compute by hand, the protocols against each other, and the bookkeeping of Scores."""

import json
import subprocess
import sys

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from tinypredrnn import metrics
from tinypredrnn.errors import ConfigError, DataError, DTypeError, ShapeError

SHAPE = (1, 1, 8, 8, 1)


def frames(value, shape=SHAPE):
    return np.full(shape, value, np.float32)


def random_frames(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def scores(prediction, truth, protocol="float"):
    """The scores of one frame, as numbers."""
    return {name: values.item() for name, values in metrics.score(prediction, truth, protocol).items()}


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


def test_scores_are_means_over_sequences_for_each_frame():
    truth = frames(0, (2, 3, 8, 8, 1))
    prediction = truth.copy()
    prediction[0, 1] = 1.0  # one of two sequences is wrong, at the second frame
    prediction[1, 2] = 0.1  # and the other at the third
    got = metrics.score(prediction, truth)
    np.testing.assert_allclose(got["mse"], [0, 64 / 2, 0.64 / 2], rtol=1e-6)
    np.testing.assert_allclose(got["mae"], [0, 64 / 2, 6.4 / 2], rtol=1e-6)
    np.testing.assert_allclose(got["psnr"], [100, (0 + 100) / 2, (20 + 100) / 2], rtol=1e-6)  # a mean of dB, not dB of a mean
    assert all(values.shape == (3,) and values.dtype == np.float64 for values in got.values())


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


def test_ssim_of_flat_frames():
    a, b, c1 = 0.25, 0.75, 0.01**2  # without contrast only the luminance term of Wang et al. (2004), Equation 6, is left
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
                expected[t] += structural_similarity(prediction[n, t, ..., c], truth[n, t, ..., c], data_range=1) / 2 / channels
    np.testing.assert_allclose(metrics.score(prediction, truth)["ssim"], expected, rtol=1e-12)


def test_official_protocol_is_computed_on_floored_bytes():
    prediction, truth = random_frames((2, 2, 3, 8, 9, 1))
    p, y = np.uint8(prediction * 255), np.uint8(truth * 255)
    error = np.square(np.int32(p) - np.int32(y)).mean(axis=(2, 3, 4))
    psnr = 20 * np.log10(255) - 10 * np.log10(error)
    ssim = [
        [structural_similarity(a[..., 0], b[..., 0], data_range=255) for a, b in zip(*s, strict=True)]
        for s in zip(p, y, strict=True)
    ]
    got, plain = metrics.score(prediction, truth, "official"), metrics.score(prediction, truth)
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
    assert scores(frames(1.5), frames(1), "official")["psnr"] == pytest.approx(100)  # clipped first: 382 would be byte 126


def test_uint8_frames_are_divided_by_255():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16, 1)
    as_float = levels / np.float32(255)
    for protocol in metrics.PROTOCOLS:
        got = scores(levels, as_float, protocol)
        assert got["mse"] == 0 and got["psnr"] == pytest.approx(100)


def test_sums_are_float64():
    tenth = float(np.float32(0.1))
    assert scores(frames(0.1, (1, 1, 300, 300, 1)), frames(0, (1, 1, 300, 300, 1)))["mse"] == pytest.approx(
        9e4 * tenth**2, rel=1e-12
    )


def test_baselines_beside_the_model():
    truth = frames(0, (1, 2, 8, 8, 1))
    truth[0, 1] = 0.5
    collected = metrics.Scores()
    collected.add(frames(0.25, truth.shape), truth, frames(1, (1, 8, 8, 1)))
    result = collected.result()
    assert result["mse_per_frame"] == [4, 4] and result["mse"] == 4
    assert result["copy_last"]["mse_per_frame"] == [64, 16] and result["copy_last_mse"] == result["copy_last"]["mse"] == 40
    assert result["black"]["mse_per_frame"] == [0, 16] and result["black_mse"] == result["black"]["mse"] == 8
    assert (result["mae"], result["copy_last"]["mae"], result["black"]["mae"]) == (16, 48, 16)
    assert result["black"]["psnr_per_frame"] == pytest.approx([100, 10 * np.log10(4)])


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
def test_batches_change_nothing(protocol):
    prediction, truth = random_frames((2, 7, 3, 8, 8, 1))
    last = random_frames((7, 8, 8, 1), seed=1)
    results = []
    for size in (1, 3, 7):
        collected = metrics.Scores(protocol)
        for i in range(0, 7, size):
            collected.add(prediction[i : i + size], truth[i : i + size], last[i : i + size])
        results.append(collected.result())
    assert results[0] == results[1] == results[2]  # bit for bit
    assert results[0]["sequences"] == 7 and results[0]["protocol"] == protocol
    at_once = metrics.score(prediction, truth, protocol)
    for name in metrics.METRICS:
        assert results[0][f"{name}_per_frame"] == at_once[name].tolist()
        assert results[0][name] == pytest.approx(at_once[name].mean(), rel=1e-12)
    copied = metrics.score(np.repeat(last[:, None], 3, axis=1), truth, protocol)
    assert results[0]["copy_last"]["ssim_per_frame"] == copied["ssim"].tolist()


def test_result_is_plain_json():
    truth = frames(1, (1, 2, 8, 8, 1))
    collected = metrics.Scores()
    collected.add(truth, truth, truth[:, 0])
    result = collected.result()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert {"sequences", "protocol", "mse", "mae", "ce", "psnr", "ssim", "copy_last_mse", "black_mse"} <= result.keys()


def test_table():
    collected = metrics.Scores()
    collected.add(frames(0.5, (3, 2, 8, 8, 1)), frames(0, (3, 2, 8, 8, 1)), frames(1, (3, 8, 8, 1)))
    caption, head, *rows = metrics.table(collected.result()).splitlines()
    assert caption == "per frame, mean of 2 predicted frames of 3 sequences, float protocol"
    assert head.split() == ["MSE", "MAE", "CE", "PSNR", "SSIM"]
    assert [len(row) for row in rows] == [len(head)] * 3
    assert rows[0].split() == ["model", "16.00", "32.00", "44.36", "6.02", "0.000"]
    assert rows[1].split() == ["copy", "last", "frame", "64.00", "64.00", "884.19", "0.00", "0.000"]
    assert rows[2].split() == ["all", "black", "0.00", "0.00", "0.00", "100.00", "1.000"]


@pytest.mark.parametrize(
    ("prediction", "truth", "error", "words"),
    [
        (frames(0), frames(0, (1, 2, 8, 8, 1)), ShapeError, "same shape"),
        (frames(0)[0], frames(0), ShapeError, "N,T,H,W,C"),
        (frames(0, (0, 1, 8, 8, 1)), frames(0, (0, 1, 8, 8, 1)), ShapeError, "none of them 0"),
        (frames(0, (1, 1, 8, 6, 1)), frames(0, (1, 1, 8, 6, 1)), ShapeError, "7x7"),
        (frames(np.nan), frames(0), DataError, "prediction.*NaN"),
        (frames(-np.inf), frames(0), DataError, "prediction.*infinity"),
        (frames(0), frames(np.nan), DataError, "truth.*NaN"),
        (frames(0), frames(255), DataError, r"truth must lie in \[0,1\]"),
        (frames(0), frames(-0.1), DataError, r"truth must lie in \[0,1\]"),
        (frames(0).astype(int), frames(0), DTypeError, "int64"),
    ],
)
def test_bad_inputs(prediction, truth, error, words):
    with pytest.raises(error, match=words):
        metrics.score(prediction, truth)


def test_one_nan_among_good_pixels_is_not_clipped_away():
    prediction = random_frames(SHAPE)
    prediction[0, 0, 3, 3, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        metrics.Scores().add(prediction, frames(0), frames(0)[:, 0])


def test_misuse_of_scores():
    with pytest.raises(ConfigError, match="float, official"):
        metrics.Scores("uint8")
    with pytest.raises(ConfigError, match="float, official"):
        metrics.score(frames(0), frames(0), "uint8")
    collected = metrics.Scores()
    with pytest.raises(DataError, match="at least one batch"):
        collected.result()
    with pytest.raises(ShapeError, match="last input"):
        collected.add(frames(0), frames(0), frames(0))
    collected.add(frames(0), frames(0), frames(0)[:, 0])
    with pytest.raises(ShapeError, match="1 predicted frames"):
        collected.add(frames(0, (1, 2, 8, 8, 1)), frames(0, (1, 2, 8, 8, 1)), frames(0)[:, 0])
    with pytest.raises(DataError, match="last input frame must hold finite"):
        collected.add(frames(0), frames(0), frames(np.nan)[:, 0])
    assert collected.result()["sequences"] == 1  # what was refused left no trace


def test_import_does_not_import_scikit_image():
    code = "import sys, tinypredrnn.metrics; sys.exit('skimage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
