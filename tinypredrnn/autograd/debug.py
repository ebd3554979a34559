"""The debug ladder: see what an autograd does, one level more with each step.

    1   time and memory of each op, forward and backward, as a table at the end
    2   NaN or infinity: GraphError that names the op that made it, and the line of your code that called it
    3   an array that backward needs and that was changed in place meanwhile: GraphError that names the op and your line
    4   every op as it runs

    with tp.debug(2):
        loss = ...                              TINYPREDRNN_DEBUG=2 python your_script.py     (the same for a whole program)

Each level includes those below. Debugging costs time: leave it at 0 otherwise.
"""

import atexit
import contextlib
import hashlib
import os
import sys
import time
import traceback
from collections import defaultdict
from pathlib import Path
from weakref import WeakKeyDictionary

from tinypredrnn.autograd.engine import watching
from tinypredrnn.backend import array_module, device_of, synchronise, to_numpy
from tinypredrnn.errors import ConfigError, GraphError

PACKAGE = str(Path(__file__).resolve().parents[1])


class Watch:
    """What a debug level watches. The engine calls `forward` and `backward` in place of the op's own; `recorded` after a new node."""

    def __init__(self, level, file=None):
        if level not in range(5):
            raise ConfigError(f"debug: levels are 0 to 4, got {level!r}")
        self.level, self.file = level, file
        self.figures = defaultdict(lambda: dict(calls=0, forward=0.0, backward=0.0, made=0, saved=0))  # by op name: seconds, bytes
        self.made_at = WeakKeyDictionary()  # node -> the user's line
        self.prints = WeakKeyDictionary()  # node -> {name: fingerprint of the saved array}

    def forward(self, op, arrays, options):
        started = time.perf_counter()
        result = op.forward(*arrays, **options)
        outputs = result if isinstance(result, tuple) else (result,)
        wait_for(outputs)
        seconds, row = time.perf_counter() - started, self.figures[op.name]
        row["calls"] += 1
        row["forward"] += seconds
        row["made"] += sum(getattr(y, "nbytes", 0) for y in outputs)
        if self.level >= 4:
            print(f"{op.describe(arrays, options)} -> {', '.join(str(y.shape) for y in outputs)}  {1e3 * seconds:.3f} ms", file=self.out())
        if self.level >= 2 and not all(map(is_finite, outputs)):
            where = "from inputs that had it already" if not all(map(is_finite, arrays)) else "from finite inputs"
            raise GraphError(f"{op.describe(arrays, options)} made NaN or infinity {where}, called at {users_line()}")
        return result

    def recorded(self, node):
        self.made_at[node] = users_line()
        self.figures[node.op.name]["saved"] += sum(getattr(a, "nbytes", 0) for a in node.saved.values())
        if self.level >= 3:
            self.prints[node] = {name: fingerprint(a) for name, a in node.saved.items()}

    def backward(self, node, dy):
        line = self.made_at.get(node, "an unknown line (made before debugging began)")
        for name, before in self.prints.get(node, {}).items():
            if fingerprint(node.saved[name]) != before:
                raise GraphError(f"{node.op.name}, called at {line}: its {name}, which backward needs, was changed in place since: "
                                 "change a copy")
        started = time.perf_counter()
        gradients = node.op.pull_back(dy, node)
        wait_for(gradients)
        seconds = time.perf_counter() - started
        self.figures[node.op.name]["backward"] += seconds
        if self.level >= 4:
            print(f"backward of {node.op.name}  {1e3 * seconds:.3f} ms", file=self.out())
        if self.level >= 2 and not all(map(is_finite, gradients)):
            raise GraphError(f"backward of {node.op.name}, called at {line}, made NaN or infinity")
        return gradients

    def out(self):
        return self.file or sys.stderr

    def table(self):
        """The figures as text, the op that takes longest first."""
        rows = [f"{'op':24}{'calls':>8}{'forward ms':>12}{'backward ms':>13}{'made MB':>10}{'saved MB':>10}"]
        for name, f in sorted(self.figures.items(), key=lambda item: -item[1]["forward"] - item[1]["backward"]):
            rows.append(f"{name:24}{f['calls']:8}{1e3 * f['forward']:12.2f}{1e3 * f['backward']:13.2f}"
                        f"{f['made'] / 1e6:10.2f}{f['saved'] / 1e6:10.2f}")
        return "\n".join(rows)


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
        if watch.figures:
            print(watch.table(), file=watch.out())


def watch_from_start(value):
    """TINYPREDRNN_DEBUG for the whole program."""
    if value.strip() not in tuple("01234"):
        raise ConfigError(f"TINYPREDRNN_DEBUG is a level from 0 to 4, got {value!r}")
    if int(value):
        watch = Watch(int(value))
        watching.set(watch)
        atexit.register(lambda: print(watch.table(), file=watch.out()))


def wait_for(arrays):
    """A GPU works behind the program's back: wait, so that the clock is right."""
    for device in {device_of(a) for a in arrays if hasattr(a, "dtype")}:
        synchronise(device)


def is_finite(a):
    return getattr(a, "dtype", None) is None or a.dtype.kind != "f" or bool(array_module(a).isfinite(a).all())


def fingerprint(a):
    """A short hash of an array's values; of anything else, nothing."""
    return hashlib.blake2b(to_numpy(a).tobytes(), digest_size=16).digest() if hasattr(a, "nbytes") else None


def users_line():
    """The innermost line of the program that is not of this package, as `file.py:12: y = tp.log(x)`."""
    frames = [f for f in traceback.extract_stack() if not str(Path(f.filename).resolve()).startswith(PACKAGE)]
    return f"{frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}" if frames else "a line inside tinypredrnn"


if os.environ.get("TINYPREDRNN_DEBUG"):
    watch_from_start(os.environ["TINYPREDRNN_DEBUG"])
