"""How much memory there is, and an error if a request cannot fit: bytes are counted before any array is made."""

import os
import re
from pathlib import Path

from tinypredrnn.backend import gpu_memory
from tinypredrnn.cgroups import limits
from tinypredrnn.errors import TooLargeError

ASSUMED = 1 << 40  # bytes, if it is unknown how much there is (Windows); no array of ours is meant to be larger
SMALL = 1 << 24  # bytes: any computer has this much, so smaller requests are not checked


def memory_limit(device="cpu"):
    """The most bytes that this process can ever have on `device`, whatever else runs there.

    On a GPU its whole memory. On the CPU the least of what the machine has (memory and swap), what the process's
    control groups allow (a container's limit) and RLIMIT_AS (`ulimit -v`), or ASSUMED if none of them is known.
    """
    if device != "cpu":
        return gpu_memory(device)
    return min([ASSUMED, *machine_memory(), *cgroup_limits(), *process_limits()])


def machine_memory():
    """The machine's memory and swap together, in bytes, if the system says."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return
    try:
        swap = re.search(r"SwapTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text())[1]
    except (OSError, TypeError):
        swap = 0
    yield memory + 1024 * int(swap)


def cgroup_limits():
    """The memory limits, in bytes, of the process's control groups and those around them."""
    for words in limits("memory", ["memory.max"], ["memory.limit_in_bytes"]):
        if len(words) == 1 and words[0].isdecimal():  # not "max"
            yield int(words[0])


def process_limits():
    """RLIMIT_AS, in bytes, if there is one."""
    try:
        import resource
    except ImportError:  # Windows
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY:
        yield most


def require_memory(least, what, remedy, device="cpu"):
    """TooLargeError if `what`, which takes at least `least` bytes, cannot fit on `device`; `remedy` says what to do."""
    if least > SMALL and least > (most := memory_limit(device)):
        raise TooLargeError(f"{what} would take at least {format_bytes(least)} of memory, more than the "
                            f"{format_bytes(most)} of {device}: {remedy}")


def lacks_memory(error):
    """Whether an exception of Python, NumPy, CuPy or a library of CUDA means that there is too little memory."""
    codes = "cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "STATUS_ALLOC_FAILED"
    return isinstance(error, MemoryError) or any(code in str(error) for code in codes)


def format_bytes(count):
    """A number of bytes as text, such as 3.2 GiB."""
    power = min(4, max(1, (int(count).bit_length() - 1) // 10))
    count /= 1024**power
    number = f"{count:,.0f}" if count >= 100 else f"{count:.3g}"
    return number + (" KiB", " MiB", " GiB", " TiB")[power - 1]
