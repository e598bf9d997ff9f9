"""How large an artifact is on the wire: its files through zlib, as a download or an app store would pack them."""

import os
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from slrbench.runners.inputs import artifact_files

LEVEL = 6
"""What gzip, HTTP servers and installers use unless told otherwise."""

_BLOCK_BYTES = 1 << 20


def compressed_bytes(path: Path, sha256: str) -> int:
    """Size of the artifact's files (for OpenVINO both), each through zlib, of the content that has this hash.

    Every content is compressed once in the life of this process: several rows measure the same file.

    Raises:
        BadInputError: a file is missing.
    """
    return _compressed(sha256, path)


def compress_all(paths: Mapping[str, Path]) -> None:
    """Compress several artifacts, by hash, on all cores, so that :func:`compressed_bytes` has nothing left to do.

    Raises:
        BadInputError: a file is missing.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # zlib works outside the interpreter's lock
        list(pool.map(_compressed, paths.keys(), paths.values()))


@cache
def _compressed(_sha256: str, path: Path) -> int:
    return sum(_stream(each) for each in artifact_files(path))


def _stream(path: Path) -> int:
    packer = zlib.compressobj(LEVEL)
    size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            size += len(packer.compress(block))
    return size + len(packer.flush())
