"""Check everything on this GPU: the tests, the kernels against float64, the recorded training step against the plain
one, the benchmark, and a training run with an interruption.

    python examples/verify_gpu.py --out gpu-check
    python examples/verify_gpu.py --device cpu --small    try the command itself, without a GPU, in minutes

Every part runs even if others have failed, and writes its output to its own file in the folder --out. The summary that
is printed at the end, with the device, the date and the commit, is in summary.txt there. Exit status 0 if all parts
succeeded, 1 if not.
"""

import argparse
import json
import platform
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


class Failure(Exception):
    """The reason why a part failed, in a sentence."""


def run(log, words, interrupt_when=lambda: False, limit=3600):
    """Run Python with `words` for at most `limit` seconds, with its output in the file `log`; send Ctrl-C once
    `interrupt_when()` is true. Returns its exit status."""
    with open(log, "ab") as file:
        process = subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        interrupted, start = False, time.monotonic()
        while process.poll() is None:
            if not interrupted and interrupt_when():
                process.send_signal(signal.SIGINT)
                interrupted = True
            if time.monotonic() - start > limit:
                process.kill()
            time.sleep(0.1)
    return process.returncode


def last_line(log):
    return (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"])[-1]


def tests(device, out, small):
    """All tests on the device."""
    log = out / "tests.txt"
    which = [ROOT / "tests" / "autograd" / "test_fuse.py", ROOT / "tests" / "models"] if small else [ROOT / "tests"]
    status = run(log, ["-m", "pytest", "-q", "--device", device, *which])
    if status:
        raise Failure(f"pytest ended with status {status}: {last_line(log)}")
    return last_line(log)


def checks(what, device, out):
    """gpu_checks.py's last line."""
    log = out / f"{what}.txt"
    status = run(log, ["examples/gpu_checks.py", what, "--device", device, "--json", out / f"{what}.json"])
    if status:
        raise Failure(f"gpu_checks.py {what} ended with status {status}: {last_line(log)}")
    return last_line(log)


def kernels(device, out, small):
    """Convolutions against float64, and whether our own kernel or cuBLAS is faster for each shape."""
    if device == "cpu":
        return "nothing to check on the CPU"
    verdict = checks("kernels", device, out)
    rows = json.loads((out / "kernels.json").read_text(encoding="utf-8"))
    own = sum(row["faster"] == "own kernel" for row in rows)
    return f"{verdict}; own kernel faster in {own} of {len(rows)} cases, cuBLAS in {len(rows) - own}"


def steps(device, out, small):
    """Training steps as a CUDA graph against the same steps launched op by op."""
    return "nothing to check on the CPU" if device == "cpu" else checks("steps", device, out)


def benchmark(device, out, small):
    """The benchmark's table, rows and picture."""
    rows = out / "benchmark.json"
    status = run(out / "benchmark.txt",
                 ["examples/benchmark.py", "--device", device, "--json", rows, "--plot", out / "benchmark.png",
                                         *(["--quick"] if small else ["--curves", out / "growth.png"])])
    if status:
        raise Failure(f"benchmark.py ended with status {status}")
    ratios = [f"{row['name']}: {row['ratio']:.2f}" for row in json.loads(rows.read_text(encoding="utf-8"))
              if row["ratio"] and row["name"].startswith(("training step", "memory, training step"))]
    return "peer / ours: " + "; ".join(ratios or ["no peer"])


def training(device, out, small):
    """A run that is stopped by Ctrl-C and resumed, and ends as if it had not been interrupted."""
    steps, log, folder = 30 if small else 300, out / "training.txt", out / "run"
    script = ["examples/train_mnist.py", "--device", device, "--out", folder]
    options = ["--preset", "quick" if small else "small", "--steps", steps, "--validate-every", steps // 2,
               "--test-sequences", 20]

    def losses():
        """{iteration: loss} so far."""
        columns = read_log(folder / "log.csv") if (folder / "log.csv").is_file() else {"iteration": [], "loss": []}
        return dict(zip(map(int, columns["iteration"]), map(float, columns["loss"])))

    status = run(log, [*script, "--overwrite", *options], lambda: steps // 3 <= len(losses()) < steps)
    stopped = len(losses())
    if status != 128 + signal.SIGINT:
        raise Failure(f"stopped by Ctrl-C after step {stopped}, training ended with status {status}: {last_line(log)}")
    status = run(log, [*script, "--resume"])
    if status or list(losses()) != list(range(1, steps + 1)) or not (folder / "metrics.json").is_file():
        raise Failure(f"resumed after step {stopped}, training ended with status {status} after step {len(losses())}: "
                      f"{last_line(log)}")
    first, last = losses()[1], losses()[steps]
    if last >= first:
        raise Failure(f"in {steps} steps the loss went from {first:.4f} to {last:.4f}")
    return f"stopped after step {stopped}, resumed to {steps}; loss {first:.4f} -> {last:.4f}"


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
    failed = False
    for part in tests, kernels, steps, benchmark, training:
        start = time.monotonic()
        try:
            verdict = "ok      " + part(device, out, arguments.small)
        except (Failure, OSError, ValueError, KeyError) as error:
            verdict, failed = f"FAILED  {error}", True
        summary.append(f"{part.__name__:10} {time.monotonic() - start:6.0f} s  {verdict}")
        print(summary[-1], flush=True)
    (out / "summary.txt").write_text("\n".join(summary) + "\n", encoding="utf-8")
    print("\n".join(["", *summary, f"all output is in {out}"]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(command(main))
