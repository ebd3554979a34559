"""CDNA, convolutional dynamic neural advection (Finn et al. 2016): a few motions of the frame, and masks to choose."""

import dataclasses

from tinypredrnn.autograd import concat, op, relu, sigmoid, softmax, windows
from tinypredrnn.autograd.op import NEW
from tinypredrnn.backend import array_module
from tinypredrnn.cells import ConvLSTM
from tinypredrnn.models.predictor import Predictor
from tinypredrnn.nn import Conv2d, ConvTranspose2d, LayerNorm, Linear, Module, glorot_uniform, rectify
from tinypredrnn.options import Options, option

KERNELS, SIDE = 10, 5
LEAST = 1e-12  # of a kernel's weights, before they are divided by their sum


@dataclasses.dataclass(frozen=True)
class CDNAOptions(Options):
    """The options of a CDNA. The width is that of the authors' code."""

    width: int = option(32, "features of the first layer, to which those of all others are in proportion", least=1)
    literal: bool = option(False, "two more ReLUs, as in the authors' code: no pixel of the scratch image is below 1/2")


class CDNA(Predictor):
    """Each pixel of the prediction is a mean of the frame, of the frame moved in nine ways, and of a new image.

        X_t+1 = M_0 . X_t + M_1 . S_t + sum over k of M_k+1 . (K_k * X_t)     k = 1 ... 9

    The motions are kernels K_k of 5x5 weights that are not negative and sum to 1. Each sequence has its own, which move
    all colours alike. S_t, the scratch image, serves what was hidden before; it is a sigmoid. The masks M_0 ... M_10
    are a softmax over 11 channels. So the prediction stays in [0, 1].

    K, S and M come from seven ConvLSTMs (Equation 2 without peepholes): `step` goes down to an eighth of the
    resolution, where the kernels are read, and up again to the masks, with two skips. What a ConvLSTM passes on to the
    next layer is normalised, its own H is not. These normalisations are in the code, for stability, but not in the
    paper.

    From the authors' code (tensorflow/models, research/video_prediction, without the robot's states and actions): the
    layers, and Glorot's initial weights except for gates. Two of its oversights change what the network can do:

        - ten kernels are computed, and the tenth is never used: here as well, it is among the published parameters
        - TensorFlow's layers have a ReLU unless told otherwise, so the scratch image is sigmoid(ReLU(...)), at least
          1/2 and never black, and the masks are softmax(ReLU(...)): here only with `literal`

    The normalisations' eps is 1e-5 and not the code's 1e-12, with which what little there is in an almost black frame
    would be amplified up to a million times. The authors' recipe: mean squared error of the future frames; after the
    given frames, some sequences of a batch see the true frame in place of the own prediction, ever fewer of them; Adam
    with rate 1e-3, 100,000 batches of 32.
    """

    paper = ("Finn, Goodfellow, Levine: Unsupervised Learning for Physical Interaction through Video Prediction. "
             "NIPS 2016")
    Options = CDNAOptions
    recipe = dict(loss="l2", loss_over="future", sampling="sigmoid", batch=32, steps=100_000)
    kept = 16

    def __init__(self, frame, options, rng):
        super().__init__(frame, options)
        w, (height, width, colours), how = options.width, self.frame, dict(rng=rng, initial=glorot_uniform)
        self.enc0, self.norm0 = Conv2d(colours, w, 5, stride=2, bias=False, **how), LayerNorm(w)
        self.enc1 = Conv2d(w, w, 3, stride=2, **how)
        self.enc2 = Conv2d(2 * w, 2 * w, 3, stride=2, **how)
        self.enc3 = Conv2d(2 * w, 2 * w, 1, **how)
        self.enc4 = ConvTranspose2d(4 * w, 4 * w, 3, stride=2, **how)
        self.enc5 = ConvTranspose2d(3 * w, 3 * w, 3, stride=2, **how)
        self.enc6, self.norm6 = ConvTranspose2d(2 * w, 2 * w, 3, stride=2, bias=False, **how), LayerNorm(2 * w)
        self.lstms = [NormalisedLSTM(below * w, own * w, rng)
                      for below, own in ((1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 2), (3, 1))]
        self.to_scratch = Conv2d(2 * w, colours, 1, **how)
        self.to_masks = Conv2d(2 * w, 1 + KERNELS, 1, **how)
        self.to_kernels = Linear(-(-height // 8) * -(-width // 8) * 4 * w, SIDE ** 2 * KERNELS, **how)

    def start(self, x):
        """(H, C) of each ConvLSTM"""
        batch, _, height, width, _ = x.shape
        return [tuple(self.zeros(batch, -(-height // scale), -(-width // scale), layer.lstm.hidden) for _ in "hc")
                for layer, scale in zip(self.lstms, (2, 2, 4, 4, 8, 4, 2))]

    def step(self, frame, state):
        state = list(state)

        def lstm(n, x):
            x, state[n - 1] = self.lstms[n - 1](x, state[n - 1])
            return x

        enc0 = rectify(self.norm0(self.enc0(frame)))  # (B,H/2,W/2,w)
        enc1 = rectify(self.enc1(lstm(2, lstm(1, enc0))))  # (B,H/4,W/4,w)
        enc2 = rectify(self.enc2(lstm(4, lstm(3, enc1))))  # (B,H/8,W/8,2w)
        deepest = lstm(5, rectify(self.enc3(enc2)))  # (B,H/8,W/8,4w)
        enc4 = rectify(self.enc4(deepest, enc1.shape[1:3]))  # (B,H/4,W/4,4w)
        enc5 = rectify(self.enc5(concat(lstm(6, enc4), enc1), enc0.shape[1:3]))  # (B,H/2,W/2,3w)
        enc6 = rectify(self.norm6(self.enc6(concat(lstm(7, enc5), enc0), frame.shape[1:3])))  # (B,H,W,2w)

        scratch, masks = self.to_scratch(enc6), self.to_masks(enc6)  # (B,H,W,C), (B,H,W,11)
        if self.options.literal:
            scratch, masks = rectify(scratch), rectify(masks)
        moved = move(frame, self.kernels(deepest))  # (B,H,W,C,9)
        return compose(frame, sigmoid(scratch), moved, softmax(masks)), state

    def kernels(self, deepest):
        """Features (B,h,w,K) -> kernels (B,25,10), the weights of each from 0 to 1 and 1 in sum."""
        x = self.to_kernels(deepest.reshape(len(deepest), 1, -1)).reshape(-1, SIDE ** 2, KERNELS)
        x = relu(x - LEAST) + LEAST
        return x / x.sum(axis=1, keepdims=True)


class NormalisedLSTM(Module):
    """A ConvLSTM without peepholes, and a normalisation of what it passes on to the next layer."""

    def __init__(self, below, width, rng):
        self.lstm, self.norm = ConvLSTM(below, width, 5, None, rng), LayerNorm(width)

    def forward(self, x, state):
        h, state = self.lstm(x, state)
        return self.norm(h), state


def move(frame, kernels):
    """A frame (B,H,W,C) and kernels (B,25,10) -> the frame moved by each kernel but the last (B,H,W,C,9)"""
    batch, height, width, colours = frame.shape
    around = windows(frame, kernel=(SIDE, SIDE)).reshape(batch, height * width, SIDE ** 2, colours)
    around = around.transpose(0, 1, 3, 2).reshape(batch, height * width * colours, SIDE ** 2)
    return (around @ kernels[:, :, :-1]).reshape(batch, height, width, colours, -1)


def compose(frame, scratch, moved, masks):
    """(B,H,W,C), (B,H,W,C), (B,H,W,C,9), masks (B,H,W,11) -> their mean, weighted by the masks (B,H,W,C)"""
    images = concat(frame[..., None], scratch[..., None], moved)  # (B,H,W,C,11)
    return weigh(images, masks)


@op(NEW, images=lambda dy, masks: dy[..., None] * masks[..., None, :],
    masks=lambda dy, images: array_module(dy).einsum("npqc,npqck->npqk", dy, images))
def weigh(images, masks):
    """Images (B,H,W,C,K), masks (B,H,W,K) -> the sum of the images times their masks (B,H,W,C), without an array of
    their products"""
    return array_module(images).einsum("npqck,npqk->npqc", images, masks)
