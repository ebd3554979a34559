"""The processes that train together: one alone, or several that `mpiexec -n N` has started, which share each batch.

Alone and Ranks have the same attributes, so that nothing else asks whether there are many:

    rank, size               the number of this process, from 0, and how many there are
    first                    whether this is the process that writes files and prints
    rows                     which rows of a batch, or items of a list, are this process's, as a slice
    average(arrays, weight)  replaces each array, in place, by its average over all processes, weighted by the number
                             that each gives
    largest(number)          the largest of the numbers that the processes give
    gather(value)            a list of the values that the processes give, by rank

All processes call the last three equally often and in the same order, since each call waits for the others.

A mean over rows is then that of one process, up to rounding. What mixes rows is not: BatchNorm in training has the
statistics of its own process's rows.
"""

import contextlib
import functools
import math
import os
import pickle
import sys
import time
from collections import Counter
from fractions import Fraction

import numpy as np

from tinypredrnn import threads
from tinypredrnn.backend import array_module
from tinypredrnn.errors import ConfigError, say
from tinypredrnn.gpu import collective

# the variables in which launchers tell a process how many they have started, and which it is
LAUNCHERS = (
    ("PMI_SIZE", "PMI_RANK"),  # mpiexec of MPICH, Intel MPI and MS-MPI; srun --mpi=pmi2
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),  # mpiexec of Open MPI
    ("SLURM_STEP_NUM_TASKS", "PMIX_RANK"),  # srun --mpi=pmix
)
PAUSE = 1e-4  # seconds between two looks at whether the others have come
# seconds that a process which has failed, or was stopped by a signal, waits for the others to end as well; a signal
# reaches all, and some may have to save a large checkpoint first
PATIENCE, PATIENCE_FOR_SAVES = 5, 30


class Alone:
    """A single process takes all rows of a batch, so its loss and gradients are already those of the whole batch."""

    rank, size, first, rows = 0, 1, True, slice(None)

    def average(self, arrays, weight=1):
        """Replace each array, in place, by its average over all processes."""

    def largest(self, number):
        """The largest of the numbers that the processes give."""
        return number

    def gather(self, value):
        """The values that the processes give, by rank."""
        return [value]


ALONE = Alone()


@contextlib.contextmanager
def processes():
    """Yield ALONE; or Ranks, if a launcher such as mpiexec has started several processes.

    Within this context only the first process prints. All of them leave it together. If one of them fails while the
    others go on, it ends them, since they would wait for it for ever.

    ConfigError in the first process, and a silent exit of the others, if they cannot reach each other.
    """
    size, rank = launched()
    if size == 1:
        yield ALONE
        return
    try:
        comm = connect(size)
    except ConfigError:
        if rank:
            sys.exit(2)
        raise
    with Ranks(comm) as ranks:
        yield ranks


def launched():
    """(how many processes a launcher has started, which of them this is)"""
    for size, rank in LAUNCHERS:
        if os.environ.get(size, "").isdecimal() and os.environ.get(rank, "").isdecimal():
            return int(os.environ[size]), int(os.environ[rank])
    return 1, 0


def connect(size):
    """MPI's communicator of all `size` processes. ConfigError if there is no MPI, or not the launcher's."""
    instead = "or start one process, without mpiexec or srun"
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the second if it finds no MPI
        missing = isinstance(error, ModuleNotFoundError)
        reason = "is not installed" if missing else f"does not work ({' '.join(str(error).split())})"
        raise ConfigError(f"{size} processes were started to train together, and mpi4py, by which they reach each "
                          f"other, {reason}: pip install mpi4py mpich, {instead}") from error
    if MPI.COMM_WORLD.size != size:
        library = " ".join(MPI.Get_library_version().split("\n")[0].strip("\0").split())
        raise ConfigError(f"{size} processes were started to train together, but the MPI that mpi4py uses ({library}) "
                          f"knows {MPI.COMM_WORLD.size}: start them with the mpiexec of that MPI, {instead}")
    return MPI.COMM_WORLD


class Ranks:
    """One of several processes; `comm` is the communicator of mpi4py that connects them.

    The cores and GPUs of a machine are divided among its processes: each computes with as many threads as it then has
    cores, and sees one GPU.
    """

    def __init__(self, comm):
        self.comm, self.rank, self.size = comm, comm.rank, comm.size
        self.first, self.rows = self.rank == 0, slice(self.rank, None, self.size)
        self.farewell = comm.Dup()  # apart, since those who wait for each other may still be waiting in `comm`
        here = comm.Split_type(split_type())  # the processes of this machine
        threads.use(cores_of_one(here.allgather(threads.bound_cores()), here.rank, threads.CORES))
        # before CuPy is imported; if there are fewer GPUs than processes, CuPy will say that it finds none
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of_one(os.environ.get("CUDA_VISIBLE_DEVICES"), here.rank)

    def average(self, arrays, weight=1):
        """Replace each array, in place, by its average over all processes: one sum of one flat array."""
        xp = array_module(*arrays)
        one = xp.ones(1, arrays[0].dtype)
        flat = weight * xp.concatenate([*(a.ravel() for a in arrays), one])
        self.add_up(flat)
        flat /= flat[-1:].copy()
        start = 0
        for a in arrays:
            a[...] = flat[start:start + a.size].reshape(a.shape)
            start += a.size

    def add_up(self, flat):
        """Replace an array by the sum over all processes. All get the same bits, whatever their number."""
        if array_module(flat) is np:
            from mpi4py import MPI

            self.wait(self.comm.Ibarrier())  # Allreduce would wait for the last one with all of a core
            self.comm.Allreduce(MPI.IN_PLACE, flat)
        else:
            self.nccl.all_reduce(flat, flat)

    @functools.cached_property
    def nccl(self):
        """The connection of the processes' GPUs."""
        return collective.connect(self.size, self.rank)

    def largest(self, number):
        """The largest of the numbers that the processes give."""
        from mpi4py import MPI

        found = np.array([number], float)
        self.wait(self.comm.Iallreduce(MPI.IN_PLACE, found, MPI.MAX))
        return type(number)(found[0])

    def gather(self, value):
        """The values that the processes give, by rank."""
        sent, sizes = pickle.dumps(value), np.empty(self.size, np.int64)
        self.wait(self.comm.Iallgather(np.array([len(sent)]), sizes))
        ends = np.cumsum(sizes)
        received = np.empty(ends[-1], np.uint8)
        self.wait(self.comm.Iallgatherv(np.frombuffer(sent, np.uint8), (received, (sizes, ends - sizes))))
        return [pickle.loads(received[end - size:end]) for size, end in zip(sizes, ends)]

    def wait(self, request, seconds=math.inf):
        """Whether a request is fulfilled within so many seconds. MPI's own way to wait would take all of a core, and
        let no signal handler run."""
        deadline = time.monotonic() + seconds
        while not request.Test():
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE)
        return True

    def __enter__(self):
        self.streams = sys.stdout, sys.stderr
        if not self.first:
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")
        print(f"{self.size} processes share the work; this one, the first, computes with {threads.THREADS} thread(s)")
        return self

    def __exit__(self, kind, error, traceback):
        failed = np.zeros(self.size, bool)
        stopped = isinstance(error, (SystemExit, KeyboardInterrupt))
        patience = math.inf if error is None else PATIENCE_FOR_SAVES if stopped else PATIENCE
        together = self.wait(self.farewell.Iallgather(np.array([error is not None]), failed), patience)
        if error is not None and not (together and failed[:self.rank].any()):  # if all fail, one of them says why
            sys.stdout, sys.stderr = self.streams
        if not together:
            import atexit

            from mpi4py import MPI

            why = ", since it was stopped" if stopped else ", because:"
            say(f"rank {self.rank} of {self.size} processes, on {MPI.Get_processor_name()}, ends the others{why}")
            status = error.code if isinstance(error, SystemExit) and error.code else 130 if stopped else 2
            atexit.register(self.comm.Abort, status)  # when the error has been reported


def split_type():
    from mpi4py import MPI

    return MPI.COMM_TYPE_SHARED


def cores_of_one(bound, rank, cores):
    """How many of its `cores` a process may use, at least 1, if the processes of its machine are bound to these sets of
    cores: those to which several are bound are divided among them."""
    users = Counter(core for own in bound for core in own)
    share = sum(Fraction(1, users[core]) for core in bound[rank]) / len(bound[rank])
    return max(1, int(cores * share))


def gpu_of_one(visible, rank):
    """CUDA_VISIBLE_DEVICES for process `rank` of a machine, if it was `visible` for all; None: all GPUs are. If it
    names a single one, or none, a launcher or the user has decided already."""
    if visible is None:
        return str(rank)
    names = visible.split(",")
    return visible if len(names) == 1 else names[rank] if rank < len(names) else ""


def interleaved(parts):
    """The array of which rows 0, n, 2n, ... are the first of n parts, rows 1, n + 1, ... the second, and so on."""
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    for rank, part in enumerate(parts):
        whole[rank::len(parts)] = part
    return whole
