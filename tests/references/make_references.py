"""Reference arrays by PyTorch in float64: `python tests/references/make_references.py` writes the .npz files beside this script.

Run it by hand where PyTorch is installed (the files here were made with 2.13.0 on a CPU); test_references.py compares our code with the
files, and where it finds PyTorch also with fresh cases. All numbers are drawn with NumPy, so that another version makes the same files.

The ST-LSTM and its network are written as in the official PyTorch code: unmerged convolutions without biases, frames (B,C,H,W), +1 on
both forget gates. `our_st_lstm` puts their weights, or gradients, under our names into our merged and channels-last arrays.

    conv_lstm, zigzag, st_lstm   weight/NAME, x (T,B,H,W,X) and state/k in; after each step h (T,B,H,W,K), at the end end/k;
                                 gradient/NAME, gradient/x and gradient/state/k of the sum over k of cotangent/k . end/k
    predrnn                      weight/NAME, frames, truth in; outputs and loss (l1+l2 of all outputs) out; gradient/NAME of the loss
    conv2d                       CASE/options (as JSON), x, w, b, dy in; y, dx, dw, db out
    muon                         CASE/rate, momentum; CASE/start and CASE/gradients (8, ...) in, CASE/results (8, ...) after each step
                                 out, with the rate for Adam ("match_rms_adamw") and the dtype float64 in place of bfloat16
    rmsprop                      CASE/rate, decay, eps; the rest as muon
    adam                         CASE/rate, betas, eps; CASE/p.start and CASE/p.gradients (50, ...) in, CASE/p.results (50, ...) after each
                                 step out, for the parameters p = w and b
"""

import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def first(x):
    """Channels-last NumPy -> channels-first PyTorch."""
    return torch.tensor(np.moveaxis(x, -1, -3))


def last(x):
    """Channels-first PyTorch -> channels-last NumPy."""
    return np.ascontiguousarray(np.moveaxis(x.detach().numpy(), -3, -1))


def kernel_last(w):
    """(K,C,kh,kw) -> (kh,kw,C,K)"""
    return np.ascontiguousarray(w.detach().numpy().transpose(2, 3, 1, 0))


def fill(module, rng):
    """Every parameter of a module random, in float64."""
    module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.tensor(0.3 * rng.standard_normal(tuple(p.shape))))
    return module


# Equations 2 and 3

class Peephole(nn.Module):
    """Equations 2 and 3 are one function of x, h and a memory; they differ in where h and the memory come from."""

    def __init__(self, channels, hidden, kernel, size):
        super().__init__()
        self.conv_x = nn.Conv2d(channels, 4 * hidden, kernel, padding=kernel // 2)
        self.conv_h = nn.Conv2d(hidden, 4 * hidden, kernel, padding=kernel // 2, bias=False)
        self.w_i, self.w_f, self.w_o = (nn.Parameter(torch.zeros(hidden, *size)) for _ in range(3))

    def forward(self, x, h, c):
        i, f, g, o = torch.chunk(self.conv_x(x) + self.conv_h(h), 4, dim=1)
        c = torch.sigmoid(f + self.w_f * c) * c + torch.sigmoid(i + self.w_i * c) * torch.tanh(g)
        h = torch.sigmoid(o + self.w_o * c) * torch.tanh(c)
        return h, c


def our_peephole(memory, p):
    """Weights or gradients {name: tensor} of a Peephole under the names of our ConvLSTM ("c") or ZigzagConvLSTM ("m")."""
    merged = np.concatenate([kernel_last(p["conv_x.weight"]), kernel_last(p["conv_h.weight"])], axis=2)
    arrays = {"from_xh.weight": merged, "from_xh.bias": p["conv_x.bias"].detach().numpy()}
    return arrays | {f"w_{memory}{gate}": last(p[f"w_{gate}"]) for gate in "ifo"}


# Equation 4

class SpatioTemporalLSTM(nn.Module):
    """The cell of the official code, without layer normalisation."""

    def __init__(self, channels, hidden, kernel):
        super().__init__()

        def conv(inputs, outputs, kernel=kernel):
            return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)

        self.conv_x, self.conv_h, self.conv_m = conv(channels, 7 * hidden), conv(hidden, 4 * hidden), conv(hidden, 3 * hidden)
        self.conv_o, self.conv_last = conv(2 * hidden, hidden), conv(2 * hidden, hidden, 1)

    def forward(self, x, h, c, m):
        i_x, f_x, g_x, i_x_, f_x_, g_x_, o_x = torch.chunk(self.conv_x(x), 7, dim=1)
        i_h, f_h, g_h, o_h = torch.chunk(self.conv_h(h), 4, dim=1)
        i_m, f_m, g_m = torch.chunk(self.conv_m(m), 3, dim=1)
        c = torch.sigmoid(f_x + f_h + 1) * c + torch.sigmoid(i_x + i_h) * torch.tanh(g_x + g_h)
        m = torch.sigmoid(f_x_ + f_m + 1) * m + torch.sigmoid(i_x_ + i_m) * torch.tanh(g_x_ + g_m)
        memory = torch.cat([c, m], dim=1)
        o = torch.sigmoid(o_x + o_h + self.conv_o(memory))
        return o * torch.tanh(self.conv_last(memory)), c, m


def our_st_lstm(p):
    """Weights or gradients {name: tensor} of a SpatioTemporalLSTM under the names of our STLSTM, whose biases it has not."""
    x = np.split(kernel_last(p["conv_x.weight"]), 7, axis=3)  # i, f, g, i', f', g', o
    x_for_h, x_for_m = np.concatenate([*x[:3], x[6]], axis=3), np.concatenate(x[3:6], axis=3)
    return {"from_xh.weight": np.concatenate([x_for_h, kernel_last(p["conv_h.weight"])], axis=2),
            "from_xm.weight": np.concatenate([x_for_m, kernel_last(p["conv_m.weight"])], axis=2),
            "from_cm.weight": kernel_last(p["conv_o.weight"]),
            "merge_cm": kernel_last(p["conv_last.weight"])}


def our_forget_bias(hidden):
    """The official + 1 on f and f' as biases of our STLSTM, in which the gates are ordered i, f, g, o."""
    one = np.ones(hidden)
    return {"from_xh.bias": np.kron([0, 1, 0, 0], one), "from_xm.bias": np.kron([0, 1, 0], one), "from_cm.bias": 0 * one}


# what goes into the files

def under(prefix, arrays):
    return {prefix + name: a for name, a in arrays.items()}


def weights(module):
    return dict(module.named_parameters())


def gradients(module):
    return {name: p.grad for name, p in module.named_parameters()}


def cell_case(rng, cell, ours, extra, channels, hidden, states, size=(4, 5), batch=2, steps=3):
    """Run a cell over some steps; `ours` maps its weights to our names, `extra` are weights that it has not."""
    fill(cell, rng)
    x = rng.standard_normal((steps, batch, *size, channels))
    start = [rng.standard_normal((batch, *size, hidden)) for _ in range(states)]
    cotangents = [rng.standard_normal((batch, *size, hidden)) for _ in range(states)]
    inputs, state = first(x).requires_grad_(), [first(s).requires_grad_() for s in start]
    leaves, hs = state, []
    for frame in inputs:
        state = cell(frame, *state)
        hs.append(state[0])
    sum((s * first(u)).sum() for s, u in zip(state, cotangents)).backward()
    return {"x": x, "h": last(torch.stack(hs)), "gradient/x": last(inputs.grad),
            **under("weight/", ours(weights(cell)) | extra), **under("gradient/", ours(gradients(cell))),
            **{f"state/{k}": a for k, a in enumerate(start)}, **{f"end/{k}": last(s) for k, s in enumerate(state)},
            **{f"cotangent/{k}": u for k, u in enumerate(cotangents)},
            **{f"gradient/state/{k}": last(s.grad) for k, s in enumerate(leaves)}}


def conv_lstm(rng):
    return cell_case(rng, Peephole(2, 3, 3, (4, 5)), lambda p: our_peephole("c", p), {}, 2, 3, 2)


def zigzag(rng):
    return cell_case(rng, Peephole(2, 3, 3, (4, 5)), lambda p: our_peephole("m", p), {}, 2, 3, 2)


def st_lstm(rng):
    return cell_case(rng, SpatioTemporalLSTM(2, 3, 3), our_st_lstm, our_forget_bias(3), 2, 3, 3)


def predrnn(rng, hidden=3, layers=2, patch=2, batch=2, time=6, size=(6, 8)):
    """Two ST-LSTMs and a 1x1 convolution, unrolled with scheduled sampling as in the official network."""
    channels, (height, width) = patch * patch, size
    cells = [fill(SpatioTemporalLSTM(channels if layer == 0 else hidden, hidden, 3), rng) for layer in range(layers)]
    conv_last = fill(nn.Conv2d(hidden, channels, 1, bias=False), rng)
    frames = rng.random((batch, time, height, width, 1))
    truth = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 1, 0]])

    patches = frames.reshape(batch, time, height // patch, patch, width // patch, patch, 1).transpose(0, 1, 2, 4, 3, 5, 6)
    patches = first(patches.reshape(batch, time, height // patch, width // patch, channels))
    zeros = torch.zeros(batch, hidden, height // patch, width // patch, dtype=torch.float64)
    h, c, m, outputs = [zeros] * layers, [zeros] * layers, zeros, []
    for t in range(time - 1):
        mask = torch.tensor(truth[:, t, None, None, None], dtype=torch.float64)
        x = patches[:, t] if t == 0 else mask * patches[:, t] + (1 - mask) * outputs[-1]
        for layer, cell in enumerate(cells):
            h[layer], c[layer], m = cell(x if layer == 0 else h[layer - 1], h[layer], c[layer], m)
        outputs.append(conv_last(h[-1]))
    outputs = torch.stack(outputs, dim=1)
    loss = F.l1_loss(outputs, patches[:, 1:]) + F.mse_loss(outputs, patches[:, 1:])
    loss.backward()

    def ours(of):
        merged = {f"cells.{layer}.{name}": a for layer, cell in enumerate(cells) for name, a in our_st_lstm(of(cell)).items()}
        return merged | {"to_frame.weight": kernel_last(of(conv_last)["weight"])}

    extra = {f"cells.{layer}.{name}": a for layer in range(layers) for name, a in our_forget_bias(hidden).items()}
    extra["to_frame.bias"] = np.zeros(channels)
    predictions = last(outputs).reshape(batch, time - 1, height // patch, width // patch, patch, patch, 1)
    predictions = predictions.transpose(0, 1, 2, 4, 3, 5, 6).reshape(batch, time - 1, height, width, 1)
    return {"frames": frames, "truth": truth, "outputs": predictions, "loss": loss.detach().numpy(),
            **under("weight/", ours(weights) | extra), **under("gradient/", ours(gradients))}


CONVOLUTIONS = {  # H, W, kh, kw and options; "same" is TensorFlow's rule, whose odd zero goes to the bottom right
    "5x5": (6, 7, 5, 5, {}),
    "5x5 over a smaller frame": (2, 3, 5, 5, {}),
    "1x1": (4, 3, 1, 1, {}),
    "3x5": (5, 6, 3, 5, {}),
    "valid": (5, 6, 3, 3, {"padding": "valid"}),
    "padding": (4, 5, 3, 3, {"padding": 2}),
    "even kernel": (5, 4, 4, 2, {}),
    "dilation": (7, 6, 3, 3, {"dilation": 2}),
    "stride, even frame": (6, 8, 3, 3, {"stride": 2}),
    "stride, odd frame": (7, 5, 5, 5, {"stride": 2}),
    "stride, padding": (7, 6, 4, 4, {"stride": 2, "padding": 1}),
    "stride 3, dilation, valid": (9, 8, 3, 2, {"stride": 3, "dilation": 2, "padding": "valid"}),
}


def conv2d(rng):
    arrays = {}
    for case, (height, width, kh, kw, options) in CONVOLUTIONS.items():
        stride, dilation, padding = options.get("stride", 1), options.get("dilation", 1), options.get("padding", "same")
        margins = []
        for n, k in ((width, kw), (height, kh)):  # F.pad counts from the last axis
            total = max((-(-n // stride) - 1) * stride + (k - 1) * dilation + 1 - n, 0) if padding == "same" else 0
            margins += [total // 2, total - total // 2] if padding == "same" else [0 if padding == "valid" else padding] * 2
        x, w, b = (rng.standard_normal(shape) for shape in ((2, height, width, 2), (kh, kw, 2, 3), (3,)))
        leaves = first(x).requires_grad_(), torch.tensor(w.transpose(3, 2, 0, 1)).requires_grad_(), torch.tensor(b).requires_grad_()
        y = F.conv2d(F.pad(leaves[0], margins), *leaves[1:], stride=stride, dilation=dilation)
        dy = rng.standard_normal(last(y).shape)
        y.backward(first(dy))
        arrays |= under(f"{case}/", {"options": np.array(json.dumps(options)), "x": x, "w": w, "b": b, "dy": dy, "y": last(y),
                                     "dx": last(leaves[0].grad), "dw": kernel_last(leaves[1].grad), "db": leaves[2].grad.numpy()})
    return arrays


def adam(rng, steps=50):
    arrays = {}
    for case, rate, betas, eps in (("usual", 1e-3, (0.9, 0.999), 1e-8), ("other", 0.1, (0.5, 0.9), 1e-3)):
        start = {"w": rng.standard_normal((2, 3)), "b": rng.standard_normal(3)}
        g = {name: rng.standard_normal((steps, *p.shape)) * 10 ** rng.uniform(-6, 1, p.shape) for name, p in start.items()}
        g["b"][:, 0] = 0  # a number that never gets a gradient
        g["b"][:20, 1] = 0  # and one that gets it late
        parameters = {name: nn.Parameter(torch.tensor(p)) for name, p in start.items()}
        optimiser = torch.optim.Adam(parameters.values(), lr=rate, betas=betas, eps=eps)
        results = {name: np.empty_like(g[name]) for name in start}
        for t in range(steps):
            for name, p in parameters.items():
                p.grad = torch.tensor(g[name][t])
            optimiser.step()
            for name, p in parameters.items():
                results[name][t] = p.detach().numpy()
        arrays |= under(f"{case}/", {"rate": np.array(rate), "betas": np.array(betas), "eps": np.array(eps)})
        for name in start:
            arrays |= under(f"{case}/{name}.", {"start": start[name], "gradients": g[name], "results": results[name]})
    return arrays


def muon(rng, steps=8):
    arrays, bfloat16 = {}, torch.Tensor.bfloat16
    torch.Tensor.bfloat16 = torch.Tensor.clone  # torch.optim.Muon rounds to bfloat16, which hides everything below 1e-2
    try:
        for case, shape, rate, momentum in (("tall", (18, 5), 1e-2, 0.95), ("wide", (3, 8), 0.1, 0.5)):
            start = rng.standard_normal(shape)
            gradients = rng.standard_normal((steps, *shape)) * 10 ** rng.uniform(-6, 1, shape)
            p = nn.Parameter(torch.tensor(start))
            optimiser = torch.optim.Muon([p], lr=rate, momentum=momentum, weight_decay=0, adjust_lr_fn="match_rms_adamw")
            results = np.empty_like(gradients)
            for t in range(steps):
                p.grad = torch.tensor(gradients[t])
                optimiser.step()
                results[t] = p.detach().numpy()
            arrays |= under(f"{case}/", {"rate": np.array(rate), "momentum": np.array(momentum), "start": start,
                                         "gradients": gradients, "results": results})
    finally:
        torch.Tensor.bfloat16 = bfloat16
    return arrays


def rmsprop(rng, steps=20):
    arrays = {}
    for case, rate, decay, eps in (("usual", 1e-3, 0.9, 1e-8), ("other", 0.1, 0.5, 1e-3)):
        start = rng.standard_normal((3, 4))
        gradients = rng.standard_normal((steps, 3, 4)) * 10 ** rng.uniform(-6, 1, (3, 4))
        gradients[:, 0, 0] = 0  # a number that never gets a gradient
        gradients[:8, 0, 1] = 0  # and one that gets it late
        p = nn.Parameter(torch.tensor(start))
        optimiser = torch.optim.RMSprop([p], lr=rate, alpha=decay, eps=eps)
        results = np.empty_like(gradients)
        for t in range(steps):
            p.grad = torch.tensor(gradients[t])
            optimiser.step()
            results[t] = p.detach().numpy()
        arrays |= under(f"{case}/", {"rate": np.array(rate), "decay": np.array(decay), "eps": np.array(eps), "start": start,
                                     "gradients": gradients, "results": results})
    return arrays


FILES = {"conv_lstm": conv_lstm, "zigzag": zigzag, "st_lstm": st_lstm, "predrnn": predrnn, "conv2d": conv2d, "adam": adam, "muon": muon,
         "rmsprop": rmsprop}


def make(name, seed=0):
    """The arrays of the file NAME.npz; another seed makes another case of the same kind."""
    return FILES[name](np.random.default_rng(seed))


if __name__ == "__main__":
    from writing import write

    write(FILES, make)
