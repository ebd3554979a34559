"""A metric that is no mean over sequences: a ratio of counts that are pooled over the test set, with a threshold in
physical units."""

import json
import warnings

import numpy as np
import pytest

from tinypredrnn import metrics
from tinypredrnn.data.scale import Scale

RADAR = Scale(stored=(0, 255), units=(-32, 95.5), unit="dBZ")


def csi(threshold, scale):
    """The critical success index of pixels that reach a threshold: hits / (hits + misses + false alarms)."""
    least = np.float32(scale.from_units(threshold))  # rounded as frames are: who has exactly the threshold reaches it

    def parts(prediction, truth):
        p, y = prediction >= least, truth >= least
        return np.stack([kind.sum((2, 3, 4)) for kind in (p & y, ~p & y, p & ~y)], axis=-1)

    name, title = f"csi_{threshold:g}", f"CSI {threshold:g} {scale.unit}"
    return metrics.Metric(name, title, "", True, parts, lambda sums: sums[:, 0] / sums.sum(axis=1))


CSI = csi(10, RADAR)


def rain(counts, shape=(1, 8, 8, 1)):
    """A prediction and a truth (N,1,8,8,1) with so many hits, misses and false alarms for each sequence."""
    prediction, truth = np.zeros((2, len(counts), *shape), np.float32)
    strong = np.float32(RADAR.from_units(30))
    for p, y, (hits, misses, false_alarms) in zip(
        prediction.reshape(len(counts), -1), truth.reshape(len(counts), -1), counts
    ):
        y[: hits + misses] = strong
        p[:hits] = strong
        p[hits + misses : hits + misses + false_alarms] = strong
    return prediction, truth


def test_counts_are_pooled():
    prediction, truth = rain([(9, 1, 0), (1, 4, 5), (0, 0, 0)])
    assert metrics.score(prediction, truth, [CSI])["csi_10"] == [10 / 20]
    by_sequence = [metrics.score(p[None], y[None], [CSI])["csi_10"].item() for p, y in zip(prediction, truth)]
    assert by_sequence[:2] == [0.9, 0.1] and np.isnan(by_sequence[2])  # their mean is undefined
    prediction, truth = rain([(9, 1, 0), (1, 0, 1)])
    assert metrics.score(prediction, truth, [CSI])["csi_10"] == [10 / 12] != [(9 / 10 + 1 / 2) / 2]


def test_batches_change_nothing():
    prediction, truth = rain([(9, 1, 0), (0, 5, 5), (0, 0, 0), (3, 0, 1), (1, 2, 3)])
    results = []
    for size in (1, 2, 5):
        collected = metrics.Scores([CSI], ["copy_last"])
        for i in range(0, 5, size):
            collected.add(prediction[i : i + size], truth[i : i + size], truth[i : i + size, 0])
        results.append(collected.result())
    assert results[0] == results[1] == results[2]
    assert results[0]["csi_10"] == 13 / 30 and results[0]["copy_last_csi_10"] == 1


def test_an_empty_denominator_is_no_score():
    prediction, truth = rain([(0, 0, 0), (0, 0, 0)], (2, 8, 8, 1))
    truth[0, 1, 0, 0] = prediction[0, 1, 0, 0] = 1  # a hit at the second frame
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collected = metrics.Scores([CSI], ["black"])
        collected.add(prediction, truth, truth[:, 0])
        result = collected.result()
    assert result["csi_10_per_frame"] == [None, 1] and result["csi_10"] == 1  # the mean of the frames that have a score
    assert result["black"]["csi_10_per_frame"] == [None, 0]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    head, model, black = metrics.table(result).splitlines()[1:]
    assert head == f"{'':16}  CSI 10 dBZ" and model == f"{'model':16}       1.000" and len(black) == len(head)

    collected = metrics.Scores([CSI], ["black"])
    collected.add(prediction[1:], truth[1:], truth[1:, 0])
    assert collected.result()["csi_10"] is None and metrics.table(collected.result()).endswith("  -")


def test_places_without_data_are_no_events():
    prediction, truth = rain([(8, 0, 8)])  # the first row of pixels is hit, the second a false alarm
    truth[0, 0, 1] = np.nan
    assert metrics.score(prediction, truth, [CSI])["csi_10"] == [1]
    truth[0, 0, 0] = np.nan  # what is predicted for unknown pixels is not counted either
    assert np.isnan(metrics.score(prediction, truth, [CSI])["csi_10"]).all()


@pytest.mark.parametrize("stored", range(84, 88))
def test_the_threshold_itself_is_reached(stored):
    frames = RADAR.to_model(np.full((1, 1, 8, 8, 1), stored, np.uint8))
    threshold = -32 + stored / 2
    assert metrics.score(frames, frames, [csi(threshold, RADAR)])[f"csi_{threshold:g}"] == [1]
    assert np.isnan(metrics.score(frames, frames, [csi(threshold + 0.25, RADAR)])[f"csi_{threshold + 0.25:g}"]).all()
