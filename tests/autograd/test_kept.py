"""activations("bf16"): what backward needs in half the memory, and gradients that are nearly the same."""

import gc

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.autograd import kept
from tinypredrnn.autograd.debug import saved_values
from tinypredrnn.autograd.kept import Half
from tinypredrnn.backend import to_device, to_numpy
from tinypredrnn.errors import ConfigError
from tinypredrnn.viz.graph import history


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def nearest(x):
    """The bfloat16 nearest to each float32, as float32: of the two around it the nearer one, of two equally near the even one."""
    below = (x.view(np.uint32) & 0xffff0000).view(np.float32)
    above = ((x.view(np.uint32) & 0xffff0000) + 0x10000).view(np.float32)
    large = np.where(np.isinf(above), np.sign(above).astype(float) * 2.0**128, above.astype(float))
    to_below, to_above = abs(x.astype(float) - below), abs(large - x.astype(float))
    even = below.view(np.uint32) >> 16 & 1 == 0
    return np.where((to_below < to_above) | ((to_below == to_above) & even) | np.isinf(x), below, above)


# rounding

def test_every_number_becomes_the_nearest(device):
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32)
    ties = (np.arange(65536, dtype=np.uint32) << 16) + 0x8000
    x = np.concatenate([bits, ties, ties + 1, ties - 1]).view(np.float32)
    x = x[~np.isnan(x)]
    found = to_numpy(Half(to_device(x, device)).whole())
    assert np.isinf(found).any() and np.array_equal(found.view(np.uint32), nearest(x).view(np.uint32))
    assert np.array_equal(to_numpy(Half(to_device(found, device)).whole()), found)


def test_nan_stays_nan(device):
    x = np.array([0x7fc00000, 0x7f800001, 0x7fffffff, 0xffffffff, 0xff800001], np.uint32).view(np.float32)
    assert np.isnan(to_numpy(Half(to_device(x, device)).whole())).all()


@pytest.mark.parametrize("piece", [np.s_[:], np.s_[..., 1:3], np.s_[:, 1:3], np.s_[::2], np.s_[..., ::2], np.s_[1, 2], np.s_[:0]])
def test_pieces_of_arrays(piece, device):
    x = normal(4, 5, 6, 7)
    found = Half(to_device(x, device)[piece])
    assert found.shape == x[piece].shape and found.bits.flags.c_contiguous
    assert np.array_equal(to_numpy(found.whole()), nearest(x)[piece])


# gradients

def run(name, x, w, device):
    """The gradients of a convolution, maths and a product; what was kept for them, by op."""
    x, w = (tp.tensor(to_device(a, device), requires_grad=True) for a in (x, w))
    with tp.activations(name):
        y = tp.tanh(x * 1.0)
        loss = (tp.sigmoid(tp.conv2d(y, w)) * y).sum()
        saved = {node.op.name: [a for a in saved_values(node).values() if hasattr(a, "nbytes")] for node in history([loss])}
        loss.backward()
    return to_numpy(loss.data), to_numpy(x.grad), to_numpy(w.grad), saved


def test_the_value_is_the_same_and_the_gradient_nearly(device):
    x, w = normal(4, 16, 16, 8), normal(3, 3, 8, 8) / 8
    loss, *exact, whole = run("fp32", x, w, device)
    same, *rounded, halved = run("bf16", x, w, device)
    assert loss == same
    for a, b in zip(exact, rounded):
        assert 0 < np.linalg.norm(a - b) < 0.01 * np.linalg.norm(a)
    bytes_of = [sum(a.nbytes for a in {id(a): a for arrays in saved.values() for a in arrays}.values()) for saved in (whole, halved)]
    assert bytes_of[1] < 0.6 * bytes_of[0]


def test_what_two_ops_keep_is_kept_once(device):
    *_, saved = run("bf16", normal(4, 16, 16, 8), normal(3, 3, 8, 8), device)
    halves = [a for arrays in saved.values() for a in arrays if a.dtype == np.uint16]
    assert len(halves) > len({id(a) for a in halves})


@pytest.mark.parametrize("dtype, shape", [(np.float64, (4, 16, 16, 8)), (np.float32, (1, 4, 4, 8))])
def test_float64_and_small_arrays_are_kept_as_they_are(dtype, shape, device):
    x, w = normal(*shape, dtype=dtype), normal(3, 3, 8, 8, dtype=dtype)
    for a, b in zip(run("fp32", x, w, device)[:3], run("bf16", x, w, device)[:3]):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("algorithm", [("cheapest",), ("direct",), ("winograd", 4)])
def test_weights_are_never_rounded(algorithm, device):
    """The gradient of a convolution with respect to its frames needs only its weights and the exact cotangent."""
    found, dy = [], to_device(normal(4, 16, 16, 8, seed=1), device)
    for name in ("fp32", "bf16"):
        x, w = (tp.tensor(to_device(a, device), requires_grad=True) for a in (normal(4, 16, 16, 8), normal(3, 3, 8, 8)))
        with tp.activations(name), tp.convolution_by(*algorithm):
            tp.conv2d(x * 1.0, w).backward(dy)
        found.append(to_numpy(x.grad))
    assert np.array_equal(*found)


def test_data_and_parameters_are_kept_as_they_are(device):
    """In a product, each factor's gradient needs the other, and both are leaves here."""
    found = []
    for name in ("fp32", "bf16"):
        a, b = (tp.tensor(to_device(normal(80, 80, seed=seed), device), requires_grad=True) for seed in (1, 2))
        with tp.activations(name):
            (a @ b).sum().backward()
        found.append((to_numpy(a.grad), to_numpy(b.grad)))
    assert all(np.array_equal(*pair) for pair in zip(*found))


def test_a_second_backward_and_one_outside_give_the_same(device):
    x = tp.tensor(to_device(normal(100, 100), device), requires_grad=True)
    with tp.activations("bf16"):
        loss = (tp.tanh(x) * tp.exp(x)).sum()
    found = []
    for _ in range(2):
        x.grad = None
        loss.backward(retain_graph=True)
        found.append(to_numpy(x.grad).copy())
    assert np.array_equal(*found)


def test_recomputation_gives_the_same_bits(device):
    x, w = normal(4, 16, 16, 8), to_device(normal(3, 3, 8, 8) / 8, device)
    found = []
    for wrap in lambda fn: fn, tp.checkpoint:
        step = wrap(lambda h, w: tp.tanh(tp.conv2d(h, w) * h))
        start, weights = tp.tensor(to_device(x, device), requires_grad=True), tp.tensor(w, requires_grad=True)
        h = start
        with tp.activations("bf16"):
            for _ in range(4):
                h = step(h, weights)
            h.sum().backward()
        found.append((to_numpy(start.grad), to_numpy(weights.grad)))
    assert all(np.array_equal(*pair) for pair in zip(*found))


def test_nothing_stays_behind(device):
    """What was kept for an array is forgotten with it, even if the same place in memory holds another one."""
    with tp.activations("bf16"):
        known = kept.halves.get()
        for seed in range(20):
            x = tp.tensor(to_device(normal(80, 80, seed=seed), device), requires_grad=True)
            (tp.tanh(x) * tp.exp(x)).sum().backward()
            exact = to_numpy(x.grad)
            t, e = np.tanh(normal(80, 80, seed=seed)), np.exp(normal(80, 80, seed=seed))
            np.testing.assert_allclose(exact, (1 - t * t) * e + t * e, rtol=0.05, atol=0.05)
        del x
        gc.collect()
        assert not known


def test_debugging_sees_what_is_kept(capsys, device):
    x = tp.tensor(to_device(normal(100, 100), device), requires_grad=True)
    with tp.activations("bf16"), tp.debug(3):
        tp.tanh(x * 1.0).sum().backward()
    assert "tanh" in capsys.readouterr().err


def test_another_name_is_refused():
    with pytest.raises(ConfigError, match="activations are kept in one of fp32, bf16, got 'fp16'"), tp.activations("fp16"):
        pass
