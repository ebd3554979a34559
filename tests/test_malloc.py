"""What is asked of the C library: nothing on import, and by the commands that freed memory stays."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinypredrnn as tp
from tinypredrnn.errors import command

ROOT = Path(__file__).parents[1]
COUNT = """
import ctypes
asked = []
class Library:
    def __init__(self, *name, **named):
        self.library = plain(*name, **named)
    def __getattr__(self, name):
        return (lambda *numbers: asked.append(numbers)) if name == "mallopt" else getattr(self.library, name)
plain, ctypes.CDLL = ctypes.CDLL, Library
import numpy as np
import tinypredrnn as tp
with tp.unfused():
    (tp.conv2d(tp.tensor(np.ones((1, 9, 9, 2))), tp.tensor(np.ones((3, 3, 2, 2)), requires_grad=True))).sum().backward()
print(len(asked))
tp.keep_freed_memory()
print(len(asked))
"""


def test_the_import_and_the_ops_leave_malloc_alone():
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.stdout.split() == ["0", "2"], done.stderr


class Recorder:
    def __init__(self, asked):
        self.mallopt = lambda *numbers: asked.append(numbers)


def test_the_commands_ask(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Recorder(asked))
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    assert command(lambda: 0) == 0 and [option for option, _ in asked] == [-3, -1]


def no_library(name):
    raise OSError(name)


def no_name(name):
    raise TypeError(name)


@pytest.mark.parametrize("library", [lambda name: object(), no_library, no_name], ids=["macOS and musl", "none", "Windows"])
def test_where_the_c_library_cannot_be_asked(monkeypatch, library):
    monkeypatch.setattr(ctypes, "CDLL", library)
    tp.keep_freed_memory()
