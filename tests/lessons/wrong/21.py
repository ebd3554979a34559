"""Wrong answers to the exercises of lesson 21."""

WRONG = {
    "21.1": ["places = np.arange(-2, 3)\nreturn np.maximum(1 - abs(places - down), 0)[:, None] * np.maximum(1 - abs(places - right), 0)",
             "places = np.arange(-2, 3)\nreturn np.maximum(1 - abs(places + right), 0)[:, None] * np.maximum(1 - abs(places + down), 0)",
             "kernel = np.zeros((5, 5))\nkernel[2 - round(down), 2 - round(right)] = 1\nreturn kernel"],
    "21.2": ["padded, result = np.pad(frame, 2), np.zeros_like(frame)\nfor i, j in np.ndindex(frame.shape):\n"
             "    result[i, j] = (padded[i:i + 5, j:j + 5] * filters[i, j, ::-1, ::-1]).sum()\nreturn result",
             "padded, result = np.pad(frame, 2, mode='edge'), np.zeros_like(frame)\nfor i, j in np.ndindex(frame.shape):\n"
             "    result[i, j] = (padded[i:i + 5, j:j + 5] * filters[i, j]).sum()\nreturn result",
             "padded, result = np.pad(frame, 2), np.zeros_like(frame)\nfor i, j in np.ndindex(frame.shape):\n"
             "    result[i, j] = (padded[i:i + 5, j:j + 5] * filters[0, 0]).sum()\nreturn result"],
    "21.3": ["return np.stack([filters.sum(axis=-1) @ [-1, 0, 1], filters.sum(axis=-2) @ [-1, 0, 1]], axis=-1)",
             "return np.stack([filters.sum(axis=-2) @ [1, 0, -1], filters.sum(axis=-1) @ [1, 0, -1]], axis=-1)",
             "best = filters.reshape(*filters.shape[:-2], 9).argmax(axis=-1)\n"
             "return np.stack([1.0 - best // 3, 1.0 - best % 3], axis=-1)"],
    "21.4": ["return v * s * steps", "return v", "return v * s"],
}
