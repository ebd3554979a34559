# %% [markdown]
# # 17. PredRNN: train it, open it, doubt it
#
# - **Idea:** what a network keeps in its memories can be looked at, cut out and read off; only together do these tell what they are for.
# - **Minutes:** 60
# - **Needs:** lessons 13 (training), 14 (measuring) and 16.
# - **You will see:** gates that follow a digit; how long C and M last; what is lost without either of them; and an answer to "C holds
#   motion, M holds appearance" that is not the expected one.
# - **Why:** two memories are said to do two things. A better score does not show what they do.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST, paint, reflect
from tinypredrnn.optim import Adam

TRAINED = tp.train.PRETRAINED  # comes with the package: 2 layers of 32, 3x3 kernels, patches of 8x8 pixels

# %% [markdown]
# ## Train a small one
# The digits of the package's own pen, one at a time, in frames of 32x32 pixels (two by two pixels averaged): see three, predict three. Two
# layers of 12. Each batch is drawn from (seed, step), so that all networks of one seed see the same sequences in the same order.

# %%
GIVEN, FRAMES, BATCH, STEPS = 3, 6, 8, size(40, 4)
drawings, _ = draw_digits(np.random.default_rng(0), 3000)
training = MovingMNIST(drawings[:2000], digits=1, frames=FRAMES)
held_out = MovingMNIST(drawings[2000:], digits=1, frames=FRAMES)


def shrink(frames):
    """uint8 (B,T,64,64,1) -> float32 (B,T,32,32,1)"""
    return frames.reshape(*frames.shape[:2], 32, 2, 32, 2, 1).mean(axis=(3, 5), dtype=np.float32) / 255


def train(model, seed):
    adam = Adam(model.parameters())
    truth = np.ones((BATCH, FRAMES - 1))
    for step in range(STEPS):
        progress = step / STEPS
        frames = shrink(training.batch(seed, step, BATCH))
        draws = np.random.default_rng([seed, step]).random((BATCH, FRAMES - 1 - GIVEN))
        truth[:, GIVEN:] = draws > progress / 0.6  # scheduled sampling (lesson 13)
        loss = ((model.unroll(frames, truth) - frames[:, 1:]) ** 2).mean()
        model.zero_grad()
        loss.backward()
        adam.step(rate=0.02 * min((step + 1) / 10, 0.5 + 0.5 * np.cos(np.pi * progress)))
    return model


def errors(model, frames, given):
    """MSE per frame (sum over pixels) of what is predicted after the given frames, for each sequence: (N,)"""
    with tp.no_grad():
        predicted = model(frames[:, :given], horizon=frames.shape[1] - given).numpy().clip(0, 1)
    return ((predicted - frames[:, given:]) ** 2).sum(axis=(2, 3, 4)).mean(axis=1)


def small_network(seed):
    return tp.build_model("predrnn", size=(32, 32), hidden=(12, 12), kernel=3, patch=4, seed=seed)


exam = shrink(held_out.fixed_set("test", size(128, 8)))
whole = train(small_network(0), seed=0)
black, copied = (exam[:, GIVEN:] ** 2), (exam[:, GIVEN:] - exam[:, GIVEN - 1:GIVEN]) ** 2
print(f"MSE per frame: the last frame again {copied.sum(axis=(2, 3, 4)).mean():.1f}, all black {black.sum(axis=(2, 3, 4)).mean():.1f}, "
      f"PredRNN {errors(whole, exam, GIVEN).mean():.1f}")
#~ MSE per frame: the last frame again 26.3, all black 18.5, PredRNN 12.6

# %% [markdown]
# Better than both, after a few seconds. For looking inside, something better trained is needed: a network of two layers
# of 32 that learnt from 5,000 batches of two MNIST digits in frames of 64x64. It has never seen the digits of our pen:

# %%
model = tp.load(TRAINED)
strangers, _ = draw_digits(np.random.default_rng(1), 400)
pairs = MovingMNIST(strangers, digits=2).draw(np.random.default_rng(5), size(24, 4)).astype(np.float32) / 255  # (N,20,64,64,1)
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
# ## Open it
# A cell is a function of its state and hides nothing. So run the network by hand, and keep what goes into each cell and what comes out:


# %%
def run(model, frames):
    """(B,T,H,W,C) -> for each step of time and each layer: (cell, x, (h, c, m) before, (h, c, m) after)"""
    steps = []
    with tp.no_grad():
        patches = tp.space_to_depth(tp.tensor(frames), model.patch)  # (B,T,h,w,X)
        layers, m = model.start(len(frames), *patches.shape[2:4])
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
# To see the gates, call a cell's parts once more. `watch` notes the gates of $\mathcal{C}$ (`i`, `f`), those of $\mathcal{M}$
# (`i'`, `f'`), the output gate `o`, and both memories.


# %%
def watch(cell, x, before, after):
    """{name: (B,h,w,K)} of what went on in a cell"""
    (h, _, m), (_, new_c, new_m) = before, after
    with tp.no_grad():
        (i, f, _, o), (i_, f_, _) = cell.from_xh(x, h), cell.from_xm(x, m)
        gates = {"i": i, "f": f, "i'": i_, "f'": f_, "o": o + cell.from_cm(new_c, new_m)}
        return {name: tp.sigmoid(gate).numpy() for name, gate in gates.items()} | {"C": new_c.numpy(), "M": new_m.numpy()}


notes = [[watch(*visit) for visit in step] for step in run(model, pairs[:, :10])]  # notes[t][layer][name]
print(len(notes), len(notes[0]), notes[0][0]["f"].shape[1:])
#> 10 2 (8, 8, 32)

# %% [markdown]
# The mean over the 32 channels is a map of 8x8 places. Bright in `i`: here something is written. Bright in `f`: here the old is kept. The
# memories are shown by the mean size of their numbers. Left the memory along time, right the one across layers; layer 2 stands above
# layer 1, as in the figures of the paper.

# %%
shown = (2, 4, 6, 8)
figure, axes = plt.subplots(7, 9, figsize=(10, 8), gridspec_kw={"width_ratios": [1] * 4 + [0.5] + [1] * 4}, layout="constrained")
for side, (memory, write, keep) in enumerate((("C", "i", "f"), ("M", "i'", "f'"))):
    rows = [("frame", None, None)] + [(f"{name} of layer {layer}", layer, name) for layer in (2, 1) for name in (memory, write, keep)]
    for row, (title, layer, name) in enumerate(rows):
        for column, t in enumerate(shown):
            place = axes[row, column + 5 * side]
            if layer is None:
                place.imshow(pairs[0, t, :, :, 0], cmap="gray", vmin=0, vmax=1)
                place.set_title(f"t = {t + 1}")
            else:
                maps = np.stack([np.abs(notes[s][layer - 1][name][0]).mean(axis=-1) for s in shown])
                gate = name not in ("C", "M")
                place.imshow(maps[column], cmap="viridis" if gate else "magma", vmin=0, vmax=1 if gate else maps.max())
            place.set(xticks=[], yticks=[])
        axes[row, 5 * side].set_ylabel(title.replace(" of", "\nof"), rotation=0, ha="right", va="center")
for place in axes[:, 4]:
    place.axis("off")
bar = figure.colorbar(plt.cm.ScalarMappable(plt.Normalize(0, 1), "viridis"), ax=axes, shrink=0.4, label="gates i and f: shut 0, open 1")
show(figure, "gates")

# %% [markdown]
# Do not trust one picture. The same as numbers, over all sequences: the mean of each gate at places that hold ink in this frame, and at
# places that do not.

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
# - The top layer's output gate `o` opens where digits are and nearly nowhere else: it cuts out what is shown.
# - In the **bottom** layer, `f'` shuts where a digit is and `i'` opens: what $\mathcal{M}$ brought along from the time before is let go,
#   and the new frame is written. In the layer **above**, `f'` makes no such difference, and is wider open at the digits than the one below:
#   more of what the bottom layer has just written there is kept. That is the flow across layers of Section 3.2, seen in a trained network.
# - $\mathcal{M}$ looks like the digits, in both layers; $\mathcal{C}$ of layer 1 does not.
#
# ## How long they last
# Nothing moves within a memory; it is kept in its place, times `f`. So what is left of its contents after $n$ steps is a product of forget
# gates. $\mathcal{C}^l$ passes one gate for each step, its own. $\mathcal{M}$ passes `f'` of every layer.


# %%
def kept(gates, contents):
    """gates: one (B,h,w,K) for each step; the share of `contents` that is left after 0, 1, 2, ... steps"""
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
for (name, share), colour, marker in zip(shares.items(), ("#0072B2", "#56B4E9", "#D55E00"), "os^"):
    axes.semilogy(share, color=colour, marker=marker, label=name)
axes.set(xlabel="steps of time", ylabel="share that the forget gates leave")
axes.legend(frameon=False)
axes.grid(alpha=0.3)
axes.spines[["top", "right"]].set_visible(False)
show(figure, "lifetimes")

# %% [markdown]
# A memory with gates like these is no archive: what the network knows for longer, it writes anew at every step.
#
# ### Exercise 17.1: half-life
# `gates` are the forget gates that a memory passes in **one** step of time: one for $\mathcal{C}$, one for each layer for $\mathcal{M}$.
# After how many steps is half of the memory left? (Not only whole steps.)
#
# *Hint:* after $n$ steps, $p^n$ is left, where $p$ is what one step leaves. Solve $p^n = 1/2$ for $n$.


# %%
def half_life(gates):
    # <solution>
    return np.log(0.5) / np.log(np.prod(gates))
    # </solution>


check("17.1", lambda: [half_life(gates) for gates in ([0.5], [0.9], [0.5, 0.5], [0.9, 0.8, 0.7])], [1, 6.57881348, 0.5, 1.01162866])

# %% [markdown]
# ## Cut it
# Looking is not testing. Let every cell find zeros where it would read $\mathcal{C}$ (or $\mathcal{M}$, or $\mathcal{H}$ of the time
# before), in a network that was trained with all of them. What does it cost?


# %%
def cut(model, what):
    """The model, whose cells find zeros where they would read `what`: "C", "M" or "H"; "" cuts nothing"""
    def step(x, state):
        layers, m = state
        new = []
        for cell, (h, c) in zip(model.cells, layers):
            h, c, m = (0 * value if name == what else value for name, value in zip("HCM", (h, c, m)))
            x, (h, c, m) = cell(x, (h, c, m))
            new.append((h, c))
        return x, (new, m)

    model.step = step
    return model


intact = errors(model, pairs, given=10)  # (N,)
print(f"nothing cut: MSE per frame {intact.mean():.0f}, all black {(pairs[:, 10:] ** 2).sum(axis=(2, 3, 4)).mean():.0f}")
for what in ("C", "M", "H"):
    worse = errors(cut(model, what), pairs, given=10) - intact
    print(f"without {what}: {worse.mean():+.0f} +- {worse.std(ddof=1) / len(worse) ** 0.5:.0f}")
cut(model, "")
#~ nothing cut: MSE per frame 96, all black 176
#? without C: +13 +- 2
#? without M: +72 +- 4
#? without H: +67 +- 5

# %% [markdown]
# (The number after +- is the standard error of the mean: the standard deviation of the N differences, one for each sequence, divided by
# $\sqrt N$. With other sequences the mean would differ by about as much.)
#
# This network leans on $\mathcal{M}$ and on $\mathcal{H}$; without either it is hardly better than black frames. Without $\mathcal{C}$
# it loses far less. But mind what this experiment asks: how much does **this** network miss a part that it was trained with? A network
# that never had the part could have found another way.
#
# ### Exercise 17.2: cut the return
# Cut only one arrow: $\mathcal{M}$ climbs the layers, but whatever $\mathcal{M}$ a step is given, it begins with zeros, so there is no
# zigzag. Write such a step. `x` and `state` are as in `cut`; call the cells as there, and return the new state with the $\mathcal{M}$ of
# the top layer. (Then set `model.step = lambda x, state: step_without_return(model, x, state)` and measure what the arrow is worth.)
#
# *Hint:* there is one place where $\mathcal{M}$ comes from the time before. It is not inside of the loop.


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
expected = tiny.step(inputs, (layers, tiny.start(1, 4, 4)[1]))
check("17.2", lambda: step_without_return(tiny, inputs, (layers, m)), expected)

# %% [markdown]
# ## Train without it
# The fair comparison: networks that never had $\mathcal{C}$, or never had $\mathcal{M}$, trained as long, from the same first weights, on
# the same batches, with the same number of parameters (some of which have nothing to do). Two seeds, of weights and of batches, each
# compared within itself:

# %%
for seed in (0, 1):
    full = whole if seed == 0 else train(small_network(seed), seed)
    baseline = errors(full, exam, GIVEN)
    print(f"seed {seed}: with both memories {baseline.mean():.2f}")
    for what in ("C", "M"):
        worse = errors(train(cut(small_network(seed), what), seed), exam, GIVEN) - baseline
        print(f"seed {seed}: without {what} {worse.mean():+.2f} +- {worse.std(ddof=1) / len(worse) ** 0.5:.2f}")
#~ seed 0: with both memories 12.65
#? seed 0: without C -0.02 +- 0.03
#? seed 0: without M +0.36 +- 0.06
#~ seed 1: with both memories 12.77
#? seed 1: without C +0.13 +- 0.05
#? seed 1: without M +0.70 +- 0.08

# %% [markdown]
# $\mathcal{M}$ has earned its place: without it the network is worse, with either seed, by several standard errors. $\mathcal{C}$ has not,
# here: with one seed nothing is lost without it, with the other little. (The +- knows of sequences only, not of seeds; two seeds are few.)
# In Table 1 of the paper the step from the zigzag alone to ST-LSTMs, which have $\mathcal{C}$ as well, brings the error from 74.0 down to
# 56.8, with four layers, twenty frames and 80,000 iterations. An ablation answers for the size that it was done at.
#
# ## Read it
# The paper says that the unit models "the shape deformations and motion trajectories" (Section 3.2) with its two memories. It is tempting
# to hear: $\mathcal{C}$, along time, holds the motion, and $\mathcal{M}$, across layers, the appearance. That is a hypothesis. It can fail.
#
# **The test.** Show the network sequences of one digit whose last frame has the digit in the middle, give or take four pixels, so that we
# know where to look. Take what stands in the memories there and then, and let a linear map, a **probe**, read off: where exactly the digit
# is, how fast it moves, which digit it is. If the hypothesis holds, then velocity is read better from $\mathcal{C}$ **and** the class is
# read better from $\mathcal{M}$.
#
# A trajectory that ends where we want is one that begins there, flown backwards:

# %%
COUNT, TIMES, ROOM = size(750, 90), 6, np.array([36, 36])  # a digit of 28x28 pixels has 36 pixels of room
rng = np.random.default_rng(7)
digits, labels = draw_digits(rng, COUNT)
end = ROOM / 2 + rng.uniform(-4, 4, (COUNT, 1, 2))  # (N,1,2): row, column of the corner
angle, speed = rng.uniform(0, 2 * np.pi, (COUNT, 1)), rng.uniform(3, 5, (COUNT, 1))
velocity = np.stack([speed * np.sin(angle), speed * np.cos(angle)], axis=-1)  # pixels a frame, at the end
paths = reflect(end, -velocity, ROOM, TIMES)[:, :, ::-1]  # (N,1,T,2)
canvas = np.empty((COUNT, TIMES, 64, 64, 1), np.uint8)
paint(canvas, digits, np.arange(COUNT)[:, None], paths)
probed = canvas.astype(np.float32) / 255
print(np.allclose(paths[:, :, -1] - paths[:, :, -2], velocity))
#> True

# %% [markdown]
# The linear map is found by ridge regression, with the same penalty everywhere: of all $W$ the one with the least
# $\|A W - Y\|^2 + \lambda \|W\|^2$, which is $W = (A^T A + \lambda I)^{-1} A^T Y$ (set the derivative to zero). $A$ holds the memory at the
# 4x4 places in the middle (512 numbers for each sequence) and $Y$ the answers, both less their means. Two thirds of the sequences are for
# finding it, one third for the examination.
#
# **The controls.** An untrained network keeps traces of all it saw, too. What a probe finds there was not learnt. What a probe finds in the
# bare pixels needs no memory. And a probe of nothing answers the mean, whatever it is shown.

# %%
answers = {"position": end[:, 0], "velocity": velocity[:, 0], "class": np.eye(10)[labels]}
learn, examine = np.arange(COUNT) < COUNT * 2 // 3, np.arange(COUNT) >= COUNT * 2 // 3


def probe(features):
    """features (N,8,8,K) -> for each examined sequence: position error (px), velocity error (px/frame), class right (0 or 1)"""
    a = features[:, 2:6, 2:6].reshape(COUNT, -1).astype(float)
    a = (a - a[learn].mean(axis=0)) / (a[learn].std() + 1e-9)
    y = np.concatenate(list(answers.values()), axis=1)  # (N,2+2+10)
    square = a[learn].T @ a[learn] + 0.2 * learn.sum() * np.eye(a.shape[1])
    guess = y[learn].mean(axis=0) + a[examine] @ np.linalg.solve(square, a[learn].T @ (y[learn] - y[learn].mean(axis=0)))
    miss = guess - y[examine]
    right = guess[:, 4:].argmax(axis=1) == labels[examine]
    return np.hypot(*miss[:, :2].T), np.hypot(*miss[:, 2:4].T), right.astype(float)


def memories(model):
    """{"C1": (N,8,8,K), "M1": ..., ...} after the last frame"""
    found = []
    for first in range(0, COUNT, 50):
        last = run(model, probed[first:first + 50])[-1]
        found.append({f"{name}{n + 1}": t.numpy() for n, (*_, (_, c, m)) in enumerate(last) for name, t in (("C", c), ("M", m))})
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


untrained = tp.build_model("predrnn", size=(64, 64), hidden=(32, 32), kernel=3, patch=8, seed=11)
in_patches = probed.reshape(COUNT, TIMES, 8, 8, 8, 8).transpose(0, 1, 2, 4, 3, 5).reshape(COUNT, TIMES, 8, 8, 64)
sources = {"trained": memories(model), "untrained": memories(untrained),
           "pixels": {"last frame": in_patches[:, -1], "last two": np.concatenate([in_patches[:, -1], in_patches[:, -2]], axis=-1)}}
nothing = np.zeros((COUNT, 8, 8, 1))  # knows nothing: the probe then answers the mean
sources["nothing"] = {"": nothing}
results = {(source, name): probe(features) for source, found in sources.items() for name, features in found.items()}
for (source, name), (where, how_fast, which) in results.items():
    print(f"{source:9} {name:10} position {where.mean():.2f} px   velocity {how_fast.mean():.2f} px/frame   class {which.mean():.2f}")
#~ trained   C1         position 0.87 px   velocity 0.61 px/frame   class 0.54
#~ trained   M1         position 0.92 px   velocity 0.58 px/frame   class 0.56
#~ trained   C2         position 1.31 px   velocity 0.62 px/frame   class 0.48
#~ trained   M2         position 0.98 px   velocity 0.62 px/frame   class 0.48
#~ untrained C1         position 2.00 px   velocity 1.70 px/frame   class 0.36
#~ untrained M1         position 1.24 px   velocity 1.49 px/frame   class 0.41
#~ untrained C2         position 1.99 px   velocity 1.37 px/frame   class 0.29
#~ untrained M2         position 1.27 px   velocity 1.51 px/frame   class 0.40
#~ pixels    last frame position 1.09 px   velocity 4.31 px/frame   class 0.46
#~ pixels    last two   position 1.17 px   velocity 1.49 px/frame   class 0.38
#~ nothing              position 3.11 px   velocity 3.99 px/frame   class 0.10

# %%
figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
bars = [("trained", "C1"), ("trained", "M1"), ("trained", "C2"), ("trained", "M2"), ("untrained", "C1"), ("untrained", "M1"),
        ("pixels", "last frame"), ("pixels", "last two")]
for axes, measure, title in zip(panels, range(3), ("position: error (px)", "velocity: error (px/frame)", "digit: share right")):
    for place, (source, name) in enumerate(bars):
        values = results[source, name][measure]
        colour = "#666666" if source == "pixels" else "#0072B2" if name[0] == "C" else "#D55E00"
        axes.barh(place, values.mean(), xerr=2 * values.std(ddof=1) / len(values) ** 0.5, color=colour if source == "trained" else "white",
                  edgecolor=colour, ecolor="#333333", capsize=2)
    axes.axvline(results["nothing", ""][measure].mean(), color="#333333", linestyle=":")
    axes.set(title=title, yticks=range(len(bars)), yticklabels=[f"{name}, {source}" for source, name in bars] if measure == 0 else [])
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
show(figure, "probes")

# %% [markdown]
# (Bars: the mean and twice its standard error. Dotted: the probe of nothing.) The difference between C and M, on the same sequences:

# %%
for layer in (1, 2):
    c, m = results["trained", f"C{layer}"], results["trained", f"M{layer}"]
    faster, better = m[1] - c[1], m[2] - c[2]
    print(f"layer {layer}: velocity error, M - C {faster.mean():+.2f} +- {faster.std(ddof=1) / len(faster) ** 0.5:.2f} px/frame;   "
          f"class right, M - C {better.mean():+.2f} +- {better.std(ddof=1) / len(better) ** 0.5:.2f}")
#? layer 1: velocity error, M - C -0.02 +- 0.03 px/frame;   class right, M - C +0.03 +- 0.03
#? layer 2: velocity error, M - C -0.01 +- 0.03 px/frame;   class right, M - C +0.00 +- 0.04

# %% [markdown]
# **The answer.** In this network the hypothesis fails. Velocity is read as well from $\mathcal{M}$ as from $\mathcal{C}$, and so is the
# class: no difference is larger than twice its standard error. Each memory knows much more about velocity than an untrained network or the
# pixels give away; of the class, the upper layer's tell no more than the last frame does. There is no division of labour of that kind here.
#
# What this does not say:
#
# - It is **one** network, and a small one. Another seed, or four layers, may divide the labour. Train one and set `TRAINED` above.
# - A linear probe finds what stands there plainly. What it does not find may be there all the same, in another form.
# - What a probe finds need not be used. Cutting tells of use; probing tells of presence. Here $\mathcal{C}$ has the velocity as
#   much as $\mathcal{M}$ has, and is missed far less.
#
# It does not contradict the paper, either, which claims that both memories together model deformations **and** trajectories, not that each
# has one of them. What Section 3.2 does claim, one memory along time and one across layers, we have seen at work in the gates.
#
# ### Exercise 17.3: the bootstrap
# Two standard errors to either side make an interval for the true mean if means are distributed like a bell. The bootstrap supposes less:
# draw as many sequences as there are, with repetition, take the mean, and do so many times. The interval is the middle 95 % of these means.
# `differences` is (N,); each row of `draws`, (R,N), holds the numbers of the sequences of one drawing. Return the two ends of the interval.
#
# *Hint:* `differences[draws]` is (R,N): which axis is averaged? `np.percentile(values, [a, b])` gives both ends at once, and the middle
# 95 % leaves out as much below as above.


# %%
def bootstrap(differences, draws):
    # <solution>
    return np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    # </solution>


check("17.3", lambda: bootstrap(np.array([0.5, -0.1, 0.3, 0.2, -0.4, 0.6]), (np.arange(120) ** 2 * 7 % 103 % 6).reshape(20, 6)),
      np.array([-0.0920833333, 0.392083333]))

# %% [markdown]
# ## What you have now
# - The network: `tinypredrnn/models/predrnn.py`, `PredRNN`; what runs it: `tinypredrnn/models/predictor.py`, `Predictor`.
# - The training loop with all that a person wants to find again: `tinypredrnn/train/trainer.py`, `Trainer`; its sampling of true frames:
#   `tinypredrnn/train/schedules.py`, `truth_mask`. `examples/train_mnist.py` trains the network of this lesson and larger ones.
# - Three ways to ask a network what it does: look (gates), cut (ablation, before or after training), read (probes); each with its control.
# - Large models are examined in the same ways: probes, ablation of heads and neurons, and "patching" states of one run into another. The
#   authors of PredRNN drew conclusions as well: PredRNN-V2 (2021) found the two memories to be entangled, and adds a loss that
#   pushes their changes apart.
