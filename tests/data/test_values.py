"""Frames keep their own numbers; their range, what is missing and what does not move are said."""

import numpy as np
import pytest
from own_files import check, film, films, mentions, noise, save_images, saved
from PIL import Image

from tinypredrnn.data.own import OwnOptions, read_clips
from tinypredrnn.data.reading import read_sequences
from tinypredrnn.data.scale import BYTES, Scale
from tinypredrnn.errors import ConfigError, DataError

X = films(4) / 255


@pytest.mark.parametrize("array, stored, units", [
    ((X * 107 - 32).astype(np.int16), (-40, 80), (-40, 80)),  # dBZ
    ((250 + 60 * X).astype(np.float32), (250, 310), (250, 310)),  # kelvin
    ((51241 + X * 940).astype(np.uint16), (51240, 52190), (51240, 52190)),  # a thermal camera
    (X * 2 - 1, (-1, 1), (-1, 1)),
    (films(4).astype(np.float32), (0, 255), (0, 255)),
    (films(4).astype(np.int64), (0, 255), (0, 255)),
    (films(4).astype(">i2"), (0, 255), (0, 255)),
    (X.astype(np.float16), (0, 1), (0, 1)),
    (X * 1.0000001, (0, 1), (0, 1)),  # a rounding error
    (films(4) > 90, (0, 1), (0, 1)),
])
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_numbers_stay_as_they_are_stored(tmp_path, array, stored, units, ending):
    path = tmp_path / f"a{ending}"
    np.save(path, array) if ending == ".npy" else np.savez(path, a=array)
    clips = read_sequences(path)
    check(clips, list(array.view(np.uint8) if array.dtype == bool else array))
    assert clips.scale.stored == stored and clips.scale.units == units
    seen = clips.scale.to_model(clips.cut([[0, 0], [3, 2]], 5))
    assert seen.dtype == np.float32 and seen.min() >= 0 and seen.max() <= 1
    expected = (np.stack([array[0, :5], array[3, 2:7]]).astype(np.float64)[..., None] - stored[0]) / (stored[1] - stored[0])
    np.testing.assert_allclose(seen, expected.clip(0, 1), atol=1e-6)
    assert mentions(clips, "range LO HI") == (stored != (0, 1))  # what was assumed is said


def test_a_npy_of_any_numbers_stays_on_the_disk(tmp_path):
    for array in (X.astype(np.float32), films(4) > 90, films(4).astype(np.int16)):
        clips = read_sequences(saved(tmp_path / "a.npy", array))
        assert all(file is not None for file in clips.files)


def test_true_and_false_beside_bytes_or_resized_are_0_and_255(tmp_path):
    true = films(4) > 90
    clips = read_sequences(saved(tmp_path / "a.npy", true), size=(12, 12))
    assert clips.scale is BYTES and clips[0].max() == 255 and len(np.unique(clips[0])) > 3
    np.savez(tmp_path / "a.npz", a=true, b=films(4))
    check(read_sequences(tmp_path / "a.npz"), [*(true * np.uint8(255)), *films(4)])


def test_range_and_unit_are_said(tmp_path):
    path = saved(tmp_path / "a.npy", (X * 107 - 32).astype(np.int16))
    scale = read_sequences(path, range=(-32, 60), unit="dBZ").scale
    assert (scale.stored, scale.units, scale.unit) == ((-32, 60), (-32, 60), "dBZ")
    assert mentions(read_sequences(path, range=(-32, 60)), "what lies outside of -32 to 60 is set to its nearer end")
    assert read_sequences(saved(tmp_path / "b.npy", films(2)), unit="dBZ").scale.units == (0, 255)
    assert read_sequences(saved(tmp_path / "b.npy", films(2))).scale is BYTES
    for impossible in [(3, 3), (4, 1), (0, np.nan), (1, 2, 3)]:
        with pytest.raises(ConfigError, match="range is a smaller and a larger number"):
            read_sequences(path, range=impossible)


@pytest.mark.parametrize("array, most", [(X * 0.004, 0.004), ((X * 9).astype(np.uint8), 9)])
def test_a_small_part_of_the_range_is_said(tmp_path, array, most):
    clips = read_sequences(saved(tmp_path / "a.npy", array.astype(np.float32) if array.dtype.kind == "f" else array))
    assert mentions(clips, f"range 0 {most}")
    assert not mentions(read_sequences(saved(tmp_path / "b.npy", X)), "range 0")


# no data

def test_places_without_data_are_counted_and_found(tmp_path):
    array = X.copy()
    array[1, 3, 5, 7] = array[2, 0, 0, 0] = np.nan
    clips = read_sequences(saved(tmp_path / "a.npy", array))
    assert mentions(clips, "2 places (0.0072%) have no data, the first in a[1], frame 3, row 5, column 7")
    assert np.isnan(clips.scale.to_model(clips[1])).sum() == 1 and clips.scale.stored == (0, 1)


@pytest.mark.parametrize("code, dtype, x", [(-9999, np.float32, X), (-999, np.int16, X * 107 - 32), (65535, np.uint16, X * 940),
                                            (-32768, np.int16, X * 107), (1e30, np.float64, X), (9999, np.float32, X),
                                            (9.969209968386869e36, np.float32, X), (-3.4028234663852886e38, np.float32, X)])
def test_a_code_for_no_data_is_asked_about(tmp_path, code, dtype, x):
    array = x.astype(dtype)
    array[1:, 3, 5:9] = code
    path = saved(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=r"288 places \(1%\) hold .*first in a\[1\], frame 3, row 5, column 0: .*use missing"):
        read_sequences(path)
    with pytest.raises(DataError) as caught:
        read_sequences(path)
    clips = read_sequences(path, missing=float(str(caught.value).partition("use missing ")[2].partition(";")[0]))  # as it says
    assert mentions(clips, "288 places (1%) have no data, the first in a[1], frame 3, row 5, column 0")
    known = array[array != array.dtype.type(code)]
    assert clips.scale.stored[0] <= known.min() and known.max() <= clips.scale.stored[1] < 2 * max(1, abs(float(known.max())))
    assert np.isnan(clips.scale.to_model(clips[2])).sum() == 96
    assert mentions(read_sequences(path, range=(0, 1)), "use missing")


def test_numbers_that_only_look_like_a_code(tmp_path):
    array = np.linspace(-1500, 500, 4 * 12 * 24 * 24).reshape(4, 12, 24, 24).round().astype(np.int16)
    assert (array == -999).any() and read_sequences(saved(tmp_path / "a.npy", array)).scale.stored == (-1500, 500)
    assert mentions(read_sequences(tmp_path / "a.npy", missing=-9999), "no place holds -9999")


@pytest.mark.parametrize("missing, dtype", [(-9999, np.float32), (-999, np.int16), (255, np.uint8), (None, np.float32)])
def test_resizing_does_not_mix_places_without_data_into_others(tmp_path, missing, dtype):
    array = np.full((1, 3, 8, 8), 100, dtype)
    array[..., :3] = np.nan if missing is None else missing
    clip = read_sequences(saved(tmp_path / "a.npy", array), missing=missing, size=(4, 4))[0]
    gone = np.isnan(clip) if missing is None else clip == missing
    assert clip.dtype == dtype and (clip[~gone] == 100).all() and gone[..., 0, 0].all() and not gone[..., 2:, 0].any()


# pictures of more than 8 bits

def test_pictures_of_16_bits_keep_them(tmp_path):
    frames = (51241 + film(20) / 255 * 940).astype(np.uint16)
    save_images(tmp_path / "thermal", frames)
    clips = read_sequences(tmp_path / "thermal")
    check(clips, [frames])
    assert clips.scale.stored == (51240, 52190)


@pytest.mark.parametrize("dtype, ending, read_as", [
    (np.uint16, ".png", np.uint16), (np.int32, ".tif", np.uint16), (np.float32, ".tif", np.float32)])
def test_deep_pictures_that_hold_bytes(tmp_path, dtype, ending, read_as):
    frames = film(20)
    save_images(tmp_path / "deep", frames.astype(dtype), ending=ending)
    clips = read_sequences(tmp_path / "deep")
    check(clips, [frames.astype(read_as)])
    assert clips.scale.stored == (0, 255 if dtype is not np.float32 else pytest.approx(255, abs=5))


def test_deep_pictures_among_bytes(tmp_path):
    frames = film(20)
    save_images(tmp_path / "a", frames[:10])
    save_images(tmp_path / "a", frames[10:].astype(np.uint16) * 257, [f"frame{t}" for t in range(10, 20)])
    clips = read_sequences(tmp_path / "a")
    check(clips, [frames])
    assert mentions(clips, "divided by 257")
    save_images(tmp_path / "a", [film(1)[0].astype(np.float32)], ["frame20"], ".tif")
    with pytest.raises(DataError, match="of one kind"):
        read_sequences(tmp_path / "a")


# what does not move

@pytest.mark.parametrize("array, words", [
    (np.zeros((6, 12, 24, 24), np.uint8), "there is nothing to predict"),
    (np.repeat(films(6)[:, :1], 12, 1), "nothing moves"),
    (np.repeat(films(6), 5, 1), "every 5 takes one of each"),
    (np.repeat(films(6), 2, 1), "every 2 takes one of each"),
    (films(6)[:, :1] + (np.arange(12)[:, None, None] % 2 * (np.arange(576).reshape(24, 24) == 0)).astype(np.uint8), "hardly change"),
])
def test_what_does_not_move_is_said(tmp_path, array, words):
    assert mentions(read_sequences(saved(tmp_path / "a.npy", array)), words)


def test_gray_in_colour_is_said(tmp_path):
    gray = films(4)[..., None].repeat(3, -1)
    clips = read_sequences(saved(tmp_path / "a.npy", gray))
    check(clips, list(gray))
    assert mentions(clips, "channels 1 makes them gray")


@pytest.mark.parametrize("array", [films(6), noise(3, 9, 24, 24), films(6) / 255, np.where(films(6) < 9, np.nan, films(6) / 255)])
def test_what_moves_needs_no_hint(tmp_path, array):
    clips = read_sequences(saved(tmp_path / "a.npy", array))
    assert not any(mentions(clips, words) for words in ("nothing", "every ", "hardly"))


def test_every_takes_one_frame_of_so_many(tmp_path):
    slow = np.repeat(film(10), 3, 0)
    first, *rest = [Image.fromarray(frame) for frame in slow]
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    save_images(tmp_path / "a", slow)
    for path in (saved(tmp_path / "a.npy", slow), tmp_path / "a", tmp_path / "a.tif"):
        check(read_sequences(path, every=3), [film(10)])
        assert not mentions(read_sequences(path, every=3), "repeat")
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        read_sequences(tmp_path / "a.npy", every=0)


def test_what_stored_numbers_are_in_physical_units(tmp_path):
    path = saved(tmp_path / "a.npy", films(4))
    assert read_sequences(path, values=(-32, 95.5), unit="dBZ").scale == Scale((0, 255), (-32, 95.5), "dBZ")
    assert read_sequences(path, range=(0, 200), values=(0, 50), unit="K").scale == Scale((0, 200), (0, 50), "K")
    with pytest.raises(ConfigError, match="values is a smaller and a larger number"):
        read_sequences(path, values=(3, 2))
    np.savez(tmp_path / "b.npz", frames=film(12), meta='{"mapping": "dBZ ~= pixel*52.5/255"}')  # the file says it itself
    clips = read_sequences(tmp_path / "b.npz", values=(0, 1), unit="K")
    assert clips.scale == Scale((0, 255), (0, 52.5), "dBZ") and mentions(clips, "its meta says that 0 to 255 are 0 to 52.5 dBZ")
    for meta in "text", '{"mapping": 3}', '[1]', '{"mapping": "dBZ = pixel*0/255"}':
        np.savez(tmp_path / "b.npz", frames=film(12), meta=meta)
        assert read_sequences(tmp_path / "b.npz").scale == BYTES


def test_stored_numbers_and_physical_values_lead_to_each_other():
    scale = Scale((0, 250), (-10, 40), "dBZ", missing=255)
    np.testing.assert_allclose(scale.physical(np.array([0, 125, 250, 255], np.uint8)), [-10, 15, 40, np.nan])
    np.testing.assert_allclose(scale.stored_at([-10, 15, 45]), [0, 125, 275])


def test_another_file_in_a_runs_unit_is_brought_to_its_range(tmp_path):
    """Bytes of another range, and floats."""
    frames = films(4)
    run = Scale((0, 255), (0, 60), "dBZ")
    np.savez(tmp_path / "a.npz", frames=frames[0], meta='{"mapping": "dBZ ~= pixel*52.5/255"}')
    np.save(tmp_path / "b.npy", frames[0] / np.float32(255) * 52.5)
    for name, said in ("a.npz", {}), ("b.npy", {"unit": "dBZ"}):
        clips = read_clips(tmp_path / name, OwnOptions(**said), run)
        assert clips.scale.units == (0, 60)
        np.testing.assert_allclose(clips.scale.to_model(clips[0])[..., 0], frames[0] / 255 * 52.5 / 60, atol=1e-6)
