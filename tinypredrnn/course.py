"""The course in lessons/: what a lesson uses (check, show, size), and the command that runs it.

    python -m tinypredrnn.course                     the lessons, which are done, and which comes next
    python -m tinypredrnn.course write FOLDER        write copies to work in, with gaps instead of solutions
    python -m tinypredrnn.course run 3 4 [--full]    run lessons and compare their output with the expected output
    python -m tinypredrnn.course table               the table in the README

With `--folder FOLDER` the first and the third work on copies written by the second.

A lesson is a Python script whose cells begin with `# %%` (text cells with `# %% [markdown]`). Within a code cell

    #> 14.0                  a line that the cell prints: the same words, and numbers to 1 part in 1,000
    #~ loss 0.63             the same, but the number depends on the size of the run: at full size, to 1 part in 4
    #? 3.1 ms                the same, but the number depends on the machine: only the words are compared
    # <solution>             the reader writes what is between this line and `# </solution>`
"""

import argparse
import contextlib
import io
import os
import re
import shlex
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from tinypredrnn.errors import ConfigError, command
from tinypredrnn.files import read_json, replacing, write_json

PACKAGE = Path(__file__).resolve().parent
INSTALLED = PACKAGE / "lessons"  # an installation has the lessons inside the package, a checkout beside it
LESSONS = INSTALLED if INSTALLED.is_dir() else PACKAGE.parent / "lessons"
NUMBER = re.compile(r"[-+]?(?:\d+(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)


# What a lesson uses

def size(full, small):
    """A number of steps, samples or seconds: `small` if TINYPREDRNN_LESSONS=small asks for a quick run, otherwise
    `full`."""
    return small if os.environ.get("TINYPREDRNN_LESSONS") == "small" else full


def show(figure, name):
    """Save a matplotlib figure as figures/LESSON/name.png beside the lesson; a notebook or an editor's cells show it,
    too.

    If that folder cannot be written to, a line on stderr says so; beside the lessons of an installation nothing is
    saved.
    """
    import matplotlib.pyplot as plt

    lesson = caller()
    if lesson.parent != INSTALLED:
        try:
            with replacing(lesson.parent / "figures" / lesson.stem / f"{name}.png") as temporary:
                figure.savefig(temporary, dpi=110, bbox_inches="tight")
        except OSError as error:
            print(f"the picture {name} is not saved: {error}", file=sys.stderr)
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display(figure)
    plt.close(figure)


def check(exercise, answer, expected, rtol=1e-6, atol=1e-9):
    """Print one line: whether `answer()` is `expected` (a number, an array, or a list or dict of them), or the first
    place where it is not.

    answer   a function without arguments, so that what it raises can be reported as well
    """
    try:
        complaint = compare(answer(), expected, rtol, atol)
    except Exception as error:  # a reader's unfinished code raises whatever it can; the lesson goes on
        complaint = "nothing came back yet" if "NoneType" in str(error) else f"{type(error).__name__}: {error}"
    print(f"exercise {exercise}: {'OK' if complaint is None else 'not yet: ' + complaint}")
    remember(caller(), exercise, complaint is None)


def compare(answer, expected, rtol, atol, where=""):
    """None if `answer` is `expected`, otherwise what is wrong, in words."""
    place = where and f"at {where}: "
    if expected is not None and (answer is None or answer is ...):
        return place + "nothing came back yet"
    if isinstance(expected, (list, tuple, dict)):
        if type(answer) is not type(expected) or len(answer) != len(expected):
            kind = f"a {type(expected).__name__} of {len(expected)}"
            return f"{where or 'the answer'} should be {kind}, got {shorten(answer)}"
        keys = expected if isinstance(expected, dict) else range(len(expected))
        complaints = (compare(answer[key], expected[key], rtol, atol, f"{where}[{key!r}]") for key in keys)
        return next((complaint for complaint in complaints if complaint), None)
    if isinstance(expected, (str, bool)) or expected is None:
        return None if np.array_equal(answer, expected) else f"{place}{shorten(answer)} instead of {shorten(expected)}"
    answer, expected = values(answer), values(expected)
    if answer.shape != expected.shape:
        return f"{place}shape {answer.shape} instead of {expected.shape}"
    if answer.dtype.kind not in "biuf":
        return f"{place}an array of {answer.dtype} instead of numbers"
    wrong = ~np.isclose(answer, expected, rtol, atol, equal_nan=True)
    if not wrong.any():
        return None
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        largest = np.max(np.abs(answer.astype(float) - expected)[wrong])
    index = f", first at index {first if len(first) > 1 else first[0]}" if first else ""
    return f"{place}largest difference {largest:.3g}{index}: {answer[first]:.6g} instead of {expected[first]:.6g}"


def values(answer):
    """An array of a number, a list of numbers, an array, or a tensor."""
    return np.asarray(answer if isinstance(answer, (np.ndarray, np.generic)) else getattr(answer, "data", answer))


def shorten(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def caller():
    """The lesson that called: its path, or in a notebook a name in the working folder."""
    return Path(sys._getframe(2).f_globals.get("__file__", "notebook.py")).resolve()


# The progress of a reader, kept beside the lessons

def progress(folder):
    """{lesson: {exercise: whether it is solved}}; a damaged entry counts as not solved until the lesson runs again."""
    try:
        done = read_json(Path(folder) / ".progress.json") or {}
    except OSError:
        return {}
    return {name: {exercise: passed for exercise, passed in entry.items() if isinstance(passed, bool)}
            for name, entry in done.items() if isinstance(entry, dict)}


def remember(lesson, exercise, passed):
    done = progress(lesson.parent)
    if lesson.parent != INSTALLED and done.setdefault(lesson.stem, {}).get(exercise) != passed:
        done[lesson.stem][exercise] = passed
        with contextlib.suppress(OSError):  # a read-only folder has no progress
            write_json(lesson.parent / ".progress.json", done)


# A lesson as text

class Cell:
    """One cell of a lesson: `source` (its lines), `line` (where it begins, from 0), `is_text`, `exercise` ("3.1" or
    None)."""

    def __init__(self, source, line):
        self.source, self.line = source, line
        self.is_text = source.startswith("# %% [markdown]")
        found = re.search(r"\bcheck\(\"(\d+\.\d+)\"", source)
        self.exercise = found and found[1]

    @property
    def expected(self):
        """[(mark, line)] of the output that the cell announces in comments"""
        return re.findall(r"^\s*#([>~?]) ?(.*)$", self.source, re.MULTILINE)


class Lesson:
    """A lesson's text: `cells`, and from its header `number`, `title`, `idea`, `minutes`."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.text = self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.path} is not a lesson: it should be text in UTF-8, but {error}") from error
        starts = [match.start() for match in re.finditer(r"^# %%", self.text, re.MULTILINE)] + [len(self.text)]
        self.cells = [Cell(self.text[a:b], self.text.count("\n", 0, a)) for a, b in zip(starts, starts[1:])]
        self.number, self.title = self.find(r"^# # (\d+)\. (.+)$")
        (self.idea,), (self.minutes,
                       ) = self.find(r"^# - \*\*Idea:\*\* (.+(?:\n#   .+)*)"), self.find(r"^# - \*\*Minutes:\*\* (\d+)")
        self.idea = self.idea.replace("\n#  ", "")

    def find(self, pattern):
        found = re.search(pattern, self.text, re.MULTILINE)
        if not found:
            raise ConfigError(f"{self.path} is not a lesson: its header lacks a line like {pattern!r}")
        return found.groups()

    @property
    def exercises(self):
        return [cell.exercise for cell in self.cells if cell.exercise]


def lessons(folder=LESSONS, numbers=()):
    """The lessons of a folder in their order, or those with these numbers; ConfigError if there is none."""
    found = [Lesson(path) for path in sorted(Path(folder).glob("[0-9][0-9]_*.py"))]
    missing = {str(int(number)) for number in numbers} - {lesson.number for lesson in found}
    if missing or not found:
        wanted = f"lesson {', '.join(sorted(missing))}" if missing else "lessons"
        raise ConfigError(f"no {wanted} in {Path(folder)}: name a folder that `write` made, or none for tinypredrnn's "
                          "own")
    return [lesson for lesson in found if not numbers or int(lesson.number) in {int(number) for number in numbers}]


def with_holes(text, filling="...  # your code"):
    """A lesson's text with each solution replaced."""
    hole = re.compile(r"^( *)# <solution>\n.*?^ *# </solution>\n", re.MULTILINE | re.DOTALL)
    return hole.sub(lambda found: found[1] + filling.replace("\n", "\n" + found[1]) + "\n", text)


# A lesson as it runs

def execute(cell, lesson, namespace):
    """Run one cell in `namespace`, warnings as errors; returns the lines that it printed."""
    printed = io.StringIO()
    # blank lines first, so that error messages have the line numbers of the lesson
    code = compile("\n" * cell.line + cell.source, str(lesson.path), "exec")
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(code, namespace)
    return printed.getvalue().splitlines()


def run(lesson):
    """Run all cells. Returns (namespace, complaints): the places where a cell did not print what was expected, with
    both lines."""
    namespace = {"__name__": "__main__", "__file__": str(lesson.path)}
    complaints = []
    for cell in lesson.cells:
        if not cell.is_text:
            printed = execute(cell, lesson, namespace)
            verdicts = [line for line in printed if line.startswith("exercise ")]
            complaints += [f"line {cell.line + 1}: {line}" for line in verdicts if not line.endswith(": OK")]
            complaints += [f"line {cell.line + 1}: {text}" for text in
                           differences(cell.expected, [line for line in printed if line not in verdicts])]
    return namespace, complaints


def differences(expected, printed):
    """Say in which of the `printed` lines something other than `expected` was printed."""
    for index in range(max(len(expected), len(printed))):
        if index >= len(expected) or index >= len(printed):
            yield (f"expected {len(expected)} lines, printed {len(printed)}, the first without a partner: "
                   f"{(expected[index][1] if index < len(expected) else printed[index])!r}")
            return
        (mark, wanted), line = expected[index], printed[index]
        same_words = NUMBER.sub("0", wanted).split() == NUMBER.sub("0", line).split()
        tolerance = {">": 1e-3, "~": size(0.25, small=None), "?": None}[mark]  # None: any number will do
        numbers = [[float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (line, wanted)]
        if not same_words or tolerance and not np.allclose(*numbers, rtol=tolerance, atol=1e-9 if mark == ">" else 0):
            yield f"expected {wanted!r}, printed {line!r}"


# The command

def quoted(path):
    """A path that can be pasted into a shell; on Windows in double quotes, which both of its shells understand."""
    if os.name != "nt":
        return shlex.quote(str(path))
    return f'"{path}"' if re.search(r"[^\w\\/:.~-]", str(path)) else str(path)


def show_progress(folder):
    done, upcoming = progress(folder), None
    for lesson in lessons(folder):
        passed = sum(done.get(lesson.path.stem, {}).get(exercise, False) for exercise in lesson.exercises)
        complete = passed == len(lesson.exercises)
        upcoming = upcoming or (None if complete else lesson)
        print(f"{lesson.number:>3} {lesson.title:48} {lesson.minutes:>3} minutes   exercises {passed} of "
              f"{len(lesson.exercises)}")
    print(f"\nnext: python {quoted(upcoming.path)}" if upcoming else "\nall done")
    if Path(folder).resolve() == LESSONS.resolve():
        print("these hold the solutions: `python -m tinypredrnn.course write my_course` makes copies to work in")


def write(source, target):
    """Write copies of all lessons with holes into the folder `target`; what is already there stays, so that no work is
    lost.

    ConfigError if `target` is not a folder, or if it is that of the lessons themselves.
    """
    if not str(target) or os.path.lexists(target) and not Path(target).is_dir():
        raise ConfigError(f"{str(target)!r} is not a folder: name a new or an empty one, such as my_course")
    target = Path(target)
    if target.resolve() == Path(source).resolve():
        raise ConfigError(f"{target} holds the lessons that would be copied: name another folder, such as my_course")
    for lesson in lessons(source):
        path = target / lesson.path.name
        if os.path.lexists(path):
            print(f"{path} is there already and stays as it is")
            continue
        with replacing(path) as temporary:
            temporary.write_text(with_holes(lesson.text), encoding="utf-8")
    print(f"begin with: python {quoted(target / lessons(source)[0].path.name)}")
    print(f"your progress: python -m tinypredrnn.course --folder {quoted(target)}")


def run_all(folder, numbers):
    """Run lessons one after another; 0 if each prints what is expected of it."""
    import matplotlib

    matplotlib.use("agg")
    wrong = 0
    for lesson in lessons(folder, numbers):
        start = time.perf_counter()
        _, complaints = run(lesson)
        wrong += bool(complaints)
        verdict = "NOT as expected" if complaints else "as expected"
        print(f"{lesson.number:>3} {lesson.title:48} {time.perf_counter() - start:6.1f} s   {verdict}")
        for complaint in complaints:
            print(f"      {complaint}")
    return int(wrong > 0)


def table(folder):
    found = lessons(folder)
    print("| lesson | idea | minutes | picture |\n|---|---|---|---|")
    for lesson in found:
        name = f"lessons/{lesson.path.name}"
        print(f"| [{lesson.number}. {lesson.title}]({name}) | {lesson.idea} | {lesson.minutes} "
              f"| <img src=\"lessons/pictures/{lesson.path.stem[:2]}.png\" width=\"160\" alt=\"{lesson.title}\"> |")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="tinypredrnn course", allow_abbrev=False,
                                     description="The course in lessons/, from one number to PredRNN.")
    parser.add_argument("--folder", default=LESSONS,
                        help="a folder of lessons (default: those that come with tinypredrnn)")
    commands = parser.add_subparsers(dest="command")
    writes = commands.add_parser("write", allow_abbrev=False, help="write lessons with holes for the exercises")
    writes.add_argument("target", metavar="FOLDER")
    runs = commands.add_parser("run", allow_abbrev=False,
                               help="run lessons and compare their output with the expected output")
    runs.add_argument("numbers", nargs="*", type=int, metavar="N", help="only these lessons")
    runs.add_argument("--full", action="store_true", help="at full size (default: the small size of the tests)")
    commands.add_parser("table", allow_abbrev=False, help="the table in the README")
    options = parser.parse_args(arguments)
    if options.command == "write":
        return write(options.folder, options.target)
    if options.command == "run":
        os.environ["TINYPREDRNN_LESSONS"] = "full" if options.full else "small"
        return run_all(options.folder, options.numbers)
    return table(options.folder) if options.command == "table" else show_progress(options.folder)


if __name__ == "__main__":
    sys.exit(command(main))
