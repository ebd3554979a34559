"""Moving MNIST: handwritten digits that move straight through a dark box and bounce off its walls.

The paper (section 4.1) trains on sequences that are made as needed. Making one takes three steps: all random numbers
are drawn from one `numpy.random.Generator`; `reflect` or `clamp` computes where each digit is in each frame; `paint`
draws it there.
"""

import math

import numpy as np

from tinypredrnn.compiled import kernel
from tinypredrnn.data.generator import Generator
from tinypredrnn.errors import ConfigError, DTypeError, ShapeError
from tinypredrnn.memory import require_memory

SPEEDS = {"paper": (3.0, 5.0), "srivastava": (3.6, 3.6)}  # pixels a frame, uniform in [from, to)


class MovingMNIST(Generator):
    """Makes sequences from digit images (N,h,w) uint8, such as MNIST's (N,28,28).

    A sequence has `frames` frames of `size` (height, width) pixels and shows `digits` digits, chosen with replacement.
    Start positions and directions are uniformly distributed. The `rule` determines how digits move:

    "paper"       PredRNN, section 4.1: each digit has a speed uniform in [3, 5) pixels per frame and is truly reflected
                  at the walls; the first frame shows the start.
    "srivastava"  Srivastava et al. (ICML 2015), as in their well-known `mnist_test_seq.npy`: all digits move 3.6 pixels
                  per frame; a digit that would leave is put at the wall, and that component of its velocity changes
                  sign; the first frame is one step after the start.

    `source` says in words where the images come from.

    A digit is painted at its position rounded down to whole pixels; if two overlap, the brighter pixel wins. ShapeError
    or DTypeError if the images have another shape or dtype; ConfigError if there is no digit or no frame, if the canvas
    is smaller than a digit, or if the rule is unknown.
    """

    def __init__(self, images, digits=2, size=(64, 64), frames=20, rule="paper", source=""):
        images = np.ascontiguousarray(images)
        if images.ndim != 3 or len(images) == 0:
            raise ShapeError(f"expected at least one digit image in an array (N,h,w), got shape {images.shape}; stack "
                             "them.")
        if images.dtype != np.uint8:
            raise DTypeError(f"expected digit images of dtype uint8, got {images.dtype}; scale them to 0..255 and "
                             "convert.")
        if digits < 1 or frames < 1:
            raise ConfigError(f"expected at least 1 digit and 1 frame, got digits={digits} and frames={frames}; ask "
                              "for more.")
        h, w = images.shape[1:]
        if len(size) != 2 or size[0] < h or size[1] < w:
            raise ConfigError(f"expected a canvas (height, width) of at least one digit, ({h}, {w}), got {size}; make "
                              "it larger.")
        if rule not in SPEEDS:
            raise ConfigError(f"expected a rule out of {', '.join(SPEEDS)}, got {rule!r}; take one of these.")
        self.images, self.source, self.rule = images, source, rule
        self.digits, self.size, self.frames = digits, tuple(size), frames
        self.room = np.subtract(size, (h, w))  # how far a digit's top left corner can go, down and to the right

    def draw(self, rng, count):
        """`count` fresh sequences, uint8 (count,frames,height,width,1). TooLargeError if memory is too small."""
        self.check_memory(count)
        positions = self.trajectories(rng, count)
        chosen = rng.integers(len(self.images), size=(count, self.digits))
        canvas = np.empty((count, self.frames, *self.size, 1), np.uint8)
        paint(canvas, self.images, chosen, positions)
        return canvas

    def trajectories(self, rng, count):
        """The paths of digits in `count` sequences: the top left corner (row, column) in pixels, float64
        (count,digits,frames,2).

        `draw` begins with this, so a generator in the same state gives the paths of the sequences that `draw` would
        make.
        """
        start = rng.random((count, self.digits, 2)) * self.room
        angle = rng.uniform(0, 2 * np.pi, (count, self.digits))
        speed = rng.uniform(*SPEEDS[self.rule], (count, self.digits))
        velocity = np.stack([speed * np.sin(angle), speed * np.cos(angle)], axis=-1)  # (count,digits,2)
        move = reflect if self.rule == "paper" else clamp
        return move(start, velocity, self.room, self.frames)

    def check_memory(self, count):
        """TooLargeError if `count` sequences, with frames and positions of digits, do not fit into memory."""
        frame, position = math.prod(self.size), 2 * np.dtype(float).itemsize
        require_memory(count * self.frames * frame + self.digits * (self.frames * position + self.size[1]),
                       f"{count:,} sequences of {self.frames:,} frames of {self.size[0]}x{self.size[1]} with "
                       f"{self.digits:,} digit(s)",
                       "ask for fewer or smaller ones")


@kernel(nogil=True)
def reflect(start, velocity, room, frames):
    """True reflection: start and velocity (B,D,2), room (2,) -> positions (B,D,T,2), the first at the start.

    Think of the walls as mirrors and let the digit move straight on, into the mirrored rooms behind them. The walls at
    0, 2 room, 4 room, ... are all images of the wall at 0, so the digit's true position is its distance from the
    nearest of these. This holds after any number of bounces, in corners, and at any speed.
    """
    count, digits, _ = start.shape
    positions = np.empty((count, digits, frames, 2))
    for b, d, axis in np.ndindex(start.shape):
        period = max(2 * room[axis], 1)  # not 0, even if the canvas is only one digit high or wide
        for t in range(frames):
            path = start[b, d, axis] + velocity[b, d, axis] * t
            distance = abs(path - period * np.rint(path / period))
            positions[b, d, t, axis] = min(distance, room[axis])
    return positions


@kernel(nogil=True)
def clamp(start, velocity, room, frames):
    """Srivastava's bounce: start, velocity (B,D,2), room (2,) -> positions (B,D,T,2), from one step after the start."""
    count, digits, _ = start.shape
    positions = np.empty((count, digits, frames, 2))
    for b, d, axis in np.ndindex(start.shape):
        position, step = start[b, d, axis], velocity[b, d, axis]
        for t in range(frames):
            position += step
            if position <= 0 or position >= room[axis]:
                position = min(max(position, 0.0), float(room[axis]))
                step = -step
            positions[b, d, t, axis] = position
    return positions


@kernel(nogil=True)
def paint(canvas, images, chosen, positions):
    """Fill canvas (B,T,H,W,1) with images (N,h,w) of numbers chosen (B,D), top left corners at positions (B,D,T,2).

    The rows of a digit are too short for efficient vector instructions. So the digit is first laid out as one line,
    with its rows as far apart as those of the canvas: painting it anywhere is then one long maximum with the pixels
    from its corner on. Numbers and positions are not checked.
    """
    count, frames, height, width, _ = canvas.shape
    _, h, w = images.shape
    lines = np.zeros((chosen.shape[1], (h - 1) * width + w), np.uint8)
    for b in range(count):
        for d in range(len(lines)):
            for y in range(h):
                for x in range(w):
                    lines[d, y * width + x] = images[chosen[b, d], y, x]
        for t in range(frames):
            frame = canvas[b, t].reshape(height * width)
            frame[:] = 0  # one frame at a time: it is still in the cache when it is painted
            for d in range(len(lines)):
                line = lines[d]
                # rounds down, since none is negative
                row, column = int(positions[b, d, t, 0]), int(positions[b, d, t, 1])
                pixels = frame[row * width + column :]
                for i in range(len(line)):
                    pixels[i] = max(pixels[i], line[i])
