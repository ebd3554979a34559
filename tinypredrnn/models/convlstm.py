"""The ConvLSTM network (Shi et al. 2015; Section 2.2 and Figure 1, right): layers with memories of their own."""

from tinypredrnn.cells import ConvLSTM
from tinypredrnn.models.predictor import Predictor, in_patches


class ConvLSTMNetwork(Predictor):
    """Layer l sees H_t of layer l-1 (layer 1: the frame); its own H and C go along time. Frames of one size only (peepholes)."""

    def __init__(self, size, channels, hidden, kernel, patch, rng, forget_bias=1.0, layer_norm=False):
        super().__init__(channels, patch, hidden[-1], rng, size)
        widths = [patch * patch * channels, *hidden]
        self.cells = [ConvLSTM(below, width, kernel, in_patches(size, patch), rng, forget_bias, layer_norm)
                      for below, width in zip(widths, hidden)]
        self.hidden = hidden

    def start(self, batch, height, width):
        return [(self.zeros(batch, height, width, k), self.zeros(batch, height, width, k)) for k in self.hidden]

    def step(self, x, state):
        new = []
        for cell, own in zip(self.cells, state):
            x, own = cell(x, own)
            new.append(own)
        return x, new
