"""Trainer: steps, and everything around them that a person wants to see or to find again."""

import contextlib
import csv
import json
import math
import signal
import threading
import time
from pathlib import Path

from tqdm import tqdm

from tinypredrnn.autograd import tensor
from tinypredrnn.backend import find_device
from tinypredrnn.data.batches import Prefetch
from tinypredrnn.errors import CheckpointError, ConfigError, TrainingError
from tinypredrnn.files import replacing
from tinypredrnn.metrics import mse
from tinypredrnn.models import build_model
from tinypredrnn.nn import find_loss
from tinypredrnn.optim import Adam, clip_gradients
from tinypredrnn.train.checkpoint import NAME, read_checkpoint, save_checkpoint
from tinypredrnn.train.schedules import rate_at, truth_mask
from tinypredrnn.train.scoring import predict, to_unit
from tinypredrnn.viz import save_gif, save_strip, save_training_curves

LOG = ("iteration", "loss", "rate", "seconds", "validation_mse")
SECONDS_BETWEEN_SAVES = 60


class Trainer:
    """A run: a model, its optimiser, and the folder `out` that they are written to.

    config       a Config
    batch        the training data as a function: batch(k) gives batch k, (B,T,H,W,C) uint8, the same whenever it is asked for
    validation   sequences (N,T,H,W,C) uint8 to look at in between; the first three are drawn
    out          folder for config.json, checkpoint.npz, log.csv, curves.png and pictures/
    device       "cpu", "gpu", "gpu:N" or "auto"
    """

    def __init__(self, config, batch, validation, out, device="cpu"):
        self.config, self.batch, self.validation, self.out = config, batch, validation, Path(out)
        self.device = find_device(device)
        self.model = build_model(**config.model_options()).to(self.device)
        self.optimiser = Adam(self.model.parameters(), config.rate)
        self.loss = find_loss(config.loss)
        self.iteration = 0

    def restore(self):
        """Go on where the checkpoint in `out` stopped: the same numbers from there on as if it never had (on the CPU, bit for bit)."""
        _, self.iteration, parts = read_checkpoint(self.out)
        self.model.load_state_dict(parts["model"])
        self.optimiser.load_state_dict(parts["optimiser"])

    def save(self):
        save_checkpoint(self.out / NAME, self.config, self.iteration, self.model, self.optimiser)

    def step(self, frames):
        """One training iteration on frames (B,T,H,W,C) in [0, 1]; returns the loss."""
        config, frames = self.config, tensor(frames, device=self.device)
        first = config.given - 1 if config.loss_over == "future" else 0
        self.model.zero_grad()
        outputs = self.model.unroll(frames, truth_mask(config, self.iteration))  # (B,T-1,H,W,C)
        loss = self.loss(outputs[:, first:], frames[:, first + 1:])
        if not math.isfinite(loss.item()):
            raise TrainingError(f"the loss of iteration {self.iteration + 1} is {loss.item()}: the last good state is kept in {self.out}; "
                                "start again with a smaller --rate or with --clip 1")
        loss.backward()
        if config.clip:
            clip_gradients(self.model.parameters(), config.clip)
        self.optimiser.step(rate_at(config, self.iteration))
        self.iteration += 1
        return loss.item()

    def run(self):
        """Train up to config.steps. Returns the signal that stopped it early (Ctrl-C, SIGTERM), with everything saved, or None."""
        config = self.config
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self.out / "config.json", config.as_dict())
        frames_per_step = config.batch * (config.given + config.horizon)
        saved = time.monotonic()
        with (
            catch_signals() as caught,
            Prefetch(lambda k: to_unit(self.batch(k)), start=self.iteration) as batches,
            Log(self.out / "log.csv", self.iteration) as log,
            tqdm(total=config.steps, initial=self.iteration, unit="step", dynamic_ncols=True) as bar,
        ):
            while self.iteration < config.steps and not caught:
                started, rate = time.monotonic(), rate_at(config, self.iteration)
                loss = self.step(next(batches))
                seconds = time.monotonic() - started
                last = self.iteration == config.steps
                score = self.look() if last or self.iteration % config.validate_every == 0 else ""
                log.add(self.iteration, f"{loss:.6g}", f"{rate:.4g}", f"{seconds:.4f}", score)
                bar.set_postfix_str(f"loss {loss:.4f}, {frames_per_step / seconds:.0f} frames/s", refresh=False)
                bar.update()
                if last or score or time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    self.save()
                    save_training_curves(self.out / "curves.png", read_log(self.out / "log.csv"))
                    saved = time.monotonic()
            self.save()
        return caught[0] if caught else None

    def look(self):
        """Predict the validation set and draw its first sequences; returns the MSE per frame."""
        given, frames = self.config.given, to_unit(self.validation)
        inputs, truth = frames[:, :given], frames[:, given:]
        prediction = predict(self.model, inputs, truth.shape[1])
        picture = self.out / "pictures" / f"{self.iteration:06d}"
        save_strip(picture.with_suffix(".png"), inputs[:3], truth[:3], prediction[:3])
        save_gif(picture.with_suffix(".gif"), inputs[:3], truth[:3], prediction[:3])
        return round(float(mse(prediction, truth).mean()), 3)


class Log:
    """log.csv, a row for each iteration. Going on at `iteration` drops the rows of steps that were not saved."""

    def __init__(self, path, iteration):
        rows = []
        if iteration and path.is_file():
            columns = read_log(path)
            rows = [row for row in zip(*(columns[name] for name in LOG)) if int(row[0]) <= iteration]
        self.file = open(path, "w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)
        self.writer.writerows([LOG, *rows])

    def add(self, *row):
        self.writer.writerow(row)
        self.file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()


def read_log(path):
    """The columns of log.csv as {name: list of strings}."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in LOG}


def write_json(path, value):
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


@contextlib.contextmanager
def catch_signals():
    """Yield a list that Ctrl-C and SIGTERM are entered into, so that a step is never cut in two; a second Ctrl-C stops at once."""
    caught = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # only the main thread can handle signals
        return

    def enter(number, frame):
        if caught:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number))

    before = {number: signal.signal(number, enter) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prepare_run(out, config, resume, overwrite, changes):
    """The Config to run with in the folder `out`: the given one, or on `resume` the one in the checkpoint there.

    changes   the options that the user named; on resuming only `steps` and what looks at the run may differ from the checkpoint's

    Raises ConfigError where a run would be overwritten without being told, or continued as another one; CheckpointError where there is
    nothing to resume.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: name a folder for the run")
    if resume:
        if not (out / NAME).is_file():
            raise CheckpointError(f"nothing to resume in {out}: no {NAME} there; start the run without --resume")
        saved, iteration, _ = read_checkpoint(out)
        config = saved.replace(**changes)
        for name in changes.keys() - {"steps", "validate_every", "test_sequences"}:
            if getattr(saved, name) != getattr(config, name):
                raise ConfigError(f"the run in {out} has {name} {getattr(saved, name)}, not {getattr(config, name)}: leave the option out "
                                  "to go on with it, or start another run with another --out")
        if iteration > config.steps:
            raise ConfigError(f"the run in {out} has done {iteration} steps already: ask for more than that with --steps")
        return config
    if out.is_dir() and any((out / name).exists() for name in (NAME, "config.json", "log.csv")) and not overwrite:
        raise ConfigError(f"{out} holds a run: go on with it with --resume, replace it with --overwrite, or name another --out")
    return config
