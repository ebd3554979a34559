"""Every op: its value against NumPy, its gradient against finite differences, its dtype. The cases stand in op_cases.py.

With --device gpu the same cases are compared with the CPU instead.
"""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from op_cases import CASES, ELEMENTWISE, as_tuple, assert_same_on, case, is_float, normal, run, spaced

import tinypredrnn as tp
from tinypredrnn import autograd
from tinypredrnn.autograd import Op, Tensor, maths
from tinypredrnn.autograd.implicit import implicit_conv

pytestmark = pytest.mark.filterwarnings("error")


def sliced(a):
    """The same values as every second element of a larger array, backwards along the last axis; beside them lies NaN, or 7."""
    room = np.full([2 * n for n in a.shape], np.nan if is_float(a) else 7, a.dtype)
    view = room[(..., *[slice(None, None, 2)] * (a.ndim - 1), *[slice(None, None, -2)] * (a.ndim > 0))]
    view[...] = a
    return view


LAYOUTS = {
    "contiguous": lambda a: a,
    "transposed": np.asfortranarray,
    "sliced": sliced,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape) if a.ndim else a,  # stride 0
}
SINGLE = {
    "one element": lambda a: a[(..., *(slice(0, 1),) * a.ndim)],
    "no axes": lambda a: np.asarray(a[(0,) * a.ndim]),
}
IN_LAYOUTS = [
    pytest.param(c.with_arrays(change), id=f"{c}-{layout}")
    for name, layouts, cases in (("any op", LAYOUTS, CASES), ("elementwise", SINGLE, ELEMENTWISE))
    for c in cases for layout, change in layouts.items() if not (c.ties and layout == "broadcast")
]
each_case = pytest.mark.parametrize("case", [pytest.param(c, id=str(c)) for c in CASES])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# is every op here?

def all_ops():
    """Every Op that a module of autograd holds, but the one that only GPUs have: tests/gpu puts it through the same."""
    modules = [importlib.import_module(f"tinypredrnn.autograd.{m.name}") for m in pkgutil.iter_modules(autograd.__path__)]
    found = {value for module in modules for value in vars(module).values() if isinstance(value, Op)}
    return (found | set(maths.TABLE.values())) - {implicit_conv}


def without_case(cases):
    """The ops, rules of ops and public functions that no case reaches."""
    functions = {c.function for c in cases}
    missing = {op.name for op in all_ops() - functions}
    rooms = {f"tinypredrnn.autograd.{room}" for room in ("elementwise", "arrays", "convolution")}
    public = {name: getattr(autograd, name) for name in autograd.__all__}
    missing |= {name for name, value in public.items() if getattr(value, "__module__", "") in rooms and value not in functions
                and not inspect.isgeneratorfunction(inspect.unwrap(value))}  # what one uses in a `with` is no op
    reached = {(c.function, name) for c in cases if isinstance(c.function, Op)
               for name, x in zip(c.function.inputs, c.inputs) if is_float(x)}
    return missing | {f"{op.name} by {name}" for op in all_ops() & functions for name in op.rules if (op, name) not in reached}


def test_every_op_and_every_rule_has_a_case():
    assert not without_case(CASES)


def test_a_missing_case_would_be_found():
    assert without_case([c for c in CASES if c.function is not tp.tanh]) == {"tanh"}
    assert without_case([c for c in CASES if c.function is not tp.bce]) == {"bce"}
    positives = [c for c in CASES if not (c.function is maths.power and is_float(c.inputs[1]))]
    assert without_case(positives) == {"power by b"}


# values and gradients

@pytest.mark.parametrize("case", IN_LAYOUTS)
def test_values_are_numpys(case):
    found = as_tuple(case.function(*(Tensor(x) if isinstance(x, np.ndarray) else x for x in case.inputs), **case.options))
    expected = as_tuple(case.reference(*case.inputs, **case.options))
    for y, z in zip(found, expected, strict=True):
        assert y.dtype == np.asarray(z).dtype
        np.testing.assert_allclose(y.numpy(), z, rtol=1e-12, atol=1e-14, strict=True)


@pytest.mark.parametrize("case", IN_LAYOUTS)
def test_gradients(case, device):
    if isinstance(case.function, Op) and not case.function.rules:
        assert run(case, device)[1] == []
    elif device == "cpu":
        assert tp.gradcheck(case.of_floats, *case.floats)
    else:
        assert_same_on(device, case, np.float64, 1e-10)
        assert_same_on(device, case, np.float32, 1e-4)


@pytest.mark.parametrize("case", [pytest.param(c, id=str(c)) for c in CASES if isinstance(c.function, Op)])
def test_plain_arrays_give_plain_arrays(case):
    """Without a tensor an op only computes."""
    found, expected = (as_tuple(f(*case.inputs, **case.options)) for f in (case.function, case.reference))
    for y, z in zip(found, expected, strict=True):
        assert isinstance(y, (np.ndarray, np.generic))
        np.testing.assert_allclose(y, z, rtol=1e-12, atol=1e-14)


# dtypes

def variants(case):
    """The case itself, and each of its float inputs replaced by plain numbers in turn, where others are left."""
    yield case
    if case.function not in maths.TABLE.values() or len(case.floats) < 2:
        return
    for i, x in enumerate(case.inputs):
        if case.function is tp.bce_with_logits and i == 0:
            continue  # no logit is known beforehand
        if is_float(x):
            for number in (float(x.flat[0]), np.float64(x.flat[0]), 1 + int(abs(x.flat[0]))):
                yield case._replace(inputs=(*case.inputs[:i], number, *case.inputs[i + 1:]))


@each_case
@each_dtype
def test_dtype_is_kept(case, dtype, device):
    for variant in variants(case.with_arrays(lambda x: x.astype(dtype) if is_float(x) else x)):
        outputs, gradients = run(variant, device)
        differentiable = not isinstance(case.function, Op) or case.function.rules
        assert {y.dtype for y in outputs} == {np.dtype(dtype if differentiable or case.function is maths.sign else bool)}
        assert [g.dtype for g in gradients] == [dtype] * len(variant.floats) * bool(differentiable)
        assert [g.shape for g in gradients] == [x.shape for x in variant.floats] * bool(differentiable)


OPERATORS = {
    "x + 2": lambda x: x + 2, "2.5 + x": lambda x: 2.5 + x, "x - 0.1": lambda x: x - 0.1, "3 - x": lambda x: 3 - x,
    "x * 0.1": lambda x: x * 0.1, "np.float64 * x": lambda x: np.float64(0.1) * x, "x / 3": lambda x: x / 3, "1 / x": lambda x: 1 / x,
    "x ** 2": lambda x: x**2, "x ** -0.5": lambda x: x**-0.5, "2 ** x": lambda x: 2**x, "0.5 ** x": lambda x: 0.5**x,
    "-x": lambda x: -x, "abs(x)": abs, "x.mean()": lambda x: x.mean(), "x.max()": lambda x: x.max(), "x[1]": lambda x: x[1],
    "x.sum(axis=0)": lambda x: x.sum(axis=0), "x.reshape(-1)": lambda x: x.reshape(-1), "x.reshape((3, 2))": lambda x: x.reshape((3, 2)),
    "x.transpose()": lambda x: x.transpose(), "x.transpose(1, 0)": lambda x: x.transpose(1, 0), "x @ y": lambda x: x @ x.transpose(),
    "x.broadcast_to": lambda x: x.broadcast_to(2, 2, 3), "a chain": lambda x: 1 / (1 + (-2 * x) ** 2) - x * 3 / 7 + 0.1,
}


@each_dtype
@pytest.mark.parametrize("formula", OPERATORS.values(), ids=OPERATORS.keys())
def test_operators_and_methods(formula, dtype):
    values = np.array([[0.5, 1, 2], [0.25, 4, 1.5]], dtype)
    x = tp.tensor(values, requires_grad=True)
    y = formula(x)
    np.testing.assert_allclose(y.numpy(), formula(values) if formula is not OPERATORS["x.broadcast_to"] else [values, values], rtol=1e-6)
    y.backward(np.ones_like(y.data))
    assert y.dtype == x.grad.dtype == dtype
    assert tp.gradcheck(formula, values.astype(np.float64))


def test_comparisons_are_constants():
    x = tp.tensor([1.0, 2.0], requires_grad=True)
    row = np.float32([3, 1])
    for y, expected in ((x < 1.5, [True, False]), (x > 1.5, [False, True]), (1.5 < x, [False, True]), (row > x, [True, False])):
        assert y.numpy().tolist() == expected and not y.requires_grad


def test_arrays_and_numbers_on_the_left_of_a_tensor():
    x = tp.tensor([[1.0, 2.0]], requires_grad=True)
    row = np.float32([[3, 5]])
    results = {row + x: [[4, 7]], row - x: [[2, 3]], row * x: [[3, 10]], row / x: [[3, 2.5]], row.T @ x: [[3, 6], [5, 10]]}
    for y, expected in results.items():
        assert isinstance(y, Tensor) and y.numpy().tolist() == expected


# inputs by name

@pytest.mark.parametrize("case", [
    case(lambda x, low, high: tp.clip(x, low=low, high=high), None, spaced(3, 4), -0.3, 0.4),
    case(lambda x, w, b: tp.conv2d(x, w, b=b), None, normal(1, 3, 3, 2), normal(3, 3, 2, 2), normal(2)),
    case(lambda x, w, b: tp.conv2d(x, b=b, w=w), None, normal(1, 3, 3, 2), normal(3, 3, 2, 2), normal(2)),
    case(lambda x, t: tp.bce_with_logits(target=t, logit=x), None, normal(3), spaced(3)),
    case(lambda a, b: tp.matmul(a=a, b=b), None, normal(2, 3), normal(3, 2)),
], ids=["clip", "conv2d", "conv2d reordered", "bce_with_logits", "matmul"])
def test_inputs_may_be_given_by_name(case):
    assert tp.gradcheck(case.of_floats, *case.floats)


# corners that no difference quotient can see

def gradient(function, *values):
    leaves = [tp.tensor(np.array(v), requires_grad=True) for v in values]
    y = function(*leaves)
    y.backward(np.ones_like(y.data))
    return [leaf.grad.tolist() for leaf in leaves]


def test_gradients_at_kinks():
    assert gradient(tp.relu, [-1.0, 0.0, 1.0]) == [[0, 0, 1]]
    assert gradient(abs, [-1.0, 0.0, 1.0]) == [[-1, 0, 1]]
    assert gradient(tp.leaky_relu, [-1.0, 0.0, 1.0]) == [[0.01, 0.01, 1]]
    assert gradient(tp.maximum, [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == [[0, 1, 1], [1, 0, 0]]  # ties go to the first
    assert gradient(tp.minimum, [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == [[1, 1, 0], [0, 0, 1]]
    assert gradient(lambda x: tp.clip(x, 0, 1), [-0.1, 0.0, 0.5, 1.0, 1.1]) == [[0, 1, 1, 1, 0]]
    assert gradient(lambda x: x.max(axis=-1), [[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]]) == [[[0, 0.5, 0.5], [1, 0, 0]]]  # ties share
    assert gradient(tp.max_pool, np.ones((1, 2, 2, 1))) == [[[[[0.25], [0.25]], [[0.25], [0.25]]]]]


def test_powers_of_zero():
    for exponent, expected in ((0, 0), (1, 1), (2, 0), (3, 0), (1.0, 1)):
        assert gradient(lambda x, exponent=exponent: x**exponent, [0.0, -0.0]) == [[expected, expected]]


@each_dtype
def test_extreme_inputs_stay_finite(dtype):
    """What is written to be safe from overflow is: values and gradients at the ends of the range."""
    x = np.array([-1e4, -200, -100, 0, 100, 200, 1e4], dtype)
    for function in (tp.sigmoid, tp.tanh, tp.softplus, tp.softmax, tp.log_softmax, lambda z: tp.bce_with_logits(z, 1.0),
                     lambda z: tp.bce_with_logits(z, 0.0), lambda z: tp.bce(tp.sigmoid(z), 1.0)):
        z = tp.tensor(x, requires_grad=True)
        y = function(z)
        y.backward(np.ones_like(y.data))
        assert np.isfinite(y.data).all() and np.isfinite(z.grad).all() and y.dtype == dtype


def test_a_certain_mistake_costs_13_8():
    costs = tp.bce(tp.tensor(np.array([0.0, 1.0, 0.0, 1.0])), np.array([0.0, 1.0, 1.0, 0.0])).numpy()
    np.testing.assert_allclose(costs, [1e-6, 1e-6, -np.log(1e-6), -np.log(1e-6)], rtol=1e-5)


@pytest.mark.parametrize("op", [tp.softmax, tp.log_softmax])
def test_softmax_of_nothing_is_nothing(op):
    x = tp.tensor(np.ones((2, 0, 3)), requires_grad=True)
    for axis in 0, 1, 2:
        x.grad = None
        y = op(x, axis=axis)
        y.sum().backward()
        assert y.shape == x.grad.shape == (2, 0, 3)


@pytest.mark.parametrize("op, derivative", [
    (tp.softplus, lambda x: 1 / (1 + np.exp(-x))), (tp.logsigmoid, lambda x: 1 / (1 + np.exp(x))),
    (lambda x: tp.bce_with_logits(x, 0.0), lambda x: 1 / (1 + np.exp(-x)))], ids=["softplus", "logsigmoid", "bce_with_logits"])
def test_tiny_gradients_are_exact_in_float32(op, derivative):
    x = tp.tensor(np.linspace(-60, 60, 241, dtype=np.float32), requires_grad=True)
    op(x).sum().backward()
    np.testing.assert_allclose(x.grad, derivative(x.data.astype(float)), rtol=1e-5)


def test_log_of_a_tiny_sigmoid():
    x = tp.tensor(np.float32([-20, -50, -200, 0, 20]), requires_grad=True)
    y = tp.logsigmoid(x)
    y.sum().backward()
    np.testing.assert_allclose(y.data, -np.logaddexp(0, -x.data.astype(float)), rtol=1e-6)
    np.testing.assert_allclose(x.grad, [1, 1, 1, 0.5, 0], atol=1e-6)
    fused = tp.fuse(lambda x: tp.logsigmoid(x))(x.data)
    np.testing.assert_allclose(fused, y.data, rtol=1e-6)


def test_taken_twice_counts_twice():
    x = tp.tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    (x[[0, 2, 2]] * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [1, 0, 110]


def test_a_tensor_as_an_index():
    x = tp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    chosen = x[x > 1.5]
    chosen.backward(np.float32([10, 20]))
    assert chosen.numpy().tolist() == [2, 3] and x.grad.tolist() == [0, 10, 20]


# PyTorch says the same

IN_TORCH = {
    "exp": lambda torch: torch.exp,
    "log": lambda torch: torch.log,
    "log1p": lambda torch: torch.log1p,
    "sqrt": lambda torch: torch.sqrt,
    "square": lambda torch: torch.square,
    "absolute": lambda torch: torch.abs,
    "tanh": lambda torch: torch.tanh,
    "sigmoid": lambda torch: torch.sigmoid,
    "hard_sigmoid": lambda torch: lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
    "relu": lambda torch: torch.relu,
    "leaky_relu": lambda torch: lambda x, slope=0.01: torch.nn.functional.leaky_relu(x, slope),
    "softplus": lambda torch: torch.nn.functional.softplus,
    "power": lambda torch: torch.pow,
    "maximum": lambda torch: torch.maximum,
    "minimum": lambda torch: torch.minimum,
    "clip": lambda torch: torch.clamp,
    "where": lambda torch: lambda condition, a, b: torch.where(condition != 0, a, b),
    "matmul": lambda torch: torch.matmul,
    "softmax": lambda torch: lambda x, axis=-1: torch.softmax(x, axis),
    "log_softmax": lambda torch: lambda x, axis=-1: torch.log_softmax(x, axis),
    "bce": lambda torch: lambda p, t: torch.nn.functional.binary_cross_entropy(*torch.broadcast_tensors(p, t), reduction="none"),
    "bce_with_logits": lambda torch: lambda x, t: torch.nn.functional.binary_cross_entropy_with_logits(
        *torch.broadcast_tensors(x, t), reduction="none"),
}


@pytest.mark.parametrize("case", [pytest.param(c, id=str(c)) for c in CASES if c.name in IN_TORCH])
def test_pytorch_agrees(case):
    torch = pytest.importorskip("torch")
    inputs = [torch.tensor(x, requires_grad=is_float(x)) if isinstance(x, np.ndarray) else x for x in case.inputs]
    expected = IN_TORCH[case.name](torch)(*inputs, **case.options)
    (expected * torch.tensor(np.random.default_rng(0).standard_normal(expected.shape))).sum().backward()
    (value,), gradients = run(case)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    for found, x in zip(gradients, [x for x in inputs if getattr(x, "requires_grad", False)], strict=True):
        np.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-10, atol=1e-13)
