"""Checkpoints: one .npz with everything that a run needs to go on, or a model to be used. Data only, never code.

    config            JSON: the Config of the run; rebuilds the model
    iteration         how many training steps have been done; with the seed, it is the state of all random streams and schedules
    data              a checksum of the run's first batch, so that it does not go on with other data unnoticed
    model.NAME        the weights
    optimiser.NAME    Adam's moments and step count
"""

import json
import zipfile
from pathlib import Path

import numpy as np

from tinypredrnn.errors import CheckpointError, ConfigError
from tinypredrnn.files import replacing
from tinypredrnn.models import build_model
from tinypredrnn.train.config import Config

NAME = "checkpoint.npz"


def save_checkpoint(path, config, iteration, model, optimiser):
    """Write a checkpoint; an interrupted write leaves the one that was there."""
    arrays = {f"model.{name}": a for name, a in model.state_dict().items()}
    arrays |= {f"optimiser.{name}": a for name, a in optimiser.state_dict().items()}
    with replacing(path) as temporary:
        np.savez(temporary, config=json.dumps(config.as_dict()), iteration=iteration, **arrays)


def read_checkpoint(path):
    """(Config, iteration, {"model": {name: array}, "optimiser": {name: array}}) of a checkpoint file or of a run's folder.

    Raises CheckpointError where there is none, or where it is damaged or something else.
    """
    path = Path(path)
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: name a run's folder or a .npz file that training wrote")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        config = Config().replace(**json.loads(str(arrays.pop("config"))))
        iteration = int(arrays.pop("iteration"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, ConfigError) as error:
        raise CheckpointError(f"{path} is damaged or is no checkpoint of tinypredrnn ({error}): use another one") from error
    parts = {"model": {}, "optimiser": {}}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        if part not in parts:
            raise CheckpointError(f"{path} holds an array {name!r}, which no checkpoint of tinypredrnn has: use another one")
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
