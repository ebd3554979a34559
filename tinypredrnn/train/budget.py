"""Budget: what each network of a comparison may spend on its training, in iterations, multiply-adds or seconds.

No unit is fair in every respect:

    iterations      Every network sees the same sequences and takes the same number of steps: this is the paper's
                    protocol. But to compute more for each step costs nothing, so larger networks gain.
    multiply-adds   Every network does the same arithmetic, as counted from its layers: neither its size, nor how
                    well our kernels suit it, nor the machine matters, and a repetition gives the same numbers. This
                    is the fair choice between networks of different sizes. (Elementwise maths is not counted.)
    seconds         What it costs you, here and now. It measures our kernels and your machine as much as the network,
                    and another run gives other numbers.

Each becomes a number of iterations before the training starts, so that every run is an ordinary one, with the whole of
its schedules, which can be resumed.
"""

import functools
import math
import time

from tinypredrnn.errors import ConfigError
from tinypredrnn.models import lay_out
from tinypredrnn.train.update import UPDATES

PASSES = 3  # products forward; and backward those that give the gradients of the input and of the weights
TIMED = 3  # iterations


class Budget:
    """What a training may spend, from words such as ("3e12", "multiply-adds", "300", "seconds"). Of several amounts,
    the one that is used up first ends it. ConfigError if the words say something else.
    """

    def __init__(self, words):
        self.most = {}
        for number, unit in zip(words[::2], words[1::2]):
            try:
                self.most[unit] = float(number)
            except ValueError:
                self.most[unit] = math.nan
        if (len(words) != 2 * len(self.most) or not words or not self.most.keys() <= COSTS.keys()
                or not all(1 <= amount < math.inf for amount in self.most.values())):
            raise ConfigError(f"a budget is a number and its unit, {', '.join(COSTS)}, or several of these, such as "
                              f"3e12 multiply-adds 300 seconds; got {' '.join(words)!r:.80}")

    def __str__(self):
        return " or ".join(f"{amount:,.0f} {unit}" if amount < 1e9 else f"{amount:.3g} {unit}"
                           for unit, amount in self.most.items())

    def iterations(self, trainer):
        """(iterations that a run like that of a fresh `trainer` may do, the unit of the amount that allows no more).

        ConfigError if it may not do a single one. To measure the seconds of one, it trains for some.
        """
        costs = {unit: COSTS[unit](trainer) for unit in self.most}
        unit = min(costs, key=lambda unit: self.most[unit] / costs[unit])
        if self.most[unit] < costs[unit]:
            raise ConfigError(f"a budget of {self} does not allow a single iteration, which costs {costs[unit]:.3g} "
                              f"{unit}: give more, or take a smaller network")
        return int(self.most[unit] / costs[unit]), unit


def count_iteration(plan):
    """The multiply-adds of one training iteration of a Plan, from the layers alone."""
    _, _, of_sequence = count(plan)
    return PASSES * UPDATES[plan.recipe.update].gradients * plan.recipe.batch * of_sequence


def count(plan):
    """(parameters, multiply-adds of a frame, multiply-adds of a sequence) of a Plan's network, as `models` lists them.

    Errors of models.lay_out if the network is impossible.
    """
    return count_network(plan.model, plan.frame, plan.options, plan.data.given, plan.data.horizon)


@functools.cache
def count_network(model, frame, options, given, horizon):
    network = lay_out(math.inf, model, frame, options)
    return network.count_parameters(), network.count_multiply_adds(), network.count_multiply_adds(given, horizon)


def time_iteration(trainer):
    """The seconds of one training iteration, measured: the mean of some, after a first one that compiles kernels."""
    trainer.step(trainer.frames(0))
    started = time.perf_counter()
    for k in range(1, TIMED + 1):
        trainer.step(trainer.frames(k))
    return (time.perf_counter() - started) / TIMED


COSTS = {"iterations": lambda trainer: 1, "multiply-adds": lambda trainer: count_iteration(trainer.plan),
         "seconds": time_iteration}
