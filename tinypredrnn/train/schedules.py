"""What changes in the course of training: which inputs are true frames, and how large the steps are."""

import math

import numpy as np


def truth_mask(recipe, given, horizon, iteration, rows=slice(None)):
    """Which inputs of a training step are true frames: (batch, given + horizon - 1) of 1 (true) and 0 (the network's own prediction).

    recipe           a Recipe: its batch, seed, sampling and sampling_until count
    given, horizon   frames that are shown, and that are predicted after them
    rows             of the batch: one process of many takes only its own

    A network that only ever saw true frames has never met its own mistakes (Bengio et al. 2015, scheduled sampling). Each input of each
    sequence is drawn alone, from a generator that depends on nothing but (seed, iteration).

        off      true frames while they are given, then always its own predictions
        linear   after the given frames, true with a probability that falls from 1 to 0 over `sampling_until` iterations
        reverse  (PredRNN-V2) as well while watching: there true with probability 1/2 at first, then more and more; after the given
                 frames 1/2 at first, then down to 0 linearly. The turn is at half of `sampling_until`, as in the authors' script.
    """
    rng = np.random.default_rng([recipe.seed, 1, iteration])
    draws = rng.random((recipe.batch, given + horizon - 1))
    done = min(1.0, iteration / recipe.sampling_until) if recipe.sampling_until else 1.0
    watching, predicting = 1.0, 0.0
    if recipe.sampling == "linear":
        predicting = 1 - done
    elif recipe.sampling == "reverse" and done < 1:
        watching = 1 - 0.5 * math.exp(-20 * max(0.0, done - 0.5))
        predicting = min(0.5, 1 - done)
    probability = np.where(np.arange(draws.shape[1]) < given, watching, predicting)
    probability[0] = 1  # there is no prediction of the first frame
    return (draws < probability).astype(np.float32)[rows]


def rate_at(recipe, iteration):
    """The learning rate of an iteration, by a Recipe."""
    if recipe.rate_schedule == "constant":
        return recipe.rate
    warm_up = 0.02 * recipe.steps
    return recipe.rate * min((iteration + 1) / max(warm_up, 1), 0.5 + 0.5 * math.cos(math.pi * iteration / recipe.steps))
