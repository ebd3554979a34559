"""Batches prepared ahead: while the model learns from one, a thread makes the next.

Python lets one thread run at a time, but NumPy and our kernels step aside while they compute, so one thread hides the work.
"""

import itertools
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from tinypredrnn.errors import ConfigError


class Prefetch:
    """Iterates over make(start), make(start + 1), ... without end; a thread works ahead and keeps at most `ahead` of them ready.

    Use it in a `with` statement, or call `close`: that gives up what is ready, waits for the `make` that may be running, and
    ends the iteration. The thread of an iterator that is dropped unclosed ends by itself; one still open when Python exits
    ends after the `ahead` items it was asked for. What `make(k)` raises is raised here when item k's turn comes, and again if
    asked again: no item is ever skipped. ConfigError where `ahead` is less than 1.
    """

    def __init__(self, make, start=0, ahead=4):
        if ahead < 1:
            raise ConfigError(f"expected at least 1 item to be made ahead, got ahead={ahead}; ask for 1 or more.")
        self._make, self._numbers = make, itertools.count(start)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")
        weakref.finalize(self, self._worker.shutdown, wait=False, cancel_futures=True)  # for an iterator that nobody closes
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
        item = self._row[0].result()  # where this raises (an error of make, or Ctrl-C), the item keeps its place
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
