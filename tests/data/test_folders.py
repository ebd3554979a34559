"""What a folder holds: what is no data of ours is left out and named, and nothing that leaves a hole is."""

import numpy as np
import pytest
from own_files import check, film, films, mentions, noise, save_images, saved
from PIL import Image

from tinypredrnn.data.reading import read_sequences
from tinypredrnn.errors import DataError


@pytest.mark.parametrize("ending", [".HEIC", ".avif", ".dng", ".txt"])
def test_frames_of_unknown_kinds_between_others_are_refused(tmp_path, ending):
    save_images(tmp_path, film(16), [f"IMG_{t:04d}" for t in range(16)], ".JPG")
    for t in 3, 7, 11:
        (tmp_path / f"IMG_{t:04d}.JPG").rename(tmp_path / f"IMG_{t:04d}{ending}")
    with pytest.raises(DataError, match=rf"3 frame\(s\) between the others are of a kind that is not read, the first is IMG_0003\{ending}"):
        read_sequences(tmp_path)


def test_frames_of_unknown_kinds_between_dated_ones(tmp_path):
    names = [f"{12 + t // 6}-{10 * (t % 6):02d}" for t in range(30)]
    save_images(tmp_path, film(30), [f"2024-06-01_{name}" for name in names])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "2024-06-01_13-00.png").rename(tmp_path / "2024-06-01_13-00.nc")
    with pytest.raises(DataError, match="the first is 2024-06-01_13-00.nc"):
        read_sequences(tmp_path)


def test_frames_of_unknown_kinds_among_names_without_numbers(tmp_path):
    save_images(tmp_path, film(3), ["dawn", "noon", "night"])
    (tmp_path / "dusk.heic").write_bytes(b"x")
    with pytest.raises(DataError, match="dusk.heic: convert"):
        read_sequences(tmp_path)


def test_files_beside_the_frames_are_named_and_left_out(tmp_path):
    save_images(tmp_path, film(9))
    for t in range(9):
        (tmp_path / f"frame{t}.json").write_text("{}")  # a note to each frame
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "frame12.heic").write_bytes(b"x")  # after the last
    clips = read_sequences(tmp_path)
    check(clips, [film(9)])
    assert mentions(clips, "1 of .heic, 9 of .json, 1 of .txt")


@pytest.mark.parametrize("junk", ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "empty", "texts", ".hidden"])
def test_folders_without_frames_are_left_out(tmp_path, junk):
    for k, clip in enumerate(films(3)):
        save_images(tmp_path / f"take{k}", clip)
    (tmp_path / junk / "take1").mkdir(parents=True)
    if junk != "empty":
        (tmp_path / junk / "take1" / ("notes.txt" if junk == "texts" else "._frame1.png")).write_bytes(b"x")
    clips = read_sequences(tmp_path)
    check(clips, list(films(3)))
    assert junk == ".hidden" or mentions(clips, junk)
    assert len(clips.messages) == len(set(clips.messages)) and sum(junk in sentence for sentence in clips.messages) == (junk != ".hidden")


def test_an_archive_in_a_folder_beside_the_clips_is_no_matter(tmp_path):
    save_images(tmp_path / "take", film(9))
    (tmp_path / "originals").mkdir()
    (tmp_path / "originals" / "all.zip").write_bytes(b"PK")
    clips = read_sequences(tmp_path)
    check(clips, [film(9)])
    assert mentions(clips, "originals")
    (tmp_path / "originals" / "all.zip").rename(tmp_path / "originals" / "IMG_1.HEIC")  # but a clip that is not read is
    with pytest.raises(DataError, match="IMG_1.HEIC is a .heic"):
        read_sequences(tmp_path)
    (tmp_path / "years" / "2024").mkdir(parents=True)
    (tmp_path / "years" / "2024" / "rain.nc").write_bytes(b"CDF")
    with pytest.raises(DataError, match="rain.nc"):
        read_sequences(tmp_path / "years")


@pytest.mark.parametrize("kind", ["folders", "tif", "npy"])
def test_one_picture_beside_the_clips_is_left_out(tmp_path, kind):
    if kind == "folders":
        save_images(tmp_path / "take", film(9))
    elif kind == "npy":
        saved(tmp_path / "take.npy", film(9))
    else:
        first, *rest = [Image.fromarray(frame) for frame in film(9)]
        first.save(tmp_path / "take.tif", save_all=True, append_images=rest)
    save_images(tmp_path, noise(1, 50, 60), ["cover"])
    clips = read_sequences(tmp_path)
    check(clips, [film(9)])
    assert mentions(clips, "cover.png")
    save_images(tmp_path, noise(1, 50, 60), ["back"])
    with pytest.raises(DataError, match="holds the image back.png beside the clip take"):
        read_sequences(tmp_path)


def test_folders_of_folders_of_folders(tmp_path):
    clips = films(4)
    for n, place in enumerate(["a/walk", "a/run", "b/walk", "c"]):
        save_images(tmp_path / place, clips[n])
    read = read_sequences(tmp_path)
    assert read.names == ["a/run", "a/walk", "b/walk", "c"]
    check(read, list(clips[[1, 0, 2, 3]]))
    assert read.groups == {0: "a", 1: "a", 2: "b"}


def test_links_in_circles(tmp_path):
    save_images(tmp_path / "take", film(5))
    (tmp_path / "take2").symlink_to(tmp_path, target_is_directory=True)
    assert len(read_sequences(tmp_path)) >= 1


def test_what_is_read_is_said(tmp_path):
    save_images(tmp_path / "a", film(5))
    save_images(tmp_path / "b", film(9))
    assert read_sequences(tmp_path).messages[0] == f"read 2 clip(s) of 5 to 9 frames of 24x24, gray, uint8, from {tmp_path}"
    assert read_sequences(saved(tmp_path / "w.npy", np.zeros((3, 5, 8, 9, 2)))).messages[0].startswith(
        "read 3 clip(s) of 5 frames of 8x9, 2 channels, float64, from ")


@pytest.mark.parametrize("kind", ["npy", "folder", "tif", "avi"])
def test_a_new_size_is_said_beside_the_one_that_was_read(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("TINYPREDRNN_CACHE", str(tmp_path / "cache"))
    if kind == "npy":
        path = saved(tmp_path / "a.npy", film(9))
    elif kind == "folder":
        path = save_images(tmp_path / "a", film(9))
    elif kind == "tif":
        first, *rest = [Image.fromarray(frame) for frame in film(9)]
        first.save(path := tmp_path / "a.tif", save_all=True, append_images=rest)
    else:
        pytest.importorskip("imageio_ffmpeg")
        from video_files import write

        path = write(tmp_path / "a.avi", film(9, 32, 24))
    for _ in range(2):  # a video comes from the cache the second time
        clips = read_sequences(path, size=(16, 12))
        assert clips.messages[0].startswith(f"read 1 clip(s) of 9 frames of {32 if kind == 'avi' else 24}x24, resized to 16x12, gray")
    assert ", resized" not in read_sequences(path).messages[0]


def test_names_that_meet_are_told_apart(tmp_path):
    saved(tmp_path / "take.npy", film(9))
    np.savez(tmp_path / "take.npz", film(8))
    save_images(tmp_path / "take", film(7))
    clips = read_sequences(tmp_path)
    check(clips, [film(9), film(8), film(7)])
    assert clips.names == ["take", "take (take.npz)", "take (frame0.png)"]


def test_memory_is_counted_over_all_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tinypredrnn.data.reading.room.IN_MEMORY", 20_000)
    for k in range(3):
        np.savez(tmp_path / f"{k}.npz", film(15))  # 8,640 bytes each
    clips = read_sequences(tmp_path)
    check(clips, [film(15)] * 3)
    assert [file is not None for file in clips.files] == [False, False, True]
