"""Small videos for the tests, as cameras and databases store them."""

import subprocess

import numpy as np
import pytest

ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="what decodes videos is not installed")


def write(path, frames, *words, pixels="gray"):
    """Encode frames; `words` are ffmpeg's."""
    command = [ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", pixels,
               "-s", f"{frames.shape[2]}x{frames.shape[1]}", "-r", "25", "-i", "-", *words, path]
    subprocess.run(command, input=np.ascontiguousarray(frames).tobytes(), check=True)
    return path
