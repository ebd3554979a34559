"""From a batch to better weights: the model's own loss, states only if it asks for them, places without data."""

import dataclasses

import numpy as np
import pytest
from plans import make_plan

import tinypredrnn as tp
from tinypredrnn.errors import TrainingError
from tinypredrnn.models import construct
from tinypredrnn.models.predrnn import PredRNN
from tinypredrnn.train import Descent

SMALL = dict(size=(8, 8), hidden=(3, 2), kernel=3, patch=4, given=3, horizon=3, batch=2, clip=0.5)


def make(gaps=False, network=None, **changes):
    plan = make_plan(**SMALL | changes)
    plan = dataclasses.replace(plan, scale=dataclasses.replace(plan.scale, gaps=gaps))
    model = construct(*plan.network()) if network is None else network(plan.frame, plan.options, np.random.default_rng(0))
    return Descent(model, plan)


@pytest.fixture
def frames():
    return np.random.default_rng(0).random((2, 6, 8, 8, 1), dtype=np.float32)


def numbers(update):
    return {name: array.tobytes() for name, array in (update.model.state_dict() | update.state_dict()).items()}


def test_with_gaps_that_are_none_it_is_the_same_step(frames):
    one, other = make(), make(gaps=True)
    assert one(frames, 0) == other(frames, 0) and numbers(one) == numbers(other)


@pytest.mark.parametrize("loss", ["l1+l2", "l2", "l1", "bce"])
def test_what_is_not_known_adds_nothing_to_the_loss(frames, loss):
    """A prediction is compared with the known pixels alone, whatever it says elsewhere; the network sees 0 there."""
    holes = np.random.default_rng(1).random(frames.shape) < 0.2
    update = make(gaps=True, loss=loss, sampling="off")
    seen = np.where(holes, np.float32(0), frames)
    predictions = update.model.unroll(seen, update.truth(0)).numpy()
    known = ~holes[:, 1:]
    by_hand = tp.nn.find_loss(loss)(tp.tensor(np.where(known, predictions, 0)), tp.tensor(np.where(known, seen[:, 1:], 0))).item()
    result = update(np.where(holes, np.float32(np.nan), frames), 0)
    assert result["loss"] == pytest.approx(by_hand, rel=1e-5) and np.isfinite(result["gradient_norm"])


def test_an_unknown_pixel_of_a_target_has_no_gradient(frames):
    update = make(gaps=True, sampling="off", loss_over="future", loss="l2")
    frames[:, 5] = np.nan  # the last target, which is never seen
    with_gap = update.differentiate(tp.tensor(frames), update.truth(0)).item()
    gradient = [p.grad.copy() for p in update.model.parameters()]
    shorter = make(sampling="off", loss_over="future", loss="l2", horizon=2)
    without = shorter.differentiate(tp.tensor(frames[:, :5]), shorter.truth(0)).item()
    assert with_gap == pytest.approx(without * 2 / 3, rel=1e-5)  # a mean over three frames, one of which adds nothing
    for g, p in zip(gradient, shorter.model.parameters()):
        np.testing.assert_allclose(g, p.grad * 2 / 3, rtol=1e-3, atol=1e-7)


def test_nan_that_nobody_announced_is_said(frames):
    update = make()
    frames[0, 1, 2, 2] = np.nan
    before = numbers(update)
    with pytest.raises(TrainingError, match="the frames of iteration 1 hold NaN, and their Scale .* give it gaps=True"):
        update(frames, 0)
    assert numbers(update) == before


class Quiet(PredRNN):
    """A network whose loss adds the size of its states."""

    loss_needs_states = True

    def loss(self, pixel_loss, predictions, frames, states):
        self.seen = states
        return pixel_loss(predictions, frames) + sum((m * m).mean() for _, m in states) / len(states)


def test_a_models_own_loss_gets_the_states_that_it_asks_for(frames):
    quiet, plain = make(network=Quiet), make(network=PredRNN)
    assert quiet(frames, 0)["loss"] > plain(frames, 0)["loss"]
    assert len(quiet.model.seen) == 5 and quiet.model.seen[0][1].shape == (2, 2, 2, 3)
    assert numbers(quiet) != numbers(plain)


def test_a_rehearsal_changes_nothing(frames):
    update = make()
    before = numbers(update)
    update.rehearse(frames, 0)
    assert numbers(update) == before and all(p.grad is None for p in update.model.parameters())


def test_only_capturable_models_would_be_captured():
    assert PredRNN.capturable and not tp.models.Predictor.capturable


class Descending:
    """Plain gradient descent, as another optimiser from outside."""

    def __init__(self, parameters, rate):
        self.parameters, self.steps = parameters, 0

    def step(self, rate):
        self.steps += 1
        for p in self.parameters:
            p.data -= rate * p.grad

    def state_dict(self):
        return {"steps": np.array(self.steps)}

    def load_state_dict(self, arrays):
        self.steps = int(arrays["steps"])


def test_another_optimiser_is_one_entry(frames, monkeypatch):
    monkeypatch.setitem(tp.optim.OPTIMISERS, "descent", Descending)
    update = make(optimiser="descent", rate=0.1)
    before = update.model.state_dict()
    update(frames, 0)
    for name, p in update.model.named_tensors():
        np.testing.assert_allclose(p.data, before[name] - 0.1 * p.grad, rtol=1e-5, atol=1e-7)
    other = make(optimiser="descent")
    other.load_state_dict(update.state_dict())
    assert other.optimiser.steps == 1
