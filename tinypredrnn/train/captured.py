"""A whole training step as one CUDA graph: forward, loss, backward, clipping, and the optimiser's step.

Whatever changes from step to step is in arrays that the graph reads: the frames, the mask of true frames (scheduled
sampling), and the factors of the optimiser's step. The GPU itself checks that loss and gradient are finite, so that a
bad step leaves all weights unchanged. Segments that backward computes again (`--recompute`) are part of the graph: they
are launched twice in it, and its memory, which serves one segment after the other, is smaller.
"""

import numpy as np

from tinypredrnn.autograd import tensor
from tinypredrnn.backend import array_module, to_device, to_numpy


class CapturedStep:
    """step(frames, truth, rate) -> (loss, gradient norm before clipping), computed by replaying a CUDA graph.

    differentiate   (frames Tensor, truth array) -> the loss Tensor; leaves gradients in the optimiser's parameters
    optimiser       a capturable Optimiser; its arrays change unless the loss or the gradient norm is not finite
    clip            the largest gradient norm
    """

    def __init__(self, differentiate, optimiser, clip, device):
        from tinypredrnn.gpu.recording import Recording

        self.differentiate, self.optimiser, self.clip, self.device = differentiate, optimiser, clip, device
        self.recording = Recording(self.compute, device)
        self.buffers, self.recorded = {}, []

    def __call__(self, frames, truth, rate):
        factors = np.array(self.optimiser.factors(rate, self.optimiser.t + 1), np.float32)
        with self.recording:
            if not self.buffers:
                self.fill("results", np.zeros(2, np.float32))
            for name, values in dict(frames=frames, truth=truth, factors=factors).items():
                self.fill(name, values)
            arrays = [*self.buffers.values(), *self.optimiser.arrays()]
            if len(arrays) != len(self.recorded) or any(a is not b for a, b in zip(arrays, self.recorded)):
                self.recording.forget()  # for example because a checkpoint was loaded
            self.recorded = arrays
            self.recording(arrays)
            loss, gradient_norm = map(float, to_numpy(self.buffers["results"]))  # waits for the GPU
        if np.isfinite(loss + gradient_norm):
            self.optimiser.count_step()
        return loss, gradient_norm

    def fill(self, name, values):
        """Copy values, from the CPU or the GPU, into the array that the graph reads, or into a new one."""
        buffer = self.buffers.get(name)
        if buffer is None or buffer.shape != values.shape:
            self.buffers[name] = to_device(values, self.device).copy()
        elif array_module(values) is np:
            buffer.set(values)
        else:
            buffer[...] = values

    def compute(self):
        """The work that is recorded. Nothing in it may read a value back from the GPU."""
        buffers = self.buffers
        xp = array_module(buffers["frames"])
        loss = self.differentiate(tensor(buffers["frames"]), buffers["truth"]).data
        parameters = [(i, p) for i, p in enumerate(self.optimiser.parameters) if p.grad is not None]
        gradient_norm = xp.sqrt(sum((p.grad * p.grad).sum() for _, p in parameters))
        finite, scale = xp.isfinite(loss + gradient_norm), xp.minimum(self.clip / gradient_norm, 1)
        for i, _ in parameters:
            self.optimiser.move(i, *buffers["factors"], scale=scale, finite=finite)
        buffers["results"][0], buffers["results"][1] = loss, gradient_norm
