"""Wrong answers to the exercises of lesson 27."""

WRONG = {
    "27.1": ["u, _, v = np.linalg.svd(matrix, full_matrices=False)\nreturn u @ v.T if v.shape[0] == v.shape[1] else u @ u.T @ matrix",
             "return matrix / np.linalg.norm(matrix)", "return np.linalg.qr(matrix)[0]"],
    "27.2": ["x = matrix / np.sqrt((matrix ** 2).sum())\nfor _ in range(4):\n    p = x @ x.T\n"
             "    x = A * x + (B * p + C5 * p @ p) @ x\nreturn x",
             "x = matrix / np.sqrt((matrix ** 2).sum())\nfor _ in range(5):\n    x = A * x + B * x ** 3 + C5 * x ** 5\nreturn x",
             "x = matrix / np.sqrt((matrix ** 2).sum())\nfor _ in range(5):\n    p = x @ x.T\n"
             "    x = A * x + (B * p + C5 * p) @ x\nreturn x"],
    "27.3": ["return 1 / min(rows, columns) ** 0.5", "return 1 / (rows * columns) ** 0.5", "return 1.0"],
}
