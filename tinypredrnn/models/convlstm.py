"""The ConvLSTM networks (Shi et al. 2015): a stack that predicts frame after frame (Section 2.2 and Figure 1, right, of
PredRNN's paper), in which each layer has its own memory, and Shi's own encoder and forecaster."""

import dataclasses

from tinypredrnn.autograd import sigmoid
from tinypredrnn.cells import ConvLSTM
from tinypredrnn.errors import ConfigError
from tinypredrnn.models.encoder_forecaster import EncoderForecaster
from tinypredrnn.models.stack import Patched, PatchedStack, StackOptions
from tinypredrnn.nn import Conv2d
from tinypredrnn.options import option

PAPER = ("Shi, Chen, Wang, Yeung, Wong, Woo: Convolutional LSTM Network: A Machine Learning Approach for Precipitation "
         "Nowcasting. NIPS 2015")


class ConvLSTMNetwork(PatchedStack):
    """Layer l reads H_t of layer l-1 (layer 1: the frame) and passes its own H and C on to the next time step.

    The frames must have the size that it was built for, because of its peepholes.
    """

    paper = PAPER

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


@dataclasses.dataclass(frozen=True)
class ForecasterOptions(StackOptions):
    """The options of Shi's network. The default widths are those of his best one."""

    hidden: tuple = option((128, 64, 64), "width of each layer of the encoder, from the bottom up", least=1)


class ConvLSTMForecaster(EncoderForecaster, Patched):
    """Shi's network: a stack of ConvLSTMs encodes the given frames, a second one forecasts the others.

    The forecaster is the encoder's mirror image. Its top cell has no input, each other cell reads H of the one above,
    and all start from the state of the encoder's cell of the same width. A prediction is sigma of a 1x1 convolution
    over the H of all its layers. The peepholes have one weight for each channel, so that frames may have any size: this
    and the rest is inferred from the paper's numbers of parameters, which it meets exactly, for layers of 256, of 128
    and 128, and of 128, 64 and 64. Frames are cut into patches of 4x4, kernels are 5x5, as in the paper.

    The recipe is Shi's: cross-entropy of pixels as probabilities, RMSProp with rate 1e-3 and decay 0.9. The forget bias
    of 1, the sigma and the initial weights are this project's.
    """

    paper, Options = PAPER, ForecasterOptions
    recipe = dict(loss="bce", loss_over="future", optimiser="rmsprop", sampling="off")
    any_size = capturable = True

    def __init__(self, frame, options, rng):
        super().__init__(frame, options)
        if not options.hidden:
            raise ConfigError("model: hidden needs the width of at least one layer, got none")

        def cells(inputs, widths):
            return [ConvLSTM(below, width, options.kernel, (1, 1), rng, options.forget_bias, options.layer_norm)
                    for below, width in zip([inputs, *widths], widths)]

        self.encoder, self.forecaster = cells(self.inputs, options.hidden), cells(0, options.hidden[::-1])
        self.to_frame = Conv2d(sum(options.hidden), self.inputs, 1, rng)

    def read_out(self, features):
        return sigmoid(self.to_frame(tuple(features)))
