"""Wrong answers to the exercises of lesson 20."""

WRONG = {
    "20.1": ["for first in firsts:\n    before = tp.tensor(kept_states.pop(0), requires_grad=True)\n"
             "    run(before, frames[first:first + k]).backward(cotangent)\n    cotangent = before.grad\nreturn cotangent",
             "for first in reversed(firsts):\n    before = tp.tensor(kept_states.pop(), requires_grad=True)\n"
             "    run(before, frames[first:first + k]).backward(cotangent)\nreturn before.grad",
             "before = tp.tensor(kept_states[-1], requires_grad=True)\n"
             "run(before, frames[firsts[-1]:]).backward(cotangent)\nreturn before.grad",
             "before = tp.tensor(kept_states[0], requires_grad=True)\n"
             "run(before, frames).backward(cotangent)\nreturn before.grad"],
    "20.2": ["return n ** 0.5, 2 * n ** 0.5", "return (n * a) ** 0.5, 2 * (n * a) ** 0.5", "return (n / a) ** 0.5, (n * a) ** 0.5"],
    "20.3": ["return run(h, frames)",
             "middle = len(frames) // 2\nh = tp.checkpoint(run)(h, frames[:middle])\nreturn tp.checkpoint(run)(h, frames[middle:])",
             "if len(frames) == 1:\n    return run(h, frames)\nmiddle = len(frames) // 2\nh = by_halves(h, frames[:middle])\n"
             "return tp.checkpoint(by_halves)(h, frames[middle:])",
             "if len(frames) == 1:\n    return run(h, frames)\nmiddle = len(frames) // 2\n"
             "h = tp.checkpoint(by_halves)(h, frames[middle:])\nreturn tp.checkpoint(by_halves)(h, frames[:middle])"],
}
