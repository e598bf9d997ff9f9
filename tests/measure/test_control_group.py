"""What control groups leave of memory, from files as both versions write them."""

from pathlib import Path

import pytest

from slrbench.measure.control_group import memory_left_bytes

NONE_V1 = str((1 << 63) - 4096)


def group(folder: Path, limit: str, used: int, *, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, text in zip(names, (limit, str(used)), strict=True):
        (folder / name).write_text(f"{text}\n")


def own_group(root: Path, text: str) -> Path:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(text)
    return root


def test_the_tightest_group_above_the_process_counts(tmp_path: Path) -> None:
    root = own_group(tmp_path, "0::/system.slice/runner.service/job\n")
    base = root / "sys/fs/cgroup"
    group(base / "system.slice", "max", 5)
    group(base / "system.slice/runner.service", "1000", 400)
    group(base / "system.slice/runner.service/job", "2000", 100)
    group(base / "another.slice", "10", 0)
    assert memory_left_bytes(root) == 600


def test_version_1_has_the_memory_controllers_own_tree(tmp_path: Path) -> None:
    root = own_group(tmp_path, "5:cpu,cpuacct:/elsewhere\n4:memory:/docker/abc\n0::/\n")
    group(root / "sys/fs/cgroup/memory", NONE_V1, 5, version=1)
    group(root / "sys/fs/cgroup/memory/docker/abc", "5000", 1000, version=1)
    group(root / "sys/fs/cgroup/memory/elsewhere", "10", 0, version=1)
    assert memory_left_bytes(root) == 4000


@pytest.mark.parametrize(("version", "name"), [(2, "inactive_file"), (1, "total_inactive_file")])
def test_files_in_memory_that_the_kernel_gives_up_first_are_left_too(tmp_path: Path, version: int, name: str) -> None:
    folder = tmp_path / "sys/fs/cgroup" / ("memory" if version == 1 else "")
    group(folder, "1000", 990, version=version)
    assert memory_left_bytes(tmp_path) == 10
    (folder / "memory.stat").write_text(f"anon 5\nactive_file 80\n{name} 600\nbroken\n")
    assert memory_left_bytes(tmp_path) == 610
    (folder / "memory.stat").write_text(f"{name} 5000\n")
    assert memory_left_bytes(tmp_path) == 1000


@pytest.mark.parametrize(
    ("text", "limit", "left"),
    [
        ("0::/\n", "700", 650),  # a container that sees its own group as the root
        ("0::/../../outside\n", "700", 650),
        ("0::/\n", "max", None),
        ("0::/\n", "something new", None),
        ("0::/\n", "10", 0),
        ("", "700", 650),
    ],
)
def test_the_mount_itself_counts_and_what_is_no_number_is_no_limit(
    tmp_path: Path, text: str, limit: str, left: int | None
) -> None:
    root = own_group(tmp_path, text)
    group(root / "sys/fs/cgroup", limit, 50)
    assert memory_left_bytes(root) == left


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_left_bytes(tmp_path) is None
