"""A run small enough for seconds: one layer of 4, 32x32 pixels, digits drawn by our own pen."""

import numpy as np
import pytest
from plans import DrawnDigits, make_plan

from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.train import Trainer, trainer
from tinypredrnn.train.parallel import ALONE

SMALL = dict(size=(32, 32), hidden=(4,), kernel=3, patch=8, given=3, horizon=3, batch=2, steps=6, rate=0.01, sampling_until=4,
             validate_every=3, test_sequences=4, validation_sequences=4)


@pytest.fixture(scope="session")
def digit_images():
    return draw_digits(np.random.default_rng(0), 30)[0]


@pytest.fixture
def small_trainer(digit_images, monkeypatch):
    """small_trainer(out, steps=9, ...): a Trainer of the small run with some options changed; drawing takes longer than the rest."""

    def make(out, device="cpu", pictures=False, data=None, ranks=ALONE, **changes):
        if not pictures:
            for name in ("save_gif", "save_strip", "save_training_curves"):
                monkeypatch.setattr(trainer, name, lambda path, *what: path.write_bytes(b"a picture"))
        plan = make_plan(**SMALL | changes)
        return Trainer(plan, DrawnDigits(plan.data, plan.recipe.seed, digit_images, data), out, device, ranks=ranks)

    return make
