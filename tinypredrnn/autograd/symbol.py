"""Symbol: an unknown value. Gate maths that is called with symbols instead of arrays produces an expression."""

from tinypredrnn.errors import ConfigError


class Symbol:
    """An entry of the elementwise table applied to symbols and numbers; or, if `op` is None, an input called `args[0]`.

    Its operators are those of Tensor: elementwise.py attaches the same table to both.
    """

    __slots__ = ("op", "args", "truth")
    __array_ufunc__ = None  # so that NumPy leaves `array * symbol` to Symbol.__rmul__, which refuses the array

    def __init__(self, op, *args, truth=False):
        self.op, self.args, self.truth = op, args, truth

    def refuse(self, *_):
        raise ConfigError("fuse: a value is not known yet while gate maths is traced: choose with where(condition, a, "
                          "b) instead of `if`, `and`, `or`, min() or max(), and use the functions of tinypredrnn "
                          "instead of Python's and NumPy's")

    __bool__ = __float__ = __int__ = __index__ = __iter__ = __len__ = __getitem__ = __contains__ = __array__ = refuse
