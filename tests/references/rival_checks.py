"""How a rival is compared with what PyTorch computed: the arrays NAME.npz, or fresh ones where PyTorch is installed."""

from pathlib import Path

import numpy as np
import pytest

from tinypredrnn import tensor
from tinypredrnn.backend import to_numpy
from tinypredrnn.nn import find_loss

HERE, GIVEN = Path(__file__).parent, 2


def chosen(arrays, literal):
    """The arrays of the literal form, or of the default one."""
    weights = {name: a for name, a in arrays.items() if not name.startswith(("literal/", "gradient/"))}
    own = {name.removeprefix("literal/"): a for name, a in arrays.items() if name.startswith("literal/") == literal}
    return weights | own


def committed(name, literal=False):
    with np.load(HERE / f"{name}.npz", allow_pickle=False) as file:
        return chosen(dict(file), literal)


def fresh(name, seed, literal=False):
    pytest.importorskip("torch")
    from references.make_dfn_cdna import make

    return chosen(make(name, seed), literal)


def assert_close(found, expected, name):
    """To 1e-10 of the largest element."""
    np.testing.assert_allclose(to_numpy(getattr(found, "data", found)), expected, rtol=0, atol=1e-10 * abs(expected).max(), err_msg=name)


def check_network(model, arrays, loss):
    """Outputs, the loss of the future, and all gradients that the arrays hold."""
    model.load_state_dict({name.removeprefix("weight/"): a for name, a in arrays.items() if name.startswith("weight/")})
    frames = tensor(arrays["frames"], requires_grad=True, device=model.device)
    outputs = model.unroll(frames, arrays["truth"])
    assert_close(outputs, arrays["outputs"], "outputs")
    value = find_loss(loss)(outputs[:, GIVEN - 1:], frames[:, GIVEN:])
    assert_close(value, arrays["loss"], "loss")
    value.backward()
    leaves = dict(model.named_tensors()) | {"frames": frames}
    expected = {name.removeprefix("gradient/"): a for name, a in arrays.items() if name.startswith("gradient/")}
    assert expected.keys() in (leaves.keys(), {"frames"})
    for name, gradient in expected.items():
        assert_close(leaves[name].grad, gradient, name)
