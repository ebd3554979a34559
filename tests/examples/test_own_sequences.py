"""From a folder of one's own images to the predicted future, as a new user goes: train_sequences.py, predict.py, and their refusals."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinypredrnn as tp
from tinypredrnn.data.reading import read_sequences
from tinypredrnn.data.scale import BYTES
from tinypredrnn.train import predict, read_checkpoint, read_log

ROOT = Path(__file__).parents[2]
SMALL = ("--hidden 4 --kernel 3 --patch 4 --steps 4 --batch 2 --given 4 --horizon 3 --validate-every 2 --sampling-until 2 "
         "--rate-schedule constant").split()


def save_squares(folder, clips=4, frames=24, size=(12, 16), colour=()):
    """Clips of a square that moves to the right, one folder of images each."""
    for n in range(clips):
        (folder / f"clip{n + 1}").mkdir(parents=True)
        for t in range(frames):
            image = np.zeros((*size, *colour), np.uint8)
            image[2 + n % 5:6 + n % 5, t % size[1]:t % size[1] + 4] = (250, 120, 20) if colour else 250
            Image.fromarray(image).save(folder / f"clip{n + 1}" / f"frame{t + 1}.png")
    return folder


def run(folder, script, *words):
    """What a script prints; it has to succeed."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run([sys.executable, ROOT / "examples" / script, *map(str, words)], cwd=folder, capture_output=True, text=True,
                          encoding="utf-8", timeout=600, env=os.environ | threads | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with own images in `squares`, and a run trained on them in `run`."""
    folder = tmp_path_factory.mktemp("sequences")
    save_squares(folder / "squares")
    printed = run(folder, "train_sequences.py", "--data", "squares", "--out", "run", *SMALL)
    (folder / "printed.txt").write_text(printed, encoding="utf-8")
    return folder


def test_training_on_a_folder_of_images(room):
    printed = (room / "printed.txt").read_text(encoding="utf-8")
    assert "frames of 12x16, gray, set apart by time: 40 frames of 4 clip(s) for training" in printed
    assert "4 steps of 2 sequences out of 16" in printed and "copy last frame" in printed
    plan, iteration, _ = read_checkpoint(room / "run")
    assert iteration == 4 and plan.frame == (12, 16, 1) and plan.source == "sequences" and plan.data.data == str(room / "squares")
    scores = json.loads((room / "run" / "metrics.json").read_text())["sequences"]
    assert len(scores["mse_per_frame"]) == 3 and scores["mse"] > 0 and scores["iteration"] in (2, 4)
    assert {"best.npz", "config.json", "curves.png", "frame_curves.png", "log.csv", "prediction.gif", "prediction.png"} <= {
        path.name for path in (room / "run").iterdir()}


def test_resuming_needs_no_flag_and_changes_nothing(room):
    shutil.copytree(room / "run", room / "whole")
    run(room, "train_sequences.py", "--data", "squares", "--out", "half", *SMALL, "--steps", 2)
    run(room, "train_sequences.py", "--out", "half", "--resume", "--steps", 4)
    (_, done, half), (_, _, whole) = read_checkpoint(room / "half"), read_checkpoint(room / "whole")
    assert done == 4
    for name, weights in whole["model"].items():
        np.testing.assert_array_equal(half["model"][name], weights, err_msg=name)


def test_predicting_what_comes_after_a_clip(room):
    printed = run(room, "predict.py", "run", "--input", room / "squares" / "clip2", "--frames", 5, "--out", "after")
    assert "watched the last 4 of its 24 frames and predicted 5" in printed
    clip = read_sequences(room / "squares" / "clip2")[0]
    expected = np.rint(predict(tp.load(room / "run"), BYTES.to_model(clip[None, -4:]), 5)[0] * 255)
    names = sorted(path.name for path in (room / "after").iterdir() if not path.name.startswith("."))
    assert names == [*(f"frame_00{n}.png" for n in range(25, 30)), "prediction.gif", "prediction.npy", "prediction.png"]
    floats = np.load(room / "after" / "prediction.npy")
    assert floats.shape == (5, 12, 16, 1) and floats.dtype == np.float32
    np.testing.assert_allclose(floats * 255, expected, atol=1)
    for n, frame in enumerate(expected, start=25):
        image = Image.open(room / "after" / f"frame_00{n}.png")
        assert image.mode == "L"
        np.testing.assert_allclose(np.asarray(image), frame[..., 0], atol=1)  # in another process, sums may be rounded elsewhere
    assert Image.open(room / "after" / "prediction.gif").n_frames == 9


def test_a_forecast_from_the_middle_is_laid_beside_what_came(room):
    printed = run(room, "predict.py", "run", "--input", "squares/clip2", "--until", 10, "--out", "hindcast")
    assert "the last 4 of its 10 frames and predicted 3" in printed and "it was trained" not in printed  # as many as in training
    assert "frame_0011.png" in {path.name for path in (room / "hindcast").iterdir()}
    both, alone = (Image.open(room / name / "prediction.gif").size[0] for name in ("hindcast", "after"))
    assert both > 1.5 * alone
    assert "predicted 9 (it was trained to predict 3)" in run(room, "predict.py", "run", "--input", "squares/clip2", "--frames", 9,
                                                              "--out", "far")


def test_rain_is_scored_by_events_and_drawn_as_maps(tmp_path):
    """Thresholds for the scores and for the loss are in the unit of the data; maps have its colours."""
    clips = np.random.default_rng(0).uniform(0, 52.5, (4, 9, 12, 16)).astype(np.float32)
    np.save(tmp_path / "rain.npy", clips)
    reading = "--order NTHW --range 0 52.5 --unit dBZ --thresholds 10 30 --heavy 20 40 --weights 2 5".split()
    printed = run(tmp_path, "train_sequences.py", "--data", "rain.npy", *reading, "--out", "run", *SMALL)
    assert "CSI 30 dBZ" in printed and "FSS 10 dBZ 9x9" in printed
    entry = json.loads((tmp_path / "run" / "metrics.json").read_text())["sequences"]
    assert len(entry["csi_30_per_frame"]) == 3 and 0 < entry["copy_last_csi_10"] < 1 and entry["sharpness"] < 1
    assert (tmp_path / "run" / "maps.png").is_file()
    assert read_checkpoint(tmp_path / "run" / "checkpoint.npz")[0].recipe.weights == (2, 5)
    run(tmp_path, "predict.py", "run", "--input", "rain.npy", "--until", 5, "--out", "hindcast")
    assert (tmp_path / "hindcast" / "maps.png").is_file()
    np.savez(tmp_path / "timed.npz", frames=clips[0], times=np.datetime64("2016-07-13T14:00", "s") + 300 * np.arange(9))
    timed = ["predict.py", "run", "--input", "timed.npz", "--order", "THW", "--out", "timed", "--until"]
    assert "watched the last 4 of its 6 frames" in run(tmp_path, *timed, "2016-07-13T14:25Z")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.run([sys.executable, ROOT / "examples" / timed[0], *timed[1:], "2016-07-13T14:26", "--overwrite"],
                       cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert "no frame is of 2016-07-13T14:26:00: they are of 2016-07-13T14:00:00 to 2016-07-13T14:40" in caught.value.stderr


def test_without_an_input_the_run_shows_its_own_world(room):
    message = run(room, "predict.py", "run", "--clip", 2, "--out", "own")
    assert "clip 2 of 4, test sequence 2: watched its 4 frames and predicted 3" in message


def test_a_run_is_scored_on_its_own_test_part_and_on_other_files(room):
    shutil.copytree(room / "run", room / "scored")
    before = json.loads((room / "scored" / "metrics.json").read_text())
    run(room, "evaluate.py", "scored")
    assert json.loads((room / "scored" / "metrics.json").read_text()) == before  # the numbers that training gave
    pictures = contents(room / "scored")
    save_squares(room / "more", clips=2, frames=9)
    printed = run(room, "evaluate.py", "scored", "--data", "more")
    after = json.loads((room / "scored" / "metrics.json").read_text())
    assert "more, 2 test sequences" in printed and list(after) == ["sequences", "more"] and after["sequences"] == before["sequences"]
    assert after["more"]["sequences"] == 2 and after["more"]["mse"] != before["sequences"]["mse"]
    now = contents(room / "scored")
    assert {"prediction-more.png", "prediction-more.gif", "frame_curves-more.png"} == now.keys() - pictures.keys() - {".lock-scoring"}
    assert all(now[name] == pictures[name] for name in ("prediction.png", "prediction.gif", "frame_curves.png"))


def test_results_on_other_data_never_take_the_place_of_the_runs_own(room):
    """Another file of the same name, the same files read otherwise, a longer horizon: each has a name of its own."""
    shutil.copytree(room / "run", room / "named")
    before, pictures = json.loads((room / "named" / "metrics.json").read_text()), contents(room / "named")
    for folder in "a", "b":
        save_squares(room / folder / "sequences", clips=2, frames=9)
        run(room, "evaluate.py", "named", "--data", f"{folder}/sequences")
    run(room, "evaluate.py", "named", "--data", "a/sequences")  # once more: the same name
    run(room, "evaluate.py", "named", "--horizon", 6)
    entries = json.loads((room / "named" / "metrics.json").read_text())
    assert list(entries) == ["sequences", "sequences-2", "sequences-3", "sequences-horizon-6"]
    assert entries["sequences"] == before["sequences"]
    assert len(entries["sequences-horizon-6"]["mse_per_frame"]) == 6
    assert all(contents(room / "named")[name] == pictures[name] for name in ("prediction.png", "prediction.gif", "frame_curves.png"))


def test_test_data_that_were_replaced_are_not_scored_as_the_runs_own(room, refusal):
    save_squares(room / "replaced", clips=4)
    run(room, "train_sequences.py", "--data", "replaced", "--out", "of_replaced", *SMALL)
    for clip in (room / "replaced").iterdir():
        for image in clip.iterdir():
            Image.new("L", (16, 12)).save(image)
    assert "not those that the run was trained with" in refusal("evaluate.py", "of_replaced")


def test_a_clip_is_read_as_the_runs_own_data_were(room):
    run(room, "train_sequences.py", "--data", "squares", "--every", 2, "--out", "every", *SMALL, "--given", 2, "--horizon", 2)
    assert "watched the last 2 of its 12 frames" in run(room, "predict.py", "every", "--input", "squares/clip1", "--out", "every_after")
    np.save(room / "turned.npy", np.zeros((16, 24, 12), np.uint8))  # width first
    printed = run(room, "predict.py", "run", "--input", "turned.npy", "--order", "WTH", "--out", "turned_after")
    assert "of its 24 frames" in printed


def test_numbers_that_are_all_off_the_runs_scale_are_refused(room, refusal):
    np.save(room / "thermal.npy", np.random.default_rng(0).integers(51_000, 52_000, (1, 24, 12, 16), dtype=np.uint16))
    assert "expected numbers between 0 and 255, got 51" in refusal("predict.py", "run", "--input", "thermal.npy")


def test_a_start_from_another_runs_weights(room):
    start = read_checkpoint(room / "run")[2]["model"]
    printed = run(room, "train_sequences.py", "--data", "squares", "--out", "tuned", *SMALL, "--from", "run", "--rate", "1e-12")
    tuned = read_checkpoint(room / "tuned")[2]["model"]
    assert "starts from the weights of run" in printed
    assert all(np.allclose(tuned[name], start[name], atol=1e-6) for name in start)
    run(room, "train_sequences.py", "--out", "tuned", "--resume", "--steps", 5)  # needs no word of it


def test_numbers_stay_in_their_units_from_reading_to_prediction(room):
    """Temperatures in training, scores and forecasts; a place without data counts for nothing."""
    bytes_ = np.stack([clip for clip in read_sequences(room / "squares").named().values()])[..., 0]  # (4,24,12,16)
    celsius = (bytes_ / np.float32(255) * 40 - 10).round(1)
    celsius[0, 5, 3, 3] = -99
    np.save(room / "celsius.npy", celsius)
    words = "--range", -10, 30, "--unit", "deg C", "--missing=-99"
    printed = run(room, "train_sequences.py", "--data", "celsius.npy", "--out", "celsius_run", *SMALL, *words)
    assert "1 places" in printed and "have no data, the first in celsius[0], frame 5, row 3, column 3" in printed
    plan = read_checkpoint(room / "celsius_run")[0]
    assert (plan.scale.stored, plan.scale.units, plan.scale.unit,
            plan.scale.missing) == ((-10, 30), (-10, 30), "deg C", -99) and plan.scale.gaps
    run(room, "predict.py", "celsius_run", "--input", "celsius.npy", "--clip", 2, "--frames", 2, "--out", "celsius_after")
    forecast = np.load(room / "celsius_after" / "prediction.npy")
    assert forecast.shape == (2, 12, 16, 1) and -10 <= forecast.min() < -5 and forecast.max() <= 30
    scores = json.loads((room / "celsius_run" / "metrics.json").read_text())["sequences"]
    assert np.isfinite(scores["mse"]) and "black" not in scores


def test_floats_and_bytes_of_the_same_pictures_are_predicted_alike(room):
    clip = read_sequences(room / "squares" / "clip1")[0]
    np.save(room / "floats.npy", (clip / np.float32(255))[None, ..., 0])
    for name in "floats.npy", "squares/clip1":
        run(room, "predict.py", "run", "--input", name, "--frames", 2, "--out", f"from_{name[:6]}")
    one, other = (np.load(room / f"from_{name}" / "prediction.npy") for name in ("floats", "square"))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_other_files_for_validation_and_test(room):
    np.save(room / "for_test.npy", np.random.default_rng(0).integers(256, size=(2, 10, 12, 16), dtype=np.uint8))
    printed = run(room, "train_sequences.py", "--data", "squares", "--test", "for_test.npy", "--out", "tested", *SMALL)
    assert "set apart as the data say" in printed and "20 frames of 2 clip(s) for test" in printed
    run(room, "train_sequences.py", "--resume", "--out", "tested", "--steps", 5)
    shutil.copytree(room / "squares", room / "copies")
    with pytest.raises(AssertionError) as caught:
        run(room, "train_sequences.py", "--data", "squares", "--test", "copies", "--out", "leaking", *SMALL)
    assert "share frames, but are in two parts of the data" in str(caught.value)


@pytest.mark.parametrize("size", [(13, 17), (19, 16)])
def test_odd_sizes_need_nothing(room, size):
    save_squares(room / f"odd{size[0]}", size=size)
    printed = run(room, "train_sequences.py", "--data", f"odd{size[0]}", "--out", f"odd{size[0]}_run", *SMALL)
    assert f"frames of {size[0]}x{size[1]}, gray" in printed
    run(room, "predict.py", f"odd{size[0]}_run", "--input", f"odd{size[0]}/clip1", "--frames", 2, "--out", f"odd{size[0]}_after")
    assert Image.open(room / f"odd{size[0]}_after" / "frame_0025.png").size == (size[1], size[0])


def test_predicting_from_all_of_one_of_several_clips_and_fitting_it(room):
    save_squares(room / "other", clips=2, frames=3, size=(20, 30), colour=(3,))
    words = "--input other --clip 2 --all --fit --frames 1 --out other_after".split()
    printed = run(room, "predict.py", room / "run" / "checkpoint.npz", *words)
    assert "clip 2 of 2, clip2: watched its 3 frames and predicted 1" in printed
    assert Image.open(room / "other_after" / "frame_0004.png").size == (16, 12)


def test_colour_frames_of_another_size_resized(room):
    save_squares(room / "colour", clips=3, frames=7, size=(20, 30), colour=(3,))
    words = *SMALL, "--steps", 1, "--size", 8, 8, "--test-sequences", 1
    printed = run(room, "train_sequences.py", "--data", "colour", "--out", "colour_run", *words)
    assert "frames of 8x8, colour, set apart by clip: 7 frames of 1 clip(s)" in printed
    run(room, "predict.py", "colour_run", "--input", "colour/clip1", "--fit", "--frames", 2, "--out", "colour_after")
    assert Image.open(room / "colour_after" / "frame_0009.png").mode == "RGB"


def test_data_that_are_cut_short_while_a_run_reads_them(room):
    np.save(room / "clips.npy", np.random.default_rng(0).integers(256, size=(40, 24, 12, 16), dtype=np.uint8))
    words = map(str, ["--data", "clips.npy", "--out", "cut", *SMALL, "--steps", 100_000, "--validate-every", 100_000])
    process = subprocess.Popen([sys.executable, ROOT / "examples" / "train_sequences.py", *words], cwd=room, stderr=subprocess.PIPE,
                               text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    log = room / "cut" / "log.csv"
    while process.poll() is None and not (log.is_file() and len(read_log(log)["loss"]) >= 20):
        time.sleep(0.01)
    os.truncate(room / "clips.npy", 1000)
    message = process.communicate(timeout=600)[1].splitlines()[-1]
    assert process.returncode == 2 and "has become shorter since it was opened: put it back and start again" in message
    assert read_checkpoint(room / "cut")[1] == len(read_log(log)["loss"]) >= 20  # all that was learnt
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.run([sys.executable, ROOT / "examples" / "train_sequences.py", "--resume", "--out", "cut"], cwd=room, check=True,
                       capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert caught.value.returncode == 2 and "clips.npy is damaged" in caught.value.stderr


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_we_wrote_among_the_data_is_not_read_as_data(room):
    """Runs and predictions in the folder of the clips: a run can be resumed, and another begins with the same data."""
    data = save_squares(room / "with_outputs", clips=3)
    first = run(data, "train_sequences.py", "--data", ".", "--out", "runs/one", *SMALL)
    run(data, "predict.py", "runs/one", "--input", "clip1", "--out", "predicted")
    run(data, "train_sequences.py", "--data", ".", "--out", "runs/one", "--resume", "--steps", 5)
    second = run(data, "train_sequences.py", "--data", ".", "--out", "run", *SMALL)
    assert first.splitlines()[0] == second.splitlines()[0] and "72 frames" not in first
    assert read_checkpoint(data / "runs" / "one")[1] == 5


def test_an_old_prediction_goes_once_the_new_one_is_whole(room, refusal):
    run(room, "predict.py", "run", "--input", "squares", "--out", "renewed", "--frames", 3)
    (room / "renewed" / "notes.txt").write_text("mine")
    before = contents(room / "renewed")
    limited = ("import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60)); sys.argv = sys.argv[1:]; "
               "runpy.run_path(sys.argv[0], run_name='__main__')")
    words = [ROOT / "examples" / "predict.py", "run", "--input", "squares", "--out", "renewed", "--frames", 2, "--overwrite"]
    done = subprocess.run([sys.executable, "-c", limited, *map(str, words)], cwd=room, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT), "TINYPREDRNN_CACHE": str(room / "cache")})
    assert done.returncode == 2 and "File too large" in done.stderr and contents(room / "renewed") == before  # as on a full disk
    run(room, "predict.py", "run", "--input", "squares", "--out", "renewed", "--frames", 2, "--overwrite")
    assert {name for name in contents(room / "renewed") if not name.startswith(".")} == {
        "frame_0025.png", "frame_0026.png", "prediction.npy", "prediction.png", "prediction.gif", "notes.txt"}
    (room / "renewed" / "frame_0026.png").write_text("mine")
    assert "frame_0026.png): name another folder" in refusal("predict.py", "run", "--input", "squares", "--out", "renewed", "--overwrite")


# one sentence and exit status 2

@pytest.fixture
def refusal(room, monkeypatch, capsys):
    """A function that runs a script's command line, here in this process, and returns the sentence that it ends in."""
    monkeypatch.chdir(room)

    def refused(script, *words):
        monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
        before = sorted(room.rglob("*"))
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(ROOT / "examples" / script), run_name="__main__")
        message = capsys.readouterr().err
        assert left.value.code == 2 and message.count(f"{script}: ") == 1 and message.endswith("\n"), message
        message = message[message.index(f"{script}: "):]  # argparse says how to use it before
        assert message.count("\n") == 1, message
        assert sorted(room.rglob("*")) == before  # nothing written, nothing lost
        return message

    return refused


@pytest.mark.parametrize("words, message", [
    ("", "name a folder of sequences with --data"),
    ("--data nowhere", "nowhere is not there"),
    ("--data squares --patch 16", "patches of 16x16 are larger than frames of 12x16"),
    ("--data squares --patch 0", "patch"),
    ("--data squares --size 4 4 --patch 4", "4x4 are too small to score"),
    ("--data squares --size 8", "--size: expected 2 arguments"),
    ("--data squares --channels 2", "channels is 1 for gray or 3 for colour"),
    ("--data squares --patch 4 --given 20", "a clip of 90 or three of 30, got 4 of at most 24"),
    ("--data squares --out run", "run holds a run"),
    ("--data squares --out squares", "--out squares is the path that --data names, or contains it: name another --out"),
    ("--data squares --out . --overwrite", "--out . is the path that --data names, or contains it"),
    ("--data squares --out squares/clip1", "lies within --data squares and contains files that this program did not write"),
    ("--data squares --out=", "--out: expected a path, got an empty text"),
    ("--out nothing --resume", "nothing to resume"),
    ("--out run --resume --size 8 8", "the run in run has --size"),
    ("--out run --resume --data half_squares", "other data"),
])
def test_training_refuses(room, refusal, words, message):
    if "half_squares" in words:
        save_squares(room / "half_squares", frames=21)
    assert message in refusal("train_sequences.py", *words.split())


@pytest.mark.parametrize("clip, part", [("clip1", "training|validation|test"), ("clip4", "training|validation|test")])
def test_a_clip_that_has_changed_since_is_noticed_on_resuming(room, refusal, clip, part):
    """Each clip, whichever batch it would come in, and those of the test too."""
    shutil.copytree(room / "squares", room / f"other_{clip}")
    for image in (room / f"other_{clip}" / clip).iterdir():
        Image.new("L", (16, 12)).save(image)
    message = refusal("train_sequences.py", "--out", "run", "--resume", "--data", f"other_{clip}")
    assert re.search(rf"was trained on other data than these .what differs: ({part})", message)


@pytest.mark.parametrize("script, words", [
    ("train_sequences.py", "--data squares --hidden 100000"), ("train_sequences.py", "--data squares --size 100000 100000"),
    ("train_sequences.py", "--data squares --kernel 999999"), ("train_sequences.py", "--data squares --patch 4 --batch 10000000000"),
    ("predict.py", "--frames 100000000"), ("predict.py", "run --input squares --frames 1000000000000"),
])
def test_what_no_computer_holds_is_refused_at_once(room, refusal, script, words):
    assert re.search("would take at least|at most 33,554,432|expected a whole number from 1 to 1,000,000,000",
                     refusal(script, *words.split()))


@pytest.mark.parametrize("words, message", [
    ("nowhere --input squares", "no checkpoint at nowhere"),
    ("run --input nowhere", "nowhere is not there"),
    ("run --input squares --clip 5", "has 4 clip(s), got --clip 5"),
    ("run --input squares --frames 0", "expected a whole number from 1 to"),
    ("run --input squares --until noon", "expected the number of a frame, or a time such as 2016-07-13T14:00, got noon"),
    ("run --input squares --until 2016-07-13T14:00", "their times are not known, give --until the number of a frame"),
    ("run --input squares --until 30", "has 24 frame(s), got --until 30: choose one of these"),
    ("run --input short", "has 2 frame(s) and the run was trained to watch 4"),
    ("run --input colour_clip", "cannot take the clip's colour frames of 12x16: convert them with --fit"),
    ("fixed --input large", "cannot take the clip's gray frames of 24x32"),
    ("run --input squares --out held", "held holds files that are not known to be written by this program"),
    ("run --input squares --out held --overwrite", "(frame_0001.png): name another folder"),
    ("run --input squares --out squares --overwrite", "--out squares is the path that --input names, or contains it: name another --out"),
    ("run --input squares --out . --overwrite", "--out . is the path that --input names, or contains it"),
    ("run --input squares --out squares/clip1 --overwrite", "lies within --input squares"),
    ("run --input squares --out squares/new", "lies within --input squares"),
    ("run --input squares --out run --overwrite", "run holds a run, not a prediction"),
    ("run --input squares --out=", "--out: expected a path, got an empty text"),
    ("run --input= --out new", "--input: expected a path, got an empty text"),
])
def test_predicting_refuses(room, refusal, words, message):
    if "short" in words:
        save_squares(room / "short", clips=1, frames=2)
    if "colour_clip" in words:
        save_squares(room / "colour_clip", clips=1, colour=(3,))
    if "large" in words:  # peepholes fix the size of a ConvLSTM
        save_squares(room / "large", clips=1, size=(24, 32))
        run(room, "train_sequences.py", "--data", "squares", "--out", "fixed", *SMALL, "--steps", 1, "--model", "convlstm")
    if "held" in words:
        (room / "held").mkdir(exist_ok=True)
        (room / "held" / "frame_0001.png").touch()
    assert message in refusal("predict.py", *words.split())
