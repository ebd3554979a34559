"""The scale of frames: a model is made for values in [0, 1] and refuses frames on another scale."""

import math

from tinypredrnn.errors import RangeError

MARGIN = 0.25  # how far outside [0, 1] the first frame may be
PREDICTION_MARGIN = 2  # the same for later frames, which may be predictions


def check_range(frames):
    """RangeError if frames (B,T,H,W,C) are too far outside [0, 1]. This waits for the GPU, so training skips it."""
    for part, margin in (frames[:, :1], MARGIN), (frames, PREDICTION_MARGIN):
        least, most = float(part.min()), float(part.max())
        if least >= -margin and most <= 1 + margin:  # false for NaN
            continue
        if math.isnan(least + most):
            remedy = "replace NaN and infinity, for example in places without data, by values in [0, 1]"
        elif least >= 0 and most <= 255:
            remedy = "divide them by 255"
        elif least >= -1 and most <= 1:
            remedy = "map them from [-1, 1] by (x + 1) / 2"
        else:
            remedy = "scale them as the frames that the model was trained on were scaled"
        raise RangeError(f"model: expected frames in [0, 1], got {least:.4g} to {most:.4g}: {remedy}; up to {MARGIN} "
                         f"outside [0, 1] is accepted, and up to {PREDICTION_MARGIN} in predictions that are fed back "
                         "after the first frame")
