# %% [markdown]
# # 16. The ST-LSTM
#
# - **Idea:** a cell with two memories: one goes along time, the other climbs the layers, and what the cell shows is made of both.
# - **Minutes:** 45
# - **Needs:** lesson 15.
# - **You will see:** Equation 4, line by line, equal to the package's cell; routes of 23 and of 80 cells in one network; the gradient of
#   the first frame 100,000 times as large as in the zigzag; and where 23.8 million parameters are.
# - **Why:** the zigzag of lesson 15 tells the bottom layer what the top one knew, and forgets the first frames on its long way.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show
from tinypredrnn.viz.flow import draw_st_lstm, draw_stack, edges

# %% [markdown]
# ## Both ways at once
# Section 3.2 warns that "dropping the temporal flow in the horizontal direction is prone to sacrificing temporal coherency", and brings
# that flow back: each layer has its $\mathcal{C}$ again, and $\mathcal{M}$ zigzags all the same. This is Figure 2 (right) of the paper:

# %%
show(draw_stack("predrnn"), "stack")

# %% [markdown]
# So the unit needs two memories. It is the spatiotemporal LSTM, ST-LSTM. Figure 2 (left):

# %%
show(draw_st_lstm(), "unit")

# %% [markdown]
# Read it in three parts.
#
# - **Above, in blue:** a ConvLSTM. The frame (or the hidden state of the layer below) and the own hidden state of the time before make
#   three gates, and these write $\mathcal{C}$.
# - **Below, in orange:** the same a second time, with gates of its own, for $\mathcal{M}$. Where the blue half looks at
#   $\mathcal{H}_{t-1}^l$, this one looks at the memory $\mathcal{M}_t^{l-1}$ itself.
# - **At the right, in green:** one output gate for both. It decides how much is shown of a mixture of both memories, made by a 1x1
#   convolution.
#
# A small cell to work with, of the package, in float64. `channels` is the width of what comes from below:

# %%
CHANNELS, HIDDEN, MEMORY = 2, 3, 4
rng = np.random.default_rng(0)
cell = tp.cells.STLSTM(CHANNELS, HIDDEN, MEMORY, kernel=3, rng=rng).to(dtype="float64")
for _, t in cell.named_tensors():
    t.data[...] = rng.standard_normal(t.shape) / 3  # biases, too: zeros would hide mistakes

x, h, c, m = (tp.tensor(rng.standard_normal((2, 5, 4, width))) for width in (CHANNELS, HIDDEN, HIDDEN, MEMORY))  # (B,H,W,...)
new_h, (_, new_c, new_m) = cell(x, (h, c, m))

# %% [markdown]
# ## One convolution for many
# As in lesson 12, the package puts inputs side by side and makes all gates of a group at once. We cut its weights (k,k,in,out) apart, gates
# along the last axis and inputs along the one before, and give each piece the name that it has in Equation 4. The output gate is in two
# groups: one sees $[X_t, H_{t-1}]$, the other both memories, and their biases add up.


# %%
def weights_by_name(cell, channels, hidden):
    """{"W_xg": (k,k,X,K), ..., "b_g": (K,), ...} of an STLSTM; a prime (') marks those of M's gates"""
    w = {}
    for gates, letters, other, prime in ((cell.from_xh, "ifgo", "h", ""), (cell.from_xm, "ifg", "m", "'")):
        kernels = np.split(gates.weight.data, len(letters), axis=-1)  # one for each gate: (k,k,X+K,K)
        for letter, kernel, bias in zip(letters, kernels, np.split(gates.bias.data, len(letters))):
            w[f"W{prime}_x{letter}"], w[f"W_{other}{letter}"] = kernel[:, :, :channels], kernel[:, :, channels:]
            w[f"b{prime}_{letter}"] = bias
    w["W_co"], w["W_mo"] = cell.from_cm.weight.data[:, :, :hidden], cell.from_cm.weight.data[:, :, hidden:]
    w["b_o"] = w["b_o"] + cell.from_cm.bias.data
    w["W_1x1"] = cell.fuse_cm.data
    return w


w = weights_by_name(cell, CHANNELS, HIDDEN)
conv = tp.conv2d
i, f, g, o = cell.from_xh(x, h)
print("g before its tanh:", np.allclose(g.data, (conv(x, w["W_xg"]) + conv(h, w["W_hg"]) + w["b_g"]).data))
#> g before its tanh: True

# %% [markdown]
# ## The memory along time
# The first four lines of Equation 4 are the ConvLSTM of lesson 12 without peepholes:


# %%
def along_time(w, x, h, c):
    g = tp.tanh(conv(x, w["W_xg"]) + conv(h, w["W_hg"]) + w["b_g"])
    i = tp.sigmoid(conv(x, w["W_xi"]) + conv(h, w["W_hi"]) + w["b_i"])
    f = tp.sigmoid(conv(x, w["W_xf"]) + conv(h, w["W_hf"]) + w["b_f"])
    return f * c + i * g  # C_t^l


print("C as in the package:", np.allclose(along_time(w, x, h, c).data, new_c.data))
#> C as in the package: True

# %% [markdown]
# ### Exercise 16.1: the memory across layers
# Lines five to eight of Equation 4. Their gates have a prime, and look at $X_t$ and at $M_t^{l-1}$:
#
# $$g' = \tanh(W'_{xg} * X_t + W_{mg} * M_t^{l-1} + b'_g)$$
# $$i' = \sigma(W'_{xi} * X_t + W_{mi} * M_t^{l-1} + b'_i)$$
# $$f' = \sigma(W'_{xf} * X_t + W_{mf} * M_t^{l-1} + b'_f)$$
# $$M_t^l = f' \odot M_t^{l-1} + i' \odot g'$$
#
# (The paper prints $M_{t-1}^{l-1}$ here. Its text says that $M_t^{l-1}$ is meant: it comes "from the $l-1$ layer to the current node at the
# same time step".)
#
# *Hint:* `w` has the names `"W'_xg"`, `"W_mg"`, `"b'_g"` and so on. `h` and `c` do not occur.


# %%
def across_layers(w, x, m):
    # <solution>
    g = tp.tanh(conv(x, w["W'_xg"]) + conv(m, w["W_mg"]) + w["b'_g"])
    i = tp.sigmoid(conv(x, w["W'_xi"]) + conv(m, w["W_mi"]) + w["b'_i"])
    f = tp.sigmoid(conv(x, w["W'_xf"]) + conv(m, w["W_mf"]) + w["b'_f"])
    return f * m + i * g
    # </solution>


check("16.1", lambda: across_layers(w, x, m), new_m)

# %% [markdown]
# ## One output gate for both
# The last two lines. The output gate sees all four: frame, hidden state, and both memories, already renewed. The 1x1 convolution brings
# both memories, side by side, down to the width of the hidden state:


# %%
def output(w, x, h, c, m):
    o = tp.sigmoid(conv(x, w["W_xo"]) + conv(h, w["W_ho"]) + conv(c, w["W_co"]) + conv(m, w["W_mo"]) + w["b_o"])
    return o * tp.tanh(conv(tp.concat(c, m), w["W_1x1"]))  # H_t^l


print("H as in the package:", np.allclose(output(w, x, h, new_c, new_m).data, new_h.data))
#> H as in the package: True

# %% [markdown]
# That is all of it: three gates for each memory, one gate for what is shown, and a 1x1 convolution.
#
# ### Exercise 16.2: the stack
# One step of time through all `cells`, bottom first. `states` holds a pair `(h, c)` for each layer; `m` is the memory of the top layer at
# the time before. Return the top layer's new `h`, the list of new pairs, and the `m` that the next step begins with.
#
# A cell is called as `h, (h, c, m) = cell(x, (h, c, m))`.
#
# *Hint:* two things travel upwards, and the picture shows which. Everything else stays in its layer.


# %%
def step(cells, x, states, m):
    # <solution>
    new = []
    for cell, (h, c) in zip(cells, states):
        x, (h, c, m) = cell(x, (h, c, m))
        new.append((h, c))
    return x, new, m
    # </solution>


network = tp.build_model("predrnn", size=(8, 8), hidden=(3, 5, 4), kernel=3, patch=2, seed=2).to(dtype="float64")
patches = tp.tensor(rng.standard_normal((2, 4, 4, 4)))  # (B,H,W,X)
states = [tuple(tp.tensor(rng.standard_normal((2, 4, 4, k))) for _ in "hc") for k in (3, 5, 4)]
top_m = tp.tensor(rng.standard_normal((2, 4, 4, 3)))  # M has one width everywhere, that of layer 1
features, (new_states, next_m) = network.step(patches, (states, top_m))
check("16.2", lambda: step(network.cells, patches, states, top_m), (features, new_states, next_m))

# %% [markdown]
# ## Short routes and long ones
# In lesson 15 a frame had 23 cells to go in a stack and 80 in a zigzag. The same function counts for this network:


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


for kind in ("convlstm", "predrnn_m", "predrnn"):
    print(f"{kind:10} {routes(kind, layers=4, steps=20)}")
#> convlstm   (23, 23, 1540)
#> predrnn_m  (80, 80, 1)
#> predrnn    (23, 80, 62477347458)

# %% [markdown]
# Both ways are open now, the short one and the long one, and 62 billion mixtures of them. What does the gradient make of it? The
# measurement of lesson 15, for all three:

# %%
LAYERS, STEPS = 4, 20


def gradient_along_time(name, seeds=(0, 1, 2)):
    """(STEPS,): length of d(last output) / d(frame t), relative to that of the last frame"""
    logs = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        model = tp.build_model(name, size=(8, 8), hidden=(8,) * LAYERS, kernel=3, patch=2, seed=seed)
        frames = tp.tensor(rng.random((4, STEPS, 8, 8, 1)), requires_grad=True)  # (B,T,H,W,C), float64
        last = model.to(dtype="float64").unroll(frames, truth=np.ones((4, STEPS)))[:, -1]
        last.backward(rng.standard_normal(last.shape))
        logs.append(0.5 * np.log((frames.grad ** 2).sum(axis=(0, 2, 3, 4))))  # (T,)
    mean = np.mean(logs, axis=0)
    return np.exp(mean - mean[-1])


flows = {name: gradient_along_time(name) for name in ("convlstm", "predrnn_m", "predrnn")}
for name, flow in flows.items():
    print(f"{name:10} frame 1: {flow[0]:.1e}   kept per step of time, frames 1 to 10: {(flow[0] / flow[9]) ** (1 / 9):.2f}")
print(f"predrnn against predrnn_m: {flows['predrnn'][0] / flows['predrnn_m'][0]:.1e} times")
#> convlstm   frame 1: 6.9e+00   kept per step of time, frames 1 to 10: 0.93
#> predrnn_m  frame 1: 1.0e-08   kept per step of time, frames 1 to 10: 0.39
#> predrnn    frame 1: 1.0e-03   kept per step of time, frames 1 to 10: 0.78
#> predrnn against predrnn_m: 1.0e+05 times

# %%
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
styles = {"convlstm": ("#0072B2", "o", "ConvLSTM: C along time"), "predrnn_m": ("#D55E00", "s", "zigzag: M across layers"),
          "predrnn": ("#009E73", "^", "PredRNN: both")}
for name, (colour, marker, label) in styles.items():
    axes.semilogy(range(1, STEPS + 1), flows[name], color=colour, marker=marker, markersize=5, label=label)
axes.set(xlabel="frame t", ylabel="gradient of the last prediction by frame t\n(frame 20 = 1)", xticks=(1, 5, 10, 15, 20))
axes.grid(alpha=0.3)
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
show(figure, "gradient")

# %% [markdown]
# Read the PredRNN's line from the right. For the last three frames it is nearly the zigzag's. Farther back the short ways take over: a
# step of time keeps 0.78, about one forget gate, $\sigma(1) = 0.73$, where the zigzag keeps 0.39. It stays below the ConvLSTM's; but
# over long times it is the slope that counts.
#
# ## What it costs: counting parameters
# A convolution of a $k \times k$ kernel from $n$ to $m$ channels has $k^2 n m$ weights, and $m$ biases if it has any. For the two halves of
# the small cell above:

# %%
k, X, K, M = 3, CHANNELS, HIDDEN, MEMORY
print(k * k * (X + K) * 4 * K + 4 * K, sum(t.size for _, t in cell.from_xh.named_tensors()))
print(k * k * (X + M) * 3 * M + 3 * M, sum(t.size for _, t in cell.from_xm.named_tensors()))
#> 552 552
#> 660 660

# %% [markdown]
# ### Exercise 16.3: the parameters of an ST-LSTM
# How many parameters does a cell have, for `channels` from below, `hidden` and `memory` channels of its own, and kernels of side `kernel`?
#
# *Hint:* four convolutions, and the lines above have two of them. Which two take $[\mathcal{C}, \mathcal{M}]$? In the package the one for
# the output gate has a bias of its own, and the 1x1 convolution has none.


# %%
def count_parameters(channels, hidden, memory, kernel):
    # <solution>
    from_xh = kernel ** 2 * (channels + hidden) * 4 * hidden + 4 * hidden
    from_xm = kernel ** 2 * (channels + memory) * 3 * memory + 3 * memory
    from_cm = kernel ** 2 * (hidden + memory) * hidden + hidden
    return from_xh + from_xm + from_cm + (hidden + memory) * hidden
    # </solution>


sizes = ((2, 3, 4, 3), (16, 8, 8, 5), (7, 5, 1, 1))
truth = [tp.cells.STLSTM(*widths, rng=rng).count_parameters() for widths in sizes]
check("16.3", lambda: [count_parameters(*widths) for widths in sizes], truth)

# %% [markdown]
# The networks of the paper have four layers of 128 (Section 4.1). Kernels of 5x5 and patches of 4x4 pixels are from the authors' code:

# %%
for name in ("convlstm", "predrnn_m", "predrnn"):
    network = tp.build_model(name, size=(64, 64), hidden=(128,) * 4, kernel=5, patch=4)
    print(f"{name:10} {network.count_parameters():12,}")
parts = {}
for name, t in network.named_tensors():  # of the last one
    part = name.split(".")[2] if name.startswith("cells") else "to_frame"
    parts[part] = parts.get(part, 0) + t.size
for part, number in parts.items():
    print(f"  {part:8} {number:12,}")
#> convlstm     12,070,928
#> predrnn_m     7,155,728
#> predrnn      23,842,832
#>   to_frame        2,064
#>   from_xh    11,675,648
#>   from_xm     8,756,736
#>   from_cm     3,277,312
#>   fuse_cm       131,072

# %% [markdown]
# Keep this in mind when reading Table 1 of the paper. Its networks are equally **wide**; the PredRNN has twice the parameters of the
# ConvLSTM. The zigzag, on the other hand, has the fewest of all and is still better than the ConvLSTM (74.0 against 103.3).
#
# The peepholes $W_{ci} \odot \mathcal{C}$ of a ConvLSTM have a number for each place, so they fix the size of the frames. The ST-LSTM
# has none, and takes any size:

# %%
small = {"size": (16, 16), "hidden": (4, 4), "kernel": 3, "patch": 4}
wide_frames = np.zeros((1, 3, 16, 32, 1), np.float32)
print(tp.build_model("predrnn", **small)(wide_frames, horizon=2).shape)
try:
    tp.build_model("convlstm", **small)(wide_frames, horizon=2)
except tp.errors.ShapeError as error:
    print(error)
#> (1, 2, 16, 32, 1)
#> model: its peepholes are made for frames of 16x16, got 16x32: build it with the size of the frames

# %% [markdown]
# ### Exercise 16.4: back to the ConvLSTM
# An ST-LSTM can do all that a ConvLSTM without peepholes can: $H = o \odot \tanh(C)$, with an $o$ that looks at $X_t$ and $H_{t-1}$ only.
# Set weights of `cell` so that it does just this. `t.data[...] = value` sets all of a tensor `t`, `t.data[0, 0, :n] = value` a part;
# `np.eye(K)` is the matrix that leaves $K$ channels as they are.
#
# *Hint:* both memories meet in two places, `cell.from_cm` (a `weight` and a `bias`) and `cell.fuse_cm`, whose shape is
# $(1, 1, K + M, K)$. What must each do with $\mathcal{M}$, and what with $\mathcal{C}$?


# %%
def ignore_m(cell, hidden):
    # <solution>
    cell.from_cm.weight.data[...] = 0
    cell.from_cm.bias.data[...] = 0
    cell.fuse_cm.data[0, 0, :hidden] = np.eye(hidden)
    cell.fuse_cm.data[0, 0, hidden:] = 0
    # </solution>
    return cell


def fresh_cells():
    """An ST-LSTM, and a ConvLSTM with the same gates on [x, h]"""
    rng = np.random.default_rng(3)
    st_lstm = tp.cells.STLSTM(CHANNELS, HIDDEN, MEMORY, kernel=3, rng=rng).to(dtype="float64")
    st_lstm.from_cm.bias.data[...] = rng.standard_normal(HIDDEN)
    conv_lstm = tp.cells.ConvLSTM(CHANNELS, HIDDEN, kernel=3, size=(5, 4), rng=rng).to(dtype="float64")
    conv_lstm.load_state_dict(conv_lstm.state_dict() | {f"from_xh.{n}": t.data for n, t in st_lstm.from_xh.named_tensors()})
    return st_lstm, conv_lstm


check("16.4", lambda: ignore_m(fresh_cells()[0], HIDDEN)(x, (h, c, m))[0], fresh_cells()[1](x, (h, c))[0])

# %% [markdown]
# So whatever a ConvLSTM can learn, an ST-LSTM of the same width can learn as well. Whether it learns **better** is another question, and
# the next lesson trains it.
#
# ## What you have now
# - The cell, with its equations above it: `tinypredrnn/cells.py`, `STLSTM`; its three groups of gates: `tinypredrnn/cells.py`, `Gates`.
# - The stack of exercise 16.2: `tinypredrnn/models/predrnn.py`, `PredRNN`; from cells to frames: `tinypredrnn/models/predictor.py`,
#   `Predictor`.
# - Both pictures: `tinypredrnn/viz/flow.py`, `draw_st_lstm`, and the same file, `draw_stack`.
# - Real systems do the same stacking of gates into one convolution. The authors' PyTorch code has five convolutions for one cell, without
#   biases; `tinypredrnn/models/official.py`, `import_official` takes its weights over. cuDNN does all gates of an LSTM in one matrix
#   product.
