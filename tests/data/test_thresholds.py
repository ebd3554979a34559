"""The world of own frames: thresholds in the unit of the data add the scores of events."""

import numpy as np
import pytest

from tinypredrnn import metrics
from tinypredrnn.data.own import OneTest, OwnOptions, OwnSequences
from tinypredrnn.data.radar import Radar, RadarOptions
from tinypredrnn.data.rain import HKO7
from tinypredrnn.errors import ConfigError


@pytest.fixture
def rain(tmp_path):
    """A file of clips (N,T,H,W) in dBZ, without places without data."""
    np.save(tmp_path / "rain.npy", np.random.default_rng(0).uniform(0, 52.5, (6, 8, 9, 9)).astype(np.float32))
    return tmp_path / "rain.npy"


def options(path, *thresholds):
    return OwnOptions(data=str(path), order="NTHW", range=(0.0, 52.5), unit="dBZ", given=3, horizon=2, thresholds=thresholds)


def test_thresholds_add_the_scores_of_events(rain):
    plain, source = OwnSequences(options(rain), 0), OwnSequences(options(rain, 10.0, 40.0), 0)
    assert plain.metrics == metrics.DEFAULT
    names = [metric.name for metric in source.metrics]
    assert names[:7] == ["mse", "mae", "psnr", "ssim", "sharpness", "csi_10", "csi_40"] and len(names) == 5 + 2 * (4 + 2)
    frames = source.scale.to_model(next(iter(source.tests().values()))())
    least = frames[:, 3:] >= 10 / 52.5
    got = metrics.score(np.repeat(frames[:, 2:3], 2, axis=1), frames[:, 3:], source.metrics)
    hits = (least & (frames[:, 2:3] >= 10 / 52.5)).sum((0, 2, 3, 4))
    np.testing.assert_allclose(got["pod_10"], hits / least.sum((0, 2, 3, 4)))


def test_other_files_are_scored_in_the_same_way(rain):
    source = OwnSequences(options(rain, 20.0), 0)
    one = OneTest(rain, source.options, source.scale, OwnSequences, 0)
    assert [metric.name for metric in one.metrics] == [metric.name for metric in source.metrics]


def test_a_baseline_that_is_fitted_has_nothing_to_be_fitted_on_in_another_file(rain):
    forecaster = type("Forecaster", (OwnSequences,), {"baselines": ("copy_last", "flow", "blur_last")})
    source = forecaster(options(rain), 0)
    assert OneTest(rain, source.options, source.scale, forecaster, 0).baselines == ("copy_last", "flow")


def test_thresholds_outside_the_range_are_refused(rain):
    with pytest.raises(ConfigError, match="above 0 and up to 52.5 dBZ, got 60"):
        OwnSequences(options(rain, 10.0, 60.0), 0)


def test_radar_is_scored_beside_what_forecasters_use():
    source = Radar(RadarOptions(given=3, horizon=2, size=(16, 16)), 0)
    names = [metric.name for metric in source.metrics]
    assert names[0] == "mse" and {"sharpness", "csi_10", "pod_20", "far_30", "bias_40", "fss_20_9"} <= set(names)
    assert source.baselines == ("copy_last", "flow", "blur_last")
    assert HKO7 == {"heavy": (12.98, 22.37, 28.58, 33.27, 40.72), "weights": (1, 2, 5, 10, 30)}
