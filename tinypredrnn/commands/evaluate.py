"""Score a trained run on the test set of its own world, or on other data, and compare it with simple baselines.

    tinypredrnn evaluate runs/mnist --digits 3                  three digits, never seen in training
    tinypredrnn evaluate runs/mnist --data mnist_test_seq.npy   a file of sequences, here the official test set
    tinypredrnn evaluate runs/sequences

The scores are added to RUN/metrics.json under the test set's name, such as "mnist-3". RUN/prediction-mnist-3.png and
.gif show some sequences, and RUN/frame_curves-mnist-3.png the scores frame by frame (the paper's Figure 3). A run
cannot be scored while it is being trained: wait, or score a copy of its folder. Several evaluations of one run wait for
each other.
"""

import argparse

from tinypredrnn import metrics
from tinypredrnn.data import SOURCES, find_source
from tinypredrnn.data.own import OneTest
from tinypredrnn.errors import BusyError, ConfigError
from tinypredrnn.files import alone, path_argument
from tinypredrnn.options import add_arguments, given
from tinypredrnn.train import RunFolder, read_scores, read_trained, report, trained_model

OURS = "given", "data", "test_sequences"  # options of a world that the run fixes, or that have another flag here


def main(words):
    if not words or words[0].startswith("-"):
        every_world(choices()).parse_args(["--help"] if words[:1] in (["-h"], ["--help"]) else [])
    run = choices(add_help=False).parse_known_args(words[:1])[0].run
    if not run.is_dir():
        raise ConfigError(f"{run} is not a folder: name one that training wrote")
    plan, iteration, parts = read_trained(run)
    parser = choices()
    add_arguments(parser.add_argument_group("the world"), plan.data, OURS)
    arguments = parser.parse_args(words)

    changes = given(arguments, set(plan.data.names()) - {"given", "data"})
    world, data = find_source(plan.source), plan.data.replace(**changes)
    own = next(iter(world(plan.data, plan.recipe.seed).tests())) if not arguments.data else ""
    source = (OneTest(arguments.data, data, plan.scale, world, plan.recipe.seed) if arguments.data
              else world(data, plan.recipe.seed))
    if source.frame[2] != plan.frame[2]:
        raise ConfigError(f"{run} was trained on frames of {plan.frame[2]} channel(s), these have {source.frame[2]}")
    model = trained_model(plan, parts, arguments.device)
    read_scores(run / "metrics.json")
    with alone(run, ".lock-scoring", wait=True), RunFolder(run) as folder:
        if read_trained(run)[:2] != (plan, iteration):
            raise BusyError(f"the run in {run} has changed since it was read: start again")
        for sentence in source.said:
            print(sentence)
        report(model, plan, source, iteration, folder, own, arguments.protocol)
    return 0


def every_world(parser):
    """The parser with the options of all worlds, only for --help: which ones a run really has depends on its world."""
    shown = set(OURS)
    for name, world in SOURCES.items():
        add_arguments(parser.add_argument_group(f"if its world is {name}"), world.Options(), shown)
        shown |= set(world.Options.names())
    return parser


def choices(**options):
    """A parser for everything that is not an option of the run's world."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, **options)
    parser.add_argument("run", type=path_argument, help="folder that training wrote; must come first")
    parser.add_argument("--data", type=path_argument,
                        help="a file or folder of sequences, all used as a test set (default: the run's own test set)")
    parser.add_argument("--sequences", type=int, dest="test_sequences", metavar="N",
                        help="how many test sequences to score (default: as many as after training)")
    parser.add_argument("--protocol", choices=metrics.PROTOCOLS, default="float",
                        help="official: PSNR and SSIM after rounding down to 8 bits, as in the authors' code (default: "
                             "%(default)s)")
    parser.add_argument("--device", default="cpu",
                        help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    return parser
