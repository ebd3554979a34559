"""Weights of the official PyTorch network, there and back: against its arrays (committed) and against PyTorch itself where it is."""

from pathlib import Path

import numpy as np
import pytest
from small import random_frames, small_network

from tinypredrnn import build_model, space_to_depth, tensor
from tinypredrnn.backend import to_numpy
from tinypredrnn.errors import CheckpointError, ConfigError
from tinypredrnn.models.official import export_official, import_official, to_official
from tinypredrnn.optim import Adam

REFERENCE = Path(__file__).parent.parent / "references" / "official.npz"
OPTIONS = dict(size=(6, 8), channels=2, patch=2)


def reference():
    with np.load(REFERENCE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def part(arrays, prefix):
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


@pytest.fixture
def weights():
    return part(reference(), "weight.")


def compare(model, weights, frames, mask, given, cotangent, expected, gradients, device):
    """Outputs and every gradient, ours against theirs."""
    x = tensor(frames, requires_grad=True, device=device)
    truth = np.concatenate([np.ones((len(frames), given)), mask], axis=1)
    outputs = model.unroll(x, truth)
    np.testing.assert_allclose(space_to_depth(outputs.numpy(), model.patch), expected, rtol=0, atol=1e-10)
    outputs.backward(tensor(cotangent, device=device))
    np.testing.assert_allclose(to_numpy(x.grad), gradients["frames"], rtol=0, atol=1e-10)
    ours = to_official({name: to_numpy(t.grad) for name, t in model.named_tensors() if t.requires_grad})
    assert ours.keys() == weights.keys() and all(abs(g).max() > 1e-3 for g in ours.values())
    for name, gradient in ours.items():
        np.testing.assert_allclose(gradient, gradients[name], rtol=0, atol=1e-10, err_msg=name)


def test_outputs_and_gradients_are_those_that_pytorch_computed(device, weights):
    r = reference()
    model = import_official(weights, **OPTIONS).to(device=device)
    compare(model, weights, r["frames"], r["mask"], 3, r["cotangent"], r["outputs"], part(r, "gradient."), device)


@pytest.mark.parametrize("depth, hidden, kernel, patch, channels", [(1, 3, 1, 1, 1), (2, 4, 5, 2, 1), (4, 2, 3, 4, 3)])
def test_outputs_and_gradients_are_those_of_pytorch(depth, hidden, kernel, patch, channels, device):
    pytest.importorskip("torch")
    from references import make_official

    rng = np.random.default_rng(7)
    weights = make_official.random_weights(rng, depth, hidden, patch * patch * channels, kernel)
    frames, mask = random_frames(2, 6, 8, 12, channels), rng.integers(0, 2, (2, 2)).astype(float)
    cotangent = rng.standard_normal((2, 5, 8, 12, channels))
    theirs = make_official.outputs_and_gradients(weights, frames, mask, cotangent, patch, given=3)
    model = import_official(weights, (8, 12), channels, patch).to(device=device)
    compare(model, weights, frames, mask, 3, cotangent, *theirs, device)


def test_the_order_inside_a_patch_is_the_authors():
    """Written out pixel by pixel: channel (row * patch + column) * colours + colour of the patch (y, x)."""
    frames = random_frames(1, 1, 6, 8, 3)
    patches = space_to_depth(frames, 2)  # (1,1,3,4,12)
    for y, x, row, column, colour in np.ndindex(3, 4, 2, 2, 3):
        assert patches[0, 0, y, x, (row * 2 + column) * 3 + colour] == frames[0, 0, 2 * y + row, 2 * x + column, colour]


def test_there_and_back(weights):
    model = import_official(weights, **OPTIONS)
    assert all(t.data.flags.c_contiguous for _, t in model.named_tensors())
    back = export_official(model)
    assert back.keys() == weights.keys()
    for name, a in weights.items():
        np.testing.assert_array_equal(back[name], a, err_msg=name)
        assert back[name].dtype == a.dtype and back[name].flags.c_contiguous


def test_back_and_there():
    """A new model as the authors' code would start it, widths and all; exported, it lives on in other arrays."""
    model = build_model("predrnn", (8, 8), 1, hidden=(4, 4), kernel=3, patch=2)
    weights = export_official(model)
    again = import_official(weights, (8, 8), 1, 2)
    weights["conv_last.weight"][:] = 0
    frames = random_frames(1, 3, 8, 8, 1, dtype=np.float32)
    np.testing.assert_array_equal(again(frames, 2).numpy(), model(frames, 2).numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_model_has_the_dtype_of_the_weights(weights, dtype):
    model = import_official({name: a.astype(dtype) for name, a in weights.items()}, **OPTIONS)
    assert model.dtype == dtype == export_official(model)["conv_last.weight"].dtype
    assert {t.dtype for _, t in model.named_tensors()} == {np.dtype(dtype)}


def test_what_np_load_gives_and_prefixes_of_data_parallel(tmp_path, weights):
    np.savez(tmp_path / "official.npz", **{f"module.{name}": a for name, a in weights.items()})
    with np.load(tmp_path / "official.npz") as file:
        back = export_official(import_official(file, **OPTIONS))
    np.testing.assert_array_equal(back["cell_list.1.conv_m.0.weight"], weights["cell_list.1.conv_m.0.weight"])


def test_the_state_dict_of_a_pytorch_network(weights):
    torch = pytest.importorskip("torch")
    model = import_official({name: torch.tensor(a) for name, a in weights.items()}, **OPTIONS)
    np.testing.assert_array_equal(export_official(model)["conv_last.weight"], weights["conv_last.weight"])


def test_the_adapter_of_version_2_is_left_out(weights):
    model = import_official(weights | {"adapter.weight": np.ones((2, 2, 1, 1))}, **OPTIONS)
    assert export_official(model).keys() == weights.keys()


def test_the_size_of_the_paper_has_the_official_number_of_parameters():
    model = import_official(export_official(build_model("predrnn")))
    assert model.count_parameters() == 23_838_720


def test_training_leaves_an_imported_model_exportable(weights):
    model = import_official(weights, **OPTIONS)
    optimiser = Adam(model.parameters(), 1e-2)
    (model(random_frames(1, 3, 6, 8, 2), 1) ** 2).sum().backward()
    optimiser.step(1e-2)
    assert all(abs(a - weights[name]).max() > 1e-3 for name, a in export_official(model).items())


# what cannot be

@pytest.mark.parametrize("change, message", [
    (lambda w: w.clear(), "got none"),
    (lambda w: w.pop("cell_list.0.conv_x.0.weight"), "got none"),
    (lambda w: w.pop("cell_list.2.conv_o.0.weight"), "missing cell_list.2.conv_o.0.weight; unknown none"),
    (lambda w: w.pop("conv_last.weight"), "missing conv_last.weight"),
    (lambda w: w.update({"cell_list.1.conv_x.0.bias": np.zeros(14)}), "unknown cell_list.1.conv_x.0.bias"),
    (lambda w: w.update({"cell_list.4.conv_x.0.weight": w.pop("cell_list.2.conv_x.0.weight")}), "missing cell_list.2.conv_x.0.weight"),
    (lambda w: w.update({"cell_list.1.conv_m.0.weight": np.zeros((9, 3, 3, 3))}), r"cell_list.1.conv_m.0.weight has shape \(9, 3, 3, 3\)"),
    (lambda w: w.update({"conv_last.weight": np.zeros((8, 2))}), r"conv_last.weight has shape \(8, 2\)"),
    (lambda w: w.update({"cell_list.0.conv_x.0.weight": np.zeros((8, 2, 3, 3))}), r"got \(8, 2, 3, 3\)"),
    (lambda w: w.update({"cell_list.0.conv_x.0.weight": np.zeros((0, 8, 3, 3))}), r"got \(0, 8, 3, 3\)"),
    (lambda w: w.update({"cell_list.0.conv_x.1.weight": np.ones((14, 3, 4))}), "layer_norm 0"),
    (lambda w: w.update({"conv_last.weight": w["conv_last.weight"].astype(np.float32)}), "got float32, float64"),
    (lambda w: w.update({"conv_last.weight": np.array(["a"])}), "float32 or all float64"),
])
def test_weights_of_something_else(weights, change, message):
    change(weights)
    with pytest.raises(CheckpointError, match=message):
        import_official(weights, **OPTIONS)


def test_a_damaged_file(tmp_path, weights):
    np.savez(tmp_path / "official.npz", **weights)
    content = bytearray((tmp_path / "official.npz").read_bytes())
    content[content.index(weights["conv_last.weight"].tobytes()) + 3] ^= 1
    (tmp_path / "official.npz").write_bytes(content)
    with np.load(tmp_path / "official.npz") as file, pytest.raises(CheckpointError, match="conv_last.weight cannot be read"):
        import_official(file, **OPTIONS)


@pytest.mark.parametrize("options, message", [
    (dict(size=(6, 8), channels=1, patch=2), "take 8 channels .* have 4"),
    (dict(size=(6, 8), channels=2, patch=1), "have 2"),
])
def test_frames_that_the_weights_are_not_for(weights, options, message):
    with pytest.raises(ConfigError, match=message):
        import_official(weights, **options)


@pytest.mark.parametrize("model, message", [
    (lambda: build_model("convlstm", (8, 8), 1, hidden=(2, 2), kernel=3, patch=2), "ConvLSTMNetwork"),
    (lambda: build_model("predrnn", (8, 8), 1, hidden=(2, 3), kernel=3, patch=2), r"one width, got \(2, 3\)"),
    (lambda: build_model("predrnn", (8, 8), 1, hidden=(2, 2), kernel=3, patch=2, layer_norm=True), "layer_norm=False"),
    (lambda: build_model("predrnn", (8, 8), 1, hidden=(2, 2), kernel=3, patch=2, forget_bias=0.0),
     "4 biases of this model have changed: cells.0.from_xh.bias"),
    (lambda: small_network("predrnn", hidden=(2, 2)), "7 biases of this model have changed"),
])
def test_models_that_the_official_network_cannot_hold(model, message):
    with pytest.raises(ConfigError, match=message):
        export_official(model())
