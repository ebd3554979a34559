# %% [markdown]
# # 25. Many machines
#
# - **Idea:** the gradient of a mean is the mean of the gradients, so many machines can share a batch; the price is
#   communication.
# - **Minutes:** 50
# - **Needs:** lesson 8 (clipping, Adam), lesson 9 (batch k from (seed, k)), lesson 13 (scheduled sampling).
# - **You will see:** three mistakes: a mean of means, the same mask on all machines, and a step that depends on the
#   number of machines; a ring in which each machine sends less than twice its gradient, however many machines there
#   are; real processes that end with the same weights as a single one; and an estimate of where the time of 64 GPUs
#   goes.
# - **Why:** the paper trains for 80,000 iterations. Several machines finish sooner, but they must compute the same
#   result.

# %%
import contextlib
import math
import pickle
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show
from tinypredrnn.train import Recipe
from tinypredrnn.train.schedules import truth_mask
from tinypredrnn.viz import COLOURS

# %% [markdown]
# ## A batch in shares
# A training step needs the gradient of the mean loss over a batch. Here are ten short films of noise and a small
# PredRNN in float64. The last film has three times the amplitude of the others, so that the gradients of the shares
# differ clearly. Four processes share the batch. The number of a process is its **rank**: rank $r$ of $N$ takes the
# rows $r, r + N, r + 2N, \dots$ The shares are 3, 3, 2 and 2 films.

# %%
rng = np.random.default_rng(0)
films = rng.standard_normal((10, 4, 8, 8, 1))  # (B,T,H,W,C)
films[9] *= 3
model = tp.build_model("predrnn", size=(8, 8), hidden=(3, 4), kernel=3, patch=2, seed=4).to(dtype="float64")


def gradient(films):
    """The gradient of the mean squared error over these films, as one array"""
    model.zero_grad()
    predictions = model.unroll(films, np.ones((len(films), films.shape[1] - 1)))
    ((predictions - films[:, 1:]) ** 2).mean().backward()
    return np.concatenate([p.grad.ravel() for p in model.parameters()])


def distance(found, expected):
    """The norm of the difference, divided by the norm of what was expected"""
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


whole = gradient(films)
of_ranks = [gradient(films[rank::4]) for rank in range(4)]
sizes = [len(films[rank::4]) for rank in range(4)]
print(f"shares of {sizes}: the mean of the four gradients is wrong by {100 * distance(sum(of_ranks) / 4, whole):.1f} %")
#> shares of [3, 3, 2, 2]: the mean of the four gradients is wrong by 10.2 %

# %% [markdown]
# Each process computed the gradient of the mean over its own share. The mean of these means is the overall mean only if
# all shares have the same size. A film in a share of two had a weight of 1/8, and a film in a share of three had 1/12;
# each should have 1/10. No error is raised, and the training continues with wrong gradients.
#
# ### Exercise 25.1: the mean of all (easy, 5 minutes)
# Average the gradients so that every film has the same weight.
#
# *Hint:* what is the sum over the films of a share, if you know the mean over them and their number?


# %%
def average(gradients, sizes):
    """The gradient of the mean over all films, from the gradients of the shares' means"""
    # <solution>
    return sum(count * g for count, g in zip(sizes, gradients)) / sum(sizes)
    # </solution>


check("25.1", lambda: average(of_ranks, sizes), whole, rtol=1e-10, atol=1e-12)

# %% [markdown]
# The average is the gradient of the whole batch, up to rounding. So $N$ processes can take the same step as one, if
# three more things are done with care.
#
# ## What is drawn at random
# In lesson 13, a random mask decides whether the network sees a true frame or its own prediction. Let each of three
# processes draw the mask of its own two films, from a generator made from the seed and the step number $k$ (lesson 9):


# %%
def draw_own(k, count):
    return np.random.default_rng([0, k]).random((count, 4)) < 0.5  # (count, steps)


masks = [draw_own(k=7, count=2) for rank in range(3)]
print("the masks of all ranks are the same:", all(np.array_equal(mask, masks[0]) for mask in masks))
#> the masks of all ranks are the same: True

# %% [markdown]
# All processes have equal generators, so they draw equal masks. This has two consequences: the six films have only two
# different masks among them, and two processes would train with other masks than three. A separate seed for each rank
# would remove the first problem but not the second.
#
# ### Exercise 25.2: the same draw for all (medium, 5 minutes)
# Return the mask of some `rows` of the batch. On every rank, these must be rows of the same draw for the whole batch.
#
# *Hint:* random numbers are cheap compared with a training step.


# %%
def draw(k, count, rows):
    """rows (a slice) of the mask (count, 4) of step k, which is drawn from default_rng([0, k])"""
    # <solution>
    return (np.random.default_rng([0, k]).random((count, 4)) < 0.5)[rows]
    # </solution>


slices = [slice(rank, None, count) for count in (1, 2, 4) for rank in range(count)]
one_draw = np.random.default_rng([0, 7]).random((6, 4)) < 0.5
check("25.2", lambda: [draw(7, 6, rows) for rows in slices], [one_draw[rows] for rows in slices])

# %% [markdown]
# The package does this for masks and for frames: `truth_mask(..., rows)` and `source.batch(k, count, rows)` draw for
# the whole batch and return only these rows.

# %%
recipe = Recipe(batch=6, sampling="linear", sampling_until=100)
mask = truth_mask(recipe, given=2, horizon=3, iteration=50)
shares = [truth_mask(recipe, given=2, horizon=3, iteration=50, rows=slice(rank, None, 3)) for rank in range(3)]
print("the package's masks of three ranks are rows of the whole:",
      all(np.array_equal(share, mask[rank::3]) for rank, share in enumerate(shares)))
#> the package's masks of three ranks are rows of the whole: True

# %% [markdown]
# ## Clip once
# If the norm of a gradient exceeds a limit, clipping scales the gradient down to it. Which should come first, averaging
# or clipping?

# %%
LIMIT = 0.05


def clip(gradient):
    return gradient * min(1, LIMIT / np.linalg.norm(gradient))


def clipped_first(ranks):
    """The weighted mean of the clipped gradients of this number of ranks"""
    parts = [films[rank::ranks] for rank in range(ranks)]
    return sum(len(part) * clip(gradient(part)) for part in parts) / len(films)


for ranks in (1, 2, 5, 10):
    step = clipped_first(ranks)
    cosine = step @ whole / np.linalg.norm(step) / np.linalg.norm(whole)
    print(f"{ranks:2} ranks that clip first: wrong by {distance(step, clip(whole)):.2f}, cosine {cosine:.2f}")
#>  1 ranks that clip first: wrong by 0.00, cosine 1.00
#>  2 ranks that clip first: wrong by 0.31, cosine 0.96
#>  5 ranks that clip first: wrong by 0.57, cosine 0.91
#> 10 ranks that clip first: wrong by 0.77, cosine 0.82

# %% [markdown]
# If the ranks clip first, the step depends on their number, in its length and in its direction. So average first, and
# let every rank clip the same average. All ranks then take the same step, and their weights stay equal without ever
# being sent.
#
# ## Who adds up?
# All ranks need the sum of all gradients. The operation that gives every rank this sum is called **all-reduce**. The
# simplest way is a star: all ranks send their gradients to rank 0, which adds them up and sends the sum back. Rank 0
# then receives $N - 1$ gradients and sends the sum $N - 1$ times, while the others wait. Another way is that every rank
# sends its gradient to all others, and each adds them up for itself, beginning with its own. In float32:

# %%
given = np.random.default_rng(1).standard_normal((4, 1000)).astype(np.float32)  # (ranks, numbers)
sums = []
for rank in range(4):
    total = given[rank].copy()
    for other in range(4):
        if other != rank:
            total += given[other]
    sums.append(total)
print("the same sum on all ranks:", all(np.array_equal(total, sums[0]) for total in sums))
print(f"numbers that differ between rank 0 and rank 3: {(sums[0] != sums[3]).mean():.2f}")
#> the same sum on all ranks: False
#> numbers that differ between rank 0 and rank 3: 0.45

# %% [markdown]
# A sum in floating point depends on the order of its terms (lessons 18 and 19), so the ranks get different sums. With
# each step, their weights would move a little further apart. All ranks must get the same bits.
#
# ## A ring
# Arrange the ranks in a ring, so that each sends to the next one only. Cut every array into $N$ chunks. In each step,
# all ranks send at the same time, each a different chunk. In the first half, the **reduce-scatter**, a rank adds the
# chunk that it receives to its own. After $N - 1$ steps, rank $r$ has the complete sum of one chunk, number $r + 1$
# (modulo $N$, counted from 0).


# %%
def reduce_scatter(chunks, send):
    """chunks[rank][number], changed in place. In step s rank r sends chunk r - s, and the next rank adds it."""
    count = len(chunks)
    for step in range(count - 1):
        messages = [send(rank, chunks[rank][(rank - step) % count]) for rank in range(count)]  # all at the same time
        for rank in range(count):
            chunks[(rank + 1) % count][(rank - step) % count] += messages[rank]


terms = [[np.ones(1) for _ in range(4)] for _ in range(4)]  # with ones, a sum is its number of terms
reduce_scatter(terms, lambda rank, chunk: chunk.copy())
print(np.array(terms)[:, :, 0].astype(int))
#> [[1 4 3 2]
#>  [2 1 4 3]
#>  [3 2 1 4]
#>  [4 3 2 1]]

# %% [markdown]
# Each row is a rank, and each column is a chunk. The 4s mark the chunks that are sums of all four. In the second half,
# the **all-gather**, these finished chunks travel once around the ring.
#
# ### Exercise 25.3: all-gather (stretch, 10 minutes)
# Write the second half, which again takes $N - 1$ steps. In each step, every rank sends one chunk to the next rank,
# which replaces its own chunk of this number.
#
# *Hint:* in the first step rank $r$ sends the chunk that it has finished, number $r + 1$. In each later step it passes
# on the chunk that it has just received.


# %%
def all_gather(chunks, send):
    """chunks[rank][number], changed in place: at the end every rank has all finished chunks."""
    # <solution>
    count = len(chunks)
    for step in range(count - 1):
        messages = [send(rank, chunks[rank][(rank + 1 - step) % count]) for rank in range(count)]
        for rank in range(count):
            chunks[(rank + 1) % count][(rank + 1 - step) % count] = messages[rank]
    # </solution>


def counting(sent):
    """A `send` that adds the bytes that each rank sends to the list `sent`"""
    def send(rank, chunk):
        sent[rank] += chunk.nbytes
        return chunk.copy()

    return send


def ring(arrays):
    """(the array that each rank has at the end, (N,numbers); the number of bytes that each rank sent)"""
    chunks, sent = [np.array_split(array.copy(), len(arrays)) for array in arrays], [0] * len(arrays)
    reduce_scatter(chunks, counting(sent))
    all_gather(chunks, counting(sent))
    return np.array([np.concatenate(parts) for parts in chunks]), sent


def facts_of_ring(ranks):
    arrays = np.random.default_rng(ranks).standard_normal((ranks, 12 * ranks)).astype(np.float32)
    results, sent = ring(arrays)
    right = [np.allclose(result, arrays.sum(axis=0), atol=1e-5) for result in results]
    same = all(np.array_equal(result, results[0]) for result in results)
    return {"ranks with the sum": sum(right), "the same bits on all": same,
            "chunks sent by each": [count // (12 * 4) for count in sent]}


check("25.3", lambda: [facts_of_ring(ranks) for ranks in (2, 3, 4, 7)],
      [{"ranks with the sum": ranks, "the same bits on all": True, "chunks sent by each": [2 * (ranks - 1)] * ranks}
       for ranks in (2, 3, 4, 7)])

# %% [markdown]
# Every chunk is added up once, in one order, and then copied. So all ranks have the same bits. In each half, a rank
# sends $N - 1$ chunks, and a chunk is the $N$-th part of the gradient. In all, it sends $2 (N - 1) / N$ times the bytes
# of the gradient, **less than twice the gradient, however many ranks there are**. We count the bytes of the first half
# and double them:

# %%
def bytes_of_ring(ranks):
    """The bytes that each of `ranks` ranks sends, divided by those of the gradient"""
    chunks, sent = [[np.zeros(10) for _ in range(ranks)] for _ in range(ranks)], [0] * ranks
    reduce_scatter(chunks, counting(sent))
    return 2 * max(sent) / sum(chunk.nbytes for chunk in chunks[0])


for ranks in (2, 4, 8, 64):
    print(f"{ranks:2} ranks: star, from rank 0 {ranks - 1:2} times the gradient; ring, from each "
          f"{bytes_of_ring(ranks):.2f} times")
#>  2 ranks: star, from rank 0  1 times the gradient; ring, from each 1.00 times
#>  4 ranks: star, from rank 0  3 times the gradient; ring, from each 1.50 times
#>  8 ranks: star, from rank 0  7 times the gradient; ring, from each 1.75 times
#> 64 ranks: star, from rank 0 63 times the gradient; ring, from each 1.97 times

# %% [markdown]
# Here is the ring at work with four ranks. The numbers say how many terms each chunk has.

# %%
chunks, stages = [[np.ones(1) for _ in range(4)] for _ in range(4)], []


def watched(rank, chunk):
    if rank == 0:
        stages.append(np.array(chunks)[:, :, 0])  # before this step
    return chunk.copy()


reduce_scatter(chunks, watched)
all_gather(chunks, watched)  # does nothing before Exercise 25.3 is solved
stages.append(np.array(chunks)[:, :, 0])
figure, axes = plt.subplots(1, len(stages), figsize=(11, 2.2), layout="constrained")
for step, (ax, stage) in enumerate(zip(axes, stages)):
    ax.imshow(stage, cmap="cividis", vmin=0, vmax=4)
    for (row, column), value in np.ndenumerate(stage):
        ax.text(column, row, int(value), ha="center", va="center", color="white" if value < 3 else "black")
    ax.set(xticks=[], yticks=[], title="at first" if step == 0 else f"step {step}")
axes[0].set(ylabel="rank", xlabel="chunk")
show(figure, "ring")

# %% [markdown]
# ## Real processes
# Now we use processes of the operating system. Each runs the program below, which trains with the package: a small
# PredRNN, batches of five sequences of moving digits, scheduled sampling, clipping, and three steps of Adam. The class
# `Rank` has what the package requires of processes that train together: the rank, its rows, and the methods `average`,
# `largest` and `gather`. Each process has two pipes to this lesson, which is the centre of a star: it reads a value
# from every process and sends the list of these values back to all. (The program is a string because a new process
# cannot import functions from a notebook.)

# %%
PROGRAM = """
import dataclasses, pickle, sys
import numpy as np
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.data.scale import BYTES
from tinypredrnn.models import construct
from tinypredrnn.train import new_plan
from tinypredrnn.train.update import Descent

class Rank:
    def __init__(self, rank, size):
        self.rank, self.size, self.first, self.rows = rank, size, rank == 0, slice(rank, None, size)

    def gather(self, value):
        pickle.dump(value, to_lesson)
        to_lesson.flush()
        return pickle.load(sys.stdin.buffer)

    def largest(self, number):
        return max(self.gather(number))

    def average(self, arrays, weight=1):
        shares, weights = zip(*self.gather((arrays, weight)))
        for k, array in enumerate(arrays):
            array[...] = sum(w * share[k] for w, share in zip(weights, shares)) / sum(weights)

to_lesson, sys.stdout = sys.stdout.buffer, sys.stderr  # printed text must not enter the pipe
ranks = Rank(*map(int, sys.argv[1:]))
plan = new_plan("predrnn", "mnist", size=(32, 32), hidden=(4,), kernel=3, patch=4, batch=5, given=3, horizon=2,
                optimiser="adam", sampling_until=10, clip=0.01)
plan = dataclasses.replace(plan, frame=(32, 32, 1), scale=BYTES)
model = construct(*plan.network()).to(dtype="float64")
update = Descent(model, plan, ranks=ranks)
digits = MovingMNIST(draw_digits(np.random.default_rng(0), 20)[0], digits=2, size=(32, 32), frames=5)
for k in range(3):
    frames = digits.batch(0, k, 5)[ranks.rows] / 255
    update(frames, k)
ranks.gather({"rows": len(frames), "weights": [p.data for p in model.parameters()]})
"""


def train_with(size):
    """What each of `size` processes has at the end"""
    with contextlib.ExitStack() as stack:  # closes the pipes and waits for the processes, whatever happens
        workers = [stack.enter_context(subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            for rank in range(size)]
        given = [None]
        while not isinstance(given[0], dict):  # at its end, a process sends a dict
            given = [pickle.load(worker.stdout) for worker in workers]
            for worker in workers:
                pickle.dump(given, worker.stdin)
                worker.stdin.flush()
    return given


(alone,), two = train_with(1), train_with(2)
print("sequences of each:", [one["rows"] for one in two])
apart = max(abs(a - b).max() for one in two for a, b in zip(one["weights"], alone["weights"]))
print("the weights of both are those of one process, to 1e-10:", bool(apart < 1e-10))
print("both have the same bits:", all(map(np.array_equal, two[0]["weights"], two[1]["weights"])))
#> sequences of each: [3, 2]
#> the weights of both are those of one process, to 1e-10: True
#> both have the same bits: True

# %% [markdown]
# The program is the same for one process and for two. In the package, a single process has an `Alone`, whose `average`
# does nothing. With `mpiexec -n 2 python examples/train_mnist.py`, each process has a `Ranks`, whose `average` is MPI's
# all-reduce, or NCCL's between GPUs. Our `Rank` is a third class with the same methods.
#
# ## Where the time goes
# Does it pay? On two cores that also had other work, two processes took 1.06 times as long as one process with two
# threads, and 0.93 times in another run (`examples/RESULTS.md`). Threads already use all cores of one machine; several
# processes are for several machines. `python examples/scaling.py` measures the parts of a step on your machine and
# estimates those of 64 GPUs. We repeat its estimate, which is a model with assumed numbers and not a measurement:
#
# $$\text{step} = \underbrace{10\,\text{ms} + \frac{2 \cdot \text{multiply-adds}}{50\,\text{TFLOP/s}}}_{\text{compute}}
# + \underbrace{2 \log_2 N \cdot 20\,\mu\text{s} + \frac{2 (N - 1)}{N} \cdot \frac{\text{bytes}}{\text{bandwidth}}
# }_{\text{average}}$$
#
# The 10 ms are what a step takes however small its batch is. The latency of a message is 20 µs. The bandwidth is 150
# GB/s within a machine of 8 GPUs, and 20 GB/s if the ring includes several machines. The network is the paper's, with
# 23,842,832 parameters and 3.48e11 multiply-adds for a sequence in a training step.

# %%
PARAMETERS, MULTIPLY_ADDS = 23_842_832, 3.48e11
GPUS = 2 ** np.arange(7)


def parts_of_step(gpus, sequences):
    """Seconds to compute and to average, with this number of sequences on each GPU"""
    bandwidth = 150e9 if gpus <= 8 else 20e9
    return (0.010 + sequences * 2 * MULTIPLY_ADDS / 50e12,
            2 * math.log2(gpus) * 20e-6 + 2 * (gpus - 1) / gpus * 4 * PARAMETERS / bandwidth)


def efficiency(gpus, sequences_of):
    """Sequences per second and GPU, divided by those of a single GPU"""
    rates = [sequences_of(n) / sum(parts_of_step(n, sequences_of(n))) for n in (gpus, 1)]
    return rates[0] / rates[1]


weak = [efficiency(n, lambda n: 8) for n in GPUS]
strong = [efficiency(n, lambda n: 64 // n) for n in GPUS]
print("GPUs                          ", *(f"{n:4}" for n in GPUS))
print("8 sequences on each, weak     ", *(f"{value:4.2f}" for value in weak))
print("64 sequences on all, strong   ", *(f"{value:4.2f}" for value in strong))
compute, send = (1e3 * seconds for seconds in parts_of_step(64, 1))
print(f"64 GPUs, one sequence on each: 10.0 ms always, {compute - 10:.1f} ms computing, {send:.1f} ms averaging")
#> GPUs                              1    2    4    8   16   32   64
#> 8 sequences on each, weak      1.00 0.99 0.99 0.99 0.93 0.93 0.93
#> 64 sequences on all, strong    1.00 0.99 0.96 0.92 0.75 0.60 0.42
#> 64 GPUs, one sequence on each: 10.0 ms always, 13.9 ms computing, 9.6 ms averaging

# %% [markdown]
# The two rows answer two different questions. **Weak scaling**: each GPU has 8 sequences, so more GPUs mean a larger
# batch. This costs little, since the number of bytes that each GPU sends hardly depends on the number of GPUs. **Strong
# scaling**: a batch of 64 is divided among more and more GPUs. Only the time to compute shrinks, so the other parts
# come to dominate.
#
# ### Exercise 25.4: Amdahl's law (easy, 5 minutes)
# On one machine, a step takes `always` seconds for what cannot be divided and `divided` seconds for what can. Return
# how many times as fast the step is with `machines` machines, if sending takes no time.
#
# *Hint:* with $N$ machines, the step takes the first time plus an $N$-th of the second.


# %%
def speed_up(always, divided, machines):
    # <solution>
    return (always + divided) / (always + divided / machines)
    # </solution>


check("25.4", lambda: [speed_up(10, 890, 64), speed_up(1, 1, 2), speed_up(3, 0, 8), speed_up(0, 5, 7),
                       speed_up(10, 890, 10**9)],
      [900 / (10 + 890 / 64), 4 / 3, 1, 7, 900 / (10 + 890 / 10**9)])

# %% [markdown]
# A step with all 64 sequences on one GPU takes 10 + 64 x 13.9 = 900 ms. If 10 ms of it cannot be divided, no number of
# machines makes the step more than 90 times as fast. For 64 GPUs, Amdahl's law gives a factor of 38. With the time for
# averaging, the factor is 27, which is 64 times the efficiency of 0.42.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.plot(GPUS, weak, "o-", color=COLOURS["truth"], label="8 sequences on each GPU")
left.plot(GPUS, strong, "s-", color=COLOURS["prediction"], label="64 sequences on all GPUs")
left.set(xscale="log", xticks=GPUS, xticklabels=GPUS, xlabel="GPUs", ylim=(0, 1.05), title="efficiency, estimated")
left.minorticks_off()
left.legend(frameon=False)
parts = np.array([parts_of_step(n, 64 // n) for n in GPUS[3:]]).T * 1e3  # (2,N), ms
below = np.zeros(len(parts[0]))
for name, values, colour in (("always", below + 10, "0.6"), ("computing", parts[0] - 10, COLOURS["truth"]),
                             ("averaging", parts[1], COLOURS["prediction"])):
    right.bar(range(len(values)), values, 0.6, below, color=colour, label=name)
    below = below + values
right.set(xticks=range(len(below)), xticklabels=GPUS[3:], xlabel="GPUs", ylabel="ms",
          title="a step with 64 sequences on all")
right.legend(frameon=False)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
show(figure, "efficiency")

# %% [markdown]
# Weak scaling has another price, which no clock shows: one step with 512 sequences does not replace 64 steps with 8.
# The gradient is less noisy, but there are fewer steps. On ImageNet, Goyal et al. (2017) reached the same accuracy with
# batches of 8,192 as with 256, by a learning rate that grows with the batch and begins small (warm-up). How large a
# batch may become has to be measured for each task.
#
# ## What you have now
# You can share a batch among any number of machines and check that the step is the same.
#
# | here | in the package |
# |---|---|
# | `average`, with sizes | `tinypredrnn/train/parallel.py`, `Ranks` |
# | a process alone | `tinypredrnn/train/parallel.py`, `Alone` |
# | `draw` | `tinypredrnn/train/schedules.py`, `truth_mask` |
# | averaged, then clipped | `tinypredrnn/train/update.py`, `Descent` |
# | the ring between GPUs | `tinypredrnn/gpu/collective.py`, `connect` |
# | `parts_of_step` | `examples/scaling.py` |
#
# **Real systems.** NCCL and MPI choose between rings and trees by the size of the array and the number of machines.
# PyTorch's `DistributedDataParallel` divides the sum by the number of processes, which is a mean of means. So PyTorch's
# `DistributedSampler` makes the shares equal, by repeating or leaving out some sequences. The gradients of the last
# layers are averaged while those of the first layers are still being computed. If a network does not fit into one GPU,
# each rank keeps only a part of the weights and of Adam's moments (ZeRO, FSDP); the two halves of the ring then run at
# different times.
