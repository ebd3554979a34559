"""How much memory a training step takes: computed from shapes, to refuse a step that cannot fit, and measured."""

import contextlib
import math
import tracemalloc

import numpy as np

from tinypredrnn.autograd import Tensor
from tinypredrnn.autograd.recompute import tensors_in
from tinypredrnn.backend import memory_held, memory_within_reach
from tinypredrnn.errors import TooLargeError, say_once
from tinypredrnn.memory import SMALL, format_bytes, lacks_memory, memory_limit, require_memory
from tinypredrnn.models import find_model
from tinypredrnn.nn.layout import generator, hollow, layout_only
from tinypredrnn.optim import OPTIMISERS
from tinypredrnn.options import called

MARGIN = 0.9  # of the memory that is left, a smaller batch may take: the pool is never filled without gaps


def remedy(plan):
    """What makes a training step of this plan smaller, by the options that its network has."""
    smaller = " or ".join(called(name) for name in ("batch", "hidden", "width") if name in plan.names())
    patch = f", a larger {called('patch')}" if "patch" in plan.names() else ""
    again = "" if plan.recipe.recompute else f", {called('recompute')}"
    half = "" if plan.recipe.activations == "bf16" else f", {called('activations')} bf16"
    return (f"take a smaller {smaller}{patch}{again}{half}, fewer frames ({called('given')}, {called('horizon')}) or "
            f"smaller ones ({called('size')})")


def step_memory(plan):
    """(least, about): the bytes that a training step certainly takes, and an estimate, good within a factor of two.

    Certain are the weights, their gradients and what the optimiser keeps for them, the batch and the predictions, and
    the states of all steps, which backward needs; or, if it computes segments of steps again, the states before them.
    """
    batch, steps = plan.recipe.batch, plan.data.given + plan.data.horizon - 1
    with layout_only():
        model = find_model(plan.model)(plan.frame, plan.options, generator(0))
        x = model.enter(Tensor(hollow((batch, 1, *plan.frame))))
        state = model.start(x)
    slots = OPTIMISERS[plan.recipe.optimiser].slots
    weights = sum(t.data.nbytes * (2 + len(slots(t))) for t in model.parameters())
    frames = batch * math.prod(plan.frame) * np.dtype(np.float32).itemsize
    least, state = weights + (2 * steps + 1) * frames, sum(t.data.nbytes for t in tensors_in(state))
    segment = plan.recipe.segment(steps) or steps
    between = steps // segment * state if segment < steps else 0
    within = segment * state / (2 if plan.recipe.activations == "bf16" else 1)
    return least + int(max(between, within)), least + int(between + model.kept * within)


def measure_memory(trainer):
    """The bytes in use at once in a training iteration, measured; it trains for one. On the CPU they are those of all
    arrays, weights and moments included, without what Python, libraries and compiled kernels take; on a GPU, what
    CuPy's pool holds.
    """
    if trainer.device != "cpu":
        trainer.step(trainer.frames(0))
        return memory_held(trainer.device)
    kept = [*trainer.model.state_dict().values(), *trainer.update.state_dict().values()]
    tracemalloc.start()
    try:
        trainer.step(trainer.frames(0))
        return tracemalloc.get_traced_memory()[1] + sum(array.nbytes for array in kept)
    finally:
        tracemalloc.stop()


def check_memory(plan, device="cpu"):
    """TooLargeError if a training step of this plan can never fit on `device`; a warning if it may not fit."""
    least, about = step_memory(plan)
    require_memory(least, "a training step", remedy(plan), device)
    if about > SMALL and about > (most := memory_limit(device)):
        say_once(f"a training step takes about {format_bytes(about)} of memory, and {device} has {format_bytes(most)}: "
                 f"if that fails, {remedy(plan)}")


def batch_that_fits(plan, room):
    """The largest batch whose step is estimated to fit into `room` bytes, into which the plan's batch did not fit."""
    batch, (_, about) = plan.recipe.batch, step_memory(plan)
    alone = step_memory(plan.replace(batch=1))[1]
    each = (about - alone) / max(1, batch - 1)  # the estimate is linear in the batch
    room = MARGIN * min(room, about)  # if the estimate said that it would fit, it was too low by at least that factor
    return min(batch - 1, max(0, int(1 + (room - alone) / each))) if batch > 1 else 0


@contextlib.contextmanager
def explain_memory_error(plan, device="cpu"):
    """Turn a MemoryError of NumPy or CuPy into a TooLargeError that says how much a step takes and what would fit."""
    room = memory_limit("cpu") if device == "cpu" else memory_within_reach(device)
    try:
        yield
    except Exception as error:
        if not lacks_memory(error) or isinstance(error, TooLargeError):
            raise
        about, fits = format_bytes(step_memory(plan)[1]), batch_that_fits(plan, room)
        fits = f"{called('batch')} {fits} would fit" if fits else f"not even {called('batch')} 1 would fit"
        raise TooLargeError(f"there is not enough memory ({str(error) or 'none is left'}), and a training step takes "
                            f"about {about}: {remedy(plan)}; by this estimate {fits}") from error
