"""Reference arrays of the rivals by PyTorch in float64: `python tests/references/make_rivals.py` writes the .npz files beside this script.

As make_references.py, which says how to run it. Each network is transcribed from the papers and the authors' code, with a matrix or a
convolution for every letter; a function puts its weights, or gradients, under our names into our merged and channels-last arrays.

    fc_lstm, fc_lstm_composite, vpn   weight/NAME, frames (B,T,H,W,C), truth (B,T-1), given in; outputs (B,T-given,H,W,C) of the frames
                                      after the given ones and loss ("bce") out; gradient/NAME and gradient/frames of the loss
"""


import numpy as np
import torch
import torch.nn.functional as F

try:
    from references.make_references import under
except ImportError:  # as a script
    from make_references import under



def draw(rng, *shape):
    return torch.tensor(0.4 * rng.standard_normal(shape)).requires_grad_()


def cross_entropy(p, y):
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def numbers(arrays):
    return {name: a.detach().numpy() for name, a in arrays.items()}


def case(ours, weights, frames, truth, given, predictions, loss):
    """What goes into a file; `weights` are leaves in nested dictionaries and lists, `ours` maps such to our names."""
    loss.backward()

    def gradients(w):
        if isinstance(w, torch.Tensor):
            return w.grad
        return {key: gradients(v) for key, v in w.items()} if isinstance(w, dict) else [gradients(v) for v in w]

    found = numbers({"frames": frames, "outputs": predictions, "loss": loss, "gradient/frames": frames.grad})
    return {"truth": truth, "given": np.array(given), **found, **under("weight/", numbers(ours(weights))),
            **under("gradient/", numbers(ours(gradients(weights))))}


# FC-LSTM: vectors (B,N)

def lstm_weights(rng, inputs, units):
    letters = {f"x{gate}": draw(rng, inputs, units) for gate in "ifgo"} if inputs else {}
    letters |= {f"h{gate}": draw(rng, units, units) for gate in "ifgo"} | {f"b{gate}": draw(rng, units) for gate in "ifgo"}
    return letters | {f"c{gate}": draw(rng, units) for gate in "ifo"}


def lstm(w, x, h, c):
    """An LSTM with diagonal peepholes; x is None for one without input."""
    def pre(gate):
        return (0 if x is None else x @ w["x" + gate]) + h @ w["h" + gate] + w["b" + gate]

    i, f = torch.sigmoid(pre("i") + w["ci"] * c), torch.sigmoid(pre("f") + w["cf"] * c)
    c = f * c + i * torch.tanh(pre("g"))
    return torch.sigmoid(pre("o") + w["co"] * c) * torch.tanh(c), c


def our_lstm(prefix, w):
    """As our ConvLSTM on a grid of one pixel, with the gates ordered i, f, g, o."""
    rows = [torch.cat([w[part + gate] for gate in "ifgo"], 1) for part in "xh" if part + "i" in w]
    return under(prefix, {"from_xh.weight": torch.cat(rows, 0)[None, None], "from_xh.bias": torch.cat([w["b" + gate] for gate in "ifgo"]),
                          **{f"w_c{gate}": w["c" + gate][None, None] for gate in "ifo"}})


def fc_lstm(rng, shape=(3, 4, 1), units=3, batch=2, given=3, horizon=3):
    """FC-LSTM-N-N: two layers; the forecaster's upper layer has no input."""
    pixels = int(np.prod(shape))
    w = {"e1": lstm_weights(rng, pixels, units), "e2": lstm_weights(rng, units, units), "f2": lstm_weights(rng, 0, units),
         "f1": lstm_weights(rng, units, units), "out": draw(rng, units, pixels), "b": draw(rng, pixels)}
    frames = torch.tensor(rng.random((batch, given + horizon, *shape))).requires_grad_()
    x = frames.reshape(batch, -1, pixels)
    h1 = c1 = h2 = c2 = torch.zeros(batch, units, dtype=torch.float64)
    for t in range(given):
        h1, c1 = lstm(w["e1"], x[:, t], h1, c1)
        h2, c2 = lstm(w["e2"], h1, h2, c2)
    outputs = []
    for _ in range(horizon):
        h2, c2 = lstm(w["f2"], None, h2, c2)
        h1, c1 = lstm(w["f1"], h2, h1, c1)
        outputs.append(torch.sigmoid(h1 @ w["out"] + w["b"]))
    y = torch.stack(outputs, 1)

    def ours(w):
        return (our_lstm("encoder.0.", w["e1"]) | our_lstm("encoder.1.", w["e2"]) | our_lstm("forecaster.0.", w["f2"])
                | our_lstm("forecaster.1.", w["f1"]) | {"to_frame.weight": w["out"][None, None], "to_frame.bias": w["b"]})

    truth = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 1, 0]])  # which is not used
    return case(ours, w, frames, truth, given, y.reshape(batch, horizon, *shape), cross_entropy(y, x[:, given:]))


def fc_lstm_composite(rng, shape=(3, 2, 2), units=3, batch=2, given=3, horizon=3):
    """One encoder, two decoders that read frames: one goes on, one goes back. Their first steps have no input."""
    pixels = int(np.prod(shape))
    w = {part: lstm_weights(rng, pixels, units) for part in ("encoder", "future", "past")}
    w |= {"out": draw(rng, units, pixels), "b": draw(rng, pixels), "past out": draw(rng, units, pixels), "past b": draw(rng, pixels)}
    frames = torch.tensor(rng.random((batch, given + horizon, *shape))).requires_grad_()
    truth = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 1, 0]])
    x = frames.reshape(batch, -1, pixels)
    h = c = torch.zeros(batch, units, dtype=torch.float64)
    for t in range(given):
        h, c = lstm(w["encoder"], x[:, t], h, c)
    code, y = (h, c), []
    for t in range(given, given + horizon):
        mask = torch.tensor(truth[:, [t - 1]], dtype=torch.float64)
        h, c = lstm(w["future"], mask * x[:, t - 1] + (1 - mask) * y[-1] if y else torch.zeros_like(x[:, 0]), h, c)
        y.append(torch.sigmoid(h @ w["out"] + w["b"]))
    (h, c), past = code, {}
    for t in reversed(range(given)):
        h, c = lstm(w["past"], x[:, t + 1] if past else torch.zeros_like(x[:, 0]), h, c)
        past[t] = torch.sigmoid(h @ w["past out"] + w["past b"])
    y, past = torch.stack(y, 1), torch.stack([past[t] for t in range(given)], 1)

    def ours(w):
        return (our_lstm("encoder.0.", w["encoder"]) | our_lstm("forecaster.0.", w["future"]) | our_lstm("reconstructor.0.", w["past"])
                | {"to_frame.weight": w["out"][None, None], "to_frame.bias": w["b"],
                   "to_given.weight": w["past out"][None, None], "to_given.bias": w["past b"]})

    loss = cross_entropy(y, x[:, given:]) + cross_entropy(past, x[:, :given])
    return case(ours, w, frames, truth, given, y.reshape(batch, horizon, *shape), loss)


# VPN's baseline: frames (B,C,H,W)

def conv_weights(rng, inputs, outputs, kernel):
    return {"w": draw(rng, outputs, inputs, kernel, kernel), "b": draw(rng, outputs)}


def conv(w, x, dilation=1):
    return F.conv2d(x, w["w"], w["b"], padding=w["w"].shape[-1] // 2 * dilation, dilation=dilation)


def block_weights(rng, c):
    return {"narrow": conv_weights(rng, 2 * c, c, 1), "widen": conv_weights(rng, c, 2 * c, 1),
            "units": [{gate: conv_weights(rng, c, c, 3) for gate in "123u"} for _ in range(2)]}


def block(w, x, dilation=1):
    """A residual multiplicative block."""
    h = conv(w["narrow"], x)
    for unit in w["units"]:
        g1, g2, g3 = (torch.sigmoid(conv(unit[gate], h, dilation)) for gate in "123")
        h = g1 * torch.tanh(g2 * h + g3 * torch.tanh(conv(unit["u"], h, dilation)))
    return x + conv(w["widen"], h)


def vpn(rng, size=(7, 6), c=2, dilations=(1, 2), decoder=1, batch=2, given=2, horizon=2):
    """On pixels, with 1x1 convolutions at both ends, as published."""
    w = {"in": conv_weights(rng, 1, 2 * c, 1), "encoder": [block_weights(rng, c) for _ in dilations],
         "x": {gate: conv_weights(rng, 2 * c, 2 * c, 3) for gate in "ifgo"}, "h": {gate: draw(rng, 2 * c, 2 * c, 3, 3) for gate in "ifgo"},
         "decoder": [block_weights(rng, c) for _ in range(decoder)], "out": conv_weights(rng, 2 * c, 1, 1)}
    frames = torch.tensor(rng.random((batch, given + horizon, *size, 1))).requires_grad_()
    truth, y = np.array([[1, 1, 0], [1, 1, 1]]), []
    h = state = torch.zeros(batch, 2 * c, *size, dtype=torch.float64)
    for t in range(given + horizon - 1):
        mask, x = torch.tensor(truth[:, t, None, None, None], dtype=torch.float64), frames[:, t].permute(0, 3, 1, 2)
        z = conv(w["in"], mask * x + (1 - mask) * y[-1] if y else x)
        for weights, dilation in zip(w["encoder"], dilations):
            z = block(weights, z, dilation)
        pre = {gate: conv(w["x"][gate], z) + F.conv2d(h, w["h"][gate], padding=1) for gate in "ifgo"}
        state = torch.sigmoid(pre["f"]) * state + torch.sigmoid(pre["i"]) * torch.tanh(pre["g"])
        z = h = torch.sigmoid(pre["o"]) * torch.tanh(state)
        for weights in w["decoder"]:
            z = block(weights, z)
        y.append(torch.sigmoid(conv(w["out"], z)))
    y = torch.stack(y, 1).permute(0, 1, 3, 4, 2)[:, given - 1:]

    def our_conv(prefix, *ws):
        return {prefix + "weight": torch.cat([v["w"] for v in ws]).permute(2, 3, 1, 0), prefix + "bias": torch.cat([v["b"] for v in ws])}

    def our_block(prefix, w):
        arrays = our_conv(prefix + "narrow.", w["narrow"]) | our_conv(prefix + "widen.", w["widen"])
        for k, unit in enumerate(w["units"]):
            arrays |= our_conv(f"{prefix}units.{k}.gates.", *(unit[gate] for gate in "123u"))
        return arrays

    def ours(w):
        arrays = our_conv("from_frame.", w["in"]) | our_conv("to_frame.", w["out"])
        gates = [{"w": torch.cat([w["x"][gate]["w"], w["h"][gate]], 1), "b": w["x"][gate]["b"]} for gate in "ifgo"]
        arrays |= our_conv("memory.from_xh.", *gates)
        for part in "encoder", "decoder":
            for k, own in enumerate(w[part]):
                arrays |= our_block(f"{part}.{k}.", own)
        return arrays

    return case(ours, w, frames, truth, given, y, cross_entropy(y, frames[:, given:]))


FILES = {"fc_lstm": fc_lstm, "fc_lstm_composite": fc_lstm_composite, "vpn": vpn}


def make(name, seed=0):
    """The arrays of the file NAME.npz; another seed makes another case of the same kind."""
    return FILES[name](np.random.default_rng(seed))


if __name__ == "__main__":
    from writing import write

    write(FILES, make)
