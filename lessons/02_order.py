# %% [markdown]
# # 2. Order
#
# - **Idea:** a node passes its gradient on only after every step that uses it has contributed.
# - **Minutes:** 40
# - **Needs:** lesson 1.
# - **You will see:** a wrong algorithm that reports 22 where the derivative is 14; another that reports 14 where it is
#   22; and a derivative through 20 steps that takes two million calls, until 21 visits are enough.
# - **Why:** lesson 1's `backward` follows every route separately. The number of routes doubles whenever a value is used
#   twice, and a network that reads a video frame by frame uses its memory several times in every frame.
#
# Here is the engine of lesson 1, shortened. `edges` is new: the parents of a tensor, each with its slope. Only the
# backward pass will change.

# %%
import matplotlib.pyplot as plt

from tinypredrnn.course import check, show


class Node:
    """One step of a computation: the tensors that went in, and how fast the result changes with each."""

    def __init__(self, parents, slopes):
        self.parents, self.slopes = parents, slopes


class Tensor:
    """A number that remembers how it was made; node is None for a leaf."""

    def __init__(self, data, node=None):
        self.data, self.node, self.grad = data, node, 0.0

    def __add__(self, other):
        other = as_tensor(other)
        return Tensor(self.data + other.data, Node([self, other], [1.0, 1.0]))

    def __mul__(self, other):
        other = as_tensor(other)
        return Tensor(self.data * other.data, Node([self, other], [other.data, self.data]))


def as_tensor(value):
    return value if isinstance(value, Tensor) else Tensor(value)


def edges(tensor):
    """[(parent, slope)] of the step that made a tensor; none for a leaf."""
    return list(zip(tensor.node.parents, tensor.node.slopes)) if tensor.node else []


# %% [markdown]
# ## Counting calls
# Here is lesson 1's `backward`, now counting its calls, on a ladder: `y = y + y`, again and again.


# %%
def backward_by_routes(tensor, cotangent=1.0):
    """Lesson 1's backward; returns the number of calls."""
    if tensor.node is None:
        tensor.grad += cotangent
    return 1 + sum(backward_by_routes(parent, cotangent * slope) for parent, slope in edges(tensor))


def ladder(x, steps):
    y = x
    for _ in range(steps):
        y = y + y
    return y


for steps in (5, 10, 15, 20):
    leaf = Tensor(1.0)
    calls = backward_by_routes(ladder(leaf, steps))
    print(f"{steps} steps: derivative {leaf.grad:.0f}, {calls:,} calls")
#> 5 steps: derivative 32, 63 calls
#> 10 steps: derivative 1024, 2,047 calls
#> 15 steps: derivative 32768, 65,535 calls
#> 20 steps: derivative 1048576, 2,097,151 calls

# %%
print(f"60 steps at a million calls a second: {2**61 / 1e6 / (365 * 24 * 3600):,.0f} years")
#> 60 steps at a million calls a second: 73,118 years

# %% [markdown]
# The derivative is correct, but the work doubles with each step.
#
# There is a second problem. The tensors and the steps between them are called the **graph**. `backward_by_routes` calls
# itself, as many calls deep as the graph is, and Python limits that depth.

# %%
chain = Tensor(1.0)
for _ in range(10_000):
    chain = chain + 1.0
try:
    backward_by_routes(chain)
except RecursionError:
    print("RecursionError: 10,000 steps are too deep")
#> RecursionError: 10,000 steps are too deep

# %% [markdown]
# ## First attempt: collect, and pass on
# Routes that lead to the same tensor should continue together from there. So let each tensor collect what arrives, and
# pass on what it has collected. We try this on a graph whose derivative is obvious: $z = 2x$ and $y = 4z + 3z$, so
# $y = 14x$.


# %%
def gather_and_pass(tensor, cotangent=1.0):
    tensor.grad += cotangent
    for parent, slope in edges(tensor):
        gather_and_pass(parent, tensor.grad * slope)


def one_level(x):
    z = x * 2.0
    return z * 4.0 + z * 3.0


def derivative(backward, f, value):
    x = Tensor(value)
    backward(f(x))
    return x.grad


print("each route separately:", derivative(backward_by_routes, one_level, 1.0))
print("collect and pass on:", derivative(gather_and_pass, one_level, 1.0))
#> each route separately: 14.0
#> collect and pass on: 22.0

# %% [markdown]
# 22 instead of 14. Look at `z`. From $4z$ a cotangent of 4 arrives; `z` holds 4 and passes on $4 \cdot 2 = 8$. Then 3
# arrives from $3z$; `z` holds 7 and passes on $7 \cdot 2 = 14$. At `x` the sum is $8 + 14 = 22$. The 4 was passed on
# twice, because `z` passed on its cotangent before everything had arrived.
#
# There is no error and no warning, and the number looks as plausible as any other. It even depends on the order of the
# terms:


# %%
def other_way_round(x):
    z = x * 2.0
    return z * 3.0 + z * 4.0


print(derivative(gather_and_pass, other_way_round, 1.0))
#> 20.0

# %% [markdown]
# ### Exercise 2.1: predict the result (easy, 5 minutes)
# For $z = 2x$ and $y = (5z + z) + 2z$ the correct derivative is 16. What does `gather_and_pass` report? Work it out on
# paper, and return the number.
#
# *Hint:* it follows the left part of a sum first. For each arrival at `z`, write down what `z` holds by then and what
# it passes on.


# %%
def predicted():
    # <solution>
    arrivals, total, at_x = [5, 1, 2], 0, 0
    for arrived in arrivals:
        total += arrived
        at_x += total * 2
    return at_x
    # </solution>


def three_uses(x):
    z = x * 2.0
    return (z * 5.0 + z) + z * 2.0


check("2.1", predicted, derivative(gather_and_pass, three_uses, 1.0), reveal=False)

# %% [markdown]
# ## Second attempt: round by round
# Then let each tensor pass on its cotangent only once. In the first round the result does so, in the second its
# parents, in the third their parents, each with what it has collected by then.


# %%
def round_by_round(root):
    root.grad, seen, this_round = 1.0, {root}, [root]
    while this_round:
        next_round = []
        for tensor in this_round:
            for parent, slope in edges(tensor):
                parent.grad += tensor.grad * slope
                if parent not in seen:
                    seen.add(parent)
                    next_round.append(parent)
        this_round = next_round


print(derivative(round_by_round, one_level, 1.0), derivative(round_by_round, other_way_round, 1.0))
#> 14.0 14.0

# %% [markdown]
# Correct both times, and each tensor is visited only once. Before we trust it, let us try a graph in which one route
# from `z` to `y` is longer than the other: $z = x^2$, $u = z + 1$, $y = 7z + u^2$. At $x = 1$ the derivative is
# $(7 + 2u)\,2x = 22$.


# %%
def two_levels(x):
    z = x * x
    u = z + 1.0
    return z * 7.0 + u * u


print("each route separately:", derivative(backward_by_routes, two_levels, 1.0))
print("round by round:", derivative(round_by_round, two_levels, 1.0))
#> each route separately: 22.0
#> round by round: 14.0

# %% [markdown]
# Now it reports 14; the correct answer is 22. `z` passed on its cotangent in the third round, with the 7 that it held.
# The 4 that came through `u` arrived in the same round, too late. A tensor that passes on its cotangent only once must
# do so **after every tensor that uses it**, however long the route to that tensor is.
#
# ## The order that works
# So, before anything is passed on, count how often each tensor is used: how many **consumers** it has. During the
# backward pass, count down. When the count of a tensor reaches zero, everything has arrived, and the tensor passes on
# the sum. This is Kahn's algorithm (1962) for sorting the nodes of a graph.


# %%
def count_consumers(root):
    """tensor -> how many times it is used, for root and all tensors that it was computed from."""
    waiting, stack = {root: 0}, [root]
    while stack:
        for parent, _ in edges(stack.pop()):
            if parent not in waiting:
                waiting[parent] = 0
                stack.append(parent)
            waiting[parent] += 1
    return waiting


def backward(root, cotangent=1.0):
    """Add d(root)/d(leaf), times the cotangent, to the grad of every leaf; returns the number of visits."""
    waiting, arrived, ready, visits = count_consumers(root), {root: cotangent}, [root], 0
    while ready:
        tensor = ready.pop()
        visits += 1
        dy = arrived.pop(tensor)
        if tensor.node is None:
            tensor.grad += dy
        for parent, slope in edges(tensor):
            arrived[parent] = arrived.get(parent, 0.0) + dy * slope
            waiting[parent] -= 1
            if waiting[parent] == 0:
                ready.append(parent)
    return visits


print(*(derivative(backward, f, 1.0) for f in (one_level, other_way_round, two_levels)))
#> 14.0 14.0 22.0

# %%
x = Tensor(1.0)
print(backward(ladder(x, 20)), "visits")
print(backward(ladder(x, 60)), "visits")
print(backward(chain), "visits")
#> 21 visits
#> 61 visits
#> 20001 visits

# %% [markdown]
# The work now grows with the size of the graph: one visit for each tensor, however many routes there are (the chain
# consists of its leaf, 10,000 sums and the 10,000 ones that were added). And nothing calls itself, so no graph is too
# deep.
#
# The picture shows the graph of `two_levels` without the leaves 7 and 1, one visit after another. Below each tensor
# stands what has arrived, and its turn once it has come; beside each arrow stands the slope.

# %%
places = {"x": (0, 0), "z = x·x": (1.5, 0), "u = z + 1": (3, 0.9), "u·u": (4.8, 0.9), "7·z": (4.8, -0.9),
          "y": (6, 0)}
arrows = [("x", "z = x·x", "1 + 1", (0.5, 0.15)), ("z = x·x", "u = z + 1", "1", (2.15, 0.6)),
          ("z = x·x", "7·z", "7", (3.2, -0.3)), ("u = z + 1", "u·u", "2 + 2", (4.1, 1.05)),
          ("u·u", "y", "1", (5.5, 0.6)), ("7·z", "y", "1", (5.4, -0.25))]
orders = {"round by round: 14, which is wrong": ["y", "7·z", "u·u", "z = x·x", "u = z + 1", "x"],
          "after all consumers: 22, which is correct": ["y", "u·u", "u = z + 1", "7·z", "z = x·x", "x"]}
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.6"
figure, axes = plt.subplots(2, 1, figsize=(6.6, 5.6))
panels = []
for ax, (title, order) in zip(axes, orders.items()):
    boxes = {name: ax.text(*place, name, ha="center", va="center", fontsize=12,
                           bbox={"boxstyle": "round", "facecolor": "white"}) for name, place in places.items()}
    notes = {name: ax.text(left, up - 0.4, "", ha="center", va="top", fontsize=11)
             for name, (left, up) in places.items()}
    lines = {}
    for start, end, slope, middle in arrows:
        lines[start, end] = ax.annotate("", places[end], places[start], arrowprops={
            "arrowstyle": "->", "color": GREY, "shrinkA": 4, "shrinkB": 4,
            "patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch()})
        ax.text(*middle, slope, ha="center", color="0.4", fontsize=10)
    ax.set(title=title, xlim=(-0.7, 6.7), ylim=(-1.7, 1.4))
    ax.axis("off")
    panels.append((order, boxes, notes, lines))


def visit(t):
    """Draw the first t visits of both orders; the tensor whose turn it is, and what it passes on, are orange."""
    for order, boxes, notes, lines in panels:
        arrived, words = {"y": [1]}, {}
        for turn, name in enumerate(order[:t], start=1):
            words[name] = f"{turn}. with {' + '.join(map(str, arrived[name]))}"
            for start, end, slope, _ in arrows:
                lines[start, end].arrow_patch.set_color(ORANGE if end == name == order[t - 1] else GREY)
                if end == name:
                    passed_on = sum(arrived[name]) * eval(slope)
                    arrived.setdefault(start, []).append(passed_on)
                    if start in words:
                        words[start] += f"\n{passed_on} too late"
        for name in boxes:
            note = words.get(name) or " + ".join(map(str, arrived.get(name, [])))
            notes[name].set(text=note, color=ORANGE if "too late" in note else BLUE)
            boxes[name].get_bbox_patch().set_edgecolor(ORANGE if t and name == order[t - 1] else "black")


show(figure, "order", visit, frames=len(places) + 1)

# %% [markdown]
# ### Exercise 2.2: how many routes? (stretch, 10 minutes)
# Return the number of routes from `root` down to `leaf`, without following them one by one: for the ladder of 60 steps
# it is $2^{60}$.
#
# *Hint:* what does `backward` compute on a graph whose slopes are all 1? Use `count_consumers` and the same loop, with
# another number in place of `dy * slope`. If `root` was not computed from `leaf`, there is no route.


# %%
def routes(root, leaf):
    # <solution>
    waiting, arrived, ready = count_consumers(root), {root: 1}, [root]
    while ready:
        tensor = ready.pop()
        for parent, _ in edges(tensor):
            arrived[parent] = arrived.get(parent, 0) + arrived[tensor]
            waiting[parent] -= 1
            if waiting[parent] == 0:
                ready.append(parent)
    return arrived.get(leaf, 0)
    # </solution>


check("2.2", lambda: [routes(two_levels(x), x), routes(x * x * x + x, x), routes(x, x), routes(chain, x),
                      routes(ladder(x, 60), x)],
      [6, 4, 1, 0, 2**60])

# %% [markdown]
# ### Exercise 2.3: sort first, then visit (medium, 10 minutes)
# Many small engines first sort the tensors and then visit them in that order. Return a list of `root` and all tensors
# that it was computed from, in which each tensor stands after every tensor that uses it. So `root` comes first. Any
# such order is correct; the check uses yours with real slopes.
#
# *Hint:* `backward` visits the tensors in such an order already. What must be kept, and what can go?


# %%
def order(root):
    # <solution>
    waiting, ready, visited = count_consumers(root), [root], []
    while ready:
        tensor = ready.pop()
        visited.append(tensor)
        for parent, _ in edges(tensor):
            waiting[parent] -= 1
            if waiting[parent] == 0:
                ready.append(parent)
    return visited
    # </solution>


def backward_in_order(root):
    root.grad = 1.0
    for tensor in order(root):
        for parent, slope in edges(tensor):
            parent.grad += tensor.grad * slope


def two_levels_mirrored(x):
    z = x * x
    u = z + 1.0
    return u * u + z * 7.0


graphs = (one_level, two_levels, two_levels_mirrored, lambda x: (two_levels(x) + x) * x + x * x)
check("2.3", lambda: [derivative(backward_in_order, f, 3.0) for f in graphs],
      [derivative(backward, f, 3.0) for f in graphs])

# %% [markdown]
# ## What you have now
# The backward pass of the package, with the package's order of visits.
#
# | here | in the package |
# |---|---|
# | `count_consumers`, `waiting` | `tinypredrnn/autograd/engine.py`, `count_consumers` |
# | `arrived`, `ready` | `tinypredrnn/autograd/engine.py`, `backward` |
# | `two_levels` as a test | `tests/autograd/test_engine.py` |
#
# **Real systems.** PyTorch's engine counts how often each node is used and runs a node when its count has reached zero,
# as here; among the nodes that are ready it takes the one made last. HIPS autograd, the ancestor of JAX, visits the
# nodes in sorted order. micrograd sorts recursively: short code, but it hits the recursion limit on this lesson's chain
# of 10,000 steps.
