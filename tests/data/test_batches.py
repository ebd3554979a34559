"""Prefetch: the same items in the same order as plain calls, and no thread that outlives its use."""

import gc
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tinypredrnn.data.batches import Prefetch
from tinypredrnn.errors import ConfigError

LONG = 600  # seconds: the end of a test that hangs, never of one on a busy machine


def random_batch(k):
    return np.random.default_rng([7, k]).random((2, 3))


def take(batches, count):
    return [next(batches) for _ in range(count)]


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def wait_for(condition):
    end = time.monotonic() + LONG
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


@pytest.mark.parametrize("start, ahead", [(0, 1), (0, 4), (5, 3)])
def test_items_are_those_of_direct_calls_in_order(start, ahead):
    with Prefetch(random_batch, start=start, ahead=ahead) as batches:
        np.testing.assert_array_equal(take(batches, 12), [random_batch(start + i) for i in range(12)])


def test_resuming_at_k_gives_the_rest_of_the_run():
    with Prefetch(random_batch) as run, Prefetch(random_batch, start=6) as resumed:
        np.testing.assert_array_equal(take(run, 10)[6:], take(resumed, 4))


def test_it_works_ahead_in_one_other_thread():
    names = []

    def make(k):
        names.append(threading.current_thread().name)
        time.sleep(0.005)  # long enough for a second thread to take the next item, if there were one
        return k

    with Prefetch(make, ahead=3) as batches:
        assert wait_for(lambda: len(names) == 3)  # before anything was asked for
        take(batches, 5)
    assert len(set(names)) == 1 and names[0] != threading.current_thread().name


def test_at_most_ahead_items_are_ready():
    made = []

    def make(k):
        made.append(k)
        return k

    with Prefetch(make, ahead=3) as batches:
        for taken in range(1, 6):
            assert next(batches) == taken - 1
            assert wait_for(lambda: len(made) == taken + 3)  # noqa: B023 (called at once)
            time.sleep(0.01)
            assert made == list(range(taken + 3))


def test_an_exception_comes_at_its_place_and_comes_again():
    def make(k):
        if k == 2:
            raise OSError("item 2 is broken")
        return k

    with Prefetch(make) as batches:
        assert take(batches, 2) == [0, 1]
        for _ in range(2):
            with pytest.raises(OSError, match="item 2 is broken"):
                next(batches)
    assert not prefetch_threads()


def test_an_interrupted_wait_loses_nothing(monkeypatch):
    with Prefetch(lambda k: k) as batches:
        assert next(batches) == 0
        with monkeypatch.context() as patch:
            patch.setattr("concurrent.futures.Future.result", lambda future: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                next(batches)
        assert next(batches) == 1


def test_close_gives_up_what_is_ready_and_ends_thread_and_iteration(monkeypatch):
    made, given_up, shutdown = [], threading.Event(), ThreadPoolExecutor.shutdown

    def make(k):
        assert k == 0 or given_up.wait(LONG)
        made.append(k)

    def watched(pool, wait, cancel_futures):
        shutdown(pool, wait=False, cancel_futures=cancel_futures)
        given_up.set()
        shutdown(pool, wait)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", watched)
    batches = Prefetch(make, ahead=100)
    next(batches)
    batches.close()
    assert not prefetch_threads()
    # and not all 101: at most one more, which the thread had taken; any of them, if it came while the others were cancelled
    assert made[0] == 0 and len(made) <= 2
    assert list(batches) == []
    batches.close()  # a second time does no harm


def test_leaving_the_block_by_an_exception_ends_the_thread():
    with pytest.raises(KeyboardInterrupt), Prefetch(random_batch) as batches:
        next(batches)
        raise KeyboardInterrupt
    assert not prefetch_threads()


def test_the_thread_of_a_dropped_iterator_ends():
    batches = Prefetch(random_batch, ahead=2)
    next(batches)
    assert prefetch_threads()
    del batches
    gc.collect()
    assert wait_for(lambda: not prefetch_threads())


def test_a_consumer_may_be_slow_or_fast():
    def uneven(k):
        time.sleep(0.003 * (k % 3))
        return k

    with Prefetch(uneven, ahead=2) as batches:
        for expected in range(12):
            assert next(batches) == expected
            time.sleep(0.003 * (expected % 2))


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(0)", "del batches"])
def test_a_program_that_stops_early_exits(ending):
    program = f"""
import time
from tinypredrnn.data.batches import Prefetch
batches = Prefetch(lambda k: time.sleep(0.02) or k, ahead=4)
assert [next(batches), next(batches)] == [0, 1]
{ending}
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=LONG)


def test_nothing_ahead_is_refused():
    with pytest.raises(ConfigError, match="got ahead=0"):
        Prefetch(random_batch, ahead=0)
