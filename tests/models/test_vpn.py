"""VPN's baseline beside its transcription, and its sizes."""

import math

import numpy as np
import pytest
from small import random_frames, shake
from transcribed import assert_transcribed, committed

import tinypredrnn as tp
from tinypredrnn.errors import ConfigError
from tinypredrnn.models import build_model, lay_out
from tinypredrnn.models.vpn import VPN
from tinypredrnn.nn import find_loss

SMALL = dict(size=(7, 6), width=2, patch=1, encoder_blocks=2, decoder_blocks=1, dilations=(1, 2), edge_kernel=1)  # as in make_rivals.py


def test_the_committed_arrays(device):
    arrays = committed("vpn")
    assert_transcribed(build_model("vpn", **SMALL), arrays, int(arrays["given"]), "bce", device=device)


@pytest.mark.parametrize("seed", [1, 2])
def test_pytorch_itself(seed, device):
    pytest.importorskip("torch")
    from references.make_rivals import make

    arrays = make("vpn", seed)
    assert_transcribed(build_model("vpn", **SMALL), arrays, int(arrays["given"]), "bce", device=device)


@pytest.mark.parametrize("options, parameters, multiply_adds", [
    (VPN.published, 29_652_225, 121.3e9), (VPN.published | dict(width=64), 7_420_545, 30.4e9),
    (VPN.published | dict(width=32), 1_858_881, 7.6e9), (VPN.published | dict(width=16), 466_593, 1.9e9), ({}, 1_095_440, 0.28e9)], ids=str)
def test_sizes(options, parameters, multiply_adds):
    model = lay_out(math.inf, "vpn", (64, 64, 1), VPN.Options(**options))
    assert model.count_parameters() == parameters
    assert model.count_multiply_adds() == pytest.approx(multiply_adds, rel=0.01)


@pytest.mark.parametrize("options", [{}, dict(patch=2, edge_kernel=3, size=(4, 6))], ids=str)
def test_gradcheck_of_an_unrolled_network(options):
    model = shake(build_model("vpn", **SMALL | dict(size=(4, 5), decoder_blocks=0) | options))
    truth = np.array([[1, 1, 0], [1, 0, 1]])
    frames = random_frames(2, 3, *model.frame)
    assert tp.gradcheck(lambda frames: model.unroll(frames, truth), frames, parameters=model.parameters(), seeds=(0,))


def test_predictions_are_probabilities_at_any_size():
    model = shake(build_model("vpn", (8, 8), width=3, encoder_blocks=1, decoder_blocks=1, patch=2), scale=1)
    frames = model(random_frames(3, 2, 6, 9, 1), horizon=4).numpy()
    assert frames.shape == (3, 4, 6, 9, 1) and 0 <= frames.min() < 0.1 and 0.9 < frames.max() <= 1


def test_every_number_of_a_new_network_has_a_gradient():
    model = build_model("vpn", **SMALL).to(dtype=np.float64)
    frames = tp.tensor(random_frames(2, 5, 7, 6, 1))
    find_loss("bce")(model.unroll(frames[:, :-1], np.ones((2, 4))), frames[:, 1:]).backward()
    for name, t in model.named_tensors():
        assert t.grad is not None and np.all(t.grad != 0), name


def test_dilations_are_repeated():
    model = build_model("vpn", (4, 4), width=1, patch=1, encoder_blocks=5, decoder_blocks=1, dilations=(1, 2, 4))
    assert [unit.gates.options["dilation"] for block in model.encoder for unit in block.units] == [1, 1, 2, 2, 4, 4, 1, 1, 2, 2]
    assert {unit.gates.options["dilation"] for block in model.decoder for unit in block.units} == {1}


@pytest.mark.parametrize("options, says", [
    (dict(edge_kernel=2), "edge_kernel is odd, got 2"), (dict(dilations=()), "dilations needs at least one number"),
    (dict(patch=8), "8x8 are larger than frames of 7x6"), (dict(dilations=(1, 0)), r"dilations is at least 1, got \(1, 0\)")], ids=str)
def test_what_cannot_be_built(options, says):
    with pytest.raises(ConfigError, match=says):
        build_model("vpn", **SMALL | options)


def test_its_recipe_is_one():
    plan = tp.train.new_plan("vpn", "mnist", "paper", **VPN.published)
    assert (plan.recipe.optimiser, plan.recipe.batch, plan.recipe.sampling) == ("rmsprop", 64, "teacher")
