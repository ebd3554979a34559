"""Predictor: frames in, frames out. It watches the given frames, then feeds each prediction back as the next input."""

import abc
import math

import numpy as np

from tinypredrnn.autograd import Tensor, checkpoint, no_grad, shared_weights, stack, tensor, unfused
from tinypredrnn.autograd.products import counting
from tinypredrnn.autograd.recompute import map_tensors
from tinypredrnn.backend import array_module
from tinypredrnn.errors import ConfigError, DTypeError, ShapeError
from tinypredrnn.memory import require_memory
from tinypredrnn.models.scale import check_range
from tinypredrnn.nn import Module
from tinypredrnn.nn.layout import current_layout, hollow
from tinypredrnn.options import Options, called


class Predictor(Module, abc.ABC):
    """A network that predicts the next frame, step by step. A model defines two methods:

        start(x) -> state                        the initial state, for frames x (B,T,h,w,X)
        step(x, state) -> (prediction, state)    from frame t (B,h,w,X) to the prediction of frame t + 1 (B,h,w,X)
                                                 and the next state

    and, if it transforms the frames first, two more, `enter` and `leave`. One that predicts only after it has watched
    all given frames also defines `watch` (encoder_forecaster.py), one that a discriminator helps to train `adversary`
    (mcnet.py). Class attributes:

        paper               who published it, where and when; None if nobody did
        Options             the record of its options (tinypredrnn.options), with defaults and help texts
        recipe              how its authors trained it: {option: value} for what differs from train.Recipe's defaults
        published           {option: value} of the published network, if its default is a smaller one
        any_size            whether it takes frames of any height and width, not only of the size that it was built for
        capturable          whether its training step can be recorded as a CUDA graph: it may only use convolutions
                            that our own kernel computes
        kept                about how many arrays of the state's size each step keeps for backward, as measured in
                            tests/train/test_limits.py, for estimates of memory
        forecasts_only      whether outputs before that of the last given frame predict nothing, so that no loss counts
                            them

    frame     (height, width, channels) of the frames
    options   an instance of the class's Options
    """

    paper, Options, recipe, published, kept = None, Options, {}, {}, 8
    any_size, capturable, forecasts_only = False, False, False

    def __init__(self, frame, options):
        self.frame, self.options = tuple(frame), options

    def enter(self, frames):
        """Convert frames (B,T,H,W,C) to the network's inputs (B,T,h,w,X)."""
        return frames

    def leave(self, predictions, size):
        """The inverse of `enter`, (B,T,h,w,X) -> (B,T,H,W,C), for frames of `size` (H, W)."""
        return predictions

    @abc.abstractmethod
    def start(self, x):
        """The state before the first step, all zero, for frames x (B,T,h,w,X): Tensors in nested lists and tuples."""

    @abc.abstractmethod
    def step(self, x, state):
        """Frame t (B,h,w,X) -> (prediction of frame t + 1 (B,h,w,X), state)"""

    def watch(self, x, state):
        """The step for a given frame after which other given frames follow, as `step`; by default it is `step`."""
        return self.step(x, state)

    def feedback(self, prediction, state):
        """What the next step sees in place of a true frame, from what the last one returned: the prediction of it."""
        return prediction

    def summary(self, state, last):
        """What the loss needs of the state after a step, Tensors in nested lists and tuples; `last`: it is the last
        step's. By default nothing. It is kept for all steps, also if segments are computed again, so it has to be
        small: numbers rather than maps.
        """

    def loss(self, pixel_loss, predictions, frames, summaries):
        """The training loss, a scalar Tensor.

        pixel_loss    the loss that the recipe names: (predictions, frames) -> Tensor
        predictions   (B,T,H,W,C), the predictions of `frames` (B,T,H,W,C)
        summaries     of the states after each step (`summary`), from first to last
        """
        return pixel_loss(predictions, frames)

    def adversary(self, length, rng):
        """For the update "adversarial": (discriminator, weight of its verdict in the model's loss). The discriminator
        is a Module that judges clips (B,length,H,W,C) by logits (B,1), above 0 if it takes the clip for a true one.
        """
        raise ConfigError(f"model: {type(self).__name__} has no discriminator, which {called('update')} adversarial "
                          "needs: choose another update, or a network that has one, such as mcnet")

    def forward(self, sequence, horizon=10):
        """Predict the next `horizon` frames after `sequence`: (B,J,H,W,C) -> (B,horizon,H,W,C), not clipped.

        The values of the frames are in [0, 1], or a little outside, as predictions may be (scale.py). Raises
        ShapeError, DTypeError or RangeError (also for NaN) if the model cannot take such frames, ConfigError if the
        horizon is below 1, TooLargeError if its frames do not fit into memory.
        """
        if horizon < 1:
            raise ConfigError(f"predict: horizon is the number of frames to predict, at least 1, got {horizon}")
        frames = self.check(sequence)
        batch, given, *frame = frames.shape
        require_memory(batch * horizon * math.prod(frame) * frames.dtype.itemsize,
                       f"{batch} prediction(s) of {horizon:,} frames",
                       "predict fewer frames, or fewer sequences at a time", frames.device)
        check_range(frames.data)
        truth = np.concatenate([np.ones((batch, given)), np.zeros((batch, horizon - 1))], axis=1)
        return self.unroll(frames, truth)[:, given - 1:]

    def unroll(self, frames, truth, summaries=None, given=None, segment=None, truncate=None):
        """Run the network over frames (B,T,H,W,C) -> (B,steps,H,W,C), where output t is the prediction of frame t + 1.

        truth      (B, steps): if 1, step t sees the true frame t, if 0, the network's own prediction of it; scheduled
                   sampling draws these numbers
        summaries  a list to which the `summary` of the state after each step is appended
        given      how many frames are given; None: all of them
        segment    of so many steps in a row, only the state before them is kept, and backward computes them again
                   (`checkpoint`), with the same result; None: all are kept
        truncate   after every so many steps, no gradient goes further back in time (truncated BPTT, Williams and Peng
                   1990): what goes on from there, the state and a prediction that is fed back, is detached; None: never
        """
        frames = self.check(frames)
        x = self.enter(frames)  # (B,T,h,w,X)
        asked, truth = truth, array_module(x.data).asarray(truth, x.dtype)
        if truth.ndim != 2 or len(truth) != len(x) or truth.size == 0:
            raise ShapeError(f"unroll: expected truth (B, steps) for {len(x)} sequences, got {truth.shape}")
        given = x.shape[1] if given is None else given
        if self.forecasts_only and given > truth.shape[1]:
            raise ShapeError("unroll: this model predicts nothing before the last given frame: expected given of at "
                             f"most {truth.shape[1]}, the number of steps, got {given}")
        # If all inputs of a step are true frames, nothing needs to be mixed. An array on a GPU is not checked for that,
        # because reading it would make us wait for the GPU.
        all_true = np.all(asked, axis=0) if array_module(asked) is np else [False] * truth.shape[1]
        steps, truth = truth.shape[1], truth[..., None, None, None]  # (B,steps,1,1,1)

        def run(first, state, fed):
            """The steps of the segment that begins with step `first`: their predictions, the summaries of the states
            after them if they are asked for, the last state, and what is fed back after it."""
            predictions, found = [], []
            for t in range(first, min(first + length, steps)):
                if truncate and t and t % truncate == 0:
                    state, fed = map_tensors(Tensor.detach, (state, fed))
                if t >= x.shape[1]:
                    seen = fed
                elif fed is None or all_true[t]:
                    seen = x[:, t]
                else:
                    seen = truth[:, t] * x[:, t] + (1 - truth[:, t]) * fed
                prediction, state = (self.watch if t < given - 1 else self.step)(seen, state)
                fed = self.feedback(prediction, state)
                predictions.append(prediction)
                if summaries is not None:
                    found.append(self.summary(state, t == steps - 1))
            return predictions, found, state, fed

        length, run_segment = segment or steps, checkpoint(run) if segment else run
        state, fed, predictions = self.start(x), None, []
        with shared_weights():
            for first in range(0, steps, length):
                new, found, state, fed = run_segment(first, state, fed)
                predictions += new
                if summaries is not None:
                    summaries += found
        return self.leave(stack(*predictions, axis=1), frames.shape[2:4])

    def count_multiply_adds(self, given=1, horizon=1):
        """The multiply-adds of all convolutions and matrix products for one frame, or for all given + horizon - 1 steps
        of a sequence: of a kernel (kh,kw,C,K) and a result (H',W',K), kh kw C K H' W'. Elementwise maths is not
        counted. Nothing is multiplied, so it takes little time.
        """
        frames = np.zeros((1, given, *self.frame), self.dtype)
        truth = np.concatenate([np.ones((1, given)), np.zeros((1, horizon - 1))], axis=1)
        with counting() as counter, unfused(), no_grad(), self.evaluating():
            self.unroll(frames, truth)
        return counter.multiply_adds

    def zeros(self, *shape):
        """A part of the initial state, on the model's device and in its dtype."""
        like = next(self.named_tensors())[1].data
        return Tensor(hollow(shape) if current_layout.get() is not None
                      else array_module(like).zeros(shape, like.dtype))

    def check(self, frames):
        """`frames` as a Tensor on the model's device. ShapeError or DTypeError if the model cannot take them."""
        frames = frames if isinstance(frames, Tensor) else tensor(frames, device=self.device)
        height, width, channels = self.frame
        if frames.ndim != 5 or frames.shape[-1] != channels or 0 in frames.shape:
            raise ShapeError(f"model: expected frames (B,T,H,W,{channels}), got {frames.shape}")
        if not self.any_size and frames.shape[2:4] != (height, width):
            raise ShapeError(f"model: it is made for frames of {height}x{width}, got "
                             f"{frames.shape[2]}x{frames.shape[3]}: build it with the size of the frames")
        if frames.dtype != self.dtype:
            remedy = "divide by 255 and convert with .astype" if frames.dtype.kind in "ui" else "convert with .astype"
            raise DTypeError(f"model: expected {self.dtype} frames in [0, 1], got {frames.dtype}: {remedy}")
        return frames
