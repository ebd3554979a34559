"""What every network does with its sequences, whatever its cells: masks, horizons, sizes, batches, and inputs that it must refuse."""

import numpy as np
import pytest
from small import NETWORKS, random_frames, small_network

from tinypredrnn import build_model, tensor
from tinypredrnn.errors import CheckpointError, ConfigError, DTypeError, RangeError, ShapeError, TooLargeError
from tinypredrnn.models.predictor import Predictor

each_network = pytest.mark.parametrize("name", NETWORKS)


def assert_same(a, b):
    """Equal but for the order in which products of another size add up."""
    np.testing.assert_allclose(getattr(a, "data", a), getattr(b, "data", b), rtol=1e-12, atol=1e-13)


# time

@each_network
@pytest.mark.parametrize("given, horizon", [(1, 1), (1, 4), (3, 1), (10, 25)])
def test_any_number_of_frames_predicts_any_number(name, given, horizon):
    prediction = small_network(name)(random_frames(2, given, 6, 8, 2), horizon=horizon)
    assert prediction.shape == (2, horizon, 6, 8, 2)
    assert np.all(np.isfinite(prediction.numpy()))


@each_network
def test_the_horizon_is_ten_and_a_longer_one_goes_on_from_there(name):
    model, frames = small_network(name), random_frames(2, 3, 6, 8, 2)
    ten = model(frames).numpy()
    assert ten.shape[1] == 10
    np.testing.assert_array_equal(model(frames, horizon=13).numpy()[:, :10], ten)


@each_network
def test_predicting_one_at_a_time_from_a_growing_past_is_the_same(name):
    """To feed a prediction back is to append it to what was given."""
    model, frames = small_network(name), random_frames(2, 3, 6, 8, 2)
    past = frames
    for _ in range(4):
        past = np.concatenate([past, model(past, horizon=1).numpy()], axis=1)
    assert_same(model(frames, horizon=4), past[:, 3:])


@each_network
def test_predictions_come_from_the_given_frames_alone(name):
    model, frames = small_network(name), random_frames(2, 7, 6, 8, 2)
    own_after_three = np.repeat([[1, 1, 1, 0, 0, 0]], 2, axis=0)
    x = tensor(frames, requires_grad=True)
    outputs = model.unroll(x, own_after_three)
    np.testing.assert_array_equal(outputs.numpy()[:, 2:], model(frames[:, :3], horizon=4).numpy())
    outputs.backward(np.ones(outputs.shape))
    assert x.grad[:, :3].any()
    assert not x.grad[:, 3:].any()


@each_network
def test_no_output_sees_the_future(name):
    model, frames = small_network(name), random_frames(1, 5, 6, 8, 2)
    before = model.unroll(frames, np.ones((1, 5))).numpy()
    for t in range(5):
        changed = frames.copy()
        changed[:, t] += 0.1
        differs = (model.unroll(changed, np.ones((1, 5))).numpy() != before).any(axis=(0, 2, 3, 4))
        assert differs.tolist() == [False] * t + [True] * (5 - t)


# masks

@each_network
def test_each_sequence_follows_its_own_mask(name):
    model, frames = small_network(name), random_frames(4, 6, 6, 8, 2)
    masks = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0], [1, 0, 1, 0, 1, 1], [1, 1, 0, 0, 1, 0]])
    together = model.unroll(frames, masks)
    for n, mask in enumerate(masks):
        assert_same(together.data[n:n + 1], model.unroll(frames[n:n + 1], mask[None]))
    assert_same(together.data[1:2], model(frames[1:2, :1], horizon=6))


@each_network
def test_a_mask_of_zeros_begins_with_the_first_frame_all_the_same(name):
    """There is no prediction yet that could stand in for it."""
    model, frames = small_network(name), random_frames(2, 3, 6, 8, 2)
    assert_same(model.unroll(frames, np.zeros((2, 3))), model(frames[:, :1], horizon=3))


@each_network
def test_masks_may_be_truth_values_and_may_outlast_the_frames(name):
    model, frames = small_network(name), random_frames(2, 3, 6, 8, 2)
    mask = np.array([[1, 0, 1], [1, 1, 0]])
    assert_same(model.unroll(frames, mask.astype(bool)), model.unroll(frames, mask))
    longer = np.pad(mask, ((0, 0), (0, 2)), constant_values=1)  # where the frames have ended, 1 cannot be had
    assert_same(model.unroll(frames, longer), model.unroll(frames, np.pad(mask, ((0, 0), (0, 2)))))


# batches and sizes

@each_network
def test_sequences_of_a_batch_do_not_see_each_other(name):
    model, frames = small_network(name), random_frames(3, 3, 6, 8, 2)
    together = model(frames, horizon=4).numpy()
    for n in range(3):
        assert_same(together[n:n + 1], model(frames[n:n + 1], horizon=4))
    assert_same(model(frames[::-1], horizon=4), together[::-1])


@each_network
@pytest.mark.parametrize("size, patch", [((4, 4), 4), ((7, 9), 4), ((2, 10), 2), ((12, 4), 2), ((5, 3), 1)])
def test_any_height_and_width(name, size, patch):
    model = small_network(name, size, channels=3, kernel=5, patch=patch)  # the kernel may be larger than the grid
    assert model(random_frames(1, 2, *size, 3), horizon=2).shape == (1, 2, *size, 3)


@each_network
@pytest.mark.parametrize("size", [(6, 7), (5, 8), (7, 9)])
def test_frames_that_patches_do_not_tile_are_padded_and_cut(name, size):
    """What is predicted is what the same network predicts for frames with zeros beside them, as far as the frames go."""
    frames, (height, width) = random_frames(2, 3, *size, 2), size
    padded = np.pad(frames, [(0, 0), (0, 0), (0, -height % 2), (0, -width % 2), (0, 0)])
    odd, even = small_network(name, size), small_network(name, padded.shape[2:4])
    prediction = odd.unroll(tensor(frames), np.ones((2, 2)))
    assert prediction.shape == (2, 2, *size, 2)
    assert_same(prediction, even.unroll(padded, np.ones((2, 2))).numpy()[:, :, :height, :width])
    longer = odd(frames, horizon=2)
    assert longer.shape == (2, 2, *size, 2) and np.isfinite(longer.numpy()).all()


def test_predrnn_runs_at_another_size_than_it_was_built_for():
    built_small, built_large = small_network("predrnn", (4, 4)), small_network("predrnn", (10, 6))
    frames = random_frames(2, 3, 10, 6, 2)
    np.testing.assert_array_equal(built_small(frames, horizon=3).numpy(), built_large(frames, horizon=3).numpy())


@pytest.mark.parametrize("name", ["convlstm", "predrnn_m"])
@pytest.mark.parametrize("built, given", [((6, 8), (8, 8)), ((6, 8), (2, 8)), ((6, 8), (2, 2)), ((2, 2), (6, 8)), ((6, 8), (8, 6))])
@pytest.mark.parametrize("layers", [1, 2])
def test_peepholes_fix_the_size(name, built, given, layers):
    """Also where they would broadcast: a grid of one patch is not a grid of many."""
    model = small_network(name, built, hidden=(3,) * layers)
    with pytest.raises(ShapeError, match=f"{built[0]}x{built[1]}.*{given[0]}x{given[1]}"):
        model(random_frames(1, 1, *given, 2), horizon=1)


@each_network
def test_noncontiguous_and_tensor_inputs(name):
    model, frames = small_network(name), random_frames(2, 3, 6, 8, 2)
    expected = model(frames, horizon=2).numpy()
    strided = np.ascontiguousarray(frames.swapaxes(0, 1)).swapaxes(0, 1)
    assert_same(model(strided, horizon=2), expected)
    assert_same(model(tensor(frames), horizon=2), expected)


@each_network
def test_the_frames_are_left_as_they_were(name):
    model, frames = small_network(name), random_frames(2, 3, 6, 8, 2)
    before = frames.copy()
    model(frames, horizon=3).backward(np.ones((2, 3, 6, 8, 2)))
    np.testing.assert_array_equal(frames, before)


# gradients through time

class Decay(Predictor):
    """One number: h_t = w h_t-1 + x_t, the prediction is h_t."""

    def __init__(self):
        super().__init__((1, 1, 1), None)
        self.w = tensor(np.array(0.7), requires_grad=True)

    def start(self, x):
        return self.zeros(1, 1, 1, 1)

    def step(self, x, state):
        state = self.w * state + x
        return state, state


@pytest.mark.parametrize("segment", [None, 1, 3, 4, 100])
@pytest.mark.parametrize("truncate", [None, 0, 1, 2, 3, 100])
def test_a_truncated_gradient_is_the_one_that_is_computed_by_hand(truncate, segment):
    """d h_t / dw = h_t-1 + w d h_t-1 / dw, with 0 in place of the latter where the chunk of step t begins; after three frames,
    x_t is the prediction h_t-1, which then is a constant as well."""
    model, x, cotangent = Decay(), np.random.default_rng(0).random(9), np.random.default_rng(1).standard_normal(9)
    outputs = model.unroll(x.reshape(1, 9, 1, 1, 1), [[1, 1, 1, 0, 0, 0, 0, 0, 0]], segment=segment, truncate=truncate)
    outputs.backward(cotangent.reshape(outputs.shape))
    h, slope, total = 0.0, 0.0, 0.0
    for t in range(9):
        if truncate and t % truncate == 0:
            slope = 0.0
        h, slope = (0.7 * h + x[t], h + 0.7 * slope) if t < 3 else (1.7 * h, h + 1.7 * slope)
        assert outputs.data[0, t].item() == pytest.approx(h, rel=1e-12)
        total += cotangent[t] * slope
    assert model.w.grad == pytest.approx(total, rel=1e-12)


# weights

@each_network
@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_state_dict_carries_the_whole_network(name, layer_norm):
    one, other = (small_network(name, seed=seed, layer_norm=layer_norm) for seed in (1, 2))
    frames = random_frames(2, 3, 6, 8, 2)
    expected = one(frames, horizon=3).numpy()
    assert abs(other(frames, horizon=3).numpy() - expected).max() > 1e-3
    weights = one.state_dict()
    other.load_state_dict(weights)
    np.testing.assert_array_equal(other(frames, horizon=3).numpy(), expected)
    for a in weights.values():
        a += 1  # copies: neither network notices
    np.testing.assert_array_equal(one(frames, horizon=3).numpy(), expected)
    np.testing.assert_array_equal(other(frames, horizon=3).numpy(), expected)


@each_network
def test_weights_of_another_network_are_refused_and_nothing_changes(name):
    model = small_network(name)
    before = model.state_dict()
    for other in (small_network(name, kernel=5), small_network(name, hidden=NETWORKS[name][:2]), small_network(name, layer_norm=True)):
        with pytest.raises(CheckpointError):
            model.load_state_dict(other.state_dict())
    for key, a in model.state_dict().items():
        np.testing.assert_array_equal(a, before[key])


# inputs that cannot be

@each_network
@pytest.mark.parametrize("frames, error, says", [
    (np.zeros((1, 2, 6, 8, 3)), ShapeError, r"\(B,T,H,W,2\), got \(1, 2, 6, 8, 3\)"),
    (np.zeros((2, 6, 8, 2)), ShapeError, r"\(B,T,H,W,2\), got \(2, 6, 8, 2\)"),
    (np.zeros(8), ShapeError, r"\(B,T,H,W,2\), got \(8,\)"),
    (np.zeros((1, 0, 6, 8, 2)), ShapeError, r"\(B,T,H,W,2\), got \(1, 0, 6, 8, 2\)"),
    (np.zeros((0, 2, 6, 8, 2)), ShapeError, r"\(B,T,H,W,2\), got \(0, 2, 6, 8, 2\)"),
    (np.zeros((1, 2, 6, 8, 2), np.uint8), DTypeError, "float64 frames in .0, 1., got uint8: divide by 255"),
    (np.zeros((1, 2, 6, 8, 2), np.float32), DTypeError, "float64 frames in .0, 1., got float32: convert with .astype"),
], ids=lambda value: f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else "")
def test_frames_that_cannot_be_an_input(name, frames, error, says):
    with pytest.raises(error, match=says):
        small_network(name)(frames, horizon=2)


def test_nested_lists_are_frames_too():
    model = build_model("predrnn", (2, 2), 1, hidden=(2,), kernel=3, patch=1)
    frames = random_frames(1, 2, 2, 2, 1, dtype=np.float32)
    np.testing.assert_array_equal(model(frames.tolist(), horizon=2).numpy(), model(frames, horizon=2).numpy())


@each_network
@pytest.mark.parametrize("horizon", [0, -1])
def test_a_horizon_of_nothing_is_refused(name, horizon):
    with pytest.raises(ConfigError, match=f"at least 1, got {horizon}"):
        small_network(name)(random_frames(1, 2, 6, 8, 2), horizon=horizon)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("shape", [(3, 3), (3,), (2, 0), (2, 3, 1)])
def test_a_mask_of_another_batch_or_without_steps_is_refused(shape, value):
    with pytest.raises(ShapeError, match="truth"):
        small_network("predrnn").unroll(random_frames(2, 3, 6, 8, 2), np.full(shape, value))


@each_network
def test_float32_in_float32_out(name):
    model = build_model(name, (6, 8), 2, hidden=NETWORKS[name], kernel=3, patch=2)
    frames = random_frames(2, 3, 6, 8, 2, dtype=np.float32)
    prediction = model.unroll(frames, np.array([[1, 0, 1], [1, 1, 0]]))  # a float64 or integer mask changes nothing
    assert prediction.dtype == np.float32
    prediction.backward(np.ones(prediction.shape, np.float32))
    assert all(t.grad.dtype == np.float32 for t in model.parameters())
    exact = model.to(dtype=np.float64).unroll(frames.astype(np.float64), np.array([[1, 0, 1], [1, 1, 0]]))
    np.testing.assert_allclose(prediction.numpy(), exact.numpy(), atol=1e-5)


# values

def frames_of(least, most):
    frames = np.random.default_rng(0).uniform(least, most, (1, 3, 6, 8, 2))
    frames[0, 0, 0, 0], frames[0, 0, 0, 1] = least, most
    return frames


@pytest.mark.parametrize("frames, message", [
    (frames_of(0, 255), "in .0, 1., got 0 to 255: divide them by 255"),
    (frames_of(0, 1) * np.array([0, 200, 200]).reshape(3, 1, 1, 1), "divide them by 255"),  # it begins with a dark frame
    (frames_of(-1, 1), r"got -1 to 1: map them from .-1, 1. by .x . 1. / 2"),
    (frames_of(-0.42, 2.8), "got -0.42 to 2.8: scale them as the frames"),
    (frames_of(-300, 5), "scale them as the frames"),
    (np.where(np.arange(48 * 6).reshape(1, 3, 6, 8, 2) == 200, np.nan, 0.5), "got nan to nan: replace NaN and infinity"),
    (np.where(np.arange(48 * 6).reshape(1, 3, 6, 8, 2) == 200, np.inf, 0.5), "got 0.5 to inf: scale"),
], ids=["bytes", "bytes after a dark frame", "signed", "standardised", "wild", "nan", "infinity"])
def test_frames_on_another_scale_are_refused(frames, message):
    model = small_network("predrnn")
    with pytest.raises(RangeError, match=message) as caught:
        model(frames)
    assert "\n" not in str(caught.value)


def test_frames_a_little_beside_the_range_are_taken():
    model = small_network("predrnn")
    assert np.isfinite(model(frames_of(-0.2, 1.2), horizon=1).numpy()).all()
    past = np.concatenate([frames_of(0, 1), frames_of(-1.5, 2.5)], axis=1)  # predictions that overshoot, fed back
    assert np.isfinite(model(past, horizon=1).numpy()).all()


def test_a_horizon_that_would_take_terabytes_is_refused():
    with pytest.raises(TooLargeError, match="prediction.s. of 1,000,000,000,000 frames would take at least .*predict fewer frames"):
        small_network("predrnn")(random_frames(1, 2, 6, 8, 2), horizon=10**12)
