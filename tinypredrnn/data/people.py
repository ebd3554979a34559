"""Synthetic people: stick figures that walk, jog, run, box, clap and wave before a plain wall, as in the KTH videos.

They stand in for the videos if there are none. A person is no rigid picture that moves: each limb turns about its
joint. Making a sequence takes three steps, as for Moving MNIST: all random numbers are drawn from one
`numpy.random.Generator`; `pose` computes where the joints are in each frame; `paint` draws the limbs between them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinypredrnn.compiled import kernel
from tinypredrnn.data.generator import Generator

HEIGHT = 0.5, 0.72  # of a person, in heights of the frame
# lengths in heights of the person
NECK, TORSO, UPPER_ARM, FOREARM, THIGH, SHIN = 0.11, 0.3, 0.17, 0.16, 0.245, 0.24

JOINTS = "hip", "neck", "head", "elbow", "hand", "far elbow", "far hand", "knee", "foot", "far knee", "far foot"
WALL, GROUND, SKIN, FAR_SKIN, SHIRT, FAR_SHIRT, TROUSERS, FAR_TROUSERS = range(8)  # gray levels of a sequence
# what is painted, the farthest first: from one joint to another, the radius in heights of the person, the gray level
LIMBS = (("neck", "far elbow", 0.024, FAR_SHIRT), ("far elbow", "far hand", 0.02, FAR_SKIN),
         ("hip", "far knee", 0.034, FAR_TROUSERS), ("far knee", "far foot", 0.026, FAR_TROUSERS),
         ("hip", "knee", 0.036, TROUSERS), ("knee", "foot", 0.028, TROUSERS), ("hip", "neck", 0.06, SHIRT),
         ("head", "head", 0.065, SKIN), ("neck", "elbow", 0.026, SHIRT), ("elbow", "hand", 0.021, SKIN))
ENDS = np.array([[JOINTS.index(one), JOINTS.index(other)] for one, other, _, _ in LIMBS])
RADII, LEVELS = (np.array(column) for column in list(zip(*LIMBS))[2:])


# actions: the angles of arm, forearm, far arm, far forearm, thigh, shin, far thigh and far shin, in radians from
# straight down to the front, from sine and cosine of the phase of the movement and its vigour, about 1

def striding(hips, knees, elbows):
    """Legs swing by `hips`, arms the other way; knees bend while their leg swings forward."""
    def angles(sine, cosine, vigour):
        near, far = hips * vigour * sine, -hips * vigour * sine
        return (far, far + elbows, near, near + elbows, near, near - knees * np.maximum(0, cosine),
                far, far - knees * np.maximum(0, -cosine))

    return angles


def box(sine, cosine, vigour):
    """One fist goes forward, the other comes back to the chin."""
    near, far = 0.5 + 0.5 * sine, 0.5 - 0.5 * sine
    return (0.2 + 1.3 * near, 2.4 - 0.8 * near, 0.2 + 1.3 * far, 2.4 - 0.8 * far, 0.3, 0.15, -0.2, -0.35)


def clap(sine, cosine, vigour):
    """Seen from the front; the hands meet before the chest."""
    arm, forearm = 0.35, 2.7 + 0.8 * vigour * sine
    return arm, forearm, -arm, -forearm, 0.12, 0.08, -0.12, -0.08


def wave(sine, cosine, vigour):
    """Seen from the front; both arms go up beside the head and down again."""
    arm = 1.5 - 1.1 * vigour * sine
    forearm = arm + 0.3 * cosine
    return arm, forearm, -arm, -forearm, 0.12, 0.08, -0.12, -0.08


class Action(NamedTuple):
    """What a person does.

    period   (least, most) frames of a period, at 25 a second
    stride   how far a period leads on, in heights of the person
    lean     of the torso to the front, in radians
    angles   as above
    """

    period: tuple
    stride: float
    lean: float
    angles: Callable


ACTIONS = {
    "boxing": Action((12, 22), 0.0, 0.06, box),
    "handclapping": Action((10, 20), 0.0, 0.0, clap),
    "handwaving": Action((18, 34), 0.0, 0.0, wave),
    "jogging": Action((17, 22), 0.7, 0.1, striding(0.55, 0.9, 1.0)),
    "running": Action((13, 17), 0.8, 0.18, striding(0.8, 1.2, 1.4)),
    "walking": Action((26, 34), 0.75, 0.03, striding(0.42, 0.45, 0.25)),
}


class Cast(NamedTuple):
    """The people of some sequences, arrays (N,).

    action    its number in ACTIONS
    height    in pixels
    ground    the row on which they stand
    middle    the column of the hip in the middle of the sequence
    facing    1: to the right, -1: to the left
    phase     of the movement in the first frame, in radians
    rate      of the movement, in radians a frame
    vigour    how far the limbs swing, about 1
    """

    action: np.ndarray
    height: np.ndarray
    ground: np.ndarray
    middle: np.ndarray
    facing: np.ndarray
    phase: np.ndarray
    rate: np.ndarray
    vigour: np.ndarray


class People(Generator):
    """Makes sequences of `frames` frames of `size` (height, width) pixels, each of one person, bytes."""

    def __init__(self, size=(128, 128), frames=20):
        super().__init__(size, frames)

    def draw(self, rng, count):
        """`count` fresh sequences, uint8 (count,frames,height,width,1). TooLargeError if memory is too small."""
        self.check_memory(count)
        cast, levels = self.cast(rng, count), gray_levels(rng, count)
        canvas = np.empty((count, self.frames, *self.size, 1), np.uint8)
        paint(canvas, pose(cast, self.frames), ENDS, RADII * cast.height[:, None], levels[:, LEVELS],
              levels[:, WALL], levels[:, GROUND], cast.ground - 0.04 * cast.height)
        return canvas

    def cast(self, rng, count):
        """The Cast of `count` sequences; whoever walks is near the middle of the picture halfway."""
        rows, columns = self.size
        action = rng.integers(len(ACTIONS), size=count)
        shortest, longest = np.array([one.period for one in ACTIONS.values()])[action].T
        return Cast(action, height=rows * rng.uniform(*HEIGHT, count), ground=rows * rng.uniform(0.86, 0.95, count),
                    middle=columns * rng.uniform(0.38, 0.62, count), facing=rng.choice([-1, 1], count),
                    phase=rng.uniform(0, 2 * np.pi, count), rate=2 * np.pi / rng.uniform(shortest, longest),
                    vigour=rng.uniform(0.85, 1.15, count))


def gray_levels(rng, count):
    """The gray levels WALL to FAR_TROUSERS of `count` sequences, (count,8); what is far is nearer to the wall."""
    wall = rng.uniform(150, 215, count)
    ground, skin = wall * rng.uniform(0.72, 0.92, count), rng.uniform(70, 120, count)
    shirt, trousers = rng.uniform(20, 120, count), rng.uniform(20, 100, count)
    far = lambda level: 0.75 * level + 0.25 * wall
    return np.stack([wall, ground, skin, far(skin), shirt, far(shirt), trousers, far(trousers)], axis=-1)


def pose(cast, frames):
    """Where the JOINTS of a Cast are, (N,T,joints,2): row and column in pixels."""
    steps = np.arange(frames) - (frames - 1) / 2
    phase = cast.phase[:, None] + cast.rate[:, None] * np.arange(frames)  # (N,T)
    angles = np.empty((8, *phase.shape))
    lead, lean = (np.array([getattr(one, name) for one in ACTIONS.values()])[cast.action, None]
                    for name in ("stride", "lean"))
    for number, action in enumerate(ACTIONS.values()):
        who = cast.action == number
        found = action.angles(np.sin(phase[who]), np.cos(phase[who]), cast.vigour[who, None])
        angles[:, who] = [np.broadcast_to(angle, phase[who].shape) for angle in found]

    def limb(start, length, angle):  # towards the front by the angle from straight down
        return start + length * np.stack([np.cos(angle), cast.facing[:, None] * np.sin(angle)], axis=-1)

    arm, forearm, far_arm, far_forearm, thigh, shin, far_thigh, far_shin = angles
    along = cast.facing[:, None] * lead * cast.height[:, None] * cast.rate[:, None] / (2 * np.pi) * steps
    # in heights of the person, from the hip; the lower foot is on the ground
    low = np.maximum(THIGH * np.cos(thigh) + SHIN * np.cos(shin), THIGH * np.cos(far_thigh) + SHIN * np.cos(far_shin))
    hip = np.zeros((*phase.shape, 2))
    neck = limb(hip, -TORSO, -lean)
    elbow, far_elbow = limb(neck, UPPER_ARM, arm), limb(neck, UPPER_ARM, far_arm)
    knee, far_knee = limb(hip, THIGH, thigh), limb(hip, THIGH, far_thigh)
    joints = np.stack([hip, neck, limb(neck, -NECK, -lean), elbow, limb(elbow, FOREARM, forearm), far_elbow,
                       limb(far_elbow, FOREARM, far_forearm), knee, limb(knee, SHIN, shin), far_knee,
                       limb(far_knee, SHIN, far_shin)], axis=2)
    places = joints * cast.height[:, None, None, None]
    places[..., 0] += (cast.ground[:, None] - low * cast.height[:, None])[..., None]
    places[..., 1] += (cast.middle[:, None] + along)[..., None]
    return places


@kernel(nogil=True)
def paint(canvas, joints, ends, radii, levels, wall, ground, horizon):
    """Fill canvas (N,T,H,W,1) uint8 with people before a wall, whose joints (N,T,J,2) are given in pixels.

    Limb k is a line from joint ends[k, 0] to ends[k, 1] with round ends, radii (N,limbs), in the gray levels
    (N,limbs); those of wall and ground (N,) meet at the row `horizon` (N,). Edges cover pixels in part.
    """
    count, frames, height, width, _ = canvas.shape
    picture = np.empty((height, width))
    for n in range(count):
        for t in range(frames):
            for y in range(height):
                share = min(max((y - horizon[n]) / 3 + 0.5, 0.0), 1.0)
                picture[y] = wall[n] + share * (ground[n] - wall[n]) - 12 * abs(2 * y / height - 1)
            for k in range(len(ends)):
                row, column = joints[n, t, ends[k, 0], 0], joints[n, t, ends[k, 0], 1]
                down, right = joints[n, t, ends[k, 1], 0] - row, joints[n, t, ends[k, 1], 1] - column
                length, reach = down * down + right * right, radii[n, k] + 0.5
                top, left = min(row, row + down) - reach, min(column, column + right) - reach
                bottom, end = max(row, row + down) + reach, max(column, column + right) + reach
                for y in range(max(0, int(np.ceil(top))), min(height, int(np.floor(bottom)) + 1)):
                    for x in range(max(0, int(np.ceil(left))), min(width, int(np.floor(end)) + 1)):
                        # the nearest point of the line is this share of the way along it
                        share = ((y - row) * down + (x - column) * right) / length if length > 0 else 0.0
                        share = min(max(share, 0.0), 1.0)
                        distance = np.hypot(y - row - share * down, x - column - share * right)
                        cover = min(max(reach - distance, 0.0), 1.0)
                        picture[y, x] += cover * (levels[n, k] - picture[y, x])
            for y in range(height):
                for x in range(width):
                    canvas[n, t, y, x, 0] = np.uint8(min(max(np.rint(picture[y, x]), 0.0), 255.0))
