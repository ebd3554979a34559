"""PatchedStack: recurrent cells on top of each other under a 1x1 output convolution, on frames that are cut into patches."""

import dataclasses

from tinypredrnn.autograd import depth_to_space, pad, space_to_depth
from tinypredrnn.errors import ConfigError
from tinypredrnn.models.predictor import Predictor
from tinypredrnn.nn import Conv2d
from tinypredrnn.options import Options, option


@dataclasses.dataclass(frozen=True)
class StackOptions(Options):
    """The options of a stack. The defaults are the paper's, and those of the authors' code where the paper is silent."""

    hidden: tuple = option((128,) * 4, "width of each layer, from the bottom up", least=1)
    kernel: int = option(5, "side of all gate kernels, odd", least=1)
    patch: int = option(4, "patch x patch pixels become channels of one position (authors' code; 1: none)", least=1)
    forget_bias: float = option(1.0, "what the biases of all forget gates start at (authors' code)")
    layer_norm: bool = option(False, "normalise the gates of each convolution (authors' code, off in their scripts)")


class PatchedStack(Predictor):
    """A stack of cells; a network says what they are, and how a frame climbs through them:

        climb(x, state) -> (features, state)    x (B,h,w,X) -> features (B,h,w,hidden[-1]) of the top layer

    Patches of patch x patch pixels become channels: the paper is silent on that, the authors' code does it. Frames that the patches do
    not tile are padded by zeros at the bottom and on the right, as the convolutions pad, and predictions are cut to the frames' size.
    """

    Options = StackOptions
    capturable = True

    def __init__(self, frame, options, rng):
        super().__init__(frame, options)
        height, width, channels = self.frame
        self.hidden, self.patch = options.hidden, options.patch
        if not self.hidden:
            raise ConfigError("model: hidden needs the width of at least one layer, got none")
        if self.patch > min(height, width):
            raise ConfigError(f"model: patches of {self.patch}x{self.patch} are larger than frames of {height}x{width}: choose a smaller "
                              "patch")
        self.grid = -(-height // self.patch), -(-width // self.patch)  # the frame's height and width in patches
        self.inputs = self.patch ** 2 * channels
        self.to_frame = Conv2d(self.hidden[-1], self.inputs, 1, rng)

    def enter(self, frames):
        down, right = (-n % self.patch for n in frames.shape[2:4])
        if down or right:
            frames = pad(frames, widths=[(0, 0), (0, 0), (0, down), (0, right), (0, 0)])
        return space_to_depth(frames, self.patch)

    def leave(self, predictions, size):
        frames = depth_to_space(predictions, self.patch)
        return frames if frames.shape[2:4] == tuple(size) else frames[:, :, :size[0], :size[1]]

    def step(self, x, state):
        features, state = self.climb(x, state)
        return self.to_frame(features), state

    def climb(self, x, state):
        raise NotImplementedError

    def layers(self):
        """(channels below, width) of each layer, from the bottom up."""
        return list(zip([self.inputs, *self.hidden], self.hidden))
