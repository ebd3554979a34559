"""Continue a clip: predict the frames after its last one with the model of a run.

    tinypredrnn predict                                      the trained model of digits that comes with the package
    tinypredrnn predict radar --input today.nc --fit         that of radar echoes: a nowcast at once
    tinypredrnn predict runs/sequences --input my_clips/take1 --frames 20
    tinypredrnn predict runs/sequences --input my_clips/take1 --until 30    from frame 31 on, with the true frames
    tinypredrnn predict runs/radar --input today.nc          a nowcast from the newest frames
    tinypredrnn predict runs/radar --input june.nc --until 2016-06-13T14:00    a hindcast beside what came

RUN is the folder of a run, or a checkpoint file. The clip is a folder of images, or a .npy, .npz, NetCDF, HDF5, Zarr,
GIF or video file; it needs no true frames to compare with. Without --input, sequences of the run's own world are
continued, and shown with their true future. The folder --out receives prediction.npy (K,H,W,C), floats in the run's
units, with NaN where none of the watched frames has data; prediction.nc, a CF NetCDF of the same with times, lead times
and the coordinates of the input, if the frames have times and one channel; frame_NNNN.png for gray and colour frames,
whose numbers continue those of the clip; prediction.gif; prediction.png with the first 30 frames; and for radar data
maps.png: coloured maps of the prediction, beside those of the baselines and, with --until, of what came. After
`tinypredrnn probability RUN`, probability.npy (K,H,W,thresholds) and probability.png say how probable it is that the
thresholds are reached, and prediction.nc has that as well. --overwrite
replaces only what an earlier prediction wrote there, and only once the new one is complete.
"""

import argparse
import re
from pathlib import Path

import numpy as np
from PIL import Image

from tinypredrnn import viz
from tinypredrnn.data import find_source
from tinypredrnn.data.forecast_file import lead_times, write_forecast
from tinypredrnn.data.own import OwnSequences
from tinypredrnn.data.radar import Radar
from tinypredrnn.data.reading import Clips
from tinypredrnn.data.scale import Scale
from tinypredrnn.errors import CheckpointError, ConfigError, DataError, ShapeError, say, whole_number_from
from tinypredrnn.files import lies_within, path_argument, replacing
from tinypredrnn.folder import Folder, refuse_overlap
from tinypredrnn.options import Parser, add_arguments, command_line, given_options
from tinypredrnn.train import PRETRAINED, hindcast, predict, read_trained, trained_model
from tinypredrnn.train.exceedance import load_exceedance

MAX_STRIP_FRAMES = 30  # frames; a picture with more would be too wide to look at
PERCENT = Scale(units=(0.0, 100.0), unit="%")  # of probabilities
SAMPLES = 20  # sequences of the run's own world to choose from


@command_line
def main(words):
    arguments = make_parser().parse_args(words)
    plan, iteration, parts = read_trained(arguments.run)
    out, horizon = Folder(arguments.out, "prediction"), arguments.frames or plan.data.horizon
    refuse(out, arguments)

    clips = read(arguments, plan)
    scale = clips.scale
    if isinstance(arguments.until, np.datetime64):
        arguments.clip, arguments.until = moment(clips, arguments.until)
    number = arguments.clip or newest(clips)
    if not 1 <= number <= len(clips):
        raise ConfigError(f"{arguments.input or 'the run'} has {len(clips)} clip(s), got --clip {number}: "
                          f"choose 1 to {len(clips)}")
    name, whole = clips.names[number - 1], clips[number - 1]
    end = arguments.until or (len(whole) if arguments.input else plan.data.given)
    if not 1 <= end <= len(whole):
        raise ConfigError(f"{name} has {len(whole)} frame(s), got --until {end}: choose one of these")
    if end < plan.data.given and not arguments.all:
        raise DataError(f"{name} has {end} frame(s) and the run was trained to watch {plan.data.given}: give a longer "
                        "clip, or continue from these with --all")
    past, future = whole[:end], whole[end:end + horizon]
    inputs = scale.to_model(past[None] if arguments.all else past[None, -plan.data.given:])  # (1,J,H,W,C)
    model = trained_model(plan, parts, arguments.device)
    prediction = continue_clip(model, inputs, horizon, plan, arguments.match)  # (1,K,H,W,C)
    unseen = np.isnan(inputs[0]).all(axis=0)  # (H,W,C)
    values = np.where(unseen, np.nan, plan.scale.to_units(prediction[0])).astype(np.float32)
    times = clips.times.get(name, ())[:end][-inputs.shape[1]:]
    timed = len(times) > 1
    about = f"{plan.model} trained on {plan.source}, step {iteration}{', probability matched' * arguments.match}"
    probabilities = {threshold: np.where(unseen[..., 0], np.nan, film)
                     for threshold, film in probabilities_of(arguments.run, model, plan, inputs, horizon).items()}

    with out:
        refuse(out, arguments)  # checked again: another program may have written here in the meantime
        with out.renewing() as fresh:
            np.save(fresh / "prediction.npy", values)
            if timed and values.shape[-1] == 1:
                write_forecast(fresh / "prediction.nc", values[..., 0], times, plan.scale.unit, clips.grids.get(name),
                               getattr(plan.data, "zr", ""), about,
                               probabilities)
            if probabilities:
                np.save(fresh / "probability.npy", np.stack([*probabilities.values()], axis=-1))
            for k, frame in enumerate(np.rint(prediction[0] * 255).astype(np.uint8), start=end + 1):
                if frame.shape[-1] in (1, 3):
                    with replacing(fresh / f"frame_{k:04d}.png") as temporary:
                        Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame).save(temporary)
        truth = None
        if len(future):  # what is not known of it is drawn as frames without data
            truth = np.full_like(prediction, np.nan)
            truth[:, :len(future)] = scale.to_model(future[None])
        first = slice(MAX_STRIP_FRAMES)
        out.draw("prediction.png", viz.save_strip, inputs, None if truth is None else truth[:, first],
                 prediction[:, first])
        out.draw("prediction.gif", viz.save_gif, inputs, truth, prediction)
        minutes, title = (lead_times(times, 1)[0], f"from {times[-1]} on") if timed else (None, "")
        if probabilities:
            rows = {f"{threshold:g} {plan.scale.unit}": film[..., None] for threshold, film in probabilities.items()}
            out.draw("probability.png", viz.save_maps, None, rows, PERCENT, minutes, title)
        if plan.scale.unit in viz.LEVELS:
            shown = np.where(unseen, np.nan, prediction)
            rows = hindcast(inputs, truth, shown, find_source(plan.source).baselines)
            out.draw("maps.png", viz.save_maps, inputs[0], rows, plan.scale, minutes, title)
    watched = f"its {end} frames" if inputs.shape[1] == end else f"the last {inputs.shape[1]} of its {end} frames"
    further = f" (it was trained to predict {plan.data.horizon})" if horizon > plan.data.horizon else ""
    came = f", beside the {len(future)} that came" if len(future) else ""
    until = f", {lead_times(times, horizon)[-1]:g} minutes from {times[-1]} on" if timed else ""
    if not timed and arguments.input and plan.scale.unit:
        print("the times of the frames are not known, so there is no prediction.nc")
    print(f"clip {number} of {len(clips)}, {name}: watched {watched} and predicted "
          f"{horizon}{further}{until}{came}, see {arguments.out / 'prediction.gif'}")
    return 0


def read(arguments, plan):
    """The Clips to choose from. Files are read as the run's own were, unless flags say otherwise."""
    world = find_source(plan.source)
    if arguments.input:
        files = world if issubclass(world, OwnSequences) else OwnSequences
        kept = {*files.reading, "dbz"} & set(plan.data.names())
        fitted = {"size": plan.frame[:2], "channels": plan.frame[2]} if arguments.fit else {}
        options = files.Options().replace(**{name: getattr(plan.data, name) for name in kept}
                                          | given_options(arguments, Radar.reading) | fitted)
        clips = files.read(arguments.input, options, plan.scale)
        print(*clips.messages, sep="\n")
        return clips
    source = world(plan.data, plan.recipe.seed)
    return Clips(source.samples(SAMPLES), source.scale)


def newest(clips):
    """The number, from 1, of the clip that ends last, if all times are known; else 1."""
    ends = [clips.times[name][-1] for name in clips.names if name in clips.times]
    return int(np.argmax(ends)) + 1 if len(ends) == len(clips) else 1


def moment(clips, time):
    """(number of a clip from 1, number of its frame from 1) of a time. DataError if no frame is of that time."""
    for number, name in enumerate(clips.names, start=1):
        if len(found := np.flatnonzero(clips.times.get(name, np.array([], time.dtype)) == time)):
            return number, int(found[0]) + 1
    known = [time for name in clips.names for time in clips.times.get(name, ())]
    raise DataError(f"no frame is of {time}: " + (f"they are of {min(known)} to {max(known)}" if known else
                                                  "their times are not known, give --until the number of a frame"))


def refuse(out, arguments):
    """ConfigError if the prediction must not go into the Folder `out`: it overlaps the input, or has files to keep."""
    if arguments.input:
        refuse_overlap(out.path, arguments.input, "input")
        if lies_within(out.path, arguments.input):
            raise ConfigError(f"--out {out.path} lies within --input {arguments.input}: name another --out")
    if out.own_files() and not arguments.overwrite:
        raise ConfigError(f"{out.path} holds a prediction: replace it with --overwrite, or name another --out")
    out.refuse_foreign_files(("frame_*.png", "prediction.npy", "prediction.nc", "prediction.png", "prediction.gif",
                              "maps.png", "probability.npy", "probability.png", "checkpoint*.npz"))


def continue_clip(model, inputs, frames, plan, matched):
    """The next frames after `inputs` (1,J,H,W,C). ConfigError if the model cannot take such frames."""
    def kind(height, width, channels):
        return f"{ {1: 'gray', 3: 'colour'}.get(channels, f'{channels}-channel') } frames of {height}x{width}"

    try:
        return predict(model, inputs, frames, matched)
    except ShapeError as error:
        raise ConfigError(f"the run was trained on {kind(*plan.frame)}, and its model cannot take the clip's "
                          f"{kind(*inputs.shape[2:])}: convert them with --fit") from error


def probabilities_of(run, model, plan, inputs, horizon):
    """{threshold: (K,H,W)} of the next frames after `inputs` (1,J,H,W,C), if the run has a head that still fits."""
    try:
        exceedance = load_exceedance(run, model, plan)
    except CheckpointError as error:
        say(f"no probabilities: {error}")
        return {}
    if exceedance is None:
        return {}
    _, probabilities = exceedance.forecast(inputs, horizon)
    return dict(zip(exceedance.thresholds, np.moveaxis(probabilities[0], -1, 0)))


def frame_or_time(text):
    """A type for argparse: the number of a frame from 1, or a time."""
    if re.fullmatch(r"[-+]?\d{1,12}", text):
        return whole_number_from(1)(text)
    try:
        return np.datetime64(text.removesuffix("Z"), "s")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected the number of a frame, or a time such as 2016-07-13T14:00, got "
                                         f"{text[:40]}") from error


def make_parser():
    parser = Parser(__doc__)
    parser.add_argument("run", type=path_argument, nargs="?", default=PRETRAINED,
                        help="folder of a run, or a checkpoint file; mnist (the default) or radar: one of the models "
                             "that come with the package")
    parser.add_argument("--input", type=path_argument, help="the clip to continue (default: the run's own world)")
    parser.add_argument("--clip", type=whole_number_from(1), metavar="N",
                        help="which clip, if the input has several (default: the newest, or the first if there are no "
                             "times)")
    parser.add_argument("--until", type=frame_or_time, metavar="N",
                        help="treat frame N, or that of a time such as 2016-07-13T14:00, as the clip's last, and show "
                             "the true frames after it with the prediction (default: its end)")
    parser.add_argument("--frames", type=whole_number_from(1), metavar="K",
                        help="how many frames to predict (default: as many as in training)")
    parser.add_argument("--all", action="store_true",
                        help="feed the whole clip to the model, not only as many of its last frames as in training")
    parser.add_argument("--fit", action="store_true",
                        help="resize the clip, and convert it to gray or colour, to match the run's training data")
    parser.add_argument("--match", action="store_true",
                        help="give each frame the values of the last one watched, in its own order (probability "
                             "matching): as much heavy rain as there was, where the model expects most")
    parser.add_argument("--out", type=path_argument, default=Path("predicted"),
                        help="folder for the frames (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the prediction in --out")
    group = parser.add_argument_group("how the input is read (default: as the run's own data)")
    add_arguments(group, Radar.Options(), set(Radar.Options.names()) - set(Radar.reading))
    parser.add_argument("--device", default="cpu",
                        help="cpu, gpu, gpu:N, or auto: a GPU if there is one (default: %(default)s)")
    return parser
