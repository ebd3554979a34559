"""Losses: by hand, as means over all elements, and their gradients."""

import numpy as np
import pytest
from op_cases import positive, spaced, spaced_too

import tinypredrnn as tp
from tinypredrnn.data.rain import HKO7
from tinypredrnn.data.scale import Scale
from tinypredrnn.errors import ConfigError, DTypeError, ShapeError
from tinypredrnn.nn import find_loss
from tinypredrnn.nn.losses import LOSSES, weights_of

pytestmark = pytest.mark.filterwarnings("error")

PREDICTION, TRUTH = np.array([[0.5, 0.25], [0.0, 1.0]]), np.array([[0.0, 0.75], [0.0, 0.5]])
COST = -np.log(0.5) - 0.75 * np.log(0.25) - 0.25 * np.log(0.75) - np.log(1 - 1e-6) - 0.5 * np.log(1 - 1e-6) - 0.5 * np.log(1e-6)
BY_HAND = {"l1": 1.5 / 4, "l2": 0.75 / 4, "l1+l2": 2.25 / 4, "bce": COST / 4}


def test_every_loss_is_here():
    assert BY_HAND.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    loss = find_loss(name)(tp.tensor(PREDICTION), TRUTH)
    assert loss.shape == () and loss.item() == pytest.approx(BY_HAND[name], rel=1e-9)
    twice = find_loss(name)(tp.tensor(np.stack([PREDICTION] * 2)), np.stack([TRUTH] * 2))
    assert twice.item() == pytest.approx(loss.item(), rel=1e-12)  # a mean, so that batch and length do not matter


@pytest.mark.parametrize("name", BY_HAND)
def test_gradients(name):
    prediction, truth = (1 / (1 + np.exp(-x)) for x in (spaced(2, 3, 4), spaced_too(2, 3, 4)))
    assert tp.gradcheck(lambda p: find_loss(name)(p, truth), prediction)
    assert tp.gradcheck(find_loss(name), prediction, truth)


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(name, dtype):
    prediction = tp.tensor(positive(2, 3).astype(dtype) / 3, requires_grad=True)
    loss = find_loss(name)(prediction, np.full((2, 3), 0.5, dtype))
    loss.backward()
    assert loss.dtype == prediction.grad.dtype == dtype


@pytest.mark.parametrize("name", BY_HAND)
def test_the_truth_costs_least(name):
    truth = np.array([0.1, 0.5, 0.9])
    least = find_loss(name)(tp.tensor(truth), truth).item()
    for change in (0.05, -0.05):
        assert find_loss(name)(tp.tensor(truth + change), truth).item() > least
    assert name == "bce" or least == 0


def test_gradients_by_hand():
    for name, expected in (("l1", [0.25, -0.25, 0, 0.25]), ("l2", [0.25, -0.25, 0, 0.25]), ("l1+l2", [0.5, -0.5, 0, 0.5])):
        prediction = tp.tensor(PREDICTION, requires_grad=True)
        find_loss(name)(prediction, TRUTH).backward()
        np.testing.assert_allclose(prediction.grad.ravel(), expected)


STEPS = ((0.3, 2.0), (0.6, 5.0))  # thresholds and weights


def test_weights_follow_the_truth():
    truth = np.array([0.0, 0.29, 0.3, 0.59, 0.6, 1.0])
    for dtype in (np.float32, np.float64):
        for given in (tp.tensor(truth.astype(dtype)), truth.astype(dtype)):
            weights = weights_of(given, [(least - 1e-6, weight) for least, weight in STEPS])
            assert weights.dtype == dtype and np.asarray(getattr(weights, "data", weights)).tolist() == [1, 1, 2, 2, 5, 5]
    assert find_loss("l2") is LOSSES["l2"] and np.asarray(weights_of(truth, ())).tolist() == [1] * 6


@pytest.mark.parametrize("name", BY_HAND)
def test_weighted_losses(name):
    """The mean of the costs of single pixels times their weights; the gradient is theirs times the weights."""
    prediction, truth = (1 / (1 + np.exp(-x)) for x in (spaced(2, 3, 4), spaced_too(2, 3, 4)))
    weights = np.select([truth >= 0.6, truth >= 0.3], [5, 2], 1)
    assert set(weights.ravel()) == {1, 2, 5}
    single = [find_loss(name)(tp.tensor(p.reshape(1)), y.reshape(1)).item() for p, y in zip(prediction.ravel(), truth.ravel())]
    weighted, plain = (tp.tensor(prediction, requires_grad=True) for _ in range(2))
    loss = find_loss(name, STEPS)(weighted, tp.tensor(truth))
    assert loss.item() == pytest.approx((weights.ravel() * single).mean(), rel=1e-12)
    loss.backward(), find_loss(name)(plain, truth).backward()
    np.testing.assert_allclose(weighted.grad, weights * plain.grad, rtol=1e-12)
    assert tp.gradcheck(lambda p: find_loss(name, STEPS)(p, truth), prediction)
    assert tp.gradcheck(find_loss(name, STEPS), prediction, truth)


def test_the_balanced_errors_of_hko7():
    """B-MSE and B-MAE (Shi et al., 2017, Section 4.2), whose weights are given by rates of rain, in another way."""
    scale = Scale(stored=(0, 255), units=(-10, 60), unit="dBZ")  # HKO-7's pixels: dBZ = 70 p - 10
    prediction, truth = np.random.default_rng(0).random((2, 50, 40))
    rate = (10 ** ((70 * truth - 10) / 10) / 58.53) ** (1 / 1.56)  # Z = 58.53 R^1.56
    weights = np.searchsorted([2, 5, 10, 30], rate, side="right")
    weights = np.array([1, 2, 5, 10, 30])[weights]
    expected = (weights * (prediction - truth) ** 2).mean() + (weights * abs(prediction - truth)).mean()
    steps = [(scale.reached_from(least), weight) for least, weight in zip(HKO7["heavy"], HKO7["weights"])]
    assert find_loss("l1+l2", steps)(tp.tensor(prediction), truth).item() == pytest.approx(expected, rel=1e-3)
    assert set(np.unique(weights)) == {1, 2, 5, 10, 30}


def test_misuse():
    with pytest.raises(ConfigError, match="loss 'l3' is unknown: expected one of l1\\+l2, l2, l1, bce"):
        find_loss("l3")
    with pytest.raises(DTypeError, match="float32.*float64"):
        find_loss("l2")(tp.tensor(PREDICTION.astype(np.float32)), TRUTH)
    with pytest.raises(ShapeError, match=r"\(2, 2\).*\(3,\)"):
        find_loss("l2")(tp.tensor(PREDICTION), np.ones(3))
