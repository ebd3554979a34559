"""Continue a clip: the frames after its last one, as the model of a run sees them coming.

    python examples/predict.py runs/sequences --input my_clips/take1 --frames 20

RUN is the folder of a run, or a checkpoint file. The clip is a folder of images, a .npy, .npz, GIF or video file; there is no need for a
truth to compare with. Into --out go frame_NNNN.png, numbered on from the clip's last frame, and prediction.gif.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tinypredrnn import viz
from tinypredrnn.data.sequences import read_sequences
from tinypredrnn.errors import ConfigError, DataError, ShapeError, command
from tinypredrnn.files import replacing
from tinypredrnn.train import load, predict, read_checkpoint, to_unit


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, or a checkpoint file")
    parser.add_argument("--input", type=Path, required=True, help="the clip to continue")
    parser.add_argument("--clip", type=int, default=1, metavar="N", help="which one, where the input has several (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=10, metavar="K", help="how many frames to predict (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="watch the whole clip, not only as many of its last frames as in training")
    parser.add_argument("--fit", action="store_true", help="resize the clip, and make it gray or colour, as the run was trained")
    parser.add_argument("--out", type=Path, default=Path("predicted"), help="folder for the frames (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the prediction in --out")
    parser.add_argument("--device", default="cpu", help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    arguments = parser.parse_args()
    config, _, _ = read_checkpoint(arguments.run)
    old = [*arguments.out.glob("frame_*.png"), *arguments.out.glob("prediction.gif")]
    if old and not arguments.overwrite:
        raise ConfigError(f"{arguments.out} holds a prediction: replace it with --overwrite, or name another --out")

    clips = read_sequences(arguments.input, *((config.size, config.channels) if arguments.fit else ()))
    if not 1 <= arguments.clip <= len(clips):
        raise ConfigError(f"{arguments.input} has {len(clips)} clip(s), got --clip {arguments.clip}: choose 1 to {len(clips)}")
    clip, name = clips[arguments.clip - 1], clips.names[arguments.clip - 1]
    if len(clip) < config.given and not arguments.all:
        raise DataError(f"{name} has {len(clip)} frame(s) and the run was trained to watch {config.given}: give a longer clip, or --all to "
                        "go on from these")
    inputs = to_unit(clip[None] if arguments.all else clip[None, -config.given:])  # (1,J,H,W,C)
    prediction = continued(load(arguments.run, arguments.device), inputs, arguments.frames, config)  # (1,K,H,W,C)

    for path in old:
        path.unlink()
    for k, frame in enumerate(np.rint(prediction[0] * 255).astype(np.uint8), start=len(clip) + 1):
        with replacing(arguments.out / f"frame_{k:04d}.png") as temporary:
            Image.fromarray(frame[..., 0] if clips.channels == 1 else frame).save(temporary)
    viz.save_gif(arguments.out / "prediction.gif", inputs, None, prediction)
    print(f"clip {arguments.clip} of {len(clips)}, {name}: watched {inputs.shape[1]} of its {len(clip)} frames and predicted "
          f"{arguments.frames}, see {arguments.out / 'prediction.gif'}")
    return 0


def continued(model, inputs, frames, config):
    """The next frames after `inputs` (1,J,H,W,C); one sentence where the model cannot take such frames."""
    def kind(height, width, channels):
        return f"{'gray' if channels == 1 else 'colour'} frames of {height}x{width}"

    try:
        return predict(model, inputs, frames)
    except ShapeError as error:
        raise ConfigError(f"the run was trained on {kind(*config.size, config.channels)}, and its model cannot take the clip's "
                          f"{kind(*inputs.shape[2:])}: say --fit to convert these") from error


if __name__ == "__main__":
    sys.exit(command(main))
