"""The three networks against the paper: their stacks transcribed arrow by arrow, fed with their own predictions; and their sizes."""

import numpy as np
import pytest
from references import equations
from small import NETWORKS, random_frames, small_network

from tinypredrnn import build_model, gradcheck, tensor
from tinypredrnn.backend import to_numpy
from tinypredrnn.nn import find_loss

each_network = pytest.mark.parametrize("name", NETWORKS)
MIXED = np.array([[1, 1, 0, 1, 0, 0], [1, 1, 1, 0, 1, 0]])  # what scheduled sampling may draw: another mask for each sequence


@each_network
@pytest.mark.parametrize("options", [{}, {"kernel": 5}, {"channels": 3, "size": (9, 6), "patch": 3}, {"patch": 1, "size": (3, 5)},
                                     {"hidden": (3,)}, {"hidden": (2,) * 5}], ids=str)
def test_predictions_are_those_of_the_transcribed_network(name, options, device):
    model = small_network(name, **options).to(device=device)
    frames = random_frames(2, 3, *options.get("size", (6, 8)), model.frame[2])
    truth = np.repeat([[1, 1, 1, 0, 0, 0, 0]], 2, axis=0)
    expected = equations.unroll(name, model.state_dict(), frames, truth, model.patch)[:, 2:]
    np.testing.assert_allclose(model(frames, horizon=5).numpy(), expected, rtol=1e-12, atol=1e-12)


@each_network
def test_every_gradient_is_that_of_the_transcribed_network(name, device):
    """For each parameter and for the frames, along random directions."""
    model = small_network(name).to(device=device)
    frames = random_frames(2, 5, 6, 8, 2)
    x = tensor(frames, requires_grad=True, device=device)
    rng = np.random.default_rng(3)
    cotangent = rng.standard_normal((2, 6, 6, 8, 2))
    model.unroll(x, MIXED).backward(tensor(cotangent, device=device))

    def weighted_sum(arrays):
        return (equations.unroll(name, arrays, arrays["frames"], MIXED, model.patch) * cotangent).sum()

    arrays = model.state_dict() | {"frames": frames}
    for key, leaf in (dict(model.named_tensors()) | {"frames": x}).items():
        gradient = to_numpy(leaf.grad)
        for _ in range(2):
            direction = rng.standard_normal(leaf.shape)
            expected = equations.derivative(weighted_sum, arrays, {key: direction})
            tolerance = 1e-12 * abs(gradient * direction).sum()
            assert abs((gradient * direction).sum() - expected) <= tolerance < abs(expected), key


@each_network
@pytest.mark.parametrize("layer_norm", [False, True])
def test_gradcheck_of_an_unrolled_network(name, layer_norm):
    model = small_network(name, size=(4, 6), channels=1, hidden=(2, 2), layer_norm=layer_norm)
    assert gradcheck(lambda frames: model.unroll(frames, MIXED), random_frames(2, 5, 4, 6, 1), parameters=model.parameters(), seeds=(0,))


@each_network
@pytest.mark.parametrize("layer_norm", [False, True])
def test_every_number_of_a_new_network_has_a_gradient(name, layer_norm):
    """As it is built, with peepholes and biases at 0: nothing may be cut off from the loss."""
    model = build_model(name, (6, 8), 1, hidden=NETWORKS[name], kernel=3, patch=2, layer_norm=layer_norm).to(dtype=np.float64)
    frames = random_frames(2, 6, 6, 8, 1)
    loss = find_loss("l1+l2")(model.unroll(frames[:, :-1], np.ones((2, 5))), tensor(frames[:, 1:]))
    loss.backward()
    for key, t in model.named_tensors():
        assert t.grad is not None and np.all(t.grad != 0), key


@pytest.mark.parametrize("name, count", [
    ("convlstm", 12_068_864 + 2_064),
    ("predrnn_m", 7_153_664 + 2_064),
    ("predrnn", 23_838_720 + 4_112),  # the official PyTorch network's, and the biases that Equation 4 has and it has not
])
def test_number_of_parameters_at_the_size_of_the_paper(name, count):
    assert build_model(name).count_parameters() == count


@each_network
def test_without_peepholes_the_future_shifts_with_the_past(name):
    """Convolutions do not know where they are: away from the borders, a shift by whole patches shifts the prediction."""
    model = small_network(name, size=(56, 64), channels=1, hidden=(2, 2), kernel=3, patch=2)
    frames = random_frames(1, 2, 56, 64, 1)
    shift = 2, -4  # pixels; patches are 2x2

    def difference():
        moved = model(np.roll(frames, shift, axis=(2, 3)), horizon=2).numpy()
        there = np.roll(model(frames, horizon=2).numpy(), shift, axis=(2, 3))
        return abs(moved - there)[:, :, 26:-26, 28:-28].max()  # three steps of two layers reach 12 patches at most

    with_peepholes = difference()
    for key, t in model.named_tensors():
        if ".w_" in key:
            t.data = t.data * 0
    assert difference() < 1e-12
    assert with_peepholes > 1e-3 or name == "predrnn"  # which has none
    shift = 1, 0
    assert difference() > 1e-3
