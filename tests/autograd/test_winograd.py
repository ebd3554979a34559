"""Winograd's convolution: exact matrices, the same values and gradients as the direct form, its error, its choice, its threads."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from op_cases import normal

import tinypredrnn as tp
from tinypredrnn import threads
from tinypredrnn.autograd import convolution, winograd
from tinypredrnn.autograd.convolution import SIDE_BY_SIDE, Direct, Interleaved, Winograd, choose, direct_conv
from tinypredrnn.autograd.grid import grid
from tinypredrnn.autograd.toom_cook import longest_sum, toom_cook
from tinypredrnn.errors import ConfigError, ShapeError

pytestmark = pytest.mark.filterwarnings("error")

# (height, width), kernel and tile, padding: frames smaller than a tile, tiles that reach over the edge, even and unequal kernels
SETTINGS = [(size, kernel, tile, padding) for size, (kernel, tile), padding in itertools.product(
    [(1, 1), (2, 7), (8, 8), (9, 5)], [((1, 1), 1), ((3, 3), 4), ((5, 5), 4), ((2, 4), 3)], ["same", "valid", 1, 4])
    if padding in ("same", 4) or all(n + 2 * (padding == 1) >= k for n, k in zip(size, kernel))]


def by(tile):
    return tp.convolution_by("direct") if tile is None else tp.convolution_by("winograd", tile)


def values_and_gradients(tile, inputs, w, b, dtype, **options):
    """[y, dx of each input, dw, db] of conv2d over the inputs side by side."""
    tensors = [tp.tensor(a.astype(dtype), requires_grad=True) for a in (*inputs, w, b)]
    with by(tile):
        y = tp.conv2d(tuple(tensors[:-2]), *tensors[-2:], **options)
    y.backward(normal(*y.shape).astype(dtype))
    return [y.data] + [t.grad for t in tensors]


def case(size, kernel, channels=(2, 3), features=4, batch=3):
    return [normal(batch, *size, c) for c in channels], normal(*kernel, sum(channels), features), normal(features)


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_tiles_may_overlap_in_one_direction_only():
    for kernel in (1, 3), (3, 1):
        ours, direct = (values_and_gradients(tile, *case((9, 6), kernel), np.float64) for tile in (4, None))
        assert all(relative(a, b) < 1e-12 for a, b in zip(ours, direct))


@pytest.mark.parametrize("wanted", [*itertools.product([False, True], repeat=3)])
def test_a_frame_that_is_constant_gets_no_gradient_and_takes_none_from_the_others(wanted):
    inputs, w, b = case((8, 8), (3, 3), channels=(2, 1, 3))
    expected = values_and_gradients(4, inputs, w, b, np.float64)
    tensors = [tp.tensor(a, requires_grad=needs) for a, needs in zip((*inputs, w, b), (*wanted, True, True))]
    with by(4):
        y = tp.conv2d(tuple(tensors[:-2]), *tensors[-2:])
    y.backward(normal(*y.shape))
    assert [t.grad is not None for t in tensors] == [*wanted, True, True]
    assert all(relative(t.grad, dx) < 1e-12 for t, dx in zip(tensors, expected[1:]) if t.grad is not None)


def test_nothing_is_computed_for_frames_before_the_first_and_after_the_last_wanted():
    (*frames, dy), u = [normal(1, 8, 8, c) for c in (2, 1, 3, 2, 4)], normal(36, 8, 4)
    g = grid((8, 8), (3, 3))
    some = winograd.frame_gradients(dy, frames, u, g, 4, [False, True, False, False])
    every = winograd.frame_gradients(dy, frames, u, g, 4, [True] * 4)
    assert [dx is not None for dx in some] == [False, True, False, False]
    assert relative(some[1], every[1]) < 1e-12
    assert winograd.frame_gradients(dy, frames, u, g, 4, [False] * 4) == [None] * 4


# the matrices

@pytest.mark.parametrize(("m", "r"), [(m, r) for m in range(1, 9) for r in range(1, 9) if m + r <= 10])
def test_the_matrices_are_exactly_a_convolution(m, r):
    rng = np.random.default_rng([m, r])
    g, d = ([Fraction(int(k), 7) for k in rng.integers(-20, 20, n)] for n in (r, m + r - 1))
    a, gs, bt = toom_cook(m, r)
    products = [sum(x * y for x, y in zip(row, g)) * sum(x * y for x, y in zip(other, d)) for row, other in zip(gs, bt)]
    assert [sum(row[k] * p for row, p in zip(a, products)) for k in range(m)] == [sum(g[j] * d[k + j] for j in range(r)) for k in range(m)]
    assert len(products) == m + r - 1  # multiplications, instead of m r


def test_impossible_tiles_are_refused():
    for m, r in (0, 3), (3, 0):
        with pytest.raises(ConfigError, match="start at 1"):
            toom_cook(m, r)
    with pytest.raises(ConfigError, match="choose a smaller tile"):
        toom_cook(20, 5)


# values and gradients

@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_it_is_the_direct_form_in_float64(setting):
    size, kernel, tile, padding = setting
    inputs, w, b = case(size, kernel)
    for ours, direct in zip(*(values_and_gradients(t, inputs, w, b, np.float64, padding=padding) for t in (tile, None))):
        assert ours.shape == direct.shape and ours.dtype == np.float64
        np.testing.assert_allclose(ours, direct, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("kernel", "tile"), [((3, 3), 4), ((5, 5), 4), ((2, 4), 3)], ids=str)
def test_gradients_in_float64(kernel, tile):
    (x, h), w, b = case((6, 7), kernel)
    with by(tile):
        assert tp.gradcheck(lambda x, h, w, b: tp.conv2d((x, h), w, b), x, h, w, b)


@pytest.mark.parametrize(("kernel", "tile"), [((3, 3), 4), ((3, 3), 5), ((3, 3), 6), ((5, 5), 3), ((5, 5), 4), ((7, 7), 2)], ids=str)
def test_the_error_in_float32_is_at_most_1e_5(kernel, tile):
    """Of values and gradients as norms, over many channels, for the tiles that the rule chooses."""
    inputs, w, b = case((16, 17), kernel, channels=(48, 16), features=32)
    exact = values_and_gradients(None, inputs, w, b, np.float64)
    for ours, truth in zip(values_and_gradients(tile, inputs, w, b, np.float32), exact):
        assert ours.dtype == np.float32
        assert relative(ours, truth) < 1e-5


def test_strided_inputs_and_many_slices_of_the_batch(monkeypatch):
    """Frames that are views of a larger array, as the steps of a sequence are; and a batch that is done a sample at a time."""
    sequence, w, b = normal(5, 3, 9, 6, 4), normal(3, 3, 4, 2), normal(2)
    whole = values_and_gradients(4, [np.ascontiguousarray(sequence[:, 1])], w, b, np.float64)
    monkeypatch.setattr(winograd, "AT_ONCE", 1)
    for ours, expected in zip(values_and_gradients(4, [sequence[:, 1]], w, b, np.float64), whole):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


# weights transformed once

def test_shared_weights_are_transformed_once_and_get_the_same_gradient(monkeypatch):
    calls = []
    transform = convolution.winograd_weights
    monkeypatch.setattr(convolution, "winograd_weights", lambda *given, **options: calls.append(1) or transform(*given, **options))
    x, w = normal(2, 6, 6, 3), tp.tensor(normal(3, 3, 3, 3), requires_grad=True)

    def three_steps():
        w.grad, y = None, tp.tensor(x)
        for _ in range(3):
            y = tp.tanh(tp.conv2d(y, w))
        y.sum().backward()
        return w.grad

    with by(4):
        alone = three_steps()
        assert len(calls) == 3
        with tp.shared_weights():
            together = three_steps()
        assert len(calls) == 4
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_without_gradients_shared_weights_are_not_those_with():
    """A pass under no_grad within the same block must not hand its constants to a pass that wants gradients."""
    x, w = normal(1, 4, 4, 2), tp.tensor(normal(3, 3, 2, 2), requires_grad=True)
    with by(4), tp.shared_weights():
        with tp.no_grad():
            tp.conv2d(x, w)
        tp.conv2d(x, w).sum().backward()
    assert w.grad is not None


def test_gradients_of_shared_weights_survive_a_second_backward():
    """The sum that the rule adds to in place must be the pass's own, not what a former pass left."""
    x, w = normal(1, 5, 5, 2), tp.tensor(normal(3, 3, 2, 2), requires_grad=True)
    with by(4), tp.shared_weights():
        y = (tp.conv2d(tp.conv2d(x, w), w)).sum()
    y.backward(retain_graph=True)
    once = w.grad.copy()
    y.backward()
    np.testing.assert_allclose(w.grad, 2 * once, rtol=1e-12)


@pytest.mark.parametrize("at_once", [1, 4_000, 1 << 30])
def test_uses_of_shared_weights_in_one_product(monkeypatch, at_once):
    """Gradients of many uses, of frames of different sizes, batches and paddings, one of them without a part in the result; joined as far
    as `at_once` allows."""
    monkeypatch.setattr(winograd, "AT_ONCE", at_once)
    frames = [normal(n, size, size, 3) for n, size in ((2, 6), (2, 6), (3, 6), (1, 7), (2, 6))]

    def run(tile):
        w, b, first = (tp.tensor(a, requires_grad=True) for a in (normal(3, 3, 3, 3), normal(3), frames[0]))
        with by(tile), tp.shared_weights():
            ys = [tp.conv2d(x, w, b, padding=padding) for x, padding in zip([first, *frames[1:]], ("same", 1, 0, "valid", "same"))]
            again = tp.conv2d(tp.tanh(ys[0]), w)
        total = (again * again).sum()
        for y in ys[:-1]:
            total = total + (y * y).sum()
        total.backward()
        return [w.grad, b.grad, first.grad]

    for ours, direct in zip(run(4), run(None), strict=True):
        np.testing.assert_allclose(ours, direct, rtol=1e-9, atol=1e-10)


def test_a_leaf_of_frequencies_adds_up():
    """u itself as a leaf: its grad is added to, whatever it held before."""
    x = normal(1, 4, 4, 2)
    u = tp.tensor(winograd.winograd_weights(normal(3, 3, 2, 3), tile=4), requires_grad=True)
    for times in 1, 2:
        winograd.winograd_conv(u, None, x, kernel=(3, 3), tile=4).sum().backward()
        if times == 1:
            once = u.grad.copy()
    np.testing.assert_allclose(u.grad, 2 * once, rtol=1e-12)


# the choice

def chosen(channels, features, kernel, size, dtype=np.float32, parts=1, **options):
    frames, w = [np.empty((8, *size, channels // parts), dtype)] * parts, np.empty((*kernel, channels, features), dtype)
    return choose(grid(size, kernel, **options), frames, w, None)


def test_the_choice():
    assert chosen(128, 256, (5, 5), (16, 16)) == Winograd(4)  # the paper's layers
    assert chosen(128, 256, (5, 5), (16, 16), np.float64) == Direct()  # references are exact
    assert chosen(128, 256, (5, 5), (16, 16), stride=2) == Direct()
    assert chosen(128, 256, (5, 5), (16, 16), dilation=2) == Interleaved()
    assert chosen(128, 256, (5, 5), (16, 16), np.float64, dilation=2) == chosen(8, 8, (3, 3), (3, 9), dilation=4) == Direct()
    assert chosen(8, 8, (3, 3), (9, 9), dilation=2, stride=2) == chosen(8, 8, (2, 3), (9, 9), dilation=2) == Direct()
    assert chosen(1, 1, (3, 3), (4, 4)) == Direct()  # too little to be worth it
    assert chosen(64, 64, (1, 1), (16, 16)) == Direct()
    assert chosen(64, 64, (1, 1), (16, 16), parts=2) == SIDE_BY_SIDE
    assert chosen(64, 64, (1, 1), (16, 16), np.float16, parts=2) == chosen(64, 64, (3, 3), (16, 16), np.float16) == Direct()
    with by(None):
        assert chosen(128, 256, (5, 5), (16, 16)) == Direct()
        with tp.convolution_by():
            assert chosen(128, 256, (5, 5), (16, 16)) == Winograd(4)
    with by(2):
        assert chosen(1, 1, (3, 3), (4, 4), np.float64) == Winograd(2)
        assert chosen(1, 1, (3, 3), (4, 4), dilation=2) == Interleaved()  # and then it is asked again
        assert chosen(1, 1, (3, 3), (4, 4), np.int64) == Direct()  # whose products are exact, and of the transforms nothing would be left


def one_by_one(a, b, out):
    """A matrix product in float32 that adds one product after the other, as the least exact of BLAS's kernels do."""
    out[...] = 0
    for k in range(a.shape[-1]):  # rounded once for each product and sum, as fused multiply-add does
        out[...] = out + a[..., :, k, None].astype(float) * b[..., k, None, :]
    return out


@pytest.mark.parametrize(("kernel", "tile"), [((5, 5), 4), ((5, 5), 3), ((7, 7), 2), ((3, 3), 6), ((3, 5), 4)], ids=str)
@pytest.mark.parametrize("longest", ["channels", "features", "tiles"])
def test_the_error_keeps_its_bound_for_the_longest_sums(kernel, tile, longest, monkeypatch):
    """Over channels for values, over features for gradients of frames, over tiles for those of weights; on any processor."""
    sum_of = longest_sum(kernel, tile)
    many_samples = 1 + 2 * sum_of // (12 // tile) ** 2
    channels, features, batch = {"channels": (sum_of, 4, 1), "features": (4, sum_of, 1), "tiles": (4, 4, many_samples)}[longest]
    inputs, w, b = case((12, 12), kernel, (channels,), features, batch)
    exact = values_and_gradients(None, inputs, w, b, np.float64)
    monkeypatch.setattr(winograd.threads, "THREADS", 1)
    monkeypatch.setattr(np, "matmul", one_by_one)
    for ours, truth in zip(values_and_gradients(tile, inputs, w, b, np.float32), exact):
        assert relative(ours, truth) < 1e-5


@pytest.mark.parametrize(("channels", "features"), [(1024, 64), (2048, 16), (16, 2048), (64, 4096)])
def test_tiles_that_would_exceed_the_bound_are_not_chosen(channels, features):
    for kernel in (3, 3), (5, 5), (7, 7):
        algorithm = chosen(channels, features, kernel, (16, 16))
        assert algorithm == Direct() or max(channels, features) <= longest_sum(kernel, algorithm.tile)
    assert chosen(channels, features, (5, 5), (16, 16)) != Winograd(4)


def test_what_is_chosen_is_what_runs(monkeypatch):
    x, w = normal(2, 8, 8, 32).astype(np.float32), normal(3, 3, 32, 32).astype(np.float32)
    direct, by_tiles = direct_conv(x, w), winograd.winograd_conv(winograd.winograd_weights(w, tile=4), None, x, kernel=(3, 3), tile=4)
    assert not np.array_equal(direct, by_tiles)
    with by(None):
        np.testing.assert_array_equal(tp.conv2d(x, w), direct)
    with by(4):
        np.testing.assert_array_equal(tp.conv2d(x, w), by_tiles)


@pytest.mark.parametrize("asked", [("winograd",), ("winograd", "4"), ("winograd", 2.5), ("winograd", 0), ("direct", 4),
                                   ("cheapest", 2), ("fast",), (None,), (4,)], ids=str)
def test_other_algorithms_are_refused(asked):
    with pytest.raises(ConfigError, match="convolution_by"), tp.convolution_by(*asked):
        pass


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_no_samples_and_half_precision(kernel, dtype):
    """Frames of no sample have gradients of zero; float16 takes the direct form, parts side by side too."""
    for batch in 0, 2:
        for parts in 1, 2:
            frames = [tp.tensor(normal(batch, 6, 6, 4).astype(dtype), requires_grad=True) for _ in range(parts)]
            w, b = (tp.tensor(normal(*shape).astype(dtype), requires_grad=True) for shape in ((kernel, kernel, 4 * parts, 3), (3,)))
            for algorithm in (), ("direct",), ("winograd", 2):
                with tp.convolution_by(*algorithm):
                    y = tp.conv2d(tuple(frames), w, b)
                y.backward(np.ones_like(y.data))
            assert y.shape == (batch, 6, 6, 3) and y.dtype == w.grad.dtype == dtype
            assert [x.grad.shape for x in frames] == [(batch, 6, 6, 4)] * parts
            assert batch or not (w.grad.any() or b.grad.any())


def test_shapes_that_do_not_fit_are_refused():
    u, x = normal(16, 2, 3), normal(1, 4, 4, 2)
    for bad in ([u, normal(2), x], [u, None, normal(1, 4, 4, 3)], [u, None], [normal(25, 2, 3), None, x],
                [u, None, normal(1, 4, 4, 1), normal(1, 4, 5, 1)]):
        with pytest.raises(ShapeError, match="winograd_conv: expected u"):
            winograd.winograd_conv(*bad, kernel=(3, 3), tile=2)
    with pytest.raises(ShapeError, match=r"beside \(1, 4, 5, 1\)"):
        tp.conv2d((normal(1, 4, 4, 1), normal(1, 4, 5, 1)), normal(3, 3, 2, 3))


# threads

@pytest.mark.parametrize("batch", [3, 4, 6])  # 3 and 6: threads take samples of their own; 4: they share each step
def test_threads_change_nothing(monkeypatch, batch):
    inputs, w, b = case((16, 16), (5, 5), channels=(32, 32), features=64, batch=batch)
    results = []
    for count in 1, 3:
        monkeypatch.setattr(threads, "THREADS", count)
        monkeypatch.setattr(threads, "WORTH_WAKING", 1)
        results.append(values_and_gradients(4, inputs, w, b, np.float32))
    for one, three in zip(*results):
        assert relative(one, three) < 1e-5


@pytest.mark.parametrize("batch, channels, features", [(2, 3, 4), (8, 64, 128), (2, 64, 64)])
def test_a_sum_that_is_made_in_parts_is_the_same_to_the_bit(batch, channels, features):
    """Uses that others may join wait for these."""
    rng, du, waiting = np.random.default_rng(0), None, []
    uses = [(rng.random((batch, size, size, features), np.float32), [rng.random((batch, size, size, channels), np.float32)],
             grid((size, size), (3, 3)), 4) for size in [8] * 13 + [12] * 2 + [8] * 4]
    whole = winograd.weight_gradient(list(uses))
    for first in range(0, len(uses), 3):
        waiting += uses[first:first + 3]
        du = winograd.weight_gradient(waiting, du, last=False)
        assert waiting
    du = winograd.weight_gradient(waiting, du)
    assert du.tobytes() == whole.tobytes() and not waiting
