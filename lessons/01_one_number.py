# %% [markdown]
# # 1. One number and its derivative
#
# - **Idea:** a value that remembers how it was computed can give us its derivatives.
# - **Minutes:** 40
# - **Needs:** Python and the chain rule.
# - **You will see:** the derivative 29 of a small formula, found without nudging its input; and two learnt numbers that
#   predict the next position of a moving dot, 6.11.
# - **Why:** a network learns by changing millions of numbers, each a little in the right direction. Finding each
#   direction by trial takes millions of runs of the network for a single step, and the answers are only approximate.

# %% [markdown]
# ## How to work
# `python -m tinypredrnn course write my_lessons` writes copies of all lessons with holes in place of the solutions. Run
# a lesson as a script, or cell by cell in an editor that understands `# %%`. Lines that begin with `#>` show what a
# cell prints. Pictures are saved in `figures/` beside the lesson; you need not read the code that draws them. In an
# exercise, replace `...  # your code` with your code and run the lesson again: `check` prints `OK`, or the first place
# where your answer differs.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinypredrnn.course import check, show

# %% [markdown]
# ## A nudge
# How fast does $f(x) = x^3$ grow at $x = 3$? Nudge $x$ a little, see how far the result moves, and divide: this is a
# **finite difference**. Calculus gives $3 x^2 = 27$.


# %%
def cube(x):
    return x * x * x


nudge = 0.01
print((cube(3.0 + nudge) - cube(3.0)) / nudge)
print((cube(3.0) - cube(3.0 - nudge)) / nudge)
#> 27.0901
#> 26.9101

# %% [markdown]
# Close. The curve bends upwards, so a nudge to the right overestimates the slope and a nudge to the left underestimates
# it. If we measure from the left point to the right one, the two errors almost cancel:

# %%
print((cube(3.0 + nudge) - cube(3.0 - nudge)) / (2 * nudge))
#> 27.0001

# %% [markdown]
# ### Exercise 1.1: the slope of any function (easy, 5 minutes)
# Return the slope of `f` at `x`, estimated by nudging `x` to both sides.
#
# *Hint:* the cell above, with `f` in place of `cube`. The two points are twice the nudge apart.


# %%
def slope(f, x, nudge=1e-5):
    # <solution>
    return (f(x + nudge) - f(x - nudge)) / (2 * nudge)
    # </solution>


check("1.1", lambda: [slope(cube, 3.0), slope(cube, -2.0), slope(lambda x: 1 / x, 0.5), slope(cube, 1.0, nudge=0.1)],
      [27.0, 12.0, -4.0, 3.01], rtol=1e-8)

# %% [markdown]
# ## How small is small?
# A smaller nudge should be better, and it is, down to a point. Here are the errors at $x = 1$, where the derivative is
# 3, for nudges of $10^{-2}$, $10^{-5}$ and $10^{-12}$.


# %%
def errors(nudges):
    one_sided = np.abs((cube(1 + nudges) - cube(1.0)) / nudges - 3)
    two_sided = np.abs((cube(1 + nudges) - cube(1 - nudges)) / (2 * nudges) - 3)
    return one_sided, two_sided


for name, error in zip(("one-sided", "two-sided"), errors(np.array([1e-2, 1e-5, 1e-12]))):
    print(name, *(f"{e:.0e}" for e in error))
#> one-sided 3e-02 3e-05 3e-04
#> two-sided 1e-04 1e-10 1e-04

# %%
nudges = np.logspace(-14, -1, 200)
figure, ax = plt.subplots(figsize=(6.4, 3.8))
for error, name, colour in zip(errors(nudges), ("one-sided", "two-sided"), ("#D55E00", "#0072B2")):
    ax.loglog(nudges, error, ".", color=colour, markersize=4, label=name)
ax.text(2e-14, 3e-8, "too small:\nrounding", fontsize=11)
ax.text(5e-5, 3e-12, "too large:\nthe curve bends", fontsize=11)
ax.set(xlabel="nudge", ylabel="error of the derivative", title="The derivative of x³ at 1, by nudging",
       ylim=(1e-13, 1))
ax.legend(loc="upper center")
show(figure, "nudges")

# %% [markdown]
# The computer keeps about 16 digits. With a nudge of $10^{-12}$ the two results agree in about their first 12 digits,
# and only the last few digits show the difference. A two-sided nudge of about $10^{-5}$ is best. Remember this value:
# lesson 4 uses it in every check.
#
# So nudging works, but it is never exact, and it needs two runs of `f` **for each number** that we want to change. For
# a million numbers that is two million runs. There is a way to get all of the derivatives, exact up to rounding, in a
# single pass.
#
# ## Backwards, by hand
# Take $y = (x^2 + 2)\,x$ at $x = 3$ and split it into single steps. Then ask, from the last step back to the first: if
# *this* value moved a little, how many times as far would $y$ move? That number is called the **cotangent** of the
# value.

# %%
x = 3.0
a = x * x  # 9
b = a + 2.0  # 11
y = b * x  # 33

dy = 1.0  # y moves exactly as far as itself
db = dy * x  # y = b * x: if b moves a little, y moves x times as far
dx_1 = dy * b  # the same step, with respect to x
da = db * 1.0  # b = a + 2: b moves as far as a
dx_2 = da * x  # a = x * x: with respect to the left x
dx_3 = da * x  # ... and to the right one
print(dx_1, dx_2, dx_3, "together", dx_1 + dx_2 + dx_3)
#> 11.0 9.0 9.0 together 29.0

# %% [markdown]
# Calculus agrees: $(x^3 + 2x)' = 3x^2 + 2 = 29$. We used two rules, and no others are needed:
#
# - along a route, slopes are **multiplied** (the chain rule);
# - if several routes lead to the same value, their products are **added**.
#
# In the picture, the slope of each step stands beside its arrow.

# %%
places = {"x": (0, 0), "a = x·x": (1.2, 1), "b = a + 2": (3.0, 1), "y = b·x": (4.2, 0)}
values = {"x": "3", "a = x·x": "9", "b = a + 2": "11", "y = b·x": "33"}
cotangents = {"x": "11 + 9 + 9 = 29", "a = x·x": "3", "b = a + 2": "3", "y = b·x": "1"}
steps = [("x", "a = x·x", 0.3, 3, (0.4, 0.78)), ("x", "a = x·x", -0.06, 3, (1.02, 0.32)),
         ("a = x·x", "b = a + 2", 0, 1, (2.05, 1.14)),
         ("b = a + 2", "y = b·x", 0, 3, (3.75, 0.66)), ("x", "y = b·x", 0, 11, (2.1, 0.14))]
figure, ax = plt.subplots(figsize=(7.4, 3.2))
boxes = {}
for name, (left, up) in places.items():
    boxes[name] = ax.text(left, up, name, ha="center", va="center", fontsize=13,
                          bbox={"boxstyle": "round", "facecolor": "white"})
    ax.text(left, up + 0.27, values[name], ha="center", color="#0072B2", fontsize=13)
    ax.text(left, up - 0.37, cotangents[name], ha="center", color="#D55E00", fontsize=13)
for tail, head, bend, factor, middle in steps:
    ax.annotate("", places[head], places[tail], arrowprops={
        "arrowstyle": "->", "connectionstyle": f"arc3,rad={bend}", "color": "0.5", "linewidth": 1.5,
        "patchA": boxes[tail].get_bbox_patch(), "patchB": boxes[head].get_bbox_patch(), "shrinkA": 4, "shrinkB": 4})
    ax.text(*middle, factor, ha="center", va="center", fontsize=12)
ax.text(2.1, 1.66, "values, from left to right", color="#0072B2", ha="center", fontsize=11)
ax.text(2.1, -0.68, "cotangents, from right to left", color="#D55E00", ha="center", fontsize=11)
ax.set(xlim=(-0.8, 4.8), ylim=(-0.8, 1.8))
ax.axis("off")
show(figure, "by_hand")

# %% [markdown]
# ## A value that remembers
# We knew the steps because we wrote them down. Now let the values record the steps themselves. A `Tensor` is a value
# (for now, one number) with a pointer to the `Node` that made it. The node stores its **parents**, the tensors that
# went in, and the **slope** of the result with respect to each of them.


# %%
class Node:
    """One step of a computation: the tensors that went in, and how fast the result changes with each of them."""

    def __init__(self, parents, slopes):
        self.parents, self.slopes = parents, slopes


class Tensor:
    """A number that remembers how it was made; node is None if no recorded step made it (a leaf)."""

    def __init__(self, data, node=None):
        self.data, self.node, self.grad = data, node, 0.0


def add(a, b):
    return Tensor(a.data + b.data, Node([a, b], [1.0, 1.0]))


def mul(a, b):
    return Tensor(a.data * b.data, Node([a, b], [b.data, a.data]))


leaf = Tensor(3.0)
result = mul(add(mul(leaf, leaf), Tensor(2.0)), leaf)
print(result.data, result.node.slopes, result.node.parents[1] is leaf)
#> 33.0 [3.0, 11.0] True

# %% [markdown]
# ## Backward
# The backward pass is now short. Along each route it multiplies the slopes. A tensor without a node is a **leaf**:
# routes end there, and their products are added up in `grad`.


# %%
def backward(tensor, cotangent=1.0):
    """Add d(result)/d(leaf) to the grad of every leaf that was used; `cotangent` is d(result)/d(tensor)."""
    if tensor.node is None:
        tensor.grad += cotangent
    else:
        for parent, slope in zip(tensor.node.parents, tensor.node.slopes):
            backward(parent, cotangent * slope)


backward(result)
print(leaf.grad)
#> 29.0

# %% [markdown]
# We needed no nudge and no formula for the whole: `add` and `mul` know their own slopes, and `backward` combines them.
# The result is exact up to rounding. This is **reverse-mode automatic differentiation**. Lessons 2 to 5 make it correct
# in every case, fast and economical.
#
# To write `x * x + 2` as in ordinary Python, we define the operators with our steps (`__radd__` and `__rmul__` are for
# a plain number on the left). A plain number becomes a leaf.


# %%
def as_tensor(value):
    return value if isinstance(value, Tensor) else Tensor(value)


Tensor.__add__ = lambda a, b: add(a, as_tensor(b))
Tensor.__radd__ = lambda a, b: add(as_tensor(b), a)
Tensor.__mul__ = lambda a, b: mul(a, as_tensor(b))
Tensor.__rmul__ = lambda a, b: mul(as_tensor(b), a)
Tensor.__sub__ = lambda a, b: add(a, as_tensor(b) * -1.0)
Tensor.__rsub__ = lambda a, b: as_tensor(b) - a


def gradient(f, *values):
    """The derivatives of f with respect to each of its arguments, in one backward pass."""
    leaves = [Tensor(value) for value in values]
    backward(f(*leaves))
    return [leaf.grad for leaf in leaves]


print(gradient(cube, 3.0))
print(gradient(lambda x, y: 5 * x * y + y * y - x, 2.0, 3.0))
#> [27.0]
#> [14.0, 16.0]

# %% [markdown]
# Note that `cube` is the same function that we nudged. It was written for plain numbers and contains nothing about
# derivatives.
#
# ### Exercise 1.2: division (stretch, 10 minutes)
# Write the step for `a / b`. What is its slope with respect to `a`, and with respect to `b`?
#
# *Hint:* $a/b = a \cdot b^{-1}$, and the derivative of $b^{-1}$ is $-b^{-2}$. Compare with `slope` if in doubt.


# %%
def div(a, b):
    # <solution>
    return Tensor(a.data / b.data, Node([a, b], [1 / b.data, -a.data / (b.data * b.data)]))
    # </solution>


check("1.2", lambda: [div(Tensor(3.0), Tensor(4.0)).data, gradient(div, 3.0, 4.0), gradient(div, -1.0, 0.5)],
      [0.75, [0.25, -0.1875], [2.0, 4.0]])

# %% [markdown]
# ## The smallest video
# A dot moves along a line, and we saw it in five frames. Where will it be in the next one? This whole course asks that
# question, with many pixels instead of one dot. Our model of the world: the dot started somewhere and moves at a
# constant speed. These two numbers must be learnt. Start with any values, compute the derivatives of the mean squared
# error with respect to both, subtract `rate` times its derivative from each number, and repeat. This is **gradient
# descent**.

# %%
seen = [1.0, 1.9, 3.1, 4.0, 5.1]  # the position of the dot in frames 0 to 4, in pixels


def loss(start, speed):
    """The mean squared difference between the model's positions and those seen."""
    total = 0.0
    for frame, place in enumerate(seen):
        error = start + speed * frame - place
        total = total + error * error
    return total * (1 / len(seen))


start, speed, rate = 0.0, 0.0, 0.05
for step in range(301):
    d_start, d_speed = gradient(loss, start, speed)
    if step in (0, 10, 50, 300):
        print(f"step {step}: loss {loss(start, speed):.4f}, derivatives {d_start:.4f} {d_speed:.4f}")
    start, speed = start - rate * d_start, speed - rate * d_speed
print(f"started at {start:.3f}, moves {speed:.3f} pixels a frame, will be at {start + speed * 5:.2f}")
#> step 0: loss 11.2460, derivatives -6.0400 -16.2000
#> step 10: loss 0.0558, derivatives -0.2351 0.0822
#> step 50: loss 0.0084, derivatives -0.0699 0.0245
#> step 300: loss 0.0038, derivatives -0.0000 0.0000
#> started at 0.960, moves 1.030 pixels a frame, will be at 6.11

# %%
figure, ax = plt.subplots(figsize=(6.4, 3.6))
times = np.array([0, 5])
ax.plot(times, start + speed * times, color="#0072B2", label="learnt: start + speed · frame")
ax.plot(range(5), seen, "o", color="0.2", markersize=8, label="seen")
ax.plot(5, start + speed * 5, "*", color="#D55E00", markersize=16, label="predicted")
ax.set(xlabel="frame", ylabel="position (pixels)", title="A moving dot, and where it will be", ylim=(0, 7))
ax.legend(loc="upper left")
show(figure, "moving_dot")

# %% [markdown]
# Every network in this course learns in this way. Only the model between the learnt numbers and the loss grows.
#
# ### Exercise 1.3: a falling dot (medium, 5 minutes)
# A falling dot does not keep its speed: its position in frame $t$ is $s + v\,t + \frac{1}{2} g\,t^2$. Return the mean
# squared error of this model for the positions `fallen`. The check compares its value and all three derivatives.
#
# *Hint:* `loss` above with one more term. Tensors support only `+`, `-` and `*` so far: write a half as `0.5 *` and a
# square as `error * error`.

# %%
fallen = [2.0, 2.6, 4.1, 6.7]  # the position of the dot in frames 0 to 3, in pixels


def falling_loss(start, speed, gravity):
    # <solution>
    total = 0.0
    for frame, place in enumerate(fallen):
        error = start + speed * frame + gravity * (0.5 * frame * frame) - place
        total = total + error * error
    return total * (1 / len(fallen))
    # </solution>


check("1.3", lambda: [falling_loss(1.0, 0.5, 2.0), gradient(falling_loss, 1.0, 0.5, 2.0)], [6.915, [2.8, 9.05, 12.675]])

# %% [markdown]
# ## What you have now
# Reverse-mode automatic differentiation of numbers, in about thirty lines.
#
# | here | in the package |
# |---|---|
# | `Tensor` | `tinypredrnn/autograd/tensor.py`, `Tensor` |
# | `Node` | `tinypredrnn/autograd/engine.py`, `Node` |
# | `backward` | `tinypredrnn/autograd/engine.py`, `backward` |
# | `add`, `mul`, and their slopes | `tinypredrnn/autograd/elementwise.py`, `mul` |
# | the operators | `tinypredrnn/autograd/__init__.py`, `METHODS` |
#
# **Real systems.** PyTorch records the steps while the program runs, as we do; a tensor's `grad_fn` is our `node`. JAX
# runs the function once with stand-ins for the arrays, records the whole list of steps, and turns it into another
# function, the derivative. Both visit the steps in a better order than ours, which follows every route separately.
# Lesson 2 counts the routes.
