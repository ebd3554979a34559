"""Batches prepared in advance: while the model learns from one, a thread makes the next.

Only one thread at a time can run Python code, but NumPy and our kernels release the lock while they compute, so one
thread is enough to hide the work.
"""

import itertools
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from tinypredrnn.errors import ConfigError


class Prefetch:
    """Iterates over make(start), make(start + 1), ... without end; a thread keeps at most `ahead` of them ready.

    Use it in a `with` statement, or call `close`: this discards the items that are ready, waits for a `make` that is
    still running, and ends the iteration. If an iterator is deleted without being closed, its thread ends by itself; if
    it is still open when Python exits, the thread ends after the `ahead` items that were ordered. An exception of
    `make(k)` is raised when item k is requested, and again at each later request: no item is ever skipped. ConfigError
    if `ahead` is less than 1.
    """

    def __init__(self, make, start=0, ahead=4):
        if ahead < 1:
            raise ConfigError(f"expected at least 1 item to be made ahead, got ahead={ahead}; ask for 1 or more.")
        self._make, self._numbers = make, itertools.count(start)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")
        weakref.finalize(self, self._worker.shutdown, wait=False, cancel_futures=True)  # if nobody closes this iterator
        self._row = deque()  # of futures, the next item first
        for _ in range(ahead):
            self._order_one()

    def _order_one(self):
        self._row.append(self._worker.submit(self._make, next(self._numbers)))

    def __iter__(self):
        return self

    def __next__(self):
        if not self._row:  # closed
            raise StopIteration
        item = self._row[0].result()  # if this raises (an error of make, or Ctrl-C), the item keeps its place
        self._row.popleft()
        self._order_one()
        return item

    def close(self):
        self._row.clear()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
