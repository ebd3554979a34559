"""Options of ops: whatever comes is taken as NumPy or PyTorch would take it, or refused by an error of ours."""

import contextlib
import io

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn import autograd
from tinypredrnn.autograd import arrays, maths
from tinypredrnn.autograd.convolution import direct_conv
from tinypredrnn.autograd.implicit import implicit_conv
from tinypredrnn.autograd.op import Op
from tinypredrnn.autograd.winograd import winograd_conv, winograd_weights
from tinypredrnn.errors import ConfigError, Error, GraphError, RangeError

pytestmark = pytest.mark.filterwarnings("ignore")  # NumPy warns of what becomes infinite


def leaf(*shape):
    return tp.tensor(np.random.default_rng(0).random(shape, np.float32), requires_grad=True)


class Strange:
    """Neither a number nor an array."""


STRANGE = [None, "a", b"a", "same", 1.5, -1, 0, 7, 10**30, 10**400, -(10**400), 10**5000, float("nan"), float("inf"), 1j, True, [], (),
           [1.0], (1, 2, 3), [[1], [2, 3]], [None], (0, 0), (-1, -1), {}, {0: (1, 1)}, {1}, set(), Strange(), Strange, len, slice(None),
           slice("a"), slice(1.5), Ellipsis, np.float32(1.5), np.int64(5), np.array(2), np.array(1.5), np.array([0, 9]), np.array("a"),
           np.array([None]), np.array([1 + 1j]), np.zeros((0, 2)), tp.tensor(2), tp.tensor([1.0, 2.0]), [tp.tensor(1.0)], range(3),
           iter([1]), memoryview(b"ab"), ["a"], ("a", 1), [slice(None)]]

# every public op: a call with one of its options, or one of its inputs, left open
X, FRAMES, KERNEL, MAPS = leaf(2, 3), leaf(1, 4, 4, 2), leaf(3, 3, 2, 1), leaf(1, 4, 4, 1)
OPEN = {
    **{f"{op.name} {option}": lambda x, op=op, option=option: op(X, **{option: x})
       for op in (arrays.sum, arrays.mean, arrays.max) for option in ("axis", "keepdims")},
    **{op.name: lambda x, op=op: op(X, axis=x) for op in (tp.softmax, tp.log_softmax, tp.normalise)},
    "normalise eps": lambda x: tp.normalise(X, axis=1, eps=x),
    "reshape": lambda x: X.reshape(x), "reshape second": lambda x: X.reshape(2, x), "transpose": lambda x: X.transpose(x),
    "transpose second": lambda x: X.transpose(0, x), "broadcast_to": lambda x: X.broadcast_to(x),
    "broadcast_to second": lambda x: X.broadcast_to(2, x), "index": lambda x: X[x], "second index": lambda x: X[0, x],
    "index of a list": lambda x: X[[x]], "slice": lambda x: X[:x], "in": lambda x: x in X,
    "pad": lambda x: tp.pad(X, widths=x), "pad one": lambda x: tp.pad(X, widths=((1, 1), (shall_fit(x), 1))),
    "concat axis": lambda x: tp.concat(X, X, axis=x), "stack axis": lambda x: tp.stack(X, X, axis=x),
    "concat": lambda x: tp.concat(X, x), "stack": lambda x: tp.stack(X, x), "split": lambda x: tp.split(X, parts=x),
    "split axis": lambda x: tp.split(X, parts=1, axis=x), "split input": lambda x: tp.split(x, parts=1),
    "split second": lambda x: tp.split(X, x),
    **{f"{name} of conv2d": lambda x, name=name: tp.conv2d(FRAMES, KERNEL, **{name: x}) for name in ("stride", "padding", "dilation")},
    "x of conv2d": lambda x: tp.conv2d(x, KERNEL), "w of conv2d": lambda x: tp.conv2d(FRAMES, x),
    "b of conv2d": lambda x: tp.conv2d(FRAMES, KERNEL, x),
    "x beside": lambda x: tp.conv2d((FRAMES, x), KERNEL),
    **{f"{name} of conv2d_transpose": lambda x, name=name: tp.conv2d_transpose(MAPS, KERNEL, **{name: x})
       for name in ("stride", "padding", "dilation", "size")},
    "y of conv2d_transpose": lambda x: tp.conv2d_transpose(x, KERNEL), "w of conv2d_transpose": lambda x: tp.conv2d_transpose(MAPS, x),
    "b of conv2d_transpose": lambda x: tp.conv2d_transpose(MAPS, KERNEL, x),
    **{f"{name} of windows": lambda x, name=name: tp.windows(FRAMES, **{"kernel": 3, name: x})
       for name in ("kernel", "stride", "padding", "dilation")},
    "max_pool": lambda x: tp.max_pool(FRAMES, x), "upsample": lambda x: tp.upsample(FRAMES, shall_fit(x)),
    "insert_zeros": lambda x: tp.insert_zeros(FRAMES, shall_fit(x)),
    "space_to_depth": lambda x: tp.space_to_depth(FRAMES, x), "depth_to_space": lambda x: tp.depth_to_space(FRAMES, x),
    "slope": lambda x: tp.leaky_relu(X, slope=x), "low": lambda x: tp.clip(X, x, 1), "high": lambda x: tp.clip(X, 0, x),
    "condition": lambda x: tp.where(x, X, X), "where": lambda x: tp.where(X > 0, x, X),
    "where, no tensor": lambda x: tp.where(X.data > 0, x, 1.0), "+": lambda x: maths.add(X, x), "**": lambda x: X ** x,
    "r**": lambda x: x ** X, "maximum": lambda x: tp.maximum(x, X), "@": lambda x: tp.matmul(X, x),
    "bce": lambda x: tp.bce(X, x), "fused": lambda x: FUSED(X, x), "cotangent": lambda x: (X * 2).backward(x),
    "debug": lambda x: watched(x), "tile": lambda x: winograd_weights(KERNEL, tile=x),
    "winograd kernel": lambda x: winograd_conv(leaf(16, 2, 1), None, FRAMES, kernel=x, tile=2),
    "winograd padding": lambda x: winograd_conv(leaf(16, 2, 1), None, FRAMES, kernel=3, tile=2, padding=x),
    "winograd frames": lambda x: winograd_conv(leaf(16, 2, 1), None, x, kernel=3, tile=2),
    "direct": lambda x: direct_conv(FRAMES, KERNEL, stride=x),
    **{f"{name} of frames": lambda x, name=name: getattr(tp, name)(x, 2)
       for name in ("max_pool", "upsample", "insert_zeros", "space_to_depth", "depth_to_space")},
    "windows of frames": lambda x: tp.windows(x, kernel=3),
    **{f"{name} alone": lambda x, op=entry: op(*[x] * len(op.inputs)) for name, entry in vars(autograd).items() if isinstance(entry, Op)
       and entry is not implicit_conv and not entry.required and not entry.variadic},
}
FUSED = tp.fuse(lambda a, b: a * b + 1)


def watched(level):
    with tp.debug(level, file=io.StringIO()):
        pass


def shall_fit(x):
    """Sizes that no memory holds are not the question here."""
    return 2 if isinstance(x, int) and abs(x) > 10**9 and abs(x) < 10**300 else x


@pytest.mark.parametrize("name", OPEN)
def test_whatever_comes_is_taken_or_refused_in_a_sentence_of_ours(name):
    for x in STRANGE:
        if name.endswith("alone") and isinstance(x, (int, float)):  # Python computes with its own numbers
            continue
        try:
            result = OPEN[name](x)
        except Error as error:
            assert "\n" not in str(error) and len(str(error)) < 700, (name, x)
        except Exception as error:
            raise AssertionError(f"{name} with {str(type(x))}: {type(error).__name__}: {error}") from error
        else:
            for y in result if isinstance(result, tuple) else (result,):
                if isinstance(y, tp.Tensor) and y.requires_grad:  # what forward took, backward takes as well
                    y.backward(np.ones(y.shape, y.dtype))
                    X.grad = FRAMES.grad = KERNEL.grad = MAPS.grad = None


def test_what_numpy_and_pytorch_take_is_taken():
    x = leaf(2, 3)
    assert x.sum(axis=[0, 1]).shape == () and x.sum(axis=np.int64(1)).shape == (2,) and x.mean(axis=np.array([0])).shape == (3,)
    assert x.reshape([3, 2]).shape == x.reshape(np.array([3, 2])).shape == x.reshape(np.int64(3), -1).shape == (3, 2)
    assert tp.windows(FRAMES, kernel=3).shape == tp.windows(FRAMES, kernel=[3, 3]).shape == (1, 4, 4, 3, 3, 2)
    assert tp.leaky_relu(x, slope=np.float64(0.5)).dtype == np.float32
    rows = x[[tp.tensor(np.array(1)), tp.tensor(np.array(0))]]
    np.testing.assert_array_equal(rows.data, x.data[[1, 0]])
    tp.tensor(np.array(2.0), requires_grad=True).sum(axis=0).backward()
    assert tp.upsample(np.ones((1, 2, 2, 1)), 2).shape == (1, 4, 4, 1)


@pytest.mark.parametrize("number", [10**400, -(10**400)])
def test_an_integer_that_no_float_holds_is_refused(number):
    for use in lambda: X * number, lambda: number + X, lambda: FUSED(X, number):
        with pytest.raises(RangeError):
            use()


def test_unknown_promises_inputs_and_needs_are_refused():
    for make, word in ((lambda: tp.op("newer", x=lambda dy: dy), "newer"), (lambda: tp.op(z=lambda dy: dy), "z"),
                       (lambda: tp.op(x=lambda dy, x_size: dy), "x_size"), (lambda: tp.op(lambda dy: dy), "lambda")):
        with pytest.raises(ConfigError, match=f"{word}.*unknown: expected any of"):
            make()(lambda x, *, axis=0: x + axis)


def test_unfused_functions_refuse_what_fused_ones_refuse():
    for inputs, named in (((X,), {}), ((X, X, X), {}), ((X, X), {"c": X})):
        with tp.unfused(), pytest.raises(ConfigError):
            FUSED(*inputs, **named)
        with pytest.raises(ConfigError):
            FUSED(*inputs, **named)


def test_a_grad_that_cannot_be_added_to_is_refused_or_replaced():
    x = leaf(2, 3)
    for grad in np.zeros(3, np.float32), np.zeros((2, 3)), 0, tp.tensor(np.zeros((2, 3), np.float32)):
        x.grad = grad
        with pytest.raises(GraphError, match="set it to None"):
            (x * 2).sum().backward()
    x.grad = np.broadcast_to(np.float32(1), (2, 3))  # read-only
    (x * 2).sum().backward()
    x.grad *= 0.5
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 1.5))


def test_the_gradient_of_a_rule_that_promised_too_much_can_be_written_to():
    spread = tp.op("new", x=lambda dy, x_shape: np.broadcast_to(dy, x_shape))(lambda x: x.sum())
    x = leaf(2, 3)
    (spread(x) + spread(x)).backward()
    x.grad *= 0.5
    np.testing.assert_array_equal(x.grad, np.ones((2, 3)))


def test_gradcheck_finds_a_rule_that_writes_into_its_cotangent():
    double = tp.op(x=lambda dy: np.multiply(dy, 2, out=dy))(lambda x: x * 2)
    with pytest.raises(tp.errors.GradientError, match="changed its cotangent in place"):
        tp.gradcheck(double, np.ones(3))


@pytest.mark.parametrize("fused", [True, False])
def test_powers_of_zero_as_in_torch(fused):
    torch = pytest.importorskip("torch")
    a, b = (v.ravel() for v in np.meshgrid([0.0, -0.0, 0.5, 2.0], [-1.0, 0.0, 0.5, 3.0, np.inf]))
    for base in a, 0.0, 2.0:
        e, other = tp.tensor(b, requires_grad=True), torch.tensor(b, requires_grad=True)
        with contextlib.nullcontext() if fused else tp.unfused():
            tp.fuse(lambda base, e: base ** e)(base, e).sum().backward()
        torch.pow(torch.tensor(base) if isinstance(base, np.ndarray) else base, other).sum().backward()
        np.testing.assert_allclose(e.grad, other.grad.numpy())
