"""Reference arrays of PredRNN's successors and of Shi's network by PyTorch in float64: `python tests/references/make_successors.py`.

As make_references.py, which says how to run it. The networks are transcribed from their papers, and from the authors' code where the name
says so: channels first, a function for each equation, weights and gates in an order of their own. `ours` puts weights, or gradients, under
our names into our merged and channels-last arrays.

    predrnn_pp, predrnn_pp_as_code, predrnn_v2, convlstm_forecaster
        weight/NAME, frames (B,T,H,W,1), truth (B,T-1) in; outputs and loss out; gradient/NAME and gradient/frames of the loss
"""


import numpy as np
import torch
import torch.nn.functional as F

try:
    from references import equations, make_references
except ImportError:  # as a script
    import equations
    import make_references

HIDDEN, KERNEL, PATCH, GIVEN = (3, 2, 2), 3, 2, 3
TRUTH = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 1, 0]])
BETA = 0.3
sigma, tanh = torch.sigmoid, torch.tanh


def draw(rng, shapes):
    """{name: leaf} of random weights; a name that ends with "gain" is around 1."""
    return {name: torch.tensor(0.4 * rng.standard_normal(shape) + name.endswith("gain")).requires_grad_() for name, shape in shapes.items()}


def conv(p, name, *x):
    return F.conv2d(torch.cat(x, dim=1), p[name + ".w"], p.get(name + ".b"), padding="same")


def normed(p, name, *x):
    """A convolution, then layer normalisation of each sample over channels, rows and columns."""
    y = conv(p, name, *x)
    y = (y - y.mean((1, 2, 3), keepdim=True)) / torch.sqrt(y.var((1, 2, 3), unbiased=False, keepdim=True) + 1e-5)
    return y * p[name + ".gain"][:, None, None] + p[name + ".bias"][:, None, None]


def shapes_of_conv(name, inputs, outputs, kernel=KERNEL, bias=True, norm=True):
    return {name + ".w": (outputs, inputs, kernel, kernel), **({name + ".b": (outputs,)} if bias else {}),
            **({name + ".gain": (outputs,), name + ".bias": (outputs,)} if norm else {})}


# PredRNN++

def causal_lstm(p, n, x, h, c, m):
    """The paper's equation; the forget bias of 1 is part of the drawn biases."""
    g, i, f = normed(p, f"{n}.W1", x, h, c).chunk(3, dim=1)
    c = sigma(f) * c + sigma(i) * tanh(g)
    g, i, f = normed(p, f"{n}.W2", x, c, m).chunk(3, dim=1)
    m = sigma(f) * tanh(normed(p, f"{n}.W3", m)) + sigma(i) * tanh(g)
    o = tanh(normed(p, f"{n}.W4", x, c, m))
    return o * tanh(conv(p, f"{n}.W5", c, m)), c, m


def causal_lstm_as_code(p, n, x, h, c, m):
    i_x, g_x, f_x, i2_x, g2_x, f2_x, o_x = normed(p, f"{n}.x", x).chunk(7, dim=1)
    i_h, g_h, f_h, o_h = normed(p, f"{n}.h", h).chunk(4, dim=1)
    i_m, f_m, m_m = normed(p, f"{n}.m", m).chunk(3, dim=1)
    c = sigma(f_x + f_h + 1) * c + sigma(i_x + i_h) * tanh(g_x + g_h)
    i_c, g_c, f_c, o_c = normed(p, f"{n}.c", c).chunk(4, dim=1)
    m = sigma(f_c + f2_x + f_m + 1) * tanh(m_m) + sigma(i_c + i2_x + i_m) * tanh(g_c + g2_x)
    o = tanh(o_x + o_h + o_c + normed(p, f"{n}.new_m", m))
    return o * tanh(conv(p, f"{n}.1x1", c, m)), c, m


def causal_shapes(n, x, k, m, as_code):
    """Of cell n, of width k, with x channels below and a memory of width m from below."""
    if not as_code:
        parts = {"W1": (x + 2 * k, 3 * k), "W2": (x + k + m, 3 * k), "W3": (m, k), "W4": (x + 2 * k, k)}
        shapes = [shapes_of_conv(f"{n}.{name}", *widths, bias=False) for name, widths in parts.items()]
        shapes.append(shapes_of_conv(f"{n}.W5", 2 * k, k, 1, norm=False))
    else:
        parts = {"x": (x, 7 * k), "h": (k, 4 * k), "m": (m, 3 * k), "c": (k, 4 * k), "new_m": (k, k)}
        shapes = [shapes_of_conv(f"{n}.{name}", *widths) for name, widths in parts.items()]
        shapes.append(shapes_of_conv(f"{n}.1x1", 2 * k, k, 1, norm=False))
    return {name: shape for one in shapes for name, shape in one.items()}


def predrnn_pp(rng, as_code=False):
    cell, shapes = causal_lstm_as_code if as_code else causal_lstm, {}
    for n, k in enumerate(HIDDEN):
        shapes |= causal_shapes(n, PATCH**2 if n == 0 else HIDDEN[n - 1], k, HIDDEN[n - 1], as_code)
    width = HIDDEN[0]
    shapes |= shapes_of_conv("highway.x", width, 2 * width) | shapes_of_conv("highway.z", width, 2 * width)
    p = draw(rng, shapes | shapes_of_conv("last", HIDDEN[-1], PATCH**2, 1, norm=False))

    def network(patches, truth):
        zeros = [patches.new_zeros(len(patches), k, *patches.shape[3:]) for k in HIDDEN]
        h, c, m, z, outputs = list(zeros), list(zeros), zeros[-1], zeros[0], []
        for t in range(truth.shape[1]):
            x = mixed(patches, truth, outputs, t)
            h[0], c[0], m = cell(p, 0, x, h[0], c[0], m)
            p_x, s_x = normed(p, "highway.x", h[0]).chunk(2, dim=1)
            p_z, s_z = normed(p, "highway.z", z).chunk(2, dim=1)
            s = sigma(s_x + s_z)
            z = s * tanh(p_x + p_z) + (1 - s) * z
            h[1], c[1], m = cell(p, 1, z, h[1], c[1], m)
            for n in range(2, len(HIDDEN)):
                h[n], c[n], m = cell(p, n, h[n - 1], h[n], c[n], m)
            outputs.append(conv(p, "last", h[-1]))
        return outputs

    return case(rng, p, network, lambda a: our_predrnn_pp(a, as_code), F.mse_loss)


# the gates of one convolution, in the order of the transcription and in ours; {transcribed: ours}
GATES = {"W1": ("gif", "ifg"), "W2": ("gif", "ifg"), "x": ("igfIGFo", "ifgIFGo"), "h": ("igfo", "ifgo"), "c": ("igfo", "ifgo")}
NAMES = {"W1": "from_xhc", "W2": "from_xcm", "W3": "from_m", "W4": "to_o", "W5": "merge_cm", "x": "from_x", "h": "from_h", "m": "from_m",
         "c": "from_new_c", "new_m": "from_new_m", "1x1": "merge_cm"}


def our_predrnn_pp(arrays, as_code):
    ours = {}
    for name, a in arrays.items():
        where, *of_cell, kind = name.split(".")
        a = np.ascontiguousarray(a.transpose(2, 3, 1, 0)) if kind == "w" else a
        kind = {"w": "weight", "b": "bias"}.get(kind, kind)
        if where.isdigit():
            part, = of_cell
            if part in GATES:
                theirs, order = GATES[part]
                blocks = dict(zip(theirs, np.split(a, len(theirs), axis=-1)))
                a = np.concatenate([blocks[gate] for gate in order], axis=-1)
            inner = f"norm.{kind}" if as_code and name.split(".")[-1] in ("gain", "bias") else kind
            ours[f"cells.{where}.{NAMES[part]}.{inner}"] = a
        elif where == "highway":
            inner = f"norm.{kind}" if name.split(".")[-1] in ("gain", "bias") else kind
            ours[f"highway.from_{of_cell[0]}.{inner}"] = a
        else:
            ours[f"to_frame.{kind}"] = a
    return ours


# PredRNN-V2, as in the authors' code

def predrnn_v2(rng, hidden=2, layers=2):
    cells = [make_references.fill(make_references.SpatioTemporalLSTM(PATCH**2 if n == 0 else hidden, hidden, KERNEL), rng)
             for n in range(layers)]
    p = draw(rng, {"last.w": (PATCH**2, hidden, 1, 1), "adapter.w": (hidden, hidden, 1, 1)})
    p |= {f"{n}.{name}": w for n, cell in enumerate(cells) for name, w in cell.named_parameters()}
    losses = []

    def step(cell, x, h, c, m):
        i_x, f_x, g_x, i_x_, f_x_, g_x_, o_x = cell.conv_x(x).chunk(7, dim=1)
        i_h, f_h, g_h, o_h = cell.conv_h(h).chunk(4, dim=1)
        i_m, f_m, g_m = cell.conv_m(m).chunk(3, dim=1)
        delta_c = sigma(i_x + i_h) * tanh(g_x + g_h)
        delta_m = sigma(i_x_ + i_m) * tanh(g_x_ + g_m)
        c = sigma(f_x + f_h + 1) * c + delta_c
        m = sigma(f_x_ + f_m + 1) * m + delta_m
        o = sigma(o_x + o_h + cell.conv_o(torch.cat([c, m], 1)))
        a, b = (F.normalize(conv(p, "adapter", d).flatten(2), dim=2) for d in (delta_c, delta_m))
        losses.append(torch.mean(torch.abs(torch.cosine_similarity(a, b, dim=2))))
        return o * tanh(cell.conv_last(torch.cat([c, m], 1))), c, m

    def network(patches, truth):
        zeros = patches.new_zeros(len(patches), hidden, *patches.shape[3:])
        h, c, m, outputs = [zeros] * layers, [zeros] * layers, zeros, []
        for t in range(truth.shape[1]):
            x = mixed(patches, truth, outputs, t)
            for n, cell in enumerate(cells):
                h[n], c[n], m = step(cell, x if n == 0 else h[n - 1], h[n], c[n], m)
            outputs.append(conv(p, "last", h[-1]))
        return outputs

    def ours(arrays):
        arrays = {name: torch.tensor(a) for name, a in arrays.items()}
        names = {"last.w": "to_frame.weight", "adapter.w": "adapter"}
        merged = {ours: make_references.kernel_last(arrays[name]) for name, ours in names.items()}
        for n in range(layers):
            one = {name.removeprefix(f"{n}."): a for name, a in arrays.items() if name.startswith(f"{n}.")}
            merged |= {f"cells.{n}.{name}": a for name, a in make_references.our_st_lstm(one).items()}
        return merged

    def loss(outputs, truth):
        return F.mse_loss(outputs, truth) + BETA * torch.mean(torch.stack(losses))

    fixed = {f"cells.{n}.{name}": a for n in range(layers) for name, a in make_references.our_forget_bias(hidden).items()}
    return case(rng, p, network, ours, loss, fixed | {"to_frame.bias": np.zeros(PATCH**2)})


# Shi's encoder and forecaster

def convlstm_forecaster(rng, hidden=(3, 2)):
    shapes = {}
    for part, widths, inputs in (("encoder", hidden, PATCH**2), ("forecaster", hidden[::-1], 0)):
        for n, (x, k) in enumerate(zip([inputs, *widths], widths)):
            shapes |= shapes_of_conv(f"{part}.{n}", x + k, 4 * k, norm=False) | {f"{part}.{n}.{gate}": (k, 1, 1) for gate in "ifo"}
    p = draw(rng, shapes | shapes_of_conv("last", sum(hidden), PATCH**2, 1, norm=False))

    def cell(name, inputs, h, c):
        """Equation 2 with one peephole for each channel."""
        i, f, g, o = conv(p, name, *inputs, h).chunk(4, dim=1)
        c = sigma(f + p[name + ".f"] * c) * c + sigma(i + p[name + ".i"] * c) * tanh(g)
        return sigma(o + p[name + ".o"] * c) * tanh(c), c

    def network(patches, truth):
        h, c = ([patches.new_zeros(len(patches), k, *patches.shape[3:]) for k in hidden] for _ in "hc")
        for t in range(GIVEN):
            for n in range(len(hidden)):
                h[n], c[n] = cell(f"encoder.{n}", [patches[:, t] if n == 0 else h[n - 1]], h[n], c[n])
        h, c, outputs = h[::-1], c[::-1], [patches[:, t] for t in range(GIVEN - 1)]
        while len(outputs) < truth.shape[1]:
            for n in range(len(hidden)):
                h[n], c[n] = cell(f"forecaster.{n}", [h[n - 1]] if n else [], h[n], c[n])
            outputs.append(sigma(conv(p, "last", *h)))
        return outputs

    def ours(arrays):
        merged = {}
        for name, a in arrays.items():
            *where, kind = name.split(".")
            if kind in "ifo":
                merged[".".join([*where, "w_c" + kind])] = a.reshape(1, 1, -1)
            else:
                inner = {"last": []}.get(where[0], ["from_xh"])
                a = np.ascontiguousarray(a.transpose(2, 3, 1, 0)) if kind == "w" else a
                merged[".".join([*(["to_frame"] if where[0] == "last" else where), *inner, {"w": "weight", "b": "bias"}[kind]])] = a
        return merged

    def loss(outputs, truth):
        return F.binary_cross_entropy(outputs[:, GIVEN - 1:], truth[:, GIVEN - 1:])

    return case(rng, p, network, ours, loss)


# what goes into the files

def mixed(patches, truth, outputs, t):
    """The input of step t: the true frame or the last output, for each sequence."""
    if t == 0:
        return patches[:, 0]
    mask = torch.tensor(truth[:, t, None, None, None], dtype=torch.float64)
    return mask * patches[:, t] + (1 - mask) * outputs[-1]


def case(rng, p, network, ours, loss, extra=None):
    """The arrays of one network: `network(patches, truth)` gives a list of outputs (B,X,h,w); `extra` are weights that are not trained."""
    frames = rng.random((2, 6, 6, 8, 1))
    patches = make_references.first(equations.patches(frames, PATCH)).requires_grad_()
    outputs = torch.stack(network(patches, TRUTH), dim=1)
    value = loss(outputs, patches[:, 1:])
    value.backward()
    weights, gradients = ({name: a.detach().numpy() for name, a in arrays.items()} for arrays in (p, {n: a.grad for n, a in p.items()}))
    return {"frames": frames, "truth": TRUTH, "outputs": equations.unpatch(make_references.last(outputs), PATCH),
            "loss": value.detach().numpy(), "gradient/frames": equations.unpatch(make_references.last(patches.grad), PATCH),
            **make_references.under("weight/", ours(weights) | (extra or {})), **make_references.under("gradient/", ours(gradients))}


FILES = {"predrnn_pp": predrnn_pp, "predrnn_pp_as_code": lambda rng: predrnn_pp(rng, as_code=True), "predrnn_v2": predrnn_v2,
         "convlstm_forecaster": convlstm_forecaster}


def make(name, seed=0):
    """The arrays of the file NAME.npz; another seed makes another case of the same kind."""
    return FILES[name](np.random.default_rng(seed))


if __name__ == "__main__":
    from writing import write

    write(FILES, make)
