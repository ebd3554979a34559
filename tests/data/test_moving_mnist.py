"""Moving MNIST against a plain NumPy loop, paths computed by hand, its own promises, and the official test sequences."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from tinypredrnn.data.moving_mnist import MovingMNIST, clamp, reflect
from tinypredrnn.data.source import STREAMS, stream
from tinypredrnn.errors import ConfigError, DTypeError, ShapeError, TooLargeError

DIGITS = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)


def plain_loop(images, digits, size, frames, rule, rng, count):
    """The whole generator in the plainest words, one step and one digit at a time."""
    room = np.array(size) - images.shape[1:]
    starts = rng.random((count, digits, 2)) * room
    angles = rng.uniform(0, 2 * np.pi, (count, digits))
    speeds = rng.uniform(3, 5, (count, digits)) if rule == "paper" else rng.uniform(3.6, 3.6, (count, digits))
    chosen = rng.integers(len(images), size=(count, digits))
    canvas = np.zeros((count, frames, *size, 1), np.uint8)
    for b in range(count):
        for d in range(digits):
            position = starts[b, d].copy()
            velocity = speeds[b, d] * np.array([np.sin(angles[b, d]), np.cos(angles[b, d])])
            for t in range(frames):
                if rule == "srivastava" or t > 0:
                    position += velocity
                for axis in (0, 1):
                    if rule == "srivastava":
                        if not 0 < position[axis] < room[axis]:
                            position[axis] = np.clip(position[axis], 0, room[axis])
                            velocity[axis] *= -1
                    else:
                        while not 0 <= position[axis] <= room[axis]:  # each bounce mirrors the rest of the way
                            wall = 0 if position[axis] < 0 else room[axis]
                            position[axis] = 2 * wall - position[axis]
                            velocity[axis] *= -1
                y, x = np.floor(position).astype(int)
                place = canvas[b, t, y : y + images.shape[1], x : x + images.shape[2], 0]
                np.maximum(place, images[chosen[b, d]], out=place)
    return canvas


class Written:
    """Stands in for a Generator: its draws (starts as fractions of the room, angles, speeds, chosen digits) are written down."""

    def __init__(self, starts, angles, speeds, chosen):
        self.starts, self.angles_and_speeds, self.chosen = starts, [angles, speeds], chosen

    def random(self, shape):
        return np.array(self.starts, float).reshape(shape)

    def uniform(self, low, high, shape):
        return np.array(self.angles_and_speeds.pop(0), float).reshape(shape)

    def integers(self, high, size):
        return np.array(self.chosen).reshape(size)


@pytest.mark.parametrize("rule", ["paper", "srivastava"])
@pytest.mark.parametrize(
    "images, digits, size, frames",
    [
        (DIGITS, 2, (64, 64), 20),
        (DIGITS, 3, (64, 64), 20),
        (DIGITS, 1, (40, 90), 7),
        (DIGITS, 5, (90, 29), 11),
        (DIGITS[:3, 4:9, 2:14], 2, (7, 13), 30),  # digits that are not square, and a box smaller than a step
        (np.asfortranarray(DIGITS[:, ::2, ::3]), 2, (33, 32), 1),
    ],
)
def test_the_same_bytes_as_a_plain_loop(images, digits, size, frames, rule):
    ours = MovingMNIST(images, digits, size, frames, rule).draw(np.random.default_rng(5), 40)
    assert ours.shape == (40, frames, *size, 1) and ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, plain_loop(images, digits, size, frames, rule, np.random.default_rng(5), 40))


@pytest.mark.parametrize(
    "start, velocity, room, path",
    [
        ((10, 20), (0, 7), (36, 36), [(10, 20), (10, 27), (10, 34), (10, 31), (10, 24)]),  # 41 is 5 behind the wall at 36
        ((3, 4), (-2, 0), (36, 36), [(3, 4), (1, 4), (1, 4), (3, 4), (5, 4)]),  # -1 is 1 in front of the wall at 0
        ((35, 35), (2, 3), (36, 36), [(35, 35), (35, 34), (33, 31), (31, 28), (29, 25)]),  # out of the corner
        ((1, 2), (10, -7), (3, 5), [(1, 2), (1, 5), (3, 2), (1, 1), (1, 4)]),  # faster than the box is wide
        ((0, 36), (-36, 36), (36, 36), [(0, 36), (36, 0), (0, 36), (36, 0), (0, 36)]),  # from wall to wall
        ((0, 5), (4, 4), (0, 8), [(0, 5), (0, 7), (0, 3), (0, 1), (0, 5)]),  # no room downwards
    ],
)
def test_reflection_by_hand(start, velocity, room, path):
    positions = reflect(np.array([[start]], float), np.array([[velocity]], float), np.array(room), frames=5)
    np.testing.assert_allclose(positions, [[path]], atol=1e-12)


@pytest.mark.parametrize(
    "start, velocity, room, path",
    [
        ((10, 20), (0, 7), (36, 36), [(10, 27), (10, 34), (10, 36), (10, 29)]),  # 41 is put at 36
        ((3, 4), (-2, 0), (36, 36), [(1, 4), (0, 4), (2, 4), (4, 4)]),
        ((35, 35), (2, 3), (36, 36), [(36, 36), (34, 33), (32, 30), (30, 27)]),
        ((1, 2), (10, -7), (3, 5), [(3, 0), (0, 5), (3, 0), (0, 5)]),
        ((34, 5), (2, 1), (36, 36), [(36, 6), (34, 7), (32, 8), (30, 9)]),  # to reach the wall is to touch it
        ((0, 5), (4, 4), (0, 8), [(0, 8), (0, 4), (0, 0), (0, 4)]),
    ],
)
def test_clamp_and_flip_by_hand(start, velocity, room, path):
    positions = clamp(np.array([[start]], float), np.array([[velocity]], float), np.array(room), 4)
    np.testing.assert_allclose(positions, [[path]], atol=1e-12)


@pytest.mark.parametrize("rule", ["paper", "srivastava"])
@pytest.mark.parametrize("size", [(64, 64), (40, 90), (28, 28), (29, 31)])
def test_digits_never_leave_the_canvas(rule, size):
    positions = MovingMNIST(DIGITS, 3, size, 50, rule).trajectories(np.random.default_rng(1), 200)
    assert positions.shape == (200, 3, 50, 2)
    assert positions.min() >= 0
    assert (positions <= np.subtract(size, 28)).all()


def test_reflection_keeps_the_speed_whatever_is_hit():
    start, velocity = np.random.default_rng(2).uniform(0, 36, (2, 100, 2, 2))
    fine = reflect(start, velocity / 1000, np.array([36, 36]), frames=2001)  # so fine that a bounce is one step out of hundreds
    steps = np.abs(np.diff(fine, axis=2))
    np.testing.assert_allclose(np.median(steps, axis=2), velocity / 1000, atol=1e-9)
    np.testing.assert_allclose(fine[:, :, ::1000], reflect(start, velocity, np.array([36, 36]), frames=3), atol=1e-9)


def largest_gap(sample, low, high):
    """Kolmogorov and Smirnov's distance from the uniform distribution, in units that 99.9 of 100 uniform samples keep below 1."""
    cumulative = (np.sort(sample.ravel()) - low) / (high - low)
    return np.abs(cumulative - np.arange(0.5, sample.size) / sample.size).max() * np.sqrt(sample.size) / 1.95


@pytest.mark.parametrize("rule", ["paper", "srivastava"])
def test_starts_directions_and_speeds_are_uniform(rule):
    positions = MovingMNIST(DIGITS, 2, (3000, 5000), 3, rule).trajectories(np.random.default_rng(3), 5000)
    first, velocity = positions[:, :, 0], positions[:, :, 1] - positions[:, :, 0]
    away = ((first > 15) & (first < np.subtract((3000, 5000), 28) - 15)).all(-1)  # from the walls: nothing is bent
    np.testing.assert_allclose((positions[:, :, 2] - positions[:, :, 1])[away], velocity[away], atol=1e-9)
    assert largest_gap(first[..., 0], 0, 2972) < 1 and largest_gap(first[..., 1], 0, 4972) < 1
    assert largest_gap(np.arctan2(velocity[..., 0], velocity[..., 1])[away], -np.pi, np.pi) < 1
    speed = np.hypot(velocity[..., 0], velocity[..., 1])[away]
    if rule == "paper":
        assert speed.min() >= 3 - 1e-9 and speed.max() < 5
        assert largest_gap(speed, 3, 5) < 1
    else:
        np.testing.assert_allclose(speed, 3.6, atol=1e-9)


def test_digits_are_chosen_uniformly_and_with_replacement():
    images = np.arange(1, 11, dtype=np.uint8).reshape(10, 1, 1)  # each digit one pixel, its number
    sequences = MovingMNIST(images, 1, (8, 8), 1).draw(np.random.default_rng(4), 10_000)
    counts = np.bincount(sequences.max((1, 2, 3, 4)), minlength=11)[1:]
    assert ((counts - 1000) ** 2 / 1000).sum() < 27.9  # chi squared, 9 degrees of freedom, 99.9 %
    assert MovingMNIST(images[:1], 3, (8, 8), 1).draw(np.random.default_rng(4), 1).max() == 1  # three out of one


def test_a_lone_digit_is_shown_whole_and_unchanged_on_black():
    maker = MovingMNIST(DIGITS, digits=1, size=(60, 45), frames=12)
    sequences, corners = maker.draw(np.random.default_rng(6), 20), maker.trajectories(np.random.default_rng(6), 20).astype(int)
    assert (sequences.sum((2, 3, 4), dtype=int) == sequences[:, :1].sum((2, 3, 4), dtype=int)).all()
    for sequence, path in zip(sequences, corners[:, 0], strict=True):
        y, x = path[0]
        digit = sequence[0, y : y + 28, x : x + 28, 0]
        assert (DIGITS == digit).all((1, 2)).any()
        for frame, (y, x) in zip(sequence, path, strict=True):
            np.testing.assert_array_equal(frame[y : y + 28, x : x + 28, 0], digit)


def test_where_digits_meet_the_brighter_pixel_wins():
    images = np.array([[[10, 20, 30]], [[25, 15, 5]]], np.uint8)  # two digits of one row
    draws = Written(starts=[[0, 0], [0, 0.5]], angles=[0, np.pi], speeds=[1, 1], chosen=[0, 1])  # one goes right, one left
    frames = MovingMNIST(images, digits=2, size=(1, 5), frames=3).draw(draws, 1)
    expected = [[10, 25, 30, 5, 0], [25, 15, 20, 30, 0], [0, 25, 15, 20, 30]]  # corners 0 1, 1 0, 2 1
    np.testing.assert_array_equal(frames[0, :, 0, :, 0], expected)


def test_a_batch_is_a_function_of_seed_and_number_alone():
    maker = MovingMNIST(DIGITS)
    later = maker.batch(seed=3, k=7, count=4)
    maker.batch(seed=3, k=8, count=4)
    np.random.seed(0)
    np.testing.assert_array_equal(maker.batch(seed=3, k=7, count=4), later)
    for other in (maker.batch(seed=3, k=8, count=4), maker.batch(seed=4, k=7, count=4)):
        assert not (other == later).all((1, 2, 3, 4)).any()


def test_streams_never_meet():
    seeds = (0, 1, 2, 2**32, 2**32 + 1, 2**64, 2**96, 2**128, 2**128 + 2)
    keys = [(name, seed, k) for name in STREAMS for seed in seeds for k in (0, 1, 2, 7)]
    assert len({int(stream(*key).integers(2**63)) for key in keys}) == len(keys)


@pytest.mark.parametrize("rule", ["paper", "srivastava"])
def test_a_fixed_set_does_not_depend_on_how_many_are_asked_for(rule):
    maker = MovingMNIST(DIGITS, digits=3, rule=rule)
    ten = maker.fixed_set("test", 10)
    np.testing.assert_array_equal(maker.fixed_set("test", 4), ten[:4])
    np.testing.assert_array_equal(maker.fixed_set("test", 3, start=5), ten[5:8])
    others = [*maker.fixed_set("validation", 10), *maker.fixed_set("test", 10, seed=1)]
    assert len({sequence.tobytes() for sequence in [*ten, *others]}) == 30


def test_the_test_set_stays_what_it_is():
    """Scores of different days are compared on it. Where these numbers change, so did everybody's test set."""
    first, last = (MovingMNIST(DIGITS).trajectories(stream("test", 0, i), 1)[0, :, 19] for i in (0, 4999))
    np.testing.assert_allclose(first, [[33.234, 13.164], [16.625, 18.481]], atol=1e-3)
    np.testing.assert_allclose(last, [[19.656, 6.476], [25.499, 10.819]], atol=1e-3)


@pytest.mark.parametrize(
    "error, options",
    [
        (ConfigError, dict(digits=0)),
        (ConfigError, dict(frames=0)),
        (ConfigError, dict(size=(27, 64))),
        (ConfigError, dict(size=(64, 27))),
        (ConfigError, dict(size=(64,))),
        (ConfigError, dict(rule="newton")),
        (ShapeError, dict(images=DIGITS[0])),
        (ShapeError, dict(images=DIGITS[:0])),
        (DTypeError, dict(images=DIGITS / 255)),
    ],
)
def test_what_cannot_be_made_is_refused(error, options):
    with pytest.raises(error, match="got"):
        MovingMNIST(**{"images": DIGITS, **options})


def test_unknown_streams_and_negative_seeds_are_refused():
    with pytest.raises(ConfigError, match="got 'exam'"):
        MovingMNIST(DIGITS).fixed_set("exam", 1)
    with pytest.raises(ConfigError, match="got -1"):
        MovingMNIST(DIGITS).batch(seed=-1, k=0, count=1)


@pytest.fixture(scope="module")
def official():
    folder = Path(os.environ.get("TINYPREDRNN_DATA", ""))
    sequences, digits = folder / "moving_mnist/mnist_test_seq_first500.npz", folder / "mnist/t10k-images-idx3-ubyte.gz"
    if "TINYPREDRNN_DATA" not in os.environ or not (sequences.exists() and digits.exists()):
        pytest.skip("needs MNIST's test digits and the first 500 official sequences in TINYPREDRNN_DATA")
    images = np.frombuffer(gzip.decompress(digits.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)
    return images, np.load(sequences)["frames"]


@pytest.mark.parametrize(
    "index, chosen, starts, angles",
    [
        (0, (9913, 4660), [(2.094, 21.45), (25.994, 12.225)], (2.742, 5.7332)),
        (2, (6776, 9401), [(14.369, 20.006), (32.019, 34.494)], (1.7637, 4.9939)),
        (8, (739, 7993), [(0.781, 5.094), (10.369, 34.244)], (3.1083, 0.21)),
        (19, (7052, 1677), [(22.662, 35.088), (35.956, 13.225)], (1.7181, 4.5603)),
        (26, (2383, 2575), [(30.225, 0.488), (34.369, 17.256)], (4.9557, 1.1412)),
    ],
)
def test_srivastavas_rule_gives_official_sequences_pixel_for_pixel(official, index, chosen, starts, angles):
    """The digits were recognised in the official frames, starts and angles found by search; all 20 frames follow from them."""
    images, sequences = official
    draws = Written(np.divide(starts, 36), angles, (3.6, 3.6), chosen)
    ours = MovingMNIST(images, rule="srivastava").draw(draws, 1)
    np.testing.assert_array_equal(ours[0, ..., 0], sequences[index])


@pytest.mark.parametrize("options, count", [(dict(frames=10**9), 50), (dict(size=(10**6, 10**6)), 50),
                                            (dict(digits=10**12), 1), ({}, 10**10)])
def test_what_does_not_fit_into_memory_is_refused_at_once(options, count):
    moving = MovingMNIST(np.zeros((3, 28, 28), np.uint8), **options)
    for draw in (lambda: moving.fixed_set("validation", count), lambda: moving.batch(0, 0, count)):
        with pytest.raises(TooLargeError, match="would take at least .*: ask for fewer or smaller ones"):
            draw()
