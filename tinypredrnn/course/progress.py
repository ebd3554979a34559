"""Where a lesson runs, and the progress of its reader: which exercises are solved, kept beside the lessons in
.progress.json as {"3.1": true, ...}."""

import contextlib
import sys
from pathlib import Path

from tinypredrnn.course.lesson import INSTALLED
from tinypredrnn.files import read_json, write_json


def path_of(namespace):
    """The path of the lesson with these globals, or None in a notebook, which does not know its own."""
    return Path(namespace["__file__"]).resolve() if "__file__" in namespace else None


def in_notebook():
    """Whether a kernel of Jupyter runs this program, and has not only been imported."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return hasattr(get_shell(), "kernel")


def is_script(namespace):
    """Whether the lesson with these globals is the program that runs, and not a notebook or an editor's cells."""
    return "__file__" in namespace and namespace is vars(sys.modules["__main__"]) and not in_notebook()


def progress(folder):
    """{exercise: whether it is solved}; a damaged entry counts as not solved until the lesson runs again."""
    try:
        entries = read_json(Path(folder) / ".progress.json") or {}
    except OSError:
        return {}
    solved = {}
    for name, entry in entries.items():
        solved |= entry if isinstance(entry, dict) else {name: entry}  # earlier versions had a dict for each lesson
    return {exercise: passed for exercise, passed in solved.items() if isinstance(passed, bool)}


def remember(folder, exercise, passed):
    """Keep whether an exercise is solved; an installation and a folder that cannot be written to keep nothing."""
    solved = progress(folder)
    if folder != INSTALLED and solved.get(exercise) != passed:
        with contextlib.suppress(OSError):
            write_json(folder / ".progress.json", solved | {exercise: passed})
