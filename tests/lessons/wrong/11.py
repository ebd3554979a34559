WRONG = {
    "11.1": [
        "return np.cumprod(f, axis=0)",
        "return np.cumprod(f, axis=0)[::-1]",
        "return f",
        "return np.concatenate([np.cumprod(f[::-1], axis=0)[::-1][1:], np.ones_like(f[:1])])",  # the step's own gate left out
    ],
    "11.2": [
        "return -np.log(rest) / steps",
        "f = rest ** steps\nreturn np.log(f / (1 - f))",
        "f = rest ** (1 / steps)\nreturn np.log(f)",
        "f = rest ** (1 / steps)\nreturn np.log((1 - f) / f)",
    ],
    "11.3": [
        "return sum(gate_weights(pixels, width) for width in hidden) + hidden[-1] * pixels + pixels",
        "widths = [pixels, *hidden]\nreturn sum(gate_weights(a, b) for a, b in zip(widths, hidden)) + hidden[-1] * pixels",
        "widths = [pixels, *hidden]\nreturn sum(gate_weights(a, b) for a, b in zip(widths, hidden))",
        "return gate_weights(pixels, sum(hidden)) + sum(hidden) * pixels + pixels",
    ],
}
