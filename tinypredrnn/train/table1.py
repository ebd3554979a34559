"""Table 1 of the paper, and ours beside it: the outcomes of a comparison as rows, as Markdown, CSV and a picture."""

import csv

import numpy as np

from tinypredrnn.errors import Error
from tinypredrnn.metrics import baselines_of
from tinypredrnn.train.budget import count, count_iteration
from tinypredrnn.train.comparison import in_words

# the paper's rows: CE and MSE on MNIST-2, MSE on MNIST-3, each for a frame
PUBLISHED = {
    "fc_lstm": (483.2, 118.3, 162.4),
    "convlstm": (367.0, 103.3, 142.1),
    "cdna": (346.6, 97.4, 138.2),
    "dfn": (285.2, 89.0, 130.5),
    "vpn": (110.1, 70.0, 125.2),
    "predrnn_m": (118.5, 74.0, 118.2),
    "predrnn": (97.0, 56.8, 93.4),
}
ABOUT_PUBLISHED = (
    "Published: Wang et al., NIPS 2017, Table 1: networks of full size after 80,000 iterations, on 5,000 sequences. "
    "Its CE column is of another kind than its MSE columns and ours: four of its numbers were borrowed from other "
    "papers with other protocols, whose networks were trained on CE itself. FC-LSTM's and ConvLSTM's are a tenth of "
    "4832.49 and 3670.85, the sums over ten frames in the ConvLSTM paper (Shi et al. 2015), where the ConvLSTM is "
    "another network (here convlstm_shi), of three layers of 128, 64 and 64, not the four of 128 of this row. DFN's is "
    "the DFN paper's, that of the VPN baseline the VPN paper's."
)
MEASURED = {"ce": ("mnist-2", "ce"), "mse_2": ("mnist-2", "mse"), "mse_3": ("mnist-3", "mse")}
COLUMNS = (*(name for column in MEASURED for name in (column, f"{column}_spread")), "parameters", "multiply_adds",
           "iterations", "training_multiply_adds", "seconds", "published_ce", "published_mse_2", "published_mse_3",
           "remark")  # of table.csv, after the name and the number of seeds
HEADS = (
    *(("", title) for title in ("network", "CE, MNIST-2", "MSE, MNIST-2", "MSE, MNIST-3", "parameters",
                                "million multiply-adds a frame", "iterations", "trillion multiply-adds of the training",
                                "seconds of the training")),
    *(("published", title) for title in ("CE, MNIST-2", "MSE, MNIST-2", "MSE, MNIST-3")),
)  # (group of columns, title)


def rows_of(comparison, failed):
    """A {column: number, text or None} for each network of a Comparison, and for each baseline.

    failed   {(name, seed): sentence} of the runs that failed
    """
    rows, outcomes = [], comparison.outcomes()
    for name, ended in outcomes.items():
        plan = ended[0].plan if ended else comparison.plan(name)
        row = {"network": name, "seeds": len(ended)} | dict.fromkeys(COLUMNS) | size_of(plan)
        for column, (test, metric) in MEASURED.items():
            values = [outcome.scores[test][metric] for outcome in ended if outcome.scores[test][metric] is not None]
            row |= {column: np.mean(values) if values else None,
                    f"{column}_spread": np.std(values, ddof=1) if len(values) > 1 else None}
        if ended:
            steps = plan.recipe.steps
            row |= {"iterations": steps, "training_multiply_adds": steps * count_iteration(plan),
                    "seconds": np.mean([outcome.seconds for outcome in ended])}
        row |= dict(zip(("published_ce", "published_mse_2", "published_mse_3"), PUBLISHED.get(plan.model, ())))
        remarks = [f"Seed {seed} is not trained: {sentence}." for (of, seed), sentence in failed.items() if of == name]
        if still := len(comparison.seeds) - len(ended) - len(remarks):
            remarks.append(f"{still} of {len(comparison.seeds)} runs are still to come.")
        rows.append(row | {"remark": " ".join(remarks)})
    if first := next((ended[0] for ended in outcomes.values() if ended), None):
        for key, baseline in baselines_of(first.scores["mnist-2"]).items():
            rows.append({"network": baseline.title, "seeds": 0} | dict.fromkeys(COLUMNS) | {
                column: first.scores[test][key][metric] for column, (test, metric) in MEASURED.items()})
    return rows


def size_of(plan):
    """The parameters, and the multiply-adds for a frame, of a plan's network; nothing if it is impossible."""
    try:
        parameters, of_frame, _ = count(plan)
        return {"parameters": parameters, "multiply_adds": of_frame}
    except Error:
        return {}


def cells_of(row):
    """A row's texts under HEADS."""
    def text(column, form=",.0f", scale=1):
        return "" if row[column] is None else f"{row[column] / scale:{form}}"

    def score(column):
        spread = row[f"{column}_spread"]
        return (text(column, ".1f") or "-") + ("" if spread is None else f" ± {spread:.1f}")

    return [row["network"], *map(score, MEASURED), text("parameters"), text("multiply_adds", ",.1f", 1e6),
            text("iterations"), text("training_multiply_adds", ".3g", 1e12), text("seconds"),
            *(text(f"published_{column}", ".1f") for column in MEASURED)]


def notes_of(comparison, rows):
    """The sentences under the table: how our numbers came about, what could not be trained, and what the published ones
    are."""
    data, protocol, changed = comparison.source.options, comparison.protocol, comparison.protocol["changes"]
    seeds = len(comparison.seeds)
    spread = f" Mean and standard deviation over {seeds} seeds." if seeds > 1 else ""
    changes = ", ".join(f"{name} {in_words(value)}" for name, value in changed.items())
    more = f" Changed: {changes}." if changed else ""
    yield (f"Ours: preset {protocol['preset']}, recipe {protocol['recipe']}, a budget of {comparison.budget} for each "
           f"network, trained on two digits only; errors for a frame, the mean over {data.horizon} predicted frames of "
           f"{data.test_sequences:,} test sequences of two digits and as many of three.{spread}{more}")
    short = {name: about["ended_by"] for name, about in comparison.networks.items() if "ended_by" in about}
    if len(comparison.budget.most) > 1 and len(set(short.values())) > 1:
        yield "The budget was used up in " + "; ".join(
            f"{unit} by {', '.join(name for name, by in short.items() if by == unit)}"
            for unit in comparison.budget.most if unit in short.values()) + "."
    for row in rows:
        if row["remark"]:
            yield f"{row['network']}: {row['remark']}"
    yield ABOUT_PUBLISHED


def markdown(rows, notes):
    """The table as Markdown, with the published columns behind an empty one."""
    apart = next(i for i, (group, _) in enumerate(HEADS) if group)
    titles = [f"{group} {title}".strip() for group, title in HEADS]
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *map(cells_of, rows)]
    lines = [[*line[:apart], "---" if line[0] == "---" else "", *line[apart:]] for line in lines]
    return "\n".join([*("| " + " | ".join(line) + " |" for line in lines), "", "\n\n".join(notes)]) + "\n"


def write_csv(path, rows):
    """The numbers of all rows, unrounded."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["network", "seeds", *COLUMNS], restval="")
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
