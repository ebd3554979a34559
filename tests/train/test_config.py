"""The configuration: what the presets are, what is refused, and that every option has a flag that works."""

import argparse
import dataclasses
import json
import math

import numpy as np
import pytest

from tinypredrnn.errors import ConfigError
from tinypredrnn.models import build_model
from tinypredrnn.train import PRESETS, Config, add_arguments, given_options, preset

FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def parse(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return given_options(parser.parse_args(words))


def other_value(name):
    """A value that is not the default."""
    default, choices = FIELDS[name].default, FIELDS[name].metadata["choices"]
    if choices:
        return next(choice for choice in choices if choice != default)
    if type(default) is tuple:
        return tuple(n + 8 for n in default)
    return default - 1 if default > 100 else default + 1


def test_the_preset_paper_is_what_the_paper_and_the_authors_code_say():
    expected = dict(
        model="predrnn", size=(64, 64), channels=1, hidden=(128, 128, 128, 128), kernel=5, patch=4, forget_bias=1.0, layer_norm=False,
        given=10, horizon=10, digits=2, rule="paper", batch=8, steps=80_000, rate=1e-3, rate_schedule="constant", clip=0.0,
        loss="l1+l2", loss_over="all", sampling="linear", sampling_until=50_000,
    )
    paper = preset("paper").as_dict()
    assert {name: paper[name] for name in expected} == expected
    assert paper.keys() - expected.keys() == {"validate_every", "test_sequences", "precision", "seed"}  # which are not the method
    assert paper["test_sequences"] == 5_000


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_survives_json(name):
    config = preset(name)
    again = Config().replace(**json.loads(json.dumps(config.as_dict())))
    assert again == config and type(again.hidden) is tuple and type(again.size) is tuple
    assert config.test_sequences <= 5_000 and config.sampling_until <= config.steps
    build_model(**config.replace(hidden=config.hidden[:1]).model_options())  # patches fit, the kernel is odd


def test_odd_numbers_survive_json():
    config = Config(rate=0.1 + 0.2, clip=1 / 3, seed=2**70, sampling="reverse", layer_norm=True, size=(32, 96))
    assert Config().replace(**json.loads(json.dumps(config.as_dict()))) == config


def test_quick_is_the_smallest_preset_and_each_is_known_by_name():
    assert list(PRESETS) == ["quick", "small", "paper"]
    assert preset("quick").steps < preset("small").steps < preset("paper").steps
    with pytest.raises(ConfigError, match="'large' is unknown: expected one of quick, small, paper"):
        preset("large")


BAD = [
    {"model": "lstm"}, {"loss": "huber"}, {"loss_over": "past"}, {"sampling": "on"}, {"rule": "newton"}, {"rate_schedule": "step"},
    {"given": 0}, {"horizon": 0}, {"digits": 0}, {"batch": 0}, {"steps": 0}, {"validate_every": 0}, {"test_sequences": 0},
    {"test_sequences": 5_001}, {"sampling_until": -1}, {"seed": -1}, {"clip": -0.1}, {"rate": 0.0}, {"rate": -1e-3},
    {"rate": math.nan}, {"rate": math.inf}, {"clip": math.nan}, {"forget_bias": math.inf}, {"size": (64,)}, {"size": (64, 64, 1)},
    {"size": 64}, {"hidden": 64}, {"hidden": (4, 4.0)}, {"hidden": ("4",)}, {"steps": 1e5}, {"steps": "100"}, {"steps": None},
    {"batch": True}, {"rate": "0.1"}, {"layer_norm": "yes"}, {"layer_norm": 1}, {"model": ["predrnn"]}, {"seed": np.int64(3)},
    {"unknown": 1},
]  # fmt: skip


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_bad_values_are_refused_in_one_sentence_that_names_the_option(changes):
    with pytest.raises(ConfigError) as caught:
        Config().replace(**changes)
    assert next(iter(changes)) in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_fine():
    assert Config(rate=1).rate == 1  # an int will do for a float
    assert Config().replace(hidden=[8, 4]).hidden == (8, 4)  # a list for a tuple, as JSON gives it
    assert Config(sampling_until=0, clip=0, given=1, horizon=1, steps=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().steps = 3


def test_model_options_build_the_model():
    config = Config(model="convlstm", size=(16, 24), channels=3, hidden=(2, 3), kernel=3, patch=8, layer_norm=True, seed=5)
    model = build_model(**config.model_options())
    assert type(model).__name__ == "ConvLSTMNetwork" and model.channels == 3 and model.hidden == (2, 3) and model.patch == 8
    assert {o for o in config.model_options() if o != "name"} <= FIELDS.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_has_help_and_a_flag_that_works(name):
    field, value = FIELDS[name], other_value(name)
    assert len(field.metadata["help"]) > 10
    flag = "--" + name.replace("_", "-")
    words = [flag] if value is True else [flag, *map(str, value if type(value) is tuple else [value])]
    given = parse(*words)
    assert set(given) == {name} and type(getattr(Config().replace(**given), name)) is type(field.default)
    assert getattr(Config().replace(**given), name) == value


def test_help_shows_every_flag_with_its_help():
    parser = argparse.ArgumentParser(formatter_class=lambda prog: argparse.HelpFormatter(prog, width=10_000))
    add_arguments(parser)
    text = parser.format_help()
    for name, field in FIELDS.items():
        assert f"--{name.replace('_', '-')} " in text and field.metadata["help"].replace("%%", "%") in text


@pytest.mark.parametrize("words", [["--model", "lstm"], ["--steps", "many"], ["--size"], ["--hidden", "4.5"], ["--colour"]], ids=str)
def test_argparse_refuses_what_it_can(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2 and words[0] in capsys.readouterr().err


def test_flags_left_out_change_nothing():
    assert parse() == {}


@pytest.mark.parametrize("changes", [dict(steps=10**13), dict(hidden=(4, 10**400)), dict(rate=1e31),
                                     dict(forget_bias=-1e300), dict(clip=1e40)], ids=lambda changes: next(iter(changes)))
def test_numbers_beyond_all_use_are_refused_in_a_short_sentence(changes):
    message = f"{next(iter(changes))} is too large: .*; the limits are 1,000,000,000,000 and 1e.30"
    with pytest.raises(ConfigError, match=message) as caught:
        Config(**changes)
    assert len(str(caught.value)) < 200
    Config(seed=10**30, rate=1e30, steps=10**12)
