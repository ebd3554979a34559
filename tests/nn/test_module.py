"""Modules: what they call their tensors, and what saving, loading and moving do to them."""

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.backend import to_numpy
from tinypredrnn.errors import CheckpointError, DeviceError
from tinypredrnn.nn import BatchNorm, Conv2d, Linear, Module, fan_in_uniform, glorot_uniform, lecun_uniform, parameter, zeros

pytestmark = pytest.mark.filterwarnings("error")


class Block(Module):
    def __init__(self, width, rng):
        self.norm = BatchNorm(width)
        self.conv = Conv2d(width, width, 3, rng)

    def forward(self, x):
        return self.conv(self.norm(x))


class Network(Module):
    """Tensors, a module, a list and a tuple of modules, and things that are none of these."""

    def __init__(self, rng=None):
        rng = rng or np.random.default_rng(0)
        self.name, self.sizes, self.scale = "network", [1, 2], 0.5
        self.first = parameter(np.full(2, 3.0))
        self.blocks = [Block(2, rng), Block(2, rng)]
        self.heads = (Linear(2, 1, rng), None, Linear(2, 3, rng))
        self.optional = None
        self.last = Linear(1, 1, rng)


NAMES = ["first"]
NAMES += [f"blocks.{i}.{part}" for i in (0, 1)
          for part in ("norm.gain", "norm.bias", "norm.running_mean", "norm.running_variance", "conv.weight", "conv.bias")]
NAMES += ["heads.0.weight", "heads.0.bias", "heads.2.weight", "heads.2.bias", "last.weight", "last.bias"]


def test_names_follow_the_order_of_definition():
    assert [name for name, _ in Network().named_tensors()] == NAMES


def test_names_of_a_model_are_those_of_its_parts():
    model = tp.build_model("predrnn", size=(8, 8), hidden=(2, 3), kernel=3, patch=4)
    assert [name for name, _ in model.named_tensors()] == ["to_frame.weight", "to_frame.bias"] + [
        f"cells.{layer}.{name}" for layer in (0, 1) for name in (
            "from_xh.weight", "from_xh.bias", "from_xm.weight", "from_xm.bias", "from_cm.weight", "from_cm.bias", "merge_cm")]


def test_parameters_are_what_requires_a_gradient():
    network = Network()
    trained = [name for name in NAMES if "running" not in name]
    tensors = dict(network.named_tensors())
    assert [id(p) for p in network.parameters()] == [id(tensors[name]) for name in trained]
    assert network.count_parameters() == 2 + 2 * (2 + 2 + 9 * 4 + 2) + (2 + 1) + (6 + 3) + 2
    assert all(p.dtype == np.float32 and p.node is None for p in network.parameters())


def test_calling_a_module_calls_forward():
    class Scale(Module):
        def forward(self, x, by=2):
            return x * by

    assert Scale()(3) == 6 and Scale()(3, by=5) == 15


def test_modules_have_names_too():
    network = Network()
    names = ["", "blocks.0", "blocks.0.norm", "blocks.0.conv", "blocks.1", "blocks.1.norm", "blocks.1.conv", "heads.0", "heads.2", "last"]
    assert [name for name, _ in network.named_modules()] == names
    assert dict(network.named_modules())["blocks.1.conv"] is network.blocks[1].conv
    assert network.name_of(network.heads[2]) == "heads.2" and network.name_of(network) == ""
    assert network.name_of(Linear(1, 1, np.random.default_rng(0))) is None


def test_tensors_in_a_list_are_parameters_as_well():
    class Peepholes(Module):
        def __init__(self):
            self.weights = [zeros(2), zeros(3)]

    assert [name for name, _ in Peepholes().named_tensors()] == ["weights.0", "weights.1"] and Peepholes().count_parameters() == 5


def test_repr_is_the_tree_of_parts():
    assert repr(Network()) == """\
Network: 100 parameters, float32 on cpu, first (2,)
  blocks.0  Block      42
    norm    BatchNorm   4  gain (2,), bias (2,), running_mean (2,) fixed, running_variance (2,) fixed
    conv    Conv2d     38  weight (3, 3, 2, 2), bias (2,)
  blocks.1  Block      42
    norm    BatchNorm   4  gain (2,), bias (2,), running_mean (2,) fixed, running_variance (2,) fixed
    conv    Conv2d     38  weight (3, 3, 2, 2), bias (2,)
  heads.0   Linear      3  weight (2, 1), bias (1,)
  heads.2   Linear      9  weight (2, 3), bias (3,)
  last      Linear      2  weight (1, 1), bias (1,)"""
    assert repr(Module()) == "Module: 0 parameters"
    assert repr(Linear(40, 30, np.random.default_rng(0)).to(dtype="float64")) == (
        "Linear: 1,230 parameters, float64 on cpu, weight (40, 30), bias (30,)")
    assert len(repr(tp.build_model("predrnn")).splitlines()) == 1 + 1 + 4 * 4  # a row for each module


def test_zero_grad():
    layer = Linear(2, 1, np.random.default_rng(0))
    layer(tp.tensor([[1.0, 2.0]])).backward()
    assert layer.weight.grad.tolist() == [[1], [2]] and layer.bias.grad.tolist() == [1]
    layer.zero_grad()
    assert layer.weight.grad is None and layer.bias.grad is None


# state

def test_state_dict_holds_copies_of_everything():
    network = Network()
    state = network.state_dict()
    assert list(state) == NAMES and all(type(a) is np.ndarray for a in state.values())
    before = network.first.data.copy()
    state["first"] += 1
    np.testing.assert_array_equal(network.first.data, before)


def test_state_goes_round(tmp_path):
    source, target = Network(np.random.default_rng(1)), Network(np.random.default_rng(2))
    source.blocks[1].norm.running_mean.data[:] = [5, 6]
    np.savez(tmp_path / "weights.npz", **source.state_dict())
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as weights:
        target.load_state_dict(weights)
    for (name, a), (_, b) in zip(source.named_tensors(), target.named_tensors()):
        np.testing.assert_array_equal(a.data, b.data, err_msg=name)
        assert not np.shares_memory(a.data, b.data) and a.dtype == b.dtype
        assert a.requires_grad == b.requires_grad
    x = tp.tensor([[1.0]])
    assert source.last(x).item() == target.last(x).item()


def test_loading_copies_and_converts():
    network = Network()
    tensors = dict(network.named_tensors())
    for dtype in (np.float32, np.float64):
        state = {name: a.astype(dtype) for name, a in network.state_dict().items()}
        network.load_state_dict(state)
        assert dict(network.named_tensors()) == tensors  # the very tensors, which an optimiser may hold
        state["first"] += 1
        assert network.first.data.tolist() == [3, 3] and network.dtype == np.float32
    network.to(dtype=np.float64).load_state_dict(Network().state_dict())
    assert {t.dtype for _, t in network.named_tensors()} == {np.dtype(np.float64)}


def changed(state, **changes):
    return {name: a for name, a in {**state, **changes}.items() if a is not None}


WRONG = {
    "missing": (dict(first=None), ["missing ['first']", "unknown none"]),
    "unknown": (dict(second=np.ones(2)), ["missing none", "unknown ['second']"]),
    "both": ({"last.bias": None, "last.offset": np.ones(1)}, ["['last.bias']", "['last.offset']"]),
    "shape": ({"heads.2.weight": np.ones((3, 2))}, ["heads.2.weight", "(3, 2)", "(2, 3)"]),
    "shape that would broadcast": ({"first": np.ones(1)}, ["first", "(1,)", "(2,)"]),
    "no axes": ({"last.bias": np.array(1.0)}, ["last.bias", "()", "(1,)"]),
    "text": ({"last.bias": np.array(["one"])}, ["last.bias"]),
}
IN_ORDER = [pytest.param(*case, id=name) for name, case in WRONG.items()]


@pytest.mark.parametrize(("changes", "words"), IN_ORDER)
def test_a_wrong_state_is_refused_and_changes_nothing(changes, words):
    network = Network()
    before = network.state_dict()
    state = changed({name: a + 1 for name, a in before.items()}, **changes)
    with pytest.raises(CheckpointError) as caught:
        network.load_state_dict(state)
    assert all(word in str(caught.value) for word in ["load_state_dict", *words]), caught.value
    for name, a in network.state_dict().items():
        np.testing.assert_array_equal(a, before[name], err_msg=name)


# dtype and device

def test_to_dtype_and_back():
    network = Network()
    before, tensors = network.state_dict(), dict(network.named_tensors())
    network.first.grad = np.ones(2, np.float32)
    assert network.to(dtype=np.float64) is network and network.dtype == np.float64
    assert dict(network.named_tensors()) == tensors and network.first.grad is None
    assert {t.dtype for t in tensors.values()} == {np.dtype(np.float64)}
    assert network.last(tp.tensor(np.ones((1, 1)))).dtype == np.float64
    network.to(dtype="float32")
    for name, a in network.state_dict().items():
        np.testing.assert_array_equal(a, before[name], strict=True)


def test_to_device(device):
    network = Network().to(device)
    assert network.device == device and {t.device for _, t in network.named_tensors()} == {device}
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 2)).astype(np.float32)
    y = network.blocks[0](tp.tensor(x, device=device))
    y.backward(y)
    expected = Network()
    z = expected.blocks[0](tp.tensor(x))
    z.backward(z)
    for t, s in zip(network.blocks[0].parameters(), expected.blocks[0].parameters()):
        assert t.grad.dtype == np.float32
        np.testing.assert_allclose(to_numpy(t.grad), s.grad, rtol=1e-4, atol=1e-4)
    assert all(type(a) is np.ndarray for a in network.state_dict().values())


def test_an_unknown_device_changes_nothing():
    network = Network()
    with pytest.raises(DeviceError, match="device 'tpu' is unknown"):
        network.to("tpu", np.float64)
    assert {t.dtype for _, t in network.named_tensors()} == {np.dtype(np.float32)}


# first values

@pytest.mark.parametrize("draw, fan", [(lecun_uniform, 5 * 5 * 8 / 3), (glorot_uniform, 5 * 5 * (8 + 50) / 6)])
def test_other_initial_weights(draw, fan):
    """Uniform in +-1 / sqrt(fan)."""
    w = draw(np.random.default_rng(0), (5, 5, 8, 50))
    assert w.requires_grad and w.dtype == np.float32 and w.shape == (5, 5, 8, 50)
    assert 0.99 < abs(w.data).max() * fan ** 0.5 <= 1.000001 and abs(w.data.std() * (3 * fan) ** 0.5 - 1) < 0.02
    assert np.array_equal(Conv2d(8, 50, 5, np.random.default_rng(0), initial=draw).weight.data, w.data)


def test_fan_in_uniform():
    w = fan_in_uniform(np.random.default_rng(0), (5, 5, 8, 50)).data
    bound = 1 / np.sqrt(5 * 5 * 8)
    assert w.shape == (5, 5, 8, 50) and w.dtype == np.float32 and abs(w).max() <= bound
    assert abs(w).max() > 0.99 * bound and abs(w.mean()) < 0.02 * bound
    assert w.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)


def test_the_generator_alone_decides():
    a, b, c = (Conv2d(2, 3, 3, np.random.default_rng(seed)).weight.data for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert zeros(2, 3).data.tolist() == [[0, 0, 0]] * 2 and zeros(1).requires_grad
