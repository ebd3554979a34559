"""One pool of threads for all that the CPU computes: matrix products, tile transforms, fused gates.

Two pools would fight: the threads of BLAS and of OpenMP wait awake for one another and take the cores from whoever comes next. So the
work is divided here, each of our threads computes its part, and BLAS uses a single thread for it while they do.
"""

import contextlib
import ctypes
import functools
import os
import threading

import numpy as np
from threadpoolctl import ThreadpoolController

from tinypredrnn import gpu
from tinypredrnn.backend import array_module

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = max(1, min(CORES, int((os.environ.get("OMP_NUM_THREADS") or str(CORES)).split(",")[0])))
WORTH_SHARING = 1 << 24  # multiplications; fewer are done before a second thread is awake


class Worker(threading.Thread):
    """A thread that waits for work(first, last), one at a time. Two locks are all that it takes: an executor's queue and futures would
    cost as much as a small kernel."""

    def __init__(self):
        super().__init__(name="tinypredrnn", daemon=True)
        self.given, self.busy = threading.Lock(), threading.Lock()  # locked while there is nothing to do; while there is
        self.error = None
        self.given.acquire()
        self.start()

    def run(self):
        while True:
            self.given.acquire()
            try:
                self.work(*self.part)
            except BaseException as error:
                self.error = error
            self.work = None  # and what it refers to
            self.busy.release()

    def begin(self, work, *part):
        self.busy.acquire()
        self.work, self.part, self.error = work, part, None
        self.given.release()

    def finish(self):
        """Wait until it is done, through Ctrl-C too: nobody may still write to what the caller goes on with. -> an error, or None"""
        interrupt = None
        while True:
            try:
                with self.busy:
                    return interrupt or self.error
            except KeyboardInterrupt as error:
                interrupt = error


class Pool:
    """The workers, as many as were needed at once so far, and the lock of whoever uses them."""

    def __init__(self):
        self.workers, self.lock = [], threading.Lock()


POOL = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.__init__)  # a child has none of its parent's threads, and would wait for them forever


def share(work, count, multiplications=WORTH_SHARING):
    """Run work(first, last) on ranges that together are 0 ... count, one for each thread. `work` must let go of Python's lock.

    Who comes while another thread uses the pool does all of its work itself.
    """
    parts = max(1, min(THREADS, count)) if multiplications >= WORTH_SHARING else 1
    if parts == 1 or not POOL.lock.acquire(blocking=False):
        return work(0, count)
    try:
        cuts = [count * i // parts for i in range(parts + 1)]
        while len(POOL.workers) < parts - 1:
            POOL.workers.append(Worker())
        others = POOL.workers[:parts - 1]
        try:
            for worker, first, last in zip(others, cuts[1:], cuts[2:]):
                worker.begin(work, first, last)
            work(0, cuts[1])
        finally:
            errors = [worker.finish() for worker in others]
        for error in filter(None, errors):
            raise error
    finally:
        POOL.lock.release()


def product(a, b):
    """The matrix product of a (n, k) and b (k, m); on the CPU its rows are shared among the threads, on a GPU it is rounded as
    tinypredrnn.gpu.precision says."""
    if array_module(a, b) is not np:
        return gpu.product(a, b)
    if not blas():
        return a @ b
    out = np.empty((len(a), b.shape[1]), np.result_type(a, b))
    with SINGLE_THREADED_BLAS:
        share(lambda first, last: np.matmul(a[first:last], b, out=out[first:last]), len(a), a.size * b.shape[1])
    return out


@functools.cache
def blas():
    """The libraries behind NumPy's products whose threads can be counted: mostly one OpenBLAS; none for Apple's."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


class SingleThreadedBLAS:
    """While the main thread is within it, BLAS uses one thread for each product; then as many as before. In other threads it does nothing:
    OpenBLAS 0.3.31 takes its number of threads from the main one only."""

    def __init__(self):
        self.inside, self.before = 0, []

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            if self.inside == 0:
                self.before = [library.get_num_threads() for library in blas()]
                self.set([1] * len(self.before))
            self.inside += 1

    def __exit__(self, *error):
        if threading.current_thread() is threading.main_thread():
            self.inside -= 1
            if self.inside == 0:
                self.set(self.before)

    def set(self, numbers):
        for library, number in zip(blas(), numbers):
            library.set_num_threads(number)


SINGLE_THREADED_BLAS = SingleThreadedBLAS()


def keep_freed_memory():
    """Ask the C library for large arrays from memory that was freed before: the system has to find and clear every page of fresh memory,
    which costs more than most of what is computed in it. Only glibc can be asked.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD: arrays up to this size, the largest that it takes, do not get pages of their own
        mallopt(-1, 2 ** 31 - 1)  # M_TRIM_THRESHOLD: free pages stay with the process


keep_freed_memory()


class Scratch(threading.local):
    """Memory that each thread keeps for intermediate results, for the same reason."""

    def __init__(self):
        self.buffers = {}

    def __call__(self, name, shape, dtype):
        """An uninitialised array, valid until the same thread asks for this name again."""
        size, dtype = int(np.prod(shape)), np.dtype(dtype)
        if name not in self.buffers or self.buffers[name].nbytes < size * dtype.itemsize:
            self.buffers[name] = np.empty(size * dtype.itemsize, np.uint8)
        return self.buffers[name][:size * dtype.itemsize].view(dtype).reshape(shape)


scratch = Scratch()
