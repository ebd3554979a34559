"""What a lesson leaves beside it: progress and figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_lesson import lesson_of

from tinypredrnn.course.__main__ import show_progress
from tinypredrnn.course.progress import progress, remember
from tinypredrnn.course.run import execute, run, size

pytestmark = pytest.mark.filterwarnings("error")


def test_check_tells_and_remembers(tmp_path):
    lesson = lesson_of(tmp_path, '''from tinypredrnn.course import check
check("3.1", lambda: 1.0, 1.0)
check("3.2", lambda: 1 / 0, 1.0)
check("3.3", lambda: None.shape, 1.0)
check("3.4", lambda: 1.1, 1.0, rtol=0.2)
check("3.5", lambda: 1.1, 1.0)
''')
    assert execute(lesson.cells[1], lesson, {"__file__": str(lesson.path)}) == [
        "exercise 3.1: OK",
        'exercise 3.2: not yet: ZeroDivisionError: division by zero (line 9: check("3.2", lambda: 1 / 0, 1.0))',
        'exercise 3.3: not yet: nothing came back yet (line 10: check("3.3", lambda: None.shape, 1.0))',
        "exercise 3.4: OK", "exercise 3.5: not yet: largest difference 0.1: 1.1 instead of 1"]
    assert progress(tmp_path) == {"3.1": True, "3.2": False, "3.3": False, "3.4": True, "3.5": False}


PICTURE = '''import matplotlib.pyplot as plt
from tinypredrnn.course import show
figure = plt.figure()
show(figure, "empty")
print(plt.fignum_exists(figure.number))
#> False
'''


def test_progress_is_kept_by_exercise(tmp_path):
    remember(tmp_path, "1.1", True)
    remember(tmp_path, "2.1", False)
    remember(tmp_path, "1.2", True)
    remember(tmp_path, "2.1", True)
    assert progress(tmp_path) == {"1.1": True, "2.1": True, "1.2": True}


def test_progress_of_earlier_versions_is_kept(tmp_path):
    """They wrote a dict for each lesson, and for all notebooks one of the name "notebook"."""
    old = {"01_a_lesson": {"1.1": True, "1.2": False}, "notebook": {"3.1": True, "4.1": False}}
    (tmp_path / ".progress.json").write_text(json.dumps(old))
    assert progress(tmp_path) == {"1.1": True, "1.2": False, "3.1": True, "4.1": False}
    remember(tmp_path, "1.2", True)
    assert progress(tmp_path) == {"1.1": True, "1.2": True, "3.1": True, "4.1": False}


@pytest.mark.parametrize("damage", [
    b"", b"{", b"[1, 2]", b"3", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000,
    b'{"01_a_lesson": 3}', b'{"01_a_lesson": "yes"}', b'{"01_a_lesson": ["1.1", "1.2"]}',
    b'{"01_a_lesson": [["1.1", true], ["1.2", true]]}',
    b'{"01_a_lesson": {"1.1": 3, "1.2": 2}}', b'{"01_a_lesson": {"1.1": [1], "1.2": "true", "1.3": true}}',
    b'{"01_a_lesson": {"1.1": NaN, "1.2": 1}}', b'{"\\ud800": {"1.1": 1}}', b'{"1.1": 1, "1.2": "true"}',
], ids=lambda damage: damage[:40].decode("latin-1"))
def test_progress_survives_damage(folder, capsys, damage):
    """No traceback and no wrong count, and what is done afterwards is kept."""
    (folder / ".progress.json").write_bytes(damage)
    show_progress(folder)
    assert capsys.readouterr().out.count("exercises 0 of 2") == 2
    remember(folder, "1.1", True)
    show_progress(folder)
    assert "exercises 1 of 2" in capsys.readouterr().out
    assert json.loads((folder / ".progress.json").read_text())["1.1"] is True


def test_a_folder_that_cannot_be_written_to_has_no_progress(tmp_path, capsys):
    """Neither pictures nor progress, and the lesson goes on."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file", "1.1", True)  # no folder can be made there
    (tmp_path / ".progress.json").mkdir()
    remember(tmp_path, "1.1", True)
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


NOTEBOOK = """
import sys
from types import ModuleType, SimpleNamespace
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt

figure, shown = plt.figure(), []
display = ModuleType("IPython.display")
display.display, display.Image = shown.append, lambda data, alt: data
ipython = ModuleType("IPython")
ipython.get_ipython = lambda: SimpleNamespace(kernel=None)
sys.modules.update({"IPython": ipython, display.__name__: display})

from tinypredrnn.course import check, show

show(figure, "gradient")
check("11.1", lambda: 1, 1)
check("3.1", lambda: 1, 2)
print(len(shown))
"""


def test_a_notebook_keeps_its_figures_itself_and_its_progress_by_exercise(tmp_path):
    """A notebook does not know its path: globals without __file__, in the folder where its kernel runs."""
    done = subprocess.run([sys.executable, "-c", NOTEBOOK], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "exercise 11.1: OK" and done.stdout.splitlines()[-1] == "1", done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".progress.json"]
    assert progress(tmp_path) == {"11.1": True, "3.1": False}


SCRIPT = """# %% [markdown]
# # 3. Test
# - **Idea:** one.
# - **Minutes:** 5

# %%
import matplotlib.pyplot as plt

from tinypredrnn.course import check, show


def later():
    print("deep")


print("one")

# %% [markdown]
# No heading.
#
# ## Silent
#
# ## Second
# More.

# %%
later()
show(plt.figure(), "empty")

# %% [markdown]
# ### Exercise 3.1: two

# %%
check("3.1", lambda: 2, 2)

# %% [markdown]
# ## The end
"""


def test_a_script_prints_headings_and_where_its_figures_are(tmp_path):
    folder = tmp_path / "my course"
    folder.mkdir()
    (folder / "03_test.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, folder / "03_test.py"], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "MPLBACKEND": "agg"})
    picture = Path("my course/figures/03_test/empty.png")
    assert done.stdout == ("\n# 3. Test\none\n\n## Silent\n\n## Second\ndeep\n"
                           f"figure: {picture}\n\n### Exercise 3.1: two\nexercise 3.1: OK\n"), done.stderr
    assert (tmp_path / picture).is_file()


def test_other_scripts_print_no_headings(tmp_path):
    for name in ("03_test.py", "notes.py"):
        (tmp_path / name).write_text("import tinypredrnn.course\n# %% [markdown]\n# # A heading\nprint('one')\n")
        done = subprocess.run([sys.executable, tmp_path / name], capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("one\n", "")


def test_size(monkeypatch):
    assert size(100, small=3) == 3
    for other in ("full", ""):
        monkeypatch.setenv("TINYPREDRNN_LESSONS", other)
        assert size(100, small=3) == 100
    monkeypatch.delenv("TINYPREDRNN_LESSONS")
    assert size(100, small=3) == size(100, small=3, long=900) == 100
    monkeypatch.setenv("TINYPREDRNN_LESSONS", "long")
    assert size(100, small=3) == 100 and size(100, small=3, long=900) == 900
