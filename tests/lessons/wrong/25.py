"""Wrong answers to the exercises of lesson 25."""

WRONG = {
    "25.1": ["return sum(gradients) / len(gradients)", "return sum(gradients) / sum(sizes)",
             "return sum(g / count for count, g in zip(sizes, gradients)) / sum(1 / count for count in sizes)"],
    "25.2": ["return np.random.default_rng([0, k]).random((len(range(count)[rows]), 4)) < 0.5",
             "return np.random.default_rng([0, k, rows.start]).random((len(range(count)[rows]), 4)) < 0.5",
             "return np.random.default_rng([0, k]).random((count, 4)) < 0.5"],
    "25.3": ["count = len(chunks)\nfor step in range(count - 1):\n"
             "    messages = [send(rank, chunks[rank][(rank - step) % count]) for rank in range(count)]\n"
             "    for rank in range(count):\n        chunks[(rank + 1) % count][(rank - step) % count] = messages[rank]",
             "count = len(chunks)\nfor step in range(count - 1):\n"
             "    messages = [send(rank, chunks[rank][(rank + 1 - step) % count]) for rank in range(count)]\n"
             "    for rank in range(count):\n        chunks[(rank + 1) % count][(rank + 1 - step) % count] += messages[rank]",
             "count = len(chunks)\nfor step in range(count - 1):\n"
             "    messages = [send(rank, chunks[rank][(rank + 1) % count]) for rank in range(count)]\n"
             "    for rank in range(count):\n        chunks[(rank + 1) % count][(rank + 1) % count] = messages[rank]"],
    "25.4": ["return machines", "return (always + divided) / (always / machines + divided)",
             "return always + divided / machines"],
}
