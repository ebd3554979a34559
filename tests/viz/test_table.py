"""A table as a picture: every text lies within it, in its own column."""

import itertools

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tinypredrnn import viz

HEADS = [("", "network"), ("", "a number with a long title"), ("", "MSE"), ("published", "MSE"), ("published", "CE")]
ROWS = [["a network of a rather long name", "1,234,567,890", "56.8 ± 0.3", "56.8", ""], ["b", "", "-", "", "97.0"]]
NOTES = ["A note that is so long that it needs several lines of the picture to be read, since nobody counts words. " * 3]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """The Figure of the table, and its texts with their boxes in pixels."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **o: (figures.append(figure), save(figure, *a, **o)))
    viz.save_table(tmp_path / "table.png", HEADS, ROWS, NOTES)
    FigureCanvasAgg(figures[0]).draw()
    (axes,) = figures[0].axes
    return figures[0], [(text.get_text(), text.get_window_extent()) for text in axes.texts], tmp_path / "table.png"


def test_all_texts_are_there_and_none_overlap(drawn):
    figure, texts, path = drawn
    words = " ".join(text for text, _ in texts).replace("\n", " ").split()
    for text in (title for _, title in HEADS):
        assert set(text.split()) <= set(words)
    for text in itertools.chain(*ROWS, NOTES):
        assert set(text.split()) <= set(words)
    assert words.count("published") == 1
    for (one, box), (other, its) in itertools.combinations([(t, b) for t, b in texts if t], 2):
        assert not (box.x0 < its.x1 - 1 and its.x0 < box.x1 - 1 and box.y0 < its.y1 - 2 and its.y0 < box.y1 - 2), (one, other)
    width, height = figure.bbox.size
    assert all(0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height for _, box in texts)
    assert Image.open(path).width > 900


def test_a_table_without_groups_and_notes(tmp_path):
    viz.save_table(tmp_path / "table.png", HEADS[:2], [row[:2] for row in ROWS])
    assert Image.open(tmp_path / "table.png").height > 100
