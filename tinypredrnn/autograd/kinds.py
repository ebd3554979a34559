"""Which values an option of an op may have. An op declares it by an annotation:

    def sum(x, *, axis: AXES = None, keepdims: FLAG = False)

A caller may write np.int64(1) or [0, 1]; the op and its rules get 1 and (0, 1), and never anything that can be changed
afterwards: an array in an index is copied, so that backward uses the index that forward used. Anything else is refused.
"""

import operator
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinypredrnn.autograd.numpy_functions import values_in
from tinypredrnn.autograd.tensor import Tensor
from tinypredrnn.errors import ConfigError

LARGEST = np.iinfo(np.intp).max  # the largest length that an array can have


class Kind(NamedTuple):
    """The options of one kind: `words` that say what is expected, and `form`, which turns what came into what ops take.
    It raises TypeError, ValueError or OverflowError for anything else."""

    words: str
    form: Callable

    def __call__(self, value, op, option):
        """The value in its form. ConfigError, which names the op and its option, if it has none."""
        try:
            return self.form(value)
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(f"{op}: {option} must be {self.words}, got {brief(value)}") from None

    def __repr__(self):  # for help()
        return self.words


def brief(value):
    """A value on one line, shortened if it is long."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python does not write integers of more than 4300 digits
        return f"{type(value).__name__} with an integer of more digits than Python writes"
    return text if len(text) <= 100 else f"{text[:80]}..."


def whole(value):
    if abs(value := operator.index(value)) > LARGEST:
        raise OverflowError
    return value


def whole_from(least):
    def form(value):
        if (number := whole(value)) < least:
            raise ValueError
        return number

    return form


def are_several(value):
    return isinstance(value, (tuple, list, range)) or getattr(value, "ndim", 0) > 0


def several(form):
    """One value or several; several become a tuple."""
    return lambda value: tuple(map(form, value)) if are_several(value) else form(value)


def pair(form):
    """Two values; a single one is used for both."""
    def form_both(value):
        first, second = value if are_several(value) else (value, value)
        return form(first), form(second)

    return form_both


def number(value):
    """A number as Python's float, which does not change the dtype of arrays."""
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError
    return float(value)


def number_from_0(value):
    if not number(value) >= 0:
        raise ValueError
    return number(value)


def flag(value):
    if not isinstance(value, (int, np.integer, np.bool_)):
        raise TypeError
    return bool(value)


def index(value):
    """An index with arrays in place of tensors and lists; arrays are copied, so that the caller cannot change them."""
    if isinstance(value, tuple):
        return tuple(map(index, value))
    if isinstance(value, slice):
        return slice(*(end if end is None else whole(end) for end in (value.start, value.stop, value.step)))
    if isinstance(value, list):
        return np.array(values_in(value)) if value else np.array([], int)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Tensor):
        value = value.data
    return value.copy() if hasattr(value, "dtype") else value


WHOLE = Kind("a whole number", whole)
COUNT = Kind("a whole number from 1", whole_from(1))
AXES = Kind("a whole number, a tuple of them or None", lambda value: None if value is None else several(whole)(value))
SHAPE = Kind("whole numbers", lambda value: tuple(map(whole, value if are_several(value) else (value,))))
SIDES = Kind("a whole number from 1, or a pair of them (height, width)", pair(whole_from(1)))
SIZE = Kind("a pair of whole numbers (height, width), or None",
            lambda value: None if value is None else pair(whole)(value))
WIDTHS = Kind("a pair (before, after) for each axis", lambda value: tuple(tuple(map(whole, (a, b))) for a, b in value))
PADDING = Kind('"same", "valid" or a number of pixels',
               lambda value: value if isinstance(value, str) and value in ("same", "valid") else whole_from(0)(value))
NUMBER = Kind("a number", number)
NUMBER_FROM_0 = Kind("a number from 0", number_from_0)
FLAG = Kind("True or False", flag)
INDEX = Kind("an index as NumPy takes it", index)
