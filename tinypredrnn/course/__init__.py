"""The course: what a lesson uses (check, show, size); its text, its run and its copies are in the modules beside.

    lesson.py     a lesson as text: cells, exercises, hints, solutions
    answers.py    check: compare an answer with the expected one
    progress.py   which exercises are solved
    figures.py    show: a lesson's figures
    run.py        run a lesson and compare its output with the expected output
    copies.py     copies to work in
    rendering.py  a lesson as HTML
    pages.py      the course as pages
    notebooks.py  the lessons as notebooks
    __main__.py   the command
"""

from tinypredrnn.course.answers import check
from tinypredrnn.course.figures import show
from tinypredrnn.course.run import size

__all__ = ["check", "show", "size"]
