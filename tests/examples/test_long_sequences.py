"""The table of memory and time over the length of sequences, at a tiny size. No time and no memory is asserted."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "long_sequences.py"


def test_the_table_and_its_figure(tmp_path):
    words = "--frames 5 --hidden 3 --size 16 --batch 1 --steps 1 --threads 1 --plot".split()
    done = subprocess.run([sys.executable, EXAMPLE, *words, "long.png"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *_, row, last = done.stdout.splitlines()
    assert len(row.split()) == 11 and row.split()[0] == "5"
    assert re.fullmatch(r"gradients with recomputation are the same to the last bit; .* in bf16 differ by \d.\de.\d\d of their norm", last)
    assert [path.name for path in tmp_path.iterdir()] == ["long.png"]
