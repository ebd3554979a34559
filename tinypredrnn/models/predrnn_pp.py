"""PredRNN++ (Wang et al. 2018): a stack of Causal LSTMs, with a gradient highway between its first two layers."""

import dataclasses

from tinypredrnn.cells import CausalLSTM, CausalLSTMAsCode, GradientHighway
from tinypredrnn.models.stack import PatchedStack, StackOptions
from tinypredrnn.options import option


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

    The cells and the highway are in cells.py. The equations are the paper's, as far as its text is known to us; with
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
