"""Checkpoints: what is written comes back; whatever else lies in the file is refused in one sentence and never run."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.errors import CheckpointError, DeviceError
from tinypredrnn.train import Config, predict, read_checkpoint, save_checkpoint

CONFIG = Config(size=(16, 16), hidden=(3, 2), kernel=3, patch=4, seed=1)


def build(config=CONFIG):
    return tp.build_model(**config.model_options())


def parts_of(model):
    optimiser = tp.optim.Adam(model.parameters())
    return {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "data": {"first_batch": 7}}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "run" / "checkpoint.npz"
    save_checkpoint(path, CONFIG, 12, parts_of(build()))
    return path


def refused(path):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500 and str(path) in message
    return message


def test_round_trip(checkpoint):
    model = build()
    for path in (checkpoint, str(checkpoint), checkpoint.parent):
        config, iteration, parts = read_checkpoint(path)
        assert config == CONFIG and iteration == 12 and type(iteration) is int
        assert parts.keys() == {"model", "optimiser", "data"} and parts["data"]["first_batch"] == 7
        expected = parts_of(model)
        for part in ("model", "optimiser"):
            assert {n: (a.dtype, a.tobytes()) for n, a in parts[part].items()} == {
                n: (a.dtype, a.tobytes()) for n, a in expected[part].items()}
    assert os.listdir(checkpoint.parent) == ["checkpoint.npz"]


def test_load_gives_the_model_from_the_folder_or_the_file(tmp_path, device):
    model = build(CONFIG.replace(seed=99))  # other weights than those that CONFIG starts from
    save_checkpoint(tmp_path / "checkpoint.npz", CONFIG, 0, parts_of(model))
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
        save_checkpoint(checkpoint, CONFIG, 13, parts)
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
    """The zip's checksums guard all arrays; a few bytes of its directory, such as dates, mean nothing."""
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


def test_damaged_compressed_archive(checkpoint):
    arrays = dict(np.load(checkpoint))
    np.savez_compressed(checkpoint, **arrays)
    assert read_checkpoint(checkpoint)[0] == CONFIG  # fine as such
    whole = bytearray(checkpoint.read_bytes())
    for start in range(200, len(whole) - 2000, max(1, len(whole) // 15)):
        checkpoint.write_bytes(whole[:start] + bytes(b ^ 0x55 for b in whole[start:start + 40]) + whole[start + 40:])
        refused(checkpoint)


@pytest.mark.parametrize("changes", [{"hidden": (3, 3)}, {"model": "convlstm"}, {"kernel": 5}, {"patch": 8}, {"layer_norm": True}], ids=str)
def test_weights_of_another_model(tmp_path, changes):
    save_checkpoint(tmp_path / "checkpoint.npz", CONFIG.replace(**changes), 3, parts_of(build()))
    with pytest.raises(CheckpointError) as caught:
        tp.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_from_before_an_option_existed_takes_its_default(checkpoint):
    arrays = dict(np.load(checkpoint))
    options = json.loads(str(arrays["config"]))
    del options["clip"]
    arrays["config"] = json.dumps(options)
    np.savez(checkpoint, **arrays)
    assert read_checkpoint(checkpoint)[0] == CONFIG
