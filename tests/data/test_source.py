"""What a world from outside must have is checked before it is trained on, in a sentence."""

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.data import SOURCES, Source
from tinypredrnn.data.scale import Scale
from tinypredrnn.errors import ConfigError
from tinypredrnn.train import new_plan


class Plain(Source):
    frame = 8, 8, 1

    def batch(self, k, count, rows=slice(None)):
        return np.zeros((count, self.length, 8, 8, 1), np.uint8)[rows]

    def validation(self):
        return self.batch(0, 3)

    def tests(self):
        return {"plain": lambda: self.batch(0, 3)}


WRONG = {
    "no frame": ({"frame": None}, r"Plain.frame is \(height, width, channels\), got None"),
    "two numbers": ({"frame": (8, 8)}, r"channels\), got \(8, 8\)"),
    "another frame": ({"frame": (9, 8, 1)}, r"gives an array \(2, 20, 9, 8, 1\), got \(2, 20, 8, 8, 1\)"),
    "no scale": ({"scale": (0, 255)}, "Plain.scale is a Scale"),
    "a metric": ({"metrics": tp.metrics.MSE}, "metrics is a tuple of at least one Metric"),
    "no metric": ({"metrics": ()}, "at least one Metric"),
    "a metric's name": ({"metrics": (tp.metrics.MSE._replace(name="csi 10"),)}, "names of letters, digits, _, - and ., got 'csi 10'"),
    "a first metric": ({"metrics": (tp.metrics.SHARPNESS, tp.metrics.MSE)}, "more or less is better.* got sharpness"),
    "a baseline": ({"baselines": ("white",)}, "baseline 'white' is unknown: expected some of copy_last, black"),
    "no test": ({"tests": lambda self: {}}, "gives at least one test set"),
    "an array": ({"tests": lambda self: {"a": np.zeros(3)}}, "gives at least one test set"),
    "a test's name": ({"tests": lambda self: {"b/c": print}}, "got 'b/c'"),
    "a list": ({"batch": lambda self, k, count, rows=slice(None): [1, 2]}, "gives an array .* got list"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_world_is_said_before_training(name):
    changes, message = WRONG[name]
    plan = new_plan("predrnn", "mnist")
    assert plan.on(Plain(plan.data, 0)).frame == (8, 8, 1)
    with pytest.raises(ConfigError, match=message) as caught:
        plan.on(type("Plain", (Plain,), changes)(plan.data, 0))
    assert "\n" not in str(caught.value)


def test_a_world_or_a_model_without_a_method_cannot_be_made():
    """Python's own sentence names the method."""
    with pytest.raises(TypeError, match="abstract.*validation"):
        type("Half", (Source,), {"batch": None, "tests": None})(new_plan("predrnn", "mnist").data, 0)
    with pytest.raises(TypeError, match="abstract.*step"):
        type("Half", (tp.models.Predictor,), {"start": None})((8, 8, 1), tp.options.Options())


@pytest.mark.parametrize("option", ["frame", "scale", "name", "out", "device", "protocol"])
def test_names_that_options_cannot_have(option, monkeypatch):
    import dataclasses

    options = dataclasses.make_dataclass("O", [(option, int, tp.options.option(1, "one of ours", least=0))],
                                         bases=(tp.data.SourceOptions,), frozen=True)
    monkeypatch.setitem(SOURCES, "plain", type("Plain", (Plain,), {"Options": options}))
    with pytest.raises(ConfigError, match=f"has an option {option}, a name that runs and commands use themselves"):
        new_plan("predrnn", "plain")


def test_a_preset_with_a_misspelt_option_is_refused(monkeypatch):
    monkeypatch.setitem(SOURCES, "plain", type("Plain", (Plain,), {"presets": {"quick": dict(validate_evry=1)}}))
    with pytest.raises(ConfigError, match="preset quick of data plain has an unknown option validate_evry"):
        new_plan("predrnn", "plain")


def test_a_scale_leads_there_and_back():
    scale = Scale(stored=(-32, 96), units=(-64, 192), unit="dBZ", missing=-99)
    stored = np.array([-99, -40, -32, 32, 96, 100], np.int16)
    model = scale.to_model(stored)
    assert model.dtype == np.float32 and np.isnan(model[0]) and model[1:].tolist() == [0, 0, 0.5, 1, 1]
    np.testing.assert_allclose(scale.to_units(model[2:5]), [-64, 64, 192])
    np.testing.assert_allclose(scale.from_units([-64, 64, 192]), [0, 0.5, 1])
    assert (scale.to_model(np.arange(-32, 97, dtype=np.int16)) >= scale.reached_from(0)).sum() == 97 - 0
    with pytest.raises(ConfigError, match="a smaller to a larger number"):
        Scale(stored=(1, 1))
