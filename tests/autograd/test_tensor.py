"""A tensor's doors to other libraries share its memory or say why they do not, and what it prints is worth reading."""

import copy
import operator
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.autograd.numpy_functions import REPLACEMENTS
from tinypredrnn.backend import adopt
from tinypredrnn.errors import DeviceError, DTypeError, GraphError, ShapeError
from tinypredrnn.nn import Linear, Module

pytestmark = pytest.mark.filterwarnings("error")
DTYPES = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]


class Speaks:
    """An array of a library that says where it lies, and hands out NumPy's memory."""

    def __init__(self, array, where=(1, 0), **attributes):
        self.array, self.where = array, where
        vars(self).update(attributes)

    def __dlpack_device__(self):
        return self.where

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)


# NumPy

def test_numpy_sees_the_same_memory():
    x = tp.tensor(np.arange(6.0).reshape(2, 3))
    for view in (np.asarray(x), np.from_dlpack(x), x.numpy(), np.array(x, copy=False)):
        view[0, 1] += 10
        x.data[1, 2] += 1
        assert view.tolist() == x.data.tolist() and np.shares_memory(view, x.data)
    assert x.data[0, 1] == 41


def test_numpy_gets_a_copy_where_it_asks_for_one():
    x = tp.tensor(np.ones(3))
    for copied in (np.array(x), np.asarray(x, dtype=np.float32), np.from_dlpack(x, copy=True)):
        copied[:] = 5
        assert x.data.tolist() == [1, 1, 1]
    assert np.asarray(x, dtype="float32").dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float32, copy=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cut", [lambda a: a, lambda a: a.T, lambda a: a[:, ::2], lambda a: a[1], lambda a: a[1, 2, ...], lambda a: a[:0]],
                         ids=["whole", "transposed", "strided", "row", "number", "empty"])
def test_every_dtype_and_layout_goes_through(dtype, cut):
    a = cut(np.arange(12).reshape(3, 4).astype(dtype))
    for back in (np.from_dlpack(tp.tensor(a)), adopt(a), tp.from_dlpack(a).data, tp.tensor(Speaks(a)).data):
        assert back.dtype == a.dtype and back.shape == a.shape and back.tolist() == a.tolist()
        assert a.size == 0 or np.shares_memory(back, a)


# NumPy's functions

FUNCTIONS = {
    "concatenate": lambda x: np.concatenate([x, x]), "stack": lambda x: np.stack((x, x)),
    "vstack": lambda x: np.vstack([x, np.ones(3)]), "block": lambda x: np.block([[x, x], [x, x]]),
    "where": lambda x: np.where(np.ones((2, 3)) > 0, x, 0), "clip": lambda x: np.clip(x, 0, 1),
    "dot": lambda x: np.dot(x, np.ones(3)), "einsum": lambda x: np.einsum("ij,ij->i", np.ones((2, 3)), x),
    "tensordot": lambda x: np.tensordot(x, x), "pad": lambda x: np.pad(x, 1), "split": lambda x: np.split(x, 2),
    "mean": lambda x: np.mean(x), "sum": lambda x: np.sum(x, axis=0), "max": lambda x: np.max(x),
    "var": lambda x: np.var(x), "cumsum": lambda x: np.cumsum(x), "reshape": lambda x: np.reshape(x, -1),
    "transpose": lambda x: np.transpose(x), "nan_to_num": lambda x: np.nan_to_num(x),
    "copyto": lambda x: np.copyto(np.zeros((2, 3)), x), "linalg.norm": lambda x: np.linalg.norm(x),
    "fft.fft": lambda x: np.fft.fft(x), "interp": lambda x: np.interp([0.5], [0, 1, 2], x[0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpys_functions_lose_no_gradient_without_a_word(name):
    call, values = FUNCTIONS[name], np.arange(6.0).reshape(2, 3)
    for x in (tp.tensor(values, requires_grad=True), tp.tensor(values, requires_grad=True) * 1.0):
        with pytest.raises(GraphError, match=rf"^np\.{name}: NumPy would lose the gradient that a tensor of") as caught:
            call(x)
        assert f"use {REPLACEMENTS.get(name, 'ops of tinypredrnn')}, or pass x.detach() to use its values" in str(caught.value)
    np.testing.assert_array_equal(np.asarray(call(x.detach()), object), np.asarray(call(values), object))
    assert not isinstance(call(x.detach()), tp.Tensor)


def test_what_keeps_the_gradient_instead_is_there():
    for name, instead in REPLACEMENTS.items():
        assert hasattr(np, name)
        assert all(hasattr(tp, op) for op in re.findall(r"tp\.(\w+)", instead)), instead
        assert all(hasattr(tp.Tensor, method) for method in re.findall(r"x\.(\w+)", instead)), instead


def test_numpys_functions_without_a_derivative_take_every_tensor(tmp_path):
    values = np.array([[1.0, 3.0], [2.0, 0.0]])
    x = tp.tensor(values, requires_grad=True)
    assert np.shape(x) == np.zeros_like(x).shape == (2, 2) and np.ndim(x) == 2 and np.size(x) == 4
    assert np.argmax(x) == 1 and np.count_nonzero(x) == 3 and np.isclose(x, 3).sum() == 1
    assert np.allclose(x, values) and np.array_equal(x, values) and np.shares_memory(x, x.data)
    np.save(tmp_path / "x.npy", x)
    assert np.load(tmp_path / "x.npy").tolist() == values.tolist()
    np.testing.assert_allclose(x.numpy(), values)
    np.testing.assert_array_equal(x.detach() * 2, values * 2)


@pytest.mark.parametrize("lose", [
    lambda x: np.asarray(x), lambda x: np.array([x, x]), lambda x: np.ones(3).dot(x), lambda x: np.r_[x, x], lambda x: np.c_[x, x],
    lambda x: np.zeros(3).__setitem__(slice(None), x), lambda x: np.random.default_rng(0).permutation(x), lambda x: np.stack([[x, x]]),
    lambda x: np.mean([x, x]), lambda x: np.vectorize(abs)(x), lambda x: np.testing.assert_allclose(x, 1)])
def test_no_array_of_numpy_takes_values_and_loses_their_gradient(lose):
    x = tp.tensor(np.ones(3), requires_grad=True)
    with pytest.raises(GraphError, match=r"x\.detach\(\)"):
        lose(x)
    lose(x.detach())
    with tp.no_grad():
        lose(x * 1)  # what nothing was recorded of


def test_numpys_ufuncs_are_refused_and_never_write_to_an_array():
    """`__array_ufunc__ = None` says so, to NumPy and to CuPy: the sentence is NumPy's."""
    x, array = tp.tensor(np.ones(3), requires_grad=True), np.ones(3)
    for call in (lambda: np.exp(x), lambda: np.add(x, 1), lambda: np.add.reduce(x), lambda: operator.iadd(array, x),
                 lambda: np.exp(array, out=x)):
        with pytest.raises(TypeError, match="operand 'Tensor' does not support ufuncs"):
            call()
    assert array.tolist() == [1, 1, 1]


@pytest.mark.parametrize("left", [np.array([1.0, 2.0, 3.0]), np.float64(2), np.array(2.0), 2],
                         ids=["array", "NumPy's number", "without axes", "Python's number"])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "lt", "gt", "le", "ge", "eq", "ne"])
def test_an_operator_with_a_tensor_on_the_right_is_the_tensors(name, left):
    operate, right = getattr(operator, name), np.array([3.0, 2.0, 1.0])
    y = operate(left, tp.tensor(right, requires_grad=True))
    assert isinstance(y, tp.Tensor) and y.data.tolist() == operate(left, right).tolist()
    assert y.requires_grad == (y.dtype.kind == "f")


def test_matrix_products_with_an_array_on_the_left():
    x = tp.tensor(np.ones((2, 2)), requires_grad=True)
    (np.array([[1.0, 2.0]]) @ x).sum().backward()
    assert x.grad.tolist() == [[1, 1], [2, 2]]


def test_pictures_take_tensors():
    from matplotlib.figure import Figure

    x = tp.tensor(np.arange(6.0).reshape(2, 3))
    axes = Figure().subplots(2, 3).ravel()
    (line,) = axes[0].plot(x[0], x[1])
    assert line.get_xydata().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert axes[1].imshow(x).get_array().tolist() == x.data.tolist()
    assert [bar.get_height() for bar in axes[2].bar(np.arange(3), x[1])] == [3, 4, 5]
    axes[3].scatter(x[0], x[1], c=x[0])
    axes[3].fill_between(x[0], x[1])
    axes[4].hist(x[0])
    axes[5].stackplot(x[0], x[1])
    axes[0].figure.canvas.draw()


def test_pandas_leaves_operators_to_the_tensor():
    pandas = pytest.importorskip("pandas")
    x = tp.tensor(np.ones(3), requires_grad=True)
    for left in (pandas.Series([1.0, 2.0, 3.0]), pandas.DataFrame([[1.0, 2.0, 3.0]])):
        y = left * x
        assert isinstance(y, tp.Tensor) and y.requires_grad and y.numpy().ravel().tolist() == [1, 2, 3]


# Python

def test_pythons_own_functions_keep_the_graph_or_say_why_not():
    x = tp.tensor([1.0, 3.0, 2.0], requires_grad=True)
    for y in (sum(x), max(x), sorted(x)[-1], list(x)[1], next(reversed(x)), sum(x[:1])):
        assert isinstance(y, tp.Tensor) and y.requires_grad
    assert 3.0 in x and 4.0 not in x and x[1] in x and np.float32(2) in x
    assert float(x[1]) == x[1].item() == float(x[1:2]) == 3 and bool(x[0]) and not bool(x[0] * 0)
    assert len({x, x.detach(), x}) == 2  # hashed by identity
    number = x.sum()
    for call, many, error, words in (
        (bool, x, ShapeError, "bool: a tensor of shape (3,) is neither true nor false"),
        (bool, x[:0], ShapeError, "bool: a tensor of shape (0,)"), (float, x, ShapeError, "shape (3,)"),
        (tp.Tensor.item, x, ShapeError, "item: expected a tensor of one element, got one of shape (3,)"),
        *((call, number, TypeError, "len: a tensor of shape ()") for call in (len, list, iter)),
    ):
        with pytest.raises(error, match=re.escape(words)):
            call(many)
    assert not np.iterable(number)


def test_copies_of_tensors():
    x = tp.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.data.tolist() == [1, 2] and twin.grad.tolist() == [2, 4] and twin.requires_grad
        (twin * twin).sum().backward()
        assert twin.grad.tolist() == [4, 8] and x.grad.tolist() == [2, 4] and not np.shares_memory(twin.data, x.data)
    shallow = copy.copy(x)
    shallow.sum().backward()
    assert shallow.data is x.data and shallow.grad.tolist() == [1, 1] and x.grad.tolist() == [2, 4]
    y = copy.copy(x * 3)
    y.sum().backward()
    assert x.grad.tolist() == [5, 7]  # with the past
    for call in (copy.deepcopy, pickle.dumps):
        with pytest.raises(GraphError, match=r"made by mul, and only leaves can be copied.*copy tensor\.detach\(\)"):
            call(x * 3)
    assert copy.deepcopy((x * 3).detach()).data.tolist() == [3, 6]


def test_a_copy_of_a_module_learns_by_itself():
    layer = Linear(2, 1, np.random.default_rng(0))
    twin = copy.deepcopy(layer)
    twin(tp.tensor([[1.0, 2.0]])).sum().backward()
    assert twin.weight.data.tolist() == layer.weight.data.tolist()
    assert twin.weight.grad is not None and layer.weight.grad is None


# what NumPy has besides arrays of numbers

def test_subclasses_become_arrays():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    nothing_masked = np.ma.array(values), np.ma.array(values, mask=False)
    for array in (values.view(np.matrix), values.view(np.recarray), *nothing_masked):
        x = tp.tensor(array)
        assert type(x.data) is np.ndarray and np.shares_memory(x.data, values)
        assert (x * x).data.tolist() == [[1, 4], [9, 16]]


REFUSED = {
    "masked": (lambda: np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]), DTypeError,
               r"1 of 3 values are masked.*array\.filled\(value\)"),
    "masked, in a list": (lambda: [np.ma.array([1.0, 2.0], mask=[0, 1])], DTypeError, "1 of 2 values are masked"),
    "the masked value": (lambda: np.ma.masked, DTypeError, "1 of 1 values are masked"),
    "other bytes": (lambda: np.ones(3, np.dtype("f4").newbyteorder()), DTypeError,
                    r"in this machine's byte order, got [<>]f4:.*\.astype\('float32'\)"),
    "other integers": (lambda: np.ones(3, np.dtype("i2").newbyteorder()), DTypeError, r"astype\('int16'\)"),
    "complex": (lambda: np.ones(2, complex), DTypeError, "expected numbers, got an array of dtype complex128"),
    "objects": (lambda: np.array([1.0, None]), DTypeError, "dtype object"),
    "a structure": (lambda: np.zeros(2, [("x", "u1")]), DTypeError, r"dtype \[\('x', 'u1'\)\]"),
    "dates": (lambda: np.array(["2020-01-01"], "M8[D]"), DTypeError, r"dtype datetime64\[D\]"),
    "spans": (lambda: np.ones(2, "m8[s]"), DTypeError, r"dtype timedelta64\[s\]"),
    "None in a list": (lambda: [1.0, None], DTypeError, "got list of dtype object"),
    "a word that is a number": (lambda: "3.5", DTypeError, "got str"),
    "words that are numbers": (lambda: ["1", "2"], DTypeError, "got list of dtype <U1"),
    "complex, in a list": (lambda: [1j], DTypeError, "got list of dtype complex128"),
    "a set": (lambda: {1.0, 2.0}, DTypeError, "got set of dtype object"),
    "tensors with a gradient": (lambda: [tp.tensor([1.0], requires_grad=True) * 2, tp.tensor([1.0])], GraphError,
                                r"tp\.stack\(\*tensors\), or x\.detach\(\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_array_of_numbers_is_explained(name):
    make, error, words = REFUSED[name]
    with pytest.raises(error, match=f"^tensor: .*{words}") as caught:
        tp.tensor(make())
    assert type(caught.value) is error and "\n" not in str(caught.value)


def test_ops_take_arrays_of_every_kind_by_the_same_door():
    x, values = tp.tensor(np.ones((2, 2)), requires_grad=True), np.array([[1.0, 2.0], [3.0, 4.0]])
    matrix = values.view(np.matrix)
    for y in (x * matrix, matrix * x, x * np.ma.array(values), np.ma.array(values) * x, x * Table(values), x * Speaks(values)):
        assert y.data.tolist() == values.tolist() and y.requires_grad  # element by element, np.matrix too
    masked = np.ma.array(values, mask=values > 3)
    for use in (lambda: x * masked, lambda: masked * x, lambda: tp.where(masked > 1, x, x), lambda: tp.concat(x, masked)):
        with pytest.raises(DTypeError, match="1 of 4 values are masked"):
            use()
    with pytest.raises(GraphError, match=r"Speaks requires a gradient there.*pass x\.detach\(\)"):
        x * Speaks(values, requires_grad=True)
    for thing in (1j, "a", {1.0}):
        with pytest.raises(DTypeError, match=f"got {type(thing).__name__} of dtype"):
            x * thing


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="a long double is a float64 here")
def test_long_doubles_are_refused():
    with pytest.raises(DTypeError, match=r"at most 8 bytes.*\.astype\('float64'\)"):
        tp.tensor(np.ones(2, np.longdouble))


class Table:
    """As pandas' tables and Pillow's images: no array, but NumPy knows to make one of it."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_numpy_makes_an_array_of_keeps_its_dtype(dtype):
    assert tp.tensor(Table(np.ones((2, 3), dtype))).dtype == np.dtype(dtype)
    with pytest.raises(DTypeError, match="got Table of dtype object"):
        tp.tensor(Table(np.array(["a", None])))


def test_lists_of_arrays_and_of_tensors_are_lists_of_numbers():
    parts = [tp.tensor([1.0, 2.0]), np.array([3.0, 4.0])]
    assert tp.tensor(parts).data.tolist() == [[1, 2], [3, 4]] and tp.tensor(parts).dtype == np.float32
    assert tp.tensor([np.ma.array([1.0, 2.0])]).data.tolist() == [[1, 2]] and tp.tensor(range(3)).dtype == np.float32


def test_arrays_that_cannot_be_written_to_can_be_computed_with():
    fixed = np.broadcast_to(np.array([2.0]), (3,))
    x = tp.tensor(fixed, requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.tolist() == [4, 4, 4] and x.data is fixed


# another library

def test_an_array_that_speaks_dlpack_is_used_as_it_is():
    a = np.arange(3.0)
    for make in (tp.tensor, tp.from_dlpack):
        x = make(Speaks(a))
        a[0] += 1
        assert x.data[0] == a[0] and x.dtype == np.float64 and not x.requires_grad and x.device == "cpu"
    assert tp.tensor(Speaks(a), requires_grad=True).requires_grad
    assert tp.tensor(Speaks(a, where=(3, 0))).data.tolist() == a.tolist()  # the CPU's memory, pinned for a GPU
    (tp.tensor(Speaks(a), requires_grad=True) * 2).sum().backward()


def test_what_requires_a_gradient_is_not_shared():
    x = tp.tensor(np.ones(2), requires_grad=True)
    for t in (x, x * 2):
        with pytest.raises(GraphError, match=r"requires a gradient.*export tensor\.detach\(\)"):
            np.from_dlpack(t)
        shared = np.from_dlpack(t.detach())
        assert np.shares_memory(shared, t.data)
    with pytest.raises(GraphError, match=r"this \w+ Speaks requires a gradient there.*pass x\.detach\(\)"):
        tp.tensor(Speaks(np.ones(2), requires_grad=True))
    assert tp.tensor(Speaks(np.ones(2), requires_grad=False)).size == 2


class Refuses(Speaks):
    def __dlpack__(self, **options):
        raise self.error


@pytest.mark.parametrize("error", [BufferError("no such layout"), RuntimeError("no such layout."), TypeError("no such layout"),
                                   ValueError("no such layout")])
def test_what_cannot_be_shared_is_explained(error):
    with pytest.raises(DTypeError, match=r"a \w+ Refuses of bfloat16 cannot be shared \(no such layout\): expected a dense array"):
        tp.from_dlpack(Refuses(np.ones(2), error=error, dtype="bfloat16"))


def test_other_devices_and_other_things_are_explained():
    with pytest.raises(DeviceError, match="Speaks on the CPU or a CUDA GPU, got one on mps:0: move it first"):
        tp.tensor(Speaks(np.ones(2), where=(8, 0), device="mps:0"))
    for thing in ([1.0], 3, None, "text"):
        with pytest.raises(DTypeError, match=f"supports DLPack, such as PyTorch's, got {type(thing).__name__}"):
            tp.from_dlpack(thing)
    for integers in (lambda: tp.tensor(Speaks(np.arange(3)), requires_grad=True), lambda: tp.tensor(Speaks(np.ones(2, complex)))):
        with pytest.raises(DTypeError, match="int64 has no gradient|expected numbers, got an array of dtype complex128"):
            integers()


def fixed(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(("make", "words"), [
    (lambda: np.arange(6.0)[::-1], "runs backwards"),
    (lambda: np.ones((2, 3))[:, ::-1], "runs backwards"),
    (lambda: np.ones((4, 3))[::-2, 1], "runs backwards"),
    (lambda: fixed(np.ones(3)), "is read-only"),
    (lambda: np.broadcast_to(np.ones(1), (3,)), "is read-only"),
    (lambda: np.zeros(3, [("x", "f4"), ("y", "i1")])["x"], "cannot be shared"),
], ids=["backwards", "backwards along an axis", "backwards in steps", "fixed", "repeated", "out of step"])
def test_memory_that_other_libraries_take_wrongly_is_not_handed_out(make, words):
    x = tp.tensor(make())
    with pytest.raises(DTypeError, match=rf"^dlpack: .*{words}.*: export a copy, tensor\(x\.data\.copy\(\)\)$"):
        np.from_dlpack(x)
    for copied in (np.from_dlpack(tp.tensor(x.data.copy())), np.from_dlpack(x, copy=True)):
        assert copied.tolist() == x.data.tolist() and copied.flags.writeable
    assert np.shares_memory(np.asarray(x), x.data)  # NumPy itself knows such arrays


# PyTorch

@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_pytorch_and_back_share_memory(torch):
    theirs = torch.arange(6.0).reshape(2, 3)
    for make in (tp.tensor, tp.from_dlpack):
        ours = make(theirs)
        theirs[0, 0] += 1
        ours.data[1, 2] += 2
        assert ours.data.tolist() == theirs.tolist() and ours.dtype == np.float32
        assert ours.data.__array_interface__["data"][0] == theirs.data_ptr()
    x = tp.tensor(np.zeros((2, 2)))
    for back in (torch.from_dlpack(x), torch.asarray(np.asarray(x))):
        back[0, 1] += 3
        x.data[1, 0] += 4
        assert back.tolist() == x.data.tolist() and back.dtype == torch.float64
    assert torch.from_dlpack(tp.tensor(theirs)).data_ptr() == theirs.data_ptr()  # round


@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorchs_dtypes(torch, dtype):
    theirs = torch.ones((2, 3), dtype=getattr(torch, dtype)).T[1:]
    ours = tp.tensor(theirs)
    assert ours.dtype == np.dtype(dtype) and ours.shape == (2, 2) and torch.from_dlpack(ours).dtype == theirs.dtype


def test_what_pytorch_cannot_share(torch):
    parameter = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(GraphError, match=r"this torch Parameter requires a gradient there.*pass x\.detach\(\)"):
        tp.tensor(parameter)
    assert tp.tensor(parameter.detach()).data.tolist() == [1, 1]
    with pytest.raises(DTypeError, match="a torch Tensor of torch.bfloat16 cannot be shared"):
        tp.tensor(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(DTypeError, match="a torch Tensor of torch.float32 cannot be shared"):
        tp.tensor(torch.eye(2).to_sparse())
    with pytest.raises(DTypeError, match="expected numbers, got an array of dtype complex64"):
        tp.tensor(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(GraphError, match=r"export tensor\.detach\(\)"):
        torch.from_dlpack(tp.tensor([1.0], requires_grad=True))


def test_signs_that_pytorch_has_not_yet_turned(torch):
    theirs = torch.imag(torch.complex(torch.ones(2), torch.ones(2)).conj())  # -1, -1, in the memory of 1, 1
    for make in (tp.tensor, tp.from_dlpack):
        with pytest.raises(DTypeError, match=r"^dlpack: .* with the opposite sign: pass x\.resolve_neg\(\)$"):
            make(theirs)
    with pytest.raises(DTypeError, match=r"resolve_neg\(\)"):
        tp.tensor([theirs, theirs])
    assert tp.tensor(theirs.resolve_neg()).data.tolist() == [-1, -1]


def test_tensors_of_pytorch_without_memory(torch):
    with pytest.raises(DTypeError, match="it has no memory"):
        tp.tensor(torch._efficientzerotensor(3))
    with pytest.raises(DTypeError, match="a torch Tensor of torch.float32 cannot be shared"):
        tp.tensor(torch.ones(2, device="meta"))
    assert tp.tensor(torch.ones((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("make", ["np.arange(6.0)[::-1]", "np.broadcast_to(np.ones(1), (3,))"])
def test_pytorch_never_ends_the_program(torch, make):
    """In a program of its own, for what may end it."""
    code = f"import numpy as np, torch, tinypredrnn as tp; torch.from_dlpack(tp.tensor({make}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1 and "DTypeError: dlpack: the memory of this tensor" in ended.stderr
    back = torch.from_dlpack(tp.tensor(np.arange(3.0)[::-1]), copy=True)
    assert back.tolist() == [2, 1, 0]


def test_an_autograd_can_go_on_where_the_other_stops(torch):
    """A gradient by PyTorch of a loss there, carried on through ours."""
    x = tp.tensor(np.array([0.5, 2.0]), requires_grad=True)
    y = tp.square(x)
    theirs = torch.from_dlpack(y.detach()).requires_grad_()
    torch.sin(theirs).sum().backward()
    y.backward(tp.from_dlpack(theirs.grad))
    np.testing.assert_allclose(x.grad, np.cos(x.data**2) * 2 * x.data, rtol=1e-12)


# repr

def test_a_small_tensor_shows_its_values_in_line():
    assert repr(tp.tensor([[1.0, 2.5], [3.0, 4.0]])) == (
        "Tensor([[1. , 2.5],\n"
        "        [3. , 4. ]], shape (2, 2), float32, cpu)")
    assert repr(tp.tensor(2.0, requires_grad=True)) == "Tensor(2., shape (), float32, cpu, requires_grad)"
    assert repr(tp.tensor(np.zeros((0, 3)))) == "Tensor([], shape (0, 3), float64, cpu)"
    assert repr(tp.tensor([np.nan, 1 / 3])) == "Tensor([   nan, 0.3333], shape (2,), float32, cpu)"


def test_a_large_tensor_shows_its_range():
    values = np.linspace(-1, 3, 2 * 10 * 8 * 8).reshape(2, 10, 8, 8, 1)
    assert repr(tp.tensor(values)) == "Tensor(-1 to 3, mean 1, shape (2, 10, 8, 8, 1), float64, cpu)"
    values[0, 0, 0, 0, 0], values[0, 0, 0, 1, 0] = np.nan, np.inf
    assert ", mean 1.003, 2 not finite, shape" in repr(tp.tensor(values))
    assert repr(tp.tensor(values * np.nan)) == "Tensor(1280 not finite, shape (2, 10, 8, 8, 1), float64, cpu)"
    assert repr(tp.tensor(np.arange(200))) == "Tensor(0 to 199, mean 99.5, shape (200,), int64, cpu)"
    assert repr(tp.tensor(np.arange(200) > 99)).startswith("Tensor(0 to 1, mean 0.5, ")


def test_a_tensor_tells_where_it_comes_from():
    x = tp.tensor([1.0], requires_grad=True)
    assert repr(x * 2).endswith("cpu, made by mul)") and repr(x.detach()).endswith("cpu)")

    class Model(Module):
        def __init__(self):
            self.layers = [Linear(1, 1, np.random.default_rng(0))]

        def forward(self, x):
            return tp.exp(self.layers[0](x)), self.layers[0](x)

    whole, part = Model()(tp.tensor([[1.0]]))
    assert repr(whole).endswith("made by exp in Model)") and repr(part).endswith("made by add in layers.0 of Model)")
    part.backward()
    assert "made by add" in repr(part)  # also when the graph is used up
