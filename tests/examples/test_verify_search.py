"""The random search, small: that it finds nothing here, and that it would."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import random_programs  # noqa: E402
import verify_search  # noqa: E402

import tinypredrnn as tp  # noqa: E402
from tinypredrnn.autograd import convolution  # noqa: E402


def found(kind, numbers):
    """What is wrong with these cases."""
    return [what for number in numbers if (what := verify_search.KINDS[kind](0, number))]


@pytest.mark.parametrize(("kind", "count"), [("programs", 200), ("fused", 100), ("convolutions", 60)])
def test_nothing_is_wrong(kind, count):
    assert verify_search.search(verify_search.KINDS[kind], seed=1, numbers=range(count)) == []


# teeth

def test_a_wrong_rule_is_found(monkeypatch):
    monkeypatch.setitem(tp.tanh.rules, "x", lambda dy, y: dy * (1 - y * y) * 1.0001)
    assert any(what.startswith("gradient") and "= tanh" in what for what in found("programs", range(150)))


def test_a_wrong_value_is_found_and_shown_up_to_its_step(monkeypatch):
    monkeypatch.setattr(verify_search.TINYPREDRNN, "softmax", lambda x, axis: tp.softmax(x, axis=axis) * (1 + 1e-6))
    wrong = [what for what in found("programs", range(150)) if "softmax" in what.rsplit(";", 1)[-1]]
    assert wrong and all(what.startswith("value") for what in wrong)


def test_a_wrong_kernel_is_found(monkeypatch):
    """Of a function that a trace sees as another one than tensors do."""
    right = random_programs.FUNCTIONS["tanh"]
    monkeypatch.setitem(random_programs.FUNCTIONS, "tanh",
                        lambda m, a: right(m, a) * (1 if isinstance(a, tp.Tensor) or torch.is_tensor(a) else 1.001))
    verify_search.draw_fused.cache_clear()
    with_tanh = next(n for n in range(100) if "tanh" in [name for name, *_ in verify_search.draw_fused(0, n)[3]])
    first = with_tanh * verify_search.TOGETHER
    assert any(what.startswith("fused: value") for what in found("fused", range(first, first + 10)))


@pytest.mark.parametrize("name", ["pair", "transposed"])
def test_a_wrong_gradient_of_convolution_is_found(monkeypatch, name):
    right = getattr(convolution, name)
    monkeypatch.setattr(convolution, name, lambda *given: right(*given) * (1 + 1e-4))
    assert any("gradient" in what and "conv2d" in what for what in found("convolutions", range(40)))


def die(seed, number):
    return os.abort() if number == 21 else "wrong" if number == 3 else None


def test_a_crash_is_a_wrong_case():
    (first, what), (second, died) = verify_search.search(die, 0, range(40), jobs=2)
    assert (first, what, second) == (3, "wrong", 21) and "the process died" in died


# the search itself

def test_a_case_depends_on_its_number_only():
    for draw in range(5):
        drawn = [verify_search.draw_program(np.random.default_rng([0, 0, draw])) for _ in range(2)]
        (inputs, steps), (again, same) = drawn
        assert str(steps) == str(same) and all(np.array_equal(a, b) for a, b in zip(inputs, again, strict=True))


def test_every_op_is_drawn():
    drawn = {name for n in range(400) for name, _, _ in verify_search.draw_program(np.random.default_rng([0, 0, n]))[1]}
    assert drawn == set(random_programs.FUNCTIONS)


@pytest.mark.parametrize(("wrong", "status"), [([], 0), ([(7, "value 0 at (): 1, not 2")], 1)])
def test_the_table_and_the_exit_status(monkeypatch, capsys, wrong, status):
    monkeypatch.setattr(sys, "argv", ["verify_search.py", "--cases", "10", "--seed", "3"])
    monkeypatch.setattr(verify_search, "search", lambda check, seed, numbers, jobs: wrong if len(numbers) == 4 else [])
    assert verify_search.main() == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["programs", "4", str(len(wrong))] and lines[-1].split() == ["convolutions", "3", "0"]
    assert not wrong or lines[2] == "  --only programs --seed 3 --number 7: value 0 at (): 1, not 2"
