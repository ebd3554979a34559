"""A forecast as a NetCDF file: names, times, units, coordinates; SciPy, xarray and pySTEPS read the same."""

import numpy as np
import pytest
from radar_files import clock
from scipy.io import netcdf_file

from tinypredrnn.data.forecast_file import FILL, lead_times, write_forecast
from tinypredrnn.data.rain import to_rate
from tinypredrnn.data.reading.clips import Grid

GRID = Grid(5000.0 - 1000 * np.arange(6), 500.0 + 1000 * np.arange(7), {
    "y": {"standard_name": "projection_y_coordinate", "units": "m"}, "x": {"standard_name": "projection_x_coordinate", "units": "m"},
    "crs": {"grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": 10.0,
            "latitude_of_projection_origin": 90.0, "standard_parallel": 60.0, "false_easting": 0.0, "false_northing": 0.0}})


@pytest.fixture
def values():
    found = np.random.default_rng(0).uniform(0, 50, (3, 6, 7)).astype(np.float32)
    found[:, 0, 0] = np.nan
    return found


def test_what_the_file_says(tmp_path, values):
    write_forecast(tmp_path / "a.nc", values, clock(4), "dBZ", GRID, "300 1.4", "a test")
    with netcdf_file(tmp_path / "a.nc", mmap=False) as file:
        assert file.Conventions == b"CF-1.8" and file.source == b"a test"
        assert {name: variable.shape for name, variable in file.variables.items()} == {
            "time": (3,), "lead_time": (3,), "forecast_reference_time": (), "y": (6,), "x": (7,), "polar_stereographic": (),
            "reflectivity": (3, 6, 7), "rainfall_rate": (3, 6, 7)}
        units = {name: variable.units.decode() for name, variable in file.variables.items() if hasattr(variable, "units")}
        since = "seconds since 2024-06-01 12:15:00"
        assert units == {"time": since, "forecast_reference_time": since, "lead_time": "minutes", "y": "m", "x": "m",
                         "reflectivity": "dBZ", "rainfall_rate": "mm h-1"}
        assert file.variables["time"][:].tolist() == [300, 600, 900] and file.variables["lead_time"][:].tolist() == [5, 10, 15]
        film = file.variables["reflectivity"]
        assert film.dimensions == (b"time", b"y", b"x") or film.dimensions == ("time", "y", "x")
        assert film.grid_mapping == b"polar_stereographic" and film._FillValue == FILL and (film[:, 0, 0] == FILL).all()
        np.testing.assert_array_equal(np.where(film[:] == FILL, np.nan, film[:]), values)
        assert file.variables["y"][:].tolist() == GRID.y.tolist()


def test_other_units_and_no_coordinates(tmp_path, values):
    write_forecast(tmp_path / "a.nc", values, clock(2), "K")
    with netcdf_file(tmp_path / "a.nc", mmap=False) as file:
        assert "rainfall_rate" not in file.variables and file.variables["prediction"].units == b"K"
        assert file.variables["x"][:].tolist() == [*range(7)] and file.variables["x"].units == b"1"


def test_latitudes_and_longitudes(tmp_path, values):
    y, x = np.mgrid[46:52.0, 8:15.0]
    write_forecast(tmp_path / "a.nc", values, clock(2), "dBZ", Grid(np.arange(6.0), np.arange(7.0), {}, {"latitude": y, "longitude": x}))
    with netcdf_file(tmp_path / "a.nc", mmap=False) as file:
        np.testing.assert_array_equal(file.variables["latitude"][:], y)
        assert file.variables["longitude"].units == b"degrees_east" and file.variables["y"].units == b"1"
        assert file.variables["reflectivity"].coordinates == b"lead_time forecast_reference_time latitude longitude"


def test_a_step_that_varies_by_a_second():
    times = clock(5) + np.array([0, 1, -1, 0, 0]).astype("m8[s]")
    assert lead_times(times, 2).tolist() == pytest.approx([5, 10], abs=0.02)


def test_xarray_reads_it(tmp_path, values):
    xarray = pytest.importorskip("xarray", reason="what reads NetCDF is not installed")
    write_forecast(tmp_path / "a.nc", values, clock(4), "dBZ", GRID, "marshall-palmer")
    with xarray.open_dataset(tmp_path / "a.nc") as file:
        assert file.time.values.astype("datetime64[s]").tolist() == [t.item() for t in clock(7)[4:]]
        assert file.forecast_reference_time.values.astype("datetime64[s]") == clock(4)[-1]
        np.testing.assert_array_equal(file.reflectivity.values, values)
        np.testing.assert_allclose(file.rainfall_rate.values, to_rate(values), rtol=1e-6)


def test_pysteps_reads_it(tmp_path, values):
    io = pytest.importorskip("pysteps.io", reason="pySTEPS is not installed")
    write_forecast(tmp_path / "a.nc", values, clock(4), "dBZ", GRID, "marshall-palmer")
    read, about = io.import_netcdf_pysteps(str(tmp_path / "a.nc"), onerror="raise")
    np.testing.assert_array_equal(read, values)
    assert about["leadtimes"].tolist() == [5, 10, 15] and about["unit"] == "dBZ" and "+proj=stere" in about["projection"]
    assert [about[edge] for edge in ("x1", "x2", "y1", "y2")] == [0, 7000, -500, 5500]
    assert str(about["timestamps"][0]) == "2024-06-01 12:20:00"
