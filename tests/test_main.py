"""`python -m tinypredrnn` tells what is here and how to get what is missing, and never fails for its want."""

import ast
import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

import tinypredrnn as tp
from tinypredrnn.__main__ import COMMANDS
from tinypredrnn.commands import info as report
from tinypredrnn.errors import DeviceError

ROOT = Path(tp.__file__).parents[1]


@pytest.fixture
def run_info(capsys):
    """The report as {title: {name: fact}}."""
    def run():
        report.main()
        head, *sections = capsys.readouterr().out.strip().split("\n\n")
        rows = {section.splitlines()[0]: section.splitlines()[1:] for section in sections}
        assert all(len(row) > 20 and row[:2] == "  " and row[20] != " " for part in rows.values() for row in part)  # aligned
        return {"head": head, **{title: {row[2:20].strip(): row[20:] for row in part} for title, part in rows.items()}}
    return run


def run(**environment):
    command = [sys.executable, "-m", "tinypredrnn"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True)


def test_as_a_command(tmp_path):
    ended = run(OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1", TINYPREDRNN_CACHE=str(tmp_path / "cache"), TINYPREDRNN_DATA=str(tmp_path))
    assert ended.stderr == ""
    for words in (f"tinypredrnn {tp.__version__} in ", f"Python {sys.version.split()[0]} in {sys.executable}",
                  f"numpy             {np.__version__}",
                  "OPENBLAS_NUM_THREADS=1", "  BLAS              1, ", "  numba             1, layer ",
                  f"{tmp_path / 'cache' / 'compiled'}: 0 files, 0.0 MB", "\ndata\n"):
        assert words in ended.stdout, ended.stdout
    assert re.search(r"layer (omp|tbb|workqueue)\n", ended.stdout)
    assert not (tmp_path / "cache").exists()  # it looks, and makes nothing


def test_what_is_missing_comes_with_what_to_install(run_info, monkeypatch):
    def version(name):
        if name in ("cupy-cuda12x", "numpy"):
            return "14.0"
        raise PackageNotFoundError(name)

    monkeypatch.setattr(report, "version", version)
    packages = run_info()["packages"]
    assert packages["numpy"] == packages["cupy"] == "14.0"  # by another of its names
    assert packages["tqdm"] == "missing; pip install tqdm"
    assert packages["imageio-ffmpeg"] == "missing; to read videos: pip install imageio-ffmpeg"
    monkeypatch.setattr(report, "OTHER_NAMES", {})
    assert run_info()["packages"]["cupy"].startswith('missing; for a GPU: pip install "cupy-cuda13x[ctk]" (CUDA 13) or ')


def test_the_packages_and_extras_are_those_of_setup():
    call = next(node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))) if getattr(node, "keywords", None))
    asked = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg in ("install_requires", "extras_require")}
    needed = {re.match(r"[\w-]+", line)[0] for line in asked["install_requires"]}
    assert needed == set(report.REQUIRED)
    extras = {re.match(r"[\w-]+", line)[0] for lines in asked["extras_require"].values() for line in lines} - {"tinypredrnn"}
    told = " ".join(report.PACKAGES.values())
    assert [name for name in extras if name not in told] == []


def test_nothing_that_is_missing_stops_it(run_info, monkeypatch):
    for module in ("numba", "pooch", "cupy", "matplotlib", "skimage", "tqdm", "threadpoolctl"):
        monkeypatch.setitem(sys.modules, module, None)  # `import numba` raises ImportError
    facts = run_info()
    assert "needs CuPy" in facts["devices"]["gpu"] and "numba" in facts["threads"]["numba"] and "pooch" in facts["caches"]["downloads"]
    assert facts["threads"]["BLAS"] and "pooch" in facts["caches"]["compiled kernels"]


def test_devices(run_info, monkeypatch):
    monkeypatch.setattr(report.backend, "gpu_names", lambda: ["A, 80 GiB", "B, 16 GiB"])
    facts = run_info()["devices"]
    assert facts["gpu"] == "A, 80 GiB; B, 16 GiB" and f"{os.cpu_count()} cores" in facts["cpu"]

    def none():
        raise DeviceError("CuPy finds no GPU")

    monkeypatch.setattr(report.backend, "gpu_names", none)
    assert run_info()["devices"]["gpu"] == "CuPy finds no GPU"


def test_threads_are_those_of_the_environment(run_info, monkeypatch):
    for name in report.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert run_info()["threads"]["environment"] == "sets none"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    assert run_info()["threads"]["environment"] == "MKL_NUM_THREADS=2, OMP_NUM_THREADS=3"


def test_threads_of_blas(run_info, monkeypatch):
    pools = [{"user_api": "blas", "internal_api": "openblas", "version": "0.3", "num_threads": 7}, {"user_api": "openmp"}]
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: pools)
    assert run_info()["threads"]["BLAS"] == "7, openblas 0.3"
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: pools[1:])
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": {"blas": {"name": "accelerate"}}})
    assert run_info()["threads"]["BLAS"] == "accelerate"


def test_caches_are_measured(run_info, monkeypatch, tmp_path):
    monkeypatch.setenv("TINYPREDRNN_CACHE", str(tmp_path))
    (tmp_path / "compiled" / "more").mkdir(parents=True)
    (tmp_path / "compiled" / "gate").write_bytes(b" " * 1_000_000)
    (tmp_path / "compiled" / "more" / "tiles").write_bytes(b" " * 500_000)
    facts = run_info()["caches"]
    assert facts["compiled kernels"] == f"{tmp_path / 'compiled'}: 2 files, 1.5 MB"
    assert facts["downloads"] == f"{tmp_path / 'mnist'}: 0 files, 0.0 MB"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert run_info()["caches"]["compiled kernels"].endswith("1.5 MB, cannot be written to")


def test_data(run_info, monkeypatch, tmp_path):
    monkeypatch.setenv("TINYPREDRNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYPREDRNN_DATA", raising=False)
    assert run_info()["data"] == {"TINYPREDRNN_DATA": "not set: export TINYPREDRNN_DATA=FOLDER, if you have the MNIST files",
                              "MNIST": "not here: downloaded when it is first needed, or else digits are drawn"}
    monkeypatch.setenv("TINYPREDRNN_DATA", str(tmp_path / "nowhere"))
    assert run_info()["data"]["TINYPREDRNN_DATA"] == f"{tmp_path / 'nowhere'}, which is not a folder"
    for folder in (tmp_path / "cache" / "mnist", tmp_path / "data" / "mnist", tmp_path / "data" / "kth"):
        folder.mkdir(parents=True)
    (tmp_path / "cache" / "mnist" / "train-images-idx3-ubyte.gz").touch()
    assert run_info()["data"]["MNIST"] == f"train-images-idx3-ubyte.gz in {tmp_path / 'cache' / 'mnist'}"
    (tmp_path / "data" / "mnist" / "t10k-images.idx3-ubyte").touch()
    monkeypatch.setenv("TINYPREDRNN_DATA", str(tmp_path / "data"))
    assert run_info()["data"] == {"TINYPREDRNN_DATA": f"{tmp_path / 'data'}: kth, mnist",
                              "MNIST": f"t10k-images.idx3-ubyte in {tmp_path / 'data' / 'mnist'}"}


# the one command line

def tinypredrnn(*words, cwd=ROOT):
    return subprocess.run([sys.executable, "-m", "tinypredrnn", *words], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_under_its_own_name(name):
    ended = tinypredrnn(name, "--help")
    assert ended.returncode == 0 and ended.stderr == "" and f"tinypredrnn {name}" in ended.stdout, ended


def test_help_and_unknown_commands():
    ended = tinypredrnn("--help")
    assert ended.returncode == 0 and all(f"\n    {name}" in ended.stdout for name in COMMANDS)
    ended = tinypredrnn("tarin")
    assert ended.returncode == 2 and ended.stderr.startswith("tinypredrnn: command 'tarin' is unknown: expected one of train, ")
    assert ended.stderr.count("\n") == 1


def test_the_console_script_is_this_command_line():
    assert 'tinypredrnn = tinypredrnn.__main__:console' in (ROOT / "setup.py").read_text()


def test_models_are_listed(tmp_path):
    printed = tinypredrnn("models", cwd=tmp_path).stdout
    assert "predrnn       23,842,832 parameters" in printed and "     6,102,712,320 multiply-adds a frame" in printed
    rows = json.loads(tinypredrnn("models", "--json", cwd=tmp_path).stdout)
    assert [row["name"] for row in rows] == list(tp.models.MODELS) and rows[0]["options"]["kernel"] == 5
