"""Own sequences: arrays give back the frames that were put in, or one sentence; then their windows, and what is for what."""

import io
import os
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from own_files import authors_file, check, noise, save_images, saved

from tinypredrnn.data.reading import Clips, read_sequences, room, sequences, split
from tinypredrnn.errors import ConfigError, DataError

# arrays

@pytest.mark.parametrize("shape", [(3, 5, 6, 8), (3, 5, 6, 8, 1), (3, 5, 6, 8, 3), (5, 6, 8), (5, 6, 8, 3), (5, 6, 8, 1)])
@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize("floats", [None, np.float32, np.float64])
def test_arrays(tmp_path, shape, ending, floats):
    array = noise(*shape)
    content = array if floats is None else array.astype(floats) / 255
    path = tmp_path / f"own{ending}"
    np.save(path, content) if ending == ".npy" else np.savez_compressed(path, own=content, meta="text", index=np.arange(3))
    one = len(shape) == 3 or len(shape) == 4 and shape[-1] != 8
    clips = read_sequences(path)
    check(clips, [content] if one else list(content))
    assert clips.scale.stored == ((0, 255) if floats is None else (0, 1))


def test_of_an_npz_the_array_frames_is_taken_or_each_array_is_a_clip(tmp_path):
    clips = {"run": noise(4, 6, 8), "walk": noise(7, 6, 8, seed=1)}
    np.savez(tmp_path / "a.npz", **clips)
    check(read_sequences(tmp_path / "a.npz"), list(clips.values()))
    assert read_sequences(tmp_path / "a.npz").names == ["run", "walk"]
    np.savez(tmp_path / "b.npz", **clips, frames=noise(2, 3, 6, 8))
    assert len(read_sequences(tmp_path / "b.npz")) == 2


def test_gray_and_colour_arrays_together_are_colour(tmp_path):
    gray, colour = noise(2, 6, 8), noise(3, 6, 8, 3)
    np.savez(tmp_path / "a.npz", gray=gray, colour=colour)
    check(read_sequences(tmp_path / "a.npz"), [gray[..., None].repeat(3, -1), colour])


@pytest.mark.parametrize("name, shape", [("mnist_test_seq.npy", (20, 3, 64, 64)), ("mnist_test_seq_part.npy", (20, 30, 6, 8))])
def test_the_official_test_set_has_time_first(tmp_path, name, shape):
    array = noise(*shape)
    check(read_sequences(saved(tmp_path / name, array)), list(array.swapaxes(0, 1)))


def test_time_is_not_first_elsewhere(tmp_path):
    array = noise(20, 3, 6, 8)
    check(read_sequences(saved(tmp_path / "own.npy", array)), list(array))
    check(read_sequences(saved(tmp_path / "mnist_test_seq_first5.npy", array[:5])), list(array[:5]))
    check(read_sequences(saved(tmp_path / "mnist_test_seq.npy", noise(20, 64, 64))), [noise(20, 64, 64)])


def test_a_file_of_the_official_shape_under_any_name_is_read_from_the_disk(tmp_path):
    path = tmp_path / "test.npy"
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (20, 10_000, 64, 64))  # a sparse file: it takes no room
    array[7, 9_999, 5, 6] = 200
    array.flush()
    clips = read_sequences(path)
    assert len(clips) == 10_000 and clips[9_999].shape == (20, 64, 64, 1) and clips[9_999][7, 5, 6, 0] == 200
    assert all(file is not None for file in clips.files)


def test_the_authors_files(tmp_path):
    frames = noise(12, 1, 6, 8)
    starts = [[[0, 2], [6, 2]], [[2, 3], [8, 3]]]  # of input and output: two clips of 2 + 3 frames
    expected = [frames[0:5, 0], frames[6:11, 0]]
    check(read_sequences(authors_file(tmp_path / "a.npz", starts, np.float32(frames / 255))),
          [np.float32(clip / 255) for clip in expected])
    starts[1][0] = [9, 3]  # an output that does not follow its input
    check(read_sequences(authors_file(tmp_path / "b.npz", starts, frames)), [np.concatenate([frames[0:2, 0], frames[9:, 0]]), expected[1]])
    huge = authors_file(tmp_path / "huge.npz", [[[0, 1]], [[1, 1]]], np.zeros((2, 1, 6000, 6000), np.uint8))
    with pytest.raises(DataError, match="6000"):
        read_sequences(huge)
    colour = noise(12, 3, 6, 8)
    check(read_sequences(authors_file(tmp_path / "c.npz", [[[0, 4]], [[4, 4]]], colour)), [colour[:8].transpose(0, 2, 3, 1)])


@pytest.mark.parametrize("clips, options, message", [
    ([[[0, 2]], [[2, 11]]], {}, "got .*2, 11"),
    ([[[-1, 2]], [[2, 1]]], {}, "within"),
    ([[[0, 0]], [[2, 1]]], {}, "within"),
    ([[[2**31 - 1, 2]], [[2, 1]]], {}, "within"),
    ([[0, 2], [2, 1]], {}, r"clips \(2,N,2\)"),
    ([[[0, 2]], [[2, 1]]], dict(dims=np.array([[1, 8, 6]])), "dims"),
    ([[[0, 2]], [[2, 1]]], dict(dims=np.array([1, 6, 8])), "dims"),
    ([[[0, 2]], [[2, 1]]], dict(raw=noise(12, 2, 6, 8), dims=np.array([[1, 6, 8]])), "dims"),
    ([[[0, 2]], [[2, 1]]], dict(raw=noise(12, 6, 8)), "input_raw_data"),
    ([[[0, 2]], [[2, 1]]], dict(raw=np.full((12, 1, 6, 8), "x")), "dims"),
])
def test_damaged_files_of_the_authors(tmp_path, clips, options, message):
    options = dict(raw=noise(12, 1, 6, 8)) | options
    with pytest.raises(DataError, match=message) as caught:
        read_sequences(authors_file(tmp_path / "a.npz", clips, **options))
    assert "a.npz" in str(caught.value)


@pytest.mark.parametrize("array, message", [
    (noise(6, 8), r"got \(6, 8\)"),
    (noise(2, 3, 4, 6, 8, 1), r"got \(2, 3, 4, 6, 8, 1\)"),
    (noise(0, 5, 6, 8), "a.npy"),
    (noise(2, 0, 6, 8), "a.npy"),
    (noise(2, 5, 0, 8, 1), "a.npy"),
    (np.array(3), "a.npy"),
    (noise(2, 5, 6, 8) * 1j, "got complex128"),
    (np.full((1, 2, 6, 8), np.nan), "96 places without data and none with"),
    (np.full((1, 2, 6, 8), np.inf), "infinite"),
    (np.array([None, {}]), "a.npy"),
    (np.full((2, 5, 6, 8), "x"), "a.npy"),
])
def test_arrays_that_are_no_clips(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message) as caught:
        read_sequences(tmp_path / "a.npy")
    assert "a.npy" in str(caught.value)
    np.savez(tmp_path / "b.npz", a=array)
    with pytest.raises(DataError, match="b.npz"):
        read_sequences(tmp_path / "b.npz")


def test_an_npz_without_clips(tmp_path):
    np.savez(tmp_path / "a.npz", index=np.arange(3), meta="text")
    with pytest.raises(DataError, match=r"a\.npz.*expected clips.*no array of so many axes"):
        read_sequences(tmp_path / "a.npz")


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.array([Bomb()]), allow_pickle=True)
    np.savez("b.npz", frames=np.array([Bomb()]))
    Path("frames").mkdir()
    Path("frames/a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(exploded) (w) file\n")
    for path in ("a.npy", "b.npz", "frames"):
        with pytest.raises(DataError):
            read_sequences(path)
    assert not Path("exploded").exists()


def lying_header(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + b"pixels"


@pytest.mark.filterwarnings("ignore:overflow")  # NumPy's, while it multiplies what a header claims
@pytest.mark.parametrize("shape", [(2**40,), (2**20, 2**20, 64, 64), (2**62, 2**62, 2, 2), (1, 1, 6, 8), (-1, 5, 6, 8)])
def test_headers_that_claim_more_than_there_is(tmp_path, shape):
    (tmp_path / "a.npy").write_bytes(lying_header(shape))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("frames.npy", lying_header(shape))
    for name in ("a.npy", "b.npz"):
        with pytest.raises(DataError, match=name):
            read_sequences(tmp_path / name)


def test_what_would_fill_memory_and_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "IN_MEMORY", 1_000)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1 << 20))
    array, frames = noise(2, 8, 8, 8), noise(16, 8, 8)
    assert len(read_sequences(saved(tmp_path / "a.npy", array))) == 2  # 1,024 bytes, which stay on the disk
    save_images(tmp_path / "images", frames)
    np.savez_compressed(tmp_path / "c.npz", frames=np.zeros_like(array))
    for path, options in [("a.npy", dict(size=(8, 9))), ("images", {}), ("c.npz", {})]:
        with pytest.raises(DataError, match=f"{path}.*its frames take 256 MiB more than may be kept in memory, and .* has 1 MiB free"):
            read_sequences(tmp_path / path, **options)


def test_a_file_that_is_cut_short_or_deleted_after_it_was_opened(tmp_path):
    clips = read_sequences(saved(tmp_path / "a.npy", noise(2, 5, 64, 64)))
    training = split(read_sequences(saved(tmp_path / "b.npy", noise(12, 5, 64, 64))), 5)[0]
    (tmp_path / "a.npy").unlink()
    np.testing.assert_array_equal(clips.cut([[1, 2]], 3), noise(2, 5, 64, 64)[1:, 2:, ..., None])  # the system keeps it for us
    os.truncate(tmp_path / "b.npy", 1_000)
    with pytest.raises(DataError, match="shorter"):
        training.cut([[0, 0]], 5)


def test_nothing_else_in_the_package_imports_deep_inside_the_reading():
    package = Path(sequences.__file__).parents[2]
    for file in package.rglob("*.py"):
        if "reading" not in file.parts:
            assert "data.reading." not in file.read_text(encoding="utf-8"), file


# windows, and what is for what

def clips_of(*lengths):
    return Clips({f"clip{n}": noise(length, 6, 8, 1, seed=n) for n, length in enumerate(lengths)})


def test_windows_stay_within_a_clip():
    clips = clips_of(4, 2, 3)
    assert clips.windows(3).tolist() == [[0, 0], [0, 1], [2, 0]]
    assert clips.windows(2, stride=2).tolist() == [[0, 0], [0, 2], [1, 0], [2, 0]]
    assert clips.windows(5).shape == (0, 2)
    np.testing.assert_array_equal(clips.cut([[2, 0], [0, 1]], 3), [clips[2], clips[0][1:4]])


@pytest.mark.parametrize("lengths, how, frames", [
    ((9,), "by time", (3, 3, 3)),
    ((40,), "by time", (32, 4, 4)),
    ((20, 5, 2), "by time", (19, 3, 3)),  # the one of 5 all for training, the one of 2 is too short
    ((3, 4, 5), "by clip", None),
    ((9,) * 9, "by time", (27, 27, 27)),
    ((9,) * 10, "by clip", (72, 9, 9)),
    ((4,) * 12, "by clip", (40, 4, 4)),
    ((4,) * 20 + (2,), "by clip", (64, 8, 8)),
])
def test_split(lengths, how, frames):
    clips = clips_of(*lengths)
    *parts, words = split(clips, 3)
    assert how in words
    assert frames is None or tuple(sum(map(len, part.clips)) for part in parts) == frames
    assert all(len(part.windows(3)) for part in parts) and all(len(clip) for part in parts for clip in part)
    frames = [{frame.tobytes() for clip in part for frame in clip} for part in parts]
    assert all(frames) and len(frames[0] | frames[1] | frames[2]) == sum(map(len, frames))  # none is in two of them
    assert f"{sum(length < 3 for length in lengths)} clip(s) have fewer than 3" in words


def test_split_by_clip_is_drawn_by_the_seed():
    clips = clips_of(*[3] * 30)
    assert split(clips, 3, seed=1)[2].names == split(clips, 3, seed=1)[2].names != split(clips, 3, seed=2)[2].names


@pytest.mark.parametrize("lengths", [(8,), (3, 3), (2, 2, 2, 2), (8, 8)])
def test_too_little_to_split(lengths):
    with pytest.raises(DataError, match="a clip of 9 or three of 3"):
        split(clips_of(*lengths), 3)


# real files

def test_real_files(data_dir):
    digits = read_sequences(data_dir / "moving_mnist" / "mnist_test_seq_first500.npz")
    assert (len(digits), digits.size, digits.channels, len(digits[499])) == (500, (64, 64), 1, 20)
    assert digits[0].max() == 255 and 100 < (digits[0][0] > 0).sum() < 500
    people = read_sequences(data_dir / "kth" / "clips" / "kth_original_gray_64.npz")
    assert [len(clip) for clip in people] == [468, 328, 242]


# limits before arrays

def sparse(path, shape, dtype):
    """A .npy full of holes: it claims `shape`, and the disk keeps nothing of it."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return path


@pytest.mark.parametrize("shape, dtype, options, message", [
    ((7000, 1, 1000, 1000), "<f2", dict(size=(800, 800)), "its frames take 7.34 GiB more than may be kept"),  # 14 GB
    ((7000, 1, 1000, 1000, 3), "|u1", dict(channels=1), "its frames take 5.52 GiB more"),
    ((3, 1, 60_000, 60_000), "|u1", {}, "at most 33,554,432 pixels in a frame, got 60000x60000"),
    ((900, 20, 64, 64), "|u1", dict(size=(1000, 1000)), "its frames take 15.8 GiB more"),  # 70 MB
])
def test_a_file_that_would_take_gigabytes_is_refused_at_no_cost(tmp_path, monkeypatch, shape, dtype, options, message):
    """If there are not so many on the disk."""
    monkeypatch.setattr(room, "IN_MEMORY", 1 << 30)
    monkeypatch.setattr(room, "memory_limit", lambda: 1 << 40)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1 << 30))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            read_sequences(sparse(tmp_path / "a.npy", shape, dtype), **options)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_frames_that_would_take_gigabytes_are_refused_at_no_cost(tmp_path):
    for t in range(2):
        sparse(tmp_path / f"{t}.npy", (40_000, 40_000), "|u1")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"0\.npy.*at most 33,554,432 pixels in a frame, got 40000x40000"):
            read_sequences(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_resizing_takes_no_more_than_its_result(tmp_path):
    saved(tmp_path / "a.npy", noise(4, 10, 16, 16) / 255)
    tracemalloc.start()
    try:
        clips = read_sequences(tmp_path / "a.npy", size=(200, 200))
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert clips.size == (200, 200) and most < kept + 2_000_000


def test_a_size_that_no_frame_may_have(tmp_path):
    with pytest.raises(ConfigError, match="at most 33,554,432 in all"):
        read_sequences(saved(tmp_path / "a.npy", noise(2, 2, 6, 8)), size=(100_000, 100_000))


def test_a_small_computer_is_respected(tmp_path, monkeypatch):
    """The rest of the frames goes to the disk before all of the memory is used."""
    monkeypatch.setattr(room, "memory_limit", lambda: 1 << 24)
    clips = read_sequences(saved(tmp_path / "a.npy", noise(5, 3, 8, 8)), size=(1000, 1000))  # 2.9 MiB for each clip
    assert [file is not None for file in clips.files] == [False] + [True] * 4


def test_memory_that_ends_is_not_called_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(sequences, "convert", lambda *_: np.empty(1 << 60, np.uint8))
    with pytest.raises(DataError, match="does not fit into the memory") as caught:
        read_sequences(saved(tmp_path / "a.npy", noise(2, 5, 6, 8)))
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("path", ["~nobody-of-this-name/clips", "~/nothing"])
def test_a_home_that_is_not_there(path):
    with pytest.raises(DataError, match="is not there"):
        read_sequences(path)
