"""check: right and wrong answers, and what it says of them."""

import numpy as np
import pytest
from small_lesson import lesson_of

import tinypredrnn as tp
from tinypredrnn.course.answers import compare
from tinypredrnn.course.run import execute, names_of

pytestmark = pytest.mark.filterwarnings("error")


def complaint(answer, expected):
    return compare(answer, expected, 1e-9, 1e-14)


@pytest.mark.parametrize("answer, expected", [
    (6, 6.0), (1 + 1e-10, 1.0), (np.float32(0.5), 0.5), (np.nan, np.nan), (np.inf, np.inf), ([1, 2], np.array([1.0, 2.0])), (2**60, 2**60),
    (tp.tensor([1.0, 2.0]), np.array([1, 2])), (np.arange(6)[::2], tp.tensor(np.array([0, 2, 4]))), (True, True), (np.True_, True),
    ("yes", "yes"), (None, None), ([1.0, [2.0, "a"]], [1.0, [2.0, "a"]]), ({"a": 1, "b": (2,)}, {"a": 1.0, "b": (2.0,)}),
    (np.zeros((0, 3)), np.zeros((0, 3))), (np.broadcast_to(2.0, (2, 2)), np.full((2, 2), 2.0)),
])
def test_right_answers(answer, expected):
    assert complaint(answer, expected) is None


@pytest.mark.parametrize("answer, expected, message", [
    (None, 1.0, "nothing came back yet"),
    (..., [1.0], "nothing came back yet"),
    ([1.0, None], [1.0, 2.0], "at [1]: nothing came back yet"),
    (1.5, 1.0, "largest difference 0.5: 1.5 instead of 1"),
    (np.array([1.0, 5.0, 9.0]), np.array([1.0, 2.0, 3.0]), "largest difference 6, first at index 1: 5 instead of 2"),
    (np.eye(2), np.ones((2, 2)), "largest difference 1, first at index (0, 1): 0 instead of 1"),
    (np.array([np.inf, 2.0]), np.array([np.inf, 1.0]), "largest difference 1, first at index 1: 2 instead of 1"),
    (np.array([1.0, np.nan]), np.array([1.0, 1.0]), "largest difference nan, first at index 1: nan instead of 1"),
    (np.ones((2, 1)), np.ones(2), "shape (2, 1) instead of (2,)"),
    (np.array([True, False]), np.array([1, 1]), "largest difference 1, first at index 1: 0 instead of 1"),
    ("1", 1.0, "an array of <U1 instead of numbers"),
    (False, True, "False instead of True"),
    (np.ones(2), True, "array([1., 1.]) instead of True"),
    (np.ones(2), "a", "array([1., 1.]) instead of 'a'"),
    (1, None, "1 instead of None"),
    ("no", "yes", "'no' instead of 'yes'"),
    ((1.0,), [1.0], "the answer should be a list of 1, not a tuple of 1: (1.0,)"),
    ([1.0, 2.0], [1.0], "the answer should be a list of 1, not a list of 2: [1.0, 2.0]"),
    (3, [1.0], "the answer should be a list of 1, not an int: 3"),
    (np.float32([1, 0.4]), np.array([1, 0.4]), "largest difference 5.96e-09, first at index 1: 0.400000006 instead of 0.4"),
    ({"a": [1.0, 3.0]}, {"a": [1.0, 2.0]}, "at ['a'][1]: largest difference 1: 3 instead of 2"),
    ("x" * 100, [1.0], "the answer should be a list of 1, not a str of 100: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."),
])
def test_wrong_answers(answer, expected, message):
    assert complaint(answer, expected) == message


@pytest.fixture
def verdict(tmp_path):
    """A function from the code of a lesson's cell to the lines that it prints."""
    def run(code):
        lesson = lesson_of(tmp_path, "from tinypredrnn.course import check\n" + code)
        return execute(lesson.cells[1], lesson, names_of(lesson))
    return run


def test_an_exception_names_the_readers_line(verdict):
    """The last one of the lesson, whatever it calls."""
    printed = verdict("""
import numpy as np


def inner(x):
    return np.reshape(x, (2, 2))


def outer(x):
    y = x
    return inner(y)


check("3.1", lambda: outer(np.ones(3)), 1)
check("3.2", lambda: {"b": 1}, {"a": 1})
check("3.3", lambda: outer(None).shape + outer(3).first, 1)
check("3.4", lambda: None + 1, 1)
""")
    assert printed == [
        "exercise 3.1: not yet: ValueError: cannot reshape array of size 3 into shape (2,2) "
        "(line 13: return np.reshape(x, (2, 2)))",
        "exercise 3.2: not yet: KeyError: 'a'",  # which the lesson does not raise
        "exercise 3.3: not yet: ValueError: cannot reshape array of size 1 into shape (2,2) "
        "(line 13: return np.reshape(x, (2, 2)))",
        'exercise 3.4: not yet: nothing came back yet (line 24: check("3.4", lambda: None + 1, 1))']


def test_a_prediction_is_not_told(verdict):
    printed = verdict("""
check("2.1", lambda: 36, 38, reveal=False)
check("2.1", lambda: None, 38, reveal=False)
check("2.1", lambda: [1, "a"], 38, reveal=False)
check("2.1", lambda: 38, 38, reveal=False)
""")
    assert "36 is not right" in printed[0] and "nothing came back yet" in printed[1] and printed[3].endswith(": OK")
    assert not any("38" in line for line in printed)
