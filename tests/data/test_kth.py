"""The world kth: lists and videos as people have them, the windows that are counted, and a sentence for each thing that is wrong."""

import os

import numpy as np
import pytest
from own_files import film
from skimage.transform import resize

from tinypredrnn.data import SOURCES, stream
from tinypredrnn.data.kth import KTH, KTHOptions
from tinypredrnn.data.reading import kth as reading
from tinypredrnn.data.reading import videos
from tinypredrnn.data.reading.frames import bilinear
from tinypredrnn.data.reading.kth import Range, count_paper_windows, describe_windows, format_persons, read_lists, read_ranges, windows
from tinypredrnn.data.source import check_source
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.train import new_plan

LOSSLESS = "-c:v", "ffv1", "-pix_fmt", "gray"
FILMS = {"person01_boxing_d1": film(20, 24, 32, seed=1), "person01_running_d2": film(30, 24, 32, seed=2),
         "person02_walking_d1": film(20, 24, 32, seed=3), "person03_jogging_d4": film(20, 24, 32, seed=4),
         "person03_handwaving_d3": film(30, 24, 32, seed=5)}
LIST = """This database contains six classes of actions
Training:   person11, 12, 13

person01_boxing_d1\t\tframes\t1-9, 10-20
person01_running_d2   \t\tframes\t1-12, 15-30
person02_walking_d1\t\tframes\t3-20
person02_walking_d2\t*missing*
person03_jogging_d4 1 10
person03_jogging_d4 11 20
person03_handwaving_d3\t\tframes\t2-30
"""
PARTS = dict(validation_persons=(2,), test_persons=(3,))
SHORT = dict(given=3, horizon=2, test_horizon=4, size=(16, 20), **PARTS)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The videos as files, {name: path}; not to be changed."""
    from video_files import write

    folder = tmp_path_factory.mktemp("stored")
    return {name: write(folder / f"{name}_uncomp.avi", frames, *LOSSLESS) for name, frames in FILMS.items()}


def as_people_have_it(place, stored):
    """A list, and videos beside it and in a folder."""
    (place / "running").mkdir(parents=True)
    for name, path in stored.items():
        (place / ("running" if "running" in name else "") / path.name).write_bytes(path.read_bytes())
    (place / "00sequences.txt").write_text(LIST, newline="\r\n")
    return place


@pytest.fixture(scope="module")
def room(tmp_path_factory, stored):
    """A folder of videos that no test changes, and a cache for it."""
    room = tmp_path_factory.mktemp("room")
    as_people_have_it(room / "KTH", stored)
    return room


@pytest.fixture(autouse=True)
def cache(request, monkeypatch):
    """A cache of its own for a test that changes its videos."""
    place = request.getfixturevalue("tmp_path" if "folder" in request.fixturenames else "room")
    monkeypatch.setenv("TINYPREDRNN_CACHE", str(place / "cache"))
    return place / "cache" / "frames"


@pytest.fixture
def kept(room):
    return room / "KTH"


@pytest.fixture
def folder(tmp_path, stored):
    return as_people_have_it(tmp_path / "KTH", stored)


def world(folder, **options):
    return KTH(KTHOptions(**SHORT | dict(data=str(folder)) | options), 0)


def refused(folder, **options):
    with pytest.raises((DataError, ConfigError)) as caught:
        world(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def said(source, words):
    return any(words in sentence for sentence in source.messages)


# lists

def test_both_kinds_of_lists_are_read(tmp_path):
    (tmp_path / "list.txt").write_text(LIST)
    found = read_ranges(tmp_path / "list.txt")
    assert found[:3] == [Range("person01_boxing_d1", 0, 9), Range("person01_boxing_d1", 9, 20), Range("person01_running_d2", 0, 12)]
    assert found[5:7] == [Range("person03_jogging_d4", 0, 10), Range("person03_jogging_d4", 10, 20)] and len(found) == 8
    for name, text in (("train_data_list_trimmed.txt", "person01_running_d2 3 8\n"), ("test_data_list.txt", "person03_jogging_d4 5 19\n")):
        (tmp_path / name).write_text(text)
    assert read_lists(tmp_path / "list.txt", str(tmp_path)) == [
        Range("person01_running_d2", 2, 8), Range("person02_walking_d1", 2, 20), Range("person03_jogging_d4", 4, 19)]
    assert len(read_lists(tmp_path / "list.txt", str(tmp_path / "test_data_list.txt"))) == 6


@pytest.mark.parametrize("text, sentence", [
    ("person01_boxing_d1 frames 1-9\nperson01_boxing frames 1-9\n", "in line 2 a video and its frames, .* got 'person01_boxing frames"),
    ("person01_boxing_d1 frames 1-9, 10\n", "expected lines such as"),
    ("person26_boxing_d1 frames 1-9\n", "persons 1 to 25, got person26_boxing_d1 in line 1"),
    ("person01_boxing_d1 frames 9-1\n", "in line 1 frames from 1 on, the smaller number first, got 9 to 1"),
    ("person01_boxing_d1 0 5\n", "in line 1 frames from 1 on"), ("", "expected lines such as")])
def test_what_is_no_list_is_refused(tmp_path, text, sentence):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=f"list.txt: expected {sentence}".replace("expected expected", "expected")):
        read_ranges(tmp_path / "list.txt")
    with pytest.raises(DataError, match="nowhere.txt"):
        read_ranges(tmp_path / "nowhere.txt")


def test_windows_by_each_rule():
    ranges = [Range("person01_boxing_d1", 0, 40), Range("person01_boxing_d1", 40, 70), Range("person01_running_d1", 5, 44)]

    def starts(rule, test, video="person01_boxing_d1"):
        return windows(ranges, [1], 30, rule, test)[video]

    assert starts("paper", False) == [*range(11), 40] and starts("paper", True) == [0, 40]
    assert starts("paper", True, "person01_running_d1") == [5, 8, 11, 14]
    assert starts("mcnet", False) == list(range(1, 11)) and starts("mcnet", True) == [1]
    assert starts("mcnet", True, "person01_running_d1") == [6, 9, 12]
    # 70 frames in a row, cut from the end
    assert starts("authors", False) == starts("authors", True) == [10, 40]
    assert starts("authors", False, "person01_running_d1") == [5, 8, 11, 14]
    assert windows(ranges, [2], 30, "paper") == {}


def test_counts_are_told_beside_the_papers():
    ranges = [Range("person01_boxing_d1", 0, 40), Range("person17_running_d1", 0, 40)]
    assert describe_windows(ranges, (20, 30), "paper") == (
        "windows of the whole list, cut as the paper says: 21 of 20 frames of persons 1-16, 4 of 30 frames of persons 17-25; the paper has "
        "108,717 and 4,086: its authors trimmed the ranges by hand, and theirs are not public")
    assert describe_windows(ranges, (5, 7), "paper").endswith("its windows have 20 and 30 frames")
    assert format_persons([1, 2, 3, 7, 9, 10]) == "persons 1-3, 7, 9-10" and format_persons([4]) == "person 4"


def test_the_papers_split_from_the_published_lists(data_dir):
    """The list with the videos and MCnet's, without any video: the paper's 108,717 and 4,086 lie between them."""
    whole = read_lists(data_dir / "kth" / "00sequences.txt")
    better = read_lists(data_dir / "kth" / "00sequences.txt", str(data_dir / "kth"))
    untrimmed = read_lists(data_dir / "kth" / "00sequences.txt", str(data_dir / "kth" / "train_data_list.txt"))
    assert len(whole) == 2_391 and len({one.video for one in whole}) == 599
    found = {rule: (count_paper_windows(whole, (20, 30), rule), count_paper_windows(better, (20, 30), rule)) for rule in reading.RULES}
    assert found == {"paper": ((115_318, 5_737), (98_641, 3_894)), "mcnet": ((113_790, 5_335), (97_116, 3_559)),
                     "authors": ((12_386, 5_045), (8_870, 3_254))}
    assert count_paper_windows(untrimmed, (20, 30), "paper") == (115_318, 5_737)


# the world

def test_sequences_are_those_of_the_videos(kept):
    source = world(kept)
    check_source(source)
    assert source.frame == (16, 20, 1) and source.batch(0, 5).shape == (5, 5, 16, 20, 1) and source.batch(0, 5).dtype == np.uint8
    resized = {name: bilinear(frames[..., None], (16, 20)) for name, frames in FILMS.items()}
    # every window of five frames of person 1, and nothing else, is drawn sooner or later
    starts = {"person01_boxing_d1": [*range(5), *range(9, 16)], "person01_running_d2": [*range(8), *range(14, 26)]}
    ours = {resized[video][first:first + 5].tobytes() for video, firsts in starts.items() for first in firsts}
    assert {one.tobytes() for one in source.batch(0, 600)} == ours
    np.testing.assert_array_equal(source.batch(3, 4, slice(1, None, 2)), source.batch(3, 4)[1::2])
    np.testing.assert_array_equal(source.batch(3, 4), world(kept).batch(3, 4))
    np.testing.assert_array_equal(source.validation(), resized["person02_walking_d1"][None, 2:9])
    tests = source.tests()["kth"]()
    starts = [("person03_jogging_d4", n) for n in (0, 3, 10, 13)] + [("person03_handwaving_d3", n) for n in (1, 21)]
    assert len(tests) == 6
    for k, (video, first) in enumerate(starts):
        np.testing.assert_array_equal(tests[k], resized[video][first:first + 7])
    np.testing.assert_array_equal(tests[[5, 0]], np.stack([tests[5], tests[0]]))
    assert len(world(kept, test_sequences=3).tests()["kth"]()) == 3 and list(source.samples(2)) == ["test sequence 1", "test sequence 2"]
    assert source.notes == {"people": str(kept)} and KTH.places(source.options) == {"data": str(kept)}


def test_what_is_read_and_counted_is_said(kept):
    source = world(kept)
    assert said(source, "windows of the whole list, cut as the paper says: 83 of 5 frames of persons 1-16, 0 of 7 frames of persons 17-25")
    assert said(source, "read 5 videos, 120 frames, from ") and said(source, "which may be deleted at any time")
    assert said(source, "32 of 5 frames of persons 1, 4-25 for training; 1 of 7 frames of person 2 for validation; 6 of 7")
    assert len(source.messages) == 3
    assert said(world(kept, given=8), "for training (1 range(s) are shorter); 1 of 12 frames of person 2")
    assert said(world(kept, windows="authors"), "11 of 5 frames of persons 1, 4-25 for training")


def test_another_list_and_other_persons(kept, tmp_path):
    (tmp_path / "other.txt").write_text("person02_walking_d1 frames 1-6\nperson01_boxing_d1 1 7\nperson03_jogging_d4 1 20")
    source = world(kept, ranges=str(tmp_path / "other.txt"), validation_persons=(1,))
    assert len(source.validation()) == 1 and said(source, "2 of 5 frames of persons 2, 4-25 for training")
    assert said(source, "2 video(s) that the list does not name are left out: person03_handwaving_d3, person01_running_d2")
    source = world(kept, trimmed=str(tmp_path / "other.txt"), validation_persons=(1,))
    assert len(source.tests()["kth"]()) == 5


def test_runs_are_resumed_on_the_same_videos_only(kept):
    first = world(kept).fingerprint()
    assert first.keys() == {"training", "validation", "test"} and first["validation"].keys() == {"person02_walking_d1", "windows"}
    again = world(kept).fingerprint()
    for part, arrays in first.items():
        assert arrays.keys() == again[part].keys() and all(np.array_equal(a, again[part][name]) for name, a in arrays.items())
    other = world(kept, windows="mcnet").fingerprint()
    assert not np.array_equal(first["training"]["windows"], other["training"]["windows"])


def test_without_files_there_are_stick_figures():
    source = SOURCES["kth"](KTHOptions(given=3, horizon=2, test_horizon=4, size=(32, 40), test_sequences=3, validation_sequences=2), 5)
    plan = new_plan("predrnn", "kth").on(source)
    assert plan.frame == (32, 40, 1) and source.batch(0, 2).shape == (2, 5, 32, 40, 1) and source.validation().shape == (2, 7, 32, 40, 1)
    tests = source.tests()["kth"]()
    np.testing.assert_array_equal(tests[:], source.sequences.longer.fixed_set("test", 3))
    np.testing.assert_array_equal(tests[[2]], tests[2:3])
    assert len(tests) == 3 and source.notes == {"people": "stick figures"}
    np.testing.assert_array_equal(source.batch(4, 4, slice(1, None, 2)), source.batch(4, 4)[1::2])
    np.testing.assert_array_equal(source.batch(1, 2), source.sequences.training.draw(stream("training", 5, 1), 2))
    quick, paper = new_plan("predrnn", "kth"), new_plan("predrnn", "kth", "paper")
    assert quick.data.size == (64, 64) and paper.data.size == (128, 128)
    assert (paper.options.hidden, paper.data.given, paper.data.horizon, paper.data.test_horizon) == ((128,) * 4, 10, 10, 20)


@pytest.mark.parametrize("options, sentence", [
    (dict(validation_persons=(26,)), "validation_persons: there are persons 1 to 25, got 26"),
    (dict(validation_persons=(17,)), "validation_persons and test_persons both have person 17"),
    (dict(validation_persons=tuple(range(1, 17))), "have all persons"),
    (dict(trimmed="a.txt"), "trimmed is an option for videos: name their folder with data"),
    (dict(windows="mcnet"), "windows is an option for videos"),
    (dict(size=(6, 9)), "size is at least 7"), (dict(windows="simvp"), "windows is one of paper, mcnet, authors")])
def test_impossible_options(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        KTH(KTHOptions(**options), 0)


# what is missing or damaged

def test_missing_videos_are_named(folder):
    os.remove(folder / "person01_boxing_d1_uncomp.avi")
    source = world(folder)
    assert said(source, "1 of the 5 videos that the list names are not there: person01_boxing_d1") and not said(source, "nothing of")
    os.remove(folder / "running" / "person01_running_d2_uncomp.avi")
    assert "has no sequence of 5 frames for training, which is of persons 1, 4-25, and videos of persons 2-3: add those" in refused(folder)
    assert "choose others with validation_persons and test_persons" in refused(folder, validation_persons=(1,))


def test_a_missing_person_is_named(folder):
    os.remove(folder / "person02_walking_d1_uncomp.avi")
    assert "no sequence of 7 frames for validation, which is of person 2, and videos of persons 1, 3" in refused(folder)
    (folder / "00sequences.txt").write_text(LIST + "person09_walking_d1 1 20\n")
    os.rename(folder / "person03_jogging_d4_uncomp.avi", folder / "person02_walking_d1.AVI")  # without _uncomp is well
    assert said(world(folder), "2 of the 6 videos that the list names are not there (nothing of person 9): person03_jogging_d4, person09")


def test_other_files_are_named(folder, stored):
    (folder / "person01_boxing_d1_with_overlay.avi").write_bytes(b"anything")
    (folder / "notes.txt").write_text("is no video")
    (folder / "._person01_boxing_d1_uncomp.avi").write_bytes(b"of a Mac")
    source = world(folder)
    assert said(source, "1 video(s) with other names than person01_walking_d1_uncomp.avi are left out: person01_boxing_d1_with_overlay.avi")
    (folder / "running" / "person01_boxing_d1_uncomp.avi").write_bytes(b"anything")
    assert "are both person01_boxing_d1: move one of them elsewhere" in refused(folder)


def test_a_folder_without_videos(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no 00sequences.txt, which says which frames show the actions" in refused(tmp_path / "empty")
    listed = dict(ranges=str(folder / "00sequences.txt"))
    assert "holds no videos of KTH: expected a folder with files such as person01" in refused(tmp_path / "empty", **listed)
    assert "is no folder" in refused(tmp_path / "nowhere", **listed)
    (tmp_path / "empty" / "walking.zip").write_bytes(b"PK")
    assert "walking.zip is a .zip, which is not read here: unpack it" in refused(tmp_path / "empty", **listed)
    (folder / "00sequences.txt").write_text("person05_walking_d1 1 20\n")
    assert "has none of the 1 videos that the list names" in refused(folder)


def test_a_damaged_video_is_named(folder, stored):
    path = folder / "person01_boxing_d1_uncomp.avi"
    path.write_bytes(os.urandom(4000))
    assert f"{path}: expected a video in a container that is known" in refused(folder)
    path.write_bytes(stored["person01_boxing_d1"].read_bytes()[:3000])
    assert str(path) in refused(folder)
    other = folder / "person02_walking_d1_uncomp.avi"
    other.write_bytes(b"")
    path.write_bytes(stored["person01_boxing_d1"].read_bytes())
    assert f"{other}: expected a video" in refused(folder)


def test_a_video_that_is_shorter_than_its_ranges(folder, stored):
    path = folder / "person03_handwaving_d3_uncomp.avi"
    os.truncate(path, path.stat().st_size * 2 // 3)
    source = world(folder)
    assert said(source, "person03_handwaving_d3_uncomp.avi: ") and said(source, "that it announces are there; it seems to be cut short")
    assert said(source, "1 range(s) of the list end after the last frame of their video and are cut there, the first is "
                        "person03_handwaving_d3 2-30, of a video of ")
    assert len(source.tests()["kth"]()) == 5


def test_a_video_that_is_damaged_in_the_middle(folder):
    path = folder / "person02_walking_d1_uncomp.avi"
    content = bytearray(path.read_bytes())
    content[len(content) // 2:len(content) // 2 + 30] = bytes(30)
    path.write_bytes(content)
    assert said(world(folder), "person02_walking_d1_uncomp.avi: the decoder finds errors in it")


def test_videos_of_another_size(folder):
    from video_files import write

    write(folder / "person02_walking_d1_uncomp.avi", film(20, 26, 32), *LOSSLESS)
    assert "person02_walking_d1_uncomp.avi: expected frames of one size, got 26x32 pixels here and 24x32 in person01" in refused(folder)


# the cache

def test_the_second_start_decodes_nothing_and_frames_stay_on_the_disk(folder, cache, monkeypatch):
    first = world(folder)
    monkeypatch.setattr(videos, "Video", None)
    second = world(folder, size=(24, 32))  # the cache serves every size
    assert [file is not None for file in second.sequences.clips.files] == [True] * 5 and first.messages == second.messages
    assert len(list(cache.iterdir())) == 5
    np.testing.assert_array_equal(second.sequences.clips[0][..., 0], FILMS["person01_boxing_d1"])


def test_a_start_that_was_killed_while_it_decoded(folder, cache, monkeypatch):
    """What was decoded before is used, and what is half written is not."""
    decode, decoded = videos.decode_into, []

    def killed(file, path, *inputs):
        if len(decoded) == 2:
            file.write(b"half")
            raise KeyboardInterrupt
        decoded.append(path)
        return decode(file, path, *inputs)

    monkeypatch.setattr(videos, "decode_into", killed)
    with pytest.raises(KeyboardInterrupt):
        world(folder)
    (cache / ".unfinished-01234567-0123.frames").write_bytes(b"kill -9 leaves such a file")
    decoded.clear()
    monkeypatch.setattr(videos, "decode_into", lambda file, path, *inputs: decoded.append(path) or decode(file, path, *inputs))
    np.testing.assert_array_equal(world(folder).sequences.clips[3][..., 0], FILMS["person03_jogging_d4"])
    assert len(decoded) == 3


def test_without_the_cache_frames_are_kept_in_memory(folder, cache):
    cache.parent.mkdir()
    cache.write_text("a file, where the folder would be")
    source = world(folder)
    assert said(source, "decoded frames are kept in memory") and source.batch(0, 2).shape == (2, 5, 16, 20, 1)


# resizing

@pytest.mark.parametrize("size", [(40, 40), (30, 50), (13, 64), (1, 1), (24, 32)])
def test_resizing_is_bilinear_as_opencv_does_it(size):
    frames = np.random.default_rng(0).integers(256, size=(2, 24, 32, 1), dtype=np.uint8)
    expected = np.stack([resize(frame / 255, size, order=1, anti_aliasing=False, mode="edge") for frame in frames[..., 0]]) * 255
    found = bilinear(frames, size)
    assert found.shape == (2, *size, 1) and found.dtype == np.uint8
    np.testing.assert_allclose(found[..., 0], expected, atol=0.51)


def test_frames_of_one_row():
    np.testing.assert_array_equal(bilinear(np.full((1, 1, 2, 1), 7, np.uint8), (3, 4)), np.full((1, 3, 4, 1), 7))


# real videos

def test_real_videos(data_dir, tmp_path):
    """The clips at hand: frames equal those of the decoder that made the reference file, box-resized, and windows are as counted."""
    from PIL import Image

    clips = data_dir / "kth" / "clips"
    place = tmp_path / "KTH"
    place.mkdir()
    for path in clips.glob("*.avi"):
        (place / path.name.replace("_with_overlay", "_uncomp")).write_bytes(path.read_bytes())
    ranges = str(data_dir / "kth" / "00sequences.txt")
    source = KTH(KTHOptions(data=str(place), ranges=ranges, validation_persons=(4,), test_persons=(22,)), 0)
    check_source(source)
    assert said(source, "115,318 of 20 frames of persons 1-16, 5,737 of 30 frames of persons 17-25; the paper has 108,717 and 4,086")
    assert said(source, "595 of the 599 videos") and said(source, "read 4 videos, 1,382 frames")
    assert said(source, "392 of 20 frames of persons 1-3") and len(source.validation()) == 26 and len(source.tests()["kth"]()) == 14
    named = source.sequences.clips.named()
    with np.load(clips / "kth_original_gray_64.npz") as file:
        for name in file.files:
            box = [np.asarray(Image.fromarray(frame[..., 0]).resize((64, 64), Image.Resampling.BOX)) for frame in named[name]]
            np.testing.assert_array_equal(box, file[name])
    assert source.batch(0, 2).shape == (2, 20, 128, 128, 1) and source.tests()["kth"]()[13].shape == (30, 128, 128, 1)
