"""The debug ladder: see what an autograd does, one level more with each step.

    1   time and memory of each op, forward and backward, as a table at the end; the first call of a fused op includes compiling it
    2   NaN or infinity: GraphError that names the op that made it, the module it is part of, and the line of your code that called it
    3   an array that backward needs and that was changed in place meanwhile: GraphError that names op, argument and line
    4   every op as it runs

    with tp.debug(2):
        loss = ...                              TINYPREDRNN_DEBUG=2 python your_script.py     (the same for a whole program)

Each level includes those below, and of two `with` the inner one counts. Debugging costs time: leave it at 0 otherwise.
"""

import atexit
import contextlib
import hashlib
import linecache
import math
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from weakref import WeakKeyDictionary

from tinypredrnn.autograd.engine import calling, watching
from tinypredrnn.backend import array_module, device_of, synchronise, to_numpy
from tinypredrnn.errors import ConfigError, GraphError

PACKAGE = str(Path(__file__).parents[1]) + os.sep


class Watch:
    """What a debug level watches. The engine calls `forward` and `backward` in place of the op's own; `recorded` after a new node."""

    def __init__(self, level, file=None):
        if level not in range(5):
            raise ConfigError(f"debug: levels are 0 to 4, got {level!r}")
        self.level, self.file = level, file
        self.figures = defaultdict(lambda: dict(calls=0, forward=0.0, backward=0.0, made=0, saved=0))  # by op name: seconds, bytes
        self.made_at = WeakKeyDictionary()  # node -> where it was made
        self.prints = WeakKeyDictionary()  # node -> {name: fingerprint of the saved array}

    def forward(self, op, arrays, options):
        started = time.perf_counter()
        result = op.forward(*arrays, **options)
        outputs = result if isinstance(result, tuple) else (result,)
        wait_for(outputs)
        seconds, row = time.perf_counter() - started, self.figures[op.name]
        row["calls"] += 1
        row["forward"] += seconds
        row["made"] += sum(getattr(y, "nbytes", 0) for y in outputs if not any(is_view(y, a) for a in arrays))
        if self.level >= 4:
            print(f"{op.describe(arrays, options)} -> {', '.join(str(y.shape) for y in outputs)}  {1e3 * seconds:.3f} ms", file=self.out())
        if self.level >= 2 and not all(map(is_finite, outputs)):
            where = "from inputs that had it already" if not all(map(is_finite, arrays)) else "from finite inputs"
            raise GraphError(f"{op.describe(arrays, options)} made NaN or infinity {where}, {place()}")
        return result

    def recorded(self, node):
        kept = saved_arrays(node)
        self.figures[node.op.name]["saved"] += sum(a.nbytes for a in kept.values())
        if self.level >= 2:
            self.made_at[node] = place()
        if self.level >= 3:
            self.prints[node] = {name: fingerprint(a) for name, a in kept.items()}

    def backward(self, node, dy, into):
        where = self.made_at.get(node, "called before debugging began")
        kept = saved_arrays(node)
        for name, before in self.prints.get(node, {}).items():
            if fingerprint(kept[name]) != before:
                raise GraphError(f"{node.op.name}: its {name}, which backward needs, was changed in place since it was {where}: "
                                 "change a copy")
        started = time.perf_counter()
        gradients = node.op.pull_back(dy, node, into)
        wait_for(gradients)
        seconds = time.perf_counter() - started
        self.figures[node.op.name]["backward"] += seconds
        if self.level >= 4:
            print(f"backward of {node.op.name}  {1e3 * seconds:.3f} ms", file=self.out())
        if self.level >= 2 and not all(map(is_finite, gradients)):
            given = dy if isinstance(dy, (list, tuple)) else [dy]
            cause = "from a cotangent that had it already" if not all(map(is_finite, given)) else "from a finite cotangent"
            raise GraphError(f"backward of {node.op.name} made NaN or infinity {cause}, {where}")
        return gradients

    def report(self):
        """Print the table, if anything was watched."""
        if self.figures:
            print(self.table(), file=self.out())

    def out(self):
        return self.file or sys.stderr

    def table(self):
        """The figures as text, the op that takes longest first. Memory made is that of results that are no views; memory saved is what
        backward needs, an array that two ops save counting twice."""
        rows = sorted(self.figures.items(), key=lambda item: -item[1]["forward"] - item[1]["backward"])
        rows.append(("all", {key: sum(f[key] for _, f in rows) for key in ("calls", "forward", "backward", "made", "saved")}))
        return "\n".join([f"{'op':24}{'calls':>8}{'forward ms':>12}{'backward ms':>13}{'made MB':>10}{'saved MB':>10}"] + [
            f"{name:24}{f['calls']:8}{1e3 * f['forward']:12.2f}{1e3 * f['backward']:13.2f}{f['made'] / 1e6:10.2f}{f['saved'] / 1e6:10.2f}"
            for name, f in rows])


@contextlib.contextmanager
def debug(level, file=None):
    """Watch the ops within `with tp.debug(level):` and print the table of times to `file` (stderr) at its end. Yields the Watch.

    Raises ConfigError for a level other than 0 to 4; the levels are described at the top of this file.
    """
    watch = Watch(level, file)
    token = watching.set(watch if level else None)
    try:
        yield watch
    finally:
        watching.reset(token)
        watch.report()


def watch_from_start(value):
    """TINYPREDRNN_DEBUG for the whole program."""
    if value.strip() not in tuple("01234"):
        raise ConfigError(f"TINYPREDRNN_DEBUG is a level from 0 to 4, got {value!r}")
    if int(value):
        watch = Watch(int(value))
        watching.set(watch)
        atexit.register(watch.report)


def wait_for(arrays):
    """A GPU works behind the program's back: wait, so that the clock is right."""
    for device in {device_of(a) for a in arrays if hasattr(a, "dtype")}:
        synchronise(device)


def is_finite(a):
    if isinstance(a, float):
        return math.isfinite(a)
    return getattr(a, "dtype", None) is None or a.dtype.kind != "f" or bool(array_module(a).isfinite(a).all())


def is_view(y, a):
    """Whether `y` lies in the memory of `a`."""
    return hasattr(a, "nbytes") and hasattr(y, "nbytes") and array_module(a).may_share_memory(y, a)


def saved_arrays(node):
    """The arrays that a node keeps for backward, by name; those of an op of any number of inputs as "parts[0]", "parts[1]" ..."""
    values = {}
    for name, value in node.saved.items():
        values |= {f"{name}[{i}]": part for i, part in enumerate(value)} if isinstance(value, list) else {name: value}
    return {name: value for name, value in values.items() if hasattr(value, "nbytes")}


def fingerprint(a):
    """A short hash of an array's values."""
    return hashlib.blake2b(to_numpy(a).tobytes(), digest_size=16).digest()


def place():
    """Where the program is: the innermost line that is not of this package, and the module of the model, as
    `called at train.py:12: loss = model(x) (in cells.0 of PredRNN)`."""
    frame = sys._getframe()
    while frame and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is None:
        return "called inside tinypredrnn"
    file, number = frame.f_code.co_filename, frame.f_lineno
    line, call = linecache.getline(file, number).strip(), calling.get()
    return f"called at {file}:{number}" + (f": {line}" if line else "") + (f" (in {call})" if call else "")


if os.environ.get("TINYPREDRNN_DEBUG"):
    watch_from_start(os.environ["TINYPREDRNN_DEBUG"])
