"""Draw Figures 1 and 2 of the paper: how memory flows through a stack of cells, and inside an ST-LSTM.

Time goes to the right and layers go up. C, the memory along time, is blue; M, the memory across layers, is orange;
frames and hidden states are gray.

These figures are of stacks whose layers are alike and pass nothing on but H, C and M. The other networks are not: there
is a highway between two layers of PredRNN++, and many are no stacks. draw_graph (graph.py) draws any of them, from
what it has computed.
"""

import math
from typing import NamedTuple

from tinypredrnn.errors import ConfigError
from tinypredrnn.viz.colours import COLOURS, box_colours

MEANING = {"C": "memory C", "M": "memory M", "H": "hidden state H"}


class Flow(NamedTuple):
    """A network's cells, and what goes from each cell to others, as letters: "HM" is H and M."""

    cell: str
    up: str  # to the layer above
    along: str  # to the same layer at the next step
    zigzag: str  # from the top layer to the bottom layer at the next step


FLOWS = {"convlstm": Flow("ConvLSTM", "H", "HC", ""), "predrnn_m": Flow("ConvLSTM", "HM", "", "HM"),
         **dict.fromkeys(("predrnn", "predrnn_v2"), Flow("ST-LSTM", "HM", "HC", "M"))}


# The stacks

def edges(kind, layers, steps):
    """The connections in a stack: [(what, giver, taker), ...]; what is "X", "H", "C" or "M", and places are (t, l).

    t counts the steps and l the layers, both from 1; (t, 0) is the frame X_t and (t, layers + 1) the prediction of
    X_t+1. The zeros before the first step are left out.

    kind    "convlstm" (Figure 1, right), "predrnn_m" (Figure 1, left), "predrnn" (Figure 2, right) or "predrnn_v2", in
            which nothing flows otherwise; else ConfigError
    """
    if kind not in FLOWS:
        raise ConfigError(f"flow: the figures show {', '.join(FLOWS)}, got {kind!r}: viz.draw_graph draws what any "
                          "network has computed")
    _, up, along, zigzag = FLOWS[kind]
    found = []
    for t in range(1, steps + 1):
        found += [("X", (t, 0), (t, 1)), ("H", (t, layers), (t, layers + 1))]
        found += [(what, (t, layer), (t, layer + 1)) for layer in range(1, layers) for what in up]
        if t < steps:
            found += [(what, (t, layer), (t + 1, layer)) for layer in range(1, layers + 1) for what in along]
            found += [(what, (t, layers), (t + 1, 1)) for what in zigzag]
    return found


def draw_stack(kind, layers=4, steps=3):
    """A stack unrolled over `steps` time steps, as a matplotlib Figure; `kind` as for `edges`."""
    links = edges(kind, layers, steps)
    wide, high, half_width, half_height = 3.2, 1.5, 0.85, 0.32  # distances between cells, and half the size of a cell
    axes = canvas(left=-2.2, right=wide * (steps - 1) + 1.7, bottom=-1.9, top=high * (layers - 1) + 2.9)

    def place(t, layer):
        return wide * (t - 1), high * (layer - 1)

    for what, (t, layer), (t1, layer1) in links:
        (x, y), (x1, y1) = place(t, layer), place(t1, layer1)
        if layer == 0:
            route = [(x, -1.35), (x, -half_height)]
        elif layer1 > layers:
            route = [(x, y + half_height), (x, y + 1.45)]
        elif t1 == t:  # H and M side by side if both go up
            x += 0 if kind == "convlstm" else 0.3 if what == "M" else -0.3
            route = [(x, y + half_height), (x, y1 - half_height)]
        elif layer1 == layer:
            y += 0.14 if what == "C" else -0.14
            route = [(x + half_width, y), (x1 - half_width, y)]
        else:
            # out at the top, down between two columns, in at the bottom; M inside of H at the top, outside at the
            # bottom
            inner = 1 if what == "M" else -1
            gutter = x + wide / 2 - 0.13 * inner
            over, under = y + 0.68 - 0.13 * inner, y1 - 0.68 - 0.13 * inner
            route = [(x + 0.4 + 0.15 * inner, y + half_height), (x + 0.4 + 0.15 * inner, over), (gutter, over),
                     (gutter, under), (x1 - 0.5 + 0.15 * inner, under), (x1 - 0.5 + 0.15 * inner, y1 - half_height)]
        arrow(axes, what, *route)
    for t in range(1, steps + 1):
        for layer in range(1, layers + 1):
            box(axes, place(t, layer), FLOWS[kind].cell, 2 * half_width, 2 * half_height)
        x, y = place(t, layers)
        label(axes, (x, -1.6), rf"$\mathcal{{X}}_{{{t}}}$")
        label(axes, (x, y + 1.75), rf"$\hat{{\mathcal{{X}}}}_{{{t + 1}}}$")
    for layer in range(1, layers + 1):
        label(axes, (-1.6, place(1, layer)[1]), f"layer {layer}", size=11)
    legend(axes, [what for what in MEANING if any(what == link[0] for link in links)])
    return axes.figure


# The unit

def draw_st_lstm():
    """One ST-LSTM in layer l at time t (Figure 2, left; Equation 4), as a matplotlib Figure.

    The upper half is a ConvLSTM without peepholes: C and its gates. The lower half is the same for M. On the right is
    the common output gate.
    """
    axes = canvas(left=-2.1, right=16.3, bottom=-2.8, top=11.2)
    box(axes, (7.0, 4.5), "", 14.0, 9.8, zorder=0)
    for what, rail, up in (("C", 8.4, 1), ("M", 0.6, -1)):  # two mirrored halves; `up` points to the memory's line
        bus, gates, product, prime = rail - 3.0 * up, rail - 1.95 * up, rail - 0.95 * up, "'" * (what == "M")
        before, after = gates - 0.35 * up, gates + 0.35 * up
        for x in (3.2, 4.7, 6.2):
            arrow(axes, "X", (x, bus), (x, before))
            dot(axes, (x, bus))
        arrow(axes, "X", (3.2, after), (3.2, rail - 0.27 * up))
        arrow(axes, "X", (4.7, after), (4.7, product), (5.18, product))
        arrow(axes, "X", (6.2, after), (6.2, product), (5.72, product))
        arrow(axes, "X", (5.45, product + 0.27 * up), (5.45, rail - 0.27 * up))
        for x, letter, function in ((3.2, "f", r"\sigma"), (4.7, "i", r"\sigma"), (6.2, "g", r"\tanh")):
            box(axes, (x, gates), f"${function}$", 1.1, 0.7, what)
            label(axes, (x + 0.3, after + 0.27 * up), f"${letter}{prime}$", size=13)
        for x, sign, y in ((3.2, "\u2022", rail), (5.45, "\u2022", product), (5.45, "+", rail)):
            circle(axes, (x, y), sign)

    arrow(axes, "X", (0.6, -1.3), (0.6, 5.15))  # X is concatenated with H above, and with M below
    arrow(axes, "X", (0.6, 3.6), (1.85, 3.6))
    arrow(axes, "X", (-1.1, 5.4), (0.25, 5.4))
    arrow(axes, "X", (0.95, 5.4), (7.3, 5.4), (7.3, 4.5), (8.05, 4.5))
    arrow(axes, "X", (2.55, 3.6), (6.2, 3.6), head=False)
    for place in ((0.6, 5.4), (2.2, 3.6)):
        box(axes, place, "[ ]", 0.7, 0.5)
    arrow(axes, "X", (9.15, 4.5), (11.93, 4.5))
    arrow(axes, "X", (11.15, 6.45), (11.65, 6.45))
    arrow(axes, "X", (12.2, 6.1), (12.2, 4.77))
    arrow(axes, "H", (12.47, 4.5), (15.1, 4.5))
    arrow(axes, "H", (12.95, 4.5), (12.95, 10.3))
    arrow(axes, "C", (-1.1, 8.4), (15.1, 8.4))
    arrow(axes, "M", (2.2, -1.3), (2.2, 3.35))
    arrow(axes, "M", (2.2, 0.6), (13.5, 0.6), (13.5, 10.3))
    # both memories go to the output gate and to the 1x1 convolution
    for what, rail, up in (("C", 8.4, 1), ("M", 0.6, -1)):
        for x, y in ((8.6, 4.5), (10.6, 6.45)):
            arrow(axes, what, (x, rail), (x, y + 0.35 * up))
            dot(axes, (x, rail), COLOURS[what])
    for place in ((0.6, 3.6), (12.95, 4.5)):
        dot(axes, place)
    dot(axes, (2.2, 0.6), COLOURS["M"])
    box(axes, (8.6, 4.5), r"$\sigma$", 1.1, 0.7, "C and M")
    label(axes, (9.45, 4.78), "$o$", size=13)
    box(axes, (10.6, 6.45), r"$1\!\times\!1$", 1.1, 0.7, "C and M")
    box(axes, (12.2, 6.45), r"$\tanh$", 1.1, 0.7)
    circle(axes, (12.2, 4.5), "\u2022")

    for place, text in (((-1.6, 8.4), r"C_{t-1}^l"), ((-1.6, 5.4), r"H_{t-1}^l"), ((0.6, -1.75), "X_t"),
                        ((2.4, -1.75), "M_t^{l-1}"),
                        ((15.7, 8.4), "C_t^l"), ((15.7, 4.5), "H_t^l"), ((12.8, 10.75), "H_t^l"),
                        ((13.8, 10.75), "M_t^l")):
        label(axes, place, rf"$\mathcal{{{text[0]}}}{text[1:]}$")
    label(axes, (2.25, 5.8), r"$[\mathcal{X}_t, \mathcal{H}_{t-1}^{\,l}]$", size=12)
    label(axes, (4.0, 4.0), r"$[\mathcal{X}_t, \mathcal{M}_t^{\,l-1}]$", size=12)
    label(axes, (9.5, -1.4), r"coloured box: convolution, then $\sigma$ or tanh if it says so", size=12)
    label(axes, (9.5, -2.1), r"$\odot$ product    $\oplus$ sum    [ ] concatenation", size=12)
    return axes.figure


# Pieces of a drawing

def canvas(left, right, bottom, top, scale=0.55):
    """Axes without ticks that fill a new figure, with one unit `scale` inches long in both directions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(scale * (right - left), scale * (top - bottom)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.axis("off")
    return axes


def arrow(axes, what, *route, head=True):
    """An arrow along straight lines with round corners, in the colour of what it carries. A white edge separates it
    from lines that it crosses.
    """
    from matplotlib.patches import FancyArrowPatch, PathPatch
    from matplotlib.path import Path

    points, codes = [route[0]], [Path.MOVETO]
    for before, corner, after in zip(route, route[1:], route[2:]):
        points += [toward(corner, before, 0.2), corner, toward(corner, after, 0.2)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    points, codes = [*points, route[-1]], [*codes, Path.LINETO]
    thick, zorder = (2.6, 3) if what in "CM" else (1.4, 2)
    bridge = [toward(route[0], route[1], 0.3), *points[1:-1], toward(route[-1], route[-2], 0.3)]
    axes.add_patch(PathPatch(Path(bridge, codes), fill=False, edgecolor="white", linewidth=thick + 5, capstyle="butt",
                             zorder=zorder))
    axes.add_patch(FancyArrowPatch(path=Path(points, codes), arrowstyle="-|>" if head else "-",
                                   mutation_scale=8 + 2.7 * thick, fill=head,
                                   color=COLOURS[what], linewidth=thick, capstyle="butt", joinstyle="miter",
                                   zorder=zorder, gid=what))


def toward(start, end, distance):
    """The point at `distance` from start on the way to end, but at most half way."""
    part = min(0.5, distance / math.dist(start, end))
    return tuple(a + part * (b - a) for a, b in zip(start, end))


def box(axes, centre, text, width, height, kind="op", zorder=4):
    from matplotlib.patches import FancyBboxPatch

    (x, y), corner = centre, 0.1
    width, height = width - 2 * corner, height - 2 * corner
    axes.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle=f"round,pad={corner}",
                                  linewidth=1.3,
                                  zorder=zorder, **box_colours(kind)))
    label(axes, centre, text, size=12)


def circle(axes, centre, text):
    from matplotlib.patches import Circle

    axes.add_patch(Circle(centre, 0.27, **box_colours("op"), linewidth=1.3, zorder=4))
    label(axes, centre, text, size=14)


def dot(axes, place, colour=COLOURS["H"]):
    """A dot where a line splits in two, or where two lines join."""
    axes.plot(*place, "o", color=colour, markersize=5, zorder=3.5)


def label(axes, place, text, size=15):
    axes.text(*place, text, size=size, ha="center", va="center", zorder=5)


def legend(axes, shown):
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=COLOURS[what], linewidth=2.6 if what in "CM" else 1.4, label=MEANING[what])
             for what in shown]
    axes.legend(handles=lines, loc="upper right", ncols=3, frameon=False, fontsize=11)
