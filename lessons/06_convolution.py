# %% [markdown]
# # 6. Convolution: windows, one product, and its transposes
#
# - **Idea:** a convolution is one matrix product over windows of the frame, and its gradients are the transposes of that map.
# - **Minutes:** 60
# - **Needs:** lessons 3 to 5: backward for a matrix product, a gradient check, what an op saves. From here on we import the package.
# - **You will see:** seven nested loops replaced by one product of the same numbers; two numbers that agree to the last digits unless a
#   gradient is wrong; windows that would fill 4 GB and are never kept; a 5x5 kernel that learns how digits move.
# - **Why:** a fully connected layer from one 64x64 frame to the next has 16,777,216 weights, and still has to learn at every place
#   anew that a stroke that moves is the same stroke. A convolution of 25 weights knows it from the start.
#
# ## For teachers
#
# *Lessons 6 and 7: from the formula to the machine.*
#
# **Aim.** After lesson 6 a student can write a convolution and both of its gradients from the words "windows, product, fold", and can
# say why each gradient is a transpose. After lesson 7 the same student distrusts a timing until it has been warmed up, interleaved,
# summarised by a median and held against a floor, and can read `xp = array_module(x)` as "wherever the data are".
#
# **Common errors.**
#
# - *The transpose is taken for the kernel flip of signal processing.* There is no flip in our definition; it appears by itself when the
#   transpose is written as a convolution, which we never need.
# - *`fold` with `=` in place of `+=`.* A pixel lies in many windows and collects from all of them. It is lesson 2's "used twice" again;
#   let students find it with the adjoint test.
# - *`reshape` is taken to be free.* After `as_strided` it has to copy, and that copy is the whole memory bill.
# - *Strides are counted in elements.* They are bytes.
# - *One run of A is compared with one run of B* (lesson 7), or the clock is stopped while a GPU is still at work.
#
# **What to ask.**
#
# 1. Which entries of the matrix A in lesson 6 are equal, and why?
# 2. What is the transpose of "copy", of "crop", of "take every second pixel"? (Add up; pad with zeros; put zeros in between.)
# 3. Why does the adjoint test need no small step, when the gradient check of lesson 4 does? (The map is linear.)
# 4. Digits move by 4 pixels a frame. What would you change so that a network can follow them? (Lesson 8 tries one answer.)
# 5. A friend's new version is 3 % faster (lesson 7). What do you want to know before you believe it?
#
# **Time.** An hour and a half for lesson 6, an hour for lesson 7. If there is only one: lesson 6 up to the adjoint test.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits

BLUE, ORANGE = "#0072B2", "#D55E00"
rng = np.random.default_rng(6)
images, labels = draw_digits(rng, 16)  # (16,28,28) uint8
digits = (images / 255)[..., None].astype(np.float32)  # (16,28,28,1): batch, height, width, channels
print(digits.shape, digits.dtype)
#> (16, 28, 28, 1) float32

# %% [markdown]
# ## The same small question at every place
#
# A convolution lays a small **kernel** over the frame, multiplies what lies on top of each other, and adds up. Then it moves the
# kernel by one pixel and asks again. With $C$ channels coming in and $K$ going out, for sequence $n$ of the batch, row $p$, column $q$:
#
# $$y_{npqk} = \sum_{i,j,c} x_{n,\,p+i,\,q+j,\,c}\; w_{ijck}$$
#
# (Signal processing turns the kernel round first, and calls this a *correlation*: hence the names below. Networks learn the kernel, so
# nobody turns it.) The formula is a program, if we write every index as a loop.

# %%
def correlate_loops(x, w):
    """x (B,H,W,C), w (kh,kw,C,K) -> (B,H-kh+1,W-kw+1,K)"""
    (count, height, width, channels), (kh, kw, _, features) = x.shape, w.shape
    y = np.zeros((count, height - kh + 1, width - kw + 1, features), x.dtype)
    for n, p, q, k in np.ndindex(y.shape):
        for i, j, c in np.ndindex(kh, kw, channels):
            y[n, p, q, k] += x[n, p + i, q + j, c] * w[i, j, c, k]
    return y


# %% [markdown]
# By hand: the frame counts 0, 1, 2, ... row by row, and the kernel says "this pixel minus the one diagonally below". In a frame of
# four columns that neighbour is larger by 5, everywhere.

# %%
x = np.arange(16.0).reshape(1, 4, 4, 1)
w = np.array([[1.0, 0.0], [0.0, -1.0]]).reshape(2, 2, 1, 1)
print(correlate_loops(x, w)[0, :, :, 0])
#> [[-5. -5. -5.]
#>  [-5. -5. -5.]
#>  [-5. -5. -5.]]

# %% [markdown]
# The result is smaller than the frame, 3x3 instead of 4x4: a kernel of 2x2 has only three places each way. To keep the size, frames are
# padded with zeros first: `padding="same"`, the package's default; `"valid"` is without.
#
# Four kernels, and what they ask: how bright is it here on the whole? Does it get brighter to the right? Downwards? And the last one:
# what was one pixel up and to the left? Its answer is the frame, *moved*. Remember that one. (In the pictures of the two in
# between, grey is 0: white says yes, and black that it gets darker.)

# %%
kernels = np.zeros((3, 3, 1, 4), np.float32)  # four kernels are the K = 4 features of one convolution
kernels[:, :, 0, 0] = 1 / 9
kernels[:, :, 0, 1] = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
kernels[:, :, 0, 2] = [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]
kernels[0, 0, 0, 3] = 1

padded = np.pad(digits[:1], ((0, 0), (1, 1), (1, 1), (0, 0)))  # (1,30,30,1)
maps = correlate_loops(padded, kernels)  # (1,28,28,4)
print(maps.shape)
print("moved by one pixel:", np.array_equal(maps[0, 1:, 1:, 3], digits[0, :-1, :-1, 0]))
#> (1, 28, 28, 4)
#> moved by one pixel: True

# %%
figure, axes = plt.subplots(1, 5, figsize=(10, 2.4))
titles = ["a digit", "average", "brighter to the right", "brighter downwards", "moved down and right"]
for ax, picture, title in zip(axes, [digits[0, :, :, 0], *np.moveaxis(maps[0], -1, 0)], titles):
    limit = abs(picture).max()
    ax.imshow(picture, cmap="gray", vmin=picture.min(), vmax=limit)
    ax.set_title(title, fontsize=10)
    ax.axis("off")
show(figure, "kernels")

# %% [markdown]
# Whatever the weights, a convolution treats all places alike: move what comes in, and what goes out moves with it. Nobody has to learn
# that a digit further to the left is still a digit.

# %%
moved = np.roll(padded, (3, 2), axis=(1, 2))  # 3 pixels down, 2 to the right
weights = rng.standard_normal((3, 3, 1, 1)).astype(np.float32)
before, after = correlate_loops(padded, weights), correlate_loops(moved, weights)
print("moves along:", np.array_equal(after[:, 3:, 2:], before[:, :-3, :-2]))
print(f"weights of a full matrix from 64x64 to 64x64 pixels: {(64 * 64) ** 2:,}, of a 5x5 kernel: {5 * 5}")
#> moves along: True
#> weights of a full matrix from 64x64 to 64x64 pixels: 16,777,216, of a 5x5 kernel: 25

# %% [markdown]
# ## Too slow
#
# The loops are right, and hopeless. Let us time them on one digit, and count the multiplications of one layer as we shall need it: from
# 128 channels to 128 channels, kernel 5x5, 8 frames of 16x16.

# %%
start = time.perf_counter()
correlate_loops(padded, kernels)
seconds = time.perf_counter() - start
multiplications = 28 * 28 * 4 * 9
layer = 8 * 16 * 16 * 25 * 128 * 128
print(f"one digit: {multiplications:,} multiplications")
print(f"one layer: {layer:,} multiplications")
print(f"{1000 * seconds:.0f} ms for the digit: the layer would take {layer * seconds / multiplications / 60:.0f} minutes")
#> one digit: 28,224 multiplications
#> one layer: 838,860,800 multiplications
#? 35 ms for the digit: the layer would take 17 minutes

# %% [markdown]
# ## Windows without copying
#
# What is fast is a matrix product. So: lay all the windows side by side, and let one product do the rest. First the windows, in one
# dimension. An array is a block of memory and a rule for walking through it: its **strides** say by how many *bytes* to go on for the
# next element of each axis. A different rule over the same memory is a different array, and nothing is copied.

# %%
line = np.arange(7.0)
print("strides", line.strides)
triples = np.lib.stride_tricks.as_strided(line, shape=(5, 3), strides=(8, 8))  # next window: 8 bytes on; next in the window: 8 bytes on
print(triples)
#> strides (8,)
#> [[0. 1. 2.]
#>  [1. 2. 3.]
#>  [2. 3. 4.]
#>  [3. 4. 5.]
#>  [4. 5. 6.]]

# %% [markdown]
# Fifteen numbers in seven places: change one, and it changes in all three windows that it lies in.

# %%
line[2] = 100
print(triples[:3])
#> [[  0.   1. 100.]
#>  [  1. 100.   3.]
#>  [100.   3.   4.]]

# %% [markdown]
# In a frame the same trick has two axes for where the window lies and two for the place inside. One window down is one row of memory,
# and so is one pixel down inside a window: the same stride twice.

# %%
def unfold(x, kh, kw):
    """Every window side by side, without a copy: (B,H,W,C) -> (B,P,Q,kh,kw,C) with P = H-kh+1, Q = W-kw+1"""
    count, height, width, channels = x.shape
    b, h, w, c = x.strides
    return np.lib.stride_tricks.as_strided(x, (count, height - kh + 1, width - kw + 1, kh, kw, channels), (b, h, w, h, w, c))


frames = rng.standard_normal((2, 6, 7, 3))  # (B,H,W,C): odd shapes, so that mixed-up axes show
print(unfold(frames, 3, 2).shape, np.array_equal(unfold(frames, 3, 2)[1, 2, 4], frames[1, 2:5, 4:6]))
#> (2, 4, 6, 3, 2, 3) True

# %% [markdown]
# `as_strided` believes whatever it is told. With a wrong shape it walks out of the array and returns what happens to lie there, without
# an error. NumPy's `sliding_window_view` checks, and says the same of ours, with its axes in another order:

# %%
checked = np.lib.stride_tricks.sliding_window_view(frames, (3, 2), axis=(1, 2))  # (B,P,Q,C,kh,kw)
print(np.array_equal(unfold(frames, 3, 2), checked.transpose(0, 1, 2, 4, 5, 3)))
#> True

# %% [markdown]
# ### Exercise 6.1: every second window
#
# A convolution with `stride` 2 lays the kernel on every second pixel only, down and to the right, and so halves the frame. Write `unfold`
# with a stride: (B,H,W,C) -> (B,P,Q,kh,kw,C), with P = (H - kh) // stride + 1 and Q alike. Again without a copy.
#
# *Hint:* four of the six strides of `unfold` speak of pixels. Which of them speak of going to the next *window*?

# %%
def unfold_strided(x, kh, kw, stride):
    # <solution>
    count, height, width, channels = x.shape
    b, h, w, c = x.strides
    places = (height - kh) // stride + 1, (width - kw) // stride + 1
    return np.lib.stride_tricks.as_strided(x, (count, *places, kh, kw, channels), (b, h * stride, w * stride, h, w, c))
    # </solution>


cases = [(3, 2, 1), (3, 2, 2), (2, 3, 3), (1, 1, 2)]
check("6.1", lambda: {"windows": [unfold_strided(frames, *case) for case in cases],
                      "without a copy": np.may_share_memory(unfold_strided(frames, 3, 2, 2), frames)},
      {"windows": [unfold(frames, kh, kw)[:, ::stride, ::stride] for kh, kw, stride in cases], "without a copy": True})

# %% [markdown]
# ## One product
#
# A window of kh x kw pixels with C channels is a row of kh kw C numbers; so is the kernel of each feature, as a column. All answers are
#
# $$Y = X\,W, \qquad X: (B\,P\,Q) \times (kh\,kw\,C), \quad W: (kh\,kw\,C) \times K.$$

# %%
def correlate(x, w):
    """x (B,H,W,C), w (kh,kw,C,K) -> (B,P,Q,K)"""
    windows = unfold(x, *w.shape[:2])  # (B,P,Q,kh,kw,C), a view
    rows = windows.reshape(-1, w[..., 0].size)  # (B P Q, kh kw C): here the windows are copied
    return (rows @ w.reshape(-1, w.shape[-1])).reshape(*windows.shape[:3], -1)


w = rng.standard_normal((3, 2, 3, 5))  # (kh,kw,C,K)
print("as the loops:", np.allclose(correlate(frames, w), correlate_loops(frames, w)))
print("as the package:", np.allclose(correlate(frames, w), tp.conv2d(frames, w, padding="valid")))
#> as the loops: True
#> as the package: True

# %%
big = rng.standard_normal((8, 20, 20, 128)).astype(np.float32)
big_w = rng.standard_normal((5, 5, 128, 128)).astype(np.float32)
correlate(big, big_w)  # the first call warms up: more of that in lesson 7
start = time.perf_counter()
correlate(big, big_w)
print(f"the layer: {1000 * (time.perf_counter() - start):.0f} ms")
#? the layer: 26 ms

# %% [markdown]
# Minutes have become milliseconds, and the picture is this. Each window becomes a row; the kernel becomes a column; one product gives
# every place its answer.

# %%
small = np.random.default_rng(1).integers(0, 10, (1, 5, 5, 1))
kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).reshape(3, 3, 1, 1)
rows = unfold(small, 3, 3).reshape(9, 9)
answers = correlate(small, kernel)
MARKED = 5  # the window at row 1, column 2

figure, axes = plt.subplots(1, 4, figsize=(10, 4), width_ratios=[5, 9, 1, 3], gridspec_kw={"wspace": 0.22})
tables = {"frame 5x5": small[0, :, :, 0], "windows 9x9: one row each": rows, "kernel": kernel.reshape(9, 1),
          "answers 3x3": answers[0, :, :, 0]}
marks = [(2, 1, 3, 3), (0, MARKED, 9, 1), None, (2, 1, 1, 1)]  # left, top, width, height
for ax, (title, table), mark in zip(axes, tables.items(), marks):
    ax.imshow(np.zeros(table.shape), cmap="Greys", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(table):
        ax.text(column, row, number, ha="center", va="center", fontsize=11)
    for edge in range(table.shape[0] + 1):
        ax.axhline(edge - 0.5, color="0.8", lw=0.8)
    for edge in range(table.shape[1] + 1):
        ax.axvline(edge - 0.5, color="0.8", lw=0.8)
    if mark:
        left, top, width, height = mark
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, facecolor=ORANGE + "40", edgecolor=ORANGE, lw=2.5))
    ax.set_title(title, fontsize=11)
    ax.set_xticks([])
    ax.set_yticks([])
for ax, following, sign in zip(axes, axes[1:], [r"$\rightarrow$", r"$\times$", "="]):
    middle = (ax.get_position().x1 + following.get_position().x0) / 2
    figure.text(middle, 0.5, sign, fontsize=20, ha="center", va="center")
show(figure, "windows")

# %% [markdown]
# ## The gradient is a transpose
#
# For fixed weights a convolution is **linear** in the frame: there is a matrix $A$ with $y = A x$, if frames and answers are written as
# long columns. We never need that matrix, but it is worth a look. Its column $j$ is the answer to a frame that is 0 except for a 1 at
# pixel $j$.

# %%
w_one = rng.standard_normal((3, 3, 1, 1))
A = np.stack([correlate(one.reshape(1, 6, 6, 1), w_one).ravel() for one in np.eye(36)], axis=1)
x, y = rng.standard_normal((1, 6, 6, 1)), rng.standard_normal((1, 4, 4, 1))
print("A", A.shape, "is the convolution:", np.allclose(A @ x.ravel(), correlate(x, w_one).ravel()))
print(f"{A.size} entries, {np.count_nonzero(A)} are not zero, {len(np.unique(A[A != 0]))} of those differ")
#> A (16, 36) is the convolution: True
#> 576 entries, 144 are not zero, 9 of those differ

# %%
def colour(matrix):
    """Which of the kernel's nine weights stands where: 1 to 9, nan for zeros"""
    return np.where(matrix == 0, np.nan, np.searchsorted(np.unique(matrix[matrix != 0]), matrix) + 1)


figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.0), width_ratios=[36, 16])
for ax, matrix, title in zip(axes, [A, A.T], ["A: from 36 pixels to 16 answers", "A': back"]):
    ax.imshow(colour(matrix), cmap="cividis", interpolation="nearest")
    ax.set_title(title, fontsize=11)
    ax.set_ylabel("answer" if matrix is A else "pixel")
    ax.set_xlabel("pixel" if matrix is A else "answer")
show(figure, "matrix")

# %% [markdown]
# Each row holds the same nine weights (one colour each), a little further on. Lesson 3 found what backward does with a matrix product:
# if the loss changes by $dy$ for each answer, it changes by
#
# $$dx = A^\mathsf{T} dy$$
#
# for each pixel. No chain rule with six indices, no case for the border: the gradient of a linear map is its transpose. And a transpose
# of steps is the steps transposed, in reverse order:
#
# | forward | backward |
# |---|---|
# | `unfold`: a pixel is copied into all windows it lies in | second, `fold`: what comes back from all its windows is added up |
# | product with $W$ | first, product with $W^\mathsf{T}$ |

# %%
def fold(windows, shape):
    """The transpose of unfold: each pixel gets the sum of its copies. (B,P,Q,kh,kw,C) -> shape (B,H,W,C)"""
    _, p, q, kh, kw, _ = windows.shape
    x = np.zeros(shape, windows.dtype)
    for i in range(kh):
        for j in range(kw):
            x[:, i:i + p, j:j + q] += windows[:, :, :, i, j]
    return x


def transposed(y, w, shape):
    """The transpose of correlate in x: y (B,P,Q,K), w (kh,kw,C,K) -> shape (B,H,W,C)"""
    windows = y.reshape(-1, w.shape[-1]) @ w.reshape(-1, w.shape[-1]).T  # (B P Q, kh kw C)
    return fold(windows.reshape(*y.shape[:3], *w.shape[:3]), shape)


print(np.allclose(transposed(y, w_one, x.shape).ravel(), A.T @ y.ravel()))
#> True

# %% [markdown]
# ## The adjoint test
#
# For large frames the matrix is out of reach. But there is a test that needs only the two functions. Write $\langle a, b\rangle$ for the
# sum of all products $a_j b_j$. For every $x$ and $y$,
#
# $$\langle A x,\; y\rangle = \langle x,\; A^\mathsf{T} y\rangle,$$
#
# and no other map than the transpose has this property. Take random $x$ and $y$, and compare two numbers. The map is linear, so there is
# no small step as in lesson 4, and no error of a difference quotient: the two must agree to rounding.

# %%
def dot(a, b):
    return float((a * b).sum())


x, w = rng.standard_normal((2, 9, 8, 3)), rng.standard_normal((3, 4, 3, 5))
y = rng.standard_normal((2, 7, 5, 5))
left, right = dot(correlate(x, w), y), dot(x, transposed(y, w, x.shape))
print(f"<Ax, y> = {left:.12f}   <x, A'y> = {right:.12f}   agree to 1e-12: {abs(left - right) < 1e-12 * abs(left)}")
#> <Ax, y> = 69.548791065201   <x, A'y> = 69.548791065201   agree to 1e-12: True

# %% [markdown]
# Now an error that is easily made: `=` where `+=` belongs. The window that comes last wins, the others are lost. The shape is right, the
# numbers look like numbers, and no error is raised.

# %%
def fold_forgetful(windows, shape):
    _, p, q, kh, kw, _ = windows.shape
    x = np.zeros(shape, windows.dtype)
    for i in range(kh):
        for j in range(kw):
            x[:, i:i + p, j:j + q] = windows[:, :, :, i, j]
    return x


windows = rng.standard_normal((2, 7, 5, 3, 4, 3))
for function in fold, fold_forgetful:
    left, right = dot(unfold(x, 3, 4), windows), dot(x, function(windows, x.shape))
    print(f"{function.__name__:15} {left:9.4f} {right:9.4f}   a transpose: {np.isclose(left, right)}")
#> fold             -34.5345  -34.5345   a transpose: True
#> fold_forgetful   -34.5345  -15.6027   a transpose: False

# %% [markdown]
# ### Exercise 6.2: the transpose of enlarging
#
# `upsample` makes every pixel a block of 2x2 equal pixels; networks use it to come back from small maps to large ones. Write its
# transpose, (B,2H,2W,C) -> (B,H,W,C), and try the adjoint test on it before you look at the verdict.
#
# *Hint:* every pixel was copied to four places. What did `fold` do with copies? A reshape to (B,H,2,W,2,C) puts the four on axes of their
# own.

# %%
def upsample(x):
    """(B,H,W,C) -> (B,2H,2W,C)"""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def upsample_transposed(y):
    # <solution>
    count, height, width, channels = y.shape
    return y.reshape(count, height // 2, 2, width // 2, 2, channels).sum(axis=(2, 4))
    # </solution>


blocks = np.random.default_rng(0).standard_normal((2, 6, 4, 3))
check("6.2", lambda: upsample_transposed(blocks),
      blocks[:, ::2, ::2] + blocks[:, 1::2, ::2] + blocks[:, ::2, 1::2] + blocks[:, 1::2, 1::2])

# %% [markdown]
# ## One number, read three ways
#
# The weights need a gradient, too. Write $\langle \text{correlate}(x, w),\, y\rangle$ out in full, with $X$ for the windows:
#
# $$s = \sum_{n,p,q,i,j,c,k} X_{npqijc}\; w_{ijck}\; y_{npqk}$$
#
# It is linear in each of the three. Leave one of them out, sum over the indices that it does not have, and you get the map that it is
# multiplied with: without $y$ the convolution itself; without $x$ its transpose (folded); without $w$ the gradient of the weights, which
# we call `pair`: for each kernel element, which pixels met which answers? As a product of matrices it is $X^\mathsf{T} Y$.
#
# `np.einsum("npqijc,ijck->npqk", X, w)` takes the letters as they stand: they name the axes of $X$, of $w$ and of the result, and it sums
# over the letters that the result does not have.

# %%
def pair(x, y, kh, kw):
    """The transpose of correlate in w: x (B,H,W,C), y (B,P,Q,K) -> (kh,kw,C,K)"""
    rows = unfold(x, kh, kw).reshape(-1, kh * kw * x.shape[-1])  # (B P Q, kh kw C)
    return (rows.T @ y.reshape(-1, y.shape[-1])).reshape(kh, kw, x.shape[-1], -1)


y = rng.standard_normal((2, 7, 5, 5))
X = unfold(x, 3, 4)
print("without y:", np.allclose(np.einsum("npqijc,ijck->npqk", X, w), correlate(x, w)))
print("without x:", np.allclose(fold(np.einsum("ijck,npqk->npqijc", w, y), x.shape), transposed(y, w, x.shape)))
print("without w:", np.allclose(np.einsum("npqijc,npqk->ijck", X, y), pair(x, y, 3, 4)))
numbers = dot(correlate(x, w), y), dot(x, transposed(y, w, x.shape)), dot(w, pair(x, y, 3, 4))
print("three times the same number:", *(f"{number:.10f}" for number in numbers))
#> without y: True
#> without x: True
#> without w: True
#> three times the same number: 159.2193320483 159.2193320483 159.2193320483

# %% [markdown]
# ### Exercise 6.3: a kernel for each channel
#
# A *depthwise* convolution does not mix channels: channel $c$ has its own kernel, $y_{npqc} = \sum_{ij} X_{npqijc}\, w_{ijc}$. It is
# given below. Write the gradient of its weights: x (B,H,W,C) and the cotangent y (B,P,Q,C) -> (kh,kw,C).
#
# *Hint:* write out the number $s$ for this map, leave out $w$, and look at which letters remain. You may use `unfold` and `np.einsum`.

# %%
def depthwise(x, w):
    """x (B,H,W,C), w (kh,kw,C) -> (B,P,Q,C)"""
    return np.einsum("npqijc,ijc->npqc", unfold(x, *w.shape[:2]), w)


def depthwise_pair(x, y, kh, kw):
    # <solution>
    return np.einsum("npqijc,npqc->ijc", unfold(x, kh, kw), y)
    # </solution>


y_depth = rng.standard_normal((2, 7, 5, 3))
check("6.3", lambda: depthwise_pair(x, y_depth, 3, 4),
      np.stack([(x[:, i:i + 7, j:j + 5] * y_depth).sum(axis=(0, 1, 2)) for i in range(3) for j in range(4)]).reshape(3, 4, 3))

# %% [markdown]
# ## An op, and what it keeps
#
# In the package, as in lesson 5, rules ask by name for what they need, and only that is kept until backward. Ours are two lines. New is
# that only tensors with `requires_grad=True` get a gradient. The gradient check of lesson 4 approves, and `tp.conv2d` has the same
# gradients.

# %%
@tp.op(x=lambda dy, w, x_shape: transposed(dy, w, x_shape),
       w=lambda dy, x, w_shape: pair(x, dy, *w_shape[:2]))
def conv(x, w):
    return correlate(x, w)


def gradients(function, x, w, cotangent):
    x, w = tp.tensor(x, requires_grad=True), tp.tensor(w, requires_grad=True)
    function(x, w).backward(cotangent)
    return x.grad, w.grad


print("gradcheck:", tp.gradcheck(conv, x, w))
ours, theirs = gradients(conv, x, w, y), gradients(lambda x, w: tp.conv2d(x, w, padding="valid"), x, w, y)
print("as tp.conv2d:", all(np.allclose(a, b) for a, b in zip(ours, theirs)))
#> gradcheck: True
#> as tp.conv2d: True

# %% [markdown]
# What do the rules ask for? The frames and the weights: never the windows, though forward had them in its hands and `pair` needs them
# again. That is on purpose: every pixel stands in 25 windows of 5x5. Suppose that a network of four layers makes two convolutions of 128
# channels in each layer and frame, and that a training sequence takes 19 such steps:

# %%
made = conv(tp.tensor(big, requires_grad=True), tp.tensor(big_w, requires_grad=True))
print("kept for backward:", ", ".join(name for name, value in made.node.saved.items() if hasattr(value, "dtype")))
frames_kept = 8 * 16 * 16 * 128 * 4  # bytes: batch, height, width, channels, float32
convolutions = 4 * 2 * 19
print(f"frames: {convolutions * frames_kept / 1e9:.2f} GB   windows: {convolutions * 25 * frames_kept / 1e9:.2f} GB")
#> kept for backward: w, x
#> frames: 0.16 GB   windows: 3.98 GB

# %% [markdown]
# Making the windows once more costs a copy, which is cheap beside the product that follows:

# %%
def clock(function, *inputs):
    function(*inputs)
    start = time.perf_counter()
    function(*inputs)
    return 1000 * (time.perf_counter() - start)


rows = unfold(big, 5, 5).reshape(-1, 25 * 128)
print(f"windows {clock(lambda: unfold(big, 5, 5).reshape(-1, 25 * 128)):.1f} ms, "
      f"product {clock(lambda: rows @ big_w.reshape(-1, 128)):.1f} ms")
#? windows 2.0 ms, product 23.2 ms

# %% [markdown]
# ## A kernel learns a motion
#
# Now let a convolution do what this course is about: say what comes next. The digits move by one pixel down and two to the left between
# two frames. We begin with 5x5 weights, all zero, and let them go down the gradient of the mistake. The mistake is the
# sum of the squared differences over a frame, averaged over the digits. To beat: claiming that nothing moves.

# %%
def learn(move, steps, rate=7e-4):
    """Learn a 5x5 kernel that turns the digits into the digits moved by (rows, columns): (kernel, mistake, mistake without motion)"""
    now = np.pad(digits, ((0, 0), (6, 6), (6, 6), (0, 0)))  # (16,40,40,1)
    then = np.roll(now, move, axis=(1, 2))
    w = tp.tensor(np.zeros((5, 5, 1, 1), np.float32), requires_grad=True)
    for _ in range(steps):
        loss = ((tp.conv2d(now, w) - then) ** 2).sum() / len(now)
        w.grad = None
        loss.backward()
        w.data -= rate * w.grad
    return w.data[:, :, 0, 0], loss.item(), float(((now - then) ** 2).sum() / len(now))


steps = size(600, 200)
near, mistake, still = learn((1, -2), steps)
row, column = np.unravel_index(near.argmax(), near.shape)
print(f"nothing moves: {still:.1f}   with the kernel remains less than a hundredth: {mistake < 0.01 * still}")
print(f"largest weight at row {row}, column {column}")
#> nothing moves: 66.7   with the kernel remains less than a hundredth: True
#> largest weight at row 1, column 4

# %% [markdown]
# The middle of the kernel is row 2, column 2. The largest weight lies one row above it and two columns to the right: *take what was
# there*, which is where a pixel moving down and left comes from. The kernel has found the motion, from frames alone.
#
# But 5x5 weights see two pixels far. The PredRNN paper's digits cover 3 to 5 pixels a frame (Section 4.1). Let them move by 4 down:

# %%
far, mistake, still = learn((4, 0), steps)
print(f"nothing moves: {still:.1f}   with the kernel remains {mistake / still:.1f} of it")
#> nothing moves: 109.6   with the kernel remains 0.4 of it

# %%
figure, axes = plt.subplots(2, 4, figsize=(9, 4.8))
for line, (move, learnt) in zip(axes, {(1, -2): near, (4, 0): far}.items()):
    now = np.pad(digits[:1], ((0, 0), (6, 6), (6, 6), (0, 0)))
    then = np.roll(now, move, axis=(1, 2))
    guess = tp.conv2d(now, learnt[:, :, None, None])
    down, right = move
    pictures = {"frame": now, f"next: {down} down" + (f", {-right} left" if right else ""): then, "predicted": guess}
    for ax, (title, picture) in zip(line, pictures.items()):
        ax.imshow(picture[0, :, :, 0], cmap="gray", vmin=0, vmax=1)
        ax.set_title(title, fontsize=10)
    line[3].imshow(learnt, cmap="cividis", vmin=-1, vmax=1)
    line[3].add_patch(Rectangle((1.5, 1.5), 1, 1, fill=False, edgecolor="white", lw=2))
    for (row, column), weight in np.ndenumerate(learnt):
        line[3].text(column, row, f"{round(float(weight), 1) + 0.0:.1f}", ha="center", va="center", fontsize=9,
                     color="black" if weight > 0.3 else "white")
    line[3].set_title("learnt kernel, middle framed", fontsize=10)
    for ax in line:
        ax.set_xticks([])
        ax.set_yticks([])
show(figure, "motion")

# %% [markdown]
# Out of reach, the best it can do is to smear: the second prediction is a blur. Seeing further takes larger kernels, coarser frames, or
# several layers, each of which sees two pixels further (lesson 8). And this kernel knows a single motion. To see from earlier frames
# *which* motion it is takes a memory: lessons 10 to 17.
#
# ## What you have now
#
# - `unfold`, `fold`, `correlate`, `transposed`, `pair`: the same names and the same ideas in `tinypredrnn/autograd/convolution.py`, with
#   stride, dilation and padding in one small record (`Grid`) so that the three maps cannot disagree about them:
#   `tinypredrnn/autograd/convolution.py`, `unfold`; `tinypredrnn/autograd/convolution.py`, `transposed`.
# - Ops with rules that ask by name, and so keep no windows: `tinypredrnn/autograd/op.py`, `Op`.
# - The transpose is useful forwards, too: in `conv2d_transpose` every pixel paints its kernel into a larger frame, and *its* gradient is
#   a convolution: `tinypredrnn/autograd/convolution.py`, `conv2d_transpose`.
#
# **What real systems do differently.** cuDNN and oneDNN choose among several algorithms: windows gathered on the fly while multiplying
# (*implicit GEMM*, the big matrix never exists), Fourier transforms, and Winograd's, which needs fewer multiplications than the definition
# has (lesson 19). PyTorch stores frames as (B,C,H,W) unless told otherwise; ours are (B,H,W,C), so that a window's row is contiguous and a
# 1x1 convolution is a plain product.
