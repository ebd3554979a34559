"""Debug levels: each one reports what it promises, by environment variable and by context manager, and leaves nothing behind."""

import inspect
import io
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.autograd.engine import watches
from tinypredrnn.errors import ConfigError, GraphError
from tinypredrnn.nn import Linear

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
ROOT = Path(tp.__file__).parents[1]


@tp.fuse
def gated(a, b):
    return tp.sigmoid(a) * tp.log(b)


def leaf(*values, dtype=np.float64):
    return tp.tensor(np.array(values, dtype), requires_grad=True)


def line():
    """The place of the caller's line, as messages name it."""
    caller = inspect.currentframe().f_back
    return f"{__file__}:{caller.f_lineno}: "


def watched(level, run):
    """The text that a level writes, and the Watch."""
    file = io.StringIO()
    with tp.debug(level, file) as watch:
        run()
    return file.getvalue(), watch


def caught(level, run):
    """The message of the GraphError that a level raises."""
    with pytest.raises(GraphError) as error, tp.debug(level, io.StringIO()):
        run()
    assert "\n" not in str(error.value)
    return str(error.value)


# level 1

def test_level_1_counts_times_and_measures_each_op():
    def run():
        x = leaf(*np.ones(1000))
        y = tp.tanh(x * 2.0)
        (tp.tanh(y) + y.reshape(10, 100).reshape(1000)).sum().backward()

    text, watch = watched(1, run)
    header, *rows = text.splitlines()
    assert header.split("  ")[0] == "op" and all(name in header for name in ("calls", "forward ms", "backward ms", "made MB", "saved MB"))
    table = {row.split()[0]: [float(figure) for figure in row.split()[1:]] for row in rows}
    assert {name: figures[0] for name, figures in table.items()} == {"mul": 1, "tanh": 2, "reshape": 2, "add": 1, "sum": 1, "all": 7}
    figures = watch.totals
    assert figures["tanh"]["made"] == 2 * 8000 and figures["tanh"]["saved"] == 2 * 8000  # it keeps y
    assert figures["reshape"]["made"] == 0  # views
    assert figures["add"]["made"] == 8000 and figures["add"]["saved"] == 0
    assert all(f["forward"] > 0 and f["backward"] > 0 for f in figures.values())
    assert table["tanh"][3] == table["tanh"][4] == 0.02
    assert rows[-1].split()[0] == "all" and [row.split()[0] for row in rows[:-1]] == sorted(
        figures, key=lambda name: -figures[name]["forward"] - figures[name]["backward"])
    assert table["all"][1] == pytest.approx(sum(f["forward"] for f in figures.values()) * 1e3, abs=0.006)


def test_level_1_adds_a_wait_to_its_op(monkeypatch):
    """The clock runs while an op does, and not before or after."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def later(seconds, value):
        clock[0] += seconds
        return value

    slow = tp.op(x=lambda dy: later(0.5, dy * 2))(lambda x: later(0.25, x * 2))

    def run():
        y = slow(slow(leaf(1.0)))
        clock[0] += 100
        y.backward()

    _, watch = watched(1, run)
    (name, figures), = watch.totals.items()
    assert (figures["calls"], figures["forward"], figures["backward"]) == (2, 0.5, 1.0)


def test_level_1_counts_a_fused_op_as_one_and_unfused_op_by_op():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    _, watch = watched(1, lambda: gated(a, b).sum().backward())
    assert set(watch.totals) == {"gated", "sum"} and watch.totals["gated"]["saved"] == 32

    def run():
        with tp.unfused():
            gated(a, b)

    assert set(watched(1, run)[1].totals) == {"sigmoid", "log", "mul"}


def test_level_1_counts_arrays_that_an_op_of_many_inputs_keeps():
    both = tp.op(parts=lambda dy, parts: [dy * p for p in parts[::-1]])(lambda *parts: parts[0] * parts[1])
    _, watch = watched(1, lambda: both(leaf(1.0, 2.0), leaf(3.0, 4.0)))
    (figures,) = watch.totals.values()
    assert figures["saved"] == 32


def test_nothing_watched_nothing_printed():
    assert watched(1, lambda: None)[0] == watched(0, lambda: leaf(1.0) * 2)[0] == ""


# level 2

def test_level_2_names_the_op_and_the_line_that_made_nan():
    x = leaf(-1.0, 1.0)
    places = []

    def run():
        y = x * 2
        places.append(line()); z = tp.log(y)  # noqa: E702
        return z * 3

    message = caught(2, run)
    assert message.startswith("log(x: float64 (2,)) made NaN or infinity from finite inputs, called at " + places[0])
    assert "z = tp.log(y)" in message


@pytest.mark.parametrize(("make", "op"), [
    (lambda: leaf(0.0) ** -1.0, "power"),
    (lambda: 1 / leaf(0.0), "div"),
    (lambda: tp.exp(leaf(1e4)), "exp"),
    (lambda: gated(leaf(1.0), leaf(-1.0)), "gated"),
    (lambda: gated(leaf(1.0), leaf(0.0)), "gated"),
    (lambda: tp.exp(leaf(100.0, dtype=np.float32)).sum(), "exp"),
    (lambda: tp.log(tp.tensor(np.zeros(2))), "log"),  # without a graph too
])
def test_level_2_catches_nan_and_infinity_of_every_kind(make, op):
    message = caught(2, make)
    assert message.startswith(f"{op}(") and "from finite inputs" in message and f"called at {__file__}:" in message


@pytest.mark.parametrize("make", [lambda: leaf(1.0, np.nan) * 2, lambda: leaf(1.0) * np.inf, lambda: leaf(1.0) * np.array([np.nan]),
                                  lambda: tp.concat(leaf(1.0), leaf(np.inf))])
def test_level_2_tells_what_came_from_what_was_made(make):
    assert "from inputs that already had it" in caught(2, make)


def test_level_2_in_backward_names_the_line_of_the_forward():
    x = leaf(0.0, 1.0)
    places = []

    def run():
        places.append(line()); y = tp.sqrt(x)  # noqa: E702
        y.sum().backward()

    message = caught(2, run)
    assert message.startswith("backward of sqrt made NaN or infinity from a finite cotangent, called at " + places[0])
    assert "y = tp.sqrt(x)" in message


def test_level_2_in_backward_of_a_fused_op():
    divide = tp.fuse(lambda a, b: tp.sqrt(a) * b)
    assert caught(2, lambda: divide(leaf(0.0), leaf(1.0)).backward()).startswith("backward of <lambda> made NaN or infinity")


def test_level_2_tells_a_cotangent_that_was_bad_before():
    assert "from a cotangent that already had it" in caught(2, lambda: (leaf(1.0, 2.0) * 3).backward(np.array([1.0, np.nan])))


def test_level_2_names_the_module():
    layer = Linear(2, 2, np.random.default_rng(0))
    layer.bias.data[:] = np.inf
    x = tp.tensor(np.ones((1, 2), np.float32))
    message = caught(2, lambda: layer(x))
    assert "add(" in message and f"called at {__file__}:" in message and message.endswith("layer(x)) (in Linear)")
    model = tp.build_model("predrnn", size=(8, 8), hidden=(2, 2), kernel=3, patch=4)
    model.cells[1].from_cm.weight.data[...] = np.nan
    assert caught(2, lambda: model(np.zeros((1, 2, 8, 8, 1), np.float32))).endswith("(in cells.1.from_cm of PredRNN)")


def test_level_2_lets_finite_work_pass():
    text, _ = watched(2, lambda: tp.log(leaf(1.0, 2.0)).sum().backward())
    assert "log" in text and tp.log(leaf(-1.0)).size == 1  # and outside nothing is checked


def test_level_1_does_not_check():
    assert "log" in watched(1, lambda: tp.log(leaf(-1.0)))[0]


# level 3

def change_between(level, make, change):
    """Forward, a change in place, backward."""
    inputs = [leaf(1.0, 2.0), leaf(3.0, 4.0)]

    def run():
        y = make(*inputs)
        change(*inputs, y)
        y.sum().backward()

    return lambda: run() if level is None else caught(level, run)


@pytest.mark.parametrize(("make", "change", "op", "argument"), [
    (lambda a, b: a * b, lambda a, b, y: a.data.__setitem__(1, 9.0), "mul", "a"),
    (lambda a, b: a * b, lambda a, b, y: np.negative(b.data, out=b.data), "mul", "b"),
    (lambda a, b: tp.tanh(a), lambda a, b, y: y.data.fill(0), "tanh", "y"),
    (lambda a, b: gated(a, b), lambda a, b, y: b.data.__iadd__(1), "gated", "b"),
    (lambda a, b: (a * 2) @ b.reshape(2, 1), lambda a, b, y: b.data.__imul__(2), "matmul", "b"),  # through a view
], ids=["mul a", "mul b", "tanh y", "fused", "view"])
def test_level_3_catches_an_in_place_change(make, change, op, argument):
    if op == "matmul":
        original, make = make, lambda a, b: original(a.reshape(1, 2), b)
    change_between(None, make, change)()  # without debugging it passes, and the gradient is wrong
    for level in (1, 2):
        watched(level, change_between(None, make, change))
    message = change_between(3, make, change)()
    assert message.startswith(f"{op}: its {argument}, which backward needs, was changed in place since it was called at {__file__}:")
    assert message.endswith(": change a copy")


def test_level_3_names_the_line_of_the_forward_and_which_of_many_inputs():
    both = tp.op(parts=lambda dy, parts: [dy * p for p in parts[::-1]])(lambda *parts: parts[0] * parts[1])
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    places = []

    def run():
        places.append(line()); y = both(a, b)  # noqa: E702
        b.data += 1
        y.sum().backward()

    message = caught(3, run)
    assert "its parts[1], which" in message and places[0] + "places.append(line()); y = both(a, b)" in message


def test_level_3_lets_harmless_changes_pass():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)

    def run():
        y = a + b  # keeps nothing
        y.data *= 2
        a.data += 1
        (y * 2.0).sum().backward()
        b.data += 1  # after backward

    watched(3, run)
    assert b.grad.tolist() == [2, 2]


def index_changes():
    """name: (an index that can be changed in place, and how)"""
    rows, listed, nested = np.array([0, 1]), [0, 1], [[0, 1]]
    return {
        "an array": (rows, lambda: rows.fill(1)),
        "a view in a tuple": ((rows[::-1], slice(None)), lambda: rows.fill(1)),
        "a tensor in a tuple": ((slice(None), tp.tensor(rows)), lambda: rows.fill(1)),
        "a list": (listed, lambda: listed.__setitem__(1, 0)),
        "a list in a list": ((0, nested), lambda: nested[0].__setitem__(1, 0)),
    }


@pytest.mark.parametrize("name", index_changes())
def test_an_index_that_is_changed_afterwards_does_not_matter(name):
    index, change = index_changes()[name]
    x = tp.tensor(np.arange(4.0).reshape(2, 2), requires_grad=True)
    y, expected = x[index], np.zeros((2, 2))
    np.add.at(expected, tuple(i.data if isinstance(i, tp.Tensor) else i for i in index) if isinstance(index, tuple) else index, 1)
    change()
    watched(3, lambda: y.sum().backward())
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize("rule, name", [(lambda dy: np.multiply(dy, 2, out=dy), "dy"), (lambda dy, y: np.add(dy, y, out=y), "y")])
def test_level_3_finds_a_rule_that_writes_into_what_others_read(rule, name):
    double = tp.op(x=rule)(lambda x: x * 2)
    assert re.match(f"backward of <lambda>: its rule changed {name} in place", caught(3, lambda: double(leaf(1.0)).backward()))


def test_level_3_looks_into_options_of_every_kind():
    table = {"scale": np.array(2.0), "rows": [1, float("nan")]}
    scaled = tp.op(x=lambda dy, table: dy * table["scale"])(lambda x, *, table: x * table["scale"])
    watched(3, lambda: scaled(leaf(1.0), table=table).backward())  # NaN is no change

    def run():
        y = scaled(leaf(1.0), table=table)
        table["scale"] += 1
        y.backward()

    assert "its table['scale'], which" in caught(3, run)


def test_a_graph_made_before_debugging_is_walked_all_the_same():
    a = leaf(0.0)
    y, z = tp.sqrt(a), a * a
    a.data += 1
    watched(3, z.backward)
    y.node.saved["y"][...] = 0
    assert caught(2, y.backward).endswith("called before debugging began")


# level 4

def test_level_4_shows_every_op_as_it_runs():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    text, _ = watched(4, lambda: tp.tanh(gated(a, b)).sum(axis=0).backward())
    lines = [text_line.rpartition("  ")[0] for text_line in text.splitlines()[:6]]
    assert lines == ["gated(a: float64 (2,), b: float64 (2,)) -> (2,)", "tanh(x: float64 (2,)) -> (2,)",
                     "sum(x: float64 (2,), axis=0) -> ()", "backward of sum", "backward of tanh", "backward of gated"]
    assert all(text_line.endswith(" ms") for text_line in text.splitlines()[:6]) and text.splitlines()[6].startswith("op ")


def test_level_4_shows_an_op_before_level_2_stops_at_it():
    file = io.StringIO()
    with pytest.raises(GraphError), tp.debug(4, file):
        tp.log(leaf(-1.0))
    assert file.getvalue().startswith("log(x: float64 (1,)) -> (1,)") and "\nop " in file.getvalue()


# the context manager

def test_the_inner_level_counts_and_the_outer_comes_back():
    x, outer, inner = leaf(-1.0), io.StringIO(), io.StringIO()
    with tp.debug(2, outer) as watch:
        x * 1.0
        with tp.debug(1, inner):
            tp.log(x)  # the inner level does not check
        with tp.debug(0):
            tp.log(x)
        assert watches[-1] is watch
        with pytest.raises(GraphError):
            tp.log(x)
    assert watches == [None]
    assert "log" in inner.getvalue() and "mul" not in inner.getvalue()
    assert watch.totals["log"]["calls"] == 1 and watch.totals["mul"]["calls"] == 1


def test_an_exception_ends_it_and_the_table_is_printed():
    file = io.StringIO()
    with pytest.raises(KeyError), tp.debug(3, file):
        leaf(1.0) * 2
        raise KeyError
    assert watches == [None] and "mul" in file.getvalue()


# threads

def in_a_thread(work):
    """What work() raises in a thread of its own, or None."""
    errors = []

    def run():
        try:
            work()
        except GraphError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors[0] if errors else None


def test_threads_within_are_watched():
    def change():
        a = leaf(1.0)
        y = a * a
        a.data += 1
        y.backward()

    with tp.debug(3, io.StringIO()):
        assert str(in_a_thread(lambda: tp.log(leaf(-1.0)))).startswith("log(x: float64 (1,)) made NaN or infinity")
        assert "was changed in place" in str(in_a_thread(change))
    assert in_a_thread(lambda: tp.log(leaf(-1.0))) is None


def test_a_thread_may_leave_before_or_after_the_others():
    """Each leaves with its own Watch, whichever order they came in."""
    first, second = tp.debug(2, io.StringIO()), tp.debug(1, io.StringIO())
    first.__enter__()
    watch = second.__enter__()
    first.__exit__(None, None, None)
    assert watches == [None, watch]
    second.__exit__(None, None, None)
    assert watches == [None]


def test_figures_of_many_threads_add_up():
    x, file = leaf(1.0), io.StringIO()

    def work():
        for _ in range(200):
            x * 2.0

    threads = [threading.Thread(target=work) for _ in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with tp.debug(4, file) as watch:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)
    assert watch.totals["mul"]["calls"] == 1600 and watch.totals["mul"]["made"] == 1600 * 8
    assert all(row.startswith("mul(") and row.endswith(" ms") for row in file.getvalue().splitlines()[:1600])


def test_to_stderr_unless_told_otherwise(capsys):
    with tp.debug(1):
        leaf(1.0) * 2
    out, err = capsys.readouterr()
    assert out == "" and "mul" in err


@pytest.mark.parametrize("level", [-1, 5, 1.5, "2", None])
def test_other_levels_are_refused(level):
    with pytest.raises(ConfigError, match="levels are 0 to 4"), tp.debug(level):
        pass
    assert watches == [None]


def test_results_are_the_same_on_every_level():
    def gradients(level):
        a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
        with tp.debug(level, io.StringIO()):
            first, second = tp.split(gated(a, b) * a, parts=2)
            (first + second * second).backward()
        return [*a.grad, *b.grad]

    assert gradients(0) == gradients(1) == gradients(2) == gradients(3) == gradients(4)


# the environment variable

def program(tmp_path, level, text, start=""):
    """Run a program of its own with TINYPREDRNN_DEBUG set: (exit status, stdout, stderr)."""
    script = tmp_path / "program.py"
    script.write_text(start + "import numpy as np\nimport tinypredrnn as tp\n"
                      "@tp.fuse\ndef gated(a, b): return tp.sigmoid(a) * tp.log(b)\n"
                      "x = tp.tensor(np.array([1.0, 2.0]), requires_grad=True)\n" + text, encoding="utf-8")
    environment = {**os.environ, "TINYPREDRNN_DEBUG": level, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-W", "ignore", script], env=environment, capture_output=True, text=True)
    return ended.returncode, ended.stdout, ended.stderr


def test_by_environment_1(tmp_path):
    status, out, err = program(tmp_path, "1", "gated(x, x).sum().backward()\nprint('done')")
    assert (status, out) == (0, "done\n")
    rows = [row.split()[:2] for row in err.splitlines()]
    assert rows[0] == ["op", "calls"] and ["gated", "1"] in rows and ["sum", "1"] in rows and rows[-1] == ["all", "2"]


def test_by_environment_2(tmp_path):
    status, _, err = program(tmp_path, "2", "y = x - 5\nz = gated(x, y)  # here\n")
    assert status == 1
    assert (f"GraphError: gated(a: float64 (2,), b: float64 (2,)) made NaN or infinity from finite inputs, "
            f"called at {tmp_path / 'program.py'}:7: z = gated(x, y)  # here") in err


def test_by_environment_3(tmp_path):
    status, _, err = program(tmp_path, "3", "y = x * x  # here\nx.data += 1\ny.sum().backward()")
    assert status == 1
    assert (f"GraphError: mul: its b, which backward needs, was changed in place since it was called at "
            f"{tmp_path / 'program.py'}:6: y = x * x  # here: change a copy") in err


def test_by_environment_4(tmp_path):
    status, _, err = program(tmp_path, "4", "(x * 2.0).sum().backward()")
    assert status == 0 and "mul(a: float64 (2,), b=2.0) -> (2,)" in err and "backward of mul" in err and "all " in err


def test_by_environment_0_and_a_level_that_does_not_exist(tmp_path):
    """The environment is input: a program runs without what it cannot have, and says so in one line."""
    assert program(tmp_path, "0", "tp.log(x - 5)") == (0, "", "")
    for level in ("5", "abc", "-1"):
        line = f"tinypredrnn: TINYPREDRNN_DEBUG is a level from 0 to 4, got {level!r}: nothing is watched\n"
        assert program(tmp_path, level, "tp.log(x - 5)") == (0, "", line)


def test_by_environment_without_stderr(tmp_path):
    """As after `2>&-`: what nobody can read is not written, least of all to stdout."""
    start = "import sys\nsys.stderr = None\n"
    for level in ("1", "abc"):
        status, out, _ = program(tmp_path, level, "(x * 2).sum().backward()\nprint('done')", start)
        assert (status, out) == (0, "done\n")


THREAD = """
import threading
from tinypredrnn.data.batches import Prefetch
message = []

def work():
    try:
        tp.log(x - 5)
    except tp.errors.GraphError as error:
        message.append(str(error).split(", called at")[0])

thread = threading.Thread(target=work)
thread.start()
thread.join()
with Prefetch(lambda k: work()) as items:
    next(items)
print(len(set(message)), message[0])
"""


def test_by_environment_in_every_thread(tmp_path):
    status, out, err = program(tmp_path, "2", THREAD)
    assert status == 0 and out == "1 log(x: float64 (2,)) made NaN or infinity from finite inputs\n", err


def test_a_with_wins_over_the_environment(tmp_path):
    status, _, err = program(tmp_path, "2", "with tp.debug(0):\n    tp.log(x - 5)\ntp.log(x)\n")
    assert status == 0 and "log" in err


def test_an_op_may_return_a_plain_number():
    total = tp.op(x=lambda dy, x_shape: np.broadcast_to(dy, x_shape))(lambda x: float(x.sum()))
    x = tp.tensor(np.ones(2), requires_grad=True)
    with tp.debug(4, io.StringIO()) as watch:
        total(x).backward()
    assert x.grad.tolist() == [1, 1] and "-> ()" in watch.file.getvalue()
