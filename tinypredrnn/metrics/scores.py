"""The scores of a model on a test set: sums are collected batch by batch and become an entry of metrics.json.

Publications compute PSNR and SSIM in different ways (on floats, on bytes, even on bytes whose differences wrap around),
so each score names its protocol:

    "float"     everything on floats with values in [0,1];
    "official"  PSNR and SSIM on frames floored to 256 levels, uint8(255 x), as in the PyTorch code of the paper's
                authors. Their MSE stays on floats, and so does ours; they compute no MAE and no CE, which are the same
                in both protocols. They let the PSNR of a perfect frame be infinite; ours is 100 dB.
"""

import numpy as np

from tinypredrnn.errors import ConfigError, DataError, DTypeError, ShapeError
from tinypredrnn.metrics.baselines import BASELINES
from tinypredrnn.metrics.metric import on_levels
from tinypredrnn.metrics.pixels import CE, MAE, MSE, PSNR
from tinypredrnn.metrics.structure import SSIM

DIGITS = (MSE, MAE, CE, PSNR, SSIM)  # pixels of digits are nearly black or white, so that CE has a meaning
DEFAULT = (MSE, MAE, PSNR, SSIM)
PROTOCOLS = {"float": (), "official": (PSNR, SSIM)}  # the metrics that each computes on 256 levels


def describe(metric):
    """What tables and figures need to know about a Metric, for metrics.json."""
    return {name: getattr(metric, name) for name in ("name", "title", "unit", "higher_is_better", "panel")}


def as_sequences(array, name):
    """`array` as floating-point sequences (N,T,H,W,C): uint8 frames are divided by 255, floats are taken as they are.

    Raises ShapeError, DTypeError, or DataError if a value is NaN or infinite: clipping must not hide that a model has
    diverged.
    """
    array = _as_floats(array, name)
    _check_finite(array, name)
    return array


def _as_floats(array, name):
    array = np.asarray(array)
    if array.ndim != 5 or array.size == 0:
        raise ShapeError(
            f"{name} must be sequences of shape (N,T,H,W,C), none of them 0, and has shape {array.shape}: "
            "add the missing axes."
        )
    if array.dtype == np.uint8:
        return array / np.float32(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise DTypeError(
            f"{name} must be floats in [0,1] or uint8 in 0..255, and has dtype {array.dtype}: convert it first."
        )
    return array


def _check_finite(array, name, truth=None):
    """DataError unless all values are finite, or, if a truth is given, all values at its known places."""
    if np.isfinite([array.min(), array.max()]).all():
        return  # the usual case, without another array of this size
    where = True if truth is None else ~np.isnan(truth)
    if not np.isfinite(array).all(where=where):
        raise DataError(
            f"{name} must hold finite values, and holds NaN or infinity: has the model that made it diverged?"
        )


def _as_truth(array, name):
    """`array` as sequences that are in [0,1], or NaN in places without data; a truth is never clipped."""
    array = _as_floats(array, name)
    least, most = np.fmin.reduce(array, axis=None), np.fmax.reduce(array, axis=None)  # of the known values
    if least < 0 or most > 1:
        raise DataError(f"{name} must lie in [0,1], and lies in [{least:g}, {most:g}]: scale it first.")
    return array


def score(prediction, truth, metrics=DIGITS, protocol="float"):
    """The scores by predicted frame: {"mse": (T,), "mae": (T,), ...}, float64, NaN if there is no score.

    prediction  (N,T,H,W,C), floats in any finite range (clipped to [0,1]) or uint8 (divided by 255)
    truth       (N,T,H,W,C), floats in [0,1] or uint8; NaN in places without data, where the prediction may be anything
    metrics     the Metrics to compute
    protocol    "float" or "official"; see the top of this file

    Raises ShapeError, DTypeError, DataError or ConfigError.
    """
    scores = Scores(metrics, (), protocol)
    scores.add(prediction, truth)
    return scores.curves("model")


class Scores:
    """The scores of a model and of baselines on a test set, collected batch by batch.

        scores = Scores()
        for inputs, truth in batches:                                    # (B,T,H,W,C) each
            scores.add(model(inputs, truth.shape[1]), truth, inputs)
        print(table(scores.result()))

    metrics     the Metrics to compute, the most important one first
    baselines   names out of BASELINES
    protocol    "float" or "official"; see the top of this file
    training    a function that gives an iterator over batches (inputs, truth) of training sequences, as for `add`, on
                which baselines are fitted that need it

    Only sums are kept, so a test set of any length fits into memory, and its division into batches changes nothing.
    ConfigError if a baseline or the protocol is unknown, if a baseline cannot be fitted, or if two metrics have the
    same name.
    """

    def __init__(self, metrics=DIGITS, baselines=("copy_last", "black"), protocol="float", training=None):
        if protocol not in PROTOCOLS:
            raise ConfigError(
                f"The protocol must be one of {', '.join(PROTOCOLS)}, and is {protocol!r}: choose one of these."
            )
        metrics = tuple(metrics)
        for name in baselines:
            if name not in BASELINES:
                raise ConfigError(
                    f"The baselines must be out of {', '.join(BASELINES)}, and one is {name!r}: choose among these."
                )
            if BASELINES[name].fit and training is None:
                raise ConfigError(
                    f"The baseline {name} is fitted on training sequences, and there are none: give Scores(training=)."
                )
        if not 0 < len({metric.name for metric in metrics}) == len(metrics):
            raise ConfigError(
                f"Metrics must have different names, and have {[metric.name for metric in metrics]}: rename them."
            )
        self.metrics = [on_levels(metric) if metric in PROTOCOLS[protocol] else metric for metric in metrics]
        self.baselines, self.protocol = tuple(baselines), protocol
        self.fitted = {name: BASELINES[name].fit(training()) if BASELINES[name].fit else {} for name in baselines}
        self.sums = {}  # {(row, name of a metric): (T,P)}
        self.sequences = self.pixels = self.known = 0
        self.perfect = dict.fromkeys(baselines, 0)  # sequences that the baseline predicts perfectly

    def add(self, prediction, truth, inputs=None):
        """Score a batch: prediction and truth (B,T,H,W,C) as for `score`, and the frames before them (B,J,H,W,C).

        These may have places without data (NaN), and are only needed if there are baselines.
        """
        prediction, truth = _as_floats(prediction, "The prediction"), _as_truth(truth, "The truth")
        if prediction.shape != truth.shape:
            raise ShapeError(
                f"Prediction and truth must have the same shape, and have {prediction.shape} and {truth.shape}: "
                "give both the same sequences and the same predicted frames."
            )
        _check_finite(prediction, "The prediction", truth)
        batch, horizon, *frame = truth.shape
        expected = len(next(iter(self.sums.values()))) if self.sums else horizon
        if horizon != expected:
            raise ShapeError(
                f"All batches must have {expected} predicted frames as the first has, and this one has {horizon}: "
                "score it apart."
            )
        if self.baselines:
            if np.ndim(inputs) != 5 or np.shape(inputs)[:1] + np.shape(inputs)[2:] != (batch, *frame):
                raise ShapeError(
                    f"The input frames must have the shape ({batch},J,{','.join(map(str, frame))}) with any number J "
                    f"of them, and have {np.shape(inputs)}: give the frames before the truth."
                )
            inputs = _as_truth(inputs, "The input frames")

        # stored only if all sequences can be scored
        sums, perfect, known = dict(self.sums), dict(self.perfect), self.known
        for n in range(batch):  # one sequence at a time bounds the memory
            one = slice(n, n + 1)
            y = truth[one].astype(np.float64)  # float32 would lose digits in sums of thousands of pixels
            unknown = np.isnan(y)
            known += y.size - np.count_nonzero(unknown)
            rows = {"model": prediction[one]}
            rows |= {
                name: BASELINES[name].predict(inputs[one], y.shape, **fitted) for name, fitted in self.fitted.items()
            }
            for row, p in rows.items():
                p = np.clip(p, 0, 1).astype(np.float64)
                p[unknown] = np.nan  # so that no metric can count them
                for metric in self.metrics:
                    sums[row, metric.name] = sums.get((row, metric.name), 0) + self._parts(metric, p, y)
                if row != "model":
                    perfect[row] += bool(((p == y) | unknown).all() and not unknown.all())
        self.sums, self.perfect, self.known = sums, perfect, known
        self.sequences += batch
        self.pixels += truth.size

    def counts(self):
        """All that is summed over sequences, as plain values that another process can `merge`."""
        return self.sums, self.perfect, self.known, self.sequences, self.pixels

    def merge(self, counts):
        """Add the `counts` of Scores of other sequences, with the same metrics and baselines."""
        sums, perfect, known, sequences, pixels = counts
        self.sums = self.sums | {key: self.sums.get(key, 0) + parts for key, parts in sums.items()}
        self.perfect = {name: number + perfect[name] for name, number in self.perfect.items()}
        self.known, self.sequences, self.pixels = (
            self.known + known, self.sequences + sequences, self.pixels + pixels
        )

    def _parts(self, metric, prediction, truth):
        """The parts (T,P) of one sequence."""
        parts = metric.parts(prediction, truth)
        if np.ndim(parts) != 3 or parts.shape[:2] != truth.shape[:2]:
            raise ShapeError(
                f"The parts of {metric.name} must have the shape (N,T,P) with (N,T) = {truth.shape[:2]}, "
                f"and have {np.shape(parts)}: stack them along a last axis."
            )
        return parts.sum(axis=0)

    def curves(self, row):
        """The scores by predicted frame of "model" or of a baseline: {name of a metric: (T,)}, NaN if there is none."""
        with np.errstate(divide="ignore", invalid="ignore"):  # 0/0: there was nothing to score
            return {metric.name: metric.finish(self.sums[row, metric.name]) for metric in self.metrics}

    def result(self):
        """One entry of metrics.json, made of plain numbers, lists and strings; None if there is no score.

        It has `sequences` and `protocol`; `known`, the share of known pixels in the truth, unless all are known; for
        the model `mse`, ... (means over the predicted frames) and `mse_per_frame`, ... (lists, from the first predicted
        frame); the same for each baseline under its name (`copy_last`, `black`), with `perfect_sequences`, the number
        of sequences that it predicts perfectly, and with the numbers to which it was fitted, if it was; its means
        again, for quick access, as `copy_last_mse`, ...; and `metrics`, the descriptions that tables and figures need.
        """
        if not self.sequences:
            raise DataError(
                "Scores need at least one batch, and got none: call add(prediction, truth, inputs) first."
            )
        rivals = {name: self._summary(name) for name in self.baselines}
        at_hand = {
            f"{name}_{metric.name}": rival[metric.name] for name, rival in rivals.items() for metric in self.metrics
        }
        for name, rival in rivals.items():
            rival |= {"perfect_sequences": self.perfect[name]} | self.fitted[name]
        return {
            "sequences": self.sequences,
            "protocol": self.protocol,
            **({"known": self.known / self.pixels} if self.known < self.pixels else {}),
            **self._summary("model"),
            **at_hand,
            **rivals,
            "metrics": [describe(metric) for metric in self.metrics],
        }

    def _summary(self, row):
        curves = self.curves(row)
        lists = {f"{name}_per_frame": [_plain(value) for value in curve] for name, curve in curves.items()}
        return {name: _plain(_mean(curve)) for name, curve in curves.items()} | lists


def _mean(curve):
    """The mean over the frames that have a score."""
    scores = curve[np.isfinite(curve)]
    return scores.mean() if scores.size else np.nan


def _plain(value):
    """A number as JSON can hold it."""
    return float(value) if np.isfinite(value) else None
