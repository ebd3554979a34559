"""The course as pages: HTML that a browser shows without a network and without scripts.

Each lesson is run for its pictures, as a program of its own. What its cells print is shown as the lesson announces it,
so that the text around fits; where this run printed something else, the page says so.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tinypredrnn.course.lesson import Lesson, lessons
from tinypredrnn.course.rendering import Figure, FormulaError, as_html, capital, lesson_as_html
from tinypredrnn.errors import ConfigError
from tinypredrnn.folder import Folder

HERE = Path(__file__).parent
KIND = "set of pages"
RUNS = {  # how the lessons were run -> what the pages say of it
    "full": "The output is as the lesson records it. The lesson was run when this page was made",
    "small": "The output is as the lesson records it, of a run at full size. For this page the lesson ran at the small "
             "size of the tests, so its pictures show less than the text says",
    "none": "The output is as the lesson records it. The lesson was not run for this page, so there are no pictures"}
MARKS = {  # of lines of output -> what the pages say of them
    "~": "Numbers in lines marked ~ depend on the size of the run, and are compared to a quarter.",
    "?": "Numbers in lines marked ? depend on the machine, and are not compared.",
    "+": "Lines marked + are printed only by a run of some minutes: tinypredrnn course run --long."}
WELCOME = """# The course: from one number to PredRNN

Learn how to predict the next frames of a video by reading and running real code. Each lesson is a script of short cells
with its output and its pictures. Its exercises check themselves if you run them; here, hints and solutions are folded.

To work on the lessons, write copies with holes for the exercises:

```sh
python -m tinypredrnn course write my_course        # as scripts
python -m tinypredrnn course notebooks my_notebooks # as notebooks
```
"""


class Page(NamedTuple):
    """A page: `address`, its file; `title`; `path`, what it is made from; `lesson`, the Lesson that it shows, or None;
    `picture`, the file of the one that stands for it, or ""."""

    address: str
    title: str
    path: Path | None = None
    lesson: Lesson | None = None
    picture: str = ""


def write_pages(source, target, run="full"):
    """Write the lessons of the folder `source` as pages into the folder `target`, and the Markdown files beside them.

    run   "full" or "small": run each lesson at this size for its pictures; "none": do without pictures

    Returns 0, or 1 if a lesson printed something else than it announces. Pages from before are replaced; ConfigError if
    the folder has files and no pages of ours.
    """
    found = lessons(source)
    folder = Folder(target, KIND)
    if folder.path.exists() and not folder.path.is_dir():
        raise ConfigError(f"{target} is not a folder: name a new or an empty one, such as pages")
    if not folder.listed and folder.path.is_dir() and any(folder.path.iterdir()):
        raise ConfigError(f"{target} holds files and no pages of ours: name a new or an empty folder, such as pages")
    with folder.renewing() as fresh, TemporaryDirectory() as workplace:
        complaints = build(found, Path(source), fresh, Path(workplace), run)
    print(f"begin with: {folder.path / 'index.html'}")
    return int(any(complaints.values()))


def build(found, source, fresh, workplace, run):
    """Write all pages into the folder `fresh`; returns {lesson's name: [where it printed something else]}."""
    pages = [*(page_of(lesson, fresh) for lesson in found), *map(page_of_text, sorted(source.glob("*.md")))]
    addresses = {page.lesson.number: page.address for page in pages if page.lesson}
    template = environment().get_template("page.html")
    complaints = {page.path.stem: [] for page in pages}

    def put(page, body, contents=(), before=None, after=None, notes=(), complaints=()):
        text = template.render(page._asdict(), body=body, contents=contents, before=before, after=after, notes=notes,
                               complaints=complaints, pages=pages)
        (fresh / page.address).write_text(text + "\n", encoding="utf-8")

    put(Page("index.html", "tinypredrnn, the course"), as_html(WELCOME, {})[0], after=pages[0])
    for page, before, after in zip(pages, [None, *pages], [*pages[1:], None]):
        name, notes = page.path.stem, []
        try:
            if page.lesson:
                complaints[name] = live(page.lesson, workplace, run)
                notes = notes_on(page.lesson, run, complaints[name])
                figures = collect(workplace / "figures" / name, name, fresh)
                body, contents = lesson_as_html(page.lesson, figures, addresses)
            else:
                body, contents = as_html(page.path.read_text(encoding="utf-8"), addresses)
        except FormulaError as error:
            raise ConfigError(f"{page.path}: {error}") from error
        put(page, body, contents, before, after, notes, complaints[name])
    shutil.copy(HERE / "style.css", fresh / "style.css")
    return complaints


def environment():
    """Jinja2 with the template beside this file; a name that is missing there is an error."""
    found = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    found.filters["capital"] = capital
    return found


def page_of(lesson, fresh):
    """The page of a lesson; the picture that stands for it is copied."""
    small = lesson.path.parent / "pictures" / f"{lesson.path.stem[:2]}.png"
    picture = f"{lesson.path.stem}.png" if small.is_file() else ""
    if picture:
        shutil.copy(small, fresh / picture)
    return Page(f"{lesson.path.stem}.html", f"{lesson.number}. {lesson.title}", lesson.path, lesson, picture)


def page_of_text(path):
    """The page of a Markdown file. Its title is its first heading, otherwise its name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    title = next((line[2:].strip() for line in lines if line.startswith("# ")), path.stem)
    return Page(f"{path.stem.lower()}.html", title, path)


def notes_on(lesson, run, complaints):
    """Sentences on where the output comes from; the last one introduces the complaints, if there are any."""
    marks = "".join(mark for cell in lesson.cells if not cell.is_text for mark, _ in cell.expected)
    printed = "." if run == "none" else "; it printed something else here:" if complaints else "; it printed the same."
    return [*(sentence for mark, sentence in MARKS.items() if mark in marks), RUNS[run] + printed]


# a lesson's pictures

def live(lesson, workplace, run):
    """Run a copy of a lesson in the folder `workplace`; returns where it printed something else than it announces."""
    if run == "none":
        return []
    (workplace / lesson.path.name).write_text(lesson.text, encoding="utf-8")
    words = [sys.executable, "-m", "tinypredrnn.course", "--folder", str(workplace), "run", lesson.number]
    done = subprocess.run(words + ["--full"] * (run == "full"), capture_output=True, text=True, encoding="utf-8",
                          errors="replace", env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    (workplace / lesson.path.name).unlink()
    complaints = [line.strip() for line in done.stdout.splitlines() if line.startswith(" " * 6)]
    if done.returncode and not complaints:
        complaints = done.stderr.strip().splitlines()[-1:] or [f"it ended with status {done.returncode}"]
    print(done.stdout or f"{lesson.number:>3} {lesson.title:48} {complaints[0]}\n", end="", flush=True)
    return complaints


def collect(drawn, name, fresh):
    """{name: Figure} of the pictures in the folder `drawn`, which are copied beside the pages."""
    from PIL import Image

    figures = {}
    for path in sorted(drawn.glob("*.png")):
        still, movie = f"{name}-{path.stem}.png", f"{name}-{path.stem}.gif"
        shutil.copy(path, fresh / still)
        moves = path.with_suffix(".gif").is_file()
        if moves:
            shutil.copy(path.with_suffix(".gif"), fresh / movie)
        with Image.open(path) as image:
            alt = image.info.get("Description", f"Picture: {path.stem}")
        with Image.open(fresh / (movie if moves else still)) as image:
            width, height = image.size
        figures[path.stem] = Figure(movie if moves else still, alt, width, height, still if moves else "")
    return figures
