"""Wrong answers to the exercises of lesson 22."""

WRONG = {
    "22.1": ["return [2 * (p - y), (p - y) / (p * (1 - p))]", "return [2 * (y - p) * p * (1 - p), y - p]",
             "return [(p - y) * p * (1 - p), p - y]"],
    "22.2": ["found = np.zeros((side, side))\nfound[:side // 2] = 1\nfound[side // 2, side // 2] = middle\nreturn found",
             "found = np.tril(np.ones((side, side)), -1)\nfound[side // 2, side // 2] = middle\nreturn found",
             "found, half = np.ones((side, side)), side // 2\nfound[:half] = found[half, :half] = 0\n"
             "found[half, half] = middle\nreturn found"],
    "22.3": ["return (numbers < probabilities(np.zeros(numbers.shape, np.float32))).astype(np.float32)",
             "images = np.zeros(numbers.shape, np.float32)\nfor j, i in np.ndindex(images.shape[2], images.shape[1]):\n"
             "    images[:, i, j] = numbers[:, i, j] < probabilities(images)[:, i, j]\nreturn images",
             "images = np.zeros(numbers.shape, np.float32)\nfor i in range(images.shape[1]):\n"
             "    images[:, i] = numbers[:, i] < probabilities(images)[:, i]\nreturn images"],
    "22.4": ["return np.concatenate([np.maximum(truth - prediction, 0), np.maximum(prediction - truth, 0)], axis=-1)",
             "return np.concatenate([prediction - truth, truth - prediction], axis=-1)",
             "return abs(prediction - truth)"],
}
