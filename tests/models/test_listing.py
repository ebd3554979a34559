"""`tinypredrnn models`: what it prints, and that parameters and multiply-adds are those of the layers."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.autograd.products import counting
from tinypredrnn.errors import ConfigError
from tinypredrnn.models import MODELS, Predictor, __main__, build_model
from tinypredrnn.nn import BatchNorm, Conv2d, ConvTranspose2d, Linear
from tinypredrnn.options import option


def listed(capsys, *words):
    assert __main__.main([*words, "--json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


# by hand, for the default networks: 4 layers of 128, kernels 5x5, patches 4x4 of gray frames 64x64, so 16 channels on a
# grid of 16x16
PIXELS, KERNEL, X, K = 16 * 16, 5 * 5, 16, 128


def test_a_convlstm_by_hand(capsys):
    first = KERNEL * (X + K) * 4 * K  # W_x and W_h of i, f, g, o, which read the frame and H
    other = KERNEL * (K + K) * 4 * K  # here X is H of the layer below
    to_frame = K * X  # 1x1
    peepholes = 3 * PIXELS * K  # W_ci, W_cf, W_co: elementwise, so parameters but no multiply-adds
    row = listed(capsys)["convlstm"]
    assert row["multiply_adds"] == PIXELS * (first + 3 * other + to_frame)
    assert row["parameters"] == first + 3 * other + to_frame + 4 * (peepholes + 4 * K) + X  # the last two: biases


def test_an_st_lstm_by_hand(capsys):
    def layer(below):
        from_xh = KERNEL * (below + K) * 4 * K  # i, f, g, o
        from_xm = KERNEL * (below + K) * 3 * K  # i', f', g'
        from_cm = KERNEL * (K + K) * K  # W_co and W_mo
        return from_xh + from_xm + from_cm + (K + K) * K  # W_1x1

    row = listed(capsys)["predrnn"]
    assert row["multiply_adds"] == PIXELS * (layer(X) + 3 * layer(K) + K * X)
    assert row["parameters"] == layer(X) + 3 * layer(K) + K * X + 4 * (4 + 3 + 1) * K + X  # the last two: biases


def test_the_zigzag_by_hand(capsys):
    row = listed(capsys)["predrnn_m"]
    assert row["multiply_adds"] == PIXELS * (KERNEL * ((X + K) + 3 * K) * 4 * K + K * X)  # only layer 1 sees the frame


@pytest.mark.parametrize("algorithm", [dict(algorithm="direct"), dict(algorithm="winograd", tile=4)], ids=str)
def test_the_algorithm_does_not_matter(algorithm):
    model = build_model("predrnn", (8, 8), hidden=(3,), kernel=3, patch=2)
    with tp.convolution_by(**algorithm):
        count = model.count_multiply_adds()
    assert count == 16 * (9 * ((4 + 3) * (4 + 3) * 3 + 6 * 3) + 6 * 3 + 3 * 4)


class Odd(Predictor):
    """Strides, a transposed convolution, products of matrices, and a batch normalisation."""

    def __init__(self, frame, options, rng):
        super().__init__(frame, options)
        self.down, self.norm = Conv2d(frame[2], 6, 3, rng, stride=2), BatchNorm(6)
        self.wide = Conv2d(6, 6, 3, rng, padding="valid", dilation=2)
        self.mix, self.up = Linear(6, 5, rng), ConvTranspose2d(5, frame[2], 4, rng, stride=2)

    def start(self, x):
        return self.zeros(len(x), 7, 7)

    def step(self, x, state):
        features = self.norm(self.down(x))
        wide = self.wide(features)
        state = state @ state + wide.mean()
        return self.up(self.mix(features)), state


def test_a_model_from_outside_with_other_layers_and_no_paper(monkeypatch, capsys):
    monkeypatch.setitem(MODELS, "odd", Odd)
    row = listed(capsys, "odd")["odd"]
    half = 32 * 32
    by_hand = (half * 9 * 1 * 6, (32 - 4) ** 2 * 9 * 6 * 6, 7**3, half * 6 * 5, half * 16 * 5 * 1)
    assert row["multiply_adds"] == sum(by_hand) and row["paper"] is None
    assert __main__.main([]) == 0 and __main__.main(["odd"]) == 0
    assert f"{sum(by_hand):,} multiply-adds a frame" in capsys.readouterr().out


@dataclasses.dataclass(frozen=True)
class LongOptions(tp.options.Options):
    the_number_of_directions: int = option(4, "how many")


class Colourful(Odd):
    """For colour alone."""

    Options = LongOptions

    def __init__(self, frame, options, rng):
        if frame[2] != 3:
            raise ConfigError("only colour")
        super().__init__(frame, options, rng)


def test_a_model_that_cannot_have_such_frames_ends_no_list(monkeypatch, capsys):
    monkeypatch.setitem(MODELS, "colourful", Colourful)
    rows = listed(capsys)
    assert rows["colourful"]["parameters"] is None and rows["convlstm"]["parameters"] == 12_070_928
    assert __main__.main(["colourful"]) == 0 and tp.options.flags.get() is None  # a command's flags end with it
    printed = capsys.readouterr().out
    assert "not for frames of 64x64 with 1 channel: only colour" in printed and "--the-number-of-directions  how many" in printed


def test_counting_changes_nothing():
    model = Odd((64, 64, 1), tp.options.Options(), np.random.default_rng(0))
    before = model.state_dict()
    assert model.count_multiply_adds() > 0 and model.training and model.norm.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert np.any(tp.matmul(np.ones((2, 2)), np.ones((2, 2))))  # computed again


def test_what_is_counted_is_not_computed():
    a, b = tp.tensor(np.ones((4, 2, 3))), tp.tensor(np.ones((3, 5)))
    with counting() as counter:
        assert not (a @ b).numpy().any() and (a @ b).shape == (4, 2, 5)
        tp.conv2d(np.ones((2, 6, 6, 3)), np.ones((3, 3, 3, 4)), padding="valid")
    assert counter.multiply_adds == 2 * 4 * 2 * 3 * 5 + 2 * 4 * 4 * 9 * 3 * 4


def test_one_model_with_its_options(capsys):
    assert __main__.main(["predrnn"]) == 0
    printed = capsys.readouterr().out
    assert "convlstm" not in printed and "NIPS 2017" in printed and "23,842,832 parameters" in printed
    for name in MODELS["predrnn"].Options.names():
        assert f"--{name.replace('_', '-')} " in printed
    assert "(default: 128 128 128 128)" in printed
    with pytest.raises(ConfigError, match="'lstm' is unknown: expected one of convlstm"):
        __main__.main(["lstm"])


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_ours_names_its_paper_and_year(name):
    assert MODELS[name].paper.rstrip(".")[-4:].isdigit()


def test_as_a_module(tmp_path):
    ended = subprocess.run([sys.executable, "-m", "tinypredrnn.models", "--json"], capture_output=True, text=True)
    assert ended.stderr == "" and [row["name"] for row in json.loads(ended.stdout)] == list(MODELS)
    ended = subprocess.run([sys.executable, "-m", "tinypredrnn.models", "lstm"], capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.startswith("python -m tinypredrnn.models: model 'lstm' is unknown")
