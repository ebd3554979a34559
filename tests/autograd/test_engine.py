"""Backward on graphs of every shape: right sums, one visit each, nothing shared, nothing kept, nothing leaked."""

import gc
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from op_cases import CASES, as_tuple, is_float

import tinypredrnn as tp
from tinypredrnn.autograd import Node, Tensor, arrays, engine, maths
from tinypredrnn.errors import DTypeError, GraphError, ShapeError
from tinypredrnn.nn.losses import l1_l2
from tinypredrnn.optim import clip_gradients

pytestmark = pytest.mark.filterwarnings("error")


def leaf(values, dtype=np.float64):
    return tp.tensor(np.array(values, dtype), requires_grad=True)


def grad(function, *values):
    """Gradients of a function with one element at numbers, as numbers."""
    leaves = [leaf(v) for v in values]
    function(*leaves).backward()
    return [x.grad.item() for x in leaves]


# sums over paths

def test_a_node_waits_for_its_longest_path():
    """z = x^2, y = 7 z + (z + 1)^2: at x = 1, dy/dz = 7 + 4 and dy/dx = 22. The way through (z + 1)^2 is longer: who sends z on as
    soon as something has arrived there gets 14."""
    def near_first(x):
        z = x * x
        return 7 * z + tp.square(z + 1)

    def far_first(x):
        z = x * x
        return tp.square(z + 1) + 7 * z

    assert grad(near_first, 1.0) == grad(far_first, 1.0) == [22]
    assert grad(lambda x: near_first(x) * far_first(2 * x), 1.0) == [22 * 53 + 11 * 136]


def test_shared_subexpressions():
    assert grad(lambda x: x + x, 5.0) == [2]
    assert grad(lambda x: x * x * x, 2.0) == [12]
    assert grad(lambda x, y: (x + y) * (x + y) * (x - y), 2.0, 1.0) == [6 + 9, 6 - 9]

    def ladder(x):  # 2^60 paths
        for _ in range(60):
            x = x + x
        return x

    assert grad(ladder, 1.0) == [2.0**60]


def test_one_op_that_takes_the_same_tensor_several_times():
    x = leaf([[1.0, 2.0]])
    (tp.concat(x, 3 * x, x) * np.array([[1.0, 10, 100, 1000, 1e4, 1e5]])).sum().backward()
    assert x.grad.tolist() == [[1 + 300 + 1e4, 10 + 3000 + 1e5]]


def test_leaves_without_a_path_get_nothing():
    x, unused, constant = leaf(2.0), leaf(1.0), tp.tensor(np.array(3.0))
    unused * 2
    (x * constant).backward()
    assert (x.grad, unused.grad, constant.grad) == (3, None, None)


@pytest.mark.parametrize("used", [[0], [1], [2], [0, 2], [0, 1, 2]])
def test_dropped_outputs_of_an_op_count_as_zero(used):
    x = leaf([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    parts = tp.split(x, parts=3)
    total = sum((10.0**k * parts[k] * parts[k]).sum() for k in used)
    del parts
    total.backward()
    weights = [10.0**k if k in used else 0 for k in (0, 0, 1, 1, 2, 2)]
    np.testing.assert_array_equal(x.grad, 2 * x.data * weights)


def test_backward_from_one_of_several_outputs():
    x = leaf([1.0, 2.0, 3.0])
    tp.split(x, parts=3)[1].backward()
    assert x.grad.tolist() == [0, 1, 0]


def test_a_branch_that_ends_in_a_constant():
    x = leaf(3.0)
    (x * (x > 2) + x * x.detach()).backward()
    assert x.grad == 1 + 3


def test_every_node_is_visited_once(monkeypatch):
    visited, visit = [], engine.visit
    monkeypatch.setattr(engine, "visit", lambda node, dy, arrived: (visited.append(node.op.name), visit(node, dy, arrived)))
    x = leaf(1.0)
    y = x
    for _ in range(20):
        y = y * 0.5 + y
    y.backward()
    assert sorted(visited) == ["add"] * 20 + ["mul"] * 20


# accumulation

def test_gradients_add_up_over_backwards():
    x = leaf([1.0, 2.0])
    for n in (1, 2, 3):
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0 * n, 4.0 * n]
    x.grad = None
    (5 * x).sum().backward()
    assert x.grad.tolist() == [5, 5]


def test_backward_of_a_leaf():
    x, given = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    x.backward(given)
    x.backward(given)
    assert x.grad.tolist() == [6, 8] and given.tolist() == [3, 4]


def test_cotangents():
    x = leaf([1.0, 2.0])
    for given in (np.array([1.0, 10.0]), tp.tensor(np.array([1.0, 10.0]))):
        x.grad = None
        (x * x).backward(given)
        assert x.grad.tolist() == [2, 40]
    single = leaf([[3.0]])
    (single * single).backward()  # one element needs none, whatever its axes
    assert single.grad.tolist() == [[6]]


# gradients are arrays of their own

def unshared(leaves, *others):
    """Each leaf's grad shares no memory with data, cotangent or another grad, and can be written to."""
    grads = [x.grad for x in leaves]
    for i, g in enumerate(grads):
        assert isinstance(g, np.ndarray) and g.flags.writeable
        for other in (*(x.data for x in leaves), *others, *grads[:i]):
            assert not np.shares_memory(g, other)
    return grads


SHARING = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a + b + a": lambda a, b: a + b + a,
    "a + (a + b)": lambda a, b: a + (a + b),
    "(a + b) + (b + a)": lambda a, b: (a + b) + (b + a),
    "a + tanh(a + b)": lambda a, b: a + tp.tanh(a + b),
    "a.reshape + b.reshape": lambda a, b: a.reshape(4) + b.reshape(4),
    "a.reshape(same) + b": lambda a, b: a.reshape(2, 2) + b,
    "a.transpose + b": lambda a, b: a.transpose() + b,
    "a[:] + b[...]": lambda a, b: a[:] + b[...],
    "a.sum() + b": lambda a, b: a.sum() + b,
    "a.sum(keepdims) + b.mean": lambda a, b: a.sum(axis=0, keepdims=True) + b.mean(axis=1, keepdims=True),
    "a.broadcast_to + b": lambda a, b: a.broadcast_to(3, 2, 2) + b,
    "a.broadcast_to(same) + b": lambda a, b: a.broadcast_to(2, 2) + b,
    "a[None] + b": lambda a, b: a[None] + b,
    "concat": lambda a, b: tp.concat(a, b),
    "stack": lambda a, b: tp.stack(a, b),
    "concat(a, b, a)": lambda a, b: tp.concat(a, b, a),
    "split": lambda a, b: tp.split(a, parts=2)[0] + tp.split(b, parts=2)[1],
    "pad": lambda a, b: tp.pad(a, widths=((0, 0), (0, 0))) + b,
    "where": lambda a, b: tp.where(np.array([[True, False]]), a, b),
    "a @ b": lambda a, b: a @ b,
    "a * 1": lambda a, b: a * 1 + b,
    "a and b, unequal paths": lambda a, b: (a + b) + 2 * (a + b),
}


@pytest.mark.parametrize("function", SHARING.values(), ids=SHARING.keys())
def test_gradients_never_alias(function):
    a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])
    y = function(a, b)
    cotangent = np.arange(1.0, 1.0 + y.size).reshape(y.shape)
    old = cotangent.copy()
    saved = [v for v in y.node.saved.values() if isinstance(v, np.ndarray)]
    y.backward(cotangent, retain_graph=True)
    first = [g.copy() for g in unshared([a, b], cotangent, y.data, *saved)]
    y.backward(cotangent, retain_graph=True)
    for twice, once in zip(unshared([a, b], cotangent, y.data, *saved), first):
        np.testing.assert_array_equal(twice, 2 * once)
    np.testing.assert_array_equal(cotangent, old)
    assert a.data.tolist() == [[1, 2], [3, 4]] and b.data.tolist() == [[5, 6], [7, 8]]


@pytest.mark.parametrize("function", SHARING.values(), ids=SHARING.keys())
def test_sums_of_shared_cotangents_are_new_arrays(function):
    """The same above inner nodes, where what arrives is added up: never into an array that another node waits for."""
    a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])

    def above(a, b):
        return function(3 * a, b * 2)

    y = above(a, b)
    cotangent = np.arange(1.0, 1.0 + y.size).reshape(y.shape)
    old = cotangent.copy()
    y.backward(cotangent)
    np.testing.assert_array_equal(cotangent, old)
    unshared([a, b], cotangent)
    assert tp.gradcheck(above, a.data, b.data)


@pytest.mark.parametrize("rule", [
    lambda dy: [dy, dy],
    lambda dy: [dy * 2] * 2,  # one fresh array for both
    lambda dy: [(twice := dy * 2)[:], twice],
    lambda dy: list(np.broadcast_to(dy, (2, *dy.shape))),
])
def test_a_rule_may_give_one_array_to_several_inputs(rule):
    both = tp.op(parts=rule)(lambda *parts: parts[0] + parts[1])
    for function in (lambda a, b: both(a, b), lambda a, b: both(a, 2 * b) + 3 * a, lambda a, b: both(2 * a, b) + 3 * b):
        a, b, c, d = (leaf([1.0, 2.0]) for _ in "abcd")
        function(a, b).sum().backward()
        unshared([a, b])
        both.rules["parts"] = lambda dy: [part.copy() for part in rule(dy)]
        function(c, d).sum().backward()
        both.rules["parts"] = rule
        np.testing.assert_array_equal([a.grad, b.grad], [c.grad, d.grad])


@pytest.mark.parametrize("product", [
    tp.op(a=lambda dy, b: b, b=lambda dy, a: a)(lambda a, b: a * b),
    tp.op(parts=lambda dy, parts: parts[::-1])(lambda *parts: parts[0] * parts[1]),
], ids=["by name", "of any number"])
def test_a_rule_may_return_what_was_saved(product):
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    product(a, b).sum().backward()
    product(a, b).sum().backward()
    unshared([a, b])
    assert a.data.tolist() == [1, 2] and a.grad.tolist() == [6, 8]


# using a graph up

def test_a_second_backward_says_so_and_changes_nothing():
    x, w = leaf([1.0, 2.0]), leaf(3.0)
    h = tp.tanh(x)
    y = (h * w).sum()
    y.backward()
    before = x.grad.copy(), w.grad.copy()
    for again in (y, (h * 2).sum(), tp.exp(h).sum() * w + w):
        with pytest.raises(GraphError, match="a second time through (sum|tanh|mul).*retain_graph=True"):
            again.backward()
    np.testing.assert_array_equal(x.grad, before[0])
    np.testing.assert_array_equal(w.grad, before[1])


def test_retain_graph():
    x = leaf([1.0, 2.0])
    y = tp.tanh(x * x).sum()
    y.backward(retain_graph=True)
    once = x.grad.copy()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad, 3 * once, rtol=1e-15)
    with pytest.raises(GraphError):
        y.backward()


def test_refused_backwards_change_nothing():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    y = 2 * x
    for error, message, run in (
        (GraphError, r"a tensor of shape \(2,\) has no single gradient: reduce it to a scalar", lambda: y.backward()),
        (ShapeError, r"expected a cotangent of shape \(2,\), got \(1,\)", lambda: y.backward(np.ones(1))),
        (ShapeError, r"expected a cotangent of shape \(2,\), got \(\)", lambda: y.backward(np.float64(1))),
        (DTypeError, "expected a cotangent of dtype float64, got float32", lambda: y.backward(np.ones(2, np.float32))),
        (DTypeError, "expected a cotangent of dtype float64, got int64", lambda: y.backward(np.ones(2, np.int64))),
        (GraphError, "depends on nothing that requires a gradient", lambda: tp.tensor([1.0]).backward()),
        (GraphError, "depends on nothing that requires a gradient", lambda: y.detach().sum().backward()),
        (GraphError, "depends on nothing that requires a gradient", lambda: (x > 1.5).backward(np.ones(2, bool))),
    ):
        with pytest.raises(error, match=message):
            run()
        assert x.grad.tolist() == [2, 4]
    y.backward(np.ones(2))  # and the graph is still good
    assert x.grad.tolist() == [4, 6]


# recording, or not

def test_no_grad():
    x = leaf([1.0, 2.0])
    with tp.no_grad():
        y = x * x
        with tp.no_grad():
            pass
        z = x + y
    assert not y.requires_grad and y.node is None and not z.requires_grad
    assert (x * x).requires_grad
    with pytest.raises(ZeroDivisionError), tp.no_grad():
        1 / 0  # noqa: B018
    assert (x * x).requires_grad
    (y * x).sum().backward()
    assert x.grad.tolist() == [1, 4]  # y was a constant


def test_no_grad_as_a_decorator():
    x = leaf(2.0)
    predict = tp.no_grad()(lambda: x * x)
    assert not predict().requires_grad and not predict().requires_grad and (x * x).requires_grad


def test_no_grad_is_a_matter_of_its_thread():
    """What one thread does not record, another does: a test set may be scored while training goes on."""
    x, seen = leaf(2.0), {}
    inside, checked = threading.Event(), threading.Event()

    def score():
        with tp.no_grad():
            inside.set()
            checked.wait(600)
            seen["score"] = (x * x).requires_grad

    thread = threading.Thread(target=score)
    thread.start()
    assert inside.wait(600)
    seen["train"] = (x * x).requires_grad
    checked.set()
    thread.join()
    assert seen == {"train": True, "score": False}


def test_detach():
    x = leaf([1.0, 2.0])
    y = x * x
    d = y.detach()
    assert d.data is y.data and d.node is None and not d.requires_grad
    (x * d).sum().backward()
    assert x.grad.tolist() == [1, 4]


def test_nothing_is_recorded_without_need():
    x, constant = leaf([1.0]), tp.tensor([1.0])
    assert (constant * 2).node is None and (constant + constant).node is None
    assert [p is not None for p in (x * constant.numpy().astype(float)).node.parents] == [True, False]


# long graphs

LONG = 100_000


def test_a_chain_of_100_000_ops_neither_overflows_nor_is_visited_twice(monkeypatch):
    """Forward, backward, and dropping it: an engine that recursed would overflow, one that followed paths would never end."""
    visits, visit = [0], engine.visit

    def counted(node, dy, arrived):
        visits[0] += 1
        visit(node, dy, arrived)

    monkeypatch.setattr(engine, "visit", counted)
    x = leaf(1.0)
    y = x
    for _ in range(LONG // 2):
        y = tp.tanh(y) + x  # every other op has two parents
    limit = sys.getrecursionlimit()
    y.backward(retain_graph=True)  # so that it is the whole chain that goes with y
    assert (visits[0], sys.getrecursionlimit()) == (LONG, limit)
    np.testing.assert_allclose(x.grad, 1 / np.tanh(y.data) ** 2, rtol=1e-12)  # of the fixed point y = tanh(y) + x
    node = weakref.ref(y.node)
    del y
    assert node() is None


def test_the_work_of_backward_grows_with_the_ops_and_not_with_the_paths():
    """Twice the ops, twice the looks at a node's parents, though the number of paths is squared."""
    class Counted(tuple):
        looks = 0

        def __iter__(self):
            Counted.looks += 1
            return super().__iter__()

    x = leaf(1.0)
    y, looks = x, []
    for _ in range(2):
        for _ in range(500):
            y = (y + y) * 0.5
            y.node.parents = Counted(y.node.parents)
        Counted.looks = 0
        y.backward(retain_graph=True)
        looks.append(Counted.looks)
    assert 500 <= looks[0] <= 5 * 500 and looks[1] == 2 * looks[0]


# memory

def live(*kinds):
    return sum(type(thing) in kinds for thing in gc.get_objects())


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module", params=["predrnn", "convlstm"])
def trainer(request):
    """One call is one training step of a small network: PredRNN's kernels write all pieces of a split to their places, ConvLSTM's some."""
    model = tp.build_model(request.param, size=(8, 8), hidden=(3, 3), kernel=3, patch=4)
    frames = np.random.default_rng(0).random((2, 4, 8, 8, 1), np.float32)
    truth = np.random.default_rng(1).integers(0, 2, (2, 4)).astype(np.float32)
    truth[:, 0] = 1

    def step(retain_graph=False, backward=True):
        loss = l1_l2(model.unroll(frames, truth)[:, :-1], frames[:, 1:])
        if backward:
            model.zero_grad()
            loss.backward(retain_graph=retain_graph)
            for p in model.parameters():
                p.data = p.data - 0.01 * p.grad
        return loss.item()

    return step


@pytest.mark.parametrize("options", [{}, {"retain_graph": True}, {"backward": False}], ids=str)
def test_memory_is_flat_over_20_steps_without_the_collector(trainer, no_collector, options):
    trainer(**options)
    gc.collect()  # what compiling left
    objects = live(Tensor, Node)
    for _ in range(20):
        trainer(**options)
        assert live(Tensor, Node) == objects
    assert gc.collect() == 0  # nor was there a cycle of anything else


def array_bytes():
    """What NumPy holds, by tracemalloc. (Python's own lists of free tuples fill up first, and are none of ours.)"""
    arrays_only = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([arrays_only]).traces)


def test_no_array_outlives_its_step(trainer, no_collector):
    tracemalloc.start()
    try:
        trainer()  # these weights and gradients are traced
        before = array_bytes()
        for _ in range(3):
            trainer()
        assert array_bytes() == before > 0
    finally:
        tracemalloc.stop()


def test_the_live_counter_sees_a_graph(no_collector):
    before = live(Tensor), live(Node)
    x = leaf(1.0)
    y = tp.tanh(x * 2)
    assert (live(Tensor), live(Node)) == (before[0] + 2, before[1] + 2)
    del x, y
    assert (live(Tensor), live(Node)) == before


def test_a_graph_goes_with_its_result(no_collector):
    x = leaf(np.ones(3))
    h = tp.exp(x)
    saved = weakref.ref(h.data)
    y = h.sum() + tp.split(h, parts=3)[0].sum()
    del h
    assert saved() is not None
    del y
    assert saved() is None


@pytest.mark.parametrize("retain_graph", [False, True])
def test_saved_arrays_are_freed_as_backward_passes(no_collector, retain_graph):
    """A probe at the start of a chain looks, when backward reaches it, at what is left of the chain behind it."""
    kept, alive = [], []
    probe = tp.op(x=lambda dy: (alive.append(sum(array() is not None for array in kept)), dy)[1])(lambda x: x + 0)
    y = probe(leaf([0.1, 0.2]))
    for _ in range(10):
        y = tp.tanh(y)
        kept.append(weakref.ref(y.data))
    z = y * 2
    del y
    assert sum(array() is not None for array in kept) == 10
    z.backward(np.ones(2), retain_graph)
    assert alive == [10 if retain_graph else 0]


def test_rules_keep_only_what_they_ask_for():
    x, y = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    w = leaf(np.ones((3, 3, 3, 1)))
    frames = leaf(np.ones((1, 4, 4, 3)))

    def saved(z):
        return {name: value if not isinstance(value, np.ndarray) else "array" for name, value in z.node.saved.items()}

    assert saved(x + y) == saved(x - y) == saved(-x) == saved(x.broadcast_to(2, 2, 3)) == {}
    for op in (tp.tanh, tp.sigmoid, tp.relu, tp.exp, tp.sqrt):
        z = op(x)
        assert list(z.node.saved) == ["y"] and z.node.saved["y"] is z.data
    for op in (tp.log, tp.square, tp.softplus, abs):
        z = op(x)
        assert list(z.node.saved) == ["x"] and z.node.saved["x"] is x.data
    assert saved(x * y) == {"a": "array", "b": "array"}
    assert saved(x * 2.0) == {"b": 2.0} and saved(2.0 * x) == {"a": 2.0} and saved(x * y.detach()) == {"b": "array"}
    assert saved(x.sum(axis=1)) == {"x_shape": (2, 3), "axis": 1}
    assert saved(x.reshape(6)) == {"x_shape": (2, 3)}
    assert saved(tp.concat(x, y)) == {"parts_shape": [(2, 3), (2, 3)], "axis": -1}
    assert saved(tp.split(x, parts=3)[0]) == {"parts": 3, "axis": -1}
    assert saved(arrays.take(x, index=0)) == {"x_shape": (2, 3), "index": 0}
    assert saved(tp.softmax(x)) == {"y": "array", "axis": -1}
    assert saved(maths.where(x.data > 0, x, y)) == {"condition": "array"}
    arrays_of = lambda z: {name for name, value in saved(z).items() if isinstance(value, str) and value == "array"}  # noqa: E731
    assert arrays_of(tp.conv2d(frames, w)) == {"x", "w"}  # the frames themselves, not their windows
    assert arrays_of(tp.conv2d(frames, w.detach())) == {"w"} and arrays_of(tp.conv2d(frames.detach(), w)) == {"x"}
    assert arrays_of(tp.windows(frames, kernel=(3, 3))) == arrays_of(tp.conv2d(frames.detach(), w.detach(), leaf([1.0]))) == set()


def test_an_array_that_is_not_kept_is_free_at_once(no_collector):
    x = leaf(np.ones(3))
    h = x * 2
    array = weakref.ref(h.data)
    y = h + 1  # neither rule needs h
    del h
    assert array() is None and y.requires_grad


# ownership is promised, never inferred

def test_an_array_that_a_rule_keeps_is_never_added_to():
    kept = np.ones(3)
    constant = tp.op(x=lambda dy: kept)(lambda x: x.copy())
    x = leaf(np.zeros(3))
    (constant(x) + constant(x) + constant(x)).sum().backward()
    assert kept.tolist() == [1, 1, 1] and x.grad.tolist() == [3, 3, 3] and not np.shares_memory(x.grad, kept)


def arrays_in(*values):
    parts = [part for value in values for part in (arrays_in(*value) if isinstance(value, (list, tuple)) else [value])]
    return [part for part in parts if isinstance(part, np.ndarray)]


@pytest.mark.parametrize("case", [pytest.param(c, id=str(c)) for c in CASES if getattr(c.function, "gives_new", False)])
def test_ops_that_promise_new_arrays_keep_their_promise(case):
    """No gradient shares memory with a cotangent, an input, a result or another gradient."""
    outputs = as_tuple(case.function(*(Tensor(x, requires_grad=is_float(x)) if isinstance(x, np.ndarray) else x for x in case.inputs),
                                     **case.options))
    if outputs[0].node is None:
        return  # it has no rules
    node, dy = outputs[0].node, [np.ones_like(y.data) for y in outputs]
    into = [parent and engine.Accumulator() for parent in node.parents]
    known = arrays_in(case.inputs, [y.data for y in outputs], dy, list(node.saved.values()))
    if node.op.gives_pieces:  # its dy is the new array, which the rule returns
        dy = [case.inputs[0].copy()]
    gradients = node.op.pull_back(dy if len(dy) > 1 else dy[0], node, into)
    gradients = [into[i].result() if gradient is None and into[i] else gradient for i, gradient in enumerate(gradients)]
    for gradient in arrays_in(gradients):
        assert not any(np.shares_memory(gradient, other) for other in known)
        known.append(gradient)


def test_deferred_sums_are_made_before_a_segment_is_recorded():
    """What waits for a sum must not grow with the length of a sequence."""
    waiting = []

    def total(uses, so_far, last):
        waiting.append((len(uses), last))
        made = np.zeros(2) if so_far is None else so_far
        while len(uses) > (0 if last else 1):
            made += uses.pop(0)
        return made

    def rule(dy, parts_into):
        parts_into[0].defer(total, dy)
        return [None]

    copy = tp.op(parts=rule)(lambda *parts: parts[0] + 0)
    x, h = leaf([1.0, 2.0]), leaf([0.0, 0.0])
    for _ in range(3):
        h = tp.checkpoint(lambda h: tp.tanh(h + copy(x) + copy(x)))(h)
    h.sum().backward()
    once, x.grad = x.grad, None
    h = 0.0
    for _ in range(3):
        h = tp.tanh(h + x + x)
    h.sum().backward()
    np.testing.assert_allclose(once, x.grad)
    assert waiting == [(2, False), (3, False), (3, True)]


def test_there_are_such_ops():
    assert {"matmul", "split", "winograd_conv", "winograd_weights"} <= {c.name for c in CASES if getattr(c.function, "gives_new", False)}


@pytest.mark.parametrize("kind", [np.asarray, lambda a: a.view(np.recarray), tp.tensor, memoryview])
def test_an_array_of_another_class_that_a_rule_keeps_is_never_added_to(kind):
    """Also if it is of another class, of which NumPy makes an array with the same memory."""
    kept = np.ones(3)
    constant = tp.op(x=lambda dy: kind(kept))(lambda x: x.copy())
    x = leaf([1.0, 2.0, 3.0])
    (constant(x) + constant(x) + constant(x)).sum().backward()
    assert x.grad.tolist() == [3, 3, 3] and kept.tolist() == [1, 1, 1]


def test_a_gradient_without_axes_is_an_array():
    """Which can be changed in place, as clip_gradients does."""
    x = leaf(2.0)
    (x + x).backward()
    assert isinstance(x.grad, np.ndarray)
    assert clip_gradients([x], 0.5) == 2 and x.grad == 0.5


def test_an_input_may_have_the_name_of_another_ones_shape():
    product = tp.op(x=lambda dy, x_shape: dy * x_shape, x_shape=lambda dy, x: dy * x)(lambda x, x_shape: x * x_shape)
    assert tp.gradcheck(product, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
