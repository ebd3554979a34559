# %% [markdown]
# # 12. ConvLSTM
#
# - **Idea:** put an LSTM at every pixel; all of them share their weights, and each sees its neighbours.
# - **Minutes:** 50
# - **Needs:** lesson 11 (the gates), lesson 6 (convolution).
# - **You will see:** Equation 2 line by line, equal to the package's cell to within 1e-6; digits followed in a half of
#   the picture where the network never saw one; and a measured speed limit: a 3x3 kernel follows dots that move 1 pixel
#   per frame, a 5x5 kernel 2 pixels, a 7x7 kernel 3.
# - **Why:** the FC-LSTM of lesson 11 learnt how digits move in the left half and was blind in the right half. A vector
#   has no notion of place.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.cells import ConvLSTM
from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST

COLOURS = ("#56B4E9", "#E69F00", "#D55E00")

# %% [markdown]
# ## Equation 2
# Take the LSTM and make every number a map. The input is a frame (B,H,W,X) and the states are (B,H,W,K): "vectors
# standing on a spatial grid" (Section 2.2). Each matrix product becomes a convolution `*`, so a state depends only on
# its neighbourhood, and in the same way everywhere. Here is Equation 2 as the paper prints it, line by line.

# %%
def conv_lstm(W, b, x, h, c):
    """Equation 2. x (B,H,W,X), h and c (B,H,W,K); W["xg"] is the paper's W_xg, b["g"] its b_g -> H_t, C_t"""
    g = tp.tanh(tp.conv2d(x, W["xg"]) + tp.conv2d(h, W["hg"]) + b["g"])
    i = tp.sigmoid(tp.conv2d(x, W["xi"]) + tp.conv2d(h, W["hi"]) + W["ci"] * c + b["i"])
    f = tp.sigmoid(tp.conv2d(x, W["xf"]) + tp.conv2d(h, W["hf"]) + W["cf"] * c + b["f"])
    c = f * c + i * g
    o = tp.sigmoid(tp.conv2d(x, W["xo"]) + tp.conv2d(h, W["ho"]) + W["co"] * c + b["o"])
    h = o * tp.tanh(c)
    return h, c


# %% [markdown]
# There are eight convolutions, four biases, and three products with the memory itself, such as $W_{ci} \odot C_{t-1}$:
# the **peepholes**. They let a gate see the memory that it controls. Note that the output gate looks at $C_t$, the new
# memory.
#
# ## Eight convolutions in one
# The package's cell computes all eight as one convolution. Concatenate x and h along the channels, and the weights
# accordingly:
#
# $$W_x * X + W_h * H = [W_x, W_h] * [X, H]$$
#
# Then put the four gates side by side as output channels, in the order i, f, g, o. To compare the two forms, we cut the
# cell's weights into the pieces that the paper names.

# %%
X, K, KERNEL, SIZE = 2, 3, 3, (5, 6)
rng = np.random.default_rng(0)
cell = ConvLSTM(X, K, KERNEL, SIZE, rng)
print("weight", cell.from_xh.weight.shape, "bias", cell.from_xh.bias.shape, "peephole", cell.w_ci.shape)
#> weight (3, 3, 5, 12) bias (12,) peephole (5, 6, 3)

# %%
for peephole in (cell.w_ci, cell.w_cf, cell.w_co):  # they start at 0, which would hide a mistake
    peephole.data = rng.standard_normal(peephole.shape, dtype=np.float32)


def letters(cell):
    """The cell's weights under the paper's names."""
    W, b = {"ci": cell.w_ci.data, "cf": cell.w_cf.data, "co": cell.w_co.data}, {}
    parts = np.split(cell.from_xh.weight.data, 4, axis=-1), np.split(cell.from_xh.bias.data, 4)
    for gate, weight, bias in zip("ifgo", *parts):  # weight (k,k,X+K,K)
        W["x" + gate], W["h" + gate], b[gate] = weight[:, :, :-len(bias)], weight[:, :, -len(bias):], bias
    return W, b


W, b = letters(cell)
x, h, c = (rng.standard_normal((2, *SIZE, channels), dtype=np.float32) for channels in (X, K, K))
difference, state = 0, (tp.tensor(h), tp.tensor(c))
for _ in range(4):  # four steps
    h, c = conv_lstm(W, b, x, h, c)
    _, state = cell(x, state)
    difference = max(difference, abs(h - state[0].data).max(), abs(c - state[1].data).max())
print("equal to within 1e-6 over four steps:", difference < 1e-6)
#> equal to within 1e-6 over four steps: True

# %% [markdown]
# ### Exercise 12.1: the way back (medium, 10 minutes)
# Assemble the cell's weight and bias from the paper's matrices.
#
# *Hint:* use `np.concatenate` twice: first W_x and W_h of each gate, then the gates. Which axis of (k,k,in,out) does
# each one join?

# %%
def merge(W, b):
    """-> [weight (k,k,X+K,4K), bias (4K,)]"""
    # <solution>
    gates = [np.concatenate([W["x" + gate], W["h" + gate]], axis=2) for gate in "ifgo"]
    return [np.concatenate(gates, axis=3), np.concatenate([b[gate] for gate in "ifgo"])]
    # </solution>


other = ConvLSTM(X, 4, 5, (3, 4), np.random.default_rng(1))
other.from_xh.bias.data = np.arange(16, dtype=np.float32)
check("12.1", lambda: [merge(*letters(cell)) for cell in (cell, other)],
      [[cell.from_xh.weight.data, cell.from_xh.bias.data] for cell in (cell, other)])

# %% [markdown]
# ### Exercise 12.2: from pre-activations to states (easy, 5 minutes)
# The single convolution gives i, f, g and o *before* their sigmoids and tanh, with the biases but without the
# peepholes. Write the rest of Equation 2.
#
# *Hint:* compare line by line with `conv_lstm`. Two of the gates look at one memory, the third at another.

# %%
def finish(i, f, g, o, c, w_ci, w_cf, w_co):
    """arrays (B,H,W,K), peepholes (H,W,K) -> [H_t, C_t]"""
    # <solution>
    c = tp.sigmoid(f + w_cf * c) * c + tp.sigmoid(i + w_ci * c) * tp.tanh(g)
    return [tp.sigmoid(o + w_co * c) * tp.tanh(c), c]
    # </solution>


i, f, g, o, c = rng.standard_normal((5, 2, *SIZE, K))
peepholes = rng.standard_normal((3, *SIZE, K))
# To test `finish` with `conv_lstm`, a 1x1 convolution over h hands each gate its pre-activation; x contributes nothing.
no_x, identity = np.zeros((2, *SIZE, 1)), np.eye(K).reshape(1, 1, K, K)
pieces = {"x" + gate: np.zeros((1, 1, 1, K)) for gate in "ifgo"} | dict(zip(("ci", "cf", "co"), peepholes))
pieces |= {"h" + gate: np.concatenate([identity * (gate == name) for name in "ifgo"], axis=2) for gate in "ifgo"}
expected = conv_lstm(pieces, dict.fromkeys("ifgo", 0.0), no_x, np.concatenate([i, f, g, o], axis=-1), c)
check("12.2", lambda: finish(i, f, g, o, c, *peepholes), list(expected))

# %% [markdown]
# ## The same at every place
# Now the test that FC-LSTM failed: the same digits, the same frames, and training in the left half only. A 1x1
# convolution reads the next frame from h.

# %%
digits, SIDE, FRAMES = draw_digits(np.random.default_rng(11), 500)[0], 16, 10
moving_digits = MovingMNIST(digits, digits=1, size=(64, 32), frames=FRAMES)


def clips(rng, count, half):
    """A digit that moves in the "left" or "right" half; blocks of 4x4 pixels averaged: (count,FRAMES,16,16,1)"""
    frames = moving_digits.draw(rng, count).reshape(count, FRAMES, SIDE, 4, SIDE // 2, 4)
    frames = frames.mean(axis=(3, 5), dtype=np.float32) / 255
    empty = np.zeros_like(frames)
    return np.concatenate([frames, empty] if half == "left" else [empty, frames], axis=3)[..., None]


class ConvLSTMNetwork(tp.nn.Module):
    """Frames (B,T,H,W,1) -> a prediction of each frame but the first, (B,T-1,H,W,1)"""

    def __init__(self, hidden, kernel, size, rng):
        self.cell = ConvLSTM(1, hidden, kernel, size, rng)
        self.read = tp.nn.Conv2d(hidden, 1, 1, rng)
        self.hidden = hidden

    def forward(self, frames):
        batch, steps, height, width, _ = frames.shape
        state = (tp.tensor(np.zeros((batch, height, width, self.hidden), np.float32)),) * 2
        predictions = []
        for t in range(steps - 1):
            h, state = self.cell(frames[:, t], state)
            predictions.append(self.read(h))
        return tp.stack(*predictions, axis=1)


network = ConvLSTMNetwork(8, 3, (SIDE, SIDE), np.random.default_rng(0))
in_peepholes = sum(peephole.size for peephole in (network.cell.w_ci, network.cell.w_cf, network.cell.w_co))
print(f"{network.count_parameters():,} weights, {in_peepholes:,} of them peepholes")
#> 8,777 weights, 6,144 of them peepholes

# %%
adam = tp.optim.Adam(network.parameters(), rate=3e-3)
rng = np.random.default_rng(1)
for _ in range(size(120, 40)):
    frames = clips(rng, 16, "left")
    loss = ((network(frames) - frames[:, 1:]) ** 2).mean()
    network.zero_grad()
    loss.backward()
    adam.step()


def error(half):
    """Squared error per predicted frame, of the network and of a black frame."""
    frames = clips(np.random.default_rng(7), 64, half)
    with tp.no_grad():
        prediction = network(frames).data
    predictions = prediction[:, 3:], 0  # the network's from the fourth on, and black
    return [float(((p - frames[:, 4:]) ** 2).sum(axis=(2, 3, 4)).mean()) for p in predictions]


errors = {half: error(half) for half in ("left", "right")}
for half, (network_error, black_error) in errors.items():
    print(f"{half}: less than half the error of a black frame: {network_error < black_error / 2}")
print("the halves differ by less than 5 %:", abs(errors["right"][0] / errors["left"][0] - 1) < 0.05)
#> left: less than half the error of a black frame: True
#> right: less than half the error of a black frame: True
#> the halves differ by less than 5 %: True

# %%
figure, axes = plt.subplots(2, 2, figsize=(8, 3), layout="constrained")
for column, half in zip(axes.T, ("left", "right")):
    frames = clips(np.random.default_rng(8), 1, half)
    with tp.no_grad():
        prediction = network(frames).data
    for ax, sequence, name in zip(column, (frames[0, 1:], prediction[0]), ("next frame", "prediction")):
        white_line = ((0, 0), (0, 0), (0, 1))  # after each frame
        strip = np.pad(sequence[4:8, :, :, 0], white_line, constant_values=1)
        ax.imshow(np.concatenate(strip, axis=1), cmap="gray", vmin=0, vmax=0.8)
        ax.set(xticks=[], yticks=[], title=f"{half} half: {name}")
figure.suptitle("ConvLSTM, trained on the left half only")
show(figure, "halves")

# %% [markdown]
# What it learnt on the left holds on the right. (Not to the last digit: a peephole has a weight for every place, and
# only those on the left were trained. The peepholes are also why the paper's ConvLSTM works at one frame size only. The
# ST-LSTM of lesson 16 has none.)
#
# ## How far does it see?
# A pixel of $H_t$ sees $X_t$ through one kernel, and $X_{t-1}$ through two: one from $X_{t-1}$ to $H_{t-1}$, one from
# there to $H_t$. Let us measure which pixels of which frame influence one pixel of $H_t$: those whose gradient is not
# zero. A strip that is one pixel high is enough.

# %%
def influence(kernel, layers=1, steps=6, width=61):
    """|d h / d x_t-n| for h in the middle of the top layer, last step: (steps,width); row n = 0 is the last frame"""
    rng = np.random.default_rng(0)
    cells = [ConvLSTM(1 if layer == 0 else 4, 4, kernel, (1, width), rng) for layer in range(layers)]
    states = [(tp.tensor(np.zeros((1, 1, width, 4), np.float32)),) * 2 for _ in cells]
    frames = [tp.tensor(rng.random((1, 1, width, 1), dtype=np.float32), requires_grad=True) for _ in range(steps)]
    for x in frames:
        for layer, cell in enumerate(cells):
            x, states[layer] = cell(x, states[layer])
    x[0, 0, width // 2].sum().backward()
    return np.stack([abs(frame.grad[0, 0, :, 0]) for frame in reversed(frames)])


for kernel in (3, 5):
    pixels = (influence(kernel) > 0).sum(axis=1)
    print(f"kernel {kernel}: sees", *pixels, "pixels of the frames", *range(6), "steps back")
#> kernel 3: sees 3 5 7 9 11 13 pixels of the frames 0 1 2 3 4 5 steps back
#> kernel 5: sees 5 9 13 17 21 25 pixels of the frames 0 1 2 3 4 5 steps back

# %%
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), sharey=True, layout="constrained")
for ax, kernel in zip(axes, (3, 5, 7)):
    with np.errstate(divide="ignore"):
        logarithm = np.log10(influence(kernel))
    image = ax.imshow(logarithm, cmap="cividis", aspect="auto", vmin=-6, vmax=0, extent=(-30.5, 30.5, 5.5, -0.5))
    for speed, colour in zip((1, 2, 3), COLOURS):
        ax.plot([-speed * (n + 1) for n in range(6)], range(6), color=colour, marker="o", markersize=4, label=speed)
    ax.set(xlabel="pixels from the middle", title=f"kernel {kernel}x{kernel}", facecolor="black", xlim=(-24, 24))
axes[0].set_ylabel("steps back")
axes[0].legend(loc="lower right", fontsize=8, title="pixels per frame", title_fontsize=8)
figure.colorbar(image, label="influence, log10")
show(figure, "light_cone")

# %% [markdown]
# The picture is a cone: information travels at most $(k - 1) / 2$ pixels per step, and whatever is black has no
# influence. The dots mark objects that will be in the middle in the *next* frame if they move at 1, 2 or 3 pixels per
# frame. With the 3x3 kernel, the objects that move at 2 or 3 are in the black region in every frame: they are too fast.
#
# ### Exercise 12.3: several layers (stretch, 10 minutes)
# Stack several layers: each sees the layer below at the same step, and itself at the previous step. One pixel of the
# top layer sees a strip of the frame `back` steps ago. How many pixels wide is that strip?
#
# *Hint:* go from the pixel of $H_t$ down to the frame. Each step back passes one kernel, and each layer down passes one
# more; their order does not matter.

# %%
def field(kernel, layers, back):
    # <solution>
    return 1 + (kernel - 1) * (layers + back)
    # </solution>


cases = [(3, 1, 0), (3, 1, 4), (5, 2, 3), (3, 4, 2), (7, 2, 1)]
check("12.3", lambda: [field(*case) for case in cases],
      [int((influence(kernel, layers)[back] > 0).sum()) for kernel, layers, back in cases])

# %% [markdown]
# ## A speed limit
# "[A] ConvLSTM with a larger transitional kernel should be able to capture faster motions" (Section 2.2). We test this
# with dots that move 1, 2 or 3 pixels per frame to the left or to the right, and kernels of 3, 5 and 7: nine small
# networks. A black prediction has error 1, that of the one missing dot.

# %%
def dots(rng, count, speed, frames=6, width=36):
    """One dot on a strip: (count,frames,1,width,1)"""
    start, direction = rng.integers(16, width - 16, size=(count, 1)), rng.choice([-1, 1], size=(count, 1))
    return np.eye(width, dtype=np.float32)[start + direction * speed * np.arange(frames)][:, :, None, :, None]


def train_on_dots(kernel, speed, steps):
    """The error per frame in the last training step."""
    rng = np.random.default_rng(0)
    network = ConvLSTMNetwork(6, kernel, (1, 36), rng)
    adam = tp.optim.Adam(network.parameters(), rate=2e-2)
    for _ in range(steps):
        frames = dots(rng, 8, speed)
        difference = network(frames)[:, 1:] - frames[:, 2:]  # one frame alone does not show the direction
        loss = (difference ** 2).sum() / (8 * 4)
        network.zero_grad()
        loss.backward()
        adam.step()
    return loss.item()


limits = {kernel: [train_on_dots(kernel, speed, size(60, 30)) for speed in (1, 2, 3)] for kernel in (3, 5, 7)}
for kernel, losses in limits.items():
    follows, blind = [loss < 0.3 for loss in losses], [loss > 0.8 for loss in losses]
    print(f"kernel {kernel}: follows speeds 1, 2, 3:", follows, "blind:", blind)
#> kernel 3: follows speeds 1, 2, 3: [True, False, False] blind: [False, True, True]
#> kernel 5: follows speeds 1, 2, 3: [True, True, False] blind: [False, False, True]
#> kernel 7: follows speeds 1, 2, 3: [True, True, True] blind: [False, False, False]

# %% [markdown]
# The limit is exact. In Section 4.1 digits move by 3 to 5 pixels per frame. The authors' code cuts frames into patches
# of 4x4 pixels whose 16 values become the channels of one place, so that everything moves at a quarter of the speed.
#
# ### Exercise 12.4: how large a kernel? (medium, 5 minutes)
# What is the smallest odd kernel with which one layer can follow a motion of up to `speed` pixels per frame, if frames
# are cut into patches of `patch` x `patch` pixels? The dot may stand anywhere in its patch.
#
# *Hint:* how many patches can a dot advance in one frame, in the worst case? Then solve the speed limit for the kernel.

# %%
def smallest_kernel(speed, patch):
    # <solution>
    return 2 * -(-speed // patch) + 1
    # </solution>


check("12.4", lambda: [smallest_kernel(*case) for case in ((1, 1), (2, 1), (5, 1), (5, 4), (4, 4), (3, 4), (9, 4))],
      [3, 5, 11, 5, 3, 3, 7])

# %% [markdown]
# ## What you have now
# Equation 2, and an idea of what its kernels can and cannot do.
#
# - The cell is `tinypredrnn/cells.py`, `ConvLSTM`: one convolution in `tinypredrnn/cells.py`, `Gates`, followed by
#   `tinypredrnn/cells.py`, `remember`, and `tinypredrnn/cells.py`, `expose`.
# - A stack of them with a 1x1 convolution on top is `tinypredrnn/models/convlstm.py`, `ConvLSTMNetwork`;
#   `tinypredrnn/autograd/convolution.py`, `space_to_depth` makes the patches.
# - `tests/references/equations.py` has Equation 2 once more, in NumPy alone; the tests compare the cell's values and
#   gradients with it.
#
# Real systems: Keras has a `ConvLSTM2D`, without peepholes. PyTorch has none, so every project writes its own. All of
# them compute the gates with one convolution or two.
#
# So far every input was a true frame. A forecast has no true frames: lesson 13.
