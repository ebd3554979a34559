"""The lessons as notebooks: valid, the same each time, with holes or solutions, and one of them runs."""

import re

import pytest

from tinypredrnn.course.lesson import Cell, lessons
from tinypredrnn.course.run import differences
from tinypredrnn.errors import ConfigError

nbformat = pytest.importorskip("nbformat", reason="the extra `pages` is not installed")
notebooks = pytest.importorskip("tinypredrnn.course.notebooks", reason="the extra `pages` is not installed")


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    return [line for output in cell.outputs if "text" in output for line in output.text.splitlines()]


@pytest.mark.parametrize("solutions", [False, True])
def test_every_lesson_is_a_valid_notebook(solutions):
    for lesson in lessons():
        notebook = notebooks.as_notebook(lesson, solutions)
        nbformat.validate(notebook)
        assert notebook == notebooks.as_notebook(lesson, solutions)
        code = "\n".join(cell.source for cell in code_of(notebook))
        holes = code.count("...  # your code")
        wanted = sum(len(exercise.cell.solutions) for exercise in lesson.exercises.values())
        assert "solution>" not in code and holes == (0 if solutions else wanted)
        assert not re.search("^ *#[>~?]", code, re.MULTILINE)  # what a cell prints is its output
        expected = [line for cell in lesson.cells if not cell.is_text for _, line in cell.expected]
        assert [line for cell in code_of(notebook) for line in printed(cell)] == expected
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        assert text.count("<details><summary>Hint") == text.count("</details>") >= len(lesson.exercises)
        assert "*Hint" not in text and text.startswith(f"# {lesson.number}. ")


def test_hints_fold_and_drawings_are_hidden():
    text = "## A\n\n### Exercise 1.1: a\nTwice.\n\n*Hint:* add\nit.\n\n*Hint 2:* by two."
    assert notebooks.with_folded_hint(text) == (
        "## A\n\n### Exercise 1.1: a\nTwice.\n\n<details><summary>Hint</summary>\n\nAdd\nit.\n\n</details>\n\n"
        "<details><summary>Hint 2</summary>\n\nBy two.\n\n</details>")
    assert notebooks.with_folded_hint("# No hint\n") == "# No hint"
    assert notebooks.with_folded_hint("*Hint:* a\n\n## B\nc") == (
        "<details><summary>Hint</summary>\n\nA\n\n</details>\n\n## B\nc")
    drawing = Cell('# %%\na = 1\nb = 2\nc = 3\nshow(figure, "a")\n', 0)
    assert notebooks.code_cell(drawing, False).metadata == {
        "jupyter": {"source_hidden": True}, "cellView": "form"}
    assert notebooks.code_cell(Cell("# %%\na = 1\n", 0), False).metadata == {}


def test_notebooks_are_written_again_unless_they_were_changed(folder, capsys):
    notebooks.write_notebooks(folder, folder / "mine")
    first, second = sorted((folder / "mine").glob("*.ipynb"))
    assert f"begin with: jupyter lab {first}" in capsys.readouterr().out
    assert nbformat.read(first, 4).cells[1].source.endswith('install it as its README says")')
    first.write_text(first.read_text(encoding="utf-8").replace("...  # your code", "my work"), encoding="utf-8")
    edited, untouched = first.read_bytes(), second.read_bytes()
    notebooks.write_notebooks(folder, folder / "mine", solutions=True, requirement="git+https://x.org")
    assert first.read_bytes() == edited and second.read_bytes() != untouched
    assert f"{first} is there already and stays as it is" in capsys.readouterr().out
    assert '%pip install --quiet "git+https://x.org"' in nbformat.read(second, 4).cells[1].source


def test_what_is_not_ours_stays(folder):
    (folder / "mine").mkdir()
    theirs = folder / "mine/01_a_lesson.ipynb"
    theirs.write_text("mine")
    notebooks.write_notebooks(folder, folder / "mine")
    assert theirs.read_text() == "mine" and (folder / "mine/02_another.ipynb").is_file()
    for target in (theirs, ""):
        with pytest.raises(ConfigError, match="is not a folder"):
            notebooks.write_notebooks(folder, target)


def test_a_notebook_runs(tmp_path, monkeypatch):
    """With the solutions, at small size, each cell prints what was stored with it, and its exercises are solved."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient of the extra `test` is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel of the extra `test` is not installed")
    monkeypatch.setenv("TINYPREDRNN_LESSONS", "small")
    (lesson,) = lessons(numbers=[3])
    notebook = notebooks.as_notebook(lesson, solutions=True)
    stored = [printed(cell) for cell in code_of(notebook)]
    client = nbclient.NotebookClient(notebook, timeout=None, startup_timeout=600, kernel_name="python3",
                                     resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    lines = [printed(cell) for cell in code_of(notebook)]
    verdicts = [line for cell in lines for line in cell if line.startswith("exercise ")]
    assert verdicts == [f"exercise {name}: OK" for name in lesson.exercises]
    assert list(differences([("~", line) for cell in stored for line in cell],
                            [line for cell in lines for line in cell if line not in verdicts])) == []
    shown = [output for cell in code_of(notebook) for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(shown) == lesson.text.count("\nshow(")
