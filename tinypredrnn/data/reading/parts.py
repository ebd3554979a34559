"""Divide clips into training, validation and test, so that no frame is in two of them.

Clips are often cut from one film, each a few frames after the one before, and then share frames. Such clips are found
by hashes of their frames and put back in their places in the film: a film is kept as a whole, or cut in time.
"""

from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np

from tinypredrnn.data.reading.clips import Clips
from tinypredrnn.data.reading.room import in_pieces, release_pages
from tinypredrnn.errors import DataError

PARTS = "training", "validation", "test"
MAX_HASHED = 1 << 26  # bytes: in larger data, all frames are hashed only if clips of a sample share frames with others


class Film(NamedTuple):
    """Clips that share frames, or a single clip."""

    places: dict  # {clip number: which frame of the film is its first}
    frames: int  # the film's length
    sound: bool  # the clips agree wherever they overlap, so that the film can be cut in time


def split(clips, length, seed=0, grouped=True, dates=None):
    """Three Clips, for training, validation and test, and a description of how they were divided.

    If at least ten clips have `length` frames, the division is by clip: a random tenth of them (drawn with `seed`) is
    for validation, and a tenth for the test. If there are fewer, it is by time: the last tenth of each clip, but at
    least `length` frames, is for the test, as much before that for validation, and the rest for training; a clip that
    is too short for all three goes to training. If all clips are too short for that, the division is by clip again,
    which needs at least three.

    With `dates`, the division is in the order of time over all clips, or of the file if no times are written: training,
    then validation, then test. `dates` says when a part begins, {"validation" or "test": datetime64}; a part that is
    not named has the last tenth of the frames before the next part, but at least one sequence, and the test begins with
    its run if at least half of all frames are then left before it.

    Clips that share frames count as one. So do the clips of a group, if `grouped` and if there are enough groups. Parts
    that the data define (`clips.parts`) are kept; missing parts are taken from the training clips.

    Raises DataError if one of the three has no `length` frames in a row, or if parts that the data define share frames.
    """
    marks = fingerprints(clips)
    films = find_films(clips, marks)
    part_of = dict.fromkeys(range(len(clips)), "training")
    part_of |= {n: part for part in PARTS for n in clips.parts.get(part, ())}
    for film in films:
        if other := [n for n in film.places if part_of[n] != part_of[min(film.places)]]:
            raise DataError(f"{clips.names[min(film.places)]} and {clips.names[other[0]]} share frames, but are in two "
                            "parts of the data: take one of them out")
    lacking = [part for part in PARTS[1:] if not clips.parts.get(part)]
    pool = [film for film in films if part_of[min(film.places)] == "training"]
    if dates is not None and (dates or all_have_times(clips) or all(len(film.places) == 1 for film in pool)):
        chosen, how = by_date(clips, sorted(n for film in pool for n in film.places), length, lacking, dates)
    else:
        chosen, how = set_apart(clips, pool, length, seed, lacking, clips.groups if grouped else {})
    chosen |= {part: [(n, slice(None)) for n in clips.parts[part]] for part in PARTS[1:] if part not in lacking}
    if clips.parts:
        how = "as the data say" + (f", {' and '.join(lacking)} {how}" if lacking else "")
    parts = []
    for part in PARTS:
        cut = {clips.names[n]: clips[n][frames] for n, frames in chosen[part]}
        times = {name: clips.times[name][frames] for n, frames in chosen[part]
                 if (name := clips.names[n]) in clips.times}
        if not any(len(clip) >= length for clip in cut.values()):
            raise DataError(f"expected {length} frames in a row for each of training, validation and test, got none "
                            f"for {part}: give more or longer clips, or ask for fewer frames")
        parts.append(Clips(cut, clips.scale, times=times, grids=clips.grids))
    return *parts, describe_split(clips, films, length, how, parts, count_repeated(marks, chosen))


def describe_split(clips, films, length, how, parts, repeated):
    counts = [f"{sum(map(len, part.clips)):,} frames of {len(part)} clip(s) for {name}"
              for part, name in zip(parts, PARTS)]
    short = sum(len(clip) < length for clip in clips.clips)
    words = f"set apart {how}: {', '.join(counts)}; {short} clip(s) have fewer than {length} frames"
    if joined := [film for film in films if len(film.places) > 1]:
        words += (f"; {sum(len(film.places) for film in joined)} clips share frames, as if cut from {len(joined)} "
                  "film(s), and what lies across a border between parts is left out")
    return words + (f"; {repeated:,} frames for the test look exactly like frames for training" if repeated else "")


def set_apart(clips, films, length, seed, lacking, groups):
    """Divide films among training and the `lacking` parts: {part: [(clip number, slice of its frames)]}, and how."""
    families = find_families(films, groups)
    grouped = f", each of {len(families)} folders or single clips as a whole" if len(families) < len(films) else ""
    long = [family for family in families if longest(clips, family) >= length]
    cuttable = [film for film in films if film.frames >= (1 + len(lacking)) * least(film, length)]
    if len(long) >= 10 or not cuttable and len(long) > len(lacking):
        return by_clip(long, lacking, seed), "by clip" + grouped
    if cuttable or not lacking:
        how = "by time" + (" within each folder" if grouped else "")
        return by_time(clips, films, cuttable, length, lacking), how
    singles = [[film] for film in films if longest(clips, [film]) >= length]
    if len(singles) > len(lacking):
        return by_clip(singles, lacking, seed), "by clip (there are too few folders to keep each of them together)"
    many, together = 1 + len(lacking), sum(len(film.places) for film in films if len(film.places) > 1)
    together = f" ({together} clips share frames with others, and count as one)" if together else ""
    raise DataError(f"expected {length} frames in a row for each of training, validation and test, so a clip of "
                    f"{many * length} or {'three' if many == 3 else 'two'} of {length}, got {len(films)} of at most "
                    f"{longest(clips, films)}{together}: give more or longer clips, or ask for fewer frames")


def find_families(films, groups):
    """Lists of films: those with clips of the same group are together, in the order of their first clips."""
    families = {}
    for film in films:
        labels = [groups[n] for n in film.places if n in groups]
        families.setdefault(labels[0] if labels else min(film.places), []).append(film)
    return list(families.values())


def longest(clips, films):
    return max((len(clips[n]) for film in films for n in film.places), default=0)


def least(film, length):
    """How many frames of a film make sure that a part has `length` of one clip; infinite if it cannot be cut."""
    if not film.sound:
        return np.inf
    return length if len(film.places) == 1 else 2 * length - 1  # the clips of a film may begin anywhere in it


def by_clip(families, lacking, seed):
    """A random tenth of the families for each of the `lacking` parts; the others for training."""
    drawn, held = np.random.default_rng(seed).permutation(len(families)), max(1, len(families) // 10)
    numbers = {part: drawn[k * held:(k + 1) * held] for k, part in enumerate(lacking)}
    numbers["training"] = drawn[len(lacking) * held:]
    return {part: [(n, slice(None)) for k in sorted(chosen) for film in families[k] for n in film.places]
            for part, chosen in numbers.items()}


def by_time(clips, films, cuttable, length, lacking):
    """The last tenths of the `cuttable` films for the `lacking` parts; the rest, and other films, for training."""
    parts, able = {part: [] for part in ("training", *lacking)}, {min(film.places) for film in cuttable}
    for film in films:
        if longest(clips, [film]) < length:
            continue
        held = max(least(film, length), film.frames // 10) if min(film.places) in able else 0
        edges = [0, *(film.frames - k * held for k in range(len(lacking), -1, -1))]
        for part, first, last in zip(parts, edges, edges[1:]):
            for n, place in film.places.items():
                start, stop = max(first - place, 0), min(last - place, len(clips[n]))
                if stop > start and (len(film.places) == 1 or stop - start >= length):
                    parts[part].append((n, slice(start, stop)))
    return parts


def all_have_times(clips):
    return all(name in clips.times for name in clips.names)


def by_date(clips, numbers, length, lacking, dates):
    """Divide the clips of these numbers where a part begins, at the same moment in all of them: as `set_apart`."""
    if dates and not all_have_times(clips):
        raise DataError(f"{' and '.join(dates)} are to begin at a time, but the times of {clips.names[0]} are not "
                        "known: leave these options out, or give data with times")
    if unused := dates.keys() - set(lacking):
        raise DataError(f"the data say which part is {' and '.join(unused)}, so it cannot begin at a time as well")
    clock = all_have_times(clips)
    firsts = np.cumsum([0] + [len(clips[n]) for n in numbers])
    moments = {n: clips.times[clips.names[n]].astype(np.int64) if clock else first + np.arange(len(clips[n]))
               for n, first in zip(numbers, firsts)}
    end, starts = np.inf, {}
    for part in reversed(lacking):
        asked = dates.get(part)
        starts[part] = end = (asked.astype("datetime64[s]").astype(np.int64) if asked is not None
                              else last_part(moments, end, length, whole_run=part == "test"))
    edges = [-np.inf, *(starts[part] for part in lacking), np.inf]
    parts = {part: [(n, slice(*np.searchsorted(moments[n], (first, last)).tolist())) for n in numbers]
             for part, first, last in zip(("training", *lacking), edges, edges[1:])}
    parts = {part: [(n, cut) for n, cut in pieces if cut.stop > cut.start] for part, pieces in parts.items()}
    when = [f"{part} from {np.datetime64(int(starts[part]), 's') if clock else f'frame {starts[part]}'}"
            for part in lacking]
    return parts, "in the order of time" + (f" ({', '.join(when)})" if when else "")


def last_part(moments, end, length, whole_run):
    """The moment from which on the frames before `end` are one part: a tenth of all, and at least one sequence."""
    before = np.sort(np.concatenate([times[times < end] for times in moments.values()]))
    total = sum(map(len, moments.values()))
    held, start = max(length, total // 10), before[0] if len(before) else end
    while held <= len(before):
        start = before[-held]
        if any(((start <= times) & (times < end)).sum() >= length for times in moments.values()):
            break
        held += length
    run = min((times[0] for times in moments.values() if times[0] <= start <= times[-1]), default=start)
    return run if whole_run and (before < run).sum() >= total / 2 else start


# frames that clips have in common

def fingerprints(clips):
    """A hash of each frame of each clip; None for clips that were not read because the data are too large."""
    total = sum(clip.nbytes for clip in clips.clips)
    if total <= MAX_HASHED:
        return [hashes(clip) for clip in clips.clips]
    firsts, looked, left = defaultdict(set), [None] * len(clips), MAX_HASHED
    for n, clip in enumerate(clips.clips):
        if clip[0].min() != clip[0].max():  # frames of a single value prove nothing
            firsts[hash(clip[0].tobytes())].add(n)
        release_pages(clip)
    for n in np.random.default_rng(0).permutation(len(clips)).tolist():
        if clips[n].nbytes <= left:
            left -= clips[n].nbytes
            looked[n] = hashes(clips[n])
    found = any(len(same) > 1 for same in firsts.values()) or any(
        firsts.get(code, {n}) != {n} for n, codes in enumerate(looked) for code in codes or ())
    return [hashes(clip) for clip in clips.clips] if found else looked


def hashes(clip):
    return [hash(frame.tobytes()) for frames in in_pieces(clip) for frame in frames]


def find_films(clips, marks):
    """The Films that the clips belong to, in the order of their first clips."""
    neighbours = defaultdict(dict)
    for (one, other), offset in find_overlaps(clips, marks).items():
        neighbours[one][other] = offset
        neighbours[other][one] = None if offset is None else -offset
    films, seen = [], set()
    for n in range(len(clips)):
        if n not in seen:
            places, sound, row = {n: 0}, True, [n]
            for one in row:  # the list grows during the loop
                for other, offset in neighbours[one].items():
                    sound &= offset is not None and places.get(other, places[one] + offset) == places[one] + offset
                    if other not in places:
                        places[other] = places[one] + (offset or 0)
                        row.append(other)
            seen |= set(row)
            first = min(places.values())
            places = {m: place - first for m, place in sorted(places.items())}
            frames = max(place + len(clips[m]) for m, place in places.items())
            films.append(Film(places, frames, sound and overlaps_agree(marks, places)))
    return films


def overlaps_agree(marks, places):
    """Whether clips, at their places in a film, have the same frames wherever they overlap."""
    film = {}
    return len(places) == 1 or all(film.setdefault(place + t, code) == code
                                   for n, place in places.items() for t, code in enumerate(marks[n]))


def find_overlaps(clips, marks):
    """{(clip, another): which frame of the first is the other's first} for clips that share frames.

    The offset is None if they share frames but no offset fits. Evidence is a frame that occurs only once in a clip, or
    a change from one frame to another. Frames of a single value, such as black ones, occur in many films and prove
    nothing.
    """
    where = defaultdict(list)
    for n, codes in enumerate(marks):
        often = Counter(codes or ())
        for t, code in enumerate(codes or ()):
            if often[code] == 1:
                where[code].append((n, t))
            if t and codes[t - 1] != code:
                where[codes[t - 1], code].append((n, t))
    shared = defaultdict(Counter)
    for places in where.values():
        for (one, t), (other, u) in zip(places, places[1:]):
            if one != other and clips[one][t].min() != clips[one][t].max():
                shared[one, other][t - u] += 1
    found = {}
    for (one, other), offsets in shared.items():
        (offset, times), = offsets.most_common(1)
        overlap = range(max(0, offset), min(len(marks[one]), offset + len(marks[other])))
        if 2 * times > offsets.total() and all(marks[one][t] == marks[other][t - offset] for t in overlap):
            found[one, other] = offset
        elif len(set(marks[one]) & set(marks[other])) >= max(2, min(len(marks[one]), len(marks[other])) // 10):
            found[one, other] = None
    return found


def count_repeated(marks, chosen):
    """How many test frames are equal to a training frame, among those that were hashed."""
    of = lambda part: [code for n, frames in chosen[part] if marks[n] for code in marks[n][frames]]
    return sum(code in known for code in of("test")) if (known := set(of("training"))) else 0
