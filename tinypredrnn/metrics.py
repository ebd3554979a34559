"""How good is a prediction? Five metrics, each computed frame by frame, always beside two baselines that need no model.

Prediction and truth are sequences (N,T,H,W,C) with values in [0,1]. For every frame of every sequence the prediction is clipped
to [0,1], and then

    MSE   sum over the pixels of (p - y)^2                               the paper's Tables 1 and 2, Figure 3
    MAE   sum over the pixels of |p - y|
    CE    sum over the pixels of -y ln p - (1 - y) ln(1 - p), in nats    the paper's Table 1
    PSNR  -10 log10(mean over the pixels of (p - y)^2), in dB            the paper's Figure 5
    SSIM  structural similarity (Wang et al., 2004), at most 1           the paper's Figure 5

"Pixels" means rows, columns and channels. The score of frame t is its mean over the sequences; a model's one number is the mean
over its predicted frames. Lower is better for the first three, higher for the last two.

Published PSNR and SSIM are not all computed alike (on floats, on bytes, even on bytes whose differences wrap around), so each
score names its protocol:

    "float"     everything on floats with values in [0,1];
    "official"  PSNR and SSIM on frames floored to 256 levels, uint8(255 x), as in the PyTorch code of the paper's authors. Their
                MSE stays on floats, and so does ours; they compute no MAE and no CE, which are the same in both protocols.

A perfect frame has an infinite PSNR. In both protocols the error is floored at 1e-10, so it scores 100 dB instead and means stay
finite; the official code lets it be infinite.
"""

import numpy as np

from tinypredrnn.errors import ConfigError, DataError, DTypeError, ShapeError

PROTOCOLS = ("float", "official")
PIXELS = (-3, -2, -1)  # the axes H, W and C of (..., H, W, C)
SSIM_WINDOW = 7
ROW_TITLES = {"model": "model", "copy_last": "copy last frame", "black": "all black"}


# The metrics. Each takes a prediction and a truth (..., H, W, C), float64 in [0,1], and gives one number per frame (...).


def mse(prediction, truth):
    """The squared error, summed over the pixels of a frame."""
    return np.square(prediction - truth).sum(PIXELS)


def mae(prediction, truth):
    """The absolute error, summed over the pixels of a frame."""
    return np.abs(prediction - truth).sum(PIXELS)


def cross_entropy(prediction, truth):
    """Nats per frame when each pixel is a coin that shows white with probability `truth` and `prediction` is the guess of it.

    Even a perfect prediction of gray pixels costs their own entropy, so the lower bound is not zero.
    """
    p = np.clip(prediction, 1e-6, 1 - 1e-6)
    return -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).sum(PIXELS)


def psnr(prediction, truth):
    """The peak signal-to-noise ratio of a frame in dB, where the peak is 1; 100 dB at most."""
    error = np.square(prediction - truth).mean(PIXELS)
    return -10 * np.log10(np.maximum(error, 1e-10))


def ssim(prediction, truth):
    """scikit-image's structural similarity of a frame: 7x7 uniform window, range 1, the mean over windows and channels."""
    from skimage.metrics import structural_similarity

    *frames, height, width, channels = truth.shape
    if min(height, width) < SSIM_WINDOW:
        raise ShapeError(
            f"SSIM expects frames of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, the size of its window, "
            f"and got {height}x{width}: score larger frames."
        )
    pairs = zip(prediction.reshape(-1, height, width, channels), truth.reshape(-1, height, width, channels), strict=True)
    values = [structural_similarity(p, y, win_size=SSIM_WINDOW, data_range=1, channel_axis=-1) for p, y in pairs]
    return np.reshape(values, frames)


METRICS = {"mse": mse, "mae": mae, "ce": cross_entropy, "psnr": psnr, "ssim": ssim}
ON_LEVELS = ("psnr", "ssim")  # what the official protocol computes on 256 levels


def as_sequences(array, name):
    """`array` as floating-point sequences (N,T,H,W,C): uint8 frames are divided by 255, floats are taken as they are.

    Raises ShapeError, DTypeError, or DataError where a value is NaN or infinite: clipping must not hide a model that diverged.
    """
    array = np.asarray(array)
    if array.ndim != 5 or array.size == 0:
        raise ShapeError(
            f"{name} must be sequences of shape (N,T,H,W,C), none of them 0, and has shape {array.shape}: add the missing axes."
        )
    if array.dtype == np.uint8:
        return array / np.float32(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise DTypeError(f"{name} must be floats in [0,1] or uint8 in 0..255, and has dtype {array.dtype}: convert it first.")
    if not np.isfinite([array.min(), array.max()]).all():
        raise DataError(f"{name} must hold finite values, and holds NaN or infinity: has the model that made it diverged?")
    return array


def _as_truth(array, name):
    """The same, for what must lie in [0,1] already: a truth is never clipped."""
    array = as_sequences(array, name)
    if array.min() < 0 or array.max() > 1:
        raise DataError(f"{name} must lie in [0,1], and lies in [{array.min():g}, {array.max():g}]: scale it first.")
    return array


def _check_protocol(protocol):
    if protocol not in PROTOCOLS:
        raise ConfigError(f"The protocol must be one of {', '.join(PROTOCOLS)}, and is {protocol!r}: choose one of these.")


def _check_shapes(prediction, truth):
    if prediction.shape != truth.shape:
        raise ShapeError(
            f"Prediction and truth must have the same shape, and have {prediction.shape} and {truth.shape}: "
            "give both the same sequences and the same predicted frames."
        )


def _floor_to_levels(frames):
    """256 levels of gray, as uint8(255 x) leaves them; a range of 1 or of 255 makes no difference to PSNR and SSIM after that."""
    return np.uint8(frames * 255) / 255


def _score_frames(prediction, truth, protocol):
    """Every metric of every frame: checked sequences (N,T,H,W,C) -> {name: (N,T)}."""
    scores = {name: np.empty(truth.shape[:2]) for name in METRICS}
    for n, (p, y) in enumerate(zip(prediction, truth, strict=True)):  # one sequence (T,H,W,C) at a time bounds the memory
        p = np.clip(p, 0, 1)
        exact = p.astype(np.float64), y.astype(np.float64)  # sums of thousands of pixels lose digits in float32
        levels = exact if protocol == "float" else (_floor_to_levels(p), _floor_to_levels(y))
        for name, metric in METRICS.items():
            scores[name][n] = metric(*(levels if name in ON_LEVELS else exact))
    return scores


def score(prediction, truth, protocol="float"):
    """Every metric, averaged over the sequences: {"mse": (T,), "mae": (T,), "ce": (T,), "psnr": (T,), "ssim": (T,)}, float64.

    prediction  (N,T,H,W,C), floats in any finite range (clipped to [0,1]) or uint8 (divided by 255)
    truth       (N,T,H,W,C), floats in [0,1] or uint8
    protocol    "float" or "official"; see the top of this file

    Raises ShapeError, DTypeError, DataError or ConfigError.
    """
    _check_protocol(protocol)
    prediction, truth = as_sequences(prediction, "The prediction"), _as_truth(truth, "The truth")
    _check_shapes(prediction, truth)
    return {name: values.mean(axis=0) for name, values in _score_frames(prediction, truth, protocol).items()}


class Scores:
    """The scores of a test set, collected batch by batch, for a model and for two baselines beside it.

    The baselines repeat the last input frame, and predict black. A model that does not beat both has learnt nothing about motion.

        scores = Scores()
        for inputs, truth in batches:                                    # (B,T,H,W,C) each
            scores.add(model(inputs, truth.shape[1]), truth, inputs[:, -1])
        print(table(scores.result()))

    Only one number per frame and metric is kept: a test set of any length fits, and how it is cut into batches changes nothing.
    """

    def __init__(self, protocol="float"):
        _check_protocol(protocol)
        self.protocol = protocol
        self.batches = []  # one entry per batch: {row: {metric: (B,T)}}

    def add(self, prediction, truth, last_input):
        """Score a batch: prediction and truth (B,T,H,W,C) as for `score`, and the frame just before them (B,H,W,C)."""
        prediction, truth = as_sequences(prediction, "The prediction"), _as_truth(truth, "The truth")
        _check_shapes(prediction, truth)
        batch, horizon, *frame = truth.shape
        if np.shape(last_input) != (batch, *frame):
            raise ShapeError(
                f"The last input frames must have the shape {(batch, *frame)} of the truth without its time axis, "
                f"and have {np.shape(last_input)}: give inputs[:, -1]."
            )
        expected = self.batches[0]["model"]["mse"].shape[1] if self.batches else horizon
        if horizon != expected:
            raise ShapeError(
                f"All batches must have {expected} predicted frames as the first has, and this one has {horizon}: score it apart."
            )
        last_input = _as_truth(np.expand_dims(last_input, 1), "The last input frame")  # (B,1,H,W,C)
        rows = {
            "model": prediction,
            "copy_last": np.broadcast_to(last_input, truth.shape),
            "black": np.broadcast_to(np.float32(0), truth.shape),
        }
        self.batches.append({row: _score_frames(frames, truth, self.protocol) for row, frames in rows.items()})

    def result(self):
        """One entry of metrics.json, made of plain numbers, lists and strings.

        `sequences` and `protocol`; for the model `mse`, `mae`, `ce`, `psnr`, `ssim` (means over the predicted frames) and
        `mse_per_frame`, ... (lists, first predicted frame first); the same ten names for each baseline under `copy_last` and
        `black`; and once more, at hand, `copy_last_mse` and `black_mse`.
        """
        if not self.batches:
            raise DataError("Scores need at least one batch, and got none: call add(prediction, truth, last_input) first.")
        rows = {row: self._summary(row) for row in self.batches[0]}
        return {
            "sequences": sum(len(batch["model"]["mse"]) for batch in self.batches),
            "protocol": self.protocol,
            **rows["model"],
            "copy_last_mse": rows["copy_last"]["mse"],
            "black_mse": rows["black"]["mse"],
            "copy_last": rows["copy_last"],
            "black": rows["black"],
        }

    def _summary(self, row):
        curves = {name: np.concatenate([batch[row][name] for batch in self.batches]).mean(axis=0) for name in METRICS}  # (T,)
        means = {name: float(curve.mean()) for name, curve in curves.items()}
        return means | {f"{name}_per_frame": curve.tolist() for name, curve in curves.items()}


def table(result):
    """The model and both baselines as a small text table, from what `Scores.result` gives."""
    frames = len(result["mse_per_frame"])
    lines = [
        f"per frame, mean of {frames} predicted frames of {result['sequences']} sequences, {result['protocol']} protocol",
        f"{'':16}{'MSE':>9}{'MAE':>9}{'CE':>9}{'PSNR':>9}{'SSIM':>9}",
    ]
    for row, title in ROW_TITLES.items():
        values = result if row == "model" else result[row]
        lines.append(f"{title:16}{{mse:9.2f}}{{mae:9.2f}}{{ce:9.2f}}{{psnr:9.2f}}{{ssim:9.3f}}".format(**values))
    return "\n".join(lines)
