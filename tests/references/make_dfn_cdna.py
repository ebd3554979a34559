"""Reference arrays of DFN and CDNA by PyTorch in float64: `cd tests && python -m references.make_dfn_cdna` writes dfn.npz and cdna.npz.

The two networks once more, written from their descriptions (layer by layer, channels first, unmerged) and without a line of the package.
Their weights carry our names and lie as ours do, so that gradients come out in the same form. All numbers are drawn with NumPy.

    weight/NAME, frames (B,T,H,W,C), truth (B,T-1) in; outputs (B,T-1,H,W,C) and the loss of the future out; gradient/NAME and
    gradient/frames of this loss, of DFN the binary cross-entropy, of CDNA the mean square; for cdna.npz also literal/outputs,
    literal/loss and literal/gradient/frames
"""

import numpy as np
import torch
import torch.nn.functional as F
from references.make_references import under

GIVEN = 2


def conv(p, name, x, stride=1, padding=None):
    """A convolution with our weights (kh,kw,C,K); padding (before, after), without one TensorFlow's rule "same"."""
    w, margins = p[name + ".weight"], []
    for n, k in ((x.shape[3], w.shape[1]), (x.shape[2], w.shape[0])):  # F.pad counts from the last axis
        total = max((-(-n // stride) - 1) * stride + k - n, 0)
        margins += padding or (total // 2, total - total // 2)
    return F.conv2d(F.pad(x, margins), w.permute(3, 2, 0, 1).contiguous(), p.get(name + ".bias"), stride=stride)


def transposed_conv(p, name, x, size):
    """A transposed convolution of stride 2 with our weights (kh,kw,features,channels), cut to `size` by TensorFlow's rule."""
    w = p[name + ".weight"]
    whole, (height, width) = F.conv_transpose2d(x, w.permute(3, 2, 0, 1).contiguous(), stride=2), size
    top, left = (max((m - 1) * 2 + 3 - n, 0) // 2 for m, n in zip(x.shape[2:], size))
    y = F.pad(whole, (0, 1, 0, 1))[:, :, top:top + height, left:left + width]
    return y if name + ".bias" not in p else y + p[name + ".bias"][:, None, None]


# DFN

def dfn_step(p, x, hidden):
    """Frame (B,C,H,W) and hidden state -> (prediction, hidden state)"""
    def leaky(y):
        return torch.where(y > 0, y, 0.01 * y)

    u = leaky(conv(p, "encode.0", x))
    u = leaky(conv(p, "encode.1", u, stride=2, padding=(1, 1)))
    for k in (2, 3, 4):
        u = leaky(conv(p, f"encode.{k}", u))
    r = leaky(conv(p, "recur.1", leaky(conv(p, "recur.0", hidden))))
    hidden = u + r
    y = leaky(conv(p, "decode.1", leaky(conv(p, "decode.0", hidden))))
    y = F.interpolate(y, scale_factor=2, mode="nearest")[:, :, :x.shape[2], :x.shape[3]]
    for k in range(3):
        y = leaky(conv(p, f"refine.{k}", y))
    filters = F.softmax(conv(p, "to_filters", y), dim=1)  # (B,k k,H,W)
    batch, channels, height, width = x.shape
    side = int(filters.shape[1] ** 0.5)
    around = F.unfold(x, side, padding=side // 2).reshape(batch, channels, side * side, height, width)
    return (around * filters[:, None]).sum(2), hidden


def dfn_start(p, x):
    return x.new_zeros(len(x), p["recur.0.bias"].numel(), -(-x.shape[2] // 2), -(-x.shape[3] // 2))


# CDNA

def layer_norm(p, name, x):
    """Over height, width and channels of each sample; gain and bias for each channel."""
    mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * p[name + ".gain"][:, None, None] + p[name + ".bias"][:, None, None]


def conv_lstm(p, name, x, state):
    """Returns the normalised H and (H, C). The gates lie in the order i, f, g, o, and the +1 of f is in our bias."""
    h, c = state
    i, f, j, o = torch.chunk(conv(p, f"{name}.lstm.from_xh", torch.cat([x, h], 1)), 4, dim=1)
    c = c * torch.sigmoid(f) + torch.sigmoid(i) * torch.tanh(j)
    h = torch.tanh(c) * torch.sigmoid(o)
    return layer_norm(p, f"{name}.norm", h), (h, c)


def cdna_step(p, x, states, literal=False):
    """Frame (B,C,H,W) and the states of the seven ConvLSTMs -> (prediction, states)"""
    new = dict(states)
    enc0 = F.relu(layer_norm(p, "norm0", conv(p, "enc0", x, stride=2)))
    hidden1, new[0] = conv_lstm(p, "lstms.0", enc0, states[0])
    hidden2, new[1] = conv_lstm(p, "lstms.1", hidden1, states[1])
    enc1 = F.relu(conv(p, "enc1", hidden2, stride=2))
    hidden3, new[2] = conv_lstm(p, "lstms.2", enc1, states[2])
    hidden4, new[3] = conv_lstm(p, "lstms.3", hidden3, states[3])
    enc2 = F.relu(conv(p, "enc2", hidden4, stride=2))
    enc3 = F.relu(conv(p, "enc3", enc2))
    hidden5, new[4] = conv_lstm(p, "lstms.4", enc3, states[4])
    enc4 = F.relu(transposed_conv(p, "enc4", hidden5, enc1.shape[2:]))
    hidden6, new[5] = conv_lstm(p, "lstms.5", enc4, states[5])
    enc5 = F.relu(transposed_conv(p, "enc5", torch.cat([hidden6, enc1], 1), enc0.shape[2:]))
    hidden7, new[6] = conv_lstm(p, "lstms.6", enc5, states[6])
    enc6 = F.relu(layer_norm(p, "norm6", transposed_conv(p, "enc6", torch.cat([hidden7, enc0], 1), x.shape[2:])))
    scratch, logits = conv(p, "to_scratch", enc6), conv(p, "to_masks", enc6)
    if literal:
        scratch, logits = F.relu(scratch), F.relu(logits)
    masks = torch.softmax(logits, dim=1)
    flat = hidden5.permute(0, 2, 3, 1).flatten(1)  # TensorFlow is channels-last
    kernels = (flat @ p["to_kernels.weight"] + p["to_kernels.bias"]).reshape(len(x), 5, 5, 10)
    kernels = F.relu(kernels - 1e-12) + 1e-12
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    output = masks[:, :1] * x + masks[:, 1:2] * torch.sigmoid(scratch)
    for k in range(9):
        moved = [F.conv2d(frame[:, None], kernel[None, None, :, :, k], padding=2)[:, 0] for frame, kernel in zip(x, kernels)]
        output = output + masks[:, k + 2:k + 3] * torch.stack(moved)
    return output, new


def cdna_start(p, x):
    def zeros(k, scale):
        return x.new_zeros(len(x), p[f"lstms.{k}.lstm.from_xh.bias"].numel() // 4, -(-x.shape[2] // scale), -(-x.shape[3] // scale))

    return {k: (zeros(k, scale), zeros(k, scale)) for k, scale in enumerate((2, 2, 4, 4, 8, 4, 2))}


# what goes into the files

def unroll(start, step, p, frames, truth):
    """(B,T,H,W,C) and (B,steps) -> (B,steps,H,W,C), the predictions of frames 1, 2, ..."""
    x = frames.movedim(-1, 2)
    state, outputs = start(p, x[:, 0]), []
    for t in range(truth.shape[1]):
        mask = truth[:, t, None, None, None]
        prediction, state = step(p, x[:, t] if t == 0 else mask * x[:, t] + (1 - mask) * outputs[-1], state)
        outputs.append(prediction)
    return torch.stack(outputs, 1).movedim(2, -1)


def bce(p, z):
    p = p.clamp(1e-6, 1 - 1e-6)
    return -(z * torch.log(p) + (1 - z) * torch.log(1 - p)).mean()


def mse(p, z):
    return ((p - z) ** 2).mean()


def differentiate(start, step, loss, weights, frames, truth):
    """Outputs, loss and gradients, as arrays."""
    p = {name: torch.tensor(a).requires_grad_() for name, a in weights.items()}
    x = torch.tensor(frames).requires_grad_()
    outputs = unroll(start, step, p, x, torch.tensor(truth, dtype=torch.float64))
    value = loss(outputs[:, GIVEN - 1:], x[:, GIVEN:])
    value.backward()
    return {"outputs": outputs.detach().numpy(), "loss": value.detach().numpy(),
            **under("gradient/", {name: a.grad.numpy() for name, a in (p | {"frames": x}).items()})}


def draw(rng, shapes, size, channels):
    """Weights of these shapes, gains about 1; frames, and which of them are true: another for each sequence."""
    weights = {name: 0.3 * rng.standard_normal(shape) + name.endswith("gain") for name, shape in shapes.items()}
    return weights, rng.uniform(0.05, 0.95, (2, 5, *size, channels)), np.array([[1, 1, 0, 1], [1, 1, 1, 0]])


def shapes_of(kernels, gates=(), norms=(), more=()):
    """{name: shape} of layers: kernels {name: (k, in, out)}, transposed ones with out last but one; gates without peepholes."""
    shapes = {}
    for name, (k, a, b) in kernels.items():
        shapes |= {f"{name}.weight": (k, k, a, b), f"{name}.bias": (b,)}
    for name, (below, width) in dict(gates).items():
        shapes |= {f"{name}.lstm.from_xh.weight": (5, 5, below + width, 4 * width), f"{name}.lstm.from_xh.bias": (4 * width,)}
        shapes |= {f"{name}.norm.gain": (width,), f"{name}.norm.bias": (width,)}
    for name, width in dict(norms).items():
        shapes |= {f"{name}.gain": (width,), f"{name}.bias": (width,)}
    return shapes | dict(more)


def dfn(rng, w=2, side=3, colours=2):
    kernels = {"encode.0": (3, colours, w), "encode.1": (3, w, w), "encode.2": (3, w, 2 * w), "encode.3": (3, 2 * w, 2 * w),
               "encode.4": (3, 2 * w, 4 * w), "recur.0": (3, 4 * w, 4 * w), "recur.1": (3, 4 * w, 4 * w), "decode.0": (3, 4 * w, 2 * w),
               "decode.1": (3, 2 * w, 2 * w), "refine.0": (3, 2 * w, 2 * w), "refine.1": (3, 2 * w, 2 * w), "refine.2": (1, 2 * w, 4 * w),
               "to_filters": (1, 4 * w, side * side)}
    weights, frames, truth = draw(rng, shapes_of(kernels), (6, 7), colours)
    return {"frames": frames, "truth": truth, **under("weight/", weights),
            **differentiate(dfn_start, dfn_step, bce, weights, frames, truth)}


def cdna(rng, w=1, colours=2, size=(9, 12)):
    widths = (1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 2), (3, 1)
    gates = {f"lstms.{k}": (below * w, own * w) for k, (below, own) in enumerate(widths)}
    kernels = {"enc1": (3, w, w), "enc2": (3, 2 * w, 2 * w), "enc3": (1, 2 * w, 2 * w), "enc4": (3, 4 * w, 4 * w),
               "enc5": (3, 3 * w, 3 * w), "to_scratch": (1, 2 * w, colours), "to_masks": (1, 2 * w, 11)}
    more = {"enc0.weight": (5, 5, colours, w), "enc6.weight": (3, 3, 2 * w, 2 * w), "to_kernels.weight": (2 * 2 * 4 * w, 250),
            "to_kernels.bias": (250,)}
    weights, frames, truth = draw(rng, shapes_of(kernels, gates, {"norm0": w, "norm6": 2 * w}, more), size, colours)
    literal = differentiate(cdna_start, lambda p, x, s: cdna_step(p, x, s, literal=True), mse, weights, frames, truth)
    return {"frames": frames, "truth": truth, **under("weight/", weights),
            **differentiate(cdna_start, cdna_step, mse, weights, frames, truth),
            **under("literal/", {key: literal[key] for key in ("outputs", "loss", "gradient/frames")})}


FILES = {"dfn": dfn, "cdna": cdna}


def make(name, seed=0):
    """The arrays of the file NAME.npz; another seed makes another case of the same kind."""
    return FILES[name](np.random.default_rng(seed))


if __name__ == "__main__":
    from writing import write

    write(FILES, make)
