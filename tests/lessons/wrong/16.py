WRONG = {
    "16.1": [
        """\
return along_time(w, x, h, c)""",
        """\
g = tp.tanh(conv(x, w["W'_xg"]) + conv(m, w["W_mg"]) + w["b'_g"])
i = tp.sigmoid(conv(x, w["W'_xi"]) + conv(m, w["W_mi"]) + w["b'_i"])
f = tp.sigmoid(conv(x, w["W'_xf"]) + conv(m, w["W_mf"]) + w["b'_f"])
return i * m + f * g""",
        """\
g = tp.sigmoid(conv(x, w["W'_xg"]) + conv(m, w["W_mg"]) + w["b'_g"])
i = tp.sigmoid(conv(x, w["W'_xi"]) + conv(m, w["W_mi"]) + w["b'_i"])
f = tp.sigmoid(conv(x, w["W'_xf"]) + conv(m, w["W_mf"]) + w["b'_f"])
return f * m + i * g""",
        """\
g = tp.tanh(conv(x, w["W'_xg"]) + conv(m, w["W_mg"]))
i = tp.sigmoid(conv(x, w["W'_xi"]) + conv(m, w["W_mi"]))
f = tp.sigmoid(conv(x, w["W'_xf"]) + conv(m, w["W_mf"]))
return f * m + i * g""",
    ],
    "16.2": [
        """\
new = []
for cell, (h, c) in zip(cells, states):  # every layer begins with the same m
    x, (h, c, next_m) = cell(x, (h, c, m))
    new.append((h, c))
return x, new, next_m""",
        """\
new, below = [], m
for cell, (h, c) in zip(cells, states):
    x, (h, c, below) = cell(x, (h, c, below))
    new.append((h, c))
return x, new, m""",
        """\
new = []
for cell, (h, c) in zip(cells, states):
    x, (h, _, m) = cell(x, (h, c, m))
    new.append((h, c))
return x, new, m""",
    ],
    "16.3": [
        """\
return kernel ** 2 * (channels + hidden) * 4 * hidden + 4 * hidden + kernel ** 2 * (channels + memory) * 3 * memory + 3 * memory""",
        """\
from_xh = kernel ** 2 * (channels + hidden) * 4 * hidden + 4 * hidden
from_xm = kernel ** 2 * (channels + memory) * 3 * memory + 3 * memory
return from_xh + from_xm + kernel ** 2 * (hidden + memory) * hidden + (hidden + memory) * hidden""",
        """\
from_xh = kernel ** 2 * (channels + hidden) * 4 * hidden + 4 * hidden
from_xm = kernel ** 2 * (channels + memory) * 3 * memory + 3 * memory
return from_xh + from_xm + (hidden + memory) * hidden + hidden + (hidden + memory) * hidden""",
        """\
from_xh = kernel ** 2 * (channels + hidden) * 4 * hidden + 4 * hidden
from_xm = kernel ** 2 * (channels + memory) * 3 * hidden + 3 * hidden
return from_xh + from_xm + kernel ** 2 * (hidden + memory) * hidden + hidden + (hidden + memory) * hidden""",
    ],
    "16.4": [
        """\
cell.from_cm.weight.data[...] = 0
cell.from_cm.bias.data[...] = 0
cell.merge_cm.data[0, 0, hidden:] = 0""",
        """\
cell.from_cm.weight.data[...] = 0
cell.merge_cm.data[0, 0, :hidden] = np.eye(hidden)
cell.merge_cm.data[0, 0, hidden:] = 0""",
        """\
cell.from_cm.weight.data[...] = 0
cell.from_cm.bias.data[...] = 0
cell.merge_cm.data[0, 0, :hidden] = 1
cell.merge_cm.data[0, 0, hidden:] = 0""",
        """\
cell.from_cm.weight.data[:, :, hidden:] = 0
cell.from_cm.bias.data[...] = 0
cell.merge_cm.data[0, 0, :hidden] = np.eye(hidden)
cell.merge_cm.data[0, 0, hidden:] = 0""",
        """\
cell.from_xm.weight.data[...] = 0
cell.from_xm.bias.data[...] = 0
cell.from_cm.weight.data[...] = 0
cell.from_cm.bias.data[...] = 0
cell.merge_cm.data[0, 0, :hidden] = np.eye(hidden)""",
    ],
}
