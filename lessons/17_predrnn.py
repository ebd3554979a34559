# %% [markdown]
# # 17. PredRNN: train it, open it, doubt it
#
# - **Idea:** you can look at what a network keeps in its memories, cut it out, and read it off; only all three together
#   show what the memories are for.
# - **Minutes:** 80
# - **Needs:** lessons 13 (training), 14 (measuring) and 16.
# - **You will see:** gates that follow a digit; how long C and M last; what is lost without either of them, and that
#   one of the two answers changes with longer training; and an answer to "C holds motion, M holds appearance" that is
#   not the expected one.
# - **Why:** two memories are supposed to do two jobs. A better score does not show which jobs they do.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST, paint, reflect
from tinypredrnn.optim import Adam, orthogonal
from tinypredrnn.viz import COLOURS

TRAINED = tp.train.PRETRAINED  # comes with the package: 2 layers of 32, 3x3 kernels, patches of 8x8 pixels

# %% [markdown]
# ## Train a small one
# We use the digits that the package draws itself, one at a time, in frames of 32x32 pixels (blocks of 2x2 pixels are
# averaged). The network sees three frames and predicts three. It has two layers of 12 channels. Each batch is drawn
# from (seed, step), so all networks with the same seed see the same sequences in the same order.

# %%
GIVEN, FRAMES, BATCH, STEPS = 3, 6, 8, size(40, small=4)
drawings, _ = draw_digits(np.random.default_rng(0), 3000)
training = MovingMNIST(drawings[:2000], digits=1, frames=FRAMES)
held_out = MovingMNIST(drawings[2000:], digits=1, frames=FRAMES)


def shrink(frames):
    """uint8 (B,T,64,64,1) -> float32 (B,T,32,32,1)"""
    return frames.reshape(*frames.shape[:2], 32, 2, 32, 2, 1).mean(axis=(3, 5), dtype=np.float32) / 255


def train(model, seed, steps=STEPS):
    adam = Adam(model.parameters())
    truth = np.ones((BATCH, FRAMES - 1))
    for step in range(steps):
        progress = step / steps
        frames = shrink(training.batch(seed, step, BATCH))
        draws = np.random.default_rng([seed, step]).random((BATCH, FRAMES - 1 - GIVEN))
        truth[:, GIVEN:] = draws > progress / 0.6  # scheduled sampling (lesson 13)
        loss = ((model.unroll(frames, truth) - frames[:, 1:]) ** 2).mean()
        model.zero_grad()
        loss.backward()
        adam.step(rate=0.02 * min((step + 1) / 10, 0.5 + 0.5 * np.cos(np.pi * progress)))
    return model


def errors(model, frames, given):
    """MSE per frame (summed over pixels) of the frames predicted after the given ones, for each sequence: (N,)"""
    with tp.no_grad():
        predicted = model(frames[:, :given], horizon=frames.shape[1] - given).numpy().clip(0, 1)
    return ((predicted - frames[:, given:]) ** 2).sum(axis=(2, 3, 4)).mean(axis=1)


def small_network(seed):
    return tp.build_model("predrnn", size=(32, 32), hidden=(12, 12), kernel=3, patch=4, seed=seed)


test_frames = shrink(held_out.fixed_set("test", size(128, 8)))
full_model = train(small_network(0), seed=0)
black, copied = (test_frames[:, GIVEN:] ** 2), (test_frames[:, GIVEN:] - test_frames[:, GIVEN - 1:GIVEN]) ** 2
print(f"MSE per frame: the last frame again {copied.sum(axis=(2, 3, 4)).mean():.1f}, "
      f"all black {black.sum(axis=(2, 3, 4)).mean():.1f}, PredRNN {errors(full_model, test_frames, GIVEN).mean():.1f}")
#~ MSE per frame: the last frame again 26.3, all black 18.5, PredRNN 12.6

# %% [markdown]
# It beats both baselines after a few seconds of training.
#
# ## A step for matrices
# Adam scales each number of a gradient by itself. But a kernel is a matrix, which maps channels to channels. How large
# is its gradient in different directions? The singular values of a matrix say so. Here are those of one gradient, for
# the four gates of the first layer, and those of the matrix that the optimiser Muon makes of it:

# %%
gates = full_model.cells[0].from_xh.weight  # (kh,kw,C,4K)
frames = shrink(training.batch(0, STEPS, BATCH))
full_model.zero_grad()
((full_model.unroll(frames, np.ones((BATCH, FRAMES - 1))) - frames[:, 1:]) ** 2).mean().backward()
gradient = gates.grad.reshape(-1, gates.shape[-1])  # (kh kw C, 4K)
for name, matrix in ("gradient", gradient), ("orthogonal", orthogonal(gradient)):
    values = np.linalg.svd(matrix, compute_uv=False)
    print(f"{name:10}  largest / median singular value {values[0] / np.median(values):5.1f}, "
          f"share of the first three in the sum of squares {(values[:3] ** 2).sum() / (values ** 2).sum():.2f}")
#~ gradient    largest / median singular value  54.8, share of the first three in the sum of squares 0.86
#~ orthogonal  largest / median singular value   1.3, share of the first three in the sum of squares 0.10

# %% [markdown]
# A step along the gradient is a step in three directions; the other 45 hardly move. `orthogonal` keeps the singular
# vectors and makes all singular values about equal, with a few products of matrices. Muon moves every kernel by its
# momentum made orthogonal, and leaves biases to Adam: `tinypredrnn/optim.py`, `Muon`. In these 40 steps it makes no
# difference; in a longer training it does, so `tinypredrnn train mnist` uses it (compare with `--optimiser adam`).
#
# ## A better-trained network
# To look inside, we need a better-trained network: two layers of 32 channels, trained on 5,000 batches of two MNIST
# digits in frames of 64x64. It has never seen the digits that the package draws:

# %%
model = tp.load(TRAINED)
new_digits, _ = draw_digits(np.random.default_rng(1), 400)
pairs = MovingMNIST(new_digits, digits=2).draw(np.random.default_rng(5), size(24, 4))  # (N,20,64,64,1)
pairs = pairs.astype(np.float32) / 255
with tp.no_grad():
    future = model(pairs[:1, :10], horizon=10).numpy().clip(0, 1)

figure, axes = plt.subplots(3, 10, figsize=(10, 3.3), layout="constrained")
for row, (name, frames) in enumerate((("input", pairs[0, :10]), ("truth", pairs[0, 10:]), ("prediction", future[0]))):
    for t in range(10):
        axes[row, t].imshow(frames[t, :, :, 0], cmap="gray", vmin=0, vmax=1)
        axes[row, t].set(xticks=[], yticks=[], title=f"t = {t + 1 + 10 * (row > 0)}" if row < 2 else "")
    axes[row, 0].set_ylabel(name)
show(figure, "prediction")

# %% [markdown]
# ## Look inside
# A cell is a function of its input and its state, and hides nothing. So we can run the network by hand and keep what
# goes into each cell and what comes out:


# %%
def run(model, frames):
    """(B,T,H,W,C) -> for each time step and each layer: (cell, x, (h, c, m) before, (h, c, m) after)"""
    steps = []
    with tp.no_grad():
        patches = tp.space_to_depth(tp.tensor(frames), model.patch)  # (B,T,h,w,X)
        layers, m = model.start(patches)
        for t in range(patches.shape[1]):
            x, step = patches[:, t], []
            for cell, (h, c) in zip(model.cells, layers):
                shown, after = cell(x, (h, c, m))
                step.append((cell, x, (h, c, m), after))
                x, m = shown, after[2]
            layers = [(h, c) for _, _, _, (h, c, _) in step]
            steps.append(step)
    return steps


# %% [markdown]
# To see the gates, we compute them once more from the cell's parts. `watch` records the gates of $\mathcal{C}$ (`i`,
# `f`), those of $\mathcal{M}$ (`i'`, `f'`), the output gate `o`, and both memories.


# %%
def watch(cell, x, before, after):
    """{name: (B,h,w,K)} of a cell's gates and of its new memories"""
    (h, _, m), (_, new_c, new_m) = before, after
    with tp.no_grad():
        (i, f, _, o), (i_, f_, _) = cell.from_xh(x, h), cell.from_xm(x, m)
        gates = {"i": i, "f": f, "i'": i_, "f'": f_, "o": o + cell.from_cm(new_c, new_m)}
        opened = {name: tp.sigmoid(gate).numpy() for name, gate in gates.items()}
        return opened | {"C": new_c.numpy(), "M": new_m.numpy()}


notes = [[watch(*visit) for visit in step] for step in run(model, pairs[:, :10])]  # notes[t][layer][name]
print(len(notes), len(notes[0]), notes[0][0]["f"].shape[1:])
#> 10 2 (8, 8, 32)

# %% [markdown]
# The mean over the 32 channels is a map of 8x8 places. Where `i` is bright, the cell writes; where `f` is bright, it
# keeps the old contents; where `o` is bright, it shows what it knows. Each memory is shown by the mean absolute value
# of its numbers. The memory along time is on the left, the memory across layers on the right, and `o`, which belongs to
# both, on the left; layer 2 is above layer 1, as in the figures of the paper. Most gates are nearly closed, so the
# colours of the gates go with the square root: 0.25 is half as bright as 1.

# %%
shown = (2, 4, 6, 8)
width_ratios = [1] * 4 + [0.5] + [1] * 4  # the narrow column separates C from M
figure, axes = plt.subplots(9, 9, figsize=(10, 9.6), width_ratios=width_ratios, layout="constrained")
of_gates, of_memories = plt.matplotlib.colors.PowerNorm(0.5, 0, 1), plt.Normalize(0, 1)
for side, names in enumerate((("o", "C", "i", "f"), (None, "M", "i'", "f'"))):
    rows = [("frame", None)] + [(name, layer) for layer in (2, 1) for name in names]
    for row, (name, layer) in enumerate(rows):
        for column, t in enumerate(shown):
            ax = axes[row, column + 5 * side]
            ax.set(xticks=[], yticks=[])
            if name is None:
                ax.axis("off")
            elif name == "frame":
                ax.imshow(pairs[0, t, :, :, 0], cmap="gray", vmin=0, vmax=1)
                ax.set_title(f"t = {t + 1}")
            else:
                maps = np.stack([np.abs(notes[s][layer - 1][name][0]).mean(axis=-1) for s in shown])
                if name in ("C", "M"):
                    ax.imshow(maps[column] / maps.max(), cmap="magma", norm=of_memories)
                else:
                    ax.imshow(maps[column], cmap="viridis", norm=of_gates)
        label = f"{name} of\nlayer {layer}" if layer else name
        axes[row, 5 * side].set_ylabel(label, rotation=0, ha="right", va="center")
for ax in axes[:, 4]:
    ax.axis("off")
for norm, colours, place, label in ((of_gates, "viridis", axes[1:5], "gates: 0 closed, 1 open"),
                                    (of_memories, "magma", axes[5:], "memories: share of the largest in their row")):
    figure.colorbar(plt.cm.ScalarMappable(norm, colours), ax=place, label=label)
show(figure, "gates")

# %% [markdown]
# And here they are frame by frame. Watch what happens where a digit arrives, and where it has left.

# %%
figure, axes = plt.subplots(2, 8, figsize=(7.5, 2.4), layout="constrained")
names = ("i", "f", "C", "i'", "f'", "M", "o")
images = {}
axes[0, 0].set_title("frame")
images["frame"] = axes[0, 0].imshow(pairs[0, 0, :, :, 0], cmap="gray", vmin=0, vmax=1)
for row, layer in enumerate((2, 1)):
    for ax, name in zip(axes[row, 1:], names):
        gate = name not in ("C", "M")
        most = 1 if gate else max(np.abs(step[layer - 1][name][0]).mean(axis=-1).max() for step in notes)
        images[layer, name] = ax.imshow(np.zeros((8, 8)), cmap="viridis" if gate else "magma", vmin=0, vmax=most)
        ax.set_title(name if row == 0 else "")
    axes[row, 1].set_ylabel(f"layer {layer}")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[1, 0].axis("off")


def show_time(t):
    figure.suptitle(f"t = {t + 1}")
    images["frame"].set_data(pairs[0, t, :, :, 0])
    for layer in (1, 2):
        for name in names:
            images[layer, name].set_data(np.abs(notes[t][layer - 1][name][0]).mean(axis=-1))


show(figure, "gates_over_time", show_time, frames=len(notes))

# %% [markdown]
# Do not trust one picture. Here are the same gates as numbers, over all sequences: the mean of each gate at places with
# ink in this frame, and at places without.

# %%
patches = pairs[:, :10].reshape(-1, 10, 8, 8, 8, 8).max(axis=(3, 5))  # (N,10,8,8): the brightest pixel of each patch
ink = patches[:, 3:] > 0.5
for layer in (2, 1):
    for name in ("i", "f", "i'", "f'", "o"):
        maps = np.stack([notes[t][layer - 1][name].mean(axis=-1) for t in range(3, 10)], axis=1)  # (N,7,8,8)
        print(f"layer {layer}, {name:2}: with ink {maps[ink].mean():.2f}, without {maps[~ink].mean():.2f}")
#~ layer 2, i : with ink 0.20, without 0.12
#~ layer 2, f : with ink 0.07, without 0.16
#~ layer 2, i': with ink 0.29, without 0.17
#~ layer 2, f': with ink 0.46, without 0.44
#~ layer 2, o : with ink 0.38, without 0.02
#~ layer 1, i : with ink 0.28, without 0.37
#~ layer 1, f : with ink 0.20, without 0.38
#~ layer 1, i': with ink 0.41, without 0.31
#~ layer 1, f': with ink 0.16, without 0.33
#~ layer 1, o : with ink 0.44, without 0.43

# %% [markdown]
# Three things stand out.
#
# - The top layer's output gate `o` opens where the digits are and almost nowhere else: it cuts out what is shown.
# - In the **bottom** layer, where a digit is, `f'` closes and `i'` opens: the cell drops what $\mathcal{M}$ brought
#   from the previous step and writes the new frame. In the layer **above**, `f'` hardly depends on ink, and at the
#   digits it is wider open than in the layer below: it keeps more of what the bottom layer has just written there. This
#   is the flow across layers of Section 3.2, seen in a trained network.
# - In both layers, $\mathcal{M}$ looks like the digits; $\mathcal{C}$ of layer 1 does not.
#
# ## How long the memories last
# Nothing moves inside a memory: its contents stay in their place and are multiplied by `f`. So after $n$ steps, what is
# left is a product of forget gates. In each step $\mathcal{C}^l$ passes one gate, its own; $\mathcal{M}$ passes `f'` of
# every layer.


# %%
def kept(gates, contents):
    """The share of `contents` that is left after 0, 1, 2, ... steps. gates: one array (B,h,w,K) for each step"""
    weight = np.abs(contents)
    left = [weight]
    for gate in gates:
        left.append(left[-1] * gate)
    return [float(part.sum() / weight.sum()) for part in left]


start, steps = 3, range(4, 10)
shares = {f"C of layer {n + 1}": kept([notes[t][n]["f"] for t in steps], notes[start][n]["C"]) for n in (0, 1)}
shares["M"] = kept([notes[t][0]["f'"] * notes[t][1]["f'"] for t in steps], notes[start][1]["M"])
for name, share in shares.items():
    print(f"{name:12} after 1 step {share[1]:.3f}, after 3 steps {share[3]:.3f}")
#~ C of layer 1 after 1 step 0.377, after 3 steps 0.112
#~ C of layer 2 after 1 step 0.160, after 3 steps 0.015
#~ M            after 1 step 0.159, after 3 steps 0.027

# %%
figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for (name, share), style in zip(shares.items(), ("o-", "s--", "^-")):
    axes.semilogy(share, style, color=COLOURS[name[0]], label=name)
axes.set(xlabel="time steps", ylabel="share that the forget gates leave")
axes.legend(frameon=False)
axes.grid(alpha=0.3)
axes.spines[["top", "right"]].set_visible(False)
show(figure, "lifetimes")

# %% [markdown]
# A memory with gates like these is no archive. Whatever the network knows for longer, it must write again at every
# step.
#
# ### Exercise 17.1: half-life (easy, 5 minutes)
# `gates` are the forget gates that a memory passes in **one** time step: one gate for $\mathcal{C}$, one for each layer
# for $\mathcal{M}$. After how many steps is half of the memory left? (The answer need not be an integer.)
#
# *Hint:* if one step leaves the share $p$, then $n$ steps leave $p^n$. Solve $p^n = 1/2$ for $n$.


# %%
def half_life(gates):
    # <solution>
    return np.log(0.5) / np.log(np.prod(gates))
    # </solution>


check("17.1", lambda: [half_life(gates) for gates in ([0.5], [0.9], [0.5, 0.5], [0.9, 0.8, 0.7])],
      [1, 6.57881348, 0.5, 1.01162866])

# %% [markdown]
# ## Cut a memory out
# Looking is not testing. We take the network that was trained with everything, and let every cell find zeros where it
# would read $\mathcal{C}$ (or $\mathcal{M}$, or $\mathcal{H}$ from the previous step). How much worse do the
# predictions get?


# %%
def cut(model, what):
    """The model, changed: its cells find zeros where they would read `what`: "C", "M" or "H"; "" cuts nothing"""
    def step_cells(x, state):
        layers, m = state
        new = []
        for cell, (h, c) in zip(model.cells, layers):
            h, c, m = (0 * value if name == what else value for name, value in zip("HCM", (h, c, m)))
            x, (h, c, m) = cell(x, (h, c, m))
            new.append((h, c))
        return x, (new, m)

    model.step_cells = step_cells
    return model


intact = errors(model, pairs, given=10)  # (N,)
all_black = (pairs[:, 10:] ** 2).sum(axis=(2, 3, 4)).mean()
print(f"nothing cut: MSE per frame {intact.mean():.0f}, all black {all_black:.0f}")
for what in ("C", "M", "H"):
    worse = errors(cut(model, what), pairs, given=10) - intact
    print(f"without {what}: {worse.mean():+.0f} +- {worse.std(ddof=1) / len(worse) ** 0.5:.0f}")
cut(model, "")
#~ nothing cut: MSE per frame 96, all black 176
#? without C: +13 +- 2
#? without M: +72 +- 4
#? without H: +67 +- 5

# %% [markdown]
# (The number after +- is the standard error of the mean: the standard deviation of the N differences, one for each
# sequence, divided by $\sqrt N$. With other sequences the mean would differ by about this much.)
#
# This network relies on $\mathcal{M}$ and on $\mathcal{H}$: without either, it is hardly better than black frames.
# Without $\mathcal{C}$ it loses far less. But note which question this experiment asks: how much does **this** network
# miss a part that it was trained with? A network that never had the part might have found another way.
#
# ### Exercise 17.2: cut the way back (medium, 10 minutes)
# Cut only one arrow: $\mathcal{M}$ still climbs the layers, but every step begins with zeros, whatever $\mathcal{M}$ it
# is given, so there is no zigzag. Write such a step. `x` and `state` are as in `cut`. Call the cells as there, and
# return the new state with the $\mathcal{M}$ of the top layer. (Then set
# `model.step_cells = lambda x, state: step_without_return(model, x, state)` and measure what this arrow is worth.)
#
# *Hint:* $\mathcal{M}$ of the previous step enters in one place only. It is not inside the loop.


# %%
def step_without_return(model, x, state):
    # <solution>
    layers, m = state
    m, new = 0 * m, []
    for cell, (h, c) in zip(model.cells, layers):
        x, (h, c, m) = cell(x, (h, c, m))
        new.append((h, c))
    return x, (new, m)
    # </solution>


tiny = tp.build_model("predrnn", size=(8, 8), hidden=(3, 4), kernel=3, patch=2, seed=4).to(dtype="float64")
rng = np.random.default_rng(6)
inputs, m, *layers = (tp.tensor(rng.standard_normal((1, 4, 4, width))) for width in (4, 3, 3, 3, 4, 4))
layers = [(layers[0], layers[1]), (layers[2], layers[3])]
expected = tiny.step_cells(inputs, (layers, tiny.start(tp.stack(inputs, axis=1))[1]))
check("17.2", lambda: step_without_return(tiny, inputs, (layers, m)), expected)

# %% [markdown]
# ## Train without a memory
# A fair comparison needs networks that never had $\mathcal{C}$, or never had $\mathcal{M}$. We train them for as many
# steps, from the same initial weights, on the same batches, with the same number of parameters (some of which then do
# nothing). We use two seeds, for weights and batches, and compare only networks with the same seed. A difference is
# **clear** if it is larger than twice its standard error:

# %%
def ablate(steps, seeds=(0, 1)):
    """Train with both memories, without C and without M, and print how the errors differ."""
    signs = {"C": [], "M": []}  # for each seed: 1 clearly worse without it, -1 clearly better, 0 neither
    for seed in seeds:
        known = full_model if (steps, seed) == (STEPS, 0) else train(small_network(seed), seed, steps)
        baseline = errors(known, test_frames, GIVEN)
        print(f"{steps} steps, seed {seed}: with both memories {baseline.mean():.2f}")
        for what in signs:
            worse = errors(train(cut(small_network(seed), what), seed, steps), test_frames, GIVEN) - baseline
            mean, error = worse.mean(), worse.std(ddof=1) / len(worse) ** 0.5
            print(f"{steps} steps, seed {seed}: without {what} {mean:+.2f} +- {error:.2f}, "
                  f"{100 * mean / baseline.mean():+.0f} %")
            signs[what].append(int(np.sign(mean)) * (abs(mean) > 2 * error))
    for what, found in signs.items():
        print(f"{steps} steps: without {what} clearly worse with {found.count(1)} of {len(seeds)} seeds, "
              f"clearly better with {found.count(-1)}")


ablate(STEPS)
if size(full=False, small=False, long=True):  # only with --long
    ablate(200, seeds=[0])
#~ 40 steps, seed 0: with both memories 12.65
#? 40 steps, seed 0: without C -0.02 +- 0.03, -0 %
#? 40 steps, seed 0: without M +0.36 +- 0.06, +3 %
#~ 40 steps, seed 1: with both memories 12.77
#? 40 steps, seed 1: without C +0.13 +- 0.05, +1 %
#? 40 steps, seed 1: without M +0.70 +- 0.08, +5 %
#~ 40 steps: without C clearly worse with 1 of 2 seeds, clearly better with 0
#~ 40 steps: without M clearly worse with 2 of 2 seeds, clearly better with 0
#+~ 200 steps, seed 0: with both memories 10.40
#+? 200 steps, seed 0: without C -0.14 +- 0.06, -1 %
#+? 200 steps, seed 0: without M +0.38 +- 0.07, +4 %
#+~ 200 steps: without C clearly worse with 0 of 1 seeds, clearly better with 1
#+~ 200 steps: without M clearly worse with 1 of 1 seeds, clearly better with 0

# %% [markdown]
# After these 40 training steps, $\mathcal{M}$ has earned its place: without it the network is 3 and 5 % worse, clearly
# with either seed. (The +- covers the choice of sequences only, not the choice of seeds, and two seeds are few.)
# $\mathcal{C}$ has not: without it one seed loses nothing, and the other 1 %.
#
# Is this a property of the network, or of 40 steps? Train five times as long, on five times as many batches. (This
# takes minutes, so only `python -m tinypredrnn course run 17 --long` does it, and with one seed; the lines that begin
# with 200 are what it prints.) $\mathcal{M}$ is still worth 4 %. The finding on $\mathcal{C}$ turns round: the network
# is now clearly *better* without it, by 1 %. Call `ablate(200, seeds=[1])` to see whether that depends on the seed.
#
# In Table 1 of the paper, the step from the zigzag alone to ST-LSTMs, which also have $\mathcal{C}$, reduces the error
# from 74.0 to 56.8, with four layers, twenty frames and 80,000 iterations. An ablation is valid for the size, and for
# the length of training, at which it was done.
#
# ## Read the memories
# The paper says that the unit models "the shape deformations and motion trajectories" (Section 3.2) with its two
# memories. It is tempting to read this as: $\mathcal{C}$, along time, holds the motion, and $\mathcal{M}$, across
# layers, holds the appearance. This is a hypothesis, and a test can refute it.
#
# **The test.** Show the network sequences of one digit. In the last frame the digit is in the middle, give or take four
# pixels, so we know where to look. Take the contents of the memories there and then, and train a linear map, a
# **probe**, to read off three things: where exactly the digit is, how fast it moves, and which digit it is. If the
# hypothesis holds, then velocity is read better from $\mathcal{C}$ **and** the class is read better from $\mathcal{M}$.
#
# To make a trajectory that ends where we want, begin there and move backwards:

# %%
COUNT, TIMES, ROOM = size(750, 90), 6, np.array([36, 36])  # a digit of 28x28 pixels has 36 pixels of room
rng = np.random.default_rng(7)
digits, labels = draw_digits(rng, COUNT)
end = ROOM / 2 + rng.uniform(-4, 4, (COUNT, 1, 2))  # (N,1,2): row, column of the corner
angle, speed = rng.uniform(0, 2 * np.pi, (COUNT, 1)), rng.uniform(3, 5, (COUNT, 1))
velocity = np.stack([speed * np.sin(angle), speed * np.cos(angle)], axis=-1)  # pixels per frame, at the end
paths = reflect(end, -velocity, ROOM, TIMES)[:, :, ::-1]  # (N,1,T,2)
canvas = np.empty((COUNT, TIMES, 64, 64, 1), np.uint8)
paint(canvas, digits, np.arange(COUNT)[:, None], paths)
probed = canvas.astype(np.float32) / 255
print(np.allclose(paths[:, :, -1] - paths[:, :, -2], velocity))
#> True

# %% [markdown]
# Ridge regression finds the linear map: of all $W$ it takes the one with the smallest $\|A W - Y\|^2 + \lambda
# \|W\|^2$, which is $W = (A^T A + \lambda I)^{-1} A^T Y$ (set the gradient to zero). $A$ holds the memory at the 4x4
# places in the middle (512 numbers for each sequence) and $Y$ holds the answers; their means are subtracted.
#
# The penalty $\lambda$ keeps the map from learning the noise of its examples by heart, and the right one is not the
# same for all: it depends on how many numbers there are and on what is asked. One penalty for everything would favour
# the sources that it happens to suit, and could decide the verdict. So a third of the sequences fits maps with several
# penalties; a second third chooses, for each source and each question, the penalty with the smallest error; the map is
# then fitted to both, and the last third tests it. No sequence of that third has had a say before.
#
# **The controls.** An untrained network, too, keeps traces of everything it saw; what a probe finds there was not
# learnt. What a probe finds in the raw pixels needs no memory. And a probe that sees nothing always answers the mean.

# %%
answers = np.concatenate([end[:, 0], velocity[:, 0], np.eye(10)[labels]], axis=1)  # (N,2+2+10)
first, second, last = np.array_split(np.arange(COUNT), 3)
PENALTIES = 0.02, 0.2, 2.0, 20.0  # times the number of sequences


def scores(a, fit, test):
    """Maps with all penalties, fitted to some sequences, on others: position errors (px), velocity errors (px/frame)
    and right classes (0 or 1), each (penalties, tested sequences)"""
    a = (a - a[fit].mean(axis=0)) / (a[fit].std() + 1e-9)
    mean = answers[fit].mean(axis=0)
    u, s, vt = np.linalg.svd(a[fit], full_matrices=False)  # one decomposition serves all penalties
    along = u.T @ (answers[fit] - mean)
    guesses = [mean + a[test] @ (vt.T @ (along * (s / (s**2 + penalty * len(fit)))[:, None]))
               for penalty in PENALTIES]
    miss = np.stack(guesses) - answers[test]
    right = np.stack(guesses)[:, :, 4:].argmax(axis=2) == labels[test]
    return np.hypot(miss[..., 0], miss[..., 1]), np.hypot(miss[..., 2], miss[..., 3]), right.astype(float)


def probe(features):
    """features (N,8,8,K) -> for each of the three questions: the score of every tested sequence, the penalty that was
    chosen, and the mean score on the second third with each penalty"""
    a = features[:, 2:6, 2:6].reshape(COUNT, -1).astype(float)
    sweeps = [score.mean(axis=1) for score in scores(a, first, second)]
    chosen = [sweeps[0].argmin(), sweeps[1].argmin(), sweeps[2].argmax()]
    tested = scores(a, np.concatenate([first, second]), last)
    return [(score[k], PENALTIES[k], sweep) for score, k, sweep in zip(tested, chosen, sweeps)]


def memories(model):
    """{"C1": (N,8,8,K), "M1": ..., ...} after the last frame"""
    found = []
    for at in range(0, COUNT, 50):
        after = run(model, probed[at:at + 50])[-1]
        found.append({f"{name}{layer}": t.numpy() for layer, (*_, (_, c, m)) in enumerate(after, start=1)
                      for name, t in (("C", c), ("M", m))})
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


untrained = tp.build_model("predrnn", size=(64, 64), hidden=(32, 32), kernel=3, patch=8, seed=11)
in_patches = probed.reshape(COUNT, TIMES, 8, 8, 8, 8).transpose(0, 1, 2, 4, 3, 5).reshape(COUNT, TIMES, 8, 8, 64)
last_two = np.concatenate([in_patches[:, -1], in_patches[:, -2]], axis=-1)
sources = {"trained": memories(model), "untrained": memories(untrained),
           "pixels": {"last frame": in_patches[:, -1], "last two": last_two}}
sources["nothing"] = {"": np.zeros((COUNT, 8, 8, 1))}  # no information: the probe then answers the mean
results = {(source, name): probe(features) for source, found in sources.items() for name, features in found.items()}
for (source, name), found in results.items():
    position_error, velocity_error, class_right = (score.mean() for score, _, _ in found)
    print(f"{source:9} {name:10} position {position_error:.2f} px   velocity {velocity_error:.2f} px/frame   "
          f"class {class_right:.2f}")
#~ trained   C1         position 0.87 px   velocity 0.61 px/frame   class 0.54
#~ trained   M1         position 0.92 px   velocity 0.58 px/frame   class 0.49
#~ trained   C2         position 1.31 px   velocity 0.62 px/frame   class 0.48
#~ trained   M2         position 0.98 px   velocity 0.62 px/frame   class 0.48
#~ untrained C1         position 2.00 px   velocity 1.70 px/frame   class 0.34
#~ untrained M1         position 1.24 px   velocity 1.49 px/frame   class 0.40
#~ untrained C2         position 1.99 px   velocity 1.37 px/frame   class 0.29
#~ untrained M2         position 1.27 px   velocity 1.51 px/frame   class 0.39
#~ pixels    last frame position 1.04 px   velocity 4.01 px/frame   class 0.44
#~ pixels    last two   position 1.09 px   velocity 1.39 px/frame   class 0.42
#~ nothing              position 3.11 px   velocity 3.99 px/frame   class 0.10

# %%
figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
bars = [("trained", "C1"), ("trained", "M1"), ("trained", "C2"), ("trained", "M2"),
        ("untrained", "C1"), ("untrained", "M1"), ("pixels", "last frame"), ("pixels", "last two")]
titles = ("position: error (px)", "velocity: error (px/frame)", "digit: share right")
for measure, (ax, title) in enumerate(zip(panels, titles)):
    for row, (source, name) in enumerate(bars):
        values = results[source, name][measure][0]
        colour = COLOURS["input" if source == "pixels" else name[0]]
        ax.barh(row, values.mean(), xerr=2 * values.std(ddof=1) / len(values) ** 0.5,
                color=colour if source == "trained" else "white", edgecolor=colour, ecolor="0.2", capsize=2)
    ax.axvline(results["nothing", ""][measure][0].mean(), color="0.2", linestyle=":")
    ax.set(title=title, yticks=range(len(bars)))
    ax.set_yticklabels([f"{name}, {source}" for source, name in bars] if measure == 0 else [])
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
show(figure, "probes")

# %% [markdown]
# (Bars: the mean, with twice its standard error to either side. Dotted line: the probe that sees nothing.) How much
# hangs on the penalty? Here are the shares of right classes on the second third:

# %%
print("penalty            " + "".join(f"{penalty:7}" for penalty in PENALTIES) + "   chosen")
for source, name in (("trained", "C2"), ("trained", "M2"), ("pixels", "last frame"), ("pixels", "last two")):
    _, penalty, sweep = results[source, name][2]
    print(f"{source:7} {name:10} " + "".join(f"{share:7.2f}" for share in sweep) + f"   {penalty}")
#~ penalty               0.02    0.2    2.0   20.0   chosen
#~ trained C2            0.35   0.39   0.35   0.26   0.2
#~ trained M2            0.37   0.43   0.40   0.30   0.2
#~ pixels  last frame    0.31   0.35   0.42   0.43   20.0
#~ pixels  last two      0.28   0.30   0.39   0.42   20.0


# %% [markdown]
# For the pixels the best penalty is a hundred times as large as for the memories. With 0.2 for everything, the pixels
# would look much worse than they are, and the last two frames worse than the last one alone, which they contain. With
# 2 for everything, M would look better than C. A comparison in which all have the same penalty may compare penalties.
#
# And here is the difference between C and M, on the same sequences of the last third:

# %%
clear = []
for layer in (1, 2):
    (_, c_velocity, c_class), (_, m_velocity, m_class) = (results["trained", f"{name}{layer}"] for name in "CM")
    for question, d in (("velocity error", m_velocity[0] - c_velocity[0]), ("class right", m_class[0] - c_class[0])):
        mean, error = d.mean(), d.std(ddof=1) / len(d) ** 0.5
        clear.append(abs(mean) > 2 * error)
        print(f"layer {layer}: {question}, M - C {mean:+.2f} +- {error:.2f}")
print(f"{sum(clear)} of {len(clear)} differences are larger than twice their standard error")
#? layer 1: velocity error, M - C -0.02 +- 0.03
#? layer 1: class right, M - C -0.05 +- 0.03
#? layer 2: velocity error, M - C -0.01 +- 0.03
#? layer 2: class right, M - C +0.00 +- 0.04
#~ 0 of 4 differences are larger than twice their standard error


# %% [markdown]
# **The answer.** For this network the hypothesis fails. Velocity can be read as well from $\mathcal{M}$ as from
# $\mathcal{C}$, and so can the class: no difference is larger than twice its standard error, on 250 sequences. Each
# memory reveals much more about velocity than an untrained network or the pixels do. About the class, the memories of
# the upper layer reveal hardly more than the last frame does. There is no such division of labour here. (There is
# another difference, which we did not look for: $\mathcal{C}$ of layer 2 reveals the position less well than the other
# three memories.)
#
# What this does not show:
#
# - It is **one** network, and a small one. Another seed, or four layers, may divide the labour. Train one and set
#   `TRAINED` above.
# - A linear probe finds what can be read off by a weighted sum. What it does not find may still be there, in another
#   form.
# - The network need not use what a probe finds. Cutting shows what is used; probing shows what is present. Here
#   $\mathcal{C}$ contains the velocity as much as $\mathcal{M}$ does, and yet it is missed far less.
#
# The result does not contradict the paper, either: the paper claims that both memories together model deformations
# **and** trajectories, not that each memory models one of them. What Section 3.2 does claim, one memory along time and
# one across layers, we have seen at work in the gates.
#
# ### Exercise 17.3: the bootstrap (stretch, 10 minutes)
# The mean plus or minus two standard errors is an interval for the true mean if means follow a bell curve. The
# bootstrap assumes less: draw as many sequences as there are, with replacement, take their mean, and repeat this many
# times. The interval is the middle 95 % of these means. `differences` is (N,); each row of `draws` (R,N) holds the
# indices of the sequences in one drawing. Return the two ends of the interval.
#
# *Hint:* `differences[draws]` is (R,N). Over which axis do you average? `np.percentile(values, [a, b])` gives both ends
# at once, and the middle 95 % leaves out as much below as above.


# %%
def bootstrap(differences, draws):
    # <solution>
    return np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    # </solution>


some_draws = (np.arange(120) ** 2 * 7 % 103 % 6).reshape(20, 6)  # any numbers from 0 to 5
check("17.3", lambda: bootstrap(np.array([0.5, -0.1, 0.3, 0.2, -0.4, 0.6]), some_draws),
      np.array([-0.0920833333, 0.392083333]))

# %% [markdown]
# ## What you have now
# - The network: `tinypredrnn/models/predrnn.py`, `PredRNN`; the code that runs it:
#   `tinypredrnn/models/predictor.py`, `Predictor`.
# - The training loop, with everything that you want to keep from a run: `tinypredrnn/train/trainer.py`, `Trainer`; its
#   sampling of true frames: `tinypredrnn/train/schedules.py`, `truth_mask`. `examples/train_mnist.py` trains the
#   network of this lesson and larger ones.
# - Three ways to find out what a network does: look (gates), cut (ablation, before or after training), read (probes);
#   each with its control.
# - Large models are examined in the same ways: with probes, with ablation of heads and neurons, and by "patching"
#   states of one run into another. The authors of PredRNN went on as well: PredRNN-V2 (2021) found that the two
#   memories are entangled, and added a loss that pushes their updates apart.
