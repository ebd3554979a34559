"""The command of the course."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest
from small_lesson import LESSON

import tinypredrnn as tp
from tinypredrnn.course.__main__ import check_exercise, main, show_progress, table
from tinypredrnn.course.copies import quoted, write
from tinypredrnn.course.lesson import LESSONS, YOUR_CODE, Lesson
from tinypredrnn.course.progress import remember
from tinypredrnn.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("error")


HOME = Path(tp.__file__).parents[1]


def command(*arguments, cwd=None):
    done = subprocess.run([sys.executable, "-m", "tinypredrnn.course", *map(str, arguments)], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, "PYTHONPATH": str(HOME)})
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="how a POSIX shell is quoted")
def test_hints_can_be_pasted(folder, tmp_path, capsys):
    """Run by a shell, each line does what it says, in a folder with a space, a quote and a dollar."""
    write(folder, mine := tmp_path / "my course's $HOME")
    begin, progress = (line.split(": ", 1)[1] for line in capsys.readouterr().out.splitlines()[-2:])
    show_progress(mine)
    upcoming = capsys.readouterr().out.splitlines()[-1].removeprefix("next: ")
    assert begin == upcoming
    for hint, message in ((begin, "nothing came back yet"), (progress, "exercises 0 of 2")):
        assert hint.startswith("python ")
        hint = f"'{sys.executable}'" + hint.removeprefix("python")
        done = subprocess.run(hint, shell=True, capture_output=True, text=True)
        assert done.returncode == 0 and message in done.stdout, done.stderr


def test_hints_on_windows():
    with pytest.MonkeyPatch.context() as patch:  # for this line only: pytest itself asks what system it is on
        patch.setattr("tinypredrnn.course.copies.os.name", "nt")
        pasted = [quoted(path) for path in (r"C:\my_course\01_a.py", r"C:\my course\01_a.py", r"C:\R&D\01_a.py")]
    assert pasted == [r"C:\my_course\01_a.py", r'"C:\my course\01_a.py"', r'"C:\R&D\01_a.py"']


def test_progress_and_the_next_lesson(folder, capsys):
    def shown():
        show_progress(folder)
        return capsys.readouterr().out

    assert "exercises 0 of 2" in shown() and shown().endswith(f"\nnext: python {folder / '01_a_lesson.py'}\n")
    remember(folder, "1.1", True)
    remember(folder, "1.2", False)
    assert "exercises 1 of 2" in shown() and "next: python " + str(folder / "01_a_lesson.py") in shown()
    remember(folder, "1.2", True)
    assert "exercises 2 of 2" in shown() and "next: python " + str(folder / "02_another.py") in shown()
    for exercise in ("2.1", "2.2"):
        remember(folder, exercise, True)
    assert shown().endswith("\nall done\n")


def test_the_table(folder, capsys):
    table(folder)
    header, rule, first, second = capsys.readouterr().out.splitlines()
    assert header == "| lesson | idea | minutes | picture |" and rule == "|---|---|---|---|"
    assert first == ('| [1. A lesson](lessons/01_a_lesson.py) | two lines of an idea. | 15 '
                     '| <img src="lessons/pictures/01.png" width="160" alt="A lesson"> |')
    assert second.startswith("| [2. Another lesson](lessons/02_another.py)")


def test_the_command_from_beginning_to_end(folder, tmp_path):
    """Run, write, work in the copy, see the progress."""
    status, out, err = command("--folder", folder, "run", "1", "2")
    assert (status, err) == (0, "") and out.count("as expected") == 2
    status, out, _ = command("--folder", folder, "run", "2", "--full")
    assert status == 0 and "A lesson" not in out
    mine = tmp_path / "mine"
    assert command("--folder", folder, "write", mine)[0] == 0
    done = subprocess.run([sys.executable, mine / "01_a_lesson.py"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("not yet: nothing came back yet") == 2
    (mine / "01_a_lesson.py").write_text((mine / "01_a_lesson.py").read_text().replace("...  # your code", "return 2 * x", 1))
    subprocess.run([sys.executable, mine / "01_a_lesson.py"], capture_output=True, check=True)
    status, out, _ = command("--folder", mine)
    assert status == 0 and "exercises 1 of 2" in out and "next: python " + str(mine / "01_a_lesson.py") in out


def test_a_run_that_finds_a_lie_fails(folder):
    (folder / "01_a_lesson.py").write_text(LESSON.replace("#> end", "#> fin").replace("0.55", "0.9"))
    status, out, _ = command("--folder", folder, "run")
    assert status == 1 and "NOT as expected" in out and "expected 'fin', printed 'end'" in out and "loss" not in out
    assert out.count("as expected") == 2  # the second lesson ran all the same
    status, out, _ = command("--folder", folder, "run", "1", "--full")
    assert status == 1 and "expected 'loss 0.9', printed 'loss 0.5'" in out


@pytest.mark.parametrize("arguments, message", [
    (["run", "7"], "no lesson 7 in "), (["run", "1", "8", "9"], "no lesson 8, 9 in "),
    (["--folder", "nowhere"], "no lessons in nowhere: name"),
    (["write", ""], "'' is not a folder: name a new"), (["write", "FILE"], "is not a folder: name a new"),
    (["write", "FOLDER"], "holds the lessons that would be copied: name another"),
    (["--folder", "FILE"], "no lessons in "),
    (["check", "7.1"], "no lesson 7 in "), (["check", "1.3"], "lesson 1 has no exercise 1.3, only 1.1, 1.2"),
    (["solution", "1.9"], "lesson 1 has no exercise 1.9, only 1.1, 1.2, 1.3"),
    (["--folder", "nowhere", "table"], "no lessons in nowhere"), (["--folder", "nowhere", "write", "there"], "no lessons in nowhere"),
], ids=str)
def test_errors_are_one_sentence(folder, arguments, message, capsys):
    places = {"FILE": folder / "notes.py", "FOLDER": folder}
    arguments = [str(places.get(argument, argument)) for argument in arguments]
    if "--folder" not in arguments:
        arguments = ["--folder", str(folder), *arguments]
    with pytest.raises(ConfigError) as caught:
        main(arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value) and capsys.readouterr().out == ""


def test_the_command_prints_its_error_without_a_traceback(folder):
    status, out, err = command("--folder", folder, "run", "7")
    assert (status, out) == (2, "") and "no lesson 7 in " in err and err.count("\n") == 1


@pytest.mark.parametrize("arguments, message", [
    (["fly"], "invalid choice: 'fly'"), (["--folder", ""], "expected a path, got an empty text"),
    *((["check", word], f"{word!r} is not the name of an exercise, such as 2.3") for word in ("3", "a.b", "3.1.2", "")),
], ids=str)
def test_words_that_mean_nothing_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_within_a_folder_of_copies_they_are_what_is_meant(tmp_path, monkeypatch, capsys):
    """The progress, its next lesson and a check, in a folder with a space in which one exercise is solved."""
    def said(*arguments):
        capsys.readouterr()
        return main(arguments), capsys.readouterr().out

    mine = tmp_path / "my course"
    write(LESSONS, mine)
    first = mine / "01_one_number.py"
    solution = Lesson(LESSONS / first.name).exercises["1.1"].solution
    first.write_text(first.read_text().replace("    " + YOUR_CODE, indent(solution, "    "), 1))
    monkeypatch.chdir(mine)
    assert said("check", "1.1") == (0, "exercise 1.1: OK\n")
    status, out = said("check", "1.2")
    assert status == 1 and out.startswith("exercise 1.2: not yet: nothing came back yet")
    _, out = said()
    assert "exercises 1 of 3" in out and "\nnext: python 00_on_one_page.py\n" in out and "solutions" not in out
    for path in mine.glob("*.py"):
        path.rename(path.with_suffix(".ipynb"))
    assert "exercises 1 of 3" in said()[1] and "next: jupyter lab 00_on_one_page.ipynb" in said()[1]
    monkeypatch.chdir(tmp_path)
    assert "these hold the solutions" in said()[1]


def test_a_check_runs_no_more_than_it_needs(folder, capsys):
    """And says in one line what is wrong with the reader's code outside of the check."""
    path = folder / "01_a_lesson.py"
    text = path.read_text()
    path.write_text(text.replace('print("loss"', '1 / 0\nprint("loss"'))
    assert check_exercise(folder, "1.2") == 1
    assert capsys.readouterr().out == "exercise 1.2: not yet: ZeroDivisionError: division by zero (line 11: 1 / 0)\n"
    path.write_text(text.replace('check("1.1"', 'slow()\ncheck("1.1"'))
    assert check_exercise(folder, "1.2") == 0
    assert capsys.readouterr().out == "exercise 1.2: OK\nend\n"
    path.write_text(text.replace("return x / 2", "return x / / 2"))
    assert check_exercise(folder, "1.2") == 1
    assert capsys.readouterr().out == "exercise 1.2: not yet: invalid syntax (line 30: return x / / 2)\n"


def test_a_solution_is_shown(capsys):
    main(["solution", "2.3"])
    assert capsys.readouterr().out.startswith("2.3: sort first, then visit (medium, 10 minutes)\n\nwaiting, ready, visited = ")
