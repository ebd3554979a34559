"""check: compare the answer of an exercise with the expected one, and say in words where they differ."""

import numpy as np

from tinypredrnn.course.progress import caller, remember


def check(exercise, answer, expected, rtol=1e-6, atol=1e-9):
    """Print one line: whether `answer()` is `expected` (a number, an array, or a list or dict of them), or the first
    place where it is not.

    answer   a function without arguments, so that what it raises can be reported as well
    """
    try:
        complaint = compare(answer(), expected, rtol, atol)
    except Exception as error:  # a reader's unfinished code raises whatever it can; the lesson goes on
        complaint = "nothing came back yet" if "NoneType" in str(error) else f"{type(error).__name__}: {error}"
    print(f"exercise {exercise}: {'OK' if complaint is None else 'not yet: ' + complaint}")
    remember(caller(), exercise, complaint is None)


def compare(answer, expected, rtol, atol, where=""):
    """None if `answer` is `expected`, otherwise what is wrong, in words."""
    place = where and f"at {where}: "
    if expected is not None and (answer is None or answer is ...):
        return place + "nothing came back yet"
    if isinstance(expected, (list, tuple, dict)):
        if type(answer) is not type(expected) or len(answer) != len(expected):
            kind = f"a {type(expected).__name__} of {len(expected)}"
            return f"{where or 'the answer'} should be {kind}, got {shorten(answer)}"
        keys = expected if isinstance(expected, dict) else range(len(expected))
        complaints = (compare(answer[key], expected[key], rtol, atol, f"{where}[{key!r}]") for key in keys)
        return next((complaint for complaint in complaints if complaint), None)
    if isinstance(expected, (str, bool)) or expected is None:
        return None if np.array_equal(answer, expected) else f"{place}{shorten(answer)} instead of {shorten(expected)}"
    answer, expected = values(answer), values(expected)
    if answer.shape != expected.shape:
        return f"{place}shape {answer.shape} instead of {expected.shape}"
    if answer.dtype.kind not in "biuf":
        return f"{place}an array of {answer.dtype} instead of numbers"
    wrong = ~np.isclose(answer, expected, rtol, atol, equal_nan=True)
    if not wrong.any():
        return None
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        largest = np.max(np.abs(answer.astype(float) - expected)[wrong])
    index = f", first at index {first if len(first) > 1 else first[0]}" if first else ""
    return f"{place}largest difference {largest:.3g}{index}: {answer[first]:.6g} instead of {expected[first]:.6g}"


def values(answer):
    """An array of a number, a list of numbers, an array, or a tensor."""
    return np.asarray(answer if isinstance(answer, (np.ndarray, np.generic)) else getattr(answer, "data", answer))


def shorten(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
