"""Time per node from OpenVINO's own performance counters. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from slrbench.records import OperatorTime
from slrbench.runners.openvino_ import OpenVinoRunner
from slrbench.runners.profiling import Call, module_of


class OpenVinoProfiler:
    """Two compiled models of one file, the second with counters."""

    def __init__(self, path: Path, options: dict[str, Any]) -> None:
        """Open both."""
        self.source = f"OpenVINO {ov.__version__}, performance counters"
        self.plain = OpenVinoRunner(path, **options)
        self.profiled = OpenVinoRunner(path, **options, count=True)

    def operators(self, videos: Sequence[NDArray[Any]], call: Call) -> list[OperatorTime]:
        """Run every video once; nodes that were folded away or did not run are left out."""
        found: dict[str, OperatorTime] = {}
        for video in videos:
            call(self.profiled, video)
            for name, kind, implementation, seconds in self.profiled.counters():
                before = found[name].seconds if name in found else 0.0
                found[name] = OperatorTime(
                    name=name,
                    kind=kind,
                    implementation=implementation,
                    module=module_of(name, kind),
                    seconds=before + seconds / len(videos),
                )
        return list(found.values())

    def close(self) -> None:
        """Release both."""
        self.plain.close()
        self.profiled.close()


def open_profiler(
    backend: str, path: Path, *, device: str, threads: int, input_kind: str, precision: str
) -> OpenVinoProfiler:
    """A profiler of an ``.xml`` file."""
    return OpenVinoProfiler(
        path, {"threads": threads, "device": device, "input_kind": input_kind, "precision": precision}
    )
