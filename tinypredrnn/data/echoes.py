"""Synthetic radar echoes: showers that are carried along by a wind that shears and turns, grow, and decay.

They stand in for radar data if there are none, and show what real rain does and moving digits do not: a sequence of
echoes is not a rigid picture that moves. Making one takes three steps, as for Moving MNIST: all random numbers are
drawn from one `numpy.random.Generator`; `follow` computes where the wind carries each cell; `paint` adds up their
echoes.
"""

import math
from typing import NamedTuple

import numpy as np

from tinypredrnn.compiled import kernel
from tinypredrnn.data.generator import Generator
from tinypredrnn.data.scale import Scale

SCALE = Scale(units=(0.0, 60.0), unit="dBZ")
STORMS, CELLS, MARGIN = 7, 24, 20  # storms of a sequence; cells of a storm; pixels around the frame where they may be
SPEED = 0.2, 1.8  # pixels a frame
SHEAR = 0.012  # the spread of the changes of the wind from one pixel to the next, in pixels a frame
LIFE = 8, 45  # frames from the first echo of a cell to its last
PEAK = 18, 56  # the highest reflectivity of a cell in dBZ, if no other overlaps it
SIGMA = 0.6, 2.2  # pixels: how wide a cell is across; it is up to LONG times as long
LONG = 2.5
DROP = 10 / math.log(10) / 2  # dB: a bell of Z, exp(-d^2 / 2), is a parabola in dBZ, DROP d^2 below its top


class Cells(NamedTuple):
    """The showers of some sequences, arrays (N,cells,...).

    start    (row, column) in pixels in frame 0; whether it can be seen then depends on `birth`
    shape    the matrix (2,2) that leads from pixels to the distance d from the middle, in widths
    birth    frame of its first echo, also before the sequence
    life     frames until its last echo
    peak     dBZ halfway
    """

    start: np.ndarray
    shape: np.ndarray
    birth: np.ndarray
    life: np.ndarray
    peak: np.ndarray


class Echoes(Generator):
    """Makes sequences of `frames` frames of `size` (height, width) pixels, bytes on SCALE: 0 to 255 are 0 to 60 dBZ."""

    def __init__(self, size=(64, 64), frames=20):
        super().__init__(size, frames)

    def draw(self, rng, count):
        """`count` fresh sequences, uint8 (count,frames,height,width,1). TooLargeError if memory is too small."""
        self.check_memory(count)
        cells, wind, shear = self.weather(rng, count)
        paths = follow(cells.start, wind, shear, np.array(self.size) / 2, self.frames)
        canvas = np.empty((count, self.frames, *self.size, 1), np.uint8)
        paint(canvas, paths, cells.shape, cells.birth, cells.life, cells.peak, 255 / SCALE.units[1])
        return canvas

    def weather(self, rng, count):
        """(Cells, the wind in the middle of the frame (N,2) in pixels a frame, its change with the place (N,2,2))."""
        many = count, STORMS, CELLS
        angle, speed = rng.uniform(0, 2 * np.pi, count), rng.uniform(*SPEED, count)
        wind = np.stack([speed * np.sin(angle), speed * np.cos(angle)], axis=-1)
        shear = rng.normal(0, SHEAR, (count, 2, 2))
        # the cells of a storm are of about one place, one age and one strength
        storm = rng.uniform(-MARGIN, np.array(self.size) + MARGIN, (count, STORMS, 1, 2))
        start = storm + rng.normal(0, rng.uniform(4, 12, (count, STORMS, 1, 1)), (*many, 2))
        birth = rng.uniform(-LIFE[1], self.frames, (count, STORMS, 1)) + rng.normal(0, 6, many)
        life = rng.uniform(*LIFE, many)
        peak = PEAK[0] + (PEAK[1] - PEAK[0]) * rng.beta(2, 3, (count, STORMS, 1)) * rng.uniform(0.5, 1.3, many)
        along = rng.uniform(0, np.pi, (count, STORMS, 1)) + rng.normal(0, 0.4, many)
        across = rng.uniform(*SIGMA, many)
        length = across * rng.uniform(1, LONG, many)
        sine, cosine = np.sin(along), np.cos(along)
        shape = np.stack([np.stack([sine / length, cosine / length], axis=-1),
                          np.stack([cosine / across, -sine / across], axis=-1)], axis=-2)
        flat = lambda array: array.reshape(count, STORMS * CELLS, *array.shape[3:])
        return Cells(*map(flat, (start, shape, birth, life, peak))), wind, shear


@kernel(nogil=True)
def follow(start, wind, shear, middle, frames):
    """Where the wind carries cells: start (N,K,2), wind (N,2), shear (N,2,2), middle (2,) -> places (N,K,T,2).

    The wind at a place is `wind` + `shear` (place - middle): neighbours drift apart, and storms turn and stretch.
    """
    count, cells, _ = start.shape
    places = np.empty((count, cells, frames, 2))
    for n in range(count):
        for k in range(cells):
            row, column = start[n, k, 0], start[n, k, 1]
            for t in range(frames):
                places[n, k, t, 0], places[n, k, t, 1] = row, column
                down, right = row - middle[0], column - middle[1]
                row += wind[n, 0] + shear[n, 0, 0] * down + shear[n, 0, 1] * right
                column += wind[n, 1] + shear[n, 1, 0] * down + shear[n, 1, 1] * right
    return places


@kernel(nogil=True)
def paint(canvas, places, shape, birth, life, peak, levels):
    """Fill canvas (N,T,H,W,1) uint8 with the echoes of cells at places (N,K,T,2); `levels` is how many bytes 1 dBZ has.

    The top of a cell rises from 0 dBZ to its peak and falls again, half a sine over its life. Where cells overlap,
    their Z is added, not their dBZ: ten times the drops are 10 dB more.
    """
    count, frames, height, width, _ = canvas.shape
    z = np.empty((height, width))
    for n in range(count):
        for t in range(frames):
            z[:] = 0
            for k in range(places.shape[1]):
                age = (t - birth[n, k]) / life[n, k]
                if age <= 0 or age >= 1:
                    continue
                top = peak[n, k] * np.sin(np.pi * age)
                far = np.sqrt(top / DROP)  # widths from the middle to 0 dBZ
                a, b, c, d = shape[n, k, 0, 0], shape[n, k, 0, 1], shape[n, k, 1, 0], shape[n, k, 1, 1]
                area = abs(a * d - b * c)
                # the box around the ellipse |shape (place - middle)| = far
                down, right = far * np.hypot(b, d) / area, far * np.hypot(a, c) / area
                row, column = places[n, k, t, 0], places[n, k, t, 1]
                strength = 10 ** (top / 10)
                for y in range(max(0, int(np.ceil(row - down))), min(height, int(np.floor(row + down)) + 1)):
                    for x in range(max(0, int(np.ceil(column - right))), min(width, int(np.floor(column + right)) + 1)):
                        one, other = a * (y - row) + b * (x - column), c * (y - row) + d * (x - column)
                        distance = one * one + other * other
                        if distance < far * far:
                            z[y, x] += strength * np.exp(-distance / 2)
            for y in range(height):
                for x in range(width):
                    dbz = 10 * np.log10(z[y, x]) if z[y, x] > 1 else 0.0
                    canvas[n, t, y, x, 0] = np.uint8(min(255.0, np.rint(dbz * levels)))
