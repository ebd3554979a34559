"""The registry: names, defaults, seeds, and what it refuses to build."""

import numpy as np
import pytest
from references import equations
from small import NETWORKS

from tinypredrnn import build_model
from tinypredrnn.errors import ConfigError

each_network = pytest.mark.parametrize("name", NETWORKS)


@each_network
def test_the_seed_decides_all_weights(name):
    one, again, other = (build_model(name, (6, 8), 1, hidden=(4, 4), kernel=3, patch=2, seed=seed).state_dict() for seed in (0, 0, 1))
    for key, a in one.items():
        np.testing.assert_array_equal(a, again[key])
    drawn = [key for key in one if key.endswith("weight") or key.endswith("merge_cm")]
    assert not any(np.any(one[key] == other[key]) for key in drawn)
    numbers = np.concatenate([one[key].ravel() for key in drawn])
    assert len(np.unique(numbers)) > 0.99 * len(numbers)  # no two layers start from the same numbers


@each_network
def test_a_network_is_built_in_float32_on_the_cpu(name):
    model = build_model(name, (6, 8), 1, hidden=(4, 4), kernel=3, patch=2)
    assert (model.device, model.dtype) == ("cpu", np.float32)
    assert all(a.dtype == np.float32 for a in model.state_dict().values())


@each_network
@pytest.mark.parametrize("forget_bias", [None, 0, 2])
def test_forget_gates_start_open(name, forget_bias):
    options = {} if forget_bias is None else {"forget_bias": forget_bias}
    arrays = build_model(name, (6, 8), 1, hidden=(4, 4), kernel=3, patch=2, **options).state_dict()
    for layer in range(2):
        W, b = equations.letters(arrays, f"cells.{layer}.")
        for gate, offset in b.items():
            assert np.all(offset == (options.get("forget_bias", 1) if gate in ("f", "f'") else 0)), gate
        assert not any(W[key].any() for key in ("ci", "cf", "co", "mi", "mf", "mo") if W.get(key, W["hi"]).ndim == 3)
    assert not arrays["to_frame.bias"].any()


def test_widths_of_each_layer():
    def shapes(name, hidden):
        return {key: a.shape for key, a in build_model(name, (4, 8), 3, hidden=hidden, kernel=3, patch=2).state_dict().items()}

    convlstm = shapes("convlstm", (5, 6))
    assert convlstm["cells.0.from_xh.weight"] == (3, 3, 12 + 5, 4 * 5)
    assert convlstm["cells.1.from_xh.weight"] == (3, 3, 5 + 6, 4 * 6)
    assert convlstm["cells.1.w_co"] == (2, 4, 6)
    assert convlstm["to_frame.weight"] == (1, 1, 6, 12)
    predrnn_m = shapes("predrnn_m", (5, 5))
    assert predrnn_m["cells.0.from_xh.weight"] == (3, 3, 12 + 5, 4 * 5)
    assert predrnn_m["cells.1.from_xh.weight"] == (3, 3, 5, 4 * 5)  # only layer 1 sees the frame
    predrnn = shapes("predrnn", (5, 6))
    assert predrnn["cells.1.from_xh.weight"] == (3, 3, 5 + 6, 4 * 6)
    assert predrnn["cells.1.from_xm.weight"] == (3, 3, 5 + 5, 3 * 5)  # M keeps the width of layer 1
    assert predrnn["cells.1.from_cm.weight"] == (3, 3, 6 + 5, 6)
    assert predrnn["cells.1.merge_cm"] == (1, 1, 6 + 5, 6)


@pytest.mark.parametrize("name", ["predrn", "", "PredRNN", None])
def test_an_unknown_name(name):
    with pytest.raises(ConfigError, match="unknown: expected one of convlstm, predrnn_m, predrnn"):
        build_model(name)


@each_network
@pytest.mark.parametrize("options, says", [
    ({"layernorm": True}, "unknown option layernorm: expected some of hidden, kernel, patch, forget_bias, layer_norm"),
    ({"kernel": 4}, "odd.*got 4"),
    ({"kernel": 0}, "kernel is at least 1, got 0"),
    ({"channels": 0}, "channels is made of 1 whole number.*0"),
    ({"hidden": ()}, "hidden needs the width of at least one layer"),
    ({"hidden": 3}, r"hidden is given like \(128, 128, 128, 128\), got 3"),
    ({"kernel": 3.0}, "kernel is given like 5, got 3.0"),
    ({"kernel": True}, "kernel is given like 5, got True"),
    ({"seed": -1}, "seed is a whole number from 0 up, got -1"),
    ({"size": (8,)}, "size is made of 2 whole number.*8"),
    ({"hidden": (4, 0)}, r"hidden is at least 1, got \(4, 0\)"),
    ({"patch": 0}, "patch is at least 1, got 0"),
    ({"patch": 16}, "16x16 are larger than frames of 6x8"),
    ({"size": (6, 0)}, r"size is made of 2 whole number.*\(6, 0\)"),
    ({"size": (-6, 8)}, r"size is made of 2 whole number.*\(-6, 8\)"),
], ids=str)
def test_what_cannot_be_built(name, options, says):
    with pytest.raises(ConfigError, match=says):
        build_model(name, **{"size": (6, 8), "hidden": (4, 4), "kernel": 3, "patch": 2, **options})


@each_network
def test_options_may_be_numpy_numbers_and_lists(name):
    model = build_model(name, np.array([6, 8]), np.int64(1), hidden=[np.int64(4), 4], kernel=np.int32(3), patch=2)
    assert model.hidden == (4, 4) and type(model.hidden[0]) is int and model.frame == (6, 8, 1)


def test_the_zigzag_memory_needs_equal_widths():
    with pytest.raises(ConfigError, match=r"equal widths, got hidden=\(4, 5\)"):
        build_model("predrnn_m", (6, 8), hidden=(4, 5), kernel=3, patch=2)
