"""Files of decoded clips: one shard per clip, found by the state of its source, checksummed, read by memory map.

A shard is ``slrclip1``, the length of a JSON header (uint32, little-endian), the header padded to a multiple of 64
bytes, and the frames as they lie in memory. It is written under another name and renamed, so that a killed process
leaves no half shard, and two that write the same one do no harm. NumPy only.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

import errno
import hashlib
import json
import shutil
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from exporters.artifact import atomic_path
from slrbench.errors import BadInputError, RunFailedError
from slrbench.records import Record

_MAGIC = b"slrclip1"
_ALIGNMENT = 64
_SUFFIX = ".clip"
_LEFT_OVER_S = 3600.0  # a temporary file that nobody has written for so long belongs to a process that was killed
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DamagedShardError(Exception):
    """A shard that is not what was written; the message says what is wrong."""


class _Header(Record):
    name: str = Field(description="the source, for people")
    shape: tuple[int, int, int, int]
    crc32: int


class ShardFolder:
    """The shards in a folder that were made in one way. May be sent to other processes."""

    def __init__(self, folder: Path, made_by: str) -> None:
        """Keep the folder; ``made_by`` is everything beside the source that determines the frames.

        Raises:
            BadInputError: ``folder`` is a file.
        """
        if folder.exists() and not folder.is_dir():
            raise BadInputError(f"the cache {folder} is a file", hint="--cache names a folder")
        self.folder = folder
        self._made_by = made_by
        self._checked: set[str] = set()

    def key(self, files: Sequence[Path]) -> str:
        """Changes when a file is replaced: SHA-256 over path, size and modification time of each.

        Raises:
            OSError: a file is missing.
        """
        states = [(str(path.absolute()), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]
        return hashlib.sha256(json.dumps([self._made_by, states]).encode()).hexdigest()

    def path(self, key: str) -> Path:
        """Where the shard of that key is."""
        return self.folder / key[:2] / f"{key[2:]}{_SUFFIX}"

    def load(self, key: str) -> NDArray[np.uint8] | None:
        """The frames (T, H, W, 3) as a read-only memory map, or None where there is no such shard.

        The checksum is compared when a process first reads a shard, sizes always.

        Raises:
            DamagedShardError: header, size or checksum is wrong.
            OSError: the shard cannot be read.
        """
        path = self.path(key)
        try:
            header, start = _read_header(path)
            frames = np.memmap(path, dtype=np.uint8, mode="r", offset=start, shape=header.shape).view(np.ndarray)
        except FileNotFoundError:
            return None
        except (ValueError, ValidationError) as error:
            raise DamagedShardError("its header is broken, or frames are missing at its end") from error
        if key not in self._checked:
            if zlib.crc32(frames.data) != header.crc32:
                raise DamagedShardError("its frames do not have the checksum that was written")
            self._checked.add(key)
        return frames

    def store(self, key: str, frames: NDArray[np.uint8], name: str) -> None:
        """Write a shard, whole or not at all.

        Raises:
            RunFailedError: the disk is full.
            OSError: the folder cannot be written.
        """
        frames = np.ascontiguousarray(frames)
        header = _Header(name=name, shape=frames.shape, crc32=zlib.crc32(frames.data)).model_dump_json().encode()
        length = -(-(len(_MAGIC) + 4 + len(header)) // _ALIGNMENT) * _ALIGNMENT - len(_MAGIC) - 4
        try:
            with atomic_path(self.path(key)) as temporary, temporary.open("wb") as file:
                file.write(_MAGIC + length.to_bytes(4, "little") + header.ljust(length))
                file.write(frames.data)
        except OSError as error:
            if error.errno in _FULL:
                raise self._full(name, frames.nbytes) from error
            raise
        self._checked.add(key)

    def _full(self, name: str, needed: int) -> RunFailedError:
        free = shutil.disk_usage(self.folder).free
        return RunFailedError(
            f"the cache {self.folder} has no room for {name}: {needed / 2**20:.1f} MiB are needed, "
            f"{free / 2**20:.1f} MiB are free on its disk",
            hint="free some space, or name a folder on another disk; what is in the cache stays and is not made again",
        )

    def sweep(self) -> int:
        """Remove temporary files of processes that were killed; returns how many.

        Raises:
            OSError: one cannot be removed.
        """
        before = time.time_ns() / 1e9 - _LEFT_OVER_S  # file times are wall-clock times
        removed = 0
        for path in self.folder.glob(f"*/.*{_SUFFIX}"):
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue  # another run swept it
        return removed


def _read_header(path: Path) -> tuple[_Header, int]:
    """The header and where the frames begin; raises ValueError where it is none, or the size does not fit."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("no shard")
        length = int.from_bytes(file.read(4), "little")
        if length > 2**20:
            raise ValueError("no header is that long")
        header = _Header.model_validate_json(file.read(length))
    start = len(_MAGIC) + 4 + length
    if path.stat().st_size != start + int(np.prod(header.shape)):
        raise ValueError("the size does not fit")
    return header, start
