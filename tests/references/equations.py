"""The paper once more in plain NumPy: Equations 2, 3 and 4 letter by letter, the stacks of Figures 1 and 2 arrow by arrow.

An oracle for the tests. It shares no code with the package: one convolution for each W, written as a sum over kernel offsets, and every
state under its indices of time and layer. Everything here is analytic, so its derivatives come from a complex step,

    f(x + i h d) = f(x) + i h f'(x) d + O(h^2),

whose imaginary part holds f'(x) d to the last digit: with h = 1e-30 the h^2 is nothing, and no difference is taken that could cancel.
"""

import numpy as np

STEP = 1e-30


def derivative(function, arrays, directions):
    """d function(arrays) along `directions`, both {name: array}; a name that `directions` leaves out stands still."""
    moved = {name: a + 1j * STEP * directions[name] if name in directions else a for name, a in arrays.items()}
    return np.imag(function(moved)) / STEP


def sigma(x):
    return 1 / (1 + np.exp(-x))


def conv(w, x):
    """W * X with zeros around X: (k,k,C,K), (B,H,W,C) -> (B,H,W,K)"""
    kernel, (batch, height, width, channels) = len(w), x.shape
    r = kernel // 2
    padded = np.zeros((batch, height + 2 * r, width + 2 * r, channels), x.dtype)
    padded[:, r:r + height, r:r + width] = x
    return sum(padded[:, i:i + height, j:j + width] @ w[i, j] for i in range(kernel) for j in range(kernel))


# the cells; W and b are {letters: array}

def conv_lstm(W, b, x, h, c):
    """Equation 2: X_t, H_t-1, C_t-1 -> H_t, C_t"""
    g = np.tanh(conv(W["xg"], x) + conv(W["hg"], h) + b["g"])
    i = sigma(conv(W["xi"], x) + conv(W["hi"], h) + W["ci"] * c + b["i"])
    f = sigma(conv(W["xf"], x) + conv(W["hf"], h) + W["cf"] * c + b["f"])
    c = f * c + i * g
    o = sigma(conv(W["xo"], x) + conv(W["ho"], h) + W["co"] * c + b["o"])
    return o * np.tanh(c), c


def zigzag(W, b, x, h, m):
    """Equation 3: X_t (None above layer 1), H_t^l-1, M_t^l-1 -> H_t^l, M_t^l"""
    from_x = {gate: 0 if x is None else conv(W["x" + gate], x) for gate in "gifo"}
    g = np.tanh(from_x["g"] + conv(W["hg"], h) + b["g"])
    i = sigma(from_x["i"] + conv(W["hi"], h) + W["mi"] * m + b["i"])
    f = sigma(from_x["f"] + conv(W["hf"], h) + W["mf"] * m + b["f"])
    m = f * m + i * g
    o = sigma(from_x["o"] + conv(W["ho"], h) + W["mo"] * m + b["o"])
    return o * np.tanh(m), m


def st_lstm(W, b, x, h, c, m):
    """Equation 4: X_t, H_t-1^l, C_t-1^l, M_t^l-1 -> H_t^l, C_t^l, M_t^l"""
    g = np.tanh(conv(W["xg"], x) + conv(W["hg"], h) + b["g"])
    i = sigma(conv(W["xi"], x) + conv(W["hi"], h) + b["i"])
    f = sigma(conv(W["xf"], x) + conv(W["hf"], h) + b["f"])
    c = f * c + i * g
    g = np.tanh(conv(W["xg'"], x) + conv(W["mg"], m) + b["g'"])
    i = sigma(conv(W["xi'"], x) + conv(W["mi"], m) + b["i'"])
    f = sigma(conv(W["xf'"], x) + conv(W["mf"], m) + b["f'"])
    m = f * m + i * g
    o = sigma(conv(W["xo"], x) + conv(W["ho"], h) + conv(W["co"], c) + conv(W["mo"], m) + b["o"])
    return o * np.tanh(conv(W["1x1"], np.concatenate([c, m], axis=-1))), c, m


def letters(arrays, cell=""):
    """The merged arrays of one of our cells under the paper's letters: W["xi"], b["i"], ...; `cell` is the prefix of its names."""
    arrays = {name.removeprefix(cell): a for name, a in arrays.items() if name.startswith(cell)}
    W, b = {}, {}

    def cut(name, first, second, gates, width, prime=""):
        """Rows: two inputs, the second `width` wide; columns: the gates. x and the gates of M carry the prime."""
        weight, bias = arrays[name + ".weight"], arrays[name + ".bias"]
        for gate, w, offset in zip(gates, np.split(weight, len(gates), axis=3), np.split(bias, len(gates))):
            W[first + gate + prime], W[second + gate], b[gate + prime] = w[:, :, :-width], w[:, :, -width:], offset

    hidden = len(arrays["from_xh.bias"]) // 4
    cut("from_xh", "x", "h", "ifgo", hidden)
    if "from_xm.bias" in arrays:
        memory = len(arrays["from_xm.bias"]) // 3
        cut("from_xm", "x", "m", "ifg", memory, prime="'")
        offset = b["o"]
        cut("from_cm", "c", "m", "o", memory)
        b["o"] = b["o"] + offset  # Equation 4 has one b_o, our two convolutions have one each
        W["1x1"] = arrays["merge_cm"]
    W |= {name[2:]: a for name, a in arrays.items() if name.startswith("w_")}
    return W, b


# the networks

def patches(frames, p):
    """p x p pixels as channels, ordered row, column, channel: (B,T,H,W,C) -> (B,T,H/p,W/p,p p C)"""
    return np.concatenate([frames[:, :, r::p, s::p] for r in range(p) for s in range(p)], axis=-1)


def unpatch(x, p):
    """The inverse of `patches`."""
    b, t, h, w, channels = x.shape
    c = channels // p ** 2
    frames = np.zeros((b, t, h * p, w * p, c), x.dtype)
    for r in range(p):
        for s in range(p):
            frames[:, :, r::p, s::p] = x[..., (r * p + s) * c:][..., :c]
    return frames


def unroll(name, arrays, frames, truth, p):
    """The outputs of the network `name`, of which number t predicts frame t + 1; `truth` (B, steps) says which inputs are true frames.

    arrays  the network's state_dict; (B,T,H,W,C) -> (B,steps,H,W,C)
    """
    X = patches(frames, p)
    L = max(int(key.split(".")[1]) for key in arrays if key.startswith("cells.")) + 1
    W, b = zip(({}, {}), *(letters(arrays, f"cells.{layer}.") for layer in range(L)))  # W[1] ... W[L], as in the paper

    def zeros(weight):
        return np.zeros((*X.shape[:1], *X.shape[2:4], weight.shape[2]))

    H, C, M = {}, {}, {}  # by (t, layer)
    for layer in range(1, L + 1):
        H[-1, layer] = C[-1, layer] = zeros(W[layer]["hi"])
    M[-1, L] = zeros(W[L]["mg"]) if name == "predrnn" else H[-1, L]

    outputs = []
    for t in range(truth.shape[1]):
        true = truth[:, t, None, None, None] if t < X.shape[1] else 0
        x = true * X[:, min(t, X.shape[1] - 1)] + (1 - true) * (outputs[-1] if t else 0)
        for layer in range(1, L + 1):
            below = x if layer == 1 else H[t, layer - 1]
            before = (t - 1, L) if layer == 1 else (t, layer - 1)  # where the zigzag comes from
            if name == "convlstm":
                H[t, layer], C[t, layer] = conv_lstm(W[layer], b[layer], below, H[t - 1, layer], C[t - 1, layer])
            elif name == "predrnn_m":
                H[t, layer], M[t, layer] = zigzag(W[layer], b[layer], x if layer == 1 else None, H[before], M[before])
            elif name == "predrnn":
                H[t, layer], C[t, layer], M[t, layer] = st_lstm(W[layer], b[layer], below, H[t - 1, layer], C[t - 1, layer], M[before])
        outputs.append(conv(arrays["to_frame.weight"], H[t, L]) + arrays["to_frame.bias"])
    return unpatch(np.stack(outputs, axis=1), p)
