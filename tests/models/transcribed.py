"""A rival beside its transcription in PyTorch: by the arrays that references/make_rivals.py made."""

from pathlib import Path

import numpy as np

from tinypredrnn import tensor
from tinypredrnn.backend import to_numpy
from tinypredrnn.nn import find_loss

REFERENCES = Path(__file__).resolve().parents[1] / "references"


def committed(name):
    with np.load(REFERENCES / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def part(arrays, prefix):
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


def assert_close(found, expected, name):
    """To 1e-10 of the largest element."""
    np.testing.assert_allclose(to_numpy(found), expected, rtol=0, atol=1e-10 * abs(expected).max(), err_msg=name)


def assert_transcribed(model, arrays, device):
    """Predictions, loss and every gradient, of all weights and of the frames."""
    model.to(device=device, dtype=np.float64).load_state_dict(part(arrays, "weight/"))
    frames, given = tensor(arrays["frames"], requires_grad=True, device=device), int(arrays["given"])
    states = [] if model.loss_needs_states else None
    predictions = model.unroll(frames, arrays["truth"], states, given)[:, given - 1:]
    loss = model.loss(find_loss("bce"), predictions, frames[:, given:], states)
    loss.backward()
    assert_close(predictions.data, arrays["predictions"], "predictions")
    assert_close(loss.data, arrays["loss"], "loss")
    expected, leaves = part(arrays, "gradient/"), dict(model.named_tensors()) | {"frames": frames}
    assert expected.keys() == leaves.keys()
    for name, gradient in expected.items():
        assert_close(leaves[name].grad, gradient, name)
