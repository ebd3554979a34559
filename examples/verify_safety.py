"""Try to break the safety of runs, file readers and signal handling with four commands, on Linux or macOS.

    python examples/verify_safety.py kills --times 300        runs killed by kill -9, mostly while writing, then resumed
    python examples/verify_safety.py together --times 70      programs started on one run at once, in all combinations
    python examples/verify_safety.py fuzz --files 20000       damaged and malicious files for every reader
    python examples/verify_safety.py signals --times 100000   signals with a raising handler while threads work

Each prints a table. Exit status 0 if nothing went wrong, else 1. That means: no run, no bit of its final weights and no
score was lost; no folder has files of two programs; each file was read, or refused in one sentence, within limits of
time and memory and without running code; and the threads still worked after each signal.
"""

import argparse
import contextlib
import faulthandler
import itertools
import multiprocessing
import os
import random
import runpy
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from spoilt_files import READERS, read_spoilt, write_originals

from tinypredrnn import threads
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.errors import CheckpointError, command, whole_number_from
from tinypredrnn.files import read_json
from tinypredrnn.folder import Folder
from tinypredrnn.train import RunFolder, read_checkpoint, read_log, read_plan, read_scores
from tinypredrnn.train.checkpoint import checksum

EXAMPLES = Path(__file__).parent
TRAIN = EXAMPLES / "train_mnist.py"
SMALL = ("--size 32 32 --hidden 4 --kernel 3 --patch 8 --given 3 --horizon 3 --batch 2 --steps 24 --validate-every 4 "
         "--sampling-until 12 --test-sequences 4").split()
BY_CLOCK = "any time", "then damaged"
IN_WRITING = "half written", "not flushed", "before rename", "after rename"
# a run that is killed while writing dies at one of its first 32 files; with each file the list of files is written
CALLS = 32
MEMORY = 1 << 30  # bytes of memory that reading one of the small files may take


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kills", "together", "fuzz", "signals"))
    parser.add_argument("--times", type=whole_number_from(1),
                        help="how many kills, programs or signals (default: 300 kills, 70 programs, 100000 signals)")
    parser.add_argument("--files", type=whole_number_from(1), default=20_000,
                        help="how many files (default: %(default)s)")
    parser.add_argument("--seed", type=whole_number_from(0), default=0,
                        help="other moments, or other files (default: %(default)s)")
    parser.add_argument("--jobs", type=whole_number_from(1), default=2,
                        help="processes at a time (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.what == "signals":
        return print_signals(arguments.times or 100_000, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "kills":
            figures = kills(Path(folder), arguments.times or 300, arguments.jobs, arguments.seed)
            print_table({"kill -9": figures}, (*BY_CLOCK, *IN_WRITING, "runs", "lost", "different"))
            return int(figures["lost"] + figures["different"] > 0)
        if arguments.what == "together":
            rows = together(Path(folder), arguments.times or 70, arguments.jobs, arguments.seed)
            total = sum(rows.values(), Counter())
            print_table(rows | {"all": total}, ("times", "done", "refused", "wrong", "lost", "mixed"))
            return int(total["wrong"] + total["lost"] + total["mixed"] > 0)
        rows = fuzz(Path(folder), arguments.files, arguments.jobs, arguments.seed)
        total = sum(rows.values(), Counter())
        for name in "slowest ms", "peak MB":
            total[name] = max(row[name] for row in rows.values())
        print_table(rows | {"all": total},
                    ("read", "refused", "wrong", "crash", "hang", "too large", "ran code", "slowest ms", "peak MB"))
        return int(any(total[bad] for bad in ("wrong", "crash", "hang", "too large", "ran code")))


def print_table(rows, columns):
    print(" " * 22 + "".join(f"{name:>15}" for name in columns))
    for name, figures in rows.items():
        print(f"{name:<22}" + "".join(f"{figures[column]:>15,}" for column in columns))


# kill -9

def kills(folder, times, jobs=1, seed=0, script=TRAIN):
    """Kill small runs `times` times in all, at random moments, and resume them to their end; a Counter of outcomes."""
    write_digits(folder)

    def start(out, words, moment=None, call=0):
        ours = [__file__, "die", moment, str(call)] if moment in IN_WRITING else []
        return subprocess.Popen([sys.executable, *ours, script, *words, "--data-dir", folder, "--out", out],
                                stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def disturbed_run(out, rng, most):
        """A run that is killed `most` times, if it does not end before, and resumed to its end."""
        figures, killed, kept = Counter(runs=1), 0, None
        while True:
            moment = str(rng.choice(BY_CLOCK + IN_WRITING)) if killed < most else None
            process = start(out, SMALL if kept is None else ["--resume"], moment, rng.integers(CALLS))
            if moment in BY_CLOCK:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(rng.uniform(0, seconds))
                process.kill()
            message = process.communicate()[1]
            if process.returncode == 0:
                return figures + Counter(different=weights(out) != expected)
            before, kept = kept, last_step(out)
            if process.returncode != -signal.SIGKILL or before is not None and (kept is None or kept < before):
                print(f"lost: step {before} was saved before, {kept} after a kill at {moment}; it said {message}",
                      file=sys.stderr)
                return figures + Counter(lost=1)
            both = all((out / name).exists() for name in ("checkpoint.npz", "checkpoint-previous.npz"))
            if moment == "then damaged" and both:
                os.truncate(out / "checkpoint.npz", 10_000)
                kept = last_step(out)
            figures[moment] += 1
            killed += 1

    def many_runs(job):
        rng, figures, most = np.random.default_rng([seed, job]), Counter(), times // jobs + (job < times % jobs)
        while (killed := sum(figures[moment] for moment in BY_CLOCK + IN_WRITING)) < most and not figures["lost"]:
            figures += disturbed_run(folder / f"run-{job}-{figures['runs']}", rng, most - killed)
        return figures

    started, undisturbed = time.monotonic(), start(folder / "undisturbed", SMALL)
    message = undisturbed.communicate()[1]
    if undisturbed.returncode:
        raise RuntimeError(f"the undisturbed run failed: {message}")
    seconds, expected = time.monotonic() - started, weights(folder / "undisturbed")
    with ThreadPoolExecutor(jobs) as pool:
        return sum(pool.map(many_runs, range(jobs)), Counter())


def write_digits(folder):
    for name, count in ("train", 60), ("t10k", 20):
        images = draw_digits(np.random.default_rng(count), count)[0]
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, *images.shape) + images.tobytes())


def read_kept(out):
    """The best checkpoint in a run's folder, found without the code under test; None if none can be read."""
    for name in "checkpoint.npz", "checkpoint-previous.npz":
        with contextlib.suppress(CheckpointError):
            return read_checkpoint(out / name)
    return None


def last_step(out):
    found = read_kept(out)
    return found and found[1]


def weights(out):
    """All numbers of the last checkpoint, as bytes."""
    found = read_kept(out)
    if not found:
        return None
    return found[1], {(part, name): a.tobytes() for part, arrays in found[2].items() for name, a in arrays.items()}


def die(moment, call, script, *words):
    """Run a script, in its own process, and kill it while it writes its file number `call`."""
    numbers, call, fsync, replace = itertools.count(), int(call), os.fsync, Path.replace

    def now(this):
        return this == moment and next(numbers) == call

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def dying_fsync(file):
        if now("half written"):
            os.truncate(file, os.fstat(file).st_size // 2)
            kill()
        if now("not flushed"):
            kill()
        fsync(file)

    def dying_replace(path, target):
        if now("before rename"):
            kill()
        replace(path, target)
        if now("after rename"):
            kill()

    os.fsync, Path.replace = dying_fsync, dying_replace
    sys.argv = [script, *words]
    runpy.run_path(script, run_name="__main__")


# several programs at once

GROUPS = *itertools.combinations_with_replacement(("resume", "overwrite", "evaluate", "predict"), 2), ("evaluate",) * 4
EARLIER, LATER = 2, 4  # steps of the earlier run, and of a resumed or new one
EXPECTED_REFUSALS = ("another program is writing into", "has changed since it was read", "not the folder any more",
          "has done 4 steps already")


def together(folder, times, jobs=1, seed=0, groups=GROUPS, python=(sys.executable,)):
    """Start groups of programs on copies of one run, `times` times in all; {group: Counter of outcomes}.

    done      programs that reported success, with exit status 0
    refused   programs that reported in one sentence that another program is at work, with exit status 2
    wrong     programs that ended in another way
    lost      scores, or steps of training, that a program reported as done but that are missing
    mixed     folders with files of two programs, or with files that have changed since they were written
    """
    write_digits(folder)
    common = "--data-dir", folder
    subprocess.run([*python, TRAIN, *SMALL, "--steps", str(EARLIER), *common, "--out", folder / "earlier"], check=True,
                   capture_output=True)

    def words(program, number, place):
        return {
            "resume": [TRAIN, "--resume", "--steps", LATER, *common, "--out", place / "run"],
            "overwrite": [TRAIN, "--overwrite", *SMALL, "--steps", LATER, "--seed", number + 1, *common, "--out",
                          place / "run"],
            "evaluate": [EXAMPLES / "evaluate.py", place / "run", "--digits", number + 3,
                         *common],  # two are the run's own
            "predict": [EXAMPLES / "predict.py", place / "run", "--frames", number + 2, "--overwrite", "--out",
                        place / "predicted"],
        }[program]

    def meet(job):
        group, place = groups[job % len(groups)], folder / f"together-{job}"
        shutil.copytree(folder / "earlier", place / "run")
        rng, processes = np.random.default_rng([seed, job]), []
        for number in rng.permutation(len(group)):  # the later they start, the more likely they write last
            line = [*python, *map(str, words(group[number], int(number), place))]
            processes.append((int(number),
                              subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)))
            time.sleep(rng.uniform(0, 0.2))
        figures, done = Counter(times=1), []
        for number, process in processes:
            message = process.communicate()[1]
            refused = process.returncode == 2 and any(words in message.splitlines()[-1] for words in EXPECTED_REFUSALS)
            outcome = "done" if process.returncode == 0 else "refused" if refused else "wrong"
            figures[outcome] += 1
            done += [number] * (outcome == "done")
            if outcome == "wrong":
                print(f"{' + '.join(group)}: {group[number]} ended with {process.returncode} and said {message}",
                      file=sys.stderr)
        mixed = mixed_run(place / "run") + mixed_prediction(place / "predicted")
        return group, figures + Counter(lost=lost(group, done, place), mixed=mixed)

    rows = {group: Counter() for group in groups}
    with ThreadPoolExecutor(jobs) as pool:
        for group, figures in pool.map(meet, range(times)):
            rows[group] += figures
    return {f"{group[0]} x {len(group)}" if len(set(group)) == 1 else " + ".join(group): figures
            for group, figures in rows.items()}


def lost(group, done, place):
    """How many of the programs with these numbers have reported results that are missing."""
    entries, (_, steps, _) = read_scores(place / "run" / "metrics.json"), read_kept(place / "run")
    kept = "overwrite" not in group  # else earlier scores may have been replaced, as requested
    return sum({"resume": steps != LATER or "mnist-2" not in entries,
                "overwrite": steps != LATER,
                "evaluate": kept and f"mnist-{number + 3}" not in entries,
                "predict": not (place / "predicted" / "prediction.gif").exists()}[group[number]] for number in done)


def mixed_run(out):
    """Whether a run's folder has files of several runs, or files that have changed since they were written."""
    folder, (plan, steps, parts) = RunFolder(out), read_kept(out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("[!.]*") if path.is_file()}
    scores = read_scores(out / "metrics.json")
    return (set(folder.own_files()) != files
            or read_log(out / "log.csv")["iteration"] != [str(n + 1) for n in range(steps)]
            or read_plan(read_json(out / "config.json")).recipe.seed != plan.recipe.seed
            or any(entry["iteration"] == steps and entry["weights_sha256"] != checksum(parts["model"])
                   for entry in scores.values()))


def mixed_prediction(out):
    """Whether a prediction's folder has files of several predictions, or files that have changed."""
    if not out.exists():
        return False
    files = {path.name for path in out.glob("[!.]*")}
    frames = sum(name.startswith("frame_") for name in files)
    with Image.open(out / "prediction.gif") as animation:
        shown = animation.n_frames
    return set(Folder(out, "prediction").own_files()) != files or shown != 3 + frames  # SMALL gives 3 frames


# spoilt files

def fuzz(folder, files, jobs=1, seed=0, readers=READERS):
    """Read `files` damaged files, about as many of each kind; {kind: Counter of the outcomes}."""
    write_originals(folder)
    context = multiprocessing.get_context("spawn")

    def many_files(job):
        name, read = list(readers.items())[job]
        answer, process_end = context.Pipe(duplex=False)
        count = files // len(readers) + (job < files % len(readers))
        process = context.Process(target=read_spoilt,
                                  args=(name, read, folder / name, folder / f"{job}", count, [seed, job], process_end))
        process.start()
        process_end.close()
        try:
            figures = answer.recv()
        except EOFError:  # the process has died
            figures = Counter()
        process.join()
        died = "hang" if process.exitcode == -signal.SIGALRM else "crash"
        return figures + Counter({died: process.exitcode != 0, "too large": figures["peak MB"] > MEMORY >> 20})

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(readers, pool.map(many_files, range(len(readers)))))


# signals

PATIENCE = 300  # seconds after which a piece of work counts as hanging; usually it takes less than a millisecond


def print_signals(times, seed):
    figures = signals(times, seed)
    print_table({"signals": figures}, SIGNALS)
    return int(figures["signals"] < times or any(figures[bad] for bad in SIGNALS[3:]))


SIGNALS = "signals", "raised", "calls", "still at work", "pool locked", "BLAS at one", "wrong"


class Interrupt(Exception):
    """The exception that the handler raises, like KeyboardInterrupt for Ctrl-C."""


def signals(times, seed=0):
    """Share work among three threads while signals, whose handler raises, arrive every 20 to 300 microseconds; a
    Counter of what was wrong after each call. A call that hangs ends the program, with a traceback of each thread."""
    figures, rng, codes = Counter(), random.Random(seed), {threads.share.__code__, threads.shared_matmul.__code__}
    threads.THREADS, threads.WORTH_WAKING = max(3, threads.THREADS), 1
    a, b = np.random.default_rng(seed).random((300, 200)), np.random.default_rng(seed).random((200, 100))
    expected, counts, at_work = a @ b, [library.get_num_threads() for library in threads.blas()], [0] * threads.THREADS

    def handler(number, frame):
        figures["signals"] += 1
        if figures["signals"] < times:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(2e-5, 3e-4))
        while frame is not None:
            if frame.f_code in codes:
                figures["raised"] += 1
                raise Interrupt
            frame = frame.f_back

    caller = threading.get_ident()

    def work(first, last):
        at_work[first] = threading.get_ident() != caller  # what this thread does itself may be interrupted
        np.matmul(a, b).sum()
        at_work[first] = 0

    def check():
        figures["calls"] += 1
        figures["still at work"] += sum(at_work)
        figures["pool locked"] += threads.POOL.lock.locked()
        figures["BLAS at one"] += [library.get_num_threads() for library in threads.blas()] != counts

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 1e-3)
    while figures["signals"] < times:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        with contextlib.suppress(Interrupt):
            threads.share(work, len(at_work), with_blas=True)
        check()
        with contextlib.suppress(Interrupt):
            figures["wrong"] += not np.allclose(threads.shared_matmul(a, b), expected)
        check()
    faulthandler.cancel_dump_traceback_later()
    signal.signal(signal.SIGALRM, before)
    return figures


if __name__ == "__main__":
    if sys.argv[1:2] == ["die"]:
        die(*sys.argv[2:])
    else:
        sys.exit(command(main))
