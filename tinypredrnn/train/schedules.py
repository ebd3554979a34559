"""What changes in the course of training: which inputs are true frames, and how large the steps are."""

import math

import numpy as np


def truth_mask(config, iteration):
    """Which inputs of a training step are true frames: (batch, given + horizon - 1) of 1 (true) and 0 (the network's own prediction).

    A network that only ever saw true frames has never met its own mistakes (Bengio et al. 2015, scheduled sampling). Each input of each
    sequence is drawn alone, from a generator that depends on nothing but (seed, iteration).

        off      true frames while they are given, then always its own predictions
        linear   after the given frames, true with a probability that falls from 1 to 0 over `sampling_until` iterations
        reverse  (PredRNN-V2) as well while watching: there true with probability 1/2 at first, then more and more; after the given
                 frames 1/2 at first, then down to 0 linearly. The turn is at half of `sampling_until`, as in the authors' script.
    """
    rng = np.random.default_rng([config.seed, 1, iteration])
    draws = rng.random((config.batch, config.given + config.horizon - 1))
    done = min(1.0, iteration / config.sampling_until) if config.sampling_until else 1.0
    watching, predicting = 1.0, 0.0
    if config.sampling == "linear":
        predicting = 1 - done
    elif config.sampling == "reverse" and done < 1:
        watching = 1 - 0.5 * math.exp(-20 * max(0.0, done - 0.5))
        predicting = min(0.5, 1 - done)
    probability = np.where(np.arange(draws.shape[1]) < config.given, watching, predicting)
    probability[0] = 1  # there is no prediction of the first frame
    return (draws < probability).astype(np.float32)


def rate_at(config, iteration):
    """The learning rate of an iteration."""
    if config.rate_schedule == "constant":
        return config.rate
    warm_up = 0.02 * config.steps
    return config.rate * min((iteration + 1) / max(warm_up, 1), 0.5 + 0.5 * math.cos(math.pi * iteration / config.steps))
