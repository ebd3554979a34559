"""The README's recipes, used from outside the package: an op, a cell, a model, an optimiser, a metric and a data set; then training with
them, a stop, resuming, scoring and drawing."""

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.commands import evaluate, predict
from tinypredrnn.commands.train import train
from tinypredrnn.data import SOURCES
from tinypredrnn.models import MODELS
from tinypredrnn.optim import OPTIMISERS
from tinypredrnn.train import Trainer, read_checkpoint, read_log

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("## Add your own"):README.index("## Weights and arrays of others")]
*RECIPES, TRAINING = re.findall(r"```python\n(.*?)```", SECTION, re.S)
WORDS = "fronts", "--model", "drift", "--width", "4", "--out"


@pytest.fixture
def recipes(monkeypatch, tmp_path):
    """The names that the recipes define; models and worlds are what they were afterwards."""
    for registry in MODELS, SOURCES, OPTIMISERS:
        for name in "drift", "fronts", "momentum":
            monkeypatch.setitem(registry, name, None)
            monkeypatch.delitem(registry, name)
    monkeypatch.chdir(tmp_path)
    names = dict(tp=tp, np=np)
    for recipe in RECIPES:
        exec(recipe, names)
    yield names
    for registry in MODELS, SOURCES, OPTIMISERS:
        for name in "drift", "fronts", "momentum":
            registry.pop(name, None)


def test_there_is_a_recipe_for_each_and_none_is_long():
    assert re.findall(r"^\*\*(.+?)\.\*\*", SECTION, re.M) == ["An op", "A cell", "A model", "An optimiser", "A metric",
                                                              "A data set"] and len(RECIPES) == 6
    assert all(len(recipe.splitlines()) <= 40 for recipe in RECIPES)


def test_the_cells_gradient_is_right(recipes):
    cell = recipes["Leaky"](2, 3, np.random.default_rng(0)).to(dtype=np.float64)
    rng = np.random.default_rng(1)
    assert tp.gradcheck(lambda x, h: cell(x, h)[0], rng.standard_normal((2, 4, 5, 2)), rng.standard_normal((2, 4, 5, 3)),
                        parameters=cell.parameters())


def test_a_model_on_a_world_is_trained_scored_and_drawn(recipes, capsys):
    exec(TRAINING, recipes)
    printed, out = capsys.readouterr().out, Path("runs/fronts")
    assert "drift with" in printed and "fronts, 8 test sequences of step" in printed and "CSI" in printed
    entry = json.loads((out / "metrics.json").read_text())["fronts"]
    assert len(entry["csi_per_frame"]) == 3 and 0 <= entry["csi"] <= 1 and "copy_last_csi" in entry
    plan, iteration, _ = read_checkpoint(out)
    assert iteration == 20 and plan.scale.unit == "deg C" and plan.options.width == 4 and plan.recipe.rate == 3e-3
    names = {path.name for path in out.iterdir()}
    assert {"best.npz", "curves.png", "prediction.png", "prediction.gif", "frame_curves.png"} <= names
    losses = np.array(read_log(out / "log.csv")["loss"], float)
    assert losses[-5:].mean() < losses[:5].mean()


def test_its_score_is_pooled_over_the_test_set(recipes):
    train(*WORDS, "run", "--steps", "3")
    entry = json.loads(Path("run/metrics.json").read_text())["fronts"]
    model, plan = tp.load("run"), read_checkpoint("run")[0]
    source = SOURCES["fronts"](plan.data, plan.recipe.seed)
    frames = source.scale.to_model(source.tests()["fronts"]())
    p, y = tp.train.predict(model, frames[:, :4], 3), frames[:, 4:]
    least = source.scale.from_units(20.0)
    hits, others = ((p >= least) & (y >= least)).sum((0, 2, 3, 4)), ((p >= least) | (y >= least)).sum((0, 2, 3, 4))
    np.testing.assert_allclose(np.array(entry["csi_per_frame"], float), hits / others)


@pytest.mark.parametrize("optimiser", ["adam", "momentum"])
def test_stopped_and_resumed_it_is_the_run_that_was_never_stopped(optimiser, recipes, monkeypatch):
    assert train(*WORDS, "whole", "--optimiser", optimiser) == 0
    step = Trainer.step

    def stopping(self, frames):
        if self.iteration == 7:
            signal.raise_signal(signal.SIGINT)
        return step(self, frames)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        assert train(*WORDS, "halves", "--optimiser", optimiser) == 128 + signal.SIGINT
    assert read_checkpoint("halves")[1] == 8
    assert train("fronts", "--resume", "--out", "halves") == 0
    (_, done, halves), (_, _, whole) = read_checkpoint("halves"), read_checkpoint("whole")
    assert done == 20
    for part in "model", "optimiser":
        for name, array in whole[part].items():
            np.testing.assert_array_equal(halves[part][name], array, err_msg=name)
    assert json.loads(Path("halves/metrics.json").read_text()) == json.loads(Path("whole/metrics.json").read_text())


def test_evaluated_again_and_continued_in_its_own_units(recipes):
    train(*WORDS, "run", "--steps", "3")
    before = Path("run/metrics.json").read_text()
    assert evaluate.main(["run"]) == 0 and Path("run/metrics.json").read_text() == before
    assert predict.main(["run", "--frames", "2", "--out", "ahead"]) == 0
    temperatures = np.load("ahead/prediction.npy")
    assert temperatures.shape == (2, 16, 16, 1) and -10 <= temperatures.min() < 0 and 1 < temperatures.max() <= 30
