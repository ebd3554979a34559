"""The engine: how a computation is recorded, and how backward walks through that record.

Every op that is applied to a tensor leaves a Node. A tensor points to the node that made it, and a node points to the
nodes and leaves that its inputs came from. That is the whole graph. It points only into the past, so nothing in it
forms a reference cycle: once the result is dropped, the graph is gone.

One backward pass, of loss = (tanh(x) * x).sum():

1. `count_consumers` goes down from the node of sum and finds what each node waits for: mul waits for sum, tanh waits
   for mul.
2. Each output gets an `Accumulator`, in which its cotangent is summed. The one of sum starts with 1, and sum is ready.
3. `visit` takes what arrived at a node, runs the node's rules on it and adds the results to the Accumulators of its
   inputs. Sum sends an array of ones to mul; mul sends x to tanh, and tanh(x) to the leaf x; tanh, which has no other
   consumer, is now ready and sends its part to x as well, where the two are added.
4. When no node is left, what has arrived at the leaves becomes their `grad`.

So order (steps 1 and 3: a node is visited once, after all of its consumers) and accumulation (steps 2 and 4) are
independent of each other. Of the nodes that are ready, the one that was recorded last is visited first. So sums are
always added up in the same order, also if some nodes are recorded only while backward runs, see recompute.py.
"""

import contextlib
import functools
import heapq
import itertools
from contextvars import ContextVar

import numpy as np

from tinypredrnn.autograd.kept import whole
from tinypredrnn.backend import array_module, device_of
from tinypredrnn.errors import DeviceError, DTypeError, GraphError, ShapeError

recording = ContextVar("recording", default=True)  # True, False, or a Segment (recompute.py), which records for itself
recorded = itertools.count()  # a number for each node
watches = [None]  # Watches of debug.py: the last one watches all threads; None if debugging is off
current_call = ContextVar("current_call", default=None)  # the Call that is running, if a module is being called


@contextlib.contextmanager
def recording_as(mode):
    """Within `with recording_as(mode):` `recording` has this value."""
    token = recording.set(mode)
    try:
        yield
    finally:
        recording.reset(token)


def no_grad():
    """Within `with no_grad():` ops compute values only and record nothing."""
    return recording_as(False)


class Node:
    """One application of an op: what backward needs to run its rules, and where to send the results.

    op        what was applied; backward calls op.pull_back(dy, node, into) for the inputs' cotangents
    parents   for each input: (the Node that made it, which of its outputs), (the leaf Tensor, 0), or None for a
              constant
    shapes    the shapes of the inputs
    dtype     the float dtype of the inputs, which their cotangents must have
    saved     the values that the rules asked for, by name, as kept.py keeps them; None once backward has used them
    outputs   how many arrays the op returned
    call      the Call of a module during which this happened, or None: for pictures and messages, not for backward
    number    how many nodes were recorded before
    """

    __slots__ = ("op", "parents", "shapes", "dtype", "saved", "outputs", "call", "number", "__weakref__")

    def __init__(self, op, parents, shapes, dtype, saved, outputs):
        self.op, self.parents, self.shapes, self.dtype = op, parents, shapes, dtype
        self.saved, self.outputs = saved, outputs
        self.call, self.number = current_call.get(), next(recorded)

    def __lt__(self, other):
        """Whether this node is visited first, if both are ready."""
        return self.number > other.number

    def value(self, name):
        """A saved value as a rule takes it."""
        return whole(self.saved[name])

    def require_saved(self):
        """GraphError if backward has used this node up."""
        if self.saved is None:
            raise GraphError(f"backward: a second time through {self.op.name}, whose saved arrays are gone: call the "
                             "first backward with retain_graph=True, or compute the forward again")


class Call:
    """One call of a `module`; `around` is the Call that it is part of, or None."""

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


# where a cotangent accumulates

class Accumulator:
    """The cotangent of one output, or of one leaf, while it arrives from the nodes that used it.

    total   the sum of what has arrived, or None
    owned   whether nothing else refers to `total`, so that it may be added to in place
    """

    __slots__ = ("total", "owned", "place", "uses")

    def __init__(self, total=None, owned=False, place=None):
        self.total, self.owned, self.place, self.uses = total, owned, place, None

    def add(self, gradient, owned):
        """Add an array. `owned` says that its op promises that nothing else refers to it."""
        if self.total is None:
            self.total, self.owned = gradient, owned
        elif self.owned:
            if gradient is not self.total:  # a rule may have added to it itself
                self.total += gradient
        elif owned:
            gradient += self.total
            self.total, self.owned = gradient, True
        else:  # as an array, since NumPy turns a sum of arrays without axes into a scalar
            self.total, self.owned = array_module(gradient).asarray(self.total + gradient), True

    def destination(self, xp):
        """The array into which a rule should write its gradient, so that it need not be copied there. If this output is
        one of the PIECES of an array (see op.py), the first rule that asks gets an uninitialised array; otherwise
        None."""
        place, self.place = self.place, None
        return place(xp) if place else None

    def defer(self, compute, use):
        """Have compute(uses, total, last) make the array of many uses, since one large sum is faster than adding many
        arrays. It adds to the array `total`, or makes a new one if that is None, and takes out of the list what it has
        summed: all of it if these are the `last` uses."""
        if self.uses is None:
            self.uses = {}
        self.uses.setdefault(compute, []).append(use)

    def sum_up(self, last):
        """Add up what was deferred."""
        for compute, uses in (self.uses or {}).items():
            if uses:
                self.add(compute(uses, self.total if self.owned else None, last), owned=True)

    def result(self):
        """The sum of everything that arrived, or None."""
        self.sum_up(last=True)
        return self.total


class Outputs(list):
    """An Accumulator for each output of a node."""

    def __init__(self, node):
        super().__init__(Accumulator() for _ in range(node.outputs))

    def collect(self):
        """What arrived, as rules take it: an array, or for several outputs a list with None for those without a
        cotangent; None if nothing arrived."""
        dy = [output.result() for output in self]
        if all(d is None for d in dy):
            return None
        return dy if len(dy) > 1 else dy[0]


class Whole:
    """The cotangent of an array that was cut into PIECES, laid out when the first of its pieces is asked for."""

    def __init__(self, node):
        self.node, self.array, self.pieces = node, None, None

    def place(self, k, xp):
        """The piece where the cotangent of output k belongs."""
        if self.array is None:
            self.array = xp.empty(self.node.shapes[0], self.node.dtype)
            self.pieces = self.node.op.forward(self.array, **self.node.saved)  # which for such an op are its options
        return self.pieces[k]


class Pieces(Outputs):
    """The same for an op that cuts its input into PIECES. Their cotangents are pieces of one array, the input's
    cotangent, so a rule that makes one may write it directly into its place there."""

    def __init__(self, node):
        self.whole = Whole(node)
        list.__init__(self, (Accumulator(place=functools.partial(self.whole.place, k)) for k in range(node.outputs)))

    def collect(self):
        """The whole array, with zeros for pieces without a cotangent; None if nothing arrived."""
        dy = [output.result() for output in self]
        if all(d is None for d in dy):
            return None
        xp = array_module(*(d for d in dy if d is not None))
        for k, d in enumerate(dy):
            place = self.whole.place(k, xp)
            if d is not place:
                place[...] = 0 if d is None else d
        return self.whole.array


# backward

def backward(root, cotangent=None, retain_graph=False):
    """Send `cotangent` from the tensor `root` back to every leaf that it was computed from. Tensor.backward is this
    function."""
    if not root.requires_grad:
        raise GraphError("backward: this tensor depends on nothing that requires a gradient: make its inputs with "
                         "tensor(..., requires_grad=True), outside of no_grad")
    waiting, accumulators = {}, {}
    check_grad(root)
    ready = begin([root], [Accumulator(check_cotangent(root, cotangent))], waiting, accumulators)
    while ready:  # Kahn's algorithm: a node is ready when all of its consumers have been visited
        node = heapq.heappop(ready)
        parents, arrived = node.parents, accumulators.pop(node)
        del waiting[node]
        into = [accumulator_of(parent, accumulators) for parent in parents]
        if node.op.again:  # a segment is recorded now, so that backward can go on through its nodes
            for accumulator in itertools.chain(*accumulators.values()):
                accumulator.sum_up(last=False)  # what waits holds arrays of the segments before
            ready += begin(node.op.again(node), arrived, waiting, accumulators)
            heapq.heapify(ready)
        else:
            visit(node, arrived.collect(), into)
        if not retain_graph:
            node.parents, node.saved = (), None
        for target, _ in filter(None, parents):
            if target in waiting:
                waiting[target] -= 1
                if waiting[target] == 0:
                    heapq.heappush(ready, target)

    for leaf, (arrived,) in accumulators.items():  # all nodes have been visited: only leaves are left
        if arrived.result() is not None:
            leaf.grad = arrived.total if arrived.owned else arrived.total.copy()  # always an array of the leaf's own


def begin(tensors, arrived, waiting, accumulators):
    """Start from tensors at which cotangents have arrived, an Accumulator for each: count what waits for them, and hand
    over the cotangents. Returns the nodes that are ready."""
    starts = [(y, given) for y, given in zip(tensors, arrived) if given.result() is not None]
    nodes = list(dict.fromkeys(y.node for y, _ in starts if y.node))
    for node in nodes:
        count_consumers(node, waiting)
    for y, given in starts:
        accumulator_of((y.node or y, y.index), accumulators).add(given.total, given.owned)
    return [node for node in nodes if waiting[node] == 0]


def count_consumers(root, waiting=None):
    """How many nodes are going to send something to each node below `root`, added to the counts in `waiting`;
    GraphError if an earlier backward has used one of them up, or if a leaf's grad cannot be added to."""
    waiting = {} if waiting is None else waiting
    stack = [] if root in waiting else [root]
    waiting.setdefault(root, 0)
    while stack:
        node = stack.pop()
        node.require_saved()
        for target, _ in filter(None, node.parents):
            if isinstance(target, Node):
                if target not in waiting:
                    waiting[target] = 0
                    stack.append(target)
                waiting[target] += 1
            elif target.grad is not None:
                check_grad(target)
    return waiting


def check_grad(leaf):
    """GraphError if the grad that a leaf already has is not an array like its data."""
    grad, data = leaf.grad, leaf.data
    if grad is not None and (type(grad) is not type(data) or (grad.shape, grad.dtype) != (data.shape, data.dtype)):
        what = f"{grad.dtype} {grad.shape}" if hasattr(grad, "dtype") else type(grad).__name__
        raise GraphError(f"backward: cannot add to the grad of a leaf, which should be an array of {leaf.dtype} "
                         f"{leaf.shape} on {leaf.device} and is {type(grad).__name__} {what}: set it to None first")


def writable(array):
    return getattr(array.flags, "writeable", True)  # CuPy's arrays, which all are, do not say so


def accumulator_of(parent, accumulators):
    """The Accumulator of a parent (as in Node.parents), None for a constant. That of a leaf starts with the gradient
    that the leaf already has."""
    if parent is None:
        return None
    target, index = parent
    if target not in accumulators and isinstance(target, Node):
        accumulators[target] = Pieces(target) if target.op.gives_pieces else Outputs(target)
    elif target not in accumulators:
        accumulators[target] = [Accumulator(target.grad, owned=target.grad is not None and writable(target.grad))]
    return accumulators[target][index]


def visit(node, dy, into):
    """Run a node's rules on the cotangent of its outputs, and add the results to the Accumulators of its inputs."""
    if dy is None:  # no cotangent arrived
        return
    watch = watches[-1]
    gradients = watch.backward(node, dy, into) if watch else node.op.pull_back(dy, node, into)
    for i, (gradient, accumulator) in enumerate(zip(gradients, into)):
        if gradient is not None and accumulator is not None:
            if type(gradient) is not np.ndarray:
                gradient = array_module(gradient).asarray(gradient)  # NumPy turns arrays without axes into scalars
            fitted = fit(gradient, node, i)
            accumulator.add(fitted, owned=(node.op.gives_new or fitted is not gradient) and writable(fitted))


def fit(gradient, node, i):
    """Un-broadcast a gradient to the shape of input `i`, and check its shape and dtype: the one place for both."""
    shape = node.shapes[i]
    if gradient.shape != shape and gradient.ndim >= len(shape):
        extra = gradient.ndim - len(shape)  # axes that broadcasting put in front
        stretched = [extra + k for k, n in enumerate(shape) if n == 1]
        gradient = gradient.sum(axis=(*range(extra), *stretched), keepdims=True)
        gradient = gradient.reshape(gradient.shape[extra:])
    if gradient.shape != shape or gradient.dtype != node.dtype:
        raise GraphError(f"{node.op.name}: its rule gave input {i} a gradient of {gradient.dtype} {gradient.shape}, "
                         f"but that input needs {node.dtype} {shape}: correct the rule")
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
        try:
            cotangent = xp.asarray(cotangent, root.dtype)  # plain numbers take the tensor's dtype
        except (TypeError, ValueError, OverflowError) as error:
            raise DTypeError(f"backward: expected an array or numbers as cotangent, got {type(cotangent).__name__} "
                             f"({error})") from None
    elif hasattr(cotangent, "requires_grad"):
        cotangent = cotangent.data  # a tensor
    if device_of(cotangent) != root.device:
        raise DeviceError(f"backward: the tensor is on {root.device}, its cotangent on {device_of(cotangent)}: "
                          "move one with tensor(x, device=...)")
    if cotangent.shape != root.shape:
        raise ShapeError(f"backward: expected a cotangent of shape {root.shape}, got {cotangent.shape}")
    if cotangent.dtype != root.dtype:
        raise DTypeError(f"backward: expected a cotangent of dtype {root.dtype}, got {cotangent.dtype}: convert it "
                         "with .astype")
    return cotangent
