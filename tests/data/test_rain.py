"""Reflectivity, rain rate, and the relationships between them."""

import numpy as np
import pytest

from tinypredrnn.data.rain import NO_ECHO, RELATIONSHIPS, find_relationship, find_unit, to_dbz, to_rate
from tinypredrnn.errors import ConfigError


@pytest.mark.parametrize("name", [*RELATIONSHIPS, "256 1.42"])
def test_a_rate_leads_to_dbz_and_back(name):
    rate = np.array([0.05, 1, 7.5, 120])
    dbz = to_dbz(rate, name)
    a, b = find_relationship(name)
    np.testing.assert_allclose(10 ** (dbz / 10), a * rate**b)
    np.testing.assert_allclose(to_rate(dbz, name, least=-100), rate)


def test_known_values():
    """Marshall and Palmer: 1 mm/h is 23.0 dBZ, 10 mm/h 39.0 dBZ."""
    np.testing.assert_allclose(to_dbz(np.array([1, 10])), [23.0103, 39.0103], atol=1e-4)
    np.testing.assert_allclose(to_rate(np.array([40])), [11.53], atol=0.01)


def test_no_rain_has_no_logarithm_and_no_data_stays_so():
    rate = np.array([0, 1e-30, np.nan])
    np.testing.assert_array_equal(to_dbz(rate), [NO_ECHO, NO_ECHO, np.nan])
    np.testing.assert_array_equal(to_rate(np.array([NO_ECHO, 0, np.nan])), [0, 0, np.nan])


@pytest.mark.parametrize("text", ["rain", "200", "200 0", "-1 1.6", "nan 1", "1 2 3", ""])
def test_a_relationship_that_is_none(text):
    with pytest.raises(ConfigError, match="one of marshall-palmer, .* or two numbers a and b"):
        find_relationship(text)


@pytest.mark.parametrize("text, unit", [("dBZ", "dBZ"), ("DBZ", "dBZ"), ("mm h-1", "mm/h"), ("mm hr^-1", ""), ("kg m-2", "mm"),
                                        ("kg  m-2 s-1", "mm/s"), ("K", ""), ("", "")])
def test_units_as_files_write_them(text, unit):
    assert find_unit(text) == unit
