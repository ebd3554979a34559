"""A lesson as text. It is a Python script whose cells begin with `# %%` (text cells with `# %% [markdown]`).

Within a code cell

    #> 14.0                  a line that the cell prints: the same words, and numbers to 1 part in 1,000
    #~ loss 0.63             the same, but the number depends on the size of the run: at full size, to 1 part in 4
    #? 3.1 ms                the same, but the number depends on the machine: only the words are compared
    #+~ loss 0.21            a plus before a mark: only the long size prints this line
    # <solution>             the reader writes what is between this line and `# </solution>`

An exercise is a text cell that ends with `### Exercise 3.1: title (easy, 5 minutes)`, what is to be done, and a
paragraph that begins with `*Hint:*`; a code cell after it has a solution and a call `check("3.1", ...)`.
"""

import re
from pathlib import Path
from textwrap import dedent, indent
from typing import NamedTuple

from tinypredrnn.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = PACKAGE / "lessons"  # an installation has the lessons inside the package, a checkout beside it
LESSONS = INSTALLED if INSTALLED.is_dir() else PACKAGE.parent / "lessons"

YOUR_CODE = "...  # your code"
ANNOUNCED = re.compile(r"^\s*#(\+?[>~?]) ?(.*)$", re.MULTILINE)
HOLE = re.compile(r"^( *)# <solution>\n(.*?)^ *# </solution>\n", re.MULTILINE | re.DOTALL)


class Cell:
    """One cell of a lesson.

    source     its text, with the line that begins it
    line       where it begins, from 0
    is_text    whether it is Markdown
    exercise   "3.1" if it checks that exercise, otherwise None
    """

    def __init__(self, source, line):
        self.source, self.line = source, line
        self.is_text = source.startswith("# %% [markdown]")
        found = re.search(r"\bcheck\(\"(\d+\.\d+)\"", source)
        self.exercise = found and found[1]

    @property
    def expected(self):
        """[(mark, line)] of the output that a code cell announces in comments"""
        return ANNOUNCED.findall(self.source)

    @property
    def code(self):
        """A code cell without the line that begins it and without the output that it announces."""
        lines = self.source.splitlines()[1:]
        return "\n".join(line for line in lines if not ANNOUNCED.match(line)).strip("\n")

    @property
    def prose(self):
        """The Markdown of a text cell."""
        return "\n".join(re.sub("^# ?", "", line) for line in self.source.splitlines()[1:]).strip("\n")

    @property
    def solutions(self):
        """The texts between the tags of a code cell, each without its indentation."""
        return [dedent(text).strip("\n") for _, text in HOLE.findall(self.source)]


class Exercise(NamedTuple):
    """name "3.1"; title; task and hint, Markdown; solution, code; cell, the one that checks it."""

    name: str
    title: str
    task: str
    hint: str
    solution: str
    cell: Cell


class Lesson:
    """A lesson's text: `cells`, and from its header `number`, `title`, `idea`, `minutes`."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.text = self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.path} is not a lesson: it should be text in UTF-8, but {error}") from error
        self.cells = cells_of(self.text)
        self.number, self.title = self.find(r"^# # (\d+)\. (.+)$")
        (idea,) = self.find(r"^# - \*\*Idea:\*\* (.+(?:\n#   .+)*)")
        self.idea = idea.replace("\n#  ", "")
        (self.minutes,) = self.find(r"^# - \*\*Minutes:\*\* (\d+)")

    def find(self, pattern):
        found = re.search(pattern, self.text, re.MULTILINE)
        if not found:
            raise ConfigError(f"{self.path} is not a lesson: its header lacks a line like {pattern!r}")
        return found.groups()

    @property
    def headings(self):
        """[(line from 1, text)], such as (53, "## Counting calls")"""
        return [(cell.line + number, line[2:]) for cell in self.cells if cell.is_text
                for number, line in enumerate(cell.source.splitlines(), start=1) if re.match("# #+ ", line)]

    @property
    def exercises(self):
        """{name: Exercise} in the lesson's order"""
        found, prose = {}, ""
        for cell in self.cells:
            if cell.is_text:
                prose += cell.prose + "\n"
            elif cell.exercise:
                title, task, hint = self.parts(prose)
                found[cell.exercise] = Exercise(cell.exercise, title, task, hint, "\n\n".join(cell.solutions), cell)
        return found

    @staticmethod
    def parts(prose):
        """(title, task, hint) of the last exercise in Markdown; each may be empty."""
        *_, title, body = ["", "", *re.split(r"^### Exercise \d+\.\d+: (.*)$", prose, flags=re.MULTILINE)]
        task, _, hint = body.partition("*Hint:*")
        return title, task.strip(), hint.strip()


def cells_of(text):
    """The cells of a lesson's text."""
    starts = [match.start() for match in re.finditer(r"^# %%", text, re.MULTILINE)] + [len(text)]
    return [Cell(text[start:end], text.count("\n", 0, start)) for start, end in zip(starts, starts[1:])]


def lessons(folder=LESSONS, numbers=()):
    """The lessons of a folder in their order, or those with these numbers; ConfigError if there is none. A file without
    cells is not a lesson."""
    found = [Lesson(path) for path in sorted(Path(folder).glob("[0-9][0-9]_*.py")) if b"# %%" in path.read_bytes()]
    missing = {str(int(number)) for number in numbers} - {lesson.number for lesson in found}
    if missing or not found:
        wanted = f"lesson {', '.join(sorted(missing))}" if missing else "lessons"
        raise ConfigError(f"no {wanted} in {Path(folder)}: name a folder that `write` made, or none for tinypredrnn's "
                          "own")
    return [lesson for lesson in found if not numbers or int(lesson.number) in {int(number) for number in numbers}]


def with_holes(text, filling=YOUR_CODE):
    """A lesson's text, or a cell's, with `filling` in place of each solution."""
    return HOLE.sub(lambda found: indent(filling, found[1]) + "\n", text)
