# %% [markdown]
# # 8. Modules and Adam
#
# - **Idea:** parameters have names, so that they can be saved and loaded; and each gets steps of its own size, so that
#   it can learn.
# - **Minutes:** 60
# - **Needs:** lesson 6.
# - **You will see:** two swapped weights and no error message; a layer that never learns because it is in a list;
#   gradient descent that needs 2,487 steps where Adam needs 49, and a valley turned by 45 degrees that slows Adam down,
#   too; our Adam and the package's, which agree to 1e-12; and a network of two layers that learns the motion which was
#   too large for lesson 6's kernel.
# - **Why:** lesson 6 trained one array with one learning rate, which had been found by trial. A PredRNN has 30 arrays,
#   and no single rate suits them all.

# %%
import io

import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

# %% [markdown]
# ## Parameters without names
#
# Two layers have two arrays of weights. To keep them, we could put them into a list and save the list. What can go
# wrong? Other code may write the list in another order.

# %%
rng = np.random.default_rng(8)
picture = rng.standard_normal((1, 6, 6, 2)).astype(np.float32)


def network(x, weights):
    return tp.conv2d(tp.tanh(tp.conv2d(x, weights[0])), weights[1])


weights = [rng.standard_normal((3, 3, 2, 2)).astype(np.float32) for _ in range(2)]
saved = [weights[1], weights[0]]  # the order of another program
print("loaded without an error:", [w.shape for w in saved])
print("the same function:", np.allclose(network(picture, weights), network(picture, saved)))
#> loaded without an error: [(3, 3, 2, 2), (3, 3, 2, 2)]
#> the same function: False

# %% [markdown]
# All shapes fit, there is no error, and the network computes something else. Parameters need names.
#
# ## A module
#
# In Python, the things that an object holds *have* names: its attributes. A module is an object that holds tensors and
# other modules, and can list every tensor inside it, each by the path that leads to it.

# %%
class Module:
    def named_tensors(self):
        """Every tensor inside this module: [("first.weight", Tensor), ...]"""
        found = []
        for name, value in vars(self).items():
            if isinstance(value, tp.Tensor):
                found.append((name, value))
            elif isinstance(value, Module):
                found += [(f"{name}.{inner}", tensor) for inner, tensor in value.named_tensors()]
        return found

    def state_dict(self):
        return {name: tensor.data.copy() for name, tensor in self.named_tensors()}


class Conv(Module):
    """A convolution that owns its weights: (B,H,W,channels) -> (B,H,W,features)"""

    def __init__(self, channels, features, kernel, rng):
        bound = 1 / np.sqrt(kernel * kernel * channels)  # so that the sum over many inputs does not become large
        weight = rng.uniform(-bound, bound, (kernel, kernel, channels, features)).astype(np.float32)
        self.weight = tp.tensor(weight, requires_grad=True)
        self.bias = tp.tensor(np.zeros(features, np.float32), requires_grad=True)

    def __call__(self, x):
        return tp.conv2d(x, self.weight, self.bias)


class Net(Module):
    def __init__(self, rng):
        self.first = Conv(1, 4, 5, rng)
        self.second = Conv(4, 1, 5, rng)

    def __call__(self, x):
        return self.second(tp.tanh(self.first(x)))


for name, array in Net(np.random.default_rng(0)).state_dict().items():
    print(f"{name:14} {array.shape}")
#> first.weight   (5, 5, 1, 4)
#> first.bias     (4,)
#> second.weight  (5, 5, 4, 1)
#> second.bias    (1,)

# %% [markdown]
# `tp.nn.Module` is this class, and `tp.nn.Conv2d` is this convolution; there you write `forward`, and `net(x)` calls
# it. The same network gets the same names and starts from the same numbers. Its `load_state_dict` checks all names
# first: if one is missing or unknown, it raises an error and changes nothing.

# %%
class PackageNet(tp.nn.Module):
    def __init__(self, rng):
        self.first = tp.nn.Conv2d(1, 4, 5, rng)
        self.second = tp.nn.Conv2d(4, 1, 5, rng)

    def forward(self, x):
        return self.second(tp.tanh(self.first(x)))


ours, theirs = Net(np.random.default_rng(0)).state_dict(), PackageNet(np.random.default_rng(0)).state_dict()
same_numbers = all(np.array_equal(ours[name], theirs[name]) for name in ours)
print("same names:", list(ours) == list(theirs), "  same numbers:", same_numbers)
wrong = {name.replace("second", "last"): array for name, array in theirs.items()}
try:
    PackageNet(np.random.default_rng(1)).load_state_dict(wrong)
except tp.errors.CheckpointError as error:
    print("CheckpointError:", *str(error).split(": "), sep="\n    ")
#> same names: True   same numbers: True
#> CheckpointError:
#>     load_state_dict
#>     these weights belong to another model
#>     missing ['second.bias', 'second.weight'], unknown ['last.bias', 'last.weight']

# %% [markdown]
# How many arrays are there to keep in order? We build PredRNN with four layers, as in the paper (Section 4.1), but
# narrow:

# %%
model = tp.build_model("predrnn", size=(64, 64), channels=1, hidden=(8,) * 4, kernel=5, patch=4)
print(f"{len(model.state_dict())} arrays with {model.count_parameters():,} numbers")
#> 30 arrays with 114,512 numbers

# %% [markdown]
# ## The layer that never learnt
#
# Networks have many layers of one kind, so it is natural to keep them in a list.

# %%
class Stack(Module):
    def __init__(self, depth, rng):
        self.gain = tp.tensor(np.ones(1, np.float32), requires_grad=True)
        self.layers = [Conv(2, 2, 3, rng) for _ in range(depth)]


print([name for name, _ in Stack(2, rng).named_tensors()])
#> ['gain']

# %% [markdown]
# A list is neither a tensor nor a module, so `named_tensors` silently skips it. The object that makes the steps (the
# **optimiser**) never receives these layers, and no saved file (a **checkpoint**) contains them. (In PyTorch the same
# mistake is just as silent; `nn.ModuleList` avoids it.)
#
# ### Exercise 8.1: look into lists (stretch, 15 minutes)
#
# Write `named_tensors` so that it also finds what is in lists: the parts of the list `layers` are called `layers.0`,
# `layers.1`, ... They may be tensors or modules. Keep the order in which they were defined.
#
# *Hint:* a list is like several attributes in one. First turn each attribute into a dict of named parts; an attribute
# that is not a list has one part.

# %%
class ListModule(Module):
    def named_tensors(self):
        # <solution>
        found = []
        for name, value in vars(self).items():
            parts = {f"{name}.{i}": part for i, part in enumerate(value)} if isinstance(value, list) else {name: value}
            for path, part in parts.items():
                if isinstance(part, tp.Tensor):
                    found.append((path, part))
                elif isinstance(part, Module):
                    found += [(f"{path}.{inner}", tensor) for inner, tensor in part.named_tensors()]
        return found
        # </solution>


class Deep(ListModule):
    def __init__(self, depth):
        rng = np.random.default_rng(0)
        self.layers = [Conv(2, 2 + i, 1, rng) for i in range(2)]
        self.scales = [tp.tensor(np.ones(3)), tp.tensor(np.ones(4))]
        self.option = "same"
        self.inner = [Deep(depth - 1)] if depth else []
        self.last = Conv(1, 5, 3, rng)


def names_and_shapes(module):
    return [f"{name} {tensor.shape}" for name, tensor in module.named_tensors()]


level = [("layers.0.weight", (1, 1, 2, 2)), ("layers.0.bias", (2,)), ("layers.1.weight", (1, 1, 2, 3)),
         ("layers.1.bias", (3,)), ("scales.0", (3,)), ("scales.1", (4,))]
last = [("last.weight", (3, 3, 1, 5)), ("last.bias", (5,))]
check("8.1", lambda: names_and_shapes(Deep(1)),
      [f"{name} {shape}"
       for name, shape in level + [(f"inner.0.{name}", shape) for name, shape in level + last] + last])

# %% [markdown]
# ## A valley
#
# Now we turn to the steps. Here are two parameters and the simplest loss that is hard to minimise: a valley, flat along
# $a$, and steep across, along $b$:
#
# $$\tfrac12 \left(a^2 + s\, b^2\right)$$
#
# $s$ says how much steeper the sides are than the floor; it is the *condition number* of the matrix of second
# derivatives. We start at $a = -1$, $b = 0.3$ and want to come within 0.01 of the lowest point, (0, 0). The valley can
# also be turned by an angle, for later.

# %%
def rotation(angle):
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def valley(p, steep, turn=0.0):
    ab = p @ rotation(turn).T  # (1,2)
    return (ab * ab * np.array([1.0, steep])).sum() / 2


def start(turn=0.0):
    return tp.tensor(np.array([[-1.0, 0.3]]) @ rotation(turn), requires_grad=True)


class GradientDescent:
    def __init__(self, parameters, rate):
        self.parameters, self.rate = list(parameters), rate

    def step(self):
        for p in self.parameters:
            p.data = p.data - self.rate * p.grad


def descend(optimiser, steep, turn=0.0, limit=3000):
    """The path to within 0.01 of the lowest point: (steps + 1, 2)"""
    (p,) = optimiser.parameters
    path = [p.data]
    while len(path) <= limit and 0.01 < np.hypot(*p.data[0]) < 1e6:
        p.grad = None
        valley(p, steep, turn).backward()
        optimiser.step()
        path.append(p.data)
    return np.concatenate(path)


for rate in 0.019, 0.021:
    path = descend(GradientDescent([start()], rate), steep=100)
    print(f"rate {rate}: {len(path) - 1} steps, and then at distance {np.hypot(*path[-1]):.2g}")
#> rate 0.019: 241 steps, and then at distance 0.0098
#> rate 0.021: 158 steps, and then at distance 1e+06

# %% [markdown]
# With one rate, gradient descent crawls; with the other, hardly larger, it flies out of the valley. Look at a single
# step. The gradient is $(a,\; s\,b)$, so
#
# $$a \leftarrow (1 - \text{rate})\; a, \qquad b \leftarrow (1 - s \cdot \text{rate})\; b.$$
#
# With s = 100, a rate above 0.02 makes the factor of $b$ smaller than -1, and $b$ grows with each step. A rate below
# 0.02 shrinks $a$ by less than 2 % a step. The steep sides limit the rate, and the flat floor then takes many steps. In
# a steep valley the number of steps grows with $s$, even just below the limit $2 / s$:

# %%
steepness = 1, 10, 100, 1000
crawling = [len(descend(GradientDescent([start()], 1.85 / s), s)) - 1 for s in steepness]
print("steps:", dict(zip(steepness, crawling)))
#> steps: {1: 29, 10: 24, 100: 247, 1000: 2487}

# %% [markdown]
# ### Exercise 8.2: momentum (medium, 10 minutes)
#
# A rolling ball does not simply follow the slope; it has a velocity, which the slope changes. Write gradient descent
# with momentum: the velocity starts at 0, and each step computes $v \leftarrow \mu v + g$ and then
# $p \leftarrow p - \text{rate} \cdot v$, with the gradient $g$ at $p$. Return all positions, including the first:
# (steps + 1, 2). `gradient` is a function of $p$.
#
# *Hint:* `p = p - ...` makes a new array each time; `p -= ...` would change the positions that you have already stored.

# %%
def momentum_path(gradient, p, rate, mu, steps):
    # <solution>
    path, velocity = [p], 0.0
    for _ in range(steps):
        velocity = mu * velocity + gradient(p)
        p = p - rate * velocity
        path.append(p)
    return np.array(path)
    # </solution>


def heavy_ball(gradient, p, rate, mu, steps):
    # the same path, written differently: along the slope, plus mu times the previous step
    path = [p, p]
    for _ in range(steps):
        path.append(path[-1] - rate * gradient(path[-1]) + mu * (path[-1] - path[-2]))
    return np.array(path[1:])


def in_the_valley(path):
    return [path(lambda p: np.array([1.0, 100.0]) * p, np.array([-1.0, 0.3]), 0.01, mu, steps)
            for mu, steps in [(0.9, 48), (0.5, 7), (0, 3)]]


check("8.2", lambda: in_the_valley(momentum_path), in_the_valley(heavy_ball))

# %% [markdown]
# ## Adam
#
# Momentum still has one rate for all parameters. Adam goes further: it measures how large the gradient of each
# parameter usually *is*, and divides by that. A parameter on a steep side and one on the flat floor then both take
# steps of about the rate. Adam (Kingma and Ba, ICLR 2015, Algorithm 1) trained all models of the PredRNN paper,
# starting from a rate of $10^{-3}$ (Section 4). It keeps two running averages for each number, one of its gradient and
# one of the gradient's square, called its **moments**:
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2$$
#
# $$\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}, \qquad
# p \leftarrow p - \text{rate}\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}$$
#
# $t$ counts the steps, and the tiny $\epsilon$ prevents 0 / 0 for a parameter whose gradient was always 0.

# %%
class Adam:
    def __init__(self, parameters, rate=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.parameters, self.rate, self.betas, self.eps, self.t = list(parameters), rate, betas, eps, 0
        self.m = [np.zeros_like(p.data) for p in self.parameters]
        self.v = [np.zeros_like(p.data) for p in self.parameters]

    def step(self):
        self.t += 1
        beta1, beta2 = self.betas
        for i, p in enumerate(self.parameters):
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * p.grad
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * p.grad ** 2
            m_hat = self.m[i] / (1 - beta1 ** self.t)
            v_hat = self.v[i] / (1 - beta2 ** self.t)
            p.data = p.data - self.rate * m_hat / (np.sqrt(v_hat) + self.eps)


walking = [len(descend(Adam([start()], rate=0.1), s)) - 1 for s in steepness]
print("steps:", dict(zip(steepness, walking)))
#> steps: {1: 49, 10: 49, 100: 49, 1000: 49}

# %% [markdown]
# The steepness no longer matters. Multiply a gradient by 1000, and $\hat m$ and $\sqrt{\hat v}$ both grow by the factor
# 1000: the step stays the same. For the same reason, Adam behaves alike whether a loss is a sum over pixels or their
# mean.
#
# What are the hats for? Both averages start at 0, so they are too small at first, and by different factors. Suppose
# that the gradient is always the same: then every step should be as long as the rate. Here are the first five steps, in
# units of the rate, without hats and with them:

# %%
t = np.arange(1, 6)
m, v = 1 - 0.9 ** t, 1 - 0.999 ** t  # what the averages of a constant gradient 1 have reached
print("without", (m / np.sqrt(v)).round(2))
print("with   ", (m / (1 - 0.9 ** t) / np.sqrt(v / (1 - 0.999 ** t))).round(2))
#> without [3.16 4.25 4.95 5.44 5.8 ]
#> with    [1. 1. 1. 1. 1.]

# %% [markdown]
# ## The package's Adam
#
# The package's Adam computes the same in another order, which saves passes over large arrays. We train the network
# above with both, in float64, from the same start, on the same batch:

# %%
def train(net, optimiser, now, then, steps):
    """Learn to turn frames `now` into frames `then`; returns the losses: squared differences, summed over a frame and
    averaged over frames"""
    losses = []
    for _ in range(steps):
        loss = ((net(now) - then) ** 2).sum() / len(now)
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            break
        net.zero_grad()
        loss.backward()
        optimiser.step()
    return losses


images, _ = draw_digits(np.random.default_rng(6), 8)
now = np.pad((images / 255)[..., None].astype(np.float32), ((0, 0), (2, 2), (2, 2), (0, 0)))  # (8,32,32,1)
then = np.roll(now, (4, 0), axis=(1, 2))  # four pixels down, as in lesson 6

trained = []
for optimiser in Adam, tp.optim.Adam:
    net = PackageNet(np.random.default_rng(0)).to(dtype=np.float64)
    train(net, optimiser(net.parameters()), now[:2].astype(np.float64), then[:2].astype(np.float64), steps=20)
    trained.append(net.state_dict())
difference = max(abs(trained[0][name] - trained[1][name]).max() for name in trained[0])
print("after 20 steps they agree to 1e-12:", difference < 1e-12)
#> after 20 steps they agree to 1e-12: True

# %% [markdown]
# ## What Adam cannot do
#
# Adam measures steepness along each *parameter*. A diagonal valley has the same steepness along both, and Adam cannot
# see the valley. We turn it by 45 degrees, and give Adam the best of three rates:

# %%
RATES = 0.1, 0.2, 0.4
turned = [min(len(descend(Adam([start(np.pi / 4)], rate), s, np.pi / 4)) - 1 for rate in RATES) for s in steepness]
print("steps:", dict(zip(steepness, turned)))
#> steps: {1: 43, 10: 63, 100: 51, 1000: 373}

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8), width_ratios=[1.15, 1])
a, b = np.meshgrid(np.linspace(-1.1, 0.35, 200), np.linspace(-0.42, 0.42, 200))
left.contour(a, b, (a * a + 100 * b * b) / 2, levels=np.geomspace(0.01, 8, 9), colors="0.75", linewidths=0.8)
for name, optimiser, colour, marker in [("gradient descent", GradientDescent([start()], 1.85 / 100), ORANGE, "o"),
                                        ("Adam", Adam([start()], 0.1), BLUE, "s")]:
    path = descend(optimiser, 100)
    left.plot(*path.T, "-", marker=marker, color=colour, ms=3, lw=0.8, label=f"{name}, {len(path) - 1} steps")
left.plot(0, 0, "k*", ms=9)
left.set(xlabel="a: along the valley", ylabel="b: across", title="steepness 100")
left.legend(frameon=False, loc="upper right", fontsize=9)
for name, counts, colour, marker in [("gradient descent", crawling, ORANGE, "o"),
                                     ("Adam, turned valley", turned, GREEN, "^"), ("Adam", walking, BLUE, "s")]:
    right.loglog(steepness, counts, "-", marker=marker, color=colour, label=name)
right.set(xlabel="steepness s", ylabel="steps to the lowest point", title="what steepness costs")
right.legend(frameon=False, fontsize=9)
figure.tight_layout()
show(figure, "valley")

# %% [markdown]
# At steepness 1000 Adam now needs 373 steps instead of 49.
#
# Nor does Adam come to rest. Its steps are about as long as the rate, wherever it is. If gradients are noisy, as they
# are when every batch is different, it hovers around the lowest point at a distance that depends on the rate:

# %%
def hover(rate, steps=4000):
    """The mean distance from the lowest point of p^2 / 2 in the second half of the steps, with noisy gradients"""
    noise, distances = np.random.default_rng(0).standard_normal(steps), []
    p = tp.tensor(np.zeros(1), requires_grad=True)
    optimiser = Adam([p], rate)
    for n in noise:
        p.grad = p.data + n
        optimiser.step()
        distances.append(abs(p.data[0]))
    return np.mean(distances[steps // 2:])


print("distance:", {rate: float(hover(rate).round(3)) for rate in (0.1, 0.01, 0.001)})
#> distance: {0.1: 0.177, 0.01: 0.058, 0.001: 0.025}

# %% [markdown]
# That is why training *starts* with one rate, and lowers it later.
#
# ## Two layers see further
#
# Lesson 6 ended with a failure: a motion of 4 pixels is out of reach for a 5x5 kernel. Two layers of 5x5 reach 4
# pixels. We let the network learn that motion, with gradient descent and with Adam, each at several rates. We print the
# error at the last step, divided by the error of predicting that nothing moves.

# %%
baseline = float(((now - then) ** 2).sum() / len(now))
steps = size(90, 12)
curves = {}
for optimiser, rates in (GradientDescent, (1e-4, 3e-4, 3e-3)), (tp.optim.Adam, (1e-3, 1e-2)):
    for rate in rates:
        net = PackageNet(np.random.default_rng(0))
        with np.errstate(over="ignore", invalid="ignore"):  # one of them diverges
            losses = np.array(train(net, optimiser(net.parameters(), rate=rate), now, then, steps)) / baseline
        curves[f"{optimiser.__name__}, rate {rate:g}"] = losses
        result = f"{losses[-1]:.3f}" if losses[-1] < 10 else "diverged"
        print(f"{optimiser.__name__:16} rate {rate:<7g} {result}")
#~ GradientDescent  rate 0.0001  0.101
#~ GradientDescent  rate 0.0003  0.030
#~ GradientDescent  rate 0.003   diverged
#~ Adam             rate 0.001   0.141
#~ Adam             rate 0.01    0.007

# %%
figure, ax = plt.subplots(figsize=(7.4, 3.8))
styles = [("-", 1.2), ("--", 1.6), (":", 2.4)]
for i, (name, losses) in enumerate(curves.items()):
    style, width = styles[i % 3]
    ax.semilogy(np.clip(losses, None, 10), style, lw=width, color=ORANGE if i < 3 else BLUE, label=name)
ax.set(xlabel="step", ylabel="error (1: nothing moves)", ylim=(1e-3, 3))
ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
show(figure, "curves")

# %% [markdown]
# Plain gradient descent works if you find its rate; ten times as much is fatal. Adam works over a range of rates, from
# the paper's $10^{-3}$ to ten times that. It is the better start if you do not know the valley.
#
# ## A run that continues
#
# A run of several days will be interrupted. What must be saved so that it continues as if nothing had happened? The
# parameters, of course. We try it with Adam's moments and its count of steps as well, and then with the parameters
# alone:

# %%
def begin():
    net = PackageNet(np.random.default_rng(0))
    return net, tp.optim.Adam(net.parameters(), rate=1e-2)


few_now, few_then = now[:2], then[:2]
net, optimiser = begin()
train(net, optimiser, few_now, few_then, 10)
file = io.BytesIO()  # a file, in memory
np.savez(file, **{f"net.{name}": array for name, array in net.state_dict().items()},
         **{f"adam.{name}": array for name, array in optimiser.state_dict().items()})
train(net, optimiser, few_now, few_then, 10)
uninterrupted = net.state_dict()

for with_moments in True, False:
    file.seek(0)
    loaded = np.load(file, allow_pickle=False)  # a checkpoint is data: nothing in it may be executed
    net, optimiser = begin()
    net.load_state_dict({name[4:]: loaded[name] for name in loaded if name.startswith("net.")})
    if with_moments:
        optimiser.load_state_dict({name[5:]: loaded[name] for name in loaded if name.startswith("adam.")})
    train(net, optimiser, few_now, few_then, 10)
    same = all(np.array_equal(array, uninterrupted[name]) for name, array in net.state_dict().items())
    print(f"moments loaded: {with_moments!s:5}   the same run to the last bit: {same}")
#> moments loaded: True    the same run to the last bit: True
#> moments loaded: False   the same run to the last bit: False

# %% [markdown]
# ### Exercise 8.3: limit the gradients (easy, 10 minutes)
#
# Recurrent networks now and then meet an enormous gradient, and a single step along it can ruin them. The remedy is to
# limit it: regard all gradients together as one long vector; if its Euclidean length is more than `limit`, scale all of
# them so that it becomes `limit`; otherwise leave them unchanged. Return a list of new arrays.
#
# *Hint:* the square of the length is the sum of the squares of all elements of all arrays. Scale all arrays by the same
# factor, which keeps the direction.

# %%
def clipped(gradients, limit):
    # <solution>
    length = np.sqrt(sum((g * g).sum() for g in gradients))
    return [g * min(1.0, limit / length) for g in gradients]
    # </solution>


steep_ones = [np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([12.0])]  # length 13
for array in steep_ones:
    array.flags.writeable = False  # the answer must consist of new arrays
check("8.3", lambda: clipped(steep_ones, 6.5) + clipped(steep_ones, 20.0) + clipped(steep_ones[:1], 1.0),
      [np.array([[1.5, 0.0], [0.0, 2.0]]), np.array([6.0])] + steep_ones + [np.array([[0.6, 0.0], [0.0, 0.8]])])

# %% [markdown]
# ## What you have now
#
# - Parameters by name: `tinypredrnn/nn/module.py`, `named_tensors`; `tinypredrnn/nn/module.py`, `load_state_dict`. The
#   names are those in every checkpoint of the package.
# - Layers that own their weights: `tinypredrnn/nn/layers.py`, `Conv2d`; their initial values:
#   `tinypredrnn/nn/module.py`, `fan_in_uniform`.
# - Adam, which can also save its state: `tinypredrnn/optim.py`, `Adam`; and the limit: `tinypredrnn/optim.py`,
#   `clip_gradients`.
# - A checkpoint that continues a run to the last bit contains the model, the moments, the step and the random state:
#   `tinypredrnn/train/checkpoint.py`.
#
# **What real systems do differently.** PyTorch registers parameters when attributes are set, and so needs
# `nn.Parameter` and `nn.ModuleList`; JAX keeps parameters outside the model, in nested dicts. Both can update all
# arrays in one fused kernel. Large models use AdamW, which also pulls weights towards 0, and methods such as Shampoo
# and Muon, which look at more than one parameter at a time, with the turned valley in mind. The moments are two more
# copies of the model; for large models, where to keep them is a question of its own.
