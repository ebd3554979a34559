"""Lesson 19's matrices and convolution and the package's: the same fractions, values and gradients."""

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.autograd import toom_cook
from tinypredrnn.course.lesson import lessons
from tinypredrnn.course.run import execute


@pytest.fixture(scope="module")
def lesson():
    """The names of the lesson, without pictures, exercises and timings."""
    (lesson,) = lessons(numbers=[19])
    namespace = {"__name__": "__main__", "__file__": str(lesson.path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYPREDRNN_LESSONS", "small")
        for cell in lesson.cells:
            if not (cell.is_text or cell.exercise or "show(" in cell.source):
                execute(cell, lesson, namespace)
            if "growth" in namespace:
                return namespace


def test_the_matrices_are_those_of_the_package(lesson):
    for m, r in [(m, r) for m in range(1, 9) for r in range(1, 9) if m + r <= 9]:
        for ours, theirs in zip(lesson["toom_cook"](toom_cook.points(m + r - 2), m), toom_cook.toom_cook(m, r), strict=True):
            assert ours.tolist() == [list(row) for row in theirs], (m, r)


def convolution(lesson, kernel, tile):
    options = {"points": tuple(toom_cook.points(tile + kernel - 2)), "m": tile}
    return lambda x, w: lesson["winograd_conv"](x, lesson["weight_frequencies"](w, **options), **options)


def by_the_package(tile):
    def function(x, w):
        with tp.convolution_by(*(("winograd", tile) if tile else ("direct",))):
            return tp.conv2d(x, w)
    return function


def results(function, dtype, *arrays):
    x, w, dy = (a.astype(dtype) for a in arrays)
    leaves = [tp.tensor(a, requires_grad=True) for a in (x, w)]
    y = function(*leaves)
    y.backward(dy)
    return [y.data, *(leaf.grad for leaf in leaves)]


def case(seed, size, kernel, channels=3, features=4, batch=2):
    rng, shapes = np.random.default_rng(seed), [(batch, *size, channels), (kernel, kernel, channels, features), (batch, *size, features)]
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (8, 8), (9, 5)], ids=str)
@pytest.mark.parametrize(("kernel", "tile"), [(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (5, 4)])
def test_values_and_gradients_in_float64(lesson, size, kernel, tile):
    arrays = case([kernel, tile], size, kernel)
    expected = results(by_the_package(None), np.float64, *arrays)
    for ours, theirs in zip(results(convolution(lesson, kernel, tile), np.float64, *arrays), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("kernel", "tile"), [(3, 4), (5, 4)])
def test_values_and_gradients_of_the_packages_tiles(lesson, kernel, tile):
    """In float32 the two differ in the order of sums only: by less than either differs from the truth."""
    arrays = case(kernel, (9, 13), kernel, channels=16, features=8)
    for ours, theirs in zip(*(results(function, np.float32, *arrays) for function in
                              (convolution(lesson, kernel, tile), by_the_package(tile))), strict=True):
        assert ours.dtype == theirs.dtype == np.float32
        assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)


def test_the_packages_points_grow_no_more_than_the_usual_ones(lesson):
    for m, r in [(2, 3), (2, 5), (3, 3), (4, 3), (3, 5), (4, 5), (6, 3)]:
        usual = lesson["usual"][:m + r - 2]
        assert lesson["growth"](toom_cook.points(m + r - 2), m) <= lesson["growth"](usual, m) * (1 + 1e-12)
