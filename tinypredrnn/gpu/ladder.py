"""From the fastest way to compute on a GPU down to the safest: a way that fails, or that computes wrong numbers, is
given up for the next one.

    our own convolution kernel (convolution.py)      ->  cuBLAS (cublas.py)
    the training step as a CUDA graph (recording.py) ->  the same step launched op by op

Each way is checked when it is first used: every variant of the kernel against cuBLAS, the first replays of a graph
against steps that were launched op by op. What is given up is said in one sentence. Too little memory is no reason to
give up a way, since the next one needs as much.
"""

import functools
import os
from contextvars import ContextVar

import numpy as np

from tinypredrnn.backend import first_line
from tinypredrnn.errors import DeviceError, Error, say_once
from tinypredrnn.memory import lacks_memory
from tinypredrnn.options import called

capturing = ContextVar("capturing", default=False)  # whether work is recorded as a CUDA graph


class WrongResult(Exception):
    """A way to compute that gave other numbers than the next one."""


class Rung:
    """A way to compute that is used until it fails for the first time.

    name      what it is, as the subject of a sentence
    instead   what happens from then on, as a sentence
    without   how to start the program without it, as a clause: needed if the failure has stopped the GPU
    fault     why it was given up; None as long as it holds
    """

    def __init__(self, name, instead, without):
        self.name, self.instead, self.without, self.fault = name, instead, without, None

    def __call__(self, way, next_way, *arguments, **options):
        """way(...), or next_way(...) if `way` fails now or has failed before.

        Errors that are the user's and a lack of memory are raised. DeviceError if CUDA fails in both: after some
        errors, such as an illegal address, it refuses everything else that this process asks for. While a graph is
        recorded only `way` is tried: the next one is for steps that are launched op by op.
        """
        if self.fault:
            return next_way(*arguments, **options)
        try:
            return way(*arguments, **options)
        except Exception as error:
            if isinstance(error, Error) or lacks_memory(error):
                raise
            self.give_up(error if isinstance(error, WrongResult) else f"failed ({named(error)})")
            if capturing.get():
                raise
        try:
            return next_way(*arguments, **options)
        except Exception as error:
            if lacks_memory(error) or not type(error).__module__.startswith("cupy"):
                raise
            raise DeviceError(f"{self.name} {self.fault}, and the GPU did not go on ({named(error)}): {self.without}"
                              ) from error

    def give_up(self, fault):
        self.fault = str(fault)
        say_once(f"{self.name} {self.fault}: {self.instead}")


def named(error):
    """An error in a few words: its class, and the first line of what it says."""
    return f"{type(error).__name__}: {first_line(error)}"


@functools.cache
def own_kernel(device):
    """The Rung of our own convolution kernel on `device`."""
    rung = Rung(f"our own convolution kernel on {device}", "cuBLAS computes convolutions from now on",
                "start again with TINYPREDRNN_OWN_KERNEL=0 in the environment")
    if os.environ.get("TINYPREDRNN_OWN_KERNEL") == "0":
        rung.give_up("is switched off by TINYPREDRNN_OWN_KERNEL")
    return rung


def recorded_step(device):
    """The Rung of one training step as a CUDA graph on `device`."""
    return Rung(f"the training step recorded as a CUDA graph on {device}", "steps are launched op by op from now on",
                f"start again without a recorded step ({called('graph')})")


def require_agreement(found, expected, start, bound, what):
    """WrongResult if one of the arrays `found` is further from `expected` than `bound` allows: as norms, relative to
    the distance from `start` to `expected`, which is what had to be computed.

    All are lists of NumPy arrays; `start` may hold numbers. NaN agrees with NaN.
    """
    for ours, theirs, before in zip(found, expected, start, strict=True):
        with np.errstate(invalid="ignore"):
            errors, changes = np.float64(ours) - theirs, np.float64(theirs) - before
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        error = np.linalg.norm(np.where(same, 0, errors))
        computed = np.linalg.norm(np.where(np.isfinite(changes), changes, 0))
        if not error <= bound * computed:
            raise WrongResult(f"computes wrong numbers ({what} differs by {error:.1e}, and at most "
                              f"{bound * computed:.1e} is allowed)")
