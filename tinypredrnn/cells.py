"""The three recurrent cells of the paper, each beside its equations: ConvLSTM (2), ConvLSTM with zigzag memory (3), ST-LSTM (4).

A cell is a function of its state, (x, state) -> (output, state), and hides nothing. Frames are channels-last: x is (B,H,W,X), and the
states h, c, m are (B,H,W,K). In the equations * is convolution and . the Hadamard product; the paper writes them for one gate at a
time, here one convolution over the inputs side by side makes all gates at once, which is the same sum:

    W_x * X + W_h * H  =  [W_x, W_h] * [X, H]
"""

from tinypredrnn.autograd import conv2d, fuse, normalise, sigmoid, split, tanh
from tinypredrnn.errors import ConfigError
from tinypredrnn.nn import Module, fan_in_uniform, parameter, zeros


class Gates(Module):
    """Pre-activations of several gates by one convolution over the inputs side by side: n x (B,H,W,C_n) -> for each gate (B,H,W,K)

    gates        their letters in the equation, such as "ifgo"; the bias of f starts at `forget_bias`, all others at 0
    layer_norm   normalise the stacked gates of each sample over height, width and channels before gain and bias (the authors' code
                 does so to the convolution of each input by itself; here it is one convolution)
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
            y = normalise(conv2d(inputs, self.weight), axis=(1, 2, 3)) * self.gain + self.bias
        return split(y, parts=len(self.gates)) if len(self.gates) > 1 else y


@fuse
def remember(i, f, g, memory):
    """Forget some of the memory and write something new: sigma(f) . memory + sigma(i) . tanh(g)"""
    return sigmoid(f) * memory + sigmoid(i) * tanh(g)


@fuse
def expose(o, late, memory):
    """Show some of the memory: sigma(o + late) . tanh(memory). `late` is the part of o that has to wait for the new memory."""
    return sigmoid(o + late) * tanh(memory)


class ConvLSTM(Module):
    """Equation 2: an LSTM on a grid of pixels.

        g = tanh (W_xg * X_t + W_hg * H_t-1 + b_g)
        i = sigma(W_xi * X_t + W_hi * H_t-1 + W_ci . C_t-1 + b_i)
        f = sigma(W_xf * X_t + W_hf * H_t-1 + W_cf . C_t-1 + b_f)
        C_t = f . C_t-1 + i . g
        o = sigma(W_xo * X_t + W_ho * H_t-1 + W_co . C_t + b_o)
        H_t = o . tanh(C_t)

    channels, hidden   X and K; size (H, W) is fixed by the peepholes W_ci, W_cf, W_co (H,W,K), which start at 0
    """

    def __init__(self, channels, hidden, kernel, size, rng, forget_bias=1.0, layer_norm=False):
        self.from_xh = Gates(channels + hidden, hidden, kernel, "ifgo", rng, forget_bias, layer_norm)
        self.w_ci, self.w_cf, self.w_co = (zeros(*size, hidden) for _ in "ifo")

    def forward(self, x, state):
        h, c = state
        i, f, g, o = self.from_xh(x, h)
        c = remember(i + self.w_ci * c, f + self.w_cf * c, g, c)
        h = expose(o, self.w_co * c, c)
        return h, (h, c)


class ZigzagConvLSTM(Module):
    """Equation 3: a ConvLSTM whose one memory M climbs the layers and then goes on to the next time step.

        g = tanh (W_xg * X_t [l=1] + W_hg * H_t^l-1 + b_g)
        i = sigma(W_xi * X_t [l=1] + W_hi * H_t^l-1 + W_mi . M_t^l-1 + b_i)
        f = sigma(W_xf * X_t [l=1] + W_hf * H_t^l-1 + W_mf . M_t^l-1 + b_f)
        M_t^l = f . M_t^l-1 + i . g
        o = sigma(W_xo * X_t [l=1] + W_ho * H_t^l-1 + W_mo . M_t^l + b_o)
        H_t^l = o . tanh(M_t^l)

    The state (h, m) is that of the layer below at the same time; for l = 1 that of the top layer at the time before. Only layer 1 sees
    a frame: above it `channels` is 0 and x is None. All layers have one width. Peepholes as in ConvLSTM.
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
    """Equation 4, the spatiotemporal LSTM: one memory C along time within a layer, one memory M across the layers.

        g  = tanh (W_xg * X_t + W_hg * H_t-1 + b_g)           g' = tanh (W'_xg * X_t + W_mg * M_t^l-1 + b'_g)
        i  = sigma(W_xi * X_t + W_hi * H_t-1 + b_i)           i' = sigma(W'_xi * X_t + W_mi * M_t^l-1 + b'_i)
        f  = sigma(W_xf * X_t + W_hf * H_t-1 + b_f)           f' = sigma(W'_xf * X_t + W_mf * M_t^l-1 + b'_f)
        C_t = f . C_t-1 + i . g                               M_t^l = f' . M_t^l-1 + i' . g'
        o  = sigma(W_xo * X_t + W_ho * H_t-1 + W_co * C_t + W_mo * M_t^l + b_o)
        H_t = o . tanh(W_1x1 * [C_t, M_t^l])

    X_t is the frame for l = 1 and H_t^l-1 above. The m that comes in is the layer below's at the same time (the paper prints M_t-1,
    its text says this), for l = 1 the top layer's at the time before. `hidden` is the width of h and c, `memory` that of m.
    """

    def __init__(self, channels, hidden, memory, kernel, rng, forget_bias=1.0, layer_norm=False):
        self.from_xh = Gates(channels + hidden, hidden, kernel, "ifgo", rng, forget_bias, layer_norm)
        self.from_xm = Gates(channels + memory, memory, kernel, "ifg", rng, forget_bias, layer_norm)
        self.from_cm = Gates(hidden + memory, hidden, kernel, "o", rng, forget_bias, layer_norm)
        self.merge_cm = fan_in_uniform(rng, (1, 1, hidden + memory, hidden))

    def forward(self, x, state):
        h, c, m = state
        i, f, g, o = self.from_xh(x, h)
        i_, f_, g_ = self.from_xm(x, m)
        c = remember(i, f, g, c)
        m = remember(i_, f_, g_, m)
        h = expose(o, self.from_cm(c, m), conv2d((c, m), self.merge_cm))
        return h, (h, c, m)
