"""From cells to a predictor: watch the given frames, then feed each prediction back as the next input."""

import math

import numpy as np

from tinypredrnn.autograd import Tensor, depth_to_space, shared_weights, space_to_depth, stack, tensor
from tinypredrnn.backend import array_module
from tinypredrnn.errors import ConfigError, DTypeError, ShapeError
from tinypredrnn.memory import require_memory
from tinypredrnn.models.scale import check_range
from tinypredrnn.nn import Conv2d, Module
from tinypredrnn.nn.layout import current_layout, hollow


class Predictor(Module):
    """A stack of recurrent cells under a 1x1 output convolution. A model says how one time step goes through its cells:

        start(batch, height, width) -> state                 all zero; height and width in patches
        step(x, state) -> (features, state)                  x (B,H,W,X) -> features (B,H,W,hidden[-1])

    Frames go in as patches (patch x patch pixels become channels): the paper is silent on that, the authors' code does it. `size` is
    given where peepholes fix the frames' (height, width).
    """

    def __init__(self, channels, patch, features, rng, size=None):
        self.channels, self.patch, self.size = channels, patch, size
        self.to_frame = Conv2d(features, patch * patch * channels, 1, rng)

    def forward(self, sequence, horizon=10):
        """The next `horizon` frames after `sequence`, without ground truth: (B,J,H,W,C) -> (B,horizon,H,W,C), not clipped.

        Frames lie in [0, 1], or a little outside, as predictions may (scale.py). Raises ShapeError, DTypeError and
        RangeError (also for NaN) if these cannot be the model's frames, ConfigError for a horizon below 1,
        TooLargeError for one whose frames do not fit into memory.
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

    def unroll(self, frames, truth):
        """Predict frame t + 1 at every step t: (B,T,H,W,C) -> (B,steps,H,W,C), of which output t is the prediction of frame t + 1.

        truth   (B, steps): 1 feeds the network frame t, 0 its own prediction of it; scheduled sampling draws these
        """
        patches = space_to_depth(self.check(frames), self.patch)  # (B,T,h,w,X)
        here, truth = truth, array_module(patches.data).asarray(truth, patches.dtype)
        if truth.ndim != 2 or len(truth) != len(patches) or truth.size == 0:
            raise ShapeError(f"unroll: expected truth (B, steps) for {len(patches)} sequences, got {truth.shape}")
        # Where nothing but true frames goes in, nothing is computed. A GPU's array is not asked: one would have to wait for the answer.
        sure = np.all(here, axis=0) if array_module(here) is np else [False] * truth.shape[1]
        truth = truth[..., None, None, None]  # (B,steps,1,1,1)
        batch, _, height, width, _ = patches.shape
        state, prediction, predictions = self.start(batch, height, width), None, []
        with shared_weights():
            for t in range(truth.shape[1]):
                features, state = self.step(self.choose(patches, prediction, truth, sure[t], t), state)
                prediction = self.to_frame(features)  # (B,h,w,X)
                predictions.append(prediction)
        return depth_to_space(stack(*predictions, axis=1), self.patch)

    def choose(self, patches, prediction, truth, sure, t):
        """The input of step t, for each sequence the true frame or the prediction; `sure`: all are known to be true frames."""
        if t >= patches.shape[1]:
            return prediction
        if prediction is None or sure:
            return patches[:, t]
        return truth[:, t] * patches[:, t] + (1 - truth[:, t]) * prediction

    def zeros(self, batch, height, width, features):
        """An initial state."""
        like, shape = next(self.named_tensors())[1].data, (batch, height, width, features)
        return Tensor(hollow(shape) if current_layout.get() is not None else array_module(like).zeros(shape, like.dtype))

    def check(self, frames):
        """`frames` as a Tensor where the model is; a clear error if they cannot be its input."""
        frames = frames if isinstance(frames, Tensor) else tensor(frames, device=self.device)
        if frames.ndim != 5 or frames.shape[-1] != self.channels or 0 in frames.shape:
            raise ShapeError(f"model: expected frames (B,T,H,W,{self.channels}), got {frames.shape}")
        if self.size and frames.shape[2:4] != self.size:
            raise ShapeError(f"model: its peepholes are made for frames of {self.size[0]}x{self.size[1]}, got "
                             f"{frames.shape[2]}x{frames.shape[3]}: build it with the size of the frames")
        if frames.dtype != self.dtype:
            raise DTypeError(f"model: expected {self.dtype} frames in [0, 1], got {frames.dtype}: "
                             + ("divide by 255 and convert with .astype" if frames.dtype.kind in "ui" else "convert with .astype"))
        return frames


def in_patches(size, patch):
    """A frame size (H, W) in patches; ConfigError if they do not tile it."""
    if patch < 1 or any(n < patch or n % patch for n in size):
        raise ConfigError(f"model: patches of {patch}x{patch} do not tile frames of {size[0]}x{size[1]}: choose a patch that divides both")
    return size[0] // patch, size[1] // patch
