"""Score a trained run on the test set of its own world, or on other data, and compare it with simple baselines.

    tinypredrnn evaluate runs/mnist --digits 3                  three digits, never seen in training
    tinypredrnn evaluate runs/mnist --data mnist_test_seq.npy   a file of sequences, here the official test set
    tinypredrnn evaluate runs/sequences
    tinypredrnn evaluate runs/radar --match                     forecasts as heavy as the last frame, as "radar-matched"
    tinypredrnn evaluate runs/kth --beside runs/kth_convlstm    Figures 5 and 6 of the paper: networks beside each other

The scores are added to RUN/metrics.json under the test set's name, such as "mnist-3". RUN/prediction-mnist-3.png and
.gif show some sequences, and RUN/frame_curves-mnist-3.png the scores frame by frame (the paper's Figure 3). With
--beside, RUN/beside-mnist-3.png and beside_curves-mnist-3.png show it with other runs that were scored on the same set.
A run cannot be scored while it is being trained: wait, or score a copy of its folder. Several evaluations of one run
wait for each other. `mpiexec -n 2 tinypredrnn evaluate ...` shares the sequences between two processes.
"""

import contextlib
import re

import numpy as np

from tinypredrnn import metrics
from tinypredrnn.data import SOURCES, find_source
from tinypredrnn.data.own import OneTest
from tinypredrnn.errors import BusyError, CheckpointError, ConfigError
from tinypredrnn.files import locked, path_argument
from tinypredrnn.options import Parser, add_arguments, command_line, given_options
from tinypredrnn.train import RunFolder, fingerprint, read_scores, read_trained, report, trained_model
from tinypredrnn.train.parallel import processes
from tinypredrnn.train.run import ReadOnlyRun

# options of a world that are no flags here: the run fixes them, another flag sets them, or they do not concern a test
EXCLUDED = ("given", "data", "test_sequences", "validation_sequences", "validation", "test", "groups", "stride",
            "validation_from", "test_from", "dbz", "ranges", "trimmed", "validation_persons")


@command_line
def main(words):
    with processes() as ranks:
        return evaluate(ranks, words)


def evaluate(ranks, words):
    """The part of one of the `ranks` that share the sequences. Returns the exit status."""
    if not words or words[0].startswith("-"):
        every_world(base_parser()).parse_args(["--help"] if words[:1] in (["-h"], ["--help"]) else [])
    run = base_parser(add_help=False).parse_known_args(words[:1])[0].run
    if not run.is_dir():
        raise ConfigError(f"{run} is not a folder: name one that training wrote")
    plan, iteration, parts = read_trained(run)
    parser = base_parser()
    add_arguments(parser.add_argument_group("the world"), plan.data, EXCLUDED)
    arguments = parser.parse_args(words)

    # in their order, so that the name of a test set is the same each time
    changes = given_options(arguments, [name for name in plan.data.names() if name not in ("given", "data")])
    scores = read_scores(run / "metrics.json")
    source, tests, own = worlds(arguments.data, plan, changes, parts["data"], scores)
    if source.frame[2] != plan.frame[2]:
        raise ConfigError(f"{run} was trained on frames of {plan.frame[2]} channel(s), these have {source.frame[2]}")
    if arguments.match:
        tests = {f"{name}-matched": make for name, make in tests.items()}
    model = trained_model(plan, parts, arguments.device)
    beside = read_beside(arguments.beside, plan, arguments.device)
    with contextlib.ExitStack() as stack:
        if ranks.first:
            stack.enter_context(locked(run, ".lock-scoring", wait=True))
        folder = stack.enter_context((RunFolder if ranks.first else ReadOnlyRun)(run))
        if read_trained(run)[:2] != (plan, iteration):
            raise BusyError(f"the run in {run} has changed since it was read: start again")
        for sentence in source.messages:
            print(sentence)
        report(model, plan, source, iteration, folder, tests, own, arguments.protocol, beside, ranks, arguments.match)
    return 0


def read_beside(runs, plan, device):
    """{name: (model, entries of its metrics.json)} of other runs. ConfigError if one was trained on other frames."""
    beside = {}
    for run in runs:
        other, _, parts = read_trained(run)
        if (other.frame, other.data.given) != (plan.frame, plan.data.given):
            raise ConfigError(f"{run} was trained to watch {other.data.given} frames of {other.frame}, the run to "
                              f"evaluate {plan.data.given} of {plan.frame}: they cannot be shown beside each other")
        name = other.model if other.model not in {plan.model, *beside} else str(run)
        beside[name] = trained_model(other, parts, device), read_scores(run / "metrics.json")
    return beside


def worlds(path, plan, changes, known, scores):
    """(Source, {name of a test set: function}, name of the run's own) to score: a file's, or those of the run's world.

    changes   the options of its world that the user named; a test set that they change gets a name that says so
    known     the checkpoint's fingerprints: CheckpointError if the test data are others and no option says so
    scores    the entries so far: another file of the same name gets another one
    """
    world, seed, data = find_source(plan.source), plan.recipe.seed, plan.data.replace(**changes)
    if path:
        source = OneTest(path, data, plan.scale, world, seed)
        name, number = source.name, 2
        while name in scores and scores[name].get("data") != source.notes["data"]:
            name, number = f"{source.name}-{number}", number + 1
        return source, {name: source.tests()[source.name]}, None
    source = world(data, seed)
    if changes.keys() <= {"test_sequences"} and "test" in known:
        found = fingerprint({"test": source.fingerprint()["test"]})
        if not np.array_equal(found["test"], known["test"]):
            raise CheckpointError("these test data are not those that the run was trained with: put them back, or name "
                                  "a file with --data")
    tests, changed = source.tests(), {name: value for name, value in changes.items() if not plan.may_change(name)}
    own = list(world(plan.data, seed).tests() if changed else tests)
    if set(own) & set(tests) and changed:
        label = "".join(f"-{name}-{'x'.join(map(str, value)) if type(value) is tuple else value}"
                        for name, value in changed.items())
        tests = {name + re.sub(r"[^\w.-]", "_", label): make for name, make in tests.items()}
    return source, tests, own[0]


def every_world(parser):
    """The parser with the options of all worlds, only for --help: which ones a run really has depends on its world."""
    shown = set(EXCLUDED)
    for name, world in SOURCES.items():
        add_arguments(parser.add_argument_group(f"if its world is {name}"), world.Options(), shown)
        shown |= set(world.Options.names())
    return parser


def base_parser(**options):
    """A parser for everything that is not an option of the run's world."""
    parser = Parser(__doc__, **options)
    parser.add_argument("run", type=path_argument, help="folder that training wrote; must come first")
    parser.add_argument("--data", type=path_argument,
                        help="a file or folder of sequences, all used as a test set (default: the run's own test set)")
    parser.add_argument("--beside", type=path_argument, nargs="+", metavar="RUN", default=[],
                        help="other runs, scored on the same test set before, to be drawn with this one")
    parser.add_argument("--sequences", type=int, dest="test_sequences", metavar="N",
                        help="how many test sequences to score (default: as many as after training)")
    parser.add_argument("--match", action="store_true",
                        help="give each forecast the values of the last frame seen, in its own order (probability "
                             "matching): as much heavy rain as there was, where the model expects most")
    parser.add_argument("--protocol", choices=metrics.PROTOCOLS, default="float",
                        help="official: PSNR and SSIM after rounding down to 8 bits, as in the authors' code (default: "
                             "%(default)s)")
    parser.add_argument("--device", default="cpu",
                        help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    return parser
