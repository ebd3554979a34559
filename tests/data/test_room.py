"""Data larger than the memory: the same frames from files as from memory, with little memory at a time."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from own_files import authors_file, film, films, noise, save_images, saved
from radar_files import clock, dataset, odim, reflectivity

from tinypredrnn.data.own import OwnOptions, OwnSequences
from tinypredrnn.data.reading import parts, read_radar, read_sequences, room
from tinypredrnn.errors import DataError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def grids(folder, kind):
    pytest.importorskip("xarray", reason="what reads NetCDF is not installed")
    needed = {"zarr": "zarr", "nc": "netCDF4"}[kind]
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"what reads .{kind} is not installed")
    found = dataset(reflectivity(17), clock(17))
    if kind == "zarr":
        found.to_zarr(folder / "a.zarr", encoding={"reflectivity": {"chunks": (5, 24, 20)}}, consolidated=False)
    else:
        found.to_netcdf(folder / "a.nc")
    return folder / f"a.{kind}"


def several_grids(folder):
    from datetime import datetime

    for k, minute in enumerate((10, 0, 5, 15)):  # not in the order of time
        odim(folder / f"{k}.h5", film(4)[k], datetime(2024, 6, 1, 12, minute))
    return folder


def archive(folder, save=np.savez_compressed, **arrays):
    save(folder / "a.npz", **arrays)
    return folder / "a.npz"


def turned(array):
    return np.asfortranarray(array)


RADAR = dict(unit="dBZ", values=(0, 60))
CASES = {
    "npz": lambda at: read_sequences(archive(at, frames=films(3))),
    "npz, not compressed": lambda at: read_sequences(archive(at, np.savez, frames=films(3))),
    "npz, the first index fastest": lambda at: read_sequences(archive(at, frames=turned(films(3).astype(">f4") / 255))),
    "npz, inputs and targets": lambda at: read_sequences(archive(at, x=films(4)[:, :6], y=films(4)[:, 6:])),
    "npz of PredRNN's authors": lambda at: read_sequences(authors_file(
        at / "a.npz", [[[0, 3], [9, 3]], [[3, 3], [2, 3]]], noise(12, 1, 8, 8))),
    "npz of bool": lambda at: read_sequences(archive(at, a=film(9) > 99, b=film(9, seed=1)), channels=3),
    "npy, resized": lambda at: read_sequences(saved(at / "a.npy", films(2)), size=(17, 30), aspect="pad"),
    "npy, in colour": lambda at: read_sequences(saved(at / "a.npy", noise(2, 5, 12, 16, 3)), channels=1),
    "pictures": lambda at: read_sequences(save_images(at / "a", film(9))),
    "pictures, one in colour": lambda at: read_sequences(save_images(at / "a", [*film(9), noise(24, 24, 3)])),
    "rain": lambda at: read_radar(archive(at, frames=film(9)), unit="mm/h", values=(0, 100)),
    "places without data": lambda at: read_radar(archive(at, frames=film(9), valid=np.tri(24) > 0), **RADAR),
    "zarr": lambda at: read_radar(grids(at, "zarr")),
    "netcdf": lambda at: read_radar(grids(at, "nc")),
    "odim": lambda at: read_radar(several_grids(at)),
}


@pytest.mark.parametrize("case", CASES)
def test_frames_on_the_disk_are_those_in_memory(tmp_path, monkeypatch, case):
    for folder in (memory := tmp_path / "memory" / "films"), (disk := tmp_path / "disk" / "films"):
        folder.mkdir(parents=True)
    expected = CASES[case](memory)
    monkeypatch.setattr(room, "IN_MEMORY", 0)
    monkeypatch.setattr(room, "BLOCK", 3_000)  # some arrays share a file, others need their own
    monkeypatch.setattr(room, "PIECE", 2_000)
    found = CASES[case](disk)
    assert all(file is not None for file in found.files)
    assert found.names == expected.names and found.scale == expected.scale and found.parts == expected.parts
    for one, other in zip(found.clips, expected.clips):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_only_what_is_beyond_the_limit_goes_to_the_disk(monkeypatch):
    monkeypatch.setattr(room, "IN_MEMORY", 1_000)
    make = room.Room()
    arrays = [make((100,), np.float32) for _ in range(5)]
    assert [room.file_of(a) is None for a in arrays] == [True, True, False, False, False]
    assert room.file_of(arrays[3]) is room.file_of(arrays[4])  # one file for both
    for k, a in enumerate(arrays):
        a[:] = k
        room.release_pages(a)
    assert [a.tolist() for a in arrays] == [[k] * 100 for k in range(5)]


def test_a_cache_that_cannot_be_used_is_said(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file, where the folder would be")
    monkeypatch.setenv("TINYPREDRNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(room, "IN_MEMORY", 0)
    with pytest.raises(DataError, match="a.npz: its frames take .* cannot be used .*TINYPREDRNN_CACHE"):
        read_sequences(archive(tmp_path, frames=films(3)))


def test_a_large_test_set_is_read_when_it_is_used(tmp_path, monkeypatch):
    options = OwnOptions(data=str(saved(tmp_path / "a.npy", films(30))), given=3, horizon=3)
    whole = OwnSequences(options, 0).tests()["sequences"]()
    monkeypatch.setattr("tinypredrnn.data.own.IN_MEMORY", 0)
    parts_of_it = OwnSequences(options, 0).tests()["sequences"]()
    assert isinstance(whole, np.ndarray) and not isinstance(parts_of_it, np.ndarray)
    assert len(parts_of_it) == len(whole) and parts_of_it[:].dtype == whole.dtype
    for rows in slice(1, 3), [0, 2], 1, -1, np.array([2]), slice(None):
        np.testing.assert_array_equal(parts_of_it[rows], whole[rows])
    np.testing.assert_array_equal(list(parts_of_it), whole)
    np.testing.assert_array_equal(np.asarray(parts_of_it), whole)


def test_any_number_of_ranks_draws_the_same_batches(tmp_path):
    source = OwnSequences(OwnOptions(data=str(saved(tmp_path / "a.npy", films(30))), given=3, horizon=3), 0)
    whole = source.batch(7, 8)
    for size in (1, 2, 4):
        shares = [source.batch(7, 8, slice(rank, None, size)) for rank in range(size)]
        np.testing.assert_array_equal(np.stack(shares, axis=1).reshape(whole.shape), whole)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says in this place how much memory a process has")
def test_resident_memory_is_flat_over_a_file_that_looks_like_8_gb():
    """250 batches hold 156 MiB in all; pages that stayed would be as many."""
    words = sys.executable, EXAMPLES / "large_data.py", "--batches", "250"
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ +248 +155 ", done.stdout, re.MULTILINE) and "1953125 frames" in done.stdout
    assert int(re.search("grew by at most (\\d+) MiB", done.stdout)[1]) < 64


def test_pages_are_given_back_after_each_piece(tmp_path, monkeypatch):
    """Reading, hashing and counting go through all of a file: what they have read does not stay."""
    given = []
    monkeypatch.setattr(room, "PIECE", 2_000)
    clips = read_sequences(saved(tmp_path / "a.npy", film(60)))
    monkeypatch.setattr(room, "release_pages", lambda *arrays: given.append(1))
    clips.shares_above(10)
    assert len(given) == 20
    parts.hashes(clips[0])
    assert len(given) == 40
