"""The trained model that comes with the package: small, at hand at once, and as good as the file beside it says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinypredrnn as tp
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.echoes import SCALE, Echoes
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.data.scale import BYTES
from tinypredrnn.errors import CheckpointError
from tinypredrnn.train import PRETRAINED, export_weights, predict, read_checkpoint
from tinypredrnn.train.checkpoint import SHIPPED

ROOT = Path(__file__).resolve().parents[2]


def run(*words, cwd):
    return subprocess.run([sys.executable, ROOT / "examples" / "predict.py", *map(str, words)], capture_output=True, text=True, cwd=cwd)


def test_it_is_small_and_has_the_weights_alone():
    plan, iteration, parts = read_checkpoint(PRETRAINED)
    assert PRETRAINED.stat().st_size < 2e6 and iteration == plan.recipe.steps and plan.data.digits == 2
    assert parts["model"] and not parts["optimiser"] and not parts["data"]


def test_it_predicts_better_than_copying_and_than_black():
    """On drawn digits, which it has never seen; the scores on MNIST's test digits stand in scores.json."""
    frames = MovingMNIST(draw_digits(np.random.default_rng(1), 100)[0]).fixed_set("test", 30)
    given, truth = BYTES.to_model(frames[:, :10]), BYTES.to_model(frames[:, 10:])
    error = lambda guess: np.square(guess - truth).sum(axis=(2, 3, 4)).mean()
    ours = error(predict(tp.load(), given, 10))
    assert ours < 0.8 * error(0) and ours < 0.6 * error(given[:, -1:])


def test_its_scores_stand_beside_it():
    scores = json.loads((PRETRAINED.parent / "scores.json").read_text())["mnist-2"]
    assert scores["mse"] < 0.7 * scores["black_mse"] and scores["iteration"] == read_checkpoint(PRETRAINED)[1]


def test_the_model_of_radar_echoes_is_small_too_and_says_nothing_of_where_it_was_made():
    plan, iteration, parts = read_checkpoint(SHIPPED["radar"])
    assert SHIPPED["radar"].stat().st_size < 3e6 and not parts["optimiser"] and not parts["data"]
    assert (plan.source, plan.frame, plan.scale.unit, plan.scale.units) == ("radar", (64, 64, 1), "dBZ", (0, 60))
    assert not any((plan.data.data, plan.data.validation, plan.data.test))
    entries = json.loads((PRETRAINED.parent / "radar-scores.json").read_text())
    scores, matched = entries["radar"], entries["radar-matched"]
    assert scores["iteration"] == matched["iteration"] == iteration and scores["mse"] < 0.5 * scores["copy_last_mse"]
    assert all(matched[f"csi_{dbz}"] > scores["flow"][f"csi_{dbz}"] for dbz in (10, 20, 30))


def test_a_nowcast_needs_no_training(tmp_path):
    """On echoes of another size that move: with the name of the model alone, and better than leaving them where they are."""
    assert tp.load("radar").count_parameters() == 577_552
    frames = Echoes((64, 64), 20).fixed_set("test", 4)
    given, truth = SCALE.to_model(frames[:, :10]), SCALE.to_model(frames[:, 10:])
    error = lambda guess: np.square(guess - truth).sum(axis=(2, 3, 4)).mean()
    assert error(predict(tp.load("radar"), given, 10)) < 0.8 * error(given[:, -1:])
    times = np.datetime64("2026-07-01T12:00") + 5 * np.arange(12).astype("timedelta64[m]")
    square = np.zeros((12, 90, 80), np.uint8)
    for t in range(12):
        square[t, 20:40, 10 + 2 * t:30 + 2 * t] = 160
    np.savez(tmp_path / "today.npz", frames=square, times=times.astype(str))
    done = run("radar", "--input", "today.npz", "--unit", "dBZ", "--values", 0, 60, "--fit", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "50 minutes from 2026-07-01T12:55:00 on" in done.stdout and (tmp_path / "predicted" / "prediction.nc").is_file()


def test_a_look_needs_no_arguments(tmp_path):
    done = run(cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "drawn digits 1: watched its 10 frames and predicted 10" in done.stdout
    names = sorted(path.name for path in (tmp_path / "predicted").glob("[!.]*"))
    assert names == [*(f"frame_00{n}.png" for n in range(11, 21)), "prediction.gif", "prediction.npy", "prediction.png"]
    assert Image.open(tmp_path / "predicted" / "prediction.gif").n_frames == 20
    assert "holds a prediction" in run(cwd=tmp_path).stderr
    done = run("--overwrite", "--clip", 3, "--frames", 2, cwd=tmp_path)
    assert "drawn digits 3" in done.stdout and len(list((tmp_path / "predicted").glob("frame_*"))) == 2
    assert "choose 1 to 20" in run("--clip", 21, "--out", "other", cwd=tmp_path).stderr


def test_weights_alone_predict_and_are_not_resumed(tmp_path):
    export_weights(PRETRAINED, tmp_path / "checkpoint.npz")
    one, two = tp.load(), tp.load(tmp_path)
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(array, two.state_dict()[name])
    with pytest.raises(CheckpointError):
        tp.optim.Adam(two.parameters()).load_state_dict(read_checkpoint(tmp_path)[2]["optimiser"])
