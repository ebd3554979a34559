"""How probable is it that a threshold is reached? A small head on top of a trained network answers that.

Under a squared error a network forecasts the mean of what may come. 20 dBZ may then stand for certain drizzle, or for
a storm that either hits or misses: for a warning they are not the same. The head reads the network's forecasts, which
stay as they are, and learns on the training sequences how often each threshold was reached where such a forecast was
made, so that of all its "70 %" about 70 % come true.

It is a head of its own, not part of one network: any run can have one, whatever its network, loss and recipe. Such
learning from past forecasts is called model output statistics (Glahn and Lowry 1972).
"""

import json
import math

import numpy as np

from tinypredrnn.autograd import bce_with_logits, concat, no_grad, relu, sigmoid, softplus, tensor, where
from tinypredrnn.data.arrays import headers
from tinypredrnn.errors import CheckpointError
from tinypredrnn.metrics import count_reliability
from tinypredrnn.nn import Conv2d, Module
from tinypredrnn.optim import Adam
from tinypredrnn.train.checkpoint import checksum
from tinypredrnn.train.scoring import predict

FILE = "probability.npz"  # in the folder of a run
RATE = 3e-3  # at first; it falls to 0 as a cosine does


class ExceedanceHead(Module):
    """Forecasts (N,T,H,W,1) in [0,1] -> the probabilities (N,T,H,W,K) that the truth reaches each of K thresholds.

        z_1 = a_1,  z_k = z_(k-1) - softplus(a_k),  P(truth >= threshold k) = sigmoid(z_k)

    a_1 ... a_K come from three convolutions of a forecast frame and of its lead time, which are the same for all lead
    times. Since softplus is positive, a higher threshold is never more probable than a lower one (an ordinal
    regression; Cheng et al. 2008).
    """

    def __init__(self, thresholds, width, rng):
        self.around = Conv2d(2, width, 5, rng)
        self.mixed = Conv2d(width, width, 3, rng)
        self.ordered = Conv2d(width, thresholds, 1, rng)

    def logits(self, forecasts, horizon):
        """z_1 ... z_K, (N,T,H,W,K); lead times are counted in horizons, so that the last one learnt is 1."""
        n, t, h, w, _ = forecasts.shape
        lead = np.broadcast_to(np.arange(1, t + 1, dtype=np.float32)[:, None, None, None] / horizon, (n, t, h, w, 1))
        x = tensor(np.concatenate([forecasts, lead], axis=-1).reshape(n * t, h, w, 2))  # (NT,H,W,2)
        a = self.ordered(relu(self.mixed(relu(self.around(x)))))  # (NT,H,W,K)
        z = [a[..., :1]]
        for k in range(1, a.shape[-1]):
            z.append(z[-1] - softplus(a[..., k:k + 1]))
        return concat(*z, axis=-1).reshape(n, t, h, w, -1)

    def forward(self, forecasts, horizon):
        return sigmoid(self.logits(forecasts, horizon))


class Exceedance:
    """A trained network with a head for some thresholds.

    model, plan   the network and the Plan of its run; its frames have one channel
    thresholds    in the unit of the data, rising
    """

    def __init__(self, model, plan, thresholds, width=16):
        self.model, self.plan, self.thresholds, self.width = model, plan, tuple(thresholds), width
        self.least = [plan.scale.reached_from(threshold) for threshold in thresholds]
        self.head = ExceedanceHead(len(thresholds), width, np.random.default_rng(plan.recipe.seed))

    def events(self, truth):
        """Truth (N,T,H,W,1) in [0,1] -> 1 where a threshold is reached, NaN in places without data: (N,T,H,W,K)."""
        reached = (truth >= np.array(self.least, truth.dtype)).astype(truth.dtype)
        return np.where(np.isnan(truth), np.nan, reached)

    def forecast(self, inputs, horizon):
        """(N,J,H,W,1) -> (forecasts (N,horizon,H,W,1), their probabilities (N,horizon,H,W,K))"""
        forecasts = predict(self.model, inputs, horizon)
        with no_grad():
            return forecasts, self.head(forecasts, self.plan.data.horizon).numpy()

    def fit(self, batches, steps):
        """Train the head on batches of frames (N,T,H,W,1) in [0,1], of which the first are given to the network. Yields
        the loss, the mean cross-entropy of an event in a known place, after each step.
        """
        given, optimiser = self.plan.data.given, Adam(self.head.parameters(), RATE)
        for step, frames in zip(range(steps), batches):
            truth = frames[:, given:]
            forecasts, events = predict(self.model, frames[:, :given], truth.shape[1]), self.events(truth)
            known = ~np.isnan(events)
            costs = bce_with_logits(self.head.logits(forecasts, self.plan.data.horizon), np.nan_to_num(events))
            loss = where(known, costs, 0.0).sum() / max(known.sum(), 1)
            self.head.zero_grad()
            loss.backward()
            optimiser.step(RATE * (1 + math.cos(math.pi * step / steps)) / 2)
            yield loss.item()

    def score(self, batches):
        """Compare probabilities with what came, on batches of frames (N,T,H,W,1) in [0,1]. Returns
        {threshold: {"head": counts, "forecast": counts, "brier": ..., "brier_forecast": ..., "brier_climate": ...}}.

        The counts (bins,3) are those of metrics.count_reliability, of the head and of the forecast itself, which says
        0 or 1. The Brier score is the mean squared difference of a probability and the event: 0 for a perfect one, and
        for the climate, which always says how often the event came, the variance of the event.
        """
        given, sums = self.plan.data.given, {}
        for frames in batches:
            truth = frames[:, given:]
            events = self.events(truth)
            forecasts, probabilities = self.forecast(frames[:, :given], truth.shape[1])
            for k, threshold in enumerate(self.thresholds):
                event, total = events[..., k], sums.setdefault(threshold, {})
                said = {"head": probabilities[..., k], "forecast": self.events(forecasts)[..., k]}
                for name, p in said.items():
                    add(total, name, count_reliability(p, event))
                    add(total, f"brier_{name}", np.nansum(np.square(p - event), dtype=np.float64))
        for total in sums.values():
            known, _, came = total["head"].sum(axis=0)
            total |= {name: float(total[name] / max(known, 1)) for name in ("brier_head", "brier_forecast")}
            frequency = came / max(known, 1)
            total["brier_climate"] = float(frequency * (1 - frequency))
        return sums

    def save(self, folder):
        """Write the head into the RunFolder of its run."""
        about = {"thresholds": self.thresholds, "width": self.width, "unit": self.plan.scale.unit,
                 "weights_sha256": checksum(self.model.state_dict())}
        with folder.writing(FILE) as temporary, open(temporary, "wb") as file:
            np.savez(file, about=json.dumps(about), **self.head.state_dict())


def load_exceedance(folder, model, plan):
    """The Exceedance that a run's folder has for these weights of its network, or None if it has none.

    CheckpointError if the file is damaged, or belongs to other weights, since the run went on after it was made.
    """
    path = folder / FILE
    if not path.is_file():  # also if `folder` is a checkpoint file
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            if sum(header.bytes for header in headers(file).values()) > path.stat().st_size:
                raise ValueError("its arrays claim to be larger than the file")
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
        found = Exceedance(model, plan, about["thresholds"], int(about["width"]))
        found.head.load_state_dict(arrays)
    except Exception as error:  # zipfile, NumPy and json raise all kinds of exceptions on a damaged file
        raise CheckpointError(f"{path} is damaged ({type(error).__name__}): make it again with `tinypredrnn "
                              "probability`, or delete it") from error
    if about["weights_sha256"] != checksum(model.state_dict()):
        raise CheckpointError(f"{path} belongs to other weights of this run: make it again with `tinypredrnn "
                              "probability`, or delete it")
    return found


def add(total, name, value):
    total[name] = total.get(name, 0) + value
