"""Lesson 18's compiler and tp.fuse: the same lines, values and gradients for gate functions drawn at random."""

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.course.lesson import lessons
from tinypredrnn.course.run import execute


@pytest.fixture(scope="module")
def lesson():
    """The names of the lesson, up to the cell that completes the compiler; without pictures and timings."""
    (lesson,) = lessons(numbers=[18])
    namespace = {"__name__": "__main__", "__file__": str(lesson.path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYPREDRNN_LESSONS", "small")
        patch.setattr("tinypredrnn.course.answers.remember", lambda *_: None)
        for cell in lesson.cells:
            if not cell.is_text and "show(" not in cell.source:
                execute(cell, lesson, namespace)
            if "medians" in namespace:
                namespace["medians"] = lambda rounds, **programs: dict.fromkeys(programs, 1.0)
            if "Fused" in namespace:
                return namespace


def draw(seed, steps=8):
    """Source of a gate function of a, b and c with two outputs; `m` is a library of maths."""
    rng, names, lines = np.random.default_rng(seed), ["a", "b", "c"], []
    for n in range(steps):
        x, y = rng.choice(names, 2)
        number = f"{rng.uniform(-2, 2):.2f}"
        choices = [f"m.tanh({x})", f"m.exp(-{x} * {x})", f"{x} * {y}", f"{x} - {y}", f"{x} + {number}", f"{number} * {x}",
                   f"{x} / (1 + {y} * {y})", f"{number} / (2 + m.tanh({x}))", f"-{x} + m.tanh({x}) * {y}"]
        lines.append(f"    t{n} = {rng.choice(choices)}\n")
        names.append(f"t{n}")
    return f"def gate(a, b, c):\n{''.join(lines)}    return {names[-1]} * a - b, {names[-2]} * c + {names[-3]}\n"


def gate(source, library):
    namespace = {"m": library}
    exec(source, namespace)
    return namespace["gate"]


def test_the_lines_are_those_of_the_package(lesson):
    """Word for word but for the prefix of inputs, forward and backward, for a hundred functions."""
    for seed in range(100):
        source = draw(seed)
        kernels = tp.fuse(gate(source, tp)).kernels
        traced = lesson["trace"](gate(source, np)), lesson["backward_of"](gate(source, np))
        for kernel, (inputs, outputs) in zip(kernels, traced):
            lines, results = lesson["lines_of"](outputs, "T({!r})")
            theirs = {text.replace("in_", ""): name for text, name in kernel.lines.items()}, kernel.outputs, kernel.inputs
            assert (lines, results, [x.args[0] for x in inputs]) == (*theirs[:2], [name.removeprefix("in_") for name in theirs[2]]), source


@pytest.mark.parametrize("seed, dtype, tolerance", [(3, np.float64, 1e-12), (14, np.float32, 2e-5)])
def test_values_and_gradients_are_those_of_the_package(lesson, seed, dtype, tolerance):
    source, rng = draw(seed), np.random.default_rng(seed)
    a, b, c, *dy = (rng.standard_normal((3, 4, 5)).astype(dtype) for _ in range(5))
    ours = lesson["Fused"](gate(source, np), dtype)
    results = [*ours.forward(a, b, c), *ours.backward(a, b, c, *dy)]
    leaves = [tp.tensor(x, requires_grad=True) for x in (a, b, c)]
    outputs = tp.fuse(gate(source, tp))(*leaves)
    sum((y * d).sum() for y, d in zip(outputs, dy)).backward()
    expected = [*(y.data for y in outputs), *(leaf.grad for leaf in leaves)]
    for result, reference in zip(results, expected, strict=True):
        assert result.dtype == dtype and np.abs(reference).max() > 0
        np.testing.assert_allclose(result, reference, rtol=tolerance, atol=tolerance, err_msg=source)


def test_the_own_tanh_is_exact_to_rounding(lesson):
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    (y,) = lesson["Loop"](*lesson["trace"](lambda x: np.tanh(x)), np.float32)(x)
    np.testing.assert_allclose(y, np.tanh(x.astype(float)), rtol=4e-7)
    (y,) = lesson["Loop"](*lesson["trace"](lambda x: np.tanh(x)), np.float32)(np.array([np.nan, np.inf, -np.inf, 0], np.float32))
    assert np.isnan(y[0]) and y[1:] == pytest.approx([1, -1, 0], rel=1e-6)
