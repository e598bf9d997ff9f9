"""Resident memory of this process, in bytes. Standard library only: workers import it before their runtime."""

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def peak_rss_bytes() -> int | None:
    """Most resident memory that this process has had since it was started; None where the system does not say.

    On Linux this is VmHWM, and not getrusage's ru_maxrss: that one starts with the peak of the process that started
    this one, so a small worker of a large parent would be given the parent's figure.
    """
    if sys.platform == "linux":
        return _status_field("VmHWM")
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts in bytes, the BSDs in KiB


def rss_bytes() -> int | None:
    """Resident memory of this process now; None where the system does not say."""
    return _status_field("VmRSS") if sys.platform == "linux" else None


def steady_rss_bytes(inputs: "Sequence[NDArray[Any]]") -> int | None:
    """Resident memory of this process now, without garbage; None where the system does not say.

    The benchmark holds several clips where a deployment holds one: all ``inputs`` but one are taken off.
    """
    gc.collect()
    held = rss_bytes()
    return None if held is None else max(0, held - sum(video.nbytes for video in inputs[1:]))


def _status_field(name: str) -> int | None:
    """A line such as ``VmHWM:     12345 kB`` of /proc/self/status, in bytes (its kB are KiB)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        key, _, rest = line.partition(":")
        if key == name:
            return int(rest.split()[0]) * 1024
    return None
