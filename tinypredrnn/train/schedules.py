"""What changes during training: which inputs are true frames, and the learning rate."""

import math

import numpy as np


def truth_mask(recipe, given, horizon, iteration, rows=slice(None)):
    """Which inputs of a training step are true frames: (batch, given + horizon - 1), 1 for true, 0 for predicted.

    recipe           a Recipe, of which batch, seed and what begins with "sampling" are used
    given, horizon   how many frames are shown, and how many are predicted after them
    rows             the rows of the batch to return; with several processes, each takes its own

    A network that is trained on true frames alone never learns to deal with its own errors (scheduled sampling, Bengio
    et al. 2015). The generator that draws depends only on (seed, iteration). Each input of each sequence is drawn
    independently, except with "sigmoid".

        teacher   true frames always (teacher forcing)
        off       true frames as long as they are given, then always the network's own predictions
        linear    given frames are true; later ones with a probability that falls from 1 to 0 until `sampling_until`
        sigmoid   (CDNA) given frames are true; later ones, at each step, for exactly round(batch p) sequences, drawn
                  anew, where p = k / (k + exp(iteration / k)) with k = `sampling_scale`
        reverse   (PredRNN-V2) until s1, all frames are true with probability 1/2; then, until s2, given frames with
                  probability 1 - 1/2 exp(-(it - s1) / alpha), later ones with 1/2 - 1/2 (it - s1) / (s2 - s1); after s2
                  as in "off". `it` counts from 1, as in the authors' code; s2 is sampling_until, s1 = sampling_from s2,
                  alpha = sampling_alpha s2. Their script for Moving MNIST has our defaults: 25,000, 50,000 and 2,500
    """
    rng = np.random.default_rng([recipe.seed, 1, iteration])
    draws = rng.random((recipe.batch, given + horizon - 1))
    if recipe.sampling == "sigmoid":
        ranks = draws.argsort(axis=0).argsort(axis=0)  # of the sequences, at each step
        truth = (ranks < true_sequences(recipe, iteration)) | (np.arange(draws.shape[1]) < given)
        return truth.astype(np.float32)[rows]
    done = min(1.0, iteration / recipe.sampling_until) if recipe.sampling_until else 1.0
    of_given, of_future = 1.0, 0.0  # probabilities of a true frame
    if recipe.sampling == "teacher":
        of_future = 1.0
    elif recipe.sampling == "linear":
        of_future = 1 - done
    elif recipe.sampling == "reverse" and (it := iteration + 1) < (s2 := recipe.sampling_until):
        s1, alpha = recipe.sampling_from * s2, recipe.sampling_alpha * s2
        of_given = of_future = 0.5
        if it > s1:
            of_given = 1 - 0.5 * math.exp(-(it - s1) / alpha)
            of_future = 0.5 * (s2 - it) / (s2 - s1)
    probability = np.where(np.arange(draws.shape[1]) < given, of_given, of_future)
    probability[0] = 1  # the first frame has no prediction
    return (draws < probability).astype(np.float32)[rows]


def true_sequences(recipe, iteration):
    """How many sequences of a batch see the true frame, with sigmoid sampling."""
    k = recipe.sampling_scale
    return round(recipe.batch / (1 + math.exp(min(iteration / k, 700)) / k))  # exp(710) would overflow


def rate_at(recipe, iteration):
    """The learning rate that a Recipe prescribes for an iteration."""
    if recipe.rate_schedule == "constant":
        return recipe.rate
    if recipe.rate_schedule == "halving":
        return recipe.rate * 0.5 ** (iteration // recipe.halve_every)
    if recipe.rate_schedule == "drop":
        return recipe.rate * (1 if 2 * iteration < recipe.steps else 0.1)
    warm_up = 0.02 * recipe.steps
    return recipe.rate * min((iteration + 1) / max(warm_up, 1),
                             0.5 + 0.5 * math.cos(math.pi * iteration / recipe.steps))
