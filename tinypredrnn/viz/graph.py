"""The graph of a computation as a picture: what backward is going to walk, seen before it does.

    h_new, (_, c_new, m_new) = cell(x, (h, c, m))
    viz.draw_graph([h_new, c_new, m_new], "cell.png", names=locals())

The way down is the way forward. A box is an op, a leaf, or all that one call of a module did; layered.py gives the boxes
their places.
"""

import itertools
from collections import Counter

from tinypredrnn.errors import ConfigError, GraphError
from tinypredrnn.files import replacing

READABLE, TOO_MANY = 50, 500  # boxes: up to the first nothing need be folded, beyond the second nobody could read them


def draw_graph(y, path=None, names=(), fold=None):
    """Draw what a tensor, or each of a list of tensors, was computed from: ops, inputs and parameters with their names and shapes.

    path    the file to write, by its ending a PNG, PDF or SVG; None writes nothing
    names   {name: tensor or module}, for instance locals(), for inputs, results, and modules of which only parts were called;
            the parameters of a module that was called itself have their names without it
    fold    a call of a module becomes one box where `fold` other calls surround it: 0 folds whole models, 1 their parts, 2 the parts
            of those; None folds as much as it takes to be read

    Returns the matplotlib Figure. What needs no gradient leaves no trace and is not drawn: inputs show with requires_grad=True.
    Raises GraphError if there is no graph or backward has used it up, ConfigError if it is too large to be read.
    """
    from tinypredrnn.viz.layered import draw  # here, since it imports matplotlib, networkx and SciPy

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
        """What is written in it: the title, then what was made, equal ones once."""
        counts = Counter(self.made.values())
        return self.title + [f"{n} of {text}" if n > 1 else text for text, n in counts.items()]

    def arguments(self, source):
        """What is written where the line from another box arrives: the arguments that its results become."""
        return "" if self.kind == "module" else ", ".join(filter(None, self.before[source]))


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
