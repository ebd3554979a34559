"""Train networks with the same budget, and write a table of the paper with them: on Moving MNIST Table 1 and Figures 3
and 4, on radar echoes Table 2 and Figure 7.

    tinypredrnn compare                                        all networks, small ones, at most 330 seconds each
    tinypredrnn compare radar                                  ConvLSTM, VPN and PredRNN on synthetic echoes
    tinypredrnn compare radar --data season.npz --out runs/season   on your own, as for `tinypredrnn train radar`
    tinypredrnn compare --models convlstm predrnn --seeds 0 1 2
    tinypredrnn compare --models predrnn predrnn:patch=4 predrnn:hidden=64,64:loss=l1
    tinypredrnn compare --preset paper --device gpu --out runs/table1
    tinypredrnn compare --out runs/table1                      go on after Ctrl-C, without repeating any flag
    mpiexec -n 2 tinypredrnn compare                           two processes, each with its own networks

All networks see the same stream of training sequences, which depends on the seed alone, and are scored on the same test
sets: for Table 1, they are trained on two digits only, and scored on two and on three. The folder then holds table.md,
table.csv and table.png (our numbers, and apart from them the published ones), frame_curves.png (Figure 3), samples of
each test set with all networks in rows (Figures 4 and 7), and a run of each network for each seed, which is like those
of `tinypredrnn train`.

The budget is a number and its unit, or several; the one that is used up first ends a training. In iterations, as in the
paper, networks that compute more for each step gain. In seconds, those gain that suit our kernels and your machine.
Multiply-adds, counted from the layers, are the fair choice between networks of different sizes: all do the same
arithmetic. The table shows all three.

A comparison goes on where it was stopped, by whatever: finished runs are not repeated, and an unfinished one continues
from its last checkpoint. Networks and seeds may be added later. A network that cannot be trained, for example for lack
of memory or because no iteration fits into the budget, says so in the table, and the others go on.

Exit status: 0 if all is done; 129, 130 or 143 if stopped by SIGHUP, Ctrl-C or SIGTERM, with everything saved; 2 after
an error, or if a network could not be trained.
"""

import shlex
import sys
from pathlib import Path

import numpy as np

from tinypredrnn import viz
from tinypredrnn.data import find_source
from tinypredrnn.data.own import PLACES
from tinypredrnn.errors import whole_number_from
from tinypredrnn.files import path_argument
from tinypredrnn.metrics import BASELINES
from tinypredrnn.models import MODELS
from tinypredrnn.options import Parser, add_arguments, command_line, given_options
from tinypredrnn.train import Recipe, new_plan, tables
from tinypredrnn.train.budget import COSTS
from tinypredrnn.train.comparison import FIRST, FIXED, PRESETS, RECIPES, Comparison, world_of
from tinypredrnn.train.parallel import processes
from tinypredrnn.train.published import TABLES
from tinypredrnn.train.scoring import most_active

SAMPLES = 2  # sequences of each test set that are drawn


@command_line
def main(words):
    with processes() as ranks:
        return compare(ranks, words)


def compare(ranks, words):
    """The part of one of the `ranks` that share the networks. Returns the exit status."""
    named = words[:1] if words and not words[0].startswith("-") else []
    choice, _ = base_parser(named, add_help=False).parse_known_args(words)
    world = choice.world or world_of(choice.out)  # it decides which other options exist
    parser, data = base_parser(named), find_source(world).Options
    add_arguments(parser.add_argument_group("the world"), new_plan(next(iter(MODELS)), world).data,
                  (*TABLES[world].trained_on, "data_dir"))
    add_arguments(parser.add_argument_group("the recipe of all networks, whatever --recipe says"), Recipe(), FIXED)
    arguments = parser.parse_args(words)
    decided = {*FIXED, *TABLES[world].trained_on, "data_dir"}
    changes = given_options(arguments, {*Recipe.names(), *data.names()} - decided)
    changes |= {name: str(Path(changes[name]).expanduser().absolute()) for name in PLACES if changes.get(name)}
    protocol = given_options(arguments, ("preset", "recipe", "budget")) | {
        "world": world, "changes": dict(sorted(changes.items()))}
    comparison = Comparison(arguments.out, protocol, arguments.device, arguments.data_dir or "", ranks)
    with comparison.folder:
        comparison.add(arguments.models or ([] if comparison.networks else comparison.table.models),
                       arguments.seeds or ([] if comparison.seeds else [0]))
        for sentence in comparison.source.messages:
            print(sentence)
        print(f"{len(comparison.networks)} networks, seeds {' '.join(map(str, comparison.seeds))}, a budget of "
              f"{comparison.budget} each; written to {shlex.quote(str(comparison.out))}")
        stopped_by, failed = comparison.run(lambda failed: ranks.first and write_table(comparison, failed))
        if stopped_by:
            print(f"stopped by {stopped_by.name}, all saved; go on with --out {shlex.quote(str(comparison.out))}")
            sys.exit(128 + stopped_by)  # which ends the other processes as well, if there are any
        if ranks.first:
            rows = write_table(comparison, failed)
            draw(comparison, rows)
            print(f"\n{tables.markdown(comparison.table, rows, tables.notes_of(comparison, rows))}\n"
                  f"see {comparison.out / 'table.png'}")
    return 2 if failed else 0


def write_table(comparison, failed):
    """Write table.md and table.csv of what is finished so far. Returns the rows."""
    rows = tables.rows_of(comparison, failed)
    with comparison.folder.writing("table.md") as temporary:
        text = tables.markdown(comparison.table, rows, tables.notes_of(comparison, rows))
        temporary.write_text(text, encoding="utf-8")
    with comparison.folder.writing("table.csv") as temporary:
        tables.write_csv(temporary, comparison.table, rows)
    return rows


def draw(comparison, rows):
    """Draw the table, the curves and the samples."""
    folder, source, table = comparison.folder, comparison.source, comparison.table
    folder.draw("table.png", viz.save_table, tables.heads_of(table), [tables.cells_of(table, row) for row in rows],
                list(tables.notes_of(comparison, rows)))
    if curves := tables.curves_of(comparison):
        folder.draw("frame_curves.png", viz.save_comparison_curves, curves, "MSE (sum over pixels)",
                    [baseline.title for baseline in BASELINES.values()])
    given = source.options.given
    for test, make in comparison.tests().items():
        sequences = make()
        if source.scale.unit in viz.LEVELS:
            chosen = most_active(sequences, source.scale)[None]
        else:
            chosen = sequences[np.linspace(0, len(sequences) - 1, min(SAMPLES, len(sequences))).astype(int)]
        if not (predictions := comparison.predictions(chosen)):
            continue
        frames = source.scale.to_model(chosen)
        inputs, truth = frames[:, :given], frames[:, given:]
        if source.scale.unit in viz.LEVELS:
            rows = {"truth": truth[0]} | {name: predicted[0] for name, predicted in predictions.items()}
            folder.draw(f"samples-{test}.png", viz.save_maps, inputs[0], rows, source.scale)
        else:
            folder.draw(f"samples-{test}.png", viz.save_strip, inputs, truth, predictions)


def base_parser(named, **options):
    """A parser for everything but the options of the world and of the recipe."""
    parser = Parser(__doc__, **options)
    if named:
        parser.add_argument("world", choices=list(TABLES), help=f"what is predicted (default: {FIRST})")
    else:
        parser.set_defaults(world=None)
    parser.add_argument("--models", nargs="+", metavar="NAME",
                        help="networks to compare, each with options of its own if it has any, as in predrnn:patch=4 "
                             "(default: " + "; ".join(f"for {world} {' '.join(table.models)}"
                                                      for world, table in TABLES.items()) + ")")
    parser.add_argument("--seeds", type=whole_number_from(0), nargs="+", metavar="N",
                        help="train each network once with each of these seeds, and show mean and spread (default: 0)")
    parser.add_argument("--budget", nargs="+", metavar="WORD",
                        help=f"a number and its unit ({', '.join(COSTS)}), or several; by default "
                             + "; ".join(f"{preset.budget} for {name}" for name, preset in PRESETS.items()))
    parser.add_argument("--preset", choices=list(PRESETS), help="; ".join(
        f"{name}: {preset.about}" for name, preset in PRESETS.items()) + " (default: quick)")
    parser.add_argument("--recipe", choices=list(RECIPES), help="how networks are trained; " + "; ".join(
        f"{name}: {about}" for name, about in RECIPES.items()) + " (default: common)")
    parser.add_argument("--device", default="cpu",
                        help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    place = "-".join(["compare", *(world for world in named if world != FIRST)])
    parser.add_argument("--out", type=path_argument, default=Path("runs") / place,
                        help="folder of the comparison (default: %(default)s)")
    parser.add_argument("--data-dir", metavar="TEXT", help="folder with MNIST's idx files")
    return parser
