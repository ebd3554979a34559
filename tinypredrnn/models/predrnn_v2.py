"""PredRNN-V2 (Wang et al. 2022): PredRNN with a loss that makes its two memories learn different things."""

import dataclasses

from tinypredrnn.autograd import conv2d, fuse, maximum, sqrt
from tinypredrnn.errors import ConfigError
from tinypredrnn.models.predrnn import PredRNN
from tinypredrnn.models.stack import StackOptions
from tinypredrnn.nn import fan_in_uniform
from tinypredrnn.options import called, option


@dataclasses.dataclass(frozen=True)
class PredRNNV2Options(StackOptions):
    """The options of PredRNN-V2."""

    decoupling: float = option(0.1, "weight of the decoupling loss (authors' scripts: 0.1 for Moving MNIST, 0.01 for "
                                    "KTH)", least=0)


@fuse
def cosine(dot, a, b):
    """|a . b| / (|a| |b|) from the products a . b, a . a and b . b; 0 if a or b is 0"""
    return abs(dot) / (sqrt(maximum(a, 1e-24)) * sqrt(maximum(b, 1e-24)))


class PredRNNV2(PredRNN):
    """The network of predrnn, with a loss that decouples what its memories C and M learn.

    In each layer and at each step, what is written to them is

        dC = i . g                     dM = i' . g'                                     (B,H,W,K)

    One 1x1 convolution A, the adapter, shared by all layers and steps, projects both. For each sequence and channel,
    the maps of the two are compared as vectors over space by the absolute value of their cosine; 0 is the best:

        loss = pixel loss + decoupling . mean over t, l, B, K of  |<A dC, A dM>| / (|A dC| |A dM|)

    The paper has a sum over t and l; the authors' code (github.com/thuml/predrnn-pytorch) the mean, for which its
    weights 0.1 and 0.01 are meant. Like the authors' network, ours has no biases to train: those of the forget gates
    stay at 1, the others at 0, except those of a layer normalisation. Because of the adapter, all layers need one
    width.

    The recipe is the authors' for Moving MNIST: reverse scheduled sampling, mean squares over all outputs, a rate of
    1e-4, two updates for each batch, forwards and backwards in time. For KTH they have decoupling 0.01, batch 4,
    sampling_from 0.1 and sampling_alpha 0.04.
    """

    paper = ("Wang, Wu, Zhang, Gao, Wang, Yu, Long: PredRNN: A Recurrent Neural Network for Spatiotemporal Predictive "
             "Learning. TPAMI 2022")
    Options = PredRNNV2Options
    recipe = dict(loss="l2", rate=1e-4, sampling="reverse", update="both_ways")

    def __init__(self, frame, options, rng):
        if len(set(options.hidden)) > 1:
            raise ConfigError("predrnn_v2: one adapter compares the memories of all layers, so they need equal widths, "
                              f"got {called('hidden')}={options.hidden}")
        super().__init__(frame, options, rng)
        self.adapter = fan_in_uniform(rng, (1, 1, self.hidden[0], self.hidden[0]))
        for name, t in self.named_tensors():
            t.requires_grad = options.layer_norm or not name.endswith("bias")

    def start(self, x):
        return super().start(x), []

    def step_cells(self, x, state):
        increments = []  # (dC, dM) of each layer
        x, state = super().step_cells(x, state[0], increments)
        return x, (state, increments)

    def summary(self, state, last):
        """The similarity of what is written in each layer: numbers, so that dC and dM need not be kept."""
        _, increments = state
        return [self.similarity(*pair) for pair in increments]

    def loss(self, pixel_loss, predictions, frames, summaries):
        similarities = [similarity for summary in summaries for similarity in summary]
        return pixel_loss(predictions, frames) + self.options.decoupling * sum(similarities) / len(similarities)

    def similarity(self, dc, dm):
        """The mean absolute cosine of the projected dC and dM (B,H,W,K), as vectors over space."""
        a, b = conv2d(dc, self.adapter), conv2d(dm, self.adapter)
        return cosine(*((p * q).sum(axis=(1, 2)) for p, q in ((a, b), (a, a), (b, b)))).mean()
