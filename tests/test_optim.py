"""All optimisers beside their papers, PyTorch and themselves after a stop; gradients clipped by hand."""

from pathlib import Path

import numpy as np
import pytest

from tinypredrnn import tensor
from tinypredrnn.errors import CheckpointError, ConfigError
from tinypredrnn.optim import OPTIMISERS, Adam, ClampedMomentum, Muon, RMSProp, clip_gradients, orthogonal

REFERENCES = Path(__file__).parent / "references"  # make_references.py there says what its files hold
SHAPES = [(3, 4), (5,), ()]
ALL = pytest.mark.parametrize("kind", OPTIMISERS.values(), ids=OPTIMISERS)


def algorithm_1(alpha, beta1, beta2, eps, theta, gradients):
    """Kingma and Ba (2015), Algorithm 1, in their order and with their names; yields theta after each step."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        theta = theta - alpha * m_hat / (np.sqrt(v_hat) + eps)
        yield theta


def parameters_of(seed, shapes=SHAPES, dtype=np.float64, device="cpu"):
    rng = np.random.default_rng([seed, 1])
    return [tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True, device=device) for shape in shapes]


def give_gradients(parameters, seed):
    rng = np.random.default_rng([seed, 2])
    for p in parameters:
        scale = 10 ** rng.uniform(-4, 2, p.shape)
        p.grad = tensor(np.asarray(rng.standard_normal(p.shape) * scale, p.dtype), device=p.device).data


def bits(arrays):
    return {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}


@pytest.mark.parametrize("rate, betas, eps", [(1e-3, (0.9, 0.999), 1e-8), (0.3, (0.5, 0.95), 1e-3)])
def test_adam_is_algorithm_1(rate, betas, eps, device):
    rng = np.random.default_rng(0)
    gradients = [rng.standard_normal((40, *shape)) * 10 ** rng.uniform(-5, 3, shape) for shape in SHAPES]
    gradients[0][:10, 0] = 0  # an eps that stands inside the root, or unbiased moments that are not, show where gradients are small
    parameters = parameters_of(0, device=device)
    expected = [algorithm_1(rate, *betas, eps, p.numpy().copy(), g) for p, g in zip(parameters, gradients)]
    optimiser = Adam(parameters, rate, betas, eps)
    for t in range(40):
        for p, g in zip(parameters, gradients):
            p.grad = tensor(np.asarray(g[t]), device=device).data
        optimiser.step()
        for p, theta in zip(parameters, expected):
            np.testing.assert_allclose(p.numpy(), next(theta), rtol=1e-12, atol=1e-12)


def reference(file, case):
    with np.load(REFERENCES / f"{file}.npz") as arrays:
        return {name.removeprefix(f"{case}/"): arrays[name] for name in arrays.files if name.startswith(f"{case}/")}


@pytest.mark.parametrize("case", ["usual", "other"])
def test_adam_agrees_with_reference_arrays_of_pytorch(case):
    given = reference("adam", case)
    parameters = {name: tensor(given[f"{name}.start"].copy(), requires_grad=True) for name in "wb"}
    optimiser = Adam(parameters.values(), float(given["rate"]), tuple(given["betas"]), float(given["eps"]))
    for t in range(len(given["w.gradients"])):
        for name, p in parameters.items():
            p.grad = given[f"{name}.gradients"][t]
        optimiser.step()
        for name, p in parameters.items():
            np.testing.assert_allclose(p.data, given[f"{name}.results"][t], rtol=1e-10, atol=1e-10)


def test_adam_agrees_with_torch_where_it_is_installed():
    torch = pytest.importorskip("torch")
    parameters = parameters_of(3)
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in parameters]
    ours, oracle = Adam(parameters, 0.01), torch.optim.Adam(theirs, lr=0.01)
    for t in range(30):
        give_gradients(parameters, t)
        for p, other in zip(parameters, theirs):
            other.grad = torch.tensor(p.grad)
        ours.step()
        oracle.step()
        for p, other in zip(parameters, theirs):
            np.testing.assert_allclose(p.data, other.detach().numpy(), rtol=1e-10, atol=1e-10)


def test_the_first_step_has_the_length_of_the_rate_whatever_the_gradients_scale():
    p = tensor(np.zeros(3), requires_grad=True)
    p.grad = np.array([1e-3, -40.0, 7.0])
    Adam([p], rate=0.25).step()
    np.testing.assert_allclose(p.data, [-0.25, 0.25, -0.25], rtol=1e-4)


@pytest.mark.parametrize("case", ["tall", "wide"])
@pytest.mark.parametrize("as_convolution", [False, True])
def test_muon_agrees_with_reference_arrays_of_pytorch(case, as_convolution, device):
    """A convolution's kernel (kh,kw,C,K) moves as the matrix (kh kw C, K)."""
    given = reference("muon", case)
    rows, columns = given["start"].shape
    shape = (3, 1, rows // 3, columns) if as_convolution else (rows, columns)
    p = tensor(given["start"].reshape(shape).copy(), requires_grad=True, device=device)
    optimiser = Muon([p], float(given["rate"]), float(given["momentum"]))
    for gradient, result in zip(given["gradients"], given["results"]):
        p.grad = tensor(gradient.reshape(shape), device=device).data
        optimiser.step()
        np.testing.assert_allclose(p.numpy().reshape(rows, columns), result, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("case", ["usual", "other"])
def test_rmsprop_agrees_with_reference_arrays_of_pytorch(case, device):
    given = reference("rmsprop", case)
    p = tensor(given["start"].copy(), requires_grad=True, device=device)
    optimiser = RMSProp([p], float(given["rate"]), float(given["decay"]), float(given["eps"]))
    for gradient, result in zip(given["gradients"], given["results"]):
        p.grad = tensor(gradient, device=device).data
        optimiser.step()
        np.testing.assert_allclose(p.numpy(), result, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("momentum, decay, most", [(0.9, 1e-4, 1e-4), (0.5, 0.3, 0.02), (0.0, 0.0, 1e9)])
def test_clamped_momentum_step_by_step(momentum, decay, most, device):
    """v is clipped and kept so; only what has more than one axis decays."""
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (5,), (1, 1, 6)]
    parameters = parameters_of(9, shapes, device=device)
    expected, v = [p.numpy().copy() for p in parameters], [np.zeros(shape) for shape in shapes]
    optimiser, bound = ClampedMomentum(parameters, 0.01, momentum, decay, most), []
    for _ in range(12):
        for i, p in enumerate(parameters):
            g = rng.standard_normal(p.shape) * 10 ** rng.uniform(-3, 1, p.shape)
            p.grad = tensor(g, device=device).data
            wanted = momentum * v[i] - 0.01 * g - (decay if g.ndim > 1 else 0) * expected[i]
            v[i] = np.minimum(np.maximum(wanted, -most), most)
            bound.append(abs(wanted) > most)
            expected[i] += v[i]
        optimiser.step()
        for p, e in zip(parameters, expected):
            np.testing.assert_allclose(p.numpy(), e, rtol=1e-12, atol=1e-15)
    assert np.concatenate([b.ravel() for b in bound]).any() == (most < 1)


@pytest.mark.parametrize("kind, options", [
    (RMSProp, dict(decay=1.0)), (RMSProp, dict(decay=-0.1)), (ClampedMomentum, dict(momentum=1.0)), (ClampedMomentum, dict(most=0.0)),
    (ClampedMomentum, dict(most=float("nan")))], ids=str)
def test_impossible_options_are_refused(kind, options):
    with pytest.raises(ConfigError, match=kind.__name__):
        kind([tensor(np.ones(3), requires_grad=True)], **options)


@pytest.mark.parametrize("kind", [kind for kind in OPTIMISERS.values() if kind.capturable], ids=lambda kind: kind.__name__)
def test_what_a_recorded_step_gives_besides(kind, device):
    """A factor for the gradient; and nothing changes unless loss and gradient are finite."""
    ones, others = (parameters_of(3, device=device) for _ in range(2))
    a, b = kind(ones, 0.01), kind(others, 0.01)
    for t in range(3):
        give_gradients(ones, t)
        give_gradients(others, t)
        a.count_step()
        for p in others:
            p.grad = p.grad * 0.25
        b.step()
        before = bits({str(i): tensor(array).numpy() for i, array in enumerate(a.arrays())})
        factors = a.factors(0.01, a.t)
        for i in range(len(ones)):
            a.move(i, *factors, scale=0.25, finite=0.0)
        assert bits({str(i): tensor(array).numpy() for i, array in enumerate(a.arrays())}) == before
        for i in range(len(ones)):
            a.move(i, *factors, scale=0.25, finite=1.0)
        for p, q in zip(ones, others):
            np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)


def test_muon_moves_biases_and_peepholes_by_adam(device):
    shapes = [(4,), (3, 2, 4), ()]
    ones, others = parameters_of(6, shapes, device=device), parameters_of(6, shapes, device=device)
    muon, adam = Muon([tensor(np.ones((2, 3)), requires_grad=True, device=device), *ones], 0.02), Adam(others, 0.02)
    for t in range(4):
        give_gradients(ones, t)
        give_gradients(others, t)
        muon.step()
        adam.step()
    assert all((p.numpy() == q.numpy()).all() for p, q in zip(ones, others))


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (7, 7), (1, 5)])
def test_orthogonal_keeps_singular_vectors_and_levels_singular_values(shape):
    rng = np.random.default_rng(0)
    u, _, vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    values = np.geomspace(1, 0.05, len(vt))
    levelled = u.T @ orthogonal(1e3 * u * values @ vt) @ vt.T
    np.testing.assert_allclose(levelled, np.diag(np.diag(levelled)), atol=1e-10)
    assert 0.6 < np.diag(levelled).min() and np.diag(levelled).max() < 1.25
    assert np.isfinite(orthogonal(np.zeros(shape, np.float32))).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e30])
def test_orthogonal_is_the_same_at_every_scale(scale):
    matrix = np.random.default_rng(0).standard_normal((6, 9)).astype(np.float32)
    np.testing.assert_allclose(orthogonal(np.float32(scale) * matrix), orthogonal(matrix), rtol=1e-3, atol=1e-4)


def test_a_step_of_muon_is_as_long_as_one_of_adam():
    """So one learning rate is good for both: each number moves by about 0.2 rate in the mean square, as Adam's do in practice."""
    p = tensor(np.zeros((3, 3, 20, 16), np.float32), requires_grad=True)
    p.grad = np.random.default_rng(0).standard_normal(p.shape).astype(np.float32)
    Muon([p], 0.1).step()
    assert p.dtype == np.float32 and 0.8 * 0.02 < np.sqrt((p.data ** 2).mean()) < 1.2 * 0.02


@ALL
@pytest.mark.parametrize("order", ["F", "reversed"])
def test_the_order_of_the_memory_changes_nothing(kind, order):
    """Such arrays have no view of another shape: what is written into a reshaped copy would be lost."""
    start, gradient = np.random.default_rng(0).standard_normal((2, 3, 3, 4, 5))
    usual = tensor(start.copy(), requires_grad=True)
    other = tensor(start.copy(), requires_grad=True)
    other.data = np.asfortranarray(start) if order == "F" else start[::-1].copy()[::-1]
    for p in usual, other:
        optimiser = kind([p], 0.1)
        for sign in 1, -2, 3:
            p.grad = sign * gradient
            optimiser.step()
    np.testing.assert_allclose(other.data, usual.data, rtol=1e-12)
    assert not np.allclose(usual.data, start)


def test_a_rate_given_to_step_counts_for_that_step_alone():
    usual, other = parameters_of(1), parameters_of(1)
    a, b = Adam(usual, rate=0.1), Adam(other, rate=123.0)
    for t in range(3):
        give_gradients(usual, t)
        give_gradients(other, t)
        a.step()
        b.step(rate=0.1)
    assert all(np.array_equal(p.data, q.data) for p, q in zip(usual, other))
    assert b.rate == 123.0
    before = [p.data.copy() for p in other]
    b.step(rate=0.0)
    assert all(np.array_equal(p.data, old) for p, old in zip(other, before))


@ALL
def test_a_parameter_without_gradient_is_passed_over(kind):
    parameters = parameters_of(2)
    optimiser = kind(parameters, 1e-3)
    give_gradients(parameters, 0)
    optimiser.step()
    before = parameters[1].data.copy(), *(array.copy() for array in optimiser.kept[1].values())
    give_gradients(parameters, 1)
    parameters[1].grad = None
    others = [parameters[0].data.copy(), parameters[2].data.copy()]
    optimiser.step()
    assert all(np.array_equal(now, old) for now, old in zip((parameters[1].data, *optimiser.kept[1].values()), before))
    assert not np.array_equal(parameters[0].data, others[0]) and not np.array_equal(parameters[2].data, others[1])


@ALL
def test_float32_stays_float32_and_gradients_stay_as_they_are(kind, device):
    parameters = parameters_of(4, dtype=np.float32, device=device)
    give_gradients(parameters, 0)
    gradients = [p.grad.copy() for p in parameters]
    optimiser = kind(parameters, rate=np.float64(0.01))
    optimiser.step()
    optimiser.step(rate=np.float64(0.02))
    for p, kept, g in zip(parameters, optimiser.kept, gradients):
        assert {p.dtype, *(array.dtype for array in kept.values())} == {np.dtype(np.float32)}
        assert bool((p.grad == g).all())


@ALL
def test_state_round_trip_is_bit_for_bit(kind, device):
    straight, first = (parameters_of(5, dtype=np.float32, device=device) for _ in range(2))
    a, b = kind(straight, 0.01), kind(first, 0.01)
    for t in range(6):
        give_gradients(straight, t)
        a.step()
    for t in range(3):
        give_gradients(first, t)
        b.step()
    state, weights = b.state_dict(), [p.numpy().copy() for p in first]
    slots = {f"{slot}.{i}" for i, p in enumerate(first) for slot in kind.slots(p)}
    assert state.keys() == {"t", *slots} and all(type(a) is np.ndarray for a in state.values())
    second = [tensor(w.copy(), requires_grad=True, device=device) for w in weights]
    c = kind(second, 0.01)
    c.load_state_dict(state)
    kept = bits(state)
    for t in range(3, 6):
        give_gradients(second, t)
        c.step()
    assert bits(c.state_dict()) == bits(a.state_dict()) and int(c.state_dict()["t"]) == 6
    assert all(p.numpy().tobytes() == q.numpy().tobytes() for p, q in zip(straight, second))
    assert bits(state) == kept  # it was copied when it was loaded; and when it was made:
    give_gradients(first, 9)
    b.step()
    assert bits(state) == kept


WRONG_STATES = {
    "nothing": lambda s: s.clear(),
    "one missing": lambda s: s.pop("v.2"),
    "one too many": lambda s: s.update({"m.3": np.zeros(2)}),
    "another shape": lambda s: s.update({"m.1": np.zeros((5, 1))}),
    "no step count": lambda s: s.pop("t"),
    "a step count of two numbers": lambda s: s.update(t=np.array([1, 2])),
    "a step count that is no number": lambda s: s.update(t=np.array(np.nan)),
    "a step count below 0": lambda s: s.update(t=np.array(-1)),
}


@pytest.mark.parametrize("spoil", WRONG_STATES.values(), ids=WRONG_STATES)
def test_a_wrong_state_is_refused_and_changes_nothing(spoil):
    parameters = parameters_of(6)
    optimiser = Adam(parameters)
    give_gradients(parameters, 0)
    optimiser.step()
    before, state = bits(optimiser.state_dict()), Adam(parameters).state_dict()
    spoil(state)
    with pytest.raises(CheckpointError, match="other parameters"):
        optimiser.load_state_dict(state)
    assert bits(optimiser.state_dict()) == before


def test_clip_gradients_by_hand(device):
    a, b, c = parameters_of(7, [(2,), (1, 1), (3,)], device=device)
    a.grad, b.grad = tensor(np.array([2.0, -4.0]), device=device).data, tensor(np.array([[4.0]]), device=device).data  # length 6
    assert clip_gradients([a, b, c], norm=6.0) == 6.0
    assert a.grad.tolist() == [2.0, -4.0] and b.grad.tolist() == [[4.0]]  # at the limit: as they were
    assert clip_gradients([a, b, c], norm=1.5) == 6.0
    assert a.grad.tolist() == [0.5, -1.0] and b.grad.tolist() == [[1.0]] and c.grad is None
    assert clip_gradients([a, b, c], norm=100.0) == 1.5
    assert a.grad.tolist() == [0.5, -1.0]
    assert clip_gradients([c], norm=1.0) == 0.0


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_clip_gradients_tells_of_a_gradient_that_is_no_number(value):
    (a,) = parameters_of(8, [(2,)])
    a.grad = np.array([1.0, value])
    with np.errstate(invalid="ignore"):  # inf / inf
        assert not np.isfinite(clip_gradients([a], norm=1.0))


@pytest.mark.parametrize("norm", [0, -1.0, float("nan")])
def test_a_length_that_would_stop_all_learning_is_refused(norm):
    a = tensor([3.0], requires_grad=True)
    a.grad = np.ones(1, np.float32)
    with pytest.raises(ConfigError, match="clip_gradients"):
        clip_gradients([a], norm)
    assert a.grad == 1


READ_ONLY = np.broadcast_to(np.float32(1), (3,))


@pytest.mark.parametrize("parameter, match", [
    (2 * tensor(np.ones(3), requires_grad=True), "leaf.*mul"), (np.ones(3), "leaf.*ndarray"), ("weight", "leaf.*str"),
    (tensor(READ_ONLY, requires_grad=True), "read-only")], ids=["made by an op", "an array", "a name", "read-only"])
def test_parameters_that_a_step_could_not_change_are_refused(parameter, match):
    with pytest.raises(ConfigError, match=match):
        Adam([tensor(np.ones(3), requires_grad=True), parameter])


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (float("nan"), 0.9)])
def test_betas_from_0_up_to_1(betas):
    with pytest.raises(ConfigError, match="betas"):
        Adam([tensor(np.ones(3), requires_grad=True)], betas=betas)


def test_each_parameter_counts_its_own_steps_as_in_torch():
    torch = pytest.importorskip("torch")
    parameters = parameters_of(3)
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in parameters]
    ours, oracle = Adam(parameters, 0.01), torch.optim.Adam(theirs, lr=0.01)
    for t in range(8):
        give_gradients(parameters, t)
        if t < 2:
            parameters[1].grad = None  # it gets its first gradient in the third step
        if t % 2:
            parameters[2].grad = None
        for p, other in zip(parameters, theirs):
            other.grad = None if p.grad is None else torch.tensor(p.grad)
        if t == 5:
            state, ours = ours.state_dict(), Adam(parameters, 0.01)
            assert state["t"].tolist() == [5, 3, 3]
            ours.load_state_dict(state)
        ours.step()
        oracle.step()
        for p, other in zip(parameters, theirs):
            np.testing.assert_allclose(p.data, other.detach().numpy(), rtol=1e-10, atol=1e-10)


def test_a_state_with_one_step_count_for_all_is_read():
    parameters = parameters_of(4)
    optimiser, state = Adam(parameters), Adam(parameters).state_dict()
    optimiser.load_state_dict(state | {"t": np.array(7)})
    assert optimiser.t == 7 and optimiser.skipped == [0, 0, 0] and optimiser.state_dict()["t"].shape == ()
