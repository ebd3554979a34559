"""Checkpoints: one .npz with everything that a run needs to go on, or a model to be used. Data only, never code.

    config            JSON: the Config of the run; rebuilds the model
    iteration         how many training steps have been done; with the seed, it is the state of all random streams and schedules
    model.NAME        the weights
    optimiser.NAME    Adam's moments and step count
    data.first_batch  a checksum, so that the run does not go on with other data unnoticed
    checksum          SHA-256 of all of the above; a file without it is refused like one with a wrong one

A run's folder keeps two: checkpoint.npz and, for when that is damaged, the one before it, checkpoint-previous.npz.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from tinypredrnn.errors import CheckpointError
from tinypredrnn.files import replacing, say_once
from tinypredrnn.models import build_model
from tinypredrnn.train.config import Config

NAME, PREVIOUS = "checkpoint.npz", "checkpoint-previous.npz"
PARTS = ("model", "optimiser", "data")
PRETRAINED = Path(__file__).parents[1] / "pretrained" / "mnist.npz"


def save_checkpoint(path, config, iteration, parts):
    """Write a checkpoint of what read_checkpoint will return. A checkpoint.npz that was there is kept as checkpoint-previous.npz."""
    path = Path(path)
    with replacing(path, previous=path.with_name(PREVIOUS) if path.name == NAME else None) as temporary:
        write_checkpoint(temporary, config, iteration, parts)


def write_checkpoint(file, config, iteration, parts):
    """Write it to `file` as it stands, with its checksum."""
    arrays = {"config": json.dumps(config.as_dict()), "iteration": iteration}
    arrays |= {f"{part}.{name}": parts[part][name] for part in PARTS for name in parts[part]}
    np.savez(file, **arrays, checksum=checksum(arrays))


def read_checkpoint(path):
    """(Config, iteration, {"model": {name: array}, "optimiser": ..., "data": ...}) of a checkpoint file or of a run's folder.

    Of a folder whose newest checkpoint is damaged or missing, the one before it is read, and a line on stderr says so. Raises
    CheckpointError where there is none, or where it is damaged or something else.
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
    """What read_checkpoint returns, of a file."""
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: name a run's folder or a .npz file that training wrote")
    try:
        with np.load(path, allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > path.stat().st_size:
                raise ValueError("its arrays claim to be larger than the file")
            arrays = {name: np.asarray(file[name]) for name in file.files}  # what is no array comes as bytes
        if arrays.pop("checksum") != checksum(arrays):
            raise ValueError("its content is not what its checksum was made of")
        config = Config().replace(**json.loads(str(arrays.pop("config"))))
        iteration = int(arrays.pop("iteration"))
        if iteration < 0 or least_weights(config) > sum(a.size for name, a in arrays.items() if name.startswith("model.")):
            raise ValueError("its configuration asks for more than it holds")
    except Exception as error:  # a damaged file makes zipfile, NumPy and json raise whatever they can
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(f"{path} is damaged or is no checkpoint of tinypredrnn ({reason}): use another one") from error
    parts = {part: {} for part in PARTS}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        if part not in parts or array.dtype.kind not in "fiu":
            raise CheckpointError(f"{path} holds {name!r} of dtype {array.dtype}, which no checkpoint of tinypredrnn has: use another one")
        parts[part][rest] = array
    return config, iteration, parts


def checksum(arrays):
    """SHA-256 over the names, dtypes, shapes and bytes of {name: array}, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def least_weights(config):
    """How many numbers any of our networks with these options has at least: known before a file's options could ask for terabytes."""
    pixels, below = config.patch ** 2, (config.channels * config.patch ** 2, *config.hidden)
    kernels = config.kernel ** 2 * sum(x * k + k * k for x, k in zip(below, config.hidden))
    peepholes = 0 if config.model == "predrnn" else config.size[0] * config.size[1] // pixels * sum(config.hidden)
    return kernels + peepholes


def trained_model(config, parts, device="cpu"):
    """The model of what read_checkpoint returns."""
    model = build_model(**config.model_options())
    model.load_state_dict(parts["model"])
    return model.to(device)


def load(path=PRETRAINED, device="cpu"):
    """The trained model of a run's folder or checkpoint file, ready to predict: `tp.load("runs/mnist")(frames, horizon=10)`.

    Without a path it is the one that comes with the package: two digits in 64x64 pixels, see tinypredrnn/pretrained/README.md.
    Raises CheckpointError for a file that is missing, damaged or something else.
    """
    config, _, parts = read_checkpoint(path)
    return trained_model(config, parts, device)


def export_weights(run, path):
    """Write a checkpoint of a run's model alone, a third as large: to predict with, not to be resumed."""
    config, iteration, parts = read_checkpoint(run)
    save_checkpoint(path, config, iteration, parts | {"optimiser": {}, "data": {}})
