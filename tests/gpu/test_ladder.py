"""The ladder from the fastest way on a GPU down to the safest: what fails, or computes wrong numbers, is given up.

Failures are injected into the stand-in for CuPy (or into a GPU): a kernel that does not compile, is not launched, or is
wrong; a graph that cannot be recorded, is not launched, or replays something else; a GPU without memory, and one that
does not go on.
"""

import re

import numpy as np
import pytest
import stand_in
from op_cases import normal
from test_captured import assert_same, losses_and_weights
from test_tensor_cores import BOUNDS, CASES, inputs_of
from test_tensor_cores import check as check_values

import tinypredrnn as tp
from tinypredrnn import gpu as room
from tinypredrnn.errors import DeviceError, TooLargeError
from tinypredrnn.gpu import convolution, cublas, ladder, precision
from tinypredrnn.gpu.recording import Recording

SHAPES = CASES["the paper's, in small"][0]
READINGS = "convolve", "input_gradients", "weight_gradient"


class CompileException(Exception):
    """As CuPy's, which is no RuntimeError."""


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


CUDARuntimeError.__module__ = "cupy_backends.cuda.api.runtime"


class OutOfMemoryError(MemoryError):
    """As CuPy's."""


@pytest.fixture
def injected(card, request):
    """The stand-in's name, for failures that are injected into it and cannot be into a GPU."""
    if request.config.getoption("--device") != "cpu":
        pytest.skip("this failure is injected into the stand-in")
    return card


def raising(error):
    def fail(*given, **options):
        raise error
    return fail


def values(device):
    """conv2d on the device against float64 on the CPU, forward and backward, in float32."""
    with precision("fp32"):
        return check_values(device, inputs_of(**SHAPES), "same", BOUNDS["fp32"])


def said(capsys):
    return capsys.readouterr().err.splitlines()


# our own kernel -> cuBLAS

def test_each_variant_is_checked_once_a_process_against_cublas(gpu, monkeypatch):
    """In all three readings; and with another precision it is another variant."""
    checks, by_cublas = [], {name: getattr(cublas, name) for name in READINGS}
    for name in READINGS:
        monkeypatch.setattr(cublas, name, lambda *given, name=name: checks.append(name) or by_cublas[name](*given))
    values(gpu), values(gpu)
    assert sorted(checks) == sorted(READINGS)
    with precision("tf32"):
        tp.conv2d(*(tp.tensor(normal(*shape).astype(np.float32), device=gpu) for shape in ((1, 4, 4, 8), (3, 3, 8, 4))))
    assert checks[3:] == ["convolve"]


@pytest.mark.parametrize("columns", [64, 128])
@pytest.mark.parametrize("vector", [1, 4])
@pytest.mark.parametrize("role", range(3))
def test_the_small_problem_is_one_for_the_variant(role, vector, columns, gpu, monkeypatch):
    """And it has two slices, so that they are added up, too."""
    used = []
    monkeypatch.setattr(convolution, "multiprocessors", lambda device: 64)
    monkeypatch.setattr(convolution, "kernels", lambda *variant: used.append(variant) or (
        lambda grid, block, args, shared_mem: used.append(grid[2]), lambda *given: used.append("gather")))
    with pytest.raises(ladder.WrongResult), precision("fp32"):  # nothing was computed
        convolution.check(role, columns, vector, "fp32", gpu)
    assert used == [(role, columns, vector, "fp32", gpu), 2, "gather"]


@pytest.mark.parametrize("name", CASES)
def test_cublas_computes_the_same(name, card, monkeypatch):
    """Without our own kernel, switched off by a variable of the environment."""
    monkeypatch.setenv("TINYPREDRNN_OWN_KERNEL", "0")
    monkeypatch.setattr(convolution, "launch", raising(AssertionError))
    shapes, padding = CASES[name]
    with precision("fp32"):
        check_values(card, inputs_of(**shapes), padding, BOUNDS["fp32"])
        check_values(card, inputs_of(**shapes, bias=False), padding, BOUNDS["fp32"])


def at_compile(monkeypatch):
    monkeypatch.setattr(convolution, "kernels", raising(CompileException("kern.cu(3): error: no\nmore")))
    return r"failed \(CompileException: kern.cu\(3\): error: no\)"


def at_launch(monkeypatch):
    """While it is checked."""
    fail = raising(CUDARuntimeError("cudaErrorInvalidValue: invalid argument"))
    monkeypatch.setattr(convolution, "kernels", lambda *variant: (fail, fail))
    return r"failed \(CUDARuntimeError: cudaErrorInvalidValue: invalid argument\)"


def at_a_later_launch(monkeypatch):
    """After the check: frames of more tiles than a grid may have, for example."""
    launch = convolution.launch

    def fails(role, g, frames, *others, **sizes):
        if frames[0].shape[1:3] != (12, 11):  # the small problem's
            raise CUDARuntimeError("cudaErrorInvalidConfiguration: invalid configuration")
        return launch(role, g, frames, *others, **sizes)

    monkeypatch.setattr(convolution, "launch", fails)
    return r"failed \(CUDARuntimeError: cudaErrorInvalidConfiguration"


def wrong(role):
    def inject(monkeypatch):
        launch = convolution.launch

        def wrong(its, g, frames, matrix, bias, outputs, **sizes):
            launch(its, g, frames, matrix, bias, outputs, **sizes)
            if its == role:
                outputs[-1][...] = outputs[-1] * 1.01  # the last output: of two, the second one

        monkeypatch.setattr(convolution, "launch", wrong)
        return rf"computes wrong numbers \({READINGS[role]} in fp32 differs by .*, and at most .* is allowed\)"
    inject.__name__ = f"wrong_{READINGS[role]}"
    return inject


def not_a_number(monkeypatch):
    launch = convolution.launch

    def spoilt(its, g, frames, matrix, bias, outputs, **sizes):
        launch(its, g, frames, matrix, bias, outputs, **sizes)
        outputs[0].reshape(-1)[:1] = np.nan

    monkeypatch.setattr(convolution, "launch", spoilt)
    return "computes wrong numbers"


@pytest.mark.parametrize("inject", [at_compile, at_launch, at_a_later_launch, *map(wrong, range(3)), not_a_number],
                         ids=lambda inject: inject.__name__)
def test_a_kernel_that_fails_is_given_up_for_cublas(inject, card, fallen, monkeypatch, capsys):
    """The convolution that noticed it is computed by cuBLAS, and all later ones; one sentence says so, once."""
    fault = inject(monkeypatch)
    values(card), values(card)
    (sentence,) = said(capsys)
    assert re.fullmatch(f"our own convolution kernel on {card} {fault}.*: cuBLAS computes convolutions from now on",
                        sentence)
    assert len(fallen) == 1
    monkeypatch.setattr(convolution, "launch", raising(AssertionError))  # it is not tried again
    values(card)


def test_no_samples_are_no_reason_to_go_down(gpu):
    x, w = (tp.tensor(np.zeros(shape, np.float32), requires_grad=True, device=gpu) for shape in ((0, 6, 6, 3), (3, 3, 3, 4)))
    y = tp.conv2d(x, w)
    y.sum().backward()
    assert y.shape == (0, 6, 6, 4) and not w.grad.any() and x.grad.shape == x.shape
    assert ladder.own_kernel(gpu).fault is None


def test_a_lack_of_memory_is_no_reason_to_go_down(gpu, monkeypatch):
    """cuBLAS would need as much; and a check that could not be done is done the next time."""
    launch = convolution.launch
    for error in OutOfMemoryError("Out of memory"), CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"):
        monkeypatch.setattr(convolution, "launch", raising(error))
        with pytest.raises(type(error), match="emory"):
            values(gpu)
    monkeypatch.setattr(convolution, "launch", launch)
    monkeypatch.setattr(convolution, "kernels", raising(OutOfMemoryError("Out of memory")))
    with pytest.raises(OutOfMemoryError):
        values(gpu)
    assert not convolution.checked


def test_a_gpu_that_does_not_go_on_says_what_to_do(card, monkeypatch, capsys):
    """After an illegal address CUDA answers nothing but the same error, in this process."""
    dead = raising(CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered"))
    monkeypatch.setattr(convolution, "kernels", dead)
    for name in READINGS:
        monkeypatch.setattr(cublas, name, dead)
    with pytest.raises(DeviceError, match=r"the GPU did not go on \(CUDARuntimeError: cudaErrorIllegalAddress.*\): "
                                          "start again with TINYPREDRNN_OWN_KERNEL=0 in the environment"):
        values(card)


def test_switched_off_by_the_environment(card, monkeypatch, capsys):
    monkeypatch.setenv("TINYPREDRNN_OWN_KERNEL", "0")
    monkeypatch.setattr(convolution, "kernels", raising(AssertionError))
    values(card), values(card)
    assert said(capsys) == [f"our own convolution kernel on {card} is switched off by TINYPREDRNN_OWN_KERNEL: "
                            "cuBLAS computes convolutions from now on"]


def test_an_older_card_says_what_it_does(monkeypatch, capsys, make, tmp_path):
    """A T4, for example: nothing is tried in vain."""
    with stand_in.in_place_of_cupy(monkeypatch):
        monkeypatch.setattr(stand_in.Device, "compute_capability", "75")
        monkeypatch.setattr(convolution, "kernels", raising(AssertionError))
        old = make(tmp_path, "gpu")
        assert old.update.captured is None
        np.testing.assert_allclose(losses_and_weights(old)[0], losses_and_weights(make(tmp_path, "cpu"))[0], rtol=1e-4)
        assert said(capsys) == ["gpu:0 has compute capability 7.5, and our own kernel needs 8.0 or more: cuBLAS "
                                "computes convolutions, and training steps are launched op by op"]
        assert not room.has_tensor_cores("gpu:0")


# a training step as a CUDA graph -> launched op by op

def recording_refused(monkeypatch):
    error = CUDARuntimeError("cudaErrorStreamCaptureUnsupported: not permitted")
    monkeypatch.setattr(stand_in.Stream, "begin_capture", raising(error))
    return r"failed \(CUDARuntimeError: cudaErrorStreamCaptureUnsupported: not permitted\)"


def recording_invalid(monkeypatch):
    """The work was done, and then the recording cannot be used."""
    end = stand_in.Stream.end_capture

    def fails(self):
        end(self)
        raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: invalidated")

    monkeypatch.setattr(stand_in.Stream, "end_capture", fails)
    return r"failed \(CUDARuntimeError: cudaErrorStreamCaptureInvalidated"


def asking_the_gpu(monkeypatch):
    """Something within the step reads a number back, which CuPy refuses while recording."""
    differentiate = tp.train.Descent.differentiate

    def asks(self, *given):
        loss = differentiate(self, *given)
        float(loss.data)
        return loss

    monkeypatch.setattr(tp.train.Descent, "differentiate", asks)
    return r"failed \(RuntimeError: the current stream is capturing, so D2H transfers are disallowed\)"


def replay_fails(monkeypatch):
    monkeypatch.setattr(stand_in.Graph, "launch", raising(CUDARuntimeError("cudaErrorLaunchOutOfResources: too many")))
    return r"failed \(CUDARuntimeError: cudaErrorLaunchOutOfResources: too many\)"


def replay_incomplete(monkeypatch):
    """The last kernel is left out."""
    def launch(self, stream=None):
        for work in self.work[:-1]:
            work()

    monkeypatch.setattr(stand_in.Graph, "launch", launch)
    return r"computes wrong numbers \(a replay differs by"


def replay_of_another_step(monkeypatch):
    """What was recorded reads what the recorded step read, so that only the second replay differs."""
    launch, buffers = stand_in.Graph.launch, []
    monkeypatch.setattr(Recording, "record", lambda self, record=Recording.record: buffers.extend(
        (a, a.get()) for name, a in self.work.__self__.buffers.items() if name in ("frames", "truth")) or record(self))

    def stale(self, stream=None):
        now = [a.get() for a, _ in buffers]
        for a, old in buffers:
            a[...] = stand_in.asarray(old)
        launch(self)
        for (a, _), new in zip(buffers, now):
            a[...] = stand_in.asarray(new)

    monkeypatch.setattr(stand_in.Graph, "launch", stale)
    return r"computes wrong numbers \(a replay differs by"


@pytest.mark.parametrize("inject", [recording_refused, recording_invalid, asking_the_gpu, replay_fails,
                                    replay_incomplete, replay_of_another_step], ids=lambda inject: inject.__name__)
def test_a_graph_that_fails_is_given_up_for_launches(inject, injected, fallen, make, monkeypatch, tmp_path, capsys):
    """Losses, weights and moments are those of a run without a graph; one sentence says so."""
    launched = losses_and_weights(make(tmp_path, injected, graph=False), 5)
    fault = inject(monkeypatch)
    captured = make(tmp_path, injected)
    capsys.readouterr()
    assert_same(losses_and_weights(captured, 5), launched)
    (sentence,) = said(capsys)
    assert re.fullmatch(f"the training step recorded as a CUDA graph on {injected} {fault}.*: "
                        "steps are launched op by op from now on", sentence)
    assert len(fallen) == 1 and captured.update.optimiser.t == 5


def test_after_the_first_replays_nothing_is_compared(gpu, make, monkeypatch, tmp_path):
    compared, compare = [], Recording.compare
    monkeypatch.setattr(Recording, "compare", lambda self, changed: compared.append(1) or compare(self, changed))
    losses_and_weights(make(tmp_path, gpu), 5)
    assert len(compared) == 2  # the second and the third step


def test_without_our_own_kernel_steps_cannot_be_recorded(card, fallen, make, monkeypatch, tmp_path, capsys):
    """cuBLAS is refused while recording, so both rungs are left, each with its sentence."""
    launched = losses_and_weights(make(tmp_path, card, graph=False))
    ladder.own_kernel.cache_clear()
    convolution.checked.clear()
    at_compile(monkeypatch)
    assert_same(losses_and_weights(make(tmp_path, card)), launched)
    assert [sentence.split(":")[0].split(" on ")[0] for sentence in said(capsys)] == [
        "our own convolution kernel", "the training step recorded as a CUDA graph"] and len(fallen) == 2


def test_a_kernel_that_fails_while_it_is_recorded(injected, fallen, make, monkeypatch, tmp_path, capsys):
    """cuBLAS is not tried in its place then: the step is launched op by op, and cuBLAS computes its convolutions."""
    launched = losses_and_weights(make(tmp_path, injected, graph=False))
    launch = convolution.launch

    def fails(*given, **sizes):
        if stand_in.capturing.get() is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: invalidated")
        return launch(*given, **sizes)

    monkeypatch.setattr(convolution, "launch", fails)
    assert_same(losses_and_weights(make(tmp_path, injected)), launched)
    assert len(said(capsys)) == len(fallen) == 2 and all("cudaErrorStreamCaptureInvalidated" in fault for fault in fallen)


def test_a_mistake_in_the_step_itself_is_not_the_gpus(injected, make, monkeypatch, tmp_path):
    trainer = make(tmp_path, injected)
    losses_and_weights(trainer, 1)
    monkeypatch.setattr(trainer.update, "pixel_loss", raising(ZeroDivisionError("of the loss")))
    with pytest.raises(ZeroDivisionError, match="of the loss"):
        losses_and_weights(trainer, 1)


def test_without_memory_a_step_says_what_would_fit(injected, fallen, make, monkeypatch, tmp_path):
    """And is not launched op by op, which needs as much."""
    trainer = make(tmp_path, injected, batch=6)
    error = OutOfMemoryError("Out of memory allocating 8,589,934,592 bytes")
    monkeypatch.setattr(stand_in.Stream, "begin_capture", raising(error))
    with pytest.raises(TooLargeError, match=r"not enough memory \(Out of memory allocating .* bytes\), and a training "
                                            r"step takes about .*: take .*; by this estimate batch 5 would fit"):
        trainer.run()
    assert not fallen


def test_a_gpu_that_stops_in_a_graph_says_what_to_do(injected, make, monkeypatch, tmp_path):
    trainer = make(tmp_path, injected)
    losses_and_weights(trainer, 1)
    dead = raising(CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered"))
    monkeypatch.setattr(stand_in.Graph, "launch", dead)
    monkeypatch.setattr(Recording, "launch", dead)
    with pytest.raises(DeviceError, match="the GPU did not go on .*: start again without a recorded step .graph."):
        losses_and_weights(trainer, 1)
