"""Records that check themselves: what is refused, and that every option of every record has a flag that works."""

import argparse
import ast
import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinypredrnn
from tinypredrnn.commands import evaluate, predict
from tinypredrnn.commands.train import train
from tinypredrnn.data import SOURCES
from tinypredrnn.data.own import OwnOptions
from tinypredrnn.data.reading import read_sequences
from tinypredrnn.errors import ConfigError, Error
from tinypredrnn.models import MODELS
from tinypredrnn.options import Options, Parser, add_arguments, called, command_line, flag_of, from_text, given_options, option
from tinypredrnn.train import Recipe

RECORDS = {"recipe": Recipe, **{f"model {name}": model.Options for name, model in MODELS.items()},
           **{f"data {name}": source.Options for name, source in SOURCES.items()}}
OPTIONS = [(record, name) for record, kind in RECORDS.items() for name in kind.names()]


@dataclasses.dataclass(frozen=True)
class Soup(Options):
    salt: float = option(0.5, "grams of salt in 100 % of it", above=0)
    pots: int = option(2, "number of pots", least=1)
    sizes: tuple = option((3, 4), "litres in each", least=1, count=2)
    spices: tuple = option((), "grams of each", least=0)
    name: str = option("borscht", "what to cook", ("borscht", "minestrone"))
    hot: bool = option(True, "served hot")
    seed: int = option(0, "of chance", least=0)


def parse(record, *words):
    parser = argparse.ArgumentParser()
    add_arguments(parser, record)
    return given_options(parser.parse_args(words), record.names())


MEANT = {"validation_from": "2016-07-05T12:00", "test_from": "2016-07-05T12:00", "unit": "mm/h", "zr": "200 1.5",
         "validation_persons": (9,), "test_persons": (1, 2)}  # others will not do


def other_value(record, name):
    """A value that is allowed and not the default."""
    field = next(field for field in dataclasses.fields(record) if field.name == name)
    default, asked = field.default, field.metadata
    if name in MEANT:
        return MEANT[name]
    if asked["choices"] is not None:
        return next((choice for choice in asked["choices"] if choice != default), default)
    if type(default) is bool:
        return not default
    if type(default) is str:
        return "word"
    if type(default) is tuple:
        return tuple(n + 8 for n in default) or tuple(asked["of"](8 + n) for n in range(asked["count"] or 3))
    return default - 1 if default > 100 else default + 1


@pytest.mark.parametrize("record, name", OPTIONS)
def test_every_option_has_help_and_a_flag_that_works(record, name):
    record = RECORDS[record]()
    if name in ("heavy", "weights"):  # as many of one as of the other
        record = record.replace(heavy=(1.0, 2.0, 3.0), weights=(1.0, 1.0, 1.0))
    field, value = next(field for field in dataclasses.fields(record) if field.name == name), other_value(record, name)
    assert len(field.metadata["help"]) > 10
    flag = field.metadata["flag"] or "--" + name.replace("_", "-")
    words = [flag if value else flag.replace("--", "--no-", 1)] if type(value) is bool else [
        flag, *map(str, value if type(value) is tuple else [value])]
    changes = parse(record, *words)
    assert set(changes) == {name} and getattr(record.replace(**changes), name) == value
    assert type(getattr(record.replace(**changes), name)) is type(field.default)


@pytest.mark.parametrize("record", RECORDS)
def test_help_shows_every_flag_with_its_help_and_the_value_that_it_has(record):
    record = RECORDS[record]()
    parser = argparse.ArgumentParser(formatter_class=lambda prog: argparse.HelpFormatter(prog, width=10_000))
    add_arguments(parser, record)
    text = parser.format_help()
    for field in dataclasses.fields(record):
        assert (field.metadata["flag"] or f"--{field.name.replace('_', '-')}") + " " in text.replace(",", " ")
        assert field.metadata["help"] in text
    assert "(default: 8)" in text or not isinstance(record, Recipe)


def test_help_shows_the_values_of_the_record_that_it_is_given():
    parser = argparse.ArgumentParser()
    add_arguments(parser, Soup(pots=7), without=("salt",))
    assert "(default: 7)" in parser.format_help() and "--salt" not in parser.format_help()


@pytest.mark.parametrize("words", [["--name", "stew"], ["--pots", "many"], ["--sizes"], ["--sizes", "4.5"], ["--colour"]], ids=str)
def test_argparse_refuses_what_it_can(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(Soup(), *words)
    assert caught.value.code == 2 and words[0] in capsys.readouterr().err


def test_flags_left_out_change_nothing():
    assert parse(Soup()) == {}


BAD = [{"salt": 0.0}, {"salt": -1}, {"salt": math.nan}, {"salt": math.inf}, {"salt": "0.1"}, {"salt": None}, {"pots": 0}, {"pots": 1.0},
       {"pots": True}, {"pots": "2"}, {"sizes": (3,)}, {"sizes": ()}, {"sizes": (3, 0)}, {"sizes": (3, 4.0)}, {"sizes": 3},
       {"sizes": ("3", "4")}, {"spices": (-1,)}, {"spices": ("a",)}, {"name": "stew"}, {"name": ["borscht"]},
       {"hot": 1}, {"hot": "yes"}, {"seed": -1}, {"pepper": 1}]  # fmt: skip


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_bad_values_are_refused_in_one_sentence_that_names_the_option(changes):
    with pytest.raises(ConfigError) as caught:
        Soup().replace(**changes)
    assert next(iter(changes)) in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_fine():
    assert Soup(salt=1).salt == 1  # an int will do for a float
    assert Soup().replace(sizes=[8, 4]).sizes == (8, 4)  # a list for a tuple, as JSON gives it
    assert type(Soup().replace(pots=np.int64(3)).pots) is int and Soup().replace(spices=(1, 2.5)).spices == (1, 2.5)
    assert Options().as_dict() == {} and Options.names() == []
    with pytest.raises(dataclasses.FrozenInstanceError):
        Soup().pots = 3


def test_odd_numbers_survive_json():
    soup = Soup(salt=0.1 + 0.2, seed=2**70, spices=(1 / 3,), hot=False)
    assert Soup().replace(**json.loads(json.dumps(soup.as_dict()))) == soup


def test_choices_may_be_a_dict_that_grows(monkeypatch):
    kinds = {"a": 1}
    record = dataclasses.make_dataclass("Record", [("kind", str, option("a", "one of those that there are", kinds))], bases=(Options,),
                                        frozen=True)
    with pytest.raises(ConfigError, match="kind is one of a, got 'b'"):
        record().replace(kind="b")
    kinds["b"] = 2
    assert record().replace(kind="b").kind == "b"


@pytest.mark.parametrize("changes", [dict(pots=10**13), dict(sizes=(4, 10**400)), dict(salt=1e31)], ids=lambda changes: next(iter(changes)))
def test_numbers_beyond_all_use_are_refused_in_a_short_sentence(changes):
    message = f"{next(iter(changes))} is too large: .*; the limits are 1,000,000,000,000 and 1e.30"
    with pytest.raises(ConfigError, match=message) as caught:
        Soup().replace(**changes)
    assert len(str(caught.value)) < 200
    assert Soup(seed=10**30, salt=1e30, pots=10**12)


# error messages call an option as the user does

@command_line
def replaced(record, *words):
    """A record changed as a command line says."""
    parser = Parser("a test")
    add_arguments(parser, record)
    return record.replace(**given_options(parser.parse_args(words), record.names()))


def bad_words(field):
    """Words that argparse lets through after the flag of an option, though no value of it is like this."""
    default, asked = field.default, field.metadata
    kind = asked["of"] if type(default) is tuple else type(default)
    limits = [asked["least"] - 1] if asked["least"] is not None else [asked["above"]] if asked["above"] is not None else []
    numbers = {int: [-10**13, *limits], float: ["nan", "inf", "-1e31", *limits]}.get(kind, [])
    count = (asked["count"] or 2) if type(default) is tuple else 1
    return [[str(number)] * count for number in numbers]


BAD_WORDS = [(record, field, words) for record, kind in {**RECORDS, "soup": Soup}.items() for field in dataclasses.fields(kind)
             for words in bad_words(field)]


@pytest.mark.parametrize("record, field, words", BAD_WORDS, ids=[f"{r} {f.name} {w[0]}" for r, f, w in BAD_WORDS])
def test_a_bad_flag_is_called_by_its_flag_and_in_python_by_its_name(record, field, words):
    kind, flag = RECORDS.get(record, Soup), flag_of(field)
    with pytest.raises(ConfigError) as caught:
        replaced(kind(), flag, *words)
    assert str(caught.value).startswith(f"{flag} ")
    values = tuple(map(float if "." in str(field.default) or field.metadata["of"] is float else int, words)) if (
        type(field.default) is tuple) else type(field.default)(words[0])
    with pytest.raises(ConfigError) as caught:
        kind().replace(**{field.name: values})
    assert str(caught.value).startswith(f"{field.name} ")


def test_flags_that_share_no_word_with_their_option():
    record = dataclasses.make_dataclass("Record", [("start", int, option(1, "where to begin", least=1, flag="--from"))], bases=(Options,),
                                        frozen=True)
    with pytest.raises(ConfigError, match="^--from is at least 1"):
        replaced(record(), "--from", "0")
    with pytest.raises(ConfigError, match="^start is at least 1"):
        record(start=0)
    assert called("start") == "start"


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with a run on drawn digits, one on sequences, and sequences.npy."""
    folder = tmp_path_factory.mktemp("room")
    np.save(folder / "sequences.npy", np.random.default_rng(0).random((9, 12, 16, 16), dtype=np.float32))
    (folder / "pictures" / "clip").mkdir(parents=True)
    for k in range(3):
        Image.fromarray(np.full((16, 16), 80 * k, np.uint8)).save(folder / "pictures" / "clip" / f"{k}.png")
    for world, words in (("mnist", ["--size", "32", "32", "--test-sequences", "2"]), ("sequences", ["--data", f"{folder}/sequences.npy"])):
        assert train(world, *"--hidden 2 --kernel 3 --given 3 --horizon 2 --steps 1 --batch 1 --validation-sequences 2".split(), *words,
                     "--out", str(folder / world)) == 0
    return folder


def run_command(room, words):
    command, *words = words.replace("ROOM", str(room)).split()
    if command in SOURCES:
        train(command, *words)
    else:
        {"evaluate": evaluate, "predict": predict}[command].main(words)


SAID = {
    "mnist --batch 0": "--batch is at least 1, got 0",
    "mnist --test-sequences 6000": "--test-sequences is at most 5000",
    "mnist --model predrnn_m --hidden 4 5": r"got --hidden=\(4, 5\)",
    "mnist --size 32 32 --precision tf32": "--precision tf32 .* leave out --precision",
    "mnist --resume --out ROOM/mnist --from elsewhere": "has --from , not elsewhere: go on with it without",
    "mnist --resume --out ROOM/mnist --forget-bias 2": "has --forget-bias 1.0, not 2.0: go on with it without",
    "sequences --data ROOM/sequences.npy --size 5 5": "--size: frames of 5x5 are too small",
    "sequences --data ROOM/sequences.npy --size 99999 99999": "--size is a height and a width in pixels",
    "sequences --data ROOM/sequences.npy --missing none": "--missing is a number, got 'none'",
    "sequences --data ROOM/sequences.npy --range 5 1": "--range is a smaller and a larger number",
    "sequences --data ROOM/sequences.npy --channels 2": "--channels is 1 for gray or 3 for colour, got 2",
    "sequences --data ROOM/sequences.npy --order NHW": "--order names axes, .*, got NHW",
    "sequences --data ROOM/pictures --array x": "--order and --array are options for arrays",
    "sequences --data ROOM/sequences.npy --every 0": "--every is at least 1",
    "evaluate ROOM/mnist --sequences 0": "^--sequences is at least 1, got 0",
    "evaluate ROOM/mnist --sequences 5001": "^--sequences is at most 5000",
    "evaluate ROOM/mnist --digits 0": "^--digits is at least 1",
    "predict ROOM/sequences --input ROOM/sequences.npy --missing none": "--missing is a number, got 'none'",
    "predict ROOM/sequences --input ROOM/sequences.npy --every 0": "--every is at least 1",
    "predict ROOM/sequences --input ROOM/sequences.npy --order NHW": "--order names axes",
}  # fmt: skip


@pytest.mark.parametrize("words", SAID)
def test_commands_call_options_by_their_flags(room, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Error, match=SAID[words]):
        run_command(room, words)
    assert called("batch") == "batch"  # again, as soon as the command has ended


@pytest.mark.parametrize("record, name", OPTIONS)
def test_every_default_survives_as_text(record, name):
    field = next(f for f in dataclasses.fields(RECORDS[record]) if f.name == name)
    if field.default in ("", ()):
        return
    text = ",".join(map(str, field.default)) if type(field.default) is tuple else str(field.default)
    assert from_text(field, text.lower() if type(field.default) is bool else text) == field.default


def test_texts_that_mean_nothing_are_refused():
    fields = {field.name: field for field in dataclasses.fields(Soup)}
    assert from_text(fields["sizes"], "8,9") == (8, 9) and from_text(fields["salt"], "1e-3") == 1e-3
    for name, text in ("salt", "much"), ("pots", "2.5"), ("sizes", "1,x"), ("sizes", ""):
        with pytest.raises(ConfigError, match=f"{name} is given like"):
            from_text(fields[name], text)


# who calls from Python has no flags

PACKAGE = Path(tinypredrnn.__file__).parent
OF_COMMANDS = {"commands", "course", "__main__.py"}  # what only a command line reaches
OF_OTHERS = {"--layer_norm"}  # flags of other people's programs


def literal_flags(path):
    """The flags in the texts of a module, except in docstrings and in the help of flags."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("option", "add_argument"):
            left_out |= set(ast.walk(node))
    texts = [node.value for node in ast.walk(tree)
             if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in left_out]
    return {flag for text in texts for flag in re.findall(r"(?<![\w-])--[a-z][\w-]+", text)} - OF_OTHERS


@pytest.mark.parametrize("path", [path for path in sorted(PACKAGE.rglob("*.py"))
                                  if path.relative_to(PACKAGE).parts[0] not in OF_COMMANDS],
                         ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_message_names_options_as_the_user_does(path):
    """By `called`: a flag that is written out would be wrong for those who call from Python."""
    assert not literal_flags(path)


def test_python_hears_of_parameters_and_a_command_of_flags(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(9, 12, 12)).astype(np.float32))
    (heard,) = [m for m in read_sequences(tmp_path / "a.npy").messages if "becomes 0" in m]
    assert heard.endswith("(range LO HI changes that)")

    @command_line
    def read(words):
        parser = Parser("Read.")
        add_arguments(parser, OwnOptions())
        parser.parse_args(words)
        return [m for m in read_sequences(tmp_path / "a.npy").messages if "becomes 0" in m]

    assert read([])[0].endswith("(--range LO HI changes that)")
