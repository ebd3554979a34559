# %% [markdown]
# # 4. Trust
#
# - **Idea:** compare the gradient with a nudge; then make sure that the comparison could have failed.
# - **Minutes:** 50
# - **Needs:** lesson 3.
# - **You will see:** a network that learns with a wrong derivative; a check that accepts a rule that returns nothing
#   but zeros; and a check that rejects all of eight broken rules.
# - **Why:** a wrong gradient does not crash. The network just trains a little worse, and you may spend a month
#   searching the data for the cause.
#
# Here is the engine of lesson 3, shortened. Three ops at the end are new: ReLU, softmax, and an op from the paper,
# which decides how much of a memory is kept and what is written into it (PredRNN, Equation 4; lesson 11 explains it).
# They are here to be checked.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinypredrnn.course import check, show


class Tensor:
    """An array that remembers how it was made."""

    __array_ufunc__ = None

    def __init__(self, data, node=None):
        self.data, self.node, self.grad = data, node, None


class Node:
    def __init__(self, op, parents, arrays):
        self.op, self.parents, self.arrays = op, parents, arrays


class Op:
    """A function of arrays, and one rule for each input."""

    def __init__(self, forward, rules):
        self.forward, self.rules = forward, rules

    def __call__(self, *inputs):
        arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
        parents = [x if isinstance(x, Tensor) else None for x in inputs]
        return Tensor(self.forward(*arrays), Node(self, parents, arrays))


def op(*rules):
    return lambda forward: Op(forward, rules)


def parents(tensor):
    return [p for p in tensor.node.parents if p is not None] if tensor.node else []


def backward(root, cotangent):
    waiting, stack = {root: 0}, [root]
    while stack:
        for parent in parents(stack.pop()):
            if parent not in waiting:
                waiting[parent] = 0
                stack.append(parent)
            waiting[parent] += 1
    arrived, ready = {root: np.asarray(cotangent)}, [root]
    while ready:
        tensor = ready.pop()
        dy, node = arrived.pop(tensor), tensor.node
        if node is None:
            tensor.grad = dy if tensor.grad is None else tensor.grad + dy
            continue
        for parent, rule, array in zip(node.parents, node.op.rules, node.arrays):
            if parent is not None:
                gradient = fit(rule(dy, *node.arrays), np.shape(array))
                arrived[parent] = arrived[parent] + gradient if parent in arrived else gradient
                waiting[parent] -= 1
                if waiting[parent] == 0:
                    ready.append(parent)


def fit(gradient, shape):
    """Sum over the axes along which broadcasting copied."""
    if gradient.shape != shape and gradient.ndim >= len(shape):
        extra = gradient.ndim - len(shape)
        stretched = [extra + k for k, n in enumerate(shape) if n == 1]
        gradient = gradient.sum(axis=(*range(extra), *stretched), keepdims=True)
        gradient = gradient.reshape(gradient.shape[extra:])
    if gradient.shape != shape:
        raise ValueError(f"a rule gave a gradient of {gradient.shape} where {shape} is needed: correct the rule")
    return gradient


@op(lambda dy, a, b: dy, lambda dy, a, b: dy)
def add(a, b):
    return a + b


@op(lambda dy, a, b: dy @ b.T, lambda dy, a, b: a.T @ dy)
def matmul(a, b):
    return a @ b


@op(lambda dy, x: dy * (1 - np.tanh(x) ** 2))
def tanh(x):
    return np.tanh(x)


@op(lambda dy, x: dy * (x > 0))
def relu(x):
    """x if x is positive, otherwise 0, for each element."""
    return np.maximum(x, 0)


def softmax_values(x):
    """Turn each row into probabilities: positive numbers whose sum is 1."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_rule(dy, x):
    y = softmax_values(x)
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


softmax = Op(softmax_values, [softmax_rule])


@op(lambda dy, i, f, g, memory: dy * g, lambda dy, i, f, g, memory: dy * memory,
    lambda dy, i, f, g, memory: dy * i, lambda dy, i, f, g, memory: dy * f)
def remember(i, f, g, memory):
    """Equation 4: the new memory. The forget gate f decides how much of memory is kept, the input gate i how much of g
    is added."""
    return f * memory + i * g


# %% [markdown]
# ## A wrong derivative that learns
# A small network learns the sine function, once with the correct rule of $\tanh$, which is $dy\,(1 - y^2)$, and once
# with a wrong one, $dy\,(1 - y)$.

# %%
wrong_tanh = Op(np.tanh, [lambda dy, x: dy * (1 - np.tanh(x))])
inputs = np.linspace(-3, 3, 40)[:, None]  # (B,1)
targets = np.sin(inputs)


def learn(activation, steps=1000, rate=0.02):
    """The loss at the beginning and at the end."""
    rng = np.random.default_rng(0)
    w1, b1, w2 = (Tensor(rng.standard_normal(shape)) for shape in ((1, 16), (16,), (16, 1)))
    losses = []
    for _ in range(steps):
        y = matmul(activation(add(matmul(inputs, w1), b1)), w2)
        losses.append(((y.data - targets) ** 2).mean())
        for p in (w1, b1, w2):
            p.grad = None
        backward(y, 2 * (y.data - targets) / len(inputs))  # the cotangent of the mean squared error
        for p in (w1, b1, w2):
            p.data = p.data - rate * p.grad
    return losses[0], losses[-1]


for name, activation in (("right", tanh), ("wrong", wrong_tanh)):
    print(name, "loss from {:.2f} to {:.4f}".format(*learn(activation)))
#> right loss from 10.63 to 0.0035
#> wrong loss from 10.63 to 0.0167

# %% [markdown]
# Both losses fall. Without the first result to compare with, nobody would suspect the second.
#
# ## The nudge, element by element
# Lesson 1 found a derivative without any rule, by nudging to both sides. With an array, we do that one element at a
# time. The result must be a single number, so let us take the sum of what the function returns. The cotangent of each
# output is then 1.


# %%
def numeric_gradient(f, x, eps=1e-5):
    """The derivative of the number f(x) with respect to each element of x."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[index] = eps
        gradient[index] = (f(x + nudge) - f(x - nudge)) / (2 * eps)
    return gradient


def accepts(op, x, cotangent):
    """Whether backward and the nudge agree on the derivative of sum(cotangent * op(x))."""
    leaf = Tensor(x)
    backward(op(leaf), cotangent)
    numeric = numeric_gradient(lambda x: (cotangent * op.forward(x)).sum(), x)
    return bool(np.allclose(leaf.grad, numeric, rtol=1e-6, atol=1e-9))


rng = np.random.default_rng(7)
x, ones = rng.standard_normal((2, 3)), np.ones((2, 3))
print("tanh:", accepts(tanh, x, ones), " wrong tanh:", accepts(wrong_tanh, x, ones),
      " softmax:", accepts(softmax, x, ones))
#> tanh: True  wrong tanh: False  softmax: True

# %% [markdown]
# The check finds the error at once and accepts the other two. So are we done?
#
# ## The check that cannot fail
# A check that has never failed has proved nothing. Let us break the rule of softmax, and not just a little: it returns
# zeros.

# %%
zero_softmax = Op(softmax_values, [lambda dy, x: 0 * dy])
print("softmax without any gradient:", accepts(zero_softmax, x, ones))
#> softmax without any gradient: True

# %% [markdown]
# Accepted! The outputs of softmax are probabilities; in each row their sum is 1, whatever `x` is. We asked how that sum
# changes, and it does not. The correct gradient of the sum *is* zero, and the check could see nothing else. The same
# holds for every op whose outputs always have the same sum, such as normalisation, and for every op that only moves its
# elements to other places: if all cotangents are 1, it does not matter where each of them goes.
#
# The remedy is a **random cotangent**: instead of the plain sum of the outputs, take a sum with random weights.

# %%
u = rng.standard_normal((2, 3))
print("softmax:", accepts(softmax, x, u), " without any gradient:", accepts(zero_softmax, x, u))
#> softmax: True  without any gradient: False

# %% [markdown]
# ### Exercise 4.1: fool the sum (easy, 5 minutes)
# Centring subtracts from each row its mean. Write a rule for it that is **wrong**, but that the check with ones still
# accepts. (A rule that always returns zeros does not count: for a random cotangent, the result must not be zero.)
#
# *Hint:* the correct rule is `dy - dy.mean(axis=-1, keepdims=True)`. What does it return for ones? What else returns
# the same?


# %%
def fooling_rule(dy, x):
    # <solution>
    return 2 * (dy - dy.mean(axis=-1, keepdims=True))
    # </solution>


fooled = Op(lambda x: x - x.mean(axis=-1, keepdims=True), [fooling_rule])
check("4.1", lambda: {"with ones": accepts(fooled, x, ones), "with random weights": accepts(fooled, x, u),
                      "all zero": bool(np.all(fooling_rule(u, x) == 0))},
      {"with ones": True, "with random weights": False, "all zero": False})

# %% [markdown]
# ## One number instead of many
# Element by element, a check costs two runs for each number: that is fine for six numbers, but not for a network. But
# we need not nudge each element separately. Nudge **all of them at once**, along a direction `v`: the result then
# changes by the sum of `gradient * v`, times the size of the nudge. If one element of the gradient is wrong, so is that
# sum, unless `v` happens to hide the error. A random `v` practically never does.
#
# ### Exercise 4.2: the derivative along a direction (medium, 10 minutes)
# Return how fast the number $\sum u \cdot f(x)$ changes when `x` moves along `v`. Nudge to both sides.
#
# *Hint:* like `numeric_gradient`, with `eps * v` as the nudge, and without the loop.


# %%
def along(f, x, v, u, eps=1e-5):
    # <solution>
    return ((u * f(x + eps * v)).sum() - (u * f(x - eps * v)).sum()) / (2 * eps)
    # </solution>


at = np.array([[0.2, -1.0, 0.7], [1.5, 0.1, -0.4]])
check("4.2", lambda: [along(np.square, at, np.ones((2, 3)), np.ones((2, 3))), along(np.square, at, at, 1 / at),
                      along(np.exp, at, np.array([[3.0, 0.0, 0.0]]), np.array([[1.0], [2.0]])),
                      along(lambda x: x.sum(axis=0), at, np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]),
                            np.array([3.0, 4.0, 5.0]))],
      [2.2, 2.2, 3 * np.exp(0.2) + 6 * np.exp(1.5), 13.0])

# %% [markdown]
# Here is the whole check, for functions of several arrays. All arrays are nudged together, along one direction of
# length 1 (so that the nudge stays small however many elements there are).


# %%
def two_numbers(function, arrays, u, directions, eps=1e-5):
    """The derivative of sum(u * function(*arrays)) along the directions: from backward, and from a nudge."""
    leaves = [Tensor(a) for a in arrays]
    backward(function(*leaves), u)
    found = sum((leaf.grad * v).sum() for leaf, v in zip(leaves, directions))
    after, before = (function(*[Tensor(a + step * v) for a, v in zip(arrays, directions)]).data
                     for step in (eps, -eps))
    return found, (u * (after - before)).sum() / (2 * eps)


def random_directions(arrays, rng):
    directions = [rng.standard_normal(a.shape) for a in arrays]
    length = np.sqrt(sum((v * v).sum() for v in directions))
    return [v / length for v in directions]


def agree(found, expected, rtol=1e-6, atol=1e-9):
    return bool(abs(found - expected) <= atol + rtol * abs(expected))


gates = [rng.standard_normal((2, 3)) for _ in range(4)]  # i, f, g, memory
found, expected = two_numbers(remember, gates, u, random_directions(gates, rng))
print(agree(found, expected))
#> True

# %% [markdown]
# ## Break everything
# Here are eight broken rules, all of them easy mistakes, and three checks: with ones, element by element; with random
# weights along a direction of ones (all elements nudged by the same amount); and with everything random. Which check
# finds which rule?

# %%
def normalise_values(x):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True))


def mean_only(dy, x):
    return (dy - dy.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)  # forgets that the scale depends on x


i_rule, f_rule, *other_rules = remember.rules
square = rng.standard_normal((3, 3))
broken = {  # name -> (op, inputs)
    "tanh: zeros": (Op(np.tanh, [lambda dy, x: 0 * dy]), [x]),
    "tanh: sign": (Op(np.tanh, [lambda dy, x: -dy * (1 - np.tanh(x) ** 2)]), [x]),
    "tanh: 1 - y": (wrong_tanh, [x]),
    "bias: not summed": (Op(np.add, [lambda dy, a, b: dy, lambda dy, a, b: dy[0]]), [x, x[0]]),
    "gates i and f swapped": (Op(remember.forward, [f_rule, i_rule, *other_rules]), gates),
    "softmax: zeros": (zero_softmax, [x]),
    "normalise: mean only": (Op(normalise_values, [mean_only]), [x]),
    "transpose: not undone": (Op(np.transpose, [lambda dy, x: dy]), [square]),
}


def with_ones(op, arrays):
    """Weights of 1, one element at a time."""
    ones = np.ones_like(op.forward(*arrays))
    for k, array in enumerate(arrays):
        for index in np.ndindex(array.shape):
            directions = [np.zeros_like(a) for a in arrays]
            directions[k][index] = 1
            if not agree(*two_numbers(op, arrays, ones, directions)):
                return False
    return True


def along_ones(op, arrays):
    """Random weights, all elements nudged by the same amount."""
    u = np.random.default_rng(1).standard_normal(op.forward(*arrays).shape)
    return agree(*two_numbers(op, arrays, u, [np.ones_like(a) for a in arrays]))


def all_random(op, arrays):
    """Random weights, a random direction."""
    rng = np.random.default_rng(1)
    u = rng.standard_normal(op.forward(*arrays).shape)
    return agree(*two_numbers(op, arrays, u, random_directions(arrays, rng)))


checkers = {"weights 1,\neach element": with_ones, "weights random,\ndirection of ones": along_ones,
            "all random": all_random}
accepted = np.array([[checker(*case) for checker in checkers.values()] for case in broken.values()])  # (rule, check)
for name, checker_accepted in zip(checkers, accepted.T):
    print(f"{' '.join(name.split())}: {checker_accepted.sum()} of 8 broken rules accepted")
#> weights 1, each element: 3 of 8 broken rules accepted
#> weights random, direction of ones: 4 of 8 broken rules accepted
#> all random: 0 of 8 broken rules accepted

# %%
figure, ax = plt.subplots(figsize=(6.6, 4.4))
for row in range(len(broken)):
    for column in range(3):
        colour, verdict = ("#E69F00", "accepted") if accepted[row, column] else ("#56B4E9", "found")
        ax.add_patch(plt.Rectangle((column + 0.02, row + 0.04), 0.96, 0.92, facecolor=colour))
        ax.text(column + 0.5, row + 0.5, verdict, ha="center", va="center", fontsize=11)
ax.set(xlim=(0, 3), ylim=(8, 0), xticks=[0.5, 1.5, 2.5], yticks=np.arange(8) + 0.5,
       title="Which check finds which broken rule?")
ax.set_xticklabels(checkers, fontsize=10)
ax.set_yticklabels(broken, fontsize=10)
ax.tick_params(length=0)
for side in ax.spines.values():
    side.set_visible(False)
show(figure, "broken_rules")

# %% [markdown]
# Ones miss every error that cancels in a plain sum, whether they serve as weights or as the direction. Random numbers
# have no such blind spot. They also cost less: two runs in all, instead of two for each element.
#
# Keep such a list of broken rules beside every checker. It is the test of the test.
#
# ## Checks that show nothing
# Even a random check can be empty. All inputs of this ReLU are negative, so its output is zero, and so is every
# derivative:

# %%
backwards_relu = Op(relu.forward, [lambda dy, x: -5 * dy * (x > 0)])
negative = -np.abs(x)
print(agree(*two_numbers(backwards_relu, [negative], u, random_directions([x], rng))))
#> True

# %% [markdown]
# The rule is wrong by a factor of $-5$, and the check accepts it, since $-5 \cdot 0 = 0$. So if the numeric derivative
# is about zero, the check must **refuse to accept**.
#
# There are false alarms, too. Close to the kink of ReLU, the nudge reaches both sides of it. And in float32 rounding
# hides the effect of a nudge, as in lesson 1:

# %%
kink = np.array([1e-7])
found, expected = two_numbers(relu, [kink], np.ones(1), [np.ones(1)])
print(f"ReLU at {kink[0]:.0e}: backward {found:.3f}, nudge {expected:.3f}")

single = [a.astype(np.float32) for a in gates]
directions = [v.astype(np.float32) for v in random_directions(gates, rng)]
for name, arrays, v in (("float64", gates, directions), ("float32", single, directions)):
    found, expected = two_numbers(remember, arrays, u.astype(arrays[0].dtype), v)
    right_accepted, relative_error = agree(found, expected), abs(found / expected - 1)
    print(f"{name}: right rules accepted: {right_accepted}, error above 0.01 %: {bool(relative_error > 1e-4)}")
#> ReLU at 1e-07: backward 1.000, nudge 0.505
#> float64: right rules accepted: True, error above 0.01 %: False
#> float32: right rules accepted: False, error above 0.01 %: True

# %% [markdown]
# So: check in float64, keep inputs further from a kink than the nudge reaches, and reject an empty check. Here is a
# small version of the package's checker:


# %%
class GradientError(AssertionError):
    """A gradient check that failed, or one that could not have failed."""


def gradcheck(function, *arrays, seeds=(0, 1, 2)):
    """True if backward computes the derivative of `function`, otherwise GradientError."""
    arrays = [np.asarray(a, np.float64) for a in arrays]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        u = rng.standard_normal(function(*[Tensor(a) for a in arrays]).data.shape)
        found, expected = two_numbers(function, arrays, u, random_directions(arrays, rng))
        if abs(expected) <= 1e-8:
            raise GradientError("the numeric derivative is zero, so this check could not fail")
        if not agree(found, expected):
            raise GradientError(f"backward {found:.3f}, numeric {expected:.3f}")
    return True


print(gradcheck(remember, *gates), gradcheck(lambda a, b: softmax(matmul(a, tanh(b))), square, square.T + 1))
for suspect, array in ((wrong_tanh, x), (backwards_relu, negative)):
    try:
        gradcheck(suspect, array)
    except GradientError as error:
        print(error)
rejected = 0
for suspect, arrays in broken.values():
    try:
        gradcheck(suspect, *arrays)
    except GradientError as error:
        rejected += str(error).startswith("backward")
print(f"{rejected} of {len(broken)} broken rules rejected")
#> True True
#> backward -0.098, numeric -0.069
#> the numeric derivative is zero, so this check could not fail
#> 8 of 8 broken rules rejected

# %% [markdown]
# One trap is left, and we fell into it while we wrote this lesson: drawing the inputs with the seed that the check
# uses. The weights then equal the inputs, and are no longer random. The result of normalisation does not change when
# its input is scaled, and with exactly these weights its derivative is zero.

# %%
try:
    gradcheck(broken["normalise: mean only"][0], np.random.default_rng(0).standard_normal((2, 3)))
except GradientError as error:
    print(error)
#> the numeric derivative is zero, so this check could not fail

# %% [markdown]
# The check found this because it rejects an empty comparison. Draw inputs with other seeds than the check's. (The
# package's check mixes a number of its own into its seeds.)
#
# ### Exercise 4.3: where is it wrong? (stretch, 15 minutes)
# One number shows that something is wrong, but not where. Given the gradient that `backward` returned, find the first
# index (in the order of `np.ndindex`) at which it disagrees with the nudge. There is at least one. `f` turns an array
# into a number.
#
# *Hint:* `numeric_gradient`, one element at a time, and `agree` on each.


# %%
def first_wrong_index(f, x, gradient):
    # <solution>
    numeric = numeric_gradient(f, x)
    for index in np.ndindex(x.shape):
        if not agree(gradient[index], numeric[index]):
            return index
    # </solution>


def places_of_mistakes():
    right, found = 3 * at**2, []
    for wrong in ([(1, 0)], [(0, 2), (1, 0)], [(1, 2)]):
        gradient = right.copy()
        for index in wrong:
            gradient[index] *= 1.001
        found.append(first_wrong_index(lambda x: (x**3).sum(), at, gradient))
    return found


check("4.3", places_of_mistakes, [(1, 0), (0, 2), (1, 2)])

# %% [markdown]
# ## What you have now
#
# | here | in the package |
# |---|---|
# | `gradcheck` | `tinypredrnn/autograd/gradcheck.py`, `gradcheck` |
# | `two_numbers`, `random_directions` | `tinypredrnn/autograd/gradcheck.py`, `Check` |
# | `agree` | `tinypredrnn/autograd/gradcheck.py`, `Check.verdict`, which also estimates its numeric error |
# | `first_wrong_index` | `tinypredrnn/autograd/gradcheck.py`, `first_wrong_index` |
# | the broken rules | `tests/autograd/test_gradcheck.py` |
# | `remember` | `tinypredrnn/cells.py`, `remember` (with the activations of its gates) |
#
# **Real systems.** PyTorch's `torch.autograd.gradcheck` compares whole tables of slopes in float64; with
# `fast_mode=True` it compares one number along random directions, as here. JAX's `jax.test_util.check_grads` always
# uses random directions.
