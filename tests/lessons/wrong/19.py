WRONG = {
    "19.1": [
        "return a0 * b0, a0 * b1 + a1 * b0, a1 * b1",
        "p, q, high = (a0 + a1) * (b0 + b1), (a0 - a1) * (b0 - b1), a1 * b1\nreturn p + q - high, p - q, high",
        "p, q, high = (a0 + a1) * (b0 + b1), (a0 - a1) * (b0 - b1), a1 * b1\nreturn (p + q) / 2, (p - q) / 2, high",
        "p, q, high = (a0 + a1) * (b0 + b1), (a0 - a1) * (b0 - b1), a1 * b1\nreturn high, (p - q) / 2, (p + q) / 2 - high",
    ],
    "19.2": [
        "return g0 * d0 + g1 * d1, g0 * d1 + g1 * d2",
        "low, both, high = g0 * d0, (g0 + g1) * d1, g1 * d2\nreturn low + both, both + high",
        "low, both, high = g0 * (d0 - d1), (g0 + g1) * d1, g1 * (d2 - d1)\nreturn low, both - low - high",
        "shared = d1 * (g0 + g1)\nreturn g0 * d0 + shared - g0 * d1, shared + g1 * d2 - g1 * d1",
    ],
    "19.3": [
        "return (A @ dy @ A.T) * (Bt @ d @ Bt.T)",
        "return G.T @ ((A @ dy @ A.T) * (Bt.T @ d @ Bt)) @ G",
        "return G.T @ ((A @ dy.T @ A.T) * (Bt @ d @ Bt.T)) @ G",
        "return (G.T @ ((A @ dy @ A.T) * (Bt @ d @ Bt.T)) @ G).T",
    ],
    "19.4": [
        "return fractions('0 1 -1 2 -2')",
        "return fractions('0 1 -1 1/2 -1/2')",
        "return fractions('0 2 -2 1/2 -1/2')",
        "return fractions('2/3 -2/3 3/2 -3/2')",
        "return fractions('0 1 2 3 4')",
    ],
}
