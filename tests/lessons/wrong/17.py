WRONG = {
    "17.1": [
        "return np.log(0.5) / np.log(np.mean(gates))",
        "return np.log(0.5) / np.log(gates[0])",
        "return 0.5 / np.prod(gates)",
        "return np.log(np.prod(gates)) / np.log(0.5)",
    ],
    "17.2": [
        """\
layers, m = state
new = []
for cell, (h, c) in zip(model.cells, layers):
    x, (h, c, m) = cell(x, (h, c, 0 * m))
    new.append((h, c))
return x, (new, m)""",
        """\
layers, m = state
new = []
for cell, (h, c) in zip(model.cells, layers):
    x, (h, c, m) = cell(x, (h, c, m))
    new.append((h, c))
return x, (new, m)""",
        """\
layers, m = state
m, new = 0 * m, []
for cell, (h, c) in zip(model.cells, layers):
    x, (h, c, m) = cell(x, (h, 0 * c, m))
    new.append((h, c))
return x, (new, m)""",
        """\
layers, m = state
m, new = 0 * m, []
for cell, (h, c) in zip(model.cells, layers):
    x, (h, c, m) = cell(x, (h, c, m))
    new.append((h, c))
return x, (new, 0 * m)""",
    ],
    "17.3": [
        "return np.percentile(differences[draws].mean(axis=0), [2.5, 97.5])",
        "return np.percentile(differences[draws].mean(axis=1), [5, 95])",
        "return np.percentile(differences[draws], [2.5, 97.5])",
        """\
error = differences.std(ddof=1) / len(differences) ** 0.5
return differences.mean() + np.array([-1.96, 1.96]) * error""",
    ],
}
