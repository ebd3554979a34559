"""Predicting and scoring a set."""

import json
import os

import numpy as np
import pytest
from plans import make_plan

from tinypredrnn import build_model
from tinypredrnn.autograd import Tensor
from tinypredrnn.data.scale import BYTES, Scale
from tinypredrnn.data.source import Source
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.metrics import DIGITS
from tinypredrnn.train import predict, report, score_set, scoring

BOTH = "copy_last", "black"


@pytest.fixture
def model():
    return build_model("predrnn", (16, 16), 1, hidden=(3,), kernel=3, patch=4)


@pytest.fixture
def sequences():
    return np.random.default_rng(0).integers(256, size=(5, 7, 16, 16, 1), dtype=np.uint8)


def test_predict_gives_clipped_arrays_of_what_the_model_says(model, sequences):
    inputs = BYTES.to_model(sequences[:, :4])
    model.to_frame.bias.data += 2  # so that something is to be clipped
    predicted = model(inputs, 3).numpy()
    frames = predict(model, inputs, 3)
    assert type(frames) is np.ndarray and frames.shape == (5, 3, 16, 16, 1) and frames.dtype == np.float32
    assert predicted.max() > 1 and np.array_equal(frames, predicted.clip(0, 1))


def test_predict_records_nothing(model, sequences, monkeypatch):
    seen = []
    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, *args: seen.append(forward(self, *args)) or seen[-1])
    predict(model, BYTES.to_model(sequences[:, :4]), 2)
    assert isinstance(seen[0], Tensor) and seen[0].node is None and not seen[0].requires_grad


def test_score_set_sees_the_given_frames_and_scores_the_rest(model, sequences):
    result = score_set(model, sequences, 4, BYTES, DIGITS, BOTH)
    truth = sequences[:, 4:] / 255
    expected = np.square(predict(model, BYTES.to_model(sequences[:, :4]), 3) - truth).sum(axis=(2, 3, 4)).mean(axis=0)
    np.testing.assert_allclose(result["mse_per_frame"], expected, rtol=1e-5)
    copied = np.square(sequences[:, 3:4] / 255 - truth).sum(axis=(2, 3, 4)).mean()
    assert result["copy_last_mse"] == pytest.approx(copied, rel=1e-5)
    assert result["black_mse"] == pytest.approx(np.square(truth).sum(axis=(2, 3, 4)).mean(), rel=1e-5)
    assert result["sequences"] == 5 and result["protocol"] == "float" and len(result["ssim_per_frame"]) == 3


def test_batches_and_their_progress_change_nothing(model, sequences):
    shown = []
    result = score_set(model, sequences, 4, BYTES, protocol="official", batch=2, progress=lambda batches: shown.extend(batches) or batches)
    assert shown == [0, 2, 4] and result["protocol"] == "official"
    whole = score_set(model, sequences, 4, BYTES, protocol="official")
    np.testing.assert_allclose(result["mse_per_frame"], whole["mse_per_frame"], rtol=1e-5)


PLAN = make_plan((16, 16), hidden=(3,), kernel=3, patch=4, given=4, horizon=3)


class Noise(Source):
    """A world of noise, with test sets of some names and lengths."""

    metrics, baselines, notes = DIGITS, BOTH, {"remark": "hello"}
    batch = validation = None  # nobody trains on it

    def __init__(self, **tests):
        super().__init__(PLAN.data, seed=0)
        self.sets = tests

    def tests(self):
        return {name: lambda sequences=sequences: sequences for name, sequences in self.sets.items()}


def test_a_report_says_which_weights_it_is_about(model, sequences, tmp_path, capsys):
    report(model, PLAN, Noise(mine=sequences), 12, tmp_path)
    names = {".lock", ".tinypredrnn.json", "metrics.json", "prediction.png", "prediction.gif", "frame_curves.png"}
    assert set(os.listdir(tmp_path)) == names
    printed = capsys.readouterr().out
    assert printed.startswith("mine, 5 test sequences of step 12\n") and "copying the last frame" in printed
    assert str(tmp_path / "prediction.png") in printed
    entries = json.loads((tmp_path / "metrics.json").read_text())
    assert entries["mine"]["iteration"] == 12 and entries["mine"]["remark"] == "hello"
    assert {name: entries["mine"][name] for name in ("mse", "protocol")} == {
        name: value for name, value in score_set(model, sequences, 4, BYTES).items() if name in ("mse", "protocol")}

    report(model, PLAN, Noise(again=sequences), 12, tmp_path, own="mine", protocol="official")
    model.to_frame.bias.data += 1e-3
    report(model, PLAN, Noise(later=sequences), 13, tmp_path)
    later = json.loads((tmp_path / "metrics.json").read_text())
    assert list(later) == ["mine", "again", "later"] and later["mine"] == entries["mine"]
    assert (tmp_path / "prediction-again.gif").is_file() and not (tmp_path / "prediction-later.gif").exists()
    weights = [entry["weights_sha256"] for entry in later.values()]
    assert weights[0] == weights[1] != weights[2] and all(len(w) == 64 for w in weights)


def test_baselines_are_fitted_on_training_sequences(model, sequences, tmp_path):
    """The test set is noise, which a blur predicts better; in training nothing moves, so that no blur is the best."""
    still = np.repeat(sequences[:, :1], sequences.shape[1], axis=1)
    source = Noise(mine=sequences)
    source.baselines, source.batch = ("copy_last", "blur_last"), lambda k, count: still
    report(model, PLAN, source, 12, tmp_path)
    entry = json.loads((tmp_path / "metrics.json").read_text())["mine"]
    assert entry["blur_last"]["widths"] == [0, 0, 0] and entry["blur_last_mse"] == pytest.approx(entry["copy_last_mse"], rel=1e-6)
    source.batch = lambda k, count: sequences
    report(model, PLAN, source, 12, tmp_path)
    entry = json.loads((tmp_path / "metrics.json").read_text())["mine"]
    assert min(entry["blur_last"]["widths"]) > 0 and entry["blur_last_mse"] < entry["copy_last_mse"]


def test_rain_is_also_drawn_as_maps(model, sequences, tmp_path, monkeypatch):
    """The wettest sequence, beside the baselines that know no training; no-data in it stays."""
    sequences = sequences.astype(np.float32) / 2
    sequences[3] += 100
    sequences[3, 5, 3] = np.nan
    source, drawn = Noise(rain=sequences), []
    source.scale, source.baselines = Scale(units=(0, 60), unit="dBZ", gaps=True), ("copy_last", "flow", "blur_last")
    source.batch = lambda k, count: sequences
    monkeypatch.setattr(scoring, "save_maps", lambda path, *what: path.touch() or drawn.append(what))
    report(model, PLAN, source, 12, tmp_path)
    assert (tmp_path / "maps.png").is_file()
    inputs, forecasts, scale = drawn.pop()
    assert list(forecasts) == ["truth", "model", "copy last frame", "optical flow"] and scale == source.scale
    np.testing.assert_array_equal(np.concatenate([inputs, forecasts["truth"]]), scale.to_model(sequences[3]))
    np.testing.assert_array_equal(forecasts["copy last frame"], np.stack([inputs[-1]] * 3))
    np.testing.assert_array_equal(forecasts["model"], predict(model, inputs[None], 3)[0])


def test_a_test_set_may_be_longer_than_the_sequences_of_training(model, sequences, tmp_path):
    """Trained 10 -> 10 and tested 10 -> 20, as on KTH: all its frames are predicted, scored and drawn."""
    longer = np.concatenate([sequences, sequences], axis=1)
    report(model, PLAN, Noise(short=sequences, long=longer), 12, tmp_path)
    entries = json.loads((tmp_path / "metrics.json").read_text())
    assert len(entries["short"]["mse_per_frame"]) == 3 and len(entries["long"]["mse_per_frame"]) == 10
    assert {"prediction.gif", "prediction-long.gif"} <= set(os.listdir(tmp_path))


def test_networks_are_drawn_beside_each_other(model, sequences, tmp_path, monkeypatch, capsys):
    """Figures 5 and 6: other networks with their own scores of the same sequences; those of others are refused."""
    drawn = {}
    for name in "save_strip", "save_frame_curves":
        monkeypatch.setattr(scoring, name, lambda path, *what: path.touch() or drawn.update({path.name.partition("-")[2][9:]: what}))
    report(model, PLAN, Noise(mine=sequences), 12, tmp_path / "other")
    scores, drawn = json.loads((tmp_path / "other" / "metrics.json").read_text()), {}
    report(model, PLAN, Noise(mine=sequences), 12, tmp_path, beside={"mine": (model, scores)})
    assert {"beside.png", "beside_curves.png"} <= set(os.listdir(tmp_path)) and f"and {tmp_path / 'beside.png'}" in capsys.readouterr().out
    inputs, truth, predictions = drawn["beside.png"]
    assert list(predictions) == [PLAN.model, "mine"] and np.array_equal(predictions["mine"], predict(model, inputs, truth.shape[1]))
    entries, = drawn["beside_curves.png"]
    assert list(entries) == [PLAN.model, "mine"] and entries["mine"] == scores["mine"]
    for other in {}, {"mine": scores["mine"] | {"sequences": 4}}, {"mine": scores["mine"] | {"copy_last": {}}}:
        with pytest.raises(ConfigError, match="the other was not scored on the same sequences of mine: evaluate it first"):
            report(model, PLAN, Noise(mine=sequences), 12, tmp_path, beside={"the other": (model, other)})


def test_the_sequences_that_are_drawn(model, sequences, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(scoring, "save_strip", lambda path, *frames: path.touch() or drawn.append(frames))
    monkeypatch.setattr(scoring, "save_gif", lambda path, *frames: path.touch())
    for count, choice in (5, [0, 2, 4]), (2, [0, 1]):
        report(model, PLAN, Noise(mine=sequences[:count]), 1, tmp_path)
        inputs, truth, prediction = drawn.pop()
        assert np.array_equal(np.concatenate([inputs, truth], axis=1), BYTES.to_model(sequences[choice]))
        assert np.array_equal(prediction, predict(model, inputs, 3))


def test_damaged_metrics_are_said_before_the_work_and_kept(model, sequences, tmp_path, monkeypatch):
    (tmp_path / "metrics.json").write_text('{"mine": {')
    monkeypatch.setattr(scoring, "score_set", None)
    with pytest.raises(DataError, match="metrics.json is damaged: move it elsewhere"):
        report(model, PLAN, Noise(mine=sequences), 1, tmp_path)
    assert (tmp_path / "metrics.json").read_text() == '{"mine": {'
