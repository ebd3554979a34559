"""Decoded videos, kept: a file of frames for each video in the user's cache, mapped into memory and read as needed.

An entry is a line of JSON that says what it was made from (path, size and date of the video, size and channels asked
for) and the checksum of the frames, padded with spaces to HEAD bytes, then the frames. It counts only if all of that
agrees; else it is made again. Without a cache that can be written the frames are kept in memory.
"""

import contextlib
import hashlib
import json
import math
import zlib

import numpy as np

from tinypredrnn.data.frames import check_bytes, check_channels, fit, reading
from tinypredrnn.data.images import NEARLY, colourfulness
from tinypredrnn.data.videos import Video
from tinypredrnn.files import replacing, user_cache

HEAD = 4096  # bytes, so that the frames begin at a page of memory
FORMAT = 1  # counted up if what an entry means changes
PIECE = 1 << 24  # bytes that a checksum is taken of at a time


class Coloured(Exception):
    """A frame that is not gray, in a video that was taken for gray."""


def decode_video(path, size, channels):
    """(frames (T,H,W,C) uint8, the frames before which there is a pause, sentences) of a video file."""
    check_channels(channels, 3)
    state = path.stat()
    asked = {"format": FORMAT, "video": str(path.resolve()), "bytes": state.st_size, "modified": state.st_mtime_ns,
             "size": list(size or ()), "channels": channels}
    name = json.dumps([asked["video"], asked["size"], channels]).encode()  # another version of a video takes its place
    place = user_cache() / "frames" / f"{hashlib.sha256(name).hexdigest()[:32]}.frames"
    if (found := kept(place, asked)) is not None:
        return found
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(place) as temporary, open(temporary, "wb") as file:
            decode_into(file, path, size, channels, asked)
    except OSError:  # no space, not permitted: whatever is wrong with the cache
        return in_memory(path, size, channels)
    return kept(place, asked) or in_memory(path, size, channels)


def kept(place, asked):
    """What `decode_video` gives, from the cache; None if it is not there, is of something else, or is spoilt."""
    try:
        with open(place, "rb") as file:
            head = json.loads(file.read(HEAD))
        shape = tuple(head["shape"])
        if head["asked"] != asked or len(shape) != 4 or place.stat().st_size != HEAD + math.prod(shape):
            return None
        frames = np.memmap(place, np.uint8, "r", HEAD, shape)
        flat, check = frames.reshape(-1), 0
        for start in range(0, flat.size, PIECE):
            check = zlib.crc32(flat[start:start + PIECE], check)
        return (frames, list(head["starts"]), list(head["said"])) if check == head["checksum"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def decode_into(file, path, size, channels, asked):
    """Decode a video into the file of a cache entry."""
    for wanted in (channels,) if channels else (1, 3):
        video, shape, check = Video(path), None, 0
        file.seek(HEAD)
        file.truncate()
        with contextlib.suppress(Coloured):
            for frame in frames_of(video, size, wanted, channels):
                shape = (1 + (shape[0] if shape else 0), *frame.shape)
                check = zlib.crc32(frame, check)
                file.write(frame)
            break
    head = json.dumps({"asked": asked, "shape": shape, "checksum": check, "starts": video.starts,
                       "said": video.said + decided(channels, wanted)})
    if len(head) > HEAD:
        raise OSError("there is more to say about this video than a cache entry has room for")
    file.seek(0)
    file.write(head.encode().ljust(HEAD))


def in_memory(path, size, channels):
    """What `decode_video` gives, decoded into memory."""
    for wanted in (channels,) if channels else (1, 3):
        video, frames, count = Video(path), [], 0
        with contextlib.suppress(Coloured), reading(path):
            for frame in frames_of(video, size, wanted, channels):
                count += frame.nbytes
                check_bytes(2 * count)  # the list, and the array that is made of it
                frames.append(frame)
            break
    return np.stack(frames), video.starts, video.said + decided(channels, wanted)


def frames_of(video, size, wanted, asked):
    """A video's frames as they are kept: `wanted` channels, gray only if they are so or if gray was `asked` for."""
    for frame in video:
        if wanted == 1 and asked is None and colourfulness(frame) > NEARLY:
            raise Coloured
        yield np.ascontiguousarray(fit(frame, size, wanted))


def decided(asked, wanted):
    gray = "videos whose colours differ by no more than a codec makes them are read as gray; --channels 3 keeps colours"
    return [gray] if asked is None and wanted == 1 else []

