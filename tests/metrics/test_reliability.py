"""Reliability against counting one by one, and against pySTEPS if it is installed."""

import numpy as np
import pytest

from tinypredrnn import metrics, viz
from tinypredrnn.errors import DataError, ShapeError


@pytest.fixture
def forecasts():
    """Probabilities and whether the event came, of which some are not known."""
    rng = np.random.default_rng(0)
    probability = rng.random((2, 3, 8, 9))
    event = (rng.random(probability.shape) < probability ** 2).astype(float)
    event[0, 1, :3] = np.nan
    return probability, event


def test_it_is_what_counting_gives(forecasts):
    expected = np.zeros((5, 3))
    for p, came in zip(*(array.ravel() for array in forecasts)):
        if not np.isnan(came):
            expected[min(int(p * 5), 4)] += 1, p, came
    counts = metrics.count_reliability(*forecasts, bins=5)
    np.testing.assert_allclose(counts, expected, rtol=1e-12)
    np.testing.assert_allclose(sum(metrics.count_reliability(p, came, 5) for p, came in zip(*forecasts)), expected, rtol=1e-12)


def test_the_ends_belong_to_the_outer_bins():
    counts = metrics.count_reliability([0.0, 1.0, 0.5], [False, True, True], bins=2)
    np.testing.assert_array_equal(counts, [[1, 0, 0], [2, 1.5, 2]])


def test_it_is_pysteps(forecasts):
    probscores = pytest.importorskip("pysteps.verification.probscores", reason="pySTEPS is not installed")
    probability, event = forecasts
    known = ~np.isnan(event)
    theirs = probscores.reldiag_init(0.5, n_bins=10)
    probscores.reldiag_accum(theirs, probability[known][None], event[known][None])
    counts = metrics.count_reliability(probability, event)
    np.testing.assert_allclose(counts[:, 0], theirs["num_idx"])
    np.testing.assert_allclose(counts[:, 2] / counts[:, 0], theirs["Y_sum"] / theirs["num_idx"])


def test_what_is_no_probability_or_no_event_is_refused():
    with pytest.raises(ShapeError, match="same shape"):
        metrics.count_reliability(np.zeros(3), np.zeros(2))
    for p in (1.1, -0.1, np.nan):
        with pytest.raises(DataError, match="between 0 and 1"):
            metrics.count_reliability([p], [1])
    with pytest.raises(DataError, match="0, 1 or NaN"):
        metrics.count_reliability([0.5], [0.7])
    assert metrics.count_reliability([np.nan, 0.5], [np.nan, 1]).sum() == 2.5  # nobody asks what is said of unknown places


def test_the_diagram_shows_frequencies_against_probabilities(tmp_path, monkeypatch, forecasts):
    from matplotlib.axes import Axes

    lines, plot = {}, Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda self, x, y, **style:
                        lines.setdefault(style.get("label"), (x, y)) and plot(self, x, y, **style))
    counts = metrics.count_reliability(*forecasts)
    viz.save_reliability(tmp_path / "both.png", {"model": counts, "optical flow": counts / 2}, "20 dBZ")
    x, y = lines["model"]
    np.testing.assert_allclose(x, counts[:, 1] / counts[:, 0])
    np.testing.assert_allclose(y, counts[:, 2] / counts[:, 0])
    assert "optical flow" in lines and (tmp_path / "both.png").stat().st_size > 10_000
    counts[3] = 0  # a bin without forecasts has no point
    lines.clear()
    viz.save_reliability(tmp_path / "one.png", counts)
    assert len(lines["model"][0]) == 9
    with pytest.raises(DataError, match="at least one forecast"):
        viz.save_reliability(tmp_path / "none.png", np.zeros((10, 3)))
