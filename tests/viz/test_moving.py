"""Figures that move, and figures in words."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tinypredrnn.viz.flow import draw_stack
from tinypredrnn.viz.moving import LONGEST, describe_figure, plain, save_moving


def test_a_figure_moves(tmp_path):
    """One picture for each t, of one size; the last one is shown longer, and the figure stays as it is there."""
    figure = Figure(figsize=(2, 1))
    (line,) = figure.subplots().plot([0, 1], [0, 0])
    save_moving(tmp_path / "a.gif", figure, lambda t: line.set_ydata([0, t]), frames=4, milliseconds=500)
    assert list(line.get_ydata()) == [0, 3]
    with Image.open(tmp_path / "a.gif") as movie:
        assert movie.n_frames == 4 and movie.size == (160, 80) and movie.info["loop"] == 0
        pictures, times = [], []
        for t in range(4):
            movie.seek(t)
            pictures.append(np.asarray(movie.convert("L")))
            times.append(movie.info["duration"])
    assert times == [500, 500, 500, 2500]
    assert all((a != b).any() for a, b in zip(pictures, pictures[1:]))


def test_a_figure_in_words():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    figure.suptitle("both")
    left.set(title=r"$\mathcal{X}_{t-1}$", xlabel="frame", ylabel="error")
    left.plot([1, 2], label="first")
    left.plot([2, 1], label=r"$\sigma(x)$")
    left.legend()
    right.text(0, 0, "a\nlabel")
    assert describe_figure(figure) == "both. X_t-1: error over frame: first, σ(x). a label"


def test_every_figure_has_words():
    figure = Figure()
    figure.subplots(2, 3)
    assert describe_figure(figure) == "6 images"
    assert describe_figure(draw_stack("convlstm")).startswith("memory C, hidden state H: ConvLSTM, X_1")
    figure.suptitle("long " * LONGEST)
    assert len(describe_figure(figure)) == LONGEST and describe_figure(figure).endswith("...")


@pytest.mark.parametrize("text, words", [
    (r"$\hat{\mathcal{X}}_{2}$", "X_2"), (r"$1\!\times\!1$", "1×1"), ("10 %, x_1", "10 %, x_1"),
    (r"$a \odot b$", "a ⊙ b"),
    (r"$\tanh$", "tanh")])
def test_formulas_in_words(text, words):
    assert plain(text) == words
