"""The paper's Tables 1 and 2: their numbers, and which of ours stand beside them."""

from typing import NamedTuple


class Score(NamedTuple):
    """A column of our scores: of which test set, the name of a metric, and how a number is written."""

    title: str
    test: str
    metric: str
    form: str = ".1f"


class Table(NamedTuple):
    """A table of the paper, on one world.

    trained_on    {option of the world: value}
    tested_on     the same, for each kind of test sequences
    on            both in words, for the note under the table
    models        the networks that are compared if none are named
    scores        {column: Score}
    costs         the columns of tables.COSTS that it has
    columns       {published column: title}
    published     {model: its numbers}
    about         what the published numbers are
    """

    trained_on: dict
    tested_on: tuple
    on: str
    models: tuple
    scores: dict
    costs: tuple
    columns: dict
    published: dict
    about: str


TABLES = {
    "mnist": Table(
        dict(digits=2), (dict(digits=2), dict(digits=3)), "trained on two digits only",
        ("convlstm", "predrnn_m", "predrnn", "predrnn_pp", "predrnn_v2", "convlstm_shi", "fc_lstm", "cdna", "dfn",
         "vpn"),
        {"ce": Score("CE, MNIST-2", "mnist-2", "ce"), "mse_2": Score("MSE, MNIST-2", "mnist-2", "mse"),
         "mse_3": Score("MSE, MNIST-3", "mnist-3", "mse")},
        ("parameters", "multiply_adds", "iterations", "training_multiply_adds", "seconds"),
        {"ce": "CE, MNIST-2", "mse_2": "MSE, MNIST-2", "mse_3": "MSE, MNIST-3"},
        {
            "fc_lstm": (483.2, 118.3, 162.4),
            "convlstm": (367.0, 103.3, 142.1),
            "cdna": (346.6, 97.4, 138.2),
            "dfn": (285.2, 89.0, 130.5),
            "vpn": (110.1, 70.0, 125.2),
            "predrnn_m": (118.5, 74.0, 118.2),
            "predrnn": (97.0, 56.8, 93.4),
        },
        "Published: Wang et al., NIPS 2017, Table 1: networks of full size after 80,000 iterations, on 5,000 "
        "sequences. Its CE column is of another kind than its MSE columns and ours: four of its numbers were borrowed "
        "from other papers with other protocols, whose networks were trained on CE itself. FC-LSTM's and ConvLSTM's "
        "are a tenth of 4832.49 and 3670.85, the sums over ten frames in the ConvLSTM paper (Shi et al. 2015), where "
        "the ConvLSTM is another network (here convlstm_shi), of three layers of 128, 64 and 64, not the four of 128 "
        "of this row. DFN's is the DFN paper's, that of the VPN baseline the VPN paper's.",
    ),
    "radar": Table(
        {}, ({},), "frames in [0, 1], places without data left out", ("convlstm", "vpn", "predrnn"),
        {"mse": Score("MSE", "radar", "mse"), "csi_20": Score("CSI at 20 dBZ", "radar", "csi_20", ".3f"),
         "sharpness": Score("sharpness", "radar", "sharpness", ".2f")},
        ("parameters", "multiply_adds", "iterations", "seconds", "seconds_for_100", "memory"),
        {"mse": "MSE", "seconds_for_100": "seconds for 100 batches", "memory": "MB of memory"},
        {
            "convlstm": (68.0, 105, 1756),
            "vpn": (60.7, 539, 11_513),
            "predrnn": (44.2, 117, 2367),
        },
        "Published: Wang et al., NIPS 2017, Table 2: other radars (Guangzhou, frames of 100x100 pixels, six minutes "
        "apart), larger networks (PredRNN: two layers of 128), and a GPU. It says neither what 1 is in dBZ nor of how "
        "many networks or sequences a number is the mean, so its numbers can be compared only with each other.",
    ),
}
