"""The scripts as people run them: real processes, real signals, and one sentence for whatever goes wrong."""

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tinypredrnn.backend import find_device
from tinypredrnn.errors import DeviceError
from tinypredrnn.train import read_checkpoint, read_log, read_plan
from tinypredrnn.train.checkpoint import checksum

ROOT = Path(__file__).parents[2]
LONG = 600  # seconds: the end of a test that hangs, never of one on a busy machine
SMALL = ("--size 32 32 --hidden 4 --kernel 3 --patch 8 --steps 6 --batch 2 --given 3 --horizon 3 --validate-every 3 --sampling-until 4 "
         "--test-sequences 4").split()
TRAIN, TEST = "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"


def save_digits(path, count, seed):
    """An idx file of blots, as MNIST's files are made."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28), np.uint8)
    for image, (y, x, h, w) in zip(images, rng.integers(4, 12, (count, 4))):
        image[y:y + h, x:x + w] = 255
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, count, 28, 28) + images.tobytes(), mtime=0))


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with digits in `digits` and an empty cache, and the environment of a computer that has nothing else: no network either."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "digits").mkdir()
    save_digits(folder / "digits" / TRAIN, 60, seed=1)
    save_digits(folder / "digits" / TEST, 20, seed=2)
    return folder


def environment(room, **more):
    nowhere = "http://127.0.0.1:9"  # a port that refuses at once, where a name to be looked up may take long
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy") and name != "TINYPREDRNN_DATA"}
    return kept | {
        "PYTHONPATH": str(ROOT), "TINYPREDRNN_CACHE": str(room / "cache"), "TINYPREDRNN_DATA": str(room / "digits"),
        "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1",
    } | more  # fmt: skip


def start(room, script, *words, **variables):
    return subprocess.Popen([sys.executable, ROOT / "examples" / script, *map(str, words)], cwd=room, env=environment(room, **variables),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")


def run(room, script, *words, **variables):
    """(exit status, stdout, stderr)"""
    process = start(room, script, *words, **variables)
    out, err = process.communicate(timeout=LONG)
    return process.returncode, out, err


def sentence(script, result):
    """The one line that a refusal consists of, without the script's name."""
    status, _, err = result
    assert status == 2 and "Traceback" not in err, err
    lines = [m[1] for m in re.finditer(rf"^(?:\S*[/\\])?{script}: (.+)$", err, re.MULTILINE)]
    assert len(lines) == 1, err
    return lines[0]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def weights_and_moments(out):
    _, iteration, parts = read_checkpoint(out)
    return iteration, {(part, name): a.tobytes() for part in ("model", "optimiser") for name, a in parts[part].items()}


@pytest.fixture(scope="module")
def finished(room):
    """The folder of a small run that came to its end, and what it printed."""
    status, out, err = run(room, "train_mnist.py", *SMALL, "--out", "finished")
    assert status == 0, err
    return room / "finished", out, err


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "run")


# What a run leaves behind

FILES = {".lock", ".tinypredrnn.json", "best.npz", "checkpoint.npz", "checkpoint-previous.npz", "config.json", "log.csv", "curves.png",
         "frame_curves.png", "metrics.json", "prediction.png", "prediction.gif",
         *(f"pictures/{i:06d}.{kind}" for i in (3, 6) for kind in ("png", "gif"))}  # fmt: skip


def test_a_run_writes_its_folder_and_tells_what_it_found(finished, room):
    folder, out, err = finished
    assert contents(folder).keys() == FILES
    assert "predrnn with" in out and "6 steps of 2 sequences" in out and f"digits: MNIST from {room / 'digits'}" in out
    assert "copy last frame" in out and re.search(r"MSE is \d+\.\d\d of copying the last frame and \d+\.\d\d of black", out)
    assert "6/6" in err and "scoring" not in err and err.count("\r") < 5  # no screen, no flood
    assert read_log(folder / "log.csv")["iteration"] == list("123456")
    assert read_plan(json.loads((folder / "config.json").read_text())) == read_checkpoint(folder)[0]


def check_entry(entry, sequences=4, horizon=3):
    for name in ("mse", "mae", "ce", "psnr", "ssim"):
        per_frame = entry[f"{name}_per_frame"]
        assert len(per_frame) == horizon and entry[name] == pytest.approx(np.mean(per_frame)) and np.isfinite(per_frame).all()
    assert entry["mse"] > 0 and entry["copy_last_mse"] > 0 and entry["black_mse"] > 0 and entry["sequences"] == sequences


def test_metrics_of_the_run(finished, room):
    entries = json.loads((finished[0] / "metrics.json").read_text())
    assert entries.keys() == {"mnist-2"} and entries["mnist-2"]["iteration"] == 6
    check_entry(entries["mnist-2"])
    assert entries["mnist-2"]["digits_from"] == f"MNIST from {room / 'digits'}" and entries["mnist-2"]["protocol"] == "float"


def test_evaluate_adds_another_test_set(copy_of_finished, room):
    before = contents(copy_of_finished)
    status, out, err = run(room, "evaluate.py", copy_of_finished, "--digits", 3, "--sequences", 2, "--protocol", "official")
    assert status == 0 and "digits: MNIST from" in out and "mnist-3, 2 test sequences of step" in out and err == ""
    after = contents(copy_of_finished)
    assert after.keys() - before.keys() == {"prediction-mnist-3.png", "prediction-mnist-3.gif", "frame_curves-mnist-3.png",
                                            ".lock-scoring"}
    assert {name for name in before if before[name] != after[name]} == {"metrics.json", ".tinypredrnn.json"}
    entries = json.loads(after["metrics.json"])
    assert list(entries) == ["mnist-2", "mnist-3"] and entries["mnist-2"] == json.loads(before["metrics.json"])["mnist-2"]
    check_entry(entries["mnist-3"], sequences=2)
    assert entries["mnist-3"]["protocol"] == "official"

    # Scored again, and with --data-dir, the run's own test set gives the very numbers that training gave.
    status, _, err = run(room, "evaluate.py", copy_of_finished, "--data-dir", "digits", TINYPREDRNN_DATA="")
    assert status == 0, err
    assert json.loads((copy_of_finished / "metrics.json").read_text()) == entries


def test_overwriting_is_refused_until_told(copy_of_finished, room):
    before = contents(copy_of_finished)
    (copy_of_finished / "notes.txt").write_text("mine")
    message = sentence("train_mnist.py", run(room, "train_mnist.py", *SMALL, "--out", copy_of_finished))
    assert "--resume" in message and "--overwrite" in message and "--out" in message
    assert contents(copy_of_finished) == before | {"notes.txt": b"mine"}
    words = ["--out", copy_of_finished, "--overwrite", "--steps", 1, "--seed", 1]
    refused = sentence("train_mnist.py", run(room, "train_mnist.py", *SMALL, *words, "--device", "gpu:99"))
    assert "GPU" in refused and contents(copy_of_finished) == before | {"notes.txt": b"mine"}  # nothing is lost for nothing
    status, _, err = run(room, "train_mnist.py", *SMALL, *words)
    assert status == 0, err
    after = contents(copy_of_finished)
    assert after.keys() == {name for name in FILES if not name.startswith("pictures")} | {
        "notes.txt", "pictures/000001.png", "pictures/000001.gif"}
    assert read_checkpoint(copy_of_finished)[:2] == (read_checkpoint(copy_of_finished)[0].replace(seed=1, steps=1), 1)


# Stopping and going on


PAUSING = """
import os, runpy, sys, time
from tinypredrnn.train import Trainer

steps, signalled, step = int(sys.argv[1]), sys.argv[2], Trainer.step

def pausing_step(self, frames):
    while self.iteration == steps and not os.path.exists(signalled):
        time.sleep(0.01)
    return step(self, frames)

Trainer.step = pausing_step
sys.argv = sys.argv[3:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def stop(room, steps, number, *words):
    """Train, and send a signal after so many steps, for which the run waits; (exit status, stdout, stderr)"""
    log, signalled = room / "disturbed" / "log.csv", room / f"signalled-{steps}"
    command = [sys.executable, "-c", PAUSING, str(steps), signalled, ROOT / "examples" / "train_mnist.py", *map(str, words)]
    process = subprocess.Popen(command, cwd=room, env=environment(room), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               encoding="utf-8")
    while process.poll() is None and not (log.is_file() and len(read_log(log)["loss"]) >= steps):
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()
    process.send_signal(number)
    signalled.touch()
    out, err = process.communicate(timeout=LONG)
    return process.returncode, out, err


def test_ctrl_c_sigterm_and_kill_then_resume_end_where_the_undisturbed_run_ends(room):
    words = [*SMALL, "--steps", 300, "--validate-every", 1000, "--sampling-until", 250, "--test-sequences", 1]
    undisturbed = start(room, "train_mnist.py", *words, "--out", "undisturbed")
    folder, resume = room / "disturbed", ["--resume", "--out", "disturbed"]

    status, out, err = stop(room, 10, signal.SIGINT, *words, "--out", "disturbed")
    first, _ = weights_and_moments(folder)
    assert status == 130 and f"stopped by SIGINT after step {first}" in out and "--resume --out disturbed" in out
    assert "Traceback" not in err and first == 11 and len(read_log(folder / "log.csv")["loss"]) == first
    assert (folder / "curves.png").is_file() and not (folder / "metrics.json").exists()

    status, out, err = stop(room, first + 10, signal.SIGTERM, *resume)
    second, _ = weights_and_moments(folder)
    assert status == 143 and "stopped by SIGTERM" in out and "Traceback" not in err and second == first + 11
    assert f"{300 - first} steps of 2 sequences" in out

    status, _, _ = stop(room, second + 10, signal.SIGKILL, *resume)
    assert status == -signal.SIGKILL and weights_and_moments(folder)[0] == second  # what was not saved is lost, and no more

    status, out, err = run(room, "train_mnist.py", *resume)
    assert status == 0, err
    out, err = undisturbed.communicate(timeout=LONG)
    assert undisturbed.returncode == 0, err
    assert weights_and_moments(folder) == weights_and_moments(room / "undisturbed") and weights_and_moments(folder)[0] == 300
    logs = [read_log(room / name / "log.csv") for name in ("disturbed", "undisturbed")]
    assert all(logs[0][column] == logs[1][column] for column in logs[0] if column != "seconds")
    results = [json.loads((room / name / "metrics.json").read_text()) for name in ("disturbed", "undisturbed")]
    assert results[0] == results[1]


def test_resume_of_a_finished_run_scores_it_again_and_more_steps_go_on(copy_of_finished, room):
    before, log = weights_and_moments(copy_of_finished), (copy_of_finished / "log.csv").read_bytes()
    (copy_of_finished / "metrics.json").unlink()
    status, out, err = run(room, "train_mnist.py", *SMALL, "--resume", "--out", copy_of_finished)  # the same flags again are fine
    assert status == 0 and "0 steps of 2 sequences" in out, err
    assert weights_and_moments(copy_of_finished) == before and (copy_of_finished / "log.csv").read_bytes() == log
    check_entry(json.loads((copy_of_finished / "metrics.json").read_text())["mnist-2"])
    status, out, err = run(room, "train_mnist.py", "--resume", "--out", copy_of_finished, "--steps", 8)
    assert status == 0 and "2 steps of 2 sequences" in out and "the cosine of the learning rate now ends at step 8" in out, err
    assert json.loads((copy_of_finished / "metrics.json").read_text())["mnist-2"]["iteration"] in (3, 6, 8)
    assert read_checkpoint(copy_of_finished)[1] == 8 and json.loads((copy_of_finished / "config.json").read_text())["recipe"]["steps"] == 8
    assert (copy_of_finished / "log.csv").read_bytes().startswith(log)


def test_a_rate_that_explodes_keeps_what_was_saved(room):
    words = "--rate 1e30 --rate-schedule constant --out exploded".split()
    message = sentence("train_mnist.py", run(room, "train_mnist.py", *SMALL, *words))
    assert "iteration 2" in message and "--rate" in message and re.search(r"\(\w+\(.*\) made NaN or infinity", message)
    _, iteration, parts = read_checkpoint(room / "exploded")
    assert iteration == 0 and all(np.isfinite(a).all() for a in parts["model"].values())


def test_the_shortest_run_with_nothing_but_a_pen(room):
    words = "--size 32 32 --hidden 2 --steps 1 --batch 1 --given 1 --horizon 1 --digits 1 --test-sequences 1 --model convlstm".split()
    status, out, err = run(room, "train_mnist.py", *words, "--out", "pen", TINYPREDRNN_DATA="")
    assert status == 0 and "digits: drawn digits" in out, err
    assert err.count("MNIST could not be downloaded") == 1
    entry = json.loads((room / "pen" / "metrics.json").read_text())["mnist-1"]
    check_entry(entry, sequences=1, horizon=1)
    assert entry["digits_from"] == "drawn digits"
    message = sentence("train_mnist.py", run(room, "train_mnist.py", "--resume", "--steps", 2, "--out", "pen"))
    assert "trained on other data" in message and read_checkpoint(room / "pen")[1] == 1


# Alone in a folder, and what ends a run from outside


def test_a_second_program_in_the_folder_of_a_training_is_refused(room):
    first = start(room, "train_mnist.py", *SMALL, "--steps", 100_000, "--out", "busy")
    log = room / "busy" / "log.csv"
    while first.poll() is None and not (log.is_file() and len(read_log(log)["loss"]) >= 3):
        time.sleep(0.01)
    for words in (["--resume"], ["--overwrite", *SMALL]):
        assert "another program is writing into busy" in sentence("train_mnist.py", run(room, "train_mnist.py", "--out", "busy", *words))
    assert "another program is writing into busy" in sentence("evaluate.py", run(room, "evaluate.py", "busy", "--sequences", 1))
    assert first.poll() is None and not (room / "busy" / "metrics.json").exists()
    first.kill()
    first.communicate()
    status, _, err = run(room, "train_mnist.py", "--resume", "--out", "busy", "--steps", read_checkpoint(room / "busy")[1] + 1)
    assert status == 0, err  # nothing has to be unlocked
    assert not list((room / "busy").rglob(".unfinished*"))


def test_a_damaged_checkpoint_costs_one_line_and_the_steps_since_the_one_before(copy_of_finished, room):
    expected = weights_and_moments(copy_of_finished)
    os.truncate(copy_of_finished / "checkpoint.npz", 1000)
    message = f"{copy_of_finished / 'checkpoint.npz'} is damaged or missing: checkpoint-previous.npz is read instead, of step 3\n"
    (copy_of_finished / "best.npz").unlink()
    status, _, err = run(room, "evaluate.py", copy_of_finished, "--sequences", 1)
    assert (status, err) == (0, message) and json.loads((copy_of_finished / "metrics.json").read_text())["mnist-2"]["iteration"] == 3
    status, out, err = run(room, "train_mnist.py", "--resume", "--out", copy_of_finished)
    assert status == 0 and err.startswith(message) and err.count("instead") == err.count("kept as checkpoint-damaged.npz") == 1
    assert "3 steps of 2 sequences" in out
    assert weights_and_moments(copy_of_finished) == expected


LIMITED = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); " \
          "sys.argv = sys.argv[2:]; sys.path.insert(0, sys.argv[0].rpartition('/')[0]); runpy.run_path(sys.argv[0], run_name='__main__')"


def test_a_disk_that_is_full_costs_nothing_that_was_saved(copy_of_finished, room):
    """No file may be larger than half a checkpoint, where Linux answers as where there is no space."""
    before = contents(copy_of_finished)
    words = [ROOT / "examples" / "train_mnist.py", "--resume", "--out", copy_of_finished, "--steps", 30]
    done = subprocess.run([sys.executable, "-c", LIMITED, str(len(before["checkpoint.npz"]) // 2), *map(str, words)], cwd=room,
                          env=environment(room), capture_output=True, text=True, timeout=LONG)
    message = sentence("train_mnist.py", (done.returncode, done.stdout, done.stderr))
    assert "File too large" in message and str(copy_of_finished) in message
    after = contents(copy_of_finished)
    assert all(after[name] == before[name] for name in ("checkpoint.npz", "checkpoint-previous.npz"))
    assert {name.split("/")[0] for name in after.keys() - before.keys()} <= {"pictures"} and not any("unfinished" in name for name in after)


def test_a_folder_that_may_not_be_written_to(copy_of_finished, room):
    if os.geteuid() == 0:  # who may write anywhere, but not to where there is no place for files
        message = sentence("train_mnist.py", run(room, "train_mnist.py", *SMALL, "--out", "/proc/run"))
        assert "/proc/run" in message
    else:
        copy_of_finished.chmod(0o500)
        message = sentence("train_mnist.py", run(room, "train_mnist.py", "--resume", "--out", copy_of_finished, "--steps", 8))
        copy_of_finished.chmod(0o700)
        assert "Permission denied" in message and str(copy_of_finished) in message


def test_sigterm_while_scoring_leaves_with_the_same_status(copy_of_finished, room):
    process = start(room, "train_mnist.py", "--resume", "--out", copy_of_finished, "--test-sequences", 5000, PYTHONUNBUFFERED="1")
    assert any("0 steps of 2 sequences" in line for line in iter(process.stdout.readline, ""))
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 143 and "Traceback" not in err and "copy last frame" not in out


@pytest.mark.parametrize("first, second, status", [
    (signal.SIGHUP, None, 129), (signal.SIGHUP, signal.SIGHUP, 129), (signal.SIGTERM, signal.SIGTERM, 143),
    (signal.SIGINT, signal.SIGTERM, 130),
])
def test_whatever_asks_it_to_stop_once_or_twice_the_run_is_saved(room, first, second, status):
    """Both signals arrive within one step, which is as long as it takes to send them: the step itself sends them."""
    folder = room / f"stopped-{first.name}-{second and second.name}"
    code = ("import os, runpy, sys; from tinypredrnn.train import Trainer; step = Trainer.step; numbers = eval(sys.argv.pop(1))\n"
            "def sending(self, frames):\n"
            "    loss = step(self, frames)\n"
            "    if self.iteration == 4: [os.kill(os.getpid(), number) for number in numbers]\n"
            "    return loss\n"
            "Trainer.step = sending; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0].rpartition('/')[0])\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')")
    numbers = [int(number) for number in (first, second) if number]
    words = [code, str(numbers), ROOT / "examples" / "train_mnist.py", *SMALL, "--steps", "1000", "--out", folder]
    done = subprocess.run([sys.executable, "-c", *map(str, words)], cwd=room, env=environment(room), capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == status and f"stopped by {first.name} after step 4, all saved" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr and read_checkpoint(folder)[1] == 4


def test_under_nohup_a_closed_terminal_ends_nothing(room):
    words = [sys.executable, ROOT / "examples" / "train_mnist.py", *SMALL, "--out", "nohup"]
    process = subprocess.Popen(["nohup", *map(str, words)], cwd=room, env=environment(room), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert any("6 steps of 2 sequences" in line for line in iter(process.stdout.readline, ""))
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def test_a_second_training_after_rm_rf_has_the_folder_for_itself(room):
    """The first says that it stops, does not say that all is saved, and changes nothing of the second's."""
    words = [*SMALL, "--validate-every", 1000, "--out", "removed"]
    first = start(room, "train_mnist.py", *words, "--steps", 100_000)
    log = room / "removed" / "log.csv"
    while first.poll() is None and not (log.is_file() and len(read_log(log)["loss"]) >= 3):
        time.sleep(0.01)
    shutil.rmtree(room / "removed")
    status, _, err = run(room, "train_mnist.py", *words, "--seed", 1)
    assert status == 0, err
    before = contents(room / "removed")
    first.send_signal(signal.SIGTERM)  # it would save now
    out, err = first.communicate(timeout=60)
    assert "is not the folder any more that was written into" in sentence("train_mnist.py", (first.returncode, out, err))
    assert "all saved" not in out and contents(room / "removed") == before
    assert read_checkpoint(room / "removed")[0].recipe.seed == 1


# What is refused: words, and what the sentence says

REFUSED_BY_TRAIN = {
    "patches larger than the frames": ("--patch 64", "patches of 64x64 are larger than frames of 32x32"),
    "a canvas smaller than a digit": ("--size 24 24", "canvas"),
    "a size of one number": ("--size 32", "--size: expected 2 arguments"),
    "colour": ("--channels 3", "unrecognized arguments: --channels 3"),
    "an even kernel": ("--kernel 4", "the kernel must be odd"),
    "no width": ("--hidden 0", "--hidden is at least 1"),
    "unequal widths for the zigzag": ("--model predrnn_m --hidden 4 5", "equal widths, got --hidden="),
    "more test sequences than there are": ("--test-sequences 6000", "--test-sequences is at most 5000"),
    "a rate that is no number": ("--rate nan", "--rate is given like"),
    "no batch": ("--batch 0", "--batch is at least 1"),
    "a GPU that is not there": ("--device gpu:99", "GPU"),
    "a device that does not exist": ("--device toaster", "expected cpu, gpu, gpu:N or auto"),
    "nothing to resume": ("--resume", "nothing to resume"),
    "no folder of digits": ("--data-dir nowhere", "train-images"),
    "a truncated training file": ("--data-dir truncated", "cannot be read"),
    "a truncated test file, before any training": ("--data-dir truncated-test", "cannot be read"),
    "labels for images": ("--data-dir labels", "begin with 00 00 08 03"),
    "a file for a folder": ("--out notes.txt", "is a file"),
    "no folder": ("--out=", "--out: expected a path, got an empty text"),
    "a foreign file where a run's would be": ("--overwrite --out foreign", "not known to be written by this program.*config.json"),
    "a link where the pictures would be": ("--overwrite --out linked", "not known to be written by this program.*pictures"),
    "a prediction's folder": ("--overwrite --out predicted", "holds a prediction, not a run"),
    "a folder below a file": ("--out notes.txt/run", "notes.txt"),
    "an unknown choice": ("--model lstm", "argument --model: invalid choice"),
    "an unknown flag": ("--colour", "unrecognized arguments: --colour"),
    "to resume and to overwrite": ("--resume --overwrite", "not allowed with"),
    "to resume a run as another": ("--resume --out finished --hidden 5", "has --hidden \\(4,\\), not \\(5,\\)"),
    "to resume as another preset": ("--resume --out finished --preset paper", "has .*go on with it without this option"),
    "to resume for fewer steps": ("--resume --out finished --steps 3", "has done 6 steps already"),
    "to resume with other digits": ("--resume --out finished --data-dir others", "trained on other data"),
    "to resume what is damaged": ("--resume --out damaged", "is damaged"),
}  # fmt: skip
REFUSED_BY_EVALUATE = {
    "no run": ("nowhere", "is not a folder"),
    "an empty text": ("''", "run: expected a path, got an empty text"),
    "a file": ("finished/checkpoint.npz", "is not a folder"),
    "a folder without a run": ("digits", "no checkpoint at"),
    "a damaged checkpoint": ("damaged", "is damaged"),
    "another model's weights": ("mixed", "load_state_dict"),
    "damaged metrics": ("finished-damaged-metrics", "metrics.json is damaged: move it elsewhere"),
    "no digits": ("finished --digits 0", "--digits is at least 1"),
    "no sequences": ("finished --sequences 0", "--sequences is at least 1"),
    "too many sequences": ("finished --sequences 5001", "--sequences is at most 5000"),
    "an unknown protocol": ("finished --protocol strict", "argument --protocol: invalid choice"),
    "a GPU that is not there": ("finished --device gpu:99", "GPU"),
    "nothing said": ("", "arguments are required: run"),
}
REFUSED = {
    **{("train_mnist.py", name): case for name, case in REFUSED_BY_TRAIN.items()},
    **{("evaluate.py", name): case for name, case in REFUSED_BY_EVALUATE.items()},
}


@pytest.fixture(scope="module")
def refusals(room, finished):
    """What all of them came to, two processes at a time: {(script, name): (exit status, stdout, stderr)}, and the room before and after."""
    digits = room / "digits"
    for name, train, test in (("truncated", 100, None), ("truncated-test", None, 100)):
        (room / name).mkdir()
        (room / name / TRAIN).write_bytes((digits / TRAIN).read_bytes()[:train])
        (room / name / TEST).write_bytes((digits / TEST).read_bytes()[:test])
    (room / "labels").mkdir()
    for name in (TRAIN, TEST):
        (room / "labels" / name).write_bytes(gzip.compress(struct.pack(">2I", 0x801, 60) + bytes(60)))
    (room / "others").mkdir()
    save_digits(room / "others" / TRAIN, 60, seed=3)
    save_digits(room / "others" / TEST, 20, seed=4)
    (room / "notes.txt").write_text("mine")
    for name in ("foreign", "linked", "photographs"):
        (room / name).mkdir()
        (room / name / "config.json" if name == "foreign" else room / name / "notes.txt").write_text("mine")
    (room / "linked" / "pictures").symlink_to(room / "photographs")
    assert run(room, "predict.py", "--frames", 1, "--out", "predicted")[0] == 0
    (room / "damaged").mkdir()
    (room / "damaged" / "checkpoint.npz").write_bytes((finished[0] / "checkpoint.npz").read_bytes()[:-300])
    (room / "finished-damaged-metrics").mkdir()
    shutil.copy(finished[0] / "checkpoint.npz", room / "finished-damaged-metrics")
    (room / "finished-damaged-metrics" / "metrics.json").write_text('{"mnist-2": {')
    (room / "mixed").mkdir()
    with np.load(finished[0] / "checkpoint.npz") as file:
        options = json.loads(str(file["config"]))
        options["model"]["hidden"] = [5]
        arrays = {name: file[name] for name in file.files if name != "checksum"} | {"config": json.dumps(options)}
    np.savez(room / "mixed" / "checkpoint.npz", **arrays, checksum=checksum(arrays))

    def refuse(item):
        (script, name), (words, _) = item
        if script == "train_mnist.py":
            small = [] if "finished" in words or "damaged" in words else SMALL
            words = [*small, "--out", "refused-" + name.replace(" ", "-"), *words.split()]
        else:
            words = shlex.split(words)
        return (script, name), run(room, script, *words)

    before = contents(room)
    with ThreadPoolExecutor(2) as pool:
        results = dict(pool.map(refuse, REFUSED.items()))
    return results, before, contents(room)


@pytest.mark.parametrize("script, name", REFUSED, ids=lambda word: word.replace(" ", "-"))
def test_refused_in_one_sentence(refusals, script, name):
    message = sentence(script, refusals[0][script, name])
    assert re.search(REFUSED[script, name][1], message), message


def test_refusing_changes_nothing(refusals, room):
    _, before, after = refusals
    assert after.keys() == before.keys() and after == before
    assert not list(room.glob("refused-*"))


def test_gpu_without_cupy_is_one_sentence(room):
    try:
        find_device("gpu")
    except DeviceError:
        message = sentence("train_mnist.py", run(room, "train_mnist.py", *SMALL, "--device", "gpu", "--out", "no-gpu"))
        assert "--device cpu" in message and not (room / "no-gpu").exists()
    else:
        pytest.skip("there is a GPU here")


@pytest.mark.parametrize("script", ["train_mnist.py", "evaluate.py"])
def test_help_shows_every_option_with_its_help(room, script):
    status, out, err = run(room, script, "--help", COLUMNS="400")
    assert status == 0 and err == ""
    options = re.findall(r"^  (-\S.*?)(?: {2,}|\n {20,})(\S.*)$", out, re.MULTILINE)  # a long one has its help on the next line
    assert len(options) == len(re.findall("^  -", out, re.MULTILINE)) >= 6
    assert all(len(text) > 10 and not text.startswith("-") for _, text in options), options
    assert "%%" not in out
