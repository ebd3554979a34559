"""Plans: what the presets are, that the three records are one run, and that old ones are read."""

import dataclasses
import json

import pytest
from plans import make_plan

from tinypredrnn.data import SOURCES, Scale, Source, SourceOptions
from tinypredrnn.data.rain import HKO7
from tinypredrnn.errors import ConfigError
from tinypredrnn.models import MODELS, Predictor, construct
from tinypredrnn.options import option
from tinypredrnn.train import Recipe, new_plan, read_plan


def test_the_preset_paper_is_what_the_paper_and_the_authors_code_say():
    plan = new_plan("predrnn", "mnist", "paper")
    assert plan.options.as_dict() == dict(hidden=(128, 128, 128, 128), kernel=5, patch=4, forget_bias=1.0, layer_norm=False)
    data = dict(given=10, horizon=10, size=(64, 64), digits=2, rule="paper", test_sequences=5_000)
    assert plan.data.as_dict() == plan.data.as_dict() | data
    recipe = dict(batch=8, steps=80_000, update="descent", optimiser="adam", rate=1e-3, rate_schedule="constant", clip=0.0, loss="l1+l2",
                  heavy=(), weights=(), loss_over="all", sampling="linear", sampling_until=50_000, sampling_from=0.5, sampling_alpha=0.05,
                  sampling_scale=900.0, halve_every=4_000, truncate=0)
    assert plan.recipe.as_dict() == plan.recipe.as_dict() | recipe
    not_the_method = {"validate_every", "precision", "activations", "recompute", "start", "seed"}
    assert set(plan.recipe.names()) - recipe.keys() == not_the_method


@pytest.mark.parametrize("source", ["mnist", "sequences", "radar"])
@pytest.mark.parametrize("preset", ["quick", "small", "paper"])
@pytest.mark.parametrize("model", ["convlstm", "predrnn_m", "predrnn"])
def test_every_preset_is_valid_and_survives_json(model, source, preset):
    plan = dataclasses.replace(new_plan(model, source, preset), frame=(64, 64, 1), scale=Scale((0, 7.5), (-1, 2), "mm", -9))
    again = read_plan(json.loads(json.dumps(plan.as_dict())))
    assert again == plan and type(again.options.hidden) is tuple and type(again.frame) is tuple
    assert plan.data.test_sequences <= 5_000 and plan.recipe.sampling_until <= plan.recipe.steps
    construct(*plan.replace(hidden=plan.options.hidden[:1]).network())  # patches fit, the kernel is odd


def test_quick_is_the_smallest_preset_and_each_is_known_by_name():
    steps = [new_plan("predrnn", "mnist", preset).recipe.steps for preset in SOURCES["mnist"].presets]
    assert list(SOURCES["mnist"].presets) == ["quick", "small", "paper"] and steps == sorted(steps)
    assert new_plan("predrnn", "mnist") == new_plan("predrnn", "mnist", "quick")
    with pytest.raises(ConfigError, match="'large' is unknown: expected one of quick, small, paper"):
        new_plan("predrnn", "mnist", "large")


@pytest.mark.parametrize("names, message", [
    (("lstm", "mnist"), "model 'lstm' is unknown: expected one of convlstm"),
    (("predrnn", "rain"), "data 'rain' is unknown: expected one of mnist, sequences, radar"),
])
def test_names_that_are_unknown(names, message):
    with pytest.raises(ConfigError, match=message):
        new_plan(*names)


def test_thresholds_of_the_loss():
    recipe = Recipe(heavy=(20.0, 30.0), weights=(2.0, 5.0))
    for changes in ({"weights": (2.0,)}, {"heavy": (30.0, 20.0)}, {"heavy": (20.0, 20.0)}, {"heavy": ()}):
        with pytest.raises(ConfigError, match="heavy is rising thresholds, weights one number for each"):
            recipe.replace(**changes)
    hko7 = Recipe(**HKO7)
    assert hko7.heavy == (12.98, 22.37, 28.58, 33.27, 40.72) and hko7.weights == (1, 2, 5, 10, 30)
    source = SOURCES["mnist"](make_plan().data, 0)
    with pytest.raises(ConfigError, match=r"heavy is in the unit of the data, which go from 0 to 1 \(they have no unit\)"):
        make_plan(heavy=(20.0,), weights=(2.0,)).on(source)
    assert make_plan(heavy=(0.5, 2.0), weights=(2.0, 3.0)).on(source).recipe.weights == (2, 3)


def test_an_option_is_found_in_the_record_that_has_it():
    plan = make_plan().replace(hidden=(8, 4), digits=3, rate=0.5)
    assert (plan.options.hidden, plan.data.digits, plan.recipe.rate) == ((8, 4), 3, 0.5)
    assert plan.get("hidden") == (8, 4) and plan.owner("digits") == "data" and plan.may_change("steps") and not plan.may_change("rate")
    with pytest.raises(ConfigError, match="unknown option colour: a run of predrnn on mnist has hidden, kernel"):
        plan.replace(colour=1)
    with pytest.raises(ConfigError, match="test_sequences is at most 5000"):
        plan.replace(test_sequences=5_001)
    assert make_plan(size=(16, 24), model="convlstm", hidden=(2, 3), kernel=3, patch=8, seed=5).network()[:2] == ("convlstm", (16, 24, 1))


@dataclasses.dataclass(frozen=True)
class Patient(SourceOptions):
    patch: int = option(1, "where it itches", least=0)


def test_two_records_with_an_option_of_one_name_are_refused(monkeypatch):
    monkeypatch.setitem(SOURCES, "patients", type("Patients", (Source,), {"Options": Patient}))
    with pytest.raises(ConfigError, match="both have an option patch"):
        new_plan("predrnn", "patients")


def test_a_models_own_recipe_is_where_its_training_starts_from(monkeypatch):
    monkeypatch.setitem(MODELS, "own", type("Own", (Predictor,), {"recipe": dict(loss="l2", batch=3)}))
    plan = new_plan("own", "mnist", "paper", batch=5)
    assert (plan.recipe.loss, plan.recipe.batch, plan.recipe.rate) == ("l2", 5, Recipe().rate)
    assert new_plan("own", "mnist", "quick").recipe.steps == 1_500  # and a preset may name options that only other models have


OLD = dict(model="convlstm", size=[32, 48], channels=1, hidden=[4, 5], kernel=3, patch=8, forget_bias=0.5,
           layer_norm=True, given=3, horizon=4, digits=3, rule="srivastava", batch=2, steps=7, rate=0.1,
           rate_schedule="cosine", clip=0.5, loss="l2", loss_over="future", sampling="reverse", sampling_until=3,
           validate_every=2, test_sequences=9, precision="fp32", seed=4)  # fmt: skip


def test_the_options_of_an_old_run_become_three_records():
    plan = read_plan(OLD)
    assert (plan.model, plan.source, plan.frame, plan.scale) == ("convlstm", "mnist", (32, 48, 1), Scale())
    assert plan.options.hidden == (4, 5) and plan.data.rule == "srivastava" and plan.data.size == (32, 48) and plan.recipe.seed == 4
    for name, value in OLD.items():
        if name not in ("model", "channels"):
            assert plan.get(name) == (tuple(value) if isinstance(value, list) else value)
    assert read_plan({}) == dataclasses.replace(new_plan("predrnn", "mnist", "paper"), frame=(64, 64, 1), scale=Scale())
    own = read_plan(OLD | {"channels": 3, "source": "sequences", "data": "clips"})
    assert (own.source, own.frame, own.data.data, own.data.channels) == ("sequences", (32, 48, 3), "clips", 3)


@pytest.mark.parametrize("change", [
    lambda v: v.update(colour=1), lambda v: v["recipe"].update(colour=1), lambda v: v["model"].update(kernel="5"),
    lambda v: v["data"].update(frame=[0, 1, 1]), lambda v: v["data"].update(frame=[64, 64]),
    lambda v: v["model"].update(name="lstm")])
def test_what_is_no_plan_is_refused(change):
    values = json.loads(json.dumps(make_plan().as_dict()))
    change(values)
    with pytest.raises(ConfigError):
        read_plan(values)
    with pytest.raises(ConfigError):
        read_plan(OLD | {"colour": 1})


def test_a_run_on_a_world_that_is_not_registered_can_be_read(monkeypatch):
    monkeypatch.setitem(SOURCES, "patients", type("Patients", (Source,), {"Options": dataclasses.make_dataclass(
        "P", [("itch", int, option(1, "where it itches", least=0))], bases=(SourceOptions,), frozen=True)}))
    values = new_plan("predrnn", "patients", itch=3, given=7).as_dict()
    assert read_plan(values).data.itch == 3
    monkeypatch.delitem(SOURCES, "patients")
    plan = read_plan(values)
    assert (plan.source, plan.data.given) == ("patients", 7) and type(plan.data) is SourceOptions
