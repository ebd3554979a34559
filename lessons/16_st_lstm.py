# %% [markdown]
# # 16. The ST-LSTM
#
# - **Idea:** a cell with two memories: one moves along time, the other climbs through the layers, and the cell's output
#   is made of both.
# - **Minutes:** 45
# - **Needs:** lesson 15.
# - **You will see:** Equation 4, line by line, equal to the package's cell; routes of 23 and of 80 cells in one
#   network; the gradient with respect to the first frame 100,000 times as large as in the zigzag; and how the 23.8
#   million parameters are distributed.
# - **Why:** the zigzag of lesson 15 tells the bottom layer what the top layer knew, but on its long route it forgets
#   the first frames.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show
from tinypredrnn.viz import COLOURS
from tinypredrnn.viz.flow import draw_st_lstm, draw_stack, edges

# %% [markdown]
# ## Both routes at once
# Section 3.2 warns that "dropping the temporal flow in the horizontal direction is prone to sacrificing temporal
# coherency", and brings this flow back: each layer has its own $\mathcal{C}$ again, and $\mathcal{M}$ still zigzags.
# This is Figure 2 (right) of the paper:

# %%
show(draw_stack("predrnn"), "stack")

# %% [markdown]
# So the unit needs two memories. It is called the spatiotemporal LSTM, or ST-LSTM. Figure 2 (left):

# %%
show(draw_st_lstm(), "unit")

# %% [markdown]
# The unit has three parts.
#
# - **Above, in blue:** a ConvLSTM. The frame (or the hidden state of the layer below) and the layer's own hidden state
#   from the previous step make three gates, and these update $\mathcal{C}$.
# - **Below, in orange:** the same again for $\mathcal{M}$, with gates of its own. The blue half looks at
#   $\mathcal{H}_{t-1}^l$; the orange half looks at the memory $\mathcal{M}_t^{l-1}$ itself.
# - **On the right, in green:** one output gate for both memories. A 1x1 convolution mixes the memories, and the gate
#   decides how much of the mixture becomes the output.
#
# To work with, we take a small cell of the package, in float64. `channels` is the number of channels that come from
# below:

# %%
CHANNELS, HIDDEN, MEMORY = 2, 3, 4
rng = np.random.default_rng(0)
cell = tp.cells.STLSTM(CHANNELS, HIDDEN, MEMORY, kernel=3, rng=rng).to(dtype="float64")
for _, t in cell.named_tensors():
    t.data[...] = rng.standard_normal(t.shape) / 3  # biases as well: zeros would hide mistakes

widths = (CHANNELS, HIDDEN, HIDDEN, MEMORY)
x, h, c, m = (tp.tensor(rng.standard_normal((2, 5, 4, width))) for width in widths)  # (B,H,W,width)
new_h, (_, new_c, new_m) = cell(x, (h, c, m))

# %% [markdown]
# ## One convolution for many
# As in lesson 12, the package concatenates the inputs and computes all gates of a group with one convolution. We cut
# its weights (k,k,in,out) into pieces, by gates along the last axis and by inputs along the axis before it, and give
# each piece its name in Equation 4. The output gate belongs to two groups: one sees $[X_t, H_{t-1}]$, the other both
# memories, and their biases add up.


# %%
def weights_by_name(cell, channels, hidden):
    """{"W_xg": (k,k,X,K), ..., "b_g": (K,), ...} of an STLSTM; a prime (') marks the weights of M's gates"""
    w = {}
    for gates, letters, other, prime in ((cell.from_xh, "ifgo", "h", ""), (cell.from_xm, "ifg", "m", "'")):
        kernels = np.split(gates.weight.data, len(letters), axis=-1)  # one for each gate: (k,k,X+K,K)
        for letter, kernel, bias in zip(letters, kernels, np.split(gates.bias.data, len(letters))):
            w[f"W{prime}_x{letter}"], w[f"W_{other}{letter}"] = kernel[:, :, :channels], kernel[:, :, channels:]
            w[f"b{prime}_{letter}"] = bias
    w["W_co"], w["W_mo"] = cell.from_cm.weight.data[:, :, :hidden], cell.from_cm.weight.data[:, :, hidden:]
    w["b_o"] = w["b_o"] + cell.from_cm.bias.data
    w["W_1x1"] = cell.merge_cm.data
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
# ### Exercise 16.1: the memory across layers (easy, 5 minutes)
# Write lines five to eight of Equation 4. Their gates have a prime, and depend on $X_t$ and on $M_t^{l-1}$:
#
# $$g' = \tanh(W'_{xg} * X_t + W_{mg} * M_t^{l-1} + b'_g)$$
# $$i' = \sigma(W'_{xi} * X_t + W_{mi} * M_t^{l-1} + b'_i)$$
# $$f' = \sigma(W'_{xf} * X_t + W_{mf} * M_t^{l-1} + b'_f)$$
# $$M_t^l = f' \odot M_t^{l-1} + i' \odot g'$$
#
# (The paper prints $M_{t-1}^{l-1}$ here. Its text says that $M_t^{l-1}$ is meant: it comes "from the $l-1$ layer to the
# current node at the same time step".)
#
# *Hint:* `w` has the names `"W'_xg"`, `"W_mg"`, `"b'_g"` and so on. You do not need `h` and `c`.


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
# The last two lines remain. The output gate sees all four: the frame, the hidden state, and both updated memories. A
# 1x1 convolution reduces the two memories, side by side, to the width of the hidden state:


# %%
def output(w, x, h, c, m):
    o = tp.sigmoid(conv(x, w["W_xo"]) + conv(h, w["W_ho"]) + conv(c, w["W_co"]) + conv(m, w["W_mo"]) + w["b_o"])
    return o * tp.tanh(conv(tp.concat(c, m), w["W_1x1"]))  # H_t^l


print("H as in the package:", np.allclose(output(w, x, h, new_c, new_m).data, new_h.data))
#> H as in the package: True

# %% [markdown]
# That is the whole cell: three gates for each memory, one gate for the output, and a 1x1 convolution.
#
# ### Exercise 16.2: the stack (medium, 10 minutes)
# Write one time step through all `cells`, bottom first. `states` holds a pair `(h, c)` for each layer; `m` is the top
# layer's memory from the previous step. Return the top layer's new `h`, the list of new pairs, and the `m` that the
# next step begins with.
#
# Call a cell like this: `h, (h, c, m) = cell(x, (h, c, m))`.
#
# *Hint:* two things move up through the layers, and the picture shows which. Everything else stays in its layer.


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
features, (new_states, next_m) = network.step_cells(patches, (states, top_m))
check("16.2", lambda: step(network.cells, patches, states, top_m), (features, new_states, next_m))

# %% [markdown]
# ## Short routes and long ones
# In lesson 15 a frame passed 23 cells in a stack and 80 in a zigzag. The same function counts the routes of this
# network:


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


for kind in ("convlstm", "predrnn_m", "predrnn"):
    print(f"{kind:10} {routes(kind, layers=4, steps=20)}")
#> convlstm   (23, 23, 1540)
#> predrnn_m  (80, 80, 1)
#> predrnn    (23, 80, 62477347458)

# %% [markdown]
# Both routes are open now, the short one and the long one, and 62 billion mixtures of the two. What does this do to the
# gradient? We repeat the measurement of lesson 15 for all three networks:

# %%
LAYERS, STEPS = 4, 20


def gradient_along_time(name, seeds=(0, 1, 2)):
    """(STEPS,): the norm of d(last output) / d(frame t), relative to that of the last frame"""
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
kept = {name: (flow[0] / flow[9]) ** (1 / 9) for name, flow in flows.items()}
for name, flow in flows.items():
    print(f"{name:10} frame 1: {flow[0]:.1e}   kept per time step, frames 1 to 10: {kept[name]:.2f}")
print("from the best:", *sorted(kept, key=kept.get, reverse=True))
print(f"predrnn / predrnn_m at frame 1: {flows['predrnn'][0] / flows['predrnn_m'][0]:.1e}")
#> convlstm   frame 1: 6.9e+00   kept per time step, frames 1 to 10: 0.93
#> predrnn_m  frame 1: 1.0e-08   kept per time step, frames 1 to 10: 0.39
#> predrnn    frame 1: 1.0e-03   kept per time step, frames 1 to 10: 0.78
#> from the best: convlstm predrnn predrnn_m
#> predrnn / predrnn_m at frame 1: 1.0e+05

# %%
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
styles = {"convlstm": ("C", "o-", "ConvLSTM: C along time"), "predrnn_m": ("M", "s-", "zigzag: M across layers"),
          "predrnn": ("C and M", "^-", "PredRNN: both")}
for name, (memory, style, label) in styles.items():
    axes.semilogy(range(1, STEPS + 1), flows[name], style, color=COLOURS[memory], markersize=5, label=label)
axes.set(xlabel="frame t", ylabel="gradient norm of the last prediction\nwith respect to frame t (frame 20 = 1)",
         xticks=(1, 5, 10, 15, 20))
axes.grid(alpha=0.3)
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
show(figure, "gradient")

# %% [markdown]
# Read PredRNN's line from the right. For the last three frames it nearly follows the zigzag's. Farther back the short
# routes take over: each time step keeps 0.78, about one forget gate, $\sigma(1) = 0.73$, while the zigzag keeps 0.39.
# So PredRNN rescues the zigzag, but this measure alone ranks the ConvLSTM first: at frame 1 its gradient is the
# largest, and each step keeps the most. (Untrained networks, 20 frames, the mean of three seeds.)
#
# ## The price: counting parameters
# A convolution with a $k \times k$ kernel from $n$ to $m$ channels has $k^2 n m$ weights, and $m$ biases if it has a
# bias. For the two halves of the small cell above:

# %%
k, X, K, M = 3, CHANNELS, HIDDEN, MEMORY
print(k * k * (X + K) * 4 * K + 4 * K, sum(t.size for _, t in cell.from_xh.named_tensors()))
print(k * k * (X + M) * 3 * M + 3 * M, sum(t.size for _, t in cell.from_xm.named_tensors()))
#> 552 552
#> 660 660

# %% [markdown]
# ### Exercise 16.3: the parameters of an ST-LSTM (medium, 5 minutes)
# A cell gets `channels` channels from below, has `hidden` and `memory` channels of its own, and uses kernels of size
# `kernel`. How many parameters does it have?
#
# *Hint:* there are four convolutions, and the lines above count two of them. Which two take
# $[\mathcal{C}, \mathcal{M}]$? In the package the one for the output gate has its own bias, and the 1x1 convolution has
# none.


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
# The networks of the paper have four layers of 128 channels (Section 4.1). The 5x5 kernels and the patches of 4x4
# pixels are taken from the authors' code:

# %%
for name in ("convlstm", "predrnn_m", "predrnn"):
    large = tp.build_model(name, size=(64, 64), hidden=(128,) * 4, kernel=5, patch=4)
    print(f"{name:10} {large.count_parameters():12,}")
parts = {}
for name, t in large.named_tensors():  # of the last network, predrnn
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
#>   merge_cm      131,072

# %% [markdown]
# Keep this in mind when you read Table 1 of the paper. Its networks are equally **wide**, but PredRNN has twice the
# parameters of the ConvLSTM. The zigzag, on the other hand, has the fewest parameters of all and is still better than
# the ConvLSTM (74.0 against 103.3).
#
# The peepholes $W_{ci} \odot \mathcal{C}$ of a ConvLSTM have a weight for each place, so they fix the size of the
# frames. The ST-LSTM has no peepholes, so it accepts frames of any size:

# %%
small = {"size": (16, 16), "hidden": (4, 4), "kernel": 3, "patch": 4}
wide_frames = np.zeros((1, 3, 16, 32, 1), np.float32)
print(tp.build_model("predrnn", **small)(wide_frames, horizon=2).shape)
try:
    tp.build_model("convlstm", **small)(wide_frames, horizon=2)
except tp.errors.ShapeError as error:
    print(error)
#> (1, 2, 16, 32, 1)
#> model: it is made for frames of 16x16, got 16x32: build it with the size of the frames

# %% [markdown]
# ### Exercise 16.4: back to the ConvLSTM (stretch, 10 minutes)
# An ST-LSTM can do everything that a ConvLSTM without peepholes can: $H = o \odot \tanh(C)$, with an $o$ that depends
# only on $X_t$ and $H_{t-1}$. Set the weights of `cell` so that it computes exactly this. `t.data[...] = value` sets
# all of a tensor `t`, and `t.data[0, 0, :n] = value` sets a part of it; `np.eye(K)` is the matrix that leaves $K$
# channels unchanged.
#
# *Hint:* the two memories meet in two places: `cell.from_cm` (a `weight` and a `bias`), and `cell.merge_cm`,
# whose shape is $(1, 1, K + M, K)$. What must each of them do with $\mathcal{M}$, and what with $\mathcal{C}$?


# %%
def ignore_m(cell, hidden):
    # <solution>
    cell.from_cm.weight.data[...] = 0
    cell.from_cm.bias.data[...] = 0
    cell.merge_cm.data[0, 0, :hidden] = np.eye(hidden)
    cell.merge_cm.data[0, 0, hidden:] = 0
    # </solution>
    return cell


def fresh_cells():
    """An ST-LSTM, and a ConvLSTM with the same gates on [x, h]"""
    rng = np.random.default_rng(3)
    st_lstm = tp.cells.STLSTM(CHANNELS, HIDDEN, MEMORY, kernel=3, rng=rng).to(dtype="float64")
    st_lstm.from_cm.bias.data[...] = rng.standard_normal(HIDDEN)
    conv_lstm = tp.cells.ConvLSTM(CHANNELS, HIDDEN, kernel=3, size=(5, 4), rng=rng).to(dtype="float64")
    shared = {f"from_xh.{name}": t.data for name, t in st_lstm.from_xh.named_tensors()}
    conv_lstm.load_state_dict(conv_lstm.state_dict() | shared)
    return st_lstm, conv_lstm


check("16.4", lambda: ignore_m(fresh_cells()[0], HIDDEN)(x, (h, c, m))[0], fresh_cells()[1](x, (h, c))[0])

# %% [markdown]
# So whatever a ConvLSTM without peepholes can learn, an ST-LSTM of the same width can represent as well. Whether it
# learns **better** is another question. The next lesson trains it.
#
# ## What you have now
# - The cell, with its equations above it: `tinypredrnn/cells.py`, `STLSTM`; its three groups of gates:
#   `tinypredrnn/cells.py`, `Gates`.
# - The stack of Exercise 16.2: `tinypredrnn/models/predrnn.py`, `PredRNN`; from cells to frames:
#   `tinypredrnn/models/predictor.py`, `Predictor`.
# - Both pictures: `tinypredrnn/viz/flow.py`, `draw_st_lstm`, and `tinypredrnn/viz/flow.py`, `draw_stack`.
# - Real systems also combine the gates into one convolution. The authors' PyTorch code has five convolutions for one
#   cell, without biases; `tinypredrnn/models/official.py`, `import_official` converts its weights. cuDNN computes all
#   gates of an LSTM in one matrix product.
