"""The command of the course in lessons/.

    python -m tinypredrnn course                     the lessons, which are done, and which comes next
    python -m tinypredrnn course write FOLDER        write copies to work in, with holes instead of solutions
    python -m tinypredrnn course check 17.3          run what one exercise needs, and say whether it is solved
    python -m tinypredrnn course solution 2.3        show a solution
    python -m tinypredrnn course run 3 4 [--full]    run lessons and compare their output with the expected output
    python -m tinypredrnn course pages FOLDER        write the course as pages for a browser
    python -m tinypredrnn course notebooks FOLDER    write the lessons as notebooks
    python -m tinypredrnn course table               the table in the README

Within a folder that `write` made, or with `--folder FOLDER`, they work on the copies there.
"""

import argparse
import importlib
import os
import re
import sys
import time
from pathlib import Path

from tinypredrnn.course.answers import describe, place_of
from tinypredrnn.course.copies import quoted, write
from tinypredrnn.course.figures import from_here
from tinypredrnn.course.lesson import LESSONS, lessons
from tinypredrnn.course.progress import progress
from tinypredrnn.course.run import names_of, run, run_exercise
from tinypredrnn.errors import ConfigError, command
from tinypredrnn.files import path_argument

PAGES = "pip install jinja2 markdown-it-py mdit-py-plugins latex2mathml pygments nbformat"


def current_folder():
    """The current folder if it holds copies of the lessons, scripts or notebooks, otherwise tinypredrnn's own."""
    here = {path.stem for path in Path.cwd().glob("[0-9][0-9]_*.*") if path.suffix in (".py", ".ipynb")}
    return Path.cwd() if here & {path.stem for path in LESSONS.glob("[0-9][0-9]_*.py")} else LESSONS


def lessons_or_notebooks(folder):
    """The lessons of a folder; if it has none, tinypredrnn's own of which it has a notebook, with that as their
    path."""
    notebooks = {path.stem: path for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))}
    if not notebooks or any(Path(folder).glob("[0-9][0-9]_*.py")):
        return lessons(folder)
    found = [lesson for lesson in lessons() if lesson.path.stem in notebooks]
    for lesson in found:
        lesson.path = notebooks[lesson.path.stem]
    return found or lessons(folder)


def show_progress(folder):
    solved, upcoming = progress(folder), None
    for lesson in lessons_or_notebooks(folder):
        passed = sum(solved.get(exercise, False) for exercise in lesson.exercises)
        complete = passed == len(lesson.exercises)
        upcoming = upcoming or (None if complete else lesson)
        print(f"{lesson.number:>3} {lesson.title:48} {lesson.minutes:>3} minutes   exercises {passed} of "
              f"{len(lesson.exercises)}")
    program = "python" if upcoming and upcoming.path.suffix == ".py" else "jupyter lab"
    print(f"\nnext: {program} {quoted(from_here(upcoming.path))}" if upcoming else "\nall done")
    if Path(folder).resolve() == LESSONS.resolve():
        print("these hold the solutions: `python -m tinypredrnn course write my_course` makes copies to work in")


def find_exercise(folder, name):
    """(lesson, exercise) of "2.3"; ConfigError if there is none."""
    (lesson,) = lessons(folder, [name.partition(".")[0]])
    if name not in lesson.exercises:
        raise ConfigError(f"lesson {lesson.number} has no exercise {name}, only {', '.join(lesson.exercises)}")
    return lesson, lesson.exercises[name]


def check_exercise(folder, name):
    """Run what one exercise needs, at the small size, and print its verdict; 0 if it is solved."""
    lesson, _ = find_exercise(folder, name)
    use_files_for_figures()
    namespace = names_of(lesson)
    try:
        printed = run_exercise(lesson, name, namespace)
    except SyntaxError as error:
        printed = [f"exercise {name}: not yet: {error.msg} (line {error.lineno}: {(error.text or '').strip()})"]
    except Exception as error:  # of the reader's code outside of the check
        printed = [f"exercise {name}: not yet: {describe(error)}{place_of(error, namespace)}"]
    print(*printed, sep="\n")
    return int(f"exercise {name}: OK" not in printed)


def show_solution(name):
    """Print a solution, which only tinypredrnn's own lessons hold."""
    lesson, exercise = find_exercise(LESSONS, name)
    print(f"{name}: {exercise.title}\n\n{exercise.solution}")


def use_files_for_figures():
    import matplotlib

    matplotlib.use("agg")


def run_all(folder, numbers):
    """Run lessons one after another; 0 if each prints what is expected of it."""
    use_files_for_figures()
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


def exercise_name(text):
    if not re.fullmatch(r"\d+\.\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of an exercise, such as 2.3")
    return text


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="tinypredrnn course", allow_abbrev=False,
                                     description="The course in lessons/, from one number to PredRNN.")
    parser.add_argument("--folder", type=path_argument,
                        help="a folder of lessons (default: the current folder if it holds copies of lessons, "
                             "otherwise those that come with tinypredrnn)")
    commands = parser.add_subparsers(dest="command")

    def add(name, words, action):
        added = commands.add_parser(name, allow_abbrev=False, help=words)
        added.set_defaults(action=action)
        return added

    writes = add("write", "write copies of the lessons with holes for the exercises",
                 lambda options: write(options.folder or LESSONS, options.target, options.update))
    writes.add_argument("target", metavar="FOLDER")
    writes.add_argument("--update", action="store_true",
                        help="bring copies that another version wrote up to date, with your answers")
    checks = add("check", "run what one exercise needs, and say whether it is solved",
                 lambda options: check_exercise(options.folder or current_folder(), options.exercise))
    shows = add("solution", "show the solution of one exercise", lambda options: show_solution(options.exercise))
    for needs_exercise in checks, shows:
        needs_exercise.add_argument("exercise", type=exercise_name, metavar="N.K", help="such as 2.3")
    runs = add("run", "run lessons and compare their output with the expected output",
               lambda options: run_all(options.folder or current_folder(), options.numbers))
    runs.add_argument("numbers", nargs="*", type=int, metavar="N", help="only these lessons")
    for name, words in (("full", "at full size, as a reader does"), ("long", "and what takes minutes, in addition")):
        runs.add_argument(f"--{name}", dest="size", action="store_const", const=name, default="small",
                          help=f"{words} (default: the small size of the tests)")
    pages = add("pages", "write the course as pages for a browser",
                lambda options: extra("pages").write_pages(options.folder or LESSONS, options.target, options.run))
    pages.add_argument("target", type=path_argument, metavar="FOLDER")
    pages.add_argument("--run", choices=("full", "small", "none"), default="full",
                       help="run the lessons for their pictures, at full or small size, or do without (default: full)")
    notebooks = add("notebooks", "write the lessons as notebooks",
                    lambda options: extra("notebooks").write_notebooks(options.folder or LESSONS, options.target,
                                                                       options.solutions, options.install))
    notebooks.add_argument("target", type=path_argument, metavar="FOLDER")
    notebooks.add_argument("--solutions", action="store_true", help="with the solutions (default: with holes)")
    notebooks.add_argument("--install", default="", metavar="WHAT",
                           help="what pip installs where tinypredrnn is missing, as in Colab: git+https://... or a "
                                "wheel (default: nothing, a cell says that it is missing)")
    add("table", "the table in the README", lambda options: table(options.folder or LESSONS))
    parser.set_defaults(action=lambda options: show_progress(options.folder or current_folder()))

    options = parser.parse_args(arguments)
    if options.command in ("run", "check"):
        os.environ["TINYPREDRNN_LESSONS"] = options.size if options.command == "run" else "small"
    return options.action(options)


if __name__ == "__main__":
    sys.exit(command(main))
