"""The array backend: the only place that knows NumPy from CuPy.

Everything above computes with whatever module its arrays come from, `xp = array_module(a)`, and so the same lines run on the CPU
and on the GPU. A device is a short name: "cpu", "gpu:0", "gpu:1"; users may also say "gpu" (the first one) or "auto".
"""

import os
import sys

# Threads that wait for work should sleep. By default those of OpenBLAS (NumPy's matrix products) and of OpenMP (numba) spin instead, and
# take the cores from each other and from whatever else runs: a product then takes up to eight times as long. Both read this only once.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np  # noqa: E402 (after the lines above)

from tinypredrnn.errors import DeviceError  # noqa: E402

GPU_HELP = "install it with `pip install tinypredrnn[gpu]` (CUDA 13) or `tinypredrnn[gpu12]` (CUDA 12), or use --device cpu"


def array_module(*arrays):
    """The module that the arrays belong to: `cupy` if any of them lies on a GPU, else `numpy`."""
    cupy = sys.modules.get("cupy")  # where CuPy was never imported, no array can be CuPy's
    if cupy is not None and any(isinstance(a, cupy.ndarray) for a in arrays):
        return cupy
    return np


def device_of(array):
    """The name of the device that holds `array`: "cpu" or "gpu:N"."""
    return "cpu" if array_module(array) is np else f"gpu:{array.device.id}"


def find_device(name):
    """Turn what a user may say ("cpu", "gpu", "gpu:N", "auto") into "cpu" or "gpu:N"; DeviceError where it cannot be had."""
    kind, _, number = str(name).partition(":")
    if kind not in ("cpu", "gpu", "auto") or (number and (kind != "gpu" or not number.isdigit())):
        raise DeviceError(f"device {name!r} is unknown: expected cpu, gpu, gpu:N or auto")
    if kind == "cpu":
        return "cpu"
    try:
        count = gpu_count()
    except DeviceError:
        if kind == "auto":
            return "cpu"
        raise
    if int(number or 0) >= count:
        raise DeviceError(f"device {name!r} does not exist: this machine has {count} GPU(s), numbered from 0")
    return f"gpu:{int(number or 0)}"


def gpu_count():
    """How many GPUs CuPy can use, at least one; DeviceError says what is missing otherwise."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(f"the GPU needs CuPy, which is not installed: {GPU_HELP}") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # no driver, or one too old: CUDARuntimeError, or ImportError of a missing library
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DeviceError(f"CuPy finds no usable GPU ({reason}): check the driver with nvidia-smi, or use --device cpu") from error
    if count == 0:
        raise DeviceError("CuPy finds no GPU on this machine: use --device cpu")
    return count


def to_device(array, device):
    """`array` (NumPy or CuPy) on `device`; the same object if it is there already."""
    device = find_device(device)
    if device_of(array) == device:
        return array
    if device == "cpu":
        return array.get()
    import cupy

    cupy.cuda.Device(int(device[4:])).use()  # from here on this GPU is the one that computes: new arrays belong beside this one
    return cupy.asarray(array)


def to_numpy(array):
    """A NumPy array with the values of `array`: itself on the CPU, a copy from the GPU."""
    return array if array_module(array) is np else array.get()


def synchronise(device):
    """Wait until `device` has done all work given to it: a GPU works behind the program's back, so clocks must wait for it."""
    if device != "cpu":
        import cupy

        cupy.cuda.Device(int(device[4:])).synchronize()


def memory_in_use(device):
    """Bytes in use on `device`: the peak resident size of this process on the CPU, the pool's share on a GPU."""
    if device == "cpu":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kilobytes
    import cupy

    with cupy.cuda.Device(int(device[4:])):
        return cupy.get_default_memory_pool().used_bytes()
