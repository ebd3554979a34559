"""DFN, the dynamic filter network (De Brabandere et al. 2016): a small filter for each pixel moves what was there."""

import dataclasses

from tinypredrnn.autograd import fuse, leaky_relu, local_filter, softmax, upsample
from tinypredrnn.errors import ConfigError
from tinypredrnn.models.predictor import Predictor
from tinypredrnn.nn import Conv2d, lecun_uniform
from tinypredrnn.nn.resolution import crop
from tinypredrnn.options import Options, called, option


@dataclasses.dataclass(frozen=True)
class DFNOptions(Options):
    """The options of a DFN. The defaults are those of the authors' code."""

    width: int = option(32, "features of the first layer, to which those of all others are in proportion", least=1)
    filter: int = option(9, "side of the filter of each pixel, an odd number: nothing moves further than half of it in "
                            "one step", least=1)


class DFN(Predictor):
    """The network computes a filter for each pixel of a frame, and the filtered frame is the prediction.

        U_t = encode(X_t)                                           (B,H/2,W/2,4 width)
        R_t = leaky(W_2 * leaky(W_1 * R_t-1 + b_1) + b_2) + U_t     (B,H/2,W/2,4 width)
        F_t = softmax(decode(R_t))                                  (B,H,W,9 9): 9x9 weights at each pixel, row by row
        X_t+1(y, x) = sum over i, j of F_t(y, x)(i, j) X_t(y + i - 4, x + j - 4)

    Each pixel of the prediction is thus a weighted mean of the 81 pixels around it, with zeros outside of the frame. So
    it stays in [0, 1], nothing moves by more than 4 pixels in a step, and no brightness can be made. A colour frame has
    the same filters for all of its colours. The convolutions are 3x3, the last two 1x1; each but the last is followed
    by a leaky rectifier.

    From the authors' code for Moving MNIST (github.com/dbbert/dfn): the layers, their initial weights (Lasagne's), and
    the padding by 1 on both sides where the resolution is halved. Their recipe: binary cross-entropy of the future
    frames; after the given frames always the network's own predictions; Adam with rate 1e-3, halved every 20 epochs of
    200 batches of 16; 100 epochs. They clip predicted probabilities at 1.2e-7, our `bce` at 1e-6.
    """

    paper = "De Brabandere, Jia, Tuytelaars, Van Gool: Dynamic Filter Networks. NIPS 2016"
    Options = DFNOptions
    recipe = dict(loss="bce", loss_over="future", sampling="off", rate_schedule="halving", halve_every=4_000, batch=16,
                  steps=20_000)
    any_size, kept = True, 40

    def __init__(self, frame, options, rng):
        super().__init__(frame, options)
        if options.filter % 2 == 0:
            raise ConfigError(f"dfn: {called('filter')} must be odd, so that a filter has a centre, got "
                              f"{options.filter}")
        w, self.side = options.width, options.filter

        def conv(below, width, kernel=3, **how):
            return Conv2d(below, width, kernel, rng, initial=lecun_uniform, **how)

        self.encode = [conv(self.frame[2], w), conv(w, w, stride=2, padding=1), conv(w, 2 * w), conv(2 * w, 2 * w),
                       conv(2 * w, 4 * w)]
        self.recur = [conv(4 * w, 4 * w), conv(4 * w, 4 * w)]
        self.decode = [conv(4 * w, 2 * w), conv(2 * w, 2 * w)]
        self.refine = [conv(2 * w, 2 * w), conv(2 * w, 2 * w), conv(2 * w, 4 * w, 1)]  # at full resolution
        self.to_filters = conv(4 * w, self.side ** 2, 1)

    def start(self, x):
        batch, _, height, width, _ = x.shape
        return self.zeros(batch, -(-height // 2), -(-width // 2), 4 * self.options.width)

    def step(self, frame, hidden):
        batch, height, width, _ = frame.shape
        hidden = through(self.recur, hidden) + through(self.encode, frame)
        features = crop(upsample(through(self.decode, hidden)), (height, width))  # (B,H,W,2 width)
        filters = softmax(self.to_filters(through(self.refine, features)))
        return local_filter(frame, filters.reshape(batch, height, width, self.side, self.side)), hidden


@fuse
def leaky(x):
    """x if it is positive, otherwise 0.01 x"""
    return leaky_relu(x)


def through(layers, x):
    """Layer after layer, each followed by a leaky rectifier."""
    for layer in layers:
        x = leaky(layer(x))
    return x
