"""Train PredRNN on Moving MNIST, score it, and show what it predicts.

    python examples/train_mnist.py                                            minutes on two CPU cores
    python examples/train_mnist.py --preset paper --device gpu --out runs/paper
    python examples/train_mnist.py --resume --out runs/paper                  go on after Ctrl-C, with no flag repeated

In the run's folder: prediction.png and .gif, curves.png, frame_curves.png, metrics.json, log.csv, config.json, checkpoint.npz with the
one before it, and pictures/ of the predictions in the course of training.

Exit status: 0 all done; 129, 130 or 143 stopped by SIGHUP, Ctrl-C or SIGTERM, all saved; 2 something is wrong, in one sentence, and what
was saved last is kept. Whatever ends a run, even kill -9 or a power failure, --resume goes on from its last checkpoint.
"""

import argparse
import sys
from pathlib import Path

from evaluate import moving_digits, score_digits

from tinypredrnn.backend import find_device
from tinypredrnn.errors import command
from tinypredrnn.files import path_argument
from tinypredrnn.train import PRESETS, Trainer, add_arguments, check_memory, fingerprint, given_options, prepare_run, preset

VALIDATION_SEQUENCES = 50


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, help="where the options below start from (default: quick)")
    parser.add_argument("--device", default="cpu", help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    parser.add_argument("--no-graph", action="store_true", help="on a GPU, launch each kernel by itself and replay no CUDA graph")
    parser.add_argument("--out", type=path_argument, default=Path("runs/mnist"), help="folder of the run (default: %(default)s)")
    parser.add_argument("--data-dir", help="folder with MNIST's idx files; else $TINYPREDRNN_DATA, the cache, a download, drawn digits")
    there_is_a_run = parser.add_mutually_exclusive_group()
    there_is_a_run.add_argument("--resume", action="store_true", help="go on with the run in --out, with its own options")
    there_is_a_run.add_argument("--overwrite", action="store_true", help="replace the run in --out, and nothing else there")
    add_arguments(parser.add_argument_group("options of the run", "each replaces what the preset says"))
    arguments = parser.parse_args()

    changes = (preset(arguments.preset).as_dict() if arguments.preset else {}) | given_options(arguments)
    config = prepare_run(arguments.out, preset("quick").replace(**changes), arguments.resume, arguments.overwrite, changes)
    check_memory(config, find_device(arguments.device))
    (training, source), (validation, _), (test, test_source) = (moving_digits(config, split, config.digits, arguments.data_dir)
                                                                for split in ("train", "validation", "test"))
    parts = {"training": training, "validation": validation, "test": test}
    trainer = Trainer(config, lambda k: training.batch(config.seed, k, config.batch),
                      validation.fixed_set("validation", VALIDATION_SEQUENCES), arguments.out, arguments.device, not arguments.no_graph,
                      fingerprint({part: {"digits": moving.images} for part, moving in parts.items()}))
    with trainer.folder(arguments.resume, arguments.overwrite) as folder:
        print(f"{config.model} with {trainer.model.count_parameters():,} parameters on {trainer.device}, "
              f"{config.steps - trainer.iteration:,} steps of {config.batch} sequences, digits: {source}; "
              f"the run is written to {arguments.out}")
        stopped_by = trainer.run()
        if stopped_by:
            print(f"stopped by {stopped_by.name} after step {trainer.iteration:,}, all saved; go on with --resume --out {arguments.out}")
            return 128 + stopped_by
        score_digits(trainer.model, config, trainer.iteration, test, test_source, folder)
    return 0


if __name__ == "__main__":
    sys.exit(command(main))
