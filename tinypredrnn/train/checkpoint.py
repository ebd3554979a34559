"""Checkpoints: one .npz with everything that a run needs to go on, or a model to be used. Data only, never code.

    config            JSON: the Plan of the run; rebuilds the model
    iteration         how many training steps have been done; with the seed, it is the state of all random streams and schedules
    model.NAME        the weights
    optimiser.NAME    Adam's moments and step count
    data.PART         the data's `fingerprint` by part (training, validation, test), so that a run cannot go on with
                      other data unnoticed; older checkpoints have only data.first_batch
    checksum          SHA-256 of all of the above; a file without one is refused, like a file with a wrong one

A run's folder keeps checkpoint.npz, for when that is damaged the one before it, checkpoint-previous.npz, and best.npz: the weights, alone,
that were best on the validation set.
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np

from tinypredrnn.data.arrays import headers
from tinypredrnn.errors import CheckpointError, TooLargeError, say_once
from tinypredrnn.files import persist, read_json, replacing
from tinypredrnn.memory import require_memory
from tinypredrnn.models import MODELS, construct, lay_out
from tinypredrnn.train.plan import read_plan

NAME, PREVIOUS, BEST = "checkpoint.npz", "checkpoint-previous.npz", "best.npz"
PARTS = ("model", "optimiser", "data")
FAR = 16  # if a file's options ask for so many times more or fewer numbers than it holds, it is damaged
MAX_CONFIG = 1 << 22  # bytes of the text of a configuration: some thousand times as many as it needs
READ = 256 << 20  # bytes of each part of the data that are read for its fingerprint
OLD_NAMES = {"fuse_cm": "merge_cm"}
PRETRAINED = Path(__file__).parents[1] / "pretrained" / "mnist.npz"


def save_checkpoint(path, plan, iteration, parts):
    """Write a checkpoint, of what read_checkpoint returns. A checkpoint.npz that was there is kept as
    checkpoint-previous.npz."""
    path = Path(path)
    with replacing(path, previous=path.with_name(PREVIOUS) if path.name == NAME else None) as temporary:
        write_checkpoint(temporary, plan, iteration, parts)


def write_checkpoint(file, plan, iteration, parts):
    """Write a checkpoint, with its checksum, directly to `file`."""
    arrays = {"config": json.dumps(plan.as_dict()), "iteration": iteration}
    arrays |= {f"{part}.{name}": parts[part][name] for part in PARTS for name in parts[part]}
    np.savez(file, **arrays, checksum=checksum(arrays))


def read_checkpoint(path):
    """(Plan, iteration, {"model": {name: array}, "optimiser": ..., "data": ...}) of a checkpoint file or of a run's folder.

    If the newest checkpoint of a folder is damaged or missing, the one before it is read, and a line on stderr says so.
    Raises CheckpointError if there is none, or if it is damaged or not a checkpoint; TooLargeError if it does not fit
    into memory; OSError if it may not be read.
    """
    path = Path(path)
    return newest(path)[1] if path.is_dir() else read_file(path)


def newest(folder):
    """(name, what read_checkpoint returns) of the newest checkpoint in a run's folder that can be read."""
    try:
        return NAME, read_file(folder / NAME)
    except CheckpointError:
        if not (folder / PREVIOUS).is_file():
            raise
        found = read_file(folder / PREVIOUS)
    say_once(f"{folder / NAME} is damaged or missing: {PREVIOUS} is read instead, of step {found[1]:,}")
    return PREVIOUS, found


def read_file(path):
    """What read_checkpoint returns, for a file.

    What the file claims is compared with what it holds before it costs memory: the headers of its arrays with its size,
    and how many numbers its options ask for with how many it has. Shapes are compared when a model loads its weights.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: name a run's folder or a .npz file that training wrote")
    opened = persist(open, path, "rb")  # outside of the try: a file that may not be read is not a damaged one
    try:
        with opened, np.load(opened, allow_pickle=False) as file:
            shapes = headers(file)
            if sum(header.bytes for header in shapes.values()) > path.stat().st_size:
                raise ValueError("its arrays claim to be larger than the file")
            if shapes["config"].bytes > MAX_CONFIG:
                raise ValueError("its configuration is too long")
            plan, renamed = plan_of(path, json.loads(str(file["config"])))
            check_weights(plan, [header for name, header in shapes.items() if name.startswith("model.")])
            require_memory(path.stat().st_size, f"the arrays of {path}", "use a machine that has more")
            arrays = {name: file[name] for name in shapes}
        if arrays.pop("checksum") != checksum(arrays):
            raise ValueError("its content does not match its checksum")
        del arrays["config"]
        iteration = int(arrays.pop("iteration"))
        if iteration < 0:
            raise ValueError("its iteration is negative")
    except (CheckpointError, MemoryError):  # nor is one that does not fit into memory, now or ever
        raise
    except Exception as error:  # a damaged file makes zipfile, NumPy and json raise whatever they can
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(f"{path} is damaged or is not a checkpoint of tinypredrnn ({reason}): use another "
                              "one") from error
    parts = {part: {} for part in PARTS}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        if part not in parts or array.dtype.kind not in "fiu":
            raise CheckpointError(f"{path} holds {name!r} of dtype {array.dtype}, which no checkpoint of tinypredrnn has: use another one")
        if part == "model" and not np.isfinite(array).all():
            raise CheckpointError(f"{path} holds weights that are NaN or infinite, in {rest!r}, and would predict nothing else: "
                                  "use another one")
        for old, new in renamed.items():
            rest = rest.replace(old, new)
        parts[part][rest] = array
    return plan, iteration, parts


def plan_of(path, values):
    """(Plan, renamed) of a checkpoint's configuration, `renamed` from what to what in the names of its weights.

    CheckpointError if its model has to be registered first.
    """
    old = "recipe" not in values  # flat options, of a version before there were three records
    model = values.get("model", "predrnn") if old else values["model"]["name"]
    if isinstance(model, str) and model.isidentifier() and model not in MODELS:
        raise CheckpointError(f"{path} holds a model {model[:50]!r}, which is none of {', '.join(MODELS)}: import what registers "
                              "it in tinypredrnn.models.MODELS first")
    beside = path.with_name("data.json")
    if old and beside.is_file() and (data := read_json(beside) or {}).keys() == {"data", "split"}:
        values = values | {"source": "sequences", "data": str(data["data"])}
    return read_plan(values), OLD_NAMES if old else {}


def check_weights(plan, headers):
    """ValueError if the model of these options has far more or far fewer numbers than the arrays with these headers.

    A smaller difference does no harm here, and the model's own complaint about names and shapes then says more.
    """
    held = sum(math.prod(header.shape) for header in headers)
    try:
        asked = sum(t.size for _, t in lay_out(4 * FAR * held, *plan.network()).named_tensors())
    except TooLargeError:
        asked = math.inf
    if not asked / FAR <= held <= asked * FAR:
        raise ValueError(f"its configuration asks for {'more' if asked > held else 'less'} than it holds")


def checksum(arrays):
    """SHA-256 over the names, dtypes, shapes and bytes of {name: array}, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def fingerprint(parts):
    """Checksums by which the data of a run are recognised: {part: {name: array}} -> {part: SHA-256 as 32 uint8}.

    They cover names, dtypes and shapes, and all bytes of a part that has at most READ of them. From a larger part, they
    cover evenly spaced entries of each array (T,...), always with the first and the last, that come to about READ bytes
    in all.
    """
    def sampled(arrays):
        share = READ / max(1, sum(a.nbytes for a in arrays.values()))
        for name, a in arrays.items():
            count = len(a) if share >= 1 else min(len(a), max(2, int(share * len(a))))
            yield f"{name} {a.shape}", a if count == len(a) else a[np.linspace(0, len(a) - 1, count).astype(int)]

    digests = {part: checksum(dict(sampled(arrays))) for part, arrays in parts.items()}
    return {part: np.frombuffer(bytes.fromhex(digest), np.uint8) for part, digest in digests.items()}


def read_trained(path):
    """What read_checkpoint returns, of the weights to predict with: of a run's folder the best on the validation set, if they were kept."""
    path = Path(path)
    if not path.is_dir():
        return read_file(path)
    newest_found = newest(path)[1]
    if not (path / BEST).is_file():
        return newest_found
    try:
        best = read_file(path / BEST)
        lay_out(math.inf, *newest_found[0].network()).check_state_dict(best[2]["model"])
        return best
    except CheckpointError as error:
        say_once(f"{error}; the newest checkpoint, of step {newest_found[1]:,}, is read instead")
        return newest_found


def trained_model(plan, parts, device="cpu"):
    """The model that read_checkpoint read. CheckpointError, before it takes memory, if the weights belong to another
    model."""
    lay_out(math.inf, *plan.network()).check_state_dict(parts["model"])
    model = construct(*plan.network())
    model.load_state_dict(parts["model"])
    return model.to(device).train(False)


def load(path=PRETRAINED, device="cpu"):
    """The trained model of a run's folder or checkpoint file, ready to predict: `tp.load("runs/mnist")(frames, horizon=10)`.

    Of a run's folder these are the weights that were best on the validation set. Without a path it is the model that comes with the
    package: two digits in 64x64 pixels, see tinypredrnn/pretrained/README.md. Raises CheckpointError for a file that is missing,
    damaged or not a checkpoint, TooLargeError for one that does not fit into memory.
    """
    plan, _, parts = read_trained(path)
    return trained_model(plan, parts, device)


def export_weights(run, path):
    """Write a checkpoint of a run's model alone, a third as large: to predict with, not to be resumed."""
    plan, iteration, parts = read_trained(run)
    save_checkpoint(path, plan, iteration, parts | {"optimiser": {}, "data": {}})
