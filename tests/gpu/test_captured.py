"""A training step as a CUDA graph, on a GPU or on the stand-in: what is replayed gives the numbers that were computed op by op."""

import re

import numpy as np
import pytest

from tinypredrnn.autograd import kept, tensor
from tinypredrnn.errors import ConfigError, TrainingError
from tinypredrnn.gpu import check_precision, convolution, precision


def losses_and_weights(trainer, steps=3):
    losses = [trainer.step(trainer.frames(trainer.iteration)) for _ in range(steps)]
    return losses, trainer.model.state_dict() | trainer.update.state_dict()


def assert_same(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-5)
    assert found[1].keys() == expected[1].keys()
    for name, array in expected[1].items():
        np.testing.assert_allclose(found[1][name], array, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("options", [
    dict(sampling_until=2), dict(clip=0.05, sampling="reverse", loss_over="future", loss="l2"), dict(horizon=9),
    dict(model="predrnn_pp"), dict(model="predrnn_v2"), dict(model="convlstm_shi"), dict(recompute=True, truncate=2),
    dict(activations="bf16")], ids=str)
def test_replays_are_the_steps_that_were_launched_one_by_one(options, make, gpu, tmp_path, monkeypatch):
    """Scheduled sampling, the loss and Adam's factors change from step to step; the graph is recorded once, in the second."""
    monkeypatch.setattr(kept, "SMALL", 1)  # these networks are small
    captured = make(tmp_path, gpu, **options)
    launched = losses_and_weights(make(tmp_path, gpu, graph=False, **options))
    assert_same(losses_and_weights(captured), launched)
    np.testing.assert_allclose(launched[0], losses_and_weights(make(tmp_path, "cpu", **options))[0], rtol=1e-4)
    assert captured.update.captured.recording.graph
    assert captured.update.optimiser.t == (6 if captured.plan.recipe.update == "both_ways" else 3)


@pytest.mark.parametrize("network", [
    dict(model="fc_lstm", width=4), dict(model="fc_lstm", width=4, composite=True, optimiser="clamped", rate=5.0, sampling="teacher"),
    dict(model="vpn", width=2, patch=2, encoder_blocks=1, decoder_blocks=1, dilations=(2,))], ids=str)
def test_rivals_with_their_optimisers_are_recorded_too(network, make, gpu, tmp_path):
    """Also dilated convolutions, and an encoder that waits for the last given frame."""
    captured, launched = make(tmp_path, gpu, network=network), make(tmp_path, gpu, graph=False, network=network)
    assert_same(losses_and_weights(captured), losses_and_weights(launched))
    assert captured.update.captured.recording.graph and captured.update.optimiser.t == 3


def test_a_run_is_resumed_on_the_gpu_and_its_memory_is_told(make, gpu, tmp_path, capsys):
    straight, stopped, resumed = make(tmp_path / "a", gpu), make(tmp_path / "b", gpu), make(tmp_path / "b", gpu)
    assert straight.run() is None
    assert re.search(r"GPU memory: [\d,]+ MiB, and [\d,]+ MiB for the recorded step", capsys.readouterr().out)
    losses_and_weights(stopped, 2)
    stopped.save()
    resumed.restore()
    losses_and_weights(resumed, 2)
    for name, array in straight.model.state_dict().items():
        np.testing.assert_allclose(resumed.model.state_dict()[name], array, rtol=1e-4, atol=1e-5)


def test_weights_that_were_replaced_are_noticed(make, gpu, tmp_path):
    """load_state_dict puts other arrays in their place: the graph would go on with the old ones."""
    a, b = make(tmp_path, gpu), make(tmp_path, gpu, graph=False)
    for one in a, b:
        before = one.model.state_dict()
        losses_and_weights(one)
        one.model.load_state_dict(before)
    assert_same(losses_and_weights(a), losses_and_weights(b))


def test_a_loss_that_is_no_number_changes_nothing(make, gpu, tmp_path):
    trainer = make(tmp_path, gpu)
    losses_and_weights(trainer, 3)
    before = trainer.model.state_dict() | trainer.update.state_dict()
    frames = trainer.frames(0)
    frames[0, 1, 3, 3] = np.inf
    with pytest.raises(TrainingError, match="the loss of iteration 4 is nan"):
        trainer.step(frames)
    after = trainer.model.state_dict() | trainer.update.state_dict()
    assert all(np.array_equal(after[name], before[name]) for name in before) and trainer.iteration == 3
    assert np.isfinite(losses_and_weights(trainer, 1)[0])


def test_precision_belongs_to_the_run(make, gpu, tmp_path, monkeypatch):
    used = set()
    monkeypatch.setattr(convolution, "launch", lambda *given, **sizes: used.add(convolution.rounding.get()))
    for name, expected in (("auto", "tf32"), ("bf16", "bf16"), ("fp32", "fp32")):
        used.clear()
        trainer = make(tmp_path, gpu, precision=name)
        with np.errstate(all="ignore"), precision(trainer.update.precision):
            trainer.update.differentiate(tensor(trainer.frames(0), device=gpu), trainer.update.truth(0))
        assert used == {expected}


def test_impossible_precisions_are_explained(make, tmp_path, gpu):
    with pytest.raises(ConfigError, match="precision bf16 is the tensor cores' of a GPU, and the CPU computes in fp32 only"):
        make(tmp_path, "cpu", precision="bf16")
    with pytest.raises(ConfigError, match="precision is one of fp32, tf32, bf16, got 'fp16'"), precision("fp16"):
        pass
    assert check_precision("auto", "cpu") == check_precision("fp32", "cpu") == check_precision("fp32", gpu) == "fp32"
    assert check_precision("auto", gpu) == "tf32"
