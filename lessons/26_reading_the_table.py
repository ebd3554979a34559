# %% [markdown]
# # 26. Reading the real run: Table 1, and how to doubt it
#
# - **Idea:** a table of errors is a measurement. Before you believe its order, ask for its units, its baselines, its
#   budget, and the error of each number.
# - **Minutes:** 50
# - **Needs:** lessons 14 (measures), 17 (an ablation that turned round) and 22 (stuck at black).
# - **You will see:** four of ten trained networks that are no better than one grey picture; a difference of many
#   standard errors between two trainings of the same network; three budgets with different winners; and a column that
#   was measured by others, on other data, with another network.
# - **Why:** the course was written to reach the paper's Table 1. Here it is, beside our own. Neither says as much as it
#   seems to.

# %%
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.nn.layout import layout_only
from tinypredrnn.train.published import TABLES
from tinypredrnn.viz.colours import SERIES

# %% [markdown]
# ## The table
# `python examples/compare_models.py --out runs/quick` trained ten networks on real MNIST, with seed 0, under the budget
# "1e13 multiply-adds or 330 seconds, whichever is used up first", by the squared error, on two cores that had other
# work as well, and tested each on the same 300 sequences. Here are its numbers, as they stand in
# `examples/RESULTS.md`.

# %%
COLUMNS = "mse_2", "mse_3", "multiply_adds", "iterations", "trillions", "seconds"
ROWS = """
convlstm        121.8 175.5  11.9 1838 10   246
predrnn_m       123.2 176.5   9.6 2291 10   358
predrnn         121.0 175.5  23.4  937 10   710
predrnn_pp      123.8 179.9  32.8  597 8.94 356
predrnn_v2      133.9 190.4  23.4  676 7.21 248
convlstm_shi    156.0 224.9  19.1 2177 10   320
fc_lstm         151.8 217.1  16.8  772 3.11 374
cdna            143.1 203.6 111.9  157 8.01 373
dfn             155.5 217.4  66.7  138 4.2  332
vpn             174.0 259.2  19.5  369 3.29 316
"""
ours = {name: dict(zip(COLUMNS, map(float, numbers))) for name, *numbers in map(str.split, ROWS.strip().split("\n"))}
published = {name: dict(zip(("ce", "mse_2", "mse_3"), row)) for name, row in TABLES["mnist"].published.items()}

BLACK = 174.0  # the error of a black picture, in the same table
print("                ours  / black  published")
for name in sorted(ours, key=lambda name: ours[name]["mse_2"]):
    mse = ours[name]["mse_2"]
    print(f"{name:14} {mse:5.1f} {mse / BLACK:8.2f} {published.get(name, {}).get('mse_2', '-'):>10}")
#>                 ours  / black  published
#> predrnn        121.0     0.70       56.8
#> convlstm       121.8     0.70      103.3
#> predrnn_m      123.2     0.71       74.0
#> predrnn_pp     123.8     0.71          -
#> predrnn_v2     133.9     0.77          -
#> cdna           143.1     0.82       97.4
#> fc_lstm        151.8     0.87      118.3
#> dfn            155.5     0.89       89.0
#> convlstm_shi   156.0     0.90          -
#> vpn            174.0     1.00       70.0

# %% [markdown]
# Which of these differences mean something?
#
# ## Units first
# The "MSE per frame" of the paper is a *sum* over the 4,096 pixels of a frame, with pixels from 0 to 1, averaged over
# frames and sequences. Others report the mean over the pixels, or pixels from 0 to 255, or the sum over all frames of a
# forecast.
#
# ### Exercise 26.1: into one unit (easy, 5 minutes)
# Convert a reported squared error to the paper's unit. `brightest` is the value of a white pixel, 1 or 255.
# `averaged_over_pixels` says whether the report divides by the number of `pixels` of a frame. `frames` is 1, or the
# number of frames over which it sums.
#
# *Hint:* if pixels are 255 times as large, by which factor is a *squared* difference larger?

# %%
def to_papers_unit(value, brightest, averaged_over_pixels, pixels, frames):
    # <solution>
    return value / brightest ** 2 * (pixels if averaged_over_pixels else 1) / frames
    # </solution>


def reported(prediction, truth, brightest, averaged_over_pixels, frames):
    """A squared error, computed as somebody might report it; frames (N,T,H,W)"""
    squares = (brightest * (prediction - truth)) ** 2
    by_frame = squares.mean(axis=(2, 3)) if averaged_over_pixels else squares.sum(axis=(2, 3))
    return by_frame.mean() if frames == 1 else by_frame.sum(axis=1).mean()


some_frames = np.random.default_rng(0).random((2, 3, 10, 8, 8))
kinds = {f"white {white}, {'mean' if averaged else 'sum'} over pixels, {frames} frames": (white, averaged, frames)
         for white, averaged, frames in ((1, False, 1), (1, True, 1), (255, True, 1), (1, False, 10), (255, False, 10))}
check("26.1", lambda: {name: to_papers_unit(reported(*some_frames, *kind), *kind[:2], 64, kind[2])
                       for name, kind in kinds.items()},
      dict.fromkeys(kinds, float(tp.metrics.mse(*some_frames[..., None]).mean())))

# %% [markdown]
# ## Forecasts that know nothing
# Lesson 14 had two baselines, black and the last frame. A third is harder to beat: the **mean picture**, the mean of
# all training frames, a grey cloud. By squared error, no forecast that ignores its input is better. We compute all
# three on films of drawn digits.

# %%
generator = MovingMNIST(draw_digits(np.random.default_rng(26), 500)[0])  # two digits


def draw_films(seed, count):
    """(count,20,64,64,1), from 0 to 1"""
    return generator.draw(np.random.default_rng(seed), count) / np.float32(255)


def errors_of(prediction, films):
    """The squared error per frame of each sequence, (N,)"""
    return ((prediction - films[:, 10:]) ** 2).sum(axis=(2, 3, 4)).mean(axis=1)


mean_picture, tests = draw_films(0, 200).mean(axis=(0, 1)), draw_films(1, 300)
knows_nothing = {"last frame": errors_of(tests[:, 9:10], tests), "black": errors_of(0, tests),
                 "mean picture": errors_of(mean_picture, tests)}
for name, errors in knows_nothing.items():
    print(f"{name:12}: {errors.mean():.1f}, {errors.mean() / knows_nothing['black'].mean():.2f} of black")
ratio = knows_nothing["mean picture"].mean() / knows_nothing["black"].mean()
print("in our table, less than 1 % better than this share of black:",
      *(name for name, row in ours.items() if row["mse_2"] / BLACK > 0.99 * ratio))
#> last frame  : 282.1, 1.66 of black
#> black       : 170.0, 1.00 of black
#> mean picture: 149.0, 0.88 of black
#> in our table, less than 1 % better than this share of black: convlstm_shi fc_lstm dfn vpn

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 2.4), layout="constrained")
for ax, (name, frame) in zip(axes, {"what came": tests[0, 12], "last frame": tests[0, 9], "black": 0 * tests[0, 9],
                                    "mean picture": mean_picture}.items()):
    ax.imshow(frame[..., 0], cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[],
           title=name if name == "what came" else f"{name}: {knows_nothing[name].mean():.0f}")
show(figure, "nothing")

# %% [markdown]
# In their few iterations, four of the ten networks have learnt the grey cloud, or less. The order among these four says
# nothing about what they could learn. All published numbers are below this level. But the paper does not say what black
# costs on its test set. If it costs 174 there as well, FC-LSTM's 118.3 is nearer to the cloud than to PredRNN's 56.8.
#
# ## How sure is a mean?
# An error is the mean over test sequences, which were drawn at random. Other sequences give another mean. If the errors
# of single sequences have the standard deviation $s$, the mean over $n$ of them has the **standard error**
# $s / \sqrt n$. A mean often moves by one or two standard errors from one test set to the next.

# %%
def standard_error(values):
    return values.std(ddof=1) / np.sqrt(len(values))


for name, errors in knows_nothing.items():
    print(f"{name:12}: {errors.mean():.1f} +- {standard_error(errors):.1f}")
means = [errors_of(0, draw_films(seed, 100)).mean() for seed in range(2, 2 + size(12, 6))]
expected = np.sqrt(3) * standard_error(knows_nothing["black"])  # for 100 sequences, a third of 300
print(f"black on other test sets of 100: standard deviation {np.std(means, ddof=1):.1f}, expected {expected:.1f}")
#> last frame  : 282.1 +- 3.2
#> black       : 170.0 +- 2.1
#> mean picture: 149.0 +- 1.6
#? black on other test sets of 100: standard deviation 3.9, expected 3.6

# %% [markdown]
# On 300 sequences, black and the mean picture have standard errors of about 2. PredRNN's 121.0 and ConvLSTM's 121.8
# differ by less than that. But both were tested on the *same* sequences, and a sequence that is hard for one network is
# often hard for the other.
#
# ### Exercise 26.2: pairs (medium, 8 minutes)
# Return two standard errors of the difference of two means: first, if the two had been tested on different sequences
# (then the squares of their standard errors add up); second, for the same sequences, from the difference of each pair.
#
# *Hint:* the second is the standard error of one list of numbers. Which list?

# %%
def errors_of_difference(a, b):
    """a, b (N,), the errors of two networks on the same N sequences -> [as if unpaired, paired]"""
    # <solution>
    return [np.sqrt(standard_error(a) ** 2 + standard_error(b) ** 2), standard_error(a - b)]
    # </solution>


def by_variances(a, b):
    """The same from variances and the covariance"""
    covariance = np.cov(a, b)
    variances = np.trace(covariance), np.trace(covariance) - 2 * covariance[0, 1]
    return list(np.sqrt(np.array(variances) / len(a)))


check("26.2", lambda: errors_of_difference(knows_nothing["black"], knows_nothing["mean picture"]),
      by_variances(knows_nothing["black"], knows_nothing["mean picture"]))

# %%
apart, paired = by_variances(knows_nothing["black"], knows_nothing["mean picture"])
print(f"black - mean picture: {(knows_nothing['black'] - knows_nothing['mean picture']).mean():.1f}, "
      f"standard error {apart:.1f} if unpaired, {paired:.1f} in pairs")
#> black - mean picture: 21.0, standard error 2.6 if unpaired, 0.5 in pairs

# %% [markdown]
# Halving a standard error takes four times as many sequences; testing in pairs needs no additional ones. Two papers
# with different test sets cannot be compared in pairs.
#
# A mean has a formula for its error. For a ratio of two means, or for a median, there is no formula that is as simple.
# The **bootstrap** works for all of them: draw $n$ of the $n$ sequences at random *with* repetition, compute the
# measure from these, and do it a thousand times. The spread of the results estimates the error of the measure.
#
# ### Exercise 26.3: bootstrap (stretch, 10 minutes)
# `values` is a list of arrays (N,), all of the same N sequences; `measure` takes these arrays and returns a number.
# `picks` (R,N) holds, for each of R repetitions, which N sequences were drawn. Compute `measure` for each repetition,
# and return the interval that contains the middle 95 % of the results: [lower, upper].
#
# *Hint:* `list(np.percentile(results, [2.5, 97.5]))`. To keep pairs together, index each array with the same row of
# `picks`.

# %%
def bootstrap(measure, values, picks):
    """-> [lower, upper]"""
    # <solution>
    results = [measure(*(array[row] for array in values)) for row in picks]
    return list(np.percentile(results, [2.5, 97.5]))
    # </solution>


def by_sorting(measure, values, picks):
    stacked = np.stack(values)  # (arrays,N)
    results = np.sort([measure(*stacked[:, row]) for row in picks])
    places = np.array([0.025, 0.975]) * (len(results) - 1)
    return list(np.interp(places, np.arange(len(results)), results))


def ratio_of_means(a, b):
    return a.mean() / b.mean()


picks = np.random.default_rng(4).integers(300, size=(1000, 300))
both = [knows_nothing["mean picture"], knows_nothing["black"]]
check("26.3", lambda: {"mean": bootstrap(np.mean, both[:1], picks), "ratio": bootstrap(ratio_of_means, both, picks)},
      {"mean": by_sorting(np.mean, both[:1], picks), "ratio": by_sorting(ratio_of_means, both, picks)})

# %%
lower, upper = by_sorting(np.mean, both[:1], picks)
print(f"mean picture, 95 %: bootstrap {lower:.1f} to {upper:.1f}, "
      f"+- 1.96 standard errors {both[0].mean() - 1.96 * standard_error(both[0]):.1f} to "
      f"{both[0].mean() + 1.96 * standard_error(both[0]):.1f}")
print("mean picture / black, 95 %:", *(f"{value:.3f}" for value in by_sorting(ratio_of_means, both, picks)))
#> mean picture, 95 %: bootstrap 145.5 to 152.1, +- 1.96 standard errors 145.8 to 152.1
#> mean picture / black, 95 %: 0.873 0.880

# %% [markdown]
# > **A place to rest.** If exercises 26.1 to 26.3 are OK, you can give a number its unit, its baselines and its error.
# > What follows asks what this error leaves out.
#
# ## Another seed
# Test sequences are not all that is drawn at random. We train two networks, a ConvLSTM and a PredRNN of about 3,000
# weights each, on a bright spot that moves along a strip and bounces (as in lesson 13, but at different speeds). Each
# is trained four times for 80 steps, with another seed for its first weights and its training films. All eight are
# tested on the same 300 films.

# %%
WIDTH, STRIP_GIVEN, HORIZON, SEEDS = 20, 4, 6, 4


def strips(rng, count):
    """(count,STRIP_GIVEN + HORIZON,1,WIDTH,1)"""
    room, start = WIDTH - 6, rng.random((count, 1))
    speed = rng.choice([-1, 1], size=(count, 1)) * rng.uniform(0.5, 2, (count, 1))
    path = room * start + speed * np.arange(STRIP_GIVEN + HORIZON)
    position = 3 + abs(path - 2 * room * np.rint(path / (2 * room)))
    return np.exp(-0.5 * (np.arange(WIDTH) - position[..., None]) ** 2).astype(np.float32)[:, :, None, :, None]


def train_and_test(name, seed, steps):
    """The squared error per frame of each test strip, (300,)"""
    network = tp.build_model(name, size=(1, WIDTH), kernel=3, patch=1, seed=seed,
                             hidden=(8,) if name == "convlstm" else (6,))
    adam, rng = tp.optim.Adam(network.parameters()), np.random.default_rng(seed)
    fed = np.concatenate([np.ones((8, STRIP_GIVEN)), np.zeros((8, HORIZON - 1))], axis=1)
    for k in range(steps):
        frames = strips(rng, 8)
        network.zero_grad()
        ((network.unroll(frames, fed) - frames[:, 1:]) ** 2).mean().backward()
        tp.optim.clip_gradients(network.parameters(), norm=1.0)
        adam.step(rate=0.01 * (1 - k / steps))
    test = strips(np.random.default_rng(99), 300)
    with tp.no_grad():
        predictions = network(test[:, :STRIP_GIVEN], HORIZON).data
    return ((predictions - test[:, STRIP_GIVEN:]) ** 2).sum(axis=(2, 3, 4)).mean(axis=1)


def in_standard_errors(a, b):
    """The size of a difference of means, in pairs"""
    return abs((a - b).mean()) / standard_error(a - b)


def compare(steps):
    """{network: the errors of its seeds on the test strips (SEEDS,300)}"""
    found = {name: np.stack([train_and_test(name, seed, steps) for seed in range(SEEDS)])
             for name in ("convlstm", "predrnn")}
    print(f"after {steps} steps, four seeds")
    for name, errors in found.items():
        print(f"  {name:9}", *(f"{mean:.3f}" for mean in errors.mean(axis=1)))
    return found


LENGTHS = size((80,), (30,), long=(80, 200))
runs = {steps: compare(steps) for steps in LENGTHS}
strip_errors = runs[LENGTHS[0]]
largest = {name: max(in_standard_errors(*two) for two in combinations(errors, 2))
           for name, errors in strip_errors.items()}
print("largest difference of two seeds of one network, in paired standard errors:",
      *(f"{value:.0f}" for value in largest.values()))
print("above 4:", min(largest.values()) > 4)
#? after 80 steps, four seeds
#?   convlstm  1.297 1.285 1.289 1.321
#?   predrnn   1.219 1.275 1.251 1.217
#+? after 200 steps, four seeds
#+?   convlstm  1.026 1.014 1.037 1.040
#+?   predrnn   1.036 1.039 1.049 1.041
#? largest difference of two seeds of one network, in paired standard errors: 12 13
#> above 4: True

# %% [markdown]
# Two trainings of *the same* network differ by many standard errors, in pairs, on the same 300 films. This is no
# mistake, but the difference is one between two sets of weights. It says nothing about networks, since the network is
# the same. A standard error covers only those random choices that differ within the list from which it was computed:
#
# | the claim is about | what was drawn at random | n |
# |---|---|---|
# | these weights, on these sequences | nothing | |
# | these weights, on sequences like these | the test sequences | 300 |
# | this network, trained like this | its seeds as well | 4 |
#
# For the third claim, the list of numbers consists of the means of the four seeds.

# %%
for steps, found in runs.items():
    convlstm, predrnn = (errors.mean(axis=1) for errors in found.values())
    error = np.sqrt(standard_error(convlstm) ** 2 + standard_error(predrnn) ** 2)
    print(f"{steps} steps: ConvLSTM - PredRNN {(convlstm - predrnn).mean():.3f} +- {error:.3f} (by seeds)")
#? 80 steps: ConvLSTM - PredRNN 0.057 +- 0.016 (by seeds)
#+? 200 steps: ConvLSTM - PredRNN -0.012 +- 0.007 (by seeds)

# %%
means = {name: errors.mean() for name, errors in strip_errors.items()}
print(f"PredRNN is ahead after {LENGTHS[0]} steps:", means["predrnn"] < means["convlstm"])
#~ PredRNN is ahead after 80 steps: True

# %%
figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for k, (name, errors) in enumerate(strip_errors.items()):
    for seed, values in enumerate(errors):
        ax.errorbar(SEEDS * k + seed, values.mean(), 2 * standard_error(values), fmt="os"[k], color=SERIES[k],
                    capsize=4, label=name if seed == 0 else None)
ax.set(xticks=range(2 * SEEDS), xticklabels=2 * [f"seed {seed}" for seed in range(SEEDS)],
       ylabel="squared error per frame", title="Two networks, four seeds each (bars: 2 standard errors, unpaired)")
ax.legend()
show(figure, "seeds")

# %% [markdown]
# After 80 steps, the PredRNN is ahead, here by three and a half standard errors of this kind. `python -m tinypredrnn
# course run 26 --long` trains for 200 steps as well, after which it was slightly behind. As in lesson 17, a finding
# holds for its length of training.
#
# Our table of ten has one seed, so this error cannot be computed from it, and 121.0, 121.8, 123.2 and 123.8 do not
# establish an order. `python examples/compare_models.py --models convlstm predrnn_m predrnn --seeds 0 1 2 --out
# runs/seeds` says more, at three times the price: `examples/RESULTS.md` has what it found.
#
# ## The budget chooses the winner
# Four of the ten networks used up their multiply-adds, and six their seconds. Some of the rows:

# %%
print("                 MSE  iterations  1e12 multiply-adds  seconds")
for name in ("predrnn", "convlstm", "predrnn_m", "cdna", "dfn"):
    row = ours[name]
    print(f"{name:12} {row['mse_2']:7.1f} {row['iterations']:11,.0f} {row['trillions']:19.1f} {row['seconds']:8.0f}")
with layout_only():  # without its 24 million weights
    network = tp.build_model("predrnn", size=(64, 64), hidden=(128,) * 4, kernel=5, patch=4)
    of_the_paper = 3 * 8 * 80_000 * network.count_multiply_adds(10, 10)  # 3: forward, and twice as much backward
print(f"the paper's PredRNN: {of_the_paper:.1e} multiply-adds, {of_the_paper / 1e13:,.0f} times ours")
#>                  MSE  iterations  1e12 multiply-adds  seconds
#> predrnn        121.0         937                10.0      710
#> convlstm       121.8       1,838                10.0      246
#> predrnn_m      123.2       2,291                10.0      358
#> cdna           143.1         157                 8.0      373
#> dfn            155.5         138                 4.2      332
#> the paper's PredRNN: 2.2e+17 multiply-adds, 22,263 times ours

# %% [markdown]
# By multiply-adds, PredRNN and ConvLSTM are equal. By iterations, PredRNN is ahead: it needed half as many. By seconds,
# ConvLSTM is ahead: it needed a third as many. (The number of iterations that 330 seconds allow is fixed before a
# training, from the time of its first ones. Other programs came and went, so the trainings took 246 to 710 seconds.)
# `dfn` got 138 iterations and `predrnn_m` got 2,291; under a budget in iterations, both would have had the same number.
#
# The paper gives every network 80,000 iterations, in which its PredRNN does more arithmetic than its ConvLSTM. Table 1
# does not say how much of the difference 103.3 - 56.8 this explains.
#
# ## A borrowed column
# Table 1 has a column of cross-entropies as well. Two of its numbers are a tenth of numbers in the ConvLSTM paper (Shi
# et al. 2015), which sums over ten frames:

# %%
for name, summed in (("fc_lstm", 4832.49), ("convlstm", 3670.85)):
    print(f"{name:8}: {summed:.2f} / 10 = {summed / 10:.1f}, in Table 1 {published[name]['ce']}")
#> fc_lstm : 4832.49 / 10 = 483.2, in Table 1 483.2
#> convlstm: 3670.85 / 10 = 367.1, in Table 1 367.0

# %% [markdown]
# So they belong to other networks (Shi's ConvLSTM has three layers, of 128, 64 and 64), which were trained by
# cross-entropy on other data. DFN's 285.2 and the VPN baseline's 110.1 come from the papers on these two networks. The
# MSE column beside them belongs to other weights.
#
# The cross-entropy has one more trap. A network without a sigmoid also predicts values below 0 and above 1, so they are
# clipped. At which value?

# %%
copied = np.broadcast_to(tests[:, 9:10], tests[:, 10:].shape).astype(float)
for eps in (1e-2, 1e-4, 1e-6):
    values = []
    for prediction in (copied, np.broadcast_to(mean_picture, copied.shape)):
        p = np.clip(prediction, eps, 1 - eps)
        values.append(-(tests[:, 10:] * np.log(p) + (1 - tests[:, 10:]) * np.log(1 - p)).sum(axis=(2, 3, 4)).mean())
    print(f"clipped at {eps:.0e}: last frame {values[0]:.0f}, mean picture {values[1]:.0f} nats per frame")
#> clipped at 1e-02: last frame 1368, mean picture 655 nats per frame
#> clipped at 1e-04: last frame 2515, mean picture 641 nats per frame
#> clipped at 1e-06: last frame 3699, mean picture 641 nats per frame

# %% [markdown]
# The cross-entropy of the last frame is determined by the clipping value. That of the mean picture hardly depends on
# it. So the cross-entropy of a network without a sigmoid means nothing without its clipping value, and does not belong
# beside one of VPN's.
#
# ### Exercise 26.4: what does it support? (easy, 5 minutes)
# Which of these claims do our table and this lesson support? Return a list of four answers, each True or False.
#
# 1. *On our 300 test sequences, the trained `convlstm` predicts better than the trained `cdna`.*
# 2. *PredRNN is a better network than ConvLSTM, at this budget.*
# 3. *Published: on the same test set, PredRNN has a lower cross-entropy (97.0) than the VPN baseline (110.1).*
# 4. *On our 300 test sequences, the trained `vpn` is no better than a black picture.*
#
# *Hint:* for each, say what was drawn at random, and how often. Where does each number come from?

# %%
def supported():
    # <solution>
    return [True, False, False, True]
    # </solution>


check("26.4", supported, [ours["convlstm"]["mse_2"] < ours["cdna"]["mse_2"], False, False,
                          ours["vpn"]["mse_2"] >= BLACK], reveal=False)

# %% [markdown]
# ## What you have now
# You have questions for any table: In which unit are its numbers, and is it the same unit everywhere? What do black,
# the last frame and the mean picture cost? On how many sequences was it measured, and on the same ones for all
# networks? How many seeds? Which budget, and who wins under another? Who measured each column? By which loss was each
# network trained?
#
# - `tinypredrnn/train/published.py`, `TABLES`: the paper's numbers, and what is known about them.
# - `tinypredrnn/train/budget.py`, `Budget`: iterations, multiply-adds or seconds.
# - `tinypredrnn/metrics/scores.py`, `Scores`: baselines beside every score.
#
# **Real systems.** Weather services compare a new version of a model with the old one on the same days, in pairs, and
# their bootstrap draws blocks of neighbouring days, because these resemble each other. In machine learning, Bouthillier
# et al. (2021) measured how far benchmarks vary by seeds and by the choice of data.
#
# ## The end, and where to go
# The course began with one number that remembers how it was computed. Now you can
#
# - build an autograd engine, and check each gradient in a way that could fail (lessons 1 to 5);
# - write a convolution and its transposes, for a CPU and a GPU, and measure its time (6, 7, 18, 19);
# - generate data, train a recurrent network, and let it forecast (8 to 14);
# - explain every arrow of PredRNN, open a trained one, and doubt what you find (15 to 17);
# - say what its rivals are asked for, and when they must win or lose (21, 22);
# - read a table, and say which claims it supports.
#
# Lesson 27 replaces Adam by an optimiser for matrices. `lessons/PROJECTS.md` has four projects. The third, "doubt a
# claim", is this lesson with a question of your own. A first step for today: choose one number of
# `examples/RESULTS.md`, run its command, and see whether you get it.
