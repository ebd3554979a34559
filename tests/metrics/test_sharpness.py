"""Sharpness, against its definition pixel by pixel and against the power spectrum."""

import numpy as np
import pytest
from own_frames import random_frames

from tinypredrnn import metrics


def sharpness(prediction, truth):
    return metrics.score(prediction, truth, [metrics.SHARPNESS])["sharpness"]


def test_it_is_the_ratio_of_squared_differences_of_known_neighbours():
    prediction, truth = random_frames((2, 2, 3, 6, 7, 2))
    truth[0, 1, 2, 3, 0], truth[1, :, 4] = np.nan, np.nan
    for t in range(3):
        energy = np.zeros(2)
        for n, i, j, down, c in np.ndindex(2, 6, 7, 2, 2):
            k, m = i + down, j + 1 - down  # the neighbour below, or the one on the right
            if k < 6 and m < 7 and np.isfinite([truth[n, t, i, j, c], truth[n, t, k, m, c]]).all():
                energy += [(float(a[n, t, i, j, c]) - float(a[n, t, k, m, c])) ** 2 for a in (prediction, truth)]
        assert sharpness(prediction, truth)[t] == pytest.approx(energy[0] / energy[1], rel=1e-12)


def test_copies_are_sharp_blurs_are_not_and_noise_is_too_sharp():
    truth = random_frames((4, 1, 16, 16, 1))
    moved = np.roll(truth, 3, axis=2)
    blurred = metrics.baselines.blur(truth[:, 0], 1.0)[:, None]
    noisy = np.clip(truth + 0.3 * np.random.default_rng(1).standard_normal(truth.shape), 0, 1).astype(np.float32)
    assert sharpness(truth, truth) == 1 and sharpness(moved, truth) == pytest.approx(1, abs=0.1)
    assert sharpness(blurred, truth) < 0.1 and sharpness(noisy, truth) > 1.1
    assert sharpness(np.full_like(truth, 0.5), truth) == 0 and not np.isfinite(sharpness(truth, 0 * truth))


def test_it_weighs_the_power_of_a_frequency_by_about_its_square():
    """Parseval: on a ring, the squared differences are the power times (2 sin(pi k / N))^2."""
    k, places = 3, np.arange(32)
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * k * (places + 0.5) / 32)
    slow = 0.5 + 0.5 * np.cos(2 * np.pi * (places + 0.5) / 32)
    frames = [np.broadcast_to(w[:, None], (1, 1, 32, 32))[..., None].astype(np.float32) for w in (wave, slow)]
    expected = (np.sin(np.pi * k / 32) / np.sin(np.pi / 32)) ** 2
    assert sharpness(*frames) == pytest.approx(expected, rel=1e-3) and expected == pytest.approx(k ** 2, rel=0.1)
