# %% [markdown]
# # 6. Convolution: windows, one product, and its transposes
#
# - **Idea:** a convolution is one matrix product over windows of the frame, and its gradients are the transposes of
#   that map.
# - **Minutes:** 60
# - **Needs:** lessons 3 to 5: backward for a matrix product, a gradient check, what an op saves. From here on we import
#   the package.
# - **You will see:** seven nested loops replaced by one matrix product with the same result; two numbers that agree to
#   the last digits unless a gradient is wrong; windows that would fill 4 GB and are never kept; a 5x5 kernel that
#   learns how digits move.
# - **Why:** a fully connected layer from one 64x64 frame to the next has 16,777,216 weights, and at every position it
#   must learn again that a stroke that moves is the same stroke. A convolution has this built in, and needs only 25
#   weights.

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
# ## The same small operation at every position
#
# A convolution lays a small **kernel** over the frame, multiplies each weight by the pixel under it, and adds up the
# products. Then it moves the kernel by one pixel and does the same again. With $C$ input channels and $K$ output
# channels, for sequence $n$ of the batch, row $p$, column $q$:
#
# $$y_{npqk} = \sum_{i,j,c} x_{n,\,p+i,\,q+j,\,c}\; w_{ijck}$$
#
# (In signal processing, a convolution turns the kernel by 180 degrees first, and the formula above is called a
# *correlation*: hence the names below. A network learns its kernels, so there is no need to turn them.) The formula
# becomes a program if we write every index as a loop.

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
# An example to check by hand: the frame contains 0, 1, 2, ... row by row, and the kernel computes "this pixel minus its
# neighbour below and to the right". In a frame of four columns that neighbour is always larger by 5.

# %%
counting_frame = np.arange(16.0).reshape(1, 4, 4, 1)
diagonal_kernel = np.array([[1.0, 0.0], [0.0, -1.0]]).reshape(2, 2, 1, 1)
print(correlate_loops(counting_frame, diagonal_kernel)[0, :, :, 0])
#> [[-5. -5. -5.]
#>  [-5. -5. -5.]
#>  [-5. -5. -5.]]

# %% [markdown]
# The result is smaller than the frame, 3x3 instead of 4x4: a 2x2 kernel has only three positions in each direction. To
# keep the size, frames are padded with zeros first: `padding="same"`, the package's default; `"valid"` means no
# padding.
#
# Here are four kernels. The first computes the average brightness. The second shows where the frame gets brighter to
# the right, the third where it gets brighter downwards. The last one copies the pixel above and to the left. Its output
# is the frame, *moved*. Remember that one. (In the pictures of the second and third, grey means 0, white brighter,
# black darker.)

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
# Whatever its weights are, a convolution treats all positions alike: if the input moves, the output moves with it. The
# network need not learn that a digit further to the left is still a digit.

# %%
moved = np.roll(padded, (3, 2), axis=(1, 2))  # 3 pixels down, 2 to the right
weights = rng.standard_normal((3, 3, 1, 1)).astype(np.float32)
before, after = correlate_loops(padded, weights), correlate_loops(moved, weights)
print("output moves with the input:", np.array_equal(after[:, 3:, 2:], before[:, :-3, :-2]))
print(f"weights of a full matrix from 64x64 to 64x64 pixels: {(64 * 64) ** 2:,}, of a 5x5 kernel: {5 * 5}")
#> output moves with the input: True
#> weights of a full matrix from 64x64 to 64x64 pixels: 16,777,216, of a 5x5 kernel: 25

# %% [markdown]
# ## Too slow
#
# The loops are correct, but far too slow. Let us time them on one digit, and count the multiplications of one layer of
# the size that we shall need: 128 channels to 128 channels, a 5x5 kernel, 8 frames of 16x16.

# %%
start = time.perf_counter()
correlate_loops(padded, kernels)
seconds = time.perf_counter() - start
multiplications = 28 * 28 * 4 * 9
layer = 8 * 16 * 16 * 25 * 128 * 128
print(f"one digit: {multiplications:,} multiplications")
print(f"one layer: {layer:,} multiplications")
minutes = layer * seconds / multiplications / 60
print(f"{1000 * seconds:.0f} ms for the digit: the layer would take {minutes:.0f} minutes")
#> one digit: 28,224 multiplications
#> one layer: 838,860,800 multiplications
#? 35 ms for the digit: the layer would take 17 minutes

# %% [markdown]
# ## Windows without copying
#
# A matrix product is fast. So we lay all the windows side by side and let one product do the rest. First the windows,
# in one dimension. An array is a block of memory and a rule for walking through it: its **strides** say how many
# *bytes* to advance to reach the next element along each axis. A different rule over the same memory gives a different
# array, and nothing is copied.

# %%
signal = np.arange(7.0)
print("strides", signal.strides)
# 8 bytes from one window to the next, and 8 bytes from one element to the next inside a window
triples = np.lib.stride_tricks.as_strided(signal, shape=(5, 3), strides=(8, 8))
print(triples)
#> strides (8,)
#> [[0. 1. 2.]
#>  [1. 2. 3.]
#>  [2. 3. 4.]
#>  [3. 4. 5.]
#>  [4. 5. 6.]]

# %% [markdown]
# These fifteen numbers share the memory of seven: change one, and it changes in every window that contains it.

# %%
signal[2] = 100
print(triples[:3])
#> [[  0.   1. 100.]
#>  [  1. 100.   3.]
#>  [100.   3.   4.]]

# %% [markdown]
# In a frame, the same trick needs two axes for the position of the window and two for the position inside it. The next
# window down begins one row of memory later, and so does the next pixel down inside a window: the same stride appears
# twice.

# %%
def unfold(x, kh, kw):
    """Every window side by side, without a copy: (B,H,W,C) -> (B,P,Q,kh,kw,C) with P = H-kh+1, Q = W-kw+1"""
    count, height, width, channels = x.shape
    b, h, w, c = x.strides
    shape = (count, height - kh + 1, width - kw + 1, kh, kw, channels)
    return np.lib.stride_tricks.as_strided(x, shape, (b, h, w, h, w, c))


frames = rng.standard_normal((2, 6, 7, 3))  # (B,H,W,C): odd shapes, so that mixed-up axes show
print(unfold(frames, 3, 2).shape, np.array_equal(unfold(frames, 3, 2)[1, 2, 4], frames[1, 2:5, 4:6]))
#> (2, 4, 6, 3, 2, 3) True

# %% [markdown]
# `as_strided` does not check its arguments. With a wrong shape it reads beyond the array and returns whatever lies
# there, without an error. NumPy's `sliding_window_view` checks its arguments and gives the same result, with its axes
# in another order:

# %%
checked = np.lib.stride_tricks.sliding_window_view(frames, (3, 2), axis=(1, 2))  # (B,P,Q,C,kh,kw)
print(np.array_equal(unfold(frames, 3, 2), checked.transpose(0, 1, 2, 4, 5, 3)))
#> True

# %% [markdown]
# ### Exercise 6.1: every second window (easy, 10 minutes)
#
# A convolution with `stride` 2 moves the kernel by two pixels at a time, both down and to the right, so the output has
# about half as many rows and columns. Write `unfold` with a stride: (B,H,W,C) -> (B,P,Q,kh,kw,C), with P = (H - kh) //
# stride + 1 and Q likewise. Again, nothing may be copied.
#
# *Hint:* four of the six strides of `unfold` are steps from pixel to pixel. Which of these lead to the next *window*?

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
# A window of kh x kw pixels with C channels becomes a row of kh kw C numbers; the kernel of each feature becomes a
# column. All outputs together are
#
# $$Y = X\,W, \qquad X: (B\,P\,Q) \times (kh\,kw\,C), \quad W: (kh\,kw\,C) \times K.$$

# %%
def correlate(x, w):
    """x (B,H,W,C), w (kh,kw,C,K) -> (B,P,Q,K)"""
    windows = unfold(x, *w.shape[:2])  # (B,P,Q,kh,kw,C), a view
    rows = windows.reshape(-1, w[..., 0].size)  # (B P Q, kh kw C): here the windows are copied
    return (rows @ w.reshape(-1, w.shape[-1])).reshape(*windows.shape[:3], -1)


kernels_3x2 = rng.standard_normal((3, 2, 3, 5))  # (kh,kw,C,K)
outputs = correlate(frames, kernels_3x2)
print("same as the loops:", np.allclose(outputs, correlate_loops(frames, kernels_3x2)))
print("same as the package:", np.allclose(outputs, tp.conv2d(frames, kernels_3x2, padding="valid")))
#> same as the loops: True
#> same as the package: True

# %%
big = rng.standard_normal((8, 20, 20, 128)).astype(np.float32)
big_w = rng.standard_normal((5, 5, 128, 128)).astype(np.float32)
correlate(big, big_w)  # the first call is slower: lesson 7 says why
start = time.perf_counter()
correlate(big, big_w)
print(f"the layer: {1000 * (time.perf_counter() - start):.0f} ms")
#? the layer: 26 ms

# %% [markdown]
# Minutes have become milliseconds. The picture shows how: each window becomes a row, the kernel becomes a column, and
# one product gives the outputs at all positions.

# %%
small = np.random.default_rng(1).integers(0, 10, (1, 5, 5, 1))
kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).reshape(3, 3, 1, 1)
small_rows = unfold(small, 3, 3).reshape(9, 9)
small_outputs = correlate(small, kernel)
MARKED = 5  # the window at row 1, column 2

figure, axes = plt.subplots(1, 4, figsize=(10, 4), width_ratios=[5, 9, 1, 3], gridspec_kw={"wspace": 0.22})
tables = {"frame 5x5": small[0, :, :, 0], "windows 9x9: one row each": small_rows, "kernel": kernel.reshape(9, 1),
          "outputs 3x3": small_outputs[0, :, :, 0]}
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
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, facecolor=ORANGE + "40", edgecolor=ORANGE,
                               lw=2.5))
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
# For fixed weights a convolution is **linear** in the frame: if frames and outputs are written as long columns, there
# is a matrix $A$ with $y = A x$. We never need that matrix, but it is worth a look. Its column $j$ is the output for a
# frame that is 0 except for a 1 at pixel $j$.

# %%
w_one = rng.standard_normal((3, 3, 1, 1))
A = np.stack([correlate(one.reshape(1, 6, 6, 1), w_one).ravel() for one in np.eye(36)], axis=1)
x_one, y_one = rng.standard_normal((1, 6, 6, 1)), rng.standard_normal((1, 4, 4, 1))
print("A", A.shape, "is the convolution:", np.allclose(A @ x_one.ravel(), correlate(x_one, w_one).ravel()))
print(f"{A.size} entries, {np.count_nonzero(A)} nonzero, with {len(np.unique(A[A != 0]))} different values")
#> A (16, 36) is the convolution: True
#> 576 entries, 144 nonzero, with 9 different values

# %%
def weight_numbers(matrix):
    """Which of the nine weights each entry is: 1 to 9 in order of value, nan for a zero"""
    return np.where(matrix == 0, np.nan, np.searchsorted(np.unique(matrix[matrix != 0]), matrix) + 1)


figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.0), width_ratios=[36, 16])
for ax, matrix, title in zip(axes, [A, A.T], ["A: from 36 pixels to 16 outputs", "A': back"]):
    ax.imshow(weight_numbers(matrix), cmap="cividis", interpolation="nearest")
    ax.set_title(title, fontsize=11)
    ax.set_ylabel("output" if matrix is A else "pixel")
    ax.set_xlabel("pixel" if matrix is A else "output")
show(figure, "matrix")

# %% [markdown]
# Each row contains the same nine weights (one colour each), shifted. Lesson 3 found what backward does with a matrix
# product: if $dy$ is the gradient of the loss with respect to the outputs, then its gradient with respect to the pixels
# is
#
# $$dx = A^\mathsf{T} dy.$$
#
# There is no chain rule with six indices, and no special case at the border: the rule of a linear map is its transpose.
# And the transpose of several steps is the product of their transposes, in reverse order:
#
# | forward | backward |
# |---|---|
# | `unfold`: a pixel is copied into all windows that contain it | second, `fold`: their gradients are added up |
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


print(np.allclose(transposed(y_one, w_one, x_one.shape).ravel(), A.T @ y_one.ravel()))
#> True

# %% [markdown]
# ## The adjoint test
#
# For large frames the matrix is out of reach. But one test needs only the two functions. Write $\langle a, b\rangle$
# for the sum of all products $a_j b_j$. For every $x$ and $y$,
#
# $$\langle A x,\; y\rangle = \langle x,\; A^\mathsf{T} y\rangle,$$
#
# and the transpose is the only map with this property. Draw $x$ and $y$ at random, and compare two numbers. The map is
# linear, so there is no small step as in lesson 4, and no error of a finite difference: the two must agree up to
# rounding.

# %%
def dot(a, b):
    return float((a * b).sum())


x, w = rng.standard_normal((2, 9, 8, 3)), rng.standard_normal((3, 4, 3, 5))
y = rng.standard_normal((2, 7, 5, 5))
left, right = dot(correlate(x, w), y), dot(x, transposed(y, w, x.shape))
print(f"<Ax, y> = {left:.12f}   <x, A'y> = {right:.12f}   agree to 1e-12: {abs(left - right) < 1e-12 * abs(left)}")
#> <Ax, y> = 69.548791065201   <x, A'y> = 69.548791065201   agree to 1e-12: True

# %% [markdown]
# Now for an easy mistake: `=` in place of `+=`. The window that comes last wins, and the others are lost. The shape is
# right, the numbers look plausible, and no error is raised.

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
# ### Exercise 6.2: the transpose of upsampling (medium, 10 minutes)
#
# `upsample` turns every pixel into a block of 2x2 equal pixels; networks use it to get from small maps back to large
# ones. Write its transpose, (B,2H,2W,C) -> (B,H,W,C), and try the adjoint test on it before you look at the verdict.
#
# *Hint:* every pixel was copied to four places. What did `fold` do with copies? After a reshape to (B,H,2,W,2,C) the
# four copies lie along axes of their own.

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
# The weights need a gradient, too. Write $\langle \text{correlate}(x, w),\, y\rangle$ out in full, with $X$ for the
# windows:
#
# $$s = \sum_{n,p,q,i,j,c,k} X_{npqijc}\; w_{ijck}\; y_{npqk}$$
#
# The sum is linear in each of the three arrays. Leave one of them out and sum over the indices that it does not have:
# the result is what that array was multiplied by. Without $y$ this is the convolution itself; without $x$ it is the
# transpose (once folded); without $w$ it is the gradient with respect to the weights, which we call `pair`: for each
# kernel element, it pairs the pixels with the outputs to which they contributed. As a product of matrices it is
# $X^\mathsf{T} Y$.
#
# `np.einsum("npqijc,ijck->npqk", X, w)` takes the letters as they stand: they name the axes of $X$, of $w$ and of the
# result, and it sums over the letters that the result does not have.

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
# ### Exercise 6.3: a kernel for each channel (stretch, 20 minutes)
#
# A *depthwise* convolution does not mix channels: channel $c$ has its own kernel,
# $y_{npqc} = \sum_{ij} X_{npqijc}\, w_{ijc}$. It is given below. Write the gradient with respect to its weights: x
# (B,H,W,C) and the cotangent y (B,P,Q,C) -> (kh,kw,C).
#
# *Hint:* write out the number $s$ for this map, leave out $w$, and see which letters remain. You may use `unfold` and
# `np.einsum`.

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
      np.array([[(x[:, i:i + 7, j:j + 5] * y_depth).sum(axis=(0, 1, 2)) for j in range(4)] for i in range(3)]))

# %% [markdown]
# ## An op, and what it saves
#
# In the package, as in lesson 5, rules ask by name for what they need, and only that is saved for backward. Our two
# rules take two lines. One thing is new: only tensors with `requires_grad=True` get a gradient. The op passes the
# gradient check of lesson 4, and `tp.conv2d` has the same gradients.

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
print("same as tp.conv2d:", all(np.allclose(a, b) for a, b in zip(ours, theirs)))
#> gradcheck: True
#> same as tp.conv2d: True

# %% [markdown]
# What do the rules ask for? The frames and the weights, but never the windows, although forward made them and `pair`
# needs them again. That is deliberate: every pixel lies in 25 windows of 5x5. Suppose that a network of four layers
# computes two convolutions of 128 channels in each layer for each frame, and that a training sequence takes 19 such
# steps:

# %%
made = conv(tp.tensor(big, requires_grad=True), tp.tensor(big_w, requires_grad=True))
print("saved for backward:", ", ".join(name for name, value in made.node.saved.items() if hasattr(value, "dtype")))
frames_kept = 8 * 16 * 16 * 128 * 4  # bytes: batch, height, width, channels, float32
convolutions = 4 * 2 * 19
print(f"frames: {convolutions * frames_kept / 1e9:.2f} GB   windows: {convolutions * 25 * frames_kept / 1e9:.2f} GB")
#> saved for backward: w, x
#> frames: 0.16 GB   windows: 3.98 GB

# %% [markdown]
# Making the windows once more costs a copy, which is cheap compared with the product that follows:

# %%
def clock(function, *inputs):
    function(*inputs)
    start = time.perf_counter()
    function(*inputs)
    return 1000 * (time.perf_counter() - start)


big_rows = unfold(big, 5, 5).reshape(-1, 25 * 128)
print(f"windows {clock(lambda: unfold(big, 5, 5).reshape(-1, 25 * 128)):.1f} ms, "
      f"product {clock(lambda: big_rows @ big_w.reshape(-1, 128)):.1f} ms")
#? windows 2.0 ms, product 23.2 ms

# %% [markdown]
# ## A kernel learns a motion
#
# Now let a convolution do what this course is about: predict the next frame. Between two frames, the digits move one
# pixel down and two to the left. We start with a 5x5 kernel of zeros, and gradient descent makes its error smaller. The
# error is the sum of the squared differences over a frame, averaged over the digits. The baseline is to predict that
# nothing moves.

# %%
def learn(move, steps, rate=7e-4):
    """Learn a 5x5 kernel that moves the digits by (rows, columns): (kernel, its error, the error of the baseline)"""
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
near, near_error, near_baseline = learn((1, -2), steps)
row, column = np.unravel_index(near.argmax(), near.shape)
print(f"baseline: {near_baseline:.1f}   error below 1 % of the baseline: {near_error < 0.01 * near_baseline}")
print(f"largest weight at row {row}, column {column}")
#> baseline: 66.7   error below 1 % of the baseline: True
#> largest weight at row 1, column 4

# %% [markdown]
# The middle of the kernel is row 2, column 2. The largest weight lies one row above it and two columns to the right,
# which is where a pixel that moves down and left comes from. The kernel has found the motion from the frames alone.
#
# But a 5x5 kernel sees only two pixels each way. The digits of the PredRNN paper move 3 to 5 pixels a frame (Section
# 4.1). Let ours move down by 4:

# %%
far, far_error, far_baseline = learn((4, 0), steps)
print(f"baseline: {far_baseline:.1f}   error: {far_error / far_baseline:.1f} of the baseline")
#> baseline: 109.6   error: 0.4 of the baseline

# %%
figure, axes = plt.subplots(2, 4, figsize=(9, 4.8))
for row_axes, (move, learnt) in zip(axes, {(1, -2): near, (4, 0): far}.items()):
    now = np.pad(digits[:1], ((0, 0), (6, 6), (6, 6), (0, 0)))
    then = np.roll(now, move, axis=(1, 2))
    guess = tp.conv2d(now, learnt[:, :, None, None])
    down, right = move
    pictures = {"frame": now, f"next: {down} down" + (f", {-right} left" if right else ""): then, "predicted": guess}
    for ax, (title, picture) in zip(row_axes, pictures.items()):
        ax.imshow(picture[0, :, :, 0], cmap="gray", vmin=0, vmax=1)
        ax.set_title(title, fontsize=10)
    row_axes[3].imshow(learnt, cmap="cividis", vmin=-1, vmax=1)
    row_axes[3].add_patch(Rectangle((1.5, 1.5), 1, 1, fill=False, edgecolor="white", lw=2))
    for (row, column), weight in np.ndenumerate(learnt):
        row_axes[3].text(column, row, f"{round(float(weight), 1) + 0.0:.1f}", ha="center", va="center", fontsize=9,
                     color="black" if weight > 0.3 else "white")
    row_axes[3].set_title("learnt kernel, middle framed", fontsize=10)
    for ax in row_axes:
        ax.set_xticks([])
        ax.set_yticks([])
show(figure, "motion")

# %% [markdown]
# If the motion is out of reach, the best that the kernel can do is to smear: the second prediction is a blur. Seeing
# further takes larger kernels, coarser frames, or several layers, each of which sees two pixels further (lesson 8). And
# this kernel knows only one motion. Finding out from earlier frames *which* motion it is takes a memory: lessons 10 to
# 17.
#
# ## What you have now
#
# - `unfold`, `fold`, `correlate`, `transposed`, `pair`: the package uses the same names and ideas, with stride,
#   dilation and padding in one small record (`Grid`) so that the three maps cannot disagree about them:
#   `tinypredrnn/autograd/convolution.py`, `unfold`; `tinypredrnn/autograd/convolution.py`, `transposed`.
# - Ops whose rules ask by name, and so save no windows: `tinypredrnn/autograd/op.py`, `Op`.
# - The transpose is useful in the forward pass, too: in `conv2d_transpose` every pixel adds its kernel, scaled, to a
#   larger frame, and *its* gradient is a convolution: `tinypredrnn/autograd/convolution.py`, `conv2d_transpose`.
#
# **What real systems do differently.** cuDNN and oneDNN choose among several algorithms: gathering the windows during
# the multiplication (*implicit GEMM*; the big matrix never exists), Fourier transforms, and Winograd's algorithm, which
# needs fewer multiplications than the definition (lesson 19). PyTorch stores frames as (B,C,H,W) by default; ours are
# (B,H,W,C), so that each row of a window is contiguous and a 1x1 convolution is a plain matrix product.
