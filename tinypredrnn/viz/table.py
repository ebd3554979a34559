"""A table of texts as a picture, for example the paper's Table 1."""

import textwrap

import numpy as np

from tinypredrnn.files import replacing
from tinypredrnn.viz.colours import LINE, SMALL_TEXT

LETTER, ROW, NOTE_WIDTH = 0.088, 0.29, 0.067  # inches: a letter of 10 points, a row, a letter of a note


def save_table(path, heads, rows, notes=()):
    """Draw a table of texts.

    heads   (group, title) of each column; groups stand apart, under their names
    rows    lists of texts; the first one is the name of the row
    notes   sentences under the table
    """
    from matplotlib.figure import Figure

    titles = ["\n".join(textwrap.wrap(title, 14, break_on_hyphens=False)) for _, title in heads]
    letters = [max(max(map(len, title.split("\n"))), *(len(row[i]) for row in rows)) + 2
               for i, title in enumerate(titles)]
    groups = [group for group, _ in heads]
    gaps = [0.35 * (i > 0 and groups[i] != groups[i - 1]) for i in range(len(heads))]
    right = np.cumsum([n * LETTER + gap for n, gap in zip(letters, gaps)])  # inches from the left edge
    width = right[-1] + 0.2
    notes = [line for note in notes for line in textwrap.wrap(note, int(width / NOTE_WIDTH))]
    head = ROW * (1.2 + 0.6 * max(title.count("\n") + 1 for title in titles))
    height = head + ROW * (len(rows) + 0.6) + 0.17 * len(notes) + 0.1

    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    for i, (group, title) in enumerate(zip(groups, titles)):
        colour = SMALL_TEXT if group else "black"
        place = dict(ha="left" if i == 0 else "right", color=colour, fontsize=10)
        x = 0.1 if i == 0 else right[i]
        if group and groups[i - 1] != group:
            last = max(j for j, other in enumerate(groups) if other == group)
            left, end, bottom = right[i - 1] + gaps[i] / 2, right[last] + 0.1, head + ROW * (len(rows) + 0.2)
            axes.fill([left, end, end, left], [0, 0, bottom, bottom], color=LINE, alpha=0.12, linewidth=0)
            axes.text((left + end) / 2, 0.5 * ROW, group, ha="center", va="center",
                      color=colour, fontsize=10, style="italic")
        axes.text(x, head - 0.35 * ROW, title, va="bottom", weight="bold", linespacing=1.1, **place)
        for k, row in enumerate(rows):
            axes.text(x, head + ROW * (k + 0.5), row[i], va="center", **place)
    axes.plot([0.1, right[-1] + 0.1], [head - 0.1 * ROW] * 2, color=LINE, linewidth=1)
    for k, line in enumerate(notes):
        axes.text(0.1, head + ROW * (len(rows) + 0.6) + 0.17 * (k + 0.5), line, va="center", color=SMALL_TEXT,
                  fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
