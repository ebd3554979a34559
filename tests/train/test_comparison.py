"""What every network of a comparison is trained with: the same, or its own; and names with options."""

import numpy as np
import pytest
from plans import DrawnDigits

from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.errors import ConfigError
from tinypredrnn.models import MODELS, find_model, lay_out
from tinypredrnn.train import Recipe, new_plan
from tinypredrnn.train.comparison import PRESETS, Comparison, read_name


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """compare(preset=..., ...): a Comparison on drawn digits, in a folder of its own."""
    images = draw_digits(np.random.default_rng(0), 10)[0]

    def world(self, options, seed=0):
        data = new_plan("predrnn", "mnist", self.protocol["preset"]).data
        return DrawnDigits(data.replace(**options), seed, images)

    monkeypatch.setattr(Comparison, "world", world)
    return lambda **protocol: Comparison(tmp_path / "compared", {"changes": {}} | protocol)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_common_recipe_is_the_same_for_all(compare, preset):
    comparison = compare(preset=preset)
    plans = [comparison.plan(name, seed=3, steps=800) for name in MODELS]
    assert len({plan.recipe for plan in plans}) == len({plan.data for plan in plans}) == 1
    recipe = plans[0].recipe
    assert (recipe.optimiser, recipe.rate, recipe.batch, recipe.seed, recipe.steps) == ("adam", 1e-3, 8, 3, 800)
    assert recipe.sampling_until == 500 and recipe.validate_every == 800 // PRESETS[preset].validations
    assert plans[0].data.digits == 2 and list(comparison.tests()) == ["mnist-2", "mnist-3"]


def test_the_paper_s_protocol_is_the_paper_s(compare):
    recipe = compare(preset="paper").plan("predrnn", steps=80_000).recipe
    assert recipe == Recipe() and compare(preset="paper").budget.most == {"iterations": 80_000}


@pytest.mark.parametrize("name", MODELS)
def test_its_own_recipe_is_that_of_its_authors(compare, name):
    own = find_model(name).recipe
    plan = compare(preset="quick", recipe="own").plan(name, steps=own.get("steps", 80_000))
    assert plan.recipe == Recipe().replace(**own).replace(validate_every=plan.recipe.validate_every)


@pytest.mark.parametrize("name", MODELS)
def test_quick_networks_are_small_and_those_of_paper_have_the_published_size(compare, name):
    quick, paper = compare(preset="quick").plan(name), compare(preset="paper").plan(name)
    assert lay_out(2**28, *quick.network()).count_multiply_adds(10, 10) < 19 * 120e6
    assert paper.options == find_model(name).Options().replace(**find_model(name).published)


def test_a_name_may_have_options_of_the_network_and_of_the_recipe(compare):
    plan = compare().plan("predrnn:hidden=8,4:loss=l1+l2:rate=3e-4:layer_norm=true", steps=9)
    assert (plan.options.hidden, plan.options.layer_norm) == ((8, 4), True)
    assert (plan.recipe.loss, plan.recipe.rate, plan.recipe.steps) == ("l1+l2", 3e-4, 9)
    folders = {compare().place(name, 0).name for name in ("predrnn", "predrnn:patch=4", "predrnn:loss=l1+l2")}
    assert folders == {"predrnn-seed-0", "predrnn_patch=4-seed-0", "predrnn_loss=l1+l2-seed-0"}
    for name in "predrnn:", "predrnn:patch", "predrnn:seed=1", "predrnn:patch=1.5", "predrnn:steps=5", ":":
        with pytest.raises(ConfigError):
            read_name(name)
