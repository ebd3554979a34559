"""Gradient checking: is what backward computes the derivative of what forward computes?

With a random cotangent u and a random unit direction v over all inputs together, the number

    (u . f(x + eps v) - u . f(x - eps v)) / (2 eps)

must equal the sum over inputs of gradient . v. This one number depends on every element of every gradient. u must be
random: with u = 1, a check of softmax or of normalisation could not fail, since their outputs always have the same sum.

One number for all inputs would not show a small gradient beside a large one. So v is scaled until every input
contributes about as much as any other. Elements whose gradient is zero according to backward contribute nothing at any
scale, so they get a direction of their own.

The numeric derivative has an error, too: rounding moves f by some ulps, more in some algorithms and on some
processors than in others, and the difference divides that by eps. If the two numbers disagree, a derivative with a
known error decides: the slope of a polynomial fitted to 16 values, on a range that grows until their scatter around it
no longer matters. If it always matters, the check says that it cannot tell.
"""

import numpy as np

from tinypredrnn.autograd.tensor import Tensor
from tinypredrnn.errors import Error, GradientError

EPS, RTOL, ATOL = 1e-5, 1e-6, 1e-9
FLAT = 10 * ATOL  # a derivative up to this counts as zero


def gradcheck(function, *arrays, parameters=(), seeds=(0, 1, 2)):
    """Check the gradients of `function(*tensors)` by central differences in float64; returns True.

    arrays      the inputs; they are used in the memory layout that they have, and are never changed
    parameters  further leaf Tensors (float64) that the function uses, such as `model.parameters()`
    function    returns a Tensor, or a tuple of them

    Each input and each parameter is judged by itself. If the function does not depend on one of them, the gradient of
    that one is zero or None.

    Raises GradientError, which names the first wrong index; also for a check that could not fail because the derivative
    with respect to all inputs is about zero, for one that cannot tell because the function's rounding errors are too
    large, for a gradient of the wrong shape or dtype, for a function that changes its inputs, and for a rule that
    changes its cotangent.
    """
    leaves = [Tensor(np.asarray(a, np.float64), requires_grad=True) for a in arrays]
    before = [leaf.data.copy() for leaf in leaves]
    parameters = list(parameters)
    for seed in seeds:
        rng = np.random.default_rng([seed, 2017])  # not default_rng(seed), which may have drawn the inputs
        Check(function, leaves, parameters, rng).run()
        for i, (leaf, old) in enumerate(zip(leaves, before)):
            if not np.array_equal(leaf.data, old, equal_nan=True):
                raise GradientError(f"gradcheck: the function changed input {i}: work on a copy of it")
    return True


class Check:
    """One random cotangent, what backward makes of it, and one random direction."""

    def __init__(self, function, inputs, parameters, rng):
        self.function, self.inputs, self.leaves = function, inputs, [*inputs, *parameters]
        for leaf in self.leaves:
            leaf.grad = None
        outputs = self.outputs()
        self.values = [y.data for y in outputs]
        self.cotangents = [random_weights(y.shape, rng) for y in outputs]
        self.directions = [random_weights(leaf.shape, rng) for leaf in self.leaves]
        others = [Tensor(np.zeros(y.shape), requires_grad=True) for y in outputs]  # which get the same cotangents
        sum(((y + other) * u).sum() for y, other, u in zip(outputs, others, self.cotangents)).backward()
        for i, leaf in enumerate(self.leaves):
            if leaf.grad is not None and (leaf.grad.shape, leaf.grad.dtype) != (leaf.shape, leaf.dtype):
                raise GradientError(f"gradcheck: {self.name(i)} is {leaf.dtype} {leaf.shape}, "
                                    f"its gradient {leaf.grad.dtype} {leaf.grad.shape}")
        for y, other, u in zip(outputs, others, self.cotangents):
            if not np.array_equal(other.grad, u):
                raise GradientError(f"gradcheck: a rule of {y.node.op.name} changed its cotangent in place, which "
                                    "others read as well: make a new array")
        self.gradients = [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad for leaf in self.leaves]

    def outputs(self):
        y = self.function(*self.inputs)
        return y if isinstance(y, tuple) else (y,)

    def run(self):
        flat = [v * (abs(g) <= FLAT) for v, g in zip(self.directions, self.gradients)]
        steep = [balanced(v - level, g * (level == 0)) for v, level, g in zip(self.directions, flat, self.gradients)]
        for directions in steep, flat:
            if norm := norm_of(directions):
                self.compare([v / norm for v in directions])
        if not norm_of(steep):
            raise GradientError("gradcheck: the derivative with respect to every input is zero, so this check could "
                                "not fail: choose inputs on which the function depends")

    def compare(self, directions):
        """All inputs together; in case of doubt, each of them by itself."""
        verdict, _, expected, _ = self.verdict(directions, inputs=sum(v.any() for v in directions))
        if not np.isfinite(expected):
            raise GradientError(f"gradcheck: the numeric derivative is {expected:.3g}, so this check could not fail: "
                                "choose inputs at which the function is smooth")
        if verdict == "right":
            return
        for i in range(len(self.leaves)):
            alone = [v if k == i else np.zeros(v.shape) for k, v in enumerate(directions)]
            if norm := norm_of(alone):
                verdict, found, expected, error = self.verdict([v / norm for v in alone])
                numbers = f"along a random direction: backward {found:.10g}, numeric {expected:.10g}"
                if verdict == "wrong":
                    raise GradientError(f"gradcheck: {self.first_wrong_index(i)} ({numbers})")
                if verdict == "cannot tell":
                    raise GradientError(f"gradcheck: cannot tell whether the gradient of {self.name(i)} is right "
                                        f"({numbers}, which may be off by {error:.2g}): the function rounds too much, "
                                        "or is not smooth: choose other inputs")

    def first_wrong_index(self, i):
        for index in np.ndindex(self.leaves[i].shape):
            directions = [np.zeros(leaf.shape) for leaf in self.leaves]
            directions[i][index] = 1
            verdict, found, expected, _ = self.verdict(directions)
            if verdict == "wrong":
                return f"{self.name(i)} at index {index}: backward {found:.10g}, numeric {expected:.10g}"
        return f"{self.name(i)} is wrong in sum, though no single element is"

    def verdict(self, directions, inputs=1):
        """("right", "wrong" or "cannot tell"; the derivative by backward; the numeric one; how far off that may be).

        If several inputs are checked together, a single one of them may cause the whole disagreement: it must be small
        compared with that input's share.
        """
        found, expected, error = self.analytic(directions), self.difference(directions), 0.0
        if not abs(found - expected) <= tolerance(expected / inputs):
            expected, error = self.numeric(directions)
        allowed = tolerance(expected / inputs)
        if not abs(found - expected) <= allowed + error:
            return "wrong", found, expected, error
        return "right" if error <= allowed else "cannot tell", found, expected, error

    def analytic(self, directions):
        """The derivative of u . f along the directions, by backward."""
        with np.errstate(invalid="ignore"):  # from infinite gradients
            return sum((g * v)[v != 0].sum() for g, v in zip(self.gradients, directions))

    # numeric derivatives

    def rise(self, step, directions):
        """u . f(x + step v) - u . f(x)"""
        values = [leaf.data for leaf in self.leaves]
        try:
            for leaf, value, v in zip(self.leaves, values, directions):
                leaf.data = value + step * v
            return sum((u * (y.data - old)).sum() for u, y, old in zip(self.cotangents, self.outputs(), self.values))
        finally:
            for leaf, value in zip(self.leaves, values):
                leaf.data = value

    def difference(self, directions):
        return (self.rise(EPS, directions) - self.rise(-EPS, directions)) / (2 * EPS)

    def numeric(self, directions):
        """The derivative of u . f along the directions, and how far off it may be.

        The slope at 0 of a polynomial fitted to the values at STEPS has a standard error, which follows from the
        scatter of the values around the polynomial. It falls as the range grows, until the polynomial no longer
        describes the function: the best range is taken. Twenty standard errors also cover a kink within the range,
        which moves the slope by up to 17 of them.
        """
        # at least the rounding of the values themselves: values that are rounded to the same number do not scatter
        rounding = 2.0**-53 * norm_of([u * y for u, y in zip(self.cotangents, self.values)])
        best = self.difference(directions), np.inf
        for reach in RANGES:
            slope, error = self.slope(reach, directions, rounding)
            if not np.isfinite(slope) or abs(slope - best[0]) > error + best[1]:
                break  # the range has a kink, or points at which the function is not defined
            best = min(best, (slope, error), key=lambda found: found[1])
            if best[1] <= tolerance(best[0]):
                break
        return best

    def slope(self, reach, directions, rounding):
        """The polynomial's slope on the range from -reach to reach, and twenty standard errors of it."""
        try:
            with np.errstate(all="ignore"):
                rises = np.array([self.rise(reach * step, directions) for step in STEPS])
                coefficients = POLYNOMIAL @ rises
                scatter = np.linalg.norm(rises - POWERS @ coefficients) / np.sqrt(len(STEPS) - len(coefficients))
        except (Error, ValueError, ArithmeticError):  # the function may be undefined so far from the inputs
            return np.nan, np.inf
        return coefficients[1] / reach, 20 * max(scatter, rounding) * np.linalg.norm(POLYNOMIAL[1]) / reach

    def name(self, i):
        return f"input {i}" if i < len(self.inputs) else f"parameter {i - len(self.inputs)}"


# the polynomial of degree 5 that fits the values at 16 steps from -1 to 1

STEPS = np.array([*range(-8, 0), *range(1, 9)]) / 8
POWERS = np.vander(STEPS, 6, increasing=True)
POLYNOMIAL = np.linalg.pinv(POWERS)  # from values to coefficients
RANGES = EPS * 8.0 ** np.arange(1, 6)  # up to .33


def random_weights(shape, rng):
    """Random numbers of either sign. None is close to zero, since a small weight could hide a wrong element."""
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def balanced(v, gradient):
    """The direction v of one input, turned and scaled to contribute at least 1 to the derivative and seldom more than
    4, so that no input outweighs the others and no two of them cancel."""
    size = norm_of([gradient])
    if not np.isfinite(size) or not size:
        return v
    return (v * (-1 if (gradient * v).sum() < 0 else 1) + gradient / size) / size


def norm_of(arrays):
    return np.sqrt(sum((a * a).sum() for a in arrays))


def tolerance(expected):
    return ATOL + RTOL * abs(expected)

