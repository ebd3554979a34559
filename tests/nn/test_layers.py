"""Layers against plain NumPy transcriptions, against PyTorch, and against finite differences in inputs and parameters."""

import numpy as np
import pytest
from op_cases import naive_conv2d, naive_conv2d_transpose, normal, positive

import tinypredrnn as tp
from tinypredrnn.errors import ConfigError, DTypeError, ShapeError
from tinypredrnn.nn import BatchNorm, Conv2d, ConvTranspose2d, LayerNorm, Linear

pytestmark = pytest.mark.filterwarnings("error")


def shaken(layer):
    """float64, every parameter random: no bias is zero, no gain one."""
    layer.to(dtype=np.float64)
    for i, p in enumerate(layer.parameters()):
        p.data = 0.5 + np.random.default_rng(i).random(p.shape)
    return layer


def rng():
    return np.random.default_rng(0)


LAYERS = {
    "Conv2d": (lambda: Conv2d(2, 3, 3, rng()), normal(2, 4, 5, 2), lambda x, p: naive_conv2d(x, *p)),
    "Conv2d with options": (lambda: Conv2d(2, 3, 2, rng(), stride=2, padding=2, dilation=2), normal(2, 4, 5, 2),
                            lambda x, p: naive_conv2d(x, *p, stride=2, padding=2, dilation=2)),
    "ConvTranspose2d": (lambda: ConvTranspose2d(3, 2, 3, rng(), stride=2), normal(2, 3, 4, 3),
                        lambda x, p: naive_conv2d_transpose(x, *p, stride=2)),
    "Linear": (lambda: Linear(4, 3, rng()), normal(2, 4), lambda x, p: x @ p[0] + p[1]),
    "Linear on frames": (lambda: Linear(4, 3, rng()), normal(2, 3, 2, 4), lambda x, p: x @ p[0] + p[1]),
    "LayerNorm": (lambda: LayerNorm(3), normal(2, 4, 5, 3), lambda x, p: p[0] * (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(
        x.var((1, 2, 3), keepdims=True) + 1e-5) + p[1]),
    "BatchNorm": (lambda: BatchNorm(3, eps=1e-3), normal(2, 4, 5, 3),
                  lambda x, p: p[0] * (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-3) + p[1]),
}
each_layer = pytest.mark.parametrize(("make", "x", "transcription"), LAYERS.values(), ids=LAYERS.keys())


@each_layer
def test_values(make, x, transcription):
    layer = shaken(make())
    expected = transcription(x, [p.data for p in layer.parameters()])
    np.testing.assert_allclose(layer(tp.tensor(x)).numpy(), expected, rtol=1e-12, atol=1e-12)


@each_layer
def test_gradients_of_input_and_parameters(make, x, transcription):
    layer = shaken(make())
    assert tp.gradcheck(layer, x, parameters=layer.parameters())
    assert tp.gradcheck(lambda: layer(tp.tensor(x)), parameters=layer.parameters())
    if isinstance(layer, BatchNorm):
        layer.running_variance.data = positive(3)
        assert tp.gradcheck(layer.train(False), x, parameters=layer.parameters())


@each_layer
def test_float32_stays_float32(make, x, transcription):
    layer, leaf = make(), tp.tensor(x.astype(np.float32), requires_grad=True)
    y = layer(leaf)
    y.backward(np.ones_like(y.data))
    assert y.dtype == leaf.grad.dtype == np.float32
    assert {p.grad.dtype for p in layer.parameters()} == {np.dtype(np.float32)}
    assert {t.dtype for _, t in layer.named_tensors()} == {np.dtype(np.float32)}
    assert all(p.grad.shape == p.shape for p in layer.parameters())


def test_first_biases_are_zero_and_gains_one():
    for layer in (Conv2d(2, 3, 3, rng()), ConvTranspose2d(2, 3, 3, rng()), Linear(2, 3, rng()), LayerNorm(3), BatchNorm(3)):
        assert layer.bias.data.tolist() == [0, 0, 0]
        assert not hasattr(layer, "gain") or layer.gain.data.tolist() == [1, 1, 1]


def test_without_a_bias():
    x = normal(2, 4, 6, 3)
    for layer, op in ((Conv2d(3, 2, 3, rng(), stride=2, bias=False), tp.conv2d),
                      (ConvTranspose2d(3, 2, 3, rng(), stride=2, bias=False), tp.conv2d_transpose)):
        assert [name for name, _ in shaken(layer).named_tensors()] == ["weight"]
        np.testing.assert_array_equal(layer(x).numpy(), op(x, layer.weight.data, stride=2))


@pytest.mark.parametrize("size", [(8, 12), (7, 11), (8, 11)])
def test_a_transposed_convolution_to_any_size_that_the_stride_maps_there(size):
    up, x = shaken(ConvTranspose2d(3, 2, 3, rng(), stride=2, bias=False)), normal(2, *size, 2)
    y = normal(2, 4, 6, 3)
    down = tp.conv2d(x, up.weight.data, stride=2)
    np.testing.assert_allclose((up(y, size).numpy() * x).sum(), (down * y).sum(), rtol=1e-12)  # each other's transposes


def test_misuse_names_the_op():
    with pytest.raises(ShapeError, match="conv2d: .*x \\(1, 4, 4, 3\\)"):
        Conv2d(2, 3, 3, rng())(tp.tensor(np.ones((1, 4, 4, 3), np.float32)))
    with pytest.raises(DTypeError, match="matmul.*float64"):
        Linear(2, 3, rng())(tp.tensor(np.ones((1, 2))))
    for momentum in (0, -0.1, 1.1):
        with pytest.raises(ConfigError, match=f"momentum must be in \\(0, 1\\], got {momentum}"):
            BatchNorm(3, momentum=momentum)


# layer normalisation

def test_layer_norm_is_blind_to_brightness_and_contrast_of_each_sample():
    layer, x = shaken(LayerNorm(3)), normal(2, 4, 5, 3)
    scaled = x * np.array([100.0, 50.0]).reshape(2, 1, 1, 1) + np.array([5.0, -7.0]).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(layer(tp.tensor(scaled)).numpy(), layer(tp.tensor(x)).numpy(), atol=2e-5)
    first = layer(tp.tensor(x[:1])).numpy()
    np.testing.assert_allclose(layer(tp.tensor(x))[:1].numpy(), first, atol=1e-14)  # one sample does not see another


def test_layer_norm_of_constant_frames_is_the_bias():
    layer = shaken(LayerNorm(2))
    y = layer(tp.tensor(np.full((1, 3, 3, 2), 7.0))).numpy()
    np.testing.assert_allclose(y, np.broadcast_to(layer.bias.data, y.shape))


# batch normalisation

def transcribed_batch_norm(batches, gain, bias, momentum, eps):
    """Training outputs of each batch, and the running statistics after them, from the paper's description."""
    mean, variance, outputs = np.zeros(3), np.ones(3), []
    for x in batches:
        pixels = x.reshape(-1, 3)
        m, v = pixels.mean(0), ((pixels - pixels.mean(0)) ** 2).mean(0)
        outputs.append((x - m) / np.sqrt(v + eps) * gain + bias)
        mean = (1 - momentum) * mean + momentum * m
        variance = (1 - momentum) * variance + momentum * v * len(pixels) / (len(pixels) - 1)
    return outputs, mean, variance


BATCHES = [scale * normal(n, 3, 4, 3) + np.array([0, 1, 5]) for n, scale in ((2, 1), (3, 0.1), (1, 10))]


@pytest.mark.parametrize("momentum", [0.1, 0.5, 1])
def test_batch_norm_in_training_and_after(momentum):
    layer = shaken(BatchNorm(3, momentum=momentum))
    found = [layer(tp.tensor(x)).numpy() for x in BATCHES]
    outputs, mean, variance = transcribed_batch_norm(BATCHES, layer.gain.data, layer.bias.data, momentum, 1e-5)
    for y, expected in zip(found, outputs):
        np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_variance.data, variance, rtol=1e-12)
    expected = (BATCHES[0] - mean) / np.sqrt(variance + 1e-5) * layer.gain.data + layer.bias.data
    for _ in range(2):  # looking changes nothing
        np.testing.assert_allclose(layer.train(False)(tp.tensor(BATCHES[0])).numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(layer.state_dict()["running_mean"], layer.running_mean.data)


def test_batch_norm_of_one_pixel():
    layer = BatchNorm(2)
    y = layer(tp.tensor(np.ones((1, 1, 1, 2), np.float32)))
    assert y.numpy().tolist() == [[[[0, 0]]]] and np.isfinite(layer.running_variance.data).all()


def test_running_averages_are_no_parameters_and_hold_no_graph():
    layer = BatchNorm(3)
    layer(tp.tensor(BATCHES[0].astype(np.float32), requires_grad=True))
    assert len(layer.parameters()) == 2
    assert layer.running_mean.node is None and not layer.running_variance.requires_grad
    assert layer.running_mean.dtype == layer.running_variance.dtype == np.float32


# PyTorch says the same

def test_pytorchs_batch_norm_agrees():
    torch = pytest.importorskip("torch")
    ours, theirs = shaken(BatchNorm(3)), torch.nn.BatchNorm2d(3, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(ours.gain.data))
        theirs.bias.copy_(torch.tensor(ours.bias.data))
    for batch, training in ((BATCHES[0], True), (BATCHES[1], True), (BATCHES[2], False)):
        theirs.train(training)
        ours.zero_grad()
        theirs.zero_grad()
        x, z = tp.tensor(batch, requires_grad=True), torch.tensor(batch, requires_grad=True)
        y, expected = ours.train(training)(x), theirs(z.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        cotangent = normal(*batch.shape)
        y.backward(cotangent)
        expected.backward(torch.tensor(cotangent))
        for found, wanted in ((y.data, expected.detach()), (x.grad, z.grad), (ours.gain.grad, theirs.weight.grad),
                              (ours.bias.grad, theirs.bias.grad), (ours.running_mean.data, theirs.running_mean),
                              (ours.running_variance.data, theirs.running_var)):
            np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-9, atol=1e-11)


def test_pytorchs_layer_norm_agrees():
    torch = pytest.importorskip("torch")
    layer, batch = shaken(LayerNorm(3)), normal(2, 4, 5, 3)
    x, z = tp.tensor(batch, requires_grad=True), torch.tensor(batch, requires_grad=True)
    y = layer(x)
    expected = torch.nn.functional.layer_norm(z, (4, 5, 3)) * torch.tensor(layer.gain.data) + torch.tensor(layer.bias.data)
    y.backward(batch)
    expected.backward(torch.tensor(batch))
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(x.grad, z.grad.numpy(), rtol=1e-8, atol=1e-10)


def test_running_averages_keep_their_arrays_and_their_mode_reaches_children():
    """A step that was recorded on a GPU goes on with the arrays that it was recorded with."""
    outer = tp.nn.Module()
    outer.parts = [BatchNorm(2), tp.nn.Module()]
    outer.parts[1].norm = BatchNorm(2)
    norms = [outer.parts[0], outer.parts[1].norm]
    arrays = [norm.running_mean.data for norm in norms]
    for norm in norms:
        norm(tp.tensor(np.ones((2, 3, 3, 2), np.float32)))
    assert all(norm.running_mean.data is array and array.tolist() == [np.float32(0.1)] * 2 for norm, array in zip(norms, arrays))
    assert outer.train(False) is outer and not any(norm.training for norm in norms)
    outer.train()
    assert all(norm.training for norm in norms)
