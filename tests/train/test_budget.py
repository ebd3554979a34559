"""A budget in any unit becomes a number of iterations; and a recipe of any length becomes one of that length."""

import math
import time

import pytest
from plans import make_plan

from tinypredrnn.errors import ConfigError
from tinypredrnn.models import MODELS, lay_out
from tinypredrnn.train import Recipe, truth_mask
from tinypredrnn.train.budget import Budget, count_iteration

PLAN = make_plan(size=(32, 32), hidden=(4,), kernel=3, patch=8, given=3, horizon=2, batch=2)


class Timed:
    """What a budget asks of a Trainer; an iteration takes so many seconds by a clock of its own, the first one longer."""

    plan = PLAN

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds = 0.0, seconds
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def frames(self, k):
        return k

    def step(self, k):
        self.now += self.seconds if k else 60


def test_iterations_multiply_adds_and_seconds(monkeypatch):
    trainer, cost = Timed(monkeypatch, 0.5), count_iteration(PLAN)
    assert Budget(["7", "iterations"]).iterations(trainer) == (7, "iterations")
    assert Budget([str(7.5 * cost), "multiply-adds"]).iterations(trainer) == (7, "multiply-adds")
    assert Budget(["4", "seconds"]).iterations(trainer) == (8, "seconds")
    several = ["4", "seconds", str(9 * cost), "multiply-adds", "7", "iterations"]
    assert Budget(several).iterations(trainer) == (7, "iterations")
    assert Budget(several[:4]).iterations(trainer) == (8, "seconds")
    with pytest.raises(ConfigError, match="does not allow a single iteration"):
        Budget([str(cost / 2), "multiply-adds"]).iterations(trainer)


def test_the_multiply_adds_of_an_iteration_by_hand():
    kernel, grid, x, k = 9, 4 * 4, 64, 4
    frame = grid * (kernel * ((x + k) * 4 * k + (x + k) * 3 * k + 2 * k * k) + 2 * k * k + k * x)
    assert count_iteration(PLAN) == 3 * 2 * 4 * frame  # forward and both gradients, 2 sequences, 4 steps
    assert count_iteration(PLAN.replace(update="both_ways")) == 2 * count_iteration(PLAN)


@pytest.mark.parametrize("name", MODELS)
def test_a_whole_sequence_is_counted(name):
    """Of a network that treats every frame alike it is the count of a frame, times the steps. PredNet's first step costs more."""
    network = lay_out(math.inf, name, (64, 64, 1), MODELS[name].Options())
    frame, sequence = network.count_multiply_adds(), network.count_multiply_adds(given=3, horizon=2)
    later = network.count_multiply_adds(given=2) - frame
    assert 0 < sequence <= 4 * frame
    assert sequence == frame + 3 * later or network.forecasts_only
    assert later == frame or network.forecasts_only or name == "prednet"


def test_a_shorter_recipe_has_the_whole_schedule():
    recipe = Recipe().lasting(800)
    assert recipe == Recipe().replace(steps=800, sampling_until=500, validate_every=50, halve_every=40,
                                      sampling_scale=recipe.sampling_scale)
    assert Recipe().lasting(80_000) == Recipe()
    assert Recipe(sampling_until=0).lasting(1) == Recipe(sampling_until=0).replace(
        steps=1, validate_every=1, halve_every=1, sampling_scale=Recipe(sampling_until=0).lasting(1).sampling_scale)


def test_sigmoid_sampling_is_half_way_at_the_same_part_of_a_shorter_run():
    recipe = Recipe(sampling="sigmoid", steps=100_000, batch=100)
    short = recipe.lasting(1_000)
    half = recipe.sampling_scale * math.log(recipe.sampling_scale)
    for iteration, of in ((round(half), recipe), (round(half / 100), short)):
        assert truth_mask(of, 1, 2, iteration)[:, 1].mean() == pytest.approx(0.5, abs=0.03)
