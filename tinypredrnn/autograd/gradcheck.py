"""Gradient checking: is what backward computes the derivative of what forward computes?

With a random cotangent u and a random unit direction v over all inputs together, the number

    (u . f(x + eps v) - u . f(x - eps v)) / (2 eps)

must equal the sum over inputs of gradient . v. One such number sees every element of every rule. u must be random: a sum (u = 1) is
blind to softmax and to normalisation, whose outputs always sum to the same.
"""

import numpy as np

from tinypredrnn.autograd.tensor import Tensor
from tinypredrnn.errors import GradientError

EPS, RTOL, ATOL = 1e-5, 1e-6, 1e-9


def gradcheck(function, *arrays, parameters=(), seeds=(0, 1, 2)):
    """Check the gradients of `function(*tensors)` by central differences in float64; returns True.

    arrays      the inputs; they are used in the memory layout in which they come, and are never changed
    parameters  further leaf Tensors (float64) that the function uses, such as `model.parameters()`
    function    returns a Tensor, or a tuple of them

    Raises GradientError that names the first wrong index; also for a check that could not fail because the derivative is about zero,
    for a gradient of the wrong shape or dtype, and for a function that changes its inputs.
    """
    leaves = [Tensor(np.asarray(a, np.float64), requires_grad=True) for a in arrays]
    before = [leaf.data.copy() for leaf in leaves]
    parameters = list(parameters)
    for seed in seeds:
        rng = np.random.default_rng([seed, 2017])  # not default_rng(seed): a caller may have drawn the inputs from that
        Check(function, leaves, parameters, rng).run()
        for i, (leaf, old) in enumerate(zip(leaves, before)):
            if not np.array_equal(leaf.data, old, equal_nan=True):
                raise GradientError(f"gradcheck: the function changed input {i}: work on a copy of it")
    return True


class Check:
    """One random cotangent and one random direction."""

    def __init__(self, function, inputs, parameters, rng):
        self.function, self.inputs, self.leaves = function, inputs, [*inputs, *parameters]
        for leaf in self.leaves:
            leaf.grad = None
        self.cotangents = [rng.standard_normal(y.shape) for y in self.outputs()]
        directions = [rng.standard_normal(leaf.shape) for leaf in self.leaves]
        norm = np.sqrt(sum((v * v).sum() for v in directions))
        self.directions = [v / norm for v in directions]

    def outputs(self):
        y = self.function(*self.inputs)
        return y if isinstance(y, tuple) else (y,)

    def run(self):
        total = sum((y * u).sum() for y, u in zip(self.outputs(), self.cotangents))
        total.backward()
        for i, leaf in enumerate(self.leaves):
            if leaf.grad is not None and (leaf.grad.shape, leaf.grad.dtype) != (leaf.shape, leaf.dtype):
                raise GradientError(f"gradcheck: {self.name(i)} is {leaf.dtype} {leaf.shape}, "
                                    f"its gradient {leaf.grad.dtype} {leaf.grad.shape}")
        gradients = [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad for leaf in self.leaves]
        found = sum((g * v).sum() for g, v in zip(gradients, self.directions))
        expected = self.difference(self.directions)
        if not np.isfinite(expected) or abs(expected) <= 10 * ATOL:
            raise GradientError(f"gradcheck: the numeric derivative is {expected:.3g}, so this check could not fail: "
                                "choose inputs on which the function depends")
        if not agree(found, expected):
            raise GradientError(f"gradcheck: {self.first_wrong_index(gradients)} (along a random direction: "
                                f"backward {found:.10g}, numeric {expected:.10g})")

    def difference(self, directions):
        """The numeric derivative of u . f along the directions; None stands for zeros."""
        values = [leaf.data for leaf in self.leaves]
        ends = []
        try:
            for step in (EPS, -EPS):
                for leaf, value, v in zip(self.leaves, values, directions):
                    leaf.data = value if v is None else value + step * v
                ends.append([y.data for y in self.outputs()])
        finally:
            for leaf, value in zip(self.leaves, values):
                leaf.data = value
        return sum((u * (after - before)).sum() for u, after, before in zip(self.cotangents, *ends)) / (2 * EPS)

    def first_wrong_index(self, gradients):
        for i, (leaf, gradient) in enumerate(zip(self.leaves, gradients)):
            for index in np.ndindex(leaf.shape):
                directions = [None] * len(self.leaves)
                directions[i] = np.zeros(leaf.shape)
                directions[i][index] = 1
                expected = self.difference(directions)
                if not agree(gradient[index], expected):
                    return f"{self.name(i)} at index {index}: backward {gradient[index]:.10g}, numeric {expected:.10g}"
        return "wrong in sum, though no single element is"

    def name(self, i):
        return f"input {i}" if i < len(self.inputs) else f"parameter {i - len(self.inputs)}"


def agree(found, expected):
    return abs(found - expected) <= ATOL + RTOL * abs(expected)
