"""Trains small networks, alone or as one of the processes that mpiexec starts: `python many.py FOLDER NAME ...` writes a run of each of
these names out of RUNS.

Frames have places without data, and weights count heavy ones more, so that a mean of the processes' means could go wrong.
"""

import dataclasses
import os
import signal
import sys
from unittest import mock

import numpy as np

from tinypredrnn import metrics
from tinypredrnn.data.scale import Scale
from tinypredrnn.data.source import Source, stream
from tinypredrnn.errors import ConfigError, DataError, command
from tinypredrnn.train import Trainer, new_plan, trainer
from tinypredrnn.train.parallel import ALONE, processes

SMALL = dict(given=3, horizon=2, hidden=(3, 2), kernel=3, patch=4, batch=4, steps=20, validate_every=4, validation_sequences=3, rate=0.003,
             optimiser="adam", loss="l1+l2", heavy=(0.5, 0.9), weights=(2.0, 5.0), sampling_until=10, clip=0.5)
RUNS = {
    "descent": {},
    "both_ways": {"update": "both_ways"},
    "uneven": {"batch": 5, "model": "predrnn_v2", "hidden": (2, 2), "sampling": "reverse"},
    "float32": {"dtype": np.float32},
}


def fail():
    raise DataError("the frames are gone")


# what happens in the second process after six iterations; the run is otherwise that of "descent"
TROUBLE = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stopped": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "failed": fail,
}


class Patchy(Source):
    """Frames (8,8,1) of random numbers, up to two thirds of them missing, in some sequences more than in others."""

    name, frame, scale, metrics = "patchy", (8, 8, 1), Scale((0.0, 1.0), gaps=True), (metrics.MSE,)

    def draw(self, name, k, count):
        rng = stream(name, self.seed, k)
        frames = rng.random((count, self.length, *self.frame))
        frames[rng.random(frames.shape) < rng.random((count, 1, 1, 1, 1)) / 1.5] = np.nan
        return frames

    def batch(self, k, count, rows=slice(None)):
        return self.draw("training", k, count)[rows]

    def validation(self):
        return self.draw("validation", 0, self.options.validation_sequences)

    def tests(self):
        return {"patchy": lambda: self.draw("test", 0, 5)}


def train(out, ranks=ALONE, dtype=np.float64, trouble=None, resume=False, model="predrnn", **changes):
    """A run in the folder `out`, computed in `dtype`. Returns the signal that stopped it, or None."""
    plan = new_plan(model, "mnist", **SMALL | changes)
    plan = dataclasses.replace(plan, data=Source.Options(given=3, horizon=2, validation_sequences=3), source="patchy")
    source = Patchy(plan.data, plan.recipe.seed)
    pictures = dict.fromkeys(("save_gif", "save_strip", "save_training_curves"), lambda path, *what: path.write_bytes(b"a picture"))
    with mock.patch.object(Scale.to_model, "__defaults__", (dtype,)), mock.patch.multiple(trainer, **pictures):
        run = Trainer(plan.on(source), source, out, ranks=ranks)
        run.model.to(dtype=dtype)
        run.update = type(run.update)(run.model, run.plan, ranks=ranks)
        step = run.step

        def step_in_trouble(frames):
            if trouble and ranks.rank == 1 and run.iteration == 6:
                trouble()
            return step(frames)

        run.step = step_in_trouble
        with run.folder(resume):
            return run.run()


def main(folder, *names):
    stopped_by = None
    with processes() as ranks:
        for name in names:
            if name not in RUNS | TROUBLE:
                raise ConfigError(f"there is no run {name}")
            changes = {"trouble": TROUBLE[name]} if name in TROUBLE else RUNS[name]
            stopped_by = train(f"{folder}/{name}", ranks, **changes)
    return 128 + stopped_by if stopped_by else 0


if __name__ == "__main__":
    sys.exit(command(lambda: main(*sys.argv[1:])))
