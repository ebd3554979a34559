"""One pool of threads for all that the CPU computes: matrix products, tile transforms, fused gates.

Two pools would slow each other down: the threads of BLAS and of OpenMP spin while they wait, and so take cores that the
other pool needs. So the work is divided here, each of our threads computes its part, and BLAS uses a single thread for
each part.
"""

import collections
import contextvars
import ctypes
import functools
import math
import operator
import os
import threading
import warnings
import weakref
from _thread import start_new_thread
from functools import partial
from queue import SimpleQueue

import numpy as np
from threadpoolctl import ThreadpoolController

from tinypredrnn.cgroups import limits

# how many threads

WORTH_A_THREAD = 0.25  # of a core: if a quota leaves less, one more thread gains less than the quota's pauses cost


def usable_cores():
    """How many threads this process can keep busy: as many as the cores that it is bound to, or fewer if a container's
    quota allows less processor time than that."""
    bound = len(bound_cores())
    return max(1, min([bound, *(math.ceil(quota - WORTH_A_THREAD + 1e-9) for quota in quotas())]))


def bound_cores():
    """The numbers of the cores that this process is bound to."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(getattr(os, "process_cpu_count", os.cpu_count)() or 1))  # the former from Python 3.13 on


def quotas():
    """The limits of processor time, in cores, of the process's control groups and those around them."""
    for numbers in limits("cpu", ["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        if len(numbers) == 2 and all(map(str.isdecimal, numbers)) and int(numbers[1]) > 0:  # not "max" or -1
            yield int(numbers[0]) / int(numbers[1])


def count_threads(cores, asked):
    """How many threads to use on so many `cores`. `asked`, the value of OMP_NUM_THREADS or None, can only lower the
    number. In a list such as "4,2", which has one number for each level of nesting, the first one counts. A value that
    is not a number above 0 counts as unset, and a warning says so."""
    if not (asked or "").strip():
        return cores
    first = asked.split(",")[0].strip()
    if not (first.isascii() and first.isdecimal() and int(first) > 0):
        warnings.warn(f"OMP_NUM_THREADS is {asked!r}, expected a whole number above 0: it counts as unset, so {cores} "
                      "threads are used", RuntimeWarning, stacklevel=2)
        return cores
    return min(cores, int(first))


CORES = usable_cores()
THREADS = count_threads(CORES, os.environ.get("OMP_NUM_THREADS"))


def use(cores):
    """Compute with so many threads from now on, or fewer if OMP_NUM_THREADS says so; BLAS as well, where it is called
    without `share`."""
    global CORES, THREADS
    CORES, THREADS = cores, count_threads(cores, os.environ.get("OMP_NUM_THREADS"))
    for library in blas():
        library.set_num_threads(THREADS)


# the pool
#
# Python runs signal handlers in the main thread, between any two of its steps, and a handler may raise an exception, as
# that of Ctrl-C does. So whatever must not be interrupted halfway is a single call of something written in C, during
# which no handler runs. Its parts are prepared beforehand, and `run` makes one call out of several. If such a call has
# to wait for another thread, it waits with PyThread_acquire_lock, because Python's own locks let handlers run while
# they wait.

python = ctypes.pythonapi._handle
new_lock = ctypes.PyDLL(None, handle=python).PyThread_allocate_lock
release_lock = ctypes.PyDLL(None, handle=python).PyThread_release_lock
try_lock = ctypes.PyDLL(None, handle=python).PyThread_acquire_lock
acquire_lock = ctypes.CDLL(None, handle=python).PyThread_acquire_lock  # a CDLL releases the GIL meanwhile
new_lock.argtypes, new_lock.restype = (), ctypes.c_void_p
release_lock.argtypes, release_lock.restype = (ctypes.c_void_p,), None
try_lock.argtypes, try_lock.restype = (ctypes.c_void_p, ctypes.c_int), ctypes.c_int
acquire_lock.argtypes, acquire_lock.restype = (ctypes.c_void_p, ctypes.c_int), ctypes.c_int

call = operator.methodcaller("__call__")
run = collections.deque(maxlen=0).extend  # run(map(call, functions)) calls one after the other, and keeps nothing

WORTH_WAKING = 1 << 23  # multiplications for each thread: with fewer, smaller products cost more than a thread gains


class Worker:
    """A thread that helps with whatever it finds in its queue. An executor's queue and futures would cost as much as a
    small kernel."""

    def __init__(self):
        self.queue, at_work = SimpleQueue(), new_lock()  # `at_work` is held while it works, and never freed
        self.begin, self.end = partial(try_lock, at_work, 0), partial(release_lock, at_work)
        self.waiting = partial(acquire_lock, at_work, 1), self.end  # the calls that wait while it works

    def help(self):
        while True:
            parts, errors = self.queue.get()
            if self.begin():  # if not, the caller has just found that all parts are done
                try:
                    take(parts)
                except BaseException as error:
                    errors.append(error)
                parts = errors = None  # and what they refer to
                self.end()


def take(parts):
    """Call those parts that no other thread has taken: all threads have the same iterator."""
    for part in parts:
        part()


class Pool:
    """The workers, as many as have been needed at once so far, and a lock that is held by whoever is using them."""

    def __init__(self):
        self.workers, self.lock = [], threading.Lock()

    def first(self, count):
        while len(self.workers) < count:
            worker = Worker()
            start, keep = partial(start_new_thread, worker.help, ()), partial(self.workers.append, worker)
            run(map(call, (start, keep)))  # threading.Thread.start could be interrupted halfway
        return self.workers[:count]


POOL = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.__init__)  # a child process has no such threads, and would wait forever


def share(work, count, multiplications=math.inf, with_blas=False):
    """Run work(first, last) on ranges that together are 0 ... count, one for each thread that has enough to do. `work`
    must release the GIL.

    Each thread takes the next range when it is free, so nobody waits for a thread that has not begun: on a busy
    machine, where the others may come late, the caller does their ranges itself.

    with_blas   `work` consists of matrix products: BLAS uses one thread for each of them, and afterwards as many as
                before

    If another thread is using the pool, the caller does all of its work itself. An error in any part is raised here,
    and so is what a signal handler raises, such as Ctrl-C's KeyboardInterrupt; but only once no other thread is working
    any more, so that nobody still writes to the arrays that the caller goes on to use.
    """
    alone = (count_parts := int(min(THREADS, count, multiplications / WORTH_WAKING))) <= 1
    if POOL.lock.locked() or alone and not with_blas:  # usually it is locked by work around this, which has set BLAS
        return work(0, count)
    before, after = one_thread_of_blas() if with_blas else ((), ())
    if alone:
        return between(before, partial(work, 0, count), after) if before else work(0, count)
    cuts = [count * i // count_parts for i in range(count_parts + 1)]
    # each part runs in the caller's context, for example with its np.errstate
    parts = iter([partial(contextvars.copy_context().run, work, first, last) for first, last in zip(cuts, cuts[1:])])
    errors, held = [], []
    before = POOL.lock.acquire, partial(held.append, POOL.lock.release), *before
    after = *after, partial(run, map(call, held))
    for worker in POOL.first(count_parts - 1):
        before = *before, partial(worker.queue.put, (parts, errors))
        after = *worker.waiting, *after
    between(before, partial(take, parts), (partial(run, parts), *after))  # after an error, nobody takes the rest
    if errors:
        raise errors.pop(0)


def between(before, work, after):
    """work() between two lists of calls in C. Each list runs as one call, so never in part; `after` runs whatever
    happens.

    `finally` would not do, because Python 3.10 may run a handler just before its first call. Here `before` and `work`
    are a deque that only one call in C refers to: however that call ends, the deque is freed, and then its weak
    reference calls `after`.
    """
    calls = [collections.deque((*before, work))]
    end = weakref.ref(calls[0], partial(next, map(run, [map(call, after)])))  # noqa: F841 (needed only while it lives)
    run(map(call, calls.pop()))


# matrix products

def shared_matmul(a, b):
    """NumPy's matrix product of a (n, k) and b (k, m), with the rows shared among the threads."""
    if not blas():
        return a @ b
    out = np.empty((len(a), b.shape[1]), np.result_type(a, b))
    share(lambda first, last: np.matmul(a[first:last], b, out=out[first:last]), len(a), a.size * b.shape[1],
          with_blas=True)
    return out


@functools.cache
def blas():
    """The libraries behind NumPy's products whose number of threads can be set: usually one OpenBLAS; none for
    Apple's."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


def one_thread_of_blas():
    """The calls that make BLAS use one thread for each product, and those that make it use as many as now.

    There are none if it already uses one, and none in any thread but the main one: OpenBLAS 0.3.31 takes its number of
    threads only from there.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return (), ()
    numbers = [(set_number, number) for get_number, set_number in counters() if (number := get_number()) != 1]
    return [partial(set_number, 1) for set_number, _ in numbers], [partial(set_number, number)
                                                                   for set_number, number in numbers]


@functools.cache
def counters():
    """The functions (get, set) of each library for its number of threads."""
    return [counter(library) for library in blas()]


COUNTERS = [(f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
            for prefix in ("scipy_", "") for suffix in ("64_", "_64", "")]
COUNTERS += [("MKL_Get_Max_Threads", "MKL_Set_Num_Threads_Local"),
             ("bli_thread_get_num_threads", "bli_thread_set_num_threads")]


def counter(library):
    """The C functions behind library.get_num_threads and library.set_num_threads."""
    openmp = getattr(library, "threading_layer", None) == "openmp"
    names = [("omp_get_max_threads", "omp_set_num_threads")] if openmp else COUNTERS
    return next(([getattr(library.dynlib, name) for name in pair] for pair in names
                 if all(hasattr(library.dynlib, name) for name in pair)),
                [library.get_num_threads, library.set_num_threads])


# memory for intermediate results

class Scratch(threading.local):
    """Memory that each thread keeps for intermediate results: fresh memory would cost as much as computing (see
    malloc.py)."""

    def __init__(self):
        self.buffers = {}

    def __call__(self, name, shape, dtype):
        """An uninitialised array, valid until the same thread asks for this name again."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if name not in self.buffers or self.buffers[name].nbytes < size:
            self.buffers[name] = np.empty(size, np.uint8)
        return np.ndarray(shape, dtype, self.buffers[name])


scratch = Scratch()
