"""Misuse is answered by the right class of error, in one sentence that names the op, the arguments, what was expected and what came."""

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.autograd import arrays, maths
from tinypredrnn.errors import ConfigError, DTypeError, Error, GraphError, ShapeError

pytestmark = pytest.mark.filterwarnings("error")


def f32(*shape):
    return tp.tensor(np.ones(shape, np.float32), requires_grad=True)


def f64(*shape):
    return tp.tensor(np.ones(shape), requires_grad=True)


def broken(rule):
    @tp.op(x=rule)
    def broken(x):
        return x + 0
    return broken


X = f32(2, 3)
FRAMES = f32(2, 4, 6, 3)
KERNEL = f32(3, 3, 3, 5)

# what is done, the class of error, what the message holds
SHAPES = {
    "add": (lambda: X + f32(4), "add", "a: float32 (2, 3)", "b: float32 (4,)"),
    "array on the left": (lambda: np.ones((4, 1, 2), np.float32) * X, "mul", "a: float32 (4, 1, 2)", "b: float32 (2, 3)"),
    "where": (lambda: tp.where(X > 0, X, f32(2)), "where", "condition: bool (2, 3)", "b: float32 (2,)"),
    "matmul": (lambda: X @ f32(2, 3), "matmul", "(..., n, k) @ (..., k, m)", "(2, 3) @ (2, 3)"),
    "matmul of a vector": (lambda: X @ f32(3), "matmul", "(..., n, k) @ (..., k, m)", "(2, 3) @ (3,)"),
    "vector matmul": (lambda: f32(2) @ X, "matmul", "(2,) @ (2, 3)"),
    "matmul of batches": (lambda: f32(2, 4, 3) @ f32(3, 3, 4), "matmul", "a: float32 (2, 4, 3)", "b: float32 (3, 3, 4)"),
    "matmul with a number": (lambda: X @ 2.0, "matmul", "(..., n, k) @ (..., k, m)", "(2, 3) @ ()"),
    "reshape": (lambda: X.reshape(4, 2), "reshape", "x: float32 (2, 3)", "shape=(4, 2)"),
    "transpose": (lambda: X.transpose(0, 1, 2), "transpose", "(2, 3)", "axes=(0, 1, 2)"),
    "broadcast_to": (lambda: X.broadcast_to(2, 4), "broadcast_to", "(2, 3)", "shape=(2, 4)"),
    "pad": (lambda: tp.pad(X, widths=((1, 1),) * 3), "pad", "(2, 3)", "widths=((1, 1), (1, 1), (1, 1))"),
    "crop": (lambda: tp.pad(X, widths=((-1, 0), (0, 0))), "pad", "(2, 3)", "widths=((-1, 0), (0, 0))"),
    "index": (lambda: X[2], "take", "(2, 3)", "index=2"),
    "too many indices": (lambda: X[0, 0, 0], "take", "(2, 3)", "index=(0, 0, 0)"),
    "mask": (lambda: X[np.array([True, False, True])], "take", "(2, 3)", "index="),
    "mean of nothing": (lambda: f32(2, 0).mean(axis=1), "mean", "at least one element", "(2, 0)"),
    "sum": (lambda: X.sum(axis=2), "sum", "(2, 3)", "axis=2"),
    "mean": (lambda: X.mean(axis=(0, 0)), "mean", "(2, 3)", "axis=(0, 0)"),
    "max": (lambda: X.max(axis=-3), "max", "(2, 3)", "axis=-3"),
    "softmax": (lambda: tp.softmax(X, axis=2), "softmax", "(2, 3)", "axis=2"),
    "normalise": (lambda: tp.normalise(X, axis=(1, 2)), "normalise", "(2, 3)", "axis=(1, 2)"),
    "concat": (lambda: tp.concat(X, f32(3, 3)), "concat", "parts[0]: float32 (2, 3)", "parts[1]: float32 (3, 3)"),
    "concat of unlike": (lambda: tp.concat(X, f32(2)), "concat", "parts[0]: float32 (2, 3)", "parts[1]: float32 (2,)"),
    "stack": (lambda: tp.stack(X, f32(3, 2)), "stack", "parts[0]: float32 (2, 3)", "parts[1]: float32 (3, 2)"),
    "split": (lambda: tp.split(X, parts=2), "split", "axis -1", "(2, 3)", "2 parts"),
    "split into none": (lambda: tp.split(X, parts=0), "split", "(2, 3)", "0 parts"),
    "split along nothing": (lambda: tp.split(X, parts=2, axis=2), "split", "(2, 3)", "axis=2"),
    "conv2d, channels": (lambda: tp.conv2d(FRAMES, f32(3, 3, 2, 5)),
                         "conv2d", "w (kh,kw,C,K)", "x (2, 4, 6, 3)", "w (3, 3, 2, 5)", "b None"),
    "conv2d, bias": (lambda: tp.conv2d(FRAMES, KERNEL, f32(3)), "conv2d", "b (K,)", "x (2, 4, 6, 3)", "w (3, 3, 3, 5)", "b (3,)"),
    "conv2d, a number as bias": (lambda: tp.conv2d(FRAMES, KERNEL, 0.5), "conv2d", "x (2, 4, 6, 3)", "b 0.5"),
    "conv2d, one frame": (lambda: tp.conv2d(f32(4, 6, 3), KERNEL), "conv2d", "x (B,H,W,C)", "x (4, 6, 3)"),
    "conv2d, small frame": (lambda: tp.conv2d(FRAMES, f32(5, 5, 3, 1), padding="valid"), "(5, 5) pixels", "(4, 6)"),
    "conv2d, dilated": (lambda: tp.conv2d(FRAMES, KERNEL, padding=1, dilation=4), "(9, 9) pixels", "(4, 6)"),
    "conv2d_transpose": (lambda: tp.conv2d_transpose(FRAMES, KERNEL), "conv2d_transpose", "y (2, 4, 6, 3)", "w (3, 3, 3, 5)"),
    "conv2d_transpose, size": (lambda: tp.conv2d_transpose(f32(1, 4, 4, 5), KERNEL, stride=2, size=(9, 8)),
                               "conv2d_transpose", "(9, 8)", "(5, 4)", "(4, 4)"),
    "windows": (lambda: tp.windows(FRAMES, kernel=(5, 3), padding=0), "(5, 3) pixels", "(4, 6)"),
    "max_pool": (lambda: tp.max_pool(FRAMES, 4), "max_pool", "4x6", "4x4"),
    "space_to_depth": (lambda: tp.space_to_depth(FRAMES, 4), "4x4", "4x6", "a patch that divides both"),
    "max_pool of one frame": (lambda: tp.max_pool(X), "max_pool", "(B,H,W,C)", "(2, 3)"),
    "no channels": (lambda: tp.conv2d(f32(1, 4, 4, 0), f32(3, 3, 0, 2)), "conv2d", "C and K from 1", "w (3, 3, 0, 2)"),
    "no features": (lambda: tp.conv2d(FRAMES, f32(3, 3, 3, 0)), "conv2d", "C and K from 1", "w (3, 3, 3, 0)"),
}

DTYPES = {
    "add": (lambda: X + f64(2, 3), "add", "a: float32 (2, 3)", "b: float64 (2, 3)", ".astype"),
    "array": (lambda: X * np.ones((2, 3)), "mul", "a: float32 (2, 3)", "b: float64 (2, 3)", ".astype"),
    "array on the left": (lambda: np.ones(3) - X, "sub", "a: float64 (3,)", "b: float32 (2, 3)", ".astype"),
    "array without axes": (lambda: X / np.array(2.0), "div", "b: float64 ()", ".astype"),
    "half": (lambda: X + np.ones(3, np.float16), "add", "b: float16 (3,)", ".astype"),
    "matmul": (lambda: X @ f64(3, 2), "matmul", "a: float32 (2, 3)", "b: float64 (3, 2)", ".astype"),
    "conv2d": (lambda: tp.conv2d(FRAMES, KERNEL, f64(5)), "conv", "b: float64 (5,)", ".astype"),
    "concat": (lambda: tp.concat(X, f64(2, 1)), "concat", "parts[1]: float64 (2, 1)", ".astype"),
    "large integers": (lambda: X * np.arange(3), "mul", "b: int64 (3,)", "float32 into float64", ".astype"),
    "concat with integers": (lambda: tp.concat(X, np.arange(6).reshape(2, 3)), "concat", "parts[1]: int64", "float32 into float64"),
    "a list": (lambda: X + [1.0, 2.0, 3.0], "add", "a: float32 (2, 3)", "[1.0, 2.0, 3.0]"),
    "nothing": (lambda: X * None, "mul", "b=None", "NoneType"),
    "an object": (lambda: X + object(), "expected an array or numbers", "object"),
    "complex numbers": (lambda: X * np.ones(3, complex), "mul", "b: complex128 (3,)"),
    "gradient of integers": (lambda: tp.tensor(np.arange(3), requires_grad=True), "tensor", "int64 has no gradient", ".astype"),
    "gradient of truth": (lambda: tp.tensor(np.array([True]), requires_grad=True), "tensor", "bool has no gradient"),
    "text": (lambda: tp.tensor("frames"), "tensor", "an array or numbers in nested lists", "got str"),
    "array of text": (lambda: tp.tensor(np.array(["a"])), "tensor", "expected numbers", "<U1"),
    "complex": (lambda: tp.tensor(np.array([1j])), "tensor", "expected numbers", "complex128"),
    "ragged lists": (lambda: tp.tensor([[1, 2], [3]]), "tensor", "nested lists", "got list"),
    "a dictionary": (lambda: tp.tensor({}), "tensor", "nested lists", "got dict"),
    "gradient of a condition": (lambda: tp.where(X, X, X), "where", "no derivative with respect to condition", "condition.detach()"),
    "gradient of a bound": (lambda: tp.clip(X, X, 1.0), "clip", "no derivative with respect to low", "low.detach()"),
    "cotangent": (lambda: (2 * X).backward(np.ones((2, 3))), "backward", "float32", "got float64", ".astype"),
}

CONFIGURATIONS = {
    "padding": (lambda: tp.conv2d(FRAMES, KERNEL, padding="full"), '"same", "valid" or a number of pixels', "'full'"),
    "negative padding": (lambda: tp.conv2d(FRAMES, KERNEL, padding=-1), "a number of pixels", "-1"),
    "fractional padding": (lambda: tp.conv2d(FRAMES, KERNEL, padding=0.5), "a number of pixels", "0.5"),
    "windows' padding": (lambda: tp.windows(FRAMES, kernel=(3, 3), padding=None), "a number of pixels", "None"),
    "transposed padding": (lambda: tp.conv2d_transpose(f32(1, 4, 4, 5), KERNEL, padding=-2), "a number of pixels", "-2"),
    "max_pool of nothing": (lambda: tp.max_pool(FRAMES, 0), "max_pool", "size", "from 1", "got 0"),
    "space_to_depth of nothing": (lambda: tp.space_to_depth(FRAMES, 0), "space_to_depth", "patch", "got 0"),
    "a fractional axis": (lambda: X.sum(axis=1.0), "sum", "axis", "a whole number", "got 1.0"),
    "a fractional length": (lambda: X.reshape(2.0, 3), "reshape", "shape", "whole numbers", "got (2.0, 3)"),
    "a fraction of parts": (lambda: tp.split(X, parts=1.5), "split", "parts", "got 1.5"),
    "a fractional scale": (lambda: tp.upsample(FRAMES, 1.5), "upsample", "scale", "got 1.5"),
    "stride": (lambda: tp.conv2d(FRAMES, KERNEL, stride=0), "stride", "from 1", "0"),
    "dilation": (lambda: tp.conv2d(FRAMES, KERNEL, dilation=-1), "dilation", "from 1", "-1"),
    "transposed stride": (lambda: tp.conv2d_transpose(f32(1, 4, 4, 5), KERNEL, stride=0), "stride", "from 1", "0"),
    "missing input": (lambda: maths.mul(X), "mul", "float32 (2, 3)", "the inputs a, b, got 1 of them"),
    "missing option": (lambda: tp.normalise(X), "normalise", "float32 (2, 3)", "it needs axis"),
    "unknown option": (lambda: X.sum(axes=1), "sum", "axes=1", "its options are axis, keepdims"),
    "two strides": (lambda: tp.conv2d(FRAMES, KERNEL, stride=(1, 2)), "whole number", "(1, 2)"),
    "two dilations": (lambda: tp.windows(FRAMES, kernel=(3, 3), dilation=[2, 2]), "whole number", "dilation", "[2, 2]"),
    "a fractional stride": (lambda: tp.conv2d_transpose(f32(1, 4, 4, 5), KERNEL, stride=0.5), "whole number", "stride", "0.5"),
    "empty kernel": (lambda: tp.conv2d(FRAMES, f32(0, 3, 3, 1)), "from 1", "(0, 3)"),
}

GRAPHS = {
    "not a scalar": (lambda: X.backward(), "backward", "(2, 3)", ".sum()", "cotangent"),
    "no graph": (lambda: tp.tensor([1.0]).backward(), "backward", "requires_grad=True"),
    "a wrong shape": (lambda: broken(lambda dy: dy[:1])(X).sum().backward(), "broken: its rule gave input 0", "(1, 3)", "(2, 3)"),
    "a wrong dtype": (lambda: broken(lambda dy: dy.astype(float))(X).sum().backward(), "broken: its rule", "float64", "float32 (2, 3)"),
}


@pytest.mark.parametrize(
    ("misuse", "error", "words"),
    [pytest.param(misuse, error, words, id=f"{error.__name__}, {name}")
     for error, table in ((ShapeError, SHAPES), (DTypeError, DTYPES), (ConfigError, CONFIGURATIONS), (GraphError, GRAPHS))
     for name, (misuse, *words) in table.items()])
def test_misuse_is_explained(misuse, error, words):
    with pytest.raises(Error) as caught:
        misuse()
    message = str(caught.value)
    assert type(caught.value) is error, message
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message and not message.endswith(".")


def test_errors_are_python_errors_too():
    """So that a program without these classes at hand catches what it expects."""
    for misuse, error in ((lambda: X + f32(4), ValueError), (lambda: X + f64(3), TypeError), (lambda: X.backward(), RuntimeError)):
        with pytest.raises(error):
            misuse()


def test_a_refused_op_changes_nothing():
    before = X.data.copy()
    for misuse, *_ in (*SHAPES.values(), *DTYPES.values(), *CONFIGURATIONS.values()):
        with pytest.raises(Error):
            misuse()
    np.testing.assert_array_equal(X.data, before)
    assert X.grad is None and X.node is None


def test_what_is_no_error():
    """Small integers and truth values take part as constants; integers alone stay integers."""
    assert (X * np.ones(3, np.uint8)).dtype == (X * np.ones(3, bool)).dtype == (X * np.float32(2)).dtype == np.float32
    counts = tp.tensor(np.arange(3))
    assert (counts + counts).dtype == counts.sum().dtype == (counts * 2).dtype == np.int64
    assert X.reshape(np.int64(6)).shape == (6,)
    assert tp.tensor([1, 2]).dtype == tp.tensor([[1.5]]).dtype == tp.tensor(3).dtype == np.float32
    assert tp.tensor(np.ones(2)).dtype == np.float64 and tp.tensor(X).data is X.data
    values = np.ones(3)
    assert tp.tensor(values).data is values  # neither copied nor converted


def test_arrays_made_of_tensors_hold_their_values():
    for values in np.asarray(X.detach()), X.numpy():
        assert values.dtype == np.float32 and values.shape == (2, 3) and values is X.data
    np.testing.assert_array_equal(X.detach(), np.ones((2, 3)))
    first, second = X
    assert first.shape == second.shape == (3,) and len(list(X)) == 2


def test_repr_shows_what_it_is():
    text = repr(X)
    assert all(word in text for word in ("Tensor(", "(2, 3)", "float32", "cpu", "requires_grad")) and "made by tanh" in repr(tp.tanh(X))
    assert repr(maths.add) == "<op add>" and repr(arrays.sum) == "<op sum>"


SUBTLE = {
    "unknown option": (lambda: tp.conv2d_transpose(FRAMES, KERNEL, strides=2), ConfigError, "conv2d_transpose", "strides"),
    "transposed padding": (lambda: tp.conv2d_transpose(f32(1, 4, 4, 5), KERNEL, padding="full"), ConfigError, "pixels", "'full'"),
    "nothing": (lambda: tp.tensor(None), DTypeError, "tensor", "got NoneType"),
    "a list in float64": (lambda: f64(3) ** [1.0, 2.0, 3.0], DTypeError, "power", "[1.0, 2.0, 3.0]"),
    "no parts": (lambda: tp.concat(), ShapeError, "concat"),
    "wrong channels for patches": (lambda: tp.depth_to_space(f32(1, 2, 2, 3), 2), ShapeError, "patches of 2x2", "3"),
}


@pytest.mark.parametrize(("misuse", "error", "words"), [(m, e, w) for m, e, *w in SUBTLE.values()], ids=SUBTLE.keys())
def test_subtle_misuse_is_explained(misuse, error, words):
    test_misuse_is_explained(misuse, error, words)


@pytest.mark.parametrize("use", [
    lambda: (X.sum()).backward(2.0),
    lambda: X / np.prod((2, 3)),
    lambda: X.sum(axis=np.int64(0)).sum().backward(),
], ids=["a number as cotangent", "division by a product of lengths", "a NumPy axis"])
def test_numbers_that_numpy_makes_are_numbers(use):
    try:
        use()
    finally:
        X.grad = None


@pytest.mark.parametrize("bug", [TypeError("a bug"), AttributeError("a bug"), KeyError("a bug"), ZeroDivisionError("a bug")], ids=repr)
def test_a_bug_within_an_op_is_not_blamed_on_the_user(bug):
    def forward(x):
        raise bug

    with pytest.raises(type(bug), match="a bug") as caught:
        tp.op(x=lambda dy: dy)(forward)(X)
    assert not isinstance(caught.value, Error)


@pytest.mark.parametrize("widths", [((1, 1),), 1, (1, 1), ((1, 1), (0,)), {0: (1, 1)}])
def test_pad_takes_a_pair_for_each_axis(widths):
    """NumPy pads every axis by a single pair, which the rule does not know: its gradient would be wrong."""
    with pytest.raises((ShapeError, ConfigError), match=r"pair \(before, after\) for each axis"):
        tp.pad(tp.tensor(np.ones((3, 1)), requires_grad=True), widths=widths)


@pytest.mark.parametrize("entry, inputs", [
    (tp.where, ([True, False], np.ones(2), np.zeros(2))), (tp.mul, ([1.0, 2.0], 2)), (tp.add, ([1.0], [2.0])), (tp.equal, ((1, 2), 1)),
    (tp.concat, ([X, X],)), (tp.stack, ((X, X),)), (tp.stack, ([X], X))])
def test_lists_are_no_arrays(entry, inputs):
    """Of which Python would make something else: [1.0, 2.0] * 2 is longer, and [True, False] != 0 is true. NumPy would
    lose the gradients of tensors in a list."""
    with pytest.raises(DTypeError, match="got (list|tuple)"):
        entry(*inputs)
