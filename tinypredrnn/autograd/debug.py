"""Debug levels: see what the autograd does, more with each level.

    1   time and memory of each op, forward and backward, as a table at the end; the first call of a fused op includes
        compiling it
    2   NaN or infinity: GraphError that names the op that made it, the module it is part of, and the line of your code
        that called it
    3   an array that backward needs and that has been changed in place, by your program or by an op's rule: GraphError
        that names the op, the argument and the line
    4   every op as it runs

    with tp.debug(2):
        loss = ...

    TINYPREDRNN_DEBUG=2 python your_script.py     (the same for a whole program)

Each level includes those below. All threads are watched, even those started earlier; of several `with` blocks, the one
entered last counts. Debugging costs time: leave it at 0 otherwise. If TINYPREDRNN_DEBUG is not a level, a line on
stderr says so, and nothing is watched.
"""

import atexit
import contextlib
import hashlib
import linecache
import math
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from weakref import WeakKeyDictionary

from tinypredrnn.autograd.engine import current_call, watches
from tinypredrnn.autograd.kept import Half
from tinypredrnn.autograd.kinds import brief
from tinypredrnn.autograd.tensor import Tensor
from tinypredrnn.backend import array_module, device_of, synchronise, to_numpy
from tinypredrnn.errors import ConfigError, GraphError

PACKAGE = str(Path(__file__).parents[1]) + os.sep


class Watch:
    """What a debug level watches. The engine calls `forward` and `backward` in place of the op's own, and `recorded`
    for a new node."""

    def __init__(self, level, file=None):
        if not isinstance(level, int) or level not in range(5):
            raise ConfigError(f"debug: levels are 0 to 4, got {brief(level)}")
        self.level, self.file = level, file
        self.lock = threading.Lock()  # of the totals and of the file: several threads may be watched at once
        # by op name: seconds, bytes
        self.totals = defaultdict(lambda: dict(calls=0, forward=0.0, backward=0.0, made=0, saved=0))
        self.made_at = WeakKeyDictionary()  # node -> where it was made
        self.fingerprints = WeakKeyDictionary()  # node -> {name: fingerprint} of saved values that can change in place

    def forward(self, op, arrays, options):
        started = time.perf_counter()
        result = op.forward(*arrays, **options)
        outputs = result if isinstance(result, tuple) else (result,)
        wait_for(outputs)
        seconds = time.perf_counter() - started
        made = sum(getattr(y, "nbytes", 0) for y in outputs if not any(is_view(y, a) for a in arrays))
        self.count(op, calls=1, forward=seconds, made=made)
        if self.level >= 4:
            shapes = ", ".join(str(getattr(y, "shape", ())) for y in outputs)
            self.say(f"{op.describe(arrays, options)} -> {shapes}  {1e3 * seconds:.3f} ms")
        if self.level >= 2 and not all(map(is_finite, outputs)):
            where = "from inputs that already had it" if not all(map(is_finite, arrays)) else "from finite inputs"
            raise GraphError(f"{op.describe(arrays, options)} made NaN or infinity {where}, {call_site()}")
        return result

    def recorded(self, node):
        self.count(node.op, saved=sum(getattr(value, "nbytes", 0) for value in saved_values(node).values()))
        if self.level >= 2:
            self.made_at[node] = call_site()
        if self.level >= 3:
            self.fingerprints[node] = fingerprints(saved_values(node))

    def backward(self, node, dy, into):
        where = self.made_at.get(node, "called before debugging began")
        saved = self.fingerprints.get(node, {})
        if name := changed(saved, saved_values(node)):
            raise GraphError(f"{node.op.name}: its {name}, which backward needs, was changed in place since it was "
                             f"{where}: change a copy")
        cotangents = dict(changeable("dy", dy)) if self.level >= 3 else {}
        prints = fingerprints(cotangents)
        started = time.perf_counter()
        gradients = node.op.pull_back(dy, node, into)
        wait_for(gradients)
        seconds = time.perf_counter() - started
        self.count(node.op, backward=seconds)
        if name := changed(prints, cotangents) or changed(saved, saved_values(node)):
            raise GraphError(f"backward of {node.op.name}: its rule changed {name} in place, which others read as "
                             f"well: make a new array; the op was {where}")
        if self.level >= 4:
            self.say(f"backward of {node.op.name}  {1e3 * seconds:.3f} ms")
        if self.level >= 2 and not all(map(is_finite, gradients)):
            given = dy if isinstance(dy, (list, tuple)) else [dy]
            had_it = not all(map(is_finite, given))
            cause = "from a cotangent that already had it" if had_it else "from a finite cotangent"
            raise GraphError(f"backward of {node.op.name} made NaN or infinity {cause}, {where}")
        return gradients

    def count(self, op, **more):
        with self.lock:
            row = self.totals[op.name]
            for key, value in more.items():
                row[key] += value

    def say(self, text):
        """Write a line to the file, else to stderr, which is None if the program was started without one."""
        if out := self.file or sys.stderr:
            with self.lock:
                print(text, file=out)

    def report(self):
        """Print the table, if anything was watched."""
        if self.totals:
            self.say(self.table())

    def table(self):
        """The totals as text, the op that takes longest first. Memory made is that of results that are not views;
        memory saved is what backward needs, in which an array saved by two ops counts twice."""
        with self.lock:  # another thread may still add an op
            rows = sorted(self.totals.items(), key=lambda item: -item[1]["forward"] - item[1]["backward"])
        keys = "calls", "forward", "backward", "made", "saved"
        rows.append(("all", {key: sum(f[key] for _, f in rows) for key in keys}))
        lines = [f"{'op':24}{'calls':>8}{'forward ms':>12}{'backward ms':>13}{'made MB':>10}{'saved MB':>10}"]
        for name, f in rows:
            lines.append(f"{name:24}{f['calls']:8}{1e3 * f['forward']:12.2f}{1e3 * f['backward']:13.2f}"
                         f"{f['made'] / 1e6:10.2f}{f['saved'] / 1e6:10.2f}")
        return "\n".join(lines)


@contextlib.contextmanager
def debug(level, file=None):
    """Watch the ops of all threads within `with tp.debug(level):` and print the table of times to `file` (stderr) at
    its end. Yields the Watch.

    Raises ConfigError for a level other than 0 to 4; the levels are described at the top of this file.
    """
    watch = Watch(level, file)
    entered = watch if level else None
    watches.append(entered)
    try:
        yield watch
    finally:  # another thread may have entered one since, which must stay
        del watches[max(i for i, other in enumerate(watches) if other is entered)]
        watch.report()


def watch_from_start(value):
    """Watch the whole program at the level in TINYPREDRNN_DEBUG. It is read during the import, which must not fail
    because of it."""
    if value.strip() not in tuple("01234"):
        if sys.stderr:
            print(f"tinypredrnn: TINYPREDRNN_DEBUG is a level from 0 to 4, got {value!r}: nothing is watched",
                  file=sys.stderr)
    elif int(value):
        watches[0] = Watch(int(value))
        atexit.register(watches[0].report)


def wait_for(arrays):
    """Wait until these arrays are computed: a GPU works asynchronously, and the clock would stop too early."""
    for device in {device_of(a) for a in arrays if hasattr(a, "dtype")}:
        synchronise(device)


def is_finite(a):
    if isinstance(a, float):
        return math.isfinite(a)
    return getattr(a, "dtype", None) is None or a.dtype.kind != "f" or bool(array_module(a).isfinite(a).all())


def is_view(y, a):
    """Whether `y` lies in the memory of `a`."""
    return hasattr(a, "nbytes") and hasattr(y, "nbytes") and array_module(a).may_share_memory(y, a)


def saved_values(node):
    """What a node keeps for backward and can be changed in place, by name: arrays, however deep ("parts[0]",
    "index[1]"), and the contents of lists."""
    return {inner: part for name, value in node.saved.items() for inner, part in changeable(name, value)}


def changeable(name, value, inside=False):
    """(name, part) for each array in `value`; `inside` a list or dict, also for its length and its numbers."""
    value = value.data if isinstance(value, Tensor) else value.bits if isinstance(value, Half) else value
    if isinstance(value, (list, tuple)):
        inside = inside or isinstance(value, list)
        if inside:
            yield name, len(value)
        for i, part in enumerate(value):
            yield from changeable(f"{name}[{i}]", part, inside)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from changeable(f"{name}[{key!r}]", part, True)
    elif isinstance(value, slice):
        for end in ("start", "stop", "step"):
            yield from changeable(f"{name}.{end}", getattr(value, end), inside)
    elif hasattr(value, "nbytes") or (inside and value is not None):
        yield name, value


def fingerprints(values):
    """{name: fingerprint} of {name: value}."""
    return {name: fingerprint(value) for name, value in values.items()}


def changed(before, values):
    """The name of the first value whose fingerprint is no longer the one in `before`, or None."""
    return next((name for name in before if name not in values or fingerprint(values[name]) != before[name]), None)


def fingerprint(value):
    """A short hash of an array's values; a number as text, in which NaN is NaN."""
    if not hasattr(value, "nbytes"):
        return repr(value)
    return hashlib.blake2b(to_numpy(value).tobytes(), digest_size=16).digest()


def call_site():
    """Where the program is: the innermost line outside this package, and the module of the model, as
    `called at train.py:12: loss = model(x) (in cells.0 of PredRNN)`."""
    frame = sys._getframe()
    while frame and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is None:
        return "called inside tinypredrnn"
    file, number = frame.f_code.co_filename, frame.f_lineno
    line, call = linecache.getline(file, number).strip(), current_call.get()
    return f"called at {file}:{number}" + (f": {line}" if line else "") + (f" (in {call})" if call else "")


if os.environ.get("TINYPREDRNN_DEBUG"):
    watch_from_start(os.environ["TINYPREDRNN_DEBUG"])
