"""Free memory that lies in small pieces, kept from the processes that are compared while they start.

Linux serves small pieces of free memory first. After other processes ended, those are scattered, and the process that
starts first is given them, while those after it get pages that lie together, which a processor translates with fewer
entries of its tables. The first of two equal processes stayed some 4 % slower for its whole life, in 91 of 96 pairs
(virtual machine of two cores, ONNX Runtime, calls of 12 ms); with the small pieces held by another process while both
started, the mean difference was at most 1 % in each of six series. Reads /proc/buddyinfo; does nothing elsewhere.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from slrbench.measure.control_group import memory_left_bytes

HUGE_ORDER = 9
"""Blocks of 2 to this power pages (2 MiB of 4 KiB pages) and larger ones lie together well enough."""

SPARE_BYTES = 64 << 20
"""Set aside beside them: pieces come about while they are taken."""

LARGEST_SHARE = 0.25
"""Of the memory that is available, at most so much is set aside."""

MOST_BYTES = 4 << 30
"""And at most so much on a machine with a lot: touching it takes about a quarter of a second for each GiB."""


@contextmanager
def set_aside(root: Path = Path("/")) -> Iterator[int]:
    """Hold the free memory that lies in small pieces, as far as there is room; how many bytes.

    ``root`` is where ``proc`` and ``sys`` are found. Yields 0 where the system does not say how its free memory lies,
    or does not give it.
    """
    size = _bytes_to_hold(root)
    held = _hold(size) if size > 0 else None
    try:
        yield 0 if held is None else size
    finally:
        if held is not None:
            held.close()


def scattered_bytes(root: Path = Path("/")) -> int | None:
    """Free memory in blocks smaller than a huge page; None where the system does not say."""
    text = _read(root / "proc/buddyinfo")
    if text is None:
        return None
    pages = 0
    for line in text.splitlines():  # Node 0, zone   Normal  18367  15480   8816 ...: free blocks of 1, 2, 4 ... pages
        _, _, counts = line.partition("zone")
        pages += sum(int(count) << order for order, count in enumerate(counts.split()[1 : 1 + HUGE_ORDER]))
    return pages * mmap.PAGESIZE


def _bytes_to_hold(root: Path) -> int:
    scattered, room = scattered_bytes(root), _available_bytes(root)
    if not scattered or room is None:
        return 0
    return min(scattered + SPARE_BYTES, int(LARGEST_SHARE * room), MOST_BYTES) // mmap.PAGESIZE * mmap.PAGESIZE


def _available_bytes(root: Path) -> int | None:
    """Memory that this process could still have: the system's, and its control groups'."""
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            available = int(rest.split()[0]) * 1024  # its kB are KiB
            break
    else:
        return None
    left = memory_left_bytes(root)
    return available if left is None else min(available, left)


def _hold(size: int) -> mmap.mmap | None:
    try:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, MemoryError):
        return None
    with suppress(OSError):  # a kernel without huge pages
        block.madvise(mmap.MADV_NOHUGEPAGE)  # a huge page would be one of those that are to be left
    np.frombuffer(block, np.uint8)[:: mmap.PAGESIZE] = 1
    return block


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
