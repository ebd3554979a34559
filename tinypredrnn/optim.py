"""Optimisers: they change parameters by their gradients."""

import abc

import numpy as np

from tinypredrnn.autograd import Tensor, clip, fuse, sqrt, where
from tinypredrnn.backend import array_module, to_device, to_numpy
from tinypredrnn.errors import CheckpointError, ConfigError


class Optimiser(abc.ABC):
    """What all optimisers share: a loop over the parameters, a step count, and a state that checkpoints keep.

    An optimiser defines `move`, and, if it needs them, the other two methods:

        move(i, *factors)    change parameter i and the arrays kept for it, in place
        slots(p)             a static method: the names of the arrays, of p's shape, that are kept for a parameter p
        factors(rate, t)     the numbers that a parameter's t-th step needs besides its gradient

    parameters   leaf Tensors; one without a gradient is skipped
    rate         the learning rate, unless `step` is given another
    kept         for each parameter, {slot: array}, zero at first
    t            the number of steps so far
    skipped      for each parameter, the number of steps without a gradient: its own t is t - skipped
    capturable   a class attribute: whether a step can be recorded as a CUDA graph. Then `move` only launches kernels of
                 our own, waits for no value, and takes two more arguments:
                     scale     a factor for the gradient, in order to clip it
                     finite    0: nothing changes
                 These and the factors may be 0-dimensional arrays on the GPU

    Raises ConfigError if a parameter cannot be changed or can never have its own gradient.
    """

    capturable = False

    def __init__(self, parameters, rate):
        self.parameters, self.rate, name = list(parameters), rate, type(self).__name__
        for i, p in enumerate(self.parameters):
            if not isinstance(p, Tensor) or p.node:
                made = f", made by {p.node.op.name}" if isinstance(p, Tensor) else ""
                raise ConfigError(f"{name}: expected leaf tensors, got {type(p).__name__}{made} as parameter {i}: give "
                                  "those made with tensor(..., requires_grad=True)")
            if isinstance(p.data, np.ndarray) and not p.data.flags.writeable:
                raise ConfigError(f"{name}: the memory of parameter {i}, of shape {p.shape}, is read-only: make the "
                                  "tensor of a copy of its array")
        self.kept = [{slot: array_module(p.data).zeros_like(p.data) for slot in self.slots(p)} for p in self.parameters]
        self.t, self.skipped = 0, [0] * len(self.parameters)

    @staticmethod
    def slots(p):
        """The names of the arrays that are kept for parameter p; none by default."""
        return ()

    def factors(self, rate, t):
        """A tuple of numbers; by default only the learning rate. t counts from 1."""
        return rate,

    @abc.abstractmethod
    def move(self, i, *factors):
        """Change parameter i by its gradient and by what `factors` returned."""

    def step(self, rate=None):
        """Change every parameter by its gradient; `rate` replaces the optimiser's own rate for this step."""
        self.count_step()
        for i, p in enumerate(self.parameters):
            if p.grad is not None:
                self.move(i, *self.factors(self.rate if rate is None else rate, self.t - self.skipped[i]))

    def count_step(self):
        """Count a step, and the parameters that it skips because they have no gradient."""
        self.t += 1
        self.skipped = [skipped + (p.grad is None) for skipped, p in zip(self.skipped, self.parameters)]

    def arrays(self):
        """All arrays that a step changes."""
        return [p.data for p in self.parameters] + [array for kept in self.kept for array in kept.values()]

    def state_dict(self):
        """Copies as NumPy arrays: {"t": ..., "m.0": ..., "v.0": ..., ...}. t is one number, or an array of each
        parameter's own if they differ.
        """
        t = self.t - np.array(self.skipped) if any(self.skipped) else np.array(self.t)
        return {"t": t} | {f"{slot}.{i}": np.array(to_numpy(array)) for i, kept in enumerate(self.kept)
                           for slot, array in kept.items()}

    def load_state_dict(self, arrays):
        """Load what state_dict returned. CheckpointError, with nothing changed, if it belongs to other parameters."""
        shapes = {f"{slot}.{i}": array.shape for i, kept in enumerate(self.kept) for slot, array in kept.items()}
        t, found = arrays.get("t", np.array(-1)), {name: a.shape for name, a in arrays.items() if name != "t"}
        if found != shapes or t.shape not in ((), (len(self.parameters),)) or t.dtype.kind not in "iu" or (t < 0).any():
            raise CheckpointError(f"{type(self).__name__}: this state belongs to other parameters or to another "
                                  "optimiser: use a checkpoint of this model")
        self.kept = [{slot: to_device(np.array(arrays[f"{slot}.{i}"], p.dtype), p.device) for slot in kept}
                     for i, (p, kept) in enumerate(zip(self.parameters, self.kept))]
        self.t = int(t.max())
        self.skipped = [self.t - int(own) for own in np.broadcast_to(t, len(self.parameters))]


class FusedOptimiser(Optimiser):
    """An optimiser whose step for one parameter is one kernel on every device, fused from elementwise maths:

        rule(p, *kept, g, *factors, scale, finite) -> the new (p, *kept)

    `scale` and `finite` are those of a capturable optimiser.
    """

    capturable = True

    def __init__(self, parameters, rate, rule):
        super().__init__(parameters, rate)
        self.rule = rule

    def move(self, i, *factors, scale=1.0, finite=1.0):
        p, kept = self.parameters[i], self.kept[i].values()
        self.rule.kernels[0](p.data, *kept, p.grad, *factors, scale, finite, into=[p.data, *kept])


def adam_rule(beta1, beta2, eps):
    """A step of Adam for one parameter: returns the new (p, m, v)."""
    @fuse
    def adam(p, m, v, g, step, bias_correction, scale, finite):
        g = g * scale
        m_next = beta1 * m + (1 - beta1) * g
        v_next = beta2 * v + (1 - beta2) * g * g
        p_next = p - step * m_next / (sqrt(v_next) * bias_correction + eps)
        return where(finite, p_next, p), where(finite, m_next, m), where(finite, v_next, v)

    return adam


class Adam(FusedOptimiser):
    """Adam (Kingma and Ba 2015, Algorithm 1): each number moves by about `rate` per step, for any scale of its
    gradient.

        m <- beta1 m + (1 - beta1) g           v <- beta2 v + (1 - beta2) g^2
        p <- p - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    It keeps the moments m and v of each parameter. Raises ConfigError if a beta is outside of [0, 1).
    """

    def __init__(self, parameters, rate=1e-3, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(parameters, rate, adam_rule(*betas, eps))
        if not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(f"Adam: betas must be in [0, 1), got {betas}")
        self.betas = betas

    @staticmethod
    def slots(p):
        return "m", "v"

    def factors(self, rate, t):
        """(rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t))"""
        beta1, beta2 = self.betas
        return rate / (1 - beta1 ** t), (1 - beta2 ** t) ** -0.5


class AdamHalf(Adam):
    """Adam with beta1 = 1/2, as adversarial networks are usually trained (Radford et al. 2016): each changes what the
    other one follows, so that old gradients are soon wrong.
    """

    def __init__(self, parameters, rate=1e-4):
        super().__init__(parameters, rate, betas=(0.5, 0.999))


class Muon(Adam):
    """Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"): a kernel moves by its
    momentum made orthogonal, so that it learns in rare directions as fast as in frequent ones.

        M <- mu M + (1 - mu) G           U = mu M + (1 - mu) G           (Nesterov's momentum)
        W <- W - rate 0.2 sqrt(max(rows, columns)) orthogonal(U)

    W is a kernel as a matrix: the weights (kh,kw,C,K) of a convolution as (kh kw C, K), those of a Linear as they are.
    All other parameters, such as biases and peepholes, move by Adam's rule. With the factor 0.2 sqrt(max(rows,
    columns)) each number moves by about as much as with Adam (Liu et al. 2025, arXiv:2502.16982), so that one learning
    rate is good for both.
    """

    capturable = False  # it multiplies matrices by cuBLAS, which cannot be captured

    def __init__(self, parameters, rate=1e-3, momentum=0.95):
        super().__init__(parameters, rate)
        if not 0 <= momentum < 1:
            raise ConfigError(f"Muon: the momentum must be in [0, 1), got {momentum}")
        self.momentum = momentum

    @staticmethod
    def slots(p):
        return ("m",) if is_kernel(p) else Adam.slots(p)

    def factors(self, rate, t):
        return rate, *super().factors(rate, t)

    def move(self, i, rate, *adams):
        p, mu = self.parameters[i], self.momentum
        if not is_kernel(p):
            return super().move(i, *adams)
        g, m = p.grad, self.kept[i]["m"]
        m += (1 - mu) * (g - m)
        matrix = (g + mu * (m - g)).reshape(-1, p.shape[-1])
        p.data -= (rate * 0.2 * max(matrix.shape) ** 0.5 * orthogonal(matrix)).reshape(p.shape)


def is_kernel(p):
    """Whether a parameter multiplies channels: the weights of a Linear (C,K) or of a convolution (kh,kw,C,K)."""
    return p.ndim in (2, 4)


def orthogonal(matrix):
    """A matrix with the same singular vectors, and with singular values of about 1 (0.7 to 1.2), unless they are tiny.

    Newton-Schulz iterations apply an odd polynomial to all singular values at once, with products of matrices only. The
    coefficients are Jordan's: after five iterations, values that differed by a factor of 100 are nearly equal.
    """
    xp, wide = array_module(matrix), matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / xp.maximum(abs(x).max(), np.finfo(x.dtype).tiny)  # first, so that no square is too large or too small
    x = x / xp.maximum(xp.sqrt((x * x).sum()), 1)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if wide else x.T


def rmsprop_rule(decay, eps):
    """A step of RMSProp for one parameter: returns the new (p, v)."""
    @fuse
    def rmsprop(p, v, g, rate, scale, finite):
        g = g * scale
        v_next = decay * v + (1 - decay) * g * g
        return where(finite, p - rate * g / (sqrt(v_next) + eps), p), where(finite, v_next, v)

    return rmsprop


class RMSProp(FusedOptimiser):
    """RMSProp (Tieleman and Hinton 2012, Coursera, lecture 6e): each number moves by its gradient divided by the
    gradient's recent size. The optimiser of FC-LSTM and ConvLSTM (Shi et al. 2015) and of VPN.

        v <- decay v + (1 - decay) g^2           p <- p - rate g / (sqrt(v) + eps)

    The lecture has decay 0.9 and no eps; eps stands outside of the root, as in PyTorch. Raises ConfigError if decay is
    outside of [0, 1).
    """

    def __init__(self, parameters, rate=1e-3, decay=0.9, eps=1e-8):
        super().__init__(parameters, rate, rmsprop_rule(decay, eps))
        if not 0 <= decay < 1:
            raise ConfigError(f"RMSProp: decay must be in [0, 1), got {decay}")

    @staticmethod
    def slots(p):
        return "v",


def clamped_momentum_rule(momentum, most):
    """A step of ClampedMomentum for one parameter: returns the new (p, v)."""
    @fuse
    def clamped_momentum(p, v, g, rate, decay, scale, finite):
        v_next = clip(momentum * v - rate * scale * g - decay * p, -most, most)
        return where(finite, p + v_next, p), where(finite, v_next, v)

    return clamped_momentum


class ClampedMomentum(FusedOptimiser):
    """Gradient descent with momentum in which no number moves by more than `most` per step: FC-LSTM's (authors' code of
    Srivastava et al. 2015).

        v <- momentum v - rate g - decay p, each number clipped to [-most, most]           p <- p + v

    Biases, the parameters with one axis, do not decay. The authors sum their loss over 80 sequences of 10 frames of
    4096 pixels; for our means, their rate of 1e-4 is 328. The limit then binds nearly always, and a step is little more
    than the gradient's signs. Their decay is rate times 1e-4. Raises ConfigError if the momentum is outside of [0, 1),
    or if `most` is not above 0.
    """

    def __init__(self, parameters, rate=328.0, momentum=0.9, decay=1e-8, most=1e-4):
        super().__init__(parameters, rate, clamped_momentum_rule(momentum, most))
        if not 0 <= momentum < 1 or not most > 0:
            raise ConfigError("ClampedMomentum: the momentum must be in [0, 1) and the limit of a step above 0, got "
                              f"{momentum} and {most}")
        self.decay = decay

    @staticmethod
    def slots(p):
        return "v",

    def move(self, i, rate, **guards):
        super().move(i, rate, self.decay if self.parameters[i].ndim > 1 else 0.0, **guards)


# Optimisers by name, as a recipe names them. An Optimiser from outside the package becomes one by an entry here.
OPTIMISERS = {"adam": Adam, "adam_half": AdamHalf, "muon": Muon, "rmsprop": RMSProp, "clamped": ClampedMomentum}


def clip_gradients(parameters, norm):
    """Scale all gradients together so that their Euclidean norm is at most `norm`. Returns the norm before scaling.

    ConfigError if `norm` is not above 0.
    """
    if not norm > 0:
        raise ConfigError(f"clip_gradients: a gradient of norm {norm} would change nothing: give a norm above 0, or do "
                          "not clip")
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm_before = float(sum((g * g).sum() for g in gradients)) ** 0.5
    if norm_before > norm:
        for g in gradients:
            g *= norm / norm_before
    return norm_before
