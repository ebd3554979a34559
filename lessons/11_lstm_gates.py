# %% [markdown]
# # 11. The gates of an LSTM
#
# - **Idea:** a memory that the network adds to, with a gate that says how much of it stays, lets gradients travel far
#   back in time.
# - **Minutes:** 60
# - **Needs:** lesson 10 (the state, BPTT), lesson 9 (moving digits).
# - **You will see:** a gradient that shrinks below a billionth in 40 steps, one that grows more than a hundredfold, and
#   a gate that sets the rate; a bit remembered for 40 steps; and a network of 98,816 weights that knows how digits
#   move, but only in the left half of the picture.
# - **Why:** in lesson 10 the early steps contributed next to nothing to the gradient, even without truncation. A plain
#   network learns almost nothing from what it saw long ago.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST

BLUE, RED, GREEN, ORANGE, GRAY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#666666"

# %% [markdown]
# ## A gradient on its way back
# This is the plain cell of lesson 10, without its output and with its two weight matrices stacked into one: $[x, h]\,W$
# is $x W_x + h W_h$.

# %%
class RNN(tp.nn.Module):
    """h_t = tanh([x_t, h_t-1] W + b). x (B,N), state (h,) with h (B,K) -> h, (h,)"""

    def __init__(self, inputs, hidden, rng):
        self.weight = tp.nn.fan_in_uniform(rng, (inputs + hidden, hidden))
        self.bias = tp.nn.zeros(hidden)

    def forward(self, x, state):
        (h,) = state
        h = tp.tanh(tp.concat(x, h) @ self.weight + self.bias)
        return h, (h,)


# %% [markdown]
# Only leaves keep their gradient, and a state in the middle of a sequence is not a leaf. A small trick makes its
# gradient visible: add a leaf of zeros to the state. The gradient of the zeros is the gradient of the state.

# %%
def gradient_over_time(cell, states, x, cotangent):
    """The norm of the gradient with respect to the state after 0, 1, ..., T - 1 of T steps.

    x (T,B,N); cotangent of the last h (B,K)
    """
    state = tuple(tp.tensor(np.zeros(cotangent.shape, np.float32)) for _ in range(states))
    probes = []
    for x_t in x:
        probes.append([tp.tensor(np.zeros(cotangent.shape, np.float32), requires_grad=True) for _ in state])
        h, state = cell(x_t, tuple(part + probe for part, probe in zip(state, probes[-1])))
    h.backward(cotangent)
    return np.array([np.sqrt(sum((probe.grad ** 2).sum() for probe in step)) for step in probes])


T, B, N, K = 40, 8, 4, 32
rng = np.random.default_rng(0)
x = rng.standard_normal((T, B, N), dtype=np.float32)
cotangent = rng.standard_normal((B, K), dtype=np.float32)
cotangent /= np.linalg.norm(cotangent)  # so that the gradient with respect to the last h has norm 1
rotation = np.linalg.qr(rng.standard_normal((K, K)))[0].astype(np.float32)

plain = {}
for s in (0.5, 1.0, 2.0):
    cell = RNN(N, K, np.random.default_rng(1))
    cell.weight.data[N:] = s * rotation
    plain[s] = gradient_over_time(cell, 1, x, cotangent)
    print(f"s = {s}: norm 40 steps back: below 1e-9 {plain[s][0] < 1e-9}, above 1e2 {plain[s][0] > 1e2}")
#> s = 0.5: norm 40 steps back: below 1e-9 True, above 1e2 False
#> s = 1.0: norm 40 steps back: below 1e-9 False, above 1e2 False
#> s = 2.0: norm 40 steps back: below 1e-9 False, above 1e2 True

# %% [markdown]
# Each step back multiplies the gradient by $W_h^T$ and by $1 - h^2$. Forty factors below 1 leave nothing, forty factors
# above 1 give too much: the gradient **vanishes** or **explodes**. An exploding gradient can be clipped
# (`tp.optim.clip_gradients`). A vanished gradient cannot be recovered.
#
# ## Add, do not multiply
# So let the state be a sum. If each step *adds* something to a memory $C$, then $\partial C_t / \partial C_{t-1} = 1$:
# the gradient passes through unchanged. Two more ideas make the memory useful. A memory that can only grow never makes
# room for anything new, so it is multiplied by a number $f$ between 0 and 1, the **forget gate**. And what is written
# to the memory and what is read from it are weighted as well, by the **input gate** $i$ and the **output gate** $o$.
# Each gate is a sigmoid of the current input and the previous output: the network decides anew at every step.
#
# $$C_t = f \odot C_{t-1} + i \odot g, \qquad H_t = o \odot \tanh(C_t)$$
#
# Here $i, f, o = \sigma([x_t, h_{t-1}]\, W + b)$ and $g = \tanh([x_t, h_{t-1}]\, W + b)$, each with its own weights.
# ($\odot$ multiplies element by element, $\sigma$ is the sigmoid, and the output $H$ is what was called $h$ before.)
# This is the LSTM. It is Equation 2 of the paper if you replace the convolutions by matrix products and leave out the
# three products $W_c \odot C$.

# %%
class LSTM(tp.nn.Module):
    """x (B,N), state (h, c), each (B,K) -> h, (h, c)"""

    def __init__(self, inputs, hidden, rng, forget_bias=1.0):
        self.weight = tp.nn.fan_in_uniform(rng, (inputs + hidden, 4 * hidden))  # for i, f, g, o side by side
        self.bias = tp.nn.zeros(4 * hidden)
        self.bias.data[hidden:2 * hidden] = forget_bias

    def forward(self, x, state):
        h, c = state
        i, f, g, o = tp.split(tp.concat(x, h) @ self.weight + self.bias, parts=4)  # (B,K) each
        c = tp.sigmoid(f) * c + tp.sigmoid(i) * tp.tanh(g)
        h = tp.sigmoid(o) * tp.tanh(c)
        return h, (h, c)


# %% [markdown]
# ## The forget bias
# The initial weights are small, so an untrained forget gate is about $\sigma(b)$. With $b = 0$ that is one half: the
# memory halves at every step, and so does the gradient that flows through it. The authors' code starts with $b = 1$,
# and so does our package. Let us measure what the bias does.

# %%
gated = {}
for bias in (0.0, 1.0, 3.0):
    gated[bias] = norms = gradient_over_time(LSTM(N, K, np.random.default_rng(1), bias), 2, x, cotangent)
    factor = (norms[0] / norms[20]) ** (1 / 20)
    print(f"bias {bias}: sigmoid {1 / (1 + np.exp(-bias)):.2f}, measured factor per step {factor:.2f}")
#> bias 0.0: sigmoid 0.50, measured factor per step 0.65
#> bias 1.0: sigmoid 0.73, measured factor per step 0.87
#> bias 3.0: sigmoid 0.95, measured factor per step 1.07

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.4), sharey=True)
for (s, norms), colour in zip(plain.items(), (RED, ORANGE, GRAY)):
    left.semilogy(range(T, 0, -1), norms, color=colour, label=f"$W_h$ = {s} rotation")
for (bias, norms), colour in zip(gated.items(), (RED, GREEN, BLUE)):
    right.semilogy(range(T, 0, -1), norms, color=colour, label=f"forget bias {bias:.0f}")
left.set(xlabel="steps back", ylabel="norm of the gradient", title="plain RNN")
right.set(xlabel="steps back", title="LSTM")
for ax in (left, right):
    ax.legend()
    ax.grid(alpha=0.3)
show(figure, "gradient")

# %% [markdown]
# The measured factor is larger than the forget gate because the gradient has other paths back, through $h$ and the
# gates. The direct path, from memory to memory, multiplies it by the forget gates alone. This path is what Section 2.2
# means: the gradient "will be prevented from vanishing quickly by being trapped in the memory". Note the word
# "quickly". With $f < 1$ the direct path still shrinks, even if the whole gradient grows, as it does here with a forget
# bias of 3.
#
# ### Exercise 11.1: the direct path (medium, 10 minutes)
# You are given the forget gates of T steps, $f_t = \sigma(\cdot)$, as `f[t]`. A gradient arrives at the last memory.
# What fraction of it reaches the memory before each step by the direct path? (`share[T-1]` is what passes back through
# the last step alone, `share[0]` through all steps.)
#
# *Hint:* you need products that start at the end. `np.cumprod` starts at the beginning; `[::-1]` reverses an array.

# %%
def direct_share(f):
    """f (T,B,K) -> share (T,B,K)"""
    # <solution>
    return np.cumprod(f[::-1], axis=0)[::-1]
    # </solution>


f = rng.uniform(0.2, 1, (5, 2, 3))
probes = [tp.tensor(np.zeros((2, 3)), requires_grad=True) for _ in f]
memory = tp.tensor(rng.standard_normal((2, 3)))
for f_t, probe in zip(f, probes):
    memory = f_t * (memory + probe) + 0.1
memory.sum().backward()
check("11.1", lambda: direct_share(f), np.stack([probe.grad for probe in probes]))

# %% [markdown]
# ### Exercise 11.2: choosing a bias (easy, 5 minutes)
# Which forget bias keeps the fraction `rest` of a memory over `steps` steps if nothing else influences the gate? (To
# keep one half over 40 steps it is about 4.)
#
# *Hint:* find the gate first: which number, multiplied by itself `steps` times, gives `rest`? Then solve
# $f = 1 / (1 + e^{-b})$ for $b$.

# %%
def bias_for(rest, steps):
    # <solution>
    f = rest ** (1 / steps)
    return np.log(f / (1 - f))
    # </solution>


check("11.2", lambda: [bias_for(0.5, 40), bias_for(0.5, 1), bias_for(0.9, 20), bias_for(0.01, 5)],
      [4.0467155, 0.0, 5.2434645, -0.4133582], rtol=1e-5)

# %% [markdown]
# ## Does it learn?
# The task: the first input is +1 or -1. After it come 39 random inputs of +0.5 or -0.5. At the end, the network must
# say whether the first input was +1 or -1. To do so, it must keep one bit for 40 steps and never overwrite it.

# %%
def train_to_remember(make_cell, states, length, steps, batch=32, hidden=16):
    """The training loss of every iteration."""
    rng = np.random.default_rng(0)
    cell, read = make_cell(1, hidden, rng), tp.nn.Linear(hidden, 1, rng)
    parameters = cell.parameters() + read.parameters()
    adam = tp.optim.Adam(parameters, rate=1e-2)
    losses = []
    for _ in range(steps):
        x = rng.choice([-0.5, 0.5], size=(length, batch, 1)).astype(np.float32)
        x[0] *= 2
        state = (tp.tensor(np.zeros((batch, hidden), np.float32)),) * states
        for x_t in x:
            h, state = cell(x_t, state)
        loss = tp.bce_with_logits(read(h), (x[0] + 1) / 2).mean()
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        tp.optim.clip_gradients(parameters, norm=1.0)
        adam.step()
        losses.append(loss.item())
    return losses


length, steps = size(40, 30), size(120, 60)
runs = {
    "plain RNN": train_to_remember(RNN, 1, length, steps),
    "LSTM, forget bias 1": train_to_remember(LSTM, 2, length, steps),
    "LSTM, forget bias 3": train_to_remember(lambda *sizes: LSTM(*sizes, forget_bias=3.0), 2, length, steps),
}
print("the plain RNN only guesses:", np.mean(runs["plain RNN"][-10:]) > 0.6)
print("the LSTM with forget bias 3 learns the task:", np.mean(runs["LSTM, forget bias 3"][-10:]) < 0.1)
#> the plain RNN only guesses: True
#> the LSTM with forget bias 3 learns the task: True

# %%
figure, ax = plt.subplots(figsize=(6.4, 3.4))
for (name, losses), colour in zip(runs.items(), (RED, GREEN, BLUE)):
    ax.plot(losses, color=colour, label=name)
ax.axhline(np.log(2), color=GRAY, linestyle="--", label="ln 2: guessing")
ax.set(xlabel="iteration", ylabel="cross-entropy (nats)", title=f"what was the first of {length} inputs?")
ax.legend()
show(figure, "remember")

# %% [markdown]
# Gates make it *possible* to remember. Whether training finds this in time depends on where the gates start. The
# paper's sequences have 20 frames (Section 4.1), half the length of this task.
#
# ## A frame as a vector
# LSTMs of exactly this kind, fully connected, have been used to predict frames (Section 1.2); Table 1 calls them
# **FC-LSTM**. The pixels of a frame become one long vector, the vector goes in, and the next frame is read from $h$.
# Here is such a network, for one digit of 7x7 pixels that moves in frames of 16x16.

# %%
digits, SIDE, FRAMES = draw_digits(np.random.default_rng(11), 500)[0], 16, 10
moving_digits = MovingMNIST(digits, digits=1, size=(64, 32), frames=FRAMES)


def clips(rng, count, half):
    """A digit that moves in the "left" or "right" half; blocks of 4x4 pixels averaged: (count,FRAMES,16,16,1)"""
    frames = moving_digits.draw(rng, count).reshape(count, FRAMES, SIDE, 4, SIDE // 2, 4)
    frames = frames.mean(axis=(3, 5), dtype=np.float32) / 255
    empty = np.zeros_like(frames)
    return np.concatenate([frames, empty] if half == "left" else [empty, frames], axis=3)[..., None]


class FCLSTMNetwork(tp.nn.Module):
    """Frames (B,T,H,W,1) -> a prediction of each frame but the first, (B,T-1,H,W,1)"""

    def __init__(self, pixels, hidden, rng):
        self.cell = LSTM(pixels, hidden, rng)
        self.read = tp.nn.Linear(hidden, pixels, rng)
        self.hidden = hidden

    def forward(self, frames):
        flat = frames.reshape(*frames.shape[:2], -1)  # (B,T,H W)
        state = (tp.tensor(np.zeros((len(frames), self.hidden), np.float32)),) * 2
        predictions = []
        for t in range(frames.shape[1] - 1):
            h, state = self.cell(flat[:, t], state)
            predictions.append(self.read(h))  # (B,H W)
        return tp.stack(*predictions, axis=1).reshape(len(frames), -1, *frames.shape[2:])


network = FCLSTMNetwork(SIDE * SIDE, 64, np.random.default_rng(0))
print(f"{network.count_parameters():,} weights for frames of 16x16")
#> 98,816 weights for frames of 16x16

# %% [markdown]
# We train it on digits in the *left* half only and test it in both halves.

# %%
adam = tp.optim.Adam(network.parameters(), rate=3e-3)
rng = np.random.default_rng(1)
for _ in range(size(300, 80)):
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


for half in ("left", "right"):
    network_error, black_error = error(half)
    print(f"{half}: less than half the error of a black frame: {network_error < black_error / 2}")
#> left: less than half the error of a black frame: True
#> right: less than half the error of a black frame: False

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
figure.suptitle("FC-LSTM, trained on the left half only")
show(figure, "halves")

# %% [markdown]
# In the right half it predicts as if there were no digit. That should not surprise us: to a matrix product, pixel 9 is
# not "beside" pixel 8. It is just another number. See for yourself: scramble the pixels of all frames in one fixed way,
# scramble the rows and columns of the weights to match, and the network does exactly what it did before.

# %%
order = np.random.default_rng(3).permutation(SIDE * SIDE)
scrambled_network = FCLSTMNetwork(SIDE * SIDE, 64, np.random.default_rng(0))
scrambled_network.load_state_dict(network.state_dict())
scrambled_network.cell.weight.data[:SIDE * SIDE] = network.cell.weight.data[order]
scrambled_network.read.weight.data = network.read.weight.data[:, order]
scrambled_network.read.bias.data = network.read.bias.data[order]

frames = clips(np.random.default_rng(8), 4, "left")
scrambled_frames = frames.reshape(4, FRAMES, -1)[..., order].reshape(frames.shape)
with tp.no_grad():
    prediction, scrambled_prediction = network(frames).data, scrambled_network(scrambled_frames).data
expected = prediction.reshape(4, -1, SIDE * SIDE)[..., order]
print("same predictions:", np.allclose(scrambled_prediction.reshape(expected.shape), expected, atol=1e-5))
#> same predictions: True

# %% [markdown]
# In the vectors of a standard LSTM "the spatial information is lost" (Section 2.2). Moreover, each place needs its own
# weights, which is wasteful:

# %%
def gate_weights(inputs, hidden):
    return 4 * ((inputs + hidden) * hidden + hidden)


print(f"FC-LSTM, frames of 64x64, 2,048 hidden units: {gate_weights(4096, 2048):,}")
print(f"FC-LSTM, as many hidden units as 128 maps of 16x16: {gate_weights(4096, 128 * 16 * 16):,}")
print(f"5x5 convolutions, 128 maps from patches of 4x4: {4 * (25 * (16 + 128) * 128 + 128):,}")
#> FC-LSTM, frames of 64x64, 2,048 hidden units: 50,339,840
#> FC-LSTM, as many hidden units as 128 maps of 16x16: 4,831,969,280
#> 5x5 convolutions, 128 maps from patches of 4x4: 1,843,712

# %% [markdown]
# In Table 1 (Section 4.1), FC-LSTM is the worst of the seven models in every column. With two digits its squared error
# is 118.3 per frame; the ConvLSTM has 103.3 and PredRNN 56.8.
#
# ### Exercise 11.3: counting weights (stretch, 15 minutes)
# How many numbers does training change in an FC-LSTM network of several layers? Layer 1 sees the `pixels`; each further
# layer sees the h of the layer below. A linear layer with a bias turns the last h back into `pixels`.
#
# *Hint:* `gate_weights` counts one layer. What are the inputs of layer 2?

# %%
def count_network(pixels, hidden):
    """hidden: the widths of the layers, such as (64, 32)"""
    # <solution>
    widths = [pixels, *hidden]
    layers = sum(gate_weights(below, width) for below, width in zip(widths, hidden))
    return layers + hidden[-1] * pixels + pixels
    # </solution>


def built(pixels, hidden):
    rng, below, total = np.random.default_rng(0), pixels, 0
    for width in hidden:
        total, below = total + LSTM(below, width, rng).count_parameters(), width
    return total + tp.nn.Linear(below, pixels, rng).count_parameters()


cases = [(256, (64,)), (100, (20, 30)), (16, (7, 5, 3))]
check("11.3", lambda: [count_network(*case) for case in cases], [built(*case) for case in cases])

# %% [markdown]
# ## What you have now
# An LSTM, the reason for each of its parts, and a network that predicts frames without any notion of place.
#
# - The two lines that update and show the memory are `tinypredrnn/cells.py`, `remember`, and
#   `tinypredrnn/cells.py`, `expose`: all cells of the package share them. `tinypredrnn/cells.py`, `Gates`, makes the
#   gates in one product and has the option `forget_bias`.
# - `tinypredrnn/optim.py`, `clip_gradients` rescales gradients that are too long; in a training run, use the option
#   `--clip`.
#
# Real systems compute the gates in one product as well, and cuDNN's LSTM also fuses the gate maths into one kernel, as
# lesson 18 does. PyTorch's `nn.LSTM` keeps its gates in the order i, f, g, o, like ours, and has two biases for each.
#
# The next lesson repairs the loss of space: every gate looks at a neighbourhood, with the same weights everywhere.
