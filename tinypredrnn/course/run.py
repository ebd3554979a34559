"""A lesson as it runs: its size, its cells one after another, and what it prints against what it announces."""

import contextlib
import io
import os
import re
import warnings

import numpy as np

from tinypredrnn.course.needs import needed

NUMBER = re.compile(r"[-+]?(?:\d+(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)


def size(full, small, long=None):
    """A number of steps, samples or seconds: `small` if TINYPREDRNN_LESSONS=small asks for a quick run, `long` if
    TINYPREDRNN_LESSONS=long asks for one of some minutes (and there is one), otherwise `full`."""
    wanted = {"small": small, "long": long}.get(os.environ.get("TINYPREDRNN_LESSONS"))
    return full if wanted is None else wanted


def execute(cell, lesson, namespace):
    """Run one cell in `namespace`; returns the lines that it printed."""
    printed = io.StringIO()
    # blank lines first, so that error messages have the line numbers of the lesson
    code = compile("\n" * cell.line + cell.source, str(lesson.path), "exec")
    with contextlib.redirect_stdout(printed):
        exec(code, namespace)
    return printed.getvalue().splitlines()


def names_of(lesson):
    """What a lesson's cells find when the first of them runs."""
    return {"__name__": "__main__", "__file__": str(lesson.path)}


def run(lesson):
    """Run all cells, warnings as errors. Returns (namespace, complaints): the places where a cell did not print what
    was expected, with both lines."""
    namespace, complaints = names_of(lesson), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cell in lesson.cells:
            if not cell.is_text:
                printed = execute(cell, lesson, namespace)
                verdicts = [line for line in printed if line.startswith("exercise ")]
                found = [line for line in verdicts if not line.endswith(": OK")]
                is_long = size(full=False, small=False, long=True)
                expected = [(mark[-1], line) for mark, line in cell.expected if is_long or not mark.startswith("+")]
                found += differences(expected, [line for line in printed if line not in verdicts])
                complaints += [f"line {cell.line + 1}: {text}" for text in found]
    return namespace, complaints


def run_exercise(lesson, exercise, namespace):
    """Run the cells that one exercise needs; returns the lines that its own cell printed."""
    for cell in needed(lesson, exercise):
        printed = execute(cell, lesson, namespace)
    return printed


def differences(expected, printed):
    """Say in which of the `printed` lines something other than `expected` was printed."""
    for index in range(max(len(expected), len(printed))):
        if index >= len(expected) or index >= len(printed):
            yield (f"expected {len(expected)} lines, printed {len(printed)}, the first without a partner: "
                   f"{(expected[index][1] if index < len(expected) else printed[index])!r}")
            return
        (mark, wanted), line = expected[index], printed[index]
        same_words = NUMBER.sub("0", wanted).split() == NUMBER.sub("0", line).split()
        tolerance = {">": 1e-3, "~": 0.25 if size(full=True, small=False) else None, "?": None}[mark]  # None: any
        numbers = [[float(number.replace(",", "")) for number in NUMBER.findall(text)] for text in (line, wanted)]
        if not same_words or tolerance and not np.allclose(*numbers, rtol=tolerance, atol=1e-9 if mark == ">" else 0):
            yield f"expected {wanted!r}, printed {line!r}"
