"""The world of people who walk, jog, run, box, clap and wave: KTH's videos (Section 4.2), or stick figures if there are
no files.

The paper trains on persons 1 to 16 to predict 10 frames from 10, and tests on persons 17 to 25 how well 20 are
predicted. One of its training persons validates here, since the paper does not say what does. It counts 108,717
sequences for training and 4,086 for the test, after trimming the frame ranges by hand; examples/count_kth.py counts
those of the lists that are public.
"""

import dataclasses
from pathlib import Path

import numpy as np

from tinypredrnn import metrics
from tinypredrnn.data.own import OwnSequences
from tinypredrnn.data.people import People
from tinypredrnn.data.reading import Sequences, bilinear, kth
from tinypredrnn.data.source import Source, SourceOptions, stream
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.options import called, option

OF_VIDEOS = "ranges", "trimmed", "windows", "validation_persons", "test_persons"  # options that need `data`
PLACES = "data", "ranges", "trimmed"  # the options that name files and folders


@dataclasses.dataclass(frozen=True)
class KTHOptions(SourceOptions):
    """The options of the KTH videos. The defaults are the paper's; without `data`, stick figures are drawn."""

    data: str = option("", "folder of the .avi files, in one folder or in six; empty: stick figures that walk and wave",
                       may_change=True)
    ranges: str = option("", "the list of frame ranges (default: 00sequences.txt in --data or in the folder around it)",
                         may_change=True)
    trimmed: str = option("", "a list that replaces the ranges of its persons, or the folder of both of MCnet's, "
                              "train_data_list_trimmed.txt and test_data_list.txt", may_change=True)
    windows: str = option("paper", "how sequences are cut from the ranges: as the paper says, or as the code of MCnet "
                                   "or of PredRNN's authors does", tuple(kth.RULES))
    size: tuple = option((128, 128), "height and width in pixels to which all frames are resized",
                         least=metrics.SSIM_WINDOW, count=2)
    test_horizon: int = option(20, "frames that are predicted in validation and test", least=1)
    validation_persons: tuple = option((16,), "persons whose sequences are for validation")
    test_persons: tuple = option(tuple(range(17, 26)), "persons whose sequences are for the test; all others train")

    def __post_init__(self):
        super().__post_init__()
        for name in "validation_persons", "test_persons":
            if unknown := set(getattr(self, name)) - set(kth.PERSONS):
                raise ConfigError(f"{called(name)}: there are persons 1 to 25, got {min(unknown)}")
        if not self.persons()["training"]:
            raise ConfigError(f"{called('validation_persons')} and {called('test_persons')} have all persons: leave "
                              "some for training")
        if both := set(self.validation_persons) & set(self.test_persons):
            raise ConfigError(f"{called('validation_persons')} and {called('test_persons')} both have person "
                              f"{min(both)}: leave out one of them")

    def persons(self):
        """{"training", "validation" and "test": numbers of persons}"""
        others = set(kth.PERSONS) - {*self.validation_persons, *self.test_persons}
        return {"training": tuple(sorted(others)), "validation": self.validation_persons, "test": self.test_persons}

    def lengths(self):
        """Frames of a training sequence, and of one for validation or test."""
        return self.given + self.horizon, self.given + self.test_horizon


class Figures:
    """Stick figures, drawn as they are needed."""

    def __init__(self, options):
        self.messages = (f"no {called('data')}: stick figures, drawn as they are needed",)
        self.training, self.longer = (People(options.size, length) for length in options.lengths())

    def batch(self, seed, k, count, rows):
        return self.training.batch(seed, k, count)[rows]

    def part(self, name, count):
        def draw(numbers):
            return np.concatenate([self.longer.fixed_set(name, 1, start=int(n)) for n in numbers])

        return Sequences(draw, np.arange(count))

    def fingerprint(self):
        return {part: {"first": self.part(part, 1)[:]} for part in ("validation", "test")}


class Videos:
    """Sequences cut from videos. DataError, besides those of reading, if a part has none."""

    def __init__(self, options):
        self.size, (self.length, self.longer) = options.size, options.lengths()
        folder = Path(options.data)
        listed = kth.read_lists(Path(options.ranges) if options.ranges else kth.find_list(folder), options.trimmed)
        self.clips, ranges, messages = kth.read_videos(folder, listed)
        self.windows, words = {}, []
        for part, persons in options.persons().items():
            length = self.length_of(part)
            found = kth.windows(ranges, persons, length, options.windows, part != "training")
            self.windows[part] = kth.starts_in(self.clips, found)
            if not len(self.windows[part]):
                present = {kth.person_of(video) for video in self.clips.names}
                raise DataError(f"{folder} has no sequence of {length} frames for {part}, which is of "
                                f"{kth.format_persons(persons)}, and videos of {kth.format_persons(present)}: add "
                                f"those that are missing, or choose others with {called('validation_persons')} and "
                                f"{called('test_persons')}")
            short = sum(one.last - one.first < length for one in ranges if kth.person_of(one.video) in persons)
            words.append(f"{len(self.windows[part]):,} of {length} frames of {kth.format_persons(persons)} for {part}"
                         + (f" ({short} range(s) are shorter)" if short else ""))
        self.messages = (kth.describe_windows(listed, options.lengths(), options.windows), *messages,
                         f"sequences from these videos: {'; '.join(words)}")

    def length_of(self, part):
        return self.length if part == "training" else self.longer

    def cut(self, part, numbers):
        """The sequences of a part with these numbers, (N,T,H,W,1), resized."""
        return bilinear(self.clips.cut(self.windows[part][numbers], self.length_of(part)), self.size)

    def batch(self, seed, k, count, rows):
        drawn = stream("training", seed, k).integers(len(self.windows["training"]), size=count)
        return self.cut("training", drawn[rows])

    def part(self, name, count):
        """At most `count` sequences, spread evenly over all, which are cut as they are needed."""
        total = len(self.windows[name])
        return Sequences(lambda numbers: self.cut(name, numbers),
                         np.linspace(0, total - 1, min(count, total)).astype(int))

    def fingerprint(self):
        def frames(part):
            return {self.clips.names[n]: self.clips[n] for n in np.unique(self.windows[part][:, 0])}

        return {part: frames(part) | {"windows": found} for part, found in self.windows.items()}


class KTH(Source):
    """Sequences of people (N,T,H,W,1) uint8 from videos, or of stick figures. Those for validation and test are longer
    than those for training.

    Frames are resized as OpenCV does, and so the published codes: bilinear, with another aspect, 160x120 to 128x128.
    Training draws all windows alike; MCnet's code draws a range first, and mirrors half of them.
    """

    Options = KTHOptions
    presets = {
        # in smaller frames, as other films are trained on: minutes on two CPU cores
        "quick": OwnSequences.presets["quick"] | dict(size=(64, 64), test_sequences=200, validation_sequences=20),
        "paper": {},
        # the script that the authors published later
        "authors": dict(rate=3e-4, batch=4, loss="l2", update="both_ways"),
    }

    def __init__(self, options, seed):
        changed = [name for name in OF_VIDEOS if getattr(options, name) != getattr(KTHOptions, name)]
        if changed and not options.data:
            raise ConfigError(f"{called(changed[0])} is an option for videos: name their folder with {called('data')}")
        places = {name: str(Path(getattr(options, name)).expanduser().absolute())
                  for name in PLACES if getattr(options, name)}
        super().__init__(options.replace(**places), seed)
        self.sequences = (Videos if options.data else Figures)(self.options)
        self.frame, self.messages = (*options.size, 1), self.sequences.messages
        self.notes = {"people": self.options.data or "stick figures"}

    @classmethod
    def places(cls, options):
        return {name: getattr(options, name) for name in PLACES if getattr(options, name)}

    def batch(self, k, count, rows=slice(None)):
        return self.sequences.batch(self.seed, k, count, rows)

    def validation(self):
        return self.sequences.part("validation", self.options.validation_sequences)[:]

    def tests(self):
        return {"kth": lambda: self.sequences.part("test", self.options.test_sequences)}

    def samples(self, count):
        return {f"test sequence {n + 1}": frames for n, frames in enumerate(self.sequences.part("test", count)[:])}

    def fingerprint(self):
        return super().fingerprint() | self.sequences.fingerprint()
