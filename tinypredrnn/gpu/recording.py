"""Record work on a GPU once as a CUDA graph, and replay it from then on.

A training step launches thousands of kernels, most of them shorter than the 10 to 20 microseconds that Python takes to
launch one, so the GPU would wait for Python. A graph launches all of them at once. It repeats exactly the same
launches, with the same addresses.
"""

import contextlib


class Recording:
    """Calls of work(): the first call is computed as usual; the second is recorded; it and all later calls are replays.

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
        self.forget()

    def __enter__(self):
        self.contexts.enter_context(self.device)
        self.contexts.enter_context(self.stream)

    def __exit__(self, *error):
        self.contexts.close()

    def forget(self):
        """Record again from the next call on, because an array has another address or shape now."""
        self.graph, self.compiled = None, False

    def __call__(self):
        """One call of work(); returns before the GPU is done with it."""
        if self.graph:
            self.graph.launch(self.stream)
            return
        import cupy

        self.device.synchronize()  # other streams may still be writing to what work() reads
        with cupy.cuda.using_allocator(self.pool.malloc):
            if not self.compiled:
                self.work()  # compiles and loads every kernel, which must not happen while recording
                self.compiled = True
                return
            self.stream.begin_capture()
            try:
                self.work()
            except BaseException:
                with contextlib.suppress(RuntimeError):  # the capture may be invalid already
                    self.stream.end_capture()
                raise
            self.graph = self.stream.end_capture()
        self.graph.launch(self.stream)
