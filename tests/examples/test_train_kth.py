"""Figures 5 and 6 from people who move, as a user goes: train_kth.py, evaluate.py, predict.py, count_kth.py, in this process."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from tinypredrnn.commands import evaluate, predict
from tinypredrnn.commands.train import train
from tinypredrnn.data.people import People
from tinypredrnn.errors import CheckpointError, ConfigError
from tinypredrnn.train import read_checkpoint

sys.path.append(str(Path(__file__).parents[1] / "data"))

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ("--size 16 16 --hidden 4 --kernel 3 --patch 4 --steps 4 --batch 2 --given 4 --horizon 3 --test-horizon 5 --validate-every 2 "
         "--sampling-until 2 --validation-sequences 2 --test-sequences 3").split()


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with two runs on stick figures, `predrnn` and `convlstm`."""
    folder = tmp_path_factory.mktemp("kth")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for model in "predrnn", "convlstm":
            assert train("kth", "--model", model, "--out", model, *SMALL) == 0
    return folder


@pytest.fixture(autouse=True)
def in_room(room, monkeypatch):
    monkeypatch.chdir(room)


@pytest.fixture
def videos(room, tmp_path, monkeypatch):
    """A folder of videos of one action of persons 1, 16 and 17, with a list."""
    from video_files import write

    monkeypatch.setenv("TINYPREDRNN_CACHE", str(tmp_path / "cache"))
    films = People((24, 32), 20).draw(np.random.default_rng(0), 3)[..., 0]
    names = [f"person{number}_walking_d1" for number in ("01", "16", "17")]
    for name, frames in zip(names, films):
        write(tmp_path / f"{name}_uncomp.avi", frames, "-c:v", "ffv1", "-pix_fmt", "gray")
    (tmp_path / "00sequences.txt").write_text("".join(f"{name}\tframes\t1-20\n" for name in names))
    return tmp_path


def entries(run):
    return json.loads(Path(run, "metrics.json").read_text())


def test_longer_sequences_are_scored_than_trained_on(room):
    plan, iteration, _ = read_checkpoint("predrnn")
    assert (plan.source, plan.frame, iteration, plan.data.horizon) == ("kth", (16, 16, 1), 4, 3)
    scores = entries("predrnn")["kth"]
    assert scores["sequences"] == 3 and scores["people"] == "stick figures" and scores["copy_last_mse"] > 0
    assert all(len(scores[f"{name}_per_frame"]) == 5 for name in ("psnr", "ssim", "mse"))
    assert evaluate.main(["predrnn", "--test-horizon", "8"]) == 0
    assert len(entries("predrnn")["kth-test_horizon-8"]["ssim_per_frame"]) == 8


def test_networks_beside_each_other(room, capsys):
    assert evaluate.main(["predrnn", "--beside", "convlstm"]) == 0
    assert "see predrnn/prediction.png and predrnn/beside.png" in capsys.readouterr().out.replace("\\", "/")
    assert Path("predrnn/beside.png").is_file() and Path("predrnn/beside_curves.png").is_file()
    with pytest.raises(ConfigError, match="convlstm was not scored on the same sequences of kth: evaluate it first"):
        evaluate.main(["predrnn", "--sequences", "2", "--beside", "convlstm"])
    assert train("kth", "--out", "wide", *SMALL, "--size", "16", "24", "--steps", "1") == 0
    with pytest.raises(ConfigError, match=r"wide was trained to watch 4 frames of \(16, 24, 1\), the run to evaluate 4 of \(16, 16, 1\)"):
        evaluate.main(["predrnn", "--beside", "convlstm", "wide"])


def test_from_videos_to_scores(videos, capsys):
    words = "--data", str(videos), "--out", "filmed", *SMALL
    assert train("kth", *words) == 0
    printed = capsys.readouterr().out
    assert "the paper has 108,717 and 4,086: its windows have 20 and 30 frames" in printed
    assert "14 of 7 frames of persons 1-15 for training; 1 of 9 frames of person 16 for validation; 1 of 9" in printed
    assert entries("filmed")["kth"]["people"] == str(videos)
    assert train("kth", "--out", "filmed", "--resume", "--steps", "5") == 0 and read_checkpoint("filmed")[1] == 5
    assert evaluate.main(["filmed", "--data", str(videos / "person17_walking_d1_uncomp.avi")]) == 0
    scores = entries("filmed")["person17_walking_d1_uncomp"]
    assert scores["sequences"] == 3 and len(scores["psnr_per_frame"]) == 5
    film = str(videos / "person01_walking_d1_uncomp.avi")
    assert predict.main(["filmed", "--input", film, "--fit", "--until", "10", "--frames", "6", "--out", "future"]) == 0
    assert np.load("future/prediction.npy").shape == (6, 16, 16, 1)
    (videos / "00sequences.txt").write_text((videos / "00sequences.txt").read_text().replace("person01_walking_d1\tframes\t1-20",
                                                                                         "person01_walking_d1\tframes\t1-19"))
    with pytest.raises(CheckpointError, match="trained on other data than these .what differs: training"):
        train("kth", "--out", "filmed", "--resume", "--steps", "6")
    with pytest.raises(ConfigError, match="--out .* is the path that --data names, or contains it"):
        train("kth", "--data", str(videos), "--out", str(videos), *SMALL)


def run(script, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *words])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    return left.value.code


def test_the_example_is_the_command(capsys):
    assert run("train_kth.py", "--help") == 0 and "--test-horizon" in capsys.readouterr().out


def test_counts_without_videos(data_dir, capsys):
    lists = data_dir / "kth"
    assert run("count_kth.py", str(lists / "00sequences.txt")) == 0
    assert capsys.readouterr().out in (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    assert run("count_kth.py", str(lists / "00sequences.txt"), str(lists)) == 0
    rows = [line.split()[-2:] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [["108,717", "4,086"], ["98,641", "3,894"], ["97,116", "3,559"], ["8,870", "3,254"]]
    assert run("count_kth.py", str(lists / "nowhere.txt")) == 2 and "nowhere.txt" in capsys.readouterr().err
