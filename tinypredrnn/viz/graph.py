"""Draw the graph of a computation, along which backward will go.

    h_new, (_, c_new, m_new) = cell(x, (h, c, m))
    viz.draw_graph([h_new, c_new, m_new], "cell.png", names=locals())

The computation goes from top to bottom. A box is an op, a leaf, or all that one call of a module computed; layered.py
places the boxes.
"""

import itertools
from collections import Counter

from tinypredrnn.errors import ConfigError, GraphError
from tinypredrnn.files import replacing

MAX_UNFOLDED = 50  # boxes: if there are more, modules are folded
MAX_BOXES = 500  # if there are more in spite of that, drawing is refused


def draw_graph(y, path=None, names=(), fold=None):
    """Draw how a tensor, or a list of tensors, was computed: ops, inputs and parameters with their names and shapes.

    path    the file to write: a PNG, PDF or SVG, by its ending; None writes nothing
    names   {name: tensor or module}, for example locals(): names of inputs, results, and modules of which only parts
            were called; the parameters of a module that was called itself are named without it
    fold    a module call inside `fold` other calls becomes one box: 0 folds whole models, 1 their parts, 2 the parts of
            those; None folds as much as is needed to keep the picture readable

    Returns the matplotlib Figure. Values that need no gradient are not recorded and not drawn: create inputs with
    requires_grad=True to see them. Raises GraphError if there is no graph or backward has freed it, ConfigError if it
    is too large to be readable.
    """
    from tinypredrnn.viz.layered import draw  # here, since it imports matplotlib, networkx and SciPy

    results = list(y) if isinstance(y, (list, tuple)) else [y]
    nodes = history(results)
    known = find_names(nodes, dict(names))
    level = max(len(calls(node)) for node in nodes) if fold is None else fold
    boxes = collect(nodes, results, known, level)
    while fold is None and level > 0 and len(boxes) > MAX_UNFOLDED:
        level -= 1
        fewer = collect(nodes, results, known, level)
        if sum(bool(box.before) for box in fewer) < 2:  # one box for the whole model would be useless
            break
        boxes = fewer
    if len(boxes) > MAX_BOXES:
        raise ConfigError(f"draw_graph: expected at most {MAX_BOXES} boxes, to stay readable, got {len(boxes)}: draw "
                          "fewer steps, or compute them in modules, which are folded")
    figure = draw(boxes)
    if path is not None:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=150)
    return figure


# what to draw

class Box:
    """A box of the drawing: an "input" or "parameter", an "op" or "fused op", or one whole call of a "module"."""

    def __init__(self, kind, *title, own=()):
        self.kind, self.title, self.own = kind, list(title), own  # own: what is hidden inside a folded module
        self.made = {}  # {output that something uses: its name and shape}
        self.before = {}  # {box that inputs come from: the arguments that they become}

    def lines(self):
        """The text in the box: its title, then its outputs, equal ones once with their number."""
        counts = Counter(self.made.values())
        return self.title + [f"{n} of {text}" if n > 1 else text for text, n in counts.items()]

    def arguments(self, source):
        """The text where the line from another box arrives: the arguments that its results become."""
        return "" if self.kind == "module" else ", ".join(filter(None, self.before[source]))


def history(results):
    """All nodes from which the tensors were computed, each after the nodes that it uses."""
    if not all(getattr(y, "node", None) for y in results):
        raise GraphError("draw_graph: expected tensors made by ops from something that requires a gradient, outside of "
                         "no_grad")
    order, seen, stack = [], set(), [(y.node, False) for y in results]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            order.append(node)
        elif node not in seen:
            if node.saved is None:
                raise GraphError("draw_graph: backward has freed this graph: draw it before, or call backward with "
                                 "retain_graph=True")
            seen.add(node)
            sources = [source for source, _ in filter(None, node.parents) if hasattr(source, "op")]
            stack += [(node, True), *((source, False) for source in sources)]
    return order


def calls(node):
    """The module calls during which a node was made, from the outermost to the innermost."""
    inwards, call = [], node.call
    while call:
        inwards.insert(0, call)
        call = call.around
    return inwards


def find_names(nodes, given):
    """{module, leaf, or (node, output): its name}, for what has a given name and for all parts of called modules."""
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
    """The boxes. A module call ends before anything else begins, so folding it never creates a cycle."""
    boxes = {}  # node, leaf or Call -> Box
    own = {}  # module -> its parameters, and what depends on them alone, such as weights transformed once for all calls
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
        # the order of their arguments does not matter
        name_arguments = not node.op.variadic and node.op.name not in ("add", "mul")
        arguments = node.op.inputs if name_arguments else itertools.repeat("")
        for argument, parent, shape in zip(arguments, node.parents, node.shapes):
            if parent and parent[0] not in box.own and box_of(parent[0]) is not box:
                box.before.setdefault(use(*parent, shape), []).append(argument)
    for y in results:
        use(y.node, y.index, y.shape)
    folded = fold < max(len(calls(node)) for node in nodes)
    return merge_chains(list(boxes.values())) if folded else list(boxes.values())


def merge_chains(boxes):
    """Merge chains of ops with no other users, such as reshape, transpose, reshape, into one box."""
    users = Counter(source for box in boxes for source in box.before)
    kept = {}
    for box in boxes:
        source = next(iter(box.before), None)
        if box.kind == "op" and len(box.before) == 1 and source.kind == "op" and users[source] == 1:
            box.title, box.before = [f"{source.title[0]}, {box.title[0]}"], source.before
            del kept[source]
        kept[box] = True
    return list(kept)
