"""The drawn graph holds every op, input and parameter by its name and folds what it should."""

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch
from PIL import Image

import tinypredrnn as tp
from tinypredrnn import cells, viz
from tinypredrnn.errors import ConfigError, GraphError
from tinypredrnn.nn import Linear, Module
from tinypredrnn.viz import graph

pytestmark = pytest.mark.filterwarnings("error")


def leaf(*shape):
    return tp.tensor(np.random.default_rng(0).random(shape), requires_grad=True)


def boxes_of(y, fold=99, **names):
    results = list(y) if isinstance(y, tuple) else [y]
    nodes = graph.history(results)
    return graph.collect(nodes, results, graph.find_names(nodes, names), fold)


def described(boxes, *without):
    """{(kind, title): how many of them}"""
    return dict(Counter((box.kind, box.title[0]) for box in boxes if box.kind not in without))


def written(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def st_lstm(**options):
    cell = cells.STLSTM(4, 3, 2, 3, np.random.default_rng(0), **options).to(dtype=np.float64)
    x, h, c, m = leaf(2, 5, 6, 4), leaf(2, 5, 6, 3), leaf(2, 5, 6, 3), leaf(2, 5, 6, 2)
    _, (h_new, c_new, m_new) = cell(x, (h, c, m))
    return cell, dict(x=x, h=h, c=c, m=m, h_new=h_new, c_new=c_new, m_new=m_new)


def predrnn(horizon=2, hidden=(3, 3)):
    """A model, and two given frames with the predictions after them: horizon + 1 time steps."""
    model = tp.build_model("predrnn", size=(8, 8), hidden=hidden, kernel=3, patch=4)
    frames = tp.tensor(np.ones((1, 2, 8, 8, 1), np.float32), requires_grad=True)
    return model, frames, model(frames, horizon=horizon)


# what is drawn

def test_a_small_computation_to_the_last_link():
    a, b, k = leaf(2, 3), leaf(3), np.ones(3)
    y = tp.tanh(a / b * k + a).sum()
    boxes = boxes_of(y, a=a, b=b)
    assert described(boxes) == {("input", "a"): 1, ("input", "b"): 1, ("op", "div"): 1, ("op", "mul"): 1, ("op", "add"): 1,
                                ("op", "tanh"): 1, ("op", "sum"): 1}  # the constant leaves no trace
    by_title = {box.title[0]: box for box in boxes}
    links = {(source.title[0], box.title[0], *arguments) for box in boxes for source, arguments in box.before.items()}
    assert links == {("a", "div", "a"), ("b", "div", "b"), ("div", "mul", ""), ("mul", "add", ""), ("a", "add", ""), ("add", "tanh", "x"),
                     ("tanh", "sum", "x")}
    assert [by_title[name].lines()[1] for name in ("a", "b", "div", "sum")] == ["(2,3)", "(3,)", "(2,3)", "()"]


def test_a_cell_shows_parameters_by_name_and_fused_ops_as_one():
    _, names = st_lstm()
    boxes = boxes_of((names["h_new"], names["c_new"], names["m_new"]), **names)
    assert described(boxes, "op") == {
        **{("input", name): 1 for name in "xhcm"},
        **{("parameter", f"from_{gate}.{name}"): 1 for gate in ("xh", "xm", "cm") for name in ("weight", "bias")},
        ("parameter", "merge_cm"): 1, ("fused op", "remember"): 2, ("fused op", "expose"): 1}
    ops = [box.title[0] for box in boxes if box.kind == "op"]
    assert ops.count("split") == 2 and ops.count("add") == 0
    assert sum(bool(re.search("conv", name)) for name in ops) == 4  # by whichever algorithm
    lines = {box.title[0]: box.lines()[1:] for box in boxes}
    assert lines["from_xh.weight"] == ["(3,3,7,12)"] and lines["expose"] == ["h_new (2,5,6,3)"]
    assert {tuple(box.lines()[1:]) for box in boxes if box.title[0] in ("split", "remember")} == {
        ("4 of (2,5,6,3)",), ("3 of (2,5,6,2)",), ("c_new (2,5,6,3)",), ("m_new (2,5,6,2)",)}


@pytest.mark.parametrize(("fold", "expected"), [
    (0, {("module", "STLSTM"): 1, **{("input", name): 1 for name in "xhcm"}}),
    (1, {**{("input", name): 1 for name in "xhcm"}, **{("module", f"from_{gate}"): 1 for gate in ("xh", "xm", "cm")},
         ("parameter", "merge_cm"): 1, ("fused op", "remember"): 2, ("fused op", "expose"): 1}),
])
def test_folding_hides_what_is_the_modules_own(fold, expected):
    _, names = st_lstm()
    assert described(boxes_of((names["h_new"], names["c_new"], names["m_new"]), fold, **names), "op") == expected


def test_a_network_has_a_box_for_each_call():
    _, frames, future = predrnn()
    boxes = boxes_of(future, fold=1, frames=frames, future=future)
    modules = {("module", "cells.0"): 3, ("module", "cells.1"): 3, ("module", "to_frame"): 3}
    assert described(boxes, "op") == {("input", "frames"): 1, **modules}
    calls = [box for box in boxes if box.title == ["cells.0", "STLSTM"]]
    sources = sorted(sorted(source.title[0] for source in box.before) for box in calls)
    assert sources == [["cells.0", "cells.1", "take"], ["cells.0", "cells.1", "to_frame"], ["take"]]  # h, c; m; and the frame
    assert {text for box in calls for text in box.lines()[2:]} == {"3 of (1,2,2,3)", "2 of (1,2,2,3)"}  # no weights


def test_what_is_in_line_becomes_one_box():
    _, frames, future = predrnn()
    ops = sorted(box.title[0] for box in boxes_of(future, fold=1) if box.kind == "op")
    assert ops == ["reshape, transpose, reshape", "stack, reshape, transpose, reshape, take", "take", "take"]


def test_folding_is_chosen_so_that_it_can_be_read():
    _, names = st_lstm()
    assert "from_xh.weight" in written(viz.draw_graph(names["h_new"]))  # a cell needs no folding
    *_, future = predrnn()
    assert "cells.0" in (texts := written(viz.draw_graph(future))) and "remember" not in texts
    *_, future = predrnn(horizon=20)
    assert "cells.0" in written(viz.draw_graph(future))  # one box for the whole model would say nothing
    assert "PredRNN" in written(viz.draw_graph(future, fold=0)) and "cells.0.from_xh" in written(viz.draw_graph(predrnn()[2], fold=2))


def test_names_where_only_parts_were_called():
    model, frames, _ = predrnn()
    y = model.unroll(frames, np.ones((1, 2)))
    assert {title for kind, title in described(boxes_of(y, 0)) if kind == "module"} == {"STLSTM", "Conv2d"}
    named = described(boxes_of(y, 0, network=model))
    assert {title for kind, title in named if kind == "module"} == {"network.cells.0", "network.cells.1", "network.to_frame"}
    assert ("parameter", "network.cells.1.from_xm.bias") in described(boxes_of(y, 99, network=model))


def test_names_of_a_module_that_was_called_need_no_prefix():
    cell, names = st_lstm()
    boxes = described(boxes_of(names["h_new"], 99, cell=cell, other=3, **names))
    assert ("parameter", "from_xh.weight") in boxes and ("input", "x") in boxes


def test_what_depends_on_parameters_alone_belongs_to_the_module():
    """Weights that the first call transforms for all calls are no link between the calls."""
    class Scale(Module):
        def __init__(self):
            self.logarithm = leaf(3)

        def forward(self, x, kept):
            kept = kept or [tp.exp(self.logarithm)]
            return x * kept[0], kept

    scale = Scale()
    y, kept = scale(leaf(2, 3), None)
    z, _ = scale(y, kept)
    first, second = (box for box in boxes_of(z, 0) if box.kind == "module")
    if second in first.before:
        first, second = second, first
    assert second.before == {first: [""]} and first.lines() == ["Scale", "(2,3)"]
    assert described(boxes_of(z)) == {("op", "mul"): 2, ("op", "exp"): 1, ("input", "input"): 1, ("parameter", "logarithm"): 1}


def test_what_depends_on_constants_too_does_not():
    layer = Linear(3, 3, np.random.default_rng(0))
    boxes = boxes_of(layer(layer(tp.tensor(np.ones((2, 3), np.float32)))), 0)
    assert described(boxes) == {("module", "Linear"): 2} and sum(len(box.before) for box in boxes) == 1


def test_a_leaf_that_other_ops_share_with_a_folded_module_is_drawn():
    layer = Linear(3, 3, np.random.default_rng(0))
    y = layer(tp.tensor(np.ones((2, 3), np.float32))) + layer.bias
    boxes = boxes_of(y, 0)
    add = next(box for box in boxes if box.title[0] == "add")
    assert {source.title[0] for source in add.before} == {"bias", "Linear"}


# the calls that folding rests on

def test_nodes_know_their_calls():
    class Twice(Module):
        def __init__(self):
            self.inner = Linear(2, 2, np.random.default_rng(0))

        def forward(self, x):
            return self.inner(self.inner(x)) * 2.0

    model = Twice()
    y = model(tp.tensor(np.ones((1, 2), np.float32)))
    assert [call.module for call in graph.calls(y.node)] == [model]
    second, first = (graph.calls(node)[1] for node in (y.node.parents[0][0], y.node.parents[0][0].parents[0][0].parents[0][0]))
    assert second.module is first.module is model.inner and second is not first and second.around is first.around
    assert str(first) == "inner of Twice" and str(first.around) == "Twice" and (y * 2).node.call is None


def test_a_call_ends_where_forward_fails():
    class Broken(Module):
        def forward(self, x):
            raise KeyError("broken")

    with pytest.raises(KeyError):
        Broken()(1)
    assert (leaf(1) * 2).node.call is None


# the picture

def test_the_picture_says_it_all(tmp_path):
    _, names = st_lstm()
    figure = viz.draw_graph([names["h_new"], names["c_new"], names["m_new"]], tmp_path / "new" / "cell.png", names=names)
    texts = written(figure)
    assert {"x", "from_cm.weight", "remember", "expose", "c_new (2,5,6,3)", "i, f, g", "memory", "o"} <= set(texts)
    assert texts.count("remember") == 2
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["input", "parameter", "op", "fused op"]
    with Image.open(tmp_path / "new" / "cell.png") as image:
        pixels = np.array(image.convert("RGB"))
    np.testing.assert_allclose(pixels.shape[1::-1], 150 * figure.get_size_inches(), atol=1)
    assert (pixels < 250).any(-1).mean() > 0.1
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["cell.png"]


def test_the_text_fits_its_box():
    figure = viz.draw_graph(predrnn()[2])
    axes, renderer = figure.axes[0], FigureCanvasAgg(figure).get_renderer()
    frames = [patch.get_window_extent() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    inside = 0
    for text in axes.texts:
        extent = text.get_window_extent(renderer)
        inside += any(f.x0 <= extent.x0 and extent.x1 <= f.x1 and f.y0 <= extent.y0 and extent.y1 <= f.y1 for f in frames)
    assert inside == len(axes.texts) - sum(text.get_bbox_patch() is not None for text in axes.texts)  # those stand at the arrows


def test_other_endings_and_none(tmp_path):
    y = leaf(2) * 2
    viz.draw_graph(y, tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8").count("<svg") == 1
    viz.draw_graph(y)
    assert [file.name for file in tmp_path.iterdir()] == ["graph.svg"]


def test_what_cannot_be_drawn_is_explained(tmp_path):
    x = leaf(2)
    y = (x * 2).sum()
    for no_graph in (x, x.detach() * 2, np.ones(2), [y, x]):
        with pytest.raises(GraphError, match="expected tensors made by ops"):
            viz.draw_graph(no_graph, tmp_path / "graph.png")
    y.backward()
    with pytest.raises(GraphError, match="freed this graph.*retain_graph=True"):
        viz.draw_graph(y)
    for _ in range(graph.MAX_BOXES):
        x = x + 1
    with pytest.raises(ConfigError, match=f"at most {graph.MAX_BOXES} boxes.*got {graph.MAX_BOXES + 1}.*fewer steps"):
        viz.draw_graph(x)
    assert not any(tmp_path.iterdir())


def test_drawing_changes_nothing():
    x = leaf(2, 3)
    y = tp.tanh(x).sum()
    viz.draw_graph(y)
    y.backward()
    np.testing.assert_allclose(x.grad, 1 - np.tanh(x.data) ** 2)


def test_the_import_is_light_and_pyplot_is_left_alone():
    code = ("import sys, numpy, tinypredrnn.viz as viz, tinypredrnn as tp\n"
            "assert not {'matplotlib', 'PIL', 'networkx', 'scipy'} & sys.modules.keys()\n"
            "viz.draw_graph(tp.tensor(numpy.ones(2), requires_grad=True) * 2)\n"
            "assert 'matplotlib.pyplot' not in sys.modules\n")
    subprocess.run([sys.executable, "-c", code], check=True)
