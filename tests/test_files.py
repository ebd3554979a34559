"""Nobody ever finds half a file, and no two programs write into one folder."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tinypredrnn import files
from tinypredrnn.errors import BusyError
from tinypredrnn.files import lies_within, locked, path_argument, read_json, replacing, retry, write_json


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


# the file before


def test_the_old_file_becomes_the_previous_one(tmp_path):
    path, previous = tmp_path / "a.txt", tmp_path / "a-previous.txt"
    for text, before in (("1", None), ("2", "1"), ("3", "2")):
        with replacing(path, previous) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text and (previous.read_text() if previous.exists() else None) == before
    with pytest.raises(ValueError):
        with replacing(path, previous) as temporary:
            temporary.write_text("4")
            raise ValueError
    assert (path.read_text(), previous.read_text()) == ("3", "2") and len(os.listdir(tmp_path)) == 2


def test_at_each_call_to_the_system_one_of_the_two_is_whole(tmp_path, monkeypatch):
    path, previous, seen = tmp_path / "a.txt", tmp_path / "a-previous.txt", []

    def look(call):
        def watched(*inputs):
            seen.append([p.read_text() if p.exists() else None for p in (path, previous)])
            call(*inputs)
        return watched

    for text in "123":
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", look(os.fsync))
            patch.setattr(Path, "replace", look(Path.replace))
            with replacing(path, previous) as temporary:
                temporary.write_text(text)
    assert seen == [[None, None]] * 2 + [["1", None]] * 2 + [[None, "1"]] + [["2", "1"]] * 2 + [[None, "2"]]  # flush, rename, rename


def test_names_of_temporary_files_are_never_the_same(tmp_path):
    """Two threads, or two containers whose processes have equal numbers."""
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as two:
        assert one != two
        for temporary in (one, two):
            temporary.write_text("x")


def test_a_temporary_file_in_another_folder_and_a_look_at_it_before_the_rename(tmp_path):
    def look(temporary):
        assert temporary.parent == tmp_path / "within" and temporary.read_text() == "new" and path.read_text() == "old"
        raise BusyError("too late")

    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(BusyError), replacing(path, tmp_path / "b.txt", tmp_path / "within", look) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old" and sorted(os.listdir(tmp_path)) == ["a.txt", "within"] and os.listdir(tmp_path / "within") == []


# no space, not permitted


def test_what_is_not_permitted_is_tried_again_for_some_seconds(monkeypatch):
    slept = []
    monkeypatch.setattr(files.time, "sleep", slept.append)

    def refuse(times):
        calls.append(times)
        if len(calls) <= times:
            raise PermissionError
        return "done"

    for times, answer in ((0, "done"), (1, "done"), (5, "done"), (100, None)):
        calls = []
        if answer:
            assert retry(refuse, times) == answer and len(calls) == times + 1
        else:
            with pytest.raises(PermissionError):
                retry(refuse, times)
    assert 4 < sum(slept[-len(files.PAUSES):]) < 10
    with pytest.raises(ZeroDivisionError):  # nothing else is tried again
        retry(lambda: 1 / 0)



def test_a_full_disk_is_said_with_the_name_of_the_file(tmp_path):
    code = f"""
import resource
from pathlib import Path
from tinypredrnn.files import replacing
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with replacing(Path({str(tmp_path)!r}) / "file.txt") as temporary:
        temporary.write_bytes(bytes(2000))
except OSError as error:
    print(error)"""
    message = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]).stdout
    assert str(tmp_path / "file.txt") in message and "File too large" in message and os.listdir(tmp_path) == []


# alone in a folder

HOLD = """
import sys
from pathlib import Path
from tinypredrnn.files import locked
with locked(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def hold(folder):
    """A process that is alone in the folder until it is told to end."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], cwd=Path(__file__).parents[1], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in\n"
    return process


def test_a_second_program_is_refused_until_the_first_has_ended(tmp_path):
    folder = tmp_path / "new" / "run"
    first = hold(folder)
    for _ in range(2):
        with pytest.raises(BusyError, match="another program is writing into .*run: wait"):
            with locked(folder):
                pass
    first.communicate("")
    with locked(folder):
        pass


def test_kill_9_leaves_no_lock(tmp_path):
    first = hold(tmp_path)
    first.kill()
    first.communicate()
    assert first.returncode == -signal.SIGKILL and (tmp_path / ".lock").exists()
    with locked(tmp_path):
        with pytest.raises(BusyError):
            with locked(tmp_path):
                pass


def test_an_error_within_gives_the_folder_free(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with locked(tmp_path):
            1 / 0  # noqa: B018
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("again", [False, True])
def test_who_was_alone_in_a_folder_that_is_gone_is_told(tmp_path, again):
    folder = tmp_path / "run"
    with locked(folder) as check:
        check()
        shutil.rmtree(folder)
        with pytest.raises(BusyError, match="not the folder any more"):
            check()
        if again:
            with locked(folder) as other:
                other()
                with pytest.raises(BusyError):
                    check()


def test_the_lock_is_that_of_the_file_at_the_path(tmp_path, monkeypatch):
    """The file is deleted between its opening and its locking, and another program makes a new one: that is the one to lock."""
    lock = files.lock

    def late(file):
        monkeypatch.setattr(files, "lock", lock)
        (tmp_path / ".lock").unlink()
        lock(file)

    monkeypatch.setattr(files, "lock", late)
    with locked(tmp_path) as check:
        check()
        with pytest.raises(BusyError), locked(tmp_path):
            pass


def test_waiting_for_another_program(tmp_path, monkeypatch, capsys):
    first, pauses = hold(tmp_path), []

    def end_it(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            first.communicate("")

    monkeypatch.setattr(files.time, "sleep", end_it)
    with locked(tmp_path, wait=True):
        assert len(pauses) == 3
    assert capsys.readouterr().err == f"another program is at work in {tmp_path}: waiting until it has ended\n"


# paths


def test_a_path_lies_within_a_folder_whatever_it_is_called(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path / "a")
    for path in ("b", "b/new", ".", "../a/b", tmp_path / "link" / "b", tmp_path / "link", "new"):
        assert lies_within(path, tmp_path / "a") and lies_within(path, "../link")
    for path in ("..", "../ab", "../ab/b", tmp_path / "new"):
        assert not lies_within(path, tmp_path / "a")
    assert not lies_within(".", "nowhere")


def test_an_empty_path_is_refused():
    assert path_argument("a/b") == Path("a/b")
    with pytest.raises(argparse.ArgumentTypeError, match="is a variable not set"):
        path_argument("")


# JSON


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_more_files_may_be_open_than_the_limit_at_the_start():
    """A new process may have few files open; a hard limit stays, and is no error."""
    code = ("import contextlib, os, resource\n"
            "from tinypredrnn.files import allow_open_files\n"
            "hard = min(400, resource.getrlimit(resource.RLIMIT_NOFILE)[1])\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
            "allow_open_files(300)\n"
            "with contextlib.ExitStack() as stack:\n"
            "    for _ in range(100):\n"
            "        stack.enter_context(open(os.devnull))\n"
            "allow_open_files(20), allow_open_files(10**6)\n"
            "assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)\n")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_json_comes_back_or_is_none(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": [1, 2.5, None, "ü"]})
    assert read_json(path) == {"a": [1, 2.5, None, "ü"]} and os.listdir(tmp_path) == ["a.json"]
    for content in (b"", b"[1]", b"3", b'{"a":', b"\xff\xfe", b"[" * 200_000, b'{"a":' * 200_000, b"{" + b"9" * 5000 + b"}"):
        path.write_bytes(content)
        assert read_json(path) is None
