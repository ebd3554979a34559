# %% [markdown]
# # 20. The memory of training
#
# - **Idea:** backward needs what forward computed; keep a few states and recompute the rest, and the gradient is the
#   same.
# - **Minutes:** 55
# - **Needs:** lesson 5 (what ops save), lesson 10 (backward through time, and the cut), lesson 17 (PredRNN).
# - **You will see:** what a PredRNN keeps for each frame; memory that grows with the length of a sequence, with its
#   square root, or with its logarithm, for the same gradient; what that costs in time; and a cut, which is cheap but
#   changes the gradient.
# - **Why:** memory limits the length of sequences and the size of batches. Table 2 of the paper has a column for memory
#   beside the one for the error.

# %%
import dataclasses
import time
import tracemalloc
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.autograd.debug import saved_values
from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.data.scale import BYTES
from tinypredrnn.train import PRETRAINED, new_plan
from tinypredrnn.train.limits import step_memory
from tinypredrnn.viz import COLOURS
from tinypredrnn.viz.graph import history

MIB = 2**20

# %% [markdown]
# ## What a frame costs
# Lesson 5 counted what ten layers save. Now we count what a PredRNN saves. The model is the one that comes with the
# package, with two layers of 32 channels. Its input is four films of moving digits. `history` lists the nodes of the
# graph, and `saved_values` lists what a node keeps for backward. An array that two nodes keep counts once. Weights do
# not count, since they are in memory anyway.


# %%
def kept(loss, parameters):
    """Counter {op: bytes that it keeps for backward}"""
    counted, by_op = {id(p.data): p.data for p in parameters}, Counter()  # keeps the arrays, so that no id is reused
    for node in history([loss]):
        for array in saved_values(node).values():
            while isinstance(getattr(array, "base", None), np.ndarray):
                array = array.base  # the whole array, if this is a view of it
            if isinstance(array, np.ndarray) and id(array) not in counted:
                counted[id(array)] = array
                by_op[node.op.name] += array.nbytes
    return by_op


model = tp.load(PRETRAINED)
digits, _ = draw_digits(np.random.default_rng(1), 40)
films = MovingMNIST(digits, digits=2).draw(np.random.default_rng(2), 4).astype(np.float32) / 255  # (B,20,64,64,1)


def loss_of(films, **options):
    """The mean squared error of the predictions of all frames but the first. The network sees the true frames."""
    predictions = model.unroll(films, np.ones((len(films), films.shape[1] - 1)), **options)
    return ((predictions - films[:, 1:]) ** 2).mean()


by_length = {frames: kept(loss_of(films[:, :frames]), model.parameters()) for frames in (5, 10, 20)}
for frames, by_op in by_length.items():
    print(f"{frames:2} frames: {by_op.total() / MIB:.1f} MiB")
a_frame = (by_length[20].total() - by_length[10].total()) / 10
print("5 frames more cost half as much as 10 more:", by_length[10].total() - by_length[5].total() == 5 * a_frame)
for op, bytes_kept in (by_length[20] - by_length[10]).most_common(2):
    print(f"{op:14} {bytes_kept / 10 / MIB:.2f} MiB a frame")
#~  5 frames: 9.2 MiB
#~ 10 frames: 14.2 MiB
#~ 20 frames: 24.2 MiB
#> 5 frames more cost half as much as 10 more: True
#~ remember       0.44 MiB a frame
#~ winograd_conv  0.25 MiB a frame

# %% [markdown]
# Memory grows linearly: about 4 MiB for weights that were transformed once (lesson 19), and 1 MiB for each frame. The
# largest part belongs to `remember`, which computes the two memories and their gates. The convolutions keep their
# inputs $H$, $C$ and $M$, because the gradient of a weight is a product with the input (lesson 6).
#
# The network of the paper's Table 1 is larger: four layers of 128 channels, with batches of 8. For its 19 steps,
# `python examples/long_sequences.py --hidden 128 128 128 128 --batch 8 --frames 20 --kept` counts 1,159 MiB, of which
# 232 MiB are transformed weights (`examples/RESULTS.md`). How much memory would an hour of video take, at 25 frames per
# second?

# %%
print(f"{(1159 - 232) / 19 * 25 * 3600 / MIB:.1f} TiB")
#> 4.2 TiB

# %% [markdown]
# ## A step to experiment with
# The next sections need a network whose memory can be predicted exactly. Here is one with a single gate:
#
# $$h_t = \tanh(h_{t-1} W + x_t) \odot \sigma(h_{t-1} V)$$
#
# A step keeps three arrays of the size of the state. The tanh and the sigmoid are needed for their own derivatives and
# for those of the product. The third array, $h_t$, is needed by the next step for the gradients of $W$ and $V$. `peak`
# measures the largest amount of memory in use at one time, in states. `calls` counts the computed steps.

# %%
STEPS, BATCH, WIDTH = 48, 256, 64
rng = np.random.default_rng(0)
w, v = (tp.tensor(rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5, requires_grad=True) for _ in range(2))
start = tp.tensor(rng.standard_normal((BATCH, WIDTH)), requires_grad=True)
frames = rng.standard_normal((STEPS, BATCH, WIDTH))
cotangent = rng.standard_normal((BATCH, WIDTH))  # of the last state
calls = Counter()


def run(h, frames):
    """The state (B,W) after one step for each of the frames (n,B,W), beginning with the state h (B,W)"""
    for x in frames:
        calls["steps"] += 1
        h = tp.tanh(h @ w + x) * tp.sigmoid(h @ v)
    return h


def peak(compute, *inputs):
    """The largest memory that compute(*inputs) uses at one time, in states"""
    tracemalloc.start()
    try:
        compute(*inputs)
        return tracemalloc.get_traced_memory()[1] / start.data.nbytes
    finally:
        tracemalloc.stop()


def gradients(compute, *inputs):
    """([gradients of w, v and start], number of computed steps) of compute(*inputs), which calls backward"""
    w.grad = v.grad = start.grad = None
    calls.clear()
    compute(*inputs)
    return [leaf.grad.copy() for leaf in (w, v, start)], calls["steps"]


def all_kept(frames=frames):
    run(start, frames).backward(cotangent)


whole, steps = gradients(all_kept)
most = peak(all_kept)
print(f"{steps} steps keep {kept(run(start, frames), [w, v]).total() / start.data.nbytes:.0f} states, "
      f"and at the peak {most:.0f} are in use")
#~ 48 steps keep 144 states, and at the peak 150 are in use

# %% [markdown]
# The 144 states are 3 x 48. Backward needs a few more arrays while it works on one step.
#
# ## Recompute instead of keeping
# All these arrays can be computed from the first state and the frames. So we need not keep them: backward can recompute
# them. But if backward recomputed all steps at once, it would need as much memory as before. It has to work piece by
# piece.
#
# Divide the steps into **segments** of $k$ steps. The forward pass records no graph and keeps only the state before
# each segment. The backward pass begins with the last segment. It recomputes this segment, now with a graph, and goes
# back through it. The result is the gradient of the state before the segment, which is the cotangent of the previous
# segment's last state.
#
# ### Exercise 20.1: backward by segments (medium, 10 minutes)
# `kept_states` holds the state before each segment, as an array. Write the backward pass and return the gradient of the
# first state. The gradients of `w` and `v` add up in their `grad`. The check also measures the memory: recomputing all
# segments at once would need as much as before.
#
# *Hint:* each segment begins with a new leaf, `tp.tensor(array, requires_grad=True)`. Backward stops at this leaf and
# stores the gradient in its `grad`. `list.pop()` removes the last state from the list, so that its memory can be freed.


# %%
def by_segments(h, frames, k, cotangent):
    """Backward of run(h, frames) by segments of k frames, from the cotangent of its result -> gradient of h (B,W)"""
    firsts, kept_states = range(0, len(frames), k), []
    with tp.no_grad():
        for first in firsts:
            kept_states.append(h.data)
            h = run(h, frames[first:first + k])
    # <solution>
    for first in reversed(firsts):
        before = tp.tensor(kept_states.pop(), requires_grad=True)
        run(before, frames[first:first + k]).backward(cotangent)
        cotangent = before.grad
    return cotangent
    # </solution>


def gradients_by_segments(k):
    def compute():
        start.grad = by_segments(start, frames, k, cotangent)

    found = dict(zip(("w", "v", "h"), gradients(compute)[0]))
    return found | {"less than half of the memory": k == STEPS or peak(compute) < most / 2}


check("20.1", lambda: [gradients_by_segments(k) for k in (1, 5, 16, STEPS)],
      [dict(zip(("w", "v", "h"), whole)) | {"less than half of the memory": True}] * 4, rtol=1e-9, atol=1e-12)

# %% [markdown]
# With segments of 5 steps, the last one has only 3 of the 48 steps, which does no harm.
#
# ## How long should a segment be?
# With short segments, many first states are kept; with long ones, many steps are recorded at once. For $n$ steps in
# segments of $k$, where each step keeps $a$ states, the memory is about
#
# $$\frac{n}{k} + a k \quad \text{states.}$$
#
# ### Exercise 20.2: the best length (easy, 5 minutes)
# Which $k$ needs the least memory, and how much is that? Return both; $k$ need not be an integer.
#
# *Hint:* the derivative with respect to $k$ is $-n / k^2 + a$.


# %%
def best_segment(n, a):
    """(k, states)"""
    # <solution>
    k = (n / a) ** 0.5
    return k, 2 * (n * a) ** 0.5
    # </solution>


def best_by_trying(n, a):
    k = np.linspace(1, n, 100_001)
    states = n / k + a * k
    return float(k[states.argmin()]), float(states.min())


cases = ((48, 3), (100, 1), (1000, 12))
check("20.2", lambda: [best_segment(*case) for case in cases], [best_by_trying(*case) for case in cases], rtol=0.01)

# %% [markdown]
# Now we measure. The package's `tp.checkpoint(fn)` makes a function that does in the engine what Exercise 20.1 does by
# hand: it returns what `fn` returns, keeps only the inputs, and calls `fn` again when backward arrives.


# %%
def by_checkpoint(k, frames=frames):
    h = start
    for first in range(0, len(frames), k):
        h = tp.checkpoint(run)(h, frames[first:first + k])
    h.backward(cotangent)


lengths = (1, 2, 4, 8, 16, 48)
peaks = {k: peak(by_checkpoint, k) for k in lengths}
print("length of a segment   ", *(f"{k:4}" for k in lengths))
print("estimated, in states  ", *(f"{STEPS / k + 3 * k:4.0f}" for k in lengths))
print("measured              ", *(f"{peaks[k]:4.0f}" for k in lengths))
print("at most 8 states beside the estimate:", all(abs(peaks[k] - STEPS / k - 3 * k) < 8 for k in lengths),
      "- best:", min(peaks, key=peaks.get))
for k in (4, 16):
    again, steps = gradients(by_checkpoint, k)
    print(f"segments of {k}: {steps} steps, the same gradients to the last bit:",
          all(map(np.array_equal, again, whole)))
#> length of a segment       1    2    4    8   16   48
#> estimated, in states     51   30   24   30   51  145
#~ measured                 56   34   28   34   55  150
#> at most 8 states beside the estimate: True - best: 4
#> segments of 4: 96 steps, the same gradients to the last bit: True
#> segments of 16: 96 steps, the same gradients to the last bit: True

# %% [markdown]
# The estimate is right up to a small constant, and the best length is 4, as computed. At the best length the memory is
# $2 \sqrt{a n}$, so it grows as the **square root** of the number of steps (Chen et al. 2016). A sequence that is four
# times as long needs only twice the memory.
#
# The gradients are the same to the last bit, because the same operations run again on the same numbers, and their
# results are added up in the same order.
#
# ## Segments within segments
# Can we do better? A segment is a computation like any other, so it may itself consist of segments. When backward
# recomputes an outer segment, the inner ones again keep only their inputs. With $l$ levels of segments, each step is
# computed $1 + l$ times, and the memory grows as the root of order $1 + l$ of the number of steps.


# %%
def nested(h, frames, levels):
    """The same as run(h, frames), with `levels` levels of segments. A step keeps 3 states, so (3 n)^(1 / (levels + 1))
    pieces on each level are best."""
    if levels == 0:
        return run(h, frames)
    for part in np.array_split(frames, min(len(frames), round((3 * len(frames)) ** (1 / (levels + 1))))):
        h = tp.checkpoint(nested)(h, part, levels - 1)
    return h


def backward_through(levels, frames):
    nested(start, frames, levels).backward(cotangent)


counts = size((32, 64, 128), (32, 64))
long = np.random.default_rng(1).standard_normal((counts[-1], BATCH, WIDTH))
growth = {levels: [peak(backward_through, levels, long[:n]) for n in counts] for levels in (0, 1, 2)}
for levels, states in growth.items():
    _, steps = gradients(backward_through, levels, long[:32])
    factor = (states[-1] / states[0]) ** (1 / (len(counts) - 1))
    print(f"{levels} levels, each step computed {steps / 32:.0f} times: {states[0]:.0f} states for 32 steps, "
          f"{states[1]:.0f} for 64; times {factor:.2f}")
print("each level makes it smaller:", growth[0][-1] / 2 > growth[1][-1] > growth[2][-1])
#~ 0 levels, each step computed 1 times: 102 states for 32 steps, 199 for 64; times 1.96
#~ 1 levels, each step computed 2 times: 23 states for 32 steps, 30 for 64; times 1.35
#~ 2 levels, each step computed 3 times: 16 states for 32 steps, 20 for 64; times 1.20
#> each level makes it smaller: True

# %% [markdown]
# The last number of a line is the factor by which the memory grows if the number of steps doubles. Without the
# constant, these factors would be 2, $\sqrt 2 = 1.41$ and $\sqrt[3] 2 = 1.26$.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
axis = np.linspace(1, STEPS, 200)
left.plot(axis, STEPS / axis + 3 * axis, color="0.6", label="estimate, n / k + 3 k")
left.plot(lengths, list(peaks.values()), "o", color=COLOURS["prediction"], label="measured")
left.axhline(most, linestyle="--", color=COLOURS["truth"], label="all kept")
left.set(xscale="log", xlabel="length of a segment k", ylabel="memory (states)", ylim=(0, None), title="48 steps",
         xticks=lengths, xticklabels=lengths)
for (levels, states), colour, marker in zip(growth.items(), ("truth", "prediction", "flow"), "sox"):
    name = ("all kept", "segments", "segments within segments")[levels]
    right.plot(counts, states, marker + "-", color=COLOURS[colour], label=name)
right.set(xscale="log", yscale="log", xlabel="steps", title="three ways to the same gradient", xticks=counts,
          xticklabels=counts, yticks=(20, 50, 100, 200, 400), yticklabels=(20, 50, 100, 200, 400))
for ax in (left, right):
    ax.minorticks_off()
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
show(figure, "growth")

# %% [markdown]
# ### Exercise 20.3: halves of halves (stretch, 15 minutes)
# The extreme is two pieces on every level, down to single steps. Write `by_halves`. If there is more than one frame,
# the first and the second half of the frames are two segments, and each of them runs `by_halves` in turn. For $n = 2^d$
# frames there are $d$ levels, so each step is computed $1 + d$ times. Each level adds one state, so the memory grows as
# the **logarithm** of $n$.
#
# *Hint:* the function inside `tp.checkpoint` may be the one that you are writing.


# %%
def by_halves(h, frames):
    """The same as run(h, frames), for at least one frame (n,B,W)"""
    # <solution>
    if len(frames) == 1:
        return run(h, frames)
    middle = len(frames) // 2
    h = tp.checkpoint(by_halves)(h, frames[:middle])
    return tp.checkpoint(by_halves)(h, frames[middle:])
    # </solution>


def backward_through_halves():
    by_halves(start, frames[:32]).backward(cotangent)


def facts_of_halves():
    found, steps = gradients(backward_through_halves)
    same = all(map(np.array_equal, found, gradients(all_kept, frames[:32])[0]))
    few = peak(backward_through_halves) < 18
    return {"the same gradients": same, "each step computed": steps / 32, "fewer than 18 states": bool(few)}


check("20.3", facts_of_halves, {"the same gradients": True, "each step computed": 6, "fewer than 18 states": True})

# %% [markdown]
# ## The price
# With one level of segments, every step is computed twice. Backward computes two products for each product of forward
# (lesson 3), so it takes about twice as long as forward. By this estimate, a training step takes (1 + 1 + 2) / (1 + 2)
# = 4/3 of the time. Here are medians of several runs, taken in turns (lesson 7):

# %%
clocks = {"all kept": all_kept, "segments of 4": lambda: by_checkpoint(4)}
seconds = {name: [] for name in clocks}
for _ in range(size(7, 3)):
    for name, compute in clocks.items():
        began = time.perf_counter()
        compute()
        seconds[name].append(time.perf_counter() - began)
kept_time, again_time = (np.median(values) for values in seconds.values())
print(f"with segments, a step takes {again_time / kept_time:.2f} times as long")
#? with segments, a step takes 1.41 times as long

# %% [markdown]
# ## What must be the same both times
# A segment runs twice, so it must compute the same values both times. This one does not: it draws a random mask, as
# dropout does. The gradient of $h \odot \text{mask}$ with respect to $h$ is the mask:

# %%
rng_of_mask = np.random.default_rng(0)
h = tp.tensor(np.ones(8), requires_grad=True)
y = tp.checkpoint(lambda h: h * rng_of_mask.integers(2, size=8).astype(float))(h)
y.backward(np.ones(8))
print("forward: ", y.data)
print("gradient:", h.grad)
#> forward:  [1. 1. 1. 0. 0. 0. 0. 0.]
#> gradient: [0. 1. 1. 1. 1. 1. 1. 1.]

# %% [markdown]
# Forward and backward used different masks, and no error was raised. So draw random numbers outside the segment, and
# pass them in.
#
# ## In PredRNN
# The option `segment` of `unroll` is the number of steps in a segment. With `--recompute`, the training commands set
# this option to the square root of the number of steps, rounded up. Here is a small PredRNN on random frames:

# %%
small = tp.build_model("predrnn", size=(32, 32), hidden=(12, 12), kernel=3, patch=4)
noise = np.random.default_rng(3).random((4, size(41, 21), 32, 32, 1), np.float32)


def step_of(model, frames, **options):
    """(MiB at the peak of forward and backward, all gradients as one array)"""
    model.zero_grad()
    tracemalloc.start()
    try:
        given = np.ones((len(frames), frames.shape[1] - 1))
        ((model.unroll(frames, given, **options) - frames[:, 1:]) ** 2).mean().backward()
        highest = tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()
    return highest, np.concatenate([p.grad.ravel() for p in model.parameters()])


step_of(small, noise[:, :3])  # compiles what is not compiled yet
for count in (11, noise.shape[1]):
    segment = round((count - 1) ** 0.5)
    (normal, exact), (less, again) = (step_of(small, noise[:, :count], segment=length) for length in (None, segment))
    print(f"{count} frames, segments of {segment}: {less / normal:.2f} of the memory, the same bits:",
          np.array_equal(exact, again))
print("a third saved, or more, for the longest:", less < 0.67 * normal)
#~ 11 frames, segments of 3: 0.54 of the memory, the same bits: True
#~ 41 frames, segments of 6: 0.35 of the memory, the same bits: True
#> a third saved, or more, for the longest: True

# %% [markdown]
# Short sequences gain less, since the memory for transformed weights, their gradients and work space does not depend on
# the number of frames. For the network of Table 1 with 20 frames, `python examples/long_sequences.py --hidden 128 128
# 128 128 --batch 8 --frames 20 --steps 1` measured 723 MiB instead of 1,504, and 1.39 times the time. A small network
# with 320 frames took 194 MiB instead of 1,128 (`examples/RESULTS.md`).
#
# The same command measures a third way. With `--activations bf16`, everything is kept, but each number is rounded to 16
# bits. For the network of Table 1 this took 1,021 MiB and 1.01 times the time, and the gradient differed by 3.9e-05 of
# its norm.
#
# ## The cut
# Lesson 10 showed another way to go back through a long sequence: truncated BPTT, or a cut. After every $k$ steps the
# state is detached, and the gradient goes no further back. This saves memory only if each piece has its own loss, and
# backward runs from that loss before the next piece begins. Here the loss is the mean square of the state, after every
# 4 steps:


# %%
def losses(way, cut=False):
    """Backward of the sum of the losses after every 4 steps; with `cut`, of each loss through its own 4 steps."""
    h, total = start, 0
    for first in range(0, STEPS, 4):
        h = way(h, frames[first:first + 4])
        loss = (h * h).mean()
        if cut:
            loss.backward()
            h = h.detach()
        else:
            total = total + loss
    if not cut:
        total.backward()


three = {"all kept": lambda: losses(run), "recomputed": lambda: losses(tp.checkpoint(run)),
         "cut": lambda: losses(run, cut=True)}
(exact, *_), _ = gradients(three["all kept"])
for name, compute in three.items():
    (found, *_), steps = gradients(compute)
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    print(f"{name:10}  {peak(compute):4.0f} states, {steps} steps, error of the gradient of w {error:.3f}")
print("the cut alone is wrong:", error > 0.005)
#~ all kept     150 states, 48 steps, error of the gradient of w 0.000
#~ recomputed    28 states, 96 steps, error of the gradient of w 0.000
#~ cut           18 states, 48 steps, error of the gradient of w 0.015
#> the cut alone is wrong: True

# %% [markdown]
# The cut needs the least memory and computes nothing twice. Its gradient is wrong by 1.5 % here, but this network has
# random weights. Is the error as small in a network that has learnt to remember? We compare a PredRNN with random
# weights and the trained one on the training task: 10 true frames, then the network's own predictions, and a loss for
# every frame. Each network is measured on two batches.

# %%
FILMS = size(4, 1)
truth = np.repeat([[1.0] * 10 + [0.0] * 9], FILMS, axis=0)
networks = {"random weights": tp.build_model("predrnn", size=(64, 64), hidden=(32, 32), kernel=3, patch=8, seed=11),
            "trained": model}
cuts = (1, 10)


def errors_of_cuts(model, seed):
    """The relative errors of the gradients that are cut every 1 and every 10 steps, on one batch"""
    films = MovingMNIST(digits, digits=2).draw(np.random.default_rng(seed), FILMS).astype(np.float32) / 255
    found = []
    for truncate in (None, *cuts):
        model.zero_grad()
        ((model.unroll(films, truth, truncate=truncate) - films[:, 1:]) ** 2).mean().backward()
        found.append(np.concatenate([p.grad.ravel() for p in model.parameters()]))
    return [np.linalg.norm(gradient - found[0]) / np.linalg.norm(found[0]) for gradient in found[1:]]


errors = {name: np.array([errors_of_cuts(network, seed) for seed in (2, 3)]) for name, network in networks.items()}
for name, of_batches in errors.items():
    for k, values in zip(cuts, of_batches.T):
        print(f"{name}, cut every {k} steps: error of the gradient", *(f"{value:.2f}" for value in values))
print("every error of the trained one is more than twice as large:",
      (errors["trained"].min(axis=0) > 2 * errors["random weights"].max(axis=0)).all())
#~ random weights, cut every 1 steps: error of the gradient 0.24 0.24
#~ random weights, cut every 10 steps: error of the gradient 0.06 0.06
#~ trained, cut every 1 steps: error of the gradient 0.95 0.95
#~ trained, cut every 10 steps: error of the gradient 0.64 0.54
#> every error of the trained one is more than twice as large: True

# %% [markdown]
# With random weights, one cut in the middle of 19 steps changes the gradient by 6 %. After training, the same cut
# changes it by half or more. There are two possible reasons, which this experiment cannot tell apart. The trained
# network may remember longer. Or, near a minimum, the contributions of the steps nearly cancel, so that a missing one
# counts for more. In either case, a training that begins well does not show that a cut is harmless.
#
# The training commands have the option `--truncate` for such experiments. It cuts the gradient but saves no memory,
# since one loss for all frames keeps the graphs of all of them:

# %%
for truncate in (None, 5):
    needs = kept(loss_of(films, truncate=truncate), model.parameters()).total()
    print(f"truncate={truncate}: backward needs {needs / MIB:.1f} MiB")
#~ truncate=None: backward needs 24.2 MiB
#~ truncate=5: backward needs 24.2 MiB

# %% [markdown]
# So if memory is too small, use `--recompute`.
#
# ## The column of Table 2
# Table 2 of the paper gives the memory for training on sequences of 20 radar frames of 100x100 pixels: 1,756 MB for the
# ConvLSTM, 2,367 MB for PredRNN, and 11,513 MB for the VPN baseline. The paper does not say what was counted. It was
# probably the memory that the framework had reserved on the GPU: arrays, the work space of the convolutions, and free
# blocks in its memory pool.
#
# The package has two answers. `step_memory` computes two numbers from the shapes alone: a lower bound, and an estimate
# that is good within a factor of two. With it, the package refuses a training that cannot fit. `measure_memory`
# measures the arrays at the peak of a step, with weights and moments. Its result is the column "MB of memory" of
# `python examples/compare_models.py --data radar`. Here is the estimate for the paper's sizes: two layers of 128
# channels, kernels of 3x3, batches of 8. The patches of 4x4 pixels are our choice, since the paper does not state them.
# We also chose a ConvLSTM of the same size.

# %%
about = {}
for name, published in ("convlstm", 1756), ("predrnn", 2367):
    plan = new_plan(name, "radar", hidden=(128, 128), kernel=3, patch=4, batch=8, given=10, horizon=10)
    plan = dataclasses.replace(plan, frame=(100, 100, 1), scale=BYTES)
    least, about[name] = (count / 1e6 for count in step_memory(plan))
    print(f"{name:8}  at least {least:,.0f} MB, about {about[name]:,.0f} MB; published {published:,} MB")
print(f"PredRNN / ConvLSTM: {about['predrnn'] / about['convlstm']:.2f}; published {2367 / 1756:.2f}")
#> convlstm  at least 244 MB, about 1,606 MB; published 1,756 MB
#> predrnn   at least 318 MB, about 2,020 MB; published 2,367 MB
#> PredRNN / ConvLSTM: 1.26; published 1.35

# %% [markdown]
# The paper and the package count differently, so the ratio is the safer comparison: PredRNN needs a quarter to a third
# more memory than a ConvLSTM. The single numbers are close as well, but this may be luck.
#
# ## What you have now
# You can say what a training step keeps, how to keep less with the same gradient, and what a cut costs.
#
# | here | in the package |
# |---|---|
# | `by_segments`, `by_checkpoint` | `tinypredrnn/autograd/recompute.py`, `checkpoint` |
# | `best_segment`, with $a = 1$ | `tinypredrnn/train/recipe.py`, `segment` |
# | segments and cuts of a PredRNN | `tinypredrnn/models/predictor.py`, `unroll` |
# | `kept` | `examples/long_sequences.py`, with `--kept` |
# | `peak` | `tinypredrnn/train/limits.py`, `measure_memory` |
#
# **Real systems.** PyTorch (`torch.utils.checkpoint`) and JAX (`jax.checkpoint`) recompute in the same way. PyTorch
# also saves and restores the states of its random generators, so that a mask is the same both times. If there is room
# for a given number of states, which ones should be kept? Griewank and Walther (2000) answered this for simulations of
# thousands of steps, and Gruslys et al. (2016) for recurrent networks.
