"""The trainer: that it learns, that a run stopped and resumed is the run that was never stopped, and that nothing is lost on the way."""

import contextlib
import csv
import gc
import json
import os
import signal
import threading
import tracemalloc

import numpy as np
import pytest
from watched import at_each_step, bits, log_without_seconds, stop_after

import tinypredrnn as tp
from tinypredrnn.autograd import kept
from tinypredrnn.errors import CheckpointError, DataError, DeviceError, TrainingError
from tinypredrnn.train import fingerprint, predict, rate_at, read_checkpoint, read_log, read_plan

# Learning


def test_it_learns_and_writes_what_a_person_wants_to_find(small_trainer, tmp_path, capfd, device):
    trainer = small_trainer(tmp_path / "run", device, pictures=True, steps=40, batch=4, loss="l2", rate_schedule="cosine", rate=0.02,
                            sampling_until=20, validate_every=30)
    assert trainer.run() is None
    log = read_log(tmp_path / "run" / "log.csv")
    loss = np.array(log["loss"], float)
    assert loss[-10:].mean() < 0.75 * loss[:5].mean()
    assert log["iteration"] == [str(i + 1) for i in range(40)]
    assert [i + 1 for i, value in enumerate(log["validation_mse"]) if value] == [30, 40]
    assert float(log["rate"][-1]) < 1e-3 < max(map(float, log["rate"])) <= 0.02 and min(map(float, log["seconds"])) > 0

    names = {".lock", ".tinypredrnn.json", "checkpoint.npz", "checkpoint-previous.npz", "best.npz", "config.json", "curves.png",
             "log.csv", "pictures"}
    assert set(os.listdir(tmp_path / "run")) == names
    assert set(os.listdir(tmp_path / "run" / "pictures")) == {f"{i:06d}.{kind}" for i in (30, 40) for kind in ("png", "gif")}
    plan = read_plan(json.loads((tmp_path / "run" / "config.json").read_text()))
    assert plan == trainer.plan == read_checkpoint(tmp_path / "run")[0]

    frames = trainer.plan.scale.to_model(trainer.source.validation())
    inputs = frames[:, :3]
    loaded = tp.load(tmp_path / "run")
    assert np.array_equal(predict(loaded.to(trainer.device), inputs, 3), predict(trainer.model, inputs, 3))
    mse = np.square(predict(trainer.model, inputs, 3) - frames[:, 3:]).sum(axis=(2, 3, 4)).mean()
    assert float(log["validation_mse"][-1]) == pytest.approx(mse, abs=2e-3)
    assert capfd.readouterr().err.count("\r") < 6  # not a screen: the bar must not flood a file


def test_the_loss_looks_at_all_outputs_or_at_the_future_alone(small_trainer, tmp_path):
    for over, first in (("all", 0), ("future", 2)):
        trainer = small_trainer(tmp_path, loss_over=over, sampling="off")
        frames = trainer.frames(0)
        truth = np.repeat([[1, 1, 1, 0, 0]], 2, axis=0)
        d = trainer.model.unroll(frames, truth).numpy()[:, first:] - frames[:, first + 1:]
        assert d.shape[1] == {"all": 5, "future": 3}[over]
        assert trainer.step(frames) == pytest.approx(np.abs(d).mean() + np.square(d).mean(), rel=1e-5)


def test_each_step_takes_its_own_place_in_the_schedules(small_trainer, tmp_path):
    trainer = small_trainer(tmp_path, rate_schedule="cosine", batch=8)
    optimiser = trainer.update.optimiser
    unroll, step, masks, rates = trainer.model.unroll, optimiser.step, [], []
    trainer.model.unroll = lambda frames, truth, *more: masks.append(truth) or unroll(frames, truth, *more)
    optimiser.step = lambda rate: rates.append(rate) or step(rate)
    for k in range(6):
        trainer.step(trainer.frames(k))
    assert all(np.array_equal(mask, trainer.update.truth(k)) for k, mask in enumerate(masks))
    assert len({mask.tobytes() for mask in masks}) > 3 and rates == [rate_at(trainer.plan.recipe, k) for k in range(6)]


def test_clip_bounds_the_gradient(small_trainer, tmp_path):
    trainer = small_trainer(tmp_path, clip=1e-3)
    trainer.step(trainer.frames(0))
    length = sum(np.square(p.grad).sum() for p in trainer.model.parameters()) ** 0.5
    assert length == pytest.approx(1e-3, rel=1e-4)


# Stopping and going on

KINDS = {
    "as in the paper": {},
    "everything else": dict(sampling="reverse", clip=0.1, rate_schedule="cosine", loss="l2", loss_over="future", model="convlstm", seed=3,
                            recompute=True, truncate=2),
    "activations in half the memory": dict(activations="bf16"),
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_resuming_is_bit_for_bit_the_run_that_was_never_stopped(small_trainer, tmp_path, options, monkeypatch):
    monkeypatch.setattr(kept, "SMALL", 1)  # these networks are small
    seen = {"straight": [], "stopped": []}
    straight = at_each_step(small_trainer(tmp_path / "straight", **options), lambda frames: seen["straight"].append(frames))
    straight.run()

    first = at_each_step(small_trainer(tmp_path / "stopped", **options), lambda frames: seen["stopped"].append(frames))
    assert stop_after(first, 4).run() is signal.SIGINT
    assert first.iteration == 4 and read_checkpoint(tmp_path / "stopped")[1] == 4
    second = at_each_step(small_trainer(tmp_path / "stopped", **options), lambda frames: seen["stopped"].append(frames))
    assert bits(second) != bits(first)
    second.restore()
    assert second.iteration == 4 and bits(second) == bits(first)
    assert second.run() is None

    assert bits(second) == bits(straight)
    assert log_without_seconds(tmp_path / "stopped") == log_without_seconds(tmp_path / "straight")
    assert len(seen["straight"]) == len(seen["stopped"]) == 6
    assert all(np.array_equal(a, b) for a, b in zip(seen["straight"], seen["stopped"]))
    for k, frames in enumerate(seen["straight"]):
        assert np.array_equal(frames, straight.frames(k))


def test_three_steps_by_hand_saved_and_restored(small_trainer, tmp_path):
    straight, first, second = (small_trainer(tmp_path) for _ in range(3))
    for k in range(6):
        straight.step(straight.frames(k))
    for k in range(3):
        first.step(first.frames(k))
    first.save()
    second.restore()
    for k in range(3, 6):
        second.step(second.frames(k))
    assert bits(second) == bits(straight)


def test_another_seed_is_another_run(small_trainer, tmp_path):
    a, b, c = (small_trainer(tmp_path, seed=seed) for seed in (0, 0, 1))
    for trainer in (a, b, c):
        trainer.step(trainer.frames(0))
    assert bits(a) == bits(b) and all(x != y for x, y in zip(bits(a).values(), list(bits(c).values())[:5]))


def test_the_log_goes_on_where_the_checkpoint_is(small_trainer, tmp_path):
    stop_after(small_trainer(tmp_path), 3).run()
    kept = (tmp_path / "log.csv").read_text()
    with open(tmp_path / "log.csv", "ab") as file:  # steps after the last save, one of them cut off by a power failure
        file.write(b"4,9.9,0.01,0.1,\n5,9.9,0.01,0.1,7\n6,0.\xff")
    second = small_trainer(tmp_path)
    second.restore()
    second.run()
    text = (tmp_path / "log.csv").read_text()
    assert text.startswith(kept) and "9.9" not in text
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["iteration", "loss", "rate", "seconds", "validation_mse"] and [row[0] for row in rows[1:]] == list("123456")
    assert "\r" not in text


def test_rows_of_the_log_that_are_no_numbers_are_passed_over(tmp_path):
    whole = "1,0.5,0.01,0.1,\n2,1e-05,0.01,0.1,7.25\n"
    damaged = "3,0.5,0.01,0.1\n4,0.5x,0.01,0.1,\n\x005,0.5,0.01,0.1,\n²,0.5,0.01,0.1,\n" + "9" * 5000 + ",0.5,0.01,0.1,\n6,\"0,5\n,1,1,\n"
    (tmp_path / "log.csv").write_text("iteration,loss,rate,seconds,validation_mse\n" + whole + damaged, encoding="utf-8")
    log = read_log(tmp_path / "log.csv")
    assert log["iteration"] == ["1", "2"] and log["loss"] == ["0.5", "1e-05"] and log["validation_mse"] == ["", "7.25"]


@pytest.mark.parametrize("content", [None, "", "not a log\n"])
def test_a_log_that_is_lost_stops_nothing(small_trainer, tmp_path, content):
    stop_after(small_trainer(tmp_path), 5).run()
    if content is None:
        (tmp_path / "log.csv").unlink()
    else:
        (tmp_path / "log.csv").write_text(content)
    second = small_trainer(tmp_path)
    second.restore()
    assert second.run() is None and read_log(tmp_path / "log.csv")["iteration"] == ["6"]
    again = small_trainer(tmp_path)  # and once more, with nothing left to do
    again.restore()
    (tmp_path / "log.csv").unlink()
    assert again.run() is None and read_checkpoint(tmp_path)[1] == 6


def test_there_is_something_to_resume_from_the_first_moment(small_trainer, tmp_path):
    def fail(frames):
        raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError, match="power"):
        at_each_step(small_trainer(tmp_path), fail).run()
    second, straight = small_trainer(tmp_path), small_trainer(tmp_path / "other")
    second.restore()
    assert second.iteration == 0 and second.run() is None and straight.run() is None
    assert bits(second) == bits(straight)


def test_other_data_are_refused(small_trainer, tmp_path):
    stop_after(small_trainer(tmp_path), 2).run()
    other = small_trainer(tmp_path)
    other.data["first_batch"] += 1
    before = bits(other)
    with pytest.raises(CheckpointError, match="other data"):
        other.restore()
    assert bits(other) == before and other.iteration == 0


def test_data_that_differ_in_one_part_are_refused_by_its_name(small_trainer, tmp_path):
    data = {part: np.full(32, n, np.uint8) for n, part in enumerate(("training", "validation", "test"))}
    stop_after(small_trainer(tmp_path, data=data), 2).run()
    same = small_trainer(tmp_path, data=data)
    same.restore()
    assert same.iteration == 2
    for part in data:
        other = small_trainer(tmp_path, data=data | {part: np.zeros(32, np.uint8) + 9})
        with pytest.raises(CheckpointError, match=f"other data than these .what differs: {part}.: name its own"):
            other.restore()
        assert other.iteration == 0


def test_a_checkpoint_of_before_there_were_fingerprints_goes_on_and_gets_one(small_trainer, tmp_path):
    stop_after(small_trainer(tmp_path), 2).run()
    data = {"training": np.ones(32, np.uint8)}
    with pytest.raises(CheckpointError, match="resume it without batch first"):
        small_trainer(tmp_path, data=data, batch=1).restore()
    trainer = small_trainer(tmp_path, data=data)
    trainer.data["first_batch"] += 1
    with pytest.raises(CheckpointError, match="what differs: first_batch"):
        trainer.restore()
    trainer = small_trainer(tmp_path, data=data)
    trainer.restore()
    trainer.run()
    known = fingerprint({"training": {"numbers": data["training"]}})
    assert np.array_equal(read_checkpoint(tmp_path)[2]["data"]["training"], known["training"])


def test_another_model_is_refused(small_trainer, tmp_path):
    stop_after(small_trainer(tmp_path), 2).run()
    for changes in (dict(hidden=(5,)), dict(model="predrnn_m"), dict(hidden=(4, 4))):
        other = small_trainer(tmp_path, **changes)
        before = bits(other)
        with pytest.raises(CheckpointError, match="load_state_dict"):
            other.restore()
        assert bits(other) == before and other.iteration == 0


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_finish_the_step_save_and_give_back_the_handlers(small_trainer, tmp_path, number):
    before = signal.getsignal(number)
    trainer = stop_after(small_trainer(tmp_path, pictures=True, validate_every=100), 2, number)
    assert trainer.run() is number and trainer.iteration == 2
    assert signal.getsignal(number) is before
    assert read_checkpoint(tmp_path)[1] == 2 and (tmp_path / "curves.png").is_file()
    assert len(read_log(tmp_path / "log.csv")["loss"]) == 2


def test_a_second_ctrl_c_stops_at_once(small_trainer, tmp_path):
    def impatient(frames):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        at_each_step(small_trainer(tmp_path), impatient).run()
    assert read_checkpoint(tmp_path)[1] == 0
    assert not [t for t in threading.enumerate() if "prefetch" in t.name]


def test_a_run_in_another_thread(small_trainer, tmp_path):
    result = []
    thread = threading.Thread(target=lambda: result.append(small_trainer(tmp_path, steps=2).run()))
    thread.start()
    thread.join()
    assert result == [None] and read_checkpoint(tmp_path)[1] == 2


# When things go wrong


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(small_trainer, tmp_path):
    trainer = small_trainer(tmp_path)

    def spoil(frames):
        if trainer.iteration == 4:
            frames[0, 1] = np.inf

    message = r"iteration 5 is nan, .*\(\w+\(.*made NaN or infinity from inputs that already had it"
    with pytest.raises(TrainingError, match=message) as caught, np.errstate(all="ignore"):
        at_each_step(trainer, spoil).run()
    assert "smaller rate" in str(caught.value) and "\n" not in str(caught.value)
    _, iteration, parts = read_checkpoint(tmp_path)
    assert iteration == 3 and all(np.isfinite(a).all() for part in parts.values() for a in part.values())
    second, straight = small_trainer(tmp_path), small_trainer(tmp_path / "other")
    second.restore()
    second.run()
    straight.run()
    assert bits(second) == bits(straight)


def test_a_gradient_that_is_no_number_stops_before_it_reaches_the_weights(small_trainer, tmp_path):
    trainer = small_trainer(tmp_path)
    trainer.update.pixel_loss = lambda prediction, truth: tp.sqrt((prediction * 0).sum())  # 0, with gradient infinity times 0
    before = bits(trainer)
    with pytest.raises(TrainingError, match="norm of its gradient nan .backward of sqrt"), np.errstate(all="ignore"):
        trainer.step(trainer.frames(0))
    assert bits(trainer) == before and trainer.iteration == 0


def test_a_gradient_too_long_for_its_length_to_be_a_number_is_no_ops_fault(small_trainer, tmp_path):
    trainer = small_trainer(tmp_path)
    loss = trainer.update.pixel_loss
    trainer.update.pixel_loss = lambda prediction, truth: loss(prediction, truth) * 1e25  # finite, but not its square
    with pytest.raises(TrainingError, match="gradient inf .no single op"), np.errstate(all="ignore"):
        trainer.step(trainer.frames(0))


def test_a_checkpoint_is_never_half_written(small_trainer, tmp_path, monkeypatch):
    trainer = small_trainer(tmp_path)
    savez, calls = np.savez, []

    def fail_the_third_time(file, **arrays):
        calls.append(file)
        savez(file, **arrays)
        if len(calls) == 4:
            os.truncate(file, os.path.getsize(file) // 2)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail_the_third_time)
    with pytest.raises(OSError, match="No space"):  # at the start, the best and the newest after step 3, after step 6
        trainer.run()
    assert read_checkpoint(tmp_path)[1] == 3 and not [name for name in os.listdir(tmp_path) if "unfinished" in name]


def test_an_error_in_the_data_comes_through(small_trainer, tmp_path):
    trainer = small_trainer(tmp_path)
    batch = trainer.source.batch
    trainer.source.batch = lambda k, *which: batch(k, *which) if k < 4 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        trainer.run()
    assert read_checkpoint(tmp_path)[1] == 3 and not [t for t in threading.enumerate() if "prefetch" in t.name]


def test_a_device_that_is_not_there(small_trainer, tmp_path):
    with pytest.raises(DeviceError):
        small_trainer(tmp_path / "run", "gpu:99")
    assert not (tmp_path / "run").exists()


@contextlib.contextmanager
def no_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_memory_does_not_grow(small_trainer, tmp_path):
    trainer = small_trainer(tmp_path)
    batches = [trainer.frames(k) for k in range(12)]

    def alive():
        """Tensors and nodes, and the bytes of NumPy's arrays: Python's own memory also holds lists of free tuples, which fill up."""
        arrays = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
        return sum(type(o) in (tp.Tensor, tp.Node) for o in gc.get_objects()), sum(trace.size for trace in arrays.traces)

    tracemalloc.start()
    try:
        with no_collector():
            for frames in batches[:2]:
                trainer.step(frames)
            before = alive()
            for frames in batches[2:]:
                trainer.step(frames)
            assert alive() == before
    finally:
        tracemalloc.stop()


def test_data_that_vanish_mid_run_cost_nothing_that_was_learnt(small_trainer, tmp_path):
    run = small_trainer(tmp_path / "run")
    whole = run.source.batch

    def vanishing(k, *which):
        if k == 2:
            raise DataError("clips.npy is gone: put it back and start again")
        return whole(k, *which)

    run.source.batch = vanishing
    with pytest.raises(DataError, match="is gone"):
        run.run()
    assert run.iteration == 2 and read_checkpoint(tmp_path / "run")[1] == 2
