"""What lessons 6 to 9 build is what the package does: the same inputs through both give the same answers.

The lessons' own functions and classes are taken out of their text; nothing else of them runs here.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from lesson_code import built_in
from numba import njit

import tinypredrnn as tp
from tinypredrnn import backend
from tinypredrnn.data import moving_mnist

SHAPES = [((2, 9, 8, 3), (3, 4, 3, 5)), ((1, 5, 5, 1), (5, 5, 1, 2)), ((3, 4, 7, 2), (1, 1, 2, 1)), ((2, 6, 6, 4), (2, 1, 4, 3))]


@pytest.fixture(scope="module")
def sixth():
    return built_in(6)


@pytest.fixture(scope="module")
def seventh():
    return built_in(7)


@pytest.fixture(scope="module")
def eighth():
    return built_in(8)


@pytest.fixture(scope="module")
def ninth():
    return built_in(9)


@pytest.fixture(params=SHAPES, ids=str)
def example(request):
    """x, w and a cotangent of their convolution without padding"""
    rng, (x_shape, w_shape) = np.random.default_rng(0), request.param
    y_shape = (x_shape[0], x_shape[1] - w_shape[0] + 1, x_shape[2] - w_shape[1] + 1, w_shape[3])
    return [rng.standard_normal(shape) for shape in (x_shape, w_shape, y_shape)]


def pulled_back(function, x, w, cotangent):
    x, w = tp.tensor(x, requires_grad=True), tp.tensor(w, requires_grad=True)
    y = function(x, w)
    y.backward(cotangent)
    return y.data, x.grad, w.grad


def package_conv(x, w):
    return tp.conv2d(x, w, padding="valid")


def test_lesson_6_convolves_and_pulls_back_like_conv2d(sixth, example):
    x, w, cotangent = example
    expected = pulled_back(package_conv, *example)
    for got, want in zip(pulled_back(sixth.conv, *example), expected):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(sixth.correlate_loops(x, w), expected[0], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(sixth.transposed(cotangent, w, x.shape), expected[1], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(sixth.pair(x, cotangent, *w.shape[:2]), expected[2], rtol=1e-10, atol=1e-10)


def test_lesson_6_unfolds_like_windows_and_folds_like_its_gradient(sixth, example):
    x, w, _ = example
    kernel = w.shape[:2]
    tensor = tp.tensor(x, requires_grad=True)
    windows = tp.windows(tensor, kernel=kernel, padding="valid")
    assert np.array_equal(sixth.unfold(x, *kernel), windows.data)
    cotangent = np.random.default_rng(1).standard_normal(windows.shape)
    windows.backward(cotangent)
    np.testing.assert_allclose(sixth.fold(cotangent, x.shape), tensor.grad, rtol=1e-12, atol=1e-12)
    alike = np.allclose(sixth.fold_forgetful(cotangent, x.shape), tensor.grad)
    assert alike == (kernel in [(1, 1), (5, 5)])  # only where no two windows overlap


def test_the_answers_to_lesson_6_do_what_the_package_does(sixth, example):
    x, w, _ = example
    for stride in 1, 2, 3:
        expected = tp.windows(x, kernel=w.shape[:2], padding="valid", stride=stride)
        assert np.array_equal(sixth.unfold_strided(x, *w.shape[:2], stride), expected)
    tensor = tp.tensor(x, requires_grad=True)
    enlarged = tp.upsample(tensor)
    assert np.array_equal(sixth.upsample(x), enlarged.data)
    cotangent = np.random.default_rng(1).standard_normal(enlarged.shape)
    enlarged.backward(cotangent)
    np.testing.assert_allclose(sixth.upsample_transposed(cotangent), tensor.grad, rtol=1e-12, atol=1e-12)


def test_lesson_7_convolves_in_both_ways_like_conv2d(seventh, example):
    x, w, _ = example
    seventh.shifted_products.__globals__["far"] = SimpleNamespace(ndarray=seventh.FarArray)
    for way in seventh.shifted_products, seventh.windows_product:
        np.testing.assert_allclose(way(x, w), package_conv(x, w), rtol=1e-10, atol=1e-10)


def test_lesson_7_says_which_module_an_array_belongs_to(seventh):
    seventh.array_module.__globals__["far"] = far = SimpleNamespace(ndarray=seventh.FarArray)
    near = np.ones(3)
    assert seventh.array_module(near) is backend.array_module(near) is np
    assert seventh.array_module(near.view(seventh.FarArray), near) is far
    with pytest.raises(TypeError, match="Unsupported type"):
        near + near.view(seventh.FarArray)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lesson_8_steps_like_the_packages_adam(eighth, dtype):
    rng = np.random.default_rng(0)
    starts = [rng.standard_normal(shape).astype(dtype) for shape in [(3, 4), (5,)]]
    gradients = [[rng.standard_normal(a.shape).astype(dtype) * 10 ** scale for a in starts] for scale in range(-4, 4) for _ in range(5)]
    ends = []
    for kind in eighth.Adam, tp.optim.Adam:
        parameters = [tp.tensor(a.copy(), requires_grad=True) for a in starts]
        optimiser = kind(parameters, rate=0.03, betas=(0.8, 0.99))
        for gradient in gradients:
            for p, g in zip(parameters, gradient):
                p.grad = g.astype(dtype)
            optimiser.step()
        assert {p.dtype for p in parameters} == {np.dtype(dtype)}
        ends.append([p.data for p in parameters])
    for ours, theirs in zip(*ends):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 if dtype == np.float64 else 1e-5)


def test_the_answer_to_lesson_8_clips_like_the_package(eighth):
    rng = np.random.default_rng(0)
    gradients = [rng.standard_normal(shape) for shape in [(3, 4), (5,), ()]]
    for limit in 0.1, 2.0, 100.0:
        parameters = [tp.tensor(np.zeros_like(g), requires_grad=True) for g in gradients]
        for p, g in zip(parameters, gradients):
            p.grad = g.copy()
        tp.optim.clip_gradients(parameters, limit)
        for ours, p in zip(eighth.clipped(gradients, limit), parameters):
            np.testing.assert_allclose(ours, p.grad, rtol=1e-12)


def test_lesson_8_names_tensors_like_the_packages_modules(eighth):
    class Part(tp.nn.Module):
        def __init__(self):
            self.layers = [tp.nn.Conv2d(2, 2 + i, 1, np.random.default_rng(0)) for i in range(2)]
            self.last = tp.nn.Conv2d(1, 5, 3, np.random.default_rng(0))

    class Ours(eighth.ListModule):
        def __init__(self):
            self.layers = [eighth.Conv(2, 2 + i, 1, np.random.default_rng(0)) for i in range(2)]
            self.last = eighth.Conv(1, 5, 3, np.random.default_rng(0))

    ours, theirs = Ours().state_dict(), Part().state_dict()
    assert list(ours) == list(theirs) and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_lesson_9_flies_like_the_package(ninth):
    rng = np.random.default_rng(0)
    for room in 1.0, 3.0, 36.0:
        start, velocity = rng.random((50, 2, 2)) * room, rng.uniform(-5, 5, (50, 2, 2))
        expected = moving_mnist.reflect(start, velocity, np.array([room, room]), 20)
        np.testing.assert_allclose(ninth.fly(start, velocity, room, 20), expected, atol=1e-9)
        directly = ninth.place(start[..., None, :], velocity[..., None, :], room, np.arange(20)[:, None])
        np.testing.assert_allclose(directly, expected, atol=1e-9)


def test_lesson_9_stops_at_walls_like_the_packages_clamp(ninth):
    rng = np.random.default_rng(0)
    start, velocity = rng.random((20, 1, 2)) * 36, rng.uniform(-5, 5, (20, 1, 2))
    expected = moving_mnist.clamp(start, velocity, np.array([36, 36]), 20)  # the first place is one step after the start
    for index in np.ndindex(start.shape):
        position, step = start[index], velocity[index]
        for t in range(20):
            position, step = ninth.stop_at_wall(position, step, 36.0)
            assert position == pytest.approx(expected[index[0], index[1], t, index[2]])


def test_lesson_9_makes_the_packages_batches(ninth):
    images, _ = ninth.draw_digits(np.random.default_rng(0), 30)
    ninth.make_batch.__globals__["paint"] = njit(ninth.paint_loops)
    for seed, k, digits in (0, 0, 2), (3, 17, 1), (5, 2, 3):
        expected = moving_mnist.MovingMNIST(images, digits=digits).batch(seed, k, 3)
        assert np.array_equal(ninth.make_batch(images, seed, k, 3, digits=digits), expected)


def test_lesson_9_paints_alike_in_all_three_ways(ninth):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    chosen, positions = rng.integers(5, size=(2, 3)), rng.uniform(0, 6, (2, 3, 4, 2))
    canvases = [np.zeros((2, 4, 10, 9, 1), np.uint8) for _ in range(3)]
    for paint, canvas in zip((ninth.paint_loops, ninth.paint_slices, moving_mnist.paint), canvases):
        paint(canvas, images, chosen, positions)
    assert canvases[0].any() and np.array_equal(canvases[0], canvases[1]) and np.array_equal(canvases[0], canvases[2])
