"""Copies of the lessons to work in, with holes instead of solutions."""

import os
import re
import shlex
from pathlib import Path

from tinypredrnn.course.lesson import lessons, with_holes
from tinypredrnn.errors import ConfigError
from tinypredrnn.files import replacing


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


def quoted(path):
    """A path that can be pasted into a shell; on Windows in double quotes, which both of its shells understand."""
    if os.name != "nt":
        return shlex.quote(str(path))
    return f'"{path}"' if re.search(r"[^\w\\/:.~-]", str(path)) else str(path)
