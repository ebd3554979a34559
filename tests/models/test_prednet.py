"""PredNet: against PyTorch, its size, what it feeds back, and the errors in its loss."""

import math

import numpy as np
import pytest
from small import random_frames, shake
from transcribed import assert_transcribed, committed, part, states_of, training_loss

from tinypredrnn import build_model, gradcheck, tensor
from tinypredrnn.models import MODELS, lay_out
from tinypredrnn.optim import Adam

MIXED = np.array([[1, 1, 0, 0], [1, 1, 1, 0]])


def small_prednet(size=(9, 12), channels=2, **options):
    return shake(build_model("prednet", size, channels, **dict(width=1) | options))


def check(arrays, as_code, device):
    """The arrays of the one form or of the other."""
    of_code = part(arrays, "as_code/")
    shared = {name: a for name, a in arrays.items() if name in ("frames", "truth") or name.startswith("weight/")}
    arrays = shared | of_code if as_code else {name: a for name, a in arrays.items() if not name.startswith("as_code/")}
    assert_transcribed(small_prednet(as_code=as_code, upper_errors=0.0 if as_code else 0.1), arrays, 2, "l1", "all", device)


@pytest.mark.parametrize("as_code", [False, True])
def test_the_committed_arrays(as_code, device):
    check(committed("prednet"), as_code, device)


@pytest.fixture
def make():
    """The script, where it can run."""
    pytest.importorskip("torch")
    from references import make_kth_rivals

    return make_kth_rivals.make


@pytest.mark.parametrize("as_code", [False, True])
def test_pytorch_itself(as_code, device, make):
    check(make("prednet", 1), as_code, device)


def test_the_script_makes_the_committed_arrays(make):
    kept, made = committed("prednet"), make("prednet")
    assert kept.keys() == made.keys()
    for key, a in made.items():
        np.testing.assert_allclose(kept[key], a, rtol=1e-10, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("options", [dict(upper_errors=0.1), dict(as_code=True)], ids=str)
def test_gradcheck_of_an_unrolled_network(options):
    model = small_prednet((6, 5), 1, **options)
    assert gradcheck(lambda frames: training_loss(model, frames, MIXED, 2, "l2")[1], random_frames(2, 5, 6, 5, 1),
                     parameters=model.parameters(), seeds=(0,))


@pytest.mark.parametrize("channels, parameters", [(1, 6_909_818), (3, 6_915_948)])
def test_the_size_of_the_paper(channels, parameters):
    assert lay_out(math.inf, "prednet", (128, 128, channels), MODELS["prednet"].Options()).count_parameters() == parameters


def test_multiply_adds_of_a_step():
    """The first step has a prediction more, that of the first frame."""
    model = lay_out(math.inf, "prednet", (64, 64, 1), MODELS["prednet"].Options())
    first, second, third = (model.count_multiply_adds(given) for given in (1, 2, 3))
    assert third - second == second - first == 1_348_816_896
    down = sum(9 * (3 * s + above) * 4 * s * 64**2 // 4**k + 9 * s * s * 64**2 // 4**k
               for k, (s, above) in enumerate([(1, 48), (48, 96), (96, 192), (192, 0)]))
    assert first == second - first + down


def test_what_was_expected_is_no_error_and_the_frame_of_the_code_comes_late():
    """Fed with its own prediction, the network sees no error at the bottom; as in the code it sees that of the frame before."""
    frames = random_frames(1, 3, 8, 8, 1)
    model, as_code = (small_prednet((8, 8), 1, as_code=as_code) for as_code in (False, True))
    truth = np.array([[1, 1, 1, 0, 0]])
    (outputs, states), (late_outputs, late) = states_of(model, frames, truth), states_of(as_code, frames, truth)
    outputs, late_outputs = outputs.numpy(), late_outputs.numpy()
    assert [state.errors[0].numpy().any() for state in states] == [True, True, True, False, False]
    np.testing.assert_array_equal(outputs[:, :3], late_outputs[:, :3])
    assert 0.01 < outputs[:, 1:4].mean() < 0.99
    for t in (3, 4):
        expected, seen = late_outputs[:, t - 1], late_outputs[:, t - 2]
        errors = np.concatenate([expected - seen, seen - expected], axis=-1).clip(0)
        np.testing.assert_allclose(late[t].errors[0].numpy(), errors, atol=1e-15)


def test_its_first_prediction_knows_nothing_of_the_frames():
    model = small_prednet((8, 8), 1)
    states = [states_of(model, random_frames(1, 2, 8, 8, 1, seed=seed), np.ones((1, 2)))[1] for seed in (0, 1)]
    np.testing.assert_array_equal(*(kept[0].earlier.numpy() for kept in states))
    assert np.any(states[0][1].earlier.numpy() != states[1][1].earlier.numpy())


def test_errors_of_the_upper_layers_are_those_of_all_frames_but_the_first():
    model = small_prednet((8, 8), 1, upper_errors=0.3)
    plain = small_prednet((8, 8), 1)
    frames = tensor(random_frames(2, 4, 8, 8, 1))
    _, states = states_of(model, frames, np.ones((2, 4)))  # one step more, which sees the last frame
    errors = np.mean([[e.numpy().mean() for e in state.errors] for state in states[1:]], axis=0)
    (_, whole), (outputs, lowest) = (training_loss(network, frames, np.ones((2, 3)), 2, "l1") for network in (model, plain))
    np.testing.assert_allclose(lowest.numpy(), 2 * errors[0], rtol=1e-12)
    np.testing.assert_allclose(whole.numpy(), 2 * errors[0] + 2 * 0.3 * errors[1:].sum(), rtol=1e-12)
    assert 0 <= outputs.numpy().min() and outputs.numpy().max() <= 1


@pytest.mark.parametrize("upper_errors", [0.0, 0.1])
def test_training_lowers_the_loss(upper_errors):
    model = build_model("prednet", (8, 8), 1, width=4, upper_errors=upper_errors)
    frames = tensor(random_frames(2, 5, 8, 8, 1, dtype=np.float32))
    optimiser, losses = Adam(model.parameters(), 3e-3), []
    for _ in range(15):
        model.zero_grad()
        _, loss = training_loss(model, frames, np.ones((2, 4)), 3, "l1")
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
