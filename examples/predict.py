"""Continue a clip: the frames after its last one, as the model of a run sees them coming.

    python examples/predict.py                                                      a look: the trained model that comes with the package
    python examples/predict.py runs/sequences --input my_clips/take1 --frames 20

RUN is the folder of a run, or a checkpoint file. The clip is a folder of images, a .npy, .npz, GIF or video file; there is no need for a
truth to compare with. Without --input digits are drawn that move, and their real future is shown beside. Into --out go frame_NNNN.png,
numbered on from the clip's last frame, prediction.gif, and prediction.png with the first 30. --overwrite replaces what an earlier
prediction wrote there, once the new one is whole, and nothing else.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tinypredrnn import viz
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.data.sequences import Clips, read_sequences
from tinypredrnn.errors import ConfigError, DataError, ShapeError, command
from tinypredrnn.files import lies_within, path_argument, replacing
from tinypredrnn.folder import Folder, refuse_overlap
from tinypredrnn.train import PRETRAINED, load, predict, read_checkpoint, to_unit

IN_A_STRIP = 30  # frames: a picture of more is too wide to be looked at


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=path_argument, nargs="?", default=PRETRAINED,
                        help="folder of a run, or a checkpoint file (default: the model that comes with the package)")
    parser.add_argument("--input", type=path_argument, help="the clip to continue (default: digits are drawn)")
    parser.add_argument("--clip", type=int, default=1, metavar="N",
                        help="which one, if the input has several (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=10, metavar="K", help="how many frames to predict (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="watch the whole clip, not only as many of its last frames as in training")
    parser.add_argument("--fit", action="store_true", help="resize the clip, and make it gray or colour, as the run was trained")
    parser.add_argument("--out", type=path_argument, default=Path("predicted"), help="folder for the frames (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the prediction in --out")
    parser.add_argument("--device", default="cpu", help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    arguments = parser.parse_args()
    config, _, _ = read_checkpoint(arguments.run)
    out = Folder(arguments.out, "prediction")
    refuse(out, arguments)

    clips, truth = clips_and_truth(arguments, config)
    if not 1 <= arguments.clip <= len(clips):
        source = arguments.input or "the drawing"
        raise ConfigError(f"{source} has {len(clips)} clip(s), got --clip {arguments.clip}: choose 1 to {len(clips)}")
    clip, name = clips[arguments.clip - 1], clips.names[arguments.clip - 1]
    if len(clip) < config.given and not arguments.all:
        raise DataError(f"{name} has {len(clip)} frame(s) and the run was trained to watch {config.given}: give a longer clip, or --all to "
                        "go on from these")
    inputs = to_unit(clip[None] if arguments.all else clip[None, -config.given:])  # (1,J,H,W,C)
    prediction = continued(load(arguments.run, arguments.device), inputs, arguments.frames, config)  # (1,K,H,W,C)

    with out:
        refuse(out, arguments)  # once more: another program may have been quicker
        with out.renewing() as fresh:
            for k, frame in enumerate(np.rint(prediction[0] * 255).astype(np.uint8), start=len(clip) + 1):
                with replacing(fresh / f"frame_{k:04d}.png") as temporary:
                    Image.fromarray(frame[..., 0] if clips.channels == 1 else frame).save(temporary)
        truth = truth and to_unit(truth[arguments.clip - 1][None])  # (1,K,H,W,C) or None
        first = slice(IN_A_STRIP)
        out.draw("prediction.png", viz.save_strip, inputs, None if truth is None else truth[:, first], prediction[:, first])
        out.draw("prediction.gif", viz.save_gif, inputs, truth, prediction)
    watched = f"its {len(clip)} frames" if inputs.shape[1] == len(clip) else f"the last {inputs.shape[1]} of its {len(clip)} frames"
    print(f"clip {arguments.clip} of {len(clips)}, {name}: watched {watched} and predicted "
          f"{arguments.frames}, see {arguments.out / 'prediction.gif'}")
    return 0


def refuse(out, arguments):
    """ConfigError if the prediction must not go into the Folder `out`: it is the input's, or holds what may not be
    replaced."""
    if arguments.input:
        refuse_overlap(out.path, arguments.input, "--input")
        if lies_within(out.path, arguments.input):
            raise ConfigError(f"--out {out.path} lies within --input {arguments.input}: name another --out")
    if out.holds() and not arguments.overwrite:
        raise ConfigError(f"{out.path} holds a prediction: replace it with --overwrite, or name another --out")
    out.refuse_strangers(("frame_*.png", "prediction.png", "prediction.gif", "checkpoint*.npz"))


def clips_and_truth(arguments, config):
    """The Clips to choose from, and what comes after each, which only drawn ones know: else None."""
    if arguments.input:
        return read_sequences(arguments.input, *((config.size, config.channels) if arguments.fit else ())), None
    if config.channels != 1:
        raise ConfigError("drawn digits are gray, and the run was trained in colour: give a clip with --input")
    frames = max(arguments.frames, 1)
    digits = MovingMNIST(draw_digits(np.random.default_rng(0), 100)[0], config.digits, config.size, config.given + frames, config.rule)
    drawn = digits.fixed_set("test", 20)  # (20,J+K,H,W,1)
    return Clips({f"drawn digits {n + 1}": clip[:config.given] for n, clip in enumerate(drawn)}), list(drawn[:, config.given:])


def continued(model, inputs, frames, config):
    """The next frames after `inputs` (1,J,H,W,C); an error in one sentence if the model cannot take such frames."""
    def kind(height, width, channels):
        return f"{'gray' if channels == 1 else 'colour'} frames of {height}x{width}"

    try:
        return predict(model, inputs, frames)
    except ShapeError as error:
        raise ConfigError(f"the run was trained on {kind(*config.size, config.channels)}, and its model cannot take the clip's "
                          f"{kind(*inputs.shape[2:])}: say --fit to convert these") from error


if __name__ == "__main__":
    sys.exit(command(main))
