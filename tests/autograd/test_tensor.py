"""A tensor's doors to other libraries share its memory or say why they do not, and what it prints is worth reading."""

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.backend import adopt
from tinypredrnn.errors import DeviceError, DTypeError, GraphError
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
    for copy in (np.array(x), np.asarray(x, dtype=np.float32), np.from_dlpack(x, copy=True)):
        copy[:] = 5
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
        with pytest.raises(DTypeError, match=f"speaks DLPack, such as PyTorch's, got {type(thing).__name__}"):
            tp.from_dlpack(thing)
    for integers in (lambda: tp.tensor(Speaks(np.arange(3)), requires_grad=True), lambda: tp.tensor(Speaks(np.ones(2, complex)))):
        with pytest.raises(DTypeError, match="int64 has no gradient|expected numbers, got an array of dtype complex128"):
            integers()


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
