"""Losses: the difference between prediction and truth as one number to minimise, a mean over all elements.

Each can weigh the elements, so that what is rare and matters, such as heavy rain, is not lost among what is common.
"""

from tinypredrnn.autograd import bce, where
from tinypredrnn.errors import ConfigError


def l1(prediction, truth, weights=None):
    """mean |d|"""
    return mean(abs(prediction - truth), weights)


def l2(prediction, truth, weights=None):
    """mean d^2"""
    return mean((prediction - truth) ** 2, weights)


def l1_l2(prediction, truth, weights=None):
    """mean |d| + mean d^2: the L1 + L2 loss of the paper, Section 4. With the weights of HKO-7, it is the sum of the
    balanced errors B-MAE and B-MSE with which that benchmark trains (Shi et al., 2017)."""
    d = prediction - truth
    return mean(abs(d), weights) + mean(d ** 2, weights)


def cross_entropy(prediction, truth, weights=None):
    """mean binary cross-entropy of predicted probabilities; DFN's loss"""
    return mean(bce(prediction, truth), weights)


def mean(costs, weights=None):
    """The mean of costs times weights; it is not divided by the sum of the weights."""
    return costs.mean() if weights is None else (weights * costs).mean()


def weights_of(truth, steps):
    """A weight for each element of `truth`: 1 below all thresholds, and that of the highest threshold that it reaches.

    steps   (threshold, weight) pairs, the thresholds rising and on the model's scale
    """
    weights = 0 * truth + 1  # of the truth's dtype, on its device
    for threshold, weight in steps:
        weights = where(truth >= threshold, weight, weights)
    return weights


LOSSES = {"l1+l2": l1_l2, "l2": l2, "l1": l1, "bce": cross_entropy}


def find_loss(name, steps=()):
    """The loss of that name, (prediction, truth) -> scalar. ConfigError if there is none.

    steps   (threshold, weight) pairs as for `weights_of`; the loss then weighs each element by its truth
    """
    if name not in LOSSES:
        raise ConfigError(f"loss {name!r} is unknown: expected one of {', '.join(LOSSES)}")
    loss = LOSSES[name]
    return (lambda prediction, truth: loss(prediction, truth, weights_of(truth, steps))) if steps else loss
