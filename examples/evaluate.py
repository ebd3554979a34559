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
from tinypredrnn.errors import ConfigError, command
from tinypredrnn.train import load, predict, read_checkpoint, score_set, to_unit, write_json


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that train_mnist.py wrote")
    parser.add_argument("--digits", type=int, help="digits in each test sequence (default: as many as in training)")
    parser.add_argument("--sequences", type=int, help="how many of the 5,000 test sequences to score (default: as the run's preset says)")
    parser.add_argument("--protocol", choices=metrics.PROTOCOLS, default="float",
                        help="official: PSNR and SSIM after rounding down to 8 bits, as in the authors' code (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    parser.add_argument("--data-dir", help="folder with MNIST's idx files; else $TINYPREDRNN_DATA, the cache, a download, drawn digits")
    arguments = parser.parse_args()
    config, _, _ = read_checkpoint(arguments.run)
    report(load(arguments.run, arguments.device), config, arguments.run, arguments.digits or config.digits,
           arguments.sequences or config.test_sequences, arguments.protocol, arguments.data_dir)
    return 0


def moving_digits(config, split, digits, data_dir):
    """The generator of the run's kind of sequences from the digit images of one split, and where these come from."""
    images, source = load_digits(split, data_dir)
    return MovingMNIST(images, digits, config.size, config.given + config.horizon, config.rule), source


def report(model, config, out, digits, count, protocol="float", data_dir=None):
    """Score `count` sequences of the test set with that many digits; write metrics.json and the pictures into `out`, print the table."""
    if not 1 <= count <= 5_000:
        raise ConfigError(f"the test set has 5,000 sequences, got --sequences {count}: choose 1 to 5000")
    generator, source = moving_digits(config, "test", digits, data_dir)
    sequences = generator.fixed_set("test", count)
    result = score_set(model, sequences, config.given, protocol, progress=lambda r: tqdm(r, "scoring", leave=False, dynamic_ncols=True))

    path = out / "metrics.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write_json(path, entries | {f"mnist-{digits}": {"digits_from": source, **result}})
    frames = to_unit(sequences[:3])
    shown = frames[:, :config.given], frames[:, config.given:], predict(model, frames[:, :config.given], config.horizon)
    suffix = "" if digits == config.digits else f"-{digits}"
    viz.save_strip(out / f"prediction{suffix}.png", *shown)
    viz.save_gif(out / f"prediction{suffix}.gif", *shown)
    viz.save_frame_curves(out / f"frame_curves{suffix}.png", result)

    print(f"mnist-{digits}, digits: {source}\n{metrics.table(result)}")
    print(f"MSE is {result['mse'] / result['copy_last_mse']:.2f} of copying the last frame and {result['mse'] / result['black_mse']:.2f} "
          f"of black; see {out / f'prediction{suffix}.png'}")


if __name__ == "__main__":
    sys.exit(command(main))
