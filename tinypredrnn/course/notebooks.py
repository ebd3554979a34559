"""The lessons as Jupyter notebooks, for Jupyter, an editor or Colab.

A cell's output is stored as the lesson announces it, so that it is there before anything runs; code that only draws is
folded, and hints fold as on the pages.
"""

import os
import re
from pathlib import Path

import nbformat.v4 as nb
from nbformat import validate, writes

from tinypredrnn.course.copies import quoted
from tinypredrnn.course.lesson import lessons, with_holes
from tinypredrnn.course.rendering import HINT, capital, draws_only
from tinypredrnn.errors import ConfigError
from tinypredrnn.folder import Folder

KIND = "set of notebooks"
INSTALL = """# Where tinypredrnn is not installed, as in Colab, this cell installs it; elsewhere it does nothing.
import importlib.util

if importlib.util.find_spec("tinypredrnn") is None:
    %pip install --quiet "{requirement}\""""
# without an address: a name alone might be somebody else's package
ASK = """# Is tinypredrnn installed where this notebook runs?
import importlib.util

if importlib.util.find_spec("tinypredrnn") is None:
    raise SystemExit("tinypredrnn is not installed here: install it as its README says")"""


def write_notebooks(source, target, solutions=False, requirement=""):
    """Write the lessons of the folder `source` as notebooks into the folder `target`.

    solutions     with the solutions; otherwise the exercises have holes
    requirement   what pip installs where the package is missing: an address such as git+https://..., or the file of a
                  wheel; "": the first cell only says that it is missing

    A notebook that is there already is replaced only if it is as this command wrote it.
    """
    found = lessons(source)
    if not str(target) or os.path.lexists(target) and not Path(target).is_dir():
        raise ConfigError(f"{str(target)!r} is not a folder: name a new or an empty one, such as my_notebooks")
    folder = Folder(target, KIND)
    with folder:
        for lesson in found:
            name = f"{lesson.path.stem}.ipynb"
            if os.path.lexists(folder.path / name) and not folder.is_ours(name):
                print(f"{folder.path / name} is there already and stays as it is")
                continue
            notebook = as_notebook(lesson, solutions, requirement)
            with folder.writing(name) as temporary:
                temporary.write_text(writes(notebook) + "\n", encoding="utf-8")
    print(f"begin with: jupyter lab {quoted(folder.path / f'{found[0].path.stem}.ipynb')}")


def as_notebook(lesson, solutions=False, requirement=""):
    """A lesson as a valid notebook of format 4; the same lesson always gives the same one."""
    cells = []
    for cell in lesson.cells:
        if cell.is_text:
            cells.append(nb.new_markdown_cell(with_folded_hint(cell.prose)))
        else:
            cells.append(code_cell(cell, solutions))
        if len(cells) == 1:
            cells.append(nb.new_code_cell(INSTALL.format(requirement=requirement) if requirement else ASK))
    for index, cell in enumerate(cells):
        cell["id"] = f"cell-{index}"  # instead of a random one
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nb.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    validate(notebook)
    return notebook


def code_cell(cell, solutions):
    code = cell.code + "\n"
    code = re.sub(r"^ *# </?solution>\n", "", code, flags=re.MULTILINE) if solutions else with_holes(code)
    found = nb.new_code_cell(code.rstrip("\n"))
    if cell.expected:
        text = "".join(f"{line}\n" for _, line in cell.expected)
        found.outputs = [nb.new_output("stream", name="stdout", text=text)]
    if draws_only(cell):
        found.metadata.update(jupyter={"source_hidden": True}, cellView="form")  # Jupyter's way and Colab's
    return found


def with_folded_hint(prose):
    """Markdown in which each hint is folded, to the next one or to the next heading; Jupyter and Colab show
    <details>."""
    hint = re.compile(rf"^\*{HINT.pattern}\* *(.*?)\s*(?=^\*Hint|^#+ |\Z)", re.MULTILINE | re.DOTALL)
    return hint.sub(lambda found: f"<details><summary>{found[1]}</summary>\n\n{capital(found[2])}\n\n</details>\n\n",
                    prose).rstrip("\n")
