"""The table that lesson 26 reads is the one in examples/RESULTS.md."""

import re
from pathlib import Path

from tinypredrnn.course.lesson import lessons

ROOT = Path(__file__).parents[2]


def test_its_rows_are_those_of_the_results():
    text = (ROOT / "examples/RESULTS.md").read_text(encoding="utf-8")
    table = text.partition("## Table 1 at the preset `quick`")[2]
    printed = {}
    for line in table.splitlines():
        name, *numbers = (cell.strip().replace(",", "") for cell in line.strip("|").split("|"))
        if len(numbers) > 8 and re.fullmatch(r"[\d.]+", numbers[0]):
            printed[name] = numbers
    (lesson,) = lessons(numbers=[26])
    (rows,) = re.findall(r'^ROWS = """\n(.+?)"""', lesson.text, re.M | re.S)
    rows = [line.split() for line in rows.splitlines()]
    assert len(rows) == 10
    for name, *numbers in rows:
        _, two, three, _, adds, iterations, trillions, seconds, *_ = printed[name]
        assert numbers == [two, three, adds, iterations, trillions, seconds], name
    (black,) = re.findall(r"^BLACK = ([\d.]+)", lesson.text, re.M)
    assert black == printed["all black"][1]
