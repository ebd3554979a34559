# %% [markdown]
# # 27. A step for matrices: Muon
#
# - **Idea:** a weight is a matrix; turn its gradient into the nearest orthogonal matrix, and rare directions are learnt
#   as fast as frequent ones.
# - **Minutes:** 35
# - **Needs:** lesson 8 (Adam, and the valley that is turned by 45 degrees).
# - **You will see:** inputs of which a few directions hold nearly everything; an Adam that has learnt the frequent
#   directions and not the rare ones; five products of matrices that do the work of a singular value decomposition; and
#   an optimiser that learns all directions alike.
# - **Why:** the first command of the README trains with Muon, not with Adam as the paper does. It should not be magic.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinypredrnn.course import check, show
from tinypredrnn.optim import orthogonal
from tinypredrnn.viz import COLOURS

# %% [markdown]
# ## Frequent and rare directions
# Lesson 8 ends with a valley that Adam descends quickly if it lies along the axes, and slowly if it is turned: Adam
# looks at single numbers. The weights of a layer are a matrix $W$, which makes $y = W x$ of inputs $x$. Let the inputs
# have directions that are frequent (large) and others that are rare, as features of frames do: of 32 directions, each
# is 0.8 times as large as the one before. And let these directions lie anywhere. To learn another matrix $W^*$ from
# examples, the squared error has the gradient
#
# $$G = (W - W^*)\, C, \qquad C = \text{the mean of } x x^\top$$

# %%
SIZE = 32
spread = 0.8 ** np.arange(SIZE)  # the standard deviation along each direction


def task(seed):
    """(directions (SIZE,SIZE), one a column; C; the matrix to be learnt)"""
    rng = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))
    return directions, directions * spread ** 2 @ directions.T, rng.standard_normal((SIZE, SIZE)) / SIZE ** 0.5


directions, C, target = task(0)
values = np.linalg.svd(-target @ C, compute_uv=False)  # of the first gradient, with W = 0
print(f"singular values of the gradient: largest / median {values[0] / np.median(values):.0f}, "
      f"share of the first three in the sum of squares {(values[:3] ** 2).sum() / (values ** 2).sum():.2f}")
#~ singular values of the gradient: largest / median 1271, share of the first three in the sum of squares 0.93

# %% [markdown]
# The gradient is a matrix that acts in a few directions only. A step along it learns those, and hardly touches the
# rest.
#
# ## What Adam has not learnt
# Here are 500 steps of gradient descent with momentum and of Adam. For each, the learning rate is the best of six (the
# one with the least error at the end), and falls linearly to 0. The error is that of the matrix itself, and we look at
# it by thirds of the directions: the frequent ones, the middle ones, the rare ones. 1 means: nothing learnt.

# %%
RATES = tuple(0.003 * 3.0 ** np.arange(6))


class Momentum:
    def __init__(self, mu=0.95):
        self.mu, self.m = mu, 0.0

    def step(self, gradient):
        self.m = self.mu * self.m + (1 - self.mu) * gradient
        return self.m


class Adam(Momentum):
    def __init__(self):
        super().__init__(0.9)
        self.v, self.t = 0.0, 0

    def step(self, gradient):
        self.t += 1
        self.v = 0.999 * self.v + 0.001 * gradient ** 2
        m = super().step(gradient) / (1 - 0.9 ** self.t)
        return m / (np.sqrt(self.v / (1 - 0.999 ** self.t)) + 1e-8)


def learn(optimiser, seed, rate, steps=500):
    """The squared error that is left in each of the three thirds of the directions, as a share of that at first."""
    directions, C, target = task(seed)
    w = np.zeros((SIZE, SIZE))
    for t in range(steps):
        w = w - rate * (1 - t / steps) * optimiser.step((w - target) @ C)
    left, first = (((matrix @ directions) ** 2).sum(axis=0) for matrix in (w - target, target))
    return np.array([left[k].sum() / first[k].sum() for k in np.array_split(np.arange(SIZE), 3)])


def best(make, seed):
    """The thirds for the learning rate that leaves least"""
    with np.errstate(over="ignore", invalid="ignore"):  # some rates are too large
        found = [learn(make(), seed, rate) for rate in RATES]
    return min(found, key=lambda thirds: np.nan_to_num(thirds.sum(), nan=np.inf))


def report(name, make):
    """The thirds for three seeds, (3,3)"""
    found = np.array([best(make, seed) for seed in range(3)])
    for seed, thirds in enumerate(found):
        print(f"{name:8} seed {seed}:", *(f"{value:.2f}" for value in thirds))
    return found


print("error left in the frequent, the middle and the rare directions")
results = {"momentum": report("momentum", Momentum), "Adam": report("Adam", Adam)}
print("Adam has learnt nothing of the rare ones, with any seed:", (results["Adam"][:, 2] > 0.9).all())
#> error left in the frequent, the middle and the rare directions
#? momentum seed 0: 0.00 0.66 0.99
#? momentum seed 1: 0.00 0.66 1.00
#? momentum seed 2: 0.00 0.66 1.00
#? Adam     seed 0: 0.00 0.11 1.06
#? Adam     seed 1: 0.00 0.13 1.09
#? Adam     seed 2: 0.00 0.13 0.98
#> Adam has learnt nothing of the rare ones, with any seed: True

# %% [markdown]
# Adam gives each *number* steps of its own size. But a rare direction is not a number, it is a combination of all of
# them, and in each of them the frequent directions are louder.
#
# ## All directions alike
# Write the gradient by its singular value decomposition, $G = U S V^\top$: it takes the input's directions $V$ to the
# output's directions $U$, each with a strength in $S$. Muon (Jordan et al. 2024) throws the strengths away and steps
# along $U V^\top$: the same directions, all equally strong. This is an **orthogonal** matrix, the one nearest to $G$.
#
# ### Exercise 27.1: the nearest orthogonal matrix (stretch, 10 minutes)
# Return $U V^\top$ for a matrix of any shape. Its singular values are all 1.
#
# *Hint:* `np.linalg.svd(matrix, full_matrices=False)` returns $U$, the strengths, and $V^\top$ (already transposed).

# %%
def by_svd(matrix):
    # <solution>
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    return u @ v
    # </solution>


def by_root(matrix):
    """(A A^T)^(-1/2) A, for matrices that are not higher than wide"""
    values, vectors = np.linalg.eigh(matrix @ matrix.T)
    return vectors / np.sqrt(values) @ vectors.T @ matrix


rng = np.random.default_rng(0)
wide, square = rng.standard_normal((3, 5)), rng.standard_normal((4, 4))
check("27.1", lambda: [by_svd(wide), by_svd(square), by_svd(wide.T)], [by_root(wide), by_root(square), by_root(wide).T])

# %% [markdown]
# ## Without a decomposition
# A singular value decomposition for every kernel in every step is slow, above all on a GPU. But an odd polynomial of a
# matrix, $a X + b\, X X^\top X + c\, (X X^\top)^2 X$, does not touch $U$ and $V$: it applies $a s + b s^3 + c s^5$ to
# each singular value $s$. With well-chosen numbers, a few rounds bring all values from 0 to 1 near 1.

# %%
A, B, C5 = 3.4445, -4.7750, 2.0315  # Jordan's


def rounds(s, count):
    for _ in range(count):
        s = A * s + B * s ** 3 + C5 * s ** 5
    return s


start = np.array([1.0, 0.3, 0.1, 0.03, 0.01, 0.003])
for count in (1, 3, 5):
    print(f"{count} rounds:", *(f"{value:.2f}" for value in rounds(start, count)))
#> 1 rounds: 0.70 0.91 0.34 0.10 0.03 0.01
#> 3 rounds: 0.72 0.97 0.71 1.01 0.40 0.12
#> 5 rounds: 0.70 1.08 0.71 1.12 0.70 1.11

# %%
figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
axis = np.logspace(-4, 0, 400)
for count, shade in ((1, 0.3), (3, 0.6), (5, 1.0)):
    ax.semilogx(axis, rounds(axis, count), color=COLOURS["prediction"], alpha=shade, label=f"{count} rounds")
ax.axhspan(0.68, 1.14, color="0.9")
ax.set(xlabel="singular value before", ylabel="after", title="All singular values, brought near 1")
ax.legend()
show(figure, "rounds")

# %% [markdown]
# The values end between 0.7 and 1.2 and not at 1. That is good enough for a step, and Jordan chose speed over
# exactness.
#
# ### Exercise 27.2: the rounds of a matrix (medium, 5 minutes)
# Apply five rounds to a matrix. First divide it by its Frobenius norm (the root of the sum of its squares), so that no
# singular value is above 1.
#
# *Hint:* with $P = X X^\top$, one round is $a X + (b P + c P P)\, X$.

# %%
def by_rounds(matrix):
    # <solution>
    x = matrix / np.sqrt((matrix ** 2).sum())
    for _ in range(5):
        p = x @ x.T
        x = A * x + (B * p + C5 * p @ p) @ x
    return x
    # </solution>


check("27.2", lambda: [by_rounds(wide), by_rounds(square)], [orthogonal(wide), orthogonal(square)])

# %% [markdown]
# ## Muon on the same task
# One thing is missing: the size of a step. $U V^\top$ has no size of its own, so its numbers are small if the matrix is
# large.
#
# ### Exercise 27.3: how large are the numbers? (easy, 5 minutes)
# Return the root mean square of the numbers of an orthogonal matrix with `rows` rows and `columns` columns.
#
# *Hint:* the sum of the squares of all numbers of a matrix is the sum of the squares of its singular values. How many
# are there?

# %%
def root_mean_square(rows, columns):
    # <solution>
    return min(rows, columns) ** 0.5 / (rows * columns) ** 0.5
    # </solution>


shapes = ((32, 32), (8, 50), (200, 4))
check("27.3", lambda: [root_mean_square(*shape) for shape in shapes],
      [float(np.sqrt((np.linalg.qr(rng.standard_normal((max(shape), min(shape))))[0] ** 2).mean()))
       for shape in shapes])

# %% [markdown]
# This is 1 / sqrt(max(rows, columns)). The package multiplies by 0.2 sqrt(max(rows, columns)): then the numbers move by
# about as much as with Adam, so that one learning rate is good for both (Liu et al. 2025).

# %%
class Muon(Momentum):
    def step(self, gradient):
        m = super().step(gradient)
        return 0.2 * max(m.shape) ** 0.5 * orthogonal(gradient + self.mu * (m - gradient))  # Nesterov's momentum


print("error left in the frequent, the middle and the rare directions")
results["Muon"] = report("Muon", Muon)
print("less than half of Adam's in the rare ones, for every seed:",
      (results["Muon"][:, 2] < results["Adam"][:, 2] / 2).all())
#> error left in the frequent, the middle and the rare directions
#? Muon     seed 0: 0.00 0.00 0.00
#? Muon     seed 1: 0.00 0.00 0.01
#? Muon     seed 2: 0.00 0.00 0.01
#> less than half of Adam's in the rare ones, for every seed: True

# %%
figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for k, (name, thirds) in enumerate(results.items()):
    for seed in range(3):
        ax.plot(np.arange(3) + 0.08 * (k - 1), thirds[seed], "osD"[k], color=("0.6", "#0072B2", "#D55E00")[k],
                label=name if seed == 0 else None)
ax.set(xticks=range(3), xticklabels=["frequent", "middle", "rare"], xlabel="directions of the inputs",
       ylabel="error left, at first 1", title="What is left after 500 steps (each dot a seed)")
ax.legend()
show(figure, "thirds")

# %% [markdown]
# This is a task made to show the effect, without noise. In real data a rare direction may be noise, which is then
# learnt as fast as everything else. So what counts is a real training. Lesson 17 found that 40 steps make no
# difference; `python examples/train_mnist.py --optimiser adam` against the same without the option shows what 1,500
# steps do.
#
# ## What you have now
# - `tinypredrnn/optim.py`, `orthogonal`: the rounds, on a CPU or a GPU, for matrices that are higher than wide as well.
# - `tinypredrnn/optim.py`, `Muon`: a kernel (kh,kw,C,K) is the matrix (kh kw C, K); biases and peepholes move by Adam.
#
# **Real systems.** Kimi K2 (2025), with 32 billion active parameters, was trained with a variant of Muon. Shampoo and
# SOAP, older and younger relatives, keep statistics of rows and columns instead of forgetting all strengths.
