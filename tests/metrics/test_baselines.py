"""Baselines: what they predict, that it is always the same, and that they are fitted on training sequences alone."""

import warnings

import numpy as np
import pytest

from tinypredrnn import metrics
from tinypredrnn.errors import ConfigError
from tinypredrnn.metrics.baselines import BASELINES, WIDTHS, blur, blur_last, fit_blur
from tinypredrnn.metrics.flow import advect, mean_flow


def drifting(frames, velocity, size=48, seed=0):
    """A smooth echo field (frames,size,size,1) that moves by a velocity (rows, columns) a frame, sampled exactly."""
    waves = np.random.default_rng(seed).uniform(-1, 1, (12, 3))
    rows, columns = np.indices((size, size))
    field = [sum(np.cos(0.5 * (a * (rows - velocity[0] * t) + b * (columns - velocity[1] * t)) + 6 * c)
                 for a, b, c in waves) for t in range(frames)]
    return np.clip(0.5 + np.stack(field)[..., None] / 12, 0, 1).astype(np.float32)


def predict(name, inputs, frames, **fitted):
    shape = (len(inputs), frames, *inputs.shape[2:])
    prediction = BASELINES[name].predict(inputs, shape, **fitted)
    assert prediction.shape == shape
    return prediction


@pytest.mark.parametrize("velocity", [(0, 0), (1.5, -0.5), (-0.7, 2.2)])
def test_flow_follows_a_steady_motion(velocity):
    frames = drifting(9, velocity)[None]
    flow = mean_flow(frames[0, :5])
    np.testing.assert_allclose(flow[:, 8:-8, 8:-8].mean((1, 2)), velocity, atol=0.1)
    inside = (slice(None), slice(None), slice(12, -12), slice(12, -12))  # what came in from outside cannot be known
    moved, copied = predict("flow", frames[:, :5], 4), predict("copy_last", frames[:, :5], 4)
    errors = [np.square(p - frames[:, 5:])[inside].mean((0, 2, 3, 4)) for p in (moved, copied)]
    assert (errors[0] < 1e-4).all() and (velocity == (0, 0) or (errors[0] < 0.1 * errors[1]).all())


def test_advection_by_hand():
    frame = np.zeros((6, 6, 2))
    frame[2, 3], frame[0, 0, 1] = (1, 0.5), 0.25
    flow = np.stack([np.full((6, 6), 1.0), np.full((6, 6), -0.5)])
    moved = advect(frame, flow, 2)
    assert moved.shape == (2, 6, 6, 2)
    np.testing.assert_allclose(moved[0, 3, 2:4], [[0.5, 0.25], [0.5, 0.25]])  # half a pixel lies between two
    np.testing.assert_allclose(moved[1, 4, 2], [1, 0.5])  # interpolated once: not blurred by the way
    np.testing.assert_allclose(moved[1, :3, 0, 1], 0)  # the corner has left


def test_advection_turns_with_the_flow():
    """In a rotating flow a pixel stays on its circle; straight steps would leave it."""
    rows, columns = np.indices((41, 41)) - 20.0
    angle = 0.15  # a step
    flow = angle * np.stack([columns, -rows])
    frame = np.exp(-((rows - 10) ** 2 + columns ** 2) / 8)[..., None]
    moved = advect(frame, flow, 10)[-1, ..., 0]
    at = np.unravel_index(moved.argmax(), moved.shape)
    turned = 10 * np.cos(10 * angle) + 20, -10 * np.sin(10 * angle) + 20
    assert min(np.hypot(at[0] - turned[0], at[1] - turned[1]), np.hypot(at[0] - turned[0], at[1] - 40 + turned[1])) < 1
    assert moved.max() > 0.95


def test_blur_averages_known_places_only():
    frames = np.full((1, 9, 9, 1), 0.5, np.float32)
    frames[0, 4, 4] = np.nan
    np.testing.assert_allclose(blur(frames, 1.0), 0.5, rtol=1e-5)
    assert (blur(np.full_like(frames, np.nan), 1.0) == 0).all()
    np.testing.assert_array_equal(blur(frames, 0), np.nan_to_num(frames))


def test_blur_is_fitted_by_lead_time_on_the_squared_error():
    rng = np.random.default_rng(0)
    inputs = rng.random((6, 2, 12, 12, 1), np.float32)
    truth = np.stack([inputs[:, -1], blur(inputs[:, -1], 2.0), np.full_like(inputs[:, -1], 0.5)], axis=1)
    truth[0, :, 3, 3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        widths = fit_blur([(inputs, truth)])["widths"]
    assert widths[:2] == [0, 2.0] and widths[2] >= 4
    by_hand = [np.nanmean([(blur_last(inputs, truth.shape, [w])[:, t] - truth[:, t]) ** 2 for w in WIDTHS],
                          (1, 2, 3, 4)) for t in range(3)]
    assert widths == [WIDTHS[np.argmin(errors)] for errors in by_hand]
    assert widths == fit_blur((inputs[n:n + 1], truth[n:n + 1]) for n in range(6))["widths"]
    longer = blur_last(inputs, (6, 5, 12, 12, 1), widths)  # more frames than were fitted
    np.testing.assert_array_equal(longer[:, 3], longer[:, 2])


def test_a_fitted_baseline_says_to_what(monkeypatch):
    frames = drifting(6, (1, 1), size=16)[None]
    with pytest.raises(ConfigError, match="blur_last is fitted on training sequences"):
        metrics.Scores(baselines=["blur_last"])
    collected = metrics.Scores([metrics.MSE], ["copy_last", "blur_last"], training=lambda: [(frames[:, :3], frames[:, 3:])])
    collected.add(frames[:, 3:], frames[:, 3:], frames[:, :3])
    result = collected.result()
    assert len(result["blur_last"]["widths"]) == 3 and result["blur_last_mse"] <= result["copy_last_mse"]
    assert metrics.table(result).splitlines()[-1].startswith("blur last frame ")


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_predicts_whole_frames_in_the_range_and_always_the_same(name):
    for frames, channels, size in ((5, 1, 20), (2, 3, 9), (1, 1, 12)):
        inputs = np.random.default_rng(frames).random((2, frames, size, size + 1, channels), np.float32)
        inputs[:, :, 2:4, 5], inputs[1, -1, 7] = np.nan, np.nan
        fitted = dict(widths=[0.5, 1.0]) if BASELINES[name].fit else {}
        before = inputs.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            first, second = (predict(name, inputs, 3, **fitted) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(inputs, before)
        assert np.isfinite(first).all() and first.min() >= 0 and first.max() <= 1 + 1e-6
