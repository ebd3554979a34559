"""A cache of decoded videos: for each video a file of frames in the user's cache, mapped into memory and read as
needed.

An entry is a line of JSON, padded with spaces to HEAD bytes, and then the frames. The JSON says what the entry was made
from (path, size and date of the video, requested size and channels) and has the checksum of the frames. An entry is
used only if all of that agrees; else it is made again. If the cache cannot be written, the frames are kept in memory.
"""

import contextlib
import hashlib
import json
import math
import zlib

import numpy as np

from tinypredrnn.data.reading.frames import check_bytes, check_channels, fit, reading
from tinypredrnn.data.reading.images import GRAY_TOLERANCE, colourfulness
from tinypredrnn.data.reading.videos import Video
from tinypredrnn.files import replacing, user_cache

HEAD = 4096  # bytes, so that the frames begin at a page of memory
FORMAT = 2  # to be increased whenever the format of entries changes
PIECE = 1 << 24  # bytes per update of a checksum


class NotGray(Exception):
    """A video that seemed to be gray has a coloured frame."""


def decode_video(path, size, channels):
    """(frames (T,H,W,C) uint8, the frames before which there is a pause, sentences) of a video file."""
    check_channels(channels, 3)
    state = path.stat()
    asked = {"format": FORMAT, "video": str(path.resolve()), "bytes": state.st_size, "modified": state.st_mtime_ns,
             "size": list(size or ()), "channels": channels}
    # a new version of a video replaces the old one
    name = json.dumps([asked["video"], asked["size"], channels]).encode()
    place = user_cache() / "frames" / f"{hashlib.sha256(name).hexdigest()[:32]}.frames"
    if (found := kept(place, asked)) is not None:
        return found
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(place) as temporary, open(temporary, "wb") as file:
            decode_into(file, path, size, channels, asked)
    except OSError:  # the cache cannot be used: no space, not permitted, ...
        return in_memory(path, size, channels)
    return kept(place, asked) or in_memory(path, size, channels)


def kept(place, asked):
    """What `decode_video` returns, from the cache. None if it is missing, damaged, or of another video."""
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
        return (frames, list(head["starts"]), list(head["messages"])) if check == head["checksum"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def decode_into(file, path, size, channels, asked):
    """Decode a video into the file of a cache entry."""
    for wanted in (channels,) if channels else (1, 3):
        video, shape, check = Video(path), None, 0
        file.seek(HEAD)
        file.truncate()
        with contextlib.suppress(NotGray):
            for frame in frames_of(video, size, wanted, channels):
                shape = (1 + (shape[0] if shape else 0), *frame.shape)
                check = zlib.crc32(frame, check)
                file.write(frame)
            break
    head = json.dumps({"asked": asked, "shape": shape, "checksum": check, "starts": video.starts,
                       "messages": video.messages + decided(channels, wanted)})
    if len(head) > HEAD:
        raise OSError("there is more to say about this video than a cache entry has room for")
    file.seek(0)
    file.write(head.encode().ljust(HEAD))


def in_memory(path, size, channels):
    """What `decode_video` returns, decoded into memory."""
    for wanted in (channels,) if channels else (1, 3):
        video, frames, count = Video(path), [], 0
        with contextlib.suppress(NotGray), reading(path):
            for frame in frames_of(video, size, wanted, channels):
                count += frame.nbytes
                check_bytes(2 * count)  # the list, and the array that is made from it
                frames.append(frame)
            break
    return np.stack(frames), video.starts, video.messages + decided(channels, wanted)


def frames_of(video, size, wanted, asked):
    """A video's frames with `wanted` channels. Raises NotGray if one is not gray and gray was not `asked` for."""
    for frame in video:
        if wanted == 1 and asked is None and colourfulness(frame) > GRAY_TOLERANCE:
            raise NotGray
        yield np.ascontiguousarray(fit(frame, size, wanted))


def decided(asked, wanted):
    gray = "videos whose colours differ by no more than a codec makes them are read as gray; --channels 3 keeps colours"
    return [gray] if asked is None and wanted == 1 else []

