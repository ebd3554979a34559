"""The course: what a lesson uses (check, show, size), and what works on lessons.

    lesson.py     a lesson as text: cells, exercises, hints, solutions
    answers.py    check: compare an answer with the expected one
    progress.py   where a lesson runs, and which exercises are solved
    figures.py    show: a lesson's figures
    script.py     the headings that a lesson prints if it runs as a script
    run.py        run a lesson and compare its output with the expected output
    needs.py      which cells an exercise needs
    copies.py     copies to work in, and their update
    rendering.py  a lesson as HTML
    pages.py      the course as pages
    notebooks.py  the lessons as notebooks
    __main__.py   the command

To import this package from a lesson that runs as a script makes the script print its headings.
"""

from tinypredrnn.course.answers import check
from tinypredrnn.course.figures import show
from tinypredrnn.course.run import size
from tinypredrnn.course.script import print_headings

__all__ = ["check", "show", "size"]

print_headings()
