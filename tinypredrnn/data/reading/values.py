"""Examine the numbers in frames: their range, where data are missing, and whether anything moves."""

import math
from typing import NamedTuple

import numpy as np

from tinypredrnn.data.reading.room import release_pages
from tinypredrnn.data.scale import BYTES, Scale
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.options import called

BYTE_RANGE = BYTES.stored
MAX_EXAMINED = 4 << 30  # bytes: of larger data, only an even sample of the frames is examined
PIECE = 1 << 24  # bytes that are examined at a time
ROUNDING = 1e-5  # how far outside of [0, 1] floats may be and still count as 0 or 1
CODES = (-9999, -999, -99, -32768, -32767, 9999, 32767, 65535, 9.969209968386869e36, 3.4028234663852886e38,
         *(sign * 10.0**power for sign in (1, -1) for power in (20, 30, 33, 36)),
         -3.4028234663852886e38)  # common codes for missing data
# hints examine at most so many frames of each of about so many clips, and about so many bytes of each
HINTS = 240, 4, 1 << 23
MIN_CHANGE = 1e-4  # of the range: if the mean change is smaller, frames hardly change


class Survey(NamedTuple):
    """Facts about frames: the smallest and largest known number, how many places are unknown, and the first of them."""

    low: float
    high: float
    places: int
    unknown: int
    first: str


def pieces(clips):
    """(name, number of the first frame, frames) for pieces of all clips; in very large data, for a sample of frames."""
    total = sum(clip.nbytes for clip in clips.values())
    stride = max(1, math.ceil(total / MAX_EXAMINED))
    for name, clip in clips.items():
        count = 1 if stride > 1 else max(1, PIECE // clip[0].nbytes)
        for t in range(0, len(clip), max(stride, count)):
            yield name, t, clip[t:t + count]
            release_pages(clip)


def survey(clips, missing):
    """The Survey of clips {name: (T,H,W,C)}. DataError if some numbers are infinite."""
    low, high, places, unknown, first = np.inf, -np.inf, 0, 0, ""
    for name, start, frames in pieces(clips):
        places += frames.size
        gone = np.isnan(frames) if missing is None else np.isnan(frames) | (frames == missing)
        if gone.any():
            unknown, first = unknown + int(gone.sum()), first or place(name, start, gone)
            frames = frames[~gone]
        if frames.size:
            low, high = min(low, float(frames.min())), max(high, float(frames.max()))
            if not np.isfinite([low, high]).all():
                raise DataError(f"expected finite numbers, or NaN where there are none, got infinite ones in {name}: "
                                "replace them")
    return Survey(low, high, places, unknown, first)


def find_scale(clips, range, unit, missing, messages, meaning=None, values=None):
    """The Scale of clips {name: (T,H,W,C)}, from `range` (low, high), `unit` and `missing`, else from their numbers.

    meaning   the Scale that a file itself gives from stored numbers to units, or None
    values    what the ends of `range`, or 0 and 255 of bytes, are in units; None: the same numbers

    DataError if there are no known numbers, if some are infinite, or if some seem to be codes for missing data.
    """
    dtypes, true = {clip.dtype for clip in clips.values()}, all(map(is_boolean, clips.values()))
    in_bytes = dtypes == {np.dtype(np.uint8)} and not true
    if meaning and range is None and meaning.stored != meaning.units:
        range = meaning.stored
    if range is None and in_bytes and (values or missing is None):
        if missing is None:
            hint_at_a_part(max(int(frames.max()) for frames in looked_at(clips)), 255, messages)
        if missing is None and not values and not meaning:
            return Scale(units=BYTES.stored, unit=unit) if unit else BYTES
        range = BYTE_RANGE
    found = known(clips, missing, range, messages)
    if range is None and (true or all(d.kind == "f" for d in dtypes) and -ROUNDING <= found.low
                          and found.high <= 1 + ROUNDING):
        range = 0.0, 1.0
        hint_at_a_part(found.high, 1, messages)
    elif range is None:
        bytes_in_others = 0 <= found.low < 64 and 128 < found.high <= 255
        range = (0.0, 255.0) if bytes_in_others else round_outwards(found.low, found.high)
        sample = " in a sample of the frames" if sum(clip.nbytes for clip in clips.values()) > MAX_EXAMINED else ""
        messages.append(f"the numbers ({', '.join(sorted(map(str, dtypes)))}) go from {found.low:g} to {found.high:g}"
                        f"{sample}; {range[0]:g} becomes 0 and {range[1]:g} becomes 1 for the model ({called('range')} "
                        "LO HI changes that)")
    else:
        range = tuple(float(end) for end in range)
        if len(range) != 2 or not np.isfinite(range).all() or not range[0] < range[1]:
            raise ConfigError(f"{called('range')} is a smaller and a larger number, got {range}")
        if found.high < range[0] or found.low > range[1]:
            raise DataError(f"expected numbers between {range[0]:g} and {range[1]:g}, got {found.low:g} to "
                            f"{found.high:g}: scale them as the others, or name another {called('range')}")
        if found.low < range[0] or found.high > range[1]:
            messages.append(f"the numbers go from {found.low:g} to {found.high:g}; what lies outside of {range[0]:g} "
                            f"to {range[1]:g} is set to its nearer end for the model")
    if meaning:
        units, unit = tuple(meaning.physical(range).tolist()), meaning.unit
    else:
        units = check_ends(values) if values else range
    return Scale(stored=range, units=units, unit=unit, missing=missing, gaps=bool(found.unknown))


def check_ends(values):
    if len(values) != 2 or not np.isfinite(values).all() or not values[0] < values[1]:
        raise ConfigError(f"{called('values')} is a smaller and a larger number, got {values}")
    return tuple(float(end) for end in values)


def known(clips, missing, range, messages):
    """The Survey of clips, with sentences about places without data. DataError as for `find_scale`."""
    found = survey(clips, missing)
    if found.low > found.high:
        raise DataError(f"expected numbers, got {found.unknown:,} places without data and none with: is "
                        f"{called('missing')} right?")
    if found.unknown:
        share = 100 * found.unknown / found.places
        messages.append(f"{found.unknown:,} places ({share:.2g}%) have no data, the first in {found.first}")
    elif missing is not None:
        messages.append(f"no place holds {missing:g}, the code for missing data")
    if missing is None:
        refuse_codes(clips, found, range, messages)
    return found


def is_boolean(clip):
    """Whether an array of bytes is a view of an array of bool, so that it holds only 0 and 1."""
    while isinstance(clip, np.ndarray):
        if clip.dtype == bool:
            return True
        clip = clip.base
    return False


def round_outwards(low, high):
    """The range from `low` to `high`, rounded outwards to two significant digits of its length."""
    if low == high:
        return low, low + 1.0
    step = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    first, last = math.floor(low / step + 1e-4), math.ceil(high / step - 1e-4)  # 0.004 in float32 is 0.0040000002
    return (float(f"{first * step:.12g}"), float(f"{last * step:.12g}")) if first < last else (low, high)


def refuse_codes(clips, found, range, messages):
    """DataError if the smallest or largest number is a common code for missing data and is far from all others. If the
    range was given, the user is only told.
    """
    for code in {end for end in (found.low, found.high) if np.isclose(end, CODES, rtol=1e-6, atol=0).any()}:
        rest = survey(clips, code)
        apart = rest.low - code if code == found.low else code - rest.high
        if rest.low > rest.high or apart <= max(rest.high - rest.low, 1):
            continue
        count = rest.unknown - found.unknown
        first = next(place(name, start, frames == code) for name, start, frames in pieces(clips) if code in frames)
        what = (f"{count:,} places ({100 * count / found.places:.2g}%) hold {code:g}, far from all others "
                f"({rest.low:g} to {rest.high:g}), the first in {first}")
        if range is None:
            raise DataError(f"{what}: if that marks missing data, use {called('missing')} "
                            f"{format_exactly(code, clips)}; else give the range with {called('range')} LO HI")
        messages.append(f"{what}; use {called('missing')} {format_exactly(code, clips)} if that marks missing data")


def format_exactly(number, clips):
    """A number as text from which the same number of the clips' dtype can be read."""
    stored = next(iter(clips.values())).dtype.type
    return f"{number:g}" if stored(float(f"{number:g}")) == stored(number) else str(stored(number))


def place(name, start, true):
    """In words, the first place where `true` (T,H,W,C) holds; `start` is the number of its first frame in the clip."""
    t, row, column, _ = (int(n) for n in np.unravel_index(true.argmax(), true.shape))
    return f"{name}, frame {start + t}, row {row}, column {column}"


# hints

def hint_at_a_part(most, full, messages):
    """Add a hint if the numbers, up to `most`, use only a small part of the range from 0 to `full`."""
    if 0 < most < full / 10:
        messages.append(f"the numbers go up to {most:.4g}, {100 * most / full:.2g}% of the range from 0 to {full}: "
                        f"{called('range')} 0 {round_outwards(0, most)[1]:g} makes use of all of it")


def looked_at(clips):
    """The first frames of a few clips, which are evenly spaced."""
    frames, most, size = HINTS
    chosen = list(clips.values())
    for clip in chosen[::max(1, math.ceil(len(chosen) / most))]:
        yield clip[:min(frames, max(2, size // clip[0].nbytes))]


def hints(clips, scale, every, messages):
    """Add hints about clips that are empty, do not move, repeat frames, or are gray but stored in colour."""
    looked = list(looked_at(clips))
    floats = looked[0].dtype.kind == "f"
    if looked[0].shape[3] == 3 and all(np.array_equal(f[..., :2], f[..., 1:], equal_nan=floats) for f in looked):
        messages.append(f"red, green and blue are equal in the frames looked at: {called('channels')} 1 makes them "
                        "gray, which is a third of the work")
    empty = sum(bool((frames == frames[:1, :1, :1]).all()) for frames in looked)
    if empty:
        messages.append(f"in {empty} of the {len(looked)} clips looked at all frames hold one number: there is nothing "
                        "to predict")
    # NaN if nothing is known
    changes = [np.array([change(a, b) for a, b in zip(frames, frames[1:])]) for frames in looked]
    steps, moved = sum(map(len, changes)), sum(int((c != 0).sum()) for c in changes)
    if not steps or empty == len(looked):
        return
    span, mean = scale.stored[1] - scale.stored[0], np.nanmean(np.concatenate([*changes, [np.inf] * (not moved)]))
    if not moved:
        messages.append("nothing moves in the clips looked at: copying the last frame predicts them perfectly")
    elif moved <= steps / 2:
        apart = [n for c in changes for n in np.diff(np.flatnonzero(c))]
        often = every * int(np.median(apart)) if apart else round(every * steps / moved)
        messages.append(f"{steps - moved} of {steps} frames looked at repeat the one before: {called('every')} "
                        f"{max(2, often)} takes one of each")
    elif mean < MIN_CHANGE * span:
        messages.append(f"the frames hardly change from one to the next ({100 * mean / span:.2g}% of the range on "
                        f"average): {called('every')} N takes one of N")


def change(one, other):
    """The mean difference between two frames where both are known; 0 only if they are equal everywhere."""
    if np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
        return 0.0
    difference = np.abs(other.astype(np.float64) - one)
    return float(difference[np.isfinite(difference)].mean()) if np.isfinite(difference).any() else np.nan
