"""Optimisers: they change parameters by their gradients."""

import numpy as np

from tinypredrnn.autograd import Tensor, fuse, sqrt, where
from tinypredrnn.backend import array_module, to_device, to_numpy
from tinypredrnn.errors import CheckpointError, ConfigError


def adam_rule(beta1, beta2, eps):
    """A step of Adam for one parameter, fused to one kernel on every device: returns the new (p, m, v)."""
    @fuse
    def adam(p, m, v, g, step, unbias, scale, fine):
        g = g * scale
        m_next = beta1 * m + (1 - beta1) * g
        v_next = beta2 * v + (1 - beta2) * g * g
        p_next = p - step * m_next / (sqrt(v_next) * unbias + eps)
        return where(fine, p_next, p), where(fine, m_next, m), where(fine, v_next, v)

    return adam


class Adam:
    """Adam (Kingma and Ba 2015, Algorithm 1): each number moves by about `rate` per step, for any scale of its
    gradient.

        m <- beta1 m + (1 - beta1) g           v <- beta2 v + (1 - beta2) g^2
        p <- p - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    parameters   leaf Tensors; one without a gradient is skipped
    m, v, t      the moments, an array for each parameter, and the number of steps so far
    skipped      for each parameter, the number of steps without a gradient: its own t is t - skipped

    Raises ConfigError if a parameter cannot be changed or can never have its own gradient, or if a beta is outside of
    [0, 1).
    """

    capturable = True  # a step can be recorded as a CUDA graph: `factors` and `update` ask the GPU for nothing

    def __init__(self, parameters, rate=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.parameters, self.rate, self.betas, self.eps = list(parameters), rate, betas, eps
        for i, p in enumerate(self.parameters):
            if not isinstance(p, Tensor) or p.node:
                made = f", made by {p.node.op.name}" if isinstance(p, Tensor) else ""
                raise ConfigError(f"Adam: expected leaf tensors, got {type(p).__name__}{made} as parameter {i}: give "
                                  "those made with tensor(..., requires_grad=True)")
            if isinstance(p.data, np.ndarray) and not p.data.flags.writeable:
                raise ConfigError(f"Adam: the memory of parameter {i}, of shape {p.shape}, is read-only: make the "
                                  "tensor of a copy of its array")
        if not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(f"Adam: betas must be in [0, 1), got {betas}")
        self.m = [array_module(p.data).zeros_like(p.data) for p in self.parameters]
        self.v = [array_module(p.data).zeros_like(p.data) for p in self.parameters]
        self.t, self.skipped = 0, [0] * len(self.parameters)
        self.rule = adam_rule(*betas, eps)

    def step(self, rate=None):
        """Change every parameter by its gradient; `rate` replaces the optimiser's own rate for this step."""
        self.t += 1
        for i, p in enumerate(self.parameters):
            if p.grad is None:
                self.skipped[i] += 1
            else:
                self.move(i, *self.factors(self.rate if rate is None else rate, self.t - self.skipped[i]))

    def update(self, step, unbias, scale=1.0, fine=1.0):
        """Change parameters and moments in place, with one kernel for each parameter that has a gradient.

        step, unbias   as returned by `factors`
        scale          factor for the gradients, in order to clip them
        fine           0: nothing changes

        Each may be a number or a 0-dimensional array on a GPU, so that nobody has to wait for its value.
        """
        for i, p in enumerate(self.parameters):
            if p.grad is not None:
                self.move(i, step, unbias, scale, fine)

    def move(self, i, step, unbias, scale=1.0, fine=1.0):
        """`update` for parameter i only."""
        p, m, v = self.parameters[i], self.m[i], self.v[i]
        self.rule.kernels[0](p.data, m, v, p.grad, step, unbias, scale, fine, into=[p.data, m, v])

    def factors(self, rate, t):
        """(rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t)): what changes from step to step besides gradients."""
        beta1, beta2 = self.betas
        return rate / (1 - beta1 ** t), (1 - beta2 ** t) ** -0.5

    def state_dict(self):
        """Copies as NumPy arrays: {"t": ..., "m.0": ..., "v.0": ..., ...}. t is one number, or an array of each
        parameter's own if they differ.
        """
        moments = {f"{name}.{i}": np.array(to_numpy(a)) for name in "mv" for i, a in enumerate(getattr(self, name))}
        return {"t": self.t - np.array(self.skipped) if any(self.skipped) else np.array(self.t), **moments}

    def load_state_dict(self, arrays):
        """Load what state_dict returned. CheckpointError, with nothing changed, if it belongs to other parameters."""
        shapes = {f"{name}.{i}": p.shape for name in "mv" for i, p in enumerate(self.parameters)}
        t, found = arrays.get("t", np.array(-1)), {name: a.shape for name, a in arrays.items() if name != "t"}
        if found != shapes or t.shape not in ((), (len(self.parameters),)) or t.dtype.kind not in "iu" or (t < 0).any():
            raise CheckpointError("Adam: these moments belong to other parameters: use a checkpoint of this model")
        m, v = ([to_device(np.array(arrays[f"{name}.{i}"], p.dtype), p.device) for i, p in enumerate(self.parameters)]
                for name in "mv")
        self.m, self.v, self.t = m, v, int(t.max())
        self.skipped = [self.t - int(own) for own in np.broadcast_to(t, len(self.parameters))]


# Optimisers by name, as a recipe names them: made of (parameters, rate), with step(rate), state_dict() and load_state_dict(arrays)
OPTIMISERS = {"adam": Adam}


def clip_gradients(parameters, norm):
    """Scale all gradients together so that their Euclidean norm is at most `norm`. Returns the norm before scaling.

    ConfigError if `norm` is not above 0.
    """
    if not norm > 0:
        raise ConfigError(f"clip_gradients: a gradient of norm {norm} would change nothing: give a norm above 0, or do "
                          "not clip")
    gradients = [p.grad for p in parameters if p.grad is not None]
    length = float(sum((g * g).sum() for g in gradients)) ** 0.5
    if length > norm:
        for g in gradients:
            g *= norm / length
    return length
