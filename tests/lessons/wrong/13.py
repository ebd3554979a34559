LOOP = """state, prediction, predictions = model.start(frames), frames[:, 0], []
for t in range(truth.shape[1]):
    prediction, state = model.step({fed}, state)
    predictions.append(prediction)
return tp.stack(*predictions, axis=1)"""

WRONG = {
    "13.1": [
        LOOP.format(fed="frames[:, t]"),  # teacher forcing
        LOOP.format(fed="frames[:, t] if t == 0 else prediction"),  # never the truth
        LOOP.format(fed="frames[:, t] if truth[:, t].all() else prediction"),  # one choice for the whole batch
        LOOP.format(fed="frames[:, t] if t == 0 else (1 - truth[:, t, None, None, None]) * frames[:, t]"
                        " + truth[:, t, None, None, None] * prediction"),  # the wrong way round
        LOOP.format(fed="frames[:, t] if t == 0 else truth[:, t, None, None, None] * frames[:, t]"
                        " + (1 - truth[:, t, None, None, None]) * prediction.data"),  # no gradient through what is fed back
        LOOP.format(fed="frames[:, t] if t == 0 else truth[:, t - 1, None, None, None] * frames[:, t]"
                        " + (1 - truth[:, t - 1, None, None, None]) * prediction"),  # one step late
    ],
    "13.2": [
        "p = np.full(draws.shape[1], max(0, 1 - k / until))\nreturn (draws < p).astype(np.float32)",  # also the given frames are drawn
        "p = np.full(draws.shape[1], min(1, k / until))\np[:given] = 1\nreturn (draws < p).astype(np.float32)",  # rising
        "p = np.full(draws.shape[1], max(0, 1 - k / until))\np[:given + 1] = 1\nreturn (draws < p).astype(np.float32)",
        "p = np.full(draws.shape[1], max(0, 1 - k / until))\np[:given] = 1\nreturn (draws >= p).astype(np.float32)",
    ],
    "13.3": [
        "return np.cumsum(1 - truth, axis=1).astype(int)",  # never back to 0
        "return (1 - truth).astype(int)",
        "return np.cumsum(1 - truth, axis=1).astype(int) * (truth == 0)",
    ],
}
