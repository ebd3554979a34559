"""Overfitting: a network that cannot learn a few sequences by heart has a fault, whatever else it may learn."""

from tinypredrnn.metrics import MSE, Scores
from tinypredrnn.models import construct, find_model
from tinypredrnn.train.scoring import predict
from tinypredrnn.train.update import UPDATES

# how: it sees its own predictions in training, as when it predicts
RECIPE = dict(batch=4, optimiser="adam", rate=3e-3, rate_schedule="constant", clip=1.0, sampling="off",
              update="descent")
LOSSES = {"prednet": "l2", "mcnet": "bce"}  # in place of a network's own: see overfit_plan


def overfit_plan(plan, **changes):
    """The Plan with which its network learns four sequences by heart, with some options changed.

    The loss is its own, since with L2 a sigmoid at the output may get stuck at black, or else L2, which is measured. On
    these few bright pixels two networks would get stuck at black with their own: PredNet, whose last ReLU the L1 loss
    shuts, and MCnet, whose tanh L2 saturates.
    """
    loss = LOSSES.get(plan.model, find_model(plan.model).recipe.get("loss", "l2"))
    return plan.replace(**RECIPE | {"loss": loss, "loss_over": "all"} | changes)


def overfit(plan, source, every=20):
    """Train a network of this Plan (`plan.on(source)`) on its first batch of sequences, again and again.

    Yields (iteration, share) every so many iterations, and after the last, `recipe.steps`. The share is the network's
    MSE divided by that of copying the last frame, both for the future frames of these sequences, predicted from the
    given ones alone.
    """
    given, horizon = plan.data.given, plan.data.horizon
    frames = plan.scale.to_model(source.batch(0, plan.recipe.batch))  # (B,T,H,W,C)
    model = construct(*plan.network())
    update = UPDATES[plan.recipe.update](model, plan)
    for iteration in range(1, plan.recipe.steps + 1):
        update(frames, iteration - 1)
        if iteration % every == 0 or iteration == plan.recipe.steps:
            scores = Scores([MSE], ["copy_last"])
            scores.add(predict(model, frames[:, :given], horizon), frames[:, given:], frames[:, :given])
            result = scores.result()
            yield iteration, result["mse"] / result["copy_last_mse"]
