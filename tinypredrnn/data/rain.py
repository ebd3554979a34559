"""Rain as radars see it: reflectivity in dBZ, rain rate in mm/h, rain in mm, and what leads from one to the other.

A radar measures the reflectivity factor Z in mm^6/m^3, the sixth power of the drops' diameters summed over a cubic
metre; its unit dBZ is 10 log10 Z. How much rain that is depends on the sizes of the drops. A Z-R relationship

    Z = a R^b,   R the rain rate in mm/h

was fitted to many showers; which one is used is a choice of each weather service, and is said with every result.
"""

from typing import NamedTuple

import numpy as np

from tinypredrnn.errors import ConfigError


class ZR(NamedTuple):
    """The relationship Z = a R^b."""

    a: float
    b: float


RELATIONSHIPS = {
    "marshall-palmer": ZR(200, 1.6),  # Marshall, Hitschfeld and Gunn 1955: steady rain
    "convective": ZR(300, 1.4),  # Fulton et al. 1998, the WSR-88D of the United States
    "tropical": ZR(250, 1.2),  # Rosenfeld et al. 1993
    "meteoswiss": ZR(316, 1.5),  # Joss et al. 1998, as MeteoSwiss uses it
    "hong-kong": ZR(58.53, 1.56),  # Shi et al. 2017, the HKO-7 benchmark
    "snow": ZR(1780, 2.21),  # Sekhon and Srivastava 1970, R the melted equivalent
}
UNITS = {  # our name -> how files call it, in lower case
    "dBZ": {"dbz", "10*log10(mm6/m3)", "dbze"},
    "mm/h": {"mm/h", "mm h-1", "mm/hr", "mm hr-1", "mm h^-1", "mm hour-1", "mm/hour", "kg m-2 h-1", "kg m**-2 h**-1"},
    "mm": {"mm", "kg m-2", "kg m**-2", "millimeter", "millimeters"},
    "m/s": {"m s-1", "m/s", "m s**-1"},
    "mm/s": {"mm s-1", "mm/s", "kg m-2 s-1", "kg m**-2 s**-1"},
}
UNITS_OF_RAIN = "dBZ, mm/h, or mm in each step"  # in messages
NO_ECHO = -32.0  # dBZ where nothing is seen: no rain has no logarithm


def find_relationship(name):
    """The ZR of that name, or of a text "A B". ConfigError if there is none."""
    if name in RELATIONSHIPS:
        return RELATIONSHIPS[name]
    try:
        a, b = map(float, name.split())
    except ValueError:
        a = b = 0
    if not (0 < a < np.inf and 0 < b < np.inf):
        raise ConfigError(f"a Z-R relationship is one of {', '.join(RELATIONSHIPS)}, or two numbers a and b of "
                          f"Z = a R^b, such as '200 1.6', got {name!r:.60}")
    return ZR(a, b)


def to_dbz(rate, relationship="marshall-palmer"):
    """Reflectivity in dBZ of rain rates in mm/h, at least NO_ECHO; NaN stays NaN."""
    a, b = find_relationship(relationship)
    with np.errstate(divide="ignore", invalid="ignore"):
        dbz = 10 * (np.log10(a) + b * np.log10(rate))
    return np.where(np.asarray(rate) <= 0, NO_ECHO, np.maximum(dbz, NO_ECHO))


def to_rate(dbz, relationship="marshall-palmer", least=0.0):
    """Rain rates in mm/h of reflectivities in dBZ; 0 up to `least` dBZ, where there is no echo; NaN stays NaN."""
    a, b = find_relationship(relationship)
    dbz = np.asarray(dbz)
    return np.where(dbz <= least, 0, np.power(10.0, (dbz / 10 - np.log10(a)) / b))


def find_unit(text):
    """Our name for a unit as a file writes it, or "" if it is none of rain."""
    text = " ".join(text.split()).lower()
    return next((unit for unit, others in UNITS.items() if text in others), "")


# How the HKO-7 benchmark weighs rain in its losses (Shi et al. 2017): by 1, 2, 5, 10 and 30 from 0.5, 2, 5, 10 and
# 30 mm/h on. These are options of a recipe.
HKO7 = {"heavy": tuple(np.round(to_dbz((0.5, 2, 5, 10, 30), "hong-kong"), 2).tolist()),
        "weights": (1.0, 2.0, 5.0, 10.0, 30.0)}
