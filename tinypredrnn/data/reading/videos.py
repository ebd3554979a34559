"""Read the stored frames of videos one by one. ffmpeg decodes them; the extra `video` installs it.

By default ffmpeg repeats and drops frames to get an even rate, follows files that refer to other files, and does not
report that a file was cut off. Here every stored frame is returned once, only known containers are opened, and the
number of frames is compared with what the container announces.
"""

import re
import subprocess

import numpy as np

from tinypredrnn.data.reading.frames import check_frame, reading
from tinypredrnn.data.reading.times import gaps, uneven
from tinypredrnn.errors import DataError

VIDEOS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"}
UNKNOWN = -(1 << 62)  # ffmpeg's times below this mean "no time"
BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}  # how QuickTime and MP4 files begin


class Video:
    """A video file; iterating yields its frames, (H,W,3) uint8. DataError if it is not a video or cannot be decoded.

    starts     after the iteration: the frames before which there is a gap in time
    messages   after the iteration: sentences about what was read
    """

    def __init__(self, path):
        try:
            import imageio_ffmpeg

            imageio_ffmpeg.get_ffmpeg_exe()
        except (ImportError, RuntimeError) as error:  # the second if it comes without ffmpeg for this computer
            raise DataError(f"{path} is a video, and the decoder for videos is not installed: `pip install "
                            "imageio-ffmpeg`, or convert the video to a folder of images") from error
        self.path, self.ffmpeg, self.starts, self.messages = path, imageio_ffmpeg, [], []
        with reading(path):
            self.kind = container(path)

    def __iter__(self):
        with reading(self.path):
            source = self.ffmpeg.read_frames(str(self.path.absolute()), pix_fmt="rgb24", input_params=self.input(),
                                             output_params=self.as_stored())
            about, count = next(source), 0
            width, height = about["size"]
            check_frame(height, width)
            for frame in source:
                yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)
                count += 1
            if not count:
                raise DataError("expected a video, got a file without a frame: replace it")
            self.check(count, about["duration"] * about["fps"])

    def input(self):
        """Options that fix the container format for ffmpeg, and make it leave out incomplete frames."""
        return ["-f", self.kind, "-fflags", "+discardcorrupt"]

    def as_stored(self):
        """Options that keep ffmpeg from repeating and dropping frames; their name depends on the version."""
        version = re.match(r"n?(\d+)\.(\d+)", self.ffmpeg.get_ffmpeg_version())
        modern = version is None or (int(version[1]), int(version[2])) >= (5, 1)
        return ["-fps_mode", "passthrough"] if modern else ["-vsync", "passthrough"]

    def check(self, count, due):
        """Compare the number of frames with what the file announces (`due`, if evenly spaced), and with their times."""
        name, times = self.path.name, self.times()
        announced = max(avi_frames(self.path) if self.kind == "avi" else 0, len(times))
        if count == len(times):  # else the times cannot be assigned to frames
            self.starts, regular = gaps(times, most=0.1)  # more gaps mean a variable frame rate
            if self.starts:
                self.messages.append(f"{name}: the recording pauses in {len(self.starts)} place(s), the first before "
                                     f"frame {self.starts[0]}; no sequence crosses a pause")
            elif not regular or uneven(times):
                self.messages.append(f"{name}: its frames are not evenly spaced in time (variable frame rate); they "
                                     "are taken one by one as if they were")
            elif np.isfinite(due) and due > 1.05 * count + 1:
                announced = max(announced, round(due))
        if count < announced:
            self.messages.append(f"{name}: {count} of the {announced} frames that it announces are there; it seems to "
                                 "be cut short")

    def times(self):
        """When each stored frame is shown, in units of the container, in order; read without decoding."""
        words = [self.ffmpeg.get_ffmpeg_exe(), "-v", "error", *self.input(), "-i", str(self.path.absolute()),
                 "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
        listed = subprocess.run(words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        rows = [line.split(",") for line in listed.stdout.splitlines() if line and not line.startswith("#")]
        rows = [row for row in rows if len(row) > 4 and row[4].strip() != "0"]  # no bytes: the frame before stays on
        times = [int(row[2]) for row in rows if row[2].strip("- ").isdecimal()]
        return sorted(times) if all(time > UNKNOWN for time in times) else []


def container(path):
    """ffmpeg's name of a file's format, by its first bytes. A text that refers to other files has none of these."""
    with open(path, "rb") as file:
        start = file.read(512)
    for found, name in ((start[:4] == b"RIFF" and start[8:12] == b"AVI ", "avi"), (start[4:8] in BOXES, "mov"),
                        (start[:4] == b"\x1a\x45\xdf\xa3", "matroska"), (start[:4] == b"\0\0\1\xba", "mpeg"),
                        (start[:4] == b"\0\0\1\xb3", "mpegvideo"),
                        (start[:1] == start[188:189] == start[376:377] == b"G", "mpegts")):
        if found:
            return name
    raise DataError("expected a video in a container that is known (AVI, MP4, QuickTime, Matroska, WebM, MPEG), got "
                    "something else: convert it")


def avi_frames(path):
    """How many frames the head of an AVI file announces."""
    with open(path, "rb") as file:
        head = file.read(52)
    return int.from_bytes(head[48:52], "little") if head[24:28] == b"avih" else 0
