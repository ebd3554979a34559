"""The kernels through the real compiler, for the GPUs that they are meant for; registers must suffice, or sums spill to slow memory."""

import re
import shutil
import subprocess

import pytest
from test_fuse import as_cuda_file

from tinypredrnn.gpu import convolution
from tinypredrnn.optim import Adam

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


def test_python_and_cuda_have_the_same_sizes():
    """What convolution.py counts with stands in convolution.cu, too."""
    source = convolution.source()
    for name in ("THREADS", "STAGES", "ROWS", "DEPTH"):
        assert re.search(rf"\b{name} = (\d+)", source)[1] == str(getattr(convolution, name))
    fields = re.search(r"struct Problem {(.*?)};", source, re.DOTALL)[1]
    assert re.findall(r"\b(\w+)[,;]", re.sub(r"//.*", "", fields)) == list(convolution.PROBLEM.names)
    assert convolution.PROBLEM.itemsize == 4 * len(convolution.PROBLEM.names)
    assert max(convolution.shared_bytes(role, columns) for role in range(3) for columns in (64, 128)) <= 96 << 10  # emulation.hpp's
