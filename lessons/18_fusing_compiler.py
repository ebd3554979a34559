# %% [markdown]
# # 18. A small fusing compiler
#
# - **Idea:** gate maths that is called with symbols writes itself down, and from what it wrote come its derivative and one loop each way.
# - **Minutes:** 70
# - **Needs:** the chain rule and the order of the walk (lessons 1 and 2), float32 (lesson 5), the gates (lessons 11 and 16).
# - **You will see:** 27 arrays travel through memory where 5 would do; a compiled loop that is slower than NumPy, and what three small
#   changes make of it; gradients of gates that nobody derived; and source text of the package that you can read because you wrote it.
# - **Why:** op by op, the gates of a cell read and write memory again and again. No op is slow; that there are so many of them is.
#
# ## For teachers
#
# *Lessons 18 and 19: speed.*
#
# **Aim.** There are two ways to make the same mathematics faster: move fewer bytes (lesson 18, the gates) and multiply less often (lesson
# 19, the convolutions). At the end of the group a learner can say of any piece of code how many bytes it must move and how many products
# it must form, measure how far it is from there, and tell an honest comparison from a flattering one.
#
# **Time.** About two and a half hours with the exercises. Both lessons fall into two sittings: in 18 the expressions, then the loops; in
# 19 one dimension, then two.
#
# **Common errors.**
#
# - *"Compiled is fast."* The first compiled loop of lesson 18 loses against NumPy, by much. Let learners predict the order of the bars
#   before they measure.
# - *Time is told without a floor.* Three times as fast says little. "Three times what a copy of the same bytes takes" says where to
#   look next, or that it is time to stop.
# - *The first call is timed.* It compiles. And two programs are timed one after the other, while the machine's mood changes: hence the
#   turns and the medians of `medians`.
# - *A symbol is taken for a number.* `if x > 0` has no answer while nobody knows `x`; the lesson shows the wrong program that comes out.
# - *Rounding is taken for a bug, or a bug for rounding.* Both lessons change the order of operations, so results differ in the last
#   digits. Ask for the error against float64, of the old way and of the new one.
# - *Fewer multiplications are taken for less time* (lesson 19). The transforms around them move bytes, which this lesson taught to count.
#
# **What to ask.**
#
# 1. Which of `x * y`, `tanh(x)` and a convolution with 5 x 5 filters would gain most from fusing? Why not the last? (Count the operations
#    for each number that is read.)
# 2. Why does the backward loop take the inputs and not the intermediate values? (Computing them again costs less than reading them.)
# 3. What does the compiler know that PyTorch in its ordinary mode does not? (What comes next.)
# 4. `0 * x` is 0. Why may a compiler not use that? (NaN and infinity.)

# %%
import inspect
import math
import statistics
import textwrap
import time

import matplotlib.pyplot as plt
import numba
import numpy as np

import tinypredrnn as tp
from tinypredrnn.course import check, show, size

# %% [markdown]
# ## Twenty-seven arrays
# Every cell of this course has a line such as $C_t = f_t \circ C_{t-1} + i_t \circ g_t$ (Eq. 2 of the paper): forget some of the memory
# and write something new. In NumPy:


# %%
def sigmoid(x):
    return 0.5 * np.tanh(0.5 * x) + 0.5  # the same as 1 / (1 + exp(-x)), and it overflows nowhere


def remember(i, f, g, memory):
    return sigmoid(f) * memory + sigmoid(i) * np.tanh(g)


# %% [markdown]
# How much work is that for the memory of the computer? Let NumPy tell us. A class may ask to be called instead of a NumPy function, by a
# method `__array_ufunc__`. Ours takes notes, and then does what was asked for.


# %%
class Metered(np.ndarray):
    """An array that notes what NumPy reads and writes: a line (function, arrays read, arrays written) in `notes`."""

    notes = []

    def __array_ufunc__(self, function, method, *inputs):
        inputs = [x.view(np.ndarray) if isinstance(x, Metered) else x for x in inputs]
        self.notes.append((function.__name__, sum(isinstance(x, np.ndarray) for x in inputs), 1))
        return function(*inputs).view(Metered)


def metered(function, *arrays):
    """The notes taken while `function` runs."""
    Metered.notes.clear()
    function(*(a.view(Metered) for a in arrays))
    return list(Metered.notes)


shape = (8, 32, 32, 64)  # (B,H,W,K)
rng = np.random.default_rng(0)
arrays = [rng.standard_normal(shape, np.float32) for _ in range(4)]  # i, f, g, memory
notes = metered(remember, *arrays)
print(*(name for name, *_ in notes))
print(f"read {sum(n for _, n, _ in notes)}, written {sum(n for *_, n in notes)}, each of {arrays[0].nbytes / 2**20:.0f} MiB")
#> multiply tanh multiply add multiply multiply tanh multiply add tanh multiply add
#> read 15, written 12, each of 2 MiB

# %% [markdown]
# Twelve functions, and each one is a loop of its own: it reads its arrays from memory from beginning to end and writes a new one, which
# the next function reads again. 27 arrays move. But any program must move only five: read the four inputs, write the result. Eleven arrays
# are made for nobody but the next function.

# %% [markdown]
# ## What memory costs
# To compare programs, run them in turns, so that a busy moment of the machine hits all of them alike, and take the median. The first run
# does not count: it compiles, and touches its memory for the first time.


# %%
def medians(rounds, **programs):
    """{name: seconds}, the median of as many runs; the programs take turns."""
    times = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            if turn > 0:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(runs) for name, runs in times.items()}


rounds = size(25, 5)
spare = np.empty_like(arrays[0])
seconds = medians(rounds, op_by_op=lambda: remember(*arrays), copy=lambda: np.copyto(spare, arrays[0]),
                  tanh=lambda: np.tanh(arrays[0], spare), new_tanh=lambda: np.tanh(arrays[0]))
milliseconds = {name: t * 1e3 for name, t in seconds.items()}
per_array = milliseconds["copy"] / 2  # a copy reads one array and writes one
print(f"op by op: {milliseconds['op_by_op']:.2f} ms")
print(f"one tanh: {milliseconds['tanh']:.2f} ms into an array that is there, {milliseconds['new_tanh']:.2f} ms into a new one")
print(f"27 arrays at the speed of a copy: {27 * per_array:.2f} ms; 5 arrays, the floor: {5 * per_array:.2f} ms")
print("op by op above twice the floor:", milliseconds["op_by_op"] > 2 * 5 * per_array)
#? op by op: 30.60 ms
#? one tanh: 1.56 ms into an array that is there, 11.94 ms into a new one
#? 27 arrays at the speed of a copy: 4.28 ms; 5 arrays, the floor: 0.79 ms
#> op by op above twice the floor: True

# %% [markdown]
# The **floor** is what no program can go below: the bytes that must move, at the speed of a copy. What op by op needs beyond it is 22
# arrays too many, new memory for every result (the second line shows its price on your machine: between none and high), and arithmetic,
# most of it in three `tanh`. And this is the forward pass only. Backward moves more.
#
# ### Exercise 18.1: the floor of any loop
# Return the fewest bytes that can move, forward and backward, for an elementwise function of `inputs` arrays that returns `outputs`
# arrays, all of them with `elements` numbers of `itemsize` bytes. Forward reads the inputs. Backward knows nothing but the inputs and
# the cotangents of the outputs, and returns a cotangent for every input.
#
# *Hint:* say for each direction what is read and what is written. For `remember`, backward moves nine arrays.


# %%
def floor(inputs, outputs, elements, itemsize=4):
    """[bytes forward, bytes backward]"""
    # <solution>
    array = elements * itemsize
    return [(inputs + outputs) * array, (2 * inputs + outputs) * array]
    # </solution>


check("18.1", lambda: [floor(4, 1, 1000), floor(1, 1, 10, itemsize=8), floor(2, 3, 7)], [[20000, 36000], [160, 240], [140, 196]])

# %% [markdown]
# ## Symbols
# To put twelve loops into one, somebody has to know all twelve before the first one starts. NumPy cannot: it is given one function at a
# time. So we call `remember` once with inputs that are no arrays at all. A `Symbol` uses the same method as `Metered` did; it notes what
# is asked for, and does not do it. (The mixin is NumPy's own: it turns `a + b` into `np.add(a, b)`, and so on for all operators.)


# %%
class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """A value that is not known yet: a NumPy function of symbols and numbers, or, where `op` is None, an input called args[0]."""

    def __init__(self, op, *args):
        self.op, self.args = op, args

    def __array_ufunc__(self, function, method, *inputs):
        return Symbol(function.__name__, *inputs)

    def __repr__(self):
        return self.args[0] if self.op is None else f"{self.op}({', '.join(map(repr, self.args))})"


def trace(function):
    """(input symbols, output expressions) of a function of arrays."""
    inputs = [Symbol(None, name) for name in inspect.signature(function).parameters]
    outputs = function(*inputs)
    return inputs, list(outputs) if isinstance(outputs, tuple) else [outputs]


print(trace(sigmoid))
#> ([x], [add(multiply(0.5, tanh(multiply(0.5, x))), 0.5)])

# %% [markdown]
# `sigmoid` was run, by Python, and never noticed. That is **tracing**. It sees through functions, loops and lists; what remains is what
# happens to the numbers.
#
# It has one trap. Here is a function with a kink:


# %%
def leaky(x):
    if x > 0:
        return x
    return 0.1 * x


print(leaky(-2.0), trace(leaky))
#> -0.2 ([x], [x])

# %% [markdown]
# The trace says that `leaky` does nothing. Python asked the symbol `greater(x, 0)` whether it is true, any object is true unless it says
# otherwise, and so one branch was recorded and the other is lost. A wrong program, without a word. Let symbols refuse:


# %%
def refuse(symbol):
    raise TypeError(f"whether {symbol} is true is not known while tracing: choose with arithmetic instead of `if`")


Symbol.__bool__ = refuse
try:
    trace(leaky)
except TypeError as error:
    print(error)
print(trace(lambda x: np.maximum(x, 0.1 * x)))  # the same without `if`
#> whether greater(x, 0) is true is not known while tracing: choose with arithmetic instead of `if`
#> ([x], [maximum(x, multiply(0.1, x))])

# %% [markdown]
# The walk from inputs to outputs, each symbol after those that it is made of, is lesson 2's. With it we can draw what the meter counted.


# %%
def in_order(outputs):
    """All symbols below the outputs, each one once and after those that it is made of."""
    order, seen = [], set()

    def visit(symbol):
        if isinstance(symbol, Symbol) and id(symbol) not in seen:
            seen.add(id(symbol))
            for part in symbol.args:
                visit(part)
            order.append(symbol)

    for output in outputs:
        visit(output)
    return order


print(*(symbol.op or symbol.args[0] for symbol in in_order(trace(remember)[1])))
#> f multiply tanh multiply add memory multiply i multiply tanh multiply add g tanh multiply add


# %%
def draw(ax, fused):
    """The expression of remember. Orange goes through memory, a square is an array there; thin grey lines stay in the processor."""
    inputs, outputs = trace(remember)
    signs = {"add": "+", "multiply": "×", "tanh": "tanh"}
    places = {id(x): (0, "i g f memory".split().index(x.args[0])) for x in inputs}

    def line(start, end, is_array):
        ax.plot(*zip(start, end), color="#D55E00" if is_array else "0.5", linewidth=2.2 if is_array else 1.2, zorder=1)

    def square(left, up):
        ax.plot(left, up, "s", color="#D55E00", markersize=10)

    for symbol in in_order(outputs):
        if symbol.op is None:
            left, up = places[id(symbol)]
            square(left, up)
            ax.text(left - 0.2, up, symbol.args[0], ha="right", va="center", fontsize=12)
            continue
        parts = [places[id(part)] for part in symbol.args if isinstance(part, Symbol)]
        left, up = int(max(x for x, _ in parts)) + 1, sum(y for _, y in parts) / len(parts)
        for part in parts:
            line(part, (left, up), is_array=part[0] == 0 or not fused)
        number = " ½" if len(parts) == 1 and symbol.op != "tanh" else ""
        ax.text(left, up, signs[symbol.op] + number, ha="center", va="center", fontsize=11, zorder=3,
                bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "0.3"})
        places[id(symbol)] = left, up
        if not fused or symbol is outputs[0]:
            places[id(symbol)] = left + (0.8 if fused else 0.5), up
            line((left, up), places[id(symbol)], is_array=True)
            square(*places[id(symbol)])
    if fused:
        ax.add_patch(plt.Rectangle((0.4, -0.5), 6.1, 4, facecolor="#56B4E9", alpha=0.2, zorder=0))
    ax.set(xlim=(-1.2, 7.1), ylim=(-0.6, 3.6))
    ax.set_title("one loop (blue): 5 arrays move" if fused else "op by op: 12 loops, 27 arrays move", fontsize=13)
    ax.axis("off")


figure, axes = plt.subplots(2, 1, figsize=(7.2, 6), layout="constrained")
for ax, fused in zip(axes, (False, True)):
    draw(ax, fused)
show(figure, "memory_traffic")

# %% [markdown]
# Above, each square is an array that is written by the op on its left (or was there before), and each line to an op is an array that is
# read. Below, one loop does all of it for one number, then for the next: only what enters or leaves the blue area is an array.
#
# ## An expression becomes lines
# The text of an expression could be its nested form, as printed above. But see how long that gets when results are used twice, as gates
# use them, and each such use stands on the one before:


# %%
def tower(height):
    def function(x):
        for _ in range(height):
            x = x * np.tanh(x)
        return x
    return function


for height in (1, 2, 4, 8):
    print(height, len(repr(trace(tower(height))[1][0])))
#> 1 20
#> 2 58
#> 4 286
#> 8 4846

# %% [markdown]
# Each storey of this tower holds the one below twice. A graph has shared parts, nested text has not. So every part gets a line and a name,
# and is used by its name from then on. And where two parts have the same text, the second is not computed at all: it is a **common
# subexpression**. A dictionary from text to name does both.

# %%
TEXT = {"add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}", "negative": "-{}", "exp": "exp({})",
        "tanh": "tanh({})"}


def lines_of(outputs, literal="{!r}"):
    """The outputs, computed line by line: ({text: name}, the names of the outputs). `literal` is how a number is written."""
    lines, names = {}, {}

    def name(x):
        return names[id(x)] if isinstance(x, Symbol) else literal.format(float(x))

    for symbol in in_order(outputs):
        if symbol.op is None:
            names[id(symbol)] = symbol.args[0]
        else:
            text = TEXT[symbol.op].format(*map(name, symbol.args))
            names[id(symbol)] = lines.setdefault(text, f"v{len(lines)}")
    return lines, [name(output) for output in outputs]


print(lines_of(trace(lambda a, b: np.tanh(a) * b - np.tanh(a) / b)[1]))
print([len(lines_of(trace(tower(height))[1])[0]) for height in (1, 2, 4, 8)])
#> ({'tanh(a)': 'v0', 'v0 * b': 'v1', 'v0 / b': 'v2', 'v1 - v2': 'v3'}, ['v3'])
#> [2, 4, 8, 16]

# %% [markdown]
# `tanh(a)` was asked for twice and is computed once. From here it is a small step to a program: put `def` above the lines and `return`
# below, and give the text to Python.


# %%
def function_of(inputs, outputs):
    """The source of a function of arrays, one line for each op."""
    lines, results = lines_of(outputs)
    body = [f"{name} = {text}" for text, name in lines.items()] + [f"return {', '.join(results)}"]
    return f"def traced({', '.join(x.args[0] for x in inputs)}):\n" + textwrap.indent("\n".join(body), "    ")


def executed(source, name, **tools):
    """What `source` calls `name`; the source may use `tools`."""
    exec(source, tools)
    return tools[name]


source = function_of(*trace(remember))
print(source)
traced = executed(source, "traced", tanh=np.tanh, exp=np.exp)
print("as remember:", np.array_equal(traced(*arrays), remember(*arrays)))
#> def traced(i, f, g, memory):
#>     v0 = 0.5 * f
#>     v1 = tanh(v0)
#>     v2 = 0.5 * v1
#>     v3 = v2 + 0.5
#>     v4 = v3 * memory
#>     v5 = 0.5 * i
#>     v6 = tanh(v5)
#>     v7 = 0.5 * v6
#>     v8 = v7 + 0.5
#>     v9 = tanh(g)
#>     v10 = v8 * v9
#>     v11 = v4 + v10
#>     return v11
#> as remember: True

# %% [markdown]
# ## The derivative is an expression, too
# Lesson 1's rules turned cotangents into cotangents, and were written with nothing but arithmetic. Then they work on symbols as well, and
# what they return is an expression. The walk backwards is the engine's: every symbol once, after all that use it (lesson 2), adding up
# where several routes meet.

# %%
RULES = {  # from the cotangent dy, the value y and the arguments of an op: the cotangents of its arguments
    "add": lambda dy, y, a, b: (dy, dy),
    "subtract": lambda dy, y, a, b: (dy, -dy),
    "multiply": lambda dy, y, a, b: (dy * b, dy * a),
    "divide": lambda dy, y, a, b: (dy / b, -dy * y / b),
    "negative": lambda dy, y, a: (-dy,),
    "exp": lambda dy, y, a: (dy * y,),
    "tanh": lambda dy, y, a: (dy * (1 - y * y),),
}


def gradients(inputs, outputs, cotangents):
    """Reverse mode on expressions: the cotangents of the inputs, as expressions; 0.0 for an input that nothing depends on."""
    total = {}  # id of a symbol -> its cotangent so far

    def add(symbol, cotangent):
        total[id(symbol)] = total[id(symbol)] + cotangent if id(symbol) in total else cotangent

    for output, cotangent in zip(outputs, cotangents):
        add(output, cotangent)
    for symbol in reversed(in_order(outputs)):
        if symbol.op is not None and id(symbol) in total:
            for part, cotangent in zip(symbol.args, RULES[symbol.op](total[id(symbol)], symbol, *symbol.args)):
                if isinstance(part, Symbol):
                    add(part, cotangent)
    return [total.get(id(x), 0.0) for x in inputs]


def slope_of(function):
    """(input symbols, expressions of the slopes by each of them) of a function with one output."""
    inputs, outputs = trace(function)
    return inputs, gradients(inputs, outputs, [1.0])


print(*slope_of(lambda a, b: np.tanh(a) * b)[1], sep="\n")
#> multiply(multiply(1.0, b), subtract(1, multiply(tanh(a), tanh(a))))
#> multiply(1.0, tanh(a))

# %% [markdown]
# Read them: $b\,(1 - \tanh^2 a)$ and $\tanh a$. These are the derivatives that calculus gives. (That `tanh(a)` is the very same symbol
# each time, the text cannot show; `lines_of` will.)
#
# ### Exercise 18.2: a rule of your own
# `np.hypot(a, b)` is $\sqrt{a^2 + b^2}$, the length of an arrow with the sides $a$ and $b$. Write its rule.
#
# *Hint:* the derivative of the root is one over twice the root, and the root is at hand: it is `y`. Return two cotangents.


# %%
def rule_of_hypot(dy, y, a, b):
    # <solution>
    return dy * a / y, dy * b / y
    # </solution>


check("18.2", lambda: [rule_of_hypot(1.0, 5.0, 3.0, 4.0), rule_of_hypot(-2.0, 13.0, 5.0, -12.0)], [(0.6, 0.8), (-10 / 13, 24 / 13)])

# %% [markdown]
# An expression can be given numbers, by way of its source. And a slope is an expression like any other, so nothing keeps us from
# differentiating it again.


# %%
def value(inputs, expressions, *numbers):
    """The values of expressions where the inputs are these numbers (or arrays)."""
    return executed(function_of(inputs, expressions), "traced", tanh=np.tanh, exp=np.exp)(*numbers)


print("slope of x tanh(x) at 0.5:", value(*slope_of(tower(1)), 0.5))
print("by nudging:               ", (tower(1)(0.5 + 1e-5) - tower(1)(0.5 - 1e-5)) / 2e-5)
#> slope of x tanh(x) at 0.5: 0.8553410237429735
#> by nudging:                0.8553410237019387

# %% [markdown]
# ### Exercise 18.3: twice
# Return the **second** derivative at `x` of a function with one input and one output.
#
# *Hint:* `slope_of` traces the function and differentiates once. `gradients` takes any expressions as outputs; slopes for example.


# %%
def second_derivative(function, x):
    # <solution>
    inputs, slopes = slope_of(function)
    return value(inputs, gradients(inputs, slopes, [1.0]), x)
    # </solution>


cases = [(lambda x: x * x * x, 2.0), (lambda x: np.tanh(x), 0.5), (lambda x: np.exp(-x * x), 1.0), (lambda x: 3 * x, 1.0)]
check("18.3", lambda: [second_derivative(*case) for case in cases], [12.0, -0.7268619814, 2 / math.e, 0.0], rtol=1e-8)

# %% [markdown]
# ## The gate's gradient, which nobody derived
# For training, the cotangent of the output is an input of the backward function, an array `dy0`.


# %%
def backward_of(function):
    """(input symbols, expressions) of a function's gradient: inputs and the outputs' cotangents dy0, dy1, ... in, cotangents out."""
    inputs, outputs = trace(function)
    cotangents = [Symbol(None, f"dy{k}") for k in range(len(outputs))]
    return inputs + cotangents, gradients(inputs, outputs, cotangents)


dy = rng.standard_normal(shape, np.float32)
tensors = [tp.tensor(a, requires_grad=True) for a in arrays]
with tp.unfused():  # the package's own gate, op by op
    expected = tp.cells.remember(*tensors)
    expected.backward(dy)
whole_arrays = executed(function_of(*backward_of(remember)), "traced", tanh=np.tanh)
differences = [np.abs(ours - theirs.grad).max() for ours, theirs in zip(whole_arrays(*arrays, dy), tensors)]
print(len(lines_of(backward_of(remember)[1])[0]), "lines; as the package to float32's rounding:", max(differences) < 1e-5)
notes = metered(whole_arrays, *arrays, dy)
print(f"{sum(read + written for _, read, written in notes)} arrays move, where {4 + 1 + 4} would do")
#> 26 lines; as the package to float32's rounding: True
#> 62 arrays move, where 9 would do

# %% [markdown]
# Right; but on whole arrays each line is still a loop of its own. Nothing is won yet, except that **somebody knows all lines** before the
# first one runs.
#
# ## One loop
# Now the lines go into a loop. It reads one number of each input, runs all lines on these numbers, and writes one number of each output.
# This is called **fusing**, and such a loop a **kernel**.


# %%
def source_of(inputs, outputs, literal="T({!r})"):
    """The source of `loop(arrays of the inputs, arrays for the outputs)`, all of them flat."""
    lines, results = lines_of(outputs, literal)
    names, made = [x.args[0] for x in inputs], [f"y{k}" for k in range(len(outputs))]
    body = [f"{x} = {x}_array[at]" for x in names] + [f"{name} = {text}" for text, name in lines.items()]
    body += [f"{y}_array[at] = {result}" for y, result in zip(made, results)]
    return (f"def loop({', '.join(f'{x}_array' for x in names + made)}):\n"
            f"    for at in range(len({names[0]}_array)):\n" + textwrap.indent("\n".join(body), " " * 8))


print(source_of(*trace(lambda i, g: i * np.tanh(0.5 * g)), literal="{!r}"))
#> def loop(i_array, g_array, y0_array):
#>     for at in range(len(i_array)):
#>         i = i_array[at]
#>         g = g_array[at]
#>         v0 = 0.5 * g
#>         v1 = tanh(v0)
#>         v2 = i * v1
#>         y0_array[at] = v2

# %% [markdown]
# Python runs it, and takes its time: it looks at every number and every name anew.

# %%
flat = [a.reshape(-1) for a in (*arrays, spare)]
few = [a[:5000] for a in flat]
in_python = executed(source_of(*trace(remember), literal="{!r}"), "loop", tanh=math.tanh)
with_numpy = medians(5, python=lambda: in_python(*few), numpy=lambda: remember(*few[:4]))
print(f"5,000 numbers: {with_numpy['python'] * 1e3:.1f} ms in Python, {with_numpy['numpy'] * 1e3:.3f} ms in NumPy")
print("Python above ten times NumPy:", with_numpy["python"] > 10 * with_numpy["numpy"])
#? 5,000 numbers: 16.2 ms in Python, 0.112 ms in NumPy
#> Python above ten times NumPy: True

# %% [markdown]
# numba compiles such a loop to machine code: it sees the types of the arrays at the first call, and the rest follows. One line:

# %%
compiled = {"math.tanh": numba.njit(in_python)}
seconds |= medians(size(5, 2), compiled=lambda: compiled["math.tanh"](*flat))
print("as remember:", np.allclose(spare, remember(*arrays), atol=1e-6))
print(f"compiled: {seconds['compiled'] * 1e3:.1f} ms; op by op it was {seconds['op_by_op'] * 1e3:.1f} ms")
#> as remember: True
#? compiled: 95.6 ms; op by op it was 30.6 ms

# %% [markdown]
# Five arrays move instead of 27, it is machine code, and where this text was written it is *slower*, by much. This happens to everybody
# once. A processor can compute several numbers at a time, say eight, in one **vector** instruction, where the program allows it. NumPy's
# `tanh` is written so. Our loop takes one number after the other, and there are three reasons, each hidden behind the one before.
#
# ## First: `tanh` is a call
# `math.tanh` is a function of the system's library. It takes one number, and no compiler can look into it and make it take eight. What a
# compiler can do eight times at once is `+`, `*` and `/`. So let us make a `tanh` of these: a ratio of two polynomials,
# $\tanh x \approx x\, p(s) / q(s)$ with $s = x^2$, up to 7.9, where float32 can hardly tell `tanh` from 1. Let $q$ begin with 1. With
# $t = \tanh(x) / x$ this says $p(s) - t\,(q(s) - 1) = t$, which is linear in the coefficients, and least squares finds them.

# %%
edge = 7.9
x = edge * (1 - np.cos(np.linspace(0, np.pi / 2, 2001)[1:]))  # places to fit at, denser near 0
t, s = np.tanh(x) / x, (x / edge) ** 2  # s from 0 to 1, so that its powers stay tame; p and q undo it
columns = np.stack([s**k for k in range(7)] + [-t * s**k for k in range(1, 4)], axis=1)
solution = np.linalg.lstsq(columns / t[:, None], np.ones_like(t), rcond=None)[0]  # over t: the relative error shall be small
p = solution[:7] / edge ** np.arange(0, 14, 2)  # the coefficients of 1, x^2, x^4, ...
q = np.append(1, solution[7:]) / edge ** np.arange(0, 8, 2)


def horner(coefficients, literal):
    """c0 + s * (c1 + s * (c2 + ...)) as source: one product and one sum for each coefficient."""
    text = literal.format(float(f"{coefficients[-1]:.8e}"))  # nine digits are all that float32 can tell
    for c in coefficients[-2::-1]:
        text = f"({literal.format(float(f'{c:.8e}'))} + s * {text})"
    return text


def tanh_source(literal):
    high, low = literal.format(edge), literal.format(-edge)
    return textwrap.dedent(f"""
        def tanh(x):
            x = {high} if x > {high} else {low} if x < {low} else x
            s = x * x
            return x * {horner(p, literal)} / {horner(q, literal)}
        """)


print(horner(q, "{:.4f}"))
python_tanh = executed(tanh_source("{!r}"), "tanh")
print("largest relative error below 2e-8:", max(abs(python_tanh(v) / math.tanh(v) - 1) for v in np.linspace(0.001, edge, 1000)) < 2e-8)
#> (1.0000 + s * (0.4643 + s * (0.0246 + s * 0.0003)))
#> largest relative error below 2e-8: True

# %%
def compile_loop(source, tanh, T=None, **options):
    """The compiled `loop` of a source that may call `tanh`, a compiled function, and make numbers with T."""
    return numba.njit(**options)(executed(source, "loop", tanh=tanh, exp=math.exp, T=T))


def own_tanh(literal, T=None, **options):
    return numba.njit(**options)(executed(tanh_source(literal), "tanh", T=T))


compiled["own tanh"] = compile_loop(source_of(*trace(remember), literal="{!r}"), own_tanh("{!r}"))
compiled["own tanh"](*flat)
print("as remember:", np.allclose(spare, remember(*arrays), atol=1e-6))
#> as remember: True

# %% [markdown]
# ## Second: a division could fail
# Where Python divides by zero it raises an exception, and numba does as Python does. A loop that could stop in the middle cannot take
# eight numbers at a time: the seven others would be done too early. NumPy returns infinity and goes on. `error_model="numpy"` asks for
# that.

# %%
goes_on = {"error_model": "numpy"}
compiled["no stop"] = compile_loop(source_of(*trace(remember), literal="{!r}"), own_tanh("{!r}", **goes_on), **goes_on)
for model in ("python", "numpy"):
    divide = numba.njit(lambda a, b: a / b, error_model=model)
    try:
        print(model, divide(1.0, 0.0))
    except ZeroDivisionError as error:
        print(model, type(error).__name__)
#> python ZeroDivisionError
#> numpy inf

# %% [markdown]
# ## Third: 0.5 is a float64
# Lesson 5 again, in a new dress. For NumPy a plain number takes the dtype of the array. For numba it is a float64, and so is everything
# that it touches. Nothing in the result tells: it is rounded on the way into the array. But each vector instruction now takes half as many
# numbers, and each number is converted twice.

# %%
T = np.float32
for half in (numba.njit(lambda x: 0.5 * x), numba.njit(lambda x: T(0.5) * x)):
    half(np.float32(3))
    print(half.nopython_signatures[0])
compiled["float32"] = compile_loop(source_of(*trace(remember)), own_tanh("T({!r})", T, **goes_on), T, **goes_on)
#> (float32,) -> float64
#> (float32,) -> float32

# %% [markdown]
# That is what `T(...)` around the literals is for. All stages, in turns:

# %%
stages = medians(rounds, **{"op by op": lambda: remember(*arrays), "copy": lambda: np.copyto(spare, arrays[0])},
                 **{name: lambda loop=loop: loop(*flat) for name, loop in compiled.items()})
stages["floor"] = 2.5 * stages.pop("copy")
for name, t in stages.items():
    print(f"{name}: {t * 1e3:.2f} ms, {t / stages['floor']:.1f} times the floor")
print("the last one below op by op:", stages["float32"] < stages["op by op"])
#? op by op: 36.36 ms, 45.5 times the floor
#? math.tanh: 102.97 ms, 128.8 times the floor
#? own tanh: 24.55 ms, 30.7 times the floor
#? no stop: 10.15 ms, 12.7 times the floor
#? float32: 1.18 ms, 1.5 times the floor
#? floor: 0.80 ms, 1.0 times the floor
#> the last one below op by op: True

# %%
labels = {"op by op": "op by op, NumPy", "math.tanh": "one loop, math.tanh", "own tanh": "... with our own tanh",
          "no stop": "... that cannot stop", "float32": "... in float32", "floor": "floor: 5 arrays copied"}
figure, ax = plt.subplots(figsize=(7, 3.4))
colours = ["#D55E00", "#56B4E9", "#56B4E9", "#56B4E9", "#0072B2", "0.6"]
bars = ax.barh(list(labels.values()), [stages[name] * 1e3 for name in labels], color=colours)
ax.bar_label(bars, fmt="{:.1f}", padding=4)
ax.axvline(stages["floor"] * 1e3, color="0.4", linestyle="--", linewidth=1)
ax.invert_yaxis()
ax.set_xscale("log")
ax.margins(x=0.15)
ax.set(xlabel="median time (ms, logarithmic)", title=f"remember, forward, {arrays[0].size:,} numbers, one thread")
show(figure, "stages")

# %% [markdown]
# ## The compiler
# All parts are there. What is left is to put them into one class: a `Loop` for each direction. Inputs alone are kept for backward: it
# computes the sigmoids again, which costs a few instructions, where keeping them would cost arrays.


# %%
class Loop:
    """A compiled loop over the elements of the inputs that makes a new array for each output."""

    def __init__(self, inputs, outputs, T):
        self.source, self.made, self.T = source_of(inputs, outputs), len(outputs), T
        tanh = own_tanh("T({!r})", T, **goes_on) if T is np.float32 else math.tanh  # in float64, exactness before speed
        self.loop = compile_loop(self.source, tanh, T, **goes_on)

    def __call__(self, *arrays):
        made = [np.empty(arrays[0].shape, self.T) for _ in range(self.made)]
        self.loop(*(a.reshape(-1) for a in (*arrays, *made)))
        return made


class Fused:
    """Gate maths as two loops: forward(*inputs) -> outputs, backward(*inputs, *cotangents of the outputs) -> cotangents of the inputs."""

    def __init__(self, function, T=np.float32):
        self.forward = Loop(*trace(function), T)
        self.backward = Loop(*backward_of(function), T)


gate = Fused(remember)
results = [*gate.forward(*arrays), *gate.backward(*arrays, dy)]
differences = [np.abs(ours - theirs).max() for ours, theirs in zip(results, [expected.data, *(t.grad for t in tensors)])]
print("value, gradients by i, f, g, memory: below 4e-6 from the package, op by op:", [bool(d < 4e-6) for d in differences])
#> value, gradients by i, f, g, memory: below 4e-6 from the package, op by op: [True, True, True, True, True]

# %% [markdown]
# Is this rounding, or a small error in a rule? In float64 it would show: rounding shrinks with the precision, an error stays. And any gate
# will do. Here is a stranger one, with two outputs:


# %%
def stranger(a, b):
    ratio = (a - b) / (1 + np.exp(-a))
    return ratio * np.tanh(b), ratio - a * np.exp(b) * ratio


def stranger_of_the_package(a, b):
    ratio = (a - b) / (1 + tp.exp(-a))
    return ratio * tp.tanh(b), ratio - a * tp.exp(b) * ratio


doubles = [rng.standard_normal((3, 4, 5)) for _ in range(4)]  # a, b and the two cotangents
strange = Fused(stranger, np.float64)
leaves = [tp.tensor(a, requires_grad=True) for a in doubles[:2]]
with tp.unfused():
    outputs = stranger_of_the_package(*leaves)
    sum((y * dy).sum() for y, dy in zip(outputs, doubles[2:])).backward()
results = [*strange.forward(*doubles[:2]), *strange.backward(*doubles)]
references = [*(y.data for y in outputs), *(t.grad for t in leaves)]
print("differences below 1e-12:", all(np.allclose(ours, theirs, rtol=0, atol=1e-12) for ours, theirs in zip(results, references)))
#> differences below 1e-12: True

# %% [markdown]
# ## Time, honestly
# A training step runs the gate forward and backward. In turns, on one thread: the package op by op, our loops, and the package's own
# `tp.fuse`, which made its `remember`. The floor is 5 arrays forward and 9 backward. One thing is flattering us, and you should know it:
# the package also records what it does for `backward`, broadcasts and checks; we do not.


# %%
def train_with_package():
    tensors = [tp.tensor(a, requires_grad=True) for a in arrays]
    tp.cells.remember(*tensors).backward(dy)


def train_op_by_op():
    with tp.unfused():
        train_with_package()


threads = numba.get_num_threads()
numba.set_num_threads(1)
both = medians(rounds, **{"op by op": train_op_by_op, "our compiler": lambda: (gate.forward(*arrays), gate.backward(*arrays, dy)),
                          "tp.fuse": train_with_package, "floor": lambda: np.copyto(spare, arrays[0])})
numba.set_num_threads(threads)
both["floor"] *= (5 + 9) / 2
for name, t in both.items():
    print(f"{name}: {t * 1e3:.2f} ms, op by op is {both['op by op'] / t:.1f} times that")
print("both faster:", both["op by op"] > max(both["our compiler"], both["tp.fuse"]))
#? op by op: 42.24 ms, op by op is 1.0 times that
#? our compiler: 8.81 ms, op by op is 4.8 times that
#? tp.fuse: 7.60 ms, op by op is 5.6 times that
#? floor: 2.10 ms, op by op is 20.1 times that
#> both faster: True

# %% [markdown]
# What is left above the floor is arithmetic, and the making of new arrays. This gain is for gates. A convolution forms hundreds of products
# for each number that it reads: there, memory is not what costs. Lesson 19 sees to the products.
#
# ## Reading what the package wrote
# `tp.fuse` shows the source of its kernels. Here is the loop of `remember`, forward (for float32). Parameters get the prefix `in_`, so that
# none of them can be taken for a name of the kernel's own:

# %%
forward, backward = tp.cells.remember.kernels
print(textwrap.dedent(forward.cpu_source("float32").partition("for column in range(width):")[2]).strip())
#> in_i = row_in_i[column]
#> in_f = row_in_f[column]
#> in_g = row_in_g[column]
#> in_memory = row_in_memory[column]
#> v0 = sigmoid(in_f)
#> v1 = v0 * in_memory
#> v2 = sigmoid(in_i)
#> v3 = tanh(in_g)
#> v4 = v2 * v3
#> v5 = v1 + v4
#> row_y0[column] = v5

# %% [markdown]
# And backward. Lines v0 to v5 are the cotangent of `i`: the rule of `*`, then of `sigmoid`, which has a rule of its own, $y(1 - y)$:

# %%
print("\n".join(f"{name} = {text}" for text, name in backward.lines.items()))
print(dict(zip(backward.inputs, backward.outputs)))
#> v0 = tanh(in_g)
#> v1 = dy0 * v0
#> v2 = sigmoid(in_i)
#> v3 = v1 * v2
#> v4 = T(1.0) - v2
#> v5 = v3 * v4
#> v6 = dy0 * in_memory
#> v7 = sigmoid(in_f)
#> v8 = v6 * v7
#> v9 = T(1.0) - v7
#> v10 = v8 * v9
#> v11 = dy0 * v2
#> v12 = v0 * v0
#> v13 = T(1.0) - v12
#> v14 = v11 * v13
#> v15 = dy0 * v7
#> {'in_i': 'v5', 'in_f': 'v10', 'in_g': 'v14', 'in_memory': 'v15'}

# %% [markdown]
# You can read all of it, because you wrote its compiler: without a `sigmoid`, both write the same, word for word except
# for the prefix.

# %%
theirs = [[line.replace("in_", "") for line in kernel.lines] for kernel in tp.fuse(stranger_of_the_package).kernels]
ours = [list(lines_of(outputs, "T({!r})")[0]) for _, outputs in (trace(stranger), backward_of(stranger))]
print(f"the same lines: {ours == theirs}, {len(ours[0])} forward and {len(ours[1])} backward")
#> the same lines: True, 11 forward and 32 backward

# %% [markdown]
# ### Exercise 18.4: shorter lines
# A line such as `1.0 * b` could be left out: where it is used, `b` would do. Return the text of `op` applied to `a` and `b` as in `TEXT`;
# or `a` or `b` alone, where that is the same **for every** number that the other text may stand for, NaN, infinity and -0.0 included. The
# numbers in the texts are written "0.0" and "1.0".
#
# *Hint:* four patterns may be shortened, and each of the four results below tells something about one that looks like it.

# %%
x = np.array([-0.0, np.inf, np.nan])
with np.errstate(invalid="ignore"):
    for result in (0.0 * x, x - x, x + 0.0, x - 0.0):
        print(result)
#> [-0. nan nan]
#> [ 0. nan nan]
#> [ 0. inf nan]
#> [-0. inf nan]


# %%
def shorter(op, a, b):
    # <solution>
    if op == "multiply" and a == "1.0":
        return b
    if (op, b) in (("multiply", "1.0"), ("divide", "1.0"), ("subtract", "0.0")):
        return a
    return TEXT[op].format(a, b)
    # </solution>


def judge():
    """[the cases whose text has another value than before, how many characters all of them save]"""
    tools, wrong, saved = {"x": np.array([-0.0, 0.0, 2.0, -np.inf, np.nan])}, [], 0
    for op in ("add", "subtract", "multiply", "divide"):
        for a, b in (("x", "1.0"), ("1.0", "x"), ("x", "0.0"), ("0.0", "x"), ("x", "x")):
            before, after = TEXT[op].format(a, b), shorter(op, a, b)
            if after is None:
                return None
            with np.errstate(all="ignore"):
                wrong += [f"{before} as {after}"] if repr(eval(before, tools)) != repr(eval(after, tools)) else []
            saved += len(before) - len(after)
    return [wrong, saved]


check("18.4", judge, [[], 24])

# %% [markdown]
# ## What you have now
# A compiler: from a Python function to an expression, from there to its derivative, to lines, and to machine code.
#
# | here | in the package |
# |---|---|
# | `Symbol`, by NumPy's hook | `tinypredrnn/autograd/symbol.py`, `Symbol`, with operators of its own |
# | `TEXT`, `RULES` | `tinypredrnn/autograd/elementwise.py`, `TABLE`: the rules are those of the engine, there is only one set of them |
# | `trace`, `in_order` | `tinypredrnn/autograd/fuse.py`, `trace` |
# | `gradients` | `tinypredrnn/autograd/fuse.py`, `gradients` |
# | `lines_of` | `tinypredrnn/autograd/fuse.py`, `lines_of` |
# | `Loop`, `source_of` | `tinypredrnn/autograd/fuse.py`, `Loop` |
# | `Fused` | `tinypredrnn/autograd/fuse.py`, `Fused`: an op, so that the engine's `backward` finds it |
# | `executed` | `tinypredrnn/compiled.py`, `compile_source`: what numba made is kept, so that it compiles once and not at every start |
# | `remember` | `tinypredrnn/cells.py`, `remember` |
#
# The package's loops also read and write pieces of a larger array where they lie, such as one gate of four (hence rows, and columns in
# them), broadcast, share large arrays between threads, and write CUDA for the GPU from the same lines.
#
# **Real systems.** PyTorch runs op by op unless you ask for `torch.compile`, which traces, derives, and fuses as we do, and writes C++ for
# the CPU and Triton for the GPU. JAX traces with symbols that have shapes and dtypes, and its compiler XLA fuses the lines. cuDNN's LSTM
# has its gates fused by hand. All of them must solve what we left out: when to fuse *across* a convolution or a sum, and when computing
# something twice is cheaper than keeping it.
