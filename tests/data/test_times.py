"""Steps of time are read where they are written, in names and arrays; no clip goes on over a gap."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from own_files import check, film, mentions, noise, save_images

from tinypredrnn.data.reading import read_sequences, split

START = datetime(2024, 2, 28, 22)


def dated(form, minutes):
    return [f"{START + timedelta(minutes=m):{form}}" for m in minutes]


@pytest.mark.parametrize("form", ["r_%Y%m%d%H%M", "%Y-%m-%d_%H-%M", "R%Y%m%dT%H%M%SZ", "%Y.%m.%d %H.%M.%S_dbz", "%Y%m%d_%H%M_v2"])
def test_a_gap_between_times_in_names_is_not_crossed(tmp_path, form):
    minutes = [5 * t for t in range(60) if t not in (20, 21, 22, 45)]  # past midnight, 28 to 29 February
    frames = noise(56, 6, 8)
    order = np.random.default_rng(0).permutation(56)
    save_images(tmp_path / "radar", frames[order], [dated(form, minutes)[t] for t in order])
    clips = read_sequences(tmp_path / "radar")
    check(clips, [frames[:20], frames[20:42], frames[42:]])
    assert mentions(clips, "missing in 2 place(s)") and mentions(clips, dated(form, minutes)[19]) and mentions(clips, "no sequence crosses")


@pytest.mark.parametrize("names", [
    [f"frame{t}" for t in range(12)],  # frame9, frame10
    [f"{1000 + 10 * t}" for t in range(12)],
    [f"{t // 60:02d}{t % 60:02d}" for t in range(700, 760, 5)],  # the clock: 1155, 1200
    [f"cloud{t // 60:02d}{t % 60:02d}00" for t in range(700, 820, 10)],
    [f"{2023 + m // 12}{m % 12 + 1:02d}" for m in range(6, 18)],  # months: 202312, 202401
    [f"MOD{2023 + (355 + d) // 365}{(355 + d) % 365 + 1:03d}" for d in range(12)],  # days of the year: 2023365, 2024001
    [f"{START + timedelta(days=d):%Y%m%d}" for d in range(12)],  # 20240229, 20240301
    [f"t_2024010112{m:02d}{s:02d}" for m, s in [(m, s) for m in range(6) for s in (0, 31)]],  # a clock that jitters by a second
])
def test_regular_names_have_no_gap(tmp_path, names):
    frames = noise(12, 6, 8)
    save_images(tmp_path / "clip", frames, names)
    clips = read_sequences(tmp_path / "clip")
    check(clips, [frames])
    assert not mentions(clips, "missing") and not mentions(clips, "evenly")


def test_a_date_that_all_frames_share_is_not_their_time(tmp_path):
    frames = noise(2, 70, 6, 8)
    for c in range(2):
        save_images(tmp_path, frames[c], [f"cam{c}_20240601_{t:04d}" for t in range(70)])  # 0000 ... 0059 look like a clock
    check(read_sequences(tmp_path), list(frames))


def test_numbers_that_jump(tmp_path):
    frames = noise(20, 6, 8)
    save_images(tmp_path / "clip", frames, [f"frame_{t + 100 * (t > 12):04d}" for t in range(20)])
    clips = read_sequences(tmp_path / "clip")
    check(clips, [frames[:13], frames[13:]])
    assert mentions(clips, "between frame_0012 and frame_0113")


def test_numbers_that_are_no_times_are_said_and_keep_the_film_whole(tmp_path):
    frames = noise(8, 6, 8)
    save_images(tmp_path / "clip", frames, [f"IMG_{n}" for n in (1, 2, 40, 41, 90, 200, 300, 1000)])
    save_images(tmp_path / "words", frames, list("abcdefgh"))
    for folder in "clip", "words":
        check(read_sequences(tmp_path / folder), [frames])
    assert mentions(read_sequences(tmp_path / "clip"), "not evenly spaced")


def test_several_films_in_one_folder_are_several_clips(tmp_path):
    """Cameras: by what stands before the number, or after it."""
    frames = noise(4, 9, 6, 8)
    for c in range(4):
        save_images(tmp_path / "before", frames[c], [f"cam{c}_{t:04d}" for t in range(9)])
        save_images(tmp_path / "after", frames[c], [f"{t:04d}_{'abcd'[c]}" for t in range(9)])
        save_images(tmp_path / "dated", frames[c], [f"site{c}-{name}" for name in dated("%Y%m%d%H%M", range(0, 90, 10))])
    for folder in "before", "after", "dated":
        clips = read_sequences(tmp_path / folder)
        check(clips, list(frames))
        assert mentions(clips, "belong to 4 films")


def test_every_frame_of_a_stride_within_each_run(tmp_path):
    frames = noise(20, 6, 8)
    save_images(tmp_path / "clip", frames, [f"{t + 100 * (t > 12)}" for t in range(20)])
    check(read_sequences(tmp_path / "clip", every=3), [frames[:13:3], frames[13::3]])


# arrays

@pytest.mark.parametrize("form", [lambda t: [str(x) for x in t], lambda t: [f"{x}Z" for x in t], lambda t: t, lambda t: t.astype(np.int64),
                                  lambda t: t.astype(np.int64) / 3600, lambda t: np.array([str(x) for x in t], "S")])
def test_times_beside_frames_tell_runs_apart(tmp_path, form):
    times = np.datetime64("2016-06-01T23:00:00") + np.array([5 * (t + 12 * (t > 14)) for t in range(30)], "m8[m]").astype("m8[s]")
    frames = noise(30, 6, 8)
    np.savez(tmp_path / "a.npz", frames=frames, times=form(times), meta="text")
    clips = read_sequences(tmp_path / "a.npz")
    check(clips, [frames[:15], frames[15:]])
    assert mentions(clips, "times tell 2 runs apart") and mentions(clips, "left out meta")


def test_run_start_tells_runs_apart(tmp_path):
    frames = noise(30, 6, 8)
    np.savez(tmp_path / "a.npz", frames=frames, run_start=np.array([0, 10, 25], np.int32), run_length=[10, 15, 5])
    check(read_sequences(tmp_path / "a.npz"), [frames[:10], frames[10:25], frames[25:]])


def test_times_that_do_not_fit_are_said(tmp_path):
    np.savez(tmp_path / "a.npz", frames=noise(30, 6, 8), times=np.arange(29), run_start=[40], timestamps=["yesterday"] * 30)
    clips = read_sequences(tmp_path / "a.npz")
    check(clips, [noise(30, 6, 8)])
    assert mentions(clips, "times (29,) does not fit") and mentions(clips, "run_start (1,)") and mentions(clips, "timestamps (30,)")


def test_no_window_of_real_radar_crosses_a_run(data_dir):
    clips = read_sequences(data_dir / "radar" / "taasrad19_summer2016_64.npz")
    assert [len(clip) for clip in clips] == [2442, 2592, 966, 218, 288, 1440]
    assert len(clips.windows(20)) == 7832  # as its README counts them


def test_parts_by_time_of_a_film_with_gaps(tmp_path):
    save_images(tmp_path / "clip", film(90), [f"{t + 9 * (t > 40)}" for t in range(90)])
    *parts, words = split(read_sequences(tmp_path / "clip"), 10)
    assert "by time" in words and all(len(part.windows(10)) for part in parts)
