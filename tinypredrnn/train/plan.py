"""Plan: everything that determines a run, in three records: the model's options, the world's options, and the recipe.

A checkpoint contains the plan, so that no flag has to be repeated.
"""

import dataclasses

from tinypredrnn.data import SOURCES, find_source
from tinypredrnn.data.scale import Scale, read_scale
from tinypredrnn.data.source import Source, SourceOptions, check_source
from tinypredrnn.errors import ConfigError
from tinypredrnn.models import MODELS, find_model, whole_numbers
from tinypredrnn.options import Options, called
from tinypredrnn.train.recipe import Recipe

# names that an option cannot have: entries of a plan's records, and other flags of the commands
RESERVED = {"name", "frame", "scale", "model", "preset", "device", "graph", "out", "resume", "overwrite", "run",
            "protocol", "beside", "help"}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run trains, on which data, and how.

    model, source   names in models.MODELS and data.SOURCES
    options, data   the records of their options
    recipe          a Recipe
    frame, scale    (height, width, channels) of the frames and their Scale; None until the source has been opened
    """

    model: str
    source: str
    options: Options
    data: SourceOptions
    recipe: Recipe
    frame: tuple | None = None
    scale: Scale | None = None

    def records(self):
        return {"options": self.options, "data": self.data, "recipe": self.recipe}

    def owner(self, name):
        """The field whose record has an option of this name. ConfigError if there is none."""
        for field, record in self.records().items():
            if name in record.names():
                return field
        raise ConfigError(f"unknown option {name}: a run of {self.model} on {self.source} has "
                          f"{', '.join(self.names())}")

    def names(self):
        """The names of all options."""
        return [name for record in self.records().values() for name in record.names()]

    def get(self, name):
        """The value of an option of any of the three records."""
        return getattr(getattr(self, self.owner(name)), name)

    def replace(self, **changes):
        """A plan with some options changed, of any record. ConfigError if a name is unknown or a value impossible."""
        by_record = {}
        for name, value in changes.items():
            by_record.setdefault(self.owner(name), {})[name] = value
        changed = {field: getattr(self, field).replace(**own) for field, own in by_record.items()}
        return dataclasses.replace(self, **changed)

    def on(self, source):
        """The plan for an opened Source: with its frame, its scale, and its options as completed from the data.

        ConfigError if something is wrong with the Source, or if its frames never reach the recipe's thresholds.
        """
        check_source(source)
        (first, last), heavy = source.scale.units, self.recipe.heavy
        if heavy and not any(first < threshold <= last for threshold in heavy):
            raise ConfigError(f"{called('heavy')} is in the unit of the data, which go from {first:g} to {last:g} "
                              f"{source.scale.unit or '(they have no unit)'}, got {heavy!r:.60}: none of these lies "
                              "within")
        return dataclasses.replace(self, data=source.options, frame=tuple(source.frame), scale=source.scale)

    def network(self):
        """The arguments of models.construct."""
        return self.model, self.frame, self.options, self.recipe.seed

    def may_change(self, name):
        """Whether a resumed run may change an option, because it only says where data are or how the run is watched."""
        record = getattr(self, self.owner(name))
        return next(field for field in dataclasses.fields(record) if field.name == name).metadata["may_change"]

    def as_dict(self):
        """Plain values, for JSON."""
        world = {"frame": self.frame, "scale": self.scale and self.scale.as_dict()}
        return {"model": {"name": self.model} | self.options.as_dict(),
                "data": {"name": self.source} | world | self.data.as_dict(),
                "recipe": self.recipe.as_dict()}


def new_plan(model, source, preset=None, **changes):
    """A Plan with the default options, changed by the model's recipe, then by a preset of the world (None: its first),
    then by `changes`.

    ConfigError if a name is unknown or a value impossible.
    """
    world = find_source(source)
    preset = next(iter(world.presets)) if preset is None else preset
    if preset not in world.presets:
        raise ConfigError(f"preset {preset!r} is unknown: expected one of {', '.join(world.presets)}")
    network = find_model(model)
    plan = Plan(model, source, network.Options(), world.Options(), Recipe().replace(**network.recipe))
    if len(set(plan.names())) < len(plan.names()):
        twice = sorted({name for name in plan.names() if plan.names().count(name) > 1})
        raise ConfigError(f"model {model} and data {source} both have an option {', '.join(twice)}, or share it with "
                          "the recipe: rename one")
    if taken := RESERVED & set(plan.names()):
        raise ConfigError(f"model {model} or data {source} has an option {', '.join(sorted(taken))}, a name that runs "
                          "and commands use themselves: rename it")
    # a preset may name options that only other models have
    of_all = {name for network in MODELS.values() for name in network.Options.names()} | set(plan.names())
    if unknown := world.presets[preset].keys() - of_all:
        raise ConfigError(f"preset {preset} of data {source} has an unknown option {', '.join(sorted(unknown))}")
    of_preset = {name: value for name, value in world.presets[preset].items() if name in plan.names()}
    return plan.replace(**of_preset | changes)


def read_plan(values):
    """The Plan that `as_dict` turned into `values`, or that an old version stored as one flat record.

    ConfigError if an option is unknown or impossible, or if the model is not registered. If only the world is not
    registered, the plan can still be read, with the options that all worlds have.
    """
    if "recipe" not in values:
        values = from_flat(values)
    if unknown := values.keys() - {"model", "data", "recipe"}:
        raise ConfigError(f"unknown record {', '.join(sorted(unknown))}: a plan has model, data and recipe")
    model, data = dict(values["model"]), dict(values["data"])
    name, source = model.pop("name"), data.pop("name")
    frame, scale = data.pop("frame"), data.pop("scale")
    world = SOURCES.get(source, Source)
    if source not in SOURCES:
        data = {option: value for option, value in data.items() if option in world.Options.names()}
    return Plan(name, source, find_model(name).Options().replace(**model), world.Options().replace(**data),
                Recipe().replace(**values["recipe"]), frame and whole_numbers("frame", frame, 3),
                scale and read_scale(scale))


def from_flat(values):
    """The flat options of an old run, sorted into the three records."""
    values = {"model": "predrnn", "size": (64, 64), "channels": 1} | values
    frame = [*values.pop("size"), values.pop("channels")]
    source = values.pop("source", "mnist" if frame[2] == 1 else "sequences")
    own = {"model": find_model(values["model"]).Options.names(), "data": find_source(source).Options.names(),
           "recipe": Recipe.names()}
    nested = {"model": {"name": values.pop("model")}, "recipe": {},
              "data": {"name": source, "frame": frame, "scale": Scale().as_dict(), "size": frame[:2]}}
    if source == "sequences":
        nested["data"]["channels"] = frame[2]
    for name, value in values.items():
        homes = [record for record, names in own.items() if name in names]
        if homes:
            nested[homes[0]][name] = value
        elif name not in ("digits", "rule"):  # old runs have these on every world
            raise ConfigError(f"unknown option {name}")
    return nested
