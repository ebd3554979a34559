"""A stand-in for CuPy on a machine without a GPU: NumPy behind a wall, as strict as CuPy is, or stricter."""

import contextlib
import re
import sys
import time
import types
from contextvars import ContextVar

import numpy as np

from tinypredrnn import backend
from tinypredrnn import gpu as room
from tinypredrnn.errors import say_once
from tinypredrnn.gpu import convolution, ladder


class Array:
    """An array of the stand-in. Like CuPy's it meets arrays of its own kind, numbers, and nothing else; unlike NumPy's, what it
    returns is never a NumPy number. Whatever NumPy itself is asked to do with it is refused."""

    def __init__(self, inner):
        self.inner = np.asarray(inner)

    def __getattr__(self, name):  # attributes and methods of the array within
        if name.startswith("__"):
            raise AttributeError(name)
        return outside(getattr(self.inner, name))

    def __array__(self, *_, **__):
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc, *_, **__):
        raise TypeError(f"numpy.{ufunc.__name__} was given an array of the GPU")

    def __array_function__(self, function, *_, **__):
        raise TypeError(f"numpy.{function.__name__} was given an array of the GPU")

    device = property(lambda self: types.SimpleNamespace(id=0))
    base = property(lambda self: self.inner.base)

    data = property(lambda self: types.SimpleNamespace(ptr=self.inner.ctypes.data))

    def get(self):
        not_while_capturing("D2H transfers")
        return self.inner.copy()

    def item(self):
        return self.get().item()

    def set(self, array):
        not_while_capturing("H2D transfers")
        assert type(array) is np.ndarray and (array.shape, array.dtype) == (self.inner.shape, self.inner.dtype)
        self.inner[...] = array

    def __getitem__(self, index):
        index = as_index(index)
        return made(lambda: self.inner[index], [self.inner])

    def __setitem__(self, index, value):
        index, value = as_index(index), inside(value)
        change(lambda: self.inner.__setitem__(index, value))

    def __len__(self):
        return len(self.inner)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    __hash__ = object.__hash__


def in_place(name):
    def method(self, other):
        other = inside(other)
        change(lambda: getattr(self.inner, name)(other))
        return self
    return method


def operator(name):
    def method(self, *others):
        if any(getattr(other, "__array_ufunc__", True) is None for other in others):
            return NotImplemented  # a Tensor: it takes over
        if "matmul" in name:
            not_while_capturing("cuBLAS")
        others = [inside(other) for other in others]
        return made(lambda: getattr(self.inner, name)(*others), [self.inner, *others])
    return method


for name in "add radd sub rsub mul rmul truediv rtruediv pow rpow matmul rmatmul neg abs lt le gt ge eq ne".split():
    setattr(Array, f"__{name}__", operator(f"__{name}__"))
for name in "add sub mul truediv".split():
    setattr(Array, f"__i{name}__", in_place(f"__i{name}__"))


def inside(value):
    """What NumPy may see of an argument; TypeError for arrays of NumPy's own."""
    if isinstance(value, Array):
        return value.inner
    if isinstance(value, np.ndarray) and value.ndim > 0:
        raise TypeError("unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (list, tuple)):
        return type(value)(map(inside, value))
    return value


def as_index(index):
    """An index may be NumPy's: CuPy carries it over."""
    return tuple(map(as_index, index)) if isinstance(index, tuple) else getattr(index, "inner", index)


def outside(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return Array(value)
    if isinstance(value, (list, tuple)) and any(isinstance(v, np.ndarray) for v in value):
        return type(value)(map(outside, value))
    return across(value) if callable(value) and not isinstance(value, type) else value


def across(function):
    """A function of NumPy for arrays of the stand-in."""
    name = getattr(function, "__name__", "")

    def call(*inputs, **options):
        inputs, options = [inside(x) for x in inputs], {name: inside(option) for name, option in options.items()}
        if name in ("concatenate", "stack") and len(inputs[0]) > 8:
            not_while_capturing("H2D transfers")  # CuPy sends the addresses of that many arrays
        if name == "matmul" and len(inputs) > 2:
            raise ValueError("According to `signature`, `func` requires 2 arguments")  # CuPy takes out= by name only
        if name in ("matmul", "dot", "einsum", "tensordot"):
            not_while_capturing("cuBLAS")
        return made(lambda: function(*inputs, **options), [getattr(function, "__self__", None), *inputs])
    if isinstance(function, np.ufunc):
        call.at = lambda a, index, b: function.at(inside(a), as_index(index), inside(b))
    return call


def asarray(a, dtype=None):
    """What carries NumPy's arrays over; an array that is there already is given back as it is."""
    if isinstance(a, Array):
        return a if dtype in (None, a.dtype) else a.astype(dtype)
    if np.ndim(a):
        not_while_capturing("H2D transfers")
    return Array(np.array(a, dtype))


class ElementwiseKernel:
    """Runs a kernel's body, whose lines are Python as well, on whole arrays."""

    functions = {name: getattr(np, name) for name in ("exp", "log", "log1p", "sqrt", "tanh", "fabs", "maximum", "minimum", "power")}
    functions |= {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "where": lambda c, a, b: np.where(c != 0, a, b), "sign": np.sign,
                  "infinity": np.inf, "not_a_number": np.nan}

    def __init__(self, inputs, outputs, body, name, preamble=""):
        self.inputs, self.outputs = ([parameter.split()[1] for parameter in text.split(", ")] for text in (inputs, outputs))
        if "i" in self.inputs + self.outputs:
            raise ValueError("Can not use 'i' as a parameter name")  # as CuPy does
        self.body = re.sub("^T ", "", body, flags=re.MULTILINE)

    def __call__(self, *arrays):
        assert all(type(a) is Array for a in arrays) and len(arrays) == len(self.inputs) + len(self.outputs)
        change(lambda: self.run(*arrays))

    def run(self, *arrays):
        dtype = arrays[0].dtype
        values = {name: a.inner for name, a in zip(self.inputs, arrays)}
        exec(self.body, {**self.functions, "T": lambda x: np.asarray(x).astype(dtype)}, values)
        for name, array in zip(self.outputs, arrays[len(self.inputs):]):
            array.inner[...] = values[name]


# CUDA graphs: work is written down instead of done, and done again and again later

capturing = ContextVar("capturing", default=None)  # the work so far, as functions, while a stream captures


def not_while_capturing(what):
    """Raise an error, as CuPy does, if the current stream captures: `what` is not possible then."""
    if capturing.get() is not None:
        raise RuntimeError(f"the current stream is capturing, so {what} are disallowed")


def made(work, inputs):
    """The arrays that `work` makes. While capturing, what they hold is of no meaning, and computed at each replay, unless they are
    views."""
    with contextlib.nullcontext() if capturing.get() is None else np.errstate(all="ignore"):
        result = work()
    wrapped = outside(result)
    if capturing.get() is not None:
        several = isinstance(result, (list, tuple))
        flat = [a for x in inputs for a in (x if isinstance(x, (list, tuple)) else [x]) if isinstance(a, np.ndarray)]
        for k, array in enumerate(wrapped if several else [wrapped]):
            if isinstance(array, Array) and not any(np.may_share_memory(array.inner, a) for a in flat):
                capturing.get().append(lambda k=k, array=array: np.copyto(array.inner, work()[k] if several else work()))
    return wrapped


def change(work):
    """Do `work`, which changes arrays that are there. While capturing, it is done at each replay only."""
    work() if capturing.get() is None else capturing.get().append(work)


class Graph:
    def __init__(self, work):
        self.work, self.launches = work, 0

    def launch(self, stream=None):
        self.launches += 1
        for work in self.work:
            work()


class Stream:
    def __init__(self, non_blocking=False):
        self.waited = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def begin_capture(self):
        self.token = capturing.set([])

    def end_capture(self):
        work = capturing.get()
        capturing.reset(self.token)
        return Graph(work)

    def synchronize(self):
        self.waited += 1


class Event:
    def record(self):
        self.moment = time.perf_counter()

    def synchronize(self):
        pass


class MemoryPool:
    malloc = None

    def free_all_blocks(self):
        pass

    def total_bytes(self):
        return 2**20

    def used_bytes(self):
        return 123


class Device(contextlib.nullcontext):
    compute_capability = "70"  # without the tensor cores that our own kernels need; tests/gpu has them
    attributes = {"MultiProcessorCount": 2}

    def __init__(self, number):
        assert number == 0
        super().__init__()

    def use(self):
        pass

    def synchronize(self):
        Device.waited = True


def stand_in():
    """A module like `cupy` with one GPU."""
    cupy = types.ModuleType("cupy")
    cupy.__getattr__ = lambda name: outside(getattr(np, name))
    cupy.ndarray = Array
    cupy.asarray, cupy.ElementwiseKernel = asarray, ElementwiseKernel
    cupy.lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=across(np.lib.stride_tricks.as_strided)))
    cupy._core = types.SimpleNamespace(_routines_linalg=types.SimpleNamespace(
        COMPUTE_TYPE_DEFAULT=1, COMPUTE_TYPE_TF32=7, set_compute_type=lambda dtype, kind: None))
    cupy.cuda = types.SimpleNamespace(Device=Device, Stream=Stream, MemoryPool=MemoryPool, using_allocator=contextlib.nullcontext,
                                       Event=Event, get_elapsed_time=lambda a, b: 1e3 * (b.moment - a.moment))
    cupy.cuda.runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1, memGetInfo=lambda: (60 * 2**30, 80 * 2**30),
        getDeviceProperties=lambda number: {"name": b"Stand-in", "totalGlobalMem": 80 * 2**30})
    cupy.from_dlpack = lambda array: Array(array.there)
    cupy.get_default_memory_pool = MemoryPool
    return cupy


@contextlib.contextmanager
def nothing_is_known_yet():
    """Within it, as in a new process, no GPU was tried, no kernel was compiled or checked, and nothing was said."""
    cached = [function.cache_clear for function in (backend.try_gpu, room.has_tensor_cores, convolution.kernels,
                                                    convolution.multiprocessors, ladder.own_kernel, say_once)]
    cached.append(convolution.checked.clear)
    for forget in cached:
        forget()
    try:
        yield
    finally:
        for forget in cached:
            forget()


@contextlib.contextmanager
def in_place_of_cupy(monkeypatch):
    """Within it `import cupy` gives the stand-in, which is yielded, and nothing is known of any other GPU."""
    with monkeypatch.context() as patch, nothing_is_known_yet():
        patch.setitem(sys.modules, "cupy", cupy := stand_in())
        yield cupy
