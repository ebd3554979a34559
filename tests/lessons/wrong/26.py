"""Wrong answers to the exercises of lesson 26."""

WRONG = {
    "26.1": ["return value / brightest * (pixels if averaged_over_pixels else 1) / frames",
             "return value / brightest ** 2 / (pixels if averaged_over_pixels else 1) / frames",
             "return value / brightest ** 2 * pixels / frames"],
    "26.2": ["return [standard_error(a) + standard_error(b), standard_error(a - b)]",
             "return [np.sqrt(standard_error(a) ** 2 + standard_error(b) ** 2), abs(standard_error(a) - standard_error(b))]",
             "return [np.sqrt(standard_error(a) ** 2 + standard_error(b) ** 2), (a - b).std(ddof=1)]"],
    "26.3": ["results = [measure(*(array[row] for array in values)) for row in picks]\nreturn [min(results), max(results)]",
             "results = [measure(*(array[picks[(k + n) % len(picks)]] for n, array in enumerate(values))) for k in range(len(picks))]\n"
             "return list(np.percentile(results, [2.5, 97.5]))",
             "results = [measure(*(array[row] for array in values)) for row in picks]\n"
             "return [np.mean(results) - np.std(results), np.mean(results) + np.std(results)]"],
    "26.4": ["return [True, True, False, True]", "return [True, False, True, True]", "return [True, False, False, False]"],
}
