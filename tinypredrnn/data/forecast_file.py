"""Write a forecast as others read it: a NetCDF file after the conventions CF-1.8.

    time (T)            valid times, in seconds since forecast_reference_time, that of the last frame that was watched
    lead_time (T)       minutes from there
    y, x                coordinates of the pixels as they came in, with the projection in a variable that is named
                        after its kind, such as `polar_stereographic`; else their numbers
    latitude, longitude (y, x), if they came in
    reflectivity        (time, y, x), or `prediction` if the unit is not dBZ; _FillValue in places without data
    rainfall_rate       mm/h by a Z-R relationship, beside reflectivity
    probability_30      (time, y, x) the probability that 30 or more of the unit come, for each threshold

The file has NetCDF's classic format, which SciPy writes, so that no further package is needed. The names are those
that pySTEPS expects (`pysteps.io.import_netcdf_pysteps`).
"""

import re

import numpy as np

from tinypredrnn.data.rain import find_relationship, to_rate
from tinypredrnn.files import replacing

FILL = np.float32(-9999)
RATE = {"standard_name": "rainfall_rate", "long_name": "rain rate", "units": "mm h-1"}
NUMBERS = {"y": "number of the row", "x": "number of the column"}
DEGREES = {"latitude": "degrees_north", "longitude": "degrees_east"}
NAMES = {"dBZ": ("reflectivity", {"standard_name": "equivalent_reflectivity_factor",
                                  "long_name": "radar reflectivity"})}


def lead_times(times, frames):
    """Minutes from the last of `times`, of which there are at least two, to each of the next `frames` frames."""
    step = np.median(np.diff(times).astype(np.int64)) / 60
    return step * np.arange(1, frames + 1)


def write_forecast(path, values, times, unit, grid=None, zr="", about="", probabilities=None):
    """Write a forecast.

    values   (T,H,W) in physical units, NaN in places without data
    times    those of the frames that were watched, datetime64[s], at least two
    grid     the Grid of the frames, or None
    zr       the relationship by which reflectivity is also given as a rain rate, or ""
    about    a sentence on how the forecast was made

    probabilities   {threshold: (T,H,W)}, that the truth reaches it
    """
    from scipy.io import netcdf_file

    frames, height, width = values.shape
    lead = lead_times(times, frames)
    since = {"units": f"seconds since {str(times[-1].astype('datetime64[s]')).replace('T', ' ')}",
             "calendar": "standard"}
    with replacing(path) as temporary, netcdf_file(temporary, "w", mmap=False, version=2) as file:
        file.Conventions, file.title, file.source = "CF-1.8", "Forecast by tinypredrnn", about

        def variable(name, dimensions, values, attributes, kind="f8"):
            made = file.createVariable(name, kind, dimensions)
            made[...] = values
            for attribute, value in attributes.items():
                if re.fullmatch(r"_FillValue|[A-Za-z]\w*", attribute, re.ASCII):
                    setattr(made, attribute, value)

        for name, length in ("time", frames), ("y", height), ("x", width):
            file.createDimension(name, length)
        variable("time", ("time",), 60 * lead, {"standard_name": "time", "axis": "T", **since})
        variable("lead_time", ("time",), lead, {"standard_name": "forecast_period", "units": "minutes"})
        variable("forecast_reference_time", (), 0, {"standard_name": "forecast_reference_time", **since})
        for axis, centres in ("y", grid and grid.y), ("x", grid and grid.x):
            numbers = np.arange({"y": height, "x": width}[axis]) if centres is None else centres
            said = grid and grid.attributes.get(axis) or {"units": "1", "long_name": NUMBERS[axis]}
            variable(axis, (axis,), numbers, {"axis": axis.upper()} | said)
        coordinates, projection = ["lead_time", "forecast_reference_time"], {}
        for name, places in (grid.places if grid else {}).items():
            variable(name, ("y", "x"), places, {"standard_name": name, "units": DEGREES[name]})
            coordinates.append(name)
        if crs := grid and grid.attributes.get("crs"):
            name = crs.get("grid_mapping_name", "crs")
            variable(name, (), 0, crs, "i4")
            projection = {"grid_mapping": name} if "grid_mapping_name" in crs else {}
        name, attributes = NAMES.get(unit, ("prediction", {"long_name": "prediction"}))
        films = {name: (values, attributes | {"units": unit or "1"})}
        if zr and unit == "dBZ":
            a, b = find_relationship(zr)
            films["rainfall_rate"] = to_rate(values, zr), RATE | {"comment": f"by Z = {a:g} R^{b:g}"}
        for threshold, film in (probabilities or {}).items():
            films[f"probability_{threshold:g}".replace(".", "_").replace("-", "minus_")] = film, {
                "long_name": f"probability of {threshold:g} {unit} or more".replace("  ", " "), "units": "1",
                "threshold": float(threshold)}
        for name, (film, attributes) in films.items():
            variable(name, ("time", "y", "x"), np.where(np.isnan(film), FILL, film), attributes | projection
                     | {"_FillValue": FILL, "coordinates": " ".join(coordinates)}, "f4")
