"""Curves show what the tables hold, and say what is missing."""

import subprocess
import sys
from types import SimpleNamespace

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
    collected.add(0.5 + 0.5 * truth, truth, np.full((2, 1, 8, 8, 1), last, np.float32))
    return collected.result()


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: the label and the values of each line, and the title of each vertical axis."""
    from matplotlib.axes import Axes

    seen = SimpleNamespace(lines=[], titles=[])
    plot, set_ylabel = Axes.plot, Axes.set_ylabel
    monkeypatch.setattr(Axes, "plot", lambda self, x, y, **style:
                        seen.lines.append((style.get("label"), list(y))) or plot(self, x, y, **style))
    monkeypatch.setattr(Axes, "set_ylabel", lambda self, text: seen.titles.append(text) or set_ylabel(self, text))
    return seen


def test_frame_curves(tmp_path, drawn):
    scores = entry(last=1.0)
    viz.save_frame_curves(tmp_path / "frames.png", scores)
    assert drawn_fraction(tmp_path / "frames.png") > 0.01
    assert drawn.titles == ["MSE (sum over pixels)", "PSNR (dB)", "SSIM"]
    assert [label for label, _ in drawn.lines] == ["model", "copy last frame", "all black"] * 3
    assert drawn.lines[0][1] == scores["mse_per_frame"] and drawn.lines[5][1] == scores["black"]["psnr_per_frame"]

    drawn.lines.clear()
    scores["black"]["mse"] = 5 * scores["copy_last"]["mse"]  # a hopeless baseline would flatten the others
    viz.save_frame_curves(tmp_path / "frames.png", scores)
    assert [label for label, _ in drawn.lines] == ["model", "copy last frame"] * 3


def test_frame_curves_of_several_networks(tmp_path, drawn):
    one, other = entry(last=1.0), entry(last=1.0)
    other["psnr_per_frame"] = [1.0, 2.0, 3.0, 4.0]
    viz.save_frame_curves(tmp_path / "frames.png", {"predrnn": one, "convlstm": other})
    assert [label for label, _ in drawn.lines] == ["predrnn", "convlstm", "copy last frame", "all black"] * 3
    assert drawn.lines[5][1] == other["psnr_per_frame"] and drawn.titles == ["MSE (sum over pixels)", "PSNR (dB)", "SSIM"]


def test_frame_curves_of_an_entry_from_before_metrics_were_described(tmp_path, drawn):
    viz.save_frame_curves(tmp_path / "new.png", scores := entry(last=1.0))
    new = drawn.titles[:], drawn.lines[:]
    drawn.titles.clear(), drawn.lines.clear()
    del scores["metrics"], scores["copy_last"]["perfect_sequences"], scores["black"]["perfect_sequences"]
    viz.save_frame_curves(tmp_path / "old.png", scores)
    assert (drawn.titles, drawn.lines) == new
    assert (tmp_path / "old.png").read_bytes() == (tmp_path / "new.png").read_bytes()


def test_frame_curves_of_other_metrics(tmp_path, drawn):
    """Panels are of the entry's metrics and baselines, twelve at most; a frame without a score is a gap."""
    truth = np.zeros((2, 4, 8, 8, 1), np.float32)
    truth[:, 2] = np.nan
    many = [metrics.MAE._replace(name=f"rain_{k}", title=f"rain {k}", unit="mm/h", panel=k != 1) for k in range(14)]
    for measured, titles in ((many, [f"rain {k} (mm/h)" for k in (0, *range(2, 13))]), (many[1:2], ["rain 1 (mm/h)"])):
        drawn.titles.clear(), drawn.lines.clear()
        collected = metrics.Scores(measured, ["black"])
        collected.add(truth + np.float32(0.5), truth, truth[:, :1])
        viz.save_frame_curves(tmp_path / "rain.png", collected.result())
        assert drawn.titles == titles
        assert [label for label, _ in drawn.lines] == ["model", "all black"] * len(titles)
        np.testing.assert_array_equal(drawn.lines[0][1], [32, 32, np.nan, 32])


def test_titles_of_validation_curves(tmp_path, drawn):
    log = {"iteration": [1, 2], "loss": [2.0, 1.0], "validation_mse": [3.0, 2.0], "validation_rain": [3.0, 2.0], "validation_x": [1, 2]}
    rain = metrics.MAE._replace(name="rain", title="rain", unit="mm/h")
    viz.save_training_curves(tmp_path / "a.png", log, [metrics.MSE, rain])
    assert drawn.titles == ["training loss", "validation MSE (sum over pixels)", "validation rain (mm/h)", "validation x"]


def test_bad_tables(tmp_path):
    for log in ({}, {"iteration": [1]}, {"iteration": [], "loss": []}, {"iteration": [1], "loss": ["nan"]}):
        with pytest.raises(DataError, match="iteration and loss"):
            viz.save_training_curves(tmp_path / "a.png", log)
    with pytest.raises(DataError, match="scores by frame, and has .'mse', 'copy_last'"):
        viz.save_frame_curves(tmp_path / "a.png", {"mse": 1.0, "copy_last": {}})


def test_import_is_light_and_drawing_leaves_pyplot_alone(tmp_path):
    code = (
        "import sys, tinypredrnn.viz as viz\n"
        "assert not {'matplotlib', 'PIL', 'skimage'} & sys.modules.keys()\n"
        f"viz.save_training_curves({str(tmp_path / 'a.png')!r}, {{'iteration': [1, 2], 'loss': [2.0, 1.0]}})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_comparison_has_a_panel_for_each_test_set_and_a_line_for_each_network(drawn, tmp_path):
    names = [f"network {n}" for n in range(9)]
    panels = {test: {name: np.arange(3) + n for n, name in enumerate(names)} for test in ("mnist-2", "mnist-3")}
    panels["mnist-2"] |= {"copy": np.full(3, 12.0), "black": np.full(3, 90.0)}  # the second is too bad to be drawn
    viz.save_comparison_curves(tmp_path / "curves.png", panels, "MSE", dashed=("copy", "black"))
    assert [label for label, _ in drawn.lines] == [*names, "copy", *names]
    for (label, values), n in zip(drawn.lines, range(9)):
        np.testing.assert_array_equal(values, np.arange(3) + n, label)
    styles = [tuple(viz.curves._series(n).values()) for n in range(9)]
    assert len(set(styles)) == 9
