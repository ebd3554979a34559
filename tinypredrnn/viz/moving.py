"""A matplotlib figure that moves, as a GIF; and what a figure shows, in words for those who do not see it."""

import io
import re

from tinypredrnn.viz.frames import save_movie

LONGEST = 400  # characters of a description
SIGNS = {"sigma": "σ", "odot": "⊙", "oplus": "⊕", "times": "×", "cdot": "·", "partial": "∂", "leq": "≤"}


def save_moving(path, figure, update, frames, milliseconds=900):
    """Write a looping GIF of `frames` pictures: update(t) changes the figure into number t, counted from 0. It is left
    as the last one."""
    from PIL import Image

    pages = []
    for t in range(frames):
        update(t)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=80)
        pages.append(Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE))
    save_movie(path, pages, milliseconds, last=2500)


def describe_figure(figure):
    """What stands in a figure: its titles; of each panel its title, what is drawn over what, its legend and its other
    texts."""
    title = figure.get_suptitle()
    panels = [panel for panel in map(describe_panel, figure.axes) if panel]
    words = plain(". ".join(dict.fromkeys(part for part in (title, *panels) if part)))
    words = words or f"{len(figure.axes)} images"
    return words if len(words) <= LONGEST else words[:LONGEST - 3] + "..."


def describe_panel(axes):
    across, up = axes.get_xlabel(), axes.get_ylabel()
    legend = axes.get_legend()
    texts = [text.get_text() for text in axes.texts]
    parts = [axes.get_title(), f"{up} over {across}" if across and up else across or up,
             ", ".join(text.get_text() for text in legend.get_texts()) if legend else "",
             ", ".join(dict.fromkeys(filter(None, texts)))]
    return ": ".join(part for part in parts if part)


def plain(text):
    """Text without line ends, and without the signs of formulas: $\\mathcal{X}_{t-1}$ becomes X_t-1."""
    text = re.sub(r"\\(?:mathcal|mathrm|mathbf|hat|text)\b\s*|\\[!,;: ]|[${}]", "", text)
    return " ".join(re.sub(r"\\([a-zA-Z]+)", lambda found: SIGNS.get(found[1], found[1]), text).split())
