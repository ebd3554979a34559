"""Module: a function with parameters. Its attributes are its parts; their names are used in checkpoints."""

import contextlib
import math

import numpy as np

from tinypredrnn.autograd import Tensor
from tinypredrnn.autograd.engine import Call, current_call
from tinypredrnn.backend import find_device, to_device, to_numpy
from tinypredrnn.errors import CheckpointError
from tinypredrnn.nn.layout import current_layout, hollow


class Module:
    """A function with parameters. Subclasses set Tensors, Modules and lists of Modules as attributes and define
    `forward`.

    Tensors that require a gradient are parameters; others, such as running averages, are part of the state but not
    trained. `training` is True until `train(False)` is called; layers that behave differently in training read it.
    """

    training = True

    def __call__(self, *inputs, **options):
        outer = current_call.set(Call(self, current_call.get()))
        try:
            return self.forward(*inputs, **options)
        finally:
            current_call.reset(outer)

    def entries(self):
        """The attributes in order: (name, value), or (name.0, value), (name.1, value), ... for lists and tuples."""
        for name, value in vars(self).items():
            if isinstance(value, (list, tuple)):
                yield from ((f"{name}.{i}", part) for i, part in enumerate(value))
            else:
                yield name, value

    def named_modules(self):
        """This module as ("", module), then every module below it, such as ("cells.0.from_xh", module), in order."""
        yield "", self
        for name, value in self.entries():
            if isinstance(value, Module):
                yield from ((f"{name}.{inner}".rstrip("."), part) for inner, part in value.named_modules())

    def named_tensors(self):
        """Every tensor of this module and those below it, in order: ("cells.0.from_xh.weight", Tensor), ..."""
        for name, value in self.entries():
            if isinstance(value, Tensor):
                yield name, value
            elif isinstance(value, Module):
                yield from ((f"{name}.{inner}", t) for inner, t in value.named_tensors())

    def name_of(self, part):
        """The name of a module below this one; "" for this module itself, None if it is not part of this module."""
        return next((name for name, module in self.named_modules() if module is part), None)

    def __repr__(self):
        """The tree of parts: names, classes, numbers of parameters, and shapes of tensors, "fixed" if not trained."""
        def rows(module, name, indent):
            own = [f"{name} {t.shape}{'' if t.requires_grad else ' fixed'}" for name, t in module.entries()
                   if isinstance(t, Tensor)]
            yield indent + name, type(module).__name__, f"{module.count_parameters():,}", ", ".join(own)
            for inner, part in module.entries():
                if isinstance(part, Module):
                    yield from rows(part, inner, indent + "  ")

        (_, kind, count, own), *parts = rows(self, "", "")
        kinds = ", ".join(sorted({f"{t.dtype} on {t.device}" for _, t in self.named_tensors()}))
        widths = [max(map(len, column)) for column in zip(*parts)]
        lines = [f"{name:{widths[0]}}  {kind:{widths[1]}}  {count:>{widths[2]}}  {own}".rstrip()
                 for name, kind, count, own in parts]
        return "\n".join([", ".join(filter(None, [f"{kind}: {count} parameters", kinds, own])), *lines])

    def parameters(self):
        """The trainable tensors, in a list."""
        return [t for _, t in self.named_tensors() if t.requires_grad]

    def count_parameters(self):
        """How many numbers the trainable tensors have in all."""
        return sum(t.size for t in self.parameters())

    def train(self, training=True):
        """Set `training` for this module and all parts below it. Returns the module."""
        for _, module in self.named_modules():
            module.training = training
        return self

    @contextlib.contextmanager
    def evaluating(self):
        """A context in which `training` is False for this module and all parts below it."""
        training = self.training
        try:
            yield self.train(False)
        finally:
            self.train(training)

    def zero_grad(self):
        """Delete all gradients. Call this before each backward, which adds to them."""
        for t in self.parameters():
            t.grad = None

    def to(self, device=None, dtype=None):
        """Move the tensors to `device` and convert them to `dtype`, in place; None keeps it. Returns the module."""
        for _, t in self.named_tensors():
            data = t.data if dtype is None else t.data.astype(dtype)
            t.data, t.grad = data if device is None else to_device(data, find_device(device)), None
        return self

    @property
    def device(self):
        return next(self.named_tensors())[1].device

    @property
    def dtype(self):
        return next(self.named_tensors())[1].dtype

    def state_dict(self):
        """All tensors as {name: NumPy array}, copies."""
        return {name: np.array(to_numpy(t.data)) for name, t in self.named_tensors()}

    def load_state_dict(self, arrays):
        """Load values from {name: array}, converted to the module's dtype and device.

        If a name is missing or unknown, a shape differs or an array does not hold numbers, CheckpointError is raised
        and nothing is changed.
        """
        self.check_state_dict(arrays)
        tensors = dict(self.named_tensors())
        try:
            values = {name: np.array(arrays[name], dtype=t.dtype) for name, t in tensors.items()}
        except (TypeError, ValueError) as error:
            kinds = ", ".join(f"{name} "
                              f"{arrays[name].dtype}" for name in tensors if arrays[name].dtype.kind not in "fiub")
            raise CheckpointError(f"load_state_dict: expected numbers, got {kinds}") from error
        for name, t in tensors.items():
            t.data = to_device(values[name], t.device)

    def check_state_dict(self, arrays):
        """CheckpointError unless {name: array} has this module's names and shapes. Arrays are not read."""
        tensors = dict(self.named_tensors())
        missing, unknown = sorted(tensors.keys() - arrays.keys()), sorted(arrays.keys() - tensors.keys())
        if missing or unknown:
            raise CheckpointError("load_state_dict: these weights belong to another model: missing "
                                  f"{missing or 'none'}, unknown {unknown or 'none'}")
        for name, t in tensors.items():
            if arrays[name].shape != t.shape:
                raise CheckpointError(f"load_state_dict: {name} has shape {arrays[name].shape}, but {t.shape} in this "
                                      "model: build the model with the options that the weights were trained with")


def parameter(array):
    """A float32 leaf that training changes."""
    layout = current_layout.get()
    return Tensor(np.asarray(array, np.float32) if layout is None else layout.add(np.shape(array)), requires_grad=True)


def fan_in_uniform(rng, shape):
    """Weights (..., fan_in axes, out) uniform in +-1 / sqrt(fan_in): the default of PyTorch and the official code."""
    bound = 1 / math.sqrt(math.prod(shape[:-1]))
    return parameter(rng.uniform(-bound, bound, shape))


def lecun_uniform(rng, shape):
    """Weights (..., fan_in axes, out) uniform in +-sqrt(3 / fan_in), so that their variance is 1 / fan_in: Lasagne's
    HeUniform with gain 1.
    """
    bound = math.sqrt(3 / math.prod(shape[:-1]))
    return parameter(rng.uniform(-bound, bound, shape))


def glorot_uniform(rng, shape):
    """Weights (..., in, out) uniform in +-sqrt(6 / (fan_in + fan_out)): the default of TensorFlow."""
    bound = math.sqrt(6 / (math.prod(shape[:-2]) * sum(shape[-2:])))
    return parameter(rng.uniform(-bound, bound, shape))


def zeros(*shape):
    """A parameter that starts at 0."""
    return parameter(np.zeros(shape) if current_layout.get() is None else hollow(shape))
