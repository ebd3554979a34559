"""Who checks the checker: gradcheck accepts right rules, rejects wrong ones, and names the index that is wrong."""

import numpy as np
import pytest
from op_cases import normal, positive, spaced

import tinypredrnn as tp
from tinypredrnn.autograd import Tensor, engine, gradcheck, op
from tinypredrnn.autograd.arrays import put_back, spread
from tinypredrnn.autograd.convolution import correlate, frame_grid, pair, transposed
from tinypredrnn.errors import Error, GradientError

pytestmark = pytest.mark.filterwarnings("error")


# broken rules

def broken_tanh(rule):
    @op(x=rule)
    def tanh(x):
        return np.tanh(x)
    return tanh


@op(a=lambda dy, a: dy * a, b=lambda dy, a: dy * a)
def wrong_input(a, b):  # a's rule must multiply with b
    return a * b


@op(i=lambda dy, g, f: dy * tp.tanh(g) * tp.sigmoid(f) * (1 - tp.sigmoid(f)),  # i's and f's gates are swapped
    f=lambda dy, memory, i: dy * memory * tp.sigmoid(i) * (1 - tp.sigmoid(i)),
    g=lambda dy, i, g: dy * tp.sigmoid(i) * (1 - tp.tanh(g) ** 2),
    memory=lambda dy, f: dy * tp.sigmoid(f))
def swapped_gate(i, f, g, memory):
    return tp.sigmoid(f) * memory + tp.sigmoid(i) * tp.tanh(g)


@op(x=lambda dy, x_shape: spread(dy, x_shape, None) / 2)
def half_a_sum(x):
    return x.sum()


@op(x=lambda dy, x_shape: np.broadcast_to(dy, x_shape))  # spreads along the wrong axis; only squares let it pass
def sum_along_wrong_axis(x):
    return x.sum(axis=1)


@op(a=lambda dy, b: dy @ b, b=lambda dy, a: a.T @ dy)  # of square matrices, the shapes are right
def untransposed_product(a, b):
    return a @ b


def broken_conv2d(x_rule, w_rule):
    @op(x=lambda dy, w, x_shape: x_rule(dy, w, frame_grid(x_shape, w.shape, 1, "same", 1)),
        w=lambda dy, x, w_shape: w_rule(x, dy, frame_grid(x.shape, w_shape, 1, "same", 1)))
    def conv2d(x, w):
        return correlate(x, w, frame_grid(x.shape, w.shape, 1, "same", 1))
    return conv2d


def transposed_kernel(dy, w, grid):
    return transposed(dy, w.swapaxes(0, 1), grid)


def flipped_kernel(dy, w, grid):
    return transposed(dy, w[::-1, ::-1], grid)


def swapped_channels(dy, w, grid):
    return transposed(dy, w.swapaxes(2, 3), grid)


def shifted_windows(x, dy, grid):
    return pair(np.roll(x, 1, axis=2), dy, grid)


@op(x=lambda dy, x_shape: dy[1:1 + x_shape[0]])  # of the padding, two rows came before
def off_by_one_padding(x):
    return np.pad(x, ((2, 1), (0, 0)))


@op(x=lambda dy, x_shape: put_back(dy, x_shape, slice(1, 3)))
def off_by_one_slice(x):
    return x[2:4]


def put_last(dy, x_shape, index):
    dx = np.zeros(x_shape)
    dx[index] = dy  # an element that was taken twice gets one share only
    return dx


@op(x=put_last)
def last_one_wins(x, *, index):
    return x[index]


@op(x=lambda dy, y: y * (dy - dy * y))
def softmax_without_sum(x):
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


@op(x=lambda dy: dy * 0)
def softmax_without_gradient(x):
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


@op(x=lambda dy, x: dy / x.std(axis=-1, keepdims=True))
def normalise_by_constants(x):  # as if mean and deviation did not depend on x
    return (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)


@op(parts=lambda dy: [dy[1], dy[0]])
def parts_swapped(*parts):
    return np.stack(parts)


def stale(x):
    """Two calls of one op that keeps what it needs in one place: the second finds, and leaves, what the first put there."""
    kept = {}

    @op(x=lambda dy: dy * 2 * kept["x"])
    def square(x):
        kept.setdefault("x", x)
        return x * x

    return square(x) + square(3 * x)


@op(x=lambda dy: np.multiply(dy, 3, out=dy))
def overwrites_cotangent(x):
    return 3 * x


def after(change, function):
    """`function`, followed by an in-place change of its input's array."""
    def both(x):
        y = function(x)
        change(x.data)
        return y
    return both


def increment(a):
    a += 1


def halve(a):
    a *= 0.5


def product_off_by(relative, index=()):
    """a * b, whose gradient of a is wrong by so much at this index."""
    factor = np.ones((2, 3))
    factor[index] += relative

    @op(a=lambda dy, b: dy * b * factor, b=lambda dy, a: dy * a)
    def product(a, b):
        return a * b
    return product


@op(x=lambda dy: dy)
def straight_through(x):
    return np.floor(x)


@op(x=lambda dy: dy * np.inf)
def infinite(x):
    return 2 * x


x = normal(2, 3)
REJECTED = {
    "zero": (broken_tanh(lambda dy: dy * 0), x),
    "sign": (broken_tanh(lambda dy, y: -dy * (1 - y * y)), x),
    "factor": (broken_tanh(lambda dy, y: 1.001 * dy * (1 - y * y)), x),
    "NaN": (broken_tanh(lambda dy, y: dy * np.nan), x),
    "x for y": (broken_tanh(lambda dy, x: dy * (1 - x * x)), x),
    "without dy": (broken_tanh(lambda dy, y: 1 - y * y), x),
    "one element": (broken_tanh(lambda dy, y: dy * (1 - y * y) * np.array([[1, 1, 1], [1, 1, 1.001]])), x),
    "wrong one of two inputs": (wrong_input, normal(2, 3), positive(2, 3)),
    "swapped gate": (swapped_gate, normal(3), spaced(3), positive(3), normal(2, 3)),
    "half a sum": (half_a_sum, normal(2, 3)),
    "spread along the wrong axis": (sum_along_wrong_axis, normal(3, 3)),
    "untransposed product": (untransposed_product, normal(3, 3), positive(3, 3)),
    "transposed kernel": (broken_conv2d(transposed_kernel, pair), normal(1, 4, 5, 2), normal(3, 3, 2, 2)),
    "flipped kernel": (broken_conv2d(flipped_kernel, pair), normal(1, 4, 5, 2), normal(3, 3, 2, 2)),
    "swapped channels": (broken_conv2d(swapped_channels, pair), normal(1, 4, 5, 2), normal(3, 3, 2, 2)),
    "off-by-one window": (broken_conv2d(transposed, shifted_windows), normal(1, 4, 5, 2), normal(3, 3, 2, 2)),
    "off-by-one padding": (off_by_one_padding, normal(3, 2)),
    "off-by-one slice": (off_by_one_slice, normal(5)),
    "last one wins": (lambda x: last_one_wins(x, index=[0, 2, 2]), normal(3)),
    "softmax without sum": (softmax_without_sum, normal(2, 4)),
    "softmax without gradient": (softmax_without_gradient, normal(2, 4)),
    "normalise by constants": (normalise_by_constants, normal(2, 4)),
    "swapped parts": (parts_swapped, normal(2), positive(2)),
    "stale saved value": (stale, x),
    "overwritten cotangent": (lambda x: tp.tanh(x) + overwrites_cotangent(x), normal(2, 3)),
    "input changed": (after(increment, tp.tanh), normal(2, 3)),
    "saved input changed": (after(halve, tp.square), normal(2, 3)),
    "one of two, by 1e-4": (product_off_by(1e-4), x, positive(2, 3)),
    "one of two, by 1e-5": (product_off_by(1e-5), x, positive(2, 3)),
    "one element of one of two, by 1e-4": (product_off_by(1e-4, (0, 2)), x, positive(2, 3)),
    "one element of one of two, by 1e-5": (product_off_by(1e-5, (1, 1)), x, positive(2, 3)),
    "missing, and small beside another": (lambda a, b: a * 1e4 + b.detach() * 1e-3, x, positive(2, 3)),
    "wrong, and small beside another": (lambda a, b: a * 1e4 + product_off_by(1e-3)(b, a.detach()) * 1e-3, x, positive(2, 3)),
    "wrong, and large beside another": (lambda a, b: a * 1e-3 + product_off_by(1e-5)(b, a.detach()) * 1e4, x, positive(2, 3)),
    "missing for one of three": (lambda a, b, c: a * b + tp.tanh(c.detach()), x, positive(2, 3), spaced(2, 3)),
    "missing for some elements": (lambda a: tp.concat(a[:, :1] * 1e4, a[:, 1:].detach() * 1e-3), x),
    "missing at one use of two": (lambda a: a * 1e2 + a.detach() * 1e-2, x),
    "through whole numbers": (straight_through, x),
    "through whole numbers, beside a right one": (lambda a, b: straight_through(a) + b, x, positive(2, 3)),
    "infinite, beside a right one": (lambda a, b: a + infinite(b), x, positive(2, 3)),
}


@pytest.mark.parametrize(("function", "arrays"), [(f, a) for f, *a in REJECTED.values()], ids=REJECTED.keys())
def test_broken_rules_are_rejected(function, arrays):
    with pytest.raises(GradientError, match="^gradcheck: "):
        gradcheck(function, *(a.copy() for a in arrays))


@pytest.mark.parametrize(("function", "arrays"), [(f, a) for f, *a in REJECTED.values()], ids=REJECTED.keys())
def test_each_seed_alone_rejects_them(function, arrays):
    for seed in range(3, 8):
        with pytest.raises(GradientError):
            gradcheck(function, *(a.copy() for a in arrays), seeds=[seed])


# a broken engine

def test_unbroadcasting_that_takes_instead_of_summing_is_rejected(monkeypatch):
    fit = engine.fit

    def take_first(gradient, node, i):
        extra = gradient.ndim - len(node.shapes[i])
        return fit(np.ascontiguousarray(gradient[(0,) * extra] if extra else gradient), node, i)

    monkeypatch.setattr(engine, "fit", take_first)
    assert gradcheck(lambda a, b: a * b, normal(2, 3), positive(2, 3))
    with pytest.raises(GradientError, match="input 1 at index"):
        gradcheck(lambda a, b: a * b, normal(2, 3), positive(3))


def test_missing_unbroadcasting_is_an_error_of_the_rule():
    """A gradient that has no way back to its input's shape never reaches a leaf."""
    @op(x=lambda dy: dy)
    def mean_of_rows(x):
        return x.mean(axis=0)

    with pytest.raises(Error, match=r"mean_of_rows: its rule gave input 0 a gradient of float64 \(3,\), but that input needs float64"):
        gradcheck(mean_of_rows, normal(2, 3))


def test_forgotten_accumulation_is_rejected(monkeypatch):
    def take_the_last(self, gradient, owned):
        self.total, self.owned = gradient, owned

    monkeypatch.setattr(engine.Accumulator, "add", take_the_last)
    assert gradcheck(lambda x: tp.tanh(2 * x), normal(2, 3))
    for function in (lambda x: tp.tanh(2 * x) * tp.sigmoid(x), lambda x: (y := 2 * x) * tp.tanh(y)):  # at a leaf, within the graph
        with pytest.raises(GradientError, match="input 0 at index"):
            gradcheck(function, normal(2, 3))


# what it says

def wrong_at(index, shape):
    wrong = np.zeros(shape)
    wrong[index] = 1e-3

    @op(a=lambda dy, b: dy * b, b=lambda dy, a: dy * a * (1 + wrong))
    def product(a, b):
        return a * b
    return product


@pytest.mark.parametrize("index", [(0, 0), (1, 2), (2, 1)])
def test_it_names_the_wrong_index(index):
    a, b = normal(3, 4), positive(3, 4)
    with pytest.raises(GradientError) as caught:
        gradcheck(wrong_at(index, (3, 4)), a, b)
    message = str(caught.value)
    assert f"input 1 at index {index}: backward " in message
    backward, numeric = (float(message.split(f"{word} ")[1].split()[0].strip(",)")) for word in ("backward", "numeric"))
    assert backward / numeric == pytest.approx(1.001, rel=1e-6)


def test_it_names_the_first_of_several_wrong_indices():
    with pytest.raises(GradientError, match=r"input 1 at index \(1, 1\)"):
        gradcheck(wrong_at(([2, 1, 1], [0, 3, 1]), (3, 4)), normal(3, 4), positive(3, 4))


def test_it_checks_and_names_parameters():
    w = tp.tensor(normal(3), requires_grad=True)
    assert gradcheck(lambda x: w * x, positive(2, 3), parameters=[w])
    with pytest.raises(GradientError, match=r"parameter 0 at index \(1,\)"):
        gradcheck(lambda x: wrong_at((slice(None), 1), (2, 3))(x, w), positive(2, 3), parameters=[w])
    np.testing.assert_array_equal(w.data, normal(3))


def test_every_output_is_checked():
    assert gradcheck(lambda x: tuple(tp.split(x, parts=2)), normal(2, 4))
    wrong = broken_tanh(lambda dy: dy)
    with pytest.raises(GradientError, match="input 0 at index"):
        gradcheck(lambda x: (tp.tanh(x), wrong(x)), normal(2, 3))


def test_wrong_dtype_and_shape_of_a_gradient(monkeypatch):
    slot = Tensor.grad
    for spoil in (lambda g: g.astype(np.float32), lambda g: g[None]):
        spoilt = property(slot.__get__, lambda t, g, spoil=spoil: slot.__set__(t, None if g is None else spoil(g)))
        monkeypatch.setattr(Tensor, "grad", spoilt)
        with pytest.raises(GradientError, match=r"input 0 is float64 \(2, 3\), its gradient float(32|64) \((1, )?2, 3\)"):
            gradcheck(tp.tanh, normal(2, 3))


# each input by itself

def test_inputs_of_very_different_weight_are_told_apart():
    a, b = normal(2, 3), positive(2, 3)
    assert gradcheck(lambda a, b: a * 1e4 + b * 1e-3, a, b)
    for seed in range(20):
        with pytest.raises(GradientError, match=r"input 1 at index \(0, 0\): backward 0, numeric -?0.00"):
            gradcheck(lambda a, b: a * 1e4 + b.detach() * 1e-3, a, b, seeds=[seed])


@pytest.mark.parametrize("which", [0, 7, 19])
def test_one_of_twenty_parameters(which):
    """Their gradients are from .01 to 100; one of them is wrong by 1e-4, or missing."""
    parameters = [tp.tensor(normal(2, 3), requires_grad=True) for _ in range(20)]
    weights = np.geomspace(0.01, 100, 20)

    def model(x, wrong):
        used = [wrong(p) if i == which else p for i, p in enumerate(parameters)]
        return sum(tp.tanh(x * p) * w for p, w in zip(used, weights))

    assert gradcheck(lambda x: model(x, lambda p: p), positive(2, 3), parameters=parameters)
    for wrong in (lambda p: product_off_by(1e-4)(p, np.ones((2, 3))), lambda p: p.detach()):
        for seed in range(2):
            with pytest.raises(GradientError, match=rf"parameter {which} at index \(0, 0\)"):
                gradcheck(lambda x, wrong=wrong: model(x, wrong), positive(2, 3), parameters=parameters, seeds=[seed])


def test_an_input_without_influence_needs_no_gradient():
    mask, a, b = np.array([True, False, True]), normal(3), positive(3)
    assert gradcheck(lambda a, b: tp.where(mask, a, 2 * b), a, b)
    assert gradcheck(lambda a, b: tp.where(mask | True, a, b), a, b)
    assert gradcheck(lambda a, b: a + 0 * b, a, b)
    assert gradcheck(lambda a, b: a * 2, a, b)
    with pytest.raises(GradientError, match=r"input 1 at index \(1,\): backward 0, numeric [-.\d]+"):
        gradcheck(lambda a, b: tp.where(mask, a, 2 * b.detach()), a, b)


# the numeric derivative's own errors

def rounded(ulps, repeats):
    """An op that adds noise of so many ulps to each value, as the rounding of another processor or algorithm might: a function of the
    values' last bits (`repeats`), or another one in each call."""
    rng = np.random.default_rng(0)

    @op(x=lambda dy: dy)
    def rounding(x):
        noise = np.random.default_rng(np.frombuffer(x.tobytes(), np.uint32)) if repeats else rng
        return x + ulps * 2.0**-52 * abs(x).max() * noise.choice([-1, 1], x.shape)
    return rounding


@pytest.fixture
def convolution():
    """The transformed 5x5 convolution, whose own rounding is some 30 ulps: its function and its inputs."""
    def function(x, w):
        with tp.convolution_by("winograd", tile=4):
            return tp.conv2d(x, w)
    return function, normal(1, 6, 5, 2), normal(5, 5, 2, 2)


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("times", [1, 4, 16, 64])
def test_right_functions_pass_whatever_a_processor_rounds(convolution, times, repeats):
    function, *inputs = convolution
    rounding = rounded(30 * times, repeats)
    assert gradcheck(lambda x, w: rounding(function(x, w)), *inputs, seeds=range(25))
    with pytest.raises(GradientError, match=r"input 1 at index \(0, 0, 0, 0\)"):
        gradcheck(lambda x, w: rounding(function(x, slightly_wrong(w))), *inputs)


@op(w=lambda dy: dy * 1.0001)
def slightly_wrong(w):
    return w * 1


@pytest.mark.parametrize("change", [lambda w: w, slightly_wrong], ids=["right", "wrong"])
@pytest.mark.parametrize("ulps", [1e9, 1e13, 1e16])
def test_it_says_that_it_cannot_tell(convolution, ulps, change):
    """Never True, and never an index: with so much noise the numeric derivative says nothing."""
    function, *inputs = convolution
    rounding = rounded(ulps, repeats=False)
    with pytest.raises(GradientError, match="cannot tell whether the gradient of input [01] is right .*may be off by .*: choose"):
        gradcheck(lambda x, w: rounding(function(x, change(w))), *inputs)


def test_a_function_that_draws_numbers_is_not_called_wrong():
    dropout = np.random.default_rng(0)
    with pytest.raises(GradientError, match="cannot tell"):
        gradcheck(lambda x: x * (dropout.random(x.shape) < 0.5), normal(5, 4))


@pytest.mark.parametrize("offset", [1e6, 1e9, 1e12, 1e16])
def test_values_far_larger_than_their_changes(offset):
    """They are rounded to a staircase; at 1e16 its steps are so high that nothing moves at all."""
    right, wrong = (lambda x: x + offset), (lambda x: product_off_by(1e-4)(x, np.ones((2, 3))) + offset)
    for function in right, wrong:
        try:
            assert gradcheck(function, normal(2, 3)) and function is right and offset == 1e6
        except GradientError as error:
            assert "cannot tell" in str(error) and offset > 1e6 or function is wrong and "input 0 at index (0, 0)" in str(error)


def test_a_curved_function_is_no_wrong_one():
    assert gradcheck(lambda x: tp.exp(300 * x), normal(2, 3) / 100)  # its central difference is wrong by 1.5e-6
    with pytest.raises(GradientError, match="input 0 at index"):
        gradcheck(lambda x: op(x=lambda dy, y: dy * 300.003 * y)(lambda x: np.exp(300 * x))(x), normal(2, 3) / 100)


@pytest.mark.parametrize("distance", [3e-4, 3e-3, 3e-2, 3e-1])
@pytest.mark.parametrize("ulps", [1e3, 1e6, 1e9])
def test_noise_beside_a_kink(distance, ulps):
    """The range over which the polynomial is fitted may reach over a kink: that must not be taken for a wrong gradient."""
    rounding = rounded(ulps, repeats=False)
    for seed in range(10):
        try:
            assert gradcheck(lambda x: rounding(tp.relu(x) * 3 + x), np.array([distance, 1.0, -distance]), seeds=[seed])
        except GradientError as error:
            assert "cannot tell" in str(error)


def strict_root(x):
    if (x.data < 0).any():
        raise ValueError("of a negative number")
    return tp.sqrt(x)


@pytest.mark.parametrize("function", [strict_root, tp.sqrt, tp.log])
def test_a_function_that_is_not_defined_far_away(function):
    rounding = rounded(1e3, repeats=False)
    assert gradcheck(lambda x: rounding(function(x)), np.array([0.1, 0.3]))


# what it refuses

@pytest.mark.parametrize("function", [lambda x: x * 0, lambda x: tp.relu(-abs(x)), lambda x: tp.softmax(x[:, :1]), lambda x: x - x])
def test_a_check_that_could_not_fail_is_refused(function):
    with pytest.raises(GradientError, match="this check could not fail"):
        gradcheck(function, normal(2, 3))


def test_an_infinite_derivative_is_refused():
    with np.errstate(all="ignore"), pytest.raises(GradientError, match="numeric derivative is (nan|inf)"):
        gradcheck(lambda x: x / 0, np.ones(2))


def test_a_function_that_changes_its_input_is_refused():
    with pytest.raises(GradientError, match="changed input 1: work on a copy"):
        gradcheck(lambda a, b: after(increment, lambda t: 2 * t)(b) + a, normal(3), normal(3).copy())


# what it does not do

def test_inputs_stay_as_they_are():
    a = np.asfortranarray(normal(3, 4))
    old = a.copy()
    a.flags.writeable = False
    assert gradcheck(lambda x: tp.tanh(x) @ tp.exp(x).transpose(), a)
    np.testing.assert_array_equal(a, old)
    assert gradcheck(tp.square, np.float32([1, 2]))  # converted to float64


def test_a_sum_is_blind_where_a_random_cotangent_sees():
    """Seeded with ones, as many checkers are, backward through softmax is zero, and so is every difference: any rule would pass."""
    x = tp.tensor(normal(2, 4), requires_grad=True)
    step = 1e-5 * np.ones((2, 4)) * (np.arange(4) == 1)
    for softmax in (tp.softmax, softmax_without_gradient):
        x.grad = None
        softmax(x).sum().backward()
        numeric = (softmax(x.data + step).sum() - softmax(x.data - step).sum()) / 2e-5
        np.testing.assert_allclose(x.grad, 0, atol=1e-12)
        assert abs(numeric) < 1e-9
    assert gradcheck(tp.softmax, x.data)
    with pytest.raises(GradientError):
        gradcheck(softmax_without_gradient, x.data)
