"""Scale: conversion between stored numbers, the numbers in [0, 1] that a model sees, and physical units."""

import dataclasses

import numpy as np

from tinypredrnn.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Scale:
    """A linear map in each direction. For the model, numbers outside the range are set to its nearer end.

        stored    0 ... 255         the numbers in files and in memory
        model     0 ... 1           the numbers that networks, losses and metrics see
        units  -32 ... 95.5 dBZ     physical quantities

    stored    the stored numbers that become 0 and 1
    units     the same two in physical units; (0, 1) if there are none
    unit      the name of these units: "dBZ", "K", "mm/h"; "" if there are none
    missing   the stored number that marks places without data, or None; NaN always marks them
    gaps      whether there are places without data: a model is trained and scored on the others only
    """

    stored: tuple = (0.0, 255.0)
    units: tuple = (0.0, 1.0)
    unit: str = ""
    missing: float | None = None
    gaps: bool = False

    def __post_init__(self):
        for name in "stored", "units":
            ends = getattr(self, name)
            if len(ends) != 2 or not np.isfinite(ends).all() or not ends[0] < ends[1]:
                raise ConfigError(f"a scale goes from a smaller to a larger number, got {ends} as {name}")

    def to_model(self, stored, dtype=np.float32):
        """Stored frames on the model's scale: floats in [0, 1], NaN in places without data."""
        first, last = self.stored
        exact = dtype if stored.dtype.itemsize < 4 else np.float64  # float32 represents all 16-bit integers exactly
        frames = stored.astype(exact)
        if self.missing is not None:
            frames[stored == self.missing] = np.nan
        if first:
            frames -= first
        frames /= last - first
        if not (stored.dtype == np.uint8 and self.stored == (0, 255)):  # bytes are always within the range
            np.clip(frames, 0, 1, out=frames)
        return frames.astype(dtype, copy=False)

    def to_units(self, frames):
        """Convert frames from the model's scale to physical units."""
        first, last = self.units
        return first + frames * (last - first)

    def from_units(self, values):
        """Convert physical values to the model's scale."""
        first, last = self.units
        return (np.asarray(values) - first) / (last - first)

    def reached_from(self, value):
        """The number on the model's scale from which on a physical value is reached.

        It lies a millionth of the range below the value, since frames on the model's scale are rounded to float32: a
        place that has exactly this value does reach it.
        """
        return float(self.from_units(value)) - 1e-6

    def physical(self, stored):
        """Stored numbers in physical units, floats, also beyond the ends; NaN in places without data."""
        values = np.asarray(stored, np.float64)
        known = values if self.missing is None else np.where(values == self.missing, np.nan, values)
        return self.units[0] + (known - self.stored[0]) * self.step()

    def stored_at(self, values):
        """The stored numbers of physical values, as floats."""
        return self.stored[0] + (np.asarray(values, np.float64) - self.units[0]) / self.step()

    def step(self):
        """What one stored number more is in physical units."""
        return (self.units[1] - self.units[0]) / (self.stored[1] - self.stored[0])

    def as_dict(self):
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


def read_scale(values):
    """The Scale that `as_dict` turned into `values`."""
    return Scale(**values | {name: tuple(values[name]) for name in ("stored", "units")})


BYTES = Scale()
