"""Small files of own sequences for the tests, and the comparison of what is read from them with what was put in."""

import numpy as np
from PIL import Image


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def film(frames, height=24, width=24, seed=0, blobs=3):
    """Smooth blobs that move, (T,H,W) uint8: as in a real film, neighbours are alike."""
    rng = np.random.default_rng(seed)
    place, speed, size = rng.uniform(0, 1, (blobs, 2)) * [height, width], rng.normal(0, 1, (blobs, 2)), rng.uniform(2, 4, blobs)
    y, x = np.mgrid[:height, :width]
    t = np.arange(frames)[:, None, None]
    light = 0
    for (row, column), (down, right), width_of in zip(place, speed, size):
        dy = (y - row - t * down + height / 2) % height - height / 2
        dx = (x - column - t * right + width / 2) % width - width / 2
        light = light + 200 * np.exp(-(dy**2 + dx**2) / 2 / width_of**2)
    return np.clip(light, 0, 255).astype(np.uint8)


def films(count, frames=12, **options):
    return np.stack([film(frames, seed=k, **options) for k in range(count)])


def mentions(clips, words):
    """Whether one of the sentences about what was read has these words."""
    return any(words in sentence for sentence in clips.messages)


def save_images(folder, frames, names=None, ending=".png"):
    """Frames (T,H,W) or (T,H,W,3) as image files."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{names[t] if names else f'frame{t}'}{ending}")
    return folder


def saved(path, array):
    np.save(path, array)
    return path


def check(clips, expected):
    """`expected` is a list of clips (T,H,W) or (T,H,W,C)."""
    assert len(clips) == len(expected) == len(clips.names)
    for clip, frames in zip(clips, expected):
        frames = frames if frames.ndim == 4 else frames[..., None]
        assert clip.dtype == frames.dtype  # numbers stay as they are stored
        np.testing.assert_array_equal(clip, frames)
    assert clips.size == expected[0].shape[1:3] and clips.channels == clips[0].shape[3]


def authors_file(path, clips, raw, dims=None):
    dims = np.array([raw.shape[1:]], np.int32) if dims is None else dims
    np.savez(path, clips=np.array(clips, np.int32), dims=dims, input_raw_data=raw)
    return path
