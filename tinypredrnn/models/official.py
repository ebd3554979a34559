"""Import and export weights of the authors' PyTorch PredRNN (github.com/thuml/predrnn-pytorch), without any change.

Their cell computes Equation 4 with five convolutions and no biases; both forget gates add 1 before the sigmoid:

    conv_x        X  -> i, f, g, i', f', g', o             K channels each
    conv_h        H  -> i, f, g, o
    conv_m        M  -> i', f', g'
    conv_o        [C, M] -> o                              ours: from_cm
    conv_last     [C, M] -> the argument of tanh, 1x1      ours: merge_cm

Our cell computes the gates of C with one convolution over [X, H] and those of M with one over [X, M], so their conv_x
is divided between the two. Their weights are (out, in, rows, columns), ours (rows, columns, in, out). Both order a
patch's channels by row, column, colour.

To convert a PyTorch checkpoint, run this once where PyTorch is installed:

    weights = torch.load("model.ckpt-80000", map_location="cpu")["net_param"]
    numpy.savez("official.npz", **{name: tensor.numpy() for name, tensor in weights.items()})
"""

import numpy as np

from tinypredrnn.backend import to_numpy
from tinypredrnn.errors import CheckpointError, ConfigError
from tinypredrnn.models import build_model
from tinypredrnn.models.predrnn import PredRNN

PARTS = ("conv_x.0", "conv_h.0", "conv_m.0", "conv_o.0", "conv_last")  # of a cell


def import_official(weights, size=(64, 64), channels=1, patch=4):
    """A PredRNN that computes the same as the authors' PyTorch network with these weights, in their dtype.

    weights    {official name: array}, such as np.load returns for a .npz: "cell_list.0.conv_x.0.weight", ...,
               "conv_last.weight"; depth, width and kernel are read from the shapes; a prefix "module." (from
               DataParallel) is ignored
    size       (height, width) of the frames in pixels, divisible by `patch`; the model runs at any size afterwards
    channels   of a frame: the authors' option img_channel
    patch      side of the patches: the authors' option patch_size

    The official network has no biases. Ours are fixed at 1 for the forget gates and at 0 elsewhere and are not trained,
    so that `export_official` can return the weights. PredRNN-V2 predicts with the same network; the `adapter.weight` of
    its training loss is left out.

    Raises CheckpointError if these are not the weights of that network, and ConfigError if size, channels and patch
    contradict them.
    """
    weights = read(weights)
    first = weights.get("cell_list.0.conv_x.0.weight")
    depth = sum(name.endswith(".conv_x.0.weight") for name in weights)
    if first is None or first.ndim != 4 or first.shape[0] < 7 or first.shape[0] % 7 or first.shape[2] != first.shape[3]:
        raise CheckpointError("import_official: expected cell_list.0.conv_x.0.weight of shape (7 width, channels, "
                              f"kernel, kernel), got {'none' if first is None else first.shape}: give the state_dict "
                              "of the official PyTorch PredRNN")
    hidden, inputs, kernel = first.shape[0] // 7, first.shape[1], first.shape[2]
    if inputs != patch * patch * channels:
        raise ConfigError(f"import_official: these weights take {inputs} channels for each patch, but patches of "
                          f"{patch}x{patch} pixels of {channels} channel(s) have {patch * patch * channels}: give the "
                          "patch and channels that they were trained with")
    check(weights, official_shapes(depth, hidden, inputs, kernel))
    model = build_model("predrnn", size, channels, hidden=(hidden,) * depth, kernel=kernel,
                        patch=patch).to(dtype=first.dtype)
    model.load_state_dict(model.state_dict() | from_official(weights))
    for name, t in model.named_tensors():
        t.requires_grad = not name.endswith(".bias")
    return model


def export_official(model):
    """The weights of a PredRNN, named and laid out as in the authors' PyTorch network: {name: NumPy array}.

    Raises ConfigError if that network cannot hold the model: if it is not Equation 4's network, has layer normalisation
    or layers of different widths, or biases other than 1 for the forget gates and 0 elsewhere.
    """
    if not isinstance(model, PredRNN):
        raise ConfigError(f"export_official: the official network is a PredRNN of ST-LSTMs, got a "
                          f"{type(model).__name__}: train a predrnn")
    if len(set(model.hidden)) > 1:
        raise ConfigError(f"export_official: the layers of the official network have one width, got {model.hidden}: "
                          "train with equal ones")
    state = model.state_dict()
    if any(name.endswith(".gain") for name in state):
        raise ConfigError("export_official: the layer normalisation of this model has one gain for each channel, that "
                          "of the official network one for each channel and position: train with layer_norm=False")
    official = build_model("predrnn", (model.patch,) * 2, model.frame[2], hidden=model.hidden, kernel=1,
                           patch=model.patch).state_dict()
    moved = [name for name, a in state.items() if name.endswith(".bias") and not np.array_equal(a, official[name])]
    if moved:
        raise ConfigError("export_official: the official network has no biases except the constant 1 of the forget "
                          f"gates, but {len(moved)} biases of this model have changed: {', '.join(moved)}; to train a "
                          "model that can be exported, start from import_official")
    return to_official(state)


def read(weights):
    """The weights as NumPy arrays, under names without prefix. CheckpointError if one is unreadable or not float."""
    arrays = {}
    for name in weights:
        try:
            arrays[name.removeprefix("module.")] = np.asarray(to_numpy(weights[name]))
        except Exception as error:  # a damaged .npz fails only here, with whatever exception its inner formats raise
            raise CheckpointError(f"import_official: the array {name} cannot be read ({error}): make the .npz "
                                  "again") from error
    arrays.pop("adapter.weight", None)
    dtypes = sorted({str(a.dtype) for a in arrays.values()})
    if dtypes not in (["float32"], ["float64"]):
        raise CheckpointError("import_official: expected weights that are all float32 or all float64, got "
                              f"{', '.join(dtypes) or 'none'}: convert them with .astype")
    return arrays


def check(weights, shapes):
    """CheckpointError unless `weights` has exactly the names and the `shapes` of an official network."""
    normalised = [name for name in weights
                  if any(f".{conv}.1." in name for conv in ("conv_x", "conv_h", "conv_m", "conv_o"))]
    if normalised:
        raise CheckpointError(f"import_official: {normalised[0]} belongs to layer normalisation, whose gains the "
                              "official network has for each position and ours only for each channel: use weights "
                              "trained with --layer_norm 0")
    missing, unknown = sorted(shapes.keys() - weights.keys()), sorted(weights.keys() - shapes.keys())
    if missing or unknown:
        raise CheckpointError("import_official: expected the names of the official PredRNN: missing "
                              f"{', '.join(missing) or 'none'}; unknown {', '.join(unknown) or 'none'}: give its whole "
                              "state_dict")
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise CheckpointError(f"import_official: {name} has shape {weights[name].shape}, but "
                                  f"cell_list.0.conv_x.0.weight implies {shape}: all layers of the official network "
                                  "have one width and one kernel")


def official_shapes(depth, hidden, inputs, kernel):
    """{name: shape} of the official network."""
    shapes = {"conv_last.weight": (inputs, hidden, 1, 1)}
    for n in range(depth):
        below = inputs if n == 0 else hidden
        planes = [(7 * hidden, below), (4 * hidden, hidden), (3 * hidden, hidden), (hidden, 2 * hidden),
                  (hidden, 2 * hidden)]
        for part, (out, into) in zip(PARTS, planes):
            side = 1 if part == "conv_last" else kernel
            shapes[f"cell_list.{n}.{part}.weight"] = (out, into, side, side)
    return shapes


def from_official(weights):
    """The weights in our layout, without biases: {official name: array} -> {our name: array}"""
    ours = {"to_frame.weight": weights["conv_last.weight"]}
    for n in range((len(weights) - 1) // len(PARTS)):
        x, h, m, o, last = (weights[f"cell_list.{n}.{part}.weight"] for part in PARTS)
        i, f, g, i_, f_, g_, x_o = np.split(x, 7)
        # joined along the input channels
        ours[f"cells.{n}.from_xh.weight"] = np.hstack([np.concatenate([i, f, g, x_o]), h])
        ours[f"cells.{n}.from_xm.weight"] = np.hstack([np.concatenate([i_, f_, g_]), m])
        ours[f"cells.{n}.from_cm.weight"] = o
        ours[f"cells.{n}.merge_cm"] = last
    return {name: np.ascontiguousarray(a.transpose(2, 3, 1, 0)) for name, a in ours.items()}


def to_official(arrays):
    """The inverse of `from_official`, for weights or for gradients, which have the same layout. Biases are left out."""
    arrays = {name: np.ascontiguousarray(a.transpose(3, 2, 0, 1)) for name, a in arrays.items()
              if not name.endswith(".bias")}
    weights = {}
    for n in range((len(arrays) - 1) // 4):
        xh, xm, o, last = (arrays[f"cells.{n}.{name}"]
                           for name in ("from_xh.weight", "from_xm.weight", "from_cm.weight", "merge_cm"))
        hidden = len(o)
        x, h, x_, m = xh[:, :-hidden], xh[:, -hidden:], xm[:, :-hidden], xm[:, -hidden:]
        parts = np.concatenate([x[:-hidden], x_, x[-hidden:]]), h.copy(), m.copy(), o, last
        weights |= {f"cell_list.{n}.{part}.weight": a for part, a in zip(PARTS, parts)}
    return weights | {"conv_last.weight": arrays["to_frame.weight"]}
