"""A network beside its transcription in PyTorch: by the arrays NAME.npz in references/, or by fresh ones of the scripts there."""

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


def training_loss(model, frames, truth, given, pixel_loss, loss_over="all"):
    """(outputs, loss) as Descent has them."""
    summaries = []
    outputs = model.unroll(frames, truth, summaries, given)
    first = given - 1 if loss_over == "future" or model.forecasts_only else 0
    return outputs, model.loss(find_loss(pixel_loss), outputs[:, first:], frames[:, first + 1:], summaries)


def states_of(model, frames, truth, given=None):
    """(outputs, the states after each step) of a model that is unrolled."""
    summary, states = model.summary, []
    model.summary = lambda state, last: states.append(state) or summary(state, last)
    outputs = model.unroll(frames, truth, [], given)
    del model.summary
    return outputs, states


def assert_transcribed(model, arrays, given, pixel_loss, loss_over="future", device="cpu"):
    """The last outputs, the loss and the gradients that the arrays hold (all, or only the frames'), to 1e-10 of their largest element."""
    model.to(device=device, dtype=np.float64).load_state_dict(part(arrays, "weight/"))
    frames = tensor(arrays["frames"], requires_grad=True, device=device)
    outputs, loss = training_loss(model, frames, arrays["truth"], given, pixel_loss, loss_over)
    loss.backward()
    leaves = {name: t for name, t in model.named_tensors() if t.requires_grad} | {"frames": frames}
    assert part(arrays, "gradient/").keys() in (leaves.keys(), {"frames"})
    found = {"outputs": outputs.data[:, -arrays["outputs"].shape[1]:], "loss": loss.data}
    for name, a in (found | {f"gradient/{name}": leaves[name].grad for name in part(arrays, "gradient/")}).items():
        np.testing.assert_allclose(to_numpy(a), arrays[name], rtol=0, atol=1e-10 * abs(arrays[name]).max(), err_msg=name)
