"""PredNet (Lotter et al. 2017): each layer predicts what the one below tells it, and passes on only its errors."""

import dataclasses
from typing import Any, NamedTuple

from tinypredrnn.autograd import concat, fuse, hard_sigmoid, minimum, relu, tanh, upsample
from tinypredrnn.cells import Gates
from tinypredrnn.models.predictor import Predictor
from tinypredrnn.nn import Conv2d, Module, glorot_uniform, rectify
from tinypredrnn.nn.resolution import crop, halve
from tinypredrnn.options import Options, option


@dataclasses.dataclass(frozen=True)
class PredNetOptions(Options):
    """The options of a PredNet. The defaults are those of the authors' code, but for `as_code`."""

    width: int = option(48, "channels w of the second layer; the third has 2w, the fourth 4w, the first those of the "
                            "frame", least=1)
    upper_errors: float = option(0.0, "weight of the upper layers' errors in the loss, beside 1 for the lowest layer's "
                                      "(0: the authors' L_0; 0.1: their L_all)", least=0)
    as_code: bool = option(False, "when predictions are fed back, feed that of the frame before, as the authors' code")


class State(NamedTuple):
    """What a PredNet remembers after a frame X_t; the lists go from the bottom up."""

    cells: list  # (R_l, C_l) of step t + 1, at first 0
    errors: list  # E_l of step t, at first 0
    expected: Any  # [Ahat_l of step t + 1, ...], before the first frame None
    earlier: Any  # Ahat_0 of step t, before the first frame None


class PredNet(Predictor):
    """Predictive coding (Section 2): what goes up through four layers is not the frame but what nobody had predicted.

    Layer l has s_l channels, (s_0, s_1, s_2, s_3) = (C, w, 2w, 4w), at the frame's resolution divided by 2^l:

        R_l(t)    = ConvLSTM(R_l(t-1), E_l(t-1), up(R_l+1(t)))            first down, l = 3, 2, 1, 0: see Layer
        Ahat_l(t) = ReLU(W * R_l(t) + b)                                  for l = 0 at most 1, as a pixel
        E_l(t)    = [ReLU(Ahat_l(t) - A_l(t)), ReLU(A_l(t) - Ahat_l(t))]  then up, l = 0, 1, 2, 3
        A_l+1(t)  = maxpool(ReLU(W * E_l(t) + b)),   A_0(t) = X_t

    Ahat_0(t) is the prediction of X_t. In these equations, step t is to predict X_t and then to see it; in the method
    `step`, it is to see X_t and then to predict X_t+1, which is the same sequence. So the first step predicts twice:
    also X_0, when all states are 0. That prediction knows nothing, and no loss counts it.

    From the authors' code (github.com/coxlab/prednet): all of this, with kernels of 3x3, and Glorot's initial weights
    except for gates. Their recipe: true frames as inputs; the mean of E_0, which is half the mean absolute error;
    Adam with rate 1e-3, and a tenth of it in the second half; 18,750 batches of 4 sequences of 10 frames. In order to
    extrapolate, they train once more as long, from these weights and with predictions fed back: --from RUN --sampling
    off --given 10 --horizon 5. PredRNN's authors let it extrapolate; whether they trained it for that is unconfirmed.

    When predictions are fed back, the one of X_t takes its place, so that E_0(t) = 0: all is as expected. In the
    authors' code, it is the prediction of X_t-1: the last given frame is seen twice, and all others one step late.
    Here this is so only with `as_code`.
    """

    paper = ("Lotter, Kreiman, Cox: Deep Predictive Coding Networks for Video Prediction and Unsupervised Learning. "
             "ICLR 2017")
    Options = PredNetOptions
    recipe = dict(loss="l1", sampling="teacher", batch=4, steps=18_750, rate_schedule="drop")
    any_size, kept = True, 11

    def __init__(self, frame, options, rng):
        super().__init__(frame, options)
        w = options.width
        widths = (self.frame[2], w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 0)
        self.layers = [Layer(width, above, rng) for width, above in widths]

    def start(self, x):
        batch, _, height, width, _ = x.shape
        grids = [(batch, -(-height // 2 ** k), -(-width // 2 ** k)) for k in range(len(self.layers))]
        cells = [tuple(self.zeros(*grid, layer.width) for _ in "rc") for grid, layer in zip(grids, self.layers)]
        errors = [self.zeros(*grid, 2 * layer.width) for grid, layer in zip(grids, self.layers)]
        return State(cells, errors, None, None)

    def step(self, frame, state):
        cells, errors, expected, _ = state
        if expected is None:
            cells, expected = self.expect(cells, errors)
        errors, earlier = self.compare(frame, expected), expected[0]
        cells, expected = self.expect(cells, errors)
        return expected[0], State(cells, errors, expected, earlier)

    def expect(self, cells, errors):
        """Down: (R_l, C_l) and E_l of the step before -> those of this step, and its Ahat_l."""
        cells, above = list(cells), None
        for k, layer in reversed(list(enumerate(self.layers))):
            cells[k] = layer.represent(cells[k], errors[k], above)
            above, _ = cells[k]
        lowest, *upper = [layer.expect(r) for layer, (r, _) in zip(self.layers, cells)]
        return cells, [at_most_1(lowest), *upper]

    def compare(self, frame, expected):
        """Up: the frame (B,H,W,C) and Ahat_l -> E_l."""
        target, errors = frame, []
        for layer, guess in zip(self.layers, expected):
            errors.append(concat(*differences(guess, target)))
            target = layer.pass_on(errors[-1]) if layer.to_above else None
        return errors

    def feedback(self, prediction, state):
        return state.earlier if self.options.as_code else prediction

    def summary(self, state, last):
        """The mean errors of the upper layers, if they are in the loss, and after the last step what is expected."""
        return (means_of_upper(state.errors), state.expected if last else None) if self.options.upper_errors else None

    def loss(self, pixel_loss, predictions, frames, summaries):
        """The pixel loss; and, if their weight is above 0, the errors of the upper layers: the mean of each E_l, summed
        over l and averaged over the steps but the first, whose errors are those of knowing nothing. Their weight is
        doubled, since the L1 loss is twice the mean of E_0.
        """
        loss = pixel_loss(predictions, frames)
        if not self.options.upper_errors:
            return loss
        last = self.compare(frames[:, -1], summaries[-1][1])  # no step sees the last frame
        steps = [*(means for means, _ in summaries[1:]), means_of_upper(last)]
        return loss + 2 * self.options.upper_errors * sum(mean for means in steps for mean in means) / len(steps)


def means_of_upper(errors):
    return [e.mean() for e in errors[1:]]


class Layer(Module):
    """The convolutions of layer l. Its representation R is a ConvLSTM's output, with a cheap sigma, no forget bias and
    no peepholes:

        i, f, o = clip(0.2 z + 0.5, 0, 1), g = tanh(z), each with its own z = W * [R(t-1), E(t-1), up(R_l+1(t))] + b
        C(t) = f . C(t-1) + i . g
        R(t) = o . tanh(C(t))

    width, above   s_l and s_l+1, which is 0 for the top layer
    """

    def __init__(self, width, above, rng):
        self.width = width
        self.gates = Gates(3 * width + above, width, 3, "ifgo", rng, forget_bias=0.0)
        self.to_expected = Conv2d(width, width, 3, rng, initial=glorot_uniform)
        self.to_above = Conv2d(2 * width, above, 3, rng, initial=glorot_uniform) if above else None

    def represent(self, cell, errors, above):
        """(R, C), E, R_l+1 or None -> the new (R, C)"""
        r, c = cell
        inputs = (r, errors) if above is None else (r, errors, crop(upsample(above), r.shape[1:3]))
        return remember(*self.gates(*inputs), c)

    def expect(self, r):
        """R -> Ahat, (B,h,w,s_l) -> the same"""
        return rectify(self.to_expected(r))

    def pass_on(self, errors):
        """E -> A_l+1, (B,h,w,2 s_l) -> (B,h/2,w/2,s_l+1)"""
        return halve(rectify(self.to_above(errors)))


@fuse
def remember(i, f, g, o, c):
    """The new (R, C) from the gates' pre-activations and the old C."""
    c = hard_sigmoid(f) * c + hard_sigmoid(i) * tanh(g)
    return hard_sigmoid(o) * tanh(c), c


@fuse
def differences(guess, target):
    """What was predicted and is not there, what is there and was not predicted."""
    return relu(guess - target), relu(target - guess)


@fuse
def at_most_1(x):
    """min(x, 1)"""
    return minimum(x, 1)
