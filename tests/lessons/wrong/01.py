WRONG = {
    "1.1": [
        "return (f(x + nudge) - f(x)) / nudge",
        "return (f(x + nudge) - f(x - nudge)) / nudge",
        "return (f(x - nudge) - f(x + nudge)) / (2 * nudge)",
        "return (f(x + 1e-5) - f(x - 1e-5)) / 2e-5",  # ignores the nudge that it was given
    ],
    "1.2": [
        "return Tensor(a.data / b.data, Node([a, b], [1 / b.data, a.data / (b.data * b.data)]))",
        "return Tensor(a.data / b.data, Node([a, b], [1 / b.data, -1 / (b.data * b.data)]))",
        "return Tensor(a.data / b.data, Node([b, a], [1 / b.data, -a.data / (b.data * b.data)]))",
        "return Tensor(a.data / b.data, Node([a], [1 / b.data]))",
        "return mul(a, Tensor(1 / b.data))",  # b is cut off
    ],
    "1.3": [
        """total = 0.0
for frame, place in enumerate(fallen):
    error = start + speed * frame + gravity * (frame * frame) - place
    total = total + error * error
return total * (1 / len(fallen))""",
        """total = 0.0
for frame, place in enumerate(fallen):
    error = start + speed * frame + gravity * (0.5 * frame * frame) - place
    total = total + error * error
return total""",
        "return loss(start, speed)",
        """total = 0.0
for frame, place in enumerate(fallen):
    error = start + speed * frame + gravity * (0.5 * frame * frame) - place
    total = total + error * error
return as_tensor(getattr(total, "data", total)) * (1 / len(fallen))""",  # cut off from its past
    ],
}
