"""DFN: against PyTorch, its size, and what its filters can and cannot do."""

import math

import numpy as np
import pytest
from small import random_frames, shake
from transcribed import assert_transcribed, committed

import tinypredrnn as tp
from tinypredrnn import build_model, gradcheck
from tinypredrnn.errors import ConfigError
from tinypredrnn.models import MODELS, lay_out
from tinypredrnn.train import Recipe, rate_at

SMALL = dict(width=2, filter=3)


def small_dfn(size=(6, 7), channels=2, seed=0, **options):
    return shake(build_model("dfn", size, channels, seed, **SMALL | options), seed)


def test_the_committed_arrays(device):
    assert_transcribed(small_dfn(), committed("dfn"), 2, "bce", device=device)


@pytest.mark.parametrize("seed", [1, 2])
def test_pytorch_itself(seed, device):
    pytest.importorskip("torch")
    from references.make_dfn_cdna import make

    assert_transcribed(small_dfn(), make("dfn", seed), 2, "bce", device=device)


def test_gradcheck_of_an_unrolled_network():
    model, mixed = small_dfn((4, 5), 1), np.array([[1, 0, 1], [1, 1, 0]])
    assert gradcheck(lambda frames: model.unroll(frames, mixed), random_frames(2, 3, 4, 5, 1), parameters=model.parameters(), seeds=(0,))


def test_the_size_of_the_paper():
    model = lay_out(math.inf, "dfn", (64, 64, 1), MODELS["dfn"].Options())
    assert model.count_parameters() == 637_361
    assert round(model.count_multiply_adds() / 1e9, 2) == 0.94
    narrow = build_model("dfn", width=16)
    assert 637_361 / 4.1 < narrow.count_parameters() < 637_361 / 3


def test_its_recipe_halves_the_rate_five_times():
    recipe = Recipe().replace(**MODELS["dfn"].recipe)
    assert [rate_at(recipe, k) for k in (0, 3_999, 4_000, 8_000, 19_999)] == [1e-3, 1e-3, 5e-4, 2.5e-4, 6.25e-5]


def test_a_prediction_is_a_mean_of_the_pixels_within_reach():
    model = small_dfn((9, 8), 1)
    frames = random_frames(2, 4, 9, 8, 1)
    one = model.unroll(frames, np.ones((2, 4))).numpy()
    padded = np.pad(frames, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)])
    around = np.lib.stride_tricks.sliding_window_view(padded[..., 0], (3, 3), (2, 3)).reshape(2, 4, 9, 8, 9)
    assert (one[..., 0] <= around.max(-1) + 1e-12).all() and (one[..., 0] >= around.min(-1) - 1e-12).all()


def test_a_filter_of_one_pixel_can_only_stand_still():
    frames = random_frames(1, 3, 6, 6, 1)
    np.testing.assert_allclose(small_dfn((6, 6), 1, filter=1)(frames, horizon=2).numpy(), frames[:, [2, 2]], rtol=1e-12)


def test_colours_are_moved_alike():
    model, gray = small_dfn((6, 7), 3), random_frames(2, 3, 6, 7, 1)
    prediction = model(np.repeat(gray, 3, axis=4), horizon=2).numpy()
    np.testing.assert_allclose(prediction, np.repeat(prediction[..., :1], 3, axis=4), rtol=1e-12)


def test_it_runs_at_any_size():
    built_small, built_large = small_dfn((4, 4)), small_dfn((9, 7))
    frames = random_frames(2, 2, 9, 7, 2)
    np.testing.assert_array_equal(built_small(frames, horizon=2).numpy(), built_large(frames, horizon=2).numpy())


def test_every_number_of_a_new_network_has_a_gradient():
    model = build_model("dfn", (8, 8), 1, **SMALL).to(dtype=np.float64)
    frames = random_frames(4, 6, 8, 8, 1)
    ((model.unroll(frames[:, :-1], np.ones((4, 5))) - frames[:, 1:]) ** 2).sum().backward()
    for name, t in model.named_tensors():
        assert t.grad is not None and np.all(t.grad != 0), name


def test_an_even_filter_is_refused():
    with pytest.raises(ConfigError, match="dfn: filter must be odd.*got 8"):
        tp.build_model("dfn", filter=8)
