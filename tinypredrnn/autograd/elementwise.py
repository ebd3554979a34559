"""Elementwise maths: one table of name, forward and derivative.

Forwards and rules are written with arithmetic and with other entries of this table only: what runs on arrays here runs on symbols
just as well. A rule works at the broadcast shape; the engine sums its result back to the input's shape. Multiplying with a condition
(`dy * (y > 0)`) rather than choosing between numbers keeps float32 what it is.
"""

from tinypredrnn.autograd.op import Op
from tinypredrnn.autograd.symbol import Symbol
from tinypredrnn.backend import array_module

TABLE = {}


class Entry(Op):
    """An op of the table: of arrays it makes an array, of symbols an expression."""

    def apply(self, *inputs, **options):
        if any(isinstance(x, Symbol) for x in inputs):
            return Symbol(self.name, *inputs) if not self.options else self.forward(*inputs, **options)
        return self.forward(*inputs, **options)


def elementwise(**rules):
    """Enter the decorated function into the table with these rules."""
    def enter(forward):
        TABLE[forward.__name__] = Entry(forward, rules)
        return TABLE[forward.__name__]
    return enter


# arithmetic

@elementwise(a=lambda dy: dy, b=lambda dy: dy)
def add(a, b):
    """a + b"""
    return a + b


@elementwise(a=lambda dy: dy, b=lambda dy: -dy)
def sub(a, b):
    """a - b"""
    return a - b


@elementwise(a=lambda dy, b: dy * b, b=lambda dy, a: dy * a)
def mul(a, b):
    """a * b"""
    return a * b


@elementwise(a=lambda dy, b: dy / b, b=lambda dy, b, y: -dy * y / b)
def div(a, b):
    """a / b"""
    return a / b


@elementwise(a=lambda dy: -dy)
def neg(a):
    """-a"""
    return -a


@elementwise(a=lambda dy, a, b: dy * b * a ** (b - 1 + (b == 0)),  # 0 and not 0 * infinity where a = 0 and b = 0
             b=lambda dy, a, b, y: dy * y * log(a + 0 * b))  # a plain number a takes the dtype of b
def power(a, b):
    """a ** b; the derivative by b needs a > 0."""
    return a ** b


# comparisons: they have no derivative, but rules are made of them

@elementwise()
def less(a, b):
    """a < b, an array of truth values"""
    return a < b


@elementwise()
def greater(a, b):
    """a > b, an array of truth values"""
    return a > b


@elementwise()
def less_equal(a, b):
    """a <= b, an array of truth values"""
    return a <= b


@elementwise()
def greater_equal(a, b):
    """a >= b, an array of truth values"""
    return a >= b


@elementwise()
def negate(condition):
    """True where the condition is false"""
    return condition == False  # noqa: E712 (an array of truth values)


@elementwise()
def sign(x):
    """-1, 0 or 1"""
    return array_module(x).sign(x)


@elementwise(a=lambda dy, condition: dy * condition, b=lambda dy, condition: dy * negate(condition))
def where(condition, a, b):
    """a where the condition holds, b elsewhere"""
    return array_module(condition, a, b).where(condition, a, b)


@elementwise(a=lambda dy, a, b: dy * (a >= b), b=lambda dy, a, b: dy * (a < b))
def maximum(a, b):
    """The larger one; where they are equal the gradient goes to a."""
    return array_module(a, b).maximum(a, b)


@elementwise(a=lambda dy, a, b: dy * (a <= b), b=lambda dy, a, b: dy * (a > b))
def minimum(a, b):
    """The smaller one; where they are equal the gradient goes to a."""
    return array_module(a, b).minimum(a, b)


@elementwise(x=lambda dy, x, low, high: dy * (x >= low) * (x <= high))
def clip(x, low, high):
    """x, but at least `low` and at most `high`; the gradient passes where x lies between them."""
    return minimum(maximum(x, low), high)


# functions

@elementwise(x=lambda dy, y: dy * y)
def exp(x):
    """e to the power of x"""
    return array_module(x).exp(x)


@elementwise(x=lambda dy, x: dy / x)
def log(x):
    """The natural logarithm"""
    return array_module(x).log(x)


@elementwise(x=lambda dy, x: dy / (1 + x))
def log1p(x):
    """log(1 + x), exact also where x is tiny"""
    return array_module(x).log1p(x)


@elementwise(x=lambda dy, y: dy * 0.5 / y)
def sqrt(x):
    """The square root; its derivative is infinite at 0"""
    return array_module(x).sqrt(x)


@elementwise(x=lambda dy, x: dy * 2 * x)
def square(x):
    """x * x"""
    return x * x


@elementwise(x=lambda dy, x: dy * sign(x))
def absolute(x):
    """|x|, with derivative 0 at 0"""
    return abs(x)


@elementwise(x=lambda dy, y: dy * (1 - y * y))
def tanh(x):
    """The hyperbolic tangent, from -1 to 1"""
    return array_module(x).tanh(x)


@elementwise(x=lambda dy, y: dy * y * (1 - y))
def sigmoid(x):
    """1 / (1 + exp(-x)), written with tanh because that overflows nowhere"""
    return 0.5 * tanh(0.5 * x) + 0.5


@elementwise(x=lambda dy, y: dy * 0.2 * (y > 0) * (y < 1))
def hard_sigmoid(x):
    """0.2 x + 0.5 clipped to [0, 1]: Keras' cheap sigmoid, which PredNet's gates use"""
    return clip(0.2 * x + 0.5, 0, 1)


@elementwise(x=lambda dy, y: dy * (y > 0))
def relu(x):
    """max(x, 0), with derivative 0 at 0"""
    return maximum(x, 0)


@elementwise(x=lambda dy, x, slope: where(x > 0, dy, dy * slope))
def leaky_relu(x, *, slope=0.01):
    """x where it is positive, slope * x elsewhere"""
    return where(x > 0, x, x * slope)


@elementwise(x=lambda dy, x: dy * sigmoid(x))
def softplus(x):
    """log(1 + exp(x)), without overflow"""
    return maximum(x, 0) + log1p(exp(-abs(x)))


# cross-entropy of a target in [0, 1], read as a probability, against a prediction

@elementwise(logit=lambda dy, logit, target: dy * (sigmoid(logit) - target), target=lambda dy, logit: -dy * logit)
def bce_with_logits(logit, target):
    """-target log(p) - (1 - target) log(1 - p) with p = sigmoid(logit), finite for every logit"""
    return softplus(logit) - logit * target


def bce(p, target):
    """-target log(p) - (1 - target) log(1 - p) with p clipped to [1e-6, 1 - 1e-6], so that a wrong certainty costs 13.8, not infinity"""
    p = clip(p, 1e-6, 1 - 1e-6)
    return -(target * log(p) + (1 - target) * log(1 - p))
