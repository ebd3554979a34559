"""Own images, GIFs and videos give back the frames that were put in; anything else, or any damage, ends in one sentence that names it."""

import io
import os
import sys
import zlib

import numpy as np
import pytest
from own_files import authors_file, check, film, mentions, noise, save_images, saved
from PIL import Image

from tinypredrnn.data.reading import read_sequences
from tinypredrnn.errors import ConfigError, DataError

# images

@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".PNG", ".ppm"])
@pytest.mark.parametrize("colour", [False, True])
def test_a_folder_of_images_is_a_clip(tmp_path, ending, colour):
    frames = noise(11, 6, 8, 3) if colour else noise(11, 6, 8)
    save_images(tmp_path / "clip", frames, ending=ending)  # frame0 ... frame10
    (tmp_path / "clip" / "notes.txt").write_text("no frame")
    (tmp_path / "clip" / ".hidden.png").write_text("nor this")
    clips = read_sequences(tmp_path / "clip")
    check(clips, [frames])
    assert clips.names == ["clip"]


def test_names_of_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_images(tmp_path / "own.npy", noise(2, 6, 8))
    check(read_sequences("~/own.npy"), [noise(2, 6, 8)])


def test_natural_order(tmp_path):
    names = ["a9", "a10", "A10b", "a010c", "b1_2", "b1_10"]
    save_images(tmp_path, noise(6, 4, 4), names)
    check(read_sequences(tmp_path), [noise(6, 4, 4)])


def test_a_folder_of_folders_has_a_clip_for_each(tmp_path):
    clips = [noise(3, 6, 8), noise(5, 6, 8, seed=1), noise(1, 6, 8, seed=2)]
    for name, frames in zip(["take1", "take2", "take10"], clips):
        save_images(tmp_path / name, frames)
    (tmp_path / "readme.md").write_text("three takes")
    read = read_sequences(tmp_path)
    check(read, clips)
    assert read.names == ["take1", "take2", "take10"]


def test_images_are_gray_where_all_are(tmp_path):
    gray, colour = noise(3, 6, 8), noise(2, 6, 8, 3)
    save_images(tmp_path / "a", gray[..., None].repeat(3, -1))  # stored in colour
    check(read_sequences(tmp_path), [gray])
    colour[..., 1] = colour[..., 0]
    save_images(tmp_path / "b", colour)
    check(read_sequences(tmp_path), [gray[..., None].repeat(3, -1), colour])
    check(read_sequences(tmp_path, channels=3), [gray[..., None].repeat(3, -1), colour])


def test_other_kinds_of_pixels(tmp_path):
    gray = noise(6, 8)
    gray[0, 0] = 255
    Image.fromarray(gray > 127).save(tmp_path / "1.png")
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "2.png")
    Image.fromarray(np.stack([gray, 255 - gray], -1)).save(tmp_path / "3.png")  # with transparency
    Image.fromarray(gray).convert("P").save(tmp_path / "4.png")
    over_black = np.rint(gray * ((255 - gray) / 255)).astype(np.uint8)
    frames = read_sequences(tmp_path)
    assert abs(frames[0][2, ..., 0].astype(int) - over_black).max() <= 1
    check(frames, [np.stack([np.uint8(gray > 127) * 255, gray, frames[0][2, ..., 0], gray])])


def deep_png(pixels, kind):
    """A PNG of 16 bits a channel, which PIL cannot write; kind 0 is gray, 2 colour, 4 and 6 the same with transparency."""
    height, width, _ = pixels.shape
    chunk = lambda name, data: len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, kind, 0, 0, 0])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind, channels", [(0, 1), (2, 3), (4, 2), (6, 4), ("ppm", 3)])
def test_what_loses_bits_is_said(tmp_path, kind, channels):
    """PIL keeps 16 bits of gray only."""
    frames = np.stack([film(5, seed=c) for c in range(channels)], -1).astype(np.uint16) * 257
    if channels in (2, 4):
        frames[..., -1] = 65535  # opaque
    for t, frame in enumerate(frames):
        if kind == "ppm":
            (tmp_path / f"{t}.ppm").write_bytes(b"P6 24 24 65535\n" + frame.astype(">u2").tobytes())
        else:
            (tmp_path / f"{t}.png").write_bytes(deep_png(frame, kind))
    clips = read_sequences(tmp_path)
    check(clips, [frames if kind == 0 else (frames[..., :1 if channels == 2 else 3] // 257).astype(np.uint8)])
    assert mentions(clips, "of more than 8 bits are read as 8 bits: save them as TIFFs") == (kind != 0)


@pytest.mark.parametrize("colour", [False, True])
def test_a_gif(tmp_path, colour):
    frames = noise(5, 6, 8, 3) if colour else noise(5, 6, 8)  # at most 48 colours a frame
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
    check(read_sequences(tmp_path / "a.gif"), [frames])
    check(read_sequences(tmp_path), [frames])  # a folder with one clip


def test_a_video_without_a_decoder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    (tmp_path / "a.avi").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"a\.avi.*`pip install imageio-ffmpeg`"):
        read_sequences(tmp_path / "a.avi")


def test_videos(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    from video_files import write

    levels = np.linspace(20, 230, 12).astype(np.uint8)
    write(tmp_path / "a.mp4", np.broadcast_to(levels[:, None, None], (12, 32, 48)))
    clip = read_sequences(tmp_path / "a.mp4", channels=1)[0]
    assert clip.shape == (12, 32, 48, 1) and abs(clip.mean((1, 2, 3)) - levels).max() < 8
    (tmp_path / "b.avi").write_bytes((tmp_path / "a.mp4").read_bytes()[:100])
    with pytest.raises(DataError, match="b.avi"):
        read_sequences(tmp_path / "b.avi")


def test_resizing_and_gray(tmp_path):
    halves = np.zeros((2, 6, 8, 3), np.uint8)
    halves[:, :, 4:] = 200, 100, 50
    save_images(tmp_path / "clip", halves)
    clips = read_sequences(tmp_path, size=[3, 4], channels=1)
    luma = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert clips[0].shape == (2, 3, 4, 1) and clips[0][0, 1, :, 0].tolist() == pytest.approx([0, luma / 8, luma * 7 / 8, luma], abs=1)
    same = read_sequences(saved(tmp_path / "a.npy", halves), size=(3, 4), channels=1)
    np.testing.assert_array_equal(same[0], clips[0])
    assert read_sequences(tmp_path / "a.npy", size=(12, 16))[0].shape == (2, 12, 16, 3)


@pytest.mark.parametrize("options", [dict(size=(0, 8)), dict(size=(8,)), dict(channels=2), dict(channels=0)])
def test_impossible_options(tmp_path, options):
    with pytest.raises(ConfigError):
        read_sequences(saved(tmp_path / "a.npy", noise(2, 5, 6, 8)), **options)


# folders and files that are no sequences

def frames_of_two_sizes(folder):
    save_images(folder, [noise(6, 8), noise(6, 8), noise(6, 9)])
    return folder, "frame2.png.*6x9 pixels here and 6x8 in .*frame0.png"


def clips_of_two_sizes(folder):
    save_images(folder / "a", noise(2, 6, 8))
    save_images(folder / "b", noise(2, 8, 6))
    return folder, "frame0.png.*8x6 pixels here"


def arrays_of_two_sizes(folder):
    np.savez(folder / "a.npz", run=noise(2, 6, 8), walk=noise(2, 6, 9))
    return folder / "a.npz", "a.npz.*6x9 pixels here and 6x8 in run"


def images_beside_clips(folder):
    save_images(folder, noise(2, 6, 8))
    save_images(folder / "more", noise(2, 6, 8))
    return folder, "frame0.png beside the clip more"


def empty_clips(folder):
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    return folder, "holds no images"


def truncated_image(folder):
    save_images(folder, noise(3, 60, 80))
    os.truncate(folder / "frame1.png", 2_000)
    return folder, "frame1.png is damaged"


def text_called_png(folder):
    (folder / "frame.png").write_text("not an image")
    return folder, "frame.png is damaged"


def another_format_called_png(folder):
    Image.fromarray(noise(6, 8)).save(folder / "frame.png", format="PCX")
    return folder, "frame.png is damaged"


def large_image(folder, side=5_900):
    file = io.BytesIO()
    Image.fromarray(noise(2, 2)).save(file, "png")
    (folder / "frame.png").write_bytes(with_size(file.getvalue(), side, side))
    return folder, "frame.png.*5900x5900"


def image_bomb(folder):
    return large_image(folder, 9_500)[0], "frame.png is damaged.*DecompressionBomb"  # where PIL only warns


def with_size(png, width, height):
    """A PNG file whose header names another size, with the checksum that belongs to it."""
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + png[24:29]
    return png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png[33:]


def one_image(folder):
    save_images(folder, noise(1, 6, 8))
    return folder / "frame0.png", "frame0.png is no clip"


def nothing(folder):
    return folder / "nothing", "nothing is not there"


def pipe(folder):
    os.mkfifo(folder / "a.gif")  # to open it would be to wait for ever
    return folder / "a.gif", "a.gif is no clip"


def pipe_among_images(folder):
    os.mkfifo(folder / "a.png")
    return folder, "holds no images"


@pytest.mark.parametrize("make", [frames_of_two_sizes, clips_of_two_sizes, arrays_of_two_sizes, images_beside_clips, empty_clips,
                                  truncated_image, text_called_png, another_format_called_png, large_image, image_bomb,
                                  one_image, nothing, pipe, pipe_among_images])
def test_the_message_names_what_is_wrong(tmp_path, make):
    path, message = make(tmp_path)
    with pytest.raises(DataError, match=message):
        read_sequences(path)


def test_a_size_makes_frames_of_two_sizes_alike(tmp_path):
    for make in (frames_of_two_sizes, clips_of_two_sizes, arrays_of_two_sizes):
        (tmp_path / make.__name__).mkdir()
        assert read_sequences(make(tmp_path / make.__name__)[0], size=(4, 4)).size == (4, 4)


# any damage at all

def originals(folder):
    """One file of each kind, small."""
    frames = noise(4, 6, 8, 3)
    saved(folder / "a.npy", frames)
    np.savez_compressed(folder / "b.npz", frames=frames / np.float32(255))
    authors_file(folder / "c.npz", [[[0, 2]], [[2, 2]]], noise(4, 1, 6, 8))
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(folder / "d.gif", save_all=True, append_images=rest)
    kinds = "png", "jpg", "bmp", "tif", "webp", "ppm"
    for kind in kinds:
        save_images(folder / kind, frames[:1], ending=f".{kind}")
    for name in "e.tif", "f.png":
        first.save(folder / name, save_all=True, append_images=rest)
    save_images(folder / "deep", frames[:1, ..., 0].astype(np.uint16) * 99)
    planes = Image.frombytes("RGBA", (8, 6), noise(6, 8, 4).tobytes())
    (folder / "bands").mkdir()
    planes.save(folder / "bands" / "frame0.tif", tiffinfo={338: 0})  # the fourth is no transparency
    return [folder / name for name in ("a.npy", "b.npz", "c.npz", "d.gif", "e.tif", "f.png", *kinds, "deep", "bands")]


def damage(rng, content):
    """A few bytes changed, a piece cut out, doubled or put in, or the end cut off."""
    content, kind, at = bytearray(content), rng.integers(5), int(rng.integers(len(content)))
    length = int(rng.integers(1, 1 + min(40, len(content))))
    if kind == 0:
        for i in rng.integers(min(len(content), rng.choice([128, len(content)])), size=rng.integers(1, 5)):
            content[i] = rng.integers(256)
    elif kind == 1:
        del content[at:at + length]
    elif kind == 2:
        content[at:at] = content[at:at + length]
    elif kind == 3:
        content[at:at + length] = rng.choice([b"\xff", b"\0", b"9", b"("]) * length
    else:
        del content[at:]
    return bytes(content)


def fuzz(folder, count, seed=0):
    """Read `count` damaged files; returns how many could be read all the same."""
    rng, paths, readable = np.random.default_rng(seed), originals(folder), 0
    contents = {path: (path if path.is_file() else next(path.iterdir())).read_bytes() for path in paths}
    for k in range(count):
        path = paths[k % len(paths)]
        (path if path.is_file() else next(path.iterdir())).write_bytes(damage(rng, contents[path]))
        try:
            clips = read_sequences(path)
            assert all(clip.ndim == 4 for clip in clips)
            readable += 1
        except DataError as error:
            assert str(path) in str(error) and "\n" not in str(error)
    return readable


@pytest.mark.filterwarnings("ignore")  # PIL's, about damage that it can live with
def test_damaged_files_end_in_frames_or_in_one_sentence(tmp_path):
    count = int(os.environ.get("TINYPREDRNN_FUZZ", 600))
    assert 0 < fuzz(tmp_path, count) < count


# pictures of several frames, cameras' notes, transparency, nearly gray, bands

def animated(path, frames, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(path, save_all=True, append_images=rest, **options)
    return path


@pytest.mark.parametrize("ending, options", [(".tif", {}), (".png", {}), (".webp", dict(lossless=True)), (".gif", {}),
                                             (".apng", dict(format="PNG"))])
def test_a_picture_of_several_frames_is_a_clip(tmp_path, ending, options):
    clips = [film(7), film(5, seed=1)]
    for name, frames in zip("ab", clips):
        animated(tmp_path / f"{name}{ending}", frames[..., None].repeat(3, -1) if ending == ".webp" else frames, **options)
    check(read_sequences(tmp_path / f"a{ending}"), clips[:1])
    read = read_sequences(tmp_path)
    check(read, clips)
    assert read.names == [f"a{ending}", f"b{ending}"]
    save_images(tmp_path, noise(2, 24, 24), ["x", "y"])
    with pytest.raises(DataError, match=rf"holds the image x.png beside the clip a\{ending}"):
        read_sequences(tmp_path)


def test_pages_that_are_no_frames_are_left_out(tmp_path):
    pages = [Image.fromarray(frame) for frame in film(3)]
    small = Image.fromarray(film(1)[0][::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}  # a smaller copy
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=[*pages[1:], small])
    clips = read_sequences(tmp_path / "a.tif")
    check(clips, [film(3)])
    assert mentions(clips, "1 of its pages are previews")
    animated(tmp_path / "b.png", film(4), default_image=True)
    check(read_sequences(tmp_path / "b.png"), [film(4)[1:]])


def test_frames_that_are_shown_for_unequal_times_are_said(tmp_path):
    assert mentions(read_sequences(animated(tmp_path / "a.gif", film(6), duration=[40, 40, 80, 40, 40, 40])), "not shown for equal times")
    assert not mentions(read_sequences(animated(tmp_path / "b.gif", film(6), duration=40)), "equal times")


def test_gifs_of_one_frame_each_are_a_clip_together(tmp_path):
    save_images(tmp_path, film(6), ending=".gif")
    check(read_sequences(tmp_path), [film(6)])


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
def test_pictures_are_turned_upright(tmp_path, ending):
    film_ = np.kron(film(5, 6, 8), np.ones((8, 8), np.uint8))  # blocks, which JPEG keeps
    turns = (1, None), (3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270)
    for n, (orientation, turned) in enumerate(turns):
        exif = Image.Exif()
        exif[0x112] = orientation
        for t, frame in enumerate(film_):
            picture = Image.fromarray(frame)
            picture = picture.transpose(turned) if turned is not None else picture
            options = dict(exif=exif) if ending != ".webp" else dict(exif=exif, lossless=True)
            picture.save(tmp_path / f"{5 * n + t}{ending}", **options)
    clips = read_sequences(tmp_path)
    assert clips[0].shape == (20, 48, 64, 1)
    np.testing.assert_allclose(clips[0][..., 0].astype(int), np.concatenate([film_] * 4).astype(int), atol=3)
    assert ending == ".tif" or mentions(clips, "turned upright")


@pytest.mark.parametrize("kind", ["png", "gif", "palette", "key"])
def test_what_is_transparent_shows_one_background(tmp_path, kind):
    shape = film(5)
    seen = np.where(shape > 60, shape, 0)
    for t, frame in enumerate(shape):
        alpha = np.uint8(frame > 60) * 255
        hidden = np.where(alpha > 0, frame, noise(24, 24, seed=t) if kind == "png" else 200)
        picture = Image.fromarray(np.dstack([hidden] * 3 + [alpha]).astype(np.uint8))
        if kind == "key":  # one gray value that means transparent
            Image.fromarray(np.where(frame > 60, frame, 7).astype(np.uint8)).save(tmp_path / f"{t}.png", transparency=7)
        elif kind == "png":
            picture.save(tmp_path / f"{t}.png")
        else:
            picture.save(tmp_path / f"{t}.gif") if kind == "gif" else picture.quantize().save(tmp_path / f"{t}.png")
    clips = read_sequences(tmp_path)
    assert mentions(clips, "shown on black") and sum("black" in sentence for sentence in clips.messages) == 1
    clip = clips[0][..., 0].astype(int)
    assert (clip[shape <= 60] == 0).all() and abs(clip - seen).max() <= (0 if kind in ("png", "key") else 16)


@pytest.mark.parametrize("difference, channels", [(1, 1), (4, 1), (5, 3)])
def test_nearly_gray_is_gray_and_said(tmp_path, difference, channels):
    colour = np.stack([film(5), film(5), np.clip(film(5).astype(int) + difference, 0, 255)], -1).astype(np.uint8)
    save_images(tmp_path, colour)
    clips = read_sequences(tmp_path)
    assert clips.channels == channels and mentions(clips, f"differ by at most {difference} of 255") == (channels == 1)
    check(read_sequences(tmp_path, channels=3), [colour])
    if channels == 1:
        assert abs(clips[0][..., 0].astype(int) - film(5)).max() <= difference


def test_a_gray_frame_of_a_coloured_film_keeps_its_colours(tmp_path):
    colour = noise(4, 6, 8, 3)
    colour[0] = np.stack([colour[0, ..., 0] // 2] * 3, -1) + np.array([0, 1, 2], np.uint8)
    save_images(tmp_path, colour)
    check(read_sequences(tmp_path), [colour])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("bands, planar", [(4, "contig"), (4, "separate"), (3, "separate"), (2, "contig"), (7, "separate")])
def test_all_bands_of_a_tiff_are_read(tmp_path, dtype, bands, planar):
    tifffile = pytest.importorskip("tifffile")
    frames = np.stack([film(5, seed=c) for c in range(bands)], -1).astype(dtype)
    for t, frame in enumerate(frames):
        data = frame if planar == "contig" else np.ascontiguousarray(frame.transpose(2, 0, 1))
        tifffile.imwrite(tmp_path / f"{t}.tif", data, photometric="minisblack", planarconfig=planar)
    clips = read_sequences(tmp_path)
    check(clips, [frames])
    assert mentions(clips, f"TIFFs of {bands} channels")
    (tmp_path / "stack").mkdir()
    with tifffile.TiffWriter(tmp_path / "stack" / "all.tif") as file:
        for frame in frames:
            file.write(frame, photometric="minisblack", planarconfig="contig")
    check(read_sequences(tmp_path / "stack"), [frames])


def test_channels_that_are_pages_of_a_tiff(tmp_path):
    """As ImageJ keeps a film of two dyes; volumes are refused."""
    tifffile = pytest.importorskip("tifffile")
    frames = np.stack([film(5), film(5, seed=1)], -1)
    tifffile.imwrite(tmp_path / "a.tif", frames.transpose(0, 3, 1, 2), imagej=True, metadata={"axes": "TCYX"})
    check(read_sequences(tmp_path / "a.tif"), [frames])
    tifffile.imwrite(tmp_path / "b.tif", frames[..., 0], imagej=True, metadata={"axes": "TYX"})
    check(read_sequences(tmp_path / "b.tif"), [frames[..., 0]])
    tifffile.imwrite(tmp_path / "c.tif", frames.transpose(0, 3, 1, 2), imagej=True, metadata={"axes": "TZYX"})
    tifffile.imwrite(tmp_path / "d.ome.tif", frames.transpose(0, 3, 1, 2), metadata={"axes": "TCYX"}, photometric="minisblack")
    for name in "c.tif", "d.ome.tif":
        with pytest.raises(DataError, match=f"{name}: expected a page for each frame"):
            read_sequences(tmp_path / name)


def test_colour_of_16_bits_in_a_tiff(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    frames = noise(3, 9, 9, 3).astype(np.uint16) * 200
    for t, frame in enumerate(frames):
        tifffile.imwrite(tmp_path / f"{t}.tif", frame, photometric="rgb")
    check(read_sequences(tmp_path), [frames])
