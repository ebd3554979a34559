"""Train a network on a world, score it, and show what it predicts. A world is a source of sequences: mnist, moving
digits that are made as needed; radar, frames of weather radars, or synthetic echoes; kth, videos of people, or stick
figures; or sequences, files of your own.

    tinypredrnn train mnist                                      minutes on two CPU cores
    tinypredrnn train mnist --preset paper --device gpu --out runs/paper
    tinypredrnn train radar --data season.npz                    a file of frames with times; NetCDF and others as well
    tinypredrnn train kth --data KTH                             a folder of the .avi files, with 00sequences.txt
    tinypredrnn train sequences --data my_clips                  a folder of folders of images, one for each clip
    tinypredrnn train sequences --data clips.npy --size 64 64    clips (N,T,H,W), resized to 64x64
    tinypredrnn train mnist --resume --out runs/paper            go on after Ctrl-C, without repeating any flag
    mpiexec -n 2 tinypredrnn train mnist                         two processes that share each batch

The run's folder holds prediction.png and .gif, curves.png, frame_curves.png, metrics.json, log.csv, config.json,
checkpoint.npz and the one before it, best.npz (the weights that were best on the validation set; these are scored), and
pictures/ with predictions made during training.

Exit status: 0 if all is done; 129, 130 or 143 if stopped by SIGHUP, Ctrl-C or SIGTERM, with everything saved; 2 after
an error, which one sentence explains, with the last checkpoint kept. Whatever ends a run, even kill -9 or a power
failure, --resume goes on from the last checkpoint.
"""

import shlex
from pathlib import Path

from tinypredrnn.data import SOURCES, find_source
from tinypredrnn.errors import CheckpointError, ConfigError
from tinypredrnn.files import path_argument
from tinypredrnn.folder import refuse_overlap
from tinypredrnn.models import MODELS
from tinypredrnn.options import Parser, add_arguments, command_line, given_options
from tinypredrnn.train import Trainer, new_plan, prepare_run, read_trained, report
from tinypredrnn.train.parallel import processes
from tinypredrnn.train.run import resumable


def main(words):
    if not words or words[0].startswith("-"):
        print(f"{__doc__}\nExpected the name of a world first: {', '.join(SOURCES)}. `tinypredrnn train mnist --help` "
              "lists all options.")
        return 0 if words and words[0] in ("-h", "--help") else 2
    return train(*words)


@command_line
def train(world, *words):
    """Train on the world of this name, with the other words of the command line. Returns the exit status."""
    with processes() as ranks:
        return train_together(ranks, world, *words)


def train_together(ranks, world, *words):
    """The part of one of the `ranks` in `train`."""
    choice, _ = base_parser(world, add_help=False).parse_known_args(words)  # they decide which other options exist
    world_class = find_source(world)
    if choice.resume:
        base, _ = resumable(choice.out)
        if base.source != world or choice.model not in (None, base.model):
            raise ConfigError(f"the run in {choice.out} trains {base.model} on {base.source}: resume it as that")
    else:
        base = new_plan(choice.model or "predrnn", world, choice.preset)
    parser = base_parser(world)
    records = {"the world": base.data, f"the network, {base.model}": base.options, "the recipe": base.recipe}
    for title, record in records.items():
        add_arguments(parser.add_argument_group(title), record)
    arguments = parser.parse_args(words)

    changes = given_options(arguments, base.names())
    if choice.resume and choice.preset:  # everything that the preset decides has to agree with the run
        preset = new_plan(base.model, world, choice.preset)
        changes = {name: preset.get(name) for name in (*preset.options.names(), *preset.recipe.names())} | changes
    plan = prepare_run(arguments.out, base if choice.resume else base.replace(**changes), arguments.resume,
                       arguments.overwrite, changes)
    if not choice.resume:
        for name, place in world_class.places(plan.data).items():
            refuse_overlap(arguments.out, place, name)
    source = world_class(plan.data, plan.recipe.seed)
    if choice.resume and plan.frame != tuple(source.frame):
        raise CheckpointError(f"the run in {arguments.out} was trained on other data than these, with frames "
                              f"{plan.frame}, not {tuple(source.frame)}: name its own")
    trainer = Trainer(plan.on(source), source, arguments.out, arguments.device, arguments.graph,
                      ranks, start=not arguments.resume)
    with trainer.folder(arguments.resume, arguments.overwrite) as folder:
        return run(trainer, folder)


def run(trainer, folder):
    """Train, score and draw pictures in `folder`, a RunFolder. Returns the exit status."""
    announce(trainer)
    stopped_by = trainer.run()
    conclude(trainer, folder, stopped_by)
    return 128 + stopped_by if stopped_by else 0


def announce(trainer):
    """Print what is trained on what, and where it is written."""
    plan, source = trainer.plan, trainer.source
    for sentence in source.messages:
        print(sentence)
    print(f"{plan.model} with {trainer.model.count_parameters():,} parameters on {trainer.device}, "
          f"{plan.recipe.steps - trainer.iteration:,} steps of {plan.recipe.batch} sequences{source.out_of}; the run "
          f"is written to {shlex.quote(str(trainer.out))}")
    if plan.recipe.start and not trainer.iteration:
        print(f"it starts from the weights of {plan.recipe.start}")


def conclude(trainer, folder, stopped_by):
    """Print how to go on with a run that a signal stopped; score one that has ended."""
    if stopped_by:
        print(f"stopped by {stopped_by.name} after step {trainer.iteration:,}, all saved; go on with --resume --out "
              f"{shlex.quote(str(trainer.out))}")
        return
    _, iteration, parts = read_trained(trainer.out)
    if iteration != trainer.iteration:
        print(f"the weights of step {iteration:,} are scored: they were the best on the validation set")
    trainer.model.load_state_dict(parts["model"])
    report(trainer.model, trainer.plan, trainer.source, iteration, folder, ranks=trainer.ranks)


def base_parser(world, **options):
    """A parser for everything that is not an option in the run's plan."""
    parser = Parser(__doc__, **options)
    presets = list(find_source(world).presets)
    parser.add_argument("--model", choices=list(MODELS),
                        help="the network; `tinypredrnn models` says what each is (default: predrnn)")
    parser.add_argument("--preset", choices=presets,
                        help=f"which defaults the options below have (default: {presets[0]})")
    parser.add_argument("--device", default="cpu",
                        help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    parser.add_argument("--no-graph", dest="graph", action="store_false",
                        help="on a GPU, launch each kernel separately instead of replaying a CUDA graph")
    parser.add_argument("--out", type=path_argument, default=Path("runs") / world,
                        help="folder of the run (default: %(default)s)")
    there_is_a_run = parser.add_mutually_exclusive_group()
    there_is_a_run.add_argument("--resume", action="store_true",
                                help="go on with the run in --out, with its own options and data")
    there_is_a_run.add_argument("--overwrite", action="store_true",
                                help="replace the run in --out, and nothing else there")
    return parser
