"""From a batch to better weights: the model's own loss, of states what it asks for, places without data."""

import dataclasses

import numpy as np
import pytest
from plans import DrawnDigits, make_plan

import tinypredrnn as tp
from tinypredrnn.autograd import kept
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.scale import Scale
from tinypredrnn.errors import TrainingError
from tinypredrnn.models import construct
from tinypredrnn.models.predrnn import PredRNN
from tinypredrnn.nn import Conv2d
from tinypredrnn.optim import OPTIMISERS, Adam, Optimiser, clip_gradients
from tinypredrnn.train import UPDATES, Update, trainer, truth_mask
from tinypredrnn.train.limits import step_memory
from tinypredrnn.train.parallel import ALONE

SMALL = dict(size=(8, 8), hidden=(3, 2), kernel=3, patch=4, given=3, horizon=3, batch=2, clip=0.5)


def make(gaps=False, network=None, **changes):
    plan = make_plan(**SMALL | changes)
    plan = dataclasses.replace(plan, scale=dataclasses.replace(plan.scale, gaps=gaps))
    model = construct(*plan.network()) if network is None else network(plan.frame, plan.options, np.random.default_rng(0))
    return UPDATES[plan.recipe.update](model, plan)


@pytest.mark.parametrize("over", ["all", "future"])
@pytest.mark.parametrize("composite", [False, True])
def test_a_model_that_only_forecasts_has_its_loss_over_the_future(frames, over, composite):
    """Its outputs before the last given frame are no predictions, whatever the recipe says."""
    plan = make_plan(model="fc_lstm", size=(8, 8), width=3, composite=composite, given=3, horizon=3, batch=2, loss_over=over)
    update = UPDATES[plan.recipe.update](construct(*plan.network()), plan)
    model, truth, states = update.model, update.truth(0), []
    outputs = model.unroll(frames, truth, states, given=3)
    by_hand = tp.nn.find_loss("bce")(outputs[:, 2:], frames[:, 3:]).item()
    if composite:
        by_hand += tp.nn.find_loss("bce")(model.reconstruct(states[-1]), frames[:, :3].reshape(2, 3, 1, 1, 64)).item()
    assert update(frames, 0)["loss"] == pytest.approx(by_hand, rel=1e-5)


@pytest.fixture
def frames():
    return np.random.default_rng(0).random((2, 6, 8, 8, 1), dtype=np.float32)


def numbers(update):
    return {name: array.tobytes() for name, array in (update.model.state_dict() | update.state_dict()).items()}


def test_with_gaps_that_are_none_it_is_the_same_step(frames):
    one, other = make(), make(gaps=True)
    assert one(frames, 0) == other(frames, 0) and numbers(one) == numbers(other)


@pytest.mark.parametrize("heavy", [{}, {"heavy": (0.25, 0.75), "weights": (2.0, 10.0)}])
@pytest.mark.parametrize("loss", ["l1+l2", "l2", "l1", "bce"])
def test_what_is_not_known_adds_nothing_to_the_loss(frames, loss, heavy):
    """A prediction is compared with the known pixels alone, whatever it says elsewhere; the network sees 0 there."""
    holes = np.random.default_rng(1).random(frames.shape) < 0.2
    update = make(gaps=True, loss=loss, sampling="off", **heavy)
    seen = np.where(holes, np.float32(0), frames)
    predictions = update.model.unroll(seen, update.truth(0)).numpy()
    known = ~holes[:, 1:]
    steps = list(zip(*heavy.values()))
    by_hand = tp.nn.find_loss(loss, steps)(tp.tensor(np.where(known, predictions, 0)), tp.tensor(np.where(known, seen[:, 1:], 0))).item()
    result = update(np.where(holes, np.float32(np.nan), frames), 0)
    assert result["loss"] == pytest.approx(by_hand, rel=1e-5) and np.isfinite(result["gradient_norm"])


def test_thresholds_of_the_loss_are_in_the_units_of_the_data(frames):
    """Heavy pixels are those that reach 40 dBZ, whatever the scale makes of these."""
    plan = make_plan(**SMALL | dict(heavy=(40.0,), weights=(5.0,), sampling="off"))
    plan = dataclasses.replace(plan, scale=Scale(units=(-32, 95.5), unit="dBZ"))
    update, plain = UPDATES["descent"](construct(*plan.network()), plan), make(sampling="off")
    predictions = plain.model.unroll(frames, plain.truth(0)).numpy()
    weights = np.where(-32 + 127.5 * frames[:, 1:] >= 40, 5, 1)
    d = predictions - frames[:, 1:]
    assert update(frames, 0)["loss"] == pytest.approx((weights * (abs(d) + d * d)).mean(), rel=1e-5)
    assert (weights == 5).any() and (weights == 1).any()


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

    def summary(self, state, last):
        return state

    def loss(self, pixel_loss, predictions, frames, states):
        self.seen = states
        return pixel_loss(predictions, frames) + sum((m * m).mean() for _, m in states) / len(states)


def test_a_models_own_loss_gets_the_states_that_it_asks_for(frames):
    quiet, plain = make(network=Quiet), make(network=PredRNN)
    assert quiet(frames, 0)["loss"] > plain(frames, 0)["loss"]
    assert len(quiet.model.seen) == 5 and quiet.model.seen[0][1].shape == (2, 2, 2, 3)
    assert numbers(quiet) != numbers(plain)


def test_checking_the_first_gradient_changes_nothing(frames):
    update = make()
    before = numbers(update)
    update.check_first_gradient(frames, 0)
    assert numbers(update) == before and all(p.grad is None for p in update.model.parameters())


@pytest.mark.parametrize("options", [{}, dict(recompute=True), dict(truncate=2), dict(gaps=True), dict(update="both_ways")], ids=str)
def test_a_step_from_activations_in_half_the_memory_is_nearly_the_same(frames, options, monkeypatch):
    monkeypatch.setattr(kept, "SMALL", 1)  # this network is small
    exact, rounded = (make(activations=name, **options) for name in ("fp32", "bf16"))
    (loss, norm), (same, about) = (update(frames, 0).values() for update in (exact, rounded))
    assert about == pytest.approx(norm, rel=1e-2) and about != norm
    assert loss == same or options.get("update") and loss == pytest.approx(same, rel=1e-3)  # the second step has other weights
    assert kept.halves.get() is None


@pytest.mark.parametrize("options", [{}, dict(model="predrnn_v2", hidden=(3, 3), sampling="reverse")], ids=str)
def test_both_ways_is_a_step_forwards_and_one_backwards_in_time(frames, options):
    both, single = (make(update=update, **options) for update in ("both_ways", "descent"))
    found = both(frames, 2)
    results = [single(clip, 2) for clip in (frames, np.ascontiguousarray(frames[:, ::-1]))]
    assert numbers(both) == numbers(single) and both.optimiser.t == 2
    for name, value in found.items():
        assert value == pytest.approx((results[0][name] + results[1][name]) / 2)
    before = numbers(both)
    both.check_first_gradient(frames, 3)
    assert numbers(both) == before


RECOMPUTED = {name: dict(model=name, hidden=(3, 3)[:n], kernel=3, patch=2) for name, n in
              [("convlstm", 2), ("predrnn_m", 2), ("predrnn", 2), ("predrnn_pp", 2), ("predrnn_v2", 2), ("convlstm_shi", 1)]}
RECOMPUTED |= {"fc_lstm": dict(model="fc_lstm", width=3, composite=True), "vpn": dict(model="vpn", width=2, encoder_blocks=1),
               "cdna": dict(model="cdna", width=2), "dfn": dict(model="dfn", width=2)}


@pytest.mark.parametrize("options", [*RECOMPUTED.values(), dict(update="both_ways", sampling="reverse", clip=0.1), dict(gaps=True),
                                     dict(truncate=2, sampling="off"), dict(given=1, horizon=1), dict(layer_norm=True)], ids=str)
def test_training_with_recomputation_is_the_same_to_the_bit(frames, options):
    """Of every network, with its own loss, also over states; half of the frames that it sees are its own predictions."""
    options = (SMALL if "model" not in options else {}) | dict(size=(8, 8), given=3, horizon=3, batch=2, sampling="linear",
                                                               sampling_until=4) | options
    if options.get("given") == 1:
        frames = frames[:, :2]
    found = []
    for recompute in (False, True):
        plan = make_plan(**{name: value for name, value in options.items() if name != "gaps"}, recompute=recompute)
        plan = dataclasses.replace(plan, scale=dataclasses.replace(plan.scale, gaps="gaps" in options))
        update = UPDATES[plan.recipe.update](construct(*plan.network()), plan)
        if "gaps" in options:
            frames[:, 2:4, 3] = np.nan
        found.append(([update(frames, k) for k in (1, 2)], numbers(update)))
    assert found[0] == found[1]


def test_a_segment_is_the_square_root_of_the_steps():
    recipe = make().plan.recipe.replace(recompute=True)
    assert [recipe.segment(steps) for steps in (1, 2, 3, 4, 5, 9, 10, 16, 17, 319)] == [1, 2, 2, 2, 3, 3, 4, 4, 5, 18]
    assert recipe.replace(recompute=False).segment(19) is None


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_truncated_gradients_are_those_of_chunks_whose_beginnings_are_constants(frames, length, recompute):
    """Chunk by chunk, each from the numbers that the one before has left: their gradients add up."""
    update = make(truncate=length, recompute=recompute, sampling="off", loss="l2")
    model, mean = update.model, 5 * frames[:, 0].size
    loss = update.differentiate(tp.tensor(frames), update.truth(0)).item()
    found = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    x = model.enter(tp.tensor(frames))
    state, prediction, by_hand = model.start(x), None, 0.0
    for first in range(0, 5, length):
        chunk = 0
        for t in range(first, min(first + length, 5)):
            prediction, state = model.step(x[:, t] if t < 3 else prediction, state)
            chunk = chunk + ((model.leave(prediction.reshape(2, 1, 2, 2, 16), (8, 8)) - frames[:, t + 1:t + 2]) ** 2).sum() / mean
        chunk.backward()
        by_hand += chunk.item()
        layers, m = state
        state, prediction = ([(h.detach(), c.detach()) for h, c in layers], m.detach()), prediction.detach()
    assert loss == pytest.approx(by_hand, rel=1e-5)
    for g, p in zip(found, model.parameters()):
        np.testing.assert_allclose(g, p.grad, rtol=1e-4, atol=1e-7)


def test_only_capturable_models_would_be_captured():
    assert PredRNN.capturable and not tp.models.Predictor.capturable


class Descending(Optimiser):
    """Plain gradient descent, as another optimiser from outside: it keeps nothing."""

    def move(self, i, rate):
        self.parameters[i].data -= rate * self.parameters[i].grad


def test_another_optimiser_is_one_entry(frames, monkeypatch):
    monkeypatch.setitem(OPTIMISERS, "descending", Descending)
    update = make(optimiser="descending", rate=0.1)
    before = update.model.state_dict()
    update(frames, 0)
    for name, p in update.model.named_tensors():
        np.testing.assert_allclose(p.data, before[name] - 0.1 * p.grad, rtol=1e-5, atol=1e-7)
    other = make(optimiser="descending")
    other.load_state_dict(update.state_dict())
    assert other.optimiser.t == 1
    adam, least = step_memory(make().plan)[0], step_memory(update.plan)[0]
    assert adam - least == 2 * 4 * update.model.count_parameters()  # no moments: a step certainly takes that much less


class Opposed(Update):
    """A predictor and a critic that learn from each other, each with its own optimiser, as in a GAN."""

    def __init__(self, model, plan, graph=True, ranks=ALONE):
        super().__init__(model, plan, graph, ranks)
        self.critic = Conv2d(1, 1, 3, np.random.default_rng(plan.recipe.seed)).to(model.device)
        self.optimisers = {"model": Adam(model.parameters(), plan.recipe.rate), "critic": Adam(self.critic.parameters(), 1e-2)}

    def gradients(self, frames, k, sign, module):
        truth = truth_mask(self.plan.recipe, self.plan.data.given, self.plan.data.horizon, k)
        self.model.zero_grad(), self.critic.zero_grad()
        predictions, targets = self.model.unroll(tp.tensor(frames), truth), frames[:, 1:]
        judged = [self.critic(x.reshape(-1, *x.shape[2:])).mean() for x in (predictions, tp.tensor(targets))]
        loss = sign * (judged[0] - judged[1]) + ((predictions - targets) ** 2).mean()
        loss.backward()
        return loss.item(), clip_gradients(module.parameters(), 1.0)

    def __call__(self, frames, k):
        self.gradients(frames, k, -1, self.critic)
        self.optimisers["critic"].step()
        loss, gradient_norm = self.gradients(frames, k, 1, self.model)
        self.optimisers["model"].step()
        return {"loss": loss, "gradient_norm": gradient_norm}

    def check_first_gradient(self, frames, k):
        self.gradients(frames, k, 1, self.model)

    def state_dict(self):
        parts = {"model": self.optimisers["model"].state_dict(), "critic": self.optimisers["critic"].state_dict(),
                 "weights": self.critic.state_dict()}
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def load_state_dict(self, arrays):
        parts = {part: {name.removeprefix(f"{part}."): a for name, a in arrays.items() if name.startswith(f"{part}.")}
                 for part in ("model", "critic", "weights")}
        for part, optimiser in self.optimisers.items():
            optimiser.load_state_dict(parts[part])
        self.critic.load_state_dict(parts["weights"])


def test_another_update_is_one_entry_and_is_resumed_bit_for_bit(monkeypatch, tmp_path):
    monkeypatch.setitem(UPDATES, "opposed", Opposed)
    for name in ("save_gif", "save_strip", "save_training_curves"):
        monkeypatch.setattr(trainer, name, lambda path, *what: path.write_bytes(b"a picture"))
    images = draw_digits(np.random.default_rng(0), 10)[0][:, 11:16, 11:16]

    def trained(out, steps, resume=False):
        plan = make_plan(**SMALL | dict(update="opposed", steps=steps, validation_sequences=2, digits=1))
        run = trainer.Trainer(plan, DrawnDigits(plan.data, plan.recipe.seed, images), out)
        with run.folder(resume):
            run.run()
        return run

    whole, half = trained(tmp_path / "whole", 5), trained(tmp_path / "halves", 2)
    resumed = trained(tmp_path / "halves", 5, resume=True)
    assert half.iteration == 2 and resumed.iteration == 5
    assert numbers(resumed.update) == numbers(whole.update) and len(resumed.update.state_dict()) > len(whole.model.state_dict())
