"""The time model of scaling.py, and the command around what it measures."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
spec = importlib.util.spec_from_file_location("scaling", EXAMPLES / "scaling.py")
scaling = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scaling)

ASSUMED = {name: default for name, (default, *_) in scaling.ASSUMED.items()}


def test_a_ring_between_machines_is_as_slow_as_their_network():
    found = scaling.estimate(ASSUMED, 1e-4)
    one, two, *_, many = found["weak"]
    bytes_sent = 2 * 63 / 64 * 4 * found["parameters"]
    assert one["average"] == 0 and two["average"] == pytest.approx(4 * found["parameters"] / 150e9 + 40e-6)
    assert many["gpus"] == 64 and many["average"] == pytest.approx(bytes_sent / 20e9 + 6 * 40e-6)
    assert many["compute"] == one["compute"] == pytest.approx(0.01 + 8 * 2 * found["multiply_adds"] / 50e12)
    assert [step["rows"] for step in found["strong"]] == [64, 32, 16, 8, 4, 2, 1]


def test_input_is_hidden_unless_it_is_the_slowest():
    step = {"rows": 8, "input": 0.02, "compute": 0.1, "average": 0.04}
    assert scaling.seconds_of(step) == pytest.approx(0.14) and scaling.seconds_of(step, overlap=True) == pytest.approx(0.1)
    assert scaling.seconds_of(step | {"input": 1.0}) == 1
    assert scaling.efficiencies([step, step | {"rows": 4}]) == pytest.approx([1, 0.5])


def test_medians_of_several_rounds_are_printed_and_drawn(monkeypatch, tmp_path, capsys):
    rounds = {1: iter([0.3, 0.1, 0.2]), 2: iter([0.16, 0.12, 0.1])}
    monkeypatch.setattr(scaling, "launch", lambda n, steps: {"threads": 2 // n, "rows": 8 // n, "input": 0.001, "compute": 0.1 / n,
                                                             "average": 0.01 * (n - 1), "iteration": next(rounds[n]), "cores": 0.2,
                                                             "weights": np.array([3.0, 4.0 + 5e-6 * (n - 1)])})
    assert scaling.main(["--processes", "1", "2", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "2 processes do an iteration in 0.60 of the time of one process: the processes are faster here." in printed
    assert "After 44 iterations in float32, the weights differ from those of 1 process(es): 2 processes by 1.0e-06 of their" in printed
    assert "estimated, not measured" in printed and (tmp_path / "out" / "scaling.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "out" / "scaling.json").read_text())["measured"]["2"]["iteration"] == 0.12
