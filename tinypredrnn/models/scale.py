"""The scale of frames: a model is made for values in [0, 1], and tells what comes on another one."""

import math

from tinypredrnn.errors import RangeError

MARGIN, OVERSHOT = 0.25, 2  # how far beside [0, 1] a first frame may be, and those after it, which may be predictions fed back


def check_range(frames):
    """RangeError where the values of frames (B,T,H,W,C) are not about [0, 1]. A GPU has to be waited for: training does not ask."""
    for part, margin in (frames[:, :1], MARGIN), (frames, OVERSHOT):
        least, most = float(part.min()), float(part.max())
        if least >= -margin and most <= 1 + margin:  # NaN is neither
            continue
        if math.isnan(least + most):
            remedy = "replace what is no number, such as places without data, by a value in [0, 1]"
        elif least >= 0 and most <= 255:
            remedy = "divide them by 255"
        elif least >= -1 and most <= 1:
            remedy = "map them from [-1, 1] by (x + 1) / 2"
        else:
            remedy = "scale them as the frames that the model was trained on were scaled"
        raise RangeError(f"model: expected frames in [0, 1], got {least:.4g} to {most:.4g}: {remedy}; up to {MARGIN} beside [0, 1] is "
                         f"taken, and up to {OVERSHOT} in predictions that are fed back after the first frame")
