"""A record's row: what a whole training took, and how it scored, from a run that is complete."""

import re
import subprocess
import sys
from pathlib import Path

from tinypredrnn.train import read_checkpoint

RECORD = Path(__file__).resolve().parents[2] / "examples" / "record.py"
SMALL = ("--size 32 32 --hidden 4 --kernel 3 --patch 8 --batch 2 --given 3 --horizon 2 --steps 6 --validate-every 3 "
         "--validation-sequences 2").split()


def record(*words, cwd):
    return subprocess.run([sys.executable, RECORD, *words], capture_output=True, text=True, cwd=cwd)


def test_the_row_of_a_small_run(tmp_path):
    done = record(*SMALL, "--digits", "1", "--out=mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, _, row = done.stdout.splitlines()[-3:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == header.count("|") - 1 and cells[1] == "6" and len(cells[6].split()) == 2
    assert float(cells[2]) > 0 and float(cells[3]) > 0
    plan, iteration, _ = read_checkpoint(tmp_path / "mine")
    assert iteration == 6 and plan.data.test_sequences == 300
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}
    scored = re.search(r"^model +(\S+)", done.stdout.split("300 test sequences of step")[1], re.M)[1]
    assert cells[4] == scored


def test_a_record_is_a_whole_run_scored_once(tmp_path):
    for flag in "--resume", "--test-sequences=5":
        refused = record(flag, cwd=tmp_path)
        assert refused.returncode == 2 and "leave out" in refused.stderr and not list(tmp_path.iterdir())
