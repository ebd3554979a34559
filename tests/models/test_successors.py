"""PredRNN++, PredRNN-V2 and Shi's ConvLSTM: their arithmetic against PyTorch, their sizes, and what each is said to do."""

import math

import numpy as np
import pytest
from small import random_frames, shake
from transcribed import assert_transcribed, committed, states_of, training_loss

from tinypredrnn import build_model, gradcheck, tensor
from tinypredrnn.errors import ConfigError
from tinypredrnn.models import find_model, lay_out
from tinypredrnn.models.official import export_official, import_official
from tinypredrnn.models.predrnn_pp import GradientHighway
from tinypredrnn.nn import find_loss
from tinypredrnn.optim import Adam

SMALL = dict(size=(6, 8), channels=1, kernel=3, patch=2)
# file: model, options, pixel loss
CASES = {
    "predrnn_pp": ("predrnn_pp", dict(hidden=(3, 2, 2)), "l2"),
    "predrnn_pp_as_code": ("predrnn_pp", dict(hidden=(3, 2, 2), as_code=True), "l2"),
    "predrnn_v2": ("predrnn_v2", dict(hidden=(2, 2), decoupling=0.3), "l2"),
    "convlstm_forecaster": ("convlstm_shi", dict(hidden=(3, 2)), "bce"),
}
each_case = pytest.mark.parametrize("name", CASES)


def make_small(name, **options):
    model, own, _ = CASES[name]
    return build_model(model, **SMALL, **own | options)


def check(name, arrays, device):
    assert_transcribed(make_small(name), arrays, 3, CASES[name][2], "all", device)


@each_case
def test_the_committed_arrays(name, device):
    check(name, committed(name), device)


@pytest.fixture
def make():
    """The script, where it can run."""
    pytest.importorskip("torch")
    from references import make_successors

    return make_successors.make


@each_case
def test_pytorch_itself(name, device, make):
    check(name, make(name, seed=1), device)


@each_case
def test_the_script_makes_the_committed_arrays(name, make):
    kept, made = committed(name), make(name)
    assert kept.keys() == made.keys()
    for key, a in made.items():
        np.testing.assert_allclose(kept[key], a, rtol=1e-10, atol=1e-12, err_msg=key)


@each_case
@pytest.mark.parametrize("layer_norm", [False, True])
def test_gradcheck_of_an_unrolled_network(name, layer_norm):
    model = shake(make_small(name, hidden=(2, 2), layer_norm=layer_norm))
    truth = np.array([[1, 1, 0, 1], [1, 1, 1, 0]])
    assert gradcheck(lambda frames: training_loss(model, frames, truth, 2, CASES[name][2])[1], random_frames(2, 5, 6, 8, 1),
                     parameters=model.parameters(), seeds=(0,))


@pytest.mark.parametrize("model, options, parameters, multiply_adds", [
    ("predrnn_pp", dict(as_code=True), 13_236_880, 3_383_492_608),
    ("predrnn_pp", dict(as_code=True, layer_norm=False), 13_223_696, 3_383_492_608),
    ("predrnn_pp", dict(as_code=True, hidden=(128,) * 4), 30_423_568, 7_780_433_920),
    ("predrnn_pp", dict(layer_norm=False), 15_268_176, 3_907_780_608),
    ("predrnn_pp", dict(layer_norm=False, hidden=(128,) * 4), 35_312_656, 9_038_725_120),
    ("predrnn_v2", {}, 23_838_720 + 128**2, 6_102_712_320),  # the official network and its adapter
    ("convlstm_shi", dict(hidden=(256,)), 13_524_496, 3_461_349_376),  # as Shi's paper says
    ("convlstm_shi", dict(hidden=(128, 128)), 10_042_896, 2_570_059_776),
    ("convlstm_shi", dict(hidden=(128, 64, 64)), 7_585_296, 1_940_914_176),
])
def test_sizes(model, options, parameters, multiply_adds):
    network = lay_out(math.inf, model, (64, 64, 1), find_model(model).Options().replace(**options))
    assert (network.count_parameters(), network.count_multiply_adds()) == (parameters, multiply_adds)


# PredRNN++

def test_the_memory_of_predrnn_pp_has_the_width_of_the_layer_that_wrote_it():
    model = build_model("predrnn_pp", **SMALL | dict(hidden=(2, 3, 4)))
    x = tensor(random_frames(2, 1, 3, 4, 4, dtype=np.float32))
    _, (layers, m, z) = model.step(x[:, 0], model.start(x))
    assert [h.shape[-1] for h, _ in layers] == [2, 3, 4] and m.shape[-1] == 4 and z.shape[-1] == 2


def test_the_highway_keeps_what_it_has_if_its_switch_is_closed():
    highway = shake(GradientHighway(3, 3, np.random.default_rng(0)))
    x, z = (tensor(random_frames(2, 4, 5, 3, seed=seed)) for seed in (0, 1))
    for offset, expected in ((-50, z.numpy()), (50, None)):
        highway.from_x.bias.data[3:] = offset
        y = highway(x, z).numpy()
        if expected is None:
            expected = np.tanh(highway.from_x(x)[0].numpy() + highway.from_z(z)[0].numpy())
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("as_code", [False, True])
def test_the_gates_of_c_see_the_last_c_in_the_paper_and_not_in_the_code(as_code):
    cell = shake(build_model("predrnn_pp", **SMALL | dict(hidden=(1,)), as_code=as_code, layer_norm=False)).cells[0]
    rng = np.random.default_rng(0)
    x, h, c, m = (rng.standard_normal((1, 3, 4, k)) for k in (4, 1, 1, 1))

    def new(**changes):
        values = dict(x=x, h=h, c=c, m=m) | changes
        return [s.numpy() for s in cell(tensor(values["x"]), tuple(tensor(values[key]) for key in "hcm"))[1]]

    far = np.zeros((1, 3, 4, 1))
    far[0, 0, 0] = 1
    seen = (new(c=c + far)[1] != new()[1])[0, :, :, 0]
    assert seen[0, 0] and seen[0, 1] != as_code  # a neighbour sees the change through gates alone


# PredRNN-V2

def test_the_decoupling_loss_is_the_mean_cosine_over_steps_layers_sequences_and_channels():
    model = shake(make_small("predrnn_v2"))
    frames, cosines = random_frames(2, 4, 6, 8, 1), []
    outputs, states = states_of(model, frames, np.ones((2, 3)))
    for _, increments in states:
        assert len(increments) == 2
        for pair in increments:
            a, b = ((d.numpy() @ model.adapter.numpy()[0, 0]).reshape(2, 12, 2) for d in pair)
            a, b = (np.moveaxis(d, 1, 2).reshape(4, 12) for d in (a, b))  # for each sequence and channel, a vector over space
            cosines += [abs(p @ q) / np.linalg.norm(p) / np.linalg.norm(q) for p, q in zip(a, b)]
    assert len(cosines) == 3 * 2 * 2 * 2
    _, found = training_loss(model, tensor(frames), np.ones((2, 3)), 2, "l2")
    np.testing.assert_allclose(found.numpy(), find_loss("l2")(outputs, frames[:, 1:]).numpy() + 0.3 * np.mean(cosines), rtol=1e-12)


def test_increments_are_what_is_new_in_the_memories():
    """With the forget gates shut, nothing else is in them."""
    model = shake(make_small("predrnn_v2"))
    for cell in model.cells:
        cell.from_xh.bias.data[2:4] = cell.from_xm.bias.data[2:4] = -60
    _, states = states_of(model, random_frames(2, 3, 6, 8, 1), np.ones((2, 3)))
    for (layers, m), increments in states:
        for (_, c), (dc, _) in zip(layers, increments):
            np.testing.assert_allclose(c.numpy(), dc.numpy(), rtol=1e-12)
        np.testing.assert_allclose(m.numpy(), increments[-1][1].numpy(), rtol=1e-12)


def test_the_adapters_gradient_does_not_vanish_and_both_memories_get_one():
    """The authors' first releases cut it by accident (thuml/predrnn-pytorch, issue 11)."""
    model = build_model("predrnn_v2", **SMALL | dict(hidden=(3, 3)))
    frames = random_frames(2, 4, 6, 8, 1, dtype=np.float32)

    def gradients(pixels):
        model.zero_grad()
        summaries = []
        outputs = model.unroll(frames, np.ones((2, 3)), summaries)
        loss = model.loss(lambda prediction, truth: pixels * find_loss("l2")(prediction, truth), outputs, tensor(frames[:, 1:]), summaries)
        loss.backward()
        return {name: t.grad for name, t in model.named_tensors() if t.requires_grad}

    alone = gradients(pixels=0)
    assert np.all(alone["adapter"] != 0) and np.linalg.norm(alone["adapter"]) > 1e-3
    for layer in (0, 1):
        assert np.any(alone[f"cells.{layer}.from_xh.weight"] != 0) and np.any(alone[f"cells.{layer}.from_xm.weight"] != 0)
    assert not np.any(alone["to_frame.weight"])


def test_increments_of_nothing_give_a_finite_gradient():
    model = build_model("predrnn_v2", **SMALL | dict(hidden=(2, 2)))
    for _, t in model.named_tensors():
        t.data = t.data * 0
    frames = tensor(np.zeros((1, 3, 6, 8, 1), np.float32))
    _, loss = training_loss(model, frames, np.ones((1, 2)), 2, "l2")
    loss.backward()
    assert loss.item() == 0 and all(np.isfinite(t.grad).all() for t in model.parameters())


def test_predrnn_v2_predicts_like_predrnn():
    v2 = shake(make_small("predrnn_v2"))
    v1 = build_model("predrnn", **SMALL, hidden=(2, 2)).to(dtype=np.float64)
    weights = v2.state_dict()
    weights.pop("adapter")
    v1.load_state_dict(weights)
    frames = random_frames(2, 3, 6, 8, 1)
    np.testing.assert_array_equal(v2(frames, 3).numpy(), v1(frames, 3).numpy())


def test_predrnn_v2_is_the_official_network():
    model = make_small("predrnn_v2")
    again = import_official(export_official(model), (6, 8), 1, 2)
    frames = random_frames(2, 3, 6, 8, 1, dtype=np.float32)
    np.testing.assert_array_equal(again(frames, 2).numpy(), model(frames, 2).numpy())
    assert again.count_parameters() == model.count_parameters() - model.adapter.size


def test_the_adapter_needs_equal_widths():
    with pytest.raises(ConfigError, match=r"equal widths, got hidden=\(2, 3\)"):
        build_model("predrnn_v2", **SMALL | dict(hidden=(2, 3)))


# Shi's ConvLSTM

def test_shis_forecast_sees_no_frame_after_the_given_ones_and_is_a_probability():
    model = shake(make_small("convlstm_forecaster"), scale=2)
    frames = random_frames(2, 6, 6, 8, 1)
    true, own = (model.unroll(frames, np.array([[1, 1, 1, mask, mask]] * 2), given=3).numpy() for mask in (1, 0))
    np.testing.assert_array_equal(true, own)
    np.testing.assert_array_equal(true[:, 2:], model(frames[:, :3], 3).numpy())
    assert 0 <= true.min() and true.max() <= 1


def test_shis_network_takes_frames_of_any_size_and_the_stack_does_not():
    small = make_small("convlstm_forecaster")
    assert small.any_size and small(random_frames(1, 2, 10, 4, 1, dtype=np.float32), 2).shape == (1, 2, 10, 4, 1)
    assert not build_model("convlstm", **SMALL, hidden=(2, 2)).any_size


def test_shis_layers_need_a_width():
    with pytest.raises(ConfigError, match="hidden needs the width of at least one layer"):
        make_small("convlstm_forecaster", hidden=())


# all

@pytest.mark.parametrize("name", CASES)
def test_training_lowers_the_loss(name):
    model = make_small(name, hidden=(4, 4))
    frames = tensor(np.round(random_frames(2, 6, 6, 8, 1, dtype=np.float32)) * np.float32(0.9))
    optimiser, losses = Adam(model.parameters(), 1e-2), []
    for _ in range(15):
        model.zero_grad()
        _, loss = training_loss(model, frames, np.ones((2, 5)), 3, CASES[name][2])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
