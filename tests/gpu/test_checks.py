"""examples/gpu_checks.py: what it prints and decides, with small shapes, on a GPU or an emulated one."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import gpu_checks  # noqa: E402


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(gpu_checks, "SHAPES", [(1, 4, (4, 4), 3, 4)])
    monkeypatch.setattr(gpu_checks, "STEPS", 3)
    monkeypatch.setattr(gpu_checks, "REPEATS", 1)
    monkeypatch.setattr(gpu_checks, "NETWORK", dict(size=(32, 32), hidden=(4,), kernel=1, patch=16, given=1, horizon=2, batch=1))


def check(monkeypatch, tmp_path, *words):
    monkeypatch.setattr(sys, "argv", ["gpu_checks.py", *words, "--json", str(tmp_path / "rows.json")])
    return gpu_checks.main(), json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))


def test_kernels(gpu, monkeypatch, tmp_path, capsys):
    status, rows = check(monkeypatch, tmp_path, "kernels", "--device", gpu)
    assert status == 0 and "all errors are within their bounds" in capsys.readouterr().out
    assert [row["precision"] for row in rows] == ["fp32", "tf32", "bf16"]
    assert all(row["faster"] in ("own kernel", "cuBLAS") and row["own kernel"]["ms"] > 0 and row["float64"] < 1e-10 for row in rows)
    monkeypatch.setitem(gpu_checks.BOUNDS, "tf32", 1e-7)
    assert check(monkeypatch, tmp_path, "kernels", "--device", gpu)[0] == 1


def test_steps(gpu, monkeypatch, tmp_path, capsys):
    status, rows = check(monkeypatch, tmp_path, "steps", "--device", gpu)
    assert status == 0 and [row["name"] for row in rows] == ["graph", "op by op", "graph, bf16"] and "fine" in capsys.readouterr().out
    monkeypatch.setattr(gpu_checks, "MAX_DIFFERENCE", -1)
    assert check(monkeypatch, tmp_path, "steps", "--device", gpu)[0] == 1
