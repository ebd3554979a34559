"""Find gaps in time, from the names of pictures or from arrays `times` and `run_start`. No sequence crosses a gap.

A step of more than one and a half usual steps is a gap, and so is a step back in time. If more than a third of the
steps would be gaps, the frames were not taken at regular times: they are kept together, and the user is told.

Where dates and times of day are written, they stay with the frames, as datetime64[s] (T,): data can then be divided in
the order of time, and a forecast says for when it is.
"""

import re
from collections import defaultdict
from datetime import datetime

import numpy as np

from tinypredrnn.data.reading.clips import Piece
from tinypredrnn.data.reading.words import in_short

TIMES = "times", "time", "timestamps", "timestamp", "datetimes", "dates"
STARTS = "run_start", "run_starts"
DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"  # year, month, day
                  r"(?:[-_.T ]{0,3}([01]\d|2[0-3])[-_.:h]?([0-5]\d)(?:[-_.:m]?([0-5]\d))?)?(?!\d)")  # and the clock


def gaps(numbers, most=1 / 3):
    """(the frames before which there is a gap, whether times are regular) for frames at these times. Times are regular
    if at most a share `most` of the steps are gaps.
    """
    steps = np.diff(np.asarray(numbers, np.float64))
    if len(steps) < 2:
        return [], True
    forward = steps[steps > 0]
    if not len(forward):
        return [], False
    found = np.flatnonzero((steps > 1.5 * np.median(forward)) | ~(steps > 0)) + 1
    return (found.tolist(), True) if len(found) <= most * len(steps) else ([], False)


def runs(count, starts):
    """Slices that cut `count` frames at each of `starts`."""
    edges = sorted({0, count, *starts})
    return [slice(first, last) for first, last in zip(edges, edges[1:])]


# names of pictures

def films(names):
    """Sort names of pictures, without endings, into films: {what their names share: [(number, name)]}.

    The number of a name is its date and time, or else the one of its numbers that differs most often. The rest of the
    name identifies the film: cam1_0003 and cam2_0003 belong to two films. Each film is in the order of time.
    """
    alone = lambda found: sum(len(film) < 2 for film in found.values())
    dated = by_number(names, dated=True)
    # for example if all names share one date
    found = min(dated, by_number(names, dated=False), key=alone) if alone(dated) else dated
    return {key: sorted(film) for key, film in found.items()}


def by_number(names, dated):
    """`films`, unsorted; if `dated`, a date in a name takes precedence over other numbers."""
    found, kinds = defaultdict(list), defaultdict(list)
    for name in names:
        if match := DATE.search(name) if dated else None:
            found[name[:match.start()] + "*" + name[match.end():]].append((seconds(match), name))
        else:
            kinds["#".join(re.split(r"\d+", name.lower()))].append(name)
    for kind in kinds.values():
        numbers = [[int(number[-15:]) for number in re.findall(r"\d+", name)] for name in kind]
        places = range(len(numbers[0]))
        place = max(places, key=lambda k: (len({row[k] for row in numbers}), k), default=None)
        for name, row in zip(kind, numbers):
            parts = re.split(r"(\d+)", name)
            if places:
                parts[2 * place + 1] = "*"
            found["".join(parts).lower()].append((row[place] if places else 0, name))
    return found


def seconds(match):
    year, _, month, day, *clock = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), *(int(n or 0) for n in clock))
    except ValueError:  # 30 February
        return 0.0
    return (moment - datetime(1970, 1, 1)).total_seconds()


def numbered(film):
    """Plain numbers for a film's names, read as clock times or calendar dates if that leaves fewer gaps."""
    numbers = [number for number, _ in film]
    candidates = [numbers]
    if max(numbers) < 240_000:  # 1255, 1300: clock times, perhaps with seconds
        clock = [(n // 10_000, n // 100 % 100, n % 100) for n in numbers]
        if all(minute < 60 and second < 60 for _, minute, second in clock):
            candidates.append([3600 * hour + 60 * minute + second for hour, minute, second in clock])
    if all(190_001 <= n <= 209_912 and 1 <= n % 100 <= 12 for n in numbers):  # 202412, 202501: months
        candidates.append([n // 100 * 12 + n % 100 for n in numbers])
    if all(1_900_001 <= n <= 2_099_366 and 1 <= n % 1000 <= 366 for n in numbers):  # 2024366, 2025001: days of a year
        candidates.append([datetime(n // 1000, 1, 1).toordinal() + n % 1000 for n in numbers])
    return min(candidates, key=lambda c: (not gaps(c)[1], len(gaps(c)[0])))


def pictures_apart(name, names, messages):
    """[(name of a clip, [names of its pictures])] for a folder `name` whose pictures have these names, in order."""
    apart, cut = films(names), []
    if any(len(film) < 2 for film in apart.values()):  # the numbers have no clear meaning
        return [(name, names)]
    if len(apart) > 1:
        messages.append(f"{name}: the names belong to {len(apart)} films ({in_short(apart)}), and each is a separate "
                        "clip")
    for key, film in apart.items():
        clip, ordered = f"{name}/{key}" if len(apart) > 1 else name, [picture for _, picture in film]
        starts, regular = gaps(numbered(film))
        pieces = [ordered[piece] for piece in runs(len(ordered), starts)]
        if starts:
            messages.append(f"{clip}: frames are missing in {len(starts)} place(s), the first between "
                            f"{ordered[starts[0] - 1]} and {ordered[starts[0]]}; no sequence crosses a gap")
        elif not regular:
            messages.append(f"{clip}: the numbers in the names are not evenly spaced; the frames are taken as if they "
                            "were")
        cut += [(f"{clip} {piece[0]}" if starts else clip, piece) for piece in pieces]
    return cut


def times_of(names):
    """The times that the names of pictures, in order, say, datetime64[s] (T,); None unless each has a later one."""
    found = [DATE.search(name) for name in names]
    if not all(found):
        return None
    times = np.array([seconds(match) for match in found]).astype("datetime64[s]")
    return times if (np.diff(times) > np.timedelta64(0)).all() else None


# arrays

def times_apart(name, clip, beside, messages):
    """The Pieces of a film (T,H,W,C), cut at the gaps in time that the arrays `beside` it, {name: array}, show."""
    starts, sources, times = set(), [], None
    for other, array in beside.items():
        if other in STARTS and array.dtype.kind in "iu" and {*array.ravel().tolist()} <= {*range(len(clip))}:
            starts |= {*array.ravel().tolist()} - {0}
            sources.append(other)
        elif other in TIMES and (numbers := moments(array)) is not None and len(numbers) == len(clip):
            found, regular = gaps(numbers)
            starts |= set(found)
            sources.append(other)
            times = datetimes(array) if times is None else times
            if not regular:
                messages.append(f"{name}: {other} are not evenly spaced; the frames are taken as if they were")
        elif other in TIMES + STARTS:
            messages.append(f"{other} {array.shape} does not fit the {len(clip)} frames of {name}, and is not used")
    if starts:
        messages.append(f"{name}: {' and '.join(sources)} tell {len(starts) + 1} runs apart; no sequence crosses from "
                        "one to the next")
    return cut_in_pieces(Piece(name, clip, times=times), starts)


def cut_in_pieces(whole, starts):
    """A Piece, cut before each of the frames `starts`; a name says which frames a piece has."""
    if not starts:
        return [whole]
    return [whole._replace(name=f"{whole.name}[{run.start}:{run.stop}]", frames=whole.frames[run],
                           times=None if whole.times is None else whole.times[run])
            for run in runs(len(whole.frames), starts)]


def datetimes(array):
    """Dates with times of day as datetime64[s], or None if the array holds something else."""
    if array.dtype.kind in "SU":
        try:
            texts = np.char.decode(array, "ascii") if array.dtype.kind == "S" else array
            array = np.array([text.removesuffix("Z") for text in texts.tolist()], "datetime64[us]")
        except (ValueError, TypeError):
            return None
    if array.dtype.kind != "M" or np.isnat(array).any():
        return None
    return array.astype("datetime64[s]")


def moments(array):
    """Times as plain numbers, or None if they are not understood."""
    if array.ndim != 1:
        return None
    if array.dtype.kind in "SU":
        array = datetimes(array)
    elif array.dtype.kind in "Mm":
        array = array.astype(array.dtype.str[:2] + "8[us]")
    if array is not None and array.dtype.kind in "Mm":
        array = array.astype(np.int64)
    return array if array is not None and array.dtype.kind in "iuf" else None


def uneven(numbers):
    """Whether frames that are shown at these times are not evenly spaced."""
    steps = np.diff(np.asarray(numbers, np.float64))
    return len(steps) > 1 and bool((abs(steps - np.median(steps)) > 0.5 * np.median(steps)).any())
