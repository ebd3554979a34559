"""A run's folder: which files it has, whether it may be written into, its log, and the signals that end a run in an
orderly way."""

import contextlib
import os
import re
import signal
import threading
from pathlib import Path

from tinypredrnn.errors import CheckpointError, ConfigError
from tinypredrnn.files import persist, read_json
from tinypredrnn.folder import Folder
from tinypredrnn.train.checkpoint import NAME, PREVIOUS, newest, read_checkpoint
from tinypredrnn.train.config import Config
from tinypredrnn.train.schedules import rate_at

LOG = ("iteration", "loss", "rate", "seconds", "validation_mse")
LOG_ROW = re.compile(r"\d{1,15}(,(-?\d+(\.\d+)?(e[-+]\d+)?|nan|inf)?){4}", re.ASCII)
MAY_CHANGE = "steps", "batch", "validate_every", "test_sequences"  # options that may differ when a run is resumed
SCORED = "prediction{}.png", "prediction{}.gif", "frame_curves{}.png"  # {} names the test set, if not the run's own
WRITTEN = (NAME, PREVIOUS, "config.json", "data.json", "log.csv", "metrics.json", "curves.png", *(name.format("") for name in SCORED),
           *(name.format("-[0-9]*") for name in SCORED), "pictures", "pictures/[0-9]*.png", "pictures/[0-9]*.gif")  # as glob patterns


class RunFolder(Folder):
    """The folder of a run. If it is older than the lists, what is ours is known by its checkpoint, and by agreeing with
    that."""

    def __init__(self, path):
        super().__init__(path, "run")

    def read_list(self):
        super().read_list()
        if not self.listed:
            self.adopt(written_without_list(self.path))

    def clear_staging(self):
        super().clear_staging()
        if not self.listed:
            for path in self.path.glob(".unfinished-*"):
                if (named := re.fullmatch(r"\.unfinished-\d+-(.+)", path.name)) and named[1] in self.files:
                    path.unlink()

    def refuse(self, overwrite):
        """ConfigError if a new run may not begin here: there is one already, or a file that is not ours has the name of
        one of its files."""
        if self.holds() and not overwrite:
            raise ConfigError(f"{self.path} holds a run: go on with it with --resume, replace it with --overwrite, or name another --out")
        self.refuse_strangers(WRITTEN)

    def promote_previous(self):
        """Put the previous checkpoint in the place of the newest, which is damaged: otherwise the next save would
        replace the previous one by the damaged one."""
        with self:
            if os.path.lexists(self.path / NAME):
                self.set_aside(NAME, "damaged")
            if self.ours(PREVIOUS):
                self.note(NAME, self.digest(self.path / PREVIOUS))
                self.write_list()
            self.check()
            persist((self.path / PREVIOUS).replace, self.path / NAME)


def written_without_list(out):
    """The names of the files that a run of a version without lists wrote into the folder `out`; none without a sound
    checkpoint.

    The checkpoint is proved by its checksum. The other files are taken for the run's if they agree with it: the options
    by their values, the log and the scores by their form, and the pictures by the iterations and test sets that those
    name.
    """
    try:
        _, (config, iteration, _) = newest(out)
    except (CheckpointError, OSError):
        return []
    found = [NAME, PREVIOUS]
    options, data, scores = (read_json(out / name) if (out / name).is_file() else None
                             for name in ("config.json", "data.json", "metrics.json"))
    with contextlib.suppress(ConfigError, TypeError):
        if options and Config().replace(**options | {name: getattr(config, name) for name in MAY_CHANGE}) == config:
            found.append("config.json")
    if data and data.keys() == {"data", "split"}:
        found.append("data.json")
    if scores and all(type(entry) is dict and "weights_sha256" in entry for entry in scores.values()):
        sets = ["" if name in ("sequences", f"mnist-{config.digits}") else name.removeprefix("mnist") for name in scores]
        found += ["metrics.json", *(name.format(of) for name in SCORED for of in sets)]
    log = out / "log.csv"
    if log.is_file() and log.read_bytes().startswith(",".join(LOG).encode()):
        seen = [int(n) for n, mse in zip(*(read_log(log)[name] for name in ("iteration", "validation_mse"))) if mse]
        pictures = {*seen, *range(config.validate_every, iteration + config.validate_every + 1, config.validate_every)}
        found += ["log.csv", "curves.png", *(f"pictures/{n:06d}.{kind}" for n in sorted(pictures) for kind in ("png", "gif"))]
    return found


def prepare_run(out, config, resume, overwrite, changes):
    """The Config to run with in the folder `out`: the given one, or to `resume`, the one in the checkpoint there.

    changes   the options that the user named; in order to resume, only those in MAY_CHANGE may differ from the
              checkpoint's: `steps`, `batch` (if there is less memory, say) and options that only say how the run is
              watched

    Raises ConfigError if a run would be overwritten although nobody asked for it, or continued as another one, or if
    files that are not ours are in the way; CheckpointError if there is nothing to resume.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: name a folder for the run")
    folder = RunFolder(out)
    if resume:
        if not any((out / name).is_file() for name in (NAME, PREVIOUS)):
            raise CheckpointError(f"nothing to resume in {out}: no {NAME} there; start the run without --resume")
        saved, iteration, _ = read_checkpoint(out)
        config = saved.replace(**changes)
        for name in changes:
            if name not in MAY_CHANGE and getattr(saved, name) != getattr(config, name):
                raise ConfigError(f"the run in {out} has {name} {getattr(saved, name)}, not {getattr(config, name)}: leave the option out "
                                  "to go on with it, or start another run with another --out")
        if iteration > config.steps:
            raise ConfigError(f"the run in {out} has done {iteration} steps already: ask for at least as many with --steps")
        if saved.batch != config.batch:
            print(f"batches now have {config.batch} sequences, no longer {saved.batch}: from step {iteration + 1:,} on "
                  "they differ from those of the run without this change, and so do its results")
        if saved.rate_schedule == "cosine" and saved.steps != config.steps:
            print(f"the cosine of the learning rate now ends at step {config.steps:,}, no longer at {saved.steps:,}: "
                  f"training goes on at {rate_at(config, iteration):.2g} instead of {rate_at(saved, iteration):.2g}")
        return config
    folder.refuse(overwrite)
    return config


class Log:
    """log.csv, a row for each iteration. Rows after `iteration` are dropped: they are of steps that were not saved."""

    def __init__(self, folder, iteration):
        self.folder, path = folder, folder.path / "log.csv"
        rows = zip(*read_log(path).values()) if path.is_file() else ()
        with folder.writing("log.csv", grows=True) as temporary:
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
        if not any(exception):
            self.folder.finish("log.csv")


def read_log(path):
    """The columns of log.csv as {name: list of strings}; rows that a crash damaged are skipped."""
    with open(path, encoding="utf-8", errors="replace") as file:
        rows = [line.strip().split(",") for line in file if LOG_ROW.fullmatch(line.strip())]
    return {name: [row[i] for row in rows] for i, name in enumerate(LOG)}


@contextlib.contextmanager
def catch_signals():
    """Yield a list to which Ctrl-C, SIGTERM and SIGHUP are appended, so that no step is interrupted halfway.

    SIGTERM comes from `kill` and batch systems, often more than once; SIGHUP when a terminal or a connection is closed, unless it is
    ignored, as under nohup. A Ctrl-C that is not the first of the signals stops the program at once.
    """
    caught = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # only the main thread can handle signals
        return

    def enter(number, frame):
        if caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number))

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
    before = {number: signal.signal(number, enter) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
