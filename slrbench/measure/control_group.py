"""What a control group leaves a process of memory: Linux, versions 1 and 2, containers and slices alike."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_FILES = {
    "memory.max": ("memory.current", "inactive_file"),
    "memory.limit_in_bytes": ("memory.usage_in_bytes", "total_inactive_file"),
}
"""By version: file of the limit, file of the use, both in bytes, and the line of ``memory.stat`` with what of the use
are files in memory that the kernel gives up first, as it does before a limit is hit."""


def memory_left_bytes(root: Path = Path("/")) -> int | None:
    """The least that the process' group and those above it leave; None where there is no limit, or none can be read.

    ``root`` is where ``proc`` and ``sys`` are found.
    """
    left = [
        min(limit, max(0, limit - used + _in_stat(folder, given_up)))
        for folder in _folders(root)
        for limit_name, (used_name, given_up) in _FILES.items()
        if (limit := _number(folder / limit_name)) is not None and (used := _number(folder / used_name)) is not None
    ]
    return min(left, default=None)


def _folders(root: Path) -> Iterator[Path]:
    """The process' own group, those above it, and the mount itself, which in a container is the group's own."""
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():  # 0::/a/b, or 4:memory:/a/b in version 1
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        path = PurePosixPath(group.lstrip("/"))
        if ".." not in path.parts:  # a group outside of this namespace
            yield from (mount / each for each in (path, *path.parents))
    yield root / "sys/fs/cgroup"
    yield root / "sys/fs/cgroup/memory"


def _number(path: Path) -> int | None:
    """A count of bytes; None for ``max`` and for what cannot be read. Version 1 writes 2 ** 63 or so for no limit."""
    text = (_read(path) or "").strip()
    return int(text) if text.isdecimal() and int(text) < 1 << 60 else None


def _in_stat(folder: Path, name: str) -> int:
    """A count of ``memory.stat``; 0 where it has none."""
    lines = (line.split() for line in (_read(folder / "memory.stat") or "").splitlines())
    return next((int(line[1]) for line in lines if len(line) == 2 and line[0] == name and line[1].isdecimal()), 0)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
