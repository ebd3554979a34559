"""A comparison: several networks, trained on the same stream of sequences with the same budget, and scored on the same
test sets, as for the tables of the paper: of two and of three moving digits (Section 4.1), of radar echoes (4.3).

A network of the comparison is named like "predrnn", or "predrnn:patch=8:hidden=64,64" with some options of its own. For
each seed it is an ordinary run, in a folder below that of the comparison: it can be resumed, scored and loaded alone.
The comparison's own folder says in comparison.json how all of them are trained.
"""

import contextlib
import dataclasses
import functools
import operator
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinypredrnn.data import find_source
from tinypredrnn.errors import CheckpointError, ConfigError, TooLargeError, TrainingError, say
from tinypredrnn.files import read_json
from tinypredrnn.folder import Folder
from tinypredrnn.memory import lacks_memory
from tinypredrnn.models import MODELS, find_model
from tinypredrnn.options import called, from_text, plain
from tinypredrnn.train.budget import Budget
from tinypredrnn.train.checkpoint import NAME, PREVIOUS, read_checkpoint, read_trained, trained_model
from tinypredrnn.train.limits import measure_memory
from tinypredrnn.train.parallel import ALONE
from tinypredrnn.train.plan import new_plan
from tinypredrnn.train.published import TABLES
from tinypredrnn.train.recipe import Recipe
from tinypredrnn.train.run import ReadOnlyRun, prepare_run, read_log
from tinypredrnn.train.scoring import predict, read_scores, report
from tinypredrnn.train.trainer import Trainer

FIRST = next(iter(TABLES))  # the world of a comparison that does not name one
FIXED = "steps", "seed", "start"  # options of a recipe that the comparison decides
WRITTEN = "comparison.json", "table.*", "frame_curves.png", "samples-*.png"  # in its folder, as glob patterns
REPORTED = ConfigError, TooLargeError, TrainingError, CheckpointError  # errors that end one run, not the comparison
RECIPES = {
    "common": "the paper's for all: Adam with a rate of 1e-3, L1 + L2 loss, batches of 8, scheduled sampling (the "
              "preset quick has the L2 loss, and lets the rate fall)",
    "own": "each network's own, as its authors trained it",
}


class Preset(NamedTuple):
    """Defaults of a comparison.

    about         what it is for
    budget        as on the command line
    validations   how often each run is judged on the validation set
    recipe        {option: value} of the common recipe, where it is not the paper's
    sizes         {model: {option: value}}, beside the options of the world's preset of that name
    """

    about: str
    budget: str
    validations: int
    recipe: dict
    sizes: dict


PRESETS = {
    "quick": Preset(
        "small networks, for two CPU cores", "1e13 multiply-adds 330 seconds", 5,
        # so short a training has to end with small steps, and L1 would first make it predict black
        dict(loss="l2", rate_schedule="cosine"),
        # the world's preset gives two layers of 32 to stacks: some 10 to 110 million multiply-adds a frame in all
        {"fc_lstm": dict(width=512), "cdna": dict(width=8), "dfn": dict(width=8), "vpn": dict(width=16),
         "prednet": dict(width=12), "mcnet": dict(width=8)},
    ),
    "paper": Preset("the published sizes and the paper's 80,000 iterations: for a GPU", "80000 iterations", 16,
                    {}, {name: network.published for name, network in MODELS.items()}),
}


class Outcome(NamedTuple):
    """A run that has ended: its Plan, its entries of metrics.json and the seconds of its training iterations."""

    plan: object
    scores: dict
    seconds: float


def read_name(name):
    """(model, {option: value}) of a network's name in a comparison. ConfigError if it is not the name of one."""
    model, *settings = name.split(":")
    fields = {field.name: field for record in (find_model(model).Options, Recipe)
              for field in dataclasses.fields(record) if field.name not in FIXED}
    options = {}
    for setting in settings:
        option, _, text = setting.partition("=")
        if option not in fields:
            raise ConfigError(f"network {name!r} has an unknown option {option!r}: expected one of "
                              f"{', '.join(fields)}, as in {model}:{next(iter(fields))}=VALUE")
        options[option] = from_text(fields[option], text)
    return model, options


def plan_of(name, preset, world=FIRST):
    """(Plan of the network of this name, with the sizes and the data of a preset; {option: value} of its own)."""
    model, own = read_name(name)
    plan = new_plan(model, world, preset)
    return dataclasses.replace(plan, options=plan.options.replace(**PRESETS[preset].sizes.get(model, {}))), own


def world_of(out):
    """The world of the comparison in a folder; the first of TABLES if there is none, or its file cannot be read."""
    path = Path(out) / "comparison.json"
    saved = path.is_file() and read_json(path) or {}
    protocol = saved.get("protocol") if isinstance(saved, dict) else None
    world = protocol.get("world") if isinstance(protocol, dict) else None
    return world if world in TABLES else FIRST


def whole_protocol(given):
    """The protocol of a new comparison: what is given, and defaults."""
    preset = given.get("preset", next(iter(PRESETS)))
    return {"world": FIRST, "preset": preset, "recipe": next(iter(RECIPES)),
            "budget": PRESETS[preset].budget.split()} | given


def same_protocol(saved, given, out):
    """The protocol of a comparison that goes on. ConfigError if what is given now is another one."""
    if (world := given.get("world", saved.get("world", FIRST))) != saved.setdefault("world", FIRST):
        raise ConfigError(f"the comparison in {out} is on {saved['world']}, not on {world}: name another "
                          f"{called('out')}")
    old, new = ({**protocol, **protocol["changes"]} for protocol in (saved, given))
    for name, value in new.items():
        if name != "changes" and plain(old.get(name)) != plain(value):
            began = "without" if name not in old else f"with {called(name)} {format_value(old[name])}, not"
            raise ConfigError(f"the comparison in {out} began {began} {called(name)} {format_value(value)}: go on "
                              f"without this, or name another {called('out')}")
    return saved


def merged(dictionaries):
    return functools.reduce(operator.or_, dictionaries)


def format_value(value):
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


class Comparison:
    """Several networks under one protocol.

    out        the folder
    protocol   {"world": one of TABLES, "preset": ..., "recipe": ..., "budget": [words], "changes": {option of recipe
               or world: value}}; of the first four, what is missing is as in comparison.json, or the default
    device     where to train
    data_dir   where MNIST's files are, if not where they are usually looked for
    ranks      the processes that share the networks (parallel.py): each trains some of them alone

    table      the Table of the world
    source     the Source of its training sequences

    ConfigError if the protocol is impossible, or if the comparison in `out` has another one.
    """

    def __init__(self, out, protocol, device="cpu", data_dir="", ranks=ALONE):
        folder, self.device, self.ranks = Folder(out, "comparison"), device, ranks
        self.out = folder.path
        path = self.out / "comparison.json"
        saved = read_json(path) if path.is_file() else {}
        if saved is None or saved and not folder.is_ours(path.name):
            raise ConfigError(f"{path} is damaged, or not as this program wrote it: name another "
                              f"{called('out')}")
        if not saved:
            folder.refuse_foreign_files(WRITTEN)
        self.folder = folder if ranks.first else ReadOnlyRun(out)
        self.networks, self.seeds = saved.get("networks", {}), saved.get("seeds", [])
        self.protocol = same_protocol(saved["protocol"], protocol, out) if saved else whole_protocol(protocol)
        self.preset, self.budget = PRESETS[self.protocol["preset"]], Budget(self.protocol["budget"])
        self.table, self.data_dir, self.opened = TABLES[self.protocol["world"]], data_dir, {}
        self.source = self.world(self.table.trained_on)
        ranks.largest(0)  # all have read the folder before the first writes into it

    def world(self, options, seed=0):
        """The Source of the world with these options, which is read only once."""
        key = *options.items(), seed
        if key not in self.opened:
            data = new_plan(next(iter(MODELS)), self.protocol["world"], self.protocol["preset"]).data
            changes = {name: value for name, value in self.protocol["changes"].items() if name in data.names()}
            places = {"data_dir": self.data_dir} if "data_dir" in data.names() else {}
            self.opened[key] = find_source(self.protocol["world"])(data.replace(**changes, **options, **places), seed)
        return self.opened[key]

    def tests(self):
        """{name of a test set: function that returns its sequences}"""
        return {name: make for options in self.table.tested_on for name, make in self.world(options).tests().items()}

    def plan(self, name, seed=0, steps=None):
        """The Plan of a network's run, of so many iterations (default: as its recipe says)."""
        plan, own = plan_of(name, self.protocol["preset"], self.protocol["world"])
        of_all, of_network = self.preset.recipe, find_model(plan.model).recipe
        recipe = Recipe().replace(**of_network if self.protocol["recipe"] == "own" else of_all)
        changes = {option: value for option, value in self.protocol["changes"].items() if option in recipe.names()}
        steps = steps or recipe.steps
        recipe = recipe.lasting(steps).replace(validate_every=max(1, steps // self.preset.validations))
        plan = dataclasses.replace(plan, recipe=recipe).on(self.world(self.table.trained_on, seed))
        return plan.replace(**changes).replace(**own, seed=seed)

    def place(self, name, seed):
        """The folder of a network's run."""
        return self.out / re.sub(r"[^\w.,=+-]", "_", f"{name}-seed-{seed}", flags=re.ASCII)

    # training

    def add(self, names, seeds):
        """Note that these networks and seeds belong to the comparison, besides those that it has already."""
        for name in names:
            self.plan(name)  # refused here if it is impossible
        self.networks |= {name: {} for name in names if name not in self.networks}
        self.seeds = sorted({*self.seeds, *seeds})
        self.save()

    def save(self):
        self.folder.write_json("comparison.json",
                               {"protocol": self.protocol, "networks": self.networks, "seeds": self.seeds})

    def run(self, after_each):
        """Train and score all that is not yet. Returns (None, or the signal that stopped it, {(name, seed): sentence}
        of the runs that failed).

        after_each   called when a run has ended, with those that have failed so far

        If there are several processes, each takes some of the networks, with all their seeds.
        """
        failed, own = {}, list(self.networks)[self.ranks.rows]
        for name in own:  # now, so that comparison.json has them whatever ends a process
            with contextlib.suppress(*REPORTED, MemoryError):  # `train` will raise it again
                self.measure(name)
        self.networks |= merged(self.ranks.gather({name: self.networks[name] for name in own}))
        self.save()
        for seed in self.seeds:
            for name in own:
                if self.outcome(name, seed):
                    continue
                print(f"\n{name}, seed {seed}")
                try:
                    if stopped_by := self.train(name, seed):
                        return stopped_by, failed
                except Exception as error:
                    if not (isinstance(error, REPORTED) or lacks_memory(error)):
                        raise
                    failed[name, seed] = str(error) or "there is not enough memory"
                    say(f"{name}, seed {seed}, is not trained: {failed[name, seed]}")
                after_each(failed)
        return None, merged(self.ranks.gather(failed))

    def measure(self, name):
        """Find out how many iterations the budget allows a network; its first seed decides for all."""
        if "steps" not in self.networks[name]:
            seed = self.seeds[0]
            trainer = self.trainer(self.plan(name, seed), self.place(name, seed))
            steps, ended_by = self.budget.iterations(trainer)
            memory = {"memory": measure_memory(trainer)} if "memory" in self.table.costs else {}
            self.networks[name] = {"steps": steps, "ended_by": ended_by} | memory

    def train(self, name, seed):
        """Train a network up to the end of its budget, from where it was stopped, and score it. Returns None, or the
        signal that stopped it.
        """
        self.measure(name)
        out = self.place(name, seed)
        plan, resume = self.plan(name, seed, self.networks[name]["steps"]), self.started(name, seed)
        prepare_run(out, plan, resume, False, {option: plan.get(option) for option in plan.names()} if resume else {})
        trainer = self.trainer(plan, out)
        with trainer.folder(resume) as folder:
            if stopped_by := trainer.run():
                return stopped_by
            _, iteration, parts = read_trained(out)  # the weights that were best on the validation set
            trainer.model.load_state_dict(parts["model"])
            tests = self.tests()
            report(trainer.model, plan, trainer.source, iteration, folder, tests, next(iter(tests)))
        return None

    def trainer(self, plan, out):
        return Trainer(plan, self.world(self.table.trained_on, plan.recipe.seed), out, self.device)

    def started(self, name, seed):
        """Whether there is a checkpoint of this run."""
        return any((self.place(name, seed) / file).is_file() for file in (NAME, PREVIOUS))

    # what came out

    def outcome(self, name, seed):
        """The Outcome of a run, or None if it has not ended or is not scored."""
        out = self.place(name, seed)
        if not self.started(name, seed):
            return None
        try:
            plan, iteration, _ = read_checkpoint(out)
        except CheckpointError:  # said when it is trained
            return None
        scores = read_scores(out / "metrics.json")
        if (iteration < self.networks[name].get("steps", np.inf)
                or not all(self.scored(scores.get(test), make) for test, make in self.tests().items())):
            return None
        return Outcome(plan, scores, sum(map(float, read_log(out / "log.csv")["seconds"])))

    def scored(self, entry, make):
        """Whether an entry of metrics.json, or None, is that of the whole test set which `make` returns."""
        return bool(entry) and entry["protocol"] == "float" and (
            entry["sequences"] == self.source.options.test_sequences or entry["sequences"] == len(make()))

    def outcomes(self):
        """{name: [Outcome of each seed that has one]} of all networks."""
        return {name: [found for seed in self.seeds if (found := self.outcome(name, seed))] for name in self.networks}

    def predictions(self, sequences):
        """{name: (N,K,H,W,C)}: what each network with a finished run predicts, with its first seed, for sequences as
        stored."""
        found, given = {}, self.source.options.given
        frames = self.source.scale.to_model(sequences)
        for name in self.networks:
            if seed := next(([seed] for seed in self.seeds if self.outcome(name, seed)), None):
                plan, _, parts = read_trained(self.place(name, *seed))
                model = trained_model(plan, parts, self.device)
                found[name] = predict(model, frames[:, :given], frames.shape[1] - given)
        return found
