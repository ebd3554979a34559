"""Scores in words."""

import numpy as np
from own_frames import frames, random_frames

from tinypredrnn import metrics


def test_table():
    collected = metrics.Scores()
    collected.add(frames(0.5, (3, 2, 8, 8, 1)), frames(0, (3, 2, 8, 8, 1)), frames(1, (3, 1, 8, 8, 1)))
    caption, head, *rows = metrics.table(collected.result()).splitlines()
    assert caption == "per frame, mean of 2 predicted frames of 3 sequences, float protocol"
    assert head.split() == ["MSE", "MAE", "CE", "PSNR", "SSIM"]
    assert [len(row) for row in rows] == [len(head)] * 3
    assert rows[0].split() == ["model", "16.00", "32.00", "44.36", "6.02", "0.000"]
    assert rows[1].split() == ["copy", "last", "frame", "64.00", "64.00", "884.19", "0.00", "0.000"]
    assert rows[2].split() == ["all", "black", "0.00", "0.00", "0.00", "100.00", "1.000"]


def entry(prediction, truth, inputs, **options):
    collected = metrics.Scores(**options)
    collected.add(prediction, truth, inputs)
    return collected.result()


def test_entries_from_before_metrics_were_described():
    new = entry(*random_frames((2, 3, 2, 8, 8, 1)), random_frames((3, 1, 8, 8, 1), seed=1))
    old = {name: value for name, value in new.items() if name != "metrics"}
    assert metrics.metrics_of(old) == new["metrics"] and metrics.table(old) == metrics.table(new)
    del old["ce_per_frame"], old["black"]
    assert [metric["name"] for metric in metrics.metrics_of(old)] == ["mse", "mae", "psnr", "ssim"]
    assert metrics.table(old).count("\n") == 3 and "CE" not in metrics.table(old)


def test_a_table_of_other_metrics():
    rain = metrics.MAE._replace(name="rain", title="mean rain", unit="mm/h")
    truth = frames(0, (2, 3, 8, 8, 1))
    truth[:, :, :2] = np.nan
    result = entry(frames(0.5, truth.shape), truth, truth[:, :1], metrics=[rain, metrics.SSIM], baselines=["black"])
    assert metrics.table(result).splitlines() == [
        "per frame, mean of 3 predicted frames of 2 sequences, float protocol, 75.0% of the pixels known",
        "                  mean rain     SSIM",
        "model                 24.00        -",  # 6 rows are left, no window of 7x7
        "all black              0.00        -",
    ]


def test_the_model_against_the_baselines():
    result = entry(frames(0.25), frames(0.75), frames(0))
    assert metrics.comparison(result) == ["MSE is 0.44 of copying the last frame and 0.44 of black"]


def test_a_list_of_three_baselines():
    inputs = np.concatenate([frames(0.1), frames(0.5)], axis=1)
    result = entry(frames(0.25), frames(0.75), inputs, metrics=[metrics.MSE], baselines=["copy_last", "flow", "black"])
    (sentence,) = metrics.comparison(result)
    assert sentence == "MSE is 4.00 of copying the last frame, 0.44 of black and 4.00 of optical flow"


def test_nothing_moves():
    """A15: no ratio to an error of zero, floored or not."""
    truth = frames(0.5, (3, 2, 8, 8, 1))
    still = entry(frames(0.25, truth.shape), truth, truth[:, :1])
    assert metrics.comparison(still) == [
        "MSE is 0.25 of black",
        "In all 3 sequences nothing moves: copying the last frame makes no error to compare with",
    ]
    moved = truth[:, :1].copy()
    moved[0, 0, 0, 0] = 0
    assert metrics.comparison(entry(frames(0.25, truth.shape), truth, moved)) == [
        "MSE is 48.00 of copying the last frame and 0.25 of black",
        "In 2 of 3 sequences nothing moves",
    ]
    nearly = entry(frames(0.25, truth.shape), truth, truth[:, :1] + np.float32(2**-20))
    (message,) = metrics.comparison(nearly)
    assert message == "MSE is more than 100 times the 5.8e-11 of copying the last frame and 0.25 of black"


def test_nothing_is_there():
    """A15: a world of zeros."""
    truth = frames(0, (3, 2, 8, 8, 1))
    assert metrics.comparison(entry(frames(0.25, truth.shape), truth, truth[:, :1])) == [
        "MSE is 4.00",
        "In all 3 sequences nothing moves: copying the last frame makes no error to compare with",
        "In all 3 sequences nothing is there: black makes no error to compare with",
    ]
    assert metrics.comparison(entry(truth, truth, truth[:, :1]))[0] == "MSE is 0.00"


def test_other_comparisons():
    truth = frames(0.5, (3, 2, 8, 8, 1))
    result = entry(frames(0.25, truth.shape), truth, 0 * truth[:, :1], metrics=[metrics.PSNR])
    assert metrics.comparison(result) == ["PSNR is 12.04, against 6.02 for copying the last frame and 6.02 for black"]
    nothing = entry(truth, np.nan * truth, truth[:, :1])
    assert metrics.comparison(nothing) == ["There is no MSE: the truth holds nothing that it could be computed from"]
    always_zero = metrics.MSE._replace(name="far", title="FAR", finish=lambda sums: 0 * sums[:, 0])
    result = entry(frames(0.25, truth.shape), truth, 0 * truth[:, :1], metrics=[always_zero], baselines=["black"])
    assert metrics.comparison(result) == ["FAR is 0.00", "FAR of black is 0, so there is no ratio to it"]
