WRONG = {
    "18.1": [
        "return [(inputs + outputs) * elements * itemsize] * 2",
        "return [(inputs + outputs) * elements * itemsize, (inputs + 2 * outputs) * elements * itemsize]",
        "return [(inputs + outputs) * elements * itemsize, 2 * inputs * elements * itemsize]",
        "return [(inputs + outputs) * elements * 4, (2 * inputs + outputs) * elements * 4]",
    ],
    "18.2": [
        "return a / y, b / y",
        "return dy * a, dy * b",
        "return dy * b / y, dy * a / y",
        "return dy * 0.5 / y, dy * 0.5 / y",
    ],
    "18.3": [
        "inputs, slopes = slope_of(function)\nreturn value(inputs, slopes, x)",
        "inputs, slopes = slope_of(function)\nreturn value(inputs, slopes, x) ** 2",
        "inputs, slopes = slope_of(function)\nreturn value(inputs, gradients(inputs, slopes, slopes), x)",
        "inputs, outputs = trace(function)\nreturn value(inputs, gradients(inputs, outputs, [2.0]), x)",
    ],
    "18.4": [
        "return TEXT[op].format(a, b)",
        "return b if op == 'multiply' and a == '1.0' else TEXT[op].format(a, b)",
        "return '0.0' if op == 'multiply' and '0.0' in (a, b) else a if b == '1.0' and op != 'add' else TEXT[op].format(a, b)",
        "if op == 'multiply' and a == '1.0' or op == 'add' and a == '0.0':\n    return b\n"
        "if (op, b) in (('multiply', '1.0'), ('divide', '1.0'), ('subtract', '0.0'), ('add', '0.0')):\n    return a\n"
        "return TEXT[op].format(a, b)",
    ],
}
