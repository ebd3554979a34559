"""Videos: their stored frames, decoded by ffmpeg, which the extra `video` installs, and a cache of what was decoded.

By default ffmpeg repeats and drops frames to get an even rate, follows files that refer to other files, and does not
report that a file was cut off, nor, as it is called by imageio, that it is damaged. Here every stored frame is returned
once, only known containers are opened, the number of frames is compared with what the container announces, and the
decoder's errors are told.

The cache has a file of frames for each video, in the user's cache, which is mapped into memory and read as needed: a
line of JSON, padded with spaces to HEAD bytes, and then the frames. The JSON says what the file was made from (path,
size and date of the video, requested size and channels). A file is used only if all of that agrees and if it has not
changed since; else it is made again. To read gigabytes only to compute a checksum would make each start slow, so a file
is given the date DATE when it is whole: whoever changes it changes that as well. If the cache cannot be written, the
frames are kept in memory.
"""

import contextlib
import functools
import hashlib
import io
import json
import math
import os
import re
import subprocess

import numpy as np

from tinypredrnn.data.reading.frames import GRAY_TOLERANCE, check_bytes, check_frame, fit, reading, tint
from tinypredrnn.data.reading.times import gaps, uneven
from tinypredrnn.errors import DataError
from tinypredrnn.files import replacing, user_cache

VIDEOS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"}
UNKNOWN = -(1 << 62)  # ffmpeg's times below this mean "no time"
# ffmpeg's name of a format: how its files begin. A text that refers to other files begins in no such way
CONTAINERS = {
    "avi": rb"RIFF.{4}AVI ",
    "mov": rb".{4}(ftyp|moov|mdat|free|skip|wide|pnot)",
    "matroska": rb"\x1a\x45\xdf\xa3",
    "mpeg": rb"\x00\x00\x01\xba",
    "mpegvideo": rb"\x00\x00\x01\xb3",
    "mpegts": rb"G.{187}G.{187}G",
}
HEAD = 4096  # bytes, so that the frames begin at a page of memory
DATE = 1_500_000_000  # seconds since 1970
FORMAT = 3  # to be increased whenever the format of the cache changes
GRAY = "videos whose colours differ by no more than a codec makes them are read as gray; --channels 3 keeps colours"


@functools.cache
def as_stored():
    """Options that keep ffmpeg from repeating and dropping frames; their name depends on the version."""
    import imageio_ffmpeg

    version = re.match(r"n?(\d+)\.(\d+)", imageio_ffmpeg.get_ffmpeg_version())
    modern = version is None or (int(version[1]), int(version[2])) >= (5, 1)
    return ["-fps_mode" if modern else "-vsync", "passthrough"]


class Video:
    """A video file; iterating yields its frames, (H,W,3) uint8. DataError if it is not a video or cannot be decoded.

    starts     after the iteration: the frames before which there is a gap in time
    messages      after the iteration: sentences about what was read
    """

    def __init__(self, path):
        try:
            import imageio_ffmpeg

            imageio_ffmpeg.get_ffmpeg_exe()
        except (ImportError, RuntimeError) as error:  # the second if it comes without ffmpeg for this computer
            raise DataError(f"{path} is a video, and the decoder for videos is not installed: `pip install "
                            "imageio-ffmpeg`, or convert the video to a folder of images") from error
        self.path, self.ffmpeg, self.starts, self.messages = path, imageio_ffmpeg, [], []
        with reading(path), open(path, "rb") as file:
            self.head = file.read(512)
            kinds = [kind for kind, start in CONTAINERS.items() if re.match(start, self.head, re.DOTALL)]
            if not kinds:
                raise DataError("expected a video in a container that is known (AVI, MP4, QuickTime, Matroska, WebM, "
                                "MPEG), got something else: convert it")
        # the format is fixed, and incomplete frames are left out
        self.input = ["-f", kinds[0], "-fflags", "+discardcorrupt"]

    def __iter__(self):
        with reading(self.path):
            source = self.ffmpeg.read_frames(str(self.path.absolute()), pix_fmt="rgb24", input_params=self.input,
                                             output_params=as_stored())
            about, count = next(source), 0
            width, height = about["size"]
            check_frame(height, width)
            for frame in source:
                yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)
                count += 1
            if not count:
                raise DataError("expected a video, got a file without a frame: replace it")
            self.check(count, about["duration"] * about["fps"])

    def check(self, count, due):
        """Compare the number of frames with what the file announces (`due`, if evenly spaced), and with their times."""
        name, (times, errors) = self.path.name, self.examine()
        if errors:
            self.messages.append(f"{name}: the decoder finds errors in it, the first is {errors[0]!r:.80}: some of its "
                                 "frames may be wrong or lost, replace it by a sound copy")
        in_head = int.from_bytes(self.head[48:52], "little") if self.head[24:28] == b"avih" else 0  # of an AVI
        announced = max(in_head, len(times))
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

    def examine(self):
        """(when each stored frame is shown, in units of the container, in order; the decoder's errors)"""
        words = [self.ffmpeg.get_ffmpeg_exe(), "-v", "error", *self.input, "-i", str(self.path.absolute()),
                 "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-",
                 "-map", "0:v:0", *as_stored(), "-f", "null", "-"]  # again, as imageio keeps errors to itself
        answer = subprocess.run(words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        # stream, decoding time, time, duration, bytes, ...; without bytes the frame before stays on
        rows = re.findall(r"^\d+, *[^,]+, *(-?\d+), *[^,]+, *(?!0,)\d+,", answer.stdout, re.MULTILINE)
        times = sorted(map(int, rows))
        errors = [re.sub(r"^(\[[^]]*\] *)*", "", line) for line in answer.stderr.splitlines() if line.strip()]
        return (times if not times or times[0] > UNKNOWN else []), errors


# the cache

def decode_video(path, size, channels):
    """(frames (T,H,W,C) uint8, the frames before which there is a pause, messages, [height, width] as stored) of a
    video file.
    """
    state = path.stat()
    asked = {"format": FORMAT, "video": str(path.resolve()), "bytes": state.st_size, "modified": state.st_mtime_ns,
             "size": list(size or ()), "channels": channels}
    # a new version of a video replaces the old one
    name = json.dumps([asked["video"], asked["size"], channels]).encode()
    place = user_cache() / "frames" / f"{hashlib.sha256(name).hexdigest()[:32]}.frames"
    if found := kept(place, asked):
        return found
    with contextlib.suppress(OSError):  # the cache cannot be used: no space, not permitted, ...
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(place) as temporary:
            with open(temporary, "wb") as file:
                decode_into(file, path, size, channels, asked)
            os.utime(temporary, (DATE, DATE))
        if found := kept(place, asked):
            return found
    memory = io.BytesIO()
    shape, *about = decode_into(memory, path, size, channels, asked)
    return np.frombuffer(memory.getbuffer(), np.uint8, offset=HEAD).reshape(shape), *about


def kept(place, asked):
    """What `decode_video` returns, from the cache. None if it is missing, damaged, or of another video."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with open(place, "rb") as file:
            head = json.loads(file.read(HEAD))
        shape, now = tuple(head["shape"]), place.stat()
        if head["asked"] != asked or len(shape) != 4 or now.st_size != HEAD + math.prod(shape) or now.st_mtime != DATE:
            return None
        about = list(head["starts"]), list(head["messages"]), list(head["stored"])
        return np.memmap(place, np.uint8, "r", HEAD, shape), *about


class NotGray(Exception):
    """A video that seemed to be gray has a coloured frame."""


def decode_into(file, path, size, channels, asked):
    """Decode a video into a file of the cache, or into a BytesIO. The result is as that of `decode_video`, with the
    frames' shape in place of the frames.
    """
    for wanted in (channels,) if channels else (1, 3):
        video, count = Video(path), 0
        file.seek(HEAD)
        file.truncate()
        with contextlib.suppress(NotGray):
            for frame in video:
                if wanted == 1 and channels is None and tint(frame) > GRAY_TOLERANCE:
                    raise NotGray
                frame, stored = np.ascontiguousarray(fit(frame, size, wanted)), frame.shape[:2]
                if isinstance(file, io.BytesIO):
                    with reading(path):
                        check_bytes(file.tell() + frame.nbytes)
                count += 1
                file.write(frame)
            break
    shape, messages = (count, *frame.shape), video.messages + ([GRAY] if channels is None and wanted == 1 else [])
    head = json.dumps({"asked": asked, "shape": shape, "starts": video.starts, "messages": messages, "stored": stored})
    if not isinstance(file, io.BytesIO):
        if len(head) > HEAD:
            raise OSError("there is more to say about this video than a cache entry has room for")
        file.seek(0)
        file.write(head.encode().ljust(HEAD))
    return shape, video.starts, messages, stored
