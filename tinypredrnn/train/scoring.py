"""Predict and score whole sets of sequences, and save scores and pictures in a run's folder."""

import numpy as np
from tqdm import tqdm

from tinypredrnn.autograd import no_grad
from tinypredrnn.data.scale import BYTES
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.files import read_json
from tinypredrnn.metrics import BASELINES, DEFAULT, Scores, comparison, match, metrics_of, table
from tinypredrnn.train.checkpoint import checksum
from tinypredrnn.train.parallel import ALONE
from tinypredrnn.train.run import SCORED, ReadOnlyRun, RunFolder
from tinypredrnn.viz import LEVELS, save_frame_curves, save_gif, save_maps, save_strip

MAX_PICTURED = 3  # sequences of a test set that are drawn
FITTED_BATCHES, FITTED_BATCH = 20, 25  # of training sequences, on which baselines are fitted


def predict(model, inputs, horizon, matched=False):
    """The next `horizon` frames as a NumPy array: (N,J,H,W,C) -> (N,horizon,H,W,C), clipped to [0, 1], without
    gradients; if `matched`, with the values of the last input frame (metrics.match).

    NaN, which marks places without data, is given to the model as 0. The model is in evaluation mode meanwhile.
    """
    if not len(inputs):  # one of several processes may have none
        return np.empty((0, horizon, *inputs.shape[2:]), inputs.dtype)
    known = np.nan_to_num(inputs) if np.isnan(inputs).any() else inputs
    with no_grad(), model.evaluating():
        frames = model(known, horizon).numpy().clip(0, 1)
    return match(frames, inputs) if matched else frames


def score_set(model, sequences, given, scale=BYTES, metrics=DEFAULT, baselines=("copy_last",), protocol="float",
              batch=25, progress=iter, training=None, ranks=ALONE, matched=False):
    """Score a set of stored sequences (N,T,H,W,C): the model sees `given` frames and predicts the rest.

    scale                the Scale that maps the frames to [0, 1]
    metrics, baselines   like those of a Source
    protocol             as for Scores
    progress             wraps the iteration over batches, for example tqdm
    training             a function that gives an iterator over batches of stored training sequences, on which
                         baselines are fitted that need it
    ranks                the processes that share the batches (parallel.py); all return the scores of all sequences
    matched              as for `predict`

    Returns an entry of metrics.json.
    """
    def cut(stored):
        frames = scale.to_model(stored)
        return frames[:, :given], frames[:, given:]

    scores = Scores(metrics, baselines, protocol, training and (lambda: map(cut, training())))
    for start in progress(range(0, len(sequences), batch)[ranks.rows]):
        inputs, truth = cut(sequences[start:start + batch])
        scores.add(predict(model, inputs, truth.shape[1], matched), truth, inputs)
    counts = ranks.gather(scores.counts())
    for other in counts[:ranks.rank] + counts[ranks.rank + 1:]:
        scores.merge(other)
    return scores.result()


def report(model, plan, source, iteration, out, tests=None, own=None, protocol="float", beside=None, ranks=ALONE,
           matched=False):
    """Score each test set of a world, print the tables, and save the scores and pictures in a run's folder.

    plan, iteration   those of the weights
    source            a Source; each of its test sets becomes an entry of metrics.json under its name, with the source's
                      notes and the iteration and checksum of the weights
    out               the folder: a path, or a RunFolder (or ReadOnlyRun) that the caller has entered
    tests             {name: function that returns sequences} to score in place of the source's own test sets
    own               name of the run's own test set (default: the source's first), whose pictures are prediction.png
                      and .gif and frame_curves.png; the pictures of other test sets have the set's name in their names
    beside            {name: (model, entries of its metrics.json)} of other networks, whose predictions and curves are
                      drawn with these (beside.png, beside_curves.png), as in the paper's Figures 5 and 6
    ranks             the processes that share the sequences (parallel.py)
    matched           as for `predict`

    Raises DataError if metrics.json is damaged, ConfigError if a network beside was not scored on the same sequences,
    BusyError if another program is writing into the folder.
    """
    with out if isinstance(out, (RunFolder, ReadOnlyRun)) else RunFolder(out) as folder:
        path = folder.path / "metrics.json"
        read_scores(path)  # a damaged file should be reported before the work, not after it
        if tests is None:
            tests = source.tests()
            own = next(iter(tests)) if own is None else own
        for name, make in tests.items():
            sequences, given = make(), plan.data.given
            entry = source.notes | {"iteration": iteration, "weights_sha256": checksum(model.state_dict())} | score_set(
                model, sequences, given, source.scale, source.metrics, source.baselines, protocol,
                progress=lambda batches: tqdm(batches, "scoring", leave=False, dynamic_ncols=True, disable=None),
                training=lambda: (source.batch(k, FITTED_BATCH) for k in range(FITTED_BATCHES)), ranks=ranks,
                matched=matched)
            folder.write_json("metrics.json", read_scores(path) | {name: entry}, amends=True)
            chosen = np.linspace(0, len(sequences) - 1, min(MAX_PICTURED, len(sequences))).astype(int)
            frames = source.scale.to_model(sequences[chosen])
            inputs, truth = frames[:, :given], frames[:, given:]
            shown = inputs, truth, predict(model, inputs, truth.shape[1], matched)
            strip, animation, curves, maps, strips, all_curves = (
                picture.format("" if name == own else f"-{name}") for picture in SCORED)
            folder.draw(strip, save_strip, *shown)
            folder.draw(animation, save_gif, *shown)
            folder.draw(curves, save_frame_curves, entry)
            if source.scale.unit in LEVELS:
                frames = most_active(sequences, source.scale)[None]
                inputs, truth = frames[:, :given], frames[:, given:]
                rows = hindcast(inputs, truth, predict(model, inputs, truth.shape[1], matched), source.baselines)
                folder.draw(maps, save_maps, inputs[0], rows, source.scale)
            if beside:
                entries = {plan.model: entry} | {other: of[1].get(name) for other, of in beside.items()}
                for other, found in entries.items():
                    if not same_test(entry, found):
                        raise ConfigError(f"{other} was not scored on the same sequences of {name}: evaluate it first, "
                                          "with the same options")
                inputs, truth, ours = shown
                predictions = {other: predict(of[0], inputs, truth.shape[1]) for other, of in beside.items()}
                folder.draw(strips, save_strip, inputs, truth, {plan.model: ours} | predictions)
                folder.draw(all_curves, save_frame_curves, entries)
            print("\n".join([f"{name}, {len(sequences)} test sequences of step {iteration:,}", table(entry),
                             *comparison(entry),
                             f"see {path.with_name(strip)}" + (f" and {path.with_name(strips)}" if beside else "")]))


def same_test(entry, other):
    """Whether two entries of metrics.json are of the same sequences, as far as they tell: whether copying the last
    frame, which knows no network, has the same scores."""
    if other is None or any(entry[name] != other[name] for name in ("sequences", "protocol")):
        return False
    scores = [np.array(one.get("copy_last", {}).get(f"{metrics_of(entry)[0]['name']}_per_frame", ()), float)
              for one in (entry, other)]
    return scores[0].shape == scores[1].shape and np.allclose(*scores, rtol=1e-6, atol=0, equal_nan=True)


def most_active(sequences, scale):
    """The sequence (T,H,W,C) of the largest mean on the model's scale, for which a forecast matters most."""
    return max((scale.to_model(frames) for frames in sequences), key=lambda frames: np.nan_to_num(frames).mean())


def hindcast(inputs, truth, prediction, baselines):
    """The rows of maps (viz.save_maps) of one sequence: what came, and forecasts of it from the inputs.

    inputs (1,J,H,W,C), truth (or None) and the model's prediction (1,T,H,W,C) -> {"truth": (T,H,W,C), "model": ...,
    title of each of these baselines that needs no fit: ...}
    """
    rows = {} if truth is None else {"truth": truth}
    rows |= {"model": prediction}
    rows |= {baseline.title: baseline.predict(inputs, prediction.shape)
             for baseline in map(BASELINES.get, baselines) if not baseline.fit}
    return {name: frames[0] for name, frames in rows.items()}


def read_scores(path):
    """The entries that metrics.json has so far. DataError if it is damaged."""
    entries = read_json(path) if path.is_file() else {}
    if entries is None:
        raise DataError(f"{path} is damaged: move it elsewhere; its scores can be computed again")
    return entries
