"""Pictures have the right size, show the right frame at the right place, and appear whole or not at all."""

import numpy as np
import pytest
from PIL import Image

from tinypredrnn import viz
from tinypredrnn.errors import DataError, DTypeError, ShapeError

GAP = viz.frames.GAP
BLUE, ORANGE, GRAY = (0, 114, 178), (213, 94, 0), (102, 102, 102)


def flat_clip(*grays, channels=1, side=(8, 10)):
    """A sequence (T,H,W,C) uint8 whose frame t has the one gray value grays[t]."""
    return np.stack([np.full((*side, channels), gray, np.uint8) for gray in grays])


INPUTS, TRUTH, PREDICTION = flat_clip(10, 20, 30), flat_clip(40, 50), flat_clip(60, 70)


def test_strip_shows_each_frame_at_its_place():
    strip = viz.frame_strip(INPUTS, TRUTH, PREDICTION)
    assert strip.dtype == np.uint8
    assert strip.shape == (3 * 8 + GAP + 3 * GAP, 3 * 10 + 2 * GAP, 3)
    rows = {0: (10, 20, 30), 8 + 3 * GAP: (40, 50), 2 * 8 + 4 * GAP: (60, 70)}  # the future stands apart from the input
    painted = np.full(strip.shape, 255, np.uint8)
    for top, grays in rows.items():
        for t, gray in enumerate(grays):
            painted[top : top + 8, t * (10 + GAP) : t * (10 + GAP) + 10] = gray
    np.testing.assert_array_equal(strip, painted)


def test_strip_keeps_every_pixel_and_enlarges_to_squares():
    rng = np.random.default_rng(0)
    inputs, truth, prediction = rng.integers(0, 256, (3, 1, 6, 7, 3), np.uint8)  # one frame of each, in colour
    strip = viz.frame_strip(inputs, truth, prediction, scale=2)
    last = strip[-12:]
    np.testing.assert_array_equal(last[::2, ::2], prediction[0])
    np.testing.assert_array_equal(last[1::2, 1::2], prediction[0])
    np.testing.assert_array_equal(strip[:12][::2, ::2], inputs[0])


def test_strip_without_truth_and_of_several_sequences():
    without = viz.frame_strip(INPUTS, None, PREDICTION)
    assert without.shape[0] == 2 * 8 + 3 * GAP
    assert without[-1, 0, 0] == 60
    one = viz.frame_strip(INPUTS, TRUTH, PREDICTION)
    two = viz.frame_strip(*(np.stack([clip, 255 - clip]) for clip in (INPUTS, TRUTH, PREDICTION)))
    assert two.shape == (2 * one.shape[0] + 5 * GAP, *one.shape[1:])
    np.testing.assert_array_equal(two[: one.shape[0]], one)
    assert two[one.shape[0] + 5 * GAP, 0, 0] == 245  # the second sequence's first frame


def test_values_and_channels():
    floats = np.array([-0.5, 0.301, 1.5], np.float32).reshape(3, 1, 1, 1) * np.ones((8, 10, 2), np.float32)
    floats[..., 1] = 0.9  # of two channels the first is shown
    strip = viz.frame_strip(floats, None, floats)
    assert [strip[0, t * (10 + GAP)].tolist() for t in range(3)] == [[0] * 3, [77] * 3, [255] * 3]
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(viz.frame_strip(every, None, every)[:16, :, 0], every[0, ..., 0])


def test_saved_strip_holds_the_strip_with_room_for_text(tmp_path):
    path = tmp_path / "new" / "strip.png"
    viz.save_strip(path, INPUTS, TRUTH, PREDICTION)
    with Image.open(path) as image:
        page = np.array(image.convert("RGB"))
    strip = viz.frame_strip(INPUTS, TRUTH, PREDICTION, scale=12)  # 8 pixels to 96
    top = (page.shape[0] - strip.shape[0]) // 2
    left = page.shape[1] - strip.shape[1] - 3 * GAP
    np.testing.assert_array_equal(page[top : top + strip.shape[0], left : left + strip.shape[1]], strip)
    names, numbers_above, numbers_below = page[:, :left], page[:top, left:], page[-top:, left:]
    for text, colour in ((names, GRAY), (names, BLUE), (names, ORANGE), (numbers_above, GRAY), (numbers_below, ORANGE)):
        assert (text == colour).all(-1).sum() > 10
    assert [p.name for p in path.parent.iterdir()] == ["strip.png"]


def test_gif_has_every_frame_and_marks_the_prediction(tmp_path):
    path = tmp_path / "clip.gif"
    truth, prediction = flat_clip(40, 40), flat_clip(200, 200)  # equal frames must not be merged into one
    viz.save_gif(path, INPUTS, truth, prediction, frames_per_second=4)
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.info["loop"]) == (5, 0)
        width = gif.width
        for t, (left, right) in enumerate([(10, 10), (20, 20), (30, 30), (40, 200), (40, 200)]):
            gif.seek(t)
            assert gif.info["duration"] == (250 if t < 4 else 1500)
            page = np.array(gif.convert("RGB")).astype(int)
            middle = page[page.shape[0] // 2]
            np.testing.assert_allclose(middle[[width // 4, 3 * width // 4]], [[left] * 3, [right] * 3], atol=2)
            for border, column in ((BLUE, page[:, : width // 2]), (ORANGE, page[:, width // 2 :])):
                seen = (abs(column - (GRAY if t < 3 else border)).max(-1) <= 2).sum()
                assert seen > 4 * 192 * 2 * GAP * 0.9  # four sides of a frame


def test_gif_without_truth_and_of_several_sequences(tmp_path):
    sizes = {}
    for name, truth, count in (("both", TRUTH, 1), ("alone", None, 1), ("two", TRUTH, 2)):
        clips = [None if clip is None else np.stack([clip] * count) for clip in (INPUTS, truth, PREDICTION)]
        viz.save_gif(tmp_path / f"{name}.gif", *clips)
        with Image.open(tmp_path / f"{name}.gif") as gif:
            sizes[name] = gif.size
    assert sizes["alone"][0] * 2 == sizes["both"][0]
    assert sizes["two"][1] > sizes["both"][1] + 192


@pytest.mark.parametrize(
    ("inputs", "truth", "prediction", "error", "words"),
    [
        (INPUTS, TRUTH[:1], PREDICTION, ShapeError, "same frames"),
        (INPUTS[:, :4], TRUTH, PREDICTION, ShapeError, "same sequences"),
        (np.stack([INPUTS] * 2), TRUTH, PREDICTION, ShapeError, "same sequences"),
        (INPUTS[0], TRUTH, PREDICTION, ShapeError, "input must be"),
        (INPUTS, TRUTH, None, ShapeError, "prediction must be"),
        (INPUTS, TRUTH, PREDICTION * np.float32("nan"), DataError, "prediction.*NaN"),
        (INPUTS.astype(int), TRUTH, PREDICTION, DTypeError, "input.*int64"),
    ],
)
def test_bad_frames(tmp_path, inputs, truth, prediction, error, words):
    for draw in (viz.save_strip, viz.save_gif):
        with pytest.raises(error, match=words):
            draw(tmp_path / "a.gif", inputs, truth, prediction)
    with pytest.raises(error, match=words):
        viz.frame_strip(inputs, truth, prediction)
    assert not any(tmp_path.iterdir())


def test_an_interrupted_write_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "strip.png"
    viz.save_strip(path, INPUTS, TRUTH, PREDICTION)
    before = path.read_bytes()

    def interrupted(self, where, **options):
        where.write_bytes(b"half a pict")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        viz.save_strip(path, INPUTS, TRUTH, TRUTH)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_row_for_each_of_several_networks(tmp_path):
    one = viz.frame_strip(INPUTS, TRUTH, PREDICTION)
    two = viz.frame_strip(INPUTS, TRUTH, {"short": PREDICTION, "another": 255 - PREDICTION})
    np.testing.assert_array_equal(two[:len(one)], one)
    assert len(two) == len(one) + 8 + GAP and two[-1, 0, 0] == 255 - 60
    viz.save_strip(tmp_path / "one.png", INPUTS, TRUTH, PREDICTION)
    viz.save_strip(tmp_path / "two.png", INPUTS, TRUTH, {"a network of a very long name": PREDICTION, "b": PREDICTION})
    one, two = Image.open(tmp_path / "one.png"), Image.open(tmp_path / "two.png")
    assert two.width > one.width and two.height == one.height + 96 + GAP  # frames are enlarged to 96 pixels
    viz.save_gif(tmp_path / "two.gif", INPUTS, TRUTH, {"a": PREDICTION, "b": PREDICTION})
    with pytest.raises(ShapeError, match="cut them alike"):
        viz.frame_strip(INPUTS, TRUTH, {"a": PREDICTION, "b": PREDICTION[:1]})
