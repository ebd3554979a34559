"""Worlds to predict, by name. To add one, write `tp.data.SOURCES["mine"] = Mine`, where Mine is a Source subclass."""

from tinypredrnn.data.kth import KTH
from tinypredrnn.data.moving_digits import MovingDigits
from tinypredrnn.data.own import OwnSequences
from tinypredrnn.data.radar import Radar
from tinypredrnn.data.scale import Scale
from tinypredrnn.data.source import Source, SourceOptions, stream
from tinypredrnn.errors import ConfigError

SOURCES = {"mnist": MovingDigits, "sequences": OwnSequences, "radar": Radar, "kth": KTH}


def find_source(name):
    """The Source class of that name. ConfigError if there is none."""
    if name not in SOURCES:
        raise ConfigError(f"data {name!r} is unknown: expected one of {', '.join(SOURCES)}")
    return SOURCES[name]


__all__ = ["SOURCES", "Scale", "Source", "SourceOptions", "find_source", "stream"]
