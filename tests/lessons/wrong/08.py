"""Plausible wrong answers to the exercises of lesson 8."""

WALK = '''found = []
for name, value in vars(self).items():
    parts = {parts} if isinstance(value, list) else {{name: value}}
    for path, part in parts.items():
        if isinstance(part, tp.Tensor){also}:
            found.append((path, part))
        elif isinstance(part, Module):
            found += [(f"{{path}}.{{inner}}", tensor) for inner, tensor in part.named_tensors()]
return found'''

CLIP = "length = np.sqrt(sum((g * g).sum() for g in gradients))\n"

WRONG = {
    "8.1": [
        WALK.format(parts='{f"{name}{i}": part for i, part in enumerate(value)}', also=""),
        WALK.format(parts='{f"{name}.{i + 1}": part for i, part in enumerate(value)}', also=""),
        WALK.format(parts='{f"{name}.{i}": part for i, part in enumerate(value)}', also=" and not isinstance(value, list)"),
        "return Module.named_tensors(self)",
    ],
    "8.2": [
        "path, velocity = [p], 0.0\n"
        "for _ in range(steps):\n"
        "    velocity = mu * velocity + (1 - mu) * gradient(p)\n"
        "    p = p - rate * velocity\n"
        "    path.append(p)\n"
        "return np.array(path)",
        "path, velocity = [p], 0.0\n"
        "for _ in range(steps):\n"
        "    velocity = mu * velocity + gradient(p)\n"
        "    p -= rate * velocity\n"
        "    path.append(p)\n"
        "return np.array(path)",
        "path, velocity = [p], 0.0\n"
        "for _ in range(steps):\n"
        "    p = p - rate * velocity\n"
        "    velocity = mu * velocity + gradient(p)\n"
        "    path.append(p)\n"
        "return np.array(path)",
        "path, velocity = [], 0.0\n"
        "for _ in range(steps):\n"
        "    velocity = mu * velocity + gradient(p)\n"
        "    p = p - rate * velocity\n"
        "    path.append(p)\n"
        "return np.array(path)",
    ],
    "8.3": [
        "return [g * min(1.0, limit / np.sqrt((g * g).sum())) for g in gradients]",
        "return [np.clip(g, -limit, limit) for g in gradients]",
        CLIP + "return [g * (limit / length) for g in gradients]",
        CLIP + "return [g * min(1.0, limit / length ** 2) for g in gradients]",
    ],
}
