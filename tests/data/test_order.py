"""What the axes of an array mean: recognised and said, or asked for, never guessed from their places alone."""

import numpy as np
import pytest
from own_files import check, film, films, mentions, noise, saved

from tinypredrnn.data.reading import read_sequences
from tinypredrnn.errors import ConfigError, DataError


@pytest.mark.parametrize("array, orders", [
    (films(30).swapaxes(0, 1), "order TNHW or order NTHW"),
    (films(30)[..., None].swapaxes(0, 1), "order TNHWC or order NTHWC"),
    (films(30)[:, :, None].swapaxes(0, 1), "order TNCHW or order NTCHW"),
    (np.repeat(film(20)[:, None], 3, 1), "order TCHW or order TNHW or order NTHW"),  # red, green, blue; or three clips
    (np.moveaxis(film(40), 0, 2), "order HWT or order THW"),
    (np.moveaxis(film(90, 24, 32), 0, 2), "order HWT or order THW"),
    (np.moveaxis(films(6, frames=18)[[0, 3, 4, 5]], 1, 3), "order NHWT or order NTHW"),
    (noise(4, 40, 30, 6), "order THWC or order NTHW"),  # 6 channels, or frames 6 pixels wide
    (noise(2, 9, 20, 24, 30), "order NTHWC or order NTCHW or order NCTHW"),
])
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_axes_that_are_not_clear_are_asked_for(tmp_path, array, orders, ending):
    path = tmp_path / f"own{ending}"
    np.save(path, array) if ending == ".npy" else np.savez(path, own=array)
    with pytest.raises(DataError, match=f"own.*mean.*{orders}"):
        read_sequences(path)
    for order in orders.removeprefix("order ").split(" or order "):
        clips = read_sequences(path, order=order)  # each of them can be said
        letters = [letter for letter in "NTHWC" if letter in order]
        expected = array.transpose([order.index(letter) for letter in letters])
        check(clips, list(expected) if "N" in order else [expected])


@pytest.mark.parametrize("array, order", [
    (film(30)[:, None], "TCHW"), (films(5)[:, :, None], "NTCHW"), (noise(5, 7, 3, 20, 20), "NTCHW"), (noise(5, 3, 7, 20, 20), "NCTHW")])
def test_channels_in_another_place_are_recognised_and_said(tmp_path, array, order):
    clips = read_sequences(saved(tmp_path / "a.npy", array))
    expected = array.transpose([order.index(letter) for letter in "NTHWC" if letter in order])
    check(clips, list(expected) if "N" in order else [expected])
    assert mentions(clips, order) and mentions(clips, "order NTHW" if order == "TCHW" else "; order names another one")


@pytest.mark.parametrize("array", [
    films(9), films(9)[:, :3], np.repeat(film(1)[None], 9, 1), np.zeros((9, 20, 24, 24), np.uint8), noise(9, 20, 24, 24),
    np.lib.stride_tricks.sliding_window_view(film(60), 20, axis=0).transpose(0, 3, 1, 2),  # windows, one frame apart
    film(24, 24, 20)[None], films(9).astype(np.float32) + np.where(noise(9, 12, 24, 24) < 9, np.nan, 0).astype(np.float32)])
def test_plain_orders_are_not_doubted(tmp_path, array):
    check(read_sequences(saved(tmp_path / "a.npy", array)), list(array))


def test_a_film_as_long_as_it_is_high(tmp_path):
    for frames in film(24, 24, 20), film(24, 20, 60), noise(24, 24, 20), noise(24, 20, 60):
        check(read_sequences(saved(tmp_path / "a.npy", frames)), [frames])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7, 16])
def test_any_number_of_channels(tmp_path, channels):
    """Wind has two, a satellite four or more."""
    array = np.stack([films(3, height=40, width=40) // (c + 1) for c in range(channels)], -1)
    clips = read_sequences(saved(tmp_path / "a.npy", array))
    check(clips, list(array))
    assert clips.channels == channels and clips.cut([[2, 3]], 4).shape == (1, 4, 40, 40, channels)


def test_channels_that_cannot_be_made(tmp_path):
    wind = saved(tmp_path / "wind.npy", noise(3, 5, 6, 8, 2))
    assert read_sequences(wind, channels=2, size=(3, 4))[0].shape == (5, 3, 4, 2)
    with pytest.raises(ConfigError, match="1 for gray or 3 for colour, got 3 for frames that have 2"):
        read_sequences(wind, channels=3)
    np.savez(tmp_path / "mixed.npz", a=noise(5, 6, 8, 2), b=noise(5, 6, 8, 3))
    with pytest.raises(DataError, match="got some with 2 and 3"):
        read_sequences(tmp_path / "mixed.npz")


@pytest.mark.parametrize("order", ["NTH", "XTHW", "TTHW", "nthw"])
def test_impossible_orders(tmp_path, order):
    with pytest.raises(ConfigError, match="order names axes"):
        read_sequences(saved(tmp_path / "a.npy", noise(2, 5, 6, 8)), order=order)


def test_an_order_for_other_arrays_or_files(tmp_path):
    with pytest.raises(DataError, match="NTHWC names 5 axes, a has 4"):
        read_sequences(saved(tmp_path / "a.npy", noise(2, 5, 6, 8)), order="NTHWC")
    (tmp_path / "a.gif").write_bytes(b"")
    with pytest.raises(ConfigError, match="leave them out"):
        read_sequences(tmp_path / "a.gif", order="THW")


def test_real_clips_with_time_first_are_asked_about(tmp_path, data_dir):
    with np.load(data_dir / "moving_mnist" / "mnist_test_seq_first500.npz") as file:
        digits = file["frames"]
    check(read_sequences(saved(tmp_path / "plain.npy", digits)), list(digits))
    with pytest.raises(DataError, match="order TNHW"):
        read_sequences(saved(tmp_path / "own.npy", digits.swapaxes(0, 1)))
    clips = read_sequences(saved(tmp_path / "mnist_test_seq.npy", digits.swapaxes(0, 1)))
    check(clips, list(digits))
    assert mentions(clips, "Moving MNIST test set")
