"""Trainers that are watched, or stopped in the middle, for the tests beside this file."""

import os
import signal

from tinypredrnn.train import read_log


def bits(trainer):
    """Every number that training has changed, to the last bit."""
    arrays = trainer.model.state_dict() | trainer.update.state_dict()
    return {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}


def log_without_seconds(out):
    log = read_log(out / "log.csv")
    del log["seconds"]
    return log


def at_each_step(trainer, act):
    """Have `act(frames)` called before each step."""
    step = trainer.step

    def watched(frames):
        act(frames)
        return step(frames)

    trainer.step = watched
    return trainer


def stop_after(trainer, steps, number=signal.SIGINT):
    """Have a real signal arrive in the course of step number `steps`."""
    return at_each_step(trainer, lambda frames: trainer.iteration == steps - 1 and os.kill(os.getpid(), number))
