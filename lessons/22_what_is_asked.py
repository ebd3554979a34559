# %% [markdown]
# # 22. Rivals that predict errors, or take the image apart
#
# - **Idea:** a network learns what its output, its input and its loss ask for; VPN, PredNet and MCnet each ask for the
#   next frame in another way.
# - **Minutes:** 55
# - **Needs:** lessons 8 (Adam), 13 (teacher forcing), 14 (cross-entropy, two futures) and 21 (the films of shapes).
# - **You will see:** a network that stays black under one loss and learns under another; images drawn pixel by pixel,
#   of which nine in ten are right, but none if all pixels are drawn at once; a network whose input is its own errors,
#   and whose forecast goes black when there are no errors; and a loss that prefers a guess to a blur.
# - **Why:** in our own table of ten networks, `vpn` has the error of a black picture, to the last digit. In the paper's
#   table it is the best of the rivals. This lesson finds out how a network can get stuck at black.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.models.mcnet import gradient_difference
from tinypredrnn.models.prednet import differences
from tinypredrnn.viz.colours import SERIES

# %% [markdown]
# ## A picture, through a sigmoid
# `python examples/compare_models.py` trains ten networks under one budget; `examples/RESULTS.md` has its table. On two
# digits, predicting black has a squared error of 174.0 per frame, and after its 369 iterations `vpn` has 174.0 as well.
# VPN's last operation is a sigmoid, and in that table all networks are trained with the squared error.
#
# We repeat this in small, with two shapes that bounce (the films of lesson 21). A network of three convolutions sees
# two frames and predicts the next one. It is trained in three ways: with a plain output and the squared error (L2),
# with a sigmoid and L2, and with a sigmoid and the cross-entropy of lesson 14. The rest is the same: 200 steps of Adam,
# two seeds.

# %%
SIDE, FRAMES, GIVEN = 16, 7, 3
SHAPES = np.array([[pixel == "#" for pixel in text] for text in (".#.###.#.", "####.####", "#..#..###")],
                  np.float32).reshape(3, 3, 3)


def world(rng, count):
    """Two shapes that move diagonally and bounce: (count,FRAMES,SIDE,SIDE,1)"""
    films, room = np.zeros((count, FRAMES, SIDE, SIDE, 1), np.float32), SIDE - 3
    for film in films:
        for shape in SHAPES[rng.integers(3, size=2)]:
            start = rng.integers(2 * room, size=2)
            for t in range(FRAMES):
                row, column = room - abs((start + t) % (2 * room) - room)
                part = film[t, row:row + 3, column:column + 3, 0]
                part[...] = np.maximum(part, shape)
    return films


films, test = world(np.random.default_rng(0), 256), world(np.random.default_rng(1), 64)


class Network(tp.nn.Module):
    """Two frames, side by side as channels (B,H,W,2) -> the next one (B,H,W,1)"""

    def __init__(self, ends_in_sigmoid, rng):
        self.layers = [tp.nn.Conv2d(2, 12, 5, rng), tp.nn.Conv2d(12, 12, 5, rng)]
        self.last, self.ends_in_sigmoid = tp.nn.Conv2d(12, 1, 3, rng), ends_in_sigmoid

    def forward(self, x):
        for layer in self.layers:
            x = tp.tanh(layer(x))
        x = self.last(x)
        return tp.sigmoid(x) if self.ends_in_sigmoid else x


def pairs(films, t):
    """Frames t - 1 and t as channels, and frame t + 1"""
    return tp.tensor(np.concatenate([films[:, t - 1], films[:, t]], axis=-1)), films[:, t + 1]


STEPS = size(200, 60)


def train(ends_in_sigmoid, loss, seed):
    """The squared error on the test films after every 10 steps, divided by that of black"""
    rng, curve = np.random.default_rng(seed), []
    network = Network(ends_in_sigmoid, rng)
    adam, loss = tp.optim.Adam(network.parameters()), tp.nn.find_loss(loss)
    x, truth = pairs(test, GIVEN)
    for k in range(STEPS):
        inputs, targets = pairs(films[rng.integers(len(films), size=8)], rng.integers(1, FRAMES - 1))
        network.zero_grad()
        loss(network(inputs), targets).backward()
        adam.step(rate=0.01 * (1 - k / STEPS))
        if k % 10 == 9:
            with tp.no_grad():
                curve.append(((network(x).data - truth) ** 2).sum() / (truth ** 2).sum())
    return np.array(curve)


WAYS = {"plain output, L2": (False, "l2"), "sigmoid, L2": (True, "l2"), "sigmoid, cross-entropy": (True, "bce")}
curves = {way: [train(*options, seed) for seed in (0, 1)] for way, options in WAYS.items()}
for way, (first, second) in curves.items():
    print(f"{way:22}: error / black {first[-1]:.3f} and {second[-1]:.3f}")
ends = {way: [curve[-1] for curve in both] for way, both in curves.items()}
print("through a sigmoid, L2 stays within 2 % of black:", all(abs(end - 1) < 0.02 for end in ends["sigmoid, L2"]))
print("cross-entropy has at most 0.7 of it:", max(ends["sigmoid, cross-entropy"]) < 0.7)
#? plain output, L2      : error / black 0.239 and 0.224
#? sigmoid, L2           : error / black 1.000 and 1.000
#? sigmoid, cross-entropy: error / black 0.268 and 0.298
#> through a sigmoid, L2 stays within 2 % of black: True
#> cross-entropy has at most 0.7 of it: True

# %% [markdown]
# Neither the sigmoid nor L2 does harm on its own; only the two together do.
#
# ## The pull on a pixel
# A sigmoid makes a pixel $p = 1 / (1 + e^{-z})$ of a number $z$, which is called the logit. The gradient of the loss
# with respect to $z$ is what pulls the pixel towards its true value $y$.
#
# ### Exercise 22.1: two pulls (easy, 5 minutes)
# Return the derivative with respect to $z$ of the squared error $(p - y)^2$ and of the cross-entropy
# $-y \ln p - (1 - y) \ln(1 - p)$, both in terms of $p$ and $y$.
#
# *Hint:* $dp/dz = p (1 - p)$. Multiply it by the derivative with respect to $p$. The second result is very short.

# %%
def pulls(p, y):
    """-> [of the squared error, of the cross-entropy]"""
    # <solution>
    return [2 * (p - y) * p * (1 - p), p - y]
    # </solution>


def by_autograd(z, y):
    found = []
    for loss in ("l2", "bce"):
        leaf = tp.tensor(np.array(z), requires_grad=True)
        tp.nn.find_loss(loss)(tp.sigmoid(leaf), y).backward()
        found.append(float(leaf.grad))
    return found


some_pixels = [(z, y) for z in (-3.0, 0.5, 2.0) for y in (0.0, 0.3, 1.0)]
check("22.1", lambda: {f"z = {z}, y = {y}": pulls(1 / (1 + np.exp(-z)), y) for z, y in some_pixels},
      {f"z = {z}, y = {y}": by_autograd(z, y) for z, y in some_pixels})

# %% [markdown]
# The pull of the squared error has a factor that the other lacks: $p (1 - p)$. At the start, all pixels are grey, and
# 95 of 100 have to become black. The quickest way is to lower all logits together. After that, the few pixels that
# should be white have a $p$ near 0, and so a pull near 0. For a single white pixel we can count: how many steps of
# gradient descent, with a rate of 1, does it take from the logit $-a$ to $p = 1/2$?

# %%
def steps_to_half(a, loss):
    z, count = -a, 0
    while z < 0:
        p = 1 / (1 + np.exp(-z))
        z -= 2 * (p - 1) * p * (1 - p) if loss == "l2" else p - 1
        count += 1
    return count


for a in (2.0, 4.0, 6.0, 8.0):
    print(f"from p = {1 / (1 + np.exp(a)):.4f}: L2 {steps_to_half(a, 'l2'):4} steps, "
          f"cross-entropy {steps_to_half(a, 'bce'):2}")
#> from p = 0.1192: L2    8 steps, cross-entropy  3
#> from p = 0.0180: L2   36 steps, cross-entropy  5
#> from p = 0.0025: L2  214 steps, cross-entropy  7
#> from p = 0.0003: L2 1507 steps, cross-entropy  9

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
p = np.linspace(0, 1, 201)
colours = dict(zip(curves, SERIES))
axes[0].plot(p, 2 * (1 - p) * p * (1 - p), color=SERIES[1], label="L2")
axes[0].plot(p, 1 - p, color=SERIES[2], label="cross-entropy")
axes[0].set(xlabel="p, predicted", ylabel="pull on the logit", title="A pixel that should be white")
for way, both in curves.items():
    for curve, line in zip(both, "-:"):
        axes[1].plot(10 * np.arange(1, len(curve) + 1), curve, line, color=colours[way],
                     label=way if line == "-" else None)
axes[1].axhline(1, color="0.6", linewidth=1)
axes[1].set(xlabel="steps", ylabel="error / error of black", ylim=(0, 1.3), title="Training (dotted: another seed)")
for ax in axes:
    ax.legend(fontsize=8)
show(figure, "stuck")

# %% [markdown]
# VPN's authors trained it by cross-entropy: its output is not a picture, but for each pixel the *probability* of white.
# `python examples/compare_models.py --models vpn vpn:loss=bce` compares both losses.
#
# ## An image as a product
# What the paper's Table 1 calls "VPN baseline" ends here. The whole Video Pixel Network goes further. Let there be six
# futures, all equally probable: one of three shapes, at one of two places. If each pixel is predicted on its own, the
# best probability of a pixel is its share of white in the futures.

# %%
FUTURES = np.zeros((6, 3, 7, 1), np.float32)
for n, shape in enumerate(SHAPES):
    FUTURES[2 * n, :, :3, 0] = FUTURES[2 * n + 1, :, 4:, 0] = shape


def nats(probabilities, images):
    """The cross-entropy of an image, the mean over the images"""
    p = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return float(-(images * np.log(p) + (1 - images) * np.log(1 - p)).sum(axis=(1, 2, 3)).mean())


def real(images):
    """The share of images that are one of the futures"""
    return np.mean([(image == FUTURES).all(axis=(1, 2, 3)).any() for image in images])


share = FUTURES.mean(axis=0)
numbers = np.random.default_rng(5).random((200, 3, 7, 1))  # a uniform random number for each pixel of 200 images
print(f"each pixel on its own: {nats(share, FUTURES):.2f} nats; six equally probable futures: {np.log(6):.2f}")
print(f"of 200 images whose pixels are drawn on their own, {real(numbers < share):.0%} are one of the futures")
#> each pixel on its own: 10.94 nats; six equally probable futures: 1.79
#> of 200 images whose pixels are drawn on their own, 0% are one of the futures

# %% [markdown]
# No network that predicts each pixel on its own can do better, however large it is and however long it is trained. But
# any distribution of images is a product,
#
# $$p(x_1, x_2, \ldots, x_n) = p(x_1)\; p(x_2 \mid x_1)\; p(x_3 \mid x_1, x_2) \cdots$$
#
# pixel by pixel, in rows from top to bottom, and in each row from left to right. So VPN outputs the probability of a
# pixel *given all pixels before it*. In training, its input is the true image (and the frames before it, which we leave
# out here). The output at a pixel must not depend on that pixel or on a later one, or else there is nothing to predict.
# A **masked convolution** guarantees this: some weights of its kernel are multiplied by 0.
#
# ### Exercise 22.2: the mask (medium, 8 minutes)
# Return the mask for a kernel of `side` x `side` weights (`side` is odd): 1 where a weight looks at an earlier pixel,
# and 0 where it looks at a later one. The weight in the middle looks at the pixel itself: there the mask is `middle`,
# which is 0 or 1.
#
# *Hint:* as in lesson 21, the weight to the left of the middle looks at the pixel on the left. Which rows are earlier
# as a whole? Which part of the middle row?

# %%
def mask(side, middle):
    """-> (side,side)"""
    # <solution>
    found, half = np.zeros((side, side)), side // 2
    found[:half] = found[half, :half] = 1
    found[half, half] = middle
    return found
    # </solution>


def what_looks_at_the_middle(mask):
    """The pixels of a 9x9 frame whose output depends on the middle pixel, with a kernel of ones under this mask"""
    dot = np.zeros((1, 9, 9, 1))
    dot[0, 4, 4] = 1
    return None if mask is None else tp.conv2d(dot, np.array(mask, float)[:, :, None, None])[0, :, :, 0] > 0.5


def later(side, middle):
    rows, columns = np.indices((9, 9)) - 4
    is_later = (9 * rows + columns > 0) | (middle == 1) & (rows == 0) & (columns == 0)
    return is_later & (abs(rows) <= side // 2) & (abs(columns) <= side // 2)


some_masks = {f"who sees pixel (4, 4), side {side}, middle {middle}": (side, middle)
              for side, middle in ((3, 0), (3, 1), (5, 0), (7, 1))}
check("22.2", lambda: {name: what_looks_at_the_middle(mask(*case)) for name, case in some_masks.items()},
      {name: later(*case) for name, case in some_masks.items()})

# %% [markdown]
# In the first layer the middle is 0. In the layers after it, it is 1: what they find at a pixel was computed from
# earlier pixels only. Here are three masked convolutions, trained on the six futures by cross-entropy, with two seeds.

# %%
class Chain(tp.nn.Module):
    """Images (B,H,W,1) -> for each pixel the probability that it is white, given those before it"""

    def __init__(self, rng):
        self.layers = [tp.nn.Conv2d(inputs, outputs, 5, rng) for inputs, outputs in ((1, 16), (16, 16), (16, 1))]
        order = np.arange(25).reshape(5, 5, 1, 1)  # the middle is number 12
        self.masks = [(order < 12).astype(np.float32)] + 2 * [(order <= 12).astype(np.float32)]

    def forward(self, x):
        for k, (layer, mask) in enumerate(zip(self.layers, self.masks)):
            x = tp.conv2d(tp.tanh(x) if k else x, layer.weight * mask, layer.bias)
        return tp.sigmoid(x)

    def probabilities(self, images):
        with tp.no_grad():
            return self(tp.tensor(images)).data


def learn_chain(seed, steps=200):
    network = Chain(np.random.default_rng(seed))
    adam = tp.optim.Adam(network.parameters())
    for k in range(steps):
        network.zero_grad()
        (tp.bce(network(tp.tensor(FUTURES)), FUTURES).sum() / len(FUTURES)).backward()
        adam.step(rate=0.03 * (1 - k / steps))
    return network


chains = [learn_chain(seed) for seed in (0, 1)]
changed = FUTURES.copy()
changed[:, 1, 3] = 1 - changed[:, 1, 3]  # pixel 10 of 21, counted from 0
before, after = (chains[0].probabilities(images).reshape(6, 21) for images in (FUTURES, changed))
print("a changed pixel changes no probability up to its own:", np.allclose(before[:, :11], after[:, :11], atol=1e-6))
print("it changes some of the later ones:", abs(before - after)[:, 11:].max() > 0.01)
found = [nats(chain.probabilities(FUTURES), FUTURES) for chain in chains]
print("nats of an image, two seeds:", *(f"{value:.2f}" for value in found))
print("less than a quarter of pixels on their own:", max(found) < nats(share, FUTURES) / 4)
#> a changed pixel changes no probability up to its own: True
#> it changes some of the later ones: True
#? nats of an image, two seeds: 1.96 1.96
#> less than a quarter of pixels on their own: True

# %% [markdown]
# ### Exercise 22.3: pixel by pixel (stretch, 10 minutes)
# Draw images. `probabilities` is a function from images (N,H,W,1) to the probability of each of their pixels, given
# those before it (what it returns at a pixel does not depend on that pixel or on later ones). A pixel is white, 1, if
# its number in `numbers` (N,H,W,1) is below its probability, otherwise 0. The first pixel is the one at the top left.
#
# *Hint:* begin with black images. How often must the function be called? It has to see what was drawn.

# %%
def draw(probabilities, numbers):
    """-> images (N,H,W,1) of 0 and 1"""
    # <solution>
    images = np.zeros(numbers.shape, np.float32)
    for i, j in np.ndindex(images.shape[1:3]):
        images[:, i, j] = numbers[:, i, j] < probabilities(images)[:, i, j]
    return images
    # </solution>


def draw_in_a_row(probabilities, numbers):
    images = np.zeros((len(numbers), numbers[0].size), np.float32)
    for k in range(images.shape[1]):
        given = probabilities(images.reshape(numbers.shape)).reshape(images.shape)
        images[:, k] = numbers.reshape(images.shape)[:, k] < given[:, k]
    return images.reshape(numbers.shape)


def urn(images):
    """The more white pixels were drawn, the more probable is the next: (white ones before + 1) / (all before + 2)"""
    flat = images.reshape(len(images), -1)
    white = np.cumsum(flat, axis=1) - flat
    return ((white + 1) / (np.arange(flat.shape[1]) + 2)).reshape(images.shape)


check("22.3", lambda: draw(urn, numbers[:20]), draw_in_a_row(urn, numbers[:20]))

# %%
drawn = [draw_in_a_row(chain.probabilities, numbers) for chain in chains]
print("of 200 images drawn pixel by pixel, these are one of the futures:", *(f"{real(images):.0%}" for images in drawn))
print("more than half:", min(real(images) for images in drawn) > 0.5)
#? of 200 images drawn pixel by pixel, these are one of the futures: 90% 90%
#> more than half: True

# %%
figure, axes = plt.subplots(3, 6, figsize=(8, 2.5), layout="constrained")
rows = {"futures": FUTURES, "on their own": numbers < share, "one by one": drawn[0]}
for line, (name, images) in zip(axes, rows.items()):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(line, images):
        ax.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
show(figure, "draws")

# %% [markdown]
# Nine in ten of the images that are drawn pixel by pixel show one shape at one place. The price is time. An image of 21
# pixels takes 21 passes, and one of 64x64 takes 4,096, one after another. Section 4.3 of the paper says that VPN takes
# 15 minutes for one radar map. So the paper compares PredRNN with "VPN's baseline": no masks, all pixels in one pass,
# each on its own. On Moving MNIST the published cross-entropy is 87.6 nats per frame with masks and 110.1 without
# (Kalchbrenner et al. 2017, on a test set of their own). `tinypredrnn/models/vpn.py` is the baseline.
#
# > **A place to rest.** If exercises 22.1 to 22.3 are OK, you know VPN, and why its loss is the cross-entropy. What
# > follows are two networks whose inputs are taken apart.
#
# ## Errors
# PredNet (Lotter et al. 2017) outputs a picture. What is different is its input: each layer predicts the layer below
# it, and only what was not predicted goes up to the layer above. Two numbers for each pixel say what was not predicted:
# by how much the prediction $\hat A$ was too bright, and by how much it was too dark.
#
# ### Exercise 22.4: error units (easy, 5 minutes)
# Return $E = [\mathrm{ReLU}(\hat A - A), \mathrm{ReLU}(A - \hat A)]$, side by side as channels.
#
# *Hint:* ReLU$(x)$ is the larger of $x$ and 0.

# %%
def error_units(prediction, truth):
    """(H,W,C) twice -> (H,W,2C)"""
    # <solution>
    return np.concatenate([np.maximum(prediction - truth, 0), np.maximum(truth - prediction, 0)], axis=-1)
    # </solution>


some_prediction, some_truth = np.random.default_rng(2).random((2, 4, 5, 3))
check("22.4", lambda: error_units(some_prediction, some_truth),
      np.concatenate(differences(some_prediction, some_truth), axis=-1))

# %% [markdown]
# In training, PredNet's authors use true frames at every step (lesson 13's teacher forcing). We train the package's
# PredNet in this way, with width 4, by L2, for 60 steps, with two seeds. Then it predicts the test films twice: with
# true frames at every step, and alone after the third frame. `E` is the sum of the lowest layer's error units in each
# step.

# %%
def train_prednet(loss, seed, steps):
    """(the network, the norm of its last gradient)"""
    rng, loss, batch = np.random.default_rng(seed), tp.nn.find_loss(loss), 4
    network = tp.build_model("prednet", size=(SIDE, SIDE), channels=1, width=4, seed=seed)
    adam = tp.optim.Adam(network.parameters())
    for k in range(steps):
        frames = films[rng.integers(len(films), size=batch)]
        network.zero_grad()
        loss(network.unroll(frames, np.ones((batch, FRAMES - 1))), frames[:, 1:]).backward()
        norm = np.sqrt(sum(float((p.grad ** 2).sum()) for p in network.parameters() if p.grad is not None))
        adam.step(rate=0.01 * (1 - k / steps))
    return network, norm


def watch(network, alone_after):
    """(squared error of each predicted frame, divided by that of black; the error units' sum at each step)"""
    state, prediction, errors, units = network.start(tp.tensor(test)), None, [], []
    with tp.no_grad():
        for t in range(FRAMES - 1):
            # from step `alone_after` on, its own predictions go in
            x = tp.tensor(test[:, t]) if t < alone_after else network.feedback(prediction, state)
            prediction, state = network.step(x, state)
            errors.append(((prediction.data - test[:, t + 1]) ** 2).sum() / (test[:, t + 1] ** 2).sum())
            units.append(state.errors[0].data.sum() / len(test))
    return np.array(errors), np.array(units)


prednets = [train_prednet("l2", seed, steps=size(60, 20))[0] for seed in (0, 1)]
for seed, network in enumerate(prednets):
    for name, alone_after in (("true frames", FRAMES), ("alone", GIVEN)):
        error, units = watch(network, alone_after)
        print(f"seed {seed}, {name:11}: error / black", *(f"{value:.2f}" for value in error), "  E",
              *(f"{value:.1f}" for value in units))
by_truth, alone = (np.array([watch(network, after)[0] for network in prednets]) for after in (FRAMES, GIVEN))
print("the last frame, at most 0.8 of black with true frames, at least 0.9 alone:",
      by_truth[:, -1].max() < 0.8, alone[:, -1].min() > 0.9)
print("its error units alone, exactly 0:", all((watch(network, GIVEN)[1][GIVEN:] == 0).all() for network in prednets))
#? seed 0, true frames: error / black 0.68 0.56 0.55 0.54 0.54 0.54   E 11.5 15.5 13.7 14.1 13.8 13.7
#? seed 0, alone      : error / black 0.68 0.56 0.55 0.93 0.97 1.00   E 11.5 15.5 13.7 0.0 0.0 0.0
#? seed 1, true frames: error / black 0.72 0.59 0.55 0.57 0.58 0.59   E 11.5 16.5 14.4 12.8 13.1 12.9
#? seed 1, alone      : error / black 0.72 0.59 0.55 1.00 1.00 1.00   E 11.5 16.5 14.4 0.0 0.0 0.0
#> the last frame, at most 0.8 of black with true frames, at least 0.9 alone: True True
#> its error units alone, exactly 0: True

# %% [markdown]
# Without true frames, the forecast goes black within three frames. The network's prediction takes the place of the
# frame, so its error units are 0, and nothing goes up. In training there were errors at every step, and the network
# came to depend on them. Section 4.2 says that PredNet "cannot make sequence predictions". To make it forecast, its
# authors train it a second time, with its own predictions as inputs (`tinypredrnn/models/prednet.py` says how).
#
# The authors' loss is the mean of $E$. This is half of the absolute error, L1, since $E$ has two numbers for each
# pixel, of which one is 0. Under L1 the best value of an uncertain pixel is 0 or 1 (exercise 14.3): as long as the
# network has not found out where the shapes are, black is best for every pixel. And PredNet's output is a ReLU. We
# train it again, by L1:

# %%
for seed in (0, 1):
    network, norm = train_prednet("l1", seed, steps=20)
    error, _ = watch(network, FRAMES)
    print(f"seed {seed}, L1, 20 steps: error / black {error.min():.3f} to {error.max():.3f}, "
          f"gradient exactly 0: {norm == 0}")
#> seed 0, L1, 20 steps: error / black 1.000 to 1.000, gradient exactly 0: True
#> seed 1, L1, 20 steps: error / black 1.000 to 1.000, gradient exactly 0: True

# %% [markdown]
# The gradient is 0: if the input of a ReLU is negative, its output and its derivative are 0. Under L2, the pull on a
# sigmoid near 0 is weak. On a ReLU below 0 there is no pull at all, so further steps of descent leave this network as
# it is. (Whether that happens depends on the data. Here, 95 of 100 pixels are black.)
#
# ## Motion and content
# MCnet (Villegas et al. 2017) outputs a picture as well. Its *input* is taken apart: one encoder sees only differences
# of frames, the other only the last frame.

# %%
mcnet = tp.build_model("mcnet", size=(SIDE, SIDE), channels=1, width=4, seed=0)


def motion_of(frames):
    state = mcnet.start(tp.tensor(frames))
    with tp.no_grad():
        for frame in frames[:, :GIVEN].swapaxes(0, 1):
            _, state = mcnet.watch(tp.tensor(frame), state)
    return state.motion[0].data


film = test[:1] / 2
print("the motion is the same before a brighter background:",
      np.allclose(motion_of(film), motion_of(film + 0.25), atol=1e-6))
#> the motion is the same before a brighter background: True

# %% [markdown]
# So the motion encoder need not learn that the background does not matter, and the content encoder need not remember.
# This has a price: what the last two frames do not show, such as a shape behind another one, reaches the picture only
# through the motion memory. Three poolings have left it an eighth of the resolution. Section 4.2 blames MCnet's quick
# decline on its direct way from the last frame to the picture.
#
# MCnet's loss also asks for more than the values of pixels. Its authors add a discriminator and the
# **gradient-difference loss** to the squared error. This loss says by how much the steepness from one pixel to the next
# differs from that of the true frame. Let the shape jump to the right in seven of ten futures, and to the left in
# three, as in lesson 14. Which prediction does each loss prefer?

# %%
def steepness_differs(prediction, truth):
    """The gradient-difference loss of frames (H,W); outside of a frame everything is 0"""
    def steps(frame):
        return [abs(np.diff(np.pad(frame, [(0, 1), (0, 0)]), axis=0)),
                abs(np.diff(np.pad(frame, [(0, 0), (0, 1)]), axis=1))]

    return sum(abs(ours - theirs).mean() for ours, theirs in zip(steps(prediction), steps(truth)))


ours = steepness_differs(FUTURES[0, ..., 0], share[..., 0])
theirs = gradient_difference(tp.tensor(FUTURES[:1, None]), tp.tensor(share[None, None])).item()  # clips (B,T,H,W,C)
print("as in the package:", np.isclose(ours, theirs))
left, right = FUTURES[:2, ..., 0]
predictions = {"the mean of both": 0.7 * right + 0.3 * left, "always to the right": right}
for name, loss in (("squared error", lambda p, y: ((p - y) ** 2).mean()), ("gradient difference", steepness_differs)):
    expected = {what: 0.7 * loss(p, right) + 0.3 * loss(p, left) for what, p in predictions.items()}
    print(f"{name}:", ", ".join(f"{what} {value:.3f}" for what, value in expected.items()))
#> as in the package: True
#> squared error: the mean of both 0.100, always to the right 0.143
#> gradient difference: the mean of both 0.420, always to the right 0.300

# %% [markdown]
# The squared error prefers the blur. The gradient difference prefers a guess that is wrong three times out of ten.
#
# ## What you have now
# You know three rivals and what each of them is asked for:
#
# | network | output, or input | what this gives | what it costs |
# |---|---|---|---|
# | VPN | the probability of each pixel, given those before it | images that show one future | one pass for each pixel |
# | VPN baseline | the probability of each pixel, on its own | gradients that do not vanish | blur, as with L2 |
# | PredNet | the next frame, from the errors so far | nothing is spent on what was expected | no input in a forecast |
# | MCnet | the next frame, from motion and content apart; as steep as the true one | sharp edges | wrong guesses |
# | PredRNN | the next frame, by L1 + L2 | one pass for each frame | blur, if the future is uncertain |
#
# - `tinypredrnn/models/vpn.py`, `VPN` is the baseline; `tinypredrnn/nn/losses.py`, `cross_entropy` is its loss.
# - `tinypredrnn/models/prednet.py`, `PredNet` and `tinypredrnn/models/prednet.py`, `differences`.
# - `tinypredrnn/models/mcnet.py`, `MCnet` and `tinypredrnn/models/mcnet.py`, `gradient_difference`.
#
# **Real systems.** Language models are chains like VPN: they output the probability of each token given those before
# it, are trained by cross-entropy, and need one pass for each token. Video models of this kind predict tokens that
# stand for whole patches, so that a frame takes fewer passes. Diffusion models output the noise that was added to a
# picture.
