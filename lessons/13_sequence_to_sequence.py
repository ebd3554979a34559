# %% [markdown]
# # 13. Sequence to sequence
#
# - **Idea:** a forecast feeds each prediction back as the next input; a network must meet its own mistakes in training
#   to cope with them.
# - **Minutes:** 45
# - **Needs:** lesson 12 (ConvLSTM, the next frame from the last).
# - **You will see:** the network that is best at the next frame end up worse than a black picture at the fifteenth;
#   another one, worse at the next frame, that does not; and the one change in training that makes the difference.
# - **Why:** the networks of lessons 11 and 12 predicted each frame from the true frames before it. In a forecast there
#   are no true frames to feed.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size
from tinypredrnn.train import Recipe
from tinypredrnn.train.schedules import truth_mask

BLUE, RED, GRAY = "#0072B2", "#D55E00", "#666666"

# %% [markdown]
# ## The task
# Given J frames, predict the K that follow (Section 2.1, Equation 1). Our frames are strips of one row, on which a
# bright spot moves and bounces off the ends: 5 frames are given, 15 must be predicted. One picture can then show a
# whole film, with time running downwards.

# %%
WIDTH, GIVEN, HORIZON = 20, 5, 15


def films(rng, count, frames):
    """A spot that moves by one pixel per frame: (count,frames,1,WIDTH,1)"""
    room = WIDTH - 6
    start, direction = rng.random((count, 1)) * room, rng.choice([-1, 1], size=(count, 1))
    path = start + direction * np.arange(frames)
    position = 3 + abs(path - 2 * room * np.rint(path / (2 * room)))  # reflected, as in lesson 9
    return np.exp(-0.5 * (np.arange(WIDTH) - position[..., None]) ** 2).astype(np.float32)[:, :, None, :, None]


test = films(np.random.default_rng(99), 128, GIVEN + HORIZON)
print(test.shape)
#> (128, 20, 1, 20, 1)

# %% [markdown]
# ## Watch first, then predict alone
# Section 2.2 describes an encoder that watches the given frames and a decoder that continues from the encoder's state.
# Here, as in all networks of this package, the encoder and the decoder are the same cells. While frames are given, the
# network watches: each frame goes in, and only the last output is kept. From then on, each prediction goes in as if it
# were a frame.

# %%
model = tp.build_model("convlstm", size=(1, WIDTH), hidden=(6,), kernel=3, patch=1, seed=0)


def predict(model, given, horizon):
    """(B,J,H,W,C) -> (B,horizon,H,W,C)"""
    state = model.start(given)  # zeros
    for x in given.swapaxes(0, 1):
        prediction, state = model.step(x, state)
    predictions = [prediction]
    while len(predictions) < horizon:
        prediction, state = model.step(prediction, state)
        predictions.append(prediction)
    return tp.stack(*predictions, axis=1)


with tp.no_grad():
    ours, theirs = predict(model, test[:, :GIVEN], HORIZON), model(test[:, :GIVEN], HORIZON)
print("as the package does it:", np.allclose(ours.data, theirs.data, atol=1e-6))
#> as the package does it: True

# %% [markdown]
# ## Teacher forcing
# In training the true future is known, so we can feed it: at every step the true frame goes in, whatever the network
# predicted. This is **teacher forcing**, and it is what lessons 11 and 12 did. `model.unroll(frames, truth)` can do
# both: `truth` (B,steps) is 1 at the steps where the true frame goes in, and 0 where the network's own prediction does.
#
# ### Exercise 13.1: a mixture of inputs (medium, 10 minutes)
# Write `unroll`. Output t is the prediction of frame t + 1. Each sequence has its own row of `truth`. Gradients flow
# through the predictions that are fed back.
#
# *Hint:* to choose between two frames, multiply them by numbers that are 1 or 0. Mind the shapes: (B,) against
# (B,H,W,C). The first input is always a true frame.

# %%
def unroll(model, frames, truth):
    """frames (B,T,H,W,C), truth (B,steps) with truth[:, 0] = 1 and steps <= T -> (B,steps,H,W,C)"""
    # <solution>
    state, prediction, predictions = model.start(frames), frames[:, 0], []
    for t in range(truth.shape[1]):
        fed = truth[:, t, None, None, None]  # (B,1,1,1)
        prediction, state = model.step(fed * frames[:, t] + (1 - fed) * prediction, state)
        predictions.append(prediction)
    return tp.stack(*predictions, axis=1)
    # </solution>


some_frames = test[:4, :7]
some_truth = np.float32([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 1, 1], [1, 0, 0, 0, 0, 1]])


def with_gradients(unroll):
    model.zero_grad()
    predictions = unroll(some_frames, some_truth)
    predictions.sum().backward()
    trained = [(name, tensor) for name, tensor in model.named_tensors() if tensor.requires_grad]
    return {"predictions": predictions.data, **{f"gradient of {name}": tensor.grad for name, tensor in trained}}


check("13.1", lambda: with_gradients(lambda frames, truth: unroll(model, frames, truth)), with_gradients(model.unroll),
      rtol=1e-4, atol=1e-5)

# %% [markdown]
# ## Two training runs
# We train two networks that start from the same weights, on the same films. One is always fed true frames. For the
# other, each input after the given frames is drawn at random: a true frame with probability p, its own prediction
# otherwise. p falls from 1 to 0 over the first half of the training. This is **scheduled sampling** (Bengio et al.
# 2015). The paper does not mention it, but the authors' code does it.

# %%
FRAMES = GIVEN + 10  # in training


def train(scheduled, steps, batch=8):
    model = tp.build_model("convlstm", size=(1, WIDTH), hidden=(6,), kernel=3, patch=1, seed=0)
    adam = tp.optim.Adam(model.parameters(), rate=1e-2)
    rng, coins = np.random.default_rng(1), np.random.default_rng(2)
    for k in range(steps):
        frames = films(rng, batch, FRAMES)
        p = max(0, 1 - k / (steps / 2)) if scheduled else 1
        truth = (coins.random((batch, FRAMES - 1)) < p).astype(np.float32)
        truth[:, :GIVEN] = 1
        loss = ((model.unroll(frames, truth) - frames[:, 1:]) ** 2).mean()
        model.zero_grad()
        loss.backward()
        tp.optim.clip_gradients(model.parameters(), norm=1.0)
        adam.step()
    return model


forced, sampled = (train(scheduled, size(200, 80)) for scheduled in (False, True))

# %% [markdown]
# We test both networks twice: on the next frame, with true frames as inputs; and on the forecast, fifteen frames alone.

# %%
def frame_errors(predictions):
    """Squared error summed over the pixels of a frame: (HORIZON,)"""
    return ((predictions - test[:, GIVEN:]) ** 2).sum(axis=(2, 3, 4)).mean(axis=0)


black = frame_errors(0)
with tp.no_grad():
    fed = np.ones((len(test), GIVEN + HORIZON - 1), np.float32)
    networks = {"forced": forced, "sampled": sampled}
    with_truth = {name: frame_errors(network.unroll(test, fed).data[:, GIVEN - 1:])
                  for name, network in networks.items()}
    alone = {name: frame_errors(network(test[:, :GIVEN], HORIZON).data) for name, network in networks.items()}
print("next frame: teacher forcing is better:", with_truth["forced"].mean() < with_truth["sampled"].mean())
print("fifteenth frame alone: teacher forcing is worse:", alone["forced"][-1] > alone["sampled"][-1])
print("it is even worse than black:", alone["forced"][-1] > black[-1])
print(f"black {black[-1]:.2f}, teacher forcing {alone['forced'][-1]:.2f}, "
      f"scheduled sampling {alone['sampled'][-1]:.2f}")
#> next frame: teacher forcing is better: True
#> fifteenth frame alone: teacher forcing is worse: True
#> it is even worse than black: True
#? black 1.77, teacher forcing 3.76, scheduled sampling 0.08

# %%
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), width_ratios=[1, 1, 1, 2], layout="constrained")
with tp.no_grad():
    pictures = [test[:1, GIVEN:], forced(test[:1, :GIVEN], HORIZON).data, sampled(test[:1, :GIVEN], HORIZON).data]
for ax, future, title in zip(axes, pictures, ("truth", "teacher forcing", "scheduled sampling")):
    film = np.concatenate([test[0, :GIVEN, 0, :, 0], future[0, :, 0, :, 0]])
    ax.imshow(film, cmap="gray", vmin=0, vmax=1, aspect="auto", extent=(0, WIDTH, GIVEN + HORIZON + 0.5, 0.5))
    ax.axhline(GIVEN + 0.5, color=RED)
    ax.set(title=title, xlabel="pixel", yticks=[1, 5, 10, 15, 20])
axes[0].set_ylabel("frame (red line: from here alone)")
ax, times = axes[3], range(GIVEN + 1, GIVEN + HORIZON + 1)
for name, colour, label in (("forced", RED, "teacher forcing"), ("sampled", BLUE, "scheduled sampling")):
    ax.plot(times, alone[name], color=colour, marker="o", markersize=4, label=f"{label}: alone")
    ax.plot(times, with_truth[name], color=colour, linestyle=":", label=f"{label}: true inputs")
ax.plot(times, black, color=GRAY, linestyle="--", label="black")
ax.set(xlabel="frame", ylabel="squared error per frame", yscale="log", xticks=[6, 10, 15, 20])
figure.legend(loc="outside right upper", fontsize=9)
show(figure, "drift")

# %% [markdown]
# ## Exposure bias
# Look at the dotted lines first: with true inputs the error does not grow, and teacher forcing has the lower error. Now
# look at the solid lines. Alone, the error of the teacher-forced network grows with every frame, beyond that of a black
# picture. Its first prediction is a little wrong. It never saw a spot like that in training, so its next prediction is
# worse, and that prediction is the next input. This is **exposure bias**: training showed the network only the inputs
# that a perfect network would produce.
#
# Scheduled sampling lets the network see its own predictions, and the gradient flows through them. The network learns
# to correct its mistakes, at the price of a slightly worse next frame.
#
# (Why not feed the network its own predictions from the start? Set p to 0 in `train` and see.)
#
# ### Exercise 13.2: the schedule (easy, 5 minutes)
# Draw the mask `truth` for iteration `k`. The inputs before frame `given`, counted from 0, are true. Each later input
# is true with a probability that falls linearly from 1 at iteration 0 to 0 at iteration `until`, and then stays 0.
# `draws` (B,steps) are uniform random numbers in [0, 1).
#
# *Hint:* `draws < p` is true with probability p. It also works if p is an array with one probability for each step.

# %%
def mask(draws, k, given, until):
    """-> (B,steps) float32 of 0 and 1"""
    # <solution>
    p = np.full(draws.shape[1], max(0, 1 - k / until))
    p[:given] = 1
    return (draws < p).astype(np.float32)
    # </solution>


def by_package(k, given=3, horizon=40, until=50, batch=4):
    recipe = Recipe(batch=batch, sampling="linear", sampling_until=until, seed=5)
    draws = np.random.default_rng([5, 1, k]).random((batch, given + horizon - 1))  # as the package draws them
    return draws, truth_mask(recipe, given, horizon, k)


cases = {k: by_package(k) for k in (0, 20, 45, 50, 80)}
check("13.2", lambda: [mask(draws, k, 3, 50) for k, (draws, _) in cases.items()],
      [expected for _, expected in cases.values()])

# %% [markdown]
# ### Exercise 13.3: how many steps without truth? (stretch, 10 minutes)
# A network that is fed its own prediction of its own prediction has gone two steps without a true frame. For each input
# of a mask, count the network's own predictions in a row up to and including this input: 0 for a true frame. These
# counts say how much drift the network meets in training. With p = 0.5, for example, the next five inputs are all its
# own only once in 32 times.
#
# *Hint:* go along the steps and keep one count for each sequence. What happens to the count at a true frame?

# %%
def depth(truth):
    """truth (B,steps) -> integers (B,steps)"""
    # <solution>
    count, counts = np.zeros(len(truth), int), []
    for fed in truth.T:
        count = np.where(fed == 1, 0, count + 1)
        counts.append(count)
    return np.stack(counts, axis=1)
    # </solution>


check("13.3", lambda: depth(np.float32([[1, 1, 0, 0, 1, 0], [1, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]])),
      np.array([[0, 0, 1, 2, 0, 1], [0, 1, 0, 1, 2, 3], [0, 0, 0, 0, 0, 0]]))

# %% [markdown]
# ## What you have now
# A forecast, the way it fails, and the usual remedy.
#
# - The loop, with its choice of inputs, is `tinypredrnn/models/predictor.py`, `unroll`; a forecast is
#   `tinypredrnn/models/predictor.py`, `forward`. Every network of the package is a `tinypredrnn/models/predictor.py`,
#   `Predictor`.
# - `tinypredrnn/train/schedules.py`, `truth_mask` has the schedules: `linear` as here, `off` (always alone), and
#   `reverse`, in which the network must also do without some of the *given* frames (PredRNN-V2).
#
# Real systems: language models are almost always trained with teacher forcing; with enough data, their predictions of
# the next token are good enough. For video, scheduled sampling is common with recurrent networks. Other networks
# predict all frames at once and have no loop in which to drift.
