"""A lesson as text."""

import pytest
from small_lesson import LESSON

from tinypredrnn.course.lesson import Cell, Lesson, lessons, with_holes
from tinypredrnn.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("error")


def test_a_lesson_knows_its_header_and_cells(folder):
    lesson = Lesson(folder / "01_a_lesson.py")
    assert (lesson.number, lesson.title, lesson.idea, lesson.minutes) == ("1", "A lesson", "two lines of an idea.", "15")
    assert [(cell.is_text, cell.exercise) for cell in lesson.cells] == [
        (True, None), (False, None), (True, None), (False, "1.1"), (False, "1.2")]
    assert list(lesson.exercises) == ["1.1", "1.2"]
    assert "".join(cell.source for cell in lesson.cells) == LESSON
    assert [LESSON.splitlines()[cell.line][:4] for cell in lesson.cells] == ["# %%"] * 5


def test_announced_lines():
    cell = Cell('# %%\nprint(1)\n#> 1\n#> \n#~ loss 2\nif True:\n    print(3)\n    #? 3 ms\nx = 1  #> no line of its own\n#>4\n', 0)
    assert cell.expected == [(">", "1"), (">", ""), ("~", "loss 2"), ("?", "3 ms"), (">", "4")]


@pytest.mark.parametrize("lost", ["# # 1. A lesson\n", "#   an idea.\n# - **Minutes:** 15\n"])
def test_a_file_without_a_header_is_no_lesson(tmp_path, lost):
    (tmp_path / "01_x.py").write_text(LESSON.replace(lost, ""))
    with pytest.raises(ConfigError, match="01_x.py is not a lesson: its header lacks"):
        Lesson(tmp_path / "01_x.py")


def test_bytes_that_are_no_text_are_no_lesson(tmp_path):
    (tmp_path / "01_x.py").write_bytes(LESSON.encode() + b"\xff\xfe")
    with pytest.raises(ConfigError, match="01_x.py is not a lesson: it should be text in UTF-8"):
        Lesson(tmp_path / "01_x.py")


def test_holes():
    holes = with_holes(LESSON)
    assert "solution>" not in holes and "return" not in holes and holes.count("\n    ...  # your code\n") == 2
    assert holes.replace("    ...  # your code\n", "") == "".join(
        line for line in LESSON.splitlines(keepends=True) if line not in (
            "    # <solution>\n", "    y = x\n", "    return y + x\n", "    # </solution>\n", "    return x / 2\n"))
    compile(holes, "holes", "exec")
    filled = with_holes("def f():\n        # <solution>\n        old\n        # </solution>\n", "a\nb")
    assert filled == "def f():\n        a\n        b\n"


def test_an_exercise_has_its_text_hint_and_solution(folder):
    path = folder / "01_a_lesson.py"
    path.write_text(LESSON.replace("double\n", """double
# Return twice
# `x`.
#
# *Hint:* add, or
# multiply.

# %%
nothing = 1
"""))
    first, second = Lesson(path).exercises.values()
    assert first[:5] == ("1.1", "double", "Return twice\n`x`.", "add, or\nmultiply.", "y = x\nreturn y + x")
    assert first.cell.exercise == "1.1" and second.solution == "return x / 2"


def test_prose_and_code_without_their_marks(folder):
    lesson = Lesson(folder / "01_a_lesson.py")
    assert lesson.cells[0].prose.startswith("# 1. A lesson\n\n- **Idea:** two lines of\n  an idea.")
    assert lesson.cells[1].code == 'from tinypredrnn.course import check, size\n\nprint("loss", size(0.5, 7.0))'
    assert lesson.headings == [(2, "# 1. A lesson"), (15, "### Exercise 1.1: double")]


def test_a_file_without_cells_is_no_lesson_of_a_folder(folder):
    (folder / "03_mine.py").write_text("print('my own notes')")
    assert [lesson.number for lesson in lessons(folder)] == ["1", "2"]
