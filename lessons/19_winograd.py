# %% [markdown]
# # 19. Winograd: 6.25 times fewer multiplications
#
# - **Idea:** polynomials can be multiplied value by value; the transpose of this is a convolution with a fraction of
#   the multiplications.
# - **Minutes:** 120
# - **Needs:** lesson 6 (windows, transposes), lesson 5 (float32), fractions, and what a polynomial is. Lesson 18 is not
#   needed.
# - **You will see:** four products become three, and 400 become 64, exactly, in fractions; the error that this causes
#   in float32, predicted from the matrices alone; gradients that are the same steps transposed; and a clock that does
#   not show 6.25.
# - **Why:** a direct convolution spends nearly all of its time in one matrix product, which already runs as fast as the
#   machine can multiply. There is nothing left to tune. To be faster, you must multiply less often.

# %%
import functools
import statistics
import time
from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

import tinypredrnn as tp
from tinypredrnn.course import check, show, size

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

# %% [markdown]
# ## Where a convolution spends its time
# 128 maps come in and 128 go out (a layer of the paper's network has 128, Section 4.1), in a batch of 8 (Section 4).
# Lesson 6 copied the windows and multiplied them by the weights in one matrix product. We time three things: the whole
# convolution, this product alone, and the fastest thing that the machine can do, a product of square matrices with as
# many multiplications. As always, the programs take turns and we take medians.


# %%
def medians(rounds, **programs):
    """{name: milliseconds}, the median of `rounds` runs; the programs take turns, and the first run does not count."""
    times = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            if turn > 0:
                times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(runs) for name, runs in times.items()}


def direct(x, w):
    with tp.convolution_by("direct"):  # windows and one product, as in lesson 6
        return tp.conv2d(x, w)


rng = np.random.default_rng(19)
maps, rounds = size(128, 32), size(9, 3)
x = rng.standard_normal((8, 16, 16, maps), np.float32)  # (B,H,W,C)
w = rng.standard_normal((5, 5, maps, maps), np.float32) / np.float32(5 * maps**0.5)  # (kh,kw,C,K)
windows, columns = rng.standard_normal((8 * 16 * 16, 25 * maps), np.float32), w.reshape(-1, maps)
multiplications = len(windows) * columns.size
square = rng.standard_normal((round(multiplications ** (1 / 3)),) * 2, np.float32)
times = medians(rounds, direct=lambda: direct(x, w), product=lambda: windows @ columns, square=lambda: square @ square)
print(f"{multiplications / 1e6:.0f} million multiplications: convolution {times['direct']:.0f} ms, "
      f"its product {times['product']:.0f} ms, a square product {times['square']:.0f} ms")
#? 839 million multiplications: convolution 37 ms, its product 29 ms, a square product 25 ms

# %% [markdown]
# The convolution is a product with a little work around it, and the product is nearly as fast as the square one. (The
# loops of lesson 18 cannot help here: they save reading and writing, but each number that this product reads takes part
# in hundreds of multiplications.) So a convolution can be much faster only if it needs fewer multiplications than its
# definition has. This is possible.
#
# ## Three products instead of four
# To multiply two polynomials, $a(t) = a_0 + a_1 t$ and $b(t) = b_0 + b_1 t$, you multiply each coefficient of one by
# each coefficient of the other. That takes four products:
#
# $$a(t)\,b(t) = a_0 b_0 + (a_0 b_1 + a_1 b_0)\, t + a_1 b_1\, t^2$$
#
# In 1960 Anatoly Karatsuba found that three products are enough. $(a_0 + a_1)(b_0 + b_1)$ is the sum of all four
# products, and two of them, $a_0 b_0$ and $a_1 b_1$, are needed anyway. Subtract those two, and the middle coefficient
# is left. Let us do it by hand for 12 times 34, which are $2 + 1t$ and $4 + 3t$ at $t = 10$:
#
# - lowest coefficient: 2 times 4 is 8; highest: 1 times 3 is 3.
# - $(2 + 1)(4 + 3) = 21$, and 21 - 8 - 3 = 10 is the middle coefficient.
# - $8 + 10\,t + 3\,t^2$ at $t = 10$ is 8 + 100 + 300 = 408.
#
# There are more sums and fewer products. To be sure about the products, we let the numbers count them. Only a product
# of two unknown numbers counts; halving a number, or multiplying it by three, does not. (The clock will show at the end
# whether this is fair.)


# %%
class Counted:
    """A number that counts its products with others of its kind."""

    products = 0

    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        return Counted(self.value + getattr(other, "value", other))

    def __mul__(self, other):
        Counted.products += isinstance(other, Counted)
        return Counted(self.value * getattr(other, "value", other))

    def __neg__(self):
        return Counted(-self.value)

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, number):
        return Counted(self.value / number)

    __radd__, __rmul__ = __add__, __mul__


def counted(function, *inputs):
    """[the results as floats, how many products they took]"""
    Counted.products = 0
    results = function(*(Counted(value) for value in inputs))
    if results is None:
        return None
    return [[float(getattr(result, "value", result)) for result in results], Counted.products]


def each_with_each(a0, a1, b0, b1):
    return a0 * b0, a0 * b1 + a1 * b0, a1 * b1


def karatsuba(a0, a1, b0, b1):
    low, high = a0 * b0, a1 * b1
    return low, (a0 + a1) * (b0 + b1) - low - high, high


print(counted(each_with_each, 2, 1, 4, 3), counted(karatsuba, 2, 1, 4, 3))
#> [[8.0, 10.0, 3.0], 4] [[8.0, 10.0, 3.0], 3]

# %% [markdown]
# ## Why it works
# It looks like a lucky trick. But $a_0 + a_1$ is $a(1)$, the *value* of the polynomial at $t = 1$, and $a_0$ is $a(0)$.
# Values of a product are products of values: if $c = a\,b$, then $c(1) = a(1)\,b(1)$. And three values determine a
# polynomial with three coefficients, as two points determine a line. So any three points will do, and each costs one
# product.

# %%
t = np.linspace(-1.5, 1.5, 61)
figure, ax = plt.subplots(figsize=(6.4, 3.9))
a, b = 2 + t, 4 + 3 * t
for values, text, colour in [(a, "a = 2 + t", BLUE), (b, "b = 4 + 3t", GREEN), (a * b, "a b", ORANGE)]:
    ax.plot(t, values, color=colour, linewidth=2, label=text)
for point in (-1, 0, 1):
    a, b = 2 + point, 4 + 3 * point
    ax.plot([point] * 3, [a, b, a * b], "o", color="0.15")
    ax.annotate(f"{a} · {b} = {a * b}", (point, a * b), xytext=(-10, 6), textcoords="offset points", ha="right",
                fontsize=11)
ax.set(xlabel="t", ylabel="value", xlim=(-1.9, 1.5), title="Multiply value by value: three points fix the parabola")
ax.legend(loc="upper left")
ax.grid(alpha=0.3)
show(figure, "values")

# %% [markdown]
# Karatsuba's three points are 0, 1 and one that is not in the picture: **infinity**. For very large $t$ only the
# highest power matters: $c(t) / t^2$ tends to $a_1 b_1$. So the "value at infinity" is the highest coefficient, and
# needs no evaluation at all.
#
# ### Exercise 19.1: three other points (easy, 10 minutes)
# Return the three coefficients of $(a_0 + a_1 t)(b_0 + b_1 t)$, lowest first, from the values at 1, at -1 and at
# infinity: three products.
#
# *Hint:* call the values $p = c_0 + c_1 + c_2$, $q = c_0 - c_1 + c_2$ and $c_2$. What are $p - q$ and $p + q$?


# %%
def by_plus_and_minus(a0, a1, b0, b1):
    # <solution>
    p, q, high = (a0 + a1) * (b0 + b1), (a0 - a1) * (b0 - b1), a1 * b1
    return (p + q) / 2 - high, (p - q) / 2, high
    # </solution>


check("19.1", lambda: [counted(by_plus_and_minus, *four) for four in [(2, 1, 4, 3), (1, -5, 0.5, 3)]],
      [[[8, 10, 3], 3], [[0.5, 0.5, -15], 3]])

# %% [markdown]
# ## Any size: evaluate, multiply, interpolate
# Andrei Toom and Stephen Cook made a general method of this. A polynomial $g$ with $r$ coefficients times a polynomial
# $h$ with $m$ coefficients has $n = m + r - 1$ coefficients. So $n$ points are enough, and $n$ products replace $m\,r$.
# All steps around the products are linear, so they are matrices:
#
# $$g\,h = B\,\big[(G g) \odot (A h)\big]$$
#
# Here $\odot$ multiplies element by element. $A$ and $G$ **evaluate**: they have a row $(1, a, a^2, \dots)$ for each
# point $a$, and the row $(0, \dots, 0, 1)$ for infinity.

# %%
def evaluation(points, count):
    """The rows that evaluate a polynomial of `count` coefficients at the points, and at infinity."""
    return np.array([[a**k for k in range(count)] for a in points] + [[Fraction(k == count - 1) for k in range(count)]])


def fractions(text):
    return tuple(Fraction(number) for number in text.split())


print(evaluation(fractions("0 1 -1 1/2"), 3).astype(str))
#> [['1' '0' '0']
#>  ['1' '1' '1']
#>  ['1' '-1' '1']
#>  ['1' '1/2' '1/4']
#>  ['0' '0' '1']]

# %% [markdown]
# $B$ **interpolates**: it goes from $n$ values back to $n$ coefficients. For each point we need a polynomial that is 1
# there and 0 at all other points. Multiply each value by its polynomial, add up, and the sum is right at every point. A
# polynomial that is 0 at the other points is easy: the product of all $(t - \text{other})$. At its own point it has
# some value, and must be divided by this value. (For infinity, take the product of all $(t - a)$; its highest
# coefficient is 1, so it needs no division.) These polynomials are the columns of $B$, which are the rows of
# $B^\mathsf{T}$.
#
# We have a choice where to divide. Each value is multiplied by a value of $g$, so we can divide the rows of $G$
# instead. In a network, $g$ is the kernel, which meets many inputs but is prepared only once; and $B$ stays free of
# divisions.


# %%
def from_roots(roots, count):
    """The coefficients, lowest first and `count` of them, of the product of all (t - root)."""
    polynomial = [Fraction(1)] + [Fraction(0)] * (count - 1)
    for root in roots:
        times_t = [0, *polynomial[:-1]]
        polynomial = [a - root * b for a, b in zip(times_t, polynomial)]
    return polynomial


def toom_cook(points, m):
    """A (n,m), G (n,r), B^T (n,n), all of Fractions, for n points: these and infinity; r = n + 1 - m."""
    n = len(points) + 1
    zero_elsewhere = [from_roots([other for other in points if other != a], n) for a in points]
    zero_elsewhere.append(from_roots(points, n))  # for infinity
    own_values = [sum(c * a**k for k, c in enumerate(row)) for a, row in zip(points, zero_elsewhere)] + [1]
    G = evaluation(points, n + 1 - m) / np.array(own_values)[:, None]
    return evaluation(points, m), G, np.array(zero_elsewhere)


def random_fractions(rng, *shape):
    return np.vectorize(lambda k: Fraction(int(k), 7), otypes=[object])(rng.integers(-20, 20, shape))


usual = fractions("0 1 -1 2 -2 1/2 -1/2 4 -4 1/4 -1/4")
exact = []
for m in range(1, 7):
    for r in range(1, 7):
        A, G, Bt = toom_cook(usual[:m + r - 2], m)
        g, h = random_fractions(rng, r), random_fractions(rng, m)
        exact.append((Bt.T @ ((G @ g) * (A @ h)) == np.convolve(g, h)).all())
print(f"{len(exact)} sizes, equal to the product: {all(exact)}; "
      f"the last one takes {len(A)} multiplications instead of {m * r}")
#> 36 sizes, equal to the product: True; the last one takes 11 multiplications instead of 36

# %% [markdown]
# These are fractions, so there is no rounding: the results are equal. (`np.convolve` multiplies polynomials, each
# coefficient by each; NumPy computes with fractions if an array holds them.)
#
# ## Transposed, it is a convolution
# But we did not want to multiply polynomials. So what is this good for? Take the product with a *fixed* polynomial
# $g = 1 + 2t + 3t^2$. It is a linear map of $h$, so it is a matrix, $T$. The columns of $T$ are the products with 1 and
# with $t$. Print its transpose:

# %%
g = np.array([1, 2, 3])
T = np.stack([np.convolve(g, one) for one in np.eye(2, dtype=int)], axis=1)  # (n,m)
print(T.T)
#> [[1 2 3 0]
#>  [0 1 2 3]]

# %% [markdown]
# This is a kernel that slides. $T^\mathsf{T}$ takes four numbers $d$, lays the kernel over the first three, then over
# the last three. These are two outputs of the convolution of lesson 6, $y_k = \sum_j g_j\, d_{k+j}$. **The transpose of
# a polynomial product is a convolution.**
#
# And lesson 6 shows how to transpose a sequence of steps: transpose each step, and reverse their order. Let $D$ be the
# diagonal matrix of the numbers $G g$. Then
#
# $$T = B\, D\, A \qquad\Rightarrow\qquad T^\mathsf{T} = A^\mathsf{T} D\, B^\mathsf{T}, \qquad\text{that is}\qquad
# y = A^\mathsf{T} \big[(G g) \odot (B^\mathsf{T} d)\big]$$
#
# A diagonal matrix is its own transpose. So the multiplications that count are still there, and there are still $n$ of
# them. Shmuel Winograd used this for filters. "F(2,3)" means 2 outputs at a time of a kernel of 3; it takes 4
# multiplications instead of 6.


# %%
def convolve_tile(g, d, points, m):
    """m outputs of the kernel g (r,) on the numbers d (n,)"""
    A, G, Bt = toom_cook(points, m)
    return A.T @ ((G @ g) * (Bt @ d))


for name, matrix in zip(["A", "G", "B^T"], toom_cook(fractions("0 1 -1"), m=2)):
    print(name, *("(" + " ".join(f"{value!s:>4}" for value in row) + ")" for row in matrix))
g, d = random_fractions(rng, 3), random_fractions(rng, 4)
print("equal to the convolution:", (convolve_tile(g, d, fractions("0 1 -1"), 2) == [g @ d[:3], g @ d[1:]]).all())
g_then_d = (1, 2, 3, 10, 20, 30, 40)
print(counted(lambda *v: convolve_tile(np.array(v[:3]), np.array(v[3:]), fractions("0 1 -1"), 2), *g_then_d))
#> A (   1    0) (   1    1) (   1   -1) (   0    1)
#> G (  -1    0    0) ( 1/2  1/2  1/2) ( 1/2 -1/2  1/2) (   0    0    1)
#> B^T (  -1    0    1    0) (   0    1    1    0) (   0   -1    1    0) (   0   -1    0    1)
#> equal to the convolution: True
#> [[140.0, 200.0], 4]

# %% [markdown]
# ### Exercise 19.2: Karatsuba, transposed (medium, 10 minutes)
# The outputs of a kernel of two on three numbers are $y_0 = g_0 d_0 + g_1 d_1$ and $y_1 = g_0 d_1 + g_1 d_2$: four
# products. Compute them with three products, by hand, without matrices in the code.
#
# *Hint:* `karatsuba` with $g$ as its first polynomial and $h$ as its second is $c = B\,D\,A\,h$. What are the three
# rows of $A$, which three numbers are on the diagonal of $D$, and what are the three rows of $B$? Then transpose
# everything: reverse the order and read rows as columns.


# %%
def two_outputs(g0, g1, d0, d1, d2):
    # <solution>
    low, both, high = g0 * (d0 - d1), (g0 + g1) * d1, g1 * (d2 - d1)
    return low + both, both + high
    # </solution>


check("19.2", lambda: [counted(two_outputs, *five) for five in [(1, 2, 3, 5, 7), (-2, 0.5, 4, -6, 1)]],
      [[[13, 19], 3], [[-11, 12.5], 3]])

# %% [markdown]
# > **A place to rest.** If exercises 19.1 and 19.2 are OK, you have the algorithm: polynomials multiplied value by
# > value, and their transpose, a convolution. Before you go on, say from memory how many products F(2, 3) takes, and
# > why. What follows takes it to frames, to many channels, and to gradients.
#
# ## Two dimensions
# On a frame, a kernel slides along two axes. Treat each row of the tile as one "number". Then sliding down the frame is
# a convolution in one dimension, in which the product of two "numbers" is a convolution of two rows. This convolution
# needs $n$ such products, and each of them needs $n$ multiplications: $n^2$ instead of $m^2 r^2$. In a formula, the
# matrices act from both sides, once along the columns and once along the rows:
#
# $$y = A^\mathsf{T} \big[(G\, w\, G^\mathsf{T}) \odot (B^\mathsf{T} d\, B)\big] A$$


# %%
def convolve_square(w, d, points, m):
    """m x m outputs of the kernel w (r,r) on the tile d (n,n)"""
    A, G, Bt = toom_cook(points, m)
    return A.T @ ((G @ w @ G.T) * (Bt @ d @ Bt.T)) @ A


for m, r in [(2, 3), (4, 5)]:
    w_tile, d_tile = random_fractions(rng, r, r), random_fractions(rng, m + r - 1, m + r - 1)
    truth = np.array([[(w_tile * d_tile[p:p + r, q:q + r]).sum() for q in range(m)] for p in range(m)])
    Counted.products, count = 0, np.vectorize(Counted)
    convolve_square(count(w_tile), count(d_tile), usual[:m + r - 2], m)
    same = (convolve_square(w_tile, d_tile, usual[:m + r - 2], m) == truth).all()
    before = m * m * r * r
    print(f"F({m}x{m}, {r}x{r}): {Counted.products} instead of {before}, {before / Counted.products} times fewer; "
          f"exact: {same}")
#> F(2x2, 3x3): 16 instead of 36, 2.25 times fewer; exact: True
#> F(4x4, 5x5): 64 instead of 400, 6.25 times fewer; exact: True

# %%
def squares(ax, blocks, across, colour):
    """Draw blocks x blocks groups of across x across squares, one for each multiplication."""
    step, width = across + 1, blocks * (across + 1)
    corners = [(block_j * step + j, block_i * step + i)
               for block_i, block_j in np.ndindex(blocks, blocks) for i, j in np.ndindex(across, across)]
    ax.add_collection(PatchCollection([Rectangle(corner, 0.75, 0.75) for corner in corners], color=colour, linewidth=0))
    ax.set(xlim=(-0.5, width), ylim=(23.5, -0.5), aspect="equal")
    ax.axis("off")


figure, (left, right) = plt.subplots(1, 2, figsize=(6.6, 4.6), width_ratios=[24.5, 9.5])
squares(left, 4, 5, ORANGE)
squares(right, 1, 8, BLUE)
left.set_title("direct: 25 for each of 16 outputs, 400", fontsize=12)
right.set_title("F(4x4, 5x5): 64", fontsize=12)
show(figure, "count")

# %% [markdown]
# For the computer, multiplying from two sides is awkward. If a tile is written as one long row of $n^2$ numbers, a
# single matrix does both. It is the **Kronecker product**, which holds every product of an entry for one axis with an
# entry for the other:

# %%
Bt = toom_cook(usual[:3], 2)[2]
d = random_fractions(rng, 4, 4)
print((np.kron(Bt, Bt) @ d.ravel() == (Bt @ d @ Bt.T).ravel()).all(), np.kron(Bt, Bt).shape)
#> True (16, 16)

# %% [markdown]
# ## Whole frames: tiles that overlap
# A frame is cut into tiles of $n \times n$ pixels, one every $m$ pixels. Since $n = m + r - 1$, neighbouring tiles
# share $r - 1$ rows or columns of pixels. Their outputs, $m \times m$ each, lie side by side. Zeros are added around
# the frame, and outputs beyond it are dropped.
#
# Cutting and pasting are transposes of each other, like `unfold` and `fold`: where tiles overlap, `paste` adds them up.


# %%
def cut(x, across, step, before):
    """Tiles of across x across pixels, one every `step` pixels, the first `before` pixels outside the frame.

    (B,H,W,C) -> (across^2, B P Q, C)
    """
    rows, columns = (-(-length // step) for length in x.shape[1:3])  # P, Q: rounded up
    after = [count * step + across - step - before - length for count, length in zip((rows, columns), x.shape[1:3])]
    x = np.pad(x, ((0, 0), (before, after[0]), (before, after[1]), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (across, across), axis=(1, 2))
    tiles = windows[:, ::step, ::step]  # (B,P,Q,C,across,across)
    return tiles.transpose(4, 5, 0, 1, 2, 3).reshape(across**2, -1, x.shape[-1])


def paste(tiles, shape, across, step, before):
    """The transpose of cut: each pixel gets the sum of its copies. (across^2, B P Q, C) -> shape (B,H,W,C)"""
    count, height, width, channels = shape
    rows, columns = -(-height // step), -(-width // step)
    tiles = tiles.reshape(across, across, count, rows, columns, channels)
    x = np.zeros((count, rows * step + across - step, columns * step + across - step, channels), tiles.dtype)
    for i, j in np.ndindex(across, across):
        x[:, i:i + rows * step:step, j:j + columns * step:step] += tiles[i, j]
    return x[:, before:before + height, before:before + width]


frames, shape = rng.standard_normal((2, 9, 6, 3)), (2, 9, 6, 3)
tiles = cut(frames, across=8, step=4, before=2)
other = rng.standard_normal(tiles.shape)
print(tiles.shape, "adjoint test:", np.isclose((tiles * other).sum(), (frames * paste(other, shape, 8, 4, 2)).sum()))
#> (64, 12, 3) adjoint test: True

# %% [markdown]
# ## Many channels: one matrix product for each frequency
# With channels, every output is a sum over $C$ channels: at each of the $n^2$ places of a tile there are $C$ products,
# which are added up. Everything after the products is linear, so add up *first* and transform back once for each of the
# $K$ output maps, not once for each of the $C\,K$ pairs of maps. Call a place $f$ of the tile a frequency (the values
# of a polynomial play the role here that a spectrum plays in Fourier's method). At one frequency, what remains is
#
# $$M_{f\,\tau k} = \sum_c V_{f\,\tau c}\; U_{f\,ck},$$
#
# a matrix product, with one row for each tile $\tau$. Four lines do everything:
#
# | | | |
# |---|---|---|
# | $V = B^\mathsf{T} x\, B$ | (F,tiles,C) | cut, and one product with $B^\mathsf{T} \otimes B^\mathsf{T}$ |
# | $U = G\, w\, G^\mathsf{T}$ | (F,C,K) | one product with $G \otimes G$ |
# | $M = V U$ | (F,tiles,K) | $F = n^2$ products |
# | $y = A^\mathsf{T} M A$ | (B,H,W,K) | one product with $A^\mathsf{T} \otimes A^\mathsf{T}$, and paste |


# %%
@functools.cache
def both_axes(points, m, dtype):
    """A, G, B^T for a tile in one row: (n^2,m^2), (n^2,r^2), (n^2,n^2). Only here are the fractions rounded."""
    return [np.kron(matrix, matrix).astype(dtype) for matrix in toom_cook(points, m)]


def apply(matrix, tiles):
    """(a,b) times (b, ...) -> (a, ...)"""
    return np.tensordot(matrix, tiles, axes=1)


def to_frequencies(w, points, m):
    """U: (r,r,C,K) -> (F,C,K)"""
    return apply(both_axes(points, m, w.dtype)[1], w.reshape(-1, *w.shape[2:]))


def frequencies_of_frames(x, points, m):
    """V: (B,H,W,C) -> (F,tiles,C)"""
    n = len(points) + 1
    return apply(both_axes(points, m, x.dtype)[2], cut(x, n, m, before=(n - m) // 2))


def to_frames(products, shape, points, m):
    """y: (F,tiles,K) -> shape (B,H,W,K)"""
    return paste(apply(both_axes(points, m, products.dtype)[0].T, products), shape, m, m, 0)


def winograd(x, w, points, m):
    u = to_frequencies(w, points, m)
    return to_frames(frequencies_of_frames(x, points, m) @ u, (*x.shape[:3], u.shape[2]), points, m)


for m, r, shape in [(2, 3, (9, 6)), (4, 5, (9, 6)), (4, 3, (1, 7)), (3, 4, (5, 8))]:
    some_x, some_w = rng.standard_normal((2, *shape, 3)), rng.standard_normal((r, r, 3, 2))
    close = np.allclose(winograd(some_x, some_w, usual[:m + r - 2], m), direct(some_x, some_w), rtol=0, atol=1e-12)
    print(f"F({m}x{m}, {r}x{r}) on frames of {shape}: {close}")
#> F(2x2, 3x3) on frames of (9, 6): True
#> F(4x4, 5x5) on frames of (9, 6): True
#> F(4x4, 3x3) on frames of (1, 7): True
#> F(3x3, 4x4) on frames of (5, 8): True

# %% [markdown]
# The package has the same functions under the same names, and the same seven points for F(4x4, 5x5). Inside
# `convolution_by("winograd", tile=4)` its convolutions use tiles of 4x4 outputs; inside `convolution_by("direct")` they
# are direct. Otherwise the package chooses; we shall see how.

# %%
four = usual[:7]  # for F(4x4, 5x5), and for F(6x6, 3x3)
package_matrices = tp.autograd.toom_cook.toom_cook(4, 5)
print("the same matrices:", all((ours == theirs).all() for ours, theirs in zip(toom_cook(four, 4), package_matrices)))


def by_tiles(x, w):
    with tp.convolution_by("winograd", tile=4):
        return tp.conv2d(x, w)


def distance(y, truth):
    """The relative error, |y - truth| / |truth|, with norms of whole arrays"""
    return float(np.linalg.norm(y - truth) / np.linalg.norm(truth))


x_small, w_small = x[:2], w[..., :16]
truth = direct(x_small.astype(float), w_small.astype(float))
errors = [distance(y, truth) for y in (winograd(x_small, w_small, four, 4), by_tiles(x_small, w_small))]
print("float32, errors of our tiles and of the package's below 1e-5:", max(errors) < 1e-5)
print("float32, error of the direct form below 1e-6:", distance(direct(x_small, w_small), truth) < 1e-6)
#> the same matrices: True
#> float32, errors of our tiles and of the package's below 1e-5: True
#> float32, error of the direct form below 1e-6: True

# %% [markdown]
# All of it is right, and yet the last two lines differ: in float32, tiles have a price. We come to it after the
# gradients.
#
# ## Gradients: the same steps, transposed
# The convolution was a transpose; its gradients are transposes again. Every step is linear in the frames and in the
# weights, so we go backwards from $dy$:
#
# | forward | backward |
# |---|---|
# | $y = A^\mathsf{T} M A$ | $dM = A\, dy\, A^\mathsf{T}$ |
# | $M = V U$, for each frequency | $dV = dM\, U^\mathsf{T}$ and $dU = V^\mathsf{T} dM$ |
# | $V = B^\mathsf{T} x\, B$ | $dx = B\, dV\, B^\mathsf{T}$, pasted, so overlaps add up |
# | $U = G\, w\, G^\mathsf{T}$ | $dw = G^\mathsf{T} dU\, G$ |
#
# No new matrix is needed, and each gradient takes as few multiplications as the forward pass.
#
# ### Exercise 19.3: the kernel's gradient, for one tile (stretch, 25 minutes)
# For one tile and one channel, return $dw$ (r,r) from the tile $d$ (n,n) and the cotangent $dy$ (m,m). With a single
# channel in and out, the products of all frequencies together are one elementwise product.
#
# *Hint:* start from the last line of the table and replace what you do not have by what you have. You need all three
# matrices.


# %%
def kernel_gradient(d, dy, points):
    A, G, Bt = (matrix.astype(float) for matrix in toom_cook(points, len(dy)))  # (n,m), (n,r), (n,n)
    # <solution>
    return G.T @ ((A @ dy @ A.T) * (Bt @ d @ Bt.T)) @ G
    # </solution>


def answers_19_3():
    for m, r in [(2, 3), (4, 3), (2, 2)]:
        d, dy = np.random.default_rng(m).standard_normal((2, 6, 6))
        d, dy = d[:m + r - 1, :m + r - 1], dy[:m, :m]
        truth = np.array([[(d[i:i + m, j:j + m] * dy).sum() for j in range(r)] for i in range(r)])
        yield kernel_gradient(d, dy, usual[:m + r - 2]), truth


check("19.3", lambda: [ours for ours, _ in answers_19_3()], [truth for _, truth in answers_19_3()], rtol=1e-9)

# %% [markdown]
# For whole frames we make two ops: one for the weights and one for the rest. The next section says why there are two.


# %%
@tp.op(w=lambda du, w_shape, points, m: apply(both_axes(points, m, du.dtype)[1].T, du).reshape(w_shape))
def weight_frequencies(w, *, points, m):
    return to_frequencies(w, points, m)


def backward_to_products(dy, points, m):
    """dM: the transpose of to_frames"""
    return apply(both_axes(points, m, dy.dtype)[0], cut(dy, m, m, 0))


def backward_to_frames(dv, x_shape, points, m):
    """dx: the transpose of frequencies_of_frames"""
    n = len(points) + 1
    return paste(apply(both_axes(points, m, dv.dtype)[2].T, dv), x_shape, n, m, before=(n - m) // 2)


def gradient_of_frames(dy, u, x_shape, points, m):
    return backward_to_frames(backward_to_products(dy, points, m) @ u.swapaxes(1, 2), x_shape, points, m)


def gradient_of_frequencies(dy, x, points, m):
    return frequencies_of_frames(x, points, m).swapaxes(1, 2) @ backward_to_products(dy, points, m)


@tp.op(x=gradient_of_frames, u=gradient_of_frequencies)
def winograd_conv(x, u, *, points, m):
    return to_frames(frequencies_of_frames(x, points, m) @ u, (*x.shape[:3], u.shape[2]), points, m)


def ours(x, w):
    return winograd_conv(x, weight_frequencies(w, points=four, m=4), points=four, m=4)


def value_and_gradients(function, x, w, dy):
    leaves = [tp.tensor(a, requires_grad=True) for a in (x, w)]
    y = function(*leaves)
    y.backward(dy)
    return [y.data, *(leaf.grad for leaf in leaves)]


x_test, w_test, dy = (rng.standard_normal(shape) for shape in [(2, 9, 6, 3), (5, 5, 3, 4), (2, 9, 6, 4)])
print("gradcheck:", tp.gradcheck(ours, x_test[:1, :5, :5, :2], w_test[:, :, :2, :2]))
pairs = zip(value_and_gradients(ours, x_test, w_test, dy), value_and_gradients(direct, x_test, w_test, dy))
print("float64, errors of y, dx, dw below 1e-12:", [distance(a, b) < 1e-12 for a, b in pairs])
inputs = [x_small, w_small, rng.standard_normal((*x_small.shape[:3], 16), np.float32)]
reference = value_and_gradients(direct, *(a.astype(float) for a in inputs))
for name, function in {"ours": ours, "the package's": by_tiles}.items():
    pairs = zip(value_and_gradients(function, *inputs), reference)
    print(f"float32, {name}, errors below 1e-5:", [distance(a, b) < 1e-5 for a, b in pairs])
#> gradcheck: True
#> float64, errors of y, dx, dw below 1e-12: [True, True, True]
#> float32, ours, errors below 1e-5: [True, True, True]
#> float32, the package's, errors below 1e-5: [True, True, True]

# %% [markdown]
# ## Weights transformed once per sequence
# $U$ must be made from the weights, and $dw$ from $dU$. In a recurrent network the same weights meet every frame of a
# sequence. $U$ is a tensor of its own and is made only once, so the engine adds up the $dU$ of all steps, and only
# their sum is transformed back.


# %%
def unrolled(w, steps, once):
    """The recurrence y <- tanh(conv(y, w)), with the weights transformed once, or in every step."""
    y, u = x_test, weight_frequencies(w, points=four, m=4)
    for _ in range(steps):
        y = tp.tanh(winograd_conv(y, u if once else weight_frequencies(w, points=four, m=4), points=four, m=4))
    return y


gradients = []
for once in (False, True):
    w_leaf = tp.tensor(w_test[..., :3], requires_grad=True)
    y = unrolled(w_leaf, 10, once)
    y.sum().backward()
    gradients.append(w_leaf.grad)
print("the same gradient:", distance(*gradients) < 1e-12)
for batch in (1, 8):
    tiles = batch * 16  # of a frame of 16 x 16
    print(f"batch {batch}: for each pair of channels {64 * tiles} products, {64 * 25} multiplications to make U")
#> the same gradient: True
#> batch 1: for each pair of channels 1024 products, 1600 multiplications to make U
#> batch 8: for each pair of channels 8192 products, 1600 multiplications to make U

# %% [markdown]
# With a batch of one sequence, making $U$ in every step would cost more than the products that use it. The package's
# models make it once per sequence, with `tp.shared_weights()`.
#
# > **A place to rest.** If exercise 19.3 is OK, you have a convolution with all its gradients that takes 6.25 times
# > fewer multiplications. Two questions remain: what it costs in accuracy, and what the clock says.
#
# ## The price
# In fractions, the tiles are exact. In float32 every number is rounded to about seven digits (lesson 5). How much this
# matters depends on the sum that follows. Here is the last of the four outputs of F(4, 5), computed with two sets of
# points: the eight terms, and their sum.

# %%
whole = fractions("0 1 -1 2 -2 3 -3 4 -4 5 -5")
example = np.random.default_rng(0)
g, d = example.standard_normal(5), example.standard_normal(8)
for points in (whole[:7], four):
    A, G, Bt = (matrix.astype(float) for matrix in toom_cook(points, 4))
    terms = A[:, 3] * (G @ g) * (Bt @ d)
    print(*(f"{term:7.2f}" for term in terms), f"  sum {terms.sum():.3f}   points", *points)
#>   -0.00    0.45    0.03   20.36    6.49  -45.35  -21.23   40.19   sum 0.929   points 0 1 -1 2 -2 3 -3
#>   -0.00   -0.45    0.15   -1.43    0.40    0.25   -0.17    2.17   sum 0.929   points 0 1 -1 2 -2 1/2 -1/2

# %% [markdown]
# The output is the same, but in the first row it is a small difference of large terms. Each term is rounded in *its*
# seventh digit, and the rounding errors do not cancel. The powers of 3 are to blame: far from 0 the values of a
# polynomial grow fast. With 1/2 they stay together.
#
# How much larger are the terms in general? Let $g$ and $d$ be random numbers with standard deviation 1. If independent
# numbers are added, their variances add up. So the standard deviation of $(G g)_i$ is the norm of row $i$ of $G$,
# $|G_i|$; likewise for $B^\mathsf{T}$; and the term of output $k$ is $A_{ik}$ times both. Rounding errors are
# proportional to the terms and nearly independent, so their variances add up as well, over all terms of all outputs.
# The true outputs are $m$ sums of $r$ products each; their variances sum to $m\,r$. Relative to the outputs, the size
# of the terms is
#
# $$\text{growth} = \sqrt{\frac{1}{m\,r} \sum_i |A_i|^2\, |G_i|^2\, |B^\mathsf{T}_i|^2}$$
#
# Here the sum over $k$ has turned the $A_{ik}^2$ into $|A_i|^2$. The three matrices enter alike, so the gradients, for
# which the matrices change places, have the same growth. In two dimensions, the rows of a Kronecker product have
# products of norms, so the growth is squared.


# %%
def growth(points, m):
    """The size of the terms relative to the outputs that they add up to: one dimension, tiles of m outputs."""
    r = len(points) + 2 - m
    norms = [np.linalg.norm(matrix.astype(float), axis=1) for matrix in toom_cook(points, m)]  # of the rows, (n,) each
    return float(np.linalg.norm(norms[0] * norms[1] * norms[2]) / np.sqrt(m * r))


x_error = rng.standard_normal((2, 24, 24, 32), np.float32)
kernels = {r: rng.standard_normal((r, r, 32, 16), np.float32) for r in (3, 5)}
truths = {r: direct(x_error.astype(float), kernel.astype(float)) for r, kernel in kernels.items()}
measured = {}  # {(r, points, m): error}
for r, choice in [(5, usual), (5, whole), (3, usual), (3, whole)]:
    for m in range(1, 7):
        points = choice[:m + r - 2]
        measured[r, points, m] = distance(winograd(x_error, kernels[r], points, m), truths[r])
ratios = [error / growth(points, m) ** 2 for (_, points, m), error in measured.items()]
print("smallest error below 1e-6:", min(measured.values()) < 1e-6)
print("largest error above 1e-2:", max(measured.values()) > 1e-2)
print("error / growth^2 within a factor of two of 1.5e-7, always:", 0.75e-7 < min(ratios) and max(ratios) < 3e-7)
#> smallest error below 1e-6: True
#> largest error above 1e-2: True
#> error / growth^2 within a factor of two of 1.5e-7, always: True

# %% [markdown]
# The errors span more than four powers of ten, and the matrices alone predict them:
# $1.5 \cdot 10^{-7}\,\text{growth}^2$, where the factor is two to three float32 roundings (6e-8 each). You need not run
# a network to choose its points. Here is the trade-off for kernels of 5x5:

# %%
tile_sizes = range(1, 7)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.9))
left.plot(tile_sizes, [(m + 4) ** 2 / m**2 for m in tile_sizes], "o-", color=BLUE)
for m in tile_sizes:
    left.annotate(f"{(m + 4) ** 2 / m**2:.3g}", (m, (m + 4) ** 2 / m**2), xytext=(3, 6), textcoords="offset points")
left.set(ylabel="multiplications for one output", ylim=(0, 28), title="What larger tiles save")
for choice, text, colour in [(whole, "0, ±1, ±2, ±3, ...", ORANGE), (usual, "0, ±1, ±2, ±1/2, ±4, ±1/4", BLUE)]:
    sets = [(5, choice[:m + 3], m) for m in tile_sizes]
    right.plot(tile_sizes, [1.5e-7 * growth(points, m) ** 2 for _, points, m in sets], color=colour, linewidth=1)
    right.plot(tile_sizes, [measured[key] for key in sets], "o", color=colour, label=text)
right.plot([], [], color="0.4", linewidth=1, label="predicted by the growth")
right.axhline(distance(direct(x_error, kernels[5]), truths[5]), color=GREEN, linestyle="--", label="direct")
right.set(yscale="log", ylabel="relative error in float32", title="What they cost")
right.legend(fontsize=9)
for ax in (left, right):
    ax.set(xlabel="outputs of a tile, each way: m", xticks=tile_sizes)
    ax.grid(alpha=0.3)
figure.tight_layout()
show(figure, "trade")

# %% [markdown]
# The step from $m = 4$ to $m = 5$ saves a fifth of the multiplications and costs nearly a digit: the points $\pm 1/2$
# are used already, so the next point is 4. The package stops at eight points per axis, which is $m = 4$ for this
# kernel.
#
# ### Exercise 19.4: better points (stretch, 15 minutes)
# F(4x4, 3x3) needs five points and infinity. Return five fractions whose predicted error is at most half of that for 0,
# 1, -1, 2, -2.
#
# *Hint:* a point $a$ far from 0 makes high powers large; a point near 0 makes low powers large in comparison. Which
# pairs of points balance each other? Scan some with `growth(points, 4)`, or try all sets of small fractions
# (`itertools.combinations` lists them).


# %%
def better_points():
    # <solution>
    return fractions("0 3/2 -3/2 2/3 -2/3")
    # </solution>


def verdict_on_points():
    points = better_points()
    return points and [len(set(points)), growth(points, 4) ** 2 <= 0.5 * growth(usual[:5], 4) ** 2]


check("19.4", verdict_on_points, [5, True])

# %% [markdown]
# ## An honest timing
# How much of the 6.25 does the clock show? First count again, and this time count every multiplication. For one tile,
# $C$ maps in and $K$ out:
#
# - the products of the frequencies: $64\,C\,K$. These are the ones that we counted before; there is one set for each
#   pair of channels.
# - the transforms: they are needed for each map, not for each pair of maps, which is why we could leave them out. With
#   Kronecker products, they take $64 \cdot 64$ multiplications for each map in and $16 \cdot 64$ for each map out.
#
# That is a lot for one map, but there is a better way: transform along one axis and then along the other, not along
# both at once, and do not multiply by the zeros and ones. The package writes each matrix out as straight-line code,
# which numba compiles. Here are the lines for its $B^\mathsf{T}$; you can check them:

# %%
A, G, Bt = tp.autograd.toom_cook.toom_cook(4, 5)
lines_in, lines_out = tp.autograd.tile_source.product_lines(Bt), tp.autograd.tile_source.transposed_lines(A)
print("\n".join(lines_in))
#> y0 = T(5.25) * x2 + x6 - x0 - T(5.25) * x4
#> z1 = x2 + x6 - T(4.25) * x4
#> z2 = x1 + x5 - T(4.25) * x3
#> z3 = T(0.25) * x2 + x6 - T(1.25) * x4
#> z4 = T(0.5) * x1 + T(2.0) * x5 - T(2.5) * x3
#> z5 = T(4.0) * x2 + x6 - T(5.0) * x4
#> z6 = T(2.0) * x1 + T(0.5) * x5 - T(2.5) * x3
#> y7 = T(5.25) * x3 + x7 - x1 - T(5.25) * x5
#> y1 = z1 + z2
#> y2 = z1 - z2
#> y3 = z3 + z4
#> y4 = z3 - z4
#> y5 = z5 + z6
#> y6 = z5 - z6

# %% [markdown]
# The points $a$ and $-a$ share their even powers ($z_1$, $z_3$, $z_5$), and share their odd powers ($z_2$, $z_4$,
# $z_6$) up to a sign. This is another reason to choose points in pairs.


# %%
def multiplications_per_tile(channels, features, one_matrix_product):
    """[direct, products of the frequencies, transforms]"""
    if one_matrix_product:
        transforms = 64 * 64 * channels + 16 * 64 * features
    else:  # in: 8 columns and 8 rows; out: 8 rows and 4 columns; each T(...) in the lines is one multiplication
        transforms = 16 * str(lines_in).count("T(") * channels + 12 * str(lines_out).count("T(") * features
    return 400 * channels * features, 64 * channels * features, transforms


for channels in (1, 16, 128):
    for how, one_matrix_product in [("Kronecker", True), ("straight lines", False)]:
        before, products, transforms = multiplications_per_tile(channels, channels, one_matrix_product)
        fewer = before / (products + transforms)
        print(f"{channels} -> {channels}, {how}: {before} / ({products} + {transforms}) = {fewer:.2f}")
#> 1 -> 1, Kronecker: 400 / (64 + 5120) = 0.08
#> 1 -> 1, straight lines: 400 / (64 + 328) = 1.02
#> 16 -> 16, Kronecker: 102400 / (16384 + 81920) = 1.04
#> 16 -> 16, straight lines: 102400 / (16384 + 5248) = 4.73
#> 128 -> 128, Kronecker: 6553600 / (1048576 + 655360) = 3.85
#> 128 -> 128, straight lines: 6553600 / (1048576 + 41984) = 6.01

# %% [markdown]
# So even by a full count, the factor comes near 6.25 only if there are many channels. And the clock? We time the direct
# form and its product; the products of the frequencies alone; the package's transforms alone, in and out; then all of
# the package's tiles, and all of ours.

# %%
U, V = to_frequencies(w, four, 4), frequencies_of_frames(x, four, 4)  # U is made once, as in a sequence
M, y = V @ U, np.empty_like(x)
there, back = tp.autograd.winograd.transforms((5, 5), 4)
tiles_in, tiles_out = tp.autograd.winograd.tile_grids(tp.autograd.grid.grid((16, 16), (5, 5)), 4)
with tp.shared_weights():
    times = medians(rounds, direct=lambda: direct(x, w), product=lambda: windows @ columns,
                    products=lambda: np.matmul(V, U, out=M),
                    there=lambda: there.gather([x], "v", tiles_in), back=lambda: back.scatter(M, [y], tiles_out),
                    tiles=lambda: by_tiles(x, w), ours=lambda: winograd_conv(x, U, points=four, m=4))
print(f"direct {times['direct']:.1f} ms, its product {times['product']:.1f} ms, "
      f"divided by 6.25: {times['product'] / 6.25:.1f} ms")
print(f"products {times['products']:.1f} ms, transforms {times['there']:.1f} and {times['back']:.1f} ms")
print(f"tiles {times['tiles']:.1f} ms: {times['direct'] / times['tiles']:.1f} times as fast as direct")
print(f"ours {times['ours']:.1f} ms: {times['direct'] / times['ours']:.1f} times as fast as direct")
_, products, transforms = multiplications_per_tile(maps, maps, one_matrix_product=False)
print(f"the transforms are {100 * transforms / (products + transforms):.0f} % of the multiplications "
      f"and {100 * (times['there'] + times['back']) / times['tiles']:.0f} % of the time")
dy = rng.standard_normal(x.shape, np.float32)
training = medians(rounds, direct=lambda: value_and_gradients(direct, x, w, dy),
                   tiles=lambda: value_and_gradients(by_tiles, x, w, dy))
print(f"forward and backward: direct {training['direct']:.0f} ms, tiles {training['tiles']:.0f} ms")
#? direct 38.4 ms, its product 28.7 ms, divided by 6.25: 4.6 ms
#? products 7.3 ms, transforms 1.2 and 0.8 ms
#? tiles 7.5 ms: 5.1 times as fast as direct
#? ours 13.9 ms: 2.8 times as fast as direct
#? the transforms are 4 % of the multiplications and 26 % of the time
#? forward and backward: direct 125 ms, tiles 34 ms

# %% [markdown]
# The products alone come near the promise; 64 small products use the machine a little less well than one large product.
# The transforms take a larger share of the time than of the multiplications, because their main work is not
# multiplying: they *move* numbers. $V$ has four numbers for each pixel of $x$ (64 for 16 pixels), and $M$ has four for
# each pixel of $y$. All of them are written and read again for a handful of sums and products each. Lesson 18 measures
# the floor of such work, and a count of multiplications does not see it. With few channels, it is nearly all of the
# work:


# %%
def speedup(channels):
    """How many times as fast the package's tiles are as the direct form: 8 frames of 16x16, as many maps out as in."""
    x = rng.standard_normal((8, 16, 16, channels), np.float32)
    w = rng.standard_normal((5, 5, channels, channels), np.float32)
    with tp.shared_weights():
        times = medians(rounds * min(16, 256 // channels), direct=lambda: direct(x, w), tiles=lambda: by_tiles(x, w))
    return times["direct"] / times["tiles"]


numbers = size([2, 4, 8, 16, 32, 64, 128], [2, 32])
fast = [speedup(channels) for channels in numbers]
counts = [multiplications_per_tile(channels, channels, one_matrix_product=False) for channels in numbers]
figure, ax = plt.subplots(figsize=(6.4, 3.9))
ax.axhline(6.25, color="0.4", linestyle=":", label="multiplications of unknowns: 6.25")
ax.plot(numbers, [before / (products + transforms) for before, products, transforms in counts], "s-", color=BLUE,
        label="all multiplications")
ax.plot(numbers, fast, "o-", color=ORANGE, label="time, measured")
ax.axhline(1, color="0.4", linewidth=1)
ax.annotate("direct", (numbers[0], 1), xytext=(0, 4), textcoords="offset points", color="0.3")
ax.set_xscale("log", base=2)
ax.set_xticks(numbers, numbers)
ax.set(xlabel="maps in, and as many out", ylabel="times fewer, times faster", ylim=(0, 9),
       title="What is saved, by count and by clock")
ax.legend(loc="upper left")
ax.grid(alpha=0.3)
show(figure, "clock")

# %% [markdown]
# So the package chooses. On the CPU it estimates, for every shape, what both forms cost, and takes the cheaper one. A
# multiplication in a product counts 1, a number that is transformed counts 20, and a number that is copied into a
# window counts 15 (these are measured, not derived). Tiles whose error would exceed 1e-5 for the given number of maps
# are not considered. In float64 the package always uses the direct form, because float64 is used to compute references.

# %%
for channels in (1, 2, 32, 128):
    frame = np.zeros((8, 16, 16, channels), np.float32)
    grid = tp.autograd.grid.grid(size=(16, 16), kernel=(5, 5))
    kernels = np.zeros((*grid.kernel, frame.shape[3], channels), np.float32)
    print(channels, "maps:", tp.autograd.convolution.choose(grid, [frame], kernels, None))
#> 1 maps: Direct()
#> 2 maps: Direct()
#> 32 maps: Winograd(tile=4)
#> 128 maps: Winograd(tile=4)

# %% [markdown]
# ## What you have now
# A convolution that needs 64 multiplications instead of 400. It comes from a trick for multiplying two numbers and two
# ideas: values at points, and a transpose. It is exact in fractions, has a predictable error in float32, and has
# gradients.
#
# | here | in the package |
# |---|---|
# | `toom_cook`, `from_roots` | `tinypredrnn/autograd/toom_cook.py`, `toom_cook` |
# | `usual`, and the points of exercise 19.4 | `tinypredrnn/autograd/toom_cook.py`, `points` |
# | `cut` with $B^\mathsf{T}$; its transpose | `tinypredrnn/autograd/winograd.py`, `Transform.gather`; `scatter` |
# | `weight_frequencies` | `tinypredrnn/autograd/winograd.py`, `winograd_weights` |
# | `winograd_conv` | `tinypredrnn/autograd/winograd.py`, `winograd_conv`: also for several frames side by side |
# | the lines of the transforms | `tinypredrnn/autograd/tile_source.py`, `product_lines` |
# | `u` made once for ten steps | `tinypredrnn/autograd/convolution.py`, `shared_weights` |
# | the sum of ten $dU$ | `tinypredrnn/autograd/winograd.py`, `weight_gradient`: for as many steps at once as fit |
# | which form is cheaper | `tinypredrnn/autograd/winograd.py`, `cost` |
#
# The package also processes a large batch slice by slice, so that $V$ and $M$ stay in the cache, and each of its
# threads takes samples of its own through all steps (`tinypredrnn/threads.py`, `share`). On a GPU it uses a direct
# kernel for the tensor cores instead (`tinypredrnn/gpu/convolution.cu`); if you ask for tiles there, it uses Kronecker
# products, as we did here.
#
# **Real systems.** Andrew Lavin and Scott Gray brought this to neural networks ("Fast Algorithms for Convolutional
# Neural Networks", 2016) with F(2x2, 3x3) and F(4x4, 3x3). cuDNN has it among its algorithms; PyTorch, with
# `torch.backends.cudnn.benchmark = True`, times them for each shape and keeps the fastest. 16-bit numbers have rounding
# errors thousands of times larger, so the growth allows small tiles only. On hardware with units for matrix products,
# multiplications have become so cheap that saving them often does not pay for moving more numbers. For large kernels
# there is another set of points, the complex roots of unity. All of them have absolute value 1, so nothing grows. This
# is the fast Fourier transform.
