"""The fuser: gate maths, written once in plain Python, becomes one kernel forward and one backward.

    @fuse
    def remember(i, f, g, memory):
        return sigmoid(f) * memory + sigmoid(i) * tanh(g)

Op by op, this moves 27 arrays through memory although 5 would do, and more backward (lesson 18 counts them): memory
traffic is most of the cost. So the function is called once with symbols, which write it down as an expression. Reverse
mode over that expression, with the same rules of the elementwise table, writes down its gradient. Equal subexpressions
become one line, and the lines become a loop: numba on the CPU, a CUDA kernel through CuPy on the GPU. Only the inputs
are saved. Nobody derives a gate by hand.
"""

import contextlib
import functools
import inspect
import itertools
import math
import re
from contextvars import ContextVar

import numpy as np

from tinypredrnn.autograd.elementwise import TABLE
from tinypredrnn.autograd.emit import CPU, CPU_HELPERS, CUDA, TANH
from tinypredrnn.autograd.op import NEW, Op, plain
from tinypredrnn.autograd.symbol import Symbol
from tinypredrnn.autograd.tensor import Tensor
from tinypredrnn.backend import array_module
from tinypredrnn.compiled import compile_source
from tinypredrnn.errors import ConfigError, DTypeError
from tinypredrnn.threads import share

fusing = ContextVar("fusing", default=True)


@contextlib.contextmanager
def unfused():
    """Within `with unfused():` fused functions run op by op, and softmax and normalise array by array: slower, and the
    reference that the kernels are tested against."""
    token = fusing.set(False)
    try:
        yield
    finally:
        fusing.reset(token)


# from a function to expressions

def trace(function):
    """(input symbols, output expressions) of a function of elementwise maths.

    Kernels call a parameter x in_x, and no name of their own starts with in_: so no parameter can clash with one of
    those.
    """
    name = function.__name__
    inputs = [Symbol(None, f"in_{x}" if x.isascii() else f"in_{k}")
              for k, x in enumerate(inspect.signature(function).parameters)]
    try:
        result = function(*inputs)
    except (AttributeError, TypeError, RecursionError) as error:
        # for example from x.sum() or np.exp(x), which symbols do not support
        raise ConfigError(f"fuse: {name} cannot be traced ({error}): use only arithmetic, comparisons and the "
                          "functions of the elementwise table") from error
    outputs = list(result) if isinstance(result, tuple) else [result]
    if not outputs or not all(isinstance(y, (Symbol, bool, int, float, np.integer, np.floating, np.bool_))
                              for y in outputs):
        raise ConfigError(f"fuse: {name} returns {', '.join(type(y).__name__ for y in outputs) or 'nothing'}: expected "
                          "a value that is computed from its inputs, or a tuple of them")
    return inputs, outputs


def in_order(outputs, parts=lambda symbol: symbol.args):
    """All symbols below the outputs, each after its `parts`."""
    order, seen, stack = [], set(), [(output, False) for output in reversed(outputs)]
    while stack:
        symbol, parts_are_done = stack.pop()
        if parts_are_done:
            order.append(symbol)
        elif isinstance(symbol, Symbol) and id(symbol) not in seen:
            seen.add(id(symbol))
            stack += [(symbol, True), *((part, False) for part in reversed(parts(symbol)))]
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

def lines_of(outputs):
    """The outputs computed line by line: ({text: name}, the outputs' names). Equal texts become one line; each is
    Python and C alike."""
    names, lines = {}, {}  # id of a symbol -> name; text -> name
    expansions = {}  # id of a symbol whose entry is made of other entries -> the expression that it stands for

    def parts(symbol):
        if symbol.op is None or TABLE[symbol.op].kernel:
            return symbol.args
        return [expansions.setdefault(id(symbol), TABLE[symbol.op].forward(*symbol.args))]

    def name(value):
        if isinstance(value, Symbol):
            return names[id(value)]
        value = float(value)
        if math.isfinite(value):
            return f"T({value!r})"
        return "not_a_number" if math.isnan(value) else f"T({'-' * (value < 0)}infinity)"

    for symbol in in_order(outputs, parts):
        if symbol.op is None:
            names[id(symbol)] = symbol.args[0]
        elif id(symbol) in expansions:
            names[id(symbol)] = name(expansions[id(symbol)])
        else:
            entry = TABLE[symbol.op]
            text = entry.kernel.format(**dict(zip(entry.inputs, map(name, symbol.args))))
            names[id(symbol)] = lines.setdefault(text, f"v{len(lines)}")
    return lines, [name(output) for output in outputs]


# from lines to kernels

COST = 16  # of one line for one element, in multiplications of a matrix product; it decides how many threads to use


class Loop:
    """A kernel: computes y0, y1, ..., one for each expression in `outputs`, element by element from inputs of these
    names."""

    def __init__(self, title, inputs, outputs):
        self.title, self.inputs, self.made = title, inputs, [f"y{k}" for k in range(len(outputs))]
        self.lines, self.outputs = lines_of(outputs)
        self.compiled = {}

    def __call__(self, *arrays, into=()):
        """One array for each output, of the inputs' broadcast shape: those given in `into`, which may be inputs as
        well, or new ones."""
        xp = array_module(*arrays)
        dtype = next((a.dtype for a in arrays if hasattr(a, "dtype") and a.dtype.kind == "f"), np.dtype(float))
        dtype = dtype if dtype.isnative else dtype.newbyteorder("=")
        if dtype.char not in "fd":
            raise DTypeError(f"{self.title}: fused kernels exist for float32 and float64, got {dtype}: convert with "
                             ".astype")
        # masks and plain numbers become floats
        arrays = [a if getattr(a, "dtype", None) is dtype else
                  a.astype(dtype, copy=False) if hasattr(a, "dtype") else xp.asarray(float(a), dtype) for a in arrays]
        shapes = {a.shape for a in arrays}
        shape = arrays[0].shape if len(shapes) == 1 else np.broadcast_shapes(*shapes)
        made = [xp.empty(shape, dtype) if y is None else y for y in into or [None] * len(self.made)]
        if xp is not np:
            self.gpu_kernel(xp)(*arrays, *made)
        elif made[0].size:
            self.run(arrays, made, shape)
        return made

    def run(self, arrays, made, shape):
        """Run the numba kernel on arrays in memory, with the rows shared among the threads. Numbers are passed as they
        are."""
        numbers = tuple(a.ndim == 0 for a in arrays) if shape else (False,) * len(arrays)
        loop, width = self.cpu_kernel(made[0].dtype, numbers), shape[-1] if shape else 1
        given = [(a[()],) if number else as_rows(a, shape)
                 for a, number in zip(arrays, numbers)] + [as_rows(y, shape) for y in made]
        whole = all(len(a) == 1 or a[1:] == (0, width) for a in given)  # then everything is one long row

        def work(first, last):
            if whole:
                loop(0, 1, last - first, *itertools.chain(*[a if len(a) == 1 else (a[0], first, 0) for a in given]))
            else:
                loop(first, last, width, *itertools.chain(*given))

        size = made[0].size
        share(work, size if whole else size // width, COST * len(self.lines) * size)
        for y, (flat, _, _) in zip(made, given[len(arrays):]):
            if not y.flags.c_contiguous and not np.may_share_memory(flat, y):  # as_rows had to copy it
                y[...] = flat.reshape(shape)

    def name(self):
        """A name for files and kernels, short enough for every system."""
        return re.sub(r"\W", "_", self.title)[:60]

    def cpu_source(self, dtype, numbers=()):
        """The loop as numba source; `numbers` says for each input whether it is a plain number. Print it to see what
        runs."""
        number = dict(zip(self.inputs, numbers))
        arrays = [x for x in (*self.inputs, *self.made) if not number.get(x)]
        arguments = [f"number_{x}" if number.get(x) else f"array_{x}, start_{x}, stride_{x}"
                     for x in (*self.inputs, *self.made)]
        slices = [f"row_{x} = array_{x}[start_{x} + row * stride_{x}:][:width]" for x in arrays]
        body = [f"{x} = T(number_{x})" if number.get(x) else f"{x} = row_{x}[column]" for x in self.inputs]
        body += [f"{name} = {text}" for text, name in self.lines.items()]
        body += [f"row_{y}[column] = {value}" for y, value in zip(self.made, self.outputs)]
        return CPU.substitute(
            title=self.title, dtype=dtype, functions=TANH[dtype].strip() + "\n\n\n" + CPU_HELPERS,
            arguments=", ".join(arguments),
            slices="\n".join(" " * 8 + line for line in slices), body="\n".join(" " * 12 + line for line in body))

    def gpu_parts(self):
        """(inputs, outputs, body) of the loop as CuPy's ElementwiseKernel takes them; T stands for the dtype."""
        body = [*(f"T {name} = {text};" for text, name in self.lines.items()),
                *(f"{y} = {v};" for y, v in zip(self.made, self.outputs))]
        return ", ".join(f"T {x}" for x in self.inputs), ", ".join(f"T {y}" for y in self.made), "\n".join(body)

    def cpu_kernel(self, dtype, numbers):
        """The numba function, compiled when it is first needed."""
        key = dtype.char, numbers
        if key not in self.compiled:
            self.compiled[key] = compile_source(self.name(), self.cpu_source(dtype.name, numbers)).loop
        return self.compiled[key]

    def gpu_kernel(self, xp):
        """CuPy's kernel, which CuPy compiles for each dtype."""
        if "gpu" not in self.compiled:
            name = f"fused_{self.name()}"  # C has functions called log1p, y0 or div already
            self.compiled["gpu"] = xp.ElementwiseKernel(*self.gpu_parts(), name, preamble=CUDA)
        return self.compiled["gpu"]


def as_rows(a, shape):
    """An array as (flat array, start, stride): row n, along the last axis, begins at start + n * stride. Copied only if
    there is no other way."""
    width = shape[-1] if shape else 1
    if a.shape == shape and a.flags.c_contiguous:
        return a.reshape(-1), 0, width
    if a.shape == shape and (stride := row_stride(shape, a.strides, a.itemsize)):
        base = a.base
        if isinstance(base, np.ndarray) and base.dtype == a.dtype and base.flags.c_contiguous:
            start = a.__array_interface__["data"][0] - base.__array_interface__["data"][0]
            return base.reshape(-1), start // a.itemsize, stride  # a piece of a larger array, such as one gate of four
    return np.ascontiguousarray(np.broadcast_to(a, shape)).reshape(-1), 0, width


@functools.lru_cache(1000)
def row_stride(shape, strides, itemsize):
    """How many elements the rows of an array are apart; None if that differs, or if a row is not in one piece."""
    even = all(strides[k] == strides[k + 1] * shape[k + 1] for k in range(len(shape) - 2))
    return strides[-2] // itemsize if len(shape) > 1 and even and strides[-1] == itemsize else None


def as_floats(values):
    """Masks and integers with the float dtype that the others have, as a kernel takes them."""
    dtype = next((x.dtype for x in values if hasattr(x, "dtype") and x.dtype.kind == "f"), np.dtype(float))

    def cast(x):
        if getattr(getattr(x, "dtype", dtype), "kind", "f") == "f":
            return x
        return Tensor(x.data.astype(dtype)) if isinstance(x, Tensor) else x.astype(dtype)

    return [cast(x) for x in values]


class Fused(Op):
    """What @fuse makes of a function: an op whose forward and backward are one kernel each."""

    def __init__(self, function):
        super().__init__(function, {}, (NEW,))
        self.function, self.forward = function, self.launch
        self.rules = dict.fromkeys(self.inputs)  # all of them come out of one kernel, see pull_back
        self.asks = dict.fromkeys(self.inputs, tuple(self.inputs))
        self.loop_back = functools.cache(self.loop_back)  # one kernel for each set of cotangents that arrive

    def __call__(self, *inputs, **named):
        if fusing.get():
            return super().__call__(*inputs, **named)
        inputs, _ = self.arguments(inputs, named)
        return self.function(*as_floats(inputs))

    def apply(self, *inputs):
        if any(isinstance(x, Symbol) for x in inputs):  # within another fused function
            return self.function(*inputs)
        arrays = [plain(x) for x in inputs]
        self.check(arrays)
        return self.compute(arrays, {})

    @functools.cached_property
    def traced(self):
        """What `trace` returns; it is called only once, so that all kernels get the same values of outside numbers."""
        return trace(self.function)

    @functools.cached_property
    def kernels(self):
        """The forward Loop and the backward one, which takes the inputs and then the outputs' cotangents dy0, dy1,
        ..."""
        inputs, outputs = self.traced
        return Loop(self.name, [x.args[0] for x in inputs], outputs), self.loop_back(*range(len(outputs)))

    def loop_back(self, *arrived):
        """The backward Loop if cotangents `arrived` for these outputs only, so that no zeros need be made for the
        others."""
        inputs, outputs = self.traced
        cotangents = [Symbol(None, f"dy{i}") for i in arrived]
        title = " ".join([self.name, "backward", *(map(str, arrived) if len(arrived) < len(outputs) else ())])
        return Loop(title, [x.args[0] for x in (*inputs, *cotangents)],
                    gradients(inputs, [outputs[i] for i in arrived], cotangents))

    def launch(self, *arrays):
        made = self.kernels[0](*arrays)
        return tuple(made) if len(made) > 1 else made[0]

    def pull_back(self, dy, node, into):
        dy = {i: d for i, d in enumerate([dy] if node.outputs == 1 else dy) if d is not None}
        kernel, like = self.kernels[1] if len(dy) == node.outputs else self.loop_back(*dy), next(iter(dy.values()))
        places = [accumulator.destination(array_module(like)) if accumulator and shape == like.shape else None
                  for accumulator, shape in zip(into, node.shapes)]
        return kernel(*(node.value(name) for name in self.inputs), *dy.values(), into=places)


def fuse(function):
    """Make one kernel forward and one backward of a function of elementwise maths: `@fuse` above its definition.

    The arguments are tensors of shapes that broadcast, all of one float dtype, masks and plain numbers; arithmetic,
    comparisons and the entries of the elementwise table may be used, and several outputs may be returned as a tuple,
    each of the broadcast shape of all inputs. The function is called once, with symbols. So Python's `if` on values
    cannot be traced: use `where`. A plain number from outside keeps the value that it has at that moment. An array or
    tensor from outside is refused, since it would be frozen: make it an input.

    Raises ConfigError for anything that cannot be traced, and for parameters that are not plain positional ones.
    """
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise ConfigError(f"fuse: expected a function, got {function!r}: call it within one that is defined with def "
                          "or lambda")
    parameters = inspect.signature(function).parameters.values()
    if not parameters:
        raise ConfigError(f"fuse: {function.__name__} has no parameters: expected at least one, a tensor")
    for parameter in parameters:
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.default is not parameter.empty:
            raise ConfigError(f"fuse: {function.__name__}({parameter}) must take plain positional parameters only")
    return Fused(function)
