"""FC-LSTM beside its transcription, its published sizes, and what an encoder and a forecaster do with time."""

import math

import numpy as np
import pytest
from small import random_frames, shake
from transcribed import assert_transcribed, committed

import tinypredrnn as tp
from tinypredrnn.errors import ShapeError
from tinypredrnn.models import MODELS, build_model, lay_out
from tinypredrnn.models.fc_lstm import FCLSTM
from tinypredrnn.nn import find_loss

KINDS = {"fc_lstm": dict(size=(3, 4), channels=1), "fc_lstm_composite": dict(size=(3, 2), channels=2, composite=True)}
each_kind = pytest.mark.parametrize("kind", KINDS)
composite_or_not = pytest.mark.parametrize("composite", [False, True])


def small(composite, size=(3, 4), channels=1, width=3):
    return shake(build_model("fc_lstm", size, channels, width=width, composite=composite))


@each_kind
def test_the_committed_arrays(kind, device):
    arrays = committed(kind)
    assert_transcribed(build_model("fc_lstm", width=3, **KINDS[kind]), arrays, int(arrays["given"]), "bce", device=device)


@each_kind
@pytest.mark.parametrize("seed", [1, 2])
def test_pytorch_itself(kind, seed, device):
    pytest.importorskip("torch")
    from references.make_rivals import make

    arrays = make(kind, seed)
    assert_transcribed(build_model("fc_lstm", width=3, **KINDS[kind]), arrays, int(arrays["given"]), "bce", device=device)


@pytest.mark.parametrize("composite, parameters", [(False, 142_667_776), (True, 167_823_360)])
def test_sizes_are_those_that_were_published(composite, parameters):
    model = lay_out(math.inf, "fc_lstm", (64, 64, 1), FCLSTM.Options(composite=composite))
    assert model.count_parameters() == parameters
    P, K = 64 * 64, 2048
    lstm_of_frames, lstm_of_states, to_frame = (P + K) * 4 * K, 2 * K * 4 * K, K * P
    by_hand = (2 * lstm_of_frames + to_frame if composite  # the reconstructor works only while the model is trained
               else lstm_of_frames + lstm_of_states + K * 4 * K + lstm_of_states + to_frame)
    assert model.count_multiply_adds() == by_hand


@composite_or_not
def test_gradcheck_of_an_unrolled_network(composite):
    model = small(composite, size=(2, 3), width=2)
    truth = np.array([[1, 1, 1, 0], [1, 1, 0, 1]])

    def loss(frames):
        states = []
        predictions = model.unroll(frames, truth, states, given=2)[:, 1:]
        return model.loss(find_loss("bce"), predictions, frames[:, 2:], states)

    assert tp.gradcheck(loss, random_frames(2, 5, 2, 3, 1), parameters=model.parameters(), seeds=(0,))


@composite_or_not
def test_before_the_last_given_frame_outputs_are_the_frames(composite):
    model, frames = small(composite), random_frames(2, 7, 3, 4, 1)
    truth = np.ones((2, 6))
    outputs = model.unroll(frames, truth, given=4).numpy()
    np.testing.assert_array_equal(outputs[:, :3], frames[:, :3])
    assert abs(outputs[:, 3:] - frames[:, 3:6]).min() > 0
    np.testing.assert_array_equal(model.unroll(frames, truth, given=1).numpy()[:, 0], model(frames[:, :1], 1).numpy()[:, 0])


def test_a_forecast_sees_no_frame_and_a_conditional_one_does():
    frames, other = random_frames(2, 6, 3, 4, 1), random_frames(2, 6, 3, 4, 1, seed=1)
    other[:, :3] = frames[:, :3]
    true, own = np.ones((2, 5)), np.repeat([[1, 1, 1, 0, 0]], 2, axis=0)
    model = small(composite=False)
    expected = model(frames[:, :3], horizon=3).numpy()
    for given, truth in (frames, true), (other, true), (frames, own):
        np.testing.assert_array_equal(model.unroll(given, truth, given=3).numpy()[:, 2:], expected)
    model = small(composite=True)
    a, b, c = (model.unroll(x, truth, given=3).numpy()[:, 2:] for x, truth in ((frames, true), (other, true), (frames, own)))
    np.testing.assert_array_equal(a[:, 0], b[:, 0])  # its first step reads nothing
    assert (a[:, 1] != b[:, 1]).any() and (a[:, 1] != c[:, 1]).any()
    np.testing.assert_array_equal(c, model(frames[:, :3], horizon=3).numpy())


@composite_or_not
def test_more_given_frames_than_steps_are_refused(composite):
    with pytest.raises(ShapeError, match="given of at most 3, the number of steps, got 4"):
        small(composite).unroll(random_frames(2, 4, 3, 4, 1), np.ones((2, 3)))


@composite_or_not
def test_predictions_are_probabilities(composite):
    model = shake(build_model("fc_lstm", (6, 8), width=4, composite=composite), scale=3)
    frames = model(random_frames(3, 2, 6, 8, 1), horizon=5).numpy()
    assert frames.shape == (3, 5, 6, 8, 1) and 0 <= frames.min() < 0.1 and 0.9 < frames.max() <= 1


@composite_or_not
def test_every_number_of_a_new_network_has_a_gradient(composite):
    model = build_model("fc_lstm", (3, 4), width=3, composite=composite).to(dtype=np.float64)
    frames, states = tp.tensor(random_frames(2, 6, 3, 4, 1)), []
    predictions = model.unroll(frames, np.ones((2, 5)), states, given=3)[:, 2:]
    model.loss(find_loss("bce"), predictions, frames[:, 3:], states).backward()
    for name, t in model.named_tensors():
        assert t.grad is not None and np.all(t.grad != 0), name


def test_its_recipe_is_one():
    plan = tp.train.new_plan("fc_lstm", "mnist", "paper")
    assert (plan.recipe.optimiser, plan.recipe.loss, plan.recipe.rate) == ("rmsprop", "bce", 1e-3)
    assert MODELS["fc_lstm"].capturable
