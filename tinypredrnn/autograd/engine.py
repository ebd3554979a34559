"""The engine: how a computation is remembered, and how backward walks that memory.

Every op that is applied to a tensor leaves a Node. A tensor points to the node that made it, a node to the nodes and leaves that its
inputs came from: that is the whole graph, and it points only into the past, so nothing in it forms a reference cycle. Drop the
result, and the graph is gone.
"""

import contextlib
from contextvars import ContextVar

from tinypredrnn.backend import array_module, device_of
from tinypredrnn.errors import DeviceError, DTypeError, GraphError, ShapeError

recording = ContextVar("recording", default=True)
watching = [None]  # the Watch of debug.py that counts now is the last one, for all threads; None where debugging is off
calling = ContextVar("calling", default=None)  # the Call that runs now, within modules


@contextlib.contextmanager
def no_grad():
    """Within `with no_grad():` ops compute values only and record nothing."""
    token = recording.set(False)
    try:
        yield
    finally:
        recording.reset(token)


class Node:
    """One application of an op: what backward needs to run its rules, and where to send the results.

    op        what was applied; backward calls op.pull_back(dy, node) for the inputs' cotangents
    parents   for each input: (the Node that made it, which of its outputs), (the leaf Tensor, 0), or None for a constant
    shapes    the shapes of the inputs
    dtype     the float dtype of the inputs, which their cotangents must have
    saved     the values that the rules asked for, by name; None once backward has used them
    outputs   how many arrays the op returned
    rooms     while backward is on its way: where some outputs' cotangents are written to, see arrays.Split
    call      the Call of a module during which this happened, None outside of any: for pictures and messages, not for backward
    """

    __slots__ = ("op", "parents", "shapes", "dtype", "saved", "outputs", "rooms", "call", "__weakref__")

    def __init__(self, op, parents, shapes, dtype, saved, outputs):
        self.op, self.parents, self.shapes, self.dtype, self.saved, self.outputs = op, parents, shapes, dtype, saved, outputs
        self.rooms, self.call = None, calling.get()


class Call:
    """One call of a Module: `module`, and the Call `around` it or None."""

    __slots__ = ("module", "around")

    def __init__(self, module, around):
        self.module, self.around = module, around

    def __str__(self):
        """Where in the model this is: "cells.0.from_xh of PredRNN"."""
        outermost = self
        while outermost.around:
            outermost = outermost.around
        name, kind = outermost.module.name_of(self.module), type(outermost.module).__name__
        return f"{name or type(self.module).__name__} of {kind}" if self.around else kind


class Deferred:
    """A cotangent that is computed when all of it has arrived, instead of one array after the other that are then added up.

    compute      of a list of uses, a tuple for each rule that sent something, makes the array
    shape, dtype of that array
    """

    base = None  # as of an array that is nobody else's memory

    def __init__(self, compute, use, shape, dtype):
        self.compute, self.uses, self.shape, self.dtype = compute, [use], shape, dtype

    def __iadd__(self, other):
        self.uses += other.uses
        return self

    def array(self):
        """Compute it, once: what the uses hold is free afterwards."""
        uses, self.uses = self.uses, None
        return self.compute(uses)


def backward(root, cotangent=None, retain_graph=False):
    """Send `cotangent` from the tensor `root` back to every leaf that it was computed from. Tensor.backward is this function.

    A node is visited once, when all nodes that use its outputs have been: each visit takes what arrived (Kahn's algorithm).
    """
    if not root.requires_grad:
        raise GraphError("backward: this tensor depends on nothing that requires a gradient: make its inputs with "
                         "tensor(..., requires_grad=True), outside of no_grad")
    cotangent = check_cotangent(root, cotangent)
    if root.node is None:
        return accumulate(root, cotangent, owned=False)

    waiting = count_consumers(root.node)
    arrived = {node: [(None, False)] * node.outputs for node in waiting}  # node -> for each output: (cotangent, is it ours to add to)
    arrived[root.node][root.index] = (cotangent, False)
    ready = [root.node]
    while ready:
        node = ready.pop()
        parents = node.parents
        visit(node, [dy for dy, _ in arrived.pop(node)], arrived)
        if not retain_graph:
            node.parents, node.saved = (), None
        for target, _ in filter(None, parents):
            if target in waiting:
                waiting[target] -= 1
                if waiting[target] == 0:
                    ready.append(target)


def count_consumers(root):
    """How many nodes are going to send something to each node below `root`; GraphError if one of them was used up before."""
    waiting, stack = {root: 0}, [root]
    while stack:
        node = stack.pop()
        if node.saved is None:
            raise GraphError(f"backward: a second time through {node.op.name}, whose saved arrays are gone: call the first backward "
                             "with retain_graph=True, or compute the forward again")
        for target, _ in filter(None, node.parents):
            if isinstance(target, Node):
                if target not in waiting:
                    waiting[target] = 0
                    stack.append(target)
                waiting[target] += 1
    return waiting


def visit(node, dy, arrived):
    """Run the rules of one node on the cotangents of its outputs, and hand the results to its parents."""
    if all(d is None for d in dy):  # nothing depends on it after all
        return
    given, watch = dy if node.outputs > 1 else dy[0], watching[-1]
    sums = [ours_so_far(parent, arrived) if node.op.adds else None for parent in node.parents]
    if node.op.adds:
        node.saved[node.op.inputs[0] + "_sum"] = sums
    gradients = watch.backward(node, given) if watch else node.op.pull_back(given, node)
    saved = [array for value in node.saved.values() for array in (value if isinstance(value, list) else [value])]  # *parts are a list
    known = [id(array) for array in (*dy, *saved, *gradients)]
    for i, gradient in enumerate(gradients):
        if gradient is None or node.parents[i] is None or gradient is sums[i]:
            continue
        # A fresh array is ours: it may be added to in place. Never dy itself, something saved, a view, or what another input gets too.
        fresh = gradient.base is None and known.count(id(gradient)) == 1
        fitted = fit(gradient, node, i)
        owned = fresh or fitted is not gradient
        target, index = node.parents[i]
        if target in arrived:
            arrived[target][index] = add_up(*arrived[target][index], fitted, owned)
        else:
            accumulate(target, fitted, owned)


def ours_so_far(parent, arrived):
    """The sum of what has arrived for an input so far, if it is an array of our own; or None."""
    if parent is None:
        return None
    target, index = parent
    total, owned = arrived[target][index] if target in arrived else (target.grad, True)
    return total if owned else None


def add_up(total, total_owned, gradient, owned):
    """total + gradient, in place where one of the arrays is ours; and whether the sum is ours."""
    if total is None:
        return gradient, owned
    if not total_owned:
        total, gradient, total_owned = gradient, total, owned
    if not total_owned:
        return total + gradient, True
    total += gradient
    return total, True


def accumulate(leaf, gradient, owned):
    """Add to the grad of a leaf, which is always an array of the leaf's own."""
    if isinstance(gradient, Deferred):
        gradient, owned = gradient.array(), True
    if leaf.grad is None:
        leaf.grad = gradient if owned else gradient.copy()
    else:
        leaf.grad += gradient


def fit(gradient, node, i):
    """Un-broadcast a gradient to the shape of input `i`, and check its shape and dtype: the one place for both."""
    if not isinstance(gradient, Deferred):
        gradient = array_module(gradient).asarray(gradient)  # NumPy turns arrays without axes into scalars
    shape = node.shapes[i]
    if gradient.shape != shape and gradient.ndim >= len(shape):
        extra = gradient.ndim - len(shape)  # axes that broadcasting put in front
        stretched = [extra + k for k, n in enumerate(shape) if n == 1]
        gradient = gradient.sum(axis=(*range(extra), *stretched), keepdims=True)
        gradient = gradient.reshape(gradient.shape[extra:])
    if gradient.shape != shape or gradient.dtype != node.dtype:
        raise GraphError(f"{node.op.name}: its rule gave input {i} a gradient of {gradient.dtype} {gradient.shape} "
                         f"where {node.dtype} {shape} is needed: correct the rule")
    return gradient


def check_cotangent(root, cotangent):
    """The cotangent to start from, as an array like root.data."""
    xp = array_module(root.data)
    if cotangent is None:
        if root.size != 1:
            raise GraphError(f"backward: a tensor of shape {root.shape} has no single gradient: "
                             "reduce it to a scalar, for example with .sum(), or pass a cotangent of that shape")
        return xp.ones_like(root.data)
    if not hasattr(cotangent, "dtype"):
        cotangent = xp.asarray(cotangent, root.dtype)  # plain numbers take the tensor's dtype
    elif hasattr(cotangent, "requires_grad"):
        cotangent = cotangent.data  # a tensor
    if device_of(cotangent) != root.device:
        raise DeviceError(f"backward: the tensor is on {root.device}, its cotangent on {device_of(cotangent)}: "
                          "move one with tensor(x, device=...)")
    if cotangent.shape != root.shape:
        raise ShapeError(f"backward: expected a cotangent of shape {root.shape}, got {cotangent.shape}")
    if cotangent.dtype != root.dtype:
        raise DTypeError(f"backward: expected a cotangent of dtype {root.dtype}, got {cotangent.dtype}: convert it with .astype")
    return cotangent
