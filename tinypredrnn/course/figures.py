"""show: the figures of a lesson."""

import sys
from pathlib import Path

from tinypredrnn.course.lesson import INSTALLED
from tinypredrnn.course.progress import is_script, path_of
from tinypredrnn.files import replacing


def show(figure, name):
    """Save a matplotlib figure as figures/LESSON/name.png beside the lesson; a script prints where.

    A notebook shows the figure and keeps it itself, so nothing is saved. If the folder cannot be written to, a line on
    stderr says so; beside the lessons of an installation nothing is saved.
    """
    import matplotlib.pyplot as plt

    namespace = sys._getframe(1).f_globals
    lesson = path_of(namespace)
    if lesson and lesson.parent != INSTALLED:
        path = lesson.parent / "figures" / lesson.stem / f"{name}.png"
        try:
            with replacing(path) as temporary:
                figure.savefig(temporary, dpi=110, bbox_inches="tight")
        except OSError as error:
            print(f"the picture {name} is not saved: {error}", file=sys.stderr)
        else:
            if is_script(namespace):
                print(f"figure: {from_here(path)}")
    if "ipykernel" in sys.modules:
        from IPython.display import display

        display(figure)
    plt.close(figure)


def from_here(path):
    """A path as short as it can be typed in the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
