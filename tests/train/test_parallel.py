"""Several processes that train together, here threads: each takes its rows of a batch, and only the first writes and prints."""

import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tinypredrnn.commands.train import run
from tinypredrnn.errors import TrainingError
from tinypredrnn.train import read_checkpoint, read_log


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


def test_replacing_a_run_is_rehearsed_by_all(trainers, tmp_path):
    def act(ranks):
        trainer = trainers(ranks)
        rehearse, rehearsed = trainer.update.rehearse, []
        trainer.update.rehearse = lambda *batch: rehearsed.append(batch) or rehearse(*batch)
        with trainer.folder(overwrite=True):
            assert trainer.run() is None
        return len(rehearsed)

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
