"""CDNA: against PyTorch, its size, its masks and kernels, and the authors' oversights."""

import math

import numpy as np
import pytest
from small import random_frames, shake
from transcribed import assert_transcribed, committed, part

from tinypredrnn import build_model, gradcheck, tensor
from tinypredrnn.errors import ShapeError
from tinypredrnn.models import MODELS, lay_out
from tinypredrnn.models.cdna import compose, move


def small_cdna(size=(9, 12), channels=2, seed=0, **options):
    return shake(build_model("cdna", size, channels, seed, **dict(width=1) | options), seed)


def check(arrays, literal, device):
    """The arrays of the default form, or those of the literal one in their place."""
    arrays = {name: a for name, a in arrays.items() if not literal or not name.startswith("gradient/")}
    arrays = {name: a for name, a in arrays.items() if "literal/" not in name} | (part(arrays, "literal/") if literal else {})
    assert_transcribed(small_cdna(literal=literal), arrays, 2, "l2", device=device)


@pytest.mark.parametrize("literal", [False, True])
def test_the_committed_arrays(literal, device):
    check(committed("cdna"), literal, device)


@pytest.mark.parametrize("literal", [False, True])
def test_pytorch_itself(literal, device):
    pytest.importorskip("torch")
    from references.make_dfn_cdna import make

    check(make("cdna", 1), literal, device)


def test_gradcheck_of_an_unrolled_network():
    model, mixed = small_cdna((8, 7), 1), np.array([[1, 0, 1], [1, 1, 0]])
    assert gradcheck(lambda frames: model.unroll(frames, mixed), random_frames(2, 3, 8, 7, 1), parameters=model.parameters(), seeds=(0,))


def test_the_size_of_the_paper():
    model = lay_out(math.inf, "cdna", (64, 64, 1), MODELS["cdna"].Options())
    assert model.count_parameters() == 8_309_542
    assert round(model.count_multiply_adds() / 1e9, 2) == 1.76
    literal = lay_out(math.inf, "cdna", (64, 64, 1), MODELS["cdna"].Options(literal=True))
    assert literal.count_parameters() == model.count_parameters()


@pytest.mark.parametrize("literal, darkest", [(False, 0), (True, 0.5)])
def test_only_literally_is_the_scratch_image_never_black(literal, darkest):
    """With masks that choose nothing but the scratch image, which the network wants black."""
    model = small_cdna((8, 8), 1, literal=literal)
    model.to_masks.weight.data *= 0
    model.to_masks.bias.data[:] = np.arange(11) == 1
    model.to_masks.bias.data *= 100
    model.to_scratch.bias.data[:] = -100
    prediction = model(random_frames(2, 2, 8, 8, 1), horizon=1).numpy()
    np.testing.assert_allclose(prediction, darkest, atol=1e-12)


def test_kernels_move_the_frame():
    """The middle one keeps it, one with its weight beside the middle shifts it, the last one is not used."""
    frame, kernels = random_frames(2, 5, 6, 3), np.zeros((2, 5, 5, 3))
    kernels[:, 2, 2, 0] = kernels[0, 2, 3, 1] = kernels[1, 1, 2, 1] = kernels[:, 0, 0, 2] = 1
    moved = move(tensor(frame), tensor(kernels.reshape(2, 25, 3))).numpy()
    assert moved.shape == (2, 5, 6, 3, 2)
    np.testing.assert_array_equal(moved[..., 0], frame)
    np.testing.assert_array_equal(moved[0, :, :-1, :, 1], frame[0, :, 1:])
    np.testing.assert_array_equal(moved[1, 1:, :, :, 1], frame[1, :-1])
    assert not moved[0, :, -1, :, 1].any() and not moved[1, 0, :, :, 1].any()  # zeros come in from outside


@pytest.mark.parametrize("colours", [1, 3])
def test_a_prediction_is_the_mean_of_its_images_weighted_by_the_masks(colours):
    frame, scratch, moved = (random_frames(2, 3, 4, colours, *more) for more in ((), (), (9,)))
    masks = random_frames(2, 3, 4, 11)
    expected = masks[..., :1] * frame + masks[..., 1:2] * scratch + (masks[..., None, 2:] * moved).sum(axis=4)
    np.testing.assert_allclose(compose(*map(tensor, (frame, scratch, moved, masks))).numpy(), expected, rtol=1e-12)
    assert gradcheck(compose, frame, scratch, moved, masks)
    assert compose(*(tensor(a.astype(np.float32)) for a in (frame, scratch, moved, masks))).dtype == np.float32


def test_kernels_are_not_negative_and_sum_to_one():
    model = small_cdna((8, 8), 1)
    deepest = 10 * random_frames(3, 1, 1, 4) - 5
    kernels = model.kernels(tensor(deepest)).numpy()
    assert kernels.shape == (3, 25, 10) and (kernels > 0).all()
    np.testing.assert_allclose(kernels.sum(axis=1), 1, rtol=1e-12)
    model.to_kernels.bias.data[:] = -1000  # even if nothing is left of them
    np.testing.assert_allclose(model.kernels(tensor(deepest)).numpy(), 1 / 25)


def test_all_layers_of_a_new_network_have_a_gradient_but_the_tenth_kernel():
    model = build_model("cdna", (16, 16), 1, width=2).to(dtype=np.float64)
    frames = random_frames(4, 6, 16, 16, 1)
    ((model.unroll(frames[:, :-1], np.ones((4, 5))) - frames[:, 1:]) ** 2).sum().backward()
    assert not model.to_kernels.weight.grad.reshape(-1, 25, 10)[..., 9].any()
    for name, t in model.named_tensors():
        assert (t.grad != 0).mean() > 0.2, name  # not all: a feature may be 0 behind a ReLU, a grid smaller than a kernel


def test_black_frames_have_a_gradient():
    model = build_model("cdna", (16, 16), 1, width=4)
    model.unroll(np.zeros((2, 6, 16, 16, 1), np.float32), np.ones((2, 6))).sum().backward()
    assert all(np.isfinite(t.grad).all() for t in model.parameters())


def test_another_size_is_refused():
    with pytest.raises(ShapeError, match="9x12"):
        small_cdna()(random_frames(1, 2, 8, 8, 2))
