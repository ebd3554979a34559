"""A GPU with tensor cores for the tests of this folder: the one that --device names, or the stand-in for CuPy with our
kernels emulated."""

import numpy as np
import pytest
import stand_in
from emulated import COMPILER, RawModule
from plans import DrawnDigits, make_plan

from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.gpu import has_tensor_cores
from tinypredrnn.gpu.ladder import Rung
from tinypredrnn.train import Trainer, trainer

NETWORK = dict(hidden=(4,), kernel=3, patch=2)
SMALL = dict(size=(8, 8), given=2, horizon=2, batch=2, steps=4, rate=0.01,
             sampling_until=4, validate_every=3, test_sequences=4, precision="fp32", digits=1, validation_sequences=2)


@pytest.fixture
def make(monkeypatch):
    """make(out, device, graph=True, steps=9, ...): a Trainer that draws no pictures. `network` are the options of another model."""
    for name in ("save_gif", "save_strip", "save_training_curves"):
        monkeypatch.setattr(trainer, name, lambda path, *what: path.write_bytes(b"a picture"))
    images = draw_digits(np.random.default_rng(0), 10)[0][:, 11:16, 11:16]

    def make(out, device, graph=True, network=NETWORK, **changes):
        plan = make_plan(**SMALL | network | changes)
        return Trainer(plan, DrawnDigits(plan.data, plan.recipe.seed, images), out, device, graph)

    return make


@pytest.fixture
def card(monkeypatch, request):
    """The name of the device, whose ladder (tinypredrnn/gpu/ladder.py) may be gone down."""
    if request.config.getoption("--device") != "cpu":
        device = request.getfixturevalue("device")
        if not has_tensor_cores(device):
            pytest.skip(f"{device} has no tensor cores for TF32")
        with stand_in.nothing_is_known_yet():
            yield device
        return
    if not COMPILER:
        pytest.skip("no C++ compiler (g++ or clang++) to emulate the GPU's kernels with")
    with stand_in.in_place_of_cupy(monkeypatch) as cupy:
        cupy.RawModule = RawModule
        monkeypatch.setattr(stand_in.Device, "compute_capability", "80")
        yield "gpu:0"


@pytest.fixture
def fallen(monkeypatch):
    """Why rungs were given up, as it happens."""
    faults, give_up = [], Rung.give_up
    monkeypatch.setattr(Rung, "give_up", lambda self, fault: faults.append(str(fault)) or give_up(self, fault))
    return faults


@pytest.fixture
def gpu(card, fallen):
    """The name of the device, where everything has to be computed in the fastest way: nothing may be given up."""
    yield card
    assert not fallen
