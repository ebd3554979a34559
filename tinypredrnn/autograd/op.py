"""What an op is: a function of arrays, and beside it one rule for each input that can have a gradient.

    @op(a=lambda dy, b: dy @ b.T,
        b=lambda dy, a: a.T @ dy)
    def matmul(a, b):
        return a @ b

A rule turns `dy`, the cotangent of the output, into the cotangent of its input. The names of its other parameters say
what else it needs, and only that is kept for it:

    a, b ...   an input's values            y             the output's values
    a_shape    only an input's shape        axis ...      an option

Positional parameters of the function are its inputs: arrays, tensors, plain numbers, or None for one that may be left
out; `*parts` takes any number of them, and its rule returns one cotangent for each. Keyword-only parameters are options
and are passed as they are. The rule of `*parts` may also ask for `parts_into`: the engine.Arriving of each input, or
None for a constant. Through it, the rule can have a gradient computed later (it then returns None for that input), or
add to the sum that is already there (it then returns that sum).

An op may make promises, which cost nothing to keep and save the engine copies: op(NEW, a=..., b=...).

    NEW      every array that its rules return is new: nobody else holds it or a part of it, so it may be added to in place
    PIECES   its outputs are views that together cover its one input x. `dy` is then a single array, the cotangent of x,
             which the cotangents of the outputs are parts of: the rule of x returns it
"""

import inspect
from types import MethodType

import numpy as np

from tinypredrnn.autograd.engine import Node, recording, watching
from tinypredrnn.autograd.symbol import Symbol
from tinypredrnn.autograd.tensor import Tensor, tensor
from tinypredrnn.backend import array_module, device_of
from tinypredrnn.errors import ConfigError, DeviceError, DTypeError, Error, ShapeError

NEW, PIECES = "new", "pieces"


def op(*promises, **rules):
    """Make an Op of the decorated function and these rules, which are named after the inputs; promises: NEW, PIECES."""
    return lambda forward: Op(forward, rules, promises)


class Op:
    """A differentiable function. Called with tensors it computes, checks and records; called with arrays only, it just computes."""

    def __init__(self, forward, rules, promises=()):
        self.forward, self.rules, self.name, self.__doc__ = forward, rules, forward.__name__, forward.__doc__
        self.__wrapped__ = forward  # for help() and inspect.signature
        self.gives_new, self.cuts = NEW in promises, PIECES in promises
        parameters = list(inspect.signature(forward).parameters.values())
        self.inputs = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.required = {name for name, default in self.options.items() if default is inspect.Parameter.empty}
        self.least = sum(p.default is p.empty for p in parameters if p.kind is not p.KEYWORD_ONLY)  # inputs needed
        self.asks = {name: tuple(inspect.signature(rule).parameters)[1:] for name, rule in rules.items()}

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
        dtype, watch = self.check(arrays, options), watching[-1]
        try:
            result = watch.forward(self, arrays, options) if watch else self.forward(*arrays, **options)
        except (ValueError, IndexError) as error:  # how NumPy and CuPy refuse shapes and axes
            if isinstance(error, Error):
                raise
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
        if any(isinstance(x, Symbol) for x in inputs):
            raise ConfigError(f"fuse: {self.name} cannot be fused, since it is not elementwise maths: call it outside "
                              "the fused function")
        if any(isinstance(x, (list, tuple)) for x in inputs):  # whose tensors would lose their gradients
            raise DTypeError(f"{self.describe(inputs)}: expected tensors, arrays or plain numbers, got a list: "
                             + ("pass its parts, *list" if self.variadic else "convert it with np.asarray"))
        return self.forward(*inputs, **options)

    def record(self, inputs, arrays, options, outputs, dtype):
        """The Node of this application: where the inputs came from, and what the rules ask for."""
        parents = [((x.node, x.index) if x.node else (x, 0)) if isinstance(x, Tensor) and x.requires_grad else None for x in inputs]
        shapes = [getattr(x, "shape", ()) for x in arrays]
        options = {**self.options, **options}
        known = {**options, "y": outputs[0] if len(outputs) == 1 else outputs}
        if self.variadic:
            known |= {self.inputs[0]: arrays, self.inputs[0] + "_shape": shapes, self.inputs[0] + "_into": None}  # see pull_back
            wanted = self.inputs
        else:
            known |= {name + "_shape": shape for name, shape in zip(self.inputs, shapes)}
            known |= dict.fromkeys(self.inputs) | dict(zip(self.inputs, arrays))  # last: an input may be called x_shape
            wanted = [name for name, parent in zip(self.inputs, parents) if parent]
        for name in wanted:
            if name not in self.rules:
                raise DTypeError(f"{self.name}: has no derivative with respect to {name}: pass {name}.detach()")
        saved = options if self.cuts else {need: known[need] for name in wanted for need in self.asks[name]}
        return Node(self, parents, shapes, dtype, saved, len(outputs))

    def pull_back(self, dy, node, into):
        """The cotangents of the inputs (None if nobody waits for one) from the cotangent of the output; `into` has each
        input's Arriving."""
        if self.variadic:
            name = self.inputs[0]
            return self.rules[name](dy, *(into if need == name + "_into" else node.saved[need] for need in self.asks[name]))
        return [self.rule(name, dy, node) if parent else None for name, parent in zip(self.inputs, node.parents)]

    def rule(self, name, dy, node):
        return self.rules[name](dy, *(node.saved[need] for need in self.asks[name]))

    def check(self, arrays, options):
        """The one float dtype of the inputs, before anything is computed.

        Raises ConfigError for unknown or missing options and a wrong number of inputs, DTypeError for anything but
        arrays of numbers and plain numbers, and for two float dtypes, DeviceError for two devices.
        """
        if options.keys() - self.options.keys() or self.required - options.keys():
            raise ConfigError(f"{self.describe(arrays, options)}: its options are {', '.join(self.options) or 'none'}, of which it needs "
                              f"{', '.join(sorted(self.required)) or 'none'}")
        if not self.variadic and not self.least <= len(arrays) <= len(self.inputs):
            raise ConfigError(f"{self.describe(arrays, options)}: expected the inputs {', '.join(self.inputs)}, got {len(arrays)} of them")
        dtypes, devices = set(), set()
        for i, a in enumerate(arrays):
            if hasattr(a, "dtype") and a.dtype.kind in "fiub":
                devices.add(device_of(a))
                if a.dtype.kind == "f":
                    dtypes.add(a.dtype)
            elif not (isinstance(a, (bool, int, float)) or a is None and (self.variadic or i >= self.least)):
                raise DTypeError(f"{self.describe(arrays)}: expected tensors, arrays or plain numbers, got {getattr(a, 'dtype', type(a))}: "
                                 + ("pass the tensor to the fused function as an input" if isinstance(a, Symbol) else "convert it first"))
        if len(devices) > 1:
            raise DeviceError(f"{self.describe(arrays)}: inputs on different devices: move one with tensor(x, device=...)")
        if len(dtypes) > 1:
            raise DTypeError(f"{self.describe(arrays)}: inputs of different float dtypes: convert one with .astype")
        return dtypes.pop() if dtypes else None

    def describe(self, arrays, options=()):
        """The call as error messages show it: `matmul(a: float32 (2, 3), b: float32 (4, 5))`."""
        names = [f"{self.inputs[0]}[{i}]" for i in range(len(arrays))] if self.variadic else self.inputs
        parts = [f"{name}: {a.dtype} {a.shape}" + (f" on {device_of(a)}" if device_of(a) != "cpu" else "")
                 if hasattr(a, "dtype") else f"{name}={a!r}" for name, a in zip(names, arrays)]
        return f"{self.name}({', '.join(parts + [f'{name}={value!r}' for name, value in dict(options).items()])})"


def plain(value):
    """Prepare an input that is not a tensor. NumPy's numbers become Python's, which leave the other array's dtype
    alone. Arrays in the other byte order are converted, since no kernel reads them. Anything that is neither a number
    nor a plain array (a masked array, one of PyTorch's, ...) goes through `tensor`."""
    if type(value) is np.ndarray:
        return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (int, float, list, tuple, Symbol)) or array_module(value) is not np:
        return value  # lists and symbols are refused by Op.check
    return tensor(value).data
