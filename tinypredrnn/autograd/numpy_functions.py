"""NumPy's functions on tensors, such as np.mean(x): they compute with the values, and are refused if a gradient would
be lost."""

import numpy as np

from tinypredrnn.errors import GraphError

# Functions that a tensor may be passed to even if it requires a gradient: their results have no derivative that could
# be lost.
WITHOUT_DERIVATIVE = {
    np.all, np.allclose, np.any, np.argmax, np.argmin, np.argsort, np.array2string, np.array_equal, np.array_equiv,
    np.array_repr, np.array_str, np.count_nonzero, np.empty_like, np.flatnonzero, np.isclose, np.iscomplexobj,
    np.isrealobj, np.may_share_memory, np.ndim, np.nonzero, np.ones_like, np.result_type, np.save, np.savetxt, np.savez,
    np.savez_compressed, np.shape, np.shares_memory, np.size, np.zeros_like,
}
# What to use instead of some of the others, in order to keep the gradient.
REPLACEMENTS = {
    "amax": "x.max()", "broadcast_to": "x.broadcast_to(shape)", "clip": "tp.clip(x, low, high)",
    "concatenate": "tp.concat(a, b, axis=0)", "dot": "a @ b", "expand_dims": "x.reshape(shape)", "flip": "x[::-1]",
    "hstack": "tp.concat(a, b, axis=1)", "max": "x.max()", "mean": "x.mean()", "moveaxis": "x.transpose(axes)",
    "pad": "tp.pad(x, widths=...)", "ravel": "x.reshape(-1)", "reshape": "x.reshape(shape)",
    "split": "tp.split(x, parts=n, axis=0)", "squeeze": "x.reshape(shape)", "stack": "tp.stack(a, b)",
    "sum": "x.sum()", "swapaxes": "x.transpose(axes)", "take": "x[index]", "transpose": "x.transpose(axes)",
    "vstack": "tp.concat(a, b, axis=0)", "where": "tp.where(condition, a, b)",
}


def call_numpy(function, args, kwargs):
    """function(*args, **kwargs) with the values of the tensors in them. GraphError if one of these requires a gradient,
    which would be lost."""
    tensors = [part for part in parts_of((args, *kwargs.values())) if hasattr(part, "requires_grad")]
    if not tensors:  # they are inside something other than a list or tuple
        return NotImplemented
    lost = [x for x in tensors if x.requires_grad]
    if lost and function not in WITHOUT_DERIVATIVE:
        name = f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"
        raise GraphError(f"{name}: NumPy would lose the gradient that a tensor of shape {lost[0].shape} requires: "
                         f"use {REPLACEMENTS.get(function.__name__, 'ops of tinypredrnn')}, or pass x.detach() to use "
                         "its values only")
    return function(*values_in(args), **{name: values_in(value) for name, value in kwargs.items()})


def parts_of(value):
    """The parts of nested lists and tuples, one after the other; anything else is its own only part."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from parts_of(part)
    else:
        yield value


def values_in(value):
    """The same lists and tuples, with arrays in place of tensors."""
    if isinstance(value, (list, tuple)):
        return [values_in(part) for part in value] if isinstance(value, list) else tuple(map(values_in, value))
    return value.numpy() if hasattr(value, "requires_grad") else value
