"""Curves show what the tables hold, and say what is missing."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tinypredrnn import metrics, viz
from tinypredrnn.errors import DataError


def drawn_fraction(path):
    """How much of a picture is not white."""
    with Image.open(path) as image:
        return (np.array(image.convert("RGB")) < 250).any(-1).mean()


@pytest.mark.parametrize("rows", [1, 3, 400])
def test_training_curves(tmp_path, rows):
    iteration = np.arange(rows)
    log = {
        "iteration": iteration,
        "loss": [str(v) for v in np.exp(-iteration / 50) + 0.01],  # as csv.DictReader gives it
        "device": ["cpu"] * rows,
        "validation_mse": ["" if i % 3 else 50.0 for i in iteration],
        "validation_ssim": [""] * rows,
    }
    viz.save_training_curves(tmp_path / "curves.png", log)
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (2 * 6 * 150, 570)  # a column without values has no panel
    assert drawn_fraction(tmp_path / "curves.png") > 0.01


def test_running_mean():
    np.testing.assert_allclose(viz.curves._running_mean(np.array([1.0, 2.0, 6.0, 10.0]), 3), [1.5, 3, 6, 8])
    np.testing.assert_allclose(viz.curves._running_mean(np.ones(50), 7), np.ones(50))


def entry(last):
    rng = np.random.default_rng(0)
    truth = rng.random((2, 4, 8, 8, 1), np.float32)
    collected = metrics.Scores()
    collected.add(0.5 + 0.5 * truth, truth, np.full((2, 8, 8, 1), last, np.float32))
    return collected.result()


def test_frame_curves(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    lines, plot = [], Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, x, y, **style: lines.append((style["label"], list(y))) or plot(self, x, y, **style)
    )
    scores = entry(last=1.0)
    viz.save_frame_curves(tmp_path / "frames.png", scores)
    assert drawn_fraction(tmp_path / "frames.png") > 0.01
    assert [label for label, _ in lines] == ["model", "copy last frame", "all black"] * 3
    assert lines[0][1] == scores["mse_per_frame"] and lines[5][1] == scores["black"]["psnr_per_frame"]

    lines.clear()
    scores["black"]["mse"] = 5 * scores["copy_last"]["mse"]  # a hopeless baseline would flatten the others
    viz.save_frame_curves(tmp_path / "frames.png", scores)
    assert [label for label, _ in lines] == ["model", "copy last frame"] * 3


def test_bad_tables(tmp_path):
    for log in ({}, {"iteration": [1]}, {"iteration": [], "loss": []}, {"iteration": [1], "loss": ["nan"]}):
        with pytest.raises(DataError, match="iteration and loss"):
            viz.save_training_curves(tmp_path / "a.png", log)
    with pytest.raises(DataError, match="black, copy_last, psnr_per_frame, ssim_per_frame"):
        viz.save_frame_curves(tmp_path / "a.png", {"mse_per_frame": [1.0]})


def test_import_is_light_and_drawing_leaves_pyplot_alone(tmp_path):
    code = (
        "import sys, tinypredrnn.viz as viz\n"
        "assert not {'matplotlib', 'PIL', 'skimage'} & sys.modules.keys()\n"
        f"viz.save_training_curves({str(tmp_path / 'a.png')!r}, {{'iteration': [1, 2], 'loss': [2.0, 1.0]}})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
