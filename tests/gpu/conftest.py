"""A GPU with tensor cores for the tests of this folder: the one that --device names, or the stand-in for CuPy with our kernels emulated."""

import pytest
import stand_in
from emulated import COMPILER, RawModule

from tinypredrnn.gpu import has_tensor_cores


@pytest.fixture
def gpu(monkeypatch, request):
    """The name of the device."""
    if request.config.getoption("--device") != "cpu":
        device = request.getfixturevalue("device")
        if not has_tensor_cores(device):
            pytest.skip(f"{device} has no tensor cores for TF32")
        yield device
        return
    if not COMPILER:
        pytest.skip("no C++ compiler (g++ or clang++) to emulate the GPU's kernels with")
    with stand_in.in_place_of_cupy(monkeypatch) as cupy:
        cupy.RawModule = RawModule
        monkeypatch.setattr(stand_in.Device, "compute_capability", "80")
        yield "gpu:0"
