# %% [markdown]
# # 14. Measuring, and why predictions blur
#
# - **Idea:** every measure of a prediction prefers a certain kind of error; the squared error prefers a blur to a wrong
#   guess.
# - **Minutes:** 50
# - **Needs:** lesson 9 (moving digits), lesson 8 (Adam), and lesson 13 for the question that it leaves open.
# - **You will see:** MSE, cross-entropy, PSNR and SSIM by hand, equal to the package's; bytes that wrap around and make
#   a bad prediction look good; black frames that beat the last frame; five predictions that three measures rank in
#   three different orders; and a network that learns to predict both futures at once, each at half its brightness.
# - **Why:** a falling loss does not prove that the predictions are good. To judge them you need measures, baselines and
#   some mistrust.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST

digits = draw_digits(np.random.default_rng(14), 500)[0]
films = MovingMNIST(digits).draw(np.random.default_rng(0), 30)  # (30,20,64,64,1) uint8, two digits each
past, future = films[:, :10] / 255, films[:, 10:] / 255  # (30,10,64,64,1), from 0 to 1

# %% [markdown]
# ## Squared error
# The paper's Tables 1 and 2 report the "MSE per frame": squared differences, *summed* over the pixels of a frame, then
# averaged over frames and sequences. Our first prediction is the last frame that was seen, ten times.

# %%
copied = np.broadcast_to(past[:, -1:], future.shape)
by_hand = ((copied - future) ** 2).sum(axis=(2, 3, 4))  # (30,10): one number per frame
print("as in the package:", np.allclose(by_hand, tp.metrics.mse(copied, future)))
print(f"one frame later {by_hand[:, 0].mean():.1f}, ten frames later {by_hand[:, 9].mean():.1f}")
#> as in the package: True
#> one frame later 208.8, ten frames later 315.5

# %% [markdown]
# Frames are stored as bytes. Do not subtract bytes: 3 - 5 is 254. And do not square them: 16 * 16 is 0.

# %%
copied_bytes, future_bytes = np.broadcast_to(films[:, 9:10], films[:, 10:].shape), films[:, 10:]
wrapped = ((copied_bytes - future_bytes) ** 2 / 255 ** 2).sum(axis=(2, 3, 4))
print(f"computed in bytes {wrapped.mean():.2f}, in floats {by_hand.mean():.2f}")
#> computed in bytes 0.48, in floats 296.17

# %% [markdown]
# There is no error message and no warning, and the result would be a world record. Whenever a number looks too good,
# check the dtype.
#
# ## PSNR
# The peak signal-to-noise ratio is the same squared error in decibels: $-10 \log_{10}$ of the *mean* over the pixels of
# a frame, if the brightest value is 1. An error ten times smaller gives 10 dB more. Higher is better.
#
# ### Exercise 14.1: PSNR (easy, 5 minutes)
# Return one number for each frame. If the error is below 1e-10, use 1e-10, so that a perfect frame scores 100 dB and
# not infinity.
#
# *Hint:* first the mean, then the lower limit, then the logarithm. Which axes are the pixels?

# %%
def psnr(prediction, truth):
    """(N,T,H,W,C) -> (N,T)"""
    # <solution>
    error = ((prediction - truth) ** 2).mean(axis=(2, 3, 4))
    return -10 * np.log10(np.maximum(error, 1e-10))
    # </solution>


some_truth, some_prediction = future[:3, :4], copied[:3, :4].copy()
some_prediction[0, 0], some_prediction[0, 1] = some_truth[0, 0], some_truth[0, 1] + 1e-6  # perfect, and nearly so
check("14.1", lambda: psnr(some_prediction, some_truth), tp.metrics.psnr(some_prediction, some_truth))

# %% [markdown]
# The mean of logarithms is not the logarithm of the mean. Take two predictors with two frames each, and the mean
# squared error of each frame:

# %%
for name, frame_mse in (("steady", np.array([0.010, 0.010])), ("uneven", np.array([0.001, 0.021]))):
    print(f"{name}: mean error {frame_mse.mean():.3f}, mean PSNR {np.mean(-10 * np.log10(frame_mse)):.1f} dB")
#> steady: mean error 0.010, mean PSNR 20.0 dB
#> uneven: mean error 0.011, mean PSNR 23.4 dB

# %% [markdown]
# The steady predictor has the smaller error, the uneven one the larger PSNR: one very good frame raises the mean a lot.
#
# ## Cross-entropy
# Read a pixel of the prediction as the probability $p$ that the true pixel is white. If the true value is $y$, the
# cross-entropy is $-y \ln p - (1 - y) \ln(1 - p)$, summed over the pixels of a frame. Table 1 lists it as CE. To be
# certain and wrong would cost infinitely much, so p is kept 1e-6 away from 0 and 1.

# %%
def cross_entropy(prediction, truth):
    p = np.clip(prediction, 1e-6, 1 - 1e-6)
    return -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).sum(axis=(2, 3, 4))


print("as in the package:", np.allclose(cross_entropy(copied, future), tp.metrics.cross_entropy(copied, future)))
print(f"one pixel, certain and wrong: {-np.log(1e-6):.1f} nats")
for name, prediction in (("the last frame", copied), ("the truth itself", future)):
    print(f"{name}: {cross_entropy(prediction, future).mean():.0f} nats per frame")
#> as in the package: True
#> one pixel, certain and wrong: 13.8 nats
#> the last frame: 3875 nats per frame
#> the truth itself: 78 nats per frame

# %% [markdown]
# Not even the truth scores 0: read as probabilities, the grey pixels at the edges of the strokes are uncertain.
#
# ## SSIM
# Structural similarity (Wang et al. 2004) does not compare pixel by pixel. It moves a window of 7x7 pixels over both
# frames and compares, in each place, the means $\mu$, the variances $v$ and the covariance $v_{xy}$ of the 49 pixels
# (unbiased: sums divided by 48):
#
# $$\frac{(2 \mu_x \mu_y + c_1)(2 v_{xy} + c_2)}{(\mu_x^2 + \mu_y^2 + c_1)(v_x + v_y + c_2)}, \qquad
# c_1 = 0.01^2,\; c_2 = 0.03^2$$
#
# A frame's SSIM is the mean over all windows that fit in the frame; its largest value is 1. The left factor compares
# brightness, the right factor compares patterns. If both windows are black, each factor is 1.
#
# ### Exercise 14.2: one window (medium, 10 minutes)
# Compute the formula for two windows.
#
# *Hint:* if `a` and `b` are rows of 49 numbers, `np.cov(a, b)` is $[[v_x, v_{xy}], [v_{xy}, v_y]]$.

# %%
def ssim_of_window(x, y):
    """x, y (7,7) -> a number"""
    # <solution>
    v = np.cov(x.ravel(), y.ravel())
    brightness = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
    return brightness * (2 * v[0, 1] + 9e-4) / (v[0, 0] + v[1, 1] + 9e-4)
    # </solution>


def ssim_of_frame(x, y):
    """x, y (H,W): the mean over all windows"""
    windows = [np.lib.stride_tricks.sliding_window_view(frame, (7, 7)).reshape(-1, 7, 7) for frame in (x, y)]
    scores = [ssim_of_window(a, b) for a, b in zip(*windows)]
    return None if None in scores else np.mean(scores)


check("14.2", lambda: ssim_of_frame(past[0, 9, :30, :, 0], future[0, 0, :30, :, 0]),
      tp.metrics.ssim(past[0, 9, :30], future[0, 0, :30]), rtol=1e-5)

# %% [markdown]
# ## Never without a baseline
# Is 296 a good squared error? The number means nothing until something that has learnt nothing is measured on the same
# frames. Two predictions cost nothing: the last frame again, and black. (MAE sums absolute differences, not squares.)

# %%
scores = tp.metrics.Scores()
scores.add(future / 2, future, past)  # the "model": the truth itself, half as bright
print(tp.metrics.table(scores.result()))
#> per frame, mean of 10 predicted frames of 30 sequences, float protocol
#>                       MSE      MAE       CE     PSNR     SSIM
#> model               44.20   101.36   194.32    19.78    0.922
#> copy last frame    296.17   345.81  3875.07    11.57    0.651
#> all black          176.79   202.71  2800.59    13.76    0.779

# %% [markdown]
# Black beats the last frame in every column. A digit in the wrong place costs twice: where it is but should not be, and
# where it should be but is not. A black frame costs only once. So if a model has an MSE of 180 on such frames, it may
# have learnt nothing but to predict black.
#
# ## Where they disagree
# Here are five predictions, each wrong in its own way.

# %%
def blur(frames, times):
    """Mix every pixel with its neighbours, `times` times."""
    for _ in range(times):
        for axis in (2, 3):
            frames = (np.roll(frames, -1, axis) + 2 * frames + np.roll(frames, 1, axis)) / 4
    return frames


noise = np.random.default_rng(1).normal(0, 0.15, future.shape)
wrong = {
    "moved by 2": np.roll(future, 2, axis=3),
    "blurred": blur(future, 12),
    "half as bright": future / 2,
    "noisy": np.clip(future + noise, 0, 1),
    "black": 0 * future,
}
marks = {name: {metric: curve.mean() for metric, curve in tp.metrics.score(p[:, :3], future[:, :3]).items()}
         for name, p in wrong.items()}
for name, mark in marks.items():
    print(f"{name:15} MSE {mark['mse']:6.1f}  CE {mark['ce']:7.1f}  PSNR {mark['psnr']:5.2f}  SSIM {mark['ssim']:.3f}")
#> moved by 2      MSE  135.4  CE  1701.4  PSNR 14.85  SSIM 0.810
#> blurred         MSE   67.3  CE   297.7  PSNR 17.91  SSIM 0.748
#> half as bright  MSE   44.2  CE   194.8  PSNR 19.77  SSIM 0.922
#> noisy           MSE   47.3  CE   369.5  PSNR 19.38  SSIM 0.190
#> black           MSE  176.9  CE  2803.9  PSNR 13.75  SSIM 0.777

# %%
figure, axes = plt.subplots(2, 3, figsize=(8, 5.6), layout="constrained")
axes[0, 0].set_title("truth", fontsize=10)
for ax, frames in zip(axes.flat, (future, *wrong.values())):
    ax.imshow(frames[2, 0, :, :, 0], cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
rankings = {metric: sorted(marks, key=lambda name: marks[name][metric] * sign)
            for metric, sign in (("mse", 1), ("ce", 1), ("ssim", -1))}
for ax, name in zip(axes.flat[1:], wrong):
    rank = {metric: order.index(name) + 1 for metric, order in rankings.items()}
    ax.set_title(f"{name}\nrank by MSE {rank['mse']}, CE {rank['ce']}, SSIM {rank['ssim']}", fontsize=10)
show(figure, "disagree")

for metric, order in rankings.items():
    print(f"{metric:4}:", ", ".join(order))
#> mse : half as bright, noisy, blurred, moved by 2, black
#> ce  : half as bright, blurred, noisy, moved by 2, black
#> ssim: half as bright, moved by 2, black, blurred, noisy

# %% [markdown]
# (PSNR has the order of MSE here.) Look at the pictures, then at the rankings. For SSIM, a faint noise on black is
# worse than no digit at all: where the truth is black, its variance is 0, and any pattern is wrong. For MSE, a sharp
# digit two pixels off is worse than a blur in the right place. Neither measure is mistaken. They answer different
# questions, so a report needs more than one.
#
# ## Two futures
# A digit stands still. In seven of ten films it will jump to the right, in three to the left, and nothing tells you
# which. What is the best prediction? That depends on the loss: L2 is the squared error, L1 the absolute error, L1 + L2
# their sum. We do not need a network to find out: we minimise the expected loss over the pixels of a single frame.

# %%
def scene(images, shift):
    """Digits (N,28,28) moved to the right by `shift` on canvases (N,28,52,1)"""
    canvas = np.zeros((len(images), 28, 52, 1), np.float32)
    canvas[:, :, 12 + shift:40 + shift, 0] = images / 255
    return canvas


now, right, left = (scene(digits[3:4], shift) for shift in (0, 11, -11))


def best_frame(loss, steps=200):
    """The frame with the smallest expected loss."""
    frame = tp.tensor(np.full(now.shape, 0.5, np.float32), requires_grad=True)
    adam = tp.optim.Adam([frame])
    for k in range(steps):
        frame.grad = None
        (0.7 * loss(frame, right) + 0.3 * loss(frame, left)).backward()
        adam.step(rate=0.05 * (1 - k / steps))
    return frame.data


best = {name: best_frame(tp.nn.find_loss(name)) for name in ("l2", "bce", "l1+l2", "l1")}
brightest = np.unravel_index(right.argmax(), right.shape)  # a pixel of the digit that jumped to the right
for name, frame in best.items():
    print(f"{name:5}: a pixel that is white in 7 of 10 futures becomes {frame[brightest]:.2f}")
#> l2   : a pixel that is white in 7 of 10 futures becomes 0.70
#> bce  : a pixel that is white in 7 of 10 futures becomes 0.70
#> l1+l2: a pixel that is white in 7 of 10 futures becomes 0.90
#> l1   : a pixel that is white in 7 of 10 futures becomes 1.00

# %%
figure, axes = plt.subplots(2, 4, figsize=(9, 3.4), layout="constrained")
titles = {"l2": "best for L2 (MSE)", "bce": "best for cross-entropy", "l1+l2": "best for L1 + L2", "l1": "best for L1"}
panels = {"now": now, "7 of 10 futures": right, "3 of 10 futures": left}
panels |= {titles[name]: frame for name, frame in best.items()}
for ax in axes.flat:
    ax.axis("off")
for ax, (title, frame) in zip([*axes[0, :3], *axes[1]], panels.items()):
    ax.imshow(frame[0, :, :, 0], cmap="gray", vmin=0, vmax=1)
    ax.set_title(title, fontsize=10)
show(figure, "futures")

# %% [markdown]
# MSE prefers both digits at once, each as bright as it is probable: the **mean** of the futures, which is none of them.
# This is blur. If the digit could go anywhere, the mean would be a grey cloud. L1 prefers the median: the more probable
# future, sharp, and nothing of the other. L1 + L2 stands between the two. Section 4 says that it worked best of all
# losses that the authors tried.
#
# ### Exercise 14.3: the best grey (stretch, 15 minutes)
# A pixel is white (1) in a fraction q of the futures and black (0) in the others. Which value p between 0 and 1 has the
# smallest expected loss under L2, under cross-entropy, under L1 + L2 and under L1?
#
# *Hint:* for L2 the expected loss is $q (1 - p)^2 + (1 - q) p^2$. Set its derivative with respect to p to 0. If the
# derivative is never 0 between 0 and 1, the best p lies at one of the ends. The four numbers above are the answers for
# q = 0.7.

# %%
def best_grey(q):
    """-> [under L2, under cross-entropy, under L1 + L2, under L1]"""
    # <solution>
    return [q, q, min(max(2 * q - 0.5, 0), 1), float(q > 0.5)]
    # </solution>


def by_trying(q):
    p = np.linspace(0, 1, 10_001)[1:-1]
    # L2, cross-entropy, L1 + L2 and L1 of a pixel at distance d from the truth
    losses = (lambda d: d ** 2, lambda d: -np.log(1 - d), lambda d: d + d ** 2, lambda d: d)
    return [round(p[np.argmin(q * loss(1 - p) + (1 - q) * loss(p))], 3) for loss in losses]


qs = (0.1, 0.3, 0.45, 0.6, 0.8)
check("14.3", lambda: [best_grey(q) for q in qs], [by_trying(q) for q in qs], atol=2e-3)

# %% [markdown]
# Is the mean really better than a bold guess? Let both directions be equally probable, and compare the two predictions
# by MSE and by SSIM, over 100 digits.

# %%
rights, lefts = (scene(digits[:100], shift).astype(float) for shift in (11, -11))
guess, mean = rights, (rights + lefts) / 2
for metric in (tp.metrics.mse, tp.metrics.ssim):
    values = [np.mean([metric(prediction, truth).mean() for truth in (rights, lefts)]) for prediction in (guess, mean)]
    print(f"{metric.__name__:4}: always to the right {values[0]:.3f}, the mean {values[1]:.3f}")
#> mse : always to the right 89.494, the mean 44.747
#> ssim: always to the right 0.638, the mean 0.519

# %% [markdown]
# The mean halves the MSE. SSIM prefers the guess, although the guess is wrong every other time.
#
# ## A network learns to blur
# A network finds this out by itself. A single convolution with a 13x13 kernel sees a digit (at half its size, to save
# time). The digit will jump five pixels to the right or to the left, at random with equal probability. The network is
# trained with the squared error.

# %%
small = digits.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32) / 255  # (500,14,14)


def small_scene(images, shift):
    canvas = np.zeros((len(images), 16, 32, 1), np.float32)
    canvas[:, 1:15, 9 + shift:23 + shift, 0] = images
    return canvas


rng = np.random.default_rng(0)
network = tp.nn.Conv2d(1, 1, 13, rng)
adam = tp.optim.Adam(network.parameters(), rate=1e-2)
for _ in range(size(600, 150)):
    images, heads = small[rng.integers(len(small), size=16)], rng.random((16, 1, 1, 1)) < 0.5
    truth = np.where(heads, small_scene(images, 5), small_scene(images, -5))
    loss = ((network(small_scene(images, 0)) - truth) ** 2).mean()
    network.zero_grad()
    loss.backward()
    adam.step()

kernel = network.weight.data[:, :, 0, 0]
largest = np.argsort(kernel, axis=None)[-2:]
rows, columns = np.unravel_index(largest, kernel.shape)
print("the two largest weights are at", sorted(zip(rows.tolist(), columns.tolist())))
print(f"they are {np.sort(kernel, axis=None)[-1]:.2f} and {np.sort(kernel, axis=None)[-2]:.2f}")
#> the two largest weights are at [(6, 1), (6, 11)]
#~ they are 0.51 and 0.47

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained", width_ratios=[2, 1.3, 2])
with tp.no_grad():
    prediction = network(small_scene(small[3:4], 0)).data
axes[0].imshow(small_scene(small[3:4], 0)[0, :, :, 0], cmap="gray", vmin=0, vmax=1)
axes[0].set(title="now", xticks=[], yticks=[])
image = axes[1].imshow(kernel, cmap="viridis", vmin=-0.1, vmax=0.5)
axes[1].set(title="what it learnt", xlabel="column", ylabel="row", xticks=[1, 6, 11], yticks=[0, 6, 12])
figure.colorbar(image, label="weight")
axes[2].imshow(prediction[0, :, :, 0], cmap="gray", vmin=0, vmax=1)
axes[2].set(title="what it predicts", xticks=[], yticks=[])
show(figure, "both")

# %% [markdown]
# "Take half of the pixel five places to the left, and half of the pixel five places to the right": the network learnt
# both futures and shows their mean. Section 1.2 blames the blur of earlier networks on lost detail. That is one cause,
# and the paper's cure is a better memory (lessons 15 to 17). The other cause is an uncertain future, and no memory
# helps against that.
#
# ## What you have now
# Four measures, two baselines, and an idea of what each measure prefers.
#
# - `tinypredrnn/metrics/pixels.py`: `mse`, `cross_entropy`, `psnr`;
#   `tinypredrnn/metrics/structure.py`, `ssim`. `tinypredrnn/metrics/scores.py`, `Scores` always measures the
#   baselines beside the model.
#   Published values of PSNR and SSIM are often computed on frames with 256 levels: there this is the protocol
#   `"official"`.
# - The losses are `tinypredrnn/nn/losses.py`, `l2`; `tinypredrnn/nn/losses.py`, `l1`;
#   `tinypredrnn/nn/losses.py`, `cross_entropy`; and the paper's `tinypredrnn/nn/losses.py`, `l1_l2`, Section 4.
#
# Real systems add measures that were learnt from human judgement (LPIPS). To predict one future and not the mean of
# all, they change the question: adversarial losses (Mathieu et al., Section 1.2), or networks that receive the random
# choice as an input, such as diffusion models.
