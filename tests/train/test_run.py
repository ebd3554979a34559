"""A run's folder: who may write there, what is ours, that nothing else is touched, and how signals end a run."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from plans import make_plan
from watched import at_each_step, bits, log_without_seconds, stop_after

from tinypredrnn import files
from tinypredrnn.errors import BusyError, CheckpointError, ConfigError, TrainingError
from tinypredrnn.files import read_json
from tinypredrnn.folder import LIST
from tinypredrnn.train import RunFolder, prepare_run, rate_at, read_checkpoint, report, scoring
from tinypredrnn.train.checkpoint import checksum
from tinypredrnn.train.run import catch_signals

# Starting a run in a folder


def test_a_new_folder_or_one_without_a_run_is_fine(tmp_path):
    config = make_plan(steps=5)
    (tmp_path / "notes.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "new", str(tmp_path / "a" / "b")):
        assert prepare_run(out, config, False, False, {}) is config
    assert os.listdir(tmp_path) == ["notes.txt"]  # nothing is made yet


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("mine")
    for resume, overwrite in ((False, False), (True, False), (False, True)):
        with pytest.raises(ConfigError, match="is a file: name a folder"):
            prepare_run(tmp_path / "file", make_plan(), resume, overwrite, {})


def test_nothing_to_resume(tmp_path):
    for out in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CheckpointError, match="nothing to resume in .*start the run without resume"):
            prepare_run(out, make_plan(), True, False, {})
    assert os.listdir(tmp_path) == []


def test_resuming_takes_the_options_of_the_run(small_trainer, tmp_path):
    trainer = stop_after(small_trainer(tmp_path), 4)
    trainer.run()
    asked = make_plan()  # what the flags left out would say
    assert prepare_run(tmp_path, asked, True, False, {}) == trainer.plan
    same = dict(hidden=(4,), rate=0.01, seed=0)
    assert prepare_run(tmp_path, asked, True, False, same) == trainer.plan
    more = dict(steps=9, validate_every=2, test_sequences=1, batch=1)
    assert prepare_run(tmp_path, asked, True, False, more) == trainer.plan.replace(**more)
    assert prepare_run(tmp_path, asked, True, False, dict(steps=4)).recipe.steps == 4
    with pytest.raises(ConfigError, match="has done 4 steps already"):
        prepare_run(tmp_path, asked, True, False, dict(steps=3))
    for name, value in dict(hidden=(5,), rate=0.02, seed=1, sampling="off", digits=3).items():
        with pytest.raises(ConfigError, match=f"has {name} .*go on with it without this option"):
            prepare_run(tmp_path, asked, True, False, {"steps": 9, name: value})


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_not_overwritten_without_being_told(small_trainer, tmp_path):
    small_trainer(tmp_path, steps=1).run()
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="holds a run: .*resume.*overwrite.*out"):
        prepare_run(tmp_path, make_plan(), False, False, {})
    config = make_plan(seed=4)
    assert prepare_run(tmp_path, config, False, True, {}) is config and contents(tmp_path) == before


FOREIGN = "checkpoint.npz", "checkpoint-previous.npz", "config.json", "log.csv", "prediction-3.gif", "pictures/000003.png"


@pytest.mark.parametrize("name", FOREIGN)
def test_what_has_the_name_of_a_runs_file_and_is_not_ours_is_never_overwritten(small_trainer, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=f"not known to be written by this program.*{name}.*name another folder, or move") as caught:
            prepare_run(tmp_path, make_plan(), False, overwrite, {})
        assert "overwrite" not in str(caught.value) and "delete" not in str(caught.value)
        with pytest.raises(ConfigError), small_trainer(tmp_path).folder(overwrite=overwrite):
            pass
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["config.json", "log.csv", "checkpoint.npz", "pictures/000001.png"])
def test_what_was_changed_since_is_not_ours_any_more(small_trainer, tmp_path, name):
    small_trainer(tmp_path, steps=1).run()
    with open(tmp_path / name, "a") as file:
        file.write("mine")
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=name), small_trainer(tmp_path).folder(overwrite=True):
        pass
    assert contents(tmp_path) == before


def test_a_log_and_options_that_were_changed_are_kept_beside_the_run_that_is_resumed(small_trainer, tmp_path, capsys):
    stop_after(small_trainer(tmp_path), 2).run()
    for name in ("config.json", "log.csv", "curves.png"):
        (tmp_path / name).write_text("mine")
    second = small_trainer(tmp_path)
    with second.folder(resume=True):
        second.run()
    messages = capsys.readouterr().err
    for name, kept in (("config.json", "config-kept.json"), ("log.csv", "log-kept.csv"), ("curves.png", "curves-kept.png")):
        assert (tmp_path / kept).read_text() == "mine" != (tmp_path / name).read_text(errors="replace")
        assert f"{name} is not as this program wrote it: kept as {kept}" in messages


def test_overwriting_takes_what_the_run_wrote_and_nothing_else(small_trainer, tmp_path):
    mine = ["notes.txt", "prediction_notes.png", "prediction.txt", "pictures/holiday.png", "my/log.csv", "checkpoint-damaged.npz"]
    for name in mine:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    small_trainer(tmp_path, steps=5).run()
    with small_trainer(tmp_path, seed=1).folder(overwrite=True):
        found = contents(tmp_path)
        assert found.keys() == {".lock", ".tinypredrnn.json", "checkpoint.npz", *mine} and all(found[name] == b"mine" for name in mine)
        assert read_checkpoint(tmp_path)[0].recipe.seed == 1


def test_pictures_behind_a_link_are_left_alone(small_trainer, tmp_path, capsys):
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "000003.png").write_text("mine")
    out = tmp_path / "run"
    out.mkdir()
    (out / "pictures").symlink_to(tmp_path / "photographs")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="pictures.*name another folder"):
            prepare_run(out, make_plan(), False, overwrite, {})
    (out / "pictures").unlink()
    trainer = small_trainer(out)
    at_each_step(trainer, lambda frames: trainer.iteration or (out / "pictures").symlink_to(tmp_path / "photographs"))
    assert trainer.run() is None  # a link that came later costs the pictures
    assert capsys.readouterr().err.count("pictures is a link: nothing is written behind it") == 4
    assert contents(tmp_path / "photographs") == {"000003.png": b"mine"}


@pytest.mark.parametrize("failure", ["data", "memory", "numbers", "checkpoint"])
def test_a_run_stays_whole_until_the_next_one_has_begun(small_trainer, tmp_path, monkeypatch, failure):
    small_trainer(tmp_path, steps=2).run()
    before, second = contents(tmp_path), small_trainer(tmp_path, seed=1)
    if failure == "data":
        second.source.batch = lambda k, *which: 1 / 0
    if failure == "memory":
        monkeypatch.setattr(second.update, "differentiate", lambda *inputs: np.empty(1 << 47))
    if failure == "numbers":
        second.frames, whole = (lambda k: whole(k) * np.float32("nan")), second.frames
    if failure == "checkpoint":
        monkeypatch.setattr(np, "savez", lambda file, **arrays: 1 / 0)
    with pytest.raises((ZeroDivisionError, MemoryError, TrainingError)), second.folder(overwrite=True):
        pass
    assert contents(tmp_path) == before and read_checkpoint(tmp_path)[1] == 2


def test_a_second_run_in_the_same_folder_is_refused_also_from_python(small_trainer, tmp_path):
    small_trainer(tmp_path, steps=2).run()
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="holds a run"):
        small_trainer(tmp_path, seed=1).run()
    assert contents(tmp_path) == before


def test_to_begin_by_overwriting_changes_no_number(small_trainer, tmp_path):
    straight = small_trainer(tmp_path / "straight")
    straight.run()
    small_trainer(tmp_path / "run", seed=1).run()
    second = small_trainer(tmp_path / "run")
    with second.folder(overwrite=True):
        second.run()
    assert bits(second) == bits(straight) and log_without_seconds(tmp_path / "run") == log_without_seconds(tmp_path / "straight")


# Runs from before there were lists, and records of options


def flat(plan):
    """The options of a plan side by side, as they were then."""
    *size, channels = plan.frame
    every = plan.options.as_dict() | plan.data.as_dict() | plan.recipe.as_dict()
    later = "data_dir", "validation_sequences", "optimiser", "start"
    return {"model": plan.model, "size": size, "channels": channels} | {name: every[name] for name in every if name not in later}


def make_old(path):
    """Turn a checkpoint into one as it was then."""
    arrays = {name.replace("merge_cm", "fuse_cm"): array for name, array in np.load(path).items() if name != "checksum"}
    arrays["config"] = np.array(json.dumps(flat(read_checkpoint(path)[0])))
    np.savez(path, **arrays, checksum=checksum(arrays))


@pytest.fixture
def old_run(small_trainer, tmp_path):
    """A run with scores and pictures, as a version left it that kept no list."""
    out, trainer = tmp_path / "run", small_trainer(tmp_path / "run")
    trainer.run()
    report(trainer.model, trainer.plan, trainer.source, 6, out)
    scores = read_json(out / "metrics.json")
    (out / "metrics.json").write_text(json.dumps(scores | {"mnist-3": scores["mnist-2"]}))
    for kind in ("prediction.png", "prediction.gif", "frame_curves.png"):
        shutil.copy(out / kind, out / kind.replace(".", "-3."))
    for name in ("checkpoint.npz", "checkpoint-previous.npz"):
        make_old(out / name)
    (out / "config.json").write_text(json.dumps(flat(trainer.plan)))
    (out / "best.npz").unlink()
    (out / LIST).unlink()
    return out


def test_an_old_run_is_known_by_its_checkpoint(old_run, small_trainer):
    written = contents(old_run).keys() - {".lock"}
    mine = ["prediction_notes.png", "prediction-4.png", "pictures/000002.png", ".unfinished-x", ".unfinished-17-notes.txt"]
    for name in mine:
        (old_run / name).write_text("mine")
    (old_run / ".unfinished-17-checkpoint.npz").write_text("left by a kill")
    assert set(RunFolder(old_run).own_files()) == written
    with pytest.raises(ConfigError, match="holds a run: .*resume"):
        prepare_run(old_run, make_plan(), False, False, {})
    with pytest.raises(ConfigError, match="pictures/000002.png, prediction-4.png"), small_trainer(old_run).folder(overwrite=True):
        pass
    assert not (old_run / ".unfinished-17-checkpoint.npz").exists()
    for name in mine[1:3]:
        (old_run / name).unlink()
    with small_trainer(old_run).folder(overwrite=True):
        assert contents(old_run).keys() == {".lock", LIST, "checkpoint.npz", mine[0], *mine[3:]}


def test_an_old_run_is_resumed(old_run, small_trainer, capsys):
    second = small_trainer(old_run, steps=9)
    with second.folder(resume=True):
        second.run()
    assert "kept" not in capsys.readouterr().err
    assert set(RunFolder(old_run).own_files()) == contents(old_run).keys() - {".lock", LIST}


@pytest.mark.parametrize("name, content", [
    ("config.json", '{"steps": 6}'), ("config.json", "[1]"), ("config.json", '{"colour": 1}'), ("log.csv", "a,b\n1,2\n"),
    ("metrics.json", '{"mine": 1}'), ("data.json", '{"mine": 1}'),
])
def test_look_alikes_in_an_old_run_are_not_ours(old_run, name, content):
    (old_run / name).write_text(content)
    assert name not in RunFolder(old_run).own_files()
    if name == "data.json":  # a name that is not ours any more
        assert prepare_run(old_run, make_plan(), False, True, {})
        return
    with pytest.raises(ConfigError, match=name):
        prepare_run(old_run, make_plan(), False, True, {})


def test_without_a_sound_checkpoint_nothing_is_known(old_run):
    for name in ("checkpoint.npz", "checkpoint-previous.npz"):
        os.truncate(old_run / name, 1000)
    assert RunFolder(old_run).own_files() == []
    with pytest.raises(ConfigError, match="not known to be written by this program"):
        prepare_run(old_run, make_plan(), False, True, {})


# Alone in the folder


def test_the_folder_is_one_programs_at_a_time(small_trainer, tmp_path):
    first, second = small_trainer(tmp_path / "run", steps=3), small_trainer(tmp_path / "run", steps=3)
    with first.folder():
        for words in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(BusyError, match="another program is writing into .*run"), second.folder(**words):
                pass
        first.run()
    before = (tmp_path / "run" / "checkpoint.npz").read_bytes()
    with pytest.raises(ConfigError, match="holds a run"), second.folder():
        pass
    assert (tmp_path / "run" / "checkpoint.npz").read_bytes() == before
    with second.folder(resume=True):
        assert second.iteration == 3 and bits(second) == bits(first)
    with small_trainer(tmp_path / "run", seed=1).folder(overwrite=True):
        assert read_checkpoint(tmp_path / "run")[1] == 0


def test_what_a_kill_left_unfinished_is_cleared_away_and_nothing_else(small_trainer, tmp_path):
    small_trainer(tmp_path, steps=1).run()
    staging = RunFolder(tmp_path).staging
    staging.mkdir()
    (staging / ".unfinished-17-checkpoint.npz").write_text("left by a kill")
    mine = [".unfinished-17-checkpoint.npz", ".unfinished-notes/x", "pictures/.unfinished-17-000003.gif", "unfinished.txt"]
    for name in mine:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with small_trainer(tmp_path).folder(resume=True):
        assert not staging.exists() and all((tmp_path / name).read_text() == "mine" for name in mine)


def test_a_folder_that_is_replaced_under_a_training_is_not_written_into(small_trainer, tmp_path):
    """`rm -rf RUN`, and a second training there, while a first one goes on."""
    first, second = small_trainer(tmp_path / "run"), small_trainer(tmp_path / "run", seed=1, steps=2)

    def replaced(frames):
        if first.iteration == 1:
            shutil.rmtree(tmp_path / "run")
            with second.folder():
                second.run()
            replaced.found = contents(tmp_path / "run")

    at_each_step(first, replaced)
    with first.folder(), pytest.raises(BusyError, match="run is not the folder any more that was written into .*nothing more is written"):
        first.run()
    assert contents(tmp_path / "run") == replaced.found and read_checkpoint(tmp_path / "run")[0].recipe.seed == 1


def test_a_folder_that_is_gone_is_not_made_again(small_trainer, tmp_path):
    first = small_trainer(tmp_path / "run")
    at_each_step(first, lambda frames: first.iteration == 1 and shutil.rmtree(tmp_path / "run"))
    with pytest.raises(BusyError, match="deleted"):
        first.run()
    assert not (tmp_path / "run").exists()


def test_a_report_on_a_run_that_trains_is_refused_before_the_work(small_trainer, tmp_path, monkeypatch):
    trainer = small_trainer(tmp_path)
    monkeypatch.setattr(scoring, "score_set", None)
    with trainer.folder(), pytest.raises(BusyError):
        report(trainer.model, trainer.plan, trainer.source, 0, tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_resuming_from_the_previous_checkpoint_keeps_a_sound_one_at_every_moment(small_trainer, tmp_path, capsys, monkeypatch):
    straight, first, second = small_trainer(tmp_path / "straight"), small_trainer(tmp_path / "run"), small_trainer(tmp_path / "run")
    straight.run()
    stop_after(first, 4).run()
    assert read_checkpoint(tmp_path / "run")[1] == 4
    os.truncate(tmp_path / "run" / "checkpoint.npz", 1000)
    seen, replace = [], Path.replace

    def watched(*inputs):
        seen.append(read_checkpoint(tmp_path / "run")[1])
        replace(*inputs)

    monkeypatch.setattr(Path, "replace", watched)
    assert prepare_run(tmp_path / "run", make_plan(), True, False, {}) == second.plan
    with second.folder(resume=True):
        assert second.iteration == 3  # of the save before
        second.run()
    assert bits(second) == bits(straight) and log_without_seconds(tmp_path / "run") == log_without_seconds(tmp_path / "straight")
    assert seen[:2] == [3, 3] and sorted(seen) == seen and seen[-1] == 6 and read_checkpoint(tmp_path / "run")[1] == 6
    assert os.path.getsize(tmp_path / "run" / "checkpoint-damaged.npz") == 1000
    messages = [line for line in capsys.readouterr().err.splitlines() if "checkpoint" in line]
    assert len(messages) == 2 and "checkpoint-previous.npz is read instead, of step 3" in messages[0]
    assert "kept as checkpoint-damaged.npz" in messages[1]


def test_resuming_with_the_previous_checkpoint_alone(small_trainer, tmp_path):
    stop_after(small_trainer(tmp_path), 4).run()
    (tmp_path / "checkpoint.npz").unlink()  # as a kill between two renames leaves it
    assert prepare_run(tmp_path, make_plan(), True, False, {}).recipe.steps == 6
    second = small_trainer(tmp_path)
    with second.folder(resume=True):
        assert second.iteration == 3 and os.listdir(tmp_path).count("checkpoint.npz") == 1


# What cannot be written


def not_permitted(monkeypatch, name, times):
    """Have the replacing of files whose name ends in `name` fail so many times, as under a viewer on Windows; no time is lost."""
    replace, left = Path.replace, [times]
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)

    def refusing(path, target):
        if str(target).endswith(name) and left[0] > 0:
            left[0] -= 1
            raise PermissionError(13, "Permission denied", str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refusing)


@pytest.mark.parametrize("name", ["curves.png", "000003.gif", "checkpoint.npz", "log.csv", "config.json", ".tinypredrnn.json"])
def test_what_is_not_permitted_for_a_moment_is_tried_again(small_trainer, tmp_path, monkeypatch, capsys, name):
    not_permitted(monkeypatch, name, 3)
    assert small_trainer(tmp_path).run() is None
    assert "not" not in capsys.readouterr().err and read_checkpoint(tmp_path)[1] == 6
    assert set(RunFolder(tmp_path).own_files()) == contents(tmp_path).keys() - {".lock", LIST}


def test_a_picture_that_cannot_be_written_is_a_line_and_no_end(small_trainer, tmp_path, monkeypatch, capsys):
    not_permitted(monkeypatch, "curves.png", 10_000)
    assert small_trainer(tmp_path).run() is None
    messages = [line for line in capsys.readouterr().err.splitlines() if "curves.png" in line]
    assert len(messages) == 2 and all("the picture curves.png is not written: " in line for line in messages)
    assert read_checkpoint(tmp_path)[1] == 6 and not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("name", ["checkpoint.npz", "metrics.json"])
def test_what_is_needed_and_cannot_be_written_is_an_error(small_trainer, tmp_path, monkeypatch, name):
    trainer = small_trainer(tmp_path, steps=1)
    not_permitted(monkeypatch, name, 10_000)
    with pytest.raises(PermissionError, match=name):
        trainer.run()
        report(trainer.model, trainer.plan, trainer.source, 1, tmp_path)


# Signals


def sent(number, *more):
    """The signals that `catch_signals` yields when these arrive."""
    with catch_signals() as caught:
        for n in (number, *more):
            signal.raise_signal(n)
    return caught


def test_the_first_signal_counts(monkeypatch):
    assert sent(signal.SIGHUP) == [signal.SIGHUP]
    assert sent(signal.SIGTERM, signal.SIGTERM, signal.SIGHUP)[0] == signal.SIGTERM
    assert sent(signal.SIGINT, signal.SIGTERM)[0] == signal.SIGINT
    for first in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with pytest.raises(KeyboardInterrupt):
            sent(first, signal.SIGINT)


def test_handlers_are_given_back_and_what_is_ignored_stays_so():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
        assert sent(signal.SIGHUP) == [] and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])
    assert {number: signal.getsignal(number) for number in before} == before


# More steps


def test_more_steps_stretch_a_cosine_and_say_so(small_trainer, tmp_path, capsys):
    small_trainer(tmp_path / "cosine", rate_schedule="cosine").run()
    small_trainer(tmp_path / "constant").run()
    capsys.readouterr()
    config = prepare_run(tmp_path / "cosine", make_plan(), True, False, {"steps": 12})
    assert capsys.readouterr().out == ("the cosine of the learning rate now ends at step 12, no longer at 6: training goes on at 0.005 "
                                       "instead of 0\n")
    assert rate_at(config.recipe, 6) == pytest.approx(0.005)
    for name, changes in (("cosine", {}), ("cosine", {"steps": 6}), ("constant", {"steps": 12})):
        prepare_run(tmp_path / name, make_plan(), True, False, changes)
        assert capsys.readouterr().out == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_stderr_ends_no_training(small_trainer, tmp_path, monkeypatch):
    """Progress and remarks can be left out."""
    trainer, full = small_trainer(tmp_path, steps=2), open("/dev/full", "w")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", full)
        assert trainer.run() is None
        trainer.files.draw("no.png", lambda path: open(tmp_path / "missing" / "x"))
    assert read_checkpoint(tmp_path)[1] == 2
    with pytest.raises(OSError):
        full.close()  # which shows that it was full
