"""check: compare the answer to an exercise with the expected one, and say in words where they differ."""

import linecache
import sys
from pathlib import Path

import numpy as np

from tinypredrnn.course.progress import path_of, remember

NOTHING = "nothing came back yet"


def check(exercise, answer, expected, rtol=1e-6, atol=1e-9, reveal=True):
    """Print one line: whether `answer()` is `expected` (a number, an array, or a list or dict of them), or the first
    place where it is not.

    answer   a function without arguments, so that what it raises can be reported as well, with the reader's line
    reveal   False if the answer is a prediction: then a wrong one is not told what is right
    """
    namespace = sys._getframe(1).f_globals
    try:
        given = answer()
        complaint = compare(given, expected, rtol, atol)
        if complaint and complaint != NOTHING and not reveal:
            complaint = f"{shorten(given)} is not right (this is a prediction: the right answer is not shown)"
    except Exception as error:  # a reader's unfinished code raises whatever it can; the lesson goes on
        complaint = (NOTHING if "NoneType" in str(error) else describe(error)) + place_of(error, namespace)
    print(f"exercise {exercise}: {'OK' if complaint is None else 'not yet: ' + complaint}")
    path = path_of(namespace)
    remember(path.parent if path else Path.cwd(), exercise, complaint is None)


def describe(error):
    return f"{type(error).__name__}: {error}"


def place_of(error, namespace):
    """" (line 12: y = x + None)": the last line of the lesson with these globals that an exception went through."""
    frames, traceback = [], error.__traceback__
    while traceback:
        if traceback.tb_frame.f_globals is namespace:
            frames.append((traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    if not frames:
        return ""
    return f" (line {frames[-1][1]}: {linecache.getline(*frames[-1], namespace).strip()})"


def compare(answer, expected, rtol, atol, where=""):
    """None if `answer` is `expected`, otherwise what is wrong, in words."""
    place = where and f"at {where}: "
    if expected is not None and (answer is None or answer is ...):
        return place + NOTHING
    if isinstance(expected, (list, tuple, dict)):
        if type(answer) is not type(expected) or len(answer) != len(expected):
            return f"{where or 'the answer'} should be {kind(expected)}, not {kind(answer)}: {shorten(answer)}"
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
    return f"{place}largest difference {largest:.3g}{index}: {apart(answer[first], expected[first])}"


def values(answer):
    """An array of a number, a list of numbers, an array, or a tensor."""
    return np.asarray(answer if isinstance(answer, (np.ndarray, np.generic)) else getattr(answer, "data", answer))


def kind(value):
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}" + (f" of {len(value)}" if hasattr(value, "__len__") else "")


def apart(given, expected):
    """Two numbers with as many digits as it takes to see that they differ."""
    for digits in (6, 9, 17):
        texts = f"{given:.{digits}g}", f"{expected:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return " instead of ".join(texts)


def shorten(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
