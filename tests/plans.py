"""Plans and a world for tests, which need no files."""

import dataclasses

from tinypredrnn.data.digits import Digits
from tinypredrnn.data.moving_digits import MovingDigits
from tinypredrnn.data.scale import BYTES
from tinypredrnn.train import new_plan


class DrawnDigits(MovingDigits):
    """Moving digits of these images; `known_by` are the numbers of each part that it is recognised by, if not its first batch alone."""

    def __init__(self, options, seed, images, known_by=None):
        self.images, self.known_by = images, known_by or {}
        super().__init__(options, seed)

    def digits(self, split):
        return Digits(self.images, "a test")

    def fingerprint(self):
        return {part: {"numbers": numbers} for part, numbers in self.known_by.items()}


def make_plan(size=(64, 64), channels=1, model="predrnn", preset="paper", **changes):
    """A Plan on Moving MNIST whose frames are (*size, channels) bytes, with some options changed."""
    plan = new_plan(model, "mnist", preset, size=size, **changes)
    return dataclasses.replace(plan, frame=(*size, channels), scale=BYTES)
