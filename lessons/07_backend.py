# %% [markdown]
# # 7. One code for two machines, and honest clocks
#
# - **Idea:** code that asks its arrays where they are stored runs on a CPU and on a GPU; and a timing is an experiment,
#   with errors of its own.
# - **Minutes:** 45
# - **Needs:** lesson 6. A GPU is *not* needed: without one, the lesson uses a stand-in and says so.
# - **You will see:** one function that runs in two memories; a program that loses a race against itself by 16 %, until
#   the race is fair; a program that seems to take less than a tenth of a millisecond because the clock was read too
#   early; and two lower bounds that no tuning can beat.
# - **Why:** lesson 6's functions call `np.zeros`, and this one name ties them to the CPU. And everything that follows
#   in the course is slow enough to be worth making faster, which is impossible with a clock that misleads.

# %%
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np

import tinypredrnn as tp
from tinypredrnn import backend
from tinypredrnn.course import check, show, size

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
rng = np.random.default_rng(7)

# %% [markdown]
# ## Two memories
#
# A GPU computes in a memory of its own. CuPy is NumPy for that memory: `cupy.zeros`, `a + b`, `a.sum(axis=0)` and
# nearly all other names are the same. But CuPy's arrays cannot be combined with NumPy's, since the two lie in different
# memories. There are two copy functions: `cupy.asarray(a)` copies an array to the GPU, and `a.get()` copies it back.
#
# Not every reader has a GPU, so here is a stand-in with this one property: an array that computes with numbers and with
# arrays of its own kind, and refuses NumPy's arrays with CuPy's error message. How it is built does not matter; it lies
# in ordinary memory and makes nothing faster.

# %%
class FarArray(np.ndarray):
    """A stand-in for an array in the memory of a GPU."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if any(type(a) is np.ndarray for a in (*inputs, *out)):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        if out:
            options["out"] = tuple(a.view(np.ndarray) for a in out)
        inputs = [a.view(np.ndarray) if isinstance(a, FarArray) else a for a in inputs]
        return np.asarray(getattr(ufunc, method)(*inputs, **options)).view(FarArray)

    def get(self):
        return np.array(self)


def made_far(make):
    return lambda *arguments, **options: make(*arguments, **options).view(FarArray)


far = SimpleNamespace(  # the stand-in for the module cupy
    ndarray=FarArray, asarray=made_far(np.array), zeros=made_far(np.zeros), ones=made_far(np.ones),
    arange=made_far(np.arange), eye=made_far(np.eye))

far_numbers = far.asarray([1.0, 2.0, 3.0])
print(type(far_numbers + far_numbers * 2).__name__, (far_numbers + far_numbers * 2).get())
try:
    far_numbers + np.ones(3)
except TypeError as error:
    print("TypeError:", error)
#> FarArray [3. 6. 9.]
#> TypeError: Unsupported type <class 'numpy.ndarray'>

# %% [markdown]
# Now we write a convolution for both memories. Unlike lesson 6's, it does not make one product over all windows, but
# one product for each kernel element, with the frame shifted to match. That needs no trick with strides, and nothing in
# it is specific to NumPy, except for one name.

# %%
def shifted_products(x, w):
    """x (B,H,W,C), w (kh,kw,C,K) -> (B,P,Q,K)"""
    (count, height, width, _), (kh, kw, _, features) = x.shape, w.shape
    p, q = height - kh + 1, width - kw + 1
    y = np.zeros((count, p, q, features), x.dtype)
    for i in range(kh):
        for j in range(kw):
            y += x[:, i:i + p, j:j + q] @ w[i, j]  # (B,P,Q,C) @ (C,K)
    return y


x, w = rng.standard_normal((2, 7, 6, 3)), rng.standard_normal((3, 2, 3, 4))
near_y = shifted_products(x, w)
print("near:", np.allclose(near_y, tp.conv2d(x, w, padding="valid")))
try:
    shifted_products(far.asarray(x), far.asarray(w))
except TypeError as error:
    print("far: TypeError:", error)
#> near: True
#> far: TypeError: Unsupported type <class 'numpy.ndarray'>

# %% [markdown]
# `np.zeros` makes its array in the CPU's memory, the products lie in the other memory, and `+=` is asked to add them.
# Slices, `@`, `+=` and methods work wherever the arrays are. Only a function that *creates* an array must be told
# where. So ask the data:

# %%
def array_module(*arrays):
    """The module that the arrays belong to: our stand-in, or what the package's array_module says (numpy or cupy)."""
    return far if any(isinstance(a, far.ndarray) for a in arrays) else backend.array_module(*arrays)


def shifted_products(x, w):
    """x (B,H,W,C), w (kh,kw,C,K) -> (B,P,Q,K)"""
    xp = array_module(x)
    (count, height, width, _), (kh, kw, _, features) = x.shape, w.shape
    p, q = height - kh + 1, width - kw + 1
    y = xp.zeros((count, p, q, features), x.dtype)
    for i in range(kh):
        for j in range(kw):
            y += x[:, i:i + p, j:j + q] @ w[i, j]
    return y


far_y = shifted_products(far.asarray(x), far.asarray(w))
print(type(far_y).__name__, "with the same numbers:", np.array_equal(far_y.get(), shifted_products(x, w)))
#> FarArray with the same numbers: True

# %% [markdown]
# One line, `xp = array_module(x)`, and no `if gpu:` anywhere. The package's own `array_module` is the same function
# with `cupy` in place of `far`. A program that never imported CuPy cannot hold a CuPy array, so the function only
# checks whether the module is loaded and never loads it itself.
#
# ### Exercise 7.1: one-hot on any device (medium, 10 minutes)
#
# Write `one_hot(labels, count)`: integer labels (N,) -> an array of float32 (N,count), with a 1 in column `labels[n]`
# of row n and 0 elsewhere, on the device where the labels are. The check looks at the dtype, too.
#
# *Hint:* compare the labels as a column, (N,1), with the numbers 0 to count - 1 as a row. Which module must make that
# row? `.astype` turns True into 1.

# %%
def one_hot(labels, count):
    # <solution>
    xp = array_module(labels)
    return (labels[:, None] == xp.arange(count)).astype(np.float32)
    # </solution>


def place_and_values(array):
    return {"type": type(array).__name__, "dtype": str(array.dtype), "values": np.array(array.astype(float))}


check("7.1", lambda: {"near": place_and_values(one_hot(np.array([2, 0, 1, 1]), 3)),
                      "far": place_and_values(one_hot(far.asarray([3, 3, 0]), 5))},
      {"near": {"type": "ndarray", "dtype": "float32", "values": np.eye(3)[[2, 0, 1, 1]]},
       "far": {"type": "FarArray", "dtype": "float32", "values": np.eye(5)[[3, 3, 0]]}})

# %% [markdown]
# ## A real device
#
# In the package a device is a short name: "cpu", "gpu" (the first), "gpu:1", or "auto", which is a GPU if there is one
# and the CPU otherwise. `tp.tensor(x, device=...)` copies the data there, and everything computed from it stays there.
# If there is no GPU, one sentence says what is missing. (To show the same sentence on every machine, we make the import
# of CuPy fail: `None` in `sys.modules` does that.)

# %%
with patch.dict(sys.modules, {"cupy": None}):
    try:
        tp.tensor(x, device="gpu")
    except tp.errors.DeviceError as error:
        print("DeviceError:", *str(error).split(": "), sep="\n    ")
try:
    tp.tensor(x, device="tpu")
except tp.errors.DeviceError as error:
    print("DeviceError:", error)
#> DeviceError:
#>     the GPU needs CuPy, which is not installed
#>     install it with `pip install "cupy-cuda13x[ctk]"` (CUDA 13) or `"cupy-cuda12x[ctk]"` (CUDA 12), or use device cpu
#> DeviceError: device 'tpu' is unknown: expected cpu, gpu, gpu:N or auto

# %% [markdown]
# What about your machine? The cells below use a GPU if there is one. The code is the same with and without it.

# %%
device = backend.find_device("auto")
print("GPUs in use:", 0 if device == "cpu" else 1)
#? GPUs in use: 0

# %%
def forward_and_back(device):
    """A convolution, its nonlinearity and its gradients on a device, brought back as NumPy arrays."""
    x32 = tp.tensor(x.astype(np.float32), requires_grad=True, device=device)
    w32 = tp.tensor(w.astype(np.float32), requires_grad=True, device=device)
    y = tp.tanh(tp.conv2d(x32, w32))
    y.sum().backward()
    return [y.numpy(), backend.to_numpy(x32.grad), backend.to_numpy(w32.grad)]


pairs = zip(forward_and_back("cpu"), forward_and_back(device))
print("the same numbers on both:", all(np.allclose(here, there, rtol=1e-3, atol=1e-4) for here, there in pairs))
#> the same numbers on both: True

# %% [markdown]
# (Without a GPU, "both" means the CPU twice, and the line proves nothing about GPUs. The package's tests run every op
# on a strict stand-in like ours, and `examples/verify_gpu.py` runs them on a real GPU.)
#
# ## The first call is different
#
# Is the GPU faster? To find out we need a clock, and timing needs care. The first trap is the first call: it loads,
# compiles and allocates what later calls find ready. In this example only the memory is new: `np.zeros` merely reserves
# memory, and the operating system provides it when it is first used.

# %%
def timed(function, now=time.perf_counter, wait=lambda: None):
    """The seconds that one call takes; `wait` returns when the work is really done."""
    start = now()
    function()
    wait()
    return now() - start


def add_one(array):
    array += 1


fresh = np.zeros(1 << 23, np.float32)  # 32 MB
first, *later = [timed(lambda: add_one(fresh)) for _ in range(6)]
print(f"first call {1000 * first:.1f} ms, later calls {1000 * min(later):.1f} to {1000 * max(later):.1f} ms")
#? first call 8.0 ms, later calls 1.8 to 5.9 ms

# %% [markdown]
# If you time one call of A and then one call of B, you may only measure which of them came first. **Warm up** each of
# them before the clock starts.
#
# ## Mean or median?
#
# The second trap is interruptions. Now and then the operating system gives the processor to another program, and one
# call takes many times as long. To see this on every machine we simulate it: a job of 10 ms, with a delay of 20 to 100
# ms in about one call out of ten. Four people measure it, with 30 calls each.

# %%
delay = (rng.random((4, 30)) < 0.1) * rng.uniform(20, 100, (4, 30))
milliseconds = 10 + 0.2 * rng.random((4, 30)) + delay  # (people, calls)
print("means  ", milliseconds.mean(axis=1).round(1))
print("medians", np.median(milliseconds, axis=1).round(1))
#> means   [19.4 13.8 12.2 20. ]
#> medians [10.1 10.1 10.1 10.1]

# %% [markdown]
# Judging by their means, the four people disagree, although they timed the same job. The median hardly changes with a
# few delayed calls, however long the delays are.
#
# ## A race against yourself
#
# The third trap is the worst, because warm-up and medians do not remove it: the machine changes. It gets hot and slows
# down, another program starts, a laptop is unplugged. We simulate this, too: on this laptop a job of 10 ms takes longer
# the more the laptop has worked, up to 30 %. We compare A with B: 50 calls of A, then 50 calls of B. A and B are *the
# same function*.

# %%
class Laptop:
    """A simulated machine with a clock of its own: the more it has worked, the slower it gets."""

    def __init__(self):
        self.clock = 0.0

    def now(self):
        return self.clock

    def work(self):
        self.clock += 0.010 * (1 + 0.3 * min(self.clock, 1.0))


def in_blocks(functions, turns, **options):
    """{name: times}: all calls of the first, then all of the second, ..."""
    return {name: [timed(function, **options) for _ in range(turns)] for name, function in functions.items()}


def in_turns(functions, turns, **options):
    """{name: times}: one call of each, again and again"""
    times = {name: [] for name in functions}
    for _ in range(turns):
        for name, function in functions.items():
            times[name].append(timed(function, **options))
    return times


races = {}
for arrange in in_blocks, in_turns:
    laptop = Laptop()
    race = races[arrange.__name__] = arrange({"A": laptop.work, "B": laptop.work}, 50, now=laptop.now)
    print(f"{arrange.__name__:9} B takes {np.median(race['B']) / np.median(race['A']):.3f} times as long as A")
#> in_blocks B takes 1.162 times as long as A
#> in_turns  B takes 1.003 times as long as A

# %% [markdown]
# In blocks, the function that comes second loses. In turns, heat and other programs affect both alike.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2), sharey=True)
for ax, (name, race) in zip(axes, races.items()):
    order = np.arange(100)
    positions = (order[:50], order[50:]) if name == "in_blocks" else (order[::2], order[1::2])
    for side, position, colour, style in zip("AB", positions, (BLUE, ORANGE), ("o", "^")):
        calls = 1000 * np.array(race[side])
        ax.plot(position, calls, style, color=colour, ms=4, label=f"{side}, median {np.median(calls):.2f} ms")
        ax.axhline(np.median(calls), color=colour, lw=1.5, ls="-" if side == "A" else "--")
    ax.set_title("A first, then B" if name == "in_blocks" else "A B A B A B ...", fontsize=11)
    ax.set_xlabel("call")
    ax.legend(frameon=False, loc="lower right", fontsize=9)
axes[0].set_ylabel("time of the call (ms)")
figure.suptitle("The same function against itself, on a machine that slows down", fontsize=11)
figure.tight_layout()
show(figure, "turns")

# %% [markdown]
# ### Exercise 7.2: the verdict of a race (easy, 5 minutes)
#
# Calls in the same turn find the machine in nearly the same state. So the fairest comparison is within each turn: how
# many times as long did B take as A? Return the median of these ratios. `times` is what `in_turns` returns, with the
# names "A" and "B".
#
# *Hint:* turn the two lists into arrays first: arrays of the same length divide element by element.

# %%
def verdict(times):
    # <solution>
    return np.median(np.array(times["B"]) / np.array(times["A"]))
    # </solution>


uneven = {"A": [1.0, 1.1, 2.0, 5.0, 1.3], "B": [1.5, 1.2, 2.6, 5.5, 9.1]}
smooth = races["in_turns"]
check("7.2", lambda: [verdict(uneven), verdict(smooth)],
      [sorted(b / a for a, b in zip(uneven["A"], uneven["B"]))[2],
       float(np.median(np.divide(smooth["B"], smooth["A"])))])

# %% [markdown]
# ## Work that continues in the background
#
# The fourth trap concerns GPUs. Python does not compute there: it puts a job into a queue and continues at once, and
# the GPU does the job later. A clock that is stopped at once has measured only how long it takes to *submit* the job. A
# thread with a queue behaves in the same way; here the job is a matrix product.

# %%
square = rng.standard_normal((1500, 1500)).astype(np.float32)
with ThreadPoolExecutor(max_workers=1) as queue:
    def submit():
        queue.submit(np.matmul, square, square)

    def wait_for_all():
        queue.submit(int).result()  # one worker, first in, first out: when the last job is done, all are

    timed(submit, wait=wait_for_all)  # the warm-up
    too_early = timed(submit)
    wait_for_all()
    complete = timed(submit, wait=wait_for_all)
print(f"clock stopped at once: {1000 * too_early:.2f} ms, when the work is done: {1000 * complete:.0f} ms")
#? clock stopped at once: 0.04 ms, when the work is done: 85 ms

# %% [markdown]
# The package's function for this is `backend.synchronise(device)`: it waits for a GPU, and on the CPU it returns at
# once. Anything that reads a value, such as `float(loss)` or `.get()`, waits by itself; so a `print` in a training loop
# can leave a GPU idle.
#
# ## Floors
#
# Suppose A takes 6 ms and B takes 5 ms. Is 5 ms good? Two measurements answer. How fast does this machine multiply
# matrices, at best (in GFLOP/s: $10^9$ floating-point operations a second)? And how fast does it move memory? A program
# that must do a given number of operations and move a given number of bytes cannot be faster than these two rates
# allow. They give two lower bounds for its time, its **floors**.

# %%
def rates(device, turns):
    """(operations a second in a float32 matrix product, bytes a second in a copy), from median times"""
    a = backend.to_device(np.ones((1024, 1024), np.float32), device)
    source = backend.to_device(np.ones(1 << 24, np.float32), device)  # 64 MB: more than most caches hold
    target = source.copy()
    xp = backend.array_module(a)
    jobs = {"product": lambda: a @ a, "copy": lambda: xp.copyto(target, source)}
    in_turns(jobs, 2, wait=lambda: backend.synchronise(device))  # the warm-up
    times = in_turns(jobs, turns, wait=lambda: backend.synchronise(device))
    # a copy reads each byte and writes it
    return 2 * 1024 ** 3 / np.median(times["product"]), 2 * source.nbytes / np.median(times["copy"])


turns = size(15, 5)
rate, bandwidth = rates(device, turns)
print(f"{rate / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s")
#? 85 GFLOP/s, 15.3 GB/s

# %% [markdown]
# A multiplication and the addition that follows it count as two operations. For the convolution of 8 frames of 20x20
# from 64 channels to 64, with a 5x5 kernel and without padding, they are:

# %%
shape_x, shape_w, shape_y = (8, 20, 20, 64), (5, 5, 64, 64), (8, 16, 16, 64)
operations = 2 * np.prod(shape_y) * 5 * 5 * 64
moved = 4 * sum(int(np.prod(shape)) for shape in (shape_x, shape_w, shape_y))  # bytes: read x and w, write y, float32
print(f"{operations / 1e9:.2f} GFLOP, {moved / 1e6:.1f} MB")
#> 0.42 GFLOP, 1.8 MB

# %% [markdown]
# Now comes the race for which this lesson has prepared us: one product for each kernel element, lesson 6's one product
# over all windows, and the package. We warm up, take turns, use medians, stop the clock when the work is done, and
# print the floors beside the results.

# %%
def windows_product(x, w):
    """Lesson 6's way. x (B,H,W,C), w (kh,kw,C,K) -> (B,P,Q,K)"""
    xp = array_module(x)
    (count, height, width, channels), (kh, kw, _, features) = x.shape, w.shape
    p, q = height - kh + 1, width - kw + 1
    b, h, w_, c = x.strides
    windows = xp.lib.stride_tricks.as_strided(x, (count, p, q, kh, kw, channels), (b, h, w_, h, w_, c))
    return (windows.reshape(count * p * q, -1) @ w.reshape(-1, features)).reshape(count, p, q, features)


big_x, big_w = (backend.to_device(rng.standard_normal(shape).astype(np.float32), device)
                for shape in (shape_x, shape_w))
ways = {
    "shifted products": lambda: shifted_products(big_x, big_w),
    "windows, one product": lambda: windows_product(big_x, big_w),
    "tp.conv2d": lambda: tp.conv2d(big_x, big_w, padding="valid"),
}
outputs = [backend.to_numpy(way()) for way in ways.values()]  # the warm-up; before timing, check that they agree
print("all the same:", all(np.allclose(output, outputs[1], atol=1e-2) for output in outputs))
way_times = in_turns(ways, turns, wait=lambda: backend.synchronise(device))
results = {name: float(1000 * np.median(way_times[name])) for name in ways}
results |= {"floor: arithmetic": 1000 * operations / rate, "floor: memory": 1000 * moved / bandwidth}
for name, ms in results.items():
    print(f"{name:22} {ms:6.2f} ms")
#> all the same: True
#? shifted products         7.92 ms
#? windows, one product     7.28 ms
#? tp.conv2d                7.10 ms
#? floor: arithmetic        4.94 ms
#? floor: memory            0.11 ms

# %%
figure, ax = plt.subplots(figsize=(7.2, 2.8))
names = list(ways)
ax.barh(names, [results[name] for name in names], color=BLUE, height=0.55)
for (name, ms), style, colour in zip(list(results.items())[len(names):], ("--", ":"), (ORANGE, GREEN)):
    ax.axvline(ms, color=colour, ls=style, lw=2, label=name)
ax.invert_yaxis()
ax.set_xlabel("time for one call (ms), median")
ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2)
show(figure, "floors")

# %% [markdown]
# The arithmetic floor is by far the higher one, so this convolution is *compute-bound*: moving less memory would not
# help much. The distance from a bar to the dashed line is the most that tuning the same algorithm could still gain. A
# floor belongs to an algorithm, not to a problem: if `tp.conv2d` is below the line on your machine, it does fewer
# multiplications than the definition. Lesson 19 shows how that is possible.
#
# ### Exercise 7.3: a floor for any layer (stretch, 15 minutes)
#
# Return the floor, in milliseconds, of a convolution that keeps the size of its frames: x (batch, side, side,
# channels), weights (kernel, kernel, channels, features), y (batch, side, side, features), all float32. `rate` is in
# operations a second, `bandwidth` in bytes a second. Count as above. Arithmetic and memory can work at the same time.
#
# *Hint:* if two people work side by side, when are both done?

# %%
def floor_ms(batch, side, channels, features, kernel, rate, bandwidth):
    # <solution>
    operations = 2 * batch * side ** 2 * features * kernel ** 2 * channels
    moved = 4 * (batch * side ** 2 * (channels + features) + kernel ** 2 * channels * features)
    return 1000 * max(operations / rate, moved / bandwidth)
    # </solution>


check("7.3", lambda: [floor_ms(8, 16, 64, 128, 5, 1e11, 1e10), floor_ms(2, 64, 1, 3, 1, 1e11, 1e10),
                      floor_ms(1, 8, 32, 16, 3, 1e12, 1e9)], [8.388608, 0.0131084, 0.03072])

# %% [markdown]
# The second case in the check is a 1x1 convolution of one channel: its floor is that of memory, so it is
# *memory-bound*. So are the gates of an LSTM, with only a few operations on each number; lesson 18 makes them touch
# memory fewer times.
#
# ## What you have now
#
# - One code for two machines: `tinypredrnn/backend.py`, `array_module`; the copies `tinypredrnn/backend.py`,
#   `to_device` and `tinypredrnn/backend.py`, `to_numpy`; names of devices and clear error messages:
#   `tinypredrnn/backend.py`, `find_device`. In this file the package chooses between NumPy and CuPy.
# - Waiting for a GPU: `tinypredrnn/backend.py`, `synchronise`.
# - A fair race: `examples/benchmark.py` does what this lesson does (warm-up, turns, medians, floors), and also gives
#   each side its own process, because the threads of two libraries in one process slow each other down.
#
# **What real systems do differently.** In PyTorch every op has a kernel for each kind of device, and a dispatcher looks
# at the tensors and chooses. JAX compiles whole functions for the device, with XLA. The Python array API standard makes
# our `xp` official: `x.__array_namespace__()`. PyTorch's `torch.utils.benchmark` and Triton's `do_bench` warm up,
# synchronise and repeat; Triton's reports the mean unless you ask for the median. On GPUs, times are best taken by
# events that the GPU itself records in its queue. A plot of speed against operations per byte, with these two bounds in
# it, is called a *roofline*.
