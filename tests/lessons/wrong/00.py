"""Wrong answers to the exercises of lesson 0."""

WRONG = {
    "0.1": ["return Tensor(np.maximum(x.data, 0), (x, lambda dy: dy))",
            "return Tensor(np.maximum(x.data, 0), (x, lambda dy: dy * np.maximum(x.data, 0)))",
            "return Tensor(np.maximum(x.data, 0))"],
    "0.2": ["return start + velocity * t",
            "return (start + velocity * t) % room",
            "return min(max(start + velocity * t, 0), room)",
            "return room - abs((start + t) % (2 * room) - room)"],
}
