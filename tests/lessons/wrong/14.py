WRONG = {
    "14.1": [
        "return -10 * np.log10(np.maximum(((prediction - truth) ** 2).sum(axis=(2, 3, 4)), 1e-10))",  # sum, not mean
        "return np.full(truth.shape[:2], -10 * np.log10(((prediction - truth) ** 2).mean()))",  # one number for all frames
        "return -10 * np.log10(((prediction - truth) ** 2).mean(axis=(2, 3, 4)) + 1e-10)",  # added, not a floor
        "error = ((prediction - truth) ** 2).mean(axis=(2, 3, 4))\n"
        "return -10 * np.log10(np.where(error == 0, 1e-10, error))",  # perfect frames only
        "return 20 * np.log10(np.maximum(((prediction - truth) ** 2).mean(axis=(2, 3, 4)), 1e-10))",
    ],
    "14.2": [
        # divided by 49
        "v = np.cov(x.ravel(), y.ravel(), bias=True)\n"
        "brightness = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)\n"
        "return brightness * (2 * v[0, 1] + 9e-4) / (v[0, 0] + v[1, 1] + 9e-4)",
        # without the brightness
        "v = np.cov(x.ravel(), y.ravel())\nreturn (2 * v[0, 1] + 9e-4) / (v[0, 0] + v[1, 1] + 9e-4)",
        # constants not squared
        "v = np.cov(x.ravel(), y.ravel())\n"
        "brightness = (2 * x.mean() * y.mean() + 0.01) / (x.mean() ** 2 + y.mean() ** 2 + 0.01)\n"
        "return brightness * (2 * v[0, 1] + 0.03) / (v[0, 0] + v[1, 1] + 0.03)",
        # product of variances for their sum
        "v = np.cov(x.ravel(), y.ravel())\n"
        "brightness = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)\n"
        "return brightness * (2 * v[0, 1] + 9e-4) / (2 * np.sqrt(v[0, 0] * v[1, 1]) + 9e-4)",
    ],
    "14.3": [
        "return [q, q, q, q]",
        "return [q, q, (q + float(q > 0.5)) / 2, float(q > 0.5)]",
        "return [q, q, 2 * q - 0.5, float(q > 0.5)]",  # not kept between 0 and 1
        "return [q, float(q > 0.5), min(max(2 * q - 0.5, 0), 1), float(q > 0.5)]",
    ],
}
