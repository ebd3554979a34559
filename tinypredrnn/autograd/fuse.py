"""The fuser: gate maths, written once in plain Python, becomes one kernel forward and one backward.

    @fuse
    def remember(i, f, g, memory):
        return sigmoid(f) * memory + sigmoid(i) * tanh(g)

Op by op, this moves 27 arrays through memory where 5 would do, and more backward (lesson 18 counts them): memory traffic is most of what
it costs. So the function is called once with symbols, which writes it down as an expression; reverse mode over that expression, with the
very rules of the elementwise table, writes down its gradient; equal subexpressions become one line; and the lines become a loop: numba
on the CPU, a CUDA kernel through CuPy on the GPU. Only the inputs are saved. Nobody derives a gate by hand.
"""

import contextlib
import functools
import inspect
import itertools
import re
from contextvars import ContextVar

import numpy as np

from tinypredrnn.autograd.arrays import room_for
from tinypredrnn.autograd.elementwise import TABLE
from tinypredrnn.autograd.emit import CPU, CUDA, HELPERS, TANH, compile_source
from tinypredrnn.autograd.op import Op
from tinypredrnn.autograd.symbol import Symbol
from tinypredrnn.backend import array_module
from tinypredrnn.errors import ConfigError, DTypeError
from tinypredrnn.threads import share

fusing = ContextVar("fusing", default=True)


@contextlib.contextmanager
def unfused():
    """Within `with unfused():` fused functions run op by op: slower, and the reference that the kernels are tested against."""
    token = fusing.set(False)
    try:
        yield
    finally:
        fusing.reset(token)


# from a function to expressions

def trace(function):
    """(input symbols, output expressions) of a function of elementwise maths."""
    inputs = [Symbol(None, name) for name in inspect.signature(function).parameters]
    outputs = function(*inputs)
    return inputs, list(outputs) if isinstance(outputs, tuple) else [outputs]


def in_order(outputs):
    """All symbols below the outputs, each after those that it is made of."""
    order, seen = [], set()

    def visit(symbol):
        if isinstance(symbol, Symbol) and id(symbol) not in seen:
            seen.add(id(symbol))
            for part in symbol.args:
                visit(part)
            order.append(symbol)

    for output in outputs:
        visit(output)
    return order


def gradients(inputs, outputs, cotangents):
    """Reverse mode on expressions: the cotangents of the inputs, as expressions, by the rules of the table."""
    total = {}  # id of a symbol -> its cotangent so far

    def add(symbol, cotangent):
        total[id(symbol)] = total[id(symbol)] + cotangent if id(symbol) in total else cotangent

    for output, cotangent in zip(outputs, cotangents):
        add(output, cotangent)
    for symbol in reversed(in_order(outputs)):
        if symbol.op is None or id(symbol) not in total:
            continue
        entry = TABLE[symbol.op]
        known = dict(zip(entry.inputs, symbol.args)) | {"y": symbol}
        for name, part in zip(entry.inputs, symbol.args):
            if isinstance(part, Symbol) and name in entry.rules:
                add(part, entry.rules[name](total[id(symbol)], *(known[need] for need in entry.asks[name])))
    return [total.get(id(x), 0.0) for x in inputs]


# from expressions to lines of source

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "less": "<", "greater": ">", "less_equal": "<=", "greater_equal": ">="}
CALLS = ("where", "negate", "maximum", "minimum", "exp", "log", "log1p", "sqrt", "tanh", "sigmoid", "power")
PLAIN = {"neg": "-{}", "absolute": "fabs({})", "sign": "T({0} > T(0)) - T({0} < T(0))"}
RESERVED = re.compile("|".join(CALLS) + r"|fabs|(v|y|dy)\d+|T|row|width|column|range|first|last|loop")  # the kernels' own names


def lines_of(outputs):
    """The outputs computed line by line: ({text: name}, the outputs' names). Equal text is computed once; it is Python and C alike."""
    lines = {}

    def name(value):
        return name_of(value) if isinstance(value, Symbol) else f"T({float(value)!r})"

    @functools.cache  # a symbol that is used twice is written once, and not walked through twice
    def name_of(symbol):
        if symbol.op is None:
            return symbol.args[0]
        if symbol.op not in INFIX and symbol.op not in CALLS and symbol.op not in PLAIN:  # an entry that is made of others
            return name(TABLE[symbol.op].forward(*symbol.args))
        parts = [name(part) for part in symbol.args]
        if symbol.op in INFIX:
            text = f" {INFIX[symbol.op]} ".join(parts)
            text = f"T({text})" if INFIX[symbol.op] in "<=>=" else text  # truth as a number, 0 or 1
        else:
            text = f"{symbol.op}({', '.join(parts)})" if symbol.op in CALLS else PLAIN[symbol.op].format(*parts)
        return lines.setdefault(text, f"v{len(lines)}")

    return lines, [name(output) for output in outputs]


# from lines to kernels

COST = 16  # of a line of the kernel, in multiplications of a matrix product: where a second thread is worth waking


class Loop:
    """A kernel: the named inputs, element by element, through `lines` to as many outputs."""

    def __init__(self, title, inputs, outputs):
        self.title, self.inputs = title, inputs
        self.lines, self.outputs = lines_of(outputs)
        self.compiled = {}

    def __call__(self, *arrays, into=()):
        """One array for each output, of the inputs' broadcast shape: those in `into`, which may be inputs as well, or new ones."""
        xp = array_module(*arrays)
        dtype = next((a.dtype for a in arrays if hasattr(a, "dtype") and a.dtype.kind == "f"), np.dtype(float))
        arrays = [a.astype(dtype, copy=False) if hasattr(a, "dtype") else xp.asarray(float(a), dtype) for a in arrays]  # masks, numbers
        shape = arrays[0].shape if all(a.shape == arrays[0].shape for a in arrays) else np.broadcast_shapes(*(a.shape for a in arrays))
        made = [xp.empty(shape, dtype) if y is None else y for y in into or [None] * len(self.outputs)]
        key = (dtype, xp is np)
        if key not in self.compiled:
            if dtype.name not in TANH:
                raise DTypeError(f"{self.title}: fused kernels exist for float32 and float64, got {dtype}: convert with .astype")
            self.compiled[key] = compile_source(self.name(), self.cpu_source(dtype.name)) if xp is np else self.gpu_kernel(xp)
        kernel = self.compiled[key]
        if xp is not np:
            kernel(*arrays, *made)
        elif made[0].size:
            whole = all(a.flags.c_contiguous and a.shape == shape for a in (*arrays, *made))  # then everything is one long row
            width = 1 if whole or not shape else shape[-1]
            rows = [as_rows(a, shape) for a in (*arrays, *made)]

            def work(first, last):
                if whole:
                    kernel.loop(0, 1, last - first, *(part for flat, _, _ in rows for part in (flat[first:last], 0, 0)))
                else:
                    kernel.loop(first, last, width, *itertools.chain(*rows))

            share(work, made[0].size // width, COST * len(self.lines) * made[0].size)
        return made

    def name(self):
        return re.sub(r"\W", "_", self.title)

    def cpu_source(self, dtype):
        """The loop as numba source; print it to see what runs."""
        made = [f"y{i}" for i in range(len(self.outputs))]
        slices = [f"{x}_row = {x}_array[{x}_start + row * {x}_stride:][:width]" for x in (*self.inputs, *made)]
        body = [f"{x} = {x}_row[column]" for x in self.inputs] + [f"{name} = {text}" for text, name in self.lines.items()]
        body += [f"{y}_row[column] = {value}" for y, value in zip(made, self.outputs)]
        helpers = HELPERS.strip().replace("def ", '@njit(inline="always", **FAST)\ndef ')
        return CPU.substitute(
            title=self.title, dtype=dtype, functions=TANH[dtype].strip() + "\n\n\n" + helpers + "\n",
            arguments=", ".join(f"{x}_array, {x}_start, {x}_stride" for x in (*self.inputs, *made)),
            slices="\n".join(" " * 8 + line for line in slices), body="\n".join(" " * 12 + line for line in body))

    def gpu_parts(self):
        """(inputs, outputs, body) of the loop as CuPy's ElementwiseKernel takes them; T stands for the dtype.

        CuPy counts its loop with a variable i and allows no parameter of that name: ours are x_in, and x lives in a block of its own.
        """
        made = [f"y{i}" for i in range(len(self.outputs))]
        body = [f"T {x} = {x}_in;" for x in self.inputs] + [f"T {name} = {text};" for text, name in self.lines.items()]
        body = ["{", *body, *(f"{y} = {value};" for y, value in zip(made, self.outputs)), "}"]
        return ", ".join(f"T {x}_in" for x in self.inputs), ", ".join(f"T {y}" for y in made), "\n".join(body)

    def gpu_kernel(self, xp):
        return xp.ElementwiseKernel(*self.gpu_parts(), self.name(), preamble=CUDA)


def as_rows(a, shape):
    """An array as (flat array, start, stride): its row n, along the last axis, begins at start + n * stride. Copies only if it must."""
    width = shape[-1] if shape else 1
    if a.shape == shape and a.flags.c_contiguous:
        return a.reshape(-1), 0, width
    if a.shape == shape and len(shape) > 1:
        base, size = a.base, a.itemsize
        rows_are_even = all(a.strides[k] == a.strides[k + 1] * shape[k + 1] for k in range(len(shape) - 2))
        if isinstance(base, np.ndarray) and base.dtype == a.dtype and base.flags.c_contiguous and a.strides[-1] == size and rows_are_even:
            start = (a.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // size
            return base.reshape(-1), start, a.strides[-2] // size  # a piece of a larger array, such as one gate of four
    return np.ascontiguousarray(np.broadcast_to(a, shape)).reshape(-1), 0, width


class Fused(Op):
    """What @fuse makes of a function: an op whose forward and backward are one kernel each."""

    def __init__(self, function):
        super().__init__(function, {})
        self.function, self.forward = function, self.launch
        self.rules = dict.fromkeys(self.inputs)  # all of them come out of one kernel, see pull_back
        self.asks = dict.fromkeys(self.inputs, tuple(self.inputs))
        self.loop_back = functools.cache(self.loop_back)  # one kernel for each set of cotangents that arrive

    def __call__(self, *inputs, **named):
        return super().__call__(*inputs, **named) if fusing.get() else self.function(*inputs, **named)

    def apply(self, *inputs):
        return self.function(*inputs) if any(isinstance(x, Symbol) for x in inputs) else self.forward(*inputs)

    @functools.cached_property
    def kernels(self):
        """The forward Loop and the backward one, which takes the inputs and then the outputs' cotangents dy0, dy1, ..."""
        inputs, outputs = trace(self.function)
        return Loop(self.name, list(self.inputs), outputs), self.loop_back(*range(len(outputs)))

    def loop_back(self, *arrived):
        """The backward Loop where cotangents `arrived` for these outputs only: nobody needs zeros for the others."""
        inputs, outputs = trace(self.function)
        cotangents = [Symbol(None, f"dy{i}") for i in arrived]
        title = " ".join([self.name, "backward", *(map(str, arrived) if len(arrived) < len(outputs) else ())])
        return Loop(title, [*self.inputs, *(d.args[0] for d in cotangents)],
                    gradients(inputs, [outputs[i] for i in arrived], cotangents))

    def launch(self, *arrays):
        made = self.kernels[0](*arrays)
        return tuple(made) if len(made) > 1 else made[0]

    def pull_back(self, dy, node):
        dy = {i: d for i, d in enumerate([dy] if node.outputs == 1 else dy) if d is not None}
        kernel, like = self.kernels[1] if len(dy) == node.outputs else self.loop_back(*dy), next(iter(dy.values()))
        rooms = [room_for(parent, like) if shape == like.shape else None for parent, shape in zip(node.parents, node.shapes)]
        return kernel(*(node.saved[name] for name in self.inputs), *dy.values(), into=rooms)


def fuse(function):
    """Make one kernel forward and one backward of a function of elementwise maths: `@fuse` above its definition.

    The arguments are tensors of shapes that broadcast, all of one float dtype; arithmetic, comparisons and the entries of the elementwise
    table may be used, plain numbers too, and several outputs may be returned as a tuple. Python's `if` on values cannot be traced: use
    `where`. Raises ConfigError for parameters that are not plain positions or have a name that the kernels use themselves.
    """
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.default is not parameter.empty:
            raise ConfigError(f"fuse: {function.__name__}({parameter}) must take plain positional parameters only")
        if RESERVED.fullmatch(parameter.name):
            raise ConfigError(f"fuse: {function.__name__} has a parameter {parameter}, a name that kernels use themselves: rename it")
    return Fused(function)
