"""Writes official.npz: what the authors' PyTorch PredRNN computes, in float64, for test_official.py to compare with.

    python tests/references/make_official.py        where PyTorch is installed

The network is written out here with torch's functions, from the authors' description: weights under the official names, no biases,
channels first, +1 in both forget gates, the true frame or the prediction (mask) as input once the given frames are over.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import conv2d

PATH = Path(__file__).with_name("official.npz")
DEPTH, HIDDEN, KERNEL, PATCH, CHANNELS, GIVEN = 3, 2, 3, 2, 2, 3


def cell(weights, prefix, x, h, c, m):
    """One ST-LSTM: x (B,X,H,W); h, c, m (B,K,H,W)"""
    def conv(name, inputs):
        w = weights[f"{prefix}.{name}.weight"]
        return conv2d(inputs, w, padding=w.shape[-1] // 2)

    i_x, f_x, g_x, i_x_, f_x_, g_x_, o_x = conv("conv_x.0", x).chunk(7, dim=1)
    i_h, f_h, g_h, o_h = conv("conv_h.0", h).chunk(4, dim=1)
    i_m, f_m, g_m = conv("conv_m.0", m).chunk(3, dim=1)
    c = torch.sigmoid(f_x + f_h + 1) * c + torch.sigmoid(i_x + i_h) * torch.tanh(g_x + g_h)
    m = torch.sigmoid(f_x_ + f_m + 1) * m + torch.sigmoid(i_x_ + i_m) * torch.tanh(g_x_ + g_m)
    memories = torch.cat([c, m], dim=1)
    o = torch.sigmoid(o_x + o_h + conv("conv_o.0", memories))
    return o * torch.tanh(conv("conv_last", memories)), c, m


def network(weights, patches, mask, given):
    """Patches (B,T,H,W,X) and a mask (B,T-given-1) of true frames -> predictions of frames 2 to T, (B,T-1,H,W,X)."""
    x = patches.permute(0, 1, 4, 2, 3)
    depth = sum(name.endswith("conv_x.0.weight") for name in weights)
    zeros = x.new_zeros(len(x), weights["conv_last.weight"].shape[1], *x.shape[3:])
    h, c, m, outputs = [zeros] * depth, [zeros] * depth, zeros, []
    for t in range(x.shape[1] - 1):
        below = x[:, t]
        if t >= given:
            true = mask[:, t - given, None, None, None]
            below = true * below + (1 - true) * outputs[-1]
        for n in range(depth):
            h[n], c[n], m = cell(weights, f"cell_list.{n}", below, h[n], c[n], m)
            below = h[n]
        outputs.append(conv2d(below, weights["conv_last.weight"]))
    return torch.stack(outputs, dim=1).permute(0, 1, 3, 4, 2)


def reshape_patch(frames, p):
    """(B,T,H,W,C) -> (B,T,H/p,W/p,p p C), ordered row, column, channel; for NumPy arrays and torch tensors."""
    b, t, h, w, c = frames.shape
    cut = frames.reshape(b, t, h // p, p, w // p, p, c)
    return (cut.transpose(3, 4) if isinstance(cut, torch.Tensor) else cut.swapaxes(3, 4)).reshape(b, t, h // p, w // p, p * p * c)


def random_weights(rng, depth=DEPTH, hidden=HIDDEN, inputs=PATCH * PATCH * CHANNELS, kernel=KERNEL, dtype=np.float64):
    def draw(*shape):
        return (rng.standard_normal(shape) * 0.4).astype(dtype)

    weights = {}
    for n in range(depth):
        weights |= {
            f"cell_list.{n}.conv_x.0.weight": draw(7 * hidden, inputs if n == 0 else hidden, kernel, kernel),
            f"cell_list.{n}.conv_h.0.weight": draw(4 * hidden, hidden, kernel, kernel),
            f"cell_list.{n}.conv_m.0.weight": draw(3 * hidden, hidden, kernel, kernel),
            f"cell_list.{n}.conv_o.0.weight": draw(hidden, 2 * hidden, kernel, kernel),
            f"cell_list.{n}.conv_last.weight": draw(hidden, 2 * hidden, 1, 1),
        }
    return weights | {"conv_last.weight": draw(inputs, hidden, 1, 1)}


def outputs_and_gradients(weights, frames, mask, cotangent, patch, given):
    """The predictions as patches, and d(sum of predictions times cotangent) / d(weights and frames)."""
    leaves = {name: torch.tensor(a, requires_grad=True) for name, a in (weights | {"frames": frames}).items()}
    outputs = network(leaves, reshape_patch(leaves["frames"], patch), torch.tensor(mask), given)
    outputs.backward(torch.tensor(reshape_patch(cotangent, patch)))
    return outputs.detach().numpy(), {name: leaf.grad.numpy() for name, leaf in leaves.items()}


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    weights, frames = random_weights(rng), rng.random((2, 6, 6, 8, CHANNELS))
    mask, cotangent = np.array([[1.0, 0.0], [0.0, 0.0]]), rng.standard_normal((2, 5, 6, 8, CHANNELS))
    outputs, gradients = outputs_and_gradients(weights, frames, mask, cotangent, PATCH, GIVEN)
    arrays = {f"weight.{name}": a for name, a in weights.items()} | {f"gradient.{name}": a for name, a in gradients.items()}
    np.savez_compressed(PATH, frames=frames, mask=mask, cotangent=cotangent, outputs=outputs, **arrays)
    print(f"{PATH}: {PATH.stat().st_size:,} bytes")
