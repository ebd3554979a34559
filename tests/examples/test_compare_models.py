"""compare_models.py as people run it: real processes and signals, and the same table whatever happens in between."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from test_examples import LONG, ROOT, contents, environment, save_digits

from tinypredrnn.commands import compare
from tinypredrnn.errors import ConfigError
from tinypredrnn.train import read_checkpoint, read_log

SMALL = ("--size 32 32 --given 3 --horizon 2 --batch 2 --test-sequences 3 --validation-sequences 2 --validate-every 100 "
         "--budget 25 iterations").split()
NETWORKS = "predrnn_m:hidden=4", "predrnn:hidden=4"
FILES = {".lock", ".tinypredrnn.json", "comparison.json", "table.md", "table.csv", "table.png", "frame_curves.png",
         "samples-mnist-2.png", "samples-mnist-3.png"}


# Arguments: the run and the number of steps after which it waits until a file is there, that file, and the script with
# its own. The pictures of the runs, which take longer than all the rest, are not drawn.
PAUSING = """
import os, runpy, sys, time
from tinypredrnn.files import replacing
from tinypredrnn.train import Trainer, scoring, trainer

run, steps, signalled, step = sys.argv[1], int(sys.argv[2]), sys.argv[3], Trainer.step

def pausing_step(self, frames):
    while self.out.name == run and self.iteration == steps and not os.path.exists(signalled):
        time.sleep(0.01)
    return step(self, frames)

def draw(path, *what):
    with replacing(path) as temporary:
        temporary.write_bytes(b"a picture")

Trainer.step = pausing_step
scoring.save_strip = scoring.save_gif = scoring.save_frame_curves = draw
trainer.save_strip = trainer.save_gif = trainer.save_training_curves = draw
sys.argv = sys.argv[4:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start(room, *words, pause=("", 0, "")):
    command = [sys.executable, "-c", PAUSING, *map(str, pause), ROOT / "examples" / "compare_models.py", *map(str, words)]
    variables = environment(room)
    del variables["TINYPREDRNN_CACHE"]  # the usual one, so that kernels are compiled only once
    variables |= {name: value for name, value in os.environ.items() if name == "TINYPREDRNN_CACHE"}
    return subprocess.Popen(command, cwd=room, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, encoding="utf-8")


def run(room, *words):
    """(exit status, stdout, stderr)"""
    process = start(room, *words)
    out, err = process.communicate(timeout=LONG)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with digits in `digits`, as in test_examples."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "digits").mkdir()
    save_digits(folder / "digits" / "train-images-idx3-ubyte.gz", 60, seed=1)
    save_digits(folder / "digits" / "t10k-images-idx3-ubyte.gz", 20, seed=2)
    return folder


@pytest.fixture(scope="module")
def finished(room):
    """The folder of a comparison that nothing disturbed, and what it printed."""
    status, out, err = run(room, *SMALL, "--models", *NETWORKS, "--seeds", 0, 1, "--out", "finished")
    assert status == 0, err
    return room / "finished", out


def table(folder):
    """{row: its columns} of table.csv, without the seconds, which differ from run to run."""
    with open(folder / "table.csv", encoding="utf-8", newline="") as file:
        return {row["network"]: {name: text for name, text in row.items() if not name.startswith("seconds")}
                for row in csv.DictReader(file)}


def scores(folder, name, seed):
    return json.loads((folder / f"{name.replace(':', '_')}-seed-{seed}" / "metrics.json").read_text())


def test_the_table_has_the_scores_of_the_runs(finished):
    folder, out = finished
    rows = table(folder)
    assert list(rows) == [*NETWORKS, "copy last frame", "all black"]
    for name in NETWORKS:
        of_seeds = [scores(folder, name, seed) for seed in (0, 1)]
        for column, (test, metric) in {"ce": ("mnist-2", "ce"), "mse_2": ("mnist-2", "mse"),
                                       "mse_3": ("mnist-3", "mse")}.items():
            values = [entries[test][metric] for entries in of_seeds]
            assert values[0] != values[1]
            assert float(rows[name][column]) == pytest.approx(np.mean(values))
            assert float(rows[name][f"{column}_spread"]) == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
        plan, iteration, parts = read_checkpoint(folder / f"{name.replace(':', '_')}-seed-1")
        assert iteration == 25 == int(rows[name]["iterations"]) and plan.data.digits == 2 and plan.recipe.seed == 1
        assert int(rows[name]["parameters"]) == sum(a.size for a in parts["model"].values())
        # forward, and twice as much backward, for 4 steps of 2 sequences
        assert int(rows[name]["training_multiply_adds"]) == 25 * 2 * 3 * 4 * int(rows[name]["multiply_adds"])
    last = scores(folder, NETWORKS[0], 0)["mnist-3"]["copy_last"]["mse"]
    assert float(rows["copy last frame"]["mse_3"]) == last
    assert rows["predrnn:hidden=4"]["published_mse_2"] == "56.8" and rows["all black"]["published_mse_2"] == ""

    text = (folder / "table.md").read_text(encoding="utf-8")
    assert text in out and "±" in text and "borrowed" in text and "another network" in text.replace("\n", " ")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    apart = lines[0].index("")  # our columns end here, and the published ones begin
    assert len({len(line) for line in lines}) == 1 and all(line[apart] in ("", "---") for line in lines)
    assert [title.startswith("published") for title in lines[0]] == [i > apart for i in range(len(lines[0]))]
    assert lines[3][0] == "predrnn:hidden=4" and lines[3][apart + 1:] == ["97.0", "56.8", "93.4"]


def test_its_folder_has_pictures_of_all_networks(finished):
    folder, _ = finished
    found = {path.name for path in folder.iterdir() if path.is_file()}
    assert found == FILES
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        f"{name.replace(':', '_')}-seed-{seed}" for name in NETWORKS for seed in (0, 1)}
    # two sequences, each with the input, the truth and the two networks, in frames of 96 pixels
    assert 2 * 4 * 96 < Image.open(folder / "samples-mnist-3.png").height < 2 * 5 * 96


# Table 2

RADAR = ("--given 3 --horizon 2 --batch 2 --active 0 --validate-every 100 --budget 3 iterations --models "
         "convlstm:hidden=4 predrnn:hidden=4").split()


def echoes(path):
    """A file of 60 frames with their times, of a square that moves, in bytes which are dBZ times 4."""
    frames = np.zeros((60, 16, 16), np.uint8)
    for t in range(60):
        frames[t, 4:10, t % 10:t % 10 + 6] = 100 + t
    times = np.datetime64("2016-07-01T00:00") + np.arange(60) * np.timedelta64(5, "m")
    np.savez(path, frames=frames, times=times.astype(str))


def test_table_2_from_frames_of_a_radar(room, refused):
    echoes(room / "season.npz")
    words = ["radar", "--data", "season.npz", "--unit", "dBZ", "--values", 0, 60, *RADAR, "--out", "table2"]
    status, out, err = run(room, *words)
    assert status == 0, err
    rows = table(room / "table2")
    assert list(rows) == ["convlstm:hidden=4", "predrnn:hidden=4", "copy last frame", "optical flow", "blur last frame"]
    for name in list(rows)[:2]:
        entry = scores(room / "table2", name, 0)["radar"]
        assert entry["sequences"] < 300  # fewer than are asked for, since the file has no more
        assert [float(rows[name][column]) for column in ("mse", "csi_20", "sharpness")] == [
            entry["mse"], entry["csi_20"], entry["sharpness"]]
        # weights, gradients, moments and the states of all steps, at least
        assert float(rows[name]["memory"]) > 16 * int(rows[name]["parameters"]) and rows[name]["iterations"] == "3"
    assert rows["predrnn:hidden=4"]["published_memory"] == "2367" and rows["optical flow"]["memory"] == ""
    assert float(rows["optical flow"]["mse"]) == entry["flow"]["mse"]
    assert "Guangzhou" in out and "season.npz" in out and (room / "table2" / "samples-radar.png").is_file()

    before = contents(room / "table2" / "predrnn_hidden=4-seed-0")
    status, out, err = run(room, "--out", "table2")  # without repeating any flag, nor the world
    assert status == 0 and "seed 0\n" not in out and table(room / "table2") == rows, err
    assert contents(room / "table2" / "predrnn_hidden=4-seed-0") == before
    assert "is on radar, not on mnist" in refused("mnist", "--out", "table2")


# Stopping and going on

def stop(room, folder, name, steps, number):
    """Go on comparing, and send a signal in the course of a run, after so many steps, for which it waits; (exit status,
    stdout)"""
    log, signalled = room / folder / name / "log.csv", room / f"signalled-{folder}-{name}"
    process = start(room, *SMALL, "--models", *NETWORKS, "--seeds", 0, 1, "--out", folder, pause=(name, steps, signalled))
    try:
        while process.poll() is None and not (log.is_file() and len(read_log(log)["loss"]) >= steps):
            time.sleep(0.005)
        assert process.poll() is None
        process.send_signal(number)
        signalled.touch()
        out, _ = process.communicate(timeout=LONG)
    finally:
        process.kill()
    return process.returncode, out


def test_ctrl_c_and_kill_change_nothing(finished, room):
    folder = room / "disturbed"
    status, out = stop(room, "disturbed", "predrnn_m_hidden=4-seed-0", 10, signal.SIGINT)
    assert status == 130 and "stopped by SIGINT" in out and "--out disturbed" in out
    assert read_checkpoint(folder / "predrnn_m_hidden=4-seed-0")[1] in (10, 11)

    status, _ = stop(room, "disturbed", "predrnn_hidden=4-seed-0", 10, signal.SIGKILL)
    assert status == -signal.SIGKILL and list(table(folder)) == [*NETWORKS, "copy last frame", "all black"]
    first = contents(folder / "predrnn_m_hidden=4-seed-0")
    assert table(folder)["predrnn:hidden=4"]["mse_2"] == "" != table(folder)["predrnn_m:hidden=4"]["mse_2"]
    assert [row["remark"] for row in table(folder).values()][:2] == ["1 of 2 runs are still to come.",
                                                                     "2 of 2 runs are still to come."]

    status, out, err = run(room, "--out", "disturbed")  # without repeating any flag
    assert status == 0, err
    assert table(folder) == table(finished[0])
    assert contents(folder / "predrnn_m_hidden=4-seed-0") == first  # a finished run is not repeated
    assert "\npredrnn_m:hidden=4, seed 0\n" not in out and "\npredrnn_m:hidden=4, seed 1\n" in out
    for name in NETWORKS:
        assert scores(folder, name, 0) == scores(finished[0], name, 0)

    before = contents(folder)
    status, out, err = run(room, "--out", "disturbed")
    assert status == 0 and "seed 0\n" not in out and table(folder) == table(finished[0]), err
    assert {name for name, what in contents(folder).items() if before[name] != what} <= FILES


# What is refused, and what ends one run only

@pytest.fixture
def refused(room, monkeypatch):
    """refused(*words): the sentence with which the command refuses to begin."""
    monkeypatch.setenv("TINYPREDRNN_DATA", str(room / "digits"))
    monkeypatch.chdir(room)

    def refused(*words):
        with pytest.raises(ConfigError) as error:
            compare.main(list(map(str, words)))
        return str(error.value)

    return refused


@pytest.mark.parametrize("words, expected", [
    ("--budget 26 iterations", "began with --budget 25 iterations, not --budget 26 iterations"),
    ("--size 40 40", "began with --size 32 32, not --size 40 40"),
    ("--rate 0.01", "began without --rate 0.01"),
    ("--recipe own", "began with --recipe common, not --recipe own"),
    ("--models predrnn:hiden=4", "unknown option 'hiden'"),
    ("--models predrnn:steps=4", "unknown option 'steps'"),
    ("--models predrnn:hidden=four", "hidden is given like 128,128,128,128, got 'four'"),
    ("--models lstm", "model 'lstm' is unknown"),
])
def test_another_protocol_and_typing_errors_are_refused(finished, refused, words, expected):
    before = contents(finished[0])
    assert expected in refused(*words.split(), "--out", "finished")
    assert contents(finished[0]) == before


@pytest.mark.parametrize("words", ["25", "25 steps", "many seconds", "0 iterations", "1 seconds 2", "1 seconds 2 seconds"])
def test_a_budget_is_a_number_and_its_unit(room, refused, words):
    assert "3e12 multiply-adds 300 seconds" in refused("--budget", *words.split(), "--out", "no")
    assert not (room / "no").exists()


@pytest.mark.parametrize("words", ["--seeds -1", "--seeds x", "--digits 3", "--steps 9", "--preset small"])
def test_wrong_flags(words, capsys):
    with pytest.raises(SystemExit) as leaving:
        compare.main(words.split())
    assert leaving.value.code == 2 and capsys.readouterr().err.strip()


def test_a_network_that_cannot_be_trained_says_so_in_the_table(room):
    networks = ["predrnn:patch=64", "predrnn:hidden=4:rate=1e30", "predrnn:hidden=900", "convlstm:hidden=4"]
    words = [*SMALL[:-3], "--rate-schedule", "constant", "--budget", "4", "iterations", "1e8", "multiply-adds"]
    status, out, err = run(room, *words, "--models", *networks, "--out", "failing")
    assert status == 2 and "Traceback" not in err
    rows = table(room / "failing")
    assert [bool(rows[name]["mse_2"]) for name in networks] == [False, False, False, True]
    assert "patches of 64x64 are larger than frames" in rows[networks[0]]["remark"]
    assert "the loss of iteration" in rows[networks[1]]["remark"]
    assert "does not allow a single iteration" in rows[networks[2]]["remark"]
    text = (room / "failing" / "table.md").read_text(encoding="utf-8")
    assert all(f"{name}: Seed 0 is not trained: " in text for name in networks[:3])
    assert Image.open(room / "failing" / "samples-mnist-2.png").height < 2 * 4 * 96


def test_a_strange_folder_is_left_alone(finished, room, refused):
    (room / "theirs").mkdir()
    (room / "theirs" / "table.csv").write_text("mine")
    assert "table.csv" in refused(*SMALL, "--out", "theirs")
    assert contents(room / "theirs") == {"table.csv": b"mine"}
    assert "holds a run, not a comparison" in refused(*SMALL, "--out", finished[0] / "predrnn_hidden=4-seed-0")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"protocol": {"preset": "slow"}, "networks": {}, "seeds": []}'])
def test_a_damaged_or_edited_plan_is_refused(finished, room, refused, tmp_path, content):
    copy = shutil.copytree(finished[0], tmp_path / "copy")
    (copy / "comparison.json").write_text(content)
    before = contents(copy)
    assert "comparison.json" in refused("--out", copy) and contents(copy) == before


def test_networks_may_be_added(finished, room):
    grown = shutil.copytree(finished[0], room / "grown")
    status, _, err = run(room, "--models", "convlstm:hidden=4", "--out", "grown")
    assert status == 0, err
    rows = table(grown)
    assert list(rows)[:3] == [*NETWORKS, "convlstm:hidden=4"] and rows["convlstm:hidden=4"]["seeds"] == "2"
    assert all(rows[name] == row for name, row in table(finished[0]).items())
