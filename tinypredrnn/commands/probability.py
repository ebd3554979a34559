"""Learn how probable it is that thresholds are reached, on top of a trained run, and say how far that can be trusted.

    tinypredrnn probability runs/radar                           the thresholds of the run, such as 10 20 30 40 dBZ
    tinypredrnn probability runs/radar --thresholds 35 45 --steps 600

A small head learns it from the run's forecasts of its training sequences; the run's network stays as it is. The folder
then has probability.npz, the head; probability.json, its scores on the test set; and a reliability diagram for each
threshold, reliability-30.png: of all places where 30 dBZ were forecast with 70 %, in how many did they come? After that
`tinypredrnn predict` gives probabilities as well.
"""

import shlex

from tqdm import tqdm

from tinypredrnn import viz
from tinypredrnn.data import find_source
from tinypredrnn.errors import ConfigError, whole_number_from
from tinypredrnn.files import locked, path_argument
from tinypredrnn.options import Parser, called, command_line
from tinypredrnn.train import RunFolder, read_trained, trained_model
from tinypredrnn.train.exceedance import Exceedance

BATCH = 8  # sequences


@command_line
def main(words):
    arguments = make_parser().parse_args(words)
    if not arguments.run.is_dir():
        raise ConfigError(f"{arguments.run} is not a folder: name one that training wrote")
    plan, iteration, parts = read_trained(arguments.run)
    thresholds = check(plan, arguments.thresholds or getattr(plan.data, "thresholds", ()))
    source = find_source(plan.source)(plan.data, plan.recipe.seed)
    for sentence in source.messages:
        print(sentence)
    exceedance = Exceedance(trained_model(plan, parts, "cpu"), plan, thresholds)
    with locked(arguments.run, ".lock-scoring", wait=True), RunFolder(arguments.run) as folder:
        batches = (source.scale.to_model(source.batch(k, BATCH)) for k in range(arguments.steps))
        progress = tqdm(exceedance.fit(batches, arguments.steps), "learning", arguments.steps, dynamic_ncols=True,
                        unit="step", disable=None)
        for loss in progress:
            progress.set_postfix_str(f"cross-entropy {loss:.4f}", refresh=False)
        sequences = next(iter(source.tests().values()))()
        scores = exceedance.score(source.scale.to_model(sequences[start:start + BATCH])
                                  for start in range(0, len(sequences), BATCH))
        exceedance.save(folder)
        unit = plan.scale.unit
        folder.write_json("probability.json", {"unit": unit, "iteration": iteration, "sequences": len(sequences),
                                               "thresholds": {f"{threshold:g}": as_entry(total)
                                                              for threshold, total in scores.items()}})
        for threshold, total in scores.items():
            folder.draw(f"reliability-{threshold:g}.png", viz.save_reliability, total["head"],
                        f"{threshold:g} {unit} or more".replace("  ", " "))
    print("\n".join(table(scores, unit, len(sequences))))
    print(f"see {shlex.quote(str(arguments.run / f'reliability-{thresholds[0]:g}.png'))}")
    return 0


def check(plan, thresholds):
    """The thresholds, rising. ConfigError if there are none, if they lie outside of the scale, or if the run's frames
    are not of one channel."""
    first, last = plan.scale.units
    if plan.frame[2] != 1:
        raise ConfigError("probabilities are those of frames of one channel, and the run's have "
                          f"{plan.frame[2]}: train one with --channels 1")
    if not thresholds:
        raise ConfigError(f"the run has no thresholds of events: name some with {called('thresholds')}, above "
                          f"{first:g} and up to {last:g} {plan.scale.unit}".rstrip())
    if not all(first < threshold <= last for threshold in thresholds):
        raise ConfigError(f"{called('thresholds')} lie above {first:g} and up to {last:g} {plan.scale.unit}, got "
                          f"{' '.join(f'{threshold:g}' for threshold in thresholds)}")
    return sorted(set(thresholds))


def as_entry(total):
    """The scores of one threshold, for JSON."""
    return {name: value if isinstance(value, float) else value.tolist() for name, value in total.items()}


def table(scores, unit, sequences):
    """The Brier scores as lines of text."""
    yield f"Brier scores of {sequences} test sequences; skill is 1 - head / climate"
    yield f"{'':>12}{'frequency':>11}{'head':>10}{'forecast':>10}{'climate':>10}{'skill':>8}"
    for threshold, total in scores.items():
        known, _, came = total["head"].sum(axis=0)
        climate = total["brier_climate"]
        skill = f"{1 - total['brier_head'] / climate:.3f}" if climate else "-"
        yield (f"{f'{threshold:g} {unit}':>12}{came / max(known, 1):11.4f}{total['brier_head']:10.4f}"
               f"{total['brier_forecast']:10.4f}{climate:10.4f}{skill:>8}")


def make_parser():
    parser = Parser(__doc__)
    parser.add_argument("run", type=path_argument, help="folder that training wrote")
    parser.add_argument("--thresholds", type=float, nargs="+", metavar="X",
                        help="in the unit of the run's data (default: those that it is scored at)")
    parser.add_argument("--steps", type=whole_number_from(1), default=300, metavar="N",
                        help=f"batches of {BATCH} sequences to learn from (default: %(default)s)")
    return parser
