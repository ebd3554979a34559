"""Recurrent cells with their equations: the paper's ConvLSTM (2), ConvLSTM with zigzag memory (3) and ST-LSTM (4), then
PredRNN++'s Causal LSTM and gradient highway.

A cell is a function (x, state) -> (output, state) without hidden variables. Frames are channels-last: x is (B,H,W,X),
and the states h, c, m are (B,H,W,K). In the equations, * is convolution and . the Hadamard product. The paper has
separate convolutions for each input and gate; here one convolution over the concatenated inputs computes all gates,
which is the same sum:

    W_x * X + W_h * H  =  [W_x, W_h] * [X, H]
"""

from tinypredrnn.autograd import conv2d, fuse, normalise, sigmoid, split, tanh
from tinypredrnn.errors import ConfigError
from tinypredrnn.nn import Conv2d, LayerNorm, Module, fan_in_uniform, parameter, zeros


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


@fuse
def expose_signed(o, memory):
    """Output some of the memory, or its opposite: tanh(o) . tanh(memory)."""
    return tanh(o) * tanh(memory)


class CausalLSTM(Module):
    """PredRNN++'s cell: first C is written, then M by gates that see the new C, so one step is a cascade of both.

        g,  i,  f  = tanh, sigma, sigma (W_1 * [X_t, H_t-1, C_t-1] + b_1)
        C_t        = f . C_t-1 + i . g
        g', i', f' = tanh, sigma, sigma (W_2 * [X_t, C_t, M_t^l-1] + b_2)
        M_t^l      = f' . tanh(W_3 * M_t^l-1 + b_3) + i' . g'
        o          = tanh (W_4 * [X_t, C_t, M_t^l] + b_4)
        H_t        = o . tanh(W_5 * [C_t, M_t^l] + b_5)

    W_1 to W_4 have the side `kernel`, as in the authors' code, and W_5 is 1x1. `memory` is the width of the incoming m,
    `hidden` that of everything else: W_3 takes M from the width of the layer below to that of this layer.
    """

    def __init__(self, channels, hidden, memory, kernel, rng, forget_bias=1.0, layer_norm=False):
        self.from_xhc = Gates(channels + 2 * hidden, hidden, kernel, "ifg", rng, forget_bias, layer_norm)
        self.from_xcm = Gates(channels + hidden + memory, hidden, kernel, "ifg", rng, forget_bias, layer_norm)
        self.from_m = Gates(memory, hidden, kernel, "m", rng, layer_norm=layer_norm)
        self.to_o = Gates(channels + 2 * hidden, hidden, kernel, "o", rng, layer_norm=layer_norm)
        self.merge_cm = Conv2d(2 * hidden, hidden, 1, rng)

    def forward(self, x, state):
        h, c, m = state
        c = remember(*self.from_xhc(x, h, c), c)
        m = remember(*self.from_xcm(x, c, m), tanh(self.from_m(m)))
        h = expose_signed(self.to_o(x, c, m), self.merge_cm((c, m)))
        return h, (h, c, m)


class NormedConv(Module):
    """A convolution with its own layer normalisation, as PredRNN++'s code has one for each input of a cell.

    (B,H,W,C) -> `parts` pieces (B,H,W,K). With layer normalisation, initial weights are uniform in +-0.001 (authors'
    code); without, they would be too small for a deep stack, so they are drawn as everywhere.
    """

    def __init__(self, channels, hidden, parts, kernel, rng, layer_norm):
        shape, self.parts = (kernel, kernel, channels, parts * hidden), parts
        self.weight = parameter(rng.uniform(-1e-3, 1e-3, shape)) if layer_norm else fan_in_uniform(rng, shape)
        self.bias = zeros(parts * hidden)
        self.norm = LayerNorm(parts * hidden) if layer_norm else None

    def forward(self, x):
        y = conv2d(x, self.weight, self.bias)
        return split(y if self.norm is None else self.norm(y), parts=self.parts)


class CausalLSTMAsCode(Module):
    """The Causal LSTM of the authors' code (github.com/Yunbo426/predrnn-pp), which is not quite the paper's: the gates
    of C do not see C_t-1, g' does not see M, and o sees H_t-1 as well.

        g,  i,  f = tanh, sigma, sigma (W_x * X_t + W_h * H_t-1)
        C_t       = f . C_t-1 + i . g
        i', f'    = sigma, sigma (W'_x * X_t + W_c * C_t + W_m * M_t^l-1)
        g'        = tanh (W'_xg * X_t + W_cg * C_t)
        M_t^l     = f' . tanh(W_mm * M_t^l-1) + i' . g'
        o         = tanh (W_xo * X_t + W_ho * H_t-1 + W_co * C_t + W_mo * M_t^l)
        H_t       = o . tanh(W_1x1 * [C_t, M_t^l])

    One convolution for each of the inputs X_t, H_t-1, M_t^l-1, C_t and M_t^l, with a bias and its own layer
    normalisation. `forget_bias` is added in both forget gates. Arguments are those of CausalLSTM.
    """

    def __init__(self, channels, hidden, memory, kernel, rng, forget_bias=1.0, layer_norm=False):
        self.from_x = NormedConv(channels, hidden, 7, kernel, rng, layer_norm)
        self.from_h = NormedConv(hidden, hidden, 4, kernel, rng, layer_norm)
        self.from_m = NormedConv(memory, hidden, 3, kernel, rng, layer_norm)
        self.from_new_c = NormedConv(hidden, hidden, 4, kernel, rng, layer_norm)
        self.from_new_m = NormedConv(hidden, hidden, 1, kernel, rng, layer_norm)
        self.merge_cm = Conv2d(2 * hidden, hidden, 1, rng)
        self.forget_bias = forget_bias

    def forward(self, x, state):
        h, c, m = state
        i_x, f_x, g_x, i_x_, f_x_, g_x_, o_x = self.from_x(x)
        i_h, f_h, g_h, o_h = self.from_h(h)
        i_m, f_m, m_m = self.from_m(m)
        c = remember(i_x + i_h, f_x + f_h + self.forget_bias, g_x + g_h, c)
        i_c, f_c, g_c, o_c = self.from_new_c(c)
        m = remember(i_x_ + i_c + i_m, f_x_ + f_c + f_m + self.forget_bias, g_x_ + g_c, tanh(m_m))
        o_m, = self.from_new_m(m)
        h = expose_signed(o_x + o_h + o_c + o_m, self.merge_cm((c, m)))
        return h, (h, c, m)


@fuse
def blend(p_x, p_z, s_x, s_z, z):
    """sigma(s) . tanh(p) + (1 - sigma(s)) . z, with p = p_x + p_z and s = s_x + s_z"""
    s = sigmoid(s_x + s_z)
    return s * tanh(p_x + p_z) + (1 - s) * z


class GradientHighway(Module):
    """PredRNN++'s highway: the gradient of Z goes far back in time, because on its way it passes no gate but 1 - s.

        p   = tanh (W_px * X_t + W_pz * Z_t-1)
        s   = sigma(W_sx * X_t + W_sz * Z_t-1)
        Z_t = s . p + (1 - s) . Z_t-1

    X_t, the hidden state of the layer below, and Z have the width `hidden`. X_t and Z_t-1 have a convolution each, with
    a bias and its own layer normalisation (authors' code).
    """

    def __init__(self, hidden, kernel, rng, layer_norm=False):
        self.from_x, self.from_z = (NormedConv(hidden, hidden, 2, kernel, rng, layer_norm) for _ in "xz")

    def forward(self, x, z):
        (p_x, s_x), (p_z, s_z) = self.from_x(x), self.from_z(z)
        return blend(p_x, p_z, s_x, s_z, z)
