"""What lessons rest on: check, show and size; the lesson as text; the run that compares; the command."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.course.__main__ import show_progress, table
from tinypredrnn.course.answers import check, compare
from tinypredrnn.course.copies import quoted, write
from tinypredrnn.course.lesson import Cell, Lesson, with_holes
from tinypredrnn.course.progress import progress, remember
from tinypredrnn.course.run import differences, execute, run, size
from tinypredrnn.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("error")

LESSON = '''# %% [markdown]
# # 1. A lesson
#
# - **Idea:** two lines of
#   an idea.
# - **Minutes:** 15

# %%
from tinypredrnn.course import check, size

print("loss", size(0.5, 7.0))
#~ loss 0.55

# %% [markdown]
# ### Exercise 1.1: double

# %%
def double(x):
    # <solution>
    y = x
    return y + x
    # </solution>


check("1.1", lambda: double(3), 6)

# %%
def half(x):
    # <solution>
    return x / 2
    # </solution>


check("1.2", lambda: half(3), 1.5)
print("end")
#> end
'''


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("TINYPREDRNN_LESSONS", "small")  # and what a run sets is undone


@pytest.fixture
def folder(tmp_path):
    """A folder of two lessons."""
    (tmp_path / "01_a_lesson.py").write_text(LESSON)
    (tmp_path / "02_another.py").write_text(LESSON.replace("# 1. A", "# 2. Another").replace('"1.', '"2.'))
    (tmp_path / "notes.py").write_text("no lesson")
    return tmp_path


def lesson_of(tmp_path, code):
    """A lesson with one cell of code."""
    path = tmp_path / "03_test.py"
    path.write_text(f"# %% [markdown]\n# # 3. Test\n# - **Idea:** one.\n# - **Minutes:** 5\n\n# %%\n{code}")
    return Lesson(path)


# compare

def complaint(answer, expected):
    return compare(answer, expected, 1e-6, 1e-9)


@pytest.mark.parametrize("answer, expected", [
    (6, 6.0), (1 + 1e-7, 1.0), (np.float32(0.5), 0.5), (np.nan, np.nan), (np.inf, np.inf), ([1, 2], np.array([1.0, 2.0])), (2**60, 2**60),
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
    ((1.0,), [1.0], "the answer should be a list of 1, got (1.0,)"),
    ([1.0, 2.0], [1.0], "the answer should be a list of 1, got [1.0, 2.0]"),
    ({"a": [1.0, 3.0]}, {"a": [1.0, 2.0]}, "at ['a'][1]: largest difference 1: 3 instead of 2"),
    ("x" * 100, [1.0], "the answer should be a list of 1, got 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."),
])
def test_wrong_answers(answer, expected, message):
    assert complaint(answer, expected) == message


def test_a_missing_key_is_told_by_check(monkeypatch, capsys):
    monkeypatch.setattr("tinypredrnn.course.answers.remember", lambda *_: None)  # this file is no lesson with progress
    check("9.9", lambda: {"b": 1}, {"a": 1})
    assert capsys.readouterr().out == "exercise 9.9: not yet: KeyError: 'a'\n"


# check

def test_check_tells_and_remembers(tmp_path):
    lesson = lesson_of(tmp_path, '''from tinypredrnn.course import check
check("3.1", lambda: 1.0, 1.0)
check("3.2", lambda: 1 / 0, 1.0)
check("3.3", lambda: None.shape, 1.0)
check("3.4", lambda: 1.1, 1.0, rtol=0.2)
check("3.5", lambda: 1.1, 1.0)
''')
    assert execute(lesson.cells[1], lesson, {"__file__": str(lesson.path)}) == [
        "exercise 3.1: OK", "exercise 3.2: not yet: ZeroDivisionError: division by zero", "exercise 3.3: not yet: nothing came back yet",
        "exercise 3.4: OK", "exercise 3.5: not yet: largest difference 0.1: 1.1 instead of 1"]
    assert progress(tmp_path) == {"03_test": {"3.1": True, "3.2": False, "3.3": False, "3.4": True, "3.5": False}}


PICTURE = '''import matplotlib.pyplot as plt
from tinypredrnn.course import show
figure = plt.figure()
show(figure, "empty")
print(plt.fignum_exists(figure.number))
#> False
'''


def test_progress_is_kept_per_lesson(tmp_path):
    remember(tmp_path / "01_a.py", "1.1", True)
    remember(tmp_path / "02_b.py", "2.1", False)
    remember(tmp_path / "01_a.py", "1.2", True)
    remember(tmp_path / "02_b.py", "2.1", True)
    assert progress(tmp_path) == {"01_a": {"1.1": True, "1.2": True}, "02_b": {"2.1": True}}


@pytest.mark.parametrize("damage", [
    b"", b"{", b"[1, 2]", b"3", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000,
    b'{"01_a_lesson": 3}', b'{"01_a_lesson": "yes"}', b'{"01_a_lesson": ["1.1", "1.2"]}',
    b'{"01_a_lesson": [["1.1", true], ["1.2", true]]}',
    b'{"01_a_lesson": {"1.1": 3, "1.2": 2}}', b'{"01_a_lesson": {"1.1": [1], "1.2": "true", "1.3": true}}',
    b'{"01_a_lesson": {"1.1": NaN, "1.2": 1}}', b'{"\\ud800": {"1.1": true}}',
], ids=lambda damage: damage[:40].decode("latin-1"))
def test_progress_survives_damage(folder, capsys, damage):
    """No traceback and no wrong count, and what is done afterwards is kept."""
    (folder / ".progress.json").write_bytes(damage)
    show_progress(folder)
    assert capsys.readouterr().out.count("exercises 0 of 2") == 2
    remember(folder / "01_a_lesson.py", "1.1", True)
    show_progress(folder)
    assert "exercises 1 of 2" in capsys.readouterr().out
    assert json.loads((folder / ".progress.json").read_text())["01_a_lesson"]["1.1"] is True


def test_a_folder_that_cannot_be_written_to_has_no_progress(tmp_path, capsys):
    """Neither pictures nor progress, and the lesson goes on."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file" / "01_a.py", "1.1", True)  # no folder can be made there
    (tmp_path / ".progress.json").mkdir()
    remember(tmp_path / "01_a.py", "1.1", True)
    assert progress(tmp_path) == {}
    (tmp_path / "figures").write_text("a file is where the folder should be")
    lesson = lesson_of(tmp_path, PICTURE)
    assert run(lesson)[1] == [] and "the picture empty is not saved: " in capsys.readouterr().err
    assert (tmp_path / "figures").read_text() == "a file is where the folder should be"


def test_lessons_of_an_installation_leave_nothing_in_it(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    monkeypatch.setattr("tinypredrnn.course.progress.INSTALLED", tmp_path.resolve())
    monkeypatch.setattr("tinypredrnn.course.figures.INSTALLED", tmp_path.resolve())
    lesson = lesson_of(tmp_path, PICTURE + 'from tinypredrnn.course import check\ncheck("3.1", lambda: 1, 1)\n')
    assert run(lesson)[1] == []
    assert [path.name for path in tmp_path.iterdir()] == ["03_test.py"]


def test_show_saves_beside_the_lesson(tmp_path):
    import matplotlib

    matplotlib.use("agg")
    assert run(lesson_of(tmp_path, PICTURE))[1] == []
    assert (tmp_path / "figures/03_test/empty.png").stat().st_size > 100


def test_size(monkeypatch):
    assert size(100, small=3) == 3
    for other in ("full", ""):
        monkeypatch.setenv("TINYPREDRNN_LESSONS", other)
        assert size(100, small=3) == 100
    monkeypatch.delenv("TINYPREDRNN_LESSONS")
    assert size(100, small=3) == 100


# the text

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


# the comparison

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


# the command

def command(*arguments, **environment):
    done = subprocess.run([sys.executable, "-m", "tinypredrnn.course", *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "MPLBACKEND": "agg", **environment})
    return done.returncode, done.stdout, done.stderr


def test_write_never_overwrites(folder, tmp_path, capsys):
    target = tmp_path / "mine"
    write(folder, target)
    first = target / "01_a_lesson.py"
    assert first.read_text() == with_holes(LESSON) and (target / "02_another.py").exists() and not (target / "notes.py").exists()
    out = capsys.readouterr().out
    assert f"begin with: python {first}" in out and f"--folder {target}" in out
    first.write_text("my work")
    (target / "02_another.py").unlink()
    write(folder, target)
    assert first.read_text() == "my work" and (target / "02_another.py").exists()
    assert f"{first} is there already and stays as it is" in capsys.readouterr().out
    assert sorted(path.name for path in target.iterdir()) == ["01_a_lesson.py", "02_another.py"]


@pytest.mark.skipif(os.name == "nt", reason="how a POSIX shell is quoted")
def test_hints_can_be_pasted(folder, tmp_path, capsys):
    """Run by a shell, each line does what it says, in a folder with a space, a quote and a dollar."""
    write(folder, mine := tmp_path / "my course's $HOME")
    begin, progress = (line.split(": ", 1)[1] for line in capsys.readouterr().out.splitlines())
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
    remember(folder / "01_a_lesson.py", "1.1", True)
    remember(folder / "01_a_lesson.py", "1.2", False)
    assert "exercises 1 of 2" in shown() and "next: python " + str(folder / "01_a_lesson.py") in shown()
    remember(folder / "01_a_lesson.py", "1.2", True)
    assert "exercises 2 of 2" in shown() and "next: python " + str(folder / "02_another.py") in shown()
    for exercise in ("2.1", "2.2"):
        remember(folder / "02_another.py", exercise, True)
    assert shown().endswith("\nall done\n")


def test_a_link_to_nowhere_is_not_replaced(folder, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    try:
        (tmp_path / "mine/01_a_lesson.py").symlink_to(tmp_path / "elsewhere.py")
    except OSError:
        pytest.skip("no links here")
    write(folder, tmp_path / "mine")
    assert (tmp_path / "mine/01_a_lesson.py").is_symlink()
    assert "is there already and stays as it is" in capsys.readouterr().out


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
    (["--folder", "nowhere", "table"], "no lessons in nowhere"), (["--folder", "nowhere", "write", "there"], "no lessons in nowhere"),
], ids=str)
def test_errors_of_the_command_are_one_sentence(folder, arguments, message):
    places = {"FILE": folder / "notes.py", "FOLDER": folder}
    arguments = [places.get(argument, argument) for argument in arguments]
    if "--folder" not in arguments:
        arguments = ["--folder", folder, *arguments]
    status, out, err = command(*arguments)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1 and "Traceback" not in err


def test_unknown_words_are_refused():
    status, _, err = command("fly")
    assert status == 2 and "invalid choice: 'fly'" in err
