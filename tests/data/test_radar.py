"""The world radar: any files of rain on one scale in dBZ; parts in the order of time; each refusal a sentence."""

import numpy as np
import pytest
from own_files import film, noise, save_images
from radar_files import clock, dataset, reflectivity

from tinypredrnn.data import SOURCES, Radar
from tinypredrnn.data.own import OneTest
from tinypredrnn.data.radar import RadarOptions, read_echoes
from tinypredrnn.data.rain import to_dbz
from tinypredrnn.data.reading.meaning import mapping
from tinypredrnn.errors import ConfigError, DataError
from tinypredrnn.train import new_plan

SHORT = dict(given=4, horizon=3)


def read(path, **options):
    """(dBZ as the model sees them (T,H,W) of the only clip, Clips)"""
    clips = read_echoes(path, RadarOptions(**options))
    assert len(clips) == 1 and clips.scale.unit == "dBZ" and clips.scale.units == options.get("dbz", (0, 60))
    return clips.scale.to_units(clips.scale.to_model(clips[0]))[..., 0], clips


def refused(path, **options):
    with pytest.raises((DataError, ConfigError)) as caught:
        Radar(RadarOptions(data=str(path), **options), 0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def season(path, frames=90, without=(40, 41), **options):
    np.savez(path, frames=film(frames, **options), times=[str(t) for t in clock(frames, without=without)],
             meta='{"mapping": "dBZ ~= pixel*52.5/255", "pixel_km": 2.5}')
    return path


def test_bytes_of_different_ranges_are_on_one_scale(tmp_path):
    frames = film(30)
    for name, most in ("a", 52.5), ("b", 60):
        np.savez(tmp_path / f"{name}.npz", frames=frames, times=clock(30), meta=f'{{"mapping": "dBZ ~= pixel*{most}/255"}}')
        dbz, clips = read(tmp_path / f"{name}.npz")
        assert clips[0].dtype == np.uint8  # nothing is copied
        np.testing.assert_allclose(dbz, frames / 255 * most, atol=1e-4)
    dbz, clips = read(tmp_path / "a.npz", dbz=(10.0, 40.0), unit="mm", values=(0.0, 1.0))
    assert any("values and unit are not used" in sentence for sentence in clips.messages)
    np.testing.assert_allclose(dbz, (frames / 255 * 52.5).clip(10, 40), atol=1e-4)
    clips = read_echoes(tmp_path, RadarOptions())  # both together
    np.testing.assert_allclose(clips[1], frames[..., None] / 255 * 60, atol=1e-4)
    assert any("in several ways, which are brought to one" in sentence for sentence in clips.messages)


def test_what_is_not_valid_is_a_place_without_data(tmp_path):
    valid = np.ones((24, 24), bool)
    valid[:3] = False
    np.savez(tmp_path / "a.npz", frames=film(30), times=clock(30), valid=valid, meta='{"mapping": "dBZ ~= pixel*60/255"}')
    dbz, clips = read(tmp_path / "a.npz")
    assert np.isnan(dbz[:, :3]).all() and not np.isnan(dbz[:, 3:]).any() and clips.scale.gaps
    assert any("72 of 576 pixels are not valid" in sentence for sentence in clips.messages)


@pytest.mark.parametrize("unit, factor", [("mm h-1", 1), ("mm", 12), ("m s-1", 3_600_000), ("kg m-2 s-1", 3600)])
def test_rates_and_sums_become_dbz(tmp_path, unit, factor):
    rate = np.where(film(10) > 40, film(10) / 10, 0).astype(np.float32)  # mm/h
    rate[2, 3, 4] = np.nan
    dataset(rate / factor, clock(10), unit=unit, name="rain").to_netcdf(tmp_path / "a.nc")
    dbz, clips = read(tmp_path / "a.nc", zr="300 1.4")
    np.testing.assert_allclose(dbz, to_dbz(rate, "300 1.4").clip(0, 60), atol=1e-3)
    assert np.isnan(dbz[2, 3, 4]) and any("Z = 300 R^1.4" in sentence for sentence in clips.messages)


def test_a_sum_needs_the_length_of_its_step(tmp_path):
    np.save(tmp_path / "a.npy", film(10).astype(np.float32) / 100)
    assert "say how many minutes a step has with step" in refused(tmp_path / "a.npy", unit="mm")
    np.testing.assert_allclose(read(tmp_path / "a.npy", unit="mm", step=10.0)[0], to_dbz(film(10) / 100 * 6.0).clip(0, 60), atol=1e-3)
    np.savez(tmp_path / "b.npz", frames=film(10).astype(np.float32) / 100, times=clock(10))
    np.testing.assert_allclose(read(tmp_path / "b.npz", unit="mm", every=2)[0], to_dbz(film(10)[::2] * 0.12).clip(0, 60), atol=1e-3)


def test_images_whose_names_have_the_time(tmp_path):
    frames = film(30)
    frames[5, 2, 2] = 255
    save_images(tmp_path / "scans", frames, [f"dbz_{t.item():%Y%m%d_%H%M}" for t in clock(30, without=[12])])
    clips = read_echoes(tmp_path / "scans", RadarOptions(unit="dBZ", values=(-10.0, 65.0), range=(0.0, 250.0), missing="255"))
    assert [len(clip) for clip in clips] == [12, 18] and list(clips.times.values())[1][0] == clock(30, without=[12])[12]
    dbz = clips.scale.to_units(clips.scale.to_model(clips[0]))
    assert np.isnan(dbz[5, 2, 2]).all()
    known = ~np.isnan(dbz)
    np.testing.assert_allclose(dbz[known], (-10 + frames[:12, ..., None] * 0.3).clip(0, 60)[known], atol=1e-3)
    assert "no number for missing" not in clips.messages


def test_floats_in_dbz_with_a_code_for_missing_data(tmp_path):
    values = reflectivity(30)
    values[0, 0, 0] = -9999
    np.savez(tmp_path / "a.npz", frames=values, times=clock(30))
    assert "hold -9999, far from all others" in refused(tmp_path / "a.npz", unit="dBZ")
    dbz, _ = read(tmp_path / "a.npz", unit="dBZ", missing="-9999")
    assert np.isnan(dbz[0, 0, 0]) and np.isnan(dbz).sum() == 1


def test_what_the_numbers_are_is_never_guessed(tmp_path):
    np.save(tmp_path / "bytes.npy", film(30))
    np.save(tmp_path / "kelvin.npy", 270 + film(30).astype(np.float32))
    np.save(tmp_path / "words.npy", film(30).astype(np.uint16))
    save_images(tmp_path / "map", noise(30, 24, 24, 3))
    dataset(270 + reflectivity(30), clock(30), unit="K").to_netcdf(tmp_path / "kelvin.nc")
    assert "does not say what its numbers are: say it with unit (dBZ, mm/h, or mm in each step) and values" in refused(
        tmp_path / "bytes.npy")
    assert "which dBZ are the stored numbers, uint8? Say it with values" in refused(tmp_path / "bytes.npy", unit="dBZ")
    for kind, path in ("pad", "bytes.npy"), ("picture", save_images(tmp_path / "images", film(30))):
        asked = refused(tmp_path / path, unit="dBZ", size=(24, 40))
        assert "which dBZ are the stored numbers, uint8?" in asked, kind  # also if they have become floats, to be padded
    assert "which dBZ are the stored numbers 0 and 250?" in refused(tmp_path / "bytes.npy", unit="dBZ", range=(0.0, 250.0))
    assert "Say it with range" in refused(tmp_path / "words.npy", unit="dBZ", values=(0.0, 60.0))
    assert "between -100 and 100 dBZ, got 270 to" in refused(tmp_path / "kelvin.npy", unit="dBZ")
    assert "expected rain in dBZ, mm/h, or mm in each step, got 'K'" in refused(tmp_path / "kelvin.nc")
    assert "colours of a map cannot be turned into rain" in refused(tmp_path / "map", unit="dBZ", values=(0.0, 60.0))
    np.save(tmp_path / "cold.npy", reflectivity(30))
    assert "expected rain of 0 mm/h or more, got -10" in refused(tmp_path / "cold.npy", unit="mm/h")
    with pytest.raises(ConfigError, match="unit of radar data is dBZ, mm/h"):
        RadarOptions(unit="K")
    with pytest.raises(ConfigError, match="dbz is a smaller and a larger number"):
        RadarOptions(dbz=(60.0, 0.0))


def test_too_few_frames_an_empty_folder_and_mixed_sizes(tmp_path):
    season(tmp_path / "short.npz", 20, without=())
    assert "expected 7 frames in a row for each of training, validation and test, got none" in refused(tmp_path / "short.npz", **SHORT)
    (tmp_path / "nothing").mkdir()
    assert "holds no images" in refused(tmp_path / "nothing")
    assert "is not there" in refused(tmp_path / "nowhere")
    for k in range(3):
        season(tmp_path / f"{k}.npz", height=24 + k)
    assert "expected frames of one size" in refused(tmp_path)


# the world

def test_parts_follow_each_other_in_time_and_share_no_window(tmp_path):
    world = Radar(RadarOptions(data=str(season(tmp_path / "a.npz", without=(50, 51))), **SHORT, active=0.0), 0)
    times = [np.concatenate(list(part.times.values())) for part in (world.training, world.held_out, world.test)]
    assert times[0].max() < times[1].min() <= times[1].max() < times[2].min()
    assert [len(t) for t in times] == [50 - 9, 9, 40]  # the test has the last run to itself
    assert world.batch(0, 3).shape == (3, 7, 24, 24, 1) and world.frame == (24, 24, 1)
    assert {name: len(make()) for name, make in world.tests().items()} == {"radar": 12}
    assert world.notes == {"echoes": str(tmp_path / "a.npz"), "range": [0, 60], "unit": "dBZ"}
    np.testing.assert_array_equal(world.batch(3, 4), Radar(world.options, 0).batch(3, 4))


def test_the_beginning_of_a_part_can_be_named(tmp_path):
    path, named = season(tmp_path / "a.npz"), dict(validation_from="2024-06-01T13:00", test_from="2024-06-01T14:00Z")
    world = Radar(RadarOptions(data=str(path), **SHORT, active=0.0, **named), 0)
    assert [sum(map(len, part)) for part in (world.training, world.held_out, world.test)] == [12, 12, 66]
    assert "validation comes before the test" in refused(path, validation_from="2024-06-02", test_from="2024-06-01")
    with pytest.raises(ConfigError, match="are times such as"):
        RadarOptions(test_from="yesterday")
    np.save(tmp_path / "timeless.npy", reflectivity(90))
    assert "the times of timeless are not known" in refused(tmp_path / "timeless.npy", unit="dBZ", **SHORT, test_from="2024-06-01")


def test_strides_and_dry_sequences(tmp_path):
    frames = film(90)
    frames[:20] = 0
    np.savez(tmp_path / "a.npz", frames=frames, times=clock(90), meta='{"mapping": "dBZ ~= pixel*60/255"}')
    data = dict(data=str(tmp_path / "a.npz"), **SHORT)
    every, third, wet = (Radar(RadarOptions(**data, **options), 0) for options in (
        dict(active=0.0), dict(active=0.0, stride=3, test_stride=1), dict(active=0.02)))
    assert len(every.windows) == len(every.training[0]) - 6 and len(third.windows) == -(-len(every.windows) // 3)
    assert len(third.tests()["radar"]()) == len(third.test[0]) - 6 > 2 * len(every.tests()["radar"]())
    shares = np.array([(every.training.cut([window], 7) > 6).mean() for window in every.windows])  # 1.5 dBZ is 6.375
    np.testing.assert_array_equal(wet.windows, every.windows[shares >= 0.02])
    assert every.options.step == 5
    assert len(wet.windows) < len(every.windows) and any("training sequences are left out" in words for words in wet.messages)
    assert "in none of the" in refused(tmp_path / "a.npz", **SHORT, active=0.99)


def test_without_files_there_are_synthetic_echoes():
    world = SOURCES["radar"](RadarOptions(**SHORT, size=(32, 40), test_sequences=3, validation_sequences=2), 5)
    plan = new_plan("predrnn", "radar").on(world)
    assert plan.frame == (32, 40, 1) and plan.scale.unit == "dBZ" and world.notes["echoes"] == "synthetic"
    assert world.batch(0, 2).shape == (2, 7, 32, 40, 1) and len(world.validation()) == 2 and len(world.tests()["radar"]()) == 3
    np.testing.assert_array_equal(world.batch(4, 4, slice(1, None, 2)), world.batch(4, 4)[1::2])
    assert new_plan("predrnn", "radar", "paper").options.hidden == (128, 128) and new_plan("predrnn", "radar", "paper").options.kernel == 3
    with pytest.raises(ConfigError, match="name the files to train on"):
        Radar(RadarOptions(test="a.npz"), 0)
    with pytest.raises(ConfigError, match="synthetic echoes go from 0.0 to 60.0 dBZ"):
        Radar(RadarOptions(dbz=(0.0, 50.0)), 0)


def test_another_file_is_tested_on_the_runs_scale(tmp_path):
    world = Radar(RadarOptions(data=str(season(tmp_path / "a.npz")), **SHORT), 0)
    dataset(reflectivity(30), clock(30)).to_netcdf(tmp_path / "b.nc")
    other = OneTest(tmp_path / "b.nc", world.options.replace(size=()), world.scale, Radar, 0)
    assert other.scale.units == world.scale.units == (0, 60) and other.scale.stored == (0, 60) and other.frame == (24, 20, 1)
    assert other.tests()["b"]().dtype == np.float32


def test_other_files_for_the_test_may_store_their_numbers_in_another_way(tmp_path):
    season(tmp_path / "a.npz")
    dataset(reflectivity(30, 24, 24), clock(30)).to_netcdf(tmp_path / "b.nc")
    world = Radar(RadarOptions(data=str(tmp_path / "a.npz"), test=str(tmp_path / "b.nc"), **SHORT), 0)
    seen = world.scale.to_units(world.scale.to_model(world.test[0]))
    np.testing.assert_allclose(seen[..., 0], reflectivity(30, 24, 24).clip(0, 60), atol=1e-3)


# real data

def test_the_real_season(data_dir):
    """The last run is the test, and the windows at stride 20 with at least 2% of their pixels above 7 of 255 are scored."""
    world = Radar(RadarOptions(data=str(data_dir / "radar" / "taasrad19_summer2016_64.npz"), test_stride=20), 0)
    assert sorted({t.min() for t in world.test.times.values()}) == [np.datetime64("2016-07-10T00:00:00")]
    frames = np.load(data_dir / "radar" / "taasrad19_summer2016_64.npz")["frames"][-1440:]
    wet = [(frames[k:k + 20] > 7).mean() >= 0.02 for k in range(0, 1421, 20)]
    assert len(world.tests()["radar"]()) == sum(wet)
    assert max(t.max() for t in world.training.times.values()) < min(t.min() for t in world.held_out.times.values())


@pytest.mark.parametrize("event", ["bom_02_20180616", "fmi_north_20160928", "knmi_nl_20100826", "mch_20150515"])
def test_real_events(data_dir, event):
    path = data_dir / "radar" / f"{event}_100.npz"
    dbz, clips = read(path)
    with np.load(path) as file:
        assert np.isnan(dbz).any() == (~file["valid"]).any() and len(clips.times["frames"]) == len(dbz)
        np.testing.assert_allclose(np.where(file["valid"], dbz, 0), np.where(file["valid"], file["frames"] / 255 * 60, 0), atol=1e-3)
    assert clips.grids["frames"].x[0] > 0


def test_real_events_together(data_dir, tmp_path):
    """Bytes, and floats where some pixels are not valid, of several years: on one scale, each with its own grid and times."""
    for name in "bom_02_20180616", "mch_20150515", "knmi_nl_20100826":
        (tmp_path / f"{name}.npz").write_bytes((data_dir / "radar" / f"{name}_100.npz").read_bytes())
    world = Radar(RadarOptions(data=str(tmp_path)), 0)
    assert [name for part in (world.training, world.held_out, world.test) for name in part.names][0] == "knmi_nl_20100826"
    assert world.test.names == ["bom_02_20180616"] and len(world.test.grids) == 3


@pytest.mark.parametrize("text", ["dBZ = pixel*128/255 - 32", "dBZ = pixel*128/255-32", "dBZ = -32 + pixel*128/255", "dBZ = pixel**2/255"])
def test_a_mapping_of_another_form_is_not_taken_for_one_without_its_offset(text):
    assert mapping(text) is None
