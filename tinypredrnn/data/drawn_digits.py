"""Digits drawn by a simulated pen, used if MNIST is missing and cannot be downloaded.

A digit consists of a few strokes through the points of a table. Each drawing moves the points, varies the pressure of
the pen, and squeezes, slants and rotates the whole digit. It is then placed as in MNIST: fitted into 20x20 pixels, with
the centre of mass in the middle of 28x28.
"""

import numpy as np

from tinypredrnn.compiled import kernel

SIDE = 28  # pixels of an image
BOX = 20  # pixels that a digit fits into, as in MNIST
STEPS = 16  # positions of the pen from one point to the next, about a third of a pixel apart

# A point is two figures, its column and its row on a grid of 10x10 (row 0 is the top). The pen follows a smooth curve
# through the points of a stroke; a point written twice is a corner, and "|" lifts the pen. There are several ways to
# write each digit.
GLYPHS = {
    0: ["50 21 04 18 49 78 84 71 40", "30 12 05 17 39 68 85 72 50 21"],
    1: ["40 44 49", "40 43 46 49", "22 40 40 44 49"],
    2: ["12 20 50 63 46 19 19 49 89", "12 30 60 63 46 28 08 07 27 58 88", "11 30 51 53 35 19 19 49 79"],
    3: ["11 30 51 52 34 34 56 57 39 08", "01 30 60 62 44 24 24 55 67 49 18", "01 40 62 54 34 54 76 69 39 08"],
    4: ["20 14 14 44 74 | 60 55 49", "10 13 25 54 62 60 60 55 59", "50 05 05 45 75 | 50 54 59",
        "20 13 25 64 | 60 54 49"],
    5: ["20 14 14 43 66 58 39 08 | 20 50 80", "70 30 30 24 24 54 75 77 49 28 07", "90 40 40 23 23 45 57 49 29 18"],
    6: ["40 22 05 18 39 68 66 44 25 17", "30 13 06 18 39 68 76 55 26 18", "50 23 15 18 39 58 66 45 26 18"],
    7: ["10 40 70 70 44 29", "01 30 60 61 44 39", "10 40 70 70 44 29 | 24 64", "01 10 60 62 45 39",
        "11 40 70 70 55 49 | 25 75"],
    8: ["61 40 21 23 55 67 49 28 36 54 62 50", "40 21 23 44 66 68 49 28 26 44 62 61 40",
        "71 40 22 34 56 58 39 28 36 53 71"],
    9: ["61 30 12 14 44 62 61 61 65 59", "50 12 14 34 62 50 50 55 49", "62 50 21 14 34 62 61 61 45 39"],
}


def draw_digits(rng, count):
    """Draw `count` digits: images (count, 28, 28) uint8, ink 255 on paper 0, and their labels (count,) int64.

    rng: the numpy.random.Generator from which all the randomness is drawn.
    """
    table, table_labels = _table()
    labels = rng.integers(10, size=count)
    ways = np.bincount(table_labels)  # how many glyphs each digit has
    glyphs = table[np.searchsorted(table_labels, labels) + rng.integers(ways[labels])]  # (N,P,2)

    jitter = rng.normal(scale=(0.03, 0.03, 0.08), size=(count, table.shape[1], 3))  # in x, y and pressure
    jitter += np.roll(jitter, 1, axis=1)  # neighbours move partly together, so that curves stay round
    turn, slant, squeeze = rng.normal(loc=(0.0, 0.12, 0.0), scale=(0.1, 0.22, 0.18), size=(count, 3)).T
    cos, sin, width = np.cos(turn), np.sin(turn), np.exp(squeeze)
    affine = np.array([[cos * width, -cos * slant - sin], [sin * width, -sin * slant + cos]])  # (2,2,N)
    radius = rng.lognormal(np.log(1.27), 0.2, size=count)  # of the pen, in pixels

    path = np.ones((count, table.shape[1], 3))  # (N,P,3): x, y, pressure
    path[..., :2] = np.einsum("ijn,npj->npi", affine, glyphs - 0.5 + jitter[..., :2])
    path[..., 2] += jitter[..., 2]
    corner = np.all(glyphs[:, 1:] == glyphs[:, :-1], axis=2)
    path[:, 1:][corner] = path[:, :-1][corner]  # the two points of a corner stay one

    images = np.zeros((count, SIDE, SIDE), np.uint8)
    _draw(path, radius, images)
    return images, labels


def _table():
    """GLYPHS as arrays: points (G,P,2) of x and y from 0 to 1, nan if the pen is up, and labels (G,), ascending."""
    glyphs = [(label, glyph.split()) for label, ways in GLYPHS.items() for glyph in ways]
    points = np.full((len(glyphs), max(len(words) for _, words in glyphs), 2), np.nan)
    for g, (_, words) in enumerate(glyphs):
        for p, word in enumerate(words):
            if word != "|":
                points[g, p] = int(word[0]) / 9, int(word[1]) / 9
    return points, np.array([label for label, _ in glyphs])


@kernel()
def _draw(points, radius, images):
    """Draw through points (N,P,3) of x, y and pressure, with pens of radius (N,) pixels, into images (N,28,28)."""
    path = np.empty((points.shape[1] * STEPS, 3))
    for n in range(len(points)):
        length = _trace(points[n], path)
        _place(path[:length], radius[n])
        _ink(path[:length], radius[n], images[n])


@kernel()
def _trace(points, path):
    """Fill path (L,3) with a Catmull-Rom spline through points (P,3), nan if the pen is up; return its length."""
    length = 0
    for p in range(len(points) - 1):
        a, b = points[p], points[p + 1]
        if np.isnan(a[0]) or np.isnan(b[0]) or (a[0] == b[0] and a[1] == b[1]):
            continue
        before = points[p - 1] if p > 0 and not np.isnan(points[p - 1, 0]) else a
        after = points[p + 2] if p + 2 < len(points) and not np.isnan(points[p + 2, 0]) else b
        for step in range(STEPS):
            t = step / (STEPS - 1)
            for k in range(3):
                slope = b[k] - before[k]
                bend = 2 * before[k] - 5 * a[k] + 4 * b[k] - after[k]
                twist = 3 * a[k] - before[k] - 3 * b[k] + after[k]
                path[length, k] = a[k] + 0.5 * t * (slope + t * (bend + t * twist))
            length += 1
    return length


@kernel()
def _place(path, radius):
    """Scale path (L,3), in place, so that its ink fits the box, and move its centre of mass to the image's middle."""
    left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
    mass, mass_x, mass_y = 0.0, 0.0, 0.0
    for i in range(len(path)):
        x, y = path[i, 0], path[i, 1]
        left, right, top, bottom = min(left, x), max(right, x), min(top, y), max(bottom, y)
        if i % STEPS > 0:  # no ink from the end of one curve to the beginning of the next
            ink = path[i, 2] * np.sqrt((x - path[i - 1, 0]) ** 2 + (y - path[i - 1, 1]) ** 2)
            mass, mass_x, mass_y = mass + ink, mass_x + ink * x, mass_y + ink * y
    scale = (BOX - 1 - 2 * radius) / max(right - left, bottom - top)
    for i in range(len(path)):
        path[i, 0] = (path[i, 0] - mass_x / mass) * scale + SIDE / 2
        path[i, 1] = (path[i, 1] - mass_y / mass) * scale + SIDE / 2


@kernel()
def _ink(path, radius, image):
    """Draw with a round pen, whose edge fades over one pixel, on image (28,28) along path (L,3), in pixels."""
    for i in range(len(path)):
        x, y, reach = path[i, 0], path[i, 1], radius * path[i, 2] + 0.5
        for row in range(max(0, int(y - reach)), min(SIDE, int(y + reach) + 2)):
            for column in range(max(0, int(x - reach)), min(SIDE, int(x + reach) + 2)):
                ink = min(1.0, max(0.0, reach - np.sqrt((column - x) ** 2 + (row - y) ** 2)))
                image[row, column] = max(image[row, column], np.uint8(255 * ink))
