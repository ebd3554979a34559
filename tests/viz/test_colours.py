"""One palette: each colour is named once, and what it means in one picture it means in all."""

import re
from pathlib import Path

from tinypredrnn import viz


def test_no_picture_has_colours_of_its_own():
    files = [file for file in Path(viz.__file__).parent.glob("*.py") if file.name != "colours.py"]
    own = [file.name for file in files if re.search(r"#[0-9A-Fa-f]{6}\b", file.read_text(encoding="utf-8"))]
    assert len(files) > 4 and not own


def test_frames_and_memories_share_no_colour():
    names = "input", "truth", "prediction", "C", "M", "parameter", "op", "fused op", "module"
    assert len({viz.COLOURS[name] for name in names}) == len(names)
    (axes,) = viz.draw_stack("predrnn").axes
    drawn = {line.get_label(): line.get_color() for line in axes.get_legend().get_lines()}
    assert drawn == {"memory C": viz.COLOURS["C"], "memory M": viz.COLOURS["M"], "hidden state H": viz.COLOURS["H"]}
