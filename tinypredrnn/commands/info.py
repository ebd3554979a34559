"""Show what is installed, and how to get what is missing: `tinypredrnn info`, or `python -m tinypredrnn`."""

import argparse
import os
import platform
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import tinypredrnn
from tinypredrnn import backend
from tinypredrnn.course.__main__ import PAGES
from tinypredrnn.files import user_cache

PACKAGE = Path(tinypredrnn.__file__).parent
REQUIRED = ("numpy", "numba", "scikit-image", "matplotlib", "tqdm", "pooch", "threadpoolctl", "scipy", "networkx",
            "pillow")
PACKAGES = {  # name -> how to install it; no extras are named, since there may be no checkout that has them
    **{name: f"pip install {name}" for name in REQUIRED},
    "cupy": 'for a GPU: pip install "cupy-cuda13x[ctk]" (CUDA 13) or "cupy-cuda12x[ctk]" (CUDA 12)',
    "mpi4py": "for several processes: pip install mpi4py mpich",
    **{name: "to read NetCDF, HDF5 and Zarr: pip install xarray netcdf4 h5netcdf h5py zarr"
       for name in ("xarray", "netcdf4", "h5netcdf", "h5py", "zarr")},
    "imageio-ffmpeg": "to read videos: pip install imageio-ffmpeg",
    **{name: f"to write the course as pages or notebooks: {PAGES}" for name in ("markdown-it-py", "nbformat")},
    "pytest": "to run the tests: pip install pytest pytest-xdist ruff setuptools html5lib nbclient ipykernel "
              "playwright",
}
OTHER_NAMES = {"cupy": ("cupy-cuda13x", "cupy-cuda12x")}  # other names of the same package
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS",
                    "NUMBA_NUM_THREADS")


def package(name):
    for known_as in (name, *OTHER_NAMES.get(name, ())):
        try:
            return version(known_as)
        except PackageNotFoundError:
            pass
    return f"missing; {PACKAGES[name]}"


def cores():
    return f"{platform.machine()}, {os.cpu_count()} cores, of which this process may use {tinypredrnn.threads.CORES}"


def blas():
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    if not pools:  # Apple's Accelerate, whose number of threads is unknown
        return np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    return "; ".join(f"{pool['num_threads']}, {pool['internal_api']} {pool['version']}" for pool in pools)


def numba_threads():
    import numba
    from numba.np.ufunc.parallel import _launch_threads

    _launch_threads()  # the layer is only chosen when the threads start
    return f"{numba.get_num_threads()}, layer {numba.threading_layer()}"


def environment():
    return ", ".join(f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ) or "sets none"


def files_in(path):
    """A folder with the number and size of the files below it."""
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    closed = "" if not path.exists() or os.access(path, os.W_OK) else ", cannot be written to"
    return f"{path}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB{closed}"


def data_folder():
    name = os.environ.get("TINYPREDRNN_DATA")
    if not name:
        return "not set: export TINYPREDRNN_DATA=FOLDER, if you have the MNIST files"
    if not Path(name).is_dir():
        return f"{name}, which is not a folder"
    return f"{name}: {', '.join(sorted(file.name for file in Path(name).iterdir())) or 'empty'}"


def mnist():
    places = [Path(os.environ["TINYPREDRNN_DATA"])] if os.environ.get("TINYPREDRNN_DATA") else []
    for place in (*places, user_cache()):
        for folder in (place, place / "mnist"):
            if names := sorted(file.name for file in folder.glob("*-images*idx3-ubyte*")):
                return f"{', '.join(names)} in {folder}"
    return "not here: downloaded when it is first needed, or else digits are drawn"


REPORT = {  # what is reported -> a function that finds it out
    "packages": {name: partial(package, name) for name in PACKAGES},
    "devices": {"cpu": cores, "gpu": lambda: "; ".join(backend.gpu_names())},
    "threads": {"tinypredrnn": lambda: tinypredrnn.threads.THREADS, "BLAS": blas, "numba": numba_threads,
                "environment": environment},
    "caches": {
        "compiled kernels": lambda: files_in(user_cache() / "compiled"),
        "downloads": lambda: files_in(user_cache() / "mnist"),
        "decoded videos": lambda: files_in(user_cache() / "frames"),
    },
    "data": {"TINYPREDRNN_DATA": data_folder, "MNIST": mnist},
}


def main(words=()):
    """Print the report. If something is missing or cannot be found out, its line says so, and the report goes on."""
    argparse.ArgumentParser(prog="tinypredrnn info", description=__doc__, allow_abbrev=False).parse_args(words)
    print(f"tinypredrnn {tinypredrnn.__version__} in {PACKAGE}")
    print(f"Python {platform.python_version()} in {sys.executable}, {platform.platform()}")
    for title, facts in REPORT.items():
        print(f"\n{title}")
        for name, find in facts.items():
            try:
                fact = find()
            except Exception as error:
                fact = f"{error}" or type(error).__name__
            print(f"  {name:18}{fact}")
