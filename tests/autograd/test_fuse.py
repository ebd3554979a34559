"""The fuser: every fused function must agree with itself run op by op, in values and gradients, in both precisions."""

import contextlib
import functools
import inspect
import math
import re
import shutil
import subprocess
import types

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn import cells
from tinypredrnn.autograd.elementwise import TABLE
from tinypredrnn.autograd.emit import CUDA
from tinypredrnn.autograd.fuse import Loop, as_rows, gradients, lines_of, trace
from tinypredrnn.autograd.symbol import Symbol
from tinypredrnn.cells import remember
from tinypredrnn.errors import ConfigError, DTypeError, GradientError


@tp.fuse
def everything(a, b):
    """One of each: composed entries, comparisons, powers, two outputs, a number alone."""
    first = tp.bce_with_logits(a, tp.sigmoid(b)) + tp.softplus(b) / 3 - tp.exp(-a) + 2
    second = tp.clip(a, -0.5, 0.5) * tp.relu(b) + tp.leaky_relu(a) + tp.where(a > b, a ** 2, b / (1 + abs(a))) - tp.hard_sigmoid(a)
    return first, second + tp.maximum(a, b) * tp.minimum(a, 0.3) + tp.log(1 + b * b) * tp.sqrt(1 + tp.square(a)) + tp.log1p(abs(b))


@tp.fuse
def plumbing(a, b):
    """Outputs that are an input, and one line twice; a condition."""
    chosen = tp.where(b > 0, a, -a)
    return a, chosen * b, chosen * b


@tp.fuse
def expose(o, memory):
    """cells.expose, of two."""
    return tp.sigmoid(o) * tp.tanh(memory)


CASES = {"remember": (remember, 4), "expose": (expose, 2), "the cells' expose": (cells.expose, 3), "everything": (everything, 2),
         "plumbing": (plumbing, 2)}


def inputs(count, shape=(2, 3, 4, 5), dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.uniform(0.1, 1, shape).astype(dtype) * rng.choice([-1, 1], shape).astype(dtype) for _ in range(count)]


def values_and_gradients(function, arrays):
    tensors = [tp.tensor(a, requires_grad=True) for a in arrays]
    outputs = function(*tensors)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    rng = np.random.default_rng(1)
    sum((y * rng.standard_normal(y.shape).astype(y.dtype)).sum() for y in outputs).backward()
    return [y.data for y in outputs] + [t.grad for t in tensors]


@pytest.mark.parametrize("case", CASES)
def test_gradients(case):
    function, count = CASES[case]
    assert tp.gradcheck(function, *inputs(count))


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-13), (np.float32, 3e-6)])
@pytest.mark.parametrize("case", CASES)
def test_fused_and_unfused_agree(case, dtype, tolerance):
    function, count = CASES[case]
    arrays = inputs(count, (3, 40, 33), dtype)
    fused = values_and_gradients(function, arrays)
    with tp.unfused():
        reference = values_and_gradients(function, arrays)
    for ours, theirs in zip(fused, reference):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_large_arrays_take_the_threaded_kernel_with_the_same_result():
    *arrays, dy = inputs(5, (700, 256), np.float32)
    pieces = [slice(i, i + 100) for i in range(0, 700, 100)]
    for kernel, taken in zip(remember.kernels, (arrays, [*arrays, dy])):
        for n, whole in enumerate(kernel(*taken)):
            np.testing.assert_array_equal(whole, np.concatenate([kernel(*(a[piece] for a in taken))[n] for piece in pieces]))


@pytest.mark.parametrize("cell", ["ConvLSTM", "ZigzagConvLSTM", "STLSTM"])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_cells_fused_and_unfused_agree(cell, dtype, tolerance):
    """Two steps of a whole cell, so that gates are pieces of one pre-activation array; gradients of the parameters as well."""
    rng, widths = np.random.default_rng(0), {"ConvLSTM": (2, 3, 3, (5, 4)), "ZigzagConvLSTM": (2, 3, 3, (5, 4)), "STLSTM": (2, 3, 4, 3)}
    module = getattr(tp.cells, cell)(*widths[cell], rng).to("cpu", dtype)
    x = tp.tensor(rng.standard_normal((2, 5, 4, 2)).astype(dtype))
    state = [tp.tensor(rng.standard_normal((2, 5, 4, k)).astype(dtype)) for k in ((3, 3, 4) if cell == "STLSTM" else (3, 3))]

    def run():
        module.zero_grad()
        h, after = module(x, tuple(state))
        h, after = module(x, after)
        (h * h).sum().backward()
        return [h.data, *(s.data for s in after), *(p.grad for p in module.parameters())]

    fused = run()
    with tp.unfused():
        reference = run()
    for ours, theirs in zip(fused, reference, strict=True):
        assert ours.dtype == theirs.dtype == dtype and np.abs(theirs).max() > 0
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_pieces_of_one_array_are_not_copied():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 15))
    for n in range(3):
        piece = x[..., 5 * n:5 * n + 5]
        flat, start, stride = as_rows(piece, piece.shape)
        assert np.shares_memory(flat, x) and (start, stride) == (5 * n, 15)
    gates = tp.split(tp.tensor(x, requires_grad=True), parts=3)
    saved = remember(*gates, tp.tensor(x[..., :5])).node.saved
    assert all(np.shares_memory(array, x) for array in saved.values())


@tp.fuse
def two_ways(a, b):
    return a * tp.tanh(b), tp.sigmoid(a) - b


GATES = {  # functions of the four pieces of a split (2,3,4,12) and of an array like one of them
    "each once": lambda i, f, g, o, m: expose(o, remember(i, f, g, m)),
    "one twice in a kernel": lambda i, f, g, o, m: remember(i, f, i, m) + remember(g, o, m, m),
    "one in two kernels": lambda i, f, g, o, m: remember(i, f, g, m) * remember(i, g, o, m),
    "one in a kernel and an op": lambda i, f, g, o, m: remember(i, f, g, m) * i + o,
    "an op first, then a kernel": lambda i, f, g, o, m: expose(o * 2, m) + expose(o, i) + f + g,
    "one unused": lambda i, f, g, o, m: remember(i, f, g, m),
    "stretched": lambda i, f, g, o, m: remember(i, f[:, :1], g, m) + remember(i[:1, :1, :1], f, g, m) + expose(o, m[:1]),
    "first output only": lambda i, f, g, o, m: two_ways(i, f)[0] * o,
    "second output only": lambda i, f, g, o, m: two_ways(o, g)[1] + f,
}


@pytest.mark.parametrize("axis", [-1, 3, 1, 0])
@pytest.mark.parametrize("name", GATES)
def test_gradients_of_pieces_side_by_side(name, axis):
    """The kernels write them to their places in the gradient of the whole; whatever uses the pieces, it is as op by op."""
    shape = [2, 3, 4, 3]
    shape[axis] *= 4
    x, m = (np.random.default_rng(n).standard_normal(s) for n, s in enumerate((shape, (2, 3, 4, 3))))

    def run():
        leaves = [tp.tensor(a, requires_grad=True) for a in (x, m)]
        (GATES[name](*tp.split(leaves[0], parts=4, axis=axis), leaves[1]) * leaves[1]).sum().backward()
        return [leaf.grad for leaf in leaves]

    ours = run()
    with tp.unfused():
        reference = run()
    assert np.abs(reference[0]).max() > 0
    for a, b in zip(ours, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_gradients_of_pieces_that_are_stretched():
    """They are sums over the array that a kernel makes, which has no place in the gradient of the whole."""
    x, m = np.random.default_rng(0).standard_normal((1, 1, 1, 12)), np.random.default_rng(1).standard_normal((2, 3, 4, 3))

    def run(x):
        i, f, g, o = tp.split(x, parts=4)
        return expose(o, remember(i, f, g, m))

    assert tp.gradcheck(run, x)


def test_gradients_of_pieces_are_written_in_place(monkeypatch):
    made, call = [], Loop.__call__
    monkeypatch.setattr(Loop, "__call__", lambda *given, **named: made.append(call(*given, **named)) or made[-1])
    x = tp.tensor(np.random.default_rng(0).standard_normal((2, 3, 4, 12)), requires_grad=True)
    i, f, g, o = tp.split(x, parts=4)
    h = expose(o, remember(i, f, g, tp.tensor(x.data[..., :3])))
    for times in 1, 2:  # the second pass gets room of its own
        x.grad = None
        h.sum().backward(retain_graph=True)
        backward = [array for arrays in made[-2:] for array in arrays]  # of o and c, then of i, f, g and memory
        assert [np.shares_memory(array, x.grad) for array in backward] == [True, False, True, True, True, False]
        if times == 1:
            once = x.grad
    assert once is not x.grad
    np.testing.assert_array_equal(once, x.grad)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_layout_gives_the_value_of_a_copy(dtype):
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype(dtype)
    frozen = x.copy()
    frozen.flags.writeable = False
    layouts = {"windows": np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2)), "backwards": x[:, ::-1],
               "every other": x[:, ::2], "transposed": x.transpose(0, 2, 1, 3), "Fortran": np.asfortranarray(x), "thin": x[:, :, 1:2],
               "stretched": np.broadcast_to(x[:1], x.shape), "mirrored": x[..., ::-1], "read-only": frozen,
               "of bytes": np.frombuffer(x.tobytes(), dtype)[5:17], "empty": x[:, :0]}
    for name, a in layouts.items():
        copied = np.ascontiguousarray(a)
        for ours, theirs in zip(everything(tp.tensor(a), tp.tensor(a)), everything(tp.tensor(copied), tp.tensor(copied))):
            np.testing.assert_array_equal(ours.data, theirs.data, err_msg=name)


def test_arrays_of_another_library_are_read():
    torch = pytest.importorskip("torch")
    x = torch.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(expose(*(tp.tensor(np.from_dlpack(x[..., :2])) for _ in "ab")).data,
                                  expose(*(tp.tensor(x[..., :2].numpy().copy()) for _ in "ab")).data)


def test_numbers_masks_and_names_work_as_they_do_unfused():
    x, mask = tp.tensor(inputs(1, dtype=np.float32)[0], requires_grad=True), np.random.default_rng(0).random((2, 3, 4, 5)) > 0.5
    kept = tp.fuse(lambda keep, a: keep * tp.tanh(a))
    calls = ((expose, (x, 0.5), {}), (expose, (0.5, x), {}), (expose, (x, np.float64(2)), {}), (expose, (x,), {"memory": x}),
             (kept, (mask, x), {}), (kept, (mask.astype(np.uint8), x), {}), (kept, (mask.astype(np.float32), x), {}))
    for function, arguments, named in calls:
        results = []
        for context in (tp.unfused, contextlib.nullcontext):
            with context():
                y = function(*arguments, **named)
            x.grad = None
            y.sum().backward()
            assert y.dtype == x.grad.dtype == np.float32
            results += [y.data, x.grad]
        np.testing.assert_allclose(results[2], results[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(results[3], results[1], rtol=1e-5, atol=1e-6)
    assert expose(0.3, 0.2) == pytest.approx(0.113380775706)


def test_pieces_of_one_array_are_read_where_they_lie():
    x, memory = np.random.default_rng(0).standard_normal((2, 3, 4, 15)), inputs(1)[0]
    assert tp.gradcheck(lambda x, memory: remember(*tp.split(x, parts=3), memory), x, memory)
    assert tp.gradcheck(lambda x: expose(x[:, ::2], x[:, 1::2]), np.random.default_rng(0).standard_normal((3, 4, 5)))
    assert tp.gradcheck(lambda x: expose(x, x.transpose(1, 0)), np.random.default_rng(0).standard_normal((4, 4)))


def test_shapes_broadcast():
    a, b = np.random.default_rng(0).standard_normal((2, 3, 4)), np.random.default_rng(1).standard_normal((3, 1))
    assert tp.gradcheck(expose, a, b)
    assert tp.gradcheck(expose, np.array(0.3), np.array(0.7))


def test_an_output_that_is_dropped():
    assert tp.gradcheck(lambda a, b: everything(a, b)[1], *inputs(2))


def test_inputs_alone_are_saved():
    i, f, g, m = (tp.tensor(a, requires_grad=True) for a in inputs(4))
    saved = remember(i, f, g, m).node.saved
    assert {id(a) for a in saved.values()} == {id(t.data) for t in (i, f, g, m)}
    with tp.no_grad():
        assert remember(i, f, g, m).node is None


def test_equal_subexpressions_become_one_line():
    xs, ys = trace(lambda x: tp.sigmoid(x) * tp.tanh(x) + tp.sigmoid(x))
    lines, _ = lines_of(ys)
    assert len(lines) == 4  # sigmoid, tanh, the product, the sum


def test_expressions_used_twice_are_walked_once():
    def tower(x):
        for _ in range(40):  # 2 to the power of 40 ways from the top to x
            x = tp.softplus(x) * x
        return x

    forward, backward = tp.fuse(tower).kernels
    assert len(forward.lines) == 40 * 7 and len(backward.lines) < 40 * 20  # |x|, -, exp, log1p, max, +, and the product


def test_the_source_can_be_printed_and_is_what_runs(capsys):
    expose(*(tp.tensor(np.ones((2, 2), np.float32)) for _ in "ab"))
    for kernel, title in zip(expose.kernels, ("expose", "expose backward")):
        print(kernel.cpu_source("float32"))
        source = capsys.readouterr().out
        assert f"Emitted by tinypredrnn: {title}." in source and all(f"{name} = {text}" in source for text, name in kernel.lines.items())
    loop = expose.kernels[0].compiled["f", (False, False)]
    assert inspect.getsource(inspect.getmodule(loop.py_func)) == expose.kernels[0].cpu_source("float32")


@pytest.mark.parametrize("case", CASES)
def test_float32_stays_float32(case):
    """A literal that is not wrapped is a float64 to numba, and so is what it touches."""
    for kernel in CASES[case][0].kernels:
        bare = re.sub(r"T\([-+\d.e]+\)", "", kernel.cpu_source("float32").partition("T = np.float32")[2])
        assert not re.search(r"(?<!\w)\d*\.\d|\d\.(?!\w)|(?<!\w)\d+e", bare)


def test_a_wrong_rule_is_seen_through_the_fuser(monkeypatch):
    monkeypatch.setitem(tp.tanh.rules, "x", lambda dy, y: dy * (1 + y * y))
    broken = tp.fuse(lambda o, memory: tp.sigmoid(o) * tp.tanh(memory))
    with pytest.raises(GradientError, match="input 1 at index"):
        tp.gradcheck(broken, *inputs(2))


def test_nan_and_infinity_stay_visible():
    bad = np.array([[np.nan, 1, np.inf, -np.inf]], np.float32)
    result = expose(tp.tensor(np.ones((1, 4), np.float32)), tp.tensor(bad)).data
    assert np.isnan(result[0, 0]) and np.isfinite(result[0, 1:]).all()


def test_float32_tanh_is_exact_to_rounding():
    x = np.linspace(-12, 12, 200_001, dtype=np.float32)[None]
    fused = tp.fuse(lambda x: tp.tanh(x))(tp.tensor(x)).data
    np.testing.assert_allclose(fused, np.tanh(x.astype(np.float64)), rtol=3e-7)


def test_what_cannot_be_fused_says_so():
    with pytest.raises(ConfigError, match="positional"):
        tp.fuse(lambda x, *, slope=1: x * slope)
    with pytest.raises(DTypeError, match="float16"):
        expose(*(tp.tensor(np.ones(3, np.float16)) for _ in "ab"))
    with pytest.raises(DTypeError, match="expose.*memory=None"):
        expose(tp.tensor(np.ones(3)), None)


@pytest.mark.parametrize("branching", [lambda x: x if x > 0 else -x, lambda x: max(x, 0), lambda x: (x < 1 and x) * 2])
def test_a_branch_on_a_value_is_refused(branching):
    """Traced with Python's `if`, one branch would be lost without a word."""
    with pytest.raises(ConfigError, match="where"):
        tp.fuse(branching)(tp.tensor(np.ones(3)))


@pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc, the CUDA compiler, is not installed")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_the_cuda_source_compiles(tmp_path, architecture):
    loops = [loop for function, _ in CASES.values() for loop in function.kernels]
    symbols = [Symbol(None, f"in_{k}") for k in range(3)]
    table = [entry(*symbols[:len(entry.inputs)]) for entry in TABLE.values()] + [math.inf * symbols[0], symbols[0] - math.nan]
    loops.append(Loop("table", ["in_0", "in_1", "in_2"], table))
    for number, loop in enumerate(loops):
        (tmp_path / f"{number}.cu").write_text(as_cuda_file(loop))
        subprocess.run(["nvcc", "-std=c++17", f"-arch={architecture}", "-cubin", f"{number}.cu"], cwd=tmp_path, check=True)


def as_cuda_file(loop):
    """The kernel that CuPy's ElementwiseKernel makes of the same parts, near enough to be compiled: its loop counts with i."""
    read, write, body = loop.gpu_parts()
    parameters = [f"const T* _raw_{x[2:]}" for x in read.split(", ")] + [f"T* _raw_{y[2:]}" for y in write.split(", ")]
    load = "".join(f"const T &{x[2:]} = _raw_{x[2:]}[i];\n" for x in read.split(", "))
    store = "".join(f"T &{y[2:]} = _raw_{y[2:]}[i];\n" for y in write.split(", "))
    kernels = (f"template <typename T> __global__ void loop({', '.join(parameters)}, long size) {{\n"
               f"for (long i = blockIdx.x * 256L + threadIdx.x; i < size; i += 256L * gridDim.x) {{\n{load}{store}{body}\n}}\n}}\n")
    types = [f"template __global__ void loop<{t}>({', '.join(p.rsplit(' ', 1)[0].replace('T', t) for p in parameters)}, long);" for t in
             ("float", "double")]
    return CUDA + kernels + "\n".join(types)


def test_gradient_expressions_of_an_unused_input_are_zero():
    xs, ys = trace(lambda a, b: tp.tanh(a))
    assert gradients(xs, ys, [xs[0]])[1] == 0.0
    (zero,) = Loop("nothing", ["a", "b"], [0.0])(np.ones((2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(zero, np.zeros((2, 3)))


def test_cupy_takes_the_names_of_the_parts():
    """CuPy counts with i and keeps n and names with a leading underscore; remember has a parameter i."""
    for function, _ in CASES.values():
        for kernel in function.kernels:
            read, write, _ = kernel.gpu_parts()
            names = [text.split()[1] for text in f"{read}, {write}".split(", ")]
            assert len(set(names)) == len(names) and all(re.fullmatch(r"in_\w+|dy\d+|y\d+", name) for name in names)
    assert tp.fuse(lambda a: tp.exp(a)).kernels[0].name().isidentifier()


def test_kernels_for_a_gpu_are_not_called_like_functions_of_c():
    """The compiler refuses a second log1p."""
    def log1p(x):
        return tp.log(1 + x)

    cupy = types.SimpleNamespace(ElementwiseKernel=lambda *parts, preamble: parts)
    assert tp.fuse(log1p).kernels[0].gpu_kernel(cupy)[3] == "fused_log1p"


# every entry of the table, fused and unfused, at the numbers where they could differ

ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -3.0, 20.0, -20.0, 1e-30, -1e-30, 88.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy warns of the numbers that this is about
def test_every_entry_is_fused_as_it_is(count, dtype):
    """Values and gradients but for rounding, at every combination of odd numbers, ties among them; and the sign of zero wherever IEEE 754
    says which it is. All entries of so many inputs go into one kernel for values and one for gradients."""
    entries = [entry for entry in TABLE.values() if len(entry.inputs) == count]
    names = [f"in_{k}" for k in range(count)]
    symbols, dy_symbol = [Symbol(None, name) for name in names], Symbol(None, "dy0")
    outputs = [entry(*symbols) for entry in entries]
    arrays = [np.ascontiguousarray(g).reshape(-1) for g in np.meshgrid(*[np.array(ODD, dtype)] * count, indexing="ij")]
    dy = np.resize(np.array([1.5, -2.0, 0.25, np.nan], dtype), arrays[0].shape)
    values = Loop("values", names, outputs)(*arrays)
    grads = iter(Loop("grads", [*names, "dy0"], [g for y in outputs for g in gradients(symbols, [y], [dy_symbol])])(*arrays, dy))
    rounding = 5e-6 if dtype is np.float32 else 1e-12  # float32's tanh is a ratio of polynomials
    tolerance = dict(rtol=rounding, atol=rounding)
    for entry, fused in zip(entries, values):
        tensors = [tp.tensor(a, requires_grad=name in entry.rules) for name, a in zip(entry.inputs, arrays)]
        y = entry(*tensors)
        np.testing.assert_allclose(fused, y.data, **tolerance, err_msg=entry.name)
        if entry.name not in ("maximum", "minimum", "relu", "clip", "hard_sigmoid"):  # of 0 and -0 either is the larger
            zero = y.data == 0
            np.testing.assert_array_equal(np.signbit(fused[zero]), np.signbit(y.data[zero].astype(dtype)), err_msg=entry.name)
        if y.requires_grad:
            y.backward(dy)
        for tensor in tensors:
            fused = next(grads)
            if tensor.requires_grad:
                np.testing.assert_allclose(fused, tensor.grad, **tolerance, err_msg=f"gradient of {entry.name}")


@pytest.mark.parametrize("mask", [np.uint8([0, 1, 255]), np.int64([0, -3, 2]), np.float32([0, 0.5, -1]), np.array([False, True, True])],
                         ids=str)
def test_truth_is_whatever_is_not_zero(mask):
    for context in (contextlib.nullcontext, tp.unfused):
        a, b = (tp.tensor(np.float32([1, 2, 3]) * k, requires_grad=True) for k in (1, 10))
        with context():
            y = tp.fuse(lambda condition, a, b: tp.where(condition, a, b))(mask, a, b)
        (y * np.float32([1, 2, 3])).sum().backward()
        assert (y.data.tolist(), a.grad.tolist(), b.grad.tolist()) == ([10, 2, 3], [0, 2, 3], [1, 0, 0])


@pytest.mark.parametrize("mask", [np.uint8([0, 100, 200]), np.array([False, True, True]), np.int64([0, -3, 2]), np.int8([-128, 127, 1])],
                         ids=str)
def test_masks_and_integers_are_numbers_of_the_float_dtype(mask):
    """Bytes neither wrap around nor are truth values, fused or not; by name too."""
    x = tp.tensor(np.float32([1, 2, 3]), requires_grad=True)
    for function in (lambda x, m: x + m * 2, lambda x, m: x * (m - 1), lambda x, m: x * -m, lambda x, m: x * (m + m) - abs(m),
                     lambda x, m: tp.where(m, x, -m), lambda x, m: x * (m > 0) * (x > 1)):
        expected = function(x.data, mask.astype(np.float32))
        for context in (contextlib.nullcontext, tp.unfused):
            with context():
                for y in (tp.fuse(function)(x, mask), tp.fuse(function)(x, m=mask), tp.fuse(function)(x, tp.tensor(mask))):
                    assert y.dtype == np.float32
                    np.testing.assert_allclose(y.data, expected)


@pytest.mark.parametrize("function", [lambda x: x * ((x > 1) + (x > 2)), lambda x: -(x > 1) * x, lambda x: x * (1 - (x > 1)),
                                      lambda x: x * ((x > 1) * (x > 2) - (x > 3)), lambda x: x * tp.exp(x > 1), lambda x: 2 * (x > 1)])
def test_arithmetic_of_truth_values_alone_is_refused(function):
    """NumPy's sum of two masks is a mask, its difference an error: a kernel must not take them for 0 and 1 without a word."""
    with pytest.raises(ConfigError, match="truth values.*where"):
        tp.fuse(function)(tp.tensor(np.float32([1, 2, 3])))


# what the tracer cannot represent is refused

S, T = tp.tensor(np.float32([2, 3]), requires_grad=True), np.float32([1, 2])
OUTSIDE = {
    "a tensor": lambda x: x * S, "a tensor on the left": lambda x: S + x, "an array": lambda x: x * T,
    "an array on the left": lambda x: T / x, "an array as a condition": lambda x: tp.where(T > 1, x, 0),
    "a 0-d array": lambda x: x + np.array(2.0), "a comparison": lambda x: (x < T) * x, "a list": lambda x: x + [1, 2],
}
UNTRACEABLE = {
    "a sum": lambda x: x.sum(), "an index": lambda x: x[0], "a softmax": lambda x: tp.softmax(x), "a matrix product": lambda x: x @ x,
    "NumPy's function": lambda x: np.exp(x), "Python's function": lambda x: math.exp(x), "a float": lambda x: float(x),
    "a loop": lambda x: sum(x), "membership": lambda x: 1 in x, "a list": lambda x: [x, x], "nothing": lambda x: None,
    "an array": lambda x: (x, T), "no outputs": lambda x: (), "a shape": lambda x: x * x.shape[0],
    "a stack": lambda x: np.stack([x, x]), "a convolution": lambda x: tp.windows(x, kernel=(3, 3)),
}


@pytest.mark.parametrize("function", [*OUTSIDE.values(), *UNTRACEABLE.values()], ids=[*OUTSIDE, *UNTRACEABLE])
def test_what_cannot_be_traced_is_refused(function):
    with pytest.raises((ConfigError, DTypeError), match="input|trace|fused") as caught:
        tp.fuse(function)(tp.tensor(np.float32([1, 2]), requires_grad=True))
    assert "\n" not in str(caught.value)


def test_numbers_from_outside_are_constants():
    rate, of_numpy, flag = 0.5, np.float64(2), True
    y = tp.fuse(lambda x: x * rate + of_numpy * x - flag)(tp.tensor(np.float32([1, 2])))
    assert y.dtype == np.float32 and y.data.tolist() == [1.5, 4]


@pytest.mark.parametrize("names", ["x_start, x_stride, x", "y0_start, y0, x", "x_row, x, row", "T, v0, width", "in_x, in_0, y0", "é, ü, x",
                                   "tanh, exp, where", "infinity, math, np", "first, last, loop", "i, n, _ind"])
def test_parameters_may_have_any_name(names):
    """On slices of larger arrays too, where a kernel that took such a name for its own would write elsewhere."""
    function = eval(f"lambda {names}: {' - 2 * '.join(names.split(', '))}")
    arrays = [np.random.default_rng(k).standard_normal((4, 6))[:, 1:4] for k in range(3)]
    np.testing.assert_allclose(tp.fuse(function)(*arrays), function(*arrays), rtol=1e-12)
    assert tp.gradcheck(tp.fuse(function), *arrays)


@pytest.mark.filterwarnings("ignore:overflow")  # of 1e308 * 2
def test_constants_of_every_kind():
    x = np.array([-1.0, 0.0, 2.0])
    for function in (lambda x: tp.where(x > 0, math.inf, x), lambda x: tp.where(x > 0, -math.inf, x),
                     lambda x: tp.where(x > 0, math.nan, x), lambda x: 2 ** x, lambda x: x ** 0, lambda x: 1e308 * x, lambda x: x * -0.0,
                     lambda x: tp.where(x == 0, 1.0, x) + (x <= 0)):
        fused = tp.fuse(function)
        np.testing.assert_array_equal(fused(x), np.asarray(function(x), float))
        with tp.unfused():
            expected = function(tp.tensor(x)).data
        np.testing.assert_array_equal(fused(tp.tensor(x)).data, expected)


def test_arrays_of_the_other_byte_order():
    a, b = np.float32([1, 2, 3]).astype(">f4"), np.float32([4, 5, 6])
    for first, second in ((a, b), (b, a), (a, a)):
        y = tp.fuse(lambda x, y: x * y - x)(first, second)
        np.testing.assert_array_equal(y, first * second - first)
        assert y.dtype == np.float32 and y.dtype.isnative


def test_long_expressions_and_many_outputs():
    def steps(x):
        for _ in range(400):
            x = x + 0.001 * tp.tanh(x) * x
        return x

    x, long = np.linspace(-1, 1, 7), tp.fuse(steps)
    np.testing.assert_allclose(long(x), steps(x), rtol=1e-12)
    assert len(long.kernels[1].lines) > 400  # its gradient; the compiler takes half a minute for that one

    many = tp.fuse(lambda x: tuple(x * k for k in range(100)))
    leaf = tp.tensor(x, requires_grad=True)
    ys = many(leaf)
    assert all(np.array_equal(y.data, x * k) for k, y in enumerate(ys))
    sum(ys[::2]).sum().backward()
    np.testing.assert_allclose(leaf.grad, np.full(7, sum(range(0, 100, 2))))


def test_an_array_of_any_layout_is_written_in_place():
    """Also one that the kernel cannot walk along, such as a piece along the second axis."""
    a, whole = np.random.default_rng(0).standard_normal((2, 3, 4)), np.zeros((2, 6, 8))
    for place in (whole[:, ::2, 4:], whole[:, 1:4, ::2], whole.transpose(0, 2, 1)[:, :3, :4], whole[:, :3, 3::-1]):
        whole[...] = 0
        expose.kernels[0](a, a, into=[place])
        np.testing.assert_array_equal(place, expose(a, a))
        assert np.count_nonzero(whole) == a.size


@pytest.mark.parametrize("names", ["x, x_shape, y_shape", "y, x, dy_shape"])
def test_an_input_may_have_the_name_of_another_ones_shape(names):
    function = eval(f"lambda {names}: {' * '.join(names.split(', '))}")
    assert tp.gradcheck(tp.fuse(function), *(np.random.default_rng(k).standard_normal((2, 3)) for k in range(3)))


def test_all_kernels_of_a_function_see_the_same_numbers_from_outside():
    """The kernel for the cotangent of one output is made later than the others."""
    factor = [2.0]
    function = tp.fuse(lambda x: (x * factor[0], x * 1))
    x = tp.tensor(np.ones(2), requires_grad=True)
    y, _ = function(x)
    factor[0] = 3.0
    y.sum().backward()
    assert y.data.tolist() == x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("number", [1 + 2j, np.complex64(1 + 2j), np.complex128(2j)])
def test_complex_numbers_from_outside_are_refused(number):
    for function in (lambda x: x * number, lambda x: (x, number)):
        with pytest.raises(ConfigError, match="complex"):
            tp.fuse(function)(tp.tensor(np.ones(3)))


@pytest.mark.parametrize("function", [functools.partial(lambda a, x: a * x, 2.0), tp.exp, expose, np.exp, 3, lambda: 1.0],
                         ids=["partial", "entry", "fused", "ufunc", "number", "no inputs"])
def test_what_is_no_function_of_tensors_is_refused(function):
    with pytest.raises(ConfigError, match="expected"):
        tp.fuse(function)


def test_a_function_that_calls_itself_is_refused():
    recursive = tp.fuse(lambda x: recursive(x))
    with pytest.raises(ConfigError, match="recursion"):
        recursive(tp.tensor(np.ones(3)))


def test_float32_tanh_ends_at_exactly_one():
    """As NumPy's: an infinite input must have the slope 0, not one that is tiny."""
    x = np.array([[9.1, -9.1, 100, -np.inf, np.inf, np.nan, -0.0]], np.float32)
    y = tp.fuse(lambda x: tp.tanh(x))(x)
    np.testing.assert_array_equal(y, [[1, -1, 1, -1, 1, np.nan, 0]])
    assert np.signbit(y[0, -1])
