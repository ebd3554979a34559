"""What the axes of an array mean and in which order they are: N clips, T times, H rows, W columns, C channels.

The plain orders are THW, THWC, NTHW and NTHWC. Channels in another place are recognised by their number, and the user
is told so. If the shape does not decide, the frames are compared: successive frames are more alike than frames of two
clips. If that contradicts the plain order, the array is refused, never guessed, and the error names the option that
gives the order.
"""

import numpy as np

from tinypredrnn.data.reading.frames import check_frame
from tinypredrnn.errors import DataError
from tinypredrnn.options import called

SHAPES = "clips (N,T,H,W) or (N,T,H,W,C), or one clip (T,H,W) or (T,H,W,C)"
MAX_CHANNELS_ANYWHERE = 4  # an axis this short may be channels in any place: gray, a vector field, colour, infrared
MAX_CHANNELS = 16  # a longer last axis is channels only if the order is given
MAX_CLIPS = 1_000_000  # in one array
PAIRS, SIDE = 200, 64  # how many pairs of frames are compared, and on about how many rows and columns of each


def array_to_clips(name, array, order, messages):
    """{name: clip (T,H,W,C)} of an array, without a copy. `order` names its axes; if it is "", it is inferred.

    DataError if the array cannot hold clips, or if its axes may have another meaning than in the plain order.
    """
    if array.dtype.kind not in "biuf":
        raise DataError(f"expected numbers, got {array.dtype} in {name}")
    if 0 in array.shape or not order and not 3 <= array.ndim <= 5:
        raise DataError(f"expected {SHAPES}, got {array.shape} in {name}")
    order = order or find_order(name, array, messages)
    if len(order) != array.ndim:
        raise DataError(f"the order {order} names {len(order)} axes, {name} has {array.ndim}: {array.shape}")
    array = array.transpose([order.index(letter) for letter in "NTHWC" if letter in order])
    array = array.view(np.uint8) if array.dtype == bool else array  # 0 and 1
    array = array if "C" in order else array[..., None]
    check_frame(*array.shape[-3:-1])
    if "N" not in order:
        return {name: array}
    if len(array) > MAX_CLIPS:
        raise DataError(f"expected at most {MAX_CLIPS:,} clips, got {len(array):,} in {name}: cut it into several")
    return {f"{name}[{n}]": clip for n, clip in enumerate(array)}


def find_order(name, array, messages):
    """The order of the 3 to 5 axes of an array, such as "NTHW"."""
    shape, axes = array.shape, array.ndim
    if axes == 4 and shape[3] <= MAX_CHANNELS_ANYWHERE:
        return "THWC"
    if axes == 4 and shape[1] == 1:
        messages.append(f"{name} {shape} is read as one film whose second axis holds its single channel (order TCHW); "
                        f"{called('order')} NTHW if it holds clips of one frame each")
        return "TCHW"
    if axes == 4 and shape[1] <= MAX_CHANNELS_ANYWHERE < shape[0] and first_axis_is_time(array):
        refuse(name, shape, "neighbours along its first axis are alike, as frames that follow each other are", "TCHW",
               "TNHW", "NTHW")
    if axes == 4 and shape[3] <= MAX_CHANNELS and min(shape[1:3]) > 2 * shape[3]:
        refuse(name, shape, f"its last axis may be {shape[3]} channels, or frames {shape[3]} pixels wide", "THWC",
               "NTHW")
    order = {3: "THW", 4: "NTHW", 5: "NTHWC"}[axes]
    if axes < 5 and time_is_last(*([array] if axes == 3 else array[::max(1, len(array) // 5)])):
        refuse(name, shape, "its frames seem to lie along the last axis", order.replace("THW", "HWT"), order)
    if axes == 5 and shape[2] <= MAX_CHANNELS_ANYWHERE < shape[4]:
        order = "NTCHW"
    elif axes == 5 and shape[1] <= MAX_CHANNELS_ANYWHERE < shape[2] and shape[4] > MAX_CHANNELS:
        order = "NCTHW"
    elif axes == 5 and shape[4] > MAX_CHANNELS:
        refuse(name, shape, f"{shape[4]} channels are more than is usual", "NTHWC", "NTCHW", "NCTHW")
    if order in ("NTCHW", "NCTHW"):
        messages.append(f"{name} {shape} is read in the order {order}; {called('order')} names another one")
    if order.startswith("NT") and time_is_first(array):
        refuse(name, shape, "neighbours along its first axis, where clips would be, are more alike than along its "
               "second, where time would be", "TN" + order[2:], order)
    return order


def refuse(name, shape, why, *orders):
    raise DataError(f"what do the axes of {name} {shape} mean? {why[0].upper() + why[1:]}: say it with "
                    + " or ".join(f"{called('order')} {order}" for order in orders)
                    + " (N clips, T times, H rows, W columns, C channels)")


def distance(one, other):
    """The mean difference between two frames, over the places where both have data."""
    steps = tuple(slice(None, None, max(1, n // SIDE)) for n in one.shape)
    difference = np.abs(one[steps].astype(np.float64) - other[steps])
    known = np.isfinite(difference)
    return difference[known].mean() if known.any() else 0.0


def closer(array, near, far):
    """Whether array[near(i, t)] is clearly, and nearly always, closer to array[i, t] than array[far(i, t)]."""
    draw, found = np.random.default_rng(0), []
    for _ in range(PAIRS):
        i, t = (int(draw.integers(max(1, n - 1))) for n in array.shape[:2])
        found.append([distance(array[i, t], array[place]) for place in (near(i, t), far(i, t))])
    first, second = np.array(found).T
    return first.mean() < 0.9 * second.mean() and (first < second).mean() > 0.75 * (first != second).mean()


def time_is_first(array):
    """Whether frames are more alike along the first axis than along the second."""
    return min(array.shape[:2]) > 1 and closer(array, lambda i, t: (i + 1, t), lambda i, t: (i, t + 1))


def first_axis_is_time(array):
    """Whether neighbours along the first axis are more alike than entries that are half of its length apart."""
    length = len(array)
    return closer(array, lambda i, t: (i + 1, t), lambda i, t: ((i + length // 2) % length, t))


def time_is_last(*clips):
    """Whether the last of three axes differs in kind from the first two, which then are rows and columns. This is only
    tested if, by their lengths, the first two are more likely to be the sides of a frame than the last two.
    """
    first, second, last = clips[0].shape
    square = first == second != last
    narrow = max(second, last) >= 2 * min(second, last) and max(first, second) < 2 * min(first, second)
    if min(first, second) < 8 or last == 1 or not (square or narrow):
        return False
    turned = [[np.moveaxis(clip, axis, 0) for clip in clips] for axis in range(3)]
    steps = np.log([np.mean([distance(a[:-1], a[1:]) for a in ways]) + 1e-12 for ways in turned])
    return abs(steps[0] - steps[1]) < abs(steps[1] - steps[2]) / 2 > 0.1
