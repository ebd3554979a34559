"""One palette: each colour is named once, and what it means in one picture it means in all."""

import re
from pathlib import Path

import pytest

from tinypredrnn import viz
from tinypredrnn.course.lesson import LESSONS


def test_no_picture_has_colours_of_its_own():
    files = [file for file in Path(viz.__file__).parent.glob("*.py") if file.name != "colours.py"]
    own = [file.name for file in files if re.search(r"#[0-9A-Fa-f]{6}\b", file.read_text(encoding="utf-8"))]
    assert len(files) > 4 and not own


@pytest.mark.parametrize("lesson", ["15", "16", "17"])
def test_lessons_about_the_memories_draw_them_in_their_colours(lesson):
    (file,) = LESSONS.glob(f"{lesson}_*.py")
    text = file.read_text(encoding="utf-8")
    assert "COLOURS[" in text and not re.search(r"#[0-9A-Fa-f]{6}\b", text)


def test_frames_and_memories_share_no_colour():
    names = "input", "truth", "prediction", "C", "M", "parameter", "op", "fused op", "module"
    assert len({viz.COLOURS[name] for name in names}) == len(names)
    (axes,) = viz.draw_stack("predrnn").axes
    drawn = {line.get_label(): line.get_color() for line in axes.get_legend().get_lines()}
    assert drawn == {"memory C": viz.COLOURS["C"], "memory M": viz.COLOURS["M"], "hidden state H": viz.COLOURS["H"]}
