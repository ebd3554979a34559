"""softmax and normalise: the kernels of the CPU against the array form, which `unfused` asks for; log_softmax beside them."""

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn import threads
from tinypredrnn.autograd import normalisation
from tinypredrnn.errors import ShapeError

OPS = {"softmax": tp.softmax, "log_softmax": tp.log_softmax, "normalise": tp.normalise}


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def run(function, *arrays, dy=None):
    """The value and the gradients, all of them arrays."""
    inputs = [tp.tensor(a, requires_grad=True) for a in arrays]
    with np.errstate(all="ignore"):
        y = function(*inputs)
        y.backward(normal(*y.shape, dtype=y.dtype, seed=1) if dy is None else dy)
    return [y.data, *(x.grad for x in inputs)]


def assert_same(function, *arrays, dy=None, rtol=1e-10, atol=1e-10):
    """By kernel and array by array."""
    found = run(function, *arrays, dy=dy)
    with tp.unfused():
        expected = run(function, *arrays, dy=dy)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, strict=True)


@pytest.fixture
def refuse_array_form(monkeypatch):
    monkeypatch.setattr(normalisation, "moments", None)
    monkeypatch.setattr(normalisation, "max_to_0", None)


SHAPES = [(1,), (7,), (1, 1), (5, 1), (1, 300), (3, 11), (2, 17, 81), (2, 33, 3, 8), (2, 8, 8, 64), (2, 3, 1, 600), (5, 200)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_any_axis(name, shape):
    n = len(shape)
    axes = {k for k in (*range(-1, n), (0, n - 1), (-1, 0), None, (), *(tuple(range(i, j)) for i in range(n) for j in range(i + 2, n + 1)))
            if not isinstance(k, tuple) or len({i % n for i in k}) == len(k)}
    for axis in sorted(axes, key=str):
        assert_same(lambda x, axis=axis: OPS[name](x, axis=axis), normal(*shape))


@pytest.mark.parametrize("shape, axis", [
    ((2, 5, 4, 64), (1, 2, 3)), ((2, 9, 6, 3), (1, 2, 3)), ((2, 16, 8, 1), (1, 2, 3)), ((3, 5, 4, 9), (0, 1, 2)), ((2, 5, 4, 9), (1, 2)),
    ((2, 5, 4, 9), 1), ((6, 10), -1), ((16, 10), None), ((6, 10), 0), ((2, 5, 4, 3), (0, 2))], ids=str)
@pytest.mark.parametrize("of", ["channels", "one number", "all", "left out"])
def test_gain_and_bias(shape, axis, of):
    gain_shape = {"channels": shape[-1:], "one number": (), "all": shape[1:], "left out": ()}[of]
    gain, bias = np.asarray(normal(*gain_shape)), np.asarray(normal(*gain_shape, seed=2))
    assert_same(lambda x, gain, bias: tp.normalise(x, gain, bias, axis=axis), normal(*shape), gain, bias)
    assert_same(lambda x, bias: tp.normalise(x, None, bias, axis=axis), normal(*shape), bias)
    assert_same(lambda x, gain: tp.normalise(x, gain, axis=axis), normal(*shape), gain)
    assert_same(lambda x: tp.normalise(x, 2, 0.5, axis=axis), normal(*shape))
    x = tp.tensor(normal(*shape))  # a constant: only gain and bias have gradients
    assert_same(lambda gain, bias: tp.normalise(x, gain, bias, axis=axis), gain, bias)
    assert tp.gradcheck(lambda *inputs: tp.normalise(*inputs, axis=axis), normal(*shape), gain, bias)


LAYOUTS = {
    "transposed": np.asfortranarray, "sliced": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: a[::-1, ..., ::-1], "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", OPS)
def test_any_layout_of_memory(name, layout):
    x, dy = (LAYOUTS[layout](normal(4, 6, 5, 8, seed=seed)) for seed in (1, 2))
    for axis in (-1, (1, 2, 3), (0, 1, 2)):
        y = tp.Tensor(x, requires_grad=True)
        OPS[name](y, axis=axis).backward(dy)
        np.testing.assert_allclose(y.grad, run(lambda x, axis=axis: OPS[name](x, axis=axis), x.copy(), dy=dy.copy())[1], rtol=1e-12)


@pytest.mark.parametrize("name", OPS)
def test_nothing_in_nothing_out(name):
    for shape, axis in (((0, 3), 1), ((2, 0, 3), 2), ((2, 0, 3), 0)):
        y, dx = run(lambda x, axis=axis: OPS[name](x, axis=axis), np.ones(shape))
        assert y.shape == dx.shape == shape
    y = run(lambda x, gain, bias: tp.normalise(x, gain, bias, axis=1), np.ones((0, 3)), np.ones(3), np.ones(3))
    assert not y[2].any() and not y[3].any()


SPOILED = {"NaN": [np.nan], "infinity": [np.inf], "-infinity": [-np.inf], "both": [np.inf, -np.inf], "NaN first": [np.nan, np.inf]}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("values", SPOILED)
@pytest.mark.parametrize("name", OPS)
def test_nan_and_infinity_spoil_their_own_group_as_in_numpy(name, values, dtype):
    for start in (0, 7, 40):
        x, dy = normal(3, 200, dtype=dtype), normal(3, 200, dtype=dtype, seed=3)
        x[1, start:start + len(SPOILED[values])] = SPOILED[values]
        assert_same(lambda x: OPS[name](x, axis=-1), x, dy=dy, rtol=1e-4, atol=1e-5)
        wrong = dy.copy()
        wrong[1, start:start + len(SPOILED[values])] = SPOILED[values]
        found = run(lambda x: OPS[name](x, axis=-1), normal(3, 200, dtype=dtype), dy=wrong)[1]
        assert not np.isfinite(found[1]).all() and np.isfinite(found[[0, 2]]).all()


def test_softmax_of_infinitely_unlikely_elements():
    x = np.array([[-np.inf, 0, 0, -np.inf], [-np.inf] * 4])
    with np.errstate(all="ignore"):
        y, z = tp.softmax(x), tp.log_softmax(x)
    np.testing.assert_array_equal(y, [[0, 0.5, 0.5, 0], [np.nan] * 4])
    np.testing.assert_allclose(z, [[-np.inf, -np.log(2), -np.log(2), -np.inf], [np.nan] * 4])


@pytest.mark.parametrize("number", [np.int64(3), np.float32(3), np.array(3.0)], ids=["int64", "float32", "no axes"])
def test_softmax_of_a_single_number_is_one(number):
    assert tp.softmax(number) == 1 and tp.log_softmax(number) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [(1, 2, 3), (0, 1, 2), -1])
def test_groups_without_variance(axis, dtype):
    """The values are 0, whatever number it is that all are; without eps they are 0 / 0, as in the array form."""
    for number in 0.1, 1e4 / 3, 0.0:
        x = np.full((3, 30, 40, 16), number, dtype)
        y, dx = run(lambda x: tp.normalise(x, axis=axis), x)
        np.testing.assert_allclose(y, 0, atol=1e-8)
        assert np.isfinite(dx).all()
    assert np.isnan(run(lambda x: tp.normalise(x, axis=axis, eps=0), x)[0]).all()


def test_means_far_from_0_are_as_accurate_as_numpys():
    x = (normal(2, 100, 90, 24) + 1e4).astype(np.float32)
    exact = x.astype(np.longdouble)
    exact = exact - exact.mean(axis=(1, 2, 3), keepdims=True)
    exact = exact / np.sqrt((exact * exact).mean(axis=(1, 2, 3), keepdims=True) + 1e-5)
    for y, bound in ((tp.normalise(x, axis=(1, 2, 3)), 3e-7), (tp.normalise(x.astype(float), axis=(1, 2, 3)), 1e-11)):
        np.testing.assert_allclose(y, exact.astype(float), rtol=bound, atol=bound)


def test_the_exponential_of_float32_is_as_accurate_as_numpys():
    x = np.linspace(-87, 0, 1_000_000, dtype=np.float32).reshape(1000, 1000)
    y = normalisation.exp_of(x, np.empty_like(x))
    np.testing.assert_allclose(y, np.exp(x.astype(float)), rtol=2e-7)
    ends = np.float32([[0, -0.0, -1e-30, -88.1, -1e30, -np.inf, np.nan]])
    np.testing.assert_array_equal(normalisation.exp_of(ends, ends.copy()), [[1, 1, 1, 0, 0, 0, np.nan]])


def test_softmax_of_a_long_row_is_as_accurate_as_numpys():
    x = 5 * normal(2, 300_000, dtype=np.float32)
    exact = np.exp(x.astype(np.longdouble) - x.max(axis=1, keepdims=True))
    exact = (exact / exact.sum(axis=1, keepdims=True)).astype(float)
    np.testing.assert_allclose(tp.softmax(x), exact, rtol=1e-5)  # of which most is that of x - max
    np.testing.assert_allclose(tp.softmax(x).sum(axis=1, dtype=float), 1, rtol=3e-7)
    np.testing.assert_allclose(tp.softmax(x.astype(float)), exact, rtol=1e-13)
    np.testing.assert_allclose(tp.log_softmax(x), np.log(exact), rtol=1e-6)


@pytest.mark.parametrize("name", OPS)
def test_the_number_of_threads_does_not_matter(name, monkeypatch):
    x, gain, results = normal(7, 20, 5, 24, dtype=np.float32), normal(24, dtype=np.float32), []
    factors, axis = ([gain, gain], (1, 2, 3)) if name == "normalise" else ([], -1)
    monkeypatch.setattr(threads, "WORTH_WAKING", 1)
    for count in 1, 3:
        monkeypatch.setattr(threads, "THREADS", count)
        results.append(run(lambda *inputs: OPS[name](*inputs, axis=axis), x, *factors))
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_networks_compute_has_kernels(dtype, refuse_array_form):
    x, gain, bias = normal(2, 9, 6, 16, dtype=dtype), normal(16, dtype=dtype), normal(16, dtype=dtype)
    assert all(a.dtype == dtype for a in run(tp.softmax, x))
    for axis in (1, 2, 3), (0, 1, 2), (1, 2):
        assert all(a.dtype == dtype for a in run(lambda *inputs, axis=axis: tp.normalise(*inputs, axis=axis), x, gain, bias))


@pytest.mark.parametrize("gain, bias", [((3,), None), ((2, 2, 4), None), (None, (1, 1, 4)), ((4,), (5, 1))], ids=str)
def test_a_gain_or_bias_of_another_shape_is_refused(gain, bias):
    gain, bias = (shape and np.ones(shape) for shape in (gain, bias))
    with pytest.raises(ShapeError, match="normalise"):
        tp.normalise(tp.tensor(np.ones((2, 4))), gain, bias, axis=1)
