"""Copies of the lessons to work in, with holes instead of solutions, and their update to a newer version.

A copy has a mark in its first line, `# %% [markdown] copy="3f2a9c71"`: the checksum of what was written. So a copy that
nobody changed, one that holds the reader's work and one that another version wrote are told apart.
"""

import difflib
import itertools
import os
import re
import shlex
from pathlib import Path
from zlib import crc32

from tinypredrnn.course.lesson import YOUR_CODE, Lesson, cells_of, lessons, with_holes
from tinypredrnn.errors import ConfigError
from tinypredrnn.files import replacing

NEW = "new"
UNCHANGED = "as written"
YOURS = "with your work"
OLDER = "of another version"
OLDER_YOURS = "of another version, with your work"
UNREADABLE = "not readable as a lesson, left alone"

MARK = re.compile(r'\A(# %% \[markdown\])(?: copy="(\w*)")?$', re.MULTILINE)


def write(source, target, update=False):
    """Write copies of the lessons in `source`, with holes, into the folder `target`, and say which of them are new,
    unchanged, or hold the reader's work.

    What is there stays as it is. With `update`, a copy that another version wrote becomes today's: with the reader's
    answers in it, and with the reader's file beside it as NAME.bak.

    ConfigError if `target` is not a folder, or if it is that of the lessons themselves.
    """
    if not str(target) or os.path.lexists(target) and not Path(target).is_dir():
        raise ConfigError(f"{str(target)!r} is not a folder: name a new or an empty one, such as my_course")
    target = Path(target)
    if target.resolve() == Path(source).resolve():
        raise ConfigError(f"{target} holds the lessons that would be copied: name another folder, such as my_course")
    originals, found = lessons(source), {}
    for lesson in originals:
        path, today = target / lesson.path.name, with_holes(lesson.text)
        state = state_of(path, today)
        if state == NEW or update and state == OLDER:
            write_copy(path, today, today)
        elif update and state == OLDER_YOURS:
            print(bring_up_to_date(path, today))
        found.setdefault(state, []).append(path.name)
    for state, names in found.items():
        print(f"{state}{', now up to date' if update and state in (OLDER, OLDER_YOURS) else ''}: "
              f"{', '.join(names) if len(names) < len(originals) else f'all {len(names)} lessons'}")
    if not update and not found.keys().isdisjoint({OLDER, OLDER_YOURS}):
        print(f"to bring these up to date, with your answers: python -m tinypredrnn course write --update "
              f"{quoted(target)}")
    print(f"begin with: python {quoted(target / originals[0].path.name)}")
    print(f"your progress: python -m tinypredrnn course --folder {quoted(target)}")


def state_of(path, today):
    """What is at the path of a copy whose text would be `today`."""
    if not os.path.lexists(path):
        return NEW
    try:
        mark, text = unmarked(Lesson(path).text)
    except (ConfigError, OSError):
        return UNREADABLE
    if text == today:
        return UNCHANGED
    if mark == checksum(today):
        return YOURS
    return OLDER if mark == checksum(text) else OLDER_YOURS


def unmarked(text):
    """(mark or None, text without it)"""
    found = MARK.match(text)
    return found and found[2], MARK.sub(r"\1", text)


def checksum(text):
    return f"{crc32(text.encode()):08x}"


def write_copy(path, text, today, **options):
    with replacing(path, **options) as temporary:
        temporary.write_text(MARK.sub(rf'\1 copy="{checksum(today)}"', text), encoding="utf-8")


def bring_up_to_date(path, today):
    """Replace a copy by today's with the reader's answers, keep it as NAME.bak, and say what was done."""
    theirs = {cell.exercise: cell.source for cell in Lesson(path).cells if cell.exercise}
    parts, carried, lost = [], [], []
    for cell in cells_of(today):
        source = cell.source
        if cell.exercise in theirs and YOUR_CODE in source:
            source = with_answer(source, theirs[cell.exercise])
            if source is None:
                lost.append(cell.exercise)
            elif source != cell.source:
                carried.append(cell.exercise)
        parts.append(source or cell.source)
    backups = (path.with_name(f"{path.name}.bak{number or ''}") for number in itertools.count())
    backup = next(backup for backup in backups if not os.path.lexists(backup))
    write_copy(path, "".join(parts), today, previous=backup)
    said = f"{path.name}: " + (f"your answers to {', '.join(carried)} are carried over" if carried else "no answers")
    if lost:
        said += f"; not those to {', '.join(lost)}, whose surroundings have changed too much"
    return f"{said}; your file is kept as {backup.name}"


def with_answer(hole, theirs):
    """The source of a cell with a hole, with what the reader wrote in its place; None if that cannot be told apart."""
    hole, theirs = hole.splitlines(keepends=True), theirs.splitlines(keepends=True)
    (place,) = (number for number, line in enumerate(hole) if line.strip() == YOUR_CODE)
    for kind, start, end, first, last in difflib.SequenceMatcher(None, hole, theirs, autojunk=False).get_opcodes():
        if start <= place < end:
            if kind == "equal":
                return "".join(hole)
            if kind == "replace" and end == start + 1:
                return "".join([*hole[:place], *theirs[first:last], *hole[place + 1:]])
    return None


def quoted(path):
    """A path that can be pasted into a shell; on Windows in double quotes, which both of its shells understand."""
    if os.name != "nt":
        return shlex.quote(str(path))
    return f'"{path}"' if re.search(r"[^\w\\/:.~-]", str(path)) else str(path)
