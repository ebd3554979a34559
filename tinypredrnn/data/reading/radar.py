"""Read frames of weather radars, whatever they store, as Clips on one scale in dBZ."""

import dataclasses

import numpy as np

from tinypredrnn.data.rain import UNITS_OF_RAIN, find_relationship, find_unit, to_dbz
from tinypredrnn.data.reading.frames import reading
from tinypredrnn.data.reading.room import Room
from tinypredrnn.data.reading.sequences import read_films
from tinypredrnn.data.reading.values import BYTE_RANGE, check_ends, known
from tinypredrnn.data.scale import Scale
from tinypredrnn.errors import DataError
from tinypredrnn.options import called

PER_HOUR = {"mm/h": 1, "mm/s": 3600, "m/s": 3_600_000}  # units of rain rates in mm/h
LOUDEST = 100.0  # dBZ: nothing echoes more strongly, so larger numbers have another unit


def read_radar(path, size=None, channels=None, range=None, values=None, unit="", order="", array="", every=1,
               missing=None, aspect="pad", zr="marshall-palmer", step=0.0, dbz=(0.0, 60.0), run=False):
    """The Clips at `path`, on a Scale that leads from `dbz` (low, high) to 0 and 1.

    values, unit   what the stored numbers `range` (bytes: 0 and 255) are, in a unit of rain, if the files do not say it
    zr             the relationship by which rain becomes reflectivity
    step           minutes from one stored frame to the next, if the frames have no times
    run            whether the frames are for a run that was trained with that `step`: the user is told if theirs
                   differs
    The others are those of `read_sequences`.

    dBZ stay as they are stored; rain rates and sums become floats in dBZ. ConfigError and DataError as for
    read_sequences, and DataError if the numbers are in no unit of rain.
    """
    films = read_films(path, size, channels, order, array, every, missing, aspect)
    with reading(films.path):
        if channels := {clip.shape[3] for clip in films.clips.values()} - {1}:
            raise DataError(f"expected frames of one number a pixel, got {max(channels)}: colours of a map cannot be "
                            "turned into rain, give the numbers that it was drawn from")
        meaning, messages = find_meaning(films, range, values, unit), films.messages
        survey = known(films.clips, missing, None, messages)
        meaning = dataclasses.replace(meaning, missing=missing, gaps=bool(survey.unknown))
        low, high = (meaning.units[0] + (end - meaning.stored[0]) * meaning.step() for end in (survey.low, survey.high))
        if meaning.unit == "dBZ" and not -LOUDEST <= low <= high <= LOUDEST:
            raise DataError(f"expected reflectivities between {-LOUDEST:g} and {LOUDEST:g} dBZ, got {low:g} to "
                            f"{high:g}: is the unit right, or do some mark missing data ({called('missing')})?")
        if meaning.unit != "dBZ" and low < 0:
            raise DataError(f"expected rain of 0 {meaning.unit} or more, got {low:g}: is the unit right, or does it "
                            f"mark missing data ({called('missing')})?")
        messages.append(f"the numbers are {low:.3g} to {high:.3g} {meaning.unit}; {dbz[0]:g} dBZ become 0 and "
                        f"{dbz[1]:g} dBZ become 1 for the model ({called('dbz')} LO HI changes that)")
        found = usual_step(films.times, every)
        if run and found and step and abs(found / step - 1) > 0.1:
            messages.append(f"the frames are {found:g} minutes apart, those of the run {step:g}: predictions go as "
                            "many steps ahead, not as many minutes")
        if meaning.unit != "dBZ":
            films = rain_to_dbz(films, meaning, found or step, zr)
            meaning = Scale(stored=(0.0, 1.0), units=(0.0, 1.0), gaps=meaning.gaps)
    ends = tuple(float(end) for end in dbz)
    stored = tuple(float(end) for end in np.round(meaning.stored_at(ends), 9))
    return films.on(dataclasses.replace(meaning, stored=stored, units=ends, unit="dBZ"), every)


def find_meaning(films, range, values, unit):
    """The Scale from stored numbers to a unit of rain, as the files or else the options say. DataError if neither does.
    """
    if said := films.meaning:
        if not find_unit(said.unit):
            raise DataError(f"expected rain in {UNITS_OF_RAIN}, got {said.unit!r:.60}: name another variable with "
                            f"{called('array')}")
        if range or values or unit:
            films.messages.append(f"the files say what their numbers are: {called('range')}, {called('values')} and "
                                  f"{called('unit')} are not used")
        return dataclasses.replace(said, unit=find_unit(said.unit))
    dtype = max(films.dtypes, key=lambda dtype: dtype.kind)  # "u", unsigned, comes last
    if not unit:
        ends = (f" and {called('values')}, such as {called('unit')} dBZ {called('values')} 0 60 for 0 to 255"
                if dtype.kind == "u" else "")
        raise DataError(f"the file does not say what its numbers are: say it with {called('unit')} ({UNITS_OF_RAIN})"
                        f"{ends}")
    if range and not values:
        raise DataError(f"which {unit} are the stored numbers {range[0]:g} and {range[1]:g}? Say it with "
                        f"{called('values')} LO HI, or leave out {called('range')}")
    if dtype.kind == "u" and not values:  # nobody stores rain or dBZ without a scale in numbers without a sign
        raise DataError(f"which {unit} are the stored numbers, {dtype}? Say it with {called('values')} LO HI: what 0 "
                        f"and 255 are, or the numbers of {called('range')}")
    if values and not range and dtype != np.uint8:
        raise DataError(f"which of the stored numbers, {dtype}, are {values[0]:g} and {values[1]:g} {unit}? Say it "
                        f"with {called('range')} LO HI")
    ends = check_ends(range or BYTE_RANGE) if values else (0.0, 1.0)
    return Scale(stored=ends, units=check_ends(values) if values else ends, unit=find_unit(unit))


def rain_to_dbz(films, meaning, step, zr):
    """The same Films with rain rates, or rain in a step of so many minutes, as float32 in dBZ."""
    if not step and meaning.unit not in PER_HOUR:
        raise DataError("mm is the rain of a step, and the times of the frames are not known: say how many minutes a "
                        f"step has with {called('step')}")
    factor = PER_HOUR.get(meaning.unit) or 60 / step
    room, convert = Room(), lambda frames: to_dbz(meaning.physical(frames) * factor, zr).astype(np.float32)
    clips = {name: room.each(clip, convert) for name, clip in films.clips.items()}
    a, b = find_relationship(zr)
    films.messages.append(f"rain rates are turned into reflectivities by Z = {a:g} R^{b:g} ({called('zr')} {zr})")
    return films._replace(clips=clips)


def usual_step(times, every):
    """Minutes from one stored frame to the next, of times {name: (T,)} of one frame out of `every`; 0 if not known."""
    steps = np.concatenate([np.diff(moments).astype(np.int64) for moments in times.values()] or [[]])
    return float(np.median(steps)) / 60 / every if len(steps) else 0.0
