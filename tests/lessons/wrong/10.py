WRONG = {
    "10.1": [
        # the loss of each step forgets what comes back through later steps
        "return [sum(x[t].T @ (dh[t] * (1 - h[t + 1] ** 2)) for t in range(len(x))),"
        " sum(h[t].T @ (dh[t] * (1 - h[t + 1] ** 2)) for t in range(len(x)))]",
        # only the last step's loss counts
        "dwx, dwh, later = np.zeros_like(wx), np.zeros_like(wh), dh[-1]\n"
        "for t in reversed(range(len(x))):\n"
        "    da = later * (1 - h[t + 1] ** 2)\n"
        "    dwx, dwh, later = dwx + x[t].T @ da, dwh + h[t].T @ da, da @ wh.T\n"
        "return [dwx, dwh]",
        # the weights are not transposed
        "dwx, dwh, later = np.zeros_like(wx), np.zeros_like(wh), 0\n"
        "for t in reversed(range(len(x))):\n"
        "    da = (dh[t] + later) * (1 - h[t + 1] ** 2)\n"
        "    dwx, dwh, later = dwx + x[t].T @ da, dwh + h[t].T @ da, da @ wh\n"
        "return [dwx, dwh]",
        # the new state where the old one belongs
        "dwx, dwh, later = np.zeros_like(wx), np.zeros_like(wh), 0\n"
        "for t in reversed(range(len(x))):\n"
        "    da = (dh[t] + later) * (1 - h[t + 1] ** 2)\n"
        "    dwx, dwh, later = dwx + x[t].T @ da, dwh + h[t + 1].T @ da, da @ wh.T\n"
        "return [dwx, dwh]",
    ],
    "10.2": [
        # the state is emptied
        "h, total = tp.tensor(np.zeros(1)), 0\n"
        "for t, x_t in enumerate(x):\n"
        "    h = tp.tanh(w * (h if t % k else tp.tensor(np.zeros(1))) + x_t)\n"
        "    total = total + h\n"
        "return total",
        # never cut
        "h, total = tp.tensor(np.zeros(1)), 0\n"
        "for x_t in x:\n"
        "    h = tp.tanh(w * h + x_t)\n"
        "    total = total + h\n"
        "return total",
        # one step late: before the steps k - 1, 2 k - 1, ...
        "h, total = tp.tensor(np.zeros(1)), 0\n"
        "for t, x_t in enumerate(x):\n"
        "    h = tp.tanh(w * (h.detach() if (t + 1) % k == 0 else h) + x_t)\n"
        "    total = total + h\n"
        "return total",
        # cut only once, before the last k steps
        "h, total = tp.tensor(np.zeros(1)), 0\n"
        "for t, x_t in enumerate(x):\n"
        "    h = tp.tanh(w * (h.detach() if t == len(x) - k else h) + x_t)\n"
        "    total = total + h\n"
        "return total",
    ],
    "10.3": [
        "return sum(t % k > d for t in range(d, T))",
        "return max(0, k - d)",
        "return sum(t % k >= d for t in range(T)) if d else T - 1",
        "return (T - d) // k * max(0, k - d)",
    ],
}
