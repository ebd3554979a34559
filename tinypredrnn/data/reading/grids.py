"""Films on grids of the earth: NetCDF, Zarr, and HDF5 as European weather radars write it (ODIM), read by xarray.

One file may hold all times, as one variable (time, y, x), or each file one time, as services deliver them: all files
of a folder are one film, put in the order of time, and cut where frames are missing. Every frame must have a time,
from a coordinate `time` or the file's name. Numbers are decoded (scale_factor, add_offset, ODIM's gain and offset) and
become float32 in the file's own units; what has no data (_FillValue, missing_value, ODIM's nodata) becomes NaN. ODIM's
`undetect`, measured without an echo, is a number: the lowest that the file can store, or 0 mm.

Rows go from north to south, as in a picture: frames whose y coordinate increases downwards are turned over, together
with it.
"""

import importlib
import warnings

import numpy as np

from tinypredrnn.data.reading.clips import Grid, Piece
from tinypredrnn.data.reading.frames import check_frame, reading
from tinypredrnn.data.reading.room import PIECE, release_pages
from tinypredrnn.data.reading.times import TIMES, cut_in_pieces, gaps, times_of
from tinypredrnn.data.reading.words import in_short
from tinypredrnn.data.scale import Scale
from tinypredrnn.errors import DataError
from tinypredrnn.options import called

HDF5, ZARR = {".h5", ".hdf5", ".hdf", ".he5"}, {".zarr"}
GRIDS = {".nc", ".nc4", ".cdf"} | HDF5 | ZARR
INSTALL = "pip install xarray netcdf4 h5netcdf h5py zarr"
TIME, Y, X = {"time", "t", *TIMES}, {"y", "lat", "latitude", "northing", "rows"}, {"x", "lon", "longitude", "easting"}
ODIM_UNITS = {"RATE": "mm/h", "ACRR": "mm"}  # other quantities of rain, DBZH and so on, are in dBZ


def read_grids(files, variable, messages, room):
    """The Pieces of one film that is stored in some files. `variable` is the name of the one to read; "": the only
    one that is a film."""
    found = []
    for file in files:
        with reading(file):
            found += read_odim(file) if is_odim(file) else read_variable(file, variable, messages, room)
    names, units, grids = ([part[k] for part in found] for k in (0, 3, 4))
    sizes = {part[1].shape[1:] for part in found}
    if len(sizes) > 1:
        raise DataError(f"expected frames of one size, got "
                        f"{in_short('x'.join(map(str, size)) for size in sorted(sizes))} in {files[0].parent}: keep "
                        "files of one grid together")
    if len({*units}) > 1:
        raise DataError(f"expected numbers in one unit, got {in_short(sorted({*units}))} in {files[0].parent}")
    times = np.concatenate([part[2] for part in found])
    order = np.argsort(times, kind="stable")
    frames, times = in_order([part[1] for part in found], order, room), times[order]
    if len(twice := times[1:][np.diff(times) == np.timedelta64(0)]):
        raise DataError(f"{files[0].parent if len(files) > 1 else files[0]}: two frames have the same time, "
                        f"{twice[0]}: take one of them out, or read each variable or radar by itself")
    starts, regular = gaps(times.astype(np.int64))
    name = names[0] if len(files) == 1 else files[0].parent.name
    if starts:
        messages.append(f"{name}: frames are missing in {len(starts)} place(s), the first between "
                        f"{times[starts[0] - 1]} and {times[starts[0]]}; no sequence crosses a gap")
    elif not regular:
        messages.append(f"{name}: the times are not evenly spaced; the frames are taken as if they were")
    meaning = Scale(stored=(0.0, 1.0), units=(0.0, 1.0), unit=units[0]) if units[0] else None
    grid = grids[-1] if all(grid == grids[-1] for grid in grids) else None
    return cut_in_pieces(Piece(name, frames[..., None], times=times, meaning=meaning, grid=grid), starts)


def in_order(parts, order, room):
    """Frames (T,H,W) of several files as one film, of which frame t is number order[t] of them all."""
    if len(parts) == 1 and (np.diff(order) == 1).all():
        return parts[0]
    film, where = room((len(order), *parts[0].shape[1:]), parts[0].dtype), np.argsort(order)
    for part, last in zip(parts, np.cumsum([len(part) for part in parts])):
        for t, frame in zip(where[last - len(part):last], part):
            film[t] = frame
            release_pages(part, film)
    return film


def xarray_for(path):
    """xarray, if it is installed with what reads this file; else DataError that says how to install both."""
    needed = {"xarray", "h5netcdf", "h5py"} if path.suffix.lower() in HDF5 else {"xarray"}
    needed |= {"zarr"} if path.suffix.lower() in ZARR else set()
    for name in sorted(needed):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise DataError(f"{path.name} is read with the package {name}, which is not installed: `{INSTALL}`, or "
                            "save its numbers as a .npy") from error
    return importlib.import_module("xarray")


def open_dataset(path, **options):
    """xarray's Dataset of a file, not loaded yet."""
    xarray = xarray_for(path)
    if path.suffix.lower() in ZARR:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that metadata are not consolidated, which is only slower
            return xarray.open_dataset(path, engine="zarr", **options)
    if path.suffix.lower() in HDF5:
        return xarray.open_dataset(path, engine="h5netcdf", phony_dims="sort", **options)
    try:
        return xarray.open_dataset(path, **options)
    except ValueError as error:
        if "installed" in str(error):  # xarray's words if it has no engine for a file
            raise DataError(f"no package that reads {path.name} is installed: `{INSTALL}`") from error
        raise


# NetCDF, Zarr

def read_variable(path, variable, messages, room):
    """[(name, frames (T,H,W), times (T,), unit, Grid)] of one file."""
    with open_dataset(path) as dataset:
        array = dataset[choose(dataset, variable, path.name, messages)]
        name = f"{path.stem}/{array.name}"
        array = array.squeeze([dim for dim in array.dims if array.sizes[dim] == 1 and kind_of(array, dim) == ""],
                              drop=True)
        dims = {kind_of(array, dim): dim for dim in array.dims}
        others = [dim for dim in array.dims if kind_of(array, dim) == ""]
        if not {"y", "x"} & dims.keys() and len(others) == 2:  # dimensions of any other names: rows, then columns
            dims |= dict(zip("yx", others))
        if not {"y", "x"} <= dims.keys() or array.ndim > 3 or array.ndim == 3 and "time" not in dims:
            raise DataError(f"expected {array.name} (time, y, x), got ({', '.join(map(str, array.dims))}) of "
                            f"{'x'.join(map(str, array.shape))}: save one level of one variable")
        times = find_times(array, dims, path)
        array = array.transpose(*(dims[axis] for axis in ("time", "y", "x") if axis in dims))
        check_frame(*array.shape[-2:])
        frames = read_frames(array, room)
        grid, turned = find_grid(dataset, array, dims)
        return [(name, frames[:, ::-1] if turned else frames, times, str(array.attrs.get("units", "")), grid)]


def read_frames(array, room):
    """The frames (T,H,W) of a variable (time, y, x) or (y, x), as float32: some of its chunks at a time, each once."""
    if array.ndim == 2:
        array = array.expand_dims("time")
    frames, dim = room(array.shape, np.float32), array.dims[0]
    chunk = array.encoding.get("preferred_chunks", {}).get(dim, 1)
    step = chunk * max(1, PIECE // (chunk * 4 * array[0].size))
    for t in range(0, len(frames), step):
        frames[t:t + step] = array.isel({dim: slice(t, t + step)}).values
        release_pages(frames)
    return frames


def choose(dataset, variable, file, messages):
    """The name of the variable to read."""
    if variable:
        if variable not in dataset.data_vars:
            raise DataError(f"expected a variable {variable}, got {in_short(dataset.data_vars, 20)}: name one of these "
                            f"with {called('array')}")
        return variable
    films = [name for name, array in dataset.data_vars.items()
             if array.dtype.kind in "biuf" and sum(size > 1 for size in array.shape) >= 2
             and not {str(name).lower(), array.attrs.get("standard_name")} & (Y | X)]
    moving = [name for name in films if "time" in {kind_of(dataset[name], dim) for dim in dataset[name].dims}]
    films = moving or films  # beside films, maps without a time are heights of the ground and the like
    if not films:
        raise DataError(f"expected a variable (time, y, x) of numbers, got {in_short(dataset.data_vars, 20) or 'none'}")
    if len(films) > 1:
        raise DataError(f"which of {in_short(films, 20)} is to be read? Say it with {called('array')} {films[0]}")
    if left := [name for name in dataset.data_vars if name not in films]:
        messages.append(f"{file}: read {films[0]}, left out {in_short(left, 9)}")
    return films[0]


def kind_of(array, dim):
    """"time", "y" or "x", from a dimension's name, its coordinate's dtype or attributes; else "" """
    dim = str(dim)
    about = array[dim].attrs if dim in array.coords else {}
    if dim.lower() in TIME or dim in array.coords and array[dim].dtype.kind == "M":
        return "time"
    for axis, names in ("y", Y), ("x", X):
        if (dim.lower() in names or str(about.get("axis", "")).lower() == axis
                or about.get("standard_name") in names | {f"projection_{axis}_coordinate"}):
            return axis
    return ""


def find_times(array, dims, path):
    """The times of all frames of a variable, datetime64[s] (T,). DataError if there are none."""
    held = [array.coords[name] for name in array.coords
            if array.coords[name].dtype.kind == "M" and (array.coords[name].dims in ((dims.get("time"),), ()))]
    held.sort(key=lambda coordinate: coordinate.ndim, reverse=True)
    if held and (held[0].ndim == 1 or "time" not in dims):
        times = np.atleast_1d(held[0].values).astype("datetime64[s]")
        if np.isnat(times).any():
            raise DataError("expected a time for each frame, got some without: give all of them one")
        return times
    written = times_of([path.stem]) if "time" not in dims or array.sizes[dims["time"]] == 1 else None
    if written is None:
        raise DataError(f"expected a time for each frame, got a variable {array.name} "
                        f"({', '.join(map(str, array.dims))}) without a coordinate of times: add one, such as "
                        "dataset.assign_coords(time=...) in xarray")
    return written


def find_grid(dataset, array, dims):
    """(Grid, whether the rows have to be turned over) of a variable; the Grid is None without coordinates."""
    # xarray makes up the coordinates of a dimension that has none: numbers from 0
    coordinates = [array.coords[dims[axis]] if dims[axis] in array.coords else None for axis in "yx"]
    places = {variable.attrs["standard_name"]: np.asarray(variable.values, np.float64)
              for variable in dataset.variables.values() if variable.dims == (dims["y"], dims["x"])
              and variable.attrs.get("standard_name") in ("latitude", "longitude")}
    if any(c is None or c.dtype.kind not in "iuf" or c.ndim != 1 for c in coordinates):
        if not places:
            return None, False
        y, x, attributes = *(np.arange(float(array.sizes[dims[axis]])) for axis in "yx"), {}
    else:
        y, x = (np.asarray(coordinate.values, np.float64) for coordinate in coordinates)
        attributes = {axis: plain(coordinate.attrs) for axis, coordinate in zip("yx", coordinates)}
    mapping = array.attrs.get("grid_mapping") or array.encoding.get("grid_mapping")
    if mapping in dataset.variables:
        attributes["crs"] = plain(dataset[mapping].attrs)
    # what should fall from row to row, since north is up; with longitudes only, rows stay as they are
    downwards = y if attributes.get("y") is not None else places["latitude"][:, 0] if "latitude" in places else -y
    turned = len(y) > 1 and downwards[0] < downwards[-1]
    if turned:
        y, places = y[::-1], {name: array[::-1] for name, array in places.items()}
    return Grid(y, x, attributes, places), turned


def plain(attributes):
    """Attributes that are texts, numbers or arrays of numbers, as JSON could keep them."""
    found = {name: value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
             for name, value in attributes.items()}
    return {name: value for name, value in found.items()
            if value != "" and isinstance(value, (str, int, float)) or isinstance(value, list) and value
            and all(type(number) in (int, float) for number in value)}


# ODIM

def is_odim(path):
    if path.suffix.lower() not in HDF5:
        return False
    with open_dataset(path, decode_cf=False) as root:
        return str(root.attrs.get("Conventions", "")).startswith("ODIM")


def read_odim(path):
    """[(name, frames (1,H,W), time (1,), unit, Grid)] of a file in the OPERA Data Information Model for HDF5.

    A composite or an image is read, of its first dataset the first quantity; no scan in polar coordinates.
    """
    def attributes(group):
        try:
            with open_dataset(path, group=group, decode_cf=False) as found:
                return found.attrs
        except (OSError, KeyError, ValueError):  # no such group
            return {}

    what = attributes("what") | attributes("dataset1/what") | attributes("dataset1/data1/what")
    where = attributes("where") | attributes("dataset1/where")
    if "xscale" not in where:
        raise DataError("expected a composite or an image, got an ODIM file of "
                        f"{what.get('object', 'another kind')} in polar coordinates: put it on a grid first, for "
                        "example with wradlib")
    with open_dataset(path, group="dataset1/data1", decode_cf=False) as found:
        raw = found["data"].values
    check_frame(*raw.shape)
    quantity = str(what.get("quantity", ""))
    gain, offset = float(what.get("gain", 1)), float(what.get("offset", 0))
    values = raw.astype(np.float64) * gain + offset
    dry = 0.0 if quantity in ODIM_UNITS else min(offset, 0.0)
    values[raw == float(what.get("undetect", np.nan))] = dry
    values[raw == float(what.get("nodata", np.nan))] = np.nan
    date, clock = (str(what.get(f"end{part}", what.get(part, ""))) for part in ("date", "time"))
    times = times_of([date + clock])
    if times is None:
        raise DataError("expected a date and a time in its group what, got none")
    rows, columns = raw.shape
    y, x = ((np.arange(n) + 0.5) * float(where[f"{axis}scale"]) for n, axis in ((rows, "y"), (columns, "x")))
    about = {axis: {"standard_name": f"projection_{axis}_coordinate", "units": "m",
                    "long_name": f"{axis} from the lower left corner"} for axis in "yx"}
    grid = Grid(y[::-1], x, about | {"crs": plain(where)})
    unit = ODIM_UNITS.get(quantity, "dBZ" if "DBZ" in quantity or quantity in ("TH", "TV") else quantity)
    return [(path.stem, values[None].astype(np.float32), times, unit, grid)]
