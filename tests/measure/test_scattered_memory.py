"""Free memory in small pieces is held while processes start."""

import mmap
import sys
from pathlib import Path

import pytest

from slrbench.measure.memory import rss_bytes
from slrbench.measure.scattered_memory import (
    LARGEST_SHARE,
    MOST_BYTES,
    SPARE_BYTES,
    _bytes_to_hold,
    scattered_bytes,
    set_aside,
)

BUDDYINFO = """Node 0, zone      DMA      0      0      0      0      0      0      0      0      1      1      3
Node 0, zone   Normal    100     50      0      0      0      0      0      0      2   4000   4335
"""
IN_PIECES = (100 + 2 * 50 + (1 + 2) * 256) * mmap.PAGESIZE
"""Blocks of 512 pages and more are left out."""


def machine(root: Path, *, available_kib: int, limit: str | None = None, used: int = 0) -> Path:
    (root / "proc").mkdir()
    (root / "proc/buddyinfo").write_text(BUDDYINFO)
    (root / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {available_kib} kB\n")
    if limit is not None:
        (root / "sys/fs/cgroup").mkdir(parents=True)
        (root / "sys/fs/cgroup/memory.max").write_text(limit + "\n")
        (root / "sys/fs/cgroup/memory.current").write_text(f"{used}\n")
    return root


def test_blocks_smaller_than_a_huge_page_are_counted(tmp_path: Path) -> None:
    assert scattered_bytes(machine(tmp_path, available_kib=1)) == IN_PIECES


def test_all_of_them_are_held_where_there_is_room(tmp_path: Path) -> None:
    with set_aside(machine(tmp_path, available_kib=8 << 20, limit="max")) as held:
        assert held == IN_PIECES + SPARE_BYTES


@pytest.mark.parametrize(
    ("available_kib", "limit", "used", "room"),
    [(40 << 10, None, 0, 40 << 20), (8 << 20, str(100 << 20), 60 << 20, 40 << 20), (8 << 20, "1024", 4096, 0)],
    ids=["little-memory", "control-group", "control-group-is-full"],
)
def test_no_more_is_held_than_a_share_of_what_is_available(
    tmp_path: Path, available_kib: int, limit: str | None, used: int, room: int
) -> None:
    with set_aside(machine(tmp_path, available_kib=available_kib, limit=limit, used=used)) as held:
        assert held == int(LARGEST_SHARE * room)


def test_a_machine_with_a_lot_of_memory_in_pieces_is_not_emptied(tmp_path: Path) -> None:
    root = machine(tmp_path, available_kib=512 << 20)
    (root / "proc/buddyinfo").write_text(f"Node 0, zone   Normal  {40 << 18} 0 0 0 0 0 0 0 0 0 0\n")  # 40 GiB
    assert scattered_bytes(root) == 40 << 30
    assert _bytes_to_hold(root) == MOST_BYTES


def test_a_system_that_does_not_say_is_left_alone(tmp_path: Path) -> None:
    assert scattered_bytes(tmp_path) is None
    with set_aside(tmp_path) as held:
        assert held == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_held_is_resident_and_given_back(tmp_path: Path) -> None:
    before = rss_bytes()
    assert before is not None
    with set_aside(machine(tmp_path, available_kib=8 << 20)) as held:
        within = rss_bytes()
        assert within is not None
        assert within >= before + 0.9 * held
    after = rss_bytes()
    assert after is not None
    assert after < before + 0.5 * held
