"""Extrapolation by optical flow: find how the input frames move, and move the last one on in the same way.

This is what weather services do for the next hour of rain (Germann and Zawadzki, 2002; pySTEPS), and every model of
radar echoes is compared with it. It knows nothing of growth and decay.
"""

import numpy as np

PAIRS = 4  # of successive frames, the newest ones, whose motion is averaged: single flows are noisy
RADIUS, WARPS = 7, 5  # the neighbourhood in pixels over which motion is taken to be the same, and the refinements of it


def extrapolate(frames, steps):
    """The `steps` frames after `frames` (J,H,W,C), without NaN: (steps,H,W,C). With one frame, it is repeated."""
    flow, last = mean_flow(frames), np.asarray(frames[-1], np.float64)
    return advect(last, flow, steps).astype(frames.dtype)


def mean_flow(frames):
    """The mean motion over the last pairs of frames (J,H,W,C), in pixels per frame: (2,H,W), down and to the right.

    Each is an optical flow by the iterative method of Lucas and Kanade, as scikit-image computes it, of the mean over
    the channels.
    """
    from skimage.registration import optical_flow_ilk  # takes a second to import

    grey = frames[-PAIRS - 1:].mean(axis=-1, dtype=np.float32)
    # the flow f of a frame and the one before it: before(x + f) = after(x), so what is at x came from x + f
    flows = [-optical_flow_ilk(after, before, radius=RADIUS, num_warp=WARPS, gaussian=True, dtype=np.float32)
             for before, after in zip(grey, grey[1:])]
    return np.mean(flows, axis=0) if flows else np.zeros((2, *grey.shape[1:]))


def advect(frame, flow, steps):
    """Semi-Lagrangian advection: a frame (H,W,C) carried along a steady flow (2,H,W): (steps,H,W,C).

    The path of each pixel is followed backwards, from where it is to where it came from, with the flow in the middle of
    each step. The frame is interpolated once, at the end of the path; to do so at every step would blur it again and
    again. What comes in from outside is like the frame's nearest pixel.
    """
    from scipy.ndimage import map_coordinates

    def values(array, places):  # of (H,W) at places (2,H,W)
        return map_coordinates(array, places, order=1, mode="nearest")

    pixels = np.indices(flow.shape[1:], dtype=np.float64)
    places, moved = pixels, []
    for _ in range(steps):
        halfway = places - np.stack([values(part, places) for part in flow]) / 2
        places = places - np.stack([values(part, halfway) for part in flow])
        moved.append(np.stack([values(channel, places) for channel in np.moveaxis(frame, -1, 0)], axis=-1))
    return np.stack(moved)
