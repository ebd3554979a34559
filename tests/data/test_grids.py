"""NetCDF, Zarr and ODIM's HDF5: numbers in their units, times, places without data, coordinates; each refusal a sentence."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from own_files import mentions, save_images
from radar_files import START, clock, dataset, odim, reflectivity

from tinypredrnn.data.reading import grids, read_sequences, split
from tinypredrnn.errors import DataError


def same(clips, pieces, **tolerance):
    assert len(clips) == len(pieces)
    for clip, piece in zip(clips, pieces):
        np.testing.assert_allclose(clip[..., 0], piece, **tolerance)


def grid(clips):
    """That of the first clip."""
    return next(iter(clips.grids.values()))


@pytest.fixture
def values():
    return reflectivity(12)


@pytest.mark.parametrize("ending", ["nc", "zarr", "h5"])
def test_a_film_in_one_file(tmp_path, values, ending):
    pytest.importorskip({"zarr": "zarr", "nc": "netCDF4", "h5": "h5netcdf"}[ending], reason="what reads these files is not installed")
    values[3, 2, 5] = np.nan
    times = clock(12, without=[7])
    one, path = dataset(values, times), tmp_path / f"a.{ending}"
    one.to_zarr(path, consolidated=False) if ending == "zarr" else one.to_netcdf(path, engine="h5netcdf" if ending == "h5" else None)
    clips = read_sequences(path)
    same(clips, [values[:7], values[7:]])
    assert mentions(clips, "missing in 1 place(s), the first between 2024-06-01T12:30:00 and 2024-06-01T12:40:00")
    assert clips.scale.unit == "dBZ" and clips.scale.gaps and mentions(clips, "1 places")
    assert [t.tolist() for t in clips.times.values()] == [times[:7].tolist(), times[7:].tolist()]
    assert grid(clips).y.tolist() == (1000.0 * np.arange(24))[::-1].tolist() and grid(clips).x[0] == 500
    assert grid(clips).attributes["crs"]["grid_mapping_name"] == "transverse_mercator"
    assert grid(clips).attributes["x"]["units"] == "m"


def test_packed_numbers_are_unpacked_and_fill_values_are_places_without_data(tmp_path, values):
    values[0, 0, :4] = np.nan
    dataset(values, clock(12)).to_netcdf(tmp_path / "a.nc", encoding={
        "reflectivity": dict(dtype="uint8", scale_factor=0.5, add_offset=-32.0, _FillValue=255)})
    clips = read_sequences(tmp_path / "a.nc")
    same(clips, [values], atol=0.26)
    assert np.isnan(clips[0]).sum() == 4


def test_rows_that_go_from_south_to_north_are_turned_over(tmp_path, values):
    dataset(values, clock(12), north_up=False).to_netcdf(tmp_path / "a.nc")
    clips = read_sequences(tmp_path / "a.nc")
    same(clips, [values[:, ::-1]])
    assert grid(clips).y[0] == 23_000 and grid(clips).y[-1] == 0


def test_without_coordinates_frames_stay_as_they_are(tmp_path, values):
    times = clock(12)[::-1]  # and the last comes first
    dataset(values, times).drop_vars(["x", "y", "crs"]).to_netcdf(tmp_path / "a.nc")
    clips = read_sequences(tmp_path / "a.nc")
    same(clips, [values[::-1]])
    assert clips.grids == {} and next(iter(clips.times.values())).tolist() == times[::-1].tolist()


def test_other_orders_names_and_levels_of_dimensions(tmp_path, values):
    one = dataset(values, clock(12)).drop_vars("crs")
    one["reflectivity"] = one.reflectivity.expand_dims(height=[1000.0]).transpose("x", "height", "y", "time")
    one["count"] = ("time", np.arange(12))
    one["latitude"] = (("y", "x"), np.zeros((24, 20)))
    one.rename(time="date", y="northing", x="easting").to_netcdf(tmp_path / "a.nc")
    clips = read_sequences(tmp_path / "a.nc")
    same(clips, [values])
    assert mentions(clips, "left out count, latitude")


@pytest.mark.parametrize("first", ["lat", "lon"])
def test_latitudes_and_longitudes_of_a_curved_grid(tmp_path, values, first):
    y, x = np.mgrid[:24, :20]
    places = {"lat": (("y", "x"), 46 + y / 10 + x / 100, {"standard_name": "latitude"}),
              "lon": (("y", "x"), 8 + x / 10, {"standard_name": "longitude"})}
    one = dataset(values, clock(12)).drop_vars(["x", "y"]).assign_coords({first: places[first]} | places)
    one.to_netcdf(tmp_path / "a.nc")
    clips = read_sequences(tmp_path / "a.nc")
    same(clips, [values[:, ::-1]])  # north is up
    assert grid(clips).places["latitude"][0, 0] == 48.3 and grid(clips).places["longitude"][0, 19] == 9.9
    halved = grid(read_sequences(tmp_path / "a.nc", size=(12, 10)))
    np.testing.assert_allclose(halved.places["longitude"][0], 8.05 + np.arange(10) / 5, atol=0.03)


def test_a_file_for_each_time_is_one_film_in_the_order_of_time(tmp_path, values):
    times = clock(12, without=[4])
    for n, k in enumerate(np.random.default_rng(0).permutation(12)):
        one = dataset(values, times).isel(time=[k])
        if k % 2:  # the time only as a coordinate without a dimension
            one = one.squeeze("time")
        one.to_netcdf(tmp_path / f"{n}.nc")
    clips = read_sequences(tmp_path)
    same(clips, [values[:4], values[4:]])
    same(read_sequences(tmp_path, every=2), [values[:4:2], values[4::2]])


def test_the_time_may_be_in_the_name(tmp_path, values):
    for k, time in enumerate(clock(12)):
        dataset(values, clock(12)).isel(time=k, drop=True).to_netcdf(tmp_path / f"rain_{time.item():%Y%m%d%H%M}.nc")
    clips = read_sequences(tmp_path)
    same(clips, [values])
    assert next(iter(clips.times.values())).tolist() == clock(12).tolist()


def test_resizing_keeps_the_area_and_perhaps_the_aspect(tmp_path, values):
    dataset(values, clock(12)).to_netcdf(tmp_path / "a.nc")  # 24x20 pixels of 1 km
    clips = read_sequences(tmp_path / "a.nc", size=(12, 12))
    assert clips.size == (12, 12) and grid(clips).y[0] == 22_500 and np.allclose(np.diff(grid(clips).x), 20_000 / 12)
    clips = read_sequences(tmp_path / "a.nc", size=(12, 12), aspect="pad")
    assert np.isnan(clips[0][:, :, [0, 11]]).all() and not np.isnan(clips[0][:, :, 1:11]).any() and clips.scale.gaps
    np.testing.assert_allclose(clips[0][:, :, 1:11, 0], values.reshape(12, 12, 2, 10, 2).mean((2, 4)), atol=6)
    assert np.allclose(np.diff(grid(clips).x), 2000) and grid(clips).x[1] == 1000 and np.allclose(np.diff(grid(clips).y), -2000)
    clips = read_sequences(tmp_path / "a.nc", size=(10, 10), aspect="crop")
    assert not clips.scale.gaps and np.allclose(np.diff(grid(clips).y), -2000) and grid(clips).y[0] == 20_500


def test_bytes_are_padded_with_places_without_data(tmp_path):
    save_images(tmp_path / "clip", np.full((5, 8, 16), 100, np.uint8))
    clips = read_sequences(tmp_path / "clip", size=(8, 8), aspect="pad")
    assert clips[0].dtype == np.float32 and np.isnan(clips[0]).mean() == 0.5 and (clips[0][:, 2:6] == 100).all()


def test_odim(tmp_path):
    raw = np.random.default_rng(0).integers(1, 150, (6, 8, 9), dtype=np.uint8)
    raw[:, 0, 0], raw[:, 0, 1] = 255, 0
    for k, frame in enumerate(raw):
        odim(tmp_path / f"{9 - k}.h5", frame, START.item() + timedelta(minutes=5 * k))
    clips = read_sequences(tmp_path)
    expected = raw * 0.5 - 32
    expected[:, 0, 0], expected[:, 0, 1] = np.nan, -32
    same(clips, [expected])
    assert clips.scale.unit == "dBZ" and grid(clips).y[0] == 15_000 and grid(clips).x[0] == 1000
    assert grid(clips).attributes["crs"]["projdef"] == "+proj=stere +lat_0=90"
    assert next(iter(clips.times.values()))[0] == START
    rate = read_sequences(odim(tmp_path / "rate.hdf", raw[0], datetime(2024, 1, 1), quantity="RATE", gain=0.1, offset=0.0))
    assert rate.scale.unit == "mm/h" and rate[0][0, 0, 1] == 0
    assert "polar coordinates" in refused(odim(tmp_path / "scan.h5", raw[0], datetime(2024, 1, 1), object="PVOL"))


def test_parts_in_the_order_of_time(tmp_path, values):
    film = reflectivity(100)
    dataset(film, clock(100, without=[60, 61])).to_netcdf(tmp_path / "a.nc")
    clips = read_sequences(tmp_path / "a.nc")
    training, validation, test, words = split(clips, 8, dates={})
    assert [sum(map(len, part)) for part in (training, validation, test)] == [50, 10, 40]  # the test has its run to itself
    assert "in the order of time" in words and "test from 2024-06-01T17:10" in words
    latest = [max(t.max() for t in part.times.values()) for part in (training, validation)]
    assert latest[0] < min(t.min() for t in validation.times.values()) < latest[1] < min(t.min() for t in test.times.values())
    named = split(clips, 8, dates={"test": np.datetime64("2024-06-01T19:00")})
    assert sum(map(len, named[2])) == 18 and sum(map(len, named[1])) == 10
    with pytest.raises(DataError, match="got none for test"):
        split(clips, 8, dates={"test": np.datetime64("2025-06-01")})


# refusals

def refused(path, **options):
    with pytest.raises(DataError) as caught:
        read_sequences(path, **options)
    assert "\n" not in str(caught.value) and not str(caught.value).startswith(f"{path}: {path}")
    return str(caught.value)


def test_what_cannot_be_read_is_said(tmp_path, values):
    whole = dataset(values, clock(12))
    for name, changed, words in [
        ("timeless", whole.drop_vars("time"), "expected a time for each frame, got a variable reflectivity (time, y, x) without"),
        ("flat", whole.isel(time=0, drop=True), "expected a time for each frame"),
        ("twice", whole.assign_coords(time=np.repeat(whole.time.values[::2], 2)), "two frames have the same time, 2024-06-01T12:00:00"),
        ("two", whole.assign(other=whole.reflectivity), "which of reflectivity, other is to be read? Say it with array reflectivity"),
        ("none", whole.drop_vars("reflectivity"), "expected a variable (time, y, x) of numbers"),
        ("deep", whole.expand_dims(height=[1, 2]), "save one level"),
        ("infinite", whole.assign(reflectivity=whole.reflectivity.where(whole.reflectivity < 40, np.inf)), "expected finite numbers"),
        ("empty", whole.assign(reflectivity=whole.reflectivity * np.nan), "places without data and none with"),
    ]:
        changed.to_netcdf(tmp_path / f"{name}.nc")
        assert words in refused(tmp_path / f"{name}.nc"), name
    same(read_sequences(tmp_path / "two.nc", array="other"), [values])
    assert "expected a variable rain, got" in refused(tmp_path / "two.nc", array="rain")
    (tmp_path / "damaged.nc").write_bytes((tmp_path / "flat.nc").read_bytes()[:1000])
    assert "damaged.nc" in refused(tmp_path / "damaged.nc")
    (tmp_path / "nothing").mkdir()
    assert "holds no images" in refused(tmp_path / "nothing")


def test_files_that_do_not_go_together(tmp_path, values):
    for folder, other in ("size", dataset(reflectivity(12, 16), clock(12, start=START + 86_400))), (
            "unit", dataset(values, clock(12, start=START + 86_400), unit="mm/h")):
        (tmp_path / folder).mkdir()
        dataset(values, clock(12)).to_netcdf(tmp_path / folder / "a.nc")
        other.to_netcdf(tmp_path / folder / "b.nc")
    assert "expected frames of one size, got 16x20, 24x20" in refused(tmp_path / "size")
    assert "expected numbers in one unit, got dBZ, mm/h" in refused(tmp_path / "unit")


@pytest.mark.parametrize("ending, package", [("nc", "xarray"), ("h5", "h5netcdf"), ("zarr", "xarray")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, ending, package):
    path = tmp_path / f"a.{ending}"
    path.mkdir() if ending == "zarr" else path.write_bytes(b"CDF")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    assert f"package {package}, which is not installed: `{grids.INSTALL}`" in refused(path)
