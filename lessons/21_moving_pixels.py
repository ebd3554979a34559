# %% [markdown]
# # 21. Rivals that move pixels
#
# - **Idea:** do not paint the next frame; say from where each of its pixels comes.
# - **Minutes:** 50
# - **Needs:** lessons 6 (convolution), 12 (the speed limit) and 14 (blur).
# - **You will see:** a kernel that moves a frame, and in the opposite direction to its weight; two motions that one
#   kernel cannot follow, and two kernels with masks can; the same network with two heads, of which the one that moves
#   pixels has two thirds of the error of the one that paints; and what no moving of pixels can do.
# - **Why:** two systems of the paper's Table 1, CDNA and DFN, work in this way. A rival is understood only if we know
#   when it must win and when it must lose.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.models.cdna import move
from tinypredrnn.viz import COLOURS

# %% [markdown]
# ## A shift is a convolution
# In a kernel of 5x5 weights, let a single one be 1 and all others 0. Then each pixel of the result is a copy of one
# pixel nearby: the whole frame moves.


# %%
def dot(row, column, side=9):
    frame = np.zeros((1, side, side, 1), np.float32)
    frame[0, row, column] = 1
    return frame


def by_kernel(frame, kernel):
    """(1,H,W,1) convolved with (5,5) -> (H,W)"""
    return tp.conv2d(frame, kernel[:, :, None, None].astype(np.float32))[0, :, :, 0]


kernel = np.zeros((5, 5))
kernel[2, 3] = 1  # the weight to the right of the middle
row, column = np.argwhere(by_kernel(dot(4, 4), kernel) == 1)[0]
print(f"the dot moved by {row - 4} down and {column - 4} to the right")
#> the dot moved by 0 down and -1 to the right

# %% [markdown]
# The weight stands to the right, and the dot moves to the left. A kernel does not push pixels away; each pixel of the
# result *looks* to where its weight is, and takes what is there.
#
# ### Exercise 21.1: a kernel that moves (easy, 5 minutes)
# Return the 5x5 kernel that moves a frame by `down` and `right` pixels, each from -2 to 2. Both may be fractions: then
# the weight is shared by neighbours, in proportion to how near they are (for half a pixel to the right, two weights of
# 1/2).
#
# *Hint:* along one axis, the weight at distance $d$ from the place looked at is $1 - |d|$, or 0 if that is negative.
# The kernel is the product of a column for the rows and a row for the columns. Where is the place looked at, if the
# frame is to move down?

# %%
def shift_kernel(down, right):
    """-> (5,5)"""
    # <solution>
    places = np.arange(-2, 3)
    rows, columns = (np.maximum(1 - abs(places + shift), 0) for shift in (down, right))
    return rows[:, None] * columns
    # </solution>


def centre(picture):
    """The centre of mass of a picture (H,W): (row, column)"""
    return [float((picture * axis).sum() / picture.sum()) for axis in np.indices(picture.shape)]


def moved_by(down, right):
    made = shift_kernel(down, right)
    return None if made is None else [*centre(by_kernel(dot(4, 4), np.array(made))), float(np.max(made))]


check("21.1", lambda: [moved_by(*shift) for shift in ((0, 1), (-2, 0), (1, -1), (0.5, 0), (0.25, -1.5))],
      [[4, 5, 1], [2, 4, 1], [5, 3, 1], [4.5, 4, 0.5], [4.25, 2.5, 0.375]], rtol=1e-5)

# %% [markdown]
# ## Fractions blur, again and again
# A shift by whole pixels loses nothing. Half a pixel mixes two neighbours; a forecast moves its own result on, and
# mixes them again. The brightest pixel of a dot after 1, 2, 5 and 10 such steps:

# %%
half = np.zeros((5, 5))
half[2, 1:3] = 0.5  # half a pixel to the right
strip, brightest = dot(0, 4, side=21), []
for _ in range(10):
    strip = by_kernel(strip, half)[None, :, :, None]
    brightest.append(float(strip.max()))
print("brightest pixel after 1, 2, 5 and 10 steps:", *(f"{brightest[k - 1]:.3f}" for k in (1, 2, 5, 10)))
#> brightest pixel after 1, 2, 5 and 10 steps: 0.500 0.500 0.312 0.246

# %% [markdown]
# So networks that move pixels blur as well, if they feed back their frames. Lesson 23 moves the *original* frame once
# by the whole way, and mixes only once.
#
# ## Two motions, one kernel
# Here are two objects. The cross moves one pixel to the right, the ring one down and one to the left. What is the best
# single kernel? Gradient descent finds it, without a network: the kernel's 25 numbers are the parameters. A softmax
# keeps them positive, with sum 1, so that they can only move and mix.

# %%
SIDE = 16
CROSS, RING, CORNER = np.array([[pixel == "#" for pixel in text] for text in
                                (".#.###.#.", "####.####", "#..#..###")], np.float32).reshape(3, 3, 3)


def place(frame, shape, row, column):
    part = frame[row:row + 3, column:column + 3, 0]
    part[...] = np.maximum(part, shape)


now, later = np.zeros((2, 1, SIDE, SIDE, 1), np.float32)
for frame, t in ((now, 0), (later, 1)):
    place(frame[0], CROSS, 3, 3 + t)
    place(frame[0], RING, 9 + t, 9 - t)


def fit(kernels, seed, steps=300):
    """Fit `kernels` kernels and as many masks to the two frames: (squared error, kernels (1,25,K), masks (H,W,K))"""
    rng = np.random.default_rng(seed)
    leaves = [tp.tensor(rng.standard_normal(shape).astype(np.float32) / 10, requires_grad=True)
              for shape in ((1, kernels, 25), (1, SIDE, SIDE, kernels))]
    adam = tp.optim.Adam(leaves, rate=0.1)
    around = tp.windows(now, kernel=(5, 5)).reshape(1, SIDE * SIDE, 25)  # the 25 pixels around each pixel
    for _ in range(steps):
        weights, masks = tp.softmax(leaves[0]).transpose(0, 2, 1), tp.softmax(leaves[1])
        moved = (around @ weights).reshape(1, SIDE, SIDE, kernels)  # the frame moved by each kernel
        error = (((moved * masks).sum(axis=-1) - later[..., 0]) ** 2).sum()
        for leaf in leaves:
            leaf.grad = None
        error.backward()
        adam.step()
    return error.item(), weights.data, masks.data[0]


print(f"the same frame again: {((now - later) ** 2).sum():.2f}, a black one: {(later ** 2).sum():.2f}")
error, one_kernel, _ = fit(1, seed=0)
print(f"1 kernel: {error:.2f}, its largest weight is {one_kernel.max():.2f}")
fits = [fit(2, seed) for seed in range(4)]
best = min(fits, key=lambda found: found[0])
print("2 kernels, from four starts:", *(f"{error:.2f}" for error, _, _ in fits))
print(f"the best: {best[0]:.2f}, the largest weights are {best[1].max(axis=1).min():.2f} or more")
#> the same frame again: 18.00, a black one: 13.00
#~ 1 kernel: 5.33, its largest weight is 0.46
#~ 2 kernels, from four starts: 2.44 0.00 0.00 2.47
#~ the best: 0.00, the largest weights are 0.98 or more

# %% [markdown]
# One kernel has two motions to choose from and does what lesson 14 says: it shows both, each at half its brightness.
# Two kernels move the whole frame twice, and a **mask** chooses for every pixel which of the two it shows. Two of the
# four starts end in a poor compromise. The other two find the objects, by their motion alone.

# %%
_, weights, masks = best
figure, axes = plt.subplots(1, 5, figsize=(10, 2.4), layout="constrained")
panels = {"frame t": now[0, ..., 0], "frame t + 1": later[0, ..., 0],
          "moved by kernel 1": move(tp.tensor(now), tp.tensor(weights[:, :, [0, 0]])).data[0, :, :, 0, 0],
          "moved by kernel 2": move(tp.tensor(now), tp.tensor(weights[:, :, [1, 1]])).data[0, :, :, 0, 0],
          "mask of kernel 1": masks[..., 0]}
for ax, (title, picture) in zip(axes, panels.items()):
    ax.imshow(picture, cmap="viridis" if "mask" in title else "gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=title)
show(figure, "masks")

# %% [markdown]
# ## CDNA
# This is CDNA (Finn et al. 2016): nine moved frames, the frame itself, and a new image for what was hidden, mixed by
# eleven masks that are a softmax. The kernels and the masks come from a network of seven ConvLSTMs. A frame of any size
# is predicted by 9 motions for all of it, so CDNA must lose where many things move differently.

# %%
cdna = tp.build_model("cdna", size=(64, 64), channels=1)
print(f"CDNA for frames of 64x64: {cdna.count_parameters():,} weights, {cdna.to_kernels.count_parameters():,} of them "
      "in the layer that makes the kernels")
#> CDNA for frames of 64x64: 8,309,542 weights, 2,048,250 of them in the layer that makes the kernels

# %% [markdown]
# ## A filter for each pixel
# DFN (De Brabandere et al. 2016) goes to the other end: each pixel of the next frame has a kernel of its own, computed
# by the network for this frame. There are no masks, since each pixel chooses for itself.
#
# ### Exercise 21.2: filter locally (medium, 10 minutes)
# `filters[i, j]` are the weights with which pixel (i, j) of the result looks around: 5x5 of them, the middle one at the
# pixel itself. Outside of the frame, everything is 0.
#
# *Hint:* put two zeros around the frame. The window of pixel (i, j) then begins at row i and column j.

# %%
def filter_locally(frame, filters):
    """frame (H,W), filters (H,W,5,5) -> (H,W)"""
    # <solution>
    padded, result = np.pad(frame, 2), np.zeros_like(frame)
    for i, j in np.ndindex(frame.shape):
        result[i, j] = (padded[i:i + 5, j:j + 5] * filters[i, j]).sum()
    return result
    # </solution>


rng = np.random.default_rng(0)
some_frame, some_filters = rng.random((7, 6)), rng.random((7, 6, 5, 5))
check("21.2", lambda: filter_locally(some_frame, some_filters),
      tp.local_filter(some_frame[None, :, :, None], some_filters[None])[0, :, :, 0])

# %% [markdown]
# ## Two heads on one network
# Does moving pay? We take one small network, which sees two frames and has two convolutions, and give it two different
# heads. One **paints**: it puts out the next frame. The other **moves**: it puts out nine numbers for each pixel, whose
# softmax is a filter of 3x3. Everything else is the same: the films of two shapes that bounce (as in lesson 0), the
# loss, and the 400 steps.

# %%
FRAMES, GIVEN, STEPS = 8, 3, size(400, 100)


def world(rng, count, speed=1):
    """Two shapes that move diagonally by `speed` pixels per frame, and bounce: (count,FRAMES,SIDE,SIDE,1)"""
    films, room = np.zeros((count, FRAMES, SIDE, SIDE, 1), np.float32), SIDE - 3
    for film in films:
        for _ in range(2):
            shape, phase = (CROSS, RING, CORNER)[rng.integers(3)], rng.integers(2 * room, size=2)
            for t in range(FRAMES):
                place(film[t], shape, *(room - abs((phase + speed * t) % (2 * room) - room)))
    return films


class Network(tp.nn.Module):
    """Two frames (B,H,W,1) -> the next one"""

    def __init__(self, moves, rng):
        self.layers = [tp.nn.Conv2d(2, 16, 5, rng), tp.nn.Conv2d(16, 16, 5, rng)]
        self.head, self.moves = tp.nn.Conv2d(16, 9 if moves else 1, 3, rng), moves

    def filters(self, before, frame):
        x = tp.concat(before, frame)
        for layer in self.layers:
            x = tp.tanh(layer(x))
        x = self.head(x)
        return tp.softmax(x).reshape(*x.shape[:3], 3, 3) if self.moves else x

    def forward(self, before, frame):
        return tp.local_filter(frame, self.filters(before, frame)) if self.moves else self.filters(before, frame)


def train(moves, seed):
    rng = np.random.default_rng(seed)
    network = Network(moves, rng)
    adam = tp.optim.Adam(network.parameters())
    for k in range(STEPS):
        films, t = world(rng, 8), rng.integers(1, FRAMES - 1)
        frames = [tp.tensor(films[:, t + offset]) for offset in (-1, 0, 1)]
        loss = ((network(*frames[:2]) - frames[2]) ** 2).mean()
        network.zero_grad()
        loss.backward()
        adam.step(rate=0.01 * min((k + 1) / 10, 1) * (1 - k / STEPS))
    return network


def forecast(network, films):
    """The frames after the given ones; the network sees its own predictions: (N,FRAMES-GIVEN,SIDE,SIDE,1)"""
    before, frame, frames = tp.tensor(films[:, GIVEN - 2]), tp.tensor(films[:, GIVEN - 1]), []
    with tp.no_grad():
        for _ in range(FRAMES - GIVEN):
            before, frame = frame, network(before, frame)
            frames.append(frame.data.clip(0, 1))
    return np.stack(frames, axis=1)


def error(prediction, films):
    """Squared error of each predicted frame: (FRAMES-GIVEN,)"""
    return ((prediction - films[:, GIVEN:]) ** 2).sum(axis=(2, 3, 4)).mean(axis=0)


test_films = world(np.random.default_rng(9), 64)
networks = {(head, seed): train(head == "moves", seed) for head in ("paints", "moves") for seed in (0, 1)}
curves = {key: error(forecast(network, test_films), test_films) for key, network in networks.items()}
for (head, seed), curve in curves.items():
    print(f"{head:6} seed {seed}: " + " ".join(f"{value:.2f}" for value in curve))
print("moving is better, frame by frame, for both seeds:",
      all((curves["moves", seed] < curves["paints", other]).all() for seed in (0, 1) for other in (0, 1)))
#~ paints seed 0: 1.22 2.78 4.18 5.14 6.30
#~ paints seed 1: 1.26 2.91 4.43 5.67 7.33
#~ moves  seed 0: 0.72 1.81 2.78 3.63 4.43
#~ moves  seed 1: 0.78 2.08 3.11 4.01 4.96
#> moving is better, frame by frame, for both seeds: True

# %% [markdown]
# Two seeds and 400 steps of training: the worse of the two movers beats the better of the two painters in every frame.
# A painter has to draw each shape again in every frame, and draws it a little wrong. A mover takes the shape as it is,
# and has to find out only the direction.

# %%
figure, axes = plt.subplots(3, FRAMES - GIVEN, figsize=(8, 4.8), layout="constrained")
rows = {"came": test_films[0, GIVEN:]} | {head: forecast(networks[head, 0], test_films[:1])[0]
                                          for head in ("paints", "moves")}
for line, (name, frames) in zip(axes, rows.items()):
    line[0].set_ylabel(name)
    for ax, frame in zip(line, frames):
        ax.imshow(frame[..., 0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
show(figure, "heads")

# %% [markdown]
# ## A motion that nobody labelled
# The filters can be read. In which direction did a pixel come here?
#
# ### Exercise 21.3: from a filter to a motion (stretch, 10 minutes)
# A filter of 3x3 weights, which are positive with sum 1, looks at places from (-1, -1) to (1, 1). The mean of these
# places, weighted by the filter, is where the pixel came from. Return how far it *moved*: (down, right).
#
# *Hint:* a filter with all its weight at the left neighbour moves the frame to the right.

# %%
def motion(filters):
    """filters (...,3,3) -> (...,2), down and to the right"""
    # <solution>
    down, right = filters.sum(axis=-1) @ [1, 0, -1], filters.sum(axis=-2) @ [1, 0, -1]
    return np.stack([down, right], axis=-1)
    # </solution>


def motion_by_loops(filters):
    found = np.zeros((*filters.shape[:-2], 2))
    for i, j in np.ndindex(3, 3):
        found -= filters[..., i, j, None] * np.array([i - 1, j - 1])
    return found


some_motions = np.random.default_rng(1).dirichlet(np.ones(9), 4).reshape(4, 3, 3)
check("21.3", lambda: motion(some_motions), motion_by_loops(some_motions))

# %%
filters = networks["moves", 0].filters(*map(tp.tensor, (test_films[:, GIVEN - 2], test_films[:, GIVEN - 1]))).data
motions = motion_by_loops(filters)  # (N,SIDE,SIDE,2)
ink = test_films[:, GIVEN, :, :, 0] > 0.5  # where there is something in the next frame
lengths = abs(motions[ink])  # the truth is 1 down or up, and 1 to a side
print(f"mean |motion| where something comes: {lengths.mean():.2f}; elsewhere: {abs(motions[~ink]).mean():.2f}")
#~ mean |motion| where something comes: 0.89; elsewhere: 0.41

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for ax, n in zip(axes, (0, 1, 2)):
    ax.imshow(test_films[n, GIVEN - 1, :, :, 0], cmap="gray", vmin=0, vmax=1.5)
    places = np.argwhere(ink[n])
    steps = motions[n][ink[n]]
    (row, column), (down, right) = places.T, steps.T
    ax.quiver(column - right, row - down, right, down, color=COLOURS["prediction"], angles="xy", scale_units="xy",
              scale=1, width=0.012)
    ax.set(xticks=[], yticks=[])
figure.suptitle("the last given frame, and from where to where its pixels go")
show(figure, "motion")

# %% [markdown]
# Nobody gave it a motion to learn. It found that to say where things come from, it has to know where they go.
#
# ## What moving cannot do
# A softmax makes every pixel of the prediction a *mean* of pixels around it. Two limits follow, whatever the network.
# Nothing moves further than half of the filter. And nothing becomes brighter than it was: what is not yet in the frame,
# or is behind something else, cannot be made. Here is the best that any filter can do, pixel by pixel: take the nearest
# brightness that the window has.


# %%
def least_error(frame, target, side):
    """The least squared error with which filters of `side` x `side` can make `target` (H,W) out of `frame` (H,W)"""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(frame, side // 2), (side, side))
    nearest = target.clip(around.min(axis=(2, 3)), around.max(axis=(2, 3)))
    return float(((nearest - target) ** 2).sum())


for pixels in (1, 2, 3, 5):
    start, end = np.zeros((2, 1, SIDE, SIDE, 1), np.float32)
    place(start[0], RING, 6, 3)
    place(end[0], RING, 6, 3 + pixels)
    least = [least_error(start[0, ..., 0], end[0, ..., 0], side) for side in (3, 5, 9)]
    print(f"a ring that moves {pixels}: with filters of 3, 5 and 9:", *(f"{error:.0f}" for error in least))
appeared = least_error(np.zeros((SIDE, SIDE)), later[0, ..., 0], 9)
print(f"everything that was not there before: {appeared:.0f} of {(later ** 2).sum():.0f}")
#> a ring that moves 1: with filters of 3, 5 and 9: 0 0 0
#> a ring that moves 2: with filters of 3, 5 and 9: 3 0 0
#> a ring that moves 3: with filters of 3, 5 and 9: 5 3 0
#> a ring that moves 5: with filters of 3, 5 and 9: 8 8 3
#> everything that was not there before: 13 of 13

# %% [markdown]
# The lower limit counts on luck (each pixel may take a brightness from anywhere in its window), so a network does
# worse. DFN's filters have 9x9 weights: four pixels per step, and the digits of Moving MNIST move by 3 to 5. CDNA's
# kernels move by two pixels, and its new image paints the rest. A PredRNN has no such limit: it paints.
#
# ### Exercise 21.4: sum of the parts (medium, 5 minutes)
# Let a filter's weights be positive, but let them have another sum $s$. Let the frame be the same everywhere, with
# value $v$. What is the prediction after `steps` steps that feed back their results, far from the borders? Return it
# for the three sums, and say why a softmax is wise.
#
# *Hint:* one step makes $s v$ of $v$.

# %%
def after(steps, s, v):
    # <solution>
    return v * s ** steps
    # </solution>


def by_filtering(steps, s, v):
    frame = np.full((1, 31, 31, 1), v)
    for _ in range(steps):
        frame = tp.local_filter(frame, np.full((1, 31, 31, 3, 3), s / 9))
    return float(frame[0, 15, 15, 0])


check("21.4", lambda: [after(10, s, 0.5) for s in (0.9, 1.0, 1.1)], [by_filtering(10, s, 0.5) for s in (0.9, 1.0, 1.1)])

# %% [markdown]
# ## What you have now
# Two rivals, and where each of them must win and lose.
#
# | here | in the package |
# |---|---|
# | `fit`, its kernels and masks | `tinypredrnn/models/cdna.py`, `move`, and `tinypredrnn/models/cdna.py`, `compose` |
# | `filter_locally` | `tinypredrnn/autograd/filtering.py`, `local_filter`, with its gradients |
# | the head that moves | `tinypredrnn/models/dfn.py`, `DFN` |
#
# `python examples/compare_models.py --models dfn cdna predrnn` trains them under one budget.
#
# **Real systems.** To move pixels and paint only what is new is today's rule in video compression: motion vectors and a
# residual. Optical-flow networks say the motion directly, two numbers for each pixel instead of 81; lesson 23 does this
# for rain.
