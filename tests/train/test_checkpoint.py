"""Checkpoints: what is written comes back; whatever else lies in the file is refused in one sentence and never run."""

import io
import json
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from plans import make_plan

import tinypredrnn as tp
from tinypredrnn import files
from tinypredrnn.errors import CheckpointError, DeviceError
from tinypredrnn.models import construct
from tinypredrnn.train import predict, read_checkpoint, save_checkpoint
from tinypredrnn.train.checkpoint import checksum, fingerprint


def small_plan(**changes):
    return make_plan(**{"size": (16, 16), "seed": 1, "hidden": (3, 2), "kernel": 3, "patch": 4} | changes)


PLAN = small_plan()


def build(plan=PLAN):
    return construct(*plan.network())


def parts_of(model):
    optimiser = tp.optim.Adam(model.parameters())
    return {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "data": {"first_batch": 7}}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "run" / "checkpoint.npz"
    save_checkpoint(path, PLAN, 12, parts_of(build()))
    return path


def changed(config, **options):
    """The configuration of a checkpoint with some options changed, without any check."""
    plan = json.loads(str(config))
    for name, value in options.items():
        if name in ("height", "width", "channels"):
            plan["data"]["frame"]["height width channels".split().index(name)] = value
        else:
            record = next(record for record in plan.values() if name in record)
            record[name] = value
    return np.array(json.dumps(plan))


def refused(path):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500 and str(path) in message
    return message


def test_round_trip(checkpoint):
    model = build()
    for path in (checkpoint, str(checkpoint), checkpoint.parent):
        plan, iteration, parts = read_checkpoint(path)
        assert plan == PLAN and iteration == 12 and type(iteration) is int
        assert parts.keys() == {"model", "optimiser", "data"} and parts["data"]["first_batch"] == 7
        expected = parts_of(model)
        for part in ("model", "optimiser"):
            assert {n: (a.dtype, a.tobytes()) for n, a in parts[part].items()} == {
                n: (a.dtype, a.tobytes()) for n, a in expected[part].items()}
    assert os.listdir(checkpoint.parent) == ["checkpoint.npz"]


def test_load_gives_the_model_from_the_folder_or_the_file(tmp_path, device):
    model = build(small_plan(seed=99))  # other weights than those that PLAN starts from
    save_checkpoint(tmp_path / "checkpoint.npz", PLAN, 0, parts_of(model))
    frames = np.random.default_rng(0).random((2, 4, 16, 16, 1), dtype=np.float32)
    expected = predict(model, frames, 3)
    for path in (tmp_path, str(tmp_path / "checkpoint.npz")):
        assert np.array_equal(predict(tp.load(path), frames, 3), expected)
        loaded = tp.load(path, device)
        assert loaded.device == device
        np.testing.assert_allclose(predict(loaded, frames, 3), expected, atol=1e-5)
    with pytest.raises(DeviceError):
        tp.load(tmp_path, "toaster")


class NoSpace:
    def __array__(self, *args, **kwargs):
        raise OSError(28, "No space left on device")


def test_a_write_that_fails_in_the_middle_leaves_the_old_one_and_nothing_else(checkpoint):
    old, parts = checkpoint.read_bytes(), parts_of(build())
    names = list(parts["model"])
    parts["model"] = {name: NoSpace() if name == names[len(names) // 2] else a for name, a in parts["model"].items()}
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(checkpoint, PLAN, 13, parts)
    assert checkpoint.read_bytes() == old and os.listdir(checkpoint.parent) == ["checkpoint.npz"]


def test_nothing_there(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "missing.npz", tmp_path / "missing", tmp_path / "empty"):
        assert "no checkpoint at" in refused(path)


def test_truncated_anywhere(checkpoint):
    whole = checkpoint.read_bytes()
    for size in [0, 1, 3, 4, 30, 100, *np.linspace(101, len(whole) - 1, 40, dtype=int)]:
        checkpoint.write_bytes(whole[:size])
        refused(checkpoint)


def test_a_changed_byte_is_refused_or_harmless(checkpoint):
    """Checksums guard all arrays; a few bytes of the zip's directory, such as dates, mean nothing."""
    whole, expected = checkpoint.read_bytes(), read_checkpoint(checkpoint)[2]["model"]
    accepted = 0
    for at in np.random.default_rng(0).integers(len(whole), size=150):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        checkpoint.write_bytes(damaged)
        try:
            arrays = read_checkpoint(checkpoint)[2]["model"]
        except CheckpointError:
            continue
        accepted += 1
        assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in expected.items()}
    assert accepted < 30


class Bomb:
    """What an attacker would pickle: unpickling it makes a folder named `exploded`."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def as_npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def lying_header():
    """An array that says it has 10^14 numbers."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**14,)})
    return file.getvalue()


def endless_header():
    """A header so long that NumPy warns of it in several lines."""
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}" + b" " * 20_000 + b"\n"
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + b"\0\0\0\0"


FOREIGN = {
    "garbage": b"\x00\xffgarbage" * 100,
    "text": b"I am a checkpoint, believe me.\n",
    "pickle": pickle.dumps(Bomb()),
    "npy": as_npy(np.zeros(3)),
    "pickled npy": as_npy(np.array([Bomb()], dtype=object), allow_pickle=True),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_other_files(checkpoint, content, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    checkpoint.write_bytes(content)
    refused(checkpoint)
    assert not (tmp_path / "exploded").exists()


# What an entry of the zip is replaced by (None: left out)
SPOILT = {
    "no config": ("config.npy", None),
    "config is no JSON": ("config.npy", as_npy(np.array("{hidden"))),
    "config is a list": ("config.npy", as_npy(np.array("[1, 2]"))),
    "config is a number": ("config.npy", as_npy(np.array("3"))),
    "config nested too deep": ("config.npy", as_npy(np.array("[" * 100_000))),
    "config has an unknown option": ("config.npy", as_npy(np.array('{"wings": 2}'))),
    "config has a wrong kind": ("config.npy", as_npy(np.array('{"hidden": 5}'))),
    "config has an impossible value": ("config.npy", as_npy(np.array('{"batch": 0}'))),
    "config is pickled": ("config.npy", as_npy(np.array(Bomb(), dtype=object), allow_pickle=True)),
    "no iteration": ("iteration.npy", None),
    "iteration is text": ("iteration.npy", as_npy(np.array("soon"))),
    "iteration is infinite": ("iteration.npy", as_npy(np.array(np.inf))),
    "iteration is several": ("iteration.npy", as_npy(np.array([1, 2]))),
    "weights are pickled": ("model.to_frame.bias.npy", as_npy(np.array([Bomb()], dtype=object), allow_pickle=True)),
    "weights are text": ("model.to_frame.bias.npy", as_npy(np.array(["a"] * 16))),
    "weights are complex": ("model.to_frame.bias.npy", as_npy(np.zeros(16, complex))),
    "weights lie about their size": ("model.to_frame.bias.npy", lying_header()),
    "weights have an endless header": ("model.to_frame.bias.npy", endless_header()),
    "weights are no array": ("model.to_frame.bias.npy", b"no array"),
    "one array too many": ("stowaway.npy", as_npy(np.zeros(2))),
    "an entry that is no array": ("model.txt", b"hello"),
}


@pytest.mark.parametrize("name, content", SPOILT.values(), ids=SPOILT)
def test_spoilt_entries(checkpoint, name, content, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(checkpoint) as file:
        entries = {n: file.read(n) for n in file.namelist()}
    entries[name] = content
    with zipfile.ZipFile(checkpoint, "w") as file:
        for n, data in entries.items():
            if data is not None:
                file.writestr(n, data)
    refused(checkpoint)
    assert not (tmp_path / "exploded").exists()


def test_a_compressed_archive_is_refused_before_it_takes_memory(checkpoint):
    arrays = dict(np.load(checkpoint)) | {"model.bomb": np.zeros(25_000_000, np.float32)}
    save_sealed(checkpoint, arrays, np.savez_compressed)
    tracemalloc.start()
    try:
        assert "claim to be larger than the file" in refused(checkpoint)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


# the checksum


def save_sealed(path, arrays, save=np.savez):
    """Save arrays with the checksum that belongs to them, as an attacker would."""
    save(path, **arrays | {"checksum": checksum({name: arrays[name] for name in arrays if name != "checksum"})})


CHANGES = {
    "one bit of a weight": lambda arrays: arrays["model.to_frame.bias"].view(np.uint8).__setitem__(5, 1),
    "another iteration": lambda arrays: arrays.update(iteration=np.int64(13)),
    "another option": lambda arrays: arrays.update(config=np.array(str(arrays["config"]).replace('"seed": 1', '"seed": 2'))),
    "the same numbers in float64": lambda arrays: arrays.update({"model.to_frame.bias": np.float64(arrays["model.to_frame.bias"])}),
    "another shape": lambda arrays: arrays.update({"model.to_frame.bias": arrays["model.to_frame.bias"][None]}),
    "two names exchanged": lambda arrays: arrays.update({"optimiser.m.0": arrays.pop("optimiser.m.1"),
                                                         "optimiser.m.1": arrays.pop("optimiser.m.0")}),
    "one array less": lambda arrays: arrays.pop("data.first_batch"),
    "one array more": lambda arrays: arrays.update({"data.more": np.zeros(1)}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_was_changed_after_saving_is_noticed(checkpoint, change):
    arrays = dict(np.load(checkpoint))
    change(arrays)
    np.savez(checkpoint, **arrays)
    assert "checksum" in refused(checkpoint)


def test_a_file_without_a_checksum_is_refused(checkpoint):
    arrays = dict(np.load(checkpoint))
    del arrays["checksum"]
    np.savez(checkpoint, **arrays)
    assert "checksum" in refused(checkpoint)


GIANTS = {
    "wide": {"hidden": [200_000, 2]}, "deep": {"hidden": [3] * 100_000}, "kernels": {"kernel": 10_001}, "channels": {"channels": 10**9},
    "patches": {"height": 10**6, "width": 10**6, "patch": 10**6},
    "peepholes": {"name": "convlstm", "height": 10**6, "width": 10**6},
}  # fmt: skip


@pytest.mark.parametrize("options", GIANTS.values(), ids=GIANTS)
def test_options_that_would_take_terabytes_are_refused_before_a_model_is_built(checkpoint, options):
    arrays = dict(np.load(checkpoint))
    arrays["config"] = changed(arrays["config"], **options)
    save_sealed(checkpoint, arrays)
    assert "needs more numbers than it holds" in refused(checkpoint)


LYING = {"hidden": (200_000, 2), "kernel": 10**6 + 1, "channels": 10**12}


@pytest.mark.parametrize("name", LYING)
def test_options_that_ask_for_other_weights_than_the_file_holds_are_refused_before_any_is_read(checkpoint, name, monkeypatch):
    arrays = dict(np.load(checkpoint))
    arrays["config"] = changed(arrays["config"], **{name: LYING[name]})
    save_sealed(checkpoint, arrays)
    read = np.lib.npyio.NpzFile.__getitem__
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda file, key: read(file, key) if key == "config" else pytest.fail(key))
    assert "than it holds" in refused(checkpoint)


def test_a_sparse_file_that_claims_gigabytes_is_refused_at_no_cost(checkpoint):
    """A file may be full of holes: of 14 GB that are all zeros, a disk keeps a few KB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (14 << 28,)})
    arrays = dict(np.load(checkpoint))
    name = next(name for name in arrays if name.startswith("model."))
    with zipfile.ZipFile(checkpoint, "w") as file:
        for other, array in arrays.items():
            file.writestr(f"{other}.npy", header.getvalue() if other == name else as_npy(array))
    tracemalloc.start()
    try:
        assert "numbers in model." in refused(checkpoint)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


# models from outside of the package, and small ones


class Halves(tp.models.Predictor):
    """A network of a few weights: it sees a frame and answers with one 1x1 product of it."""

    def __init__(self, frame, options, rng):
        super().__init__(frame, options)
        self.scale = tp.nn.parameter(rng.normal(size=3))
        self.order = rng.permutation(4)  # drawn, and no tensor: a layout without memory must not change it

    def start(self, x):
        return self.zeros(len(x), 1)

    def step(self, x, state):
        return x * self.scale.sum(), state


@pytest.fixture
def halves(monkeypatch):
    monkeypatch.setitem(tp.models.MODELS, "halves", Halves)
    return make_plan((16, 16), model="halves", seed=1)


def test_a_model_from_outside_with_few_weights_is_saved_and_loaded(tmp_path, halves):
    model = build(halves)
    assert model.count_parameters() < 300 and model.order.tolist() == build(halves).order.tolist()
    save_checkpoint(tmp_path / "checkpoint.npz", halves, 3, parts_of(model))
    loaded = tp.load(tmp_path)
    frames = np.random.default_rng(0).random((2, 4, 16, 16, 1), dtype=np.float32)
    assert isinstance(loaded, Halves) and np.array_equal(predict(loaded, frames, 3), predict(model, frames, 3))


def test_a_model_that_is_not_registered_is_said_to_be_so(tmp_path, halves, monkeypatch):
    save_checkpoint(tmp_path / "checkpoint.npz", halves, 3, parts_of(build(halves)))
    monkeypatch.delitem(tp.models.MODELS, "halves")
    with pytest.raises(CheckpointError, match="'halves', which is none of .*MODELS first") as caught:
        tp.load(tmp_path)
    assert "damaged" not in str(caught.value)


# the data of a run


def test_the_fingerprint_knows_each_part_by_names_shapes_and_bytes():
    parts = {"training": {"a": np.arange(24).reshape(4, 6), "b": np.ones((2, 3))}, "test": {"c": np.zeros((5, 2), np.uint8)}}

    def differing(change):
        other = {part: {name: a.copy() for name, a in arrays.items()} for part, arrays in parts.items()}
        change(other)
        return [part for part in parts if not np.array_equal(fingerprint(parts)[part], fingerprint(other)[part])]

    assert differing(lambda other: None) == []
    assert differing(lambda other: other["training"]["a"].__setitem__((2, 3), 0)) == ["training"]
    assert differing(lambda other: other["test"].update(c=np.zeros((2, 5), np.uint8))) == ["test"]
    assert differing(lambda other: other["test"].update(d=other["test"].pop("c"))) == ["test"]
    assert all(a.dtype == np.uint8 and a.shape == (32,) for a in fingerprint(parts).values())


def test_of_large_data_each_array_is_sampled_its_ends_included(monkeypatch):
    clips = {f"clip{n}": np.random.default_rng(n).integers(256, size=(40, 8, 8), dtype=np.uint8) for n in range(5)}
    monkeypatch.setattr("tinypredrnn.train.checkpoint.FINGERPRINT_BYTES", 5 * 10 * 64)
    known = fingerprint({"training": clips})["training"]

    def changed(name, frames):
        other = {key: a.copy() for key, a in clips.items()}
        other[name][frames] = 0
        return not np.array_equal(fingerprint({"training": other})["training"], known)

    assert changed("clip3", slice(None)) and changed("clip0", 0) and changed("clip4", -1) and changed("clip2", slice(10, 20))
    assert not changed("clip2", 1)  # which is the price
    shorter = clips | {"clip1": clips["clip1"][:-1]}
    assert not np.array_equal(fingerprint({"training": shorter})["training"], known)


# the one before


@pytest.fixture
def two(checkpoint):
    """A run's folder with a checkpoint of step 24 and the one before it, of step 12."""
    save_checkpoint(checkpoint, PLAN, 24, parts_of(build(small_plan(seed=2))))
    assert sorted(os.listdir(checkpoint.parent)) == ["checkpoint-previous.npz", "checkpoint.npz"]
    return checkpoint.parent


def test_a_folder_keeps_two(two, capsys):
    assert read_checkpoint(two)[1] == 24 and read_checkpoint(two / "checkpoint-previous.npz")[1] == 12
    save_checkpoint(two / "checkpoint.npz", PLAN, 36, parts_of(build()))
    assert read_checkpoint(two)[1] == 36 and read_checkpoint(two / "checkpoint-previous.npz")[1] == 24
    assert capsys.readouterr().err == "" and len(os.listdir(two)) == 2


def test_a_checkpoint_of_another_name_has_no_previous_and_leaves_the_runs_alone(two):
    for seed in (3, 4):
        save_checkpoint(two / "mine.npz", PLAN, seed, parts_of(build()))
    assert sorted(os.listdir(two)) == ["checkpoint-previous.npz", "checkpoint.npz", "mine.npz"]
    assert [read_checkpoint(two / name)[1] for name in sorted(os.listdir(two))] == [12, 24, 4]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: os.truncate(path, 1000), lambda path: path.write_bytes(b"")],
                         ids=["missing", "truncated", "empty"])
def test_where_the_newest_is_damaged_the_one_before_is_read_and_a_line_says_so(two, damage, capsys):
    damage(two / "checkpoint.npz")
    weights = build().state_dict()
    for _ in range(2):
        plan, iteration, parts = read_checkpoint(two)
        assert (plan, iteration) == (PLAN, 12) and all(np.array_equal(parts["model"][name], weights[name]) for name in weights)
    assert np.array_equal(tp.load(two).to_frame.weight.numpy(), weights["to_frame.weight"])
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and message.endswith("checkpoint-previous.npz is read instead, of step 12\n") and str(two) in message
    refused(two / "checkpoint.npz")  # asked for by its own name, it is not replaced


def test_where_both_are_damaged(two):
    for name in os.listdir(two):
        os.truncate(two / name, 1000)
    assert "is damaged" in refused(two)


@pytest.mark.parametrize("changes", [{"hidden": (3, 3)}, {"model": "convlstm"}, {"kernel": 5}, {"patch": 8}, {"layer_norm": True}], ids=str)
def test_weights_of_another_model(tmp_path, changes):
    save_checkpoint(tmp_path / "checkpoint.npz", small_plan(**changes), 3, parts_of(build()))
    with pytest.raises(CheckpointError) as caught:
        tp.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_from_before_an_option_existed_takes_its_default(checkpoint):
    arrays = dict(np.load(checkpoint))
    plan = json.loads(str(arrays["config"]))
    del plan["recipe"]["clip"], plan["model"]["forget_bias"], plan["data"]["rule"]
    arrays["config"] = json.dumps(plan)
    save_sealed(checkpoint, arrays)
    assert read_checkpoint(checkpoint)[0] == PLAN


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(checkpoint, value):
    """Their predictions would be NaN as well, and as pictures black."""
    parts = parts_of(build())
    parts["model"]["to_frame.bias"][3] = value
    save_checkpoint(checkpoint, PLAN, 12, parts)
    assert "to_frame.bias" in refused(checkpoint)


@pytest.mark.parametrize("error", [PermissionError("used by another program"), MemoryError("none is left")])
def test_a_checkpoint_that_cannot_be_read_now_is_not_damaged(checkpoint, error, monkeypatch):
    """Taken for damaged, it would be set aside, and the steps since the one before it would be lost."""
    save_checkpoint(checkpoint, PLAN, 20, parts_of(build()))

    def fails(*words, **named):
        raise error

    monkeypatch.setattr(files, "PAUSES", ())
    monkeypatch.setattr(np, "load", fails)
    if isinstance(error, OSError):
        monkeypatch.setattr("tinypredrnn.train.checkpoint.open", fails, raising=False)
    with pytest.raises(type(error), match=str(error)):
        read_checkpoint(checkpoint.parent)
    monkeypatch.undo()
    assert read_checkpoint(checkpoint.parent)[1] == 20
