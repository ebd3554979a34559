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
out; `*parts` takes any number of them, and its rule returns one cotangent for each. Keyword-only parameters are
options; an annotation says what one may be, see kinds.py, and without one it is passed as it is. The rule of `*parts`
may also ask for `parts_into`: the engine.Accumulator of each input, or None for a constant. Through it, the rule can
have a gradient computed later (it then returns None for that input), or add to the sum that is already there (it then
returns that sum).

A rule must not write into `dy` or into the values that it asked for, which others read as well: it makes a new array.
`debug(3)` finds a rule that does.

An op may make promises, which cost nothing to keep and save the engine copies: op(NEW, a=..., b=...).

    NEW      every array that its rules return is new: nothing else uses any part of it, so it may be added to in place
    PIECES   its outputs are views that together cover its one input x. `dy` is then a single array, the cotangent of x,
             which the cotangents of the outputs are parts of: the rule of x returns it
"""

import inspect
from types import MethodType

import numpy as np

from tinypredrnn.autograd.engine import Node, recording, watches
from tinypredrnn.autograd.kept import halves, keep
from tinypredrnn.autograd.kinds import Kind, brief
from tinypredrnn.autograd.symbol import Symbol
from tinypredrnn.autograd.tensor import Tensor, tensor
from tinypredrnn.backend import array_module, device_of
from tinypredrnn.errors import ConfigError, DeviceError, DTypeError, Error, RangeError, ShapeError

NEW, PIECES = "new", "pieces"


def op(*promises, **rules):
    """Make an Op of the decorated function and these rules, which are named after the inputs; promises: NEW, PIECES.

    Raises ConfigError for an unknown promise, for a rule of an unknown input, and for one that asks for something
    unknown.
    """
    return lambda forward: Op(forward, rules, promises)


class Op:
    """A differentiable function. Called with tensors, it computes, checks and records; with arrays only, it just
    computes."""

    again = None  # what recompute.py has in place of rules

    def __init__(self, forward, rules, promises=()):
        self.forward, self.rules, self.name, self.__doc__ = forward, rules, forward.__name__, forward.__doc__
        self.__wrapped__ = forward  # for help() and inspect.signature
        self.checked = {}  # dtypes of inputs that have been found right -> the one float dtype among them
        self.gives_new, self.gives_pieces = NEW in promises, PIECES in promises
        parameters = list(inspect.signature(forward).parameters.values())
        self.inputs = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.kinds = {p.name: p.annotation for p in parameters if isinstance(p.annotation, Kind)}
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.required = {name for name, default in self.options.items() if default is inspect.Parameter.empty}
        self.min_inputs = sum(p.default is p.empty for p in parameters
                              if p.kind not in (p.KEYWORD_ONLY, p.VAR_POSITIONAL))
        self.asks = {name: tuple(inspect.signature(rule).parameters)[1:] for name, rule in rules.items()}
        may_ask = {"y", *self.options, *self.inputs, *(f"{name}_shape" for name in self.inputs)} | (
            {f"{self.inputs[0]}_into"} if self.variadic else set())
        self.refuse_unknown("promises", promises, (NEW, PIECES))
        self.refuse_unknown("rules for", rules, self.inputs)
        for name, asks in self.asks.items():
            self.refuse_unknown(f"a rule for {name} that asks for", asks, may_ask)

    def refuse_unknown(self, what, given, known):
        if unknown := [str(name) for name in given if name not in known]:
            raise ConfigError(f"op: {self.name} has {what} {', '.join(unknown)}, which is unknown: expected any of "
                              f"{', '.join(sorted(known)) or 'none'}")

    def __repr__(self):
        return f"<op {self.name}>"

    def __get__(self, instance, owner=None):
        return self if instance is None else MethodType(self, instance)  # as a function would: x.sum() is sum(x)

    def __call__(self, *inputs, **options):
        inputs, options = self.arguments(inputs, options)
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        if not tensors:
            return self.apply(*inputs, **options)
        arrays = [x.data if isinstance(x, Tensor) else plain(x) for x in inputs]
        dtype, watch = self.check(arrays), watches[-1]
        result = self.compute(arrays, options, watch)
        results = result if isinstance(result, tuple) else (result,)  # NumPy turns arrays without axes into scalars
        outputs = [y if type(y) is np.ndarray else array_module(y).asarray(y) for y in results]
        if any(y.dtype is not dtype and y.dtype.kind not in "iub" and y.dtype != dtype for y in outputs):
            raise DTypeError(f"{self.describe(arrays, options)} would turn {dtype} into {outputs[0].dtype}: "
                             "convert the other array with .astype first")
        node, mode = None, recording.get()
        if mode and any(x.requires_grad for x in tensors) and self.rules:
            node = self.record(inputs, arrays, options, outputs, dtype)
            if mode is not True:
                node = mode.instead_of(node)
            elif watch:
                watch.recorded(node)
        made = tuple(Tensor(y, node is not None, node, i) for i, y in enumerate(outputs))
        return made if isinstance(result, tuple) else made[0]

    def arguments(self, inputs, options):
        """(inputs, options): those inputs that were given by name in their places, and each option in the form of its
        kind.

        Raises ConfigError for unknown, missing and impossible options and for a wrong number of inputs.
        """
        if options:
            inputs += tuple(options.pop(name) for name in self.inputs[len(inputs):] if name in options)
        if (options or self.required) and not (options.keys() >= self.required
                                               and options.keys() <= self.options.keys()):
            raise ConfigError(f"{self.describe(inputs, options)}: its options are {', '.join(self.options) or 'none'}, "
                              f"of which it needs {', '.join(sorted(self.required)) or 'none'}")
        if len(inputs) < self.min_inputs or len(inputs) > len(self.inputs) and not self.variadic:
            raise ConfigError(f"{self.describe(inputs, options)}: expected the inputs {', '.join(self.inputs)}, got "
                              f"{len(inputs)} of them")
        for name in options:
            if name in self.kinds:
                options[name] = self.kinds[name](options[name], self.name, name)
        return inputs, options

    def apply(self, *inputs, **options):
        """The value for plain arrays."""
        if any(isinstance(x, Symbol) for x in inputs):
            raise ConfigError(f"fuse: {self.name} cannot be fused, since it is not elementwise maths: call it outside "
                              "the fused function")
        self.check_types(inputs)
        return self.compute(inputs, options)

    def compute(self, arrays, options, watch=None):
        """The function's result. ShapeError and RangeError for what NumPy and CuPy refuse."""
        try:
            return watch.forward(self, arrays, options) if watch else self.forward(*arrays, **options)
        except (ValueError, IndexError, OverflowError) as error:
            # what NumPy and CuPy raise for wrong shapes, wrong axes, and integers beyond the dtype
            if isinstance(error, Error):
                raise
            kind = RangeError if isinstance(error, OverflowError) else ShapeError
            raise kind(f"{self.describe(arrays, options)}: {error}") from error

    def record(self, inputs, arrays, options, outputs, dtype):
        """The Node of this application: where the inputs came from, and what the rules ask for."""
        parents = [((x.node, x.index) if x.node else (x, 0)) if isinstance(x, Tensor) and x.requires_grad else None
                   for x in inputs]
        shapes = [getattr(x, "shape", ()) for x in arrays]
        options = {**self.options, **options}
        known = {**options, "y": outputs[0] if len(outputs) == 1 else outputs}
        if self.variadic:
            # see pull_back
            known |= {self.inputs[0]: arrays, self.inputs[0] + "_shape": shapes, self.inputs[0] + "_into": None}
            wanted = self.inputs
        else:
            known |= {name + "_shape": shape for name, shape in zip(self.inputs, shapes)}
            known |= dict.fromkeys(self.inputs) | dict(zip(self.inputs, arrays))  # last: an input may be called x_shape
            wanted = [name for name, parent in zip(self.inputs, parents) if parent]
        for name in wanted:
            if name not in self.rules:
                raise DTypeError(f"{self.name}: has no derivative with respect to {name}: pass {name}.detach()")
        saved = options if self.gives_pieces else {need: known[need] for name in wanted for need in self.asks[name]}
        if halves.get() is not None:
            made = {id(a) for a in (*outputs, *(x.data for x in inputs if isinstance(x, Tensor) and x.node))}
            saved = {need: in_half(value, made) for need, value in saved.items()}
        return Node(self, parents, shapes, dtype, saved, len(outputs))

    def pull_back(self, dy, node, into):
        """The cotangents of the inputs (None if an input needs none) from the cotangent of the output; `into` has each
        input's Accumulator."""
        if self.variadic:
            name = self.inputs[0]
            needed = (into if need == name + "_into" else node.value(need) for need in self.asks[name])
            return self.rules[name](dy, *needed)
        return [self.rule(name, dy, node) if parent else None for name, parent in zip(self.inputs, node.parents)]

    def rule(self, name, dy, node):
        return self.rules[name](dy, *(node.value(need) for need in self.asks[name]))

    def check(self, arrays):
        """The one float dtype of the inputs, before anything is computed; None if they are integers.

        Raises DTypeError for two float dtypes and as `check_types` does, DeviceError for two devices.
        """
        kinds = tuple([getattr(a, "dtype", type(a)) for a in arrays])
        if kinds in self.checked and array_module(*arrays) is np:
            return self.checked[kinds]
        self.check_types(arrays)
        given = [a for a in arrays if hasattr(a, "dtype")]
        dtypes = {a.dtype for a in given if a.dtype.kind == "f"}
        if len({device_of(a) for a in given}) > 1:
            raise DeviceError(f"{self.describe(arrays)}: inputs on different devices: move one with tensor(x, "
                              "device=...)")
        if len(dtypes) > 1:
            raise DTypeError(f"{self.describe(arrays)}: inputs of different float dtypes: convert one with .astype")
        return self.checked.setdefault(kinds, dtypes.pop() if dtypes else None)

    def check_types(self, inputs):
        """DTypeError for anything but arrays of numbers and plain numbers, or None for an input that may be left
        out."""
        for i, x in enumerate(inputs):
            if isinstance(x, (int, float)) or getattr(getattr(x, "dtype", None), "kind", "none") in "fiub":
                continue
            if x is None and (self.variadic or i >= self.min_inputs):
                continue
            what = f"values of dtype {x.dtype}" if hasattr(x, "dtype") else type(x).__name__
            instead = ("pass the tensor to the fused function as an input" if isinstance(x, Symbol) else
                       "pass its parts, *list" if isinstance(x, (list, tuple)) and self.variadic
                       else "convert it with np.asarray first")
            raise DTypeError(f"{self.describe(inputs)}: expected tensors, arrays or plain numbers, got {what}: "
                             f"{instead}")

    def describe(self, arrays, options=()):
        """The call as error messages show it: `matmul(a: float32 (2, 3), b: float32 (4, 5))`."""
        names = [f"{self.inputs[0]}[{i}]" for i in range(len(arrays))] if self.variadic else self.inputs
        parts = [f"{name}: {a.dtype} {a.shape}" + (f" on {device_of(a)}" if device_of(a) != "cpu" else "")
                 if hasattr(a, "dtype") and hasattr(a, "shape") else f"{name}={brief(a)}"
                 for name, a in zip(names, arrays)]
        return f"{self.name}({', '.join(parts + [f'{name}={brief(value)}' for name, value in dict(options).items()])})"


def in_half(value, made):
    """What to keep of a value that a rule asked for, an array or a list of them; `made` are the ids of those arrays
    that ops made."""
    if type(value) is list:
        return [in_half(part, made) for part in value]
    return keep(value) if id(value) in made else value


def plain(value):
    """Prepare an input that is not a tensor. NumPy's numbers become Python's, which do not change the dtype of
    arrays. Arrays in the other byte order are converted, since no kernel reads them. Anything that is neither a number
    nor a plain array (a masked array, one of PyTorch's, ...) goes through `tensor`."""
    if type(value) is np.ndarray:
        return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (int, float, list, tuple, Symbol)) or array_module(value) is not np:
        return value  # lists and symbols are refused by Op.check
    return tensor(value).data
