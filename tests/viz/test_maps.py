"""Maps: one colour for one range of values, whatever the data; rows and columns say what and when."""

import numpy as np
import pytest
from PIL import Image

from tinypredrnn import viz
from tinypredrnn.data.scale import Scale
from tinypredrnn.errors import ShapeError
from tinypredrnn.viz.colours import ECHOES, NO_DATA, NO_ECHO
from tinypredrnn.viz.maps import COLUMNS, levels_of, pick

DBZ = Scale(units=(0, 60), unit="dBZ")


def rgb(colour):
    return tuple(int(colour[k:k + 2], 16) for k in (1, 3, 5))


def colours_in(path):
    """How many pixels of a picture have each colour."""
    with Image.open(path) as image:
        colours, counts = np.unique(np.array(image.convert("RGB")).reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(map(int, colour)): int(count) for colour, count in zip(colours, counts)}


def uniform(dbz, frames=3):
    return np.full((frames, 12, 12, 1), DBZ.from_units(dbz), np.float32)


@pytest.mark.parametrize("dbz, colour", [(4, NO_ECHO), (7, ECHOES[0]), (22, ECHOES[3]), (37, ECHOES[6]), (60, ECHOES[-1])])
def test_a_value_has_the_colour_that_the_legend_says(tmp_path, dbz, colour):
    dry, wet = uniform(0), uniform(dbz)
    viz.save_maps(tmp_path / "dry.png", dry, {"truth": dry}, DBZ)
    viz.save_maps(tmp_path / "wet.png", wet, {"truth": wet}, DBZ)
    before, after = (colours_in(tmp_path / name).get(rgb(colour), 0) for name in ("dry.png", "wet.png"))
    assert (after - before > 50_000) if dbz > 5 else after == before


def test_places_without_data_are_gray_and_it_says_so(tmp_path):
    known, holes = uniform(30), uniform(30)
    holes[:, :6] = np.nan
    viz.save_maps(tmp_path / "known.png", known, {"truth": known}, DBZ)
    viz.save_maps(tmp_path / "holes.png", holes, {"truth": holes, "model": known}, DBZ)
    gray = [colours_in(tmp_path / name).get(rgb(NO_DATA), 0) for name in ("known.png", "holes.png")]
    assert gray[1] - gray[0] > 50_000


@pytest.fixture
def texts(monkeypatch):
    """The titles and labels that are drawn."""
    from matplotlib.axes import Axes

    seen = []
    for name in ("set_title", "set_ylabel", "set_xlabel"):
        was = getattr(Axes, name)
        monkeypatch.setattr(Axes, name, lambda self, text, *given, was=was, **more: seen.append(text) or was(self, text, *given, **more))
    return seen


def test_rows_and_columns_are_named(tmp_path, texts):
    forecasts = {"truth": uniform(20, 10), "model": uniform(10, 10), "optical flow": uniform(15, 10)}
    viz.save_maps(tmp_path / "maps.png", uniform(20, 4), forecasts, DBZ, minutes=5)
    assert [text for text in texts if "min" in text] == ["-15 min", "-10 min", "-5 min", "0 min", "+5 min", "+15 min",
                                                         "+25 min", "+30 min", "+40 min", "+50 min"]
    assert [text for text in texts if "min" not in text and text] == ["input", "truth", "model", "optical\nflow", "dBZ"]
    texts.clear()
    viz.save_maps(tmp_path / "maps.png", uniform(20, 2), {"truth": uniform(20, 1)}, Scale(unit="K"))
    assert texts == ["input", "frame 1", "frame 2", "truth", "frame 3", "K"]


def test_at_most_six_frames_from_the_first_to_the_last():
    for count in (1, 2, 5, 6, 7, 10, 60):
        picked = pick(count)
        assert len(picked) == min(count, COLUMNS) and picked[0] == 0 and picked[-1] == count - 1
        assert len(picked) < 2 or np.ptp(np.diff(picked)) <= 1


def test_levels():
    assert all(len(levels) == len(ECHOES) and list(levels) == sorted(levels) for levels in viz.LEVELS.values())
    assert levels_of(Scale(units=(0, 13), unit="K")) == tuple(range(1, 13))
    assert len({*ECHOES, NO_ECHO, NO_DATA}) == len(ECHOES) + 2


def test_frames_that_differ_are_refused(tmp_path):
    for forecasts in ({"truth": uniform(1), "model": uniform(1, 2)}, {"truth": uniform(1)[:, 1:]}):
        with pytest.raises(ShapeError, match="Forecasts must have the same shape .*'truth'"):
            viz.save_maps(tmp_path / "maps.png", uniform(1), forecasts, DBZ)
    assert not list(tmp_path.iterdir())
