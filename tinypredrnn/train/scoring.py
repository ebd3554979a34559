"""Predicting and scoring a whole set of sequences, and what a run's folder keeps of that."""

import numpy as np
from tqdm import tqdm

from tinypredrnn.autograd import no_grad
from tinypredrnn.data.scale import BYTES
from tinypredrnn.errors import DataError
from tinypredrnn.files import read_json
from tinypredrnn.metrics import DEFAULT, Scores, compared, table
from tinypredrnn.train.checkpoint import checksum
from tinypredrnn.train.run import SCORED, RunFolder
from tinypredrnn.viz import save_frame_curves, save_gif, save_strip

DRAWN = 3  # sequences of a test set that are drawn


def predict(model, inputs, horizon):
    """The next `horizon` frames as a NumPy array: (N,J,H,W,C) -> (N,horizon,H,W,C), clipped to [0, 1], nothing recorded.

    NaN, a place without data, is given to the model as 0. The model is not in training meanwhile.
    """
    training = model.training
    try:
        with no_grad():
            return model.train(False)(np.nan_to_num(inputs) if np.isnan(inputs).any() else inputs, horizon).numpy().clip(0, 1)
    finally:
        model.train(training)


def score_set(model, sequences, given, scale=BYTES, metrics=DEFAULT, baselines=("copy_last",), protocol="float", batch=25, progress=iter):
    """Score a set (N,T,H,W,C), as stored: the model sees `given` frames and predicts the rest. Returns an entry of metrics.json.

    scale                a Scale, which brings the frames to [0, 1]
    metrics, baselines   as a Source has them; `protocol` as Scores takes it
    progress             wraps the iteration over batches, such as tqdm
    """
    scores = Scores(metrics, baselines, protocol)
    for start in progress(range(0, len(sequences), batch)):
        frames = scale.to_model(sequences[start:start + batch])
        scores.add(predict(model, frames[:, :given], frames.shape[1] - given), frames[:, given:], frames[:, given - 1])
    return scores.result()


def report(model, plan, source, iteration, out, own=None, protocol="float"):
    """Score each test set of a world, print the tables, and leave the scores and the pictures in a run's folder.

    plan, iteration   those of the weights
    source            a Source; its test sets become entries of metrics.json under their names, with its notes and with the iteration
                      and checksum of the weights
    out               the folder, as a path or as the RunFolder that the caller is in; BusyError if another program writes into it
    own               the run's own test set, whose pictures are prediction.png and .gif and frame_curves.png (default: the first one);
                      those of the others have the set's name in theirs

    DataError if metrics.json is damaged.
    """
    with out if isinstance(out, RunFolder) else RunFolder(out) as folder:
        path = folder.path / "metrics.json"
        read_scores(path)  # if it is damaged, that is better said before the work than after it
        tests = source.tests()
        own = next(iter(tests)) if own is None else own
        for name, make in tests.items():
            sequences, given = make(), plan.data.given
            entry = source.notes | {"iteration": iteration, "weights_sha256": checksum(model.state_dict())} | score_set(
                model, sequences, given, source.scale, source.metrics, source.baselines, protocol,
                progress=lambda batches: tqdm(batches, "scoring", leave=False, dynamic_ncols=True, disable=None))
            folder.write_json("metrics.json", read_scores(path) | {name: entry}, amends=True)
            frames = source.scale.to_model(sequences[np.linspace(0, len(sequences) - 1, min(DRAWN, len(sequences))).astype(int)])
            shown = frames[:, :given], frames[:, given:], predict(model, frames[:, :given], frames.shape[1] - given)
            strip, animation, curves = (picture.format("" if name == own else f"-{name}") for picture in SCORED)
            folder.draw(strip, save_strip, *shown)
            folder.draw(animation, save_gif, *shown)
            folder.draw(curves, save_frame_curves, entry)
            print("\n".join([f"{name}, {len(sequences)} test sequences of step {iteration:,}", table(entry), *compared(entry),
                             f"see {path.with_name(strip)}"]))


def read_scores(path):
    """The entries of metrics.json so far; DataError if it is damaged."""
    entries = read_json(path) if path.is_file() else {}
    if entries is None:
        raise DataError(f"{path} is damaged: move it elsewhere; its scores can be computed again")
    return entries
