"""The world of weather radar: echoes of rain from files, on one scale in dBZ, or synthetic ones if there are no files.

Whatever files store (bytes, dBZ, rain rates, rain in a step), the model sees reflectivity from one range, `--dbz 0 60`:
runs on files of different ranges or units can be compared, and a run can be used on the files of another radar.
"""

import dataclasses

from tinypredrnn.data.echoes import SCALE, Echoes
from tinypredrnn.data.own import READING, OwnOptions, OwnSequences, metrics_of, number_for_missing, range_of
from tinypredrnn.data.rain import RELATIONSHIPS, UNITS_OF_RAIN, find_relationship, find_unit
from tinypredrnn.data.reading import ASPECTS, read_radar, usual_step
from tinypredrnn.data.source import Source, stream
from tinypredrnn.errors import ConfigError
from tinypredrnn.options import called, option

GENERATED = 64, 64  # the size of synthetic frames, if none is asked for


@dataclasses.dataclass(frozen=True)
class RadarOptions(OwnOptions):
    """What the user can say about radar files. Without `data`, echoes are generated as they are needed."""

    data: str = option("", "the frames: a .npz, NetCDF, HDF5 (ODIM) or Zarr file, or a folder of these or of images "
                           "whose names have the time; empty: synthetic echoes", may_change=True)
    aspect: str = option("pad", "frames of another aspect than --size: pad them with places without data, crop them, "
                                "or stretch them", ASPECTS)
    range: tuple = option((), "two stored numbers of which --values says what they are (bytes: 0 and 255)", count=2)
    unit: str = option("", f"unit of the numbers, {UNITS_OF_RAIN}, if the files do not say it")
    values: tuple = option((), "what the numbers of --range, or 0 and 255 of bytes, are in --unit, if the files do not "
                               "say it", count=2)
    zr: str = option("marshall-palmer", "the Z-R relationship between reflectivity and rain rate: "
                                        f"{', '.join(RELATIONSHIPS)}, or a and b of Z = a R^b, such as '200 1.6'")
    step: float = option(0.0, "minutes from one stored frame to the next, if the files have no times", least=0)
    thresholds: tuple = option((10.0, 20.0, 30.0, 40.0), "dBZ at which events are scored", may_change=True)
    dbz: tuple = option((0.0, 60.0), "reflectivities in dBZ that become 0 and 1 for the model", count=2)
    active: float = option(0.02, "leave out sequences in which less than this share of the pixels is above "
                                 "--active-above", least=0)
    active_above: float = option(1.5, "dBZ that a pixel has to exceed to count as active")

    def __post_init__(self):
        super().__post_init__()
        find_relationship(self.zr)
        if len(self.dbz) != 2 or not self.dbz[0] < self.dbz[1]:
            raise ConfigError(f"{called('dbz')} is a smaller and a larger number, got {self.dbz}")
        if self.unit and not find_unit(self.unit):
            raise ConfigError(f"{called('unit')} of radar data is {UNITS_OF_RAIN}, got {self.unit!r:.60}")


def read_echoes(path, options, scale=None):
    """The Clips at `path`, on a Scale from `options.dbz`, which is also that of a run (`scale`). ConfigError and
    DataError as for `read_radar`.
    """
    o = options
    return read_radar(path, o.size or None, o.channels or None, o.range or None, o.values or None, o.unit, o.order,
                      o.array, o.every, number_for_missing(o), o.aspect, o.zr, o.step, o.dbz, scale is not None)


class Radar(OwnSequences):
    """Runs of radar frames (N,T,H,W,1) on one scale in dBZ, with places without data; without files, synthetic echoes.

    A sequence never crosses a gap in time; training, validation and test follow each other in time.
    """

    Options, read, in_time, own_test = RadarOptions, staticmethod(read_echoes), True, "radar"
    baselines = "copy_last", "flow", "blur_last"
    reading = *READING, "range", "values", "unit", "zr", "step"
    presets = {
        # minutes on two CPU cores: predictions move and weaken as the echoes do, but are not sharp
        "quick": dict(hidden=(32, 32), kernel=3, patch=4, steps=1_000, rate=2e-3, rate_schedule="cosine", loss="l2",
                      sampling_until=600, validate_every=200, test_sequences=300),
        "small": dict(hidden=(64, 64), kernel=3, steps=20_000, sampling_until=12_500, validate_every=1_000,
                      test_sequences=1_000),
        # Section 4.3: two layers of 128 with 3x3 kernels
        "paper": dict(hidden=(128, 128), kernel=3),
    }

    def __init__(self, options, seed):
        self.echoes = None
        if options.data:
            super().__init__(options, seed)
            self.options = self.options.replace(step=usual_step(self.training.times, options.every) or options.step)
            return
        if options.validation or options.test:
            raise ConfigError(f"{called('validation')} and {called('test')} are given without {called('data')}: name "
                              "the files to train on as well")
        if options.dbz != SCALE.units:
            raise ConfigError(f"synthetic echoes go from {SCALE.units[0]} to {SCALE.units[1]} dBZ, got {called('dbz')} "
                              f"{options.dbz}: leave it out, or name files with {called('data')}")
        Source.__init__(self, options.replace(size=options.size or GENERATED, channels=1), seed)
        self.echoes, self.scale = Echoes(self.options.size, self.length), SCALE
        self.metrics = metrics_of(type(self), self.options, self.scale)
        self.frame = *self.options.size, 1
        self.messages = (f"no {called('data')}: synthetic echoes, generated as they are needed",)

    def batch(self, k, count, rows=slice(None)):
        if not self.echoes:
            return super().batch(k, count, rows)
        return self.echoes.draw(stream("training", self.seed, k), count)[rows]

    def validation(self):
        if not self.echoes:
            return super().validation()
        return self.echoes.fixed_set("validation", self.options.validation_sequences)

    def tests(self):
        if not self.echoes:
            return super().tests()
        return {self.own_test: lambda: self.echoes.fixed_set("test", self.options.test_sequences)}

    def samples(self, count):
        if not self.echoes:
            return super().samples(count)
        return {f"synthetic echoes {n + 1}": frames for n, frames in enumerate(self.echoes.fixed_set("test", count))}

    @property
    def notes(self):
        return {"echoes": self.options.data or "synthetic"} | range_of(self.scale)

    def fingerprint(self):
        return Source.fingerprint(self) if self.echoes else super().fingerprint()
