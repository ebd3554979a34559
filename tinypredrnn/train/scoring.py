"""Predicting and scoring a whole set of sequences."""

import numpy as np

from tinypredrnn.autograd import no_grad
from tinypredrnn.metrics import Scores


def to_unit(frames, dtype=np.float32):
    """Stored frames (uint8) as the network sees them: in [0, 1]."""
    return frames.astype(dtype) / 255


def predict(model, inputs, horizon):
    """The next `horizon` frames as a NumPy array: (N,J,H,W,C) -> (N,horizon,H,W,C), clipped to [0, 1], nothing recorded."""
    with no_grad():
        return model(inputs, horizon).numpy().clip(0, 1)


def score_set(model, sequences, given, protocol="float", batch=25, progress=iter):
    """Score a set (N,T,H,W,C) uint8: the model sees `given` frames and predicts the rest. Returns an entry of metrics.json.

    `progress` wraps the iteration over batches, such as tqdm.
    """
    scores = Scores(protocol)
    for start in progress(range(0, len(sequences), batch)):
        frames = to_unit(sequences[start:start + batch])
        scores.add(predict(model, frames[:, :given], frames.shape[1] - given), frames[:, given:], frames[:, given - 1])
    return scores.result()
