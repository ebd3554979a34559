# %% [markdown]
# # 19. Winograd: 6.25 times fewer multiplications
#
# - **Idea:** polynomials can be multiplied value by value; transposed, that is a convolution with a fraction of the multiplications.
# - **Minutes:** 75
# - **Needs:** lesson 6 (windows, transposes), lesson 5 (float32), fractions, and what a polynomial is. Lesson 18 is not needed.
# - **You will see:** four products become three, 400 become 64, all of it exact in fractions; what that costs in float32, told in advance
#   by the matrices alone; gradients that are the same steps transposed; and a clock that does not say 6.25.
# - **Why:** a direct convolution spends nearly all of its time in one matrix product, and that runs as fast as the machine can multiply.
#   Nothing is left to tune. Whoever wants to be faster has to multiply less often.

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
# 128 maps come in and 128 go out (a layer of the paper's network has 128, Section 4.1), in a batch of 8 (Section 4). Lesson 6 made
# windows, which is a copy, and one product of them with the weights. We time both together, that product, and the fastest thing that the
# machine can do: a product of square matrices with as many multiplications. In turns, and medians, as always.


# %%
def medians(rounds, **programs):
    """{name: milliseconds}, the median of as many runs; the programs take turns, and the first run does not count."""
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
print(f"{multiplications / 1e6:.0f} million multiplications: convolution {times['direct']:.0f} ms, its product {times['product']:.0f} ms,"
      f" a square product {times['square']:.0f} ms")
#? 839 million multiplications: convolution 37 ms, its product 29 ms, a square product 25 ms

# %% [markdown]
# The convolution is a product with a little around it, and the product keeps up with the best. (Lesson 18's loops cannot help here: they
# save reading and writing, and each number that this product reads takes part in hundreds of multiplications.) So is that the end? It
# is, unless a convolution can be had with fewer multiplications than its definition has. It can.
#
# ## Three products instead of four
# Two polynomials, $a(t) = a_0 + a_1 t$ and $b(t) = b_0 + b_1 t$, are multiplied "each with each", and that takes four products:
#
# $$a(t)\,b(t) = a_0 b_0 + (a_0 b_1 + a_1 b_0)\, t + a_1 b_1\, t^2$$
#
# In 1960 Anatoly Karatsuba found that three will do: $(a_0 + a_1)(b_0 + b_1)$ holds all four, and two of them are needed anyway.
# Subtract those, and the middle is left. By hand, with 12 times 34, which are $2 + 1t$ and $4 + 3t$ at $t = 10$:
#
# - low: 2 times 4 is 8. High: 1 times 3 is 3.
# - $(2 + 1)(4 + 3) = 21$, and 21 - 8 - 3 = 10 is the middle.
# - $8 + 10\,t + 3\,t^2$ at $t = 10$ is 8 + 100 + 300 = 408.
#
# Sums became more, products fewer. To be sure of the latter, let numbers count. Only a product of two numbers that are both unknown
# counts; halving something, or taking it three times, does not. (Why that is fair is a question for the clock, at the end.)


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
    return None if results is None else [[float(getattr(result, "value", result)) for result in results], Counted.products]


def each_with_each(a0, a1, b0, b1):
    return a0 * b0, a0 * b1 + a1 * b0, a1 * b1


def karatsuba(a0, a1, b0, b1):
    low, high = a0 * b0, a1 * b1
    return low, (a0 + a1) * (b0 + b1) - low - high, high


print(counted(each_with_each, 2, 1, 4, 3), counted(karatsuba, 2, 1, 4, 3))
#> [[8.0, 10.0, 3.0], 4] [[8.0, 10.0, 3.0], 3]

# %% [markdown]
# ## What the trick is
# It looks like luck. But $a_0 + a_1$ is $a(1)$, the *value* of the polynomial at $t = 1$, and $a_0$ is $a(0)$. Values of a product are
# products of values: if $c = a\,b$, then $c(1) = a(1)\,b(1)$. And a polynomial with three coefficients is known from its values at three
# points, as a line is known from two. So any three points will do, and each costs one product.

# %%
t = np.linspace(-1.5, 1.5, 61)
figure, ax = plt.subplots(figsize=(6.4, 3.9))
for values, text, colour in [(2 + t, "a = 2 + t", BLUE), (4 + 3 * t, "b = 4 + 3t", GREEN), ((2 + t) * (4 + 3 * t), "a b", ORANGE)]:
    ax.plot(t, values, color=colour, linewidth=2, label=text)
for point in (-1, 0, 1):
    a, b = 2 + point, 4 + 3 * point
    ax.plot([point] * 3, [a, b, a * b], "o", color="0.15")
    ax.annotate(f"{a} · {b} = {a * b}", (point, a * b), xytext=(-10, 6), textcoords="offset points", ha="right", fontsize=11)
ax.set(xlabel="t", ylabel="value", xlim=(-1.9, 1.5), title="Multiply value by value: three points fix the parabola")
ax.legend(loc="upper left")
ax.grid(alpha=0.3)
show(figure, "values")

# %% [markdown]
# Karatsuba's three points are 0, 1 and one that does not lie in the picture: **infinity**. For very large $t$ only the highest power
# matters, $c(t) / t^2$ tends to $a_1 b_1$; so the "value at infinity" is the highest coefficient, which costs no evaluation at all.
#
# ### Exercise 19.1: three other points
# Return the three coefficients of $(a_0 + a_1 t)(b_0 + b_1 t)$, lowest first, by the values at 1, at -1 and at infinity: three products.
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
# Andrei Toom and Stephen Cook made a method of it. A polynomial $g$ with $r$ coefficients times a polynomial $h$ with $m$ has
# $n = m + r - 1$ coefficients, so $n$ points suffice, where each with each takes $m\,r$ products. All three steps around the products
# are linear, hence matrices:
#
# $$g\,h = B\,\big[(G g) \circ (A h)\big]$$
#
# with $\circ$ for products of number and number. $A$ and $G$ **evaluate**: a row $(1, a, a^2, \dots)$ for each point $a$, and
# $(0, \dots, 0, 1)$ for infinity.

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
# $B$ **interpolates**: from $n$ values back to $n$ coefficients. We need for each point a polynomial that is 1 there and 0 at all other
# points: then the value times that polynomial, added up over the points, is right everywhere. One that is 0 at the others is easy, it is
# the product of all $(t - \text{other})$. At its own point it is some number, by which it must be divided. (For infinity: the
# product of all $(t - a)$, whose highest coefficient is 1 and is not divided.) These polynomials are the columns of $B$, the rows of
# $B^\mathsf{T}$.
#
# Where to divide? Here is a choice. Each value is multiplied by a value of $g$, so we may as well divide the rows of $G$. In a network $g$
# is the kernel, which meets many inputs and has to be prepared once; and $B$ stays free of divisions.


# %%
def from_roots(roots, count):
    """The coefficients, lowest first and `count` of them, of the product of all (t - root)."""
    polynomial = [Fraction(1)] + [Fraction(0)] * (count - 1)
    for root in roots:
        times_t = [0, *polynomial[:-1]]
        polynomial = [a - root * b for a, b in zip(times_t, polynomial)]
    return polynomial


def toom_cook(points, m):
    """A (n,m), G (n,r), B^T (n,n) for these points and infinity, n of them together; r = n + 1 - m. All of them Fractions."""
    n = len(points) + 1
    zero_elsewhere = [from_roots([other for other in points if other != a], n) for a in points] + [from_roots(points, n)]
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
print(f"{len(exact)} sizes, exactly the product: {all(exact)}; the last one took {len(A)} multiplications instead of {m * r}")
#> 36 sizes, exactly the product: True; the last one took 11 multiplications instead of 36

# %% [markdown]
# Not "up to rounding": equal, as fractions. (`np.convolve` multiplies polynomials each with each; NumPy computes with fractions when
# an array holds them.)
#
# ## Transposed, it is a convolution
# We did not want to multiply polynomials, though. What is it good for? Take the product with a *fixed* polynomial $g = 1 + 2t + 3t^2$. It
# is a linear map of $h$, hence a matrix, $T$; its columns are what becomes of 1 and of $t$. Print its transpose:

# %%
g = np.array([1, 2, 3])
T = np.stack([np.convolve(g, one) for one in np.eye(2, dtype=int)], axis=1)  # (n,m)
print(T.T)
#> [[1 2 3 0]
#>  [0 1 2 3]]

# %% [markdown]
# There it is: a kernel that slides. $T^\mathsf{T}$ takes four numbers $d$, lays the kernel over the first three, then over the next three:
# two outputs of lesson 6's convolution, $y_k = \sum_j g_j\, d_{k+j}$. **The transpose of a polynomial product is a convolution.**
#
# And lesson 6 knows how steps are transposed: each one, in reverse order. With $D$ for the diagonal matrix of the numbers $G g$,
#
# $$T = B\, D\, A \qquad\Rightarrow\qquad T^\mathsf{T} = A^\mathsf{T} D\, B^\mathsf{T}, \qquad\text{that is}\qquad
# y = A^\mathsf{T} \big[(G g) \circ (B^\mathsf{T} d)\big]$$
#
# A diagonal matrix is its own transpose. So the multiplications that count are still there, and still $n$. Shmuel Winograd used this for
# filters; "F(2,3)" means: 2 outputs at a time, of a kernel of 3. It takes 4 multiplications instead of 6.


# %%
def convolve_tile(g, d, points, m):
    """m outputs of the kernel g (r,) on the numbers d (n,)"""
    A, G, Bt = toom_cook(points, m)
    return A.T @ ((G @ g) * (Bt @ d))


for name, matrix in zip(["A", "G", "B^T"], toom_cook(fractions("0 1 -1"), m=2)):
    print(name, *("(" + " ".join(f"{value!s:>4}" for value in row) + ")" for row in matrix))
g, d = random_fractions(rng, 3), random_fractions(rng, 4)
print("exactly the convolution:", (convolve_tile(g, d, fractions("0 1 -1"), 2) == [g @ d[:3], g @ d[1:]]).all())
print(counted(lambda *v: convolve_tile(np.array(v[:3]), np.array(v[3:]), fractions("0 1 -1"), 2), 1, 2, 3, 10, 20, 30, 40))
#> A (   1    0) (   1    1) (   1   -1) (   0    1)
#> G (  -1    0    0) ( 1/2  1/2  1/2) ( 1/2 -1/2  1/2) (   0    0    1)
#> B^T (  -1    0    1    0) (   0    1    1    0) (   0   -1    1    0) (   0   -1    0    1)
#> exactly the convolution: True
#> [[140.0, 200.0], 4]

# %% [markdown]
# ### Exercise 19.2: Karatsuba, transposed
# The outputs of a kernel of two on three numbers are $y_0 = g_0 d_0 + g_1 d_1$ and $y_1 = g_0 d_1 + g_1 d_2$: four products. Write them
# with three, by hand, without matrices of the computer.
#
# *Hint:* `karatsuba` with $g$ as its first polynomial and $h$ as its second is $c = B\,D\,A\,h$. What are the three rows of $A$, which
# three numbers stand in $D$, what are the three rows of $B$? Then read all of it backwards, rows as columns.


# %%
def two_outputs(g0, g1, d0, d1, d2):
    # <solution>
    low, both, high = g0 * (d0 - d1), (g0 + g1) * d1, g1 * (d2 - d1)
    return low + both, both + high
    # </solution>


check("19.2", lambda: [counted(two_outputs, *five) for five in [(1, 2, 3, 5, 7), (-2, 0.5, 4, -6, 1)]], [[[13, 19], 3], [[-11, 12.5], 3]])

# %% [markdown]
# ## Two dimensions
# A kernel on a frame slides along two axes. Take the rows of the tile for "numbers": then down the frame, it is a convolution of
# one dimension, in which the product of two "numbers" is a convolution of two rows. The first needs $n$ of those, each of them $n$
# multiplications: $n^2$ in place of $m^2 r^2$. As a formula, the matrices act on both sides, once down and once along:
#
# $$y = A^\mathsf{T} \big[(G\, w\, G^\mathsf{T}) \circ (B^\mathsf{T} d\, B)\big] A$$


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
    print(f"F({m}x{m}, {r}x{r}): {Counted.products} instead of {before}, {before / Counted.products} times fewer; exact: {same}")
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
# For the computer, two sides are awkward. A tile written as one long row of $n^2$ numbers is multiplied by a single matrix, the
# **Kronecker product**, which holds every product of an entry for "down" with an entry for "along":

# %%
Bt = toom_cook(usual[:3], 2)[2]
d = random_fractions(rng, 4, 4)
print((np.kron(Bt, Bt) @ d.ravel() == (Bt @ d @ Bt.T).ravel()).all(), np.kron(Bt, Bt).shape)
#> True (16, 16)

# %% [markdown]
# ## Whole frames: tiles that overlap
# A frame is cut into tiles of $n \times n$ pixels, one every $m$ pixels. As $n = m + r - 1$, neighbours share $r - 1$ rows or columns of
# pixels. Their outputs, $m \times m$ each, lie side by side. At the border zeros are added, and outputs beyond the frame are dropped.
#
# Cutting and pasting are transposes of each other, like `unfold` and `fold`: where tiles overlap, `paste` adds up.


# %%
def cut(x, across, step, before):
    """Tiles of across x across pixels, one every `step`, beginning `before` pixels outside: (B,H,W,C) -> (across^2, B P Q, C)"""
    rows, columns = (-(-length // step) for length in x.shape[1:3])  # P, Q: rounded up
    after = [count * step + across - step - before - length for count, length in zip((rows, columns), x.shape[1:3])]
    x = np.pad(x, ((0, 0), (before, after[0]), (before, after[1]), (0, 0)))
    tiles = np.lib.stride_tricks.sliding_window_view(x, (across, across), axis=(1, 2))[:, ::step, ::step]  # (B,P,Q,C,across,across)
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
# With channels, every output is a sum over $C$ of them: $C$ products at each of the $n^2$ places of a tile, which add up. All that follows
# is linear, so add up *first* and go back once, for $K$ maps, instead of for each of $C\,K$ pairs. At one place $f$ (call it a
# frequency: the values of a polynomial play the role that a spectrum plays for Fourier) what remains is
#
# $$M_{f\,\tau k} = \sum_c V_{f\,\tau c}\; U_{f\,ck},$$
#
# a matrix product, over all tiles $\tau$. Four lines in all:
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
    """A, G, B^T for a tile in one row: (n^2,m^2), (n^2,r^2), (n^2,n^2). The fractions are rounded here, once."""
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
    x_test, w_test = rng.standard_normal((2, *shape, 3)), rng.standard_normal((r, r, 3, 2))
    close = np.allclose(winograd(x_test, w_test, usual[:m + r - 2], m), direct(x_test, w_test), rtol=0, atol=1e-12)
    print(f"F({m}x{m}, {r}x{r}) on frames of {shape}: {close}")
#> F(2x2, 3x3) on frames of (9, 6): True
#> F(4x4, 5x5) on frames of (9, 6): True
#> F(4x4, 3x3) on frames of (1, 7): True
#> F(3x3, 4x4) on frames of (5, 8): True

# %% [markdown]
# The package has the same under the same names, and for F(4x4, 5x5) the same seven points. Within
# `convolution_by("winograd", tile=4)` its convolutions go through tiles of 4x4 outputs, within `convolution_by("direct")` they are direct.
# Otherwise it chooses, and we shall see how.

# %%
four = usual[:7]  # for F(4x4, 5x5), and for F(6x6, 3x3)
print("the same matrices:", all((ours == theirs).all() for ours, theirs in zip(toom_cook(four, 4), tp.autograd.winograd.toom_cook(4, 5))))


def by_tiles(x, w):
    with tp.convolution_by("winograd", tile=4):
        return tp.conv2d(x, w)


def distance(y, truth):
    """The relative error, as norms: |y - truth| / |truth|"""
    return float(np.linalg.norm(y - truth) / np.linalg.norm(truth))


x_small, w_small = x[:2], w[..., :16]
truth = direct(x_small.astype(float), w_small.astype(float))
errors = [distance(y, truth) for y in (winograd(x_small, w_small, four, 4), by_tiles(x_small, w_small), direct(x_small, w_small))]
print("float32, errors of ours and of the package below 1e-5:", max(errors[:2]) < 1e-5)
print("direct below 1e-6:", errors[2] < 1e-6)
#> the same matrices: True
#> float32, errors of ours and of the package below 1e-5: True
#> direct below 1e-6: True

# %% [markdown]
# All of it right, and yet the last two lines differ: in float32 there is a price. We come to it when the gradients are done.
#
# ## Gradients: the same steps, transposed
# The convolution was a transpose; its gradients are transposes again. Every step is linear in the frames and in the weights, so from $dy$
# we go backwards:
#
# | forward | backward |
# |---|---|
# | $y = A^\mathsf{T} M A$ | $dM = A\, dy\, A^\mathsf{T}$ |
# | $M = V U$, for each frequency | $dV = dM\, U^\mathsf{T}$ and $dU = V^\mathsf{T} dM$ |
# | $V = B^\mathsf{T} x\, B$ | $dx = B\, dV\, B^\mathsf{T}$, pasted, so overlaps add up |
# | $U = G\, w\, G^\mathsf{T}$ | $dw = G^\mathsf{T} dU\, G$ |
#
# Not a new matrix anywhere, and as few multiplications as forward.
#
# ### Exercise 19.3: the kernel's gradient, one tile
# One tile, one channel: return $dw$ (r,r) from the tile $d$ (n,n) and the cotangent $dy$ (m,m). With a single channel in and out, the
# products of all frequencies are one product, number by number.
#
# *Hint:* start from the last line of the table and replace what you do not have by what you do. All three matrices come in.


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
        yield kernel_gradient(d, dy, usual[:m + r - 2]), np.array([[(d[i:i + m, j:j + m] * dy).sum() for j in range(r)] for i in range(r)])


check("19.3", lambda: [ours for ours, _ in answers_19_3()], [truth for _, truth in answers_19_3()], rtol=1e-9)

# %% [markdown]
# For whole frames, two ops: one for the weights, one for the rest. That they are two has a reason, which comes next.


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


@tp.op(x=lambda dy, u, x_shape, points, m: backward_to_frames(backward_to_products(dy, points, m) @ u.swapaxes(1, 2), x_shape, points, m),
       u=lambda dy, x, points, m: frequencies_of_frames(x, points, m).swapaxes(1, 2) @ backward_to_products(dy, points, m))
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
print("float64, y, dx, dw as the direct form, to 1e-12:", [distance(a, b) < 1e-12 for a, b in pairs])
inputs = [x_small, w_small, rng.standard_normal((*x_small.shape[:3], 16), np.float32)]
reference = value_and_gradients(direct, *(a.astype(float) for a in inputs))
for name, function in {"ours": ours, "the package": by_tiles}.items():
    print(f"float32, {name}, to 1e-5:", [distance(a, b) < 1e-5 for a, b in zip(value_and_gradients(function, *inputs), reference)])
#> gradcheck: True
#> float64, y, dx, dw as the direct form, to 1e-12: [True, True, True]
#> float32, ours, to 1e-5: [True, True, True]
#> float32, the package, to 1e-5: [True, True, True]

# %% [markdown]
# ## The weights, once for a sequence
# $U$ has to be made from the weights, and $dw$ from $dU$. In a recurrent network the same weights meet every frame of a sequence. Since
# $U$ is a tensor of its own, made once, the engine adds up the $dU$ of all steps, and only their sum is transformed back.


# %%
def unrolled(w, steps, once):
    """A recurrence y <- tanh(conv(y, w)); the weights are transformed once, or in every step."""
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
# With one sequence at a time, making $U$ in every step would cost more than what it is made for. The package's models make it once
# for a sequence, with `tp.shared_weights()`.
#
# ## The price
# In fractions, the tiles are exact. In float32 every number is rounded to about seven digits (lesson 5), and what that does depends on
# the sum that follows. Here is one output of F(4, 5), the last of four, made with two sets of points: the eight terms, and their sum.

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
# The same output, but the first sum reaches it as a small difference of large terms. Each term is rounded in *its* seventh digit, and the
# rounding does not cancel. Powers of 3 did that: far from 0 the values of a polynomial grow fast. With 1/2 they stay together.
#
# How much larger are the terms in general? Let $g$ and $d$ be random numbers with standard deviation 1. Where independent numbers are
# added, the squares of their standard deviations add up. So $(G g)_i$ has as standard deviation the norm of row $i$ of $G$, $|G_i|$;
# likewise for $B^\mathsf{T}$; and the term of output $k$ is $A_{ik}$ times both. Rounding errors are in proportion to the terms and nearly
# independent, so their squares add up as well, over all terms of all outputs. The true outputs are $m$ sums of $r$ products each, the
# squares of their standard deviations are $m\,r$ together. Compared with them, the terms are larger by
#
# $$\text{growth} = \sqrt{\frac{1}{m\,r} \sum_i |A_i|^2\, |G_i|^2\, |B^\mathsf{T}_i|^2}$$
#
# where the sum over $k$ has made $|A_i|^2$ of the $A_{ik}^2$. The three matrices enter alike, so the gradients, where they change places,
# have the same growth. In two dimensions, rows of a Kronecker product have products of norms: the growth is squared.


# %%
def growth(points, m):
    """How much larger than the outputs the terms are that make them: one dimension, tiles of m outputs."""
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
print("smallest error below 1e-6:", min(measured.values()) < 1e-6, "  largest above 1e-2:", max(measured.values()) > 1e-2)
print("error / growth^2 within a factor of two of 1.5e-7, always:", 0.75e-7 < min(ratios) and max(ratios) < 3e-7)
#> smallest error below 1e-6: True   largest above 1e-2: True
#> error / growth^2 within a factor of two of 1.5e-7, always: True

# %% [markdown]
# The errors reach over more than four powers of ten, and the matrices alone tell them in advance, by $1.5 \cdot 10^{-7}\,\text{growth}^2$,
# two to three roundings of float32 (6e-8 each). Nobody has to run a network to choose its points. Here is the trade for kernels of 5x5:

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
# The step from $m = 4$ to $m = 5$ saves a fifth of the multiplications and costs nearly a digit: the points $\pm 1/2$ are used up, 4 must
# come in. The package goes up to eight points an axis, $m = 4$ for this kernel, and no further.
#
# ### Exercise 19.4: better points
# F(4x4, 3x3) needs five points and infinity. Return five fractions whose predicted error is at most half of that of 0, 1, -1, 2, -2.
#
# *Hint:* a point $a$ far from 0 makes high powers large, one near 0 makes low powers large beside them. Which pairs of points balance
# each other? Scan them by `growth(points, 4)`; or try all sets of small fractions, `itertools.combinations` lists them.


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
# ## Time, honestly
# What of 6.25 does the clock see? First count again, and nothing for free this time. For one tile, $C$ maps in and $K$ out:
#
# - the products of the frequencies: $64\,C\,K$. They are what we counted, and they are what is summed over pairs of channels.
# - the transforms: for each map, not for each pair, which is why they could go uncounted. With Kronecker products, $64 \cdot 64$
#   multiplications for each map in, $16 \cdot 64$ for each map out.
#
# That is a lot for one map, and it can be done better: down and then along instead of both at once, and without multiplying by the zeros
# and ones. The package writes each matrix out as straight lines, which numba compiles. This is its $B^\mathsf{T}$, and you can check it:

# %%
A, G, Bt = tp.autograd.winograd.toom_cook(4, 5)
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
# A pair of points $\pm a$ shares its even powers ($z_1$, $z_3$, $z_5$) and its odd ones, up to a sign. Another reason to choose pairs.


# %%
def multiplications_per_tile(channels, features, one_matrix_product):
    """[direct, products of the frequencies, transforms]"""
    if one_matrix_product:
        transforms = 64 * 64 * channels + 16 * 64 * features
    else:  # 8 columns and 8 rows on the way in, 8 rows and 4 columns on the way out; T(...) is a number that is multiplied with
        transforms = 16 * str(lines_in).count("T(") * channels + 12 * str(lines_out).count("T(") * features
    return 400 * channels * features, 64 * channels * features, transforms


for channels in (1, 16, 128):
    for how, one_matrix_product in [("Kronecker", True), ("straight lines", False)]:
        before, products, transforms = multiplications_per_tile(channels, channels, one_matrix_product)
        print(f"{channels} -> {channels}, {how}: {before} / ({products} + {transforms}) = {before / (products + transforms):.2f}")
#> 1 -> 1, Kronecker: 400 / (64 + 5120) = 0.08
#> 1 -> 1, straight lines: 400 / (64 + 328) = 1.02
#> 16 -> 16, Kronecker: 102400 / (16384 + 81920) = 1.04
#> 16 -> 16, straight lines: 102400 / (16384 + 5248) = 4.73
#> 128 -> 128, Kronecker: 6553600 / (1048576 + 655360) = 3.85
#> 128 -> 128, straight lines: 6553600 / (1048576 + 41984) = 6.01

# %% [markdown]
# So even a full count says 6.25 for many channels only. And the clock? Here are the direct form and its product; the products of the
# frequencies alone; the package's transforms alone, there and back; then all of the package's tiles, and all of ours.

# %%
U, V = to_frequencies(w, four, 4), frequencies_of_frames(x, four, 4)  # U is made once, as in a sequence
M, y = V @ U, np.empty_like(x)
there, back = tp.autograd.winograd.transforms((5, 5), 4)
tiles_in, tiles_out = tp.autograd.winograd.tile_grids(tp.autograd.grid.grid((16, 16), (5, 5)), 4)
with tp.shared_weights():
    times = medians(rounds, direct=lambda: direct(x, w), product=lambda: windows @ columns, products=lambda: np.matmul(V, U, out=M),
                    there=lambda: there.gather([x], "v", tiles_in), back=lambda: back.scatter(M, [y], tiles_out),
                    tiles=lambda: by_tiles(x, w), ours=lambda: winograd_conv(x, U, points=four, m=4))
print(f"direct {times['direct']:.1f} ms, its product {times['product']:.1f} ms, of which a 6.25th is {times['product'] / 6.25:.1f} ms")
print(f"products {times['products']:.1f} ms, transforms {times['there']:.1f} and {times['back']:.1f} ms")
print(f"tiles {times['tiles']:.1f} ms: {times['direct'] / times['tiles']:.1f} times as fast as direct")
print(f"ours {times['ours']:.1f} ms: {times['direct'] / times['ours']:.1f} times as fast as direct")
_, products, transforms = multiplications_per_tile(maps, maps, one_matrix_product=False)
print(f"the transforms are {100 * transforms / (products + transforms):.0f} % of the multiplications "
      f"and {100 * (times['there'] + times['back']) / times['tiles']:.0f} % of the time")
dy = rng.standard_normal(x.shape, np.float32)
training = medians(rounds, direct=lambda: value_and_gradients(direct, x, w, dy), tiles=lambda: value_and_gradients(by_tiles, x, w, dy))
print(f"forward and backward: direct {training['direct']:.0f} ms, tiles {training['tiles']:.0f} ms")
#? direct 38.4 ms, its product 28.7 ms, of which a 6.25th is 4.6 ms
#? products 7.3 ms, transforms 1.2 and 0.8 ms
#? tiles 7.5 ms: 5.1 times as fast as direct
#? ours 13.9 ms: 2.8 times as fast as direct
#? the transforms are 4 % of the multiplications and 26 % of the time
#? forward and backward: direct 125 ms, tiles 34 ms

# %% [markdown]
# The products alone come near the promise; 64 small ones keep the machine a little less busy than one large one. The transforms take more
# of the time than of the multiplications, because multiplying is not what they do: they *move*. $V$ has four numbers for each pixel of
# $x$ (64 for 16 pixels), $M$ four for each of $y$, all of them written and read again for a handful of sums and products each; that is
# the kind of work whose floor lesson 18 measures, and a count of multiplications does not see it. With few channels, it is nearly all
# there is:


# %%
def speedup(channels):
    """How many times as fast the package's tiles are as the direct form: 8 frames of 16x16, as many maps out as in."""
    x, w = rng.standard_normal((8, 16, 16, channels), np.float32), rng.standard_normal((5, 5, channels, channels), np.float32)
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
ax.set(xlabel="maps in, and as many out", ylabel="times fewer, times faster", ylim=(0, 9), title="What is saved, by count and by clock")
ax.legend(loc="upper left")
ax.grid(alpha=0.3)
show(figure, "clock")

# %% [markdown]
# So the package chooses. On the CPU, it estimates for every shape what both forms cost, and takes the cheaper one: a
# multiplication of a product counts 1, a number that is transformed 20, a number that is copied into a window 15
# (measured, not derived). Tiles whose error would exceed 1e-5 with so many maps are left out. In float64 it stays
# direct, because float64 is what one computes references with.

# %%
for channels in (1, 2, 32, 128):
    frame = np.zeros((8, 16, 16, channels), np.float32)
    g = tp.autograd.grid.grid(size=(16, 16), kernel=(5, 5))
    print(channels, "maps:", tp.autograd.convolution.choose(g, [frame], features=channels))
#> 1 maps: Direct()
#> 2 maps: Direct()
#> 32 maps: Winograd(tile=4)
#> 128 maps: Winograd(tile=4)

# %% [markdown]
# ## What you have now
# A convolution with 64 multiplications where its definition has 400, derived from a school trick by two ideas: values at points, and a
# transpose. Exact in fractions; in float32 with an error that you can predict; and with gradients.
#
# | here | in the package |
# |---|---|
# | `toom_cook`, `from_roots` | `tinypredrnn/autograd/winograd.py`, `toom_cook` |
# | `usual`, and the points of exercise 19.4 | `tinypredrnn/autograd/winograd.py`, `points` |
# | `cut` with $B^\mathsf{T}$, and its transpose | `tinypredrnn/autograd/winograd.py`, `Transform.gather` and `Transform.scatter` |
# | `weight_frequencies` | `tinypredrnn/autograd/winograd.py`, `winograd_weights` |
# | `winograd_conv` | `tinypredrnn/autograd/winograd.py`, `winograd_conv`: it also takes several frames whose channels lie side by side |
# | the lines of the transforms | `tinypredrnn/autograd/tile_source.py`, `product_lines` |
# | `u` made once for ten steps | `tinypredrnn/autograd/convolution.py`, `shared_weights` |
# | the sum of ten $dU$ | `tinypredrnn/autograd/winograd.py`, `weight_gradient`: in one go, once backward has been through all steps |
# | which form is cheaper | `tinypredrnn/autograd/winograd.py`, `cost` |
#
# The package also takes a large batch slice by slice, so that $V$ and $M$ stay in the cache, and each of its own threads takes samples of
# its own through all steps (`tinypredrnn/threads.py`, `share`). On a GPU a direct kernel for its tensor cores is taken instead
# (`tinypredrnn/gpu/convolution.cu`); by tiles, if asked for, through Kronecker products, as here.
#
# **Real systems.** Andrew Lavin and Scott Gray brought this to neural networks ("Fast Algorithms for Convolutional Neural Networks",
# 2016) with F(2x2, 3x3) and F(4x4, 3x3). cuDNN has it among its algorithms, and PyTorch, with `torch.backends.cudnn.benchmark = True`,
# times them for each shape and keeps the fastest. With 16-bit numbers, whose roundings are thousands of times larger, growth allows
# small tiles only; and where special units multiply matrices, products became so cheap that moving numbers for fewer of them often does
# not pay. For large kernels there is another set of points, the complex roots of one: all of size 1, so that nothing grows. That is
# the fast Fourier transform.
