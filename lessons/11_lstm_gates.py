# %% [markdown]
# # 11. The gates of an LSTM
#
# - **Idea:** a memory that is added to, and a gate that says how much of it stays, let a gradient come back from far away.
# - **Minutes:** 60
# - **Needs:** lesson 10 (the state, BPTT), lesson 9 (moving digits).
# - **You will see:** a gradient that shrinks below a billionth in 40 steps, one that grows more than a hundredfold, and a gate that sets
#   its pace; a bit remembered for 40 steps; and a network of 98,816 weights that knows how digits move, but only in the left half of
#   the picture.
# - **Why:** in lesson 10 the shares of early steps were next to nothing even without a cut. A plain network learns next to nothing
#   from what it saw long ago.

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
# The plain cell of lesson 10, without its output, and with the two weight matrices in one: $[x, h]\,W$ is $x W_x + h W_h$.

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
# Only leaves keep a gradient, and a state in the middle is no leaf. A small trick makes it visible: add zeros that are a leaf. Whatever
# gradient the zeros get is that of the state.

# %%
def gradient_over_time(cell, states, x, cotangent):
    """How long is the gradient by the state, after 0, 1, ..., T - 1 of T steps? x (T,B,N), cotangent of the last h (B,K)"""
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
cotangent /= np.linalg.norm(cotangent)  # so that the loss has a gradient of length 1 by the last h
rotation = np.linalg.qr(rng.standard_normal((K, K)))[0].astype(np.float32)

plain = {}
for s in (0.5, 1.0, 2.0):
    cell = RNN(N, K, np.random.default_rng(1))
    cell.weight.data[N:] = s * rotation
    plain[s] = gradient_over_time(cell, 1, x, cotangent)
    print(f"s = {s}: after 40 steps back, below 1e-9: {plain[s][0] < 1e-9}, above 1e2: {plain[s][0] > 1e2}")
#> s = 0.5: after 40 steps back, below 1e-9: True, above 1e2: False
#> s = 1.0: after 40 steps back, below 1e-9: False, above 1e2: False
#> s = 2.0: after 40 steps back, below 1e-9: False, above 1e2: True

# %% [markdown]
# Each step back multiplies by $W_h^T$ and by $1 - h^2$. Forty factors below 1 give nothing, forty above 1 give too much: the gradient
# **vanishes** or **explodes**. An explosion can be clipped (`tp.optim.clip_gradients`). What has vanished cannot be brought back.
#
# ## Add, do not multiply
# Then let the state be a sum. A memory $C$ to which each step *adds* something has $\partial C_t / \partial C_{t-1} = 1$: the gradient
# arrives as it left. Two more thoughts make it useful. A memory that can only grow is never free for something new, so it is multiplied
# by a number $f$ between 0 and 1, the **forget gate**. And what is written and what is shown is weighed as well, by the **input gate**
# $i$ and the **output gate** $o$. Each gate is a sigmoid of the input and the last output: the network decides at every step.
#
# $$C_t = f \odot C_{t-1} + i \odot g, \qquad H_t = o \odot \tanh(C_t)$$
#
# with $i, f, o = \sigma([x_t, h_{t-1}]\, W + b)$ and $g = \tanh([x_t, h_{t-1}]\, W + b)$, each with weights of its own. ($\odot$
# multiplies element by element, $\sigma$ is the sigmoid, and the output $H$ is the $h$ of before.) This is the LSTM, as Equation 2
# of the paper has it if its convolutions become matrix products and its three products $W_c \odot C$ are left out.

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
# Fresh weights are small, so a fresh forget gate is about $\sigma(b)$. With $b = 0$ that is one half: the memory halves at every step,
# and so does the gradient that goes through it. The authors' code starts at $b = 1$; so does our package. We measure.

# %%
gated = {bias: gradient_over_time(LSTM(N, K, np.random.default_rng(1), bias), 2, x, cotangent) for bias in (0.0, 1.0, 3.0)}
for bias, lengths in gated.items():
    factor = (lengths[0] / lengths[20]) ** (1 / 20)
    print(f"bias {bias}: sigmoid {1 / (1 + np.exp(-bias)):.2f}, measured factor a step {factor:.2f}")
#> bias 0.0: sigmoid 0.50, measured factor a step 0.65
#> bias 1.0: sigmoid 0.73, measured factor a step 0.87
#> bias 3.0: sigmoid 0.95, measured factor a step 1.07

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.4), sharey=True)
for (s, lengths), colour in zip(plain.items(), (RED, ORANGE, GRAY)):
    left.semilogy(range(T, 0, -1), lengths, color=colour, label=f"$W_h$ = {s} rotation")
for (bias, lengths), colour in zip(gated.items(), (RED, GREEN, BLUE)):
    right.semilogy(range(T, 0, -1), lengths, color=colour, label=f"forget bias {bias:.0f}")
left.set(xlabel="steps back", ylabel="length of the gradient", title="plain RNN")
right.set(xlabel="steps back", title="LSTM")
for ax in (left, right):
    ax.legend()
    ax.grid(alpha=0.3)
show(figure, "gradient")

# %% [markdown]
# The measured factor is larger than the forget gate because the gradient has other ways back, through $h$ and the gates. The direct
# one, from memory to memory, is the product of the forget gates alone. It is what Section 2.2 means: the gradient "will be prevented from
# vanishing quickly by being trapped in the memory". Quickly: with $f < 1$ it still vanishes.
#
# ### Exercise 11.1: the direct way
# The forget gates of T steps are given, $f_t = \sigma(\cdot)$, as `f[t]`. How much of a gradient by the last memory reaches the memory
# before each step, on the direct way? (`share[T-1]` is what comes back through the last step alone, `share[0]` through all.)
#
# *Hint:* a product from the end. `np.cumprod` makes products from the beginning; `[::-1]` turns an array round.

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
# ### Exercise 11.2: a bias for a purpose
# Which forget bias keeps the fraction `rest` of a memory over `steps` steps, if nothing else moves the gate? (For 40 steps and one half it
# is about 4.)
#
# *Hint:* first the gate: what number, multiplied by itself `steps` times, gives `rest`? Then solve $f = 1 / (1 + e^{-b})$ for $b$.

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
# The task: the first input is +1 or -1; after it come 39 random inputs of +0.5 or -0.5; at the end, say what the first was. A network must
# keep one bit for 40 steps and let nothing write over it.

# %%
def train_to_remember(make_cell, states, length, steps, batch=32, hidden=16):
    """The losses of training."""
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
print("the plain RNN is no better than a coin:", np.mean(runs["plain RNN"][-10:]) > 0.6)
print("forget bias 3 learns it:", np.mean(runs["LSTM, forget bias 3"][-10:]) < 0.1)
#> the plain RNN is no better than a coin: True
#> forget bias 3 learns it: True

# %%
figure, ax = plt.subplots(figsize=(6.4, 3.4))
for (name, losses), colour in zip(runs.items(), (RED, GREEN, BLUE)):
    ax.plot(losses, color=colour, label=name)
ax.axhline(np.log(2), color=GRAY, linestyle="--", label="ln 2: a coin")
ax.set(xlabel="iteration", ylabel="cross-entropy (nats)", title=f"what came {length} steps ago?")
ax.legend()
show(figure, "remember")

# %% [markdown]
# Gates make it *possible* to remember; whether that is found in time depends on where they start. The paper's sequences have 20 frames
# (Section 4.1), half of what is asked for here.
#
# ## A picture as a vector
# LSTMs of this very kind, fully connected, have been used to predict frames (Section 1.2): **FC-LSTM** in Table 1. A frame is laid out
# as one long row, goes in, and the next one is read from $h$. Here is such a network, for one digit of 7x7 pixels that moves in frames
# of 16x16.

# %%
digits, SIDE, FRAMES = draw_digits(np.random.default_rng(11), 500)[0], 16, 10
flights = MovingMNIST(digits, digits=1, size=(64, 32), frames=FRAMES)


def clips(rng, count, half):
    """A digit that moves in the "left" or the "right" half, every 4x4 pixels averaged into one: (count,FRAMES,16,16,1)"""
    frames = flights.draw(rng, count).reshape(count, FRAMES, SIDE, 4, SIDE // 2, 4).mean(axis=(3, 5), dtype=np.float32) / 255
    empty = np.zeros_like(frames)
    return np.concatenate([frames, empty] if half == "left" else [empty, frames], axis=3)[..., None]


class FCLSTMNetwork(tp.nn.Module):
    """Frames (B,T,H,W,1) -> for each but the last a prediction of the next, (B,T-1,H,W,1)"""

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
# We train it on digits in the *left* half only, and test it in both.

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
    """Squared error per predicted frame, as the network has it and for a black frame."""
    frames = clips(np.random.default_rng(7), 64, half)
    with tp.no_grad():
        prediction = network(frames).data
    return [float(((p - frames[:, 4:]) ** 2).sum(axis=(2, 3, 4)).mean()) for p in (prediction[:, 3:], 0)]  # from the fourth on


for half in ("left", "right"):
    found, black = error(half)
    print(f"{half}: less than half the error of a black frame: {found < black / 2}")
#> left: less than half the error of a black frame: True
#> right: less than half the error of a black frame: False

# %%
figure, axes = plt.subplots(2, 2, figsize=(8, 3), layout="constrained")
for column, half in zip(axes.T, ("left", "right")):
    frames = clips(np.random.default_rng(8), 1, half)
    with tp.no_grad():
        prediction = network(frames).data
    for ax, sequence, name in zip(column, (frames[0, 1:], prediction[0]), ("next frame", "prediction")):
        strip = np.pad(sequence[4:8, :, :, 0], ((0, 0), (0, 0), (0, 1)), constant_values=1)  # a white line after each frame
        ax.imshow(np.concatenate(strip, axis=1), cmap="gray", vmin=0, vmax=0.8)
        ax.set(xticks=[], yticks=[], title=f"{half} half: {name}")
figure.suptitle("FC-LSTM, trained on the left half only")
show(figure, "halves")

# %% [markdown]
# In the right half it predicts as if there were no digit. Why should it? To a product with a matrix, pixel 9 is not "beside" pixel 8.
# It is just another number. See for yourself: scramble the pixels of all frames in one fixed way, scramble the rows and columns of the
# weights along with them, and the network does exactly what it did before.

# %%
order = np.random.default_rng(3).permutation(SIDE * SIDE)
scrambled = FCLSTMNetwork(SIDE * SIDE, 64, np.random.default_rng(0))
scrambled.load_state_dict(network.state_dict())
scrambled.cell.weight.data[:SIDE * SIDE] = network.cell.weight.data[order]
scrambled.read.weight.data = network.read.weight.data[:, order]
scrambled.read.bias.data = network.read.bias.data[order]

frames = clips(np.random.default_rng(8), 4, "left")
puzzle = frames.reshape(4, FRAMES, -1)[..., order].reshape(frames.shape)
with tp.no_grad():
    straight, through_puzzle = network(frames).data, scrambled(puzzle).data
print("same predictions:", np.allclose(through_puzzle.reshape(4, -1, 256), straight.reshape(4, -1, 256)[..., order], atol=1e-5))
#> same predictions: True

# %% [markdown]
# In the vectors of a standard LSTM "the spatial information is lost" (Section 2.2). And each place must be learnt by weights of its own,
# which is wasteful:

# %%
def gate_weights(inputs, hidden):
    return 4 * ((inputs + hidden) * hidden + hidden)


print(f"FC-LSTM, frames of 64x64, 2,048 hidden numbers: {gate_weights(4096, 2048):,}")
print(f"FC-LSTM, as many hidden numbers as 128 maps of 16x16: {gate_weights(4096, 128 * 16 * 16):,}")
print(f"5x5 convolutions, 128 maps from patches of 4x4: {4 * (25 * (16 + 128) * 128 + 128):,}")
#> FC-LSTM, frames of 64x64, 2,048 hidden numbers: 50,339,840
#> FC-LSTM, as many hidden numbers as 128 maps of 16x16: 4,831,969,280
#> 5x5 convolutions, 128 maps from patches of 4x4: 1,843,712

# %% [markdown]
# Table 1 (Section 4.1) has FC-LSTM last of its seven models in every column: with two digits a squared error of 118.3 a frame, where the
# ConvLSTM has 103.3 and PredRNN 56.8.
#
# ### Exercise 11.3: count
# How many numbers does training change in an FC-LSTM network of several layers? Layer 1 sees the `pixels`, each further one the h of the
# one below; the last h is read by a linear layer with a bias, back to `pixels`.
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
# An LSTM, the reason for each of its parts, and a network for frames that knows no places.
#
# - The two lines of the memory are `tinypredrnn/cells.py`, `remember`, and `tinypredrnn/cells.py`, `expose`: all cells of the package
#   share them. Four gates from one product are `tinypredrnn/cells.py`, `Gates`, with its `forget_bias`.
# - Exploding gradients are cut to length by `tinypredrnn/optim.py`, `clip_gradients`; in a run, by the option `--clip`.
#
# Real systems compute the gates in one product as well; cuDNN's LSTM moreover fuses the gate maths into one kernel, as lesson 18 does.
# PyTorch's `nn.LSTM` orders the gates i, f, g, o like ours, and has two biases for each.
#
# The repair of the picture is next: let every gate look at a neighbourhood, with the same weights everywhere.
