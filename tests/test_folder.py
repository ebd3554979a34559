"""What a folder's list says is ours, and that nothing else is replaced or deleted."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from tinypredrnn.errors import BusyError, ConfigError
from tinypredrnn.files import replacing
from tinypredrnn.folder import LIST, Folder, is_output, refuse_overlap


def write(folder, name, text, **words):
    with folder.writing(name, **words) as temporary:
        temporary.write_text(text)


def files(path):
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if not p.is_dir() and p.name not in (".lock", LIST))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "out", "run")


# what is ours


def test_the_list_names_what_was_written(folder):
    write(folder, "a.txt", "one")
    folder.write_json("b/c.json", {"n": 1})
    found = json.loads((folder.path / LIST).read_text())
    assert found["kind"] == "run" and found["files"].keys() == {"a.txt", "b/c.json"}
    assert found["files"]["a.txt"] == [hashlib.sha256(b"one").hexdigest()]
    assert Folder(folder.path, "run").own_files() == ["a.txt", "b/c.json"] and files(folder.path) == ["a.txt", "b/c.json"]


def test_a_copy_of_the_folder_is_ours_as_well(folder, tmp_path):
    write(folder, "a.txt", "one")
    shutil.copytree(folder.path, tmp_path / "copy", copy_function=shutil.copyfile)  # with other dates
    assert Folder(tmp_path / "copy", "run").own_files() == ["a.txt"]


def test_a_name_is_not_enough(folder, tmp_path):
    for name in ("edited", "replaced", "linked", "gone"):
        write(folder, name, "one")
    write(folder, "sub/a", "one")
    (folder.path / "edited").write_text("two")
    (folder.path / "replaced").unlink()
    (folder.path / "replaced").mkdir()
    (tmp_path / "mine").mkdir()
    for name in ("a", "linked"):
        (tmp_path / "mine" / name).write_text("one")  # the very same content, somewhere else
    (folder.path / "linked").unlink()
    (folder.path / "linked").symlink_to(tmp_path / "mine" / "linked")
    shutil.rmtree(folder.path / "sub")
    (folder.path / "sub").symlink_to(tmp_path / "mine")
    (folder.path / "gone").unlink()
    again = Folder(folder.path, "run")
    assert again.own_files() == []
    again.remove(list(again.files))
    assert files(tmp_path / "mine") == ["a", "linked"] and files(folder.path) == ["edited", "linked"]
    assert (folder.path / "sub").is_symlink()


@pytest.mark.parametrize("name", ["../mine", "/etc/mine", "a/../../mine", "a/b/c", "C:mine", "..\\mine", ".", "", ".hidden"])
def test_a_list_that_names_what_lies_outside_is_refused(folder, tmp_path, name):
    write(folder, "a", "one")
    (tmp_path / "mine").write_text("one")
    text = (folder.path / LIST).read_text()
    (folder.path / LIST).write_text(text.replace('"a"', json.dumps(name)))
    with pytest.raises(ConfigError, match="is damaged.*move it elsewhere"):
        Folder(folder.path, "run")
    assert (tmp_path / "mine").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"files": []}', "nothing"])
def test_a_damaged_list_is_refused(folder, content):
    write(folder, "a", "one")
    (folder.path / LIST).write_text(content)
    with pytest.raises(ConfigError, match="is damaged"), folder:
        pass
    with pytest.raises(ConfigError, match="is damaged"):
        Folder(folder.path, "run")
    (folder.path / LIST).unlink()
    with folder:  # the lock was given back
        assert folder.own_files() == []


def test_a_run_and_a_prediction_do_not_share_a_folder(folder):
    write(folder, "a", "one")
    with pytest.raises(ConfigError, match="holds a run, not a prediction: name another"):
        Folder(folder.path, "prediction")


@pytest.mark.parametrize("moment", ["before the list", "after the list", "after the file"])
@pytest.mark.parametrize("earlier", [None, "one"])
def test_whenever_it_dies_what_is_there_is_known(folder, monkeypatch, moment, earlier):
    if earlier:
        write(folder, "a", earlier)
    calls = {"before the list": 0, "after the list": 1, "after the file": 2}[moment] + (0 if earlier else 1)

    replace = Path.replace

    def dying(path, target):
        nonlocal calls
        if calls == 0:
            raise KeyboardInterrupt  # nothing is caught: as good as a kill
        calls -= 1
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        if moment == "after the file":
            write(folder, "a", "two")
        else:
            with pytest.raises(KeyboardInterrupt):
                write(folder, "a", "two")
    again = Folder(folder.path, "run")
    assert again.own_files() == files(folder.path) and len(again.files.get("a", ())) <= 2


def test_a_file_that_grows_is_known_by_its_beginning(folder):
    with folder:
        write(folder, "log", "1\n", grows=True)
        with open(folder.path / "log", "a") as file:
            file.write("2\n")
        assert Folder(folder.path, "run").own_files() == ["log"]
        folder.finish("log")
        assert Folder(folder.path, "run").own_files() == ["log"]
        with open(folder.path / "log", "a") as file:
            file.write("mine\n")
        assert Folder(folder.path, "run").own_files() == []


# writing


def test_what_is_not_ours_is_kept_under_another_name(folder, tmp_path, capsys):
    folder.path.mkdir()
    (tmp_path / "mine").write_text("photograph")
    for text in ("one", "two"):
        (folder.path / "a.txt").write_text(text)
        write(folder, "a.txt", "ours")
    (folder.path / "b").symlink_to(tmp_path / "mine")
    write(folder, "b", "ours")
    assert (tmp_path / "mine").read_text() == "photograph" and (folder.path / "b-kept").is_symlink()
    assert [(folder.path / name).read_text() for name in ("a.txt", "a-kept.txt", "a-kept-2.txt", "b")] == ["ours", "one", "two", "ours"]
    assert "a.txt is not as this program wrote it: kept as a-kept-2.txt" in capsys.readouterr().err


def test_what_was_read_and_is_in_the_new_file_may_be_anybodys(folder):
    write(folder, "a", "ours")
    (folder.path / "a").write_text("ours, and mine")
    write(folder, "a", "ours, and mine, and more", amends=True)
    assert files(folder.path) == ["a"] and folder.is_ours("a")


def test_the_file_before(folder):
    for n in range(4):
        write(folder, "a", str(n), previous="b")
    assert (folder.path / "a").read_text() == "3" and (folder.path / "b").read_text() == "2"
    assert Folder(folder.path, "run").own_files() == ["a", "b"]
    (folder.path / "b").write_text("mine")
    write(folder, "a", "4", previous="b")
    assert [(folder.path / name).read_text() for name in ("a", "b", "b-kept")] == ["4", "3", "mine"]


def test_nothing_is_written_behind_a_link(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    folder.path.mkdir()
    (folder.path / "sub").symlink_to(tmp_path / "mine")
    with pytest.raises(ConfigError, match="sub is a link: nothing is written behind it"):
        write(folder, "sub/a", "ours")
    assert files(tmp_path / "mine") == []


def test_a_folder_that_is_itself_a_link_is_as_good_as_any(tmp_path):
    (tmp_path / "large disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "large disk")
    write(Folder(tmp_path / "out", "run"), "sub/a", "ours")
    assert Folder(tmp_path / "out", "run").own_files() == ["sub/a"] and files(tmp_path / "large disk") == ["sub/a"]


def test_what_was_being_written_is_cleared_away(folder):
    write(folder, "a", "one")
    (folder.staging / "x").mkdir(parents=True)
    (folder.staging / "x" / "y").touch()
    (folder.path / ".unfinished-mine").mkdir()
    with Folder(folder.path, "run"):
        assert sorted(os.listdir(folder.path)) == [".lock", LIST, ".unfinished-mine", "a"]


def test_drawing_that_fails_is_a_line(folder, capsys):
    def fail(path):
        raise OSError(28, "No space left on device")

    folder.draw("a.png", fail)
    message = capsys.readouterr().err
    assert message.startswith("the picture a.png is not written: ") and "No space left" in message and message.count("\n") == 1
    with pytest.raises(ZeroDivisionError):  # a bug
        folder.draw("a.png", lambda path: 1 / 0)
    with pytest.raises(BusyError):  # no matter of a picture
        with folder:
            shutil.rmtree(folder.path)
            folder.draw("a.png", lambda path: path.touch())


def test_alone_and_once_is_as_good_as_twice(folder):
    with folder, folder:
        with pytest.raises(BusyError), Folder(folder.path, "run"):
            pass
    with Folder(folder.path, "run"):
        pass


def test_what_cannot_be_deleted_now_stays_ours(folder, monkeypatch, capsys):
    for name in ("a", "b"):
        write(folder, name, "one")
    unlink = Path.unlink

    def refusing(path, **words):
        if path.name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, **words)

    monkeypatch.setattr("tinypredrnn.files.time.sleep", lambda seconds: None)
    monkeypatch.setattr(Path, "unlink", refusing)
    folder.remove(["a", "b"])
    assert Folder(folder.path, "run").own_files() == ["a"] == files(folder.path) and "a is not deleted: " in capsys.readouterr().err


# all at once


def test_renewing_takes_the_place_of_all_that_is_ours(folder):
    folder.path.mkdir()
    (folder.path / "mine").write_text("mine")
    for names in (("a", "b"), ("b", "c")):
        with folder.renewing() as fresh:
            for name in names:
                with replacing(fresh / name) as temporary:
                    temporary.write_text(name)
            assert folder.own_files() == (["a", "b"] if "c" in names else [])
        assert Folder(folder.path, "run").own_files() == list(names) and files(folder.path) == sorted([*names, "mine"])


def test_an_error_while_renewing_changes_nothing(folder):
    write(folder, "a", "one")
    with pytest.raises(ZeroDivisionError), folder.renewing() as fresh:
        (fresh / "a").write_text("two")
        (fresh / "b").write_text("two")
        1 / 0  # noqa: B018
    assert files(folder.path) == ["a"] and (folder.path / "a").read_text() == "one" and folder.own_files() == ["a"]


# data and outputs


def test_outputs_are_known_and_so_are_folders_of_them(folder, tmp_path):
    runs = tmp_path / "runs"
    for name in ("one", "two"):
        write(Folder(runs / name, "run"), "a.png", "x")
    assert is_output(runs / "one") and is_output(runs) and not is_output(tmp_path / "nowhere")
    (runs / "mine").mkdir()
    assert not is_output(runs) and not is_output(runs / "mine") and not is_output(runs / "one" / "a.png")
    (runs / "mine" / "loop").symlink_to(runs)
    assert not is_output(runs)


def test_an_output_among_the_data(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "clip").mkdir(parents=True)
    (tmp_path / "data" / "clip" / "1.png").touch()
    write(folder, "a", "x")
    for out in ("data", ".", "data/clip", tmp_path, "data/../data"):
        with pytest.raises(ConfigError, match="out .* name another out"):
            refuse_overlap(tmp_path / out, tmp_path / "data", "data")
    shutil.copytree(folder.path, "data/ours")
    for out in ("out", "data/new", "data/clip/new/new", "data/ours", "data2"):
        refuse_overlap(tmp_path / out, tmp_path / "data", "data")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", [".lock", LIST])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)], ids=["pipe", "folder", "link to nothing"])
def test_what_is_no_file_has_the_name_of_one_of_ours(folder, make, name):
    """To open a pipe would wait for whoever writes to it, and to rename a list onto it would delete it."""
    folder.path.mkdir()
    make(folder.path / name)
    before = os.lstat(folder.path / name)
    with pytest.raises(ConfigError, match=f"{name}.*another folder"), Folder(folder.path, "run"):
        pass
    assert os.listdir(folder.path) == [name] and os.path.samestat(before, os.lstat(folder.path / name))
