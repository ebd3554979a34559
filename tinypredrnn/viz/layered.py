"""A layered drawing of boxes: each box is in a row below all boxes that it uses, and lines pass between other boxes.

The steps are those of Sugiyama, Tagawa and Toda (1981): choose rows, then an order within each row, then columns. The
columns make the lines as short and straight as possible by a linear program, as in Graphviz's dot (Gansner, Koutsofios,
North and Vo 1993). networkx and SciPy, which scikit-image needs as well, handle the graph and the optimisation. Lengths
are in points, and y points down.
"""

import itertools
from statistics import fmean
from typing import NamedTuple

import networkx as nx
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path
from matplotlib.textpath import text_to_path
from scipy.optimize import linprog
from scipy.sparse import bmat, identity

from tinypredrnn.viz.colours import LINE, SMALL_TEXT, box_colours

LARGE, SMALL, LEADING = 10, 7.5, 1.35  # font sizes, and the line height as a multiple of them
BOX_GAP, ROW_GAP, LINE_MARGIN = 12, 36, 4  # free space between boxes, between rows, and on each side of a line
KINDS = ("input", "parameter", "op", "fused op", "module")


class Bend(NamedTuple):
    """A point where the lines from `source` pass through a row on their way down."""

    source: object
    row: int
    kind, width, port = "bend", 2 * LINE_MARGIN, 0


# placing boxes

def measure(box):
    """Set a box's width, height, and `port`, the distance between the lines that arrive."""
    title, *small = box.lines()
    box.port = max([10, *(text_width(box.arguments(source), SMALL) + 2 for source in box.before)])
    text = max([text_width(title, LARGE), *(text_width(text, SMALL) for text in small)])
    box.width = max(text + BOX_GAP, box.port * len(box.before))
    box.height = (LARGE + SMALL * len(small)) * LEADING + 6


def text_width(text, size):
    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0]


def arrange(boxes):
    """The rows of boxes and bends; the lines from row to row, as a graph of boxes and bends; and what the line from a
    source to a box leads through, as {(source, box): [source, bend, ..., box]}."""
    links = nx.DiGraph((source, box) for box in boxes for source in box.before)
    links.add_nodes_from(boxes)
    depth = {box: k for k, row in enumerate(nx.topological_generations(links)) for box in row}
    for box in reversed(depth):  # a module is as high as possible, anything else just above its first user
        if box.kind != "module" and links[box]:
            depth[box] = min(depth[user] for user in links[box]) - 1

    routes = {(a, b): [a, *(Bend(a, k) for k in range(depth[a] + 1, depth[b])), b] for a, b in links.edges}
    lines = nx.DiGraph()
    lines.add_nodes_from(boxes)
    for route in routes.values():
        nx.add_path(lines, route)
    rows = [[] for _ in range(max(depth.values()) + 1)]
    for thing in lines:
        rows[thing.row if thing.kind == "bend" else depth[thing]].append(thing)
    return rows, lines, routes


def uncross(rows, lines):
    """Sort the rows so that few lines cross: in sweeps down and up, each box or bend moves to the mean place of its
    neighbours in the row before. This finds a local minimum, so several starting orders are tried and the best is kept.
    """
    rng, place, fewest = np.random.default_rng(0), {}, np.inf
    for attempt in range(20):
        for row in rows:
            if attempt:
                rng.shuffle(row)
            place.update(zip(row, np.arange(0.5, len(row)) / len(row)))
        for sweep in range(4):
            near = lines.succ if sweep % 2 else lines.pred
            for row in rows[::-1] if sweep % 2 else rows:
                row.sort(key=lambda thing: fmean(place[other] for other in near[thing] or [thing]))
                place.update(zip(row, np.arange(0.5, len(row)) / len(row)))
            if (crossings := sum(count_crossings(row, lines, place) for row in rows)) < fewest:
                fewest, best = crossings, [list(row) for row in rows]
    rows[:] = best


def count_crossings(row, lines, place):
    """How many of the lines that leave a row cross before the next."""
    a, b = np.reshape([(place[a], place[b]) for a in row for b in lines[a]], (-1, 2)).T
    return np.sum((a[:, None] < a) & (b[:, None] > b))


def find_ports(rows, lines):
    """{(thing, box): how far to the right of the middle of the box the line from the thing arrives}"""
    place = {thing: i for row in rows for i, thing in enumerate(row)}
    return {(a, b): (i + 0.5 - len(before) / 2) * b.port
            for b, before in lines.pred.items() for i, a in enumerate(sorted(before, key=place.get))}


def columns(rows, lines, ports):
    """{thing: x} with the least sum of weight * |x_a - x_b| over the lines. The order in rows and the gaps are kept."""
    # long lines should be straight
    weights = {(a, b): (1, 2, 8)[(a.kind, b.kind).count("bend")] for a, b in lines.edges}
    calls = {}
    for box in itertools.chain(*rows):
        if box.kind == "module":
            calls.setdefault(box.title[0], []).append(box)
    for boxes in calls.values():  # calls of one module should be below each other
        weights.update(dict.fromkeys(itertools.pairwise(boxes), 8))
    gaps = {(a, b): (a.width + b.width) / 2 + BOX_GAP for row in rows for a, b in itertools.pairwise(row)}

    def differences(pairs):  # the matrix that turns x into x_b - x_a
        graph = nx.DiGraph(pairs.keys())
        graph.add_nodes_from(lines)
        return nx.incidence_matrix(graph, list(lines), list(pairs), oriented=True).T

    # the unknowns are all x and the lengths of all lines, at least 0: length >= |x_b + port - x_a|, x_b - x_a >= gap
    across, one, shifts = differences(weights), identity(len(weights)), [ports.get(pair, 0) for pair in weights]
    solution = linprog(
        c=[*[0] * len(lines), *weights.values()],
        A_ub=bmat([[across, -one], [-across, -one], [-differences(gaps), None]]).tocsr(),
        b_ub=[*np.negative(shifts), *shifts, *np.negative(list(gaps.values()))])
    return dict(zip(lines, solution.x))


# the picture

def draw(boxes):
    """The matplotlib Figure."""
    for box in boxes:
        measure(box)
    rows, lines, routes = arrange(boxes)
    uncross(rows, lines)
    ports = find_ports(rows, lines)
    x, ends, bottom = columns(rows, lines, ports), {}, 0  # ends: {thing: its top and bottom}
    for row in rows:
        height = max(thing.height for thing in row if thing.kind != "bend")
        for thing in row:
            free = 0 if thing.kind == "bend" else (height - thing.height) / 2
            ends[thing] = bottom + free, bottom + height - free
        bottom += height + ROW_GAP

    kinds = [kind for kind in KINDS if any(box.kind == kind for box in boxes)]
    left, right = min(x[t] - t.width / 2 for t in x) - BOX_GAP, max(x[t] + t.width / 2 for t in x) + BOX_GAP
    right = max(right, left + 75 * len(kinds))  # room for the legend
    figure = Figure(figsize=((right - left) / 72, (bottom + BOX_GAP) / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, -BOX_GAP))
    axes.set_axis_off()
    for (source, box), route in routes.items():
        port, top = x[box] + ports[route[-2], box], ends[box][0]
        bends = [[(x[bend], y) for y in ends[bend]] for bend in route[1:-1]]
        draw_line(axes, [(x[source], ends[source][1])], *bends, [(port, top)])
        if len(box.before) > 1:
            axes.text(port, top - SMALL, box.arguments(source), fontsize=SMALL - 1, color=SMALL_TEXT, ha="center",
                      va="bottom", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3})
    for box in boxes:
        draw_box(axes, box, x[box], ends[box][0])
    axes.legend([Patch(**box_colours(kind)) for kind in kinds], kinds, loc="lower center", ncols=len(kinds),
                frameon=False, fontsize=SMALL)
    return figure


def draw_box(axes, box, x, top):
    axes.add_patch(FancyBboxPatch((x - box.width / 2, top), box.width, box.height,
                                  boxstyle="round,pad=0,rounding_size=4", **box_colours(box.kind)))
    title, *small = box.lines()
    axes.text(x, top + 3 + LARGE * LEADING / 2, title, fontsize=LARGE, ha="center", va="center")
    for i, text in enumerate(small):
        y = top + 3 + (LARGE + (i + 0.5) * SMALL) * LEADING
        axes.text(x, y, text, fontsize=SMALL, color=SMALL_TEXT, ha="center", va="center")


def draw_line(axes, start, *pieces):
    """An arrow along vertical pieces, each a list of points, with a curve from one to the next."""
    points, codes = list(start), [Path.MOVETO]
    for piece in pieces:
        (x, y), (x_next, y_next) = points[-1], piece[0]
        points += [(x, (y + y_next) / 2), (x_next, (y + y_next) / 2), *piece]
        codes += [Path.CURVE4] * 3 + [Path.LINETO] * (len(piece) - 1)
    axes.add_patch(FancyArrowPatch(path=Path(points, codes), arrowstyle="-|>", mutation_scale=7, shrinkA=0, shrinkB=0,
                                   color=LINE, linewidth=0.8))
