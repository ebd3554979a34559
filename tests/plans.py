"""Plans for tests: new_plan with frames of a size, without asking any world for them."""

import dataclasses

from tinypredrnn.data.scale import BYTES
from tinypredrnn.train import new_plan


def make_plan(size=(64, 64), channels=1, model="predrnn", preset="paper", **changes):
    """A Plan on Moving MNIST whose frames are (*size, channels) bytes, with some options changed."""
    plan = new_plan(model, "mnist", preset, size=size, **changes)
    return dataclasses.replace(plan, frame=(*size, channels), scale=BYTES)
