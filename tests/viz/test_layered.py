"""Where the boxes of a drawn graph stand: lines go down and meet no box, few of them cross, and most are straight."""

import itertools

import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from tinypredrnn.viz import layered
from tinypredrnn.viz.graph import Box


def linked(boxes, links):
    for source, box in links:
        boxes[box].before.setdefault(boxes[source], []).append("")
    return list(boxes.values())


def random_boxes(seed):
    """Twenty boxes of all kinds and of different sizes, with links from each to some of those before it."""
    rng = np.random.default_rng(seed)
    kinds = ["input"] * 4 + list(layered.KINDS * 4)[4:]
    boxes = {i: Box(kind, "box" * rng.integers(1, 6), *["line"] * rng.integers(3)) for i, kind in enumerate(kinds)}
    return linked(boxes, [(j, i) for i in range(4, 20) for j in rng.choice(i, rng.integers(1, 4), replace=False)])


def network(layers, steps):
    """A stack of modules over time, each of which hears of the layer below and of its own past."""
    places = [(t, layer) for t in range(steps) for layer in range(layers)]
    boxes = {(t, layer): Box("module", f"cells.{layer}") for t, layer in places}
    below = [((t, layer - 1), (t, layer)) for t, layer in places if layer]
    return linked(boxes, below + [((t - 1, layer), (t, layer)) for t, layer in places if t])


def laid_out(boxes):
    for box in boxes:
        layered.measure(box)
    rows, lines, routes = layered.arrange(boxes)
    layered.uncross(rows, lines)
    return rows, routes, layered.columns(rows, lines, layered.find_ports(rows, lines))


@pytest.mark.parametrize("seed", range(5))
def test_lines_go_down_row_by_row_and_boxes_keep_apart(seed):
    boxes = random_boxes(seed)
    rows, routes, x = laid_out(boxes)
    depth = {thing: k for k, row in enumerate(rows) for thing in row}
    assert set(boxes) <= depth.keys() and routes.keys() == {(source, box) for box in boxes for source in box.before}
    for route in routes.values():
        assert [depth[thing] for thing in route] == list(range(depth[route[0]], depth[route[-1]] + 1))
    for row in rows:
        for a, b in itertools.pairwise(row):
            assert x[b] - x[a] >= (a.width + b.width) / 2 + layered.BOX_GAP - 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_no_line_runs_through_a_box(seed):
    (axes,) = layered.draw(random_boxes(seed)).axes
    frames = [patch.get_bbox() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    lines = [patch.get_path() for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(frames) == 20 and len(lines) > 20
    for line in lines:
        x, y = np.concatenate([piece for piece in line.to_polygons(closed_only=False)]).T
        for frame in frames:  # a line ends at the edge of its box, not inside
            assert not ((x > frame.xmin + 1) & (x < frame.xmax - 1) & (y > frame.ymin + 1) & (y < frame.ymax - 1)).any()


@pytest.mark.parametrize("seed", range(5))
def test_inputs_and_parameters_stand_just_above_what_uses_them(seed):
    boxes = random_boxes(seed)
    rows, *_ = laid_out(boxes)
    depth = {box: k for k, row in enumerate(rows) for box in row}
    users = {box: [user for user in boxes if box in user.before] for box in boxes}
    assert all(depth[box] == min(depth[user] for user in users[box]) - 1
               for box in boxes if box.kind in ("input", "parameter") and users[box])


@pytest.mark.parametrize("seed", range(1, 12))
def test_lines_that_need_not_cross_do_not(seed):
    """Rows with lines that do not cross, shuffled. (Barycentres do not find all such orders, but these.)"""
    rng = np.random.default_rng(seed)
    rows = [[Box("op", str(i)) for i in range(4)] for _ in range(4)]
    for above, below in itertools.pairwise(rows):
        i, j = 0, 0
        while i < 4 and j < 4:
            below[j].before[above[i]] = [""]
            i, j = (i + 1, j) if rng.random() < 0.5 else (i, j + 1)
    rows, routes, _ = laid_out([row[i] for row in rows for i in rng.permutation(4)])
    place = {box: i for row in rows for i, box in enumerate(row)}
    for k, row in enumerate(rows):
        lines = [(place[a], place[b]) for route in routes.values() for a, b in itertools.pairwise(route) if a in row]
        assert all((a - c) * (b - d) >= 0 for (a, b), (c, d) in itertools.combinations(lines, 2)), k


def test_crossings_are_counted():
    a, b, c, d = boxes = [Box("op", name) for name in "abcd"]
    boxes = linked(dict(zip("abcd", boxes)), [("a", "d"), ("b", "c"), ("b", "d")])
    _, lines, _ = layered.arrange(boxes)
    assert layered.count_crossings([a, b], lines, {a: 0, b: 1, c: 0, d: 1}) == 1
    assert layered.count_crossings([a, b], lines, {a: 0, b: 1, c: 1, d: 0}) == 0
    assert layered.count_crossings([c, d], lines, {}) == 0


def test_calls_of_one_module_stand_below_each_other():
    boxes = network(layers=3, steps=4)
    _, _, x = laid_out(boxes)
    columns = {title: [x[box] for box in boxes if box.title[0] == title] for title in ("cells.0", "cells.1", "cells.2")}
    assert all(len(column) == 4 and np.ptp(column) < 20 for column in columns.values())  # points; a box is 60 wide
    assert min(abs(a[0] - b[0]) for a, b in itertools.combinations(columns.values(), 2)) > 20


def test_columns_have_the_shortest_lines():
    """c uses a and b, which stand side by side: it stands between them, and its line to d is straight."""
    boxes = linked({name: Box("op", name) for name in "abcd"}, [("a", "c"), ("b", "c"), ("c", "d")])
    (above, (c,), (d,)), _, x = laid_out(boxes)
    a, b = above
    assert x[b] - x[a] == pytest.approx((a.width + b.width) / 2 + layered.BOX_GAP)
    assert x[a] <= x[c] - c.port / 2 + 1e-6 and x[c] + c.port / 2 <= x[b] + 1e-6 and x[d] == pytest.approx(x[c])


@pytest.mark.parametrize("links", [[], [("a", "b")], [("a", "b"), ("c", "d")]])
def test_unlinked_boxes_and_graphs_in_several_parts_are_drawn(links):
    boxes = linked({name: Box("op", name) for name in "abcd"}, links)
    (axes,) = layered.draw(boxes).axes
    assert sorted(text.get_text() for text in axes.texts if text.get_text()) == list("abcd")
