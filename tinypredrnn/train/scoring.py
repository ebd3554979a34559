"""Predicting and scoring a whole set of sequences, and what a run's folder keeps of that."""

import numpy as np
from tqdm import tqdm

from tinypredrnn.autograd import no_grad
from tinypredrnn.errors import DataError
from tinypredrnn.files import read_json
from tinypredrnn.metrics import Scores, table
from tinypredrnn.train.checkpoint import checksum
from tinypredrnn.train.run import SCORED, RunFolder
from tinypredrnn.viz import save_frame_curves, save_gif, save_strip


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


def report(model, config, iteration, sequences, out, name, heading, suffix="", drawn=slice(3), protocol="float", **notes):
    """Score sequences (N,T,H,W,C) uint8, print the table under a heading, and leave the scores and the pictures in the folder `out`.

    out       the run's folder, as a path or as the RunFolder that the caller is in; BusyError if another program writes into it
    name      the entry of metrics.json that the scores become, with the notes and with the iteration and checksum of
              the weights
    drawn     selects the sequences that are drawn in prediction{suffix}.png and .gif; frame_curves{suffix}.png has the scores by frame

    DataError if metrics.json is damaged.
    """
    with out if isinstance(out, RunFolder) else RunFolder(out) as folder:
        path = folder.path / "metrics.json"
        read_scores(path)  # if it is damaged, that is better said before the work than after it
        result = score_set(model, sequences, config.given, protocol,
                           progress=lambda batches: tqdm(batches, "scoring", leave=False, dynamic_ncols=True, disable=None))
        notes |= {"iteration": iteration, "weights_sha256": checksum(model.state_dict())}
        folder.write_json("metrics.json", read_scores(path) | {name: notes | result}, amends=True)
        frames = to_unit(sequences[drawn])
        shown = frames[:, :config.given], frames[:, config.given:], predict(model, frames[:, :config.given], config.horizon)
        strip, animation, curves = (picture.format(suffix) for picture in SCORED)
        folder.draw(strip, save_strip, *shown)
        folder.draw(animation, save_gif, *shown)
        folder.draw(curves, save_frame_curves, result)
    print(f"{heading}\n{table(result)}")
    of_copy, of_black = (result["mse"] / max(result[rival], 1e-9) for rival in ("copy_last_mse", "black_mse"))  # either may be perfect
    print(f"MSE is {of_copy:.2f} of copying the last frame and {of_black:.2f} of black; see {path.with_name(strip)}")


def read_scores(path):
    """The entries of metrics.json so far; DataError if it is damaged."""
    entries = read_json(path) if path.is_file() else {}
    if entries is None:
        raise DataError(f"{path} is damaged: move it elsewhere; its scores can be computed again")
    return entries
