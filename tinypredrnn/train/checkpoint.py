"""Checkpoints: one .npz with everything that a run needs to go on, or a model to be used. Data only, never code.

    config            JSON: the Config of the run; rebuilds the model
    iteration         how many training steps have been done; with the seed, it is the state of all random streams and schedules
    model.NAME        the weights
    optimiser.NAME    Adam's moments and step count
    data.first_batch  a checksum, so that the run does not go on with other data unnoticed
"""

import json
from pathlib import Path

import numpy as np

from tinypredrnn.errors import CheckpointError
from tinypredrnn.files import replacing
from tinypredrnn.models import build_model
from tinypredrnn.train.config import Config

NAME = "checkpoint.npz"
PARTS = ("model", "optimiser", "data")


def save_checkpoint(path, config, iteration, parts):
    """Write a checkpoint of what read_checkpoint will return; an interrupted write leaves the one that was there."""
    arrays = {f"{part}.{name}": parts[part][name] for part in PARTS for name in parts[part]}
    with replacing(path) as temporary:
        np.savez(temporary, config=json.dumps(config.as_dict()), iteration=iteration, **arrays)


def read_checkpoint(path):
    """(Config, iteration, {"model": {name: array}, "optimiser": ..., "data": ...}) of a checkpoint file or of a run's folder.

    Raises CheckpointError where there is none, or where it is damaged or something else.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: name a run's folder or a .npz file that training wrote")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}  # what is no array comes as bytes
        config = Config().replace(**json.loads(str(arrays.pop("config"))))
        iteration = int(arrays.pop("iteration"))
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


def load(path, device="cpu"):
    """The trained model of a run's folder or checkpoint file, ready to predict: `tp.load("runs/mnist")(frames, horizon=10)`.

    Raises CheckpointError for a file that is missing, damaged or something else.
    """
    config, _, parts = read_checkpoint(path)
    model = build_model(**config.model_options())
    model.load_state_dict(parts["model"])
    return model.to(device)
