"""A lesson as it runs, and what it prints against what it announces."""

import warnings

import pytest
from small_lesson import lesson_of

from tinypredrnn.course.lesson import lessons
from tinypredrnn.course.needs import needed
from tinypredrnn.course.run import differences, run

pytestmark = pytest.mark.filterwarnings("error")


def differ(mark, expected, *printed):
    return list(differences([(mark, expected)], list(printed)))


@pytest.mark.parametrize("expected, printed", [
    ("loss 0.5", "loss 0.5004"), ("1,000 calls", "1,000 calls"), ("1000 calls", "1,000 calls"), ("-2e-05", "-2.001e-5"), ("0.0", "1e-12"),
    ("[1. 2.]", "[1. 2.]"), ("[1,  2]", "[1, 2]"), ("nan", "nan"), ("", ""),
])
def test_lines_that_agree(expected, printed):
    assert differ(">", expected, printed) == []


@pytest.mark.parametrize("expected, printed", [
    ("loss 0.5", "loss 0.501"), ("loss 0.5", "lost 0.5"), ("2 3", "3 2"), ("1 2", "12"), ("1", "-1"), ("0.0", "1e-8"), ("nan", "1.0"),
    ("1,000", "1001.5"), ("True", "False"), ("1e-5", "1e-6"), ("a", ""),
])
def test_lines_that_differ(expected, printed):
    assert differ(">", expected, printed) == [f"expected {expected!r}, printed {printed!r}"]


def test_loose_numbers(monkeypatch):
    """`#~` wants a quarter at full size and only words at the small one, `#?` only words at both."""
    for extent, mark, strict in (("small", "~", False), ("full", "~", True), ("small", "?", False), ("full", "?", False)):
        monkeypatch.setenv("TINYPREDRNN_LESSONS", extent)
        assert differ(mark, "loss 4.0 of 0", "loss 4.9 of 0") == []
        assert bool(differ(mark, "loss 4.0", "loss 5.1")) == strict
        assert bool(differ(mark, "loss 0.0", "loss 5.0")) == strict
        assert differ(mark, "loss 4.0", "gain 4.0") and differ(mark, "loss 4.0", "loss 4.0 4.0")


def test_exact_lines_are_exact_at_both_sizes(monkeypatch):
    for extent in ("small", "full"):
        monkeypatch.setenv("TINYPREDRNN_LESSONS", extent)
        assert differ(">", "4.0", "4.9")


@pytest.mark.parametrize("expected, printed, complaint", [
    (["a"], ["a", "b"], "expected 1 lines, printed 2, the first without a partner: 'b'"),
    (["a", "b"], ["a"], "expected 2 lines, printed 1, the first without a partner: 'b'"),
    ([], ["b"], "expected 0 lines, printed 1, the first without a partner: 'b'"),
])
def test_every_line_has_a_partner(expected, printed, complaint):
    assert list(differences([(">", line) for line in expected], printed)) == [complaint]


def test_a_lesson_that_prints_otherwise_is_reported(tmp_path):
    lesson = lesson_of(tmp_path, 'print(1)\n#> 2\n\n# %%\nprint("new")\n\n# %%\nprint("fine")\n#> fine\n')
    assert run(lesson)[1] == ["line 6: expected '2', printed '1'",
                                     "line 10: expected 0 lines, printed 1, the first without a partner: 'new'"]


def test_a_check_that_fails_is_reported(tmp_path):
    lesson = lesson_of(tmp_path, 'from tinypredrnn.course import check\ncheck("3.1", lambda: 1, 2)\n')
    assert run(lesson)[1] == ["line 6: exercise 3.1: not yet: largest difference 1: 1 instead of 2"]


def test_cells_share_what_they_define(tmp_path):
    lesson = lesson_of(tmp_path, "x = 2\n\n# %% [markdown]\n# x = 3\n\n# %%\nprint(x, __name__)\n#> 2 __main__\n")
    namespace, complaints = run(lesson)
    assert complaints == [] and namespace["x"] == 2


def test_warnings_are_errors(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeWarning, match="divide by zero"):
            run(lesson_of(tmp_path, "import numpy as np\nnp.ones(1) / 0\n"))


def test_an_error_names_the_line_of_the_lesson(tmp_path):
    with pytest.raises(ZeroDivisionError) as caught:
        run(lesson_of(tmp_path, "x = 1\n\n# %%\nx / 0\n"))
    assert caught.traceback[-1].lineno + 1 == 10  # pytest counts from 0


def test_lines_of_the_long_size(tmp_path, monkeypatch):
    """Announced by a plus before the mark, they are printed by no other size."""
    lesson = lesson_of(tmp_path, """from tinypredrnn.course import size
for steps in size([40], [4], long=[40, 200]):
    print(f"{steps} steps: {1 / steps}")
    print("seconds", steps)
#~ 40 steps: 0.025
#? seconds 3
#+~ 200 steps: 0.05
#+? seconds 3
""")
    for extent, complaints in ("small", []), ("full", []), (
            "long", ["line 6: expected '200 steps: 0.05', printed '200 steps: 0.005'"]):
        monkeypatch.setenv("TINYPREDRNN_LESSONS", extent)
        assert run(lesson)[1] == complaints


# what an exercise needs

def test_an_exercise_needs_what_it_uses_and_what_changed_it(tmp_path):
    cells = """
import numpy as np
from tinypredrnn.course import check
# %%
a = [1]
# %%
unused = slow = np.sin(1)
# %%
a.append(2)
# %%
print(a, slow)
# %%
def f(x):
    a = x + offset
    return [a for a in range(a)]
# %%
offset = 1
# %%
offset = 2
# %%
class C:
    pass
# %%
C.later = lambda self: unknown
C().other(unused)
# %%
a = [9]
np.seterr()
# %%
a[0] = 3
check("3.2", lambda: (f(3), C), a)
# %%
print(a)
"""
    lesson = lesson_of(tmp_path, cells)
    code = [cell for cell in lesson.cells if not cell.is_text]
    assert [code.index(cell) for cell in needed(lesson, "3.2")] == [0, 2, 5, 7, 8, 9, 10, 11]


def test_the_exercises_of_the_course_need_few_cells():
    """Lesson 17 trains nine networks; none of its exercises needs one of them."""
    (lesson,) = lessons(numbers=[17])
    assert all(len(needed(lesson, name)) <= 4 for name in lesson.exercises)
