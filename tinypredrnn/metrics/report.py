"""Scores in words: a table, and how the model compares with the baselines. All take an entry of metrics.json."""

from itertools import accumulate

from tinypredrnn.metrics.baselines import BASELINES
from tinypredrnn.metrics.scores import DIGITS, describe


def metrics_of(entry):
    """The metrics of an entry of metrics.json: [{"name", "title", "unit", "higher_is_better", "panel"}].

    Old entries, without a description of their metrics, have some of DIGITS.
    """
    return entry.get("metrics") or [describe(metric) for metric in DIGITS if f"{metric.name}_per_frame" in entry]


def baselines_of(entry):
    """The baselines of an entry of metrics.json, {name: Baseline}, in the order of BASELINES."""
    return {name: baseline for name, baseline in BASELINES.items() if name in entry}


def table(entry):
    """The model and its baselines as a text table with a column for each metric; "-" if there is no score. What does
    not fit side by side, within 120 columns, continues below."""
    metrics = metrics_of(entry)
    frames = len(entry[f"{metrics[0]['name']}_per_frame"])
    known = f", {entry['known']:.1%} of the pixels known" if "known" in entry else ""
    widths = {metric["name"]: max(9, len(metric["title"]) + 2) for metric in metrics}
    rows = {"model": entry} | {baseline.title: entry[name] for name, baseline in baselines_of(entry).items()}
    lines = [f"per frame, mean of {frames} predicted frames of {entry['sequences']} sequences, "
             f"{entry['protocol']} protocol{known}"]
    while metrics:
        ends = accumulate(widths[metric["name"]] for metric in metrics)  # of the columns
        fitting = max(1, sum(16 + end <= 120 for end in ends))
        beside, metrics = metrics[:fitting], metrics[fitting:]
        lines.append(f"{'':16}" + "".join(f"{metric['title']:>{widths[metric['name']]}}" for metric in beside))
        for title, scores in rows.items():
            cells = (f"{_number(scores[m['name']], m['unit']):>{widths[m['name']]}}" for m in beside)
            lines.append(f"{title:16}" + "".join(cells))
    return "\n".join(lines)


def _number(value, unit):
    return "-" if value is None else f"{value:.2f}" if unit else f"{value:.3f}"


def _listed(words):
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def comparison(entry):
    """Sentences, without full stops, that compare the model with its baselines by the first metric of the entry.

    An error is given as its ratio to the error of each baseline. There is no ratio if a baseline has no error, and no
    meaningful one if its error is tiny: the sentences then say in how many sequences nothing moves, or nothing is
    there.
    """
    first, sequences = metrics_of(entry)[0], entry["sequences"]
    name, title, unit = first["name"], first["title"], first["unit"]
    score = entry[name]
    if score is None:
        return [f"There is no {title}: the truth holds nothing that it could be computed from"]
    comparisons, remarks = [], []
    for key, baseline in baselines_of(entry).items():
        error, perfect = entry[key][name], entry[key].get("perfect_sequences", 0)
        if perfect == sequences:
            remarks.append(
                f"In all {sequences} sequences {baseline.perfect}: {baseline.phrase} makes no error to compare with"
            )
        elif perfect:
            remarks.append(f"In {perfect} of {sequences} sequences {baseline.perfect}")
        if error is None:
            continue
        if first["higher_is_better"]:
            comparisons.append(f"{_number(error, unit)} for {baseline.phrase}")
        elif score < 100 * error:
            comparisons.append(f"{score / error:.2f} of {baseline.phrase}")
        elif error:
            comparisons.append(f"more than 100 times the {error:.2g} of {baseline.phrase}")
        elif perfect < sequences:
            remarks.append(f"{title} of {baseline.phrase} is 0, so there is no ratio to it")
    against = f"{_number(score, unit)}, against " if first["higher_is_better"] else ""
    return [
        f"{title} is {against}{_listed(comparisons)}" if comparisons else f"{title} is {_number(score, unit)}",
        *remarks,
    ]
