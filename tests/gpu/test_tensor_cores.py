"""The tensor-core convolution on a GPU, or thread by thread on an emulated one: values and gradients against direct_conv in float64."""

import emulated
import numpy as np
import pytest
from op_cases import normal

import tinypredrnn as tp
from tinypredrnn.autograd.implicit import implicit_conv
from tinypredrnn.errors import DeviceError
from tinypredrnn.gpu import convolution, precision

BOUNDS = {"fp32": 2e-5, "tf32": 1e-3, "bf16": 8e-3}  # of the error as norms


def values_and_gradients(function, device, dtype, inputs):
    """[y, the gradient of each input] as NumPy arrays."""
    tensors = [None if a is None else tp.tensor(a.astype(dtype), requires_grad=True, device=device) for a in inputs]
    y = function(*tensors)
    y.backward(tp.tensor(normal(*y.shape).astype(dtype), device=device))
    return [y.numpy()] + [tp.backend.to_numpy(t.grad) for t in tensors if t is not None]


def assert_close(found, expected, bound):
    for ours, truth in zip(found, expected, strict=True):
        assert ours.shape == truth.shape and ours.dtype == np.float32
        assert np.linalg.norm(ours - truth) <= bound * np.linalg.norm(truth)


def check(device, inputs, padding, bound):
    """implicit_conv of (w, b, x, ...) against conv2d in float64 on the CPU."""
    with tp.convolution_by("direct"):
        expected = values_and_gradients(lambda w, b, *x: tp.conv2d(x, w, b, padding=padding), "cpu", np.float64, inputs)
    found = values_and_gradients(lambda *x: implicit_conv(*x, padding=padding), device, np.float32, inputs)
    assert_close(found, expected, bound)
    return found


CASES = {
    "the paper's, in small": (dict(batch=2, size=(6, 5), channels=(8, 12), kernel=(5, 5), features=24), "same"),
    "more than one tile each way": (dict(batch=3, size=(7, 8), channels=(16, 4), kernel=(3, 3), features=132), "same"),
    "odd numbers of channels": (dict(batch=1, size=(9, 4), channels=(3, 2), kernel=(3, 3), features=5), "same"),
    "even and unequal kernels": (dict(batch=2, size=(5, 7), channels=(4,), kernel=(2, 4), features=8), "same"),
    "no padding": (dict(batch=2, size=(6, 6), channels=(4, 4), kernel=(3, 5), features=4), "valid"),
    "more padding than the kernel needs": (dict(batch=1, size=(4, 3), channels=(4,), kernel=(3, 3), features=4), 4),
    "1x1 over two": (dict(batch=2, size=(4, 4), channels=(16, 16), kernel=(1, 1), features=16), "same"),
    "one pixel": (dict(batch=1, size=(1, 1), channels=(1,), kernel=(1, 1), features=1), "same"),
}


def inputs_of(batch, size, channels, kernel, features, bias=True):
    return [normal(*kernel, sum(channels), features), normal(features) if bias else None, *(normal(batch, *size, c) for c in channels)]


@pytest.mark.parametrize(("shapes", "padding"), CASES.values(), ids=CASES)
def test_values_and_gradients(shapes, padding, gpu):
    with precision("fp32"):
        check(gpu, inputs_of(**shapes), padding, BOUNDS["fp32"])


@pytest.mark.parametrize("name", BOUNDS)
def test_the_error_of_each_precision(name, gpu):
    """It is within the bound, and near enough to it to be that of this rounding and no other."""
    inputs = inputs_of(batch=2, size=(6, 5), channels=(8, 12), kernel=(3, 3), features=24)
    with precision(name):
        check(gpu, inputs, "same", BOUNDS[name])
        if name != "fp32":
            with pytest.raises(AssertionError):
                check(gpu, inputs, "same", BOUNDS[name] / 30)


def test_without_bias(gpu):
    with precision("fp32"):
        check(gpu, inputs_of(batch=1, size=(4, 4), channels=(4,), kernel=(3, 3), features=4, bias=False), "same", BOUNDS["fp32"])


@pytest.mark.parametrize("slices", [1, 3])
def test_slices_of_the_depth_and_the_order_of_threads_change_nothing(slices, gpu, monkeypatch):
    """Slices are added in a fixed order; and were a barrier missing, threads in descending order would see other values."""
    monkeypatch.setattr(convolution, "multiprocessors", lambda device: 64 if slices > 1 else 0)
    monkeypatch.setattr(convolution, "LEAST_STEPS", 1)
    inputs = inputs_of(batch=2, size=(8, 8), channels=(8, 8), kernel=(3, 3), features=20)
    results = []
    for descending in 0, 1, 0:
        monkeypatch.setitem(emulated.ORDER, "descending", descending)
        with precision("fp32"):
            results.append(check(gpu, inputs, "same", BOUNDS["fp32"]))
    for arrays in zip(*results):
        assert np.array_equal(arrays[0], arrays[1]) and np.array_equal(arrays[0], arrays[2])


def test_the_gradients_of_shared_weights_are_added_in_place(gpu, monkeypatch):
    """As over the steps of a sequence: the kernel adds to what is there, and nothing is added twice."""
    added, launch = [], convolution.launch
    w, b, x = inputs_of(batch=1, size=(4, 4), channels=(4,), kernel=(3, 3), features=4)
    three = lambda conv: lambda w, b, x: conv(w, b, conv(w, b, conv(w, b, x)))  # noqa: E731
    with precision("fp32"):
        values_and_gradients(three(implicit_conv), gpu, np.float32, [w, b, x])  # the kernel is checked now
        monkeypatch.setattr(convolution, "launch",
                            lambda *given, **sizes: added.append(sizes.get("add")) or launch(*given, **sizes))
        found = values_and_gradients(three(implicit_conv), gpu, np.float32, [w, b, x])
    with tp.convolution_by("direct"):
        expected = values_and_gradients(three(lambda w, b, x: tp.conv2d(x, w, b)), "cpu", np.float64, [w, b, x])
    assert_close(found, expected, 1e-5)
    assert [add for add in added if add is not None] == [0, 3, 3]


def test_conv2d_chooses(gpu, monkeypatch):
    """Our kernel for float32 with stride 1, also three inputs or dilated; cuBLAS otherwise, and where asked for; never where it cannot."""
    used = []
    monkeypatch.setattr(convolution, "launch", lambda *given, **sizes: used.append(1))

    def launches(dtype=np.float32, parts=1, **options):
        used.clear()
        x, w = (tp.tensor(normal(*shape).astype(dtype), device=gpu) for shape in ((1, 4, 4, 2), (3, 3, 2 * parts, 4)))
        tp.conv2d((x,) * parts, w, **options)
        return len(used)

    assert launches() == launches(parts=2) == launches(parts=3) == launches(dilation=2) == 1
    assert launches(np.float64) == launches(stride=2) == 0
    with tp.convolution_by("direct"):
        assert launches() == 0
    with tp.convolution_by("implicit"):
        assert launches() == 1
        for impossible in lambda: launches(np.float64), lambda: tp.conv2d(tp.tensor(normal(1, 4, 4, 2)), normal(3, 3, 2, 4)):
            with pytest.raises(DeviceError, match="expected float32 on a GPU of compute capability 8.0"):
                impossible()


def test_frames_that_are_views_of_a_sequence(gpu):
    w, b, x = inputs_of(batch=2, size=(4, 4), channels=(4,), kernel=(3, 3), features=4)
    sequence = np.stack([x, 2 * x], axis=1)
    with precision("fp32"):
        found = values_and_gradients(lambda w, b, s: implicit_conv(w, b, s[:, 1]), gpu, np.float32, [w, b, sequence])
    with tp.convolution_by("direct"):
        assert_close(found, values_and_gradients(lambda w, b, s: tp.conv2d(s[:, 1], w, b), "cpu", np.float64, [w, b, sequence]), 1e-5)
