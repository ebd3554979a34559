"""The array backend: NumPy on the CPU, CuPy on a GPU.

All other code computes with the module of its arrays, `xp = array_module(a)`, so the same lines run on the CPU and on
the GPU. A device has a short name: "cpu", "gpu:0", "gpu:1"; users may also say "gpu" (the first one) or "auto".
"""

import functools
import sys

import numpy as np

from tinypredrnn.errors import DeviceError, DTypeError, Error, GraphError, say_once
from tinypredrnn.options import called

DLPACK_CPU, DLPACK_CUDA = (1, 3), 2  # kDLCPU, kDLCUDAHost (the CPU's memory, pinned); kDLCUDA
INSTALL = 'install it with `pip install "cupy-cuda13x[ctk]"` (CUDA 13) or `"cupy-cuda12x[ctk]"` (CUDA 12)'


def array_module(*arrays):
    """The module of the arrays: `cupy` if any of them is on a GPU, else `numpy`."""
    cupy = sys.modules.get("cupy")  # if CuPy was never imported, no array can be CuPy's
    if cupy is not None and any(isinstance(a, cupy.ndarray) for a in arrays):
        return cupy
    return np


def device_of(array):
    """The name of the device that holds `array`: "cpu" or "gpu:N"."""
    return "cpu" if array_module(array) is np else f"gpu:{array.device.id}"


def find_device(name):
    """Turn a user's "cpu", "gpu", "gpu:N" or "auto" into "cpu" or "gpu:N". DeviceError if there is no such device."""
    kind, _, number = str(name).partition(":")
    if kind not in ("cpu", "gpu",
                    "auto") or (number and (kind != "gpu" or not (number.isascii() and number.isdigit()))):
        raise DeviceError(f"device {name!r} is unknown: expected cpu, gpu, gpu:N or auto")
    if kind == "cpu":
        return "cpu"
    try:
        count = gpu_count()
        if int(number or 0) < count:
            try_gpu(int(number or 0))
    except DeviceError as error:
        if kind != "auto":
            raise
        if "not installed" not in str(error):  # report a CuPy that is installed but does not work
            say_once(f"device auto is the CPU here: {error}")
        return "cpu"
    if int(number or 0) >= count:
        raise DeviceError(f"device {name!r} does not exist: this machine has {count} GPU(s), numbered from 0")
    return f"gpu:{int(number or 0)}"


def gpu_count():
    """How many GPUs CuPy can use, at least one; otherwise a DeviceError that says what is missing."""
    try:
        import cupy

        cupy.cuda  # noqa: B018 (a folder of this name is a package as well, but an empty one)
    except Exception as error:  # an installation can be broken in as many ways as there are libraries below it
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            raise DeviceError(f"the GPU needs CuPy, which is not installed: {INSTALL}, or {use_cpu()}") from error
        sys.modules.pop("cupy", None)  # an import that failed leaves an incomplete module
        raise DeviceError(f"CuPy is installed but cannot be imported ({first_line(error)}): {INSTALL}, or {use_cpu()}"
                          ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # no driver, or one too old: CUDARuntimeError, or ImportError of a missing library
        raise DeviceError(f"CuPy finds no usable GPU ({first_line(error)}): check the driver with nvidia-smi, or "
                          f"{use_cpu()}") from error
    if count == 0:
        raise DeviceError(f"CuPy finds no GPU on this machine: {use_cpu()}")
    return count


@functools.cache
def try_gpu(number):
    """Let a GPU compute 1 + 1, once in a process. DeviceError says what is missing, such as the compiler that CuPy
    needs: the plain package comes without it."""
    import cupy

    try:
        with cupy.cuda.Device(number):
            float(cupy.ones(()) + 1)
    except Exception as error:
        of_cuda = isinstance(error, MemoryError) or type(error).__module__.startswith("cupy_backends")
        remedy = "look at it with nvidia-smi" if of_cuda else INSTALL
        raise DeviceError(f"CuPy finds gpu:{number} but cannot compute on it ({first_line(error)}): {remedy}, or "
                          f"{use_cpu()}") from error


def use_cpu():
    """The remedy if there is no GPU to compute on."""
    return f"use {called('device')} cpu"


def first_line(error):
    """The first line of an error message, to be put into a sentence."""
    return (str(error) or type(error).__name__).splitlines()[0]


def gpu_names():
    """What the GPUs are and how much memory each has, as text; DeviceError as in gpu_count."""
    count = gpu_count()
    import cupy

    found = [cupy.cuda.runtime.getDeviceProperties(number) for number in range(count)]
    return [f"{gpu['name'].decode()}, {gpu['totalGlobalMem'] / 2**30:.0f} GiB" for gpu in found]


def to_device(array, device):
    """`array` (NumPy or CuPy) on `device`; the same object if it is there already."""
    device = find_device(device)
    if device == "cpu":
        return to_numpy(array)
    import cupy

    # this GPU becomes the current one, since new arrays have to be on the same GPU as this one
    cupy.cuda.Device(int(device[4:])).use()
    return cupy.asarray(array)


def to_numpy(array):
    """A NumPy array with the values of `array`: itself on the CPU, a copy from the GPU."""
    return array if array_module(array) is np else array.get()


def numeric(array):
    """`array` (NumPy's or CuPy's) as a plain array of numbers, not copied: np.matrix, whose `*` means something else,
    becomes an ndarray.

    Raises DTypeError for what the ops would compute wrongly: masked values, another machine's byte order, and anything
    but numbers of at most 8 bytes.
    """
    masked = sys.modules.get("numpy.ma")  # if it was never imported, no array is masked
    if masked is not None and isinstance(array, masked.MaskedArray):
        if missing := np.ma.count_masked(array):
            raise DTypeError(f"tensor: {missing} of {array.size} values are masked, and a tensor has no mask: replace "
                             "them with array.filled(value)")
        array = array.data
    array = array_module(array).asarray(array)
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"tensor: expected numbers, got an array of dtype {array.dtype}")
    if array.dtype.itemsize > 8 or not array.dtype.isnative:
        raise DTypeError("tensor: expected numbers of at most 8 bytes, in this machine's byte order, got "
                         f"{array.dtype.str}: convert the array with "
                         f".astype('{array.dtype.name if array.dtype.itemsize <= 8 else 'float64'}')")
    return array


def adopt(array):
    """The memory of another library's array (PyTorch, JAX, ...) as a NumPy or CuPy array. It is shared, not copied.

    Raises DeviceError if it lies on anything but the CPU or a CUDA GPU that CuPy can use, GraphError if the other
    library tracks its gradient, DTypeError if it cannot be shared for another reason, such as a dtype that only that
    library has.
    """
    what = f"{type(array).__module__.partition('.')[0]} {type(array).__name__}"
    if getattr(array, "requires_grad", False):
        raise GraphError(f"dlpack: this {what} requires a gradient there, and its library would not see what is done "
                         "here: pass x.detach()")
    if hasattr(array, "is_neg") and array.is_neg():  # PyTorch exports the memory without changing the signs
        raise DTypeError(f"dlpack: the memory of this {what} holds its values with the opposite sign: pass "
                         "x.resolve_neg()")
    try:
        kind, number = array.__dlpack_device__()
        if kind in DLPACK_CPU:
            shared = np.from_dlpack(array)
            if shared.flags.owndata and shared.size:  # NumPy has allocated its own, uninitialised
                raise BufferError("it has no memory")
            return shared
        if kind == DLPACK_CUDA:
            device = find_device(f"gpu:{number}")
            import cupy

            with cupy.cuda.Device(int(device[4:])):
                return cupy.from_dlpack(array)
        raise DeviceError(f"dlpack: expected a {what} on the CPU or a CUDA GPU, got one on "
                          f"{getattr(array, 'device', kind)}: move it first")
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, Error):
            raise
        raise DTypeError(f"dlpack: a {what} of {getattr(array, 'dtype', 'its dtype')} cannot be shared "
                         f"({str(error).rstrip('.')}): expected a dense array of plain numbers on the CPU or a CUDA "
                         "GPU") from error


def export(array, **options):
    """array.__dlpack__(**options), the reverse of `adopt`. With copy=True nothing is shared.

    Raises DTypeError for memory that other libraries are known to handle wrongly: PyTorch ends the program if an array
    runs backwards, and writes to one that is read-only.
    """
    if options.get("copy") is not True:
        wrong = "runs backwards" if any(step < 0 for step, n in zip(array.strides, array.shape) if n > 1) else \
            "is read-only" if array_module(array) is np and not array.flags.writeable else None
        if wrong:
            raise DTypeError(f"dlpack: the memory of this tensor {wrong}, which not every library can handle: export a "
                             "copy, tensor(x.data.copy())")
    try:
        return array.__dlpack__(**options)
    except BufferError as error:
        raise DTypeError(f"dlpack: this tensor cannot be shared ({str(error).rstrip('.')}): export a copy, "
                         "tensor(x.data.copy())") from error


def uploader(device):
    """A function that copies NumPy arrays to `device` while the device goes on computing. The thread that prepares the
    data uses it.

    On a GPU it copies in its own stream and returns when the copy is complete, so that nobody has to wait before using
    the array.
    """
    if device == "cpu":
        return lambda array: array
    import cupy

    gpu = cupy.cuda.Device(int(device[4:]))
    with gpu:
        stream = cupy.cuda.Stream(non_blocking=True)

    def upload(array):
        with gpu, stream:
            there = cupy.asarray(array)
            stream.synchronize()
        return there

    return upload


def synchronise(device):
    """Wait until `device` has done all work given to it: a GPU works asynchronously, so a timer must wait for it."""
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


def memory_held(device):
    """Bytes that CuPy's pool has taken from the GPU: the most that was ever needed at once, since it never gives any
    back."""
    import cupy

    with cupy.cuda.Device(int(device[4:])):
        return cupy.get_default_memory_pool().total_bytes()


def gpu_memory(device):
    """Bytes that the GPU `device` has in all."""
    import cupy

    with cupy.cuda.Device(int(device[4:])):
        return cupy.cuda.runtime.memGetInfo()[1]


def memory_within_reach(device):
    """Bytes of the GPU `device` that this process has or could still get, now that other programs have the rest."""
    import cupy

    with cupy.cuda.Device(int(device[4:])):
        return cupy.cuda.runtime.memGetInfo()[0] + memory_held(device)
