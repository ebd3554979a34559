"""The drawn arrows are those of the networks: who hears of whom is checked against the gradients that the networks let through."""

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.viz import flow

LAYERS = 3


def heard_by_edges(kind, layer):
    """The layers of step 1 whose states reach the hidden state of `layer` in step 2, by the arrows."""
    edges, cells = flow.edges(kind, LAYERS, 2), [(2, layer)]
    for cell in cells:  # grows while it is walked
        cells += [giver for _, giver, taker in edges if taker == cell and giver[0] == 2 and giver[1] > 0]
    return {giver[1] for _, giver, taker in edges if taker in cells and giver[0] == 1}


def heard_by_network(kind, layer):
    """The same by the gradients of one step."""
    rng = np.random.default_rng(0)
    model = tp.build_model(kind, size=(4, 4), hidden=(2,) * LAYERS, kernel=3, patch=2, seed=1).to(dtype="float64")
    x = tp.tensor(rng.standard_normal((1, 2, 2, 4)))
    given = {(what, n): tp.tensor(rng.standard_normal((1, 2, 2, 2)), requires_grad=True) for what in "HCM" for n in range(1, LAYERS + 1)}
    pairs = [(given["H", n], given["C", n]) for n in range(1, LAYERS + 1)]
    top = given["M", LAYERS]
    state = {"convlstm": pairs, "predrnn_m": (given["H", LAYERS], top), "predrnn": (pairs, top), "predrnn_v2": ((pairs, top), [])}[kind]
    features, state = model.step_cells(x, state)
    new = {"convlstm": state, "predrnn_m": {LAYERS - 1: (features,)}, "predrnn": state[0], "predrnn_v2": state[0][0]}[kind]
    new[layer - 1][0].backward(rng.standard_normal((1, 2, 2, 2)))
    return {n for (_, n), t in given.items() if t.grad is not None and t.grad.any()}


@pytest.mark.parametrize("kind, layers", [("convlstm", (1, 2, 3)), ("predrnn_m", (3,)), ("predrnn", (1, 2, 3)),
                                          ("predrnn_v2", (1, 2, 3))])
def test_arrows_lead_where_gradients_come_from(kind, layers):
    for layer in layers:
        assert heard_by_edges(kind, layer) == heard_by_network(kind, layer)


def test_edges_by_hand():
    both = [("X", (1, 0), (1, 1)), ("X", (2, 0), (2, 1)), ("H", (1, 2), (1, 3)), ("H", (2, 2), (2, 3)),
            ("H", (1, 1), (1, 2)), ("H", (2, 1), (2, 2))]
    along = [(what, (1, layer), (2, layer)) for what in "HC" for layer in (1, 2)]
    climb = [("M", (1, 1), (1, 2)), ("M", (2, 1), (2, 2)), ("M", (1, 2), (2, 1))]
    assert sorted(flow.edges("convlstm", 2, 2)) == sorted(both + along)
    assert sorted(flow.edges("predrnn_m", 2, 2)) == sorted([*both, *climb, ("H", (1, 2), (2, 1))])
    assert sorted(flow.edges("predrnn", 2, 2)) == sorted(both + along + climb)


@pytest.mark.parametrize("kind", flow.FLOWS)
def test_a_stack_shows_every_arrow_once_from_cell_to_cell(kind):
    (axes,) = flow.draw_stack(kind, layers=2, steps=3).axes
    arrows = [patch for patch in axes.patches if patch.get_gid()]
    assert sorted(arrow.get_gid() for arrow in arrows) == sorted(what for what, _, _ in flow.edges(kind, 2, 3))
    starts = {tuple(arrow.get_path().vertices[0].round(6)) for arrow in arrows}
    assert len(starts) == len(arrows), "two arrows begin at one point"


def test_the_unit_has_seven_gates_and_four_inputs():
    (axes,) = flow.draw_st_lstm().axes
    texts = [text.get_text() for text in axes.texts]
    assert sum(text in ("$\\sigma$", "$\\tanh$") for text in texts) == 7 + 1  # and the tanh of the output
    assert {"$f$", "$i$", "$g$", "$f'$", "$i'$", "$g'$", "$o$"} <= set(texts)
    starts = [(arrow.get_gid(), *arrow.get_path().vertices[0]) for arrow in axes.patches if arrow.get_gid()]
    for x, y in (text.get_position() for text in axes.texts if text.get_text() in ("$\\sigma$", "$\\tanh$")):
        if x < 7:  # a gate of C or of M: one arrow leads to it, one away from it
            assert sum(abs(start_x - x) < 1e-6 and abs(start_y - y) < 1.2 for _, start_x, start_y in starts) == 2
    assert sorted(what for what, x, y in starts if x < 0 or y < -0.4) == ["C", "M", "X", "X"]  # one of the thin ones is H


def test_x_meets_h_and_m_in_boxes():
    """Two boxes concatenate, and from each begins a line of its own: H is not wired to the gates of M."""
    (axes,) = flow.draw_st_lstm().axes
    boxes = [text.get_position() for text in axes.texts if text.get_text() == "[ ]"]
    starts = [tuple(arrow.get_path().vertices[0]) for arrow in axes.patches if arrow.get_gid()]
    assert len(boxes) == 2
    assert [sum(np.hypot(x - start_x, y - start_y) < 0.5 for start_x, start_y in starts) for x, y in boxes] == [1, 1]


def test_another_network_is_refused():
    with pytest.raises(tp.errors.ConfigError, match="convlstm, predrnn_m, predrnn, predrnn_v2, got 'predrnn_pp': viz.draw_graph draws"):
        flow.draw_stack("predrnn_pp")
