WRONG = {
    "2.1": [
        "return 16",
        "return 2 * (2 + (2 + 5) + (2 + 5 + 1))",
        "return 5 + (5 + 1) + (5 + 1 + 2)",
        "return 22",
    ],
    "2.2": [
        "return count_consumers(root).get(leaf, 0)",
        "return 2 ** (len(count_consumers(root)) - 1)",
        """leaf.grad = 0.0
backward(root)
return leaf.grad""",
    ],
    "2.3": [
        "return list(count_consumers(root))",
        """found, stack = [], [root]
while stack:
    tensor = stack.pop()
    if tensor not in found:
        found.append(tensor)
        stack.extend(parent for parent, _ in edges(tensor))
return found""",
        """found, queue = [root], [root]
while queue:
    for parent, _ in edges(queue.pop(0)):
        if parent not in found:
            found.append(parent)
            queue.append(parent)
return found""",
        """waiting, ready, visited = count_consumers(root), [root], []
while ready:
    tensor = ready.pop()
    visited.append(tensor)
    for parent, _ in edges(tensor):
        waiting[parent] -= 1
        if waiting[parent] == 0:
            ready.append(parent)
return visited[::-1]""",
    ],
}
