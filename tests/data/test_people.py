"""Stick figures: deterministic, of limbs that turn about their joints, in view in the middle of a sequence."""

import numpy as np
import pytest

from tinypredrnn.data import stream
from tinypredrnn.data.people import (
    ACTIONS,
    FOREARM,
    HEIGHT,
    JOINTS,
    NECK,
    SHIN,
    THIGH,
    TORSO,
    UPPER_ARM,
    People,
    paint,
    pose,
)
from tinypredrnn.errors import ConfigError, TooLargeError

PEOPLE = People((64, 48), 20)
CAST = PEOPLE.cast(np.random.default_rng(0), 60)
PLACES = pose(CAST, 20)


def joint(name):
    return PLACES[:, :, JOINTS.index(name)]


def test_the_same_generator_gives_the_same_sequences():
    first, again, other = (PEOPLE.draw(stream("training", seed, 3), 4) for seed in (0, 0, 1))
    assert first.shape == (4, 20, 64, 48, 1) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(PEOPLE.batch(0, 3, 4), first)
    np.testing.assert_array_equal(PEOPLE.fixed_set("test", 3)[2], PEOPLE.draw(stream("test", 0, 2), 1)[0])


def test_limbs_keep_their_lengths_and_turn():
    for one, other, length in (("hip", "neck", TORSO), ("neck", "head", NECK), ("neck", "elbow", UPPER_ARM), ("elbow", "hand", FOREARM),
                               ("far elbow", "far hand", FOREARM), ("hip", "far knee", THIGH), ("knee", "foot", SHIN)):
        found = np.linalg.norm(joint(one) - joint(other), axis=-1)
        np.testing.assert_allclose(found, np.broadcast_to(length * CAST.height[:, None], found.shape))
    forearms = joint("hand") - joint("elbow")
    angles = np.unwrap(np.arctan2(forearms[..., 1], forearms[..., 0]), axis=1)
    assert (np.ptp(angles, axis=1) > 0.2).all()  # no rigid picture that moves


def test_each_action_is_what_its_name_says():
    assert sorted(ACTIONS) == list(ACTIONS) and set(CAST.action) == set(range(6))
    name = np.array(list(ACTIONS))[CAST.action]
    way = (joint("hip")[:, -1] - joint("hip")[:, 0])[:, 1]
    going = np.isin(name, ["jogging", "running", "walking"])
    assert (way[going] * CAST.facing[going] > 8).all() and np.allclose(way[~going], 0)
    speed = [np.mean(abs(way[name == action]) / CAST.height[name == action]) for action in ("walking", "jogging", "running")]
    assert speed == sorted(speed)
    above = (joint("head") - joint("hand"))[..., 0] > 0
    assert above[name == "handwaving"].any() and not above[np.isin(name, ["jogging", "running", "walking"])].any()
    apart = abs(joint("hand") - joint("far hand"))[..., 1].min(axis=1) / CAST.height
    assert apart[name == "handclapping"].max() < 0.12


def test_who_stands_or_walks_stands_on_the_ground_and_is_in_view():
    feet = np.maximum(joint("foot"), joint("far foot"))[..., 0]
    np.testing.assert_allclose(feet, np.broadcast_to(CAST.ground[:, None], feet.shape))
    middle = PLACES[:, 9:11].mean((1, 2))
    assert (0.3 * 48 < middle[:, 1]).all() and (middle[:, 1] < 0.7 * 48).all()
    sequences = PEOPLE.draw(np.random.default_rng(0), 60)
    dark = (sequences < 0.75 * np.quantile(sequences, 0.9, axis=(1, 2, 3, 4))[:, None, None, None, None]).mean((2, 3, 4))
    assert (dark[:, 10] > 0.02).all() and (dark < 0.3).all()
    assert HEIGHT[0] * 64 <= CAST.height.min() and (joint("head")[..., 0] > 0).all()


def test_a_limb_is_a_line_with_round_ends_whose_edges_cover_pixels_in_part():
    canvas, joints = np.full((1, 1, 21, 31, 1), 77, np.uint8), np.array([[[[10, 8.5], [10, 20]]]])
    paint(canvas, joints, np.array([[0, 1]]), np.array([[2.0]]), np.array([[40.0]]), np.array([200.0]), np.array([200.0]), np.array([99.0]))
    y, x = np.mgrid[:21, :31]
    distance = np.hypot(y - 10, x - np.clip(x, 8.5, 20))
    wall = 200 - 12 * abs(2 * y / 21 - 1)
    cover = np.clip(2.5 - distance, 0, 1)
    np.testing.assert_allclose(canvas[0, 0, ..., 0], wall + cover * (40 - wall), atol=0.5 + 1e-9)


def test_impossible_sizes():
    with pytest.raises(ConfigError, match="at least 1 frame"):
        People((8, 0))
    with pytest.raises(TooLargeError, match="sequences of 20 frames of 64x48"):
        PEOPLE.fixed_set("test", 10**9)
