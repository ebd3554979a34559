# %% [markdown]
# # 9. Moving digits
#
# - **Idea:** training data can be generated when they are needed, if the generator is fast, correct, and repeatable
#   from (seed, k).
# - **Minutes:** 60
# - **Needs:** NumPy. Lesson 7's clock helps.
# - **You will see:** the generator of the paper's Section 4.1, built in four pieces until its frames equal the
#   package's byte for byte; a bounce that looks correct until a test finds a room in which it is wrong; a seed that
#   never reaches the random numbers for which it was set.
# - **Why:** the paper trains for 80,000 iterations of 8 sequences (Section 4). A file of 10,000 sequences would be seen
#   64 times, and a model can learn a file by heart.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.data.source import stream

BLUE, ORANGE = "#0072B2", "#D55E00"
sequences = 80_000 * 8
print(f"{sequences:,} sequences of 20 frames of 64x64 bytes: {sequences * 20 * 64 * 64 / 1e9:.0f} GB")
#> 640,000 sequences of 20 frames of 64x64 bytes: 52 GB

# %% [markdown]
# The paper's answer: "With digits generated quickly on the fly, we are able to have infinite samples size in the
# training set" (Section 4.1). Its recipe, in the same section: a frame has 64x64 pixels and two digits, placed at
# random. Each digit has a direction uniform on the unit circle and a speed uniform in [3, 5) pixels a frame. Digits
# bounce off the edges and occlude each other.
#
# The paper's digits are those of MNIST. Ours are drawn by a program that imitates a pen, so that the lesson needs no
# download; their size and position in the image are those of MNIST's digits.

# %%
images, labels = draw_digits(np.random.default_rng(9), 200)  # (200,28,28) uint8
print(images.shape, images.dtype, "and the first eight are", labels[:8])
#> (200, 28, 28) uint8 and the first eight are [4 8 9 2 1 6 6 7]

# %%
figure, axes = plt.subplots(1, 8, figsize=(8, 1.3))
for ax, image in zip(axes, images):
    ax.imshow(image, cmap="gray")
    ax.axis("off")
show(figure, "digits")

# %% [markdown]
# ## First piece: a velocity
#
# "Uniform on the unit circle" has a trap. Draw both components between -1 and 1 and divide by the length: the result is
# a direction, but the directions are not uniform, since a square reaches further towards its corners. Count the
# directions within 10 degrees of the axes, and those within 10 degrees of the diagonals.

# %%
def near(angles, middle):
    """How many angles lie within 10 degrees of `middle` degrees, or of that plus 90, 180, 270"""
    return int((abs((np.degrees(angles) - middle + 45) % 90 - 45) < 10).sum())


rng = np.random.default_rng(0)
square = rng.uniform(-1, 1, (100_000, 2))
ways = {"from a square": np.arctan2(square[:, 1], square[:, 0]), "from an angle": rng.uniform(0, 2 * np.pi, 100_000)}
for name, angles in ways.items():
    print(f"{name}: diagonals / axes = {near(angles, 45) / near(angles, 0):.1f}")
#> from a square: diagonals / axes = 1.7
#> from an angle: diagonals / axes = 1.0

# %% [markdown]
# So draw an angle and a speed, and compute the two components with sine and cosine.
#
# ## Second piece: a bounce
#
# A digit image is 28 pixels wide; in a frame of 64 pixels its upper left corner has 36 pixels of **room**. The motions
# down and across are independent: along each axis, one number between 0 and `room` bounces. What should it do at the
# wall? The first idea is to turn round.

# %%
@njit
def turn_round(position, velocity, room):
    """One frame later: (position, velocity)"""
    position += velocity
    if position < 0 or position > room:
        velocity = -velocity
    return position, velocity


# %% [markdown]
# (`@njit` compiles the function; more about that below.) Is it correct? Instead of looking at frames, state what must
# *always* hold, and let random numbers try to break it. That is a **property test**. Our property: whatever the start,
# the speed and the room, the digit stays inside.

# %%
def find_escape(bounce, rooms, trials=2000):
    """Describe the first of many random flights of 20 frames that leaves its room; each room is one of `rooms`"""
    rng = np.random.default_rng(1)
    for trial in range(trials):
        room = float(rng.choice(rooms))
        position, velocity = rng.uniform(0, room), rng.uniform(-5, 5)
        for frame in range(20):
            before = position
            position, velocity = bounce(position, velocity, room)
            if not 0 <= position <= room:
                return f"flight {trial}, frame {frame}, room {room:.0f}: from {before:.1f} to {position:.1f}"
    return "all stay inside"


print(find_escape(turn_round, rooms=[36]))
#> flight 0, frame 3, room 36: from 31.9 to 36.4

# %% [markdown]
# The digit turns round too late: for one frame it is outside. If a digit is 1 pixel from the wall and moves 4 pixels a
# frame, it should move 1 pixel to the wall and 3 pixels back. The wall acts as a mirror.

# %%
@njit
def mirror_once(position, velocity, room):
    position += velocity
    if position < 0:
        position, velocity = -position, -velocity
    elif position > room:
        position, velocity = 2 * room - position, -velocity
    return position, velocity


print(find_escape(mirror_once, rooms=[36]))
print(find_escape(mirror_once, rooms=range(1, 37)))
#> all stay inside
#> flight 31, frame 0, room 1: from 0.8 to -2.7

# %% [markdown]
# In the paper's room no flight escapes. In a small room one does: if the room is smaller than a step, the mirrored
# position can lie behind the opposite wall. Anyone with a 30-pixel canvas will hit this. The test found it because it
# was allowed to draw small rooms: a property test is only as good as the inputs that it may draw. The cure is to mirror
# until the position is inside.

# %%
@njit
def bounce(position, velocity, room):
    """One frame later, mirrored at the walls as often as needed: (position, velocity); room > 0"""
    position += velocity
    while position < 0 or position > room:
        position = -position if position < 0 else 2 * room - position
        velocity = -velocity
    return position, velocity


print(find_escape(bounce, rooms=range(1, 37)))
#> all stay inside

# %% [markdown]
# The second property has nothing to do with staying inside: a mirror loses no information. Fly 20 frames, turn round,
# fly 20 frames: the digit is back where it began. The generator of Srivastava et al. (2015), which made the well-known
# file `mnist_test_seq.npy`, stops a digit *at* the wall instead. That digit stays inside, too, but it does not return
# to its start.

# %%
@njit
def stop_at_wall(position, velocity, room):
    position += velocity
    if position <= 0 or position >= room:
        position, velocity = min(max(position, 0.0), room), -velocity
    return position, velocity


def there_and_back(bounce, position, velocity, room=36.0):
    for _ in range(20):
        position, velocity = bounce(position, velocity, room)
    velocity = -velocity
    for _ in range(20):
        position, velocity = bounce(position, velocity, room)
    return position


for rule in bounce, stop_at_wall:
    print(f"{rule.__name__:12} inside: {find_escape(rule, rooms=range(1, 37)) == 'all stay inside'}   "
          f"10.0 there and back: {there_and_back(rule, 10.0, 4.3):.1f}")
#> bounce       inside: True   10.0 there and back: 10.0
#> stop_at_wall inside: True   10.0 there and back: 5.9

# %% [markdown]
# Mirrors suggest another way to see a flight. Let the digit fly straight on, through the wall into a mirrored copy of
# the room, and from there into the next copy. Fold the copies back onto the first room, and the straight line becomes
# the true path.

# %%
def place_by_steps(start, velocity, room, frames):
    positions, position = [start], start
    for _ in range(frames - 1):
        position, velocity = bounce(position, velocity, room)
        positions.append(position)
    return np.array(positions)


straight = 10.0 + 4.3 * np.arange(31)
figure, ax = plt.subplots(figsize=(7.6, 4))
for number in range(4):
    ax.axhspan(36 * number, 36 * number + 36, color=["0.8", "0.95", "0.9", "0.95"][number], lw=0)
    ax.text(30.6, 36 * number + 18, "the room" if number == 0 else f"mirrored {number}x", va="center", fontsize=9)
ax.plot(straight, "o--", color=BLUE, ms=4, label="straight on, through the mirrors")
ax.plot(place_by_steps(10.0, 4.3, 36.0, 31), "s-", color=ORANGE, ms=4, label="folded back: the true path")
ax.set(xlabel="frame", ylabel="row of the upper left corner (pixels)", xlim=(-1, 36), yticks=range(0, 145, 36))
ax.legend(frameon=False, fontsize=9)
show(figure, "mirrors")

# %% [markdown]
# ### Exercise 9.1: without a loop (stretch, 15 minutes)
#
# After $t$ frames the straight flight is at $\text{start} + t \cdot \text{velocity}$. Where is the digit really? Return
# its positions for an array of frames `t`, for any room, without a loop.
#
# *Hint:* the walls at 0, at 2 room, at 4 room, at -2 room, ... are all images of the wall at 0. How far is the digit
# from the nearest of them? `np.rint` gives the nearest whole number.

# %%
def place(start, velocity, room, t):
    # <solution>
    path = start + velocity * t
    return abs(path - 2 * room * np.rint(path / (2 * room)))
    # </solution>


flights = [(10.0, 4.3, 36.0, 40), (30.0, -3.1, 36.0, 40), (0.5, 4.9, 3.0, 25), (1.0, 2.0, 7.0, 1)]
check("9.1", lambda: [place(start, velocity, room, np.arange(frames)) for start, velocity, room, frames in flights],
      [place_by_steps(*flight) for flight in flights], atol=1e-9)

# %% [markdown]
# ## Many at once
#
# Here are all flights of a batch. `start` and `velocity` are (B,D,2), for B sequences of D digits, down and across; the
# positions are (B,D,T,2).

# %%
@njit
def fly(start, velocity, room, frames):
    count, digits, _ = start.shape
    positions = np.empty((count, digits, frames, 2))
    for b, d, axis in np.ndindex(start.shape):
        position, step = start[b, d, axis], velocity[b, d, axis]
        for t in range(frames):
            positions[b, d, t, axis] = position
            position, step = bounce(position, step, room)
    return positions


def random_flights(rng, count, digits=2, room=36.0, frames=20):
    start = rng.random((count, digits, 2)) * room
    angle = rng.uniform(0, 2 * np.pi, (count, digits))
    speed = rng.uniform(3.0, 5.0, (count, digits))  # pixels a frame
    velocity = np.stack([speed * np.sin(angle), speed * np.cos(angle)], axis=-1)  # (B,D,2): down, across
    return fly(start, velocity, room, frames)


positions = random_flights(np.random.default_rng(2), 1000)
steps = np.hypot(*np.moveaxis(np.diff(positions, axis=2), -1, 0))  # (B,D,T-1): how far a digit moves in a frame
print("all inside:", bool((positions >= 0).all() and (positions <= 36).all()))
print(f"fastest {steps.max():.2f} pixels a frame; {np.mean(steps > 3 - 1e-9):.2f} of the steps are at least 3 pixels")
#> all inside: True
#> fastest 5.00 pixels a frame; 0.93 of the steps are at least 3 pixels

# %% [markdown]
# And the other steps? They meet a wall: a digit that moves 1 pixel to the wall and 3 pixels back has travelled 4 pixels
# and is 2 pixels from where it was.
#
# ## Third piece: paint
#
# A digit is painted with its upper left corner at its position, rounded down to whole pixels. What if two digits
# overlap? Adding their pixels is wrong and raises no error, since a byte ends at 255:

# %%
print(np.array([200], np.uint8) + np.array([100], np.uint8))
#> [44]

# %% [markdown]
# So the brighter pixel wins. We write it with plain loops, with NumPy slices, and with the plain loops compiled by
# numba:

# %%
def paint_loops(canvas, images, chosen, positions):
    """Paint images (N,h,w), those numbered chosen (B,D), onto canvas (B,T,H,W,1), with upper left corners at positions
    (B,D,T,2)"""
    _, h, w = images.shape
    for b, d in np.ndindex(chosen.shape):
        for t in range(canvas.shape[1]):
            row, column = int(positions[b, d, t, 0]), int(positions[b, d, t, 1])
            for y in range(h):
                for x in range(w):
                    brightness = images[chosen[b, d], y, x]
                    canvas[b, t, row + y, column + x, 0] = max(canvas[b, t, row + y, column + x, 0], brightness)


paint = njit(paint_loops)  # numba: the same function, compiled for the processor when it is first called


def paint_slices(canvas, images, chosen, positions):
    """The same with NumPy, one digit at a time"""
    _, h, w = images.shape
    for b, d in np.ndindex(chosen.shape):
        for t in range(canvas.shape[1]):
            row, column = positions[b, d, t].astype(int)
            under = canvas[b, t, row:row + h, column:column + w, 0]
            np.maximum(under, images[chosen[b, d]], out=under)


chosen = np.random.default_rng(3).integers(len(images), size=(8, 2))
results, milliseconds = [], []
for way in paint_loops, paint_slices, paint:
    way(np.zeros((8, 20, 64, 64, 1), np.uint8), images, chosen, positions[:8])  # the warm-up: numba compiles now
    times = []
    for _ in range(size(7, 2)):
        canvas = np.zeros((8, 20, 64, 64, 1), np.uint8)
        start = time.perf_counter()
        way(canvas, images, chosen, positions[:8])
        times.append(time.perf_counter() - start)
    results.append(canvas)
    milliseconds.append(1000 * np.median(times))
print("the same frames:", all(np.array_equal(results[0], other) for other in results))
print("a batch of 8: loops {:.0f} ms, NumPy slices {:.2f} ms, numba {:.2f} ms".format(*milliseconds))
print(f"80,000 batches: loops {80 * milliseconds[0] / 60:.0f} minutes, numba {80 * milliseconds[2] / 60:.1f} minutes")
#> the same frames: True
#? a batch of 8: loops 179 ms, NumPy slices 1.50 ms, numba 0.42 ms
#? 80,000 batches: loops 239 minutes, numba 0.6 minutes

# %% [markdown]
# The first and the last are the same lines of Python. (Slices are a good answer, too, if the work consists of slices;
# bouncing does not.) The price is care: compiled code does not check indices. Here it is asked for element 4 of an
# array of 3, and without an error returns what lies behind the array in memory. (We cut the 3 out of a longer array, so
# that we know what lies there.) That is why a digit outside its room is a serious error.

# %%
def element(array, i):
    return array[i]


three = np.arange(6.0)[:3]
print("unchecked:", njit(element)(three, 4))
try:
    njit(boundscheck=True)(element)(three, 4)
except IndexError as error:
    print("checked: IndexError:", error)
#> unchecked: 4.0
#> checked: IndexError: index is out of bounds

# %% [markdown]
# ### Exercise 9.2: when do they overlap? (medium, 15 minutes)
#
# Frames in which digits overlap are the hard ones. Given the positions of two digits (B,2,T,2), their upper left
# corners, return in which sequences and frames their 28x28 boxes overlap: booleans (B,T). Boxes that only touch do not
# overlap.
#
# *Hint:* two boxes overlap if they overlap down *and* across. Two intervals of length 28 overlap if their starts are
# less than 28 apart.

# %%
def overlap(positions):
    # <solution>
    return (abs(positions[:, 0] - positions[:, 1]) < 28).all(axis=-1)
    # </solution>


corners = np.array([[[[0, 0], [0, 0], [0, 0], [9, 30], [36, 5]],
                     [[27, 27], [28, 5], [20, 28], [36, 3], [8, 32]]]])  # (1,2,5,2)
check("9.2", lambda: [overlap(corners), overlap(positions[:50])],
      [np.array([[True, False, False, True, False]]),
       np.array([[all(abs(p - q) < 28 for p, q in zip(*pair)) for pair in zip(*flight)] for flight in positions[:50]])])

# %% [markdown]
# ## Fourth piece: randomness under control
#
# A run that cannot be repeated cannot be debugged. The usual remedy is to set a seed. Here is a case in which that
# fails:

# %%
@njit
def numba_draws(count):
    return np.random.random(count)


def draws_again_after_seed(draw):
    np.random.seed(0)
    first = draw(3)
    np.random.seed(0)
    return np.array_equal(first, draw(3))


print("NumPy repeats itself:", draws_again_after_seed(np.random.random))
print("numba repeats itself:", draws_again_after_seed(numba_draws))
#> NumPy repeats itself: True
#> numba repeats itself: False

# %% [markdown]
# In compiled code the same name, `np.random`, is another generator with a state of its own, and the seed never reached
# it. Hence a rule of this project: compiled code draws no random numbers. All of them come from one
# `numpy.random.Generator`, outside, and are passed in as arrays, as for `fly` and `paint`. There is also no global
# state, from which any library could draw without your knowledge.
#
# Now to batches. A run that is interrupted after batch 5,000 should continue with batch 5,001, without making the
# earlier ones again. So give each batch a generator of its own, made from (seed, k). The obvious way is wrong:

# %%
def added(seed, k):
    return np.random.default_rng(seed + k)


print("seed 0, batch 1 is seed 1, batch 0:", np.array_equal(added(0, 1).random(3), added(1, 0).random(3)))
#> seed 0, batch 1 is seed 1, batch 0: True

# %% [markdown]
# Two runs with the seeds 0 and 1, meant to show how much chance matters, would share all their batches but one.
# `SeedSequence` mixes a seed and a key of any number of integers, so that a change of any of them gives another stream:

# %%
def keyed(seed, *key):
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


starts = {tuple(keyed(seed, 0, k).random(2)) for seed in range(30) for k in range(30)}
print("30 seeds, 30 batches:", len(starts), "different streams")
print("repeatable, in any order:", keyed(3, 0, 7).random() == keyed(3, 0, 7).random())
#> 30 seeds, 30 batches: 900 different streams
#> repeatable, in any order: True

# %% [markdown]
# ### Exercise 9.3: never test on training data (easy, 5 minutes)
#
# Training, validation and test data must never be the same, even if all three get the same seed. So the name is part of
# the key. Write `named(name, seed, k)`: the generator of seed `seed` with the key (position of the name in NAMES, k).
#
# *Hint:* `NAMES.index` finds the position of a name in the tuple. The rest is in the cell above.

# %%
NAMES = "training", "validation", "test"


def named(name, seed, k):
    # <solution>
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(NAMES.index(name), k)))
    # </solution>


items = [("training", 0, 0), ("test", 0, 1), ("validation", 1, 0), ("test", 5, 4999)]
check("9.3", lambda: [named(*item).random(2) for item in items], [stream(*item).random(2) for item in items])

# %% [markdown]
# ## All four together

# %%
def make_batch(images, seed, k, count, digits=2, frames=20):
    """Training batch k: `count` sequences, uint8 (count,frames,64,64,1), the same for the same (seed, k)"""
    rng = keyed(seed, 0, k)
    positions = random_flights(rng, count, digits, frames=frames)
    chosen = rng.integers(len(images), size=(count, digits))
    canvas = np.zeros((count, frames, 64, 64, 1), np.uint8)
    paint(canvas, images, chosen, positions)
    return canvas


batch = make_batch(images, seed=0, k=41, count=4)
print(batch.shape, batch.dtype)
print("the same again:", np.array_equal(batch, make_batch(images, seed=0, k=41, count=4)))
print("the package's, byte for byte:", np.array_equal(batch, MovingMNIST(images).batch(seed=0, k=41, count=4)))
#> (4, 20, 64, 64, 1) uint8
#> the same again: True
#> the package's, byte for byte: True

# %%
flight = random_flights(keyed(0, 0, 41), 4)[0] + 14  # (D,T,2): the middles of the digits
figure = plt.figure(figsize=(9.8, 4.4))
grid = figure.add_gridspec(4, 10, hspace=0.32, wspace=0.12)
ax = figure.add_subplot(grid[:, :5])
fade = np.linspace(0.15, 1, 20)[:, None, None]  # the later, the brighter
ax.imshow((batch[0, :, :, :, 0] * fade).max(axis=0), cmap="gray")
for digit, colour, marker in zip(flight, (ORANGE, "#56B4E9"), "so"):
    ax.plot(digit[:, 1], digit[:, 0], "-", marker=marker, color=colour, ms=3, lw=1)
ax.set(xlabel="column (pixels)", ylabel="row (pixels)", title="20 frames in one")
for t in range(20):
    ax = figure.add_subplot(grid[t // 5, 5 + t % 5])
    ax.imshow(batch[0, t, :, :, 0], cmap="gray")
    ax.set_title(f"{'given' if t < 10 else 'predict'} {t + 1}", fontsize=8, pad=2, color=BLUE if t < 10 else ORANGE)
    ax.axis("off")
show(figure, "sequence")

# %% [markdown]
# Painting has a property, too: a frame with both digits is, pixel by pixel, the brighter of two frames with one digit
# each. So the order of painting does not matter.

# %%
chosen = np.random.default_rng(4).integers(len(images), size=(50, 2))
frames = [np.zeros((50, 20, 64, 64, 1), np.uint8) for _ in range(4)]
for canvas, painted in zip(frames, ([0, 1], [1, 0], [0], [1])):
    paint(canvas, images, chosen[:, painted], positions[:50, painted])
both, other_order, first, second = frames
print("the brighter of the two:", np.array_equal(both, np.maximum(first, second)))
print("in either order:", np.array_equal(both, other_order))
print(f"frames in which they touch: {((first > 0) & (second > 0)).any(axis=(2, 3, 4)).mean():.2f}")
#> the brighter of the two: True
#> in either order: True
#> frames in which they touch: 0.34

# %% [markdown]
# The test set of the paper is fixed, 5,000 sequences (Section 4.1). In the package each of its sequences is a function
# of its own number, so that any part of it can be made alone:

# %%
moving = MovingMNIST(images)
print(np.array_equal(moving.fixed_set("test", 3)[2], moving.fixed_set("test", 1, start=2)[0]))
#> True

# %% [markdown]
# ## What you have now
#
# - The paper's generator: `tinypredrnn/data/moving_mnist.py`, `MovingMNIST`, with a choice between `reflect` (exercise
#   9.1's formula) and Srivastava's rule (`clamp`); `tinypredrnn/data/moving_mnist.py`, `paint` first lays each digit
#   out as one long line, so that the processor can take many pixels at once.
# - Streams by name: `tinypredrnn/data/source.py`, `stream`.
# - Digits: `tinypredrnn/data/drawn_digits.py`, `draw_digits`; MNIST itself: `tinypredrnn/data/digits.py`,
#   `load_digits`.
# - Batches made ahead by a thread, while the model still computes on the previous one: `tinypredrnn/data/batches.py`,
#   `Prefetch`. It needs no queue of random states, because batch k needs nothing but the seed and k.
#
# **What real systems do differently.** PyTorch's loaders run several processes, each with a seed of its own. For years
# NumPy nevertheless drew the same numbers in each process, since a fork copies the state: the same trap in another
# form. JAX has no hidden random state at all: every draw takes a key, and `fold_in(key, k)` is our (seed, k). Numba can
# take a `Generator` as an argument, too; we pass arrays, so that the same kernels could run where no generator exists.
# For serious property tests there is Hypothesis, which also shrinks a counterexample that it finds to the smallest one.
