"""Small files of radar frames for the tests, as services and users write them."""

import numpy as np
import pytest
from own_files import film

START = np.datetime64("2024-06-01T12:00:00", "s")


def clock(frames, minutes=5, without=(), start=START):
    """Times (frames,), one every few minutes; those of the frames `without` are left out."""
    steps = [t for t in range(frames + len(without)) if t not in without]
    return start + np.array(steps) * np.timedelta64(60 * minutes, "s")


def reflectivity(frames, height=24, width=20, seed=0):
    """Moving echoes in dBZ, float32 (frames,height,width), from -10 to 50."""
    return film(frames, height, width, seed=seed).astype(np.float32) / 255 * 60 - 10


def dataset(values, times, unit="dBZ", name="reflectivity", north_up=True, **attributes):
    """An xarray Dataset as the CF conventions want it."""
    xarray = pytest.importorskip("xarray", reason="what reads NetCDF is not installed")
    y, x = 1000.0 * np.arange(values.shape[1]), 1000.0 * np.arange(values.shape[2]) + 500
    y = y[::-1] if north_up else y
    film = xarray.DataArray(values, dims=("time", "y", "x"), attrs={"units": unit, "grid_mapping": "crs"} | attributes)
    return xarray.Dataset({name: film, "crs": xarray.DataArray(0, attrs={"grid_mapping_name": "transverse_mercator",
                                                                         "longitude_of_central_meridian": 9.0})},
                          coords={"time": times.astype("datetime64[ns]"),
                                  "y": ("y", y, {"standard_name": "projection_y_coordinate", "units": "m"}),
                                  "x": ("x", x, {"standard_name": "projection_x_coordinate", "units": "m"})})


def odim(path, raw, time, quantity="DBZH", gain=0.5, offset=-32.0, object="COMP"):
    """An HDF5 file of the OPERA Data Information Model, (H,W) uint8, with 255 as nodata and 0 as undetect."""
    h5py = pytest.importorskip("h5py", reason="what writes HDF5 is not installed")
    pytest.importorskip("h5netcdf", reason="what reads HDF5 is not installed")
    pytest.importorskip("xarray", reason="what reads HDF5 is not installed")
    date, clock = f"{time:%Y%m%d}", f"{time:%H%M%S}"
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_3")
        for group, found in {
            "what": {"object": object, "date": date, "time": clock, "version": "H5rad 2.3"},
            "where": {"projdef": "+proj=stere +lat_0=90", "xscale": 2000.0, "yscale": 2000.0, "xsize": raw.shape[1],
                      "ysize": raw.shape[0], "LL_lon": 5.0, "LL_lat": 45.0} if object == "COMP" else {"lon": 5.0},
            "dataset1/what": {"product": "COMP", "quantity": quantity, "startdate": date, "starttime": clock,
                              "enddate": date, "endtime": clock},
            "dataset1/data1/what": {"gain": gain, "offset": offset, "nodata": 255.0, "undetect": 0.0},
        }.items():
            for name, value in found.items():
                file.require_group(group).attrs[name] = np.bytes_(value) if isinstance(value, str) else value
        file["dataset1/data1"].create_dataset("data", data=raw)
    return path
