"""The cache of compiled kernels: it is used, and nothing that may happen to it stops a computation or runs what is not ours."""

import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn import compiled
from tinypredrnn.compiled import compile_source, kernel

ROOT = Path(__file__).parents[1]
SOURCE = """
from numba import njit

@njit
def helper(x):
    return x + 1

@njit(nogil=True)
def twice(x):
    return 2 * helper(x)
"""
needs_owners = pytest.mark.skipif(os.name == "nt", reason="folders have other owners and modes there")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYPREDRNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "compiled"


@pytest.fixture
def answer(monkeypatch):
    """A function that compiles SOURCE as a process that starts anew does: (twice(3), how often it was found in the cache)."""
    def compute(source=SOURCE):
        monkeypatch.setattr(compiled, "MODULES", {})
        module = compile_source("test", source)
        return module.twice(3), sum(module.twice.stats.cache_hits.values())

    return compute


def entry_of(cache):
    return next(cache.glob("*.twice_*"))


def test_what_was_compiled_is_found_again(cache, answer):
    assert answer() == (8, 0)
    before = {path: path.read_bytes() for path in cache.iterdir()}
    assert answer() == (8, 1)
    assert {path: path.read_bytes() for path in cache.iterdir()} == before and before


def test_another_source_and_another_signature_are_others(cache, answer):
    answer()
    assert answer(SOURCE.replace("+ 1", "+ 2")) == (10, 0)  # in a function that is called
    module = compile_source("test", SOURCE)
    assert module.twice(3.5) == 9 and module.twice(3) == 8 and len(list(cache.glob("*.twice_*"))) == 3


def test_the_same_source_is_the_same_module():
    assert compile_source("test", SOURCE) is compile_source("test", SOURCE) is not compile_source("other", SOURCE)


SPOIL = {
    "empty": lambda good: b"",
    "cut short": lambda good: good[:len(good) // 2],
    "one bit": lambda good: good[:-100] + bytes([good[-100] ^ 1]) + good[-99:],
    "a foreign file": lambda good: b"print('hello')\n",
    "a pickle": lambda good: pickle.dumps(print),
    "another program's, sound in itself": lambda good: compiled_elsewhere(pickle.dumps((1, 2, 3))),
}


def compiled_elsewhere(data):
    return compiled.hashlib.sha256(data).hexdigest().encode() + b"\n" + data


@pytest.mark.parametrize("case", SPOIL)
def test_what_is_damaged_is_made_again(cache, answer, case):
    answer()
    good = entry_of(cache).read_bytes()
    entry_of(cache).write_bytes(SPOIL[case](good))
    assert answer() == (8, 0)
    assert answer() == (8, 1)  # and is sound again


def test_an_entry_that_is_a_folder(cache, answer):
    answer()
    path = entry_of(cache)
    path.unlink()
    path.mkdir()
    assert answer() == (8, 0)
    assert not list(cache.glob(".unfinished*"))


@needs_owners
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755, 0o701])
def test_a_folder_that_is_open_to_others_is_not_trusted(cache, answer, mode):
    """What lies there may be anybody's, and loading it runs code."""
    answer()
    marker = cache.parent / "marker"
    entry_of(cache).write_bytes(compiled_elsewhere(pickle.dumps(Planted(marker))))
    cache.chmod(mode)
    before = sorted(cache.iterdir())
    assert answer() == (8, 0) and not marker.exists() and sorted(cache.iterdir()) == before


class Planted:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@needs_owners
def test_a_folder_of_another_user_or_a_link_is_not_trusted(cache, answer, monkeypatch):
    answer()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        assert answer() == (8, 0)
    assert answer() == (8, 1)
    cache.rename(cache.with_name("elsewhere"))
    cache.symlink_to("elsewhere")
    assert answer() == (8, 0)


@needs_owners
def test_the_folder_is_the_users_alone(cache, answer):
    before = os.umask(0)
    try:
        answer()
    finally:
        os.umask(before)
    assert cache.stat().st_mode & 0o777 == 0o700 and entry_of(cache).stat().st_mode & 0o777 == 0o600


def test_source_that_was_planted_does_not_run(cache, answer):
    cache.mkdir(parents=True, mode=0o700)
    module = compile_source("test", SOURCE)
    for folder in (cache, cache.with_name("kernels"), cache.with_name("kernels") / "__pycache__"):
        folder.mkdir(exist_ok=True)
        for name in (module.__name__, module.__name__.removeprefix("tinypredrnn_emitted_")):
            (folder / f"{name}.py").write_text("raise SystemExit('planted')")
    assert answer() == (8, 0)


def no_space(*words, **named):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("moment", ["mkdir", "mkstemp", "replace", "rebuild"])
def test_without_a_cache_all_works(cache, answer, monkeypatch, moment):
    if moment == "mkdir":
        cache.parent.write_text("a file where the folder should be")
    elif moment == "rebuild":
        answer()
        monkeypatch.setattr("numba.core.compiler.CompileResult._rebuild", no_space)
    else:
        monkeypatch.setattr({"mkstemp": compiled.tempfile, "replace": compiled.os}[moment], moment, no_space)
    assert answer() == (8, 0) and answer() == (8, 0)
    assert not list(cache.parent.rglob(".unfinished*")) if cache.parent.is_dir() else True


def test_a_disk_that_fills_while_it_is_written(cache, answer, monkeypatch):
    opened = open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, content):
            self.file.write(content[:10])
            no_space()

    monkeypatch.setattr(compiled, "open", lambda name, mode: Full(opened(name, mode)), raising=False)
    assert answer() == (8, 0) and list(cache.iterdir()) == []


def test_kernels_of_the_package_are_kept_too(cache, monkeypatch):
    for hits in (0, 1):
        thrice = kernel(nogil=True)(three_times)
        assert thrice(2) == 6 and sum(thrice.stats.cache_hits.values()) == hits


def three_times(x):
    return 3 * x


def test_a_package_without_its_sources():
    space = {}
    exec(compile("def f(x):\n    return x + 1", "/nowhere/module.py", "exec"), space | {"__name__": "module"}, space)
    assert kernel()(space["f"])(1) == 2


def test_the_package_where_nothing_can_be_written(tmp_path):
    """No cache, no home, and files in the way beside the sources, which stop root as well: all is compiled anew, and else as ever."""
    shutil.copytree(ROOT / "tinypredrnn", tmp_path / "tinypredrnn", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("file", "tinypredrnn/data/__pycache__", "tinypredrnn/autograd/__pycache__"):
        (tmp_path / name).write_text("")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "__pycache__" not in path.parts[:-1]}
    program = "import numpy as np; from tinypredrnn.data.drawn_digits import draw_digits; import tinypredrnn as tp\n" \
              "print(draw_digits(np.random.default_rng(0), 1)[0].shape, tp.fuse(lambda a: tp.exp(a))(tp.tensor([0.0])).numpy())"
    nowhere = {name: str(tmp_path / "file") for name in ("TINYPREDRNN_CACHE", "HOME", "USERPROFILE", "LOCALAPPDATA", "NUMBA_CACHE_DIR")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | nowhere | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0 and done.stdout.split() == ["(1,", "28,", "28)", "[1.]"], done.stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


# many at once

def many_sources(count):
    return [SOURCE.replace("+ 1", f"+ {n}") for n in range(count)]


def compute_all(together, answers, count=3):
    together.wait()
    for n, source in enumerate(many_sources(count)):
        answers.put((n, compile_source("test", source).twice(3)))


def test_eight_threads_at_once_on_an_empty_cache(cache):
    class Answers(list):
        put = list.append

    together, answers = threading.Barrier(8), Answers()
    several = [threading.Thread(target=compute_all, args=(together, answers)) for _ in range(8)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    assert sorted(answers) == sorted((n, 2 * (3 + n)) for n in range(3) for _ in range(8))
    assert not list(cache.glob(".unfinished*")) and len(list(cache.glob("*.twice_*"))) == 3


PROCESS = """
import os
os.getpid = lambda: 1  # as in a container of its own
from test_compiled import compile_source, many_sources
print("ready", flush=True)
input()
print(*[compile_source("test", source).twice(3) for source in many_sources(3)])
"""


def test_two_processes_of_the_same_number_at_once_on_an_empty_cache(cache):
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    both = [subprocess.Popen([sys.executable, "-c", PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"PYTHONPATH": path}) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in both] == ["6 8 10\n"] * 2
    assert [process.returncode for process in both] == [0, 0] and not list(cache.glob(".unfinished*"))


def test_threads_that_fuse_the_same_at_once():
    @tp.fuse
    def gate(a, b):
        return tp.sigmoid(a) * b

    together, answers, a = threading.Barrier(8), [], np.ones((3, 4), np.float32)

    def compute():
        together.wait()
        answers.append(gate(tp.tensor(a), tp.tensor(a)).numpy())

    several = [threading.Thread(target=compute) for _ in range(8)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    assert len(answers) == 8
    for found in answers:
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-a)), rtol=1e-5)


def test_with_numba_turned_off():
    """As NUMBA_DISABLE_JIT=1 does, for those who look for an error in a kernel: nothing is compiled, so nothing is kept."""
    program = ("import tinypredrnn.data.moving_mnist, tinypredrnn as tp\n"
               "print(tp.fuse(lambda x: tp.tanh(2 * x) + 1)(tp.tensor([0.0])).item())")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env=os.environ | {"NUMBA_DISABLE_JIT": "1"})
    assert (done.stdout, done.returncode) == ("1.0\n", 0), done.stderr
