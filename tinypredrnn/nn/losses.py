"""Losses: the difference between prediction and truth as one number to minimise, a mean over all elements."""

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


LOSSES = {"l1+l2": l1_l2, "l2": l2, "l1": l1, "bce": cross_entropy}


def find_loss(name):
    """The loss of that name. ConfigError if there is none."""
    if name not in LOSSES:
        raise ConfigError(f"loss {name!r} is unknown: expected one of {', '.join(LOSSES)}")
    return LOSSES[name]
