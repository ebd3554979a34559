"""Which inputs are true frames, and the learning rate, from the first iteration to the last."""

import numpy as np
import pytest

from tinypredrnn.train import Recipe, rate_at, truth_mask

MODES = ("off", "linear", "reverse", "teacher")


def mask(sampling, iteration, given=4, horizon=5, **options):
    return truth_mask(Recipe(**{"sampling": sampling, "batch": 3, **options}), given, horizon, iteration)


@pytest.mark.parametrize("sampling", MODES)
def test_zeros_and_ones_and_a_true_first_frame(sampling):
    for iteration in (0, 1, 30_000, 49_999, 50_000, 10**9):
        truth = mask(sampling, iteration, batch=200)
        assert truth.shape == (200, 8) and truth.dtype == np.float32 and set(np.unique(truth)) <= {0, 1}
        assert truth[:, 0].all()


def test_a_function_of_seed_and_iteration_alone():
    forwards = [mask("linear", k, seed=7) for k in range(25_000, 25_010)]
    np.random.seed(1)
    backwards = [mask("linear", k, seed=7) for k in reversed(range(25_000, 25_010))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards))
    assert len({m.tobytes() for m in forwards}) == 10  # and not the same in each iteration,
    assert not np.array_equal(mask("linear", 25_000, seed=7), mask("linear", 25_000, seed=8))  # nor with another seed
    assert np.array_equal(mask("linear", 25_000, seed=7, rate=0.5, steps=9), mask("linear", 25_000, seed=7))


def test_each_sequence_and_each_frame_is_drawn_alone():
    future = mask("linear", 25_000, batch=4000)[:, 4:]
    correlation = np.corrcoef(future.T)
    assert np.abs(correlation - np.eye(4)).max() < 0.08
    assert len(np.unique(future, axis=0)) == 16  # every combination occurs


# sampling, iteration: the probability of a true frame while watching (after the first), and of one after the given frames
PROBABILITIES = {
    ("off", 0): (1, 0),
    ("off", 60_000): (1, 0),
    ("teacher", 0): (1, 1),
    ("teacher", 79_999): (1, 1),
    ("linear", 0): (1, 1),
    ("linear", 12_500): (1, 0.75),
    ("linear", 25_000): (1, 0.5),
    ("linear", 45_000): (1, 0.1),
    ("linear", 50_000): (1, 0),
    ("linear", 79_999): (1, 0),
    ("reverse", 0): (0.5, 0.5),
    ("reverse", 24_000): (0.5, 0.5),
    ("reverse", 25_000): (0.5, 0.5),
    ("reverse", 27_500): (1 - 0.5 * np.exp(-1), 0.45),  # the authors' script for MNIST: alpha is 2,500
    ("reverse", 30_000): (1 - 0.5 * np.exp(-2), 0.4),
    ("reverse", 45_000): (1 - 0.5 * np.exp(-8), 0.1),
    ("reverse", 50_000): (1, 0),
    ("reverse", 70_000): (1, 0),
}


@pytest.mark.parametrize("sampling, iteration", PROBABILITIES)
def test_probabilities(sampling, iteration):
    watching, predicting = PROBABILITIES[sampling, iteration]
    truth = mask(sampling, iteration, batch=3000)
    for part, p in ((truth[:, 1:4], watching), (truth[:, 4:], predicting)):
        if p in (0, 1):
            assert (part == p).all()
        else:
            deviation = np.sqrt(p * (1 - p) / part.size)
            assert abs(part.mean() - p) < 4 * deviation + 1e-9
            assert (np.abs(part.mean(axis=0) - p) < 4.5 * np.sqrt(p * (1 - p) / 3000) + 1e-9).all()


def test_rows_are_those_of_the_whole_batch():
    """One process of many takes its own rows of the mask that one process alone would draw."""
    whole, options = mask("linear", 25_000, batch=8), Recipe(sampling="linear", batch=8)
    for rank in range(3):
        assert np.array_equal(truth_mask(options, 4, 5, 25_000, slice(rank, None, 3)), whole[rank::3])


def reserve_schedule_sampling_exp(itr, s1, s2, alpha):
    """The probabilities of the authors' script (thuml/predrnn-pytorch, run.py), whose iterations count from 1."""
    if itr < s1:
        of_given, of_future = 0.5, 0.5
    elif itr < s2:
        of_given, of_future = 1.0 - 0.5 * np.exp(-float(itr - s1) / alpha), 0.5 - (0.5 / (s2 - s1)) * (itr - s1)
    else:
        of_given, of_future = 1.0, 0.0
    return of_given, of_future


@pytest.mark.parametrize("s1, s2, alpha, options", [
    (25_000, 50_000, 2_500, {}),  # Moving MNIST
    (5_000, 50_000, 2_000, dict(sampling_from=0.1, sampling_alpha=0.04)),  # KTH
    (25_000, 50_000, 5_000, dict(sampling_alpha=0.1)),  # what the script does if nobody says alpha
    (300, 900, 90, dict(sampling_until=900, sampling_from=1 / 3, sampling_alpha=0.1))], ids=str)
def test_reverse_is_the_authors_schedule_for_each_draw(s1, s2, alpha, options):
    """Whatever is drawn, an input is true if the draw is below the authors' probability."""
    recipe = Recipe(sampling="reverse", batch=16, seed=3, **options)
    for k in (0, 1, s1 - 2, s1 - 1, s1, s1 + alpha, (s1 + s2) // 2, s2 - alpha, s2 - 2, s2 - 1, s2, 2 * s2):
        draws = np.random.default_rng([3, 1, k]).random((16, 19))
        of_given, of_future = reserve_schedule_sampling_exp(k + 1, s1, s2, alpha)
        expected = np.concatenate([np.ones((16, 1)), draws[:, 1:10] < of_given, draws[:, 10:] < of_future], axis=1)
        np.testing.assert_array_equal(truth_mask(recipe, 10, 10, k), expected, err_msg=str(k))


def test_reverse_sampling_that_never_begins_to_change():
    truth = mask("reverse", 49_000, sampling_from=1.0, batch=2000)
    assert abs(truth[:, 1:].mean() - 0.5) < 0.02 and mask("reverse", 50_000, sampling_from=1.0)[:, 4:].max() == 0


def test_linear_ends_exactly():
    assert not mask("linear", 50_000, batch=5000)[:, 4:].any()
    assert 0 < mask("linear", 49_900, batch=5000)[:, 4:].sum() < 100  # about 40 of 20,000 at p = 0.002


@pytest.mark.parametrize("sampling", ["off", "linear", "reverse"])
def test_until_zero_means_never(sampling):
    truth = mask(sampling, 0, sampling_until=0, batch=100)
    assert truth[:, :4].all() and not truth[:, 4:].any()


def test_one_given_one_predicted():
    assert mask("reverse", 0, given=1, horizon=1).tolist() == [[1], [1], [1]]
    assert mask("linear", 50_000, given=1, horizon=2).tolist() == [[1, 0]] * 3


def test_sigmoid_is_true_for_exactly_so_many_sequences():
    """CDNA: round(B k / (k + exp(it / k))) of the batch at each step after the given frames, drawn anew at each."""
    for iteration, count in {0: 32, 3_000: 31, 6_000: 17, 6_122: 16, 8_000: 4, 9_900: 0, 10**9: 0}.items():
        assert count == round(32 * 900 / (900 + np.exp(min(iteration / 900, 700))))
        truth = mask("sigmoid", iteration, batch=32, horizon=30)
        assert truth.shape == (32, 33) and truth.dtype == np.float32
        assert truth[:, :4].all() and set(truth[:, 4:].sum(axis=0)) == {count}
    truth = mask("sigmoid", 6_122, batch=32, horizon=2000)[:, 4:]
    assert len(np.unique(truth, axis=1).T) > 1990 and abs(truth.mean(axis=1) - 0.5).max() < 0.06  # random members
    assert np.array_equal(mask("sigmoid", 3, seed=2), mask("sigmoid", 3, seed=2))
    assert mask("sigmoid", 30, sampling_scale=10.0, batch=100)[:, 4:].sum(axis=0).tolist() == [33] * 4  # 100 * 10 / (10 + e^3)


def test_rows_of_a_sigmoid_mask_are_those_of_the_whole_batch():
    whole, options = mask("sigmoid", 6_000, batch=8), Recipe(sampling="sigmoid", batch=8)
    for rank in range(3):
        assert np.array_equal(truth_mask(options, 4, 5, 6_000, slice(rank, None, 3)), whole[rank::3])


def test_halving_rate_by_hand():
    recipe = Recipe(rate=0.08, rate_schedule="halving", halve_every=3)
    assert [rate_at(recipe, k) for k in range(10)] == pytest.approx([0.08] * 3 + [0.04] * 3 + [0.02] * 3 + [0.01])
    assert rate_at(recipe, 10**9) == 0  # however often


def test_a_rate_that_drops_half_way():
    for steps in 10, 9:
        recipe = Recipe(rate=0.2, rate_schedule="drop", steps=steps)
        assert [rate_at(recipe, k) for k in range(steps)] == pytest.approx([0.2] * 5 + [0.02] * (steps - 5))


def test_constant_rate():
    recipe = Recipe(rate=0.003)
    assert {rate_at(recipe, k) for k in (0, 1, 40_000, 79_999)} == {0.003}


def test_cosine_rate_by_hand():
    recipe = Recipe(rate=0.2, rate_schedule="cosine", steps=1000)
    assert rate_at(recipe, 0) == pytest.approx(0.2 / 20)  # up over the first 20 iterations
    assert rate_at(recipe, 9) == pytest.approx(0.2 * 10 / 20)
    assert rate_at(recipe, 250) == pytest.approx(0.2 * (0.5 + 0.5 * np.cos(np.pi / 4)))
    assert rate_at(recipe, 500) == pytest.approx(0.1)
    assert 0 < rate_at(recipe, 999) < 1e-6
    rates = np.array([rate_at(recipe, k) for k in range(1000)])
    peak = rates.argmax()
    assert 18 <= peak <= 21 and rates[peak] > 0.199 and (np.diff(rates[:peak]) > 0).all() and (np.diff(rates[peak + 1:]) < 0).all()


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_cosine_rate_of_the_shortest_runs(steps):
    recipe = Recipe(rate=0.2, rate_schedule="cosine", steps=steps)
    assert rate_at(recipe, 0) == pytest.approx(0.2)
    assert all(0 < rate_at(recipe, k) <= 0.2 for k in range(steps))
