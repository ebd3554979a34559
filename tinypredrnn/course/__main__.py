"""The command of the course in lessons/.

    python -m tinypredrnn.course                     the lessons, which are done, and which comes next
    python -m tinypredrnn.course write FOLDER        write copies to work in, with gaps instead of solutions
    python -m tinypredrnn.course run 3 4 [--full]    run lessons and compare their output with the expected output
    python -m tinypredrnn.course pages FOLDER        the course as pages for a browser
    python -m tinypredrnn.course notebooks FOLDER    the lessons as notebooks
    python -m tinypredrnn.course table               the table in the README

With `--folder FOLDER` the first and the third work on copies written by the second.
"""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from tinypredrnn.course.copies import quoted, write
from tinypredrnn.course.lesson import LESSONS, lessons
from tinypredrnn.course.progress import progress
from tinypredrnn.course.run import run
from tinypredrnn.errors import ConfigError, command

PAGES = "pip install jinja2 markdown-it-py mdit-py-plugins latex2mathml pygments nbformat"


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


def extra(name):
    """The module `name` of the course, which rests on packages that only it needs."""
    try:
        return importlib.import_module(f"tinypredrnn.course.{name}")
    except ImportError as error:
        raise ConfigError(f"{name} are written with the package {error.name}, which is not installed: `{PAGES}`"
                          ) from error


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
    pages = commands.add_parser("pages", allow_abbrev=False, help="write the course as pages for a browser")
    pages.add_argument("target", metavar="FOLDER")
    pages.add_argument("--run", choices=("full", "small", "none"), default="full",
                       help="run the lessons for their pictures, at full or small size, or do without (default: full)")
    notebooks = commands.add_parser("notebooks", allow_abbrev=False, help="write the lessons as notebooks")
    notebooks.add_argument("target", metavar="FOLDER")
    notebooks.add_argument("--solutions", action="store_true", help="with the solutions (default: with holes)")
    notebooks.add_argument("--install", default="tinypredrnn", metavar="WHAT",
                           help="what pip installs where tinypredrnn is missing, as in Colab: a name, git+https://..., "
                                "or a wheel (default: tinypredrnn)")
    commands.add_parser("table", allow_abbrev=False, help="the table in the README")
    options = parser.parse_args(arguments)
    if options.command == "write":
        return write(options.folder, options.target)
    if options.command == "run":
        os.environ["TINYPREDRNN_LESSONS"] = "full" if options.full else "small"
        return run_all(options.folder, options.numbers)
    if options.command == "pages":
        return extra("pages").write_pages(options.folder, options.target, options.run)
    if options.command == "notebooks":
        return extra("notebooks").write_notebooks(options.folder, options.target, options.solutions, options.install)
    return table(options.folder) if options.command == "table" else show_progress(options.folder)


if __name__ == "__main__":
    sys.exit(command(main))
