"""Options: records of named values that check themselves. A model, a world and a recipe each have one.

    @dataclasses.dataclass(frozen=True)
    class Options(tp.options.Options):
        hidden: tuple = option((64, 64), "width of each layer, from the bottom up", least=1)
        rate: float = option(1e-3, "learning rate", above=0)

Each option is a flag on the command line (--hidden 64 64) and an entry in a checkpoint. An error message calls it as
the user does: by its flag within a command, by its name in Python.
"""

import argparse
import contextvars
import dataclasses
import functools
import math
import re

import numpy as np

from tinypredrnn.errors import ConfigError

# limits for whole and for other numbers, except seeds: a larger one is a typing error
LARGEST_WHOLE, LARGEST = 10**12, 1e30

flags = contextvars.ContextVar("flags", default=None)  # {option: flag} of the command that is carried out


def called(name):
    """An option's name in an error message: its flag within a command, in Python the name itself."""
    return (flags.get() or {}).get(name, name)


def option(default, help, choices=None, least=None, above=None, count=None, of=float, may_change=False, flag=None):
    """A field of an `Options` record.

    default      its type is the option's type: bool, int, float, str, or a tuple of ints or floats
    choices      the allowed values; a dict may grow later, and is looked up each time a value is checked
    least        the smallest number allowed, also inside a tuple
    above        numbers must be larger than this
    count        how many numbers a tuple has; () is also allowed if it is the default
    of           the type of a tuple's numbers, if the default is ()
    may_change   whether a resumed run may change it, because it only says where the data are or how a run is watched
    flag         its name on the command line, if that is not --name
    """
    if type(default) is tuple:
        of = type((*default, of())[0])
    metadata = dict(help=help, choices=choices, least=least, above=above, count=count, of=of, may_change=may_change,
                    flag=flag)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Options:
    """The base class of these records, which are frozen dataclasses; by itself, a record without options. Raises
    ConfigError if a value is impossible.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check_value(field, getattr(self, field.name))

    @classmethod
    def names(cls):
        """The options' names, in order."""
        return [field.name for field in dataclasses.fields(cls)]

    def replace(self, **changes):
        """The record with some options changed. ConfigError if a name is unknown or a value impossible."""
        unknown = changes.keys() - set(self.names())
        if unknown:
            raise ConfigError(f"unknown option {', '.join(sorted(unknown))}: expected some of "
                              f"{', '.join(self.names())}")
        return dataclasses.replace(self, **{name: plain(value) for name, value in changes.items()})

    def as_dict(self):
        """Plain values, for JSON."""
        return {name: getattr(self, name) for name in self.names()}


def plain(value):
    """A value as an option stores it: lists become tuples, and NumPy numbers become Python numbers."""
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def from_text(field, text):
    """The value that a text such as "8", "64,64" or "true" means for an option. ConfigError if it means none."""
    kind = type(field.default)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text]
        return tuple(map(field.metadata["of"], text.split(","))) if kind is tuple else kind(text)
    except (KeyError, ValueError) as error:
        like = ",".join(map(str, field.default)) if kind is tuple else str(field.default).lower()
        raise ConfigError(f"{field.name} is given like {like}, got {text!r:.60}") from error


def check_value(field, value):
    """ConfigError if an option cannot have this value."""
    name, asked = called(field.name), field.metadata
    if not same_kind(value, type(field.default), asked["of"]):
        raise ConfigError(f"{name} is given like {field.default!r}, got {value!r:.60}")
    if asked["choices"] is not None and value not in asked["choices"]:
        raise ConfigError(f"{name} is one of {', '.join(map(str, asked['choices']))}, got {value!r}")
    numbers = value if type(value) is tuple else (value,)
    if asked["count"] is not None and len(numbers) != asked["count"] and value != field.default:
        raise ConfigError(f"{name} has {asked['count']} numbers, got {value!r:.60}")
    for number in numbers:
        if type(number) not in (int, float):
            continue
        if field.name != "seed" and abs(number) > (LARGEST_WHOLE if type(number) is int else LARGEST):
            raise ConfigError(f"{name} is too large: {value!r:.60}; the limits are {LARGEST_WHOLE:,} and {LARGEST:g}")
        if asked["least"] is not None and number < asked["least"]:
            raise ConfigError(f"{name} is at least {asked['least']}, got {value!r:.60}")
        if asked["above"] is not None and not number > asked["above"]:
            raise ConfigError(f"{name} is above {asked['above']}, got {value!r:.60}")


def same_kind(value, kind, of):
    """Whether a value has a type: float takes any finite number, tuple needs entries of type `of`, others are exact."""
    if kind is tuple:
        return type(value) is tuple and all(same_kind(n, of, None) for n in value)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind


def command_line(main):
    """A decorator for a function that carries out a command line: until it returns, error messages call options by the
    flags of the parser that it uses."""
    @functools.wraps(main)
    def carry_out(*words):
        return contextvars.copy_context().run(main, *words)

    return carry_out


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose flags are not abbreviated, for which -1e30 is a number."""

    def __init__(self, about, **options):
        super().__init__(description=about, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
                         **options)
        self._negative_number_matcher = re.compile(r"-\d+$|-\d*\.?\d+([eE][-+]?\d+)?$|-\d+\.([eE][-+]?\d+)?$")

    def parse_args(self, *words):
        arguments = super().parse_args(*words)
        flags.set({action.dest: action.option_strings[0] for action in self._actions if action.option_strings})
        return arguments


def flag_of(field):
    """The flag of an option."""
    return field.metadata["flag"] or "--" + field.name.replace("_", "-")


def help_of(record, field):
    """What an option means, and the value that it has in a record."""
    value = getattr(record, field.name)
    shown = " ".join(map(str, value)) if type(value) is tuple else value
    return field.metadata["help"] + ("" if shown in ("", None) else f" (default: {shown})")


def add_arguments(parser, record, without=()):
    """Add a flag for every option of a record. The record's values are shown as defaults; a flag left out is None."""
    for field in dataclasses.fields(record):
        if field.name in without:
            continue
        asked, kind, flag = field.metadata, type(field.default), flag_of(field)
        details = dict(dest=field.name, default=None, help=help_of(record, field).replace("%", "%%"))
        if kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **details)
        elif kind is tuple:
            parser.add_argument(flag, type=asked["of"], nargs=asked["count"] or "+",
                                metavar={int: "N", float: "X"}[asked["of"]], **details)
        elif asked["choices"] is not None:
            parser.add_argument(flag, type=kind, choices=list(asked["choices"]), **details)
        else:
            parser.add_argument(flag, type=kind, metavar={int: "N", float: "X", str: "TEXT"}[kind], **details)


def given_options(arguments, names):
    """Those options of `names` that were given on the command line, as {name: value}."""
    return {name: plain(value) for name in names if (value := getattr(arguments, name, None)) is not None}
