"""The weights that were best on the validation set are kept beside the last ones, and are those that are used."""

import os
import shutil

import numpy as np
import pytest
from watched import at_each_step, stop_after

import tinypredrnn as tp
from tinypredrnn.train import read_checkpoint, read_log, read_trained, trainer

NOISE = {2: 0.2, 4: 0.1, 6: 0.4, 8: 0.3}  # how far from the truth predictions are to be at these iterations: 4 is the best


@pytest.fixture
def make(small_trainer, monkeypatch):
    """make(out, ...): a small run of 8 steps whose validation goes as NOISE says, and its weights at each step."""
    def make(out, **changes):
        run, seen = small_trainer(out, steps=8, validate_every=2, **changes), {}
        at_each_step(run, lambda frames: seen.update({run.iteration: run.model.state_dict()}))
        truth = run.plan.scale.to_model(run.source.validation())[:, run.plan.data.given:]
        monkeypatch.setattr(trainer, "predict", lambda model, inputs, horizon: np.abs(truth - np.float32(NOISE[run.iteration])))
        return run, seen

    return make


def same_weights(one, other):
    return all(np.array_equal(one[name], other[name]) for name in other)


def test_the_best_are_kept_loaded_and_not_lost_by_a_stop(make, tmp_path):
    run, seen = make(tmp_path / "whole")
    assert run.run() is None and run.best[1] == 4
    plan, iteration, parts = read_trained(tmp_path / "whole")
    assert iteration == 4 and plan == run.plan and not parts["optimiser"] and same_weights(parts["model"], seen[4])
    assert read_checkpoint(tmp_path / "whole")[1] == 8  # what a run is resumed from
    assert same_weights(tp.load(tmp_path / "whole").state_dict(), seen[4])

    first, _ = make(tmp_path / "halves")
    stop_after(first, 5).run()
    second, _ = make(tmp_path / "halves")
    second.restore()
    assert second.best[1] == 4  # as the log says
    second.run()
    assert read_trained(tmp_path / "halves")[1] == 4 and same_weights(read_trained(tmp_path / "halves")[2]["model"], seen[4])
    scores = [read_log(tmp_path / name / "log.csv")["validation_mse"] for name in ("whole", "halves")]
    assert scores[0] == scores[1]


def test_what_is_no_sound_best_is_passed_over_in_a_line(make, tmp_path, capsys):
    run, _ = make(tmp_path / "run")
    run.run()
    other, _ = make(tmp_path / "other", hidden=(5,))
    other.run()
    capsys.readouterr()
    best = tmp_path / "run" / "best.npz"
    shutil.copy(tmp_path / "other" / "best.npz", best)
    assert read_trained(tmp_path / "run")[1] == 8 and "the newest checkpoint, of step 8, is read instead" in capsys.readouterr().err
    os.truncate(best, 1000)
    assert read_trained(tmp_path / "run")[1] == 8 and "best.npz is damaged" in capsys.readouterr().err
    best.unlink()
    assert read_trained(tmp_path / "run")[1] == 8 and capsys.readouterr().err == ""


def test_higher_may_be_better(small_trainer, tmp_path):
    run = small_trainer(tmp_path)
    run.source.metrics = (tp.metrics.SSIM,)
    assert run.score_column == "validation_ssim"
    assert [run.update_best(score, k) for k, score in enumerate((0.5, 0.4, None, 0.6, 0.6))] == [True, False, False, True, False]


def test_a_best_of_another_run_of_the_same_network_is_passed_over(make, tmp_path, capsys):
    for name, seed in (("run", 0), ("other", 1)):
        make(tmp_path / name, seed=seed)[0].run()
    shutil.copy(tmp_path / "other" / "best.npz", tmp_path / "run" / "best.npz")
    capsys.readouterr()
    assert read_trained(tmp_path / "run")[1] == 8 and "best.npz belongs to another run" in capsys.readouterr().err


def test_without_its_file_the_best_is_forgotten(make, tmp_path):
    first, _ = make(tmp_path / "run")
    stop_after(first, 5).run()
    (tmp_path / "run" / "best.npz").unlink()
    second, seen = make(tmp_path / "run")
    second.restore()
    assert second.best is None
    second.run()
    assert read_trained(tmp_path / "run")[1] == 8  # 0.4 after 6 steps, then 0.3
