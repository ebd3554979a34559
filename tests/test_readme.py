"""What the README says is so: its files, its options, its snippets."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.course.__main__ import main

HOME = Path(__file__).resolve().parents[1]
README = (HOME / "README.md").read_text(encoding="utf-8")


def test_the_reading_list_names_real_files_and_their_lengths():
    rows = re.findall(r"^\| \d+ \| `([\w/.]+)` \| (\d+) \|", README, re.M)
    assert len(rows) > 10
    for name, lines in rows:
        real = len((HOME / name).read_text(encoding="utf-8").splitlines())
        assert abs(real - int(lines)) <= 0.1 * real, f"{name} has {real} lines, README says {lines}"


def test_every_file_that_is_named_is_there():
    for name in re.findall(r"`((?:autograd|models|data|train|nn|examples|tests|tinypredrnn)/[\w/]+\.(?:py|md))`", README):
        assert (HOME / name).is_file() or (HOME / "tinypredrnn" / name).is_file(), name
    for name in re.findall(r"\]\((examples/[\w/.]+)\)", README):
        assert (HOME / name).is_file(), name


def test_every_picture_is_there_and_small():
    pictures = re.findall(r'!\[[^\]]+\]\(([^)]+)\)|<img src="([^"]+)" width="\d+" alt="[^"]+">', README)
    names = [first or second for first, second in pictures]
    assert len(names) == README.count("![") + README.count("<img ") > 20  # each says what it shows
    for name in names:
        assert (HOME / name).stat().st_size < 200_000, name


def test_the_snippets_run(monkeypatch, tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", README, re.S)
    model = tp.build_model("predrnn", size=(16, 16), hidden=(3,), kernel=3, patch=4)
    monkeypatch.setitem(vars(tp), "load", lambda run: model)
    names = dict(tp=tp, np=np, sequence=np.zeros((2, 4, 16, 16, 1), np.float32), array=np.ones((2, 3)))
    monkeypatch.chdir(tmp_path)
    for registry in tp.models.MODELS, tp.data.SOURCES:
        for name in "drift", "fronts":
            monkeypatch.setitem(registry, name, None)
            monkeypatch.delitem(registry, name)  # so that what the snippets enter is taken out again
    for snippet in snippets:
        exec(snippet, names)
    assert names["frames"].shape == (2, 10, 16, 16, 1) and names["x"].grad.shape == (2, 3)


@pytest.mark.parametrize("script", sorted(re.findall(r"python examples/(\w+\.py)", README)))
def test_every_option_that_is_named_exists(script):
    flags = {flag for line in README.splitlines() if f"examples/{script}" in line for flag in re.findall(r"(--[\w-]+)", line)}
    usage = subprocess.run([sys.executable, HOME / "examples" / script, "--help"], capture_output=True, text=True, check=True, cwd=HOME,
                           env={**os.environ, "PYTHONPATH": str(HOME)}).stdout
    assert flags <= set(re.findall(r"(--[\w-]+)", usage)), flags


def test_the_table_of_lessons_is_what_its_command_prints(capsys):
    main(["table"])
    printed = capsys.readouterr().out
    assert printed in README
    for picture in re.findall(r'src="([^"]+)"', printed):
        assert (HOME / picture).is_file(), picture


def test_the_commands_for_windows_are_the_same():
    commands = re.findall(r"^python -m venv .* && .*$", README.replace(".venv/bin/", ".venv\\Scripts\\"), re.M)
    blocks = re.findall(r"```powershell\n(.*?)```", README, re.S)
    assert [block.splitlines() for block in blocks] == [command.split(" && ") for command in commands]


def test_setup_has_the_extras_that_are_named():
    call = next(node for node in ast.walk(ast.parse((HOME / "setup.py").read_text(encoding="utf-8"))) if getattr(node, "keywords", None))
    extras = next(ast.literal_eval(k.value) for k in call.keywords if k.arg == "extras_require")
    assert set(re.findall(r"\.\[(\w+)\]", README)) <= extras.keys() and {"gpu", "gpu12", "mpi", "video", "test"} <= extras.keys()
