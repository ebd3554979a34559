WRONG = {
    "4.1": [
        "return dy - dy.mean(axis=-1, keepdims=True)",
        "return 0 * dy",
        "return dy",
        "return dy - 2 * dy.mean(axis=-1, keepdims=True)",
    ],
    "4.2": [
        "return ((u * f(x + eps * v)).sum() - (u * f(x)).sum()) / eps",
        "return (f(x + eps * v) - f(x - eps * v)).sum() / (2 * eps)",
        "return ((u * f(x + eps * v)).sum() - (u * f(x - eps * v)).sum()) / eps",
        "return ((u * f(x + eps)).sum() - (u * f(x - eps)).sum()) / (2 * eps)",
        "return (u * v * (f(x + eps) - f(x - eps))).sum() / (2 * eps)",  # right where f works element by element
    ],
    "4.3": [
        "return tuple(int(i) for i in np.unravel_index(np.abs(gradient - numeric_gradient(f, x)).argmax(), x.shape))",
        "return int(np.abs(gradient - numeric_gradient(f, x)).argmax())",
        "return next((index for index in np.ndindex(x.shape) if agree(gradient[index], numeric_gradient(f, x)[index])), ())",
        "return next(index[::-1] for index in np.ndindex(x.shape) if not agree(gradient[index], numeric_gradient(f, x)[index]))",
    ],
}
