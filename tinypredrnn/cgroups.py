"""The control groups of Linux, which keep a container's limits of memory and processor time."""

from pathlib import Path

ROOT = Path("/")  # below it are the files in which Linux says what the groups are


def limits(controller, version_2, version_1):
    """The limits of the groups that this process is in and of those around them: for each group, the words of its
    files.

    controller   "memory" or "cpu"
    version_2    the names of the files in version 2 of control groups
    version_1    the same in version 1

    A group is left out if one of the files cannot be read: from inside a container, for example, not all are visible.
    """
    lines = [line.split(":", 2) for line in read(ROOT / "proc/self/cgroup").splitlines()]
    for _, controllers, group in [line for line in lines if len(line) == 3]:
        if controllers == "":  # version 2, alone or beside version 1
            mounts, files = ("", "unified"), version_2
        elif controller in controllers.split(","):
            mounts, files = (controllers, controller), version_1
        else:
            continue
        parts = Path(group.lstrip("/")).parts  # as seen from outside a container: inside, only the mount exists
        for mount in [ROOT / "sys/fs/cgroup" / name for name in dict.fromkeys(mounts)]:
            for folder in [mount.joinpath(*parts[:count]) for count in range(len(parts) + 1)]:
                texts = [read(folder / name) for name in files]
                if all(texts):
                    yield " ".join(texts).split()


def read(path):
    """The text of a small file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
