# %% [markdown]
# # 10. Recurrence: one step, again and again
#
# - **Idea:** a state carries the past from step to step; its gradient comes back through the same steps, and may be
#   cut.
# - **Minutes:** 50
# - **Needs:** lesson 3 (gradients of products), lesson 8 (modules, Adam).
# - **You will see:** a network without memory that cannot get below ln 2 = 0.693, and one with a state that gets close
#   to 0; a graph that grows by four nodes a step; a truncated gradient that is wrong by 0.4 % or by 56 %, depending on
#   the network, and what such a gradient cannot teach.
# - **Why:** one frame shows where a digit is, but not where it is going. No network that sees only one frame can
#   predict the next.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size

BLUE, RED, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"

# %% [markdown]
# ## A lamp on a ring
# Here is the smallest video with motion: eight lamps in a ring, one of them on. In each frame the light moves on by one
# lamp, to the right in half of the clips and to the left in the other half. A frame is a row of eight numbers, seven of
# them 0.

# %%
LAMPS, STEPS = 8, 6


def clips(rng, count):
    """Clips (count,STEPS+1,LAMPS), one-hot."""
    start, direction = rng.integers(LAMPS, size=(count, 1)), rng.choice([-1, 1], size=(count, 1))
    return np.eye(LAMPS, dtype=np.float32)[(start + direction * np.arange(STEPS + 1)) % LAMPS]


print(clips(np.random.default_rng(2), 3).argmax(axis=-1))
#> [[6 5 4 3 2 1 0]
#>  [2 1 0 7 6 5 4]
#>  [0 1 2 3 4 5 6]]

# %% [markdown]
# A prediction gives each lamp a probability. Its cost is $-\ln p$, where $p$ is the probability that it gave to the
# lamp that came on. This cost is the **cross-entropy**; with natural logarithms its unit is the nat. A network that is
# shown one frame knows where the light is, and nothing else: left or right is a coin toss. Its best prediction is "one
# half each", which costs $-\ln \frac12 = 0.693$.
#
# ## A state
# So let the network write a note to itself, and read it at the next step. The note is a vector $h$, the **state**:
#
# $$h_t = \tanh(x_t W_x + h_{t-1} W_h + b)$$
#
# Every step uses the same weights. Nothing is hidden in the object: the state goes in and comes out, as in all cells of
# this course. The outputs that are read from $h$ are eight numbers of any size, **logits**; `tp.log_softmax` turns them
# into logarithms of probabilities (softmax: lesson 4).

# %%
class RNN(tp.nn.Module):
    """The plain recurrent network. x (B,N), h (B,K) -> output (B,M), new h (B,K)"""

    def __init__(self, inputs, hidden, outputs, rng):
        self.wx = tp.nn.fan_in_uniform(rng, (inputs, hidden))
        self.wh = tp.nn.fan_in_uniform(rng, (hidden, hidden))
        self.b = tp.nn.zeros(hidden)
        self.read = tp.nn.Linear(hidden, outputs, rng)  # h @ weight + bias

    def forward(self, x, h):
        h = tp.tanh(x @ self.wx + h @ self.wh + self.b)
        return self.read(h), h


def train_on_ring(memory, steps, batch=32, hidden=16):
    """The losses during training; without `memory` every step starts from a state of zeros."""
    rng = np.random.default_rng(0)
    net = RNN(LAMPS, hidden, LAMPS, rng)
    adam = tp.optim.Adam(net.parameters(), rate=1e-2)
    zeros = tp.tensor(np.zeros((batch, hidden), np.float32))
    losses = []
    for _ in range(steps):
        x, h, loss = clips(rng, batch), zeros, 0
        for t in range(STEPS):
            logits, h = net(x[:, t], h if memory else zeros)  # (B,LAMPS)
            if t > 0:  # one frame does not show the direction
                loss = loss - (tp.log_softmax(logits) * x[:, t + 1]).sum() / (batch * (STEPS - 1))
        net.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


without_state, with_state = (train_on_ring(memory, size(300, 100)) for memory in (False, True))
print("without a state, still above ln 2 - 0.05:", np.mean(without_state[-20:]) > np.log(2) - 0.05)
print("with a state, below 0.1:", np.mean(with_state[-20:]) < 0.1)
#> without a state, still above ln 2 - 0.05: True
#> with a state, below 0.1: True

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3), width_ratios=[1, 2])
left.imshow(clips(np.random.default_rng(2), 1)[0], cmap="gray")
left.set(xlabel="lamp", ylabel="frame", title="one clip")
right.plot(without_state, color=RED, label="no state")
right.plot(with_state, color=BLUE, label="with a state")
right.axhline(np.log(2), color=GRAY, linestyle="--", label="ln 2: a coin toss")
right.set(xlabel="iteration", ylabel="cross-entropy (nats)", title="which lamp is next?")
right.legend()
show(figure, "ring")

# %% [markdown]
# ## What backward sees
# `backward` knows nothing about time. It sees one deep, **unrolled** graph: six steps are six layers that share their
# weights. A weight that is used six times gets the sum of six gradients (lesson 1: `x * x` has two routes to `x`).
#
# To see the six shares separately, give each step its own copy of $W_h$.

# %%
def last_state(x, wx, copies):
    """h_T from x (B,T,N), with one W_h for each step."""
    h = tp.tensor(np.zeros((len(x), wx.shape[1])))
    for t, wh in enumerate(copies):
        h = tp.tanh(x[:, t] @ wx + h @ wh)  # (B,K)
    return h


rng = np.random.default_rng(0)
x, u = rng.standard_normal((4, 6, 3)), rng.standard_normal((4, 5))  # (B,T,N), and a cotangent for h_T (B,K)
wx, wh = (tp.tensor(0.4 * rng.standard_normal(shape), requires_grad=True) for shape in ((3, 5), (5, 5)))
last_state(x, wx, [wh] * 6).backward(u)

copies = [tp.tensor(wh.data.copy(), requires_grad=True) for _ in range(6)]
last_state(x, wx, copies).backward(u)
print("the shares add up:", np.allclose(sum(copy.grad for copy in copies), wh.grad, rtol=1e-12))
print("step 1 starts from zeros, so its share is zero:", not copies[0].grad.any())
#> the shares add up: True
#> step 1 starts from zeros, so its share is zero: True

# %% [markdown]
# ## By hand
# Backpropagation through time, BPTT, is a loop that runs backwards. Here it is for one number,
# $h_t = \tanh(w h_{t-1} + x_t)$, where `dh` is the derivative of the loss with respect to the last state. Each
# iteration goes back through the tanh, adds the share of its step to the gradient of $w$, and passes the rest on to the
# previous state.

# %%
def bptt_of_one_number(w, x, dh):
    """d loss / d w from d loss / d h_T, for numbers x (T,)"""
    h = [0.0]
    for x_t in x:
        h.append(np.tanh(w * h[-1] + x_t))  # h[t] is the state after t steps
    dw = 0.0
    for t in reversed(range(len(x))):
        da = dh * (1 - h[t + 1] ** 2)  # through tanh
        dw += da * h[t]  # the share of this step
        dh = da * w  # passed on to the previous state
    return dw


one = tp.tensor(np.array([[0.7]]), requires_grad=True)
last_state(np.array([[[0.5], [-1.0], [2.0]]]), tp.tensor(np.ones((1, 1))), [one] * 3).backward()
print(f"{bptt_of_one_number(0.7, [0.5, -1.0, 2.0], dh=1.0):.6f}  {one.grad.item():.6f}")
#> -0.058235  -0.058235

# %% [markdown]
# ### Exercise 10.1: BPTT with matrices (stretch, 15 minutes)
# Write the backward loop for $h_t = \tanh(x_t W_x + h_{t-1} W_h)$ and a loss that uses *every* state, as it does when
# every frame is to be predicted: `dh[t]` is the derivative with respect to `h[t + 1]`, without what comes back through
# later steps. Return the gradients with respect to $W_x$ and $W_h$.
#
# *Hint:* a state is used twice, by the loss and by the next step. How do two gradients of one value combine? And for
# $Y = X W$ the gradients are $X^T dY$ and $dY\, W^T$.

# %%
def bptt(x, h, wx, wh, dh):
    """x (T,B,N), states h (T+1,B,K) beginning with h[0] = 0, weights (N,K) and (K,K), dh (T,B,K) -> [dwx, dwh]"""
    # <solution>
    dwx, dwh, later = np.zeros_like(wx), np.zeros_like(wh), 0
    for t in reversed(range(len(x))):
        da = (dh[t] + later) * (1 - h[t + 1] ** 2)  # (B,K)
        dwx += x[t].T @ da
        dwh += h[t].T @ da
        later = da @ wh.T
    return [dwx, dwh]
    # </solution>


dh = rng.standard_normal((6, 4, 5))
by_engine, h = [tp.tensor(w.data.copy(), requires_grad=True) for w in (wx, wh)], [tp.tensor(np.zeros((4, 5)))]
for x_t in x.swapaxes(0, 1):
    h.append(tp.tanh(x_t @ by_engine[0] + h[-1] @ by_engine[1]))
sum((h_t * dh_t).sum() for h_t, dh_t in zip(h[1:], dh)).backward()
check("10.1", lambda: bptt(x.swapaxes(0, 1), np.stack([h_t.data for h_t in h]), wx.data, wh.data, dh),
      [w.grad for w in by_engine])

# %% [markdown]
# ## What it costs
# The backward loop needs every state of the forward pass. So the graph keeps them all, and grows with the length of the
# sequence: by four nodes a step here. (Our engine visits them in a loop; a recursion would exceed Python's limit, as in
# lesson 2.)

# %%
def count_nodes(tensor):
    """How many nodes backward would visit. (Leaves, such as the weights, are not nodes.)"""
    seen, stack = set(), [tensor.node]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += [parent for parent, _ in filter(None, node.parents) if isinstance(parent, tp.Node)]
    return len(seen)


for steps in (10, 20, 1000):
    print(steps, "steps:", count_nodes(last_state(np.ones((1, steps, 3)), wx, [wh] * steps)), "nodes")
#> 10 steps: 40 nodes
#> 20 steps: 80 nodes
#> 1000 steps: 4000 nodes

# %% [markdown]
# ## Cut
# The graph of an hour of video would not fit into any memory. The way out is to cut the graph now and then:
# `h.detach()` has the same numbers but no history. The forward pass does not change. The backward pass stops there:
# this is **truncated BPTT**.

# %%
def last_state_cut(x, wx, wh, keep):
    """As last_state, but backward sees only the last `keep` steps."""
    h = tp.tensor(np.zeros((len(x), wx.shape[1])))
    for t in range(x.shape[1]):
        if t == x.shape[1] - keep:
            h = h.detach()
        h = tp.tanh(x[:, t] @ wx + h @ wh)
    return h


cut = last_state_cut(x, wx, wh, keep=2)
print("same state:", np.array_equal(cut.data, last_state(x, wx, [wh] * 6).data), "- nodes:", count_nodes(cut))
#> same state: True - nodes: 8

# %% [markdown]
# What does the gradient lose? Exactly the shares of the steps before the cut: the truncated gradient is the sum of the
# last shares.

# %%
wh.grad = None
cut.backward(u)
print("the last two shares:", np.allclose(wh.grad, copies[4].grad + copies[5].grad, rtol=1e-12))
#> the last two shares: True

# %% [markdown]
# ### Exercise 10.2: cut in chunks (easy, 5 minutes)
# A long sequence is read in chunks of `k` steps: before the steps 0, k, 2k, ... the history is cut off. Return the sum
# of all states $h_1 + h_2 + \dots$ for $h_t = \tanh(w h_{t-1} + x_t)$ from $h_0 = 0$. Its *value* must not depend on
# `k`; only its gradient does.
#
# *Hint:* `t % k` is 0 at the first step of a chunk. Detach the state there, but do not set it to zero.

# %%
def sum_of_states(w, x, k):
    """w a Tensor (1,), x an array (T,) -> Tensor (1,)"""
    # <solution>
    h, total = tp.tensor(np.zeros(1)), 0
    for t, x_t in enumerate(x):
        if t % k == 0:
            h = h.detach()
        h = tp.tanh(w * h + x_t)
        total = total + h
    return total
    # </solution>


def value_and_gradient(k):
    w = tp.tensor(np.array([0.8]), requires_grad=True)
    total = sum_of_states(w, np.array([1.0, -0.2, 0.3, 0.1, 0.4]), k)
    if isinstance(total, tp.Tensor):
        total.backward()
        return [total.item(), w.grad.item()]


check("10.2", lambda: [value_and_gradient(k) for k in (1, 2, 3, 5)],
      [[2.8426603, 1.6105691], [2.8426603, 1.7765906], [2.8426603, 2.1619862], [2.8426603, 2.7248496]], rtol=1e-5)

# %% [markdown]
# ## How much is lost?
# That depends on the network. Take $W_h = s\,Q$ with a rotation $Q$: the state nearly keeps its length if $s = 1$, and
# loses half of it at each step if $s = 0.5$. We measure the share of each of 24 steps, and the relative error of the
# truncated gradient.

# %%
T, K = 24, 16
x_long, u_long = 0.1 * rng.standard_normal((8, T, 3)), rng.standard_normal((8, K))
wx_long = tp.tensor(rng.standard_normal((3, K)) / 3)
rotation = np.linalg.qr(rng.standard_normal((K, K)))[0]


def gradient(s, keep):
    wh = tp.tensor(s * rotation, requires_grad=True)
    last_state_cut(x_long, wx_long, wh, keep).backward(u_long)
    return wh.grad


def relative_error(s, keep):
    whole = gradient(s, T)
    return np.linalg.norm(gradient(s, keep) - whole) / np.linalg.norm(whole)


for s in (0.5, 1.0):
    print(f"s = {s}: error", *(f"{100 * relative_error(s, keep):.1f} % with {keep} steps" for keep in (2, 8)), sep="  ")
#> s = 0.5: error  24.9 % with 2 steps  0.4 % with 8 steps
#> s = 1.0: error  86.5 % with 2 steps  56.3 % with 8 steps

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2))
for s, colour, shift in ((0.5, BLUE, -0.2), (1.0, RED, 0.2)):
    copies_long = [tp.tensor(s * rotation, requires_grad=True) for _ in range(T)]
    last_state(x_long, wx_long, copies_long).backward(u_long)
    shares = [np.linalg.norm(copy.grad) for copy in copies_long]
    left.bar(np.arange(1, T + 1) + shift, shares, width=0.4, color=colour, label=f"s = {s}")
    right.plot(range(1, T + 1), [100 * relative_error(s, keep) for keep in range(1, T + 1)], color=colour, marker="o",
               markersize=3, label=f"s = {s}")
left.set(xlabel="step", ylabel="size of its share", title="who contributes to the gradient?")
right.set(xlabel="steps kept by truncation", ylabel="error of the gradient (%)", ylim=(0, None),
          title="what a cut costs")
right.legend()
show(figure, "truncation")

# %% [markdown]
# Truncation costs little if the network forgets anyway, and much if it remembers. That sounds harmless, but it is not:
# the gradient that was cut off is the one that would have *taught* the network to remember.
#
# ## What a truncated gradient cannot teach
# The task: given a stream of random signs, say at every step which sign came five steps ago. The network must keep five
# signs in its state. `tp.bce_with_logits` is the cross-entropy of a yes-or-no question; the sigmoid of its one logit is
# the probability of a plus. We train three times, with chunks of 3, 6 and 12 steps.

# %%
DELAY, LENGTH = 5, 12


def train_on_delay(k, steps, batch=32, hidden=24):
    """The losses during training with a cut every k steps."""
    rng = np.random.default_rng(0)
    net = RNN(1, hidden, 1, rng)
    adam = tp.optim.Adam(net.parameters(), rate=1e-2)
    losses = []
    for _ in range(steps):
        signs = rng.choice([-1, 1], size=(batch, LENGTH, 1)).astype(np.float32)
        h, loss = tp.tensor(np.zeros((batch, hidden), np.float32)), 0
        for t in range(LENGTH):
            logit, h = net(signs[:, t], h.detach() if t % k == 0 else h)  # (B,1)
            if t >= DELAY:
                truth = (signs[:, t - DELAY] + 1) / 2  # 1 for plus, 0 for minus
                loss = loss + tp.bce_with_logits(logit, truth).mean() / (LENGTH - DELAY)
        net.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


curves = {k: train_on_delay(k, size(200, 80)) for k in (3, 6, 12)}
last = {k: np.mean(losses[-10:]) for k, losses in curves.items()}
print("chunks of 12 steps learn it:", last[12] < 0.05)
print("chunks of 3 steps do not:", last[3] > 0.3)
#> chunks of 12 steps learn it: True
#> chunks of 3 steps do not: True

# %%
figure, ax = plt.subplots(figsize=(6.4, 3.4))
for (k, losses), colour in zip(curves.items(), (RED, GREEN, BLUE)):
    ax.plot(losses, color=colour, label=f"cut every {k} steps")
ax.axhline(np.log(2), color=GRAY, linestyle="--", label="ln 2: a coin toss")
ax.set(xlabel="iteration", ylabel="cross-entropy (nats)", title=f"which sign came {DELAY} steps ago?", ylim=(None, 1.3))
ax.legend(ncols=2, loc="upper right")
show(figure, "delay")

# %% [markdown]
# With chunks of 3, no gradient ever told the network to keep a sign for five steps. If it does better than a coin toss,
# its output reads traces of the past that remain in its state by chance.
#
# ### Exercise 10.3: which outputs teach? (medium, 10 minutes)
# With a cut before the steps 0, k, 2k, ..., the output of step t learns from the input of step t - d only if no cut
# lies between them. For how many of the outputs t = d, ..., T - 1 is that so? (For T = 12 and d = 5 this number
# explains the three curves.)
#
# *Hint:* how many steps back does backward get from step t? Start with k = 3 and write it down for t = 0, 1, 2, 3, 4.

# %%
def teaching_outputs(T, k, d):
    # <solution>
    return sum(t % k >= d for t in range(d, T))
    # </solution>


check("10.3", lambda: [teaching_outputs(*case) for case in ((12, 3, 5), (12, 6, 5), (12, 12, 5), (20, 7, 3),
                                                            (10, 4, 0), (17, 8, 6))], [0, 2, 7, 11, 10, 4])

# %% [markdown]
# ## What you have now
# A network with a state, its gradient by hand, and the price of cutting it.
#
# - The unrolled loop over time is `tinypredrnn/models/predictor.py`, `unroll`. By default it never cuts: Section 4.1
#   uses 20 frames, which fit. Its option `truncate` cuts, and is `--truncate` of the training commands.
# - Cutting is `tinypredrnn/autograd/tensor.py`, `detach`. Cells are functions of their state, so there is nothing else
#   to cut.
# - To save memory without cutting, `tinypredrnn/autograd/recompute.py`, `checkpoint`, keeps only some of the states and
#   computes the others again in the backward pass: lesson 20.
# - Shares of one weight are summed in `tinypredrnn/autograd/engine.py`, `Accumulator`; how often each node is used is
#   counted in `tinypredrnn/autograd/engine.py`, `count_consumers`.
#
# Real systems do the same. PyTorch's `detach()` and JAX's `stop_gradient` cut; `lax.scan` in JAX compiles the step once
# instead of recording it anew each time; both have gradient checkpointing (`torch.utils.checkpoint`, `jax.checkpoint`).
#
# One problem remains. With $s = 0.5$ the shares of early steps are next to nothing even without a cut. Lesson 11 is
# about that.
