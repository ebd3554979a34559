"""Record work on a GPU once as a CUDA graph, and replay it from then on.

A training step launches thousands of kernels, most of them shorter than the 10 to 20 microseconds that Python takes to
launch one, so the GPU would wait for Python. A graph launches all of them at once. It repeats exactly the same
launches, with the same addresses.
"""

import contextlib

from tinypredrnn.backend import array_module, to_numpy
from tinypredrnn.gpu.ladder import capturing, recorded_step, require_agreement

COMPARED = 2  # so many replays are compared with launches of work(): the second has other inputs than the recording
MAX_DIFFERENCE = 1e-3  # how far they may be apart, relative to what work() changed; they should be the same bits


class Recording:
    """Calls of work(): the first call is computed as usual; the second is recorded; it and all later calls are replays.

    The first replays are compared with work() launched op by op. If recording or replaying fails, or if numbers differ,
    all calls are launched op by op from then on (ladder.py).

    `work` must follow three rules. Its inputs, its results and everything it changes are arrays that keep their
    addresses. It reads nothing from the GPU (float(x), `if x:`, x.get()) and sends nothing to it, because nothing is
    computed during the recording; CuPy refuses this. It does not use cuBLAS, which CuPy refuses, too.

    pool     the memory of everything that work() allocates. It is used for nothing else, since the replayed graph
             overwrites it
    stream   in which everything happens; fill inputs and read results within `with recording:`
    """

    def __init__(self, work, device):
        import cupy

        self.work, self.device = work, cupy.cuda.Device(int(device[4:]))
        self.contexts = contextlib.ExitStack()
        with self.device:
            # the null stream cannot be recorded, and a blocking stream would wait for the null stream
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self.pool = cupy.cuda.MemoryPool()
        self.rung = recorded_step(device)
        self.forget()

    def __enter__(self):
        self.contexts.enter_context(self.device)
        self.contexts.enter_context(self.stream)

    def __exit__(self, *error):
        self.contexts.close()

    def forget(self):
        """Record again from the next call but one on, because an array has another address or shape now."""
        self.graph, self.warm, self.compared = None, False, 0

    def __call__(self, changed):
        """One call of work(), which changes no arrays but `changed`; returns before the GPU is done with it."""
        if self.warm:
            self.rung(self.replay, self.launch, changed)
        else:
            self.launch()  # compiles, checks and loads every kernel, which must not happen while recording
            self.warm = True

    def launch(self, changed=None):
        """Compute work() op by op."""
        import cupy

        self.device.synchronize()  # other streams may still be writing to what work() reads
        with cupy.cuda.using_allocator(self.pool.malloc):
            self.work()

    def replay(self, changed):
        """Compute work() by its graph, which is recorded first if there is none."""
        self.graph = self.graph or self.record()
        if self.compared < COMPARED:
            self.compare(changed)
            self.compared += 1
        else:
            self.graph.launch(self.stream)

    def record(self):
        import cupy

        self.device.synchronize()
        with cupy.cuda.using_allocator(self.pool.malloc):
            self.stream.begin_capture()
            token = capturing.set(True)
            try:
                self.work()
            except BaseException:
                with contextlib.suppress(RuntimeError):  # the capture may be invalid already
                    self.stream.end_capture()
                raise
            finally:
                capturing.reset(token)
            return self.stream.end_capture()

    def compare(self, changed):
        """Replay after the same work was launched op by op from the same values. WrongResult if the two differ.

        Copies are kept in the CPU's memory, so that the GPU's need not be larger for this. Should anything fail, all
        arrays are as before.
        """
        before = [to_numpy(a) for a in changed]
        try:
            self.launch()
            launched = [to_numpy(a) for a in changed]
            self.restore(changed, before)
            self.graph.launch(self.stream)
            require_agreement([to_numpy(a) for a in changed], launched, before, MAX_DIFFERENCE, "a replay")
        except BaseException:
            self.restore(changed, before)
            raise

    def restore(self, arrays, values):
        for array, value in zip(arrays, values):
            array[...] = array_module(array).asarray(value)
