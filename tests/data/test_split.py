"""No frame is in two parts of the data: clips cut from one film are set apart by its time, and groups stay together."""

import numpy as np
import pytest
from own_files import film, films, mentions, noise, saved

from tinypredrnn.data.reading import Clips, read_sequences, split
from tinypredrnn.data.reading import parts as module
from tinypredrnn.errors import DataError


def windows(frames, length=12, stride=3):
    return np.lib.stride_tricks.sliding_window_view(frames, length, axis=0).transpose(0, 3, 1, 2)[::stride]


def clips_of(array, **options):
    return Clips({f"clip{n}": clip[..., None] for n, clip in enumerate(array)}, **options)


def frames_in(part):
    return {frame.tobytes() for clip in part for frame in clip}


def check_apart(parts, length):
    seen = [frames_in(part) for part in parts]
    assert not (seen[0] & seen[1] or seen[1] & seen[2] or seen[0] & seen[2])
    assert all(len(part.windows(length)) for part in parts)


@pytest.mark.parametrize("stride", [1, 3, 11, 12])
@pytest.mark.parametrize("shuffled", [False, True])
def test_windows_of_one_film_are_set_apart_by_its_time(tmp_path, stride, shuffled):
    array = windows(film(240), stride=stride)
    if shuffled:
        array = np.random.default_rng(0).permutation(array)
    *parts, words = split(read_sequences(saved(tmp_path / "a.npy", array)), 12)
    check_apart(parts, 12)
    assert ("cut from 1 film(s)" in words and "by time" in words) == (stride < 12)
    assert sum(len(part) for part in parts) > 0.7 * len(array)  # only what lies across a border is left out


def test_windows_of_many_films_are_set_apart_by_film():
    array = np.concatenate([windows(film(30, seed=k)) for k in range(12)])
    *parts, words = split(clips_of(array), 12)
    check_apart(parts, 12)
    assert "by clip" in words and "cut from 12 film(s)" in words and sum(map(len, parts)) == len(array)


def test_windows_in_which_frames_repeat():
    """A new picture every four frames: no frame is in a clip once."""
    *parts, words = split(clips_of(windows(np.repeat(film(60), 4, 0))), 12)
    seen = [frames_in(part) for part in parts]
    assert "cut from 1 film(s)" in words and not seen[0] & seen[2]


def test_copies_of_a_clip_stay_together():
    array = films(12)[[*range(12), 3, 3, 7]]
    *parts, words = split(clips_of(array), 12)
    check_apart(parts, 12)
    assert "5 clips share frames" in words


def test_clips_that_share_frames_in_another_order_stay_together_or_are_refused():
    array = films(20)
    *parts, _ = split(clips_of(np.concatenate([array, array[:, ::-1]])), 12)
    check_apart(parts, 12)
    both = np.stack([film(90), film(90)[::-1]])
    with pytest.raises(DataError, match="2 clips share frames with others"):
        split(clips_of(both), 12)


def test_dark_frames_say_nothing():
    array = films(12)
    array[:, :3] = array[:, 9:] = 0
    assert "share frames" not in split(clips_of(array), 12)[3]
    assert split(clips_of(np.zeros((12, 12, 8, 8), np.uint8)), 12)[3].startswith("set apart by clip")


def test_frames_that_come_again_are_said():
    again = np.tile(film(12), (6, 1, 1))[None]  # a film that goes round in circles
    assert "look exactly like frames for training" in split(clips_of(again), 12)[3]
    assert "look exactly" not in split(clips_of(film(90)[None]), 12)[3]


def test_large_data_are_looked_at_in_a_sample(monkeypatch):
    hashed = []
    monkeypatch.setattr(module, "MAX_HASHED", 20 * 12 * 24 * 24)
    monkeypatch.setattr(module, "hashes", lambda clip: hashed.append(clip) or [hash(frame.tobytes()) for frame in clip])
    *parts, words = split(clips_of(windows(film(900))), 12)
    check_apart(parts, 12)
    assert "cut from 1 film(s)" in words
    hashed.clear()
    assert "share" not in split(clips_of(films(60)), 12)[3] and len(hashed) == 20
    *parts, words = split(clips_of(films(40)[[*range(40), 7, 7]]), 12)
    check_apart(parts, 12)
    assert "3 clips share frames" in words


# groups and parts

def test_groups_stay_together():
    labels = {n: f"person{n // 3}" for n in range(36)}
    *parts, words = split(clips_of(noise(36, 12, 6, 8), groups=labels), 12)
    people = [{labels[int(name.removeprefix("clip"))] for name in part.names} for part in parts]
    assert sum(map(len, people)) == 12 == len(set.union(*people)) and "each of 12 folders" in words
    assert len(split(clips_of(noise(36, 12, 6, 8), groups=labels), 12, grouped=False)[2]) == 3


def test_too_few_groups_are_said():
    labels = {n: f"person{n // 6}" for n in range(12)}
    assert "too few folders to keep each" in split(clips_of(noise(12, 12, 6, 8), groups=labels), 12)[3]
    assert "by time within each folder" in split(clips_of(noise(4, 40, 6, 8), groups={0: "a", 1: "a"}), 12)[3]


def test_parts_of_the_data_are_kept_and_what_they_lack_is_drawn():
    array = noise(40, 12, 6, 8)
    clips = clips_of(array, parts={"test": [0, 1, 2]})
    training, validation, test, words = split(clips, 12)
    assert test.names == clips.names[:3] and len(training) == 34 and len(validation) == 3 and "validation by clip" in words
    parts = {"training": list(range(30)), "validation": [30, 31], "test": [32]}
    *three, words = split(clips_of(array, parts=parts), 12)
    assert [len(part) for part in three] == [37, 2, 1] and "as the data say" in words  # in none of them: for training
    long = Clips({"train": film(90)[..., None], "test": film(30, seed=1)[..., None]}, parts={"training": [0], "test": [1]})
    assert [len(part[0]) for part in split(long, 12)[:3]] == [78, 12, 30]


def test_parts_that_share_frames_are_refused():
    array = windows(film(60))
    with pytest.raises(DataError, match=r"clip\d+ and clip\d+ share frames, but are in two parts"):
        split(clips_of(array, parts={"training": list(range(10)), "test": list(range(10, len(array)))}), 12)


def test_parts_keep_scale_and_dtype(tmp_path):
    clips = read_sequences(saved(tmp_path / "a.npy", (films(20) / 255 * 107 - 32).astype(np.int16)), unit="dBZ")
    for part in split(clips, 12)[:3]:
        assert part.scale == clips.scale and part.cut(part.windows(12)[:1], 12).dtype == np.int16 and part.files[0] is not None
    assert mentions(clips, "int16")


@pytest.mark.parametrize("lengths, message", [((8,), "a clip of 9 or three of 3, got 1 of at most 8"), ((3, 3), "got 2 of at most 3")])
def test_too_little(lengths, message):
    with pytest.raises(DataError, match=message):
        split(Clips({f"{n}": noise(length, 6, 8, 1, seed=n) for n, length in enumerate(lengths)}), 3)


def test_real_digits_share_nothing(data_dir):
    clips = read_sequences(data_dir / "moving_mnist" / "mnist_test_seq_first500.npz")
    *parts, words = split(clips, 20)
    assert "by clip" in words and "share" not in words and [len(part) for part in parts] == [400, 50, 50]
