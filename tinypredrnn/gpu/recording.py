"""Work on a GPU, written down once as a CUDA graph and from then on replayed.

A training step launches thousands of kernels, most of them shorter than the 10 to 20 microseconds that Python takes to launch one: the
GPU would wait for Python. A graph launches all of them at once. What it replays are the very launches, on the very addresses.
"""

import contextlib


class Recording:
    """Calls of work(): the first one is computed as usual, the second one recorded, and it and all others are replays.

    `work` keeps to three rules. Inputs, results and whatever it changes are arrays that stay where they are. It asks nothing of the GPU
    (float(x), `if x:`, x.get()) and sends nothing there, for while it is recorded nothing happens; CuPy refuses that. It multiplies no
    matrices through cuBLAS, which CuPy refuses, too.

    pool     the memory of everything that work() allocates: no one else is ever given it, as a graph does not know whom it overwrites
    stream   everything happens in it; fill inputs and read results within `with recording:`
    """

    def __init__(self, work, device):
        import cupy

        self.work, self.device = work, cupy.cuda.Device(int(device[4:]))
        self.contexts = contextlib.ExitStack()
        with self.device:
            self.stream = cupy.cuda.Stream(non_blocking=True)  # the null stream cannot be recorded, and a blocking one would wait for it
            self.pool = cupy.cuda.MemoryPool()
        self.forget()

    def __enter__(self):
        self.contexts.enter_context(self.device)
        self.contexts.enter_context(self.stream)

    def __exit__(self, *error):
        self.contexts.close()

    def forget(self):
        """Begin anew with the next call: an array has another address or another shape now."""
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
