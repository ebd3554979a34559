"""show: the figures of a lesson."""

import sys

from tinypredrnn.course.lesson import INSTALLED
from tinypredrnn.course.progress import caller
from tinypredrnn.files import replacing


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
