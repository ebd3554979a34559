"""Is what a run learns safe, and may a file come from anywhere? Two commands that try hard to show the opposite, on Linux or macOS.

    python examples/verify_safety.py kills --times 300     runs killed by kill -9, mostly in the midst of writing, then resumed
    python examples/verify_safety.py fuzz --files 20000    spoilt and malicious files through every reader

Each prints a table. Exit status 0 if nothing was lost (no run, nor a bit of its final weights) and nothing went wrong (each file was read,
or refused in one sentence, in time, within bounds of memory, and ran no code), else 1.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import os
import runpy
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from spoilt_files import READERS, read_spoilt, write_originals

from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.errors import CheckpointError, command, whole_number_from
from tinypredrnn.train import read_checkpoint

TRAIN = Path(__file__).with_name("train_mnist.py")
SMALL = ("--size 32 32 --hidden 4 --kernel 3 --patch 8 --given 3 --horizon 3 --batch 2 --steps 24 --validate-every 4 --sampling-until 12 "
         "--test-sequences 4").split()
BY_CLOCK = "any time", "then damaged"
IN_WRITING = "half written", "not flushed", "before rename", "after rename"
CALLS = 16  # a run that is killed in writing dies with one of the first 16 files
MEMORY = 1 << 30  # bytes that reading one of the small files may take


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kills", "fuzz"))
    parser.add_argument("--times", type=whole_number_from(1), default=300, help="how many kills (default: %(default)s)")
    parser.add_argument("--files", type=whole_number_from(1), default=20_000, help="how many files (default: %(default)s)")
    parser.add_argument("--seed", type=whole_number_from(0), default=0, help="other moments, or other files (default: %(default)s)")
    parser.add_argument("--jobs", type=whole_number_from(1), default=2, help="processes at a time (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "kills":
            figures = kills(Path(folder), arguments.times, arguments.jobs, arguments.seed)
            print_table({"kill -9": figures}, (*BY_CLOCK, *IN_WRITING, "runs", "lost", "different"))
            return int(figures["lost"] + figures["different"] > 0)
        rows = fuzz(Path(folder), arguments.files, arguments.jobs, arguments.seed)
        total = sum(rows.values(), Counter())
        for name in "slowest ms", "peak MB":
            total[name] = max(row[name] for row in rows.values())
        print_table(rows | {"all": total}, ("read", "refused", "wrong", "crash", "hang", "too large", "ran code", "slowest ms", "peak MB"))
        return int(any(total[bad] for bad in ("wrong", "crash", "hang", "too large", "ran code")))


def print_table(rows, columns):
    print(" " * 22 + "".join(f"{name:>15}" for name in columns))
    for name, figures in rows.items():
        print(f"{name:22}" + "".join(f"{figures[column]:>15,}" for column in columns))


# kill -9

def kills(folder, times, jobs=1, seed=0, script=TRAIN):
    """Kill small runs `times` times in all, at moments drawn by `seed`, and resume them to their end; a Counter of what happened."""
    for name, count in ("train", 60), ("t10k", 20):
        images = draw_digits(np.random.default_rng(count), count)[0]
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, *images.shape) + images.tobytes())

    def start(out, words, moment=None, call=0):
        ours = [__file__, "die", moment, str(call)] if moment in IN_WRITING else []
        return subprocess.Popen([sys.executable, *ours, script, *words, "--data-dir", folder, "--out", out], stdout=subprocess.DEVNULL,
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
            said = process.communicate()[1]
            if process.returncode == 0:
                return figures + Counter(different=weights(out) != expected)
            before, kept = kept, last_step(out)
            if process.returncode != -signal.SIGKILL or before is not None and (kept is None or kept < before):
                print(f"lost: step {before} was saved before, {kept} after a kill at {moment}; it said {said}", file=sys.stderr)
                return figures + Counter(lost=1)
            if moment == "then damaged" and (out / "checkpoint-previous.npz").exists() and (out / "checkpoint.npz").exists():
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
    said = undisturbed.communicate()[1]
    if undisturbed.returncode:
        raise RuntimeError(f"the undisturbed run failed: {said}")
    seconds, expected = time.monotonic() - started, weights(folder / "undisturbed")
    with ThreadPoolExecutor(jobs) as pool:
        return sum(pool.map(many_runs, range(jobs)), Counter())


def read_kept(out):
    """What a run's folder keeps, read without the help of what is tested; None where nothing can be read."""
    for name in "checkpoint.npz", "checkpoint-previous.npz":
        with contextlib.suppress(CheckpointError):
            return read_checkpoint(out / name)
    return None


def last_step(out):
    found = read_kept(out)
    return found and found[1]


def weights(out):
    """Every number of the last checkpoint, to the last bit."""
    found = read_kept(out)
    return found and (found[1], {(part, name): a.tobytes() for part, arrays in found[2].items() for name, a in arrays.items()})


def die(moment, call, script, *words):
    """Run a script and kill it as it writes its file number `call`: this runs in a process of its own."""
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


# spoilt files

def fuzz(folder, files, jobs=1, seed=0, readers=READERS):
    """Read `files` spoilt files, about as many of each kind; {kind: Counter of what happened}."""
    write_originals(folder)
    context = multiprocessing.get_context("spawn")

    def many_files(job):
        name, read = list(readers.items())[job]
        answer, process_end = context.Pipe(duplex=False)
        count = files // len(readers) + (job < files % len(readers))
        process = context.Process(target=read_spoilt, args=(name, read, folder / name, folder / f"{job}", count, [seed, job], process_end))
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


if __name__ == "__main__":
    if sys.argv[1:2] == ["die"]:
        die(*sys.argv[2:])
    else:
        sys.exit(command(main))
