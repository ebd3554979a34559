"""PredRNN (Section 3): with the memory M alone (Figure 1, left; Equation 3) or with ST-LSTMs (Figure 2, Equation 4)."""

from tinypredrnn.cells import STLSTM, ZigzagConvLSTM
from tinypredrnn.errors import ConfigError
from tinypredrnn.models.stack import PatchedStack
from tinypredrnn.options import called

PAPER = ("Wang, Long, Wang, Gao, Yu: PredRNN: Recurrent Neural Networks for Predictive Learning using Spatiotemporal "
         "LSTMs. NIPS 2017")


class PredRNNM(PatchedStack):
    """Table 1's "PredRNN with spatiotemporal memory M": one pair (H, M) goes up the layers, then to the next step.

    The frames must have the size that it was built for, because of its peepholes.
    """

    paper = PAPER

    def __init__(self, frame, options, rng):
        if len(set(options.hidden)) > 1:
            raise ConfigError(f"predrnn_m: one memory goes through all layers, so they need equal widths, got "
                              f"{called('hidden')}={options.hidden}")
        super().__init__(frame, options, rng)
        self.cells = [ZigzagConvLSTM(self.inputs if layer == 0 else 0, width, options.kernel, self.grid, rng,
                                     options.forget_bias, options.layer_norm)
                      for layer, width in enumerate(self.hidden)]

    def start(self, x):
        batch, _, h, w, _ = x.shape
        return self.zeros(batch, h, w, self.hidden[0]), self.zeros(batch, h, w, self.hidden[0])

    def step_cells(self, x, state):
        for cell in self.cells:
            features, state = cell(x, state)
            x = None  # only layer 1 sees the frame
        return features, state


class PredRNN(PatchedStack):
    """Table 1's "PredRNN + ST-LSTM": in each layer H and C go along time; M goes up the layers, then to the next step.

    Each layer may have its own width of H and C; M has the width of layer 1. Frames may have any size.
    """

    paper, any_size = PAPER, True

    def __init__(self, frame, options, rng):
        super().__init__(frame, options, rng)
        self.cells = [STLSTM(below, width, self.hidden[0], options.kernel, rng, options.forget_bias, options.layer_norm)
                      for below, width in self.layers()]

    def start(self, x):
        batch, _, h, w, _ = x.shape
        layers = [(self.zeros(batch, h, w, k), self.zeros(batch, h, w, k)) for k in self.hidden]
        return layers, self.zeros(batch, h, w, self.hidden[0])

    def step_cells(self, x, state, increments=None):
        layers, m = state
        new = []
        for cell, (h, c) in zip(self.cells, layers):
            x, (h, c, m) = cell(x, (h, c, m), increments=increments)
            new.append((h, c))
        return x, (new, m)
