"""MCnet, the motion-content network (Villegas et al. 2017): how things move from the differences of frames, what they
look like from the last frame alone."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from tinypredrnn.autograd import fuse, insert_zeros, leaky_relu, normalise, pad, relu, tanh
from tinypredrnn.cells import ConvLSTM
from tinypredrnn.models.predictor import Predictor
from tinypredrnn.nn import Conv2d, Linear, Module, glorot_uniform, parameter, rectify, zeros
from tinypredrnn.nn.resolution import crop, halve
from tinypredrnn.options import Options, option


@dataclasses.dataclass(frozen=True)
class MCnetOptions(Options):
    """The options of an MCnet. The defaults are those of the authors' code."""

    width: int = option(64, "features of the first layers, to which those of all others are in proportion", least=1)
    deception: float = option(0.02, "weight of the discriminator's verdict in the loss, with --update adversarial "
                                    "(authors' scripts: 0.02 for KTH, 0.001 for Sports-1M)", least=0)


class Memory(NamedTuple):
    """What an MCnet remembers after a frame."""

    frame: Any  # that frame (B,H,W,C); before the first, None
    motion: tuple  # (h, c) of the ConvLSTM, (B,H/8,W/8,4w) each, at first 0


class MCnet(Predictor):
    """Motion and content have an encoder each, whose features are combined and decoded to the next frame (Section 3).

        motion     D_t, [M_1, M_2, M_3] = enc_dyn(x_t - x_t-1)         convolutions of 5x5, 5x5 and 7x7
                   d_t = ConvLSTM(D_t, d_t-1)                           3x3, Equation 2 without peepholes
        content    s_t, [S_1, S_2, S_3] = enc_cont(x_t)                 2, 2 and 3 convolutions of 3x3
        both       f_t = comb([d_t, s_t])                               3 convolutions of 3x3
        residual   r_l = res_l([M_l, S_l]), l = 1, 2, 3                 2 convolutions of 3x3
        frame      x_t+1 = dec(f_t, r_3, r_2, r_1)                      3, 2 and 2 convolutions of 3x3

    An encoder halves the resolution three times; M_l and S_l are its maps before each of these. The decoder doubles it
    three times, by zeros, and each time adds r_l. A ReLU follows each convolution and each sum, except the last
    convolution of res, and of dec, where it is tanh. With `width` w, scale l has (w, 2w, 4w) features.

    The given frames before the last only move the ConvLSTM: nothing is predicted from them. Afterwards each prediction
    is the next frame, in training as well.

    From the authors' code (github.com/rubenvillegas/iclr2017mcnet): all of this, and Glorot's initial weights except
    for gates. There frames are in [-1, 1], and their differences divided by 2: for frames in [0, 1] as here, content is
    2 x - 1, motion the plain difference, and a prediction (tanh + 1) / 2. The motion of colours is that of their mean
    (authors: of gray; their KTH frames are gray). The decoder's transposed convolutions of stride 1 are convolutions
    with mirrored kernels, so we call them convolutions. If only one frame is given, the first difference is 0.

    The loss is L_p + L_gdl: mean squares, on the scale of [-1, 1], and the gradient-difference loss. The authors'
    update, `adversarial`, adds 0.02 L_GAN, for which a discriminator judges the whole clip. Their recipe for KTH: Adam
    with rate 1e-4 and beta1 of 1/2, 100,000 batches of 8 sequences of 10 + 10 frames.
    """

    paper = ("Villegas, Yang, Hong, Lin, Lee: Decomposing Motion and Content for Natural Video Sequence Prediction. "
             "ICLR 2017")
    Options = MCnetOptions
    recipe = dict(loss="l2", loss_over="future", sampling="off", update="adversarial", optimiser="adam_half", rate=1e-4,
                  steps=100_000)
    any_size, forecasts_only, kept = True, True, 170

    def __init__(self, frame, options, rng):
        super().__init__(frame, options)
        w, colours = options.width, self.frame[2]

        def convolutions(*widths, kernel=3, last=rectify):
            return Convolutions(widths, kernel, rng, last)

        self.motion = [convolutions(1, w, kernel=5), convolutions(w, 2 * w, kernel=5),
                       convolutions(2 * w, 4 * w, kernel=7)]
        self.lstm = ConvLSTM(4 * w, 4 * w, 3, None, rng)
        self.content = [convolutions(colours, w, w), convolutions(w, 2 * w, 2 * w),
                        convolutions(2 * w, 4 * w, 4 * w, 4 * w)]
        self.combine = convolutions(8 * w, 4 * w, 2 * w, 4 * w)
        self.residual = [convolutions(2 * k, k, k, last=None) for k in (w, 2 * w, 4 * w)]
        self.decode = [convolutions(w, w, colours, last=pixels), convolutions(2 * w, 2 * w, w),
                       convolutions(4 * w, 4 * w, 4 * w, 2 * w)]  # as all lists here, from the highest resolution down

    def start(self, x):
        batch, _, height, width, _ = x.shape
        grid = batch, -(-height // 8), -(-width // 8), self.lstm.hidden
        return Memory(None, (self.zeros(*grid), self.zeros(*grid)))

    def watch(self, x, state):
        if state.frame is not None:
            _, state = self.move(x, state)
        return x, state._replace(frame=x)

    def step(self, x, state):
        motion_maps, state = self.move(x, state)
        content, content_maps = encode(self.content, 2 * x - 1)
        y = self.combine((state.motion[0], content))  # (B,H/8,W/8,4w)
        for k in (2, 1, 0):  # (B,H/4,W/4,2w), (B,H/2,W/2,w), (B,H,W,C)
            skip = self.residual[k]((motion_maps[k], content_maps[k]))
            y = self.decode[k](rectified_sum(crop(insert_zeros(y), skip.shape[1:3]), skip))
        return y, state

    def move(self, x, state):
        """The frame x (B,H,W,C) after the one in the state -> (the maps of what has moved, the new state)"""
        difference = x - (x if state.frame is None else state.frame)
        motion, maps = encode(self.motion, difference.mean(axis=-1, keepdims=True))
        _, motion = self.lstm(motion, state.motion)
        return maps, Memory(x, motion)

    def loss(self, pixel_loss, predictions, frames, summaries):
        return 4 * pixel_loss(predictions, frames) + gradient_difference(predictions, frames)

    def adversary(self, length, rng):
        return Discriminator(self.frame, length, self.options.width, rng), self.options.deception


class Convolutions(Module):
    """Convolutions of one kernel size, each followed by a ReLU, except that `last` follows the last:
    (B,H,W,widths[0]) -> (B,H,W,widths[-1])
    """

    def __init__(self, widths, kernel, rng, last=rectify):
        self.layers = [Conv2d(a, b, kernel, rng, initial=glorot_uniform) for a, b in zip(widths, widths[1:])]
        self.last = last

    def forward(self, x):
        *first, last = self.layers
        for layer in first:
            x = rectify(layer(x))
        return last(x) if self.last is None else self.last(last(x))


def encode(stages, x):
    """(B,H,W,C) -> features (B,H/8,W/8,4w), and the maps before each halving (B,H,W,w), (B,H/2,W/2,2w), (B,H/4,W/4,4w)
    """
    maps = []
    for stage in stages:
        maps.append(stage(x))
        x = halve(maps[-1])
    return x, maps


@fuse
def rectified_sum(x, y):
    """max(x + y, 0)"""
    return relu(x + y)


@fuse
def pixels(x):
    """tanh, moved from [-1, 1] to [0, 1]"""
    return 0.5 * tanh(x) + 0.5


def gradient_difference(prediction, truth):
    """L_gdl (Mathieu et al. 2016): how much the steepness between neighbouring pixels differs, the mean over all pixels
    of | |dx p| - |dx x| | + | |dy p| - |dy x| |. (B,T,H,W,C) twice -> a scalar

    dx and dy are differences to the pixel on the right and to the one below, which outside of the frame is 0, as in the
    authors' code.
    """
    def right(frames):
        return pad(frames, widths=[(0, 0), (0, 0), (0, 0), (0, 1), (0, 0)])[:, :, :, 1:]

    def below(frames):
        return pad(frames, widths=[(0, 0), (0, 0), (0, 1), (0, 0), (0, 0)])[:, :, 1:]

    return sum(steepness(prediction, near(prediction), truth, near(truth)).mean() for near in (right, below))


@fuse
def steepness(p, p_near, x, x_near):
    """| |p_near - p| - |x_near - x| |"""
    return abs(abs(p_near - p) - abs(x_near - x))


class Discriminator(Module):
    """Whether a clip is true or its later frames are predictions: (B,length,H,W,C) -> logits (B,1), above 0 for true.

    The frames of the clip lie side by side as channels. Four convolutions of 5x5 with stride 2 to (w, 2w, 4w, 8w)
    channels, each but the first followed by a batch normalisation, all by a leaky ReLU; and one unit that is connected
    to all that is left.
    """

    def __init__(self, frame, length, width, rng):
        height, breadth, colours = frame
        widths = length * colours, width, 2 * width, 4 * width, 8 * width
        self.layers = [Conv2d(a, b, 5, rng, stride=2, initial=glorot_uniform) for a, b in zip(widths, widths[1:])]
        self.norms = [Norm(k) for k in widths[2:]]
        self.to_verdict = Linear(-(-height // 16) * -(-breadth // 16) * widths[-1], 1, rng, initial=small_normal)

    def forward(self, clips):
        batch, length, height, width, colours = clips.shape
        x = (2 * clips - 1).transpose(0, 2, 3, 1, 4).reshape(batch, height, width, length * colours)
        for layer, norm in zip(self.layers, (lambda x: x, *self.norms)):
            x = leaky(norm(layer(x)))
        return self.to_verdict(x.reshape(batch, -1))


class Norm(Module):
    """Normalise each channel over batch, height and width, then scale and shift it; without running averages, since a
    discriminator is only used in training. (B,H,W,C) -> the same
    """

    def __init__(self, channels):
        self.gain, self.bias = parameter(np.ones(channels)), zeros(channels)

    def forward(self, x):
        return normalise(x, self.gain, self.bias, axis=(0, 1, 2), eps=1e-3)


@fuse
def leaky(x):
    """x if it is positive, otherwise 0.2 x"""
    return leaky_relu(x, slope=0.2)


def small_normal(rng, shape):
    """Weights from a normal distribution with standard deviation 0.02."""
    return parameter(rng.normal(0, 0.02, shape))
