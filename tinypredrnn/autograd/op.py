"""What an op is: a function of arrays, and beside it one rule for each input that can have a gradient.

    @op(a=lambda dy, b: dy @ b.T,
        b=lambda dy, a: a.T @ dy)
    def matmul(a, b):
        return a @ b

A rule turns `dy`, the cotangent of the output, into the cotangent of its input. By the names of its parameters it asks for whatever
else it needs, and nothing but that is kept for it:

    a, b ...   an input's values            y             the output's values
    a_shape    only an input's shape        axis ...      an option

Positional parameters of the function are its inputs: arrays, tensors, plain numbers, or None for one that is left out; `*parts` takes
any number of them, and its rule returns one cotangent for each. Keyword-only parameters are options and are passed as they are.
The rule of `*parts` may also ask for `parts_sum`: for each input what other nodes have sent to it so far, where that may be added to in
place, else None. A rule that adds to it returns it, and saves the memory traffic of a gradient of its own.
"""

import inspect
from types import MethodType

import numpy as np

from tinypredrnn.autograd.engine import Deferred, Node, recording, watching
from tinypredrnn.autograd.tensor import Tensor, tensor
from tinypredrnn.backend import array_module, device_of
from tinypredrnn.errors import ConfigError, DeviceError, DTypeError, Error, ShapeError


def op(**rules):
    """Make an Op of the decorated function and these rules, named like the inputs."""
    return lambda forward: Op(forward, rules)


class Op:
    """A differentiable function. Called with tensors it computes, checks and records; called with arrays only, it just computes."""

    def __init__(self, forward, rules):
        self.forward, self.rules, self.name, self.__doc__ = forward, rules, forward.__name__, forward.__doc__
        self.__wrapped__ = forward  # for help() and inspect.signature
        parameters = inspect.signature(forward).parameters.values()
        self.inputs = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.asks = {name: tuple(inspect.signature(rule).parameters)[1:] for name, rule in rules.items()}
        self.adds = self.variadic and f"{self.inputs[0]}_sum" in self.asks.get(self.inputs[0], ())

    def __repr__(self):
        return f"<op {self.name}>"

    def __get__(self, instance, owner=None):
        return self if instance is None else MethodType(self, instance)  # as a function would: x.sum() is sum(x)

    def __call__(self, *inputs, **options):
        if options:  # inputs given by name
            inputs += tuple(options.pop(name) for name in self.inputs[len(inputs):] if name in options)
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        if not tensors:
            return self.apply(*inputs, **options)
        arrays = [x.data if isinstance(x, Tensor) else plain(x) for x in inputs]
        dtype, watch = self.check(arrays), watching[-1]
        try:
            result = watch.forward(self, arrays, options) if watch else self.forward(*arrays, **options)
        except (ValueError, IndexError, TypeError, AttributeError) as error:
            if isinstance(error, Error):
                raise
            if unknown := ", ".join(options.keys() - self.options.keys()):
                raise ConfigError(f"{self.name}: unknown option {unknown}: it has {', '.join(self.options) or 'none'}") from None
            raise ShapeError(f"{self.describe(arrays, options)}: {error}") from error
        outputs = [array_module(y).asarray(y) for y in (result if isinstance(result, tuple) else (result,))]
        if any(y.dtype.kind == "f" and y.dtype != dtype for y in outputs):
            raise DTypeError(f"{self.describe(arrays, options)} would turn {dtype} into {outputs[0].dtype}: "
                             "convert the other array with .astype first")
        node = None
        if recording.get() and any(x.requires_grad for x in tensors) and self.rules:
            node = self.record(inputs, arrays, options, outputs, dtype)
            if watch:
                watch.recorded(node)
        made = tuple(Tensor(y, node is not None, node, i) for i, y in enumerate(outputs))
        return made if isinstance(result, tuple) else made[0]

    def apply(self, *inputs, **options):
        """The value for plain arrays."""
        return self.forward(*inputs, **options)

    def record(self, inputs, arrays, options, outputs, dtype):
        """The Node of this application: where the inputs came from, and what the rules ask for."""
        parents = [((x.node, x.index) if x.node else (x, 0)) if isinstance(x, Tensor) and x.requires_grad else None for x in inputs]
        shapes = [getattr(x, "shape", ()) for x in arrays]
        known = {**self.options, **options, "y": outputs[0] if len(outputs) == 1 else outputs}
        if self.variadic:
            known |= {self.inputs[0]: arrays, self.inputs[0] + "_shape": shapes, self.inputs[0] + "_sum": None}  # see engine.visit
            wanted = self.inputs
        else:
            known |= dict.fromkeys(self.inputs) | dict(zip(self.inputs, arrays))
            known |= {name + "_shape": shape for name, shape in zip(self.inputs, shapes)}
            wanted = [name for name, parent in zip(self.inputs, parents) if parent]
        for name in wanted:
            if name not in self.rules:
                raise DTypeError(f"{self.name}: has no derivative with respect to {name}: pass {name}.detach()")
        saved = {need: known[need] for name in wanted for need in self.asks[name]}
        return Node(self, parents, shapes, dtype, saved, len(outputs))

    def pull_back(self, dy, node):
        """The cotangents of the inputs (None where nobody waits for one) from the cotangent of the output."""
        dy = dy.array() if isinstance(dy, Deferred) else dy
        if self.variadic:
            return self.rule(self.inputs[0], dy, node)
        return [self.rule(name, dy, node) if parent else None for name, parent in zip(self.inputs, node.parents)]

    def rule(self, name, dy, node):
        return self.rules[name](dy, *(node.saved[need] for need in self.asks[name]))

    def check(self, arrays):
        """The one float dtype of the inputs; DTypeError or DeviceError where there are two, DTypeError for a list of numbers."""
        if any(isinstance(a, (list, tuple)) for a in arrays):
            raise DTypeError(f"{self.describe(arrays)}: expected tensors, arrays or numbers, not lists: make an array of it")
        arrays = [a for a in arrays if hasattr(a, "dtype")]
        if len({device_of(a) for a in arrays}) > 1:
            raise DeviceError(f"{self.describe(arrays)}: inputs on different devices: move one with tensor(x, device=...)")
        dtypes = {a.dtype for a in arrays if a.dtype.kind == "f"}
        if len(dtypes) > 1:
            raise DTypeError(f"{self.describe(arrays)}: inputs of different float dtypes: convert one with .astype")
        return dtypes.pop() if dtypes else None

    def describe(self, arrays, options=()):
        """The call as an error message names it: `matmul(a: float32 (2, 3), b: float32 (4, 5))`."""
        names = [f"{self.inputs[0]}[{i}]" for i in range(len(arrays))] if self.variadic else self.inputs
        parts = [f"{name}: {a.dtype} {a.shape}" + (f" on {device_of(a)}" if device_of(a) != "cpu" else "")
                 if hasattr(a, "dtype") else f"{name}={a!r}" for name, a in zip(names, arrays)]
        return f"{self.name}({', '.join(parts + [f'{name}={value!r}' for name, value in dict(options).items()])})"


def plain(value):
    """An input that is not a tensor. NumPy's numbers become Python's, which leave the other array's dtype alone; what is
    neither a number nor a plain array (a masked one, PyTorch's, ...) comes in by the door of `tensor`."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (int, float, list, tuple)) or array_module(value) is not np else tensor(value).data


PLAIN = {np.ndarray, int, float, bool, type(None)}  # the usual ones, to be quick; lists are refused by Op.check
