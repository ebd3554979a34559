"""The functions in the random programs of verify_search.py: for our tensors and for PyTorch's, both under our names.

A program is a list of steps (name, places, options): the function of that name, applied to the values at those places.
First come the inputs, then the values of the steps. Masks are NumPy arrays, all other values tensors.
"""

import functools
import inspect
from types import SimpleNamespace

import numpy as np

import tinypredrnn as tp

try:
    import torch
except ImportError:  # then verify_search.py says so
    torch = None

TINYPREDRNN = SimpleNamespace(
    **{name: getattr(tp, name) for name in dir(tp) if not name.startswith("_")},
    sum=lambda x, **options: x.sum(**options), mean=lambda x, **options: x.mean(**options),
    max=lambda x, **options: x.max(**options), take=lambda x, index: x[index],
    transpose=lambda x, axes: x.transpose(axes),
    reshape=lambda x, shape: x.reshape(shape), broadcast_to=lambda x, shape: x.broadcast_to(shape))


def pytorch_functions():
    def truth(condition):
        return condition if torch.is_tensor(condition) else torch.as_tensor(np.asarray(condition) != 0)

    def over(reduce):
        def reduced(x, axis, keepdims):
            return reduce(x, tuple(range(x.ndim)) if axis is None else axis, keepdims) if x.ndim else x
        return reduced

    def normalise(x, axis, eps=1e-5):
        centred = x - x.mean(axis, keepdim=True)
        return centred / torch.sqrt((centred**2).mean(axis, keepdim=True) + eps)

    def take(x, index):
        places = np.arange(x.numel()).reshape(tuple(x.shape))[index]  # PyTorch has no negative steps
        return x.reshape(-1)[torch.as_tensor(np.asarray(places))]

    def concat(*parts, axis):
        if len({part.ndim for part in parts}) > 1:  # PyTorch ignores an empty part with one axis
            raise ValueError("parts of different numbers of axes")
        return torch.cat(parts, axis)

    def softplus(x):
        return torch.logaddexp(x, torch.zeros_like(x))

    same = "exp log log1p sqrt square tanh sigmoid relu matmul softmax log_softmax".split()
    return SimpleNamespace(
        **{name: getattr(torch, name) for name in same},
        where=lambda condition, a, b: torch.where(truth(condition), a, b), clip=torch.clamp,
        sign=lambda x: torch.where(x.isnan(), x, torch.sign(x)),
        maximum=lambda a, b: torch.where((a >= b) | a.isnan(), a, b),
        minimum=lambda a, b: torch.where((a <= b) | a.isnan(), a, b),
        hard_sigmoid=lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
        leaky_relu=lambda x, slope: torch.where(x > 0, x, slope * x),
        softplus=softplus, logsigmoid=lambda x: -softplus(-x),
        bce_with_logits=lambda x, target: softplus(x) - x * target,
        sum=over(torch.sum), mean=over(torch.mean), max=over(torch.amax), normalise=normalise, take=take,
        reshape=lambda x, shape: x.reshape(shape), transpose=lambda x, axes: x.permute(axes),
        broadcast_to=lambda x, shape: x.broadcast_to(shape), concat=concat,
        stack=lambda *parts, axis: torch.stack(parts, axis),
        split=lambda x, parts, axis: torch.tensor_split(x, parts, axis),
        pad=lambda x, widths: torch.nn.functional.pad(x, [n for pair in reversed(widths) for n in pair]))


PYTORCH = pytorch_functions() if torch else None

# elementwise

SMOOTH = {
    "a + b": lambda m, a, b: a + b, "a - b": lambda m, a, b: a - b, "a * b": lambda m, a, b: a * b,
    "-a": lambda m, a: -a, "2.5 - a": lambda m, a: 2.5 - a, "a * 0.3": lambda m, a: a * 0.3,
    "a - 1": lambda m, a: a - 1, "a / 3": lambda m, a: a / 3, "a ** 2": lambda m, a: a**2, "a * a": lambda m, a: a * a,
    "square": lambda m, a: m.square(a), "tanh": lambda m, a: m.tanh(a), "sigmoid": lambda m, a: m.sigmoid(a),
    "softplus": lambda m, a: m.softplus(a), "bce_with_logits": lambda m, a, b: m.bce_with_logits(a, b),
    "logsigmoid": lambda m, a: m.logsigmoid(a),
}
OF_EXACT = {  # for exact inputs only: they may turn a rounding error into a large one, or into NaN
    "a / b": lambda m, a, b: a / b, "1 / a": lambda m, a: 1 / a, "|a| ** b": lambda m, a, b: abs(a) ** b,
    "2 ** a": lambda m, a: 2**a, "a ** 3": lambda m, a: a**3, "a ** -1": lambda m, a: a**-1,
    "a ** 0.5": lambda m, a: a**0.5, "exp": lambda m, a: m.exp(a), "log": lambda m, a: m.log(a),
    "log1p": lambda m, a: m.log1p(a), "sqrt": lambda m, a: m.sqrt(a),
}
CHOOSING = {  # each with a function that is zero at its kinks
    "abs": (lambda m, a: abs(a), lambda a: a),
    "sign": (lambda m, a: m.sign(a), lambda a: a),
    "relu": (lambda m, a: m.relu(a), lambda a: a),
    "leaky_relu": (lambda m, a: m.leaky_relu(a, slope=0.1), lambda a: a),
    "clip": (lambda m, a: m.clip(a, -0.5, 1), lambda a: (a + 0.5) * (a - 1)),
    "hard_sigmoid": (lambda m, a: m.hard_sigmoid(a), lambda a: (a - 2.5) * (a + 2.5)),
    "maximum": (lambda m, a, b: m.maximum(a, b), lambda a, b: a - b),
    "minimum": (lambda m, a, b: m.minimum(a, b), lambda a, b: a - b),
    "where a < b": (lambda m, a, b: m.where(a < b, a, -b), lambda a, b: a - b),
    "where a > b": (lambda m, a, b: m.where(a > b, b, -a), lambda a, b: a - b),
    "where a <= b": (lambda m, a, b: m.where(a <= b, a, -b), lambda a, b: a - b),
    "where a >= b": (lambda m, a, b: m.where(a >= b, b, -a), lambda a, b: a - b),
    "where a == b": (lambda m, a, b: m.where(a == b, a, -b), lambda a, b: a - b),
    "where a != 0": (lambda m, a: m.where(a != 0, a, 1.0), lambda a: a),
    "where 0 < a": (lambda m, a, b: m.where(0 < a, a, b), lambda a, b: a),
}
MASKED = {"where mask": lambda m, mask, a, b: m.where(mask, a, b),
          "where mask, 0": lambda m, mask, a: m.where(mask, a, 0.0)}
JOINED = {"concat": lambda m, *parts, axis: m.concat(*parts, axis=axis), "matmul": lambda m, a, b: m.matmul(a, b),
          "stack": lambda m, *parts, axis: m.stack(*parts, axis=axis)}


def draw_mask(rng, shape, dtype):
    """A mask, in one of the usual dtypes for masks."""
    kind = ["bool", "uint8", "int64", dtype][rng.integers(4)]
    return (rng.choice([0, 0, 1, 255, 2], shape) if kind != "bool" else rng.random(shape) < 0.5).astype(kind)


# options that fit an array of this shape, or None

def draw_axis(rng, shape):
    return {"axis": int(rng.integers(-len(shape), len(shape)))} if shape else None


def draw_reduction(rng, shape):
    axes = tuple(int(a) for a in rng.permutation(len(shape))[:rng.integers(len(shape) + 1)])
    axis = [axes, axes[0] - len(shape)][rng.integers(2)] if axes else None
    return {"axis": axis, "keepdims": bool(rng.random() < 0.5)}


def draw_shape(rng, shape):
    """Another shape of the same size."""
    lengths = [int(n) for n in rng.permutation([*shape, 1])]
    if len(lengths) > 1 and rng.random() < 0.5:
        lengths = [lengths[0] * lengths[1], *lengths[2:]]
    if 0 not in lengths and rng.random() < 0.3:
        lengths[rng.integers(len(lengths))] = -1
    return {"shape": tuple(lengths)}


def draw_larger_shape(rng, shape):
    return {"shape": (*[2] * rng.integers(2), *(int(rng.integers(1, 4)) if n == 1 else n for n in shape))}


def draw_axes(rng, shape):
    return {"axes": tuple(rng.permutation(len(shape)).tolist())}


def draw_index(rng, shape):
    """Slices in either direction, numbers, new axes, an ellipsis, a list with repetitions."""
    index, listed = [], False
    for n in shape[:rng.integers(len(shape) + 1)]:
        kind = rng.integers(5)
        if kind == 0 and n:
            index.append(int(rng.integers(-n, n)))
        elif kind == 1 and n and not listed:
            index, listed = [*index, [int(k) for k in rng.integers(-n, n, 3)]], True
        else:
            ends = [None, *(int(k) for k in rng.integers(-n - 1, n + 2, 2))]
            index.append(slice(ends[rng.integers(3)], ends[rng.integers(3)], [None, 2, -1, -2][rng.integers(4)]))
    if rng.random() < 0.3:
        index.insert(int(rng.integers(len(index) + 1)), None)
    return {"index": (*index, *[...] * (rng.random() < 0.3))}


def draw_widths(rng, shape):
    return {"widths": tuple(map(tuple, rng.integers(0, 3, (len(shape), 2)).tolist()))} if shape else None


def draw_parts(rng, shape):
    if not shape:
        return None
    axis = draw_axis(rng, shape)["axis"]
    parts = int(rng.choice([p for p in (1, 2, 3, 4) if shape[axis] % p == 0]))
    return {"parts": parts, "axis": axis, "piece": int(rng.integers(parts))}


WHOLE = {
    "sum": (lambda m, x, **o: m.sum(x, **o), draw_reduction),
    "mean": (lambda m, x, **o: m.mean(x, **o), draw_reduction),
    "max": (lambda m, x, **o: m.max(x, **o), draw_reduction),
    "softmax": (lambda m, x, axis: m.softmax(x, axis=axis), draw_axis),
    "log_softmax": (lambda m, x, axis: m.log_softmax(x, axis=axis), draw_axis),
    "normalise": (lambda m, x, axis: m.normalise(x, axis=axis), draw_axis),
    "reshape": (lambda m, x, **o: m.reshape(x, **o), draw_shape),
    "transpose": (lambda m, x, **o: m.transpose(x, **o), draw_axes),
    "broadcast_to": (lambda m, x, **o: m.broadcast_to(x, **o), draw_larger_shape),
    "take": (lambda m, x, **o: m.take(x, **o), draw_index),
    "pad": (lambda m, x, **o: m.pad(x, **o), draw_widths),
    "split": (lambda m, x, piece, **o: m.split(x, **o)[piece], draw_parts),
}
FUNCTIONS = {**SMOOTH, **OF_EXACT, **MASKED, **JOINED,
             **{name: function for table in (CHOOSING, WHOLE) for name, (function, _) in table.items()}}


def inputs_of(name):
    """The number of arguments of an elementwise function."""
    return len(inspect.signature(FUNCTIONS[name]).parameters) - 1


def run_steps(m, inputs, steps):
    """The inputs and the value of each step, computed with TINYPREDRNN or PYTORCH."""
    values = list(inputs)
    for name, places, options in steps:
        values.append(FUNCTIONS[name](m, *(values[i] for i in places), **options))
    return values


def describe(inputs, steps):
    lines = [f"{place} = {name} {places} {options or ''}".rstrip()
             for place, (name, places, options) in enumerate(steps, len(inputs))]
    return "; ".join([f"inputs {', '.join(f'{x.dtype} {x.shape}' for x in inputs)}", *lines])


# the same numbers in other places of memory

def spread_out(x):
    """x as every second element of a larger array."""
    larger = np.full([2 * n for n in x.shape], 7, x.dtype)
    view = larger[(..., *[slice(None, None, 2)] * x.ndim)]
    view[...] = x
    return view


def as_piece(x):
    """x as the second of three pieces along the last axis."""
    return np.concatenate([x, x, x], -1)[..., x.shape[-1]:2 * x.shape[-1]] if x.ndim else x


LAYOUTS = [np.copy, functools.partial(np.array, order="F"), spread_out, as_piece]
