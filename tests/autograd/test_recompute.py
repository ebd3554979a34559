"""checkpoint(fn): the same values and gradients to the last bit, from less that is kept."""

import gc
import tracemalloc
import weakref
from typing import NamedTuple

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.autograd import Tensor, engine
from tinypredrnn.errors import DTypeError, GraphError


def leaf(*shape, seed=0, dtype=np.float32):
    return tp.tensor(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype), requires_grad=True)


def same_to_the_bit(run, *leaves):
    """run(checkpoint) gives a loss: with checkpoint and without, its value and its gradients are the same bits."""
    found = []
    for wrap in lambda fn: fn, tp.checkpoint:
        for x in leaves:
            x.grad = None
        loss = run(wrap)
        loss.backward()
        found.append([loss.data.tobytes(), *(None if x.grad is None else x.grad.tobytes() for x in leaves)])
    assert found[0] == found[1] and any(found[0][1:])


# the same numbers

class Pair(NamedTuple):
    h: object
    rest: object


def test_states_in_tuples_lists_dicts_and_none():
    w, b, h0 = leaf(4, 4), leaf(4, seed=1), leaf(3, 4, seed=2)

    def step(x, state, scale=1.0):
        h, rest = state
        h = tp.tanh(x @ w + h + b) * scale
        return [h, None, {"twice": (h, h * h)}], Pair(h, rest)

    def run(wrap):
        state, total = Pair(h0, [None, "as it is", 7]), 0
        for t in range(6):
            (y, nothing, more), state = wrap(step)(np.full((3, 4), t / 6, np.float32), state, scale=0.9)
            assert nothing is None and isinstance(state, Pair) and state.rest == [None, "as it is", 7]
            total = total + (y * more["twice"][0]).sum() + more["twice"][1].mean()
        return total

    same_to_the_bit(run, w, b, h0)


def test_what_it_takes_from_outside_gets_its_gradient():
    """A parameter, and a tensor made before the segment, that no argument passes in; inputs that need no gradient."""
    w, v = leaf(4, 4), leaf(4, 4, seed=1)

    def run(wrap):
        made = tp.tanh(v @ v)
        total = 0
        for t in range(4):
            total = total + wrap(lambda x: (x @ w * made).sum() + (x * made).sum())(leaf(4, 4, seed=t).detach())
        return total + (made * w).sum()

    same_to_the_bit(run, w, v)


def test_an_input_that_is_used_twice_and_returned_as_it_is():
    x, w = leaf(4, 4), leaf(4, 4, seed=1)

    def fn(a, b):
        y = a @ w
        return a, y, y, tp.tanh(y + b) * a, (y * b).sum()

    def run(wrap):
        a, y, again, z, s = wrap(fn)(x, x)
        assert a is x and (y is again) == (y.node is not None)
        return (a * y).sum() + (again * z).sum() + s + (y * y * x).sum() + (a * a * a).sum()

    same_to_the_bit(run, x, w)


def test_an_output_that_nobody_uses():
    x = leaf(3)
    same_to_the_bit(lambda wrap: (wrap(lambda x: (tp.exp(x), tp.tanh(x), x * 2))(x)[1] * x).sum(), x)


def test_segments_within_segments():
    w, h0 = leaf(4, 4), leaf(3, 4, seed=1)

    def run(wrap):
        step = wrap(lambda h: tp.tanh(h @ w) + h)

        def four(h):
            for _ in range(4):
                h = step(h)
            return h

        def sixteen(h):
            for _ in range(4):
                h = wrap(four)(h)
            return h

        return (wrap(sixteen)(wrap(sixteen)(h0)) ** 2).sum()

    same_to_the_bit(run, w, h0)


@pytest.mark.parametrize("seed", range(20))
def test_random_programs(seed):
    """Many consumers of each tensor, in any order: sums of shares are added up in the same order."""
    leaves = [leaf(3, 3, seed=k) for k in range(3)]

    def run(wrap):
        rng, pool = np.random.default_rng(seed), list(leaves)
        for _ in range(6):
            taken, picks = [pool[k] for k in rng.integers(len(pool), size=2)], rng.integers(3, size=(4, 3)).tolist()

            def fn(a, b, picks=picks):
                made = [a, b]
                for how, i, j in picks:
                    one, other = made[i % len(made)], made[-1 - j % len(made)]
                    made.append((one * other, tp.tanh(one) + other, one @ other * 0.3)[how])
                return made[1:]

            pool += (wrap(fn) if rng.random() < 0.7 else fn)(*taken)
        return sum((p * p).mean() for p in pool)

    same_to_the_bit(run, *leaves)


def test_fused_gates_and_convolutions_that_share_their_weights():
    """Each Winograd transform is made once for the whole sequence, and its cotangents are summed as without segments."""
    cell = tp.cells.STLSTM(3, 8, 8, 5, np.random.default_rng(0))
    x, transforms = leaf(2, 8, 8, 3), []

    def run(wrap):
        state = [tp.tensor(np.zeros((2, 8, 8, 8), np.float32))] * 3
        with tp.shared_weights(), tp.convolution_by("winograd", tile=4), tp.debug(1, file=open_null()) as watch:
            total = 0
            for _ in range(5):
                h, state = wrap(cell)(x, state)
                total = total + (h * h).mean()
        transforms.append(watch.totals["winograd_weights"]["calls"])
        return total

    same_to_the_bit(run, x, *cell.parameters())
    assert transforms == [4, 4]


def open_null():
    import io

    return io.StringIO()


def test_gradients_are_those_of_differences():
    @tp.checkpoint
    def fn(x, w):
        return tp.tanh(x @ w), (x * x).sum(axis=1)

    def outer(x, w):
        y, s = fn(x, w)
        return y.sum(axis=1) * s

    assert tp.gradcheck(outer, *(leaf(3, 3, seed=k, dtype=np.float64).data for k in range(2)))


# what is called when

def counting(fn):
    def counted(*inputs):
        counted.calls += 1
        return fn(*inputs)

    counted.calls = 0
    return counted


def test_it_is_called_once_forward_and_once_backward_and_not_without_need():
    x, fn = leaf(3), counting(lambda x: tp.tanh(x) * 2)
    y = tp.checkpoint(fn)(x)
    assert fn.calls == 1
    y.sum().backward()
    assert fn.calls == 2
    with tp.no_grad():
        assert not tp.checkpoint(fn)(x).requires_grad
    assert not tp.checkpoint(fn)(x.detach()).requires_grad and fn.calls == 4
    np.testing.assert_array_equal(tp.checkpoint(fn)(x.data), y.data)  # plain arrays, too


def test_backward_twice():
    x, fn = leaf(3), counting(lambda x: tp.tanh(x))
    y = tp.checkpoint(fn)(x).sum()
    y.backward(retain_graph=True)
    once = x.grad.copy()
    y.backward()
    np.testing.assert_array_equal(x.grad, once + once)
    assert fn.calls == 3
    with pytest.raises(GraphError, match="a second time through (sum|checkpoint).*retain_graph=True"):
        y.backward()


def test_it_runs_again_in_the_context_of_the_first_time():
    x, seen = leaf(3), []

    def fn(x):
        seen.append((tp.autograd.fuse.__globals__["fusing"].get(), engine.current_call.get()))
        return tp.tanh(x)

    with tp.unfused():
        y = tp.checkpoint(fn)(x)
    y.sum().backward()
    assert seen[0] == seen[1] and seen[0][0] is False


# what goes wrong

def test_an_error_inside_leaves_recording_on():
    x = leaf(3)
    with pytest.raises(ZeroDivisionError):
        tp.checkpoint(lambda x: x / (1 // 0))(x)
    assert (x * x).requires_grad and engine.recording.get() is True


def test_an_error_the_second_time_comes_out_of_backward_and_the_grads_of_others_stay():
    x, calls = leaf(3), []

    def fn(x):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError
        return tp.tanh(x)

    y = tp.checkpoint(fn)(x).sum()
    with pytest.raises(ZeroDivisionError):
        y.backward()
    assert x.grad is None and engine.recording.get() is True


def test_a_tensor_that_leaves_in_another_way_is_refused():
    x, kept = leaf(3), []
    for use in lambda: kept[0].sum().backward(), lambda: tp.checkpoint(tp.tanh)(kept[0]).sum().backward():
        tp.checkpoint(lambda x: (kept.insert(0, x * 2), tp.tanh(x))[1])(x)
        with pytest.raises(GraphError, match="made within checkpoint is used outside: have the function return it"):
            use()


def test_other_shapes_the_second_time_are_refused():
    x, sizes = leaf(3), [3, 2]
    y = tp.checkpoint(lambda x: tp.tanh(x)[:sizes.pop(0)])(x)
    with pytest.raises(GraphError, match=r"shapes \[\(3,\)\], and \[\(2,\)\] when backward called it again"):
        y.sum().backward()


def test_what_an_op_refuses_is_refused_the_first_time():
    x = leaf(3)
    no_derivative = tp.op(a=lambda dy: dy)(lambda a, b: a + b)
    with pytest.raises(DTypeError, match="no derivative with respect to b"):
        tp.checkpoint(no_derivative)(x, x)
    with pytest.raises(GraphError, match="would lose the gradient"):
        tp.checkpoint(lambda x: np.mean(x * 2))(x)


# memory

def arrays_alive():
    return sum(isinstance(thing, Tensor) for thing in gc.get_objects())


def test_nothing_is_kept_but_inputs_and_nothing_is_left():
    x, inside = leaf(1000), []

    def fn(x):
        for _ in range(5):
            x = tp.tanh(x)
            inside.append(weakref.ref(x.data))
        return x

    gc.collect()
    gc.disable()
    try:
        before = arrays_alive()
        y = tp.checkpoint(fn)(x)
        assert [array() is not None for array in inside] == [False] * 4 + [True]
        node = weakref.ref(y.node)
        y.backward(np.ones(1000, np.float32))
        del y
        assert node() is None and arrays_alive() == before and not any(array() is not None for array in inside)
    finally:
        gc.enable()


@pytest.mark.parametrize("retain_graph", [False, True])
def test_memory_grows_as_the_square_root(retain_graph):
    """Of 64 steps, 8 states are kept, and the arrays of 8 steps, in place of those of 64."""
    size, steps, w = 1 << 16, 64, leaf(1)

    def peak(k):
        @tp.checkpoint
        def segment(h):
            for _ in range(k):
                h = tp.tanh(h * w)
            return h

        h = leaf(size)
        tracemalloc.start()
        try:
            for _ in range(steps // k):
                h = segment(h)
            h.sum().backward(retain_graph=retain_graph)
            return tracemalloc.get_traced_memory()[1] / (4 * size)
        finally:
            tracemalloc.stop()

    whole, root = peak(64), peak(8)
    assert whole > 64 and root < 8 + 8 + 6
