# %% [markdown]
# # 15. A memory that zigzags
#
# - **Idea:** one memory climbs through all layers and then moves on in time; a graph shows how long each route is, and
#   the gradient fades with its length.
# - **Minutes:** 45
# - **Needs:** lessons 11 (gates), 12 (ConvLSTM) and 13 (sequence to sequence).
# - **You will see:** a top layer whose knowledge never reaches the bottom layer; routes of 23 and of 80 cells through
#   the same twenty frames; and a gradient that shrinks by a factor of 100 million over the longer route.
# - **Why:** in a stack of ConvLSTMs the bottom layer sees the frame, but it never learns what the top layer made of
#   earlier frames.

# %%
from math import comb

import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show
from tinypredrnn.viz import COLOURS
from tinypredrnn.viz.flow import draw_stack, edges

# %% [markdown]
# ## The bottom layer learns nothing from the top
# In a stack of ConvLSTMs, each layer keeps its own memory $\mathcal{C}$, which moves along time, from left to right.
# Only hidden states move up.

# %%
show(draw_stack("convlstm"), "stack")

# %% [markdown]
# The top layer has the most complete view of what is going on. Does any of it reach the bottom layer? Let us take one
# step of a stack of two layers and ask for the gradient of the **bottom** layer's new memory with respect to all
# previous states.
#
# The four states are leaves here, so each of them gets a gradient, or `None` if no route leads from it.

# %%
rng = np.random.default_rng(0)


def states(count, width=4):
    """`count` random states of a small network: (B,H,W,K)"""
    return [tp.tensor(rng.standard_normal((1, 4, 4, width)), requires_grad=True) for _ in range(count)]


def sources(new, old):
    """The names of the `old` states, {name: Tensor}, from which a route leads to the tensor `new`."""
    new.backward(rng.standard_normal(new.shape))
    return [name for name, state in old.items() if state.grad is not None]


options = {"size": (8, 8), "hidden": (4, 4), "kernel": 3, "patch": 2, "seed": 1}
stack = tp.build_model("convlstm", **options).to(dtype="float64")
frame = tp.tensor(rng.random((1, 4, 4, 4)))  # (B,H,W,X): one frame of 8x8 pixels, cut into patches of 2x2
h1, c1, h2, c2 = states(4)
_, ((_, new_c1), (_, new_c2)) = stack.step_cells(frame, [(h1, c1), (h2, c2)])
print("layer 1 depends on", sources(new_c1, {"H1": h1, "C1": c1, "H2": h2, "C2": c2}))
#> layer 1 depends on ['H1', 'C1']

# %% [markdown]
# Nothing comes from layer 2. The paper says so in Section 2.2: "the bottom layer would totally ignore what had been
# memorized by the top layer at the previous time step".
#
# ## The zigzag
# Section 3.1 changes the connections. There is **one** memory, now called $\mathcal{M}$. It enters at the bottom, every
# layer updates it, and from the top it goes to the bottom layer of the next time step. The hidden state takes the same
# route. This is Figure 1 (left) of the paper. Follow the memory, arrow by arrow:

# %%
figure = draw_stack("predrnn_m")
memory = [patch for patch in figure.axes[0].patches if patch.get_gid() == "M"]  # its arrows, in the order of its route


def climb(t):
    for number, arrow in enumerate(memory):
        arrow.set_alpha(1 if number <= t else 0.15)


show(figure, "zigzag", climb, frames=len(memory))

# %% [markdown]
# Each cell is the ConvLSTM of lesson 12, but the memory that it updates comes from the layer below, not from the
# previous time step. Equation 3, for layer $l$:
#
# $$g = \tanh(W_{xg} * X_t \,[l = 1] + W_{hg} * H_t^{l-1} + b_g)$$
# $$i = \sigma(W_{xi} * X_t \,[l = 1] + W_{hi} * H_t^{l-1} + W_{mi} \odot M_t^{l-1} + b_i)$$
# $$f = \sigma(W_{xf} * X_t \,[l = 1] + W_{hf} * H_t^{l-1} + W_{mf} \odot M_t^{l-1} + b_f)$$
# $$M_t^l = f \odot M_t^{l-1} + i \odot g$$
# $$o = \sigma(W_{xo} * X_t \,[l = 1] + W_{ho} * H_t^{l-1} + W_{mo} \odot M_t^l + b_o)$$
# $$H_t^l = o \odot \tanh(M_t^l)$$
#
# $[l = 1]$ means that only the bottom layer sees the frame. For this layer, $H_t^0$ and $M_t^0$ are $H_{t-1}^L$ and
# $M_{t-1}^L$: the states of the top layer at the previous step. In code, with the four convolutions done as one, as in
# lesson 12:


# %%
def zigzag_cell(w, x, h, m):
    """Equation 3: h, m of the layer below -> h, m of this layer. w: a cell with the weights; x: None above layer 1"""
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
# ### Exercise 15.1: through the stack (medium, 10 minutes)
# With `zigzag_cell`, pass `h` and `m` through all `cells` for all `frames`, as the picture shows. Both start as zeros.
# Return the list of the top layer's `h`, one for each frame.
#
# *Hint:* you need two loops. Is the outer loop over the frames or over the cells? And which cells get `None` instead of
# the frame?


# %%
def unroll(cells, frames, h, m):
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
    features, state = zigzag.step_cells(x, state)
    expected.append(features)
check("15.1", lambda: unroll(zigzag.cells, frames, nothing, nothing), expected)

# %% [markdown]
# Now the top layer's states reach the bottom layer. It no longer has a state of its own:

# %%
h2, m2 = states(2)
_, (_, new_m1) = zigzag.cells[0](frame, (h2, m2))
print("layer 1 depends on", sources(new_m1, {"H2": h2, "M2": m2}))
#> layer 1 depends on ['H2', 'M2']

# %% [markdown]
# ## The price: counting cells
# The network remembers a frame by passing it from cell to cell, and every cell changes it a little. So we count cells.
# For each cell, named by (time, layer), list the cells that receive its states. We begin with the conventional stack of
# Figure 1 (right), whose arrows go up and along time.


# %%
def after_in_stack(t, layer, layers, steps):
    """The cells that receive the states of cell (t, layer); both count from 1."""
    up = [(t, layer + 1)] if layer < layers else []
    along = [(t + 1, layer)] if t < steps else []
    return up + along


print(after_in_stack(1, 1, layers=4, steps=20))
print(after_in_stack(1, 4, layers=4, steps=20))
#> [(1, 2), (2, 1)]
#> [(2, 4)]

# %% [markdown]
# ### Exercise 15.2: the edges of the zigzag (easy, 5 minutes)
# Do the same for the zigzag of Figure 1 (left).
#
# *Hint:* every cell has one successor, except the very last, which has none: `[]`. Follow the orange arrow with a
# finger.


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
# The pictures above were drawn from such lists: `edges` has an entry (what, from, to) for every arrow. From these we
# find the cells that follow each cell. A route leads from cell (1, 1), which sees frame 1, to the top cell of the last
# step, which makes the last prediction. We work backwards from the end: the routes that begin at a cell are the routes
# of the cells that follow it, each one cell longer.


# %%
def routes(kind, layers, steps):
    """The routes from frame 1 to the last prediction: (cells on the shortest, on the longest, number of routes)"""
    cells = [(t, layer) for t in range(1, steps + 1) for layer in range(1, layers + 1)]
    following = {cell: set() for cell in cells}
    for _, start, end in edges(kind, layers, steps):
        if start in following and end in following:  # an arrow between two cells
            following[start].add(end)
    routes_from = {}
    for cell in reversed(cells):
        after = [routes_from[end] for end in following[cell]]
        shortest, longest, number = zip(*after) if after else ((0,), (0,), (1,))
        routes_from[cell] = (1 + min(shortest), 1 + max(longest), sum(number))
    return routes_from[1, 1]


print("stack: ", routes("convlstm", layers=4, steps=20))
print("zigzag:", routes("predrnn_m", layers=4, steps=20))
print("choose 3 of 22:", comb(22, 3))
#> stack:  (23, 23, 1540)
#> zigzag: (80, 80, 1)
#> choose 3 of 22: 1540

# %% [markdown]
# In the stack every route has 23 cells: it goes three layers up and nineteen steps along, and there are 1540 ways to
# order these moves. In the zigzag there is no choice: the only route goes through every cell there is, 4 layers times
# 20 steps.
#
# Section 3.2 names the price: the zigzag "is prone to vanishing gradient since the memory needs to flow a longer path
# between distant states". We can measure how prone.
#
# ## How the gradient fades
# We give twenty frames of noise to two untrained networks of four layers. How much does the last prediction change if a
# pixel of frame $t$ changes a little? This is the gradient of the last output with respect to frame $t$. For each $t$
# we plot the norm of this gradient, divided by the norm for frame 20. The output has many numbers; a random cotangent
# mixes them into one (lesson 4). We average the logarithms over three seeds.

# %%
LAYERS, STEPS = 4, 20


def gradient_along_time(name, forget_bias=1.0, seeds=(0, 1, 2)):
    """(STEPS,): the norm of d(last output) / d(frame t), relative to that of the last frame"""
    logs = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        model = tp.build_model(name, size=(8, 8), hidden=(8,) * LAYERS, kernel=3, patch=2, seed=seed,
                               forget_bias=forget_bias)
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
# In the stack, frame 1 still counts, even more than frame 20. In the zigzag, the gradient for frame 1 is eight orders
# of magnitude smaller than for frame 20.
#
# A back-of-the-envelope estimate predicts both. A cell multiplies the old contents of its memory by its forget gate. An
# untrained network has a forget bias of 1 and small weights, so $f$ is about $\sigma(1)$. From frame $t$ to frame 20
# there are $n = 20 - t$ steps. In the stack, the memory passes $n$ such gates on each of its routes, and the number of
# routes is "choose 3 of $n + 3$". In the zigzag, it passes $4n$ gates on its only route:

# %%
sigma = 1 / (1 + np.exp(-1.0))
for t in (1, 10):
    n = STEPS - t
    print(f"frame {t:2}: stack {comb(n + 3, 3) * sigma ** n:.1f}, measured {flows['convlstm'][t - 1]:.1f};   "
          f"zigzag {sigma ** (4 * n):.0e}, measured {flows['predrnn_m'][t - 1]:.0e}")
#> frame  1: stack 4.0, measured 6.9;   zigzag 5e-11, measured 1e-08
#> frame 10: stack 12.5, measured 13.9;   zigzag 4e-06, measured 5e-05

# %% [markdown]
# The estimate has the right shape: the stack's many routes make up for its gates, and nothing makes up for the
# zigzag's. The estimate is too low, because the gradient also has other ways back, through $H$ and the gates (lesson
# 11).
#
# Is the zigzag useless, then? No: what counts is the product of the gates, and gates are learnt. With a forget bias of
# 3 the gradient of the same zigzag hardly fades:

# %%
flows["predrnn_m, forget bias 3"] = gradient_along_time("predrnn_m", forget_bias=3.0)
print(f"frame 1 with a forget bias of 3: {flows['predrnn_m, forget bias 3'][0]:.2f}")
#> frame 1 with a forget bias of 3: 0.81

# %%
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
styles = {"convlstm": ("C", "o-", "stack: memory along time"),
          "predrnn_m": ("M", "s-", "zigzag: memory across layers"),
          "predrnn_m, forget bias 3": ("M", "^--", "zigzag, forget bias 3 instead of 1")}
for name, flow in flows.items():
    memory, style, label = styles[name]
    axes.semilogy(range(1, STEPS + 1), flow, style, color=COLOURS[memory], markersize=5, label=label)
axes.set(xlabel="frame t", ylabel="gradient norm of the last prediction\nwith respect to frame t (frame 20 = 1)",
         xticks=(1, 5, 10, 15, 20))
axes.grid(alpha=0.3)
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
show(figure, "gradient")

# %% [markdown]
# ### Exercise 15.3: the bias that a zigzag needs (stretch, 15 minutes)
# A stack with the forget bias `bias` keeps a certain fraction of its memory per time step, along one route. Which
# forget bias lets a zigzag of `layers` layers keep the same fraction? Consider the forget gates alone, and let the
# weights be so small that only the bias matters.
#
# *Hint:* how many forget gates does each of them pass in one time step? First find the gate $s$ that the zigzag needs,
# then solve $s = \sigma(b)$ for $b$.


# %%
def matching_bias(bias, layers):
    # <solution>
    gate = (1 / (1 + np.exp(-bias))) ** (1 / layers)
    return np.log(gate / (1 - gate))
    # </solution>


check("15.3", lambda: [matching_bias(1.0, 4), matching_bias(0.5, 2), matching_bias(2.0, 1)],
      [2.50759748, 1.31867345, 2.0])

# %% [markdown]
# So we want two things: a short route along **time**, so that gradients last, and a route across **layers**, so that
# the bottom layer knows what the top layer knew. Each of the two networks offers only one of them. The next lesson
# offers both.
#
# ## What you have now
# - The cell of Equation 3: `tinypredrnn/cells.py`, `ZigzagConvLSTM`; the stack, `step_cells`:
#   `tinypredrnn/models/predrnn.py`, `PredRNNM`.
# - The edges: `tinypredrnn/viz/flow.py`, `edges`. Figures 1 and 2 are drawn from them, so the pictures cannot disagree
#   with the counts.
# - In Table 1 of the paper the zigzag alone has an MSE of 74.0 for two digits, and a stack of ConvLSTMs 103.3, in spite
#   of the vanishing gradient.
# - The next paper, PredRNN++ (ICML 2018), adds a "gradient highway" that bypasses the same long route. Deep networks
#   everywhere shorten routes with skip connections; a Transformer reaches every earlier step directly.
