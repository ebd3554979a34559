"""Nobody ever finds half a file."""

import os
import threading

import pytest

from tinypredrnn.files import replacing


def test_writes_makes_folders_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(str(path)) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".txt" and temporary != path
        temporary.write_text("hello")
        assert not path.exists()
    assert path.read_text() == "hello"
    with replacing(path) as temporary:
        temporary.write_text("again")
        assert path.read_text() == "hello"  # whole, until the new one is
    assert path.read_text() == "again" and os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt(), ValueError("a bug")])
def test_the_old_file_survives_an_error_in_the_middle(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file.txt"]


def test_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(KeyError):
        with replacing(tmp_path / "file.txt"):
            raise KeyError
    assert os.listdir(tmp_path) == []


def test_what_was_not_written_is_an_error_and_the_old_file_stays(tmp_path):
    (tmp_path / "file.txt").write_text("old")
    with pytest.raises(FileNotFoundError):
        with replacing(tmp_path / "file.txt"):
            pass
    assert (tmp_path / "file.txt").read_text() == "old"


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "name").mkdir()
    with pytest.raises(OSError):
        with replacing(tmp_path / "name") as temporary:
            temporary.write_text("x")
    assert os.listdir(tmp_path) == ["name"]


def test_a_reader_sees_all_of_one_version(tmp_path):
    path, sizes, done = tmp_path / "file.bin", set(), threading.Event()
    path.write_bytes(b"0" * 200_000)

    def read():
        while not done.is_set():
            data = path.read_bytes()
            sizes.add((len(data), len(set(data))))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(30):
        with replacing(path) as temporary:
            temporary.write_bytes(bytes([i]) * 200_000)
    done.set()
    reader.join()
    assert sizes == {(200_000, 1)}
