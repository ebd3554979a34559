"""The world of weather radar: echoes of rain from files, on one scale in dBZ, or synthetic ones if there are no files.

Whatever files store (bytes, dBZ, rain rates, rain in a step), the model sees reflectivity from one range, `--dbz 0 60`:
runs on files of different ranges or units can be compared, and a run can be used on the files of another radar.
"""

import dataclasses

import numpy as np

from tinypredrnn.data.echoes import SCALE, Echoes
from tinypredrnn.data.own import READING, OwnOptions, OwnSequences, number_for_missing, range_of
from tinypredrnn.data.rain import RELATIONSHIPS, find_relationship, find_unit, to_dbz
from tinypredrnn.data.reading.frames import ASPECTS, check_bytes, reading
from tinypredrnn.data.reading.sequences import read_films
from tinypredrnn.data.reading.values import BYTE_RANGE, check_ends, known
from tinypredrnn.data.scale import Scale
from tinypredrnn.data.source import Source, stream
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.options import called, option

ANY = "dBZ, mm/h, or mm in each step"
PER_HOUR = {"mm/h": 1, "mm/s": 3600, "m/s": 3_600_000}  # units of rain rates in mm/h
LOUDEST = 100.0  # dBZ: nothing echoes more strongly, so larger numbers have another unit
GENERATED = 64, 64  # the size of synthetic frames, if none is asked for


@dataclasses.dataclass(frozen=True)
class RadarOptions(OwnOptions):
    """What the user can say about radar files. Without `data`, echoes are generated as they are needed."""

    data: str = option("", "the frames: a .npz, NetCDF, HDF5 (ODIM) or Zarr file, or a folder of these or of images "
                           "whose names have the time; empty: synthetic echoes", may_change=True)
    aspect: str = option("pad", "frames of another aspect than --size: pad them with places without data, crop them, "
                                "or stretch them", ASPECTS)
    unit: str = option("", f"unit of the numbers, {ANY}, if the files do not say it")
    values: tuple = option((), "what the numbers of --range, or 0 and 255 of bytes, are in --unit, if the files do not "
                               "say it", count=2)
    zr: str = option("marshall-palmer", "the Z-R relationship between reflectivity and rain rate: "
                                        f"{', '.join(RELATIONSHIPS)}, or a and b of Z = a R^b, such as '200 1.6'")
    step: float = option(0.0, "minutes in which the mm of a frame fell (0: from the times of the frames)", least=0)
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
            raise ConfigError(f"{called('unit')} of radar data is {ANY}, got {self.unit!r:.60}")


def read_echoes(path, options, scale=None):
    """The Clips at `path`, on a Scale from `options.dbz`, which is also that of a run (`scale`).

    dBZ stay as they are stored; rain rates and sums become floats in dBZ. ConfigError, and DataError as for
    read_sequences, or if the numbers are in no unit of rain.
    """
    o, missing = options, number_for_missing(options)
    films = read_films(path, o.size or None, o.channels or None, o.order, o.array, o.every, missing, o.aspect)
    with reading(films.path):
        if channels := {clip.shape[3] for clip in films.clips.values()} - {1}:
            raise DataError(f"expected frames of one number a pixel, got {max(channels)}: colours of a map cannot be "
                            "turned into rain, give the numbers that it was drawn from")
        meaning, messages = find_meaning(films, o), films.messages
        survey = known(films.clips, missing, None, messages)
        meaning = dataclasses.replace(meaning, missing=missing, gaps=bool(survey.unknown))
        low, high = (meaning.units[0] + (end - meaning.stored[0]) * meaning.step() for end in (survey.low, survey.high))
        if meaning.unit == "dBZ" and not -LOUDEST <= low <= high <= LOUDEST:
            raise DataError(f"expected reflectivities between {-LOUDEST:g} and {LOUDEST:g} dBZ, got {low:g} to "
                            f"{high:g}: is the unit right, or do some mark missing data (--missing)?")
        if meaning.unit != "dBZ" and low < 0:
            raise DataError(f"expected rain of 0 {meaning.unit} or more, got {low:g}: is the unit right, or does it "
                            "mark missing data (--missing)?")
        messages.append(f"the numbers are {low:.3g} to {high:.3g} {meaning.unit}; {o.dbz[0]:g} dBZ become 0 and "
                        f"{o.dbz[1]:g} dBZ become 1 for the model (--dbz LO HI changes that)")
        if meaning.unit != "dBZ":
            films, meaning = rain_to_dbz(films, meaning, o), dataclasses.replace(
                meaning, stored=(0.0, 1.0), units=(0.0, 1.0), missing=None)
    ends = tuple(float(end) for end in o.dbz)
    stored = tuple(float(end) for end in np.round(meaning.stored_at(ends), 9))
    return films.on(dataclasses.replace(meaning, stored=stored, units=ends, unit="dBZ"), o.every)


def find_meaning(films, options):
    """The Scale from stored numbers to a unit of rain, as the files or else the options say. DataError if neither does.
    """
    said, o = films.meaning, options
    if said:
        unit = find_unit(said.unit)
        if not unit and not o.unit:
            raise DataError(f"expected rain in {ANY}, got {said.unit!r:.60}: name another variable with --array, or "
                            "the unit with --unit if that is not it")
        return dataclasses.replace(said, unit=unit or find_unit(o.unit))
    dtype = next(iter(films.clips.values())).dtype
    if not o.unit:
        raise DataError(f"the file does not say what its numbers are: say it with --unit ({ANY})"
                        + (" and --values, such as --unit dBZ --values 0 60 for 0 to 255" if dtype.kind == "u" else ""))
    if dtype.kind == "u" and not o.values:  # nobody stores rain or dBZ without a scale in numbers without a sign
        raise DataError(f"which {o.unit} are the stored numbers, {dtype}? Say it with --values LO HI: what 0 and 255 "
                        "are, or the numbers of --range")
    if o.values and not o.range and dtype != np.uint8:
        raise DataError(f"which of the stored numbers, {dtype}, are {o.values[0]:g} and {o.values[1]:g} {o.unit}? Say "
                        "it with --range LO HI")
    ends = check_ends(o.range or BYTE_RANGE) if o.values else (0.0, 1.0)
    return Scale(stored=ends, units=check_ends(o.values) if o.values else ends, unit=find_unit(o.unit))


def rain_to_dbz(films, meaning, options):
    """The same Films with rain rates, or rain in a step, as float32 in dBZ."""
    factor = PER_HOUR.get(meaning.unit) or 60 / minutes(films, options)
    check_bytes(sum(clip.size * 4 for clip in films.clips.values()))
    clips = {}
    for name, clip in films.clips.items():
        clips[name] = np.empty(clip.shape, np.float32)
        for frame, out in zip(clip, clips[name]):  # one at a time: floats of all at once would take much memory
            out[...] = to_dbz(meaning.physical(frame) * factor, options.zr)
    a, b = find_relationship(options.zr)
    films.messages.append(f"rain rates are turned into reflectivities by Z = {a:g} R^{b:g} (--zr {options.zr})")
    return films._replace(clips=clips)


def minutes(films, options):
    """How long the step is in which the mm of a frame fell."""
    steps = [np.diff(times).astype(np.int64) for times in films.times.values()]
    if not options.step and not any(map(len, steps)):
        raise DataError("mm is the rain of a step, and the times of the frames are not known: say how many minutes a "
                        "step has with --step")
    return options.step or np.median(np.concatenate(steps)) / 60 / options.every


class Radar(OwnSequences):
    """Runs of radar frames (N,T,H,W,1) on one scale in dBZ, with places without data; without files, synthetic echoes.

    A sequence never crosses a gap in time; training, validation and test follow each other in time.
    """

    Options, read, in_time, own_test = RadarOptions, staticmethod(read_echoes), True, "radar"
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
            return
        if options.validation or options.test:
            raise ConfigError(f"{called('validation')} and {called('test')} are given without {called('data')}: name "
                              "the files to train on as well")
        if options.dbz != SCALE.units:
            raise ConfigError(f"synthetic echoes go from {SCALE.units[0]} to {SCALE.units[1]} dBZ, got {called('dbz')} "
                              f"{options.dbz}: leave it out, or name files with {called('data')}")
        Source.__init__(self, options.replace(size=options.size or GENERATED, channels=1), seed)
        self.echoes, self.scale = Echoes(self.options.size, self.length), SCALE
        self.frame = *self.options.size, 1
        self.messages = ("no --data: synthetic echoes, generated as they are needed",)

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
