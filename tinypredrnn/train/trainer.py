"""Trainer: the loop around the training steps, with checkpoints, log, validation and pictures."""

import contextlib
import signal
import sys
import time
import zlib

import numpy as np
from tqdm import tqdm

from tinypredrnn.backend import find_device, memory_held, uploader
from tinypredrnn.data.batches import Prefetch
from tinypredrnn.errors import CheckpointError, ConfigError, DataError
from tinypredrnn.files import BestEffortStream
from tinypredrnn.metrics import Scores
from tinypredrnn.models import construct
from tinypredrnn.options import called
from tinypredrnn.train.checkpoint import BEST, NAME, PREVIOUS, fingerprint, newest, read_trained, write_checkpoint
from tinypredrnn.train.limits import check_memory, explain_memory_error
from tinypredrnn.train.parallel import ALONE, interleaved
from tinypredrnn.train.run import Log, ReadOnlyRun, RunFolder, catch_signals, read_log
from tinypredrnn.train.schedules import rate_at
from tinypredrnn.train.scoring import predict
from tinypredrnn.train.update import UPDATES
from tinypredrnn.viz import save_gif, save_strip, save_training_curves

SECONDS_BETWEEN_SAVES = 60


class Trainer:
    """A run: a model that learns to predict a world, and the folder that it writes to.

    plan     a Plan for this source (`plan.on(source)`)
    source   a Source
    out      folder for config.json, the checkpoints, log.csv, curves.png and pictures/ (run.py)
    device   "cpu", "gpu", "gpu:N" or "auto"
    graph    on a GPU, replay each step as a CUDA graph if the model allows it
    ranks    the processes that train together (parallel.py)
    start    False: do not load the weights that the recipe starts from, because a checkpoint will be restored

    Raises ConfigError if there are more processes than sequences in a batch, TooLargeError if a step cannot fit into
    the memory of the device, and any error of reading `recipe.start`.
    """

    def __init__(self, plan, source, out, device="cpu", graph=True, ranks=ALONE, start=True):
        self.plan, self.source, self.ranks, self.device = plan, source, ranks, find_device(device)
        self.files = (RunFolder if ranks.first else ReadOnlyRun)(out)
        self.out = self.files.path
        if plan.recipe.batch < ranks.size:
            raise ConfigError(f"{called('batch')} {plan.recipe.batch} leaves some of the {ranks.size} processes "
                              "without a sequence: make it larger, or start fewer processes")
        self.share = plan.replace(batch=-(-plan.recipe.batch // ranks.size))  # the most that a process computes
        check_memory(self.share, self.device)
        self.model = construct(*plan.network())
        if plan.recipe.start and start:
            self.model.load_state_dict(read_trained(plan.recipe.start)[2]["model"])
        self.model.to(self.device)
        self.update = UPDATES[plan.recipe.update](self.model, plan, graph, ranks)
        first_batch = zlib.crc32(source.batch(0, plan.recipe.batch).tobytes())
        self.data = fingerprint(source.fingerprint()) | {"first_batch": first_batch}
        self.ready = False  # whether the folder was checked or restored, so that `run` may write into it
        self.iteration, self.best = 0, None  # best: (score of the validation set, iteration)

    @contextlib.contextmanager
    def folder(self, resume=False, overwrite=False):
        """A context in which this program owns the folder `out`, ready for `run`: an old run is restored or removed.

        A run to overwrite is kept until the new one has computed its first gradient and written its first checkpoint,
        after which it can hardly fail for lack of data or memory. Yields the RunFolder. Raises BusyError if another
        program is writing into the folder, and the errors of prepare_run, restore and the Update.
        """
        with self.files as files:
            if resume:
                self.restore()
            else:
                files.refuse(overwrite)  # checked again: another program may have written here in the meantime
                old = files.own_files()
                if self.ranks.largest(bool(old)):
                    self.update.check_first_gradient(self.frames(0), 0)
                    self.save(previous=None)
                    files.remove([name for name in old if name != NAME])
            self.ready = True
            yield files

    def restore(self):
        """Continue from the checkpoint in `out`, as if the run had never stopped (on the CPU, bit for bit).

        CheckpointError if it was trained on other data or belongs to another model.
        """
        name, (plan, iteration, parts) = newest(self.out)
        self.check_data(plan, parts["data"])
        self.model.load_state_dict(parts["model"])
        self.update.load_state_dict(parts["optimiser"])
        self.iteration = iteration
        if self.ranks.largest(name == PREVIOUS):  # asked when all of them have read it
            self.files.promote_previous()
        self.ready = True
        kept = all((self.out / file).is_file() for file in ("log.csv", BEST))  # without best.npz there is no best
        log = read_log(self.out / "log.csv") if kept else {}
        for k, value in zip(log.get("iteration", ()), log.get(self.score_column, ())):
            if value and int(k) <= iteration:
                self.update_best(float(value), int(k))

    def check_data(self, plan, saved):
        """CheckpointError if a checkpoint, with this plan and these saved fingerprints, was trained on other data."""
        ours = {part: value for part, value in self.data.items() if part != "first_batch"}
        if not ours or not ours.keys() <= saved.keys():  # older checkpoints have no fingerprint
            if plan.recipe.batch != self.plan.recipe.batch:
                raise CheckpointError(f"the checkpoint in {self.out} identifies its data only by the first batch of "
                                      f"{plan.recipe.batch}: resume it without {called('batch')} first; the next "
                                      f"checkpoint can then be resumed with another {called('batch')}")
            ours = {"first_batch": self.data["first_batch"]}
        other = [part for part in ours if not np.array_equal(ours[part], saved.get(part))]
        if other:
            raise CheckpointError(f"the run in {self.out} was trained on other data than these (what differs: "
                                  f"{', '.join(other)}): name its own, or start another run with another "
                                  f"{called('out')}")

    def save(self, name=NAME, previous=PREVIOUS):
        """Write a checkpoint, if this is the first process; the one before it is kept as `previous`."""
        if not self.ranks.first:
            return
        optimiser = {} if name == BEST else self.update.state_dict()
        parts = {"model": self.model.state_dict(), "optimiser": optimiser, "data": self.data}
        with self.files.writing(name, previous) as temporary:
            write_checkpoint(temporary, self.plan, self.iteration, parts)

    def frames(self, k):
        """This process's rows of training batch k, on the model's scale."""
        return self.plan.scale.to_model(self.source.batch(k, self.plan.recipe.batch, self.ranks.rows))

    def step(self, frames):
        """One training iteration on frames (B,T,H,W,C) in [0, 1]. Returns the loss. TrainingError if not finite."""
        loss = self.update(frames, self.iteration)["loss"]
        self.iteration += 1
        return loss

    def run(self):
        """Train up to recipe.steps. Returns None, or the signal that stopped it early (Ctrl-C, SIGTERM, SIGHUP).

        Everything is saved in both cases. If the folder `out` was deleted or replaced in the meantime, nothing more is
        written and BusyError is raised.
        """
        with self.files:
            if not self.ready:
                self.files.refuse(overwrite=False)
            return self.train()

    def train(self):
        recipe, upload = self.plan.recipe, uploader(self.device)
        record, validation = Record(self) if self.ranks.first else NoRecord(), self.source.validation()
        with (
            explain_memory_error(self.share, self.device),
            catch_signals() as caught,
            Prefetch(lambda k: upload(self.frames(k)), start=self.iteration) as batches,
            record,
        ):
            stop = 0
            while self.iteration < recipe.steps and not stop:
                started, rate = time.monotonic(), rate_at(recipe, self.iteration)
                loss = self.step(self.next_of(batches))
                seconds = time.monotonic() - started
                record.add(loss, rate, seconds, self.validate(validation) if self.due else "")
                # asked only once per step, so that no signal can end the loop without a save
                stop = self.stopping(caught)
                record.save(stop)
        stop = self.stopping(caught)
        return signal.Signals(stop) if stop else None

    def stopping(self, caught):
        """The number of a signal that one of the processes has caught, or 0."""
        return self.ranks.largest(caught[0] if caught else 0)

    def next_of(self, batches):
        """The next batch. If the data can no longer be read, a checkpoint is saved before the error is raised."""
        try:
            return next(batches)
        except DataError:
            self.save()
            raise

    @property
    def due(self):
        """Whether this step is one after which the model is validated."""
        return self.iteration == self.plan.recipe.steps or self.iteration % self.plan.recipe.validate_every == 0

    @property
    def score_column(self):
        """The name of the log's column with the score of the validation set."""
        return f"validation_{self.source.metrics[0].name}"

    def validate(self, sequences):
        """Predict the stored validation set (N,T,H,W,C), shared among all processes. The first one draws its first
        sequences, and saves the weights if they are the best.

        Returns the world's first metric, averaged over the predicted frames, as text for the log.
        """
        metric, given, frames = self.source.metrics[0], self.plan.data.given, self.plan.scale.to_model(sequences)
        inputs, truth = frames[:, :given], frames[:, given:]
        prediction = interleaved(self.ranks.gather(predict(self.model, inputs[self.ranks.rows], truth.shape[1])))
        if not self.ranks.first:
            return ""
        scores = Scores([metric], ())
        scores.add(prediction, truth)
        shown = inputs[:3], truth[:3], prediction[:3]
        self.files.draw(f"pictures/{self.iteration:06d}.png", save_strip, *shown)
        self.files.draw(f"pictures/{self.iteration:06d}.gif", save_gif, *shown)
        score = scores.result()[metric.name]
        if self.update_best(score, self.iteration):
            self.save(BEST, previous=None)
        return "" if score is None else f"{score:.6g}"

    def update_best(self, score, iteration):
        """Whether this score of the validation set is the best so far; if so, remember it. None never is."""
        sign = -1 if self.source.metrics[0].higher_is_better else 1
        if score is None or self.best and sign * score >= sign * self.best[0]:
            return False
        self.best = score, iteration
        return True


class Record:
    """What the first process keeps of a run while it trains: checkpoints, the log with its curves, and a bar."""

    def __init__(self, trainer):
        self.trainer, self.recipe = trainer, trainer.plan.recipe
        if trainer.iteration == 0:
            trainer.save()  # from now on the run can be resumed, whatever happens
        trainer.files.write_json("config.json", trainer.plan.as_dict())
        self.frames_per_step = self.recipe.batch * trainer.source.length
        self.saved = time.monotonic()

    def __enter__(self):
        trainer = self.trainer
        # seconds between updates, so that the bar does not fill a log file
        bar_interval = 0.1 if sys.stderr.isatty() else 10
        self.log = Log(trainer.files, trainer.iteration, trainer.score_column)
        self.bar = tqdm(total=self.recipe.steps, initial=trainer.iteration, unit="step", dynamic_ncols=True,
                        mininterval=bar_interval, file=BestEffortStream(sys.stderr))

    def __exit__(self, *exception):
        self.bar.close()
        self.log.__exit__(*exception)
        if not any(exception) and self.trainer.device != "cpu":
            held, recorded = memory_held(self.trainer.device), self.trainer.update.memory_recorded()
            more = f", and {recorded / 2**20:,.0f} MiB for the recorded step" if recorded else ""
            print(f"GPU memory: {held / 2**20:,.0f} MiB{more}")

    def add(self, loss, rate, seconds, score):
        """Note a step, and the score of the validation set if there is one."""
        self.log.add(self.trainer.iteration, f"{loss:.6g}", f"{rate:.4g}", f"{seconds:.4f}", score)
        self.bar.set_postfix_str(f"loss {loss:.4f}, {self.frames_per_step / seconds:.0f} frames/s", refresh=False)
        self.bar.update()

    def save(self, now):
        """Save a checkpoint and draw the curves, now or if it is time."""
        if now or self.trainer.due or time.monotonic() - self.saved > SECONDS_BETWEEN_SAVES:
            trainer = self.trainer
            trainer.save()
            trainer.files.draw("curves.png", save_training_curves, read_log(trainer.out / "log.csv"),
                               trainer.source.metrics)
            self.saved = time.monotonic()


class NoRecord(contextlib.nullcontext):
    """What the other processes keep: nothing."""

    def add(self, *step):
        pass

    def save(self, now):
        pass
