"""Plausible wrong answers to the exercises of lesson 9."""

WRONG = {
    "9.1": [
        "return (start + velocity * t) % room",
        "return np.clip(start + velocity * t, 0, room)",
        "path = start + velocity * t\nreturn abs(path - room * np.rint(path / room))",
        "path = abs(start + velocity * t)\nreturn np.where(path > room, 2 * room - path, path)",
    ],
    "9.2": [
        "return (abs(positions[:, 0] - positions[:, 1]) < 28).any(axis=-1)",
        "return (abs(positions[:, 0] - positions[:, 1]) <= 28).all(axis=-1)",
        "return np.hypot(*np.moveaxis(positions[:, 0] - positions[:, 1], -1, 0)) < 28",
        "return (positions[:, 0] - positions[:, 1] < 28).all(axis=-1)",
    ],
    "9.3": [
        "return np.random.default_rng(seed + k)",
        "return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,)))",
        "return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k, NAMES.index(name))))",
        "return np.random.default_rng(np.random.SeedSequence(seed + NAMES.index(name), spawn_key=(0, k)))",
    ],
}
