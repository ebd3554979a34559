"""Measure how good predictions are: metrics, computed frame by frame, and baselines that need no model.

Prediction and truth are sequences (N,T,H,W,C) with values in [0,1]. For every frame of every sequence the prediction is
clipped to [0,1], and then

    MSE   sum over the pixels of (p - y)^2                               the paper's Tables 1 and 2, Figure 3
    MAE   sum over the pixels of |p - y|
    CE    sum over the pixels of -y ln p - (1 - y) ln(1 - p), in nats    the paper's Table 1
    PSNR  -10 log10(mean over the pixels of (p - y)^2), in dB            the paper's Figure 5
    SSIM  structural similarity (Wang et al., 2004), at most 1           the paper's Figure 5

"Pixels" means rows, columns and channels. The score of frame t is the mean over the sequences; the single score of a
model is the mean over its predicted frames. Other metrics, such as the ratios of counted events by which forecasts of
rain are judged, are not means over sequences; metric.py defines metrics so that both kinds are collected in the same
way.

Places without data are NaN in the truth, and no metric counts them: sums and means are taken over the known pixels,
SSIM over the windows without unknown pixels. A frame without any known pixel is left out.

    metric.py     what a metric is                    scores.py     the scores of a test set, collected batch by batch
    pixels.py     MSE, MAE, CE, PSNR                  report.py     scores in words
    structure.py  SSIM                                baselines.py  predictions without a model
    events.py     CSI, POD, FAR, frequency bias, FSS  flow.py       one of these: extrapolation by optical flow
    sharpness.py  gradient energy                     matching.py   forecasts with the values of the last frame
    reliability.py  of probabilities
"""

from tinypredrnn.metrics.baselines import BASELINES, Baseline
from tinypredrnn.metrics.events import event_metrics
from tinypredrnn.metrics.matching import match
from tinypredrnn.metrics.metric import Metric, mean_of, on_levels
from tinypredrnn.metrics.pixels import CE, MAE, MSE, PSNR, cross_entropy, mae, mse, psnr
from tinypredrnn.metrics.reliability import count_reliability
from tinypredrnn.metrics.report import baselines_of, comparison, metrics_of, table
from tinypredrnn.metrics.scores import DEFAULT, DIGITS, PROTOCOLS, Scores, as_sequences, score
from tinypredrnn.metrics.sharpness import SHARPNESS
from tinypredrnn.metrics.structure import SSIM, SSIM_WINDOW, ssim

__all__ = ["BASELINES", "CE", "DEFAULT", "DIGITS", "MAE", "MSE", "PROTOCOLS", "PSNR", "SHARPNESS", "SSIM",
           "SSIM_WINDOW", "Baseline", "Metric", "Scores", "as_sequences", "baselines_of", "comparison",
           "count_reliability", "cross_entropy", "event_metrics", "mae", "match", "mean_of", "metrics_of", "mse",
           "on_levels", "psnr", "score", "ssim", "table"]
