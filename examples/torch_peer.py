"""PredRNN in PyTorch, written like the authors' official code: benchmark.py compares with it if PyTorch is installed.

It computes the same as `tp.build_model("predrnn")` (tests/examples/test_benchmark.py) in the way of the official code:
frames (B,C,H,W), one convolution for each input, no biases, +1 in both forget gates, every op separate. benchmark.py
runs this file in its own process; the functions below the network are its tasks, with the same names as in
our_tasks.py.
"""

import sys

# before benchmark, which imports tinypredrnn, which tells OpenMP not to spin: PyTorch should run as it does by itself
import torch
from benchmark import resident, serve
from torch import nn
from torch.nn import functional as F


class SpatioTemporalLSTMCell(nn.Module):
    """Equation 4: x (B,X,H,W); h, c, m (B,K,H,W) -> h, c, m"""

    def __init__(self, channels, hidden, kernel):
        super().__init__()

        def conv(inputs, outputs):
            return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False))

        self.conv_x, self.conv_h, self.conv_m = conv(channels,
                                                     7 * hidden), conv(hidden, 4 * hidden), conv(hidden, 3 * hidden)
        self.conv_o, self.conv_last = conv(2 * hidden, hidden), nn.Conv2d(2 * hidden, hidden, 1, bias=False)

    def forward(self, x, h, c, m):
        i_x, f_x, g_x, i_x_, f_x_, g_x_, o_x = self.conv_x(x).chunk(7, dim=1)
        i_h, f_h, g_h, o_h = self.conv_h(h).chunk(4, dim=1)
        i_m, f_m, g_m = self.conv_m(m).chunk(3, dim=1)
        c = remember(i_x + i_h, f_x + f_h + 1, g_x + g_h, c)
        m = remember(i_x_ + i_m, f_x_ + f_m + 1, g_x_ + g_m, m)
        memories = torch.cat([c, m], dim=1)
        return expose(o_x + o_h + self.conv_o(memories), self.conv_last(memories)), c, m


def remember(i, f, g, memory):
    return torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)


def expose(o, memory):
    return torch.sigmoid(o) * torch.tanh(memory)


class PredRNN(nn.Module):
    """Frames cut into patches (B,T,X,H,W) and their mask -> predictions of frames 2, 3, ... (B,steps,X,H,W)"""

    def __init__(self, channels, hidden, kernel):
        super().__init__()
        widths = [channels, *hidden]
        self.cell_list = nn.ModuleList(SpatioTemporalLSTMCell(below, width, kernel)
                                       for below, width in zip(widths, hidden))
        self.conv_last = nn.Conv2d(hidden[-1], channels, 1, bias=False)
        self.hidden = hidden

    def forward(self, frames, truth):
        """truth (B,steps): 1 feeds the network frame t, 0 its own prediction of it."""
        zeros = [frames.new_zeros(len(frames), width, *frames.shape[3:]) for width in self.hidden]
        h, c, m, predictions = list(zeros), list(zeros), zeros[0], []
        for t in range(truth.shape[1]):
            if t >= frames.shape[1]:
                x = predictions[-1]
            elif t == 0:
                x = frames[:, 0]
            else:
                mask = truth[:, t, None, None, None]
                x = mask * frames[:, t] + (1 - mask) * predictions[-1]
            for n, cell in enumerate(self.cell_list):
                h[n], c[n], m = cell(x, h[n], c[n], m)
                x = h[n]
            predictions.append(self.conv_last(x))
        return torch.stack(predictions, dim=1)


# the tasks: each gives a call to warm up and the call to time; no floor, which is ours to measure

DEVICE, COMPILED = torch.device("cpu"), False


def network(hidden, kernel, size, patch, batch, given, horizon):
    """(network, patches, truth): frames are already cut into patches, as the official loader does it."""
    model = PredRNN(patch * patch, hidden, kernel).to(DEVICE)
    if COMPILED:
        model = torch.compile(model, mode="reduce-overhead")
    frames = torch.rand(batch, given + horizon, patch * patch, *(n // patch for n in size), device=DEVICE)
    truth = torch.cat([torch.ones(batch, given), torch.zeros(batch, horizon - 1)], dim=1).to(DEVICE)
    return model, frames, truth


def l1_l2(prediction, truth):
    return F.l1_loss(prediction, truth) + F.mse_loss(prediction, truth)


def training(**options):
    model, frames, truth = network(**options)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(outputs=truth.shape[1]):
        torch.compiler.cudagraph_mark_step_begin()  # means nothing unless compiled
        optimiser.zero_grad()
        l1_l2(model(frames, truth[:, :outputs]), frames[:, 1:outputs + 1]).backward()
        optimiser.step()

    return lambda: warm_up(step), step, None


def warm_up(call):
    """A short call on the CPU; on a GPU three whole calls, in which torch.compile compiles, records and replays."""
    for _ in range(1 if DEVICE.type == "cpu" else 3):
        call(*[1] * (DEVICE.type == "cpu"))


def inference(**options):
    model, frames, truth = network(**options)
    given = frames[:, :options["given"]].contiguous()

    def predict(outputs=truth.shape[1]):
        torch.compiler.cudagraph_mark_step_begin()
        with torch.no_grad():
            model(given, truth[:, :outputs])

    return lambda: warm_up(predict), predict, None


def convolution(channels, features, kernel, size, batch, backward):
    x = torch.rand(batch, channels, size, size, device=DEVICE, requires_grad=backward)
    conv = nn.Conv2d(channels, features, kernel, padding=kernel // 2).to(DEVICE).requires_grad_(backward)
    dy = torch.rand(batch, features, size, size, device=DEVICE)

    def run():
        x.grad = conv.weight.grad = conv.bias.grad = None
        y = conv(x)
        if backward:
            y.backward(dy)

    return run, run, None


def from_gates(shape, sizes, output):
    """The task of computing `output` and its gradients, from inputs whose channels are `sizes` times shape[3]."""
    batch, height, width, hidden = shape
    inputs = [torch.rand(batch, n * hidden, height, width, device=DEVICE).mul_(2).sub_(1).requires_grad_()
              for n in sizes]
    dh = torch.rand(batch, hidden, height, width, device=DEVICE)

    def run():
        for x in inputs:
            x.grad = None
        output(*inputs).backward(dh)

    return run, run, None


def lstm_output(pre, c):
    i, f, g, o = pre.chunk(4, dim=1)  # each (B,K,H,W)
    return expose(o, remember(i, f, g, c))


def st_lstm_output(from_x, from_h, from_m, c, m):
    """The cell above without its convolutions: the outputs of those of x, h and m are given, but not added yet."""
    i_x, f_x, g_x, i_x_, f_x_, g_x_, o_x = from_x.chunk(7, dim=1)
    i_h, f_h, g_h, o_h = from_h.chunk(4, dim=1)
    i_m, f_m, g_m = from_m.chunk(3, dim=1)
    c = remember(i_x + i_h, f_x + f_h + 1, g_x + g_h, c)
    m = remember(i_x_ + i_m, f_x_ + f_m + 1, g_x_ + g_m, m)
    return expose(o_x + o_h + c, m)


def gates(shape):
    return from_gates(shape, (4, 1), lstm_output)


def st_lstm_gates(shape):
    return from_gates(shape, (7, 4, 3, 1, 1), st_lstm_output)


def matmul(n):
    a, b = torch.rand(n, n, device=DEVICE), torch.rand(n, n, device=DEVICE)
    run = lambda: a @ b
    return run, run, None


def copy(size):
    a, b = torch.rand(size // 8, device=DEVICE), torch.rand(size // 8, device=DEVICE)
    run = lambda: b.copy_(a)
    return run, run, None


def pool(reset):
    """The peak GPU memory of PyTorch; if `reset`, the peak is counted from now on."""
    if reset:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return torch.cuda.max_memory_reserved()


if __name__ == "__main__":
    name, threads, kind = sys.argv[1:]
    DEVICE, COMPILED = torch.device(name.replace("gpu", "cuda")), kind == "torch.compile"
    torch.set_num_threads(int(threads))
    tasks = training, inference, convolution, gates, st_lstm_gates, matmul, copy
    if name == "cpu":
        serve(tasks, lambda: None, resident)
    else:
        torch.cuda.set_device(DEVICE)
        serve(tasks, torch.cuda.synchronize, pool)
