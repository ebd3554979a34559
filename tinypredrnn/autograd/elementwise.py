"""Elementwise maths: one table of name, forward and derivative.

Forwards and rules use only arithmetic and other entries of this table, so that they run on arrays and on symbols alike.
A rule works at the broadcast shape; the engine sums its result back to the input's shape.
"""

import numpy as np

from tinypredrnn.autograd.kinds import NUMBER
from tinypredrnn.autograd.op import NEW, Op
from tinypredrnn.autograd.symbol import Symbol
from tinypredrnn.autograd.tensor import Tensor
from tinypredrnn.backend import array_module
from tinypredrnn.errors import ConfigError

TABLE = {}
COMPARISONS = "less", "greater", "less_equal", "greater_equal", "equal", "not_equal"


class Entry(Op):
    """An op of the table: applied to arrays it makes an array, applied to symbols an expression.

    kernel   the text that computes it in a fused kernel, such as "{a} + {b}", valid in Python and in C alike (fuse.py,
             emit.py); None if its function is made of other entries
    """

    def __init__(self, forward, rules, promises, kernel):
        super().__init__(forward, rules, promises)
        self.kernel = kernel

    def apply(self, *inputs, **options):
        if not any(isinstance(x, Symbol) for x in inputs):
            return super().apply(*inputs, **options)
        known = Symbol, bool, int, float, np.integer, np.floating, np.bool_
        if outside := [type(x).__name__ for x in inputs if not isinstance(x, known)]:
            raise ConfigError(f"fuse: {self.name} got a value from outside the fused function ({', '.join(outside)}), "
                              "which would be frozen: pass it to the function as an input")
        if self.options:
            return self.forward(*inputs, **options)
        symbols = [x for x in inputs if isinstance(x, Symbol)]
        truths, compares = all(x.truth for x in symbols), self.name in COMPARISONS
        if truths and not (compares or self.name == "where" or self.name == "mul" and len(symbols) == 2):
            raise ConfigError(f"fuse: {self.name} of nothing but truth values, such as x > 0: NumPy does not compute "
                              "with them as with 0 and 1; use where(condition, a, b)")
        return Symbol(self.name, *inputs, truth=compares or truths and self.name == "mul")


def elementwise(kernel=None, promises=(NEW,), **rules):
    """Enter the decorated function into the table, with these rules and the text of its kernel."""
    def enter(forward):
        TABLE[forward.__name__] = Entry(forward, rules, promises, kernel)
        return TABLE[forward.__name__]
    return enter


# arithmetic

@elementwise("{a} + {b}", promises=(), a=lambda dy: dy, b=lambda dy: dy)  # not NEW, since dy itself is returned
def add(a, b):
    """a + b"""
    return a + b


@elementwise("{a} - {b}", promises=(), a=lambda dy: dy, b=lambda dy: -dy)
def sub(a, b):
    """a - b"""
    return a - b


@elementwise("{a} * {b}", a=lambda dy, b: dy * b, b=lambda dy, a: dy * a)
def mul(a, b):
    """a * b"""
    return a * b


@elementwise("{a} / {b}", a=lambda dy, b: dy / b, b=lambda dy, b, y: -dy * y / b)
def div(a, b):
    """a / b"""
    return a / b


@elementwise("-{a}", a=lambda dy: -dy)
def neg(a):
    """-a"""
    return -a


@elementwise("power({a}, {b})",
             a=lambda dy, a, b: dy * b * a ** (b - 1 + (b == 0)),  # 0 and not 0 * infinity if a = 0 and b = 0
             b=lambda dy, a, b, y: exponent_rule(dy, a, b, y))
def power(a, b):
    """a ** b; its derivative with respect to b is NaN if a < 0, and 0 if a = 0 and b >= 0."""
    # arrays by the ufunc: for one without axes, `**` of some versions of NumPy gives another dtype
    return np.power(a, b) if isinstance(b, np.ndarray) else a ** b


def exponent_rule(dy, a, b, y):
    a = where(b == b, a, b)  # a plain number takes the dtype of b
    still = (a == 0) * (b >= 0)
    return where(still, 0, dy * y * log(where(still, 1, a)))


# comparisons: they have no derivative, but the rules of other entries use them

@elementwise("T({a} < {b})")
def less(a, b):
    """a < b, an array of truth values"""
    return a < b


@elementwise("T({a} > {b})")
def greater(a, b):
    """a > b, an array of truth values"""
    return a > b


@elementwise("T({a} <= {b})")
def less_equal(a, b):
    """a <= b, an array of truth values"""
    return a <= b


@elementwise("T({a} >= {b})")
def greater_equal(a, b):
    """a >= b, an array of truth values"""
    return a >= b


@elementwise("T({a} == {b})")
def equal(a, b):
    """a == b, an array of truth values"""
    return a == b


@elementwise("T({a} != {b})")
def not_equal(a, b):
    """a != b, an array of truth values"""
    return a != b


@elementwise("sign({x})")
def sign(x):
    """-1, 0 or 1; NaN stays NaN"""
    return array_module(x).sign(x)


# choices: the cotangent goes to the input that the value came from, and the other gets 0, even if the cotangent is
# infinite (0 * infinity would be NaN)

@elementwise("where({condition}, {a}, {b})",
             a=lambda dy, condition: where(condition, dy, 0), b=lambda dy, condition: where(condition, 0, dy))
def where(condition, a, b):
    """a if the condition is true, that is other than 0; otherwise b"""
    return array_module(condition, a, b).where(condition != 0, a, b)


@elementwise("maximum({a}, {b})", a=lambda dy, a, b: where(a >= b, dy, 0), b=lambda dy, a, b: where(a < b, dy, 0))
def maximum(a, b):
    """The larger one; if they are equal the gradient goes to a. NaN if either is."""
    return array_module(a, b).maximum(a, b)


@elementwise("minimum({a}, {b})", a=lambda dy, a, b: where(a <= b, dy, 0), b=lambda dy, a, b: where(a > b, dy, 0))
def minimum(a, b):
    """The smaller one; if they are equal the gradient goes to a. NaN if either is."""
    return array_module(a, b).minimum(a, b)


@elementwise(x=lambda dy, x, low, high: where((x >= low) * (x <= high), dy, 0))
def clip(x, low, high):
    """x, but at least `low` and at most `high`; the gradient passes if x lies between them."""
    return minimum(maximum(x, low), high)


# functions

@elementwise("exp({x})", x=lambda dy, y: dy * y)
def exp(x):
    """e to the power of x"""
    return array_module(x).exp(x)


@elementwise("log({x})", x=lambda dy, x: dy / x)
def log(x):
    """The natural logarithm"""
    return array_module(x).log(x)


@elementwise("log1p({x})", x=lambda dy, x: dy / (1 + x))
def log1p(x):
    """log(1 + x), accurate even if x is tiny"""
    return array_module(x).log1p(x)


@elementwise("sqrt({x})", x=lambda dy, y: dy * 0.5 / y)
def sqrt(x):
    """The square root; its derivative is infinite at 0"""
    return array_module(x).sqrt(x)


@elementwise(x=lambda dy, x: dy * 2 * x)
def square(x):
    """x * x"""
    return x * x


@elementwise("fabs({x})", x=lambda dy, x: dy * sign(x))
def absolute(x):
    """|x|, with derivative 0 at 0"""
    return abs(x)


@elementwise("tanh({x})", x=lambda dy, y: dy * (1 - y * y))
def tanh(x):
    """The hyperbolic tangent, from -1 to 1"""
    return array_module(x).tanh(x)


@elementwise("sigmoid({x})", x=lambda dy, y: dy * y * (1 - y))
def sigmoid(x):
    """1 / (1 + exp(-x)), written with tanh because that never overflows. Its rounding error is small relative to 1, not
    relative to values near 0: use logsigmoid(x) instead of log(sigmoid(x))."""
    return 0.5 * tanh(0.5 * x) + 0.5


@elementwise(x=lambda dy, y: where((y > 0) * (y < 1), 0.2 * dy, 0))
def hard_sigmoid(x):
    """0.2 x + 0.5 clipped to [0, 1]: Keras' cheap sigmoid, which PredNet's gates use"""
    return clip(0.2 * x + 0.5, 0, 1)


@elementwise(x=lambda dy, y: where(y > 0, dy, 0))
def relu(x):
    """max(x, 0), with derivative 0 at 0"""
    return maximum(x, 0)


@elementwise(x=lambda dy, x, slope: where(x > 0, dy, dy * slope))
def leaky_relu(x, *, slope: NUMBER = 0.01):
    """x if it is positive, otherwise slope * x"""
    return where(x > 0, x, x * slope)


# in their rules sigmoid(x) is exp(-softplus(-x)), which is exact also near 0

@elementwise(x=lambda dy, x: dy * exp(-softplus(-x)))
def softplus(x):
    """log(1 + exp(x)), without overflow"""
    return maximum(x, 0) + log1p(exp(-abs(x)))


@elementwise(x=lambda dy, x: dy * exp(-softplus(x)))
def logsigmoid(x):
    """log(sigmoid(x)), accurate even if sigmoid(x) is tiny"""
    return -softplus(-x)


# cross-entropy of a target in [0, 1], read as a probability, against a prediction

@elementwise(logit=lambda dy, logit, target: dy * (exp(-softplus(-logit)) - target),
             target=lambda dy, logit: -dy * logit)
def bce_with_logits(logit, target):
    """-target log(p) - (1 - target) log(1 - p) with p = sigmoid(logit), finite for every logit"""
    return softplus(logit) - logit * target


def bce(p, target):
    """-target log(p) - (1 - target) log(1 - p) with p clipped to [1e-6, 1 - 1e-6], so that a wrong certainty costs
    13.8, not infinity"""
    p = clip(p, 1e-6, 1 - 1e-6)
    return -(target * log(p) + sub(1, target) * log(1 - p))


# The operators of tensors and symbols: one table for both

OPERATORS = {
    "add": add, "sub": sub, "mul": mul, "truediv": div, "neg": neg, "abs": absolute,
    "pow": lambda a, b: sqrt(a) if isinstance(b, float) and b == 0.5 else power(a, b),  # as NumPy's operator
    "lt": less, "gt": greater, "le": less_equal, "ge": greater_equal,
    # if the result is NotImplemented, Python compares identities
    "eq": lambda a, b: NotImplemented if b is None or isinstance(b, str) else equal(a, b),
    "ne": lambda a, b: NotImplemented if b is None or isinstance(b, str) else not_equal(a, b),
}
for kind in (Tensor, Symbol):
    for name, entry in OPERATORS.items():
        setattr(kind, f"__{name}__", entry)
        if name in ("add", "sub", "mul", "truediv", "pow"):
            setattr(kind, f"__r{name}__", lambda b, a, entry=entry: entry(a, b))

__all__ = [*TABLE, "bce"]
