"""EncoderForecaster: one stack of cells watches the given frames, another predicts from what the first remembers."""

import abc
from typing import NamedTuple

from tinypredrnn.models.predictor import Predictor


class Memory(NamedTuple):
    """The state of an EncoderForecaster, whose cells each have an (h, c)."""

    encoder: list  # from the bottom up; after the last given frame it stays as it is
    forecaster: list  # from the top down; empty as long as frames are watched
    watched: tuple  # the given frames so far, each (B,h,w,X)


class EncoderForecaster(Predictor):
    """Sequence to sequence (Srivastava et al. 2015; Shi et al. 2015): nothing is predicted before all given frames are
    known. A model sets two lists of cells that pass x and state (h, c) on as ConvLSTM does, and defines `read_out`:

        encoder      from the bottom up; each cell reads the output of the one below, the first the frame
        forecaster   from the top down; each cell starts from the state of the encoder's cell at its height and reads
                     the output of the one above. The top cell has no input: a forecast sees no frame, true or
                     predicted, so that scheduled sampling changes nothing after the given frames
        read_out(features) -> prediction    from the outputs of all the forecaster's cells, (B,h,w,K) each, top first

    Output t of `unroll` is the prediction of frame t + 1, as everywhere, from t = given - 1 on. Before that it is the
    frame just watched, as a place holder: no training loss counts it, and neither a forecast nor a score contains it.
    """

    forecasts_only = True

    def start(self, x):
        batch, _, h, w, _ = x.shape
        widths = [cell.hidden for cell in self.encoder]
        return Memory([(self.zeros(batch, h, w, k), self.zeros(batch, h, w, k)) for k in widths], [], ())

    def watch(self, x, state):
        _, encoder = ascend(self.encoder, x, state.encoder)
        return x, Memory(encoder, [], (*state.watched, x))

    def step(self, x, state):
        if not state.forecaster:  # x is the last given frame
            _, state = self.watch(x, state)
            x, state = None, state._replace(forecaster=state.encoder[::-1])
        features, forecaster = self.forecast(x, state.forecaster)
        return self.read_out(features), state._replace(forecaster=forecaster)

    def forecast(self, x, state):
        """One step of the forecaster: the outputs of its cells and their new states. x is the last frame, true or
        predicted, or None in the first step; here it is not used.
        """
        return ascend(self.forecaster, None, state)

    @abc.abstractmethod
    def read_out(self, features):
        """The outputs of all the forecaster's cells [(B,h,w,K), ...], top first -> prediction (B,h,w,X)"""


def ascend(cells, x, states):
    """A frame through a stack of cells, each of which reads the output of the one before: (outputs, new states)."""
    outputs, new = [], []
    for cell, own in zip(cells, states, strict=True):
        x, own = cell(x, own)
        outputs.append(x)
        new.append(own)
    return outputs, new
