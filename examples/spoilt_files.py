"""For verify_safety.py: a file of each kind that we read, ways to damage it, and a process that reads the result."""

import contextlib
import dataclasses
import gzip
import io
import json
import os
import pickle
import re
import resource
import signal
import struct
import sys
import time
import traceback
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from tinypredrnn.data.digits import read_images
from tinypredrnn.data.reading import read_sequences
from tinypredrnn.data.scale import BYTES
from tinypredrnn.errors import Error
from tinypredrnn.models import construct
from tinypredrnn.optim import Adam
from tinypredrnn.train import new_plan, read_checkpoint, read_log, read_scores, save_checkpoint, trained_model
from tinypredrnn.train.checkpoint import checksum

SECONDS = 60  # for one file; a longer read counts as a hang and ends the process. The limit allows for a busy computer
MEMORY = 8 << 30  # limit of the process's memory in bytes, to protect the computer


def write_originals(folder):
    """An undamaged file for each of READERS."""
    frames = np.random.default_rng(0).integers(256, size=(20, 3, 12, 16), dtype=np.uint8)
    idx = struct.pack(">4I", 0x803, 3, 28, 28) + frames.tobytes()[:3 * 28 * 28]
    (folder / "images-idx3-ubyte").write_bytes(idx)
    (folder / "images-idx3-ubyte.gz").write_bytes(gzip.compress(idx))
    np.save(folder / "clips.npy", frames.swapaxes(0, 1))
    np.savez_compressed(folder / "clips.npz", frames=frames / np.float32(255))
    np.save(folder / "sparse.npy", frames)
    np.save(folder / "mnist_test_seq.npy", frames)
    np.savez(folder / "moving-mnist-test.npz", clips=[[[0, 2]], [[2, 2]]], dims=[[3, 12, 16]],
             input_raw_data=frames[:4])
    first, *rest = map(Image.fromarray, frames[:5, 0])
    first.save(folder / "clip.gif", save_all=True, append_images=rest)
    for ending in "bmp", "jpg", "png", "ppm", "tif", "webp":
        Image.fromarray(frames[0].transpose(1, 2, 0)).save(folder / f"frame.{ending}")
    plan = new_plan("predrnn", "mnist", "paper", size=(16, 16), hidden=(3, 2), kernel=3, patch=4)
    plan = dataclasses.replace(plan, frame=(16, 16, 1), scale=BYTES)
    model = construct(*plan.network())
    parts = {"model": model.state_dict(), "optimiser": Adam(model.parameters()).state_dict(),
             "data": {"first_batch": 1}}
    save_checkpoint(folder / "checkpoint.npz", plan, 7, parts)
    save_checkpoint(folder / "forged.npz", plan, 7, parts)
    (folder
     / "metrics.json").write_text(json.dumps({"mnist-2": {"mse": 1.5, "mse_per_frame": [1, 2.5], "protocol": "float"}}))
    (folder / "log.csv").write_text("iteration,loss,rate,seconds,validation_mse\n"
                                    + "7,0.5,1e-05,0.01,3.25\n8,0.5,0.1,0.01,\n" * 10)


# readers, which read all that there is

def read_model(path):
    plan, _, parts = read_checkpoint(path)
    Adam(trained_model(plan, parts).parameters()).load_state_dict(parts["optimiser"])


def read_frames(path):
    clips = read_sequences(path)
    return [clips[n].max() for n in range(len(clips))]


def read_folder(path):
    return read_frames(path.parent)


READERS = {
    "images-idx3-ubyte": read_images, "images-idx3-ubyte.gz": read_images, "checkpoint.npz": read_model,
    "forged.npz": read_model,
    "clips.npy": read_frames, "sparse.npy": read_frames, "clips.npz": read_frames, "mnist_test_seq.npy": read_frames,
    "moving-mnist-test.npz": read_frames, "clip.gif": read_frames, "frame.bmp": read_folder, "frame.jpg": read_folder,
    "frame.png": read_folder, "frame.ppm": read_folder, "frame.tif": read_folder, "frame.webp": read_folder,
    "metrics.json": read_scores,
    "log.csv": read_log,
}  # fmt: skip


# ways to spoil a file: (rng, its bytes, the marker that code in it would make) -> other bytes

class Payload:
    """An object that an attacker would pickle: unpickling it creates the file `marker`."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


def array_of_code(marker):
    file = io.BytesIO()
    np.save(file, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    return file.getvalue()


CLAIMS = (b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\1\0", b"\0" * 8, b"9" * 12,
          b"9" * 30, b"-1", b"NaN")


def spoil(rng, content, marker):
    """Flip bits, cut off or extend the end, swap two pieces, change a number, insert code, or nest endlessly."""
    if content[:2] == b"PK" and rng.random() < 0.7:
        return spoil_entry(rng, content, marker)
    content, way = bytearray(content), rng.integers(7)
    # often in the header
    at, other = (int(rng.integers(min(len(content), rng.choice([128, len(content)])))) for _ in range(2))
    length = int(rng.integers(1, 40))
    if way == 0:
        for bit in rng.integers(8 * at, 8 * min(len(content), at + length), size=rng.integers(1, 9)):
            content[bit // 8] ^= 1 << bit % 8
    elif way == 1:
        del content[at:]
    elif way == 2:
        content += rng.bytes(length) if length % 2 else content[at:]
    elif way == 3:
        content[at:at + length], content[other:other + length] = content[other:other + length], content[at:at + length]
    elif way == 4:
        claim = CLAIMS[rng.integers(len(CLAIMS))]
        content[at:at + len(claim)] = claim
    elif way == 5:
        at, end = rng.choice([(0, len(content)), (at, at)])  # in place of all, or put in
        content[at:end] = pickle.dumps(Payload(marker)) if length % 2 else array_of_code(marker)
    else:
        content[at:at] = rng.choice([b"[", b"(", b'{"a":']) * 100_000
    return bytes(content)


def spoil_entry(rng, content, marker):
    """A zip with valid checksums in which an entry is damaged, swapped, renamed, replaced by code, or left out."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    one, other = map(str, rng.choice(list(entries), size=2))
    way = rng.integers(6)
    if way < 2:
        entries[one] = spoil(rng, entries[one], marker)
    elif way == 2:
        entries[one], entries[other] = entries[other], entries[one]
    elif way == 3:
        entries[other + one] = entries.pop(one)
    elif way == 4:
        entries[one] = array_of_code(marker)
    else:
        del entries[one]
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return result.getvalue()


HUGE = 99_999, 10**5, 10**12, 10**18, 10**400, 1e30, [10**6] * 2, [99_999, 99_999], [10**12, 8], [1] * 9999
VALUES = 0, -1, 1, 4, 0.5, float("nan"), None, True, "", "convlstm", [], [0], [5, 5], {}, *HUGE


def claim(rng, content, marker):
    """The header of a .npy that claims more memory than the computer has; `read_spoilt` makes the file that long."""
    shape = int(10 ** rng.uniform(3, 6)), 20, *[int(10 ** rng.uniform(3, 5))] * 2
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": str(rng.choice(["|u1", "<f2", "<f4", "<f8"])), "shape": shape,
                                                     "fortran_order": False})
    return file.getvalue()


def forge(rng, content, marker):
    """A checkpoint with a changed option or array and a matching checksum, as an attacker would make it."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files if name != "checksum"}
    plan, way = json.loads(str(arrays["config"])), rng.integers(8)
    one, other = map(str, rng.choice([name for name in arrays if name != "config"], size=2))
    if way < 4:
        record = plan[str(rng.choice(list(plan)))] if rng.random() < 0.9 else plan
        record[str(rng.choice(list(record)))] = VALUES[rng.integers(len(VALUES))]
        arrays["config"] = np.array(json.dumps(plan))
    elif way == 4:
        arrays[one], arrays[other] = arrays[other], arrays[one]
    elif way == 5:
        arrays[one] = arrays[one].astype(rng.choice(["f2", "f8", "i8", "u1", "c8", "S9", "U9"]))
    elif way == 6:
        arrays[one] = np.full(arrays[one].shape, rng.choice([np.nan, np.inf, -1, 1e30]))
    else:
        arrays[one] = arrays[one][..., None] if rng.random() < 0.5 else arrays[one].repeat(rng.integers(3))
    result = io.BytesIO()
    np.savez(result, **arrays, checksum=np.array(checksum(arrays)))
    return result.getvalue()


SPOILERS = {"forged.npz": forge, "sparse.npy": claim}


def read_spoilt(name, read, original, folder, files, seed, answer):
    """Read `files` damaged copies of the file `original`, and send a Counter of the outcomes through the pipe `answer`.

    This needs its own process, which dies with the interpreter, or by SIGALRM if a file takes too long.
    """
    warnings.simplefilter("ignore")  # PIL warns about damage that it tolerates
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    folder.mkdir()
    marker, path, rng = folder.with_suffix(".code-was-run"), folder / name, np.random.default_rng(seed)
    content, figures, slowest = original.read_bytes(), Counter(), 0
    for _ in range(files):
        path.write_bytes(SPOILERS.get(name, spoil)(rng, content, marker))
        if name == "sparse.npy":
            os.truncate(path, path.stat().st_size + (1 << 40))  # parts that were never written take no space on disk
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        started = time.process_time()
        try:
            read(path)
            figures["read"] += 1
        except Error as error:
            figures["refused" if "\n" not in str(error) else "wrong"] += 1
        except Exception:
            figures["wrong"] += 1
            if figures["wrong"] == 1:
                traceback.print_exc()
        slowest = max(slowest, time.process_time() - started)
    signal.setitimer(signal.ITIMER_REAL, 0)
    figures += Counter({"ran code": marker.exists(), "slowest ms": round(1e3 * slowest), "peak MB": peak_memory()})
    answer.send(figures)


def peak_memory():
    """The peak memory of this process in megabytes. On Linux, `resource` would include the process that started it."""
    with contextlib.suppress(OSError):
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
