"""The pool: every part of the work is done once, errors come through, BLAS has its threads back afterwards."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from tinypredrnn import threads
from tinypredrnn.threads import SINGLE_THREADED_BLAS, WORTH_SHARING, product, scratch, share


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(threads, "THREADS", 3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
def test_the_parts_are_the_whole(count):
    done = []
    share(lambda first, last: done.extend(range(first, last)), count)
    assert sorted(done) == list(range(count))


def test_little_work_stays_in_one_thread():
    parts = []
    share(lambda first, last: parts.append((first, last, threading.get_ident())), 10, multiplications=WORTH_SHARING - 1)
    assert parts == [(0, 10, threading.get_ident())]


def test_an_error_in_another_thread_is_raised_here():
    def work(first, last):
        if first > 0:
            raise ValueError("of another thread")

    with pytest.raises(ValueError, match="of another thread"):
        share(work, 10)
    assert blas_threads() == BEFORE


def test_an_error_here_waits_for_the_other_threads():
    done = []

    def work(first, last):
        if first == 0:
            raise ValueError("of this thread")
        time.sleep(0.05)
        done.append(first)

    with pytest.raises(ValueError, match="of this thread"):
        share(work, 3)
    assert sorted(done) == [1, 2]


def test_after_an_error_the_pool_goes_on():
    def work(first, last):
        raise ValueError(f"from {first}")

    for _ in range(3):
        with pytest.raises(ValueError, match="from 0"):
            share(work, 3)
    test_the_parts_are_the_whole(7)


def test_work_within_work_is_done_where_it_is_called():
    inner = []

    def work(first, last):
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


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_an_interrupt_waits_for_the_other_threads():
    """Ctrl-C while this thread waits for the others: they end their work first, and the pool is whole afterwards."""
    done, main = [], threading.main_thread().ident

    def work(first, last):
        if first > 0:
            time.sleep(0.1)
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.1)
            done.append(first)

    with pytest.raises(KeyboardInterrupt):
        share(work, 3)
        time.sleep(1)  # the second signal may come after the work
    assert sorted(done) == [1, 2]
    test_the_parts_are_the_whole(7)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that forking a process with threads is risky is what this is about
def test_a_forked_process_makes_its_own_pool():
    share(lambda first, last: None, 3)
    if (child := os.fork()) == 0:
        try:
            signal.alarm(10)  # ends it, should it wait for its parent's threads
            share(lambda first, last: None, 3)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def blas_threads():
    return [library.get_num_threads() for library in threads.blas()]


BEFORE = blas_threads()


def test_blas_uses_one_thread_within_and_as_many_as_before_after():
    seen = []
    with SINGLE_THREADED_BLAS:
        share(lambda first, last: seen.append(blas_threads()), 3)
        with SINGLE_THREADED_BLAS:
            pass
        assert blas_threads() == [1] * len(BEFORE)
    assert seen == [[1] * len(BEFORE)] * 3
    assert blas_threads() == BEFORE


def test_blas_has_its_threads_back_after_work_that_asks_for_one_in_another_thread():
    """Which may end last, and from where OpenBLAS does not listen."""
    def work(first, last):
        with SINGLE_THREADED_BLAS:
            time.sleep(0.02 if first else 0.01)

    for _ in range(3):
        share(work, 3)
        assert blas_threads() == BEFORE


def test_a_product_leaves_blas_as_it_was(monkeypatch):
    seen, matmul = [], np.matmul
    monkeypatch.setattr(threads.np, "matmul", lambda *given, **named: seen.append(blas_threads()) or matmul(*given, **named))
    product(np.ones((300, 300)), np.ones((300, 300)))
    assert seen and all(numbers == [1] * len(BEFORE) for numbers in seen)
    assert blas_threads() == BEFORE


@pytest.mark.parametrize(("n", "k", "m"), [(1, 1, 1), (3, 5, 2), (300, 300, 300), (2, 3000, 3000)])
def test_product_is_the_matrix_product(n, k, m):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((n, k)), rng.standard_normal((k, m))
    np.testing.assert_allclose(product(a, b), a @ b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(product(b.T, a.T), (a @ b).T, rtol=1e-12, atol=1e-12)


def test_scratch_is_kept_by_name_and_thread():
    a = scratch("test a", (4, 5), np.float32)
    assert np.shares_memory(a, scratch("test a", (2, 5), np.float32)) and not np.shares_memory(a, scratch("test b", (4, 5), np.float32))
    assert scratch("test a", (3, 4, 5), np.float64).shape == (3, 4, 5)
    others = []
    thread = threading.Thread(target=lambda: others.append(scratch("test a", (4, 5), np.float32)))
    thread.start()
    thread.join()
    assert not np.shares_memory(a, others[0])
