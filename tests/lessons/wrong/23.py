"""Wrong answers to the exercises of lesson 23."""

PATH = "places, moved = np.indices(frame.shape), []\nfor _ in range(steps):\n"
EVENTS = "yes, came = prediction >= threshold / 60, truth >= threshold / 60\n"

WRONG = {
    "23.1": ["return (first + second) / 2",
             "return float(10 * np.log10((10 ** (first / 10) + 10 ** (second / 10)) / 2))",  # the mean of Z
             "return float(to_dbz(to_rate(first) + to_rate(second)))"],
    "23.2": [PATH + "    places = places - at(flow, places)\n    moved.append(at(frame, places))\nreturn np.stack(moved)",
             PATH + "    halfway = places + at(flow, places) / 2\n    places = places + at(flow, halfway)\n"
                    "    moved.append(at(frame, places))\nreturn np.stack(moved)",
             PATH + "    halfway = places - at(flow, places) / 2\n    places = places - at(flow, halfway)\n"
                    "    frame = at(frame, places)\n    moved.append(frame)\nreturn np.stack(moved)",
             "return step_by_step(frame, flow, steps)"],
    "23.3": [EVENTS + "return [float((yes == came).mean()), float(yes.sum() / came.sum())]",
             EVENTS + "return [float((yes & came).sum() / came.sum()), float(yes.sum() / came.sum())]",
             EVENTS + "return [float((yes & came).sum() / (yes | came).sum()), float(came.sum() / yes.sum())]",
             "yes, came = prediction > threshold / 60, truth > threshold / 60\n"
             "return [float((yes & came).sum() / (yes | came).sum()), float(yes.sum() / came.sum())]",
             EVENTS + "csis = [(a & b).sum() / max((a | b).sum(), 1) for a, b in zip(yes, came)]\n"
                      "return [float(np.mean(csis)), float(yes.sum() / came.sum())]"],
    "23.4": ["return np.sort(last, axis=None)[np.argsort(forecast, axis=None)].reshape(forecast.shape)",
             "return np.sort(last, axis=None).reshape(forecast.shape)",
             "return forecast * last.mean() / forecast.mean()"],
}
