"""Probabilities on top of a trained network: that they mean what they say, and that unknown places say nothing."""

import numpy as np
import pytest
from plans import make_plan

from tinypredrnn.autograd import gradcheck
from tinypredrnn.errors import CheckpointError
from tinypredrnn.models import construct
from tinypredrnn.train import RunFolder, exceedance
from tinypredrnn.train.exceedance import Exceedance, ExceedanceHead, load_exceedance

PLAN = make_plan(size=(12, 12), hidden=(2,), kernel=3, patch=4, given=2, horizon=3)


@pytest.fixture
def model():
    return construct(*PLAN.network())


def chances(k, rng=None):
    """Frames (4,5,12,12,1) whose last three are events, 0.6 or 0, that come with the probability that the second has."""
    rng = np.random.default_rng(k) if rng is None else rng
    frames = np.zeros((4, 5, 12, 12, 1), np.float32)
    frames[:, 1] = rng.choice([0.1, 0.5, 0.9], (4, 1, 1, 1))
    frames[:, 2:] = 0.6 * (rng.random((4, 3, 12, 12, 1)) < frames[:, 1:2])
    return frames


@pytest.fixture
def repeating(monkeypatch):
    """The network predicts the last frame that it sees."""
    monkeypatch.setattr(exceedance, "predict", lambda model, inputs, horizon: np.repeat(inputs[:, -1:], horizon, axis=1))


def test_higher_thresholds_are_never_more_probable():
    rng = np.random.default_rng(0)
    head = ExceedanceHead(4, 8, rng)
    for p in head.parameters():
        p.data *= 2
    p = head(rng.random((2, 3, 9, 8, 1), dtype=np.float32), 3).numpy()
    assert p.shape == (2, 3, 9, 8, 4) and 0 <= p.min() and p.max() <= 1 and p.std() > 0.02
    assert (np.diff(p, axis=-1) <= 0).all()


def test_its_gradient():
    head, rng = ExceedanceHead(3, 2, np.random.default_rng(1)).to(dtype="float64"), np.random.default_rng(2)
    forecasts = rng.random((1, 2, 5, 4, 1))
    for name, p in head.named_tensors():
        def of(weight, p=p):
            owner, attribute = owner_of(head, p)
            setattr(owner, attribute, weight)
            try:
                return head.logits(forecasts, 2)
            finally:
                setattr(owner, attribute, p)
        assert gradcheck(of, p.numpy() + 0.1), name


def owner_of(head, p):
    """(layer, name) of a parameter."""
    return next((layer, name) for layer in (head.around, head.mixed, head.ordered) for name in ("weight", "bias")
                if getattr(layer, name) is p)


def test_probabilities_become_what_comes(model, repeating):
    """Where the forecast is v, the event comes with the probability v: the head has to find that out."""
    found = Exceedance(model, PLAN, (0.5, 0.8))
    losses = list(found.fit(map(chances, range(250)), 250))
    assert len(losses) == 250 and np.mean(losses[-20:]) < 0.7 * losses[0]
    forecasts, p = found.forecast(chances(999)[:, :2], 3)
    inside = p[:, :, 3:-3, 3:-3]  # beyond the margin, which the convolutions see
    for v in (0.1, 0.5, 0.9):
        of_v = (forecasts[:, :, 3:-3, 3:-3, 0] == np.float32(v))
        if of_v.any():
            assert abs(inside[of_v][:, 0].mean() - v) < 0.1
    assert inside[..., 1].max() < 0.05  # 0.8 never comes

    scores = found.score(map(chances, range(1000, 1010)))
    assert scores[0.5]["brier_head"] < 0.85 * scores[0.5]["brier_climate"] < scores[0.5]["brier_climate"]
    counts = scores[0.5]["head"]
    assert counts[:, 0].sum() == 10 * 4 * 3 * 12 * 12
    said, came = counts[:, 1].sum(), counts[:, 2].sum()
    assert abs(said - came) < 0.03 * counts[:, 0].sum()


def test_places_without_data_change_nothing(model, repeating):
    whole = chances(0)
    holes = whole.copy()
    holes[:, 2:, :6] = np.nan
    for value in (0.0, 0.6):  # whatever would be there
        filled = np.where(np.isnan(holes), np.float32(value), holes)
        assert list(Exceedance(model, PLAN, (0.5,)).fit([filled], 1)) != list(
            Exceedance(model, PLAN, (0.5,)).fit([holes], 1))
    found = Exceedance(model, PLAN, (0.5,))
    loss, = found.fit([holes], 1)
    z = Exceedance(model, PLAN, (0.5,)).head.logits(np.repeat(holes[:, 1:2], 3, axis=1), 3).numpy()[:, :, 6:]
    event = holes[:, 2:, 6:] >= 0.5
    assert loss == pytest.approx(np.mean(np.logaddexp(0, z) - z * event), rel=1e-5)
    assert found.score([holes])[0.5]["head"][:, 0].sum() == 4 * 3 * 6 * 12


def test_brier_scores_by_hand(model, monkeypatch):
    found = Exceedance(model, PLAN, (0.5,))
    truth = np.zeros((1, 5, 12, 12, 1), np.float32)
    truth[:, 2:, :3] = 1  # a quarter of the places
    monkeypatch.setattr(Exceedance, "forecast", lambda self, inputs, horizon: (
        np.full((1, 3, 12, 12, 1), 0.7, np.float32), np.full((1, 3, 12, 12, 1), 0.25, np.float32)))
    scores = found.score([truth])[0.5]
    assert scores["brier_head"] == scores["brier_climate"] == pytest.approx(0.25 * 0.75)
    assert scores["brier_forecast"] == pytest.approx(0.75)  # it says 1 everywhere
    assert scores["head"][2].tolist() == [432, 108, 108]


def test_a_head_is_kept_with_its_run_and_only_for_its_weights(model, tmp_path):
    found = Exceedance(model, PLAN, (0.25, 0.5), width=3)
    with RunFolder(tmp_path) as folder:
        found.save(folder)
    again = load_exceedance(tmp_path, model, PLAN)
    assert again.thresholds == (0.25, 0.5)
    inputs = np.random.default_rng(0).random((1, 2, 12, 12, 1), dtype=np.float32)
    for one, other in zip(found.forecast(inputs, 4), again.forecast(inputs, 4)):
        np.testing.assert_array_equal(one, other)
    assert load_exceedance(tmp_path / "none", model, PLAN) is None

    other = construct(PLAN.model, PLAN.frame, PLAN.options, 1)
    with pytest.raises(CheckpointError, match="other weights"):
        load_exceedance(tmp_path, other, PLAN)
    path = tmp_path / "probability.npz"
    for content in (b"", path.read_bytes()[:300]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged"):
            load_exceedance(tmp_path, model, PLAN)
