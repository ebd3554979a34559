WRONG = {
    "3.1": [
        "return tuple(range(len(output_shape) - len(input_shape)))",
        "return tuple(k for k, n in enumerate(input_shape) if n == 1)",
        "return tuple(k for k, n in enumerate(output_shape) if n not in input_shape)",
        "return (0,)",
    ],
    "3.2": [
        "return dy",
        "return np.roll(dy, -1, axis=1)",
        """dx = np.zeros_like(x)
dx[:, 1:] = dy[:, :-1]
return dx""",
        """dx = np.zeros_like(x)
dx[:-1] = dy[1:]
return dx""",
    ],
    "3.3": [
        "return np.broadcast_to(dy[:, None], x.shape)",
        "return np.broadcast_to(dy[:, None] / x.shape[0], x.shape)",
        "return np.broadcast_to(dy.mean(), x.shape)",
        "return np.ones(x.shape) / x.shape[1]",
        "return dy[:, None] * x / x.shape[1]",
    ],
}
