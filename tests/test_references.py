"""Our cells, network and convolution against PyTorch in float64: by arrays that it made once (tests/references), and live where it is."""

import json
from pathlib import Path

import numpy as np
import pytest

from tinypredrnn import build_model, conv2d, tensor
from tinypredrnn.backend import to_numpy
from tinypredrnn.cells import STLSTM, ConvLSTM, ZigzagConvLSTM
from tinypredrnn.nn import find_loss

REFERENCES = Path(__file__).parent / "references"


def part(arrays, prefix):
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


def assert_close(found, expected, name=""):
    """To 1e-10 of the largest element."""
    np.testing.assert_allclose(to_numpy(getattr(found, "data", found)), expected, rtol=0, atol=1e-10 * abs(expected).max(), err_msg=name)


def assert_close_gradients(named_tensors, expected):
    """All that the reference has; where it has no biases, it has no gradient for them."""
    tensors = dict(named_tensors)
    assert {name for name in tensors if not name.endswith("bias")} <= expected.keys()
    for name, gradient in expected.items():
        assert_close(tensors[name].grad, gradient, name)


def check_cell(cell, arrays, device):
    cell.to(device=device, dtype=np.float64).load_state_dict(part(arrays, "weight/"))
    x = tensor(arrays["x"], requires_grad=True, device=device)  # (T,B,H,W,X)
    start = {f"state/{k}": tensor(a, requires_grad=True, device=device) for k, a in part(arrays, "state/").items()}
    state = tuple(start.values())
    for t, h in enumerate(arrays["h"]):
        output, state = cell(x[t], state)
        assert_close(output, h)
    total = 0
    for k, s in enumerate(state):
        assert_close(s, arrays[f"end/{k}"])
        total = total + (s * tensor(arrays[f"cotangent/{k}"], device=device)).sum()
    total.backward()
    assert_close_gradients([*cell.named_tensors(), ("x", x), *start.items()], part(arrays, "gradient/"))


def check_conv_lstm(arrays, device):
    check_cell(ConvLSTM(2, 3, 3, (4, 5), np.random.default_rng(0)), arrays, device)


def check_zigzag(arrays, device):
    check_cell(ZigzagConvLSTM(2, 3, 3, (4, 5), np.random.default_rng(0)), arrays, device)


def check_st_lstm(arrays, device):
    check_cell(STLSTM(2, 3, 3, 3, np.random.default_rng(0)), arrays, device)


def check_predrnn(arrays, device):
    model = build_model("predrnn", (6, 8), 1, hidden=(3, 3), kernel=3, patch=2).to(device=device, dtype=np.float64)
    model.load_state_dict(part(arrays, "weight/"))
    frames = tensor(arrays["frames"], device=device)
    outputs = model.unroll(frames, arrays["truth"])
    assert_close(outputs, arrays["outputs"])
    loss = find_loss("l1+l2")(outputs, frames[:, 1:])
    assert_close(loss, arrays["loss"])
    loss.backward()
    assert_close_gradients(model.named_tensors(), part(arrays, "gradient/"))


def check_conv2d(arrays, device):
    cases = sorted({name.split("/")[0] for name in arrays})
    assert len(cases) == 12
    for case in cases:
        a = part(arrays, f"{case}/")
        x, w, b = (tensor(a[name], requires_grad=True, device=device) for name in "xwb")
        y = conv2d(x, w, b, **json.loads(str(a["options"])))
        y.backward(tensor(a["dy"], device=device))
        for name, found in (("y", y), ("dx", x.grad), ("dw", w.grad), ("db", b.grad)):
            assert_close(found, a[name], f"{case}/{name}")


CHECKS = {"conv_lstm": check_conv_lstm, "zigzag": check_zigzag, "st_lstm": check_st_lstm, "predrnn": check_predrnn, "conv2d": check_conv2d}


@pytest.fixture
def make():
    """The script, where it can run."""
    pytest.importorskip("torch")
    from references import make_references

    return make_references.make


@pytest.mark.parametrize("name", CHECKS)
def test_the_committed_arrays(name, device):
    with np.load(REFERENCES / f"{name}.npz", allow_pickle=False) as file:
        CHECKS[name](dict(file), device)


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("seed", [1, 2])
def test_pytorch_itself(name, seed, device, make):
    CHECKS[name](make(name, seed), device)


@pytest.mark.parametrize("name", [*CHECKS, "adam", "muon", "rmsprop"])
def test_the_script_makes_the_committed_arrays(name, make):
    with np.load(REFERENCES / f"{name}.npz", allow_pickle=False) as file:
        committed, made = dict(file), make(name)
    assert committed.keys() == made.keys()
    for key, a in made.items():
        if a.dtype.kind == "U":
            assert str(a) == str(committed[key])
        else:
            np.testing.assert_allclose(committed[key], a, rtol=1e-10, atol=1e-12, err_msg=key)


def test_the_references_are_small():
    assert sum((REFERENCES / f"{name}.npz").stat().st_size for name in [*CHECKS, "adam", "muon", "rmsprop"]) < 320_000
