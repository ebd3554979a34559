"""Each cell against the equation that its docstring prints: values and gradients to 1e-12, first values, and what it must refuse."""

import numpy as np
import pytest
from references import equations
from small import random_frames, shake

from tinypredrnn import concat, conv2d, tensor
from tinypredrnn.backend import to_numpy
from tinypredrnn.cells import STLSTM, ConvLSTM, Gates, ZigzagConvLSTM
from tinypredrnn.errors import ConfigError, ShapeError

BATCH, SIZE, CHANNELS, HIDDEN, MEMORY = 2, (3, 4), 2, 2, 3

# name: the cell, its equation, the widths of its state
CELLS = {
    "ConvLSTM": (lambda rng, kernel=3, **options: ConvLSTM(CHANNELS, HIDDEN, kernel, SIZE, rng, **options),
                 equations.conv_lstm, (HIDDEN, HIDDEN)),
    "ZigzagConvLSTM, layer 1": (lambda rng, kernel=3, **options: ZigzagConvLSTM(CHANNELS, HIDDEN, kernel, SIZE, rng, **options),
                                equations.zigzag, (HIDDEN, HIDDEN)),
    "ZigzagConvLSTM, above": (lambda rng, kernel=3, **options: ZigzagConvLSTM(0, HIDDEN, kernel, SIZE, rng, **options),
                              equations.zigzag, (HIDDEN, HIDDEN)),
    "STLSTM": (lambda rng, kernel=3, **options: STLSTM(CHANNELS, HIDDEN, MEMORY, kernel, rng, **options),
               equations.st_lstm, (HIDDEN, HIDDEN, MEMORY)),
}
each_cell = pytest.mark.parametrize("name", CELLS)


def make(name, seed=0, **options):
    return CELLS[name][0](np.random.default_rng(seed), **options)


def draw_inputs(name, steps, seed=0):
    """{"x0": ..., "x1": ..., "state0": ...}: frames for `steps` steps and the state that the cell starts from."""
    rng = np.random.default_rng([seed, 3])
    inputs = {} if name.endswith("above") else {f"x{t}": rng.standard_normal((BATCH, *SIZE, CHANNELS)) for t in range(steps)}
    return inputs | {f"state{k}": rng.standard_normal((BATCH, *SIZE, width)) for k, width in enumerate(CELLS[name][2])}


def run(step, inputs, steps):
    """The states after each of `steps` steps, where step(x, state) -> state."""
    state = tuple(inputs[key] for key in inputs if key.startswith("state"))
    states = []
    for t in range(steps):
        state = step(inputs.get(f"x{t}"), state)
        states.append(state)
    return states


def transcribed(name, arrays, steps):
    """The same states by the paper's equation; `arrays` holds the cell's parameters and its inputs."""
    W, b = equations.letters({key: a for key, a in arrays.items() if not key.startswith(("x", "state"))})
    return run(lambda x, state: CELLS[name][1](W, b, x, *state), arrays, steps)


@each_cell
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_values_are_those_of_the_equation_over_several_steps(name, kernel, device):
    steps = 4
    cell = shake(make(name, kernel=kernel)).to(device=device)
    inputs = draw_inputs(name, steps)
    expected = transcribed(name, cell.state_dict() | inputs, steps)
    found = run(lambda x, state: cell(x, state)[1], {key: tensor(a, device=device) for key, a in inputs.items()}, steps)
    for ours, paper in zip(found, expected):
        for a, b in zip(ours, paper):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, atol=1e-13)


@each_cell
def test_the_output_is_the_new_hidden_state(name):
    inputs = draw_inputs(name, 1)
    state = tuple(tensor(inputs[key]) for key in inputs if key.startswith("state"))
    output, new = shake(make(name))(tensor(inputs["x0"]) if "x0" in inputs else None, state)
    assert output is new[0]
    assert len(new) == len(state)


@each_cell
def test_every_element_of_every_gradient_is_that_of_the_equation(name, device):
    steps = 2
    cell = shake(make(name)).to(device=device)
    inputs = draw_inputs(name, steps)
    leaves = {key: tensor(a.copy(), requires_grad=True, device=device) for key, a in inputs.items()}
    states = run(lambda x, state: cell(x, state)[1], leaves, steps)
    rng = np.random.default_rng(4)
    cotangents = [rng.standard_normal(s.shape) for s in states[-1]]
    sum((s * tensor(u, device=device)).sum() for s, u in zip(states[-1], cotangents)).backward()

    def weighted_sum(arrays):
        return sum((s * u).sum() for s, u in zip(transcribed(name, arrays, steps)[-1], cotangents))

    arrays = cell.state_dict() | inputs
    for key, leaf in (dict(cell.named_tensors()) | leaves).items():
        expected = np.zeros(leaf.shape)
        for index in np.ndindex(leaf.shape):
            unit = np.zeros(leaf.shape)
            unit[index] = 1
            expected[index] = equations.derivative(weighted_sum, arrays, {key: unit})
        assert np.all(expected != 0), f"{key}: this check could not fail"
        np.testing.assert_allclose(to_numpy(leaf.grad), expected, rtol=1e-12, atol=1e-12 * abs(expected).max(), err_msg=key)


@each_cell
def test_a_cell_that_knows_nothing_forgets_a_quarter(name):
    """All weights 0, frames and h whatever: only the biases speak, c' = sigma(1) c + sigma(0) tanh(0), and h' = sigma(0) tanh(c')."""
    cell = make(name).to(dtype=np.float64)
    for key, t in cell.named_tensors():
        if not key.endswith("bias"):
            t.data = t.data * 0
    inputs = draw_inputs(name, 1)
    state = [tensor(inputs[key]) for key in inputs if key.startswith("state")]
    _, (h, *memories) = cell(tensor(inputs["x0"]) if "x0" in inputs else None, state)
    for old, new in zip(state[1:], memories):
        np.testing.assert_allclose(new.numpy(), 0.7310585786300049 * old.numpy(), rtol=1e-14)
    if name == "STLSTM":
        assert np.all(h.numpy() == 0)  # its 1x1 convolution is one of the weights
    else:
        np.testing.assert_allclose(h.numpy(), 0.5 * np.tanh(memories[0].numpy()), rtol=1e-14)


@each_cell
@pytest.mark.parametrize("forget_bias", [0, 1, 2.5])
def test_first_values(name, forget_bias):
    arrays = make(name, forget_bias=forget_bias).state_dict()
    _, b = equations.letters(arrays)
    assert b.keys() == ({*"ifgo", "i'", "f'", "g'"} if name == "STLSTM" else {*"ifgo"})
    for gate, offset in b.items():
        assert np.all(offset == (forget_bias if gate in ("f", "f'") else 0)), gate
    for key, a in arrays.items():
        assert a.dtype == np.float32, key
        if key.startswith("w_"):
            assert a.shape == (*SIZE, HIDDEN)
            assert not a.any()
        elif not key.endswith("bias"):
            bound = 1 / np.sqrt(np.prod(a.shape[:3]))
            assert 0.7 * bound < abs(a).max() <= bound, key
            assert abs(a.mean()) < bound / 4, key


@each_cell
def test_the_generator_decides_the_weights(name):
    same, again, other = (make(name, seed).state_dict() for seed in (5, 5, 6))
    for key, a in same.items():
        np.testing.assert_array_equal(a, again[key])
        assert (key.endswith("bias") or key.startswith("w_")) == np.array_equal(a, other[key]), key


def test_shapes_of_the_merged_weights():
    shapes = {key: a.shape for key, a in make("STLSTM").state_dict().items()}
    assert shapes == {"from_xh.weight": (3, 3, CHANNELS + HIDDEN, 4 * HIDDEN), "from_xh.bias": (4 * HIDDEN,),
                      "from_xm.weight": (3, 3, CHANNELS + MEMORY, 3 * MEMORY), "from_xm.bias": (3 * MEMORY,),
                      "from_cm.weight": (3, 3, HIDDEN + MEMORY, HIDDEN), "from_cm.bias": (HIDDEN,),
                      "merge_cm": (1, 1, HIDDEN + MEMORY, HIDDEN)}


@each_cell
@pytest.mark.parametrize("layer_norm", [False, True])
def test_float32_stays_float32(name, layer_norm, device):
    cell = make(name, layer_norm=layer_norm).to(device=device)
    inputs = {key: tensor(a.astype(np.float32), requires_grad=True, device=device) for key, a in draw_inputs(name, 2).items()}
    states = run(lambda x, state: cell(x, state)[1], inputs, 2)
    sum(s.sum() for s in states[-1]).backward()
    assert all(s.dtype == np.float32 for s in states[-1])
    assert all(leaf.grad.dtype == np.float32 for leaf in (*inputs.values(), *cell.parameters()))
    cell.to(dtype=np.float64)
    exact = run(lambda x, state: cell(x, state)[1], {key: tensor(leaf.data.astype(np.float64)) for key, leaf in inputs.items()}, 2)
    for a, b in zip(states[-1], exact[-1]):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


@each_cell
def test_a_cell_keeps_nothing_and_changes_nothing(name):
    cell, inputs = shake(make(name)), draw_inputs(name, 2)
    leaves = {key: tensor(a.copy()) for key, a in inputs.items()}
    before = cell.state_dict()
    first, second = (run(lambda x, state: cell(x, state)[1], leaves, 2)[-1] for _ in range(2))
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for key, leaf in leaves.items():
        np.testing.assert_array_equal(leaf.numpy(), inputs[key])
    for key, a in cell.state_dict().items():
        np.testing.assert_array_equal(a, before[key])


@pytest.mark.parametrize("gates", ["o", "ifgo"])
def test_layer_norm_normalises_the_stacked_gates_of_each_sample(gates):
    layer = shake(Gates(5, 3, 3, gates, np.random.default_rng(0), layer_norm=True))
    assert layer.gain.shape == layer.bias.shape == (3 * len(gates),)
    x, h = random_frames(2, 4, 5, 2), random_frames(2, 4, 5, 3, seed=1)
    y = conv2d(concat(tensor(x), tensor(h)), layer.weight).numpy()
    expected = np.empty_like(y)
    for n, one in enumerate(y):  # (H,W,gates K)
        expected[n] = (one - one.mean()) / np.sqrt(one.var() + 1e-5) * layer.gain.numpy() + layer.bias.numpy()
    found = layer(tensor(x), tensor(h))
    found = found if len(gates) > 1 else (found,)
    np.testing.assert_allclose(np.concatenate([gate.numpy() for gate in found], axis=-1), expected, rtol=1e-12)


@each_cell
def test_layer_norm_starts_with_the_forget_bias_and_gain_one(name):
    arrays = make(name, layer_norm=True).state_dict()
    assert all(np.all(a == 1) for key, a in arrays.items() if key.endswith("gain"))
    assert np.all(arrays["from_xh.bias"][HIDDEN:2 * HIDDEN] == 1)
    assert sum(key.endswith("gain") for key in arrays) == (3 if name == "STLSTM" else 1)


@each_cell
@pytest.mark.parametrize("kernel", [2, 4])
def test_even_kernels_are_refused(name, kernel):
    with pytest.raises(ConfigError, match=f"odd.*got {kernel}"):
        make(name, kernel=kernel)


@each_cell
def test_a_state_of_another_width_is_refused(name):
    inputs = draw_inputs(name, 1)
    state = [tensor(inputs[key][..., :1]) for key in inputs if key.startswith("state")]
    with pytest.raises(ShapeError, match="expected x"):
        shake(make(name))(tensor(inputs["x0"]) if "x0" in inputs else None, state)


def test_a_conv_lstm_without_peepholes_and_with_one_for_each_channel():
    """Peepholes are drawn as zeros, so a new cell has the values of one without; (1, 1) is the same for every pixel."""
    full, none, each = (ConvLSTM(2, 3, 3, size, np.random.default_rng(0)).to(dtype=np.float64) for size in ((4, 5), None, (1, 1)))
    rng = np.random.default_rng(1)
    x, h, c = (tensor(rng.standard_normal((2, 4, 5, k))) for k in (2, 3, 3))
    for a, b in zip(full(x, (h, c))[1], none(x, (h, c))[1]):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert none.count_parameters() + 9 == each.count_parameters() == full.count_parameters() - 9 * 20 + 9
    for one, other in zip((each.w_ci, each.w_cf, each.w_co), (full.w_ci, full.w_cf, full.w_co)):
        one.data = rng.standard_normal((1, 1, 3))
        other.data = np.tile(one.data, (4, 5, 1))
    for a, b in zip(full(x, (h, c))[1], each(x, (h, c))[1]):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_conv_lstm_without_input():
    blind, seeing = (ConvLSTM(channels, 3, 3, None, np.random.default_rng(0)).to(dtype=np.float64) for channels in (0, 2))
    seeing.from_xh.weight.data[:, :, 2:] = blind.from_xh.weight.data
    rng = np.random.default_rng(1)
    state = tuple(tensor(rng.standard_normal((2, 4, 5, 3))) for _ in "hc")
    np.testing.assert_allclose(blind(None, state)[0].numpy(), seeing(tensor(np.zeros((2, 4, 5, 2))), state)[0].numpy(), rtol=1e-12)
