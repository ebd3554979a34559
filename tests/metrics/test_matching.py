"""Probability matching: the places of a forecast, the values of the last frame."""

import numpy as np

from tinypredrnn.metrics import match


def test_values_of_the_last_frame_in_the_order_of_the_forecast():
    rng = np.random.default_rng(0)
    prediction, inputs = rng.random((2, 3, 8, 9, 1)), rng.random((2, 4, 8, 9, 1))
    before = prediction.copy()
    matched = match(prediction, inputs)
    np.testing.assert_array_equal(prediction, before)
    for n in range(2):
        for t in range(3):
            np.testing.assert_array_equal(np.sort(matched[n, t].ravel()), np.sort(inputs[n, -1].ravel()))
            order = np.argsort(prediction[n, t].ravel())
            assert (np.diff(matched[n, t].ravel()[order]) >= 0).all()


def test_a_weak_forecast_in_the_right_place_becomes_as_strong_as_the_rain_was():
    inputs, prediction = np.zeros((1, 2, 16, 16, 1)), np.zeros((1, 1, 16, 16, 1))
    inputs[0, -1, 2:6, 2:6] = 0.8
    prediction[0, 0, 8:12, 8:12] = 0.1
    expected = np.zeros((16, 16))
    expected[8:12, 8:12] = 0.8
    np.testing.assert_array_equal(match(prediction, inputs)[0, 0, ..., 0], expected)


def test_of_equal_forecasts_those_near_rain_come_first():
    inputs, prediction = np.zeros((1, 1, 16, 16, 1)), np.zeros((1, 1, 16, 16, 1))
    inputs[0, -1, :6, :4] = 0.5  # 24 pixels
    prediction[0, 0, 8:12, 8:12] = 0.3  # 16
    wet = np.argwhere(match(prediction, inputs)[0, 0, ..., 0] > 0)
    assert len(wet) == 24 and wet.min() >= 7 and wet.max() <= 12


def test_places_without_data_keep_their_forecast_and_channels_are_apart():
    rng = np.random.default_rng(1)
    prediction, inputs = rng.random((1, 2, 6, 6, 2)), rng.random((1, 3, 6, 6, 2))
    inputs[0, -1, :2, :, 1] = np.nan
    matched = match(prediction, inputs)
    np.testing.assert_array_equal(matched[:, :, :2, :, 1], prediction[:, :, :2, :, 1])
    np.testing.assert_array_equal(np.sort(matched[0, 1, 2:, :, 1].ravel()), np.sort(inputs[0, -1, 2:, :, 1].ravel()))
    np.testing.assert_array_equal(np.sort(matched[0, 0, ..., 0].ravel()), np.sort(inputs[0, -1, ..., 0].ravel()))
