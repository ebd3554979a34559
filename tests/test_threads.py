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
    share(lambda first, last: seen.append(blas_threads()), 3)
    assert seen == [[1] * len(BEFORE)] * 3
    with SINGLE_THREADED_BLAS:
        share(lambda first, last: None, 3)
        assert blas_threads() == [1] * len(BEFORE)
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
