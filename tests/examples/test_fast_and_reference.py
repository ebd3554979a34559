"""The fast path learns what the reference learns: the same losses over 200 steps, as near as rounding allows."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from plans import make_plan

import tinypredrnn as tp
from tinypredrnn.data import drawn_digits
from tinypredrnn.data.moving_mnist import MovingMNIST

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
import fast_and_reference  # noqa: E402


@pytest.fixture(scope="module")
def curves():
    """200 steps of a small network on few crops of moving digits, with convolutions that are forced through the transform."""
    plan = make_plan((16, 16), preset="quick", steps=200, hidden=(12, 12), patch=4, batch=2, given=2, horizon=2,
                     optimiser="adam", rate_schedule="constant")
    digits = MovingMNIST(drawn_digits.draw_digits(np.random.default_rng(0), 100)[0])
    with tp.convolution_by("winograd", tile=4):
        return fast_and_reference.compare(plan, lambda k: digits.batch(0, k % 4, 2)[:, :4, 24:40, 24:40])


def test_the_curves_cannot_be_told_apart(curves):
    (curves, apart, _) = curves
    assert curves["fast"].shape == (200,) and curves["fast"][-20:].mean() < 0.8 * curves["fast"][:20].mean()  # it does learn
    assert apart["reference"] < 5e-3 and apart["control"] < 2e-2  # rounding alone moves a curve as much


def test_the_two_paths_are_two(curves):
    assert np.abs(curves[0]["fast"] - curves[0]["reference"]).max() > 0


def test_the_command(tmp_path):
    words = [sys.executable, EXAMPLES / "fast_and_reference.py", "--steps", "2", "--hidden", "4", "--plot", tmp_path / "curves.png"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "largest relative difference of a loss, reference and fast" in done.stdout
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    refused = subprocess.run([*words[:2], "--steps", "0"], capture_output=True, text=True)
    assert refused.returncode == 2 and "--steps" in refused.stderr and "Traceback" not in refused.stderr
