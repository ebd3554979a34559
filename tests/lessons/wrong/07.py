"""Plausible wrong answers to the exercises of lesson 7."""

WRONG = {
    "7.1": [
        "return np.eye(count, dtype=np.float32)[labels]",
        "return (labels[:, None] <= array_module(labels).arange(count)).astype(np.float32)",
        "return (labels == array_module(labels).arange(count)[:, None]).astype(np.float32)",
    ],
    "7.2": [
        'return np.median(times["B"]) / np.median(times["A"])',
        'return np.mean(np.array(times["B"]) / np.array(times["A"]))',
        'return np.median(np.array(times["A"]) / np.array(times["B"]))',
        'return np.sum(times["B"]) / np.sum(times["A"])',
    ],
    "7.3": [
        "operations = batch * side ** 2 * features * kernel ** 2 * channels\n"
        "moved = 4 * (batch * side ** 2 * (channels + features) + kernel ** 2 * channels * features)\n"
        "return 1000 * max(operations / rate, moved / bandwidth)",
        "operations = 2 * batch * side ** 2 * features * kernel ** 2 * channels\n"
        "moved = 4 * (batch * side ** 2 * (channels + features) + kernel ** 2 * channels * features)\n"
        "return 1000 * (operations / rate + moved / bandwidth)",
        "operations = 2 * batch * side ** 2 * features * kernel ** 2 * channels\n"
        "moved = 4 * batch * side ** 2 * (channels + features)\n"
        "return 1000 * max(operations / rate, moved / bandwidth)",
        "return 1000 * 2 * batch * side ** 2 * features * kernel ** 2 * channels / rate",
    ],
}
