"""A table of the paper and ours beside it: the outcomes of a comparison as rows, as Markdown, CSV and a picture."""

import csv
from typing import NamedTuple

import numpy as np

from tinypredrnn.data.own import PLACES
from tinypredrnn.errors import Error
from tinypredrnn.metrics import baselines_of
from tinypredrnn.train.budget import count, count_iteration
from tinypredrnn.train.comparison import format_value


class Cost(NamedTuple):
    """A column of what a network takes, in units of `scale`."""

    title: str
    form: str = ",.0f"
    scale: float = 1


COSTS = {
    "parameters": Cost("parameters"),
    "multiply_adds": Cost("million multiply-adds a frame", ",.1f", 1e6),
    "iterations": Cost("iterations"),
    "training_multiply_adds": Cost("trillion multiply-adds of the training", ",.3g", 1e12),
    "seconds": Cost("seconds of the training"),
    "seconds_for_100": Cost("seconds for 100 batches", ",.1f"),
    "memory": Cost("MB of memory", scale=1e6),
}


def columns_of(table):
    """The names of a Table's columns, after those of the network and the number of seeds."""
    return [*(name for column in table.scores for name in (column, f"{column}_spread")), *table.costs,
            *(f"published_{column}" for column in table.columns), "remark"]


def heads_of(table):
    """(group of columns, title) of the columns that `cells_of` fills."""
    ours = ["network", *(score.title for score in table.scores.values()), *(COSTS[cost].title for cost in table.costs)]
    return [*(("", title) for title in ours), *(("published", title) for title in table.columns.values())]


def rows_of(comparison, failed):
    """A {column: number, text or None} for each network of a Comparison, and for each baseline.

    failed   {(name, seed): sentence} of the runs that failed
    """
    rows, outcomes, table = [], comparison.outcomes(), comparison.table
    empty = dict.fromkeys(columns_of(table))
    for name, ended in outcomes.items():
        plan = ended[0].plan if ended else comparison.plan(name)
        row = {"network": name, "seeds": len(ended)} | empty
        for column, score in table.scores.items():
            values = [outcome.scores[score.test].get(score.metric) for outcome in ended]
            values = [value for value in values if value is not None]
            row |= {column: np.mean(values) if values else None,
                    f"{column}_spread": np.std(values, ddof=1) if len(values) > 1 else None}
        costs = size_of(plan)
        if ended:
            steps, seconds = plan.recipe.steps, np.mean([outcome.seconds for outcome in ended])
            costs |= {"iterations": steps, "training_multiply_adds": steps * count_iteration(plan), "seconds": seconds,
                      "seconds_for_100": 100 * seconds / steps, "memory": comparison.networks[name].get("memory")}
        row |= {cost: costs.get(cost) for cost in table.costs}
        row |= {f"published_{column}": number
                for column, number in zip(table.columns, table.published.get(plan.model, ()))}
        remarks = [f"Seed {seed} is not trained: {sentence}." for (of, seed), sentence in failed.items() if of == name]
        if still := len(comparison.seeds) - len(ended) - len(remarks):
            remarks.append(f"{still} of {len(comparison.seeds)} runs are still to come.")
        rows.append(row | {"remark": " ".join(remarks)})
    if first := next((ended[0].scores for ended in outcomes.values() if ended), None):
        for key, baseline in baselines_of(next(iter(first.values()))).items():
            rows.append({"network": baseline.title, "seeds": 0} | empty | {
                column: first[score.test][key].get(score.metric) for column, score in table.scores.items()})
    return rows


def size_of(plan):
    """The parameters, and the multiply-adds for a frame, of a plan's network; nothing if it is impossible."""
    try:
        parameters, of_frame, _ = count(plan)
        return {"parameters": parameters, "multiply_adds": of_frame}
    except Error:
        return {}


def cells_of(table, row):
    """A row's texts under `heads_of`."""
    def text(column, form, scale=1):
        return "" if row[column] is None else f"{row[column] / scale:{form}}"

    def score(column, form):
        spread = row[f"{column}_spread"]
        return (text(column, form) or "-") + ("" if spread is None else f" ± {spread:{form}}")

    return [row["network"], *(score(column, about.form) for column, about in table.scores.items()),
            *(text(cost, COSTS[cost].form, COSTS[cost].scale) for cost in table.costs),
            *(text(f"published_{column}", (table.scores.get(column) or COSTS[column]).form)
              for column in table.columns)]


def notes_of(comparison, rows):
    """The sentences under the table: how our numbers came about, what could not be trained, and what the published ones
    are."""
    data, protocol, changed = comparison.source.options, comparison.protocol, comparison.protocol["changes"]
    seeds = len(comparison.seeds)
    spread = f" Mean and standard deviation over {seeds} seeds." if seeds > 1 else ""
    changes = ", ".join(f"{name} {format_value(value)}" for name, value in changed.items() if name not in PLACES)
    more = f" Changed: {changes}." if changes else ""
    ended = next(filter(None, comparison.outcomes().values()), None)
    sets = " and ".join(f"{entry['sequences']:,} of {test}" for test, entry in ended[0].scores.items()) if ended else ""
    tested = f", {sets}" if ended else ""
    yield (f"Ours: preset {protocol['preset']}, recipe {protocol['recipe']}, a budget of {comparison.budget} for each "
           f"network, {comparison.table.on}; errors for a frame, the mean over {data.horizon} predicted frames of the "
           f"test sequences{tested}.{spread}{more}")
    short = {name: about["ended_by"] for name, about in comparison.networks.items() if "ended_by" in about}
    if len(comparison.budget.most) > 1 and len(set(short.values())) > 1:
        yield "The budget was used up in " + "; ".join(
            f"{unit} by {', '.join(name for name, by in short.items() if by == unit)}"
            for unit in comparison.budget.most if unit in short.values()) + "."
    for row in rows:
        if row["remark"]:
            yield f"{row['network']}: {row['remark']}"
    yield comparison.table.about


def markdown(table, rows, notes):
    """The table as Markdown, with the published columns behind an empty one."""
    heads = heads_of(table)
    apart = next(i for i, (group, _) in enumerate(heads) if group)
    titles = [f"{group} {title}".strip() for group, title in heads]
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *(cells_of(table, row) for row in rows)]
    lines = [[*line[:apart], "---" if line[0] == "---" else "", *line[apart:]] for line in lines]
    return "\n".join([*("| " + " | ".join(line) + " |" for line in lines), "", "\n\n".join(notes)]) + "\n"


def write_csv(path, table, rows):
    """The numbers of all rows, unrounded."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["network", "seeds", *columns_of(table)], restval="")
        writer.writeheader()
        writer.writerows(rows)


def curves_of(comparison):
    """{test set: {network or baseline: MSE of each predicted frame}}, means over the seeds."""
    curves = {}
    for name, ended in comparison.outcomes().items():
        for test in comparison.tests():
            if ended:
                per_frame = [outcome.scores[test]["mse_per_frame"] for outcome in ended]
                curves.setdefault(test, {})[name] = np.mean(per_frame, axis=0)
    for test in curves:
        entry = next(ended[0] for ended in comparison.outcomes().values() if ended).scores[test]
        curves[test] |= {baseline.title: entry[key]["mse_per_frame"] for key, baseline in baselines_of(entry).items()}
    return curves
