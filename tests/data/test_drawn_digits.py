import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from tinypredrnn.data import drawn_digits
from tinypredrnn.data.drawn_digits import SIDE, STEPS, draw_digits

REAL = Path(os.environ.get("TINYPREDRNN_DATA", "")) / "mnist"


@pytest.fixture(scope="module")
def drawn():
    return draw_digits(np.random.default_rng(0), 3000)


def nearest(images, labels, queries):
    """The label of the image nearest to each query, by squared distance of pixels."""
    a, b = (x.reshape(len(x), -1).astype(np.float32) / 255 for x in (images, queries))
    return labels[np.argmin((a**2).sum(1) - 2 * b @ a.T, axis=1)]


def test_what_comes_back(drawn):
    images, labels = drawn
    assert images.shape == (3000, SIDE, SIDE) and images.dtype == np.uint8
    assert labels.shape == (3000,) and set(labels) == set(range(10))
    assert images.min() == 0 and images.max() == 255
    assert draw_digits(np.random.default_rng(0), 0)[0].shape == (0, SIDE, SIDE)


def test_the_generator_alone_decides(drawn):
    images, labels = draw_digits(np.random.default_rng(0), 3000)
    assert np.array_equal(images, drawn[0]) and np.array_equal(labels, drawn[1])
    assert not np.array_equal(draw_digits(np.random.default_rng(1), 3000)[0], images)


def test_no_two_are_alike(drawn):
    images, _ = drawn
    assert len({image.tobytes() for image in images}) == len(images)


def test_ink_is_that_of_mnist(drawn):
    ink = drawn[0] / 255
    assert ink.mean() == pytest.approx(0.1307, rel=0.05)  # MNIST: mean 0.1307, mean square 0.1120
    assert (ink**2).mean() == pytest.approx(0.1120, rel=0.05)


def test_placed_as_in_mnist(drawn):
    ink = drawn[0] / 255  # (N,28,28)
    rows, columns = ink.sum(2), ink.sum(1)
    for side in (rows, columns):
        centre = side @ np.arange(SIDE) / side.sum(1)
        assert np.abs(centre - SIDE / 2).max() < 1.5
    height, width = (rows > 0).sum(1), (columns > 0).sum(1)
    longer = np.maximum(height, width)
    assert longer.min() >= 18 and longer.max() <= 22 and np.median(longer) == 20


def test_each_digit_can_be_told(drawn):
    images, labels = draw_digits(np.random.default_rng(1), 1000)
    assert (nearest(*drawn, images) == labels).mean() > 0.95


@pytest.mark.skipif(not (REAL / "t10k-labels-idx1-ubyte.gz").is_file(), reason="MNIST is not in TINYPREDRNN_DATA")
def test_who_learned_from_drawn_digits_reads_mnist(drawn):
    images = np.frombuffer(gzip.open(REAL / "t10k-images-idx3-ubyte.gz").read(), np.uint8, offset=16).reshape(-1, SIDE, SIDE)
    labels = np.frombuffer(gzip.open(REAL / "t10k-labels-idx1-ubyte.gz").read(), np.uint8, offset=8)
    assert (nearest(*drawn, images[:1000]) == labels[:1000]).mean() > 0.75


def test_the_table_is_well_formed():
    points, labels = drawn_digits._table()
    assert sorted(set(labels)) == list(range(10)) and np.all(np.diff(labels) >= 0)
    assert np.nanmin(points) >= 0 and np.nanmax(points) <= 1
    for glyph in points:
        up = np.isnan(glyph[:, 0])
        lone = up[:-2] & ~up[1:-1] & up[2:]
        assert not up[:2].any() and not lone.any()  # a stroke of one point would draw nothing


def test_corners_stay_corners_and_the_hand_leans_to_the_right(monkeypatch):
    monkeypatch.setattr(drawn_digits, "GLYPHS", {digit: ["19 10 10 70"] for digit in range(10)})  # up, then right
    drawn = []
    monkeypatch.setattr(drawn_digits, "_draw", lambda points, radius, images: drawn.append(points))
    draw_digits(np.random.default_rng(0), 500)
    foot, corner, again, end = drawn[0].swapaxes(0, 1)
    assert np.array_equal(corner, again)
    lean, rise = (corner - foot)[:, :2].mean(0)
    assert 0.05 < lean < 0.3 and rise == pytest.approx(-1, abs=0.05)  # row 0 is the top
    assert (end - corner)[:, 0].mean() == pytest.approx(6 / 9, abs=0.05)


def test_the_pen_goes_through_the_points_and_lifts_between_strokes():
    up = (np.nan,) * 3
    points = np.array([(0, 0, 1), (2, 1, 1), (2, 1, 1), (4, 0, 2), up, (9, 9, 1), (9, 5, 1)], float)
    path = np.empty((len(points) * STEPS, 3))
    length = drawn_digits._trace(points, path)
    assert length == 3 * STEPS  # two curves that meet in a corner, and one of the second stroke
    first, second, third = path[:length].reshape(3, STEPS, 3)
    for curve, (a, b) in ((first, points[0:2]), (second, points[2:4]), (third, points[5:7])):
        assert np.allclose(curve[0], a) and np.allclose(curve[-1], b)
    assert np.allclose(third[:, 0], 9) and np.all(np.diff(third[:, 1]) < 0)  # two points make a straight line


def test_a_smooth_point_keeps_the_direction():
    points = np.array([(0, 0, 1), (1, 2, 1), (3, 3, 1), (5, 1, 1)], float)
    path = np.empty((len(points) * STEPS, 3))
    before, after = path[: drawn_digits._trace(points, path)].reshape(3, STEPS, 3)[:2]
    arriving, leaving = before[-1] - before[-2], after[1] - after[0]
    assert np.allclose(arriving, leaving, atol=0.03) and np.hypot(*arriving[:2]) > 0.1


def test_a_pen_of_known_size_leaves_known_ink():
    image = np.zeros((SIDE, SIDE), np.uint8)
    drawn_digits._ink(np.array([[10.0, 20.0, 1.0]]), 1.0, image)  # x 10, y 20, radius 1, soft from 0.5 to 1.5
    assert image[20, 10] == 255
    assert image[20, 11] == image[19, 10] == int(255 * 0.5)
    assert image[21, 11] == int(255 * (1.5 - 2**0.5))
    assert np.count_nonzero(image) == 9


def test_ink_beyond_the_edge_is_lost_without_harm():
    image = np.zeros((SIDE, SIDE), np.uint8)
    drawn_digits._ink(np.array([[-50.0, -50.0, 1.0], [1e4, 5.0, 1.0], [0.0, 27.0, 1.0]]), 2.0, image)
    assert image[27, 0] == 255 and np.count_nonzero(image[:, 3:]) == 0 and np.count_nonzero(image[:24]) == 0
