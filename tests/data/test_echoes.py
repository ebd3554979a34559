"""Synthetic echoes: deterministic, moving with a wind that is not the same everywhere, growing and decaying."""

import numpy as np
import pytest

from tinypredrnn.data import stream
from tinypredrnn.data.echoes import DROP, SCALE, Echoes, follow, paint
from tinypredrnn.errors import ConfigError, TooLargeError

ECHOES = Echoes((48, 40), 20)


def test_the_same_generator_gives_the_same_sequences():
    first, again, other = (ECHOES.draw(stream("training", seed, 3), 4) for seed in (0, 0, 1))
    assert first.shape == (4, 20, 48, 40, 1) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(ECHOES.fixed_set("test", 3)[2], ECHOES.draw(stream("test", 0, 2), 1)[0])


def test_echoes_are_like_rain():
    dbz = SCALE.to_units(SCALE.to_model(ECHOES.draw(np.random.default_rng(0), 40)))
    assert 0.1 < (dbz > 2).mean() < 0.6 and 0.01 < (dbz > 30).mean() < 0.15 and 0.0005 < (dbz > 40).mean() < 0.05
    amounts = (10 ** (dbz / 10) - 1).sum((2, 3, 4))  # of all drops in a frame
    change = amounts[:, -1] / amounts[:, 0]
    assert (change > 1.5).any() and (change < 0.67).any()  # some grow, others decay: no rigid picture that moves


def test_the_wind_carries_cells_and_differs_from_place_to_place():
    start, wind, shear = np.array([[[10.0, 10], [30, 10]]]), np.array([[1.0, 0.5]]), np.array([[[0.0, 0], [0.1, 0]]])
    places = follow(start, wind, shear, np.array([10.0, 10]), 3)
    np.testing.assert_allclose(places[0, 0], [[10, 10], [11, 10.5], [12, 11.1]])
    np.testing.assert_allclose(places[0, 1], [[30, 10], [31, 12.5], [32, 15.1]])


def painted(places, peaks, birth=-10.0, life=20.0, size=(21, 31), width=2.0):
    cells = len(peaks)
    canvas = np.full((1, 1, *size, 1), 77, np.uint8)
    paint(canvas, np.array(places, float).reshape(1, cells, 1, 2), np.broadcast_to(np.eye(2) / width, (1, cells, 2, 2)).copy(),
          np.full((1, cells), birth), np.full((1, cells), life), np.array([peaks], float), 255 / 60)
    return canvas[0, 0, ..., 0] * (60 / 255)


def test_a_cell_is_a_parabola_in_dbz_and_cells_add_up_in_z():
    y, x = np.mgrid[:21, :31]
    distance = ((y - 10) ** 2 + (x - 12.5) ** 2) / 4
    np.testing.assert_allclose(painted([[10, 12.5]], [40]), np.maximum(0, 40 - DROP * distance), atol=60 / 255)
    both = painted([[10, 12], [10, 12]], [40, 40])
    assert abs(both.max() - 43.01) < 60 / 255
    assert abs(painted([[10, 12]], [40], birth=-5).max() - 40 * np.sin(np.pi / 4)) < 60 / 255  # a quarter of its life
    assert painted([[10, 12]], [40], birth=1).max() == painted([[10, 12]], [40], birth=-30).max() == 0
    painted([[-500, 12], [10, 4000]], [40, 40])  # out of sight


def test_impossible_sizes(monkeypatch):
    with pytest.raises(ConfigError, match="at least 1 frame"):
        Echoes((8, 0))
    with pytest.raises(TooLargeError, match="sequences of 20 frames of 48x40"):
        ECHOES.fixed_set("test", 10**9)
