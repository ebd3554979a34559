"""Devices by name; and, without a GPU, the proof that all code computes with the array module of its inputs: on a strict stand-in."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from op_cases import CASES, assert_same_on, case, normal
from small import small_options
from stand_in import Array, Device, in_place_of_cupy

import tinypredrnn as tp
from tinypredrnn import backend
from tinypredrnn.errors import DeviceError, DTypeError, GraphError, ShapeError
from tinypredrnn.nn.losses import LOSSES

pytestmark = pytest.mark.filterwarnings("error")
ROOT = Path(tp.__file__).parents[1]


@pytest.fixture
def gpu(monkeypatch):
    """The stand-in in CuPy's place; its name as a device."""
    with in_place_of_cupy(monkeypatch):
        yield "gpu:0"


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # `import cupy` raises ImportError


def test_the_stand_in_refuses_what_cupy_refuses(gpu):
    import cupy

    there, here = cupy.asarray(np.ones(3)), np.ones(3)
    for mixture in (lambda: there + here, lambda: here + there, lambda: here @ there, lambda: cupy.concatenate([there, here]),
                    lambda: np.exp(there), lambda: np.concatenate([there]), lambda: np.asarray(there), lambda: np.zeros_like(there),
                    lambda: cupy.exp(here), lambda: there.__setitem__(0, here), lambda: np.sum(there), lambda: there.dot(here)):
        with pytest.raises(TypeError):
            mixture()
    for y in (there + 1, there + np.float64(1), 2 * there, there.sum(), there[0], there.reshape(3, 1), cupy.exp(there), there == there,
              cupy.where(there > 0, there, 0.0), *cupy.split(there, 3), *there, cupy.zeros((2,), np.float32)):
        assert type(y) is Array
    assert there.shape == (3,) and there.get().tolist() == [1, 1, 1] and there.base is None and there[1:].base is not None


# every op on the stand-in

@pytest.mark.parametrize("case", [pytest.param(c, id=str(c)) for c in CASES])
def test_every_op_computes_with_the_module_of_its_inputs(case, gpu):
    assert_same_on(gpu, case, np.float64, 1e-14)
    assert_same_on(gpu, case, np.float32, 1e-6)


def test_an_op_that_mixes_would_be_caught(gpu):
    mixed_forward = tp.op(x=lambda dy: dy)(lambda x: np.tanh(x))
    mixed_rule = tp.op(x=lambda dy, x: dy * np.ones(3))(lambda x: x + 0)
    made_rule = tp.op(x=lambda dy, x_shape: np.ones(x_shape))(lambda x: x + 0)
    for op in (mixed_forward, mixed_rule, made_rule):
        with pytest.raises((TypeError, ShapeError, DeviceError, AssertionError)):
            assert_same_on(gpu, case(op, None, normal(3)), np.float64, 1e-14)


@pytest.mark.parametrize("model, options", [
    *((model, options) for model in ("predrnn", "predrnn_m", "convlstm", "predrnn_pp", "predrnn_v2")
      for options in ({}, {"layer_norm": True})),
    ("dfn", {"filter": 3}), ("cdna", {}), ("cdna", {"literal": True})], ids=str)
@pytest.mark.parametrize("fusing", [contextlib.nullcontext, tp.unfused], ids=["fused", "unfused"])
def test_a_training_step(model, options, fusing, gpu):
    """A step with scheduled sampling gives the loss and the gradients of the CPU."""
    frames = np.random.default_rng(0).random((2, 5, 8, 8, 1))
    truth = np.array([[1, 1, 0, 1], [1, 0, 0, 1.0]])
    results = []
    for device in ("cpu", gpu):
        network = tp.build_model(model, (8, 8), **small_options(model, patch=4), **options).to(device, np.float64)
        with fusing():
            states = []
            predicted = network.unroll(tp.tensor(frames, device=device), truth, states)
            loss = network.loss(LOSSES["l1+l2"], predicted, tp.tensor(frames[:, 1:], device=device), states)
        loss.backward()
        assert {p.device for p in network.parameters()} == {loss.device} == {device}
        results.append([loss.item(), *(backend.to_numpy(p.grad) for p in network.parameters())])
    for here, there in zip(*results, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-10, atol=1e-12)


def test_layers_losses_and_state(gpu):
    from tinypredrnn.nn import BatchNorm, Conv2d, ConvTranspose2d, LayerNorm, Linear

    rng = np.random.default_rng(0)
    x = np.random.default_rng(1).random((2, 4, 4, 3), np.float32)
    for layer in (Conv2d(3, 3, 3, rng), ConvTranspose2d(3, 3, 3, rng, stride=2), Linear(3, 3, rng), LayerNorm(3), BatchNorm(3)):
        expected = layer(tp.tensor(x))
        layer.load_state_dict(layer.state_dict())
        layer.to(gpu)
        y = layer(tp.tensor(x, device=gpu))
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)
        y.sum().backward()
        layer.load_state_dict(layer.state_dict())
        assert layer.device == gpu and all(type(a) is np.ndarray for a in layer.state_dict().values())
    for loss in LOSSES.values():
        there = loss(tp.tensor(x, device=gpu), tp.tensor(1 - x, device=gpu))
        assert there.item() == pytest.approx(loss(tp.tensor(x), 1 - x).item(), rel=1e-6)


def test_the_graph_engine_on_the_stand_in(gpu):
    """Accumulation, dropped outputs, cotangents and ownership with arrays that are never NumPy's."""
    x = tp.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True, device=gpu)
    a, b = tp.split(x, parts=2)
    y = a * a + a
    for n in (1, 2):
        y.backward(tp.tensor([1.0, 10.0], device=gpu), retain_graph=True)
        assert isinstance(x.grad, Array) and x.grad.get().tolist() == [3.0 * n, 50.0 * n, 0, 0]
    x.grad = None
    (x + x.reshape(2, 2).sum()).sum().backward()
    assert x.grad.get().tolist() == [5, 5, 5, 5] and not np.shares_memory(x.grad.inner, x.data.inner)
    assert "gpu:0" in repr(x) and float(x[0]) == 1 and x[x > 2.5].numpy().tolist() == [3, 4]
    with tp.no_grad():
        assert not (x * 2).requires_grad


def test_numpys_functions_and_debugging_on_the_stand_in(gpu):
    """What NumPy makes of values on a GPU lies on the CPU, as np.asarray says; level 3 sees a change there."""
    x = tp.tensor([1.0, 3.0], device=gpu)
    assert np.concatenate([x, x]).tolist() == [1, 3, 1, 3] and 3.0 in x and 2.0 not in x and np.allclose(x, [1, 3])
    w = tp.tensor([1.0, 3.0], requires_grad=True, device=gpu)
    assert np.allclose(w, [1, 3])
    with pytest.raises(GraphError, match=r"^np\.mean: NumPy would lose the gradient"):
        np.mean(w)
    with pytest.raises(GraphError, match=r"^mul: its [ab], which backward needs, was changed in place"), \
            tp.debug(3, io.StringIO()):
        y = w * w
        w.data += 1
        y.sum().backward()


# devices by name

def test_without_cupy(no_cupy):
    assert backend.find_device("cpu") == backend.find_device("auto") == "cpu"
    for name in ("gpu", "gpu:0", "gpu:3"):
        with pytest.raises(DeviceError, match='needs CuPy, which is not installed: install it with `pip install "cupy-cuda13x'):
            backend.find_device(name)
    with pytest.raises(DeviceError, match="use device cpu"):
        tp.tensor([1.0], device="gpu")
    assert tp.tensor([1.0], device="auto").device == "cpu"


@pytest.mark.parametrize("name", ["tpu", "", "cpu:0", "gpu:one", "gpu:-1", "auto:0", "cuda", "GPU", None, 0])
def test_unknown_names(name, no_cupy):
    with pytest.raises(DeviceError, match="is unknown: expected cpu, gpu, gpu:N or auto"):
        backend.find_device(name)


def test_names_with_a_gpu(gpu):
    assert [backend.find_device(name) for name in ("cpu", "gpu", "gpu:0", "auto")] == ["cpu", "gpu:0", "gpu:0", "gpu:0"]
    with pytest.raises(DeviceError, match=r"'gpu:1' does not exist: this machine has 1 GPU\(s\), numbered from 0"):
        backend.find_device("gpu:1")


@pytest.mark.parametrize(("count", "message"), [
    (lambda: 0, "finds no GPU on this machine"),
    (lambda: 1 / 0, r"finds no usable GPU \(division by zero\): check the driver with nvidia-smi"),
])
def test_cupy_without_a_usable_gpu(count, message, gpu):
    sys.modules["cupy"].cuda.runtime.getDeviceCount = count
    with pytest.raises(DeviceError, match=message):
        backend.find_device("gpu")
    assert backend.find_device("auto") == "cpu"


def test_a_driver_error_without_words(gpu):
    def fail():
        raise RuntimeError

    sys.modules["cupy"].cuda.runtime.getDeviceCount = fail
    with pytest.raises(DeviceError, match="no usable GPU"):
        backend.find_device("gpu")


def test_a_gpu_that_is_there_but_cannot_compute(gpu, monkeypatch, capsys):
    """The plain package of CuPy has no compiler, which is noticed at the first kernel."""
    def fail(shape):
        raise RuntimeError("CuPy failed to load libnvrtc.so.13: OSError: no such file\nand more lines")

    backend.try_gpu.cache_clear()
    monkeypatch.setattr(sys.modules["cupy"], "ones", fail, raising=False)
    with pytest.raises(DeviceError, match=r"CuPy finds gpu:0 but cannot compute on it \(CuPy failed .*no such file\): "
                                          r'install it with `pip install "cupy-cuda13x\[ctk\]"`'):
        backend.find_device("gpu")
    assert backend.find_device("auto") == "cpu" and "cannot compute on it" in capsys.readouterr().err

    def full(shape):
        raise MemoryError("Out of memory allocating 512 bytes")

    monkeypatch.setattr(sys.modules["cupy"], "ones", full, raising=False)
    with pytest.raises(DeviceError, match="Out of memory .*: look at it with nvidia-smi, or use device cpu"):
        backend.find_device("gpu")


BROKEN = {
    "a missing library": "raise ImportError('libcudart.so.13: cannot open shared object file')",
    "another library": "raise OSError('libcuda.so: wrong ELF class')",
    "an old NumPy": "import numpy; numpy.no_such_name",
    "a bug": "1 / 0",
    "a module of its own that is missing": "import cupy_backends_that_are_not_there",
    "an empty package": "",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_cupy_that_cannot_be_imported(code, tmp_path, monkeypatch, capfd):
    (tmp_path / "cupy.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(backend, "say_once", backend.say_once.__wrapped__)
    with pytest.raises(DeviceError, match=r"CuPy is installed but cannot be imported \(.+\): install it with .*device cpu") as caught:
        backend.find_device("gpu")
    assert "\n" not in str(caught.value)
    assert backend.find_device("auto") == "cpu"
    message = capfd.readouterr().err
    assert message.count("\n") == 1 and message.startswith("device auto is the CPU here: CuPy is installed but cannot be imported")
    assert "cupy" not in sys.modules and tp.tensor([1.0]).device == "cpu"  # what is left of it is not asked about arrays


def test_digits_that_are_no_numbers(gpu):
    with pytest.raises(DeviceError, match="is unknown"):
        backend.find_device("gpu:\N{SUPERSCRIPT TWO}")


def test_moving_arrays(gpu):
    here = np.arange(3.0)
    assert backend.to_device(here, "cpu") is here and backend.to_numpy(here) is here
    there = backend.to_device(here, "gpu")
    assert backend.device_of(there) == "gpu:0" and backend.device_of(here) == "cpu"
    assert backend.array_module(there, here).__name__ == backend.array_module(here, there).__name__ == "cupy"
    assert backend.array_module(here) is backend.array_module() is backend.array_module(1.0, None) is np
    assert backend.to_device(there, "gpu:0") is there
    for back in (backend.to_device(there, "cpu"), backend.to_numpy(there)):
        assert type(back) is np.ndarray and back.tolist() == [0, 1, 2] and not np.shares_memory(back, there.inner)
    x = tp.tensor(tp.tensor(here, device="gpu"), device="cpu")
    assert x.device == "cpu" and tp.tensor(there).device == "gpu:0"


class OnGPU:
    """An array of another library on a GPU: it cannot be handed out through the CPU."""

    def __init__(self, array, number=0):
        self.there, self.number = array, number

    def __dlpack_device__(self):
        return 2, self.number

    def __dlpack__(self, **options):
        raise BufferError("on a GPU")


def test_arrays_of_other_libraries_stay_on_the_gpu(gpu):
    there = np.arange(3.0)
    x = tp.tensor(OnGPU(there), requires_grad=True)
    assert type(x.data) is Array and x.device == gpu and x.requires_grad
    there[0] = 7
    assert x.numpy().tolist() == [7, 1, 2]
    assert tp.tensor(OnGPU(there), device="cpu").data.tolist() == [7, 1, 2]
    with pytest.raises(DeviceError, match="'gpu:3' does not exist: this machine has 1 GPU"):
        tp.from_dlpack(OnGPU(there, 3))


def test_arrays_of_other_libraries_on_a_gpu_need_cupy(no_cupy):
    with pytest.raises(DeviceError, match=r"needs CuPy, which is not installed.*pip install"):
        tp.tensor(OnGPU(np.ones(3)))


def test_numpy_gets_only_copies_from_the_gpu(gpu):
    x = tp.tensor(np.ones(3), device=gpu)
    assert np.asarray(x).tolist() == [1, 1, 1] and np.asarray(x, dtype=np.float32).dtype == np.float32
    with pytest.raises(DeviceError, match="this tensor is on gpu:0.*leave out copy=False"):
        np.array(x, copy=False)


def test_repr_on_the_gpu(gpu):
    assert repr(tp.tensor(np.ones(2), device=gpu)) == "Tensor([1., 1.], shape (2,), float64, gpu:0)"
    assert repr(tp.tensor(np.arange(200.0), device=gpu)) == "Tensor(0 to 199, mean 99.5, shape (200,), float64, gpu:0)"


def test_what_the_gpus_are_called(gpu):
    assert backend.gpu_names() == ["Stand-in, 80 GiB"]


def test_waiting_and_memory(gpu):
    backend.synchronise("cpu")
    Device.waited = False
    backend.synchronise(gpu)
    assert Device.waited
    assert backend.memory_in_use(gpu) == 123
    assert 10e6 < backend.memory_in_use("cpu") < 1e12


def test_mixing_devices_is_explained(gpu):
    here, there = tp.tensor([1.0, 2.0], requires_grad=True), tp.tensor([1.0, 2.0], requires_grad=True, device=gpu)
    for mixture in (lambda: here + there, lambda: there * here.data, lambda: tp.concat(here, there), lambda: tp.where(here > 0, there, 0)):
        with pytest.raises(DeviceError, match=r"inputs on different devices: move one with tensor\(x, device=...\)") as caught:
            mixture()
        assert "on gpu:0" in str(caught.value) and "float32 (2,)" in str(caught.value)
    with pytest.raises(DTypeError, match="float64 \\(2,\\) on gpu:0"):
        there + tp.tensor(np.ones(2), device=gpu)


@pytest.mark.parametrize("use", [
    lambda here, there: (here * 2).backward(there.data),
    lambda here, there: (there * 2).backward(here.data),
    lambda here, there: (here * 2).backward(there),
], ids=["NumPy's from CuPy's", "CuPy's from NumPy's", "a tensor's"])
def test_a_cotangent_of_another_device_is_explained(use, gpu):
    here, there = tp.tensor([1.0, 2.0], requires_grad=True), tp.tensor([1.0, 2.0], requires_grad=True, device=gpu)
    with pytest.raises(DeviceError, match="backward"):
        use(here, there)


def test_numpys_numbers_are_numbers_on_every_device(gpu):
    assert (tp.tensor([1.0, 2.0], device=gpu) * np.float32(2)).numpy().tolist() == [2, 4]


def test_devices_of_modules(gpu):
    model = tp.build_model("predrnn", size=(8, 8), hidden=(2,), kernel=3, patch=4)
    assert model.to("gpu").device == "gpu:0" and model.to("cpu").device == "cpu"
    frames = np.random.default_rng(0).random((1, 3, 8, 8, 1), np.float32)
    expected = model(frames, horizon=2).numpy()
    found = model.to(gpu)(frames, horizon=2)  # NumPy's frames go where the model is
    assert found.device == gpu
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(DeviceError, match="inputs on different devices"):
        model(tp.tensor(frames, device="cpu"), horizon=2)


# the option --device of the tests themselves

def test_gpu_tests_skip_with_the_reason_where_there_is_no_gpu():
    with contextlib.suppress(DeviceError):
        pytest.skip(f"there is a {backend.find_device('gpu')}")
    case = "tests/nn/test_module.py::test_to_device"
    for options, outcome in ((["--device", "gpu"], "1 skipped"), (["--device=gpu:1"], "1 skipped"), ([], "1 passed")):
        command = [sys.executable, "-m", "pytest", "-rs", "-q", "-p", "no:cacheprovider", case, *options]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == 0 and outcome in run.stdout, run.stdout + run.stderr
        assert ("GPU" in run.stdout and "use device cpu" in run.stdout) == (outcome == "1 skipped")
