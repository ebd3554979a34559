"""Generator: what makes sequences of a world as they are needed has in common."""

import abc
import math

import numpy as np

from tinypredrnn.data.source import stream
from tinypredrnn.errors import ConfigError
from tinypredrnn.memory import require_memory


class Generator(abc.ABC):
    """Makes sequences of `frames` frames of `size` (height, width) pixels, uint8 (N,frames,height,width,1).

    ConfigError if there is no frame or no pixel.
    """

    def __init__(self, size, frames):
        if frames < 1 or len(size) != 2 or min(size) < 1:
            raise ConfigError(f"expected at least 1 frame of at least 1x1 pixels, got frames={frames} and size={size}; "
                              "ask for more.")
        self.size, self.frames = tuple(size), frames

    @abc.abstractmethod
    def draw(self, rng, count):
        """`count` fresh sequences from a numpy.random.Generator. TooLargeError if memory is too small."""

    def batch(self, seed, k, count):
        """Training batch `k`: `count` sequences, the same for the same (seed, k) whatever was drawn before."""
        return self.draw(stream("training", seed, k), count)

    def fixed_set(self, name, count, start=0, seed=0):
        """Sequences `start` to `start + count - 1` of the "validation" or "test" set; each depends only on its number.

        TooLargeError if they do not fit into memory.
        """
        self.check_memory(count)
        sequences = np.empty((count, self.frames, *self.size, 1), np.uint8)
        for i in range(count):
            sequences[i] = self.draw(stream(name, seed, start + i), 1)[0]
        return sequences

    def check_memory(self, count):
        """TooLargeError if `count` sequences do not fit into memory."""
        require_memory(count * self.frames * math.prod(self.size), f"{count:,} sequences of {self.frames:,} frames of "
                       f"{self.size[0]}x{self.size[1]}", "ask for fewer or smaller ones")
