"""Compile every kernel of ours for the GPUs that people have, without a GPU. Needs CuPy 14 and its compiler, NVRTC:

    pip install "cupy-cuda13x[ctk]"                       no GPU and no driver are needed
    python examples/gpu_compile.py                        all kernels for all architectures: some minutes
    python examples/gpu_compile.py --sample 5             five of each kind for each architecture
    python examples/gpu_compile.py --architectures 75     for a T4

What is compiled is the text that CuPy gives to NVRTC, with CuPy's options: for fused functions what its
ElementwiseKernel makes of them, for contiguous and for strided arrays, in float32 and float64; for our own convolution
its source with each set of macros. Exit status 1 if a kernel does not compile.
"""

import argparse
import concurrent.futures
import gc
import itertools
import random
import sys
import threading

import numpy as np
from tqdm import tqdm

import tinypredrnn as tp
from tinypredrnn.autograd.elementwise import TABLE
from tinypredrnn.autograd.fuse import Fused, Loop, gradients
from tinypredrnn.autograd.kept import gpu_halve
from tinypredrnn.autograd.symbol import Symbol
from tinypredrnn.backend import first_line
from tinypredrnn.errors import DeviceError, command, whole_number_from
from tinypredrnn.gpu import PRECISIONS, convolution
from tinypredrnn.optim import OPTIMISERS
from tinypredrnn.threads import usable_cores

# compute capability: cards that have it
CARDS = {"75": "T4, RTX 20", "80": "A100", "86": "RTX 30, A10", "89": "RTX 40, L4", "90": "H100, H200", "100": "B200",
         "120": "RTX 50"}
LAYOUTS = {"contiguous": (1, True), "strided": (3, False)}  # (axes that CuPy's loop counts, whether in one piece)
ARRAY, INDEXER = 1, 2  # kinds of arguments, as CuPy numbers them


def loops():
    """Every kernel of elementwise maths as a Loop: the entries of the table, all fused functions of the package, and
    the optimisers', each forward and backward."""
    for entry in TABLE.values():
        names = [f"in_{x}" for x in entry.inputs]
        inputs, dy = [Symbol(None, name) for name in names], Symbol(None, "dy0")
        y = entry(*inputs)
        yield Loop(entry.name, names, [y])
        yield Loop(f"{entry.name} backward", [*names, "dy0"], gradients(inputs, [y], [dy]))
    optimisers = [make([tp.tensor(np.ones((2, 2)), requires_grad=True)], 1e-3) for make in OPTIMISERS.values()]
    for fused in [found for found in gc.get_objects() if isinstance(found, Fused)]:
        yield fused.kernels[0]
        outputs = range(len(fused.traced[1]))  # of which only some may have a cotangent
        for count in outputs:
            yield from itertools.starmap(fused.loop_back, itertools.combinations(outputs, count + 1))
    del optimisers


def compiler_version():
    """NVRTC's version; DeviceError if it or CuPy cannot be used."""
    try:
        import cupy  # noqa: F401
        from cupy_backends.cuda.libs import nvrtc

        return "{}.{}".format(*nvrtc.getVersion())
    except Exception as error:  # an installation can be broken in as many ways as there are libraries below it
        raise DeviceError(f"compiling needs CuPy and its compiler, which cannot be used here ({first_line(error)}): "
                          'install them with `pip install "cupy-cuda13x[ctk]"`') from error


class Asked(Exception):
    """What CuPy was going to compile: (source, options)."""


def as_compiled(code, options=(), headers=True):
    """(source, options) as CuPy gives them to NVRTC, with its own headers and options."""
    from cupy._core import core
    from cupy.cuda import compiler

    def ask(source, options=(), **others):
        raise Asked(source, (*options, "-ftz=true", "--device-as-default-execution-space"))  # which it adds later

    keep, compiler._compile_module_with_cache = compiler._compile_module_with_cache, ask
    try:
        core.compile_with_cache(code, options, prepend_cupy_headers=headers)
    except Asked as asked:
        return asked.args
    finally:
        compiler._compile_module_with_cache = keep


def elementwise(kernel, inputs, outputs, axes, whole):
    """(source, options) of an ElementwiseKernel for arrays of these dtypes and so many axes, contiguous if `whole`."""
    import cupy
    from cupy._core import _kernel
    from cupy._core._carray import Indexer

    inputs, outputs = [tuple(map(np.dtype, dtypes)) for dtypes in (inputs, outputs)]
    arrays = [_kernel._ArgInfo(ARRAY, cupy.ndarray, dtype, axes, whole, True) for dtype in inputs + outputs]
    indexer = _kernel._ArgInfo(INDEXER, Indexer, None, axes, True, True)
    *_, types = _kernel._decide_params_type(kernel.in_params, kernel.out_params, inputs, outputs)
    return as_compiled(_kernel._get_elementwise_kernel_code((*arrays, indexer), types, kernel.params, kernel.operation,
                                                            kernel.name, kernel.preamble))


def fused_kernels():
    """{name: (source, options)} of all fused kernels, and of the one that rounds activations."""
    import cupy

    found = {}
    for layout, (axes, whole) in LAYOUTS.items():
        for loop, dtype in itertools.product({loop.gpu_parts(): loop for loop in loops()}.values(), "fd"):
            kernel = loop.gpu_kernel(cupy)
            dtypes = [dtype * len(parameters) for parameters in (kernel.in_params, kernel.out_params)]
            found[f"{loop.title}, {np.dtype(dtype)}, {layout}, {len(found)}"] = elementwise(kernel, *dtypes,
                                                                                        axes, whole)
        found[f"halve, {layout}"] = elementwise(gpu_halve(cupy), ["uint32"], ["uint16"], axes, whole)
    return found


def convolution_kernels():
    """{name: (source, options)} of all variants of our own convolution."""
    variants = itertools.product(range(3), (64, 128), (1, 4), PRECISIONS)
    return {f"convolution {' '.join(map(str, v))}": as_compiled(convolution.source(), convolution.options(*v), False)
            for v in variants}


def compile_one(source, options, architecture):
    """None, or why it does not compile."""
    from cupy.cuda import compiler

    try:
        compiler._NVRTCProgram(source, "kernel.cu", method="cubin").compile((*options, f"-arch=sm_{architecture}"))
    except compiler.CompileException as error:
        return str(error).strip()
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", choices=list(CARDS), default=list(CARDS), metavar="N",
                        help=f"compute capabilities without the point (default: {' '.join(CARDS)})")
    parser.add_argument("--sample", type=whole_number_from(1), metavar="N",
                        help="compile only N of the fused kernels and N of the convolution's for each architecture")
    arguments = parser.parse_args()
    architectures = list(dict.fromkeys(arguments.architectures))
    print(f"NVRTC {compiler_version()}")
    kinds = {"fused": fused_kernels(), "convolution": convolution_kernels()}
    tasks, rng = [], random.Random(0)
    for architecture, (kind, kernels) in itertools.product(architectures, kinds.items()):
        if kind == "convolution" and int(architecture) < 80:
            continue  # it has no TF32 and is not asked to (tinypredrnn/gpu)
        names = list(kernels)
        if arguments.sample:
            names = rng.sample(names, min(arguments.sample, len(names)))
        tasks += [(architecture, kind, name) for name in names]
    compiled, failed, lock = dict.fromkeys(itertools.product(architectures, kinds), 0), [], threading.Lock()

    def work(task):
        architecture, kind, name = task
        why = compile_one(*kinds[kind][name], architecture)
        with lock:
            if why:
                failed.append(f"sm_{architecture}, {name}: {why}")
            else:
                compiled[architecture, kind] += 1

    with concurrent.futures.ThreadPoolExecutor(usable_cores()) as pool:
        list(tqdm(pool.map(work, tasks), total=len(tasks), unit="kernel", disable=None))
    for sentence in failed:
        print(f"FAILED  {sentence}")
    print(f"{'architecture':14}{'cards':16}{'fused':>8}{'convolution':>14}{'failed':>8}")
    for architecture in architectures:
        own = compiled[architecture, "convolution"] if int(architecture) >= 80 else "cuBLAS's"
        wrong = sum(sentence.startswith(f"sm_{architecture},") for sentence in failed)
        fused = compiled[architecture, "fused"]
        print(f"{'sm_' + architecture:14}{CARDS.get(architecture, ''):16}{fused:8}{own:>14}{wrong:8}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(command(main))
