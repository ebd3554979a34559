"""Convolution against plain loops, as a linear map and its transpose, by hand and against PyTorch; and the changes of resolution."""

import itertools

import numpy as np
import pytest
from op_cases import naive_conv2d, naive_conv2d_transpose, naive_windows, normal, padding_of

import tinypredrnn as tp
from tinypredrnn.autograd.convolution import Interleaved, grid
from tinypredrnn.errors import ConfigError, ShapeError

pytestmark = pytest.mark.filterwarnings("error")

SIZES = [(1, 1), (1, 4), (2, 3), (5, 4), (6, 7), (8, 8)]
KERNELS = [(1, 1), (2, 2), (3, 3), (4, 1), (2, 5), (5, 5)]
PADDINGS = ["same", "valid", 1, 3]
SETTINGS = list(itertools.product(SIZES, KERNELS, (1, 2, 3), (1, 2), PADDINGS))  # size, kernel, stride, dilation, padding


def fits(size, kernel, stride, dilation, padding):
    return all(padding_of(n, (k - 1) * dilation + 1, stride, padding)[2] > 0 for n, k in zip(size, kernel))


@pytest.fixture(scope="module")
def fitting():
    """Every setting in which the kernel finds a place, with frames and weights."""
    found = [setting for setting in SETTINGS if fits(*setting)]
    assert len(SETTINGS) > len(found) > 600
    return [(normal(2, *size, 2), normal(*kernel, 2, 3), dict(stride=stride, dilation=dilation, padding=padding))
            for size, kernel, stride, dilation, padding in found]


# against loops

def test_conv2d_is_the_loop(fitting):
    for x, w, options in fitting:
        np.testing.assert_allclose(tp.conv2d(x, w, **options), naive_conv2d(x, w, **options), rtol=1e-12, atol=1e-12, err_msg=str(options))


INTERLEAVED = list(itertools.product([(4, 6), (5, 7), (9, 8)], [(3, 3), (1, 5), (1, 1)], (2, 3, 4)))  # size, kernel, dilation


@pytest.mark.parametrize("parts", [1, 2])
def test_a_dilated_convolution_is_many_ordinary_ones(parts, device):
    """Interleaved frames, in float64 asked for by hand and in float32 chosen; also if the dilation does not divide the sides."""
    for size, kernel, dilation in INTERLEAVED:
        x, w, b = [normal(2, *size, 2) for _ in range(parts)], normal(*kernel, 2 * parts, 3), normal(3)
        expected = naive_conv2d(np.concatenate(x, axis=-1), w, b, dilation=dilation)
        on_device = [tp.tensor(a, device=device) for a in (*x, w, b)]
        found = Interleaved()(tuple(on_device[:parts]), *on_device[parts:], stride=1, padding="same", dilation=dilation)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12, err_msg=f"{size} {kernel} {dilation}")
        *frames, w, b = (tp.tensor(a.astype(np.float32), device=device) for a in (*x, w, b))
        for padding in ["same"] if kernel[0] != kernel[1] else ["same", kernel[0] // 2 * dilation]:
            found = tp.conv2d(tuple(frames), w, b, dilation=dilation, padding=padding)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found.numpy(), expected, atol=1e-5 * np.linalg.norm(expected))


def test_gradients_through_interleaved_frames():
    def convolve(x, h, w, b):
        return Interleaved()((x, h), w, b, stride=1, padding="same", dilation=2)

    assert tp.gradcheck(convolve, normal(2, 5, 4, 2), normal(2, 5, 4, 1), normal(3, 3, 3, 2), normal(2))


def test_windows_are_the_loop(fitting):
    for x, w, options in fitting:
        expected = naive_windows(x, w.shape[:2], **options)
        np.testing.assert_array_equal(tp.windows(x, kernel=w.shape[:2], **options), expected)


def test_conv2d_transpose_is_the_loop(fitting):
    for x, w, options in fitting:
        y = normal(*tp.conv2d(x, w, **options).shape)
        expected = naive_conv2d_transpose(y, w, size=x.shape[1:3], **options)
        found = tp.conv2d_transpose(y, w, size=x.shape[1:3], **options)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=f"{x.shape} {w.shape} {options}")


def test_a_kernel_that_does_not_fit_is_refused():
    refused = [setting for setting in SETTINGS if not fits(*setting)]
    for size, kernel, stride, dilation, padding in refused:
        with pytest.raises(ShapeError, match="does not fit into frames"):
            grid(size, kernel, stride, dilation, padding)


# as linear maps

def test_the_transpose_is_the_adjoint_and_so_are_the_gradients(fitting):
    """<conv(x), y> = <x, conv_transpose(y)>; and what backward gives is that transpose, and the map that is linear in w."""
    for x, w, options in fitting:
        leaf, weights = tp.tensor(x, requires_grad=True), tp.tensor(w, requires_grad=True)
        out = tp.conv2d(leaf, weights, **options)
        y = normal(*out.shape)
        back = tp.conv2d_transpose(y, w, size=x.shape[1:3], **options)
        assert (out.data * y).sum() == pytest.approx((x * back).sum(), rel=1e-10, abs=1e-10)
        out.backward(y)
        np.testing.assert_allclose(leaf.grad, back, rtol=1e-12, atol=1e-12)
        assert (weights.grad * w).sum() == pytest.approx((out.data * y).sum(), rel=1e-10, abs=1e-10)


def test_gradients_of_the_transpose(fitting):
    for x, w, options in fitting[::7]:
        shape = tp.conv2d(x, w, **options).shape
        y, weights = tp.tensor(normal(*shape), requires_grad=True), tp.tensor(w, requires_grad=True)
        painted = tp.conv2d_transpose(y, weights, size=x.shape[1:3], **options)
        painted.backward(x)
        np.testing.assert_allclose(y.grad, naive_conv2d(x, w, **options), rtol=1e-12, atol=1e-12)
        assert (weights.grad * w).sum() == pytest.approx((painted.data * x).sum(), rel=1e-10, abs=1e-10)


def test_conv2d_is_windows_times_weights():
    x, w = normal(2, 5, 4, 3), normal(3, 2, 3, 4)
    for options in ({}, {"stride": 2}, {"dilation": 2}, {"padding": 2}):
        together = tp.windows(x, kernel=(3, 2), **options).reshape(-1, 18) @ w.reshape(18, 4)
        np.testing.assert_allclose(tp.conv2d(x, w, **options).reshape(-1, 4), together, rtol=1e-12)


def test_a_1x1_convolution_is_a_product():
    x, w = normal(2, 3, 4, 5), normal(1, 1, 5, 6)
    np.testing.assert_allclose(tp.conv2d(x, w), x @ w[0, 0], rtol=1e-12)
    np.testing.assert_allclose(tp.conv2d_transpose(x, normal(1, 1, 6, 5)), x @ normal(1, 1, 6, 5)[0, 0].T, rtol=1e-12)


def test_the_bias_is_added_to_each_pixel():
    x, w, b, c = normal(2, 3, 4, 2), normal(3, 3, 2, 3), normal(3), normal(2)
    np.testing.assert_allclose(tp.conv2d(x, w, b), tp.conv2d(x, w) + b)
    y = tp.conv2d(x, w)
    np.testing.assert_allclose(tp.conv2d_transpose(y, w, c), tp.conv2d_transpose(y, w) + c)


def test_weights_of_one_shape_per_sample_by_windows():
    """Dynamic filters: each sequence has a kernel of its own."""
    x, kernels = normal(2, 5, 6, 1), normal(2, 3, 3)
    found = (tp.windows(tp.tensor(x), kernel=(3, 3)) * kernels[:, None, None, :, :, None]).sum(axis=(3, 4)).numpy()
    for n in range(2):
        np.testing.assert_allclose(found[n:n + 1], naive_conv2d(x[n:n + 1], kernels[n][..., None, None]), rtol=1e-12, atol=1e-13)


# sizes

@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_keeps_any_size(stride, dilation):
    for height, width, kernel in itertools.product(range(1, 10), (1, 5, 8), (1, 2, 3, 5, 6)):
        g = grid((height, width), (kernel, 3), stride, dilation, "same")
        assert g.out == (-(-height // stride), -(-width // stride))
        assert all(0 <= after - before <= 1 for before, after in zip(g.before, g.after))


def test_sizes_of_the_transpose():
    w = normal(3, 4, 2, 3)
    for height, width, stride in itertools.product((1, 2, 5), (1, 4), (1, 2, 3)):
        y = normal(1, height, width, 3)
        assert tp.conv2d_transpose(y, w, stride=stride).shape == (1, height * stride, width * stride, 2)
        smallest = (1, (height - 1) * stride + 3, (width - 1) * stride + 4, 2)
        assert tp.conv2d_transpose(y, w, stride=stride, padding="valid").shape == smallest
        for more in range(stride):  # all of these are mapped to (height, width)
            size = (smallest[1] + more, smallest[2])
            assert tp.conv2d_transpose(y, w, stride=stride, padding="valid", size=size).shape[1:3] == size
        with pytest.raises(ShapeError, match="would come from"):
            tp.conv2d_transpose(y, w, stride=stride, padding="valid", size=(smallest[1] + stride, smallest[2]))


# by hand

def frame(rows):
    """(H,W) numbers as one frame (1,H,W,1)"""
    return np.array(rows, float)[None, :, :, None]


def rows(frames):
    assert frames.shape[0] == frames.shape[-1] == 1
    return np.asarray(frames)[0, :, :, 0].tolist()


RAMP = frame([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
MARKED = np.array([[1, 10], [100, 1000]], float)[:, :, None, None]  # (kh,kw,C,K)


def test_conv2d_by_hand():
    assert rows(tp.conv2d(RAMP, MARKED, padding="valid")) == [[5421, 6532], [8754, 9865]]
    assert rows(tp.conv2d(RAMP, MARKED)) == [[5421, 6532, 603], [8754, 9865, 906], [87, 98, 9]]
    assert rows(tp.conv2d(RAMP, MARKED, stride=2)) == [[5421, 603], [87, 9]]
    assert rows(tp.conv2d(RAMP, MARKED, dilation=2, padding="valid")) == [[1 + 30 + 700 + 9000]]
    assert rows(tp.conv2d(RAMP, MARKED, padding=1)) == [
        [1000, 2100, 3200, 300], [4010, 5421, 6532, 603], [7040, 8754, 9865, 906], [70, 87, 98, 9]]


def test_conv2d_transpose_by_hand():
    y = frame([[1, 2], [3, 4]])
    assert rows(tp.conv2d_transpose(y, MARKED, stride=2)) == [
        [1, 10, 2, 20], [100, 1000, 200, 2000], [3, 30, 4, 40], [300, 3000, 400, 4000]]
    assert rows(tp.conv2d_transpose(y, MARKED, padding="valid")) == [[1, 12, 20], [103, 1234, 2040], [300, 3400, 4000]]
    assert rows(tp.conv2d_transpose(y, MARKED)) == [[1, 12], [103, 1234]]
    assert rows(tp.conv2d_transpose(y, MARKED, padding=1)) == [[1234]]


def test_channels_are_summed_and_features_are_apart():
    x = np.array([2.0, 3.0]).reshape(1, 1, 1, 2)
    w = np.array([[1.0, 10, 100], [1000, 1e4, 1e5]]).reshape(1, 1, 2, 3)
    assert tp.conv2d(x, w).tolist() == [[[[3002, 30020, 300200]]]]
    assert tp.conv2d_transpose(np.array([1.0, 2, 3]).reshape(1, 1, 1, 3), w).tolist() == [[[[321, 321000]]]]


def test_windows_by_hand():
    around = tp.windows(RAMP, kernel=(3, 3))
    assert around.shape == (1, 3, 3, 3, 3, 1)
    assert around[0, 1, 1, :, :, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert around[0, 0, 2, :, :, 0].tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    even = tp.windows(RAMP, kernel=(2, 1), stride=2)
    assert even[0, :, :, :, 0, 0].tolist() == [[[1, 4], [3, 6]], [[7, 0], [9, 0]]]


def test_changing_the_result_of_windows_leaves_the_frames_alone():
    x = RAMP.copy()
    tp.windows(x, kernel=(1, 1))[...] = 0
    np.testing.assert_array_equal(x, RAMP)


# resolution

def test_max_pool_by_hand():
    x = frame([[1, 2, 5, 0], [4, 3, 1, 2], [0, -1, -5, -6], [-2, -3, -7, -8]])
    assert rows(tp.max_pool(tp.tensor(x))) == [[4, 5], [0, -5]]
    assert rows(tp.max_pool(tp.tensor(x), 4)) == [[5]]
    assert rows(tp.max_pool(tp.tensor(x), 1)) == rows(x)


def test_upsample_and_insert_zeros_by_hand():
    x = tp.tensor(frame([[1, 2], [3, 4]]))
    assert rows(tp.upsample(x)) == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert rows(tp.insert_zeros(x)) == [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    assert rows(tp.insert_zeros(x, 3))[3] == [3, 0, 0, 4, 0, 0]


def test_pooling_undoes_enlarging():
    x = tp.tensor(np.abs(normal(2, 3, 4, 2)))
    for enlarge in (tp.upsample, tp.insert_zeros):
        np.testing.assert_array_equal(tp.max_pool(enlarge(x, 3), 3), x)


def test_space_to_depth_by_hand():
    """A patch's channels are its pixels, row by row, each with its colours."""
    x = np.arange(2 * 4 * 2).reshape(1, 2, 4, 2)  # 8 pixels of two colours
    y = tp.space_to_depth(x, 2)
    assert y.tolist() == [[[[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]]]
    np.testing.assert_array_equal(tp.depth_to_space(y, 2), x)


def test_space_to_depth_of_sequences_and_back():
    x = normal(2, 3, 4, 6, 2)
    for patch in (1, 2):
        y = tp.space_to_depth(x, patch)
        assert y.shape == (2, 3, 4 // patch, 6 // patch, 2 * patch**2)
        np.testing.assert_array_equal(y[:, 1], tp.space_to_depth(x[:, 1], patch))
        np.testing.assert_array_equal(tp.depth_to_space(y, patch), x)
    np.testing.assert_array_equal(tp.space_to_depth(tp.tensor(x), 2), tp.space_to_depth(x, 2))


# PyTorch says the same

def channels_first(x):
    return x.permute(0, 3, 1, 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pytorchs_conv2d_agrees(dtype):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(2)
    for size, kernel, stride, dilation, padding in itertools.product([(5, 7), (8, 6)], [(3, 3), (2, 4), (5, 1)], (1, 2), (1, 2), (0, 2)):
        if not fits(size, kernel, stride, dilation, padding):
            continue
        options = dict(stride=stride, dilation=dilation, padding=padding)
        arrays = [normal(2, *size, 3).astype(dtype), normal(*kernel, 3, 4).astype(dtype), normal(4).astype(dtype)]
        ours, theirs = [tp.tensor(a, requires_grad=True) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
        y = tp.conv2d(*ours, **options)
        x, w, b = theirs
        z = torch.nn.functional.conv2d(channels_first(x), w.permute(3, 2, 0, 1), b, **options).permute(0, 2, 3, 1)
        cotangent = normal(*y.shape).astype(dtype)
        y.backward(cotangent)
        z.backward(torch.tensor(cotangent))
        for found, expected in [(y.data, z.detach()), *((a.grad, t.grad) for a, t in zip(ours, theirs))]:
            tolerance = 1e-12 if dtype is np.float64 else 1e-5
            np.testing.assert_allclose(found, expected.numpy(), rtol=tolerance, atol=tolerance * np.abs(found).max())


@pytest.mark.parametrize("setting", [(2, 1, 1, 1), (3, 0, 1, 0), (1, 2, 2, 0), (2, 0, 1, 1)], ids=str)
def test_pytorchs_conv_transpose2d_agrees(setting):
    torch = pytest.importorskip("torch")
    stride, padding, dilation, output_padding = setting
    y, w = normal(2, 4, 5, 4), normal(3, 3, 2, 4)
    z = torch.nn.functional.conv_transpose2d(channels_first(torch.tensor(y)), torch.tensor(w).permute(3, 2, 0, 1), stride=stride,
                                             padding=padding, dilation=dilation, output_padding=output_padding).permute(0, 2, 3, 1)
    found = tp.conv2d_transpose(y, w, stride=stride, padding=padding, dilation=dilation, size=z.shape[1:3])
    np.testing.assert_allclose(found, z.numpy(), rtol=1e-12, atol=1e-12)


def test_pytorchs_resolutions_agree():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = normal(2, 4, 6, 3)
    theirs = channels_first(torch.tensor(x))
    np.testing.assert_array_equal(tp.max_pool(tp.tensor(x)), functional.max_pool2d(theirs, 2).permute(0, 2, 3, 1))
    np.testing.assert_array_equal(tp.upsample(tp.tensor(x)), functional.interpolate(theirs, scale_factor=2).permute(0, 2, 3, 1))
    unfolded = functional.unfold(theirs, 3, padding=1).reshape(2, 3, 3, 3, 4, 6).permute(0, 4, 5, 2, 3, 1)
    np.testing.assert_array_equal(tp.windows(x, kernel=(3, 3)), unfolded)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3)])
@pytest.mark.parametrize("other", [np.uint8, bool, np.int16, ">f4"])
def test_frames_of_another_dtype_beside_floats(kernel, other):
    """The fast algorithms exist for one dtype at a time; whole numbers and masks beside floats are converted."""
    x, w = normal(2, 8, 8, 3).astype(np.float32), normal(*kernel, 5, 4).astype(np.float32)
    h = (normal(2, 8, 8, 2) * 3).astype(other)
    expected = naive_conv2d(np.concatenate([x, h.astype(np.float64)], axis=3), w.astype(np.float64))
    for first in x, tp.tensor(x, requires_grad=True):
        y = tp.conv2d((first, h), w)
        np.testing.assert_allclose(y.numpy() if isinstance(y, tp.Tensor) else y, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("x, filters", [((2, 4, 5), (2, 4, 5, 3, 3)), ((2, 4, 5, 1), (2, 4, 5, 9)), ((2, 4, 5, 1), (2, 5, 4, 3, 3)),
                                        ((1, 4, 5, 1), (2, 4, 5, 3, 3)), ((2, 4, 5, 0), (2, 4, 5, 3, 3)), ((2, 4, 5, 1), (2, 4, 5, 0, 3))])
def test_filters_that_do_not_fit(x, filters):
    with pytest.raises((ShapeError, ConfigError)):
        tp.local_filter(tp.tensor(np.zeros(x)), tp.tensor(np.zeros(filters)))
