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
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.data.scale import BYTES
from tinypredrnn.errors import CheckpointError
from tinypredrnn.train import PRETRAINED, export_weights, predict, read_checkpoint

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
