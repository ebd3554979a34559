"""The paper's three recurrent cells with their equations: ConvLSTM (2), ConvLSTM with zigzag memory (3), ST-LSTM (4).

A cell is a function (x, state) -> (output, state) without hidden variables. Frames are channels-last: x is (B,H,W,X),
and the states h, c, m are (B,H,W,K). In the equations, * is convolution and . the Hadamard product. The paper has
separate convolutions for each input and gate; here one convolution over the concatenated inputs computes all gates,
which is the same sum:

    W_x * X + W_h * H  =  [W_x, W_h] * [X, H]
"""

from tinypredrnn.autograd import conv2d, fuse, normalise, sigmoid, split, tanh
from tinypredrnn.errors import ConfigError
from tinypredrnn.nn import Module, fan_in_uniform, parameter, zeros


class Gates(Module):
    """Pre-activations of several gates, from one convolution: n inputs (B,H,W,C_n) -> (B,H,W,K) for each gate.

    gates        their letters in the equation, such as "ifgo"; the initial bias of f is `forget_bias`, of others 0
    layer_norm   normalise the stacked gates of each sample over height, width and channels before gain and bias (the
                 authors' code normalises the convolution of each input separately; here there is only one convolution)
    """

    def __init__(self, channels, hidden, kernel, gates, rng, forget_bias=1.0, layer_norm=False):
        if kernel % 2 == 0:
            raise ConfigError(f"cells: the kernel must be odd, so that it has a centre, got {kernel}")
        self.gates = gates
        self.weight = fan_in_uniform(rng, (kernel, kernel, channels, len(gates) * hidden))
        self.bias = zeros(len(gates) * hidden)
        if "f" in gates:
            self.bias.data[gates.index("f") * hidden:][:hidden] = forget_bias
        self.gain = parameter(1 + self.bias.data * 0) if layer_norm else None

    def forward(self, *inputs):
        if self.gain is None:
            y = conv2d(inputs, self.weight, self.bias)  # (B,H,W,gates K)
        else:
            y = normalise(conv2d(inputs, self.weight), self.gain, self.bias, axis=(1, 2, 3))
        return split(y, parts=len(self.gates)) if len(self.gates) > 1 else y


@fuse
def write(i, g):
    """What is new in a memory: sigma(i) . tanh(g)."""
    return sigmoid(i) * tanh(g)


@fuse
def remember(i, f, g, memory):
    """Forget some of the memory and write something new: sigma(f) . memory + sigma(i) . tanh(g)."""
    return sigmoid(f) * memory + write(i, g)


@fuse
def expose(o, late, memory):
    """Output some of the memory: sigma(o + late) . tanh(memory). `late` is the part of o that needs the new memory."""
    return sigmoid(o + late) * tanh(memory)


class ConvLSTM(Module):
    """Equation 2: an LSTM on a grid of pixels.

        g = tanh (W_xg * X_t + W_hg * H_t-1 + b_g)
        i = sigma(W_xi * X_t + W_hi * H_t-1 + W_ci . C_t-1 + b_i)
        f = sigma(W_xf * X_t + W_hf * H_t-1 + W_cf . C_t-1 + b_f)
        C_t = f . C_t-1 + i . g
        o = sigma(W_xo * X_t + W_ho * H_t-1 + W_co . C_t + b_o)
        H_t = o . tanh(C_t)

    channels, hidden   X and K; X may be 0, and x is None then
    size               (H, W), which the peepholes W_ci, W_cf, W_co (H,W,K) fix; they are 0 at first. (1, 1): one weight
                       for each channel, at any size; None: no peepholes

    On a grid of one pixel, with kernel 1, it is the fully connected LSTM with diagonal peepholes.
    """

    def __init__(self, channels, hidden, kernel, size, rng, forget_bias=1.0, layer_norm=False):
        self.hidden = hidden
        self.from_xh = Gates(channels + hidden, hidden, kernel, "ifgo", rng, forget_bias, layer_norm)
        self.w_ci, self.w_cf, self.w_co = (size and zeros(*size, hidden) for _ in "ifo")

    def forward(self, x, state):
        h, c = state
        i, f, g, o = self.from_xh(h) if x is None else self.from_xh(x, h)
        if self.w_ci is None:
            c = remember(i, f, g, c)
            h = expose(o, 0.0, c)
        else:
            c = remember(i + self.w_ci * c, f + self.w_cf * c, g, c)
            h = expose(o, self.w_co * c, c)
        return h, (h, c)


class ZigzagConvLSTM(Module):
    """Equation 3: a ConvLSTM whose only memory M goes up through the layers and then to the next time step.

        g = tanh (W_xg * X_t [l=1] + W_hg * H_t^l-1 + b_g)
        i = sigma(W_xi * X_t [l=1] + W_hi * H_t^l-1 + W_mi . M_t^l-1 + b_i)
        f = sigma(W_xf * X_t [l=1] + W_hf * H_t^l-1 + W_mf . M_t^l-1 + b_f)
        M_t^l = f . M_t^l-1 + i . g
        o = sigma(W_xo * X_t [l=1] + W_ho * H_t^l-1 + W_mo . M_t^l + b_o)
        H_t^l = o . tanh(M_t^l)

    The incoming state (h, m) is that of the layer below at the same step; for l = 1, that of the top layer at the
    previous step. Only layer 1 reads the frame: in the others, `channels` is 0 and x is None. All layers have the same
    width. Peepholes are as in ConvLSTM.
    """

    def __init__(self, channels, hidden, kernel, size, rng, forget_bias=1.0, layer_norm=False):
        self.from_xh = Gates(channels + hidden, hidden, kernel, "ifgo", rng, forget_bias, layer_norm)
        self.w_mi, self.w_mf, self.w_mo = (zeros(*size, hidden) for _ in "ifo")

    def forward(self, x, state):
        h, m = state
        i, f, g, o = self.from_xh(h) if x is None else self.from_xh(x, h)
        m = remember(i + self.w_mi * m, f + self.w_mf * m, g, m)
        h = expose(o, self.w_mo * m, m)
        return h, (h, m)


class STLSTM(Module):
    """Equation 4, the spatiotemporal LSTM: memory C goes along time within a layer, memory M across the layers.

        g  = tanh (W_xg * X_t + W_hg * H_t-1 + b_g)           g' = tanh (W'_xg * X_t + W_mg * M_t^l-1 + b'_g)
        i  = sigma(W_xi * X_t + W_hi * H_t-1 + b_i)           i' = sigma(W'_xi * X_t + W_mi * M_t^l-1 + b'_i)
        f  = sigma(W_xf * X_t + W_hf * H_t-1 + b_f)           f' = sigma(W'_xf * X_t + W_mf * M_t^l-1 + b'_f)
        C_t = f . C_t-1 + i . g                               M_t^l = f' . M_t^l-1 + i' . g'
        o  = sigma(W_xo * X_t + W_ho * H_t-1 + W_co * C_t + W_mo * M_t^l + b_o)
        H_t = o . tanh(W_1x1 * [C_t, M_t^l])

    X_t is the frame for l = 1, and H_t^l-1 for the layers above. The incoming m is that of the layer below at the same
    step (so the paper's text; its equation has M_t-1); for l = 1, that of the top layer at the previous step. `hidden`
    is the width of h and c, `memory` that of m. The call appends the increments (i . g, i' . g') to a list `increments`
    if it is given: PredRNN-V2's loss needs them.
    """

    def __init__(self, channels, hidden, memory, kernel, rng, forget_bias=1.0, layer_norm=False):
        self.from_xh = Gates(channels + hidden, hidden, kernel, "ifgo", rng, forget_bias, layer_norm)
        self.from_xm = Gates(channels + memory, memory, kernel, "ifg", rng, forget_bias, layer_norm)
        self.from_cm = Gates(hidden + memory, hidden, kernel, "o", rng, forget_bias, layer_norm)
        self.merge_cm = fan_in_uniform(rng, (1, 1, hidden + memory, hidden))

    def forward(self, x, state, increments=None):
        h, c, m = state
        i, f, g, o = self.from_xh(x, h)
        i_, f_, g_ = self.from_xm(x, m)
        if increments is not None:
            increments.append((write(i, g), write(i_, g_)))
        c = remember(i, f, g, c)
        m = remember(i_, f_, g_, m)
        h = expose(o, self.from_cm(c, m), conv2d((c, m), self.merge_cm))
        return h, (h, c, m)
