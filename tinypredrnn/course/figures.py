"""show: the figures of a lesson."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tinypredrnn.course.lesson import INSTALLED
from tinypredrnn.course.progress import in_notebook, is_script, path_of
from tinypredrnn.files import replacing


def show(figure, name, update=None, frames=0):
    """Save a matplotlib figure as figures/LESSON/name.png beside the lesson; a script prints where. The file says in
    words what the figure shows.

    update   for a figure that moves: update(t) changes it into picture t of `frames`, counted from 0. It is saved as
             name.gif, and its last picture as name.png.

    A notebook shows the figure and keeps it itself, so nothing is saved. If the folder cannot be written to, a line on
    stderr says so; beside the lessons of an installation nothing is saved.
    """
    import matplotlib.pyplot as plt

    from tinypredrnn.viz.moving import describe_figure

    namespace = sys._getframe(1).f_globals
    lesson = path_of(namespace)
    if lesson and lesson.parent != INSTALLED:
        path = lesson.parent / "figures" / lesson.stem / f"{name}.png"
        try:
            save(path, figure, update, frames)
        except OSError as error:
            print(f"the picture {name} is not saved: {error}", file=sys.stderr)
        else:
            if is_script(namespace):
                print(f"figure: {from_here(path.with_suffix('.gif') if update else path)}")
    if in_notebook():
        from IPython.display import Image, display

        with TemporaryDirectory() as folder:
            path = Path(folder, "figure.png")
            save(path, figure, update, frames)
            data = (path.with_suffix(".gif") if update else path).read_bytes()
            display(Image(data, alt=describe_figure(figure)))
    plt.close(figure)


def save(path, figure, update, frames):
    from tinypredrnn.viz.moving import describe_figure, save_moving

    if update:
        save_moving(path.with_suffix(".gif"), figure, update, frames)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, bbox_inches="tight", metadata={"Description": describe_figure(figure)})


def from_here(path):
    """A path as short as it can be typed in the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
