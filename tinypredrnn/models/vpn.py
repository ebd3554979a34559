"""VPN's baseline (Kalchbrenner et al. 2017): residual multiplicative blocks before and after a ConvLSTM."""

import dataclasses

from tinypredrnn.autograd import fuse, sigmoid, split, tanh
from tinypredrnn.cells import ConvLSTM
from tinypredrnn.errors import ConfigError
from tinypredrnn.models.stack import Patched
from tinypredrnn.nn import Conv2d, Module
from tinypredrnn.options import Options, called, option


@dataclasses.dataclass(frozen=True)
class VPNOptions(Options):
    width: int = option(32, "channels c within a block; between blocks there are 2c", least=1)
    patch: int = option(4, "side of the patches whose pixels become channels (1: no patches)", least=1)
    encoder_blocks: int = option(4, "residual multiplicative blocks before the ConvLSTM", least=0)
    decoder_blocks: int = option(6, "the same after it", least=0)
    dilations: tuple = option((1,), "dilations of the encoder's blocks, repeated from the first as often as needed",
                              least=1)
    edge_kernel: int = option(3, "side of the first and of the last convolution, an odd number", least=1)


class VPN(Patched):
    """Table 1's "VPN baseline": residual multiplicative blocks, a ConvLSTM, and more such blocks.

    It is the Video Pixel Network with a decoder that predicts all pixels at once, independent of each other.

        features = blocks(W_in * x_t)                    encoder: keeps the resolution, may be dilated
        h_t, c_t = ConvLSTM(features, h_t-1, c_t-1)      3x3, no peepholes (2c channels)
        x_t+1    = sigma(W_out * blocks(h_t))            decoder: not dilated

    with the blocks below. All frames have 2c channels between them. Neither the layers of the ConvLSTM nor its forget
    bias are published: here it has one layer, and 1.

    The published size is `published`, 121 G multiply-adds for a frame of 64x64; its width, the 12 blocks of its decoder
    and the 1x1 convolutions at both ends are unconfirmed. The default is what PredRNN's authors probably compared with:
    a year later, in PredCNN (their code), the same blocks see patches of 4, have 32 channels, no dilation, and 3x3
    convolutions at both ends.

    The recipe is VPN's: cross-entropy of pixels as probabilities, true frames as inputs while it trains; RMSProp with
    rate 3e-4, batches of 64 and 300,000 steps are unconfirmed (and so are lower rates on plateaus, left out here). When
    it predicts, it is fed its own means. PredCNN's recipe is --optimiser adam --loss l2 --batch 32 --steps 100000
    --sampling linear.
    """

    paper = ("Kalchbrenner, van den Oord, Simonyan, Danihelka, Vinyals, Graves, Kavukcuoglu: Video Pixel Networks. "
             "ICML 2017")
    Options = VPNOptions
    recipe = dict(loss="bce", loss_over="future", optimiser="rmsprop", rate=3e-4, batch=64, steps=300_000,
                  sampling="teacher")
    published = dict(width=128, patch=1, encoder_blocks=8, decoder_blocks=12, dilations=(1, 2, 4, 8), edge_kernel=1)
    any_size, capturable = True, True

    def __init__(self, frame, options, rng):
        if options.edge_kernel % 2 == 0:
            raise ConfigError(f"vpn: the first and last convolution need a centre: {called('edge_kernel')} is odd, got "
                              f"{options.edge_kernel}")
        if not options.dilations:
            raise ConfigError(f"vpn: {called('dilations')} needs at least one number, got none")
        super().__init__(frame, options)
        c, dilations = options.width, options.dilations
        self.from_frame = Conv2d(self.inputs, 2 * c, options.edge_kernel, rng)
        self.encoder = [Block(c, rng, dilations[k % len(dilations)]) for k in range(options.encoder_blocks)]
        self.memory = ConvLSTM(2 * c, 2 * c, 3, None, rng)
        self.decoder = [Block(c, rng) for _ in range(options.decoder_blocks)]
        self.to_frame = Conv2d(2 * c, self.inputs, options.edge_kernel, rng)

    def start(self, x):
        batch, _, h, w, _ = x.shape
        return self.zeros(batch, h, w, self.memory.hidden), self.zeros(batch, h, w, self.memory.hidden)

    def step(self, x, state):
        features = self.from_frame(x)  # (B,h,w,2c)
        for block in self.encoder:
            features = block(features)
        features, state = self.memory(features, state)
        for block in self.decoder:
            features = block(features)
        return sigmoid(self.to_frame(features)), state


class Block(Module):
    """The residual multiplicative block (Section 4.1): x + W_2 * MU(MU(W_1 * x)) with 1x1 convolutions from 2c to c
    channels and back. (B,H,W,2c) -> the same
    """

    def __init__(self, width, rng, dilation=1):
        self.narrow = Conv2d(2 * width, width, 1, rng)
        self.units = [MultiplicativeUnit(width, rng, dilation) for _ in range(2)]
        self.widen = Conv2d(width, 2 * width, 1, rng)

    def forward(self, x):
        h = self.narrow(x)
        for unit in self.units:
            h = unit(h)
        return x + self.widen(h)


class MultiplicativeUnit(Module):
    """An LSTM step without memory (Section 4.1), (B,H,W,c) -> the same:

        g_k = sigma(W_k * h + b_k), k = 1, 2, 3          u = tanh(W_4 * h + b_4)
        MU(h) = g_1 . tanh(g_2 . h + g_3 . u)

    The four 3x3 convolutions are one with four times as many features.
    """

    def __init__(self, width, rng, dilation=1):
        self.gates = Conv2d(width, 4 * width, 3, rng, dilation=dilation)

    def forward(self, h):
        return multiply(*split(self.gates(h), parts=4), h)


@fuse
def multiply(g1, g2, g3, u, h):
    """sigma(g1) . tanh(sigma(g2) . h + sigma(g3) . tanh(u))"""
    return sigmoid(g1) * tanh(sigmoid(g2) * h + sigmoid(g3) * tanh(u))
