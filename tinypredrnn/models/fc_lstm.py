"""FC-LSTM (Srivastava et al. 2015): frames as vectors; an encoder reads the past, a forecaster writes the future."""

import dataclasses
import math

from tinypredrnn.autograd import sigmoid, stack
from tinypredrnn.cells import ConvLSTM
from tinypredrnn.models.encoder_forecaster import EncoderForecaster, ascend
from tinypredrnn.nn import Conv2d
from tinypredrnn.options import Options, option


@dataclasses.dataclass(frozen=True)
class FCLSTMOptions(Options):
    width: int = option(2048, "units of each LSTM", least=1)
    composite: bool = option(False, "Srivastava's composite model in place of Shi's two layers")
    forget_bias: float = option(1.0, "initial bias of all forget gates")


class FCLSTM(EncoderForecaster):
    """Frames as vectors, without any idea of neighbourhood: FC-LSTM-2048-2048, the row "FC-LSTM" of Table 1.

    A frame of P pixels is a vector, and each layer is an LSTM with diagonal peepholes:

        i = sigma(W_xi x_t + W_hi h_t-1 + w_ci . c_t-1 + b_i)      g = tanh(W_xg x_t + W_hg h_t-1 + b_g)
        f = sigma(W_xf x_t + W_hf h_t-1 + w_cf . c_t-1 + b_f)      c_t = f . c_t-1 + i . g
        o = sigma(W_xo x_t + W_ho h_t-1 + w_co . c_t + b_o)        h_t = o . tanh(c_t)

    This is Equation 2 on a grid of one pixel with P channels, so the cell is ConvLSTM with kernel 1. The encoder has
    two layers, P -> width -> width. The forecaster has two as well: the upper starts from the state of the encoder's
    upper layer and has no input, the lower starts from that of the lower layer and reads the upper. A prediction is
    sigma(W h + b) with h of the lower. This structure is inferred from the published number of parameters, which it
    meets exactly.

    composite    Srivastava's network (authors' code), with one layer in each part: beside the forecaster, a second
                 decoder reconstructs the given frames from the same state, the last one first, so that the encoder
                 must not forget them; the losses of both are added. Both decoders read frames: the reconstructor the
                 true one after that which it draws, the forecaster the true one before, or its own prediction, as
                 scheduled sampling says. In their first step they read nothing, which is the same as a black frame.

    The recipe is Shi's: cross-entropy of pixels as probabilities, RMSProp with rate 1e-3 and decay 0.9; batches of 16
    are unconfirmed. He trained on 10,000 fixed sequences and stopped early. Srivastava's (authors' code) is --optimiser
    clamped --rate 328 --batch 80 --sampling teacher. The forget bias of 1 (the authors' older code has 5, the later 0)
    and the initial weights are this project's.
    """

    paper = ("Srivastava, Mansimov, Salakhutdinov: Unsupervised Learning of Video Representations using LSTMs. ICML "
             "2015; two layers as in Shi et al., NIPS 2015")
    Options = FCLSTMOptions
    recipe = dict(loss="bce", loss_over="future", optimiser="rmsprop", rate=1e-3, batch=16, sampling="off")
    capturable = True

    def __init__(self, frame, options, rng):
        super().__init__(frame, options)
        pixels, width = math.prod(frame), options.width

        def lstm(inputs):
            return ConvLSTM(inputs, width, 1, (1, 1), rng, options.forget_bias)

        self.composite = options.composite
        if self.composite:
            self.encoder, self.forecaster, self.reconstructor = [lstm(pixels)], [lstm(pixels)], [lstm(pixels)]
            self.to_given = Conv2d(width, pixels, 1, rng)
        else:
            self.encoder, self.forecaster = [lstm(pixels), lstm(width)], [lstm(0), lstm(width)]
        self.to_frame = Conv2d(width, pixels, 1, rng)

    def enter(self, frames):
        return frames.reshape(*frames.shape[:2], 1, 1, -1)  # (B,T,1,1,P)

    def leave(self, predictions, size):
        return predictions.reshape(*predictions.shape[:2], *self.frame)

    def forecast(self, x, state):
        if not self.composite:
            return super().forecast(x, state)
        return ascend(self.forecaster, self.black(state) if x is None else x, state)

    def read_out(self, features):
        return sigmoid(self.to_frame(features[-1]))

    def summary(self, state, last):
        return state if self.composite and last else None

    def loss(self, pixel_loss, predictions, frames, summaries):
        loss = pixel_loss(predictions, frames)
        if self.composite:
            memory = summaries[-1]
            loss = loss + pixel_loss(self.reconstruct(memory), stack(*memory.watched, axis=1))
        return loss

    def reconstruct(self, memory):
        """The given frames, drawn from the encoder's last state, from last to first: (B,given,1,1,P) in their order"""
        x, state, drawn = self.black(memory.encoder), memory.encoder, []
        for true in reversed(memory.watched):
            (h,), state = ascend(self.reconstructor, x, state)
            drawn.append(sigmoid(self.to_given(h)))
            x = true
        return stack(*reversed(drawn), axis=1)

    def black(self, state):
        """What the first step of a decoder reads, (B,1,1,P)"""
        (h, _), = state
        return self.zeros(len(h), 1, 1, math.prod(self.frame))
