"""Every lesson at its small size: it prints what it says, its pictures exist, its exercises accept the solution and nothing else.

wrong/NN.py holds the wrong answers of lesson NN: WRONG = {"3.1": [source that stands in the hole, ...]}.
"""

import ast
import contextlib
import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tinypredrnn.course.copies import write
from tinypredrnn.course.lesson import LESSONS, Cell, lessons, with_holes
from tinypredrnn.course.run import execute, names_of, run, run_exercise

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=lessons(), ids=lambda lesson: lesson.path.stem)
def lesson(request):
    return request.param


@pytest.fixture(scope="module")
def lived(lesson):
    """(namespace, complaints) of the lesson after it ran; pictures go to the ignored folder lessons/figures."""
    import matplotlib

    matplotlib.use("agg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYPREDRNN_LESSONS", "small")
        return run(lesson)


@pytest.fixture(autouse=True)
def small_and_without_progress(monkeypatch):
    monkeypatch.setenv("TINYPREDRNN_LESSONS", "small")
    monkeypatch.setattr("tinypredrnn.course.answers.remember", lambda *_: None)


def verdict(lesson, lived, exercise, answer):
    """What the cell of an exercise prints with `answer` in its hole, run in the lesson's own namespace."""
    (cell,) = [cell for cell in lesson.cells if cell.exercise == exercise]
    changed = Cell(with_holes(cell.source, answer), cell.line)
    assert changed.source != cell.source, f"exercise {exercise} has no solution between tags"
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("error")
        (line,) = [line for line in execute(changed, lesson, dict(lived[0])) if line.startswith("exercise ")]
    return line


def test_it_prints_what_it_says(lived):
    assert not lived[1], "\n".join(lived[1])


def test_its_exercises_are_two_to_four_and_in_order(lesson):
    assert list(lesson.exercises) == [f"{lesson.number}.{k + 1}" for k in range(len(lesson.exercises))] and 2 <= len(lesson.exercises) <= 4
    assert all(exercise.title and exercise.task and exercise.hint for exercise in lesson.exercises.values())


def test_its_exercises_are_graded(lesson):
    """At least one is easy and one to stretch, and all together leave time for the lesson's text."""
    grades = [re.fullmatch(r".+ \((easy|medium|stretch), (\d+) minutes\)", exercise.title) for exercise in lesson.exercises.values()]
    assert {"easy", "stretch"} <= {grade[1] for grade in grades}
    assert sum(int(grade[2]) for grade in grades) <= 0.7 * int(lesson.minutes)


def test_what_teachers_need_stands_elsewhere(lesson):
    assert "or teachers" not in lesson.text
    numbers = re.findall(r"^## Lessons? (\d+)(?: (?:to|and) (\d+))?:", (ROOT / "lessons/TEACHERS.md").read_text(), re.M)
    assert any(int(first) <= int(lesson.number) <= int(final or first) for first, final in numbers)


def test_its_exercises_reject_holes_and_wrong_answers(lesson, lived):
    wrong = {}
    exec((Path(__file__).parent / "wrong" / f"{lesson.path.stem[:2]}.py").read_text(), wrong)
    assert sorted(wrong["WRONG"]) == list(lesson.exercises)
    for exercise, answers in wrong["WRONG"].items():
        assert len(answers) >= 2
        assert "not yet" in verdict(lesson, lived, exercise, "...")
        for answer in answers:
            line = verdict(lesson, lived, exercise, answer)
            assert "not yet" in line and "Error" not in line.split(":")[2], f"with {answer!r}: {line}"


def test_its_last_exercise_is_solved_by_the_cells_that_it_needs(lesson):
    """As by `course check N.K`, from nothing."""
    exercise = list(lesson.exercises)[-1]
    assert f"exercise {exercise}: OK" in run_exercise(lesson, exercise, names_of(lesson))


def test_its_pictures_exist_and_one_stands_in_the_readme(lesson, lived):
    shown = re.findall(r"^\s*show\(.+?, \"(\w+)\"(?:\)|, .+\))$", lesson.text, re.MULTILINE)
    assert shown
    for name in shown:
        assert (lesson.path.parent / "figures" / lesson.path.stem / f"{name}.png").stat().st_size > 3000
    assert (ROOT / "lessons/pictures" / f"{lesson.path.stem[:2]}.png").stat().st_size < 62_000


def test_what_it_says_of_the_package_is_there(lesson):
    assert "# ## What you have now" in lesson.text and "- **Why:**" in lesson.text and "- **You will see:**" in lesson.text
    for path in re.findall(r"`((?:tinypredrnn|lessons|examples|tests)/[\w/.]+)`", lesson.text):
        assert (ROOT / path).exists(), f"{path} is named and not there"
    for line in lesson.text.splitlines():  # `file.py`, `name`: the name stands in that file
        for path, name in re.findall(r"`(tinypredrnn/[\w/]+\.py)`, `([\w.]+)`", line):
            tree = ast.parse((ROOT / path).read_text())
            names = {getattr(node, "name", getattr(node, "id", None)) for node in ast.walk(tree)}
            assert name.split(".")[-1] in names, f"{path} has no {name}"


def test_lessons_with_holes_run_without_a_crash(tmp_path):
    """The copy that a reader works in, as a script of its own."""
    write(LESSONS, tmp_path)
    for path in sorted(tmp_path.glob("0[1-4]_*.py")):
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0 and not done.stderr, done.stderr
        assert "not yet: nothing came back yet" in done.stdout and ": OK" not in done.stdout
    assert "exercises 0 of" in progress_of(tmp_path)


def progress_of(folder):
    command = [sys.executable, "-m", "tinypredrnn.course", "--folder", folder]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
