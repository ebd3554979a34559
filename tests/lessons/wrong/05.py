WRONG = {
    "5.1": [
        "return dy * np.where(x > 0, 1.0, 0.2)",
        "return (dy * np.where(x > 0, 1.0, 0.2)).astype(np.float32)",
        "return dy * np.where(x > 0, np.float32(1), np.float32(0.2))",  # 0.2 to 8 digits only
        "return np.where(x > 0, dy, 0.0 * dy)",
        "return np.where(dy > 0, dy, 0.2 * dy)",
    ],
    "5.2": [
        "return lambda dy, x: dy * np.exp(-x) / (1 + np.exp(-x)) ** 2",
        "return lambda dy, x, y: dy * y * (1 - y)",
        "return lambda dy, y: dy * (1 - y * y)",
        "return lambda dy, y: y * (1 - y)",
    ],
    "5.3": [
        "return gradient is not dy",
        "return gradient.base is None",
        "return not any(np.shares_memory(gradient, array) for array in (dy, *saved))",
        "return not any(np.array_equal(gradient, array) for array in (dy, *saved)) and gradient.base is None",
    ],
}
