"""Train on sequences of one's own, score the run on what was set apart for the test, and show what it predicts.

    python examples/train_sequences.py --data my_clips                     a folder of folders of images, one for each clip
    python examples/train_sequences.py --data clips.npy --size 64 64       clips (N,T,H,W), resized to 64x64
    python examples/train_sequences.py --resume                            go on after Ctrl-C, with no flag repeated

Also .npz, GIFs and videos: tinypredrnn/data/sequences.py says what can be read. Size and colour are those of the data, unless --size
resizes them or --channels makes them gray (1) or colour (3). The run's folder holds what train_mnist.py writes, and data.json. To see what
comes after the end of a clip: predict.py. Exit status as train_mnist.py's.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tinypredrnn import metrics
from tinypredrnn.backend import find_device
from tinypredrnn.data.moving_mnist import stream
from tinypredrnn.data.sequences import read_sequences, split
from tinypredrnn.errors import ConfigError, command
from tinypredrnn.files import path_argument, read_json
from tinypredrnn.folder import refuse_overlap
from tinypredrnn.train import PRESETS, Trainer, add_arguments, check_memory, fingerprint, given_options, prepare_run, preset, report

VALIDATION_SEQUENCES = 50
START = preset("quick").replace(patch=4, rate=1e-3)  # frames full of light and texture need finer patches and smaller steps than digits


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=path_argument, help="the sequences: a folder, or a .npy, .npz, GIF or video file")
    parser.add_argument("--preset", choices=PRESETS, help="where the options below start from (default: quick, --patch 4, --rate 1e-3)")
    parser.add_argument("--device", default="cpu", help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    parser.add_argument("--no-graph", action="store_true", help="on a GPU, launch each kernel by itself and replay no CUDA graph")
    parser.add_argument("--out", type=path_argument, default=Path("runs/sequences"), help="folder of the run (default: %(default)s)")
    there_is_a_run = parser.add_mutually_exclusive_group()
    there_is_a_run.add_argument("--resume", action="store_true", help="go on with the run in --out, with its own options and data")
    there_is_a_run.add_argument("--overwrite", action="store_true", help="replace the run in --out, and nothing else there")
    add_arguments(parser.add_argument_group("options of the run", "each replaces what the preset says"), without=("digits", "rule"))
    arguments = parser.parse_args()

    asked, out = given_options(arguments), arguments.out
    of_preset = preset(arguments.preset).as_dict() if arguments.preset else {}
    changes = {name: value for name, value in of_preset.items() if name not in ("size", "channels")} | asked  # the data have those two
    config = prepare_run(out, START.replace(**changes), arguments.resume, arguments.overwrite, changes)
    data = arguments.data or remembered_data(out, arguments.resume)
    if not arguments.resume:
        refuse_overlap(out, data, "--data")
    wanted = config.as_dict() if arguments.resume else asked
    clips = read_sequences(data, wanted.get("size"), wanted.get("channels"))
    config = config.replace(size=clips.size, channels=clips.channels)
    check_size(config)
    check_memory(config, find_device(arguments.device))
    length = config.given + config.horizon
    training, validation, test, words = split(clips, length, config.seed)
    windows = training.windows(length)

    def batch(k):
        """Training batch k: windows drawn by (seed, k) alone."""
        return training.cut(windows[stream("training", config.seed, k).integers(len(windows), size=config.batch)], length)

    parts = {"training": training, "validation": validation, "test": test}
    trainer = Trainer(config, batch, take(validation, config, VALIDATION_SEQUENCES), out, arguments.device, not arguments.no_graph,
                      fingerprint({part: clips.named() for part, clips in parts.items()}))
    with trainer.folder(arguments.resume, arguments.overwrite) as folder:
        folder.write_json("data.json", {"data": str(data.absolute()), "split": words}, amends=True)
        print(f"{data}: frames of {config.size[0]}x{config.size[1]}, {'gray' if config.channels == 1 else 'colour'}, {words}")
        print(f"{config.model} with {trainer.model.count_parameters():,} parameters on {trainer.device}, "
              f"{config.steps - trainer.iteration:,} steps of {config.batch} sequences out of {len(windows):,}; "
              f"the run is written to {out}")
        stopped_by = trainer.run()
        if stopped_by:
            print(f"stopped by {stopped_by.name} after step {trainer.iteration:,}, all saved; go on with --resume --out {out}")
            return 128 + stopped_by
        sequences = take(test, config, config.test_sequences)
        report(trainer.model, config, trainer.iteration, sequences, folder, "sequences", f"{len(sequences)} test sequences",
               drawn=np.linspace(0, len(sequences) - 1, min(3, len(sequences))).astype(int))
    return 0


def remembered_data(out, resume):
    """The data of the run in `out`, which is resumed without naming them again."""
    if not resume:
        raise ConfigError("nothing to train on: name a folder of sequences with --data")
    path = out / "data.json"
    data = (read_json(path) or {}).get("data") if path.is_file() else None
    if not isinstance(data, str):
        raise ConfigError(f"{path} does not say what the run was trained on: name it with --data")
    return Path(data)


def check_size(config):
    """ConfigError if SSIM's window does not fit, or patches do not tile the frames: before the training, not at its
    end."""
    (height, width), patch, least = config.size, config.patch, metrics.SSIM_WINDOW
    if min(height, width) < least:
        raise ConfigError(f"frames of {height}x{width} are too small to score, {least}x{least} is the least: resize them with --size 64 64")
    if patch > 0 and (height % patch or width % patch):
        smaller, larger = ([max(patch, (n + more) // patch * patch) for n in config.size] for more in (0, patch - 1))
        patches = " or ".join(str(p) for p in range(1, 17) if height % p == width % p == 0)
        raise ConfigError(f"patches of {patch}x{patch} pixels do not tile frames of {height}x{width}: choose --patch {patches}, or resize "
                          f"the frames with --size {smaller[0]} {smaller[1]} or --size {larger[0]} {larger[1]}")


def take(clips, config, count):
    """At most `count` sequences (N,T,H,W,C), evenly over the clips, so that no frame is predicted in two of them."""
    length = config.given + config.horizon
    windows = clips.windows(length, stride=config.horizon)
    return clips.cut(windows[np.linspace(0, len(windows) - 1, min(count, len(windows))).astype(int)], length)


if __name__ == "__main__":
    sys.exit(command(main))
