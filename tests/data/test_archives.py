"""Arrays of a file, and files of arrays: their names say which are films, which are parts, and which belong together."""

import numpy as np
import pytest
from own_files import check, film, films, mentions, save_images, saved

from tinypredrnn.data.reading import read_sequences, split
from tinypredrnn.errors import ConfigError, DataError


@pytest.mark.parametrize("name", ["mask", "cell_masks", "labels", "seg"])
def test_a_mask_is_no_film(tmp_path, name):
    frames = film(30)
    np.savez(tmp_path / "cells.npz", **{"images": frames, name: (frames > 100).astype(np.uint8)})
    clips = read_sequences(tmp_path / "cells.npz")
    check(clips, [frames])
    assert mentions(clips, f"left out {name} (30, 24, 24)") and mentions(clips, "array NAME reads")
    check(read_sequences(tmp_path / "cells.npz", array=name), [(frames > 100).astype(np.uint8)])
    with pytest.raises(DataError, match=f"expected an array nothing, got images, {name}"):
        read_sequences(tmp_path / "cells.npz", array="nothing")
    np.savez(tmp_path / "alone.npz", mask=frames)
    check(read_sequences(tmp_path / "alone.npz"), [frames])


def test_numbers_of_two_kinds_are_no_clips_of_one_data_set(tmp_path):
    np.savez(tmp_path / "a.npz", cells=film(30), flow=film(30) / 255)
    with pytest.raises(DataError, match="clips of one kind of numbers.*array"):
        read_sequences(tmp_path / "a.npz")
    check(read_sequences(tmp_path / "a.npz", array="cells"), [film(30)])


@pytest.mark.parametrize("x, y", [("x_train", "y_train"), ("X", "Y"), ("xtrain", "ytrain"), ("trainX", "trainY"), ("inputs", "targets"),
                                  ("train_input", "train_output")])
def test_x_and_y_are_joined(tmp_path, x, y):
    clips = films(9)
    np.savez(tmp_path / "a.npz", **{y: clips[:, 7:], x: clips[:, :7]})
    read = read_sequences(tmp_path / "a.npz")
    check(read, list(clips))
    assert mentions(read, "beginnings (7 frames) and ends (5)")


@pytest.mark.parametrize("shift", [0, 1, 5])
def test_frames_that_x_and_y_have_in_common_are_taken_once(tmp_path, shift):
    clips = films(9)
    np.savez(tmp_path / "a.npz", x=clips[:, :12 - shift], y=clips[:, shift:])
    check(read_sequences(tmp_path / "a.npz"), list(clips))


@pytest.mark.parametrize("y", [film(9), films(8)[:, :5], films(9, height=12)])
def test_an_x_and_a_y_that_do_not_fit_are_asked_about(tmp_path, y):
    np.savez(tmp_path / "a.npz", x=films(9), y=y)
    with pytest.raises(DataError, match="array x or array y"):
        read_sequences(tmp_path / "a.npz")
    assert len(read_sequences(tmp_path / "a.npz", array="x")) == 9


@pytest.mark.parametrize("names", [("train", "test"), ("X_train", "X_test"), ("frames_train", "frames_testing"), ("frames", "frames_test")])
def test_train_and_test_are_parts(tmp_path, names):
    clips = films(40)
    np.savez(tmp_path / "a.npz", **{names[0]: clips[:30], names[1]: clips[30:]})
    read = read_sequences(tmp_path / "a.npz")
    assert read.parts.get("training", list(range(30))) == list(range(30)) and read.parts["test"] == list(range(30, 40))
    assert mentions(read, "10 clip(s) for test")
    training, validation, test, words = split(read, 10)
    assert test.names == read.names[30:] and len(training) == 27 and len(validation) == 3 and "as the data say" in words
    check(test, list(clips[30:]))


def test_three_parts_with_x_and_y(tmp_path):
    parts = dict(zip(["train", "val", "test"], np.split(films(12), [8, 10])))
    np.savez(tmp_path / "a.npz", **{f"{side}_{part}": clips[:, cut] for part, clips in parts.items()
                                    for side, cut in (("x", slice(6)), ("y", slice(6, 12)))})
    read = read_sequences(tmp_path / "a.npz")
    for part, clips in zip(split(read, 12), parts.values()):
        check(part, list(clips))


def test_a_lone_test_file_has_no_parts(tmp_path):
    np.savez(tmp_path / "a.npz", test=films(9))
    assert read_sequences(tmp_path / "a.npz").parts == {}


def test_folders_called_train_and_test_are_parts(tmp_path):
    for n, clip in enumerate(films(6)):
        save_images(tmp_path / ("train" if n < 4 else "test") / f"take{n}", clip)
    read = read_sequences(tmp_path)
    assert read.parts == {"test": [0, 1], "training": [2, 3, 4, 5]}
    assert read.names == ["test/take4", "test/take5", "train/take0", "train/take1", "train/take2", "train/take3"]


# arrays of objects, folders of arrays, and other kinds of files

@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_clips_of_several_lengths_in_one_array_of_objects(tmp_path, ending):
    ragged = np.empty(3, object)
    ragged[:] = [film(20 + k) for k in range(3)]
    path = tmp_path / f"a{ending}"
    np.save(path, ragged, allow_pickle=True) if ending == ".npy" else np.savez(path, clips=ragged)
    how = r"array of Python objects.*np\.savez\(path, \*arrays\), or in a folder of one \.npy each"
    with pytest.raises(DataError, match=how) as caught:
        read_sequences(path)
    assert "damaged" not in str(caught.value)
    np.savez(path.with_suffix(".npz"), *ragged)  # as the message says
    check(read_sequences(path.with_suffix(".npz")), list(ragged))


def test_an_array_of_objects_beside_the_film_is_left_out(tmp_path):
    np.savez(tmp_path / "a.npz", film=film(9), notes=np.array([{"by": "me"}]), times=np.array([None] * 9))
    clips = read_sequences(tmp_path / "a.npz")
    check(clips, [film(9)])
    assert mentions(clips, "left out notes (1,), times (9,)")
    with pytest.raises(DataError, match="array of Python objects"):
        read_sequences(tmp_path / "a.npz", array="notes")


def test_times_of_several_clips_are_not_used_and_said(tmp_path):
    np.savez(tmp_path / "a.npz", frames=films(3), times=np.arange(3))
    assert mentions(read_sequences(tmp_path / "a.npz"), "left out times (3,)")


def test_a_folder_of_arrays_is_a_folder_of_clips(tmp_path):
    saved(tmp_path / "take2.npy", film(9))
    saved(tmp_path / "take10.npy", films(2))
    np.savez(tmp_path / "take3.npz", frames=film(7), times=np.arange(7))
    np.savez(tmp_path / "take4.npz", run=film(7), walk=film(8))
    (tmp_path / "notes.txt").write_text("mine")
    clips = read_sequences(tmp_path)
    check(clips, [film(9), film(7), film(7), film(8), *films(2)])
    assert clips.names == ["take2", "take3", "take4/run", "take4/walk", "take10[0]", "take10[1]"]
    assert mentions(clips, "1 of .txt")


def test_names_of_files_are_read_as_those_of_arrays(tmp_path):
    """train and test are parts; masks are no films; inputs and targets in a file each are asked about."""
    clips = films(12)
    for name, part in ("train", clips[:9]), ("test", clips[9:]), ("masks", clips > 9):
        saved(tmp_path / f"{name}.npy", part)
    read = read_sequences(tmp_path)
    check(read, [*clips[9:], *clips[:9]])
    assert read.parts == {"training": list(range(3, 12)), "test": [0, 1, 2]} and mentions(read, "masks.npy are not films")
    for name in "images", "labels":
        save_images(tmp_path / "more" / name, film(9))
    check(read_sequences(tmp_path / "more"), [film(9)])
    (tmp_path / "pairs").mkdir()
    saved(tmp_path / "pairs" / "x_train.npy", clips[:, :6])
    saved(tmp_path / "pairs" / "y_train.npy", clips[:, 6:])
    with pytest.raises(DataError, match="x_train and y_train seem to be inputs and targets"):
        read_sequences(tmp_path / "pairs")


def test_a_folder_of_arrays_of_one_frame_each_is_a_film(tmp_path):
    rain = film(20) / np.float32(3)
    for t, frame in enumerate(rain):
        saved(tmp_path / f"rain_{t + 9 * (t > 11)}.npy", frame)
    clips = read_sequences(tmp_path)
    check(clips, [rain[:12], rain[12:]])
    wind = np.stack([rain, rain], -1)
    for t, frame in enumerate(wind):
        saved(tmp_path / f"rain_{t + 9 * (t > 11)}.npy", frame)
    check(read_sequences(tmp_path), [wind[:12], wind[12:]])


def test_folders_of_arrays_of_persons_stay_together(tmp_path):
    for person in "ab":
        (tmp_path / person).mkdir()
        for k in range(2):
            saved(tmp_path / person / f"walk{k}.npy", film(9, seed=k + ord(person)))
    clips = read_sequences(tmp_path)
    assert clips.names == ["a/walk0", "a/walk1", "b/walk0", "b/walk1"] and clips.groups == {0: "a", 1: "a", 2: "b", 3: "b"}


@pytest.mark.parametrize("name, words", [
    ("a.grib", r"xarray\.open_dataset\('a\.grib'\)"), ("a.zip", "unpack it"),
    ("a.tar.gz", "unpack it"), ("a.mat", r"scipy\.io\.loadmat"),
    ("a.pt", r"torch\.load"), ("a.pkl", "may contain code"), ("a.heic", "convert such pictures")])
@pytest.mark.parametrize("in_a_folder", [False, True])
def test_other_kinds_of_files_are_named_with_what_to_do(tmp_path, name, words, in_a_folder):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(DataError, match=f"{name.rpartition('.')[2]}, which is not read here: .*{words}"):
        read_sequences(tmp_path if in_a_folder else tmp_path / name)


def test_a_name_for_an_array_that_has_none(tmp_path):
    with pytest.raises(DataError, match="leave it out"):
        read_sequences(saved(tmp_path / "a.npy", film(9)), array="frames")
    save_images(tmp_path / "images", film(9))
    with pytest.raises(ConfigError, match="leave them out"):
        read_sequences(tmp_path / "images", array="frames")
