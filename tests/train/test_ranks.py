"""Several real processes, started by mpiexec: they train as one would, and end together whatever happens to one of them."""

import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import many
import numpy as np
import pytest
from stand_in import in_place_of_cupy

from tinypredrnn.errors import ConfigError, DeviceError
from tinypredrnn.train import parallel, read_checkpoint, read_log
from tinypredrnn.train.parallel import ALONE, Ranks, cores_of_one, gpu_of_one, interleaved, launched, processes

ROOT = Path(__file__).parents[2]
LONG = 600  # seconds: the end of a test that hangs, never of one on a busy machine


@pytest.fixture(scope="session")
def mpiexec():
    """mpiexec(count, folder, *names): start many.py so many times, to train the runs of these names together."""
    pytest.importorskip("mpi4py", reason="mpi4py, by which processes reach each other, is not installed")
    try:
        from mpi4py import MPI  # noqa: F401 (it loads the MPI library)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"mpi4py finds no MPI: {error}")
    launcher = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")  # that of the same MPI first
    if not launcher:
        pytest.skip("there is no mpiexec")
    # Open MPI refuses root and more processes than cores otherwise
    open_mpi = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    environment = os.environ | open_mpi | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}

    def start(count, folder, *names):
        words = [launcher, "-n", count, sys.executable, Path(many.__file__), folder, *names]
        return subprocess.run(list(map(str, words)), env=environment, capture_output=True, encoding="utf-8", errors="replace",
                              timeout=LONG)

    return start


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder with what one process makes of all RUNS."""
    folder = tmp_path_factory.mktemp("alone")
    for name, changes in many.RUNS.items():
        many.train(folder / name, **changes)
    return folder


def check_same(one, other, tolerance):
    """Two runs end with the same weights, state of the optimiser, best weights and scores."""
    for file in "checkpoint.npz", "best.npz":
        (plan, iteration, parts), (other_plan, other_iteration, others) = read_checkpoint(one / file), read_checkpoint(other / file)
        assert (plan, iteration) == (other_plan, other_iteration)
        for part in parts:
            assert parts[part].keys() == others[part].keys()
            for name, array in parts[part].items():
                np.testing.assert_allclose(others[part][name], array, rtol=0, atol=tolerance, err_msg=f"{file}: {part}.{name}")
    log, other_log = read_log(one / "log.csv"), read_log(other / "log.csv")
    for column in "iteration", "loss", "rate", "validation_mse":
        assert [float(x or -1) for x in other_log[column]] == pytest.approx([float(x or -1) for x in log[column]], rel=2e-5)


@pytest.mark.parametrize("count, names", [(2, many.RUNS), (4, ["descent"])])
def test_they_train_as_one_process_would(mpiexec, alone, tmp_path, count, names):
    """Also if places without data, weights of heavy ones and rows are shared unevenly: to 1e-10 in float64."""
    done = mpiexec(count, tmp_path, *names)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{count} processes share the work; this one, the first, computes with 1 thread(s)\n")
    for name in names:
        check_same(alone / name, tmp_path / name, 1e-5 if name == "float32" else 1e-10)


def test_after_a_kill_one_process_goes_on_from_the_last_checkpoint(mpiexec, alone, tmp_path):
    done = mpiexec(2, tmp_path, "killed")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert read_checkpoint(tmp_path / "killed")[1] == 4 and len(read_log(tmp_path / "killed" / "log.csv")["loss"]) == 6
    assert many.train(tmp_path / "killed", resume=True) is None
    check_same(alone / "descent", tmp_path / "killed", 1e-10)


def test_a_signal_to_one_stops_all_after_the_same_step_with_everything_saved(mpiexec, tmp_path):
    done = mpiexec(2, tmp_path, "stopped")
    assert done.returncode == 143 and "Traceback" not in done.stderr
    assert read_checkpoint(tmp_path / "stopped")[1] == len(read_log(tmp_path / "stopped" / "log.csv")["loss"]) == 7


def test_an_error_of_one_is_said_and_ends_all(mpiexec, tmp_path):
    done = mpiexec(2, tmp_path, "failed")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "rank 1 of 2 processes, on " in done.stderr and "many.py: the frames are gone" in done.stderr
    assert read_checkpoint(tmp_path / "failed")[1] == 4


def test_an_error_of_all_is_said_once(mpiexec, tmp_path):
    done = mpiexec(2, tmp_path, "unheard_of")
    assert done.returncode == 2 and done.stderr.count("many.py: there is no run unheard_of") == 1


# without mpiexec

@pytest.fixture
def many_launched(monkeypatch):
    """many_launched(rank): this process believes that a launcher has started two, of which it is number `rank`."""
    for names in parallel.LAUNCHERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)

    def launch(rank):
        monkeypatch.setenv("PMI_SIZE", "2")
        monkeypatch.setenv("PMI_RANK", str(rank))

    return launch


def test_without_a_launcher_it_is_alone(many_launched, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with processes() as ranks:
        assert ranks is ALONE
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    with processes() as ranks:
        assert ranks is ALONE


@pytest.mark.parametrize("size, rank", parallel.LAUNCHERS)
def test_every_launcher_is_understood(many_launched, monkeypatch, size, rank):
    monkeypatch.setenv(size, "3")
    assert launched() == (1, 0)  # srun sets some of its variables for other programs as well
    monkeypatch.setenv(rank, "2")
    assert launched() == (3, 2)


def test_processes_that_cannot_reach_each_other_end_with_one_sentence(many_launched, monkeypatch):
    def end(rank):
        many_launched(rank)
        with processes():
            pytest.fail("they would train apart, and write into one folder")

    fake = types.ModuleType("mpi4py")
    fake.MPI = types.SimpleNamespace(COMM_WORLD=types.SimpleNamespace(size=1), Get_library_version=lambda: "Some MPI 1.0\nfor us\0")
    for module, sentence in (None, "mpi4py, by which .* is not installed"), (fake, r"that mpi4py uses \(Some MPI 1.0\) knows 1"):
        monkeypatch.setitem(sys.modules, "mpi4py", module)
        with pytest.raises(ConfigError, match=sentence):
            end(0)
        with pytest.raises(SystemExit):
            end(1)


@pytest.mark.parametrize("bound, expected", [
    ([{0, 1, 2, 3}], 4), ([{0, 1, 2, 3}] * 2, 2), ([{0, 1, 2, 3}] * 3, 1), ([{0}] * 4, 1), ([{0, 1}, {2, 3}], 2), ([{0, 1, 2}, {2, 3}], 2),
])  # fmt: skip
def test_threads_are_divided_by_the_processes_of_a_machine(bound, expected):
    assert cores_of_one(bound, 0, len(bound[0])) == expected


def test_a_quota_is_divided_as_well():
    assert cores_of_one([set(range(64))] * 2, 1, 5) == 2


@pytest.mark.parametrize("visible, expected", [(None, ["0", "1", "2"]), ("4,7", ["4", "7", ""]), ("5", ["5"] * 3), ("", [""] * 3)])
def test_each_process_of_a_machine_sees_one_gpu(visible, expected):
    assert [gpu_of_one(visible, rank) for rank in range(3)] == expected


def test_rows_come_back_in_their_order():
    rows = np.arange(14).reshape(7, 2)
    for count in 1, 2, 3, 9:
        np.testing.assert_array_equal(interleaved([rows[rank::count] for rank in range(count)]), rows)


@pytest.fixture
def two_gpus(monkeypatch):
    """(the rank of one of two equal processes on the stand-in of a GPU, an array there): NCCL sums by doubling."""
    with in_place_of_cupy(monkeypatch) as cupy:
        ranks = Ranks.__new__(Ranks)
        ranks.rank, ranks.size = 0, 2
        yield ranks, cupy.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))


def test_gradients_on_gpus_are_summed_by_nccl(two_gpus, monkeypatch):
    ranks, array = two_gpus
    asked = []

    def all_reduce(source, target):
        target[...] = source + source

    def init_process_group(*how, **more):
        asked.append((how, more))
        return types.SimpleNamespace(all_reduce=all_reduce)

    distributed = types.ModuleType("cupyx.distributed")
    distributed.init_process_group = init_process_group
    monkeypatch.setitem(sys.modules, "cupyx", types.ModuleType("cupyx"))
    monkeypatch.setitem(sys.modules, "cupyx.distributed", distributed)
    loss = array.sum()
    for _ in range(2):
        ranks.average([loss, array], weight=3)
    np.testing.assert_allclose(array.get(), np.arange(6).reshape(2, 3), rtol=1e-6)
    assert float(loss.get()) == 15 and asked == [((2, 0), {"use_mpi": True})]


def test_gpus_without_nccl_are_a_clear_error(two_gpus, monkeypatch):
    ranks, array = two_gpus
    monkeypatch.setitem(sys.modules, "cupyx", None)
    with pytest.raises(DeviceError, match="several GPUs need NCCL, which CuPy does not find .*pip install nvidia-nccl-cu13"):
        ranks.average([array])
