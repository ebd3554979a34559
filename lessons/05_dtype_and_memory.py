# %% [markdown]
# # 5. dtype and memory
#
# - **Idea:** let float32 stay float32, save for the backward pass only what the rules ask for, and never modify an
#   array that others may still use.
# - **Minutes:** 90
# - **Needs:** lesson 4.
# - **You will see:** one constant that doubles the memory of everything after it; 7.5 MiB saved although 2.5 are
#   enough; unused tensors that stay in memory; a gradient that reads 11 and should be 1.
# - **Why:** lesson 3's engine is correct, but it would not get far: the frames of a sequence, saved at every layer,
#   fill any memory, and none of the faults in this lesson raises an error.
#
# At the end of this lesson stands a small version of the engine that the rest of the course uses.

# %%
import gc
import inspect
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np

from tinypredrnn.course import check, show

# %% [markdown]
# ## How float32 turns into float64
# Networks compute in float32, with 4 bytes a number. NumPy computes in float64 unless told otherwise, and if the two
# meet, the result is float64. Some of the ways in which they meet are easily overlooked:

# %%
frame = np.ones((64, 64), np.float32)
factors = {
    "2.0": 2.0,
    "np.float32(2.0)": np.float32(2.0),
    "np.float64(2.0)": np.float64(2.0),
    "np.sqrt(2.0)": np.sqrt(2.0),
    "np.asarray(2.0)": np.asarray(2.0),
    "np.arange(64)": np.arange(64),
    "np.ones(64)": np.ones(64),
}
for name, factor in factors.items():
    product = frame * factor
    print(f"float32 frame * {name:16} {product.dtype}, {product.nbytes:,} bytes")
#> float32 frame * 2.0              float32, 16,384 bytes
#> float32 frame * np.float32(2.0)  float32, 16,384 bytes
#> float32 frame * np.float64(2.0)  float64, 32,768 bytes
#> float32 frame * np.sqrt(2.0)     float64, 32,768 bytes
#> float32 frame * np.asarray(2.0)  float64, 32,768 bytes
#> float32 frame * np.arange(64)    float64, 32,768 bytes
#> float32 frame * np.ones(64)      float64, 32,768 bytes

# %% [markdown]
# Since NumPy 2 a Python number adapts to the dtype of the array that it meets. An array without axes does not adapt,
# and neither does a number that NumPy made, such as `np.sqrt(2.0)`. An engine that wraps every constant in `np.asarray`
# turns each `2.0` into an array without axes. From there on everything is float64: the loss, the gradients, and after
# the first step the weights.
#
# We take three measures: constants stay Python numbers (`plain`); an op refuses to mix float dtypes; and the engine
# checks the dtype of every gradient, since a rule can turn float32 into float64 just as well.
#
# ### Exercise 5.1: a rule that keeps its dtype (easy, 5 minutes)
# The leaky ReLU is `x` if `x` is positive, and `0.2 * x` otherwise. This rule returns the correct values, but always as
# float64, even if `dy` is float32:
#
#     dy * np.where(x > 0, 1.0, 0.2)
#
# Write it so that float32 stays float32, and float64 stays float64, with all its digits.
#
# *Hint:* `np.where` made an array from two Python numbers, which met no array whose dtype they could adapt to. Let it
# choose between two arrays that have the dtype already.


# %%
def leaky_rule(dy, x):
    # <solution>
    return np.where(x > 0, dy, 0.2 * dy)
    # </solution>


def leaky_cases():
    results = []
    for dtype in (np.float32, np.float64):
        gradient = leaky_rule(np.array([1.0, 2.0, -4.0], dtype), np.array([0.5, -0.5, -2.0], dtype))
        results += [str(getattr(gradient, "dtype", "nothing")), gradient]
    return results


check("5.1", leaky_cases, ["float32", np.array([1.0, 0.4, -0.8], np.float32), "float64", np.array([1.0, 0.4, -0.8])],
      rtol=1e-9)

# %% [markdown]
# ## What to save for the backward pass
# Lesson 3 saved all arrays that went into an op and, through the parents, all results as well. Which of them does a
# rule need?
#
# | op | rules | to save |
# |---|---|---|
# | `a + b` | `dy`, `dy` | nothing |
# | `a * b` | `dy * b`, `dy * a` | both inputs |
# | `x * 2.0` | `dy * 2.0` | the number |
# | `tanh(x)` | `dy * (1 - y * y)` | the output |
# | `x.sum()` | copy `dy` | a shape |
#
# We let the rules say so themselves: **what a rule asks for, by the names of its parameters, is saved; nothing else
# is.** A parameter may be named after an input, or be `y` for the output, or `x_shape` for the shape of an input `x`.
# Python can read the names of parameters (`inspect`).
#
# Also, a node's parents are now *nodes* (or leaves), not tensors: a tensor would keep its array alive.


# %%
class DTypeError(TypeError):
    """Arrays of different float dtypes in one op."""


class GraphError(RuntimeError):
    """Backward cannot run, or a rule returned something with the wrong shape or dtype."""


class Tensor:
    """An array that remembers how it was made."""

    __slots__ = ("data", "grad", "node")
    __array_ufunc__ = None

    def __init__(self, data, node=None):
        self.data, self.grad, self.node = data, None, node


class Node:
    """One application of an op: its parents, the shapes and the dtype of its inputs, and what the rules asked for."""

    __slots__ = ("op", "parents", "shapes", "dtype", "saved")

    def __init__(self, op, parents, shapes, dtype, saved):
        self.op, self.parents, self.shapes, self.dtype, self.saved = op, parents, shapes, dtype, saved


# %% [markdown]
# When an op is called, it takes the arrays out of the tensors, refuses different float dtypes, computes, records where
# the inputs came from, and saves what the rules ask for (only the rules that will run: the rule of a constant will
# not).


# %%
class Op:
    """A function of arrays, with one rule for each input."""

    def __init__(self, forward, rules):
        self.forward, self.rules, self.name = forward, rules, forward.__name__
        self.inputs = list(inspect.signature(forward).parameters)
        self.asks = {name: list(inspect.signature(rule).parameters)[1:] for name, rule in rules.items()}

    def __call__(self, *inputs):
        arrays = [x.data if isinstance(x, Tensor) else plain(x) for x in inputs]
        dtypes = {a.dtype for a in arrays if hasattr(a, "dtype") and a.dtype.kind == "f"}
        if len(dtypes) > 1:
            raise DTypeError(f"{self.name}: inputs of different float dtypes: convert one with .astype")
        (dtype,) = dtypes
        y = np.asarray(self.forward(*arrays))  # NumPy turns arrays without axes into numbers
        if y.dtype != dtype:
            raise DTypeError(f"{self.name} would turn {dtype} into {y.dtype}: convert the other array with .astype")
        parents = [(x.node or x) if isinstance(x, Tensor) else None for x in inputs]
        shapes = [np.shape(a) for a in arrays]
        known = {"y": y, **dict(zip(self.inputs, arrays)),
                 **{f"{name}_shape": shape for name, shape in zip(self.inputs, shapes)}}
        saved = {need: known[need]
                 for name, parent in zip(self.inputs, parents) if parent for need in self.asks[name]}
        return Tensor(y, Node(self, parents, shapes, dtype, saved))

    def pull_back(self, dy, node):
        """The cotangents of the inputs (None for a constant) from the cotangent of the output."""
        return [self.rules[name](dy, *(node.saved[need] for need in self.asks[name])) if parent else None
                for name, parent in zip(self.inputs, node.parents)]


def plain(value):
    """An input that is not a tensor. NumPy's numbers become Python's."""
    return value.item() if isinstance(value, np.generic) else value


def op(**rules):
    """Make an Op of the decorated function and these rules, each under the name of its input."""
    return lambda forward: Op(forward, rules)


# %% [markdown]
# Now the parameters of each rule, after `dy`, show what it needs.


# %%
@op(a=lambda dy: dy, b=lambda dy: dy)
def add(a, b):
    return a + b


@op(a=lambda dy: dy, b=lambda dy: -dy)
def sub(a, b):
    return a - b


@op(a=lambda dy, b: dy * b, b=lambda dy, a: dy * a)
def mul(a, b):
    return a * b


@op(a=lambda dy, b: dy @ b.T, b=lambda dy, a: a.T @ dy)
def matmul(a, b):
    return a @ b


@op(x=lambda dy, y: dy * (1 - y * y))
def tanh(x):
    return np.tanh(x)


@op(x=lambda dy, x_shape: np.broadcast_to(dy, x_shape))
def total(x):
    return x.sum()


Tensor.__add__ = Tensor.__radd__ = lambda a, b: add(a, b)
Tensor.__mul__ = Tensor.__rmul__ = lambda a, b: mul(a, b)
Tensor.__sub__ = lambda a, b: sub(a, b)
Tensor.__rsub__ = lambda a, b: sub(b, a)
Tensor.__matmul__ = lambda a, b: matmul(a, b)
Tensor.__rmatmul__ = lambda a, b: matmul(b, a)
Tensor.sum = lambda a: total(a)


x = Tensor(np.ones((2, 3), np.float32))
for result in (x + x, x * x, x * 2.0, tanh(x), x.sum()):
    print(f"{result.node.op.name:6} keeps {list(result.node.saved)}")
print((x * np.sqrt(2.0)).data.dtype)
for other in (np.ones(3), np.arange(3)):
    try:
        x * other
    except DTypeError as error:
        print(error)
#> add    keeps []
#> mul    keeps ['b', 'a']
#> mul    keeps ['b']
#> tanh   keeps ['y']
#> total  keeps ['x_shape']
#> float32
#> mul: inputs of different float dtypes: convert one with .astype
#> mul would turn float32 into float64: convert the other array with .astype

# %% [markdown]
# How much does that save? We run ten layers of `tanh(2 h + 1)` on a float32 picture of 256 x 256, which is 0.25 MiB;
# once with ops whose rules ask for everything, and once with our ops: three arrays a layer against one. Python's
# `tracemalloc` counts the bytes.

# %%
@op(a=lambda dy, a, b, y: dy, b=lambda dy, a, b, y: dy)
def greedy_add(a, b):
    return a + b


@op(a=lambda dy, a, b, y: dy * b, b=lambda dy, a, b, y: dy * a)
def greedy_mul(a, b):
    return a * b


@op(x=lambda dy, x, y: dy * (1 - y * y))
def greedy_tanh(x):
    return np.tanh(x)


def layers(x, add, mul, tanh):
    for _ in range(10):
        x = tanh(add(mul(x, 2.0), 1.0))
    return x


def held(function):
    """What a function returns, and the MiB that are still held after the call."""
    tracemalloc.start()
    result = function()
    mebibytes = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    return result, mebibytes


picture = Tensor(np.full((256, 256), 0.1, np.float32))
kept = {"everything": held(lambda: layers(picture, greedy_add, greedy_mul, greedy_tanh))[1]}
kept["what the\nrules ask for"] = held(lambda: layers(picture, add, mul, tanh))[1]
for name, mebibytes in kept.items():
    print(f"{' '.join(name.split())}: {mebibytes:.1f} MiB")
#> everything: 7.5 MiB
#> what the rules ask for: 2.5 MiB

# %% [markdown]
# ### Exercise 5.2: a rule that does not need its input (medium, 10 minutes)
# The sigmoid is $y = 1 / (1 + e^{-x})$. Return its rule, a function (for example a `lambda`), that asks only for the
# output.
#
# *Hint:* differentiate and look for $y$ in the result: $e^{-x} / (1 + e^{-x})^2$ is the product of $y$ and $1 - y$.


# %%
def sigmoid_rule():
    # <solution>
    return lambda dy, y: dy * y * (1 - y)
    # </solution>


def try_rule(rule):
    """What a sigmoid with this rule saves, and its gradient."""
    if rule is None:
        return None
    sigmoid = Op(lambda x: 1 / (1 + np.exp(-x)), {"x": rule})
    node = sigmoid(Tensor(np.array([-1.0, 0.0, 2.0]))).node
    return list(node.saved), sigmoid.pull_back(np.array([1.0, 2.0, 3.0]), node)[0]


check("5.2", lambda: try_rule(sigmoid_rule()), (["y"], np.array([0.19661193, 0.5, 0.31498076])), rtol=1e-5)

# %% [markdown]
# > **A place to rest.** If exercises 5.1 and 5.2 are OK, you have the first half: float32 stays float32, and a node
# > saves what its rules ask for. Before you go on, say without looking what the nodes of `x * x`, `tanh(x)` and `a + b`
# > save. The second half is about arrays and tensors that are still in use somewhere else.
#
# ## Tensors that stay in memory
# Python frees an object as soon as nothing refers to it any more. If two objects refer to each other, they form a
# cycle, and this never happens. Our graph only refers backwards, from a result to its inputs, so it is freed together
# with its result. One mistake is enough to change this: a `tanh` that saves its output *tensor* instead of the array.
# The tensor refers to its node, and the node to the tensor.


# %%
def leaky_tanh(x):
    y = Tensor(np.tanh(x.data))
    y.node = Node(tanh, [x.node or x], [x.data.shape], x.data.dtype, {"y": y})
    return y


def live(kind):
    """How many objects of a type exist, in use or not."""
    return sum(type(thing) is kind for thing in gc.get_objects())


def growth(tanh, steps=20):
    """Live tensors, and MiB held, after each of several steps whose results are not kept."""
    gc.collect()
    before, counts = live(Tensor), []
    tracemalloc.start()
    for _ in range(steps):
        tanh(picture)
        counts.append((live(Tensor) - before, tracemalloc.get_traced_memory()[0] / 2**20))
    tracemalloc.stop()
    return np.array(counts)  # (steps,2)


# %% [markdown]
# Python also has a cycle collector, which frees such cycles from time to time. To see what happens without it, we
# switch it off.

# %%
gc.disable()
growths = {"keeps the tensor": growth(leaky_tanh), "keeps the array": growth(tanh)}
gc.enable()
for name, counts in growths.items():
    print(f"{name}: {counts[-1, 0]:.0f} tensors left after 20 steps, {counts[-1, 1]:.0f} MiB")
print(f"with the collector switched on: {growth(leaky_tanh)[-1, 0]:.0f} tensors left, too")
#> keeps the tensor: 20 tensors left after 20 steps, 5 MiB
#> keeps the array: 0 tensors left after 20 steps, 0 MiB
#> with the collector switched on: 20 tensors left, too

# %% [markdown]
# The collector was on and still did not run: it counts objects, not bytes, and twenty are too few to start it. The
# graph of a network has few objects and large arrays, so memory can run out before the collector runs. Rules that are
# closures (`lambda dy: dy * (1 - y.data**2)` within the op, as in many small engines) hold `y` in the same way, and the
# code does not show it.
#
# Remember `live`: a test that counts the live tensors after each step, and expects the same count each time, finds all
# such leaks.

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.3), width_ratios=(3, 2))
for (name, counts), colour, place in zip(growths.items(), ("#D55E00", "#0072B2"), ((6, 3.5), (11, 0.25))):
    axes[0].plot(np.arange(1, 21), counts[:, 1], ".-", color=colour)
    words = f"a node that\n{name}" if place[1] > 1 else f"one that {name}"
    axes[0].text(*place, words, color=colour, ha="center", fontsize=11)
axes[0].set(xlabel="step", ylabel="held needlessly (MiB)", title="A cycle", xticks=[0, 5, 10, 15, 20])
axes[1].bar(list(kept), kept.values(), color=["#D55E00", "#0072B2"], width=0.6)
axes[1].set(ylabel="saved for backward (MiB)", title="What is saved")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
figure.tight_layout()
show(figure, "memory")

# %% [markdown]
# ## Who owns the array?
# A weight is used in each frame of a sequence, and its gradient is a sum with one term for each use.
# `total = total + gradient` makes a new array each time; `total += gradient` does not. But look at what the rules of
# `add` return:

# %%
a, b = Tensor(np.zeros(2)), Tensor(np.zeros(2))
s = a + b
dy = np.ones(2)
gradient_a, gradient_b = s.node.op.pull_back(dy, s.node)
gradient_a += 10.0  # from another use of a
print("a:", gradient_a, " b:", gradient_b)
#> a: [11. 11.]  b: [11. 11.]

# %% [markdown]
# Both got `dy` itself: one array under two names. What was meant for `a` was added to `b` as well, and the gradient of
# `b` is 11 instead of 1. Copying every gradient would help, but it would cost what we wanted to save. Instead the
# engine asks whether an array is **ours**, that is, whether nothing else refers to it. A gradient is *not* ours if it
#
# - is `dy` itself, or one of the arrays that the node saved;
# - is a view: it shows the memory of another array (its `gradient.base` is then not `None`). A reshaped `dy` is a view,
#   and so is what `np.broadcast_to` returns: many of its elements even share one place in memory.
#
# ### Exercise 5.3: is it ours? (stretch, 15 minutes)
# Return whether `gradient` may be modified in place. `saved` is a list of arrays.
#
# *Hint:* check both points above. Use `is` to ask whether two names refer to the same array; `==` and `in` compare
# elements.


# %%
def is_ours(gradient, dy, saved):
    # <solution>
    return gradient.base is None and not any(gradient is array for array in (dy, *saved))
    # </solution>


def ownership_cases():
    dy, kept = np.ones((2, 3)), np.full((2, 3), 2.0)
    cases = {"dy": dy, "dy * saved": dy * kept, "a saved array": kept, "a copy of dy": dy.copy(), "dy.T": dy.T,
             "dy.sum(), broadcast": np.broadcast_to(dy.sum(), (2, 3)), "-dy": -dy,
             "ones, equal to dy": np.ones((2, 3)), "rows of a saved array": kept[:1], "dy, reshaped": dy.reshape(6)}
    return {name: is_ours(gradient, dy, [np.zeros(3), kept]) for name, gradient in cases.items()}


check("5.3", ownership_cases, {
    "dy": False, "dy * saved": True, "a saved array": False, "a copy of dy": True, "dy.T": False,
    "dy.sum(), broadcast": False, "-dy": True, "ones, equal to dy": True, "rows of a saved array": False,
    "dy, reshaped": False})

# %% [markdown]
# > **A place to rest.** If exercise 5.3 is OK, you know all the parts of the engine. What follows puts them together.
#
# ## The engine
# The engine takes the order of lesson 2 and `fit` of lesson 3, and adds what this lesson found. We build it in three
# pieces and try each before the next one needs it. First, adding up: each cotangent that has arrived carries a flag
# that says whether it is ours. If one of the two arrays is, the sum is made in it.


# %%
def add_up(total, total_owned, gradient, owned):
    """total + gradient, in place if one of the arrays is ours; and whether the sum is ours."""
    if total is None:
        return gradient, owned
    if not total_owned:
        total, gradient, total_owned = gradient, total, owned
    if not total_owned:
        return total + gradient, True
    total += gradient
    return total, True


def accumulate(leaf, gradient, owned):
    """Add to the grad of a leaf. A leaf's grad is an array that nothing else refers to."""
    if leaf.grad is None:
        leaf.grad = gradient if owned else gradient.copy()
    else:
        leaf.grad += gradient


mine, not_mine = np.full(2, 2.0), np.ones(2)
added, owned = add_up(not_mine, False, mine, True)
print(added, "ours:", owned, "- in the array that was ours:", added is mine, "- the other is still", not_mine)
added, owned = add_up(not_mine, False, not_mine, False)
print(added, "ours:", owned, "- the arrays that were not ours are still", not_mine)
#> [3. 3.] ours: True - in the array that was ours: True - the other is still [1. 1.]
#> [2. 2.] ours: True - the arrays that were not ours are still [1. 1.]

# %% [markdown]
# Second, `fit`: it sums a gradient over what NumPy repeated, and checks its shape and now its dtype as well.


# %%
def fit(gradient, node, i):
    """Un-broadcast a gradient to the shape of input i, and check its shape and dtype."""
    gradient, shape = np.asarray(gradient), node.shapes[i]
    if gradient.shape != shape and gradient.ndim >= len(shape):
        extra = gradient.ndim - len(shape)
        stretched = [extra + k for k, n in enumerate(shape) if n == 1]
        gradient = gradient.sum(axis=(*range(extra), *stretched), keepdims=True)
        gradient = gradient.reshape(gradient.shape[extra:])
    if gradient.shape != shape or gradient.dtype != node.dtype:
        raise GraphError(f"{node.op.name}: its rule gave input {i} a gradient of {gradient.dtype} {gradient.shape}, "
                         f"but that input needs {node.dtype} {shape}: correct the rule")
    return gradient


row_added = (Tensor(np.ones((2, 3))) + Tensor(np.zeros(3))).node
print(fit(np.ones((2, 3)), row_added, 1))
try:
    fit(np.ones((2, 3), np.float32), row_added, 0)
except GraphError as error:
    print(error)
#> [2. 2. 2.]
#> add: its rule gave input 0 a gradient of float32 (2, 3), but that input needs float64 (2, 3): correct the rule

# %% [markdown]
# Third, the walk itself. `visit` asks what exercise 5.3 asked, and also whether two inputs got the same array. What a
# node saved is dropped as soon as the node has been visited.


# %%
def backward(root, cotangent=None):
    """Send the cotangent (by default ones) from the tensor `root` back to every leaf that it was computed from."""
    waiting = count_consumers(root.node)
    start = np.ones_like(root.data) if cotangent is None else cotangent
    arrived = {root.node: (start, False)}  # node -> (cotangent, is it ours?)
    ready = [root.node]
    while ready:
        node = ready.pop()
        parents = node.parents
        visit(node, arrived.pop(node)[0], arrived)
        node.parents, node.saved = (), None
        for parent in parents:
            if parent in waiting:
                waiting[parent] -= 1
                if waiting[parent] == 0:
                    ready.append(parent)


def count_consumers(root):
    """How often each node is used: root, and all nodes that it was computed from."""
    waiting, stack = {root: 0}, [root]
    while stack:
        node = stack.pop()
        if node.saved is None:
            raise GraphError(f"backward: a second time through {node.op.name}, whose saved arrays are gone: "
                             "compute the forward again")
        for parent in node.parents:
            if isinstance(parent, Node):
                if parent not in waiting:
                    waiting[parent] = 0
                    stack.append(parent)
                waiting[parent] += 1
    return waiting


def visit(node, dy, arrived):
    """Run the rules of one node, and pass the results to its parents."""
    gradients = node.op.pull_back(dy, node)
    known = [id(array) for array in (dy, *node.saved.values(), *gradients)]
    for i, (parent, gradient) in enumerate(zip(node.parents, gradients)):
        if parent is None:
            continue
        # a new array: no view, not dy, not a saved array, and not the gradient of another input as well
        fresh = gradient.base is None and known.count(id(gradient)) == 1
        fitted = fit(gradient, node, i)
        owned = fresh or fitted is not gradient  # summing over axes makes a new array
        if isinstance(parent, Node):
            arrived[parent] = add_up(*arrived.get(parent, (None, False)), fitted, owned)
        else:
            accumulate(parent, fitted, owned)


y = a * 10.0 + (a + b)
backward(y)
print(a.grad, b.grad)
try:
    backward(y)
except GraphError as error:
    print(error)
#> [11. 11.] [1. 1.]
#> backward: a second time through add, whose saved arrays are gone: compute the forward again

# %% [markdown]
# This time only `a` received the 10. Next we measure the ten layers again: backward frees everything that they saved.
# Then we run a training step like that of lesson 3, in float32, twenty times without the collector.

# %%
output, before = held(lambda: layers(picture, add, mul, tanh))
_, after = held(lambda: backward(layers(picture, add, mul, tanh)))
print(f"held by the graph: {before:.1f} MiB, after backward: {after:.2f} MiB (the gradient of the picture)")

rng = np.random.default_rng(0)
inputs, targets = (rng.random((8, n), np.float32) for n in (24, 12))
weights = [Tensor(rng.standard_normal(shape, np.float32)) for shape in ((24, 24), (24,), (24, 12))]


def step():
    w1, b1, w2 = weights
    error = tanh(inputs @ w1 + b1) @ w2 - targets
    for w in weights:
        w.grad = None
    backward((error * error).sum() * (1 / 8))
    for w in weights:
        w.data = w.data - 0.01 * w.grad


gc.disable()
live_counts = set()
for _ in range(20):
    step()
    live_counts.add((live(Tensor), live(Node)))
gc.enable()
print("the same number of tensors and nodes after each step:", len(live_counts) == 1)
print({str(array.dtype) for w in weights for array in (w.data, w.grad)})
#> held by the graph: 2.5 MiB, after backward: 0.25 MiB (the gradient of the picture)
#> the same number of tensors and nodes after each step: True
#> {'float32'}

# %% [markdown]
# ## What you have now
# The engine of the package, in small. The package also has options of ops, ops with several outputs, a way to switch
# the recording off (`no_grad`), GPUs, and messages that say more; `tests/lessons/test_against_package.py` compares the
# two engines on random graphs.
#
# The package does not guess whether an array is ours. `is_ours` can be fooled by a rule that returns an array and also
# stores it somewhere else. So in the package an op **promises** that its rules return new arrays (`NEW`), and without
# that promise the engine adds into an array of its own. There, the total of a cotangent and the flag that says whether
# it is ours are one object, `Accumulator`.
#
# | here | in the package |
# |---|---|
# | `Op`, what rules ask for | `tinypredrnn/autograd/op.py`, `Op` |
# | `plain` | `tinypredrnn/autograd/op.py`, `plain` |
# | `visit` | `tinypredrnn/autograd/engine.py`, `visit` |
# | `owned` | `tinypredrnn/autograd/op.py`, `NEW` |
# | `add_up` | `tinypredrnn/autograd/engine.py`, `Accumulator` |
# | `fit` | `tinypredrnn/autograd/engine.py`, `fit` |
# | `live` as a test | `tests/autograd/test_engine.py` |
#
# **Real systems.** PyTorch's ops declare what they save (`save_for_backward`), and its engine checks whether anything
# else refers to an array before it adds in place. PyTorch and JAX compute in float32 by default, and in both a Python
# number adapts to the array, as in NumPy 2. For long sequences even these savings are not enough: then one saves, for
# example, every tenth state and computes the others again (checkpointing; lesson 20).
