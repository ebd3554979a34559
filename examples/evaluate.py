"""Score a trained run on the fixed Moving MNIST test sets, beside copying the last frame and predicting black.

    python examples/evaluate.py runs/mnist --digits 3

The scores join RUN/metrics.json as "mnist-3"; RUN/prediction-3.png and .gif show the first sequences, RUN/frame_curves-3.png the
scores frame by frame (the paper's Figure 3).
"""

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from tinypredrnn import metrics, viz
from tinypredrnn.data.digits import load_digits
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.errors import ConfigError, DataError, command
from tinypredrnn.train import load, predict, read_checkpoint, score_set, to_unit, write_json


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that train_mnist.py wrote")
    parser.add_argument("--digits", type=int, help="digits in each test sequence (default: as many as in training)")
    parser.add_argument("--sequences", type=int, help="how many of the 5,000 test sequences to score (default: as many as after training)")
    parser.add_argument("--protocol", choices=metrics.PROTOCOLS, default="float",
                        help="official: PSNR and SSIM after rounding down to 8 bits, as in the authors' code (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    parser.add_argument("--data-dir", help="folder with MNIST's idx files; else $TINYPREDRNN_DATA, the cache, a download, drawn digits")
    arguments = parser.parse_args()
    if not arguments.run.is_dir():
        raise ConfigError(f"{arguments.run} is no folder: name one that train_mnist.py wrote")
    config, _, _ = read_checkpoint(arguments.run)
    if arguments.sequences is not None:
        config = config.replace(test_sequences=arguments.sequences)
    digits = config.digits if arguments.digits is None else arguments.digits
    test, source = moving_digits(config, "test", digits, arguments.data_dir)
    report(load(arguments.run, arguments.device), config, arguments.run, test, source, arguments.protocol)
    return 0


def moving_digits(config, split, digits, data_dir):
    """The generator of the run's kind of sequences from the digit images of one split, and where these come from."""
    if config.channels != 1:
        raise ConfigError(f"Moving MNIST is gray: its frames have 1 channel, not {config.channels}; leave --channels out")
    images, source = load_digits(split, data_dir)
    return MovingMNIST(images, digits, config.size, config.given + config.horizon, config.rule), source


def read_entries(path):
    """What metrics.json holds so far; DataError where it is damaged."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        entries = None
    if not isinstance(entries, dict):
        raise DataError(f"{path} is damaged: delete it, its scores can be computed again")
    return entries


def report(model, config, out, test, source, protocol="float"):
    """Score sequences of the generator `test`; write metrics.json and the pictures into the folder `out`, print the table."""
    path, digits = out / "metrics.json", test.digits
    entries = read_entries(path)
    sequences = test.fixed_set("test", config.test_sequences)
    result = score_set(model, sequences, config.given, protocol,
                       progress=lambda batches: tqdm(batches, "scoring", leave=False, dynamic_ncols=True, disable=None))
    write_json(path, entries | {f"mnist-{digits}": {"digits_from": source, **result}})
    frames = to_unit(sequences[:3])
    shown = frames[:, :config.given], frames[:, config.given:], predict(model, frames[:, :config.given], config.horizon)
    suffix = "" if digits == config.digits else f"-{digits}"
    viz.save_strip(out / f"prediction{suffix}.png", *shown)
    viz.save_gif(out / f"prediction{suffix}.gif", *shown)
    viz.save_frame_curves(out / f"frame_curves{suffix}.png", result)

    print(f"mnist-{digits}, digits: {source}\n{metrics.table(result)}")
    of_copy, of_black = (result["mse"] / max(result[name], 1e-9) for name in ("copy_last_mse", "black_mse"))  # digits may have no room
    print(f"MSE is {of_copy:.2f} of copying the last frame and {of_black:.2f} of black; see {out / f'prediction{suffix}.png'}")


if __name__ == "__main__":
    sys.exit(command(main))
