"""The graph of a computation as a picture: what backward is going to walk, seen before it does.

    h_new, (_, c_new, m_new) = cell(x, (h, c, m))
    viz.draw_graph([h_new, c_new, m_new], "cell.png", names=locals())

The way down is the way forward. First the boxes are collected: an op, a leaf, or all that one call of a module did. Then they get
their places in three steps (Sugiyama, Tagawa and Toda 1981): layers along the longest path, an order within each layer by
barycentres, and columns. Nothing but matplotlib is needed.
"""

import itertools
from collections import Counter

import numpy as np

from tinypredrnn.errors import ConfigError, GraphError
from tinypredrnn.files import replacing
from tinypredrnn.viz.colours import GRAPH

READABLE, TOO_MANY = 50, 500  # boxes: up to the first nothing need be folded, beyond the second nobody could read them
LARGE, SMALL, LEADING = 10, 7.5, 1.35  # letters, in points as all lengths here, and the height of a line in letters
BESIDE, ABOVE, AROUND = 12, 36, 4  # free space between boxes, between layers, and on each side of a line


def draw_graph(y, path=None, names=(), fold=None):
    """Draw what a tensor, or each of a list of tensors, was computed from: ops, inputs and parameters with their names and shapes.

    path    the file to write, by its ending a PNG, PDF or SVG; None writes nothing
    names   {name: tensor or module}, for instance locals(), for inputs, results, and modules of which only parts were called;
            the parameters of a module that was called itself have their names without it
    fold    a call of a module becomes one box where `fold` other calls surround it: 0 folds whole models, 1 their parts, 2 the parts
            of those; None folds as much as it takes to be read

    Returns the matplotlib Figure. What needs no gradient leaves no trace and is not drawn: inputs show with requires_grad=True.
    Raises GraphError where there is no graph or backward has used it up, ConfigError where it is too large to be read.
    """
    results = list(y) if isinstance(y, (list, tuple)) else [y]
    nodes = history(results)
    known = find_names(nodes, dict(names))
    level = max(len(calls(node)) for node in nodes) if fold is None else fold
    boxes = collect(nodes, results, known, level)
    while fold is None and level > 0 and len(boxes) > READABLE:
        level -= 1
        fewer = collect(nodes, results, known, level)
        if sum(bool(box.before) for box in fewer) < 2:  # the whole model in one box would say nothing
            break
        boxes = fewer
    if len(boxes) > TOO_MANY:
        raise ConfigError(f"draw_graph: expected at most {TOO_MANY} boxes, which can just be read, got {len(boxes)}: draw fewer steps, "
                          "or compute them in modules, which are folded")
    figure = draw(boxes)
    if path is not None:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=150)
    return figure


# what to draw

class Box:
    """One thing that is drawn: an "input" or "parameter", an "op" or "fused op", or one call of a "module" with all that it did."""

    def __init__(self, kind, *title, own=()):
        self.kind, self.title, self.own = kind, list(title), own  # own: what a folded module keeps to itself
        self.made = {}  # {output that something uses: its name and shape}
        self.before = {}  # {box that inputs come from: the arguments that they become}

    def lines(self):
        """What is written in it, with the size of the letters: the title, then what was made, equal ones once."""
        made = list(self.made.values())
        made = [f"{made.count(text)} of {text}" if made.count(text) > 1 else text for text in dict.fromkeys(made)]
        return [(text, SMALL if i else LARGE) for i, text in enumerate(self.title + made)]

    def measure(self):
        """Set width, height, and `port`, the distance between arrows that come in."""
        arguments = [", ".join(filter(None, names)) for names in self.before.values()] if self.kind != "module" else []
        self.port = max([10, *(text_width(text, SMALL) + 2 for text in arguments)])
        self.width = max([text_width(*line) + BESIDE for line in self.lines()] + [self.port * len(self.before)])
        self.height = sum(size for _, size in self.lines()) * LEADING + 6


def history(results):
    """All nodes that the tensors come from, each after those that it uses."""
    if not all(getattr(y, "node", None) for y in results):
        raise GraphError("draw_graph: expected tensors made by ops from something that requires a gradient, outside of no_grad")
    order, seen, stack = [], set(), [(y.node, False) for y in results]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            order.append(node)
        elif node not in seen:
            if node.saved is None:
                raise GraphError("draw_graph: backward has used this graph up: draw it before, or call backward with retain_graph=True")
            seen.add(node)
            stack += [(node, True), *((source, False) for source, _ in filter(None, node.parents) if hasattr(source, "op"))]
    return order


def calls(node):
    """The calls of modules during which a node was made, from the outside in."""
    inwards, call = [], node.call
    while call:
        inwards.insert(0, call)
        call = call.around
    return inwards


def find_names(nodes, given):
    """{module, leaf, or (node, output): its name}: what was given, and the parts of the modules that were called."""
    known = {}
    outermost = {around[0].module for around in map(calls, nodes) if around}
    for name, thing in [*given.items(), *(("", module) for module in outermost)]:
        if hasattr(thing, "named_modules"):
            above = [] if outermost == {thing} else [name]
            for inner, part in [*thing.named_modules(), *thing.named_tensors()]:
                known.setdefault(part, ".".join(filter(None, [*above, inner])))
        elif hasattr(thing, "node") and not name.startswith("_"):
            known.setdefault((thing.node, thing.index) if thing.node else thing, name)
    return known


def collect(nodes, results, known, fold):
    """The boxes. A call of a module runs to its end before anything else does, so that folding it never closes a circle."""
    boxes = {}  # node, leaf or Call -> Box
    own = {}  # module -> its parameters, and what depends on them alone, such as weights that are transformed once for all calls
    parameters = {t for module in known if hasattr(module, "named_tensors") for _, t in module.named_tensors()}

    def box_of(thing):
        around = calls(thing) if hasattr(thing, "op") else []
        key = around[fold] if len(around) > fold else thing
        if key not in boxes:
            if key is not thing:
                name, kind = known.get(key.module), type(key.module).__name__
                tensors = own.setdefault(key.module, {t for _, t in key.module.named_tensors()})
                boxes[key] = Box("module", *([name, kind] if name else [kind]), own=tensors)
            elif hasattr(thing, "op"):
                boxes[key] = Box("fused op" if hasattr(type(thing.op), "kernels") else "op", thing.op.name)
            else:
                boxes[key] = Box("parameter" if thing in parameters else "input", known.get(thing, "input"))
        return boxes[key]

    def use(thing, output, shape):
        name = known.get((thing, output))
        box_of(thing).made[thing, output] = f"{name or ''} {shape}".strip().replace(", ", ",")
        return box_of(thing)

    for node in nodes:
        box = box_of(node)
        if box.own and all(parent and parent[0] in box.own for parent in node.parents):
            box.own.add(node)
        speak = not node.op.variadic and node.op.name not in ("add", "mul")  # whose order says nothing
        arguments = node.op.inputs if speak else itertools.repeat("")
        for argument, parent, shape in zip(arguments, node.parents, node.shapes):
            if parent and parent[0] not in box.own and box_of(parent[0]) is not box:
                box.before.setdefault(use(*parent, shape), []).append(argument)
    for y in results:
        use(y.node, y.index, y.shape)
    return in_line(list(boxes.values())) if fold < max(len(calls(node)) for node in nodes) else list(boxes.values())


def in_line(boxes):
    """Beside folded modules, ops that follow each other and serve nothing else, such as reshape, transpose, reshape, are one box."""
    users = Counter(source for box in boxes for source in box.before)
    kept = {}
    for box in boxes:
        source = next(iter(box.before), None)
        if box.kind == "op" and len(box.before) == 1 and source.kind == "op" and users[source] == 1:
            box.title, box.before = [f"{source.title[0]}, {box.title[0]}"], source.before
            del kept[source]
        kept[box] = True
    return list(kept)


# where to draw it

def layers(boxes):
    """The boxes in rows, each below all that it uses: a module as high as can be, anything else just above what uses it."""
    after = {box: [] for box in boxes}
    for box in boxes:
        for source in box.before:
            after[source].append(box)
    waiting, order = {box: len(box.before) for box in boxes}, [box for box in boxes if not box.before]
    for box in order:  # which grows
        for user in after[box]:
            waiting[user] -= 1
            if not waiting[user]:
                order.append(user)
    depth = {}
    for box in order:
        depth[box] = max((depth[source] + 1 for source in box.before), default=0)
    for box in reversed(order):
        if box.kind != "module" and after[box]:
            depth[box] = min(depth[user] for user in after[box]) - 1
    rows = [[] for _ in range(max(depth.values()) + 1)]
    for box in order:
        rows[depth[box]].append(box)
    return rows


class Bend:
    """Where a line passes a row on its way further down."""

    kind, width, height = "bend", 2 * AROUND, 0


def find_routes(rows):
    """Each line as what it leads through, [source, bend, ..., target]; the bends join their rows."""
    depth = {box: k for k, row in enumerate(rows) for box in row}
    routes, bends = [], {}
    for box in depth:
        for source in box.before:
            route = [source]
            for k in range(depth[source] + 1, depth[box]):
                if (source, k) not in bends:  # lines from one source share their way
                    bends[source, k] = Bend()
                    rows[k].append(bends[source, k])
                route.append(bends[source, k])
            routes.append([*route, box])
    return routes


def uncross(rows, routes):
    """Sort the rows so that few lines cross: down and up, everything goes to the mean of what it is linked to in the row before. That
    ends in a valley, so it is tried from several orders, and the best is kept."""
    above, below = {}, {}
    for route in routes:
        for a, b in itertools.pairwise(route):
            below.setdefault(a, {})[b] = above.setdefault(b, {})[a] = None
    place, rng, best, fewest = {}, np.random.default_rng(0), None, np.inf

    def put(row, order):
        place.update((thing, (i + 0.5) / len(row)) for i, thing in zip(order, row))

    for attempt in range(20):
        for row in rows:
            put(row, rng.permutation(len(row)) if attempt else range(len(row)))
        for k in range(4):
            near = below if k % 2 else above
            for row in rows[::-1] if k % 2 else rows:
                mean = {t: sum(place[n] for n in near[t]) / len(near[t]) if t in near else place[t] for t in row}
                rng.shuffle(row)  # so that chance decides between equal means
                row.sort(key=mean.get)
                put(row, range(len(row)))
            crossings = sum((place[a] - place[c]) * (place[b] - place[d]) < 0 for row in rows for (a, b), (c, d) in
                            itertools.combinations([(a, b) for a in row for b in below.get(a, ())], 2))
            if crossings < fewest:
                fewest, best = crossings, [list(row) for row in rows]
    rows[:] = best


def columns(rows, routes):
    """{box or bend: x}: lines short, and straight where they are long; calls of one module below each other."""
    near = {thing: {} for row in rows for thing in row}  # {thing: {what draws it: how strongly}}
    for route in routes:
        for a, b in itertools.pairwise(route):
            near[a][b] = near[b][a] = 1 + 3 * (a.kind == "bend") + 3 * (b.kind == "bend")
    last = {}  # title of a module -> its latest call
    for box in itertools.chain(*rows):
        if box.kind == "module":
            if before := last.get(box.title[0]):
                near[box][before] = near[before][box] = 8
            last[box.title[0]] = box
    x = dict.fromkeys(near, 0)
    for k in range(60):
        for row in rows[::-1] if k % 2 else rows:
            weights = [sum(near[thing].values()) or 1 for thing in row]
            wanted = [sum(w * x[n] for n, w in near[thing].items()) / weight for thing, weight in zip(row, weights)]
            x.update(zip(row, spread(wanted, weights, [(a.width + b.width) / 2 + BESIDE for a, b in itertools.pairwise(row)])))
    return x


def spread(wanted, weights, gaps):
    """The places nearest to those wanted, by weighted least squares, that keep the order and are `gaps` apart: isotonic regression,
    in which those that would collide become a block at its mean."""
    offsets = list(itertools.accumulate(gaps, initial=0))
    blocks = []  # (mean, weight, how many)
    for place, weight, offset in zip(wanted, weights, offsets):
        blocks.append((place - offset, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, v, m), (b, w, n) = blocks.pop(), blocks.pop()
            blocks.append(((a * v + b * w) / (v + w), v + w, m + n))
    means = [mean for mean, _, n in blocks for _ in range(n)]
    return [mean + offset for mean, offset in zip(means, offsets)]


def text_width(text, size):
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0]


# drawing it

def draw(boxes):
    """The Figure. Lengths are in points, and y goes down."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    for box in boxes:
        box.measure()
    rows = layers(boxes)
    routes = find_routes(rows)
    uncross(rows, routes)
    x, y, bottom = columns(rows, routes), {}, 0
    for row in rows:
        height = max(thing.height for thing in row)
        y.update((thing, bottom + height / 2) for thing in row)
        bottom += height + ABOVE

    kinds = [kind for kind in GRAPH if any(box.kind == kind for box in boxes)]
    left, right = min(x[t] - t.width / 2 for t in x) - BESIDE, max(x[t] + t.width / 2 for t in x) + BESIDE
    right = max(right, left + 75 * len(kinds))  # room for the legend
    figure = Figure(figsize=((right - left) / 72, (bottom + BESIDE) / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, -BESIDE))
    axes.set_axis_off()
    for box in boxes:
        arriving = sorted((route for route in routes if route[-1] is box), key=lambda route: x[route[-2]])
        for i, route in enumerate(arriving):
            port = x[box] + (i + 0.5 - len(arriving) / 2) * box.port, y[box] - box.height / 2
            draw_line(axes, [(x[route[0]], y[route[0]] + route[0].height / 2), *((x[bend], y[bend]) for bend in route[1:-1]), port])
            if len(arriving) > 1 and box.kind != "module":
                axes.text(port[0], port[1] - SMALL, ", ".join(filter(None, box.before[route[0]])), fontsize=SMALL - 1, color="#444444",
                          ha="center", va="bottom", bbox=dict(facecolor="white", edgecolor="none", pad=0.3))
        draw_box(axes, box, x[box], y[box])
    axes.legend([Patch(**colours(kind)) for kind in kinds], kinds, loc="lower center", ncols=len(kinds), frameon=False, fontsize=SMALL)
    return figure


def colours(kind):
    return dict(edgecolor=GRAPH[kind], facecolor=GRAPH[kind] + "30")


def draw_box(axes, box, x, y):
    from matplotlib.patches import FancyBboxPatch

    left, top = x - box.width / 2, y - box.height / 2
    axes.add_patch(FancyBboxPatch((left, top), box.width, box.height, boxstyle="round,pad=0,rounding_size=4", **colours(box.kind)))
    top += 3
    for text, size in box.lines():
        axes.text(x, top + size * LEADING / 2, text, fontsize=size, color="black" if size == LARGE else "#444444", ha="center", va="center")
        top += size * LEADING


def draw_line(axes, points):
    """An arrow that leaves, passes and reaches all points vertically."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    curve = points[:1]
    for (x, y), (x_next, y_next) in itertools.pairwise(points):
        curve += [(x, (y + y_next) / 2), (x_next, (y + y_next) / 2), (x_next, y_next)]
    path = Path(curve, [Path.MOVETO, *[Path.CURVE4] * (len(curve) - 1)])
    axes.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=7, shrinkA=0, shrinkB=0, color="#888888", linewidth=0.8))
