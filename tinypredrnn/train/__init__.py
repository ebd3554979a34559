"""Training runs: configuration, schedules, checkpoints, the trainer, scoring."""

from tinypredrnn.files import write_json
from tinypredrnn.train.checkpoint import PRETRAINED, export_weights, fingerprint, load, read_checkpoint, save_checkpoint, trained_model
from tinypredrnn.train.config import PRESETS, Config, add_arguments, given_options, preset
from tinypredrnn.train.limits import check_memory
from tinypredrnn.train.run import RunFolder, prepare_run, read_log
from tinypredrnn.train.schedules import rate_at, truth_mask
from tinypredrnn.train.scoring import predict, read_scores, report, score_set, to_unit
from tinypredrnn.train.trainer import Trainer

__all__ = ["Config", "PRESETS", "PRETRAINED", "RunFolder", "Trainer", "add_arguments", "check_memory", "export_weights", "fingerprint",
           "given_options", "load", "predict", "prepare_run", "preset", "rate_at", "read_checkpoint", "read_log", "read_scores", "report",
           "save_checkpoint", "score_set", "to_unit", "trained_model", "truth_mask", "write_json"]
