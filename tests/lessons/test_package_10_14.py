"""What lessons 10 to 14 build is what the package does: the same inputs through both give the same answers.

The lessons' own functions and classes, exercises solved, are taken out of their text; nothing else of them runs here.
"""

import numpy as np
import pytest
from lesson_code import built_in
from small import small_options

import tinypredrnn as tp
from tinypredrnn.autograd.engine import count_consumers
from tinypredrnn.cells import ConvLSTM, remember
from tinypredrnn.train import Recipe
from tinypredrnn.train.schedules import truth_mask


@pytest.fixture(scope="module")
def tenth():
    return built_in(10)


@pytest.fixture(scope="module")
def eleventh():
    return built_in(11)


@pytest.fixture(scope="module")
def twelfth():
    return built_in(12)


@pytest.fixture(scope="module")
def thirteenth():
    return built_in(13)


@pytest.fixture(scope="module")
def fourteenth():
    return built_in(14)


def draw(rng, *shape):
    return rng.standard_normal(shape)


def leaf(array):
    return tp.tensor(np.array(array), requires_grad=True)


def shaken(module, rng):
    """In float64, no parameter at a round number."""
    module.to(dtype=np.float64)
    for parameter in module.parameters():
        parameter.data = parameter.data + 0.3 * draw(rng, *parameter.shape)
    return module


def agree(ours, theirs, rtol=1e-10):
    np.testing.assert_allclose(np.asarray(getattr(ours, "data", ours)), np.asarray(getattr(theirs, "data", theirs)), rtol=rtol, atol=1e-12)


# 10: recurrence

@pytest.mark.parametrize("steps, batch, inputs, hidden", [(1, 1, 1, 1), (5, 3, 2, 4), (9, 2, 4, 3)])
def test_bptt_by_hand_finds_the_engines_gradients(tenth, steps, batch, inputs, hidden):
    rng = np.random.default_rng(steps)
    x, dh, wx, wh = draw(rng, steps, batch, inputs), draw(rng, steps, batch, hidden), draw(rng, inputs, hidden), draw(rng, hidden, hidden)
    weights, states = [leaf(wx), leaf(wh)], [tp.tensor(np.zeros((batch, hidden)))]
    for x_t in x:
        states.append(tp.tanh(x_t @ weights[0] + states[-1] @ weights[1]))
    (tp.stack(*states[1:]) * dh).sum().backward()
    dwx, dwh = tenth.bptt(x, np.stack([h.data for h in states]), wx, wh, dh)
    agree(dwx, weights[0].grad)
    agree(dwh, weights[1].grad if steps > 1 else np.zeros_like(wh))


def test_nodes_are_counted_as_backward_counts_them(tenth):
    rng = np.random.default_rng(0)
    wx, wh = leaf(draw(rng, 3, 5)), leaf(draw(rng, 5, 5))
    for y in (tenth.last_state(draw(rng, 2, 7, 3), wx, [wh] * 7), tenth.last_state_cut(draw(rng, 2, 7, 3), wx, wh, keep=3)):
        assert tenth.count_nodes(y) == len(count_consumers(y.node))


@pytest.mark.parametrize("steps, chunk, delay", [(12, 6, 5), (9, 4, 0), (10, 3, 2), (8, 3, 5)])
def test_outputs_that_teach_are_those_whose_input_gets_a_gradient(tenth, steps, chunk, delay):
    w, teaching = leaf([0.7]), 0
    for t in range(delay, steps):
        inputs, h = [leaf([0.1]) for _ in range(t + 1)], tp.tensor(np.zeros(1))
        for k, x in enumerate(inputs):
            h = tp.tanh(w * (h.detach() if k % chunk == 0 else h) + x)
        h.backward()
        teaching += inputs[t - delay].grad is not None
    assert tenth.teaching_outputs(steps, chunk, delay) == teaching


# 11: the LSTM

@pytest.mark.parametrize("bias", [0.0, 1.0, 3.0])
def test_the_lstm_is_a_convlstm_on_a_single_pixel_without_peepholes(eleventh, bias):
    rng = np.random.default_rng(1)
    lstm = eleventh.LSTM(3, 4, rng, bias).to(dtype=np.float64)
    conv = ConvLSTM(3, 4, 1, (1, 1), rng, forget_bias=bias).to(dtype=np.float64)
    agree(lstm.bias, conv.from_xh.bias)
    conv.from_xh.weight.data = lstm.weight.data.reshape(1, 1, 7, 16).copy()
    x, state = draw(rng, 5, 2, 3), draw(rng, 2, 2, 4)
    ours, theirs = (tuple(map(tp.tensor, s)) for s in (state, state[:, :, None, None]))
    for x_t in x:
        y, ours = lstm(x_t, ours)
        z, theirs = conv(x_t[:, None, None], theirs)
    y.sum().backward()
    z.sum().backward()
    for a, b in zip(ours, theirs):
        agree(a, b.data[:, 0, 0])
    agree(lstm.weight.grad, conv.from_xh.weight.grad[0, 0])


def test_a_memory_passes_on_what_its_forget_gates_let_through(eleventh):
    rng = np.random.default_rng(2)
    gates, memories = draw(rng, 6, 2, 3), [leaf(draw(rng, 2, 3))]
    probes = [leaf(np.zeros((2, 3))) for _ in gates]
    c = memories[0]
    for f, probe in zip(gates, probes):
        c = remember(draw(rng, 2, 3), f, draw(rng, 2, 3), c + probe)
    c.sum().backward()
    agree(eleventh.direct_share(tp.sigmoid(gates)), np.stack([probe.grad for probe in probes]))


@pytest.mark.parametrize("rest, steps", [(0.5, 40), (0.1, 3), (0.99, 20)])
def test_the_forget_bias_keeps_what_was_asked_for(eleventh, rest, steps):
    c, bias = np.ones(1), np.full(1, eleventh.bias_for(rest, steps))
    for _ in range(steps):
        c = remember(np.zeros(1), bias, np.zeros(1), c)  # tanh(0) writes nothing
    agree(c, [rest])


def test_parameters_of_the_fully_connected_network_are_counted(eleventh):
    rng = np.random.default_rng(0)
    assert eleventh.FCLSTMNetwork(20, 7, rng).count_parameters() == eleventh.count_network(20, (7,))


# 12: ConvLSTM

@pytest.mark.parametrize("channels, hidden, kernel, size", [(1, 1, 1, (1, 1)), (2, 3, 3, (4, 5)), (3, 2, 5, (6, 3)), (1, 4, 7, (2, 9))])
def test_equation_2_by_the_line_is_the_packages_cell(twelfth, channels, hidden, kernel, size):
    rng = np.random.default_rng(kernel)
    cell = shaken(ConvLSTM(channels, hidden, kernel, size, rng), rng)
    W, b = twelfth.letters(cell)
    for gate in "ifgo":
        assert W["x" + gate].shape == (kernel, kernel, channels, hidden)
    weight, bias = twelfth.merge(W, b)
    agree(weight, cell.from_xh.weight)
    agree(bias, cell.from_xh.bias)

    h, c = draw(rng, 2, 2, *size, hidden)
    state, x = (tp.tensor(h), tp.tensor(c)), draw(rng, 3, 2, *size, channels)
    ours, theirs = [leaf(x_t) for x_t in x], [leaf(x_t) for x_t in x]
    for a, b_ in zip(ours, theirs):
        h, c = twelfth.conv_lstm(W, b, a, h, c)
        output, state = cell(b_, state)
    agree(h, output, rtol=1e-8)
    agree(c, state[1], rtol=1e-8)
    h.sum().backward()
    output.sum().backward()
    for a, b_ in zip(ours, theirs):
        agree(a.grad, b_.grad, rtol=1e-7)


def test_the_rest_of_the_equation_is_the_packages_cell(twelfth):
    rng = np.random.default_rng(5)
    cell = shaken(ConvLSTM(2, 3, 3, (4, 5), rng), rng)
    x, h, c = draw(rng, 2, 4, 5, 2), draw(rng, 2, 4, 5, 3), draw(rng, 2, 4, 5, 3)
    gates = cell.from_xh(tp.tensor(x), tp.tensor(h))
    peepholes = cell.w_ci, cell.w_cf, cell.w_co
    _, theirs = cell(tp.tensor(x), (tp.tensor(h), tp.tensor(c)))
    for a, b in zip(twelfth.finish(*(gate.data for gate in gates), c, *(p.data for p in peepholes)), theirs):
        agree(a, b)


def test_the_lessons_network_is_the_packages_with_one_layer(twelfth):
    rng = np.random.default_rng(6)
    ours = shaken(twelfth.ConvLSTMNetwork(4, 3, (6, 5), rng), rng).to(dtype=np.float32)  # its first state is float32
    theirs = tp.build_model("convlstm", size=(6, 5), hidden=(4,), kernel=3, patch=1)
    theirs.load_state_dict({name.replace("cell.", "cells.0.").replace("read.", "to_frame."): a for name, a in ours.state_dict().items()})
    frames = rng.random((2, 7, 6, 5, 1), dtype=np.float32)
    np.testing.assert_allclose(ours(frames).data, theirs.unroll(frames, np.ones((2, 6))).data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel, layers", [(3, 1), (3, 3), (5, 2)])
def test_a_network_of_the_package_sees_as_far_as_the_lesson_says(twelfth, kernel, layers):
    frames = leaf(np.random.default_rng(7).random((1, 4, 1, 41, 1), dtype=np.float32))
    model = tp.build_model("convlstm", size=(1, 41), hidden=(4,) * layers, kernel=kernel, patch=1)
    model.unroll(frames, np.ones((1, 4)))[0, -1, 0, 20].sum().backward()
    seen = (frames.grad[0, ::-1, 0, :, 0] != 0).sum(axis=1)
    assert seen.tolist() == [twelfth.field(kernel, layers, back) for back in range(4)]


# 13: sequence to sequence

@pytest.mark.parametrize("name", [name for name, model in tp.models.MODELS.items() if not model.forecasts_only])
def test_the_loops_of_the_lesson_are_those_of_every_network(thirteenth, name):
    rng = np.random.default_rng(8)
    model = shaken(tp.build_model(name, size=(5, 6), **small_options(name)), rng)
    frames = rng.random((3, 6, 5, 6, 1))
    agree(thirteenth.predict(model, frames[:, :4], 5), model(frames[:, :4], 5), rtol=1e-8)
    truth = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 0, 1, 1, 0]])
    agree(thirteenth.unroll(model, frames, truth), model.unroll(frames, truth), rtol=1e-8)


@pytest.mark.parametrize("k", [0, 7, 19, 20, 100])
def test_the_schedule_is_the_packages(thirteenth, k):
    recipe = Recipe(batch=3, sampling="linear", sampling_until=20, seed=4)
    draws = np.random.default_rng([4, 1, k]).random((3, 10))
    agree(thirteenth.mask(draws, k, given=2, until=20), truth_mask(recipe, 2, 9, k))


# 14: measuring

def test_the_measures_are_the_packages(fourteenth):
    rng = np.random.default_rng(9)
    prediction, truth = rng.random((2, 3, 2, 12, 10, 1))
    prediction[1, 0] = truth[1, 0]
    agree(fourteenth.psnr(prediction, truth), tp.metrics.psnr(prediction, truth))
    agree(fourteenth.cross_entropy(prediction, truth), tp.metrics.cross_entropy(prediction, truth))
    for n in range(3):
        agree(fourteenth.ssim_of_frame(prediction[n, 0, :, :, 0], truth[n, 0, :, :, 0]), tp.metrics.ssim(prediction[n, 0], truth[n, 0]))


@pytest.mark.parametrize("q", [0.05, 0.2, 0.4, 0.65, 0.9])
def test_the_best_grey_has_the_least_loss_of_the_package(fourteenth, q):
    white, black = np.ones(1), np.zeros(1)
    for best, name in zip(fourteenth.best_grey(q), ("l2", "bce", "l1+l2", "l1")):
        loss = tp.nn.find_loss(name)

        def expected(p, loss=loss):
            return q * loss(tp.tensor(np.full(1, p)), white).item() + (1 - q) * loss(tp.tensor(np.full(1, p)), black).item()

        assert all(expected(best) <= expected(p) + 1e-9 for p in np.linspace(0, 1, 101))
