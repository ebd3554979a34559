"""Patched: a network on frames cut into patches. PatchedStack: a stack of recurrent cells with a 1x1 output convolution
on top, on such frames."""

import abc
import dataclasses

from tinypredrnn.autograd import depth_to_space, pad, space_to_depth
from tinypredrnn.errors import ConfigError
from tinypredrnn.models.predictor import Predictor
from tinypredrnn.nn import Conv2d
from tinypredrnn.options import Options, option


@dataclasses.dataclass(frozen=True)
class StackOptions(Options):
    """The options of a stack. The defaults come from the paper, or from the authors' code if the paper gives none."""

    hidden: tuple = option((128,) * 4, "width of each layer, from the bottom up", least=1)
    kernel: int = option(5, "side of all gate kernels, an odd number", least=1)
    patch: int = option(4, "side of the patches whose pixels become channels (authors' code; 1: no patches)", least=1)
    forget_bias: float = option(1.0, "initial bias of all forget gates (authors' code)")
    layer_norm: bool = option(False,
                              "normalise the output of each gate convolution (authors' code; off in their scripts)")


class Patched(Predictor):
    """A network on patches, of which each has patch x patch pixels that become channels, as in the authors' code; the
    paper does not mention it. Its options have `patch`.

    Frames whose sides are not multiples of `patch` are padded with zeros at the bottom and on the right, as the
    convolutions pad, and predictions are cropped to the frames' size.
    """

    def __init__(self, frame, options):
        super().__init__(frame, options)
        height, width, channels = self.frame
        self.patch = options.patch
        if self.patch > min(height, width):
            raise ConfigError(f"model: patches of {self.patch}x{self.patch} are larger than frames of "
                              f"{height}x{width}: choose a smaller patch")
        self.grid = -(-height // self.patch), -(-width // self.patch)  # the frame's height and width in patches
        self.inputs = self.patch ** 2 * channels

    def enter(self, frames):
        down, right = (-n % self.patch for n in frames.shape[2:4])
        if down or right:
            frames = pad(frames, widths=[(0, 0), (0, 0), (0, down), (0, right), (0, 0)])
        return space_to_depth(frames, self.patch)

    def leave(self, predictions, size):
        frames = depth_to_space(predictions, self.patch)
        return frames if frames.shape[2:4] == tuple(size) else frames[:, :, :size[0], :size[1]]


class PatchedStack(Patched):
    """A stack of cells. A network defines the cells, and how one frame goes up through them:

        step_cells(x, state) -> (features, state)    x (B,h,w,X) -> features (B,h,w,hidden[-1]) of the top layer
    """

    Options = StackOptions
    capturable = True

    def __init__(self, frame, options, rng):
        if not options.hidden:
            raise ConfigError("model: hidden needs the width of at least one layer, got none")
        super().__init__(frame, options)
        self.hidden = options.hidden
        self.to_frame = Conv2d(self.hidden[-1], self.inputs, 1, rng)

    def step(self, x, state):
        features, state = self.step_cells(x, state)
        return self.to_frame(features), state

    @abc.abstractmethod
    def step_cells(self, x, state):
        """x (B,h,w,X) and the state of all layers -> (features (B,h,w,hidden[-1]) of the top layer, the new state)"""

    def layers(self):
        """(channels below, width) of each layer, from the bottom up."""
        return list(zip([self.inputs, *self.hidden], self.hidden))
