"""The package as people install it: the wheel has all of it and no more, and works from another folder, also where
nothing can be written.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tinypredrnn as tp

HOME = Path(__file__).resolve().parents[1]
BUILT_FROM = "tinypredrnn", "lessons", "setup.py", "README.md", "LICENSE"
LEFT_BY_WORK = ("build/lib/tinypredrnn/removed.py", "tinypredrnn/__pycache__/a.nbi", "lessons/figures/01/a.png",
                "lessons/.progress.json")

USE = '''
import sys
import numpy as np
import tinypredrnn as tp
from tinypredrnn.data.drawn_digits import draw_digits
from tinypredrnn.data.digits import Digits
from tinypredrnn.data.moving_digits import MovingDigits
from tinypredrnn.train import Trainer, new_plan, read_log

assert tp.__file__.startswith(sys.prefix), tp.__file__


class DrawnDigits(MovingDigits):
    def digits(self, split):
        return Digits(draw_digits(np.random.default_rng(0), 4)[0], "drawn digits")


plan = new_plan("predrnn", "mnist", hidden=(4,), batch=2, steps=3, validate_every=3, validation_sequences=3)
moving = DrawnDigits(plan.data, seed=0)
frames = moving.moving("test").fixed_set("test", 3).astype(np.float32) / 255
future, truth = tp.load()(frames[:, :10], horizon=10).data, frames[:, 10:]
print("predicted", future.shape, ((future - truth) ** 2).mean() < ((frames[:, 9:10] - truth) ** 2).mean())

trainer = Trainer(plan.on(moving), moving, sys.argv[1])
with trainer.folder():
    trainer.run()
print("trained", len(read_log(trainer.out / "log.csv")["loss"]), tp.load(sys.argv[1])(frames[:, :10], horizon=2).shape)
'''
DONE = ["predicted (3, 10, 64, 64, 1) True", "trained 3 (3, 2, 64, 64, 1)"]


def run(*command, cwd=None, **environment):
    """What a command prints, with `environment` laid over this program's; a name whose value is None is taken out."""
    environment = {name: value for name, value in (os.environ | environment).items() if value is not None}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def pip(*arguments):
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, PYTHONPATH=None)  # a checkout there is none of ours


def build(source, into):
    """The wheel of a folder or an sdist, by the setuptools at hand and without network."""
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--use-pep517", "--wheel-dir", into, source)
    (wheel,) = into.glob("*.whl")
    return wheel


def content(wheel):
    """{name: checksum} of a wheel's files."""
    with zipfile.ZipFile(wheel) as file:
        return {entry.filename: entry.CRC for entry in file.infolist()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what the wheel is built from, with files that git ignores in it."""
    for tool in ("pip", "setuptools"):
        if not importlib.util.find_spec(tool):
            pytest.skip(f"{tool}, which builds the wheel, is missing: install it, or take README's test command")
    source = tmp_path_factory.mktemp("checkout") / "a checkout"
    source.mkdir()
    for name in BUILT_FROM:
        copy = shutil.copytree if (HOME / name).is_dir() else shutil.copy
        copy(HOME / name, source / name)
    for left in LEFT_BY_WORK:
        (source / left).parent.mkdir(parents=True, exist_ok=True)
        (source / left).write_text("")
    return source


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build(source, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of a fresh environment that has this wheel, and sees what it needs in the environment of the tests."""
    room = tmp_path_factory.mktemp("environment")
    venv.create(room, with_pip=False, symlinks=os.name != "nt")
    python = room / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    packages = [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
    own = Path(run(python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (own / "dependencies.pth").write_text("\n".join(packages))  # without their .pth files: no editable installation
    return python


# what the wheel has

def test_every_folder_of_code_is_a_package():
    """Otherwise find_packages leaves it out without a word."""
    package = Path(tp.__file__).parent
    assert {file.parent for file in package.rglob("*.py")} == {file.parent for file in package.rglob("__init__.py")}


def test_the_wheel_has_the_files_that_git_has(wheel):
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "tinypredrnn", "lessons"]
    try:
        listed = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git, which lists the files, is missing, or this is no clone")
    files = {name for name in listed if name and (HOME / name).is_file()}  # deleted ones are listed, too
    expected = {re.sub("^lessons/", "tinypredrnn/lessons/", name) for name in files}
    assert {name for name in content(wheel) if ".dist-info/" not in name} == expected


def test_building_leaves_no_build_folder(source, wheel):
    assert {path.name for path in source.iterdir()} <= {*BUILT_FROM, "build", "tinypredrnn.egg-info"}
    assert [path.name for path in (source / "build").rglob("*.py")] == ["removed.py"]  # what was there, and no more


def test_an_sdist_makes_the_same_wheel(source, wheel, tmp_path):
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", code, tmp_path, cwd=source)
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert content(build(sdist, tmp_path)) == content(wheel)


def test_the_metadata(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = file.read(name).decode()
    for line in (f"Version: {tp.__version__}", "License: MIT", "License-File: LICENSE"):
        assert f"\n{line}\n" in metadata
    readme = (HOME / "README.md").read_text(encoding="utf-8")
    versions = re.findall(r"^Classifier: Programming Language :: Python :: (3\.\d+)$", metadata, re.MULTILINE)
    assert f"Python {versions[0]} to {versions[-1]}" in readme and f"Requires-Python: >={versions[0]}\n" in metadata


# what the installation does

def test_from_another_folder_it_loads_predicts_and_trains(installed, tmp_path):
    assert run(installed, "-I", "-c", USE, tmp_path / "a run", cwd=tmp_path).splitlines() == DONE


def test_the_console_script_is_there_and_trains(installed, tmp_path):
    script = installed.parent / ("tinypredrnn.exe" if os.name == "nt" else "tinypredrnn")
    assert "predrnn_m" in run(script, "models", cwd=tmp_path, PYTHONPATH=None)
    np.save(tmp_path / "clips.npy", np.random.default_rng(0).integers(256, size=(4, 24, 12, 16), dtype=np.uint8))
    words = "--hidden 4 --steps 2 --batch 2 --given 4 --horizon 3 --validate-every 2 --test-sequences 2 --out run".split()
    printed = run(script, "train", "sequences", "--data", "clips.npy", *words, cwd=tmp_path, PYTHONPATH=None)
    assert "copy last frame" in printed and (tmp_path / "run" / "best.npz").is_file()
    assert "sequences" in run(script, "evaluate", "run", cwd=tmp_path, PYTHONPATH=None)
    run(script, "predict", "run", "--input", "clips.npy", cwd=tmp_path, PYTHONPATH=None)
    assert (tmp_path / "predicted" / "prediction.npy").is_file()


def test_the_installed_course_is_written_and_run(installed, tmp_path):
    """And leaves nothing in the installation: `pip uninstall` would not take it away."""
    course = installed, "-I", "-m", "tinypredrnn.course"
    before = files_of(installed)
    mine = tmp_path / "my course"
    assert "new: all " in run(*course, "write", "my course", cwd=tmp_path)
    assert "as written: all " in run(*course, "write", "--update", ".", cwd=mine)
    printed = run(installed, "-I", "01_one_number.py", cwd=mine)
    assert "## A nudge" in printed and "not yet: nothing came back yet" in printed
    assert "exercises 0 of" in run(*course, cwd=mine)
    assert "return (f(x + nudge)" in run(*course, "solution", "1.1", cwd=mine)
    assert run(*course, "run", "1", cwd=tmp_path).endswith("as expected\n")
    assert len(run(*course, cwd=tmp_path).splitlines()) >= 19
    assert files_of(installed) == before and (mine / "figures/01_one_number").is_dir()


def test_the_installed_course_becomes_pages(installed, tmp_path):
    """By the template and the style sheet that come with it."""
    pytest.importorskip("markdown_it", reason="the extra `pages` is not installed")
    before = files_of(installed)
    run(installed, "-I", "-m", "tinypredrnn.course", "pages", "a site", "--run", "none", cwd=tmp_path)
    pages = {path.name for path in (tmp_path / "a site").iterdir()}
    assert {"index.html", "style.css", "01_one_number.html", "01_one_number.png"} <= pages
    assert files_of(installed) == before


def files_of(python):
    return sorted(path for path in (python.parent.parent).rglob("*/tinypredrnn/*") if "__pycache__" not in path.parts)


@pytest.mark.skipif(os.name == "nt", reason="a folder without write permission is a matter of POSIX")
def test_without_a_home_and_read_only_it_does_so_too(installed, tmp_path):
    """Neither the installation nor the working folder nor a home can be written to; only where the run goes."""
    powerless = ()
    if os.geteuid() == 0:
        powerless = "setpriv", "--bounding-set=-all", "--inh-caps=-all"  # root for whom permissions count
        if not shutil.which("setpriv") or subprocess.run([*powerless, "true"], capture_output=True).returncode:
            pytest.skip("root may write everywhere, and setpriv, which takes that away, is missing or not allowed")
    package = Path(run(installed, "-I", "-c", "import tinypredrnn; print(tinypredrnn.__path__[0])").strip())
    for compiled in package.rglob("__pycache__/*.nb[ci]"):
        compiled.unlink()  # what numba kept of the test before
    closed = tmp_path / "closed"
    closed.mkdir()
    folders = [closed, *(folder for folder in (package, *package.rglob("*")) if folder.is_dir())]
    try:
        for folder in folders:
            folder.chmod(0o555)
        printed = run(*powerless, installed, "-I", "-c", USE, tmp_path / "run", cwd=closed, HOME=str(closed / "home"),
                      XDG_CACHE_HOME=None, TINYPREDRNN_CACHE=None, NUMBA_CACHE_DIR=None)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert printed.splitlines() == DONE


@pytest.mark.parametrize("home", ["Path('~nobody_at_all/.cache')", "exec('raise RuntimeError')"])
def test_a_user_without_a_home_has_a_cache_while_the_process_lives(home):
    """As in a container, where a user may be a number without a name. The library below says so in one of two ways."""
    code = f"""
import pooch
from pathlib import Path
from tinypredrnn.files import user_cache

pooch.os_cache = lambda name: {home}
assert user_cache() == user_cache() and user_cache().is_dir()
print(user_cache())"""
    folder = Path(run(sys.executable, "-c", code, cwd=HOME, TINYPREDRNN_CACHE=None).strip())
    assert folder.is_absolute() and not folder.exists()
