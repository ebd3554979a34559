"""Worlds to predict, by name. Another one is entered from outside by `tp.data.SOURCES["mine"] = Mine`, a subclass of Source."""

from tinypredrnn.data.moving_digits import MovingDigits
from tinypredrnn.data.own import OwnSequences
from tinypredrnn.data.scale import Scale
from tinypredrnn.data.source import Source, SourceOptions, stream
from tinypredrnn.errors import ConfigError

SOURCES = {"mnist": MovingDigits, "sequences": OwnSequences}


def find_source(name):
    """The class of that name; ConfigError lists the names."""
    if name not in SOURCES:
        raise ConfigError(f"data {name!r} is unknown: expected one of {', '.join(SOURCES)}")
    return SOURCES[name]


__all__ = ["SOURCES", "Scale", "Source", "SourceOptions", "find_source", "stream"]
