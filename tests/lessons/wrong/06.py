"""Plausible wrong answers to the exercises of lesson 6."""

WRONG = {
    "6.1": [
        "return unfold(x, kh, kw)[:, ::stride]",
        "return unfold(x, kh, kw)[:, ::stride, ::stride].copy()",
        "return unfold(x[:, ::stride, ::stride], kh, kw)",
        "count, height, width, channels = x.shape\n"
        "places = (height - kh) // stride + 1, (width - kw) // stride + 1\n"
        "return np.lib.stride_tricks.as_strided(x, (count, *places, kh, kw, channels), x.strides[:3] + x.strides[1:])",
    ],
    "6.2": [
        "return y[:, ::2, ::2]",
        "count, height, width, channels = y.shape\n"
        "return y.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))",
        "count, height, width, channels = y.shape\n"
        "return y.reshape(count, 2, height // 2, 2, width // 2, channels).sum(axis=(1, 3))",
    ],
    "6.3": [
        'return np.einsum("npqijc,npqc->ijc", unfold(x, kh, kw)[:1], y[:1])',
        'return np.einsum("npqijc,npqc->ijc", unfold(x, kh, kw), y) / len(x)',
        'return np.einsum("npqijc,npqk->ijc", unfold(x, kh, kw), y)',
        'return np.einsum("npqijc,npqc->ijc", unfold(x, kh, kw), y)[::-1, ::-1]',
    ],
}
