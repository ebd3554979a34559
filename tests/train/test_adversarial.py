"""A network and its discriminator: whose step follows which gradient, who learns when, and that a run goes on as if never stopped."""

import dataclasses

import numpy as np
import pytest
from plans import DrawnDigits, make_plan
from watched import at_each_step, bits

import tinypredrnn as tp
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.errors import CheckpointError, ConfigError, TrainingError
from tinypredrnn.models import construct
from tinypredrnn.optim import Adam
from tinypredrnn.train import UPDATES, trainer

SMALL = dict(model="mcnet", size=(16, 16), width=2, given=3, horizon=2, batch=3)


def make(gaps=False, **changes):
    plan = make_plan(**SMALL | changes)
    plan = dataclasses.replace(plan, scale=dataclasses.replace(plan.scale, gaps=gaps))
    return UPDATES[plan.recipe.update](construct(*plan.network()), plan)


@pytest.fixture
def frames():
    return np.random.default_rng(0).random((3, 5, 16, 16, 1), dtype=np.float32)


def numbers(update):
    return {name: array.tobytes() for name, array in (update.model.state_dict() | update.state_dict()).items()}


def cross_entropies(discriminator, clip, target):
    return tp.bce_with_logits(discriminator(tp.tensor(clip) if isinstance(clip, np.ndarray) else clip), target).mean()


def test_mcnet_is_trained_as_its_authors_did():
    update = make()
    assert update.plan.recipe.update == "adversarial" and update.weight == 0.02
    for optimiser in update.optimiser, update.discriminator_optimiser:
        assert (optimiser.rate, optimiser.betas) == (1e-4, (0.5, 0.999))


def test_first_the_discriminator_takes_a_step_then_the_network(frames):
    update, twin = make(rate=1e-2, deception=5.0), make(deception=5.0)
    result = update(frames, 0)
    model, judge = twin.model, twin.discriminator
    future = model.unroll(frames, twin.truth(0), given=3)[:, 2:]
    clip = tp.concat(tp.tensor(frames[:, :3]), future, axis=1)
    (cross_entropies(judge, frames, 1.0) + cross_entropies(judge, clip.detach(), 0.0)).backward()
    Adam(judge.parameters(), 1e-2, (0.5, 0.999)).step()
    loss = model.loss(twin.pixel_loss, future, tp.tensor(frames[:, 3:]), None) + 5.0 * cross_entropies(judge, clip, 1.0)
    loss.backward()
    Adam(model.parameters(), 1e-2, (0.5, 0.999)).step()
    assert result["loss"] == pytest.approx(loss.item(), rel=1e-5)
    for found, expected in ((update.model, model), (update.discriminator, judge)):
        for (name, a), (_, b) in zip(found.named_tensors(), expected.named_tensors()):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-4, atol=1e-6, err_msg=name)


def test_it_is_the_discriminators_gradient_that_makes_the_difference(frames):
    deceiving, honest, alone = make(deception=1.0), make(deception=0.0), make(update="descent")
    for update in deceiving, honest, alone:
        update(frames, 0)
    of = [update.model.state_dict() for update in (deceiving, honest, alone)]
    assert all(np.array_equal(of[1][name], of[2][name]) for name in of[2])
    assert any(np.any(of[0][name] != of[2][name]) for name in of[2])


def test_who_learns():
    """D stops where it finds it easy, the network where D finds it hard, and both go on when both have stopped."""
    update = make()
    for true, predicted, learns in ((0.6, 0.65, (True, True)), (0.5, 0.29, (False, True)), (0.5, 0.5, (False, True)),
                                    (0.71, 0.5, (True, True)), (0.4, 0.8, (True, False)), (0.5, 0.5, (True, False)),
                                    (0.1, 0.2, (True, True)), (0.1, 0.9, (True, True))):
        update.balance((tp.tensor(true), tp.tensor(predicted)), 4)
        assert (update.discriminator_learns, update.model_learns) == learns, (true, predicted)


@pytest.mark.parametrize("it_learns, model_learns", [(True, False), (False, True)])
def test_who_does_not_learn_stays_as_it_is(frames, it_learns, model_learns):
    update = make()
    update.discriminator_learns, update.model_learns = it_learns, model_learns
    before = [part.state_dict() for part in (update.discriminator, update.model)]
    result = update(frames, 0)
    moved = [any(np.any(part.state_dict()[name] != array) for name, array in old.items())
             for part, old in zip((update.discriminator, update.model), before)]
    assert moved == [it_learns, model_learns] and np.isfinite(list(result.values())).all()


def test_checking_the_first_gradient_changes_nothing(frames):
    update = make()
    before = numbers(update)
    update.check_first_gradient(frames, 0)
    assert numbers(update) == before and all(p.grad is None for p in update.model.parameters())


def test_what_is_not_known_is_black_in_both_clips(frames):
    frames[:, :, 4:7] = np.nan
    update = make(gaps=True)
    _, true, predicted = update.clips(tp.tensor(frames), update.truth(0))
    assert not true.numpy()[:, :, 4:7].any() and not predicted.numpy()[:, :, 4:7].any() and predicted.shape == frames.shape
    np.testing.assert_array_equal(true.numpy()[:, :3], predicted.numpy()[:, :3])
    assert np.isfinite(list(update(frames, 0).values())).all()


def test_a_loss_that_is_no_number_leaves_the_network_as_it_is(frames):
    update = make()
    before = update.model.state_dict()
    frames[0, 1, 2, 2] = np.nan
    with pytest.raises(TrainingError, match="the frames of iteration 1 hold NaN"):
        update(frames, 0)
    assert all(np.array_equal(a, before[name]) for name, a in update.model.state_dict().items())


def test_stopped_and_resumed_it_is_the_run_that_was_never_stopped(monkeypatch, tmp_path):
    for name in ("save_gif", "save_strip", "save_training_curves"):
        monkeypatch.setattr(trainer, name, lambda path, *what: path.write_bytes(b"a picture"))
    images = draw_digits(np.random.default_rng(0), 10)[0][:, 11:16, 11:16]
    monkeypatch.setattr(UPDATES["adversarial"], "easy", 0.69)  # so that not both learn all the time

    def trained(out, steps, resume=False):
        plan = make_plan(**SMALL | dict(steps=steps, rate=1e-3, validation_sequences=2, digits=1))
        run = trainer.Trainer(plan, DrawnDigits(plan.data, plan.recipe.seed, images), out)
        learns = []
        with run.folder(resume):
            at_each_step(run, lambda frames: learns.append((run.update.discriminator_learns, run.update.model_learns)))
            run.run()
        return run, learns

    (whole, learns), _ = trained(tmp_path / "whole", 6), trained(tmp_path / "halves", 3)
    resumed, later = trained(tmp_path / "halves", 6, resume=True)
    assert bits(resumed) == bits(whole) and later == learns[3:] and len(set(learns)) > 1


@pytest.mark.parametrize("arrays", [{}, {"t": np.array(3)}, {"learns": np.ones(2, np.uint8)}], ids=str)
def test_the_state_of_another_update(arrays):
    with pytest.raises(CheckpointError):
        make().load_state_dict(arrays)


def test_a_network_without_a_discriminator():
    plan = make_plan(size=(8, 8), hidden=(2,), kernel=3, patch=4, update="adversarial")
    with pytest.raises(ConfigError, match="PredRNN has no discriminator, which update adversarial needs"):
        UPDATES["adversarial"](construct(*plan.network()), plan)
