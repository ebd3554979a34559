"""How much memory there is: what the machine, a container and `ulimit -v` say, and a refusal that costs nothing."""

import subprocess
import sys

import pytest

from tinypredrnn import cgroups, memory
from tinypredrnn.errors import TooLargeError
from tinypredrnn.memory import ASSUMED, format_bytes, memory_limit, require_memory


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A function that puts the process into control groups: lines of /proc/self/cgroup, and {file: text} below /sys/fs/cgroup."""
    def place(lines, files):
        monkeypatch.setattr(cgroups, "ROOT", tmp_path)
        files = {"proc/self/cgroup": lines, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return sorted(memory.cgroup_limits())

    return place


def test_limits_of_containers(groups):
    files = {"a/b/memory.max": "max\n", "a/memory.max": "3000000\n", "memory.max": "9000000\n"}
    assert groups("0::/a/b\n", files) == [3_000_000, 9_000_000]
    assert memory_limit() == 3_000_000


def test_limits_of_containers_of_the_first_version(groups):
    files = {"memory/a/memory.limit_in_bytes": "4000000\n", "memory/memory.limit_in_bytes": f"{2**63 - 4096}\n", "memory.max": "1"}
    assert groups("5:devices:/\n4:cpu,memory:/a\n", files) == [4_000_000, 2**63 - 4096]


def test_a_container_that_sees_the_groups_of_the_machine_from_inside(groups):
    assert groups("0::/docker/0123\n", {"memory.max": "5000000"}) == [5_000_000]


def test_where_nothing_is_known_a_bound_is_assumed(monkeypatch, tmp_path):
    monkeypatch.setattr(cgroups, "ROOT", tmp_path / "nothing")
    monkeypatch.setattr(memory, "machine_memory", lambda: [])
    monkeypatch.setattr(memory, "process_limits", lambda: [])
    assert memory_limit() == ASSUMED


def test_ulimit_counts():
    pytest.importorskip("resource")
    code = ("import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, resource.RLIM_INFINITY));"
            "from tinypredrnn.memory import memory_limit; print(memory_limit() <= 3 << 30)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"


def test_what_cannot_fit_is_refused_in_one_sentence():
    require_memory(1000, "a small thing", "nothing")
    assert 1 << 28 < memory_limit() <= ASSUMED
    with pytest.raises(TooLargeError, match=r"^a castle would take at least 1,024 TiB .* of cpu: build a smaller one$"):
        require_memory(1 << 50, "a castle", "build a smaller one")


@pytest.mark.parametrize("count, words", [(0, "0 KiB"), (1536, "1.5 KiB"), (5 << 20, "5 MiB"), (7 << 30, "7 GiB"),
                                          (3 << 42, "12 TiB"), (3 << 50, "3,072 TiB")])
def test_bytes_in_words(count, words):
    assert format_bytes(count) == words
