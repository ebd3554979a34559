"""From radar files to a nowcast, as a nowcaster goes: train_radar.py, evaluate.py, predict.py, in this process."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import netcdf_file

from tinypredrnn.commands import evaluate, predict, probability
from tinypredrnn.commands.train import train
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.train import read_checkpoint, read_trained

sys.path.append(str(Path(__file__).parents[1] / "data"))

from radar_files import clock, dataset, reflectivity  # noqa: E402

SMALL = ("--hidden 4 --kernel 3 --patch 4 --steps 4 --batch 2 --given 4 --horizon 3 --validate-every 2 --sampling-until 2 "
         "--rate-schedule constant").split()


def season(path, frames=90, seed=0, without=(50, 51), **options):
    np.savez(path, frames=np.rint((reflectivity(frames, seed=seed, **options) + 10) * 4).astype(np.uint8),
             times=clock(frames, without=without), meta='{"mapping": "dBZ ~= pixel*60/240", "pixel_km": 2.0}')


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with a season of 24x20 pixels in a.npz, a run trained on it in `run`, and one on synthetic echoes in `synthetic`."""
    folder = tmp_path_factory.mktemp("radar")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        season("a.npz")
        assert train("radar", "--data", "a.npz", "--out", "run", *SMALL) == 0
        words = "--size", "24", "20", "--test-sequences", "4", "--validation-sequences", "2"
        assert train("radar", "--out", "synthetic", *SMALL, *words) == 0
    return folder


@pytest.fixture(autouse=True)
def in_room(room, monkeypatch):
    monkeypatch.chdir(room)


def opened(path):
    """{name: array} of a NetCDF file."""
    with netcdf_file(path, mmap=False) as file:
        return {name: np.array(variable[()] if variable.shape == () else variable[:]) for name, variable in file.variables.items()}


def test_the_scores_of_both_runs_say_what_they_are_of(room):
    for run, echoes in ("run", str(room / "a.npz")), ("synthetic", "synthetic"):
        scores = json.loads((room / run / "metrics.json").read_text())["radar"]
        assert scores["echoes"] == echoes and scores["range"] == [0, 60] and scores["unit"] == "dBZ"
        assert len(scores["mse_per_frame"]) == 3 and scores["copy_last_mse"] > 0
        plan, iteration, _ = read_checkpoint(room / run)
        assert (plan.source, plan.frame, plan.scale.unit, iteration) == ("radar", (24, 20, 1), "dBZ", 4)


@pytest.mark.parametrize("run", ["run", "synthetic"])
def test_a_run_is_resumed_without_a_flag(room, run, capsys):
    assert train("radar", "--out", run, "--resume", "--steps", "5") == 0
    assert read_checkpoint(room / run)[1] == 5


def test_a_nowcast_from_the_newest_frames(room, capsys):
    assert predict.main(["run", "--input", "a.npz", "--out", "now", "--frames", "5"]) == 0
    end = clock(90, without=(50, 51))[-1]
    printed = capsys.readouterr().out
    assert "clip 2 of 2, frames[50:90]: watched the last 4 of its 40 frames and predicted 5 " in printed
    assert f"(it was trained to predict 3), 25 minutes from {end} on" in printed
    found, floats = opened("now/prediction.nc"), np.load("now/prediction.npy")
    assert floats.shape == (5, 24, 20, 1) and 0 <= floats.min() <= floats.max() <= 60
    np.testing.assert_array_equal(found["reflectivity"], floats[..., 0])
    assert found["lead_time"].tolist() == [5, 10, 15, 20, 25] and found["y"][0] == 47_000 and found["x"][-1] == 39_000
    assert {"prediction.gif", "prediction.png", "frame_0041.png"} <= {path.name for path in (room / "now").iterdir()}


def test_probabilities_and_what_they_are_worth(room, capsys):
    assert train("radar", "--data", "a.npz", "--out", "sure", *SMALL) == 0
    assert probability.main(["sure", "--thresholds", "30", "10", "--steps", "3"]) == 0
    printed = capsys.readouterr().out
    found = json.loads((room / "sure" / "probability.json").read_text())
    assert list(found["thresholds"]) == ["10", "30"] and found["unit"] == "dBZ" and "skill" in printed
    for threshold, entry in found["thresholds"].items():
        assert (room / "sure" / f"reliability-{threshold}.png").is_file()
        assert f"{entry['brier_head']:10.4f}{entry['brier_forecast']:10.4f}{entry['brier_climate']:10.4f}" in printed
        assert len(entry["head"]) == 10 and len(entry["head"][0]) == 3
    assert predict.main(["sure", "--input", "a.npz", "--out", "risk"]) == 0
    arrays, floats = opened("risk/prediction.nc"), np.load("risk/probability.npy")
    assert floats.shape == (3, 24, 20, 2) and 0 <= floats.min() <= floats.max() <= 1 and (np.diff(floats) <= 0).all()
    np.testing.assert_array_equal(arrays["probability_30"], floats[..., 1])
    assert (room / "risk" / "probability.png").is_file()

    assert train("radar", "--out", "sure", "--resume", "--steps", "6") == 0  # which may find better weights
    moved = json.loads((room / "sure" / "probability.json").read_text())["iteration"] != read_trained(room / "sure")[1]
    capsys.readouterr()
    assert predict.main(["sure", "--input", "a.npz", "--out", "risk", "--overwrite"]) == 0
    assert ("other weights" in capsys.readouterr().err) == moved == (not (room / "risk" / "probability.npy").exists())


def test_forecasts_as_heavy_as_the_last_frame(room, capsys):
    assert evaluate.main(["run", "--match"]) == 0
    scores = json.loads((room / "run" / "metrics.json").read_text())
    assert scores["radar-matched"]["copy_last"] == scores["radar"]["copy_last"]
    assert scores["radar-matched"]["mse"] != scores["radar"]["mse"]
    assert scores["radar-matched"]["bias_10"] == pytest.approx(scores["radar"]["copy_last"]["bias_10"])
    assert (room / "run" / "maps-radar-matched.png").is_file()
    assert predict.main(["run", "--input", "a.npz", "--out", "heavy", "--match"]) == 0
    floats = np.load("heavy/prediction.npy")
    last = np.sort(np.load("a.npz")["frames"][89].ravel() / 4.0).astype(np.float32)
    np.testing.assert_allclose(np.sort(floats[2].ravel()), last.clip(0, 60), atol=0.2)


@pytest.mark.parametrize("words, expected", [("--thresholds 70", "above 0 and up to 60 dBZ, got 70"),
                                             ("--thresholds 0", "above 0")])
def test_probabilities_of_what_cannot_come_are_refused(words, expected):
    with pytest.raises(ConfigError, match=expected):
        probability.main(["run", *words.split()])


def test_a_nowcast_from_a_netcdf_of_rain_rates_with_places_without_data(room, capsys):
    rate = (reflectivity(10).clip(0) / 5).astype(np.float32)
    rate[:, :4, :3] = np.nan
    rate[2, 10, 10] = np.nan  # known in the other frames
    dataset(rate, clock(10), unit="mm h-1", name="rain").to_netcdf("b.nc")
    assert predict.main(["run", "--input", "b.nc", "--zr", "300 1.4", "--out", "rain"]) == 0
    assert "Z = 300 R^1.4" in capsys.readouterr().out
    found, floats = opened("rain/prediction.nc"), np.load("rain/prediction.npy")
    unseen = np.zeros((24, 20), bool)
    unseen[:4, :3] = True
    np.testing.assert_array_equal(np.isnan(floats[..., 0]), np.broadcast_to(unseen, (3, 24, 20)))
    assert (found["reflectivity"][:, unseen] == -9999).all() and (found["rainfall_rate"][:, unseen] == -9999).all()
    assert "transverse_mercator" in found and found["x"][0] == 500


def test_a_hindcast_is_laid_beside_what_came(room, capsys):
    assert predict.main(["run", "--input", "a.npz", "--clip", "1", "--until", "10", "--out", "hindcast"]) == 0
    printed = capsys.readouterr().out
    assert "the last 4 of its 10 frames and predicted 3, 15 minutes from 2024-06-01T12:45:00 on, beside the 3 that came" in printed


def test_the_runs_own_world_is_shown_without_an_input(room, capsys):
    assert predict.main(["synthetic", "--clip", "2", "--out", "own"]) == 0
    assert "clip 2 of 20, synthetic echoes 2: watched its 4 frames and predicted 3, beside" in capsys.readouterr().out
    assert not Path("own/prediction.nc").exists()


def test_frames_of_another_aspect_are_fitted_with_a_border_without_data(room):
    season("wide.npz", 10, without=(), height=20, width=40)
    assert predict.main(["run", "--input", "wide.npz", "--fit", "--out", "wide"]) == 0
    floats = np.load("wide/prediction.npy")[..., 0]
    assert np.isnan(floats[:, :7]).all() and np.isnan(floats[:, 17:]).all() and not np.isnan(floats[:, 7:17]).any()
    assert np.allclose(np.diff(opened("wide/prediction.nc")["y"]), -4000)


def test_frames_without_times_give_no_netcdf_and_it_is_said(room, capsys):
    np.save("timeless.npy", reflectivity(6))
    assert predict.main(["run", "--input", "timeless.npy", "--unit", "dBZ", "--out", "timeless"]) == 0
    assert "the times of the frames are not known, so there is no prediction.nc" in capsys.readouterr().out
    assert sorted(path.name for path in Path("timeless").iterdir() if path.suffix == ".nc") == []


def test_a_run_is_scored_on_another_radars_file_on_one_scale(room, capsys):
    np.savez("c.npz", frames=np.rint((reflectivity(30, seed=5) + 10) * 4).astype(np.uint8), times=clock(30, minutes=6),
             meta='{"mapping": "dBZ ~= pixel*52.5/240"}')
    assert evaluate.main(["run", "--data", "c.npz"]) == 0
    assert "the frames are 6 minutes apart, those of the run 5" in capsys.readouterr().out
    scores = json.loads((room / "run" / "metrics.json").read_text())["c"]
    assert scores["sequences"] == 8 and scores["range"] == [0, 60]
    assert evaluate.main(["run", "--active", "0", "--test-stride", "1"]) == 0
    entries = json.loads((room / "run" / "metrics.json").read_text())
    assert entries["radar-test_stride-1-active-0.0"]["sequences"] == 34


def test_what_a_run_cannot_continue(room):
    np.save("bytes.npy", np.zeros((9, 24, 20), np.uint8))
    with pytest.raises(DataError, match="does not say what its numbers are"):
        predict.main(["run", "--input", "bytes.npy", "--out", "refused"])
    with pytest.raises(DataError, match="has 3 frame"):
        np.savez("short.npz", frames=reflectivity(3), times=clock(3))
        predict.main(["run", "--input", "short.npz", "--unit", "dBZ", "--out", "refused"])
    with pytest.raises(ConfigError, match="has 2 clip"):
        predict.main(["run", "--input", "a.npz", "--clip", "3", "--out", "refused"])
    assert not Path("refused").exists()


def test_the_example_is_the_command(room, capsys, monkeypatch):
    import runpy

    monkeypatch.setattr(sys, "argv", ["train_radar.py", "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(Path(__file__).parents[2] / "examples" / "train_radar.py"), run_name="__main__")
    assert left.value.code == 0 and "--zr" in capsys.readouterr().out


# real data

def test_a_nowcast_from_a_real_event(data_dir, room, capsys):
    event = data_dir / "radar" / "mch_20150515_100.npz"
    assert predict.main(["synthetic", "--input", str(event), "--fit", "--until", "20", "--out", "real"]) == 0
    found = opened("real/prediction.nc")
    assert found["reflectivity"].shape == (3, 24, 20) and (found["reflectivity"] == -9999).any()
    assert found["time"].tolist() == [300, 600, 900]
