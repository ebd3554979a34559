"""What all tests share: the device and the data they run on.

    python -m pytest tests                       on the CPU
    python -m pytest tests --device gpu          the same tests on a GPU (gpu:1 for the second one)

GPU tests are the same tests on another device, never copies: a test asks for the fixture `device` and computes there.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

from tinypredrnn.backend import find_device
from tinypredrnn.errors import DeviceError

sys.path.insert(0, str(Path(__file__).parent / "autograd"))  # op_cases.py serves tests of several folders


# A shell has Ctrl-C ignored in what it runs in the background, nohup the hang-up; and then so would all programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="where tests with the fixture `device` compute: cpu, gpu or gpu:N (default: cpu)")


@pytest.fixture(scope="session")
def device(request):
    """"cpu" or "gpu:N"; a test that needs a GPU is skipped where there is none."""
    try:
        return find_device(request.config.getoption("--device"))
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data files that TINYPREDRNN_DATA names."""
    folder = os.environ.get("TINYPREDRNN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TINYPREDRNN_DATA names no folder of data files")
    return Path(folder)
