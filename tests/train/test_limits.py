"""What a training step is said to take, against what it takes; and that too little memory is one sentence."""

import tracemalloc

import numpy as np
import pytest
from plans import make_plan
from small import small_options

import tinypredrnn as tp
from tinypredrnn.errors import TooLargeError
from tinypredrnn.models import construct
from tinypredrnn.nn import find_loss
from tinypredrnn.optim import Adam
from tinypredrnn.train import check_memory, truth_mask
from tinypredrnn.train.limits import batch_that_fits, explain_memory_error, step_memory

BASE = dict(hidden=(16, 16), kernel=3, patch=4, size=(32, 32), batch=4, given=5, horizon=5)


def measured(plan):
    """The most bytes in arrays at once in the course of two steps, the model's own included."""
    rng, data = np.random.default_rng(0), plan.data
    frames = rng.random((plan.recipe.batch, data.given + data.horizon, *plan.frame), dtype=np.float32)
    tracemalloc.start()
    try:
        model = construct(*plan.network())
        optimiser = Adam(model.parameters())
        for _ in range(2):
            model.zero_grad()
            truth, summaries = truth_mask(plan.recipe, data.given, data.horizon, 0), []
            with tp.activations(plan.recipe.activations):
                outputs = model.unroll(frames, truth, summaries, data.given, plan.recipe.segment(truth.shape[1]))
                loss = model.loss(find_loss(plan.recipe.loss), outputs, frames[:, 1:], summaries)
                loss.backward()
            optimiser.step(1e-3)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("changes", [{}, dict(batch=8), dict(hidden=(32,) * 3), dict(kernel=5), dict(size=(64, 64), patch=8),
                                     dict(patch=2), dict(model="convlstm"), dict(model="predrnn_m"), dict(layer_norm=True),
                                     dict(channels=3), dict(size=(30, 31)), dict(given=10, horizon=10),
                                     dict(given=10, horizon=10, recompute=True),
                                     dict(batch=32, activations="bf16"), dict(given=20, horizon=20, recompute=True),
                                     dict(model="predrnn_v2", given=10, horizon=10, recompute=True), dict(model="predrnn_v2"),
                                     dict(model="dfn", width=8), dict(model="dfn", width=16, size=(20, 40)),
                                     dict(model="cdna", width=8), dict(model="cdna", width=16, given=2),
                                     dict(model="prednet", width=8), dict(model="mcnet", width=4)], ids=str)
def test_the_estimate_is_right_to_a_factor_of_two_and_the_least_is_less(changes):
    base = BASE if "width" not in changes else {name: BASE[name] for name in ("size", "batch", "given", "horizon")}
    plan = make_plan(**base | changes)
    measured(plan)  # the first step compiles
    (least, about), taken = step_memory(plan), measured(plan)
    assert least < taken and 0.5 < about / taken < 2


@pytest.mark.parametrize("changes", [dict(model="predrnn_v2", hidden=(16, 16), kernel=3),
                                     dict(model="prednet", width=8, upper_errors=0.1)], ids=str)
def test_recomputation_needs_less_memory_also_if_the_loss_looks_at_states(changes):
    """What the loss needs of each state is computed with the segment: the states themselves are not kept."""
    base = dict(size=(32, 32), batch=4, given=2, horizon=23)
    plans = [make_plan(**base | changes | dict(recompute=recompute)) for recompute in (False, True)]
    measured(plans[0])  # the first step compiles
    whole, again = map(measured, plans)
    assert again < 0.55 * whole


HUGE = [dict(hidden=(10**6,)), dict(width=10**6), dict(size=(10**6, 10**6)), dict(given=10**9), dict(horizon=10**10),
        dict(kernel=10**6 + 1), dict(batch=10**9)]


@pytest.mark.parametrize("model, changes", [(name, changes) for name, model in tp.models.MODELS.items() for changes in HUGE
                                            if changes.keys() <= {*model.Options.names(), "size", "given", "horizon", "batch"}], ids=str)
def test_what_cannot_fit_is_refused_at_once(changes, model):
    options = [name for name in ("batch", "hidden", "width", "patch") if name in ("batch", *tp.models.MODELS[model].Options.names())]
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match="a training step would take at least .*" + ".*".join(options)):
            check_memory(make_plan(**small_options(model, hidden=(8,), kernel=5, patch=4) | dict(model=model) | changes))
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_what_may_just_not_fit_is_said_and_tried(monkeypatch, capsys):
    least, about = step_memory(make_plan(**BASE | dict(batch=64)))
    monkeypatch.setattr("tinypredrnn.train.limits.memory_limit", lambda device: (least + about) // 2)
    check_memory(make_plan(**BASE | dict(batch=64)))
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "a training step takes about" in message and "smaller batch" in message


@pytest.mark.parametrize("batch", [2, 7, 64])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95, 1.5])
def test_the_batch_that_fits_is_the_largest_one(share, batch):
    """By the estimate, which is linear; if that was too low (a share above 1), as far below as it was too low."""
    def about(batch):
        return step_memory(make_plan(**BASE | dict(batch=batch)))[1]

    room = share * about(batch)
    fits = batch_that_fits(make_plan(**BASE | dict(batch=batch)), room)
    limit = 0.9 * min(room, about(batch))
    assert 0 <= fits < batch and (fits == 0 or about(fits) <= limit) and (fits == batch - 1 or about(fits + 1) > limit)


def test_a_memory_error_says_what_a_step_takes_and_what_to_change(monkeypatch):
    with pytest.raises(TooLargeError, match=r"not enough memory \(Unable to allocate .*about .*iB: take a smaller batch"):
        with explain_memory_error(make_plan(**BASE)):
            np.empty(1 << 60, np.uint8)
    with (pytest.raises(TooLargeError, match="not even batch 1 would fit"),
          explain_memory_error(make_plan(**BASE | dict(batch=1)))):
        raise MemoryError
    least, about = step_memory(make_plan(**BASE))
    monkeypatch.setattr("tinypredrnn.train.limits.memory_limit", lambda device: about)
    with (pytest.raises(TooLargeError, match="by this estimate batch 3 would fit$"),
          explain_memory_error(make_plan(**BASE))):
        raise MemoryError
    with pytest.raises(TooLargeError, match="cudaErrorMemoryAllocation"), explain_memory_error(make_plan(**BASE)):
        raise RuntimeError("cudaErrorMemoryAllocation: out of memory")
    with pytest.raises(ZeroDivisionError), explain_memory_error(make_plan(**BASE)):
        _ = 1 / 0
    with pytest.raises(TooLargeError, match="^mine$"), explain_memory_error(make_plan(**BASE)):
        raise TooLargeError("mine")


def test_where_memory_ends_in_a_run_the_last_checkpoint_is_kept_and_a_smaller_batch_goes_on(small_trainer, tmp_path, capsys):
    data = {"training": np.arange(32, dtype=np.uint8)}
    trainer = small_trainer(tmp_path, batch=8, data=data)
    step = trainer.step

    def full(frames):
        if trainer.iteration == 4:
            np.empty(1 << 60, np.uint8)
        return step(frames)

    trainer.step = full
    with pytest.raises(TooLargeError, match="not enough memory .*about .*batch"):
        trainer.run()
    assert tp.train.read_checkpoint(tmp_path)[1] == 3
    plan = tp.train.prepare_run(tmp_path, make_plan(), True, False, dict(batch=2))
    assert "batches now have 2 sequences, no longer 8" in capsys.readouterr().out
    smaller = small_trainer(tmp_path, data=data, batch=plan.recipe.batch)
    smaller.restore()
    assert smaller.run() is None
    saved, iteration, _ = tp.train.read_checkpoint(tmp_path)
    assert saved.recipe.batch == 2 and iteration == 6
