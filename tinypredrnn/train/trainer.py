"""Trainer: training steps, and everything around them that people want to watch, or to find afterwards."""

import contextlib
import io
import math
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinypredrnn.autograd import debug, tensor
from tinypredrnn.backend import find_device, memory_held, uploader
from tinypredrnn.data.batches import Prefetch
from tinypredrnn.errors import CheckpointError, DataError, GraphError, TrainingError
from tinypredrnn.files import Dispensable
from tinypredrnn.gpu import check_precision, has_tensor_cores, precision
from tinypredrnn.metrics import mse
from tinypredrnn.models import build_model
from tinypredrnn.nn import find_loss
from tinypredrnn.optim import Adam, clip_gradients
from tinypredrnn.train.captured import CapturedStep
from tinypredrnn.train.checkpoint import NAME, PREVIOUS, newest, write_checkpoint
from tinypredrnn.train.limits import check_memory, saying_what_a_step_takes
from tinypredrnn.train.run import Log, RunFolder, catch_signals, read_log
from tinypredrnn.train.schedules import rate_at, truth_mask
from tinypredrnn.train.scoring import predict, to_unit
from tinypredrnn.viz import save_gif, save_strip, save_training_curves

SECONDS_BETWEEN_SAVES = 60


class Trainer:
    """A run: a model, its optimiser, and the folder `out` that they are written to.

    config       a Config
    batch        the training data as a function: batch(k) gives batch k, (B,T,H,W,C) uint8, the same whenever it is asked for
    validation   sequences (N,T,H,W,C) uint8 to predict now and then; the first three are drawn
    out          folder for config.json, checkpoint.npz, log.csv, curves.png and pictures/ (run.py)
    device       "cpu", "gpu", "gpu:N" or "auto"
    graph        on a GPU, replay each step as a CUDA graph (captured.py); False: launch its kernels one by one
    data         the data's `fingerprint` (checkpoint.py), so that other data are refused when the run is resumed; None:
                 only batch 0 is compared

    TooLargeError if a step cannot fit into the memory of the device.
    """

    def __init__(self, config, batch, validation, out, device="cpu", graph=True, data=None):
        self.config, self.batch, self.validation, self.out = config, batch, validation, Path(out)
        self.files = RunFolder(out)
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
        """Within it, the folder `out` is this program's alone and ready for `run`: the run to resume is restored, one
        to overwrite is gone.

        A run to overwrite stays whole until the new one has computed its first gradient, so that it can hardly fail
        because of data or memory, and has written its first checkpoint. Yields the RunFolder. Raises BusyError if
        another program is writing into it, and what prepare_run, restore and step raise.
        """
        with self.files as files:
            if resume:
                self.restore()
            else:
                files.refuse(overwrite)  # once more: another program may have been quicker
                if old := files.holds():
                    self.rehearse()
                    self.save(previous=None)
                    files.remove([name for name in old if name != NAME])
            yield files

    def restore(self):
        """Go on from the checkpoint in `out`: what follows is the same as if the run had never stopped (on the CPU, bit
        for bit).

        CheckpointError if it was trained on other data, or belongs to another model.
        """
        name, (config, iteration, parts) = newest(self.out)
        self.check_data(config, parts["data"])
        self.model.load_state_dict(parts["model"])
        self.optimiser.load_state_dict(parts["optimiser"])
        self.iteration = iteration
        if name == PREVIOUS:
            self.files.promote_previous()

    def check_data(self, config, saved):
        """CheckpointError if the checkpoint of a run with `config` says that it was trained on other data than
        these."""
        ours = self.data if self.data.keys() <= saved.keys() else {}  # older checkpoints have no fingerprint
        if not ours and config.batch != self.config.batch:
            raise CheckpointError(f"the checkpoint in {self.out} knows its data by its first batch of {config.batch} alone: "
                                  "resume it without --batch first; the next checkpoint can then go on with another")
        ours = ours or {"first_batch": self.first_batch}
        other = [part for part in ours if not np.array_equal(ours[part], saved.get(part))]
        if other:
            raise CheckpointError(f"the run in {self.out} was trained on other data than these (what differs: "
                                  f"{', '.join(other)}): name its own, or start another run with another --out")

    def save(self, previous=PREVIOUS):
        """Write the checkpoint; the one before it is kept as `previous`."""
        data = self.data | {"first_batch": self.first_batch}
        parts = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "data": data}
        with self.files.writing(NAME, previous) as temporary:
            write_checkpoint(temporary, self.config, self.iteration, parts)

    def step(self, frames):
        """One training iteration on frames (B,T,H,W,C) in [0, 1]; returns the loss.

        TrainingError, with the weights unchanged, if the loss or its gradient is not a finite number.
        """
        truth, rate = truth_mask(self.config, self.iteration), rate_at(self.config, self.iteration)
        loss, gradient_norm = (self.captured or self.launched)(frames, truth, rate)
        self.refuse_nonfinite(loss, gradient_norm, frames)
        self.iteration += 1
        return loss

    def rehearse(self):
        """Compute the gradient of the first step and change nothing: a run that cannot be trained fails here."""
        frames = to_unit(self.batch(0))
        loss = self.differentiate(tensor(frames, device=self.device), truth_mask(self.config, 0)).item()
        self.refuse_nonfinite(loss, clip_gradients(self.model.parameters(), math.inf), frames)
        self.model.zero_grad()

    def refuse_nonfinite(self, loss, gradient_norm, frames):
        if not math.isfinite(loss + gradient_norm):
            raise TrainingError(f"the loss of iteration {self.iteration + 1} is {loss:.4g}, its gradient has length "
                                f"{gradient_norm:.4g} ({self.explain_nonfinite(frames)}): the last checkpoint is kept "
                                f"in {self.out}; start again with a smaller --rate or with --clip 1")

    def launched(self, frames, truth, rate):
        """(loss, length of its gradient) of a step that is computed op by op; without effect if one of them is not
        finite."""
        loss = self.differentiate(tensor(frames, device=self.device), truth).item()
        gradient_norm = clip_gradients(self.model.parameters(), self.clip)
        if math.isfinite(loss + gradient_norm):
            self.optimiser.step(rate)
        return loss, gradient_norm

    def differentiate(self, frames, truth):
        """The loss as a Tensor, with its gradients in the parameters."""
        first = self.config.given - 1 if self.config.loss_over == "future" else 0
        self.model.zero_grad()
        with precision(self.precision):
            outputs = self.model.unroll(frames, truth)  # (B,T-1,H,W,C)
            loss = self.loss(outputs[:, first:], frames[:, first + 1:])
            loss.backward()
        return loss

    def explain_nonfinite(self, frames):
        """What made the first NaN or infinity, in words: the iteration is computed again, and each op is watched."""
        try:
            with debug(2, file=io.StringIO()):
                self.differentiate(tensor(frames, device=self.device), truth_mask(self.config, self.iteration))
        except GraphError as error:
            return str(error)
        return "no single op made it"

    def run(self):
        """Train up to config.steps. Returns the signal that stopped it early (Ctrl-C, SIGTERM, SIGHUP), with everything saved, or None.

        BusyError, and nothing more written, if the folder `out` was deleted or replaced in the meantime.
        """
        with self.files:
            return self.train()

    def train(self):
        config = self.config
        if self.iteration == 0:
            self.save()  # from now on there is something to resume, whatever happens
        self.files.write_json("config.json", config.as_dict())
        frames_per_step = config.batch * (config.given + config.horizon)
        saved = time.monotonic()
        upload = uploader(self.device)
        patience = 0.1 if sys.stderr.isatty() else 10  # seconds: the bar must not flood a file
        with (
            saying_what_a_step_takes(config),
            catch_signals() as caught,
            precision(self.precision),
            Prefetch(lambda k: upload(to_unit(self.batch(k))), start=self.iteration) as batches,
            Log(self.files, self.iteration) as log,
            tqdm(total=config.steps, initial=self.iteration, unit="step", dynamic_ncols=True, mininterval=patience,
                 file=Dispensable(sys.stderr)) as bar,
        ):
            stop = False
            while self.iteration < config.steps and not stop:
                started, rate = time.monotonic(), rate_at(config, self.iteration)
                loss = self.step(self.next_of(batches))
                seconds = time.monotonic() - started
                last, due = self.iteration == config.steps, self.iteration % config.validate_every == 0
                validation_mse = self.validate() if last or due else ""
                log.add(self.iteration, f"{loss:.6g}", f"{rate:.4g}", f"{seconds:.4f}", validation_mse)
                bar.set_postfix_str(f"loss {loss:.4f}, {frames_per_step / seconds:.0f} frames/s", refresh=False)
                bar.update()
                stop = bool(caught)  # read only once for each step, so that no signal can end the loop without a save
                if last or due or stop or time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    self.save()
                    self.files.draw("curves.png", save_training_curves, read_log(self.out / "log.csv"))
                    saved = time.monotonic()
        if self.device != "cpu":
            recorded = self.captured.recording.pool.total_bytes() if self.captured else 0
            print(f"GPU memory: {memory_held(self.device) / 2**20:,.0f} MiB, and {recorded / 2**20:,.0f} MiB for the recorded step")
        return caught[0] if caught else None

    def next_of(self, batches):
        """The next batch. If the data cannot be read any more, what has been learnt so far is saved first."""
        try:
            return next(batches)
        except DataError:
            self.save()
            raise

    def validate(self):
        """Predict the validation set and draw its first sequences; returns the MSE per frame."""
        given, frames = self.config.given, to_unit(self.validation)
        inputs, truth = frames[:, :given], frames[:, given:]
        prediction = predict(self.model, inputs, truth.shape[1])
        shown = inputs[:3], truth[:3], prediction[:3]
        self.files.draw(f"pictures/{self.iteration:06d}.png", save_strip, *shown)
        self.files.draw(f"pictures/{self.iteration:06d}.gif", save_gif, *shown)
        return round(float(mse(prediction, truth).mean()), 3)
