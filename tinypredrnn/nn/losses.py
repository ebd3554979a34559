"""Losses: the difference between prediction and truth as one number to minimise, a mean over all elements, or a sum."""

from tinypredrnn.autograd import bce
from tinypredrnn.errors import ConfigError


def l1(prediction, truth):
    """mean |d|"""
    return abs(prediction - truth).mean()


def l2(prediction, truth):
    """mean d^2"""
    return ((prediction - truth) ** 2).mean()


def l1_l2(prediction, truth):
    """mean |d| + mean d^2: the L1 + L2 loss of the paper, Section 4"""
    d = prediction - truth
    return abs(d).mean() + (d ** 2).mean()


def cross_entropy(prediction, truth):
    """mean binary cross-entropy of predicted probabilities; DFN's loss"""
    return bce(prediction, truth).mean()


def summed_cross_entropy(prediction, truth):
    """binary cross-entropy, summed over everything: FC-LSTM's loss, for optimisers that limit the length of a step"""
    return bce(prediction, truth).sum()


LOSSES = {"l1+l2": l1_l2, "l2": l2, "l1": l1, "bce": cross_entropy, "bce-sum": summed_cross_entropy}


def find_loss(name):
    """The loss of that name. ConfigError if there is none."""
    if name not in LOSSES:
        raise ConfigError(f"loss {name!r} is unknown: expected one of {', '.join(LOSSES)}")
    return LOSSES[name]
