WRONG = {
    "15.1": [
        """\
tops = []
for x in frames:  # every layer sees the frame of its own time: no memory from one frame to the next
    h_, m_ = h, m
    for layer, w in enumerate(cells):
        h_, m_ = zigzag_cell(w, x if layer == 0 else None, h_, m_)
    tops.append(h_)
return tops""",
        """\
tops = []
for x in frames:
    h, m = zigzag_cell(cells[0], x, h, m)
    tops.append(h)
return tops""",
        """\
tops = []
for x in frames:
    for layer, w in enumerate(cells):
        h, m = zigzag_cell(w, x if layer == 0 else None, h, m)
    tops.append(m)
return tops""",
        """\
tops = []
for x in frames:
    for layer, w in enumerate(cells):
        h, _ = zigzag_cell(w, x if layer == 0 else None, h, m)
    tops.append(h)
return tops""",
    ],
    "15.2": [
        """\
up = [(t, layer + 1)] if layer < layers else []
along = [(t + 1, layer)] if t < steps else []
return up + along""",
        """\
if layer < layers:
    return [(t, layer + 1)]
return [(t + 1, 1)]""",
        """\
if layer < layers:
    return [(t, layer + 1)]
return [(t + 1, layers)] if t < steps else []""",
    ],
    "15.3": [
        "return bias * layers",
        "return bias + np.log(layers)",
        """\
gate = (1 / (1 + np.exp(-bias))) ** layers
return np.log(gate / (1 - gate))""",
        "return (1 / (1 + np.exp(-bias))) ** (1 / layers)",
    ],
}
