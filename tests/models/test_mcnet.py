"""MCnet and its discriminator: against PyTorch, their sizes, what moves and what is seen, and the loss of differences."""

import math

import numpy as np
import pytest
from small import random_frames, shake
from transcribed import assert_transcribed, committed, part, states_of, training_loss

import tinypredrnn as tp
from tinypredrnn import build_model, gradcheck, tensor
from tinypredrnn.backend import to_numpy
from tinypredrnn.models import MODELS, lay_out
from tinypredrnn.models.mcnet import Discriminator, gradient_difference
from tinypredrnn.nn.layout import generator, layout_only
from tinypredrnn.optim import Adam

GIVEN = 3


def small_mcnet(size=(9, 12), channels=2, **options):
    return shake(build_model("mcnet", size, channels, **dict(width=1) | options))


def check(arrays, device):
    """The model alone, its discriminator, and the model that deceives the discriminator."""
    alone = {name: a for name, a in arrays.items() if name.split("/")[0] not in ("discriminator", "deceiving")}
    model = small_mcnet()
    assert_transcribed(model, alone, GIVEN, "l2", device=device)
    discriminator, weight = model.adversary(6, np.random.default_rng(0))
    discriminator.to(device=device, dtype=np.float64)
    tensors = dict(discriminator.named_tensors())
    for name, a in part(arrays, "discriminator/weight/").items():
        tensors[name].data = tensor(a, device=device).data
    frames = tensor(arrays["frames"], device=device)
    outputs, loss = training_loss(model, frames, arrays["truth"], GIVEN, "l2", "future")
    predicted = tp.concat(frames[:, :GIVEN], outputs[:, GIVEN - 1:], axis=1)
    of_discriminator = (tp.bce_with_logits(discriminator(frames), 1.0).mean()
                        + tp.bce_with_logits(discriminator(predicted.detach()), 0.0).mean())
    of_discriminator.backward()
    assert_close(of_discriminator, arrays["discriminator/loss"])
    for name, a in part(arrays, "discriminator/gradient/").items():
        assert_close(tensors[name].grad, a, name)
    loss = loss + weight * tp.bce_with_logits(discriminator(predicted), 1.0).mean()
    model.zero_grad()
    loss.backward()
    assert_close(loss, arrays["deceiving/loss"])
    tensors = dict(model.named_tensors())
    for name, a in part(arrays, "deceiving/gradient/").items():
        assert_close(tensors[name].grad, a, name)


def assert_close(found, expected, name=""):
    """To 1e-10 of the largest element; a bias before a normalisation has no gradient but rounding errors."""
    np.testing.assert_allclose(to_numpy(getattr(found, "data", found)), expected, rtol=0, atol=1e-10 * max(abs(expected).max(), 1e-3),
                               err_msg=name)


def test_the_committed_arrays(device):
    check(committed("mcnet"), device)


@pytest.fixture
def make():
    """The script, where it can run."""
    pytest.importorskip("torch")
    from references import make_kth_rivals

    return make_kth_rivals.make


def test_pytorch_itself(device, make):
    check(make("mcnet", 1), device)


def test_the_script_makes_the_committed_arrays(make):
    kept, made = committed("mcnet"), make("mcnet")
    assert kept.keys() == made.keys()
    for key, a in made.items():
        np.testing.assert_allclose(kept[key], a, rtol=1e-10, atol=1e-12, err_msg=key)


def test_gradcheck_of_an_unrolled_network():
    model, mixed = small_mcnet((8, 5), 1), np.array([[1, 1, 0, 1], [1, 1, 1, 0]])
    assert gradcheck(lambda frames: training_loss(model, frames, mixed, 2, "l2", "future")[1], random_frames(2, 5, 8, 5, 1),
                     parameters=model.parameters(), seeds=(0,))


def test_gradcheck_of_the_discriminator():
    discriminator = shake(Discriminator((18, 17, 1), 2, 1, np.random.default_rng(0)))
    assert gradcheck(discriminator, random_frames(3, 2, 18, 17, 1), parameters=discriminator.parameters(), seeds=(0,))


def test_the_size_of_the_paper():
    model = lay_out(math.inf, "mcnet", (64, 64, 1), MODELS["mcnet"].Options())
    assert model.count_parameters() == 14_093_953
    of_frame = model.count_multiply_adds(10, 2) - model.count_multiply_adds(10, 1)
    assert of_frame == model.count_multiply_adds() and round(of_frame / 1e9, 1) == 3.9
    with layout_only():
        of_discriminator = [Discriminator((side, side, 1), 20, 64, generator(0)).count_parameters() for side in (128, 64)]
    assert of_discriminator == [4_368_321, 4_343_745]


def test_a_given_frame_before_the_last_is_seen_by_the_motion_encoder_alone():
    model = lay_out(math.inf, "mcnet", (64, 64, 1), MODELS["mcnet"].Options())
    counts = [model.count_multiply_adds(given) for given in (1, 2, 3)]
    motion = 64 * 64 * 25 * 64 + 32 * 32 * 25 * 64 * 128 + 16 * 16 * 49 * 128 * 256 + 8 * 8 * 9 * 512 * 1024
    assert [later - counts[0] for later in counts] == [0, 0, motion]  # of two frames there is one difference, as of one with itself


def test_a_forecast_sees_the_last_frame_and_how_all_of_them_moved():
    """Brighter frames without any other motion look alike to the motion encoder, and the ConvLSTM remembers the first ones."""
    model, frames = small_mcnet((16, 16), 1), random_frames(1, 4, 16, 16, 1)
    states = [states_of(model, frames + brighter, np.ones((1, 4)), given=4)[1] for brighter in (0, 0.1)]
    for one, other in zip(states[0][-1].motion, states[1][-1].motion):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-12)
    changed = frames.copy()
    changed[0, 0, 5, 5] += 0.5
    assert np.any(model(changed, 1).numpy() != model(frames, 1).numpy())
    still = np.repeat(frames[:, -1:], 3, axis=1)
    assert np.any(model(still, 1).numpy() != model(frames, 1).numpy())
    assert 0 <= model(frames, 2).numpy().min() and model(frames, 2).numpy().max() <= 1


def test_the_gradient_difference_by_hand():
    p, x = random_frames(2, 3, 4, 5, 1), random_frames(2, 3, 4, 5, 1, seed=1)
    total = 0.0
    for n, t, i, j in np.ndindex(2, 3, 4, 5):
        for down, right in ((1, 0), (0, 1)):
            steep = [abs((f[n, t, i + down, j + right, 0] if i + down < 4 and j + right < 5 else 0) - f[n, t, i, j, 0]) for f in (p, x)]
            total += abs(steep[0] - steep[1])
    np.testing.assert_allclose(gradient_difference(tensor(p), tensor(x)).numpy(), total / 120, rtol=1e-12)
    assert gradcheck(gradient_difference, p, x)


def test_training_lowers_the_loss():
    model = build_model("mcnet", (8, 8), 1, width=4)
    frames = tensor(random_frames(2, 5, 8, 8, 1, dtype=np.float32))
    optimiser, losses = Adam(model.parameters(), 3e-3), []
    for _ in range(15):
        model.zero_grad()
        _, loss = training_loss(model, frames, np.ones((2, 4)), 3, "l2", "future")
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
