"""Metrics that are no means over sequences: ratios of counts that are pooled over the test set, with thresholds in
physical units. They are compared with counting pixel by pixel, and with pySTEPS if it is installed."""

import json
import warnings

import numpy as np
import pytest

from tinypredrnn import metrics
from tinypredrnn.data.scale import Scale
from tinypredrnn.errors import ConfigError

RADAR = Scale(stored=(0, 255), units=(-32, 95.5), unit="dBZ")


CSI = metrics.event_metrics(RADAR, [10])[0]


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
            collected.add(prediction[i : i + size], truth[i : i + size], truth[i : i + size, :1])
        results.append(collected.result())
    assert results[0] == results[1] == results[2]
    assert results[0]["csi_10"] == 13 / 30 and results[0]["copy_last_csi_10"] == 1


def test_an_empty_denominator_is_no_score():
    prediction, truth = rain([(0, 0, 0), (0, 0, 0)], (2, 8, 8, 1))
    truth[0, 1, 0, 0] = prediction[0, 1, 0, 0] = 1  # a hit at the second frame
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collected = metrics.Scores([CSI], ["black"])
        collected.add(prediction, truth, truth[:, :1])
        result = collected.result()
    assert result["csi_10_per_frame"] == [None, 1] and result["csi_10"] == 1  # the mean of the frames that have a score
    assert result["black"]["csi_10_per_frame"] == [None, 0]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    head, model, black = metrics.table(result).splitlines()[1:]
    assert head == f"{'':16}  CSI 10 dBZ" and model == f"{'model':16}       1.000" and len(black) == len(head)

    collected = metrics.Scores([CSI], ["black"])
    collected.add(prediction[1:], truth[1:], truth[1:, :1])
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
    assert metrics.score(frames, frames, metrics.event_metrics(RADAR, [threshold])[:1])[f"csi_{threshold:g}"] == [1]
    above = metrics.event_metrics(RADAR, [threshold + 0.25])[0]
    assert np.isnan(metrics.score(frames, frames, [above])[above.name]).all()


def test_a_threshold_outside_the_scale_is_refused():
    for threshold in (-32, -40, 96):
        with pytest.raises(ConfigError, match=rf"above -32 and up to 95.5 dBZ, got {threshold}: all pixels reach it"):
            metrics.event_metrics(RADAR, [10, threshold])
    with pytest.raises(ConfigError, match="no unit"):
        metrics.event_metrics(Scale(), [10])
    assert metrics.event_metrics(Scale(), [0.5])[0].title == "CSI 0.5"


def smooth(*shape, seed):
    """Fields with echoes of several pixels, in [0, 1]."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).standard_normal(shape)
    return np.clip(0.35 + 1.2 * gaussian_filter(noise, (0, 0, 1.5, 1.5, 0)), 0, 1).astype(np.float32)


@pytest.fixture
def fields():
    """A prediction and a truth (3,2,12,15,2) of which some places are unknown."""
    prediction, truth = smooth(3, 2, 12, 15, 2, seed=0), smooth(3, 2, 12, 15, 2, seed=1)
    prediction = np.clip(0.5 * prediction + 0.6 * truth, 0, 1)
    truth[0, 1, 3:7, 4:9], truth[2, :, :, 14], truth[1, 0, 5, 5, 1] = np.nan, np.nan, np.nan
    return prediction, truth


def by_counting(prediction, truth, threshold, sides):
    """The scores by frame, from one pixel after the other."""
    sequences, frames, height, width, channels = truth.shape
    rows = []
    for t in range(frames):
        hits = misses = false_alarms = 0
        squares = {side: [0, 0] for side in sides}
        for n in range(sequences):
            for c in range(channels):
                p, y = np.zeros((2, height, width))
                for i, j in np.ndindex(height, width):
                    if np.isnan(truth[n, t, i, j, c]):
                        continue
                    p[i, j] = RADAR.to_units(float(prediction[n, t, i, j, c])) >= threshold
                    y[i, j] = RADAR.to_units(float(truth[n, t, i, j, c])) >= threshold
                    hits += p[i, j] and y[i, j]
                    misses += not p[i, j] and y[i, j]
                    false_alarms += p[i, j] and not y[i, j]
                for side, sums in squares.items():
                    for i, j in np.ndindex(height, width):
                        window = (slice(max(i - side // 2, 0), i + side // 2 + 1),
                                  slice(max(j - side // 2, 0), j + side // 2 + 1))
                        of_p, of_y = p[window].sum() / side ** 2, y[window].sum() / side ** 2
                        sums[0] += (of_p - of_y) ** 2
                        sums[1] += of_p ** 2 + of_y ** 2
        rows.append([hits / (hits + misses + false_alarms), hits / (hits + misses), false_alarms / (hits + false_alarms),
                     (hits + false_alarms) / (hits + misses), *(1 - a / b for a, b in squares.values())])
    return np.transpose(rows)


def test_all_scores_are_what_counting_gives(fields):
    measured = metrics.event_metrics(RADAR, [10, 30])
    assert [metric.name for metric in measured] == [
        *(f"{name}_{threshold}" for name in ("csi", "pod", "far", "bias") for threshold in (10, 30)),
        "fss_10_3", "fss_30_3", "fss_10_9", "fss_30_9",
    ]
    got = metrics.score(*fields, measured)
    for threshold in (10, 30):
        names = [f"{name}_{threshold}" for name in ("csi", "pod", "far", "bias")]
        expected = by_counting(*fields, threshold, (3, 9))
        assert 0.05 < expected[0].min() and expected[0].max() < 0.95  # neither perfect nor hopeless
        np.testing.assert_allclose([got[name] for name in (*names, f"fss_{threshold}_3", f"fss_{threshold}_9")],
                                   expected, rtol=1e-12)


def test_all_scores_are_pysteps(fields):
    detcatscores = pytest.importorskip("pysteps.verification.detcatscores", reason="pySTEPS is not installed")
    spatialscores = pytest.importorskip("pysteps.verification.spatialscores")
    prediction, truth = (RADAR.to_units(frames.astype(np.float64))[..., :1] for frames in fields)
    got = metrics.score(fields[0][..., :1], fields[1][..., :1], metrics.event_metrics(RADAR, [20]))
    known = np.where(np.isnan(truth), np.nan, prediction)
    for t in range(2):
        table = detcatscores.det_cat_fct_init(20)
        skill = {side: spatialscores.fss_init(20, side) for side in (3, 9)}
        for p, y in zip(known[:, t, ..., 0], truth[:, t, ..., 0]):
            detcatscores.det_cat_fct_accum(table, p, y)
            for side in skill:
                spatialscores.fss_accum(skill[side], p, y)
        theirs = detcatscores.det_cat_fct_compute(table, ["CSI", "POD", "FAR", "BIAS"])
        for name in ("CSI", "POD", "FAR", "BIAS"):
            assert got[f"{name.lower()}_20"][t] == pytest.approx(theirs[name], rel=1e-9)
        for side in skill:
            assert got[f"fss_20_{side}"][t] == pytest.approx(spatialscores.fss_compute(skill[side]), rel=1e-9)


def test_a_place_that_is_nearly_right_is_forgiven_by_the_fss_alone():
    prediction, truth = np.zeros((2, 1, 1, 16, 16, 1), np.float32)
    truth[..., 8, 8, 0], prediction[..., 8, 10, 0] = 1, 1
    got = metrics.score(prediction, truth, metrics.event_metrics(RADAR, [10]))
    assert got["csi_10"] == 0 and got["bias_10"] == 1
    assert got["fss_10_3"] == pytest.approx(1 / 3) and got["fss_10_9"] == pytest.approx(7 / 9)  # shared columns


def test_scores_of_events_are_in_the_table_and_in_metrics_json(fields):
    prediction, truth = fields
    collected = metrics.Scores([metrics.MSE, metrics.SHARPNESS, *metrics.event_metrics(RADAR, [10, 20, 30, 40])],
                               ["copy_last", "flow"])
    collected.add(prediction, truth, smooth(3, 3, 12, 15, 2, seed=2))
    result = collected.result()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert len(result["csi_10_per_frame"]) == 2 and 0 < result["flow_csi_10"] < 1 and 0 < result["copy_last_fss_20_9"]
    lines = metrics.table(result).splitlines()
    assert max(map(len, lines)) <= 120 and len(lines) == 1 + 4 * 4
    heads = " ".join(line for line in lines[1::4])
    assert all(metric["title"] in heads for metric in result["metrics"]) and heads.split()[:2] == ["MSE", "sharpness"]
    assert [line[:16].strip() for line in lines[2::4]] == ["model"] * 4
