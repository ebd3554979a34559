"""The pool: every part of the work is done once, errors and signals come through, BLAS has its threads back afterwards."""

import os
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest

from tinypredrnn import cgroups, threads
from tinypredrnn.threads import POOL, WORTH_WAKING, count_threads, scratch, share, shared_matmul, usable_cores

ROOT = Path(__file__).parents[1]
LONG = 600  # seconds: the end of a test that hangs, never of one on a busy machine


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(threads, "THREADS", 3)


class Three:
    """Sees to it that each of three threads takes one part: nobody goes on before all of them have begun."""

    def __init__(self):
        self.caller, self.begun, self.go = threading.get_ident(), threading.Semaphore(0), threading.Event()

    def is_caller(self):
        if threading.get_ident() != self.caller:
            self.begun.release()
            assert self.go.wait(LONG)
            return False
        assert self.begun.acquire(timeout=LONG) and self.begun.acquire(timeout=LONG)
        self.go.set()
        return True


# the work

@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
def test_the_parts_are_the_whole(count):
    done = []
    share(lambda first, last: done.extend(range(first, last)), count)
    assert sorted(done) == list(range(count))


def test_little_work_stays_in_one_thread():
    parts = []
    share(lambda first, last: parts.append((first, last, threading.get_ident())), 10, multiplications=2 * WORTH_WAKING - 1)
    assert parts == [(0, 10, threading.get_ident())]


def test_no_part_is_too_little_to_wake_a_thread_for():
    for times in 1, 2, 3, 4:
        parts = []
        share(lambda first, last, parts=parts: parts.append(first), 9, multiplications=times * WORTH_WAKING)
        assert len(parts) == min(times, 3)


def test_an_error_in_another_thread_is_raised_here():
    three = Three()

    def work(first, last):
        if not three.is_caller():
            raise ValueError("of another thread")

    with pytest.raises(ValueError, match="of another thread"):
        share(work, 10)
    assert blas_threads() == BEFORE


def test_an_error_here_waits_for_the_other_threads():
    done, three = [], Three()

    def work(first, last):
        if three.is_caller():
            raise ValueError("of this thread")
        np.ones((300, 300)) @ np.ones((300, 300))  # lets the caller go on, if nothing holds it
        done.append(first)

    with pytest.raises(ValueError, match="of this thread"):
        share(work, 3)
    assert len(done) == 2


def test_after_an_error_here_no_other_part_begins(monkeypatch):
    monkeypatch.setattr(POOL, "workers", [threads.Worker(), threads.Worker()])  # without threads
    done = []

    def work(first, last):
        done.append(first)
        raise ValueError(f"from {first}")

    with pytest.raises(ValueError, match="from 0"):
        share(work, 3)
    assert done == [0]


def test_nobody_waits_for_a_thread_that_does_not_come(monkeypatch):
    monkeypatch.setattr(POOL, "workers", [threads.Worker(), threads.Worker()])  # without threads
    test_the_parts_are_the_whole(100)


def test_what_a_late_thread_still_has_to_look_at_keeps_no_memory(monkeypatch):
    monkeypatch.setattr(POOL, "workers", [threads.Worker(), threads.Worker()])  # without threads
    array = np.zeros(3)
    gone = weakref.ref(array)
    share(lambda first, last, array=array: None, 3)
    del array
    assert gone() is None and not POOL.workers[0].queue.empty()


def test_after_an_error_the_pool_goes_on():
    def work(first, last):
        raise ValueError(f"from {first}")

    for _ in range(3):
        with pytest.raises(ValueError, match="from"):
            share(work, 3)
    test_the_parts_are_the_whole(7)


def test_work_within_work_is_done_where_it_is_called():
    inner, three = [], Three()

    def work(first, last):
        three.is_caller()
        share(lambda first, last: inner.append((first, last, threading.get_ident())), 6)

    share(work, 3)
    assert [part[:2] for part in inner] == [(0, 6)] * 3 and len({part[2] for part in inner}) == 3


def test_two_callers_at_once_both_get_their_work_done():
    done, together = [], threading.Barrier(2)

    def caller(name):
        together.wait()
        for n in range(50):
            share(lambda first, last, n=n: done.extend((name, n, k) for k in range(first, last)), 10)

    callers = [threading.Thread(target=caller, args=(name,)) for name in "ab"]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert sorted(done) == [(name, n, k) for name in "ab" for n in range(50) for k in range(10)]


# signals

@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_an_interrupt_waits_for_the_other_threads():
    """Ctrl-C, again and again, while this thread waits for the others: they end their work first, and the pool is whole afterwards."""
    done, main, three = [], threading.main_thread().ident, Three()

    def work(first, last):
        if three.is_caller():
            return
        for _ in range(20):
            signal.pthread_kill(main, signal.SIGUSR1)
            np.ones((100, 100)) @ np.ones((100, 100))
        done.append(first)

    with handler_of(signal.SIGUSR1, raise_within_share), pytest.raises(KeyboardInterrupt):
        share(work, 3)
    assert len(done) == 2 and not POOL.lock.locked()
    test_the_parts_are_the_whole(7)


class handler_of:
    def __init__(self, number, handler):
        self.number, self.handler = number, handler

    def __enter__(self):
        self.before = signal.signal(self.number, self.handler)

    def __exit__(self, *error):
        signal.signal(self.number, self.before)


def raise_within_share(number, frame):
    """As Ctrl-C's handler does, but only where share is to stand it, and not what tests it."""
    while frame is not None:
        if frame.f_code is share.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_no_moment_is_wrong_for_a_signal():
    """As `verify_safety.py signals`, but short."""
    words = [sys.executable, ROOT / "examples" / "verify_safety.py", "signals", "--times", "2000"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LONG, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that forking a process with threads is risky is what this is about
def test_a_forked_process_makes_its_own_pool():
    share(lambda first, last: None, 3)
    if (child := os.fork()) == 0:
        try:
            signal.alarm(LONG)  # ends it, should it wait for its parent's threads
            share(lambda first, last: None, 3)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


# BLAS

def blas_threads():
    return [library.get_num_threads() for library in threads.blas()]


BEFORE = blas_threads()


def test_blas_uses_one_thread_within_and_as_many_as_before_after():
    seen = []

    def work(first, last):
        share(lambda first, last: None, 3, with_blas=True)  # which may end last
        seen.append(blas_threads())

    for multiplications, times in (3 * WORTH_WAKING, 3), (1, 1):
        seen.clear()
        share(work, 3, multiplications, with_blas=True)
        assert seen == [[1] * len(BEFORE)] * times
        assert blas_threads() == BEFORE


def test_blas_has_its_threads_back_after_an_error():
    def work(first, last):
        raise ValueError

    with pytest.raises(ValueError):
        share(work, 3, with_blas=True)
    assert blas_threads() == BEFORE


def test_the_numbers_of_threads_are_set_by_functions_in_c():
    assert all(hasattr(function, "argtypes") for pair in threads.counters() for function in pair)


def test_a_product_leaves_blas_as_it_was(monkeypatch):
    seen, matmul = [], np.matmul
    monkeypatch.setattr(threads.np, "matmul", lambda *given, **named: seen.append(blas_threads()) or matmul(*given, **named))
    shared_matmul(np.ones((300, 300)), np.ones((300, 300)))
    assert seen and all(numbers == [1] * len(BEFORE) for numbers in seen)
    assert blas_threads() == BEFORE


@pytest.mark.parametrize(("n", "k", "m"), [(1, 1, 1), (3, 5, 2), (300, 300, 300), (2, 3000, 3000)])
def test_product_is_the_matrix_product(n, k, m):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((n, k)), rng.standard_normal((k, m))
    np.testing.assert_allclose(shared_matmul(a, b), a @ b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(shared_matmul(b.T, a.T), (a @ b).T, rtol=1e-12, atol=1e-12)


# how many threads

FOUR = {f"cpu{n}" for n in range(4)}  # what the process is bound to
V1 = "4:memory:/x\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/"
CGROUPS = {
    "none": ({}, 4),
    "version 2": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "100000 100000"}, 1),
    "version 2 without a limit": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 4),
    "one around it": ({"proc/self/cgroup": "0::/user/job", "sys/fs/cgroup/user/cpu.max": "200000 100000",
                       "sys/fs/cgroup/user/job/cpu.max": "300000 100000"}, 2),
    "more than there are": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "6400000 100000"}, 4),
    "half a core": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
    "one and a little": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "120000 100000"}, 1),
    "one and a half": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
    "version 1": ({"proc/self/cgroup": V1, "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "200000",
                   "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000"}, 2),
    "version 1 within a container": ({"proc/self/cgroup": V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000",
                                      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000"}, 2),
    "version 1 without a limit": ({"proc/self/cgroup": V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                                   "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 4),
    "both versions": ({"proc/self/cgroup": "1:cpu:/\n0::/", "sys/fs/cgroup/unified/cpu.max": "300000 100000"}, 3),
    "nonsense": ({"proc/self/cgroup": "what\n0::", "sys/fs/cgroup/cpu.max": "a b\0"}, 4),
    "no period": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "100000 0"}, 4),
}


@pytest.mark.parametrize("case", CGROUPS)
def test_a_quota_lowers_the_number_of_threads(tmp_path, monkeypatch, case):
    files, expected = CGROUPS[case]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: FOUR, raising=False)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    assert usable_cores() == expected


@pytest.mark.parametrize("asks", ["process_cpu_count", "cpu_count"])
def test_where_a_process_is_not_bound_to_cores(tmp_path, monkeypatch, asks):
    for name in ("sched_getaffinity", "process_cpu_count"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(os, asks, lambda: 6, raising=False)
    assert usable_cores() == 6
    monkeypatch.setattr(os, asks, lambda: None, raising=False)
    assert usable_cores() == 1


@pytest.mark.parametrize(("asked", "expected"), [(None, 4), ("", 4), (" ", 4), ("3", 3), ("9", 4), ("2,4", 2), (" 2 , 4", 2), ("1", 1)])
@pytest.mark.filterwarnings("error")
def test_the_environment_lowers_it_too(asked, expected):
    assert count_threads(4, asked) == expected


@pytest.mark.parametrize("asked", ["abc", "0", "-1", "1.5", ",2", "²", "0x2"])
def test_nonsense_in_the_environment_is_said_and_left_aside(asked):
    with pytest.warns(RuntimeWarning, match="OMP_NUM_THREADS is .*, expected a whole number above 0"):
        assert count_threads(4, asked) == 4


def test_the_import_survives_nonsense_in_the_environment():
    program = "import tinypredrnn.threads as t; print(t.THREADS == t.CORES)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "abc", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    assert done.stdout.strip() == "True" and "OMP_NUM_THREADS is 'abc'" in done.stderr and "Traceback" not in done.stderr


# memory

def test_scratch_is_kept_by_name_and_thread():
    a = scratch("test a", (4, 5), np.float32)
    assert np.shares_memory(a, scratch("test a", (2, 5), np.float32)) and not np.shares_memory(a, scratch("test b", (4, 5), np.float32))
    assert scratch("test a", (3, 4, 5), np.float64).shape == (3, 4, 5)
    others = []
    thread = threading.Thread(target=lambda: others.append(scratch("test a", (4, 5), np.float32)))
    thread.start()
    thread.join()
    assert not np.shares_memory(a, others[0])


def test_every_part_is_computed_in_the_callers_context():
    """Such as np.errstate, which belongs to a context: a thread of its own would warn, or would not raise."""
    large, many = np.full((12, 4), 1e30, np.float32), np.full((4, 5), 1e30, np.float32)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        assert np.isinf(threads.shared_matmul(large, many)).all()
    seen = []
    with np.errstate(over="raise"):
        threads.share(lambda first, last: seen.append(np.geterr()["over"]), 6)
    assert seen and set(seen) == {"raise"}


def test_fewer_cores_mean_fewer_threads_of_blas_as_well(monkeypatch):
    """A process that shares its machine with others must not have more: Muon, for one, calls BLAS directly."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "CORES", threads.CORES)
    monkeypatch.setattr(threads, "THREADS", threads.THREADS)
    before = [library.get_num_threads() for library in threads.blas()]
    try:
        threads.use(1)
        assert threads.THREADS == threads.CORES == 1 and all(library.get_num_threads() == 1 for library in threads.blas())
    finally:
        for library, number in zip(threads.blas(), before):
            library.set_num_threads(number)
