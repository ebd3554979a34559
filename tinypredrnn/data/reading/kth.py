"""KTH's videos of human actions (Schuldt, Laptev, Caputo, ICPR 2004) as people have them, and the windows that are cut
from them.

    person01_walking_d1_uncomp.avi     person 1 of 25, one of six actions, scenario 1 of 4; 599 videos of 160x120
                                       pixels, all in one folder or in six
    00sequences.txt                    which frames show the action, about four ranges for each video
    train_data_list_trimmed.txt        the same of the authors of MCnet, without the frames in which nobody is in view:
    test_data_list.txt                 persons 1 to 16, and 17 to 25

Frames are counted from 1 in these lists, and from 0 in the code.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tinypredrnn.data.reading.clips import Clips
from tinypredrnn.data.reading.folders import refuse_foreign
from tinypredrnn.data.reading.frames import check_bytes, check_size, reading
from tinypredrnn.data.reading.room import file_of
from tinypredrnn.data.reading.videos import VIDEOS, decode_video
from tinypredrnn.data.reading.words import in_short
from tinypredrnn.errors import DataError
from tinypredrnn.files import allow_open_files, user_cache
from tinypredrnn.options import called

LIST, TRIMMED = "00sequences.txt", ("train_data_list_trimmed.txt", "test_data_list.txt")
PERSONS = range(1, 26)
ROW = re.compile(r"(person\d\d_[a-z]+_d\d)\s+(\*missing\*|frames\s+\d+-\d+(?:,\s*\d+-\d+)*|\d+\s+\d+)")
NAME = re.compile(r"(person\d\d_[a-z]+_d\d)(_uncomp)?", re.IGNORECASE)
FAST = "running", "jogging"
PAPER = 108_717, 4_086  # windows for training and for the test, Section 4.2


class Range(NamedTuple):
    """Frames `first` to `last` - 1 of a video, in which its person acts once; `video` is person01_walking_d1."""

    video: str
    first: int
    last: int


def person_of(video):
    return int(video[6:8])


def is_fast(video):
    """Whether the video shows running or jogging, of which test windows are cut more closely."""
    return video.split("_")[1] in FAST


# the lists

def read_ranges(path):
    """The Ranges of a list, in its order: lines `VIDEO frames 1-95, 96-185` or `VIDEO 1 95`, after a head of any text.

    DataError, which names the line, if it is not such a list.
    """
    ranges, begun = [], False
    with reading(path):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(map(str.strip, lines), start=1):
            row = ROW.fullmatch(line)
            begun |= row is not None
            if not row and line and begun:
                raise DataError(f"expected in line {number} a video and its frames, such as `person01_walking_d1 "
                                f"frames 1-75, 152-225`, got {line!r:.60}: correct it, or take the original {LIST}")
            if row and person_of(row[1]) not in PERSONS:
                raise DataError(f"expected persons 1 to 25, got {row[1]} in line {number}: correct it, or take the "
                                f"original {LIST}")
            numbers = list(map(int, re.findall(r"\d+", row[2]))) if row else []
            for first, last in zip(numbers[::2], numbers[1::2]):
                if not 1 <= first <= last:
                    raise DataError(f"expected in line {number} frames from 1 on, the smaller number first, got "
                                    f"{first} to {last}: correct the line, or take the original {LIST}")
                ranges.append(Range(row[1], first - 1, last))
        if not ranges:
            raise DataError(f"expected lines such as `person01_walking_d1 frames 1-75, 152-225`, got none: take {LIST} "
                            "from where the videos are from")
    return ranges


def find_list(folder):
    """The path of 00sequences.txt in a folder or in the one around it. DataError if it is in neither."""
    for place in folder, folder.resolve().parent:
        if (place / LIST).is_file():
            return place / LIST
    raise DataError(f"{folder} has no {LIST}, which says which frames show the actions: put it there, from where the "
                    f"videos are from, or name a list with {called('ranges')}")


def read_lists(path, trimmed=""):
    """The Ranges of a list; those of another one, or of two in a folder, replace all of the same persons."""
    ranges = read_ranges(path)
    better = Path(trimmed)
    for other in ([better / name for name in TRIMMED] if better.is_dir() else [better]) if trimmed else []:
        found = read_ranges(other)
        persons = {person_of(one.video) for one in found}
        ranges = sorted([one for one in ranges if person_of(one.video) not in persons] + found)
    return ranges


# windows

def by_paper(pieces, length, video, test):
    """Section 4.2: every window for training; for the test each third of running and jogging, each twentieth of the
    other actions."""
    stride = (3 if is_fast(video) else 20) if test else 1
    return [start for first, last in pieces for start in range(first, last - length + 1, stride)]


def by_mcnet(pieces, length, video, test):
    """The code of MCnet (Villegas et al., ICLR 2017): it takes the numbers of the list, which count from 1, as if they
    counted from 0, and leaves out the last two windows of each range in its test."""
    if not test:
        return [start for first, last in pieces for start in range(first + 1, last - length + 1)]
    stride = 3 if is_fast(video) else 20
    return [start for first, last in pieces for start in range(first + 1, last - length - 1, stride)]


def by_authors(pieces, length, video, test):
    """The code of PredRNN's authors, the same for training and test: from the last frame backwards, as long as frames
    follow each other, also from one range to the next; each third window of running and jogging, of the other actions
    windows side by side."""
    runs = []
    for first, last in sorted(pieces):
        if runs and first <= runs[-1][1]:
            runs[-1][1] = max(last, runs[-1][1])
        else:
            runs.append([first, last])
    stride = 3 if is_fast(video) else length
    return [start for first, last in runs for start in range(last - length, first - 1, -stride)][::-1]


RULES = {"paper": by_paper, "mcnet": by_mcnet, "authors": by_authors}


def windows(ranges, persons, length, rule, test=False):
    """{video: [first frame of each window of `length` frames]} of these persons, by one of the RULES."""
    pieces = {}
    for video, first, last in ranges:
        if person_of(video) in persons:
            pieces.setdefault(video, []).append((first, last))
    return {video: RULES[rule](those, length, video, test) for video, those in pieces.items()}


def count_paper_windows(ranges, lengths, rule):
    """How many windows persons 1 to 16 have for training, and persons 17 to 25 for the test."""
    return tuple(sum(map(len, windows(ranges, persons, length, rule, test).values())) for persons, length, test in
                 ((range(1, 17), lengths[0], False), (range(17, 26), lengths[1], True)))


def describe_windows(ranges, lengths, rule):
    """How many windows of `lengths` (for training, for the test) a list has, beside the paper's numbers."""
    how = {"paper": "as the paper says", "mcnet": "as MCnet's code does", "authors": "as its authors' code does"}
    training, test = count_paper_windows(ranges, lengths, rule)
    if lengths != (20, 30):
        why = ": its windows have 20 and 30 frames"
    else:
        why = ": its authors trimmed the ranges by hand, and theirs are not public" if (training, test) != PAPER else ""
    return (f"windows of the whole list, cut {how[rule]}: {training:,} of {lengths[0]} frames of persons 1-16, "
            f"{test:,} of {lengths[1]} frames of persons 17-25; the paper has {PAPER[0]:,} and {PAPER[1]:,}{why}")


# the videos

def find_videos(folder, messages):
    """{person01_walking_d1: path} of the videos in a folder, in the folders in it, and in those in them.

    DataError if there is none, or if one is there twice.
    """
    with reading(folder):
        files = sorted(path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth)
                       if path.is_file() and not path.name.startswith("."))
    found, others = {}, []
    for file in files:
        name = NAME.fullmatch(file.stem)
        if file.suffix.lower() not in VIDEOS:
            continue
        if not name:
            others.append(file.name)
        elif (video := name[1].lower()) in found:
            raise DataError(f"{found[video]} and {file} are both {video}: move one of them elsewhere")
        else:
            found[video] = file
    if not found:
        for file in files:
            refuse_foreign(file)
        raise DataError(f"{folder} {'holds no videos of KTH' if folder.is_dir() else 'is no folder'}: expected a "
                        "folder with files such as person01_walking_d1_uncomp.avi, or with six folders of them")
    if others:
        messages.append(f"{len(others)} video(s) with other names than person01_walking_d1_uncomp.avi are left out: "
                        f"{in_short(others)}")
    return found


def read_videos(folder, ranges):
    """(Clips of the videos in a folder that a list names, gray and as large as they are stored; the Ranges of the list
    that lie within them; messages).

    Decoded frames are kept in the user's cache and mapped into memory. What the list names and the folder lacks, and
    the other way round, is said. DataError if nothing is left, or if a video is damaged.
    """
    messages = []
    found = find_videos(folder, messages)
    named = list(dict.fromkeys(one.video for one in ranges))
    if lacking := [video for video in named if video not in found]:
        whole = set(map(person_of, named)) - {person_of(video) for video in named if video in found}
        of_all = f" (nothing of {format_persons(whole)})" if whole else ""
        messages.append(f"{len(lacking)} of the {len(named)} videos that the list names are not there{of_all}: "
                        f"{in_short(lacking)}")
    if unnamed := [video for video in found if video not in named]:
        messages.append(f"{len(unnamed)} video(s) that the list does not name are left out: {in_short(unnamed)}")
    clips, held, stored = {}, 0, [video for video in named if video in found]
    allow_open_files(len(stored) + 100)  # a video that is mapped is an open file
    for video in tqdm(stored, "reading videos", leave=False, dynamic_ncols=True, disable=None):
        clips[video], _, said, _ = decode_video(found[video], None, 1)
        messages += said
        held += clips[video].nbytes if file_of(clips[video]) is None else 0
        with reading(found[video]):
            check_size(clips[video].shape[1:3], stored[0], clips[stored[0]].shape[1:3])
            check_bytes(held)
    if not clips:
        raise DataError(f"{folder} has none of the {len(named)} videos that the list names: expected files such as "
                        "person01_walking_d1_uncomp.avi")
    kept = "in memory" if held else f"in {user_cache() / 'frames'}, which may be deleted at any time"
    messages.append(f"read {len(clips)} videos, {sum(map(len, clips.values())):,} frames, from {folder}; decoded "
                    f"frames are kept {kept}")
    return Clips(clips), within(ranges, clips, messages), messages


def within(ranges, clips, messages):
    """Those of the Ranges whose video is there, cut at its last frame."""
    kept = [one for one in ranges if one.video in clips]
    late = [one for one in kept if one.last > len(clips[one.video])]
    if late:
        one = late[0]
        messages.append(f"{len(late)} range(s) of the list end after the last frame of their video and are cut there, "
                        f"the first is {one.video} {one.first + 1}-{one.last}, of a video of {len(clips[one.video])}")
    cut = [one._replace(last=min(one.last, len(clips[one.video]))) for one in kept]
    return [one for one in cut if one.first < one.last]


def format_persons(persons):
    """Numbers of persons in words: "persons 1-3, 5"."""
    runs = []
    for person in sorted(persons):
        if runs and person == runs[-1][1] + 1:
            runs[-1][1] = person
        else:
            runs.append([person, person])
    return f"person{'s' if len(persons) > 1 else ''} " + ", ".join(
        str(first) if first == last else f"{first}-{last}" for first, last in runs)


def starts_in(clips, starts):
    """{video: [first frame of each window]} as Clips.windows gives them: (clip, first frame) for each, int (N,2)."""
    number = {name: n for n, name in enumerate(clips.names)}
    pairs = [(number[video], start) for video, firsts in starts.items() for start in firsts]
    return np.array(pairs, int).reshape(-1, 2)
