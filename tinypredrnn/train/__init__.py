"""Training runs: configuration, schedules, checkpoints, the trainer, scoring."""

from tinypredrnn.train.checkpoint import load, read_checkpoint, save_checkpoint
from tinypredrnn.train.config import PRESETS, Config, add_arguments, given_options, preset
from tinypredrnn.train.schedules import rate_at, truth_mask
from tinypredrnn.train.scoring import predict, score_set, to_unit
from tinypredrnn.train.trainer import Trainer, clear_run, prepare_run, read_log, write_json

__all__ = ["Config", "PRESETS", "Trainer", "add_arguments", "clear_run", "given_options", "load", "predict", "prepare_run", "preset",
           "rate_at", "read_checkpoint", "read_log", "save_checkpoint", "score_set", "to_unit", "truth_mask", "write_json"]
