"""Videos: their stored frames, decoded by ffmpeg, which the extra `video` installs, and a cache of what was decoded.

By default ffmpeg repeats and drops frames to get an even rate, follows files that refer to other files, and does not
report that a file was cut off. Here every stored frame is returned once, only known containers are opened, the number
of frames is compared with what the container announces, and the decoder's errors are told. imageio-ffmpeg brings the
program; its own reader gives up if the program needs more than ten seconds to begin, as on a busy machine, so the
frames are read from a pipe here.

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
import tempfile

import numpy as np

from tinypredrnn.data.reading.frames import GRAY_TOLERANCE, check_bytes, check_frame, fit, reading, tint
from tinypredrnn.data.reading.times import gaps, uneven
from tinypredrnn.errors import DataError
from tinypredrnn.files import replacing, user_cache
from tinypredrnn.options import called

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
# a Ctrl-C at the terminal is ours alone: who catches it must not get half a video (on POSIX and on Windows)
APART = dict(stdin=subprocess.DEVNULL, start_new_session=True,
             creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0))
FORMAT = 4  # to be increased whenever the format of the cache changes


@functools.cache
def as_stored(ffmpeg):
    """Options that keep the program `ffmpeg` from repeating and dropping frames; their name depends on its version."""
    answer = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, errors="replace", check=True, **APART)
    version = re.match(r"ffmpeg version n?(\d+)\.(\d+)", answer.stdout)
    modern = version is None or (int(version[1]), int(version[2])) >= (5, 1)
    return ["-fps_mode" if modern else "-vsync", "passthrough"]


class Video:
    """A video file; iterating yields its frames, (H,W,3) uint8. DataError if it is not a video or cannot be decoded.

    starts     after the iteration: the frames before which there is a gap in time
    messages   after the iteration: sentences about what was read
    """

    def __init__(self, path):
        try:
            import imageio_ffmpeg

            self.ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
            self.as_stored = as_stored(self.ffmpeg)
        # it comes without ffmpeg for this computer, or $IMAGEIO_FFMPEG_EXE names something else
        except (ImportError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
            raise DataError(f"{path} is a video, and the decoder for videos is not installed: `pip install "
                            "imageio-ffmpeg`, or convert the video to a folder of images") from error
        self.path, self.starts, self.messages = path, [], []
        with reading(path), open(path, "rb") as file:
            self.head = file.read(512)
            kinds = [kind for kind, start in CONTAINERS.items() if re.match(start, self.head, re.DOTALL)]
            if not kinds:
                raise DataError("expected a video in a container that is known (AVI, MP4, QuickTime, Matroska, WebM, "
                                "MPEG), got something else: convert it")
        # the format is fixed, and incomplete frames are left out
        self.input = ["-f", kinds[0], "-fflags", "+discardcorrupt", "-i", str(path.absolute())]

    def __iter__(self):
        # as PPMs, frames say how large they are
        words = [self.ffmpeg, "-nostats", "-loglevel", "level+info", *self.input, "-pix_fmt", "rgb24", "-c:v", "ppm",
                 "-f", "image2pipe", *self.as_stored, "-"]
        with tempfile.TemporaryFile() as log, reading(self.path):
            count = 0
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, **APART) as ffmpeg:
                try:
                    while (frame := next_frame(ffmpeg.stdout)) is not None:
                        yield frame
                        count += 1
                    ffmpeg.wait()
                finally:
                    ffmpeg.kill()  # if not all frames were asked for; else it has ended
            if ffmpeg.returncode < 0:
                raise DataError(f"the decoder was ended by signal {-ffmpeg.returncode} after {count} frame(s), perhaps "
                                "for lack of memory: try again")
            log.seek(0)
            said = log.read().decode(errors="replace")
            errors = re.findall(r"\[(?:error|fatal|panic)\] *(.+)", said)
            if not count:
                why = f" (the decoder: {errors[0]!r:.80})" if errors else ""
                raise DataError(f"expected a video, got a file without a frame{why}: replace it")
            self.check(count, announced_frames(said), errors)

    def check(self, count, due, errors):
        """Compare the number of frames with what the file announces (`due`, if evenly spaced), and with their times;
        tell the decoder's errors."""
        name, times = self.path.name, self.times()
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
            elif due > 1.05 * count + 1:
                announced = max(announced, round(due))
        if count < announced:
            self.messages.append(f"{name}: {count} of the {announced} frames that it announces are there; it seems to "
                                 "be cut short")

    def times(self):
        """When each stored frame is shown, in units of the container, in order; [] if that is not known."""
        words = [self.ffmpeg, "-v", "error", *self.input, "-an", "-sn", "-dn", "-c", "copy", "-f", "framecrc", "-"]
        answer = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace",
                                **APART)
        # stream, decoding time, time, duration, bytes, ...; without bytes the frame before stays on
        rows = re.findall(r"^\d+, *[^,]+, *(-?\d+), *[^,]+, *(?!0,)\d+,", answer.stdout, re.MULTILINE)
        times = sorted(map(int, rows))
        return times if not times or times[0] > UNKNOWN else []


def next_frame(stream):
    """The next of several PPMs in a row, (H,W,3) uint8; None if there is no more, or not all of it."""
    _, size, last = (stream.readline() for _ in range(3))  # b"P6", b"WIDTH HEIGHT", b"255"
    if not last:
        return None
    width, height = map(int, size.split())
    check_frame(height, width)
    pixels = stream.read(3 * height * width)
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3) if len(pixels) == 3 * height * width else None


def announced_frames(said):
    """How many frames a video of an even rate has, by the duration and the rate in what ffmpeg says; 0 if it says none.
    """
    duration, rate = re.search(r"Duration: (\d+):(\d+):([\d.]+)", said), re.search(r" ([\d.]+) fps", said)
    if not (duration and rate):
        return 0
    hours, minutes, seconds = map(float, duration.groups())
    return (3600 * hours + 60 * minutes + seconds) * float(rate[1])


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
    frames, found = kept(place, asked) or decoded(place, path, size, channels, asked)
    gray = [f"videos whose colours differ by no more than a codec makes them are read as gray; {called('channels')} 3 "
            "keeps colours"] if found["gray"] else []
    return frames, found["starts"], found["messages"] + gray, found["stored"]


def decoded(place, path, size, channels, asked):
    """(frames (T,H,W,C), what was found out) of a video: in the cache if it can be written, else in memory."""
    with contextlib.suppress(OSError):  # no space, not permitted, ...
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(place) as temporary:
            with open(temporary, "wb") as file:
                found = {"asked": asked} | decode_into(file, path, size, channels)
                head = json.dumps(found)
                if len(head) > HEAD:
                    raise OSError("there is more to say about this video than a cache entry has room for")
                file.seek(0)
                file.write(head.encode().ljust(HEAD))
            os.utime(temporary, (DATE, DATE))
        if there := kept(place, asked):
            return there
    memory = io.BytesIO()
    found = decode_into(memory, path, size, channels)
    return np.frombuffer(memory.getbuffer(), np.uint8, offset=HEAD).reshape(found["shape"]), found


def kept(place, asked):
    """What `decoded` returns, from the cache. None if it is missing, damaged, or of another video."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with open(place, "rb") as file:
            found = json.loads(file.read(HEAD))
        shape, now = tuple(found["shape"]), place.stat()
        if found["asked"] != asked or len(shape) != 4 or now.st_size != HEAD + math.prod(shape) or now.st_mtime != DATE:
            return None
        return np.memmap(place, np.uint8, "r", HEAD, shape), found
    return None


class NotGray(Exception):
    """A video that seemed to be gray has a coloured frame."""


def decode_into(file, path, size, channels):
    """Decode a video into a file or a BytesIO, from place HEAD on. What was found out: the "shape" (T,H,W,C) of the
    frames, "starts", "messages" and "stored" as `decode_video` returns them, and "gray", whether it was taken as gray.
    """
    for wanted in (channels,) if channels else (1, 3):
        video, count = Video(path), 0
        file.seek(HEAD)
        file.truncate()
        with contextlib.suppress(NotGray), contextlib.closing(iter(video)) as frames:
            for frame in frames:
                if wanted == 1 and channels is None and tint(frame) > GRAY_TOLERANCE:
                    raise NotGray
                frame, stored = np.ascontiguousarray(fit(frame, size, wanted)), frame.shape[:2]
                if isinstance(file, io.BytesIO):
                    with reading(path):
                        check_bytes(file.tell() + frame.nbytes)
                count += 1
                file.write(frame)
            break
    return {"shape": (count, *frame.shape), "starts": video.starts, "messages": video.messages, "stored": stored,
            "gray": channels is None and wanted == 1}
