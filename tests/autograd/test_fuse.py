"""The fuser: every fused function must agree with itself run op by op, in values and gradients, in both precisions."""

import shutil
import subprocess

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.autograd.fuse import CUDA, Loop, gradients, lines_of, trace
from tinypredrnn.cells import expose, remember
from tinypredrnn.errors import ConfigError, DTypeError, GradientError


@tp.fuse
def everything(a, b):
    """One of each: composed entries, comparisons, powers, two outputs, a number alone."""
    first = tp.bce_with_logits(a, tp.sigmoid(b)) + tp.softplus(b) / 3 - tp.exp(-a) + 2
    second = tp.clip(a, -0.5, 0.5) * tp.relu(b) + tp.leaky_relu(a) + tp.where(a > b, a ** 2, b / (1 + abs(a))) - tp.hard_sigmoid(a)
    return first, second + tp.maximum(a, b) * tp.minimum(a, 0.3) + tp.log(1 + b * b) * tp.sqrt(1 + tp.square(a)) + tp.log1p(abs(b))


CASES = {"remember": (remember, 4), "expose": (expose, 2), "everything": (everything, 2)}


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
    arrays = inputs(4, (700, 256), np.float32)
    small = [values_and_gradients(remember, [a[i:i + 100] for a in arrays])[0] for i in range(0, 700, 100)]
    np.testing.assert_array_equal(values_and_gradients(remember, arrays)[0], np.concatenate(small))


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


def test_equal_subexpressions_become_one_line():
    xs, ys = trace(lambda x: tp.sigmoid(x) * tp.tanh(x) + tp.sigmoid(x))
    lines, _ = lines_of(ys)
    assert len(lines) == 4  # sigmoid, tanh, the product, the sum


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


@pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc, the CUDA compiler, is not installed")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_the_cuda_source_compiles(tmp_path, architecture):
    for name, (function, _) in CASES.items():
        for number, loop in enumerate(function.kernels):
            (tmp_path / f"{name}{number}.cu").write_text(as_cuda_file(loop))
            subprocess.run(["nvcc", "-std=c++17", f"-arch={architecture}", "-cubin", f"{name}{number}.cu"], cwd=tmp_path, check=True)


def as_cuda_file(loop):
    """The kernel that CuPy's ElementwiseKernel makes of the same parts, near enough to be compiled."""
    read, write, body = loop.gpu_parts()
    parameters = [f"const T* {x[2:]}_in" for x in read.split(", ")] + [f"T* {y[2:]}_out" for y in write.split(", ")]
    load = "".join(f"const {x} = {x[2:]}_in[at];\n" for x in read.split(", "))
    store = "".join(f"T& {y[2:]} = {y[2:]}_out[at];\n" for y in write.split(", "))
    kernels = (f"template <typename T> __global__ void loop({', '.join(parameters)}, long size) {{\n"
               f"long at = blockIdx.x * 256L + threadIdx.x;\nif (at >= size) return;\n{load}{store}{body}\n}}\n")
    types = [f"template __global__ void loop<{t}>({', '.join(p.rsplit(' ', 1)[0].replace('T', t) for p in parameters)}, long);" for t in
             ("float", "double")]
    return CUDA + kernels + "\n".join(types)


def test_gradient_expressions_of_an_unused_input_are_zero():
    xs, ys = trace(lambda a, b: tp.tanh(a))
    assert gradients(xs, ys, [xs[0]])[1] == 0.0
    assert len(Loop("half", ["a", "b"], [0.0])(np.ones((2, 3)), np.ones((2, 3)))) == 1
