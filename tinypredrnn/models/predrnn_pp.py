"""PredRNN++ (Wang et al. 2018): a stack of Causal LSTMs, with a gradient highway between its first two layers."""

import dataclasses

from tinypredrnn.autograd import conv2d, fuse, sigmoid, split, tanh
from tinypredrnn.cells import Gates, remember
from tinypredrnn.models.stack import PatchedStack, StackOptions
from tinypredrnn.nn import Conv2d, LayerNorm, Module, fan_in_uniform, parameter, zeros
from tinypredrnn.options import option


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


@dataclasses.dataclass(frozen=True)
class PredRNNPPOptions(StackOptions):
    """The options of PredRNN++. The defaults are the authors' code's."""

    hidden: tuple = option((128, 64, 64, 64), "width of each layer, from the bottom up", least=1)
    layer_norm: bool = option(True, "normalise the output of each gate convolution")
    as_code: bool = option(False, "the Causal LSTM of the authors' code, whose gates are not quite the paper's")


class PredRNNPlusPlus(PatchedStack):
    """In each layer H and C go along time; M goes up the layers, then to the next step; Z along time above layer 1.

        H^1, C^1, M^1 = CausalLSTM(X_t, H_t-1^1, C_t-1^1, M_t-1^L)
        Z_t           = GradientHighway(H_t^1, Z_t-1)
        H^2, C^2, M^2 = CausalLSTM(Z_t, H_t-1^2, C_t-1^2, M_t^1)
        H^l, C^l, M^l = CausalLSTM(H_t^l-1, H_t-1^l, C_t-1^l, M_t^l-1)        for l = 3 ... L

    The equations are the paper's, as far as its text is known to us; with
    `as_code`, those of the authors' TensorFlow code (github.com/Yunbo426/predrnn-pp). From that code come the widths,
    the initial forget bias, the layer normalisation (in the paper's gates here, of all inputs of a gate together, as in
    the other networks), and the recipe: half the sum of squares over all outputs, which is l2 under Adam; scheduled
    sampling to 0 in 50,000 iterations; two updates for each batch, forwards and backwards in time.

    M has the width of the layer that wrote it, so that layers may have any widths; Z has that of layer 1. A network of
    one layer predicts from Z. Frames may have any size.
    """

    paper = ("Wang, Gao, Long, Wang, Yu: PredRNN++: Towards A Resolution of the Deep-in-Time Dilemma in Spatiotemporal "
             "Predictive Learning. ICML 2018")
    Options, any_size = PredRNNPPOptions, True
    recipe = dict(loss="l2", update="both_ways")

    def __init__(self, frame, options, rng):
        super().__init__(frame, options, rng)
        cell = CausalLSTMAsCode if options.as_code else CausalLSTM
        memories = self.hidden[-1:] + self.hidden[:-1]  # the width of M below each layer
        self.cells = [cell(below, width, memory, options.kernel, rng, options.forget_bias, options.layer_norm)
                      for (below, width), memory in zip(self.layers(), memories)]
        self.highway = GradientHighway(self.hidden[0], options.kernel, rng, options.layer_norm)

    def start(self, x):
        batch, _, h, w, _ = x.shape
        layers = [(self.zeros(batch, h, w, k), self.zeros(batch, h, w, k)) for k in self.hidden]
        return layers, self.zeros(batch, h, w, self.hidden[-1]), self.zeros(batch, h, w, self.hidden[0])

    def step_cells(self, x, state):
        layers, m, z = state
        new = []
        for cell, (h, c) in zip(self.cells, layers):
            x, (h, c, m) = cell(x, (h, c, m))
            new.append((h, c))
            if len(new) == 1:
                x = z = self.highway(x, z)
        return x, (new, m, z)
