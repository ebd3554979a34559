"""Predicting and scoring a set."""

import json
import os

import numpy as np
import pytest

from tinypredrnn import build_model
from tinypredrnn.autograd import Tensor
from tinypredrnn.errors import DataError
from tinypredrnn.train import Config, predict, report, score_set, scoring, to_unit


@pytest.fixture
def model():
    return build_model("predrnn", (16, 16), 1, hidden=(3,), kernel=3, patch=4)


@pytest.fixture
def sequences():
    return np.random.default_rng(0).integers(256, size=(5, 7, 16, 16, 1), dtype=np.uint8)


def test_to_unit():
    frames = to_unit(np.array([0, 51, 255], np.uint8))
    assert frames.dtype == np.float32 and frames.tolist() == [0, pytest.approx(0.2), 1]


def test_predict_gives_clipped_arrays_of_what_the_model_says(model, sequences):
    inputs = to_unit(sequences[:, :4])
    model.to_frame.bias.data += 2  # so that something is to be clipped
    said = model(inputs, 3).numpy()
    frames = predict(model, inputs, 3)
    assert type(frames) is np.ndarray and frames.shape == (5, 3, 16, 16, 1) and frames.dtype == np.float32
    assert said.max() > 1 and np.array_equal(frames, said.clip(0, 1))


def test_predict_records_nothing(model, sequences, monkeypatch):
    seen = []
    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, *args: seen.append(forward(self, *args)) or seen[-1])
    predict(model, to_unit(sequences[:, :4]), 2)
    assert isinstance(seen[0], Tensor) and seen[0].node is None and not seen[0].requires_grad


def test_score_set_sees_the_given_frames_and_scores_the_rest(model, sequences):
    result = score_set(model, sequences, given=4)
    truth = sequences[:, 4:] / 255
    expected = np.square(predict(model, to_unit(sequences[:, :4]), 3) - truth).sum(axis=(2, 3, 4)).mean(axis=0)
    np.testing.assert_allclose(result["mse_per_frame"], expected, rtol=1e-5)
    copied = np.square(sequences[:, 3:4] / 255 - truth).sum(axis=(2, 3, 4)).mean()
    assert result["copy_last_mse"] == pytest.approx(copied, rel=1e-5)
    assert result["black_mse"] == pytest.approx(np.square(truth).sum(axis=(2, 3, 4)).mean(), rel=1e-5)
    assert result["sequences"] == 5 and result["protocol"] == "float" and len(result["ssim_per_frame"]) == 3


def test_batches_and_their_progress_change_nothing(model, sequences):
    shown = []
    result = score_set(model, sequences, 4, "official", batch=2, progress=lambda batches: shown.extend(batches) or batches)
    assert shown == [0, 2, 4] and result["protocol"] == "official"
    whole = score_set(model, sequences, 4, "official")
    np.testing.assert_allclose(result["mse_per_frame"], whole["mse_per_frame"], rtol=1e-5)


CONFIG = Config(size=(16, 16), hidden=(3,), kernel=3, patch=4, given=4, horizon=3)


def test_a_report_says_which_weights_it_is_about(model, sequences, tmp_path, capsys):
    report(model, CONFIG, 12, sequences, tmp_path, "mine", "five of mine", remark="hello")
    names = {".lock", ".tinypredrnn.json", "metrics.json", "prediction.png", "prediction.gif", "frame_curves.png"}
    assert set(os.listdir(tmp_path)) == names
    printed = capsys.readouterr().out
    assert printed.startswith("five of mine\n") and "copying the last frame" in printed and str(tmp_path / "prediction.png") in printed
    entries = json.loads((tmp_path / "metrics.json").read_text())
    assert entries["mine"]["iteration"] == 12 and entries["mine"]["remark"] == "hello"
    assert {name: entries["mine"][name] for name in ("mse", "protocol")} == {
        name: value for name, value in score_set(model, sequences, 4).items() if name in ("mse", "protocol")}

    report(model, CONFIG, 12, sequences, tmp_path, "again", "", "-2", protocol="official")
    model.to_frame.bias.data += 1e-3
    report(model, CONFIG, 13, sequences, tmp_path, "later", "")
    later = json.loads((tmp_path / "metrics.json").read_text())
    assert list(later) == ["mine", "again", "later"] and later["mine"] == entries["mine"] and (tmp_path / "prediction-2.gif").is_file()
    weights = [entry["weights_sha256"] for entry in later.values()]
    assert weights[0] == weights[1] != weights[2] and all(len(w) == 64 for w in weights)


def test_the_sequences_that_are_drawn(model, sequences, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(scoring, "save_strip", lambda path, *frames: path.touch() or drawn.append(frames))
    monkeypatch.setattr(scoring, "save_gif", lambda path, *frames: path.touch())
    for choice in (slice(3), [0, 4]):
        report(model, CONFIG, 1, sequences, tmp_path, "mine", "", drawn=choice)
        inputs, truth, prediction = drawn.pop()
        assert np.array_equal(np.concatenate([inputs, truth], axis=1), to_unit(sequences[choice]))
        assert np.array_equal(prediction, predict(model, inputs, 3))


def test_damaged_metrics_are_said_before_the_work_and_kept(model, sequences, tmp_path, monkeypatch):
    (tmp_path / "metrics.json").write_text('{"mine": {')
    monkeypatch.setattr(scoring, "score_set", None)
    with pytest.raises(DataError, match="metrics.json is damaged: move it elsewhere"):
        report(model, CONFIG, 1, sequences, tmp_path, "mine", "")
    assert (tmp_path / "metrics.json").read_text() == '{"mine": {'
