"""What lessons 15 to 17 build, against the package: cells and stacks, counts of routes and of parameters, and the run by hand."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn import course
from tinypredrnn.course.lesson import lessons
from tinypredrnn.course.run import execute
from tinypredrnn.viz import flow


def names_of(number, until):
    """The names of a lesson, its exercises solved, up to the cell that defines `until`; no picture is written."""
    matplotlib.use("agg")
    (lesson,) = lessons(numbers=[number])
    namespace = {"__name__": "__main__", "__file__": str(lesson.path)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYPREDRNN_LESSONS", "small")
        patch.setattr("tinypredrnn.course.answers.remember", lambda *_: None)
        patch.setattr(course, "show", lambda figure, *name, **moving: plt.close(figure))
        for cell in lesson.cells:
            if not cell.is_text:
                execute(cell, lesson, namespace)
            if until in namespace:
                return namespace


@pytest.fixture(scope="module")
def lesson15():
    return names_of(15, until="routes")


@pytest.fixture(scope="module")
def lesson16():
    return names_of(16, until="ignore_m")


@pytest.fixture(scope="module")
def lesson17():
    return names_of(17, until="cut")


def randomly(rng, *shapes, requires_grad=True):
    return [tp.tensor(rng.standard_normal(shape), requires_grad) for shape in shapes]


def same_values_and_gradients(ours, theirs, leaves, rng):
    """Whether two functions without arguments give the same tensors, and their gradients the same leaves."""
    gradients = []
    cotangents = None
    for function in (ours, theirs):
        made = function()
        cotangents = cotangents or [rng.standard_normal(t.shape) for t in made]
        sum((t * cotangent).sum() for t, cotangent in zip(made, cotangents)).backward()
        gradients.append(([t.data for t in made], [t.grad for t in leaves]))
        for t in leaves:
            t.grad = None
    for a, b in zip(*(values + grads for values, grads in gradients)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_zigzag_is_predrnn_m(lesson15, layers):
    rng = np.random.default_rng(layers)
    network = tp.build_model("predrnn_m", size=(6, 4), hidden=(3,) * layers, kernel=3, patch=2, seed=5).to(dtype="float64")
    for _, t in network.named_tensors():
        t.data[...] = rng.standard_normal(t.shape) / 2
    frames = randomly(rng, *[(2, 3, 2, 4)] * 3)
    h, m = randomly(rng, (2, 3, 2, 3), (2, 3, 2, 3))

    def package():
        state, tops = (h, m), []
        for x in frames:
            features, state = network.step_cells(x, state)
            tops.append(features)
        return tops

    leaves = [*frames, h, m, *network.cells[-1].parameters()]
    same_values_and_gradients(lambda: lesson15["unroll"](network.cells, frames, h, m), package, leaves, rng)


@pytest.mark.parametrize("layers, steps", [(1, 4), (3, 1), (2, 3), (3, 4)])
def test_edges_and_routes_by_walking_them_all(lesson15, layers, steps):
    for kind, after in (("convlstm", "after_in_stack"), ("predrnn_m", "after_in_zigzag"), ("predrnn", None)):
        following = {}
        for _, giver, taker in flow.edges(kind, layers, steps):
            if giver[1] > 0 and taker[1] <= layers:
                following.setdefault(giver, set()).add(taker)
        if after:
            for cell in np.ndindex(steps, layers):
                t, layer = cell[0] + 1, cell[1] + 1
                assert set(lesson15[after](t, layer, layers, steps)) == following.get((t, layer), set())
        walks, lengths = [[(1, 1)]], []
        while walks:
            walk = walks.pop()
            if walk[-1] == (steps, layers):
                lengths.append(len(walk))
            walks += [[*walk, cell] for cell in following.get(walk[-1], ())]
        assert lesson15["routes"](kind, layers, steps) == (min(lengths), max(lengths), len(lengths))


@pytest.mark.parametrize("channels, hidden, memory, kernel", [(2, 3, 4, 3), (5, 2, 2, 1), (1, 4, 3, 5)])
def test_equation_4_line_by_line_is_the_cell(lesson16, channels, hidden, memory, kernel):
    rng = np.random.default_rng(kernel)
    cell = tp.cells.STLSTM(channels, hidden, memory, kernel, rng).to(dtype="float64")
    for _, t in cell.named_tensors():
        t.data[...] = rng.standard_normal(t.shape) / 3
    x, h, c, m = leaves = randomly(rng, *((2, 4, 3, width) for width in (channels, hidden, hidden, memory)))
    w = lesson16["weights_by_name"](cell, channels, hidden)

    def by_hand():
        new_c, new_m = lesson16["along_time"](w, x, h, c), lesson16["across_layers"](w, x, m)
        return lesson16["output"](w, x, h, new_c, new_m), new_c, new_m

    same_values_and_gradients(by_hand, lambda: cell(x, (h, c, m))[1], leaves, rng)
    assert lesson16["count_parameters"](channels, hidden, memory, kernel) == cell.count_parameters()


def test_the_stack_is_predrnn_over_several_steps(lesson16):
    rng = np.random.default_rng(3)
    network = tp.build_model("predrnn", size=(4, 6), hidden=(3, 2), kernel=3, patch=2, seed=1).to(dtype="float64")
    frames = rng.random((2, 3, 4, 6, 1))
    states, m = network.start(tp.space_to_depth(frames, 2))
    for t in range(3):
        top, states, m = lesson16["step"](network.cells, tp.space_to_depth(tp.tensor(frames), 2)[:, t], states, m)
    last = tp.depth_to_space(network.to_frame(top).reshape(2, 1, 2, 3, 4), 2)
    np.testing.assert_allclose(last.data, network(frames, horizon=1).data, rtol=1e-9)


def test_an_st_lstm_that_ignores_m_is_a_conv_lstm_over_several_steps(lesson16):
    st_lstm, conv_lstm = lesson16["fresh_cells"]()
    lesson16["ignore_m"](st_lstm, 3)
    rng = np.random.default_rng(4)
    h, c, m = randomly(rng, (1, 5, 4, 3), (1, 5, 4, 3), (1, 5, 4, 4))
    state = (h, c)
    for _ in range(3):
        (x,) = randomly(rng, (1, 5, 4, 2))
        _, (h, c, m) = st_lstm(x, (h, c, m))
        _, state = conv_lstm(x, state)
    np.testing.assert_allclose(h.data, state[0].data, rtol=1e-9)


def test_the_run_by_hand_is_the_run_of_the_network(lesson17):
    model = tp.build_model("predrnn", size=(16, 16), hidden=(4, 3), kernel=3, patch=4, seed=2)
    frames = np.random.default_rng(0).random((2, 5, 16, 16, 1), np.float32)
    last = lesson17["run"](model, frames)[-1]
    cell, x, before, (h, c, m) = last[-1]
    predicted = tp.depth_to_space(model.to_frame(h).reshape(2, 1, 4, 4, 16), 4)
    np.testing.assert_allclose(predicted.data, model(frames, horizon=1).data, rtol=1e-5, atol=1e-6)
    seen = lesson17["watch"](*last[-1])
    h0, c0, m0 = before
    _, _, g, _ = cell.from_xh(x, h0)
    np.testing.assert_allclose(c.data, seen["f"] * c0.data + seen["i"] * np.tanh(g.data), rtol=1e-4, atol=1e-5)
    _, _, g = cell.from_xm(x, m0)
    np.testing.assert_allclose(m.data, seen["f'"] * m0.data + seen["i'"] * np.tanh(g.data), rtol=1e-4, atol=1e-5)
    mixed = tp.conv2d(tp.concat(c, m), cell.merge_cm)
    np.testing.assert_allclose(h.data, seen["o"] * np.tanh(mixed.data), rtol=1e-4, atol=1e-5)


def test_cutting_nothing_changes_nothing_and_cutting_m_leaves_what_needs_no_m(lesson17):
    frames = np.random.default_rng(1).random((2, 3, 16, 16, 1), np.float32)

    def make():
        return tp.build_model("predrnn", size=(16, 16), hidden=(4, 4), kernel=3, patch=4, seed=2)

    whole = make()(frames, horizon=2).data
    np.testing.assert_array_equal(lesson17["cut"](make(), "")(frames, horizon=2).data, whole)
    for what, rows in (("H", "from_xh"), ("M", "from_xm")):  # what a cut state is multiplied by may be anything
        answers = []
        for factor in (1, 7):
            model = lesson17["cut"](make(), what)
            for cell in model.cells:
                weight = getattr(cell, rows).weight
                weight.data[:, :, -4:] *= factor
            answers.append(model(frames, horizon=2).data)
        np.testing.assert_array_equal(*answers)
        assert not np.allclose(answers[0], whole)


def test_errors_are_the_mse_of_the_package(lesson17):
    model = tp.build_model("predrnn", size=(16, 16), hidden=(4,), kernel=3, patch=4, seed=2)
    stored = np.random.default_rng(2).integers(0, 256, (3, 5, 16, 16, 1), np.uint8)
    ours = lesson17["errors"](model, stored.astype(np.float32) / 255, given=2)
    assert ours.shape == (3,)
    assert ours.mean() == pytest.approx(tp.train.score_set(model, stored, given=2)["mse"], rel=1e-5)
