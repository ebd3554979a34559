"""The bookkeeping of Scores: whatever the batches, the places without data and the misuse."""

import json
import warnings

import numpy as np
import pytest
from own_frames import SHAPE, frames, random_frames, scores

from tinypredrnn import metrics
from tinypredrnn.errors import ConfigError, DataError, DTypeError, ShapeError

NAMES = [metric.name for metric in metrics.DIGITS]


def test_uint8_frames_are_divided_by_255():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16, 1)
    as_float = levels / np.float32(255)
    for protocol in metrics.PROTOCOLS:
        got = scores(levels, as_float, protocol)
        assert got["mse"] == 0 and got["psnr"] == pytest.approx(100)


def test_baselines_beside_the_model():
    truth = frames(0, (1, 2, 8, 8, 1))
    truth[0, 1] = 0.5
    collected = metrics.Scores()
    collected.add(frames(0.25, truth.shape), truth, frames(1, (1, 1, 8, 8, 1)))
    result = collected.result()
    assert result["mse_per_frame"] == [4, 4] and result["mse"] == 4
    assert (
        result["copy_last"]["mse_per_frame"] == [64, 16] and result["copy_last_mse"] == result["copy_last"]["mse"] == 40
    )
    assert result["black"]["mse_per_frame"] == [0, 16] and result["black_mse"] == result["black"]["mse"] == 8
    assert (result["mae"], result["copy_last"]["mae"], result["black"]["mae"]) == (16, 48, 16)
    assert result["black"]["psnr_per_frame"] == pytest.approx([100, 10 * np.log10(4)])


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
def test_batches_change_nothing(protocol):
    prediction, truth = random_frames((2, 7, 3, 8, 8, 1))
    inputs = random_frames((7, 2, 8, 8, 1), seed=1)
    results = []
    for size in (1, 3, 7):
        collected = metrics.Scores(protocol=protocol)
        for i in range(0, 7, size):
            collected.add(prediction[i : i + size], truth[i : i + size], inputs[i : i + size])
        results.append(collected.result())
    assert results[0] == results[1] == results[2]  # bit for bit
    assert results[0]["sequences"] == 7 and results[0]["protocol"] == protocol
    at_once = metrics.score(prediction, truth, protocol=protocol)
    for name in NAMES:
        assert results[0][f"{name}_per_frame"] == at_once[name].tolist()
        assert results[0][name] == pytest.approx(at_once[name].mean(), rel=1e-12)
    copied = metrics.score(np.repeat(inputs[:, -1:], 3, axis=1), truth, protocol=protocol)
    assert results[0]["copy_last"]["ssim_per_frame"] == copied["ssim"].tolist()


def test_result_is_plain_json():
    truth = frames(1, (1, 2, 8, 8, 1))
    collected = metrics.Scores()
    collected.add(truth, truth, truth[:, :1])
    result = collected.result()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert {"sequences", "protocol", "mse", "mae", "ce", "psnr", "ssim", "copy_last_mse", "black_mse"} <= result.keys()


@pytest.mark.parametrize(
    ("prediction", "truth", "error", "words"),
    [
        (frames(0), frames(0, (1, 2, 8, 8, 1)), ShapeError, "same shape"),
        (frames(0)[0], frames(0), ShapeError, "N,T,H,W,C"),
        (frames(0, (0, 1, 8, 8, 1)), frames(0, (0, 1, 8, 8, 1)), ShapeError, "none of them 0"),
        (frames(0, (1, 1, 8, 6, 1)), frames(0, (1, 1, 8, 6, 1)), ShapeError, "7x7"),
        (frames(np.nan), frames(0), DataError, "prediction.*NaN"),
        (frames(-np.inf), frames(0), DataError, "prediction.*infinity"),
        (frames(0), frames(np.inf), DataError, r"truth must lie in \[0,1\]"),
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
        metrics.Scores().add(prediction, frames(0), frames(0))


def test_misuse_of_scores():
    with pytest.raises(ConfigError, match="float, official"):
        metrics.Scores(protocol="uint8")
    with pytest.raises(ConfigError, match="float, official"):
        metrics.score(frames(0), frames(0), protocol="uint8")
    with pytest.raises(ConfigError, match="copy_last, black.*'white'"):
        metrics.Scores(baselines=("white",))
    for wrong in ((metrics.MSE, metrics.MSE), ()):
        with pytest.raises(ConfigError, match="different names"):
            metrics.Scores(wrong)
    forgetful = metrics.MSE._replace(parts=metrics.mse)  # (N,T), no axis of parts
    with pytest.raises(ShapeError, match=r"parts of mse must have the shape \(N,T,P\)"):
        metrics.score(frames(0), frames(0), [forgetful])
    collected = metrics.Scores()
    with pytest.raises(DataError, match="at least one batch"):
        collected.result()
    with pytest.raises(ShapeError, match=r"input frames must have the shape \(1,J,8,8,1\)"):
        collected.add(frames(0), frames(0), frames(0)[:, 0])
    collected.add(frames(0), frames(0), frames(0))
    before = collected.result()
    with pytest.raises(ShapeError, match="1 predicted frames"):
        collected.add(frames(0, (1, 2, 8, 8, 1)), frames(0, (1, 2, 8, 8, 1)), frames(0))
    with pytest.raises(DataError, match="input frames must lie in"):
        collected.add(frames(0), frames(0), frames(2))
    with pytest.raises(ShapeError, match="give the frames before the truth"):
        collected.add(frames(0), frames(0))
    with pytest.raises(ShapeError, match="7x7"):
        collected.add(frames(1)[:, :, :5], frames(0)[:, :, :5], frames(0)[:, :, :5])
    assert collected.result() == before  # what was refused left no trace


def test_the_caller_says_which_metrics_and_baselines():
    collected = metrics.Scores([metrics.MAE], ["black"])
    collected.add(frames(0.5), frames(1), frames(0))
    result = collected.result()
    assert (result["mae"], result["black"]["mae"], result["black_mae"]) == (32, 64, 64)
    assert not {"mse", "copy_last", "copy_last_mae"} & result.keys()
    assert result["metrics"] == [
        {"name": "mae", "title": "MAE", "unit": "sum over pixels", "higher_is_better": False, "panel": False}
    ]
    assert metrics.score(frames(0.5), frames(1), [metrics.MAE]) == {"mae": [32]}


def test_means_of_baselines_are_at_hand():
    prediction, truth = random_frames((2, 3, 2, 8, 8, 1))
    collected = metrics.Scores()
    collected.add(prediction, truth, random_frames((3, 1, 8, 8, 1), seed=1))
    result = collected.result()
    for baseline in ("copy_last", "black"):
        assert [result[f"{baseline}_{name}"] for name in NAMES] == [result[baseline][name] for name in NAMES]


def test_a_baseline_of_ones_own(monkeypatch):
    white = metrics.Baseline("all white", "white", "all is white", lambda inputs, shape: np.ones(shape, np.float32))
    monkeypatch.setitem(metrics.BASELINES, "white", white)
    collected = metrics.Scores([metrics.MSE], ["white"])
    collected.add(frames(0.5), frames(0), frames(0))
    assert collected.result()["white_mse"] == 64
    assert metrics.table(collected.result()).splitlines()[-1].split() == ["all", "white", "64.00"]
    assert metrics.comparison(collected.result()) == ["MSE is 0.25 of white"]


@pytest.mark.parametrize("protocol", metrics.PROTOCOLS)
def test_places_without_data(protocol):
    """They count for nothing, whatever is predicted there: as if the frames ended before them."""
    prediction, truth = random_frames((2, 3, 2, 8, 12, 1))
    inputs = random_frames((3, 2, 8, 12, 1), seed=1)
    collected, whole = metrics.Scores(protocol=protocol), metrics.Scores(protocol=protocol)
    whole.add(prediction[:, :, :, :8], truth[:, :, :, :8], inputs[:, :, :, :8])
    truth[:, :, :, 8:] = np.nan
    prediction[0, 0, 0, 8:, 0] = 5, np.nan, np.inf, 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collected.add(prediction, truth, inputs)
    got, expected = collected.result(), whole.result()
    assert got["known"] == pytest.approx(8 / 12) and "known" not in expected
    for row in ((got, expected), (got["copy_last"], expected["copy_last"]), (got["black"], expected["black"])):
        for name in NAMES:
            assert row[0][f"{name}_per_frame"] == pytest.approx(row[1][f"{name}_per_frame"], rel=1e-9)


def test_the_last_frame_is_black_where_it_has_no_data():
    last = frames(1)
    last[0, 0, :4] = np.nan
    collected = metrics.Scores()
    collected.add(frames(1), frames(1), last)
    assert collected.result()["copy_last_mse"] == 32 and "known" not in collected.result()


def test_a_frame_without_data_is_left_out_and_none_at_all_is_null():
    truth = frames(0, (2, 3, 8, 8, 1))
    truth[0, 1], truth[:, 2] = np.nan, np.nan
    prediction = frames(0.5, truth.shape)
    prediction[0] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collected = metrics.Scores()
        collected.add(prediction, truth, truth[:, :1])
        result = collected.result()
        assert result["mse_per_frame"] == [(64 + 16) / 2, 16, None] and result["mse"] == (40 + 16) / 2
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        nothing = metrics.Scores()
        nothing.add(prediction, np.full_like(truth, np.nan), truth[:, :1])
    assert (
        nothing.result()["known"] == 0
        and nothing.result()["ssim"] is None
        and nothing.result()["copy_last_mse"] is None
    )
    assert nothing.result()["copy_last"]["perfect_sequences"] == 0
    np.testing.assert_array_equal(metrics.score(prediction, truth)["mse"], [40, 16, np.nan])


def test_diverged_where_the_truth_is_known():
    prediction, truth = frames(0.5), frames(0)
    truth[0, 0, 0] = np.nan
    prediction[0, 0, 0, 0] = np.nan
    assert scores(prediction, truth)["mse"] == 0.25 * 56
    prediction[0, 0, 1, 0] = np.inf
    with pytest.raises(DataError, match="diverged"):
        metrics.score(prediction, truth)


def test_sequences_that_a_baseline_predicts_without_an_error_are_counted():
    truth = random_frames((4, 2, 8, 8, 1))
    truth[1] = 0
    truth[2] = truth[2, :1]
    truth[2, 1, 0] = np.nan
    last = np.zeros((4, 1, 8, 8, 1), np.float32)
    last[2] = truth[2, :1]
    collected = metrics.Scores()
    for n in range(4):
        collected.add(truth[n : n + 1], truth[n : n + 1], last[n : n + 1])
    result = collected.result()
    assert (result["copy_last"]["perfect_sequences"], result["black"]["perfect_sequences"]) == (2, 1)


def test_only_sums_are_kept():
    collected = metrics.Scores()
    for _ in range(3):
        collected.add(frames(0, (5, 2, 8, 8, 1)), frames(0, (5, 2, 8, 8, 1)), frames(0, (5, 1, 8, 8, 1)))
    assert len(collected.sums) == 3 * 5 and all(sums.shape == (2, 2) for sums in collected.sums.values())
