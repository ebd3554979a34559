WRONG = {
    "12.1": [
        # the order of the paper's lines, not of the cell
        'return [np.concatenate([np.concatenate([W["x" + gate], W["h" + gate]], axis=2) for gate in "gifo"], axis=3),'
        ' np.concatenate([b[gate] for gate in "gifo"])]',
        # h before x
        'return [np.concatenate([np.concatenate([W["h" + gate], W["x" + gate]], axis=2) for gate in "ifgo"], axis=3),'
        ' np.concatenate([b[gate] for gate in "ifgo"])]',
        # biases added up
        'return [np.concatenate([np.concatenate([W["x" + gate], W["h" + gate]], axis=2) for gate in "ifgo"], axis=3),'
        ' sum(b[gate] for gate in "ifgo")]',
    ],
    "12.2": [
        # the output gate looks at the old memory
        "new = tp.sigmoid(f + w_cf * c) * c + tp.sigmoid(i + w_ci * c) * tp.tanh(g)\n"
        "return [tp.sigmoid(o + w_co * c) * tp.tanh(new), new]",
        # no peepholes
        "c = tp.sigmoid(f) * c + tp.sigmoid(i) * tp.tanh(g)\nreturn [tp.sigmoid(o) * tp.tanh(c), c]",
        # the peepholes of i and f exchanged
        "c = tp.sigmoid(f + w_ci * c) * c + tp.sigmoid(i + w_cf * c) * tp.tanh(g)\n"
        "return [tp.sigmoid(o + w_co * c) * tp.tanh(c), c]",
        # g is not a gate
        "c = tp.sigmoid(f + w_cf * c) * c + tp.sigmoid(i + w_ci * c) * tp.sigmoid(g)\n"
        "return [tp.sigmoid(o + w_co * c) * tp.tanh(c), c]",
    ],
    "12.3": [
        "return 1 + (kernel - 1) * layers * (1 + back)",
        "return kernel * (layers + back)",
        "return 1 + (kernel - 1) * (1 + back)",
        "return 1 + (kernel - 1) // 2 * (layers + back)",
    ],
    "12.4": [
        "return 2 * speed + 1",
        "return 2 * (speed // patch) + 1",
        "return -(-speed // patch) + 1",
        "return 2 * (speed // patch + 1) + 1",
    ],
}
