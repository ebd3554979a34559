"""PredRNN (Section 3): first with the zigzag memory alone (Figure 1, left; Equation 3), then with ST-LSTMs (Figure 2; Equation 4)."""

from tinypredrnn.cells import STLSTM, ZigzagConvLSTM
from tinypredrnn.errors import ConfigError
from tinypredrnn.models.predictor import Predictor, in_patches


class PredRNNM(Predictor):
    """Table 1's "PredRNN with spatiotemporal memory M": one pair (H, M) climbs the layers, then goes on to the next time step."""

    def __init__(self, size, channels, hidden, kernel, patch, rng, forget_bias=1.0, layer_norm=False):
        if len(set(hidden)) > 1:
            raise ConfigError(f"predrnn_m: one memory goes through all layers, so they need equal widths, got hidden={tuple(hidden)}")
        super().__init__(channels, patch, hidden[-1], rng, size)
        self.cells = [ZigzagConvLSTM(patch * patch * channels if layer == 0 else 0, width, kernel, in_patches(size, patch), rng,
                                     forget_bias, layer_norm) for layer, width in enumerate(hidden)]
        self.hidden = hidden

    def start(self, batch, height, width):
        return self.zeros(batch, height, width, self.hidden[0]), self.zeros(batch, height, width, self.hidden[0])

    def step(self, x, state):
        for cell in self.cells:
            features, state = cell(x, state)
            x = None  # only layer 1 sees the frame
        return features, state


class PredRNN(Predictor):
    """Table 1's "PredRNN + ST-LSTM": in each layer H and C go along time; M climbs the layers, then goes on to the next time step.

    H and C may have another width in each layer; M has the width of layer 1. Frames of any size, in training and after.
    """

    def __init__(self, size, channels, hidden, kernel, patch, rng, forget_bias=1.0, layer_norm=False):
        in_patches(size, patch)
        super().__init__(channels, patch, hidden[-1], rng)
        widths = [patch * patch * channels, *hidden]
        self.cells = [STLSTM(below, width, hidden[0], kernel, rng, forget_bias, layer_norm) for below, width in zip(widths, hidden)]
        self.hidden = hidden

    def start(self, batch, height, width):
        layers = [(self.zeros(batch, height, width, k), self.zeros(batch, height, width, k)) for k in self.hidden]
        return layers, self.zeros(batch, height, width, self.hidden[0])

    def step(self, x, state):
        layers, m = state
        new = []
        for cell, (h, c) in zip(self.cells, layers):
            x, (h, c, m) = cell(x, (h, c, m))
            new.append((h, c))
        return x, (new, m)
