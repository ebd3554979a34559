"""Training runs: plans, schedules, updates, checkpoints, the trainer, and scoring."""

from tinypredrnn.files import write_json
from tinypredrnn.train.checkpoint import (
    PRETRAINED,
    export_weights,
    fingerprint,
    load,
    read_checkpoint,
    read_trained,
    save_checkpoint,
    trained_model,
)
from tinypredrnn.train.limits import check_memory
from tinypredrnn.train.plan import Plan, new_plan, read_plan
from tinypredrnn.train.recipe import Recipe
from tinypredrnn.train.run import RunFolder, prepare_run, read_log
from tinypredrnn.train.schedules import rate_at, truth_mask
from tinypredrnn.train.scoring import hindcast, predict, read_scores, report, score_set
from tinypredrnn.train.trainer import Trainer
from tinypredrnn.train.update import UPDATES, Descent, Update

__all__ = ["Descent", "PRETRAINED", "Plan", "Recipe", "RunFolder", "Trainer", "UPDATES", "Update", "check_memory",
           "export_weights", "fingerprint", "hindcast", "load", "new_plan", "predict", "prepare_run", "rate_at",
           "read_checkpoint", "read_log", "read_plan", "read_scores", "read_trained", "report", "save_checkpoint",
           "score_set", "trained_model", "truth_mask", "write_json"]
