"""What lessons 1 to 5 build is what the package does, in small: the same programs through both give the same answers.

The classes come out of the lessons themselves, run by tinypredrnn.course.
"""

import functools
from types import SimpleNamespace

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn import course
from tinypredrnn.autograd import arrays, engine, maths
from tinypredrnn.autograd import op as package_op
from tinypredrnn.course.lesson import lessons
from tinypredrnn.course.run import run
from tinypredrnn.errors import DTypeError, GradientError, GraphError

SEEDS = range(25)


@functools.cache
def built_in(number):
    """What a lesson defined, as attributes."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYPREDRNN_LESSONS", "small")
        patch.setattr("tinypredrnn.course.answers.remember", lambda *_: None)
        patch.setattr(course, "show", lambda figure, *name, **moving: plt.close(figure))
        (lesson,) = lessons(numbers=[number])
        return SimpleNamespace(**run(lesson)[0])


@pytest.fixture(params=[1, 2], ids=["lesson 1", "lesson 2"])
def of_numbers(request):
    return built_in(request.param)


@pytest.fixture
def third():
    return built_in(3)


@pytest.fixture
def fourth():
    return built_in(4)


@pytest.fixture
def fifth():
    return built_in(5)


@pytest.fixture(params=[3, 4, 5], ids=["lesson 3", "lesson 4", "lesson 5"])
def of_arrays(request):
    return built_in(request.param)


def leaf(values):
    return tp.tensor(values, requires_grad=True)


# numbers

@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_of_numbers(of_numbers, seed):
    """Sums and products of whatever was there before, so that most values are used several times and on ways of several lengths."""
    rng = np.random.default_rng(seed)
    plan = [(rng.integers(0, 2), rng.integers(0, 3 + k, 2)) for k in range(8)]

    def program(x, y, z):
        made = [x, y, z]
        for product, (i, j) in plan:
            made.append((made[i] * made[j] if product else made[i] + made[j]) * 0.5 + 0.25)
        return made[-1] + made[-2]

    values = rng.uniform(0.5, 1.5, 3)
    theirs = [of_numbers.Tensor(float(v)) for v in values]
    ours = [leaf(v) for v in values]
    result, expected = program(*theirs), program(*ours)
    of_numbers.backward(result)
    expected.backward()
    np.testing.assert_allclose(result.data, expected.data, rtol=1e-12)
    np.testing.assert_allclose([x.grad for x in theirs], [0 if x.grad is None else x.grad for x in ours], rtol=1e-12)


def test_the_two_graphs_that_say_14_and_22():
    second = built_in(2)
    for f, truth in ((second.one_level, 14), (second.two_levels, 22)):
        x, ours = second.Tensor(1.0), leaf(np.float64(1))
        second.backward(f(x))
        f(ours).backward()
        assert x.grad == ours.grad == truth
    assert second.derivative(second.gather_and_pass, second.one_level, 1.0) == 22
    assert second.derivative(second.round_by_round, second.two_levels, 1.0) == 14


def test_consumers_are_counted_alike(fifth):
    """Each node of the one graph waits for as many as its twin in the other."""
    def program(x):
        z = x * x
        return (z + z * x) * z

    def counts(root, count_consumers):
        return sorted((node.op.name, n) for node, n in count_consumers(root.node).items())

    x = np.ones(2)
    assert counts(program(fifth.Tensor(x)), fifth.count_consumers) == counts(program(leaf(x)), engine.count_consumers)


# arrays

SHAPES = [(2, 3), (3,), (2, 1), (1, 3), (), (1, 1), (1,), (4, 2, 3), (4, 1, 1), (1, 2, 1)]


def random_program(rng, steps=6):
    """A function of four tensors that adds, multiplies and squashes what there is, with broadcasting; and its inputs."""
    plan = [(rng.choice(["add", "mul", "tanh", "constant"]), rng.integers(0, 4 + k, 2)) for k in range(steps)]
    values = [rng.standard_normal(SHAPES[i]) for i in rng.integers(0, len(SHAPES), 4)]
    constant = rng.standard_normal((2, 3))

    def program(ops, *leaves):
        made = list(leaves)
        for kind, (i, j) in plan:
            if kind == "tanh":
                made.append(ops["tanh"](made[i]))
            elif kind == "constant":
                made.append(ops["mul"](ops["add"](made[i], constant.astype(made[i].data.dtype)), 0.5))
            else:
                made.append(ops[kind](made[i], made[j]))
        result = made[0]
        for value in made[1:]:  # so that every leaf has a gradient
            result = ops["add"](result, value)
        return result

    return program, values


def ops_of(lesson):
    mul = getattr(lesson, "mul", None) or lesson.Op(lambda a, b: a * b, [lambda dy, a, b: dy * b, lambda dy, a, b: dy * a])
    return {"add": lesson.add, "mul": mul, "tanh": lesson.tanh}  # lesson 4 has no mul of its own


PACKAGE = {"add": maths.add, "mul": maths.mul, "tanh": maths.tanh}


def compare(lesson, rng, dtype):
    program, values = random_program(rng)
    values = [v.astype(dtype) for v in values]
    theirs, ours = [lesson.Tensor(v.copy()) for v in values], [leaf(v.copy()) for v in values]
    result, expected = program(ops_of(lesson), *theirs), program(PACKAGE, *ours)
    np.testing.assert_array_equal(result.data, expected.data)
    assert np.asarray(result.data).dtype == expected.dtype == dtype
    cotangent = rng.standard_normal(expected.shape).astype(dtype)
    kept = cotangent.copy()
    lesson.backward(result, cotangent)
    expected.backward(cotangent)
    np.testing.assert_array_equal(cotangent, kept)
    for x, y, value in zip(theirs, ours, values):
        assert np.shape(x.grad) == y.grad.shape == value.shape
        np.testing.assert_allclose(x.grad, y.grad, rtol=1e-12 if dtype == np.float64 else 1e-4, atol=1e-12 if dtype == np.float64 else 1e-5)
        np.testing.assert_array_equal(x.data, value)
    return theirs, ours


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_of_arrays(of_arrays, seed):
    compare(of_arrays, np.random.default_rng(seed), np.float64)


@pytest.mark.parametrize("seed", SEEDS)
def test_float32_stays_float32(fifth, seed):
    theirs, ours = compare(fifth, np.random.default_rng(seed), np.float32)
    assert {str(x.grad.dtype) for x in (*theirs, *ours)} == {"float32"}


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_are_nobody_elses(fifth, seed):
    """Writing to one gradient changes no other, and none of the inputs."""
    for leaves in compare(fifth, np.random.default_rng(seed), np.float64):
        mine = [array for x in leaves for array in (x.data, x.grad)]
        for i, array in enumerate(mine):
            assert array.flags.writeable and not any(np.shares_memory(array, other) for other in mine[i + 1:])


def test_views_are_not_added_to(fifth):
    """The cotangent of a sum repeats one number in memory, that of a flip shows the memory of another one."""
    def flip(x):
        return x[::-1]

    values = np.array([1.0, 2.0, 4.0])
    x, ours = fifth.Tensor(values), leaf(values)
    for leaf_, op, total, backward in ((x, fifth.op, fifth.total, fifth.backward), (ours, package_op, arrays.sum, engine.backward)):
        h = leaf_ * 1.0
        turned = op(x=lambda dy: dy[::-1])(flip)(h)
        backward((leaf_ * 1.0 + (h * 3.0 + turned)) * np.array([1.0, 10.0, 100.0]), np.ones(3))  # the turned one is visited first
        h = leaf_ * 1.0
        backward(total(h * h) + total(h))
    assert x.grad.tolist() == ours.grad.tolist() == [1 + 3 + 100 + 3, 10 + 30 + 10 + 5, 100 + 300 + 1 + 9]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("larger", [(4, 2, 3), (2, 3)], ids=str)
def test_unbroadcasting(third, fifth, shape, larger):
    if len(shape) > len(larger):
        pytest.skip("not broadcast")
    gradient = np.random.default_rng(0).standard_normal(np.broadcast_shapes(shape, larger))
    node = maths.add(leaf(np.ones(shape)), 1.0).node
    expected = engine.fit(gradient, node, 0)
    np.testing.assert_array_equal(third.fit(gradient, shape), expected)
    np.testing.assert_array_equal(fifth.fit(gradient, fifth.add(fifth.Tensor(np.ones(shape)), 1.0).node, 0), expected)
    assert expected.shape == shape
    summed = gradient.sum(axis=third.copied_axes(gradient.shape, shape))
    np.testing.assert_allclose(summed.reshape(shape), expected, rtol=1e-12)


def test_products_and_sums(of_arrays):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3)), rng.standard_normal((3, 4))
    dy = rng.standard_normal((2, 4))
    theirs, ours = [of_arrays.Tensor(a), of_arrays.Tensor(b)], [leaf(a), leaf(b)]
    of_arrays.backward(of_arrays.matmul(*theirs), dy)
    tp.matmul(*ours).backward(dy)
    for x, y in zip(theirs, ours):
        np.testing.assert_allclose(x.grad, y.grad, rtol=1e-12)
    if hasattr(of_arrays, "total"):
        x = of_arrays.Tensor(a)
        of_arrays.backward((x * x).sum())
        np.testing.assert_allclose(x.grad, 2 * a, rtol=1e-12)


def test_softmax_of_lesson_4(fourth):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3, 5))
    theirs, ours = fourth.Tensor(x), leaf(x)
    y = fourth.softmax(theirs)
    np.testing.assert_allclose(y.data, tp.softmax(ours).data, rtol=1e-12)
    fourth.backward(y, dy)
    tp.softmax(ours).backward(dy)
    np.testing.assert_allclose(theirs.grad, ours.grad, rtol=1e-10)


# trust

def test_both_checkers_give_the_same_verdicts(fourth):
    """On right rules, on each of the lesson's broken rules, and on checks that say nothing."""
    right = [(fourth.tanh, [fourth.x]), (fourth.softmax, [fourth.x]), (fourth.remember, fourth.gates)]
    empty = [(fourth.relu, [fourth.negative])]
    for verdict, cases in {"right": right, "wrong": fourth.broken.values(), "empty": empty}.items():
        for op, inputs in cases:
            assert verdict_of(fourth.gradcheck, fourth.GradientError, op, inputs) == verdict
            assert verdict_of(tp.gradcheck, GradientError, of_package(op), inputs) == verdict


def verdict_of(gradcheck, GradientError, op, inputs):
    try:
        return gradcheck(op, *inputs) and "right"
    except GradientError as error:
        return "empty" if "could not fail" in str(error) else "wrong"


def of_package(op):
    """An op of lesson 4 as one of the package."""
    return package_op(parts=lambda dy, parts: [rule(dy, *parts) for rule in op.rules])(lambda *parts: op.forward(*parts))


# what is kept

def test_the_same_is_saved(fifth):
    a, b = np.ones((2, 3)), np.ones((3, 2))
    for program in (lambda t, x, y: x + x, lambda t, x, y: x - x, lambda t, x, y: x * x, lambda t, x, y: x * 2.0,
                    lambda t, x, y: t.tanh(x), lambda t, x, y: x @ y, lambda t, x, y: x * np.ones(3)):
        theirs, ours = program(fifth, fifth.Tensor(a), fifth.Tensor(b)).node, program(tp, leaf(a), leaf(b)).node
        assert set(theirs.saved) | {"b_shape"} == set(ours.saved) | {"b_shape"}  # the package asks for one shape more in matmul
        assert (theirs.shapes, theirs.dtype, [p is None for p in theirs.parents]) == (
            [tuple(s) for s in ours.shapes], ours.dtype, [p is None for p in ours.parents])


def test_both_refuse_to_mix_dtypes(fifth):
    x = np.ones(3, np.float32)
    for other, message in ((np.ones(3), "different float dtypes"), (np.asarray(2.0), "different float dtypes"),
                           (np.arange(3), "would turn float32 into float64")):
        with pytest.raises(fifth.DTypeError, match=message):
            fifth.Tensor(x) * other
        with pytest.raises(DTypeError, match=message):
            leaf(x) * other
    for number in (2.0, np.float64(2), np.sqrt(2.0), np.float32(2), 2):
        assert (fifth.Tensor(x) * number).data.dtype == (leaf(x) * number).dtype == np.float32


def test_both_name_a_rule_that_is_wrong(fifth):
    def double(x):
        return 2 * x

    for rule in (lambda dy: np.asarray(2 * dy, np.float64), lambda dy: 2 * dy[:1], lambda dy: np.stack([dy, dy])[:, :1]):
        messages = []
        for op, Tensor, backward, error in ((fifth.op, fifth.Tensor, fifth.backward, fifth.GraphError),
                                            (package_op, leaf, lambda y: y.backward(np.ones_like(y.data)), GraphError)):
            with pytest.raises(error) as caught:
                backward(op(x=rule)(double)(Tensor(np.ones(3, np.float32))))
            messages.append(str(caught.value))
        assert messages[0] == messages[1] and "double: its rule gave input 0" in messages[0]


def test_a_graph_is_used_up(fifth):
    x, ours = fifth.Tensor(np.ones(3)), leaf(np.ones(3))
    y, expected = fifth.tanh(x * x), tp.tanh(ours * ours)
    fifth.backward(y)
    expected.backward(np.ones(3))
    assert y.node.saved is None and expected.node.saved is None and not y.node.parents and not expected.node.parents
    with pytest.raises(fifth.GraphError, match="a second time through tanh, whose saved arrays are gone"):
        fifth.backward(y)
    with pytest.raises(GraphError, match="a second time through tanh, whose saved arrays are gone"):
        expected.backward(np.ones(3))


@pytest.mark.parametrize("pair", [(None, False), (np.ones(2), False), (np.ones(2), True)], ids=["nothing", "theirs", "ours"])
@pytest.mark.parametrize("owned", [False, True])
def test_add_up_owns_the_same(fifth, pair, owned):
    def of_the_package(total, total_owned, gradient, owned):
        accumulator = engine.Accumulator(total, total_owned)
        accumulator.add(gradient, owned)
        return accumulator.total, accumulator.owned

    results = []
    for add_up in (fifth.add_up, of_the_package):
        total, gradient = pair[0] if pair[0] is None else pair[0].copy(), np.full(2, 3.0)
        result, result_owned = add_up(total, pair[1], gradient, owned)
        results.append((result.tolist(), result_owned, result is total, result is gradient))
        if not owned:
            assert gradient.tolist() == [3, 3]
        if not pair[1] and total is not None:
            assert total.tolist() == [1, 1]
    assert results[0] == results[1]


def test_sum_saves_a_shape(fifth):
    x = np.ones((2, 3))
    assert fifth.total(fifth.Tensor(x)).node.saved == {"x_shape": (2, 3)}
    assert arrays.sum(leaf(x)).node.saved == {"x_shape": (2, 3), "axis": None}
