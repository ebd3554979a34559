"""Score a trained run on the fixed Moving MNIST test sets, beside copying the last frame and predicting black.

    python examples/evaluate.py runs/mnist --digits 3

The scores join RUN/metrics.json as "mnist-3"; RUN/prediction-3.png and .gif show the first sequences,
RUN/frame_curves-3.png the scores frame by frame (the paper's Figure 3). While a run is being trained, its folder is not
free: wait, or score a copy of it. Several evaluations of one run wait for each other.
"""

import argparse
import sys

from tinypredrnn import metrics
from tinypredrnn.data.digits import load_digits
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.errors import BusyError, ConfigError, command
from tinypredrnn.files import alone, path_argument
from tinypredrnn.train import RunFolder, read_checkpoint, read_scores, report, trained_model


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=path_argument, help="folder that train_mnist.py wrote")
    parser.add_argument("--digits", type=int, help="digits in each test sequence (default: as many as in training)")
    parser.add_argument("--sequences", type=int, help="how many of the 5,000 test sequences to score (default: as many as after training)")
    parser.add_argument("--protocol", choices=metrics.PROTOCOLS, default="float",
                        help="official: PSNR and SSIM after rounding down to 8 bits, as in the authors' code (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    parser.add_argument("--data-dir", help="folder with MNIST's idx files; else $TINYPREDRNN_DATA, the cache, a download, drawn digits")
    arguments = parser.parse_args()
    if not arguments.run.is_dir():
        raise ConfigError(f"{arguments.run} is not a folder: name one that train_mnist.py wrote")
    saved, iteration, parts = read_checkpoint(arguments.run)
    config = saved
    if arguments.sequences is not None:
        config = config.replace(test_sequences=arguments.sequences)
    if config.channels != 1:
        raise ConfigError(f"{arguments.run} was trained in colour, and Moving MNIST is gray: train_sequences.py has scored it on its own "
                          "sequences, see metrics.json")
    digits = config.digits if arguments.digits is None else arguments.digits
    test, source = moving_digits(config, "test", digits, arguments.data_dir)
    model = trained_model(config, parts, arguments.device)
    read_scores(arguments.run / "metrics.json")
    with alone(arguments.run, ".lock-scoring", wait=True), RunFolder(arguments.run) as folder:
        if read_checkpoint(arguments.run)[:2] != (saved, iteration):
            raise BusyError(f"the run in {arguments.run} has changed since it was read: start again")
        score_digits(model, config, iteration, test, source, folder, arguments.protocol)
    return 0


def moving_digits(config, split, digits, data_dir):
    """The generator of the run's kind of sequences from the digit images of one split, and where these come from."""
    if config.channels != 1:
        raise ConfigError(f"Moving MNIST is gray: its frames have 1 channel, not {config.channels}; leave --channels out")
    images, source = load_digits(split, data_dir)
    return MovingMNIST(images, digits, config.size, config.given + config.horizon, config.rule), source


def score_digits(model, config, iteration, test, source, out, protocol="float"):
    """Score the run in the RunFolder `out` on its number of sequences from the generator `test`."""
    name, suffix = f"mnist-{test.digits}", "" if test.digits == config.digits else f"-{test.digits}"
    report(model, config, iteration, test.fixed_set("test", config.test_sequences), out, name, f"{name}, digits: {source}", suffix,
           protocol=protocol, digits_from=source)


if __name__ == "__main__":
    sys.exit(command(main))
