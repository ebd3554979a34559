"""Check everything on this GPU in at most ten minutes: the kernels against float64, the recorded training step against
the plain one, a training run with an interruption, the tests, and the benchmark.

    python examples/verify_gpu.py --out gpu-check
    python examples/verify_gpu.py --device cpu --small    try the command itself, without a GPU, in minutes

Every part runs even if others have failed, for as long as its share of the time and what earlier parts have left over
of theirs, and writes its output to its own file in the folder --out. The tables of all parts and then a summary, with
the device, the date and the commit, are printed at the end; they are in summary.txt there. Exit status 0 if all parts
succeeded, 1 if one failed or was stopped because its time was over. (gpu_compile.py checks without a GPU that all
kernels compile for it.)
"""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from tinypredrnn.backend import find_device
from tinypredrnn.errors import command
from tinypredrnn.train import read_log

ROOT = Path(__file__).resolve().parents[1]
GRACE = 10  # seconds that a part has to end after Ctrl-C, before it is killed
ON_THE_DEVICE = ["gpu", "autograd", "nn", "models", "test_cells.py", "test_optim.py", "test_references.py",
                 "test_backend.py"]


class Failure(Exception):
    """The reason why a part failed, in a sentence."""


class Late(Failure):
    """A part was stopped because its time was over; what it found until then."""


def run(log, words, end, interrupt_when=lambda: False):
    """Run Python with `words`, with its output in the file `log`; send Ctrl-C once `interrupt_when()` is true, or at
    the moment `end` of the monotonic clock. Returns (exit status, whether its time was over)."""
    with open(log, "ab") as file:
        # in a session of its own, so that the processes that it starts can be ended with it
        process = subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        interrupted = False
        try:
            while process.poll() is None:
                if time.monotonic() > end:
                    process.send_signal(signal.SIGINT)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(GRACE)
                    kill(process)
                    return process.wait(), True
                if not interrupted and interrupt_when():
                    process.send_signal(signal.SIGINT)
                    interrupted = True
                time.sleep(0.1)
        except BaseException:
            kill(process)
            raise
    return process.returncode, False


def kill(process):
    """End a process and those that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()


def shown(log, most=60):
    """The last lines of what a part has written, without those that show its progress."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([line for line in lines if not re.search(r"\d+%[|\]]", line)][-most:]).strip()


def last_line(log):
    return (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"])[-1]


def python(what, log, words, end):
    """`run`, and its last line. Failure if it fails, Late if its time was over."""
    status, late = run(log, words, end)
    if late:
        raise Late(f"{what}: {last_line(log)}")
    if status:
        raise Failure(f"{what} ended with status {status}: {last_line(log)}")
    return last_line(log)


def kernels(device, out, small, end):
    """Convolutions against float64, and whether our own kernel or cuBLAS is faster for each shape."""
    if device == "cpu":
        return "nothing to check on the CPU"
    rows = out / "kernels.json"
    verdict = python("gpu_checks.py kernels", out / "kernels.txt",
                     ["examples/gpu_checks.py", "kernels", "--device", device, "--json", rows], end)
    rows = json.loads(rows.read_text(encoding="utf-8"))
    own = sum(row["faster"] == "own kernel" for row in rows)
    return f"{verdict}; own kernel faster in {own} of {len(rows)} cases, cuBLAS in {len(rows) - own}"


def steps(device, out, small, end):
    """Training steps as a CUDA graph against the same steps launched op by op."""
    if device == "cpu":
        return "nothing to check on the CPU"
    words = ["examples/gpu_checks.py", "steps", "--device", device]
    return python("gpu_checks.py steps", out / "steps.txt", words, end)


def training(device, out, small, end):
    """A run that is stopped by Ctrl-C and resumed, and ends as if it had not been interrupted."""
    steps, log, folder = 30 if small else 150, out / "training.txt", out / "run"
    script = ["examples/train_mnist.py", "--device", device, "--out", folder]
    options = ["--preset", "quick" if small else "small", "--steps", steps, "--validate-every", steps // 2,
               "--optimiser", "adam", "--test-sequences", 20]  # its steps can be recorded

    def losses():
        """{iteration: loss} so far."""
        columns = read_log(folder / "log.csv") if (folder / "log.csv").is_file() else {"iteration": [], "loss": []}
        return dict(zip(map(int, columns["iteration"]), map(float, columns["loss"])))

    status, late = run(log, [*script, "--overwrite", *options], end, lambda: steps // 3 <= len(losses()) < steps)
    stopped = len(losses())
    if late:
        raise Late(f"after step {stopped} of {steps}: {last_line(log)}")
    if status != 128 + signal.SIGINT:
        raise Failure(f"stopped by Ctrl-C after step {stopped}, training ended with status {status}: {last_line(log)}")
    status, late = run(log, [*script, "--resume"], end)
    if late:
        raise Late(f"after step {len(losses())} of {steps}: {last_line(log)}")
    if status or list(losses()) != list(range(1, steps + 1)) or not (folder / "metrics.json").is_file():
        raise Failure(f"resumed after step {stopped}, training ended with status {status} after step {len(losses())}: "
                      f"{last_line(log)}")
    first, last = losses()[1], losses()[steps]
    if last >= first:
        raise Failure(f"in {steps} steps the loss went from {first:.4f} to {last:.4f}")
    return f"stopped after step {stopped}, resumed to {steps}; loss {first:.4f} -> {last:.4f}"


def tests(device, out, small, end):
    """The tests that compute on the device."""
    which = ["autograd/test_ops.py", "test_cells.py"] if small else ON_THE_DEVICE
    return python("pytest", out / "tests.txt", ["-m", "pytest", "-q", "-rfE", "--tb=short", "--device", device,
                                                *(ROOT / "tests" / name for name in which)], end)


def benchmark(device, out, small, end):
    """The rows of the benchmark: the paper's network first, then as many others as there is time for."""
    log, ratios, late = out / "benchmark.txt", [], False
    for number, only in enumerate((["gates 8x16"],) if small else (["step 4x128"], ["step 4x64"], [""])):
        rows = out / f"benchmark-{number}.json"
        rows.unlink(missing_ok=True)
        status, late = run(log, ["examples/benchmark.py", "--device", device, "--json", rows, "--only", *only,
                                 *(["--quick"] if small else [])], end)
        if rows.is_file():  # it is written whenever some rows are known
            ratios += [f"{row['name']}: {row['ratio']:.2f}" for row in json.loads(rows.read_text(encoding="utf-8"))
                       if row["ratio"] and (small or number < 2)]
        if late:
            break
        if status:
            raise Failure(f"benchmark.py ended with status {status}: {last_line(log)}")
    verdict = "peer / ours: " + "; ".join(ratios or ["no peer"])
    if late:
        raise Late(verdict)
    return verdict


# seconds of each part, the most telling one first; in all ten minutes less GRACE for each
PARTS = {kernels: 90, steps: 60, training: 100, tests: 130, benchmark: 170}


def device_name(device):
    if device == "cpu":
        return f"CPU {platform.processor() or platform.machine()}"
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(int(device[4:]))
    return (f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2 ** 30:.0f} GiB, driver for CUDA "
            f"{cupy.cuda.runtime.driverGetVersion()}, CuPy {cupy.__version__} with CUDA "
            f"{cupy.cuda.runtime.runtimeGetVersion()}")


def commit():
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="gpu",
                        help="gpu, gpu:N, or cpu to try the command itself (default: %(default)s)")
    parser.add_argument("--out", type=Path, default="gpu-check",
                        help="folder for what the parts write (default: %(default)s)")
    parser.add_argument("--small", action="store_true", help="a few tests, the quick benchmark, a short run")
    arguments = parser.parse_args()
    device, out = find_device(arguments.device), arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    summary = [f"{device}: {device_name(device)}", f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, commit "
                                                   f"{commit()}, Python {platform.python_version()}"]
    failed, end, tables = False, time.monotonic(), []
    for part, seconds in PARTS.items():
        start, end, name = time.monotonic(), end + seconds, part.__name__
        (out / f"{name}.txt").unlink(missing_ok=True)
        try:
            verdict = "ok      " + part(device, out, arguments.small, end)
        except Late as late:
            verdict, failed = f"LATE    stopped when its time was over: {late}", True
        except Exception as error:  # whatever it is, the other parts are to be tried, too
            why = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
            verdict, failed = f"FAILED  {why}", True
        summary.append(f"{name:10} {time.monotonic() - start:6.0f} s  {verdict}")
        print(summary[-1], flush=True)
        if (out / f"{name}.txt").is_file():
            tables += [f"== {name}", shown(out / f"{name}.txt"), ""]
    text = "\n".join([*tables, *summary])
    (out / "summary.txt").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\nall output is in {out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(command(main))
