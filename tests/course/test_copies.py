"""Copies to work in: what `write` says of them and does to them, and how answers come into a newer version."""

import pytest
from small_lesson import LESSON

from tinypredrnn.course.copies import with_answer, write
from tinypredrnn.course.lesson import YOUR_CODE, Lesson, cells_of, lessons, with_holes

HOLE = f"    {YOUR_CODE}\n"


@pytest.fixture
def mine(folder, tmp_path):
    """A folder of copies of both lessons."""
    write(folder, tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def say(folder, mine, capsys):
    """What `write` prints, without the two lines at its end."""
    def said(**options):
        capsys.readouterr()
        write(folder, mine, **options)
        *lines, begin, progress = capsys.readouterr().out.splitlines()
        assert begin == f"begin with: python {mine / '01_a_lesson.py'}" and progress.endswith(f"course --folder {mine}")
        return lines
    return said


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_copies_have_holes_and_a_mark(folder, mine):
    assert sorted(contents(mine)) == ["01_a_lesson.py", "02_another.py"]
    first, rest = (mine / "01_a_lesson.py").read_text().split("\n", 1)
    assert first.startswith('# %% [markdown] copy="') and "# %% [markdown]\n" + rest == with_holes(LESSON)
    assert [lesson.title for lesson in lessons(mine)] == [lesson.title for lesson in lessons(folder)]


def test_write_adds_what_is_missing_and_changes_nothing(mine, say):
    change(mine / "01_a_lesson.py", HOLE, "    return 2 * x\n")
    (mine / "02_another.py").unlink()
    kept = contents(mine)
    assert say() == ["with your work: 01_a_lesson.py", "new: 02_another.py"]
    assert contents(mine)["01_a_lesson.py"] == kept["01_a_lesson.py"]
    assert say() == say(update=True) == ["with your work: 01_a_lesson.py", "as written: 02_another.py"]


def test_a_second_write_says_it_in_one_line(say):
    assert say() == say(update=True) == ["as written: all 2 lessons"]


def test_copies_of_another_version_are_named_and_left_alone(folder, mine, say):
    for path in folder.glob("0*.py"):
        change(path, "two lines", "three lines")
    change(mine / "01_a_lesson.py", HOLE, "    return 2 * x\n")
    kept = contents(mine)
    assert say() == ["of another version, with your work: 01_a_lesson.py", "of another version: 02_another.py",
                     f"to bring these up to date, with your answers: python -m tinypredrnn course write --update {mine}"]
    assert contents(mine) == kept


def test_an_update_carries_answers_over(folder, mine, say):
    """To an exercise that has moved and whose text and check have changed; another is not solved yet."""
    path, today = mine / "01_a_lesson.py", folder / "01_a_lesson.py"
    answer = 'y = """\n# %\n"""\n\n    for _ in range(2):\n\n        y = 2 * x\n    return y'
    change(path, YOUR_CODE, answer)
    change(path, 'print("end")', 'print("mine")')
    kept = path.read_text()
    head, first, second = (today.read_text().partition("# %% [markdown]\n# ### Ex") for _ in range(3))
    moved = head[0] + LESSON[LESSON.index("# %%\ndef half"):] + "\n# %% [markdown]\n# ### Exercise 1.1: more than double\n\n" + (
        LESSON[LESSON.index("# %%\ndef double"):LESSON.index("# %%\ndef half")].replace("double(3), 6", "double(4), 8"))
    today.write_text(moved)
    change(folder / "02_another.py", "two lines", "three lines")

    assert say(update=True) == [
        "01_a_lesson.py: your answers to 1.1 are carried over; your file is kept as 01_a_lesson.py.bak",
        "of another version, with your work, now up to date: 01_a_lesson.py",
        "of another version, now up to date: 02_another.py"]
    assert (mine / "01_a_lesson.py.bak").read_text() == kept and not (mine / "02_another.py.bak").exists()
    _, rest = path.read_text().split("\n", 1)
    assert "# %% [markdown]\n" + rest == with_holes(moved).replace(
        HOLE + "\n\ncheck(\"1.1\"", "    " + answer + "\n\n\ncheck(\"1.1\"")
    assert say() == ["with your work: 01_a_lesson.py", "as written: 02_another.py"]

    change(today, "two lines", "three lines")
    say(update=True)
    assert (mine / "01_a_lesson.py.bak").read_text() == kept and answer in (mine / "01_a_lesson.py.bak1").read_text()
    assert answer in path.read_text()


def test_copies_of_versions_without_marks_are_updated_too(folder, mine, say):
    (mine / "01_a_lesson.py").write_text(with_holes(LESSON).replace("two lines", "one line").replace(HOLE, "    return 2 * x\n", 1))
    (mine / "02_another.py").write_text(with_holes((folder / "02_another.py").read_text()))
    assert say() == ["of another version, with your work: 01_a_lesson.py", "as written: 02_another.py",
                     f"to bring these up to date, with your answers: python -m tinypredrnn course write --update {mine}"]
    assert "your answers to 1.1 are carried over" in say(update=True)[0]
    assert list(Lesson(mine / "01_a_lesson.py").cells)[3].source.count("    return 2 * x\n") == 1


def test_an_answer_that_cannot_be_told_apart_stays_in_the_backup(folder, mine, say):
    change(mine / "01_a_lesson.py", "def double(x):\n" + HOLE, "def double(y):\n    return y + y\n")
    change(folder / "01_a_lesson.py", "two lines", "three lines")
    assert say(update=True)[0] == (
        "01_a_lesson.py: no answers; not those to 1.1, whose surroundings have changed too much; your file is kept as 01_a_lesson.py.bak")
    assert "return y + y" in (mine / "01_a_lesson.py.bak").read_text() and HOLE in (mine / "01_a_lesson.py").read_text()


@pytest.mark.parametrize("what", ["link", "folder", "bytes", "text"])
def test_what_is_no_copy_is_left_alone(mine, say, what):
    path = mine / "01_a_lesson.py"
    path.unlink()
    if what == "link":
        try:
            path.symlink_to(mine / "elsewhere.py")
        except OSError:
            pytest.skip("no links here")
    elif what == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe" if what == "bytes" else b"my work")
    for options in ({}, {"update": True}):
        assert say(**options) == ["not readable as a lesson, left alone: 01_a_lesson.py", "as written: 02_another.py"]
    assert sorted(path.name for path in mine.iterdir()) == ["01_a_lesson.py", "02_another.py"]
    assert path.is_symlink() if what == "link" else path.is_dir() if what == "folder" else path.stat().st_size < 10


def test_every_exercise_of_the_course_can_be_carried_over():
    """Its own solution, and another with blank lines and the words of what follows."""
    for lesson in lessons():
        for cell in cells_of(lesson.text):
            if cell.exercise:
                hole = with_holes(cell.source)
                for answer in (with_holes(cell.source, cell.solutions[0]), with_holes(cell.source, "x = 1\n\n\ndef f():\n    return x\n")):
                    assert with_answer(hole, answer) == answer
                assert with_answer(hole, hole) == hole
