"""The package as a whole: quick to import, open about its names, CuPy in one place, randomness from nowhere but Generators."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinypredrnn as tp
from tinypredrnn import autograd, backend, errors, nn

pytestmark = pytest.mark.filterwarnings("error")
PACKAGE = Path(tp.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
each_file = pytest.mark.parametrize("file", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES])


def python(code):
    """The output of a Python that starts anew."""
    environment = {name: value for name, value in os.environ.items() if name != "TINYPREDRNN_DEBUG"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=PACKAGE.parent, env=environment, capture_output=True, text=True, check=True).stdout


# the import

HEAVY = {"cupy", "matplotlib", "numba", "skimage", "scipy", "PIL", "tqdm", "pooch", "requests", "torch", "imageio", "xarray", "netCDF4",
         "h5netcdf", "zarr"}


def test_the_import_is_light():
    loaded = set(python("import sys, tinypredrnn; print(*{name.partition('.')[0] for name in sys.modules})").split())
    assert "numpy" in loaded and not loaded & HEAVY


def test_building_and_differentiating_needs_nothing_heavy_either():
    """Op by op and by direct convolution, that is: generated kernels wait for numba until they are first called."""
    loaded = set(python("""
import sys, numpy, tinypredrnn as tp
model = tp.build_model("predrnn", size=(8, 8), hidden=(2,), kernel=3, patch=4)
with tp.unfused(), tp.convolution_by("direct"):
    model(numpy.zeros((1, 2, 8, 8, 1), "float32"), horizon=1).sum().backward()
print(*{name.partition(".")[0] for name in sys.modules})""").split())
    assert not loaded & HEAVY


def test_the_import_takes_less_than_a_second():
    """Of the processor's time: on a busy machine the clock tells of the others' work."""
    code = "import time; start = time.process_time(); import tinypredrnn; print(time.process_time() - start)"
    seconds = []
    for _ in range(5):
        seconds.append(float(python(code)))
        if seconds[-1] < 1:
            return
    pytest.fail(f"five imports took {seconds} seconds, none of them less than one")


def test_rooms_open_when_they_are_entered():
    code = "import sys, tinypredrnn as tp; print('tinypredrnn.metrics' in sys.modules, tp.metrics.__name__)"
    assert python(code).split() == ["False", "tinypredrnn.metrics"]
    with pytest.raises(AttributeError, match="module 'tinypredrnn' has no attribute 'nonsense'"):
        _ = tp.nonsense


# names

def module_of(file):
    return importlib.import_module(".".join(["tinypredrnn", *file.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"))


def public_names():
    """What users are meant to call, by name: all that the package and its rooms list, errors, devices, cells, and a tensor's methods."""
    names = {f"tp.{name}": value for name, value in vars(tp).items() if not name.startswith("_") and callable(value)}
    for module in map(module_of, FILES):
        names |= {f"{module.__name__}.{name}": getattr(module, name) for name in getattr(module, "__all__", ())}
    for module in (errors, backend, tp.cells, nn.module):
        names |= {f"{module.__name__}.{name}": value for name, value in vars(module).items()
                  if getattr(value, "__module__", "") == module.__name__}
    for kind in (tp.Tensor, nn.Module):
        names |= {f"{kind.__name__}.{name}": value for name, value in vars(kind).items()
                  if not name.startswith("_") and name != "forward" and callable(value)}
    return names


def test_public_names_have_docstrings():
    names = public_names()
    assert len(names) > 100
    assert {name for name, value in names.items() if callable(value) and not value.__doc__} == set()


@each_file
def test_every_file_begins_with_what_it_is(file):
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert docstring and len(docstring) > 20


def test_all_lists_what_exists_once():
    for module in (autograd, nn):
        assert len(set(module.__all__)) == len(module.__all__) and all(hasattr(module, name) for name in module.__all__)
    assert all(getattr(tp, name) is getattr(autograd, name) for name in autograd.__all__)


# rules of the house

def imports_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@each_file
def test_only_the_backend_and_the_gpus_room_import_cupy(file):
    imported = {name.partition(".")[0] for name in imports_of(ast.parse(file.read_text(encoding="utf-8")))}
    assert not imported & {"cupy_backends", "torch"}
    assert not imported & {"cupy", "cupyx"} or file.relative_to(PACKAGE).parts[0] in ("backend.py", "gpu")


@each_file
def test_no_random_numbers_but_from_a_generator(file):
    """numpy.random is used to make a Generator from a seed that was passed in, and for nothing else; `secrets` for names of files."""
    allowed = {"secrets"} if file.name in ("files.py", "folder.py") else set()
    assert set(random_uses(file.read_text(encoding="utf-8"))) <= allowed


def random_uses(source):
    found = []
    for node in ast.walk(tree := ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random":
            if node.attr not in ("default_rng", "Generator", "SeedSequence"):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng") and not node.args:
            found.append(ast.unparse(node))  # seeded by the clock
    return found + [name for name in imports_of(tree) if name in ("random", "secrets", "numpy.random")]


def test_the_scan_for_random_numbers_sees_them():
    sources = {"np.random.rand(3)": 1, "numpy.random.seed(0)": 1, "import random": 1, "from numpy.random import rand": 1,
               "np.random.default_rng()": 1, "np.random.default_rng(0).random(3)": 0, "rng.random(3)": 0}
    assert {source: len(random_uses(source)) for source in sources} == sources


@each_file
def test_arrows_run_one_way(file):
    """threads; backend <- gpu <- autograd <- nn <- cells <- models <- train <- commands; metrics <- data and viz stand beside and know no
    model."""
    rooms = ["malloc", "errors", "options", "files", "folder", "compiled", "cgroups", "threads", "backend", "memory", "gpu",
             "autograd", "nn", "cells", "models", "optim", "train", "course", "commands"]
    beside = {"metrics": {"errors"}, "viz": {"errors", "files", "metrics"},
              "data": {"errors", "options", "files", "folder", "compiled", "memory", "metrics"}}
    here = file.relative_to(PACKAGE).with_suffix("").parts[0]
    known = {name.split(".")[1] for name in imports_of(ast.parse(file.read_text(encoding="utf-8")))
             if name.startswith("tinypredrnn.")} - {here}
    if here in rooms:
        assert known <= set(rooms[:rooms.index(here)]) | (set(beside) if here in ("train", "course", "commands") else set())
    elif here in beside:
        assert known <= beside[here]


@each_file
def test_files_stay_short(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400
