"""show: the figures of a lesson."""

import sys

from tinypredrnn.course.lesson import INSTALLED
from tinypredrnn.course.progress import caller
from tinypredrnn.files import replacing


def show(figure, name, update=None, frames=0):
    """Save a matplotlib figure as figures/LESSON/name.png beside the lesson; a notebook or an editor's cells show it,
    too. The file says in words what it shows.

    update   for a figure that moves: update(t) changes it into picture t of `frames`, counted from 0. It is saved as
             name.gif as well, and name.png is the last picture.

    If that folder cannot be written to, a line on stderr says so; beside the lessons of an installation nothing is
    saved.
    """
    import matplotlib.pyplot as plt

    from tinypredrnn.viz.moving import in_words, save_moving

    lesson = caller()
    path = lesson.parent / "figures" / lesson.stem / f"{name}.png"
    movie = path.with_suffix(".gif")
    if lesson.parent != INSTALLED:
        try:
            if update:
                save_moving(movie, figure, update, frames)
            with replacing(path) as temporary:
                figure.savefig(temporary, dpi=110, bbox_inches="tight", metadata={"Description": in_words(figure)})
        except OSError as error:
            print(f"the picture {name} is not saved: {error}", file=sys.stderr)
    if "ipykernel" in sys.modules:
        from IPython.display import Image, display

        display(Image(movie) if update and movie.is_file() else figure)
    plt.close(figure)
