"""Four sequences learnt by heart: a network that cannot do that learns nothing."""

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.moving_mnist import MovingMNIST
from tinypredrnn.models import build_model
from tinypredrnn.nn import find_loss
from tinypredrnn.optim import Adam
from tinypredrnn.train import predict

SIZE, GIVEN, HORIZON = (12, 12), 3, 3
CASES = {  # the options of a small network, Adam's rate and how many steps; "fc_lstm composite" is fc_lstm
    "fc_lstm": (dict(width=64), 2e-2, 120),
    "fc_lstm composite": (dict(width=64, composite=True), 1e-2, 100),
    "vpn": (dict(width=16, patch=3, encoder_blocks=0, decoder_blocks=1), 1e-2, 120),
}


@pytest.mark.parametrize("name", CASES)
def test_four_sequences_are_learnt_by_heart(name):
    """Below a fifth of the error of copying the last frame, forecast without the truth; the loss falls from the first steps on."""
    options, rate, steps = CASES[name]
    rng = np.random.default_rng(0)
    images = draw_digits(rng, 10)[0][:, 11:16, 11:16]
    frames = MovingMNIST(images, digits=1, size=SIZE, frames=GIVEN + HORIZON).draw(rng, 4).astype(np.float32) / 255
    model = build_model(name.split()[0], SIZE, **options)
    optimiser, losses = Adam(model.parameters(), rate), []
    truth = np.repeat([[1] * GIVEN + [0] * (HORIZON - 1)], 4, axis=0)
    first = GIVEN - 1 if model.forecasts_only else 0
    for _ in range(steps):
        states = [] if model.loss_needs_states else None
        model.zero_grad()
        predictions = model.unroll(frames, truth, states, GIVEN)[:, first:]
        loss = model.loss(find_loss("bce"), predictions, tp.tensor(frames[:, first + 1:]), states)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    error = np.square(predict(model, frames[:, :GIVEN], HORIZON) - frames[:, GIVEN:]).mean()
    copy_last = np.square(frames[:, GIVEN - 1:GIVEN] - frames[:, GIVEN:]).mean()
    assert np.mean(losses[5:10]) < losses[0] and error < 0.2 * copy_last, (losses[0], losses[-1], error, copy_last)
