import gzip
import hashlib
import http.server
import logging
import os
import struct
import threading
import tracemalloc
from functools import partial

import numpy as np
import pooch
import pytest

from tinypredrnn.data import digits
from tinypredrnn.data.digits import load_digits, read_images
from tinypredrnn.errors import ConfigError, DataError

REAL = os.environ.get("TINYPREDRNN_DATA")
SPLITS = ("train", "validation", "test")
TRAIN, TEST = "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"


@pytest.fixture(autouse=True)
def nothing_outside(monkeypatch, tmp_path):
    """No data, an empty cache, and no way to the network: a port of this computer that refuses."""
    monkeypatch.delenv("TINYPREDRNN_DATA", raising=False)
    monkeypatch.setenv("TINYPREDRNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(digits, "MIRRORS", ("http://127.0.0.1:9/", "http://127.0.0.1:9/other/"))
    digits._download.cache_clear()
    yield
    digits._download.cache_clear()


def idx(count, seed=0, header=None):
    """The bytes of an idx file of noise."""
    pixels = np.random.default_rng(seed).integers(256, size=count * 784, dtype=np.uint8).tobytes()
    return struct.pack(">4I", *(header or (0x803, count, 28, 28))) + pixels


def save_pair(folder, suffix=".gz", train=48, test=7):
    """A training and a test file of a few images each."""
    folder.mkdir(parents=True, exist_ok=True)
    pack = partial(gzip.compress, mtime=0) if suffix == ".gz" else bytes
    (folder / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(idx(train, seed=1)))
    (folder / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(idx(test, seed=2)))
    return folder


def images_of(count, seed):
    return np.frombuffer(idx(count, seed)[16:], np.uint8).reshape(count, 28, 28)


# Where the files are looked for


@pytest.mark.parametrize("subfolder", ["", "mnist"])
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_files_of_a_given_folder(tmp_path, subfolder, suffix):
    folder = save_pair(tmp_path / subfolder, suffix)
    everything = images_of(48, seed=1)
    assert np.array_equal(load_digits("train", tmp_path).images, everything[:44])  # eleven twelfths
    assert np.array_equal(load_digits("validation", str(tmp_path)).images, everything[44:])
    test = load_digits("test", tmp_path)
    assert np.array_equal(test.images, images_of(7, seed=2))
    assert test.source == f"MNIST from {folder}"
    test.images[0] = 0  # the caller's own


@pytest.mark.parametrize("name", ["train-images.idx3-ubyte", "train-images.idx3-ubyte.gz", TRAIN])
def test_other_names_and_plain_files_called_gz(tmp_path, name):
    (tmp_path / name).write_bytes(idx(24))
    assert len(load_digits("train", tmp_path).images) == 22


def test_a_given_folder_without_the_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYPREDRNN_DATA", str(save_pair(tmp_path / "elsewhere")))
    (tmp_path / "given" / TRAIN).mkdir(parents=True)  # a folder of that name is no file
    with pytest.raises(DataError) as caught:
        load_digits("train", tmp_path / "given")
    for part in (str(tmp_path / "given"), TRAIN, "train-images.idx3-ubyte", "mnist"):
        assert part in str(caught.value)
    with pytest.raises(DataError):
        load_digits("test", "bad\0name")


def test_the_environment_comes_before_the_cache(tmp_path, monkeypatch):
    cache = save_pair(tmp_path / "cache" / "mnist")
    assert load_digits("test").source == f"MNIST from {cache}"
    folder = save_pair(tmp_path / "data" / "mnist")
    monkeypatch.setenv("TINYPREDRNN_DATA", str(tmp_path / "data"))
    assert load_digits("test").source == f"MNIST from {folder}"
    (folder / TRAIN).unlink()  # half of MNIST does not count: train and test would come from different places
    assert load_digits("test").source == f"MNIST from {cache}"


def test_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_pair(tmp_path / "data")
    assert len(load_digits("test", "~/data").images) == 7


def test_an_unknown_split():
    with pytest.raises(ConfigError, match="'valid'"):
        load_digits("valid")


# Damaged files


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "begins with nothing"),
        (b"<html>not found</html>", "begins with 3c 68 74 6d"),
        (idx(24)[:15], "0x0|28x0|0 of"),
        (idx(24)[:-1], "ends after 18,815"),
        (idx(24) + b"x", "has more"),
        (idx(24, header=(0x801, 24, 28, 28)), "begins with 00 00 08 01"),
        (idx(24, header=(0x803, 24, 32, 32)), "24 of 32x32"),
        (idx(24, header=(0x803, 0, 28, 28)), "0 of 28x28"),
        (idx(24, header=(0x803, 2**32 - 1, 28, 28)), "4,294,967,295 of 28x28"),
        (gzip.compress(idx(24), mtime=0)[:-1], "cannot be read"),
        (gzip.compress(idx(24), mtime=0)[:9000], "cannot be read"),
        (gzip.compress(idx(24), mtime=0)[:9], "cannot be read"),
        (gzip.compress(idx(24), mtime=0) + b"tail", "cannot be read"),
        (gzip.compress(idx(24) + b"x", mtime=0), "has more"),
        (gzip.compress(b"hello", mtime=0), "begins with 68 65 6c 6c"),
        (gzip.compress(idx(24), mtime=0)[:-8] + bytes(8), "cannot be read"),  # wrong checksum
    ],
)
def test_damaged_files(tmp_path, content, says):
    path = tmp_path / TEST
    path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        load_digits("test", tmp_path)
    message = str(caught.value)
    assert str(path) in message and "replace it" in message and "\n" not in message


def test_a_file_too_short_to_spare_a_validation_set(tmp_path):
    (tmp_path / TRAIN).write_bytes(idx(11))
    assert len(load_digits("train", tmp_path).images) == 11
    with pytest.raises(DataError, match="validation"):
        load_digits("validation", tmp_path)


@pytest.mark.parametrize(
    "content, says",
    [
        (idx(24, header=(0x803, digits.MAX_IMAGES, 28, 28)), "ends after"),  # claims 784 MB, plain and gzipped
        (gzip.compress(idx(24, header=(0x803, digits.MAX_IMAGES, 28, 28))), "ends after"),
        (gzip.compress(idx(24) + bytes(200_000_000), 1), "has more"),  # a bomb: 200 MB of nothing in 1 MB
    ],
)
def test_memory_is_bounded_by_what_is_there(tmp_path, content, says):
    path = tmp_path / TEST
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=says):
            read_images(path)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_fuzzed_files_are_read_or_refused(tmp_path, pack):
    rng = np.random.default_rng(0)
    path, good = tmp_path / TEST, pack(idx(3))
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(min(len(data), rng.choice([20, 3000])) + 1))  # half of the damage near the header
            change = rng.integers(4)
            if change == 0:
                data[at : at + 1] = rng.bytes(1)
            elif change == 1:
                data[at:at] = rng.bytes(rng.integers(1, 9))
            elif change == 2:
                del data[at : at + int(rng.integers(1, 99))]
            else:
                del data[max(at, 1) :]
        path.write_bytes(data)
        try:
            images = read_images(path)
            assert images.dtype == np.uint8 and images.shape[1:] == (28, 28)
        except DataError:
            refused += 1
    assert 200 < refused <= 300


# The network


class Fetch:
    """Stands in for pooch.retrieve: notes the addresses asked for, and fails where told to."""

    def __init__(self, monkeypatch, folder=None, error=None, fails=lambda url: True):
        self.urls, self.folder, self.error, self.fails = [], folder, error, fails
        monkeypatch.setattr(pooch, "retrieve", self)

    def __call__(self, url, known_hash, fname, path, downloader):
        self.urls.append(url)
        if self.error and self.fails(url):
            raise self.error
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes((self.folder / fname).read_bytes())


@pytest.mark.parametrize("error", [OSError("no route\nto host"), ValueError("wrong hash"), RuntimeError(), PermissionError("no")])
def test_a_failed_download_leads_to_drawn_digits_and_one_line(monkeypatch, capfd, error):
    fetch = Fetch(monkeypatch, error=error)
    drawn = {split: load_digits(split) for split in SPLITS}
    assert fetch.urls == [mirror + TRAIN for mirror in digits.MIRRORS]  # asked once for the three
    for split, (images, source) in drawn.items():
        assert source == "drawn digits" and images.shape == (digits.DRAWN[split][0], 28, 28)
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1
    assert type(error).__name__ in err and "TINYPREDRNN_DATA" in err and TRAIN in err and TEST in err


def test_drawn_splits_share_no_digit(monkeypatch):
    Fetch(monkeypatch, error=OSError())
    seen = [{image.tobytes() for image in load_digits(split).images} for split in SPLITS]
    assert len(set.union(*seen)) == sum(map(len, seen)) == sum(count for count, _ in digits.DRAWN.values())


def test_ctrl_c_passes_through(monkeypatch):
    Fetch(monkeypatch, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        load_digits("test")


def test_the_second_mirror_helps_out(monkeypatch, tmp_path, capfd):
    fetch = Fetch(monkeypatch, save_pair(tmp_path / "web"), OSError(), fails=lambda url: url.startswith(digits.MIRRORS[0] + "t"))
    assert load_digits("train").source == f"MNIST from {tmp_path / 'cache' / 'mnist'}"
    assert len(fetch.urls) == 4 and len(load_digits("test").images) == 7 and len(fetch.urls) == 4
    assert capfd.readouterr().err == ""


def test_half_a_download_does_not_count(monkeypatch, tmp_path):
    Fetch(monkeypatch, save_pair(tmp_path / "web"), OSError(), fails=lambda url: url.endswith(TEST))
    assert {load_digits(split).source for split in SPLITS} == {"drawn digits"}


def test_a_refusing_network(capfd):
    assert load_digits("test").source == "drawn digits"
    assert capfd.readouterr().err.count("\n") == 1


def test_a_cache_that_cannot_be_made(monkeypatch, tmp_path, capfd):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TINYPREDRNN_CACHE", str(tmp_path / "file"))
    assert load_digits("test").source == "drawn digits"
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("honest", [True, False])
def test_a_real_download_is_checked(monkeypatch, tmp_path, honest):
    pooch.get_logger().setLevel("INFO")
    web = save_pair(tmp_path / "web")
    monkeypatch.setattr(digits, "SHA256", {name: hashlib.sha256((web / name).read_bytes()).hexdigest() for name in (TRAIN, TEST)})
    if not honest:
        (web / TRAIN).write_bytes(b"<html>Please log in to this network.</html>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=web))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setattr(digits, "MIRRORS", (f"http://127.0.0.1:{server.server_port}/",))
        source = load_digits("validation").source
    finally:
        server.shutdown()
        server.server_close()
    assert not pooch.get_logger().isEnabledFor(logging.INFO)  # no chatter beside our one line
    cache = tmp_path / "cache" / "mnist"
    assert source == (f"MNIST from {cache}" if honest else "drawn digits")
    assert sorted(path.name for path in cache.iterdir()) == ([TEST, TRAIN] if honest else [])


# The real files


@pytest.mark.skipif(not REAL or not digits._find(REAL, "train"), reason="MNIST is not in TINYPREDRNN_DATA")
def test_mnist_itself(monkeypatch):
    monkeypatch.setenv("TINYPREDRNN_DATA", REAL)
    train, validation, test = (load_digits(split) for split in SPLITS)
    assert train.source == validation.source == test.source and train.source.startswith("MNIST from")
    assert [len(split.images) for split in (train, validation, test)] == [55_000, 5_000, 10_000]
    both = np.concatenate([train.images, validation.images]) / np.float32(255)
    assert both.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)  # as everyone normalises MNIST
    assert both.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)
    seen = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in seen for image in np.concatenate([validation.images, test.images]))


def test_a_folder_that_the_environment_names_and_that_is_not_there_is_said_once(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("TINYPREDRNN_DATA", str(tmp_path / "nowhere"))
    for split in ("train", "test"):
        assert load_digits(split).source == "drawn digits"
    message = f"TINYPREDRNN_DATA names {tmp_path / 'nowhere'}, which is not a folder: digits are looked for elsewhere\n"
    assert capfd.readouterr().err.count(message) == 1
