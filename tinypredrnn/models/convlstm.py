"""The ConvLSTM network (Shi et al. 2015; Section 2.2 and Figure 1, right): each layer has its own memory."""

from tinypredrnn.cells import ConvLSTM
from tinypredrnn.models.stack import PatchedStack


class ConvLSTMNetwork(PatchedStack):
    """Layer l reads H_t of layer l-1 (layer 1: the frame) and passes its own H and C on to the next time step.

    The frames must have the size that it was built for, because of its peepholes.
    """

    paper = ("Shi, Chen, Wang, Yeung, Wong, Woo: Convolutional LSTM Network: A Machine Learning Approach for "
             "Precipitation Nowcasting. NIPS 2015")

    def __init__(self, frame, options, rng):
        super().__init__(frame, options, rng)
        self.cells = [ConvLSTM(below, width, options.kernel, self.grid, rng, options.forget_bias, options.layer_norm)
                      for below, width in self.layers()]

    def start(self, x):
        batch, _, h, w, _ = x.shape
        return [(self.zeros(batch, h, w, k), self.zeros(batch, h, w, k)) for k in self.hidden]

    def step_cells(self, x, state):
        new = []
        for cell, own in zip(self.cells, state):
            x, own = cell(x, own)
            new.append(own)
        return x, new
