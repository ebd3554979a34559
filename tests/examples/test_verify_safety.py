"""The three commands of verify_safety.py, small: that they find nothing here, and that they would."""

import os
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from tinypredrnn.errors import DataError

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import spoilt_files  # noqa: E402
import verify_safety  # noqa: E402

# kill -9

QUICK = """
import runpy, sys
sys.path.insert(0, {examples!r})
from tinypredrnn.files import replacing
from tinypredrnn.train import scoring, trainer

def draw(path, *what):
    with replacing(path) as temporary:
        temporary.write_bytes(bytes(1000))

scoring.save_strip = scoring.save_gif = scoring.save_frame_curves = draw  # to draw takes longer than all the rest
trainer.save_strip = trainer.save_gif = trainer.save_training_curves = draw
{sabotage}
sys.argv[0] = {script!r}
runpy.run_path({script!r}, run_name="__main__")
"""
ANY = QUICK.replace("sys.argv[0] = {script!r}", "sys.argv = sys.argv[1:]").replace("{script!r}", "sys.argv[0]")
IN_PLACE = """
import contextlib, os
from tinypredrnn import files, folder

@contextlib.contextmanager
def in_place(path, previous=None, within=None, before=lambda temporary: None):
    if path.name != "checkpoint.npz":
        with files.replacing(path, previous, within, before) as temporary:
            yield temporary
    else:
        yield path
        with open(path, "r+b") as file:
            os.fsync(file.fileno())
        before(path)

files.flush = lambda path: None  # so that checkpoints alone are counted
folder.replacing = in_place
"""
UNLOCKED = """
from tinypredrnn import files
files.lock = lambda file: None
"""
FORGETFUL = """
from tinypredrnn.optim import Adam
Adam.load_state_dict = lambda self, arrays: None
"""


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """A function that kills runs which do not draw, and which may be sabotaged."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    (tmp_path / "runs").mkdir()

    def kills(times, sabotage="", seed=0):
        script = tmp_path / "script.py"
        script.write_text(QUICK.format(examples=str(EXAMPLES), script=str(EXAMPLES / "train_mnist.py"), sabotage=sabotage))
        return verify_safety.kills(tmp_path / "runs", times, jobs=2, seed=seed, script=script)

    return kills


def test_twenty_kills_lose_nothing(quick):
    figures = quick(20)
    kills = [figures[moment] for moment in verify_safety.BY_CLOCK + verify_safety.IN_WRITING]
    assert sum(kills) == 20 and sum(count > 0 for count in kills) >= 3
    assert figures["lost"] == figures["different"] == 0 and figures["runs"] >= 2


def test_a_checkpoint_written_in_place_would_be_lost(quick, monkeypatch, capfd):
    monkeypatch.setattr(verify_safety, "BY_CLOCK", ())
    monkeypatch.setattr(verify_safety, "IN_WRITING", ("half written",))
    monkeypatch.setattr(verify_safety, "CALLS", 7)
    assert quick(4, IN_PLACE)["lost"] > 0
    assert "lost: step" in capfd.readouterr().err


def test_moments_that_are_not_restored_would_be_seen(quick, monkeypatch):
    monkeypatch.setattr(verify_safety, "BY_CLOCK", ())
    assert quick(4, FORGETFUL)["different"] > 0


def test_runs_that_fail_are_no_success(quick):
    with pytest.raises(RuntimeError, match="(?s)the undisturbed run failed: .*ZeroDivisionError"):
        quick(1, "1 / 0")


# several programs at once


def meet(folder, groups, sabotage=""):
    wrapper = folder / "wrapper.py"
    wrapper.write_text(ANY.format(examples=str(EXAMPLES), sabotage=sabotage))
    return verify_safety.together(folder, len(groups), jobs=2, groups=groups, python=(sys.executable, str(wrapper)))


def test_programs_on_one_run_lose_nothing_and_mix_nothing(quick, tmp_path):
    """The command itself tries every combination."""
    rows = meet(tmp_path, (("resume", "evaluate"), ("overwrite", "overwrite"), ("predict", "predict"), ("evaluate",) * 3))
    assert rows.keys() == {"resume + evaluate", "overwrite x 2", "predict x 2", "evaluate x 3"}
    for name, figures in rows.items():
        assert figures["times"] == 1 and not any(figures[bad] for bad in ("wrong", "lost", "mixed")), (name, figures)
        assert 1 <= figures["done"] and figures["done"] + figures["refused"] == (3 if name == "evaluate x 3" else 2)
    assert rows["evaluate x 3"]["done"] == 3  # they wait for each other


def test_scores_that_are_lost_would_be_seen(quick, tmp_path):
    rows = meet(tmp_path, (("evaluate", "evaluate"),), "scoring.read_scores = lambda path: {}")
    assert rows["evaluate x 2"]["lost"] == 1


def test_a_lock_that_does_not_hold_would_be_seen(quick, tmp_path):
    """Two runs begin in one folder and write over each other: both say that all is done."""
    rows = meet(tmp_path, (("overwrite", "overwrite"),), UNLOCKED)
    figures = rows["overwrite x 2"]
    assert figures["refused"] == 0 and figures["wrong"] + figures["lost"] + figures["mixed"] > 0


# spoilt files


KINDS = ("images-idx3-ubyte.gz", "checkpoint.npz", "forged.npz", "mnist_test_seq.npy", "moving-mnist-test.npz", "clip.gif", "frame.png",
         "metrics.json", "log.csv")


def test_a_few_hundred_spoilt_files_are_read_or_refused(tmp_path):
    rows = verify_safety.fuzz(tmp_path, 450, jobs=2, readers={name: spoilt_files.READERS[name] for name in KINDS})
    for name in KINDS:
        assert rows[name]["read"] + rows[name]["refused"] == 50 and rows[name]["peak MB"] > 0, name
        assert not any(rows[name][bad] for bad in ("wrong", "crash", "hang", "too large", "ran code")), name
    assert sum(rows[name]["read"] > 0 for name in KINDS) >= 6


def test_the_originals_are_sound(tmp_path):
    spoilt_files.write_originals(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == spoilt_files.READERS.keys()
    for name, read in spoilt_files.READERS.items():
        (tmp_path / "alone").mkdir(exist_ok=True)
        read((tmp_path / name).rename(tmp_path / "alone" / name))
        (tmp_path / "alone" / name).unlink()


def raise_key_error(path):
    raise KeyError("shape")


def say_two_lines(path):
    raise DataError("this is\nno sentence")


def unpickle(path):
    try:
        np.load(path, allow_pickle=True)
    except Exception as error:
        raise DataError("damaged") from error


def crash(path):
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(path):
    os.kill(os.getpid(), signal.SIGALRM)  # as the timer does after a minute


def take_memory(path):
    np.ones(60_000_000)


@pytest.mark.parametrize("read, seen", [(raise_key_error, "wrong"), (say_two_lines, "wrong"), (unpickle, "ran code"), (crash, "crash"),
                                        (hang, "hang"), (take_memory, "too large")])
def test_a_bad_reader_would_be_seen(tmp_path, read, seen, monkeypatch):
    monkeypatch.setattr(verify_safety, "MEMORY", 400 << 20)
    figures = verify_safety.fuzz(tmp_path, 30 if seen == "ran code" else 2, readers={"clips.npy": read})["clips.npy"]
    assert figures[seen] > 0 and [bad for bad in ("wrong", "crash", "hang", "too large", "ran code") if figures[bad]] == [seen]


def test_the_payload_is_live(tmp_path):
    pickle.loads(pickle.dumps(spoilt_files.Payload(tmp_path / "marker"))).close()
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("figures, status", [({}, 0), ({"wrong": 1}, 1), ({"ran code": 1}, 1), ({"hang": 1}, 1)])
def test_the_exit_status_and_the_table(monkeypatch, capsys, figures, status):
    monkeypatch.setattr(sys, "argv", ["verify_safety.py", "fuzz", "--files", "7"])
    monkeypatch.setattr(verify_safety, "fuzz", lambda folder, files, jobs, seed: {"a": verify_safety.Counter(figures, read=files)})
    assert verify_safety.main() == status
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1].startswith("a ") and lines[2].startswith("all ") and "slowest ms" in lines[0]


@pytest.mark.parametrize("figures, status", [({}, 0), ({"lost": 1}, 1), ({"mixed": 1}, 1), ({"wrong": 1}, 1), ({"refused": 1}, 0)])
def test_the_exit_status_after_programs_that_met(monkeypatch, capsys, figures, status):
    monkeypatch.setattr(sys, "argv", ["verify_safety.py", "together", "--times", "7"])
    monkeypatch.setattr(verify_safety, "together", lambda folder, times, jobs, seed: {"a": verify_safety.Counter(figures, times=times)})
    assert verify_safety.main() == status
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["times", "a", "all"]


@pytest.mark.parametrize("figures, status", [({}, 0), ({"lost": 1}, 1), ({"different": 1}, 1)])
def test_the_exit_status_after_kills(monkeypatch, capsys, figures, status):
    monkeypatch.setattr(sys, "argv", ["verify_safety.py", "kills"])
    monkeypatch.setattr(verify_safety, "kills", lambda folder, times, jobs, seed: verify_safety.Counter(figures, runs=times))
    assert verify_safety.main() == status and "300" in capsys.readouterr().out
