"""Videos give each stored frame once, of what they are; decoded, they stay in a cache that may be spoilt, full or missing."""

import itertools
import os
import subprocess
import time

import numpy as np
import pytest
from own_files import film, mentions
from video_files import write

from tinypredrnn.data.reading import read_sequences, videos
from tinypredrnn.errors import ConfigError, DataError

ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="what decodes videos is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYPREDRNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "frames"


FILM = film(20, 48, 64)
SLOWER = "-vf", "setpts='if(lt(N,10),N,10+(N-10)*4)/(25*TB)'"  # from the tenth frame on, a frame stays four times as long
PAUSE = "-vf", "setpts='if(lt(N,10),N,100+N)/(25*TB)'"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.webm", "a.mpg", "a.mov"])
def test_every_container_gives_its_frames(tmp_path, name):
    clips = read_sequences(write(tmp_path / name, FILM, *(("-lossless", "1") if name == "a.webm" else ())))
    assert clips.channels == 1 and clips[0].dtype == np.uint8 and abs(clips[0][..., 0].astype(int) - FILM).mean() < 8
    assert mentions(clips, "read as gray") and not mentions(clips, "evenly") and not mentions(clips, "cut short")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_variable_frame_rate(tmp_path, name):
    """ffmpeg would repeat frames until they come at an even rate: 49 of 20."""
    vfr = videos.as_stored(ffmpeg.get_ffmpeg_exe())[0], "vfr"
    clips = read_sequences(write(tmp_path / name, FILM, *SLOWER, *vfr))
    assert [len(clip) for clip in clips] == [20] and abs(clips[0][..., 0].astype(int) - FILM).mean() < 8
    assert mentions(clips, "variable frame rate")
    clips = read_sequences(write(tmp_path / name, FILM, *PAUSE, *vfr))
    assert [len(clip) for clip in clips] == [10, 10] and mentions(clips, "pauses in 1 place(s), the first before frame 10")


@pytest.mark.parametrize("name, options", [("a.avi", ()), ("a.mkv", ()), ("a.mp4", ("-movflags", "faststart"))])
def test_a_video_that_is_cut_short(tmp_path, name, options):
    noise = np.random.default_rng(0).integers(256, size=(20, 64, 64), dtype=np.uint8)
    path = write(tmp_path / name, noise, *options)
    whole = read_sequences(path)[0]
    os.truncate(path, path.stat().st_size * 2 // 3)
    clips = read_sequences(path)
    assert mentions(clips, "that it announces are there; it seems to be cut short") and len(clips[0]) < 16
    np.testing.assert_array_equal(clips[0], whole[:len(clips[0])])  # none of them is half a frame


def test_a_video_that_is_damaged_in_the_middle(tmp_path):
    """It can be decoded, with wrong frames after the damage."""
    path = write(tmp_path / "a.avi", np.random.default_rng(0).integers(256, size=(20, 64, 64), dtype=np.uint8))
    assert not mentions(read_sequences(path), "errors")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle:middle + 300] = np.random.default_rng(1).integers(256, size=300, dtype=np.uint8).tobytes()
    path.write_bytes(content)
    assert mentions(read_sequences(path), "a.avi: the decoder finds errors in it, the first is '")


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile 'other.mp4'\n", "#EXTM3U\n#EXTINF:1,\nother.mp4\n", "", "P5 2 2 255 abcd"])
def test_a_text_that_names_another_video_is_no_video(tmp_path, text):
    write(tmp_path / "other.mp4", FILM)
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(DataError, match="a.mp4: expected a video in a container that is known"):
        read_sequences(tmp_path / "a.mp4")


def test_a_video_that_was_held_sideways_is_turned_upright(tmp_path):
    upright = read_sequences(write(tmp_path / "a.mp4", FILM))[0]
    command = [ffmpeg.get_ffmpeg_exe(), "-v", "error", "-display_rotation", "90", "-i", tmp_path / "a.mp4", "-c", "copy",
               tmp_path / "b.mp4"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this ffmpeg cannot write how a video was held")
    np.testing.assert_array_equal(read_sequences(tmp_path / "b.mp4")[0], np.rot90(upright, axes=(1, 2)))


def test_a_computer_without_ffmpeg(tmp_path, monkeypatch):
    def missing():
        raise RuntimeError("No ffmpeg exe could be found")

    write(tmp_path / "a.avi", FILM)
    monkeypatch.setattr(ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(DataError, match="the decoder for videos is not installed") as caught:
        read_sequences(tmp_path / "a.avi")
    assert "damaged" not in str(caught.value)


def test_another_program_in_place_of_ffmpeg(tmp_path, monkeypatch):
    write(tmp_path / "a.avi", FILM)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nothing here"))
    with pytest.raises(DataError, match="the decoder for videos is not installed") as caught:
        read_sequences(tmp_path / "a.avi")
    assert "damaged" not in str(caught.value)


# the pipe

def test_a_busy_machine_decodes_as_well(tmp_path, monkeypatch):
    """However long ffmpeg takes to begin, nothing gives it up: here minutes pass at every look at the clock."""
    write(tmp_path / "a.avi", FILM)
    monkeypatch.setattr(time, "time", itertools.count(0, 100).__next__)
    assert len(read_sequences(tmp_path / "a.avi")[0]) == 20


@pytest.fixture
def started(monkeypatch):
    """The processes that are started."""
    found, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **named: found.append(popen(*words, **named)) or found[-1])
    return found


@pytest.mark.parametrize("end", ["close", "Ctrl-C"])
def test_frames_come_as_they_are_asked_for_and_the_decoder_ends_with_us(tmp_path, started, end):
    frames = iter(videos.Video(write(tmp_path / "a.avi", FILM)))
    assert next(frames).shape == (48, 64, 3)
    decoder = started[-1]
    assert decoder.poll() is None  # the other frames are more than a pipe holds: it waits until they are read
    assert os.name == "nt" or os.getpgid(decoder.pid) != os.getpgid(0)  # a Ctrl-C at the terminal does not reach it
    if end == "close":
        frames.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            frames.throw(KeyboardInterrupt)
    assert decoder.returncode is not None


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that end a process")
def test_a_decoder_that_is_killed_is_not_taken_for_the_end_of_the_video(tmp_path, started):
    frames = iter(videos.Video(write(tmp_path / "a.avi", FILM)))
    next(frames)
    started[-1].kill()
    with pytest.raises(DataError, match="a.avi: the decoder was ended by signal 9 after .* try again") as caught:
        list(frames)
    assert "damaged" not in str(caught.value)


def test_a_file_without_a_frame_is_told_with_the_decoders_reason(tmp_path):
    path = write(tmp_path / "a.avi", FILM)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="a.avi: expected a video, got a file without a frame.*: replace it"):
        read_sequences(path)


def test_the_times_are_those_of_the_stream_that_is_read(tmp_path):
    """ffmpeg reads the stream that the file calls its default; the preview before it has other frames and no pause."""
    write(tmp_path / "preview.mkv", FILM[:8, :24, :32])
    write(tmp_path / "film.mkv", FILM, *PAUSE, videos.as_stored(ffmpeg.get_ffmpeg_exe())[0], "vfr")
    command = [ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", tmp_path / "preview.mkv", "-i", tmp_path / "film.mkv", "-map", "0",
               "-map", "1", "-c", "copy", "-disposition:v:0", "0", "-disposition:v:1", "default", tmp_path / "both.mkv"]
    subprocess.run(command, check=True)
    assert [clip.shape for clip in read_sequences(tmp_path / "both.mkv")] == [(10, 48, 64, 1)] * 2


def test_colour(tmp_path):
    frames = np.stack([FILM, FILM // 2, FILM // 4], -1)
    clips = read_sequences(write(tmp_path / "a.avi", frames, pixels="rgb24"))
    assert clips.channels == 3 and not mentions(clips, "gray;") and not mentions(clips, "read as gray")
    assert read_sequences(tmp_path / "a.avi", channels=1).channels == 1
    assert read_sequences(tmp_path / "a.avi", size=(24, 32)).size == (24, 32)
    with pytest.raises(ConfigError, match="channels is 1 for gray or 3 for colour, got 2"):
        read_sequences(tmp_path / "a.avi", channels=2)
    write(tmp_path / "b.avi", FILM)
    both = read_sequences(tmp_path)
    assert both.channels == 3 and both.names == ["a.avi", "b.avi"]
    write(tmp_path / "late.avi", np.concatenate([FILM[..., None].repeat(3, -1), frames]), pixels="rgb24")  # gray at first
    late = read_sequences(tmp_path / "late.avi")
    assert late.channels == 3 and len(late[0]) == 40


# the cache

def test_decoded_frames_stay_on_the_disk(tmp_path, cache, monkeypatch):
    write(tmp_path / "a.avi", FILM)
    first = read_sequences(tmp_path / "a.avi")
    monkeypatch.setattr(videos, "Video", None)  # nothing is decoded again
    second = read_sequences(tmp_path / "a.avi")
    np.testing.assert_array_equal(first[0], second[0])
    assert first.messages == second.messages and mentions(first, f"kept in {cache}") and second.files[0] is not None
    assert len(list(cache.iterdir())) == 1 and (os.name == "nt" or cache.stat().st_mode & 0o77 == 0)


def test_another_video_or_other_options_are_decoded(tmp_path, cache):
    write(tmp_path / "a.avi", FILM)
    read_sequences(tmp_path / "a.avi")
    assert read_sequences(tmp_path / "a.avi", size=(24, 32)).size == (24, 32) and len(list(cache.iterdir())) == 2
    state = (tmp_path / "a.avi").stat()
    write(tmp_path / "a.avi", FILM[:15])
    os.utime(tmp_path / "a.avi", ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert len(read_sequences(tmp_path / "a.avi")[0]) == 15 and len(list(cache.iterdir())) == 2  # in the place of the old one


def spoil_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [
    spoil_a_byte, lambda path: os.truncate(path, 5000), lambda path: os.truncate(path, 0), lambda path: path.write_bytes(b"[" * 9999),
    lambda path: path.write_text('{"shape": [9, 9], "asked": 1}'), lambda path: (path.unlink(), path.mkdir())])
def test_a_spoilt_cache_is_made_again(tmp_path, cache, spoil):
    write(tmp_path / "a.avi", FILM)
    before = read_sequences(tmp_path / "a.avi")[0].copy()
    entry, = cache.iterdir()
    spoil(entry)
    np.testing.assert_array_equal(read_sequences(tmp_path / "a.avi")[0], before)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, cache):
    write(tmp_path / "a.avi", FILM)
    cache.parent.mkdir()
    cache.write_text("a file, where the folder would be")
    clips = read_sequences(tmp_path / "a.avi")
    assert clips[0].shape == (20, 48, 64, 1) and clips.files[0] is None


def test_a_coloured_video_without_the_cache(tmp_path, cache):
    """It starts in gray; the first coloured frame makes all of it coloured, in memory as well as on the disk."""
    frames = np.stack([FILM, FILM // 2, FILM // 4], -1)
    frames[:5] = FILM[:5, ..., None]
    write(tmp_path / "a.avi", frames, pixels="rgb24")
    cache.parent.mkdir()
    cache.write_text("a file, where the folder would be")
    clips = read_sequences(tmp_path / "a.avi")
    assert clips[0].shape == (20, 48, 64, 3) and clips.files[0] is None


def test_more_to_say_than_a_cache_entry_has_room_for(tmp_path, cache, monkeypatch):
    write(tmp_path / "a.avi", FILM)
    monkeypatch.setattr("tinypredrnn.data.reading.videos.HEAD", 16)
    clips = read_sequences(tmp_path / "a.avi")
    assert clips[0].shape == (20, 48, 64, 1) and not list(cache.rglob("*.frames"))


def test_what_fits_neither_on_the_disk_nor_in_memory_is_refused(tmp_path, cache, monkeypatch):
    write(tmp_path / "a.avi", FILM)
    cache.parent.mkdir()
    cache.write_text("a file, where the folder would be")
    monkeypatch.setattr("tinypredrnn.data.reading.frames.MAX_BYTES", 10_000)
    with pytest.raises(DataError, match="a.avi.*GiB of memory"):
        read_sequences(tmp_path / "a.avi")


def test_real_films(data_dir, cache):
    """KTH's clips, which a codec has coloured a little, beside the same frames decoded by others."""
    names = ["person01_handwaving_d1", "person04_boxing_d1", "person04_running_d1"]
    with np.load(data_dir / "kth" / "clips" / "kth_original_gray_64.npz") as file:
        for name in names:
            clips = read_sequences(data_dir / "kth" / "clips" / f"{name}_uncomp.avi", size=(64, 64))
            assert clips.channels == 1 and clips[0].shape == (*file[name].shape, 1) and clips.files[0] is not None
            assert abs(clips[0][..., 0].astype(int) - file[name]).mean() < 3
