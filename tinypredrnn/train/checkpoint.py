"""Checkpoints: one .npz with everything needed to resume a run or to use its model. It holds data only, never code.

    config            JSON: the Plan of the run, from which the model is built
    iteration         how many training steps have been done; together with the seed, it determines all random streams
                      and schedules
    model.NAME        the weights
    optimiser.NAME    Adam's moments and step count
    data.PART         the `fingerprint` of each part of the data (training, validation, test), so that a run cannot
                      continue with other data unnoticed; older checkpoints have only data.first_batch
    checksum          SHA-256 of all of the above; a file without one is refused, like a file with a wrong one

A run's folder keeps checkpoint.npz; the one before it, checkpoint-previous.npz, in case the newest is damaged; and
best.npz, only the weights that were best on the validation set.
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np

from tinypredrnn.data.arrays import headers
from tinypredrnn.errors import CheckpointError, TooLargeError, say_once
from tinypredrnn.files import read_json, replacing, retry
from tinypredrnn.memory import require_memory
from tinypredrnn.models import MODELS, construct, lay_out
from tinypredrnn.train.plan import read_plan

NAME, PREVIOUS, BEST = "checkpoint.npz", "checkpoint-previous.npz", "best.npz"
PARTS = ("model", "optimiser", "data")
MAX_RATIO = 16  # a file is damaged if its options need this many times more, or fewer, numbers than it holds
MAX_CONFIG = 1 << 22  # bytes of a configuration's text: thousands of times as many as it needs
FINGERPRINT_BYTES = 256 << 20  # bytes of each part of the data that are read for its fingerprint
OLD_NAMES = {"fuse_cm": "merge_cm"}
# the trained models that come with the package, by the names of their worlds
SHIPPED = {world: Path(__file__).parents[1] / "pretrained" / f"{world}.npz" for world in ("mnist", "radar")}
PRETRAINED = SHIPPED["mnist"]


def save_checkpoint(path, plan, iteration, parts):
    """Write a checkpoint; the arguments are what read_checkpoint returns. An older checkpoint.npz is kept as
    checkpoint-previous.npz.
    """
    path = Path(path)
    with replacing(path, previous=path.with_name(PREVIOUS) if path.name == NAME else None) as temporary:
        write_checkpoint(temporary, plan, iteration, parts)


def write_checkpoint(file, plan, iteration, parts):
    """Write a checkpoint, with its checksum, directly to `file`."""
    arrays = {"config": json.dumps(plan.as_dict()), "iteration": iteration}
    arrays |= {f"{part}.{name}": parts[part][name] for part in PARTS for name in parts[part]}
    np.savez(file, **arrays, checksum=checksum(arrays))


def read_checkpoint(path):
    """(Plan, iteration, {"model": {name: array}, "optimiser": ..., "data": ...}) of a checkpoint file or a run's
    folder.

    If the newest checkpoint of a folder is damaged or missing, the one before it is read, and a line on stderr says so.
    Raises CheckpointError if there is none, or if the file is damaged or not a checkpoint; TooLargeError if it does not
    fit into memory; OSError if reading is not permitted.
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

    Claims of the file are checked before any memory is allocated for them: the sizes in its array headers against the
    size of the file, and the number of weights that its options need against the number that it holds. Shapes are
    checked when a model loads the weights.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: name a run's folder or a .npz file that training wrote")
    opened = retry(open, path, "rb")  # outside of the try: a file that we may not read is not damaged
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
    except (CheckpointError, MemoryError):  # a file that does not fit into memory is not damaged either
        raise
    except Exception as error:  # zipfile, NumPy and json raise all kinds of exceptions on a damaged file
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(f"{path} is damaged or is not a checkpoint of tinypredrnn ({reason}): use another "
                              "one") from error
    parts = {part: {} for part in PARTS}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        if part not in parts or array.dtype.kind not in "fiu":
            raise CheckpointError(f"{path} holds {name!r} of dtype {array.dtype}, which no checkpoint of tinypredrnn "
                                  "has: use another one")
        if part == "model" and not np.isfinite(array).all():
            raise CheckpointError(f"{path} holds weights that are NaN or infinite, in {rest!r}, and would predict "
                                  "nothing else: use another one")
        for old, new in renamed.items():
            rest = rest.replace(old, new)
        parts[part][rest] = array
    return plan, iteration, parts


def plan_of(path, values):
    """(Plan, renamed) of a checkpoint's configuration; `renamed` maps old to new parts of its weights' names.

    CheckpointError if its model is not registered.
    """
    old = "recipe" not in values  # one flat record, as old versions stored it
    model = values.get("model", "predrnn") if old else values["model"]["name"]
    if isinstance(model, str) and model.isidentifier() and model not in MODELS:
        raise CheckpointError(f"{path} holds a model {model[:50]!r}, which is none of {', '.join(MODELS)}: import what "
                              "registers it in tinypredrnn.models.MODELS first")
    beside = path.with_name("data.json")
    if old and beside.is_file() and (data := read_json(beside) or {}).keys() == {"data", "split"}:
        values = values | {"source": "sequences", "data": str(data["data"])}
    return read_plan(values), OLD_NAMES if old else {}


def check_weights(plan, headers):
    """ValueError if the plan's model has far more or far fewer numbers than the arrays with these headers.

    A smaller difference is harmless here, and loading the weights then raises a clearer error about names and shapes.
    """
    held = sum(math.prod(header.shape) for header in headers)
    try:
        asked = sum(t.size for _, t in lay_out(4 * MAX_RATIO * held, *plan.network()).named_tensors())
    except TooLargeError:
        asked = math.inf
    if not asked / MAX_RATIO <= held <= asked * MAX_RATIO:
        raise ValueError(f"its configuration needs {'more' if asked > held else 'fewer'} numbers than it holds")


def checksum(arrays):
    """SHA-256 over the names, dtypes, shapes and bytes of {name: array}, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def fingerprint(parts):
    """Checksums that identify the data of a run: {part: {name: array}} -> {part: SHA-256 as 32 uint8}.

    They cover names, dtypes and shapes, and all bytes of a part of at most FINGERPRINT_BYTES. Of a larger part, they
    cover about that many: evenly spaced entries of each array (T,...), including the first and the last.
    """
    def sampled(arrays):
        share = FINGERPRINT_BYTES / max(1, sum(a.nbytes for a in arrays.values()))
        for name, a in arrays.items():
            count = len(a) if share >= 1 else min(len(a), max(2, int(share * len(a))))
            yield f"{name} {a.shape}", a if count == len(a) else a[np.linspace(0, len(a) - 1, count).astype(int)]

    digests = {part: checksum(dict(sampled(arrays))) for part, arrays in parts.items()}
    return {part: np.frombuffer(bytes.fromhex(digest), np.uint8) for part, digest in digests.items()}


def read_trained(path):
    """What read_checkpoint returns, for prediction: from a run's folder, the weights that were best on the validation
    set if there are any, else the newest. "mnist" and "radar" are the SHIPPED models, unless something here has that
    name.
    """
    path = Path(path) if Path(path).exists() else SHIPPED.get(str(path), Path(path))
    if not path.is_dir():
        return read_file(path)
    newest_found = newest(path)[1]
    if not (path / BEST).is_file():
        return newest_found
    try:
        best = read_file(path / BEST)
        lay_out(math.inf, *newest_found[0].network()).check_state_dict(best[2]["model"])
        if best[0].network() != newest_found[0].network() or not same_arrays(best[2]["data"], newest_found[2]["data"]):
            raise CheckpointError(f"{path / BEST} belongs to another run")
        return best
    except CheckpointError as error:
        say_once(f"{error}; the newest checkpoint, of step {newest_found[1]:,}, is read instead")
        return newest_found


def same_arrays(one, other):
    """Whether two {name: array} are equal."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def trained_model(plan, parts, device="cpu"):
    """The model of what read_checkpoint returned. If the weights belong to another model, CheckpointError is raised
    before any memory is allocated.
    """
    lay_out(math.inf, *plan.network()).check_state_dict(parts["model"])
    model = construct(*plan.network())
    model.load_state_dict(parts["model"])
    return model.to(device).train(False)


def load(path=PRETRAINED, device="cpu"):
    """The trained model of a run's folder or checkpoint file, ready to predict: `tp.load("runs/mnist")(frames,
    horizon=10)`.

    From a run's folder, the weights that were best on the validation set are loaded. Two models come with the package,
    see tinypredrnn/pretrained/README.md: "mnist", the default, for two digits in 64x64 pixels, and "radar". Raises
    CheckpointError if the file is missing, damaged or not a checkpoint, TooLargeError if it does not fit into memory.
    """
    plan, _, parts = read_trained(path)
    return trained_model(plan, parts, device)


def export_weights(run, path):
    """Write a checkpoint with only a run's model, a third as large, for others: it serves for predictions, cannot be
    resumed, and does not say where the data were."""
    plan, iteration, parts = read_trained(run)
    places = {"data", "validation", "test", "data_dir"} & set(plan.data.names())
    plan = plan.replace(**dict.fromkeys(places, ""))
    save_checkpoint(path, plan, iteration, parts | {"optimiser": {}, "data": {}})
