"""A run's folder: its files, whether it may be written into, its log, and the signals that end a run cleanly."""

import contextlib
import os
import re
import signal
import threading
from pathlib import Path

from tinypredrnn.errors import CheckpointError, ConfigError
from tinypredrnn.files import read_json, retry
from tinypredrnn.folder import Folder
from tinypredrnn.options import called
from tinypredrnn.train.checkpoint import BEST, NAME, PREVIOUS, newest, read_checkpoint
from tinypredrnn.train.plan import read_plan
from tinypredrnn.train.schedules import rate_at

LOG = ("iteration", "loss", "rate", "seconds")  # followed by the score of the validation set, such as validation_mse
LOG_HEAD = re.compile(",".join(LOG) + r",validation_[\w.-]{1,100}", re.ASCII)
LOG_ROW = re.compile(r"\d{1,15}(,(-?\d+(\.\d+)?(e[-+]\d+)?|nan|inf)?){4}", re.ASCII)
# {} names the test set, unless it is the run's own
SCORED = ("prediction{}.png", "prediction{}.gif", "frame_curves{}.png", "maps{}.png", "beside{}.png",
          "beside_curves{}.png")
WRITTEN = (NAME, PREVIOUS, BEST, "config.json", "log.csv", "metrics.json", "curves.png", "probability.npz",
           "probability.json", "reliability-*.png",
           *(name.format(which) for which in ("", "-*") for name in SCORED),
           "pictures", "pictures/[0-9]*.png", "pictures/[0-9]*.gif")  # as glob patterns


class RunFolder(Folder):
    """The folder of a run. In an old folder without a list of its files, our files are recognised by a sound checkpoint
    and by agreeing with it.
    """

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
        """ConfigError if a new run may not begin here, because there is one already, or because a file that is not ours
        has the name of one of its files.
        """
        if self.own_files() and not overwrite:
            raise ConfigError(f"{self.path} holds a run: continue it with {called('resume')}, replace it with "
                              f"{called('overwrite')}, or name another {called('out')}")
        self.refuse_foreign_files(WRITTEN)

    def promote_previous(self):
        """Move the previous checkpoint to the place of the newest, which is damaged: otherwise the next save would
        replace the previous checkpoint by the damaged one.
        """
        with self:
            if os.path.lexists(self.path / NAME):
                self.set_aside(NAME, "damaged")
            if self.is_ours(PREVIOUS):
                self.note(NAME, self.digest(self.path / PREVIOUS))
                self.write_list()
            self.check()
            retry((self.path / PREVIOUS).replace, self.path / NAME)


class ReadOnlyRun:
    """The folder of a run as all processes but the first see it: they may read it, and write nothing. All that would
    write is left to the first process."""

    def __init__(self, path):
        self.path = Path(path)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def refuse(self, overwrite):
        pass

    def promote_previous(self):
        pass

    def remove(self, names):
        pass

    def write_json(self, name, value, amends=False):
        pass

    def draw(self, name, draw, *inputs):
        pass

    def own_files(self):
        """Nothing here is this process's."""
        return []


def written_without_list(out):
    """The names of the files that an old version, which kept no list, wrote into the folder `out`; none if there is no
    sound checkpoint.

    The checkpoint is recognised by its checksum. The other files belong to the run if they agree with it: the options
    by their values, the log and the scores by their format, and the pictures by the iterations and test sets that log
    and scores name.
    """
    try:
        _, (plan, iteration, _) = newest(out)
    except (CheckpointError, OSError):
        return []
    found = [NAME, PREVIOUS]
    options, data, scores = (read_json(out / name) if (out / name).is_file() else None
                             for name in ("config.json", "data.json", "metrics.json"))
    with contextlib.suppress(ConfigError, KeyError, TypeError):
        if options and same_run(read_plan({"source": plan.source} | options), plan):
            found.append("config.json")
    if data and data.keys() == {"data", "split"}:
        found.append("data.json")
    if scores and all(type(entry) is dict and "weights_sha256" in entry for entry in scores.values()):
        own = "sequences" if plan.source == "sequences" else f"mnist-{getattr(plan.data, 'digits', '')}"
        sets = ["" if name == own else name.removeprefix("mnist") for name in scores]
        found += ["metrics.json", *(name.format(of) for name in SCORED for of in sets)]
    log = out / "log.csv"
    if log.is_file() and log.read_bytes().startswith(",".join(LOG).encode()):
        every, columns = plan.recipe.validate_every, read_log(log)
        seen = [int(n) for n, mse in zip(columns["iteration"], columns.get("validation_mse", ())) if mse]
        pictures = {*seen, *range(every, iteration + every + 1, every)}
        found += ["log.csv", "curves.png",
                  *(f"pictures/{n:06d}.{kind}" for n in sorted(pictures) for kind in ("png", "gif"))]
    return found


def same_run(one, other):
    """Whether two plans differ only in options that a resumed run may change."""
    if (one.model, one.source, one.names()) != (other.model, other.source, other.names()):
        return False
    return all(one.get(name) == other.get(name) for name in one.names() if not one.may_change(name))


def prepare_run(out, plan, resume, overwrite, changes):
    """The Plan to run with in the folder `out`: the given one, or with `resume`, the one in the checkpoint there.

    changes   the options that the user named; a resumed run may only change `steps`, `batch` (for example because there
              is less memory), where the data are, and how the run is watched

    Raises ConfigError if a run would be overwritten without `overwrite`, or resumed with other options, or if files
    that are not ours are in the way; CheckpointError if there is nothing to resume.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: name a folder for the run")
    if not resume:
        RunFolder(out).refuse(overwrite)
        return plan
    saved, iteration = resumable(out)
    plan = saved.replace(**changes)
    for name in changes:
        if not plan.may_change(name) and saved.get(name) != plan.get(name):
            raise ConfigError(f"the run in {out} has {called(name)} {saved.get(name)}, not {plan.get(name)}: go on "
                              f"with it without this option and without {called('preset')}, or start another run with "
                              f"another {called('out')}")
    old, new = saved.recipe, plan.recipe
    if iteration > new.steps:
        raise ConfigError(f"the run in {out} has done {iteration} steps already: ask for at least as many with "
                          f"{called('steps')}")
    if old.batch != new.batch:
        print(f"batches now have {new.batch} sequences, no longer {old.batch}: from step {iteration + 1:,} on "
              "they differ from those of the run without this change, and so do its results")
    if old.rate_schedule == "cosine" and old.steps != new.steps:
        print(f"the cosine of the learning rate now ends at step {new.steps:,}, no longer at {old.steps:,}: "
              f"training goes on at {rate_at(new, iteration):.2g} instead of {rate_at(old, iteration):.2g}")
    return plan


def resumable(out):
    """(Plan, iteration) of the run in a folder; CheckpointError if there is none."""
    if not any((out / name).is_file() for name in (NAME, PREVIOUS)):
        raise CheckpointError(f"nothing to resume in {out}: no {NAME} there; start the run without "
                              f"{called('resume')}")
    return read_checkpoint(out)[:2]


class Log:
    """log.csv, with a row for each iteration. Rows after `iteration` are dropped, since those steps were not saved.

    score_column   the name of the last column, which has the score of the validation set
    """

    def __init__(self, folder, iteration, score_column):
        self.folder, path = folder, folder.path / "log.csv"
        rows = zip(*read_log(path).values()) if path.is_file() else ()
        with folder.writing("log.csv", grows=True) as temporary:
            with open(temporary, "w", encoding="utf-8") as file:
                for row in ((*LOG, score_column), *(row for row in rows if int(row[0]) <= iteration)):
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
        lines = [line.strip() for line in file]
    head = lines[0] if lines and LOG_HEAD.fullmatch(lines[0]) else ",".join((*LOG, "validation_mse"))
    rows = [line.split(",") for line in lines if LOG_ROW.fullmatch(line)]
    return {name: [row[i] for row in rows] for i, name in enumerate(head.split(","))}


@contextlib.contextmanager
def catch_signals():
    """Yield a list to which Ctrl-C, SIGTERM and SIGHUP are appended, so that no step is interrupted halfway.

    SIGTERM comes from `kill` and batch systems, often more than once. SIGHUP comes when a terminal or a connection is
    closed; it stays ignored if it was, as under nohup. A Ctrl-C after any other signal stops the program at once.
    """
    caught = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # only the main thread can handle signals
        return

    def enter(number, frame):
        if caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number))

    # Windows has no SIGHUP
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, enter) for number in numbers
              if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
