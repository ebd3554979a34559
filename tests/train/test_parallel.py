"""Several processes that train together, here threads: each takes its rows of a batch, and only the first writes and prints."""

import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from plans import DrawnDigits, make_plan

from tinypredrnn.commands.train import run
from tinypredrnn.data.scale import BYTES
from tinypredrnn.errors import ConfigError, TrainingError
from tinypredrnn.metrics import DIGITS
from tinypredrnn.models import construct
from tinypredrnn.train import read_checkpoint, read_log, score_set, scoring, trainer
from tinypredrnn.train.comparison import Comparison


class Ranks:
    """One of several threads that exchange arrays, as the processes of MPI would."""

    def __init__(self, rank, size, barrier, table):
        self.rank, self.size, self.first, self.barrier, self.table = rank, size, rank == 0, barrier, table
        self.rows = slice(rank, None, size)

    def gather(self, value):
        """What all of them give. A barrier that one never reaches breaks, so that no test can hang."""
        self.table[self.rank] = value
        self.barrier.wait(300)
        values = list(self.table)
        self.barrier.wait(300)
        return values

    def average(self, arrays, weight=1):
        several, weights = zip(*self.gather(([a.copy() for a in arrays], weight)))
        for array, parts in zip(arrays, zip(*several)):
            array[...] = np.average(parts, axis=0, weights=weights)

    def largest(self, number):
        return max(self.gather(number))


def together(act, size=2):
    """[act(ranks) of each of `size` threads that train together]"""
    barrier, table = threading.Barrier(size), [None] * size

    def one(rank):
        try:
            return act(Ranks(rank, size, barrier, table))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def trainers(small_trainer, tmp_path):
    """trainers(ranks, ...): a Trainer of one rank; all have the folder `run`."""
    return lambda ranks, **changes: small_trainer(tmp_path / "run", ranks=ranks, **{"batch": 4} | changes)


def test_two_are_as_one(small_trainer, trainers, tmp_path):
    """Loss, gradient norm and weights are those of the whole batch, on both."""
    whole = small_trainer(tmp_path / "whole", batch=4, clip=0.05)
    frames = [whole.frames(k) for k in range(3)]
    expected = [whole.update(batch, k) for k, batch in enumerate(frames)]

    def act(ranks):
        trainer = trainers(ranks, clip=0.05)
        batches = [trainer.frames(k) for k in range(3)]
        return batches, [trainer.update(batch, k) for k, batch in enumerate(batches)], trainer.model.state_dict()

    for rank, (batches, steps, weights) in enumerate(together(act)):
        for batch, all_rows, step, other in zip(batches, frames, steps, expected):
            np.testing.assert_array_equal(batch, all_rows[rank::2])
            assert step == pytest.approx(other, rel=1e-4)
        for name, array in whole.model.state_dict().items():
            np.testing.assert_allclose(weights[name], array, rtol=1e-3, atol=1e-5)


def test_the_first_writes_what_one_process_would(trainers, small_trainer, tmp_path):
    alone = small_trainer(tmp_path / "whole", batch=4)
    with alone.folder() as folder:
        assert run(alone, folder) == 0

    def act(ranks):
        trainer = trainers(ranks)
        with trainer.folder() as folder:
            return run(trainer, folder)

    assert together(act) == [0, 0]
    log, expected = read_log(tmp_path / "run" / "log.csv"), read_log(tmp_path / "whole" / "log.csv")
    assert log["iteration"] == expected["iteration"] and len(log["loss"]) == 6
    for column in ("loss", "validation_mse"):
        one, other = ([float(value) for value in table[column] if value] for table in (log, expected))
        assert one == pytest.approx(other, rel=1e-3) and one
    assert contents(tmp_path / "run").keys() == contents(tmp_path / "whole").keys()
    one, other = (json.loads((tmp_path / name / "metrics.json").read_text())["mnist-2"] for name in ("run", "whole"))
    assert one.keys() == other.keys() and one["mse_per_frame"] == pytest.approx(other["mse_per_frame"], rel=1e-3)
    assert (one["sequences"], one["copy_last_ssim"]) == (4, pytest.approx(other["copy_last_ssim"]))


def test_a_signal_that_one_of_them_catches_stops_all_after_the_same_step(trainers, monkeypatch, capsys):
    caught = {0: [], 1: []}

    def act(ranks):
        trainer = trainers(ranks)
        step, stopping = trainer.step, trainer.stopping
        trainer.stopping = lambda _: stopping(caught[ranks.rank])

        def step_then_signal(frames):
            loss = step(frames)
            if ranks.rank == 1 and trainer.iteration == 2:
                caught[1].append(signal.SIGTERM)
            return loss

        trainer.step = step_then_signal
        with trainer.folder() as folder:
            return run(trainer, folder), trainer.iteration

    assert together(act) == [(143, 2)] * 2
    assert "stopped by SIGTERM after step 2" in capsys.readouterr().out


def test_resuming_reads_on_all_and_writes_on_the_first(trainers, small_trainer, tmp_path):
    def act(ranks, resume, **changes):
        trainer = trainers(ranks, **changes)
        with trainer.folder(resume=resume):
            assert trainer.run() is None
        return trainer.model.state_dict()

    together(lambda ranks: act(ranks, False, steps=3))
    (tmp_path / "run" / "checkpoint.npz").write_bytes(b"damaged")  # so the previous one is promoted
    one, other = together(lambda ranks: act(ranks, True, steps=6))
    assert read_checkpoint(tmp_path / "run")[1] == 6 and (tmp_path / "run" / "checkpoint-damaged.npz").is_file()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def test_before_a_run_is_replaced_all_check_the_first_gradient(trainers, tmp_path):
    def act(ranks):
        trainer = trainers(ranks)
        check, checked = trainer.update.check_first_gradient, []
        trainer.update.check_first_gradient = lambda *batch: checked.append(batch) or check(*batch)
        with trainer.folder(overwrite=True):
            assert trainer.run() is None
        return len(checked)

    assert together(act) == [0, 0] and together(act) == [1, 1]


def test_a_loss_that_is_not_finite_on_one_ends_all(trainers):
    """Otherwise the others would wait for it for ever."""
    def act(ranks):
        trainer = trainers(ranks)
        frames = trainer.frames(0)
        if ranks.rank:
            trainer.update.pixel_loss = lambda predictions, targets: (predictions - targets).mean() * np.inf
        before = trainer.model.state_dict()
        with np.errstate(all="ignore"), pytest.raises(TrainingError, match="the loss of iteration 1 is"):
            trainer.update(frames, 0)
        return all(np.array_equal(before[name], array) for name, array in trainer.model.state_dict().items())

    assert together(act) == [True, True]


def test_what_made_a_nan_is_said_whoever_has_it(trainers):
    """The first process, which prints, need not be the one whose rows are bad."""
    def act(ranks):
        trainer = trainers(ranks)
        frames = trainer.frames(0)
        if ranks.rank:
            frames[0, 0, 0, 0, 0] = np.inf
        with np.errstate(all="ignore"), pytest.raises(TrainingError) as caught:
            trainer.update(frames, 0)
        return str(caught.value)

    one, other = together(act)
    assert one == other and "no single op" not in one


def test_every_process_needs_a_sequence(trainers):
    with pytest.raises(ConfigError, match="batch 2 leaves some of the 3 processes without a sequence"):
        together(lambda ranks: trainers(ranks, batch=2), size=3)


@pytest.mark.parametrize("count", [1, 7])
def test_sequences_are_scored_by_all_as_by_one(count):
    """Also if there are fewer batches than processes."""
    model = construct(*make_plan(size=(16, 16), hidden=(3,), patch=4).network()).train(False)
    sequences = np.random.default_rng(0).integers(0, 256, (count, 7, 16, 16, 1), dtype=np.uint8)
    expected = score_set(model, sequences, 4, BYTES, DIGITS, ("copy_last", "black"), batch=2)

    def act(ranks):
        own = construct(*make_plan(size=(16, 16), hidden=(3,), patch=4).network()).train(False)
        return score_set(own, sequences, 4, BYTES, DIGITS, ("copy_last", "black"), batch=2, ranks=ranks)

    for found in together(act, size=3):
        assert found.keys() == expected.keys() and found["sequences"] == count
        for metric in "mse", "ssim", "copy_last_mse", "black_ce":
            assert found[metric] == pytest.approx(expected[metric], rel=1e-9)


def test_the_networks_of_a_comparison_are_shared(digit_images, tmp_path, monkeypatch):
    """Each is trained by one process, and the first knows what became of all."""
    data = make_plan(size=(32, 32), given=3, horizon=3, test_sequences=4, validation_sequences=4).data
    monkeypatch.setattr(Comparison, "world", lambda self, options, seed=0: DrawnDigits(data.replace(**options), seed, digit_images))
    for module in trainer, scoring:
        for name in "save_gif", "save_strip", "save_training_curves", "save_frame_curves":
            monkeypatch.setattr(module, name, lambda path, *what: path.write_bytes(b"a picture"), raising=False)
    names = [f"convlstm:hidden=3:patch={patch}" for patch in (4, 8, 16)]

    def act(ranks):
        comparison = Comparison(tmp_path / "all", {"budget": ["2", "iterations"], "changes": {"batch": 2}}, ranks=ranks)
        trained, train = [], comparison.train

        def train_or_fail(name, seed):
            trained.append(name)
            if name == names[1]:
                raise TrainingError("it has diverged")
            return train(name, seed)

        comparison.train = train_or_fail
        with comparison.folder:
            comparison.add(names, [0])
            return trained, comparison.run(lambda failed: None), [len(found) for found in comparison.outcomes().values()]

    (one, *ended), (other, *also) = together(act)
    assert (one, other) == ([names[0], names[2]], [names[1]])
    assert ended == also == [(None, {(names[1], 0): "it has diverged"}), [1, 0, 1]]
    saved = json.loads((tmp_path / "all" / "comparison.json").read_text())
    assert [saved["networks"][name]["steps"] for name in names] == [2, 2, 2]
