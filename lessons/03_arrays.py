# %% [markdown]
# # 3. Arrays and un-broadcasting
#
# - **Idea:** an op has one rule for each input; if NumPy repeated an input to make shapes fit, the gradient of that
#   input is a sum.
# - **Minutes:** 50
# - **Needs:** lesson 2, NumPy's broadcasting and matrix products.
# - **You will see:** a bias of 3 numbers that silently becomes a matrix of 6; and a network on our own engine that
#   predicts a bouncing dot, 60 frames ahead.
# - **Why:** with one tensor for each number, a picture takes thousands of steps; and a table of all slopes between two
#   whole pictures is too large.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinypredrnn.course import check, show

# %% [markdown]
# ## Rules instead of slopes
# So far a node kept the slope of its result with respect to each parent. Take $\tanh$ of a frame of 64 x 64 pixels:
# each output has a slope with respect to each input, and together the slopes form a matrix.

# %%
pixels = 64 * 64
print(f"slopes: {pixels * pixels:,}, not zero: {pixels:,}")
#> slopes: 16,777,216, not zero: 4,096

# %% [markdown]
# We do not need the matrix. The backward pass only ever multiplied a cotangent by a slope, and we know that product
# without the matrix: the derivative of $\tanh x$ is $1 - \tanh^2 x$, so the product is `dy * (1 - np.tanh(x)**2)`,
# pixel by pixel. An **op** is one kind of step, such as `tanh`. Instead of slopes it has **rules**, one for each input.
# A rule is a function that turns `dy`, the cotangent of the output, into the cotangent of that input. `dy` has the
# shape of the output; the result has the shape of the input.

# %%
class Tensor:
    """An array that remembers how it was made."""

    __array_ufunc__ = None  # so that NumPy leaves `array * tensor` to us

    def __init__(self, data, node=None):
        self.data, self.node, self.grad = data, node, None


class Node:
    """One application of an op: its parents (None stands for a constant) and the arrays that went in."""

    def __init__(self, op, parents, arrays):
        self.op, self.parents, self.arrays = op, parents, arrays


class Op:
    """A function of arrays, with one rule for each input."""

    def __init__(self, forward, rules):
        self.forward, self.rules = forward, rules

    def __call__(self, *inputs):
        arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
        parents = [x if isinstance(x, Tensor) else None for x in inputs]
        return Tensor(self.forward(*arrays), Node(self, parents, arrays))


def op(*rules):
    """Make an Op of the decorated function and these rules, in the order of its inputs."""
    return lambda forward: Op(forward, rules)


@op(lambda dy, a, b: dy,
    lambda dy, a, b: dy)
def add(a, b):
    return a + b


@op(lambda dy, a, b: dy * b,
    lambda dy, a, b: dy * a)
def mul(a, b):
    return a * b


@op(lambda dy, x: dy * (1 - np.tanh(x) ** 2))
def tanh(x):
    return np.tanh(x)


@op(lambda dy, x: np.broadcast_to(dy, x.shape))  # each element moves the sum as far as it moves itself
def total(x):
    return x.sum()


Tensor.__add__ = Tensor.__radd__ = lambda a, b: add(a, b)
Tensor.__mul__ = Tensor.__rmul__ = lambda a, b: mul(a, b)
Tensor.__sub__ = lambda a, b: add(a, mul(b, -1.0))
Tensor.__rsub__ = lambda a, b: add(b, mul(a, -1.0))
Tensor.sum = lambda a: total(a)


# %% [markdown]
# `@op(rules)` above a function of arrays makes an op of it, so an op and its rules stand together, and a new op takes
# three lines. Plain arrays and numbers are constants: nothing needs their gradient, so their rules are not run. The
# backward pass is that of lesson 2.


# %%
def count_consumers(root):
    waiting, stack = {root: 0}, [root]
    while stack:
        tensor = stack.pop()
        for parent in tensor.node.parents if tensor.node else ():
            if parent is not None:
                if parent not in waiting:
                    waiting[parent] = 0
                    stack.append(parent)
                waiting[parent] += 1
    return waiting


def backward(root, cotangent=1.0):
    """Add d(root)/d(leaf), weighted by the cotangent, to the grad of every leaf that root was computed from."""
    waiting, arrived, ready = count_consumers(root), {root: np.asarray(cotangent)}, [root]
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


fit = lambda gradient, shape: gradient  # for now, we assume that the shape is right

vector = Tensor(np.array([0.5, -1.0, 2.0]))
backward(tanh(vector * vector).sum())
print(vector.grad.round(3))
print(((1 - np.tanh(vector.data**2) ** 2) * 2 * vector.data).round(3))
#> [ 0.94  -0.84   0.005]
#> [ 0.94  -0.84   0.005]

# %% [markdown]
# ## A bias becomes a matrix
# A layer of a network turns each sample into several numbers, its **features**, and adds to each feature a learnt
# number, its **bias**. Several samples, a **batch**, go through the layer together, and all get the same biases: NumPy
# silently repeats the biases for each sample. This is called broadcasting.

# %%
samples = np.arange(6.0).reshape(2, 3)  # (B,C): 2 samples of 3 features
bias = Tensor(np.zeros(3))  # (C,)
backward((samples + bias).sum())
print("bias", bias.data.shape, "its gradient", bias.grad.shape)
print("after one step of learning:", (bias.data - 0.1 * bias.grad).shape)
#> bias (3,) its gradient (2, 3)
#> after one step of learning: (2, 3)

# %% [markdown]
# There was no error, but after one step the layer has separate biases for each sample. As long as all batches have the
# same size, training keeps running.
#
# What should the gradient be? NumPy copied each bias into two rows. If a value is used twice, its gradient is the
# **sum** of what its two uses send back. That was lesson 2, and a copy is a use. So the rule for all broadcasting is
#
# > Whatever was copied along an axis in the forward pass is summed along that axis in the backward pass.

# %%
row_cotangents = np.array([[1, 2, 3], [4, 5, 6]])
above = {"forward: the bias is copied": np.array([7, 8, 9]),
         "backward: the cotangents are summed": row_cotangents.sum(axis=0)}
below = [np.broadcast_to([7, 8, 9], (2, 3)), row_cotangents]
figure, axes = plt.subplots(1, 2, figsize=(7.6, 2.9))
for ax, (title, bias_row), rows, arrow, colour in zip(axes, above.items(), below, ("->", "<-"), ("#56B4E9", "#E69F00")):
    for column in range(3):
        for y, value in zip((2.2, 0.6, 0.0), (bias_row[column], *rows[:, column])):
            ax.add_patch(plt.Rectangle((column, y), 0.95, 0.52, facecolor=colour, alpha=1 if y > 1 else 0.5))
            ax.text(column + 0.47, y + 0.25, value, ha="center", va="center", fontsize=13)
        ax.annotate("", (column + 0.47, 1.2), (column + 0.47, 2.12), arrowprops={"arrowstyle": arrow, "color": "0.3"})
    ax.text(-0.12, 2.45, "bias (3,)", ha="right", va="center", fontsize=11)
    ax.text(-0.12, 0.55, "samples (2,3)", ha="right", va="center", fontsize=11)
    ax.set(title=title, xlim=(-1.5, 3), ylim=(-0.1, 2.8))
    ax.axis("off")
figure.tight_layout()
show(figure, "broadcasting")

# %% [markdown]
# Which axes are those? NumPy aligns shapes at their ends. Suppose that an input of shape `(2, 1)` is combined with an
# array of shape `(4, 2, 3)`:
#
#     output   4  2  3
#     input       2  1
#
# The input was copied along axis 0, which it does not have, and along axis 2, where its length is 1 and that of the
# output is larger.
#
# ### Exercise 3.1: the axes to sum over (medium, 10 minutes)
# Return the tuple of axes of the output along which an input of this shape was copied.
#
# *Hint:* put ones in front of the input's shape until it is as long as the output's; then compare the lengths axis by
# axis.


# %%
def copied_axes(output_shape, input_shape):
    # <solution>
    padded = (1,) * (len(output_shape) - len(input_shape)) + input_shape
    return tuple(k for k, (wanted, length) in enumerate(zip(output_shape, padded)) if wanted != length)
    # </solution>


check("3.1", lambda: [copied_axes((2, 3), (3,)), copied_axes((4, 2, 3), (2, 1)), copied_axes((5, 3), (5, 3)),
                      copied_axes((2, 3), ()), copied_axes((3, 3), (3, 1)), copied_axes((4, 1), (1,))],
      [(0,), (0, 2), (), (0, 1), (1,), (0,)])

# %% [markdown]
# This belongs in one place, not in every rule: rules work with the shape of the output, and the engine fits what they
# return to the input. (Summing over an axis of length 1 changes nothing, so we need not ask whether the output was
# longer there.)


# %%
def fit(gradient, shape):  # noqa: F811 (replaces the one above)
    """Sum a gradient over the axes along which broadcasting copied an input of this shape."""
    if gradient.shape != shape and gradient.ndim >= len(shape):
        extra = gradient.ndim - len(shape)  # axes that broadcasting put in front
        stretched = [extra + k for k, n in enumerate(shape) if n == 1]
        gradient = gradient.sum(axis=(*range(extra), *stretched), keepdims=True)
        gradient = gradient.reshape(gradient.shape[extra:])
    if gradient.shape != shape:
        raise ValueError(f"a rule gave a gradient of {gradient.shape} where {shape} is needed: correct the rule")
    return gradient


bias = Tensor(np.zeros(3))
backward((samples + bias).sum())
print(bias.grad)

row, column = Tensor(np.ones(3)), Tensor(np.ones((2, 1)))
backward((samples * row * column).sum())
print(row.grad, column.grad.ravel())
#> [2. 2. 2.]
#> [3. 5. 7.] [ 3. 12.]

# %% [markdown]
# The last lines of `fit` are just as important: a rule that returns a wrong shape is reported at once, and not three
# hours later.
#
# ## The rule of a matrix product
# For $y = a\,b$ with $a$ (B,C) and $b$ (C,K), `dy` is (B,K). There are not many ways to make a (B,C) from `dy` and $b$:
# `dy @ b.T`. And to make a (C,K) from $a$ and `dy`: `a.T @ dy`. Matching shapes prove nothing, but they are a good way
# to remember the rule.
#
# The proof is one line and covers every **linear** op. If $y = A x$, an element $x_j$ moves $y_i$ by $A_{ij}$ times as
# much; so the cotangent of $x_j$ collects from all $i$: $\sum_i dy_i A_{ij}$, which is element $j$ of $A^T dy$. The
# rule of a linear op is its **transpose**. Copying and summing are transposes of each other, too.


# %%
@op(lambda dy, a, b: dy @ b.T,
    lambda dy, a, b: a.T @ dy)
def matmul(a, b):
    return a @ b


Tensor.__matmul__ = lambda a, b: matmul(a, b)
Tensor.__rmatmul__ = lambda a, b: matmul(b, a)

rng = np.random.default_rng(0)
a, b, dy = rng.standard_normal((2, 3)), rng.standard_normal((3, 4)), rng.standard_normal((2, 4))
left, right = (dy * (a @ b)).sum(), ((dy @ b.T) * a).sum()
print(abs(left - right) < 1e-12)
#> True

# %% [markdown]
# This test needs no derivative at all. With $\langle p, q\rangle$ for the sum of `p * q`, it asks whether
# $\langle dy, A x\rangle = \langle A^T dy, x\rangle$. For random $dy$ and $x$ only the transpose passes.
#
# ### Exercise 3.2: a picture that moves (stretch, 15 minutes)
# `move_right` moves each row of a picture one pixel to the right; the last pixel of each row is lost, and a zero comes
# in at the left. Write its rule.
#
# *Hint:* which pixel of `x` did `y[:, k]` come from? Its cotangent must go back there. Which column of `x` had no
# effect?


# %%
def move_right_rule(dy, x):
    # <solution>
    dx = np.zeros_like(x)
    dx[:, :-1] = dy[:, 1:]
    return dx
    # </solution>


@op(move_right_rule)
def move_right(x):
    y = np.zeros_like(x)
    y[:, 1:] = x[:, :-1]
    return y


check("3.2", lambda: move_right_rule(np.arange(1.0, 13.0).reshape(3, 4), np.full((3, 4), 0.5)),
      np.array([[2.0, 3.0, 4.0, 0.0], [6.0, 7.0, 8.0, 0.0], [10.0, 11.0, 12.0, 0.0]]))

# %% [markdown]
# ### Exercise 3.3: the mean of each row (easy, 5 minutes)
# `row_mean` turns (B,C) into (B,), the mean over the last axis. Write its rule.
#
# *Hint:* the elements of row `i` share `dy[i]` in equal parts. To be copied along a row, `dy` needs an axis for it:
# `dy[:, None]`.


# %%
def row_mean_rule(dy, x):
    # <solution>
    return np.broadcast_to(dy[:, None] / x.shape[1], x.shape)
    # </solution>


@op(row_mean_rule)
def row_mean(x):
    return x.mean(axis=1)


def row_mean_gradient(shape, dy):
    x = Tensor(np.full(shape, 0.5))
    backward(row_mean(x), dy)
    return x.grad


check("3.3", lambda: [row_mean_gradient((2, 4), np.array([4.0, 8.0])),
                      row_mean_gradient((3, 3), np.array([3.0, 6.0, 9.0]))],
      [np.array([[1.0] * 4, [2.0] * 4]), np.array([[1.0] * 3, [2.0] * 3, [3.0] * 3])])

# %% [markdown]
# ## A bouncing dot
# Five ops are enough to predict a video. Each frame of ours is one row of 12 pixels: a dot runs along it and bounces
# off both ends. A single frame does not show which way the dot runs, so the network sees two frames and predicts the
# third. It has two layers, each a matrix product and a bias, with $\tanh$ in between (without it, the two layers could
# do no more than one). Its weights start as random numbers, and it learns as in lesson 1.

# %%
def bouncing(frames, pixels=12):
    """(T,W): a dot that starts at the left end."""
    places = np.arange(frames) % (2 * pixels - 2)
    return np.eye(pixels)[np.where(places < pixels, places, 2 * pixels - 2 - places)]


video = bouncing(24)
inputs = np.concatenate([video[:-2], video[1:-1]], axis=1)  # (22,24): two frames side by side
targets = video[2:]  # (22,12): the frame after them

rng = np.random.default_rng(0)
parameters = [Tensor(rng.standard_normal((24, 24)) * 0.3), Tensor(np.zeros(24)),
              Tensor(rng.standard_normal((24, 12)) * 0.3), Tensor(np.zeros(12))]


def predict(inputs):
    w1, b1, w2, b2 = parameters
    return tanh(inputs @ w1 + b1) @ w2 + b2  # (B,24) -> (B,12)


def learn(steps, rate=0.2):
    for _ in range(steps):
        error = predict(inputs) - targets
        loss = (error * error).sum() * (1 / len(targets))
        for p in parameters:
            p.grad = None
        backward(loss)
        for p in parameters:
            p.data = p.data - rate * p.grad
    return loss.data


def imagine(frames):
    """Continue from two true frames; each prediction becomes part of the next input."""
    seen = list(video[:2])
    for _ in range(frames):
        seen.append(predict(np.concatenate(seen[-2:])[None]).data[0])
    return np.array(seen[2:])


truth, imagined = bouncing(62)[2:], {}
for steps, name in ((100, "after 100 steps"), (900, "after 1000 steps")):
    loss = learn(steps)
    imagined[name] = imagine(60)
    next_right = (predict(inputs).data.argmax(1) == targets.argmax(1)).sum()
    all_right = (imagined[name].argmax(1) == truth.argmax(1)).all()
    print(f"{name}: loss {loss:.3f}, next frame right in {next_right} of 22 cases, "
          f"all 60 imagined frames right: {all_right}")
#> after 100 steps: loss 0.053, next frame right in 22 of 22 cases, all 60 imagined frames right: False
#> after 1000 steps: loss 0.000, next frame right in 22 of 22 cases, all 60 imagined frames right: True

# %%
figure, axes = plt.subplots(1, 3, figsize=(7.2, 5.4), sharey=True)
for ax, (title, frames) in zip(axes, {"truth": truth, **imagined}.items()):
    ax.imshow(frames, cmap="gray", vmin=0, vmax=1, aspect="auto")
    ax.set(title=title, xlabel="position (pixels)")
axes[0].set_ylabel("imagined frame")
figure.tight_layout()
show(figure, "bouncing_dot")

# %% [markdown]
# Each row is one frame of the video, and time runs downwards. After 100 steps the network predicts every single next
# frame correctly, and still the imagined video dissolves: a small error enters the next input, causes a larger error,
# and so on. Longer training hides the problem here. For real videos it remains the central problem, and lesson 13 is
# about it.
#
# ## What you have now
#
# | here | in the package |
# |---|---|
# | `Op`, `op`, and rules | `tinypredrnn/autograd/op.py`, `Op` |
# | `fit` | `tinypredrnn/autograd/engine.py`, `fit` |
# | `add`, `mul`, `tanh` | `tinypredrnn/autograd/elementwise.py`, `tanh` |
# | `total`, `matmul` | `tinypredrnn/autograd/arrays.py`, `matmul` |
#
# **Real systems.** What a rule computes is called a vector-Jacobian product, VJP for short. JAX lets you ask for it by
# name (`jax.vjp`), and derives it from forward derivatives by transposing linear ops, as above. PyTorch's engine, too,
# sums broadcast gradients in one place.
