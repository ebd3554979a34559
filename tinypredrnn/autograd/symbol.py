"""Symbol: a value that is not known yet. Gate maths called with symbols instead of arrays writes itself down as an expression."""

from tinypredrnn.errors import ConfigError


class Symbol:
    """An entry of the elementwise table applied to symbols and numbers; or, where `op` is None, an input called `args[0]`."""

    __slots__ = ("op", "args")
    __array_ufunc__ = None

    def __init__(self, op, *args):
        self.op, self.args = op, args

    def __add__(self, other):
        return Symbol("add", self, other)

    def __radd__(self, other):
        return Symbol("add", other, self)

    def __sub__(self, other):
        return Symbol("sub", self, other)

    def __rsub__(self, other):
        return Symbol("sub", other, self)

    def __mul__(self, other):
        return Symbol("mul", self, other)

    def __rmul__(self, other):
        return Symbol("mul", other, self)

    def __truediv__(self, other):
        return Symbol("div", self, other)

    def __rtruediv__(self, other):
        return Symbol("div", other, self)

    def __pow__(self, other):
        return Symbol("power", self, other)

    def __neg__(self):
        return Symbol("neg", self)

    def __abs__(self):
        return Symbol("absolute", self)

    def __lt__(self, other):
        return Symbol("less", self, other)

    def __gt__(self, other):
        return Symbol("greater", self, other)

    def __le__(self, other):
        return Symbol("less_equal", self, other)

    def __ge__(self, other):
        return Symbol("greater_equal", self, other)

    def __bool__(self):
        raise ConfigError("fuse: a value is not known yet while gate maths is traced, and cannot be asked whether it is true: "
                          "choose with where(condition, a, b) instead of `if`, `and`, `or`, min() or max()")
