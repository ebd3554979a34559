"""Optimisers: from gradients to better parameters."""

import numpy as np

from tinypredrnn.backend import array_module, to_device, to_numpy
from tinypredrnn.errors import CheckpointError, ConfigError


class Adam:
    """Adam (Kingma and Ba 2015, Algorithm 1): steps of about `rate` for each number, whatever the scale of its gradient.

        m <- beta1 m + (1 - beta1) g           v <- beta2 v + (1 - beta2) g^2
        p <- p - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    parameters   leaf Tensors; one without a gradient is passed over
    m, v, t      the moments, an array for each parameter, and the number of steps so far
    """

    def __init__(self, parameters, rate=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.parameters, self.rate, self.betas, self.eps = list(parameters), rate, betas, eps
        self.m = [array_module(p.data).zeros_like(p.data) for p in self.parameters]
        self.v = [array_module(p.data).zeros_like(p.data) for p in self.parameters]
        self.t = 0

    def step(self, rate=None):
        """Change every parameter by its gradient; `rate` replaces the optimiser's for this step."""
        rate = self.rate if rate is None else rate
        beta1, beta2 = self.betas
        self.t += 1
        step, unbias = self.factors(rate, self.t)
        for p, m, v in zip(self.parameters, self.m, self.v):
            if p.grad is None:
                continue
            m *= beta1
            m += (1 - beta1) * p.grad
            v *= beta2
            v += (1 - beta2) * p.grad * p.grad
            p.data -= step * m / (array_module(v).sqrt(v) * unbias + self.eps)

    def factors(self, rate, t):
        """(rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t)): what differs from one step to the next, apart from the gradient."""
        beta1, beta2 = self.betas
        return rate / (1 - beta1 ** t), (1 - beta2 ** t) ** -0.5

    def state_dict(self):
        """{"t": ..., "m.0": ..., "v.0": ..., ...} as NumPy arrays, copies."""
        moments = {f"{name}.{i}": np.array(to_numpy(a)) for name in "mv" for i, a in enumerate(getattr(self, name))}
        return {"t": np.array(self.t), **moments}

    def load_state_dict(self, arrays):
        """Take over what state_dict gave; CheckpointError where it belongs to other parameters, and nothing has changed then."""
        shapes = {f"{name}.{i}": p.shape for name in "mv" for i, p in enumerate(self.parameters)} | {"t": ()}
        if {name: a.shape for name, a in arrays.items()} != shapes or arrays["t"].dtype.kind not in "iu" or arrays["t"] < 0:
            raise CheckpointError("Adam: these moments belong to other parameters: use a checkpoint of this very model")
        m, v = ([to_device(np.array(arrays[f"{name}.{i}"], p.dtype), p.device) for i, p in enumerate(self.parameters)] for name in "mv")
        self.m, self.v, self.t = m, v, int(arrays["t"])


def clip_gradients(parameters, norm):
    """Scale all gradients so that together they have at most Euclidean length `norm`, above 0; returns the length that they had."""
    if not norm > 0:
        raise ConfigError(f"clip_gradients: a gradient of length {norm} would change nothing: give a length above 0, or do not clip")
    gradients = [p.grad for p in parameters if p.grad is not None]
    length = float(sum((g * g).sum() for g in gradients)) ** 0.5
    if length > norm:
        for g in gradients:
            g *= norm / length
    return length
