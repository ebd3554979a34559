"""The kernels through the real compiler, for the GPUs that they are meant for; registers must suffice, or sums spill to slow memory."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_fuse import as_cuda_file

from tinypredrnn.autograd.elementwise import TABLE
from tinypredrnn.errors import DeviceError
from tinypredrnn.gpu import convolution
from tinypredrnn.optim import Adam

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import gpu_compile  # noqa: E402

NVCC = shutil.which("nvcc")


@pytest.mark.skipif(not NVCC, reason="no nvcc to compile CUDA with")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("macros", [(convolution.FORWARD, 128, 4, "tf32"), (convolution.INPUT_GRADIENT, 64, 4, "fp32"),
                                    (convolution.WEIGHT_GRADIENT, 128, 1, "bf16")], ids=str)
def test_it_compiles_without_spilling(macros, architecture, tmp_path):
    (tmp_path / "kernel.cu").write_text(convolution.source(), encoding="utf-8")
    words = [NVCC, *convolution.options(*macros), f"-arch={architecture}", "-cubin", "-Xptxas", "-v", "kernel.cu", "-o", "kernel.cubin"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"(\d+) bytes spill", done.stderr)) == {"0"}


@pytest.mark.skipif(not NVCC, reason="no nvcc to compile CUDA with")
def test_adams_kernel_compiles(tmp_path):
    (tmp_path / "adam.cu").write_text(as_cuda_file(Adam([]).rule.kernels[0]), encoding="utf-8")
    subprocess.run([NVCC, "-std=c++17", "-arch=sm_80", "-cubin", "adam.cu"], cwd=tmp_path, check=True)


@pytest.fixture(scope="module")
def sources():
    """{name: (source, options)} of all kernels, as CuPy would have them compiled."""
    try:
        gpu_compile.compiler_version()
    except DeviceError as error:
        pytest.skip(str(error))
    return gpu_compile.fused_kernels() | gpu_compile.convolution_kernels()


SAMPLE = ["remember, float32, strided", "remember backward, float32, contiguous", "log1p, float64, strided",
          "power backward, float32, strided", "adam, float32, contiguous", "convolution 1 128 4 fp32",
          "convolution 2 64 1 bf16"]


@pytest.mark.parametrize("architecture", gpu_compile.CARDS)
def test_a_sample_compiles_for_every_card(architecture, sources):
    """By CuPy's own compiler; `python examples/gpu_compile.py` compiles all."""
    chosen = [name for start in SAMPLE for name in sources if name.startswith(start)]
    assert len(chosen) == len(SAMPLE)
    for name in chosen:
        if int(architecture) >= 80 or not name.startswith("convolution"):
            assert gpu_compile.compile_one(*sources[name], architecture) is None, name


def test_what_does_not_compile_is_noticed(sources):
    source, options = sources["convolution 0 64 4 tf32"]
    assert "error" in gpu_compile.compile_one(source.replace("int rows,", "int,"), options, "80")
    assert "cp.async" in gpu_compile.compile_one(source, options, "75")  # why a T4 is not offered it


def test_every_kernel_is_there(sources):
    """Of the table, of cells and optimisers, forward and backward, in both dtypes and layouts; all variants."""
    kinds = {tuple(name.split(", ")[:3]) for name in sources if ", " in name}
    for title in (*TABLE, "exp backward", "remember", "remember backward", "expose", "expose backward", "adam"):
        for dtype in "float32", "float64":
            for layout in gpu_compile.LAYOUTS:
                assert (title, dtype, layout) in kinds
    assert sum(name.startswith("convolution") for name in sources) == 36


def test_python_and_cuda_have_the_same_sizes():
    """What convolution.py counts with stands in convolution.cu, too."""
    source = convolution.source()
    for name in ("THREADS", "STAGES", "ROWS", "DEPTH"):
        assert re.search(rf"\b{name} = (\d+)", source)[1] == str(getattr(convolution, name))
    fields = re.search(r"struct Problem {(.*?)};", source, re.DOTALL)[1]
    assert re.findall(r"\b(\w+)[,;]", re.sub(r"//.*", "", fields)) == list(convolution.PROBLEM.names)
    assert convolution.PROBLEM.itemsize == 4 * len(convolution.PROBLEM.names)
    assert max(convolution.shared_bytes(role, columns) for role in range(3) for columns in (64, 128)) <= 96 << 10  # emulation.hpp's
