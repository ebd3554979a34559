"""Our CUDA kernels without a GPU: compiled by a C++ compiler against emulation.hpp, and launched as CuPy's RawModule would."""

import ctypes
import functools
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from stand_in import Array, change

import tinypredrnn.gpu

HERE, SOURCES = Path(__file__).parent, Path(tinypredrnn.gpu.__file__).parent
COMPILER = shutil.which("g++") or shutil.which("clang++")
ORDER = {"descending": 0}  # of the threads of a block

DOORS = """
extern "C" void launch_convolve(const int *grid, int threads, int descending, const Problem *g, const float *x, const float *h,
                                const float *matrix, const float *bias, float *y, float *z, float *slices, int steps) {
    allow((const char *)&ONE, sizeof ONE);
    launch(convolve, grid, threads, descending, *g, x, h, matrix, bias, y, z, slices, steps);
}
extern "C" void launch_gather(const int *grid, int threads, int descending, const Problem *g, const float *slices, int count,
                              const float *bias, float *y, float *z) {
    launch(gather, grid, threads, descending, *g, slices, count, bias, y, z);
}
"""


@functools.cache
def folder():
    kept = tempfile.TemporaryDirectory(prefix="tinypredrnn-emulated-")
    folder.kept = kept  # deleted with this module
    return Path(kept.name)


@functools.cache
def compiled(code, options):
    """The library of one set of macros."""
    words = (SOURCES / "instructions.cuh").read_text(encoding="utf-8")
    assert code.startswith(words)
    path = folder() / hashlib.sha256((code + " ".join(options)).encode()).hexdigest()[:16]
    path.with_suffix(".cpp").write_text((HERE / "emulation.hpp").read_text(encoding="utf-8") + code[len(words):] + DOORS, encoding="utf-8")
    subprocess.run([COMPILER, "-O1", "-shared", "-fPIC", "-U_FORTIFY_SOURCE", "-Wno-unknown-pragmas", *options,
                    path.with_suffix(".cpp"), "-o", path.with_suffix(".so")], check=True)
    return ctypes.CDLL(path.with_suffix(".so"))


class RawModule:
    def __init__(self, *, code, options):
        assert all(type(option) is str for option in options)
        self.library = compiled(code, options)

    def get_function(self, name):
        return RawKernel(self.library, name)


class RawKernel:
    max_dynamic_shared_size_bytes = 48 << 10

    def __init__(self, library, name):
        self.library, self.name = library, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        grid = (*grid, 1, 1)[:3]
        assert all(type(n) is int and n >= 1 for n in (*grid, *block)) and grid[1] <= 65535 and grid[2] <= 65535
        assert shared_mem <= self.max_dynamic_shared_size_bytes <= 99 << 10  # of every GPU from compute capability 8.0 up
        change(lambda: self.run(grid, block, args))

    def run(self, grid, block, args):
        for a in args:
            if type(a) is Array:
                assert a.inner.flags.c_contiguous
                self.library.allow(ctypes.c_void_p(a.inner.ctypes.data), ctypes.c_size_t(a.inner.nbytes))
        getattr(self.library, f"launch_{self.name}")((ctypes.c_int * 3)(*grid), block[0], ORDER["descending"], *map(passed, args))


def passed(argument):
    """An argument as CuPy hands it to a kernel: arrays by address, None as no address, NumPy's numbers and structures by value."""
    if type(argument) is Array:
        return ctypes.c_void_p(argument.inner.ctypes.data)
    if argument is None:
        return ctypes.c_void_p(0)
    if type(argument) is np.int32:
        return ctypes.c_int(argument)
    assert type(argument) is np.ndarray and argument.size == 1 and argument.dtype.fields
    return ctypes.c_void_p(argument.ctypes.data)
