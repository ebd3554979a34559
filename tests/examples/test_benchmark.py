"""The benchmark at tiny sizes: what it reports, that both sides compute the same, and what it says when something is missing.

No time is asserted: a machine under test is never quiet.
"""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.backend import find_device, to_numpy
from tinypredrnn.errors import DeviceError
from tinypredrnn.models.official import export_official, to_official
from tinypredrnn.nn.losses import l1_l2

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))
import benchmark  # noqa: E402
import our_tasks  # noqa: E402
import verify_gpu  # noqa: E402

TINY = dict(hidden=[3, 3], kernel=3, size=[8, 8], patch=4, batch=2, given=2, horizon=2)
CASES = {
    "matrix product": ("matmul", dict(n=64)),
    "copy": ("copy", dict(size=1 << 12)),
    "convolution": ("convolution", dict(channels=2, features=3, kernel=3, size=5, batch=2, backward=True)),
    "gates": ("gates", dict(shape=(2, 4, 4, 3))),
    "gates of an ST-LSTM": ("st_lstm_gates", dict(shape=(2, 4, 4, 3))),
    "generator": ("generator", dict(count=4)),
    "training step": ("training", TINY),
    "inference": ("inference", TINY),
}
KEYS = ["name", "ours", "peer", "ratio", "unit", "floor", "times_the_floor", "rounds"]


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(benchmark, "PAUSE", 0)
    monkeypatch.setattr(benchmark, "TURN", 0)
    monkeypatch.setitem(benchmark.ENVIRONMENT, "PYTHONPATH", str(ROOT))


def measured(tmp_path, with_torch):
    path = tmp_path / "rows.json"
    rows = benchmark.measure([CASES], "cpu", 1, with_torch, rounds=(1, 1), seconds=0, path=path)
    assert rows == json.loads(path.read_text(encoding="utf-8"))
    for row in rows:
        assert list(row) == KEYS and row["rounds"] == 1
        assert row["ours"] > 0 or row["unit"] == "MiB"  # a tiny step finds its memory in what the process had
        assert row["ratio"] == (row["peer"] / row["ours"] if row["peer"] and row["ours"] else None)
        assert row["times_the_floor"] == (row["floor"] and row["ours"] / row["floor"])
        assert benchmark.line(row).startswith(row["name"])
    return {row["name"]: row for row in rows}


def test_rows_without_pytorch_have_no_peer(tmp_path):
    rows = measured(tmp_path, with_torch=False)
    own = {"gates, against ours unfused", "gates of an ST-LSTM, against ours unfused", "generator, against a plain NumPy loop"}
    assert rows.keys() == CASES.keys() - {"gates", "gates of an ST-LSTM", "generator"} | own | {"memory, training step"}
    assert {name for name, row in rows.items() if row["peer"]} == own
    assert {name for name, row in rows.items() if row["floor"]} == rows.keys() - {"matrix product", "copy", "memory, training step"}
    assert rows["memory, training step"]["unit"] == "MiB" and rows["generator, against a plain NumPy loop"]["unit"] == "us/sequence"


def test_rows_with_pytorch(tmp_path):
    pytest.importorskip("torch")
    rows = measured(tmp_path, with_torch=True)
    assert {name for name, row in rows.items() if row["peer"] is not None} == rows.keys() >= {"gates", "gates, against ours unfused"}


def test_a_peer_that_dies_costs_only_its_own_numbers(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(benchmark.ENVIRONMENT, "PYTHONPATH", str(tmp_path))  # where no tinypredrnn is, nor a working torch
    (tmp_path / "torch.py").write_text("raise MemoryError('no room')")
    broken = benchmark.Side("torch_peer.py", "cpu", 1)
    monkeypatch.setitem(benchmark.ENVIRONMENT, "PYTHONPATH", str(ROOT))
    sides = {label: benchmark.Side("our_tasks.py", "cpu", 1) for label in ("ours", "floor")} | {"PyTorch": broken}
    [row] = benchmark.compare("inference", "inference", TINY, sides, rounds=(1, 1), seconds=0)
    assert row["ours"] > 0 and row["peer"] is None and row["ratio"] is None
    assert "no room" in (message := capfd.readouterr().err) and "no answer" in message
    for side in sides.values():
        side.close()
        assert side.process.poll() is not None


def test_our_floor_counts_the_multiplications_of_direct_convolutions():
    _, _, (task, options, times) = our_tasks.inference(**TINY)
    first, second, output = 9 * (19 * 12 + 19 * 9 + 6 * 3) + 6 * 3, 9 * (6 * 12 + 6 * 9 + 6 * 3) + 6 * 3, 3 * 16  # weights of each layer
    assert task == "matmul" and math.isclose(times * options["n"] ** 3, 2 * 3 * 2 * 2 * (first + second + output))  # B, outputs, h, w
    assert math.isclose(our_tasks.training(**TINY)[2][2], 3 * times)
    assert our_tasks.gates((2, 4, 4, 3))[2] == ("copy", {"size": 18 * 96 * 4}, 1)


def test_the_plain_loop_makes_the_very_same_sequences():
    ours, plain = (task(40)[1]() for task in (our_tasks.generator, our_tasks.plain_numpy))
    np.testing.assert_array_equal(ours, plain)


def test_the_peer_computes_the_same_loss_and_gradients():
    torch = pytest.importorskip("torch")
    import torch_peer

    model = tp.build_model("predrnn", size=(8, 12), hidden=(3, 3), kernel=3, patch=4).to(dtype=np.float64)
    frames, truth = np.random.default_rng(0).random((2, 5, 8, 12, 1)), np.array([[1, 1, 0, 1], [1, 1, 1, 0]])
    loss = l1_l2(model.unroll(frames, truth), tp.tensor(frames[:, 1:]))
    loss.backward()

    peer = torch_peer.PredRNN(16, [3, 3], 3).double()
    peer.load_state_dict({name: torch.tensor(a) for name, a in export_official(model).items()})
    patches = torch.tensor(tp.space_to_depth(frames, 4)).permute(0, 1, 4, 2, 3)
    theirs = torch_peer.l1_l2(peer(patches, torch.tensor(truth)), patches[:, 1:])
    theirs.backward()
    assert math.isclose(loss.item(), theirs.item(), rel_tol=1e-12)
    ours = to_official({name: to_numpy(t.grad) for name, t in model.named_tensors() if t.grad is not None})
    for name, p in peer.named_parameters():
        np.testing.assert_allclose(ours[name], p.grad.numpy(), rtol=1e-9, atol=1e-15, err_msg=name)


def test_the_gates_of_both_sides_are_the_same_function():
    torch = pytest.importorskip("torch")
    import torch_peer

    x = np.random.default_rng(0).standard_normal((1, 2, 3, 48))
    pre, c = x[..., :12], x[..., 12:15]
    from_x, from_h, from_m, m = x[..., :21], x[..., 21:33], x[..., 33:42], x[..., 42:45]
    first = np.concatenate([from_x[..., :9], from_x[..., 18:21]], axis=-1) + from_h
    second = from_x[..., 9:18] + from_m
    first[..., 3:6] += 1  # the forget bias: an op there, part of the bias of the convolution here
    second[..., 3:6] += 1
    nchw = lambda a: torch.tensor(np.ascontiguousarray(a)).permute(0, 3, 1, 2)
    nhwc = lambda a: a.permute(0, 2, 3, 1).numpy()
    (i, f, g, o), (i_, f_, g_) = np.split(first, 4, axis=-1), np.split(second, 3, axis=-1)
    theirs = nhwc(torch_peer.st_lstm_output(*map(nchw, (from_x, from_h, from_m, c, m))))
    np.testing.assert_allclose(tp.cells.expose(o, tp.cells.remember(i, f, g, c), tp.cells.remember(i_, f_, g_, m)), theirs, rtol=1e-12)
    ours, _ = our_tasks.lstm(*np.split(pre, 4, axis=-1), c)
    np.testing.assert_allclose(ours, nhwc(torch_peer.lstm_output(nchw(pre), nchw(c))), rtol=1e-12)


def test_pictures(tmp_path):
    row = dict(unit="ms", rounds=1)
    rows = [dict(name=name, ours=2.0, peer=3.0, ratio=1.5, floor=1.0, times_the_floor=2.0, **row)
            for cases in benchmark.GROWTH.values() for name in cases]
    rows.append(dict(name="alone", ours=2.0, peer=None, ratio=None, floor=None, times_the_floor=None, **row))
    benchmark.save_picture(tmp_path / "rows.png", rows)
    benchmark.save_curves(tmp_path / "curves.png", rows)
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("rows.png", "curves.png"))


def script(name, *words):
    process = subprocess.run([sys.executable, ROOT / "examples" / name, *words], env=os.environ | {"PYTHONPATH": str(ROOT)},
                             capture_output=True, text=True, timeout=600)
    return process.returncode, process.stderr.strip()


@pytest.mark.parametrize("name", ["benchmark.py", "verify_gpu.py"])
def test_without_a_gpu_one_sentence_says_so(name):
    try:
        find_device("gpu")
    except DeviceError as error:
        assert script(name, "--device", "gpu") == (2, f"{ROOT / 'examples' / name}: {error}")
    else:
        pytest.skip("this machine has a GPU")


def test_a_name_that_nothing_has_is_refused():
    status, message = script("benchmark.py", "--only", "quantum")
    assert status == 2 and "none of them has quantum" in message and "Traceback" not in message


def test_one_part_that_fails_or_is_late_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    """Tables come last, the summary after them; a part may use what those before it have left over of their time."""
    ends = []

    def part(name, error=None):
        def run(device, out, small, end):
            ends.append(end)
            (out / f"{name}.txt").write_text(f"a table of {name}\n", encoding="utf-8")
            if error:
                raise error
            return f"{device} {small}"

        run.__name__ = name
        return run

    parts = [part("kernels"), part("steps", verify_gpu.Failure("it broke")),
             part("training", RuntimeError("unforeseen")), part("tests", verify_gpu.Late("7 passed")),
             part("benchmark")]
    monkeypatch.setattr(verify_gpu, "PARTS", dict.fromkeys(parts, 100))
    monkeypatch.setattr(sys, "argv", ["verify_gpu.py", "--device", "cpu", "--small", "--out", str(tmp_path / "check")])
    assert verify_gpu.main() == 1
    assert [round(end - ends[0]) for end in ends] == [0, 100, 200, 300, 400]
    summary, printed = (tmp_path / "check" / "summary.txt").read_text(encoding="utf-8"), capsys.readouterr().out
    names = ["kernels", "steps", "training", "tests", "benchmark"]
    lines = summary.splitlines()
    assert [line.split()[0] for line in lines[-5:]] == names and "commit" in summary and summary in printed
    assert [line for line in lines if line.startswith("a table")] == [f"a table of {name}" for name in names]
    assert summary.count("ok ") == 2 and "FAILED  it broke" in summary and "FAILED  RuntimeError: unforeseen" in summary
    assert "LATE    stopped when its time was over: 7 passed" in summary
    monkeypatch.setattr(verify_gpu, "PARTS", {part("benchmark"): 100})
    assert verify_gpu.main() == 0


def test_all_parts_together_end_within_ten_minutes():
    assert sum(verify_gpu.PARTS.values()) + verify_gpu.GRACE * len(verify_gpu.PARTS) <= 600


def test_a_part_is_stopped_with_what_it_has_started_when_its_time_is_over(tmp_path, monkeypatch):
    """First by Ctrl-C, and if that does not help, by force."""
    fcntl = pytest.importorskip("fcntl")
    held = tmp_path / "held"
    child = (f"import fcntl, time; file = open({str(held)!r}, 'a'); fcntl.flock(file, 2); "
             "print('held', file=file, flush=True); time.sleep(600)")
    program = ("import signal, subprocess, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
               f"print('a row', flush=True); subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)")
    monkeypatch.setattr(verify_gpu, "GRACE", 0.1)
    # the time is over once both are there
    monkeypatch.setattr(verify_gpu.time, "monotonic", lambda: 9 * (held.is_file() and held.read_text() == "held\n"))
    status, late = verify_gpu.run(tmp_path / "log", ["-c", program], 1)
    assert late and status == -signal.SIGKILL and (tmp_path / "log").read_text() == "a row\n"
    with open(held) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits for its end
    assert verify_gpu.run(tmp_path / "log", ["-c", "raise SystemExit(3)"], 10) == (3, False)
