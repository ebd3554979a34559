"""Recomputation: a part of a computation that keeps only its inputs, and is computed again when backward needs it.

    y = checkpoint(fn)(x, h)        the values and the gradients of fn(x, h), to the last bit

For n steps in a row, backward needs n times what it needs for one. If every k steps are such a segment, the inputs of
n / k segments are kept and, when backward arrives at one of them, what it needs for k steps. With k = sqrt(n) that is
least, and grows as the square root of n. The price is a second forward.

T. Chen, B. Xu, C. Zhang, C. Guestrin, Training Deep Nets with Sublinear Memory Cost (2016); A. Gruslys, R. Munos,
I. Danihelka, M. Lanctot, A. Graves, Memory-Efficient Backpropagation Through Time (2016).
"""

import contextvars
import functools

from tinypredrnn.autograd.engine import Node, recording, recording_as, watches
from tinypredrnn.autograd.tensor import Tensor
from tinypredrnn.errors import GraphError


def checkpoint(fn):
    """A function that returns what `fn` returns and keeps only the inputs: backward calls fn again, now recorded, and
    goes on through what was recorded.

    fn may take and return tensors in nested tuples, lists and dicts, beside anything else. Tensors from outside that it
    does not take as arguments, such as parameters, get their gradients as well. Calls may be nested. The second call
    has the context of the first (precision, algorithm of convolutions, ...), and has to do the same: nothing that fn
    uses may change before backward, and numbers that fn draws at random would be others, which nobody notices (draw
    them before, and pass them in). Backward raises GraphError if fn then returns tensors of other shapes, or if one
    that it made was used outside without being returned; and whatever fn raises.
    """
    @functools.wraps(fn)
    def segment(*inputs, **named):
        if recording.get() is not True:  # nothing is recorded, or a segment around this one will be computed again
            return fn(*inputs, **named)
        inside, call = Segment(), functools.partial(contextvars.copy_context().run, fn, *inputs, **named)
        with recording_as(inside):
            results = fn(*inputs, **named)
        if not any(y.node is inside for y in tensors_in(results)):
            return results
        return inside.finish(call, (inputs, named), results)

    return segment


class Segment(Node):
    """Stands in for the nodes of a segment while it runs for the first time. `outside` has what its ops took from
    outside of it, {parent: shape} with parents as in Node."""

    __slots__ = ("outside",)

    def __init__(self):
        super().__init__(RECOMPUTATION, (), (), None, None, 0)
        self.outside = {}

    def instead_of(self, node):
        """What the results of an op point to in place of its node, of which nothing else is kept."""
        self.outside |= {parent: shape for parent, shape in zip(node.parents, node.shapes)
                         if parent and parent[0] is not self}
        return self

    def require_saved(self):
        raise GraphError("backward: a tensor that was made within checkpoint is used outside: have the function return "
                         "it")

    def finish(self, call, inputs, results):
        """The results of the segment, made by a single node. A tensor that is returned twice is one output."""
        found = list(tensors_in(results))
        made = list(dict.fromkeys(y for y in found if y.node is self))
        saved = {"call": call, "inputs": inputs, "shapes": [y.shape for y in found],
                 "places": [next(k for k, y in enumerate(found) if y is one) for one in made]}
        node = Node(RECOMPUTATION, list(self.outside), list(self.outside.values()), made[0].dtype, saved, len(made))
        if watch := watches[-1]:
            watch.recorded(node)
        outputs = {y: Tensor(y.data, True, node, i) for i, y in enumerate(made)}
        return map_tensors(lambda y: outputs.get(y, y), results)


class Recomputation:
    """What such a node has in place of an op."""

    name, inputs, variadic, gives_pieces = "checkpoint", ("inputs",), True, False

    def again(self, node):
        """Call the function again: the outputs of the node, recorded."""
        found = list(tensors_in(node.saved["call"]()))
        if [y.shape for y in found] != node.saved["shapes"]:
            raise GraphError(f"checkpoint: the function returned tensors of shapes {node.saved['shapes']}, and "
                             f"{[y.shape for y in found]} when backward called it again: it has to do the same")
        return [found[k] for k in node.saved["places"]]


RECOMPUTATION = Recomputation()


def tensors_in(value):
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(part)


def map_tensors(fn, value):
    """The same nested tuples, lists and dicts with fn(tensor) in place of each tensor."""
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, dict):
        return {key: map_tensors(fn, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [map_tensors(fn, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value
