"""A whole training step as one CUDA graph: forward, loss, backward, clipping, Adam.

What differs from one step to the next lies in arrays that the graph reads: the frames, which of them the network sees (scheduled
sampling), and the factors of Adam's step. Whether loss and gradient are numbers is decided on the GPU, weight by weight.
"""

import numpy as np

from tinypredrnn.autograd import fuse, sqrt, tensor, where
from tinypredrnn.backend import array_module, to_device, to_numpy


def adam_of(optimiser):
    """Adam's step (optim.py) as one kernel. `step` and `unbias` are its factors, `scale` clips the gradient; without `fine`, nothing
    changes."""
    (beta1, beta2), eps = optimiser.betas, optimiser.eps

    @fuse
    def adam(p, m, v, g, step, unbias, scale, fine):
        g = g * scale
        m_next = beta1 * m + (1 - beta1) * g
        v_next = beta2 * v + (1 - beta2) * g * g
        p_next = p - step * m_next / (sqrt(v_next) * unbias + eps)
        return where(fine > 0, p_next, p), where(fine > 0, m_next, m), where(fine > 0, v_next, v)

    return adam


class CapturedStep:
    """step(frames, truth, rate) -> (loss, length of the gradient before clipping), computed by replays of a graph.

    differentiate   (frames Tensor, truth array) -> the loss Tensor; leaves gradients in the optimiser's parameters
    optimiser       Adam; its parameters and moments change, unless loss or length is no finite number
    clip            the largest length of the gradient
    """

    def __init__(self, differentiate, optimiser, clip, device):
        from tinypredrnn.gpu.recording import Recording

        self.differentiate, self.optimiser, self.clip, self.device = differentiate, optimiser, clip, device
        self.adam, self.recording = adam_of(optimiser), Recording(self.compute, device)
        self.buffers, self.recorded = {}, []

    def __call__(self, frames, truth, rate):
        factors = np.array(self.optimiser.factors(rate, self.optimiser.t + 1), np.float32)
        with self.recording:
            if not self.buffers:
                self.fill("results", np.zeros(2, np.float32))
            for name, values in ("frames", frames), ("truth", truth), ("factors", factors):
                self.fill(name, values)
            arrays = [*self.buffers.values(), *(p.data for p in self.optimiser.parameters), *self.optimiser.m, *self.optimiser.v]
            if len(arrays) != len(self.recorded) or any(a is not b for a, b in zip(arrays, self.recorded)):
                self.recording.forget()  # a checkpoint was loaded, say
            self.recorded = arrays
            self.recording()
            loss, slope = map(float, to_numpy(self.buffers["results"]))  # waits for the GPU
        if np.isfinite(loss + slope):
            self.optimiser.t += 1
        return loss, slope

    def fill(self, name, values):
        """Put values, NumPy's or the GPU's, into the array that the graph reads; a new one where the shape is new."""
        buffer = self.buffers.get(name)
        if buffer is None or buffer.shape != values.shape:
            self.buffers[name] = to_device(values, self.device).copy()
        elif array_module(values) is np:
            buffer.set(values)
        else:
            buffer[...] = values

    def compute(self):
        """The work that is recorded: nothing in it asks the GPU for a value."""
        results, frames, truth, factors = self.buffers.values()
        xp = array_module(frames)
        loss = self.differentiate(tensor(frames), truth).data
        trained = [pmv for pmv in zip(self.optimiser.parameters, self.optimiser.m, self.optimiser.v) if pmv[0].grad is not None]
        slope = xp.sqrt(sum((p.grad * p.grad).sum() for p, _, _ in trained))
        fine, scale = xp.isfinite(loss + slope), xp.minimum(self.clip / slope, 1)
        for p, m, v in trained:
            self.adam.kernels[0](p.data, m, v, p.grad, factors[0], factors[1], scale, fine, into=[p.data, m, v])
        results[0], results[1] = loss, slope
