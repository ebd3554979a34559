"""Trainer: steps, and everything around them that a person wants to see or to find again."""

import contextlib
import io
import math
import re
import signal
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinypredrnn.autograd import debug, tensor
from tinypredrnn.backend import find_device, memory_held, uploader
from tinypredrnn.data.batches import Prefetch
from tinypredrnn.errors import CheckpointError, ConfigError, DataError, GraphError, TrainingError
from tinypredrnn.files import UNFINISHED, alone, replacing, write_json
from tinypredrnn.gpu import check_precision, has_tensor_cores, precision
from tinypredrnn.metrics import mse
from tinypredrnn.models import build_model
from tinypredrnn.nn import find_loss
from tinypredrnn.optim import Adam, clip_gradients
from tinypredrnn.train.captured import CapturedStep
from tinypredrnn.train.checkpoint import DAMAGED, NAME, PREVIOUS, newest, promote_previous, read_checkpoint, save_checkpoint
from tinypredrnn.train.limits import check_memory, saying_what_a_step_takes
from tinypredrnn.train.schedules import rate_at, truth_mask
from tinypredrnn.train.scoring import predict, to_unit
from tinypredrnn.viz import save_gif, save_strip, save_training_curves

LOG = ("iteration", "loss", "rate", "seconds", "validation_mse")
LOG_ROW = re.compile(r"\d{1,15}(,(-?\d+(\.\d+)?(e[-+]\d+)?|nan|inf)?){4}", re.ASCII)
FILES = (NAME, PREVIOUS, DAMAGED, "config.json", "data.json", "log.csv", "metrics.json", "curves.png", "frame_curves*.png",
         "prediction*.png", "prediction*.gif", "pictures/[0-9]*.png", "pictures/[0-9]*.gif")
LEFT_BY_A_KILL = f"{UNFINISHED}*", f"pictures/{UNFINISHED}*"
SECONDS_BETWEEN_SAVES = 60


class Trainer:
    """A run: a model, its optimiser, and the folder `out` that they are written to.

    config       a Config
    batch        the training data as a function: batch(k) gives batch k, (B,T,H,W,C) uint8, the same whenever it is asked for
    validation   sequences (N,T,H,W,C) uint8 to look at in between; the first three are drawn
    out          folder for config.json, checkpoint.npz, log.csv, curves.png and pictures/
    device       "cpu", "gpu", "gpu:N" or "auto"
    graph        on a GPU, replay each step as a CUDA graph (captured.py); False: launch its kernels one by one
    data         the data's `fingerprint` (checkpoint.py), which tells them from others when the run is resumed; None: only
                 batch 0 does

    TooLargeError where a step cannot fit into the memory of the device.
    """

    def __init__(self, config, batch, validation, out, device="cpu", graph=True, data=None):
        self.config, self.batch, self.validation, self.out = config, batch, validation, Path(out)
        self.device = find_device(device)
        check_memory(config, self.device)
        self.precision = check_precision(config.precision, self.device)
        self.model = build_model(**config.model_options()).to(self.device)
        self.optimiser = Adam(self.model.parameters(), config.rate)
        self.loss = find_loss(config.loss)
        self.clip = config.clip or math.inf
        self.captured = (CapturedStep(self.differentiate, self.optimiser, self.clip, self.device)
                         if graph and has_tensor_cores(self.device) else None)  # other GPUs need cuBLAS, which cannot be captured
        self.data, self.first_batch = data or {}, zlib.crc32(batch(0).tobytes())
        self.iteration = 0

    @contextlib.contextmanager
    def folder(self, resume=False, overwrite=False):
        """Within it the folder `out` is this program's alone, and ready for `run`: with the run to resume restored, or free of it.

        BusyError where another program trains into it; otherwise what prepare_run and restore raise.
        """
        with alone(self.out):
            delete(self.out, LEFT_BY_A_KILL)
            if resume:
                self.restore()
            elif overwrite:
                clear_run(self.out)
            else:
                refuse_run(self.out)  # once more: another program may have been quicker
            yield

    def restore(self):
        """Go on where the checkpoint in `out` stopped: the same numbers from there on as if it never had (on the CPU, bit for bit).

        CheckpointError where that was trained on other data, or belongs to another model.
        """
        name, (config, iteration, parts) = newest(self.out)
        self.check_data(config, parts["data"])
        self.model.load_state_dict(parts["model"])
        self.optimiser.load_state_dict(parts["optimiser"])
        self.iteration = iteration
        if name == PREVIOUS:
            promote_previous(self.out)

    def check_data(self, config, saved):
        """CheckpointError if a run with `config` was trained on other data than these, by what its checkpoint says."""
        ours = self.data if self.data.keys() <= saved.keys() else {}  # older checkpoints have no fingerprint
        if not ours and config.batch != self.config.batch:
            raise CheckpointError(f"the checkpoint in {self.out} knows its data by its first batch of {config.batch} alone: "
                                  "resume it without --batch first; the next checkpoint can then go on with another")
        ours = ours or {"first_batch": self.first_batch}
        other = [part for part in ours if not np.array_equal(ours[part], saved.get(part))]
        if other:
            raise CheckpointError(f"the run in {self.out} was trained on other data than these (what differs: "
                                  f"{', '.join(other)}): name its own, or start another run with another --out")

    def save(self):
        """Write the checkpoint."""
        data = self.data | {"first_batch": self.first_batch}
        parts = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "data": data}
        save_checkpoint(self.out / NAME, self.config, self.iteration, parts)

    def step(self, frames):
        """One training iteration on frames (B,T,H,W,C) in [0, 1]; returns the loss.

        TrainingError where the loss or its gradient is no finite number; the weights have not changed then.
        """
        truth, rate = truth_mask(self.config, self.iteration), rate_at(self.config, self.iteration)
        loss, slope = (self.captured or self.launched)(frames, truth, rate)
        if not math.isfinite(loss + slope):
            raise TrainingError(f"the loss of iteration {self.iteration + 1} is {loss:.4g}, its gradient has length {slope:.4g} "
                                f"({self.culprit(frames)}): the last checkpoint is kept in {self.out}; start again with a smaller --rate "
                                "or with --clip 1")
        self.iteration += 1
        return loss

    def launched(self, frames, truth, rate):
        """(loss, length of its gradient) of a step that is computed op by op; without effect where they are no finite numbers."""
        loss = self.differentiate(tensor(frames, device=self.device), truth).item()
        slope = clip_gradients(self.model.parameters(), self.clip)
        if math.isfinite(loss + slope):
            self.optimiser.step(rate)
        return loss, slope

    def differentiate(self, frames, truth):
        """The loss as a Tensor; its gradients are in the parameters then."""
        first = self.config.given - 1 if self.config.loss_over == "future" else 0
        self.model.zero_grad()
        with precision(self.precision):
            outputs = self.model.unroll(frames, truth)  # (B,T-1,H,W,C)
            loss = self.loss(outputs[:, first:], frames[:, first + 1:])
            loss.backward()
        return loss

    def culprit(self, frames):
        """What made the first NaN or infinity, in words: the iteration is computed again, with each op watched."""
        try:
            with debug(2, file=io.StringIO()):
                self.differentiate(tensor(frames, device=self.device), truth_mask(self.config, self.iteration))
        except GraphError as error:
            return str(error)
        return "no single op made it"

    def run(self):
        """Train up to config.steps. Returns the signal that stopped it early (Ctrl-C, SIGTERM), with everything saved, or None."""
        config = self.config
        if self.iteration == 0:
            self.save()  # from now on there is something to resume, whatever happens
        write_json(self.out / "config.json", config.as_dict())
        frames_per_step = config.batch * (config.given + config.horizon)
        saved = time.monotonic()
        upload = uploader(self.device)
        patience = 0.1 if sys.stderr.isatty() else 10  # seconds: a bar that moves on a screen would flood a file
        with (
            saying_what_a_step_takes(config),
            catch_signals() as caught,
            precision(self.precision),
            Prefetch(lambda k: upload(to_unit(self.batch(k))), start=self.iteration) as batches,
            Log(self.out / "log.csv", self.iteration) as log,
            tqdm(total=config.steps, initial=self.iteration, unit="step", dynamic_ncols=True, mininterval=patience) as bar,
        ):
            stop = False
            while self.iteration < config.steps and not stop:
                started, rate = time.monotonic(), rate_at(config, self.iteration)
                loss = self.step(self.next_of(batches))
                seconds = time.monotonic() - started
                last, due = self.iteration == config.steps, self.iteration % config.validate_every == 0
                log.add(self.iteration, f"{loss:.6g}", f"{rate:.4g}", f"{seconds:.4f}", self.look() if last or due else "")
                bar.set_postfix_str(f"loss {loss:.4f}, {frames_per_step / seconds:.0f} frames/s", refresh=False)
                bar.update()
                stop = bool(caught)  # asked once for each step, so that no signal can end the loop between two saves
                if last or due or stop or time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    self.save()
                    save_training_curves(self.out / "curves.png", read_log(self.out / "log.csv"))
                    saved = time.monotonic()
        if self.device != "cpu":
            recorded = self.captured.recording.pool.total_bytes() if self.captured else 0
            print(f"GPU memory: {memory_held(self.device) / 2**20:,.0f} MiB, and {recorded / 2**20:,.0f} MiB for the recorded step")
        return caught[0] if caught else None

    def next_of(self, batches):
        """The next batch; where the data cannot be read any more, what was learnt so far is saved first."""
        try:
            return next(batches)
        except DataError:
            self.save()
            raise

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
        rows = zip(*read_log(path).values()) if path.is_file() else ()
        with replacing(path) as temporary:
            with open(temporary, "w", encoding="utf-8") as file:
                for row in (LOG, *(row for row in rows if int(row[0]) <= iteration)):
                    print(*row, sep=",", file=file)
        self.file = open(path, "a", encoding="utf-8")

    def add(self, *row):
        print(*row, sep=",", file=self.file, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()


def read_log(path):
    """The columns of log.csv as {name: list of strings}; rows that a crash damaged are passed over."""
    with open(path, encoding="utf-8", errors="replace") as file:
        rows = [line.strip().split(",") for line in file if LOG_ROW.fullmatch(line.strip())]
    return {name: [row[i] for row in rows] for i, name in enumerate(LOG)}


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


def holds_run(out):
    return any((out / name).exists() for name in (NAME, PREVIOUS, "config.json", "log.csv"))


def refuse_run(out):
    """ConfigError where the folder `out` holds a run."""
    if holds_run(out):
        raise ConfigError(f"{out} holds a run: go on with it with --resume, replace it with --overwrite, or name another --out")


def clear_run(out):
    """Delete what an earlier run wrote into the folder `out`, so that none of it is taken for the next one's; all else there stays."""
    out = Path(out)
    if holds_run(out):
        delete(out, FILES)


def delete(folder, patterns):
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def prepare_run(out, config, resume, overwrite, changes):
    """The Config to run with in the folder `out`: the given one, or on `resume` the one in the checkpoint there.

    changes   the options that the user named; on resuming only `steps`, `batch` (for a smaller memory, say) and what looks at
              the run may differ from the checkpoint's

    Raises ConfigError where a run would be overwritten without being told, or continued as another one; CheckpointError where there is
    nothing to resume.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: name a folder for the run")
    if resume:
        if not any((out / name).is_file() for name in (NAME, PREVIOUS)):
            raise CheckpointError(f"nothing to resume in {out}: no {NAME} there; start the run without --resume")
        saved, iteration, _ = read_checkpoint(out)
        config = saved.replace(**changes)
        for name in changes:
            if name not in ("steps", "batch", "validate_every", "test_sequences") and getattr(saved, name) != getattr(config, name):
                raise ConfigError(f"the run in {out} has {name} {getattr(saved, name)}, not {getattr(config, name)}: leave the option out "
                                  "to go on with it, or start another run with another --out")
        if iteration > config.steps:
            raise ConfigError(f"the run in {out} has done {iteration} steps already: ask for at least as many with --steps")
        if saved.batch != config.batch:
            print(f"batches now have {config.batch} sequences, no longer {saved.batch}: from step {iteration + 1:,} on "
                  "they are others, and so are the numbers that come of them")
        if saved.rate_schedule == "cosine" and saved.steps != config.steps:
            print(f"the cosine of the learning rate now ends at step {config.steps:,}, no longer at {saved.steps:,}: "
                  f"training goes on at {rate_at(config, iteration):.2g} where it would have been {rate_at(saved, iteration):.2g}")
        return config
    if not overwrite:
        refuse_run(out)
    return config
