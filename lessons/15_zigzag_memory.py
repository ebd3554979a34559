# %% [markdown]
# # 15. A memory that zigzags
#
# - **Idea:** one memory climbs all layers and then goes on in time; a graph tells the length of every route, and the gradient feels it.
# - **Minutes:** 45
# - **Needs:** lessons 11 (gates), 12 (ConvLSTM) and 13 (sequence to sequence).
# - **You will see:** a top layer that the bottom one never hears of; routes of 23 and of 80 cells through the same twenty frames; and a
#   gradient that shrinks by 100 million over the longer one.
# - **Why:** in a stack of ConvLSTMs the bottom layer, which sees the frame, is never told what the top layer had made of the frames
#   before it.
#
# ## For teachers
#
# *Lessons 15 to 17: the memory of PredRNN.*
#
# **Aim.** At the end of the group a learner can draw Figures 1 and 2 of the paper from memory, say for each arrow which equation it
# comes from, count the cells between any frame and any prediction, and say what an ablation and a probe do and do not show.
#
# **Time.** About three hours: 15 and 16 fill one sitting, 17 another.
#
# **Common errors.**
#
# - *The zigzag is taken for a shortcut.* It is the longest route there is. It brings the top layer's memory to the bottom layer, and it
#   pays with length. Let learners trace both routes on the blackboard before they count them.
# - *Layer and time are mixed up* (lessons 15 and 16). $\mathcal{M}_t^{l-1}$ is of the layer below and the **same** time; only for $l = 1$
#   is it of the top layer and the time before. Equation 4 prints $\mathcal{M}_{t-1}^{l-1}$; the text of Section 3.2 says how it is meant.
# - *The gates of C and M are thought to be shared* (lesson 16). There are six, and one output gate for both.
# - *"It gets worse without it, so it needs it"* (lesson 17). A network that was trained with a part and then loses it, and a network
#   that was trained without it, are two experiments. Ask which question each one answers.
# - *"A probe finds it, so the network uses it"* (lesson 17). Ask what the probe finds in a network that was never trained.
#
# **What to ask.**
#
# 1. Through how many cells does frame 1 go before it reaches prediction 20? (In a stack: always 23. In a zigzag: 80.)
# 2. In how many ways? (1540 in a stack of four layers, one in a zigzag.)
# 3. Which arrow of Figure 2 must go for a stack of ConvLSTMs to remain? (M's. Exercise 16.4 removes it.)
# 4. What would you have to see to believe that C holds motion and M appearance? (Both halves, better than an untrained network.)

# %%
from math import comb

import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show
from tinypredrnn.viz.flow import draw_stack, edges

# %% [markdown]
# ## Nobody tells the bottom layer
# Stack ConvLSTMs, and each keeps a memory $\mathcal{C}$ of its own. It goes along time, from left to right. Only hidden states go up.

# %%
show(draw_stack("convlstm"), "stack")

# %% [markdown]
# The top layer has the most worked-out view of what is going on. Does it tell anybody? Let us take one step of a stack of two layers,
# and ask for the gradient of the **bottom** layer's new memory with respect to all that the layers knew before.
#
# The four states are leaves here, so each will have its gradient, or `None` where there is no route at all.

# %%
rng = np.random.default_rng(0)


def states(count, width=4):
    """`count` random states of a small network: (B,H,W,K)"""
    return [tp.tensor(rng.standard_normal((1, 4, 4, width)), requires_grad=True) for _ in range(count)]


def told(new, old):
    """Which of the `old` states, {name: Tensor}, have a route to the tensor `new`?"""
    new.backward(rng.standard_normal(new.shape))
    return [name for name, state in old.items() if state.grad is not None]


options = {"size": (8, 8), "hidden": (4, 4), "kernel": 3, "patch": 2, "seed": 1}
stack = tp.build_model("convlstm", **options).to(dtype="float64")
frame = tp.tensor(rng.random((1, 4, 4, 4)))  # (B,H,W,X): one frame of 8x8 pixels, cut into patches of 2x2
h1, c1, h2, c2 = states(4)
_, ((_, new_c1), (_, new_c2)) = stack.step(frame, [(h1, c1), (h2, c2)])
print("layer 1 hears of", told(new_c1, {"H1": h1, "C1": c1, "H2": h2, "C2": c2}))
#> layer 1 hears of ['H1', 'C1']

# %% [markdown]
# Nothing of layer 2. The paper says it in Section 2.2: "the bottom layer would totally ignore what had been memorized by the top layer at
# the previous time step".
#
# ## The zigzag
# Section 3.1 alters the connections. There is **one** memory, now called $\mathcal{M}$. It enters at the bottom, every layer rewrites it,
# and from the top it goes to the bottom of the next time step. The hidden state travels with it. This is Figure 1 (left) of the paper:

# %%
show(draw_stack("predrnn_m"), "zigzag")

# %% [markdown]
# Each cell is the ConvLSTM of lesson 12, except that "before" no longer means "earlier" but "below". Equation 3, for layer $l$:
#
# $$g = \tanh(W_{xg} * X_t \,[l = 1] + W_{hg} * H_t^{l-1} + b_g)$$
# $$i = \sigma(W_{xi} * X_t \,[l = 1] + W_{hi} * H_t^{l-1} + W_{mi} \odot M_t^{l-1} + b_i)$$
# $$f = \sigma(W_{xf} * X_t \,[l = 1] + W_{hf} * H_t^{l-1} + W_{mf} \odot M_t^{l-1} + b_f)$$
# $$M_t^l = f \odot M_t^{l-1} + i \odot g$$
# $$o = \sigma(W_{xo} * X_t \,[l = 1] + W_{ho} * H_t^{l-1} + W_{mo} \odot M_t^l + b_o)$$
# $$H_t^l = o \odot \tanh(M_t^l)$$
#
# $[l = 1]$ says that only the bottom layer sees the frame. For it, $H_t^0$ and $M_t^0$ are $H_{t-1}^L$ and $M_{t-1}^L$: what the top layer
# had at the time before. In code, with the four convolutions done as one, as in lesson 12:


# %%
def zigzag_cell(w, x, h, m):
    """Equation 3. w is a cell that holds the weights; x the frame, None above layer 1; h, m come from the layer below -> h, m"""
    inputs = h if x is None else tp.concat(x, h)  # (B,H,W,X+K)
    i, f, g, o = tp.split(tp.conv2d(inputs, w.from_xh.weight, w.from_xh.bias), parts=4)  # each (B,H,W,K)
    g = tp.tanh(g)
    i = tp.sigmoid(i + w.w_mi * m)
    f = tp.sigmoid(f + w.w_mf * m)
    m = f * m + i * g
    o = tp.sigmoid(o + w.w_mo * m)
    return o * tp.tanh(m), m


zigzag = tp.build_model("predrnn_m", **options).to(dtype="float64")
for cell in zigzag.cells:  # peepholes start at 0, which would hide a mistake
    for peephole in (cell.w_mi, cell.w_mf, cell.w_mo):
        peephole.data[:] = rng.standard_normal(peephole.shape)
h, m = states(2)
ours, theirs = zigzag_cell(zigzag.cells[0], frame, h, m), zigzag.cells[0](frame, (h, m))
print("as in the package:", np.allclose(ours[0].data, theirs[0].data), np.allclose(ours[1].data, theirs[1][1].data))
#> as in the package: True True

# %% [markdown]
# ### Exercise 15.1: the way through the stack
# With `zigzag_cell`, lead `h` and `m` through all `cells` for all `frames`, as the picture shows. They begin as zeros. Return the list
# of the top layer's `h`, one for each frame.
#
# *Hint:* two loops. Which one is the outer one, the frames or the cells? And which cell gets `None` instead of the frame?


# %%
def climb(cells, frames, h, m):
    # <solution>
    tops = []
    for x in frames:
        for layer, w in enumerate(cells):
            h, m = zigzag_cell(w, x if layer == 0 else None, h, m)
        tops.append(h)
    return tops
    # </solution>


frames = [tp.tensor(rng.random((1, 4, 4, 4))) for _ in range(3)]
nothing = tp.tensor(np.zeros((1, 4, 4, 4)))
expected, state = [], (nothing, nothing)
for x in frames:
    features, state = zigzag.step(x, state)
    expected.append(features)
check("15.1", lambda: climb(zigzag.cells, frames, nothing, nothing), expected)

# %% [markdown]
# Now the bottom layer hears of the top one. It has no state of its own any more:

# %%
h2, m2 = states(2)
_, (_, new_m1) = zigzag.cells[0](frame, (h2, m2))
print("layer 1 hears of", told(new_m1, {"H2": h2, "M2": m2}))
#> layer 1 hears of ['H2', 'M2']

# %% [markdown]
# ## What it costs: counting cells
# A frame is remembered by passing it from cell to cell, and every cell changes a little of it. So count cells. Write down for each cell,
# named by (time, layer), to which cells its states go. First the conventional stack of Figure 1 (right): up, and along time.


# %%
def after_in_stack(t, layer, layers, steps):
    """The cells that use what cell (t, layer) made; both count from 1."""
    up = [(t, layer + 1)] if layer < layers else []
    along = [(t + 1, layer)] if t < steps else []
    return up + along


print(after_in_stack(1, 1, layers=4, steps=20))
print(after_in_stack(1, 4, layers=4, steps=20))
#> [(1, 2), (2, 1)]
#> [(2, 4)]

# %% [markdown]
# ### Exercise 15.2: the edges of the zigzag
# The same for the zigzag of Figure 1 (left).
#
# *Hint:* every cell has one successor, except the very last, which has none: `[]`. Follow the orange arrow with a finger.


# %%
def after_in_zigzag(t, layer, layers, steps):
    # <solution>
    if layer < layers:
        return [(t, layer + 1)]
    return [(t + 1, 1)] if t < steps else []
    # </solution>


answers = {(1, 1): [(1, 2)], (1, 3): [(2, 1)], (3, 2): [(3, 3)], (4, 3): [(5, 1)], (5, 1): [(5, 2)], (5, 3): []}
check("15.2", lambda: {cell: after_in_zigzag(*cell, layers=3, steps=5) for cell in answers}, answers)

# %% [markdown]
# The pictures above were drawn from such lists: `edges` has an entry (what, from, to) for every arrow. From them we take, for each cell,
# the cells that come next. A route leads from cell (1, 1), which sees frame 1, to the top cell of the last step, which makes the last
# prediction. Going backwards from there, a cell's routes are those of the cells that come next, each one cell longer:


# %%
def routes(kind, layers, steps):
    """Of the routes from frame 1 to the last prediction: (cells on the shortest, cells on the longest, how many there are)"""
    cells = [(t, layer) for t in range(1, steps + 1) for layer in range(1, layers + 1)]
    following = {cell: {taker for _, giver, taker in edges(kind, layers, steps) if giver == cell and taker in cells} for cell in cells}
    found = {}
    for cell in reversed(cells):
        after = [found[taker] for taker in following[cell]]
        shortest, longest, number = zip(*after) if after else ((0,), (0,), (1,))
        found[cell] = (1 + min(shortest), 1 + max(longest), sum(number))
    return found[1, 1]


print("stack: ", routes("convlstm", layers=4, steps=20))
print("zigzag:", routes("predrnn_m", layers=4, steps=20))
print("choose 3 of 22:", comb(22, 3))
#> stack:  (23, 23, 1540)
#> zigzag: (80, 80, 1)
#> choose 3 of 22: 1540

# %% [markdown]
# In the stack every route has 23 cells, three steps up and nineteen along, and there are 1540 orders to take them in. In the zigzag there
# is nothing to choose: the one route goes through every cell there is, 4 layers times 20 steps.
#
# Section 3.2 names the price: the zigzag "is prone to vanishing gradient since the memory needs to flow a longer path between distant
# states". "Prone to" can be measured.
#
# ## What the gradient feels
# Two fresh networks of four layers look at twenty frames of noise. How much does the last prediction change if a pixel of frame $t$ is
# nudged? That is the gradient of the last output with respect to frame $t$; its length, for each $t$, is what we plot, divided by that
# of frame 20. The output has many numbers: a random cotangent mixes them into one (lesson 4). Three seeds are averaged, as logarithms.

# %%
LAYERS, STEPS = 4, 20


def gradient_along_time(name, forget_bias=1.0, seeds=(0, 1, 2)):
    """(STEPS,): length of d(last output) / d(frame t), relative to that of the last frame"""
    logs = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        model = tp.build_model(name, size=(8, 8), hidden=(8,) * LAYERS, kernel=3, patch=2, seed=seed, forget_bias=forget_bias)
        frames = tp.tensor(rng.random((4, STEPS, 8, 8, 1)), requires_grad=True)  # (B,T,H,W,C), float64
        last = model.to(dtype="float64").unroll(frames, truth=np.ones((4, STEPS)))[:, -1]
        last.backward(rng.standard_normal(last.shape))
        logs.append(0.5 * np.log((frames.grad ** 2).sum(axis=(0, 2, 3, 4))))  # (T,)
    mean = np.mean(logs, axis=0)
    return np.exp(mean - mean[-1])


flows = {name: gradient_along_time(name) for name in ("convlstm", "predrnn_m")}
for name, flow in flows.items():
    print(f"{name:10} frame 1: {flow[0]:.1e}   frame 10: {flow[9]:.1e}   frame 20: {flow[19]:.1e}")
#> convlstm   frame 1: 6.9e+00   frame 10: 1.4e+01   frame 20: 1.0e+00
#> predrnn_m  frame 1: 1.0e-08   frame 10: 5.2e-05   frame 20: 1.0e+00

# %% [markdown]
# In the stack, frame 1 still counts, more than the last frame. In the zigzag its gradient is eight orders of magnitude smaller.
#
# Both can be foretold on the back of an envelope. A cell multiplies what its memory held by its forget gate. A fresh network has a forget
# bias of 1 and small weights, so $f$ is about $\sigma(1)$. From frame $t$ to frame 20 it is $n = 20 - t$ steps. The stack's memory
# passes $n$ such gates on each of its routes, of which there are "choose 3 of $n + 3$"; the zigzag's passes $4n$ on its one route:

# %%
sigma = 1 / (1 + np.exp(-1.0))
for t in (1, 10):
    after = STEPS - t
    print(f"frame {t:2}: stack {comb(after + 3, 3) * sigma ** after:.1f}, measured {flows['convlstm'][t - 1]:.1f};   "
          f"zigzag {sigma ** (4 * after):.0e}, measured {flows['predrnn_m'][t - 1]:.0e}")
#> frame  1: stack 4.0, measured 6.9;   zigzag 5e-11, measured 1e-08
#> frame 10: stack 12.5, measured 13.9;   zigzag 4e-06, measured 5e-05

# %% [markdown]
# The envelope has the right shape: many routes make up for the stack's gates, and nothing does for the zigzag's. It is too low, for there
# are other ways back, through $H$ and the gates (lesson 11).
#
# Is the zigzag lost, then? No: what counts is the product of the gates, and gates are learnt. With a forget bias of 3 the same zigzag
# hardly fades:

# %%
flows["predrnn_m, forget bias 3"] = gradient_along_time("predrnn_m", forget_bias=3.0)
print(f"frame 1 with a forget bias of 3: {flows['predrnn_m, forget bias 3'][0]:.2f}")
#> frame 1 with a forget bias of 3: 0.81

# %%
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
styles = {"convlstm": ("#0072B2", "o", "stack: memory along time"), "predrnn_m": ("#D55E00", "s", "zigzag: memory across layers"),
          "predrnn_m, forget bias 3": ("#CC79A7", "^", "zigzag, forget bias 3 instead of 1")}
for name, flow in flows.items():
    colour, marker, label = styles[name]
    axes.semilogy(range(1, STEPS + 1), flow, color=colour, marker=marker, markersize=5, label=label)
axes.set(xlabel="frame t", ylabel="gradient of the last prediction by frame t\n(frame 20 = 1)", xticks=(1, 5, 10, 15, 20))
axes.grid(alpha=0.3)
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
show(figure, "gradient")

# %% [markdown]
# ### Exercise 15.3: the bias that a zigzag needs
# Which forget bias makes a zigzag of `layers` layers keep as much per step of time as one route of a stack keeps with the forget bias
# `bias`? Look at the forget gates alone, and let the weights be so small that only the bias counts.
#
# *Hint:* how many forget gates does each pass in a step? First find the gate $s$ that the zigzag needs, then solve $s = \sigma(b)$ for
# $b$.


# %%
def matching_bias(bias, layers):
    # <solution>
    gate = (1 / (1 + np.exp(-bias))) ** (1 / layers)
    return np.log(gate / (1 - gate))
    # </solution>


check("15.3", lambda: [matching_bias(1.0, 4), matching_bias(0.5, 2), matching_bias(2.0, 1)], [2.50759748, 1.31867345, 2.0])

# %% [markdown]
# So there are two wishes. A short way along **time**, so that gradients last; and a way across **layers**, so that the bottom knows what
# the top knew. Either stack grants one of them. The next lesson grants both.
#
# ## What you have now
# - The cell of Equation 3: `tinypredrnn/cells.py`, `ZigzagConvLSTM`; the stack, `climb`: `tinypredrnn/models/predrnn.py`, `PredRNNM`.
# - The edges: `tinypredrnn/viz/flow.py`, `edges`, from which Figures 1 and 2 are drawn, so that a picture cannot differ from the count.
# - In Table 1 of the paper the zigzag alone has an MSE of 74.0 for two digits and a stack of ConvLSTMs 103.3, vanishing gradient or not.
# - The successor of this paper, PredRNN++ (ICML 2018), attacks the same long route with a "gradient highway" beside it. Deep networks
#   everywhere shorten routes with skip connections; Transformers reach every earlier step in one.
